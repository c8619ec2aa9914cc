// SPDX-License-Identifier: EUPL-1.2
//! A client: its session in the signalling protocol, on `/rtc` with two peer connections or on `/rtc/v1` with one.
//! What it sends stands in `publish`, what it makes of what comes in `receive`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use livekit_protocol as proto;
use livekit_protocol::signal_request::Message as Request;
use livekit_protocol::signal_response::Message as Response;
use parvis_peer::Path;
use parvis_sfu::RoomId;
use parvis_signal::{ConnectionId, Form, JoinParams};
use prost::Message;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::deeds::{Attack, Right};
use crate::media::LAYERS;
use crate::publish::Publishing;
use crate::receive::Receiving;
use crate::sdp::{self, Kind, Offered};
use crate::sleepers::Sleeper;
use crate::transport::{Connection, Incoming};

/// Names one simulated client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u32);

impl ClientId {
    /// Its place among everyone who ever was there: they are numbered from 1 on.
    pub(crate) fn place(self) -> usize {
        (self.0 as usize).wrapping_sub(1)
    }

    /// Who is at this place.
    pub(crate) fn at(place: usize) -> ClientId {
        ClientId(place as u32 + 1)
    }
}

/// What a client is and may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// Which form of the protocol it speaks.
    pub form: Form,
    /// Whether its token lets it publish. It tries in any case.
    pub may_publish: bool,
    /// Whether its token lets it receive.
    pub may_subscribe: bool,
    /// Whether its token lets it send data messages. It tries in any case.
    pub may_send_data: bool,
    /// Whether others see it.
    pub hidden: bool,
    /// Whether it has a camera; everyone has a microphone.
    pub camera: bool,
    /// How it sends its sound.
    pub sound: Sound,
    /// How it sends its pictures.
    pub pictures: Pictures,
}

/// How pictures are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pictures {
    /// Each size in a stream of its own (simulcast), as VP8.
    Streams,
    /// All sizes in one stream (SVC), as AV1 with dependency descriptors.
    Layers,
}

/// How sound is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sound {
    /// A packet each 20 ms.
    Steady,
    /// The same while someone speaks, and between that one each 400 ms (DTX).
    Discontinuous,
    /// Each packet with the one before it once more (RFC 2198), which it takes from others, too.
    Redundant,
}

impl Profile {
    /// Someone with a camera and all usual rights.
    pub fn of(form: Form) -> Profile {
        Profile {
            form,
            may_publish: true,
            may_subscribe: true,
            may_send_data: true,
            hidden: false,
            camera: true,
            sound: Sound::Steady,
            pictures: Pictures::Streams,
        }
    }
}

impl Profile {
    /// The same with this right, or without it.
    pub(crate) fn with(self, right: Right, given: bool) -> Profile {
        match right {
            Right::Publish => Profile { may_publish: given, ..self },
            Right::Subscribe => Profile { may_subscribe: given, ..self },
            Right::SendData => Profile { may_send_data: given, ..self },
        }
    }
}

/// How often a client says that it is there.
const PING_EVERY: Duration = Duration::from_secs(5);
/// How often a client tries to say something on its data channel.
const DATA_EVERY: Duration = Duration::from_millis(500);
/// How often one who floods sends …
const FLOOD_EVERY: Duration = Duration::from_millis(20);
/// … so many messages on each channel, of so many bytes.
const FLOOD: usize = 16;
const FLOOD_BYTES: usize = 1000;
/// Channels that it opens: more than anyone may have.
const FLOOD_CHANNELS: usize = 100;
const RELIABLE: &str = "_reliable";
const LOSSY: &str = "_lossy";

