// SPDX-License-Identifier: EUPL-1.2
//! One picture of a film, and its sound: the same steps for a capture that is over and for a room that is there.

use gstreamer as gst;
use gstreamer_video::VideoInfo;
use parvis_jobs::UnixMicros;

use super::canvas::Canvas;
use super::decode::{Feed, Picture, Pictures, Sound};
use super::layout::{self, Arrangement, Cell};
use super::options::{Layout, Options, Subject};
use super::overlay::Overlay;
use super::story::{Scene, Story};
use super::{CHANNELS, ComposeError, Note};

/// What the film shows now, and what it is painted on.
pub(super) struct Stage {
    canvas: Canvas,
    overlay: Overlay,
    scene: Scene,
    cells: Vec<Cell>,
    /// The tracks whose newest picture the scene knew of.
    ready: Vec<bool>,
    /// When the scene may change next.
    change: Option<u64>,
}

/// The newest picture of the track at a place in the manifest.
pub(super) type Shown<'a> = &'a dyn Fn(usize) -> Option<&'a Picture>;

impl Stage {
    /// For a recording that began then.
    pub(super) fn new(options: &Options, began: UnixMicros) -> Result<Stage, ComposeError> {
        let size = (options.width, options.height);
        Ok(Stage {
            canvas: Canvas::new(options.width, options.height)?,
            overlay: Overlay::new(&options.looks, size, began)?,
            scene: Scene { arrangement: Arrangement::Grid, tiles: Vec::new() },
            cells: Vec::new(),
            ready: Vec::new(),
            change: Some(0),
        })
    }

    /// The form of its pictures.
    pub(super) fn info(&self) -> &VideoInfo {
        self.canvas.info()
    }

    /// Has the scene looked at anew with the next picture: the story or the layout is another.
    pub(super) fn look_again(&mut self) {
        self.change = Some(0);
    }

    /// Whether anybody's picture is in the scene.
    pub(super) fn shows_somebody(&self) -> bool {
        self.scene.tiles.iter().any(|tile| tile.picture.is_some())
    }

    /// The picture of a moment, in microseconds since the recording's start. `changed` says which tracks show another picture
    /// than before.
    pub(super) fn picture(
        &mut self,
        scene: (&Story, Layout, Option<&Subject>),
        now: u64,
        changed: &[bool],
        shown: Shown<'_>,
    ) -> Result<gst::Buffer, ComposeError> {
        let is_due = self.change.is_some_and(|change| change <= now);
        let moved = (is_due || self.has_new(changed)) && self.rearrange(scene, now, changed.len(), shown);
        self.change = scene.0.next_change(now);
        self.paint(changed, moved, shown)?;
        let mut picture = self.canvas.copy()?;
        self.overlay.blend(now, picture.make_mut(), self.canvas.info())?;
        Ok(picture)
    }

    /// Whether a track that had none has a picture now.
    fn has_new(&self, changed: &[bool]) -> bool {
        let ready = self.ready.iter().chain(std::iter::repeat(&false));
        changed.iter().zip(ready).any(|(changed, ready)| *changed && !ready)
    }

    /// Whether another scene is seen now.
    fn rearrange(
        &mut self,
        (story, layout, subject): (&Story, Layout, Option<&Subject>),
        now: u64,
        tracks: usize,
        shown: Shown<'_>,
    ) -> bool {
        let is_ready = |track: usize, since: u64| shown(track).is_some_and(|picture| picture.at >= since);
        let scene = story.scene(layout, subject, now, &is_ready);
        let knows = |track: usize| story.since(track, now).is_some_and(|since| is_ready(track, since));
        self.ready = (0..tracks).map(knows).collect();
        if scene == self.scene {
            return false;
        }
        self.cells = layout::cells(scene.arrangement, self.overlay.area(), scene.tiles.len());
        self.scene = scene;
        true
    }

    /// Brings the canvas up to date: the tiles whose pictures changed, or all of it.
    fn paint(&mut self, changed: &[bool], all: bool, shown: Shown<'_>) -> Result<(), ComposeError> {
        if all {
            self.canvas.clear()?;
        }
        let is_single = self.scene.arrangement == Arrangement::Single;
        for (tile, cell) in self.scene.tiles.iter().zip(&self.cells) {
            let track = tile.picture.map(|(track, _)| track);
            let repainted = all || track.and_then(|track| changed.get(track)).is_some_and(|changed| *changed);
            if repainted {
                self.canvas.picture(cell, track.and_then(shown))?;
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

/// All sounds together from one sample to another, both channels in turns.
pub(super) fn mix<'s, F: Feed + 's>(
    sounds: impl Iterator<Item = &'s mut Sound<F>>,
    from: u64,
    to: u64,
    notes: &mut Vec<Note>,
) -> Result<Vec<f32>, ComposeError> {
    let mut mixed = vec![0.0; ((to - from) * CHANNELS) as usize];
    for sound in sounds {
        sound.add_to(&mut mixed, from, notes)?;
    }
    mixed.iter_mut().for_each(|sample| *sample = sample.clamp(-1.0, 1.0));
    Ok(mixed)
}

/// Goes on to the newest picture of each track up to `until`. Says of which there is another one than before.
pub(super) fn advance<'p, F: Feed + 'p>(
    pictures: impl Iterator<Item = Option<&'p mut Pictures<F>>>,
    until: u64,
    notes: &mut Vec<Note>,
) -> Result<Vec<bool>, ComposeError> {
    let advanced =
        pictures.map(|pictures| pictures.map_or(Ok(false), |pictures| pictures.advance(until, notes)));
    advanced.collect()
}
