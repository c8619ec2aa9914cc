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
