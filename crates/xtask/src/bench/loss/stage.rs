// SPDX-License-Identifier: EUPL-1.2
//! The stage: two network namespaces with the router between them; in the one both servers and a publisher for each, in
//! the other one receiver after the other. All of it is gone when the stage is dropped, and what an earlier run left
//! behind when it was killed goes when the next begins.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::point::{Link, Machine, Sample};
use crate::e2e;
use crate::sh::{self, Error, Result, process, root, target};

/// Longer than anything here takes.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// How long a child has to end by itself.
const FAREWELL: Duration = Duration::from_secs(2);
/// All our namespaces, each followed by the process that made it.
const NAME: &str = "parvis-loss-";
const DEVICE: &str = "parvis0";
/// The server's side and the receiver's; documentation has no range that is routed nowhere and still private.
const SERVER: &str = "10.77.1.1";
const RECEIVER: &str = "10.77.1.2";
/// A publisher's encoders take up again.
const WARM_UP: Duration = Duration::from_secs(2);

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Server {
    Parvis,
    LiveKit,
}

impl Server {
    fn port(self) -> u16 {
        match self {
            Server::Parvis => 7880,
            Server::LiveKit => 8880,
        }
    }

    fn url(self) -> String {
        format!("ws://{SERVER}:{}", self.port())
    }
}

/// A child that speaks in lines.
struct Talker {
    name: &'static str,
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Talker {
    /// Starts a program in a namespace; it ends with this process whatever happens.
    fn start(name: &'static str, namespace: &str, program: &Path, arguments: &[String]) -> Result<Talker> {
        let inside = ["netns", "exec", namespace, "setpriv", "--pdeathsig", "KILL"];
        let mut command = Command::new("ip");
        command.args(inside).arg(program).args(arguments).current_dir(root());
        Talker::spawn(name, command)
    }

    fn spawn(name: &'static str, mut command: Command) -> Result<Talker> {
        let log = std::fs::File::create(log_file(name))?;
        command.env("PATH", sh::path()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let mut child =
            command.spawn().map_err(|error| Error::new(format!("{name} can't be started: {error}")))?;
        let (sender, lines) = channel();
        if let Some(output) = child.stdout.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(std::io::Result::ok) {
                    if sender.send(line).is_err() {
                        return;
                    }
                }
            });
        }
        let input = child.stdin.take();
        Ok(Talker { name, child, input, lines })
    }

    fn tell(&mut self, line: &str) -> Result {
        let input = self.input.as_mut().ok_or_else(|| Error::new(format!("{} hears nothing", self.name)))?;
        writeln!(input, "{line}").map_err(|error| self.broken(&error.to_string()))
    }

    fn hear(&self) -> Result<String> {
        self.lines.recv_timeout(PATIENCE).map_err(|error| {
            self.broken(match error {
                RecvTimeoutError::Timeout => "it says nothing",
                RecvTimeoutError::Disconnected => "it ended",
            })
        })
    }

    /// The next line, as JSON.
    fn hear_json(&self) -> Result<Value> {
        let line = self.hear()?;
        serde_json::from_str(&line).map_err(|error| self.broken(&format!("{line:?}: {error}")))
    }

    fn broken(&self, what: &str) -> Error {
        Error::new(format!("{}: {what}; it logged to {}", self.name, log_file(self.name).display()))
    }
}

