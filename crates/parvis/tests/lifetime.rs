// SPDX-License-Identifier: EUPL-1.2
//! How the server ends, and how it lives when the system has little for it.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::fs::File;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::FileExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use common::caller::Caller;
use common::{ANY_PORTS, Directory, Server, get, parvis, text, until};
use futures_util::StreamExt;
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::Signal;
use tokio_tungstenite::MaybeTlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

type Socket = WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>;

fn token(room: &str, identity: &str) -> String {
    text(&parvis(&["token", "create", "--dev", "--room", room, "--identity", identity]).stdout)
}

/// Joins and waits for the first message.
async fn join(server: &Server, token: &str) -> Socket {
    let url = format!("ws://{}/rtc?access_token={token}&protocol=16", server.address);
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    assert!(matches!(socket.next().await, Some(Ok(Message::Binary(_)))));
    socket
}

#[tokio::test]
async fn in_development_one_signal_tells_clients_and_ends_the_server() {
    let directory = Directory::new("dev-end");
    let mut server = Server::dev(&directory);
    let mut socket = join(&server, &token("atelier", "ada")).await;
    server.signal(Signal::SIGTERM);
    let mut told = 0;
    while let Some(Ok(Message::Binary(_))) = socket.next().await {
        told += 1;
    }
    assert!(told > 0, "a last message came before the end");
    assert!(server.wait().success());
}

#[tokio::test]
async fn sigterm_lets_nobody_new_in_and_waits_for_those_who_are_in() {
    let directory = Directory::new("drain");
    directory.write("main.secret", "0123456789abcdef0123456789abcdef");
    let file = format!(
        "[drain]\ndeadline = \"60s\"\n[rooms]\ndeparture_timeout = \"1s\"\n[sessions]\nresume_timeout = \"1s\"\n\
         [data]\ndirectory = \"{}\"\n[[keys]]\nname = \"main\"\nsecret_file = \"main.secret\"\n",
        directory.path("data")
    );
    let config = directory.write("parvis.toml", &file);
    let arguments = [["--config", &config, "--metrics", "127.0.0.1:0"].as_slice(), &ANY_PORTS].concat();
    let mut server = Server::start("", "info", &arguments);
    let made = ["token", "create", "--config", &config, "--room", "atelier", "--identity", "ada"];
    let token = text(&parvis(&made).stdout);
    let socket = join(&server, &token).await;
    server.signal(Signal::SIGTERM);
    until("not ready any more", || server.get("/readyz").is_some_and(|(status, _)| status == 503));
    assert_eq!(server.get("/livez").unwrap().0, 200);
    assert_eq!(server.get(&format!("/rtc/validate?access_token={token}")).unwrap().0, 503);
    assert!(server.is_running());
    // The last one leaves, and the room ends by its own times.
    drop(socket);
    let begun = Instant::now();
    assert!(server.wait().success());
    assert!(begun.elapsed() < Duration::from_secs(20), "long before the deadline");
}

#[tokio::test]
async fn a_second_signal_stops_at_once() {
    let directory = Directory::new("forced");
    directory.write("main.secret", "0123456789abcdef0123456789abcdef");
    let file = format!(
        "[data]\ndirectory = \"{}\"\n[[keys]]\nname = \"main\"\nsecret_file = \"main.secret\"\n",
        directory.path("data")
    );
    let config = directory.write("parvis.toml", &file);
    let arguments = [["--config", &config, "--metrics", "127.0.0.1:0"].as_slice(), &ANY_PORTS].concat();
    let mut server = Server::start("", "info", &arguments);
    let made = ["token", "create", "--config", &config, "--room", "atelier", "--identity", "ada"];
    let _socket = join(&server, &text(&parvis(&made).stdout)).await;
    server.signal(Signal::SIGTERM);
    server.wait_for_log("draining");
    server.signal(Signal::SIGTERM);
    assert!(server.wait().success());
}

