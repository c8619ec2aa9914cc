// SPDX-License-Identifier: EUPL-1.2
//! The process itself: started as the server starts it, killed at any moment, held by the kernel, on a full disk.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod support;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use parvis_jobs::{Codec, FailureKind, Hello, Start, StopReason, ToServer, ToWorker, UnixMicros};
use parvis_media::age::Identity;
use parvis_media::manifest::Manifest;
use parvis_media::mkv::{MkvError, Reader, ReaderLimits};
use parvis_media::recording::{self, State};
use rand::RngExt as _;
use support::worker::{WORKER, Worker, capture, now};
use support::{Sender, Temp, number, start};

/// As the server would start it now.
fn live(directory: &Path, identity: Option<&Identity>) -> Start {
    Start { started_at: UnixMicros(now()), ..start(directory, identity) }
}

#[test]
fn a_worker_records_what_comes_and_tells_what_it_wrote() {
    let (temp, identity) = (Temp::new(), Identity::generate().unwrap());
    let start = live(&temp.0, Some(&identity));
    let mut worker = Worker::recording(&start);
    let mut sender = Sender::new("TR_a", Codec::Opus, 1);
    worker.say(&ToWorker::Source(Box::new(sender.source.clone())));
    // Control and media are two ways: a source is known when its refusal, or progress with it, has come.
    wait_for_track(&mut worker);
    for _ in 0..50 {
        let packet = sender.sound();
        worker.media.send(&packet).unwrap();
        sender.step(960);
    }
    wait_for_frames(&mut worker, 50);
    worker.say(&ToWorker::Stop { reason: StopReason::RoomEnded });
    let ToServer::Stopped { reason: StopReason::RoomEnded, files } = worker.last_word() else {
        panic!("not stopped")
    };
    assert!(worker.child.wait().unwrap().success());
    for file in &files {
        assert_eq!(std::fs::metadata(temp.0.join(&file.name)).unwrap().len(), file.bytes, "{}", file.name);
    }
    assert_eq!(files.len(), 3);
    let checked = recording::verify(&temp.0, &[identity]).unwrap();
    assert!(checked.iter().all(|file| file.state == State::Whole), "{checked:?}");
    assert_eq!(checked.iter().filter_map(|file| file.frames).sum::<u64>(), 50);
}

fn wait_for_track(worker: &mut Worker) {
    loop {
        match worker.next() {
            Some(ToServer::Progress { tracks, .. }) if !tracks.is_empty() => return,
            Some(ToServer::Progress { .. } | ToServer::KeyFrameWanted { .. } | ToServer::Nack { .. }) => {}
            other => panic!("{other:?}: {}", worker.errors()),
        }
    }
}

fn wait_for_frames(worker: &mut Worker, count: u64) {
    loop {
        match worker.next() {
            Some(ToServer::Progress { tracks, .. }) if tracks.iter().all(|track| track.frames >= count) => {
                return;
            }
            Some(ToServer::Progress { .. } | ToServer::KeyFrameWanted { .. } | ToServer::Nack { .. }) => {}
            other => panic!("{other:?}: {}", worker.errors()),
        }
    }
}

/// Sound and pictures in real time, until a moment that nobody knows; then what of it opens.
#[test]
fn killed_at_any_moment_a_worker_loses_two_seconds_at_most_and_all_files_open() {
    /// Six at a time: what takes time is waiting.
    const AT_ONCE: usize = 6;
    // A measurement takes more of them.
    let rounds = std::env::var("PARVIS_KILLS").map_or(24, |rounds| rounds.parse().unwrap());
    let identity = Identity::generate().unwrap();
    let secret = identity.to_secret_text();
    let mut lost = Vec::new();
    for first in (0..rounds).step_by(AT_ONCE) {
        let rounds: Vec<_> = (first..first + AT_ONCE)
            .map(|round| {
                let secret = secret.clone();
                let life = Duration::from_millis(rand::rng().random_range(1..6000));
                std::thread::spawn(move || killed(&secret, round, life))
            })
            .collect();
        lost.extend(rounds.into_iter().map(|round| round.join().unwrap()));
    }
    let told: Vec<String> = lost.iter().map(u64::to_string).collect();
    println!("lost in ms: {}", told.join(" "));
    assert!(lost.iter().all(|millis| *millis <= 2000), "{lost:?} ms");
    assert!(
        lost.iter().any(|millis| *millis > 0),
        "something was under way in one of {rounds} rounds: {lost:?}"
    );
}

