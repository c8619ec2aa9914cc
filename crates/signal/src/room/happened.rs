// SPDX-License-Identifier: EUPL-1.2
//! What the outer world is told: when the room began and ended, who came and went, what was published. Each once, and in
//! the order in which people would tell it: nobody publishes before having come, and whoever leaves has taken everything
//! along before.

use livekit_protocol as proto;
use parvis_meeting::{EndReason, Participant, ParticipantId, State, TrackId};

use super::Room;
use crate::{Occurrence, OccurrenceKind, Output};

/// What was told already.
#[derive(Debug, Default)]
pub(super) struct Chronicle {
    begun: bool,
    finished: bool,
    /// Tracks of people who have just left, until their leaving is told.
    left_behind: Vec<(ParticipantId, proto::TrackInfo)>,
}

impl Room {
    /// Says that the room has begun, once. The first who joins does the same; this is for a room that is made ahead.
    pub fn begin(&mut self) {
        if !std::mem::replace(&mut self.chronicle.begun, true) {
            self.happened(OccurrenceKind::RoomStarted);
        }
    }

    /// What remains to be told of a room that ends without its own farewell: everyone is gone, and the room too.
    pub fn abandoned(&self) -> Vec<Occurrence> {
        if !self.chronicle.begun || self.chronicle.finished {
            return Vec::new();
        }
        let there = self.meeting.participants().filter(|participant| participant.state == State::Active);
        let left = there.filter_map(|participant| {
            let mut info = self.info(participant.id)?;
            info.set_state(proto::participant_info::State::Disconnected);
            info.set_disconnect_reason(proto::DisconnectReason::RoomClosed);
            Some(OccurrenceKind::ParticipantLeft { participant: info })
        });
        let finished = OccurrenceKind::RoomFinished { reason: proto::RoomEndReason::RoomEndUnknown };
        left.chain([finished]).map(|kind| Occurrence { room: self.room_info(), kind }).collect()
    }

    /// The room is over.
    pub(super) fn finished(&mut self) {
        if self.chronicle.begun && !std::mem::replace(&mut self.chronicle.finished, true) {
            let reason = match self.end {
                Some(EndReason::Empty) => proto::RoomEndReason::RoomEndIdleTimeout,
                Some(EndReason::Deleted) => proto::RoomEndReason::RoomEndApiDelete,
                Some(EndReason::Shutdown) => proto::RoomEndReason::RoomEndServerShutdown,
                Some(EndReason::TooLong) | None => proto::RoomEndReason::RoomEndUnknown,
            };
            self.happened(OccurrenceKind::RoomFinished { reason });
        }
    }

    /// Someone's media connection is up for the first time. What it published on the way is told after that.
    pub(super) fn arrived(&mut self, id: ParticipantId) {
        let Some(participant) = self.info(id) else { return };
        self.happened(OccurrenceKind::ParticipantJoined { participant });
        for track in self.announced(id) {
            self.appeared(track, id);
        }
    }

    /// Others know of a track from now on.
    pub(super) fn appeared(&mut self, track: TrackId, publisher: ParticipantId) {
        let active = |participant: &Participant| participant.state == State::Active;
        let Some(participant) =
            self.info(publisher).filter(|_| self.meeting.participant(publisher).is_some_and(active))
        else {
            return;
        };
        let muted = self.meeting.track(track).is_some_and(|track| track.muted);
        let Some(publication) = self.publications.get_mut(&track) else { return };
        if std::mem::replace(&mut publication.published_told, true) {
            return;
        }
        let track = proto::TrackInfo { muted, ..publication.info.clone() };
        self.happened(OccurrenceKind::TrackPublished { participant, track });
    }

    /// A track that was told of is gone.
    pub(super) fn vanished(&mut self, publisher: ParticipantId, track: proto::TrackInfo) {
        match self.info(publisher) {
            Some(participant) => self.happened(OccurrenceKind::TrackUnpublished { participant, track }),
            None => self.chronicle.left_behind.push((publisher, track)),
        }
    }

    /// Someone has gone.
    pub(super) fn departed(&mut self, gone: &Participant, info: &proto::ParticipantInfo) {
        let all = std::mem::take(&mut self.chronicle.left_behind);
        let (own, others): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|(publisher, _)| *publisher == gone.id);
        self.chronicle.left_behind = others;
        for (_, track) in own {
            self.happened(OccurrenceKind::TrackUnpublished { participant: info.clone(), track });
        }
        let participant = info.clone();
        self.happened(match gone.state {
            State::Active => OccurrenceKind::ParticipantLeft { participant },
            State::Joining | State::Joined => OccurrenceKind::ParticipantConnectionAborted { participant },
        });
    }

    fn happened(&mut self, kind: OccurrenceKind) {
        let room = self.room_info();
        self.outputs.push_back(Output::Happened(Box::new(Occurrence { room, kind })));
    }
}
