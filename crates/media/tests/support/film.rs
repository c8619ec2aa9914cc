// SPDX-License-Identifier: EUPL-1.2
//! Captures with pictures and sound that a decoder takes, and looks at the films that were composed of them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSrc};
use parvis_jobs::{Codec, Origin, Participant, StopReason, ToServer, ToWorker, UnixMicros};
use parvis_media::age::Identity;
use parvis_media::capture::{Capture, Settings};
use parvis_media::compose::layout::{Arrangement, Cell, Rect, cells};
use parvis_media::compose::{Layout, Options};
use parvis_media::manifest::{FileEntry, Manifest, Part, Track};
use parvis_media::mkv::{self, ClusterWriter, TrackHead, Visible};

use super::worker::{Worker, now};
use super::{Sender, at, start};

/// Luma and both chromas.
pub(crate) type Colour = [u8; 3];

pub(crate) const SIZE: (u32, u32) = (320, 180);
pub(crate) const CANVAS: Rect = Rect { x: 0, y: 0, width: SIZE.0, height: SIZE.1 };
pub(crate) const RED: Colour = [82, 90, 240];
pub(crate) const GREEN: Colour = [145, 54, 34];
pub(crate) const BLUE: Colour = [41, 240, 110];
pub(crate) const PLACEHOLDER: Colour = [60, 134, 122];

pub(crate) fn options(layout: Layout) -> Options {
    Options { layout, width: SIZE.0, height: SIZE.1, kbits: 1000, ..Options::default() }
}

pub(crate) fn tone(hertz: f64) -> impl Fn(f64) -> f64 {
    move |seconds| 0.3 * (std::f64::consts::TAU * hertz * seconds).sin()
}

pub(crate) fn is_near(one: Colour, other: Colour) -> bool {
    one.iter().zip(other).all(|(one, other)| one.abs_diff(other) <= 12)
}

/// The middle of a picture.
pub(crate) fn middle(cell: &Cell) -> (u32, u32) {
    let Rect { x, y, width, height } = cell.picture;
    (x + width / 2, y + height / 2)
}

/// Whether a picture of the film has these colours in the middle of these tiles.
fn shows(film: &Film, picture: usize, arrangement: Arrangement, colours: &[Colour]) -> bool {
    let cells = cells(arrangement, CANVAS, colours.len());
    cells.iter().zip(colours).all(|(cell, colour)| {
        let (x, y) = middle(cell);
        is_near(film.colour(picture, x, y), *colour)
    })
}

/// Goes through all pictures of a film: each shows what belongs to its scene, or, within `ms` of a change, to the one
/// before; nothing else is ever seen.
pub(crate) fn assert_scenes(film: &Film, arrangement: Arrangement, scenes: &[(u64, &[Colour])], ms: u64) {
    let scenes: Vec<_> = scenes.iter().map(|(from, colours)| (*from, arrangement, *colours)).collect();
    assert_seen(film, &scenes, ms);
}

/// As [`assert_scenes`], of scenes with arrangements of their own.
pub(crate) fn assert_seen(film: &Film, scenes: &[(u64, Arrangement, &[Colour])], ms: u64) {
    assert_seen_from(film, 0, scenes, ms);
}

/// As [`assert_seen`], of a film whose picture `first` is that of the moment 0; those before are passed over.
pub(crate) fn assert_seen_from(film: &Film, first: usize, scenes: &[(u64, Arrangement, &[Colour])], ms: u64) {
    for picture in first..film.len() {
        let now = (picture - first) as u64 * 1000 / 30;
        let scene = scenes.iter().rposition(|(from, ..)| *from <= now + 17).unwrap();
        let (from, arrangement, colours) = scenes[scene];
        let before = scene.checked_sub(1).filter(|_| now < from + ms).map(|before| scenes[before]);
        let shown = shows(film, picture, arrangement, colours)
            || before.is_some_and(|(_, arrangement, colours)| shows(film, picture, arrangement, colours));
        let cells = cells(arrangement, CANVAS, colours.len());
        let seen: Vec<Colour> =
            cells.iter().map(|cell| film.colour(picture, middle(cell).0, middle(cell).1)).collect();
        assert!(shown, "at {now} ms: {seen:?} instead of {colours:?}");
    }
}

