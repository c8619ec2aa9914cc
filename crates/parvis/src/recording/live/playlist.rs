// SPDX-License-Identifier: EUPL-1.2
//! Playlists of HTTP Live Streaming, low latency (RFC 8216 and draft-pantos-hls-rfc8216bis): pure functions of what a rendition
//! has.

use std::collections::VecDeque;
use std::fmt::Write as _;

use bytes::Bytes;
use parvis_jobs::{AUDIO_RENDITION, UnixMicros};
use time::OffsetDateTime;

/// The version that what is used here takes.
const VERSION: u32 = 9;
/// Parts that are listed of a segment that is whole: those of so many of the newest (section 6.2.2: three target durations).
const SEGMENTS_IN_PARTS: usize = 3;
/// How much longer than asked for a part may be: it is cut at whole pictures, and at whole frames of sound. No more, since parts are to
/// last 85 % of what is said at least (section 4.4.4.9).
const PART_SLACK_MILLIS: u32 = 80;
/// What parts and segments players keep away from the newest (section 4.4.3.8: at least three).
const HOLD_BACK: f64 = 3.0;

/// How long segments and parts are meant to be, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lengths {
    pub(crate) segment: u32,
    pub(crate) part: u32,
}

/// A part of a segment.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) bytes: Bytes,
    pub(super) micros: u64,
    pub(super) independent: bool,
}

/// A segment, or what there is of it yet.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub(super) sequence: u64,
    pub(super) parts: Vec<Part>,
    /// Its name, bytes and length, once it is whole.
    pub(super) whole: Option<(String, Bytes, u64)>,
    pub(super) discontinuity: bool,
    pub(super) at: Option<UnixMicros>,
    /// The name of the initialization section that it needs.
    pub(super) init: String,
}

/// A rendition's look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) name: String,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) rate: u32,
    pub(super) kbits: u32,
    pub(super) codec: String,
}

/// A rendition's pieces, as its playlist needs them.
#[derive(Debug, Default)]
pub(super) struct Track {
    pub(super) pieces: VecDeque<Piece>,
    /// Discontinuities that left with pieces that are listed no more.
    pub(super) gone_discontinuities: u64,
}

impl Track {
    /// The last segment that is listed, and how many parts of it are there.
    pub(super) fn newest(&self) -> Option<(u64, usize)> {
        self.pieces.back().map(|piece| (piece.sequence, piece.parts.len()))
    }

    /// Whether a playlist made now has this part, or this segment where none is named (section 6.2.5.2).
    pub(super) fn has(&self, sequence: u64, part: Option<u64>) -> bool {
        let Some(last) = self.pieces.back() else { return false };
        match part {
            _ if last.sequence > sequence => true,
            _ if last.sequence < sequence => false,
            None => last.whole.is_some(),
            // A part beyond a segment's last is the next one's first.
            Some(part) => u64::try_from(last.parts.len()).is_ok_and(|parts| parts > part),
        }
    }
}

/// The playlist that names all renditions (section 4.4.6), whose playlists are called by their names behind `stem`. Sound is one of
/// its own, for all.
pub(super) fn multivariant(looks: &[Look], audio_codec: &str, audio_kbits: u32, stem: &str) -> String {
    let mut text = format!("#EXTM3U\n#EXT-X-VERSION:{VERSION}\n#EXT-X-INDEPENDENT-SEGMENTS\n");
    // Writing to a string can't fail.
    if looks.is_empty() {
        let bits = u64::from(audio_kbits) * 1_000;
        let _ = write!(
            text,
            "#EXT-X-STREAM-INF:BANDWIDTH={bits},CODECS=\"{audio_codec}\"\n{stem}{AUDIO_RENDITION}.m3u8\n"
        );
        return text;
    }
    let _ = writeln!(
        text,
        "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"sound\",NAME=\"sound\",DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"2\",URI=\"{stem}{AUDIO_RENDITION}.m3u8\""
    );
    for look in looks {
        let Look { name, width, height, rate, kbits, codec } = look;
        let average = u64::from(kbits + audio_kbits) * 1_000;
        // Encoders keep to their rate in the mean: a segment may have half as much more.
        let peak = average + average / 2;
        let _ = write!(
            text,
            "#EXT-X-STREAM-INF:BANDWIDTH={peak},AVERAGE-BANDWIDTH={average},RESOLUTION={width}x{height},FRAME-RATE={rate}.000,\
             CODECS=\"{codec},{audio_codec}\",AUDIO=\"sound\",CLOSED-CAPTIONS=NONE\n{stem}{name}.m3u8\n"
        );
    }
    text
}

