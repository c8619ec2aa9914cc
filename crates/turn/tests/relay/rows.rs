// SPDX-License-Identifier: EUPL-1.2
//! Attacks on relays, by their numbers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use parvis_peer::stun::{Message, Writer};
use parvis_turn::{Transport, TurnConfig};
use proptest::prelude::*;

use crate::lab::*;

/// Every way to write an IPv4 address as an IPv6 one that somebody translates back.
fn disguises(v4: Ipv4Addr) -> Vec<IpAddr> {
    let [a, b, c, d] = v4.octets();
    let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    [
        [0, 0, 0, 0, 0, 0xffff, high, low],
        [0x64, 0xff9b, 0, 0, 0, 0, high, low],
        [0x2002, high, low, 0, 0, 0, 0, 1],
        [0x2001, 0, 0x5db8, 0xd822, 0, 0, !high, !low],
    ]
    .map(|parts| IpAddr::from(Ipv6Addr::from(parts)))
    .to_vec()
}

/// Tries to reach an address through a relay in every way there is, and says by which codes it was refused.
fn reach(lab: &mut Lab, user: &mut User, peer: SocketAddr) -> Vec<Answer> {
    let bind: &[(u16, &[u8])] = &[(0x000c, &[0x40, 0x07, 0, 0])];
    let answers = vec![
        user.ask(lab, CREATE_PERMISSION, &[], &[peer]),
        user.ask(lab, CREATE_PERMISSION, &[], &[SocketAddr::new(peer.ip(), 0)]),
        user.ask(lab, CREATE_PERMISSION, &[], &[address(MEDIA), peer]),
        user.ask(lab, CHANNEL_BIND, bind, &[peer]),
    ];
    assert_eq!(lab.relay(user.client, &user.indication(peer, b"let me in")), None, "{peer}");
    assert_eq!(lab.relay(user.client, &channel(0x4007, b"let me in")), None, "{peer}");
    answers
}

fn ada_with_an_allocation(lab: &mut Lab) -> User {
    let mut ada = lab.participant("PA_ada", "198.51.100.9:4711", Transport::Tcp);
    ada.allocate(lab);
    ada
}

#[test]
fn row_12_nothing_inside_the_network_is_reached_through_a_relay() {
    let mut lab = Lab::new();
    let mut ada = ada_with_an_allocation(&mut lab);
    for peer in [
        "10.0.0.1:80",
        "172.16.0.1:80",
        "192.168.1.1:80",
        "169.254.169.254:80",
        "100.64.0.1:80",
        "127.0.0.1:7890",
        "198.18.0.1:80",
        "224.0.0.1:80",
        "255.255.255.255:80",
        "[fc00::1]:80",
        "[fe80::1]:80",
        "[ff02::1]:80",
        // The media socket's own address behind the edge, which clients are not told; its host; other ports of ours.
        MEDIA_BOUND,
        "10.0.0.5:22",
        "203.0.113.7:22",
        "203.0.113.7:7883",
        "203.0.113.7:3478",
        // And the whole Internet: this is no relay to anyone else.
        "9.9.9.9:53",
        "[2620:fe::fe]:53",
    ] {
        let answers = reach(&mut lab, &mut ada, address(peer));
        let ours = peer.starts_with("203.0.113.7:");
        // A permission is for an address, so port 0 of our own passes; nothing comes of it but to media ports.
        let forbidden = answers.iter().filter(|answer| **answer == Answer::Error(403)).count();
        assert_eq!(forbidden, if ours { 3 } else { 4 }, "{peer}: {answers:?}");
    }
    assert_eq!(lab.server.stats().packets_to_media, 0);
}

#[test]
fn row_13_aliases_of_loopback_are_refused() {
    let mut lab = Lab::new();
    let mut ada = ada_with_an_allocation(&mut lab);
    for peer in
        ["0.0.0.0:7882", "[::]:7882", "[::1]:7882", "127.0.0.1:7882", "127.1.2.3:7882", "[::127.0.0.1]:7882"]
    {
        let answers = reach(&mut lab, &mut ada, address(peer));
        assert!(answers.iter().all(|answer| *answer == Answer::Error(403)), "{peer}: {answers:?}");
    }
}

