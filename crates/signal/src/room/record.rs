// SPDX-License-Identifier: EUPL-1.2
//! Recordings: whoever records is a participant that all see, and receives as any subscriber does.
//!
//! **The one invariant: nobody is recorded who could not know it.** [`Room::announce_recorder`] shows the recorder and marks the
//! room as recorded, to those who are there and in the answer to those who come; only [`Room::open_outlet`], which is called
//! after it, lets packets go to a media worker. A hidden recorder can't be made.
//!
//! Where the room asks for consent, tracks of those who have not agreed are left out ([`super::consent`]).
//!
//! A track is recorded from its first packet on, when the codec that it really comes in is known. One that is encrypted end to
//! end is left out: nobody could open it.

use std::collections::BTreeSet;
use std::time::Instant;

use livekit_protocol as proto;
use livekit_protocol::signal_response::Message as Response;
use parvis_meeting::{Kind, LeaveReason, ParticipantId, Permissions, State, TrackId};
use parvis_sfu::{Command, OutletSpec, PeerId, SubscriptionId, SubscriptionSettings};

use super::minutes::{RecordedCaption, RecordedMessage};
use super::{ConnectError, Room};
use crate::join::JoinParams;
use crate::session::Link;
use crate::{Grants, Output, wire};

/// Whoever records, as it enters its room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorder {
    /// Its identity, by which it is spoken of: the job's id.
    pub identity: String,
    /// As others see it.
    pub name: String,
    /// What it records.
    pub scope: RecordScope,
}

/// What is recorded of a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordScope {
    /// Every track of everybody.
    Room,
    /// Every track of whoever has this identity.
    Participant(String),
    /// These tracks, by their sids.
    Tracks(BTreeSet<String>),
}

/// Why a recorder is not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// As anyone else.
    #[error(transparent)]
    Refused(#[from] ConnectError),
    /// Whoever is to be recorded is not there.
    #[error("nobody with the identity {0:?} is in the room")]
    NoParticipant(String),
    /// What is to be recorded is not there.
    #[error("nobody in the room publishes a track {0:?}")]
    NoTrack(String),
    /// What is to be recorded can't be opened.
    #[error(
        "the track {0:?} is encrypted end to end: a recording of it could be opened by nobody; have it published without"
    )]
    Encrypted(String),
    /// No such recorder is there any more.
    #[error("this recorder is no longer in the room")]
    Gone,
}

/// What a media worker is to know of its room.
#[derive(Debug, Clone, PartialEq)]
pub enum RecordingNews {
    /// Somebody is there, or others see something new of it.
    Participant(Box<proto::ParticipantInfo>),
    /// Somebody left.
    Left(Box<proto::ParticipantInfo>),
    /// A track comes from now on.
    Source(Box<RecordedTrack>),
    /// It does so no more.
    SourceEnded {
        /// Which.
        track_sid: String,
    },
    /// A sender report on a track.
    Clock {
        /// Which.
        track_sid: String,
        /// What its RTP clock shows, as the worker sees it, …
        rtp_timestamp: u32,
        /// … at this moment.
        at: Instant,
    },
    /// Somebody agreed to being recorded, or does so no more.
    Consent {
        /// Who.
        participant_sid: String,
        /// Agreed, or refused.
        given: bool,
        /// When; before the recording, too.
        at: Instant,
    },
    /// Who speaks, by their sids, the loudest first.
    Speakers(Vec<String>),
    /// Somebody wrote to all, in a room that allows that it is kept.
    Chat(Box<RecordedMessage>),
    /// A message was taken back; it may be one that was never told of.
    ChatRetracted {
        /// Its number.
        message: u64,
    },
    /// What somebody said was written down.
    Caption(Box<RecordedCaption>),
    /// The recorder is no longer in the room. Nothing follows.
    Gone(proto::DisconnectReason),
}

/// A track that is recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedTrack {
    /// What it is; its MIME type is that of what comes.
    pub info: proto::TrackInfo,
    /// Whose it is.
    pub participant_sid: String,
    /// Its SSRCs follow from this.
    pub subscription: SubscriptionId,
}

/// What a recorder's session has beside what all have.
#[derive(Debug)]
pub(crate) struct Records {
    scope: RecordScope,
    /// Whether its worker takes packets.
    open: bool,
    /// Whether it was open once.
    arrived: bool,
}

