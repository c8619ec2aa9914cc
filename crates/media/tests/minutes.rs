// SPDX-License-Identifier: EUPL-1.2
//! What people wrote is kept for as long as they leave it there, and what they said in words stands at its time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use parvis_jobs::{Message, Participant, Start, StopReason, ToServer, ToWorker};
use parvis_media::age::Identity;
use parvis_media::capture::{Capture, Settings};
use parvis_media::manifest::Manifest;
use parvis_media::recording::{self, State};
use parvis_media::timeline::What;
use support::{Temp, at, start};

fn begin(start: &Start, directory: &Path, settings: Settings, now: u64) -> Capture {
    Capture::start(start, directory, "test", settings, at(now)).unwrap()
}

fn message(number: u64, second: u64, text: &str) -> Message {
    Message {
        message: number,
        participant: "PA_1".to_owned(),
        identity: "ada".to_owned(),
        name: "Ada".to_owned(),
        text: text.to_owned(),
        at: at(second * 1_000_000),
    }
}

fn write(capture: &mut Capture, second: u64, messages: Vec<Message>) {
    capture.message(at(second * 1_000_000), ToWorker::Chat { messages });
}

fn retract(capture: &mut Capture, second: u64, message: u64) {
    let now = at(second * 1_000_000);
    capture.message(now, ToWorker::ChatRetracted { message, at: now });
}

fn stop(mut capture: Capture, second: u64) {
    capture.message(at(second * 1_000_000), ToWorker::Stop { reason: StopReason::Requested });
    let said: Vec<ToServer> = capture.outgoing().collect();
    assert!(matches!(said.last(), Some(ToServer::Stopped { .. })), "{said:?}");
}

/// Numbers, moments in seconds, and texts.
fn chat(directory: &Path, identity: &Identity) -> Vec<(u64, i64, String)> {
    let manifest = Manifest::read(directory).unwrap();
    let entries = recording::chat(directory, &manifest, std::slice::from_ref(identity)).unwrap();
    let told = entries.into_iter().map(|entry| match entry.what {
        What::Chat { message, text, name, identity, .. } => {
            assert_eq!((name.as_str(), identity.as_str()), ("Ada", "ada"));
            (message, entry.at / 1_000_000, text)
        }
        other => panic!("{other:?}"),
    });
    told.collect()
}

/// Files of the chat on disk, tails too.
fn files(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.starts_with("chat")).collect();
    names.sort();
    names
}

fn opened(directory: &Path, to: PathBuf, identity: &Identity) -> String {
    recording::decrypt(directory, &to, std::slice::from_ref(identity), false).unwrap();
    std::fs::read_to_string(to.join("chat-001.jsonl")).unwrap()
}

fn recorded(temp: &Temp) -> (PathBuf, Identity) {
    let directory = temp.below("recording");
    std::fs::create_dir(&directory).unwrap();
    (directory, Identity::generate().unwrap())
}

#[test]
fn what_was_written_is_kept_and_nothing_is_left_in_the_end_of_what_was_taken_back() {
    let temp = Temp::new();
    let (directory, identity) = recorded(&temp);
    let mut capture = begin(&start(&directory, Some(&identity)), &directory, Settings::default(), 0);
    assert_eq!(files(&directory), [""; 0], "where nobody writes there is no file");
    write(&mut capture, 1, vec![message(1, 1, "Good morning")]);
    write(&mut capture, 2, vec![message(2, 2, "my password is sesame")]);
    write(&mut capture, 3, vec![message(3, 3, "oops")]);
    retract(&mut capture, 4, 2);
    retract(&mut capture, 4, 2);
    retract(&mut capture, 4, 99);
    stop(capture, 5);
    assert_eq!(files(&directory), ["chat-001.jsonl.age"], "the one before it is gone, with its tail");
    assert_eq!(chat(&directory, &identity), [(1, 1, "Good morning".to_owned()), (3, 3, "oops".to_owned())]);
    let text = opened(&directory, temp.below("clear"), &identity);
    assert!(!text.contains("sesame") && text.lines().count() == 2, "{text}");
    let checked = recording::verify(&directory, std::slice::from_ref(&identity)).unwrap();
    let of_chat = checked.iter().find(|file| file.name == "chat-001.jsonl.age").unwrap();
    assert_eq!(of_chat.state, State::Whole);
    let out = temp.below("export");
    recording::export(&directory, &out, std::slice::from_ref(&identity)).unwrap();
    let exported = std::fs::read_to_string(out.join("chat.jsonl")).unwrap();
    assert!(exported.contains("Good morning") && !exported.contains("sesame"), "{exported}");
    assert!(!out.join("captions.vtt").exists(), "nobody wrote down what was said");
}

