// SPDX-License-Identifier: EUPL-1.2
//! The sending half: queues, fragments, what is in flight, and giving up on it (RFC 9260 section 6, RFC 3758 section 3.5).
//!
//! Streams are served in turn, one message each: without RFC 8260's interleaving the fragments of a message bear
//! consecutive TSNs. How much may be in flight is [`super::congestion`]'s business.

use super::SctpLimits;
use super::congestion::Congestion;
use super::flight::Flight;
use super::wire::{
    self, COMMON_HEADER_BYTES, DATA_HEADER_BYTES, Data, MAX_FRAGMENT_BYTES, MAX_PACKET_BYTES, Sack,
};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

/// What a message costs beside its payload: its place in a queue and its bookkeeping in flight.
pub const MESSAGE_OVERHEAD_BYTES: usize = 64;

/// A message to send.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) ppid: u32,
    pub(crate) payload: Bytes,
    pub(crate) unordered: bool,
    pub(crate) max_retransmits: Option<u16>,
}

#[derive(Debug)]
pub(crate) struct Sender {
    limits: SctpLimits,
    next_tsn: u64,
    /// All up to here has been acknowledged.
    cumulative: u64,
    /// All up to here has been acknowledged or given up: what FORWARD TSN says.
    forward_point: u64,
    queues: BTreeMap<u16, Queue>,
    /// The stream whose message is being cut, or was cut last.
    current: u16,
    /// What `queues` and `sent` hold, and each stream's share of it.
    pub(crate) queued_bytes: usize,
    sent: Flight<Sent>,
    retransmit: BTreeSet<u64>,
    outstanding: usize,
    peer_window: usize,
    peer_forwards: bool,
    congestion: Congestion,
    /// How much may be outstanding before the next acknowledgement: no more packets leave at a time than [`MAX_BURST_BYTES`].
    burst_end: usize,
    /// A chunk that was sent although the peer's window had no room for it (RFC 9260 section 6.1 A).
    probe: Option<u64>,
    /// T3-rtx (RFC 9260 section 6.3.2); runs while anything is in `sent`.
    timer: Option<Instant>,
    forward_due: bool,
    pub(crate) retransmissions: u64,
    pub(crate) abandoned_messages: u64,
}

#[derive(Debug, Default)]
struct Queue {
    next_ssn: u16,
    messages: VecDeque<Outgoing>,
    /// How much of the first message has been sent.
    offset: usize,
    /// Payload and overhead of what is queued or in flight.
    cost: usize,
    in_flight: usize,
}

/// A chunk that is not cumulatively acknowledged.
#[derive(Debug)]
struct Sent {
    stream: u16,
    ssn: u16,
    ppid: u32,
    payload: Bytes,
    unordered: bool,
    begins: bool,
    ends: bool,
    max_retransmits: Option<u16>,
    /// What its queue gets back.
    cost: usize,
    at: Instant,
    retransmits: u16,
    /// How many SACKs reported it missing.
    missing: u8,
    /// Only acknowledgements from this TSN on say anything about the last copy.
    evidence_from: u64,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Outstanding,
    Acknowledged,
    ToRetransmit,
    Abandoned,
}

impl Sender {
    pub(crate) fn new(limits: SctpLimits, initial_tsn: u32) -> Self {
        let next_tsn = (1 << 32) + u64::from(initial_tsn);
        Sender {
            limits,
            next_tsn,
            cumulative: next_tsn - 1,
            forward_point: next_tsn - 1,
            queues: BTreeMap::new(),
            current: 0,
            queued_bytes: 0,
            sent: Flight::new(next_tsn),
            retransmit: BTreeSet::new(),
            outstanding: 0,
            peer_window: 0,
            peer_forwards: false,
            congestion: Congestion::new(),
            burst_end: MAX_BURST_BYTES,
            probe: None,
            timer: None,
            forward_due: false,
            retransmissions: 0,
            abandoned_messages: 0,
        }
    }

    /// What the peer's INIT or INIT ACK said.
    pub(crate) fn established(&mut self, window: u32, forwards: bool) {
        self.peer_window = window as usize;
        self.peer_forwards = forwards;
        self.congestion.set_threshold(self.peer_window);
    }

