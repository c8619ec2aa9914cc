// SPDX-License-Identifier: EUPL-1.2
//! One peer connection of a client on a socket of its own, as a browser has it.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};
use parvis_dtls::{Certificate, Config as DtlsConfig, Context, Factory, SrtpProfile};
use parvis_peer::sctp::SctpLimits;
use parvis_peer::sdp::{CodecKind, ExtensionPolicy, SenderId, SessionConfig};
use parvis_peer::{
    LocalCandidate, Path, Peer, PeerConfig, PeerEvent, PeerLimits, Protocol, Received, stun as stun_message,
};
use parvis_rtp::{Extension, ExtensionMap};
use parvis_sfu::bwe;
use parvis_shard::mmsg::{self, Message, SendBatch, set_option};
use parvis_sim::stun;

use crate::LoadError;
use crate::source::Section;

/// How often a path is checked: often before there are keys, then as browsers do.
const CHECK_FAST: Duration = Duration::from_millis(50);
const CHECK_SLOW: Duration = Duration::from_millis(2_500);
/// How a Binding request begins.
const CHECK: [u8; 2] = stun_message::BINDING_REQUEST.to_be_bytes();
/// Attributes of a check (RFC 8445 section 16.1), and the priority of a host candidate.
const PRIORITY: u16 = 0x0024;
const ICE_CONTROLLED: u16 = 0x8029;
const HOST_PRIORITY: u32 = 0x7e00_00ff;
/// 4 MiB: 20 ms of 1.6 Gbit/s may wait while the load is busy elsewhere.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;

/// What all connections share.
pub(crate) struct Shared {
    address: Ipv4Addr,
    dtls: Arc<dyn Factory>,
    sdp: Arc<SessionConfig>,
}

impl Shared {
    /// For connections from this address.
    pub(crate) fn new(address: Ipv4Addr) -> Result<Shared, LoadError> {
        let failed = |error: parvis_dtls::Error| LoadError::Dtls(error.to_string());
        let certificate = Certificate::generate().map_err(failed)?;
        // One profile, so that every server encrypts the same way.
        let config = DtlsConfig { srtp_profiles: vec![SrtpProfile::AeadAes128Gcm], ..DtlsConfig::default() };
        let dtls = Arc::new(Context::new(&certificate, config).map_err(failed)?);
        let mut sdp = SessionConfig::default();
        sdp.codecs.retain(|codec| matches!(codec.kind, CodecKind::Opus | CodecKind::Vp8));
        // A client names its layers to the server.
        let named = |policy: &mut ExtensionPolicy| policy.send |= policy.extension == Extension::Rid;
        sdp.extensions.iter_mut().for_each(named);
        Ok(Shared { address, dtls, sdp: Arc::new(sdp) })
    }
}

