// SPDX-License-Identifier: EUPL-1.2
//! Both servers, each alone on its core, and the load generator on another.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::rounds::Seen;
use crate::sh::{Error, Result, print, root, target};

/// Longer than either takes to listen.
const PATIENCE: Duration = Duration::from_secs(30);
const KEY: &str = "bench";
const SECRET: &str = "a-secret-of-this-measurement-alone";
/// The servers' core, and the load's.
pub(super) const SERVER_CORE: usize = 0;
pub(super) const LOAD_CORE: usize = 1;

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    Parvis,
    LiveKit,
}

impl Which {
    pub(super) fn name(self) -> &'static str {
        match self {
            Which::Parvis => "Parvis",
            Which::LiveKit => "LiveKit",
        }
    }

    /// The port for signalling; media and others follow.
    fn port(self) -> u16 {
        match self {
            Which::Parvis => 17_880,
            Which::LiveKit => 18_880,
        }
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
    pub(super) fn start(which: Which, livekit: &Path) -> Result<Server> {
        if which == Which::Parvis {
            return Server::start_parvis(ALONE);
        }
        let mut command = on_its_core();
        command.arg(livekit).args(["--config-body", &livekit_config(which.port())]).env("GOMAXPROCS", "1");
        Server::launch(which, command)
    }

    /// Starts one of ours, laid out like this.
    pub(super) fn start_parvis(layout: Layout) -> Result<Server> {
        let (which, folder) = (Which::Parvis, target().join("peers"));
        std::fs::create_dir_all(&folder)?;
        let config = folder.join("parvis.toml");
        std::fs::write(&config, parvis_config(which.port(), &folder, layout))?;
        let mut command = on_its_core();
        command.arg(target().join("release/parvis")).args(["serve", "--config"]).arg(config);
        Server::launch(which, command)
    }

    fn launch(which: Which, mut command: Command) -> Result<Server> {
        let folder = target().join("peers");
        let name = which.name().to_lowercase();
        let log = std::fs::File::create(folder.join(format!("{name}.log")))?;
        command.current_dir(root()).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child =
            command.spawn().map_err(|error| Error::new(format!("{name} can't be started: {error}")))?;
        let mut server = Server { which, child };
        let (address, end) =
            (SocketAddr::from((Ipv4Addr::LOCALHOST, which.port())), Instant::now() + PATIENCE);
        while TcpStream::connect(address).is_err() {
            let ended = server.child.try_wait()?.is_some();
            if ended || Instant::now() > end {
                return Err(Error::new(format!(
                    "{name} does not listen on {address}; its log is {name}.log in {}",
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
        let mut command = Command::new(target().join("release/parvis-load"));
        // What starts the server becomes it, so that its process is the child.
        command
            .args(arguments.split_whitespace())
            .args(["--server", &url, "--key", KEY, "--secret", SECRET])
            .args(["--pid", &self.child.id().to_string(), "--core", &LOAD_CORE.to_string(), "--json"])
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

/// Whatever ends us ends what is started by this too, and it runs on the servers' core alone.
fn on_its_core() -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "taskset", "--cpu-list", &SERVER_CORE.to_string()]);
    command
}

fn metrics_port(port: u16) -> u16 {
    port + 11
}

/// Limits that a crowd from one address does not meet, and the rate to begin with of a network that is known to be fast;
/// all else as it comes.
fn parvis_config(port: u16, folder: &Path, layout: Layout) -> String {
    let crowd = "{ burst = 100000, per_second = 100000 }";
    let Layout { shards, room_peers_per_shard, participants } = layout;
    format!(
        "[http]
listen = \"127.0.0.1:{port}\"
max_connections_per_address = 10000
joins_per_address = {crowd}
[metrics]
listen = \"127.0.0.1:{}\"
[media]
addresses = [\"127.0.0.1\"]
udp_ports = \"{}\"
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
        port + 2,
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
