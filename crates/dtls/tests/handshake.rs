// SPDX-License-Identifier: EUPL-1.2
//! BoringSSL endpoints against each other.

mod support;

use std::time::{Duration, Instant};

use parvis_dtls::{Config, Error, Factory, Limits, Role, SrtpProfile, Version};
use support::{Faults, Pair, context};

const LONG: Duration = Duration::from_secs(29);

/// The SRTP profiles in Chromium's order: counter mode first.
fn chromium() -> Config {
    Config {
        srtp_profiles: vec![
            SrtpProfile::Aes128CmSha1_80,
            SrtpProfile::AeadAes256Gcm,
            SrtpProfile::AeadAes128Gcm,
        ],
        ..Config::default()
    }
}

#[test]
fn a_browser_like_client_ends_with_dtls_1_3_mlkem_and_the_servers_choice_of_gcm() {
    let mut pair = Pair::new(&context(chromium()), &context(Config::default()), Faults::default(), 1);
    pair.run(LONG);
    let (Some((_, client)), Some((_, server))) = (&pair.client.connected, &pair.server.connected) else {
        panic!("not connected: {:?} {:?}", pair.client.error, pair.server.error);
    };
    assert_eq!(server.version, "DTLSv1.3");
    assert_eq!(server.cipher, "TLS_AES_128_GCM_SHA256");
    assert_eq!(server.group, 0x11ec);
    assert_eq!(server.srtp_profile, SrtpProfile::AeadAes128Gcm);
    assert_eq!(server.keying_material.len(), 56);
    assert_eq!(client, server);
}

