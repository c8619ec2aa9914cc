// SPDX-License-Identifier: EUPL-1.2
//! What changed, told to everyone: within one call all changes of all participants make one message; numbers and
//! qualities make one a second.
//!
//! In a room beyond [`crate::RoomConfig::roster_limit`] clients hear of those on stage only, who publish something, and of
//! themselves; the others are a number. Who steps on the stage is told of then. Whoever was told of once is known: its
//! changes and its leaving are told as well. When the room has shrunk, all are told of again.

use std::collections::BTreeSet;
use std::time::Instant;

use livekit_protocol as proto;
use livekit_protocol::signal_response::Message as Response;
use parvis_meeting::{Event, LeaveReason, ParticipantId, TrackId};

use super::Room;
use crate::Output;
use crate::wire::{self, Encoded};

/// What is still to be told.
#[derive(Debug, Default)]
pub(super) struct News {
    changed: BTreeSet<ParticipantId>,
    /// Which tracks whom is kept from: told after the tracks themselves.
    pub(super) allowed: Vec<(ParticipantId, proto::SubscriptionPermissionUpdate)>,
    gone: Vec<proto::ParticipantInfo>,
    room_changed: bool,
    qualities: BTreeSet<ParticipantId>,
    digest_at: Option<Instant>,
}

/// Whom clients were told of.
#[derive(Debug)]
pub(super) struct Roster {
    /// Everyone: the room is small.
    whole: bool,
    known: BTreeSet<ParticipantId>,
}

impl Default for Roster {
    fn default() -> Self {
        Roster { whole: true, known: BTreeSet::new() }
    }
}

impl Roster {
    /// Someone left; whether clients were told of it.
    pub(super) fn forget(&mut self, id: ParticipantId) -> bool {
        self.known.remove(&id)
    }
}

impl News {
    pub(super) fn gone(&mut self, info: proto::ParticipantInfo) {
        self.gone.push(info);
    }

    pub(super) fn digest_at(&self) -> Option<Instant> {
        self.digest_at
    }
}

impl Room {
    /// Does what the meeting's rules make of the last call, and tells everyone.
    pub(super) fn settle(&mut self, now: Instant) {
        self.conducted.now = now;
        while let Some(event) = self.meeting.poll_event() {
            match event {
                Event::Joined(id) => {
                    self.news.changed.insert(id);
                }
                Event::Updated(id) => {
                    self.news.changed.insert(id);
                    self.review_data_tracks(id);
                    self.renamed_in_meeting(id);
                }
                Event::Left { participant, reason } => {
                    self.news.changed.remove(&participant.id);
                    self.left(&participant, reason);
                }
                Event::Unpublished { track, publisher } => self.unpublished(track, publisher),
                Event::Subscribed { subscriber, track } => self.subscribed(subscriber, track),
                Event::Unsubscribed { subscriber, track } => self.unsubscribed(now, subscriber, track),
                Event::SubscriptionAllowed { subscriber, track, allowed } => {
                    self.subscription_allowed(subscriber, track, allowed);
                }
                Event::RoomChanged => {
                    self.news.room_changed = true;
                    self.digest_in_time(now);
                    self.renew_roster();
                }
                Event::Ended(reason) => {
                    self.end = Some(reason);
                    let everyone: Vec<ParticipantId> = self.meeting.participants().map(|p| p.id).collect();
                    for id in everyone {
                        self.meeting.leave(now, id, LeaveReason::Ended);
                    }
                }
            }
        }
        self.hold_for_members(now);
        self.tell_changes();
        if !self.recoded.is_empty() {
            self.begin_sources_anew();
            return self.settle(now);
        }
        for (subscriber, update) in std::mem::take(&mut self.news.allowed) {
            self.send(subscriber, Response::SubscriptionPermissionUpdate(update));
        }
        self.tell_handles();
        self.settle_dynacast(now);
        if self.end.is_some() && self.sessions.is_empty() && !std::mem::replace(&mut self.end_told, true) {
            self.finished();
            self.end_meeting();
            self.outputs.push_back(Output::Ended);
        }
    }

