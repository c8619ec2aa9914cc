// SPDX-License-Identifier: EUPL-1.2
//! The public port of a running server, as its configuration says.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;

use livekit_protocol as proto;
use livekit_protocol::signal_response::Message as Response;
use prost::Message as _;
use tokio_tungstenite::tungstenite::{Message, connect};

use common::caller::Caller;
use common::{ANY_PORTS, Directory, PATIENCE, Server, parvis, text};

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
