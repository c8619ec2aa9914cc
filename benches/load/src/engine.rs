// SPDX-License-Identifier: EUPL-1.2
//! The one thread: sockets, time, and what follows from them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use parvis_shard::mmsg::{Message, RECEIVE_BATCH, ReceiveRing, SendBatch};

use crate::client::{Client, Line, Side};
use crate::connection::Shared;
use crate::histogram::median_and_p95;
use crate::process::{self, Usage, own_time};
use crate::ramp::{self, Next};
use crate::report::{Joining, Report, Totals, Window};
use crate::signalling::{self, Opened};
use crate::source::{AUDIO_INTERVAL, PACKET_BYTES};
use crate::tally::Tally;
use crate::window;
use crate::{LoadError, Scenario};

/// How often everything but media is looked after.
const CHORES: Duration = Duration::from_millis(5);
/// A frame or a sound that leaves later than this is the load's own fault.
const LATE: Duration = Duration::from_millis(10);
/// Batches that are read from a socket before others have their turn.
const BATCHES: usize = 4;
const EVENTS: usize = 256;
/// Who sends nothing for so long has nothing more under way.
const SILENCE: Duration = Duration::from_millis(250);
/// What a step needs to come to rest before it is measured.
const STEP_SETTLE: Duration = Duration::from_secs(1);

/// Does what the scenario says. `progress` gets a line each second.
pub fn run(scenario: &Scenario, progress: &mut dyn FnMut(&str)) -> Result<Report, LoadError> {
    scenario.check()?;
    // Two media sockets and one for signalling each, and a few of our own.
    process::allow_files(scenario.clients() as u64 * 3 + 64)?;
    if let Some(core) = scenario.target.core {
        process::pin(core)?;
    }
    let idle = scenario.target.usage()?;
    Engine::new(scenario)?.run(idle, progress)
}

struct Engine<'a> {
    scenario: &'a Scenario,
    shared: Shared,
    clients: Vec<Client>,
    opened: mpsc::Receiver<Opened>,
    epoll: Epoll,
    ring: ReceiveRing,
    batch: SendBatch,
    messages: Vec<Message>,
    pieces: Vec<Vec<u8>>,
    /// When which client sends a sound (false) or a frame (true).
    media: BinaryHeap<Reverse<(Instant, usize, bool)>>,
    tally: Tally,
    /// What earlier windows counted.
    totals: Totals,
    start: Instant,
    next_chores: Instant,
    joined: usize,
    /// Bits per second of the pictures, as of this step.
    bits: u32,
}

/// Where a run stands.
enum Phase {
    Joining,
    Settling { until: Instant },
    Measuring(Mark),
}

/// The beginning of a window.
pub(crate) struct Mark {
    pub(crate) at: Instant,
    pub(crate) own: Duration,
    pub(crate) server: Option<Usage>,
    /// What its sockets had lost by then.
    pub(crate) overflowed: Option<u64>,
}

