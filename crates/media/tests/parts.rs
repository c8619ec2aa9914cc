// SPDX-License-Identifier: EUPL-1.2
//! Films in parts: the same film as in one go, whoever is killed on the way.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use parvis_media::age::Identity;
use parvis_media::compose::layout::{Arrangement, cells};
use support::Temp;
use support::film::{
    BLUE, CANVAS, Colour, Feed, Film, GREEN, RED, SIZE, ada, assert_scenes, capture, is_near, loudness,
    middle, names, probe, tone,
};

const PATIENCE: Duration = Duration::from_secs(120);

fn command(recording: &Path, out: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_parvis-media"));
    command.arg("compose").args(["--size", "320x180", "--kbits", "1000"]).args(more).args([recording, out]);
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

/// Makes a film, and gives what was said.
fn make(recording: &Path, out: &Path, more: &[&str]) -> String {
    let output = command(recording, out, more).output().unwrap();
    let said = said(&output);
    assert!(output.status.success(), "{said}");
    assert!(!parts(out).exists(), "nothing stays of its parts: {said}");
    said
}

fn parts(out: &Path) -> PathBuf {
    PathBuf::from(format!("{}.parts", out.display()))
}

/// The lines of a ledger that are whole, without the first.
fn ledger(out: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(parts(out).join("ledger.jsonl")).unwrap_or_default();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().skip(1).map(str::to_owned).collect()
}

/// Those that a process has started.
fn children(process: &Child) -> Vec<u32> {
    let id = process.id();
    let threads = std::fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().filter_map(Result::ok);
    let lists = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().map(|id| id.parse().unwrap()).collect::<Vec<_>>()).collect()
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < PATIENCE, "{what}: not in time");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn kill(id: u32) {
    assert!(Command::new("kill").args(["-9", &id.to_string()]).status().unwrap().success());
}

/// How far two films are from each other at most, in luma, on average over a picture; and at which picture.
fn difference(one: &Film, other: &Film) -> (f64, usize) {
    let (width, height) = SIZE;
    let of = |picture: usize| {
        let places = (0..height).step_by(3).flat_map(|y| (0..width).step_by(3).map(move |x| (x, y)));
        let (mut sum, mut count) = (0_u64, 0_u64);
        for (x, y) in places {
            let [one, other] = [one, other].map(|film| film.colour(picture, x, y)[0]);
            sum += u64::from(one.abs_diff(other));
            count += 1;
        }
        sum as f64 / count as f64
    };
    (0..one.len())
        .map(|picture| (of(picture), picture))
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .unwrap()
}

/// People come, go, speak and are muted, some of it where segments meet, and some long before a segment that shows it.
fn meeting(recording: &Path, identity: Option<&Identity>) {
    let flips = |ms: u64| if (1_900..4_060).contains(&ms) { GREEN } else { RED };
    let mut bob = Feed::camera("PA_b", 3, 1000, 6000, |_| BLUE);
    bob.muted = Some((1500, 1000 + 2 * Feed::KEYS));
    let feeds = vec![
        Feed::camera("PA_a", 1, 0, 6000, flips),
        Feed::microphone("PA_a", 2, 0, 6000, tone(440.0)),
        bob,
        Feed::microphone("PA_b", 4, 1000, 6000, tone(1000.0)),
        Feed::camera("PA_c", 5, 2000, 4000, |_| GREEN),
    ];
    let people = [("PA_a", "Ada", 0, 9000), ("PA_b", "Bob", 1000, 7000), ("PA_c", "Cem", 2000, 4000)];
    capture(recording, identity, 6000, &people, feeds, &[(500, "PA_a"), (3900, "PA_b")]);
}