    fn tell_changes(&mut self) {
        let gone = std::mem::take(&mut self.news.gone);
        let changed = std::mem::take(&mut self.news.changed);
        if gone.is_empty() && changed.is_empty() {
            return;
        }
        for id in &changed {
            self.tell_forwards(*id);
        }
        for session in self.sessions.values_mut().filter(|session| session.waiting_until.is_some()) {
            if session.missed.len() + gone.len() > self.config.missed_departures {
                session.missed.clear();
                session.missed_too_much = true;
            } else if !session.missed_too_much {
                session.missed.extend(gone.iter().cloned());
            }
        }
        self.tell_recorders_of_changes(&gone, &changed);
        // Those who left go first: clients keep their list by identity, and one may be back already.
        let mut participants = gone;
        for id in changed {
            let Some(info) = self.info(id) else { continue };
            if self.meeting.participant(id).is_some_and(|p| p.permissions.hidden) {
                let alone = proto::ParticipantUpdate { participants: vec![info] };
                self.send(id, Response::Update(alone));
            } else if self.roster.whole || self.roster.known.contains(&id) || self.is_on_stage(id) {
                self.roster.known.insert(id);
                participants.push(info);
            } else {
                let alone = proto::ParticipantUpdate { participants: vec![info] };
                self.send(id, Response::Update(alone));
            }
        }
        if !participants.is_empty() {
            self.broadcast(Response::Update(proto::ParticipantUpdate { participants }));
        }
    }

    /// Sees whether the room has become too large for everyone to be told of everyone, or small enough again. In
    /// between it stays as it was, so that one who comes and goes does not make a list for everyone each time.
    fn renew_roster(&mut self) {
        let limit = self.config.roster_limit;
        let visible = || self.meeting.participants().filter(|participant| !participant.permissions.hidden);
        if self.roster.whole {
            self.roster.whole = visible().count() <= limit;
        } else if visible().count() <= limit - limit / 4 {
            self.roster.whole = true;
            // Who came late does not even know those who are known.
            let everyone: Vec<ParticipantId> = visible().map(|participant| participant.id).collect();
            self.news.changed.extend(everyone);
        }
    }

    /// Whether someone publishes, or records.
    fn is_on_stage(&self, id: ParticipantId) -> bool {
        // Who records is never one of a number.
        let records = self.meeting.participant(id).is_some_and(|p| p.permissions.recorder);
        records || !self.announced(id).is_empty() || self.data_tracks.publishes(id)
    }

    /// Those whom one who joins is told of.
    pub(super) fn roster_infos(&self) -> Vec<proto::ParticipantInfo> {
        let visible = self.meeting.participants().filter(|participant| !participant.permissions.hidden);
        let told = visible.filter(|participant| self.roster.whole || self.is_on_stage(participant.id));
        told.filter_map(|participant| self.info(participant.id)).collect()
    }

    /// Whether others were told of someone.
    pub(super) fn is_known(&self, id: ParticipantId) -> bool {
        self.roster.known.contains(&id)
    }

    /// Those whom others were told of: what one who comes back may have missed.
    pub(super) fn known_infos(&self) -> Vec<proto::ParticipantInfo> {
        let known = self.roster.known.iter();
        known.filter_map(|id| self.info(*id)).collect()
    }

    pub(super) fn info(&self, id: ParticipantId) -> Option<proto::ParticipantInfo> {
        let participant = self.meeting.participant(id)?;
        let session = self.sessions.get(&id)?;
        let tracks = self.announced(id).into_iter().filter_map(|track| self.track_info(track)).collect();
        let state = Some(participant.state);
        let (sid, joined) = (&session.sid, session.joined_at_ms);
        let mut info = wire::participant_info(participant, state, sid, &session.client, joined, tracks);
        info.data_tracks = self.data_tracks.infos(id);
        info.kind_details = self.kind_details(id);
        Some(info)
    }

    /// One track's description, as it is now.
    pub(super) fn track_info(&self, id: TrackId) -> Option<proto::TrackInfo> {
        let track = self.meeting.track(id)?;
        let publisher = self.meeting.participant(track.publisher)?;
        let session = self.sessions.get(&track.publisher)?;
        let mut info = self.publications.get(&id)?.info.clone();
        info.muted = track.muted;
        info.version = Some(wire::timed_version(session.joined_at_ms, publisher.version));
        Some(info)
    }

