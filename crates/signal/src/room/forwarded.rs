// SPDX-License-Identifier: EUPL-1.2
//! Participants whose tracks are seen in another room as well. The room where they are (its home) tells what they
//! publish, each time that it changes; the other room has a guest in their place: someone who publishes these tracks, by
//! bridges between both rooms' media, and does nothing else. Guests are not forwarded on, so that nothing goes in circles.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use livekit_protocol as proto;
use livekit_protocol::participant_info::KindDetail;
use parvis_meeting::{
    Admission, Kind, LeaveReason, MeetingError, ParticipantId, Permissions, Profile, TrackId,
};
use parvis_sfu::{Command, ForwarderId, PeerId, Quality, RoomId, SubscriptionId};

use super::Room;
use super::publish::{Encoding, Publication};
use crate::session::{Link, Links, Session};
use crate::wire;
use crate::{Form, JoinParams, Output};

/// One participant's being seen in one other room; the owner's name for it, never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ForwardId(pub u64);

/// What another room is told of a participant.
#[derive(Debug, Clone, PartialEq)]
pub struct ForwardedView {
    /// Its room's media.
    pub room: RoomId,
    /// As others in its room see it.
    pub info: proto::ParticipantInfo,
    /// What kind of thing it is.
    pub kind: Kind,
    /// The streams of each of its tracks, by the track's sid.
    pub streams: BTreeMap<String, Vec<ForwardedStream>>,
}

/// One codec of a forwarded track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForwardedStream {
    /// Its place among the track's codecs.
    pub codec: usize,
    /// The forwarder's name for it.
    pub track: parvis_sfu::TrackId,
    /// Where it is published; filled in by the owner, who knows.
    pub at: Option<ForwarderId>,
    /// Whether its first packet came.
    pub started: bool,
}

/// Why a participant can't be seen in another room.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForwardError {
    /// Somebody there bears its identity.
    #[error("somebody in the destination has this identity")]
    Taken,
    /// It is a guest itself.
    #[error("the participant comes from another room itself: forward it from there")]
    Guest,
    /// It is hidden: others must not see it.
    #[error("the participant is hidden")]
    Hidden,
    /// The other room refuses.
    #[error(transparent)]
    Refused(#[from] MeetingError),
}

/// Who is seen elsewhere, and who is seen here from elsewhere.
#[derive(Debug, Default)]
pub(super) struct Forwards {
    /// Of participants here: whose, and what keeps their layers coming.
    away: BTreeMap<ForwardId, (ParticipantId, BTreeMap<TrackId, SubscriptionId>)>,
    guests: BTreeMap<ForwardId, ParticipantId>,
    by_guest: BTreeMap<ParticipantId, ForwardId>,
}

impl Forwards {
    /// Whether someone is only seen here.
    pub(super) fn has(&self, id: ParticipantId) -> bool {
        self.by_guest.contains_key(&id)
    }
}

impl Room {
    /// Has whoever bears this identity seen in another room: [`Output::Forwarded`] tells what that room's
    /// [`Room::take_guest`] is to be given, now and whenever it changes. `None`: nobody does.
    pub fn forward(
        &mut self,
        now: Instant,
        identity: &str,
        forward: ForwardId,
    ) -> Option<Result<(), ForwardError>> {
        let participant = self.meeting.by_identity(identity)?;
        let id = participant.id;
        if participant.permissions.hidden {
            return Some(Err(ForwardError::Hidden));
        }
        if self.forwards.has(id) {
            return Some(Err(ForwardError::Guest));
        }
        self.forwards.away.insert(forward, (id, BTreeMap::new()));
        self.tell_forward(forward);
        self.settle(now);
        Some(Ok(()))
    }

    /// The other room has no place for it any more.
    pub fn stop_forward(&mut self, now: Instant, forward: ForwardId) {
        if let Some((_, wishes)) = self.forwards.away.remove(&forward) {
            for wish in wishes.into_values() {
                self.dynacast.forget(wish);
            }
        }
        self.settle(now);
    }

    /// Whether a guest of these grants could come in.
    pub fn check_guest(&self, identity: &str) -> Result<(), ForwardError> {
        match self.meeting.by_identity(identity) {
            Some(_) => Err(ForwardError::Taken),
            None => Ok(()),
        }
    }