#[test]
fn a_worker_that_is_killed_loses_half_a_second_of_chat_and_the_next_one_makes_it_one_file() {
    let temp = Temp::new();
    let (directory, identity) = recorded(&temp);
    let mut start = start(&directory, Some(&identity));
    let mut killed = begin(&start, &directory, Settings::default(), 0);
    write(&mut killed, 1, vec![message(1, 1, "one"), message(2, 1, "two"), message(3, 1, "three")]);
    retract(&mut killed, 1, 2);
    killed.tick(at(1_500_000));
    write(&mut killed, 2, vec![message(4, 2, "too late for this one")]);
    drop(killed);
    let kept = [(1, 1, "one".to_owned()), (3, 1, "three".to_owned())];
    assert_eq!(chat(&directory, &identity), kept, "what was taken back is left out here too");

    start.restart = 1;
    let mut next = begin(&start, &directory, Settings::default(), 3_000_000);
    // It is told all of it anew; "three" was taken back meanwhile.
    write(&mut next, 3, vec![message(1, 1, "one"), message(4, 2, "four")]);
    assert_eq!(files(&directory).len(), 4, "until it has ended, both are there");
    stop(next, 4);
    assert_eq!(files(&directory), ["chat-001.jsonl.age"]);
    assert_eq!(chat(&directory, &identity), [(1, 1, "one".to_owned()), (4, 2, "four".to_owned())]);

    start.restart = 2;
    let last = begin(&start, &directory, Settings::default(), 5_000_000);
    stop(last, 6);
    assert_eq!(files(&directory), [""; 0], "all of it was taken back");
}

#[test]
fn chat_is_bounded_and_what_is_left_out_is_counted() {
    let temp = Temp::new();
    let (directory, identity) = recorded(&temp);
    let settings = Settings { chat_bytes: 10_000, ..Settings::default() };
    let mut capture = begin(&start(&directory, Some(&identity)), &directory, settings, 0);
    for number in 0..100 {
        write(&mut capture, 1, vec![message(number, 1, &"x".repeat(900))]);
    }
    stop(capture, 2);
    let kept = chat(&directory, &identity).len() as u64;
    assert!((5..11).contains(&kept), "{kept}");
    assert_eq!(Manifest::read(&directory).unwrap().lines_left_out, 100 - kept);
}

#[test]
fn captions_are_exported_as_webvtt_with_a_voice_for_each() {
    let temp = Temp::new();
    let (directory, identity) = recorded(&temp);
    let mut capture = begin(&start(&directory, Some(&identity)), &directory, Settings::default(), 0);
    for (id, name) in [("PA_1", "Ada"), ("PA_2", "Bo <b>")] {
        let participant = Participant { id: id.to_owned(), identity: id.to_owned(), name: name.to_owned() };
        capture.message(at(0), ToWorker::Joined { participant, at: at(0) });
    }
    for (participant, from, until, text) in [("PA_2", 3, 5, "Good\nmorning"), ("PA_1", 2, 6, "a --> b & c")] {
        let (from, now) = (at(from * 1_000_000), at(until * 1_000_000));
        let (participant, text) = (participant.to_owned(), text.to_owned());
        capture.message(now, ToWorker::Caption { participant, track: None, text, from, at: now });
    }
    stop(capture, 7);
    let out = temp.below("export");
    recording::export(&directory, &out, std::slice::from_ref(&identity)).unwrap();
    let text = std::fs::read_to_string(out.join("captions.vtt")).unwrap();
    let expected = "WEBVTT\n\n00:00:02.000 --> 00:00:06.000\n<v Ada>a --&gt; b &amp; c\n\n00:00:03.000 --> \
                    00:00:05.000\n<v Bo &lt;b&gt;>Good morning\n";
    assert_eq!(text, expected);
    // Somebody else's reader finds the same cues, at the same times.
    let probe = ["-v", "error", "-show_entries", "packet=pts_time,duration_time", "-of", "csv=p=0"];
    let told = Command::new("ffprobe").args(probe).arg(out.join("captions.vtt")).output().unwrap();
    let packets = String::from_utf8(told.stdout).unwrap();
    let lines: Vec<&str> = packets.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(
        lines,
        ["2.000000,4.000000", "3.000000,2.000000"],
        "{:?}",
        String::from_utf8_lossy(&told.stderr)
    );
    assert!(files(&directory).is_empty());
}
