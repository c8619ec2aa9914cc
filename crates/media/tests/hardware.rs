// SPDX-License-Identifier: EUPL-1.2
//! Encoders are chosen by what they do, and replaced when they fail. Those of a GPU are stand-ins here.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

#[path = "support/stand_ins.rs"]
mod stand_ins;
mod support;

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Once;
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer::prelude::*;
use parvis_jobs::{EncoderFamily, EncoderFate};
use parvis_media::compose::{Options, compose};
use parvis_media::hardware::pattern::{decode, picture};
use parvis_media::hardware::probe::{Plan, Prober, Report, probe};
use parvis_media::hardware::trial::{Outcome, serve};
use parvis_media::hardware::{
    Candidate, Choice, ChoiceError, EncodeError, Encoder, Encoders, Family, KEY, Latency, Profile,
    RateControl, Settings, Shape, Speed, Stage, Survey, Unit, VideoCodec, Wanted, Why, choose,
};
use stand_ins::{Fault, register};
use support::Temp;
use support::film::{Feed, Film, capture, loudness, probe as said_of};

const SHAPE: Shape = Shape { width: 320, height: 180, rate: 30 };
/// So long an encoder may hang in these tests.
const PATIENCE: Duration = Duration::from_secs(3);

/// Stand-ins of the tests that encode in this process. Each has its own name, since they are there for all tests.
fn prepare() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        register("nvh264enc", Fault::FailsAt(25));
        register("nvcudah264enc", Fault::HangsAt(25));
        register("nvautogpuh264enc", Fault::SwallowsFrom(25));
        register("vah264enc", Fault::EndsAt(25));
        register("vah264lpenc", Fault::Refuses);
        register("vaapih264enc", Fault::None);
    });
}

fn encoders(factories: &[&str]) -> Encoders {
    Encoders::of(factories.iter().map(|factory| Candidate::named(factory).unwrap()))
}

/// Encodes so many pictures with a row of encoders.
fn encoded(factories: &[&str], count: u64) -> Result<(Encoder, Vec<Unit>), EncodeError> {
    prepare();
    let mut encoder = Encoder::start(&encoders(factories), &Settings::default(), SHAPE, PATIENCE)?;
    let mut units = Vec::new();
    for number in 0..count {
        encoder.push(picture(SHAPE, number).unwrap())?;
        units.extend(encoder.units());
    }
    encoder.finish()?;
    units.extend(encoder.units());
    Ok((encoder, units))
}

/// Each picture is there once, in its place, when decoded; and times are those of a file.
fn assert_whole(encoder: &Encoder, units: &[Unit], count: u64) {
    let caps = encoder.caps().unwrap();
    let seen = decode(VideoCodec::H264, caps, units, Duration::from_secs(10)).unwrap();
    let numbers: Vec<_> = seen.iter().map(|seen| seen.number).collect();
    assert_eq!(numbers, (0..count).collect::<Vec<_>>(), "after {:?}", encoder.switches());
    assert!(seen.iter().all(|seen| seen.worst() <= 12), "{seen:?}");
    assert!(units.windows(2).all(|two| two[0].dts < two[1].dts), "{units:?}");
    assert!(units.iter().all(|unit| unit.dts <= unit.pts), "{units:?}");
}

/// What the test program does instead of testing, when it is started as somebody's child.
#[test]
fn child() {
    let Ok(role) = std::env::var("PARVIS_TEST_ROLE") else { return };
    stand_ins::register_all(&std::env::var("PARVIS_TEST_STAND_INS").unwrap());
    match role.as_str() {
        "trial" => serve().unwrap(),
        "probe" => {
            let wanted: Wanted = std::env::var("PARVIS_TEST_WANTED").unwrap().parse().unwrap();
            let report = match choose(VideoCodec::H264, &wanted, &Settings::default(), SHAPE, &prober()) {
                Ok(Choice { report, .. }) | Err(ChoiceError::NoneWorks(report)) => report,
                Err(error) => panic!("{error}"),
            };
            println!("\n{}", serde_json::to_string(&report).unwrap());
        }
        other => panic!("no role {other}"),
    }
}

