// SPDX-License-Identifier: EUPL-1.2
//! Datagrams over loopback, commands, events, and what happens when something goes wrong.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use common::{PATIENCE, candidate, config, failed, next_event, start, start_all, until};
use parvis_peer::Protocol;
use parvis_sfu::{Command, ForwarderId, PeerId, RoomId};
use parvis_shard::{ShardConfig, ShardError, ShardEvent};

fn client(to: SocketAddr) -> UdpSocket {
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { "::1".parse().unwrap() };
    let socket = UdpSocket::bind((any, 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Asks for `count` datagrams and checks that all arrive, in order and whole.
fn fetch(socket: &UdpSocket, server: SocketAddr, count: u8) {
    socket.send_to(&[b'n', count], server).unwrap();
    let mut buffer = [0; 2_000];
    for number in 0..count {
        let (size, from) = socket.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..size], from), ([number; 1_200].as_slice(), server));
    }
}

#[test]
fn an_answer_leaves_from_the_address_that_was_asked() {
    let mut addresses: Vec<IpAddr> = vec!["127.0.0.1".parse().unwrap(), "127.0.0.2".parse().unwrap()];
    if UdpSocket::bind("[::1]:0").is_ok() {
        addresses.push("::1".parse().unwrap());
    }
    let (shards, _events) = start(&ShardConfig { addresses: addresses.clone(), ..config() });
    let handle = shards.handle();
    let offered: Vec<SocketAddr> = handle
        .candidates(0)
        .iter()
        .filter(|candidate| candidate.protocol == Protocol::Udp)
        .map(|candidate| candidate.address)
        .collect();
    assert_eq!(offered.iter().map(SocketAddr::ip).collect::<Vec<_>>(), addresses);
    for server in offered {
        let socket = client(server);
        socket.send_to(b"echo", server).unwrap();
        let mut buffer = [0; 16];
        let (size, from) = socket.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..size], from), (b"echo".as_slice(), server));
    }
}

#[test]
fn equal_datagrams_leave_as_one_train() {
    let (shards, _events) = start(&config());
    let server = candidate(&shards, Protocol::Udp).address;
    fetch(&client(server), server, 40);
    let handle = shards.handle();
    let stats = handle.stats(0).unwrap();
    until("40 in trains", || stats.snapshot().udp_packets_out_gso == 40);
    let stats = stats.snapshot();
    assert_eq!((stats.udp_packets_out, stats.udp_bytes_out), (40, 48_000));
    assert_eq!((stats.udp_send_calls, stats.gso_fallbacks), (1, 0));
}

#[test]
fn what_an_engine_holds_back_leaves_with_the_same_turn_however_often_its_outbox_is_full() {
    let (shards, _events) = start(&config());
    let server = candidate(&shards, Protocol::Udp).address;
    let sockets = [(); 12].map(|()| client(server));
    // Nine of them have a full outbox between them.
    for _ in 0..20 {
        for socket in &sockets {
            socket.send_to(&[b'h', 60], server).unwrap();
        }
        for socket in &sockets {
            let mut buffer = [0; 2_000];
            for number in 0..60 {
                let (size, _) = socket.recv_from(&mut buffer).unwrap();
                assert_eq!(&buffer[..size], [number; 1_200].as_slice());
            }
        }
    }
}

#[test]
fn without_segmentation_offload_all_arrives_as_well() {
    let (shards, _events) = start(&ShardConfig { gso: false, gro: false, ..config() });
    let server = candidate(&shards, Protocol::Udp).address;
    // More than one call of sendmmsg takes, fewer than a client's socket holds.
    fetch(&client(server), server, 70);
    let handle = shards.handle();
    let stats = handle.stats(0).unwrap();
    until("70 out", || stats.snapshot().udp_packets_out == 70);
    assert_eq!((stats.snapshot().udp_packets_out_gso, stats.snapshot().udp_send_calls), (0, 2));
}

#[test]
fn commands_reach_the_engine_and_its_events_come_back_in_order() {
    let (shards, mut events) = start(&config());
    let room = shards.handle().new_room().unwrap();
    for peer in [1, 2] {
        let handle = shards.handle();
        handle.command(handle.home(room), Command::ClosePeer { peer: PeerId(peer) }).unwrap();
    }
    for peer in [1, 2, 2] {
        assert_eq!(next_event(&mut events), ShardEvent::Room(RoomId(peer), failed(PeerId(peer))));
    }
}

#[test]
fn row_07_a_panic_ends_the_engine_and_not_the_shard() {
    let (shards, mut events) = start(&config());
    let server = candidate(&shards, Protocol::Udp).address;
    let socket = client(server);
    socket.send_to(b"panic", server).unwrap();
    let failed = ShardEvent::EngineFailed { shard: 0, reason: "told to".to_owned(), given_up: false };
    assert_eq!(next_event(&mut events), failed);
    fetch(&socket, server, 3);
    assert_eq!(shards.handle().alive(), 1);
}

