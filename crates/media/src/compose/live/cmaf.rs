// SPDX-License-Identifier: EUPL-1.2
//! Fragmented MP4 (ISO/IEC 14496-12) as CMAF (ISO/IEC 23000-19) has it: one track, an initialization section and chunks of one
//! `moof` and one `mdat` each.

use super::sound::BITRATE;
use crate::compose::SAMPLE_RATE;

/// What a track is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Track {
    /// H.264 with these parameters, in samples.
    Pictures { width: u32, height: u32, record: Vec<u8> },
    /// AAC with this `AudioSpecificConfig`, two channels.
    Sound { config: Vec<u8> },
}

/// What stands in a chunk, in the order of decoding, which is that of showing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sample {
    /// In the track's time scale.
    pub(super) duration: u32,
    pub(super) key: bool,
    pub(super) data: Vec<u8>,
}

/// The number of the only track.
const TRACK: u32 = 1;
/// Stands on nothing (ISO/IEC 14496-12, 8.8.3.1).
const KEY: u32 = 0x0200_0000;
/// Stands on others, and decoding can't begin here.
const DELTA: u32 = 0x0101_0000;
/// No rotation, no scaling.
const UNITY: [u32; 9] = [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000];

/// The initialization section: `ftyp` and `moov`.
pub(super) fn init(track: &Track, timescale: u32) -> Vec<u8> {
    let ftyp = boxed(b"ftyp", &[b"iso6", &[0, 0, 0, 1], b"iso6cmfcmp41"]);
    let (_, (width, height)) = (TRACK, track.size());
    let matrix = UNITY.map(u32::to_be_bytes).concat();
    let mvhd = full(
        b"mvhd",
        0,
        0,
        &[
            &[0; 8],
            &timescale.to_be_bytes(),
            &[0; 4],
            &0x1_0000_u32.to_be_bytes(),
            &[1, 0],
            &[0; 10],
            &matrix,
            &[0; 24],
            &(TRACK + 1).to_be_bytes(),
        ],
    );
    let volume: [u8; 2] = if track.is_sound() { [1, 0] } else { [0, 0] };
    let sides = [width << 16, height << 16].map(u32::to_be_bytes).concat();
    // Enabled, in the film and in the preview.
    let tkhd = full(
        b"tkhd",
        0,
        7,
        &[&[0; 8], &TRACK.to_be_bytes(), &[0; 8], &[0; 8], &[0, 0, 0, 0], &volume, &[0, 0], &matrix, &sides],
    );
    // The language is not told: `und`.
    let mdhd = full(b"mdhd", 0, 0, &[&[0; 8], &timescale.to_be_bytes(), &[0; 4], &[0x55, 0xc4, 0, 0]]);
    let (handler, header) = match track {
        Track::Pictures { .. } => (b"vide", full(b"vmhd", 0, 1, &[&[0; 8]])),
        Track::Sound { .. } => (b"soun", full(b"smhd", 0, 0, &[&[0; 4]])),
    };
    let hdlr = full(b"hdlr", 0, 0, &[&[0; 4], handler, &[0; 12], b"parvis\0"]);
    let url = full(b"url ", 0, 1, &[]);
    let dinf = boxed(b"dinf", &[&full(b"dref", 0, 0, &[&1_u32.to_be_bytes(), &url])]);
    let none = |kind: &[u8; 4]| full(kind, 0, 0, &[&[0; 4]]);
    let stsd = full(b"stsd", 0, 0, &[&1_u32.to_be_bytes(), &track.entry()]);
    let stsz = full(b"stsz", 0, 0, &[&[0; 8]]);
    let stbl = boxed(b"stbl", &[&stsd, &none(b"stts"), &none(b"stsc"), &stsz, &none(b"stco")]);
    let minf = boxed(b"minf", &[&header, &dinf, &stbl]);
    let mdia = boxed(b"mdia", &[&mdhd, &hdlr, &minf]);
    let trex = full(b"trex", 0, 0, &[&TRACK.to_be_bytes(), &1_u32.to_be_bytes(), &[0; 12]]);
    let moov = boxed(b"moov", &[&mvhd, &boxed(b"trak", &[&tkhd, &mdia]), &boxed(b"mvex", &[&trex])]);
    [ftyp, moov].concat()
}

/// A chunk: `number` counts chunks from 1 on, `time` is when its first sample is shown.
pub(super) fn chunk(number: u32, time: u64, samples: &[Sample]) -> Vec<u8> {
    let mfhd = full(b"mfhd", 0, 0, &[&number.to_be_bytes()]);
    // Places are counted from the `moof` on.
    let tfhd = full(b"tfhd", 0, 0x02_0000, &[&TRACK.to_be_bytes()]);
    let tfdt = full(b"tfdt", 1, 0, &[&time.to_be_bytes()]);
    let count = samples.len() as u32;
    let mut rows = Vec::with_capacity(samples.len() * 12);
    for Sample { duration, key, data } in samples {
        let flags = if *key { KEY } else { DELTA };
        rows.extend([*duration, data.len() as u32, flags].into_iter().flat_map(u32::to_be_bytes));
    }
    // The place of the data, and of each sample its duration, size and flags.
    let trun = |offset: u32| full(b"trun", 0, 0x701, &[&count.to_be_bytes(), &offset.to_be_bytes(), &rows]);
    let moof = |offset: u32| boxed(b"moof", &[&mfhd, &boxed(b"traf", &[&tfhd, &tfdt, &trun(offset)])]);
    let offset = moof(0).len() as u32 + 8;
    let data: Vec<&[u8]> = samples.iter().map(|sample| sample.data.as_slice()).collect();
    [moof(offset), boxed(b"mdat", &data)].concat()
}

