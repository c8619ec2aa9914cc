// SPDX-License-Identifier: EUPL-1.2
//! The control side's end: starting, commanding, listening, stopping.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::eventfd::{EfdFlags, EventFd};
use parvis_peer::{LocalCandidate, Protocol};
use parvis_sfu::{Command, Event, ForwarderId, RoomId};
use tokio::sync::mpsc;

use crate::tcp::Tcp;
use crate::thread::{Control, Worker};
use crate::trunk::mesh;
use crate::udp::UdpPort;
use crate::{Engine, EngineSetup, ShardConfig, ShardError, ShardStats};

/// Connections that may wait to be taken over.
const STREAM_QUEUE: usize = 256;

/// What a shard tells.
#[derive(Debug, Clone, PartialEq)]
pub enum ShardEvent {
    /// Something happened in a room.
    Room(RoomId, Event),
    /// An event that this room needed was lost, because the control side did not listen: it can't go on.
    RoomLost(RoomId),
    /// The engine failed. All rooms of this shard are gone; it takes new ones unless it says that it has given up.
    EngineFailed {
        /// Which.
        shard: usize,
        /// The panic's message.
        reason: String,
        /// Whether the shard is gone for good.
        given_up: bool,
    },
}

/// The command queue is full, or the shard is gone; the command comes back.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("the shard's command queue is full")]
pub struct Full(pub Box<Command>);

/// All shards, running. They stop when this is dropped.
pub struct Shards<E: Engine> {
    handle: ShardHandle,
    threads: Vec<JoinHandle<()>>,
    engine_stats: Vec<Arc<Mutex<E::Stats>>>,
}

/// Commands shards; cheap to clone.
#[derive(Clone)]
pub struct ShardHandle {
    shards: Arc<[ShardEnd]>,
    next_room: Arc<AtomicU64>,
    /// Shards that have a part of a room beside the one that it began on.
    parts: Arc<Mutex<BTreeMap<RoomId, Vec<usize>>>>,
}

struct ShardEnd {
    commands: SyncSender<Command>,
    streams: SyncSender<TcpStream>,
    wake: Arc<EventFd>,
    stop: Arc<AtomicBool>,
    alive: Arc<AtomicBool>,
    /// How often it was asked whether it goes on, and up to which of these it has answered.
    asked: Arc<AtomicU64>,
    answered: Arc<AtomicU64>,
    rooms: AtomicUsize,
    stats: Arc<ShardStats>,
    candidates: Vec<LocalCandidate>,
    bound: Vec<SocketAddr>,
}

impl<E: Engine> Shards<E> {
    /// Binds every socket, then starts the threads. `make` builds an engine on its own thread. There is one receiver of
    /// events for each shard.
    pub fn start(
        config: &ShardConfig,
        make: impl Fn(EngineSetup) -> E + Send + Sync + 'static,
    ) -> Result<(Self, Vec<mpsc::Receiver<ShardEvent>>), ShardError> {
        let sockets = bind(config)?;
        let make: Arc<dyn Fn(EngineSetup) -> E + Send + Sync> = Arc::new(make);
        let (mut ends, mut threads, mut receivers, mut engine_stats) = (vec![], vec![], vec![], vec![]);
        let wakes = sockets.iter().map(|_| {
            let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
            EventFd::from_flags(flags).map(Arc::new).map_err(ShardError::system("make an eventfd"))
        });
        let wakes = wakes.collect::<Result<Vec<_>, _>>()?;
        let links = mesh(&wakes, config.trunk_queue);
        for (shard, (((udp, tcp), wake), links)) in sockets.into_iter().zip(wakes).zip(links).enumerate() {
            let candidates = candidates(&udp, &tcp, config);
            let (commands, command_receiver) = sync_channel(config.command_queue);
            let (streams, stream_receiver) = sync_channel(STREAM_QUEUE);
            let (events, event_receiver) = mpsc::channel(config.event_queue.max(1));
            let end = ShardEnd {
                commands,
                streams,
                bound: udp.iter().map(|port| port.local).collect(),
                wake,
                stop: Arc::default(),
                alive: Arc::new(AtomicBool::new(true)),
                asked: Arc::default(),
                answered: Arc::default(),
                rooms: AtomicUsize::new(0),
                stats: Arc::default(),
                candidates: candidates.clone(),
            };
            let engine_stat = Arc::<Mutex<E::Stats>>::default();
            let control = Control {
                commands: command_receiver,
                streams: stream_receiver,
                events,
                event_queue: config.event_queue.max(1),
                wake: Arc::clone(&end.wake),
                stop: Arc::clone(&end.stop),
                alive: Arc::clone(&end.alive),
                asked: Arc::clone(&end.asked),
                answered: Arc::clone(&end.answered),
                stats: Arc::clone(&end.stats),
            };
            let worker = Worker::new(shard, udp, tcp, candidates, control, links, Arc::clone(&engine_stat))?;
            let (make, pin) = (Arc::clone(&make), config.pin);
            let thread = std::thread::Builder::new()
                .name(format!("shard-{shard}"))
                .spawn(move || {
                    if pin {
                        crate::thread::pin_to_core(shard);
                    }
                    worker.run(&*make);
                })
                .map_err(|source| ShardError::System { what: "start a thread", source })?;
            ends.push(end);
            threads.push(thread);
            receivers.push(event_receiver);
            engine_stats.push(engine_stat);
        }
        let handle = ShardHandle {
            shards: ends.into(),
            next_room: Arc::new(AtomicU64::new(1)),
            parts: Arc::default(),
        };
        Ok((Shards { handle, threads, engine_stats }, receivers))
    }

