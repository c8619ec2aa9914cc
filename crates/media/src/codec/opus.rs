// SPDX-License-Identifier: EUPL-1.2
//! Opus (RFC 7587): each packet is a frame. What RED (RFC 2198) brings again fills what was lost.

use parvis_rtp::red::Red;

use super::{Frame, Malformed, Piece};

/// Puts sound together.
#[derive(Debug)]
pub(super) struct Opus {
    payload_type: u8,
    head: Vec<u8>,
    /// The timestamp of the last frame that was given.
    last: Option<u32>,
}

impl Opus {
    pub(super) fn new(channels: u8, payload_type: u8) -> Opus {
        Opus { payload_type, head: opus_head(channels), last: None }
    }

    pub(super) fn push(
        &mut self,
        piece: Piece<'_>,
        red: bool,
        frames: &mut Vec<Frame>,
    ) -> Result<(), Malformed> {
        if !red {
            self.frame(piece.timestamp, piece.payload, frames);
            return Ok(());
        }
        let red = Red::parse(piece.payload)?;
        let wanted = self.payload_type;
        if piece.after_loss && self.last.is_some() {
            for block in red.redundant().filter(|block| block.payload_type == wanted) {
                let timestamp = piece.timestamp.wrapping_sub(block.timestamp_offset.into());
                self.frame(timestamp, block.payload, frames);
            }
        }
        if red.primary.payload_type != self.payload_type {
            return Err(Malformed);
        }
        self.frame(piece.timestamp, red.primary.payload, frames);
        Ok(())
    }

    /// Unless it is there already, or is none: DTX leaves packets empty.
    fn frame(&mut self, timestamp: u32, payload: &[u8], frames: &mut Vec<Frame>) {
        let newer = self.last.is_none_or(|last| timestamp.wrapping_sub(last).wrapping_sub(1) < u32::MAX / 2);
        if payload.is_empty() || !newer {
            return;
        }
        self.last = Some(timestamp);
        let (private, data) = (Some(self.head.clone()), payload.to_vec());
        frames.push(Frame { timestamp, key: true, visible: None, private, data });
    }
}

/// How much sound a packet holds, in samples at 48 kHz (RFC 6716 section 3.1); `None` for a malformed one.
pub fn packet_samples(packet: &[u8]) -> Option<u32> {
    let toc = packet.first()?;
    let config = toc >> 3;
    let frame = match config {
        0..=11 => [480, 960, 1920, 2880][usize::from(config % 4)],
        12..=15 => [480, 960][usize::from(config % 2)],
        _ => [120, 240, 480, 960][usize::from(config % 4)],
    };
    let count = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(packet.get(1)? & 0x3f),
    };
    // 120 ms are the most.
    Some(frame * count).filter(|samples| (1..=5760).contains(samples))
}

/// The identification header (RFC 7845 section 5.1). The sender's encoder does not tell its delay: none is skipped.
fn opus_head(channels: u8) -> Vec<u8> {
    let mut head = b"OpusHead".to_vec();
    head.extend([1, channels.clamp(1, 2)]);
    head.extend(0_u16.to_le_bytes());
    head.extend(48_000_u32.to_le_bytes());
    head.extend([0, 0, 0]);
    head
}
