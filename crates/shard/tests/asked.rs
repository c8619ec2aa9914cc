// SPDX-License-Identifier: EUPL-1.2
//! Whether a forwarding thread goes on: what the service manager's watchdog is fed with.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::net::UdpSocket;
use std::time::Duration;

use common::{candidate, config, start_all, until};
use parvis_peer::Protocol;
use parvis_shard::ShardConfig;

/// Long enough to be seen, and less than anybody waits for.
const STALL: Duration = Duration::from_millis(400);

#[test]
fn a_thread_that_hangs_does_not_answer_and_the_others_do() {
    let (shards, _events) = start_all(&ShardConfig { shards: 2, first_tcp_port: None, ..config() });
    let handle = shards.handle();
    handle.ask();
    until("both answer", || handle.silent().is_empty());

    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    let stall = u16::try_from(STALL.as_millis()).unwrap().to_be_bytes();
    client.send_to(&[b's', stall[0], stall[1]], candidate(&shards, Protocol::Udp).address).unwrap();
    until("it has the datagram", || handle.stats(0).unwrap().snapshot().udp_packets_in == 1);
    handle.ask();
    until("the other one answers", || handle.silent() == [0]);
    assert_eq!(handle.alive(), 2, "it is there, and does nothing");
    until("it goes on", || handle.silent().is_empty());
}

#[test]
fn a_thread_that_is_gone_is_not_waited_for() {
    let (shards, _events) = start_all(&ShardConfig { first_tcp_port: None, ..config() });
    let handle = shards.handle();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    // Six panics within a minute, and it gives up.
    until("it gives up", || {
        // What is there at one moment is thrown away with the first panic.
        client.send_to(b"p", candidate(&shards, Protocol::Udp).address).unwrap();
        handle.alive() == 0
    });
    handle.ask();
    assert!(handle.silent().is_empty());
}
