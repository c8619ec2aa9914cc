// SPDX-License-Identifier: EUPL-1.2
//! Someone in a call on real sockets, with both connections of `/rtc`: sends sound and pictures, hears those of others,
//! and is as well or ill behaved as its test wants.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use livekit_protocol as proto;
use livekit_protocol::signal_request::Message as Request;
use livekit_protocol::signal_response::Message as Response;
use parvis_peer::framing::{Deframer, frame};
use parvis_peer::sdp::{CodecKind, MediaKind, Msid, SenderId, SenderSpec, SessionConfig};
use parvis_peer::{
    ChannelId, ChannelSpec, Path, Peer, PeerConfig, PeerEvent, PeerLimits, Protocol, Received,
};
use parvis_rtp::rtcp::{Rtcp, Writer, packets};
use parvis_rtp::{Extensions, HeaderFields, Packet, write_packet};
use prost::Message as _;
use tokio_tungstenite::tungstenite::stream::MaybeTlsStream;
use tokio_tungstenite::tungstenite::{Error, Message, WebSocket, connect};

use super::caller::{boring, candidate, credentials};
use super::{PATIENCE, until};

const CHECK_EVERY: Duration = Duration::from_millis(200);
/// The sound's stream; each member has its own unless a test says otherwise.
pub const SOUND: u64 = 1;
pub const PICTURE: u64 = 2;

/// One peer connection with its socket and its checks.
pub struct Leg {
    socket: UdpSocket,
    /// Used instead of the socket, once there is one (RFC 6544).
    tcp: Option<(TcpStream, Deframer)>,
    wants_tcp: bool,
    pub peer: Peer,
    path: Path,
    local: Option<(String, String)>,
    remote: Option<(String, String)>,
    next_check: Instant,
    checks: u32,
    pub connected: bool,
    /// Data messages that came.
    pub messages: u32,
}

/// A packet that came: which stream's, its number there, its transport-wide number, its payload, and when.
#[derive(Debug, Clone)]
pub struct Heard {
    pub ssrc: u32,
    pub sequence: u16,
    pub bytes: usize,
    pub payload: Vec<u8>,
    pub at: Instant,
}

pub struct Member {
    pub name: u8,
    signalling: WebSocket<MaybeTlsStream<TcpStream>>,
    pub sending: Leg,
    pub receiving: Leg,
    pub ssrcs: [u32; 2],
    counts: [u16; 2],
    channel: Option<ChannelId>,
    pub heard: Vec<Heard>,
    /// Key frames that the server asked us for.
    pub asked: u32,
    /// Bytes of media that came, as on the wire.
    pub media_bytes: usize,
}

impl Leg {
    fn new(port_seed: u8) -> Leg {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let local = socket.local_addr().unwrap();
        let config = PeerConfig {
            local_candidates: Arc::new([]),
            dtls: boring(),
            sdp: Arc::new(SessionConfig::default()),
            sctp: parvis_peer::sctp::SctpLimits::default(),
            limits: PeerLimits::default(),
            ufrag_tag: None,
        };
        let now = Instant::now();
        let mut seed = [port_seed; 32];
        seed[..2].copy_from_slice(&local.port().to_be_bytes());
        let path = Path { protocol: Protocol::Udp, local, remote: local };
        let peer = Peer::new(Arc::new(config), seed, now);
        Leg {
            socket,
            tcp: None,
            wants_tcp: false,
            peer,
            path,
            local: None,
            remote: None,
            next_check: now,
            checks: 0,
            connected: false,
            messages: 0,
        }
    }

    fn learn(&mut self, ours: &str, servers: &str) {
        self.local = Some(credentials(ours));
        self.remote = Some(credentials(servers));
        if !self.wants_tcp {
            self.path.remote = candidate(servers, "udp");
        } else if self.tcp.is_none() {
            self.path.remote = candidate(servers, "tcp");
            let stream = TcpStream::connect(self.path.remote).unwrap();
            // So that one who doesn't read is soon noticed.
            nix::sys::socket::setsockopt(&stream, nix::sys::socket::sockopt::RcvBuf, &8_192).unwrap();
            stream.set_nonblocking(true).unwrap();
            self.path = Path { protocol: Protocol::Tcp, local: stream.local_addr().unwrap(), ..self.path };
            self.tcp = Some((stream, Deframer::new(2_048)));
        }
    }