pub(crate) struct Client {
    pub(crate) id: ClientId,
    pub(crate) room: RoomId,
    pub(crate) profile: Profile,
    pub(crate) random: ChaCha8Rng,
    pub(crate) sending: Connection,
    /// With [`Form::Dual`], the one on which it receives.
    pub(crate) receiving: Option<Connection>,
    pub(crate) socket: Option<ConnectionId>,
    pub(crate) sid: String,
    /// Who it knows to be there, by identity, and their tracks.
    pub(crate) roster: BTreeMap<String, BTreeSet<String>>,
    /// That has changed since it was looked at.
    pub(crate) news: bool,
    /// What the server said of tracks: whether it sends none of it, and since when.
    pub(crate) paused: BTreeMap<String, (bool, Instant)>,
    /// What goes out on the socket next.
    pub(crate) requests: Vec<Request>,
    pub(crate) publishing: Publishing,
    pub(crate) receiver: Receiving,
    sections: Vec<Offered>,
    version: u32,
    offer_out: bool,
    offer_due: bool,
    granted: BTreeSet<String>,
    next_ping: Instant,
    next_data: Instant,
    next_flood: Instant,
    pub(crate) data_sent: u32,
    pub(crate) muted: bool,
    /// It does nothing until then.
    pub(crate) frozen_until: Option<Instant>,
    /// When last something happened to it that may interrupt what it sends and receives.
    pub(crate) disturbed: Instant,
    /// The server ended its session.
    pub(crate) told_to_leave: Option<proto::LeaveRequest>,
    /// When it takes its session up again.
    pub(crate) resumes_at: Option<Instant>,
    pub(crate) closed_by_server: bool,
    /// Something came: it acts at once.
    pub(crate) wake: bool,
    /// It keeps to what is agreed: nobody answers for what becomes of one that doesn't.
    pub(crate) honest: bool,
    /// What it does to others.
    pub(crate) attack: Option<Attack>,
    /// What it saw that must not be.
    pub(crate) failures: Vec<String>,
}