fn itself(role: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child", "--nocapture"]).env("PARVIS_TEST_ROLE", role);
    command
}

/// Has encoders tried by this test program, which must have been started as [`child`]: its children inherit the stand-ins.
fn prober() -> Prober {
    let program = "/usr/bin/env".into();
    let exe = std::env::current_exe().unwrap();
    let arguments = vec![
        "PARVIS_TEST_ROLE=trial".into(),
        exe.into(),
        "--exact".into(),
        "child".into(),
        "--nocapture".into(),
    ];
    Prober { program, arguments, patience: Duration::from_secs(2), limit: Duration::from_secs(6) }
}

/// What is chosen where these stand-ins are.
fn report(stand_ins: &str, wanted: &str) -> Report {
    let output = itself("probe")
        .env("PARVIS_TEST_STAND_INS", stand_ins)
        .env("PARVIS_TEST_WANTED", wanted)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let line = said.lines().find(|line| line.starts_with('{'));
    serde_json::from_str(line.unwrap_or_else(|| panic!("{said}"))).unwrap()
}

/// How far an encoder came, and why no further.
fn refusal(report: &Report, factory: &str) -> (Stage, String) {
    match &report.tried.iter().find(|tried| tried.factory == factory).unwrap().outcome {
        Outcome::Refused(refusal) => (refusal.stage, refusal.why.clone()),
        other => panic!("{factory}: {other:?}"),
    }
}

#[test]
fn the_first_that_works_is_taken_and_all_before_it_say_why_not() {
    let faults = "nvh264enc=refuses,nvcudah264enc=never-opens,nvautogpuh264enc=fails:3,vah264enc=hangs:3,\
                  vah264lpenc=dies,vaapih264enc=none";
    let report = report(faults, "auto");
    assert_eq!(report.chosen.as_deref(), Some("vaapih264enc"), "{report:?}");
    assert_eq!(report.reason, "VA-API: the first that passed its trial; the 5 before it did not");
    let (stage, why) = refusal(&report, "nvh264enc");
    assert!(stage == Stage::Open && why.contains("no session is left"), "{stage:?} {why}");
    assert_eq!(refusal(&report, "nvcudah264enc"), (Stage::Open, "it did not open within 2 s".to_owned()));
    let (stage, why) = refusal(&report, "nvautogpuh264enc");
    assert!(stage == Stage::Encode && why.contains("the device is lost"), "{stage:?} {why}");
    let (stage, why) = refusal(&report, "vah264enc");
    assert!(stage == Stage::Encode && why.starts_with("it gave nothing for 2 s"), "{stage:?} {why}");
    assert_eq!(refusal(&report, "vah264lpenc"), (Stage::Process, "its process died by signal 6".to_owned()));
    let software = &report.tried[6..];
    assert!(software.iter().all(|tried| tried.outcome == Outcome::NotTried), "{software:?}");
    let text = parvis_media::hardware::text(&report);
    assert!(text.starts_with("H.264: vaapih264enc (VA-API: "), "{text}");
    assert!(text.contains("hangs/dies") && text.contains("no session is left"), "{text}");
}

#[test]
fn a_session_limit_leaves_it_to_software() {
    let report = report("nvh264enc=refuses,vah264enc=ends:0", "auto");
    assert_eq!(report.chosen.as_deref(), Some("x264enc"), "{report:?}");
    assert_eq!(refusal(&report, "vah264enc").0, Stage::Encode);
    let (stage, why) = refusal(&report, "nvcudah264enc");
    assert!(stage == Stage::Lookup && why.contains("libcuda"), "{stage:?} {why}");
}

