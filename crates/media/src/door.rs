// SPDX-License-Identifier: EUPL-1.2
//! How a worker comes to be a unit of the service manager's, with a cgroup and a confinement of its own, although it is the server
//! that starts workers, and knows of no service manager.
//!
//! Under the name [`BY_UNIT`] this program does nothing itself: it connects to a socket below [`SOCKETS`], for which the service
//! manager starts a unit with this program's `door`, hands its arguments and its three standard files over it, and ends as the worker
//! there ends. The door starts the worker in its unit and ends it when the connection ends, and so with whoever asked, and
//! with the server. From time to time it says what its unit has taken of the processors, as who asked for it can't see it. What a door
//! starts is of one kind, whoever asks.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};

/// The name under which this program asks for a unit.
pub const BY_UNIT: &str = "parvis-media-unit";
/// Where the service manager's sockets lie, one for each [`Kind`].
pub const SOCKETS: &str = "/run/parvis-media";

/// The longest order. A path has at most 4 KiB, and there are a few of them.
const MAX_ORDER_BYTES: usize = 64 << 10;
/// How long whoever connects may take to say what is to be done.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest line of an answer: why a worker was not started.
const MAX_ANSWER_BYTES: u64 = 64 << 10;
/// How often it is looked whether the worker has ended.
const LOOK: u16 = 50;
/// How often whoever asked is told what the unit has taken of the processors.
const TELL: Duration = Duration::from_secs(5);
/// The standard files: input, output, error.
const FILES: usize = 3;
/// What of its environment a worker takes from whoever asks: where GStreamer finds what it needs, and nothing that changes which
/// code is loaded otherwise.
const ENVIRONMENT: &[&str] = &[
    "PATH",
    "HOME",
    "XDG_CACHE_HOME",
    "GST_PLUGIN_PATH",
    "GST_PLUGIN_SYSTEM_PATH",
    "GST_REGISTRY",
    "GSETTINGS_BACKEND",
    "GIO_USE_PROXY_RESOLVER",
    "GIO_USE_VFS",
];
/// What it takes from its unit alone, which says with it that code can't be made at run time: there, GStreamer's library Orc has
/// to do without, and ends the process when it tries.
const OF_ITS_UNIT: &str = "ORC_CODE";

/// What a door starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Workers that capture rooms.
    Media,
    /// Composers of films.
    Compose,
    /// Who pushes streams.
    Push,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 3] = [Kind::Media, Kind::Compose, Kind::Push];

    /// The name of its socket and of its unit's argument.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Media => "media",
            Kind::Compose => "compose",
            Kind::Push => "push",
        }
    }

    /// The one command of this program that it is for.
    pub fn command(self) -> &'static str {
        match self {
            Kind::Media => "capture",
            Kind::Compose => "compose",
            Kind::Push => "push",
        }
    }

    /// Which one starts what these arguments say; `None` for what is done on the spot.
    pub fn of(arguments: &[OsString]) -> Option<Kind> {
        let command = arguments.first()?;
        Kind::ALL.into_iter().find(|kind| command == kind.command())
    }
}

/// What is to be started.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

/// What becomes of it: a line each.
#[derive(Debug, Serialize, Deserialize)]
enum Outcome {
    /// It is at work, and its unit has taken so many milliseconds of the processors.
    Taken(u64),
    /// It ended like this (wait(2)).
    Ended(i32),
    /// It was not started.
    Refused(String),
}

/// Asks for a worker at the socket `path` and gives how it ended. Its standard files are `files`. What its unit has taken of the
/// processors so far is told to `taken` from time to time, where that is known.
pub fn ask(
    path: &Path,
    arguments: &[OsString],
    files: [BorrowedFd<'_>; FILES],
    taken: &mut dyn FnMut(Duration),
) -> io::Result<ExitStatus> {
    let stream = UnixStream::connect(path).map_err(|error| {
        let text = format!("{}: {error}; is its socket unit active?", path.display());
        io::Error::new(error.kind(), text)
    })?;
    let environment =
        ENVIRONMENT.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)));
    let unreadable =
        |text: &OsString| io::Error::new(ErrorKind::InvalidInput, format!("{text:?} is no UTF-8"));
    let arguments =
        arguments.iter().map(|text| text.to_str().map(str::to_owned).ok_or_else(|| unreadable(text)));
    let order =
        Order { arguments: arguments.collect::<io::Result<_>>()?, environment: environment.collect() };
    send(&stream, &serde_json::to_vec(&order)?, files)?;
    let mut answers = BufReader::new(stream);
    loop {
        let mut answer = Vec::new();
        (&mut answers).take(MAX_ANSWER_BYTES).read_until(b'\n', &mut answer)?;
        match serde_json::from_slice(&answer) {
            Ok(Outcome::Taken(ms)) => taken(Duration::from_millis(ms)),
            Ok(Outcome::Ended(status)) => return Ok(ExitStatus::from_raw(status)),
            Ok(Outcome::Refused(why)) => return Err(io::Error::other(why)),
            Err(_) => return Err(io::Error::new(ErrorKind::UnexpectedEof, "its unit was ended before it")),
        }
    }
}