proptest! {
    #[test]
    fn row_14_a_disguise_opens_nothing_that_the_plain_address_does_not(octets in any::<[u8; 4]>(), port in 1u16..) {
        let mut lab = Lab::new();
        let mut ada = ada_with_an_allocation(&mut lab);
        let plain = Ipv4Addr::from(octets);
        prop_assume!(plain.to_string() != "203.0.113.7");
        for ip in disguises(plain).into_iter().chain([plain.into()]) {
            let answers = reach(&mut lab, &mut ada, SocketAddr::new(ip, port));
            prop_assert!(answers.iter().all(|answer| *answer == Answer::Error(403)), "{}: {:?}", ip, answers);
        }
        prop_assert_eq!(lab.server.stats().packets_to_media, 0);
    }
}

#[test]
fn row_14_a_media_address_in_disguise_is_the_media_address() {
    let mut lab = Lab::new();
    let mut ada = ada_with_an_allocation(&mut lab);
    for ip in disguises(Ipv4Addr::new(203, 0, 113, 7)) {
        let peer = SocketAddr::new(ip, 7882);
        assert!(matches!(ada.ask(&mut lab, CREATE_PERMISSION, &[], &[peer]), Answer::Success(_)), "{peer}");
        let sent = lab.relay(ada.client, &ada.indication(peer, b"x"));
        assert_eq!(sent.map(|(_, to, _)| to), Some(address(MEDIA_BOUND)), "{peer}");
    }
}

#[test]
fn row_15_one_participant_has_a_quota_and_others_do_not_feel_it() {
    let mut lab = Lab::new();
    let mut eve = lab.participant("PA_eve", "198.51.100.66:1", Transport::Tcp);
    let mut answers = Vec::new();
    for number in 0..10_000_u32 {
        // Every one from another address and port.
        let remote =
            format!("198.{}.{}.{}:{}", 51 + (number >> 16), (number >> 8) & 255, number & 255, 1 + number);
        eve.client = client(&remote, Transport::Tcp);
        eve.nonce.clear();
        answers.push(eve.ask(&mut lab, ALLOCATE, &[OVER_UDP], &[]));
    }
    let made = answers.iter().filter(|answer| matches!(answer, Answer::Success(_))).count();
    let refused = answers.iter().filter(|answer| **answer == Answer::Error(486)).count();
    assert_eq!((made, refused, lab.sockets.len()), (12, 9_988, 12));
    assert_eq!(lab.server.stats().quota_reached, 9_988);
    let mut ada = lab.participant("PA_ada", "198.51.100.9:4711", Transport::Tcp);
    ada.allocate(&mut lab);
}

#[test]
fn row_15_one_address_and_the_whole_have_a_quota_too() {
    let config = TurnConfig { max_allocations: 8, max_allocations_per_address: 3, ..TurnConfig::default() };
    let mut lab = Lab::with(config);
    let mut made = Vec::new();
    for address in 0..4 {
        for user in 0..4 {
            let remote = format!("[2001:db8:0:{address}::{user}]:4711");
            let mut user = lab.participant(&format!("PA_{address}_{user}"), &remote, Transport::Tcp);
            made.push(matches!(user.ask(&mut lab, ALLOCATE, &[OVER_UDP], &[]), Answer::Success(_)));
        }
    }
    let per_address: Vec<usize> =
        made.chunks(4).map(|own| own.iter().filter(|made| **made).count()).collect();
    assert_eq!(per_address, [3, 3, 2, 0], "three of a /64, eight in all");
    // Who gives one back makes room.
    lab.server.revoke("PA_0_0");
    let mut late = lab.participant("PA_late", "[2001:db8:0:9::1]:1", Transport::Tcp);
    late.allocate(&mut lab);
}

#[test]
fn row_16_credentials_are_worth_nothing_after_their_owner_has_left() {
    let mut lab = Lab::new();
    let mut ada = ada_with_an_allocation(&mut lab);
    assert!(matches!(ada.ask(&mut lab, CREATE_PERMISSION, &[], &[address(MEDIA)]), Answer::Success(_)));
    assert!(lab.relay(ada.client, &ada.indication(address(MEDIA), b"x")).is_some());
    let (relay, _) = lab.sockets[0];

    lab.server.revoke("PA_ada");
    lab.pass(std::time::Duration::ZERO);
    assert!(lab.sockets.is_empty(), "her socket is closed");
    assert_eq!(lab.relay(ada.client, &ada.indication(address(MEDIA), b"x")), None);
    assert_eq!(lab.server.handle_relay(lab.now, relay, address(MEDIA_BOUND), b"x"), None);
    for method in [ALLOCATE, REFRESH, CREATE_PERMISSION, CHANNEL_BIND] {
        assert_eq!(ada.ask(&mut lab, method, &[OVER_UDP], &[address(MEDIA)]), Answer::Error(401));
    }
    // A thief at another address has no more of them.
    ada.client = client("198.51.100.66:1", Transport::Tcp);
    ada.nonce.clear();
    assert_eq!(ada.ask(&mut lab, ALLOCATE, &[OVER_UDP], &[]), Answer::Error(401));
    // Nor does the next participant get hers.
    let mut bo = lab.participant("PA_bo", "198.51.100.10:1", Transport::Tcp);
    bo.allocate(&mut lab);
}