impl Drop for Talker {
    fn drop(&mut self) {
        // Most end with their input, and tidily.
        drop(self.input.take());
        let end = Instant::now() + FAREWELL;
        while self.child.try_wait().is_ok_and(|ended| ended.is_none()) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn log_file(name: &str) -> std::path::PathBuf {
    target().join(format!("loss-{}.log", name.replace(' ', "-")))
}

/// The namespaces, removed when this is dropped: last, after all that runs in them.
struct Namespaces {
    server: String,
    receiver: String,
}

impl Namespaces {
    fn make() -> Result<Namespaces> {
        for left in process("ip", ["netns", "list"]).output().unwrap_or_default().lines() {
            let name = left.split(' ').next().unwrap_or_default();
            let maker = name.strip_prefix(NAME).and_then(|rest| rest.split('-').next());
            if maker.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
                let _ = process("ip", ["netns", "del", name]).output();
            }
        }
        let pid = std::process::id();
        let made = Namespaces { server: format!("{NAME}{pid}-s"), receiver: format!("{NAME}{pid}-r") };
        for name in [&made.server, &made.receiver] {
            ip(&["netns", "add", name])?;
            ip(&["-n", name, "link", "set", "lo", "up"])?;
        }
        Ok(made)
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for name in [&self.server, &self.receiver] {
            let _ = process("ip", ["netns", "del", name]).output();
        }
    }
}

fn ip(arguments: &[&str]) -> Result {
    process("ip", arguments).output().map(drop).ok_or_else(|| {
        let shown = arguments.join(" ");
        Error::new(format!(
            "`ip {shown}` failed: this measurement makes network namespaces, for which it must be root"
        ))
    })
}

/// All that a run needs, in the order in which it ends.
pub(super) struct Stage {
    publishers: Vec<(Server, Talker)>,
    _servers: Vec<Talker>,
    router: Talker,
    namespaces: Namespaces,
    python: std::path::PathBuf,
    runs: u32,
}

impl Stage {
    /// Starts everything but a receiver.
    pub(super) fn open(python: &Path, livekit: &Path) -> Result<Stage> {
        let namespaces = Namespaces::make()?;
        let (inner, outer) = (namespaces.server.clone(), namespaces.receiver.clone());
        let mut command = Command::new(target().join("release/parvis-router"));
        command.args(["--a", &format!("{inner}:{DEVICE}"), "--b", &format!("{outer}:{DEVICE}")]);
        let router = Talker::spawn("router", command)?;
        router.hear()?;
        for (name, address) in [(&inner, SERVER), (&outer, RECEIVER)] {
            ip(&["-n", name, "addr", "add", &format!("{address}/30"), "dev", DEVICE])?;
            ip(&["-n", name, "link", "set", DEVICE, "up"])?;
        }
        let servers = vec![start_parvis(&inner)?, start_livekit(&inner, livekit)?];
        let python = python.to_path_buf();
        let mut stage =
            Stage { publishers: Vec::new(), _servers: servers, router, namespaces, python, runs: 0 };
        for (server, name) in
            [(Server::Parvis, "publisher to Parvis"), (Server::LiveKit, "publisher to LiveKit")]
        {
            let arguments = stage.client("bench/loss.mjs", server, "publisher", &[])?;
            let publisher = Talker::start(name, &stage.namespaces.server, Path::new("node"), &arguments)?;
            publisher.hear_json()?;
            stage.publishers.push((server, publisher));
        }
        Ok(stage)
    }

    fn client(&self, script: &str, server: Server, identity: &str, rest: &[String]) -> Result<Vec<String>> {
        let script = root().join(e2e::FOLDER).join(script).to_string_lossy().into_owned();
        let mut arguments = vec![script, server.url(), token(identity)?];
        arguments.extend_from_slice(rest);
        Ok(arguments)
    }

    /// Makes the link into this one, for what is sent from now on.
    pub(super) fn link(&mut self, link: Link) -> Result {
        let model = json!({
            "delay_ms": f64::from(link.round_trip_ms) / 2.0,
            "loss": link.loss,
            "rate_kbps": link.rate_kbps,
        });
        self.route(&json!({ "both": model }))?;
        Ok(())
    }

    fn route(&mut self, request: &Value) -> Result<Value> {
        self.router.tell(&request.to_string())?;
        let answer = self.router.hear_json()?;
        match answer.get("error") {
            Some(error) => Err(self.router.broken(&error.to_string())),
            None => Ok(answer),
        }
    }