#[test]
fn a_film_in_three_segments_is_the_film_in_one() {
    let (temp, identity) = (Temp::new(), Identity::generate().unwrap());
    let (recording, key) = (temp.below("recording"), temp.below("key.txt"));
    std::fs::write(&key, identity.to_secret_text().as_str()).unwrap();
    meeting(&recording, Some(&identity));
    for (name, layout) in [("grid.mp4", "grid"), ("speaker.webm", "speaker")] {
        let (one, three) = (temp.below(&format!("one-{name}")), temp.below(&format!("three-{name}")));
        let more = ["--identity", key.to_str().unwrap(), "--layout", layout, "--title", "Atelier", "--clock"];
        let whole = make(&recording, &one, &[&more[..], &["--segment", "0"]].concat());
        assert!(!whole.contains("parts"), "{whole}");
        let told = make(&recording, &three, &[&more[..], &["--segment", "2", "--parallel", "2"]].concat());
        assert!(told.contains("in 4 parts, of which 0 were there already"), "{told}");
        assert!(!told.contains('{'), "people are told in words: {told}");

        let [before, after] = [&one, &three].map(|out| probe(out));
        for (before, after) in
            before["streams"].as_array().unwrap().iter().zip(after["streams"].as_array().unwrap())
        {
            for same in ["codec_name", "codec_tag_string", "width", "r_frame_rate", "nb_frames"] {
                assert_eq!(before[same], after[same], "{name}: {same}");
            }
            let start =
                |stream: &serde_json::Value| stream["start_time"].as_str().unwrap().parse::<f64>().unwrap();
            assert!((start(before) - start(after)).abs() < 0.001, "{name}");
        }
        let long =
            |said: &serde_json::Value| said["format"]["duration"].as_str().unwrap().parse::<f64>().unwrap();
        assert!((long(&before) - long(&after)).abs() < 0.03, "{name}: {} {}", long(&before), long(&after));

        let [one, three] = [one, three].map(|out| Film::open(&out, SIZE));
        assert_eq!((one.len(), three.len()), (180, 180));
        let (apart, picture) = difference(&one, &three);
        assert!(apart < 3.0, "{name}: picture {picture} is {apart} apart");
        for film in [&one, &three] {
            for from in [0.5, 1.5, 3.5, 5.0] {
                let heard = loudness(&film.sound, 440.0, from, from + 1.0 - 0.1);
                assert!((heard - 0.3).abs() < 0.05, "{name}: 440 Hz at {from}: {heard}");
            }
        }
        // No click and no gap where segments meet: the same samples, but for what the last frame adds.
        let most =
            one.sound.iter().zip(&three.sound).map(|(one, three)| (one - three).abs()).fold(0.0, f32::max);
        assert!(most < 0.001, "{name}: {most}");
    }
    let bytes = std::fs::read(temp.below("three-grid.mp4")).unwrap();
    let place = |name: &[u8]| bytes.windows(4).position(|four| four == name).unwrap();
    assert!(place(b"moov") < place(b"mdat"), "the index stands at the front");
}

#[test]
fn a_flash_and_a_click_come_together_in_each_segment() {
    let temp = Temp::new();
    let recording = temp.below("recording");
    let is_dark = |ms: f64| ms % 1980.0 < 990.0;
    let light = |ms: u64| if is_dark(ms as f64) { [30, 128, 128] } else { [220, 128, 128] };
    let click = |seconds: f64| if is_dark(seconds * 1000.0) { 0.0 } else { tone(1000.0)(seconds) };
    let feeds =
        vec![Feed::camera("PA_a", 1, 0, 12_000, light), Feed::microphone("PA_a", 2, 0, 12_000, click)];
    capture(&recording, None, 12_000, &[("PA_a", "Ada", 0, 13_000)], feeds, &[]);
    for name in ["film.mp4", "film.webm"] {
        let out = temp.below(name);
        make(&recording, &out, &["--segment", "4"]);
        let film = Film::open(&out, SIZE);
        let (x, y) = middle(&cells(Arrangement::Grid, CANVAS, 1)[0]);
        let light = |picture: usize| film.colour(picture, x, y)[0] > 128;
        let flashes: Vec<f64> = (1..film.len())
            .filter(|picture| light(*picture) && !light(picture - 1))
            .map(|picture| picture as f64 * 1000.0 / 30.0)
            .collect();
        assert_eq!(flashes.len(), 6, "{flashes:?}");
        let mut skew = 0.0;
        for flash in &flashes {
            let from = ((flash - 300.0) * 48.0) as usize;
            let first = film.sound[from..].iter().position(|sample| sample.abs() > 0.1).unwrap();
            let late = (from + first) as f64 / 48.0 - flash;
            assert!(late.abs() <= 40.0, "{name}: a click {late} ms after its flash at {flash}");
            skew += late / 6.0;
        }
        assert!(skew.abs() <= 20.0, "{name}: sound is {skew} ms late");
    }
}