impl<'a> Engine<'a> {
    fn new(scenario: &'a Scenario) -> Result<Engine<'a>, LoadError> {
        let start = Instant::now();
        let run = format!("{:08x}", rand::random::<u32>());
        let clients: Vec<Client> =
            (0..scenario.clients()).map(|number| Client::new(scenario, &run, number)).collect();
        let guests = clients.iter().map(|client| client.guest.clone()).collect();
        Ok(Engine {
            scenario,
            shared: Shared::new(scenario.target.address)?,
            clients,
            opened: signalling::open_all(scenario, guests),
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(epoll_failed)?,
            ring: ReceiveRing::new(),
            batch: SendBatch::new(),
            messages: Vec::new(),
            pieces: Vec::new(),
            media: BinaryHeap::new(),
            tally: Tally::new(start),
            totals: Totals::default(),
            start,
            next_chores: start,
            joined: 0,
            bits: scenario.video_bitrate,
        })
    }

    fn run(mut self, idle: Option<Usage>, progress: &mut dyn FnMut(&str)) -> Result<Report, LoadError> {
        let mut phase = Phase::Joining;
        let mut steps: Vec<Window> = Vec::new();
        let mut next_line = self.start + Duration::from_secs(1);
        let mut line = Progress { at: self.start, received: 0, own: own_time(), server: idle };
        loop {
            self.turn()?;
            let now = Instant::now();
            if next_line <= now {
                next_line += Duration::from_secs(1);
                self.check_clients()?;
                progress(&self.line(now, &phase, &mut line)?);
            }
            match &phase {
                Phase::Joining if self.joined == self.clients.len() => {
                    phase = Phase::Settling { until: now + self.scenario.settled() };
                }
                Phase::Joining => {
                    let seconds = self.scenario.join_timeout;
                    if now.duration_since(self.start) > Duration::from_secs(seconds) {
                        return Err(self.not_joined(seconds));
                    }
                }
                Phase::Settling { until } if *until <= now => {
                    phase = Phase::Measuring(self.begin_window()?);
                    line.received = 0;
                }
                Phase::Settling { .. } => {}
                Phase::Measuring(mark) if now.duration_since(mark.at) >= self.scenario.measured() => {
                    steps.push(self.end_window(mark)?);
                    match ramp::next(self.scenario, &steps) {
                        Next::Step(bits) => {
                            self.set_bits(bits);
                            phase = Phase::Settling { until: now + STEP_SETTLE };
                        }
                        Next::End(why) => {
                            self.check_clients()?;
                            self.hear_out()?;
                            return Ok(self.report(idle, steps, why));
                        }
                    }
                }
                Phase::Measuring(_) => {}
            }
        }
    }

    /// Sends no more, and listens until all that is under way has come.
    fn hear_out(&mut self) -> Result<(), LoadError> {
        self.media.clear();
        let begun = Instant::now();
        let (mut last, mut since) = (self.tally.arrived(), begun);
        while since.elapsed() < SILENCE && begun.elapsed() < SILENCE * 8 {
            self.turn()?;
            if self.tally.arrived() != last {
                (last, since) = (self.tally.arrived(), Instant::now());
            }
        }
        self.totals.add(&self.tally);
        Ok(())
    }

    fn set_bits(&mut self, bits: u32) {
        self.bits = bits;
        for (video, _) in self.clients.iter_mut().filter_map(|client| client.video.as_mut()) {
            video.set_bitrate(bits, self.scenario.fps);
        }
    }

    /// Waits for what is next, and handles it.
    fn turn(&mut self) -> Result<(), LoadError> {
        let due = self.media.peek().map(|Reverse((at, ..))| *at);
        let next = due.map_or(self.next_chores, |due| due.min(self.next_chores));
        let wait = next.saturating_duration_since(Instant::now()).as_micros().div_ceil(1_000);
        let mut events = [EpollEvent::empty(); EVENTS];
        let timeout = EpollTimeout::try_from(wait as i32).unwrap_or(EpollTimeout::ZERO);
        let count = match self.epoll.wait(&mut events, timeout) {
            Ok(count) => count,
            Err(nix::errno::Errno::EINTR) => 0,
            Err(errno) => return Err(epoll_failed(errno)),
        };
        let began = Instant::now();
        for event in &events[..count] {
            let token = event.data() as usize;
            match token % 4 {
                0 => self.clients[token / 4].listen(Instant::now()),
                1 => self.receive(token / 4, Side::Sending),
                _ => self.receive(token / 4, Side::Receiving),
            }
        }
        self.send_media();
        let now = Instant::now();
        if self.next_chores <= now {
            self.next_chores = now + CHORES;
            self.chores(now)?;
        }
        self.tally.turns.add(began.elapsed());
        Ok(())
    }

    fn receive(&mut self, client: usize, side: Side) {
        let client = &mut self.clients[client];
        for _ in 0..BATCHES {
            let Some(line) = &client.line else { return };
            let connection = match (side, &line.sending) {
                (Side::Sending, Some(sending)) => sending,
                _ => &line.receiving,
            };
            let count = self.ring.receive(connection.socket()).unwrap_or(0);
            let now = Instant::now();
            for index in 0..count {
                let (received, bytes) = self.ring.message(index);
                let Some(from) = received.from else { continue };
                let size = received.segment.unwrap_or(bytes.len()).max(1);
                for datagram in bytes.chunks_mut(size) {
                    client.take(now, side, from, datagram, &mut self.tally);
                }
            }
            if count < RECEIVE_BATCH {
                return;
            }
        }
    }

    /// Sends what is due of sounds and frames.
    fn send_media(&mut self) {
        loop {
            let now = Instant::now();
            let Some(Reverse((at, number, video))) =
                self.media.peek().copied().filter(|Reverse((at, ..))| *at <= now)
            else {
                return;
            };
            self.media.pop();
            let every = if video { Duration::from_secs(1) / self.scenario.fps } else { AUDIO_INTERVAL };
            let behind = now.duration_since(at);
            self.tally.due += 1;
            self.tally.late += u64::from(behind > LATE);
            // Someone who fell behind goes on from here, rather than sending all that was missed at once.
            let next = if behind > Duration::from_secs(1) { now + every } else { at + every };
            self.media.push(Reverse((next, number, video)));
            self.send(now, number, video);
        }
    }

    fn send(&mut self, now: Instant, number: usize, video: bool) {
        let client = &mut self.clients[number];
        let Some(Line { sending: Some(connection), .. }) = &mut client.line else { return };
        let (peer, numbers) = (&mut connection.peer, &mut connection.transport_sequence);
        let pieces = &mut self.pieces;
        pieces.clear();
        let mut emit = |buf: &mut [u8; PACKET_BYTES], len: usize| {
            if let Some(len) = peer.protect_rtp(buf, len) {
                pieces.push(buf[..len].to_vec());
            }
        };
        let since_start = now.duration_since(self.start);
        match (video, &mut client.audio, &mut client.video) {
            (false, Some((audio, Some(section))), _) => {
                audio.packet(since_start, section, numbers, &mut emit);
            }
            (true, _, Some((video, Some(section)))) => {
                video.frame(now, since_start, section, numbers, &mut emit);
            }
            _ => return,
        }
        let receivers = self.scenario.receivers(client.guest.receives) as u64;
        self.tally.published += self.pieces.len() as u64;
        self.tally.expected += self.pieces.len() as u64 * receivers;
        if let Some(Line { sending: Some(connection), .. }) = &client.line {
            self.tally.unsent += connection.send(&mut self.batch, &mut self.messages, &self.pieces);
        }
    }

    /// All that is not media: who is new, checks, handshakes, feedback, reports.
    fn chores(&mut self, now: Instant) -> Result<(), LoadError> {
        while let Ok(Opened { client, begun, result }) = self.opened.try_recv() {
            let signalling = result?;
            self.clients[client].begin(&self.shared, begun, signalling)?;
            self.watch(client)?;
            // What came before epoll looked.
            self.clients[client].listen(now);
        }
        for number in 0..self.clients.len() {
            if self.clients[number].act(now) {
                self.joined += 1;
                self.begin_media(now, number);
            }
        }
        Ok(())
    }

    fn watch(&self, client: usize) -> Result<(), LoadError> {
        let Some(line) = &self.clients[client].line else { return Ok(()) };
        let readable = |side: u64| EpollEvent::new(EpollFlags::EPOLLIN, client as u64 * 4 + side);
        if let Some(socket) = line.signalling.socket() {
            self.epoll.add(socket, readable(0)).map_err(epoll_failed)?;
        }
        if let Some(sending) = &line.sending {
            self.epoll.add(sending.socket(), readable(1)).map_err(epoll_failed)?;
        }
        self.epoll.add(line.receiving.socket(), readable(2)).map_err(epoll_failed)
    }

    /// Each sender has a moment of its own within the interval, as people have.
    fn begin_media(&mut self, now: Instant, number: usize) {
        let frame = Duration::from_secs(1) / self.scenario.fps;
        // Multiples of the golden section are spread evenly, however many there are.
        let phase = (number as f64 * 0.618_033_988_75).fract();
        let client = &self.clients[number];
        if client.audio.is_some() {
            self.media.push(Reverse((now + AUDIO_INTERVAL.mul_f64(phase), number, false)));
        }
        if client.video.is_some() {
            self.media.push(Reverse((now + frame.mul_f64(phase), number, true)));
        }
    }

    fn begin_window(&mut self) -> Result<Mark, LoadError> {
        self.totals.add(&self.tally);
        self.tally = Tally::new(self.start);
        let server = self.scenario.target.usage()?;
        let at = Instant::now();
        for track in self.clients.iter_mut().flat_map(|client| client.tracks.values_mut()) {
            track.begin_window(at);
        }
        Ok(Mark { at, own: own_time(), server, overflowed: window::overflowed(&self.clients) })
    }

    fn end_window(&self, mark: &Mark) -> Result<Window, LoadError> {
        let server = self.scenario.target.usage()?;
        Ok(window::sum_up(self.scenario, self.bits, mark, server, &self.tally, &self.clients))
    }

    fn report(&self, idle: Option<Usage>, mut steps: Vec<Window>, end: Option<String>) -> Report {
        let seconds = |of: fn(&Client) -> Option<Duration>| {
            let mut values: Vec<f64> =
                self.clients.iter().filter_map(of).map(|time| time.as_secs_f64()).collect();
            median_and_p95(&mut values).unwrap_or_default()
        };
        let (ready_median, ready_p95) = seconds(|client| client.joined);
        let (media_median, media_p95) = seconds(|client| client.first_media);
        let mut encryption = BTreeMap::new();
        for line in self.clients.iter().filter_map(|client| client.line.as_ref()) {
            for connection in line.sending.iter().chain([&line.receiving]).filter(|one| one.connected) {
                *encryption.entry(connection.profile.clone()).or_default() += 1;
            }
        }
        let window = ramp::best(&steps);
        if self.scenario.ramp_to.is_none() {
            steps.clear();
        }
        Report {
            scenario: self.scenario.clone(),
            clients: self.joined,
            told: self.clients.iter().map(|client| client.told).sum(),
            encryption,
            joining: Joining { ready_median, ready_p95, media_median, media_p95 },
            idle_resident_bytes: idle.map(|usage| usage.resident_bytes),
            bounds: window::BOUNDS,
            window,
            steps,
            end,
            totals: self.totals,
        }
    }

    fn not_joined(&self, seconds: u64) -> LoadError {
        let waiting = self.clients.iter().enumerate().find(|(_, client)| client.joined.is_none());
        let (client, what) =
            waiting.map_or((0, String::new()), |(number, client)| (number, client.waits_for()));
        LoadError::NotJoined { joined: self.joined, all: self.clients.len(), seconds, client, what }
    }

    /// A client that was lost while all should be there ends the run: its figures would mean nothing.
    fn check_clients(&self) -> Result<(), LoadError> {
        let mut lost = self
            .clients
            .iter()
            .enumerate()
            .filter_map(|(number, client)| Some((number, client.trouble.clone()?)));
        let Some((client, what)) = lost.next() else { return Ok(()) };
        Err(LoadError::Lost { clients: 1 + lost.count(), client, what })
    }

    fn line(&self, now: Instant, phase: &Phase, last: &mut Progress) -> Result<String, LoadError> {
        let server = self.scenario.target.usage()?;
        let time = now.duration_since(last.at).as_secs_f64().max(1e-3);
        let share = |from: Duration, to: Duration| to.saturating_sub(from).as_secs_f64() / time * 100.0;
        let mut phase = match phase {
            Phase::Joining => "joining",
            Phase::Settling { .. } => "settling",
            Phase::Measuring(_) => "measuring",
        }
        .to_owned();
        if self.scenario.ramp_to.is_some() {
            phase = format!("{phase} {} kbit/s", self.bits / 1_000);
        }
        let received = self.tally.received();
        let rate = received.saturating_sub(last.received) as f64 / time;
        let own = own_time();
        let of_server = match (last.server, server) {
            (Some(from), Some(to)) => format!(
                "server {:.0} % {:.0} MiB, ",
                share(from.cpu, to.cpu),
                to.resident_bytes as f64 / f64::from(1 << 20)
            ),
            _ => String::new(),
        };
        let text = format!(
            "{:4.0} s  {phase}: {} of {} joined, {rate:.0} packets/s, p99 {:.2} ms, {of_server}load {:.0} %",
            now.duration_since(self.start).as_secs_f64(),
            self.joined,
            self.clients.len(),
            self.tally.delay.percentile(0.99).as_secs_f64() * 1e3,
            share(last.own, own),
        );
        *last = Progress { at: now, received, own, server };
        Ok(text)
    }
}

/// What the last line of progress knew.
struct Progress {
    at: Instant,
    received: u64,
    own: Duration,
    server: Option<Usage>,
}

fn epoll_failed(errno: nix::Error) -> LoadError {
    LoadError::System("watch sockets with epoll", errno.into())
}