/// How many milliseconds of what was sent are not in the files.
fn killed(secret: &str, round: usize, life: Duration) -> u64 {
    let temp = Temp::new();
    let identity: Identity = secret.parse().unwrap();
    let start = live(&temp.0, Some(&identity));
    let mut worker = Worker::recording(&start);
    let (mut sound, mut picture) = (Sender::new("TR_a", Codec::Opus, 1), Sender::new("TR_v", Codec::Vp8, 2));
    for sender in [&sound, &picture] {
        worker.say(&ToWorker::Source(Box::new(sender.source.clone())));
    }
    wait_for_track(&mut worker);
    worker.control.set_nonblocking(true).unwrap();
    let begun = Instant::now();
    // Each frame's number, and when it was sent.
    let (mut sounds, mut pictures) = (Vec::new(), Vec::new());
    let mut step = 0_u64;
    while begun.elapsed() < life {
        let packet = sound.sound();
        worker.media.send(&packet).unwrap();
        sounds.push(Instant::now());
        sound.step(960);
        if step.is_multiple_of(2) {
            for packet in picture.picture(step.is_multiple_of(50), 640, 360, 3500) {
                worker.media.send(&packet).unwrap();
            }
            pictures.push(Instant::now());
            picture.step(3600);
        }
        step += 1;
        // Nobody reads what it says; it must not block on that.
        let _ = worker.control.read(&mut [0; 4096]);
        std::thread::sleep(
            (begun + Duration::from_millis(20 * step)).saturating_duration_since(Instant::now()),
        );
    }
    let killed = Instant::now();
    worker.child.kill().unwrap();
    assert_eq!(worker.child.wait().unwrap().signal(), Some(9));
    let manifest = Manifest::read(&temp.0).unwrap();
    let mut worst = 0;
    for (track, codec, sent) in [("TR_a", Codec::Opus, sounds), ("TR_v", Codec::Vp8, pictures)] {
        let entry = manifest.tracks.iter().find(|entry| entry.track == track);
        let mut kept = 0;
        for part in entry.iter().flat_map(|entry| &entry.parts) {
            kept += frames(&temp.0, &part.file, &identity, codec, kept);
        }
        if let Some(first_lost) = sent.get(kept as usize) {
            worst = worst.max(killed.duration_since(*first_lost).as_millis() as u64);
        }
    }
    // The library's own check finds nothing damaged, and recovering writes what there is.
    let checked = recording::verify(&temp.0, std::slice::from_ref(&identity)).unwrap();
    assert!(checked.iter().all(|file| file.state == State::Interrupted), "round {round}: {checked:?}");
    recording::decrypt(&temp.0, &temp.below("out"), &[identity], true).unwrap();
    worst
}