    /// Takes in what another room tells of a participant of its own. What it no longer publishes ends here, too.
    pub fn take_guest(
        &mut self,
        now: Instant,
        forward: ForwardId,
        view: ForwardedView,
    ) -> Result<(), ForwardError> {
        let id = match self.forwards.guests.get(&forward) {
            Some(id) => *id,
            None => self.admit_guest(now, forward, &view)?,
        };
        let profile = parvis_meeting::ProfileUpdate {
            name: Some(view.info.name.clone()),
            metadata: Some(view.info.metadata.clone()),
            attributes: view.info.attributes.clone().into_iter().collect(),
        };
        let known = self.meeting.set_profile(id, profile);
        self.take_guest_tracks(id, view);
        self.settle(now);
        Ok(known?)
    }

    /// Whoever was forwarded is gone.
    pub fn drop_guest(&mut self, now: Instant, forward: ForwardId) {
        if let Some(id) = self.forwards.guests.remove(&forward) {
            self.meeting.leave(now, id, LeaveReason::Client);
        }
        self.settle(now);
    }

    /// Whether someone is only seen here, and is in another room.
    pub(super) fn is_guest(&self, id: ParticipantId) -> bool {
        self.forwards.has(id)
    }

    /// What is told of someone's kind besides.
    pub(super) fn kind_details(&self, id: ParticipantId) -> Vec<i32> {
        if self.is_guest(id) { vec![KindDetail::Forwarded.into()] } else { Vec::new() }
    }

    /// Someone changed who may be seen elsewhere.
    pub(super) fn tell_forwards(&mut self, id: ParticipantId) {
        let of: Vec<ForwardId> = self
            .forwards
            .away
            .iter()
            .filter(|(_, (whose, _))| *whose == id)
            .map(|(forward, _)| *forward)
            .collect();
        for forward in of {
            self.tell_forward(forward);
        }
    }

    /// Someone left: it is seen nowhere any more.
    pub(super) fn end_forwards(&mut self, id: ParticipantId) {
        let forward = self.forwards.by_guest.remove(&id);
        if let Some(forward) = forward.filter(|forward| self.forwards.guests.remove(forward).is_some()) {
            self.outputs.push_back(Output::GuestGone { forward });
        }
        let outputs = &mut self.outputs;
        let dynacast = &mut self.dynacast;
        self.forwards.away.retain(|forward, (whose, wishes)| {
            if *whose != id {
                return true;
            }
            wishes.values().for_each(|wish| dynacast.forget(*wish));
            outputs.push_back(Output::Forwarded { forward: *forward, view: None });
            false
        });
    }

    fn tell_forward(&mut self, forward: ForwardId) {
        let Some(id) = self.forwards.away.get(&forward).map(|(id, _)| *id) else { return };
        let (Some(info), Some(participant)) = (self.info(id), self.meeting.participant(id)) else { return };
        let kind = participant.kind;
        let mut streams = BTreeMap::new();
        for track in self.announced(id) {
            let Some(publication) = self.publications.get(&track) else { continue };
            let stream = |encoding: &Encoding| ForwardedStream {
                codec: encoding.codec,
                track: encoding.track,
                at: None,
                started: encoding.started,
            };
            let sid = publication.info.sid.clone();
            streams.insert(sid, publication.encodings.iter().map(stream).collect());
            self.keep_layers(forward, track);
        }
        let view = ForwardedView { room: self.id, info, kind, streams };
        self.outputs.push_back(Output::Forwarded { forward, view: Some(Box::new(view)) });
    }

    /// Somebody elsewhere may look at a track: its publisher goes on sending all layers of its first codec.
    fn keep_layers(&mut self, forward: ForwardId, track: TrackId) {
        let wish = SubscriptionId(self.next_id());
        let Some((_, wishes)) = self.forwards.away.get_mut(&forward) else { return };
        let wish = *wishes.entry(track).or_insert(wish);
        self.dynacast.want(wish, track, [Some(Quality::High), None, None, None]);
    }

