// SPDX-License-Identifier: EUPL-1.2
//! A room with its clients, and a forwarder that answers as the real one does, without any media.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use livekit_protocol as proto;
use livekit_protocol::signal_request::Message as Request;
use livekit_protocol::signal_response::Message as Response;
use parvis_meeting::Permissions;
use parvis_peer::sdp::CodecKind;
use parvis_peer::{Path, Protocol, TransportReport};
use parvis_rtp::Mid;
use parvis_sfu::{
    Command, DataChannel, Description, DescriptionKind, Event, PeerId, PeerRole, RoomId, SubscriptionId,
    TrackId, TrackSpec,
};
use parvis_signal::{
    Actor, Answer, ConnectError, ConnectionId, Control, ControlError, Form, ForwardId, ForwardedView, Frame,
    Grants, Join, JoinParams, Occurrence, Offer, OfferError, Output, Purpose, RecordingNews, Reply, Resume,
    Room, RoomConfig, RpcError,
};
use prost::Message;

pub const START_UNIX_MS: i64 = 1_800_000_000_000;

pub struct Lab {
    pub room: Room,
    pub now: Instant,
    pub clients: BTreeMap<ConnectionId, Client>,
    pub forwarder: Forwarder,
    pub refreshes: Vec<(ConnectionId, Grants)>,
    /// What the outer world is told.
    pub told: Vec<Occurrence>,
    /// What clients that came by an offer were answered, in order.
    pub answers: Vec<(ConnectionId, Result<Answer, String>)>,
    pub ended: bool,
    /// What the server's calls came to.
    pub replies: Vec<(u64, Result<String, RpcError>)>,
    /// What other rooms are to be told.
    pub forwarded: Vec<(ForwardId, Option<ForwardedView>)>,
    pub guests_gone: Vec<ForwardId>,
    /// What tokens asked to be recorded.
    pub egress: Vec<proto::RoomEgress>,
    /// What recorders' workers were told, by the recorder's identity.
    pub recorded: Vec<(String, RecordingNews)>,
    /// How the meeting stood each time when that was something else.
    pub records: Vec<parvis_meeting::assembly::Record>,
    /// Everything that the room did, in order: what was said to whom and what was commanded.
    pub order: Vec<String>,
    /// Whose credentials the relay was told to take, and to take no more.
    pub relayed: Vec<(String, bool)>,
    /// The peer connections of each participant, by its sid.
    links: BTreeMap<String, Vec<PeerId>>,
    next: u64,
}

/// One socket as its client sees it.
#[derive(Default)]
pub struct Client {
    pub inbox: Vec<Response>,
    pub text: usize,
    pub closed: Option<(u16, String)>,
    /// Those in the room by identity, as client SDKs keep them.
    pub roster: BTreeMap<String, proto::ParticipantInfo>,
    pub own: Option<proto::ParticipantInfo>,
    identity: String,
}

#[derive(Default)]
pub struct Forwarder {
    pub commands: Vec<Command>,
    pub peers: BTreeMap<PeerId, PeerRole>,
    pub tracks: BTreeMap<TrackId, (PeerId, TrackSpec, bool)>,
    pub subscriptions: BTreeMap<SubscriptionId, (PeerId, TrackId, String, String)>,
    pub data: Vec<(PeerId, DataChannel, Bytes)>,
    offers: u32,
}

impl Lab {
    pub fn new() -> Lab {
        Lab::with(RoomConfig::default())
    }

    pub fn with(config: RoomConfig) -> Lab {
        let now = Instant::now();
        Lab {
            room: Room::new(Arc::new(config), RoomId(5), "atelier", [9; 32], now, START_UNIX_MS),
            now,
            clients: BTreeMap::new(),
            forwarder: Forwarder::default(),
            refreshes: Vec::new(),
            told: Vec::new(),
            answers: Vec::new(),
            ended: false,
            replies: Vec::new(),
            forwarded: Vec::new(),
            guests_gone: Vec::new(),
            egress: Vec::new(),
            recorded: Vec::new(),
            records: Vec::new(),
            order: Vec::new(),
            relayed: Vec::new(),
            links: BTreeMap::new(),
            next: 1,
        }
    }

