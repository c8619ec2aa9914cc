// SPDX-License-Identifier: EUPL-1.2
//! Reads files of one track, strictly.

use std::io::{self, Read};

use parvis_jobs::{Codec, UnixMicros};

use super::writer::codec_of;
use super::{TICK_NANOS, TRACK, TrackHead, Visible, id};

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum MkvError {
    /// Bytes that no strict reader takes.
    #[error("byte {at}: {what}")]
    Malformed {
        /// Where.
        at: u64,
        /// What.
        what: &'static str,
    },
    /// It ends within an element. All that came before it is whole.
    #[error("cut off at byte {at}")]
    Truncated {
        /// Where the element begins that isn't whole.
        at: u64,
    },
    /// A bound of [`ReaderLimits`].
    #[error("byte {at}: an element of {bytes} bytes; {limit} are allowed")]
    TooLong {
        /// Where.
        at: u64,
        /// Bytes.
        bytes: u64,
        /// The bound.
        limit: u64,
    },
    /// It can't be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What a reader takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReaderLimits {
    /// The longest cluster in bytes, of which one is held.
    pub cluster_bytes: u64,
    /// The longest span of a cluster, in ticks.
    pub cluster_ticks: u64,
}

impl Default for ReaderLimits {
    /// 64 MiB; and a second, which is what we promise.
    fn default() -> ReaderLimits {
        ReaderLimits { cluster_bytes: 64 * 1024 * 1024, cluster_ticks: 1000 }
    }
}

/// What stands before the first cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    /// The track.
    pub track: TrackHead,
    /// The duration in ticks, where the file says it.
    pub duration: Option<f64>,
    /// The segment's size, where it has one.
    pub segment_bytes: Option<u64>,
}

/// A cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cluster {
    /// Where it begins in the file.
    pub at: u64,
    /// Its timestamp in ticks.
    pub timestamp: u64,
    /// Its blocks in their order.
    pub blocks: Vec<Block>,
    /// The whole element.
    pub bytes: Vec<u8>,
}

/// A frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Its timestamp in ticks, from the file's beginning.
    pub timestamp: u64,
    /// A key frame.
    pub key: bool,
    /// The frame.
    pub data: Vec<u8>,
}

/// Reads a file from its beginning to its end.
#[derive(Debug)]
pub struct Reader<R> {
    reader: R,
    limits: ReaderLimits,
    at: u64,
    head: Head,
    /// An element's head that was read already.
    peeked: Option<Element>,
    last: u64,
    /// The file ends here, within the head of what would be the first cluster.
    cut: Option<u64>,
    done: bool,
}

#[derive(Debug, Clone, Copy)]
struct Element {
    at: u64,
    id: u32,
    /// `None` is an unknown size.
    size: Option<u64>,
    head: [u8; 12],
    head_len: usize,
}

const MAX_HEAD_BYTES: u64 = 1024 * 1024;

impl<R: Read> Reader<R> {
    /// Reads up to the first cluster.
    pub fn new(reader: R, limits: ReaderLimits) -> Result<Reader<R>, MkvError> {
        let track = TrackHead {
            codec: Codec::Opus,
            private: Vec::new(),
            visible: None,
            channels: 0,
            uid: 0,
            zero: UnixMicros(0),
        };
        let head = Head { track, duration: None, segment_bytes: None };
        let mut reader =
            Reader { reader, limits, at: 0, head, peeked: None, last: 0, cut: None, done: false };
        reader.read_head()?;
        Ok(reader)
    }

    /// What stands before the first cluster.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The next cluster; `None` at the end.
    pub fn next_cluster(&mut self) -> Result<Option<Cluster>, MkvError> {
        loop {
            if let Some(at) = self.cut.take() {
                return Err(MkvError::Truncated { at });
            }
            if self.done {
                return Ok(None);
            }
            let element = match self.peeked.take() {
                Some(element) => element,
                None => match self.element()? {
                    Some(element) => element,
                    None => {
                        self.done = true;
                        continue;
                    }
                },
            };
            match element.id {
                id::CLUSTER => {
                    let body = self.body(&element, self.limits.cluster_bytes)?;
                    return self.cluster(&element, body).map(Some);
                }
                id::CUES | id::VOID => drop(self.body(&element, self.limits.cluster_bytes)?),
                _ => return malformed(element.at, "an element that has no place behind the first cluster"),
            }
        }
    }