    fn admit_guest(
        &mut self,
        now: Instant,
        forward: ForwardId,
        view: &ForwardedView,
    ) -> Result<ParticipantId, ForwardError> {
        self.check_guest(&view.info.identity)?;
        let admission = Admission {
            identity: view.info.identity.clone(),
            profile: Profile::default(),
            kind: view.kind,
            permissions: Permissions {
                can_subscribe: false,
                can_publish_data: false,
                ..Permissions::default()
            },
            auto_subscribe: false,
        };
        let id = self.meeting.admit(now, admission)?;
        let sid: Arc<str> = self.make_sid("PA_").into();
        // It has no connection here: no forwarder ever hears of this peer.
        let publisher = Link::new(PeerId(0));
        let links = Links { form: Form::Dual, publisher, subscriber: None, subscriber_primary: false };
        let mut session = Session::new(&self.config, now, id, sid.clone(), &guest_params(&view.info), links);
        session.joined_at_ms = view.info.joined_at_ms;
        session.join_deadline = None;
        self.sessions.insert(id, session);
        self.renew_deadline(id);
        self.by_sid.insert(sid, id);
        self.forwards.guests.insert(forward, id);
        self.forwards.by_guest.insert(id, forward);
        self.meeting.set_state(id, parvis_meeting::State::Active);
        Ok(id)
    }

    fn take_guest_tracks(&mut self, id: ParticipantId, view: ForwardedView) {
        let own: Vec<TrackId> = self.meeting.participant(id).into_iter().flat_map(|p| p.tracks()).collect();
        for track in own {
            let sid = self.publications.get(&track).map(|publication| publication.info.sid.as_str());
            if !sid.is_some_and(|sid| view.streams.contains_key(sid)) {
                self.meeting.unpublish(track);
            }
        }
        for info in view.info.tracks {
            let Some(streams) = view.streams.get(&info.sid) else { continue };
            let muted = info.muted;
            let known = self.by_track_sid.get(&info.sid).copied();
            let Some(track) = known.or_else(|| self.publish_guest_track(id, &info)) else { continue };
            if let Some(publication) = self.publications.get_mut(&track) {
                let changed = proto::TrackInfo { version: publication.info.version, ..info.clone() };
                if publication.info != changed {
                    publication.info = changed;
                    self.meeting.touch_track(track);
                }
            }
            for stream in streams {
                self.adopt(view.room, track, stream);
            }
            if known.is_none() {
                self.meeting.announce(track);
                self.record_new(track);
                self.watch_wishes(track);
            }
            if self.meeting.set_muted(id, track, muted).is_err() {
                tracing::debug!(room = %self.sid, sid = info.sid, "a guest's track is gone");
            }
        }
    }

    fn publish_guest_track(&mut self, id: ParticipantId, info: &proto::TrackInfo) -> Option<TrackId> {
        let track = self.meeting.publish(id, wire::source(info.source()), info.muted).ok()?;
        self.by_track_sid.insert(info.sid.clone(), track);
        let publication = Publication {
            info: info.clone(),
            encodings: Vec::new(),
            regressed: false,
            subscribed_told: true,
            published_told: false,
            asked_for: false,
        };
        self.publications.insert(track, publication);
        Some(track)
    }

    /// Makes a stream of another room's known to the forwarders of this one.
    fn adopt(&mut self, room: RoomId, track: TrackId, stream: &ForwardedStream) {
        let own = parvis_sfu::TrackId(self.next_id());
        let cid = format!("{}", stream.track.0);
        let Some(publication) = self.publications.get_mut(&track) else { return };
        if let Some(known) = publication.encodings.iter_mut().find(|encoding| encoding.cid == cid) {
            if stream.started && !std::mem::replace(&mut known.started, true) && stream.codec > 0 {
                self.review_choices(track);
            }
            return;
        }
        let Some(at) = stream.at else { return };
        publication.encodings.push(Encoding {
            cid,
            track: own,
            codec: stream.codec,
            started: stream.started,
        });
        let count = publication.info.codecs.len();
        self.by_forwarded.insert(own, track);
        self.dynacast.grow(track, count);
        self.command(Command::Adopt { track: own, at, room, of: stream.track });
    }
}

/// As a client joins that says nothing of itself.
fn guest_params(info: &proto::ParticipantInfo) -> JoinParams {
    JoinParams {
        form: Form::Dual,
        client: proto::ClientInfo {
            client_protocol: info.client_protocol,
            capabilities: info.capabilities.clone(),
            ..Default::default()
        },
        ..JoinParams::silent()
    }
}
