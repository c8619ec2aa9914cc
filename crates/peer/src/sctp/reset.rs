// SPDX-License-Identifier: EUPL-1.2
//! Closing streams: RE-CONFIG's outgoing and incoming requests (RFC 6525), as data channels use them (RFC 8831 section 6.7).

use super::wire;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// What a RE-CONFIG chunk led to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The peer starts these streams anew; none named means all.
    PeerReset(Vec<u16>),
    /// Our request for these streams is settled.
    OursDone(Vec<u16>),
}

#[derive(Debug)]
pub(crate) struct Resets {
    next_request: u32,
    /// Streams that may be reset as soon as no request is under way.
    wanted: BTreeSet<u16>,
    active: Option<Active>,
    /// The sequence number that the peer's next request bears.
    expected: u32,
    last_result: u32,
}

/// Only one request may be under way (RFC 6525 section 5.1.1).
#[derive(Debug)]
struct Active {
    streams: Vec<u16>,
    value: Vec<u8>,
    due: Instant,
    timeout: Duration,
    send: bool,
}

impl Resets {
    pub(crate) fn new(initial_tsn: u32) -> Self {
        Resets {
            next_request: initial_tsn,
            wanted: BTreeSet::new(),
            active: None,
            expected: 0,
            last_result: NOTHING_TO_DO,
        }
    }

    pub(crate) fn established(&mut self, peer_initial_tsn: u32) {
        self.expected = peer_initial_tsn;
    }

    /// Asks for a stream's reset. All of its messages have been acknowledged.
    pub(crate) fn want(&mut self, stream: u16) {
        if !self.active.as_ref().is_some_and(|active| active.streams.contains(&stream)) {
            self.wanted.insert(stream);
        }
    }

    /// How many streams wait for a request.
    pub(crate) fn waiting(&self) -> usize {
        self.wanted.len()
    }

    pub(crate) fn concerns(&self, stream: u16) -> bool {
        self.wanted.contains(&stream)
            || self.active.as_ref().is_some_and(|active| active.streams.contains(&stream))
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.active.as_ref().filter(|active| !active.send).map(|active| active.due)
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if let Some(active) = self.active.as_mut().filter(|active| active.due <= now) {
            active.send = true;
        }
    }

    /// Whether a request is due.
    pub(crate) fn wants_to_send(&self) -> bool {
        self.active.as_ref().map_or(!self.wanted.is_empty(), |active| active.send)
    }

    /// The value of a RE-CONFIG chunk with our request, when one is due.
    pub(crate) fn take_request(&mut self, now: Instant, last_tsn: u32, rto: Duration) -> Option<Vec<u8>> {
        if self.active.is_none() && !self.wanted.is_empty() {
            let streams: Vec<u16> = self.wanted.iter().copied().take(MAX_STREAMS).collect();
            self.wanted.retain(|stream| !streams.contains(stream));
            let mut body = Vec::with_capacity(12 + streams.len() * 2);
            body.extend_from_slice(&self.next_request.to_be_bytes());
            body.extend_from_slice(&self.expected.wrapping_sub(1).to_be_bytes());
            body.extend_from_slice(&last_tsn.to_be_bytes());
            for stream in &streams {
                body.extend_from_slice(&stream.to_be_bytes());
            }
            let mut value = Vec::new();
            wire::put_parameter(&mut value, OUTGOING_RESET, &body);
            self.active = Some(Active { streams, value, due: now, timeout: rto, send: true });
        }
        let active = self.active.as_mut().filter(|active| active.send)?;
        active.send = false;
        active.due = now + active.timeout;
        active.timeout = (active.timeout * 2).min(MAX_TIMEOUT);
        Some(active.value.clone())
    }

