// SPDX-License-Identifier: EUPL-1.2
//! The public port of a running server, as its configuration says.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};

use livekit_protocol as proto;
use livekit_protocol::signal_response::Message as Response;
use parvis_edge::proxy::SIGNATURE;
use prost::Message as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::{Message, connect};

use common::caller::Caller;
use common::{ANY_PORTS, Directory, PATIENCE, Server, get, parvis, text, until};

const KEY: &str = "\n[[keys]]\nname = \"main\"\nsecret = \"0123456789abcdef0123456789abcdef\"\n";

fn configuration(directory: &Directory, extra: &str) -> String {
    let data = directory.path("data");
    directory.write("parvis.toml", &format!("{extra}\n[data]\ndirectory = \"{data}\"\n{KEY}"))
}

fn serve(config: &str) -> Server {
    let arguments = ["--config", config, "--metrics", "127.0.0.1:0"];
    Server::start("", "debug", &[arguments.as_slice(), &ANY_PORTS].concat())
}

/// Joins over `/rtc`, and returns all that the server says until its first offer came.
fn joined(server: &Server, config: &str) -> Vec<Response> {
    let made = parvis(&["token", "create", "--config", config, "--room", "atelier", "--identity", "ada"]);
    let token = text(&made.stdout);
    let url = format!("ws://{}/rtc?access_token={token}&protocol=16&auto_subscribe=1", server.address);
    let (mut signalling, _) = connect(url).unwrap();
    let mut said = Vec::new();
    loop {
        let Message::Binary(bytes) = signalling.read().unwrap() else { continue };
        let message = proto::SignalResponse::decode(bytes).unwrap().message.unwrap();
        let is_offer = matches!(message, Response::Offer(_));
        said.push(message);
        if is_offer {
            return said;
        }
    }
}

#[test]
fn behind_a_nat_no_inner_address_is_told_to_a_client() {
    let directory = Directory::new("nat");
    let extra = "[media]\naddresses = [\"127.0.0.1\", \"127.0.0.9\"]\nnode_ip = [\"203.0.113.7=127.0.0.9\"]\n\
                 [turn]\nenabled = true\nudp_port = 0\n";
    let config = configuration(&directory, extra);
    let server = serve(&config);
    let said = joined(&server, &config);
    let offer =
        said.iter().find_map(|m| if let Response::Offer(offer) = m { Some(&offer.sdp) } else { None });
    let offer = offer.unwrap();
    let candidates: Vec<&str> = offer.lines().filter(|line| line.starts_with("a=candidate:")).collect();
    assert!(candidates.len() >= 2 && candidates.iter().all(|line| line.contains(" 203.0.113.7 ")), "{offer}");
    for message in &said {
        let message = format!("{message:?}");
        assert!(!message.contains("127.0.0."), "{message}");
    }
    // What no outer address stands for is not even bound.
    let listening = std::fs::read_to_string("/proc/net/udp").unwrap();
    let port = candidates[0].split(' ').nth(5).unwrap().parse::<u16>().unwrap();
    assert!(listening.contains(&format!("0900007F:{port:04X}")), "it listens on the named one");
    assert!(!listening.contains(&format!("0100007F:{port:04X}")), "and on no other");
}