impl Records {
    /// Whether packets go to its worker.
    pub(crate) fn is_open(&self) -> bool {
        self.open
    }

    /// What it records.
    pub(super) fn scope(&self) -> &RecordScope {
        &self.scope
    }
}

impl Room {
    /// Lets a recorder in, and tells everybody. Nothing is recorded before [`Room::open_outlet`].
    pub fn announce_recorder(&mut self, now: Instant, recorder: Recorder) -> Result<(), RecordError> {
        let Recorder { identity, name, scope } = recorder;
        self.check_scope(&scope)?;
        let grants = Grants {
            name,
            kind: Kind::Egress,
            permissions: Permissions {
                can_publish: false,
                can_publish_data: false,
                recorder: true,
                ..Permissions::default()
            },
            ..Grants::of(&identity)
        };
        let id = self.enter(now, grants, &JoinParams::silent(), "")?;
        if let Some(session) = self.sessions.get_mut(&id) {
            session.records = Some(Records { scope, open: false, arrived: false });
            session.join_deadline = None;
        }
        self.recorders.insert(id);
        // It is told of now, and not only when its worker is there.
        self.meeting.touch(id);
        self.begin();
        self.settle(now);
        self.tell_recording();
        Ok(())
    }

    /// Lets packets go to a recorder's worker; to another one than before, if it had one. What the worker is to know comes as
    /// [`Output::Recording`], all that there is already first.
    pub fn open_outlet(
        &mut self,
        now: Instant,
        identity: &str,
        outlet: OutletSpec,
    ) -> Result<(), RecordError> {
        let id = self.recorder(identity).ok_or(RecordError::Gone)?;
        self.stop_sources(now, id);
        let peer = PeerId(self.next_id());
        let Some(session) = self.sessions.get_mut(&id) else { return Err(RecordError::Gone) };
        let mut link = Link::new(peer);
        (link.connected, link.up) = (true, true);
        let former = std::mem::replace(&mut session.links.publisher, link);
        let Some(records) = session.records.as_mut() else { return Err(RecordError::Gone) };
        records.open = true;
        let (first, again) = (!std::mem::replace(&mut records.arrived, true), former.connected);
        self.by_peer.remove(&former.peer);
        self.by_peer.insert(peer, id);
        if again {
            self.command(Command::ClosePeer { peer: former.peer });
        }
        self.command(Command::CreateOutlet { room: self.id, peer, outlet: Box::new(outlet) });
        self.meeting.set_state(id, State::Active);
        if first {
            self.arrived(id);
        }
        self.tell_recorder_of_all(id);
        let tracks: Vec<TrackId> = self.publications.keys().copied().collect();
        for track in tracks {
            self.record(id, track);
        }
        self.settle(now);
        Ok(())
    }

    /// A recorder's worker lacks packets of a track, or a key frame where none are named.
    pub fn repair_recording(&mut self, identity: &str, track_sid: &str, lost: Vec<u16>) {
        let track = self.by_track_sid.get(track_sid);
        let session = self.recorder(identity).and_then(|id| self.sessions.get(&id));
        let subscription = track.zip(session).and_then(|(track, session)| session.subscriptions.get(track));
        if let Some(subscription) = subscription.copied() {
            self.command(Command::RepairOutlet { subscription, lost });
        }
    }

    /// A recorder leaves. No such one is no error: it may have been sent out.
    pub fn dismiss_recorder(&mut self, now: Instant, identity: &str) {
        if let Some(id) = self.recorder(identity) {
            self.meeting.leave(now, id, LeaveReason::Client);
        }
        self.settle(now);
        self.tell_recording();
    }

    /// Who records, by identity.
    pub fn recorder_identities(&self) -> Vec<String> {
        let recorders = self.recorders.iter().filter_map(|id| self.meeting.participant(*id));
        recorders.map(|recorder| recorder.identity.clone()).collect()
    }

    /// A track's first packet came, or it was announced: those who record it get it.
    pub(super) fn record_new(&mut self, track: TrackId) {
        let recorders: Vec<ParticipantId> = self.recorders.iter().copied().collect();
        for id in recorders {
            self.record(id, track);
        }
    }

