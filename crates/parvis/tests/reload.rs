// SPDX-License-Identifier: EUPL-1.2
//! SIGHUP: what changes while the server runs, and what a mistake leaves as it was.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use nix::sys::signal::Signal;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use common::{ANY_PORTS, Directory, PATIENCE, Server, get, parvis, text, until};

/// A configuration file that is written anew again and again.
struct File {
    directory: Directory,
    path: String,
}

impl File {
    fn new(name: &str) -> File {
        let directory = Directory::new(name);
        directory.write("main.secret", "0123456789abcdef0123456789abcdef");
        let path = directory.path("parvis.toml");
        File { directory, path }
    }

    fn write(&self, sections: &str) {
        let data = self.directory.path("data");
        let keys = "[[keys]]\nname = \"main\"\nsecret_file = \"main.secret\"\n";
        self.directory.write("parvis.toml", &format!("{sections}\n[data]\ndirectory = \"{data}\"\n{keys}"));
    }

    fn serve(&self) -> Server {
        let arguments = ["--config", &self.path, "--metrics", "127.0.0.1:0"];
        Server::start("", "info", &[arguments.as_slice(), &ANY_PORTS].concat())
    }

    fn token(&self, room: &str) -> String {
        let made = ["token", "create", "--config", &self.path, "--room", room, "--identity", "ada"];
        text(&parvis(&made).stdout)
    }

    /// A certificate for `meet.example` and its key, in files of that name; the certificate is what clients trust.
    fn certificate(&self, name: &str) -> CertificateDer<'static> {
        let key = rcgen::KeyPair::generate().unwrap();
        let parameters = rcgen::CertificateParams::new(vec!["meet.example".to_owned()]).unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        self.directory.write(&format!("{name}.pem"), &certificate.pem());
        self.directory.write(&format!("{name}.key"), &key.serialize_pem());
        certificate.der().clone()
    }
}

fn reload(server: &Server) -> String {
    server.signal(Signal::SIGHUP);
    loop {
        let line = server.wait_for_log("configuration");
        if line.contains("was read anew") || line.contains("stays as it was") {
            return line;
        }
    }
}

/// Whether the server shows a certificate that only this one vouches for.
async fn shows(address: SocketAddr, trusted: &CertificateDer<'static>) -> bool {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let connector = TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth()));
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    connector.connect(ServerName::try_from("meet.example").unwrap(), stream).await.is_ok()
}

#[tokio::test]
async fn another_certificate_is_shown_at_once_and_a_bad_one_changes_nothing() {
    let file = File::new("reload-tls");
    let (first, second) = (file.certificate("first"), file.certificate("second"));
    let tls = |name: &str| format!("[tls]\ncertificate = \"{name}.pem\"\nkey = \"{name}.key\"\n");
    file.write(&tls("first"));
    let server = file.serve();
    assert!(shows(server.address, &first).await && !shows(server.address, &second).await);

    // Another key than the certificate's, and other rules beside it: none of both counts.
    file.write("[rooms]\nmax = 1\n[tls]\ncertificate = \"second.pem\"\nkey = \"first.key\"\n");
    let line = reload(&server);
    assert!(line.contains("stays as it was"), "{line}");
    assert!(
        line.contains("parvis.toml:4: tls.certificate: ") && line.contains("can't be used together"),
        "{line}"
    );
    assert!(shows(server.address, &first).await && !shows(server.address, &second).await);

    file.write(&tls("second"));
    let line = reload(&server);
    assert!(line.contains("changed=\"tls.certificate, tls.key\""), "{line}");
    assert!(shows(server.address, &second).await && !shows(server.address, &first).await);

    // The same names with other content, as whoever renews leaves them: no need to wait for the next look.
    let third = file.certificate("second");
    assert!(reload(&server).contains("was read anew"));
    assert!(shows(server.address, &third).await && !shows(server.address, &second).await);

    // To end TLS is not for a running server: it goes on, and says so.
    file.write("");
    let line = reload(&server);
    assert!(line.contains("waits=\"tls.certificate, tls.key\""), "{line}");
    assert!(shows(server.address, &third).await);
}