    pub fn try_connect(&mut self, grants: Grants, params: JoinParams) -> Result<ConnectionId, ConnectError> {
        self.open(grants, params, BTreeMap::new())
    }

    /// As a client that has a list of people from its former socket.
    pub fn connect_with_roster(
        &mut self,
        grants: Grants,
        params: JoinParams,
        roster: BTreeMap<String, proto::ParticipantInfo>,
    ) -> ConnectionId {
        self.open(grants, params, roster).expect("the room lets it in")
    }

    fn open(
        &mut self,
        grants: Grants,
        params: JoinParams,
        roster: BTreeMap<String, proto::ParticipantInfo>,
    ) -> Result<ConnectionId, ConnectError> {
        let connection = ConnectionId(self.next);
        self.next += 1;
        let join = Join { grants, params, address: "192.0.2.7".to_owned() };
        let identity = join.grants.identity.clone();
        self.clients.insert(connection, Client { identity, roster, ..Client::default() });
        let known: BTreeSet<PeerId> = self.forwarder.peers.keys().copied().collect();
        self.room.connect(self.now, connection, join)?;
        self.pump();
        let made: Vec<PeerId> =
            self.forwarder.peers.keys().filter(|peer| !known.contains(peer)).copied().collect();
        if !made.is_empty() {
            self.links.insert(self.sid(connection), made);
        }
        Ok(connection)
    }

    /// Comes by an offer, as over HTTP. Gives the connection, its sid and its peer connection.
    pub fn come(
        &mut self,
        grants: Grants,
        purpose: Purpose,
        sdp: &str,
    ) -> Result<(ConnectionId, String, PeerId), OfferError> {
        let connection = ConnectionId(self.next);
        self.next += 1;
        let identity = grants.identity.clone();
        self.clients.insert(connection, Client { identity, ..Client::default() });
        let offer = Offer { grants, purpose, sdp: sdp.to_owned(), address: "192.0.2.8".to_owned() };
        let sid = self.room.connect_by_offer(self.now, connection, offer)?;
        self.pump();
        let peer = *self.forwarder.peers.keys().last().expect("it has a peer connection");
        Ok((connection, sid, peer))
    }

    pub fn connect(&mut self, grants: Grants, params: JoinParams) -> ConnectionId {
        self.try_connect(grants, params).expect("the room lets it in")
    }

    /// Joins over `/rtc` and has its media connection come up.
    pub fn join(&mut self, identity: &str) -> ConnectionId {
        self.join_as(Grants::of(identity))
    }

    pub fn join_as(&mut self, grants: Grants) -> ConnectionId {
        let connection = self.connect(grants, dual());
        self.bring_up(connection);
        connection
    }

    /// The primary connection and its channels come up.
    pub fn bring_up(&mut self, connection: ConnectionId) {
        let peer = self.primary(connection);
        self.event(Event::PeerConnected { peer, report: Box::new(report()) });
        self.event(Event::ChannelsOpen { peer });
    }

    pub fn resume(&mut self, identity: &str, sid: &str) -> ConnectionId {
        let resume = Resume { participant_sid: sid.to_owned(), sync_state: None };
        self.connect(Grants::of(identity), JoinParams { resume: Some(resume), ..dual() })
    }

    /// Asks as an application's server.
    pub fn control(&mut self, control: Control) -> Result<Reply, ControlError> {
        self.control_as(&Actor::default(), control)
    }

    pub fn control_as(&mut self, actor: &Actor, control: Control) -> Result<Reply, ControlError> {
        let reply = self.room.control(self.now, actor, control);
        self.pump();
        reply
    }

    pub fn remove(&mut self, identity: &str) -> Result<Reply, ControlError> {
        let identity = identity.to_owned();
        self.control(Control::RemoveParticipant(proto::RoomParticipantIdentity {
            identity,
            ..Default::default()
        }))
    }

