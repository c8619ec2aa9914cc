// SPDX-License-Identifier: EUPL-1.2
//! Films of rooms that are still there: real media into a worker's process, and what comes out of it in files and in the FIFO.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

#[path = "support/stand_ins.rs"]
#[allow(dead_code, reason = "another test takes the rest")]
mod stand_ins;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::libc;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use parvis_jobs::{
    Codec, Hls, Images, Live, LiveLayout, LiveProgress, Rendition, Segment, SegmentKind, Start, StopReason,
    ToServer, ToWorker, UnixMicros,
};
use parvis_media::capture::{Capture, Settings};
use parvis_media::compose::layout::{Arrangement, cells};
use parvis_media::compose::live::Studio;
use parvis_media::hardware::{Candidate, Encoders};
use parvis_media::recording;
use stand_ins::Fault;
use support::film::{
    BLUE, CANVAS, Feed, Film, GREEN, RED, SIZE, assert_seen_from, is_near, loudness, names, perform, probe,
    tone,
};
use support::worker::{Worker, capture, now};
use support::{Temp, start};

/// The least of it, in the tests' size.
fn live(layout: LiveLayout) -> Live {
    Live {
        layout,
        subject: None,
        subject_track: None,
        width: SIZE.0,
        height: SIZE.1,
        rate: 30,
        kbits: 800,
        title: None,
        clock: false,
        watermark: None,
        hls: None,
        stream: false,
        images: None,
        first_sequence: 0,
        first_image: 0,
    }
}

fn hls(sizes: &[(&str, u32, u32)], part_millis: u32) -> Option<Hls> {
    let renditions = sizes.iter().map(|(name, width, height)| Rendition {
        name: (*name).to_owned(),
        width: *width,
        height: *height,
        kbits: 800,
    });
    Some(Hls { renditions: renditions.collect(), segment_millis: 1000, part_millis, keep_segments: 0 })
}

/// Each test takes what this machine has: one at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A worker that composes, in a directory that has what a server makes first.
fn composing(directory: &Path, live: Live, capture_too: bool) -> Worker {
    fs::create_dir_all(directory.join("live")).unwrap();
    if live.stream {
        let _ = mkfifo(&directory.join("live/stream.ts"), Mode::S_IRUSR | Mode::S_IWUSR);
    }
    let mut command = capture(directory);
    command.arg("--live");
    let mut worker = Worker::spawn(command);
    let order = Start {
        started_at: UnixMicros(now()),
        capture: capture_too,
        live: Some(live),
        ..start(directory, None)
    };
    let confinement = worker.greet(&order);
    assert!(confinement.missing.is_empty(), "{confinement:?}");
    assert_eq!(worker.next(), Some(ToServer::Started));
    worker
}

/// What a worker told of its files.
struct Told {
    segments: Vec<Segment>,
    progress: LiveProgress,
    images: Vec<(String, UnixMicros)>,
}

fn told(said: &[ToServer]) -> Told {
    assert!(
        matches!(said.last(), Some(ToServer::Stopped { reason: StopReason::Requested, .. })),
        "{:?}",
        said.last()
    );
    let mut told = Told { segments: Vec::new(), progress: LiveProgress::default(), images: Vec::new() };
    for message in said {
        match message {
            ToServer::Segment(segment) => told.segments.push(segment.clone()),
            ToServer::Image { name, at, .. } => told.images.push((name.clone(), *at)),
            ToServer::Progress { live, .. } => told.progress = live.unwrap_or(told.progress),
            ToServer::LiveFailed(failure) => panic!("{failure}"),
            _ => {}
        }
    }
    told
}

impl Told {
    fn of(&self, rendition: &str, kind: SegmentKind) -> Vec<&Segment> {
        self.segments.iter().filter(|one| one.rendition == rendition && one.kind == kind).collect()
    }

