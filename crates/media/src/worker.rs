// SPDX-License-Identifier: EUPL-1.2
//! The process: two sockets, a clock, and a [`Capture`] between them.
//!
//! The server hands over a connected stream socket as standard input, over which control goes both ways, and a datagram
//! socket as standard output, from which packets are read. Standard error is for the server's log. So no number of a
//! descriptor is agreed on anywhere, and none needs to be trusted.
//!
//! The datagram socket may be a Unix or a connected UDP one. A Unix one queues `net.unix.max_dgram_qlen` packets, ten by
//! default: a sender that may not wait keeps what isn't taken for a moment, or uses UDP over loopback.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{SockType, getsockopt, setsockopt, sockopt};
use parvis_jobs::frame::{Decoder, FrameError, encode};
use parvis_jobs::{Failure, FailureKind, Hello, Limits, Start, StopReason, ToServer, ToWorker, UnixMicros};

use crate::SOFTWARE;
use crate::capture::{Capture, Settings};
use crate::compose::live::{self, Studio};
use crate::confine::{self, Bounds};
use crate::hardware::Encoders;

/// How a worker was started.
#[derive(Debug, Clone)]
pub struct Options {
    /// The job's directory. It exists; nothing else is reached.
    pub directory: PathBuf,
    /// Refuse to run where the kernel can't confine all of it.
    pub require_confinement: bool,
    /// What the process may use.
    pub bounds: Bounds,
    /// What bounds the capture.
    pub settings: Settings,
    /// What bounds a message.
    pub limits: Limits,
    /// Who encodes, for a worker that may be asked for a live film. GStreamer is ready by then.
    pub live: Option<Encoders>,
}