#[tokio::test]
async fn row_36_no_log_at_any_level_holds_a_token() {
    let directory = Directory::new("log");
    let data = directory.path("data");
    let arguments = [["--dev", "--data", &data].as_slice(), &ANY_PORTS].concat();
    let mut server = Server::start("", "trace", &arguments);
    let token = token("atelier", "ada");
    let socket = join(&server, &token).await;
    assert_eq!(server.get(&format!("/rtc/validate?access_token={token}")).unwrap().0, 200);
    assert_eq!(server.get("/rtc/validate?access_token=stranger.stranger.stranger").unwrap().0, 401);
    drop(socket);
    server.signal(Signal::SIGTERM);
    server.wait();
    let log = server.logged();
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "the log is on");
    let signature = token.rsplit('.').next().unwrap();
    for secret in [token.as_str(), signature, "stranger.stranger"] {
        assert!(!log.contains(secret), "{} is in the log", &secret[..8]);
    }
}

/// Processor time that a process has used, in clock ticks of 10 ms.
fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[tokio::test]
async fn row_39_with_few_files_the_caps_hold_and_joins_work() {
    let directory = Directory::new("files");
    let data = directory.path("data");
    let arguments = [["--dev", "--data", &data].as_slice(), &ANY_PORTS].concat();
    let server = Server::start("ulimit -n 256;", "info", &arguments);
    let token = token("atelier", "ada");
    let _ada = join(&server, &token).await;
    // Far more than there is room for; those beyond are hung up on.
    let mut idle: Vec<TcpStream> = (0..400).map_while(|_| TcpStream::connect(server.address).ok()).collect();
    assert_eq!(idle.len(), 400);
    let before = ticks(server.pid());
    std::thread::sleep(Duration::from_secs(1));
    let used = ticks(server.pid()) - before;
    assert!(used < 50, "{used} of 100 ticks: it spins");
    let open = std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count();
    assert!(open <= 256 - 64, "{open} files are open, the reserve is gone");
    idle.clear();
    until("it answers again", || server.get("/livez").is_some_and(|(status, _)| status == 200));
    let _bob = join(&server, &crate::token("atelier", "bob")).await;
}

#[tokio::test]
async fn row_39_without_a_single_file_left_accepting_rests_and_recovers() {
    let directory = Directory::new("no-files");
    let data = directory.path("data");
    let arguments = [["--dev", "--data", &data].as_slice(), &ANY_PORTS].concat();
    let server = Server::start("", "info", &arguments);
    let metrics = server.wait_for_log("metrics=");
    let metrics = metrics.split("metrics=").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    let pid = server.pid().to_string();
    let limit = |files: String| {
        let status = Command::new("prlimit").args(["--pid", &pid, &format!("--nofile={files}:")]).status();
        assert!(status.unwrap().success());
    };
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    limit((open + 3).to_string());
    let waiting: Vec<TcpStream> = (0..20).map(|_| TcpStream::connect(server.address).unwrap()).collect();
    std::thread::sleep(Duration::from_millis(300));
    let before = ticks(server.pid());
    std::thread::sleep(Duration::from_secs(1));
    let used = ticks(server.pid()) - before;
    assert!(used < 30, "{used} of 100 ticks: it spins");
    limit("4096".to_owned());
    drop(waiting);
    until("it answers again", || server.get("/livez").is_some_and(|(status, _)| status == 200));
    let page = get(metrics, "/metrics").unwrap().1;
    let pauses = page.lines().find_map(|line| line.strip_prefix("parvis_http_accept_pauses_total ")).unwrap();
    assert!(pauses.parse::<u64>().unwrap() >= 1, "the pauses are counted");
}

/// A wall clock of the server's own.
struct Clock(File);

