// SPDX-License-Identifier: EUPL-1.2
//! A peer connects, in each role, over good links and bad ones, and carries media and data.

#![allow(clippy::panic)]

mod support;

use std::{sync::Arc, time::Duration};

use parvis_dtls::{Certificate, Config, Context, Role, SrtpProfile, Version, standin::StandIn};
use parvis_peer::{ChannelSpec, PeerEvent, Received, SendError, sctp::SctpEvent};
use support::{Faults, World, boring, config, rtp_packet};

const SECOND: Duration = Duration::from_secs(1);

fn spec(label: &str) -> ChannelSpec {
    ChannelSpec { label: label.to_owned(), ordered: true, max_retransmits: None }
}

fn connected(world: &World) -> &parvis_peer::TransportReport {
    world
        .events
        .iter()
        .find_map(|event| match event {
            PeerEvent::Connected(report) => Some(&**report),
            _ => None,
        })
        .unwrap_or_else(|| panic!("not connected: {:?}", world.events))
}

#[test]
fn the_client_offers_and_both_end_with_mlkem_and_gcm() {
    // Chromium's order of SRTP profiles: the server's must win.
    let chromium = Config {
        srtp_profiles: vec![
            SrtpProfile::Aes128CmSha1_80,
            SrtpProfile::AeadAes256Gcm,
            SrtpProfile::AeadAes128Gcm,
        ],
        ..Config::default()
    };
    let client = Context::new(&Certificate::generate().unwrap(), chromium).unwrap();
    let mut world = World::new(config(boring()), Arc::new(client), 1);
    world.connect();
    let report = connected(&world);
    assert_eq!(report.dtls_version, "DTLSv1.3");
    assert_eq!(report.cipher, "TLS_AES_128_GCM_SHA256");
    assert_eq!(report.group, 0x11ec);
    assert_eq!(report.srtp_profile, "SRTP_AEAD_AES_128_GCM");
    assert_eq!(report.path, world.client.path);
    assert_eq!(world.events[0], PeerEvent::PathValidated(world.client.path));
}

#[test]
fn a_client_that_knows_only_dtls_1_2_connects() {
    let old = Config { max_version: Version::Dtls12, ..Config::default() };
    let client = Context::new(&Certificate::generate().unwrap(), old).unwrap();
    let mut world = World::new(config(boring()), Arc::new(client), 1);
    world.connect();
    assert_eq!(connected(&world).dtls_version, "DTLSv1.2");
}

#[test]
fn the_handshake_does_not_wait_for_the_nomination() {
    let mut world = World::new(config(boring()), boring(), 1);
    world.check_every = None;
    world.negotiate();
    world.check(false);
    world.run_for(SECOND);
    // One round trip for the check, two for DTLS 1.3: 20 ms each way.
    assert!(world.peer.is_connected());
    assert!(!world.events.iter().any(|event| matches!(event, PeerEvent::PathRemoved(_))));
}

#[test]
fn the_peer_offers_and_the_clients_hello_may_come_before_its_answer() {
    let mut world = World::new(config(boring()), boring(), 1);
    world.peer.open_channel(world.now, spec("chat")).unwrap();
    assert!(world.peer.needs_negotiation());
    let offer = world.peer.create_offer(world.now, false).unwrap();
    assert!(offer.contains("a=setup:actpass"), "{offer}");
    let answer = world.client.answer(&offer, "active");
    // The client is faster than its signalling: checks and both fragments of its ClientHello arrive first.
    world.run_for(Duration::from_millis(130));
    assert!(world.received.iter().all(|received| *received == Received::Handled), "{:?}", world.received);
    assert!(world.client.connected.is_none());
    world.peer.accept_answer(world.now, &answer).unwrap();
    let before = world.now;
    while world.client.connected.is_none() {
        world.run_for(Duration::from_millis(5));
        // Two trips, not a retransmission later.
        assert!(world.now < before + Duration::from_millis(60));
    }
    world.run_for(SECOND);
    assert!(world.peer.is_connected());
    assert!(world.events.iter().any(|event| matches!(event, PeerEvent::ChannelOpen(..))));
}

#[test]
fn a_client_that_insists_on_waiting_gets_our_client_hello() {
    let mut world = World::new(config(boring()), boring(), 1);
    world.client.role = Role::Server;
    world.peer.open_channel(world.now, spec("chat")).unwrap();
    let offer = world.peer.create_offer(world.now, false).unwrap();
    let answer = world.client.answer(&offer, "passive");
    world.peer.accept_answer(world.now, &answer).unwrap();
    world.run_for(SECOND);
    assert!(world.peer.is_connected() && world.client.connected.is_some());
    world.send_media(&rtp_packet(7, 1, b"from the peer"));
    let from_client = world.client.rtp(8, 1, b"from the client");
    world.send_to_peer(world.client.path, from_client);
    world.run_for(SECOND);
    assert_eq!(world.client.media, [rtp_packet(7, 1, b"from the peer")]);
    assert_eq!(world.media, [rtp_packet(8, 1, b"from the client")]);
}

