// SPDX-License-Identifier: EUPL-1.2
//! The stand-in keeps the same promises of behaviour as the real thing, and is deterministic.

mod support;

use std::time::Duration;

use parvis_dtls::{Error, Factory, standin::StandIn};
use support::{Faults, Pair};

const LONG: Duration = Duration::from_secs(29);

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let faults = Faults { loss: 20, duplicate: 10, reorder: 20 };
    let run = |seed| {
        let mut pair = Pair::new(&StandIn::new([1; 32]), &StandIn::new([2; 32]), faults, seed);
        pair.run(LONG);
        assert!(pair.both_connected(), "seed {seed}");
        pair.client.endpoint.send(pair.now, b"hello").unwrap();
        pair.run(LONG);
        (pair.client.sent, pair.server.sent, pair.client.connected)
    };
    for seed in 0..50 {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
    assert_ne!(run(1), run(2));
}

#[test]
fn both_ends_have_the_same_keys_and_exchange_data() {
    let mut pair = Pair::new(&StandIn::new([1; 32]), &StandIn::new([2; 32]), Faults::default(), 3);
    assert_eq!(pair.client.endpoint.send(pair.now, b"early"), Err(Error::NotConnected));
    pair.run(LONG);
    let keys = |end: &support::End| end.connected.as_ref().unwrap().1.keying_material.clone();
    assert_eq!(keys(&pair.client), keys(&pair.server));
    pair.client.endpoint.send(pair.now, b"ping").unwrap();
    pair.server.endpoint.send(pair.now, b"pong").unwrap();
    pair.run(LONG);
    assert_eq!((&pair.server.data, &pair.client.data), (&vec![b"ping".to_vec()], &vec![b"pong".to_vec()]));
    pair.server.endpoint.close(pair.now);
    pair.run(LONG);
    assert!(pair.client.closed);
}

#[test]
fn a_wrong_fingerprint_ends_the_handshake() {
    let (client, server) = (StandIn::new([1; 32]), StandIn::new([2; 32]));
    let expected = server.fingerprint_sha256();
    let mut pair = Pair::expecting(&client, &server, expected, [9; 32], Faults::default(), 3);
    pair.run(LONG);
    assert_eq!(pair.server.error, Some(Error::Fingerprint));
    assert!(matches!(pair.client.error, Some(Error::Handshake(_))));
    assert!(pair.client.connected.is_none() && pair.server.connected.is_none());
}
