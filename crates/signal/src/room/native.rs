// SPDX-License-Identifier: EUPL-1.2
//! What clients on the native core of the SDKs (Rust, Python, Node.js and others) take to get along when much happens at once.
//!
//! They negotiate by themselves some 100 ms after they joined with an offer. If they want to once more before that offer is answered,
//! their transport waits for itself from then on, and nothing they publish ever comes (`set_remote_description` of livekit's
//! rust-sdks, 0.7, offers again under the lock that offering takes). What makes them want to is to hear that their track is
//! published; so they hear it once no offer of theirs is open or about to come, and of one track after the other. Whoever comes back after
//! a full reconnect, or is moved to another room, announces all its tracks in just that moment.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use livekit_protocol as proto;
use livekit_protocol::client_info::Sdk;
use livekit_protocol::signal_response::Message as Response;
use parvis_meeting::{ParticipantId, TrackId};

use super::Room;
use super::publish::Publication;
use crate::Form;
use crate::session::Session;

/// A track that is announced is offered within this time after an offer without it. SDKs gather what they offer for 150 ms.
const OFFER_PATIENCE: Duration = Duration::from_millis(500);
/// A client that was told something to offer for does so within this time, even on a busy machine; so does one that joined.
const EXPECTED_WITHIN: Duration = Duration::from_secs(1);

/// What a client hears once no offer of its own is open, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Held {
    responses: VecDeque<proto::TrackPublishedResponse>,
    /// Until when an offer is expected, or the answer to one.
    until: Option<Instant>,
}

impl Held {
    /// When nothing is expected any more.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.until
    }
}

impl Room {
    /// An offer was answered. Native SDKs offer once a connection is up, and when that happens in the moment in which a track
    /// of theirs is announced, the track is neither in that offer nor in any later one: they take the two for the same. So a
    /// track that an offer left out is asked for, once.
    pub(super) fn await_missing(&mut self, now: Instant, id: ParticipantId) {
        let missing = self.own_publications(id).any(Publication::is_missing);
        let Some(session) = self.sessions.get_mut(&id) else { return };
        // The other form has no word for it.
        if missing && session.links.form == Form::Single && session.resource.is_none() {
            session.offer_due = Some(now + OFFER_PATIENCE);
            self.renew_deadline(id);
        }
    }

    /// Asks for an offer, if one is still due.
    pub(super) fn ask_for_missing(&mut self, id: ParticipantId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.offer_due = None;
        if session.socket.is_none() || session.links.publisher.offer_pending {
            // An answer looks again.
            return;
        }
        let own = self.meeting.participant(id).into_iter().flat_map(|publisher| publisher.tracks());
        let own: Vec<TrackId> = own.collect();
        let mut asks = false;
        for track in own {
            let publication =
                self.publications.get_mut(&track).filter(|publication| publication.is_missing());
            asks |=
                publication.is_some_and(|publication| !std::mem::replace(&mut publication.asked_for, true));
        }
        if asks {
            self.send(id, Response::MediaSectionsRequirement(proto::MediaSectionsRequirement::default()));
        }
    }

    /// Tells a client that its track is published: now, or once no offer of its own is open.
    pub(super) fn tell_published(
        &mut self,
        now: Instant,
        id: ParticipantId,
        response: proto::TrackPublishedResponse,
    ) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if !session.negotiates_by_itself() {
            return self.send(id, Response::TrackPublished(response));
        }
        // It may ask again for what it has not heard yet.
        if !session.held.responses.iter().any(|held| held.cid == response.cid) {
            session.held.responses.push_back(response);
        }
        if session.links.publisher.offer_pending {
            session.held.until.get_or_insert(now + EXPECTED_WITHIN);
        }
        self.tell_held(now, id);
    }

    /// An answer went out: what waited for it follows.
    pub(super) fn answered_native(&mut self, now: Instant, id: ParticipantId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if session.negotiates_by_itself() {
            // That of its join is followed by another offer.
            let is_first = session.links.publisher.answers == 1;
            session.held.until = is_first.then(|| now + EXPECTED_WITHIN);
            self.tell_held(now, id);
        }
    }

    /// Tells the next of what is held back, unless an offer is expected.
    pub(super) fn tell_held(&mut self, now: Instant, id: ParticipantId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let held = &mut session.held;
        if held.until.is_none_or(|until| until <= now) {
            let next = held.responses.pop_front();
            held.until = next.is_some().then(|| now + EXPECTED_WITHIN);
            if let Some(response) = next {
                self.send(id, Response::TrackPublished(response));
            }
        }
        self.renew_deadline(id);
    }
}

impl Session {
    /// Whether it is a client that this page is about.
    fn negotiates_by_itself(&self) -> bool {
        let is_native =
            matches!(self.client.sdk(), Sdk::Rust | Sdk::Python | Sdk::Node | Sdk::Unity | Sdk::Cpp);
        is_native && self.links.form == Form::Single && self.resource.is_none()
    }
}
