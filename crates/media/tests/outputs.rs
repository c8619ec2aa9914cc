// SPDX-License-Identifier: EUPL-1.2
//! What films are written as, and what is made beside them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod support;

use std::path::Path;
use std::process::Command;

use parvis_media::compose::layout::{Arrangement, cells};
use parvis_media::compose::{
    ComposeError, Format, Layout, Options, Speakers, SpeakersFormat, Thumbnails, compose,
};
use support::Temp;
use support::film::{
    BLUE, CANVAS, Feed, Film, RED, SIZE, ada, assert_seen, capture, is_near, loudness, middle, names,
    options, png, probe, sound, tone,
};

/// The codecs of a file, and how long it is in seconds.
fn codecs(path: &Path) -> (Vec<String>, f64) {
    let said = probe(path);
    let streams = said["streams"].as_array().unwrap();
    let codecs = streams.iter().map(|stream| stream["codec_name"].as_str().unwrap().to_owned()).collect();
    (codecs, said["format"]["duration"].as_str().unwrap().parse().unwrap())
}

#[test]
fn webm_has_vp8_or_vp9_with_opus_and_players_seek_in_it() {
    let temp = Temp::new();
    let recording = ada(&temp, 5000);
    for (name, format, codec) in [("8.webm", Format::Webm, "vp8"), ("9.webm", Format::WebmVp9, "vp9")] {
        let out = temp.below(name);
        compose(&recording, &out, &[], &Options { format, ..options(Layout::Grid) }).unwrap();
        let (codecs, seconds) = codecs(&out);
        assert_eq!(codecs, [codec, "opus"]);
        assert!((seconds - 5.0).abs() < 0.1, "{seconds}");
        let film = Film::open(&out, SIZE);
        assert_eq!(film.len(), 150);
        assert_seen(&film, &[(0, Arrangement::Grid, &[RED])], 0);
        let heard = loudness(&film.sound, 440.0, 1.0, 4.0);
        assert!((heard - 0.3).abs() < 0.05, "{heard}");
        // Whoever seeks arrives at the key frame before, by the cues: without them it would be the beginning.
        let output = Command::new("ffprobe")
            .args(["-v", "error", "-read_intervals", "4.5%+#1", "-select_streams", "v", "-of", "csv=p=0"])
            .args(["-show_entries", "packet=pts_time,flags", out.to_str().unwrap()])
            .output()
            .unwrap();
        let first = String::from_utf8(output.stdout).unwrap();
        assert!(first.starts_with("4.0") && first.contains(",K"), "{first}");
        let bytes = std::fs::read(&out).unwrap();
        assert!(bytes.windows(4).any(|four| four == [0x1c, 0x53, 0xbb, 0x6b]), "cues");
        assert!(!bytes.windows(4).any(|four| four == b"moov"));
    }
}

#[test]
fn ogg_is_sound_alone() {
    let temp = Temp::new();
    let (recording, out) = (temp.below("recording"), temp.below("film.ogg"));
    let feeds =
        vec![Feed::camera("PA_a", 1, 0, 3000, |_| RED), Feed::microphone("PA_a", 2, 1000, 3000, tone(600.0))];
    capture(&recording, None, 3000, &[("PA_a", "Ada", 0, 4000)], feeds, &[]);
    compose(&recording, &out, &[], &Options { format: Format::Ogg, ..options(Layout::Grid) }).unwrap();
    let (kinds, seconds) = codecs(&out);
    assert_eq!(kinds, ["opus"]);
    assert!((seconds - 3.0).abs() < 0.03, "{seconds}");
    let sound = sound(&out);
    assert!(loudness(&sound, 600.0, 0.1, 0.95) < 0.01);
    let heard = loudness(&sound, 600.0, 1.1, 2.9);
    assert!((heard - 0.3).abs() < 0.05, "{heard}");
    let webm = temp.below("sound.webm");
    compose(&recording, &webm, &[], &Options { format: Format::Webm, ..options(Layout::Audio) }).unwrap();
    let (kinds, seconds) = codecs(&webm);
    assert!(kinds == ["opus"] && (seconds - 3.0).abs() < 0.05, "{kinds:?} {seconds}");
}

