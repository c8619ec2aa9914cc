// SPDX-License-Identifier: EUPL-1.2
//! Up to a hundred thousand connections that want nothing but to be there.

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

use crate::common::{ANY_PORTS, until};
use crate::hall::Hall;

/// Attempts in every test run; `PARVIS_ATTEMPTS=100000` makes as many as the name says, which takes minutes.
const ATTEMPTS: usize = 8_000;
/// One in so many comes from one and the same address.
const FROM_ONE_ADDRESS: usize = 4;
/// More than these overrun the queue of those to be accepted, and then wait a second all together.
const PER_SECOND: u32 = 2_500;
const THREADS: usize = 16;
/// Connections that each thread holds, the newest: three times what the server has places for.
const HELD: usize = 375;
/// How long all of them go on holding when the last attempt was made.
const HOLDING: Duration = Duration::from_secs(3);
/// How long anyone may take to join and to be connected. The system tries to connect again after 1 and after 3 seconds
/// when the queue of those who wait to be accepted is full.
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

#[derive(Default)]
struct Attack {
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
    fn run(&self, server: SocketAddr, attempts: usize, start: Instant) {
        let mut held = VecDeque::new();
        loop {
            let number = self.begun.fetch_add(1, Ordering::Relaxed);
            if number >= attempts {
                break;
            }
            let due = start + Duration::from_secs(1) * number as u32 / PER_SECOND;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if let Ok(mut stream) = attempt(source(number), server) {
                self.connected.fetch_add(1, Ordering::Relaxed);
                // The server may have turned us away already.
                let _ = stream.write_all(SAID[number / FROM_ONE_ADDRESS % SAID.len()]);
                held.push_back(stream);
            }
            if held.len() > HELD {
                held.pop_front();
            }
        }
        while !self.over.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn row_38_and_39_idle_connections_by_the_ten_thousand_keep_nobody_out() {
    let attempts = std::env::var("PARVIS_ATTEMPTS").map_or(ATTEMPTS, |text| text.parse().unwrap());
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
    assert!(most as usize > THREADS * HELD + 1_000, "these tests need more open files than {most}");
    // Nobody's time runs out here: places become free by those who make room, and by nothing else.
    let configuration = "[http]\nidle_timeout = \"10m\"\nrequest_head_timeout = \"10m\"\n\
                         [tls]\nhandshake_timeout = \"10m\"\n\
                         [media]\naddresses = [\"127.0.0.1\"]\npin = false\n";
    let mut hall = Hall::open("idle", "ulimit -n 4096;", configuration, &ANY_PORTS);
    let (mut ada, ..) = hall.join("atelier", "ada", BOUND);
    let (resident, ticks) = (hall.resident(), hall.ticks());

    let attack = Attack::default();
    let (mut joined, mut slowest, mut tries, mut most_files) = (0, Duration::ZERO, 0, 0);
    let begun = Instant::now();
    let mut lasted = Duration::ZERO;
    std::thread::scope(|scope| {
        let (attack, address) = (&attack, hall.server.address);
        let threads: Vec<_> =
            (0..THREADS).map(|_| scope.spawn(move || attack.run(address, attempts, begun))).collect();
        let mut hold = None;
        while hold.is_none_or(|since: Instant| since.elapsed() < HOLDING) {
            if hold.is_none() && attack.begun.load(Ordering::Relaxed) >= attempts {
                hold = Some(Instant::now());
                lasted = begun.elapsed();
            }
            let (caller, took, tried) = hall.join("atelier", &format!("guest-{joined}"), BOUND);
            caller.leave();
            (joined, slowest, tries) = (joined + 1, slowest.max(took), tries + tried);
            most_files = most_files.max(hall.open_files());
            let pause = Instant::now();
            ada.run_until("a pause", |_| pause.elapsed() >= Duration::from_millis(100));
        }
        attack.over.store(true, Ordering::Relaxed);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
    let connected = attack.connected.load(Ordering::Relaxed);
    let address = hall.figure("parvis_http_connections_refused_total{limit=\"address\"}");
    let total = hall.figure("parvis_http_connections_refused_total{limit=\"total\"}");
    let displaced = hall.figure("parvis_http_connections_displaced_total");
    let grown = hall.resident().saturating_sub(resident);
    eprintln!(
        "{connected} of {attempts} connections in {lasted:.1?}: {displaced} made room, {address} were refused by address, \
         {total} by the total; {joined} joined meanwhile in {tries} tries, the slowest in {slowest:.2?}; at most {most_files} \
         files, {grown} KiB more memory, {} ms of processor",
        (hall.ticks() - ticks) * 10
    );
    assert!(connected as usize > attempts * 9 / 10, "the attack took place");
    assert!(joined >= 10 && slowest < BOUND, "{joined} joined, the slowest in {slowest:?}");
    assert!(tries <= joined + joined / 2, "{tries} tries for {joined}");
    // All were turned away or made room, but for those who held the last places and those who went before their turn.
    assert!(address >= (attempts / FROM_ONE_ADDRESS) as u64 / 4, "one address has its limit");
    let silent = hall.figure("parvis_edge_silent_total");
    assert!(
        displaced > 0 && displaced + address + total + silent > connected / 4,
        "they are counted, {silent} silent ones too"
    );
    assert!(most_files < 4_096 - 64, "{most_files} files were open: the reserve is gone");
    assert!(grown < 64 << 10, "{grown} KiB");

    until("the last are gone", || hall.figure("parvis_http_connections ") <= 1);
    let (bob, took, tries) = hall.join("atelier", "bob", BOUND);
    assert!(tries == 1 && took < Duration::from_secs(2), "afterwards: {tries} tries, {took:?}");
    let reports = ada.reports;
    for _ in 0..50 {
        ada.send_sound();
    }
    ada.run_until("she is still in the call", |ada| ada.reports > reports);
    bob.leave();
    ada.leave();
    assert!(hall.server.is_running() && hall.rests(), "it spins");
    hall.log_is_short();
}
