// SPDX-License-Identifier: EUPL-1.2
//! What someone with the right to do so does to a room from outside: an application's server, a moderator. The requests are
//! those of the protocol's room service; which room they name was found before they come here.
//!
//! [`standing`] remembers who was removed and what was permitted, [`moderate`] acts on participants, [`settings`] on the room.

mod moderate;
mod settings;
mod standing;

use std::time::Instant;

use livekit_protocol as proto;
use parvis_meeting::{EndReason, MeetingError, ParticipantId};

use super::{ConnectError, Room};
use crate::Grants;

pub use settings::{
    CONSENT_ASK, CONSENT_TAG, RECORD_NOTHING, RECORD_TAG, RETENTION_TAG, RoomSettings, retention_days,
};
pub(crate) use standing::Standings;

/// Whose token asks. One that was revoked in this room may do nothing here any more, whatever its grants (rows 34, 44).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Actor {
    /// The identity in the token; empty for an application's server.
    pub identity: String,
    /// From when on the token counts, in seconds of Unix time.
    pub not_before: u64,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq)]
pub enum Control {
    /// What the room is.
    Describe,
    /// To change how the room behaves.
    Configure(RoomSettings),
    /// Who is there, hidden ones too.
    ListParticipants,
    /// Who bears this identity.
    GetParticipant(String),
    /// To end someone's stay and revoke its tokens.
    RemoveParticipant(proto::RoomParticipantIdentity),
    /// To silence a track, or to let it sound again.
    MuteTrack(proto::MuteRoomTrackRequest),
    /// To change someone's name, metadata, attributes and permissions.
    UpdateParticipant(Box<proto::UpdateParticipantRequest>),
    /// To change what someone receives.
    UpdateSubscriptions(proto::UpdateSubscriptionsRequest),
    /// To send a message that comes from no participant.
    SendData(proto::SendDataRequest),
    /// To change the application's text about the room.
    SetMetadata(String),
    /// Whether the actor is asked to agree to being recorded, and what it answered; with an answer, to take that.
    Consent(Option<bool>),
    /// To end the room.
    Delete,
}

/// What it came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// It is done, and there is no more to say.
    Done,
    /// The room as it is now.
    Room(Box<proto::Room>),
    /// One participant as it is now.
    Participant(Box<proto::ParticipantInfo>),
    /// All of them.
    Participants(Vec<proto::ParticipantInfo>),
    /// One track as it is now.
    Track(Box<proto::TrackInfo>),
    /// How it stands with the actor's consent.
    Consent {
        /// Whether recorders have nobody's tracks here who has not agreed.
        asked: bool,
        /// Its answer, if it gave one.
        given: Option<bool>,
    },
}

/// Why nothing was done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// The token is of someone who was removed.
    #[error("this token was revoked when its participant was removed from the room")]
    Revoked,
    /// The token is of someone who moderates no more.
    #[error("this token is from before its participant was made no moderator of the room")]
    Demoted,
    /// A moderator acts upon an owner.
    #[error("{0:?} outranks you in this meeting: only an owner can do that")]
    Outranked(String),
    /// The room is about to be gone.
    #[error("the room has ended")]
    Ended,
    /// Nobody has this identity.
    #[error("nobody with the identity {0:?} is in the room")]
    NoParticipant(String),
    /// The participant has no such track.
    #[error("the participant publishes no track {0:?}")]
    NoTrack(String),
    /// The server's configuration doesn't let microphones and cameras be turned on from afar.
    #[error("tracks may not be unmuted from afar here: rooms.remote_unmute is off")]
    MayNotUnmute,
    /// A text or a number that can't be.
    #[error(transparent)]
    Refused(#[from] MeetingError),
    /// A message is larger than participants' own may be.
    #[error("the message has {actual} bytes, at most {limit} are allowed")]
    TooLarge {
        /// Its size.
        actual: usize,
        /// The limit.
        limit: usize,
    },
    /// What tells one message from its repetition is malformed.
    #[error("the nonce has {0} bytes; it has 16, or is left out")]
    Nonce(usize),
}

