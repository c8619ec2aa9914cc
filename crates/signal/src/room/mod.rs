// SPDX-License-Identifier: EUPL-1.2
//! One meeting with its sessions. This file holds the state and the doors; what happens behind them:
//! [`connect`] joins and resumes, [`request`] and [`publish`] and [`subscribe`] are what clients ask, [`media`] is
//! what the forwarder tells, [`data`] are messages between clients, [`roster`] tells everyone what changed, [`leave`]
//! ends sessions, [`control`] is what is done from outside. [`conduct`] is how the meeting decides over all of it. [`codecs`] chooses what codec each subscriber gets, [`dynacast`]
//! tells publishers what is wanted, [`pace`] lets reliable messages wait for their readers. [`data_tracks`] and [`blobs`] are
//! what applications share besides, [`rpc`] calls their methods. [`moves`] sends participants to other rooms, [`forwarded`]
//! shows them there, [`start`] takes what a token says of a new room, [`simulate`] makes trouble for tests, [`happened`] is
//! what the outer world is told. [`record`] lets recorders in, [`consent`] is what people say to that. [`offered`] is for clients that come by one offer over HTTP and have no socket, [`watch`]
//! chooses what such a one sees.

mod blobs;
mod captions;
mod codecs;
mod conduct;
mod connect;
mod consent;
mod control;
mod data;
mod data_tracks;
mod dynacast;
mod forwarded;
mod happened;
mod leave;
mod media;
mod minutes;
mod moves;
mod offered;
mod pace;
mod publish;
mod record;
mod request;
mod roster;
mod rpc;
mod simulate;
mod start;
mod subscribe;
mod watch;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use livekit_protocol as proto;
use livekit_protocol::signal_response::Message as Response;
use parvis_meeting::{EndReason, ParticipantId, TrackId};
use parvis_sfu::{Command, Event, PeerId, RoomId, SubscriptionId};
use rand::RngExt;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::session::Session;
use crate::wire::{self, Encoded, WireError};
use crate::{Output, RoomConfig, RoomStats};

pub use conduct::{Caller, Conduct, NoPlace};
pub use connect::{ConnectError, Join};
pub use control::{
    Actor, CONSENT_ASK, CONSENT_TAG, Control, ControlError, RECORD_NOTHING, RECORD_TAG, RETENTION_TAG, Reply,
    RoomSettings, retention_days,
};
pub use forwarded::{ForwardError, ForwardId, ForwardedStream, ForwardedView};
pub use minutes::{RecordedCaption, RecordedMessage};
pub use moves::{ClosedError, RoomView};
pub use offered::{Offer, OfferError, Purpose, Target};
pub(crate) use pace::Pace;
use publish::Publication;
pub(crate) use record::Records;
pub use record::{RecordError, RecordScope, RecordedTrack, Recorder, RecordingNews};
pub use rpc::RpcError;
pub(crate) use simulate::Cut;

/// One socket, as the caller names it; never reused within a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// One meeting with its sessions. See the crate's front page.
#[derive(Debug)]
pub struct Room {
    config: Arc<RoomConfig>,
    id: RoomId,
    sid: String,
    name: String,
    /// Marks frames that a server puts into an encrypted track; clients must not take them for a participant's.
    sif_trailer: [u8; 16],
    started: Instant,
    started_unix_ms: i64,
    rng: ChaCha20Rng,
    last_id: u64,
    meeting: parvis_meeting::Room,
    sessions: BTreeMap<ParticipantId, Session>,
    /// No session wants anything before. Those whom a message gave more time leave it early; it is never late.
    session_wake: Option<Instant>,
    /// Whose socket, whose peer connection, whose sid.
    by_connection: BTreeMap<ConnectionId, ParticipantId>,
    by_peer: BTreeMap<PeerId, ParticipantId>,
    by_sid: BTreeMap<Arc<str>, ParticipantId>,
    publications: BTreeMap<TrackId, Publication>,
    by_track_sid: BTreeMap<String, TrackId>,
    by_forwarded: BTreeMap<parvis_sfu::TrackId, TrackId>,
    by_subscription: BTreeMap<SubscriptionId, (ParticipantId, TrackId)>,
    /// Which of a track's codecs each subscription gets.
    choices: BTreeMap<SubscriptionId, codecs::Choice>,
    dynacast: dynacast::Dynacast,
    /// Who records.
    recorders: BTreeSet<ParticipantId>,
    /// What recorders are sent in another codec than before.
    recoded: Vec<(ParticipantId, TrackId)>,
    /// Captions that recorders are to have, on their way.
    captions: captions::Captions,
    data_tracks: data_tracks::DataTracks,
    blobs: blobs::Blobs,
    calls: rpc::Calls,
    simulation: simulate::Simulation,
    start: start::Start,
    forwards: forwarded::Forwards,
    /// Who speaks, and how loud.
    speaking: BTreeMap<ParticipantId, f32>,
    news: roster::News,
    roster: roster::Roster,
    /// The application's own text about the room.
    metadata: String,
    standings: control::Standings,
    /// How the meeting is conducted.
    conducted: conduct::Conducted,
    /// Of the last messages that came from outside.
    nonces: VecDeque<[u8; 16]>,
    chronicle: happened::Chronicle,
    draining: bool,
    end: Option<EndReason>,
    end_told: bool,
    outputs: VecDeque<Output>,
    stats: RoomStats,
}

