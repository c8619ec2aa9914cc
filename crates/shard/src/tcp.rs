// SPDX-License-Identifier: EUPL-1.2
//! ICE over TCP (RFC 6544, passive): accepting, framing (RFC 4571) and bounded writing.
//!
//! A connection is nothing until the engine answers it, which it does only to an authenticated peer. When all places are
//! taken, the one that waits longest for that gives way to the next.

use std::collections::{BTreeMap, VecDeque};
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};
use nix::sys::socket::Backlog;
use parvis_peer::framing::Deframer;
use parvis_peer::{Path, Protocol};
use parvis_sfu::Outbox;
use rustc_hash::FxHashMap;

use crate::stats::{ShardStats, add};
use crate::thread::Token;
use crate::{Engine, ShardError, TcpConfig};

/// The longest frame that we read. What a peer sends has at most 1,500 bytes; some add to it.
const MAX_FRAME_BYTES: usize = 8_192;
/// The read buffer: what a browser sends in 50 ms at 2.5 Mbit/s.
const READ_BUFFER_BYTES: usize = 16 << 10;
/// Reads from one connection in one turn, so that the others get theirs.
const READS_PER_TURN: usize = 4;
/// Connections accepted in one turn.
const ACCEPTS_PER_TURN: usize = 32;
/// How long accepting rests when the process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);
/// How often silent connections are looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// All TCP of one shard.
pub(crate) struct Tcp {
    config: TcpConfig,
    listeners: Vec<TcpListener>,
    connections: Vec<Option<Connection>>,
    /// Where all read, one after the other.
    buffer: Box<[u8]>,
    free: Vec<u32>,
    by_path: FxHashMap<Path, u32>,
    per_ip: FxHashMap<IpAddr, usize>,
    /// Connections that were never answered, in the order of their coming.
    waiting: BTreeMap<u64, u32>,
    next_number: u64,
    /// Connections to be closed at the end of the turn.
    dead: Vec<u32>,
    /// Closed already; the engine hears of it at the end of the turn, and their slots are free then.
    displaced: Vec<(u32, Path)>,
    accept_again: Option<Instant>,
    next_sweep: Instant,
}

struct Connection {
    stream: TcpStream,
    path: Path,
    /// Its place in the order of coming.
    number: u64,
    deframer: Deframer,
    queue: VecDeque<u8>,
    wants_write: bool,
    /// Whether the engine ever sent to it: only an authenticated peer is answered.
    answered: bool,
    opened: Instant,
    heard: Instant,
    dead: bool,
}

impl Tcp {
    pub(crate) fn bind(addresses: &[IpAddr], port: u16, config: &TcpConfig) -> Result<Self, ShardError> {
        let mut listeners = Vec::new();
        for ip in addresses {
            let address = SocketAddr::new(*ip, port);
            let bind = |source| ShardError::Bind { protocol: "TCP", address, source };
            let listener = TcpListener::bind(address).map_err(bind)?;
            listener.set_nonblocking(true).map_err(bind)?;
            // As many may wait to be accepted as the system allows; the library has 128.
            nix::sys::socket::listen(&listener, Backlog::MAXALLOWABLE).map_err(|errno| bind(errno.into()))?;
            listeners.push(listener);
        }
        Ok(Self::with(listeners, config))
    }

    pub(crate) fn none(config: &TcpConfig) -> Self {
        Self::with(Vec::new(), config)
    }

    fn with(listeners: Vec<TcpListener>, config: &TcpConfig) -> Self {
        Tcp {
            config: config.clone(),
            listeners,
            connections: Vec::new(),
            buffer: vec![0; READ_BUFFER_BYTES].into(),
            free: Vec::new(),
            by_path: FxHashMap::default(),
            per_ip: FxHashMap::default(),
            waiting: BTreeMap::new(),
            next_number: 0,
            dead: Vec::new(),
            displaced: Vec::new(),
            accept_again: None,
            next_sweep: Instant::now(),
        }
    }

    pub(crate) fn locals(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.listeners.iter().filter_map(|listener| listener.local_addr().ok())
    }

    /// Asks to hear of new connections.
    pub(crate) fn register(&self, epoll: &Epoll) -> nix::Result<()> {
        for (index, listener) in self.listeners.iter().enumerate() {
            epoll.add(listener, EpollEvent::new(EpollFlags::EPOLLIN, Token::Listener(index).into()))?;
        }
        Ok(())
    }

    /// Takes what waits at a listener.
    pub(crate) fn accept(&mut self, now: Instant, listener: usize, epoll: &Epoll, stats: &ShardStats) {
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(accepted) = self.listeners.get(listener).map(TcpListener::accept) else { return };
            match accepted {
                Ok((stream, remote)) => {
                    self.count_adopted(now, stream, remote, epoll, stats);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => {
                    let exhausted = [Errno::EMFILE, Errno::ENFILE, Errno::ENOBUFS, Errno::ENOMEM];
                    if exhausted.iter().any(|errno| error.raw_os_error() == Some(*errno as i32)) {
                        // The connection stays in the backlog and would wake us at once, again and again.
                        for listener in &self.listeners {
                            let _ = epoll.delete(listener);
                        }
                        self.accept_again = Some(now + ACCEPT_PAUSE);
                        add(&stats.tcp_accept_pauses, 1);
                    }
                    // Anything else concerns the one connection that was to be accepted.
                    return;
                }
            }
        }
    }