    #[allow(deprecated)]
    pub fn permit(&mut self, identity: &str, permissions: &Permissions) {
        let permission = proto::ParticipantPermission {
            can_subscribe: permissions.can_subscribe,
            can_publish: permissions.can_publish,
            can_publish_data: permissions.can_publish_data,
            can_update_metadata: permissions.can_update_profile,
            ..Default::default()
        };
        let request = proto::UpdateParticipantRequest {
            identity: identity.to_owned(),
            permission: Some(permission),
            ..Default::default()
        };
        self.control(Control::UpdateParticipant(Box::new(request))).expect("it is there");
    }

    pub fn send(&mut self, connection: ConnectionId, request: Request) {
        let bytes = proto::SignalRequest { message: Some(request) }.encode_to_vec();
        self.room.message(self.now, connection, &bytes);
        self.pump();
    }

    pub fn drop_socket(&mut self, connection: ConnectionId) {
        self.room.disconnected(self.now, connection);
        self.pump();
    }

    pub fn event(&mut self, event: Event) {
        self.room.event(self.now, event);
        self.pump();
    }

    /// Lets time pass, doing what is due when it is due.
    pub fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(at) = self.room.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.room.handle_timeout(self.now);
            self.pump();
            let again = self.room.poll_timeout();
            assert!(again != Some(at), "a deadline that was served comes again");
        }
        self.now = end;
    }

    /// Publishes a track and has its media section come up. Returns its sid.
    pub fn publish(&mut self, connection: ConnectionId, cid: &str, source: proto::TrackSource) -> String {
        self.send(connection, Request::AddTrack(track(cid, source)));
        let sid = self.published_sid(connection, cid).expect("the track is taken");
        self.offer(connection, &[cid]);
        sid
    }

    /// Offers media sections for these tracks.
    pub fn offer(&mut self, connection: ConnectionId, cids: &[&str]) {
        let sdp = format!("v=0 {}", cids.join(" "));
        self.send(
            connection,
            Request::Offer(proto::SessionDescription {
                r#type: "offer".into(),
                sdp,
                id: 1,
                ..Default::default()
            }),
        );
    }

    pub fn published_sid(&self, connection: ConnectionId, cid: &str) -> Option<String> {
        self.clients[&connection].inbox.iter().rev().find_map(|message| match message {
            Response::TrackPublished(published) if published.cid == cid => {
                published.track.as_ref().map(|track| track.sid.clone())
            }
            _ => None,
        })
    }

    pub fn sid(&self, connection: ConnectionId) -> String {
        self.clients[&connection].own.as_ref().expect("joined").sid.clone()
    }

    /// The socket of whoever has this identity.
    pub fn connection_of(&self, identity: &str) -> ConnectionId {
        *self.clients.iter().rfind(|(_, client)| client.identity == identity).expect("it joined").0
    }

    pub fn client(&self, connection: ConnectionId) -> &Client {
        &self.clients[&connection]
    }

    pub fn clear(&mut self) {
        for client in self.clients.values_mut() {
            client.inbox.clear();
        }
        self.forwarder.commands.clear();
        self.forwarder.data.clear();
    }

    /// The peer connections of whoever has this socket, in the order in which they were made.
    pub fn peers(&self, connection: ConnectionId) -> Vec<PeerId> {
        self.links.get(&self.sid(connection)).cloned().unwrap_or_default()
    }

    pub fn primary(&self, connection: ConnectionId) -> PeerId {
        *self.peers(connection).last().expect("it has a peer connection")
    }

    pub fn publisher(&self, connection: ConnectionId) -> PeerId {
        *self.peers(connection).first().expect("it has a peer connection")
    }

    /// Sends a data packet from a client.
    pub fn data(&mut self, connection: ConnectionId, channel: DataChannel, packet: &proto::DataPacket) {
        let peer = self.publisher(connection);
        self.event(Event::Data { peer, channel, payload: packet.encode_to_vec().into() });
    }

    /// Joins in one form or the other, and has its media connection come up.
    pub fn join_by(&mut self, identity: &str, params: JoinParams) -> ConnectionId {
        let connection = self.connect(Grants::of(identity), params);
        self.bring_up(connection);
        connection
    }

    /// Sends a packet of a data track from a client.
    pub fn track_packet(&mut self, connection: ConnectionId, packet: &[u8]) {
        let peer = self.publisher(connection);
        let payload = Bytes::copy_from_slice(packet);
        self.event(Event::Data { peer, channel: DataChannel::DataTrack, payload });
    }

    /// What packets of data tracks came to a client since the last [`Lab::clear`].
    pub fn track_packets(&self, connection: ConnectionId) -> Vec<Bytes> {
        let peers = self.peers(connection);
        let own = self.forwarder.data.iter();
        let own = own.filter(|(peer, channel, _)| peers.contains(peer) && *channel == DataChannel::DataTrack);
        own.map(|(_, _, payload)| payload.clone()).collect()
    }

    /// What came to a client's data channels since the last [`Lab::clear`].
    pub fn received(&self, connection: ConnectionId) -> Vec<(DataChannel, proto::DataPacket)> {
        let peers = self.peers(connection);
        let own = self.forwarder.data.iter();
        let own = own.filter(|(peer, channel, _)| peers.contains(peer) && *channel != DataChannel::DataTrack);
        own.map(|(_, channel, payload)| (*channel, proto::DataPacket::decode(payload.clone()).unwrap()))
            .collect()
    }

    /// Takes outputs and feeds the forwarder's events back, until nothing moves.
    pub fn pump(&mut self) {
        loop {
            let mut events = Vec::new();
            while let Some(output) = self.room.poll_output() {
                self.order.extend(brief(&output));
                match output {
                    Output::Send { connection, frame } => {
                        self.clients.get_mut(&connection).unwrap().take(frame)
                    }
                    Output::Close { connection, code, reason } => {
                        let closed = &mut self.clients.get_mut(&connection).unwrap().closed;
                        assert!(closed.replace((code, reason)).is_none(), "closed twice");
                    }
                    Output::Forward(command) => events.extend(self.forwarder.handle(command)),
                    Output::RefreshToken { connection, grants } => self.refreshes.push((connection, *grants)),
                    Output::Happened(occurrence) => self.told.push(*occurrence),
                    Output::RpcReply { reply_id, result } => self.replies.push((reply_id, result)),
                    Output::Recording { identity, news } => self.recorded.push((identity, *news)),
                    Output::StartEgress(egress) => self.egress.push(*egress),
                    Output::Forwarded { forward, view } => {
                        self.forwarded.push((forward, view.map(|view| *view)))
                    }
                    Output::GuestGone { forward } => self.guests_gone.push(forward),
                    Output::RelayAllowed { sid } => self.relayed.push((sid.to_string(), true)),
                    Output::RelayRevoked { sid } => self.relayed.push((sid.to_string(), false)),
                    // Nobody here knocks, or opens the meeting's own socket: see the api crate's tests of meetings.
                    Output::Admit { .. } | Output::Password(_) => {}
                    Output::Breakout { .. }
                    | Output::CloseBreakout { .. }
                    | Output::Account(_)
                    | Output::Instruct { .. }
                    | Output::PutOut { .. } => {}
                    Output::Conducted(record) => self.records.push(*record),
                    Output::Answered { connection, answer } => self.answers.push((connection, answer)),
                    Output::Ended => self.ended = true,
                }
            }
            if events.is_empty() {
                return;
            }
            for event in events {
                self.room.event(self.now, event);
            }
        }
    }
}