    /// A recorder gets a track from now on.
    pub(super) fn source_began(&mut self, id: ParticipantId, track: TrackId, subscription: SubscriptionId) {
        if !self.recorders.contains(&id) {
            return;
        }
        let Some(mut info) = self.track_info(track) else { return };
        let Some(publisher) = self.meeting.track(track).map(|track| track.publisher) else { return };
        let Some(participant_sid) = self.sessions.get(&publisher).map(|session| session.sid.to_string())
        else {
            return;
        };
        if let Some(codec) = self.chosen_mime(subscription, track) {
            info.mime_type = codec;
        }
        self.tell_recorder(
            id,
            RecordingNews::Source(Box::new(RecordedTrack { info, participant_sid, subscription })),
        );
    }

    /// A recorder gets a track no more.
    pub(super) fn source_ended(&mut self, id: ParticipantId, track: TrackId) {
        let Some(publication) = self.publications.get(&track).filter(|_| self.recorders.contains(&id)) else {
            return;
        };
        let track_sid = publication.info.sid.clone();
        self.tell_recorder(id, RecordingNews::SourceEnded { track_sid });
    }

    /// What a recorder gets comes in another codec from now on: a file has one, so that it begins anew.
    pub(super) fn begin_sources_anew(&mut self) {
        for (id, track) in std::mem::take(&mut self.recoded) {
            let _ = self.meeting.want(id, track, false);
            let _ = self.meeting.want(id, track, true);
        }
    }

    /// A sender report came for a recorder's worker.
    pub(super) fn outlet_clock(&mut self, subscription: SubscriptionId, rtp_timestamp: u32, at: Instant) {
        let Some((id, track)) = self.by_subscription.get(&subscription).copied() else { return };
        let Some(publication) = self.publications.get(&track) else { return };
        let track_sid = publication.info.sid.clone();
        self.tell_recorder(id, RecordingNews::Clock { track_sid, rtp_timestamp, at });
    }

    /// Tells all recorders how others changed, and who left.
    pub(super) fn tell_recorders_of_changes(
        &mut self,
        gone: &[proto::ParticipantInfo],
        changed: &BTreeSet<ParticipantId>,
    ) {
        if self.recorders.is_empty() {
            return;
        }
        let visible = |id: &&ParticipantId| {
            self.meeting.participant(**id).is_some_and(|participant| !participant.permissions.hidden)
        };
        let there: Vec<_> = changed.iter().filter(visible).filter_map(|id| self.info(*id)).collect();
        let recorders: Vec<ParticipantId> = self.recorders.iter().copied().collect();
        for id in recorders {
            for info in gone.iter().filter(|info| is_recordable(info)) {
                self.tell_recorder(id, RecordingNews::Left(Box::new(info.clone())));
            }
            for info in there.iter().filter(|info| is_recordable(info)) {
                self.tell_recorder(id, RecordingNews::Participant(Box::new(info.clone())));
            }
        }
    }

    /// Tells all recorders who speaks.
    pub(super) fn tell_recorders_of_speakers(&mut self) {
        let recorders: Vec<ParticipantId> = self.recorders.iter().copied().collect();
        for id in recorders {
            self.tell_recorder(id, RecordingNews::Speakers(self.speaking_sids()));
        }
    }

    /// A recorder has left, for whichever reason.
    pub(super) fn recorder_left(&mut self, id: ParticipantId, identity: &str, reason: LeaveReason) {
        if self.recorders.remove(&id) {
            let reason = wire::disconnect_reason(reason, self.end);
            let news = RecordingNews::Gone(reason);
            self.outputs.push_back(Output::Recording { identity: identity.to_owned(), news: Box::new(news) });
        }
    }

    /// Tells everybody at once whether the room is recorded.
    fn tell_recording(&mut self) {
        let room = self.room_info();
        self.broadcast(Response::RoomUpdate(proto::RoomUpdate { room: Some(room) }));
    }