    pub(super) fn room_info(&self) -> proto::Room {
        let limits = self.meeting.limits();
        let seconds = |duration: std::time::Duration| u32::try_from(duration.as_secs()).unwrap_or(u32::MAX);
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let codecs = self.config.publish_codecs.iter();
        proto::Room {
            sid: self.sid.clone(),
            name: self.name.clone(),
            empty_timeout: seconds(limits.empty_timeout),
            departure_timeout: seconds(limits.departure_timeout),
            max_participants: number(limits.seats.unwrap_or(limits.participants)),
            creation_time: self.started_unix_ms / 1000,
            creation_time_ms: self.started_unix_ms,
            enabled_codecs: codecs
                .map(|(mime, fmtp)| proto::Codec { mime: mime.clone(), fmtp_line: fmtp.clone() })
                .collect(),
            metadata: self.metadata.clone(),
            num_participants: number(self.meeting.attendance()),
            num_publishers: number(self.meeting.publishers()),
            active_recording: self.meeting.recording(),
            ..Default::default()
        }
    }

    /// Someone's connection does better or worse.
    pub(super) fn quality_changed(&mut self, now: Instant, id: ParticipantId) {
        self.news.qualities.insert(id);
        self.digest_in_time(now);
    }

    /// Someone wants to know how everyone's connection does.
    pub(super) fn qualities_wanted(&mut self, now: Instant) {
        self.digest_in_time(now);
    }

    fn digest_in_time(&mut self, now: Instant) {
        self.news.digest_at.get_or_insert(now + self.config.digest_interval);
    }

    /// Tells the room's numbers, and how connections do.
    pub(super) fn digest(&mut self, now: Instant) {
        if self.news.digest_at.is_none_or(|at| at > now) {
            return;
        }
        self.news.digest_at = None;
        if std::mem::take(&mut self.news.room_changed) {
            let room = self.room_info();
            self.broadcast(Response::RoomUpdate(proto::RoomUpdate { room: Some(room) }));
        }
        let changed = std::mem::take(&mut self.news.qualities);
        let known = &self.roster.known;
        let mut some = self.qualities(|id| changed.contains(&id) && known.contains(&id));
        let mut all = self.qualities(|id| known.contains(&id));
        let strangers: Vec<ParticipantId> = changed.difference(known).copied().collect();
        for id in strangers {
            // Others would not know of whom this is.
            if let Some(mut own) = self.qualities(|other| other == id) {
                self.send_encoded(id, &mut own);
            }
        }
        let due: Vec<(ParticipantId, bool)> = self
            .sessions
            .values_mut()
            .filter(|session| session.socket.is_some())
            .map(|session| (session.id, std::mem::take(&mut session.qualities_due)))
            .collect();
        for (id, everything) in due {
            if let Some(message) = if everything { &mut all } else { &mut some } {
                self.send_encoded(id, message);
            }
        }
    }

    fn qualities(&self, of: impl Fn(ParticipantId) -> bool) -> Option<Encoded> {
        let visible = |id| self.meeting.participant(id).is_some_and(|p| !p.permissions.hidden);
        let updates: Vec<proto::ConnectionQualityInfo> = self
            .sessions
            .values()
            .filter(|session| of(session.id) && visible(session.id))
            .filter_map(|session| {
                let quality = session.links.quality()?;
                Some(proto::ConnectionQualityInfo {
                    participant_sid: session.sid.to_string(),
                    quality: quality.into(),
                    score: score(quality),
                })
            })
            .collect();
        (!updates.is_empty())
            .then(|| Encoded::new(Response::ConnectionQuality(proto::ConnectionQualityUpdate { updates })))
    }
}

/// On the scale of mean opinion scores, 1 to 5.
fn score(quality: proto::ConnectionQuality) -> f32 {
    match quality {
        proto::ConnectionQuality::Excellent => 4.5,
        proto::ConnectionQuality::Good => 3.5,
        proto::ConnectionQuality::Poor => 2.0,
        proto::ConnectionQuality::Lost => 1.0,
    }
}
