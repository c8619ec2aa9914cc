// SPDX-License-Identifier: EUPL-1.2
//! What comes to the public port: TURN, its streams, PROXY headers.

use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use parvis_edge::{proxy, sniff};
use parvis_peer::stun::Writer;
use parvis_turn::stream::Deframer;
use parvis_turn::{Client, Clock, Issuer, Outcome, Peers, Server, Transport, TurnConfig};

const MEDIA: &str = "203.0.113.7:7882";

/// Messages of a participant, authentic ones among them, and packets to its relays. Whatever comes, nothing is relayed but
/// to media, and the quotas hold (rows 12 to 18: the policy is fuzzed, not only the reader).
pub fn turn(data: &[u8]) {
    let mut now = Instant::now();
    let media = MEDIA.parse().expect("an address");
    let issuer = Issuer::new([7; 32], Clock::new(now, 1_800_000_000));
    let mut server = Server::new(TurnConfig::default(), issuer.clone(), Peers::new([(media, media)]), [9; 32]);
    server.admit("PA_ada");
    let credentials = issuer.issue(now, "PA_ada", Duration::from_secs(3_600));
    let (mut came, mut left) = (0, 0);
    let mut nonce = Vec::new();
    let mut relays = Vec::new();
    for (number, piece) in crate::pieces(data).enumerate() {
        let Some((&first, rest)) = piece.split_first() else { continue };
        let remote = format!("198.51.100.9:{}", 1 + u16::from(first & 3)).parse().expect("an address");
        let transport = if first & 4 == 0 { Transport::Udp } else { Transport::Tls };
        let client = Client { transport, local: media, remote };
        let message = match rest.split_first_chunk::<2>() {
            Some((&kind, attributes)) if first & 8 != 0 => {
                let mut writer = Writer::new(u16::from_be_bytes(kind) & 0x3fff, &[number as u8; 12]);
                for attribute in attributes.chunks(24) {
                    let Some((&[kind, length], value)) = attribute.split_first_chunk() else { continue };
                    if kind == 0x12 {
                        writer.xor_address(0x12, media);
                    } else {
                        writer.attribute(kind.into(), &value[..value.len().min(length.into())]);
                    }
                }
                writer.attribute(0x0006, credentials.username.as_bytes());
                writer.attribute(0x0014, parvis_turn::REALM.as_bytes());
                writer.attribute(0x0015, &nonce);
                writer.finish(Some(&key(&credentials)))
            }
            _ => rest.to_vec(),
        };
        now += Duration::from_secs(u64::from(first >> 4) * 20);
        server.handle_timeout(now);
        while let Some(closed) = server.poll_closed() {
            relays.retain(|relay| *relay != closed);
        }
        match server.handle_client(now, client, &message) {
            Outcome::Nothing => {}
            Outcome::Reply(reply) => {
                let parsed = parvis_peer::stun::Message::parse(&reply).expect("our own message");
                if let Some(fresh) = parsed.attribute(0x0015) {
                    nonce = fresh.to_vec();
                }
                if transport == Transport::Udp && !parsed.has_integrity() {
                    left += reply.len();
                }
            }
            Outcome::Open { relay, .. } => {
                relays.push(relay);
                server.opened(now, relay, Some(media)).expect("its own relay");
            }
            Outcome::Relay { relay, to, .. } => {
                assert!(relays.contains(&relay));
                assert_eq!(to, media);
            }
        }
        if transport == Transport::Udp {
            came += message.len();
        }
        assert!(left <= came);
        assert!(server.stats().allocations_now <= 8);
        for relay in &relays {
            let _ = server.handle_relay(now, *relay, media, rest);
            let stranger = "198.51.100.66:1".parse().expect("an address");
            assert!(server.handle_relay(now, *relay, stranger, rest).is_none());
        }
    }
    server.revoke("PA_ada");
    assert_eq!(server.stats().allocations_now, 0);
}

fn key(credentials: &parvis_turn::Credentials) -> hmac::Key {
    use md5::{Digest, Md5};
    let text = format!("{}:{}:{}", credentials.username, parvis_turn::REALM, credentials.password);
    hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &Md5::digest(text))
}

/// Messages come out the same however the stream is cut, and nothing above the limit does.
pub fn turn_stream(data: &[u8]) {
    let Some((&[limit, cut], stream)) = data.split_first_chunk() else { return };
    let limit = usize::from(limit) * 16;
    let collect = |step: usize| {
        let (mut deframer, mut messages) = (Deframer::new(limit), Vec::new());
        let error = stream
            .chunks(step.max(1))
            .find_map(|piece| deframer.feed(piece, |message| messages.push(message.to_vec())).err());
        (messages, error)
    };
    let (messages, error) = collect(usize::from(cut));
    assert_eq!((&messages, &error), (&collect(stream.len()).0, &collect(stream.len()).1));
    assert!(messages.iter().all(|message| message.len() <= limit));
}

/// The first bytes of a connection, and a header that may stand before them.
pub fn proxy_header(data: &[u8]) {
    let _ = sniff::protocol(data);
    let Some((head, rest)) = data.split_first_chunk::<{ proxy::HEAD_BYTES }>() else { return };
    let mut signed = *head;
    signed[..proxy::SIGNATURE.len()].copy_from_slice(&proxy::SIGNATURE);
    for head in [*head, signed] {
        if let Ok(length) = proxy::rest_bytes(&head) {
            assert!(length <= proxy::MAX_REST_BYTES);
            let _ = proxy::source(&head, &rest[..rest.len().min(length)]);
        }
    }
}