impl Clock {
    /// A right one, and what a shell has to do to have a program run by it.
    fn new(directory: &Directory) -> (Clock, String) {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/clock.c");
        let library = directory.path("clock.so");
        let made = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o", &library, source]).status();
        assert!(made.unwrap().success());
        let shift = directory.path("shift");
        std::fs::write(&shift, 0_i64.to_ne_bytes()).unwrap();
        let clock = Clock(File::options().write(true).open(&shift).unwrap());
        (clock, format!("export LD_PRELOAD={library} TEST_CLOCK={shift};"))
    }

    fn shift(&self, seconds: i64) {
        self.0.write_all_at(&seconds.to_ne_bytes(), 0).unwrap();
    }
}

#[test]
fn a_clock_that_is_set_back_an_hour_ends_no_call_and_leaves_the_audit_log_whole() {
    let directory = Directory::new("clock");
    let (clock, before) = Clock::new(&directory);
    directory.write("main.secret", "0123456789abcdef0123456789abcdef");
    let file = format!(
        "[media]\naddresses = [\"127.0.0.1\"]\n[data]\ndirectory = \"{}\"\n[audit]\ncheckpoint_interval = \"1s\"\ncheckpoint_file = \"signed\"\n\
         [[keys]]\nname = \"main\"\nsecret_file = \"main.secret\"\n",
        directory.path("data")
    );
    let config = directory.write("parvis.toml", &file);
    let arguments = [["--config", &config, "--metrics", "127.0.0.1:0"].as_slice(), &ANY_PORTS].concat();
    let server = Server::start(&before, "info", &arguments);
    let token = |identity: &str| {
        let arguments = ["token", "create", "--config", &config, "--room", "atelier", "--identity", identity];
        text(&parvis(&arguments).stdout)
    };
    let mut ada = Caller::join(server.address, &token("ada"));
    ada.run_until("DTLS", |caller| caller.connected);
    let is_heard = |ada: &mut Caller| {
        let before = ada.reports;
        (0..20).for_each(|_| ada.send_sound());
        ada.run_until("a report of what she sent", |caller| caller.reports > before);
    };
    is_heard(&mut ada);
    let signed = || std::fs::read_to_string(directory.path("signed")).unwrap_or_default();
    until("the log is signed", || !signed().is_empty());

    clock.shift(-3_600);
    let later = format!("/rtc/validate?access_token={}", token("bo"));
    assert_eq!(server.get(&later).unwrap().0, 401, "a token that begins in an hour opens nothing yet");
    is_heard(&mut ada);
    let signed_before = signed();
    server.signal(Signal::SIGHUP);
    server.wait_for_log("read anew");
    until("it is signed in the past", || signed() != signed_before);

    clock.shift(0);
    assert_eq!(server.get(&later).unwrap().0, 200);
    is_heard(&mut ada);
    let verified = parvis(&["audit", "verify", "--config", &config]);
    assert!(verified.status.success(), "{}", text(&verified.stderr));
    assert!(text(&verified.stdout).starts_with("whole: "), "{}", text(&verified.stdout));
}

/// Makes the server run in a network namespace of its own, set up by a shell command.
fn alone(setup: &str) -> String {
    format!("exec unshare --net sh -c 'ip link set lo up && {setup} && exec \"$@\"' sh \"$@\"; ")
}

/// Does something in the network namespace that a server has of its own.
fn inside<T: Send + 'static>(server: &Server, work: impl FnOnce(SocketAddr) -> T + Send + 'static) -> T {
    let namespace = File::open(format!("/proc/{}/ns/net", server.pid())).unwrap();
    let address = server.address;
    let working = std::thread::spawn(move || {
        setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
        work(address)
    });
    working.join().unwrap()
}

/// Asks a server that has a network namespace of its own.
fn get_inside(server: &Server, path: &'static str) -> Option<(u16, String)> {
    inside(server, move |address| get(address, path))
}

