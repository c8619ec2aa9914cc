// SPDX-License-Identifier: EUPL-1.2
//! The loop that makes a film of a capture: for each picture of it, what belongs to that moment is decoded, painted and handed on.

use gstreamer as gst;
use parvis_jobs::Kind;

use super::decode::{Files, Parts, Pictures, Sound};
use super::options::Options;
use super::output::Output;
use super::stage::{self, Stage};
use super::story::Story;
use super::thumbnails::Shots;
use super::work::Work;
use super::{ComposeError, Note, SAMPLE_RATE};
use crate::manifest::Manifest;

/// How many pictures there are of so many microseconds.
pub(super) fn count(micros: u64, rate: u32) -> u64 {
    let all = u128::from(micros) * u128::from(rate);
    u64::try_from(all.div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

/// The moment of a picture, in microseconds.
pub(super) fn moment(number: u64, rate: u32) -> u64 {
    number * 1_000_000 / u64::from(rate)
}

/// The samples that belong to a picture: the first, and the first of the next.
pub(super) fn samples(number: u64, rate: u32) -> (u64, u64) {
    let rate = u64::from(rate);
    (number * SAMPLE_RATE / rate, (number + 1) * SAMPLE_RATE / rate)
}

/// The pictures of a film, one after the other.
pub(super) struct Reel<'a> {
    story: &'a Story,
    options: &'a Options,
    stage: Stage,
    /// At the place of their track in the manifest.
    pictures: Vec<Option<Pictures<Parts<'a>>>>,
    pub(super) notes: Vec<Note>,
}

impl<'a> Reel<'a> {
    /// From the picture with this number on. Each picture is the same wherever it was begun.
    pub(super) fn new(
        files: Files<'a>,
        manifest: &'a Manifest,
        story: &'a Story,
        options: &'a Options,
        first: u64,
    ) -> Result<Reel<'a>, ComposeError> {
        let from = if first == 0 { 0 } else { due(first, options.rate) };
        let pictures = manifest.tracks.iter().map(|track| {
            let track = Some(track).filter(|track| track.kind == Kind::Video && options.has_pictures());
            track.map(|track| Pictures::new(Parts::since(files, track, from)))
        });
        Ok(Reel {
            story,
            options,
            stage: Stage::new(options, manifest.started_at)?,
            pictures: pictures.collect(),
            notes: Vec::new(),
        })
    }

    /// The picture with this number: none before the last one that was asked for.
    pub(super) fn picture(&mut self, number: u64) -> Result<gst::Buffer, ComposeError> {
        let Options { layout, subject, rate, .. } = self.options;
        let pictures = self.pictures.iter_mut().map(Option::as_mut);
        let changed = stage::advance(pictures, due(number, *rate), &mut self.notes)?;
        let shown = |track: usize| self.pictures.get(track).and_then(|pictures| pictures.as_ref()?.shown());
        let scene = (self.story, *layout, subject.as_ref());
        self.stage.picture(scene, moment(number, *rate), &changed, &shown)
    }

    /// Whether anybody's picture was in the last one.
    pub(super) fn shows_somebody(&self) -> bool {
        self.stage.shows_somebody()
    }
}

/// A frame that is due within half a picture is shown now.
fn due(number: u64, rate: u32) -> u64 {
    moment(number, rate) + moment(1, rate) / 2
}

/// The sound of a film.
pub(super) struct Mix<'a> {
    sounds: Vec<Sound<Parts<'a>>>,
    pub(super) notes: Vec<Note>,
}

impl<'a> Mix<'a> {
    pub(super) fn new(files: Files<'a>, manifest: &'a Manifest) -> Mix<'a> {
        let tracks = manifest.tracks.iter().filter(|track| track.kind == Kind::Audio);
        let sounds = tracks.map(|track| Sound::new(Parts::new(files, track)));
        Mix { sounds: sounds.collect(), notes: Vec::new() }
    }

    /// All sounds together from one sample to another: one piece after the other.
    pub(super) fn piece(&mut self, (from, to): (u64, u64)) -> Result<Vec<f32>, ComposeError> {
        stage::mix(self.sounds.iter_mut(), from, to, &mut self.notes)
    }
}

/// All of a film, in one go.
pub(super) fn run(
    reel: &mut Reel<'_>,
    mix: &mut Mix<'_>,
    output: &mut Output,
    mut shots: Option<Shots>,
    work: &mut Work,
) -> Result<(), ComposeError> {
    let Options { max_bytes: bytes, rate, .. } = *reel.options;
    for number in 0..count(reel.story.end(), rate) {
        if number % u64::from(rate) == 0 && work.bytes() > bytes {
            return Err(ComposeError::TooLarge { bytes, micros: moment(number, rate) });
        }
        let piece = samples(number, rate);
        output.sound(piece.0, &mix.piece(piece)?)?;
        if !reel.options.has_pictures() {
            continue;
        }
        let picture = reel.picture(number)?;
        if let Some(shots) = &mut shots {
            shots.see(number, reel.shows_somebody(), &picture, work)?;
        }
        output.picture(number, u64::from(rate), picture)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_pictures_as_begin_before_the_end() {
        for rate in [1, 7, 24, 30, 60] {
            for micros in [0, 1, 16_666, 33_333, 33_334, 999_999, 1_000_000, 1_000_001, 8_000_000] {
                let begun = (0..).take_while(|number| moment(*number, rate) < micros).count() as u64;
                assert_eq!(count(micros, rate), begun, "{micros} at {rate}");
            }
        }
    }

    #[test]
    fn samples_of_pictures_follow_each_other() {
        let mut end = 0;
        for number in 0..1_000 {
            let (from, to) = samples(number, 7);
            assert_eq!(from, end);
            end = to;
        }
        assert_eq!(end, 1_000 * SAMPLE_RATE / 7);
    }
}
