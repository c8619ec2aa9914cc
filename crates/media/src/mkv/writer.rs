// SPDX-License-Identifier: EUPL-1.2
//! Writes files of one track, to their end only.

use parvis_jobs::{Codec, UnixMicros};

use super::{TICK_NANOS, TRACK, ebml, id};

/// What a file says of its track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackHead {
    /// The codec.
    pub codec: Codec,
    /// What decoders must know first: `avcC`, `av1C`, `OpusHead`; empty for VP8 and VP9.
    pub private: Vec<u8>,
    /// Width and height in samples; none for sound.
    pub visible: Option<Visible>,
    /// Channels of sound.
    pub channels: u8,
    /// A number that no other track of the recording has.
    pub uid: u64,
    /// The moment of timestamp 0.
    pub zero: UnixMicros,
}

/// A picture's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visible {
    /// Width in samples.
    pub width: u32,
    /// Height in samples.
    pub height: u32,
}

/// What stands before the first cluster. The segment has no size: it ends where the file ends.
pub fn head(track: &TrackHead) -> Vec<u8> {
    let mut out = ebml_head();
    ebml::id(&mut out, id::SEGMENT);
    out.extend_from_slice(&ebml::UNKNOWN_SIZE);
    info(&mut out, track.zero, None);
    tracks(&mut out, track);
    out
}

pub(super) fn ebml_head() -> Vec<u8> {
    let mut out = Vec::new();
    ebml::master(&mut out, id::EBML, |out| {
        ebml::uint(out, id::EBML_VERSION, 1);
        ebml::uint(out, id::EBML_READ_VERSION, 1);
        ebml::uint(out, id::EBML_MAX_ID_LENGTH, 4);
        ebml::uint(out, id::EBML_MAX_SIZE_LENGTH, 8);
        ebml::binary(out, id::DOC_TYPE, b"matroska");
        // SeekPreRoll and SimpleBlock came with versions 4 and 2.
        ebml::uint(out, id::DOC_TYPE_VERSION, 4);
        ebml::uint(out, id::DOC_TYPE_READ_VERSION, 2);
    });
    out
}

/// `duration` is in ticks.
pub(super) fn info(out: &mut Vec<u8>, zero: UnixMicros, duration: Option<f64>) {
    ebml::master(out, id::INFO, |out| {
        ebml::uint(out, id::TIMESTAMP_SCALE, TICK_NANOS);
        if let Some(duration) = duration {
            ebml::float(out, id::DURATION, duration);
        }
        ebml::binary(out, id::DATE_UTC, &date(zero).to_be_bytes());
        ebml::binary(out, id::MUXING_APP, b"Parvis");
        ebml::binary(out, id::WRITING_APP, concat!("parvis-media ", env!("CARGO_PKG_VERSION")).as_bytes());
    });
}

pub(super) fn tracks(out: &mut Vec<u8>, track: &TrackHead) {
    ebml::master(out, id::TRACKS, |out| {
        ebml::master(out, id::TRACK_ENTRY, |out| {
            ebml::uint(out, id::TRACK_NUMBER, TRACK);
            ebml::uint(out, id::TRACK_UID, track.uid.max(1));
            ebml::uint(out, id::TRACK_TYPE, if track.visible.is_some() { 1 } else { 2 });
            ebml::uint(out, id::FLAG_LACING, 0);
            ebml::binary(out, id::LANGUAGE, b"und");
            ebml::binary(out, id::CODEC_ID, codec_id(track.codec).as_bytes());
            if !track.private.is_empty() {
                ebml::binary(out, id::CODEC_PRIVATE, &track.private);
            }
            match track.visible {
                Some(Visible { width, height }) => ebml::master(out, id::VIDEO, |out| {
                    ebml::uint(out, id::PIXEL_WIDTH, width.into());
                    ebml::uint(out, id::PIXEL_HEIGHT, height.into());
                }),
                None => {
                    // Opus sounds right 80 ms after a cut (RFC 7845 section 4.6).
                    ebml::uint(out, id::SEEK_PRE_ROLL, 80_000_000);
                    ebml::master(out, id::AUDIO, |out| {
                        ebml::float(out, id::SAMPLING_FREQUENCY, 48_000.0);
                        ebml::uint(out, id::CHANNELS, track.channels.into());
                    });
                }
            }
        });
    });
}

/// Matroska's codec ids (RFC 9559 section 5.1.4, the registry of codecs).
fn codec_id(codec: Codec) -> &'static str {
    match codec {
        Codec::Opus => "A_OPUS",
        Codec::Vp8 => "V_VP8",
        Codec::Vp9 => "V_VP9",
        Codec::Av1 => "V_AV1",
        Codec::H264 => "V_MPEG4/ISO/AVC",
    }
}

pub(super) fn codec_of(id: &[u8]) -> Option<Codec> {
    Codec::ALL.into_iter().find(|codec| codec_id(*codec).as_bytes() == id)
}

/// Nanoseconds since 2001 (RFC 8794 section 7.6).
fn date(moment: UnixMicros) -> i64 {
    const UNIX_TO_2001_MICROS: i64 = 978_307_200_000_000;
    let micros = i64::try_from(moment.0).unwrap_or(i64::MAX).saturating_sub(UNIX_TO_2001_MICROS);
    micros.saturating_mul(1000)
}

/// Collects the blocks of one cluster, which is written whole, with its size.
#[derive(Debug, Default)]
pub struct ClusterWriter {
    /// The first block's timestamp; the cluster's own.
    first: Option<u64>,
    last: u64,
    blocks: Vec<u8>,
}

impl ClusterWriter {
    /// The longest span of a cluster, in ticks: a second. (A block's place in it would have 15 bits.)
    pub const MAX_SPAN: u64 = 1000;

    /// Adds a frame, `timestamp` in ticks. `false` when it has no place in this cluster: it is too far from the first
    /// one, or before the last one. Take the cluster first.
    #[must_use]
    pub fn push(&mut self, timestamp: u64, key: bool, frame: &[u8]) -> bool {
        let first = *self.first.get_or_insert(timestamp);
        let Some(relative) = timestamp.checked_sub(first).filter(|span| *span <= ClusterWriter::MAX_SPAN)
        else {
            return false;
        };
        if timestamp < self.last {
            return false;
        }
        self.last = timestamp;
        ebml::id(&mut self.blocks, id::SIMPLE_BLOCK);
        ebml::size(&mut self.blocks, frame.len() as u64 + 4);
        ebml::size(&mut self.blocks, TRACK);
        self.blocks.extend_from_slice(&(relative as i16).to_be_bytes());
        self.blocks.push(if key { 0x80 } else { 0 });
        self.blocks.extend_from_slice(frame);
        true
    }

    /// From the first to the last frame, in ticks; `None` when there is none.
    pub fn span(&self) -> Option<u64> {
        self.first.map(|first| self.last - first)
    }

    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Whether no frame waits.
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Appends the cluster to `out`, and begins a new one.
    pub fn take(&mut self, out: &mut Vec<u8>) {
        let Some(first) = self.first.take() else { return };
        self.last = 0;
        let mut stamp = Vec::new();
        ebml::uint(&mut stamp, id::TIMESTAMP, first);
        ebml::id(out, id::CLUSTER);
        ebml::size(out, (stamp.len() + self.blocks.len()) as u64);
        out.append(&mut stamp);
        out.append(&mut self.blocks);
    }
}
