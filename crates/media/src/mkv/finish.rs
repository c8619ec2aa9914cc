// SPDX-License-Identifier: EUPL-1.2
//! Makes a file of a capture one that players can seek in: with a size, a duration and cues.

use std::io::{Read, Seek, SeekFrom, Write};

use super::writer::{ebml_head, info, tracks};
use super::{MkvError, Reader, TRACK, ebml, id};

/// Cues of a file of sound: one for so many ticks. Pictures have one for each cluster that begins with a key frame.
const CUE_TICKS: u64 = 5000;

/// Writes what `reader` reads to `out`, frames and clusters as they are. Returns how many frames there were; where the
/// capture was cut off, what is before the cut.
pub fn finish<R: Read, W: Write + Seek>(mut reader: Reader<R>, out: &mut W) -> Result<u64, MkvError> {
    let track = reader.head().track.clone();
    let mut head = ebml_head();
    ebml::id(&mut head, id::SEGMENT);
    let size_at = head.len() as u64;
    head.extend_from_slice(&ebml::UNKNOWN_SIZE);
    let segment = head.len() as u64;
    let seek_at = head.len();
    seek_head(&mut head, 0, 0, 0);
    let info_at = head.len() as u64 - segment;
    info(&mut head, track.zero, Some(0.0));
    let tracks_at = head.len() as u64 - segment;
    tracks(&mut head, &track);
    out.write_all(&head)?;

    let (mut at, mut frames, mut last, mut cues, mut cued) = (head.len() as u64, 0, 0, Vec::new(), None);
    let mut gap = 0;
    while let Some(cluster) = next(&mut reader)? {
        let Some(first) = cluster.blocks.first() else { continue };
        let due = cued.is_none_or(|before: u64| cluster.timestamp >= before + CUE_TICKS);
        if (track.visible.is_some() && first.key) || (track.visible.is_none() && due) {
            cued = Some(cluster.timestamp);
            ebml::master(&mut cues, id::CUE_POINT, |out| {
                ebml::uint(out, id::CUE_TIME, cluster.timestamp);
                ebml::master(out, id::CUE_TRACK_POSITIONS, |out| {
                    ebml::uint(out, id::CUE_TRACK, TRACK);
                    ebml::uint(out, id::CUE_CLUSTER_POSITION, at - segment);
                });
            });
        }
        for block in &cluster.blocks {
            gap = block.timestamp - last.min(block.timestamp);
            last = block.timestamp;
        }
        frames += cluster.blocks.len() as u64;
        out.write_all(&cluster.bytes)?;
        at += cluster.bytes.len() as u64;
    }
    let cues_at = at - segment;
    if !cues.is_empty() {
        let mut element = Vec::new();
        ebml::binary(&mut element, id::CUES, &cues);
        out.write_all(&element)?;
        at += element.len() as u64;
    }
    // The last frame lasts as long as the one before it.
    let duration = if frames > 1 { last + gap } else { last };
    let mut head_again = Vec::new();
    seek_head(&mut head_again, info_at, tracks_at, cues_at);
    info(&mut head_again, track.zero, Some(duration as f64));
    out.seek(SeekFrom::Start(seek_at as u64))?;
    out.write_all(&head_again)?;
    out.seek(SeekFrom::Start(size_at))?;
    out.write_all(&ebml::wide_size(at - segment))?;
    out.seek(SeekFrom::End(0))?;
    Ok(frames)
}

fn next<R: Read>(reader: &mut Reader<R>) -> Result<Option<super::Cluster>, MkvError> {
    match reader.next_cluster() {
        Err(MkvError::Truncated { .. }) => Ok(None),
        other => other,
    }
}

/// As long whatever the positions are: it is written twice.
fn seek_head(out: &mut Vec<u8>, info: u64, tracks: u64, cues: u64) {
    ebml::master(out, id::SEEK_HEAD, |out| {
        for (which, position) in [(id::INFO, info), (id::TRACKS, tracks), (id::CUES, cues)] {
            ebml::master(out, id::SEEK, |out| {
                ebml::binary(out, id::SEEK_ID, &which.to_be_bytes());
                ebml::binary(out, id::SEEK_POSITION, &position.to_be_bytes());
            });
        }
    });
}