    /// A rendition as a player has it: the initialization section, and all segments behind it.
    fn joined(&self, directory: &Path, rendition: &str) -> PathBuf {
        let files =
            self.of(rendition, SegmentKind::Init).into_iter().chain(self.of(rendition, SegmentKind::Segment));
        let bytes: Vec<u8> =
            files.flat_map(|file| fs::read(directory.join("live").join(&file.name)).unwrap()).collect();
        let path = directory.join(format!("{rendition}.mp4"));
        fs::write(&path, bytes).unwrap();
        path
    }

    /// The picture of a film that is that of a moment.
    fn picture_at(&self, rendition: &str, moment: UnixMicros) -> usize {
        let first = self.of(rendition, SegmentKind::Segment).first().unwrap().at.unwrap();
        usize::try_from((moment.since(first) * 30 + 500_000) / 1_000_000).unwrap()
    }
}

/// Pictures at an even rate, where a slow machine may have left some out, and sound, in one file.
fn even(directory: &Path, pictures: &Path, sound: &Path) -> Film {
    let film = directory.join("even.mkv");
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-i", pictures.to_str().unwrap(), "-i", sound.to_str().unwrap()])
        .args(["-map", "0:v", "-map", "1:a", "-vsync", "cfr", "-r", "30", "-c:v", "ffv1", "-c:a", "copy"])
        .arg(&film)
        .output()
        .unwrap();
    assert!(made.status.success() && made.stderr.is_empty(), "{made:?}");
    Film::open(&film, SIZE)
}

/// Boxes in bytes, each with its content.
fn boxes(mut bytes: &[u8]) -> Vec<(&[u8], &[u8])> {
    let mut found = Vec::new();
    while let Some((length, _)) = bytes.split_first_chunk::<4>() {
        let (one, rest) = bytes.split_at(u32::from_be_bytes(*length) as usize);
        found.push((&one[4..8], &one[8..]));
        bytes = rest;
    }
    found
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(*bytes[at..].first_chunk().unwrap())
}

/// Each chunk begins where the one before ended, whatever was left out: then a picture is shown for longer. Says how many
/// pictures' time there is in all.
fn assert_gapless(film: &[u8]) -> u64 {
    let mut end = None;
    for (_, moof) in boxes(film).into_iter().filter(|(kind, _)| *kind == b"moof") {
        for (_, traf) in boxes(moof).into_iter().filter(|(kind, _)| *kind == b"traf") {
            let of = |kind: &[u8]| boxes(traf).into_iter().find(|one| one.0 == kind).unwrap().1;
            let (tfdt, trun) = (of(b"tfdt"), of(b"trun"));
            let time = u64::from(word(tfdt, 4)) << 32 | u64::from(word(tfdt, 8));
            assert!(end.is_none_or(|end| end == time), "a chunk at {time} behind {end:?}");
            let lasts = (0..word(trun, 4) as usize).map(|sample| u64::from(word(trun, 12 + 12 * sample)));
            end = Some(time + lasts.sum::<u64>());
        }
    }
    end.unwrap() / 1000
}

/// What ffprobe says of each packet: its time, how long it lasts, and whether decoding can begin with it.
fn packets(path: &Path) -> Vec<(f64, f64, bool)> {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-of", "json", "-show_packets", path.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let number =
        |packet: &serde_json::Value, name: &str| packet[name].as_str().unwrap().parse::<f64>().unwrap();
    let packets = said["packets"].as_array().unwrap().iter().map(|packet| {
        let key = packet["flags"].as_str().unwrap().starts_with('K');
        (number(packet, "pts_time"), number(packet, "duration_time"), key)
    });
    packets.collect()
}

#[test]
fn a_room_is_seen_and_heard_while_it_is_there_in_all_sizes_and_in_the_stream() {
    let _alone = alone();
    // Each picture is looked at where none was left out; on a machine that other work keeps busy, that takes another try.
    let in_time = (0..3).any(|_| room_is_seen_and_heard());
    assert!(
        in_time,
        "pictures were left out in three rounds: this machine is too slow to look at each of them"
    );
}

