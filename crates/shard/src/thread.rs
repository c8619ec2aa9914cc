// SPDX-License-Identifier: EUPL-1.2
//! A shard's thread: one loop of waiting, receiving, deciding, sending.

use std::collections::{BTreeSet, VecDeque};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::EventFd;
use nix::unistd::Pid;
use parvis_peer::{LocalCandidate, Path, Protocol};
use parvis_sfu::{Command, DataChannel, Event, ForwarderId, Outbox, RoomId};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::mmsg::{ReceiveRing, SendBatch};
use crate::stats::{ShardStats, add};
use crate::tcp::Tcp;
use crate::train::Trains;
use crate::trunk::{Links, Sent};
use crate::udp::UdpPort;
use crate::{Engine, EngineSetup, ShardError, ShardEvent};

/// Readiness events taken in one turn.
const EPOLL_BATCH: usize = 64;
/// Batches received from one socket in one turn, so that the others get theirs.
const RECEIVES_PER_TURN: usize = 4;
/// Commands done in one turn: media goes on in between.
const COMMANDS_PER_TURN: usize = 64;
/// How often the engine's counters are copied for the metrics.
const STATS_INTERVAL: Duration = Duration::from_secs(1);
/// How long to wait at most: the counters stay fresh.
const MAX_WAIT: Duration = Duration::from_secs(1);
/// How soon to try again when the control side's queue was full.
const RETRY: Duration = Duration::from_millis(5);
/// A turn that takes longer is counted: sound is sent every 20 ms.
const LATE: Duration = Duration::from_millis(20);
/// Panics within [`PANIC_WINDOW`] after which a shard gives up.
const MAX_PANICS: usize = 5;
const PANIC_WINDOW: Duration = Duration::from_secs(60);

/// The ends of the queues that belong to the thread.
pub(crate) struct Control {
    pub(crate) commands: Receiver<Command>,
    pub(crate) streams: Receiver<TcpStream>,
    pub(crate) events: mpsc::Sender<ShardEvent>,
    pub(crate) event_queue: usize,
    pub(crate) wake: Arc<EventFd>,
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) alive: Arc<AtomicBool>,
    pub(crate) asked: Arc<AtomicU64>,
    pub(crate) answered: Arc<AtomicU64>,
    pub(crate) stats: Arc<ShardStats>,
}

/// One shard: everything but its engine, which may be replaced.
pub(crate) struct Worker<S> {
    shard: usize,
    epoll: Epoll,
    udp: Vec<UdpPort>,
    locals: Vec<SocketAddr>,
    tcp: Tcp,
    candidates: Vec<LocalCandidate>,
    control: Control,
    links: Links,
    engine_stats: Arc<Mutex<S>>,
    next_stats: Instant,
    /// Events that found no place.
    waiting: VecDeque<ShardEvent>,
    /// Rooms that lost an event and are not yet told.
    lost: BTreeSet<RoomId>,
}

/// What is ready, as epoll's 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token {
    Wake,
    Udp(usize),
    Listener(usize),
    Connection(usize),
}

/// The thread's own memory, used turn by turn.
struct Scratch {
    ring: ReceiveRing,
    batch: SendBatch,
    trains: Trains,
    outbox: Outbox,
}

