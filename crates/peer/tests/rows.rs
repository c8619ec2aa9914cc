// SPDX-License-Identifier: EUPL-1.2
//! Rows of the threat table, by their number, as far as a peer holds them.

mod support;

use std::time::{Duration, Instant};

use parvis_peer::{CandidateError, DropReason, FailReason, PeerEvent, Protocol, Received, stun_local_ufrag};
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};
use support::{CLIENT, SERVER, World, boring, config, path, peer, rtp_packet, udp};

const SECOND: Duration = Duration::from_secs(1);
const STRANGER: &str = "203.0.113.66:6666";

fn world() -> World {
    World::new(config(boring()), boring(), 1)
}

/// A ClientHello from someone else than the client.
fn foreign_hello() -> Vec<u8> {
    let now = Instant::now();
    let mut client = support::Client::new(boring(), 9, now);
    client.start_dtls(now);
    client.poll_transmit(now).unwrap_or_default()
}

#[test]
fn row_01_a_strangers_client_hello_is_dropped_before_during_and_after_the_handshake() {
    let mut world = world();
    let (stranger, hello) = (udp(SERVER, STRANGER), foreign_hello());
    let attack = |world: &mut World| {
        for _ in 0..334 {
            assert!(hello.len() > 1000);
            let received = world.deliver(stranger, hello.clone());
            assert_eq!(received, Received::Dropped(DropReason::UnvalidatedPath));
        }
        // A forged fatal alert, in plain text: before keys, DTLS would believe it.
        let alert = vec![21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 40];
        assert_eq!(world.deliver(stranger, alert), Received::Dropped(DropReason::UnvalidatedPath));
    };
    attack(&mut world);
    world.negotiate();
    attack(&mut world);
    // The client's hello is on its way, ours back isn't yet.
    world.run_for(Duration::from_millis(65));
    assert!(world.peer.send_path().is_some() && !world.peer.is_connected());
    attack(&mut world);
    world.run_for(SECOND);
    assert!(world.peer.is_connected() && world.client.connected.is_some());
    attack(&mut world);
    let packet = world.client.rtp(8, 1, b"undisturbed");
    assert!(matches!(world.deliver(world.client.path, packet), Received::Rtp { .. }));
    assert!(world.sent.iter().all(|(path, _)| *path != stranger), "nothing is sent to the stranger");
    assert_eq!(world.peer.stats().drops(DropReason::UnvalidatedPath), 4 * 335);
}

#[test]
fn row_02_media_from_a_third_port_moves_nothing_and_is_answered_by_nothing() {
    let mut world = world();
    world.connect();
    let stranger = udp(SERVER, STRANGER);
    for sequence in 0..500 {
        // Authentic packets of the client's even, sent on by someone else.
        let packet = world.client.rtp(8, sequence, b"stolen");
        assert_eq!(world.deliver(stranger, packet), Received::Dropped(DropReason::UnvalidatedPath));
    }
    // Same address, other local address or protocol: another 5-tuple all the same.
    let packet = world.client.rtp(8, 1000, b"stolen");
    for other in [udp("192.0.2.1:7883", CLIENT), path(Protocol::Tcp, SERVER, CLIENT)] {
        assert_eq!(world.deliver(other, packet.clone()), Received::Dropped(DropReason::UnvalidatedPath));
    }
    world.send_media(&rtp_packet(7, 1, b"answer"));
    world.run_for(SECOND);
    assert_eq!(world.peer.send_path(), Some(world.client.path));
    assert_eq!(world.client.media, [rtp_packet(7, 1, b"answer")]);
    assert!(world.sent.iter().all(|(path, _)| *path != stranger));
}

#[test]
fn row_03_forged_media_in_mid_call_costs_the_call_nothing() {
    let mut world = world();
    world.connect();
    let mut random = ChaCha20Rng::from_seed([3; 32]);
    let good: Vec<_> = (0..200).map(|sequence| world.client.rtp(8, sequence, &[7; 200])).collect();
    for packet in &good {
        for _ in 0..100 {
            let mut forged = packet.clone();
            match random.next_u32() % 4 {
                0 => *forged.last_mut().unwrap() ^= 1,
                1 => forged[2] ^= 0x40, // a sequence number far away
                2 => forged[8] ^= 0xff, // an SSRC that doesn't exist
                _ => random.fill_bytes(&mut forged[12..]),
            }
            assert_eq!(world.deliver(world.client.path, forged), Received::Dropped(DropReason::BadTag));
        }
        assert!(matches!(world.deliver(world.client.path, packet.clone()), Received::Rtp { .. }));
    }
    assert_eq!(world.media.len(), 200);
    assert_eq!(world.peer.stats().drops(DropReason::BadTag), 20_000);
    assert!(world.peer.is_connected());
}

#[test]
fn row_04_a_replayed_packet_is_not_taken_twice() {
    let mut world = world();
    world.connect();
    let packets: Vec<_> = (0..100).map(|sequence| world.client.rtp(8, sequence, &[7; 50])).collect();
    for packet in &packets {
        assert!(matches!(world.deliver(world.client.path, packet.clone()), Received::Rtp { .. }));
    }
    for packet in packets.iter().rev() {
        let received = world.deliver(world.client.path, packet.clone());
        assert_eq!(received, Received::Dropped(DropReason::Replayed));
    }
    assert_eq!(world.media.len(), 100);
}