#[test]
fn an_old_client_ends_with_dtls_1_2() {
    let old = Config { max_version: Version::Dtls12, ..chromium() };
    let mut pair = Pair::new(&context(old), &context(Config::default()), Faults::default(), 1);
    pair.run(LONG);
    let (_, server) = pair.server.connected.expect("connected");
    assert_eq!(server.version, "DTLSv1.2");
    assert_eq!(server.cipher, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256");
    assert_eq!(server.srtp_profile, SrtpProfile::AeadAes128Gcm);
    assert_eq!(server.keying_material, pair.client.connected.expect("connected").1.keying_material);
}

#[test]
fn a_client_without_mlkem_and_one_that_must_be_asked_again_connect() {
    for (groups, group) in [("X25519:P-256", 0x001d), ("P-256", 0x0017)] {
        let config = Config { groups: groups.to_owned(), ..Config::default() };
        let mut pair = Pair::new(&context(config), &context(Config::default()), Faults::default(), 1);
        pair.run(LONG);
        assert_eq!(pair.server.connected.expect("connected").1.group, group);
    }
}

#[test]
fn a_cipher_that_is_refused_gives_no_keys_whether_by_the_list_or_by_what_came_of_it() {
    let chacha =
        || Config { max_version: Version::Dtls12, ciphers: Some("ECDHE+CHACHA20".to_owned()), ..chromium() };
    let refusing = Config { refused_ciphers: vec!["CHACHA20".to_owned()], ..Config::default() };
    let mut pair = Pair::new(&context(chacha()), &context(Config::default()), Faults::default(), 1);
    pair.run(LONG);
    let (_, server) = pair.server.connected.expect("connected");
    assert!(server.cipher.contains("CHACHA20"), "{}", server.cipher);

    let mut pair = Pair::new(&context(chacha()), &context(refusing), Faults::default(), 1);
    pair.run(LONG);
    assert!(pair.server.connected.is_none());
    assert!(matches!(&pair.server.error, Some(Error::Cipher(cipher)) if cipher.contains("CHACHA20")));

    let aes = Config { ciphers: Some("ECDHE+AESGCM".to_owned()), ..Config::default() };
    let mut pair = Pair::new(&context(chacha()), &context(aes.clone()), Faults::default(), 1);
    pair.run(LONG);
    assert!(pair.server.connected.is_none() && pair.server.error.is_some());
    let old = Config { max_version: Version::Dtls12, ..chromium() };
    let mut pair = Pair::new(&context(old), &context(aes), Faults::default(), 1);
    pair.run(LONG);
    assert!(pair.server.connected.expect("connected").1.cipher.contains("AES"));
}

#[test]
fn each_srtp_profile_can_be_agreed() {
    for profile in SrtpProfile::PREFERENCE {
        let config = Config { srtp_profiles: vec![profile], ..Config::default() };
        let mut pair = Pair::new(&context(config), &context(Config::default()), Faults::default(), 1);
        pair.run(LONG);
        let (_, server) = pair.server.connected.expect("connected");
        assert_eq!((server.srtp_profile, server.keying_material.len()), (profile, profile.keying_len()));
    }
}

#[test]
fn without_a_common_srtp_profile_there_is_no_connection() {
    let one = Config { srtp_profiles: vec![SrtpProfile::AeadAes256Gcm], ..Config::default() };
    let other = Config { srtp_profiles: vec![SrtpProfile::AeadAes128Gcm], ..Config::default() };
    let mut pair = Pair::new(&context(one), &context(other), Faults::default(), 1);
    pair.run(LONG);
    assert_eq!(pair.server.error, Some(Error::NoSrtpProfile));
    assert!(pair.server.connected.is_none());
}

#[test]
fn row_05_a_wrong_fingerprint_ends_the_handshake_on_either_side() {
    let (client, server) = (context(Config::default()), context(Config::default()));
    let mut wrong_client = client.fingerprint_sha256();
    wrong_client[31] ^= 1;
    let right_server = server.fingerprint_sha256();
    let mut pair = Pair::expecting(&client, &server, right_server, wrong_client, Faults::default(), 1);
    pair.run(LONG);
    assert_eq!(pair.server.error, Some(Error::Fingerprint));
    assert!(pair.server.connected.is_none());
    // The alert reaches the client, with BoringSSL's reason in the error.
    let reason = pair.client.error.expect("the client is told").to_string();
    assert!(reason.contains("BAD_CERTIFICATE"), "{reason}");

    let right_client = client.fingerprint_sha256();
    let mut pair = Pair::expecting(&client, &server, [0; 32], right_client, Faults::default(), 1);
    pair.run(LONG);
    assert_eq!(pair.client.error, Some(Error::Fingerprint));
    assert!(pair.client.connected.is_none() && pair.server.connected.is_none());
}

/// A first fragment of a ClientHello that claims to be `length` bytes long (RFC 6347 section 4.2.2).
fn hello_fragment(sequence: u16, length: u32, offset: u32, body: &[u8]) -> Vec<u8> {
    let mut fragment = vec![1]; // client_hello
    fragment.extend_from_slice(&length.to_be_bytes()[1..]);
    fragment.extend_from_slice(&[0, 0]); // message 0
    fragment.extend_from_slice(&offset.to_be_bytes()[1..]);
    fragment.extend_from_slice(&(body.len() as u32).to_be_bytes()[1..]);
    fragment.extend_from_slice(body);
    let mut record = vec![22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0];
    record.extend_from_slice(&sequence.to_be_bytes());
    record.extend_from_slice(&(fragment.len() as u16).to_be_bytes());
    record.extend_from_slice(&fragment);
    record
}

#[test]
fn row_06_ten_mebibytes_of_fragments_end_at_the_limit() {
    let server = context(Config::default());
    let now = Instant::now();
    let mut endpoint = server.endpoint(Role::Server, [1; 32], [0; 32], now).unwrap();
    let (mut taken, mut error) = (0, None);
    // Holes between the fragments, so that the message never completes.
    for index in 0..10_000_u32 {
        let datagram = hello_fragment(index as u16, 16_000, (index * 7) % 15_000, &[0; 1000]);
        match endpoint.handle_datagram(now, &datagram) {
            Ok(()) => taken += datagram.len(),
            Err(other) => {
                error = Some(other);
                break;
            }
        }
    }
    let limits = Limits::default();
    assert!(taken <= limits.handshake_bytes, "{taken} bytes were taken");
    assert!(error.is_some_and(|error| error != Error::Closed));
    assert_eq!(endpoint.handle_datagram(now, &[22; 100]), Err(Error::Closed));
    assert_eq!(endpoint.poll_timeout(), None);
}

#[test]
fn row_06_empty_fragments_neither_loop_nor_pass_the_limit_of_datagrams() {
    let server = context(Config::default());
    let now = Instant::now();
    let mut endpoint = server.endpoint(Role::Server, [1; 32], [0; 32], now).unwrap();
    let before = Instant::now();
    let error = (0..100_000_u32)
        .find_map(|index| endpoint.handle_datagram(now, &hello_fragment(index as u16, 500, 0, &[])).err());
    let limit = Limits::default().handshake_datagrams;
    assert_eq!(error, Some(Error::HandshakeSize { limit, unit: "datagrams" }));
    assert!(before.elapsed() < Duration::from_secs(2));
}

#[test]
fn row_06_a_message_that_claims_16_megabytes_is_refused_without_reserving_them() {
    let server = context(Config::default());
    let now = Instant::now();
    let mut endpoint = server.endpoint(Role::Server, [1; 32], [0; 32], now).unwrap();
    let error = endpoint.handle_datagram(now, &hello_fragment(0, 0xff_ffff, 0, &[0; 100])).unwrap_err();
    assert!(error.to_string().contains("EXCESSIVE_MESSAGE_SIZE"), "{error}");
}

#[test]
fn row_06_a_handshake_that_stands_still_ends_in_time() {
    let silent = Faults { loss: 100, ..Faults::default() };
    let mut pair = Pair::new(&context(Config::default()), &context(Config::default()), silent, 1);
    pair.run(Duration::from_secs(300));
    let limit = Limits::default().handshake_time;
    assert_eq!(pair.server.error, Some(Error::HandshakeTime { limit }));
    assert_eq!(pair.client.error, Some(Error::HandshakeTime { limit }));
    assert_eq!(pair.now - pair.start, limit);
    // Backing off: a silent peer costs a dozen flights, not one each 50 ms.
    assert!(pair.client.sent.len() < 30, "{}", pair.client.sent.len());
}

#[test]
fn row_07_random_bytes_never_break_an_endpoint_out_of_its_errors() {
    use rand_chacha::{
        ChaCha20Rng,
        rand_core::{Rng, SeedableRng},
    };
    let server = context(Config::default());
    let now = Instant::now();
    let mut random = ChaCha20Rng::seed_from_u64(7);
    for _ in 0..300 {
        let mut endpoint = server.endpoint(Role::Server, [1; 32], [0; 32], now).unwrap();
        for _ in 0..20 {
            let mut datagram = vec![0; (random.next_u32() % 200) as usize];
            random.fill_bytes(&mut datagram);
            if let Some(first) = datagram.first_mut() {
                *first = 20 + *first % 44;
            }
            if endpoint.handle_datagram(now, &datagram).is_err() {
                break;
            }
        }
    }
}

#[test]
fn handshakes_finish_over_a_link_that_loses_doubles_and_reorders() {
    let (client, server) = (context(chromium()), context(Config::default()));
    for loss in [10, 20, 30] {
        let mut times = Vec::new();
        for seed in 0..40 {
            let faults = Faults { loss, duplicate: 10, reorder: 20 };
            let mut pair = Pair::new(&client, &server, faults, seed);
            pair.run(LONG);
            assert!(pair.both_connected(), "loss {loss}, seed {seed}: {:?}", pair.server.error);
            let (client, server) = (pair.client.connected.unwrap(), pair.server.connected.unwrap());
            assert_eq!(client.1.keying_material, server.1.keying_material);
            times.push(client.0.max(server.0));
        }
        times.sort();
        // 60 ms without loss. With the default timer of 400 ms, the median at 30 % would be above.
        let (median, limit) = (times[times.len() / 2], Duration::from_millis(200 + 20 * u64::from(loss)));
        assert!(median < limit, "loss {loss}: median {median:?}, slowest {:?}", times.last());
    }
}

#[test]
fn time_comes_from_the_caller_alone() {
    let (client, server) = (context(chromium()), context(Config::default()));
    let faults = Faults { loss: 30, duplicate: 10, reorder: 20 };
    for seed in 0..20 {
        let [one, two] = [(); 2].map(|()| {
            let mut pair = Pair::new(&client, &server, faults, seed);
            pair.run(LONG);
            [pair.client.connected, pair.server.connected].map(|end| end.map(|(at, _)| at))
        });
        assert_eq!(one, two, "seed {seed}");
    }
}

#[test]
fn data_flows_both_ways_and_closing_is_told() {
    let mut pair = Pair::new(&context(chromium()), &context(Config::default()), Faults::default(), 1);
    assert_eq!(pair.server.endpoint.send(pair.now, b"early"), Err(Error::NotConnected));
    pair.run(LONG);
    let big: Vec<u8> = (0..1150_u32).map(|index| index as u8).collect();
    pair.client.endpoint.send(pair.now, b"hello").unwrap();
    pair.client.endpoint.send(pair.now, &big).unwrap();
    pair.server.endpoint.send(pair.now, b"hello back").unwrap();
    pair.run(LONG);
    assert_eq!(pair.server.data, [&b"hello"[..], &big]);
    assert_eq!(pair.client.data, [b"hello back"]);

    // Damage and repetition of what was sent change nothing.
    let mut damaged = pair.client.sent.last().unwrap().clone();
    pair.server.endpoint.handle_datagram(pair.now, &damaged.clone()).unwrap();
    *damaged.last_mut().unwrap() ^= 1;
    pair.server.endpoint.handle_datagram(pair.now, &damaged).unwrap();
    pair.run(LONG);
    assert_eq!(pair.server.data.len(), 2);

    pair.client.endpoint.close(pair.now);
    pair.run(LONG);
    assert!(pair.server.closed);
    assert_eq!(pair.server.endpoint.send(pair.now, b"late"), Err(Error::Closed));
}
