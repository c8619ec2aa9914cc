// SPDX-License-Identifier: EUPL-1.2
//! The loop of a live film: picture n at its moment, as much behind the room as its packets may need.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parvis_jobs::{Kind, LiveLayout, UnixMicros};

use super::outputs::Outputs;
use super::people::People;
use super::source::Live;
use super::tap::{News, Tap};
use crate::compose::decode::{Pictures, Sound};
use crate::compose::options::{Format, Layout, Looks, Options, Place, Subject, Watermark};
use crate::compose::stage::{self, Stage};
use crate::compose::story::Story;
use crate::compose::{ComposeError, SAMPLE_RATE};
use crate::hardware::Encoders;
use crate::timeline::{Entry, What};

/// A picture that would come so much later than it should is left out, in microseconds. Six pictures at 30 a second: less would
/// leave pictures out for a moment's hesitation, which the next ones catch up with.
const LATE: u64 = 200_000;
/// Whoever is so far behind, leaving out all that can be, never catches up. In microseconds.
const LOST: u64 = 10_000_000;
/// The longest nap between two looks at what encoders have done.
const NAP: Duration = Duration::from_millis(8);

pub(super) struct Run {
    tap: Arc<Tap>,
    options: Options,
    stage: Stage,
    people: People,
    story: Story,
    /// At the place of their track in the story.
    tracks: Vec<Track>,
    outputs: Outputs,
    clock: Box<dyn Fn() -> UnixMicros + Send>,
    /// How far behind the room, in microseconds.
    delay: u64,
    /// The moment of picture 0, in microseconds since the recording's start.
    begin: u64,
}

struct Track {
    number: u64,
    pictures: Option<Pictures<Live>>,
    sound: Option<Sound<Live>>,
    /// Shows another picture than when it was last painted.
    changed: bool,
}

impl Run {
    pub(super) fn new(
        live: &parvis_jobs::Live,
        directory: &Path,
        tap: &Arc<Tap>,
        encoders: &Encoders,
        clock: Box<dyn Fn() -> UnixMicros + Send>,
        delay: u64,
    ) -> Result<Run, ComposeError> {
        let options = options(live);
        options.check()?;
        check(live)?;
        let zero = clock();
        let stage = Stage::new(&options, tap.started_at())?;
        let info = options.has_pictures().then(|| stage.info());
        let outputs = Outputs::new(live, directory, tap, info, encoders, zero)?;
        let people = People::new(tap.started_at());
        Ok(Run {
            tap: Arc::clone(tap),
            options,
            story: people.story(),
            stage,
            people,
            tracks: Vec::new(),
            outputs,
            clock,
            delay,
            begin: zero.0.saturating_sub(tap.started_at().0),
        })
    }

    /// Until the film is told to end.
    pub(super) fn run(mut self) -> Result<(), ComposeError> {
        let rate = u64::from(self.options.rate);
        let mut notes = Vec::new();
        for number in 0.. {
            let moment = self.begin + number * 1_000_000 / rate;
            if self.tap.end().is_some_and(|end| moment >= end) {
                break;
            }
            let behind = self.wait_for(moment + self.delay)?;
            if behind > LOST {
                return Err(ComposeError::Pipeline(format!(
                    "the film is {} s behind the room, and this machine can't catch up",
                    behind / 1_000_000
                )));
            }
            self.listen(moment);
            let (from, to) = (number * SAMPLE_RATE / rate, (number + 1) * SAMPLE_RATE / rate);
            self.mix(from, to, &mut notes)?;
            let is_late = behind > LATE && !self.outputs.needs(number);
            let picture = self.picture(moment, 500_000 / rate, is_late, &mut notes)?;
            if let Some(picture) = &picture {
                self.outputs.picture(number, picture)?;
            }
            self.outputs.passed(number);
            let failures = u32::try_from(notes.len()).unwrap_or(u32::MAX);
            notes.clear();
            self.tap.count(|progress| {
                progress.behind_micros = behind;
                progress.pictures += u64::from(picture.is_some());
                progress.dropped_pictures += u64::from(is_late);
                progress.decoder_failures = progress.decoder_failures.saturating_add(failures);
            });
            self.outputs.collect()?;
        }
        self.outputs.finish()
    }

    /// Sleeps until a moment, and says by how much it is over.
    fn wait_for(&mut self, due: u64) -> Result<u64, ComposeError> {
        loop {
            let now = (self.clock)().0.saturating_sub(self.tap.started_at().0);
            match due.checked_sub(now).filter(|left| *left > 0) {
                None => return Ok(now - due),
                Some(left) => std::thread::sleep(NAP.min(Duration::from_micros(left))),
            }
            self.outputs.collect()?;
        }
    }

    fn mix(&mut self, from: u64, to: u64, notes: &mut Vec<crate::compose::Note>) -> Result<(), ComposeError> {
        // Tracks count from the recording's start, the film from its own.
        let shift = self.begin * SAMPLE_RATE / 1_000_000;
        let sounds = self.tracks.iter_mut().filter_map(|track| track.sound.as_mut());
        let mixed = stage::mix(sounds, shift + from, shift + to, notes)?;
        self.outputs.sound(from, &mixed)
    }

