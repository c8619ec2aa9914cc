// SPDX-License-Identifier: EUPL-1.2
//! Each protocol finds its place on one port, and what is none is closed in time.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use parvis_edge::{CryptoProfile, EdgeConfig, Plain};
use parvis_peer::framing::frame;
use parvis_peer::stun::{BINDING_REQUEST, Message, USERNAME, Writer, XOR_MAPPED_ADDRESS, read_xor_address};
use parvis_turn::TurnConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::scene::*;

#[tokio::test]
async fn https_is_served_with_post_quantum_keys_whether_the_client_says_http_or_not() {
    let scene = Scene::new().await;
    for alpn in [&[&b"http/1.1"[..]][..], &[b"h2", b"http/1.1"], &[]] {
        let stream = scene.within_tls(NAME, alpn).await;
        let session = stream.get_ref().1;
        assert_eq!(session.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
        let group = session.negotiated_key_exchange_group().unwrap().name();
        assert_eq!(group, rustls::NamedGroup::X25519MLKEM768);
        let answer = get(stream, "/livez").await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok\n"), "{answer}");
    }
    assert_eq!((scene.counted("https"), scene.counted("tls_handshakes")), (3, 3));
}

#[tokio::test]
async fn http_without_tls_is_sent_to_https_or_served_as_the_configuration_says() {
    let scene = Scene::new().await;
    let answer = get(scene.connect().await, "/r/atelier?access_token=secret").await;
    assert!(answer.starts_with("HTTP/1.1 308"), "{answer}");
    assert!(answer.contains("\r\nlocation: https://meet.example/r/atelier\r\n"), "{answer}");
    assert!(!answer.contains("secret"), "a token is not said again");

    let config = EdgeConfig { plain: Plain::Serve, ..edge_config() };
    let scene = Scene::with(config, CryptoProfile::Modern, TurnConfig::default()).await;
    let answer = get(scene.connect().await, "/livez").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn turn_is_known_by_alpn_by_name_and_by_its_first_byte_and_without_tls() {
    let scene = Scene::new().await;
    let credentials = scene.participant("PA_ada");
    let by_alpn = scene.within_tls(NAME, &[b"stun.turn"]).await;
    let by_name = scene.within_tls("turn.example", &[]).await;
    // As coturn's clients do, which would take pages as well.
    let by_one_of_many = scene.within_tls(NAME, &[b"http/1.1", b"stun.turn", b"stun.nat-discovery"]).await;
    // As browsers do: the same name as the pages, and no ALPN.
    let by_first_byte = scene.within_tls(NAME, &[]).await;
    let mut clients: Vec<Turn> = [by_alpn, by_one_of_many, by_name, by_first_byte]
        .into_iter()
        .map(|line| Turn::over(line, credentials.clone()))
        .collect();
    clients.push(Turn::over(scene.connect().await, credentials));
    for client in &mut clients {
        client.allocate().await.unwrap();
        assert_eq!(client.echo(scene.media, b"hello there").await.unwrap(), b"hello there");
    }
    assert_eq!(scene.counted("turn"), 5);
    assert_eq!(scene.relay.stats().0.allocations_now, 5);
    drop(clients);
    until("the allocations end with their connections", || scene.relay.stats().0.allocations_now == 0).await;
}

/// A first check for the peer of a shard, framed.
fn check(tag: &str) -> Vec<u8> {
    let mut writer = Writer::new(BINDING_REQUEST, &[7; 12]);
    writer.attribute(USERNAME, format!("{tag}0123456789abcdef:remote").as_bytes());
    let mut wire = Vec::new();
    frame(&writer.finish(None), &mut wire).unwrap();
    wire
}

#[tokio::test]
async fn ice_goes_to_the_thread_whose_peer_it_names_with_every_byte_that_it_sent() {
    let scene = Scene::new().await;
    let mut client = scene.connect().await;
    // "AD" is 3.
    let wire = check("AD");
    for piece in wire.chunks(7) {
        client.write_all(piece).await.unwrap();
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    until("it is handed over", || !scene.door.taken.lock().unwrap().is_empty()).await;
    let (shard, mut stream) = scene.door.taken.lock().unwrap().pop().unwrap();
    assert_eq!(shard, 3);
    stream.set_nonblocking(false).unwrap();
    let mut read = vec![0; wire.len()];
    stream.read_exact(&mut read).unwrap();
    assert_eq!(read, wire);
    stream.write_all(b"answer").unwrap();
    let mut answer = [0; 6];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"answer");
    assert_eq!(scene.counted("ice"), 1);
    assert!(scene.metrics.page().contains("parvis_http_connections 0"), "its place here is free again");

    // A shard that there is not, and a check without a tag.
    for wire in [check("//"), check("x")] {
        let mut client = scene.connect().await;
        client.write_all(&wire).await.unwrap();
        assert!(closes(&mut client, PATIENCE).await);
    }
    assert_eq!(scene.counted("ice_refused"), 2);
}

#[tokio::test]
async fn what_is_none_of_them_is_closed_and_counted() {
    let scene = Scene::new().await;
    for bytes in [&b"ssh-2.0-client\r\n"[..], &[0; 40], b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80"] {
        let mut client = scene.connect().await;
        client.write_all(bytes).await.unwrap();
        assert!(closes(&mut client, PATIENCE).await, "{bytes:?}");
    }
    assert_eq!(scene.counted("unknown"), 3);
    // Broken TLS, and nothing understandable within TLS.
    let mut client = scene.connect().await;
    client.write_all(&[0x16, 3, 1, 0, 4, 1, 2, 3, 4]).await.unwrap();
    assert!(closes(&mut client, PATIENCE).await || scene.counted("tls_failed") == 1);
    let mut within = scene.within_tls(NAME, &[]).await;
    within.write_all(&[0x99; 20]).await.unwrap();
    let mut rest = Vec::new();
    let _ = within.read_to_end(&mut rest).await;
    assert_eq!((rest.len(), scene.counted("unknown")), (0, 4));
}

#[tokio::test]
async fn row_38_who_does_not_say_what_it_is_is_closed_in_time_and_keeps_nobody_out() {
    let config = EdgeConfig { handshake: Duration::from_millis(800), ..edge_config() };
    let scene = Scene::with(config, CryptoProfile::Modern, TurnConfig::default()).await;
    let mut silent = Vec::new();
    for number in 0..150 {
        let mut client = scene.connect().await;
        // Some say nothing, some begin a TLS record, some a frame, and never go on.
        let begun: &[u8] = [&[][..], &[0x16, 3], &[0], &[0, 200, 0, 1, 0]][number % 4];
        client.write_all(begun).await.unwrap();
        silent.push(client);
    }
    let begun = Instant::now();
    let answer = get(scene.within_tls(NAME, &[b"http/1.1"]).await, "/livez").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    for client in &mut silent {
        assert!(closes(client, PATIENCE).await);
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(scene.counted("silent"), 150);
    until("their places are free again", || scene.metrics.page().contains("parvis_http_connections 0")).await;
}

#[tokio::test]
async fn row_38_a_turn_connection_without_an_allocation_is_closed_whatever_it_sends() {
    let scene = Scene::new().await;
    let mut client = scene.connect().await;
    let begun = Instant::now();
    let request = Writer::new(BINDING_REQUEST, &[7; 12]).finish(None);
    while begun.elapsed() < PATIENCE && client.write_all(&request).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(begun.elapsed() < Duration::from_secs(6), "it has two seconds: {:?}", begun.elapsed());
}

/// A PROXY header for a client at this address.
fn header(source: SocketAddr) -> Vec<u8> {
    let SocketAddr::V4(source) = source else { panic!("IPv4 here") };
    let mut header = parvis_edge::proxy::SIGNATURE.to_vec();
    header.extend_from_slice(&[0x21, 0x11, 0, 12]);
    header.extend_from_slice(&source.ip().octets());
    header.extend_from_slice(&[203, 0, 113, 7]);
    header.extend_from_slice(&source.port().to_be_bytes());
    header.extend_from_slice(&443_u16.to_be_bytes());
    header
}

/// What the relay takes for a client's address.
async fn seen_as(stream: &mut TcpStream) -> Option<SocketAddr> {
    stream.write_all(&Writer::new(BINDING_REQUEST, &[7; 12]).finish(None)).await.ok()?;
    let mut answer = [0; 40];
    stream.read_exact(&mut answer).await.ok()?;
    let message = Message::parse(&answer)?;
    read_xor_address(message.attribute(XOR_MAPPED_ADDRESS)?, message.transaction())
}

async fn from(local: &str, scene: &Scene) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(local.parse().unwrap(), 0)).unwrap();
    socket.connect(scene.address).await.unwrap()
}

#[tokio::test]
async fn a_trusted_proxy_says_whom_it_speaks_for_and_nobody_else_does() {
    let config = EdgeConfig { proxy_protocol_from: vec!["127.0.0.2".parse().unwrap()], ..edge_config() };
    let scene = Scene::with(config, CryptoProfile::Modern, TurnConfig::default()).await;
    let source: SocketAddr = "198.51.100.9:4711".parse().unwrap();
    let mut proxied = from("127.0.0.2", &scene).await;
    for byte in header(source) {
        proxied.write_all(&[byte]).await.unwrap();
    }
    assert_eq!(seen_as(&mut proxied).await, Some(source));
    // And TLS within.
    let mut proxied = from("127.0.0.2", &scene).await;
    proxied.write_all(&header(source)).await.unwrap();
    let name = rustls::pki_types::ServerName::try_from(NAME).unwrap();
    let within = scene.client(CryptoProfile::Modern, &[b"http/1.1"]).connect(name, proxied).await.unwrap();
    assert!(get(within, "/livez").await.starts_with("HTTP/1.1 200"));

    // A stranger who says the same is a stranger with a broken request.
    let mut forged = from("127.0.0.3", &scene).await;
    forged.write_all(&header(source)).await.unwrap();
    assert!(closes(&mut forged, PATIENCE).await);
    let mut direct = from("127.0.0.3", &scene).await;
    assert_eq!(seen_as(&mut direct).await.unwrap().ip().to_string(), "127.0.0.3");
    // The proxy without its header: an address that it does not give is not guessed.
    let mut without = from("127.0.0.2", &scene).await;
    without.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert!(closes(&mut without, PATIENCE).await);
    assert_eq!((scene.counted("unknown"), scene.counted("proxy_malformed")), (1, 1));
}

#[tokio::test]
async fn row_38_one_address_behind_a_proxy_cannot_take_all_connections() {
    let config = EdgeConfig { proxy_protocol_from: vec!["127.0.0.2".parse().unwrap()], ..edge_config() };
    let scene = Scene::with(config, CryptoProfile::Modern, TurnConfig::default()).await;
    let mut open = Vec::new();
    for number in 0..220 {
        let mut proxied = from("127.0.0.2", &scene).await;
        proxied
            .write_all(&header(format!("198.51.100.66:{}", 1_000 + number).parse().unwrap()))
            .await
            .unwrap();
        open.push(proxied);
    }
    until("those beyond 200 are refused", || scene.counted("proxy_refused") == 20).await;
    let mut other = from("127.0.0.2", &scene).await;
    other.write_all(&header("198.51.100.9:1".parse().unwrap())).await.unwrap();
    assert!(seen_as(&mut other).await.is_some(), "others have their own");
}
