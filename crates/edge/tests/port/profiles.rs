// SPDX-License-Identifier: EUPL-1.2
//! What each rule book agrees on with clients that offer more, less, or nothing of it.

use parvis_edge::CryptoProfile;
use parvis_turn::TurnConfig;
use rustls::NamedGroup;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::pki_types::ServerName;

use crate::scene::*;

/// Group and suite that a client of this provider ends with; `None` when it is refused.
async fn agreed(scene: &Scene, provider: CryptoProvider) -> Option<(NamedGroup, String)> {
    let name = ServerName::try_from(NAME).unwrap();
    let stream = scene.client_of(provider, &[b"http/1.1"]).connect(name, scene.connect().await).await.ok()?;
    let session = stream.get_ref().1;
    let group = session.negotiated_key_exchange_group()?.name();
    let suite = format!("{:?}", session.negotiated_cipher_suite()?.suite());
    get(stream, "/livez").await.starts_with("HTTP/1.1 200").then_some((group, suite))
}

/// As browsers offer it.
fn browser() -> CryptoProvider {
    CryptoProvider {
        kx_groups: vec![kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1],
        ..aws_lc_rs::default_provider()
    }
}

fn only(group: &'static dyn rustls::crypto::SupportedKxGroup) -> CryptoProvider {
    CryptoProvider { kx_groups: vec![group], ..aws_lc_rs::default_provider() }
}

fn only_chacha() -> CryptoProvider {
    let mut provider = browser();
    provider.cipher_suites.retain(|suite| format!("{:?}", suite.suite()).contains("CHACHA20"));
    provider
}

#[tokio::test]
async fn a_browser_gets_the_best_that_both_allow() {
    for (profile, group) in [
        (CryptoProfile::Modern, NamedGroup::X25519MLKEM768),
        (CryptoProfile::Anssi, NamedGroup::X25519MLKEM768),
        (CryptoProfile::Bsi, NamedGroup::secp256r1),
    ] {
        let scene = Scene::with(edge_config(), profile, TurnConfig::default()).await;
        let (found, suite) = agreed(&scene, browser()).await.unwrap();
        assert_eq!((found, suite.as_str()), (group, "TLS13_AES_256_GCM_SHA384"), "{profile}");
    }
}

#[tokio::test]
async fn what_a_rule_book_does_not_name_is_refused() {
    let bsi = Scene::with(edge_config(), CryptoProfile::Bsi, TurnConfig::default()).await;
    assert_eq!(agreed(&bsi, only(kx_group::X25519)).await, None);
    assert_eq!(agreed(&bsi, only_chacha()).await, None);
    let hybrid = agreed(&bsi, only(kx_group::SECP256R1MLKEM768)).await.unwrap();
    assert_eq!(hybrid.0, NamedGroup::secp256r1MLKEM768);
    let anssi = Scene::with(edge_config(), CryptoProfile::Anssi, TurnConfig::default()).await;
    assert!(agreed(&anssi, only_chacha()).await.unwrap().1.contains("CHACHA20"));
    assert!(agreed(&anssi, only(kx_group::X25519)).await.is_some());
    let hybrid = agreed(&anssi, only(kx_group::SECP256R1MLKEM768)).await.unwrap();
    assert_eq!(hybrid.0, NamedGroup::secp256r1MLKEM768);
}

/// A ClientHello of TLS 1.2 (RFC 5246 section 7.4.1.2) as a plain client writes it, with RFC 7627's extension or without.
fn hello(extended_master_secret: bool) -> Vec<u8> {
    // supported_groups: P-256; ec_point_formats: uncompressed; signature_algorithms: ECDSA, RSASSA-PSS and RSA with SHA-256.
    let mut extensions: Vec<u8> = vec![0, 10, 0, 4, 0, 2, 0, 23, 0, 11, 0, 2, 1, 0];
    extensions.extend([0, 13, 0, 8, 0, 6, 4, 3, 8, 4, 4, 1]);
    if extended_master_secret {
        extensions.extend([0, 23, 0, 0]);
    }
    // The version, a random of 32 bytes, no session, two suites (ECDHE with AES-128-GCM), no compression.
    let mut body: Vec<u8> = [&[3, 3][..], &[7; 32], &[0, 0, 4, 0xc0, 0x2b, 0xc0, 0x2f, 1, 0]].concat();
    body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
    body.extend(extensions);
    let length = |extra: usize| u16::try_from(body.len() + extra).unwrap().to_be_bytes();
    [&[22, 3, 1][..], &length(4), &[1, 0], &length(0), &body].concat()
}

#[tokio::test]
async fn the_strict_rule_books_take_tls_1_2_with_extended_master_secret_alone() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    // The records that answer: 22 is a handshake that goes on, 21 an alert; 40 is handshake_failure.
    for (profile, without) in
        [(CryptoProfile::Modern, 22), (CryptoProfile::Anssi, 21), (CryptoProfile::Bsi, 21)]
    {
        let scene = Scene::with(edge_config(), profile, TurnConfig::default()).await;
        for (extended, expected) in [(true, 22), (false, without)] {
            let mut stream = scene.connect().await;
            stream.write_all(&hello(extended)).await.unwrap();
            let mut answer = [0; 7];
            stream.read_exact(&mut answer).await.unwrap();
            assert_eq!(answer[0], expected, "{profile}, {extended}: {answer:?}");
            assert!(expected == 22 || answer[6] == 40, "{answer:?}");
        }
    }
}

#[tokio::test]
async fn no_rule_book_takes_early_data_and_a_resumed_session_exchanges_keys_anew() {
    for profile in [CryptoProfile::Modern, CryptoProfile::Anssi, CryptoProfile::Bsi] {
        let scene = Scene::with(edge_config(), profile, TurnConfig::default()).await;
        let name = || ServerName::try_from(NAME).unwrap();
        let connector = scene.client_of(aws_lc_rs::default_provider(), &[b"http/1.1"]);
        // Tickets come with what is read first.
        let first = connector.connect(name(), scene.connect().await).await.unwrap();
        assert!(get(first, "/livez").await.starts_with("HTTP/1.1 200"));
        let mut config = connector.config().as_ref().clone();
        config.enable_early_data = true;
        let mut session = rustls::ClientConnection::new(config.into(), name()).unwrap();
        assert!(session.early_data().is_none(), "{profile}: what is sent twice would be taken twice");
        let second = connector.connect(name(), scene.connect().await).await.unwrap();
        let session = second.get_ref().1;
        assert_eq!(session.handshake_kind(), Some(rustls::HandshakeKind::Resumed));
        assert!(session.negotiated_key_exchange_group().is_some(), "{profile}");
    }
}