    pub(crate) fn push(&mut self, stream: u16, message: Outgoing) {
        let cost = message.payload.len() + MESSAGE_OVERHEAD_BYTES;
        let queue = self.queues.entry(stream).or_default();
        queue.cost += cost;
        queue.messages.push_back(message);
        self.queued_bytes += cost;
    }

    /// Payload and overhead of a stream's messages that are queued or in flight.
    pub(crate) fn buffered(&self, stream: u16) -> usize {
        self.queues.get(&stream).map_or(0, |queue| queue.cost)
    }

    /// Drops what has not begun to be sent and takes nothing more of the stream.
    pub(crate) fn hold(&mut self, stream: u16) {
        let Some(queue) = self.queues.get_mut(&stream) else { return };
        // A message that has begun is sent to its end: its fragments can't be called back.
        let keep = usize::from(queue.offset > 0).min(queue.messages.len());
        let cost = |message: Outgoing| message.payload.len() + MESSAGE_OVERHEAD_BYTES;
        let dropped: usize = queue.messages.drain(keep..).map(cost).sum();
        queue.cost -= dropped;
        self.queued_bytes -= dropped;
    }

    /// Whether nothing of the stream is queued or in flight.
    pub(crate) fn is_drained(&self, stream: u16) -> bool {
        self.queues.get(&stream).is_none_or(|queue| queue.in_flight == 0 && queue.messages.is_empty())
    }

    /// The stream starts anew with SSN 0.
    pub(crate) fn reset(&mut self, stream: u16) {
        if self.is_drained(stream) {
            self.queues.remove(&stream);
        }
    }

    pub(crate) fn last_tsn(&self) -> u32 {
        (self.next_tsn - 1) as u32
    }

    pub(crate) fn rto(&self) -> std::time::Duration {
        self.congestion.rto()
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.timer
    }