/// A rendition's playlist. `others` are the other renditions with what they have (section 4.4.5.4).
pub(super) fn media(
    name: &str,
    track: &Track,
    others: &[(&str, u64, usize)],
    lengths: Lengths,
    ended: bool,
) -> String {
    let target = target(track, lengths);
    let part_target = f64::from(lengths.part + PART_SLACK_MILLIS) / 1e3;
    let mut text = format!("#EXTM3U\n#EXT-X-VERSION:{VERSION}\n#EXT-X-TARGETDURATION:{target}\n");
    if lengths.part > 0 {
        let _ = write!(
            text,
            "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK={:.3},HOLD-BACK={:.3}\n#EXT-X-PART-INF:PART-TARGET={part_target:.3}\n",
            part_target * HOLD_BACK,
            target as f64 * HOLD_BACK,
        );
    }
    let first = track.pieces.front().map_or(0, |piece| piece.sequence);
    let _ = writeln!(text, "#EXT-X-MEDIA-SEQUENCE:{first}");
    if track.gone_discontinuities > 0 {
        let _ = writeln!(text, "#EXT-X-DISCONTINUITY-SEQUENCE:{}", track.gone_discontinuities);
    }
    let mut init = "";
    for (at, piece) in track.pieces.iter().enumerate() {
        open(&mut text, piece, &mut init);
        let listed = lengths.part > 0 && at + SEGMENTS_IN_PARTS + 1 > track.pieces.len().saturating_sub(1);
        for part in piece.parts.iter().filter(|_| listed && !ended) {
            let independent = if part.independent { ",INDEPENDENT=YES" } else { "" };
            let _ = writeln!(
                text,
                "#EXT-X-PART:DURATION={:.5},URI=\"{}\"{independent}",
                seconds(part.micros),
                part.name
            );
        }
        close(&mut text, piece);
    }
    if ended {
        text.push_str("#EXT-X-ENDLIST\n");
        return text;
    }
    if lengths.part > 0 {
        if let Some(hint) = hint(name, track, lengths) {
            let _ = writeln!(text, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{hint}\"");
        }
        for (other, sequence, parts) in others.iter().filter(|(_, _, parts)| *parts > 0) {
            let _ = writeln!(
                text,
                "#EXT-X-RENDITION-REPORT:URI=\"{other}.m3u8\",LAST-MSN={sequence},LAST-PART={}",
                parts - 1
            );
        }
    }
    text
}

/// A rendition's playlist of segments that last: all of them (section 4.4.3.5), or so many of the `newest`.
pub(super) fn lasting(track: &Track, lengths: Lengths, newest: Option<usize>, ended: bool) -> String {
    let target = target(track, lengths);
    let mut text = format!("#EXTM3U\n#EXT-X-VERSION:{VERSION}\n#EXT-X-TARGETDURATION:{target}\n");
    if newest.is_none() {
        text.push_str(if ended { "#EXT-X-PLAYLIST-TYPE:VOD\n" } else { "#EXT-X-PLAYLIST-TYPE:EVENT\n" });
    }
    let skipped = newest.map_or(0, |newest| track.pieces.len().saturating_sub(newest));
    let first = track.pieces.get(skipped).map_or(0, |piece| piece.sequence);
    // Writing to a string can't fail.
    let _ = writeln!(text, "#EXT-X-MEDIA-SEQUENCE:{first}");
    let gone = track.pieces.iter().take(skipped).filter(|piece| piece.discontinuity).count();
    if gone > 0 {
        let _ = writeln!(text, "#EXT-X-DISCONTINUITY-SEQUENCE:{gone}");
    }
    let mut init = "";
    for piece in track.pieces.iter().skip(skipped) {
        open(&mut text, piece, &mut init);
        close(&mut text, piece);
    }
    if ended {
        text.push_str("#EXT-X-ENDLIST\n");
    }
    text
}

/// What no segment is longer than, in whole seconds (section 4.4.3.1).
fn target(track: &Track, lengths: Lengths) -> u64 {
    let longest =
        track.pieces.iter().filter_map(|piece| piece.whole.as_ref()).map(|(_, _, micros)| *micros).max();
    let longest = longest.unwrap_or(0).max(u64::from(lengths.segment) * 1_000);
    (seconds(longest).round() as u64).max(1)
}

