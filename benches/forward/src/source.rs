// SPDX-License-Identifier: EUPL-1.2
//! The publisher's packets: frames of VP8, as an encoder hands them over.

use parvis_peer::sdp::SenderId;
use parvis_rtp::{ExtensionMap, Extensions, HeaderFields, Mid, write_packet};

use crate::client::Client;
use crate::{Error, FRAME_PACKETS, PACKET_BYTES};

/// Writes frame after frame.
pub struct Source {
    ssrc: u32,
    mid: Option<Mid>,
    payload_type: u8,
    extensions: ExtensionMap,
    frames: u32,
    sequence: u16,
    transport_sequence: u16,
}

impl Source {
    /// A source that sends as `client` has agreed with the server.
    pub fn new(client: &Client, ssrc: u32) -> Result<Source, Error> {
        let sections = client.peer.sections();
        let section = sections.iter().find(|section| section.sender == Some(SenderId(1)));
        let section = section.ok_or("the publisher has no section")?;
        let payload_type = section.codecs.first().ok_or("no codec was agreed")?.payload_type;
        Ok(Source {
            ssrc,
            mid: Some(section.mid),
            payload_type,
            extensions: section.extensions,
            frames: 0,
            sequence: 1,
            transport_sequence: 0,
        })
    }

    /// A source without a session, for the bare path.
    pub fn bare(ssrc: u32, extensions: ExtensionMap) -> Source {
        Source {
            ssrc,
            mid: None,
            payload_type: 96,
            extensions,
            frames: 0,
            sequence: 1,
            transport_sequence: 0,
        }
    }

    /// Writes the next frame; `take` gets each packet, with room for a tag behind it, and its length.
    pub fn frame(&mut self, key: bool, mut take: impl FnMut(&mut [u8], usize)) -> Result<(), Error> {
        self.frames += 1;
        for part in 0..FRAME_PACKETS {
            let fields = HeaderFields {
                marker: part + 1 == FRAME_PACKETS,
                payload_type: self.payload_type,
                sequence: self.sequence,
                timestamp: self.frames.wrapping_mul(3_000),
                ssrc: self.ssrc,
                ..HeaderFields::default()
            };
            let extensions = Extensions {
                mid: self.mid,
                transport_sequence: Some(self.transport_sequence),
                ..Extensions::default()
            };
            let mut packet = [0x55; PACKET_BYTES + 64];
            let head = write_packet(&mut packet, &fields, &self.extensions, &extensions, &[])?;
            // RFC 7741 section 4.2: a descriptor with a 15-bit picture id; in a frame's first packet the frame tag of
            // RFC 6386 section 9.1 follows, in a key frame its start code and size.
            let [high, low] = ((self.frames & 0x7fff) as u16 | 0x8000).to_be_bytes();
            let start = part == 0;
            packet[head..head + 4].copy_from_slice(&[0x80 | u8::from(start) << 4, 0x80, high, low]);
            if start {
                let tag = [u8::from(!key) | 0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01];
                packet[head + 4..head + 14].copy_from_slice(&tag);
            }
            take(&mut packet, PACKET_BYTES);
            self.sequence = self.sequence.wrapping_add(1);
            self.transport_sequence = self.transport_sequence.wrapping_add(1);
        }
        Ok(())
    }
}