    /// An end to command them by.
    pub fn handle(&self) -> ShardHandle {
        self.handle.clone()
    }

    /// Each engine's counters, at most about a second old.
    pub fn engine_stats(&self) -> Vec<E::Stats> {
        let read =
            |stats: &Arc<Mutex<E::Stats>>| stats.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.engine_stats.iter().map(read).collect()
    }

    /// Stops all threads and waits for them, at most so long.
    pub fn stop(mut self, limit: Duration) {
        self.signal_stop();
        let end = Instant::now() + limit;
        for thread in self.threads.drain(..) {
            while !thread.is_finished() && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(1));
            }
            if thread.is_finished() {
                let _ = thread.join();
            }
        }
    }

    fn signal_stop(&self) {
        for end in self.handle.shards.iter() {
            end.stop.store(true, Ordering::Release);
            let _ = end.wake.write(1);
        }
    }
}

impl<E: Engine> Drop for Shards<E> {
    fn drop(&mut self) {
        self.signal_stop();
    }
}

impl ShardHandle {
    /// Names a new room and gives it to the shard with the fewest. `None` when no shard is left.
    pub fn new_room(&self) -> Option<RoomId> {
        let shard = self.emptiest(&[])?;
        let number = self.next_room.fetch_add(1, Ordering::Relaxed);
        Some(RoomId(number * self.shards.len() as u64 + shard as u64))
    }

    /// The shard on which a room of [`ShardHandle::new_room`] begins.
    pub fn home(&self, room: RoomId) -> ForwarderId {
        ForwarderId(room.0 % self.shards.len() as u64)
    }

    /// Gives a part of a room to one more shard, the one with the fewest rooms. `None` when it is on all of them.
    pub fn open_part(&self, room: RoomId) -> Option<ForwarderId> {
        let mut parts = self.parts();
        let further = parts.entry(room).or_default();
        let taken: Vec<usize> = further.iter().copied().chain([self.home(room).0 as usize]).collect();
        let shard = self.emptiest(&taken);
        further.extend(shard);
        if further.is_empty() {
            parts.remove(&room);
        }
        shard.map(|shard| ForwarderId(shard as u64))
    }

    /// Whether a shard has a room, or a part of it.
    pub fn is_on(&self, room: RoomId, shard: usize) -> bool {
        let further =
            |parts: &BTreeMap<RoomId, Vec<usize>>| parts.get(&room).is_some_and(|p| p.contains(&shard));
        self.home(room).0 == shard as u64 || further(&self.parts())
    }