/// What stands before a segment. `init` is what those before it needed.
fn open<'a>(text: &mut String, piece: &'a Piece, init: &mut &'a str) {
    if piece.discontinuity {
        text.push_str("#EXT-X-DISCONTINUITY\n");
    }
    if piece.init != *init {
        let _ = writeln!(text, "#EXT-X-MAP:URI=\"{}\"", piece.init);
        *init = &piece.init;
    }
    if let Some(moment) = piece.at.and_then(moment) {
        let _ = writeln!(text, "#EXT-X-PROGRAM-DATE-TIME:{moment}");
    }
}

/// A segment itself, once it is whole.
fn close(text: &mut String, piece: &Piece) {
    if let Some((whole, _, micros)) = &piece.whole {
        let _ = write!(text, "#EXTINF:{:.5},\n{whole}\n", seconds(*micros));
    }
}

fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

/// The name of the part that comes next, if all goes as it is meant to.
pub(super) fn hint(rendition: &str, track: &Track, lengths: Lengths) -> Option<String> {
    let last = track.pieces.back()?;
    let parts = u32::try_from(last.parts.len()).ok()?;
    let full = lengths.segment.div_ceil(lengths.part.max(1));
    let (sequence, part) = match last.whole.is_some() || parts >= full {
        true => (last.sequence + 1, 0),
        false => (last.sequence, parts),
    };
    Some(format!("{rendition}-{sequence}.{part}.m4s"))
}

