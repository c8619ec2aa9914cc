// SPDX-License-Identifier: EUPL-1.2
//! What each rule book agrees on for media: DTLS and SRTP with clients that offer more, less, or nothing of it.

use std::time::Duration;

use parvis_dtls::{Config, Connected, SrtpProfile, Version};
use parvis_edge::CryptoProfile::{self, Anssi, Bsi, Modern};

use crate::support::{Faults, Pair, context};

const MLKEM: u16 = 0x11ec;
const P256: u16 = 0x0017;
const X25519: u16 = 0x001d;

/// As Chromium offers it: counter mode first.
fn browser() -> Config {
    let srtp_profiles =
        vec![SrtpProfile::Aes128CmSha1_80, SrtpProfile::AeadAes256Gcm, SrtpProfile::AeadAes128Gcm];
    Config { srtp_profiles, ..Config::default() }
}

/// What a client ends with; `None` when nobody has keys.
fn agreed(client: Config, profile: CryptoProfile) -> Option<Connected> {
    let mut pair = Pair::new(&context(client), &context(profile.dtls()), Faults::default(), 1);
    pair.run(Duration::from_secs(20));
    assert_eq!(pair.client.connected.is_some(), pair.server.connected.is_some(), "{profile:?}");
    Some(pair.server.connected?.1)
}

#[test]
fn browsers_get_the_group_and_the_keys_that_the_rule_book_puts_first() {
    for (profile, group, srtp) in [
        (Modern, MLKEM, SrtpProfile::AeadAes128Gcm),
        (Anssi, MLKEM, SrtpProfile::AeadAes256Gcm),
        (Bsi, P256, SrtpProfile::AeadAes128Gcm),
    ] {
        let got = agreed(browser(), profile).expect("a connection");
        assert_eq!(
            (got.version.as_str(), got.group, got.srtp_profile),
            ("DTLSv1.3", group, srtp),
            "{profile:?}"
        );
        assert!(got.cipher.contains("GCM"), "{profile:?}: {}", got.cipher);
        let older =
            agreed(Config { max_version: Version::Dtls12, ..browser() }, profile).expect("a connection");
        assert_eq!((older.version.as_str(), older.srtp_profile), ("DTLSv1.2", srtp), "{profile:?}");
        let strength = if profile == Anssi { "AES_256_GCM" } else { "AES_128_GCM" };
        assert!(older.cipher.contains(strength), "{profile:?}: {}", older.cipher);
    }
}

#[test]
fn who_knows_only_what_the_rule_book_leaves_out_has_no_media() {
    let counter_mode = || Config { srtp_profiles: vec![SrtpProfile::Aes128CmSha1_80], ..Config::default() };
    let x25519 = || Config { groups: "X25519".to_owned(), ..browser() };
    let chacha =
        || Config { max_version: Version::Dtls12, ciphers: Some("ECDHE+CHACHA20".to_owned()), ..browser() };
    for (profile, by_counter_mode, by_x25519, by_chacha) in
        [(Modern, true, true, true), (Anssi, false, true, true), (Bsi, false, false, false)]
    {
        let got = agreed(counter_mode(), profile);
        assert_eq!(got.is_some(), by_counter_mode, "{profile:?}: {got:?}");
        let got = agreed(x25519(), profile);
        assert_eq!(got.as_ref().map(|got| got.group), by_x25519.then_some(X25519), "{profile:?}");
        let got = agreed(chacha(), profile);
        assert_eq!(got.is_some(), by_chacha, "{profile:?}: {got:?}");
    }
}
