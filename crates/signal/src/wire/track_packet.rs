// SPDX-License-Identifier: EUPL-1.2
//! The head of a data track's packets, version 0 (the format of the LiveKit SDKs: 3 bits version, start, final and extension
//! flags, 10 bits reserved; then 16 bits each of track handle, sequence number and frame number; then a 32-bit timestamp).
//! Only what a server needs is read: extensions and payload, which may be encrypted, are the clients' affair.

use bytes::Bytes;

const HEAD_BYTES: usize = 12;

/// What a server reads of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TrackPacketHead {
    /// The publisher's number for the track; never 0.
    pub(crate) handle: u16,
    /// Which frame it is a part of.
    pub(crate) frame: u16,
    /// Whether a frame begins with it.
    pub(crate) begins: bool,
}

impl TrackPacketHead {
    /// Reads a packet's head. `None` when it has none, or that of a newer version.
    pub(crate) fn read(packet: &[u8]) -> Option<TrackPacketHead> {
        let head = packet.first_chunk::<HEAD_BYTES>()?;
        let version = head[0] >> 5;
        let handle = u16::from_be_bytes([head[2], head[3]]);
        if version != 0 || handle == 0 || !has_whole_extensions(head[0], &packet[HEAD_BYTES..]) {
            return None;
        }
        let frame = u16::from_be_bytes([head[6], head[7]]);
        Some(TrackPacketHead { handle, frame, begins: head[0] & 0x10 != 0 })
    }
}

/// The same packet under another handle. It must have a head.
pub(crate) fn with_handle(packet: &[u8], handle: u16) -> Bytes {
    let mut packet = packet.to_vec();
    if let Some(place) = packet.get_mut(2..4) {
        place.copy_from_slice(&handle.to_be_bytes());
    }
    packet.into()
}

/// Extensions are so many words of 32 bits as stand before them.
fn has_whole_extensions(first: u8, behind: &[u8]) -> bool {
    if first & 0x04 == 0 {
        return true;
    }
    behind
        .split_first_chunk::<2>()
        .is_some_and(|(words, rest)| rest.len() >= usize::from(u16::from_be_bytes(*words)) * 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_and_only_the_handle_is_written_over() {
        let packet = [0x18, 0, 0x88, 0x11, 0x44, 0x22, 0x44, 0x11, 1, 2, 3, 4, b'h', b'i'];
        let head = TrackPacketHead::read(&packet).unwrap();
        assert_eq!(head, TrackPacketHead { handle: 0x8811, frame: 0x4411, begins: true });
        let other = with_handle(&packet, 7);
        assert_eq!(&other[..4], [0x18, 0, 0, 7]);
        assert_eq!(other[4..], packet[4..]);
        assert!(!TrackPacketHead::read(&[0x08, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]).unwrap().begins);
    }

    #[test]
    fn what_is_no_packet_of_this_version_is_not_read() {
        let mut packet = [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        assert!(TrackPacketHead::read(&packet).is_some());
        assert_eq!(TrackPacketHead::read(&packet[..11]), None);
        packet[0] = 0x20;
        assert_eq!(TrackPacketHead::read(&packet), None, "a newer version");
        packet[0] = 0x04;
        assert_eq!(TrackPacketHead::read(&packet), None, "extensions are announced and not there");
        packet[0] = 0;
        packet[3] = 0;
        assert_eq!(TrackPacketHead::read(&packet), None, "0 is no handle");
        let extended = [0x04, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 9, 9, 9, 9];
        assert!(TrackPacketHead::read(&extended).is_some());
        assert_eq!(TrackPacketHead::read(&extended[..17]), None);
    }
}