impl Client {
    fn take(&mut self, frame: Frame) {
        assert!(self.closed.is_none(), "a message after the close");
        let response = match frame {
            Frame::Binary(bytes) => proto::SignalResponse::decode(bytes).unwrap(),
            Frame::Text(text) => {
                self.text += 1;
                serde_json::from_str(&text).unwrap()
            }
        };
        let message = response.message.unwrap();
        match &message {
            Response::Join(join) => {
                self.own = join.participant.clone();
                let others = join.other_participants.iter();
                self.roster = others.map(|info| (info.identity.clone(), info.clone())).collect();
            }
            Response::Update(update) => self.update(update),
            _ => {}
        }
        self.inbox.push(message);
    }

    /// As client SDKs do: by identity, the newest version of a stay, and gone when disconnected.
    fn update(&mut self, update: &proto::ParticipantUpdate) {
        for info in &update.participants {
            let gone = info.state() == proto::participant_info::State::Disconnected;
            if info.identity == self.identity {
                assert!(!gone, "a client is not told of the end of its own identity");
                self.own = Some(info.clone());
            } else if gone {
                self.roster.remove(&info.identity);
            } else {
                let known = self.roster.get(&info.identity);
                let stale = known.is_some_and(|known| known.sid == info.sid && known.version > info.version);
                assert!(!stale, "an older version after a newer one");
                self.roster.insert(info.identity.clone(), info.clone());
            }
        }
    }

