// SPDX-License-Identifier: EUPL-1.2
//! Descriptions, signalling, tokens.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parvis_api::Keys;
use parvis_peer::sdp::{
    CodecKind, LocalTransport, MediaKind, Msid, SenderId, SenderSpec, Session, SessionConfig,
};
use parvis_signal::{Form, JoinParams, decode_data, decode_request, decode_request_json};
use std::hint::black_box;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Offers one after another: the second is a renegotiation. What was taken can be answered.
pub fn sdp_offer(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut session = session();
    for offer in text.split('\0') {
        if session.accept_offer(offer).is_ok() {
            let answer = session.write_answer(&local()).expect("an answer to what was taken");
            assert_eq!(sections(&answer), sections(offer), "{answer}");
        }
        black_box(session.sections());
    }
}

/// An answer to our offer of two tracks and data channels, and another to the offer after it.
pub fn sdp_answer(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut session = session();
    for answer in text.split('\0') {
        if session.write_offer(&local()).is_err() {
            return;
        }
        if session.accept_answer(answer).is_err() {
            session.rollback();
        }
    }
}

/// The offer that [`sdp_answer`] gets answers to.
pub fn our_offer() -> String {
    session().write_offer(&local()).expect("an offer")
}

pub fn signal_request(data: &[u8]) {
    let _ = black_box(decode_request(data));
}

pub fn signal_request_json(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = black_box(decode_request_json(text));
}

pub fn signal_data(data: &[u8]) {
    let _ = black_box(decode_data(data));
}

/// The URL's query as it comes.
pub fn join_query(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = black_box(JoinParams::parse(Form::Dual, text));
    let _ = black_box(JoinParams::parse(Form::Single, text));
}

/// The wrapped join request, behind its base64.
pub fn join_request(data: &[u8]) {
    let query = format!("join_request={}", URL_SAFE_NO_PAD.encode(data));
    let _ = black_box(JoinParams::parse(Form::Single, &query));
}

/// Nobody guesses a signature.
pub fn token(data: &[u8]) {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    let keys = KEYS.get_or_init(|| {
        let keys = vec![("fuzz".to_owned(), "a secret that is long enough for its purpose".to_owned())];
        Keys::new(keys, Duration::from_secs(3600), false).expect("keys")
    });
    let Ok(text) = std::str::from_utf8(data) else { return };
    assert!(keys.verify(text).is_err());
    // Header and claims as they are, with the encoding made right.
    if let Some((header, claims)) = text.split_once('.') {
        let token =
            [header.as_bytes(), claims.as_bytes(), b"signature"].map(|part| URL_SAFE_NO_PAD.encode(part));
        assert!(keys.verify(&token.join(".")).is_err());
    }
}

fn session() -> Session {
    let mut session = Session::new(Arc::new(SessionConfig::default()), 1);
    for (id, kind, codecs) in [
        (1, MediaKind::Audio, vec![CodecKind::Opus]),
        (2, MediaKind::Video, vec![CodecKind::Vp8, CodecKind::H264]),
    ] {
        let msid = Msid { stream: "s".into(), track: format!("t{id}") };
        let rtx_ssrc = (kind == MediaKind::Video).then_some(20);
        let fec_ssrc = rtx_ssrc.map(|rtx| rtx + 1);
        session.add_sender(SenderSpec {
            id: SenderId(id),
            kind,
            codecs,
            msid,
            ssrc: id as u32,
            rtx_ssrc,
            fec_ssrc,
        });
    }
    session.offer_data_channels();
    session
}

fn local() -> LocalTransport {
    LocalTransport {
        ufrag: "abcdefgh".into(),
        password: "abcdefghijklmnopqrstuvwx".into(),
        fingerprint: [5; 32],
        candidates: vec![],
        sctp_port: 5000,
        max_message_size: 65_536,
    }
}

/// How many media sections a description has.
fn sections(sdp: &str) -> usize {
    sdp.lines().filter(|line| line.starts_with("m=")).count()
}