/// The answer to an offer of sound over WHIP.
fn whip_answer(server: &Server, config: &str) -> String {
    let made = parvis(&["token", "create", "--config", config, "--room", "atelier", "--identity", "obs"]);
    let token = text(&made.stdout);
    let offer = format!(
        "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\na=ice-ufrag:abcd\r\n\
         a=ice-pwd:0123456789012345678901\r\na=setup:actpass\r\na=fingerprint:sha-256 {}\r\n\
         m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=sendonly\r\na=rtcp-mux\r\n\
         a=rtpmap:111 opus/48000/2\r\na=msid:show sound\r\n",
        ["AB"; 32].join(":")
    );
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!(
        "POST /whip/v1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{offer}",
        offer.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    answer
}

#[test]
fn behind_a_nat_of_both_families_both_outer_addresses_are_offered_and_lead_to_media() {
    let directory = Directory::new("nat-both");
    let extra = "[media]\naddresses = [\"127.0.0.1\", \"127.0.0.9\", \"::1\"]\n\
                 node_ip = [\"203.0.113.7=127.0.0.9\", \"2001:db8::7=::1\"]\n";
    let config = configuration(&directory, extra);
    let server = serve(&config);
    let said = joined(&server, &config);
    let offer =
        said.iter().find_map(|m| if let Response::Offer(offer) = m { Some(&offer.sdp) } else { None });
    for sdp in [offer.unwrap(), &whip_answer(&server, &config)] {
        let mut offered: Vec<&str> =
            sdp.lines().filter_map(|line| line.strip_prefix("a=candidate:")?.split(' ').nth(4)).collect();
        offered.sort_unstable();
        offered.dedup();
        assert_eq!(offered, ["2001:db8::7", "203.0.113.7"], "{sdp}");
        assert!(!sdp.contains("127.0.0.") && !sdp.contains(" ::1"), "{sdp}");
    }
    let made = parvis(&["token", "create", "--config", &config, "--room", "atelier", "--identity", "bo"]);
    let nat = ("2001:db8::7", "::1".parse().unwrap());
    let mut bo = Caller::join_through(server.address, &text(&made.stdout), nat);
    assert!(bo.media().is_ipv6());
    bo.run_until("DTLS over ::1", |caller| caller.connected);
    for _ in 0..20 {
        bo.send_sound();
    }
    // Authentic, and from nowhere else than ::1.
    bo.run_until("a packet of the server's", |caller| caller.reports > 0);
}

#[test]
fn a_participant_is_told_of_the_relay_and_how_to_use_it() {
    let directory = Directory::new("turn");
    let extra = "[media]\naddresses = [\"127.0.0.1\"]\n\
                 [turn]\nenabled = true\nudp_port = 0\nhost = \"meet.example\"\nforce_relay = true\n";
    let config = configuration(&directory, extra);
    let server = serve(&config);
    let Response::Join(join) = joined(&server, &config).remove(0) else { panic!("no join response") };
    let told = &join.ice_servers[0];
    assert_eq!(told.urls.len(), 2, "{told:?}");
    assert!(told.urls[0].starts_with("turn:meet.example:") && told.urls[0].ends_with("?transport=udp"));
    assert_eq!(told.urls[1], format!("turn:meet.example:{}?transport=tcp", server.address.port()));
    assert!(told.username.ends_with(&format!(":{}", join.participant.unwrap().sid)), "{told:?}");
    assert_eq!(join.client_configuration.unwrap().force_relay, proto::ClientConfigSetting::Enabled as i32);
    let log = server.logged();
    assert!(!log.contains(&told.credential), "no log at any level holds a credential");
}

#[test]
fn a_configuration_that_cannot_be_honoured_is_refused_at_start() {
    let directory = Directory::new("edge-refused");
    directory.write("no.pem", "nothing");
    for (extra, expected) in [
        (
            "[tls]\ncrypto_profile = \"fips\"",
            ":2: tls.crypto_profile: \"fips\" is no crypto profile; use \"modern\", \"anssi\" or \"bsi\"",
        ),
        (
            "[tls]\ncertificate = \"no.pem\"",
            ":2: tls.certificate: certificate and key go together; name both files, or neither",
        ),
        (
            "[tls.acme]\ndirectory = \"https://ca.example/dir\"",
            "tls.acme.names: there is none; name the hosts that the certificate is for",
        ),
        (
            "[tls.acme]\ndirectory = \"http://ca.example/dir\"\nnames = [\"a.example\"]",
            "tls.acme.directory: it is no https:// address; use the authority's directory",
        ),
        (
            "[media]\nnode_ip = [\"0.0.0.0\"]",
            ":2: media.node_ip: \"0.0.0.0\" is no address; use one as \"203.0.113.7\", or with the one that it stands for as \"203.0.113.7=10.0.0.5\"",
        ),
        (
            "[media]\naddresses = [\"127.0.0.1\"]\nnode_ip = [\"203.0.113.7=10.9.8.7\"]",
            "media.node_ip: 10.9.8.7 is no address of this machine, or not in media.addresses; name one that is",
        ),
        ("[turn]\nenabled = true\nsecret_file = \"no.pem\"", "turn.secret_file: "),
        ("[tls]\ncertificate = \"no.pem\"\nkey = \"no.pem\"", "no.pem: no certificate in PEM form; "),
        (
            "[http]\nplain = \"maybe\"",
            ":2: http.plain: unknown variant `maybe`, expected `redirect` or `serve`",
        ),
        (
            "[http]\nframe_ancestors = [\"https://a.example/path\"]",
            ":2: http.frame_ancestors: \"https://a.example/path\" names no site; write \"https://intranet.example.org\" or \"https://*.example.org\", without a path",
        ),
    ] {
        let config = configuration(&directory, extra);
        let arguments = [["--config", &config, "--metrics", "127.0.0.1:0"].as_slice(), &ANY_PORTS].concat();
        for command in ["check", "serve"] {
            let output = parvis(&[[command].as_slice(), arguments.as_slice()].concat());
            let said = text(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{extra}\n{said}");
            assert!(said.contains(expected), "{said}\nhas no\n{expected}");
        }
    }
}

#[test]
fn check_says_what_each_crypto_profile_allows() {
    let directory = Directory::new("profiles");
    for (profile, has, has_not) in [
        ("modern", "SRTP_AES128_CM_HMAC_SHA1_80", "never"),
        ("anssi", "X25519MLKEM768", "SHA1"),
        ("bsi", "never CHACHA20", "X25519"),
    ] {
        let config = configuration(&directory, &format!("[tls]\ncrypto_profile = \"{profile}\""));
        let arguments =
            [["check", "--config", &config, "--metrics", "127.0.0.1:0"].as_slice(), &ANY_PORTS].concat();
        let output = parvis(&arguments);
        let said = text(&output.stdout);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(said.starts_with(&format!("crypto profile: {profile}\n")), "{said}");
        assert!(said.contains(has) && !said.contains(has_not), "{said}");
    }
}

/// A header of the PROXY protocol for a client at this address.
fn header(client: &str) -> Vec<u8> {
    let client: SocketAddr = client.parse().unwrap();
    let (family, mut addresses) = match client.ip() {
        IpAddr::V4(ip) => (0x11, [ip.octets(), [192, 0, 2, 1]].concat()),
        IpAddr::V6(ip) => (0x21, [ip.octets(), [0; 16]].concat()),
    };
    addresses.extend([client.port().to_be_bytes(), 443_u16.to_be_bytes()].concat());
    [&SIGNATURE[..], &[0x21, family, 0, addresses.len() as u8], &addresses].concat()
}

/// A connection from this address of the machine's own.
async fn connection(server: &Server, from: &str) -> tokio::net::TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(from.parse().unwrap(), 0)).unwrap();
    socket.connect(server.address).await.unwrap()
}