#[test]
fn row_07_a_panic_on_one_shard_is_told_of_its_rooms_and_disturbs_no_other() {
    let (shards, mut events) = start_all(&ShardConfig { shards: 2, ..config() });
    let handle = shards.handle();
    let rooms: Vec<RoomId> = (0..4).map(|_| handle.new_room().unwrap()).collect();
    let udp = |shard: usize| {
        let mut candidates = handle.candidates(shard).iter();
        candidates.find(|candidate| candidate.protocol == Protocol::Udp).unwrap().address
    };
    let sockets = [client(udp(0)), client(udp(1))];
    sockets[0].send_to(b"panic", udp(0)).unwrap();
    let failed_first = ShardEvent::EngineFailed { shard: 0, reason: "told to".to_owned(), given_up: false };
    assert_eq!(next_event(&mut events[0]), failed_first);
    fetch(&sockets[1], udp(1), 30);
    let (lost, kept): (Vec<&RoomId>, Vec<&RoomId>) = rooms.iter().partition(|room| handle.is_on(**room, 0));
    assert_eq!((lost.len(), kept.len()), (2, 2), "rooms go where the fewest are");
    for room in kept {
        assert!(handle.is_on(*room, 1));
        handle.command(handle.home(*room), Command::ClosePeer { peer: PeerId(1) }).unwrap();
        assert_eq!(next_event(&mut events[1]), ShardEvent::Room(RoomId(1), failed(PeerId(1))));
    }
    // The shard that failed serves again.
    fetch(&sockets[0], udp(0), 3);
    assert_eq!((handle.alive(), events[1].try_recv().is_err()), (2, true));
}

#[test]
fn row_07_a_shard_that_keeps_failing_gives_up_and_takes_no_more_rooms() {
    let (shards, mut events) = start(&config());
    let server = candidate(&shards, Protocol::Udp).address;
    let socket = client(server);
    for round in 0..6 {
        socket.send_to(b"panic", server).unwrap();
        let ShardEvent::EngineFailed { given_up, .. } = next_event(&mut events) else {
            panic!("another event");
        };
        assert_eq!(given_up, round == 5);
    }
    let handle = shards.handle();
    until("none alive", || handle.alive() == 0);
    assert_eq!(handle.new_room(), None);
}

#[test]
fn a_control_side_that_does_not_listen_loses_its_room_and_not_the_thread() {
    let (shards, mut events) = start(&ShardConfig { event_queue: 4, ..config() });
    let handle = shards.handle();
    let room = handle.new_room().unwrap();
    handle.command(handle.home(room), Command::ClosePeer { peer: PeerId(20) }).unwrap();
    let stats = handle.stats(0).unwrap();
    until("the room is given up", || stats.snapshot().rooms_lost == 1);
    // Others go on meanwhile.
    let server = candidate(&shards, Protocol::Udp).address;
    fetch(&client(server), server, 3);
    let mut heard = Vec::new();
    while heard.last() != Some(&ShardEvent::RoomLost(RoomId(20))) {
        heard.push(next_event(&mut events));
    }
    assert_eq!(heard.len(), 5, "what was in the queue, then the loss: {heard:?}");
}

#[test]
fn a_full_command_queue_gives_the_command_back() {
    let (shards, _events) = start(&ShardConfig { command_queue: 0, ..config() });
    let handle = shards.handle();
    let command = Command::ClosePeer { peer: PeerId(7) };
    // A queue of 0 takes a command only while the thread stands waiting in it, which it never does.
    assert_eq!(*handle.command(ForwarderId(0), command.clone()).unwrap_err().0, command);
}

#[test]
fn rooms_go_where_the_fewest_are() {
    let (shards, _events) = start(&ShardConfig { shards: 3, ..config() });
    let handle = shards.handle();
    let mut homes: Vec<u64> = (0..3).map(|_| handle.home(handle.new_room().unwrap()).0).collect();
    homes.sort();
    assert_eq!(homes, [0, 1, 2]);
    let (fourth, fifth) = (handle.new_room().unwrap(), handle.new_room().unwrap());
    handle.room_ended(fourth);
    let next = handle.new_room().unwrap();
    assert_ne!(next, fourth, "a name is never used twice");
    assert_ne!(handle.home(next), handle.home(fifth));
}

#[test]
fn a_port_in_use_is_refused_by_name() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let config = ShardConfig { first_udp_port: port, ..config() };
    let make = |_| panic!("never made");
    let error = parvis_shard::Shards::<common::Echo>::start(&config, make).err().unwrap();
    assert!(
        error.to_string().starts_with(&format!("cannot bind UDP 127.0.0.1:{port} for media: ")),
        "{error}"
    );
}

#[test]
fn a_wildcard_is_refused() {
    let config = ShardConfig { addresses: vec![Ipv4Addr::UNSPECIFIED.into()], ..config() };
    let make = |_| panic!("never made");
    let error = parvis_shard::Shards::<common::Echo>::start(&config, make).err().unwrap();
    assert!(matches!(error, ShardError::Wildcard(_)), "{error}");
}