#[test]
fn row_05_another_certificate_than_the_signalled_one_gets_no_media() {
    let mut world = world();
    world.negotiate();
    world.client.dtls = boring(); // not the one whose fingerprint was in the offer
    world.run_for(5 * SECOND);
    assert!(world.events.contains(&PeerEvent::Failed(FailReason::Fingerprint)), "{:?}", world.events);
    assert!(!world.events.iter().any(|event| matches!(event, PeerEvent::Connected(_))));
    assert!(!world.peer.is_connected());
    assert_eq!(world.peer.protect_rtp(&mut [0; 100], 20), None);
    let reason = world.client.dtls_error.expect("an alert").to_string();
    assert!(reason.contains("BAD_CERTIFICATE"), "{reason}");

    // A new fingerprint within a connection is refused, too.
    let mut world = self::world();
    world.connect();
    world.client.dtls = boring();
    assert!(world.peer.accept_offer(world.now, &world.client.offer()).is_err());
    assert!(world.peer.is_connected());
}

#[test]
fn row_06_a_flood_before_the_handshakes_end_is_bounded() {
    // Before the answer to our offer: nothing is parsed, little is kept.
    let mut world = world();
    world.check_every = None;
    let spec = parvis_peer::ChannelSpec { label: String::new(), ordered: true, max_retransmits: None };
    world.peer.open_channel(world.now, spec).unwrap();
    let offer = world.peer.create_offer(world.now, false).unwrap();
    world.client.take_description(&offer);
    let check = world.client.check(true);
    world.deliver(world.client.path, check);
    let kept =
        (0..1000).filter(|_| world.deliver(world.client.path, vec![22; 1000]) == Received::Handled).count();
    assert_eq!(kept, 8);
    assert_eq!(world.peer.stats().drops(DropReason::Limit), 992);

    // And after it: the handshake ends.
    let mut world = self::world();
    world.check_every = None;
    world.negotiate();
    let check = world.client.check(true);
    world.deliver(world.client.path, check);
    let mut taken = 0;
    for sequence in 0..10_000_u16 {
        // Fragments of a ClientHello of 16,000 bytes that never completes.
        let mut datagram = vec![22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0];
        datagram.extend_from_slice(&sequence.to_be_bytes());
        datagram.extend_from_slice(&[0x03, 0xf4, 1, 0x00, 0x3e, 0x80, 0, 0, 0, 0x10, 0, 0, 0x03, 0xe8]);
        datagram.resize(13 + 12 + 1000, 0);
        taken += usize::from(world.deliver(world.client.path, datagram) == Received::Handled);
    }
    assert!(taken <= 300, "{taken}");
    assert!(matches!(world.events.last(), Some(PeerEvent::Failed(FailReason::Handshake(_)))));
}

#[test]
fn row_09_spoofed_checks_are_answered_by_nothing_and_true_ones_by_no_more_than_came() {
    let mut world = world();
    world.negotiate();
    let mut spoofed = Vec::new();
    for change in 0..6 {
        let mut request = world.client.request(true);
        match change {
            0 => request.password.push('x'),
            1 => request.username = format!("{}x:y", world.client.remote_ufrag),
            2 => request.username = world.client.remote_ufrag.clone(),
            3 => request.integrity = false,
            4 => request.fingerprint = false,
            _ => request.username.clear(),
        }
        spoofed.push(request.bytes());
    }
    // A response and an indication, otherwise right.
    for kind in [[0x01, 0x01], [0x00, 0x11]] {
        let mut message = world.client.check(true);
        message[..2].copy_from_slice(&kind);
        spoofed.push(message);
    }
    let stranger = udp(SERVER, STRANGER);
    for message in spoofed {
        assert!(matches!(world.deliver(stranger, message), Received::Dropped(_)));
    }
    assert!(world.sent.is_empty() && world.events.is_empty());
    assert_eq!(world.peer.send_path(), None);

    // True checks in all sizes, over both families. The smallest has an empty user fragment of the client's.
    for client in [CLIENT, "[2001:db8:7::9]:50000"] {
        for (ufrag, controlled) in [("", false), ("a", false), ("abcdefgh", false), ("abcd", true)] {
            let mut request = world.client.request(false);
            request.username = format!("{}:{ufrag}", world.client.remote_ufrag);
            request.controlled = controlled;
            let bytes = request.bytes();
            world.sent.clear();
            world.deliver(udp(SERVER, client), bytes.clone());
            assert_eq!(world.sent.len(), 1);
            assert!(world.sent[0].1.len() <= bytes.len(), "{} for {}", world.sent[0].1.len(), bytes.len());
        }
    }
}

