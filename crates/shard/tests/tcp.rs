// SPDX-License-Identifier: EUPL-1.2
//! ICE over TCP: frames, bounds and deadlines.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use common::{PATIENCE, candidate, config, next_event, start, until};
use parvis_peer::Protocol;
use parvis_sfu::{PeerId, RoomId};
use parvis_shard::{ShardConfig, ShardEvent, TcpConfig};

fn connect(server: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn frame(payload: &[u8]) -> Vec<u8> {
    [&(payload.len() as u16).to_be_bytes(), payload].concat()
}

fn read_frame(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut payload = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut payload)?;
    Ok(payload)
}

fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 16]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[test]
fn frames_in_any_pieces_come_back_as_frames() {
    let (shards, mut events) = start(&config());
    let mut stream = connect(candidate(&shards, Protocol::Tcp).address);
    let local = stream.local_addr().unwrap();
    let long = [b"e".as_slice(), &[7; 3_000]].concat();
    let bytes = [frame(b"e one"), frame(b""), frame(&long), frame(b"e two")].concat();
    for piece in bytes.chunks(700) {
        stream.write_all(piece).unwrap();
        std::thread::sleep(Duration::from_millis(1));
    }
    for expected in [b"e one".as_slice(), &long, b"e two"] {
        assert_eq!(read_frame(&mut stream).unwrap(), expected);
    }
    drop(stream);
    let told = ShardEvent::Room(RoomId(0), common::failed(PeerId(local.port().into())));
    assert_eq!(next_event(&mut events), told, "the engine hears that the path is gone");
}

#[test]
fn a_frame_beyond_the_limit_closes_its_connection_only() {
    let (shards, _events) = start(&config());
    let server = candidate(&shards, Protocol::Tcp).address;
    let (mut good, mut bad) = (connect(server), connect(server));
    bad.write_all(&[0xff, 0xff, 0]).unwrap();
    assert!(is_closed(&mut bad));
    good.write_all(&frame(b"e still here")).unwrap();
    assert_eq!(read_frame(&mut good).unwrap(), b"e still here");
    assert_eq!(shards.handle().stats(0).unwrap().snapshot().tcp_malformed, 1);
}

#[test]
fn row_38_a_connection_that_nobody_answers_is_closed_at_its_deadline() {
    let tcp = TcpConfig { first_answer: Duration::from_millis(300), ..TcpConfig::default() };
    let (shards, _events) = start(&ShardConfig { tcp, ..config() });
    let server = candidate(&shards, Protocol::Tcp).address;
    let (mut silent, mut ignored, mut good) = (connect(server), connect(server), connect(server));
    ignored.write_all(&frame(b"what the engine does not answer")).unwrap();
    good.write_all(&frame(b"e hello")).unwrap();
    assert_eq!(read_frame(&mut good).unwrap(), b"e hello");
    assert!(is_closed(&mut silent) && is_closed(&mut ignored));
    good.write_all(&frame(b"e again")).unwrap();
    assert_eq!(read_frame(&mut good).unwrap(), b"e again");
    assert_eq!(shards.handle().stats(0).unwrap().snapshot().tcp_timed_out, 2);
}

#[test]
fn row_38_connections_from_one_address_and_in_all_are_capped() {
    let tcp = TcpConfig { max_connections: 6, max_connections_per_ip: 4, ..TcpConfig::default() };
    let (shards, _events) = start(&ShardConfig { tcp, ..config() });
    let server = candidate(&shards, Protocol::Tcp).address;
    let mut kept: Vec<TcpStream> = (0..4).map(|_| connect(server)).collect();
    for stream in &mut kept {
        stream.write_all(&frame(b"e")).unwrap();
        assert_eq!(read_frame(stream).unwrap(), b"e");
    }
    assert!(is_closed(&mut connect(server)), "the fifth from this address");
    // One that leaves makes room for another.
    kept.pop();
    let handle = shards.handle();
    until("one was let in again", || {
        let mut next = connect(server);
        next.write_all(&frame(b"e")).is_ok() && read_frame(&mut next).is_ok()
    });
    assert!(handle.stats(0).unwrap().snapshot().tcp_refused >= 1);
}

