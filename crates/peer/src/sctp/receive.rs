// SPDX-License-Identifier: EUPL-1.2
//! The receiving half: which TSNs are here, and messages out of their fragments (RFC 9260 section 6, RFC 3758 section 3.6).
//!
//! Everything is keyed by expanded numbers ([`wire::expand`]), so nothing here wraps. Fragments of one message bear
//! consecutive TSNs; they are kept as *runs* that grow at both ends and merge small into large, so that a chunk
//! costs a logarithm whatever order a hostile peer chooses.

use super::SctpLimits;
use super::wire::{self, Data};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};

/// A whole message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) stream: u16,
    pub(crate) ppid: u32,
    pub(crate) payload: Bytes,
}

/// Why the association has to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Violation {
    #[error("a DATA chunk without data (RFC 9260 section 3.3.1)")]
    Empty,
    #[error("fragments that don't fit together (RFC 9260 section 6.9)")]
    Fragments,
    #[error("a message above our limit of {0} bytes: a=max-message-size was not kept")]
    TooLarge(usize),
    #[error("a message of more than {0} fragments")]
    TooManyFragments(usize),
    #[error("the receive buffer is full of messages that can't be completed")]
    Exhausted,
}

/// What became of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    Stored,
    Duplicate,
    /// Too far ahead, or no room: the peer has to send it again.
    NoRoom,
}

#[derive(Debug)]
pub(crate) struct Receiver {
    limits: SctpLimits,
    /// All up to here have been received or given up by the peer.
    cumulative: u64,
    /// Above it: first and last of each contiguous range.
    ranges: BTreeMap<u64, u64>,
    runs: BTreeMap<u64, Run>,
    streams: BTreeMap<u16, Inbound>,
    /// Held in `runs` and `streams`.
    bytes: usize,
    fragments: usize,
    /// Messages dropped because their stream would have been one too many.
    pub(crate) orphans: u64,
}

/// Fragments with consecutive TSNs of one message, keyed by the first.
#[derive(Debug)]
struct Run {
    last: u64,
    stream: u16,
    ssn: u16,
    ppid: u32,
    unordered: bool,
    begins: bool,
    ends: bool,
    bytes: usize,
    fragments: VecDeque<Bytes>,
}

/// One stream's order.
#[derive(Debug)]
struct Inbound {
    next: u64,
    waiting: BTreeMap<u64, (Message, usize)>,
}

impl Inbound {
    fn new() -> Self {
        Inbound { next: 1 << 16, waiting: BTreeMap::new() }
    }

    fn expand(&self, ssn: u16) -> u64 {
        self.next.wrapping_add_signed(i64::from(ssn.wrapping_sub(self.next as u16) as i16))
    }
}

impl Receiver {
    pub(crate) fn new(limits: SctpLimits, initial_tsn: u32) -> Self {
        Receiver {
            limits,
            cumulative: (1 << 32) + u64::from(initial_tsn) - 1,
            ranges: BTreeMap::new(),
            runs: BTreeMap::new(),
            streams: BTreeMap::new(),
            bytes: 0,
            fragments: 0,
            orphans: 0,
        }
    }

    pub(crate) fn cumulative(&self) -> u64 {
        self.cumulative
    }

    pub(crate) fn has_gaps(&self) -> bool {
        !self.ranges.is_empty()
    }

    pub(crate) fn buffered_bytes(&self) -> usize {
        self.bytes
    }

    /// Takes a chunk; messages that it completes go to `out`. `undelivered` bytes wait for the owner already.
    pub(crate) fn data(
        &mut self,
        data: &Data<'_>,
        undelivered: usize,
        out: &mut Vec<Message>,
    ) -> Result<Taken, Violation> {
        if data.payload.is_empty() {
            return Err(Violation::Empty);
        }
        let tsn = wire::expand(data.tsn, self.cumulative);
        if tsn <= self.cumulative
            || self.ranges.range(..=tsn).next_back().is_some_and(|(_, last)| *last >= tsn)
        {
            return Ok(Taken::Duplicate);
        }
        let next_in_order = tsn == self.cumulative + 1;
        // The last quarter is kept for the chunk that everything waits for.
        let share = |limit: usize| if next_in_order { limit } else { limit / 4 * 3 };
        let full = self.bytes + undelivered + data.payload.len() > share(self.limits.receive_buffer_bytes)
            || self.fragments >= share(self.limits.receive_fragments);
        if full && next_in_order && undelivered == 0 {
            return Err(Violation::Exhausted);
        }
        if full || tsn - self.cumulative > self.limits.receive_fragments as u64 {
            return Ok(Taken::NoRoom);
        }
        self.store(tsn, data, out)?;
        self.mark_received(tsn);
        Ok(Taken::Stored)
    }

