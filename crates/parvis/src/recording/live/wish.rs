// SPDX-License-Identifier: EUPL-1.2
//! What stream is asked for, in the words of `livekit.Egress`. What can't be honoured is refused with what to ask for instead.

use livekit_protocol as proto;
use parvis_api::EngineError;
use parvis_jobs::{LiveLayout, PushTarget};

use super::super::film::wish::{Bounds, Wish};
use super::lasting::Lasts;
use super::lasting::names::{Pictures, Segments};
use super::{LiveSettings, LiveWish};

/// The size and rate in kbit/s of what viewers get where nobody says, if the ladder begins there.
const LARGE: ((u32, u32), u32) = ((1_920, 1_080), 4_500);

const NOWHERE: &str = "this server streams nowhere: whoever runs it may allow it by streaming.enabled";
const KEEPS_NONE: &str = "this server keeps no segments and no images of streams, which would lie in the clear: whoever runs it may allow it by \
                          streaming.keep; segment_outputs without names and prefix are handed out by this server, and not kept";

/// Who or what is seen in a stream with the layout `single`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Subject {
    /// Whoever spoke last.
    #[default]
    Anybody,
    /// One, by identity.
    Participant(String),
    /// One track.
    Track(String),
}

/// Where what is composed goes, besides a file.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Outputs {
    urls: Vec<String>,
    /// Whether it is pushed.
    pub(crate) pushed: bool,
    /// Whether it is handed out to viewers.
    pub(crate) watched: bool,
    /// Segments that are kept.
    segments: Option<Segments>,
    /// Pictures that are kept.
    images: Option<proto::ImageOutput>,
}

impl Outputs {
    /// Adds a stream.
    pub(crate) fn stream(&mut self, stream: &proto::StreamOutput) {
        self.pushed = true;
        self.urls.extend(stream.urls.iter().cloned());
    }

    /// Adds segments.
    pub(crate) fn segments(&mut self, segments: &proto::SegmentedFileOutput) -> Result<(), EngineError> {
        match Segments::of(segments)? {
            Some(kept) => self.segments = Some(kept),
            None => self.watched = true,
        }
        Ok(())
    }

    /// Adds pictures.
    pub(crate) fn images(&mut self, images: &proto::ImageOutput) -> Result<(), EngineError> {
        if self.images.replace(images.clone()).is_some() {
            return Err(unable("a stream has one row of images: leave all image_outputs out but one"));
        }
        Ok(())
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        !self.pushed && !self.watched && self.segments.is_none() && self.images.is_none()
    }
}

/// The stream that a film's looks and these outputs say. `free` are the bounds, where nobody said how it is encoded.
pub(crate) fn wish(
    film: &Wish,
    outputs: Outputs,
    free: Option<Bounds>,
    settings: Option<&LiveSettings>,
) -> Result<LiveWish, EngineError> {
    let settings = settings.ok_or_else(|| unable(NOWHERE))?;
    check(&outputs.urls, 0, settings)?;
    let ((width, height), kbits) = LARGE;
    let large = free.is_some_and(|bounds| bounds.side >= width && bounds.kbits >= kbits)
        && (outputs.watched || outputs.segments.is_some())
        && settings.ladder.first().is_some_and(|first| *first >= height);
    let (size, kbits) = if large { LARGE } else { (film.size, film.kbits) };
    let Outputs { urls, pushed, watched, segments, images } = outputs;
    let layout = layout(film.layout);
    if images.is_some() && layout == LiveLayout::Audio {
        return Err(unable(
            "of sound alone there are no images: leave image_outputs out, or ask for pictures too",
        ));
    }
    let pictures = images.map(|images| Pictures::of(&images, size)).transpose()?;
    let lasts = Lasts { segments, pictures };
    if !lasts.is_empty() && !settings.keep {
        return Err(unable(KEEPS_NONE));
    }
    let subject = Subject::default();
    Ok(LiveWish { layout, subject, size, rate: film.rate, kbits, urls, pushed, watched, lasts })
}

/// Whether these may be pushed to, beside as many as there are already.
pub(crate) fn check(urls: &[String], already: usize, settings: &LiveSettings) -> Result<(), EngineError> {
    if urls.len() + already > settings.max_targets {
        let most = settings.max_targets;
        return Err(unable(&format!(
            "a stream goes to at most {most} targets at one time (streaming.max_targets)"
        )));
    }
    urls.iter().try_for_each(|url| PushTarget::parse(url).map(drop).map_err(|what| unable(&what)))
}

/// A layout, by the composer's name for it.
pub(crate) fn layout(name: &str) -> LiveLayout {
    match name {
        "speaker" => LiveLayout::Speaker,
        "screen" => LiveLayout::Screen,
        "single" => LiveLayout::Single,
        "audio" => LiveLayout::Audio,
        _ => LiveLayout::Grid,
    }
}

fn unable(why: &str) -> EngineError {
    EngineError::Unable(why.to_owned())
}
