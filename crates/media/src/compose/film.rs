// SPDX-License-Identifier: EUPL-1.2
//! The loop that makes a film: for each picture of it, what belongs to that moment is decoded, painted and handed on.

use parvis_jobs::Kind;

use super::canvas::Canvas;
use super::decode::{Files, Pictures, Sound};
use super::layout::{self, Arrangement, Cell};
use super::options::Options;
use super::output::Output;
use super::overlay::Overlay;
use super::story::{Scene, Story};
use super::thumbnails::Shots;
use super::work::Work;
use super::{CHANNELS, ComposeError, Note, SAMPLE_RATE};
use crate::manifest::Manifest;

/// A film while it is made.
pub(super) struct Film<'a> {
    story: &'a Story,
    options: &'a Options,
    canvas: Canvas,
    overlay: Overlay,
    /// At the place of their track in the manifest.
    pictures: Vec<Option<Pictures<'a>>>,
    sounds: Vec<Sound<'a>>,
    scene: Scene,
    cells: Vec<Cell>,
    /// The tracks whose newest picture the scene knew of.
    ready: Vec<bool>,
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
        let pictures = of(Kind::Video)
            .map(|track| track.filter(|_| options.has_pictures()).map(|track| Pictures::new(files, track)));
        let size = (options.width, options.height);
        Ok(Film {
            story,
            options,
            canvas: Canvas::new(options.width, options.height)?,
            overlay: Overlay::new(&options.looks, size, manifest.started_at)?,
            pictures: pictures.collect(),
            sounds: of(Kind::Audio).flatten().map(|track| Sound::new(files, track)).collect(),
            scene: Scene { arrangement: Arrangement::Grid, tiles: Vec::new() },
            cells: Vec::new(),
            ready: vec![false; manifest.tracks.len()],
            notes: Vec::new(),
        })
    }

    pub(super) fn run(
        &mut self,
        output: &mut Output,
        mut shots: Option<Shots>,
        work: &mut Work,
    ) -> Result<(), ComposeError> {
        let rate = u64::from(self.options.rate);
        let moment = |number: u64| number * 1_000_000 / rate;
        let mut change = Some(0);
        for number in 0.. {
            let now = moment(number);
            if now >= self.story.end() {
                break;
            }
            let bytes = self.options.max_bytes;
            if number % rate == 0 && work.bytes() > bytes {
                return Err(ComposeError::TooLarge { bytes, micros: now });
            }
            self.mix(number * SAMPLE_RATE / rate, (number + 1) * SAMPLE_RATE / rate, output)?;
            if !self.options.has_pictures() {
                continue;
            }
            // A frame that is due within half a picture is shown now.
            let changed = self.advance(now + moment(1) / 2)?;
            let is_due = change.is_some_and(|change| change <= now);
            let moved = (is_due || self.has_new(&changed)) && self.rearrange(now);
            change = self.story.next_change(now);
            self.paint(&changed, moved)?;
            let mut picture = self.canvas.copy()?;
            self.overlay.blend(now, picture.make_mut(), self.canvas.info())?;
            if let Some(shots) = &mut shots {
                let somebody = self.scene.tiles.iter().any(|tile| tile.picture.is_some());
                shots.see(number, somebody, &picture, work)?;
            }
            output.picture(number, rate, picture)?;
        }
        Ok(())
    }

    fn mix(&mut self, from: u64, to: u64, output: &Output) -> Result<(), ComposeError> {
        let mut mixed = vec![0.0; ((to - from) * CHANNELS) as usize];
        for sound in &mut self.sounds {
            sound.add_to(&mut mixed, from, &mut self.notes)?;
        }
        mixed.iter_mut().for_each(|sample| *sample = sample.clamp(-1.0, 1.0));
        output.sound(from, &mixed)
    }

    /// Goes on to the newest picture of each track up to `until`. Says of which there is another one than before.
    fn advance(&mut self, until: u64) -> Result<Vec<bool>, ComposeError> {
        let mut changed = vec![false; self.pictures.len()];
        for (pictures, changed) in self.pictures.iter_mut().zip(&mut changed) {
            if let Some(pictures) = pictures {
                *changed = pictures.advance(until, &mut self.notes)?;
            }
        }
        Ok(changed)
    }

    /// Whether a track that had none has a picture now.
    fn has_new(&self, changed: &[bool]) -> bool {
        changed.iter().zip(&self.ready).any(|(changed, ready)| *changed && !ready)
    }

    /// Whether another scene is seen now.
    fn rearrange(&mut self, now: u64) -> bool {
        let (layout, subject) = (self.options.layout, self.options.subject.as_ref());
        let pictures = &self.pictures;
        let is_ready = |track: usize, since: u64| {
            let shown = pictures.get(track).and_then(|pictures| pictures.as_ref()?.shown());
            shown.is_some_and(|picture| picture.at >= since)
        };
        let scene = self.story.scene(layout, subject, now, &is_ready);
        let knows = |track: usize| self.story.since(track, now).is_some_and(|since| is_ready(track, since));
        self.ready = (0..pictures.len()).map(knows).collect();
        if scene == self.scene {
            return false;
        }
        self.cells = layout::cells(scene.arrangement, self.overlay.area(), scene.tiles.len());
        self.scene = scene;
        true
    }

    /// Brings the canvas up to date: the tiles whose pictures changed, or all of it.
    fn paint(&mut self, changed: &[bool], all: bool) -> Result<(), ComposeError> {
        if all {
            self.canvas.clear()?;
        }
        let is_single = self.scene.arrangement == Arrangement::Single;
        for (tile, cell) in self.scene.tiles.iter().zip(&self.cells) {
            let track = tile.picture.map(|(track, _)| track);
            let repainted = all || track.and_then(|track| changed.get(track)).is_some_and(|changed| *changed);
            if repainted {
                let shown = track.and_then(|track| self.pictures.get(track)?.as_ref()?.shown());
                self.canvas.picture(cell, shown)?;
            }
            // A name that stands on its picture is written again with it.
            if all || repainted && is_single {
                self.canvas.label(cell, tile)?;
            }
            if all && tile.speaks && !is_single {
                self.canvas.frame(cell)?;
            }
        }
        Ok(())
    }
}