#[test]
fn row_10_a_check_meant_for_one_peer_opens_no_other() {
    let now = Instant::now();
    let configuration = std::sync::Arc::new(config(boring()));
    let mut peers: Vec<_> =
        (0..50).map(|seed| parvis_peer::Peer::new(configuration.clone(), [seed; 32], now)).collect();
    let mut client = support::Client::new(boring(), 1, now);
    let answer = peers[0].accept_offer(now, &client.offer()).unwrap();
    client.take_description(&answer);
    let check = client.check(true);
    assert_eq!(stun_local_ufrag(&check), peers[0].local_ufrags().next());
    for other in &mut peers[1..] {
        let received = other.handle_datagram(now, client.path, &mut check.clone());
        assert_eq!(received, Received::Dropped(DropReason::Unauthenticated));
        // Not even with the other's user fragment, which anyone on the path can read.
        let ufrag = other.local_ufrags().next().unwrap().to_owned();
        let mut request = client.request(true);
        request.username = format!("{ufrag}:{}", client.ufrag);
        let received = other.handle_datagram(now, client.path, &mut request.bytes());
        assert_eq!(received, Received::Dropped(DropReason::Unauthenticated));
        assert!(other.poll_transmit().is_none() && other.send_path().is_none());
    }
}

#[test]
fn row_11_candidates_inside_networks_are_never_dialled() {
    let mut world = world();
    world.check_every = None;
    world.negotiate();
    for address in ["169.254.169.254", "127.0.0.1", "10.0.0.1", "::1", "192.0.2.1"] {
        let candidate = format!("candidate:1 1 udp 2122260223 {address} 80 typ host");
        assert_eq!(world.peer.add_remote_candidate(&candidate), Ok(()));
    }
    world.run_for(29 * SECOND);
    assert!(world.sent.is_empty(), "nothing leaves before an authentic check came");

    let refused = world.peer.add_remote_candidate("candidate:1 1 udp 1 host\u{0}name 80 typ host");
    assert!(matches!(refused, Err(CandidateError::Syntax(_))));
    for _ in 0..100 {
        let _ = world.peer.add_remote_candidate("candidate:1 1 udp 1 10.0.0.1 80 typ host");
    }
    let refused = world.peer.add_remote_candidate("candidate:1 1 udp 1 10.0.0.1 80 typ host");
    assert_eq!(refused, Err(CandidateError::TooMany { limit: 64 }));
    assert_eq!(world.peer.stats().candidates_refused, 1 + (106 - 64) + 1);
}

#[test]
fn row_23_ten_thousand_ssrcs_of_one_client_end_at_a_bound() {
    let mut world = world();
    world.connect();
    let taken = (0..10_000)
        .filter(|ssrc| {
            let packet = world.client.rtp(1000 + ssrc, 1, b"x");
            matches!(world.deliver(world.client.path, packet), Received::Rtp { .. })
        })
        .count();
    assert_eq!(taken, parvis_rtp::srtp::Limits::RECEIVE.max_streams);
    assert_eq!(world.peer.stats().drops(DropReason::Limit), 10_000 - taken as u64);
    // The streams that were there first go on.
    let packet = world.client.rtp(1000, 2, b"x");
    assert!(matches!(world.deliver(world.client.path, packet), Received::Rtp { .. }));
}

#[test]
fn row_24_the_same_ssrc_from_two_peers_is_two_streams() {
    // Each peer has its own keys and its own replay window: what one sends is nothing to the other, and a packet of
    // one on the other's path doesn't pass for the other's.
    let (mut one, mut two) = (world(), World::new(config(boring()), boring(), 2));
    two.client.path = udp(SERVER, "198.51.100.8:50000");
    one.connect();
    two.connect();
    for sequence in 0..20 {
        let (first, second) = (one.client.rtp(8, sequence, b"one"), two.client.rtp(8, sequence, b"two"));
        assert_eq!(two.deliver(two.client.path, first.clone()), Received::Dropped(DropReason::BadTag));
        assert!(matches!(one.deliver(one.client.path, first), Received::Rtp { .. }));
        assert!(matches!(two.deliver(two.client.path, second), Received::Rtp { .. }));
    }
    assert!(one.media.iter().all(|packet| packet.ends_with(b"one")));
    assert!(two.media.iter().all(|packet| packet.ends_with(b"two")));
    assert_eq!((one.media.len(), two.media.len()), (20, 20));
}

#[test]
fn arbitrary_bytes_from_anywhere_disturb_nobody() {
    let mut random = ChaCha20Rng::from_seed([9; 32]);
    let mut bare = peer(Instant::now());
    let mut world = world();
    world.connect();
    for _ in 0..20_000 {
        let mut datagram = vec![0; (random.next_u32() % 120) as usize];
        random.fill_bytes(&mut datagram);
        if let [first, ..] = &mut datagram[..] {
            *first = [0, 1, 22, 23, 25, 44, 63, 128, 144, 200][(random.next_u32() % 10) as usize];
        }
        let received = bare.handle_datagram(world.now, world.client.path, &mut datagram.clone());
        assert!(matches!(received, Received::Dropped(_)));
        world.deliver(world.client.path, datagram);
    }
    assert!(world.media.is_empty());
    let packet = world.client.rtp(8, 1, b"undisturbed");
    assert!(matches!(world.deliver(world.client.path, packet), Received::Rtp { .. }));
}
