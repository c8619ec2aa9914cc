// SPDX-License-Identifier: EUPL-1.2
//! Clients that come, and clients that come back.

use std::sync::Arc;
use std::time::Instant;

use livekit_protocol as proto;
use livekit_protocol::signal_response::Message as Response;
use parvis_meeting::{
    Admission, Kind, LeaveReason, MeetingError, ParticipantId, Permissions, Profile, State,
};
use parvis_sfu::{Command, PeerId, PeerRole};

use super::Cut;
use super::leave::{CLOSE_GOING_AWAY, leave_message};
use super::{ConnectionId, Room};
use crate::session::{Link, Links, Session, Socket};
use crate::wire::{self, Encoded};
use crate::{Form, Grants, JoinParams, Output, Resume};

/// A client that wants to come in.
#[derive(Debug, Clone)]
pub struct Join {
    /// What its token says, verified.
    pub grants: Grants,
    /// What it says itself.
    pub params: JoinParams,
    /// Where it connects from, for people who debug; not shown to other clients.
    pub address: String,
}

/// Why a client can't come in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The server is about to stop.
    #[error("the server takes nobody new; try again in a moment")]
    Draining,
    /// It was removed, and its token with it.
    #[error("this token was revoked when its participant was removed from the room")]
    Revoked,
    /// The meeting refuses.
    #[error(transparent)]
    Refused(#[from] MeetingError),
    /// It was let in at a time at which the meeting's door stood more open.
    #[error("the meeting's door was closed since this token was made: ask to come in anew")]
    Door,
    /// It is none of those who could have the key.
    #[error("this room is encrypted from end to end: streams, recorders and telephones have no key to it")]
    Encrypted,
    /// The caller used a connection id twice.
    #[error("the connection has a session already")]
    InUse,
}

impl ConnectError {
    /// The HTTP status that says so.
    pub fn status(&self) -> u16 {
        match self {
            ConnectError::Draining => 503,
            ConnectError::Revoked | ConnectError::Door => 401,
            ConnectError::Refused(MeetingError::Full { .. }) => 429,
            ConnectError::Refused(MeetingError::Ended) => 404,
            ConnectError::Refused(_) => 400,
            ConnectError::Encrypted => 403,
            ConnectError::InUse => 409,
        }
    }
}

impl Room {
    pub(super) fn open(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        join: Join,
    ) -> Result<(), ConnectError> {
        if self.by_connection.contains_key(&connection) {
            return Err(ConnectError::InUse);
        }
        self.check_revoked(&join.grants)?;
        match join.params.resume.clone() {
            Some(resume) => self.resume(now, connection, join, resume),
            None => return self.join(now, connection, join),
        }
        Ok(())
    }

    /// Whether a token was revoked with its participant's removal (row 44).
    pub(super) fn check_revoked(&mut self, grants: &Grants) -> Result<(), ConnectError> {
        if self.standings.is_revoked(&grants.identity, grants.not_before) {
            self.stats.revoked_refused += 1;
            return Err(ConnectError::Revoked);
        }
        Ok(())
    }

    /// What a token allows here: what a moderator decided counts more than what an older token says.
    pub(super) fn as_decided(&self, mut grants: Grants) -> Grants {
        if let Some(permissions) = self.standings.permissions(&grants.identity, grants.not_before) {
            grants.permissions = Permissions { hidden: grants.permissions.hidden, ..permissions.clone() };
        }
        grants
    }

    fn join(&mut self, now: Instant, connection: ConnectionId, join: Join) -> Result<(), ConnectError> {
        let Join { grants, params, address } = join;
        let grants = self.as_decided(grants);
        let id = self.enter(now, grants, &params, &address)?;
        if let Some(session) = self.sessions.get_mut(&id) {
            session.socket = Some(Socket { id: connection, json: false, last_heard: now });
        }
        self.by_connection.insert(connection, id);
        self.renew_deadline(id);
        self.meeting.set_state(id, State::Joined);

        let response = self.join_response(id, now);
        self.send(id, Response::Join(response));
        self.begin();
        self.apply_simulated_protocol(id);
        self.create_peers(id);
        self.qualities_wanted(now);
        if params.auto_data_tracks {
            self.take_all_data_tracks(id);
        }
        // The subscriptions go first, so that the first answer or offer has them in it.
        self.settle(now);
        for request in params.add_tracks {
            self.add_track(id, request);
        }
        if let Some(offer) = params.publisher_offer {
            self.offer(now, id, offer);
        }
        Ok(())
    }

