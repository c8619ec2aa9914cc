// SPDX-License-Identifier: EUPL-1.2
//! Single pictures of a film as JPEG files beside it.

use std::fs;
use std::path::{Path, PathBuf};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSrc};

use super::options::{MAX_THUMBNAILS, Options, Thumbnails};
use super::work::{self, Work};
use super::{ComposeError, PATIENCE, element, launch};

/// Takes pictures of a film when it is time.
pub(super) struct Shots {
    which: Thumbnails,
    /// In pictures of the film.
    step: u64,
    film: PathBuf,
    taken: u64,
    jpeg: Jpeg,
}

/// Makes JPEG of pictures of one size.
pub(super) struct Jpeg {
    count: u64,
    pipeline: gst::Pipeline,
    source: AppSrc,
    sink: AppSink,
}

/// Refuses more thumbnails than are made for a film of `micros`, and such whose names are taken.
pub(super) fn check(which: Thumbnails, micros: u64, film: &Path) -> Result<(), ComposeError> {
    let Thumbnails::Every(seconds) = which else { return work::refuse(&film.with_extension("jpg")) };
    let seconds = u64::from(seconds.max(1));
    let count = micros.div_ceil(seconds * 1_000_000);
    if count > MAX_THUMBNAILS {
        let least = micros.div_ceil(MAX_THUMBNAILS * 1_000_000);
        return Err(ComposeError::Options(format!(
            "thumbnails each {seconds} s would be {count}: {MAX_THUMBNAILS} are the most, one each {least} s"
        )));
    }
    (1..=count).try_for_each(|number| work::refuse(&numbered(film, number)))
}

impl Shots {
    pub(super) fn new(which: Thumbnails, film: &Path, options: &Options) -> Result<Shots, ComposeError> {
        let step = match which {
            Thumbnails::First => 0,
            Thumbnails::Every(seconds) => u64::from(seconds) * u64::from(options.rate),
        };
        let jpeg = Jpeg::new((options.width, options.height))?;
        Ok(Shots { which, step, film: film.to_owned(), taken: 0, jpeg })
    }

    /// Looks at a picture of the film, and says whether somebody is seen on it.
    pub(super) fn see(
        &mut self,
        number: u64,
        somebody: bool,
        picture: &gst::Buffer,
        work: &mut Work,
    ) -> Result<(), ComposeError> {
        let (is_time, path) = match self.which {
            Thumbnails::First => (somebody && self.taken == 0, self.film.with_extension("jpg")),
            Thumbnails::Every(_) => {
                (number.is_multiple_of(self.step.max(1)), numbered(&self.film, number / self.step.max(1) + 1))
            }
        };
        if !is_time {
            return Ok(());
        }
        let jpeg = self.jpeg.of(picture)?;
        self.taken += 1;
        let part = work.begin(&path)?;
        fs::write(&part, jpeg).map_err(|error| ComposeError::Io { path: part, error })
    }
}

impl Jpeg {
    /// For pictures in I420 of this size.
    pub(super) fn new((width, height): (u32, u32)) -> Result<Jpeg, ComposeError> {
        // JPEG has the wide range; between forms of the same name only the numbers' meaning would change.
        let pipeline = launch(&format!(
            "appsrc name=in format=time caps=video/x-raw,format=I420,width={width},height={height},framerate=1/1,\
             colorimetry=bt601,interlace-mode=progressive,pixel-aspect-ratio=1/1 ! videoconvert ! \
             video/x-raw,format=RGB ! jpegenc quality=85 ! appsink name=out sync=false"
        ))?;
        let source: AppSrc = element(&pipeline, "in")?;
        let sink: AppSink = element(&pipeline, "out")?;
        let jpeg = Jpeg { count: 0, pipeline, source, sink };
        jpeg.pipeline.set_state(gst::State::Playing).map_err(|_| jpeg.failure())?;
        Ok(jpeg)
    }

    /// The bytes of a picture.
    pub(super) fn of(&mut self, picture: &gst::Buffer) -> Result<Vec<u8>, ComposeError> {
        let mut picture = picture.copy();
        if let Some(picture) = picture.get_mut() {
            picture.set_pts(gst::ClockTime::from_seconds(self.count));
        }
        self.count += 1;
        self.source.push_buffer(picture).map_err(|_| self.failure())?;
        let sample = self.sink.try_pull_sample(PATIENCE).ok_or_else(|| self.failure())?;
        let bytes = sample.buffer().and_then(|buffer| Some(buffer.map_readable().ok()?.to_vec()));
        bytes.ok_or_else(|| self.failure())
    }

    fn failure(&self) -> ComposeError {
        let why = super::first_error(&self.pipeline).unwrap_or_else(|| "no JPEG came out".to_owned());
        ComposeError::Pipeline(why)
    }
}

impl Drop for Jpeg {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// `film-0001.jpg` beside `film.mp4`.
pub(super) fn numbered(film: &Path, number: u64) -> PathBuf {
    let mut name = film.file_stem().unwrap_or_default().to_owned();
    name.push(format!("-{number:04}.jpg"));
    film.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_are_refused_with_what_is_allowed() {
        const HOUR: u64 = 3_600_000_000;
        let film = Path::new("nowhere/film.mp4");
        assert_eq!(
            check(Thumbnails::Every(1), HOUR, film).unwrap_err().to_string(),
            "thumbnails each 1 s would be 3600: 1000 are the most, one each 4 s"
        );
        assert!(check(Thumbnails::Every(4), HOUR, film).is_ok());
        assert!(check(Thumbnails::First, 1000 * HOUR, film).is_ok());
    }

    #[test]
    fn they_are_numbered_beside_the_film() {
        assert_eq!(numbered(Path::new("a/film.x.mp4"), 12), Path::new("a/film.x-0012.jpg"));
    }
}
