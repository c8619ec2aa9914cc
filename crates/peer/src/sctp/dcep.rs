// SPDX-License-Identifier: EUPL-1.2
//! The Data Channel Establishment Protocol (RFC 8832 section 5).

use super::wire;
use crate::ChannelSpec;

/// A DCEP message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Dcep {
    Open(ChannelSpec),
    Ack,
}

/// Reads a message; a label must be UTF-8 and keep to `label_bytes`.
///
/// A channel with a lifetime in milliseconds is taken as one without retransmission: what we send on it is either
/// in time at once or late.
pub(crate) fn parse(message: &[u8], label_bytes: usize) -> Option<Dcep> {
    match *message.first()? {
        ACK => Some(Dcep::Ack),
        OPEN => {
            let kind = *message.get(1)?;
            let reliability = wire::be32(message, 4);
            let (label_length, protocol_length) =
                (usize::from(wire::be16(message, 8)), usize::from(wire::be16(message, 10)));
            let label = message.get(12..12 + label_length).filter(|label| label.len() <= label_bytes)?;
            message.get(12 + label_length..12 + label_length + protocol_length)?;
            let max_retransmits = match kind & !UNORDERED {
                RELIABLE => None,
                RETRANSMITS => Some(u16::try_from(reliability).unwrap_or(u16::MAX)),
                LIFETIME => Some(0),
                _ => return None,
            };
            let label = std::str::from_utf8(label).ok()?.to_owned();
            Some(Dcep::Open(ChannelSpec { label, ordered: kind & UNORDERED == 0, max_retransmits }))
        }
        _ => None,
    }
}

/// DATA_CHANNEL_OPEN; the label has at most 65,535 bytes.
pub(crate) fn open(spec: &ChannelSpec) -> Vec<u8> {
    let kind = if spec.max_retransmits.is_some() { RETRANSMITS } else { RELIABLE };
    let mut message = vec![OPEN, if spec.ordered { kind } else { kind | UNORDERED }, 0, 0];
    message.extend_from_slice(&u32::from(spec.max_retransmits.unwrap_or(0)).to_be_bytes());
    message.extend_from_slice(&(spec.label.len() as u16).to_be_bytes());
    message.extend_from_slice(&[0, 0]);
    message.extend_from_slice(spec.label.as_bytes());
    message
}

/// DATA_CHANNEL_ACK.
pub(crate) const ACK_MESSAGE: [u8; 1] = [ACK];

const ACK: u8 = 2;
const OPEN: u8 = 3;
const RELIABLE: u8 = 0;
const RETRANSMITS: u8 = 1;
const LIFETIME: u8 = 2;
const UNORDERED: u8 = 0x80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_message_reads_as_it_was_written() {
        for ordered in [true, false] {
            for max_retransmits in [None, Some(0), Some(7)] {
                let spec = ChannelSpec { label: "_lossy é".into(), ordered, max_retransmits };
                assert_eq!(parse(&open(&spec), 1024), Some(Dcep::Open(spec)));
            }
        }
    }

    #[test]
    fn a_browsers_open_message_with_a_protocol_is_understood() {
        let message = *b"\x03\x81\x01\x00\x00\x00\x00\x00\x00\x06\x00\x03_lossyfoo";
        let spec = ChannelSpec { label: "_lossy".into(), ordered: false, max_retransmits: Some(0) };
        assert_eq!(parse(&message, 1024), Some(Dcep::Open(spec)));
    }

    #[test]
    fn lengths_beyond_the_message_unknown_types_and_long_labels_are_refused() {
        assert_eq!(parse(b"\x03\x00\x00\x00\x00\x00\x00\x00\x00\x06\x00\x00label", 1024), None);
        assert_eq!(parse(b"\x03\x00\x00\x00\x00\x00\x00\x00\x00\x05\x00\x01label", 1024), None);
        assert_eq!(parse(b"\x03\x04\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00label", 1024), None);
        assert_eq!(parse(b"\x03\x00\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00label", 4), None);
        assert_eq!(parse(b"\x03\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\xff", 1024), None);
        assert_eq!(parse(b"\x07", 1024), None);
        assert_eq!(parse(b"", 1024), None);
    }
}
