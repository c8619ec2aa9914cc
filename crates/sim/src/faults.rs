// SPDX-License-Identifier: EUPL-1.2
//! What a test plants into a run to see a checker find it: a checker that can't fail says nothing.

use std::time::Duration;

use livekit_protocol as proto;
use livekit_protocol::signal_response::Message as Response;

use crate::client::ClientId;
use crate::conference::Conference;
use crate::deeds::Right;

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Sound of one was heard by another.
    Strays {
        /// Whose.
        from: ClientId,
        /// Who heard it.
        to: ClientId,
    },
    /// Someone has no such right any more, and the server was not told.
    Unpermitted(ClientId, Right),
    /// Someone is told of a participant with this identity.
    Told(ClientId, String),
    /// For so long nothing reaches a client.
    Withholds(ClientId, Duration),
    /// A client is told that it is sent none of all tracks.
    Pauses(ClientId),
    /// Each track is published on another forwarder than the one that sends it by trunks.
    Rehomes,
    /// The first forwarder has so many peer connections that no room knows of.
    Leaks(u64),
    /// The server holds so many bytes for nothing; counted where they are measured.
    Hoards(usize),
}

impl Conference {
    /// Lets it be so, behind the back of all who would take it into account.
    pub fn plant(&mut self, fault: Fault) {
        self.narrate_line(&format!("planted: {fault:?}"));
        let now = self.now;
        match fault {
            Fault::Strays { from, to } => {
                if let Some(client) = self.clients.get_mut(&to) {
                    client.receiver.got.entry(from).or_default().sound.note(now);
                }
            }
            Fault::Unpermitted(id, right) => self.note_right(id, right, false),
            Fault::Told(id, identity) => {
                if let Some(client) = self.clients.get_mut(&id) {
                    client.roster.entry(identity).or_default();
                    client.news = true;
                }
            }
            Fault::Withholds(id, time) => {
                if let Some(wire) = self.links.get_mut(id.place()) {
                    wire.withheld_until = Some(now + time);
                }
            }
            Fault::Pauses(id) => {
                let Some(client) = self.clients.get_mut(&id) else { return };
                let states = client.roster.values().flatten().map(|track| proto::StreamStateInfo {
                    track_sid: track.clone(),
                    state: proto::StreamState::Paused.into(),
                    ..Default::default()
                });
                let update = proto::StreamStateUpdate { stream_states: states.collect() };
                client.message(now, Response::StreamStateUpdate(update));
            }
            Fault::Rehomes => self.server.rehome(),
            Fault::Leaks(peers) => self.server.leak(now, peers),
            Fault::Hoards(bytes) => self.server.hoard(bytes),
        }
    }
}