    /// T3-rtx (RFC 9260 section 6.3.3): all that is outstanding counts as lost.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.timer.is_none_or(|at| at > now) {
            return;
        }
        // The peer threw a probe away because it had no room: that says nothing of the path.
        if self.probe.is_some() {
            self.congestion.back_off();
        } else {
            self.congestion.timed_out();
        }
        let lost: Vec<u64> = self
            .sent
            .iter()
            .filter(|(_, chunk)| chunk.state == State::Outstanding)
            .map(|(tsn, _)| tsn)
            .collect();
        for tsn in lost {
            self.lose(tsn);
        }
        self.advance_forward_point();
        self.forward_due = self.forward_point > self.cumulative;
        self.burst_end = self.outstanding + MAX_BURST_BYTES;
        self.timer = Some(now + self.congestion.rto());
    }

    pub(crate) fn sack(&mut self, now: Instant, sack: &Sack<'_>) {
        let cumulative = wire::expand(sack.cumulative, self.cumulative);
        if cumulative < self.cumulative || cumulative >= self.next_tsn {
            return;
        }
        // Blocks have to ascend, else going through them could be made to cost their product with what is in flight.
        let mut end = 0;
        for (first, last) in sack.gaps() {
            if first <= end || last < first {
                return;
            }
            end = last;
        }
        let before = self.outstanding;
        let advanced = cumulative > self.cumulative;
        let mut newly = Newly::default();
        while let Some((tsn, chunk)) = self.sent.pop_up_to(cumulative) {
            newly.note(now, tsn, &chunk);
            if chunk.state == State::Outstanding {
                self.outstanding -= chunk.payload.len();
            }
            self.retransmit.remove(&tsn);
            self.release(chunk.stream, chunk.cost);
        }
        self.cumulative = cumulative;
        self.forward_point = self.forward_point.max(cumulative);
        self.mark_gaps(now, sack, &mut newly);
        if newly.bytes > 0
            && let Some(before) = self.congestion.take_timeout()
            && newly.late
        {
            self.undo_timeout(before);
        }
        if let Some(rtt) = newly.rtt {
            self.congestion.measured(rtt);
        }
        self.congestion.acknowledged(newly.bytes, before, advanced, cumulative);
        self.count_missing(newly.highest);

        self.peer_window = sack.window as usize;
        self.settle_probe();
        self.burst_end = self.outstanding + MAX_BURST_BYTES;
        self.advance_forward_point();
        if self.forward_point > self.cumulative {
            self.forward_due = true;
        }
        if self.sent.is_empty() {
            self.timer = None;
        } else if advanced || self.timer.is_none() {
            self.timer = Some(now + self.congestion.rto());
        }
    }

    /// Whether there is something to send, if the windows let it.
    pub(crate) fn wants_to_send(&self) -> bool {
        self.forward_due
            || !self.retransmit.is_empty()
            || self.queues.values().any(|queue| !queue.messages.is_empty())
    }

    /// The value of a FORWARD TSN chunk when one is due.
    pub(crate) fn take_forward(&mut self) -> Option<Vec<u8>> {
        if !std::mem::take(&mut self.forward_due) || self.forward_point <= self.cumulative {
            return None;
        }
        let mut skipped = BTreeMap::new();
        let given_up = self.sent.iter().take_while(|(tsn, _)| *tsn <= self.forward_point);
        for (_, chunk) in given_up {
            if chunk.state == State::Abandoned && !chunk.unordered {
                skipped.insert(chunk.stream, chunk.ssn);
            }
        }
        let mut value = (self.forward_point as u32).to_be_bytes().to_vec();
        for (stream, ssn) in skipped.into_iter().take(MAX_SKIPPED_STREAMS) {
            value.extend_from_slice(&stream.to_be_bytes());
            value.extend_from_slice(&ssn.to_be_bytes());
        }
        Some(value)
    }

    /// Fills the packet up with DATA, lost chunks first.
    pub(crate) fn fill(&mut self, now: Instant, packet: &mut Vec<u8>) {
        let few = self.congestion.window() <= FEW_BYTES;
        while let Some(&tsn) = self.retransmit.first() {
            let may = self.outstanding < self.allowed() || self.congestion.take_fast_retransmit();
            let Some(chunk) = self.sent.get_mut(tsn).filter(|_| may) else { break };
            if !fits(packet, chunk.payload.len()) {
                break;
            }
            self.retransmit.remove(&tsn);
            chunk.state = State::Outstanding;
            chunk.retransmits = chunk.retransmits.saturating_add(1);
            chunk.missing = 0;
            chunk.at = now;
            chunk.evidence_from = self.next_tsn;
            self.outstanding += chunk.payload.len();
            self.retransmissions += 1;
            chunk.write(tsn, chunk.ends || few, packet);
        }
        if !self.retransmit.is_empty() {
            self.start_timer(now);
            return;
        }
        while self.outstanding < self.allowed() && self.sent.len() < self.limits.chunks_in_flight {
            let Some(stream) = self.next_stream() else { break };
            let window_left = self.peer_window.saturating_sub(self.outstanding);
            let Some(size) = self.queues.get(&stream).and_then(Queue::next_size) else { break };
            // One chunk may probe a closed window (RFC 9260 section 6.1 A).
            if !fits(packet, size) || (size > window_left && self.outstanding > 0) {
                break;
            }
            if size > window_left {
                self.probe = Some(self.next_tsn);
            }
            self.send_fragment(now, stream, packet);
        }
        self.start_timer(now);
    }

    /// What was taken for lost is acknowledged without having been sent again: it was late, and so is the rest
    /// (RFC 5682 has the thought, RFC 4015 what follows from it).
    fn undo_timeout(&mut self, before: (usize, usize)) {
        for tsn in std::mem::take(&mut self.retransmit) {
            if let Some(chunk) = self.sent.get_mut(tsn) {
                chunk.state = State::Outstanding;
                self.outstanding += chunk.payload.len();
            }
        }
        self.congestion.undo_timeout(before, self.outstanding);
    }

    /// How much may be outstanding now.
    fn allowed(&self) -> usize {
        self.congestion.window().min(self.burst_end)
    }

    /// A probe that the peer threw away goes again as soon as there is room for it, not only when T3-rtx runs out.
    fn settle_probe(&mut self) {
        let Some(tsn) = self.probe else { return };
        let waiting = self.sent.get(tsn).filter(|chunk| chunk.state == State::Outstanding);
        if waiting.is_some_and(|chunk| chunk.payload.len() > self.peer_window) {
            return;
        }
        self.probe = None;
        self.lose(tsn);
    }

    fn send_fragment(&mut self, now: Instant, stream: u16, packet: &mut Vec<u8>) {
        let tsn = self.next_tsn;
        let Some(queue) = self.queues.get_mut(&stream) else { return };
        let Some(message) = queue.messages.front() else { return };
        let (from, to) = (queue.offset, message.payload.len().min(queue.offset + MAX_FRAGMENT_BYTES));
        let (begins, ends) = (from == 0, to == message.payload.len());
        // With so little in flight a delayed acknowledgement would be most of a round trip.
        let immediate = ends || self.congestion.window() <= FEW_BYTES;
        let mut chunk = Sent {
            stream,
            ssn: if message.unordered { 0 } else { queue.next_ssn },
            ppid: message.ppid,
            payload: message.payload.slice(from..to),
            unordered: message.unordered,
            begins,
            ends,
            max_retransmits: message.max_retransmits,
            cost: to - from + if begins { MESSAGE_OVERHEAD_BYTES } else { 0 },
            at: now,
            retransmits: 0,
            missing: 0,
            evidence_from: tsn,
            state: State::Outstanding,
        };
        queue.in_flight += 1;
        queue.offset = to;
        if ends {
            queue.offset = 0;
            if !message.unordered {
                queue.next_ssn = queue.next_ssn.wrapping_add(1);
            }
            queue.messages.pop_front();
        }
        if !self.peer_forwards {
            chunk.max_retransmits = None;
        }
        self.current = stream;
        self.next_tsn += 1;
        self.outstanding += chunk.payload.len();
        chunk.write(tsn, immediate, packet);
        self.sent.push(chunk);
    }

    /// The stream whose message has begun, else the next one after the last served that has something to send.
    fn next_stream(&self) -> Option<u16> {
        let begun = self.queues.get(&self.current).is_some_and(|queue| queue.offset > 0);
        if begun {
            return Some(self.current);
        }
        let ready = |(stream, queue): (&u16, &Queue)| queue.next_size().map(|_| *stream);
        let after = self.current.checked_add(1).and_then(|from| self.queues.range(from..).find_map(ready));
        after.or_else(|| self.queues.range(..=self.current).find_map(ready))
    }

    fn mark_gaps(&mut self, now: Instant, sack: &Sack<'_>, newly: &mut Newly) {
        let mut gaps = sack
            .gaps()
            .map(|(first, last)| (self.cumulative + u64::from(first), self.cumulative + u64::from(last)));
        let mut gap = gaps.next();
        for (tsn, chunk) in self.sent.iter_mut_from(0) {
            while gap.is_some_and(|(_, last)| last < tsn) {
                gap = gaps.next();
            }
            let received = gap.is_some_and(|(first, _)| first <= tsn);
            match (received, chunk.state) {
                (true, State::Outstanding | State::ToRetransmit) => {
                    newly.note(now, tsn, chunk);
                    if chunk.state == State::Outstanding {
                        self.outstanding -= chunk.payload.len();
                    }
                    self.retransmit.remove(&tsn);
                    chunk.state = State::Acknowledged;
                }
                // The peer had it and threw it away (RFC 9260 section 6.2.1 D iii).
                (false, State::Acknowledged) => {
                    chunk.state = State::Outstanding;
                    self.outstanding += chunk.payload.len();
                }
                _ => {}
            }
        }
    }

    /// Counts strikes below the highest newly acknowledged TSN; the third one is a loss (RFC 9260 section 7.2.4).
    fn count_missing(&mut self, highest: u64) {
        let mut lost = Vec::new();
        let below = highest.max(self.cumulative);
        for (tsn, chunk) in self.sent.iter_mut_from(0).take_while(|(tsn, _)| *tsn < below) {
            if chunk.state == State::Outstanding && highest >= chunk.evidence_from {
                chunk.missing = chunk.missing.saturating_add(1);
                if chunk.missing >= MISSING_REPORTS {
                    lost.push(tsn);
                }
            }
        }
        if lost.is_empty() {
            return;
        }
        self.congestion.lost(self.next_tsn - 1);
        for tsn in lost {
            self.lose(tsn);
        }
    }

    /// A chunk counts as lost: it is sent again, or its message is given up.
    fn lose(&mut self, tsn: u64) {
        let Some(chunk) = self.sent.get_mut(tsn).filter(|chunk| chunk.state == State::Outstanding) else {
            return;
        };
        if chunk.max_retransmits.is_some_and(|max| chunk.retransmits >= max) {
            self.abandon(tsn);
            return;
        }
        chunk.state = State::ToRetransmit;
        self.outstanding -= chunk.payload.len();
        self.retransmit.insert(tsn);
    }

    /// Gives up the whole message that a chunk belongs to (RFC 3758 section 3.5 A3).
    fn abandon(&mut self, tsn: u64) {
        let Some(chunk) = self.sent.get(tsn) else { return };
        let stream = chunk.stream;
        let mut first = tsn;
        while self.sent.get(first).is_some_and(|chunk| !chunk.begins) && self.sent.get(first - 1).is_some() {
            first -= 1;
        }
        let mut ended = false;
        let mut released = 0;
        for (tsn, chunk) in self.sent.iter_mut_from(first) {
            if chunk.state == State::Outstanding {
                self.outstanding -= chunk.payload.len();
            }
            self.retransmit.remove(&tsn);
            chunk.state = State::Abandoned;
            chunk.payload = Bytes::new();
            released += std::mem::take(&mut chunk.cost);
            if chunk.ends {
                ended = true;
                break;
            }
        }
        if let Some(queue) = self.queues.get_mut(&stream) {
            if !ended
                && queue.offset > 0
                && let Some(message) = queue.messages.pop_front()
            {
                released += message.payload.len() - queue.offset;
                queue.offset = 0;
                if !message.unordered {
                    queue.next_ssn = queue.next_ssn.wrapping_add(1);
                }
            }
            queue.cost -= released;
        }
        self.queued_bytes -= released;
        self.abandoned_messages += 1;
    }

    fn advance_forward_point(&mut self) {
        while self.sent.get(self.forward_point + 1).is_some_and(|chunk| chunk.state == State::Abandoned) {
            self.forward_point += 1;
        }
    }

    fn release(&mut self, stream: u16, cost: usize) {
        self.queued_bytes -= cost;
        if let Some(queue) = self.queues.get_mut(&stream) {
            queue.cost -= cost;
            queue.in_flight -= 1;
        }
    }

    fn start_timer(&mut self, now: Instant) {
        if self.timer.is_none() && !self.sent.is_empty() {
            self.timer = Some(now + self.congestion.rto());
        }
    }
}

