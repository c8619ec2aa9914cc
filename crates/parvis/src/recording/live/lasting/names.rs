// SPDX-License-Identifier: EUPL-1.2
//! Which segments and pictures are to last, in the words of `livekit.Egress`, and what their files are called. All of them lie in the
//! recording's folder, here and in the storage, so that they go when it is erased.

use livekit_protocol as proto;
use parvis_api::EngineError;
use parvis_jobs::UnixMicros;
use time::OffsetDateTime;

use super::super::super::is_plain;

/// What segments and their initialization sections end with. Nothing else in a recording's folder does.
const SEGMENT: &str = ".m4s";
const INIT: &str = ".init.m4s";
/// What playlists end with.
pub(crate) const PLAYLIST: &str = ".m3u8";
/// What pictures end with; those beside films end with `.jpg`.
const IMAGE: &str = ".jpeg";
/// Letters of a name that is asked for.
const MAX_NAME: usize = 100;
/// How long a segment may be, in seconds.
const SEGMENT_SECONDS: std::ops::RangeInclusive<u32> = 1..=10;
/// Seconds from one picture to the next, and how many where nobody says.
const IMAGE_SECONDS: std::ops::RangeInclusive<u32> = 1..=3_600;
const IMAGE_EVERY: u32 = 10;
/// The smallest side of a picture, in samples.
const MIN_SIDE: u32 = 16;

/// Segments that last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segments {
    /// What their names begin with.
    prefix: String,
    /// The playlist that names all of them, …
    pub(super) playlist: String,
    /// … and the one that names the newest.
    pub(super) live_playlist: Option<String>,
    /// Whether they are called by their moments, and not by their numbers.
    moments: bool,
    /// How long each is, where that was asked for.
    pub(in super::super) millis: Option<u32>,
}

/// Pictures that last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pictures {
    pub(super) prefix: String,
    suffix: proto::ImageFileSuffix,
    pub(in super::super) every_millis: u32,
    /// Width and height; as large as the stream where nobody says.
    pub(in super::super) size: Option<(u32, u32)>,
}

/// Whether a file in a recording's folder is a segment, a playlist or a picture of these.
pub(crate) fn lasts(name: &str) -> bool {
    [SEGMENT, PLAYLIST, IMAGE].iter().any(|suffix| name.ends_with(suffix))
}

impl Segments {
    /// The segments that an output asks for; `None` where it names nothing, and so wants them handed out only.
    pub(crate) fn of(output: &proto::SegmentedFileOutput) -> Result<Option<Segments>, EngineError> {
        let names = [&output.filename_prefix, &output.playlist_name, &output.live_playlist_name];
        if names.into_iter().all(String::is_empty) {
            return match output.segment_duration {
                0 => Ok(None),
                _ => Err(unable(
                    "how long segments are that are handed out is this server's matter (streaming.segment): leave out segment_duration, or name \
                     a playlist to have them kept",
                )),
            };
        }
        let playlist = match (output.playlist_name.as_str(), output.filename_prefix.as_str()) {
            ("", "") => "playlist",
            ("", prefix) => prefix,
            (name, _) => name.strip_suffix(PLAYLIST).unwrap_or(name),
        };
        let prefix = if output.filename_prefix.is_empty() { playlist } else { &output.filename_prefix };
        let live = output.live_playlist_name.as_str();
        let live = Some(live.strip_suffix(PLAYLIST).unwrap_or(live)).filter(|live| !live.is_empty());
        check("playlist_name", playlist)?;
        check("filename_prefix", prefix)?;
        live.map_or(Ok(()), |live| check("live_playlist_name", live))?;
        let begins = |one: &str, with: &str| one == with || one.starts_with(&format!("{with}-"));
        if live.is_some_and(|live| begins(live, playlist) || begins(playlist, live)) {
            return Err(unable(
                "playlist_name and live_playlist_name begin alike, and so would those of their sizes: give each a name of its own",
            ));
        }
        let seconds = output.segment_duration;
        if seconds != 0 && !SEGMENT_SECONDS.contains(&seconds) {
            return Err(unable(&format!(
                "segments of {seconds} s: ask for {} to {}, or leave segment_duration out",
                SEGMENT_SECONDS.start(),
                SEGMENT_SECONDS.end()
            )));
        }
        Ok(Some(Segments {
            prefix: prefix.to_owned(),
            playlist: format!("{playlist}{PLAYLIST}"),
            live_playlist: live.map(|live| format!("{live}{PLAYLIST}")),
            moments: output.filename_suffix() == proto::SegmentedFileSuffix::Timestamp,
            millis: (seconds != 0).then(|| seconds * 1_000),
        }))
    }

