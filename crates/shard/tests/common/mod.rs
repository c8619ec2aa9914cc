// SPDX-License-Identifier: EUPL-1.2
//! An engine that does what the first byte of a datagram says.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::panic)]

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use parvis_peer::{FailReason, LocalCandidate, Path, Protocol};
use parvis_sfu::{Command, Event, Outbox, PeerId, RoomId};
use parvis_shard::{Engine, EngineSetup, ShardConfig, ShardEvent, Shards};
use tokio::sync::mpsc::Receiver;

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(10);

pub struct Echo {
    events: VecDeque<(RoomId, Event)>,
    pub closed: Vec<Path>,
    /// To whom datagrams are to be forwarded, and how many.
    held: VecDeque<(Path, u8)>,
}

impl Engine for Echo {
    type Stats = usize;

    /// Closing a peer makes as many events as its number says.
    fn handle_command(&mut self, _: Instant, command: Command, _: &mut Outbox) {
        if let Command::ClosePeer { peer } = command {
            for _ in 0..peer.0 {
                self.events.push_back((RoomId(peer.0), failed(peer)));
            }
        }
    }

    fn handle_datagram(&mut self, _: Instant, path: Path, datagram: &mut [u8], outbox: &mut Outbox) {
        match datagram {
            [b'e', ..] => outbox.push(path, datagram),
            [b'n', count, ..] => (0..*count).for_each(|number| outbox.push(path, &[number; 1_200])),
            [b'p', ..] => panic!("told to"),
            [b's', high, low] => {
                std::thread::sleep(Duration::from_millis(u16::from_be_bytes([*high, *low]).into()));
            }
            _ => {}
        }
    }

    fn hold_datagram(&mut self, now: Instant, path: Path, datagram: &mut [u8], outbox: &mut Outbox) {
        match datagram {
            [b'h', count, ..] => self.held.push_back((path, *count)),
            _ => self.handle_datagram(now, path, datagram, outbox),
        }
    }

    /// As many as the outbox takes.
    fn forward_held(&mut self, _: Instant, outbox: &mut Outbox) -> bool {
        while let Some((path, count)) = self.held.pop_front() {
            for number in 0..count {
                outbox.push(path, &[number; 1_200]);
            }
            if outbox.is_full() {
                return true;
            }
        }
        false
    }

    fn path_closed(&mut self, _: Instant, path: Path, _: &mut Outbox) {
        self.closed.push(path);
        self.events.push_back((RoomId(0), failed(PeerId(path.remote.port().into()))));
    }

    fn handle_timeout(&mut self, _: Instant, _: &mut Outbox) {}

    fn poll_timeout(&mut self) -> Option<Instant> {
        None
    }

    fn poll_event(&mut self) -> Option<(RoomId, Event)> {
        self.events.pop_front()
    }

    fn stats(&self) -> usize {
        self.closed.len()
    }
}

pub fn failed(peer: PeerId) -> Event {
    Event::PeerFailed { peer, reason: FailReason::Closed }
}

pub fn config() -> ShardConfig {
    ShardConfig {
        addresses: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
        first_udp_port: 0,
        first_tcp_port: Some(0),
        pin: false,
        ..ShardConfig::default()
    }
}

pub fn start(config: &ShardConfig) -> (Shards<Echo>, Receiver<ShardEvent>) {
    let (shards, mut receivers) = start_all(config);
    (shards, receivers.remove(0))
}

/// The same with the events of every shard.
pub fn start_all(config: &ShardConfig) -> (Shards<Echo>, Vec<Receiver<ShardEvent>>) {
    let make = |_: EngineSetup| Echo { events: VecDeque::new(), closed: Vec::new(), held: VecDeque::new() };
    Shards::start(config, make).unwrap()
}

pub fn candidate(shards: &Shards<Echo>, protocol: Protocol) -> LocalCandidate {
    let handle = shards.handle();
    *handle.candidates(0).iter().find(|candidate| candidate.protocol == protocol).unwrap()
}

/// Waits until a condition on shared counters holds.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "{what}: not in {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub fn next_event(events: &mut Receiver<ShardEvent>) -> ShardEvent {
    let end = Instant::now() + PATIENCE;
    loop {
        match events.try_recv() {
            Ok(event) => return event,
            Err(_) => assert!(Instant::now() < end, "no event in {PATIENCE:?}"),
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
