// SPDX-License-Identifier: EUPL-1.2
//! What this forwarder shares with others: which tracks leave by a trunk, which come by one, and what comes of them.

use std::time::Instant;

use super::Forwarder;
use super::room::Context;
use crate::media::RoomMedia;
use crate::trunk::{Carried, HERE, Trunks};
use crate::{Demand, ForwarderId, Outbox, PeerId, RoomId, TrackId, TrackState, TrunkBatch, TrunkWord};

/// How often words may go back and forth between two rooms at once.
const MAX_ROUNDS: usize = 8;

impl Forwarder {
    /// What waits for another forwarder: to be carried to its [`Forwarder::handle_trunk`], in order.
    pub fn poll_trunk(&mut self, to: ForwarderId) -> Option<TrunkBatch> {
        self.trunks.take(to)
    }

    /// Takes back a batch that could not be carried yet. What no longer fits behind it is dropped and counted.
    pub fn refuse_trunk(&mut self, to: ForwarderId, batch: TrunkBatch) {
        self.trunks.put_back(to, batch);
    }

    /// Takes a batch that was dealt with, to fill it again.
    pub fn recycle_trunk(&mut self, batch: TrunkBatch) {
        self.trunks.recycle(batch);
    }

    /// Which tracks of a room come by trunks, and from where.
    pub fn imports(&self, room: RoomId) -> Vec<(TrackId, ForwarderId)> {
        let room = self.rooms.get(&room);
        room.map(|room| room.imports.iter().map(|(track, from)| (*track, *from)).collect())
            .unwrap_or_default()
    }

    /// Which tracks of a room leave by trunks, and where to.
    pub fn exports(&self, room: RoomId) -> Vec<(TrackId, ForwarderId)> {
        let tracks = self.tracks.iter().filter(|(_, of)| **of == room).map(|(track, _)| *track);
        let Some(room) = self.rooms.get(&room) else { return Vec::new() };
        let mut exports: Vec<_> =
            tracks.flat_map(|track| room.media.exports(track).map(move |to| (track, to))).collect();
        exports.sort_unstable();
        exports
    }

    /// Takes what another forwarder says.
    pub fn handle_trunk(&mut self, now: Instant, from: ForwarderId, batch: &TrunkBatch, outbox: &mut Outbox) {
        self.forward_all_held(now, outbox);
        self.take_batch(now, from, batch, outbox);
        self.forward_all_held(now, outbox);
        self.loop_back(now, outbox);
    }

    /// Carries what one of our rooms has to say to another of them. Both ends answer each word with at most one round of
    /// words of their own, so that few rounds are enough; what is left over goes with the next input.
    pub(super) fn loop_back(&mut self, now: Instant, outbox: &mut Outbox) {
        for _ in 0..MAX_ROUNDS {
            let Some(batch) = self.trunks.take_here() else { return };
            self.take_batch(now, HERE, &batch, outbox);
            self.forward_all_held(now, outbox);
            self.trunks.recycle(batch);
        }
    }

    fn take_batch(&mut self, now: Instant, from: ForwarderId, batch: &TrunkBatch, outbox: &mut Outbox) {
        let mut room = None;
        for message in batch.iter() {
            if let Some(last) = room.replace(message.room).filter(|last| *last != message.room) {
                self.settle_media(now, last);
            }
            // At the far end of a bridge stands a room, whoever carries its words.
            let from = message.bridge.unwrap_or(from);
            if !self.handle_message(now, from, &message, outbox) {
                self.stats.trunk_strays += 1;
            }
        }
        if let Some(last) = room {
            self.settle_media(now, last);
        }
    }

    /// One message. `false` when it is about nothing that is shared with its sender.
    fn handle_message(
        &mut self,
        now: Instant,
        from: ForwarderId,
        message: &Carried<'_>,
        outbox: &mut Outbox,
    ) -> bool {
        let Carried { room: room_id, track, word, descriptor, payload, .. } = *message;
        if !(matches!(word, TrunkWord::Packet(_)) && self.held == Some(room_id)) {
            self.forward_all_held(now, outbox);
        }
        let imported = self.rooms.get(&room_id).is_some_and(|room| room.imports.get(&track) == Some(&from));
        let Some((media, mut wire)) = self.media_of(now, room_id, outbox) else { return false };
        match word {
            TrunkWord::Open | TrunkWord::Demand(_) | TrunkWord::KeyFrame { .. } => {
                return media.handle_wish(now, track, from, word, &mut wire);
            }
            _ if !imported => return false,
            TrunkWord::Packet(head) => {
                wire.stats.trunk_packets_in += 1;
                media.hold_trunk_packet(now, track, head, (descriptor, payload), &mut wire);
                self.held = media.holds().then_some(room_id);
            }
            TrunkWord::Clock(clock) => media.handle_trunk_clock(now, track, clock),
            TrunkWord::Rates(rates) => media.handle_trunk_rates(now, track, rates),
            TrunkWord::State(state) => return self.import_state(now, room_id, track, from, state),
            TrunkWord::Ended => return self.remove_import(now, track),
        }
        true
    }

