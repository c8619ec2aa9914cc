// SPDX-License-Identifier: EUPL-1.2
//! A client of our own on a real socket: it joins, connects by BoringSSL and sends sound.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use livekit_protocol as proto;
use livekit_protocol::signal_request::Message as Request;
use livekit_protocol::signal_response::Message as Response;
use parvis_dtls::{Certificate, Context, Factory, Role};
use parvis_peer::sdp::{CodecKind, MediaKind, Msid, SenderId, SenderSpec, SessionConfig};
use parvis_peer::{Path, Peer, PeerConfig, PeerEvent, PeerLimits, Protocol, Received};
use parvis_rtp::{Extensions, HeaderFields, write_packet};
use prost::Message as _;
use tokio_tungstenite::tungstenite::stream::MaybeTlsStream;
use tokio_tungstenite::tungstenite::{Error, Message, WebSocket, connect};

use super::PATIENCE;

/// As browsers do before they are connected.
const CHECK_EVERY: Duration = Duration::from_millis(50);
/// As SDKs say by signalling that they are there.
const PING_EVERY: Duration = Duration::from_secs(5);
const SSRC: u32 = 0x5eed;

pub fn boring() -> Arc<dyn Factory> {
    Arc::new(Context::new(&Certificate::generate().unwrap(), parvis_dtls::Config::default()).unwrap())
}

/// The first flight of someone who wants to be heard as a DTLS client.
pub fn client_hello() -> Vec<u8> {
    let now = Instant::now();
    let mut endpoint = boring().endpoint(Role::Client, [0; 32], [9; 32], now).unwrap();
    endpoint.handle_timeout(now).unwrap();
    endpoint.poll_transmit().expect("a ClientHello")
}

pub struct Caller {
    socket: UdpSocket,
    peer: Peer,
    /// From the server's point of view turned round: ours is local.
    path: Path,
    pub signalling: WebSocket<MaybeTlsStream<TcpStream>>,
    local: (String, String),
    remote: (String, String),
    next_check: Instant,
    next_ping: Instant,
    pub checks: u32,
    sequence: u16,
    pub connected: bool,
    /// RTCP packets of the server's that were authentic.
    pub reports: u32,
    /// Bytes of checks that left, and of their answers.
    pub check_bytes: usize,
    pub answer_bytes: usize,
    /// The server's description.
    pub answer: String,
}

impl Caller {
    /// Joins and exchanges descriptions. Nothing is sent to the media port yet.
    pub fn join(server: SocketAddr, token: &str) -> Caller {
        Caller::try_join(server, token).unwrap()
    }

    /// The same where the server may turn us away.
    pub fn try_join(server: SocketAddr, token: &str) -> Result<Caller, Box<Error>> {
        Caller::over(server, token, ("127.0.0.1", IpAddr::from([127, 0, 0, 1])))
    }

    /// The same behind a NAT of the server's: of these two addresses it offers the first, and listens on the second.
    pub fn join_through(server: SocketAddr, token: &str, nat: (&str, IpAddr)) -> Caller {
        Caller::over(server, token, nat).unwrap()
    }

