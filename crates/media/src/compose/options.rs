// SPDX-License-Identifier: EUPL-1.2
//! What a film is to be like, and how far that may go.

use std::path::{Path, PathBuf};

use super::ComposeError;
use super::layout::MIN_SIDE;
use super::logo::Logo;
use crate::hardware::Encoders;

/// Bytes of a title.
pub const MAX_TITLE_BYTES: usize = 200;
/// Bytes of a watermark.
pub const MAX_WATERMARK_BYTES: usize = 100;
/// Bytes of a notice.
pub const MAX_NOTICE_BYTES: usize = 500;
/// Thumbnails of one film.
pub const MAX_THUMBNAILS: u64 = 1000;
/// People with a file of their own.
pub const MAX_SPEAKERS: usize = 500;

/// What the film shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Everybody in tiles of one size.
    Grid,
    /// Who shares or speaks large, the others under it.
    Speaker,
    /// A share large, the others in a column beside it; [`Layout::Speaker`] while nobody shares.
    Screen,
    /// One picture that fills the film: who speaks, or the [`Subject`].
    Single,
    /// Sound only.
    Audio,
}

/// Whom or what [`Layout::Single`] shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// Whoever has this identity: the camera, or the share while there is no camera.
    Participant(String),
    /// The track with this id.
    Track(String),
}

/// What the film is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// H.264 and AAC in MP4, with the index at its front.
    Mp4,
    /// VP8 and Opus in WebM.
    Webm,
    /// VP9 and Opus in WebM: smaller files for more time.
    WebmVp9,
    /// Opus in Ogg: sound alone.
    Ogg,
}

impl Format {
    /// By the name of a file.
    pub fn of(path: &Path) -> Option<Format> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "mp4" | "m4a" | "m4v" => Some(Format::Mp4),
            "webm" => Some(Format::Webm),
            "ogg" | "oga" | "opus" => Some(Format::Ogg),
            _ => None,
        }
    }
}

/// What lies over the picture, or in a strip above it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Looks {
    /// What is called so, above the tiles; at most [`MAX_TITLE_BYTES`].
    pub title: Option<String>,
    /// The meeting's time of day above the tiles, so many minutes ahead of UTC, at most a day.
    pub clock: Option<i32>,
    /// Over all of it.
    pub watermark: Option<Watermark>,
    /// In a corner.
    pub logo: Option<(Logo, Corner)>,
    /// At the bottom, at first.
    pub notice: Option<Notice>,
}

/// Letters that the picture shines through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watermark {
    /// At most [`MAX_WATERMARK_BYTES`].
    pub text: String,
    /// Where.
    pub place: Place,
}

/// Where a watermark lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Large, from the lower left to the upper right.
    Diagonal,
    /// Along the upper edge of the tiles.
    Top,
    /// Along the lower edge.
    Bottom,
}

/// A corner of the tiles' area.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Corner {
    /// Upper left.
    TopLeft,
    /// Upper right.
    TopRight,
    /// Lower left.
    BottomLeft,
    /// Lower right.
    BottomRight,
}

/// What those who watch are told first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// At most [`MAX_NOTICE_BYTES`].
    pub text: String,
    /// How long, 1 to 3600.
    pub seconds: u32,
}

/// Which thumbnails are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thumbnails {
    /// One, of the first moment with somebody's picture.
    First,
    /// One each so many seconds, from the beginning on; [`MAX_THUMBNAILS`] at most.
    Every(u32),
}

/// A file for each person, on the meeting's time line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Speakers {
    /// A directory that is there.
    pub directory: PathBuf,
    /// What is written.
    pub format: SpeakersFormat,
}

/// What the files of [`Speakers`] are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpeakersFormat {
    /// 16 bits at 48 kHz, one channel. Silence takes no place on the disk where the file system can leave it out.
    Wav,
    /// Opus in Ogg.
    Opus,
}

/// How to compose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// What is shown.
    pub layout: Layout,
    /// With [`Layout::Single`]: whom; who speaks without it.
    pub subject: Option<Subject>,
    /// What is written.
    pub format: Format,
    /// Width in samples, even, 180 to 3840.
    pub width: u32,
    /// Height in samples, even, 180 to 2160.
    pub height: u32,
    /// Pictures a second, 1 to 60.
    pub rate: u32,
    /// The most that pictures take, in kbit/s; they take less where they can.
    pub kbits: u32,
    /// Who encodes H.264; those in software without it.
    pub encoders: Option<Encoders>,
    /// How many others encode at the same time: each takes its share of the processors.
    pub beside: usize,
    /// The most bytes that the film may have.
    pub max_bytes: u64,
    /// What lies over the picture.
    pub looks: Looks,
    /// Whether a file with chapters is written beside the film: `….chapters.vtt`.
    pub chapters: bool,
    /// Whether captions are written beside the film, where there are any: `….vtt`.
    pub captions: bool,
    /// Pictures beside the film: `….jpg`, or `…-0001.jpg` and so on.
    pub thumbnails: Option<Thumbnails>,
    /// Sound of each person.
    pub speakers: Option<Speakers>,
}

impl Default for Options {
    /// A grid at 720p30 with at most 2.5 Mbit/s and 64 GiB, and nothing else.
    fn default() -> Options {
        Options {
            layout: Layout::Grid,
            subject: None,
            format: Format::Mp4,
            width: 1280,
            height: 720,
            rate: 30,
            kbits: 2500,
            encoders: None,
            beside: 1,
            max_bytes: 64 << 30,
            looks: Looks::default(),
            chapters: false,
            captions: false,
            thumbnails: None,
            speakers: None,
        }
    }
}

