// SPDX-License-Identifier: EUPL-1.2
//! The servers, each alone on its core, and the load generator on another.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde_json::{Value, json};

use super::rounds::Seen;
use super::svg::Series;
use super::{janus, mediasoup};
use crate::sh::{self, Error, Result, print, root, target};

/// Longer than any of them takes to listen.
const PATIENCE: Duration = Duration::from_secs(30);
const KEY: &str = "bench";
const SECRET: &str = "a-secret-of-this-measurement-alone";
/// The servers' core, and the load's.
pub(super) const SERVER_CORE: usize = 0;
pub(super) const LOAD_CORE: usize = 1;
/// Ports for media of a server that has one for each connection, below those that the system gives to the load.
const MEDIA_PORTS: (u16, u16) = (21_000, 30_999);

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(super) enum Which {
    #[value(skip)]
    Parvis,
    #[value(name = "livekit")]
    LiveKit,
    Janus,
    Mediasoup,
}

impl Which {
    pub(super) fn name(self) -> &'static str {
        match self {
            Which::Parvis => "Parvis",
            Which::LiveKit => "LiveKit",
            Which::Janus => "Janus",
            Which::Mediasoup => "mediasoup",
        }
    }

    /// How charts show it, in whatever company.
    pub(super) fn series(self) -> Series {
        Series::new(self.name(), self as usize)
    }

    /// The port for signalling; media and others follow.
    fn port(self) -> u16 {
        match self {
            Which::Parvis => 17_880,
            Which::LiveKit => 18_880,
            Which::Janus => 19_880,
            Which::Mediasoup => 20_880,
        }
    }

    /// What the load speaks to it.
    fn protocol(self) -> &'static str {
        match self {
            Which::Parvis | Which::LiveKit => "livekit",
            Which::Janus => "janus",
            Which::Mediasoup => "mediasoup",
        }
    }

    /// Whether it needs a network namespace: Janus takes no loopback device for media.
    fn is_apart(self) -> bool {
        self == Which::Janus
    }
}

/// A server that is here to be started.
#[derive(Debug, Clone)]
pub(super) struct Program {
    pub(super) which: Which,
    /// Its binary; of mediasoup, its worker's.
    pub(super) path: PathBuf,
    pub(super) version: String,
}

impl Program {
    /// Ours, which `build_server` builds.
    pub(super) fn parvis() -> Program {
        let version = super::figures::version();
        Program { which: Which::Parvis, path: target().join("release/parvis"), version }
    }
}

/// How a server of ours is laid out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub(super) shards: usize,
    /// Connections of one room on one shard before the next ones go elsewhere.
    pub(super) room_peers_per_shard: usize,
    pub(super) participants: usize,
}

/// One core, one shard; the rest as it comes.
const ALONE: Layout = Layout { shards: 1, room_peers_per_shard: 200, participants: 500 };

/// A server that runs, and ends when this is dropped.
pub(super) struct Server {
    which: Which,
    child: Child,
}

impl Server {
    /// Starts it and waits until it listens.
    pub(super) fn start(program: &Program) -> Result<Server> {
        Server::launch(program, ALONE)
    }

    /// Starts one of ours, laid out like this.
    pub(super) fn start_parvis(layout: Layout) -> Result<Server> {
        Server::launch(&Program::parvis(), layout)
    }

