// SPDX-License-Identifier: EUPL-1.2
//! What is made beside a film once that is there: a file of sound for each person, chapters, and captions.

use std::fs;
use std::path::{Path, PathBuf};

use super::decode::Files;
use super::options::Options;
use super::speakers::{self, Voices};
use super::story::Story;
use super::work::{self, Work};
use super::{ComposeError, Note, captions, chapters};
use crate::manifest::Manifest;

/// What the options ask for.
pub(super) struct Beside<'a> {
    chapters: Option<PathBuf>,
    captions: Option<PathBuf>,
    voices: Option<Voices<'a>>,
}

impl<'a> Beside<'a> {
    /// Refuses what can't be made, and names that are taken.
    pub(super) fn new(
        out: &Path,
        options: &Options,
        manifest: &'a Manifest,
        story: &Story,
    ) -> Result<Beside<'a>, ComposeError> {
        let chapters = options.chapters.then(|| out.with_extension("chapters.vtt"));
        chapters.as_deref().map_or(Ok(()), work::refuse)?;
        let captions = options.captions.then(|| out.with_extension("vtt"));
        captions.as_deref().map_or(Ok(()), work::refuse)?;
        let voices = options.speakers.as_ref();
        let voices = voices.map(|speakers| speakers::voices(speakers, manifest, story)).transpose()?;
        Ok(Beside { chapters, captions, voices })
    }

    /// Makes it.
    pub(super) fn write(
        self,
        files: Files<'_>,
        story: &Story,
        options: &Options,
        work: &mut Work,
        notes: &mut Vec<Note>,
    ) -> Result<(), ComposeError> {
        if let Some(voices) = self.voices {
            speakers::write(voices, files, story, options, work, notes)?;
        }
        if let Some(path) = self.chapters {
            let part = work.begin(&path)?;
            let text = chapters::webvtt(&chapters::chapters(story), story.end());
            fs::write(&part, text).map_err(|error| ComposeError::Io { path, error })?;
        }
        // Where nobody wrote down what was said there are none.
        if let Some((path, text)) = self.captions.zip(captions::webvtt(story)) {
            let part = work.begin(&path)?;
            fs::write(&part, text).map_err(|error| ComposeError::Io { path, error })?;
        }
        Ok(())
    }
}