/// A track that sends: from when to when it is there, in milliseconds, and its frames, one each so many.
pub(crate) struct Feed {
    sender: Sender,
    from: u64,
    to: u64,
    step: u64,
    frames: Vec<Vec<u8>>,
    next: usize,
    /// From when to when it is muted: nothing is sent. It must end where there is a key frame, each [`Feed::KEYS`].
    pub(crate) muted: Option<(u64, u64)>,
}

impl Feed {
    /// How many milliseconds a camera's key frames are apart.
    pub(crate) const KEYS: u64 = 1980;

    /// A camera, 15 frames a second, `colour` says the colour of each by its time since the track's beginning.
    pub(crate) fn camera(who: &str, ssrc: u32, from: u64, to: u64, colour: impl Fn(u64) -> Colour) -> Feed {
        const STEP: u64 = 66;
        let frames = vp8((0..(to - from) / STEP).map(|number| colour(number * STEP)), 320, 180);
        Feed::new(who, Codec::Vp8, ssrc, (from, to, STEP), frames)
    }

    /// A microphone; `sample` says the value at each time since the track's beginning, in seconds.
    pub(crate) fn microphone(who: &str, ssrc: u32, from: u64, to: u64, sample: impl Fn(f64) -> f64) -> Feed {
        let samples = (0..(to - from) * 48).map(|number| sample(number as f64 / 48_000.0) as f32);
        Feed::new(who, Codec::Opus, ssrc, (from, to, 20), opus(samples))
    }

    pub(crate) fn share(mut self) -> Feed {
        self.sender.source.origin = Origin::ScreenShare;
        self
    }

    fn new(
        who: &str,
        codec: Codec,
        ssrc: u32,
        (from, to, step): (u64, u64, u64),
        frames: Vec<Vec<u8>>,
    ) -> Feed {
        let mut sender = Sender::new(&format!("TR_{ssrc}"), codec, ssrc);
        sender.source.participant = who.to_owned();
        Feed { sender, from, to, step, frames, next: 0, muted: None }
    }

    fn id(&self) -> String {
        self.sender.source.track.clone()
    }

    /// The packets that are due.
    fn due(&mut self, now: u64) -> Vec<Vec<u8>> {
        let due = self.from + self.next as u64 * self.step;
        if now < due || now >= self.to || self.next >= self.frames.len() {
            return Vec::new();
        }
        let frame = std::mem::take(&mut self.frames[self.next]);
        self.next += 1;
        let is_sound = self.sender.source.codec == Codec::Opus;
        if self.muted.is_some_and(|(from, to)| (from..to).contains(&now)) {
            self.sender.step((self.step * if is_sound { 48 } else { 90 }) as u32);
            return Vec::new();
        }
        let chunks: Vec<Vec<u8>> = if is_sound {
            vec![frame]
        } else {
            let first = |place: usize| [if place == 0 { 0x10 } else { 0 }];
            frame.chunks(1000).enumerate().map(|(place, chunk)| [&first(place), chunk].concat()).collect()
        };
        let packets = self.sender.payloads(&chunks);
        self.sender.step((self.step * if is_sound { 48 } else { 90 }) as u32);
        packets
    }
}