/// One peer connection.
pub(crate) struct Connection {
    socket: UdpSocket,
    local: SocketAddr,
    pub(crate) peer: Peer,
    credentials: Option<Credentials>,
    /// A full ICE agent checks us, and we answer and check it in turn; a lite one we check.
    remote: Remote,
    next_check: Instant,
    checks: u32,
    pub(crate) connected: bool,
    pub(crate) failed: Option<String>,
    pub(crate) feedback: bwe::Receiver,
    pub(crate) transport_sequence: u16,
    pub(crate) formats: Formats,
    pub(crate) profile: String,
    /// Our offer, until it is answered.
    pub(crate) offered: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Remote {
    Unknown,
    Lite(SocketAddr),
    Full,
}

struct Credentials {
    own: (String, String),
    theirs: (String, String),
}

/// What payload types and extension ids mean on a connection.
pub(crate) struct Formats {
    pub(crate) extensions: ExtensionMap,
    pub(crate) video: [bool; 128],
    pub(crate) retransmission: [bool; 128],
}

impl Connection {
    pub(crate) fn new(shared: &Shared, now: Instant) -> Result<Connection, LoadError> {
        let system = |error| LoadError::System("open a UDP socket on --address", error);
        let socket = UdpSocket::bind((shared.address, 0)).map_err(system)?;
        socket.set_nonblocking(true).map_err(system)?;
        let local = socket.local_addr().map_err(system)?;
        if setsockopt(&socket, sockopt::RcvBufForce, &SOCKET_BUFFER_BYTES).is_err() {
            let _ = setsockopt(&socket, sockopt::RcvBuf, &SOCKET_BUFFER_BYTES);
        }
        let _ = set_option(socket.as_fd(), libc::SOL_UDP, libc::UDP_GRO, 1);
        let config = PeerConfig {
            local_candidates: Arc::new([LocalCandidate { protocol: Protocol::Udp, address: local }]),
            dtls: shared.dtls.clone(),
            sdp: shared.sdp.clone(),
            sctp: SctpLimits::default(),
            limits: PeerLimits::default(),
            ufrag_tag: None,
        };
        Ok(Connection {
            socket,
            local,
            peer: Peer::new(Arc::new(config), rand::random(), now),
            credentials: None,
            remote: Remote::Unknown,
            next_check: now,
            checks: 0,
            connected: false,
            failed: None,
            feedback: bwe::Receiver::new(),
            transport_sequence: 0,
            formats: Formats {
                extensions: ExtensionMap::default(),
                video: [false; 128],
                retransmission: [false; 128],
            },
            profile: String::new(),
            offered: String::new(),
        })
    }

    pub(crate) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Datagrams, or trains of them, that its socket had no room for since it is there; `None` where the system doesn't tell.
    pub(crate) fn overflowed(&self) -> Option<u64> {
        mmsg::overflowed(self.socket()).map(u64::from)
    }

    /// Both descriptions are known: whom to check, or by whom we shall be checked.
    pub(crate) fn settle(&mut self, now: Instant, own: &str, theirs: &str) -> Result<(), LoadError> {
        if let (Some(own), Some(theirs)) = (credentials(own), credentials(theirs)) {
            self.credentials = Some(Credentials { own, theirs });
        }
        if self.remote == Remote::Unknown {
            self.remote = match theirs.lines().any(|line| line.trim_end() == "a=ice-lite") {
                false => Remote::Full,
                true => Remote::Lite(candidate(theirs).ok_or(LoadError::NoCandidate)?),
            };
            self.next_check = now;
        }
        for section in self.peer.sections() {
            for (id, extension) in section.extensions.iter() {
                self.formats.extensions.insert(id, extension);
            }
            for codec in &section.codecs {
                let video = codec.kind == CodecKind::Vp8;
                self.formats.video[usize::from(codec.payload_type & 0x7f)] = video;
                if let Some(rtx) = codec.rtx {
                    self.formats.retransmission[usize::from(rtx & 0x7f)] = true;
                }
            }
        }
        Ok(())
    }

    /// How far it came.
    pub(crate) fn stage(&self) -> &'static str {
        match (self.remote, self.peer.send_path()) {
            (Remote::Unknown, _) => "no description of the server's came",
            (Remote::Full, None) => "the server's ICE checks do not arrive",
            (_, None) => "no path yet",
            (_, Some(_)) => "the DTLS handshake does not end",
        }
    }

    /// The section in which a track of ours is sent, once it is agreed.
    pub(crate) fn section(&self, id: SenderId) -> Option<Section> {
        let section = self.peer.sections().iter().find(|section| section.sender == Some(id))?;
        let payload_type = section.codecs.first()?.payload_type;
        Some(Section { mid: section.mid, payload_type, extensions: section.extensions })
    }

