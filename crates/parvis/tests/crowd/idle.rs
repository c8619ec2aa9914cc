// SPDX-License-Identifier: EUPL-1.2
//! A hundred thousand connections that want nothing but to be there.

use std::collections::VecDeque;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::libc::linger;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, setsockopt, socket, sockopt,
};

use crate::common::caller::{Caller, candidate};
use crate::common::{ANY_PORTS, until};
use crate::hall::Hall;

/// Attempts in every test run; `PARVIS_ATTEMPTS` makes another number.
const ATTEMPTS: usize = 100_000;
/// At the shards' own port, whose house is smaller and kept by the same rule.
const MEDIA_ATTEMPTS: usize = 10_000;
/// One in so many comes from one and the same address.
const FROM_ONE_ADDRESS: usize = 4;
/// What a build without optimisation takes beside the attack and whoever joins, on two cores.
const PER_SECOND: u32 = 2_500;
const THREADS: usize = 16;
/// Connections that each thread holds, the newest: three times what the server has places for.
const HELD: usize = 375;
/// How long all of them go on holding when the last attempt was made.
const HOLDING: Duration = Duration::from_secs(3);
/// How long anyone may take to join and to be connected, on a machine that does other things as well.
const BOUND: Duration = Duration::from_secs(8);

/// What those who hold a connection have said on it.
const SAID: [&[u8]; 4] = [
    b"",
    b"GET /rtc?access_token=",
    b"GET /rtc HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
      Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    b"GET /rtc?access_token=a.b.c HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
      Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
];

/// What those say who hold a connection for media: nothing, half a frame, a frame of nothing.
const SAID_TO_MEDIA: [&[u8]; 3] = [b"", b"\x00\x64\x00\x01", b"\x00\x04none"];

/// Very many connections to one port.
struct Attack {
    target: SocketAddr,
    attempts: usize,
    said: &'static [&'static [u8]],
    start: Instant,
    begun: AtomicUsize,
    connected: AtomicU64,
    over: AtomicBool,
}

/// One of many hosts of 127/8, or always the same.
fn source(attempt: usize) -> Ipv4Addr {
    if attempt.is_multiple_of(FROM_ONE_ADDRESS) {
        return Ipv4Addr::new(127, 0, 0, 2);
    }
    let host = attempt % 5_000;
    Ipv4Addr::new(127, 1, (host / 250) as u8, (1 + host % 250) as u8)
}

/// Connects from an address of our choice. Its end is a reset, which leaves nothing behind on this machine.
fn attempt(from: Ipv4Addr, to: SocketAddr) -> nix::Result<TcpStream> {
    let SocketAddr::V4(to) = to else { panic!("the server listens on IPv4") };
    let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&socket, sockopt::Linger, &linger { l_onoff: 1, l_linger: 0 })?;
    bind(socket.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(from, 0)))?;
    connect(socket.as_raw_fd(), &SockaddrIn::from(to))?;
    Ok(TcpStream::from(socket))
}

impl Attack {
    /// Attacks for as long as it takes, and does `meanwhile` again and again until a while after the last attempt. Says how
    /// many attempts the system took, and in what time.
    fn run(
        target: SocketAddr,
        attempts: usize,
        said: &'static [&'static [u8]],
        mut meanwhile: impl FnMut(),
    ) -> (u64, Duration) {
        let (begun, connected, over) = Default::default();
        let attack = Attack { target, attempts, said, start: Instant::now(), begun, connected, over };
        let mut lasted = Duration::ZERO;
        std::thread::scope(|scope| {
            // Also when something fails here: nobody holds on then.
            let _end = End(&attack.over);
            for _ in 0..THREADS {
                scope.spawn(|| attack.attempt_all());
            }
            let mut holds: Option<Instant> = None;
            while holds.is_none_or(|since| since.elapsed() < HOLDING) {
                if holds.is_none() && attack.begun.load(Ordering::Relaxed) >= attempts {
                    holds = Some(Instant::now());
                    lasted = attack.start.elapsed();
                }
                meanwhile();
            }
        });
        (attack.connected.load(Ordering::Relaxed), lasted)
    }

    /// Makes its share of the attempts and holds the newest.
    fn attempt_all(&self) {
        let mut held = VecDeque::new();
        while !self.over.load(Ordering::Relaxed) {
            let number = self.begun.fetch_add(1, Ordering::Relaxed);
            if number >= self.attempts {
                std::thread::sleep(Duration::from_millis(10));
                continue;
            }
            let due = self.start + Duration::from_secs(1) * number as u32 / PER_SECOND;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if let Ok(mut stream) = attempt(source(number), self.target) {
                self.connected.fetch_add(1, Ordering::Relaxed);
                // The server may have turned us away already.
                let _ = stream.write_all(self.said[number / FROM_ONE_ADDRESS % self.said.len()]);
                held.push_back(stream);
            }
            if held.len() > HELD {
                held.pop_front();
            }
        }
    }
}

/// Ends an attack with its scope.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Whoever is there before the attack, and those who join while it lasts.
struct Meeting {
    hall: Hall,
    ada: Caller,
    joined: u32,
    tries: u32,
    slowest: Duration,
    most_files: usize,
    resident: u64,
    ticks: u64,
}

impl Meeting {
    fn begin(name: &str, media: &str) -> Meeting {
        let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
        assert!(most as usize > THREADS * HELD + 1_000, "these tests need more open files than {most}");
        let configuration = format!("[media]\naddresses = [\"127.0.0.1\"]\npin = false\n{media}");
        let hall = Hall::open(name, "ulimit -n 4096;", &configuration, &ANY_PORTS);
        let (ada, ..) = hall.join("atelier", "ada", BOUND);
        let (resident, ticks) = (hall.resident(), hall.ticks());
        Meeting { hall, ada, joined: 0, tries: 0, slowest: Duration::ZERO, most_files: 0, resident, ticks }
    }