    /// Takes a connection that somebody else accepted.
    pub(crate) fn take_over(&mut self, now: Instant, stream: TcpStream, epoll: &Epoll, stats: &ShardStats) {
        match stream.peer_addr() {
            Ok(remote) => self.count_adopted(now, stream, remote, epoll, stats),
            Err(_) => add(&stats.tcp_refused, 1),
        }
    }

    fn count_adopted(
        &mut self,
        now: Instant,
        stream: TcpStream,
        remote: SocketAddr,
        epoll: &Epoll,
        stats: &ShardStats,
    ) {
        let adopted = self.adopt(now, stream, remote, epoll, stats);
        add(if adopted.is_some() { &stats.tcp_accepted } else { &stats.tcp_refused }, 1);
    }

    fn adopt(
        &mut self,
        now: Instant,
        stream: TcpStream,
        remote: SocketAddr,
        epoll: &Epoll,
        stats: &ShardStats,
    ) -> Option<()> {
        let from_ip = self.per_ip.get(&shared_by(remote.ip())).copied().unwrap_or(0);
        if from_ip >= self.config.max_connections_per_ip {
            return None;
        }
        if self.open() >= self.config.max_connections {
            self.make_room()?;
            add(&stats.tcp_displaced, 1);
        }
        stream.set_nonblocking(true).ok()?;
        stream.set_nodelay(true).ok()?;
        let path = Path { protocol: Protocol::Tcp, local: stream.local_addr().ok()?, remote };
        let slot = self.free.pop().unwrap_or_else(|| {
            self.connections.push(None);
            self.connections.len() as u32 - 1
        });
        let token = Token::Connection(slot as usize);
        if epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, token.into())).is_err() {
            self.free.push(slot);
            return None;
        }
        let number = self.next_number;
        self.next_number += 1;
        self.waiting.insert(number, slot);
        self.connections[slot as usize] = Some(Connection {
            stream,
            path,
            number,
            deframer: Deframer::new(MAX_FRAME_BYTES),
            queue: VecDeque::new(),
            wants_write: false,
            answered: false,
            opened: now,
            heard: now,
            dead: false,
        });
        self.by_path.insert(path, slot);
        *self.per_ip.entry(shared_by(remote.ip())).or_insert(0) += 1;
        Some(())
    }

    /// Closes the connection that waits longest for a first answer. `None` when each has had one.
    fn make_room(&mut self) -> Option<()> {
        loop {
            let (_, slot) = self.waiting.pop_first()?;
            let place = &mut self.connections[slot as usize];
            // One that is dead already is closed at the end of the turn in any case.
            if let Some(connection) = place.take_if(|connection| !connection.dead) {
                self.forget(&connection.path);
                self.displaced.push((slot, connection.path));
                return Some(());
            }
        }
    }

    /// Counts a connection no more.
    fn forget(&mut self, path: &Path) {
        self.by_path.remove(path);
        let ip = shared_by(path.remote.ip());
        if let Some(count) = self.per_ip.get_mut(&ip) {
            *count -= 1;
            if *count == 0 {
                self.per_ip.remove(&ip);
            }
        }
    }

    /// Reads a connection's frames and gives them to the engine.
    pub(crate) fn readable(
        &mut self,
        now: Instant,
        slot: usize,
        engine: &mut impl Engine,
        outbox: &mut Outbox,
        stats: &ShardStats,
    ) {
        let Some(Some(connection)) = self.connections.get_mut(slot) else { return };
        if connection.dead {
            return;
        }
        for _ in 0..READS_PER_TURN {
            let count = match connection.stream.read(&mut self.buffer) {
                Ok(count) if count > 0 => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Ok(_) | Err(_) => {
                    connection.dead = true;
                    break;
                }
            };
            connection.heard = now;
            let path = connection.path;
            let fed = connection.deframer.feed(&self.buffer[..count], |frame| {
                add(&stats.tcp_frames_in, 1);
                engine.handle_datagram(now, path, frame, outbox);
            });
            if fed.is_err() {
                add(&stats.tcp_malformed, 1);
                connection.dead = true;
                break;
            }
        }
        if connection.dead {
            self.dead.push(slot as u32);
        }
    }

    /// Frames a datagram and sends it, or keeps it for later within the bound.
    pub(crate) fn send(&mut self, path: Path, datagram: &[u8], epoll: &Epoll, stats: &ShardStats) {
        let slot = self.by_path.get(&path).copied();
        let Some((slot, connection)) =
            slot.and_then(|slot| Some((slot, self.connections[slot as usize].as_mut()?)))
        else {
            return add(&stats.unroutable, 1);
        };
        let Ok(length) = u16::try_from(datagram.len()) else { return add(&stats.unroutable, 1) };
        if connection.dead {
            return;
        }
        if !connection.answered {
            connection.answered = true;
            self.waiting.remove(&connection.number);
        }
        // The frame's length (RFC 4571 section 2) goes before the datagram without a copy of it.
        let header = length.to_be_bytes();
        let total = header.len() + datagram.len();
        let mut written = 0;
        if connection.queue.is_empty() {
            match connection.stream.write_vectored(&[IoSlice::new(&header), IoSlice::new(datagram)]) {
                Ok(count) => written = count,
                Err(error) if is_transient(&error) => {}
                Err(_) => {
                    connection.dead = true;
                    return self.dead.push(slot);
                }
            }
        } else if connection.queue.len() + total > self.config.write_queue_bytes {
            return add(&stats.tcp_dropped_full, 1);
        }
        add(&stats.tcp_frames_out, 1);
        if written < total {
            // A frame once begun must be finished, or the stream is out of step.
            connection.queue.extend(header.iter().chain(datagram).skip(written));
            connection.want_write(true, slot, epoll);
        }
    }

    /// Writes what waits.
    pub(crate) fn writable(&mut self, slot: usize, epoll: &Epoll) {
        let Some(Some(connection)) = self.connections.get_mut(slot) else { return };
        while !connection.queue.is_empty() && !connection.dead {
            let (front, back) = connection.queue.as_slices();
            match connection.stream.write_vectored(&[IoSlice::new(front), IoSlice::new(back)]) {
                Ok(count) => drop(connection.queue.drain(..count)),
                Err(error) if is_transient(&error) => return,
                Err(_) => {
                    connection.dead = true;
                    self.dead.push(slot as u32);
                }
            }
        }
        if !connection.dead {
            connection.want_write(false, slot as u32, epoll);
        }
    }

    /// Hangs up: the peer is gone.
    pub(crate) fn hung_up(&mut self, slot: usize) {
        if let Some(Some(connection)) = self.connections.get_mut(slot)
            && !connection.dead
        {
            connection.dead = true;
            self.dead.push(slot as u32);
        }
    }

    /// Does what is due by the clock: takes up accepting again, and closes who was silent for too long.
    pub(crate) fn handle_timeout(&mut self, now: Instant, epoll: &Epoll, stats: &ShardStats) {
        if self.accept_again.is_some_and(|again| again <= now) {
            self.accept_again = None;
            // It fails only for want of kernel memory; the next pause is then as good.
            if self.register(epoll).is_err() {
                self.accept_again = Some(now + ACCEPT_PAUSE);
            }
        }
        if now < self.next_sweep {
            return;
        }
        self.next_sweep = now + SWEEP_INTERVAL;
        for (slot, connection) in self.connections.iter_mut().enumerate() {
            let Some(connection) = connection else { continue };
            let unanswered = !connection.answered && now >= connection.opened + self.config.first_answer;
            if !connection.dead && (unanswered || now >= connection.heard + self.config.idle) {
                add(&stats.tcp_timed_out, 1);
                connection.dead = true;
                self.dead.push(slot as u32);
            }
        }
    }

    /// When [`Tcp::handle_timeout`] is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let sweep = (self.connections.len() > self.free.len()).then_some(self.next_sweep);
        [sweep, self.accept_again].into_iter().flatten().min()
    }

    /// Closes one connection that is to be closed, and says which path is gone.
    pub(crate) fn bury(&mut self) -> Option<Path> {
        if let Some((slot, path)) = self.displaced.pop() {
            self.free.push(slot);
            return Some(path);
        }
        let slot = self.dead.pop()?;
        // Dropping the stream takes it out of epoll.
        let connection = self.connections[slot as usize].take()?;
        self.free.push(slot);
        self.waiting.remove(&connection.number);
        self.forget(&connection.path);
        Some(connection.path)
    }

    /// Closes all connections, for a new engine that knows none of them.
    pub(crate) fn forget_all(&mut self) {
        self.connections.clear();
        self.free.clear();
        self.by_path.clear();
        self.per_ip.clear();
        self.waiting.clear();
        self.dead.clear();
        self.displaced.clear();
    }

    /// How many are open.
    pub(crate) fn open(&self) -> usize {
        self.connections.len() - self.free.len() - self.displaced.len()
    }
}

impl Connection {
    fn want_write(&mut self, wants: bool, slot: u32, epoll: &Epoll) {
        if self.wants_write != wants {
            let write = if wants { EpollFlags::EPOLLOUT } else { EpollFlags::empty() };
            let token = Token::Connection(slot as usize);
            let mut event = EpollEvent::new(EpollFlags::EPOLLIN | write, token.into());
            if epoll.modify(&self.stream, &mut event).is_ok() {
                self.wants_write = wants;
            }
        }
    }
}

fn is_transient(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// What one user has for himself: an IPv4 address, or the /64 around an IPv6 address.
fn shared_by(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6) & !u128::from(u64::MAX)).into(),
    }
}
