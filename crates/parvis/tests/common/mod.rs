// SPDX-License-Identifier: EUPL-1.2
//! The server as a process of its own, ended with its test.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod caller;
pub mod member;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub fn parvis(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_parvis")).args(arguments).env_remove("RUST_LOG").output().unwrap()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

/// A directory of this test's own, removed with it.
pub struct Directory(pub PathBuf);

impl Directory {
    pub fn new(name: &str) -> Directory {
        let path = std::env::temp_dir().join(format!("parvis-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Directory(path)
    }

    pub fn write(&self, name: &str, content: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Ports of its own choice, so that any number run side by side.
pub const ANY_PORTS: [&str; 6] = ["--http", "127.0.0.1:0", "--media-ports", "0", "--tcp-port", "0"];

pub struct Server {
    child: Child,
    pub address: SocketAddr,
    /// All that it said on its standard output until it was ready, and a line more.
    pub said: Vec<String>,
    log: mpsc::Receiver<String>,
}

impl Server {
    /// Starts `parvis serve` with these arguments, by a shell that first does what `before` says.
    pub fn start(before: &str, log: &str, arguments: &[&str]) -> Server {
        let mut child = Command::new("sh")
            .args(["-c", &format!("{before} exec \"$@\""), "sh", env!("CARGO_BIN_EXE_parvis"), "serve"])
            .args(arguments)
            .env("RUST_LOG", log)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (line, lines) = mpsc::channel();
        let (log, logged) = mpsc::channel();
        follow(child.stdout.take().unwrap(), line);
        follow(child.stderr.take().unwrap(), log);
        let mut said = Vec::new();
        let dev = arguments.contains(&"--dev");
        while said.len() < 1 + usize::from(dev) {
            match lines.recv_timeout(PATIENCE) {
                Ok(line) => said.push(line),
                Err(_) => {
                    let log: Vec<String> = logged.try_iter().collect();
                    let _ = child.kill();
                    panic!("not ready; it said {said:?} and logged {log:#?}");
                }
            }
        }
        let ready = said[0].strip_prefix("ready ").expect("the ready line");
        let (_, address) = ready.split_once("://").expect("an address");
        let address = address.parse().unwrap();
        Server { child, address, said, log: logged }
    }

    pub fn dev(directory: &Directory) -> Server {
        let data = directory.path("data");
        Server::start("", "info", &[["--dev", "--data", &data].as_slice(), &ANY_PORTS].concat())
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for the end.
    pub fn wait(&mut self) -> ExitStatus {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < end, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What it has logged so far.
    pub fn logged(&self) -> String {
        self.log.try_iter().collect::<Vec<_>>().join("\n")
    }

    /// Waits for a line of the log and returns it.
    pub fn wait_for_log(&self, part: &str) -> String {
        loop {
            let line = self.log.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no {part:?} in the log"));
            if line.contains(part) {
                return line;
            }
        }
    }

    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        get(self.address, path)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn follow(stream: impl Read + Send + 'static, lines: mpsc::Sender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if lines.send(line).is_err() {
                return;
            }
        }
    });
}

/// One request; `None` when the server hangs up without an answer.
pub fn get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes())
        .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

/// Waits until a condition holds.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "{what}: not in {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