    /// Takes a RE-CONFIG chunk's value; what has to be answered is appended to `reply`. `cumulative`: the last TSN
    /// up to which everything of the peer's is here.
    pub(crate) fn handle(&mut self, value: &[u8], cumulative: u32, reply: &mut Vec<u8>) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        for parameter in wire::parameters(value).take(MAX_PARAMETERS) {
            let Ok((kind, body)) = parameter else { break };
            let sequence = wire::be32(body, 0);
            match kind {
                RESPONSE if body.len() >= 8 => outcomes.extend(self.response(sequence, wire::be32(body, 4))),
                OUTGOING_RESET if body.len() >= 12 => {
                    let (last_tsn, streams) = (wire::be32(body, 8), body.get(12..).unwrap_or_default());
                    let Some(reset) = self.request(sequence, reply, || {
                        if (last_tsn.wrapping_sub(cumulative) as i32) > 0 { IN_PROGRESS } else { PERFORMED }
                    }) else {
                        continue;
                    };
                    if reset == PERFORMED {
                        outcomes.push(Outcome::PeerReset(
                            streams.chunks_exact(2).map(|id| wire::be16(id, 0)).collect(),
                        ));
                    }
                }
                // More streams for the peer to send on: we count channels, not streams.
                ADD_OUTGOING if body.len() >= 8 => {
                    self.request(sequence, reply, || PERFORMED);
                }
                INCOMING_RESET | TSN_RESET | ADD_INCOMING if body.len() >= 4 => {
                    self.request(sequence, reply, || DENIED);
                }
                _ => {}
            }
        }
        outcomes
    }

    /// Answers a request; `None` when it was only a repetition.
    fn request(&mut self, sequence: u32, reply: &mut Vec<u8>, decide: impl FnOnce() -> u32) -> Option<u32> {
        let repeated = sequence == self.expected.wrapping_sub(1);
        let (result, fresh) = if sequence == self.expected || (repeated && self.last_result == IN_PROGRESS) {
            self.expected = sequence.wrapping_add(1);
            self.last_result = decide();
            (self.last_result, true)
        } else if repeated {
            (self.last_result, false)
        } else {
            (BAD_SEQUENCE, false)
        };
        let mut body = sequence.to_be_bytes().to_vec();
        body.extend_from_slice(&result.to_be_bytes());
        wire::put_parameter(reply, RESPONSE, &body);
        fresh.then_some(result)
    }

    fn response(&mut self, sequence: u32, result: u32) -> Option<Outcome> {
        // Asked again when the timer runs out.
        if sequence != self.next_request || result == IN_PROGRESS {
            return None;
        }
        let active = self.active.take()?;
        self.next_request = self.next_request.wrapping_add(1);
        // Denied or failed: the stream can't be used again either way, and there is nothing else to try.
        Some(Outcome::OursDone(active.streams))
    }
}

const OUTGOING_RESET: u16 = 13;
const INCOMING_RESET: u16 = 14;
const TSN_RESET: u16 = 15;
const RESPONSE: u16 = 16;
const ADD_OUTGOING: u16 = 17;
const ADD_INCOMING: u16 = 18;

const NOTHING_TO_DO: u32 = 0;
const PERFORMED: u32 = 1;
const DENIED: u32 = 2;
const BAD_SEQUENCE: u32 = 5;
const IN_PROGRESS: u32 = 6;

/// A chunk holds two (RFC 6525 section 3.1).
const MAX_PARAMETERS: usize = 2;
/// In one request of ours: 2 bytes each, 256 of a packet's 1,180.
const MAX_STREAMS: usize = 128;
/// Chunk header, parameter header, three numbers, the streams.
pub(crate) const MAX_REQUEST_BYTES: usize = 4 + 4 + 12 + 2 * MAX_STREAMS;
const MAX_TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn request(sequence: u32, last_tsn: u32, stream: u16) -> Vec<u8> {
        let mut body = Vec::new();
        for word in [sequence, 0, last_tsn] {
            body.extend_from_slice(&word.to_be_bytes());
        }
        body.extend_from_slice(&stream.to_be_bytes());
        let mut value = Vec::new();
        wire::put_parameter(&mut value, OUTGOING_RESET, &body);
        value
    }

    fn result(reply: &[u8]) -> u32 {
        wire::be32(reply, 8)
    }

    #[test]
    fn a_reset_waits_for_the_streams_last_chunk_and_is_done_once() {
        let mut resets = Resets::new(1);
        resets.established(100);
        let mut handle = |sequence, cumulative| {
            let mut reply = Vec::new();
            let outcomes = resets.handle(&request(sequence, 50, 3), cumulative, &mut reply);
            (outcomes, result(&reply))
        };
        assert_eq!(handle(100, 49), (vec![], IN_PROGRESS));
        assert_eq!(handle(100, 50), (vec![Outcome::PeerReset(vec![3])], PERFORMED));
        assert_eq!(handle(100, 51), (vec![], PERFORMED));
        assert_eq!(handle(99, 51), (vec![], BAD_SEQUENCE));
        // libwebrtc asks with a new number after "in progress".
        assert_eq!(handle(101, 49), (vec![], IN_PROGRESS));
        assert_eq!(handle(102, 50), (vec![Outcome::PeerReset(vec![3])], PERFORMED));
    }

    #[test]
    fn our_request_is_repeated_until_it_is_answered_and_one_is_under_way_at_a_time() {
        let now = Instant::now();
        let rto = Duration::from_millis(500);
        let mut resets = Resets::new(7);
        resets.want(1);
        let first = resets.take_request(now, 9, rto).unwrap();
        resets.want(5);
        assert_eq!(resets.take_request(now, 9, rto), None);
        resets.handle_timeout(now + rto);
        assert_eq!(resets.take_request(now + rto, 9, rto), Some(first));

        let mut answer = Vec::new();
        wire::put_parameter(&mut answer, RESPONSE, &[0, 0, 0, 7, 0, 0, 0, 1]);
        assert_eq!(resets.handle(&answer, 0, &mut Vec::new()), [Outcome::OursDone(vec![1])]);
        assert_eq!(resets.handle(&answer, 0, &mut Vec::new()), []);
        assert!(resets.take_request(now, 9, rto).is_some_and(|value| value.ends_with(&[0, 5, 0, 0])));
    }
}
