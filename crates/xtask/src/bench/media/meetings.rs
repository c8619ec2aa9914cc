// SPDX-License-Identifier: EUPL-1.2
//! How many meetings of four a machine captures while it forwards them: a server that records each room by itself, one worker for each, and the load
//! generator in the place of the people. All of them share the machine's cores; what each takes is told apart.
//!
//! A step counts when nothing was lost between people, nothing in the captures, and every file of every capture verifies with the key.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Extent, WORKER, number, program, text};
use crate::bench::server::family;
use crate::sh::{Error, Result, print, process, say};

/// The ports: signalling, then media.
const PORT: u16 = 22_880;
const KEY: &str = "bench";
const SECRET: &str = "a-secret-of-this-measurement-alone";
/// Longer than it takes to listen, and to end so many recordings in order.
const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(50);
/// In the kernel's counts of processor time (proc(5): USER_HZ).
const TICKS_PER_SECOND: f64 = 100.0;
/// People in a meeting, and what each publishes.
pub(super) const PEOPLE: usize = 4;
pub(super) const VIDEO_KBITS: usize = 600;
const TRACKS: usize = 2 * PEOPLE;

/// What one number of meetings came to.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Step {
    pub(super) meetings: usize,
    /// Cores that the server took, all workers together, and the load generator.
    pub(super) server: f64,
    pub(super) workers: f64,
    pub(super) load: f64,
    /// How late packets were for people, in ms: 99 of 100 were within.
    pub(super) p99_ms: f64,
    /// Packets that people lacked, and that captures lacked after all repair.
    pub(super) missing: u64,
    pub(super) lost: u64,
    /// Frames that captures left out, and that they have.
    pub(super) dropped: u64,
    pub(super) frames: u64,
    /// Captures that are not all there, or not whole, and what is wrong with the first.
    pub(super) broken: Vec<String>,
}

impl Step {
    /// Whether all was there, or what was not.
    pub(super) fn complete(&self) -> std::result::Result<(), String> {
        if let Some(first) = self.broken.first() {
            return Err(format!("{} captures are not whole: {first}", self.broken.len()));
        }
        for (count, what) in [
            (self.missing, "packets did not reach people"),
            (self.lost, "packets did not reach captures"),
            (self.dropped, "frames are not in captures"),
        ] {
            if count > 0 {
                return Err(format!("{count} {what}"));
            }
        }
        if self.frames == 0 { Err("nothing was captured".to_owned()) } else { Ok(()) }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Step { meetings, server, workers, load, p99_ms, .. } = self;
        write!(
            f,
            "{meetings} meetings: server {server:.2}, workers {workers:.2}, load {load:.2} cores; p99 {p99_ms:.1} ms"
        )?;
        match self.complete() {
            Ok(()) => write!(f, "; all whole"),
            Err(why) => write!(f, "; {why}"),
        }
    }
}

/// More and more meetings until something is missing; that step is the last.
pub(super) fn ascend(extent: &Extent, work: &Path) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    for meetings in extent.meetings {
        let folder = work.join(format!("meetings-{meetings}"));
        let step = run(*meetings, extent, &folder)?;
        say(&format!("    {step}"));
        let goes_on = step.complete().is_ok();
        steps.push(step);
        // What was captured is large.
        std::fs::remove_dir_all(&folder)?;
        if !goes_on {
            break;
        }
    }
    Ok(steps)
}

/// The largest number of meetings at which all was there.
pub(super) fn most(steps: &[Step]) -> f64 {
    let whole = steps.iter().filter(|step| step.complete().is_ok());
    whole.map(|step| step.meetings as f64).fold(0.0, f64::max)
}

fn run(meetings: usize, extent: &Extent, folder: &Path) -> Result<Step> {
    std::fs::create_dir_all(folder)?;
    let (identity, recipient) = key(folder)?;
    let server = Server::start(folder, &recipient)?;
    let measured = server.load(meetings, extent.meeting_seconds, folder)?;
    server.stop()?;
    let mut step = Step { meetings, ..measured };
    let mut captures = Vec::new();
    for entry in std::fs::read_dir(folder.join("recordings/default"))?.flatten() {
        captures.push(entry.path());
    }
    captures.sort();
    if captures.len() != meetings {
        step.broken.push(format!("{} of {meetings} rooms were recorded", captures.len()));
    }
    for capture in captures {
        if let Err(why) = step.take(&capture, &identity) {
            step.broken.push(format!("{}: {why}", capture.display()));
        }
    }
    Ok(step)
}

/// A key pair of the measurement's own.
fn key(folder: &Path) -> Result<(PathBuf, String)> {
    let identity = folder.join("identity");
    let made = super::told(["key", &text(&identity)])?;
    let recipient = made["recipient"].as_str().ok_or_else(|| Error::new("a key without a recipient"))?;
    Ok((identity, recipient.to_owned()))
}