    /// Lets someone in: from now on it has a session, and nobody on the other end of it yet.
    pub(super) fn enter(
        &mut self,
        now: Instant,
        grants: Grants,
        params: &JoinParams,
        address: &str,
    ) -> Result<ParticipantId, ConnectError> {
        if self.draining {
            return Err(ConnectError::Draining);
        }
        if self.is_e2ee() && matches!(grants.kind, Kind::Ingress | Kind::Egress | Kind::Sip) {
            return Err(ConnectError::Encrypted);
        }
        let mut grants = grants;
        let identity = grants.identity.clone();
        let arrived = self.arrive(now, &mut grants)?;
        let can_subscribe = grants.permissions.can_subscribe;
        let start = grants.room.clone();
        let kind = grants.kind;
        let (beside, not_before) = (grants.beside.clone(), grants.not_before);
        let admitted = self.meeting.admit(now, admission(grants, params));
        let id = admitted.inspect_err(|_| self.not_arrived(now, &identity, &arrived))?;
        self.begin_with(start);
        self.record_by_itself(kind);
        // Whoever had this identity is gone before anyone hears of the new one: clients keep their list by identity.
        self.settle(now);

        let sid: Arc<str> = self.make_sid("PA_").into();
        let publisher = Link::new(PeerId(self.next_id()));
        let subscriber =
            (params.form == Form::Dual && can_subscribe).then(|| Link::new(PeerId(self.next_id())));
        let links =
            Links { form: params.form, publisher, subscriber_primary: subscriber.is_some(), subscriber };
        let mut session = Session::new(&self.config, now, id, sid.clone(), params, links);
        session.joined_at_ms = self.unix_ms(now);
        session.beside = beside;
        session.not_before = not_before;
        session.granted = arrived.granted;
        session.takes_part = arrived.takes_part;
        for link in session.links.iter() {
            self.by_peer.insert(link.peer, id);
        }
        self.by_sid.insert(sid.clone(), id);
        self.sessions.insert(id, session);
        self.renew_deadline(id);
        self.stats.joins += 1;
        if self.config.relay.is_some() {
            self.outputs.push_back(Output::RelayAllowed { sid: sid.clone() });
        }
        tracing::debug!(room = %self.sid, %sid, %address, form = ?params.form, protocol = params.protocol(), "join");
        Ok(id)
    }

    /// Has the forwarder make the peer connections of a session.
    pub(super) fn create_peers(&mut self, id: ParticipantId) {
        let Some(links) = self.sessions.get(&id).map(|session| &session.links) else { return };
        let publishing = match links.form {
            Form::Dual => PeerRole::Publisher,
            Form::Single => PeerRole::Single,
        };
        let peers: Vec<PeerId> = links.iter().map(|link| link.peer).collect();
        for (peer, role) in peers.into_iter().zip([publishing, PeerRole::Subscriber]) {
            self.create_peer(peer, role);
        }
    }

    /// Gives a session its new socket, or tells the client that there is nothing to resume.
    fn resume(&mut self, now: Instant, connection: ConnectionId, join: Join, resume: Resume) {
        let id = self.by_sid.get(resume.participant_sid.as_str()).copied();
        let fits = id.filter(|id| {
            // Row 31: a sid is not a right. The token must be of the same identity.
            let same = self.meeting.participant(*id).is_some_and(|p| p.identity == join.grants.identity);
            let session = self.sessions.get(id);
            same && session.is_some_and(|s| s.links.form == join.params.form && !s.missed_too_much)
        });
        let Some(id) = fits.filter(|_| !self.draining) else {
            self.stats.resumes_refused += 1;
            let frame = Encoded::new(leave_message(LeaveReason::Reconnect, None)).frame(false);
            self.outputs.push_back(Output::Send { connection, frame });
            self.close(connection, CLOSE_GOING_AWAY, "there is no such session: connect anew");
            return;
        };
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let former = session.socket.replace(Socket { id: connection, json: false, last_heard: now });
        session.waiting_until = None;
        session.qualities_due = true;
        // An older token gives nothing back that a newer one no longer says.
        if join.grants.not_before >= session.not_before {
            session.beside = join.grants.beside;
            session.not_before = join.grants.not_before;
            self.arrive_anew(now, id);
        }
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let cut = session.cut_resume.take();
        let last_message_seq = session.last_sequence;
        let missed = std::mem::take(&mut session.missed);
        let subscriber = session.links.subscriber.as_ref().map(|link| link.peer);
        let sections = session.sections;
        let sid = session.sid.clone();
        self.renew_deadline(id);
        if let Some(former) = former {
            self.by_connection.remove(&former.id);
            self.close(former.id, CLOSE_GOING_AWAY, "the session goes on in another connection");
        }
        self.by_connection.insert(connection, id);
        if cut == Some(Cut::BeforeMessages) {
            return self.drop_socket_of(now, id, "cut before any message");
        }
        self.stats.resumes += 1;

        let reconnect = proto::ReconnectResponse {
            ice_servers: self.ice_servers(now, &sid),
            client_configuration: Some(self.client_configuration(&sid)),
            server_info: Some(wire::server_info(&self.config)),
            last_message_seq,
        };
        self.send(id, Response::Reconnect(reconnect));
        if !missed.is_empty() {
            self.send(id, Response::Update(proto::ParticipantUpdate { participants: missed }));
        }
        let mut participants = self.known_infos();
        if !self.is_known(id) {
            participants.extend(self.info(id));
        }
        self.send(id, Response::Update(proto::ParticipantUpdate { participants }));
        let room = self.room_info();
        self.send(id, Response::RoomUpdate(proto::RoomUpdate { room: Some(room) }));
        self.send_speakers(id);
        self.repeat_wanted(id);
        self.qualities_wanted(now);
        if let Some(peer) = subscriber {
            self.command(Command::RestartIce { peer });
        }
        if let Some(sections) = sections {
            self.send(id, Response::MediaSectionsRequirement(sections));
        }
        self.repeat_handles(id);
        if let Some(state) = resume.sync_state {
            self.sync(id, state);
        }
        if let Some(offer) = join.params.publisher_offer {
            self.offer(now, id, offer);
        }
        if cut == Some(Cut::AfterMessages) {
            self.drop_socket_of(now, id, "cut after the resume");
        }
    }

