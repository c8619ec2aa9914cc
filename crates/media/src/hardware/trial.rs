// SPDX-License-Identifier: EUPL-1.2
//! One encoder is tried with pictures of our making: what the process does that [`probe`](super::probe) starts for it.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use gstreamer as gst;
use serde::{Deserialize, Serialize};

use super::apply::Deviation;
use super::encoder::{EncodeError, Encoder, Switch, Unit};
use super::pattern;
use super::running::{Refusal, Stage};
use super::settings::{Family, Settings, Shape};
use super::table::Candidate;
use super::{Encoders, pattern::COLOURS};

/// What is to be tried. It comes as JSON by standard input.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Request {
    /// The element.
    pub factory: String,
    /// What is asked of it.
    pub settings: Settings,
    /// Of the pictures.
    pub shape: Shape,
    /// How many.
    pub pictures: u64,
    /// How long it may take to open, and give nothing, in milliseconds.
    pub patience_ms: u64,
    /// Look at what comes out, and whether another encoder goes on in the middle.
    pub full: bool,
}

/// An encoder that works.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Works {
    /// Pictures that it encoded.
    pub pictures: u64,
    /// How long that took, without opening it, in seconds.
    pub seconds: f64,
    /// What it did not take of the settings.
    pub deviations: Vec<Deviation>,
    /// What a full trial looks at.
    pub full: Option<Full>,
}

impl Works {
    /// Pictures a second.
    pub fn rate(&self) -> f64 {
        self.pictures as f64 / self.seconds.max(0.001)
    }
}

/// What a full trial saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Full {
    /// How far the worst colour is off once decoded, of 255.
    pub colour_error: u8,
    /// Bytes that all pictures took.
    pub bytes: u64,
    /// Which encoder went on when this one was given up in the middle, and lost and doubled nothing.
    pub went_on: String,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It works.
    Works(Works),
    /// It does not.
    Refused(Refusal),
    /// One before it was taken already.
    NotTried,
}

/// Colours may be off by so much: encoders at low quality are off by 3.
pub const MAX_COLOUR_ERROR: u8 = 12;
/// After so long no more pictures are put in, so that a slow encoder's speed is known in time as well.
const LONGEST: Duration = Duration::from_secs(10);

/// Reads a request from standard input, tries the encoder, and writes the outcome as one line to standard output.
pub fn serve() -> Result<(), Box<dyn std::error::Error>> {
    let mut request = String::new();
    io::stdin().take(MAX_REQUEST_BYTES).read_to_string(&mut request)?;
    let request: Request = serde_json::from_str(&request)?;
    gst::init()?;
    let outcome = serde_json::to_string(&run(&request))?;
    let mut out = io::stdout();
    // Drivers write there too, and not always whole lines.
    writeln!(out, "\n{outcome}")?;
    Ok(out.flush()?)
}

const MAX_REQUEST_BYTES: u64 = 64 * 1024;

/// Tries an encoder in this process, which hangs or dies where the driver does.
pub fn run(request: &Request) -> Outcome {
    match tried(request) {
        Ok(works) => Outcome::Works(works),
        Err(refusal) => Outcome::Refused(refusal),
    }
}

fn tried(request: &Request) -> Result<Works, Refusal> {
    let Request { factory, shape, pictures, full, .. } = request;
    let unknown = || Refusal::new(Stage::Lookup, "it is not in our table of encoders");
    let candidate = Candidate::named(factory).ok_or_else(unknown)?;
    let mut encoder = started(&Encoders::only(candidate), request)?;
    let since = Instant::now();
    let mut units = Vec::new();
    let mut count = 0;
    while count < *pictures && since.elapsed() < LONGEST {
        push(&mut encoder, *shape, count, &mut units)?;
        count += 1;
    }
    finish(&mut encoder, &mut units)?;
    let seconds = since.elapsed().as_secs_f64();
    let deviations = encoder.deviations().to_vec();
    let full = match full {
        true => Some(Full {
            colour_error: check(candidate, &encoder, &units, request)?,
            bytes: units.iter().map(|unit| unit.buffer.size() as u64).sum(),
            went_on: fail_over(candidate, request)?,
        }),
        false => None,
    };
    Ok(Works { pictures: units.len() as u64, seconds, deviations, full })
}