    pub fn send(&self, datagram: &[u8]) {
        if let Some((stream, _)) = &self.tcp {
            let mut framed = Vec::new();
            frame(datagram, &mut framed).unwrap();
            // Little is ever sent this way: it fits, or is lost whole.
            let _ = (&mut &*stream).write_all(&framed);
            return;
        }
        // A full socket drops; what the server does with the rest is what is tested.
        let _ = self.socket.send_to(datagram, self.path.remote);
    }

    /// Sends RTCP of the test's making.
    pub fn send_rtcp(&mut self, write: impl FnOnce(&mut Writer<'_>)) {
        let mut packet = [0; 1400];
        let mut writer = Writer::new(&mut packet[..1300]);
        writer.receiver_report(7, &[]).unwrap();
        write(&mut writer);
        let len = writer.len();
        let len = self.peer.protect_rtcp(&mut packet, len).expect("keys");
        self.send(&packet[..len]);
    }

    fn act(&mut self, now: Instant) {
        if let (true, Some((ufrag, password)), Some((own, own_password))) =
            (self.next_check <= now, &self.remote, &self.local)
        {
            self.next_check = now + CHECK_EVERY;
            self.checks += 1;
            let mut id = [2; 12];
            id[..4].copy_from_slice(&self.checks.to_be_bytes());
            self.send(&parvis_sim::stun::check(ufrag, own, password, id));
            // Ours is a lite agent, that takes DTLS only from where a check came from: we vouch for the server's path.
            let mut vouched = parvis_sim::stun::check(own, ufrag, own_password, id);
            self.peer.handle_datagram(now, self.path, &mut vouched);
        }
        if self.peer.poll_timeout().is_some_and(|at| at <= now) {
            self.peer.handle_timeout(now);
        }
        while let Some(event) = self.peer.poll_event() {
            self.connected |= matches!(event, PeerEvent::Connected(_));
            self.messages += u32::from(matches!(event, PeerEvent::ChannelMessage { .. }));
        }
        while let Some((_, datagram)) = self.peer.poll_transmit() {
            if datagram.first().is_some_and(|first| *first > 3) {
                self.send(&datagram);
            }
        }
    }

    /// Takes what has come; `each` gets authentic media and reports.
    fn receive(&mut self, mut each: impl FnMut(Received, &[u8], Instant)) {
        let mut buffer = [0; 2048];
        let (peer, path) = (&mut self.peer, self.path);
        if let Some((stream, deframer)) = &mut self.tcp {
            while let Ok(length @ 1..) = stream.read(&mut buffer) {
                let taken = deframer.feed(&buffer[..length], |datagram| {
                    let now = Instant::now();
                    let received = peer.handle_datagram(now, path, datagram);
                    each(received, datagram, now);
                });
                taken.unwrap();
            }
            return;
        }
        loop {
            match self.socket.recv_from(&mut buffer) {
                Ok((length, _)) => {
                    let now = Instant::now();
                    let received = peer.handle_datagram(now, path, &mut buffer[..length]);
                    each(received, &buffer[..length], now);
                }
                Err(error) => {
                    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionRefused));
                    return;
                }
            }
        }
    }
}

impl Member {
    /// Joins, offers sound and pictures, and waits until both connections are up.
    pub fn join(server: SocketAddr, token: &str, name: u8, ssrcs: [u32; 2]) -> Member {
        Member::join_by(server, token, name, ssrcs, false)
    }

