// SPDX-License-Identifier: EUPL-1.2
//! Transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01): which packets of the whole
//! transport arrived, and when.

use super::word;
use crate::error::take;
use crate::{ParseError, WriteError};

/// Arrival times are in ticks of this many microseconds.
pub const TICK_MICROS: i64 = 250;
/// The reference time is in steps of this many ticks (64 ms).
pub const REFERENCE_TICKS: i64 = 256;

/// Sender and media SSRC, base sequence number, status count, reference time, feedback count.
const HEAD_BYTES: usize = 16;
/// A run-length chunk holds 13 bits of length.
const MAX_RUN: usize = 0x1fff;
/// Statuses in a vector chunk of one bit each.
const ONE_BIT_STATUSES: usize = 14;
/// Statuses in a vector chunk of two bits each.
const TWO_BIT_STATUSES: usize = 7;

/// What became of a packet, as two bits.
const LOST: u8 = 0;
const SMALL_DELTA: u8 = 1;
const LARGE_DELTA: u8 = 2;

/// A transport-wide feedback packet, checked to be whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransportFeedback<'a> {
    /// Who reports.
    pub sender_ssrc: u32,
    /// One of the streams of the transport; without meaning.
    pub media_ssrc: u32,
    /// The first packet reported on.
    pub base_sequence: u16,
    /// How many packets are reported on, from that one on.
    pub packet_count: u16,
    /// What the deltas build on: 24 bits, signed, in units of 64 ms.
    pub reference_time: i32,
    /// The feedback packet's own number.
    pub feedback_count: u8,
    chunks: &'a [u8],
    deltas: &'a [u8],
}

impl<'a> TransportFeedback<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Result<TransportFeedback<'a>, ParseError> {
        let head: [u8; HEAD_BYTES] = take(body, 0, "transport feedback")?;
        let packet_count = u16::from_be_bytes([head[10], head[11]]);
        if packet_count == 0 {
            return Err(ParseError::Invalid { what: "transport feedback status count", value: 0 });
        }
        // Walk the chunks once: where they end, and how many bytes of deltas they call for.
        let rest = &body[HEAD_BYTES..];
        let (mut covered, mut chunks_len, mut deltas_len) = (0, 0, 0);
        while covered < usize::from(packet_count) {
            let chunk = Chunk(u16::from_be_bytes(take(rest, chunks_len, "transport feedback chunk")?));
            let statuses = chunk.len().min(usize::from(packet_count) - covered);
            deltas_len += chunk.delta_bytes(statuses);
            covered += statuses;
            chunks_len += 2;
            if chunk.len() == 0 {
                return Err(ParseError::Invalid { what: "transport feedback run length", value: 0 });
            }
        }
        let (chunks, deltas) = rest.split_at(chunks_len);
        if deltas.len() < deltas_len {
            let what = "transport feedback deltas";
            return Err(ParseError::TooShort { what, need: deltas_len, have: deltas.len() });
        }
        Ok(TransportFeedback {
            sender_ssrc: word(&head, 0),
            media_ssrc: word(&head, 4),
            base_sequence: u16::from_be_bytes([head[8], head[9]]),
            packet_count,
            reference_time: (word(&head, 12) as i32) >> 8,
            feedback_count: head[15],
            chunks,
            deltas: &deltas[..deltas_len],
        })
    }

    /// Every packet reported on, in order: its sequence number, and when it arrived after the one before it that
    /// arrived, in ticks; `None` when it didn't.
    pub fn packets(&self) -> impl Iterator<Item = (u16, Option<i32>)> + 'a {
        let (base, count) = (self.base_sequence, usize::from(self.packet_count));
        let mut deltas = self.deltas;
        self.chunks
            .chunks_exact(2)
            .map(|chunk| Chunk(u16::from_be_bytes([chunk[0], chunk[1]])))
            .flat_map(|chunk| (0..chunk.len()).map(move |place| chunk.status(place)))
            .take(count)
            .enumerate()
            .map(move |(place, status)| {
                let delta = match status {
                    SMALL_DELTA => deltas.split_first().map(|(delta, rest)| {
                        deltas = rest;
                        i32::from(*delta)
                    }),
                    LARGE_DELTA => deltas.split_first_chunk::<2>().map(|(delta, rest)| {
                        deltas = rest;
                        i32::from(i16::from_be_bytes(*delta))
                    }),
                    _ => None,
                };
                (base.wrapping_add(place as u16), delta)
            })
    }

    /// As [`TransportFeedback::packets`], with the arrival on the receiver's clock in ticks since its epoch. That
    /// clock wraps every 2^24 × 64 ms (12 days).
    pub fn arrivals(&self) -> impl Iterator<Item = (u16, Option<i64>)> + 'a {
        let mut now = i64::from(self.reference_time) * REFERENCE_TICKS;
        self.packets().map(move |(sequence, delta)| {
            let arrival = delta.map(|delta| {
                now += i64::from(delta);
                now
            });
            (sequence, arrival)
        })
    }
}

/// A packet status chunk (sections 3.1.3 and 3.1.4).
#[derive(Clone, Copy)]
struct Chunk(u16);

impl Chunk {
    fn is_run(self) -> bool {
        self.0 & 0x8000 == 0
    }

    fn len(self) -> usize {
        if self.is_run() {
            usize::from(self.0) & MAX_RUN
        } else if self.0 & 0x4000 == 0 {
            ONE_BIT_STATUSES
        } else {
            TWO_BIT_STATUSES
        }
    }

