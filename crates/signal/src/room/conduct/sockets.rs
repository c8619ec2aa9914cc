// SPDX-License-Identifier: EUPL-1.2
//! The meeting's own sockets: one for each person, beside the signalling. A person is in the room by the signalling; the socket alone
//! gives nothing.

use std::time::Instant;

use parvis_meeting::assembly::{Bound, WaitingId};

use super::{ABSENT, CLOSE_REPLACED, MeetingSocket, Side};
use crate::room::leave::{CLOSE_GOING_AWAY, CLOSE_MALFORMED, CLOSE_VIOLATION};
use crate::room::{ConnectError, ConnectionId, Room};

impl Room {
    /// A socket of the meeting is there, and whose it is was verified. State comes as soon as that person is in the room; a former socket
    /// of the same person gives way.
    pub fn take_part(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        identity: &str,
        not_before: u64,
    ) -> Result<(), ConnectError> {
        if self.standings.is_revoked(identity, not_before) {
            self.stats.revoked_refused += 1;
            return Err(ConnectError::Revoked);
        }
        if self.draining || self.end.is_some() {
            return Err(ConnectError::Draining);
        }
        let socket = MeetingSocket { connection, absent_since: Some(now) };
        if let Some(former) = self.conducted.sockets.insert(identity.to_owned(), socket) {
            self.conducted.by_connection.remove(&former.connection);
            self.conducted.assembly.detach(identity);
            self.conducted.assembly.note_bound(Bound::Sockets);
            self.close(former.connection, CLOSE_REPLACED, "another socket of yours takes this one's place");
        }
        self.conducted.by_connection.insert(connection, Side::Inside(identity.to_owned()));
        self.attach_socket(now, identity);
        self.settle(now);
        Ok(())
    }

    /// Gives somebody who is in the room what there is to know, if a socket is there.
    pub(super) fn attach_socket(&mut self, now: Instant, identity: &str) {
        let unix_ms = self.clock(now);
        let Some(socket) = self.conducted.sockets.get_mut(identity) else { return };
        if self.conducted.assembly.attach(now, unix_ms, identity) {
            socket.absent_since = None;
        }
    }

    /// Whether this is one of the meeting's sockets.
    pub(in crate::room) fn is_meeting_socket(&self, connection: ConnectionId) -> bool {
        self.conducted.by_connection.contains_key(&connection)
    }

    /// A message came on one of the meeting's sockets; `None` is one that is no text.
    pub(in crate::room) fn meeting_message(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        text: Option<&str>,
    ) {
        match (self.conducted.by_connection.get(&connection).cloned(), text) {
            (Some(Side::Inside(identity)), Some(text)) => {
                let unix_ms = self.clock(now);
                self.conducted.assembly.message(now, unix_ms, &identity, text);
            }
            (Some(Side::Outside(waiting)), Some(text)) => {
                match self.conducted.assembly.waiting_said(now, &WaitingId(waiting), text) {
                    Some(answer) => self.say(connection, answer),
                    None => self.drop_meeting_socket(
                        now,
                        connection,
                        CLOSE_VIOLATION,
                        "whoever waits has nothing to say but a note",
                    ),
                }
            }
            (Some(_), None) => {
                self.drop_meeting_socket(now, connection, CLOSE_MALFORMED, "messages are JSON, as text");
            }
            (None, _) => {}
        }
        self.settle(now);
    }

    /// One of the meeting's sockets has gone.
    pub(in crate::room) fn meeting_disconnected(&mut self, now: Instant, connection: ConnectionId) {
        match self.conducted.by_connection.remove(&connection) {
            Some(Side::Inside(identity)) => {
                self.conducted.sockets.remove(&identity);
                self.conducted.assembly.detach(&identity);
            }
            Some(Side::Outside(waiting)) => self.outside_gone(now, connection, &waiting),
            None => {}
        }
    }

    fn drop_meeting_socket(&mut self, now: Instant, connection: ConnectionId, code: u16, why: &str) {
        self.stats.malformed += 1;
        self.meeting_disconnected(now, connection);
        self.close(connection, code, why);
    }

    /// Sends what the meeting has to say to somebody.
    pub(super) fn tell_member(&mut self, identity: &str, message: String) {
        if let Some(connection) = self.conducted.sockets.get(identity).map(|socket| socket.connection) {
            self.say(connection, message);
        }
    }

    /// Ends somebody's socket.
    pub(super) fn end_socket(&mut self, identity: &str, code: u16, why: &str) {
        if let Some(socket) = self.conducted.sockets.remove(identity) {
            self.conducted.by_connection.remove(&socket.connection);
            self.conducted.assembly.detach(identity);
            self.close(socket.connection, code, why);
        }
    }

    /// Ends sockets of people who are not in the room, and have not been for long.
    pub(super) fn drop_absent(&mut self, now: Instant) {
        let sockets = self.conducted.sockets.iter();
        let due =
            sockets.filter(|(_, socket)| socket.absent_since.is_some_and(|since| since + ABSENT <= now));
        let due: Vec<String> = due.map(|(identity, _)| identity.clone()).collect();
        for identity in due {
            self.end_socket(&identity, CLOSE_VIOLATION, "you are not in this room: join it first");
        }
    }

    /// The room is over.
    pub(super) fn end_sockets(&mut self) {
        let everyone: Vec<String> = self.conducted.sockets.keys().cloned().collect();
        for identity in everyone {
            self.end_socket(&identity, CLOSE_GOING_AWAY, "the meeting has ended");
        }
    }
}