#[tokio::test]
async fn limits_of_every_plane_hold_from_the_next_request_on() {
    let file = File::new("reload-limits");
    file.write("");
    let server = file.serve();
    let token = file.token("atelier");
    let validate = format!("/rtc/validate?access_token={token}");
    let status = |path: &str| server.get(path).unwrap().0;
    let post = |path: &str, body: &str| post(server.address, path, &token, body);
    assert_eq!(status(&validate), 200);
    let long = "x".repeat(2_000);
    assert_eq!(post("/whip/v1", &long), 400, "it is no offer");

    let tight = "[http]\njoins_per_address = { burst = 1, per_second = 1 }\n[whip]\nmax_offer_bytes = 1000\n\
                 [server_api]\nmax_body_bytes = 100\n[media]\nshards = 2\n";
    file.write(tight);
    let line = reload(&server);
    for key in ["http.joins_per_address.burst", "whip.max_offer_bytes", "server_api.max_body_bytes"] {
        assert!(line.split("waits=").next().unwrap().contains(key), "{key}: {line}");
    }
    assert!(line.contains("waits=\"media.shards\""), "{line}");
    assert_eq!(post("/twirp/livekit.RoomService/ListRooms", &long), 413);
    assert_eq!(post("/whip/v1", &long), 413);
    let refused = (0..5).filter(|_| status(&validate) == 429).count();
    assert!(refused >= 3, "{refused} of 5");

    file.write("");
    assert!(reload(&server).contains("was read anew"));
    // Whoever used up the tight limit gets by the wider one what that gives in time.
    until("the wider limits hold", || post("/whip/v1", &long) == 400);
}

#[test]
fn webhooks_go_to_the_targets_that_the_file_names_now() {
    let file = File::new("reload-webhooks");
    file.write("");
    let server = file.serve();
    let (address, events) = receiver();
    let webhooks = format!(
        "[webhooks]\nurls = [\"http://{address}/hook\"]\nallow_internal = [\"{address}\"]\n\
         [rooms]\ndeparture_timeout = \"1s\"\n"
    );
    file.write(&webhooks.replace("http://", "ftp://"));
    let line = reload(&server);
    assert!(line.contains("parvis.toml:2: webhooks.urls: ") && line.contains("use a URL such as"), "{line}");

    file.write(&webhooks);
    assert!(reload(&server).contains("was read anew"));
    let token = file.token("atelier");
    let url = format!("ws://{}/rtc?access_token={token}&protocol=16", server.address);
    let _socket = tokio_tungstenite::tungstenite::connect(url).unwrap();
    let event = events.recv_timeout(PATIENCE).expect("an event");
    assert!(event.contains("\"room_started\"") && event.contains("atelier"), "{event}");
}

#[test]
fn the_look_of_the_web_client_changes_and_a_bad_one_changes_nothing() {
    let file = File::new("reload-branding");
    file.write("");
    let server = file.serve();
    let look = || serde_json::from_str::<serde_json::Value>(&server.get("/api/branding").unwrap().1).unwrap();
    assert_eq!(look(), serde_json::json!({ "links": {} }));
    assert_eq!(server.get("/api/branding/logo").unwrap().0, 204);

    file.directory.write("mark.svg", "<svg xmlns='http://www.w3.org/2000/svg'><circle r='1'/></svg>");
    let branding = "[branding]\nname = \"Visio\"\nlogo = \"mark.svg\"\naccent = \"#7a1f3d\"\n\
                    imprint = \"https://example.org/imprint\"\n";
    file.write(branding);
    let line = reload(&server);
    assert!(line.contains("branding.accent, branding.imprint, branding.logo, branding.name"), "{line}");
    let changed = look();
    assert_eq!((&changed["name"], &changed["logo"]), (&"Visio".into(), &"/api/branding/logo".into()));
    assert_eq!(changed["light"], serde_json::json!({ "accent": "#7a1f3d", "onAccent": "#ffffff" }));
    assert_eq!(changed["dark"]["onAccent"], "#000000");
    assert_eq!(changed["links"], serde_json::json!({ "imprint": "https://example.org/imprint" }));
    let (status, mark) = server.get("/api/branding/logo").unwrap();
    assert!(status == 200 && mark.contains("<circle"), "{status} {mark}");

    for (wrong, expected) in [
        (
            branding.replace("#7a1f3d", "#fff9c4"),
            "parvis.toml:4: branding.accent: #fff9c4 stands out from a light page",
        ),
        (branding.replace("mark.svg", "main.secret"), "parvis.toml:3: branding.logo: "),
        (branding.replace("https://", "http://"), "parvis.toml:5: branding.imprint: "),
    ] {
        file.write(&format!("{wrong}[rooms]\nmax = 1\n"));
        let line = reload(&server);
        assert!(line.contains("stays as it was") && line.contains(expected), "{line}");
        assert_eq!(look(), changed);
    }
    // The same name with another picture in it.
    file.directory.write("mark.svg", "<svg xmlns='http://www.w3.org/2000/svg'><rect width='1'/></svg>");
    file.write(branding);
    assert!(reload(&server).contains("was read anew"));
    assert!(server.get("/api/branding/logo").unwrap().1.contains("<rect"));
}

