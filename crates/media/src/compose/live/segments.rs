// SPDX-License-Identifier: EUPL-1.2
//! Samples into parts and segments, each a file that has its name only once it is whole.

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use parvis_jobs::{Hls, Segment, SegmentKind, ToServer, UnixMicros};

use super::cmaf::{self, Sample, Track};
use super::tap::Tap;
use crate::compose::ComposeError;

/// So many segments later nobody asks for the parts of one any more: players go back three parts, not segments.
const PARTS_KEPT: u64 = 3;

/// How time is divided; the same for all renditions, so that they can be switched between.
#[derive(Debug, Clone)]
pub(super) struct Grid {
    rate: u64,
    /// Pictures in a segment.
    pub(super) segment: u64,
    /// Pictures in a part.
    part: u64,
    has_parts: bool,
    first: u64,
    keep: u64,
    /// When picture 0 is shown, by the server's clock.
    zero: UnixMicros,
    /// Segments that begin anew.
    breaks: Rc<RefCell<BTreeSet<u64>>>,
}

/// Where a picture belongs: its segment's media sequence number, and the part of that.
pub(super) type Place = (u64, u32);

impl Grid {
    pub(super) fn new(hls: &Hls, rate: u32, first: u64, zero: UnixMicros) -> Grid {
        let rate = u64::from(rate);
        let pictures = |millis: u32| (u64::from(millis) * rate + 500) / 1000;
        let segment = pictures(hls.segment_millis).max(1);
        let part = pictures(hls.part_millis).clamp(1, segment);
        let breaks = Rc::new(RefCell::new(BTreeSet::new()));
        // Another worker's segments lie before the first one.
        if first > 0 {
            breaks.borrow_mut().insert(first);
        }
        let has_parts = hls.part_millis > 0;
        let part = if has_parts { part } else { segment };
        Grid { rate, segment, part, has_parts, first, keep: u64::from(hls.keep_segments), zero, breaks }
    }

    pub(super) fn begins_segment(&self, picture: u64) -> bool {
        picture.is_multiple_of(self.segment)
    }

    pub(super) fn place(&self, picture: u64) -> Place {
        let part = u32::try_from(picture % self.segment / self.part).unwrap_or(u32::MAX);
        (self.first + picture / self.segment, part)
    }

    /// Has the segment that begins with a picture begin anew, in all renditions.
    pub(super) fn begin_anew(&self, picture: u64) {
        let mut breaks = self.breaks.borrow_mut();
        breaks.insert(self.place(picture).0);
        while breaks.len() > 64 {
            breaks.pop_first();
        }
    }

    pub(super) fn is_break(&self, sequence: u64) -> bool {
        self.breaks.borrow().contains(&sequence)
    }
}

/// Writes one rendition.
pub(super) struct Writer {
    directory: PathBuf,
    tap: Arc<Tap>,
    grid: Grid,
    name: String,
    timescale: u32,
    /// Samples of the open part, each with its time.
    open: Vec<(u64, bool, Vec<u8>)>,
    place: Place,
    /// What the open segment has so far, from when on, and whether decoding can begin with it.
    segment: Vec<u8>,
    since: u64,
    independent: bool,
    /// Parts of it so far: where pictures are left out, one of the grid may be missing, and the numbers have no gap.
    parts: u32,
    chunks: u32,
    /// Files that go when they are old: the segment's number, and whether they are parts.
    files: VecDeque<(u64, bool, String)>,
}

impl Writer {
    pub(super) fn new(directory: &Path, tap: &Arc<Tap>, grid: &Grid, name: &str, timescale: u32) -> Writer {
        Writer {
            directory: directory.to_owned(),
            tap: Arc::clone(tap),
            grid: grid.clone(),
            name: name.to_owned(),
            timescale,
            open: Vec::new(),
            place: (grid.first, 0),
            segment: Vec::new(),
            since: 0,
            independent: false,
            parts: 0,
            chunks: 0,
            files: VecDeque::new(),
        }
    }

    /// What is needed from a segment on. What came before is written first.
    pub(super) fn begin(
        &mut self,
        track: &Track,
        codec: String,
        sequence: u64,
        time: u64,
    ) -> Result<(), ComposeError> {
        self.flush(time)?;
        self.place = (sequence, 0);
        let name = format!("{}-{sequence}.init.mp4", self.name);
        let bytes = self.write(&name, &cmaf::init(track, self.timescale))?;
        self.files.push_back((sequence, false, name.clone()));
        self.tell((SegmentKind::Init, name, bytes), (sequence, 0), (0, 0), true, Some(codec));
        Ok(())
    }