impl Options {
    pub(super) fn has_pictures(&self) -> bool {
        self.layout != Layout::Audio && self.format != Format::Ogg
    }

    pub(super) fn check(&self) -> Result<(), ComposeError> {
        let Options { width, height, rate, kbits, .. } = *self;
        let wrong = |what: String| Err(ComposeError::Options(what));
        if !(MIN_SIDE..=3840).contains(&width)
            || !(MIN_SIDE..=2160).contains(&height)
            || (width | height) % 2 != 0
        {
            return wrong(format!("a size of {width}x{height}: take even numbers from 180x180 to 3840x2160"));
        }
        if !(1..=60).contains(&rate) {
            return wrong(format!("{rate} pictures a second: take 1 to 60"));
        }
        if !(50..=100_000).contains(&kbits) {
            return wrong(format!("{kbits} kbit/s: take 50 to 100000"));
        }
        if self.max_bytes < 1 << 20 {
            return wrong(format!("a film of {} bytes at most: take 1 MiB or more", self.max_bytes));
        }
        if self.subject.is_some() && self.layout != Layout::Single {
            return wrong("a participant or a track is shown by the layout single only".to_owned());
        }
        if !self.has_pictures() && self.looks != Looks::default() {
            return wrong("titles and the like in a film without pictures: leave them out, or take another layout and format".to_owned());
        }
        match self.thumbnails {
            Some(_) if !self.has_pictures() => {
                return wrong(
                    "thumbnails of a film without pictures: take another layout and format".to_owned(),
                );
            }
            Some(Thumbnails::Every(0)) => {
                return wrong("thumbnails each 0 seconds: take 1 or more".to_owned());
            }
            _ => {}
        }
        self.looks.check()
    }
}

impl Looks {
    fn check(&self) -> Result<(), ComposeError> {
        let watermark = self.watermark.as_ref().map(|watermark| &watermark.text);
        let notice = self.notice.as_ref().map(|notice| &notice.text);
        for (what, text, most) in [
            ("title", self.title.as_ref(), MAX_TITLE_BYTES),
            ("watermark", watermark, MAX_WATERMARK_BYTES),
            ("notice", notice, MAX_NOTICE_BYTES),
        ] {
            let bytes = text.map_or(0, String::len);
            if bytes > most {
                return Err(ComposeError::Options(format!(
                    "a {what} of {bytes} bytes: at most {most} are taken"
                )));
            }
            if text.is_some_and(|text| text.trim().is_empty()) {
                return Err(ComposeError::Options(format!("an empty {what}: say something or leave it out")));
            }
        }
        if let Some(seconds) = self.notice.as_ref().map(|notice| notice.seconds)
            && !(1..=3600).contains(&seconds)
        {
            return Err(ComposeError::Options(format!("a notice for {seconds} seconds: take 1 to 3600")));
        }
        if let Some(minutes) = self.clock.filter(|minutes| minutes.abs() > 24 * 60) {
            return Err(ComposeError::Options(format!(
                "a clock {minutes} minutes from UTC: a day is the most"
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_is_known_by_its_extension() {
        let of = |name: &str| Format::of(Path::new(name));
        assert_eq!(of("a/film.mp4"), Some(Format::Mp4));
        assert_eq!(of("film.WebM"), Some(Format::Webm));
        assert_eq!(of("film.opus"), Some(Format::Ogg));
        assert_eq!((of("film.avi"), of("film")), (None, None));
    }

    #[test]
    fn what_goes_too_far_is_told_with_what_is_allowed() {
        let told = |options: Options| options.check().map_err(|error| error.to_string()).unwrap_err();
        let with = |looks: Looks| told(Options { looks, ..Options::default() });
        let title = Some("é".repeat(101));
        assert_eq!(with(Looks { title, ..Looks::default() }), "a title of 202 bytes: at most 200 are taken");
        let title = Some(" ".to_owned());
        assert_eq!(
            with(Looks { title, ..Looks::default() }),
            "an empty title: say something or leave it out"
        );
        let watermark = Some(Watermark { text: "a".repeat(101), place: Place::Top });
        assert!(with(Looks { watermark, ..Looks::default() }).ends_with("at most 100 are taken"));
        let notice = |text: &str, seconds| Some(Notice { text: text.to_owned(), seconds });
        let looks = Looks { notice: notice(&"a".repeat(501), 5), ..Looks::default() };
        assert!(with(looks).ends_with("at most 500 are taken"));
        let looks = Looks { notice: notice("a", 0), ..Looks::default() };
        assert_eq!(with(looks), "a notice for 0 seconds: take 1 to 3600");
        assert!(with(Looks { clock: Some(1441), ..Looks::default() }).contains("a day is the most"));
        let subject = Some(Subject::Track("TR_1".to_owned()));
        assert!(told(Options { subject, ..Options::default() }).contains("layout single"));
        let thumbnails = Some(Thumbnails::First);
        let options = Options { thumbnails, format: Format::Ogg, ..Options::default() };
        assert!(told(options).starts_with("thumbnails of a film without pictures"));
        let looks = Looks { clock: Some(0), ..Looks::default() };
        let options = Options { looks, layout: Layout::Audio, ..Options::default() };
        assert!(told(options).starts_with("titles and the like in a film without pictures"));
        let options = Options { max_bytes: 5, ..Options::default() };
        assert_eq!(told(options), "a film of 5 bytes at most: take 1 MiB or more");
        assert!(Options::default().check().is_ok());
    }
}