#[test]
fn the_log_and_the_metrics_change_and_what_waits_says_why() {
    let file = File::new("reload-rest");
    let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (first, second, taken) = (free(), free(), TcpListener::bind("127.0.0.1:0").unwrap());
    let metrics = |address: SocketAddr| format!("[metrics]\nlisten = \"{address}\"\n");
    file.write(&metrics(first));
    let server =
        Server::start("unset RUST_LOG;", "info", &[["--config", &file.path].as_slice(), &ANY_PORTS].concat());
    assert_eq!(get(first, "/metrics").unwrap().0, 200);

    file.write(&format!("{}[log]\nlevel = \"error\"\n", metrics(taken.local_addr().unwrap())));
    let line = reload(&server);
    assert!(line.contains("stays as it was") && line.contains("metrics.listen: cannot listen on"), "{line}");
    assert_eq!(get(first, "/metrics").unwrap().0, 200);

    let more = "[log]\nlevel = \"debug\"\njson = true\n[turn]\nforce_relay = true\n[webhooks]\nqueue = 5\n";
    file.write(&format!("{}{more}", metrics(second)));
    let line = reload(&server);
    assert!(line.contains("changed=\"log.level, metrics.listen\""), "{line}");
    assert!(line.contains("waits=\"log.json, turn.force_relay, webhooks.queue\""), "{line}");
    for (key, why) in [
        ("log.json", "the log was begun with it"),
        ("turn.force_relay", "the relay and the credentials"),
        ("webhooks.queue", "the queue was made with it"),
    ] {
        let line = server.wait_for_log("waits for a restart");
        assert!(line.contains(&format!("key=\"{key}\"")) && line.contains(why), "{line}");
    }
    assert_eq!(get(second, "/metrics").unwrap().0, 200);
    until("nobody listens at the former place", || get(first, "/metrics").is_none());

    // Nothing below an error is written from then on, not even what came of that reading.
    file.write(&format!("{}[log]\nlevel = \"error\"\n", metrics(first)));
    server.signal(Signal::SIGHUP);
    until("the metrics are back", || get(first, "/metrics").is_some());
    file.write("[rooms]\nmax = 0\n");
    server.signal(Signal::SIGHUP);
    let line = server.wait_for_log("the configuration");
    assert!(line.contains("stays as it was") && line.contains("rooms.max: 0 is below 1"), "{line}");
}

/// Takes requests and hands their bodies on.
fn receiver() -> (SocketAddr, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (event, events) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
            let (mut said, mut buffer) = (Vec::new(), [0; 4_096]);
            while let Ok(length @ 1..) = stream.read(&mut buffer) {
                said.extend_from_slice(&buffer[..length]);
            }
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            if event.send(String::from_utf8_lossy(&said).into_owned()).is_err() {
                return;
            }
        }
    });
    (address, events)
}

/// The status of a request with a body.
fn post(address: SocketAddr, path: &str, token: &str, body: &str) -> u16 {
    let kind = if path.starts_with("/whip") { "application/sdp" } else { "application/json" };
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    // It may hang up before all is sent: then its answer is there already.
    let _ = stream.write_all(body.as_bytes());
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}