#[test]
fn who_names_an_encoder_gets_that_one_or_none() {
    let report = report("nvh264enc=refuses", "nvh264enc");
    assert_eq!((report.chosen.as_deref(), report.tried.len()), (None, 1));
    assert_eq!(report.reason, "it did not pass its trial");
    let unknown = "ffenc_h264".parse::<Wanted>().unwrap_err();
    assert!(
        unknown.contains("auto, nvenc, vaapi, software, nvh264enc, ")
            && unknown.ends_with("x264enc, openh264enc"),
        "{unknown}"
    );
    let other = choose(VideoCodec::H264, &"vp8enc".parse().unwrap(), &Settings::default(), SHAPE, &prober());
    assert_eq!(other.unwrap_err().to_string(), "vp8enc writes VP8, and H.264 is wanted");
}

#[test]
fn where_no_trial_passes_a_film_is_made_in_software_all_the_same() {
    gst::init().unwrap();
    let quiet = Prober { program: "/bin/true".into(), ..Prober::own() };
    let choice = choose(VideoCodec::H264, &Wanted::Auto, &Settings::default(), SHAPE, &quiet).unwrap();
    assert_eq!(choice.encoders, Encoders::software(VideoCodec::H264));
    assert_eq!(choice.report.reason, "software: taken untried, since no trial passed");
    let said = choice.notes();
    let refused = said.iter().find(|note| note.factory == "x264enc" && note.fate == EncoderFate::Refused);
    assert!(refused.is_some_and(|note| note.why.starts_with("it failed its trial: ")), "{said:?}");
    let chosen = said.last().unwrap();
    assert_eq!((chosen.fate, chosen.family), (EncoderFate::Chosen, EncoderFamily::Software));
    let family = choose(VideoCodec::H264, &"software".parse().unwrap(), &Settings::default(), SHAPE, &quiet);
    assert_eq!(family.unwrap().encoders, choice.encoders, "who asks for software gets it, too");
    let absent = choose(VideoCodec::H264, &"nvenc".parse().unwrap(), &Settings::default(), SHAPE, &quiet);
    assert!(
        absent.unwrap_err().to_string().starts_with("no encoder for H.264 works here:"),
        "and no other family"
    );
    let named = choose(VideoCodec::H264, &"x264enc".parse().unwrap(), &Settings::default(), SHAPE, &quiet);
    assert!(
        named.unwrap_err().to_string().starts_with("no encoder for H.264 works here:\nH.264: no encoder (")
    );
}

#[test]
fn a_process_that_never_answers_is_ended() {
    gst::init().unwrap();
    let limit = Duration::from_millis(300);
    let program = "/bin/sleep".into();
    let prober = Prober { program, arguments: vec!["60".into()], patience: limit, limit };
    let since = Instant::now();
    let plan = Plan::quick(Settings::default(), SHAPE);
    let report = probe(VideoCodec::H264, [Candidate::named("x264enc").unwrap()], &plan, &prober);
    assert!(since.elapsed() < Duration::from_secs(10));
    let (stage, why) = refusal(&report, "x264enc");
    assert!(stage == Stage::Process && why.starts_with("it gave no answer within"), "{why}");
    let silent = Prober { program: "/bin/true".into(), ..prober.clone() };
    let report = probe(VideoCodec::H264, [Candidate::named("x264enc").unwrap()], &plan, &silent);
    let (_, why) = refusal(&report, "x264enc");
    assert!(why.contains("without an answer") || why.contains("Broken pipe"), "{why}");
    let missing = Prober { program: "/nowhere".into(), ..prober };
    let report = probe(VideoCodec::H264, [Candidate::named("x264enc").unwrap()], &plan, &missing);
    assert!(refusal(&report, "x264enc").1.starts_with("/nowhere: "));
}

