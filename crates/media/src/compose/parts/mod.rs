// SPDX-License-Identifier: EUPL-1.2
//! A film in parts: the picture in segments of some seconds, several at a time, each by a process of its own, and the sound in one go, so
//! that nothing is heard where segments meet. Each part that is whole lies in a folder beside the film, and stands in its
//! [`Ledger`]; when all do, they are joined, and not encoded again. Whoever is killed on the way goes on from there.
//!
//! [`Plan`] says which parts a film has. `units` is how a part's file looks, `coder` encodes, [`pictures`] and [`sound`] make parts, [`join`]
//! makes the film of them, and [`crew`] has processes do all of that.
//!
//! **The one invariant: a part follows from the recording, the options and its number alone.** So it is the same whoever makes it, after
//! whatever, and once it is made it is never made again.

pub mod crew;

mod coder;
mod idle;
mod join;
mod ledger;
mod segments;
mod units;

use std::ffi::OsString;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;

pub use self::join::join;
pub use self::ledger::{Entry, FORMAT, Head, LEDGER, Ledger, VERSION};
pub use self::segments::{pictures, sound};
use super::options::{Options, Thumbnails};
use super::story::end;
use super::{ComposeError, film, thumbnails, work};
use crate::manifest::Manifest;
use crate::recording::RecordingError;

/// The file of the sound.
const SOUND: &str = "sound";
/// Segments of one film at most; of a film with more, each is longer.
const MAX_SEGMENTS: u64 = 10_000;

/// Which parts a film has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Pictures of the whole film.
    pub pictures: u64,
    /// Pictures of a segment; of the last one fewer.
    pub each: u64,
    /// What the film follows from, as one number: SHA-256 in hex.
    of: String,
}

impl Plan {
    /// That of a film `out` in segments of so many seconds. `None`: it is short, has no pictures, or there is nothing to make
    /// one of, and so it is made in one go, by [`compose`](super::compose). What can be refused beforehand is.
    pub fn new(
        directory: &Path,
        out: &Path,
        options: &Options,
        seconds: u32,
    ) -> Result<Option<Plan>, ComposeError> {
        options.check()?;
        work::refuse(out)?;
        let manifest = Manifest::read(directory).map_err(RecordingError::from)?;
        let micros = end(&manifest);
        if let Some(which) = options.thumbnails {
            thumbnails::check(which, micros, out)?;
        }
        let pictures = film::count(micros, options.rate);
        let each = (u64::from(seconds) * u64::from(options.rate)).max(pictures.div_ceil(MAX_SEGMENTS));
        let empty = manifest.tracks.iter().all(|track| track.parts.is_empty());
        if seconds == 0 || pictures <= each || empty || !options.has_pictures() {
            return Ok(None);
        }
        // Who encodes, how many at a time and where it may end changes no picture.
        let shown = Options { encoders: None, beside: 1, max_bytes: 0, speakers: None, ..options.clone() };
        let of = format!("{} {manifest:?} {shown:?} {each}", crate::SOFTWARE);
        Ok(Some(Plan { pictures, each, of: crate::sha256(of.as_bytes()) }))
    }

    /// How many segments there are.
    pub fn segments(&self) -> u64 {
        self.pictures.div_ceil(self.each)
    }

    /// The pictures of a segment.
    pub fn pictures_of(&self, segment: u64) -> Range<u64> {
        (segment * self.each).min(self.pictures)..((segment + 1) * self.each).min(self.pictures)
    }

    /// As a ledger says it first.
    pub fn head(&self) -> Head {
        let Plan { pictures, each, of } = self.clone();
        Head { format: FORMAT.to_owned(), version: VERSION, of, pictures, each }
    }

    /// What is to be done of it by at most `most` processes at a time: the sound, and of the segments that are missing as few
    /// pieces as that takes, since each begins with what came since the key frame before.
    fn shares(&self, has: impl Fn(&str) -> bool, most: usize) -> Vec<Share> {
        let missing: Vec<u64> = (0..self.segments()).filter(|number| !has(&segment(*number))).collect();
        let longest = missing.len().div_ceil(most.max(1));
        let mut shares: Vec<Share> = Vec::new();
        if !has(SOUND) {
            shares.push(Share::Sound);
        }
        for number in missing {
            match shares.last_mut() {
                Some(Share::Pictures(which))
                    if which.end == number && ((which.end - which.start) as usize) < longest =>
                {
                    which.end += 1;
                }
                _ => shares.push(Share::Pictures(number..number + 1)),
            }
        }
        shares
    }
}

/// What one process does for a film in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Share {
    /// All of its sound.
    Sound,
    /// These segments of its picture.
    Pictures(Range<u64>),
    /// The film, of all parts.
    Join,
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Share::Sound => f.write_str("sound"),
            Share::Pictures(which) => write!(f, "{}..{}", which.start, which.end),
            Share::Join => f.write_str("join"),
        }
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Share, String> {
        let pictures = || {
            let (start, end) = text.split_once("..")?;
            let which = start.parse().ok()?..end.parse().ok()?;
            (which.start < which.end && which.end <= MAX_SEGMENTS).then_some(Share::Pictures(which))
        };
        match text {
            "sound" => Ok(Share::Sound),
            "join" => Ok(Share::Join),
            _ => pictures().ok_or_else(|| "a share is sound, join, or segments like 0..4".to_owned()),
        }
    }
}

/// Where the parts of a film lie.
pub fn folder(out: &Path) -> PathBuf {
    let mut name: OsString = out.as_os_str().to_owned();
    name.push(".parts");
    PathBuf::from(name)
}

/// The file of a segment.
fn segment(number: u64) -> String {
    format!("segment-{number:05}")
}

/// After what the pictures for beside a film are called that come with a segment.
fn still(which: Thumbnails, folder: &Path, number: u64) -> PathBuf {
    match which {
        // Of each segment its own: the first of them counts.
        Thumbnails::First => folder.join(segment(number)),
        Thumbnails::Every(_) => folder.join("still"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(pictures: u64) -> Plan {
        Plan { pictures, each: 60, of: String::new() }
    }

    #[test]
    fn segments_follow_each_other_and_are_all_of_the_film() {
        for (pictures, count) in [(61, 2), (120, 2), (121, 3)] {
            let plan = plan(pictures);
            assert_eq!(plan.segments(), count);
            let all: Vec<u64> = (0..count).flat_map(|number| plan.pictures_of(number)).collect();
            assert_eq!(all, (0..pictures).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_is_missing_is_shared_in_as_few_pieces_as_there_are_processes() {
        let told = |has: &[&str], most| {
            let shares = plan(600).shares(|file| has.contains(&file), most);
            shares.iter().map(Share::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(told(&[], 1), "sound 0..10");
        assert_eq!(told(&[], 3), "sound 0..4 4..8 8..10");
        assert_eq!(told(&["sound", "segment-00000", "segment-00005"], 2), "1..5 6..10");
        assert_eq!(told(&[], 64).split(' ').count(), 11);
    }

    #[test]
    fn a_share_is_said_and_understood() {
        for text in ["sound", "join", "0..1", "17..9999"] {
            assert_eq!(text.parse::<Share>().unwrap().to_string(), text);
        }
        for wrong in ["", "1", "2..2", "3..1", "-1..2", "0..10001", "a..b"] {
            assert!(wrong.parse::<Share>().is_err(), "{wrong}");
        }
    }
}
