// SPDX-License-Identifier: EUPL-1.2
//! How sessions end, wait, and are cut off.

use std::time::Instant;

use livekit_protocol as proto;
use livekit_protocol::leave_request::Action;
use livekit_protocol::signal_response::Message as Response;
use parvis_meeting::{EndReason, LeaveReason, Participant, ParticipantId};
use parvis_sfu::Command;

use super::{ConnectionId, Room};
use crate::Output;
use crate::wire::{self, Encoded};

/// WebSocket close codes (RFC 6455 section 7.4.1).
pub(super) const CLOSE_NORMAL: u16 = 1000;
pub(super) const CLOSE_GOING_AWAY: u16 = 1001;
pub(super) const CLOSE_MALFORMED: u16 = 1007;
pub(super) const CLOSE_VIOLATION: u16 = 1008;
pub(super) const CLOSE_TOO_LARGE: u16 = 1009;
/// RFC 6455 section 5.5: a control frame carries 125 bytes, two of them the code.
const MAX_CLOSE_REASON_BYTES: usize = 123;

impl Room {
    /// The forwarder lost the room's media: everyone starts over.
    pub fn media_lost(&mut self, now: Instant) {
        let ids: Vec<ParticipantId> = self.sessions.keys().copied().collect();
        for id in ids {
            self.meeting.leave(now, id, LeaveReason::MediaFailed);
        }
        self.settle(now);
    }

    /// Someone left the meeting, for whichever reason: tells its client, frees what was its.
    pub(super) fn left(&mut self, participant: &Participant, reason: LeaveReason) {
        let guest = self.is_guest(participant.id);
        self.left_meeting(participant, reason);
        self.end_forwards(participant.id);
        self.forget_pace(participant.id);
        self.forget_data_tracks(participant.id);
        self.end_calls_of(participant.id);
        let Some(session) = self.sessions.get_mut(&participant.id) else { return };
        let socket = session.socket.take();
        if let Some(socket) = socket {
            if reason != LeaveReason::Client {
                let leave = leave_message(reason, self.end);
                let frame = Encoded::new(leave).frame(socket.json);
                self.outputs.push_back(Output::Send { connection: socket.id, frame });
            }
            self.by_connection.remove(&socket.id);
            self.close(socket.id, close_code(reason), close_text(reason));
        }
        self.recorder_left(participant.id, &participant.identity, reason);
        let Some(session) = self.sessions.remove(&participant.id) else { return };
        if let Some(resource) = &session.resource {
            self.by_connection.remove(&resource.id);
            self.close(resource.id, close_code(reason), close_text(reason));
        }
        if self.sessions.is_empty() {
            self.session_wake = None;
        }
        for subscription in session.subscriptions.values() {
            self.by_subscription.remove(subscription);
            self.forget_choice(*subscription);
        }
        // A recorder has no peer before its outlet is opened.
        let unmade = session.records.as_ref().is_some_and(|records| !records.is_open());
        for link in session.links.iter().filter(|_| !guest && !unmade) {
            self.by_peer.remove(&link.peer);
            self.command(Command::ClosePeer { peer: link.peer });
        }
        self.by_sid.remove(&session.sid);
        if self.config.relay.is_some() {
            self.outputs.push_back(Output::RelayRevoked { sid: session.sid.clone() });
        }
        self.speaking.remove(&participant.id);
        let mut info = wire::participant_info(
            participant,
            None,
            &session.sid,
            &session.client,
            session.joined_at_ms,
            vec![],
        );
        info.disconnect_reason = wire::disconnect_reason(reason, self.end).into();
        self.departed(participant, &info);
        if self.roster.forget(participant.id) {
            self.news.gone(info);
        }
    }

    /// The socket is gone; the session waits.
    pub(super) fn detach(&mut self, now: Instant, connection: ConnectionId) {
        let Some(id) = self.by_connection.remove(&connection) else { return };
        if let Some(session) = self.sessions.get_mut(&id) {
            session.socket = None;
            session.waiting_until = Some(now + self.config.resume_timeout);
        }
        self.renew_deadline(id);
    }

    /// A session's deadline may have come nearer.
    pub(super) fn renew_deadline(&mut self, id: ParticipantId) {
        let deadline = self.sessions.get(&id).and_then(|session| session.deadline(&self.config));
        self.session_wake = self.session_wake.into_iter().chain(deadline).min();
    }

