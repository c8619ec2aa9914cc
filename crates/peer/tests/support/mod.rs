// SPDX-License-Identifier: EUPL-1.2
//! A hand-made WebRTC client, full ICE as far as a lite agent sees it, and a world in virtual time.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod stun;
mod world;

use std::{sync::Arc, time::Instant};

use parvis_dtls::{Certificate, Config, Connected, Context, Endpoint, Event, Factory, Role};
use parvis_peer::{
    LocalCandidate, Path, Peer, PeerConfig, PeerLimits, Protocol,
    sctp::{Association, SctpConfig, SctpEvent, SctpLimits},
    sdp::SessionConfig,
};
use parvis_rtp::srtp::{KeyingMaterial, Limits, Profile, SrtpContext, SrtpError};

#[allow(unused_imports)]
pub use world::{Faults, World};

pub const SERVER: &str = "192.0.2.1:7882";
pub const CLIENT: &str = "198.51.100.7:50000";

pub fn udp(server: &str, client: &str) -> Path {
    path(Protocol::Udp, server, client)
}

pub fn path(protocol: Protocol, server: &str, client: &str) -> Path {
    Path { protocol, local: server.parse().unwrap(), remote: client.parse().unwrap() }
}

pub fn boring() -> Arc<dyn Factory> {
    Arc::new(Context::new(&Certificate::generate().unwrap(), Config::default()).unwrap())
}

pub fn config(dtls: Arc<dyn Factory>) -> PeerConfig {
    let candidate = |protocol, address: &str| LocalCandidate { protocol, address: address.parse().unwrap() };
    PeerConfig {
        local_candidates: Arc::new([
            candidate(Protocol::Udp, SERVER),
            candidate(Protocol::Udp, "[2001:db8::1]:7882"),
            candidate(Protocol::Tcp, "192.0.2.1:7881"),
        ]),
        dtls,
        sdp: Arc::new(SessionConfig::default()),
        sctp: SctpLimits::default(),
        limits: PeerLimits::default(),
        ufrag_tag: None,
    }
}

pub fn peer(now: Instant) -> Peer {
    Peer::new(Arc::new(config(boring())), [1; 32], now)
}

/// `a=NAME:` of a description.
pub fn attribute<'a>(sdp: &'a str, name: &str) -> Option<&'a str> {
    sdp.lines().find_map(|line| line.trim_end().strip_prefix("a=")?.strip_prefix(name)?.strip_prefix(':'))
}

/// The other side of a [`Peer`].
pub struct Client {
    pub dtls: Arc<dyn Factory>,
    pub endpoint: Option<Box<dyn Endpoint>>,
    pub role: Role,
    pub connected: Option<Connected>,
    pub dtls_error: Option<parvis_dtls::Error>,
    pub sctp: Association,
    pub sctp_events: Vec<SctpEvent>,
    pub outbound: Option<SrtpContext>,
    pub inbound: Option<SrtpContext>,
    pub ufrag: String,
    pub password: String,
    /// Of the server, from its description.
    pub remote_ufrag: String,
    pub remote_password: String,
    pub remote_fingerprint: [u8; 32],
    /// The path that it sends on.
    pub path: Path,
    pub seed: u8,
    /// Answers to its checks.
    pub answers: Vec<Vec<u8>>,
    /// Media that came, decrypted.
    pub media: Vec<Vec<u8>>,
    transactions: u32,
}

impl Client {
    pub fn new(dtls: Arc<dyn Factory>, seed: u8, now: Instant) -> Client {
        Client {
            dtls,
            endpoint: None,
            role: Role::Client,
            connected: None,
            dtls_error: None,
            sctp: Association::new(
                SctpConfig { dtls_client: true, initiate: true, ..SctpConfig::default() },
                [seed; 32],
                now,
            ),
            sctp_events: Vec::new(),
            outbound: None,
            inbound: None,
            ufrag: format!("client{seed}"),
            password: format!("clientpasswordclientpassword{seed}"),
            remote_ufrag: String::new(),
            remote_password: String::new(),
            remote_fingerprint: [0; 32],
            path: udp(SERVER, CLIENT),
            seed,
            answers: Vec::new(),
            media: Vec::new(),
            transactions: 0,
        }
    }