impl Room {
    /// An empty room. `id` is the caller's and is never used twice; the ids that we give the forwarder are built
    /// upon it, so that those of two rooms never meet. `unix_ms` is what a wall clock shows at `now`. All randomness
    /// comes from `seed`.
    pub fn new(
        config: Arc<RoomConfig>,
        id: RoomId,
        name: &str,
        seed: [u8; 32],
        now: Instant,
        unix_ms: i64,
    ) -> Room {
        let meeting = parvis_meeting::Room::new(config.meeting.clone(), now);
        let (metadata, remembered) = (config.room_metadata.clone(), config.remembered_identities);
        let conducted = conduct::Conducted::new(&config, now);
        let mut room = Room {
            config,
            id,
            sid: String::new(),
            name: name.to_owned(),
            sif_trailer: [0; 16],
            started: now,
            started_unix_ms: unix_ms,
            rng: ChaCha20Rng::from_seed(seed),
            last_id: 0,
            meeting,
            sessions: BTreeMap::new(),
            session_wake: None,
            by_connection: BTreeMap::new(),
            by_peer: BTreeMap::new(),
            by_sid: BTreeMap::new(),
            publications: BTreeMap::new(),
            by_track_sid: BTreeMap::new(),
            by_forwarded: BTreeMap::new(),
            by_subscription: BTreeMap::new(),
            choices: BTreeMap::new(),
            dynacast: dynacast::Dynacast::default(),
            recorders: BTreeSet::new(),
            recoded: Vec::new(),
            captions: captions::Captions::default(),
            data_tracks: data_tracks::DataTracks::default(),
            blobs: blobs::Blobs::default(),
            calls: rpc::Calls::default(),
            simulation: simulate::Simulation::default(),
            start: start::Start::default(),
            forwards: forwarded::Forwards::default(),
            speaking: BTreeMap::new(),
            news: roster::News::default(),
            roster: roster::Roster::default(),
            metadata,
            standings: control::Standings::new(remembered),
            conducted,
            nonces: VecDeque::new(),
            chronicle: happened::Chronicle::default(),
            draining: false,
            end: None,
            end_told: false,
            outputs: VecDeque::new(),
            stats: RoomStats::default(),
        };
        room.sid = room.make_sid("RM_");
        room.sif_trailer = room.rng.random();
        if room.config.recording_consent {
            room.meeting.ask_consent();
        }
        room
    }

    /// A client connected and its token holds. It may be told to start over by a message; when it may not come in at
    /// all, that is the error, and nothing was sent.
    pub fn connect(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        join: Join,
    ) -> Result<(), ConnectError> {
        let result = self.open(now, connection, join).inspect_err(|_| self.stats.joins_refused += 1);
        self.settle(now);
        result
    }

    /// A binary message came.
    pub fn message(&mut self, now: Instant, connection: ConnectionId, bytes: &[u8]) {
        if self.is_meeting_socket(connection) {
            return self.meeting_message(now, connection, None);
        }
        self.incoming(now, connection, false, bytes.len(), || wire::decode_request(bytes));
    }

    /// A text message came: the client speaks JSON, and is answered in it from now on. Or it is a message of the meeting's own, see
    /// [`Room::take_part`].
    pub fn text(&mut self, now: Instant, connection: ConnectionId, text: &str) {
        if self.is_meeting_socket(connection) {
            return self.meeting_message(now, connection, Some(text));
        }
        self.incoming(now, connection, true, text.len(), || wire::decode_request_json(text));
    }

    /// The socket is gone. Its session waits for the client to come back.
    pub fn disconnected(&mut self, now: Instant, connection: ConnectionId) {
        self.detach(now, connection);
        self.meeting_disconnected(now, connection);
        self.settle(now);
    }

    /// The forwarder has something to tell.
    pub fn event(&mut self, now: Instant, event: Event) {
        self.media_event(now, event);
        self.settle(now);
    }