impl<S: Clone + Default + Send + 'static> Worker<S> {
    pub(crate) fn new(
        shard: usize,
        udp: Vec<UdpPort>,
        tcp: Tcp,
        candidates: Vec<LocalCandidate>,
        control: Control,
        links: Links,
        engine_stats: Arc<Mutex<S>>,
    ) -> Result<Self, ShardError> {
        let failed = || ShardError::system("watch a socket with epoll");
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(failed())?;
        let readable = |token: Token| EpollEvent::new(EpollFlags::EPOLLIN, token.into());
        epoll.add(&*control.wake, readable(Token::Wake)).map_err(failed())?;
        for (index, port) in udp.iter().enumerate() {
            epoll.add(&port.socket, readable(Token::Udp(index))).map_err(failed())?;
        }
        tcp.register(&epoll).map_err(failed())?;
        Ok(Worker {
            shard,
            epoll,
            locals: udp.iter().map(|port| port.local).collect(),
            udp,
            tcp,
            candidates,
            control,
            links,
            engine_stats,
            next_stats: Instant::now(),
            waiting: VecDeque::new(),
            lost: BTreeSet::new(),
        })
    }

    /// Runs until told to stop. A panic ends the engine with its rooms, not the process: the sockets stay and a new engine
    /// takes over.
    pub(crate) fn run<E: Engine<Stats = S>>(mut self, make: &(dyn Fn(EngineSetup) -> E + Send + Sync)) {
        let mut scratch = Scratch {
            ring: ReceiveRing::new(),
            batch: SendBatch::new(),
            trains: Trains::default(),
            outbox: Outbox::default(),
        };
        let mut panics: Vec<Instant> = Vec::new();
        loop {
            let setup = EngineSetup {
                shard: self.shard,
                candidates: self.candidates.clone(),
                bound: self.locals.clone(),
                now: Instant::now(),
            };
            // What the engine left behind is thrown away: its own state with it, the outbox below, TCP connections too.
            let ended = catch_unwind(AssertUnwindSafe(|| {
                let mut engine = make(setup);
                self.serve(&mut engine, &mut scratch);
            }));
            let Err(panic) = ended else { break };
            let now = Instant::now();
            add(&self.control.stats.panics, 1);
            panics.retain(|then| now.saturating_duration_since(*then) < PANIC_WINDOW);
            panics.push(now);
            let given_up = panics.len() > MAX_PANICS;
            let reason = panic_message(&*panic);
            tracing::error!(shard = self.shard, reason, given_up, "the forwarder failed; its rooms are lost");
            scratch.outbox.clear();
            self.tcp.forget_all();
            self.waiting.clear();
            self.lost.clear();
            let failed = ShardEvent::EngineFailed { shard: self.shard, reason, given_up };
            self.deliver(failed);
            if given_up {
                break;
            }
        }
        self.control.alive.store(false, Ordering::Release);
        // The last event must arrive; nothing else is left to do here.
        while let Some(event) = self.waiting.pop_front() {
            let _ = self.control.events.blocking_send(event);
        }
    }

    fn serve<E: Engine<Stats = S>>(&mut self, engine: &mut E, scratch: &mut Scratch) {
        let mut ready = [EpollEvent::empty(); EPOLL_BATCH];
        while !self.control.stop.load(Ordering::Acquire) {
            let count = match self.epoll.wait(&mut ready, self.timeout(engine)) {
                Ok(count) => count,
                Err(Errno::EINTR) => 0,
                Err(errno) => {
                    // Only a closed or foreign descriptor brings us here: nothing can be mended at this place.
                    tracing::error!(shard = self.shard, %errno, "epoll failed");
                    return;
                }
            };
            add(&self.control.stats.turns, 1);
            // Read before anything is done, answered once all of it is.
            let asked = self.control.asked.load(Ordering::Acquire);
            let now = Instant::now();
            for event in &ready[..count] {
                self.handle_ready(now, *event, engine, scratch);
            }
            self.take_commands(now, engine, scratch);
            self.take_streams(now);
            self.take_trunks(now, engine, scratch);
            if engine.poll_timeout().is_some_and(|deadline| deadline <= now) {
                engine.handle_timeout(now, &mut scratch.outbox);
            }
            self.tcp.handle_timeout(now, &self.epoll, &self.control.stats);
            self.finish_turn(now, engine, scratch);
            let took = now.elapsed();
            add(&self.control.stats.busy_us, took.as_micros() as u64);
            if took > LATE {
                add(&self.control.stats.late_turns, 1);
            }
            if self.control.answered.load(Ordering::Relaxed) != asked {
                self.control.answered.store(asked, Ordering::Release);
            }
        }
    }

    fn handle_ready<E: Engine<Stats = S>>(
        &mut self,
        now: Instant,
        event: EpollEvent,
        engine: &mut E,
        scratch: &mut Scratch,
    ) {
        match Token::from(event.data()) {
            Token::Wake => drop(self.control.wake.read()),
            Token::Udp(index) => self.receive(now, index, engine, scratch),
            Token::Listener(index) => {
                self.tcp.accept(now, index, &self.epoll, &self.control.stats);
            }
            Token::Connection(slot) => {
                if event.events().contains(EpollFlags::EPOLLOUT) {
                    self.tcp.writable(slot, &self.epoll);
                }
                if event.events().contains(EpollFlags::EPOLLIN) {
                    self.tcp.readable(now, slot, engine, &mut scratch.outbox, &self.control.stats);
                } else if event.events().intersects(EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR) {
                    self.tcp.hung_up(slot);
                }
                self.flush_when_full(now, scratch);
            }
        }
    }

    /// Receives what waits at one UDP socket.
    fn receive<E: Engine<Stats = S>>(
        &mut self,
        now: Instant,
        index: usize,
        engine: &mut E,
        scratch: &mut Scratch,
    ) {
        for _ in 0..RECEIVES_PER_TURN {
            let Some(port) = self.udp.get(index) else { return };
            let stats = &self.control.stats;
            add(&stats.udp_receive_calls, 1);
            // An error other than "nothing there" is one that the kernel kept for us from an earlier send: it is gone by asking.
            let count = scratch.ring.receive(port.socket.as_fd()).unwrap_or(0);
            for message in 0..count {
                let (received, bytes) = scratch.ring.message(message);
                let Some(remote) = received.from else { continue };
                if received.truncated {
                    add(&stats.udp_truncated, 1);
                    continue;
                }
                let path = Path { protocol: Protocol::Udp, local: port.local, remote };
                let size = received.segment.unwrap_or(bytes.len()).max(1);
                let train = bytes.len() > size;
                add(&stats.udp_bytes_in, bytes.len() as u64);
                for datagram in bytes.chunks_mut(size) {
                    add(&stats.udp_packets_in, 1);
                    add(&stats.udp_packets_in_gro, u64::from(train));
                    engine.hold_datagram(now, path, datagram, &mut scratch.outbox);
                }
            }
            while engine.forward_held(now, &mut scratch.outbox) {
                self.flush(now, scratch);
            }
            self.flush_when_full(now, scratch);
            self.carry_trunks(engine);
            if count < crate::mmsg::RECEIVE_BATCH {
                return;
            }
        }
    }

    fn take_commands<E: Engine<Stats = S>>(&mut self, now: Instant, engine: &mut E, scratch: &mut Scratch) {
        for taken in 0.. {
            if taken == COMMANDS_PER_TURN {
                // More may wait, and nobody will wake us for them.
                let _ = self.control.wake.write(1);
                return;
            }
            let Ok(command) = self.control.commands.try_recv() else { return };
            add(&self.control.stats.commands, 1);
            engine.handle_command(now, command, &mut scratch.outbox);
            self.flush_when_full(now, scratch);
        }
    }

    /// Takes over connections that were accepted elsewhere. What they have sent already wakes us for the next turn.
    fn take_streams(&mut self, now: Instant) {
        while let Ok(stream) = self.control.streams.try_recv() {
            self.tcp.take_over(now, stream, &self.epoll, &self.control.stats);
        }
    }

    /// Takes what other shards say.
    fn take_trunks<E: Engine<Stats = S>>(&mut self, now: Instant, engine: &mut E, scratch: &mut Scratch) {
        if !self.links.rung() {
            return;
        }
        for from in 0..self.links.count() {
            while let Some(batch) = self.links.receive(from) {
                add(&self.control.stats.trunk_batches_in, 1);
                engine.handle_trunk(now, ForwarderId(from as u64), &batch, &mut scratch.outbox);
                self.links.give_back(from, batch);
                self.flush_when_full(now, scratch);
            }
        }
    }

    /// Hands over what waits for other shards. What finds no room there waits for the next turn.
    fn carry_trunks<E: Engine<Stats = S>>(&mut self, engine: &mut E) {
        for to in 0..self.links.count() {
            while let Some(batch) = self.links.returned(to) {
                engine.recycle_trunk(batch);
            }
            let forwarder = ForwarderId(to as u64);
            let Some(batch) = engine.poll_trunk(forwarder) else { continue };
            match self.links.send(to, batch) {
                Sent::Carried => add(&self.control.stats.trunk_batches_out, 1),
                Sent::Full(batch) => {
                    add(&self.control.stats.trunk_full, 1);
                    engine.refuse_trunk(forwarder, batch);
                }
                Sent::Gone(batch) => engine.recycle_trunk(batch),
            }
        }
    }

    fn finish_turn<E: Engine<Stats = S>>(&mut self, now: Instant, engine: &mut E, scratch: &mut Scratch) {
        self.flush(now, scratch);
        while let Some(path) = self.tcp.bury() {
            engine.path_closed(now, path, &mut scratch.outbox);
        }
        self.flush(now, scratch);
        self.carry_trunks(engine);
        self.retry_events();
        while let Some((room, event)) = engine.poll_event() {
            self.tell(room, event);
        }
        if now >= self.next_stats {
            self.next_stats = now + STATS_INTERVAL;
            let open = self.tcp.open() as u64;
            self.control.stats.tcp_connections_now.store(open, Ordering::Relaxed);
            if let Ok(mut stats) = self.engine_stats.try_lock() {
                *stats = engine.stats();
            }
        }
    }

    fn flush_when_full(&mut self, now: Instant, scratch: &mut Scratch) {
        if scratch.outbox.is_full() {
            self.flush(now, scratch);
        }
    }

    /// Sends all that waits.
    fn flush(&mut self, now: Instant, scratch: &mut Scratch) {
        if scratch.outbox.is_empty() {
            return;
        }
        let Scratch { batch, trains, outbox, .. } = scratch;
        let stats = &self.control.stats;
        trains.group(outbox);
        for port in &mut self.udp {
            port.send(now, outbox, trains, batch, stats);
        }
        for (path, datagram) in trains.tcp(outbox) {
            self.tcp.send(path, datagram, &self.epoll, stats);
        }
        add(&stats.unroutable, trains.unroutable(outbox, &self.locals) as u64);
        outbox.clear();
    }

    fn timeout<E: Engine<Stats = S>>(&self, engine: &mut E) -> EpollTimeout {
        let now = Instant::now();
        let retry = (!self.waiting.is_empty() || !self.lost.is_empty()).then_some(now + RETRY);
        let deadline = [engine.poll_timeout(), self.tcp.poll_timeout(), retry].into_iter().flatten().min();
        let wait =
            deadline.map_or(MAX_WAIT, |deadline| deadline.saturating_duration_since(now).min(MAX_WAIT));
        // Rounded up: waking a little early would find nothing to do, over and over.
        let millis = wait.as_micros().div_ceil(1_000);
        EpollTimeout::try_from(millis as i32).unwrap_or(EpollTimeout::ZERO)
    }

    /// Tells the control side. It never waits: what it can do without goes first, and a room that misses what it needs
    /// is given up as a whole rather than left half right.
    fn tell(&mut self, room: RoomId, event: Event) {
        if self.lost.contains(&room) {
            return;
        }
        let spare = self.control.events.capacity() * 4 >= self.control.event_queue;
        if is_expendable(&event) && (!spare || !self.waiting.is_empty()) {
            return add(&self.control.stats.events_dropped, 1);
        }
        if self.waiting.len() >= self.control.event_queue {
            self.lost.insert(room);
            self.waiting.retain(|waiting| !matches!(waiting, ShardEvent::Room(other, _) if *other == room));
            return add(&self.control.stats.rooms_lost, 1);
        }
        add(&self.control.stats.events, 1);
        self.deliver(ShardEvent::Room(room, event));
    }

    /// Puts an event in the queue, or behind those that wait for it.
    fn deliver(&mut self, event: ShardEvent) {
        if !self.waiting.is_empty() {
            return self.waiting.push_back(event);
        }
        if let Err(TrySendError::Full(event)) = self.control.events.try_send(event) {
            self.waiting.push_back(event);
        }
    }

    fn retry_events(&mut self) {
        while let Some(event) = self.waiting.pop_front() {
            if let Err(TrySendError::Full(event)) = self.control.events.try_send(event) {
                return self.waiting.push_front(event);
            }
        }
        while let Some(room) = self.lost.pop_first() {
            if self.control.events.try_send(ShardEvent::RoomLost(room)).is_err() {
                self.lost.insert(room);
                return;
            }
        }
    }
}