    #[allow(deprecated)]
    fn join_response(&mut self, id: ParticipantId, now: Instant) -> proto::JoinResponse {
        let own = self.info(id);
        let others =
            self.roster_infos().into_iter().filter(|info| own.as_ref().is_none_or(|own| own.sid != info.sid));
        let can_publish = self.meeting.participant(id).is_some_and(|p| p.permissions.can_publish);
        let links = self.sessions.get(&id).map(|session| &session.links);
        let sid = self.sessions.get(&id).map(|session| session.sid.clone());
        let seconds = |duration: std::time::Duration| i32::try_from(duration.as_secs()).unwrap_or(i32::MAX);
        let codecs = self.config.publish_codecs.iter();
        let response = proto::JoinResponse {
            room: Some(self.room_info()),
            other_participants: others.collect(),
            participant: own,
            server_version: wire::SERVER_VERSION.to_owned(),
            subscriber_primary: links.is_some_and(|links| links.subscriber_primary),
            ice_servers: sid.as_ref().map(|sid| self.ice_servers(now, sid)).unwrap_or_default(),
            client_configuration: Some(sid.map(|sid| self.client_configuration(&sid)).unwrap_or_default()),
            ping_interval: seconds(self.config.ping_interval),
            ping_timeout: seconds(self.config.ping_timeout),
            server_info: Some(wire::server_info(&self.config)),
            sif_trailer: self.sif_trailer.to_vec(),
            enabled_publish_codecs: codecs
                .map(|(mime, fmtp)| proto::Codec { mime: mime.clone(), fmtp_line: fmtp.clone() })
                .collect(),
            fast_publish: can_publish,
            ..Default::default()
        };
        tracing::trace!(room = %self.sid, at = self.unix_ms(now), "join response");
        response
    }

    pub(super) fn ice_servers(&self, now: Instant, sid: &str) -> Vec<proto::IceServer> {
        let tls = self.simulates_tls(sid);
        self.config.relay.as_ref().map(|relay| relay.ice_servers(now, sid, tls)).unwrap_or_default()
    }

    fn client_configuration(&self, sid: &str) -> proto::ClientConfiguration {
        let tls = self.simulates_tls(sid);
        self.config.relay.as_ref().map(|relay| relay.client_configuration(tls)).unwrap_or_default()
    }
}

/// What the client says itself counts only as far as its token lets it change the same later.
fn admission(grants: Grants, params: &JoinParams) -> Admission {
    let mut profile = Profile { name: grants.name, metadata: grants.metadata, attributes: grants.attributes };
    if grants.permissions.can_update_profile {
        if let Some(metadata) = &params.metadata {
            profile.metadata = metadata.clone();
        }
        profile.attributes.extend(params.attributes.clone());
    }
    Admission {
        identity: grants.identity,
        profile,
        kind: grants.kind,
        permissions: grants.permissions,
        auto_subscribe: params.auto_subscribe,
    }
}