/// Why a worker could not run, or ended badly.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// Not started by a server.
    #[error("standard {which} is no {kind} socket: the server starts this command, people don't")]
    NotASocket {
        /// Input or output.
        which: &'static str,
        /// Stream or datagram.
        kind: &'static str,
    },
    /// The control stream is broken.
    #[error("the control stream: {0}")]
    Control(#[from] io::Error),
    /// What came over it is no message.
    #[error("the control stream: {0}")]
    Frame(#[from] FrameError),
    /// The server went before it said what to do.
    #[error("the server ended the control stream before it gave a job")]
    Gone,
    /// The server doesn't take what it is told.
    #[error("the server takes nothing any more: {0} bytes wait for it")]
    Clogged(usize),
    /// The job can't be done, as the server was told.
    #[error("{0}")]
    Failed(Failure),
}

/// Bytes for the server that may wait. A last message has 256 KiB.
const OUT_BYTES: usize = 1024 * 1024;
/// What the trunk's socket should hold while the disk is slow: two seconds of 16 Mbit/s.
const RECEIVE_BYTES: usize = 4 * 1024 * 1024;
/// The longest packet. RTP over the trunk is below an Ethernet frame.
const DATAGRAM_BYTES: usize = 4096;
/// Packets that are taken before control has its turn again.
const BATCH: usize = 256;
/// How long the last message may take.
const FAREWELL: Duration = Duration::from_secs(5);

/// Runs a worker to its end.
pub fn run(options: &Options) -> Result<(), WorkerError> {
    let control = inherited(io::stdin().as_fd(), SockType::Stream, "input", "stream")?;
    let media = inherited(io::stdout().as_fd(), SockType::Datagram, "output", "datagram")?;
    // As much as the system allows.
    let _ = setsockopt(&media, sockopt::RcvBuf, &RECEIVE_BYTES);
    let confinement = match &options.live {
        None => confine::confine(&options.directory, options.bounds),
        Some(encoders) => {
            let (directory, devices) = (options.directory.as_path(), encoders.devices());
            confine::confine_composer(directory, &[directory], &devices, options.bounds)
        }
    };
    // From here on the process is held. Nothing was read before.
    let mut control = Control::new(File::from(control), options.limits);
    let mut media = File::from(media);
    let clock = Clock::start();
    control.send(&ToServer::Hello(Hello::ours(SOFTWARE)))?;
    let start = match greet(&mut control, options, confinement) {
        Ok(start) => start,
        Err(WorkerError::Failed(failure)) => return control.farewell(failure),
        Err(error) => return Err(error),
    };
    let capture = Capture::start(&start, &options.directory, SOFTWARE, options.settings, clock.now());
    match capture {
        Ok(mut capture) => {
            match (&start.live, &options.live) {
                (None, _) => {}
                (Some(live), Some(encoders)) => {
                    let wait_micros = options.settings.jitter.wait_micros;
                    let studio = Studio { encoders: Some(encoders.clone()), wait_micros };
                    let zero = capture.started_at();
                    capture.tap(live::start(live, &options.directory, zero, &studio, move || clock.now()));
                }
                (Some(_), None) => capture.tell(ToServer::LiveFailed(live::not_prepared())),
            }
            serve(&mut control, &mut media, clock, capture)
        }
        Err(failure) => control.farewell(failure),
    }
}

/// Versions, then readiness, then the job.
fn greet(
    control: &mut Control,
    options: &Options,
    confinement: parvis_jobs::Confinement,
) -> Result<Start, WorkerError> {
    let ToWorker::Hello(hello) = control.wait()? else {
        return Err(protocol("the first message is not hello"));
    };
    if let Err(error) = hello.agree() {
        return Err(WorkerError::Failed(Failure {
            kind: FailureKind::Version,
            what: error.to_string(),
            place: "control".to_owned(),
            remedy: "install server and worker of the same release".to_owned(),
        }));
    }
    if options.require_confinement && !confine::is_complete(&confinement) {
        return Err(WorkerError::Failed(Failure {
            kind: FailureKind::Confinement,
            what: confinement.missing.join("; "),
            place: "this machine's kernel".to_owned(),
            remedy: "use a kernel that can, or start workers with --confine available".to_owned(),
        }));
    }
    control.send(&ToServer::Ready { confinement })?;
    let ToWorker::Start(start) = control.wait()? else {
        return Err(protocol("the message after hello is not start"));
    };
    if Path::new(&start.directory) != options.directory {
        return Err(protocol("start names another directory than the one that the worker is held to"));
    }
    Ok(*start)
}

fn serve(
    control: &mut Control,
    media: &mut File,
    clock: Clock,
    mut capture: Capture,
) -> Result<(), WorkerError> {
    let mut datagram = [0; DATAGRAM_BYTES];
    loop {
        for message in capture.outgoing() {
            control.queue(&message)?;
            if let ToServer::Failed(failure) = &message {
                let failure = failure.clone();
                control.flush_last()?;
                return Err(WorkerError::Failed(failure));
            }
        }
        if capture.is_over() {
            return control.flush_last();
        }
        if control.flush().is_err() || control.out.len() > OUT_BYTES {
            capture.stop(clock.now(), StopReason::ServerGone);
            return Err(WorkerError::Clogged(control.out.len()));
        }
        let until = capture.deadline().0.saturating_sub(clock.now().0);
        wait(control, Some(media.as_fd()), Duration::from_micros(until))?;
        for _ in 0..BATCH {
            match media.read(&mut datagram) {
                // An empty datagram, or one that was shut down: there is no telling, and nothing in it.
                Ok(0) => break,
                Ok(len) => capture.datagram(clock.now(), datagram.get_mut(..len).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // The sender's socket is gone: control will tell.
                Err(_) => break,
            }
        }
        match listen(control, clock, &mut capture) {
            Ok(true) => {}
            Ok(false) => capture.stop(clock.now(), StopReason::ServerGone),
            Err(error) => {
                // What can't be read can't be followed; what was captured is kept.
                capture.stop(clock.now(), StopReason::ServerGone);
                return Err(error);
            }
        }
        capture.tick(clock.now());
    }
}

/// Does what the server says. `false` when it has ended the stream.
fn listen(control: &mut Control, clock: Clock, capture: &mut Capture) -> Result<bool, WorkerError> {
    let open = control.read()?;
    while let Some(message) = control.decoder.next()? {
        capture.message(clock.now(), message);
    }
    Ok(open)
}

/// The stream to the server.
struct Control {
    file: File,
    decoder: Decoder,
    limits: Limits,
    out: Vec<u8>,
}

impl Control {
    fn new(file: File, limits: Limits) -> Control {
        Control { file, decoder: Decoder::new(limits), limits, out: Vec::new() }
    }

    /// Queues a message. One with more files than a frame holds tells of none: the manifest has them.
    fn queue(&mut self, message: &ToServer) -> Result<(), WorkerError> {
        let encoded = encode(message, self.limits, &mut self.out);
        match (encoded, message) {
            (Err(FrameError::Length { .. }), ToServer::Stopped { reason, .. }) => {
                let shorter = ToServer::Stopped { reason: *reason, files: Vec::new() };
                Ok(encode(&shorter, self.limits, &mut self.out)?)
            }
            // Progress of very many tracks: the next may be shorter.
            (Err(FrameError::Length { .. }), _) => Ok(()),
            (encoded, _) => Ok(encoded?),
        }
    }

    fn send(&mut self, message: &ToServer) -> Result<(), WorkerError> {
        self.queue(message)?;
        Ok(self.flush()?)
    }

    /// Writes what the socket takes.
    fn flush(&mut self) -> io::Result<()> {
        while !self.out.is_empty() {
            match self.file.write(&self.out) {
                Ok(len) => drop(self.out.drain(..len)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Writes all of it, if it can be done in time.
    fn flush_last(&mut self) -> Result<(), WorkerError> {
        let end = Instant::now() + FAREWELL;
        loop {
            self.flush()?;
            let left = end.saturating_duration_since(Instant::now());
            if self.out.is_empty() {
                return Ok(());
            }
            if left.is_zero() {
                return Err(WorkerError::Clogged(self.out.len()));
            }
            let mut fds = [PollFd::new(self.file.as_fd(), PollFlags::POLLOUT)];
            poll(&mut fds, timeout(left)).map_err(io::Error::from)?;
        }
    }

    fn farewell(&mut self, failure: Failure) -> Result<(), WorkerError> {
        self.queue(&ToServer::Failed(failure.clone()))?;
        self.flush_last()?;
        Err(WorkerError::Failed(failure))
    }

    /// Takes what is there. `false` when the server has ended the stream.
    fn read(&mut self) -> Result<bool, WorkerError> {
        let mut buf = [0; 16 * 1024];
        match self.file.read(&mut buf) {
            Ok(0) => Ok(false),
            Ok(len) => {
                self.decoder.push(buf.get(..len).unwrap_or_default())?;
                Ok(true)
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The next message, however long it takes: the server ends workers that it doesn't need.
    fn wait(&mut self) -> Result<ToWorker, WorkerError> {
        loop {
            if let Some(message) = self.decoder.next()? {
                return Ok(message);
            }
            wait(self, None, Duration::from_secs(1))?;
            self.flush()?;
            if !self.read()? {
                return Err(WorkerError::Gone);
            }
        }
    }
}

/// Until something can be read, or what waits can be written, or the time is over.
fn wait(control: &Control, media: Option<BorrowedFd<'_>>, time: Duration) -> Result<(), WorkerError> {
    let write = if control.out.is_empty() { PollFlags::empty() } else { PollFlags::POLLOUT };
    let mut fds = vec![PollFd::new(control.file.as_fd(), PollFlags::POLLIN | write)];
    fds.extend(media.map(|media| PollFd::new(media, PollFlags::POLLIN)));
    match poll(&mut fds, timeout(time)) {
        Ok(_) | Err(nix::Error::EINTR) => Ok(()),
        Err(error) => Err(WorkerError::Control(error.into())),
    }
}

/// Rounded up, so that what is due is due when it comes back.
fn timeout(time: Duration) -> PollTimeout {
    let millis = time.as_micros().div_ceil(1000).min(60_000);
    PollTimeout::try_from(millis as i32).unwrap_or(PollTimeout::ZERO)
}

fn protocol(what: &str) -> WorkerError {
    WorkerError::Failed(Failure {
        kind: FailureKind::Protocol,
        what: what.to_owned(),
        place: "control".to_owned(),
        remedy: "report this: the server is at fault".to_owned(),
    })
}

/// A socket that was inherited, as a descriptor of our own that does not block.
fn inherited(
    fd: BorrowedFd<'_>,
    kind: SockType,
    which: &'static str,
    name: &'static str,
) -> Result<OwnedFd, WorkerError> {
    let refused = WorkerError::NotASocket { which, kind: name };
    match getsockopt(&fd, sockopt::SockType) {
        Ok(found) if found == kind => {}
        _ => return Err(refused),
    }
    let owned = fd.try_clone_to_owned()?;
    let flags = OFlag::from_bits_truncate(fcntl(&owned, FcntlArg::F_GETFL).map_err(io::Error::from)?);
    fcntl(&owned, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).map_err(io::Error::from)?;
    Ok(owned)
}

/// The wall clock at the start, and monotone from there: whoever sets the clock of the machine moves no frame.
#[derive(Debug, Clone, Copy)]
struct Clock {
    wall: u64,
    start: Instant,
}

impl Clock {
    fn start() -> Clock {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock { wall: u64::try_from(wall.as_micros()).unwrap_or(0), start: Instant::now() }
    }

    fn now(&self) -> UnixMicros {
        UnixMicros(self.wall + self.start.elapsed().as_micros() as u64)
    }
}