    /// The status at `place`, from 0; 3 is reserved.
    fn status(self, place: usize) -> u8 {
        let bits = if self.is_run() {
            self.0 >> 13
        } else if self.0 & 0x4000 == 0 {
            self.0 >> (ONE_BIT_STATUSES - 1 - place) & 1
        } else {
            self.0 >> (2 * (TWO_BIT_STATUSES - 1 - place))
        };
        bits as u8 & 3
    }

    /// Bytes of deltas for its first `statuses`.
    fn delta_bytes(self, statuses: usize) -> usize {
        if self.is_run() {
            return statuses * delta_bytes(self.status(0));
        }
        (0..statuses).map(|place| delta_bytes(self.status(place))).sum()
    }
}

fn delta_bytes(status: u8) -> usize {
    match status {
        SMALL_DELTA => 1,
        LARGE_DELTA => 2,
        _ => 0,
    }
}

/// The most packets in one feedback packet of ours: at 10 Mbit/s and 100 ms, some 100 are to be expected.
const MAX_STATUSES: usize = 1024;

/// Writes what follows the RTCP header: as many of `arrivals` (ticks since an epoch of the caller's, by sequence
/// number from `base_sequence` on) as fit in `buf` and in the format. Returns the bytes written, not padded to a
/// word, and how many of `arrivals` they cover.
pub(super) fn write(
    buf: &mut [u8],
    ssrcs: (u32, u32),
    feedback_count: u8,
    base_sequence: u16,
    arrivals: &[Option<i64>],
) -> Result<(usize, usize), WriteError> {
    let room = buf.len();
    let nothing =
        WriteError::Unrepresentable { what: "transport feedback without arrivals", value: arrivals.len() };
    let arrivals = &arrivals[..arrivals.len().min(MAX_STATUSES)];
    let first = arrivals.iter().flatten().next().ok_or(nothing)?;
    let reference = first.div_euclid(REFERENCE_TICKS);

    // How many fit: by the deltas' range, and by the room that they need at worst.
    let mut statuses = [LOST; MAX_STATUSES];
    let (mut count, mut deltas_len, mut before) = (0_usize, 0, reference * REFERENCE_TICKS);
    for arrival in arrivals {
        let status = match arrival.map(|arrival| arrival - before) {
            None => LOST,
            Some(0..=0xff) => SMALL_DELTA,
            Some(delta) if i16::try_from(delta).is_ok() => LARGE_DELTA,
            Some(_) => break,
        };
        let len = deltas_len + delta_bytes(status);
        if HEAD_BYTES + 2 * (count + 1).div_ceil(TWO_BIT_STATUSES) + len > room {
            break;
        }
        (deltas_len, before) = (len, arrival.unwrap_or(before));
        statuses[count] = status;
        count += 1;
    }
    if count == 0 {
        return Err(WriteError::NoRoom { need: HEAD_BYTES + 4, have: room });
    }

    buf[..4].copy_from_slice(&ssrcs.0.to_be_bytes());
    buf[4..8].copy_from_slice(&ssrcs.1.to_be_bytes());
    buf[8..10].copy_from_slice(&base_sequence.to_be_bytes());
    buf[10..12].copy_from_slice(&(count as u16).to_be_bytes());
    buf[12..16].copy_from_slice(&((reference as u32) << 8 | u32::from(feedback_count)).to_be_bytes());
    let mut at = HEAD_BYTES;
    let mut rest = &statuses[..count];
    while !rest.is_empty() {
        let (chunk, len) = first_chunk(rest);
        buf[at..at + 2].copy_from_slice(&chunk.to_be_bytes());
        at += 2;
        rest = &rest[len..];
    }
    let mut before = reference * REFERENCE_TICKS;
    for (arrival, status) in arrivals.iter().zip(&statuses[..count]) {
        let Some(arrival) = *arrival else { continue };
        let (bytes, len) = (((arrival - before) as i16).to_be_bytes(), delta_bytes(*status));
        buf[at..at + len].copy_from_slice(&bytes[2 - len..]);
        at += len;
        before = arrival;
    }
    Ok((at, count))
}

/// The chunk that says the most of the statuses ahead, and how many it covers. No chunk covers fewer than
/// [`TWO_BIT_STATUSES`], except the last.
fn first_chunk(statuses: &[u8]) -> (u16, usize) {
    let run = statuses.iter().take(MAX_RUN).take_while(|status| **status == statuses[0]).count();
    let one_bit = statuses.iter().take(ONE_BIT_STATUSES).take_while(|status| **status != LARGE_DELTA).count();
    let vector = |width: u32, len: usize| {
        statuses.iter().take(len).fold(0, |bits, status| bits << width | u16::from(*status))
            << (width * (14 / width - len as u32))
    };
    let all = statuses.len();
    if run >= ONE_BIT_STATUSES
        || run == all
        || (run >= TWO_BIT_STATUSES && one_bit < ONE_BIT_STATUSES.min(all))
    {
        (u16::from(statuses[0]) << 13 | run as u16, run)
    } else if one_bit == ONE_BIT_STATUSES || one_bit == all {
        (0x8000 | vector(1, one_bit), one_bit)
    } else {
        let len = all.min(TWO_BIT_STATUSES);
        (0xc000 | vector(2, len), len)
    }
}