    fn read_head(&mut self) -> Result<(), MkvError> {
        let cut = |at| MkvError::Truncated { at };
        let ebml = self.element()?.ok_or(cut(0))?;
        if ebml.id != id::EBML {
            return malformed(0, "no EBML header");
        }
        let body = self.body(&ebml, MAX_HEAD_BYTES)?;
        let mut doc_type = None;
        for child in children(&body, ebml.at) {
            let (child, body, at) = child?;
            match child {
                id::DOC_TYPE => doc_type = Some(body.to_vec()),
                id::EBML_READ_VERSION if uint(body, at)? != 1 => return malformed(at, "EBML newer than 1"),
                id::DOC_TYPE_READ_VERSION if uint(body, at)? > 4 => {
                    return malformed(at, "Matroska newer than 4");
                }
                _ => {}
            }
        }
        if doc_type.as_deref() != Some(b"matroska") {
            return malformed(ebml.at, "the document type is not matroska");
        }
        let segment = self.element()?.ok_or(cut(self.at))?;
        if segment.id != id::SEGMENT {
            return malformed(segment.at, "no segment");
        }
        self.head.segment_bytes = segment.size;
        let (mut info, mut tracks) = (false, false);
        loop {
            let element = match self.element() {
                Ok(Some(element)) => element,
                Ok(None) => {
                    self.done = true;
                    break;
                }
                Err(MkvError::Truncated { at }) if info && tracks => {
                    (self.cut, self.done) = (Some(at), true);
                    break;
                }
                Err(error) => return Err(error),
            };
            match element.id {
                id::CLUSTER => {
                    self.peeked = Some(element);
                    break;
                }
                id::INFO => {
                    let body = self.body(&element, MAX_HEAD_BYTES)?;
                    self.info(&body, element.at)?;
                    info = true;
                }
                id::TRACKS => {
                    let body = self.body(&element, MAX_HEAD_BYTES)?;
                    self.tracks(&body, element.at)?;
                    tracks = true;
                }
                id::SEEK_HEAD | id::VOID => drop(self.body(&element, MAX_HEAD_BYTES)?),
                _ => return malformed(element.at, "an element that has no place before the first cluster"),
            }
        }
        if info && tracks {
            Ok(())
        } else {
            malformed(segment.at, "no description of the segment or its tracks")
        }
    }

