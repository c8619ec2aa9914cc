// SPDX-License-Identifier: EUPL-1.2
//! Who is there, as the meeting is told of it: everybody who takes part, whether or not they open the meeting's socket. Recorders, agents,
//! streams and whoever an application has hidden do not conduct and are not conducted.

use std::time::{Duration, Instant};

use parvis_meeting::assembly::{Presence, Rights, Role, Source};
use parvis_meeting::{Kind, LeaveReason, Participant, ParticipantId, Permissions, TrackId, TrackSource};

use super::GUEST;
use crate::Grants;
use crate::room::{ConnectError, Room};

/// Who speaks is reported when it changes, which is several times a second while somebody does; a longer gap is a fault.
const LONGEST_REPORT: Duration = Duration::from_secs(60);

/// What somebody who comes in may do: what the token says, and that within what the meeting allows.
#[derive(Debug)]
pub(in crate::room) struct Arrived {
    /// What the token says.
    pub(in crate::room) granted: Permissions,
    /// Whether the meeting knows of it.
    pub(in crate::room) takes_part: bool,
}

impl Room {
    /// Tells the meeting of somebody who is about to come in, and leaves of what the token allows what the meeting does.
    pub(in crate::room) fn arrive(
        &mut self,
        now: Instant,
        grants: &mut Grants,
    ) -> Result<Arrived, ConnectError> {
        let granted = grants.permissions.clone();
        if !takes_part(grants.kind, &granted) {
            return Ok(Arrived { granted, takes_part: false });
        }
        let identity = grants.identity.clone();
        let demoted = self.standings.is_plain(&identity, grants.not_before);
        grants.beside.room_admin &= !demoted;
        let role = grants.beside.room_admin.then_some(Role::Moderator);
        if let Some(refused) = self.door_refuses(now, grants) {
            self.stats.revoked_refused += 1;
            return Err(refused);
        }
        let presence = Presence {
            identity: identity.clone(),
            name: grants.name.clone(),
            role,
            seat: Some(identity.clone()),
        };
        let unix_ms = self.clock(now);
        self.conducted.assembly.entered(now, unix_ms, presence);
        // Whoever is banned is not one of them.
        let Some(role) = self.conducted.assembly.role(&identity) else {
            self.stats.revoked_refused += 1;
            return Err(ConnectError::Revoked);
        };
        let rights = self.conducted.assembly.rights(&identity);
        grants.permissions = Permissions { hidden: role == Role::Viewer, ..within(&granted, rights) };
        self.conducted.entered.insert(identity);
        Ok(Arrived { granted, takes_part: true })
    }

    /// Why the meeting's door does not let somebody in. An application's token is a sign-in, and passes it for all but a ban; one of the
    /// door's own is from a time at which the door may have stood more open.
    pub(in crate::room) fn door_refuses(&self, now: Instant, grants: &Grants) -> Option<ConnectError> {
        if !takes_part(grants.kind, &grants.permissions) {
            return None;
        }
        let (assembly, identity) = (&self.conducted.assembly, grants.identity.as_str());
        // That the room is full, or over, it says itself; who would not be let in as a moderator then is banned.
        let has_place = self.meeting.full_for(grants.kind).is_none() && self.end.is_none();
        if has_place && !assembly.may_enter(now, identity, Some(Role::Moderator)) {
            return Some(ConnectError::Revoked);
        }
        let role = grants.beside.room_admin.then_some(Role::Moderator);
        let closed = identity.starts_with(GUEST) && !assembly.may_enter(now, identity, role);
        closed.then_some(ConnectError::Door)
    }

    /// Somebody who is in is back with a token that may say something else: the meeting says what that is worth.
    pub(in crate::room) fn arrive_anew(&mut self, now: Instant, id: ParticipantId) {
        let Some(session) = self.sessions.get_mut(&id).filter(|session| session.takes_part) else { return };
        let Some(participant) = self.meeting.participant(id) else { return };
        let identity = participant.identity.clone();
        session.beside.room_admin &= !self.standings.is_plain(&identity, session.not_before);
        let moderates = self.conducted.assembly.role(&identity).is_some_and(Role::is_moderator);
        if moderates == session.beside.room_admin {
            return;
        }
        // A token of the door's own says nothing against what somebody was made since.
        let plain = (!identity.starts_with(GUEST)).then(|| self.conducted.assembly.policy().default_role);
        let role = if session.beside.room_admin { Some(Role::Moderator) } else { plain };
        let (name, seat) = (participant.profile.name.clone(), Some(identity.clone()));
        let unix_ms = self.clock(now);
        let presence = Presence { identity: identity.clone(), name, role, seat };
        self.conducted.assembly.entered(now, unix_ms, presence);
        self.conducted.entered.insert(identity);
        for source in [TrackSource::Microphone, TrackSource::Camera, TrackSource::ScreenShare] {
            self.tell_source(id, source);
        }
    }

    /// Somebody of whom the meeting was told did not come in after all.
    pub(in crate::room) fn not_arrived(&mut self, now: Instant, identity: &str, arrived: &Arrived) {
        if arrived.takes_part && self.meeting.by_identity(identity).is_none() {
            self.gone_from_meeting(now, identity);
        }
    }

    /// Somebody has left.
    pub(in crate::room) fn left_meeting(&mut self, participant: &Participant, reason: LeaveReason) {
        if !self.sessions.get(&participant.id).is_some_and(|session| session.takes_part) {
            return;
        }
        let identity = &participant.identity;
        if reason == LeaveReason::Replaced {
            // It is there by another connection, which publishes nothing yet.
            for source in [Source::Microphone, Source::Camera, Source::Screen] {
                self.conducted.assembly.publishing(identity, source, false);
            }
        } else {
            self.gone_from_meeting(self.conducted.now, identity);
        }
    }