    fn fingerprint(&self) -> String {
        let hex: Vec<String> =
            self.dtls.fingerprint_sha256().iter().map(|byte| format!("{byte:02X}")).collect();
        hex.join(":")
    }

    fn description(&self, setup: &str) -> String {
        let transport = format!(
            "c=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\na=ice-ufrag:{}\r\na=ice-pwd:{}\r\n\
             a=ice-options:trickle\r\na=fingerprint:sha-256 {}\r\na=setup:{setup}\r\n",
            self.ufrag,
            self.password,
            self.fingerprint()
        );
        format!(
            "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n\
             a=group:BUNDLE 0 1\r\na=msid-semantic: WMS\r\n\
             m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n{transport}a=mid:0\r\na=sendrecv\r\na=rtcp-mux\r\n\
             a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n\
             m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n{transport}a=mid:1\r\n\
             a=sctp-port:5000\r\na=max-message-size:262144\r\n"
        )
    }

    pub fn offer(&self) -> String {
        self.description("actpass")
    }

    /// Takes what a description of the server's says of its transport.
    pub fn take_description(&mut self, sdp: &str) {
        self.remote_ufrag = attribute(sdp, "ice-ufrag").expect("ufrag").to_owned();
        self.remote_password = attribute(sdp, "ice-pwd").expect("password").to_owned();
        let (algorithm, hex) = attribute(sdp, "fingerprint").unwrap().split_once(' ').unwrap();
        assert!(algorithm.eq_ignore_ascii_case("sha-256"));
        for (byte, digits) in self.remote_fingerprint.iter_mut().zip(hex.split(':')) {
            *byte = u8::from_str_radix(digits, 16).unwrap();
        }
    }

    /// Answers the server's offer, section by section, with the given role in DTLS.
    pub fn answer(&mut self, offer: &str, setup: &str) -> String {
        self.take_description(offer);
        let mut answer = String::new();
        for line in offer.lines().map(str::trim_end) {
            match line.strip_prefix("a=") {
                None if line.starts_with("o=") => answer += "o=- 77 2 IN IP4 127.0.0.1\r\n",
                None => answer += &format!("{line}\r\n"),
                Some(attribute) if attribute.starts_with("ice-ufrag:") => {
                    answer += &format!("a=ice-ufrag:{}\r\n", self.ufrag);
                }
                Some(attribute) if attribute.starts_with("ice-pwd:") => {
                    answer += &format!("a=ice-pwd:{}\r\n", self.password);
                }
                Some(attribute) if attribute.starts_with("fingerprint:") => {
                    answer += &format!("a=fingerprint:sha-256 {}\r\n", self.fingerprint());
                }
                Some(attribute) if attribute.starts_with("setup:") => {
                    answer += &format!("a=setup:{setup}\r\n");
                }
                Some("sendonly") => answer += "a=recvonly\r\n",
                Some(attribute)
                    if ["candidate:", "end-of-candidates", "ice-lite", "ssrc", "msid:"]
                        .iter()
                        .any(|prefix| attribute.starts_with(prefix)) => {}
                Some(attribute) => answer += &format!("a={attribute}\r\n"),
            }
        }
        answer
    }

    /// A Binding request to the server, as a browser sends it.
    pub fn check(&mut self, nominate: bool) -> Vec<u8> {
        self.request(nominate).bytes()
    }

    pub fn request(&mut self, nominate: bool) -> stun::Request {
        self.transactions += 1;
        stun::Request {
            transaction: [&[self.seed; 8][..], &self.transactions.to_be_bytes()].concat(),
            username: format!("{}:{}", self.remote_ufrag, self.ufrag),
            password: self.remote_password.clone(),
            nominate,
            ..stun::Request::default()
        }
    }