    /// The same; what others send comes over TCP, if so wanted.
    pub fn join_by(server: SocketAddr, token: &str, name: u8, ssrcs: [u32; 2], tcp: bool) -> Member {
        let url = format!("ws://{server}/rtc?access_token={token}&protocol=16&auto_subscribe=1");
        let (signalling, _) = connect(url).unwrap();
        if let MaybeTlsStream::Plain(stream) = signalling.get_ref() {
            stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        }
        let mut member = Member {
            name,
            signalling,
            sending: Leg::new(name),
            receiving: Leg::new(name),
            ssrcs,
            counts: [0; 2],
            channel: None,
            heard: Vec::new(),
            asked: 0,
            media_bytes: 0,
        };
        member.receiving.wants_tcp = tcp;
        member.offer();
        let end = Instant::now() + PATIENCE;
        while !(member.sending.connected && member.receiving.connected) {
            assert!(Instant::now() < end, "not connected in {PATIENCE:?}");
            member.signal();
            member.act();
        }
        member
    }

    fn offer(&mut self) {
        let tracks = [
            (
                SOUND,
                "sound",
                MediaKind::Audio,
                CodecKind::Opus,
                proto::TrackType::Audio,
                proto::TrackSource::Microphone,
            ),
            (
                PICTURE,
                "picture",
                MediaKind::Video,
                CodecKind::Vp8,
                proto::TrackType::Video,
                proto::TrackSource::Camera,
            ),
        ];
        for (place, (id, cid, kind, codec, r#type, source)) in tracks.into_iter().enumerate() {
            self.sending.peer.add_sender(SenderSpec {
                id: SenderId(id),
                kind,
                codecs: vec![codec],
                msid: Msid { stream: "stream".to_owned(), track: cid.to_owned() },
                ssrc: self.ssrcs[place],
                rtx_ssrc: None,
                fec_ssrc: None,
            });
            let add = proto::AddTrackRequest {
                cid: cid.to_owned(),
                r#type: r#type.into(),
                source: source.into(),
                width: 320,
                height: 180,
                ..Default::default()
            };
            self.request(Request::AddTrack(add));
        }
        // As the clients' own: unordered, and never sent again.
        let lossy = ChannelSpec { label: "_lossy".to_owned(), ordered: false, max_retransmits: Some(0) };
        self.channel = self.sending.peer.open_channel(Instant::now(), lossy).ok();
        let sdp = self.sending.peer.create_offer(Instant::now(), false).unwrap();
        self.sending.local = Some(credentials(&sdp));
        let offer = proto::SessionDescription { r#type: "offer".to_owned(), sdp, ..Default::default() };
        self.request(Request::Offer(offer));
    }

    fn request(&mut self, message: Request) {
        let request = proto::SignalRequest { message: Some(message) };
        self.signalling.send(Message::Binary(request.encode_to_vec().into())).unwrap();
    }

    /// Follows what the server says: its answer, and its offers as tracks come.
    pub fn signal(&mut self) {
        loop {
            let bytes = match self.signalling.read() {
                Ok(Message::Binary(bytes)) => bytes,
                Ok(_) => continue,
                Err(Error::Io(error))
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    return;
                }
                Err(error) => panic!("signalling: {error}"),
            };
            let now = Instant::now();
            match proto::SignalResponse::decode(bytes).unwrap().message {
                Some(Response::Answer(answer)) => {
                    self.sending.peer.accept_answer(now, &answer.sdp).unwrap();
                    let own = self.sending.local.clone();
                    self.sending.remote = Some(credentials(&answer.sdp));
                    self.sending.path.remote = candidate(&answer.sdp, "udp");
                    self.sending.local = own;
                }
                Some(Response::Offer(offer)) => {
                    let sdp = self.receiving.peer.accept_offer(now, &offer.sdp).unwrap();
                    self.receiving.learn(&sdp, &offer.sdp);
                    let answer = proto::SessionDescription {
                        r#type: "answer".to_owned(),
                        sdp,
                        id: offer.id,
                        ..Default::default()
                    };
                    self.request(Request::Answer(answer));
                }
                _ => {}
            }
        }
    }

    /// Leaves with a word, and waits until the server has heard it.
    pub fn leave(mut self) {
        self.request(Request::Leave(proto::LeaveRequest::default()));
        until("the server hangs up", || match self.signalling.read() {
            Ok(_) => false,
            Err(Error::Io(error)) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
            Err(_) => true,
        });
    }

    /// Does what is due on both connections and takes what came.
    pub fn act(&mut self) {
        let now = Instant::now();
        self.sending.act(now);
        self.receiving.act(now);
        let asked = &mut self.asked;
        self.sending.receive(|received, datagram, _| {
            if let Received::Rtcp { len } = received {
                let wants =
                    |packet: &Result<Rtcp<'_>, _>| matches!(packet, Ok(Rtcp::Pli { .. } | Rtcp::Fir(_)));
                *asked += packets(&datagram[..len]).filter(wants).count() as u32;
            }
        });
        let (heard, media_bytes) = (&mut self.heard, &mut self.media_bytes);
        self.receiving.receive(|received, datagram, at| {
            let Received::Rtp { len } = received else { return };
            *media_bytes += datagram.len();
            let Ok(packet) = Packet::parse(&datagram[..len]) else { return };
            let (ssrc, sequence) = (packet.ssrc, packet.sequence);
            heard.push(Heard { ssrc, sequence, bytes: datagram.len(), payload: packet.payload.to_vec(), at });
        });
    }

    /// One encrypted packet of a track (`SOUND` or `PICTURE`), with another SSRC where one is named.
    pub fn packet(&mut self, track: u64, payload: &[u8], ssrc: Option<u32>) -> Option<Vec<u8>> {
        let place = track as usize - 1;
        let sections = self.sending.peer.sections();
        let section = sections.iter().find(|section| section.sender == Some(SenderId(track)))?;
        self.counts[place] = self.counts[place].wrapping_add(1);
        let fields = HeaderFields {
            marker: track == PICTURE,
            payload_type: section.codecs.first()?.payload_type,
            sequence: self.counts[place],
            timestamp: u32::from(self.counts[place]) * if track == SOUND { 960 } else { 3_000 },
            ssrc: ssrc.unwrap_or(self.ssrcs[place]),
            ..HeaderFields::default()
        };
        let extensions = Extensions { mid: Some(section.mid), ..Extensions::default() };
        let mut packet = [0; 1500];
        let len = write_packet(&mut packet, &fields, &section.extensions, &extensions, payload).unwrap();
        let len = self.sending.peer.protect_rtp(&mut packet, len)?;
        Some(packet[..len].to_vec())
    }

    /// Sound that says whose it is and the how manieth.
    pub fn say(&mut self, count: u32) {
        let payload = [&[b'A', self.name], count.to_be_bytes().as_slice(), &[0; 74]].concat();
        if let Some(packet) = self.packet(SOUND, &payload, None) {
            self.sending.send(&packet);
        }
    }

    /// A picture of one packet (RFC 7741 section 4.2, RFC 6386 section 9.1); each fifteenth is a key frame.
    pub fn show(&mut self, count: u32) {
        let key = count.is_multiple_of(15);
        let mut payload = vec![0x10, u8::from(!key) | 0x10, 0, 0];
        if key {
            payload.extend([0x9d, 0x01, 0x2a, 64, 1, 180, 0]);
        }
        payload.resize(500, 0x55);
        if let Some(packet) = self.packet(PICTURE, &payload, None) {
            self.sending.send(&packet);
        }
    }

    /// A message for one; whether our own channel took it.
    pub fn send_data(&mut self, to: &str, bytes: usize) -> bool {
        let user = proto::UserPacket { payload: vec![7; bytes], ..Default::default() };
        let packet = proto::DataPacket {
            value: Some(proto::data_packet::Value::User(user)),
            destination_identities: vec![to.to_owned()],
            ..Default::default()
        };
        let channel = self.channel.expect("the channel was opened");
        self.sending.peer.send(Instant::now(), channel, &packet.encode_to_vec()).is_ok()
    }

    /// The streams that came, by whether they are sound, and how much of each.
    pub fn streams(&self, sound: bool) -> BTreeMap<u32, usize> {
        let mut streams = BTreeMap::new();
        for heard in self.heard.iter().filter(|heard| (heard.payload.first() == Some(&b'A')) == sound) {
            *streams.entry(heard.ssrc).or_default() += 1;
        }
        streams
    }
}