/// Whether no picture was left out, and so each was looked at.
fn room_is_seen_and_heard() -> bool {
    let temp = Temp::new();
    let asked = Live {
        hls: hls(&[("180p", 320, 180), ("90p", 160, 90)], 250),
        stream: true,
        images: Some(Images { every_millis: 2000, width: 160, height: 90 }),
        ..live(LiveLayout::Grid)
    };
    let mut worker = composing(&temp.0, asked, true);
    let mut feeds = [
        Feed::camera("PA_a", 1, 0, 10_000, |_| RED),
        Feed::microphone("PA_a", 2, 0, 10_000, tone(440.0)),
        Feed::camera("PA_b", 3, 3000, 6000, |_| GREEN),
        Feed::microphone("PA_b", 4, 3000, 6000, tone(1000.0)),
        Feed::camera("PA_c", 5, 6500, 10_000, |_| BLUE),
    ];
    let people = [("PA_a", "Ada", 0, 11_000), ("PA_b", "Bob", 3000, 6000), ("PA_c", "Cleo", 6500, 11_000)];
    let mut reader = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(temp.below("live/stream.ts"))
        .unwrap();
    let (mut stream, mut buf) = (Vec::new(), vec![0; 1 << 16]);
    let (zero, said) = perform(&mut worker, 10_000, &people, &mut feeds, &[(100, "PA_a")], |now, worker| {
        if now == 8000 {
            worker.say(&ToWorker::Layout { layout: LiveLayout::Speaker, subject: None });
        }
        while let Ok(bytes @ 1..) = reader.read(&mut buf) {
            stream.extend_from_slice(&buf[..bytes]);
        }
    });
    let told = told(&said);
    let sound = told.joined(&temp.0, "audio");
    for (rendition, width, height) in [("180p", 320, 180), ("90p", 160, 90)] {
        let film = told.joined(&temp.0, rendition);
        let streams = probe(&film)["streams"].clone();
        assert_eq!(
            (&streams[0]["codec_name"], &streams[0]["width"], &streams[0]["height"]),
            (&"h264".into(), &width.into(), &height.into())
        );
        let init = told.of(rendition, SegmentKind::Init);
        assert_eq!(init.len(), 1);
        assert!(init[0].codec.as_ref().unwrap().starts_with("avc1."), "{init:?}");
        let packets = packets(&film);
        assert_eq!((packets[0].0, packets[0].2), (0.0, true));
        assert_gapless(&fs::read(&film).unwrap());
        for segment in told.of(rendition, SegmentKind::Segment) {
            assert!(segment.independent && !segment.discontinuity, "{segment:?}");
            let parts = told.of(rendition, SegmentKind::Part);
            let parts: Vec<_> = parts.into_iter().filter(|part| part.sequence == segment.sequence).collect();
            assert_eq!(parts.iter().map(|part| part.bytes).sum::<u64>(), segment.bytes);
            assert_eq!(
                parts.iter().map(|part| part.duration_micros).sum::<u64>().abs_diff(segment.duration_micros)
                    / 10,
                0
            );
            let begins =
                packets.iter().any(|(at, _, key)| *key && (at - segment.sequence as f64).abs() < 0.001);
            assert!(begins, "segment {} has no key frame", segment.sequence);
        }
    }
    // All renditions are cut at the same times; the sound within a frame of it.
    let starts = |rendition| -> BTreeMap<u64, UnixMicros> {
        told.of(rendition, SegmentKind::Segment).iter().map(|one| (one.sequence, one.at.unwrap())).collect()
    };
    let (pictures, heard) = (starts("180p"), starts("audio"));
    assert_eq!(pictures, starts("90p"));
    assert!(pictures.len() >= 10, "{pictures:?}");
    for (sequence, at) in &pictures {
        assert!(
            (0..=21_334).contains(&heard[sequence].since(*at)),
            "{sequence}: {at:?} {:?}",
            heard[sequence]
        );
    }

    let film = even(&temp.0, &told.joined(&temp.0, "180p"), &sound);
    let (grid, large) = (Arrangement::Grid, Arrangement::Speaker);
    let scenes: [(u64, Arrangement, &[_]); 5] = [
        (0, grid, &[RED]),
        (3000, grid, &[RED, GREEN]),
        (6000, grid, &[RED]),
        (6500, grid, &[RED, BLUE]),
        // It is laid out anew at once, and what is seen then is what was so much earlier.
        (7300, large, &[RED, BLUE]),
    ];
    let first = told.picture_at("180p", zero);
    let scenes = scenes.map(|(from, how, what)| (u64::saturating_sub(from, 266), how, what));
    if told.progress.dropped_pictures == 0 {
        assert_seen_from(&film, first + 8, &scenes, 500);
    }
    // On a machine that is too slow, decoders are late as well; what each scene comes to is the same.
    let ends = scenes.iter().skip(1).map(|(from, ..)| *from).chain([9500]);
    for ((_, how, colours), end) in scenes.iter().zip(ends) {
        let picture = first + 8 + usize::try_from((end - 200) * 30 / 1000).unwrap();
        for (cell, colour) in cells(*how, CANVAS, colours.len()).iter().zip(*colours) {
            let (x, y) = support::film::middle(cell);
            assert!(is_near(film.colour(picture, x, y), *colour), "before {end} ms: {colours:?}");
        }
    }
    // Names stand under the pictures, bright on their strips.
    let label = cells(grid, CANVAS, 1)[0].label;
    let bright = (label.x..label.x + label.width / 2)
        .flat_map(|x| (label.y..label.y + label.height).map(move |y| (x, y)))
        .filter(|(x, y)| film.colour(first + 60, *x, *y)[0] > 150);
    assert!(bright.count() > 20, "no name is seen");
    let begin = first as f64 / 30.0;
    let loud = |hertz, from: f64, to: f64| loudness(&film.sound, hertz, begin + from, begin + to);
    assert!((loud(440.0, 1.0, 2.8) - 0.3).abs() < 0.06, "{}", loud(440.0, 1.0, 2.8));
    assert!((loud(1000.0, 3.3, 5.7) - 0.3).abs() < 0.06 && loud(1000.0, 0.3, 2.7) < 0.02);
    assert!(loud(1000.0, 6.4, 9.0) < 0.02 && loud(440.0, 6.4, 9.0) > 0.25);

    assert!(told.images.len() >= 5, "{:?}", told.images);
    let third = Film::open_still(&temp.below("live").join(&told.images[3].0), (160, 90));
    assert!(is_near(third.colour(0, 40, 40), RED), "{:?}", third.colour(0, 40, 40));

    assert_eq!(stream.len() % 188, 0);
    let path = temp.below("stream.ts");
    fs::write(&path, &stream).unwrap();
    let streams = probe(&path)["streams"].as_array().unwrap().clone();
    let kinds: Vec<_> = streams.iter().map(|stream| stream["codec_name"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["h264", "aac"]);
    let pushed = even(&temp.0, &path, &path);
    assert!(pushed.len() > 200, "{}", pushed.len());
    let somewhere = pushed.len() / 8;
    assert!(is_near(pushed.colour(somewhere, 160, 80), RED));
    assert!(loudness(&pushed.sound, 440.0, 1.0, 2.0) > 0.25);

    // The capture is as it would be without all this.
    let mut checked = recording::verify(&temp.0, &[]).unwrap();
    checked.retain(|file| {
        !file.name.ends_with(".mp4") && !file.name.starts_with("stream") && !file.name.starts_with("even")
    });
    assert_eq!(checked.len(), 1 + 5, "{checked:?}");
    assert!(checked.iter().all(|file| file.state == recording::State::Whole), "{checked:?}");
    told.progress.dropped_pictures == 0
}

#[test]
fn a_clap_is_seen_when_it_is_heard() {
    let _alone = alone();
    let temp = Temp::new();
    let mut worker =
        composing(&temp.0, Live { hls: hls(&[("180p", 320, 180)], 0), ..live(LiveLayout::Grid) }, false);
    // White for a frame and a tone for as long, once a second.
    let is_clap = |ms: u64| ms % 990 < 66 && ms > 500;
    let camera = Feed::camera(
        "PA_a",
        1,
        0,
        8000,
        move |ms| if is_clap(ms) { [235, 128, 128] } else { [16, 128, 128] },
    );
    let clap = tone(2000.0);
    let microphone = Feed::microphone("PA_a", 2, 0, 8000, move |seconds| {
        if is_clap((seconds * 1000.0) as u64) { clap(seconds) * 2.0 } else { 0.0 }
    });
    let (_, said) =
        perform(&mut worker, 8000, &[("PA_a", "Ada", 0, 9000)], &mut [camera, microphone], &[], |_, _| {});
    let told = told(&said);
    assert!(told.of("180p", SegmentKind::Part).is_empty());
    let film = even(&temp.0, &told.joined(&temp.0, "180p"), &told.joined(&temp.0, "audio"));
    let bright = |picture: usize| film.colour(picture, 160, 80)[0] > 125;
    let flashes: Vec<f64> =
        (1..film.len()).filter(|one| bright(*one) && !bright(one - 1)).map(|one| one as f64 / 30.0).collect();
    let mut claps: Vec<f64> = Vec::new();
    for (place, sample) in film.sound.iter().enumerate() {
        let at = place as f64 / 48_000.0;
        if sample.abs() > 0.2 && claps.last().is_none_or(|last| at - last > 0.5) {
            claps.push(at);
        }
    }
    assert!(claps.len() >= 6 && claps.len() == flashes.len(), "{flashes:?} {claps:?}");
    for (seen, heard) in flashes.iter().zip(&claps) {
        assert!((seen - heard).abs() <= 0.040, "seen at {seen}, heard at {heard}");
    }
}

#[test]
fn what_breaks_or_stops_stops_nobody_else() {
    let _alone = alone();
    let temp = Temp::new();
    let asked = Live { hls: hls(&[("180p", 320, 180)], 500), stream: true, ..live(LiveLayout::Grid) };
    let mut worker = composing(&temp.0, asked, false);
    // Somebody opens the FIFO and never reads. Bob's pictures freeze after a second, and Cleo's are none.
    let _reader = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(temp.below("live/stream.ts"))
        .unwrap();
    let mut broken = support::Sender::new("TR_9", Codec::Vp8, 9);
    broken.source.participant = "PA_c".to_owned();
    broken.source.at = UnixMicros(now());
    worker.say(&ToWorker::Source(Box::new(broken.source.clone())));
    let mut frozen = Feed::camera("PA_b", 3, 0, 8000, |_| GREEN);
    frozen.muted = Some((1000, 9000));
    let mut feeds = [
        Feed::camera("PA_a", 1, 0, 8000, |ms| if ms < 4000 { RED } else { BLUE }),
        frozen,
        Feed::microphone("PA_a", 2, 0, 8000, tone(440.0)),
    ];
    let people = [("PA_a", "Ada", 0, 9000), ("PA_b", "Bob", 0, 9000)];
    let (zero, said) = perform(&mut worker, 8000, &people, &mut feeds, &[], |now, worker| {
        if now % 40 == 0 {
            for packet in broken.picture(now % 400 == 0, 320, 180, 3000) {
                worker.media.send(&packet).unwrap();
            }
            broken.step(3600);
        }
    });
    let told = told(&said);
    assert!(told.of("180p", SegmentKind::Segment).len() >= 8);
    let film = even(&temp.0, &told.joined(&temp.0, "180p"), &told.joined(&temp.0, "audio"));
    let first = told.picture_at("180p", zero);
    // In whichever seat she is, Ada is seen, and changes when she does.
    let seen = |colour, ms: usize| {
        let cells = cells(Arrangement::Grid, CANVAS, 3);
        let middles = cells.iter().map(support::film::middle);
        middles.into_iter().any(|(x, y)| is_near(film.colour(first + ms * 30 / 1000, x, y), colour))
    };
    assert!(seen(RED, 1500) && seen(RED, 3500) && !seen(BLUE, 3500));
    assert!(seen(BLUE, 4700) && seen(BLUE, 7500) && !seen(RED, 7500));
    let begin = first as f64 / 30.0;
    assert!(loudness(&film.sound, 440.0, begin + 1.0, begin + 7.0) > 0.25);
}

#[test]
fn sound_alone_goes_on_behind_a_restart_and_nothing_is_kept_beside_it() {
    let _alone = alone();
    let temp = Temp::new();
    let asked = Live { hls: hls(&[], 0), stream: true, first_sequence: 7, ..live(LiveLayout::Audio) };
    let mut worker = composing(&temp.0, asked, false);
    let mut reader = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(temp.below("live/stream.ts"))
        .unwrap();
    let (mut stream, mut buf) = (Vec::new(), vec![0; 1 << 16]);
    let mut feeds =
        [Feed::microphone("PA_a", 2, 0, 4000, tone(440.0)), Feed::camera("PA_a", 1, 0, 4000, |_| RED)];
    let (_, said) = perform(&mut worker, 4000, &[("PA_a", "Ada", 0, 9000)], &mut feeds, &[], |_, _| {
        while let Ok(bytes @ 1..) = reader.read(&mut buf) {
            stream.extend_from_slice(&buf[..bytes]);
        }
    });
    let Some(ToServer::Stopped { files, .. }) = said.last() else { panic!("{:?}", said.last()) };
    assert!(files.is_empty(), "{files:?}");
    assert_eq!(names(&temp.0), ["live"], "nothing of the room is kept");
    let told = told(&said);
    let segments: Vec<_> =
        told.of("audio", SegmentKind::Segment).iter().map(|one| (one.sequence, one.discontinuity)).collect();
    assert_eq!(segments[..4], [(7, true), (8, false), (9, false), (10, false)]);
    assert_eq!(told.of("audio", SegmentKind::Init)[0].name, "audio-7.init.mp4");
    let film = told.joined(&temp.0, "audio");
    assert!(loudness(&support::film::sound(&film), 440.0, 1.5, 3.0) > 0.25);
    let path = temp.below("stream.ts");
    fs::write(&path, &stream).unwrap();
    assert!(loudness(&support::film::sound(&path), 440.0, 1.5, 2.5) > 0.25);
}

#[test]
fn a_worker_that_was_not_made_ready_for_it_says_so_and_captures() {
    let _alone = alone();
    let temp = Temp::new();
    let order =
        Start { started_at: UnixMicros(now()), live: Some(live(LiveLayout::Grid)), ..start(&temp.0, None) };
    let mut worker = Worker::recording(&order);
    let Some(ToServer::LiveFailed(failure)) = worker.next() else { panic!("not told") };
    assert!(failure.remedy.contains("--live"), "{failure}");
    worker.say(&ToWorker::Stop { reason: StopReason::Requested });
    assert!(matches!(worker.last_word(), ToServer::Stopped { files, .. } if files.len() == 2));
}

/// A film of an empty room for `ms`, by these encoders in this process.
fn empty(directory: &Path, encoders: &[&str], ms: u64) -> Vec<ToServer> {
    let order = Start { started_at: UnixMicros(now()), capture: false, ..start(directory, None) };
    let asked = Live { hls: hls(&[("180p", 320, 180), ("90p", 160, 90)], 250), ..live(LiveLayout::Grid) };
    fs::create_dir_all(directory.join("live")).unwrap();
    let settings = Settings::default();
    let at = || UnixMicros(now());
    let mut capture = Capture::start(&order, directory, "test", settings, at()).unwrap();
    let encoders = Encoders::of(encoders.iter().map(|factory| Candidate::named(factory).unwrap()));
    let studio = Studio { encoders: Some(encoders), wait_micros: settings.jitter.wait_micros };
    capture.tap(parvis_media::compose::live::start(&asked, directory, order.started_at, &studio, at));
    let (mut said, end) = (Vec::new(), Instant::now() + Duration::from_millis(ms));
    while Instant::now() < end {
        capture.tick(at());
        said.extend(capture.outgoing());
        std::thread::sleep(Duration::from_millis(5));
    }
    capture.message(at(), ToWorker::Stop { reason: StopReason::Requested });
    said.extend(capture.outgoing());
    said
}

#[test]
fn where_an_encoder_fails_another_goes_on_behind_a_discontinuity_in_all_renditions() {
    let _alone = alone();
    let temp = Temp::new();
    stand_ins::register("nvh264enc", Fault::FailsAt(40));
    let said = empty(&temp.0, &["nvh264enc", "x264enc"], 5000);
    let told = told(&said);
    assert_eq!(told.progress.switches, 2);
    let anew = told.segments.iter().filter(|one| one.discontinuity).map(|one| one.sequence);
    let anew: BTreeSet<u64> = anew.collect();
    assert_eq!(anew.len(), 1, "{anew:?}");
    let anew = *anew.first().unwrap();
    assert!((2..4).contains(&anew), "{anew}");
    for rendition in ["180p", "90p", "audio"] {
        let of = |kind| told.of(rendition, kind);
        assert!(
            of(SegmentKind::Segment)
                .iter()
                .all(|one| one.discontinuity == (one.sequence == anew) && one.independent)
        );
        if rendition == "audio" {
            continue;
        }
        let inits: Vec<_> = of(SegmentKind::Init).iter().map(|one| one.sequence).collect();
        assert_eq!(inits, [0, anew]);
        // Before and behind it all pictures are there and can be decoded, those of both encoders in one segment too.
        for init in of(SegmentKind::Init) {
            let segments: Vec<_> = of(SegmentKind::Segment)
                .into_iter()
                .filter(|one| (one.sequence >= anew) == (init.sequence == anew))
                .collect();
            let files = std::iter::once(init).chain(segments.iter().copied());
            let bytes: Vec<u8> =
                files.flat_map(|one| fs::read(temp.below("live").join(&one.name)).unwrap()).collect();
            let path = temp.below("film.mp4");
            fs::write(&path, bytes).unwrap();
            let decoded = Command::new("ffprobe")
                .args([
                    "-v",
                    "error",
                    "-count_frames",
                    "-show_entries",
                    "stream=nb_read_frames",
                    "-of",
                    "csv=p=0",
                ])
                .arg(&path)
                .output()
                .unwrap();
            let micros: u64 = segments.iter().map(|one| one.duration_micros).sum();
            let frames: usize = String::from_utf8(decoded.stdout).unwrap().trim().parse().unwrap();
            let packets = packets(&path);
            assert_eq!(frames, packets.len(), "{rendition} from {}", init.sequence);
            // A machine that is too slow may have left some out: then those before them are shown for longer.
            let from = segments.first().map_or(0, |one| one.sequence * 30);
            let shown = assert_gapless(&fs::read(&path).unwrap()) - from;
            assert_eq!(shown, (micros * 30 + 500_000) / 1_000_000);
            assert!(frames * 2 > shown as usize, "{frames} of {shown}");
            assert!(decoded.stderr.is_empty(), "{}", String::from_utf8_lossy(&decoded.stderr));
        }
    }
}

#[test]
fn who_is_too_slow_leaves_pictures_out_and_is_back_in_time() {
    let _alone = alone();
    let temp = Temp::new();
    stand_ins::register("nvcudah264enc", Fault::HangsAt(25));
    let said = empty(&temp.0, &["nvcudah264enc", "x264enc"], 14_000);
    let told = told(&said);
    assert_eq!(told.progress.switches, 2);
    assert!((20..400).contains(&told.progress.dropped_pictures), "{:?}", told.progress);
    assert!(told.progress.behind_micros < 500_000, "it is back: {:?}", told.progress);
    // What was left out is no gap: the picture before is shown for longer.
    let of = |kind| told.of("180p", kind);
    let anew = of(SegmentKind::Init).get(1).map_or(u64::MAX, |init| init.sequence);
    let first = of(SegmentKind::Segment).into_iter().filter(|one| one.sequence < anew);
    let bytes: Vec<u8> =
        first.flat_map(|one| fs::read(temp.below("live").join(&one.name)).unwrap()).collect();
    assert_gapless(&bytes);
    let sound: u64 = told.of("audio", SegmentKind::Segment).iter().map(|one| one.duration_micros).sum();
    let pictures: u64 = told.of("180p", SegmentKind::Segment).iter().map(|one| one.duration_micros).sum();
    assert!(sound.abs_diff(pictures) < 60_000, "{sound} {pictures}");
}
