// SPDX-License-Identifier: EUPL-1.2
//! Packets on a byte stream (RFC 4571), as ICE-TCP carries them (RFC 6544 section 3).

/// The largest frame that the format can say: its length field has 16 bits.
pub const MAX_FRAME_BYTES: usize = u16::MAX as usize;

/// Why a byte stream can't be followed any further; its connection has to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// The peer announced a frame above the limit.
    #[error(
        "a frame of {bytes} bytes was announced, the limit is {limit} (RFC 4571 allows {MAX_FRAME_BYTES}): close the connection"
    )]
    Oversize {
        /// What its length field said.
        bytes: usize,
        /// What we take.
        limit: usize,
    },
    /// A packet of ours doesn't fit a frame.
    #[error("a packet of {bytes} bytes doesn't fit a frame of RFC 4571, the limit is {MAX_FRAME_BYTES}")]
    TooLong {
        /// Its size.
        bytes: usize,
    },
}

/// Cuts a byte stream, fed in arbitrary pieces, into frames.
///
/// It holds one frame at most: a stranger can make it keep `limit` bytes and no more.
/// ```
/// # use parvis_peer::framing::{Deframer, frame};
/// let mut wire = Vec::new();
/// frame(b"hello", &mut wire).unwrap();
/// let (first, second) = wire.split_at(3);
/// let mut frames = Vec::new();
/// let mut deframer = Deframer::new(1500);
/// deframer.feed(first, |frame| frames.push(frame.to_vec())).unwrap();
/// deframer.feed(second, |frame| frames.push(frame.to_vec())).unwrap();
/// assert_eq!(frames, [b"hello"]);
/// ```
#[derive(Debug)]
pub struct Deframer {
    limit: usize,
    /// Length field and body of the frame that is not whole yet.
    partial: Vec<u8>,
    broken: Option<FramingError>,
}

impl Deframer {
    /// Takes frames of up to `limit` bytes, at most [`MAX_FRAME_BYTES`].
    pub fn new(limit: usize) -> Self {
        Deframer { limit: limit.min(MAX_FRAME_BYTES), partial: Vec::new(), broken: None }
    }

    /// Takes the next bytes of the stream and hands each frame that they complete to `each`, which may change it in place.
    /// Empty frames are skipped. After an error nothing more comes out.
    pub fn feed(&mut self, mut bytes: &[u8], mut each: impl FnMut(&mut [u8])) -> Result<(), FramingError> {
        if let Some(error) = self.broken {
            return Err(error);
        }
        while !bytes.is_empty() {
            let missing = match self.partial.first_chunk() {
                None => LENGTH_BYTES - self.partial.len(),
                Some(&length) => LENGTH_BYTES + usize::from(u16::from_be_bytes(length)) - self.partial.len(),
            };
            let (now, later) = bytes.split_at(missing.min(bytes.len()));
            self.partial.extend_from_slice(now);
            bytes = later;

            let Some(&length) = self.partial.first_chunk() else { continue };
            let length = usize::from(u16::from_be_bytes(length));
            if length > self.limit {
                let error = FramingError::Oversize { bytes: length, limit: self.limit };
                self.broken = Some(error);
                self.partial = Vec::new();
                return Err(error);
            }
            if self.partial.len() == LENGTH_BYTES + length {
                if let Some(body) = self.partial.get_mut(LENGTH_BYTES..).filter(|body| !body.is_empty()) {
                    each(body);
                }
                self.partial.clear();
            }
        }
        Ok(())
    }
}

/// Appends `packet` to `wire` as one frame.
pub fn frame(packet: &[u8], wire: &mut Vec<u8>) -> Result<(), FramingError> {
    let length = u16::try_from(packet.len()).map_err(|_| FramingError::TooLong { bytes: packet.len() })?;
    wire.extend_from_slice(&length.to_be_bytes());
    wire.extend_from_slice(packet);
    Ok(())
}

const LENGTH_BYTES: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn deframe(deframer: &mut Deframer, bytes: &[u8]) -> Result<Vec<Vec<u8>>, FramingError> {
        let mut frames = Vec::new();
        deframer.feed(bytes, |frame| frames.push(frame.to_vec())).map(|()| frames)
    }

    #[test]
    fn a_frame_above_the_limit_is_refused_and_so_is_all_that_follows() {
        let mut deframer = Deframer::new(1500);
        let error = deframe(&mut deframer, &[0x05, 0xdd]).unwrap_err();
        assert_eq!(error, FramingError::Oversize { bytes: 1501, limit: 1500 });
        assert!(error.to_string().contains("1501") && error.to_string().contains("1500"));
        assert_eq!(deframe(&mut deframer, &[0, 1, 7]), Err(error));
    }

    #[test]
    fn an_empty_frame_is_skipped() {
        assert_eq!(deframe(&mut Deframer::new(1500), &[0, 0, 0, 1, 9]).unwrap(), [[9]]);
    }

    #[test]
    fn a_packet_that_no_frame_can_hold_is_refused_and_writes_nothing() {
        let mut wire = Vec::new();
        assert_eq!(frame(&vec![0; 65_536], &mut wire), Err(FramingError::TooLong { bytes: 65_536 }));
        assert!(wire.is_empty());
        frame(&vec![7; 65_535], &mut wire).unwrap();
        assert_eq!(deframe(&mut Deframer::new(MAX_FRAME_BYTES), &wire).unwrap(), [vec![7; 65_535]]);
    }

    proptest! {
        #[test]
        fn frames_come_out_whole_however_the_stream_is_cut(
            packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..8),
            cuts in prop::collection::vec(1usize..200, 1..40),
        ) {
            let mut wire = Vec::new();
            for packet in &packets {
                frame(packet, &mut wire).unwrap();
            }
            let mut deframer = Deframer::new(300);
            let (mut rest, mut frames) = (&wire[..], Vec::new());
            for cut in cuts.iter().cycle() {
                let (piece, later) = rest.split_at((*cut).min(rest.len()));
                frames.extend(deframe(&mut deframer, piece).unwrap());
                rest = later;
                if rest.is_empty() { break; }
            }
            prop_assert_eq!(frames, packets);
        }
    }
}
