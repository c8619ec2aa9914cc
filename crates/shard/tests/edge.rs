// SPDX-License-Identifier: EUPL-1.2
//! Connections that somebody else accepted, and addresses that stand for others.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use common::{PATIENCE, config, next_event, start};
use parvis_peer::Protocol;
use parvis_sfu::{PeerId, RoomId};
use parvis_shard::{ShardConfig, ShardEvent};

#[test]
fn a_connection_that_is_handed_over_goes_on_with_what_it_has_sent_already() {
    // Without a listener of its own.
    let (shards, mut events) = start(&ShardConfig { first_tcp_port: None, ..config() });
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.write_all(&[0, 2, b'e', b'1']).unwrap();
    let (accepted, _) = listener.accept().unwrap();
    assert_eq!(accepted.peek(&mut [0; 2]).unwrap(), 2, "somebody looked at it");
    assert!(shards.handle().adopt(0, accepted));
    let mut answer = [0; 4];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, &[0, 2, b'e', b'1']);
    let port = client.local_addr().unwrap().port();
    drop(client);
    let told = ShardEvent::Room(RoomId(0), common::failed(PeerId(port.into())));
    assert_eq!(next_event(&mut events), told);
    assert_eq!(shards.handle().stats(0).unwrap().snapshot().tcp_accepted, 1);
    let (spare, _) = (TcpStream::connect(listener.local_addr().unwrap()).unwrap(), ());
    assert!(!shards.handle().adopt(7, spare), "there is no such shard");
}

#[test]
fn an_address_behind_a_nat_is_offered_as_the_one_before_it_and_never_as_itself() {
    let offered = vec![("127.0.0.1".parse().unwrap(), "203.0.113.7".parse().unwrap())];
    let (shards, _events) = start(&ShardConfig { offered, shared_tcp_port: Some(443), ..config() });
    let handle = shards.handle();
    let (bound, candidates) = (handle.bound(0).to_vec(), handle.candidates(0).to_vec());
    assert_eq!(bound.len(), 1);
    assert_eq!(candidates.len(), 3);
    assert!(candidates.iter().all(|candidate| candidate.address.ip().to_string() == "203.0.113.7"));
    assert_eq!(candidates[0].address.port(), bound[0].port(), "a 1:1 NAT keeps ports");
    let tcp: Vec<u16> = candidates[1..].iter().map(|candidate| candidate.address.port()).collect();
    assert!(candidates[1..].iter().all(|candidate| candidate.protocol == Protocol::Tcp));
    assert_eq!(tcp[1], 443, "the shared port comes last");
}
