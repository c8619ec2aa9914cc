// SPDX-License-Identifier: EUPL-1.2
//! Each method of RFC 8656, as a client uses it.

use std::time::Duration;

use parvis_peer::stun::{BINDING_REQUEST, Message, Writer, XOR_MAPPED_ADDRESS, read_xor_address};
use parvis_turn::{Credentials, Transport, TurnConfig};

use crate::lab::*;

#[test]
fn a_participant_relays_by_indications_and_by_a_channel_in_both_directions() {
    for transport in [Transport::Udp, Transport::Tcp, Transport::Tls] {
        let mut lab = Lab::new();
        let mut ada = lab.participant("PA_ada", "198.51.100.9:4711", transport);
        let (relay, _) = ada.allocate(&mut lab);
        let media = address(MEDIA);

        // Without a permission nothing goes either way.
        assert_eq!(lab.relay(ada.client, &ada.indication(media, b"early")), None);
        assert_eq!(lab.server.handle_relay(lab.now, relay, address(MEDIA_BOUND), b"early"), None);
        assert!(matches!(ada.ask(&mut lab, CREATE_PERMISSION, &[], &[media]), Answer::Success(_)));

        let sent = lab.relay(ada.client, &ada.indication(media, b"hello"));
        assert_eq!(sent, Some((relay, address(MEDIA_BOUND), b"hello".to_vec())), "to where it is bound");
        let (to, bytes) = lab.server.handle_relay(lab.now, relay, address(MEDIA_BOUND), b"world").unwrap();
        let data = Message::parse(&bytes).unwrap();
        assert_eq!((to, data.kind(), data.attribute(DATA)), (ada.client, 0x0017, Some(&b"world"[..])));
        let from = data.attribute(PEER).and_then(|value| read_xor_address(value, data.transaction()));
        assert_eq!(from, Some(media), "the address that is offered, not the one behind it");

        let bind: &[(u16, &[u8])] = &[(0x000c, &[0x40, 0x01, 0, 0])];
        assert!(matches!(ada.ask(&mut lab, CHANNEL_BIND, bind, &[media]), Answer::Success(_)));
        let sent = lab.relay(ada.client, &channel(0x4001, b"by number"));
        assert_eq!(sent, Some((relay, address(MEDIA_BOUND), b"by number".to_vec())));
        let (_, bytes) = lab.server.handle_relay(lab.now, relay, address(MEDIA_BOUND), b"a").unwrap();
        let mut expected = channel(0x4001, b"a");
        if transport != Transport::Udp {
            expected.extend([0; 3]);
        }
        assert_eq!(bytes, expected, "a stream's messages are padded");
        let stats = lab.server.stats();
        assert_eq!((stats.packets_to_media, stats.packets_to_clients, stats.unpermitted), (2, 2, 2));
    }
}

#[test]
fn an_allocation_lives_as_long_as_it_is_refreshed_and_its_socket_no_longer() {
    let mut lab = Lab::new();
    let mut ada = lab.participant("PA_ada", "198.51.100.9:4711", Transport::Udp);
    ada.allocate(&mut lab);
    for _ in 0..5 {
        lab.pass(Duration::from_secs(500));
        assert!(matches!(ada.ask(&mut lab, REFRESH, &[], &[]), Answer::Success(_)));
    }
    assert_eq!(lab.sockets.len(), 1);
    assert!(matches!(ada.ask(&mut lab, REFRESH, &[(LIFETIME, &[0; 4])], &[]), Answer::Success(_)));
    assert_eq!((lab.sockets.len(), lab.server.stats().allocations_now), (0, 0));
    assert_eq!(ada.ask(&mut lab, REFRESH, &[], &[]), Answer::Error(437));

    ada.allocate(&mut lab);
    let until = lab.server.poll_timeout().unwrap();
    assert_eq!(until, lab.now + Duration::from_secs(600));
    lab.pass(Duration::from_secs(600));
    assert_eq!((lab.sockets.len(), lab.server.poll_timeout()), (0, None), "nobody refreshed it");
}

#[test]
fn a_request_that_is_repeated_gets_the_same_answer_and_another_one_none() {
    let mut lab = Lab::new();
    let mut ada = lab.participant("PA_ada", "198.51.100.9:4711", Transport::Udp);
    assert_eq!(
        ada.ask(&mut lab, REFRESH, &[], &[]),
        Answer::Error(437),
        "there is none yet; a nonce there is"
    );
    let request = ada.write(&mut lab, ALLOCATE, &[OVER_UDP], &[]);
    let first = lab.deliver(ada.client, &request).unwrap();
    assert_eq!(lab.deliver(ada.client, &request), Some(first));
    assert_eq!(ada.ask(&mut lab, ALLOCATE, &[OVER_UDP], &[]), Answer::Error(437));
    assert_eq!(lab.sockets.len(), 1);
}