    /// The first message that this picks.
    pub fn find<T>(&self, pick: impl Fn(&Response) -> Option<T>) -> Option<T> {
        self.inbox.iter().find_map(pick)
    }

    pub fn leave(&self) -> Option<proto::LeaveRequest> {
        self.find(|message| match message {
            Response::Leave(leave) => Some(leave.clone()),
            _ => None,
        })
    }

    pub fn refusal(&self) -> Option<proto::RequestResponse> {
        self.find(|message| match message {
            Response::RequestResponse(response) => Some(response.clone()),
            _ => None,
        })
    }

    /// What kinds of messages came, in order.
    pub fn kinds(&self) -> Vec<String> {
        let kind =
            |message: &Response| format!("{message:?}").split('(').next().unwrap_or_default().to_owned();
        self.inbox.iter().map(kind).collect()
    }
}

impl Forwarder {
    fn handle(&mut self, command: Command) -> Vec<Event> {
        self.commands.push(command.clone());
        match command {
            Command::CreatePeer { room, peer, role } => {
                assert_eq!(room, RoomId(5));
                assert!(self.peers.insert(peer, role).is_none(), "a peer id comes twice");
                if role == PeerRole::Subscriber {
                    self.describe(peer, DescriptionKind::Offer, 0)
                } else {
                    vec![]
                }
            }
            Command::CreateOutlet { room, peer, .. } => {
                assert_eq!(room, RoomId(5));
                assert!(self.peers.insert(peer, PeerRole::Subscriber).is_none(), "a peer id comes twice");
                vec![]
            }
            Command::ClosePeer { peer } => {
                assert!(self.peers.remove(&peer).is_some(), "a peer is closed twice");
                vec![]
            }
            Command::RemoteDescription { peer, description } if description.sdp.contains("refuse me") => {
                vec![Event::DescriptionRefused { peer, reason: "line 1: not SDP".to_owned() }]
            }
            Command::RemoteDescription { peer, description }
                if description.kind == DescriptionKind::Offer =>
            {
                let mut events = self.describe(peer, DescriptionKind::Answer, description.id);
                for (track, (publisher, spec, bound)) in &mut self.tracks {
                    let named = description.sdp.split_whitespace().position(|word| word == spec.cid);
                    if let (true, false, Some(place)) = (*publisher == peer, *bound, named) {
                        *bound = true;
                        let codec = if spec.layers.is_empty() { CodecKind::Opus } else { CodecKind::Vp8 };
                        let (mid, simulcast) = (Mid::new(&place.to_string()).unwrap(), spec.layers.len() > 1);
                        events.push(Event::TrackBound { track: *track, mid, codec, simulcast });
                    }
                }
                events
            }
            Command::RestartIce { peer } => self.describe(peer, DescriptionKind::Offer, 0),
            Command::Publish { peer, track, spec } => {
                assert!(self.tracks.insert(track, (peer, spec, false)).is_none(), "a track id comes twice");
                vec![]
            }
            Command::Unpublish { track } => {
                assert!(self.tracks.remove(&track).is_some(), "a track is unpublished twice");
                vec![]
            }
            Command::Subscribe { subscription, peer, track, stream_id, track_label } => {
                assert!(self.peers.contains_key(&peer), "a subscription for nobody");
                let value = (peer, track, stream_id, track_label);
                assert!(
                    self.subscriptions.insert(subscription, value).is_none(),
                    "a subscription id comes twice"
                );
                vec![]
            }
            Command::Unsubscribe { subscription } => {
                assert!(self.subscriptions.remove(&subscription).is_some(), "unsubscribed twice");
                vec![]
            }
            Command::SwitchTrack { subscription, track } => {
                assert!(self.tracks.contains_key(&track), "a switch to what is not there");
                self.subscriptions.get_mut(&subscription).expect("a subscription").1 = track;
                vec![]
            }
            Command::SendData { peer, channel, payload } => {
                self.data.push((peer, channel, payload));
                vec![]
            }
            _ => vec![],
        }
    }