    /// The token that [`Output::RefreshToken`] asked for.
    pub fn refreshed(&mut self, connection: ConnectionId, token: String) {
        if let Some(id) = self.by_connection.get(&connection).copied() {
            self.send(id, Response::RefreshToken(token));
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.meeting.handle_timeout(now);
        self.check_readers(now);
        self.session_timeouts(now);
        self.end_late_calls(now);
        self.settle_simulation(now);
        self.digest(now);
        self.conduct_timeouts(now);
        self.settle(now);
    }

    /// When [`Room::handle_timeout`] wants to be called. It may be early, never late: asking costs the same however many
    /// are there.
    pub fn poll_timeout(&self) -> Option<Instant> {
        debug_assert!(
            self.sessions
                .values()
                .filter_map(|session| session.deadline(&self.config))
                .all(|deadline| self.session_wake.is_some_and(|wake| wake <= deadline)),
            "a session's deadline came nearer and nobody said so"
        );
        let rest = [
            self.session_wake,
            self.meeting.poll_timeout(),
            self.news.digest_at(),
            self.dynacast_due(),
            self.calls_due(),
            self.simulation_due(),
            self.conducted.poll_timeout().filter(|_| !self.end_told),
        ];
        rest.into_iter().flatten().min()
    }

    /// What to do, in order; `None` when all is done until the next call.
    pub fn poll_output(&mut self) -> Option<Output> {
        while self.outputs.is_empty() && self.carry_out_decisions() {}
        self.outputs.pop_front()
    }

    /// Lets nobody in any more; those who are in go on.
    pub fn close_doors(&mut self) {
        self.draining = true;
    }

    /// The server stops: tells everyone to connect anew, lets nobody in, and ends.
    pub fn drain(&mut self, now: Instant) {
        self.draining = true;
        self.meeting.end(EndReason::Shutdown);
        self.settle(now);
    }

    /// Whether [`Output::Ended`] was given out.
    pub fn ended(&self) -> bool {
        self.end_told
    }

    /// The room's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The room's sid.
    pub fn sid(&self) -> &str {
        &self.sid
    }

    /// How many sessions there are, those that wait and hidden ones too.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// The peer connections of the session that a client's connection is in; none for one that is in none.
    pub fn peers_of(&self, connection: ConnectionId) -> Vec<PeerId> {
        let session = self.by_connection.get(&connection).and_then(|id| self.sessions.get(id));
        session.map(|session| session.links.iter().map(|link| link.peer).collect()).unwrap_or_default()
    }

    /// The room as its clients are told of it.
    pub fn snapshot(&self) -> proto::Room {
        self.room_info()
    }

    /// The meeting: who is there, and what they may do.
    pub fn meeting(&self) -> &parvis_meeting::Room {
        &self.meeting
    }

    /// Counters since the room began.
    pub fn stats(&self) -> RoomStats {
        self.stats
    }

    /// What a wall clock shows.
    fn unix_ms(&self, now: Instant) -> i64 {
        let passed = now.saturating_duration_since(self.started).as_millis();
        self.started_unix_ms.saturating_add(i64::try_from(passed).unwrap_or(i64::MAX))
    }

    /// An id for the forwarder: the room's number above, ours below. 2^32 of them last for a year at 136 a second.
    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        (self.id.0 << 32) | self.last_id
    }

    /// An id that clients see: unguessable (71 bits), since knowing a participant's is half of a resume.
    fn make_sid(&mut self, prefix: &str) -> String {
        const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let random = (0..12).map(|_| char::from(ALPHABET[self.rng.random_range(0..ALPHABET.len())]));
        prefix.chars().chain(random).collect()
    }

    fn command(&mut self, command: Command) {
        self.outputs.push_back(Output::Forward(command));
    }

    /// Tells one client, if it is there to hear.
    fn send(&mut self, id: ParticipantId, message: Response) {
        self.send_encoded(id, &mut Encoded::new(message));
    }

    fn send_encoded(&mut self, id: ParticipantId, message: &mut Encoded) {
        if let Some(socket) = self.sessions.get(&id).and_then(|session| session.socket) {
            let frame = message.frame(socket.json);
            self.outputs.push_back(Output::Send { connection: socket.id, frame });
        }
    }

    /// Tells every client that is there to hear.
    fn broadcast(&mut self, message: Response) {
        let mut encoded = Encoded::new(message);
        let ids: Vec<ParticipantId> = self.sessions.keys().copied().collect();
        for id in ids {
            self.send_encoded(id, &mut encoded);
        }
    }

    /// One message from a socket, whatever is in it.
    fn incoming(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        json: bool,
        bytes: usize,
        decode: impl FnOnce() -> Result<Option<proto::signal_request::Message>, WireError>,
    ) {
        let Some(id) = self.by_connection.get(&connection).copied() else { return };
        if let Some(socket) = self.sessions.get_mut(&id).and_then(|session| session.socket.as_mut()) {
            socket.json = json;
            socket.last_heard = now;
        }
        if bytes > self.config.message_bytes {
            self.refuse_socket(now, connection, leave::CLOSE_TOO_LARGE, "the message is too large");
        } else {
            match decode() {
                Ok(Some(request)) => self.request(now, id, request),
                Ok(None) => {
                    self.stats.requests_unknown += 1;
                    self.charge(now, id, 1);
                }
                Err(error) => {
                    self.refuse_socket(now, connection, leave::CLOSE_MALFORMED, &error.to_string());
                }
            }
        }
        self.settle(now);
    }

    /// Publications of one participant that others know of.
    fn announced(&self, id: ParticipantId) -> BTreeSet<TrackId> {
        let tracks = self.meeting.participant(id).into_iter().flat_map(|participant| participant.tracks());
        tracks.filter(|track| self.meeting.track(*track).is_some_and(|track| track.announced)).collect()
    }
}