/// Ends this process as another one did.
pub fn end_as(status: ExitStatus) -> u8 {
    let signal = status.signal().and_then(|signal| nix::sys::signal::Signal::try_from(signal).ok());
    if let Some(signal) = signal {
        // One that this process catches does not end it; the code below does.
        let _ = nix::sys::signal::kill(nix::unistd::Pid::this(), signal);
    }
    status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

/// Serves the one connection that is the standard input: starts what is asked for, if it is of this kind.
pub fn open(kind: Kind) -> io::Result<()> {
    let mut stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let outcome = match start(kind, &stream) {
        Ok(child) => Outcome::Ended(wait(child, &stream, &own_unit_taken, TELL)?.into_raw()),
        Err(error) => Outcome::Refused(error.to_string()),
    };
    // Whoever asked may be gone.
    let _ = stream.write_all(&line(&outcome)?);
    Ok(())
}

fn line(outcome: &Outcome) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(outcome)?;
    line.push(b'\n');
    Ok(line)
}

fn start(kind: Kind, stream: &UnixStream) -> io::Result<Child> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let (order, [input, output, error]) = receive(stream)?;
    stream.set_read_timeout(None)?;
    let order: Order = serde_json::from_slice(&order)
        .map_err(|error| io::Error::new(ErrorKind::InvalidData, format!("an order that is none: {error}")))?;
    if order.arguments.first().is_none_or(|command| command != kind.command()) {
        let text = format!("this door is for `{}` alone", kind.command());
        return Err(io::Error::new(ErrorKind::PermissionDenied, text));
    }
    let environment = order.environment.into_iter().filter(|(name, _)| ENVIRONMENT.contains(&name.as_str()));
    Command::new(std::env::current_exe()?)
        .args(order.arguments)
        .env_clear()
        .envs(environment)
        .envs(std::env::var_os(OF_ITS_UNIT).map(|value| (OF_ITS_UNIT, value)))
        .stdin(Stdio::from(input))
        .stdout(Stdio::from(output))
        .stderr(Stdio::from(error))
        .spawn()
}