    fn tell_recorder_of_all(&mut self, id: ParticipantId) {
        let visible = self.meeting.participants().filter(|participant| !participant.permissions.hidden);
        let infos: Vec<_> = visible.filter_map(|participant| self.info(participant.id)).collect();
        for info in infos.into_iter().filter(is_recordable) {
            self.tell_recorder(id, RecordingNews::Participant(Box::new(info)));
        }
        let present: Vec<ParticipantId> = self.meeting.participants().map(|present| present.id).collect();
        for answer in present.into_iter().filter_map(|present| self.consent_news(present)).collect::<Vec<_>>()
        {
            self.tell_recorder(id, answer);
        }
        self.tell_recorder(id, RecordingNews::Speakers(self.speaking_sids()));
    }

    pub(super) fn tell_recorder(&mut self, id: ParticipantId, news: RecordingNews) {
        let open = self.sessions.get(&id).and_then(|session| session.records.as_ref());
        if open.is_none_or(|records| !records.open) {
            return;
        }
        if let Some(recorder) = self.meeting.participant(id) {
            let identity = recorder.identity.clone();
            self.outputs.push_back(Output::Recording { identity, news: Box::new(news) });
        }
    }

    /// Asks for a track on a recorder's behalf, if it records it and it comes already.
    fn record(&mut self, id: ParticipantId, track: TrackId) {
        let Some(publication) = self.publications.get(&track) else { return };
        let Some(publisher) = self.meeting.track(track).map(|track| track.publisher) else { return };
        let comes =
            publication.encodings.first().is_some_and(|first| first.started) || self.is_guest(publisher);
        let records = self.sessions.get(&id).and_then(|session| session.records.as_ref());
        let Some(records) = records.filter(|records| records.open && comes) else { return };
        let wanted = match &records.scope {
            RecordScope::Room => true,
            RecordScope::Participant(identity) => {
                self.meeting.participant(publisher).is_some_and(|publisher| publisher.identity == *identity)
            }
            RecordScope::Tracks(sids) => sids.contains(&publication.info.sid),
        };
        if !wanted {
            return;
        }
        if is_encrypted(&publication.info) {
            tracing::info!(room = %self.sid, track = publication.info.sid, "an encrypted track is not recorded");
            return;
        }
        // Quiet voices belong into a recording, however many are louder.
        if let Some(session) = self.sessions.get_mut(&id) {
            let settings = SubscriptionSettings { priority: 1, ..SubscriptionSettings::default() };
            session.settings.insert(track, settings);
        }
        let _ = self.meeting.want(id, track, true);
    }

    fn stop_sources(&mut self, now: Instant, id: ParticipantId) {
        let received: Vec<TrackId> =
            self.meeting.participant(id).into_iter().flat_map(|recorder| recorder.subscribed()).collect();
        for track in received {
            let _ = self.meeting.want(id, track, false);
        }
        self.settle(now);
    }

    fn check_scope(&self, scope: &RecordScope) -> Result<(), RecordError> {
        match scope {
            RecordScope::Room => Ok(()),
            RecordScope::Participant(identity) => {
                let visible = self.meeting.by_identity(identity).filter(|p| !p.permissions.hidden);
                visible.map(|_| ()).ok_or_else(|| RecordError::NoParticipant(identity.clone()))
            }
            RecordScope::Tracks(sids) => sids.iter().try_for_each(|sid| {
                let track = self.by_track_sid.get(sid).and_then(|track| self.publications.get(track));
                let publication = track.ok_or_else(|| RecordError::NoTrack(sid.clone()))?;
                if is_encrypted(&publication.info) {
                    return Err(RecordError::Encrypted(sid.clone()));
                }
                Ok(())
            }),
        }
    }

    /// The recorder of that identity.
    fn recorder(&self, identity: &str) -> Option<ParticipantId> {
        let participant = self.meeting.by_identity(identity)?;
        self.recorders.contains(&participant.id).then_some(participant.id)
    }

    /// Those who speak, by their sids, the loudest first.
    fn speaking_sids(&self) -> Vec<String> {
        let loudest = self.by_loudness().into_iter();
        loudest.filter_map(|id| Some(self.sessions.get(&id)?.sid.to_string())).collect()
    }
}

/// Whether a worker is told of someone: other recorders are nobody to be recorded.
fn is_recordable(info: &proto::ParticipantInfo) -> bool {
    info.kind() != proto::participant_info::Kind::Egress
}

fn is_encrypted(info: &proto::TrackInfo) -> bool {
    info.encryption() != proto::encryption::Type::None
}