impl Room {
    /// Does what someone outside asks, if its token was not revoked. Whether its grants allow it is for the caller to know.
    pub fn control(&mut self, now: Instant, actor: &Actor, control: Control) -> Result<Reply, ControlError> {
        let reply = self.act(now, actor, control);
        self.settle(now);
        reply
    }

    /// Why someone with these grants would not be let in: removed, banned, or past a door that was closed since.
    pub fn would_refuse(&self, now: Instant, grants: &Grants) -> Option<ConnectError> {
        if self.standings.is_revoked(&grants.identity, grants.not_before) {
            return Some(ConnectError::Revoked);
        }
        self.door_refuses(now, grants)
    }

    fn act(&mut self, now: Instant, actor: &Actor, control: Control) -> Result<Reply, ControlError> {
        if self.end.is_some() {
            return Err(ControlError::Ended);
        }
        if !actor.identity.is_empty() && self.standings.is_revoked(&actor.identity, actor.not_before) {
            self.stats.revoked_refused += 1;
            return Err(ControlError::Revoked);
        }
        self.check_rank(actor, &control)?;
        match control {
            Control::Describe => Ok(self.described()),
            Control::Configure(settings) => {
                self.begin();
                self.decided();
                self.configure_room(settings)
            }
            Control::ListParticipants => {
                let ids: Vec<ParticipantId> = self.meeting.participants().map(|p| p.id).collect();
                Ok(Reply::Participants(ids.into_iter().filter_map(|id| self.info(id)).collect()))
            }
            Control::GetParticipant(identity) => {
                let id = self.find(&identity)?;
                self.describe_participant(id, &identity)
            }
            Control::RemoveParticipant(request) => self.remove_participant(now, &request),
            Control::MuteTrack(request) => self.mute_track(request),
            Control::UpdateParticipant(request) => self.update_participant(now, *request),
            Control::UpdateSubscriptions(request) => self.update_subscriptions(request),
            Control::SendData(request) => self.send_data(now, request),
            Control::SetMetadata(metadata) => {
                self.configure_room(RoomSettings { metadata: Some(metadata), ..RoomSettings::default() })
            }
            Control::Consent(answer) => self.consent(now, &actor.identity, answer),
            Control::Delete => {
                self.meeting.end(EndReason::Deleted);
                Ok(Reply::Done)
            }
        }
    }

    /// Whether somebody's token still moderates, and whom (row 45): what the meeting's own commands refuse is not to be had from
    /// outside either. An application's server has no identity, and acts upon everybody.
    fn check_rank(&mut self, actor: &Actor, control: &Control) -> Result<(), ControlError> {
        if actor.identity.is_empty() || matches!(control, Control::Consent(_)) {
            return Ok(());
        }
        if self.standings.is_plain(&actor.identity, actor.not_before) {
            self.stats.revoked_refused += 1;
            return Err(ControlError::Demoted);
        }
        let target = match control {
            Control::RemoveParticipant(request) => &request.identity,
            Control::MuteTrack(request) => &request.identity,
            Control::UpdateParticipant(request) => &request.identity,
            Control::UpdateSubscriptions(request) => &request.identity,
            _ => return Ok(()),
        };
        if self.outranks(&actor.identity, target) {
            return Err(ControlError::Outranked(target.clone()));
        }
        Ok(())
    }

    fn described(&self) -> Reply {
        Reply::Room(Box::new(self.room_info()))
    }

    pub(super) fn find(&self, identity: &str) -> Result<ParticipantId, ControlError> {
        let participant = self.meeting.by_identity(identity);
        participant.map(|p| p.id).ok_or_else(|| ControlError::NoParticipant(identity.to_owned()))
    }

    fn describe_participant(&self, id: ParticipantId, identity: &str) -> Result<Reply, ControlError> {
        let info = self.info(id).ok_or_else(|| ControlError::NoParticipant(identity.to_owned()))?;
        Ok(Reply::Participant(Box::new(info)))
    }

    /// What a wall clock shows, in seconds of Unix time.
    pub(super) fn unix_seconds(&self, now: Instant) -> u64 {
        u64::try_from(self.unix_ms(now) / 1000).unwrap_or_default()
    }
}