#[test]
fn pictures_go_on_with_the_next_encoder_and_none_is_lost_or_doubled() {
    for (factory, why) in [
        ("nvh264enc", "the device is lost"),
        ("nvcudah264enc", "it gave nothing for 3 s and holds "),
        ("nvautogpuh264enc", "it gave nothing for 3 s and holds 128 pictures"),
        ("vah264enc", "it ended its stream"),
    ] {
        let (encoder, units) = encoded(&[factory, "x264enc"], 200).unwrap();
        let switches = encoder.switches();
        assert_eq!((switches.len(), encoder.factory()), (1, "x264enc"), "{switches:?}");
        assert_eq!(switches[0].factory, factory);
        assert!(switches[0].refusal.why.contains(why), "{switches:?}");
        // What came out behind a picture that did not is thrown away.
        assert!((18..=25).contains(&switches[0].pictures), "{switches:?}");
        assert!(units.iter().find(|unit| unit.number == switches[0].pictures).unwrap().key);
        assert_whole(&encoder, &units, 200);
    }
}

#[test]
fn a_picture_that_is_to_be_a_key_frame_is_one_with_the_next_encoder_too() {
    prepare();
    let settings = Settings { gop: 1000, latency: Latency::Low, ..Settings::default() };
    for factories in [&["x264enc"][..], &["openh264enc"], &["nvh264enc", "x264enc"]] {
        let mut encoder = Encoder::start(&encoders(factories), &settings, SHAPE, PATIENCE).unwrap();
        encoder.keep_parameters_apart();
        let mut units = Vec::new();
        for number in 0..60 {
            let mut picture = picture(SHAPE, number).unwrap();
            if [0, 7, 31, 50].contains(&number) {
                picture.make_mut().set_flags(KEY);
            }
            encoder.push(picture).unwrap();
            encoder.poll().unwrap();
            units.extend(encoder.units());
        }
        encoder.finish().unwrap();
        units.extend(encoder.units());
        let keys: Vec<_> = units.iter().filter(|unit| unit.key).map(|unit| unit.number).collect();
        assert!([0, 7, 31, 50].iter().all(|key| keys.contains(key)), "{factories:?}: {keys:?}");
        assert!(keys.len() <= 5, "{factories:?}: {keys:?}");
        let parameters = |unit: &Unit| {
            unit.caps.as_ref().unwrap().structure(0).unwrap().get::<gst::Buffer>("codec_data").is_ok()
        };
        assert!(units.iter().all(parameters), "{factories:?}");
    }
}

#[test]
fn several_may_fail_and_one_that_will_not_open_is_passed_over() {
    let row = ["vah264lpenc", "nvh264enc", "vah264enc", "vah264lpenc", "vaapih264enc"];
    let (encoder, units) = encoded(&row, 120).unwrap();
    let failed: Vec<_> = encoder.switches().iter().map(|switch| switch.factory.as_str()).collect();
    assert_eq!(failed, row[..4]);
    assert_eq!(encoder.factory(), "vaapih264enc");
    assert_whole(&encoder, &units, 120);
    let said = encoder.switches()[1].to_string();
    assert!(said.starts_with("nvh264enc failed after 2") && said.contains("the device is lost"), "{said}");
}

#[test]
fn a_failure_at_the_very_end_is_made_good_as_well() {
    // The 25th picture comes out only when the encoder is asked for the rest.
    let (encoder, units) = encoded(&["nvh264enc", "openh264enc"], 26).unwrap();
    assert_eq!(encoder.switches().len(), 1, "{:?}", encoder.switches());
    assert_whole(&encoder, &units, 26);
}

#[test]
fn where_none_is_left_it_is_said_who_failed_and_when() {
    let error = encoded(&["nvh264enc", "vah264lpenc"], 60).err().unwrap().to_string();
    assert!(error.starts_with("no encoder is left: nvh264enc failed after 2"), "{error}");
    assert!(error.contains("vah264lpenc failed after 2") && error.contains("no session is left"), "{error}");
    let none = Encoder::start(&encoders(&[]), &Settings::default(), SHAPE, PATIENCE).err().unwrap();
    assert_eq!(none.to_string(), "no encoder for H.264 was given");
}