impl Step {
    /// Adds what a capture came to.
    fn take(&mut self, capture: &Path, identity: &Path) -> std::result::Result<(), String> {
        let manifest = std::fs::read(capture.join("manifest.json")).map_err(|error| error.to_string())?;
        let manifest: Value = serde_json::from_slice(&manifest).map_err(|error| error.to_string())?;
        self.count(&manifest)?;
        let arguments = ["verify".to_owned(), text(capture), "--identity".to_owned(), text(identity)];
        let verified = process(&program(WORKER), arguments).output();
        verified.map(drop).ok_or_else(|| "a file of it is damaged".to_owned())
    }

    fn count(&mut self, manifest: &Value) -> std::result::Result<(), String> {
        let tracks = manifest["tracks"].as_array().cloned().unwrap_or_default();
        if tracks.len() != TRACKS {
            return Err(format!("{} tracks in place of {TRACKS}", tracks.len()));
        }
        if manifest["runs"].as_array().is_none_or(|runs| runs.len() != 1) {
            return Err("its worker was started anew".to_owned());
        }
        for track in tracks {
            let count = |name: &str| track[name].as_u64().unwrap_or_default();
            self.lost += count("lost");
            self.dropped += count("dropped_frames");
            let parts = track["parts"].as_array().cloned().unwrap_or_default();
            let frames: u64 = parts.iter().filter_map(|part| part["frames"].as_u64()).sum();
            if frames == 0 {
                return Err(format!("track {} has no frame", track["track"]));
            }
            self.frames += frames;
        }
        Ok(())
    }
}

/// A server that records every room, on all cores; its end ends it.
struct Server(Child);

impl Server {
    fn start(folder: &Path, recipient: &str) -> Result<Server> {
        let (config, log) = (folder.join("parvis.toml"), std::fs::File::create(folder.join("parvis.log"))?);
        std::fs::write(&config, configuration(folder, recipient))?;
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(program("parvis"))
            .args(["serve", "--config"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let mut server = Server(child);
        let end = Instant::now() + PATIENCE;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, PORT)).is_err() {
            if server.0.try_wait()?.is_some() || Instant::now() > end {
                let log = folder.join("parvis.log");
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                return Err(Error::new(format!("the server does not listen: {said}")));
            }
            std::thread::sleep(POLL);
        }
        Ok(server)
    }

    /// Lets people meet, and looks at what is taken of the cores from the first moment that counts to the last.
    fn load(&self, meetings: usize, seconds: u64, folder: &Path) -> Result<Step> {
        let report = folder.join("load.json");
        let url = format!("ws://127.0.0.1:{PORT}");
        let bits = (VIDEO_KBITS * 1_000).to_string();
        let (rooms, people, seconds) = (meetings.to_string(), PEOPLE.to_string(), seconds.to_string());
        let mut load = Command::new(program("parvis-load"))
            .args(["--rooms", &rooms, "--talkers", &people, "--video-bitrate", &bits, "--speaking", "1"])
            .args(["--join-rate", "20", "--open-every", "8", "--settle", "6", "--seconds", &seconds])
            .args(["--server", &url, "--key", KEY, "--secret", SECRET, "--address", "127.0.0.1"])
            .arg("--json")
            .arg(&report)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let (mut first, mut last, mut said) = (None, None, String::new());
        for line in load.stderr.take().into_iter().flat_map(|lines| BufReader::new(lines).lines()) {
            said = line?;
            print(&format!("    {said}"));
            if said.contains("measuring") {
                let now = Moment::of(self.0.id(), load.id());
                first.get_or_insert_with(|| now.clone());
                last = Some(now);
            }
        }
        if !load.wait()?.success() {
            return Err(Error::new(format!("{meetings} meetings: {said}")));
        }
        let (first, last) = first.zip(last).ok_or_else(|| Error::new("nothing was measured"))?;
        let report: Value = serde_json::from_slice(&std::fs::read(&report)?)?;
        let window = &report["window"];
        let packets = &window["packets"];
        let missing = number(packets, "lost")?.max(number(packets, "missing")?);
        let [server, workers, load] = last.since(&first)?;
        let p99_ms = number(&window["delay"], "p99_ms")?;
        Ok(Step { server, workers, load, p99_ms, missing: missing as u64, ..Step::default() })
    }

