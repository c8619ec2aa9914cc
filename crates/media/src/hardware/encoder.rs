// SPDX-License-Identifier: EUPL-1.2
//! An encoder that is replaced by the next one when it fails, with no picture lost or doubled.
//!
//! Each picture is kept until it and all before it have come out. Only then what came out is given away, so that what was
//! given away is always a whole beginning of the film, however the encoder changes the order of pictures. When it fails,
//! what it left half done is thrown away, and the next one begins with a key frame at the first picture that is still kept.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use gstreamer as gst;
use parvis_jobs::{EncoderFate, EncoderNote};
use serde::{Deserialize, Serialize};

use super::apply::Deviation;
use super::running::{Refusal, Running, Stage};
use super::settings::{Family, Settings, Shape};
use super::table::Candidate;
use super::{Encoders, VideoCodec};

/// Pictures that an encoder may have taken and not given back. Those in software look 60 ahead at most, with a few for their
/// threads; a picture of 720p takes 1.4 MB.
pub const MAX_HELD: u64 = 128;
/// Time that decoding times are moved apart by where a new encoder begins with earlier ones, in nanoseconds.
const STEP: i64 = 1_000_000;
/// How long the loop sleeps while it waits.
const NAP: gst::ClockTime = gst::ClockTime::from_mseconds(2);

/// A picture as it was written.
#[derive(Debug, Clone)]
pub struct Unit {
    /// Its number, from 0.
    pub number: u64,
    /// When it is shown, in nanoseconds.
    pub pts: i64,
    /// When it is decoded, in nanoseconds; below 0 where pictures change their order.
    pub dts: i64,
    /// Whether decoding can begin here.
    pub key: bool,
    /// The form of it, with the parameters of whichever encoder wrote it.
    pub caps: Option<gst::Caps>,
    /// The bytes.
    pub buffer: gst::Buffer,
}

/// An encoder that was given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switch {
    /// The element.
    pub factory: String,
    /// How many pictures were done by then, by whichever encoder.
    pub pictures: u64,
    /// Why.
    #[serde(flatten)]
    pub refusal: Refusal,
}

impl Switch {
    /// As whoever runs the worker is told.
    pub fn note(&self) -> EncoderNote {
        let family = Candidate::named(&self.factory).map_or(Family::Software, |of| of.family);
        EncoderNote {
            fate: EncoderFate::Failed,
            family: family.into(),
            factory: self.factory.clone(),
            why: format!("after {} pictures: {}", self.pictures, self.refusal.why),
        }
    }
}

impl fmt::Display for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Switch { factory, pictures, refusal } = self;
        write!(f, "{factory} failed after {pictures} pictures: {}", refusal.why)
    }
}

/// Why nothing is encoded any more.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// There was none to begin with.
    #[error("no encoder for {} was given", .0.name())]
    None(VideoCodec),
    /// Each of them failed.
    #[error("no encoder is left: {}", listed(.0))]
    AllFailed(Vec<Switch>),
}

fn listed(switches: &[Switch]) -> String {
    switches.iter().map(Switch::to_string).collect::<Vec<_>>().join("; ")
}

/// Encodes pictures, by whichever encoder still works.
pub struct Encoder {
    left: VecDeque<&'static Candidate>,
    settings: Settings,
    shape: Shape,
    patience: Duration,
    running: Running,
    /// From number `released` on.
    kept: VecDeque<gst::Buffer>,
    released: u64,
    /// How many were given to the encoder that runs, and those before.
    fed: u64,
    /// What came out, and something before it did not yet.
    waiting: Vec<Unit>,
    done: VecDeque<Unit>,
    last_dts: Option<i64>,
    progress: Instant,
    caps: Option<gst::Caps>,
    in_band: bool,
    switches: Vec<Switch>,
}

/// Set on a picture that is to become a key frame.
pub const KEY: gst::BufferFlags = gst::BufferFlags::MARKER;