    pub(super) fn export(&mut self, now: Instant, track: TrackId, to: ForwarderId) -> bool {
        self.with_room_of_track(now, track, |room| {
            // An imported track is never exported: one hop, no loops.
            !room.imports.contains_key(&track) && room.media.export(now, track, to)
        })
    }

    pub(super) fn unexport(&mut self, now: Instant, track: TrackId, to: ForwarderId) -> bool {
        // A track that ended meanwhile took its exports with it.
        self.with_room_of_track(now, track, |room| room.media.unexport(track, to));
        true
    }

    pub(super) fn import(&mut self, room_id: RoomId, track: TrackId, from: ForwarderId) -> bool {
        let Some(room) = self.rooms.get_mut(&room_id) else { return false };
        if self.tracks.contains_key(&track) {
            return false;
        }
        room.imports.insert(track, from);
        self.tracks.insert(track, room_id);
        self.stats.imports += 1;
        self.tell(from, room_id, track, TrunkWord::Open);
        true
    }

    /// It may be gone already, by the word of the other side or with the last peer here.
    pub(super) fn unimport(&mut self, now: Instant, track: TrackId) -> bool {
        let room_id = self.tracks.get(&track).copied();
        let from = room_id.and_then(|id| self.rooms.get(&id)?.imports.get(&track).copied());
        if let (Some(room_id), Some(from)) = (room_id, from) {
            self.tell(from, room_id, track, TrunkWord::Demand(Demand::default()));
            self.remove_import(now, track);
        }
        true
    }

    /// The last peer of a room is gone from here: what others send to it is of no use.
    pub(super) fn forget_imports(&mut self, room_id: RoomId) {
        let imports = self.imports(room_id);
        for (track, from) in imports {
            self.tell(from, room_id, track, TrunkWord::Demand(Demand::default()));
            self.tracks.remove(&track);
            self.stats.imports -= 1;
        }
    }

    fn remove_import(&mut self, now: Instant, track: TrackId) -> bool {
        let Some(room_id) = self.tracks.remove(&track) else { return false };
        let Some(room) = self.rooms.get_mut(&room_id) else { return false };
        room.imports.remove(&track);
        room.media.unimport(now, track);
        for subscription in room.drop_senders(now, track, &mut self.timers) {
            self.subscriptions.remove(&subscription);
        }
        self.stats.imports -= 1;
        self.settle_media(now, room_id);
        true
    }

    /// The other side says what the track is: whoever waits for it here gets it.
    fn import_state(
        &mut self,
        now: Instant,
        room_id: RoomId,
        track: TrackId,
        from: ForwarderId,
        state: &TrackState,
    ) -> bool {
        let Some(room) = self.rooms.get_mut(&room_id) else { return false };
        if !room.media.import(now, track, from, state) {
            return false;
        }
        room.codecs.insert(track, state.codecs.clone());
        let mut context = Context {
            now,
            id: PeerId(0),
            room_id,
            room,
            timers: &mut self.timers,
            events: &mut self.events,
            stats: &mut self.stats,
        };
        context.add_senders_of(track);
        true
    }

    fn tell(&mut self, to: ForwarderId, room: RoomId, track: TrackId, word: TrunkWord) {
        let taken = self.trunks.push(to, (room, track), word, &[], &[]);
        self.stats.trunk_overflow += u64::from(!taken);
    }
}

/// Tells those who have a track from here that it is over.
pub(super) fn tell_end(trunks: &mut Trunks, (room, track): (RoomId, TrackId), media: &RoomMedia) {
    for to in media.exports(track) {
        // If it finds no room, the control side's own word still ends it there.
        trunks.push(to, (room, track), TrunkWord::Ended, &[], &[]);
    }
}
