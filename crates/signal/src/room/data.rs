// SPDX-License-Identifier: EUPL-1.2
//! Messages between clients: who may send, to whom, and what a client that was away for a moment missed.

use std::collections::BTreeSet;
use std::time::Instant;

use bytes::Bytes;
use livekit_protocol as proto;
use livekit_protocol::data_packet::Value;
use parvis_meeting::{LeaveReason, ParticipantId, State};
use parvis_sfu::{Command, DataChannel, PeerId};

use super::Room;
use crate::mailbox::Letter;
use crate::session::Session;
use crate::wire;

impl Room {
    pub(super) fn data(&mut self, now: Instant, peer: PeerId, channel: DataChannel, payload: &[u8]) {
        let Some(sender) = self.by_peer.get(&peer).copied() else { return };
        if self.pass_on(now, sender, channel == DataChannel::Reliable, payload).is_none() {
            self.stats.data_dropped += 1;
        }
    }

    fn pass_on(&mut self, now: Instant, sender: ParticipantId, reliable: bool, payload: &[u8]) -> Option<()> {
        let session = self.sessions.get_mut(&sender)?;
        let bucket = if reliable { &mut session.reliable_data } else { &mut session.lossy_data };
        if !bucket.take(now, 1) {
            if reliable {
                // A reliable message that is dropped would break its sender's streams unseen.
                self.stats.floods += 1;
                self.meeting.leave(now, sender, LeaveReason::Violation);
            }
            return None;
        }
        let participant = self.meeting.participant(sender)?;
        if !participant.permissions.can_publish_data || payload.len() > self.config.data_bytes {
            return None;
        }
        let packet = wire::decode_data(payload).ok()?;
        if self.take_rpc(sender, &packet.known) {
            return Some(());
        }
        #[allow(deprecated)]
        let forged = matches!(packet.known.value, Some(Value::Speaker(_)));
        // Who speaks is for us to say.
        if forged {
            return None;
        }
        let sequence = packet.known.sequence;
        if reliable && sequence != 0 {
            let session = self.sessions.get_mut(&sender)?;
            if sequence <= session.last_sequence {
                return None;
            }
            session.last_sequence = sequence;
        }
        self.hear_caption(now, sender, &packet.known);

        let mut receivers = self.receivers(Some(sender), &packet.known);
        if matches!(packet.known.value, Some(Value::Metrics(_))) {
            let may = |id: &ParticipantId| {
                self.meeting.participant(*id).is_some_and(|p| p.permissions.can_subscribe_metrics)
            };
            receivers.retain(may);
        }
        let participant = self.meeting.participant(sender)?;
        let session = self.sessions.get(&sender)?;
        // A hidden participant stays so when it speaks.
        let hidden = participant.permissions.hidden;
        let sid = if hidden { "".into() } else { session.sid.clone() };
        let identity = if hidden { "" } else { participant.identity.as_str() };
        let payload = Bytes::from(wire::stamp(packet, reliable, identity, &sid));
        self.stats.data_messages += 1;
        for receiver in receivers {
            if reliable {
                let letter =
                    Letter { publisher_sid: sid.clone(), sequence, payload: payload.clone(), at: now };
                self.post(now, receiver, letter);
                self.hold_if_behind(now, (sender, &sid), receiver);
            } else {
                self.send_lossy(receiver, &payload);
            }
        }
        Some(())
    }

    /// Everyone but the sender, or those of them whom it names.
    pub(super) fn receivers(
        &self,
        sender: Option<ParticipantId>,
        packet: &proto::DataPacket,
    ) -> Vec<ParticipantId> {
        // Who came by an offer over HTTP has no data channels, nor has a recorder.
        let reads = |session: &Session| session.resource.is_none() && session.records.is_none();
        let takes_data = |id| self.sessions.get(&id).is_some_and(reads);
        let others = self
            .meeting
            .participants()
            .filter(|p| Some(p.id) != sender && p.state != State::Joining && takes_data(p.id));
        let (identities, sids) = wire::destinations(packet);
        if identities.is_empty() && sids.is_empty() {
            return others.map(|participant| participant.id).collect();
        }
        let identities: BTreeSet<&str> = identities.into_iter().collect();
        let by_sid: BTreeSet<ParticipantId> =
            sids.into_iter().filter_map(|sid| self.by_sid.get(sid).copied()).collect();
        others
            .filter(|p| identities.contains(p.identity.as_str()) || by_sid.contains(&p.id))
            .map(|participant| participant.id)
            .collect()
    }

    pub(super) fn send_lossy(&mut self, receiver: ParticipantId, payload: &Bytes) {
        let Some(session) = self.sessions.get(&receiver).filter(|session| session.can_take_data()) else {
            return;
        };
        let peer = session.links.primary().peer;
        self.command(Command::SendData { peer, channel: DataChannel::Lossy, payload: payload.clone() });
    }

    pub(super) fn post(&mut self, now: Instant, receiver: ParticipantId, letter: Letter) {
        // One who is only seen here reads nothing here.
        if self.is_guest(receiver) {
            return;
        }
        let Some(session) = self.sessions.get_mut(&receiver) else { return };
        if session.mailbox.push(letter).is_err() {
            self.stats.slow_readers += 1;
            self.meeting.leave(now, receiver, LeaveReason::MediaFailed);
            return;
        }
        self.deliver(receiver);
    }

    /// Sends again what a client that resumes does not have.
    pub(super) fn replay(&mut self, receiver: ParticipantId, states: &[proto::DataChannelReceiveState]) {
        let Some(session) = self.sessions.get_mut(&receiver).filter(|session| session.can_take_data()) else {
            return;
        };
        // A client that says nothing does not count its messages, and would take each for a new one.
        if states.is_empty() {
            return;
        }
        session.mailbox.resend_missed(states);
        self.deliver(receiver);
    }
}