impl Encoder {
    /// Opens the first of `encoders` that can be opened. One that takes and gives nothing for `patience` is given up.
    pub fn start(
        encoders: &Encoders,
        settings: &Settings,
        shape: Shape,
        patience: Duration,
    ) -> Result<Encoder, EncodeError> {
        let mut left: VecDeque<_> = encoders.candidates().collect();
        let codec = left.front().map_or(VideoCodec::H264, |candidate| candidate.codec);
        let mut switches = Vec::new();
        let running = next(&mut left, &mut switches, 0, |candidate| {
            Running::start(candidate, settings, shape, false, patience)
        });
        let Some(running) = running else {
            return Err(match switches.is_empty() {
                true => EncodeError::None(codec),
                false => EncodeError::AllFailed(switches),
            });
        };
        Ok(Encoder {
            left,
            settings: settings.clone(),
            shape,
            patience,
            running,
            kept: VecDeque::new(),
            released: 0,
            fed: 0,
            waiting: Vec::new(),
            done: VecDeque::new(),
            last_dts: None,
            progress: Instant::now(),
            caps: None,
            in_band: true,
            switches,
        })
    }

    /// Has encoders that go on keep their parameters out of the stream: whoever takes the units looks at [`Unit::caps`].
    pub fn keep_parameters_apart(&mut self) {
        self.in_band = false;
    }

    /// Collects what has come out meanwhile, without waiting for more.
    pub fn poll(&mut self) -> Result<(), EncodeError> {
        self.on(|_| Ok(true))
    }

    /// Takes the next picture, in I420; one with the flag [`KEY`] becomes a key frame. Returns once it is with an encoder.
    pub fn push(&mut self, mut picture: gst::Buffer) -> Result<(), EncodeError> {
        let (number, rate) = (self.taken(), u64::from(self.shape.rate).max(1));
        let moment = |number: u64| gst::ClockTime::from_nseconds(number * 1_000_000_000 / rate);
        let buffer = picture.make_mut();
        buffer.set_pts(moment(number));
        buffer.set_duration(moment(number + 1).saturating_sub(moment(number)));
        self.kept.push_back(picture);
        self.on(|encoder| Ok(encoder.fed == encoder.taken()))
    }

    /// Has all that is still in the encoder come out.
    pub fn finish(&mut self) -> Result<(), EncodeError> {
        let mut asked = None;
        self.on(|encoder| {
            if encoder.fed < encoder.taken() {
                return Ok(false);
            }
            // Each encoder is asked once.
            if asked != Some(encoder.switches.len()) {
                asked = Some(encoder.switches.len());
                encoder.running.end()?;
                encoder.progress = Instant::now();
            }
            match encoder.kept.len() {
                0 => Ok(true),
                // What is in the sink has been taken by now.
                missing if encoder.running.has_ended() => {
                    Err(format!("it ended with {missing} pictures missing"))
                }
                _ => Ok(false),
            }
        })
    }

    /// Gives the encoder up that runs, as if it had failed.
    pub fn give_up(&mut self, why: &str) -> Result<(), EncodeError> {
        self.switch(Refusal::new(Stage::Encode, why))
    }

