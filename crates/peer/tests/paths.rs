// SPDX-License-Identifier: EUPL-1.2
//! Paths come, move, expire and come back.

mod support;

use std::time::Duration;

use parvis_peer::{DropReason, FailReason, PeerEvent, Protocol, Received, stun_local_ufrag};
use support::{CLIENT, SERVER, World, boring, config, path, rtp_packet, stun, udp};

const SECOND: Duration = Duration::from_secs(1);
const MOVED: &str = "203.0.113.20:1234";

fn world() -> World {
    World::new(config(boring()), boring(), 1)
}

#[test]
fn a_rebound_client_goes_on_without_a_handshake_once_its_check_came() {
    let mut world = world();
    world.connect();
    let moved = udp(SERVER, MOVED);
    world.client.path = moved;
    world.check_every = None;
    // Media alone moves nothing.
    let packet = world.client.rtp(8, 1, b"before the check");
    assert_eq!(world.deliver(moved, packet), Received::Dropped(DropReason::UnvalidatedPath));
    assert_eq!(world.peer.send_path(), Some(udp(SERVER, CLIENT)));
    world.check(true);
    world.run_for(SECOND);
    assert_eq!(world.peer.send_path(), Some(moved));
    assert!(world.events.contains(&PeerEvent::PathValidated(moved)));
    let packet = world.client.rtp(8, 2, b"after the check");
    world.send_to_peer(moved, packet);
    world.send_media(&rtp_packet(7, 1, b"back"));
    world.run_for(SECOND);
    assert_eq!(world.media, [rtp_packet(8, 2, b"after the check")]);
    assert_eq!(world.client.media, [rtp_packet(7, 1, b"back")]);
    let connected = world.events.iter().filter(|event| matches!(event, PeerEvent::Connected(_)));
    assert_eq!(connected.count(), 1);
}

/// Connects with one nomination, as Firefox does; its later checks nominate nothing.
fn connect_nominating_once(world: &mut World) {
    world.check_every = None;
    world.negotiate();
    world.check(true);
    world.run_for(SECOND);
    assert!(world.peer.is_connected());
}

#[test]
fn a_rebound_client_that_never_nominates_again_is_followed_when_its_old_path_is_silent() {
    let mut world = world();
    connect_nominating_once(&mut world);
    let (old, moved) = (world.client.path, udp(SERVER, MOVED));
    // The old path spoke just now: a second one, not nominated, changes nothing.
    let packet = world.client.rtp(8, 1, b"alive");
    assert!(matches!(world.deliver(old, packet), Received::Rtp { .. }));
    let check = world.client.check(false);
    world.deliver(moved, check);
    assert_eq!(world.peer.send_path(), Some(old));
    // A second of silence later it does.
    world.run_for(SECOND);
    let check = world.client.check(false);
    world.deliver(moved, check);
    assert_eq!(world.peer.send_path(), Some(moved));
    // And the client may nominate the old one again.
    let check = world.client.check(true);
    world.deliver(old, check);
    assert_eq!(world.peer.send_path(), Some(old));
}

#[test]
fn a_client_that_nominates_with_each_check_is_not_second_guessed_before_two_are_missing() {
    let mut world = world();
    world.connect();
    world.check_every = None;
    let (nominated, other) = (world.client.path, udp(SERVER, MOVED));
    let check = world.client.check(true);
    world.deliver(nominated, check);
    for _ in 0..5 {
        world.run_for(SECOND);
        let check = world.client.check(false);
        world.deliver(other, check);
        assert_eq!(world.peer.send_path(), Some(nominated));
    }
    world.run_for(SECOND);
    let check = world.client.check(false);
    world.deliver(other, check);
    assert_eq!(world.peer.send_path(), Some(other));
}