#[test]
fn whoever_is_killed_leaves_what_is_whole_and_the_next_goes_on_with_it() {
    let temp = Temp::new();
    let (recording, out) = (temp.below("recording"), temp.below("film.mp4"));
    let colour = |ms: u64| if ms < 8000 { RED } else { GREEN };
    let feeds =
        vec![Feed::camera("PA_a", 1, 0, 16_000, colour), Feed::microphone("PA_a", 2, 0, 16_000, tone(440.0))];
    capture(&recording, None, 16_000, &[("PA_a", "Ada", 0, 17_000)], feeds, &[]);
    let more = ["--segment", "1", "--parallel", "1"];
    let start = |made: usize| {
        let piped = Stdio::piped;
        let process = command(&recording, &out, &more).stdout(piped()).stderr(piped()).spawn().unwrap();
        until("parts", || ledger(&out).len() >= made);
        process
    };

    // All of it, by force.
    let mut process = start(4);
    let workers = children(&process);
    process.kill().unwrap();
    process.wait().unwrap();
    until("the end of those who worked", || {
        workers.iter().all(|id| !Path::new(&format!("/proc/{id}")).exists())
    });
    let first = ledger(&out);
    assert!((4..17).contains(&first.len()), "{} parts", first.len());
    assert!(!out.exists());

    // One that works, of whom the others hear.
    let process = start(first.len() + 3);
    let kept = ledger(&out);
    assert!(kept.starts_with(&first), "what was whole is not made again");
    kill(children(&process)[0]);
    let ended = process.wait_with_output().unwrap();
    let told = said(&ended);
    assert_eq!(ended.status.code(), Some(71), "{told}");
    assert!(told.contains("died: signal 9") && told.contains("goes on from there"), "{told}");
    let second = ledger(&out);
    assert!(second.starts_with(&first) && second.len() < 17, "{} parts", second.len());

    // One that is not what it was is made again, and no other.
    let hit = parts(&out).join("segment-00001");
    let mut bytes = std::fs::read(&hit).unwrap();
    let half = bytes.len() / 2;
    bytes[half] ^= 1;
    std::fs::write(&hit, bytes).unwrap();
    let mut process = start(0);
    let mut third = Vec::new();
    while process.try_wait().unwrap().is_none() {
        let now = ledger(&out);
        third = if now.len() > third.len() { now } else { third };
        std::thread::sleep(Duration::from_millis(2));
    }
    let ended = process.wait_with_output().unwrap();
    let told = said(&ended);
    let expected = format!("in 17 parts, of which {} were there already", second.len() - 1);
    assert!(ended.status.success() && told.contains(&expected), "{expected}: {told}");
    let of = |line: &String| line.split('"').nth(3).unwrap().to_owned();
    let (kept, made) = third.split_at(second.len());
    assert_eq!(kept, second);
    let again: Vec<_> =
        made.iter().map(of).filter(|file| kept.iter().any(|line| of(line) == *file)).collect();
    assert_eq!(again, ["segment-00001"]);
    assert_eq!(names(&temp.0), ["film.mp4", "recording"]);

    let film = Film::open(&out, SIZE);
    assert_eq!(film.len(), 480);
    let scenes: [(u64, &[Colour]); 2] = [(0, &[RED]), (8000, &[GREEN])];
    assert_scenes(&film, Arrangement::Grid, &scenes, 100);
    let heard = loudness(&film.sound, 440.0, 1.0, 15.0);
    assert!((heard - 0.3).abs() < 0.05, "{heard}");
}

#[test]
fn another_film_is_begun_anew_and_another_encoder_goes_on() {
    let temp = Temp::new();
    let recording = ada(&temp, 10_000);
    let begin = |out: &Path, more: &[&str]| {
        let mut process =
            command(&recording, out, more).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        until("parts", || ledger(out).len() >= 4);
        process.kill().unwrap();
        process.wait().unwrap();
        ledger(out).len()
    };
    let more = ["--segment", "1", "--parallel", "1", "--encoder", "x264enc"];
    let other = temp.below("other.mp4");
    begin(&other, &more);
    let told = make(&recording, &other, &[&more[..], &["--title", "Atelier"]].concat());
    assert!(told.contains("in 11 parts, of which 0 were there already"), "{told}");

    let mixed = temp.below("mixed.mp4");
    let there = begin(&mixed, &more);
    assert!(there < 11, "{there}");
    let told = make(&recording, &mixed, &["--segment", "1", "--parallel", "1", "--encoder", "openh264enc"]);
    assert!(told.contains(&format!("in 11 parts, of which {there} were there already")), "{told}");
    let streams = probe(&mixed)["streams"].clone();
    assert_eq!(streams[0]["codec_tag_string"], "avc3", "their parameters stand in the stream");
    let film = Film::open(&mixed, SIZE);
    assert_eq!(film.len(), 300);
    assert_scenes(&film, Arrangement::Grid, &[(0, &[RED])], 0);
    assert_eq!(probe(&other)["streams"][0]["codec_tag_string"], "avc1");
}