    /// What is done, in the order of decoding.
    pub fn units(&mut self) -> impl Iterator<Item = Unit> + '_ {
        self.done.drain(..)
    }

    /// The form of what comes out, once something has. An encoder that goes on says its own parameters in the stream.
    pub fn caps(&self) -> Option<&gst::Caps> {
        self.caps.as_ref()
    }

    /// The element that encodes now.
    pub fn factory(&self) -> &'static str {
        self.running.candidate.factory
    }

    /// What it did not take of the settings.
    pub fn deviations(&self) -> &[Deviation] {
        &self.running.deviations
    }

    /// The encoders that were given up so far.
    pub fn switches(&self) -> &[Switch] {
        &self.switches
    }

    fn taken(&self) -> u64 {
        self.released + self.kept.len() as u64
    }

    /// Feeds and collects until `is_done`, by the next encoder where one fails.
    fn on(
        &mut self,
        mut is_done: impl FnMut(&mut Encoder) -> Result<bool, String>,
    ) -> Result<(), EncodeError> {
        let mut wait = gst::ClockTime::ZERO;
        // Whoever gives pictures may have taken his time.
        self.progress = Instant::now();
        loop {
            let step = self.step(wait).and_then(|()| is_done(self));
            match step {
                Ok(true) => return Ok(()),
                Ok(false) if self.progress.elapsed() > self.patience => {
                    let held = self.fed - self.released;
                    let why = format!(
                        "it gave nothing for {} s and holds {held} pictures",
                        self.patience.as_secs()
                    );
                    self.switch(Refusal::new(Stage::Encode, why))?;
                }
                Ok(false) => wait = NAP,
                Err(why) => {
                    // Its own words, where it has told them meanwhile.
                    let why = self.running.error().unwrap_or(why);
                    self.switch(Refusal::new(Stage::Encode, why))?;
                }
            }
        }
    }

    fn step(&mut self, wait: gst::ClockTime) -> Result<(), String> {
        self.collect(wait)?;
        if self.fed < self.taken() && self.running.has_ended() {
            return Err("it ended its stream while pictures were still coming".to_owned());
        }
        while self.fed < self.taken() && self.fed - self.released < MAX_HELD && self.running.has_room() {
            let Some(picture) = self.kept.get((self.fed - self.released) as usize) else { break };
            self.running.push(picture.clone())?;
            self.fed += 1;
            self.progress = Instant::now();
        }
        Ok(())
    }

    /// Takes what has come out, and says what went wrong before.
    fn collect(&mut self, wait: gst::ClockTime) -> Result<(), String> {
        // Asked first: what came out before an error is in the sink by now, and counts.
        let error = self.running.error();
        let mut wait = wait;
        while let Some(sample) = self.running.pull(wait) {
            wait = gst::ClockTime::ZERO;
            self.progress = Instant::now();
            let unit = self.unit(&sample)?;
            self.waiting.push(unit);
            self.release(&sample);
        }
        error.map_or(Ok(()), Err)
    }

    fn unit(&self, sample: &gst::Sample) -> Result<Unit, String> {
        let buffer = sample.buffer_owned().ok_or("it gave a picture without bytes")?;
        let segment = sample.segment().and_then(|segment| segment.downcast_ref::<gst::ClockTime>());
        // Encoders move time by a thousand hours, so that decoding times may be earlier.
        let moment = |at: Option<gst::ClockTime>| {
            let at = segment?.to_running_time_full(at?)?;
            let nanos = i64::try_from(at.abs().nseconds()).ok()?;
            Some(if at.is_positive() { nanos } else { -nanos })
        };
        let pts = moment(buffer.pts()).ok_or("it gave a picture without a time")?;
        let rate = i128::from(self.shape.rate.max(1));
        let number = (i128::from(pts) * rate + 500_000_000).div_euclid(1_000_000_000);
        let number = u64::try_from(number).ok().filter(|number| (self.released..self.fed).contains(number));
        let number = number.ok_or_else(|| format!("it gave a picture at {pts} ns, where none is due"))?;
        if self.waiting.iter().any(|unit| unit.number == number) {
            return Err(format!("it gave picture {number} twice"));
        }
        let dts = moment(buffer.dts()).unwrap_or(pts);
        let key = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
        Ok(Unit { number, pts, dts, key, caps: sample.caps_owned(), buffer })
    }

    /// Lets go of what has come out if nothing before it is missing.
    fn release(&mut self, sample: &gst::Sample) {
        let end = self.waiting.iter().map(|unit| unit.number + 1).max().unwrap_or(self.released);
        if end - self.released != self.waiting.len() as u64 {
            return;
        }
        if self.caps.is_none() {
            self.caps = sample.caps_owned();
        }
        self.kept.drain(..self.waiting.len());
        self.released = end;
        for mut unit in self.waiting.drain(..) {
            // Another encoder's decoding times may begin before those of the last one end.
            if let Some(last) = self.last_dts {
                unit.dts = unit.dts.max(last + STEP).min(unit.pts.max(last + 1));
            }
            self.last_dts = Some(unit.dts);
            self.done.push_back(unit);
        }
    }

    fn switch(&mut self, refusal: Refusal) -> Result<(), EncodeError> {
        let Encoder { left, switches, settings, shape, patience, released, caps, in_band, .. } = self;
        let factory = self.running.candidate.factory.to_owned();
        switches.push(Switch { factory, pictures: *released, refusal });
        let next = next(left, switches, *released, |candidate| {
            Running::start(candidate, settings, *shape, caps.is_some() && *in_band, *patience)
        });
        let Some(running) = next else { return Err(EncodeError::AllFailed(switches.clone())) };
        self.running = running;
        self.waiting.clear();
        self.fed = self.released;
        self.progress = Instant::now();
        Ok(())
    }
}

/// The first of those that are left that opens.
fn next(
    left: &mut VecDeque<&'static Candidate>,
    switches: &mut Vec<Switch>,
    pictures: u64,
    open: impl Fn(&'static Candidate) -> Result<Running, Refusal>,
) -> Option<Running> {
    while let Some(candidate) = left.pop_front() {
        match open(candidate) {
            Ok(running) => return Some(running),
            Err(refusal) => {
                switches.push(Switch { factory: candidate.factory.to_owned(), pictures, refusal });
            }
        }
    }
    None
}
