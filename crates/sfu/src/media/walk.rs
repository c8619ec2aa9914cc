// SPDX-License-Identifier: EUPL-1.2
//! Kept packets on their way to the subscriptions.
//!
//! What is known of a subscriber lies in many places, and is cold by the time its next packet comes. So packets of one
//! picture that came together go together: each subscription is shown all of them before the next one is.

use std::ops::RangeInclusive;
use std::time::Instant;

use parvis_peer::sdp::{CodecKind, MediaKind};

use super::Egress;
use super::demux::{Role, StreamRef};
use super::layer::Arrival;
use super::pacer::Paced;
use super::room::RoomMedia;
use super::subscription::Offer;

/// Packets held back at most: a batch of the socket's.
const MAX_HELD: u64 = 32;
/// A dependency descriptor without more than this has nothing in it but its frame: no structure that later packets are
/// read by.
const PLAIN_DESCRIPTOR_BYTES: usize = 3;

/// Packets in a row, of one picture of one layer, that are kept and not yet forwarded.
#[derive(Debug, Clone)]
pub(super) struct Held {
    /// The publisher's place.
    peer: usize,
    numbers: RangeInclusive<u64>,
    /// The packet that goes on with them.
    next: Next,
    /// How many of the publication's subscriptions were shown them.
    shown: usize,
    /// Whether one of those takes their layer at all.
    taken: bool,
    needs_key_frame: bool,
}

impl Held {
    /// Whether they are of this publication.
    pub(super) fn is_of(&self, publication: usize) -> bool {
        self.next.stream.is_some_and(|stream| stream.publication == publication)
    }
}

/// What a packet is known by before it is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Next {
    pub(super) stream: Option<StreamRef>,
    pub(super) payload_type: u8,
    pub(super) sequence: u16,
    pub(super) timestamp: u32,
}

impl RoomMedia {
    /// Whether packets are held back.
    pub fn holds(&self) -> bool {
        self.held.is_some()
    }

    /// Forwards what is held back. `true` when `egress` is full before all of it is done.
    pub fn forward_held(&mut self, now: Instant, egress: &mut impl Egress) -> bool {
        let Some(mut held) = self.held.take() else { return false };
        let Some(StreamRef { publication: place, layer, .. }) = held.next.stream else { return false };
        let at = usize::from(layer);
        while let Some(&slot) = self.publications[place].subscribers.get(held.shown) {
            held.shown += 1;
            held.taken |= self.subscriptions[slot].takes(at);
            held.needs_key_frame |= self.show(now, place, slot, at, held.numbers.clone(), egress);
            if egress.is_full() {
                self.held = Some(held);
                return true;
            }
        }
        let layer = &mut self.publications[place].layers[at];
        layer.untaken = (!held.taken).then_some(self.choices);
        if held.needs_key_frame {
            layer.key_frames.want();
        }
        self.request_key_frame(now, held.peer, place, at, egress);
        false
    }

    /// Forwards all that is held back, however full `egress` is.
    pub(super) fn forward_all_held(&mut self, now: Instant, egress: &mut impl Egress) {
        while self.forward_held(now, egress) {}
    }

    /// Whether a packet with this dependency descriptor goes on with those that are held back. If not, or when there are
    /// none, they are forwarded before anything is done with it.
    pub(super) fn goes_on(&self, next: &Next, descriptor: Option<&[u8]>) -> bool {
        self.held.as_ref().is_some_and(|held| {
            held.next == *next
                && held.numbers.end() - held.numbers.start() + 1 < MAX_HELD
                && descriptor.is_none_or(|descriptor| descriptor.len() <= PLAIN_DESCRIPTOR_BYTES)
        })
    }

    /// Whether nobody takes a layer, as was seen with its last packets: a subscription would have to be granted it first.
    pub(super) fn is_untaken(&self, place: usize, at: usize) -> bool {
        self.publications[place].layers[at].untaken == Some(self.choices)
    }