    /// The picture of a moment, with frames that are due within half a picture; none if it is to be left out.
    fn picture(
        &mut self,
        moment: u64,
        half: u64,
        is_late: bool,
        notes: &mut Vec<crate::compose::Note>,
    ) -> Result<Option<gstreamer::Buffer>, ComposeError> {
        if !self.options.has_pictures() {
            return Ok(None);
        }
        let pictures = self.tracks.iter_mut().map(|track| track.pictures.as_mut());
        let advanced = stage::advance(pictures, moment + half, notes)?;
        for (track, advanced) in self.tracks.iter_mut().zip(advanced) {
            track.changed |= advanced;
        }
        if is_late {
            return Ok(None);
        }
        let changed: Vec<bool> =
            self.tracks.iter_mut().map(|track| std::mem::take(&mut track.changed)).collect();
        let shown = |place: usize| self.tracks.get(place).and_then(|track| track.pictures.as_ref()?.shown());
        let scene = (&self.story, self.options.layout, self.options.subject.as_ref());
        self.stage.picture(scene, moment, &changed, &shown).map(Some)
    }

    /// Takes in what happened since.
    fn listen(&mut self, moment: u64) {
        let mut anew = false;
        for news in self.tap.take_news() {
            anew = true;
            match news {
                News::Said(entry) => self.people.add_line(entry, moment),
                News::Began { number, track, channels, muted } => {
                    let (codec, name) = (track.codec, track.track.clone());
                    let live = || Live::new(Arc::clone(&self.tap), number, name.clone(), codec, channels);
                    let is_seen = track.kind == Kind::Video && self.options.has_pictures();
                    self.tracks.push(Track {
                        number,
                        pictures: is_seen.then(|| Pictures::new(live())),
                        sound: (track.kind == Kind::Audio).then(|| Sound::new(live())),
                        changed: false,
                    });
                    if muted {
                        let at = i64::try_from(track.from).unwrap_or(i64::MAX);
                        let what = What::Muted { track: name.clone(), muted };
                        self.people.add_line(Entry { at, what }, moment);
                    }
                    self.people.add_track(*track);
                }
                News::Ended { number, at } => {
                    let place = self.tracks.iter().position(|track| track.number == number);
                    if let Some(place) = place {
                        self.people.end_track(place, at);
                    }
                }
                News::Layout(layout, subject) => self.lay_out(layout, subject),
            }
        }
        for place in self.people.remove_settled(moment) {
            self.tracks.remove(place);
            anew = true;
        }
        if anew {
            self.story = self.people.story();
            self.stage.look_again();
        }
    }

    /// From sound alone to pictures there is no way, nor back: the renditions are as they were begun.
    fn lay_out(&mut self, layout: LiveLayout, subject: Option<String>) {
        let layout = layout_of(layout);
        if (layout == Layout::Audio) == (self.options.layout == Layout::Audio) {
            self.options.layout = layout;
            self.options.subject = subject.filter(|_| layout == Layout::Single).map(Subject::Participant);
        }
    }
}

fn layout_of(layout: LiveLayout) -> Layout {
    match layout {
        LiveLayout::Grid => Layout::Grid,
        LiveLayout::Speaker => Layout::Speaker,
        LiveLayout::Screen => Layout::Screen,
        LiveLayout::Single => Layout::Single,
        LiveLayout::Audio => Layout::Audio,
    }
}

fn options(live: &parvis_jobs::Live) -> Options {
    let layout = layout_of(live.layout);
    let text = |text: &Option<String>| text.clone().filter(|_| layout != Layout::Audio);
    Options {
        layout,
        subject: match (&live.subject, &live.subject_track) {
            _ if layout != Layout::Single => None,
            (Some(identity), _) => Some(Subject::Participant(identity.clone())),
            (None, track) => track.clone().map(Subject::Track),
        },
        format: Format::Mp4,
        width: live.width,
        height: live.height,
        rate: live.rate,
        kbits: live.kbits,
        looks: Looks {
            title: text(&live.title),
            clock: (live.clock && layout != Layout::Audio).then_some(0),
            watermark: text(&live.watermark).map(|text| Watermark { text, place: Place::Diagonal }),
            ..Looks::default()
        },
        ..Options::default()
    }
}

/// What [`Options::check`] does not know of.
fn check(live: &parvis_jobs::Live) -> Result<(), ComposeError> {
    let wrong = |what: String| Err(ComposeError::Options(what));
    let sizes = live.hls.iter().flat_map(|hls| &hls.renditions);
    let sizes = sizes.map(|rendition| (rendition.name.as_str(), rendition.width, rendition.height));
    for (name, width, height) in
        sizes.chain(live.images.iter().map(|images| ("images", images.width, images.height)))
    {
        let fits = |side: u32, most: u32| (2..=most).contains(&side) && side.is_multiple_of(2);
        if !fits(width, 3840) || !fits(height, 2160) {
            return wrong(format!("{name}: a size of {width}x{height}: take even numbers up to 3840x2160"));
        }
    }
    let Some(hls) = &live.hls else { return Ok(()) };
    let mut names: Vec<&str> = vec![parvis_jobs::AUDIO_RENDITION];
    for rendition in &hls.renditions {
        let name = rendition.name.as_str();
        let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if name.is_empty() || name.len() > 40 || !is_plain || names.contains(&name) {
            return wrong(format!(
                "a rendition's name {name:?}: letters, digits and -, each once, and not audio"
            ));
        }
        names.push(name);
    }
    if !(500..=30_000).contains(&hls.segment_millis) {
        return wrong(format!("segments of {} ms: take 500 to 30000", hls.segment_millis));
    }
    if hls.part_millis > hls.segment_millis {
        return wrong(format!("parts of {} ms are longer than their segment", hls.part_millis));
    }
    Ok(())
}
