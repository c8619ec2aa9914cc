// SPDX-License-Identifier: EUPL-1.2
//! One media worker: its process, the stream on which it is spoken with, and the socket on which packets reach it.
//!
//! Both sockets are made here and are its standard input and output, so that it opens none itself. Whatever it does, nobody here waits: what is
//! told to it stands in a bounded queue, what it says is read by a task of its own, and its process is ended by force when it
//! is to be.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use parvis_jobs::frame::{Decoder, Limits, encode};
use parvis_jobs::{EncoderNote, Taken, ToServer, ToWorker};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::sync::{Notify, mpsc};

use super::encoders::EncoderCounts;
use super::film::PASSED_ON;
use super::task::Input;

/// Messages that may wait for a worker: the whole of a large room, told at once.
const QUEUE: usize = 4_096;
/// Packets that may wait in its socket, in bytes; the system may allow less. A second of 30 Mbit/s.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;
/// Bytes read at once of what it says.
const READ_BYTES: usize = 16 << 10;
/// How often it is looked whether a worker's process has ended.
const LOOK: Duration = Duration::from_millis(50);
/// Bytes of a line that a worker writes to the log.
const MAX_LOG_LINE: usize = 1_024;

/// How a worker is started.
#[derive(Clone, Copy)]
pub(super) struct Launch<'a> {
    /// What is run.
    pub(super) executable: &'a Path,
    /// The one folder that it reaches.
    pub(super) directory: &'a Path,
    /// Whether it may run where the kernel can't hold it as it should be held.
    pub(super) unconfined: bool,
    /// Who encodes, if it composes a live film.
    pub(super) live: Option<&'a str>,
    /// Where what it says of encoders is counted.
    pub(super) encoders: &'a Arc<EncoderCounts>,
    /// Whether packets come to it by IPv4; else by IPv6.
    pub(super) ipv4: bool,
}

/// A worker's process, as its recording sees it. It is ended when this is dropped.
pub(super) struct Worker {
    /// Which of the recording's workers it is.
    pub(super) generation: u32,
    /// Where its packets go.
    pub(super) media: SocketAddr,
    outgoing: mpsc::Sender<Vec<u8>>,
    kill: Arc<Notify>,
}

impl Worker {
    /// Starts one. What comes of it is told as [`Input::Worker`] and, at its end, [`Input::Exited`].
    pub(super) fn start(
        launch: &Launch<'_>,
        generation: u32,
        inbox: mpsc::Sender<Input>,
    ) -> std::io::Result<Worker> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let loopback =
            if launch.ipv4 { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { IpAddr::V6(Ipv6Addr::LOCALHOST) };
        let trunk = UdpSocket::bind((loopback, 0))?;
        // A smaller buffer only loses sooner.
        let _ = setsockopt(&trunk, sockopt::RcvBuf, &SOCKET_BUFFER_BYTES);
        let media = trunk.local_addr()?;
        let ours = UnixStream::from_std(ours)?;

        let confine = if launch.unconfined { "available" } else { "required" };
        // What composes finds its plugins by these.
        let passed_on = PASSED_ON.iter().filter(|_| launch.live.is_some());
        let child = Command::new(launch.executable)
            .arg("capture")
            .arg("--directory")
            .arg(launch.directory)
            .args(["--confine", confine])
            .args(launch.live.map(|_| "--live"))
            .args(launch.live.into_iter().flat_map(|encoder| ["--encoder", encoder]))
            .env_clear()
            .envs(passed_on.filter_map(|name| Some((name, std::env::var_os(name)?))))
            .stdin(OwnedFd::from(theirs))
            .stdout(OwnedFd::from(trunk))
            .stderr(Stdio::piped())
            .spawn()?;

        let (outgoing, waiting) = mpsc::channel(QUEUE);
        let kill = Arc::new(Notify::new());
        let (reading, writing) = ours.into_split();
        tokio::spawn(read(reading, generation, inbox.clone()));
        tokio::spawn(write(writing, waiting));
        let encoders = Arc::clone(launch.encoders);
        tokio::spawn(watch(child, generation, (Arc::clone(&kill), encoders), inbox));
        Ok(Worker { generation, media, outgoing, kill })
    }

    /// Tells it something. `false`: it does not take what it is told.
    pub(super) fn tell(&self, message: &ToWorker) -> bool {
        let mut frame = Vec::new();
        encode(message, Limits::default(), &mut frame).is_ok() && self.outgoing.try_send(frame).is_ok()
    }