    /// Ends it in order, and with it all recordings.
    fn stop(mut self) -> Result {
        process("kill", ["-TERM", &self.0.id().to_string()]).run_quietly()?;
        let end = Instant::now() + PATIENCE;
        while self.0.try_wait()?.is_none() {
            if Instant::now() > end {
                return Err(Error::new("the server does not end"));
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Processor time that each has taken so far, in seconds.
#[derive(Debug, Clone)]
struct Moment {
    at: Instant,
    server: f64,
    load: f64,
    workers: BTreeMap<u32, f64>,
}

impl Moment {
    fn of(server: u32, load: u32) -> Moment {
        let workers = family(server).into_iter().filter(|process| *process != server);
        Moment {
            at: Instant::now(),
            server: cpu(server),
            load: cpu(load),
            workers: workers.map(|process| (process, cpu(process))).collect(),
        }
    }

    /// Cores that server, workers and load took since.
    fn since(&self, first: &Moment) -> Result<[f64; 3]> {
        let seconds = self.at.duration_since(first.at).as_secs_f64();
        if seconds < 1.0 {
            return Err(Error::new("too short a time was measured"));
        }
        let before = |process| first.workers.get(process).copied().unwrap_or_default();
        let workers: f64 = self.workers.iter().map(|(process, cpu)| (cpu - before(process)).max(0.0)).sum();
        Ok([self.server - first.server, workers, self.load - first.load].map(|taken| taken / seconds))
    }
}

/// All that a process has taken (proc(5): `/proc/PID/stat`, fields 14 and 15); 0 of one that is gone.
fn cpu(process: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / TICKS_PER_SECOND
}

/// Everything as it comes, but that people from one address are no flood, and that every room is recorded.
fn configuration(folder: &Path, recipient: &str) -> String {
    let crowd = "{ burst = 100000, per_second = 100000 }";
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!(
        "[http]
listen = \"127.0.0.1:{PORT}\"
max_connections_per_address = 10000
joins_per_address = {crowd}
[media]
addresses = [\"127.0.0.1\"]
udp_ports = \"{}-{}\"
tcp_port = {}
shards = {cores}
pin = false
start_bitrate = 50000000
[rooms]
record = \"capture\"
[recording]
enabled = true
directory = \"{}\"
recipients = [\"{recipient}\"]
worker = \"{}\"
max_jobs = 200
max_films = 0
min_free_bytes = 268435456
[log]
level = \"warn\"
[data]
directory = \"{}\"
[[keys]]
name = \"{KEY}\"
secret = \"{SECRET}\"
",
        PORT + 2,
        usize::from(PORT) + 1 + cores,
        PORT + 1,
        folder.join("recordings").display(),
        program(WORKER),
        folder.join("data").display()
    )
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    /// A step at which all was there.
    pub(crate) fn good(meetings: usize) -> Step {
        Step { meetings, server: 0.5, workers: 0.25, load: 1.0, p99_ms: 3.0, frames: 100, ..Step::default() }
    }

    #[test]
    fn a_step_counts_if_nothing_is_missing_anywhere() {
        assert_eq!(good(10).complete(), Ok(()));
        for (step, part) in [
            (Step { missing: 1, ..good(10) }, "1 packets did not reach people"),
            (Step { lost: 2, ..good(10) }, "2 packets did not reach captures"),
            (Step { dropped: 3, ..good(10) }, "3 frames"),
            (Step { frames: 0, ..good(10) }, "nothing was captured"),
            (
                Step { broken: vec!["a".to_owned(), "b".to_owned()], ..good(10) },
                "2 captures are not whole: a",
            ),
        ] {
            assert!(step.complete().is_err_and(|why| why.contains(part)), "{step}");
        }
        let steps = [good(10), good(20), Step { lost: 1, ..good(30) }];
        assert_eq!((most(&steps), most(&[])), (20.0, 0.0));
    }

    #[test]
    fn a_capture_counts_with_all_its_tracks() {
        let track = |lost, frames| json!({ "track": "TR", "lost": lost, "dropped_frames": 1, "parts": [{ "frames": frames }] });
        let manifest = |tracks: Vec<Value>| json!({ "runs": [{}], "tracks": tracks });
        let mut step = Step::default();
        assert_eq!(step.count(&manifest(vec![track(2, 5); TRACKS])), Ok(()));
        assert_eq!((step.lost, step.dropped, step.frames), (16, 8, 40));
        assert!(step.count(&manifest(vec![track(0, 5); TRACKS - 1])).is_err());
        assert!(step.count(&manifest(vec![track(0, 0); TRACKS])).is_err());
        let again = json!({ "runs": [{}, {}], "tracks": vec![track(0, 5); TRACKS] });
        assert!(step.count(&again).is_err_and(|why| why.contains("anew")));
    }

    #[test]
    fn what_each_takes_is_told_apart() {
        let at = Instant::now();
        let of = |seconds, server, load, workers: &[(u32, f64)]| Moment {
            at: at + Duration::from_secs(seconds),
            server,
            load,
            workers: workers.iter().copied().collect(),
        };
        let first = of(0, 1.0, 10.0, &[(1, 1.0), (2, 1.0)]);
        let last = of(2, 2.0, 12.0, &[(1, 1.5), (2, 1.5), (3, 1.0)]);
        assert_eq!(last.since(&first).unwrap(), [0.5, 1.0, 1.0]);
        assert!(first.since(&first).is_err());
        assert!(cpu(std::process::id()) >= 0.0 && cpu(0) == 0.0);
    }
}