impl Client {
    pub(crate) fn new(
        (id, room, profile): (ClientId, RoomId, Profile),
        seed: u64,
        now: Instant,
        connect: impl Fn(u8, &mut ChaCha8Rng) -> Connection,
    ) -> Client {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut sending = connect(0, &mut random);
        let receiving = (profile.form == Form::Dual).then(|| connect(1, &mut random));
        sending.open_channel(RELIABLE, true);
        sending.open_channel(LOSSY, false);
        let mut sections = vec![
            Offered { kind: Kind::Data, sends: None },
            Offered { kind: Kind::Audio, sends: Some((track_cid(id, "mic"), &[])) },
        ];
        if profile.camera {
            let rids: &'static [&'static str] =
                if profile.pictures == Pictures::Layers { &[] } else { &LAYERS };
            sections.push(Offered { kind: Kind::Video, sends: Some((track_cid(id, "cam"), rids)) });
        }
        let publishing = Publishing::new(id, profile, &mut random, now);
        Client {
            id,
            room,
            profile,
            random,
            sending,
            receiving,
            socket: None,
            sid: String::new(),
            roster: BTreeMap::new(),
            news: false,
            paused: BTreeMap::new(),
            requests: Vec::new(),
            publishing,
            receiver: Receiving::default(),
            sections,
            version: 0,
            offer_out: false,
            offer_due: false,
            granted: BTreeSet::new(),
            next_ping: now + PING_EVERY,
            next_data: now + DATA_EVERY,
            next_flood: now,
            data_sent: 0,
            muted: false,
            frozen_until: None,
            disturbed: now,
            told_to_leave: None,
            resumes_at: None,
            closed_by_server: false,
            wake: false,
            honest: true,
            attack: None,
            failures: Vec::new(),
        }
    }

    pub(crate) fn identity(&self) -> String {
        format!("c{}", self.id.0)
    }

    /// The URL by which it joins, or takes its session up again.
    pub(crate) fn join_params(&mut self, now: Instant, resume: bool) -> Option<JoinParams> {
        let form = self.profile.form;
        if form == Form::Dual {
            let again = if resume { format!("&reconnect=1&sid={}", self.sid) } else { String::new() };
            let query = format!("protocol=16&sdk=js&auto_subscribe=1{again}");
            return JoinParams::parse(form, &query).ok();
        }
        let add_track_requests = if resume { Vec::new() } else { self.tracks() };
        let sdp = self.offer(now);
        let client_info = proto::ClientInfo { protocol: 16, ..Default::default() };
        let request = proto::JoinRequest {
            client_info: Some(client_info),
            connection_settings: Some(proto::ConnectionSettings {
                auto_subscribe: true,
                ..Default::default()
            }),
            add_track_requests,
            publisher_offer: Some(sdp),
            reconnect: resume,
            participant_sid: if resume { self.sid.clone() } else { String::new() },
            sync_state: resume.then(|| self.sync_state()),
            ..Default::default()
        };
        let wrapped =
            proto::WrappedJoinRequest { join_request: request.encode_to_vec(), ..Default::default() };
        let encoded =
            base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE, wrapped.encode_to_vec());
        let query =
            form_urlencoded::Serializer::new(String::new()).append_pair("join_request", &encoded).finish();
        JoinParams::parse(form, &query).ok()
    }

    /// A message of the server's.
    pub(crate) fn message(&mut self, now: Instant, response: Response) {
        match response {
            Response::Join(join) => {
                self.sid = join.participant.map(|own| own.sid).unwrap_or_default();
                self.update(join.other_participants);
                if self.profile.form == Form::Dual {
                    let tracks = self.tracks();
                    self.requests.extend(tracks.into_iter().map(Request::AddTrack));
                }
            }
            Response::Reconnect(_) if self.profile.form == Form::Dual => {
                let state = self.sync_state();
                self.requests.push(Request::SyncState(state));
                self.offer_out = false;
                self.want_offer(now);
            }
            Response::Update(update) => self.update(update.participants),
            Response::TrackPublished(published) => {
                if let Some(track) = published.track {
                    self.granted.insert(published.cid.clone());
                    self.publishing.sids.insert(published.cid, track.sid);
                }
                if self.profile.form == Form::Dual && self.granted.len() == self.tracks().len() {
                    self.want_offer(now);
                }
            }
            Response::Answer(answer) if answer.id == self.version => {
                let remote = sdp::parse(&answer.sdp);
                self.sending.set_remote(now, &remote);
                self.publishing.learn(&remote, &self.sections);
                if self.profile.form == Form::Single {
                    self.receiver.learn(&remote);
                }
                self.offer_out = false;
                if std::mem::take(&mut self.offer_due) {
                    self.want_offer(now);
                }
            }
            Response::Offer(offer) => {
                let remote = sdp::parse(&offer.sdp);
                let Some(receiving) = &mut self.receiving else { return };
                if receiving.is_restart(&remote) {
                    receiving.renew(&mut self.random);
                }
                receiving.set_remote(now, &remote);
                let sdp = sdp::answer(&receiving.local, offer.id, &remote);
                self.receiver.learn(&remote);
                self.requests.push(Request::Answer(description("answer", sdp, offer.id)));
            }
            Response::MediaSectionsRequirement(wanted) => {
                let kinds = [(Kind::Audio, wanted.num_audios), (Kind::Video, wanted.num_videos)];
                for (kind, count) in kinds {
                    self.sections.extend((0..count).map(|_| Offered { kind, sends: None }));
                }
                self.want_offer(now);
            }
            Response::StreamStateUpdate(update) => {
                for state in update.stream_states {
                    let paused = state.state() == proto::StreamState::Paused;
                    let known = self.paused.entry(state.track_sid).or_insert((false, now));
                    if known.0 != paused {
                        *known = (paused, now);
                    }
                }
            }
            Response::SubscribedQualityUpdate(update) => self.publishing.obey(&update),
            Response::Leave(leave) => self.told_to_leave = Some(leave),
            Response::RequestResponse(refusal) if self.profile.may_publish && refusal.reason != 0 => {
                self.failures.push(format!("refused: {}", refusal.message));
            }
            _ => {}
        }
    }

    /// A datagram of the server's, on the connection that is bound to `path`. Whether it may change what is due next: media
    /// doesn't, as it is answered in the next feedback.
    pub(crate) fn datagram(&mut self, now: Instant, path: Path, datagram: &mut [u8]) -> bool {
        // DTLS carries the data channels: who never reads them acknowledges nothing.
        if self.attack == Some(Attack::StopsReading) && matches!(datagram, [20..=63, ..]) {
            return false;
        }
        let sending = path.remote == self.sending.path.remote;
        let random = &mut self.random;
        let connection = match &mut self.receiving {
            Some(receiving) if !sending => receiving,
            _ => &mut self.sending,
        };
        let was_up = connection.is_up();
        let incoming = connection.handle(now, random, datagram);
        let (came_up, has_output) = (connection.is_up() != was_up, connection.has_output());
        if came_up {
            self.disturbed = self.disturbed.max(now);
        }
        while let Some((label, message)) = connection.messages.pop_front() {
            self.receiver.message(now, &label, &message);
        }
        match incoming {
            Incoming::Rtp(len) => {
                self.receiver.rtp(now, &datagram[..len]);
                return false;
            }
            Incoming::Rtcp(len) => {
                self.publishing.rtcp(&datagram[..len]);
                self.receiver.rtcp(now, &datagram[..len]);
                self.wake |= self.publishing.has_to_resend();
            }
            Incoming::Other => self.wake |= came_up || has_output,
        }
        true
    }

    /// What is due now; datagrams go to `out`.
    pub(crate) fn act(&mut self, now: Instant, out: &mut Vec<(Path, Vec<u8>)>) {
        if self.next_ping <= now {
            self.next_ping = now + PING_EVERY;
            self.requests.push(Request::Ping(0));
        }
        self.publishing.act(now, &mut self.sending, self.muted, self.profile.camera, out);
        let receiving = self.receiving.as_mut().unwrap_or(&mut self.sending);
        self.receiver.act(now, receiving, self.attack, out);
        if self.next_data <= now {
            self.next_data = now + DATA_EVERY;
            let packet = crate::data::packet(self.id, self.data_sent + 1, 0);
            if self.sending.send(RELIABLE, &packet) {
                self.data_sent += 1;
            }
            self.sending.send(LOSSY, &crate::data::packet(self.id, 0, 0));
        }
        self.flood(now);
        self.sending.act(now, &mut self.random, out);
        if let Some(receiving) = &mut self.receiving {
            receiving.act(now, &mut self.random, out);
        }
    }

    /// Turns against the others; one of them sends under these SSRCs.
    pub(crate) fn turn(&mut self, attack: Attack, ssrcs: &[u32]) {
        (self.attack, self.honest) = (Some(attack), false);
        match attack {
            Attack::InventsStreams => self.publishing.invents = true,
            Attack::TakesSsrcs => self.publishing.take_ssrcs(ssrcs),
            Attack::FloodsData => {
                for number in 0..FLOOD_CHANNELS {
                    self.sending.open_channel(&format!("flood {number}"), number % 2 == 0);
                }
            }
            _ => {}
        }
    }

    /// As many messages as its channels take. It acts whenever it sends sound, so that this is never late.
    fn flood(&mut self, now: Instant) {
        if self.attack != Some(Attack::FloodsData) || self.next_flood > now {
            return;
        }
        self.next_flood = now + FLOOD_EVERY;
        for _ in 0..FLOOD {
            let packet = crate::data::packet(self.id, self.data_sent + 1, FLOOD_BYTES);
            if self.sending.send(RELIABLE, &packet) {
                self.data_sent += 1;
            }
            self.sending.send(LOSSY, &crate::data::packet(self.id, 0, FLOOD_BYTES));
        }
    }

    /// When [`Client::act`] is due.
    pub(crate) fn next(&self) -> Instant {
        let own = self.next_ping.min(self.next_data).min(self.publishing.next(self.profile.camera));
        let receiving = self.receiving.as_ref().and_then(Connection::next);
        [self.sending.next(), receiving, self.receiver.next()].into_iter().flatten().fold(own, Instant::min)
    }

    /// Mutes its microphone and camera, or unmutes them.
    pub(crate) fn mute(&mut self, now: Instant, muted: bool) {
        (self.muted, self.disturbed) = (muted, self.disturbed.max(now));
        for sid in self.publishing.sids.values() {
            self.requests.push(Request::Mute(proto::MuteTrackRequest { sid: sid.clone(), muted }));
        }
    }

    /// Offers anew, with the section of its pictures sending nothing.
    pub(crate) fn stop_pictures(&mut self, now: Instant) {
        self.profile.camera = false;
        for section in self.sections.iter_mut().filter(|section| section.kind == Kind::Video) {
            section.sends = None;
        }
        self.want_offer(now);
    }

    /// Asks for all pictures in one size.
    pub(crate) fn watch(&mut self, quality: proto::VideoQuality) {
        let track_sids: Vec<String> = self.roster.values().flatten().cloned().collect();
        if !track_sids.is_empty() {
            let settings =
                proto::UpdateTrackSettings { track_sids, quality: quality.into(), ..Default::default() };
            self.requests.push(Request::TrackSetting(settings));
        }
    }

    fn tracks(&self) -> Vec<proto::AddTrackRequest> {
        let mut tracks = vec![proto::AddTrackRequest {
            cid: track_cid(self.id, "mic"),
            r#type: proto::TrackType::Audio.into(),
            source: proto::TrackSource::Microphone.into(),
            ..Default::default()
        }];
        if self.profile.camera {
            let layered = self.profile.pictures == Pictures::Layers;
            let layer = |(place, rid): (usize, &&str)| proto::VideoLayer {
                quality: place as i32,
                width: 320 << place,
                height: 180 << place,
                bitrate: 240_000 << place,
                rid: if layered { String::new() } else { (*rid).to_owned() },
                ..Default::default()
            };
            let cid = track_cid(self.id, "cam");
            let codec =
                proto::SimulcastCodec { codec: "av1".to_owned(), cid: cid.clone(), ..Default::default() };
            tracks.push(proto::AddTrackRequest {
                cid,
                r#type: proto::TrackType::Video.into(),
                source: proto::TrackSource::Camera.into(),
                width: 1280,
                height: 720,
                layers: LAYERS.iter().enumerate().map(layer).collect(),
                simulcast_codecs: if layered { vec![codec] } else { Vec::new() },
                ..Default::default()
            });
        }
        tracks
    }

    fn sync_state(&self) -> proto::SyncState {
        let states = self.receiver.counts.iter().map(|(sid, last)| proto::DataChannelReceiveState {
            publisher_sid: sid.clone(),
            last_seq: *last,
        });
        proto::SyncState { datachannel_receive_states: states.collect(), ..Default::default() }
    }

    fn offer(&mut self, _now: Instant) -> proto::SessionDescription {
        self.version += 1;
        self.offer_out = true;
        let red = self.profile.sound == Sound::Redundant;
        let sdp = sdp::offer(&self.sending.local, self.version, &self.sections, red);
        description("offer", sdp, self.version)
    }

    fn want_offer(&mut self, now: Instant) {
        if self.offer_out {
            self.offer_due = true;
            return;
        }
        let offer = self.offer(now);
        self.requests.push(Request::Offer(offer));
    }

    fn update(&mut self, participants: Vec<proto::ParticipantInfo>) {
        self.news = true;
        for info in participants {
            if info.identity == self.identity() {
                continue;
            }
            if info.state() == proto::participant_info::State::Disconnected {
                self.roster.remove(&info.identity);
            } else {
                let tracks = info.tracks.into_iter().map(|track| track.sid).collect();
                self.roster.insert(info.identity, tracks);
            }
        }
    }

    /// The offer that was under way is lost with the socket.
    pub(crate) fn socket_lost(&mut self) {
        self.socket = None;
        self.offer_out = false;
        self.requests.clear();
    }
}

impl Sleeper for Client {
    /// When it does something next, frozen or not.
    fn wakes_at(&self, now: Instant) -> Option<Instant> {
        if self.wake {
            return Some(now);
        }
        let resumes = self.resumes_at.into_iter();
        let next = resumes.fold(self.next(), Instant::min);
        Some(self.frozen_until.map_or(next, |until| next.max(until)))
    }
}

fn description(kind: &str, sdp: String, id: u32) -> proto::SessionDescription {
    proto::SessionDescription { r#type: kind.to_owned(), sdp, id, ..Default::default() }
}

pub(crate) fn track_cid(id: ClientId, what: &str) -> String {
    format!("{what}{}", id.0)
}
