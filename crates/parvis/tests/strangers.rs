// SPDX-License-Identifier: EUPL-1.2
//! What strangers can do to a call over the media port of a running server: nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use common::caller::{Caller, client_hello};
use common::{ANY_PORTS, Directory, Server, get, parvis, text, until};

/// A server with its metrics page, and one who has joined and not yet sent anything to the media port.
struct Scene {
    _server: Server,
    _directory: Directory,
    metrics: SocketAddr,
    caller: Caller,
    stranger: UdpSocket,
}

impl Scene {
    fn new(name: &str) -> Scene {
        let directory = Directory::new(name);
        let data = directory.path("data");
        let arguments = ["--dev", "--metrics", "127.0.0.1:0", "--data", &data];
        let server = Server::start("", "info", &[arguments.as_slice(), &ANY_PORTS].concat());
        let line = server.wait_for_log("metrics=");
        let metrics = line.split("metrics=").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        let made = parvis(&["token", "create", "--dev", "--room", "atelier", "--identity", "ada"]);
        let caller = Caller::join(server.address, &text(&made.stdout));
        let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
        stranger.set_nonblocking(true).unwrap();
        Scene { _server: server, _directory: directory, metrics, caller, stranger }
    }

    /// The sum of a counter over all shards.
    fn counter(&self, name: &str) -> u64 {
        self.labelled(name, "")
    }

    fn labelled(&self, name: &str, label: &str) -> u64 {
        let page = get(self.metrics, "/metrics").unwrap().1;
        let lines = page.lines().filter(|line| line.starts_with(name) && line.contains(label));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64).sum()
    }

    fn attack(&self, datagram: &[u8]) {
        self.stranger.send_to(datagram, self.caller.media()).unwrap();
        // As fast as a small receive buffer is emptied: what the kernel drops attacks nobody.
        std::thread::sleep(Duration::from_micros(50));
    }

    /// All that was sent has been counted: otherwise the test would pass for nothing.
    fn counted(&self, name: &str, at_least: u64) {
        until(name, || self.counter(name) >= at_least);
    }

    fn nothing_came_back(&self) {
        let error = self.stranger.recv(&mut [0; 2048]).expect_err("the stranger got something");
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    }

    /// The good caller goes on: the server takes its sound and answers with reports.
    fn call_goes_on(&mut self) {
        let (taken, reports) = (self.counter("parvis_forwarder_rtp_in_total"), self.caller.reports);
        for _ in 0..50 {
            self.caller.send_sound();
        }
        self.counted("parvis_forwarder_rtp_in_total", taken + 50);
        self.caller.run_until("a report", |caller| caller.reports > reports);
    }
}

#[test]
fn row_01_a_thousand_foreign_client_hellos_do_not_disturb_one_who_connects() {
    let mut scene = Scene::new("row-01");
    let hello = client_hello();
    assert!(hello.len() > 200 && hello[0] == 22);
    // A fatal alert in plain text: before there are keys, DTLS would believe it.
    let alert = [21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 40];
    let attack = |scene: &Scene| {
        for _ in 0..167 {
            scene.attack(&hello);
            scene.attack(&alert);
        }
    };
    attack(&scene);
    // One check has gone out, no handshake yet; then while it runs; then after it.
    scene.caller.run_until("a first check", |caller| caller.checks > 0);
    attack(&scene);
    scene.caller.run_until("connected", |caller| {
        let _ = scene.stranger.send_to(&hello, caller.media());
        caller.connected
    });
    attack(&scene);
    scene.counted("parvis_forwarder_strangers_total", 1_000);
    scene.call_goes_on();
    scene.nothing_came_back();
}

#[test]
fn row_02_media_from_a_third_port_is_dropped_and_draws_nothing_there() {
    let mut scene = Scene::new("row-02");
    scene.caller.run_until("connected", |caller| caller.connected);
    scene.call_goes_on();
    let taken = scene.counter("parvis_forwarder_rtp_in_total");
    for _ in 0..500 {
        // Authentic packets of the caller's, sent on by someone else: no tag gives them away, only where they came from.
        let packet = scene.caller.sound();
        scene.attack(&packet);
    }
    scene.counted("parvis_forwarder_strangers_total", 500);
    assert_eq!(scene.counter("parvis_forwarder_rtp_in_total"), taken);
    scene.call_goes_on();
    scene.nothing_came_back();
}

#[test]
fn row_09_forged_checks_draw_no_answer_and_soon_no_work() {
    let mut scene = Scene::new("row-09");
    scene.caller.run_until("connected", |caller| caller.connected);
    let refused =
        |scene: &Scene| scene.labelled("parvis_forwarder_dropped_total", "reason=\"unauthenticated\"");
    let before = refused(&scene);
    for transaction in 0..1_000 {
        scene.attack(&scene.caller.forged_check(transaction));
        // STUN for nobody here costs a look into a table.
        let mut unknown = scene.caller.forged_check(transaction);
        unknown[24..28].copy_from_slice(b"????");
        scene.attack(&unknown);
    }
    scene.counted("parvis_forwarder_strangers_total", 1_000);
    until("all are counted", || {
        refused(&scene) - before + scene.counter("parvis_forwarder_throttled_total") == 1_000
    });
    // 200 at once and 50 a second, with seconds to spare on a busy machine.
    assert!(refused(&scene) - before <= 700, "{} were looked at", refused(&scene) - before);
    scene.call_goes_on();
    scene.nothing_came_back();
    // Whoever does know the password gets no more than he sends.
    let (sent, answered) = (scene.caller.check_bytes, scene.caller.answer_bytes);
    assert!(answered > 0 && answered <= sent, "{answered} bytes for {sent}");
}

#[test]
fn row_11_a_candidate_inside_the_network_is_never_dialled() {
    let mut scene = Scene::new("row-11");
    // A service of the operator's own, at an address that the client claims to be.
    let inside = UdpSocket::bind("127.0.0.1:0").unwrap();
    let service = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    inside.set_nonblocking(true).unwrap();
    service.set_nonblocking(true).unwrap();
    let (udp, tcp) = (inside.local_addr().unwrap().port(), service.local_addr().unwrap().port());
    scene.caller.trickle(&format!("candidate:1 1 udp 2130706431 127.0.0.1 {udp} typ host"));
    scene.caller.trickle(&format!("candidate:2 1 tcp 2105524479 127.0.0.1 {tcp} typ host tcptype passive"));
    scene.caller.trickle("candidate:3 1 udp 2130706175 169.254.169.254 80 typ host");
    scene.caller.run_until("connected", |caller| caller.connected);
    // The candidates came before this on the same way, and the call has been carried for a while.
    for _ in 0..3 {
        scene.call_goes_on();
    }
    assert_eq!(inside.recv(&mut [0; 2048]).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(service.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(
        scene.counter("parvis_forwarder_refused_commands_total"),
        0,
        "they were taken, and not acted on"
    );
}
