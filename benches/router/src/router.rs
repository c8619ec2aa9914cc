// SPDX-License-Identifier: EUPL-1.2
//! The loop: two devices, a timer and standard input.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use crate::way::Way;
use crate::wire::{self, Answer, Request};

/// The largest IP packet.
const PACKET_BYTES: usize = 1 << 16;
/// Packets read from one device before the others have their turn.
const BATCH: usize = 64;
/// The longest line on standard input.
const LINE_BYTES: usize = 1 << 12;

/// What wakes the loop.
const END_A: u64 = 0;
const END_B: u64 = 1;
const TIMER: u64 = 2;
const INPUT: u64 = 3;

/// Two ends and the two ways between them.
pub(crate) struct Router {
    ends: [File; 2],
    /// From a to b, and from b to a: each is named by the end that it is read from.
    ways: [Way; 2],
    epoll: Epoll,
    timer: TimerFd,
    /// What the timer is set to.
    armed: Option<Instant>,
    line: Vec<u8>,
}

impl Router {
    pub(crate) fn new(a: File, b: File, seed: u64) -> io::Result<Router> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let timer =
            TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        let readable = |what| EpollEvent::new(EpollFlags::EPOLLIN, what);
        epoll.add(&a, readable(END_A))?;
        epoll.add(&b, readable(END_B))?;
        epoll.add(timer.as_fd(), readable(TIMER))?;
        epoll.add(io::stdin(), readable(INPUT))?;
        let ways = [Way::new(seed), Way::new(seed ^ 0x5eed)];
        Ok(Router { ends: [a, b], ways, epoll, timer, armed: None, line: Vec::new() })
    }

    /// Becomes what the request says; it has been checked.
    pub(crate) fn change(&mut self, request: &Request) {
        for (way, model) in self.ways.iter_mut().zip(request.models().unwrap_or_default()) {
            if let Some(model) = model {
                way.change(model);
            }
        }
    }

    /// Says `ready` and carries packets until standard input ends.
    pub(crate) fn run(&mut self) -> io::Result<()> {
        answer_line("ready")?;
        let mut packet = vec![0; PACKET_BYTES];
        let mut events = [EpollEvent::empty(); 4];
        loop {
            let count = match self.epoll.wait(&mut events, EpollTimeout::NONE) {
                Err(nix::Error::EINTR) => continue,
                other => other?,
            };
            for event in &events[..count] {
                match event.data() {
                    TIMER => {
                        // Not blocking: a timer that was set anew has nothing to read.
                        let _ = self.timer.wait();
                        self.armed = None;
                    }
                    INPUT => {
                        if !self.read_input()? {
                            return Ok(());
                        }
                    }
                    end => self.read_packets(usize::from(end == END_B), &mut packet)?,
                }
            }
            let now = Instant::now();
            for (way, to) in [(0, 1), (1, 0)] {
                let mut end = &self.ends[to];
                self.ways[way].deliver(now, |packet| end.write(packet).is_ok());
            }
            self.arm()?;
        }
    }

    fn read_packets(&mut self, from: usize, packet: &mut [u8]) -> io::Result<()> {
        for _ in 0..BATCH {
            match (&self.ends[from]).read(packet) {
                Ok(length) => self.ways[from].take(Instant::now(), &packet[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn arm(&mut self) -> io::Result<()> {
        let next = self.ways.iter().filter_map(Way::next).min();
        if next == self.armed {
            return Ok(());
        }
        if let Some(at) = next {
            // Zero would switch it off.
            let wait = at.saturating_duration_since(Instant::now()).max(Duration::from_nanos(1));
            let once = Expiration::OneShot(TimeSpec::from_duration(wait));
            self.timer.set(once, TimerSetTimeFlags::empty())?;
        }
        self.armed = next;
        Ok(())
    }

    /// Follows each whole line that has come; `false` when no more will.
    fn read_input(&mut self) -> io::Result<bool> {
        let mut bytes = [0; LINE_BYTES];
        // Once: more would wait. Not through `stdin()`, whose buffer would hide what epoll doesn't see.
        let length = nix::unistd::read(io::stdin(), &mut bytes)?;
        if length == 0 {
            return Ok(false);
        }
        self.line.extend_from_slice(&bytes[..length]);
        while let Some(end) = self.line.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.line.drain(..=end).collect();
            self.follow(&String::from_utf8_lossy(&line))?;
        }
        if self.line.len() > LINE_BYTES {
            self.line.clear();
            self.answer(&Answer::Error { error: format!("a line of more than {LINE_BYTES} bytes") })?;
        }
        Ok(true)
    }

    fn follow(&mut self, line: &str) -> io::Result<()> {
        match wire::parse(line) {
            Ok(request) => {
                self.change(&request);
                let [a_to_b, b_to_a] = [0, 1].map(|way| self.ways[way].counts());
                if request.reset {
                    self.ways.iter_mut().for_each(Way::count_anew);
                }
                self.answer(&Answer::Counts { a_to_b, b_to_a })
            }
            Err(error) => self.answer(&Answer::Error { error }),
        }
    }

    fn answer(&self, answer: &Answer) -> io::Result<()> {
        answer_line(&serde_json::to_string(answer)?)
    }
}

fn answer_line(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