    /// One receiver joins and stays for some seconds after its first picture; `during` sees each sample as it comes.
    pub(super) fn receive(
        &mut self,
        server: Server,
        seconds: f64,
        mut during: impl FnMut(&Sample, &mut Stage) -> Result,
    ) -> Result<(Vec<Sample>, Machine)> {
        self.runs += 1;
        let arguments =
            self.client("bench/loss.py", server, &format!("receiver-{}", self.runs), &[seconds.to_string()])?;
        let mut receiver = Talker::start("receiver", &self.namespaces.receiver, &self.python, &arguments)?;
        self.publisher(server, "on")?;
        let warm = Instant::now() + WARM_UP;
        receiver.hear_json()?;
        std::thread::sleep(warm.saturating_duration_since(Instant::now()));
        self.route(&json!({ "reset": true }))?;
        let before = processor_time();
        receiver.tell("go")?;
        let mut samples = Vec::new();
        let watched: Result = loop {
            // A join that failed altogether is a result: nothing was seen.
            let Ok(line) = receiver.hear() else { break Ok(()) };
            // Beside samples it may say what happened to its connection, and the SDK speaks in lines of its own.
            let Ok(line) = serde_json::from_str::<Value>(&line) else { continue };
            if line.get("end").is_some() {
                break Ok(());
            }
            if line.get("event").is_some() {
                continue;
            }
            let Ok(sample) = serde_json::from_value::<Sample>(line) else { continue };
            if let Err(error) = during(&sample, self) {
                break Err(error);
            }
            samples.push(sample);
        };
        let after = processor_time();
        let routed = self.route(&json!({}))?;
        let published = self.publisher(server, "off")?;
        watched?;
        let total = |key: &str| -> f64 {
            ["a_to_b", "b_to_a"].iter().filter_map(|way| routed[way][key].as_f64()).sum()
        };
        let machine = Machine {
            idle: (after.0 - before.0) / (after.1 - before.1).max(1.0),
            drawn_fps: published["drawn_fps"].as_f64().unwrap_or_default(),
            late: (total("late") + total("dropped")) / total("delivered").max(1.0),
        };
        Ok((samples, machine))
    }

    fn publisher(&mut self, server: Server, what: &str) -> Result<Value> {
        let publisher = self.publishers.iter_mut().find(|(of, _)| *of == server);
        let (_, publisher) = publisher.ok_or_else(|| Error::new("there is no publisher"))?;
        publisher.tell(what)?;
        // It may have said more since, such as that it connected anew.
        loop {
            let line = publisher.hear_json()?;
            if line.get("on").is_some() {
                return Ok(line);
            }
        }
    }
}

fn start_parvis(namespace: &str) -> Result<Talker> {
    let data = target().join("loss-data").to_string_lossy().into_owned();
    let http = format!("{SERVER}:{}", Server::Parvis.port());
    let arguments =
        ["serve", "--dev", "--http", &http, "--media-ports", "7882", "--tcp-port", "7881", "--data", &data];
    let talker = Talker::start("parvis", namespace, &parvis(), &arguments.map(str::to_owned))?;
    while !talker.hear()?.starts_with("ready ") {}
    Ok(talker)
}

fn start_livekit(namespace: &str, binary: &Path) -> Result<Talker> {
    // Its own defaults, but for addresses, ports and the development key.
    let config = json!({
        "port": Server::LiveKit.port(),
        "bind_addresses": [SERVER],
        "rtc": { "udp_port": 8882, "tcp_port": 8881, "node_ip": SERVER, "use_external_ip": false },
        "keys": { "devkey": "secret" },
        "logging": { "level": "warn" },
    });
    let talker =
        Talker::start("livekit", namespace, binary, &["--config-body".to_owned(), config.to_string()])?;
    let (port, end) = (Server::LiveKit.port().to_string(), Instant::now() + PATIENCE);
    while Instant::now() < end {
        // It says nothing when it serves; its port does.
        let listening =
            process("ip", ["netns", "exec", namespace, "ss", "-Hltn", "sport", "=", &format!(":{port}")]);
        if listening.output().is_some_and(|line| !line.is_empty()) {
            return Ok(talker);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Err(talker.broken("it does not listen"))
}

fn parvis() -> std::path::PathBuf {
    target().join("release/parvis")
}

fn token(identity: &str) -> Result<String> {
    let arguments =
        ["token", "create", "--dev", "--room", "loss", "--identity", identity, "--minutes", "600"];
    let made = process(&parvis().to_string_lossy(), arguments).output();
    made.ok_or_else(|| Error::new("parvis makes no token"))
}

/// Processor time since the machine started: what was to be had, and in all. What nice processes took was to be had too:
/// they give way.
fn processor_time() -> (f64, f64) {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = stat.lines().next().unwrap_or_default();
    let fields: Vec<f64> = line.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    // proc(5): user nice system idle iowait irq softirq steal, and guests that user holds already.
    let idle = [1, 3, 4].iter().filter_map(|at| fields.get(*at)).sum();
    (idle, fields.iter().take(8).sum())
}
