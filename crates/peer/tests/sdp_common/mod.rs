// SPDX-License-Identifier: EUPL-1.2
//! What the tests of SDP share.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "helpers, of which each test uses a part")]

use std::sync::Arc;

use parvis_peer::sdp::{
    CodecKind, LocalTransport, MediaKind, Msid, SenderId, SenderSpec, Session, SessionConfig,
};
use parvis_peer::{LocalCandidate, Protocol};

/// Every stored offer.
pub const FIXTURES: [&str; 14] = [
    include_str!("../sdp/chromium-publisher-av1-svc.sdp"),
    include_str!("../sdp/chromium-publisher-h264.sdp"),
    include_str!("../sdp/chromium-publisher-simulcast.sdp"),
    include_str!("../sdp/chromium-publisher-vp8.sdp"),
    include_str!("../sdp/chromium-publisher-vp9-svc.sdp"),
    include_str!("../sdp/chromium-sendrecv.sdp"),
    include_str!("../sdp/chromium-single-recvonly.sdp"),
    include_str!("../sdp/firefox-publisher-av1-svc.sdp"),
    include_str!("../sdp/firefox-publisher-simulcast.sdp"),
    include_str!("../sdp/firefox-publisher-vp8.sdp"),
    include_str!("../sdp/firefox-publisher-vp9-svc.sdp"),
    include_str!("../sdp/firefox-sendrecv.sdp"),
    include_str!("../sdp/firefox-single-recvonly.sdp"),
    include_str!("../sdp/rust-sdk-single-recvonly.sdp"),
];

pub fn session() -> Session {
    Session::new(Arc::new(SessionConfig::default()), 7)
}

/// Our end of the transport; another `generation` has other ICE credentials.
pub fn local(generation: u32) -> LocalTransport {
    let candidate = |protocol, address: &str| LocalCandidate { protocol, address: address.parse().unwrap() };
    LocalTransport {
        ufrag: format!("ufrag-{generation}"),
        password: format!("a-password-of-some-length-{generation}"),
        fingerprint: [0xab; 32],
        candidates: vec![
            candidate(Protocol::Udp, "192.0.2.9:7882"),
            candidate(Protocol::Udp, "[2001:db8::9]:7882"),
            candidate(Protocol::Tcp, "192.0.2.9:7881"),
        ],
        sctp_port: 5000,
        max_message_size: 65_536,
    }
}

/// A sender whose names and SSRCs follow from its id.
pub fn sender(id: u64, codecs: &[CodecKind]) -> SenderSpec {
    let kind = codecs[0].media();
    SenderSpec {
        id: SenderId(id),
        kind,
        codecs: codecs.to_vec(),
        msid: Msid { stream: format!("stream-{id}"), track: format!("track-{id}") },
        ssrc: 1000 + id as u32,
        rtx_ssrc: (kind == MediaKind::Video).then_some(2000 + id as u32),
        fec_ssrc: None,
    }
}

/// Takes an offer and answers it.
pub fn answer(session: &mut Session, offer: &str) -> String {
    session.accept_offer(offer).unwrap();
    session.write_answer(&local(0)).unwrap()
}

/// The values of all attributes of this name, in the description's head or in one of its sections.
pub fn attributes<'a>(sdp: &'a str, section: Option<usize>, name: &str) -> Vec<&'a str> {
    let part = match section {
        None => sdp.split("\r\nm=").next(),
        Some(index) => sdp.split("\r\nm=").nth(index + 1),
    };
    let lines = part.unwrap().split("\r\n");
    lines
        .filter_map(|line| {
            let rest = line.strip_prefix("a=")?.strip_prefix(name)?;
            if rest.is_empty() { Some("") } else { rest.strip_prefix(':') }
        })
        .collect()
}

/// The m-lines, without `m=`.
pub fn m_lines(sdp: &str) -> Vec<&str> {
    sdp.split("\r\n").filter_map(|line| line.strip_prefix("m=")).collect()
}
