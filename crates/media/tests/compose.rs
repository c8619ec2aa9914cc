// SPDX-License-Identifier: EUPL-1.2
//! Films of captures: what was seen and heard in the meeting is seen and heard in them, where and when it was.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod support;

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use parvis_jobs::Codec;
use parvis_media::age::Identity;
use parvis_media::compose::layout::{Arrangement, Cell, cells};
use parvis_media::compose::{ComposeError, Format, Layout, Options, compose};
use support::Temp;
use support::film::{
    BLUE, CANVAS, Colour, Feed, Film, GREEN, PLACEHOLDER, RED, SIZE, add_track, assert_scenes, capture,
    loudness, middle, options, probe, sound, tone,
};

#[test]
fn a_grid_shows_who_is_there_and_lets_all_be_heard() {
    let (temp, identity) = (Temp::new(), Identity::generate().unwrap());
    let (recording, out) = (temp.below("recording"), temp.below("film.mp4"));
    let mut ada = Feed::camera("PA_a", 1, 0, 8000, |_| RED);
    ada.muted = Some((4000, 3 * Feed::KEYS));
    let feeds = vec![
        ada,
        Feed::microphone("PA_a", 2, 0, 8000, tone(440.0)),
        Feed::camera("PA_b", 3, 2500, 7000, |_| GREEN),
        Feed::microphone("PA_b", 4, 2500, 7000, tone(1000.0)),
    ];
    let people = [("PA_a", "Ada", 0, 9000), ("PA_b", "Bob", 2500, 7000)];
    capture(&recording, Some(&identity), 8000, &people, feeds, &[]);

    let film = compose(&recording, &out, &[identity], &options(Layout::Grid)).unwrap();
    assert_eq!((film.duration, film.notes), (8_000_000, vec![]));
    let said = probe(&out);
    let streams = said["streams"].as_array().unwrap();
    let kinds: Vec<_> = streams.iter().map(|stream| stream["codec_name"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["h264", "aac"]);
    assert_eq!((&streams[0]["width"], &streams[0]["height"]), (&320.into(), &180.into()));
    for stream in streams {
        let number = |name: &str| stream[name].as_str().unwrap().parse::<f64>().unwrap();
        assert!(number("start_time").abs() < 0.03, "{stream}");
        assert!((number("duration") - 8.0).abs() < 0.05, "{stream}");
    }
    let bytes = std::fs::read(&out).unwrap();
    let place = |name: &[u8]| bytes.windows(4).position(|four| four == name).unwrap();
    assert!(place(b"moov") < place(b"mdat"), "the index stands at the front");
    assert_eq!(std::fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o600);
    let left: Vec<_> = std::fs::read_dir(&temp.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");

    let film = Film::open(&out, SIZE);
    assert_eq!(film.len(), 240);
    let scenes: [(u64, &[Colour]); 5] = [
        (0, &[RED]),
        (2500, &[RED, GREEN]),
        (4000, &[PLACEHOLDER, GREEN]),
        (3 * Feed::KEYS, &[RED, GREEN]),
        (7000, &[RED]),
    ];
    assert_scenes(&film, Arrangement::Grid, &scenes, 100);
    let heard = |hertz, from| loudness(&film.sound, hertz, from, from + 1.0);
    for from in [0.5, 3.0, 4.5, 6.5] {
        assert!((heard(440.0, from) - 0.3).abs() < 0.05, "440 Hz from {from}: {}", heard(440.0, from));
    }
    assert!((heard(1000.0, 4.5) - 0.3).abs() < 0.05, "{}", heard(1000.0, 4.5));
    for silent in [0.5, 1.4] {
        assert!(heard(1000.0, silent) < 0.01, "1000 Hz at {silent}: {}", heard(1000.0, silent));
    }
    assert!(loudness(&film.sound, 1000.0, 7.1, 7.9) < 0.01);
}

#[test]
fn a_flash_and_a_click_come_together() {
    let temp = Temp::new();
    let recording = temp.below("recording");
    let white = |ms: u64| if ms % 1980 < 990 { [30, 128, 128] } else { [220, 128, 128] };
    let click = |seconds: f64| {
        if (seconds * 1000.0) % 1980.0 < 990.0 { 0.0 } else { tone(1000.0)(seconds) }
    };
    let feeds =
        vec![Feed::camera("PA_a", 1, 0, 12_000, white), Feed::microphone("PA_a", 2, 0, 12_000, click)];
    capture(&recording, None, 12_000, &[("PA_a", "Ada", 0, 13_000)], feeds, &[]);
    for (name, format) in [("film.mp4", Format::Mp4), ("film.webm", Format::Webm)] {
        let out = temp.below(name);
        compose(&recording, &out, &[], &Options { format, ..options(Layout::Grid) }).unwrap();
        assert_together(&Film::open(&out, SIZE));
    }
}

/// Six flashes and six clicks, each with its own.
fn assert_together(film: &Film) {
    let (x, y) = middle(&cells(Arrangement::Grid, CANVAS, 1)[0]);
    let light = |picture: usize| film.colour(picture, x, y)[0] > 128;
    let flashes = (1..film.len()).filter(|picture| light(*picture) && !light(picture - 1));
    let loud = |number: usize| film.sound[number..number + 480].iter().any(|sample| sample.abs() > 0.1);
    let blocks =
        (1..film.sound.len() / 480 - 1).filter(|block| loud(block * 480) && !loud((block - 1) * 480));
    let flashes: Vec<f64> = flashes.map(|picture| picture as f64 * 1000.0 / 30.0).collect();
    let clicks: Vec<f64> = blocks
        .map(|block| {
            let first = film.sound[block * 480..].iter().position(|sample| sample.abs() > 0.1).unwrap();
            (block * 480 + first) as f64 / 48.0
        })
        .collect();
    assert_eq!((flashes.len(), clicks.len()), (6, 6), "{flashes:?} {clicks:?}");
    for (flash, click) in flashes.iter().zip(&clicks) {
        assert!((flash - click).abs() <= 40.0, "flash at {flash} ms, click at {click} ms");
    }
    let skew: f64 = flashes.iter().zip(&clicks).map(|(flash, click)| click - flash).sum::<f64>() / 6.0;
    assert!(skew.abs() <= 20.0, "sound is {skew} ms late: {flashes:?} {clicks:?}");
}

#[test]
fn the_speaker_is_large_and_a_share_larger_still() {
    let temp = Temp::new();
    let (recording, out) = (temp.below("recording"), temp.below("film.mp4"));
    let feeds = vec![
        Feed::camera("PA_a", 1, 0, 4000, |_| RED),
        Feed::camera("PA_b", 2, 0, 4000, |_| GREEN),
        Feed::camera("PA_a", 3, 3000, 4000, |_| BLUE).share(),
    ];
    let people = [("PA_a", "Ada", 0, 5000), ("PA_b", "Bob", 0, 5000)];
    capture(&recording, None, 4000, &people, feeds, &[(500, "PA_a"), (1500, "PA_b")]);
    compose(&recording, &out, &[], &options(Layout::Speaker)).unwrap();
    let film = Film::open(&out, SIZE);
    let scenes: [(u64, &[Colour]); 3] =
        [(0, &[RED, GREEN]), (1500, &[GREEN, RED]), (3000, &[BLUE, RED, GREEN])];
    assert_scenes(&film, Arrangement::Speaker, &scenes, 100);

    // Beside the pictures: the frame of whoever speaks.
    let cells = cells(Arrangement::Speaker, CANVAS, 2);
    let beside = |picture: usize, cell: &Cell| film.colour(picture, cell.picture.x - 2, middle(cell).1)[0];
    assert!(beside(6, &cells[0]) < 60 && beside(6, &cells[1]) < 60, "nobody speaks yet");
    assert!(beside(60, &cells[0]) > 100 && beside(60, &cells[1]) < 60, "Bob speaks");
}

#[test]
fn names_are_written_under_the_tiles() {
    let temp = Temp::new();
    let film_of = |number: u32, name: &str| {
        let (recording, out) =
            (temp.below(&format!("recording-{number}")), temp.below(&format!("{number}.mp4")));
        let feeds =
            vec![Feed::camera("PA_a", 1, 0, 500, |_| RED), Feed::microphone("PA_a", 2, 0, 500, tone(440.0))];
        capture(&recording, None, 500, &[("PA_a", name, 0, 600)], feeds, &[]);
        compose(&recording, &out, &[], &options(Layout::Grid)).unwrap();
        Film::open(&out, SIZE)
    };
    let label = cells(Arrangement::Grid, CANVAS, 1)[0].label;
    // How many samples are lit, in the label's left half and in its right one.
    let lit = |film: &Film| {
        let lit = |from: u32, to: u32| {
            let columns = from..to;
            let rows = label.y..label.y + label.height;
            rows.flat_map(|y| columns.clone().map(move |x| (x, y)))
                .filter(|(x, y)| film.colour(10, *x, *y)[0] > 120)
                .count()
        };
        let half = label.x + label.width / 2;
        (lit(label.x, half), lit(half, label.x + label.width))
    };
    let (short, long) = (lit(&film_of(1, "Ada")), lit(&film_of(2, "Ada <b>& Lovelace")));
    assert!(short.0 > 15 && short.1 == 0, "{short:?}");
    assert!(long.0 > short.0 * 3 && long.1 == 0, "{long:?}");
    let endless = lit(&film_of(3, &"M&M".repeat(100)));
    assert!(endless.1 > 0, "{endless:?}");
}

#[test]
fn sound_alone_makes_a_film_without_pictures() {
    let temp = Temp::new();
    let (recording, out) = (temp.below("recording"), temp.below("film.mp4"));
    let feeds = vec![Feed::microphone("PA_a", 2, 1000, 3000, tone(600.0))];
    capture(&recording, None, 3000, &[("PA_a", "Ada", 0, 4000)], feeds, &[]);
    compose(&recording, &out, &[], &options(Layout::Audio)).unwrap();
    let streams = &probe(&out)["streams"];
    assert_eq!((streams.as_array().unwrap().len(), &streams[0]["codec_name"]), (1, &"aac".into()));
    let sound = sound(&out);
    assert!(loudness(&sound, 600.0, 0.1, 0.9) < 0.01);
    let heard = loudness(&sound, 600.0, 1.1, 2.9);
    assert!((heard - 0.3).abs() < 0.05, "{heard}");
}

#[test]
fn pictures_of_each_codec_are_decoded() {
    let temp = Temp::new();
    let (recording, out) = (temp.below("recording"), temp.below("film.mp4"));
    capture(&recording, None, 1000, &[], vec![], &[]);
    let h264 = "x264enc tune=zerolatency ! h264parse ! video/x-h264,stream-format=avc,alignment=au";
    let av1 = "av1enc cpu-used=8 lag-in-frames=0 usage-profile=realtime ! av1parse ! \
               video/x-av1,stream-format=obu-stream,alignment=tu";
    let vp9 = "vp9enc deadline=1 cpu-used=8 lag-in-frames=0";
    add_track(&recording, "PA_a", Codec::H264, h264, RED);
    add_track(&recording, "PA_b", Codec::Av1, av1, GREEN);
    add_track(&recording, "PA_c", Codec::Vp9, vp9, BLUE);
    let film = compose(&recording, &out, &[], &options(Layout::Grid)).unwrap();
    assert_eq!(film.notes, vec![]);
    assert_scenes(&Film::open(&out, SIZE), Arrangement::Grid, &[(0, &[RED, GREEN, BLUE])], 0);
}

#[test]
fn a_damaged_track_ends_where_it_is_and_takes_nothing_with_it() {
    let temp = Temp::new();
    let (recording, out) = (temp.below("recording"), temp.below("film.mp4"));
    let feeds = vec![Feed::camera("PA_a", 1, 0, 4000, |_| RED), Feed::camera("PA_b", 2, 0, 4000, |_| GREEN)];
    capture(&recording, None, 4000, &[("PA_a", "Ada", 0, 5000), ("PA_b", "Bob", 0, 5000)], feeds, &[]);
    let hit = recording.join("TR_1-000.mkv");
    let mut bytes = std::fs::read(&hit).unwrap();
    let half = bytes.len() / 2;
    bytes[half..].fill(0xff);
    std::fs::write(&hit, bytes).unwrap();
    let film = compose(&recording, &out, &[], &options(Layout::Grid)).unwrap();
    assert_eq!(film.notes.iter().map(|note| note.file.as_str()).collect::<Vec<_>>(), ["TR_1-000.mkv"]);
    assert!(film.notes[0].what.starts_with("byte "), "{:?}", film.notes);
    assert_scenes(&Film::open(&out, SIZE), Arrangement::Grid, &[(0, &[RED, GREEN])], 0);
}

#[test]
fn what_cannot_be_composed_is_told() {
    let (temp, identity) = (Temp::new(), Identity::generate().unwrap());
    let (recording, out) = (temp.below("recording"), temp.below("film.mp4"));
    let tell = |out: &std::path::Path, options: &Options| {
        compose(&recording, out, &[], options).unwrap_err().to_string()
    };
    assert!(tell(&out, &options(Layout::Grid)).starts_with("manifest.json: "));
    capture(&recording, Some(&identity), 300, &[("PA_a", "Ada", 0, 300)], vec![], &[]);
    assert!(tell(&out, &options(Layout::Grid)).contains("timeline-000.jsonl.age"));
    let odd = Options { width: 321, ..Options::default() };
    assert_eq!(tell(&out, &odd), "a size of 321x720: take even numbers from 180x180 to 3840x2160");
    let empty = compose(&recording, &out, &[identity], &Options::default()).unwrap_err();
    assert!(matches!(empty, ComposeError::Empty), "{empty}");
    std::fs::write(&out, b"mine").unwrap();
    assert!(
        tell(&out, &Options::default())
            .ends_with("film.mp4: it exists already; take another name or remove it")
    );
    assert_eq!(std::fs::read(&out).unwrap(), b"mine");
}

#[test]
fn the_command_composes_while_it_is_confined() {
    let (temp, identity) = (Temp::new(), Identity::generate().unwrap());
    let (recording, out, keys) = (temp.below("recording"), temp.below("film.mp4"), temp.below("keys.txt"));
    std::fs::write(&keys, identity.to_secret_text().as_str()).unwrap();
    let feeds =
        vec![Feed::camera("PA_a", 1, 0, 1000, |_| RED), Feed::microphone("PA_a", 2, 0, 1000, tone(440.0))];
    capture(&recording, Some(&identity), 1000, &[("PA_a", "Ada", 0, 2000)], feeds, &[]);
    let run = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_parvis-media"));
        command.arg("compose").args([&recording, &out]).args(["--size", "320x180"]).args(more);
        let output = command.output().unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.success(), text)
    };
    let (done, said) = run(&[]);
    assert!(!done && said.contains("timeline-000.jsonl.age"), "{said}");
    assert!(!out.exists());
    let (done, said) = run(&["--identity", keys.to_str().unwrap()]);
    // Beside the film: who encodes it, on standard error.
    let (encoder, film): (Vec<&str>, Vec<&str>) = said.lines().partition(|line| line.contains("(software)"));
    assert!(done && film.len() == 1 && film[0].contains("1.0 s"), "{said}");
    assert_eq!(encoder.iter().filter(|line| line.contains(" encodes: ")).count(), 1, "{said}");
    assert!(!said.contains('{'), "people are told in words: {said}");
    // A server reads it as JSON.
    std::fs::remove_file(&out).unwrap();
    let (done, said) = run(&["--identity", keys.to_str().unwrap(), "--job"]);
    let told =
        said.lines().filter(|line| line.starts_with("encoder: ") && line.contains(r#""fate":"chosen""#));
    assert!(!done && told.count() == 1, "its standard input has ended, and so does it: {said}");
    run(&["--identity", keys.to_str().unwrap()]);
    assert_scenes(&Film::open(&out, SIZE), Arrangement::Grid, &[(0, &[RED])], 100);
}

#[test]
fn row_53_a_composer_reaches_no_network_no_other_file_and_no_program() {
    let temp = Temp::new();
    let check = Command::new(env!("CARGO_BIN_EXE_parvis-media"))
        .args(["confine-check", "--composer", "--directory", temp.0.to_str().unwrap()])
        .output()
        .unwrap();
    let said = String::from_utf8(check.stdout).unwrap();
    assert!(check.status.success() && !said.contains("FREE"), "{said}");
    assert_eq!(said.lines().filter(|line| line.starts_with("held")).count(), 11, "{said}");
    assert_eq!(std::fs::read_dir(&temp.0).unwrap().count(), 0);
}
