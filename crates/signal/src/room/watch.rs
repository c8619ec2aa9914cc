// SPDX-License-Identifier: EUPL-1.2
//! What a client that watches by an offer is shown: one sound and one picture, of one participant or of whoever speaks.
//!
//! It can't be asked for more media sections, so its subscriptions stay from the first answer on and change what they carry
//! ([`Command::SwitchTrack`]): when someone else speaks, and when what they carry ends. One that ends with nothing to take
//! its place is over; when none is left the session ends, and the client may come anew.

use std::time::Instant;

use parvis_meeting::{LeaveReason, ParticipantId, TrackId, TrackSource};
use parvis_peer::sdp::{MediaKind, MediaSection};
use parvis_sfu::Command;

use super::Room;
use crate::{Target, wire};

impl Room {
    /// Chooses what a new watcher sees; nothing for anyone else.
    pub(super) fn start_watching(&mut self, id: ParticipantId, sections: &[MediaSection]) {
        let Some(target) = self.watched_by(id) else { return };
        for kind in [MediaKind::Audio, MediaKind::Video] {
            let wanted = sections.iter().any(|section| section.kind == kind && section.direction.sends());
            let tracks = if wanted { self.to_watch(Some(id), &target, kind) } else { Vec::new() };
            for track in tracks {
                if self.may_receive(id, track) {
                    break;
                }
            }
        }
    }

    /// Shows the watchers of whoever speaks another one, when the one whom they hear has stopped.
    pub(super) fn follow_speakers(&mut self) {
        let watchers: Vec<ParticipantId> = self
            .sessions
            .values()
            .filter(|session| {
                session.resource.as_ref().is_some_and(|resource| resource.watches == Some(Target::Speaker))
            })
            .map(|session| session.id)
            .collect();
        for id in watchers {
            let Some(session) = self.sessions.get(&id) else { continue };
            let shown: Vec<TrackId> = session.subscriptions.keys().copied().collect();
            let heard = shown.iter().find(|track| self.kind_of(**track) == Some(MediaKind::Audio));
            let publisher = heard.or(shown.first()).and_then(|track| self.meeting.track(*track));
            if publisher.is_some_and(|track| self.speaking.contains_key(&track.publisher)) {
                continue;
            }
            for former in shown {
                let Some(kind) = self.kind_of(former) else { continue };
                let loudest = self.by_loudness().into_iter().filter(|speaker| *speaker != id);
                let next = loudest.filter_map(|speaker| self.best_track(speaker, kind)).next();
                if let Some(next) = next.filter(|next| *next != former && self.may_receive(id, *next)) {
                    self.carry(id, former, next);
                    // What it no longer sees must not come back by itself.
                    let _ = self.meeting.want(id, former, false);
                }
            }
        }
    }

    /// A watcher no longer gets a track: finds it another. Says whether there is one.
    pub(super) fn watch_another(&mut self, id: ParticipantId, former: TrackId) -> bool {
        let Some(target) = self.watched_by(id) else { return false };
        let shown = self.sessions.get(&id).is_some_and(|session| session.subscriptions.contains_key(&former));
        let Some(kind) = self.kind_of(former).filter(|_| shown) else { return false };
        for track in self.to_watch(Some(id), &target, kind) {
            if track != former && self.may_receive(id, track) {
                self.carry(id, former, track);
                return true;
            }
        }
        false
    }

    /// Ends the session of a watcher to whom nothing is left.
    pub(super) fn stop_watching_nothing(&mut self, now: Instant, id: ParticipantId) {
        if self.sees_nothing(id) {
            self.meeting.leave(now, id, LeaveReason::Ended);
        }
    }

    /// Whether someone watches, and gets nothing.
    pub(super) fn sees_nothing(&self, id: ParticipantId) -> bool {
        let session = self.sessions.get(&id).filter(|session| session.subscriptions.is_empty());
        session
            .and_then(|session| session.resource.as_ref())
            .is_some_and(|resource| resource.watches.is_some())
    }

    /// The tracks of a kind that a target has, best first.
    pub(super) fn to_watch(
        &self,
        watcher: Option<ParticipantId>,
        target: &Target,
        kind: MediaKind,
    ) -> Vec<TrackId> {
        let whom: Vec<ParticipantId> = match target {
            Target::Participant(identity) => {
                self.meeting.by_identity(identity).map(|participant| participant.id).into_iter().collect()
            }
            Target::Speaker => {
                let mut whom = self.by_loudness();
                let silent = self.meeting.participants().map(|participant| participant.id);
                whom.extend(silent.filter(|id| !self.speaking.contains_key(id)));
                whom
            }
        };
        let others = whom.into_iter().filter(|id| Some(*id) != watcher);
        others.filter_map(|id| self.best_track(id, kind)).collect()
    }

    fn watched_by(&self, id: ParticipantId) -> Option<Target> {
        self.meeting.participant(id)?;
        self.sessions.get(&id)?.resource.as_ref()?.watches.clone()
    }

    /// Those who speak, the loudest first.
    pub(super) fn by_loudness(&self) -> Vec<ParticipantId> {
        let mut speaking: Vec<(ParticipantId, f32)> =
            self.speaking.iter().map(|(id, level)| (*id, *level)).collect();
        speaking.sort_by(|one, other| other.1.total_cmp(&one.1));
        speaking.into_iter().map(|(id, _)| id).collect()
    }

    /// Of the tracks of a kind that someone shows to all: one that is not muted, and a face or a voice before a screen.
    fn best_track(&self, id: ParticipantId, kind: MediaKind) -> Option<TrackId> {
        let participant = self.meeting.participant(id).filter(|p| !p.permissions.hidden)?;
        let announced = participant.tracks().filter_map(|track| self.meeting.track(track));
        announced
            .filter(|track| track.announced && self.kind_of(track.id) == Some(kind))
            .min_by_key(|track| {
                let screen = matches!(track.source, TrackSource::ScreenShare | TrackSource::ScreenShareAudio);
                (track.muted, screen, track.id)
            })
            .map(|track| track.id)
    }

    /// Asks for a track on a watcher's behalf. Says whether it gets it; what it doesn't get is not asked for.
    fn may_receive(&mut self, id: ParticipantId, track: TrackId) -> bool {
        let asked = self.meeting.want(id, track, true).is_ok();
        let gets = asked
            && self
                .meeting
                .participant(id)
                .is_some_and(|participant| participant.subscribed().any(|t| t == track));
        if asked && !gets {
            let _ = self.meeting.want(id, track, false);
        }
        gets
    }

    /// Lets the subscription that carries one track carry another.
    fn carry(&mut self, id: ParticipantId, former: TrackId, next: TrackId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let Some(subscription) = session.subscriptions.remove(&former) else { return };
        session.subscriptions.insert(next, subscription);
        self.by_subscription.insert(subscription, (id, next));
        self.forget_choice(subscription);
        if let Some(track) = self.first_choice(subscription, next) {
            self.command(Command::SwitchTrack { subscription, track });
            self.review_choice(subscription);
        }
    }

    fn kind_of(&self, track: TrackId) -> Option<MediaKind> {
        self.publications.get(&track).map(|publication| wire::media_kind(&publication.info))
    }
}