    /// The peer gave up everything up to `cumulative` (RFC 3758 section 3.6).
    pub(crate) fn forward(&mut self, cumulative: u32, streams: &[u8], out: &mut Vec<Message>) {
        let cumulative = wire::expand(cumulative, self.cumulative);
        if cumulative <= self.cumulative {
            return;
        }
        while let Some(entry) = self.runs.first_entry().filter(|entry| *entry.key() <= cumulative) {
            let run = entry.remove();
            self.release(run.bytes, run.fragments.len());
        }
        while let Some(entry) = self.ranges.first_entry().filter(|entry| *entry.key() <= cumulative) {
            let last = entry.remove();
            if last > cumulative {
                self.ranges.insert(cumulative + 1, last);
            }
        }
        self.cumulative = cumulative;
        self.absorb_ranges();
        for pair in streams.chunks_exact(4) {
            let (stream, ssn) = (wire::be16(pair, 0), wire::be16(pair, 2));
            let Some(inbound) = self.inbound(stream) else { continue };
            let skipped = inbound.expand(ssn);
            if skipped < inbound.next {
                continue;
            }
            let later = inbound.waiting.split_off(&(skipped + 1));
            let before = std::mem::replace(&mut inbound.waiting, later);
            inbound.next = skipped + 1;
            for (message, fragments) in before.into_values() {
                self.release(message.payload.len(), fragments);
                out.push(message);
            }
            self.deliver_waiting(stream, out);
        }
    }

    /// The peer starts these streams anew (RFC 6525 section 5.2.2); none named means all.
    pub(crate) fn reset(&mut self, streams: &[u16]) {
        let gone: Vec<u16> =
            if streams.is_empty() { self.streams.keys().copied().collect() } else { streams.to_vec() };
        for stream in gone {
            for (message, fragments) in
                self.streams.remove(&stream).into_iter().flat_map(|s| s.waiting.into_values())
            {
                self.release(message.payload.len(), fragments);
            }
        }
    }

    /// The value of a SACK chunk (RFC 9260 section 3.3.4).
    pub(crate) fn sack(&self, undelivered: usize) -> Vec<u8> {
        let window = self.limits.receive_buffer_bytes.saturating_sub(self.bytes + undelivered);
        let blocks = self.ranges.len().min(MAX_GAP_BLOCKS);
        let mut value = Vec::with_capacity(12 + blocks * 4);
        value.extend_from_slice(&(self.cumulative as u32).to_be_bytes());
        value.extend_from_slice(&(window as u32).to_be_bytes());
        value.extend_from_slice(&(blocks as u16).to_be_bytes());
        value.extend_from_slice(&[0; 2]);
        for (first, last) in self.ranges.iter().take(MAX_GAP_BLOCKS) {
            value.extend_from_slice(&((first - self.cumulative) as u16).to_be_bytes());
            value.extend_from_slice(&((last - self.cumulative) as u16).to_be_bytes());
        }
        value
    }

    fn store(&mut self, tsn: u64, data: &Data<'_>, out: &mut Vec<Message>) -> Result<(), Violation> {
        let before = self
            .runs
            .range(..tsn)
            .next_back()
            .filter(|(_, before)| before.last + 1 == tsn)
            .map(|(first, _)| *first);
        let after = self.runs.contains_key(&(tsn + 1)).then_some(tsn + 1);
        // Looked at before anything changes: (whether a message ends between the two, whether one begins, the neighbour).
        let earlier = before.and_then(|key| self.runs.get(&key)).map(|run| (run.ends, data.begins, run));
        let later = after.and_then(|key| self.runs.get(&key)).map(|run| (data.ends, run.begins, run));
        let mut joined = data.payload.len();
        for (ended, begun, other) in earlier.into_iter().chain(later) {
            if ended != begun {
                return Err(Violation::Fragments);
            }
            if !ended {
                let same = other.stream == data.stream
                    && other.unordered == data.unordered
                    && (data.unordered || other.ssn == data.ssn);
                if !same {
                    return Err(Violation::Fragments);
                }
                joined += other.bytes;
            }
        }
        if joined > self.limits.message_bytes {
            return Err(Violation::TooLarge(self.limits.message_bytes));
        }
        self.bytes += data.payload.len();
        self.fragments += 1;
        if data.begins && data.ends {
            let payload = Bytes::copy_from_slice(data.payload);
            let message = Message { stream: data.stream, ppid: data.ppid, payload };
            self.complete(message, 1, (data.ssn, data.unordered), out);
            return Ok(());
        }
        let mut run = Run {
            last: tsn,
            stream: data.stream,
            ssn: data.ssn,
            ppid: data.ppid,
            unordered: data.unordered,
            begins: data.begins,
            ends: data.ends,
            bytes: data.payload.len(),
            fragments: VecDeque::from([Bytes::copy_from_slice(data.payload)]),
        };

        let mut first = tsn;
        if let Some(key) = before.filter(|_| !data.begins)
            && let Some(earlier) = self.runs.remove(&key)
        {
            run = earlier.followed_by(run);
            first = key;
        }
        if let Some(key) = after.filter(|_| !data.ends)
            && let Some(later) = self.runs.remove(&key)
        {
            run = run.followed_by(later);
        }
        if run.fragments.len() > self.limits.message_fragments {
            return Err(Violation::TooManyFragments(self.limits.message_fragments));
        }
        if run.begins && run.ends {
            let (fragments, order) = (run.fragments.len(), (run.ssn, run.unordered));
            self.complete(run.message(), fragments, order, out);
        } else {
            self.runs.insert(first, run);
        }
        Ok(())
    }