/// Captures a meeting of `ms`: who comes and goes, and what they send. Events are told at their time.
pub(crate) fn capture(
    directory: &Path,
    identity: Option<&Identity>,
    ms: u64,
    people: &[(&str, &str, u64, u64)],
    mut feeds: Vec<Feed>,
    speakers: &[(u64, &str)],
) {
    std::fs::create_dir(directory).unwrap();
    let start = start(directory, identity);
    let mut capture = Capture::start(&start, directory, "test", Settings::default(), at(0)).unwrap();
    for now in 0..ms {
        let moment = at(now * 1000);
        let mut say = |message| capture.message(moment, message);
        for (id, name, from, to) in people {
            if *from == now {
                let identity = name.to_lowercase();
                let participant = Participant { id: (*id).to_owned(), identity, name: (*name).to_owned() };
                say(ToWorker::Joined { participant, at: moment });
            }
            if *to == now {
                say(ToWorker::Left { participant: (*id).to_owned(), at: moment });
            }
        }
        for feed in &mut feeds {
            if feed.from == now {
                feed.sender.source.at = moment;
                say(ToWorker::Source(Box::new(feed.sender.source.clone())));
            }
            if feed.to == now {
                say(ToWorker::SourceEnded { track: feed.id(), at: moment });
            }
            if let Some((from, to)) = feed.muted
                && (now == from || now == to)
            {
                say(ToWorker::Muted { track: feed.id(), muted: now == from, at: moment });
            }
        }
        for (_, speaker) in speakers.iter().filter(|(from, _)| *from == now) {
            say(ToWorker::Speakers { participants: vec![(*speaker).to_owned()], at: moment });
        }
        for feed in &mut feeds {
            for mut packet in feed.due(now) {
                capture.datagram(moment, &mut packet);
            }
        }
        if now % 10 == 0 {
            capture.tick(moment);
            let _ = capture.outgoing().count();
        }
    }
    capture.message(at(ms * 1000), ToWorker::Stop { reason: StopReason::Requested });
    assert!(capture.is_over());
}

/// As [`capture`], in real time and into a worker that runs, of which all that it says comes back. `tick` is called each
/// millisecond or so with the time; it may say something besides.
pub(crate) fn perform(
    worker: &mut Worker,
    ms: u64,
    people: &[(&str, &str, u64, u64)],
    feeds: &mut [Feed],
    speakers: &[(u64, &str)],
    mut tick: impl FnMut(u64, &mut Worker),
) -> (UnixMicros, Vec<ToServer>) {
    /// Control and media are two ways: a source is told so long before its packets come.
    const AHEAD: u64 = 150;
    let said = worker.listen();
    let (begun, zero) = (Instant::now(), UnixMicros(now() + AHEAD * 1000));
    let (mut heard, mut done) = (Vec::new(), 0);
    while done < ms + AHEAD {
        let elapsed = u64::try_from(begun.elapsed().as_millis()).unwrap().min(ms + AHEAD);
        for soon in done..elapsed {
            let at = |now: u64| UnixMicros(zero.0 + now * 1000);
            for feed in feeds.iter_mut().filter(|feed| feed.from == soon) {
                feed.sender.source.at = at(feed.from);
                worker.say(&ToWorker::Source(Box::new(feed.sender.source.clone())));
            }
            for (id, name, from, to) in people {
                if *from == soon {
                    let identity = name.to_lowercase();
                    let participant =
                        Participant { id: (*id).to_owned(), identity, name: (*name).to_owned() };
                    worker.say(&ToWorker::Joined { participant, at: at(*from) });
                }
                if *to + AHEAD == soon {
                    worker.say(&ToWorker::Left { participant: (*id).to_owned(), at: at(*to) });
                }
            }
            let Some(now) = soon.checked_sub(AHEAD) else { continue };
            for feed in feeds.iter_mut() {
                if feed.to == now {
                    worker.say(&ToWorker::SourceEnded { track: feed.id(), at: at(now) });
                }
                if let Some((from, to)) = feed.muted
                    && (now == from || now == to)
                {
                    worker.say(&ToWorker::Muted { track: feed.id(), muted: now == from, at: at(now) });
                }
            }
            for (_, speaker) in speakers.iter().filter(|(from, _)| *from == now) {
                worker.say(&ToWorker::Speakers { participants: vec![(*speaker).to_owned()], at: at(now) });
            }
            for packet in feeds.iter_mut().flat_map(|feed| feed.due(now)) {
                worker.media.send(&packet).unwrap();
            }
            tick(now, worker);
        }
        done = elapsed;
        heard.extend(said.try_iter());
        std::thread::sleep(Duration::from_millis(1));
    }
    worker.say(&ToWorker::Stop { reason: StopReason::Requested });
    heard.extend(said.iter());
    (zero, heard)
}

