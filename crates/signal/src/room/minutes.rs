// SPDX-License-Identifier: EUPL-1.2
//! What recorders have of words: what is written to all, where the room allows that it is kept, and captions.
//!
//! **The one invariant: nobody's words are kept who is not to be recorded**, and nobody is made to have said what an agent did not hear. A
//! private message never comes here, nor does what is sealed from end to end.

use std::time::Instant;

use livekit_protocol as proto;
use parvis_meeting::{Kind, ParticipantId, text};

use super::captions::Heard;
use super::{RecordScope, RecordingNews, Room};
use crate::wire;

/// A message to all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedMessage {
    /// Its number.
    pub message: u64,
    /// Who wrote it.
    pub participant_sid: String,
    /// The same by identity.
    pub identity: String,
    /// Their name then. Of somebody who is only counted, nothing else tells it.
    pub name: String,
    /// What.
    pub text: String,
}

/// What somebody said, written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedCaption {
    /// Who said it.
    pub participant_sid: String,
    /// In which track, where that is known.
    pub track_sid: Option<String>,
    /// What.
    pub text: String,
    /// Since when they said it; it ends when this comes.
    pub from: Instant,
}

impl Room {
    /// Somebody wrote to all.
    pub(super) fn keep_message(&mut self, message: u64, identity: String, name: String, text: String) {
        let keeps = self.config.recording_chat && !self.start.withholds_chat() && !self.is_e2ee();
        if self.recorders.is_empty() || !keeps {
            return;
        }
        let author = self.meeting.by_identity(&identity).map(|author| author.id);
        let Some(author) = author.filter(|author| self.meeting.may_be_recorded(*author)) else { return };
        let Some(participant_sid) = self.sessions.get(&author).map(|session| session.sid.to_string()) else {
            return;
        };
        let kept = RecordedMessage { message, participant_sid, identity, name, text };
        self.tell_those(&RecordingNews::Chat(Box::new(kept)), |scope| *scope == RecordScope::Room);
    }

    /// It was taken back. Those who never had it know nothing of it.
    pub(super) fn forget_message(&mut self, message: u64) {
        self.tell_those(&RecordingNews::ChatRetracted { message }, |scope| *scope == RecordScope::Room);
    }

    /// Somebody sends a message; it may be part of a caption.
    pub(super) fn hear_caption(&mut self, now: Instant, sender: ParticipantId, packet: &proto::DataPacket) {
        if self.recorders.is_empty() {
            return self.captions.clear();
        }
        // What is for some is not for the record.
        let (identities, sids) = wire::destinations(packet);
        if !identities.is_empty() || !sids.is_empty() {
            return;
        }
        let before = self.captions.dropped();
        let heard = self.captions.hear(now, sender, packet);
        self.stats.captions_dropped += self.captions.dropped() - before;
        for heard in heard {
            self.keep_caption(sender, heard);
        }
    }

    fn keep_caption(&mut self, sender: ParticipantId, heard: Heard) -> Option<()> {
        let Heard { track_sid, identity, text, from } = heard;
        let track_sid = Some(track_sid).filter(|sid| !sid.is_empty());
        let speaker = match &track_sid {
            Some(sid) => self.meeting.track(*self.by_track_sid.get(sid)?)?.publisher,
            None if identity.is_empty() => sender,
            None => self.meeting.by_identity(&identity)?.id,
        };
        let sender_kind = self.meeting.participant(sender)?.kind;
        let participant = self.meeting.participant(speaker)?;
        // What others said is an agent's to write down.
        let is_known = !participant.permissions.hidden && participant.kind != Kind::Egress;
        if !is_known
            || (sender != speaker && sender_kind != Kind::Agent)
            || !self.meeting.may_be_recorded(speaker)
        {
            return None;
        }
        let identity = participant.identity.clone();
        let text = text::clean_lines("caption", &text, text.len()).ok().filter(|text| !text.is_empty())?;
        let participant_sid = self.sessions.get(&speaker)?.sid.to_string();
        let caption = RecordedCaption { participant_sid, track_sid: track_sid.clone(), text, from };
        self.tell_those(&RecordingNews::Caption(Box::new(caption)), |scope| match scope {
            RecordScope::Room => true,
            RecordScope::Participant(recorded) => *recorded == identity,
            RecordScope::Tracks(sids) => track_sid.as_ref().is_some_and(|sid| sids.contains(sid)),
        });
        Some(())
    }

    /// Tells those who record such a part of the room.
    fn tell_those(&mut self, news: &RecordingNews, records: impl Fn(&RecordScope) -> bool) {
        let recorders: Vec<ParticipantId> = self.recorders.iter().copied().collect();
        for id in recorders {
            let scope = self.sessions.get(&id).and_then(|session| session.records.as_ref());
            if scope.is_some_and(|session| records(session.scope())) {
                self.tell_recorder(id, news.clone());
            }
        }
    }
}
