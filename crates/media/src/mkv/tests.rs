// SPDX-License-Identifier: EUPL-1.2
//! What is written reads the same; a file that ends anywhere plays to there; what we don't write is refused.

use std::io::Cursor;

use parvis_jobs::{Codec, UnixMicros};
use proptest::prelude::*;

use super::*;

fn video() -> TrackHead {
    TrackHead {
        codec: Codec::Vp8,
        private: Vec::new(),
        visible: Some(Visible { width: 1280, height: 720 }),
        channels: 0,
        uid: 7,
        zero: UnixMicros(1_800_000_000_123_456),
    }
}

fn sound() -> TrackHead {
    TrackHead { codec: Codec::Opus, private: b"OpusHead....".to_vec(), visible: None, channels: 2, ..video() }
}

/// A file of clusters, each of frames `(timestamp, key, data)`.
fn file(track: &TrackHead, clusters: &[Vec<(u64, bool, Vec<u8>)>]) -> Vec<u8> {
    let mut bytes = head(track);
    for frames in clusters {
        let mut cluster = ClusterWriter::default();
        for (timestamp, key, data) in frames {
            assert!(cluster.push(*timestamp, *key, data));
        }
        cluster.take(&mut bytes);
    }
    bytes
}

fn read(bytes: &[u8]) -> Result<(Head, Vec<Block>, Option<MkvError>), MkvError> {
    let mut reader = Reader::new(bytes, ReaderLimits::default())?;
    let mut blocks = Vec::new();
    loop {
        match reader.next_cluster() {
            Ok(Some(cluster)) => blocks.extend(cluster.blocks),
            Ok(None) => return Ok((reader.head().clone(), blocks, None)),
            Err(error) => return Ok((reader.head().clone(), blocks, Some(error))),
        }
    }
}

fn three() -> Vec<Vec<(u64, bool, Vec<u8>)>> {
    vec![
        vec![(0, true, vec![1; 300]), (33, false, vec![2; 20])],
        vec![(1033, true, vec![3; 70_000])],
        vec![(5_000_000_000, true, vec![4]), (5_000_000_999, false, vec![5])],
    ]
}

#[test]
fn tracks_and_frames_read_as_they_were_written() {
    for track in [video(), sound()] {
        let (head, blocks, end) = read(&file(&track, &three())).unwrap();
        assert!(end.is_none(), "{end:?}");
        let channels = if track.visible.is_some() { 0 } else { 2 };
        assert_eq!(head.track, TrackHead { channels, ..track });
        assert_eq!((head.duration, head.segment_bytes), (None, None), "it may still grow");
        let found: Vec<_> =
            blocks.iter().map(|block| (block.timestamp, block.key, block.data.len())).collect();
        let expected = [
            (0, true, 300),
            (33, false, 20),
            (1033, true, 70_000),
            (5_000_000_000, true, 1),
            (5_000_000_999, false, 1),
        ];
        assert_eq!(found, expected);
    }
}

#[test]
fn a_cluster_takes_nothing_that_is_too_far_away_or_goes_back() {
    let mut cluster = ClusterWriter::default();
    assert!(cluster.push(1000, true, b"a"));
    assert!(!cluster.push(999, true, b"b"));
    assert!(!cluster.push(1000 + ClusterWriter::MAX_SPAN + 1, true, b"c"));
    assert!(cluster.push(1500, true, b"d"));
    assert!(!cluster.push(1499, true, b"e"));
    assert_eq!(cluster.span(), Some(500));
    let mut bytes = Vec::new();
    cluster.take(&mut bytes);
    assert!(cluster.is_empty() && cluster.span().is_none());
    assert!(cluster.push(3, true, b"f"), "a new one begins anywhere");
}

