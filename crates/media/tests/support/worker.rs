// SPDX-License-Identifier: EUPL-1.2
//! A worker's process, started as the server starts it.

use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parvis_jobs::frame::{Decoder, encode};
use parvis_jobs::{Confinement, Hello, Limits, Start, ToServer, ToWorker};

pub(crate) const WORKER: &str = env!("CARGO_BIN_EXE_parvis-media");
/// A worker that says nothing for so long hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Worker {
    pub(crate) child: Child,
    pub(crate) control: UnixStream,
    pub(crate) media: UnixDatagram,
    pub(crate) decoder: Decoder,
}

impl Worker {
    pub(crate) fn spawn(mut command: Command) -> Worker {
        let (control, theirs) = UnixStream::pair().unwrap();
        let (media, to) = UnixDatagram::pair().unwrap();
        let child = command
            .stdin(OwnedFd::from(theirs))
            .stdout(OwnedFd::from(to))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // The command keeps our copies of the worker's ends until it goes.
        drop(command);
        control.set_read_timeout(Some(PATIENCE)).unwrap();
        Worker { child, control, media, decoder: Decoder::new(Limits::default()) }
    }

    /// One that is ready and records.
    pub(crate) fn recording(start: &Start) -> Worker {
        let mut worker = Worker::spawn(capture(Path::new(&start.directory)));
        worker.greet(start);
        assert_eq!(worker.next(), Some(ToServer::Started));
        worker
    }

    pub(crate) fn greet(&mut self, start: &Start) -> Confinement {
        assert!(matches!(self.next(), Some(ToServer::Hello(hello)) if hello.agree() == Ok(1)));
        self.say(&ToWorker::Hello(Hello::ours("test")));
        let Some(ToServer::Ready { confinement }) = self.next() else { panic!("not ready") };
        self.say(&ToWorker::Start(Box::new(start.clone())));
        confinement
    }

    pub(crate) fn say(&mut self, message: &ToWorker) {
        let mut wire = Vec::new();
        encode(message, Limits::default(), &mut wire).unwrap();
        self.control.write_all(&wire).unwrap();
    }

    /// What the worker says next; `None` when it has gone.
    pub(crate) fn next(&mut self) -> Option<ToServer> {
        loop {
            if let Some(message) = self.decoder.next().unwrap() {
                return Some(message);
            }
            let mut buf = [0; 4096];
            match self.control.read(&mut buf) {
                Ok(0) => return None,
                Ok(len) => self.decoder.push(&buf[..len]).unwrap(),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("{error}: {}", self.errors()),
            }
        }
    }

    /// Passes over what is none of the last words.
    pub(crate) fn last_word(&mut self) -> ToServer {
        loop {
            match self.next() {
                Some(word @ (ToServer::Stopped { .. } | ToServer::Failed(_))) => return word,
                Some(_) => {}
                None => panic!("gone without a word: {}", self.errors()),
            }
        }
    }

    /// Has a thread take what the worker says, until it goes.
    pub(crate) fn listen(&mut self) -> Receiver<ToServer> {
        let (sender, receiver) = mpsc::channel();
        let mut control = self.control.try_clone().unwrap();
        let mut decoder = std::mem::replace(&mut self.decoder, Decoder::new(Limits::default()));
        std::thread::spawn(move || {
            let mut buf = [0; 4096];
            loop {
                while let Some(message) = decoder.next().unwrap() {
                    if sender.send(message).is_err() {
                        return;
                    }
                }
                match control.read(&mut buf) {
                    Ok(len) if len > 0 => decoder.push(&buf[..len]).unwrap(),
                    _ => return,
                }
            }
        });
        receiver
    }

    pub(crate) fn errors(&mut self) -> String {
        let _ = self.child.kill();
        let mut text = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        text
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn capture(directory: &Path) -> Command {
    let mut command = Command::new(WORKER);
    command.args(["capture", "--directory"]).arg(directory);
    command
}

pub(crate) fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap()
}