#[test]
fn each_speaker_has_a_file_on_the_meetings_time_line() {
    let temp = Temp::new();
    let recording = temp.below("recording");
    let feeds = vec![
        Feed::microphone("PA_a", 1, 0, 3000, tone(440.0)),
        Feed::microphone("PA_b", 2, 1500, 2200, tone(1000.0)),
        Feed::microphone("PA_c", 3, 2500, 3000, tone(1000.0)),
    ];
    // Bob goes, and comes again as another participant.
    let people = [("PA_a", "Ada", 0, 4000), ("PA_b", "Bob", 1500, 2200), ("PA_c", "Bob", 2500, 4000)];
    capture(&recording, None, 3000, &people, feeds, &[]);
    let with = |name: &str, format| {
        let directory = temp.below(name);
        std::fs::create_dir(&directory).unwrap();
        let speakers = Some(Speakers { directory: directory.clone(), format });
        let out = temp.below(&format!("{name}.ogg"));
        let film = compose(
            &recording,
            &out,
            &[],
            &Options { speakers, format: Format::Ogg, ..options(Layout::Audio) },
        );
        (directory, film.unwrap().beside)
    };
    let (directory, beside) = with("wav", SpeakersFormat::Wav);
    assert_eq!(names(&directory), ["001-ada.wav", "002-bob.wav"]);
    assert_eq!(beside, [directory.join("001-ada.wav"), directory.join("002-bob.wav")]);
    let samples = |name: &str| {
        let bytes = std::fs::read(directory.join(name)).unwrap();
        assert_eq!(bytes.len(), 44 + 2 * 144_000, "{name}");
        let values = bytes[44..].chunks_exact(2);
        values.map(|two| f32::from(i16::from_le_bytes([two[0], two[1]])) / 32_768.0).collect::<Vec<_>>()
    };
    let (ada, bob) = (samples("001-ada.wav"), samples("002-bob.wav"));
    let first = bob.iter().position(|sample| sample.abs() > 0.02).unwrap();
    // Opus is late by its encoder's 6.5 ms.
    assert!((72_000..72_000 + 480).contains(&first), "{first}");
    for (sound, hertz, from, to, expected) in [
        (&ada, 440.0, 0.1, 2.9, 0.3),
        (&ada, 1000.0, 0.1, 2.9, 0.0),
        (&bob, 1000.0, 1.6, 2.1, 0.3),
        (&bob, 1000.0, 2.25, 2.45, 0.0),
        (&bob, 1000.0, 2.6, 2.9, 0.3),
        (&bob, 440.0, 0.0, 2.9, 0.0),
    ] {
        let heard = loudness(sound, hertz, from, to);
        assert!((heard - expected).abs() < 0.05, "{hertz} Hz from {from}: {heard}");
    }
    let (kinds, seconds) = codecs(&directory.join("002-bob.wav"));
    assert_eq!((kinds, seconds), (vec!["pcm_s16le".to_owned()], 3.0));

    let (directory, _) = with("opus", SpeakersFormat::Opus);
    assert_eq!(names(&directory), ["001-ada.opus", "002-bob.opus"]);
    let (kinds, seconds) = codecs(&directory.join("002-bob.opus"));
    assert!(kinds == ["opus"] && (seconds - 3.0).abs() < 0.03, "{kinds:?} {seconds}");
    let bob = sound(&directory.join("002-bob.opus"));
    assert!(loudness(&bob, 1000.0, 0.1, 1.4) < 0.01 && loudness(&bob, 1000.0, 1.6, 2.1) > 0.25);
}

#[test]
fn chapters_and_thumbnails_lie_beside_the_film() {
    let temp = Temp::new();
    let (recording, out) = (temp.below("recording"), temp.below("film.mp4"));
    let feeds = vec![
        Feed::camera("PA_a", 1, 500, 7000, |_| RED),
        Feed::camera("PA_a", 2, 1000, 6200, |_| BLUE).share(),
    ];
    capture(&recording, None, 7000, &[("PA_a", "Ada <&>", 0, 8000)], feeds, &[]);
    let with = |thumbnails| Options { chapters: true, thumbnails: Some(thumbnails), ..options(Layout::Grid) };
    let film = compose(&recording, &out, &[], &with(Thumbnails::First)).unwrap();
    assert_eq!(film.beside, [temp.below("film.jpg"), temp.below("film.chapters.vtt")]);
    let chapters = std::fs::read_to_string(temp.below("film.chapters.vtt")).unwrap();
    assert_eq!(
        chapters,
        "WEBVTT\n\n1\n00:00:00.000 --> 00:00:06.200\nAda &lt;&amp;&gt; ▣\n\n2\n00:00:06.200 --> 00:00:07.000\nstandup\n"
    );
    // The first picture with somebody on it, and not the first one.
    let first = Film::open_still(&temp.below("film.jpg"), SIZE);
    assert!(is_near(first.colour(0, 160, 80), RED), "{:?}", first.colour(0, 160, 80));
    let told =
        |out: &Path, thumbnails| compose(&recording, out, &[], &with(thumbnails)).unwrap_err().to_string();
    std::fs::remove_file(&out).unwrap();
    assert!(told(&out, Thumbnails::First).contains("film.chapters.vtt: it exists already"));
    std::fs::remove_file(temp.below("film.chapters.vtt")).unwrap();
    assert!(told(&out, Thumbnails::First).contains("film.jpg: it exists already"));

    let film = compose(&recording, &out, &[], &with(Thumbnails::Every(3))).unwrap();
    assert_eq!(film.beside.len(), 4);
    let at = |number: u32, x, y| {
        Film::open_still(&temp.below(&format!("film-000{number}.jpg")), SIZE).colour(0, x, y)
    };
    let two = cells(Arrangement::Grid, CANVAS, 2);
    let (share_x, share_y) = middle(&two[1]);
    assert!(!is_near(at(1, 160, 80), RED), "nobody yet");
    for number in [2, 3] {
        assert!(is_near(at(number, share_x, share_y), BLUE), "{:?}", at(number, share_x, share_y));
    }
    assert_eq!(names(&temp.0).len(), 1 + 1 + 1 + 1 + 3);
}