    /// A message of so many fragments is whole.
    fn complete(
        &mut self,
        message: Message,
        fragments: usize,
        (ssn, unordered): (u16, bool),
        out: &mut Vec<Message>,
    ) {
        let (bytes, stream) = (message.payload.len(), message.stream);
        if unordered {
            self.release(bytes, fragments);
            out.push(message);
            return;
        }
        let Some(inbound) = self.inbound(stream) else {
            self.orphans += 1;
            self.release(bytes, fragments);
            return;
        };
        let at = inbound.expand(ssn);
        if at > inbound.next && !inbound.waiting.contains_key(&at) {
            inbound.waiting.insert(at, (message, fragments));
            return;
        }
        let in_order = at == inbound.next;
        inbound.next += u64::from(in_order);
        self.release(bytes, fragments);
        if in_order {
            out.push(message);
            self.deliver_waiting(stream, out);
        }
    }

    fn deliver_waiting(&mut self, stream: u16, out: &mut Vec<Message>) {
        while let Some((message, fragments)) = self.streams.get_mut(&stream).and_then(|inbound| {
            let ready = inbound.waiting.remove(&inbound.next)?;
            inbound.next += 1;
            Some(ready)
        }) {
            self.release(message.payload.len(), fragments);
            out.push(message);
        }
    }

    fn inbound(&mut self, stream: u16) -> Option<&mut Inbound> {
        if self.streams.len() >= self.limits.ordered_streams() && !self.streams.contains_key(&stream) {
            return None;
        }
        Some(self.streams.entry(stream).or_insert_with(Inbound::new))
    }

    fn mark_received(&mut self, tsn: u64) {
        if tsn == self.cumulative + 1 {
            self.cumulative = tsn;
            self.absorb_ranges();
            return;
        }
        let (mut first, mut last) = (tsn, tsn);
        if let Some((&start, end)) = self.ranges.range_mut(..tsn).next_back()
            && *end + 1 == tsn
        {
            *end = tsn;
            first = start;
        }
        if let Some(end) = self.ranges.remove(&(tsn + 1)) {
            last = end;
        }
        self.ranges.insert(first, last);
    }

    fn absorb_ranges(&mut self) {
        while let Some(last) = self.ranges.remove(&(self.cumulative + 1)) {
            self.cumulative = last;
        }
    }

    fn release(&mut self, bytes: usize, fragments: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
        self.fragments = self.fragments.saturating_sub(fragments);
    }
}

impl Run {
    /// Joins two neighbours, moving the smaller one. The first fragment's payload protocol identifier is the one that counts.
    fn followed_by(mut self, mut later: Run) -> Run {
        self.last = later.last;
        self.ends = later.ends;
        self.bytes += later.bytes;
        if self.fragments.len() >= later.fragments.len() {
            self.fragments.append(&mut later.fragments);
        } else {
            while let Some(fragment) = self.fragments.pop_back() {
                later.fragments.push_front(fragment);
            }
            self.fragments = later.fragments;
        }
        self
    }

    fn message(mut self) -> Message {
        let payload = if self.fragments.len() == 1 {
            self.fragments.pop_front().unwrap_or_default()
        } else {
            let mut whole = Vec::with_capacity(self.bytes);
            for fragment in &self.fragments {
                whole.extend_from_slice(fragment);
            }
            whole.into()
        };
        Message { stream: self.stream, ppid: self.ppid, payload }
    }
}

/// 4 bytes each: with a reset request (276 bytes) and FORWARD TSN (520) it still fits one packet.
const MAX_GAP_BLOCKS: usize = 64;
