// SPDX-License-Identifier: EUPL-1.2
//! How the server ends, and how it lives when the system has little for it.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::fs::File;
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

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

/// Makes the server run in a network namespace of its own, set up by a shell command.
fn alone(setup: &str) -> String {
    format!("exec unshare --net sh -c 'ip link set lo up && {setup} && exec \"$@\"' sh \"$@\"; ")
}

/// Asks a server that has a network namespace of its own.
fn get_inside(server: &Server, path: &'static str) -> Option<(u16, String)> {
    let namespace = File::open(format!("/proc/{}/ns/net", server.pid())).unwrap();
    let address = server.address;
    let asking = std::thread::spawn(move || {
        setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
        get(address, path)
    });
    asking.join().unwrap()
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