fn moment(at: UnixMicros) -> Option<String> {
    let millis = i128::from(at.0 / 1_000) * 1_000_000;
    let at = OffsetDateTime::from_unix_timestamp_nanos(millis).ok()?;
    let (hour, minute, second, millisecond) = at.time().as_hms_milli();
    let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
    Some(format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTHS: Lengths = Lengths { segment: 2_000, part: 500 };

    fn piece(sequence: u64, parts: usize, whole: bool) -> Piece {
        let part = |at| Part {
            name: format!("720-{sequence}.{at}.m4s"),
            bytes: Bytes::from_static(b"p"),
            micros: 500_000,
            independent: at == 0,
        };
        Piece {
            sequence,
            parts: (0..parts).map(part).collect(),
            whole: whole.then(|| (format!("720-{sequence}.m4s"), Bytes::from_static(b"pppp"), 2_000_000)),
            discontinuity: false,
            at: Some(UnixMicros(1_700_000_000_123_456 + sequence * 2_000_000)),
            init: "720-3.init.mp4".into(),
        }
    }

    fn track() -> Track {
        let pieces = (3..8).map(|at| piece(at, 4, true)).chain([piece(8, 2, false)]).collect();
        Track { pieces, gone_discontinuities: 0 }
    }

    #[test]
    fn a_live_playlist_has_what_low_latency_takes_and_nothing_that_is_not_there() {
        let text = media("720", &track(), &[("360", 8, 2), ("audio", 8, 0)], LENGTHS, false);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "#EXTM3U");
        assert!(text.contains("#EXT-X-TARGETDURATION:2\n") && text.contains("#EXT-X-MEDIA-SEQUENCE:3\n"));
        assert!(text.contains("CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.740,HOLD-BACK=6.000"), "{text}");
        assert!(text.contains("#EXT-X-PART-INF:PART-TARGET=0.580\n"));
        assert_eq!(text.matches("#EXTINF:2.00000,").count(), 5);
        assert_eq!(text.matches("#EXT-X-MAP:").count(), 1, "once for all that need it");
        assert!(text.contains("#EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:26.123Z\n"), "{text}");
        // Section 6.2.2: parts of what is older than three target durations are not listed.
        assert!(!text.contains("720-3.0.m4s") && text.contains("720-5.0.m4s"), "{text}");
        assert!(text.contains("#EXT-X-PART:DURATION=0.50000,URI=\"720-8.0.m4s\",INDEPENDENT=YES\n"));
        assert!(text.contains("URI=\"720-8.1.m4s\"\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"720-8.2.m4s\"\n"));
        assert!(
            text.ends_with("#EXT-X-RENDITION-REPORT:URI=\"360.m3u8\",LAST-MSN=8,LAST-PART=1\n"),
            "{text}"
        );
    }

    #[test]
    fn the_end_and_a_new_beginning_are_said() {
        let mut track = track();
        track.pieces[2].discontinuity = true;
        track.pieces[2].init = "720-5.init.mp4".into();
        for piece in track.pieces.iter_mut().skip(3) {
            piece.init = "720-5.init.mp4".into();
        }
        let text = media("720", &track, &[], LENGTHS, false);
        assert!(text.contains("#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"720-5.init.mp4\"\n"), "{text}");
        assert_eq!(text.matches("#EXT-X-MAP:").count(), 2);
        track.gone_discontinuities = 2;
        track.pieces.pop_back();
        let text = media("720", &track, &[], LENGTHS, true);
        assert!(text.ends_with("720-7.m4s\n#EXT-X-ENDLIST\n"), "{text}");
        assert!(text.contains("#EXT-X-DISCONTINUITY-SEQUENCE:2\n"));
        assert!(!text.contains("EXT-X-PART:") && !text.contains("PRELOAD"), "{text}");
    }

    #[test]
    fn segments_that_last_are_all_named_or_the_newest_of_them() {
        let mut track = track();
        track.pieces.pop_back();
        track.pieces[1].discontinuity = true;
        track.pieces[1].init = "720-4.init.mp4".into();
        let all = lasting(&track, LENGTHS, None, false);
        assert!(
            all.contains("#EXT-X-PLAYLIST-TYPE:EVENT\n") && all.contains("#EXT-X-MEDIA-SEQUENCE:3\n"),
            "{all}"
        );
        assert_eq!(all.matches("#EXTINF:").count(), 5);
        assert!(!all.contains("EXT-X-PART") && !all.contains("ENDLIST"), "{all}");
        let newest = lasting(&track, LENGTHS, Some(3), false);
        assert!(newest.contains("#EXT-X-MEDIA-SEQUENCE:5\n#EXT-X-DISCONTINUITY-SEQUENCE:1\n"), "{newest}");
        assert_eq!((newest.matches("#EXTINF:").count(), newest.matches("PLAYLIST-TYPE").count()), (3, 0));
        assert!(
            newest.contains("#EXT-X-MAP:URI=\"720-3.init.mp4\"\n"),
            "what the first of them needs: {newest}"
        );
        let ended = lasting(&track, LENGTHS, None, true);
        assert!(
            ended.contains("#EXT-X-PLAYLIST-TYPE:VOD\n") && ended.ends_with("720-7.m4s\n#EXT-X-ENDLIST\n")
        );
        let names = multivariant(&[], "mp4a.40.2", 128, "monday-");
        assert!(names.ends_with("\nmonday-audio.m3u8\n"), "{names}");
    }

    #[test]
    fn a_blocked_request_waits_for_what_it_names_and_no_longer() {
        let track = track();
        assert!(track.has(7, None) && track.has(8, Some(1)) && track.has(7, Some(9)));
        assert!(!track.has(8, None) && !track.has(8, Some(2)) && !track.has(9, Some(0)));
        assert_eq!(hint("720", &track, LENGTHS).unwrap(), "720-8.2.m4s");
        let mut full = Track::default();
        assert_eq!(hint("720", &full, LENGTHS), None);
        full.pieces.push_back(piece(4, 4, false));
        assert_eq!(hint("720", &full, LENGTHS).unwrap(), "720-5.0.m4s");
    }

    #[test]
    fn all_renditions_are_named_with_their_codecs() {
        let look = |name: &str, width, height, kbits| Look {
            name: name.into(),
            width,
            height,
            rate: 30,
            kbits,
            codec: "avc1.64001f".into(),
        };
        let text =
            multivariant(&[look("720", 1_280, 720, 3_000), look("360", 640, 360, 800)], "mp4a.40.2", 128, "");
        assert!(
            text.contains(
                "BANDWIDTH=4692000,AVERAGE-BANDWIDTH=3128000,RESOLUTION=1280x720,FRAME-RATE=30.000,"
            )
        );
        assert!(text.contains("CODECS=\"avc1.64001f,mp4a.40.2\",AUDIO=\"sound\""), "{text}");
        assert!(
            text.contains("TYPE=AUDIO")
                && text.contains("URI=\"audio.m3u8\"")
                && text.ends_with("\n360.m3u8\n")
        );
        let sound = multivariant(&[], "mp4a.40.2", 128, "");
        assert!(
            sound.ends_with("#EXT-X-STREAM-INF:BANDWIDTH=128000,CODECS=\"mp4a.40.2\"\naudio.m3u8\n"),
            "{sound}"
        );
    }
}
