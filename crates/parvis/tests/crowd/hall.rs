// SPDX-License-Identifier: EUPL-1.2
//! A server of a test's own, alone on the machine as far as these tests go: its figures, and tokens for whoever comes.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use parvis_api::Keys;
use parvis_signal::Grants;

use crate::common::caller::Caller;
use crate::common::{Directory, Server, get};

pub const KEY: &str = "crowd";
pub const SECRET: &str = "a-secret-of-this-test-and-no-other";

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

pub struct Hall {
    pub server: Server,
    pub metrics: SocketAddr,
    _directory: Directory,
    keys: Keys,
    _turn: MutexGuard<'static, ()>,
}

impl Hall {
    /// Starts a server with this configuration, by a shell that first does what `before` says.
    pub fn open(name: &str, before: &str, configuration: &str, flags: &[&str]) -> Hall {
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let directory = Directory::new(name);
        let data = directory.path("data");
        let text = format!("{configuration}\n[[keys]]\nname = \"{KEY}\"\nsecret = \"{SECRET}\"\n");
        let file = directory.write("parvis.toml", &text);
        let own = ["--config", &file, "--data", &data, "--metrics", "127.0.0.1:0"];
        let server = Server::start(before, "info", &[own.as_slice(), flags].concat());
        let line = server.wait_for_log("metrics=");
        let metrics = line.split("metrics=").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        let keys = Keys::new(vec![(KEY.to_owned(), SECRET.to_owned())], Duration::from_secs(3_600), false);
        Hall { server, metrics, _directory: directory, keys: keys.unwrap(), _turn: turn }
    }

    pub fn token(&self, room: &str, identity: &str) -> String {
        self.keys.issue(room, &Grants::of(identity), Duration::from_secs(600)).unwrap()
    }

    /// The sum of a figure over all its labels that begin as `name` does.
    pub fn figure(&self, name: &str) -> u64 {
        let page = get(self.metrics, "/metrics").unwrap().1;
        let lines = page.lines().filter(|line| line.starts_with(name));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64).sum()
    }

    /// Joins as often as it takes, and connects. Returns how long all of it took, and how many tries.
    pub fn join(&self, room: &str, identity: &str, patience: Duration) -> (Caller, Duration, u32) {
        let begun = Instant::now();
        let mut tries = 0;
        let mut caller = loop {
            tries += 1;
            match Caller::try_join(self.server.address, &self.token(room, identity)) {
                Ok(caller) => break caller,
                Err(error) => assert!(begun.elapsed() < patience, "try {tries}: {error}"),
            }
        };
        caller.run_until("connected", |caller| caller.connected);
        (caller, begun.elapsed(), tries)
    }

    /// Processor time that the server has used, in clock ticks of 10 ms.
    pub fn ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.server.pid())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }

    /// Whether the server does next to nothing, for a second.
    pub fn rests(&self) -> bool {
        let before = self.ticks();
        std::thread::sleep(Duration::from_secs(1));
        self.ticks() - before < 30
    }

    pub fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.server.pid())).unwrap().count()
    }

    /// Resident memory in KiB.
    pub fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.server.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// The log has not grown with what was done to the server, beside a line for each connection of media that came up, and
    /// tells of no panic.
    pub fn log_is_short(&self) {
        let log = self.server.logged();
        assert!(!log.contains("panick"), "{log}");
        let lines: Vec<&str> = log.lines().filter(|line| !line.contains("a peer connection is up")).collect();
        assert!(lines.len() < 100, "{} lines: {:#?}", lines.len(), &lines[..20]);
    }
}

/// The value below which this share of all lies.
pub fn percentile(values: &mut [Duration], share: f64) -> Duration {
    values.sort();
    values[(values.len() as f64 * share).ceil() as usize - 1]
}