    /// Takes a datagram; says what it decrypted.
    pub(crate) fn handle_datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        datagram: &mut [u8],
    ) -> Received {
        // The answer to a check of ours: that it came is told by what follows.
        if matches!(self.remote, Remote::Lite(_)) && datagram.first().is_some_and(|first| *first <= 3) {
            return Received::Handled;
        }
        let checked = self.remote == Remote::Full && datagram.starts_with(&CHECK);
        // Its answers, and its indications that it is there (RFC 8445 section 11), which nobody signs.
        if self.remote == Remote::Full && !checked && datagram.first().is_some_and(|first| *first <= 3) {
            return Received::Handled;
        }
        let path = Path { protocol: Protocol::Udp, local: self.local, remote: from };
        let received = self.peer.handle_datagram(now, path, datagram);
        if received == Received::Handled {
            self.flush();
        }
        if checked && !self.connected {
            self.check_back(from);
        }
        received
    }

    /// The triggered check of a full agent (RFC 8445 section 7.3.1.4): a server that nominates waits for it, or else for
    /// its own next round of checks.
    fn check_back(&mut self, to: SocketAddr) {
        let Some(Credentials { own, theirs }) = &self.credentials else { return };
        let transaction = transaction(&mut self.checks, self.local);
        let _ = self.socket.send_to(&controlled_check(&own.0, theirs, &transaction), to);
    }

    /// Does what is due: checks, handshakes, what they have to send.
    pub(crate) fn act(&mut self, now: Instant) {
        if self.peer.poll_timeout().is_some_and(|at| at <= now) {
            self.peer.handle_timeout(now);
        }
        if let (Remote::Lite(remote), Some(credentials)) = (self.remote, &self.credentials)
            && self.next_check <= now
        {
            let transaction = transaction(&mut self.checks, self.local);
            let Credentials { own, theirs } = credentials;
            let check = stun::check(&theirs.0, &own.0, &theirs.1, transaction);
            let _ = self.socket.send_to(&check, remote);
            // Ours is a lite agent too, and takes DTLS only from where a check came from: we vouch for the server.
            let mut vouched = stun::check(&own.0, &theirs.0, &own.1, transaction);
            let path = Path { protocol: Protocol::Udp, local: self.local, remote };
            self.peer.handle_datagram(now, path, &mut vouched);
            self.next_check = now + if self.connected { CHECK_SLOW } else { CHECK_FAST };
        }
        self.flush();
    }

    fn flush(&mut self) {
        while let Some(event) = self.peer.poll_event() {
            match event {
                PeerEvent::Connected(report) => {
                    self.connected = true;
                    self.profile = format!("{} {}", report.dtls_version, report.srtp_profile);
                }
                PeerEvent::Failed(reason) => self.failed = Some(format!("{reason:?}")),
                _ => {}
            }
        }
        let vouches = matches!(self.remote, Remote::Lite(_));
        while let Some((path, datagram)) = self.peer.poll_transmit() {
            // The answer to our own vouching goes nowhere.
            if !vouches || datagram.first().is_some_and(|first| *first > 3) {
                let _ = self.socket.send_to(&datagram, path.remote);
            }
        }
    }

    /// Encrypts and sends a compound RTCP packet.
    pub(crate) fn send_rtcp(&mut self, buf: &mut [u8], len: usize) {
        let Some(path) = self.peer.send_path() else { return };
        if let Some(len) = self.peer.protect_rtcp(buf, len) {
            let _ = self.socket.send_to(&buf[..len], path.remote);
        }
    }

    /// Sends packets that are encrypted, each `pieces`' one; says how many the socket had no room for.
    pub(crate) fn send(&self, batch: &mut SendBatch, messages: &mut Vec<Message>, pieces: &[Vec<u8>]) -> u64 {
        let Some(path) = self.peer.send_path() else { return 0 };
        let mut sent = 0;
        while sent < pieces.len() {
            messages.clear();
            messages.resize(pieces.len() - sent, Message { to: path.remote, pieces: 1, segment: None });
            match batch.send(self.socket.as_fd(), messages, pieces[sent..].iter().map(Vec::as_slice)) {
                Ok(count) => sent += count.max(1),
                Err(_) => return (pieces.len() - sent) as u64,
            }
        }
        0
    }
}