    fn launch(program: &Program, layout: Layout) -> Result<Server> {
        let which = program.which;
        let (name, folder) = (which.name().to_lowercase(), target().join("peers"));
        std::fs::create_dir_all(&folder)?;
        let log = std::fs::File::create(folder.join(format!("{name}.log")))?;
        let mut command = command(program, layout, &folder)?;
        command.env("PATH", sh::path()).current_dir(root()).stdin(Stdio::null());
        command.stdout(log.try_clone()?).stderr(log);
        let child =
            command.spawn().map_err(|error| Error::new(format!("{name} can't be started: {error}")))?;
        let mut server = Server { which, child };
        let end = Instant::now() + PATIENCE;
        while !listens(server.child.id(), which.port()) {
            let ended = server.child.try_wait()?.is_some();
            if ended || Instant::now() > end {
                return Err(Error::new(format!(
                    "{name} does not listen on 127.0.0.1:{}; its log is {name}.log in {}",
                    which.port(),
                    folder.display()
                )));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(server)
    }

    /// Its page of metrics; ours has one.
    pub(super) fn metrics(&self) -> Result<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, metrics_port(self.which.port())))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
        let mut page = String::new();
        stream.read_to_string(&mut page)?;
        Ok(page)
    }

    /// Puts a load on it: gives the load generator's report, or why there is none.
    pub(super) fn load(&self, arguments: &str) -> Result<Seen<Value>> {
        self.load_and_watch(arguments, |_| Ok(()))
    }

    /// The same; `watch` sees each line of progress.
    pub(super) fn load_and_watch(
        &self,
        arguments: &str,
        mut watch: impl FnMut(&str) -> Result,
    ) -> Result<Seen<Value>> {
        let file = target().join(format!("peers/{}.json", self.which.name().to_lowercase()));
        let url = format!("ws://127.0.0.1:{}", self.which.port());
        let generator = target().join("release/parvis-load");
        let mut command = if self.which.is_apart() {
            let mut inside = Command::new("nsenter");
            inside.args(["--net", "--target", &self.child.id().to_string(), "--"]).arg(generator);
            inside
        } else {
            Command::new(generator)
        };
        // What starts the server becomes it, so that its process is the child.
        let processes: Vec<String> = family(self.child.id()).iter().map(u32::to_string).collect();
        command
            .args(arguments.split_whitespace())
            .args(["--protocol", self.which.protocol(), "--server", &url, "--key", KEY, "--secret", SECRET])
            .args(["--pid", &processes.join(","), "--core", &LOAD_CORE.to_string()])
            .args(["--address", if self.which.is_apart() { ADDRESS } else { "127.0.0.1" }, "--json"])
            .arg(&file)
            .current_dir(root())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child =
            command.spawn().map_err(|error| Error::new(format!("parvis-load can't be started: {error}")))?;
        let mut last = String::new();
        if let Some(progress) = child.stderr.take() {
            for line in BufReader::new(progress).lines() {
                last = line?;
                print(&format!("    {last}"));
                watch(&last)?;
            }
        }
        if !child.wait()?.success() {
            return Ok(Err(last.trim_start_matches("parvis-load: ").to_owned()));
        }
        let report = serde_json::from_slice(&std::fs::read(&file)?)
            .map_err(|error| Error::new(format!("{}: {error}", file.display())))?;
        Ok(Ok(report))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address that no other device of ours has; documentation has no range that is routed nowhere and still private.
const ADDRESS: &str = "10.77.2.1";
/// Lets a process have a network of its own, with a device beside the loopback one that has the address which comes first,
/// before it becomes the server. What is sent to an address of one's own goes over the loopback device, whichever has it.
const APART: &str = "ip link set lo up && ip link add media type veth peer name other && \
                     ip address add $1/32 dev media && ip link set other up && ip link set media up && \
                     shift && exec \"$@\"";

/// What starts a server, with its configuration in `folder`; only ours has a layout. Whatever ends us ends it too, and it
/// runs on its core alone.
fn command(program: &Program, layout: Layout, folder: &Path) -> Result<Command> {
    let which = program.which;
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if which.is_apart() {
        command.args(["unshare", "--net", "sh", "-c", APART, "sh", ADDRESS]);
    }
    command.args(["taskset", "--cpu-list", &SERVER_CORE.to_string()]);
    match which {
        Which::Parvis => {
            let config = folder.join("parvis.toml");
            std::fs::write(&config, parvis_config(which.port(), folder, layout))?;
            command.arg(&program.path).args(["serve", "--config"]).arg(config);
        }
        Which::LiveKit => {
            command.arg(&program.path).args(["--config-body", &livekit_config(which.port())]);
            command.env("GOMAXPROCS", "1");
        }
        Which::Janus => {
            let configs = janus::configure(&program.path, folder, which.port(), MEDIA_PORTS)?;
            command.arg(&program.path).arg("--configs-folder").arg(configs);
        }
        Which::Mediasoup => {
            let (first, last) = MEDIA_PORTS;
            command.arg("node").arg(mediasoup::script()).args(["--port", &which.port().to_string()]);
            command.args(["--media-ports", &format!("{first}-{last}")]);
            command.env("MEDIASOUP_WORKER_BIN", &program.path);
        }
    }
    Ok(command)
}

/// Whether somebody listens on a port, by IPv4, in the network of this process (proc(5): `/proc/PID/net/tcp`).
fn listens(pid: u32, port: u16) -> bool {
    let sockets = std::fs::read_to_string(format!("/proc/{pid}/net/tcp")).unwrap_or_default();
    is_listened_on(&sockets, port)
}

fn is_listened_on(sockets: &str, port: u16) -> bool {
    const LISTEN: &str = "0A";
    let port = format!(":{port:04X}");
    sockets.lines().any(|line| {
        let mut words = line.split_whitespace().skip(1);
        words.next().is_some_and(|local| local.ends_with(&port)) && words.nth(1) == Some(LISTEN)
    })
}

/// A process and all that descend from it: a server may have its work done by others.
pub(super) fn family(pid: u32) -> Vec<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        if let Some(parent) = parent(&stat) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut all = vec![pid];
    let mut seen = 0;
    while let Some(next) = all.get(seen).copied() {
        all.extend(children.get(&next).into_iter().flatten());
        seen += 1;
    }
    all
}

