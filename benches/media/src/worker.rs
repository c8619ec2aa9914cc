// SPDX-License-Identifier: EUPL-1.2
//! A worker's process, started as the server starts it, and what it takes of the machine.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use parvis_jobs::frame::{Decoder, encode};
use parvis_jobs::{Hello, Limits, Start, ToServer, ToWorker};

use crate::Fallible;
use crate::usage::{self, Usage};

/// As much as the server asks for.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;
/// How long a worker may take for its next word.
const PATIENCE: Duration = Duration::from_secs(30);

/// See the module's page. It is ended when this is dropped.
pub(crate) struct Worker {
    child: Child,
    control: UnixStream,
    media: UdpSocket,
    decoder: Decoder,
    heard: VecDeque<ToServer>,
}

impl Worker {
    /// Starts one, and has it begin.
    pub(crate) fn start(program: &Path, start: &Start, more: &[&str]) -> Fallible<Worker> {
        let (control, theirs) = UnixStream::pair()?;
        let trunk = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        // A smaller buffer only loses sooner, and losses are told.
        let _ = setsockopt(&trunk, sockopt::RcvBuf, &SOCKET_BUFFER_BYTES);
        let media = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        media.connect(trunk.local_addr()?)?;
        let child = Command::new(program)
            .args(["capture", "--directory", &start.directory])
            .args(more)
            .stdin(OwnedFd::from(theirs))
            .stdout(OwnedFd::from(trunk))
            .stderr(Stdio::inherit())
            .spawn()?;
        control.set_read_timeout(Some(PATIENCE))?;
        let decoder = Decoder::new(Limits::default());
        let mut worker = Worker { child, control, media, decoder, heard: VecDeque::new() };
        worker.until(|message| matches!(message, ToServer::Hello(_)))?;
        worker.say(&ToWorker::Hello(Hello::ours("parvis-bench-media")))?;
        worker.until(|message| matches!(message, ToServer::Ready { .. }))?;
        worker.say(&ToWorker::Start(Box::new(start.clone())))?;
        worker.until(|message| matches!(message, ToServer::Started))?;
        Ok(worker)
    }

    pub(crate) fn say(&mut self, message: &ToWorker) -> Fallible<()> {
        let mut wire = Vec::new();
        encode(message, Limits::default(), &mut wire)?;
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            match self.control.write(rest) {
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    pub(crate) fn send(&self, packet: &[u8]) -> Fallible<()> {
        Ok(self.media.send(packet).map(drop)?)
    }

    /// What it has said since, without waiting.
    pub(crate) fn heard(&mut self) -> Fallible<Vec<ToServer>> {
        while self.read()? {}
        Ok(self.heard.drain(..).collect())
    }

    /// Waits for a word; what was said before it is dropped.
    pub(crate) fn until(&mut self, is_it: impl Fn(&ToServer) -> bool) -> Fallible<ToServer> {
        self.control.set_nonblocking(false)?;
        loop {
            while let Some(message) = self.heard.pop_front() {
                if is_it(&message) {
                    return Ok(message);
                }
                if let ToServer::Failed(failure) = message {
                    return Err(failure.into());
                }
            }
            if !self.read()? {
                return Err("the worker said nothing any more".into());
            }
        }
    }

    /// From here on only what is there is read.
    pub(crate) fn stop_waiting(&self) -> Fallible<()> {
        Ok(self.control.set_nonblocking(true)?)
    }

    /// `false` when there is nothing to be read.
    fn read(&mut self) -> Fallible<bool> {
        let mut bytes = [0; 16 * 1024];
        match self.control.read(&mut bytes) {
            Ok(0) => Err("the worker is gone".into()),
            Ok(count) => {
                self.decoder.push(bytes.get(..count).unwrap_or_default())?;
                while let Some(message) = self.decoder.next()? {
                    self.heard.push_back(message);
                }
                Ok(true)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// What it has taken so far.
    pub(crate) fn usage(&self) -> Fallible<Usage> {
        usage::of(self.child.id())
    }

    /// The same, with the memory that it has now, as a rival's is counted.
    pub(crate) fn usage_now(&self) -> Fallible<Usage> {
        usage::of_all(&[self.child.id()])
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