/// Waits for a worker's end, and brings it about when whoever asked for it is gone. Each `tell` it says what `taken` gives.
fn wait(
    mut child: Child,
    mut stream: &UnixStream,
    taken: &dyn Fn() -> Option<Duration>,
    tell: Duration,
) -> io::Result<ExitStatus> {
    let mut told = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if told.elapsed() >= tell {
            told = Instant::now();
            let taken = taken().and_then(|taken| u64::try_from(taken.as_millis()).ok());
            if let Some(ms) = taken {
                // Whether anybody hears it is seen below.
                let _ = stream.write_all(&line(&Outcome::Taken(ms))?);
            }
        }
        let mut watched = [PollFd::new(stream.as_fd(), PollFlags::POLLIN)];
        match poll(&mut watched, PollTimeout::from(LOOK)) {
            // Nothing more is ever said on it: it has ended.
            Ok(1..) => {
                child.kill()?;
                return child.wait();
            }
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// What this process's control group has taken of the processors, as the kernel counts it (`cpu.stat`, cgroup v2): that of a unit
/// comes and goes with it.
fn own_unit_taken() -> Option<Duration> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let stat = std::fs::read_to_string(format!("/sys/fs/cgroup{}/cpu.stat", own_group(&groups)?)).ok()?;
    processor_time(&stat)
}

/// The group in the one hierarchy that version 2 has. At the top of it everybody is counted.
fn own_group(groups: &str) -> Option<&str> {
    groups.lines().find_map(|line| line.strip_prefix("0::")).filter(|group| *group != "/")
}

fn processor_time(stat: &str) -> Option<Duration> {
    let micros = stat.lines().find_map(|line| line.strip_prefix("usage_usec "))?;
    Some(Duration::from_micros(micros.parse().ok()?))
}

/// Sends an order, after its length, with files.
fn send(mut stream: &UnixStream, order: &[u8], files: [BorrowedFd<'_>; FILES]) -> io::Result<()> {
    let length = u32::try_from(order.len()).unwrap_or(u32::MAX).to_be_bytes();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(&files)) {
        return Err(io::Error::other("no room for three files"));
    }
    // The files travel with the first bytes. Four of them are never parted.
    sendmsg(stream, &[IoSlice::new(&length)], &mut ancillary, SendFlags::empty())?;
    stream.write_all(order)
}

fn receive(mut stream: &UnixStream) -> io::Result<(Vec<u8>, [OwnedFd; FILES])> {
    let invalid = |text: String| io::Error::new(ErrorKind::InvalidData, text);
    let mut length = [0; 4];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received =
        recvmsg(stream, &mut [IoSliceMut::new(&mut length)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let files: Vec<OwnedFd> = ancillary
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(files) => Some(files),
            _ => None,
        })
        .flatten()
        .collect();
    let count = files.len();
    let files = files.try_into().map_err(|_| invalid(format!("{count} files came, and not {FILES}")))?;
    let bytes = u32::from_be_bytes(length) as usize;
    if received.bytes != length.len() || bytes > MAX_ORDER_BYTES {
        return Err(invalid(format!("an order of {bytes} bytes, at most {MAX_ORDER_BYTES} are read")));
    }
    let mut order = vec![0; bytes];
    stream.read_exact(&mut order)?;
    Ok((order, files))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_in_a_unit_and_what_on_the_spot() {
        let of = |command: &str| Kind::of(&[OsString::from(command), OsString::from("--directory")]);
        assert_eq!(of("capture"), Some(Kind::Media));
        assert_eq!(of("compose"), Some(Kind::Compose));
        assert_eq!(of("push"), Some(Kind::Push));
        assert_eq!(of("verify"), None);
        assert_eq!(Kind::of(&[]), None);
    }

    #[test]
    fn whoever_asked_hears_what_the_unit_takes_and_a_worker_that_nobody_wants_is_ended() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let child = Command::new("sleep").arg("60").spawn().unwrap();
        let waits = std::thread::spawn(move || {
            wait(child, &theirs, &|| Some(Duration::from_millis(1_250)), Duration::from_millis(1)).unwrap()
        });
        let mut heard = BufReader::new(ours).lines();
        for _ in 0..2 {
            assert_eq!(heard.next().unwrap().unwrap(), "{\"Taken\":1250}");
        }
        drop(heard);
        assert_eq!(waits.join().unwrap().signal(), Some(9));
    }

    #[test]
    fn a_unit_counts_its_own_time_and_nobody_elses() {
        let groups =
            "1:name=systemd:/x\n0::/parvis.slice/parvis-compose.slice/parvis-compose@0-1-2.service\n";
        let own = "/parvis.slice/parvis-compose.slice/parvis-compose@0-1-2.service";
        assert_eq!(own_group(groups), Some(own));
        assert_eq!((own_group("0::/\n"), own_group("3:cpu:/x\n")), (None, None));
        let stat = "usage_usec 2345678\nuser_usec 2000000\nsystem_usec 345678\n";
        assert_eq!(processor_time(stat), Some(Duration::from_micros(2_345_678)));
        assert_eq!(processor_time("user_usec 2000000\n"), None);
    }

    #[test]
    fn an_order_comes_with_its_files_or_is_refused() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (reader, writer) = io::pipe().unwrap();
        send(&ours, b"{}", [reader.as_fd(), writer.as_fd(), writer.as_fd()]).unwrap();
        let (order, [_, output, error]) = receive(&theirs).unwrap();
        assert_eq!(order, b"{}");
        drop((output, error, writer));
        let mut rest = Vec::new();
        let mut reader = reader;
        assert_eq!(reader.read_to_end(&mut rest).unwrap(), 0, "no other copy of its end is left");

        (&ours).write_all(&[0, 0, 0, 2, b'{', b'}']).unwrap();
        assert!(receive(&theirs).unwrap_err().to_string().contains("0 files came"));
        let (ours, theirs) = UnixStream::pair().unwrap();
        let null = std::fs::File::open("/dev/null").unwrap();
        let length = u32::try_from(MAX_ORDER_BYTES + 1).unwrap();
        send(&ours, &vec![b' '; length as usize], [null.as_fd(); 3]).unwrap();
        assert!(receive(&theirs).unwrap_err().to_string().contains("65537 bytes"));
    }
}