#[test]
fn without_checks_the_peer_disconnects_after_thirty_seconds_and_a_check_revives_it() {
    let mut world = world();
    world.connect();
    world.check(true);
    world.run_for(Duration::from_millis(20));
    world.check_every = None;
    world.events.clear();
    // Media keeps nothing alive: consent is a matter of checks (RFC 7675).
    for sequence in 0..29 {
        let packet = world.client.rtp(8, sequence, b"still talking");
        assert!(matches!(world.deliver(world.client.path, packet), Received::Rtp { .. }));
        world.run_for(SECOND);
    }
    assert!(world.peer.is_connected());
    world.run_for(2 * SECOND);
    assert_eq!(world.events, [PeerEvent::PathRemoved(world.client.path), PeerEvent::Disconnected]);
    assert!(!world.peer.is_connected() && world.peer.send_path().is_none());
    let packet = world.client.rtp(8, 100, b"too late");
    assert_eq!(world.deliver(world.client.path, packet), Received::Dropped(DropReason::UnvalidatedPath));
    world.events.clear();
    world.check(true);
    world.run_for(SECOND);
    assert_eq!(world.events, [PeerEvent::PathValidated(world.client.path), PeerEvent::Resumed]);
    let packet = world.client.rtp(8, 101, b"again");
    assert!(matches!(world.deliver(world.client.path, packet), Received::Rtp { .. }));
    // It stays up: the deadline for coming back is gone.
    world.check_every = Some(2 * SECOND);
    world.run_for(100 * SECOND);
    assert!(world.peer.is_connected());
}

#[test]
fn a_peer_that_never_comes_or_never_comes_back_fails() {
    let mut never = world();
    never.check_every = None;
    never.run_for(300 * SECOND);
    assert_eq!(never.peer.poll_timeout(), None, "without a description nothing is awaited");
    never.negotiate();
    never.run_for(300 * SECOND);
    assert_eq!(never.events, [PeerEvent::Failed(FailReason::Timeout)]);

    let mut gone = world();
    gone.connect();
    gone.check_every = None;
    gone.run_for(300 * SECOND);
    assert_eq!(gone.events.last(), Some(&PeerEvent::Failed(FailReason::Timeout)));
    assert!(gone.events.contains(&PeerEvent::Disconnected));
}

#[test]
fn an_ice_restart_of_the_clients_keeps_the_old_path_until_the_new_credentials_are_used() {
    let mut world = world();
    world.connect();
    world.check_every = None;
    let before = world.client.remote_ufrag.clone();
    let old_check = world.client.check(true);
    world.client.ufrag = "restarted".to_owned();
    world.client.password = "anotherpasswordanotherpassword".to_owned();
    world.negotiate();
    let after = world.client.remote_ufrag.clone();
    assert_ne!(before, after);
    assert_eq!(world.peer.local_ufrags().collect::<Vec<_>>(), [after.as_str(), before.as_str()]);
    // Old checks still count, media goes on.
    assert_eq!(world.deliver(world.client.path, old_check.clone()), Received::Handled);
    let packet = world.client.rtp(8, 1, b"during");
    assert!(matches!(world.deliver(world.client.path, packet), Received::Rtp { .. }));

    let moved = udp(SERVER, MOVED);
    world.client.path = moved;
    let check = world.client.check(true);
    assert_eq!(stun_local_ufrag(&check), Some(after.as_str()));
    assert_eq!(world.deliver(moved, check), Received::Handled);
    assert_eq!(world.peer.local_ufrags().collect::<Vec<_>>(), [after.as_str()]);
    assert_eq!(world.peer.send_path(), Some(moved));
    assert_eq!(world.deliver(moved, old_check), Received::Dropped(DropReason::Unauthenticated));
    let packet = world.client.rtp(8, 2, b"after");
    assert!(matches!(world.deliver(moved, packet), Received::Rtp { .. }));
    assert_eq!(world.events.iter().filter(|event| matches!(event, PeerEvent::Connected(_))).count(), 1);
}