fn vp8(colours: impl Iterator<Item = Colour>, width: usize, height: usize) -> Vec<Vec<u8>> {
    let frames = colours.map(|[luma, blue, red]| {
        let chroma = width * height / 4;
        [vec![luma; width * height], vec![blue; chroma], vec![red; chroma]].concat()
    });
    encoded(
        &format!("video/x-raw,format=I420,width={width},height={height},framerate=15/1"),
        "vp8enc deadline=1 cpu-used=8 target-bitrate=500000 keyframe-max-dist=30",
        frames,
        66,
    )
    .0
}

fn opus(samples: impl Iterator<Item = f32>) -> Vec<Vec<u8>> {
    let bytes: Vec<u8> = samples.flat_map(f32::to_le_bytes).collect();
    encoded(
        "audio/x-raw,format=F32LE,rate=48000,channels=1,layout=interleaved",
        "audioconvert ! audioresample ! opusenc bitrate=64000 frame-size=20",
        bytes.chunks(960 * 4).map(<[u8]>::to_vec),
        20,
    )
    .0
}

/// Adds a track to a recording, as a file of its own: a second of one colour, in a codec.
pub(crate) fn add_track(directory: &Path, who: &str, codec: Codec, encoder: &str, [luma, blue, red]: Colour) {
    const STEP: u64 = 66;
    let frame = [vec![luma; 320 * 180], vec![blue; 160 * 90], vec![red; 160 * 90]].concat();
    let raw = "video/x-raw,format=I420,width=320,height=180,framerate=15/1";
    let (frames, private) = encoded(raw, encoder, std::iter::repeat_n(frame, 15), STEP);
    let visible = Some(Visible { width: 320, height: 180 });
    let track = TrackHead { codec, private, visible, channels: 0, uid: 7, zero: at(0) };
    let (mut file, mut cluster) = (mkv::head(&track), ClusterWriter::default());
    for (number, frame) in frames.iter().enumerate() {
        assert!(cluster.push(number as u64 * STEP, number == 0, frame));
    }
    cluster.take(&mut file);
    let name = format!("{who}.mkv");
    std::fs::write(directory.join(&name), file).unwrap();
    let mut manifest = Manifest::read(directory).unwrap();
    let part = Part {
        file: FileEntry { name, bytes: None, sha256: None },
        first: 0,
        last: 14 * STEP * 1000,
        frames: frames.len() as u64,
        sizes: Vec::new(),
    };
    let what = (codec.kind(), Origin::Camera);
    let begun = Track::begun(format!("TR_{who}"), who.to_owned(), what, codec, 0);
    manifest.tracks.push(Track { parts: vec![part], ..begun });
    manifest.write(directory, false).unwrap();
}

/// The frames, and what decoders must know first.
fn encoded(
    caps: &str,
    encoder: &str,
    raw: impl Iterator<Item = Vec<u8>>,
    step: u64,
) -> (Vec<Vec<u8>>, Vec<u8>) {
    gst::init().unwrap();
    let chain = format!(
        "appsrc name=in format=time max-bytes=0 caps={caps} ! {encoder} ! appsink name=out sync=false"
    );
    let pipeline: gst::Pipeline = gst::parse::launch(&chain).unwrap().downcast().unwrap();
    let source: AppSrc = pipeline.by_name("in").unwrap().downcast().unwrap();
    let sink: AppSink = pipeline.by_name("out").unwrap().downcast().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    for (number, bytes) in raw.enumerate() {
        let mut buffer = gst::Buffer::from_mut_slice(bytes);
        buffer.get_mut().unwrap().set_pts(gst::ClockTime::from_mseconds(number as u64 * step));
        buffer.get_mut().unwrap().set_duration(gst::ClockTime::from_mseconds(step));
        source.push_buffer(buffer).unwrap();
    }
    source.end_of_stream().unwrap();
    let (mut frames, mut private) = (Vec::new(), Vec::new());
    while let Ok(sample) = sink.pull_sample() {
        let head = sample.caps().and_then(|caps| caps.structure(0)?.get::<gst::Buffer>("codec_data").ok());
        if let Some(head) = head {
            private = head.map_readable().unwrap().to_vec();
        }
        frames.push(sample.buffer().unwrap().map_readable().unwrap().to_vec());
    }
    pipeline.set_state(gst::State::Null).unwrap();
    (frames, private)
}

