// SPDX-License-Identifier: EUPL-1.2
//! From RTP packets in their order to frames as files have them. No decoder: headers are looked into, pictures never.
//!
//! A frame of which a packet is missing is left out, and so is every frame after it until a key frame comes: a picture
//! that stands on one that isn't there is no picture. Sound goes on with the next packet.

mod av1;
mod bits;
mod h264;
mod opus;
mod vp8;
mod vp9;

use parvis_jobs::Codec;

use crate::mkv::Visible;

pub use opus::packet_samples;

/// The longest frame. A 4K key frame at the best quality has some 2 MiB.
pub const MAX_FRAME_BYTES: usize = 8 * 1024 * 1024;

/// A whole frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its RTP timestamp.
    pub timestamp: u32,
    /// Decoding can begin here.
    pub key: bool,
    /// The picture's size, where the frame says it: with key frames.
    pub visible: Option<Visible>,
    /// What decoders must know from here on, as Matroska's `CodecPrivate`; with key frames of codecs that have it.
    pub private: Option<Vec<u8>>,
    /// The frame as a block of Matroska holds it.
    pub data: Vec<u8>,
}

/// A packet's part that matters here.
#[derive(Debug, Clone, Copy)]
pub struct Piece<'a> {
    /// Its RTP timestamp.
    pub timestamp: u32,
    /// The last packet of a picture.
    pub marker: bool,
    /// The payload.
    pub payload: &'a [u8],
    /// One or more packets before it never came.
    pub after_loss: bool,
}

/// A payload that its format doesn't allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

impl From<parvis_rtp::ParseError> for Malformed {
    fn from(_: parvis_rtp::ParseError) -> Malformed {
        Malformed
    }
}

/// What one codec has to say of its packets.
trait Assemble {
    /// Takes a packet that follows the one before it, or begins anew after [`Assemble::reset`]. `true` when the packet is
    /// taken; `false` when it belongs to a frame whose beginning isn't there.
    fn push(&mut self, payload: &[u8]) -> Result<bool, Malformed>;

    /// The frame that its packets make, if they are whole. Leaves nothing behind.
    fn take(&mut self) -> Option<Assembled>;

    /// Forgets what there is of a frame.
    fn reset(&mut self);

    /// Bytes held.
    fn held(&self) -> usize;
}

/// A frame that was put together, without its time.
#[derive(Debug, Default)]
struct Assembled {
    key: bool,
    visible: Option<Visible>,
    private: Option<Vec<u8>>,
    data: Vec<u8>,
}

/// Puts the frames of one track together.
pub struct Reassembler {
    kind: Kind,
    /// The timestamp of the frame that is being put together.
    open: Option<u32>,
    /// The open frame can't become whole.
    broken: bool,
    waits_for_key: bool,
    dropped: u64,
    malformed: u64,
}

enum Kind {
    Audio(opus::Opus),
    Video(Box<dyn Assemble + Send>),
}

impl Reassembler {
    /// For one track's packets. `channels` and `red` (the payload type in RED's primary block) are for sound.
    pub fn new(codec: Codec, channels: u8, payload_type: u8) -> Reassembler {
        let kind = match codec {
            Codec::Opus => Kind::Audio(opus::Opus::new(channels, payload_type)),
            Codec::Vp8 => Kind::Video(Box::<vp8::Vp8>::default()),
            Codec::Vp9 => Kind::Video(Box::<vp9::Vp9>::default()),
            Codec::Av1 => Kind::Video(Box::<av1::Av1>::default()),
            Codec::H264 => Kind::Video(Box::<h264::H264>::default()),
        };
        let waits_for_key = matches!(kind, Kind::Video(_));
        Reassembler { kind, open: None, broken: false, waits_for_key, dropped: 0, malformed: 0 }
    }

    /// Takes the next packet; frames that it makes whole are appended to `frames`. `red` says that it is a RED payload.
    pub fn push(&mut self, piece: Piece<'_>, red: bool, frames: &mut Vec<Frame>) {
        match &mut self.kind {
            Kind::Audio(opus) => {
                if opus.push(piece, red, frames).is_err() {
                    self.malformed += 1;
                }
            }
            Kind::Video(_) => self.push_video(piece, frames),
        }
    }

    /// Whether nothing is kept until a key frame comes.
    pub fn waits_for_key(&self) -> bool {
        self.waits_for_key
    }

    /// Keeps no picture until a key frame comes.
    pub fn wait_for_key(&mut self) {
        if matches!(self.kind, Kind::Video(_)) {
            self.waits_for_key = true;
            self.dropped += 1;
        }
    }

    /// Frames that were left out: not whole, or standing on one that wasn't.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Packets that their format doesn't allow.
    pub fn malformed(&self) -> u64 {
        self.malformed
    }

    fn push_video(&mut self, piece: Piece<'_>, frames: &mut Vec<Frame>) {
        if piece.after_loss {
            self.give_up();
            self.waits_for_key = true;
        }
        // A sender that sets no marker: the next picture's first packet ends the one before.
        if self.open.is_some_and(|open| open != piece.timestamp) {
            self.finish(frames);
        }
        let Kind::Video(codec) = &mut self.kind else { return };
        if self.open.is_none() {
            self.open = Some(piece.timestamp);
            self.broken = false;
        }
        if !self.broken {
            let taken = codec.push(piece.payload).unwrap_or_else(|Malformed| {
                self.malformed += 1;
                false
            });
            if !taken || codec.held() > MAX_FRAME_BYTES {
                codec.reset();
                self.broken = true;
            }
        }
        if piece.marker {
            self.finish(frames);
        }
    }

    fn finish(&mut self, frames: &mut Vec<Frame>) {
        let (Kind::Video(codec), Some(timestamp)) = (&mut self.kind, self.open.take()) else { return };
        let Some(Assembled { key, visible, private, data }) = codec.take().filter(|_| !self.broken) else {
            self.dropped += 1;
            self.waits_for_key = true;
            return;
        };
        // Parameter sets or padding alone.
        if data.is_empty() {
            return;
        }
        if self.waits_for_key && !key {
            self.dropped += 1;
            return;
        }
        self.waits_for_key = false;
        frames.push(Frame { timestamp, key, visible, private, data });
    }

    fn give_up(&mut self) {
        let Kind::Video(codec) = &mut self.kind else { return };
        codec.reset();
        if self.open.is_some() {
            self.broken = true;
        }
    }
}

impl std::fmt::Debug for Reassembler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reassembler")
            .field("open", &self.open)
            .field("waits_for_key", &self.waits_for_key)
            .field("dropped", &self.dropped)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
