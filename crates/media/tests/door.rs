// SPDX-License-Identifier: EUPL-1.2
//! Workers that are started by a door, as the service manager's units start them.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use parvis_jobs::ToServer;
use parvis_jobs::frame::{Decoder, Limits};
use parvis_media::door::{Kind, ask};

const PATIENCE: Duration = Duration::from_secs(20);

/// A socket whose connections each get a door, as `Accept=yes` does it, in a folder that goes with it.
struct Unit(PathBuf);

impl Unit {
    fn new(name: &str, kind: Kind) -> Unit {
        let folder = std::env::temp_dir().join(format!("parvis-door-{name}-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("job")).unwrap();
        let listener = UnixListener::bind(folder.join("socket")).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let mut door = Command::new(env!("CARGO_BIN_EXE_parvis-media"))
                    .args(["door", kind.name()])
                    .env("ORC_CODE", "as its unit says")
                    .stdin(OwnedFd::from(stream))
                    .stdout(Stdio::null())
                    .spawn()
                    .unwrap();
                std::thread::spawn(move || door.wait());
            }
        });
        Unit(folder)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("socket")
    }

    fn job(&self) -> PathBuf {
        self.0.join("job")
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The environment of the worker that was started for this job.
fn environment(job: &Path) -> Vec<String> {
    let read = |process: &Path, what: &str| std::fs::read(process.join(what)).unwrap_or_default();
    let texts = |bytes: Vec<u8>| -> Vec<String> {
        bytes.split(|byte| *byte == 0).map(|text| String::from_utf8_lossy(text).into_owned()).collect()
    };
    let job = job.to_string_lossy().into_owned();
    let mut processes = std::fs::read_dir("/proc").unwrap().map_while(Result::ok).map(|entry| entry.path());
    let is_worker = |process: &PathBuf| {
        let arguments = texts(read(process, "cmdline"));
        arguments[0] == env!("CARGO_BIN_EXE_parvis-media") && arguments.contains(&job)
    };
    texts(read(&processes.find(is_worker).unwrap(), "environ"))
}

fn capture(directory: &Path) -> Vec<OsString> {
    let directory = directory.as_os_str().to_owned();
    [["capture", "--confine", "available", "--directory"].map(OsString::from).to_vec(), vec![directory]]
        .concat()
}

#[test]
fn a_worker_of_a_unit_has_the_files_of_whoever_asked_and_ends_as_it_is_told() {
    let unit = Unit::new("works", Kind::Media);
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    ours.set_read_timeout(Some(PATIENCE)).unwrap();
    let trunk = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let (mut log, error) = io::pipe().unwrap();
    let (told, ended) = mpsc::channel();
    let (socket, arguments) = (unit.socket(), capture(&unit.job()));
    std::thread::spawn(move || {
        let files = [theirs.as_fd(), trunk.as_fd(), error.as_fd()];
        told.send(ask(&socket, &arguments, files, &mut |_| {}).unwrap()).unwrap();
    });
    // It speaks on the stream that it was handed.
    let mut decoder = Decoder::new(Limits::default());
    let ready = loop {
        let mut bytes = [0; 4_096];
        let count = ours.read(&mut bytes).unwrap();
        assert_ne!(count, 0, "it said nothing");
        decoder.push(&bytes[..count]).unwrap();
        if let Some(message) = decoder.next::<ToServer>().unwrap() {
            break message;
        }
    };
    assert!(matches!(ready, ToServer::Hello(_)), "{ready:?}");
    // It ends when nobody speaks with it any more, and whoever asked hears how.
    drop(ours);
    let status = ended.recv_timeout(PATIENCE).unwrap();
    assert!(status.code().is_some(), "{status}");
    // Nobody holds an end of its log any more.
    let mut said = String::new();
    log.read_to_string(&mut said).unwrap();
}

#[test]
fn a_door_starts_one_kind_and_says_so() {
    let unit = Unit::new("kind", Kind::Push);
    let null = std::fs::File::open("/dev/null").unwrap();
    let refused = ask(&unit.socket(), &capture(&unit.job()), [null.as_fd(); 3], &mut |_| {}).unwrap_err();
    assert_eq!(refused.to_string(), "this door is for `push` alone");
    let nobody =
        ask(&unit.0.join("nothing"), &capture(&unit.job()), [null.as_fd(); 3], &mut |_| {}).unwrap_err();
    assert!(nobody.to_string().contains("socket unit active?"), "{nobody}");
}

#[test]
fn a_worker_ends_with_whoever_asked_for_it() {
    let unit = Unit::new("gone", Kind::Media);
    // Whoever asks is a process here, and dies without a word.
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    ours.set_read_timeout(Some(PATIENCE)).unwrap();
    let by_unit = unit.0.join("parvis-media-unit");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_parvis-media"), &by_unit).unwrap();
    let mut asks = Command::new(&by_unit)
        .args(capture(&unit.job()))
        .env("PARVIS_MEDIA_DOOR", unit.socket())
        .envs([
            ("ORC_CODE", "as whoever asks says"),
            ("LD_LIBRARY_PATH", "/nowhere"),
            ("GST_REGISTRY", "/there"),
        ])
        .stdin(OwnedFd::from(theirs))
        .stdout(OwnedFd::from(std::net::UdpSocket::bind("127.0.0.1:0").unwrap()))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut bytes = [0; 4_096];
    assert_ne!(ours.read(&mut bytes).unwrap(), 0, "it is there");
    // Where GStreamer finds what it needs comes from whoever asks, and how it makes code from the unit.
    let environment = environment(&unit.job());
    assert!(environment.contains(&"GST_REGISTRY=/there".to_owned()), "{environment:?}");
    let code: Vec<_> = environment.iter().filter(|value| value.starts_with("ORC_CODE=")).collect();
    assert_eq!(code, ["ORC_CODE=as its unit says"]);
    assert!(!environment.iter().any(|value| value.starts_with("LD_")), "{environment:?}");
    asks.kill().unwrap();
    asks.wait().unwrap();
    loop {
        match ours.read(&mut bytes) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => panic!("it is there still: {error}"),
        }
    }
}