    fn info(&mut self, body: &[u8], at: u64) -> Result<(), MkvError> {
        for child in children(body, at) {
            let (child, body, at) = child?;
            match child {
                id::TIMESTAMP_SCALE if uint(body, at)? != TICK_NANOS => {
                    return malformed(at, "timestamps are not milliseconds");
                }
                id::DURATION => self.head.duration = Some(float(body, at)?),
                id::DATE_UTC => {
                    let nanos = body.try_into().map(i64::from_be_bytes);
                    let nanos = nanos.or_else(|_| malformed(at, "a date that is not 8 bytes long"))?;
                    let micros = (nanos / 1000).saturating_add(978_307_200_000_000);
                    self.head.track.zero = UnixMicros(u64::try_from(micros).unwrap_or(0));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn tracks(&mut self, body: &[u8], at: u64) -> Result<(), MkvError> {
        let mut entries = children(body, at);
        let (which, body, at) = entries.next().unwrap_or_else(|| malformed(at, "no track"))?;
        if which != id::TRACK_ENTRY || entries.next().is_some() {
            return malformed(at, "more than one track");
        }
        let track = &mut self.head.track;
        let (mut number, mut kind, mut codec) = (0, 0, None);
        for child in children(body, at) {
            let (child, body, at) = child?;
            match child {
                id::TRACK_NUMBER => number = uint(body, at)?,
                id::TRACK_UID => track.uid = uint(body, at)?,
                id::TRACK_TYPE => kind = uint(body, at)?,
                id::CODEC_ID => codec = codec_of(body),
                id::CODEC_PRIVATE => track.private = body.to_vec(),
                id::VIDEO => {
                    let (mut width, mut height) = (0, 0);
                    for child in children(body, at) {
                        let (child, body, at) = child?;
                        match child {
                            id::PIXEL_WIDTH => width = uint(body, at)?,
                            id::PIXEL_HEIGHT => height = uint(body, at)?,
                            _ => {}
                        }
                    }
                    let side = |side: u64| u32::try_from(side).ok().filter(|side| *side > 0);
                    let (Some(width), Some(height)) = (side(width), side(height)) else {
                        return malformed(at, "a picture without size");
                    };
                    track.visible = Some(Visible { width, height });
                }
                id::AUDIO => {
                    for child in children(body, at) {
                        let (child, body, at) = child?;
                        match child {
                            id::CHANNELS => track.channels = u8::try_from(uint(body, at)?).unwrap_or(0),
                            id::SAMPLING_FREQUENCY if float(body, at)? != 48_000.0 => {
                                return malformed(at, "sound that is not sampled at 48 kHz");
                            }
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        track.codec = codec.map_or_else(|| malformed(at, "a codec that is none of ours"), Ok)?;
        let fits = match kind {
            1 => track.visible.is_some() && track.codec != Codec::Opus,
            2 => track.visible.is_none() && track.codec == Codec::Opus && track.channels > 0,
            _ => false,
        };
        if number != TRACK || !fits || track.uid == 0 {
            return malformed(at, "a track whose number, kind and codec don't fit together");
        }
        Ok(())
    }

    fn cluster(&mut self, element: &Element, body: Vec<u8>) -> Result<Cluster, MkvError> {
        let start = element.at;
        let mut cluster = Cluster { at: start, ..Cluster::default() };
        let mut stamp = None;
        for child in children(&body, start + element.head_len as u64) {
            let (child, body, at) = child?;
            match child {
                id::TIMESTAMP if stamp.is_none() && cluster.blocks.is_empty() => {
                    stamp = Some(uint(body, at)?)
                }
                id::SIMPLE_BLOCK => {
                    let Some(stamp) = stamp else {
                        return malformed(at, "a block before its cluster's timestamp");
                    };
                    let (&[number, high, low, flags], data) = body
                        .split_first_chunk::<4>()
                        .map_or_else(|| malformed(at, "a block without head"), Ok)?;
                    if number != 0x80 | TRACK as u8 {
                        return malformed(at, "a block of another track");
                    }
                    if flags & 0x7f != 0 {
                        return malformed(at, "a block with lacing, or flags that we don't write");
                    }
                    if data.is_empty() {
                        return malformed(at, "a block without frame");
                    }
                    let relative = i16::from_be_bytes([high, low]);
                    let timestamp = stamp.checked_add_signed(relative.into());
                    let timestamp = timestamp.map_or_else(|| malformed(at, "a timestamp before 0"), Ok)?;
                    if timestamp < self.last {
                        return malformed(at, "timestamps go backwards");
                    }
                    if timestamp - stamp > self.limits.cluster_ticks {
                        return malformed(at, "a cluster that is longer than it may be");
                    }
                    self.last = timestamp;
                    cluster.blocks.push(Block { timestamp, key: flags & 0x80 != 0, data: data.to_vec() });
                }
                id::VOID => {}
                _ => return malformed(at, "an element that has no place in a cluster"),
            }
        }
        cluster.timestamp = stamp.map_or_else(|| malformed(start, "a cluster without timestamp"), Ok)?;
        if cluster.blocks.is_empty() {
            return malformed(start, "an empty cluster");
        }
        cluster.bytes = element.head.get(..element.head_len).unwrap_or_default().to_vec();
        cluster.bytes.extend(body);
        Ok(cluster)
    }

    /// The next element's id and size; `None` at the end of the file.
    fn element(&mut self) -> Result<Option<Element>, MkvError> {
        let start = self.at;
        let mut element = Element { at: start, id: 0, size: None, head: [0; 12], head_len: 0 };
        let Some(first) = self.byte(&mut element)? else { return Ok(None) };
        let id_len = first.leading_zeros() as usize + 1;
        if id_len > 4 {
            return malformed(start, "an id of more than 4 bytes");
        }
        element.id = u32::from(first);
        for _ in 1..id_len {
            element.id = element.id << 8 | u32::from(self.inner_byte(&mut element)?);
        }
        let first = self.inner_byte(&mut element)?;
        let size_len = first.leading_zeros() as usize + 1;
        if size_len > 8 {
            return malformed(start, "a size of more than 8 bytes");
        }
        let mut size = u64::from(first) & ((1 << (8 - size_len)) - 1);
        for _ in 1..size_len {
            size = size << 8 | u64::from(self.inner_byte(&mut element)?);
        }
        element.size = (size != (1 << (7 * size_len)) - 1).then_some(size);
        Ok(Some(element))
    }

    fn byte(&mut self, element: &mut Element) -> Result<Option<u8>, MkvError> {
        let mut byte = [0];
        loop {
            match self.reader.read(&mut byte) {
                Ok(0) => return Ok(None),
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.at += 1;
        if let Some(slot) = element.head.get_mut(element.head_len) {
            *slot = byte[0];
            element.head_len += 1;
        }
        Ok(Some(byte[0]))
    }

    fn inner_byte(&mut self, element: &mut Element) -> Result<u8, MkvError> {
        let at = element.at;
        self.byte(element)?.ok_or(MkvError::Truncated { at })
    }

    fn body(&mut self, element: &Element, limit: u64) -> Result<Vec<u8>, MkvError> {
        let Some(bytes) = element.size else {
            return malformed(element.at, "an element without size that is no segment");
        };
        if bytes > limit {
            return Err(MkvError::TooLong { at: element.at, bytes, limit });
        }
        let mut body = Vec::new();
        // Grows with what is there, not with what the size says.
        self.reader.by_ref().take(bytes).read_to_end(&mut body)?;
        self.at += body.len() as u64;
        if body.len() as u64 != bytes { Err(MkvError::Truncated { at: element.at }) } else { Ok(body) }
    }
}

/// The elements in `body`, which begins at byte `at` or thereabouts: id, body, place.
fn children(body: &[u8], at: u64) -> impl Iterator<Item = Result<(u32, &[u8], u64), MkvError>> {
    let mut rest = body;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let place = at + (body.len() - rest.len()) as u64;
        let element =
            split(rest).ok_or(MkvError::Malformed { at: place, what: "an element that does not fit" });
        rest = element.as_ref().map_or(&[][..], |(_, _, after)| after);
        Some(element.map(|(id, body, _)| (id, body, place)))
    })
}

fn split(bytes: &[u8]) -> Option<(u32, &[u8], &[u8])> {
    let id_len = bytes.first()?.leading_zeros() as usize + 1;
    let (id, bytes) = bytes.split_at_checked(id_len).filter(|_| id_len <= 4)?;
    let id = id.iter().fold(0, |id, byte| id << 8 | u32::from(*byte));
    let size_len = bytes.first()?.leading_zeros() as usize + 1;
    let (size, bytes) = bytes.split_at_checked(size_len).filter(|_| size_len <= 8)?;
    let size =
        size.iter().fold(0_u64, |size, byte| size << 8 | u64::from(*byte)) & ((1 << (7 * size_len)) - 1);
    let (body, after) = bytes.split_at_checked(usize::try_from(size).ok()?)?;
    Some((id, body, after))
}

fn uint(body: &[u8], at: u64) -> Result<u64, MkvError> {
    if body.is_empty() || body.len() > 8 {
        return malformed(at, "an integer that is not 1 to 8 bytes long");
    }
    Ok(body.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

fn float(body: &[u8], at: u64) -> Result<f64, MkvError> {
    match *body {
        [a, b, c, d] => Ok(f32::from_be_bytes([a, b, c, d]).into()),
        [a, b, c, d, e, f, g, h] => Ok(f64::from_be_bytes([a, b, c, d, e, f, g, h])),
        _ => malformed(at, "a float that is not 4 or 8 bytes long"),
    }
}

fn malformed<T>(at: u64, what: &'static str) -> Result<T, MkvError> {
    Err(MkvError::Malformed { at, what })
}