impl Queue {
    fn next_size(&self) -> Option<usize> {
        let message = self.messages.front()?;
        Some((message.payload.len() - self.offset).min(MAX_FRAGMENT_BYTES))
    }
}

impl Sent {
    /// `immediate` asks for a SACK at once (RFC 7053): at a message's end, so that a short one's loss shows after a round trip.
    fn write(&self, tsn: u64, immediate: bool, packet: &mut Vec<u8>) {
        wire::put_data(
            packet,
            &Data {
                immediate,
                unordered: self.unordered,
                begins: self.begins,
                ends: self.ends,
                tsn: tsn as u32,
                stream: self.stream,
                ssn: self.ssn,
                ppid: self.ppid,
                payload: &self.payload,
            },
        );
    }
}

/// What one SACK acknowledged for the first time.
#[derive(Default)]
struct Newly {
    bytes: usize,
    highest: u64,
    rtt: Option<std::time::Duration>,
    /// Whether some of it had been taken for lost and not been sent again.
    late: bool,
}

impl Newly {
    fn note(&mut self, now: Instant, tsn: u64, chunk: &Sent) {
        if matches!(chunk.state, State::Outstanding | State::ToRetransmit) {
            self.bytes += chunk.payload.len();
            self.late |= chunk.state == State::ToRetransmit && chunk.retransmits == 0;
            self.highest = self.highest.max(tsn);
            // Karn's algorithm: only what was sent once (RFC 9260 section 6.3.1 C5).
            if chunk.retransmits == 0 {
                self.rtt = Some(now.saturating_duration_since(chunk.at));
            }
        }
    }
}

fn fits(packet: &[u8], payload: usize) -> bool {
    packet.len() + DATA_HEADER_BYTES + payload <= MAX_PACKET_BYTES || packet.len() == COMMON_HEADER_BYTES
}

const MISSING_REPORTS: u8 = 3;
/// RFC 9260 section 6.1 D has four packets; ten are what a window begins with. A browser's socket holds some 90.
const MAX_BURST_BYTES: usize = 10 * MAX_PACKET_BYTES;
const FEW_BYTES: usize = 4 * MAX_PACKET_BYTES;
/// Twice the channels that may be open.
const MAX_SKIPPED_STREAMS: usize = 128;
/// Chunk header, TSN, the streams.
pub(crate) const MAX_FORWARD_BYTES: usize = 4 + 4 + 4 * MAX_SKIPPED_STREAMS;