#[test]
fn row_38_whoever_waits_longest_for_an_answer_makes_room_and_who_has_one_stays() {
    let tcp = TcpConfig { max_connections: 4, ..TcpConfig::default() };
    let (shards, mut events) = start(&ShardConfig { tcp, ..config() });
    let server = candidate(&shards, Protocol::Tcp).address;
    let answered = || {
        let mut stream = connect(server);
        stream.write_all(&frame(b"e")).unwrap();
        assert_eq!(read_frame(&mut stream).unwrap(), b"e");
        stream
    };
    let handle = shards.handle();
    let stats = || handle.stats(0).unwrap().snapshot();
    let mut kept = vec![answered()];
    let (mut chatting, mut silent) = (connect(server), connect(server));
    kept.push(answered());
    // Whatever one says, as long as it is not answered it is nothing: it goes before the one that came after it.
    chatting.write_all(&frame(b"what the engine does not answer")).unwrap();
    until("it was read", || stats().tcp_frames_in == 3);
    let gone = chatting.local_addr().unwrap().port();
    kept.push(answered());
    assert!(is_closed(&mut chatting));
    assert_eq!(next_event(&mut events), ShardEvent::Room(RoomId(0), common::failed(PeerId(gone.into()))));
    kept.push(answered());
    assert!(is_closed(&mut silent));
    // All four are something now.
    assert!(is_closed(&mut connect(server)), "nobody makes room for the seventh");
    for stream in &mut kept {
        stream.write_all(&frame(b"e still here")).unwrap();
        assert_eq!(read_frame(stream).unwrap(), b"e still here");
    }
    assert_eq!((stats().tcp_accepted, stats().tcp_displaced, stats().tcp_refused), (6, 2, 1));
    // A place that was given up in either way serves again.
    kept.clear();
    for _ in 0..20 {
        until("there is a place", || {
            let mut next = connect(server);
            next.write_all(&frame(b"e")).is_ok() && read_frame(&mut next).is_ok()
        });
    }
}

#[test]
fn row_38_a_thousand_silent_connections_keep_nobody_out() {
    let tcp = TcpConfig { max_connections: 64, max_connections_per_ip: 4_000, ..TcpConfig::default() };
    let (shards, _events) = start(&ShardConfig { tcp, ..config() });
    let server = candidate(&shards, Protocol::Tcp).address;
    let mut first = connect(server);
    first.write_all(&frame(b"e")).unwrap();
    assert_eq!(read_frame(&mut first).unwrap(), b"e");
    let mut silent = Vec::new();
    for number in 0..1_000 {
        silent.push(connect(server));
        if number % 50 == 49 {
            let mut next = connect(server);
            next.write_all(&frame(b"e")).unwrap();
            assert_eq!(read_frame(&mut next).unwrap(), b"e", "after {number}");
        }
    }
    let handle = shards.handle();
    let stats = || handle.stats(0).unwrap().snapshot();
    until("all were taken", || stats().tcp_accepted == 1_021);
    assert_eq!(stats().tcp_refused, 0);
    // The last one that was answered has gone since.
    until("those that are left are counted", || stats().tcp_connections_now == 63);
    first.write_all(&frame(b"e still here")).unwrap();
    assert_eq!(read_frame(&mut first).unwrap(), b"e still here");
}

#[test]
fn a_reader_that_stops_costs_no_more_than_its_queue() {
    let tcp = TcpConfig { write_queue_bytes: 10_000, ..TcpConfig::default() };
    let (shards, _events) = start(&ShardConfig { tcp, ..config() });
    let server = candidate(&shards, Protocol::Tcp).address;
    let (mut slow, mut good) = (connect(server), connect(server));
    let handle = shards.handle();
    let stats = handle.stats(0).unwrap();
    until("frames are dropped", || {
        slow.write_all(&frame(&[b'n', 255])).unwrap();
        stats.snapshot().tcp_dropped_full > 0
    });
    good.write_all(&frame(b"e fine")).unwrap();
    assert_eq!(read_frame(&mut good).unwrap(), b"e fine");
    // When it reads again, it reads whole frames.
    slow.write_all(&frame(b"e last")).unwrap();
    let end = std::time::Instant::now() + PATIENCE;
    loop {
        let payload = read_frame(&mut slow).unwrap();
        if payload == b"e last" {
            break;
        }
        assert!(payload.len() == 1_200 && payload.iter().all(|byte| *byte == payload[0]));
        assert!(std::time::Instant::now() < end);
        if payload[0] == 254 {
            slow.write_all(&frame(b"e last")).unwrap();
        }
    }
}
