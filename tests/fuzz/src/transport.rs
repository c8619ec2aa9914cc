// SPDX-License-Identifier: EUPL-1.2
//! What reaches a peer before it has any keys: STUN, DTLS, frames on TCP.

use aws_lc_rs::hmac;
use parvis_dtls::standin::StandIn;
use parvis_dtls::{Certificate, Config, Context, Factory, Role};
use parvis_peer::framing::{Deframer, frame};
use parvis_peer::{LocalCandidate, Path, Peer, PeerConfig, Protocol, Received, stun_local_ufrag};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// Datagrams at a peer that has answered an offer: nothing that isn't authentic has an effect.
pub fn datagram(data: &[u8]) {
    let (mut peer, now, path) = (peer(), Instant::now(), path());
    for piece in crate::pieces(data) {
        let _ = stun_local_ufrag(piece);
        let received = peer.handle_datagram(now, path, &mut piece.to_vec());
        assert!(matches!(received, Received::Dropped(_)), "{received:?} without a password");
        assert_eq!((peer.poll_transmit(), peer.poll_event()), (None, None));
    }
}

/// Authentic STUN messages of any kind and with any attributes; after them DTLS may come, and time passes.
pub fn stun(data: &[u8]) {
    let (mut peer, mut now, path) = (peer(), Instant::now(), path());
    for piece in crate::pieces(data) {
        let mut datagram = match piece.split_first_chunk() {
            Some((kind, attributes)) if kind[0] < 4 => signed(*kind, attributes),
            _ => piece.to_vec(),
        };
        let request = datagram.len();
        peer.handle_datagram(now, path, &mut datagram);
        let mut sent = 0;
        while let Some((to, answer)) = peer.poll_transmit() {
            assert_eq!(to, path);
            // DTLS answers a first flight with a longer one, but STUN never amplifies (row 9).
            assert!(answer.first().is_none_or(|byte| *byte > 3) || answer.len() <= request);
            sent += 1;
            assert!(sent < 64);
        }
        while peer.poll_event().is_some() {}
        now += Duration::from_millis(500);
        peer.handle_timeout(now);
        while peer.poll_transmit().is_some() {}
    }
}

/// A first flight at BoringSSL, as it comes from a path that ICE has validated.
pub fn dtls_first_flight(data: &[u8]) {
    static CONTEXT: OnceLock<Context> = OnceLock::new();
    let context = CONTEXT.get_or_init(|| {
        Context::new(&Certificate::generate().expect("a certificate"), Config::default()).expect("a context")
    });
    let mut now = Instant::now();
    let mut endpoint = context.endpoint(Role::Server, [1; 32], [2; 32], now).expect("an endpoint");
    for piece in crate::pieces(data) {
        if endpoint.handle_datagram(now, piece).is_err() {
            break;
        }
        assert!(endpoint.poll_event().is_none(), "a handshake without the certificate's fingerprint");
        let sent = std::iter::from_fn(|| endpoint.poll_transmit()).count();
        assert!(sent < 64);
        now += Duration::from_millis(60);
        if endpoint.handle_timeout(now).is_err() {
            break;
        }
    }
}

pub fn ice_candidate(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = peer().add_remote_candidate(text);
}

/// Frames come out the same however the stream is cut, and nothing above the limit does.
pub fn deframer(data: &[u8]) {
    let Some((&[limit, cut], stream)) = data.split_first_chunk() else { return };
    let limit = usize::from(limit) * 16;
    let collect = |step: usize| {
        let (mut deframer, mut frames) = (Deframer::new(limit), Vec::new());
        let error = stream
            .chunks(step.max(1))
            .find_map(|piece| deframer.feed(piece, |frame| frames.push(frame.to_vec())).err());
        (frames, error)
    };
    let (frames, error) = collect(usize::from(cut));
    assert_eq!((&frames, &error), (&collect(stream.len()).0, &collect(stream.len()).1));
    assert!(frames.iter().all(|frame| frame.len() <= limit));
    if error.is_none() {
        let mut wire = Vec::new();
        frames.iter().for_each(|packet| frame(packet, &mut wire).expect("it came from a frame"));
        assert!(wire.len() <= stream.len());
    }
}

/// A peer whose ICE credentials are always the same.
pub(crate) fn peer() -> Peer {
    static CONFIG: OnceLock<Arc<PeerConfig>> = OnceLock::new();
    let config = CONFIG.get_or_init(|| {
        let address = "192.0.2.1:7882".parse().expect("an address");
        Arc::new(PeerConfig {
            local_candidates: Arc::new([LocalCandidate { protocol: Protocol::Udp, address }]),
            dtls: Arc::new(StandIn::new([3; 32])),
            sdp: Arc::default(),
            sctp: Default::default(),
            limits: Default::default(),
            ufrag_tag: None,
        })
    });
    let mut peer = Peer::new(Arc::clone(config), [4; 32], Instant::now());
    let answer = peer.accept_offer(Instant::now(), OFFER).expect("an offer");
    CREDENTIALS.get_or_init(|| {
        let value = |name: &str| {
            let line = answer.lines().find_map(|line| line.strip_prefix(name));
            line.expect("credentials in the answer").trim().to_owned()
        };
        (value("a=ice-ufrag:"), value("a=ice-pwd:"))
    });
    peer
}

/// User fragment and password of [`peer`].
static CREDENTIALS: OnceLock<(String, String)> = OnceLock::new();

fn path() -> Path {
    let address = |text: &str| text.parse().expect("an address");
    Path { protocol: Protocol::Udp, local: address("192.0.2.1:7882"), remote: address("198.51.100.7:5000") }
}

/// A STUN message with USERNAME, these attributes, MESSAGE-INTEGRITY and FINGERPRINT (RFC 8489 sections 14.5, 14.7).
fn signed(kind: [u8; 2], attributes: &[u8]) -> Vec<u8> {
    let (ufrag, password) = CREDENTIALS.get().expect("there is a peer");
    let mut message = vec![kind[0], kind[1], 0, 0, 0x21, 0x12, 0xa4, 0x42];
    message.extend_from_slice(&[5; 12]);
    attribute(&mut message, 0x0006, format!("{ufrag}:abcd").as_bytes());
    message.extend_from_slice(attributes);
    message.resize(message.len().next_multiple_of(4), 0);
    set_length(&mut message, 24);
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes());
    let tag = hmac::sign(&key, &message);
    attribute(&mut message, 0x0008, tag.as_ref());
    set_length(&mut message, 8);
    let sum = crc32(&message) ^ 0x5354_554e;
    attribute(&mut message, 0x8028, &sum.to_be_bytes());
    message
}

fn attribute(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    message.extend_from_slice(&kind.to_be_bytes());
    message.extend_from_slice(&(value.len() as u16).to_be_bytes());
    message.extend_from_slice(value);
    message.resize(message.len().next_multiple_of(4), 0);
}

/// The header's length field, with `more` bytes of attributes to come.
fn set_length(message: &mut [u8], more: usize) {
    let length = (message.len() - 20 + more) as u16;
    message[2..4].copy_from_slice(&length.to_be_bytes());
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

const OFFER: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
    m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\n\
    a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=setup:actpass\r\na=sctp-port:5000\r\n\
    a=fingerprint:sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\r\n";
