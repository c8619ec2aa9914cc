// SPDX-License-Identifier: EUPL-1.2
//! HTTP on the public port: one version of it, by whichever way it comes, and requests that begin in time.

use std::time::{Duration, Instant};

use parvis_api::ByteStream;
use parvis_edge::{CryptoProfile, EdgeConfig, Plain};
use parvis_turn::TurnConfig;
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, Error};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::scene::*;

/// How HTTP/2 begins (RFC 9113, section 3.4), with an empty SETTINGS frame and a thousand streams opened and reset.
fn rapid_reset() -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    for stream in (1_u32..2_000).step_by(2) {
        let stream = stream.to_be_bytes();
        // HEADERS with GET, https and / of the static table, and RST_STREAM with CANCEL.
        bytes.extend([&[0, 0, 3, 1, 5][..], &stream, &[0x82, 0x87, 0x84]].concat());
        bytes.extend([&[0, 0, 4, 3, 0][..], &stream, &[0, 0, 0, 8]].concat());
    }
    bytes
}

/// What comes to these bytes, until the end.
async fn answer(mut stream: impl ByteStream, bytes: &[u8]) -> Vec<u8> {
    // It may hang up before all is sent.
    let _ = stream.write_all(bytes).await;
    let _ = stream.flush().await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("an end");
    answer
}

#[tokio::test]
async fn row_40_http_2_is_spoken_by_no_way_in() {
    let config = EdgeConfig { plain: Plain::Serve, ..edge_config() };
    let scene = Scene::with(config, CryptoProfile::Modern, TurnConfig::default()).await;
    // A client that knows nothing else gets no session, and one that knows both is not given it.
    let only = scene.client(CryptoProfile::Modern, &[b"h2"]);
    let refused = only.connect(ServerName::try_from(NAME).unwrap(), scene.connect().await).await.unwrap_err();
    let error = refused.get_ref().and_then(|error| error.downcast_ref::<Error>());
    assert_eq!(error, Some(&Error::AlertReceived(AlertDescription::NoApplicationProtocol)));
    let both = scene.within_tls(NAME, &[b"h2", b"http/1.1"]).await;
    assert_eq!(both.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));

    // Nor to whoever speaks it unasked.
    let within = scene.within_tls(NAME, &[b"http/1.1"]).await;
    for answer in [
        answer(both, &rapid_reset()).await,
        answer(within, &rapid_reset()).await,
        answer(scene.within_tls(NAME, &[]).await, &rapid_reset()).await,
        answer(scene.connect().await, &rapid_reset()).await,
    ] {
        let refusal = answer.is_empty() || answer.starts_with(b"HTTP/1.1 4");
        assert!(refusal, "{}", String::from_utf8_lossy(&answer));
    }
    // To change over is an offer that may be passed over (RFC 9110, section 7.8).
    let upgrade =
        b"GET /livez HTTP/1.1\r\nHost: meet.example\r\nConnection: Upgrade, HTTP2-Settings, close\r\n\
                    Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n";
    let stays = String::from_utf8(answer(scene.connect().await, upgrade).await).unwrap();
    assert!(stays.starts_with("HTTP/1.1 200") && stays.ends_with("ok\n"), "{stays}");
}

/// Sends a head that never ends, a byte at a time; how long the server bears it.
async fn drip(mut stream: impl ByteStream) -> Duration {
    let begun = Instant::now();
    let head = b"GET /livez HTTP/1.1\r\nHost: meet.example\r\nX-Long: ";
    for byte in head.iter().copied().chain(std::iter::repeat(b'a')) {
        if stream.write_all(&[byte]).await.is_err() || stream.flush().await.is_err() {
            break;
        }
        let rest = Duration::from_millis(100);
        let heard = tokio::time::timeout(rest, stream.read(&mut [0; 64])).await;
        if matches!(heard, Ok(Ok(0) | Err(_))) || begun.elapsed() > 2 * PATIENCE {
            break;
        }
    }
    begun.elapsed()
}

#[tokio::test]
async fn row_40_heads_that_come_a_byte_at_a_time_are_closed_at_their_deadline_and_disturb_nobody() {
    let config = EdgeConfig { plain: Plain::Serve, ..edge_config() };
    let scene = Scene::with(config, CryptoProfile::Modern, TurnConfig::default()).await;
    let mut slow = Vec::new();
    for _ in 0..20 {
        slow.push(tokio::spawn(drip(scene.connect().await)));
        slow.push(tokio::spawn(drip(scene.within_tls(NAME, &[b"http/1.1"]).await)));
    }
    let mut served = 0;
    while !slow.iter().all(tokio::task::JoinHandle::is_finished) {
        let begun = Instant::now();
        let answer = get(scene.within_tls(NAME, &[b"http/1.1"]).await, "/livez").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?} for one who is quick", begun.elapsed());
        served += 1;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(served >= 5, "{served} were served meanwhile");
    for slow in slow {
        // Five seconds for a head, however alive it looks.
        let borne = slow.await.unwrap();
        assert!(borne > Duration::from_secs(3) && borne < PATIENCE, "{borne:?}");
    }
    until("their places are free again", || scene.metrics.page().contains("parvis_http_connections 0")).await;
}
