// SPDX-License-Identifier: EUPL-1.2
//! What each packet says of itself, in its payload: whose it is, which, and when it left.

/// A stamp's length.
pub(crate) const STAMP_BYTES: usize = 30;
/// Where it stands behind a VP8 payload descriptor: after the largest frame header (RFC 6386 section 9.1).
pub(crate) const VIDEO_OFFSET: usize = 10;
/// Where it stands in an Opus packet: after the byte that tells its configuration (RFC 6716 section 3.1).
pub(crate) const AUDIO_OFFSET: usize = 1;

const MAGIC: [u8; 4] = *b"PVLD";

/// What a packet says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Who sent it.
    pub(crate) publisher: u32,
    /// The simulcast layer, 0 the lowest.
    pub(crate) layer: u8,
    /// The frame's number within its layer.
    pub(crate) frame: u32,
    /// The packet's place in the frame, and of how many.
    pub(crate) index: u16,
    pub(crate) count: u16,
    /// The packet's number within its layer, never rewritten by a server.
    pub(crate) sequence: u32,
    /// Nanoseconds since the run began.
    pub(crate) sent_ns: u64,
}

impl Stamp {
    /// Writes it at the beginning of `bytes`, if there is room.
    pub(crate) fn write(&self, bytes: &mut [u8]) {
        let Some(bytes) = bytes.first_chunk_mut::<STAMP_BYTES>() else { return };
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..8].copy_from_slice(&self.publisher.to_be_bytes());
        bytes[8] = self.layer;
        bytes[9] = 0;
        bytes[10..14].copy_from_slice(&self.frame.to_be_bytes());
        bytes[14..16].copy_from_slice(&self.index.to_be_bytes());
        bytes[16..18].copy_from_slice(&self.count.to_be_bytes());
        bytes[18..22].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[22..30].copy_from_slice(&self.sent_ns.to_be_bytes());
    }

    /// Reads it from the beginning of `bytes`.
    pub(crate) fn read(bytes: &[u8]) -> Option<Stamp> {
        let bytes = bytes.first_chunk::<STAMP_BYTES>()?;
        if bytes[..4] != MAGIC {
            return None;
        }
        let word = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let half = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        Some(Stamp {
            publisher: word(4),
            layer: bytes[8],
            frame: word(10),
            index: half(14),
            count: half(16),
            sequence: word(18),
            sent_ns: u64::from(word(22)) << 32 | u64::from(word(26)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_survives_its_packet_and_other_payloads_have_none() {
        let stamp = Stamp {
            publisher: 0x0102_0304,
            layer: 2,
            frame: 0x0a0b_0c0d,
            index: 3,
            count: 700,
            sequence: u32::MAX,
            sent_ns: 0x1122_3344_5566_7788,
        };
        let mut bytes = [0xee; STAMP_BYTES + 3];
        stamp.write(&mut bytes);
        assert_eq!(Stamp::read(&bytes), Some(stamp));
        assert_eq!(bytes[STAMP_BYTES..], [0xee; 3]);
        assert_eq!(Stamp::read(&bytes[..STAMP_BYTES - 1]), None);
        bytes[0] ^= 1;
        assert_eq!(Stamp::read(&bytes), None);
    }
}