    /// Adds a sample that is shown at `time`, in the time scale, and belongs there.
    pub(super) fn add(
        &mut self,
        place: Place,
        time: u64,
        key: bool,
        data: Vec<u8>,
    ) -> Result<(), ComposeError> {
        if place != self.place {
            self.end_part(time)?;
            if place.0 != self.place.0 {
                self.end_segment(time)?;
            }
            self.place = place;
        }
        if self.open.is_empty() && self.segment.is_empty() {
            (self.since, self.independent) = (time, key);
        }
        self.open.push((time, key, data));
        Ok(())
    }

    /// Writes what there is as a segment that ends at `time`.
    pub(super) fn flush(&mut self, time: u64) -> Result<(), ComposeError> {
        self.end_part(time)?;
        self.end_segment(time)
    }

    fn end_part(&mut self, end: u64) -> Result<(), ComposeError> {
        let Some((since, independent, _)) = self.open.first().map(|(at, key, _)| (*at, *key, ())) else {
            return Ok(());
        };
        let ends: Vec<u64> = self.open.iter().skip(1).map(|(at, ..)| *at).chain([end]).collect();
        let samples = self.open.drain(..).zip(ends).map(|((at, key, data), end)| Sample {
            duration: u32::try_from(end.saturating_sub(at)).unwrap_or(u32::MAX),
            key,
            data,
        });
        let samples: Vec<Sample> = samples.collect();
        self.chunks = self.chunks.wrapping_add(1);
        let chunk = cmaf::chunk(self.chunks, since, &samples);
        if self.grid.has_parts {
            let (sequence, part) = (self.place.0, self.parts);
            self.parts += 1;
            let name = format!("{}-{sequence}.{part}.m4s", self.name);
            let bytes = self.write(&name, &chunk)?;
            self.files.push_back((sequence, true, name.clone()));
            self.tell((SegmentKind::Part, name, bytes), (sequence, part), (since, end), independent, None);
        }
        self.segment.extend(chunk);
        Ok(())
    }

    fn end_segment(&mut self, end: u64) -> Result<(), ComposeError> {
        if self.segment.is_empty() {
            return Ok(());
        }
        self.parts = 0;
        let sequence = self.place.0;
        let name = format!("{}-{sequence}.m4s", self.name);
        let content = std::mem::take(&mut self.segment);
        let bytes = self.write(&name, &content)?;
        self.files.push_back((sequence, false, name.clone()));
        let times = (self.since, end);
        self.tell((SegmentKind::Segment, name, bytes), (sequence, 0), times, self.independent, None);
        self.remove_old(sequence);
        Ok(())
    }

    fn remove_old(&mut self, sequence: u64) {
        let directory = &self.directory;
        // The newest initialization section is needed for as long as segments stand on it.
        let newest =
            self.files.iter().rev().find(|(.., name)| name.ends_with(".mp4")).map(|(.., name)| name.clone());
        let (keep, newest) = (self.grid.keep, newest.unwrap_or_default());
        self.files.retain(|(of, is_part, name)| {
            let is_old = match is_part {
                true => of + PARTS_KEPT <= sequence,
                false => keep > 0 && of + keep <= sequence && *name != newest,
            };
            if is_old {
                let _ = fs::remove_file(directory.join(name));
            }
            !is_old
        });
    }

    fn tell(
        &self,
        (kind, name, bytes): (SegmentKind, String, u64),
        (sequence, part): Place,
        (from, to): (u64, u64),
        independent: bool,
        codec: Option<String>,
    ) {
        let micros = |time: u64| (u128::from(time) * 1_000_000 / u128::from(self.timescale)) as u64;
        let is_init = kind == SegmentKind::Init;
        self.tap.tell(ToServer::Segment(Segment {
            rendition: self.name.clone(),
            kind,
            name,
            bytes,
            sequence,
            part,
            duration_micros: micros(to) - micros(from),
            independent,
            discontinuity: self.grid.is_break(sequence),
            at: (!is_init).then(|| UnixMicros(self.grid.zero.0 + micros(from))),
            codec,
        }));
    }

    fn write(&self, name: &str, content: &[u8]) -> Result<u64, ComposeError> {
        write_whole(&self.directory, name, content)?;
        Ok(content.len() as u64)
    }
}

/// Writes a file that is called `….part` until it is whole.
pub(super) fn write_whole(directory: &Path, name: &str, content: &[u8]) -> Result<(), ComposeError> {
    let (path, part) = (directory.join(name), directory.join(format!("{name}.part")));
    let opened = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part);
    let written = opened.and_then(|mut file| file.write_all(content)).and_then(|()| fs::rename(&part, &path));
    written.map_err(|error| {
        let _ = fs::remove_file(&part);
        ComposeError::Io { path, error }
    })
}

/// The time of a picture in a rendition's time scale: a thousandth of a picture is its unit, whatever the rate.
pub(super) const PICTURE: u64 = 1000;

impl Grid {
    /// The time scale of pictures.
    pub(super) fn timescale(&self) -> u32 {
        u32::try_from(self.rate * PICTURE).unwrap_or(u32::MAX)
    }