#[test]
fn what_is_not_offered_is_refused_by_its_own_code() {
    let mut lab = Lab::new();
    let mut ada = lab.participant("PA_ada", "198.51.100.9:4711", Transport::Tcp);
    let mut refused = |attributes: &[(u16, &[u8])]| ada.ask(&mut lab, ALLOCATE, attributes, &[]);
    type Attributes<'a> = &'a [(u16, &'a [u8])];
    let cases: [(Attributes<'_>, u16); 9] = [
        (&[], 400),
        (&[(TRANSPORT, &[17])], 400),
        (&[(TRANSPORT, &[6, 0, 0, 0])], 442),
        (&[OVER_UDP, (EVEN_PORT, &[0x80])], 508),
        (&[OVER_UDP, (TOKEN, &[1; 8])], 508),
        (&[OVER_UDP, (TOKEN, &[1; 8]), (EVEN_PORT, &[0])], 400),
        (&[OVER_UDP, (TOKEN, &[1; 8]), (FAMILY, &[2, 0, 0, 0])], 400),
        (&[OVER_UDP, (FAMILY, &[3, 0, 0, 0])], 440),
        // DONT-FRAGMENT, and one that nobody knows.
        (&[OVER_UDP, (0x001a, &[])], 420),
    ];
    for (attributes, code) in cases {
        assert_eq!(refused(attributes), Answer::Error(code), "{attributes:?}");
    }
    assert!(matches!(refused(&[OVER_UDP, (FAMILY, &[2, 0, 0, 0])]), Answer::Success(_)));
    let media = address(MEDIA);
    assert_eq!(ada.ask(&mut lab, CREATE_PERMISSION, &[], &[media]), Answer::Error(443), "not its family");
    assert_eq!(ada.ask(&mut lab, CREATE_PERMISSION, &[], &[]), Answer::Error(400));
    assert!(matches!(ada.ask(&mut lab, CREATE_PERMISSION, &[], &[address(MEDIA_V6)]), Answer::Success(_)));
    for number in [&[0x3f, 0xff, 0, 0], &[0x50, 0, 0, 0]] {
        let bind: &[(u16, &[u8])] = &[(0x000c, number)];
        assert_eq!(ada.ask(&mut lab, CHANNEL_BIND, bind, &[address(MEDIA_V6)]), Answer::Error(400));
    }
}

#[test]
fn without_a_socket_left_the_client_is_told_and_nothing_stays() {
    let mut lab = Lab::new();
    let mut ada = lab.participant("PA_ada", "198.51.100.9:4711", Transport::Tcp);
    lab.socket_left = false;
    assert_eq!(ada.ask(&mut lab, ALLOCATE, &[OVER_UDP], &[]), Answer::Error(508));
    assert_eq!((lab.server.stats().allocations_now, lab.server.stats().no_capacity), (0, 1));
    lab.socket_left = true;
    ada.allocate(&mut lab);
}

#[test]
fn a_connection_that_ends_takes_its_allocation_with_it() {
    let mut lab = Lab::new();
    let mut ada = lab.participant("PA_ada", "198.51.100.9:4711", Transport::Tls);
    ada.allocate(&mut lab);
    lab.server.disconnected(ada.client);
    lab.pass(Duration::ZERO);
    assert_eq!((lab.sockets.len(), lab.server.stats().allocations_now), (0, 0));
}

#[test]
fn an_allocation_is_its_makers_alone() {
    let mut lab = Lab::new();
    let mut ada = lab.participant("PA_ada", "198.51.100.9:4711", Transport::Tcp);
    ada.allocate(&mut lab);
    // Somebody else behind the same connection: a proxy mixes them up, or wants to.
    let mut bo = lab.participant("PA_bo", "198.51.100.9:4711", Transport::Tcp);
    assert_eq!(bo.ask(&mut lab, REFRESH, &[(LIFETIME, &[0; 4])], &[]), Answer::Error(441));
    assert_eq!(bo.ask(&mut lab, CREATE_PERMISSION, &[], &[address(MEDIA)]), Answer::Error(441));
    // And from another one nothing of Ada's is to be had by its 5-tuple.
    let mut carla = lab.participant("PA_carla", "198.51.100.9:4712", Transport::Tcp);
    assert_eq!(carla.ask(&mut lab, CREATE_PERMISSION, &[], &[address(MEDIA)]), Answer::Error(437));
    assert_eq!(lab.relay(carla.client, &ada.indication(address(MEDIA), b"mine?")), None);
}

#[test]
fn credentials_whose_time_is_over_begin_nothing_new_and_end_nothing() {
    let mut lab = Lab::new();
    let mut ada = lab.participant("PA_ada", "198.51.100.9:4711", Transport::Tcp);
    ada.allocate(&mut lab);
    for _ in 0..8 {
        lab.pass(Duration::from_secs(500));
        assert!(matches!(ada.ask(&mut lab, REFRESH, &[], &[]), Answer::Success(_)), "her call goes on");
    }
    ada.client = client("198.51.100.9:4712", Transport::Tcp);
    assert_eq!(ada.ask(&mut lab, ALLOCATE, &[OVER_UDP], &[]), Answer::Error(401));
    ada.credentials = lab.issuer.issue(lab.now, "PA_ada", Duration::from_secs(60));
    ada.allocate(&mut lab);
}

#[test]
fn nobody_else_can_make_credentials() {
    let mut lab = Lab::new();
    let mut ada = lab.participant("PA_ada", "198.51.100.9:4711", Transport::Tcp);
    let good = ada.credentials.clone();
    let forged = [
        Credentials { password: "guess".to_owned(), ..good.clone() },
        Credentials { username: good.username.replace("18000", "19000"), ..good.clone() },
        Credentials { username: good.username.replace("PA_ada", "PA_bo"), ..good.clone() },
        Credentials { username: "PA_ada".to_owned(), ..good.clone() },
        Credentials { username: String::new(), ..good },
    ];
    for credentials in forged {
        ada.credentials = credentials.clone();
        assert_eq!(ada.ask(&mut lab, ALLOCATE, &[OVER_UDP], &[]), Answer::Error(401), "{credentials:?}");
    }
    // A nonce of another address is none.
    let mut bo = lab.participant("PA_bo", "198.51.100.10:4711", Transport::Tcp);
    bo.allocate(&mut lab);
    let fresh = bo.nonce.clone();
    bo.nonce = ada.nonce.clone();
    let request = bo.write(&mut lab, REFRESH, &[], &[]);
    let answer = lab.deliver(bo.client, &request).unwrap();
    assert_eq!(error_code(&Message::parse(&answer).unwrap()), Some(438));
    bo.nonce = fresh;
    let request = bo.write(&mut lab, REFRESH, &[], &[]);
    let answer = lab.deliver(bo.client, &request).unwrap();
    assert_eq!(error_code(&Message::parse(&answer).unwrap()), None);
}

#[test]
fn more_than_may_be_relayed_is_dropped_for_one_and_not_for_the_other() {
    let mut lab = Lab::with(TurnConfig { max_bitrate_per_user: 80_000, ..TurnConfig::default() });
    let mut users: Vec<User> = ["PA_ada", "PA_bo"]
        .into_iter()
        .zip(["198.51.100.9:1", "198.51.100.10:1"])
        .map(|(sid, remote)| lab.participant(sid, remote, Transport::Tcp))
        .collect();
    for user in &mut users {
        user.allocate(&mut lab);
        assert!(matches!(user.ask(&mut lab, CREATE_PERMISSION, &[], &[address(MEDIA)]), Answer::Success(_)));
    }
    let packet = users[0].indication(address(MEDIA), &[7; 1_000]);
    let relayed = (0..100).filter(|_| lab.relay(users[0].client, &packet).is_some()).count();
    assert_eq!(relayed, 2, "a quarter of a second at 10,000 bytes each");
    assert_eq!(lab.server.stats().over_bitrate, 98);
    assert!(lab.relay(users[1].client, &packet).is_some());
}

#[test]
fn a_stranger_learns_his_own_address_and_no_more() {
    let mut lab = Lab::new();
    let stranger = client("198.51.100.66:5", Transport::Tcp);
    let request = Writer::new(BINDING_REQUEST, &[1; 12]).finish_bare();
    let answer = lab.deliver(stranger, &request).unwrap();
    let message = Message::parse(&answer).unwrap();
    let told = message.attribute(XOR_MAPPED_ADDRESS).and_then(|v| read_xor_address(v, message.transaction()));
    assert_eq!(told, Some(stranger.remote));
    assert_eq!(lab.server.stats().allocations_now, 0);
}
