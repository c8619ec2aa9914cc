// SPDX-License-Identifier: EUPL-1.2
//! coturn's client tools at our relay, with a participant's credentials.
//!
//! `turnutils_uclient` is made for a relay that is open to it, and draws lots: whether it asks for an even port, which ours
//! has none of (508), and for a channel's number out of RFC 5766's range, of which RFC 8656 section 12 left a quarter (400).
//! Whatever it is refused for these two reasons it tries again here. It asks for a permission or a channel for the port after
//! its peer's as well, and so the server has two media ports, one after the other. It waits for echoes, which media does
//! not send: what arrived is counted at the server. Its own "client-to-client" mode relays from one allocation to another,
//! which a closed relay refuses, and it is not used but to see that.

use std::net::{TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::Command;

use livekit_protocol as proto;
use livekit_protocol::signal_request::Message as Request;
use livekit_protocol::signal_response::Message as Response;
use prost::Message as _;
use tokio_tungstenite::tungstenite::stream::MaybeTlsStream;
use tokio_tungstenite::tungstenite::{Message, WebSocket, connect};

use crate::common::{Directory, until};
use crate::hall::Hall;

/// The folder of the tools. Where it is named the tests must not be left out.
const PROGRAMS: &str = "PARVIS_TURN_CLIENTS";
/// More often than this it does not draw a bad lot: both at once in 31 of 32 cases.
const DRAWS: usize = 600;
const MESSAGES: u64 = 3;
const MESSAGE_BYTES: u64 = 100;

/// Peers that are none of our media, some in disguise. The last but one is the machine itself, at another port.
const ELSEWHERE: [&str; 10] = [
    "10.0.0.1",
    "169.254.169.254",
    "100.64.0.1",
    "192.0.2.1",
    "fc00::1",
    "::1",
    "::ffff:10.0.0.1",
    "64:ff9b::a00:1",
    "127.0.0.1",
    "127.0.0.2",
];

/// How they come to the relay.
const WAYS: [&str; 3] = ["udp", "tcp", "tls"];

/// The tools, and what a participant was told of the relay.
struct Tools {
    programs: PathBuf,
    username: String,
    password: String,
    relay_udp: String,
    relay_tcp: String,
}

struct Scene {
    hall: Hall,
    tools: Tools,
    /// The participant's.
    signalling: WebSocket<MaybeTlsStream<TcpStream>>,
    /// The first of two media ports.
    media: String,
    _certificate: Directory,
}

impl Tools {
    fn run(&self, program: &str, seconds: &str, arguments: &[&str]) -> String {
        let output = Command::new("timeout")
            .args(["--kill-after=1", seconds])
            .arg(self.programs.join(program))
            .args(arguments)
            .arg("127.0.0.1")
            .output()
            .unwrap();
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat()
    }

    /// One run of the client, without a second allocation for RTCP.
    fn uclient(&self, way: &str, password: &str, arguments: &[&str]) -> String {
        let count = MESSAGES.to_string();
        let own = ["-v", "-c", "-m", "1", "-n", &count, "-u", &self.username, "-w", password];
        let way: &[&str] = match way {
            "udp" => &["-p", &self.relay_udp],
            "tcp" => &["-t", "-p", &self.relay_tcp],
            _ => &["-t", "-S", "-p", &self.relay_tcp],
        };
        self.run("turnutils_uclient", "60", &[own.as_slice(), way, arguments].concat())
    }

    /// Runs the client until it says this, refused for nothing but its lots before.
    fn until_said(&self, way: &str, arguments: &[&str], wanted: &str) -> String {
        for _ in 0..DRAWS {
            let said = self.uclient(way, &self.password, arguments);
            if said.contains(wanted) {
                return said;
            }
            let lot = said.contains("error 508") || said.contains("channel bind: error 400");
            assert!(lot, "{way} {arguments:?}: no {wanted:?} in\n{said}");
        }
        panic!("{way} {arguments:?}: no {wanted:?} in {DRAWS} runs");
    }
}

impl Scene {
    fn new(name: &str) -> Option<Scene> {
        let Some(programs) = std::env::var_os(PROGRAMS).map(PathBuf::from) else {
            eprintln!("left out: coturn's client tools are not here (`cargo xtask test` brings them)");
            return None;
        };
        let certificate = Directory::new(&format!("{name}-certificate"));
        let key = rcgen::KeyPair::generate().unwrap();
        let names = vec!["localhost".to_owned()];
        let chain = rcgen::CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
        let chain = certificate.write("chain.pem", &chain.pem());
        let key = certificate.write("key.pem", &key.serialize_pem());
        let configuration = format!(
            "[http]\nplain = \"serve\"\n[tls]\ncertificate = \"{chain}\"\nkey = \"{key}\"\n\
             [media]\naddresses = [\"127.0.0.1\"]\nshards = 2\npin = false\n[sessions]\njoin_timeout = \"10m\"\n\
             [turn]\nenabled = true\nudp_port = 0\nhost = \"127.0.0.1\"\n\
             max_allocations_per_participant = 1000\nmax_allocations_per_address = 1000\n"
        );
        let media = two_ports();
        let ports = format!("{media}-{}", media + 1);
        let flags = ["--http", "127.0.0.1:0", "--media-ports", &ports, "--tcp-port", "0"];
        let hall = Hall::open(name, "", &configuration, &flags);
        let token = hall.token("atelier", "ada");
        let url = format!("ws://{}/rtc?access_token={token}&protocol=16", hall.server.address);
        let (mut signalling, _) = connect(url).unwrap();
        let Message::Binary(bytes) = signalling.read().unwrap() else { panic!("no first message") };
        let Some(Response::Join(join)) = proto::SignalResponse::decode(bytes).unwrap().message else {
            panic!("no join response")
        };
        let told = &join.ice_servers[0];
        let port = |url: &str| url.rsplit(':').next().unwrap().split('?').next().unwrap().to_owned();
        let tools = Tools {
            programs,
            username: told.username.clone(),
            password: told.credential.clone(),
            relay_udp: port(&told.urls[0]),
            relay_tcp: hall.server.address.port().to_string(),
        };
        Some(Scene { hall, tools, signalling, media: media.to_string(), _certificate: certificate })
    }

    fn leave(&mut self) {
        let request = proto::SignalRequest { message: Some(Request::Leave(proto::LeaveRequest::default())) };
        self.signalling.send(Message::Binary(request.encode_to_vec().into())).unwrap();
        until("the relay knows that she left", || self.hall.figure("parvis_turn_users ") == 0);
    }
}

/// A UDP port after which the next one is free too.
fn two_ports() -> u16 {
    loop {
        let first = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        if first < u16::MAX && UdpSocket::bind(("127.0.0.1", first + 1)).is_ok() {
            return first;
        }
    }
}

/// Whether every line with `what` is followed by one that says "success", and there is one.
fn succeeded(said: &str, what: &str) -> bool {
    let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    let answers: Vec<_> = lines.windows(2).filter(|pair| pair[0].contains(what)).collect();
    !answers.is_empty() && answers.iter().all(|pair| pair[1].contains("success"))
}

#[test]
fn coturns_clients_allocate_refresh_and_reach_media_over_udp_tcp_and_tls() {
    let Some(scene) = Scene::new("turn-clients") else { return };
    let peer = ["-e", "127.0.0.1", "-r", &scene.media];
    // By indications (-s) and by a channel, each way; all at once, since each waits some seconds for echoes.
    std::thread::scope(|scope| {
        for way in WAYS {
            for by_channel in [false, true] {
                let (tools, peer) = (&scene.tools, peer.as_slice());
                scope.spawn(move || {
                    let (how, what): (&[&str], _) =
                        if by_channel { (&[], "cb response") } else { (&["-s"], "cp response") };
                    let said = tools.until_said(way, &[peer, how].concat(), "Total transmit time");
                    assert!(succeeded(&said, "refresh response"), "{way}\n{said}");
                    assert!(succeeded(&said, what), "{way}\n{said}");
                    assert!(said.contains(&format!("tot_send_msgs={MESSAGES}")), "{way}\n{said}");
                    assert!(way != "tls" || said.contains("Cipher: "), "{said}");
                });
            }
        }
    });
    let runs = 2 * WAYS.len() as u64;
    let hall = &scene.hall;
    assert_eq!(hall.figure("parvis_turn_packets_to_media_total"), runs * MESSAGES);
    assert_eq!(hall.figure("parvis_turn_bytes_to_media_total"), runs * MESSAGES * MESSAGE_BYTES);
    // They reached the media port, which has no use for them: an allocation is no 5-tuple that ICE has validated.
    until("all of them came", || hall.figure("parvis_forwarder_strangers_total") == runs * MESSAGES);
    assert_eq!(hall.figure("parvis_turn_quota_reached_total"), 0);
    hall.log_is_short();
}

#[test]
fn row_12_to_18_coturns_clients_are_refused_all_else_with_the_right_codes() {
    let Some(mut scene) = Scene::new("turn-refused") else { return };
    let allocations = |scene: &Scene| scene.hall.figure("parvis_turn_allocations_total");

    let tools = &scene.tools;
    // An address that has sent less than the answer is long gets none: it asks once, and again (row 17).
    let mut asked = (0..5).map(|_| tools.run("turnutils_stunclient", "2", &["-p", &tools.relay_udp]));
    assert!(asked.any(|said| said.contains("UDP reflexive addr: 127.0.0.1:")), "no answer");

    let http = &tools.relay_tcp;
    for way in WAYS {
        for peer in ELSEWHERE {
            // For these it asks for an allocation of IPv6, which there is none of where media has none.
            let is_v6 = peer.contains(':');
            let by_channel = if is_v6 { "error 440" } else { "channel bind: error 403" };
            let by_permission = if is_v6 { "error 440" } else { "create permission error 403" };
            let peer = ["-e", peer, "-r", http];
            tools.until_said(way, &peer, by_channel);
            tools.until_said(way, &[&peer[..], &["-s"]].concat(), by_permission);
        }
    }
    let of_v4 = ELSEWHERE.iter().filter(|peer| !peer.contains(':')).count();
    let forbidden = scene.hall.figure("parvis_turn_forbidden_peers_total");
    assert!(forbidden >= (2 * WAYS.len() * of_v4) as u64, "{forbidden}");
    // From one allocation to another; nothing over TCP (RFC 6062); no DONT-FRAGMENT.
    tools.until_said("udp", &["-y"], "channel bind: error 403");
    tools.until_said("tcp", &["-T", "-y"], "error 442");
    let somewhere = ["-e", "127.0.0.1", "-r", http];
    tools.until_said("udp", &[&somewhere[..], &["-g"]].concat(), "error 420");
    assert_eq!(scene.hall.figure("parvis_turn_packets_to_media_total"), 0, "nothing was relayed");

    // A wrong password, and the right one of someone who has left.
    let before = allocations(&scene);
    let media = scene.media.clone();
    let peer = ["-e", "127.0.0.1", "-r", &media];
    for way in WAYS {
        let said = tools.uclient(way, "guessed", &peer);
        assert!(said.contains("Cannot complete Allocation"), "{way}\n{said}");
    }
    scene.leave();
    let unauthenticated = scene.hall.figure("parvis_turn_unauthenticated_total");
    for way in WAYS {
        let said = scene.tools.uclient(way, &scene.tools.password, &peer);
        assert!(said.contains("Cannot complete Allocation"), "{way}\n{said}");
    }
    assert!(scene.hall.figure("parvis_turn_unauthenticated_total") > unauthenticated + 3);
    assert_eq!((allocations(&scene), scene.hall.figure("parvis_turn_allocations ")), (before, 0));
    assert!(scene.hall.server.is_running());
    scene.hall.log_is_short();
}