/// A film, decoded by ffmpeg.
pub(crate) struct Film {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pictures: Vec<u8>,
    /// 48 kHz, one channel.
    pub(crate) sound: Vec<f32>,
}

impl Film {
    pub(crate) fn open(path: &Path, (width, height): (u32, u32)) -> Film {
        let run = |arguments: &[&str]| {
            let head = ["-v", "error", "-i", path.to_str().unwrap()];
            let output = Command::new("ffmpeg").args(head).args(arguments).arg("-").output().unwrap();
            assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
            output.stdout
        };
        let pictures =
            run(&["-map", "0:v", "-vsync", "passthrough", "-f", "rawvideo", "-pix_fmt", "yuv420p"]);
        Film { width: width as usize, height: height as usize, pictures, sound: sound(path) }
    }

    /// A single picture, which has no sound.
    pub(crate) fn open_still(path: &Path, (width, height): (u32, u32)) -> Film {
        let output = Command::new("ffmpeg")
            .args(["-v", "error", "-i", path.to_str().unwrap(), "-vf", "scale=out_range=tv,format=yuv420p"])
            .args(["-f", "rawvideo", "-"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let (width, height) = (width as usize, height as usize);
        assert_eq!(output.stdout.len(), width * height * 3 / 2);
        Film { width, height, pictures: output.stdout, sound: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.pictures.len() / self.size()
    }

    fn size(&self) -> usize {
        self.width * self.height * 3 / 2
    }

    /// The colour of a sample of a picture.
    pub(crate) fn colour(&self, picture: usize, x: u32, y: u32) -> Colour {
        let picture = &self.pictures[picture * self.size()..][..self.size()];
        let (x, y, luma) = (x as usize, y as usize, self.width * self.height);
        let chroma = y / 2 * (self.width / 2) + x / 2;
        [picture[y * self.width + x], picture[luma + chroma], picture[luma + luma / 4 + chroma]]
    }
}

/// A film's sound, from its time 0 on.
pub(crate) fn sound(path: &Path) -> Vec<f32> {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-i", path.to_str().unwrap(), "-map", "0:a", "-af"])
        .args(["aresample=async=1:first_pts=0,pan=mono|c0=c0", "-ar", "48000", "-f", "f32le", "-"])
        .output()
        .unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    output.stdout.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect()
}

/// What ffprobe says of a film.
pub(crate) fn probe(path: &Path) -> serde_json::Value {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-of", "json", "-show_streams", "-show_format", path.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// How loud a tone is in a stretch of sound, in seconds, as its amplitude.
pub(crate) fn loudness(sound: &[f32], hertz: f64, from: f64, to: f64) -> f64 {
    let stretch = &sound[(from * 48_000.0) as usize..(to * 48_000.0) as usize];
    let turn = std::f64::consts::TAU * hertz / 48_000.0;
    let (mut cosine, mut sine) = (0.0, 0.0);
    for (number, sample) in stretch.iter().enumerate() {
        cosine += f64::from(*sample) * (turn * number as f64).cos();
        sine += f64::from(*sample) * (turn * number as f64).sin();
    }
    2.0 * (cosine * cosine + sine * sine).sqrt() / stretch.len() as f64
}

/// Ada in red, who says something, with a name that is long enough to be seen.
pub(crate) fn ada(temp: &super::Temp, ms: u64) -> PathBuf {
    let recording = temp.below("recording");
    let feeds =
        vec![Feed::camera("PA_a", 1, 0, ms, |_| RED), Feed::microphone("PA_a", 2, 0, ms, tone(440.0))];
    capture(&recording, None, ms, &[("PA_a", "Ada", 0, ms + 100)], feeds, &[]);
    recording
}

/// The names in a directory, in order.
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A PNG of one colour, by ffmpeg.
pub(crate) fn png(path: &Path, colour: &str, size: &str) {
    let source = format!("color={colour}:s={size},format=rgba");
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-f", "lavfi", "-i", &source, "-frames:v", "1"])
        .arg(path)
        .status();
    assert!(made.unwrap().success());
}