    /// What a segment is called.
    pub(super) fn segment(&self, rendition: &str, sequence: u64, at: Option<UnixMicros>) -> String {
        let moment = at.filter(|_| self.moments).and_then(moment);
        let which = moment.unwrap_or_else(|| format!("{sequence:05}"));
        format!("{}-{rendition}_{which}{SEGMENT}", self.prefix)
    }

    /// What the initialization section is called that segments from this one on need.
    pub(super) fn init(&self, rendition: &str, sequence: u64) -> String {
        format!("{}-{rendition}_{sequence:05}{INIT}", self.prefix)
    }
}

/// What stands before the name of a rendition in the names of its playlists, by that of the one which names all.
pub(super) fn stem(playlist: &str) -> String {
    format!("{}-", playlist.strip_suffix(PLAYLIST).unwrap_or(playlist))
}

impl Pictures {
    /// The pictures that an output asks for, of a stream of this size.
    pub(crate) fn of(
        output: &proto::ImageOutput,
        (width, height): (u32, u32),
    ) -> Result<Pictures, EngineError> {
        let prefix = if output.filename_prefix.is_empty() { "image" } else { &output.filename_prefix };
        check("filename_prefix", prefix)?;
        let every = if output.capture_interval == 0 { IMAGE_EVERY } else { output.capture_interval };
        if !IMAGE_SECONDS.contains(&every) {
            return Err(unable(&format!(
                "an image each {every} s: ask for a capture_interval of {} to {}",
                IMAGE_SECONDS.start(),
                IMAGE_SECONDS.end()
            )));
        }
        let side = |wanted: i32, whole: u32| {
            let wanted = if wanted == 0 { whole } else { u32::try_from(wanted).unwrap_or(0) };
            ((MIN_SIDE..=whole).contains(&wanted) && wanted % 2 == 0).then_some(wanted)
        };
        let size = match (output.width, output.height) {
            (0, 0) => None,
            (wide, high) => match (side(wide, width), side(high, height)) {
                (Some(wide), Some(high)) => Some((wide, high)),
                _ => {
                    return Err(unable(&format!(
                        "images of {wide}x{high}: ask for even numbers from {MIN_SIDE} on, at most the stream's {width}x{height}"
                    )));
                }
            },
        };
        Ok(Pictures {
            prefix: prefix.to_owned(),
            suffix: output.filename_suffix(),
            every_millis: every * 1_000,
            size,
        })
    }

    /// What a picture is called.
    pub(super) fn name(&self, number: u64, at: UnixMicros) -> String {
        let which = match self.suffix {
            proto::ImageFileSuffix::ImageSuffixNoneOverwrite => String::new(),
            proto::ImageFileSuffix::ImageSuffixTimestamp => {
                moment(at).map_or_else(|| format!("_{number:05}"), |moment| format!("_{moment}"))
            }
            proto::ImageFileSuffix::ImageSuffixIndex => format!("_{number:05}"),
        };
        format!("{}{which}{IMAGE}", self.prefix)
    }

    /// Whether each takes the place of the one before.
    pub(super) fn overwrites(&self) -> bool {
        self.suffix == proto::ImageFileSuffix::ImageSuffixNoneOverwrite
    }
}

/// `20261128T103000123`, in UTC.
fn moment(at: UnixMicros) -> Option<String> {
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(at.0) * 1_000).ok()?;
    let (hour, minute, second, millisecond) = at.time().as_hms_milli();
    let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
    Some(format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}{millisecond:03}"))
}

fn check(what: &str, name: &str) -> Result<(), EngineError> {
    if !is_plain(name) || name.len() > MAX_NAME {
        return Err(unable(&format!(
            "{what} {name:?}: segments and images lie in their recording's folder, so ask for at most {MAX_NAME} letters, digits, _, - and ., \
             or leave it empty"
        )));
    }
    Ok(())
}