/// A server whose only way out of its namespace is one where each packet is counted, and a call with it.
fn call_where_packets_are_counted(directory: &Directory, sections: &str) -> Server {
    // The kernel's own words (of IPv6, of ARP) are not to be counted.
    let way_out = "ip link add out type veth peer name far \
                   && for end in out far; do echo 1 > /proc/sys/net/ipv6/conf/$end/disable_ipv6; ip link set $end up; done \
                   && ip address add 192.0.2.1/24 dev out && ip route add default via 192.0.2.9 dev out \
                   && ip neighbour add 192.0.2.9 lladdr 02:00:00:00:00:09 dev out";
    directory.write("main.secret", "0123456789abcdef0123456789abcdef");
    let file = format!(
        "[media]\naddresses = [\"127.0.0.1\"]\n[data]\ndirectory = \"{}\"\n{sections}\
         [[keys]]\nname = \"main\"\nsecret_file = \"main.secret\"\n",
        directory.path("data")
    );
    let config = directory.write("parvis.toml", &file);
    let arguments = [["--config", &config, "--metrics", "127.0.0.1:0"].as_slice(), &ANY_PORTS].concat();
    let server = Server::start(&alone(way_out), "info", &arguments);
    let token = |identity: &str| {
        let arguments = ["token", "create", "--config", &config, "--room", "atelier", "--identity", identity];
        text(&parvis(&arguments).stdout)
    };
    let tokens = ["ada", "bo"].map(token);
    inside(&server, move |address| {
        let mut callers = tokens.map(|token| Caller::join(address, &token));
        for caller in &mut callers {
            caller.run_until("DTLS", |caller| caller.connected);
            (0..20).for_each(|_| caller.send_sound());
            caller.run_until("a report of what was sent", |caller| caller.reports > 0);
        }
        assert_eq!(get(address, "/").map(|(status, _)| status), Some(200));
    });
    server.signal(Signal::SIGHUP);
    server.wait_for_log("read anew");
    server
}

/// Packets that left.
fn left(server: &Server) -> u64 {
    let counters = std::fs::read_to_string(format!("/proc/{}/net/dev", server.pid())).unwrap();
    let line = counters.lines().find_map(|line| line.trim().strip_prefix("out:")).unwrap();
    // Eight figures of what came, then bytes and packets of what left.
    line.split_whitespace().nth(9).unwrap().parse().unwrap()
}

#[test]
fn nothing_leaves_for_anywhere_that_is_not_configured() {
    let directory = Directory::new("outlet");
    let server = call_where_packets_are_counted(&directory, "");
    assert_eq!(left(&server), 0, "a server that names nobody speaks to nobody");
    drop(server);
    // That it would be seen: with one webhook, something leaves for it.
    let directory = Directory::new("outlet-hook");
    let hook = "[webhooks]\nurls = [\"http://198.51.100.9/hook\"]\nallow_internal = [\"198.51.100.9:80\"]\n";
    let server = call_where_packets_are_counted(&directory, hook);
    until("a packet for the webhook", || left(&server) > 0);
}

#[test]
fn a_machine_without_one_of_the_address_families_is_served_by_the_other() {
    let without_v6 = "echo 1 > /proc/sys/net/ipv6/conf/lo/disable_ipv6";
    let without_v4 = "ip address del 127.0.0.1/8 dev lo";
    for (setup, has, lacks) in [(without_v6, "127.0.0.1", "[::1]"), (without_v4, "[::1]", "127.0.0.1")] {
        let directory = Directory::new("one-family");
        let (data, any_port) = (directory.path("data"), format!("{has}:0"));
        let addresses =
            ["--http", &any_port, "--metrics", &any_port, "--media-ports", "0", "--tcp-port", "0"];
        let arguments = [["--dev", "--data", &data].as_slice(), &addresses].concat();
        let server = Server::start(&alone(setup), "info", &arguments);
        let offered = server.wait_for_log("offered");
        assert!(offered.contains(&format!("Udp {has}:")) && !offered.contains(lacks), "{offered}");
        assert_eq!(get_inside(&server, "/readyz").map(|(status, _)| status), Some(200), "{setup}");
    }
}