#[test]
fn what_is_made_beside_a_film_is_made_beside_one_in_parts() {
    let (temp, identity) = (Temp::new(), Identity::generate().unwrap());
    let recording = temp.below("recording");
    let feeds = vec![
        Feed::microphone("PA_a", 1, 0, 6000, tone(440.0)),
        Feed::camera("PA_b", 2, 2500, 6000, |_| BLUE),
    ];
    capture(&recording, None, 6000, &[("PA_a", "Ada", 0, 9000), ("PA_b", "Bob", 2500, 9000)], feeds, &[]);
    let folder = temp.below("films");
    std::fs::create_dir(&folder).unwrap();
    let speakers = temp.below("speakers");
    let (first, every) = (folder.join("first.mp4"), folder.join("every.mp4"));
    let recipient = identity.recipient().to_string();
    let told = make(&recording, &every, &["--segment", "2", "--thumbnails-every", "1", "--seal", &recipient]);
    assert_eq!(told.matches("sealed: ").count(), 7, "{told}");
    let sealed = names(&folder);
    let expected: Vec<String> = (1..=6).map(|number| format!("every-{number:04}.jpg.age")).collect();
    assert_eq!(sealed, [&expected[..], &["every.mp4.age".to_owned()]].concat());
    sealed.iter().for_each(|name| std::fs::remove_file(folder.join(name)).unwrap());

    let told = make(
        &recording,
        &first,
        &["--segment", "2", "--thumbnail", "--chapters", "--speakers", speakers.to_str().unwrap()],
    );
    assert_eq!(told.matches("beside it: ").count(), 3, "{told}");
    assert_eq!(names(&folder), ["first.chapters.vtt", "first.jpg", "first.mp4"]);
    assert_eq!(names(&speakers), ["001-ada.wav"]);
    let still = Film::open_still(&folder.join("first.jpg"), SIZE);
    let (x, y) = middle(&cells(Arrangement::Grid, CANVAS, 2)[1]);
    assert!(is_near(still.colour(0, x, y), BLUE), "{:?}", still.colour(0, x, y));
}

#[test]
fn what_goes_wrong_in_a_part_is_told_by_whom_it_was_asked_of() {
    let temp = Temp::new();
    let (recording, out) = (temp.below("recording"), temp.below("film.mp4"));
    let feeds = vec![Feed::camera("PA_a", 1, 0, 6000, |_| RED), Feed::camera("PA_b", 2, 0, 6000, |_| GREEN)];
    capture(&recording, None, 6000, &[("PA_a", "Ada", 0, 9000), ("PA_b", "Bob", 0, 9000)], feeds, &[]);
    let refused = |more: &[&str]| {
        let output = command(&recording, &out, more).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        said(&output)
    };
    let told = refused(&["--segment", "2", "--layout", "single", "--participant", "dora"]);
    assert!(
        told.contains("no participant \"dora\" in the recording; there are 2: \"ada\", \"bob\""),
        "{told}"
    );
    assert!(!out.exists());

    // What is damaged is left out from there on, in segments that begin behind it as well, and noted once.
    let hit = recording.join("TR_1-000.mkv");
    let mut bytes = std::fs::read(&hit).unwrap();
    let half = bytes.len() / 2;
    bytes[half..].fill(0xff);
    std::fs::write(&hit, bytes).unwrap();
    let told = make(&recording, &out, &["--segment", "1", "--parallel", "3"]);
    assert_eq!(told.matches("left out from there on: TR_1-000.mkv: byte ").count(), 1, "{told}");
    assert_scenes(&Film::open(&out, SIZE), Arrangement::Grid, &[(0, &[RED, GREEN])], 0);
    let told = refused(&["--segment", "2"]);
    assert!(told.contains("film.mp4: it exists already"), "{told}");
}