    /// Where sound belongs that begins with a sample.
    pub(super) fn place_of_sound(&self, sample: u64) -> Place {
        self.place(sample * self.rate / crate::compose::SAMPLE_RATE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Temp(PathBuf);

    impl Temp {
        fn new(name: &str) -> Temp {
            let path = std::env::temp_dir().join(format!("parvis-segments-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir(&path).unwrap();
            Temp(path)
        }
    }

    impl Drop for Temp {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn hls(part_millis: u32, keep_segments: u32) -> Hls {
        Hls { renditions: Vec::new(), segment_millis: 1000, part_millis, keep_segments }
    }

    fn told(tap: &Tap) -> Vec<Segment> {
        let segments = tap.outgoing().into_iter().filter_map(|message| match message {
            ToServer::Segment(segment) => Some(segment),
            _ => None,
        });
        segments.collect()
    }

    #[test]
    fn parts_make_up_their_segment_and_a_picture_that_was_dropped_leaves_no_gap() {
        let temp = Temp::new("parts");
        let tap = Arc::new(Tap::new(UnixMicros(0)));
        let grid = Grid::new(&hls(400, 0), 10, 5, UnixMicros(7_000_000));
        let mut writer = Writer::new(&temp.0, &tap, &grid, "360p", grid.timescale());
        let track = Track::Pictures { width: 640, height: 360, record: vec![1] };
        writer.begin(&track, "avc1.1".to_owned(), 5, 0).unwrap();
        // Pictures 3, 4 and 14 to 17 were dropped; 10 pictures are a segment, 4 a part.
        for number in (0..20).filter(|number| ![3, 4, 14, 15, 16, 17].contains(number)) {
            writer.add(grid.place(number), number * PICTURE, number % 10 == 0, vec![number as u8]).unwrap();
        }
        writer.flush(20 * PICTURE).unwrap();
        let told = told(&tap);
        let seen = |kind| {
            let of = told.iter().filter(move |segment| segment.kind == kind);
            of.map(|s| (s.name.as_str(), s.sequence, s.part, s.duration_micros, s.independent))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            seen(SegmentKind::Part),
            [
                ("360p-5.0.m4s", 5, 0, 500_000, true),
                ("360p-5.1.m4s", 5, 1, 300_000, false),
                ("360p-5.2.m4s", 5, 2, 200_000, false),
                // The second part of the grid has no picture at all.
                ("360p-6.0.m4s", 6, 0, 800_000, true),
                ("360p-6.1.m4s", 6, 1, 200_000, false),
            ]
        );
        assert_eq!(
            seen(SegmentKind::Segment),
            [("360p-5.m4s", 5, 0, 1_000_000, true), ("360p-6.m4s", 6, 0, 1_000_000, true)]
        );
        let read = |name: &str| fs::read(temp.0.join(name)).unwrap();
        let parts = [read("360p-5.0.m4s"), read("360p-5.1.m4s"), read("360p-5.2.m4s")].concat();
        assert_eq!(read("360p-5.m4s"), parts);
        let breaks: Vec<_> = told.iter().map(|segment| (segment.sequence, segment.discontinuity)).collect();
        assert!(breaks.iter().all(|(sequence, broken)| *broken == (*sequence == 5)), "{breaks:?}");
        let at = told.iter().find(|segment| segment.name == "360p-6.m4s").and_then(|segment| segment.at);
        assert_eq!(at, Some(UnixMicros(8_000_000)));
        assert!(fs::read_dir(&temp.0).unwrap().all(|file| !file.unwrap().path().ends_with(".part")));
    }

    #[test]
    fn old_files_go_and_what_is_needed_stays() {
        let temp = Temp::new("old");
        let tap = Arc::new(Tap::new(UnixMicros(0)));
        let grid = Grid::new(&hls(500, 4), 10, 0, UnixMicros(0));
        let mut writer = Writer::new(&temp.0, &tap, &grid, "a", grid.timescale());
        writer.begin(&Track::Sound { config: vec![0x11, 0x90] }, String::new(), 0, 0).unwrap();
        for number in 0..100 {
            writer.add(grid.place(number), number * PICTURE, true, vec![0]).unwrap();
        }
        writer.flush(100 * PICTURE).unwrap();
        let mut left: Vec<_> = fs::read_dir(&temp.0)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        let expected = [
            "a-0.init.mp4",
            "a-6.m4s",
            "a-7.0.m4s",
            "a-7.1.m4s",
            "a-7.m4s",
            "a-8.0.m4s",
            "a-8.1.m4s",
            "a-8.m4s",
            "a-9.0.m4s",
            "a-9.1.m4s",
            "a-9.m4s",
        ];
        assert_eq!(left, expected);
    }
}