    /// Ends it by force.
    pub(super) fn kill(&self) {
        self.kill.notify_one();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether there is a worker to be started.
pub(super) fn check(executable: &Path) -> std::io::Result<()> {
    let metadata = std::fs::metadata(executable)?;
    if !metadata.is_file() || metadata.permissions().mode() & 0o111 == 0 {
        return Err(std::io::Error::new(std::io::ErrorKind::PermissionDenied, "it may not be executed"));
    }
    Ok(())
}

/// Reads what a worker says, until it says nothing more.
async fn read(mut stream: tokio::net::unix::OwnedReadHalf, generation: u32, inbox: mpsc::Sender<Input>) {
    let mut decoder = Decoder::new(Limits::default());
    let mut bytes = vec![0; READ_BYTES];
    let how = 'reading: loop {
        let count = match stream.read(&mut bytes).await {
            Ok(0) => break "it closed its control stream".to_owned(),
            Ok(count) => count,
            Err(error) => break format!("its control stream failed: {error}"),
        };
        if let Err(error) = decoder.push(bytes.get(..count).unwrap_or_default()) {
            break error.to_string();
        }
        loop {
            match decoder.next::<ToServer>() {
                Ok(Some(message)) => {
                    let message = Box::new(message);
                    if inbox.send(Input::Worker { generation, message }).await.is_err() {
                        return;
                    }
                }
                Ok(None) => break,
                Err(error) => break 'reading error.to_string(),
            }
        }
    };
    let _ = inbox.send(Input::Broken { generation, how }).await;
}

async fn write(mut stream: tokio::net::unix::OwnedWriteHalf, mut waiting: mpsc::Receiver<Vec<u8>>) {
    while let Some(frame) = waiting.recv().await {
        // A worker that hears nothing more is about to end, and is seen to.
        if stream.write_all(&frame).await.is_err() {
            return;
        }
    }
}

/// Waits for a worker's end, and brings it about when asked to.
async fn watch(
    mut child: Child,
    generation: u32,
    (kill, encoders): (Arc<Notify>, Arc<EncoderCounts>),
    inbox: mpsc::Sender<Input>,
) {
    if let Some(log) = child.stderr.take() {
        tokio::spawn(carry_log(log.into(), Heard { encoders: Some(encoders), taken: None }));
    }
    let how = loop {
        match child.try_wait() {
            Ok(None) => {}
            Ok(Some(status)) => break format!("its process ended: {status}"),
            Err(error) => break format!("its process can't be waited for: {error}"),
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            // One that has just ended by itself can't be.
            () = kill.notified() => drop(child.kill()),
        }
    };
    // Nobody may want to know any more.
    let _ = inbox.send(Input::Exited { generation, how }).await;
}

/// What of a worker's words is meant for this program, and comes into no log.
#[derive(Default)]
pub(super) struct Heard {
    /// Who encodes is counted here.
    pub(super) encoders: Option<Arc<EncoderCounts>>,
    /// What it has taken of the processors, in milliseconds, is kept here.
    pub(super) taken: Option<Arc<AtomicU64>>,
}

impl Heard {
    fn takes(&self, said: &str) -> bool {
        if let (Some(encoders), Some(note)) = (&self.encoders, EncoderNote::parse(said)) {
            encoders.note(&note);
            return true;
        }
        let taken = self.taken.as_ref().zip(Taken::parse(said));
        if let Some((kept, Taken(taken))) = &taken {
            kept.store(u64::try_from(taken.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
        taken.is_some()
    }
}

/// Brings what a worker writes to a pipe into our log, and gives the last line.
pub(super) async fn carry_log(log: OwnedFd, heard: Heard) -> String {
    let (mut line, mut last) = (Vec::new(), String::new());
    let Ok(log) = pipe::Receiver::from_owned_fd(log) else { return last };
    let mut reader = BufReader::new(log);
    loop {
        line.clear();
        match (&mut reader).take(MAX_LOG_LINE as u64).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return last,
            Ok(_) => {
                let said = String::from_utf8_lossy(&line).trim_end().to_owned();
                if heard.takes(&said) {
                    continue;
                }
                last = said;
                tracing::info!(worker = %last, "a media worker says");
            }
        }
    }
}
