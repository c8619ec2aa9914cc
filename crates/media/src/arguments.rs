// SPDX-License-Identifier: EUPL-1.2
//! What `compose` takes beyond its first arguments: format, looks, and what is made beside the film.

use std::error::Error;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use parvis_media::compose::{
    Corner, Format, Logo, Looks, Notice, Options, Place, Speakers, SpeakersFormat, Subject, Thumbnails,
    Watermark,
};

#[derive(Args)]
pub(crate) struct Film {
    /// With --layout single: whoever has this identity, instead of who speaks.
    #[arg(long, value_name = "IDENTITY", conflicts_with = "track")]
    participant: Option<String>,
    /// With --layout single: the video track with this id, as manifest.json has it.
    #[arg(long, value_name = "ID")]
    track: Option<String>,
    /// What the film is written as; by the ending of its name without this.
    #[arg(long, value_enum)]
    format: Option<Written>,
    /// The most that the film may grow to, in MiB.
    #[arg(long, default_value_t = 64 * 1024)]
    max_mib: u64,
    /// A title above the tiles.
    #[arg(long)]
    title: Option<String>,
    /// The meeting's time of day above the tiles.
    #[arg(long)]
    clock: bool,
    /// How far the clock is from UTC, like +02:00.
    #[arg(long, value_name = "+HH:MM", default_value = "+00:00", requires = "clock", value_parser = offset, allow_hyphen_values = true)]
    utc_offset: i32,
    /// Faint letters over the picture.
    #[arg(long, value_name = "TEXT")]
    watermark: Option<String>,
    /// Where they lie.
    #[arg(long, value_enum, default_value = "diagonal", requires = "watermark")]
    watermark_place: Lies,
    /// A PNG for a corner.
    #[arg(long, value_name = "FILE.png")]
    logo: Option<PathBuf>,
    /// Which corner.
    #[arg(long, value_enum, default_value = "top-right", requires = "logo")]
    logo_corner: Lean,
    /// What is told at the beginning, say that all agreed to be recorded.
    #[arg(long, value_name = "TEXT")]
    notice: Option<String>,
    /// For how long.
    #[arg(long, default_value_t = 10, requires = "notice")]
    notice_seconds: u32,
    /// Also write the sound of each person to a file of its own in this directory, which is made if it is not there.
    #[arg(long, value_name = "DIR")]
    speakers: Option<PathBuf>,
    /// What these files are.
    #[arg(long, value_enum, default_value = "wav", requires = "speakers")]
    speakers_format: Voices,
    /// Also write chapters beside the film: FILM.chapters.vtt.
    #[arg(long)]
    chapters: bool,
    /// Also write captions beside the film, if there are any: FILM.vtt.
    #[arg(long)]
    captions: bool,
    /// Also write the first moment with somebody's picture: FILM.jpg.
    #[arg(long, conflicts_with = "thumbnails_every")]
    thumbnail: bool,
    /// Also write a picture each so many seconds: FILM-0001.jpg and so on.
    #[arg(long, value_name = "SECONDS")]
    thumbnails_every: Option<u32>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Written {
    /// H.264 and AAC.
    Mp4,
    /// VP8 and Opus.
    Webm,
    /// VP9 and Opus: smaller, and slower to make.
    WebmVp9,
    /// Opus: sound alone.
    Ogg,
}

#[derive(Clone, Copy, ValueEnum)]
enum Lies {
    /// Large, from corner to corner.
    Diagonal,
    /// Along the upper edge.
    Top,
    /// Along the lower edge.
    Bottom,
}

#[derive(Clone, Copy, ValueEnum)]
enum Lean {
    TopLeft,
    TopRight,
    BottomLeft,
    BottomRight,
}

#[derive(Clone, Copy, ValueEnum)]
enum Voices {
    /// 16 bits at 48 kHz, one channel.
    Wav,
    /// Opus in Ogg.
    Opus,
}

impl Film {
    /// Adds what they say to options. The logo is read, and the speakers' directory made: neither can be done in the cage.
    pub(crate) fn add_to(self, options: Options, out: &Path) -> Result<Options, Box<dyn Error>> {
        let format = match self.format {
            Some(Written::Mp4) => Format::Mp4,
            Some(Written::Webm) => Format::Webm,
            Some(Written::WebmVp9) => Format::WebmVp9,
            Some(Written::Ogg) => Format::Ogg,
            None => Format::of(out).ok_or_else(|| {
                format!("{}: which format? Take a name in .mp4, .webm or .ogg, or --format", out.display())
            })?,
        };
        let place = match self.watermark_place {
            Lies::Diagonal => Place::Diagonal,
            Lies::Top => Place::Top,
            Lies::Bottom => Place::Bottom,
        };
        let corner = match self.logo_corner {
            Lean::TopLeft => Corner::TopLeft,
            Lean::TopRight => Corner::TopRight,
            Lean::BottomLeft => Corner::BottomLeft,
            Lean::BottomRight => Corner::BottomRight,
        };
        let looks = Looks {
            title: self.title,
            clock: self.clock.then_some(self.utc_offset),
            watermark: self.watermark.map(|text| Watermark { text, place }),
            logo: self.logo.map(|path| Logo::read(&path)).transpose()?.map(|logo| (logo, corner)),
            notice: self.notice.map(|text| Notice { text, seconds: self.notice_seconds }),
        };
        let participant = self.participant.map(Subject::Participant);
        let every = self.thumbnails_every.map(Thumbnails::Every);
        let speakers_format = match self.speakers_format {
            Voices::Wav => SpeakersFormat::Wav,
            Voices::Opus => SpeakersFormat::Opus,
        };
        if let Some(directory) = self.speakers.as_ref().filter(|directory| !directory.is_dir()) {
            let made = DirBuilder::new().mode(0o700).create(directory);
            made.map_err(|error| format!("{}: {error}", directory.display()))?;
        }
        Ok(Options {
            format,
            subject: participant.or(self.track.map(Subject::Track)),
            max_bytes: self.max_mib.saturating_mul(1 << 20),
            looks,
            chapters: self.chapters,
            captions: self.captions,
            thumbnails: every.or(self.thumbnail.then_some(Thumbnails::First)),
            speakers: self.speakers.map(|directory| Speakers { directory, format: speakers_format }),
            ..options
        })
    }
}

/// Minutes from UTC.
fn offset(text: &str) -> Result<i32, String> {
    let wrong = || "an offset is a sign, hours and minutes, like +02:00 or -03:30".to_owned();
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let (hours, minutes) = rest.split_once(':').ok_or_else(wrong)?;
    let number = |digits: &str, most: i32| -> Result<i32, String> {
        let is_number = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse().ok().filter(|number| is_number && *number <= most).ok_or_else(wrong)
    };
    Ok(sign * (number(hours, 23)? * 60 + number(minutes, 59)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_hours_and_minutes() {
        assert_eq!((offset("+02:00"), offset("-03:30"), offset("00:15")), (Ok(120), Ok(-210), Ok(15)));
        for wrong in ["", "2", "+2:00", "+24:00", "+02:60", "++2:00", "+-2:00"] {
            assert!(offset(wrong).is_err(), "{wrong}");
        }
    }
}