#[test]
fn a_film_that_grows_too_large_leaves_nothing_behind() {
    let temp = Temp::new();
    let (recording, out, directory) = (temp.below("recording"), temp.below("film.ogg"), temp.below("voices"));
    std::fs::create_dir(&directory).unwrap();
    let feeds = vec![Feed::microphone("PA_a", 1, 0, 13_000, tone(440.0))];
    capture(&recording, None, 13_000, &[("PA_a", "Ada", 0, 14_000)], feeds, &[]);
    let speakers = Some(Speakers { directory: directory.clone(), format: SpeakersFormat::Wav });
    let small = Options { max_bytes: 1 << 20, speakers, format: Format::Ogg, ..options(Layout::Audio) };
    let error = compose(&recording, &out, &[], &small).unwrap_err();
    assert!(matches!(error, ComposeError::TooLarge { bytes, .. } if bytes == 1 << 20), "{error}");
    assert!(error.to_string().starts_with("more than 1 MiB are written, which is the most"), "{error}");
    assert_eq!(names(&temp.0), ["recording", "voices"]);
    assert_eq!(names(&directory).len(), 0);
}

#[test]
fn the_command_makes_all_of_it_while_it_is_confined() {
    let temp = Temp::new();
    let (recording, films, logo) = (ada(&temp, 1000), temp.below("films"), temp.below("logo.png"));
    std::fs::create_dir(&films).unwrap();
    png(&logo, "blue", "64x64");
    let run = |out: &str, more: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_parvis-media"))
            .arg("compose")
            .args([&recording, &films.join(out)])
            .args(["--size", "320x180"])
            .args(more)
            .output()
            .unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.success(), said)
    };
    let (voices, logo) = (temp.below("voices"), logo.to_str().unwrap().to_owned());
    let looks =
        ["--layout", "screen", "--title", "Стендап", "--clock", "--utc-offset", "-03:30", "--logo", &logo];
    let over = ["--watermark", "سري", "--notice", "Γεια", "--chapters", "--thumbnail", "--speakers"];
    let (done, said) = run("film.webm", &[&looks[..], &over, &[voices.to_str().unwrap()]].concat());
    assert!(done, "{said}");
    assert_eq!(names(&films), ["film.chapters.vtt", "film.jpg", "film.webm"], "{said}");
    assert_eq!(names(&voices), ["001-ada.wav"]);
    assert_eq!(said.lines().filter(|line| line.starts_with("beside it: ")).count(), 3, "{said}");
    assert_eq!(codecs(&films.join("film.webm")).0, ["vp8", "opus"]);

    let (done, said) = run("film.avi", &[]);
    assert!(!done && said.contains("film.avi: which format? Take a name in .mp4, .webm or .ogg"), "{said}");
    let (done, said) = run("film.avi", &["--format", "ogg"]);
    assert!(done && codecs(&films.join("film.avi")).0 == ["opus"], "{said}");
    let (done, said) = run("other.mp4", &["--logo", recording.join("manifest.json").to_str().unwrap()]);
    assert!(!done && said.contains("manifest.json: no PNG"), "{said}");
    let (done, said) = run("other.mp4", &["--utc-offset", "+02:00"]);
    assert!(!done && said.contains("--clock"), "{said}");
    let (done, said) = run("other.mp4", &["--participant", "ada"]);
    assert!(!done && said.contains("by the layout single only"), "{said}");
    assert_eq!(names(&films).len(), 4, "{said}");
}