    /// Holds back a packet that was just kept under `number`, if it is the newest of its layer. `false` when it is to be
    /// forwarded by itself.
    pub(super) fn hold(
        &mut self,
        now: Instant,
        peer: usize,
        stream: StreamRef,
        (payload_type, number): (u8, u64),
        arrival: &Arrival<'_>,
        egress: &mut impl Egress,
    ) -> bool {
        let goes_on = self.held.as_ref().is_some_and(|held| held.numbers.end() + 1 == number);
        if !goes_on {
            self.forward_all_held(now, egress);
        }
        let layer = &self.publications[stream.publication].layers[usize::from(stream.layer)];
        if layer.highest() != Some(number) || stream.role != Role::Media {
            return false;
        }
        let next = Next {
            stream: Some(stream),
            payload_type,
            sequence: arrival.sequence.wrapping_add(1),
            timestamp: arrival.timestamp,
        };
        match &mut self.held {
            Some(held) => {
                held.numbers = *held.numbers.start()..=number;
                held.next = next;
            }
            None => {
                let numbers = number..=number;
                self.held =
                    Some(Held { peer, numbers, next, shown: 0, taken: false, needs_key_frame: false });
            }
        }
        true
    }

    /// Shows kept packets that follow each other to every subscription.
    pub(super) fn forward(
        &mut self,
        now: Instant,
        place: usize,
        at: usize,
        numbers: RangeInclusive<u64>,
        egress: &mut impl Egress,
    ) {
        let mut needs_key_frame = false;
        for index in 0..self.publications[place].subscribers.len() {
            let slot = self.publications[place].subscribers[index];
            needs_key_frame |= self.show(now, place, slot, at, numbers.clone(), egress);
        }
        if needs_key_frame {
            self.publications[place].layers[at].key_frames.want();
        }
    }

    /// Shows kept packets to one subscription. Whether a key frame is needed.
    fn show(
        &mut self,
        now: Instant,
        place: usize,
        slot: usize,
        at: usize,
        mut numbers: RangeInclusive<u64>,
        egress: &mut impl Egress,
    ) -> bool {
        let subscription = &self.subscriptions[slot];
        if !subscription.takes(at) || (self.publications[place].withheld && !subscription.is_pinned()) {
            return false;
        }
        let mut needs_key_frame = false;
        while let Some(number) = numbers.next() {
            let before = self.subscriptions[slot].followed();
            needs_key_frame |= self.offer(now, slot, at, number, egress);
            if before != Some(at) && self.subscriptions[slot].followed() == Some(at) {
                // These end with the newest of all, and have the rest of ours among them.
                numbers = self.subscriptions[slot].missed(at, &self.publications[place].layers, number);
            }
        }
        needs_key_frame
    }

    /// Shows a kept packet to one subscription, and sends it or lets it wait. Whether a key frame is needed.
    pub(super) fn offer(
        &mut self,
        now: Instant,
        slot: usize,
        at: usize,
        number: u64,
        egress: &mut impl Egress,
    ) -> bool {
        let subscription = &mut self.subscriptions[slot];
        let place = subscription.peer;
        let peer = &mut self.peers[place];
        let publication = &mut self.publications[subscription.publication];
        let Some(stored) = publication.layers[at].ring.get(number).filter(|_| peer.is_connected()) else {
            return false;
        };
        let offer = subscription.offer(now, &publication.layers, at, publication.rtp_clock(), stored);
        let waits =
            subscription.followed() == Some(at) && subscription.waits_for_key_picture(&publication.layers);
        let out = match offer {
            Offer::Send(out) => out,
            Offer::Passed => return waits,
            Offer::NeedsKeyFrame => return true,
            Offer::NoCodec => {
                self.stats.dropped_codec_mismatch += 1;
                return waits;
            }
            Offer::TooLate => {
                self.stats.dropped_too_late += 1;
                return waits;
            }
        };
        let redundancy = peer.redundancy.level();
        if redundancy > 0 && stored.codec == CodecKind::Opus && subscription.takes_red() && !publication.plain
        {
            let ring = &publication.layers[at].ring;
            let mask = publication.red.mask(ring, number, publication.heard_from, redundancy);
            if let Some(sent) = subscription.sent(out) {
                sent.munge.redundancy = mask;
            }
        }
        let video = publication.kind == MediaKind::Video;
        if video && !peer.pacer.is_free(now) {
            let (bytes, subscription) = (stored.payload().len() as u32, subscription.id);
            let paced = Paced { slot, subscription, out, bytes, resend: false };
            self.stats.dropped_pacer_full += peer.pacer.push(paced);
            self.due_peers.no_later_than(place, peer.pacer.poll_timeout());
            return waits;
        }
        let bytes = self.sender(now, slot).emit(out, false, egress);
        if video {
            self.peers[place].pacer.spend(bytes);
        }
        waits
    }
}
