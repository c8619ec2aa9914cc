// SPDX-License-Identifier: EUPL-1.2
//! The door by which the media engine's packets leave: encrypted for their peer, laid into the outbox.

use std::collections::VecDeque;
use std::time::Instant;

use rustc_hash::FxHashMap;

use super::outlet::Outlet;
use super::room::{Entry, Room};
use super::{Forwarder, ForwarderStats};
use crate::media::{Egress, RoomMedia};
use crate::trunk::Trunks;
use crate::{Event, ForwarderId, Outbox, PeerId, RoomId, TrackId, TrunkWord};

/// The most that SRTP adds to an RTP packet: the 16-byte tag of AES-GCM (RFC 7714 section 8).
const RTP_OVERHEAD_BYTES: usize = 16;
/// The most that SRTCP adds: a tag and the 4 bytes of its index.
const RTCP_OVERHEAD_BYTES: usize = 16 + 4;

pub(super) struct Wire<'a> {
    pub(super) entries: &'a mut FxHashMap<PeerId, Entry>,
    pub(super) outlets: &'a mut FxHashMap<PeerId, Outlet>,
    pub(super) outbox: &'a mut Outbox,
    pub(super) stats: &'a mut ForwarderStats,
    pub(super) events: &'a mut VecDeque<(RoomId, Event)>,
    pub(super) now: Instant,
    pub(super) room: RoomId,
    pub(super) trunks: &'a mut Trunks,
}

impl Forwarder {
    /// A room's media engine, and the door for what it sends.
    pub(super) fn media_of<'a>(
        &'a mut self,
        now: Instant,
        room: RoomId,
        outbox: &'a mut Outbox,
    ) -> Option<(&'a mut RoomMedia, Wire<'a>)> {
        let Room { media, entries, outlets, .. } = self.rooms.get_mut(&room)?;
        let (stats, trunks, events) = (&mut self.stats, &mut self.trunks, &mut self.events);
        Some((media, Wire { entries, outlets, outbox, stats, events, now, room, trunks }))
    }
}

impl Wire<'_> {
    fn rtp_to_worker(
        &mut self,
        peer: PeerId,
        room: usize,
        write: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> bool {
        let Some(outlet) = self.outlets.get_mut(&peer) else { return false };
        let sent = self.outbox.push_with(outlet.path, room + RTP_OVERHEAD_BYTES, |buffer| {
            let len = write(&mut buffer[..room]).filter(|len| *len <= room)?;
            outlet.protect_rtp(buffer, len)
        });
        self.stats.rtp_out += u64::from(sent);
        self.stats.outlet_packets += u64::from(sent);
        sent
    }

    fn rtcp_to_worker(&mut self, peer: PeerId, compound: &[u8]) {
        let Some(outlet) = self.outlets.get(&peer) else { return };
        let room = self.room;
        outlet.report(self.now, compound, |event| self.events.push_back((room, event)));
    }
}

impl Egress for Wire<'_> {
    fn rtp(&mut self, peer: PeerId, room: usize, write: impl FnOnce(&mut [u8]) -> Option<usize>) -> bool {
        let Some(entry) = self.entries.get_mut(&peer) else { return self.rtp_to_worker(peer, room, write) };
        let Some(path) = entry.peer.media_path() else {
            self.stats.unsendable += 1;
            return false;
        };
        let sent = self.outbox.push_with(path, room + RTP_OVERHEAD_BYTES, |buffer| {
            let len = write(&mut buffer[..room]).filter(|len| *len <= room)?;
            entry.peer.protect_rtp(buffer, len)
        });
        self.stats.rtp_out += u64::from(sent);
        sent
    }

    fn rtcp(&mut self, peer: PeerId, compound: &[u8]) {
        let Some(entry) = self.entries.get_mut(&peer) else { return self.rtcp_to_worker(peer, compound) };
        let Some(path) = entry.peer.media_path() else {
            self.stats.unsendable += 1;
            return;
        };
        let sent = self.outbox.push_with(path, compound.len() + RTCP_OVERHEAD_BYTES, |buffer| {
            buffer[..compound.len()].copy_from_slice(compound);
            entry.peer.protect_rtcp(buffer, compound.len())
        });
        self.stats.rtcp_out += u64::from(sent);
    }

    fn is_full(&self) -> bool {
        self.outbox.is_full()
    }

    fn trunk(
        &mut self,
        to: ForwarderId,
        track: TrackId,
        word: TrunkWord,
        descriptor: &[u8],
        payload: &[u8],
    ) -> bool {
        let packet = matches!(word, TrunkWord::Packet(_));
        let taken = self.trunks.push(to, (self.room, track), word, descriptor, payload);
        self.stats.trunk_packets_out += u64::from(taken && packet);
        self.stats.trunk_overflow += u64::from(!taken);
        taken
    }
}