#[test]
fn a_film_goes_on_with_another_encoder_and_is_the_same_film() {
    prepare();
    let temp = Temp::new();
    let recording = temp.below("recording");
    // Each picture of the camera has a light of its own among its neighbours.
    let light = |ms: u64| [40 + (ms / 66 * 5 % 16) as u8 * 12, 128, 128];
    let tone = |seconds: f64| 0.3 * (std::f64::consts::TAU * 440.0 * seconds).sin();
    let feeds = vec![Feed::camera("PA_a", 1, 0, 4000, light), Feed::microphone("PA_a", 2, 0, 4000, tone)];
    capture(&recording, None, 4000, &[("PA_a", "Ada", 0, 5000)], feeds, &[]);
    let film_of = |name: &str, row: &[&str]| {
        let out = temp.below(name);
        let options =
            Options { width: 320, height: 180, encoders: Some(encoders(row)), ..Options::default() };
        let composed = compose(&recording, &out, &[], &options).unwrap();
        (Film::open(&out, (320, 180)), said_of(&out), composed.switches)
    };
    let (whole, said, switches) = film_of("whole.mp4", &["x264enc"]);
    assert_eq!((switches, said["streams"][0]["codec_tag_string"].as_str()), (vec![], Some("avc1")));
    for (name, row) in [
        ("lost.mp4", &["nvh264enc", "x264enc"][..]),
        ("twice.mp4", &["vah264lpenc", "vah264enc", "nvh264enc", "openh264enc"]),
    ] {
        let (film, said, switches) = film_of(name, row);
        assert_eq!(switches.len(), row.len() - 1, "{switches:?}");
        assert_eq!(said["streams"][0]["codec_tag_string"], "avc3", "{said}");
        assert_eq!((film.len(), whole.len()), (120, 120));
        for picture in 0..120 {
            let [one, other] = [&whole, &film].map(|film| film.colour(picture, 160, 90)[0]);
            // A neighbour would be off by 60 or more.
            assert!(one.abs_diff(other) < 20, "{name}, picture {picture}: {other} instead of {one}");
        }
        let heard = loudness(&film.sound, 440.0, 0.5, 3.5);
        assert!((heard - 0.3).abs() < 0.05, "{heard}");
    }
}