/// What is said to these bytes from there, until the server hangs up.
async fn answer(server: &Server, from: &str, bytes: &[u8]) -> String {
    let mut stream = connection(server, from).await;
    // It may hang up before all is sent.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("an end");
    text(&answer)
}

fn request(path: &str, extra: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{extra}\r\n").into_bytes()
}

/// A server that 127.0.0.2 is a proxy of, and its metrics.
fn behind_a_proxy(directory: &Directory, limits: &str) -> (Server, String, SocketAddr) {
    let proxy = "[http]\nproxy_protocol_from = [\"127.0.0.2\"]\ntrusted_proxies = [\"127.0.0.2\"]\n";
    let config = configuration(directory, &format!("{proxy}{limits}"));
    let server = serve(&config);
    let line = server.wait_for_log("metrics=");
    let metrics = line.split("metrics=").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    (server, config, metrics)
}

/// A counter of the public port's.
fn counted(metrics: SocketAddr, name: &str) -> u64 {
    let page = get(metrics, "/metrics").unwrap().1;
    let line = page.lines().find(|line| line.starts_with(&format!("parvis_edge_{name}_total ")));
    line.unwrap_or_else(|| panic!("no {name} in {page}")).rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_proxys_clients_are_told_apart_by_the_addresses_that_it_names() {
    let directory = Directory::new("proxied");
    let limits = "max_connections_per_address = 4\nrequest_head_timeout = \"1m\"\n\
                  joins_per_address = { burst = 2, per_second = 1 }\n";
    let (server, config, metrics) = behind_a_proxy(&directory, limits);
    let made = parvis(&["token", "create", "--config", &config, "--room", "atelier", "--identity", "ada"]);
    let validate = format!("/rtc/validate?access_token={}", text(&made.stdout));
    let knock = async |client: &str, extra: &str| {
        let bytes = [header(client), request(&validate, extra)].concat();
        answer(&server, "127.0.0.2", &bytes).await.split(' ').nth(1).unwrap_or("nothing").to_owned()
    };
    // Joins: one uses up his own, and nobody else's, whatever he says of himself.
    let mut knocks = Vec::new();
    for port in 1_000..1_008 {
        let forged = format!("X-Forwarded-For: 203.0.113.{}\r\n", port - 1_000);
        knocks.push(knock(&format!("198.51.100.66:{port}"), &forged).await);
    }
    assert!(knocks.iter().filter(|status| *status == "429").count() >= 3, "{knocks:?}");
    assert_eq!(knock("198.51.100.9:1000", "").await, "200");
    assert_eq!(knock("[2001:db8::9]:1000", "").await, "200");

    // Connections: the fifth that another has open finds no place.
    let alive = [header("198.51.100.67:2000"), b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()].concat();
    let mut open = Vec::new();
    for _ in 0..4 {
        let mut stream = connection(&server, "127.0.0.2").await;
        stream.write_all(&alive).await.unwrap();
        let mut begin = [0; 12];
        stream.read_exact(&mut begin).await.unwrap();
        assert_eq!(&begin, b"HTTP/1.1 200");
        open.push(stream);
    }
    assert_eq!(answer(&server, "127.0.0.2", &alive).await, "");
    assert_eq!(counted(metrics, "proxy_refused"), 1);
    let other = [header("198.51.100.9:2000"), request("/livez", "")].concat();
    assert!(answer(&server, "127.0.0.2", &other).await.starts_with("HTTP/1.1 200"), "others have their own");
    drop(open);
    let begun = [header("198.51.100.67:2001"), request("/livez", "")].concat();
    let mut said = String::new();
    for _ in 0..500 {
        said = answer(&server, "127.0.0.2", &begun).await;
        if !said.is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert!(said.starts_with("HTTP/1.1 200"), "his places are free again: {said:?}");
}

#[tokio::test]
async fn a_proxys_header_is_a_must_for_it_and_refused_from_anyone_else() {
    let directory = Directory::new("unproxied");
    let (server, _config, metrics) = behind_a_proxy(&directory, "");
    let livez = request("/livez", "");
    // Whoever is no proxy says for whom he speaks: nobody listens. Without it he is served as himself.
    let forged = [header("198.51.100.9:1000"), livez.clone()].concat();
    assert_eq!(answer(&server, "127.0.0.3", &forged).await, "");
    until("it is counted", || counted(metrics, "unknown") == 1);
    assert!(answer(&server, "127.0.0.3", &livez).await.starts_with("HTTP/1.1 200"));
    // The proxy itself without one, with a broken one and with version 1.
    let mut broken = forged.clone();
    broken[5] ^= 1;
    let first = b"PROXY TCP4 198.51.100.9 192.0.2.1 1000 443\r\n".to_vec();
    for bytes in [&livez, &broken, &[first, livez.clone()].concat()] {
        assert_eq!(answer(&server, "127.0.0.2", bytes).await, "");
    }
    until("they are counted", || counted(metrics, "proxy_malformed") == 3);
    // It speaks for itself when it looks whether the server is alive.
    let itself = [&SIGNATURE[..], &[0x20, 0, 0, 0], &livez].concat();
    assert!(answer(&server, "127.0.0.2", &itself).await.starts_with("HTTP/1.1 200"));
    assert_eq!((counted(metrics, "unknown"), counted(metrics, "proxy_malformed")), (1, 3));
}