    fn describe(&mut self, peer: PeerId, kind: DescriptionKind, id: u32) -> Vec<Event> {
        let id = if kind == DescriptionKind::Offer {
            self.offers += 1;
            self.offers
        } else {
            id
        };
        let own = self.subscriptions.iter().filter(|(_, (receiver, ..))| *receiver == peer);
        let mids = own.enumerate().map(|(i, (id, _))| (Mid::new(&format!("s{i}")).unwrap(), *id)).collect();
        let description = Description { kind, sdp: format!("v=0 {kind:?}"), id };
        vec![Event::LocalDescription { peer, description, mids }]
    }
}

/// What matters of an output for the order of things.
fn brief(output: &Output) -> Option<String> {
    match output {
        Output::Send { frame: Frame::Binary(bytes), .. } => {
            let response = proto::SignalResponse::decode(bytes.clone()).unwrap();
            match response.message? {
                Response::RoomUpdate(update) => {
                    Some(format!("recording {}", update.room.unwrap().active_recording))
                }
                _ => None,
            }
        }
        Output::Forward(Command::CreateOutlet { .. }) => Some("outlet".to_owned()),
        Output::Forward(Command::Subscribe { .. }) => Some("subscribe".to_owned()),
        _ => None,
    }
}

pub fn dual() -> JoinParams {
    JoinParams::parse(Form::Dual, "protocol=16&sdk=js&auto_subscribe=1").unwrap()
}

/// As a client of `/rtc/v1` joins, with its first offer.
pub fn single() -> JoinParams {
    let offer =
        proto::SessionDescription { r#type: "offer".into(), sdp: "v=0".into(), id: 1, ..Default::default() };
    JoinParams { form: Form::Single, publisher_offer: Some(offer), ..dual() }
}

pub fn track(cid: &str, source: proto::TrackSource) -> proto::AddTrackRequest {
    let video = matches!(source, proto::TrackSource::Camera | proto::TrackSource::ScreenShare);
    let kind = if video { proto::TrackType::Video } else { proto::TrackType::Audio };
    proto::AddTrackRequest {
        cid: cid.into(),
        r#type: kind.into(),
        source: source.into(),
        ..Default::default()
    }
}

/// The three layers of a camera's picture.
pub fn layers() -> Vec<proto::VideoLayer> {
    use proto::VideoQuality::{High, Low, Medium};
    [(Low, 320, 180), (Medium, 640, 360), (High, 1280, 720)]
        .map(|(quality, width, height)| proto::VideoLayer {
            quality: quality.into(),
            width,
            height,
            ..Default::default()
        })
        .to_vec()
}

pub fn message(text: &str, sequence: u32) -> proto::DataPacket {
    let user = proto::UserPacket { payload: text.as_bytes().to_vec(), ..Default::default() };
    proto::DataPacket { sequence, value: Some(proto::data_packet::Value::User(user)), ..Default::default() }
}

pub fn text_of(packet: &proto::DataPacket) -> String {
    match &packet.value {
        Some(proto::data_packet::Value::User(user)) => String::from_utf8(user.payload.clone()).unwrap(),
        other => panic!("not a user packet: {other:?}"),
    }
}

pub fn report() -> TransportReport {
    let address = "127.0.0.1:7882".parse().unwrap();
    TransportReport {
        path: Path { protocol: Protocol::Udp, local: address, remote: address },
        dtls_version: "DTLSv1.3".into(),
        cipher: "TLS_AES_128_GCM_SHA256".into(),
        group: 0x11ec,
        srtp_profile: "AEAD_AES_128_GCM".into(),
    }
}
