// SPDX-License-Identifier: EUPL-1.2
//! What a shard runs: the forwarder, or a stand-in in tests.

use std::net::SocketAddr;
use std::time::Instant;

use parvis_peer::{LocalCandidate, Path};
use parvis_sfu::{Command, Event, Forwarder, ForwarderId, ForwarderStats, Outbox, RoomId, TrunkBatch};

/// A forwarder without I/O, as a shard sees it. After every call the shard drains [`Engine::poll_event`] and sends
/// what is in the outbox.
pub trait Engine: 'static {
    /// Counters that the metrics show, copied about once a second.
    type Stats: Clone + Default + Send + 'static;

    /// Does one thing that the control side asks for.
    fn handle_command(&mut self, now: Instant, command: Command, outbox: &mut Outbox);
    /// Takes one datagram; it may decrypt in place.
    fn handle_datagram(&mut self, now: Instant, path: Path, datagram: &mut [u8], outbox: &mut Outbox);
    /// The same, but what is to be forwarded may be held back until [`Engine::forward_held`], so that datagrams that came
    /// together leave together.
    fn hold_datagram(&mut self, now: Instant, path: Path, datagram: &mut [u8], outbox: &mut Outbox) {
        self.handle_datagram(now, path, datagram, outbox);
    }
    /// Forwards what is held back. `true` when the outbox is full before all of it is done: it is to be sent, and this to be
    /// called again.
    fn forward_held(&mut self, now: Instant, outbox: &mut Outbox) -> bool {
        let _ = (now, outbox);
        false
    }
    /// A TCP connection is gone.
    fn path_closed(&mut self, now: Instant, path: Path, outbox: &mut Outbox);
    /// Time has come to [`Engine::poll_timeout`].
    fn handle_timeout(&mut self, now: Instant, outbox: &mut Outbox);
    /// When to call [`Engine::handle_timeout`] next.
    fn poll_timeout(&mut self) -> Option<Instant>;
    /// What happened, oldest first.
    fn poll_event(&mut self) -> Option<(RoomId, Event)>;
    /// Its counters.
    fn stats(&self) -> Self::Stats;

    /// Takes what another shard's engine says. An engine that shares nothing needs none of this and the next three.
    fn handle_trunk(&mut self, now: Instant, from: ForwarderId, batch: &TrunkBatch, outbox: &mut Outbox) {
        let _ = (now, from, batch, outbox);
    }
    /// What waits for another shard's engine.
    fn poll_trunk(&mut self, to: ForwarderId) -> Option<TrunkBatch> {
        let _ = to;
        None
    }
    /// Takes back what could not be carried yet.
    fn refuse_trunk(&mut self, to: ForwarderId, batch: TrunkBatch) {
        let _ = (to, batch);
    }
    /// Takes a batch that was dealt with.
    fn recycle_trunk(&mut self, batch: TrunkBatch) {
        drop(batch);
    }
}

/// What an engine is made from. It is made on its own thread, and made anew after a panic.
#[derive(Debug, Clone)]
pub struct EngineSetup {
    /// Which shard.
    pub shard: usize,
    /// The addresses that it offers to clients.
    pub candidates: Vec<LocalCandidate>,
    /// The addresses that its UDP sockets are bound to.
    pub bound: Vec<SocketAddr>,
    /// The time.
    pub now: Instant,
}

impl Engine for Forwarder {
    type Stats = ForwarderStats;

    fn handle_command(&mut self, now: Instant, command: Command, outbox: &mut Outbox) {
        self.handle_command(now, command, outbox);
    }

    fn handle_datagram(&mut self, now: Instant, path: Path, datagram: &mut [u8], outbox: &mut Outbox) {
        self.handle_datagram(now, path, datagram, outbox);
    }

    fn hold_datagram(&mut self, now: Instant, path: Path, datagram: &mut [u8], outbox: &mut Outbox) {
        self.hold_datagram(now, path, datagram, outbox);
    }

    fn forward_held(&mut self, now: Instant, outbox: &mut Outbox) -> bool {
        self.forward_held(now, outbox)
    }

    fn path_closed(&mut self, now: Instant, path: Path, outbox: &mut Outbox) {
        self.path_closed(now, path, outbox);
    }

    fn handle_timeout(&mut self, now: Instant, outbox: &mut Outbox) {
        self.handle_timeout(now, outbox);
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        Forwarder::poll_timeout(self)
    }

    fn poll_event(&mut self) -> Option<(RoomId, Event)> {
        self.poll_event()
    }

    fn stats(&self) -> ForwarderStats {
        self.counted()
    }

    fn handle_trunk(&mut self, now: Instant, from: ForwarderId, batch: &TrunkBatch, outbox: &mut Outbox) {
        self.handle_trunk(now, from, batch, outbox);
    }

    fn poll_trunk(&mut self, to: ForwarderId) -> Option<TrunkBatch> {
        self.poll_trunk(to)
    }

    fn refuse_trunk(&mut self, to: ForwarderId, batch: TrunkBatch) {
        self.refuse_trunk(to, batch);
    }

    fn recycle_trunk(&mut self, batch: TrunkBatch) {
        self.recycle_trunk(batch);
    }
}