/// A check of an agent that does not nominate (RFC 8445 section 7.2.2), for the other's user name and password.
fn controlled_check(own_ufrag: &str, theirs: &(String, String), transaction: &[u8; 12]) -> Vec<u8> {
    let mut check = stun_message::Writer::new(stun_message::BINDING_REQUEST, transaction);
    check.attribute(stun_message::USERNAME, format!("{}:{own_ufrag}", theirs.0).as_bytes());
    check.attribute(PRIORITY, &HOST_PRIORITY.to_be_bytes());
    check.attribute(ICE_CONTROLLED, &[7; 8]);
    check.finish(Some(&hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, theirs.1.as_bytes())))
}

/// A transaction's id that no other check of ours has.
fn transaction(checks: &mut u32, local: SocketAddr) -> [u8; 12] {
    *checks += 1;
    let mut transaction = [0; 12];
    transaction[..4].copy_from_slice(&checks.to_be_bytes());
    transaction[4..6].copy_from_slice(&local.port().to_be_bytes());
    transaction
}

/// The first ufrag and password of a description.
fn credentials(sdp: &str) -> Option<(String, String)> {
    let line =
        |name: &str| sdp.lines().find_map(|line| line.trim_end().strip_prefix(name)).map(str::to_owned);
    Some((line("a=ice-ufrag:")?, line("a=ice-pwd:")?))
}

/// The UDP candidate to check: one on loopback, otherwise the first.
fn candidate(sdp: &str) -> Option<SocketAddr> {
    let candidates = sdp.lines().filter_map(|line| line.trim_end().strip_prefix("a=candidate:"));
    let addresses: Vec<SocketAddr> = candidates
        .filter_map(|candidate| {
            let words: Vec<&str> = candidate.split(' ').collect();
            let is_udp = words.get(2)?.eq_ignore_ascii_case("udp");
            let address = SocketAddr::new(words.get(4)?.parse().ok()?, words.get(5)?.parse().ok()?);
            (is_udp && address.is_ipv4()).then_some(address)
        })
        .collect();
    addresses.iter().find(|address| address.ip().is_loopback()).or(addresses.first()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_in_return_is_the_servers_own_and_does_not_nominate() {
        let theirs = ("them".to_owned(), "their password of 22 chars".to_owned());
        let check = controlled_check("us", &theirs, &[5; 12]);
        assert!(check.starts_with(&CHECK));
        let message = stun_message::Message::parse(&check).unwrap();
        assert_eq!(message.username(), Some("them:us"));
        let key = |password: &str| hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes());
        assert!(message.is_authentic(&key(&theirs.1)) && !message.is_authentic(&key("ours")));
        assert!(message.has_fingerprint() && message.attribute(ICE_CONTROLLED).is_some());
        // USE-CANDIDATE and ICE-CONTROLLING would contradict the server, which nominates.
        assert_eq!([0x0025, 0x802a].map(|kind| message.attribute(kind)), [None, None]);
    }

    #[test]
    fn the_candidate_on_loopback_is_taken_before_others() {
        let sdp = "a=candidate:1 1 udp 5 192.0.2.1 7882 typ host\r\n\
                   a=candidate:2 1 tcp 4 127.0.0.1 7881 typ host tcptype passive\r\n\
                   a=candidate:3 1 UDP 3 127.0.0.1 7883 typ host\r\n";
        assert_eq!(candidate(sdp), Some("127.0.0.1:7883".parse().unwrap()));
        assert_eq!(candidate("a=candidate:1 1 udp 5 192.0.2.1 1 typ host"), "192.0.2.1:1".parse().ok());
        assert_eq!(candidate("a=candidate:nonsense"), None);
    }
}