impl Track {
    fn is_sound(&self) -> bool {
        matches!(self, Track::Sound { .. })
    }

    fn size(&self) -> (u32, u32) {
        match self {
            Track::Pictures { width, height, .. } => (*width, *height),
            Track::Sound { .. } => (0, 0),
        }
    }

    /// The sample entry.
    fn entry(&self) -> Vec<u8> {
        let first: [u8; 8] = [0, 0, 0, 0, 0, 0, 0, 1];
        match self {
            Track::Pictures { width, height, record } => {
                let sides = [*width as u16, *height as u16].map(u16::to_be_bytes).concat();
                // 72 dots an inch, one picture a sample, no name, 24 bits deep.
                let dpi = 0x48_0000_u32.to_be_bytes();
                let rest = [&dpi[..], &dpi, &[0; 4], &[0, 1], &[0; 32], &[0, 0x18], &[0xff, 0xff]].concat();
                // BT.601 with the narrow range (ISO/IEC 23091-2).
                let colr = boxed(b"colr", &[b"nclx", &[0, 6, 0, 6, 0, 6, 0]]);
                boxed(b"avc1", &[&first, &[0; 16], &sides, &rest, &boxed(b"avcC", &[record]), &colr])
            }
            Track::Sound { config } => {
                let rate = ((SAMPLE_RATE as u32) << 16).to_be_bytes();
                boxed(b"mp4a", &[&first, &[0; 8], &[0, 2, 0, 16, 0, 0, 0, 0], &rate, &esds(config)])
            }
        }
    }
}

/// How AAC is to be decoded (ISO/IEC 14496-1, 7.2.6).
fn esds(config: &[u8]) -> Vec<u8> {
    let descriptor = |tag: u8, content: &[&[u8]]| {
        let content = content.concat();
        [&[tag, content.len() as u8][..], &content].concat()
    };
    let rate = BITRATE.to_be_bytes();
    let specific = descriptor(5, &[config]);
    // MPEG-4 audio, an audio stream, no buffer size told.
    let decoder = descriptor(4, &[&[0x40, 0x15, 0, 0, 0], &rate, &rate, &specific]);
    let layer = descriptor(6, &[&[2]]);
    full(b"esds", 0, 0, &[&descriptor(3, &[&[0, 0, 0], &decoder, &layer])])
}

fn boxed(kind: &[u8; 4], content: &[&[u8]]) -> Vec<u8> {
    let length = 8 + content.iter().map(|piece| piece.len()).sum::<usize>();
    let mut out = Vec::with_capacity(length);
    out.extend((length as u32).to_be_bytes());
    out.extend(kind);
    content.iter().for_each(|piece| out.extend(*piece));
    out
}

fn full(kind: &[u8; 4], version: u8, flags: u32, content: &[&[u8]]) -> Vec<u8> {
    let head = (u32::from(version) << 24 | flags).to_be_bytes();
    let pieces: Vec<&[u8]> = std::iter::once(&head[..]).chain(content.iter().copied()).collect();
    boxed(kind, &pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Boxes in bytes, each with its content.
    fn boxes(mut bytes: &[u8]) -> Vec<(String, &[u8])> {
        let mut found = Vec::new();
        while let Some((length, _)) = bytes.split_first_chunk::<4>() {
            let length = u32::from_be_bytes(*length) as usize;
            found.push((String::from_utf8(bytes[4..8].to_vec()).unwrap(), &bytes[8..length]));
            bytes = &bytes[length..];
        }
        found
    }

    #[test]
    fn a_chunk_says_where_each_sample_lies() {
        let sample = |key, data: &[u8]| Sample { duration: 1000, key, data: data.to_vec() };
        let chunk = chunk(7, 5_000_000_000, &[sample(true, b"first"), sample(false, b"2nd")]);
        let found = boxes(&chunk);
        assert_eq!(found.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["moof", "mdat"]);
        assert_eq!(found[1].1, b"first2nd");
        let moof = boxes(found[0].1);
        let traf = boxes(moof[1].1);
        assert_eq!(traf[1].1[4..], 5_000_000_000_u64.to_be_bytes());
        let trun = traf[2].1;
        let word = |at: usize| u32::from_be_bytes(*trun[at..].first_chunk().unwrap());
        assert_eq!((word(4), word(12), word(16), word(20)), (2, 1000, 5, KEY));
        assert_eq!((word(24), word(28), word(32)), (1000, 3, DELTA));
        assert_eq!(&chunk[word(8) as usize..][..8], b"first2nd", "the place is counted from the moof on");
    }

    #[test]
    fn an_initialization_section_is_whole() {
        let record = vec![1, 0x64, 0, 0x1f, 0xff];
        let section = init(&Track::Pictures { width: 640, height: 360, record: record.clone() }, 30_000);
        let found = boxes(&section);
        assert_eq!(found.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["ftyp", "moov"]);
        assert!(section.windows(9).any(|nine| nine == [b"avcC", &record[..]].concat()));
        let section = init(&Track::Sound { config: vec![0x11, 0x90] }, 48_000);
        assert!(section.windows(4).any(|four| four == [5, 2, 0x11, 0x90]), "{section:02x?}");
    }
}