    /// Starts DTLS; as client it has its ClientHello ready.
    pub fn start_dtls(&mut self, now: Instant) {
        if self.endpoint.is_none() {
            let seed = [self.seed; 32];
            self.endpoint = Some(self.dtls.endpoint(self.role, self.remote_fingerprint, seed, now).unwrap());
        }
    }

    pub fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) {
        match datagram[0] {
            0..=3 => {
                self.answers.push(datagram.to_vec());
                if stun::is_success(datagram) && self.role == Role::Client {
                    self.start_dtls(now);
                }
            }
            20..=63 => {
                self.start_dtls(now);
                let result = self.endpoint.as_mut().unwrap().handle_datagram(now, datagram);
                self.dtls_error = self.dtls_error.take().or(result.err());
            }
            _ => {
                let mut packet = datagram.to_vec();
                let inbound = self.inbound.as_mut().expect("media before keys");
                let rtcp = (192..=223).contains(&packet[1]);
                let len = match rtcp {
                    true => inbound.unprotect_rtcp(&mut packet),
                    false => inbound.unprotect_rtp(&mut packet),
                };
                // Links may double packets.
                if !matches!(len, Err(SrtpError::Replayed { .. })) {
                    packet.truncate(len.expect("authentic media"));
                    self.media.push(packet);
                }
            }
        }
        self.advance(now);
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        if let Some(endpoint) = &mut self.endpoint {
            let result = endpoint.handle_timeout(now);
            self.dtls_error = self.dtls_error.take().or(result.err());
        }
        if self.connected.is_some() {
            self.sctp.handle_timeout(now);
        }
        self.advance(now);
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        let dtls = self.endpoint.as_ref().and_then(|endpoint| endpoint.poll_timeout());
        let sctp = self.connected.as_ref().and_then(|_| self.sctp.poll_timeout());
        dtls.into_iter().chain(sctp).min()
    }

    pub fn poll_transmit(&mut self, now: Instant) -> Option<Vec<u8>> {
        self.advance(now);
        self.endpoint.as_mut()?.poll_transmit()
    }

    fn advance(&mut self, now: Instant) {
        let Some(endpoint) = &mut self.endpoint else { return };
        while let Some(event) = endpoint.poll_event() {
            match event {
                Event::Connected(connected) => {
                    let profile = Profile::from_id(connected.srtp_profile.id()).unwrap();
                    let (client, server) =
                        KeyingMaterial::split(profile, &connected.keying_material).unwrap();
                    let (ours, theirs) = match self.role {
                        Role::Client => (client, server),
                        Role::Server => (server, client),
                    };
                    self.outbound = Some(SrtpContext::new(profile, &ours, Limits::SEND).unwrap());
                    self.inbound = Some(SrtpContext::new(profile, &theirs, Limits::RECEIVE).unwrap());
                    self.connected = Some(*connected);
                }
                Event::Data(packet) => self.sctp.handle_packet(now, &packet),
                Event::Closed => {}
            }
        }
        if self.connected.is_some() {
            while let Some(packet) = self.sctp.poll_transmit(now) {
                self.dtls_error = self.dtls_error.take().or(endpoint.send(now, &packet).err());
            }
        }
        while let Some(event) = self.sctp.poll_event() {
            self.sctp_events.push(event);
        }
    }

    /// An RTP packet of the client's, protected.
    pub fn rtp(&mut self, ssrc: u32, sequence: u16, payload: &[u8]) -> Vec<u8> {
        let mut packet = rtp_packet(ssrc, sequence, payload);
        let len = packet.len();
        packet.resize(len + 32, 0);
        let len = self.outbound.as_mut().unwrap().protect_rtp(&mut packet, len).unwrap();
        packet.truncate(len);
        packet
    }
}

/// A plain RTP packet of payload type 111.
pub fn rtp_packet(ssrc: u32, sequence: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, 111];
    packet.extend_from_slice(&sequence.to_be_bytes());
    packet.extend_from_slice(&(u32::from(sequence) * 960).to_be_bytes());
    packet.extend_from_slice(&ssrc.to_be_bytes());
    packet.extend_from_slice(payload);
    packet
}