fn started(encoders: &Encoders, request: &Request) -> Result<Encoder, Refusal> {
    let patience = Duration::from_millis(request.patience_ms);
    Encoder::start(encoders, &request.settings, request.shape, patience).map_err(refusal)
}

fn push(encoder: &mut Encoder, shape: Shape, number: u64, units: &mut Vec<Unit>) -> Result<(), Refusal> {
    let no_memory = |error: gst::glib::BoolError| Refusal::new(Stage::Encode, error.to_string());
    encoder.push(pattern::picture(shape, number).map_err(no_memory)?).map_err(refusal)?;
    units.extend(encoder.units());
    Ok(())
}

fn finish(encoder: &mut Encoder, units: &mut Vec<Unit>) -> Result<(), Refusal> {
    encoder.finish().map_err(refusal)?;
    units.extend(encoder.units());
    Ok(())
}

/// What the one encoder that was tried failed at.
fn refusal(error: EncodeError) -> Refusal {
    match error {
        EncodeError::AllFailed(switches) => switches
            .into_iter()
            .next_back()
            .map_or_else(|| Refusal::new(Stage::Open, "it failed"), |switch: Switch| switch.refusal),
        EncodeError::None(_) => Refusal::new(Stage::Lookup, "there is none"),
    }
}

/// How far the worst colour is off, if every picture is there, in its place.
fn check(candidate: &Candidate, encoder: &Encoder, units: &[Unit], request: &Request) -> Result<u8, Refusal> {
    let wrong = |why: String| Refusal::new(Stage::Check, why);
    let caps = encoder.caps().ok_or_else(|| wrong("nothing came out".to_owned()))?;
    let patience = Duration::from_millis(request.patience_ms);
    let seen = pattern::decode(candidate.codec, caps, units, patience).map_err(wrong)?;
    if seen.len() != units.len() {
        return Err(wrong(format!("{} pictures were decoded of {}", seen.len(), units.len())));
    }
    if let Some((place, seen)) = (0..).zip(&seen).find(|(place, seen)| *place != seen.number) {
        return Err(wrong(format!("picture {place} shows the number {}", seen.number)));
    }
    let worst = seen.iter().max_by_key(|seen| seen.worst());
    let worst_error = worst.map_or(u8::MAX, |seen| seen.worst());
    if worst_error > MAX_COLOUR_ERROR {
        let colours = worst.map(|seen| seen.colours);
        return Err(wrong(format!("colours are off by {worst_error}: {colours:?} instead of {COLOURS:?}")));
    }
    Ok(worst_error)
}

/// Gives the encoder up in the middle, and says who went on.
fn fail_over(candidate: &'static Candidate, request: &Request) -> Result<String, Refusal> {
    const PICTURES: u64 = 30;
    let is_there = |other: &&Candidate| gst::ElementFactory::find(other.factory).is_some();
    let mut others = Candidate::of(candidate.codec)
        .filter(|other| other.family == Family::Software && *other != candidate)
        .filter(is_there);
    // The same once more, where there is no other.
    let next = others.next().unwrap_or(candidate);
    let mut encoder = started(&Encoders::of([candidate, next]), request)?;
    let mut units = Vec::new();
    for number in 0..PICTURES {
        if number == PICTURES / 2 {
            encoder.give_up("the trial asked for it").map_err(refusal)?;
        }
        push(&mut encoder, request.shape, number, &mut units)?;
    }
    finish(&mut encoder, &mut units)?;
    if units.len() as u64 != PICTURES {
        return Err(Refusal::new(Stage::Check, format!("{} pictures of {PICTURES} came out", units.len())));
    }
    check(candidate, &encoder, &units, request)?;
    Ok(encoder.factory().to_owned())
}