#[test]
fn a_film_is_made_by_the_encoder_that_is_named_or_not_at_all() {
    let temp = Temp::new();
    let recording = temp.below("recording");
    let feeds = vec![Feed::camera("PA_a", 1, 0, 500, |_| [82, 90, 240])];
    capture(&recording, None, 500, &[("PA_a", "Ada", 0, 600)], feeds, &[]);
    let film_of = |encoder: &str| {
        let out = temp.below(&format!("{encoder}.mp4"));
        let output = Command::new(env!("CARGO_BIN_EXE_parvis-media"))
            .arg("compose")
            .args([&recording, &out])
            .args(["--size", "320x180", "--encoder", encoder])
            .output()
            .unwrap();
        (std::fs::read(&out).ok(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    // x264 writes its name into what it encodes.
    let is_x264 = |film: Vec<u8>| film.windows(11).any(|bytes| bytes == b"x264 - core");
    assert!(film_of("auto").0.is_some());
    for (encoder, by_x264) in [("x264enc", true), ("openh264enc", false)] {
        let (film, said) = film_of(encoder);
        assert_eq!(film.map(is_x264), Some(by_x264), "{encoder}: {said}");
    }
    // Where there is no GPU.
    let (film, said) = film_of("nvh264enc");
    assert!(film.is_none() && said.contains("no encoder for H.264 works here"), "{said}");
    assert!(said.contains("not there   nvh264enc\n") && said.contains("libcuda"), "{said}");
    let (film, said) = film_of("vp8enc");
    assert!(film.is_none() && said.contains("vp8enc writes VP8, and H.264 is wanted"), "{said}");
    let (film, said) = film_of("best");
    assert!(film.is_none() && said.contains("no encoder that we know"), "{said}");
}

#[test]
fn what_an_element_does_not_take_is_told() {
    prepare();
    let candidate = Candidate::named("vaapih264enc").unwrap();
    let nvenc = Candidate::named("nvh264enc").unwrap();
    let element = gst::ElementFactory::make(candidate.factory).build().unwrap();
    let told = nvenc.apply(&Settings { kbits: 5000, ..Settings::default() }, &element);
    let of = |property: &str| &told.iter().find(|told| told.property == property).unwrap().why;
    assert_eq!(*of("max-bitrate"), Why::Clamped("2000".to_owned()));
    assert_eq!(*of("gop-size"), Why::Rejected("75".to_owned()));
    assert_eq!(*of("rc-mode"), Why::ReadOnly);
    assert_eq!(*of("const-quality"), Why::Missing);
    assert_eq!(element.property::<u32>("max-bitrate"), 2000);
    let said: Vec<_> = told.iter().map(ToString::to_string).collect();
    assert!(said.contains(&"bitrate: max-bitrate does not take 5000; 2000 was set".to_owned()), "{said:?}");
    assert!(said.contains(&"key frame interval: gop-size did not take 60: it is 75".to_owned()), "{said:?}");
}

/// What is in force after settings were applied.
fn applied(factory: &str, settings: &Settings, properties: &[&str]) -> Vec<String> {
    gst::init().unwrap();
    let element = gst::ElementFactory::make(factory).build().unwrap();
    let told = Candidate::named(factory).unwrap().apply(settings, &element);
    assert_eq!(told, [], "{factory}");
    let read = |name: &&str| element.property_value(name).serialize().unwrap().to_string();
    properties.iter().map(read).collect()
}

#[test]
fn settings_reach_each_encoder_in_its_own_units() {
    let film = Settings { kbits: 1500, gop: 50, threads: 2, ..Settings::default() };
    let call = Settings {
        rate_control: RateControl::Cbr,
        latency: Latency::Low,
        speed: Speed::Fastest,
        ..film.clone()
    };
    let x264 = [
        "bitrate",
        "key-int-max",
        "pass",
        "quantizer",
        "speed-preset",
        "tune",
        "threads",
        "vbv-buf-capacity",
    ];
    assert_eq!(applied("x264enc", &film, &x264), ["1500", "50", "qual", "22", "veryfast", "0", "2", "2000"]);
    assert_eq!(
        applied("x264enc", &call, &x264),
        ["1500", "50", "cbr", "21", "ultrafast", "Zero latency", "2", "600"]
    );
    let openh264 = ["bitrate", "gop-size", "rate-control", "complexity", "multi-thread", "enable-frame-skip"];
    assert_eq!(applied("openh264enc", &film, &openh264), ["1500000", "50", "quality", "low", "2", "false"]);
    assert_eq!(applied("openh264enc", &call, &openh264)[2], "bitrate");
    let x265 = ["bitrate", "key-int-max", "speed-preset", "tune", "qp"];
    assert_eq!(applied("x265enc", &call, &x265), ["1500", "50", "ultrafast", "zerolatency", "-1"]);
    let av1 = ["target-bitrate", "keyframe-max-dist", "end-usage", "usage-profile", "cpu-used", "threads"];
    assert_eq!(applied("av1enc", &call, &av1), ["1500", "50", "cbr", "realtime", "10", "2"]);
    let vpx =
        ["target-bitrate", "keyframe-max-dist", "end-usage", "cq-level", "deadline", "cpu-used", "threads"];
    assert_eq!(applied("vp8enc", &film, &vpx), ["1500000", "50", "cq", "27", "1", "8", "2"]);
    assert_eq!(applied("vp9enc", &film, &vpx), ["1500000", "50", "cq", "27", "1", "7", "2"]);
}

#[test]
fn values_beyond_what_an_element_takes_are_brought_within() {
    gst::init().unwrap();
    let element = gst::ElementFactory::make("x265enc").build().unwrap();
    let much = Settings { kbits: 4_000_000, ..Settings::default() };
    let told = Candidate::named("x265enc").unwrap().apply(&much, &element);
    assert_eq!((told.len(), &told[0].why), (1, &Why::Clamped("102400".to_owned())), "{told:?}");
    assert_eq!(element.property::<u32>("bitrate"), 102_400);
}

#[test]
fn a_profile_is_asked_for_behind_the_encoder() {
    gst::init().unwrap();
    for (profile, name) in
        [(Profile::Baseline, "constrained-baseline"), (Profile::Main, "main"), (Profile::High, "high")]
    {
        let settings = Settings { profile: Some(profile), ..Settings::default() };
        let mut encoder = Encoder::start(&encoders(&["x264enc"]), &settings, SHAPE, PATIENCE).unwrap();
        (0..5).for_each(|number| encoder.push(picture(SHAPE, number).unwrap()).unwrap());
        encoder.finish().unwrap();
        let caps = encoder.caps().unwrap();
        assert_eq!(caps.structure(0).unwrap().get::<&str>("profile").unwrap(), name, "{caps}");
    }
}

#[test]
fn row_53_the_cage_opens_for_the_devices_that_it_is_told_of() {
    let temp = Temp::new();
    let check = |devices: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_parvis-media"))
            .args(["confine-check", "--composer", "--directory", temp.0.to_str().unwrap()])
            .args(devices)
            .output()
            .unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    let (held, said) = check(&["--device", "/dev/zero"]);
    assert!(held && said.contains("\nopens    /dev/zero\n") && !said.contains("FREE"), "{said}");
    let (held, said) = check(&["--device", "/dev/nowhere"]);
    assert!(!held && said.contains("missing  landlock: ") && said.contains("/dev/nowhere"), "{said}");
}

#[test]
fn films_are_encoded_in_software_where_nobody_chose() {
    gst::init().unwrap();
    assert_eq!(Encoders::software(VideoCodec::H264), encoders(&["x264enc", "openh264enc"]));
    assert!(Encoders::software(VideoCodec::H264).devices().devices.is_empty());
    for codec in VideoCodec::ALL {
        let families: Vec<Family> = Candidate::of(codec).map(|candidate| candidate.family).collect();
        assert!(families.is_sorted() && families.contains(&Family::Software), "{codec:?} {families:?}");
    }
}

/// This machine has no GPU, or its encoders would be named.
#[test]
fn the_command_says_which_encoders_there_are() {
    let probe = |more: &[&str]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_parvis-media")).arg("probe").args(more).output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    let (done, said) = probe(&[]);
    assert!(done && said.contains("\nH.264: ") && said.ends_with("Films can be made.\n"), "{said}");
    let (done, said) = probe(&["--json"]);
    let survey: Survey = serde_json::from_str(&said).unwrap();
    assert!(done && survey.is_enough(), "{said}");
    assert_eq!(survey.reports.len(), 5);
    for report in &survey.reports {
        let software = report.tried.iter().find(|tried| Some(&tried.factory) == report.chosen.as_ref());
        assert!(matches!(software.unwrap().outcome, Outcome::Works(_)), "{report:?}");
    }
}

#[test]
fn a_trial_looks_at_what_comes_out_and_has_another_go_on() {
    let request = serde_json::json!({
        "factory": "x264enc", "settings": Settings::default(), "shape": SHAPE, "pictures": 40,
        "patience_ms": 10_000, "full": true,
    });
    let mut child = Command::new(env!("CARGO_BIN_EXE_parvis-media"))
        .arg("trial")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(request.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let outcome: Outcome = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    let Outcome::Works(works) = outcome else { panic!("{outcome:?}") };
    let full = works.full.unwrap();
    assert_eq!((works.pictures, full.went_on.as_str()), (40, "openh264enc"));
    assert!(full.colour_error <= 12 && full.bytes > 1000, "{full:?}");
}