/// Frames that open, which must be the right ones in a row.
fn frames(
    directory: &Path,
    file: &parvis_media::manifest::FileEntry,
    identity: &Identity,
    codec: Codec,
    first: u64,
) -> u64 {
    let plain = match recording::open(directory, file, std::slice::from_ref(identity)) {
        Ok(plain) => plain,
        // Killed while it made the file.
        Err(error) => panic!("{error}"),
    };
    let mut count = 0;
    let mut reader = match Reader::new(plain, ReaderLimits::default()) {
        Err(MkvError::Truncated { .. }) => return 0,
        other => other.unwrap(),
    };
    loop {
        match reader.next_cluster() {
            Ok(Some(cluster)) => {
                for block in cluster.blocks {
                    assert_eq!(number(codec, &block.data), Some(first + count));
                    count += 1;
                }
            }
            Ok(None) | Err(MkvError::Truncated { .. }) => return count,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_server_that_goes_leaves_a_whole_recording() {
    let temp = Temp::new();
    let mut worker = Worker::recording(&live(&temp.0, None));
    worker.control.shutdown(std::net::Shutdown::Write).unwrap();
    let ToServer::Stopped { reason: StopReason::ServerGone, .. } = worker.last_word() else {
        panic!("not stopped")
    };
    assert!(worker.child.wait().unwrap().success());
    assert_eq!(Manifest::read(&temp.0).unwrap().reason, Some(StopReason::ServerGone));
}

#[test]
fn a_job_that_cannot_be_done_is_refused_in_words() {
    let temp = Temp::new();
    let mut start = live(&temp.0, None);
    start.directory = "/tmp".to_owned();
    let mut worker = Worker::spawn(capture(&temp.0));
    worker.greet(&start);
    let ToServer::Failed(failure) = worker.last_word() else { panic!("not failed") };
    assert_eq!(failure.kind, FailureKind::Protocol);
    assert!(failure.what.contains("another directory"), "{failure}");
    assert!(!worker.child.wait().unwrap().success());

    let mut worker = Worker::spawn(capture(&temp.0));
    worker.next().unwrap();
    worker.say(&ToWorker::Hello(Hello { oldest: 8, newest: 9, software: "parvis 9".to_owned() }));
    let ToServer::Failed(failure) = worker.last_word() else { panic!("not failed") };
    assert_eq!(failure.kind, FailureKind::Version);
    assert!(failure.what.contains("8 to 9"), "{failure}");
}

#[test]
fn noise_on_either_way_ends_or_is_counted_and_never_hangs() {
    let temp = Temp::new();
    let mut worker = Worker::recording(&live(&temp.0, None));
    for len in [0, 1, 11, 12, 100, 3000] {
        worker.media.send(&vec![0x80; len]).unwrap();
    }
    worker.control.write_all(&[0xff; 64]).unwrap();
    while worker.next().is_some() {}
    assert!(!worker.child.wait().unwrap().success());
    assert!(worker.errors().contains("frame of 4294967295 bytes"));
    let manifest = Manifest::read(&temp.0).unwrap();
    assert_eq!(manifest.reason, Some(StopReason::ServerGone), "what was captured is ended in order");
}

#[test]
fn started_by_hand_it_says_who_starts_it() {
    let output = capture(Path::new("/tmp")).stdin(Stdio::null()).output().unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("no stream socket") && text.contains("the server starts this"), "{text}");
}

#[test]
fn row_53_a_worker_reaches_no_network_no_other_file_and_no_program() {
    let temp = Temp::new();
    let own = temp.below("own");
    std::fs::create_dir(&own).unwrap();
    let output = Command::new(WORKER).args(["confine-check", "--directory"]).arg(&own).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let held: Vec<&str> = text.lines().filter(|line| line.starts_with("held")).collect();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(held.len(), 11, "{text}");
    for what in [
        "outside its directory",
        "beside its directory",
        "UDP socket",
        "TCP connection",
        "Unix socket",
        "start a program",
    ] {
        assert!(held.iter().any(|line| line.contains(what)), "{what}: {text}");
    }
    assert_eq!(std::fs::read_dir(&own).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(&temp.0).unwrap().count(), 1, "nothing lies beside its own directory");
}

/// In a thread whose children find a kernel without landlock.
fn without_landlock(command: impl FnOnce() -> Command + Send + 'static) -> Worker {
    std::thread::spawn(move || {
        use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};
        // ENOSYS: what a kernel says that has no such call.
        let calls = [nix::libc::SYS_landlock_create_ruleset].map(|call| (call, Vec::new()));
        let filter = SeccompFilter::new(
            calls.into_iter().collect(),
            SeccompAction::Allow,
            SeccompAction::Errno(nix::libc::ENOSYS as u32),
            TargetArch::try_from(std::env::consts::ARCH).unwrap(),
        );
        let program: BpfProgram = filter.unwrap().try_into().unwrap();
        seccompiler::apply_filter(&program).unwrap();
        Worker::spawn(command())
    })
    .join()
    .unwrap()
}

#[test]
fn a_kernel_that_cannot_hold_a_worker_is_named_and_refused_unless_that_is_allowed() {
    let temp = Temp::new();
    let directory = temp.0.clone();
    let mut worker = without_landlock(move || capture(&directory));
    worker.next().unwrap();
    worker.say(&ToWorker::Hello(Hello::ours("test")));
    let ToServer::Failed(failure) = worker.last_word() else { panic!("not failed") };
    assert_eq!(failure.kind, FailureKind::Confinement);
    assert!(failure.what.contains("landlock") && failure.remedy.contains("--confine available"), "{failure}");

    let directory = temp.0.clone();
    let mut worker = without_landlock(move || {
        let mut command = capture(&directory);
        command.args(["--confine", "available"]);
        command
    });
    let confinement = worker.greet(&live(&temp.0, None));
    assert!(!confinement.landlock && confinement.seccomp && confinement.no_new_privileges);
    assert!(confinement.missing.iter().any(|what| what.contains("landlock")), "{confinement:?}");
    assert_eq!(worker.next(), Some(ToServer::Started));
}

/// A file system of four MiB, in a mount namespace of its own. Where those can't be had, the test fails and says so.
#[test]
fn a_full_disk_ends_the_recording_with_its_reason_and_whole_files() {
    let temp = Temp::new();
    let disk = temp.below("disk");
    std::fs::create_dir(&disk).unwrap();
    let script = "mount -t tmpfs -o size=4m none \"$1\" || exit 77; \"$0\" capture --directory \"$1\" && mkdir -p \"$1.out\" && cp -a \"$1\"/. \"$1.out\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--map-root-user", "sh", "-c", script, WORKER]).arg(&disk);
    let identity = Identity::generate().unwrap();
    let start = live(&disk, Some(&identity));
    let mut worker = Worker::spawn(command);
    if worker.decoder.waiting() == 0 {
        let mut first = [0; 1];
        let seen = worker.control.read(&mut first).unwrap();
        assert_eq!(seen, 1, "no mount namespace to be had here: {}", worker.errors());
        worker.decoder.push(&first).unwrap();
    }
    worker.greet(&start);
    assert_eq!(worker.next(), Some(ToServer::Started));
    let mut sender = Sender::new("TR_v", Codec::Vp8, 1);
    worker.say(&ToWorker::Source(Box::new(sender.source.clone())));
    wait_for_track(&mut worker);
    worker.media.set_nonblocking(true).unwrap();
    for frame in 0..150 {
        for packet in sender.picture(frame == 0, 64, 64, 20_000) {
            // It ends while we send.
            while let Err(error) = worker.media.send(&packet) {
                if error.kind() != std::io::ErrorKind::WouldBlock {
                    break;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        sender.step(3000);
    }
    let ToServer::Stopped { reason, .. } = worker.last_word() else { panic!("not stopped") };
    assert_eq!(reason, StopReason::DiskFull);
    assert!(worker.child.wait().unwrap().success());
    let out = temp.below("disk.out");
    assert_eq!(Manifest::read(&out).unwrap().reason, Some(StopReason::DiskFull));
    let checked = recording::verify(&out, &[identity]).unwrap();
    assert!(checked.iter().all(|file| file.state == State::Whole), "{checked:?}");
    assert!(checked.iter().filter_map(|file| file.frames).sum::<u64>() >= 50, "{checked:?}");
}

#[test]
fn the_command_line_checks_and_opens_a_recording() {
    let (temp, identity) = (Temp::new(), Identity::generate().unwrap());
    let directory = temp.below("recording");
    std::fs::create_dir(&directory).unwrap();
    let mut worker = Worker::recording(&live(&directory, Some(&identity)));
    worker.say(&ToWorker::Stop { reason: StopReason::Requested });
    worker.last_word();
    worker.child.wait().unwrap();
    let key = temp.below("key.txt");
    File::create(&key).unwrap().write_all(identity.to_secret_text().as_bytes()).unwrap();
    let run = |arguments: &[&str]| {
        let output = Command::new(WORKER).args(arguments).arg(&directory).output().unwrap();
        (
            output.status.success(),
            String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr),
        )
    };
    let (key, to) = (key.display().to_string(), temp.below("out").display().to_string());
    let (good, text) = run(&["verify", "--identity", &key]);
    assert!(good && text.starts_with("whole       timeline-000.jsonl.age"), "{text}");
    let (good, text) = run(&["decrypt", "--identity", &key, "--to", &to]);
    assert!(good && text.contains("timeline-000.jsonl"), "{text}");
    let (good, text) = run(&["decrypt", "--to", &format!("{to}2")]);
    assert!(!good && text.contains("sealed for other recipients"), "{text}");
    let path = directory.join("timeline-000.jsonl.age");
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let (good, text) = run(&["verify"]);
    assert!(!good && text.starts_with("DAMAGED"), "{text}");
}