#[test]
fn media_and_data_flow_both_ways() {
    let mut world = World::new(config(boring()), boring(), 1);
    let theirs = world.client.sctp.open(spec("from the client")).unwrap();
    let early = world.peer.open_channel(world.now, spec("from the peer")).unwrap();
    assert_eq!(world.peer.protect_rtp(&mut [0; 64], 20), None, "no keys yet");
    world.connect();
    let opened: Vec<_> = world
        .events
        .iter()
        .filter_map(|event| match event {
            PeerEvent::ChannelOpen(id, spec) => Some((*id, spec.label.as_str())),
            _ => None,
        })
        .collect();
    assert!(opened.contains(&(early, "from the peer")) && opened.contains(&(theirs, "from the client")));

    let big: Vec<u8> = (0..60_000_u32).map(|index| (index / 7) as u8).collect();
    world.peer.send(world.now, early, &big).unwrap();
    world.peer.send_text(world.now, early, "grüezi").unwrap();
    world.client.sctp.send(theirs, &big).unwrap();
    let unknown = parvis_peer::ChannelId(999);
    assert_eq!(world.peer.send(world.now, unknown, b"x"), Err(SendError::NotOpen));
    for sequence in 0..50 {
        world.send_media(&rtp_packet(7, sequence, &[sequence as u8; 900]));
        let packet = world.client.rtp(8, sequence, &[sequence as u8; 900]);
        world.send_to_peer(world.client.path, packet);
    }
    world.run_for(5 * SECOND);
    let message =
        |payload: &[u8], text| SctpEvent::Message { channel: early, text, payload: payload.to_vec().into() };
    assert!(world.client.sctp_events.contains(&message(&big, false)));
    assert!(world.client.sctp_events.contains(&message("grüezi".as_bytes(), true)));
    assert!(world.events.contains(&PeerEvent::ChannelMessage {
        channel: theirs,
        text: false,
        payload: big.into(),
    }));
    let expected = |ssrc| (0..50).map(|n| rtp_packet(ssrc, n, &[n as u8; 900])).collect::<Vec<_>>();
    assert_eq!(world.media, expected(8));
    assert_eq!(world.client.media, expected(7));
}

#[test]
fn it_connects_and_carries_data_over_links_that_lose_double_and_reorder() {
    for loss in [10, 20, 30] {
        for seed in 0..12 {
            let mut world = World::new(config(boring()), boring(), seed);
            world.faults = Faults { loss, duplicate: 10, reorder: 20 };
            world.check_every = Some(Duration::from_millis(500));
            let channel = world.client.sctp.open(spec("data")).unwrap();
            world.negotiate();
            world.run_for(20 * SECOND);
            assert!(world.peer.is_connected(), "loss {loss}, seed {seed}");
            // SCTP's own timers begin at a second and double.
            world.run_for(40 * SECOND);
            let sent = world.client.sctp.send(channel, b"through the storm");
            assert_eq!(
                sent,
                Ok(()),
                "loss {loss}, seed {seed}: {:?} {:?}",
                world.events,
                world.client.sctp_events
            );
            world.run_for(60 * SECOND);
            let arrived = world.events.iter().filter(
                |event| matches!(event, PeerEvent::ChannelMessage { payload, .. } if payload == &b"through the storm"[..]),
            );
            assert_eq!(arrived.count(), 1, "loss {loss}, seed {seed}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let run = |seed| {
        let server = Arc::new(StandIn::new([1; 32]));
        let mut world = World::new(config(server), Arc::new(StandIn::new([2; 32])), seed);
        world.faults = Faults { loss: 10, duplicate: 10, reorder: 20 };
        world.check_every = Some(Duration::from_millis(500));
        let channel = world.peer.open_channel(world.now, spec("data")).unwrap();
        let answer = world.peer.accept_offer(world.now, &world.client.offer()).unwrap();
        world.client.take_description(&answer);
        world.run_for(10 * SECOND);
        assert!(world.peer.is_connected(), "seed {seed}");
        world.send_media(&rtp_packet(7, 1, b"media"));
        world.peer.send(world.now, channel, &[5; 20_000]).unwrap();
        world.run_for(10 * SECOND);
        (answer, world.sent, world.events, world.client.media)
    };
    for seed in 0..20 {
        assert!(run(seed) == run(seed), "seed {seed}");
    }
    assert_ne!(run(1).0, run(2).0);
}

#[test]
fn closing_tells_the_client_and_takes_nothing_more() {
    let mut world = World::new(config(boring()), boring(), 1);
    world.connect();
    world.peer.close(world.now);
    let alert = world.peer.poll_transmit().expect("an alert").1;
    assert!((20..=63).contains(&alert[0]));
    let packet = world.client.rtp(8, 1, b"late");
    assert!(matches!(world.deliver(world.client.path, packet), Received::Dropped(_)));
    assert_eq!(world.peer.poll_timeout(), None);
    assert!(world.peer.accept_offer(world.now, &world.client.offer()).is_err());
}