fn unable(why: &str) -> EngineError {
    EngineError::Unable(why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(prefix: &str, playlist: &str, live: &str) -> proto::SegmentedFileOutput {
        proto::SegmentedFileOutput {
            filename_prefix: prefix.into(),
            playlist_name: playlist.into(),
            live_playlist_name: live.into(),
            ..Default::default()
        }
    }

    fn why<T: std::fmt::Debug>(refused: Result<T, EngineError>) -> String {
        refused.unwrap_err().to_string()
    }

    #[test]
    fn segments_have_the_names_that_were_asked_for_and_lie_in_no_other_folder() {
        assert_eq!(Segments::of(&output("", "", "")).unwrap(), None, "what names nothing is handed out only");
        let named = Segments::of(&output("", "monday.m3u8", "now")).unwrap().unwrap();
        assert_eq!(
            (named.playlist.as_str(), named.live_playlist.as_deref()),
            ("monday.m3u8", Some("now.m3u8"))
        );
        let at = Some(UnixMicros(1_700_000_000_123_456));
        assert_eq!(named.segment("720", 7, at), "monday-720_00007.m4s");
        assert_eq!(named.init("audio", 7), "monday-audio_00007.init.m4s");
        let moments = proto::SegmentedFileOutput {
            filename_suffix: proto::SegmentedFileSuffix::Timestamp.into(),
            segment_duration: 2,
            ..output("part", "", "")
        };
        let moments = Segments::of(&moments).unwrap().unwrap();
        assert_eq!((moments.playlist.as_str(), moments.millis), ("part.m3u8", Some(2_000)));
        assert_eq!(moments.segment("360", 7, at), "part-360_20231114T221320123.m4s");
        assert_eq!(moments.segment("360", 7, None), "part-360_00007.m4s", "a moment that nobody knows");
        for (wrong, expected) in [
            (output("a/b", "c", ""), "filename_prefix \"a/b\""),
            (output("", "../up", ""), "playlist_name"),
            (output("", "same", "same.m3u8"), "a name of its own"),
            (output("", "same", "same-720"), "a name of its own"),
            (proto::SegmentedFileOutput { segment_duration: 11, ..output("a", "", "") }, "1 to 10"),
            (proto::SegmentedFileOutput { segment_duration: 4, ..output("", "", "") }, "streaming.segment"),
        ] {
            let said = why(Segments::of(&wrong));
            assert!(said.contains(expected), "{expected}: {said}");
        }
        for name in ["a-720_00001.m4s", "a-720_00000.init.m4s", "a.m3u8", "a_00001.jpeg"] {
            assert!(lasts(name), "{name}");
        }
        for name in ["manifest.json", "a.mkv.age", "film.mp4", "film.jpg", "m4s"] {
            assert!(!lasts(name), "{name}");
        }
    }

    #[test]
    fn pictures_are_no_larger_than_the_stream_and_come_neither_too_often_nor_never() {
        let size = (1_280, 720);
        let plain = Pictures::of(&proto::ImageOutput::default(), size).unwrap();
        assert_eq!((plain.every_millis, plain.size), (10_000, None));
        let at = UnixMicros(1_700_000_000_123_456);
        assert_eq!(plain.name(3, at), "image_00003.jpeg");
        let with = |suffix: proto::ImageFileSuffix| {
            let output = proto::ImageOutput {
                filename_prefix: "p".into(),
                filename_suffix: suffix.into(),
                width: 320,
                height: 180,
                ..Default::default()
            };
            Pictures::of(&output, size).unwrap()
        };
        let newest = with(proto::ImageFileSuffix::ImageSuffixNoneOverwrite);
        assert_eq!((newest.name(3, at).as_str(), newest.overwrites()), ("p.jpeg", true));
        let moments = with(proto::ImageFileSuffix::ImageSuffixTimestamp);
        assert_eq!(moments.name(3, at), "p_20231114T221320123.jpeg");
        assert_eq!(moments.size, Some((320, 180)));
        for (width, height) in [(1_282, 720), (321, 180), (-2, 180), (8, 180)] {
            let output = proto::ImageOutput { width, height, ..Default::default() };
            assert!(why(Pictures::of(&output, size)).contains("1280x720"), "{width}x{height}");
        }
        let never = proto::ImageOutput { capture_interval: 3_601, ..Default::default() };
        assert!(why(Pictures::of(&never, size)).contains("capture_interval"));
    }
}
