// SPDX-License-Identifier: EUPL-1.2
//! The loop that makes a film of a capture: for each picture of it, what belongs to that moment is decoded, painted and handed on.

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

/// A film while it is made.
pub(super) struct Film<'a> {
    story: &'a Story,
    options: &'a Options,
    stage: Stage,
    /// At the place of their track in the manifest.
    pictures: Vec<Option<Pictures<Parts<'a>>>>,
    sounds: Vec<Sound<Parts<'a>>>,
    pub(super) notes: Vec<Note>,
}

impl<'a> Film<'a> {
    pub(super) fn new(
        files: Files<'a>,
        manifest: &'a Manifest,
        story: &'a Story,
        options: &'a Options,
    ) -> Result<Film<'a>, ComposeError> {
        let of = |kind: Kind| manifest.tracks.iter().map(move |track| (track.kind == kind).then_some(track));
        let pictures = of(Kind::Video).map(|track| {
            let track = track.filter(|_| options.has_pictures());
            track.map(|track| Pictures::new(Parts::new(files, track)))
        });
        Ok(Film {
            story,
            options,
            stage: Stage::new(options, manifest.started_at)?,
            pictures: pictures.collect(),
            sounds: of(Kind::Audio).flatten().map(|track| Sound::new(Parts::new(files, track))).collect(),
            notes: Vec::new(),
        })
    }

    pub(super) fn run(
        &mut self,
        output: &mut Output,
        mut shots: Option<Shots>,
        work: &mut Work,
    ) -> Result<(), ComposeError> {
        let Options { layout, subject, max_bytes: bytes, .. } = self.options;
        let rate = u64::from(self.options.rate);
        let moment = |number: u64| number * 1_000_000 / rate;
        for number in 0.. {
            let now = moment(number);
            if now >= self.story.end() {
                break;
            }
            if number % rate == 0 && work.bytes() > *bytes {
                return Err(ComposeError::TooLarge { bytes: *bytes, micros: now });
            }
            let (from, to) = (number * SAMPLE_RATE / rate, (number + 1) * SAMPLE_RATE / rate);
            output.sound(from, &stage::mix(self.sounds.iter_mut(), from, to, &mut self.notes)?)?;
            if !self.options.has_pictures() {
                continue;
            }
            // A frame that is due within half a picture is shown now.
            let until = now + moment(1) / 2;
            let pictures = self.pictures.iter_mut().map(Option::as_mut);
            let changed = stage::advance(pictures, until, &mut self.notes)?;
            let shown =
                |track: usize| self.pictures.get(track).and_then(|pictures| pictures.as_ref()?.shown());
            let scene = (self.story, *layout, subject.as_ref());
            let picture = self.stage.picture(scene, now, &changed, &shown)?;
            if let Some(shots) = &mut shots {
                shots.see(number, self.stage.shows_somebody(), &picture, work)?;
            }
            output.picture(number, rate, picture)?;
        }
        Ok(())
    }
}