/// The parent in a line of `/proc/PID/stat`; a name in parentheses, with anything in it, stands before it.
fn parent(stat: &str) -> Option<u32> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Refuses a machine that has no core for each.
pub(super) fn check_cores() -> Result {
    if std::thread::available_parallelism().is_ok_and(|cores| cores.get() < 2) {
        return Err(Error::new("a server needs one core and the load another: this machine has one"));
    }
    Ok(())
}

/// A number of the load generator's report.
pub(super) fn number(of: &Value, name: &str) -> Result<f64> {
    of[name].as_f64().ok_or_else(|| Error::new(format!("the load's report has no {name}")))
}

/// A text of the load generator's report, where it has one.
pub(super) fn text(of: &Value) -> Option<String> {
    of.as_str().map(str::to_owned)
}

fn metrics_port(port: u16) -> u16 {
    port + 11
}

/// Limits that a crowd from one address does not meet, and the rate to begin with of a network that is known to be fast;
/// all else as it comes.
fn parvis_config(port: u16, folder: &Path, layout: Layout) -> String {
    let crowd = "{ burst = 100000, per_second = 100000 }";
    let Layout { shards, room_peers_per_shard, participants } = layout;
    // Each shard has one.
    let udp_ports = format!("{}-{}", port + 2, usize::from(port) + 1 + shards);
    format!(
        "[http]
listen = \"127.0.0.1:{port}\"
max_connections_per_address = 10000
joins_per_address = {crowd}
[metrics]
listen = \"127.0.0.1:{}\"
[media]
addresses = [\"127.0.0.1\"]
udp_ports = \"{udp_ports}\"
tcp_port = {}
shards = {shards}
max_room_peers_per_shard = {room_peers_per_shard}
pin = false
start_bitrate = 50000000
[rooms]
max_participants = {participants}
[log]
level = \"warn\"
[data]
directory = \"{}\"
[[keys]]
name = \"{KEY}\"
secret = \"{SECRET}\"
",
        metrics_port(port),
        port + 1,
        folder.join("parvis-data").display()
    )
}

/// Its own defaults, but for addresses, ports and the key.
fn livekit_config(port: u16) -> String {
    json!({
        "port": port,
        "bind_addresses": ["127.0.0.1"],
        "rtc": {
            "udp_port": port + 2,
            "tcp_port": port + 1,
            "node_ip": "127.0.0.1",
            "use_external_ip": false,
            "enable_loopback_candidate": true,
        },
        "keys": { KEY: SECRET },
        "logging": { "level": "warn" },
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_server_has_a_look_of_its_own() {
        let all = [Which::Parvis].iter().chain(Which::value_variants());
        let looks: Vec<_> = all.map(|which| (which.series().colour, which.series().dash)).collect();
        let (colours, dashes): (BTreeSet<_>, BTreeSet<_>) = looks.iter().copied().unzip();
        assert_eq!((colours.len(), dashes.len()), (looks.len(), looks.len()));
    }

    #[test]
    fn each_shard_has_a_port() {
        let config = |shards| parvis_config(1_000, Path::new("/x"), Layout { shards, ..ALONE });
        assert!(config(1).contains("udp_ports = \"1002-1002\"\ntcp_port = 1001\nshards = 1\n"));
        assert!(config(2).contains("udp_ports = \"1002-1003\"\ntcp_port = 1001\nshards = 2\n"));
    }

    #[test]
    fn only_who_listens_is_heard_of() {
        let sockets = "  sl  local_address rem_address   st tx_queue\n   0: 0100007F:4DA8 00000000:0000 0A 0:0\n   1: 0100007F:4DA9 0100007F:4DA8 01 0:0\n";
        assert!(is_listened_on(sockets, 19_880));
        assert!(!is_listened_on(sockets, 19_881), "a connection");
        assert!(!is_listened_on(sockets, 80));
    }

    #[test]
    fn a_server_is_all_that_descends_from_it() {
        assert_eq!(parent("7 (a) b) S 42 7 7 0"), Some(42));
        let mut shell =
            Command::new("sh").args(["-c", "sleep 30 & wait"]).stdout(Stdio::null()).spawn().unwrap();
        let end = Instant::now() + PATIENCE;
        while family(shell.id()).len() < 2 && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
        }
        let all = family(shell.id());
        assert_eq!((all.len(), all[0]), (2, shell.id()));
        let name = std::fs::read_to_string(format!("/proc/{}/comm", all[1])).unwrap();
        assert_eq!(name.trim(), "sleep");
        let _ = Command::new("kill").arg(all[1].to_string()).status();
        let _ = shell.wait();
    }
}