    /// Says that a room of [`ShardHandle::new_room`] is over, with all its parts.
    pub fn room_ended(&self, room: RoomId) {
        let further = self.parts().remove(&room).unwrap_or_default();
        for shard in further.into_iter().chain([self.home(room).0 as usize]) {
            let rooms = &self.shards[shard].rooms;
            let _ = rooms.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| count.checked_sub(1));
        }
    }

    /// Hands a command to a shard. When it comes back, wait a little: it is the shard that can't keep up. A shard that
    /// there is not takes nothing.
    pub fn command(&self, to: ForwarderId, command: Command) -> Result<(), Full> {
        let end = usize::try_from(to.0).ok().and_then(|shard| self.shards.get(shard));
        let Some(end) = end else { return Err(Full(Box::new(command))) };
        match end.commands.try_send(command) {
            Ok(()) => {
                // The counter of an eventfd is full after 2^64-2 writes without a read; a write then fails and nobody minds.
                let _ = end.wake.write(1);
                Ok(())
            }
            Err(TrySendError::Full(command) | TrySendError::Disconnected(command)) => {
                Err(Full(Box::new(command)))
            }
        }
    }

    /// Hands a connection over that carries frames of RFC 4571 and was accepted elsewhere, nothing read from it. `false`
    /// when there is no such shard, or it can't keep up: the connection is closed.
    pub fn adopt(&self, shard: usize, stream: TcpStream) -> bool {
        let Some(end) = self.shards.get(shard) else { return false };
        let taken = end.streams.try_send(stream).is_ok();
        let _ = end.wake.write(1);
        taken
    }

    /// How many shards there are.
    pub fn count(&self) -> usize {
        self.shards.len()
    }

    /// How many of them run.
    pub fn alive(&self) -> usize {
        self.shards.iter().filter(|end| end.alive.load(Ordering::Acquire)).count()
    }

    /// Asks each shard whether it goes on; [`ShardHandle::silent`] says which have not answered.
    pub fn ask(&self) {
        for end in self.shards.iter() {
            end.asked.fetch_add(1, Ordering::AcqRel);
            let _ = end.wake.write(1);
        }
    }

    /// Shards that run and have not ended a turn since they were [asked](ShardHandle::ask) last.
    pub fn silent(&self) -> Vec<usize> {
        let is_silent = |end: &ShardEnd| {
            let asked = end.asked.load(Ordering::Acquire);
            end.alive.load(Ordering::Acquire) && end.answered.load(Ordering::Acquire) < asked
        };
        let silent = self.shards.iter().enumerate().filter(|(_, end)| is_silent(end));
        silent.map(|(shard, _)| shard).collect()
    }

    /// A shard's counters.
    pub fn stats(&self, shard: usize) -> Option<&ShardStats> {
        self.shards.get(shard).map(|end| &*end.stats)
    }

    /// The addresses that a shard offers to clients.
    pub fn candidates(&self, shard: usize) -> &[LocalCandidate] {
        self.shards.get(shard).map_or(&[], |end| &end.candidates)
    }

    /// The addresses that its UDP sockets are bound to, in the order in which its candidates begin.
    pub fn bound(&self, shard: usize) -> &[SocketAddr] {
        self.shards.get(shard).map_or(&[], |end| &end.bound)
    }

    /// The shard that runs and has the fewest rooms, but for those; one more is its own from now on.
    fn emptiest(&self, taken: &[usize]) -> Option<usize> {
        let alive =
            |(shard, end): &(usize, &ShardEnd)| end.alive.load(Ordering::Acquire) && !taken.contains(shard);
        let shards = self.shards.iter().enumerate().filter(alive);
        let (shard, end) = shards.min_by_key(|(_, end)| end.rooms.load(Ordering::Relaxed))?;
        end.rooms.fetch_add(1, Ordering::Relaxed);
        Some(shard)
    }

    fn parts(&self) -> std::sync::MutexGuard<'_, BTreeMap<RoomId, Vec<usize>>> {
        // Nothing in these short sections panics half way.
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Sockets = (Vec<UdpPort>, Tcp);

fn bind(config: &ShardConfig) -> Result<Vec<Sockets>, ShardError> {
    if let Some(wildcard) = config.addresses.iter().find(|address| address.is_unspecified()) {
        return Err(ShardError::Wildcard(*wildcard));
    }
    if config.addresses.is_empty() {
        return Err(ShardError::NoAddress);
    }
    (0..config.shards.max(1))
        .map(|shard| {
            let port = port_of(config.first_udp_port, shard, config.shards)?;
            let udp = config.addresses.iter().map(|ip| UdpPort::bind(*ip, port, config));
            let udp = udp.collect::<Result<Vec<_>, _>>()?;
            let tcp = match config.first_tcp_port {
                Some(first) => {
                    Tcp::bind(&config.addresses, port_of(first, shard, config.shards)?, &config.tcp)?
                }
                None => Tcp::none(&config.tcp),
            };
            Ok((udp, tcp))
        })
        .collect()
}

fn port_of(first: u16, shard: usize, shards: usize) -> Result<u16, ShardError> {
    if first == 0 {
        return Ok(0);
    }
    let port = usize::from(first) + shard;
    u16::try_from(port).map_err(|_| ShardError::Ports { first, shards })
}

fn candidates(udp: &[UdpPort], tcp: &Tcp, config: &ShardConfig) -> Vec<LocalCandidate> {
    let candidate = |protocol| {
        move |bound: SocketAddr| LocalCandidate {
            protocol,
            address: SocketAddr::new(config.offered_ip(bound.ip()), bound.port()),
        }
    };
    let shared = config.shared_tcp_port.into_iter();
    let shared = shared.flat_map(|port| config.addresses.iter().map(move |ip| SocketAddr::new(*ip, port)));
    let udp = udp.iter().map(|port| port.local).map(candidate(Protocol::Udp));
    udp.chain(tcp.locals().chain(shared).map(candidate(Protocol::Tcp))).collect()
}