#[test]
fn an_ice_restart_of_ours_can_be_taken_back() {
    let mut world = world();
    world.connect();
    let before = world.client.remote_ufrag.clone();
    let offer = world.peer.create_offer(world.now, true).unwrap();
    let offered = support::attribute(&offer, "ice-ufrag").unwrap().to_owned();
    assert_ne!(offered, before);
    assert_eq!(world.peer.local_ufrags().collect::<Vec<_>>(), [offered.as_str(), before.as_str()]);
    world.peer.rollback();
    assert_eq!(world.peer.local_ufrags().collect::<Vec<_>>(), [before.as_str()]);
    let check = world.client.check(true);
    assert_eq!(world.deliver(world.client.path, check), Received::Handled);

    // And gone through with.
    let offer = world.peer.create_offer(world.now, true).unwrap();
    world.client.ufrag = "restarted".to_owned();
    world.client.password = "anotherpasswordanotherpassword".to_owned();
    let answer = world.client.answer(&offer, "active");
    world.peer.accept_answer(world.now, &answer).unwrap();
    let check = world.client.check(true);
    assert_eq!(world.deliver(world.client.path, check), Received::Handled);
    assert_eq!(world.peer.local_ufrags().count(), 1);
    assert_ne!(world.peer.local_ufrags().next(), Some(before.as_str()));
}

#[test]
fn it_connects_over_tcp_and_moves_away_when_the_connection_closes() {
    let mut world = world();
    let tcp = path(Protocol::Tcp, "192.0.2.1:7881", CLIENT);
    world.client.path = tcp;
    world.connect();
    assert_eq!(world.peer.send_path(), Some(tcp));
    world.check_every = None;
    world.run_for(SECOND);
    world.events.clear();
    let second = path(Protocol::Tcp, "192.0.2.1:7881", "198.51.100.7:50001");
    let check = world.client.check(false);
    world.deliver(second, check);
    world.peer.path_closed(world.now, tcp);
    world.collect();
    assert_eq!(world.peer.send_path(), Some(second));
    world.peer.path_closed(world.now, second);
    world.collect();
    let expected = [
        PeerEvent::PathValidated(second),
        PeerEvent::PathRemoved(tcp),
        PeerEvent::PathRemoved(second),
        PeerEvent::Disconnected,
    ];
    assert_eq!(world.events, expected);
}

#[test]
fn it_connects_over_ipv6() {
    let mut world = world();
    world.client.path = udp("[2001:db8::1]:7882", "[2001:db8:7::9]:50000");
    world.connect();
    assert_eq!(world.peer.send_path(), Some(world.client.path));
}

#[test]
fn at_most_sixteen_paths_are_kept_and_the_nominated_one_is_never_pushed_out() {
    let mut world = world();
    world.connect();
    world.check_every = None;
    let nominated = world.client.path;
    world.events.clear();
    for port in 0..100_u16 {
        let check = world.client.check(false);
        world.deliver(udp(SERVER, &format!("203.0.113.20:{}", 1000 + port)), check);
        // The nominated path stays alive meanwhile.
        let packet = world.client.rtp(8, port, b"x");
        assert!(matches!(world.deliver(nominated, packet), Received::Rtp { .. }));
    }
    let count = |wanted: fn(&PeerEvent) -> bool| world.events.iter().filter(|event| wanted(event)).count();
    assert_eq!(count(|event| matches!(event, PeerEvent::PathValidated(_))), 100);
    assert_eq!(count(|event| matches!(event, PeerEvent::PathRemoved(_))), 85);
    assert_eq!(world.peer.stats().paths_evicted, 85);
    assert_eq!(world.peer.send_path(), Some(nominated));
}

#[test]
fn a_client_that_takes_itself_for_the_controlled_one_is_told_otherwise() {
    let mut world = world();
    world.negotiate();
    let mut request = world.client.request(true);
    request.controlled = true;
    assert_eq!(world.deliver(world.client.path, request.bytes()), Received::Handled);
    assert_eq!(stun::error_code(&world.sent.last().unwrap().1), Some(487));
    assert_eq!(world.peer.send_path(), None);
    assert_eq!(world.peer.stats().role_conflicts, 1);

    let mut request = world.client.request(true);
    request.extra = vec![(0x7777, vec![1, 2, 3, 4])];
    world.deliver(world.client.path, request.bytes());
    assert_eq!(stun::error_code(&world.sent.last().unwrap().1), Some(420));
    assert_eq!(world.peer.send_path(), None);
}