    fn gone_from_meeting(&mut self, now: Instant, identity: &str) {
        let unix_ms = self.clock(now);
        self.conducted.entered.remove(identity);
        self.conducted.assembly.left(now, unix_ms, identity);
        // Whoever is in a breakout room still hears of the meeting.
        let stays = self.conducted.assembly.role(identity).is_some();
        if let Some(socket) = self.conducted.sockets.get_mut(identity).filter(|_| !stays) {
            socket.absent_since = Some(now);
        }
    }

    /// What somebody shows of itself may be something else.
    pub(in crate::room) fn renamed_in_meeting(&mut self, id: ParticipantId) {
        if !self.sessions.get(&id).is_some_and(|session| session.takes_part) {
            return;
        }
        if let Some(participant) = self.meeting.participant(id) {
            self.conducted.assembly.renamed(&participant.identity, &participant.profile.name);
        }
    }

    /// A track of somebody's can be seen or heard now, or no more.
    pub(in crate::room) fn tell_publishing(&mut self, track: TrackId) {
        let Some(track) = self.meeting.track(track) else { return };
        let (publisher, kind) = (track.publisher, track.source);
        self.tell_source(publisher, kind);
    }

    /// Tells the meeting whether anything of a source is on.
    pub(in crate::room) fn tell_source(&mut self, publisher: ParticipantId, kind: TrackSource) {
        let Some(source) = Source::of(kind) else { return };
        if !self.sessions.get(&publisher).is_some_and(|session| session.takes_part) {
            return;
        }
        let Some(participant) = self.meeting.participant(publisher) else { return };
        let tracks = participant.tracks().filter_map(|track| self.meeting.track(track));
        let mut same = tracks.filter(|track| Source::of(track.source) == Some(source));
        let on = same.any(|track| track.announced && !track.muted);
        self.conducted.assembly.publishing(&participant.identity, source, on);
    }

    /// Adds the time since the last report to those who have spoken since then.
    pub(in crate::room) fn note_speech(&mut self, now: Instant) {
        let heard_at = self.conducted.heard_at.replace(now);
        let Some(time) = heard_at.map(|at| now.saturating_duration_since(at).min(LONGEST_REPORT)) else {
            return;
        };
        for id in self.speaking.keys() {
            if let Some(participant) = self.meeting.participant(*id) {
                self.conducted.assembly.spoke(&participant.identity, time);
            }
        }
    }

    /// Whether somebody may turn its microphone on.
    pub(in crate::room) fn may_unmute(&self, id: ParticipantId, source: TrackSource) -> bool {
        let Some(participant) = self.meeting.participant(id).filter(|_| source == TrackSource::Microphone)
        else {
            return true;
        };
        !self.sessions.get(&id).is_some_and(|session| session.takes_part)
            || self.conducted.assembly.rights(&participant.identity).unmute
    }
}

/// Whether the meeting knows of somebody.
fn takes_part(kind: Kind, granted: &Permissions) -> bool {
    matches!(kind, Kind::Standard | Kind::Sip) && !granted.hidden && !granted.recorder
}

/// What of `granted` the meeting allows.
pub(super) fn within(granted: &Permissions, rights: Rights) -> Permissions {
    let sources = [
        (TrackSource::Camera, rights.camera),
        (TrackSource::Microphone, rights.microphone),
        (TrackSource::ScreenShare, rights.screen),
        (TrackSource::ScreenShareAudio, rights.screen),
    ];
    let mut permissions = granted.clone();
    permissions.can_publish_data &= rights.chat;
    if sources.iter().all(|(_, allowed)| *allowed) {
        return permissions;
    }
    let allowed = sources.into_iter().filter(|(source, allowed)| *allowed && granted.may_publish(*source));
    permissions.can_publish_sources = allowed.map(|(source, _)| source).collect();
    // An empty list would allow all.
    permissions.can_publish = !permissions.can_publish_sources.is_empty();
    permissions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_meeting_does_not_allow_is_not_to_be_had_by_any_token() {
        let all =
            Rights { camera: true, microphone: true, screen: true, chat: true, files: true, unmute: true };
        let granted = Permissions::default();
        assert_eq!(within(&granted, all), granted);
        let listener = within(&granted, Rights { chat: true, ..Rights::default() });
        assert!(!listener.can_publish && listener.can_publish_data && listener.can_subscribe);
        let silent = within(&granted, Rights { microphone: false, ..all });
        assert!(!silent.may_publish(TrackSource::Microphone) && silent.may_publish(TrackSource::Camera));
        assert!(
            !silent.may_publish(TrackSource::Unknown),
            "what doesn't say what it is could be a microphone"
        );
        assert!(!within(&granted, Rights { chat: false, ..all }).can_publish_data);
        let deaf = Permissions { can_publish: false, can_publish_data: false, ..Permissions::default() };
        assert!(
            !within(&deaf, all).can_publish && !within(&deaf, all).can_publish_data,
            "nor does it give more"
        );
        let camera_only =
            Permissions { can_publish_sources: [TrackSource::Camera].into(), ..Permissions::default() };
        let none = within(&camera_only, Rights { camera: false, ..all });
        assert!(!none.can_publish && none.can_publish_sources.is_empty());
    }
}
