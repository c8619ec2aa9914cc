// SPDX-License-Identifier: EUPL-1.2
//! How a worker comes to be a unit of the service manager's, with a cgroup and a confinement of its own, although it is the server
//! that starts workers, and knows of no service manager.
//!
//! Under the name [`BY_UNIT`] this program does nothing itself: it connects to a socket below [`SOCKETS`], for which the service
//! manager starts a unit with this program's `door`, hands its arguments and its three standard files over it, and ends as the worker
//! there ends. The door starts the worker in its unit and ends it when the connection ends, and so with whoever asked, and
//! with the server. What a door starts is of one kind, whoever asks.

use std::ffi::OsString;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

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
/// How often it is looked whether the worker has ended.
const LOOK: u16 = 50;
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

/// What became of it.
#[derive(Debug, Serialize, Deserialize)]
enum Outcome {
    /// It ended like this (wait(2)).
    Ended(i32),
    /// It was not started.
    Refused(String),
}

/// Asks for a worker at the socket `path` and gives how it ended. Its standard files are `files`.
pub fn ask(path: &Path, arguments: &[OsString], files: [BorrowedFd<'_>; FILES]) -> io::Result<ExitStatus> {
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
    let mut answer = Vec::new();
    (&stream).take(MAX_ORDER_BYTES as u64).read_to_end(&mut answer)?;
    match serde_json::from_slice(&answer) {
        Ok(Outcome::Ended(status)) => Ok(ExitStatus::from_raw(status)),
        Ok(Outcome::Refused(why)) => Err(io::Error::other(why)),
        Err(_) => Err(io::Error::new(ErrorKind::UnexpectedEof, "its unit was ended before it")),
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
        Ok(child) => Outcome::Ended(wait(child, &stream)?.into_raw()),
        Err(error) => Outcome::Refused(error.to_string()),
    };
    // Whoever asked may be gone.
    let _ = stream.write_all(&serde_json::to_vec(&outcome)?);
    Ok(())
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
        .stdin(Stdio::from(input))
        .stdout(Stdio::from(output))
        .stderr(Stdio::from(error))
        .spawn()
}

/// Waits for a worker's end, and brings it about when whoever asked for it is gone.
fn wait(mut child: Child, stream: &UnixStream) -> io::Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
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