impl From<Token> for u64 {
    fn from(token: Token) -> u64 {
        let (kind, index) = match token {
            Token::Wake => (0, 0),
            Token::Udp(index) => (1, index),
            Token::Listener(index) => (2, index),
            Token::Connection(index) => (3, index),
        };
        kind << 32 | index as u64
    }
}

impl From<u64> for Token {
    fn from(bits: u64) -> Token {
        let index = (bits & u64::from(u32::MAX)) as usize;
        match bits >> 32 {
            1 => Token::Udp(index),
            2 => Token::Listener(index),
            3 => Token::Connection(index),
            _ => Token::Wake,
        }
    }
}

/// Whether a room can do without: it says the same again soon, or its sender never promised that it arrives.
fn is_expendable(event: &Event) -> bool {
    matches!(
        event,
        Event::Speakers { .. }
            | Event::Quality { .. }
            | Event::LimitHit { .. }
            | Event::OutletClock { .. }
            | Event::Data { channel: DataChannel::Lossy | DataChannel::DataTrack, .. }
    )
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message").to_owned()
}

/// Keeps this thread on one of the cores that the process may use. A system that refuses loses some speed only.
pub(crate) fn pin_to_core(shard: usize) {
    let this = Pid::from_raw(0);
    let Ok(allowed) = sched_getaffinity(this) else { return };
    let cores: Vec<usize> =
        (0..CpuSet::count()).filter(|core| allowed.is_set(*core).unwrap_or(false)).collect();
    let Some(core) = cores.get(shard % cores.len().max(1)) else { return };
    let mut only = CpuSet::new();
    if only.set(*core).is_ok() && sched_setaffinity(this, &only).is_err() {
        tracing::warn!(shard, core, "cannot pin the shard to its core");
    }
}