    /// Closes a socket whose client made a mistake that it may recover from. Its session waits (row 30: only it).
    pub(super) fn refuse_socket(&mut self, now: Instant, connection: ConnectionId, code: u16, reason: &str) {
        self.stats.malformed += 1;
        tracing::debug!(room = %self.sid, ?connection, code, reason, "closing a socket");
        self.close(connection, code, reason);
        self.detach(now, connection);
    }

    /// Takes `cost` from what a client may ask; ends its session when there is no more. Says whether there was.
    pub(super) fn charge(&mut self, now: Instant, id: ParticipantId, cost: u32) -> bool {
        let Some(session) = self.sessions.get_mut(&id) else { return false };
        let fits = session.requests.take(now, cost);
        if !fits {
            self.stats.floods += 1;
            self.meeting.leave(now, id, LeaveReason::Violation);
        }
        fits
    }

    pub(super) fn session_timeouts(&mut self, now: Instant) {
        if self.session_wake.is_none_or(|wake| wake > now) {
            return;
        }
        let sessions = self.sessions.values();
        let deadlines = sessions.filter_map(|session| Some((session.deadline(&self.config)?, session.id)));
        let (due, later): (Vec<_>, Vec<_>) = deadlines.partition(|(deadline, _)| *deadline <= now);
        self.session_wake = later.into_iter().map(|(deadline, _)| deadline).min();
        for (_, id) in due {
            self.session_timeout(now, id);
        }
    }

    fn session_timeout(&mut self, now: Instant, id: ParticipantId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if session.waiting_until.is_some_and(|deadline| deadline <= now) {
            self.stats.sessions_lost += 1;
            return self.meeting.leave(now, id, LeaveReason::ConnectionLost);
        }
        if session.join_deadline.is_some_and(|deadline| deadline <= now) {
            self.stats.media_failures += 1;
            return self.meeting.leave(now, id, LeaveReason::JoinFailed);
        }
        if session.closed_due.is_some_and(|deadline| deadline <= now) {
            self.stats.media_failures += 1;
            return self.meeting.leave(now, id, LeaveReason::MediaFailed);
        }
        if session.offer_due.is_some_and(|due| due <= now) {
            self.ask_for_missing(id);
            self.renew_deadline(id);
        }
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let Some(socket) = session.socket else { return };
        if socket.last_heard + self.config.idle_timeout <= now {
            self.close(socket.id, CLOSE_GOING_AWAY, "nothing came for too long");
            return self.detach(now, socket.id);
        }
        if session.refresh_at <= now {
            session.refresh_at = now + self.config.token_refresh;
            if let Some(participant) = self.meeting.participant(id) {
                let grants = Box::new(self.grants(participant));
                self.outputs.push_back(Output::RefreshToken { connection: socket.id, grants });
            }
            self.renew_deadline(id);
        }
    }

    pub(super) fn close(&mut self, connection: ConnectionId, code: u16, reason: &str) {
        let mut end = reason.len().min(MAX_CLOSE_REASON_BYTES);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        self.outputs.push_back(Output::Close { connection, code, reason: reason[..end].to_owned() });
    }
}

/// Tells a client that its session is over, and what to do.
pub(super) fn leave_message(reason: LeaveReason, end: Option<EndReason>) -> Response {
    let action = match reason {
        LeaveReason::MediaFailed | LeaveReason::Shutdown | LeaveReason::Reconnect | LeaveReason::Moved => {
            Action::Reconnect
        }
        LeaveReason::Ended if end == Some(EndReason::Shutdown) => Action::Reconnect,
        _ => Action::Disconnect,
    };
    Response::Leave(proto::LeaveRequest {
        can_reconnect: action == Action::Reconnect,
        reason: wire::disconnect_reason(reason, end).into(),
        action: action.into(),
        regions: None,
    })
}

fn close_code(reason: LeaveReason) -> u16 {
    match reason {
        LeaveReason::Client => CLOSE_NORMAL,
        LeaveReason::Violation => CLOSE_VIOLATION,
        _ => CLOSE_GOING_AWAY,
    }
}

fn close_text(reason: LeaveReason) -> &'static str {
    match reason {
        LeaveReason::Client => "",
        LeaveReason::Replaced => "another connection has this identity",
        LeaveReason::Removed => "removed from the room",
        LeaveReason::Ended => "the room has ended",
        LeaveReason::JoinFailed => "the media connection did not come up in time",
        LeaveReason::ConnectionLost => "the connection was lost",
        LeaveReason::MediaFailed => "the media connection failed",
        LeaveReason::Violation => "too many requests, or one that breaks the protocol",
        LeaveReason::Shutdown => "the server stops",
        LeaveReason::Reconnect => "connect anew",
        LeaveReason::Moved => "go on in the other room",
    }
}