#[test]
fn a_finished_file_has_size_duration_and_cues_that_lead_to_its_clusters() {
    let bytes = file(&video(), &three()[..2]);
    let mut out = Cursor::new(Vec::new());
    let frames = finish(Reader::new(&bytes[..], ReaderLimits::default()).unwrap(), &mut out).unwrap();
    assert_eq!(frames, 3);
    let out = out.into_inner();
    let (head, blocks, end) = read(&out).unwrap();
    assert!(end.is_none(), "{end:?}");
    assert_eq!(blocks, read(&bytes).unwrap().1, "frames stay as they are");
    assert_eq!(head.duration, Some(1033.0 + 1000.0), "the last frame as long as the one before it");
    // The segment's body begins behind the EBML header, four bytes of id and eight of size.
    let segment = find(&out, &[0x18, 0x53, 0x80, 0x67]) + 12;
    assert_eq!(head.segment_bytes, Some((out.len() - segment) as u64));
    let mut at = out.len();
    for _ in 0..2 {
        // From the end: each cue's cluster position is a short integer behind 0xF1.
        at = out[..at]
            .windows(2)
            .rposition(|pair| pair[0] == 0xf1 && (0x81..=0x84).contains(&pair[1]))
            .unwrap();
        let position = out[at + 2..at + 2 + usize::from(out[at + 1] & 0x7f)]
            .iter()
            .fold(0_usize, |position, byte| position << 8 | usize::from(*byte));
        assert_eq!(&out[segment + position..][..4], [0x1f, 0x43, 0xb6, 0x75]);
    }
}

fn find(bytes: &[u8], what: &[u8]) -> usize {
    bytes.windows(what.len()).position(|window| window == what).unwrap()
}

#[test]
fn what_we_do_not_write_is_refused_with_its_place() {
    let good = file(&video(), &three());
    let wrong = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        let error = read(&bytes).map(|(_, _, end)| end);
        match error {
            Err(error) | Ok(Some(error)) => error.to_string(),
            Ok(None) => "nothing".to_owned(),
        }
    };
    let doc_type = find(&good, b"matroska");
    assert!(wrong(doc_type, b'x').contains("document type"));
    let cluster = find(&good, &[0x1f, 0x43, 0xb6, 0x75]);
    assert!(
        wrong(cluster + 1, 0x44).contains("no place behind the first cluster")
            || wrong(cluster + 1, 0x44).contains("before the first")
    );
    let block = cluster + good[cluster..].iter().position(|byte| *byte == 0xa3).unwrap();
    // Id, two bytes of size, track, two of time, flags.
    assert!(wrong(block + 3, 0x82).contains("another track"));
    assert!(wrong(block + 6, 0x82).contains("lacing"));
    assert!(wrong(block + 4, 0x70).contains("longer than it may be"));
    assert!(wrong(block + 4, 0xff).contains("before 0"));
    let backwards = file(&video(), &[vec![(50, true, vec![1])], vec![(49, true, vec![1])]]);
    assert!(matches!(
        read(&backwards).unwrap().2,
        Some(MkvError::Malformed { what: "timestamps go backwards", .. })
    ));
}

#[test]
fn a_size_that_nobody_sent_takes_no_memory() {
    let mut bytes = head(&video());
    bytes.extend([0x1f, 0x43, 0xb6, 0x75, 0x01, 0x00, 0x00, 0x00, 0x03, 0xff, 0xff, 0xff]);
    assert!(matches!(read(&bytes).unwrap().2, Some(MkvError::Truncated { .. })));
    let at = bytes.len() - 6;
    bytes[at] = 0x7f;
    assert!(matches!(read(&bytes).unwrap().2, Some(MkvError::TooLong { .. })));
}

proptest! {
    #[test]
    fn a_file_that_ends_anywhere_reads_to_there(cut in any::<prop::sample::Index>()) {
        let good = file(&video(), &three());
        let cut = cut.index(good.len());
        let all = read(&good).unwrap().1;
        match read(&good[..cut]) {
            Ok((_, blocks, end)) => {
                prop_assert!(all.starts_with(&blocks));
                prop_assert!(matches!(end, None | Some(MkvError::Truncated { .. })), "{end:?}");
            }
            Err(error) => {
                prop_assert!(cut <= head(&video()).len());
                prop_assert!(matches!(error, MkvError::Truncated { .. } | MkvError::Malformed { .. }), "{error}");
            }
        }
    }

    #[test]
    fn noise_behind_a_head_never_panics(noise in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut bytes = head(&sound());
        bytes.extend([0x1f, 0x43, 0xb6, 0x75, 0x40, noise.len() as u8]);
        bytes.extend(noise);
        let _ = read(&bytes);
    }
}