    fn over(server: SocketAddr, token: &str, (offered, bound): (&str, IpAddr)) -> Result<Caller, Box<Error>> {
        let url = format!("ws://{server}/rtc?access_token={token}&protocol=16&auto_subscribe=1");
        let (mut signalling, _) = connect(url)?;
        if let MaybeTlsStream::Plain(stream) = signalling.get_ref() {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
        }
        let socket = UdpSocket::bind((bound, 0)).unwrap();
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
        let mut peer = Peer::new(Arc::new(config), [local.port() as u8; 32], now);
        peer.add_sender(SenderSpec {
            id: SenderId(1),
            kind: MediaKind::Audio,
            codecs: vec![CodecKind::Opus],
            msid: Msid { stream: "stream".to_owned(), track: "sound".to_owned() },
            ssrc: SSRC,
            rtx_ssrc: None,
            fec_ssrc: None,
        });
        let sdp = peer.create_offer(now, false).unwrap();
        let own = credentials(&sdp);
        let add = proto::AddTrackRequest {
            cid: "sound".to_owned(),
            r#type: proto::TrackType::Audio.into(),
            source: proto::TrackSource::Microphone.into(),
            ..Default::default()
        };
        let offer = proto::SessionDescription { r#type: "offer".to_owned(), sdp, ..Default::default() };
        for message in [Request::AddTrack(add), Request::Offer(offer)] {
            let request = proto::SignalRequest { message: Some(message) };
            signalling.send(Message::Binary(request.encode_to_vec().into()))?;
        }
        let answer = loop {
            let Message::Binary(bytes) = signalling.read()? else { continue };
            if let Some(Response::Answer(answer)) = proto::SignalResponse::decode(bytes).unwrap().message {
                break answer.sdp;
            }
        };
        peer.accept_answer(now, &answer).unwrap();
        let path = Path {
            protocol: Protocol::Udp,
            local,
            remote: SocketAddr::new(bound, port(&answer, "udp", offered)),
        };
        Ok(Caller {
            socket,
            peer,
            path,
            signalling,
            local: own,
            remote: credentials(&answer),
            next_check: now,
            next_ping: now,
            checks: 0,
            sequence: 0,
            connected: false,
            reports: 0,
            check_bytes: 0,
            answer_bytes: 0,
            answer,
        })
    }

    /// Hangs up as a client does that means it.
    pub fn leave(mut self) {
        let request = proto::SignalRequest { message: Some(Request::Leave(proto::LeaveRequest::default())) };
        let _ = self.signalling.send(Message::Binary(request.encode_to_vec().into()));
    }

    /// Says by signalling that we are there, when it is time to, and hears what the server has said meanwhile. `false`
    /// when it has hung up.
    pub fn keep_signalling(&mut self) -> bool {
        let now = Instant::now();
        if self.next_ping <= now {
            self.next_ping = now + PING_EVERY;
            let ping = Request::PingReq(proto::Ping { timestamp: 1, rtt: 1 });
            let request = proto::SignalRequest { message: Some(ping) };
            if self.signalling.send(Message::Binary(request.encode_to_vec().into())).is_err() {
                return false;
            }
        }
        self.wait_for_signalling(false);
        let is_open = loop {
            match self.signalling.read() {
                Ok(Message::Close(_)) => break false,
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => break true,
                Err(_) => break false,
            }
        };
        self.wait_for_signalling(true);
        is_open
    }

    fn wait_for_signalling(&self, wait: bool) {
        if let MaybeTlsStream::Plain(stream) = self.signalling.get_ref() {
            stream.set_nonblocking(!wait).unwrap();
        }
    }

    /// Whether a check of ours over TCP (RFC 6544), on a connection of its own, is answered.
    pub fn is_answered_over_tcp(&self, server: SocketAddr) -> bool {
        let (ufrag, password) = &self.remote;
        let check = parvis_sim::stun::check(ufrag, &self.local.0, password, [9; 12]);
        let frame = [&(check.len() as u16).to_be_bytes(), check.as_slice()].concat();
        let Ok(mut stream) = TcpStream::connect(server) else { return false };
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut answer = [0; 22];
        // A frame's length, and in it a success response to a binding request (RFC 8489 section 5) of this number.
        stream.write_all(&frame).is_ok()
            && stream.read_exact(&mut answer).is_ok()
            && answer[2..4] == [1, 1]
            && answer[10..] == [9; 12]
    }

    /// The server's media port.
    pub fn media(&self) -> SocketAddr {
        self.path.remote
    }

    /// Names another address where we are said to be.
    pub fn trickle(&mut self, candidate: &str) {
        let init = format!("{{\"candidate\":\"{candidate}\",\"sdpMid\":\"0\",\"sdpMLineIndex\":0}}");
        let target = proto::SignalTarget::Publisher.into();
        let trickle = proto::TrickleRequest { candidate_init: init, target, ..Default::default() };
        let request = proto::SignalRequest { message: Some(Request::Trickle(trickle)) };
        self.signalling.send(Message::Binary(request.encode_to_vec().into())).unwrap();
    }

    /// A check as ours, but with another password.
    pub fn forged_check(&self, transaction: u32) -> Vec<u8> {
        let mut id = [0; 12];
        id[..4].copy_from_slice(&transaction.to_be_bytes());
        parvis_sim::stun::check(&self.remote.0, &self.local.0, "a password that nobody ever heard of", id)
    }

    /// Does what is due and takes what comes, until something holds.
    pub fn run_until(&mut self, what: &str, mut holds: impl FnMut(&Caller) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !holds(self) {
            assert!(Instant::now() < end, "{what}: not in {PATIENCE:?}");
            self.turn();
        }
    }

    /// One packet of sound, encrypted; it is for the caller to send.
    pub fn sound(&mut self) -> Vec<u8> {
        let section = self.peer.sections().iter().find(|section| section.sender == Some(SenderId(1)));
        let section = section.expect("the section was agreed");
        self.sequence += 1;
        let fields = HeaderFields {
            payload_type: section.codecs[0].payload_type,
            sequence: self.sequence,
            timestamp: u32::from(self.sequence) * 960,
            ssrc: SSRC,
            ..HeaderFields::default()
        };
        let extensions = Extensions { mid: Some(section.mid), ..Extensions::default() };
        let mut packet = [0; 200];
        let len = write_packet(&mut packet, &fields, &section.extensions, &extensions, &[7; 80]).unwrap();
        let len = self.peer.protect_rtp(&mut packet, len).expect("keys");
        packet[..len].to_vec()
    }

    pub fn send_sound(&mut self) {
        let packet = self.sound();
        self.send(&packet);
    }

    fn send(&self, datagram: &[u8]) {
        self.socket.send_to(datagram, self.path.remote).unwrap();
    }

    fn turn(&mut self) {
        let now = Instant::now();
        if self.next_check <= now {
            self.next_check = now + CHECK_EVERY;
            self.checks += 1;
            let (ufrag, password) = &self.remote;
            let mut id = [1; 12];
            id[..4].copy_from_slice(&self.checks.to_be_bytes());
            let check = parvis_sim::stun::check(ufrag, &self.local.0, password, id);
            self.check_bytes += check.len();
            self.send(&check);
            // Ours is a lite agent, that takes DTLS only from where a check came from: we vouch for the server's path.
            let mut vouched = parvis_sim::stun::check(&self.local.0, ufrag, &self.local.1, id);
            self.peer.handle_datagram(now, self.path, &mut vouched);
        }
        if self.peer.poll_timeout().is_some_and(|at| at <= now) {
            self.peer.handle_timeout(now);
        }
        while let Some(event) = self.peer.poll_event() {
            self.connected |= matches!(event, PeerEvent::Connected(_));
        }
        while let Some((_, datagram)) = self.peer.poll_transmit() {
            // The answers to our own vouching go nowhere.
            if datagram.first().is_some_and(|first| *first > 3) {
                self.send(&datagram);
            }
        }
        self.socket.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        let mut buffer = [0; 2048];
        match self.socket.recv_from(&mut buffer) {
            Ok((length, from)) => {
                assert_eq!(from, self.path.remote);
                if buffer[0] <= 3 {
                    self.answer_bytes += length;
                } else if let Received::Rtcp { .. } =
                    self.peer.handle_datagram(Instant::now(), self.path, &mut buffer[..length])
                {
                    self.reports += 1;
                }
            }
            Err(error) => assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)),
        }
    }
}

/// The first ufrag and password of a description.
pub fn credentials(sdp: &str) -> (String, String) {
    let line =
        |name: &str| sdp.lines().find_map(|line| line.trim_end().strip_prefix(name)).unwrap().to_owned();
    (line("a=ice-ufrag:"), line("a=ice-pwd:"))
}

/// The candidate on loopback.
pub fn candidate(sdp: &str, protocol: &str) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port(sdp, protocol, "127.0.0.1")))
}

/// The port of the candidate at an address.
fn port(sdp: &str, protocol: &str, address: &str) -> u16 {
    let candidates = sdp.lines().filter_map(|line| line.trim_end().strip_prefix("a=candidate:"));
    let mut ports = candidates.filter_map(|candidate| {
        let words: Vec<&str> = candidate.split(' ').collect();
        let fits = words.get(2)?.eq_ignore_ascii_case(protocol) && *words.get(4)? == address;
        fits.then(|| words[5].parse().unwrap())
    });
    ports.next().unwrap_or_else(|| panic!("a candidate at {address}: {sdp}"))
}