#[test]
fn row_17_who_has_proved_nothing_gets_no_more_bytes_than_he_sent() {
    let mut lab = Lab::new();
    let victim = client("198.51.100.66:53", Transport::Udp);
    lab.server.admit("PA_ada");
    let bare = |method: u16| {
        let mut writer = Writer::new(method, &[3; 12]);
        writer.attribute(OVER_UDP.0, OVER_UDP.1);
        writer.finish_bare()
    };
    let stale = {
        let credentials = lab.issuer.issue(lab.now, "PA_ada", std::time::Duration::from_secs(60));
        User::new(credentials, victim)
    };
    let (mut came, mut left, mut answers) = (0, 0, 0);
    for round in 0..2_000 {
        let request = match round % 5 {
            0 => Writer::new(0x0001, &[1; 12]).finish_bare(),
            1 => stale.write(&mut lab, ALLOCATE, &[OVER_UDP], &[]),
            2 => bare(CONNECT),
            3 => vec![0; 4],
            _ => bare(ALLOCATE),
        };
        came += request.len();
        if let Some(answer) = lab.deliver(victim, &request) {
            left += answer.len();
            answers += 1;
        }
        assert!(left <= came, "{left} bytes for {came}");
    }
    assert!(answers > 200, "it does answer: {answers}");
    assert_eq!(lab.server.stats().allocations_now, 0, "and keeps nothing");
}

#[test]
fn row_17_a_browsers_second_try_gets_the_challenge() {
    let mut lab = Lab::new();
    let ada = client("198.51.100.9:4711", Transport::Udp);
    let mut writer = Writer::new(ALLOCATE, &[3; 12]);
    writer.attribute(OVER_UDP.0, OVER_UDP.1);
    let request = writer.finish_bare();
    assert_eq!(request.len(), 28);
    assert_eq!(lab.deliver(ada, &request), None);
    let challenge = lab.deliver(ada, &request).expect("a challenge");
    assert!(challenge.len() <= 56);
    assert_eq!(error_code(&Message::parse(&challenge).unwrap()), Some(401));
}

#[test]
fn row_18_nothing_is_relayed_over_tcp() {
    let mut lab = Lab::new();
    let mut ada = ada_with_an_allocation(&mut lab);
    for method in [CONNECT, 0x000b, 0x000c] {
        assert_eq!(ada.ask(&mut lab, method, &[], &[address(MEDIA)]), Answer::Error(400));
    }
    ada.client = client("198.51.100.9:4712", Transport::Tcp);
    assert_eq!(ada.ask(&mut lab, ALLOCATE, &[(TRANSPORT, &[6, 0, 0, 0])], &[]), Answer::Error(442));
    assert_eq!(lab.sockets.len(), 1);
}

#[test]
fn row_12_what_a_stranger_sends_to_a_relays_socket_reaches_nobody() {
    let mut lab = Lab::new();
    let mut ada = ada_with_an_allocation(&mut lab);
    assert!(matches!(ada.ask(&mut lab, CREATE_PERMISSION, &[], &[address(MEDIA)]), Answer::Success(_)));
    let (relay, _) = lab.sockets[0];
    for stranger in ["198.51.100.66:1", "10.0.0.5:7881", "203.0.113.7:7882", "127.0.0.1:7882"] {
        assert_eq!(
            lab.server.handle_relay(lab.now, relay, address(stranger), b"spoofed"),
            None,
            "{stranger}"
        );
    }
    assert!(lab.server.handle_relay(lab.now, relay, address(MEDIA_BOUND), b"media").is_some());
}

proptest! {
    #[test]
    fn no_bytes_break_it_or_leave_anything_behind(
        datagrams in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..40),
    ) {
        let mut lab = Lab::new();
        lab.server.admit("PA_ada");
        for datagram in datagrams {
            let _ = lab.deliver(client("198.51.100.66:1", Transport::Udp), &datagram);
        }
        prop_assert_eq!(lab.server.stats().allocations_now, 0);
    }
}