    /// One more joins, and leaves again.
    fn another(&mut self, meets: impl FnOnce(&Caller)) {
        let name = format!("guest-{}", self.joined);
        let (caller, took, tries) = self.hall.join("atelier", &name, BOUND);
        meets(&caller);
        caller.leave();
        (self.joined, self.tries) = (self.joined + 1, self.tries + tries);
        self.slowest = self.slowest.max(took);
        self.most_files = self.most_files.max(self.hall.open_files());
        assert!(self.ada.keep_signalling(), "what is in a meeting stays");
        let pause = Instant::now();
        self.ada.run_until("a pause", |_| pause.elapsed() >= Duration::from_millis(100));
    }

    /// How much more memory the server has now than at the beginning, in KiB.
    fn grown(&self) -> u64 {
        self.hall.resident().saturating_sub(self.resident)
    }

    fn tell(&self) -> String {
        format!(
            "{} joined meanwhile in {} tries, the slowest in {:.2?}; at most {} files, {} KiB more memory, {} ms of processor",
            self.joined,
            self.tries,
            self.slowest,
            self.most_files,
            self.grown(),
            (self.hall.ticks() - self.ticks) * 10
        )
    }

    /// Nobody suffered, and nothing is left of it.
    fn end(mut self) {
        assert!(self.joined >= 10 && self.slowest < BOUND, "{}", self.tell());
        assert!(self.tries <= self.joined + self.joined / 2, "{}", self.tell());
        assert!(self.most_files < 4_096 - 64, "{} files were open: the reserve is gone", self.most_files);
        assert!(self.grown() < 64 << 10, "{} KiB", self.grown());
        let hall = &self.hall;
        until("the last are gone", || hall.figure("parvis_http_connections ") <= 1);
        let (bob, took, tries) = hall.join("atelier", "bob", BOUND);
        assert!(tries == 1 && took < Duration::from_secs(2), "afterwards: {tries} tries, {took:?}");
        let reports = self.ada.reports;
        for _ in 0..50 {
            self.ada.send_sound();
        }
        self.ada.run_until("she is still in the call", |ada| ada.reports > reports);
        assert!(self.ada.keep_signalling(), "and in the room");
        bob.leave();
        self.ada.leave();
        assert!(self.hall.server.is_running() && self.hall.rests(), "it spins");
        self.hall.log_is_short();
    }
}

fn attempts(here: usize) -> usize {
    std::env::var("PARVIS_ATTEMPTS").map_or(here, |text| text.parse().unwrap())
}

#[test]
fn row_38_and_39_a_hundred_thousand_idle_connections_keep_nobody_out() {
    let attempts = attempts(ATTEMPTS);
    let mut meeting = Meeting::begin("idle", "");
    let address = meeting.hall.server.address;
    let (connected, lasted) = Attack::run(address, attempts, &SAID, || meeting.another(|_| ()));
    let figure = |name: &str| meeting.hall.figure(name);
    let by_address = figure("parvis_http_connections_refused_total{limit=\"address\"}");
    let by_total = figure("parvis_http_connections_refused_total{limit=\"total\"}");
    let displaced = figure("parvis_http_connections_displaced_total");
    let silent = figure("parvis_edge_silent_total");
    eprintln!(
        "{connected} of {attempts} connections in {lasted:.1?}: {displaced} made room, {by_address} were refused by address, \
         {by_total} by the total, {silent} were silent for too long; {}",
        meeting.tell()
    );
    assert_eq!(connected, attempts as u64, "the system took all of them");
    // One address has its limit: no more of its own get in than its 200 places and what becomes free of them.
    let from_one = (attempts / FROM_ONE_ADDRESS) as u64;
    assert!(by_address >= from_one / 4, "{by_address} of {from_one} were refused by address");
    // Of the others all but those who have the last places made room, or went by themselves before it was their turn.
    let others = attempts as u64 - from_one;
    assert!(displaced >= others / 2, "{displaced} of {others} made room");
    assert!(by_total <= connected / 100, "{by_total} found no place");
    meeting.end();
}

#[test]
fn row_38_and_39_idle_connections_to_the_medias_own_port_keep_nobody_out() {
    let attempts = attempts(MEDIA_ATTEMPTS);
    let mut meeting = Meeting::begin("idle-media", "max_tcp_connections_per_address = 100\n");
    let media = candidate(&meeting.ada.answer, "tcp");
    assert_ne!(media, meeting.hall.server.address, "the shard's own");
    let mut answered = 0;
    let (connected, lasted) = Attack::run(media, attempts, &SAID_TO_MEDIA, || {
        meeting.another(|guest| answered += u32::from(guest.is_answered_over_tcp(media)));
    });
    let figure = |name: &str| meeting.hall.figure(name);
    let displaced = figure("parvis_shard_tcp_displaced_total");
    let refused = figure("parvis_shard_tcp_refused_total");
    eprintln!(
        "{connected} of {attempts} connections in {lasted:.1?}: {displaced} made room, {refused} were refused; {answered} checks \
         over TCP were answered; {}",
        meeting.tell()
    );
    assert_eq!(connected, attempts as u64, "the system took all of them");
    assert!(answered == meeting.joined, "{answered} of {} got an answer", meeting.joined);
    let from_one = (attempts / FROM_ONE_ADDRESS) as u64;
    assert!(refused >= from_one / 4, "{refused} of {from_one} were refused by address");
    let others = attempts as u64 - from_one;
    assert!(displaced >= others / 2, "{displaced} of {others} made room");
    meeting.end();
}
