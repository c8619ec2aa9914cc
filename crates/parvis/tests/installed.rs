// SPDX-License-Identifier: EUPL-1.2
//! The server as a service manager has it: sockets that were opened for it, a watchdog that wants to hear of it, and what it gives up;
//! and what `setup` and `check` say of it.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{ANY_PORTS, Directory, PATIENCE, Server, get, parvis, text};
use serde_json::Value;

/// A configuration that listens there, with a key of its own.
fn configuration(directory: &Directory, http: SocketAddr, extra: &str) -> String {
    let data = directory.path("data");
    let text = format!(
        "[http]\nlisten = \"{http}\"\n[metrics]\nlisten = \"127.0.0.1:0\"\n[data]\ndirectory = \"{data}\"\n{extra}\n\
         [[keys]]\nname = \"main\"\nsecret = \"0123456789abcdef0123456789abcdef\"\n"
    );
    directory.write("parvis.toml", &text)
}

fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Opens a socket as the service manager does, and becomes the server when somebody connects.
fn activated(opened: SocketAddr, config: &str, log: &Path) -> Running {
    let log = std::fs::File::create(log).unwrap();
    let child = Command::new("systemd-socket-activate")
        .arg(format!("--listen={opened}"))
        .arg(env!("CARGO_BIN_EXE_parvis"))
        .args(["serve", "--config", config, "--media-ports", "0", "--tcp-port", "0"])
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    let end = Instant::now() + PATIENCE;
    while TcpStream::connect(opened).is_err() {
        assert!(Instant::now() < end, "nobody listens");
        std::thread::sleep(Duration::from_millis(10));
    }
    Running(child)
}

#[test]
fn a_socket_of_the_service_manager_is_served_and_whoever_came_before_the_server_waits() {
    let directory = Directory::new("activated");
    let http = free_port();
    let config = configuration(&directory, http, "");
    // The connection that has it started is there before the server is.
    let _server = activated(http, &config, &directory.0.join("log"));
    assert_eq!(get(http, "/livez"), Some((200, "ok\n".to_owned())));
}

#[test]
fn a_socket_at_another_address_than_configured_is_refused() {
    let directory = Directory::new("mismatch");
    let opened = free_port();
    let config = configuration(&directory, "127.0.0.1:1".parse().unwrap(), "");
    let mut server = activated(opened, &config, &directory.0.join("log"));
    assert_eq!(server.0.wait().unwrap().code(), Some(1));
    let log = std::fs::read_to_string(directory.0.join("log")).unwrap();
    let expected = format!("opened {opened} for us, and http.listen is 127.0.0.1:1: have both say the same");
    assert!(log.contains(&expected), "{log}");
}

/// Holds one of a process's threads as a debugger does, until it is dropped.
struct Held(Child);

impl Held {
    fn new(process: u32, name: &str) -> Held {
        let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
        let thread = tasks
            .map(|task| task.unwrap().path())
            .find(|task| std::fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim() == name));
        let thread = thread.unwrap();
        // PTRACE_SEIZE and PTRACE_INTERRUPT: with PTRACE_ATTACH the whole process would be left stopped.
        let number = if cfg!(target_arch = "x86_64") { 101 } else { 117 };
        let attach = format!(
            "for (0x4206, 0x4207) {{ syscall({number}, $_, $ARGV[0] + 0, 0, 0) == 0 or die \"ptrace: $!\"; }} $| = 1; print \"held\\n\"; <STDIN>;"
        );
        let mut child = Command::new("perl")
            .args(["-e", &attach, thread.file_name().unwrap().to_str().unwrap()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut output, &mut said).unwrap();
        assert_eq!(said, "held\n");
        Held(child)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_watchdog_hears_nothing_while_a_forwarding_thread_hangs() {
    let directory = Directory::new("watchdog");
    let manager = UnixDatagram::bind(directory.0.join("notify")).unwrap();
    let told = |patience: Duration| {
        manager.set_read_timeout(Some(patience)).unwrap();
        let mut buffer = [0; 256];
        manager.recv(&mut buffer).ok().map(|count| text(&buffer[..count]))
    };
    let before = format!("export NOTIFY_SOCKET={} WATCHDOG_USEC=600000;", directory.path("notify"));
    let data = directory.path("data");
    let server =
        Server::start(&before, "info", &[["--dev", "--data", &data].as_slice(), &ANY_PORTS].concat());
    assert_eq!(told(PATIENCE).as_deref(), Some("READY=1"));
    for _ in 0..3 {
        assert_eq!(told(PATIENCE).as_deref(), Some("WATCHDOG=1"));
    }
    let held = Held::new(server.pid(), "shard-0");
    let line = server.wait_for_log("forwarding threads don't answer");
    assert!(line.contains("silent=[0]"), "{line}");
    while told(Duration::from_millis(10)).is_some() {}
    // Two whole periods, in which it would be said four times.
    assert_eq!(told(Duration::from_millis(1_200)), None);
    assert_eq!(server.get("/livez").unwrap().0, 200, "the rest of the server lives, and does not count");
    drop(held);
    assert_eq!(told(PATIENCE).as_deref(), Some("WATCHDOG=1"));
}

#[test]
fn a_server_gives_up_what_it_has_no_use_for_in_threads_that_were_there_before_too() {
    let directory = Directory::new("confined");
    let output = parvis(&["confine-check", directory.0.to_str().unwrap()]);
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", text(&output.stderr));
    let refused = |what: &str| {
        let line =
            said.lines().find(|line| line.starts_with(what)).unwrap_or_else(|| panic!("{what}: {said}"));
        assert!(line.contains("EPERM") || line.contains("os error 1)"), "{line}");
    };
    refused("make a namespace in a thread that was there before:");
    refused("make a namespace:");
    refused("read another process's memory:");
    refused("join a namespace:");
    refused("make a socket of another family:");
    for works in ["keep from writing to its own directory", "keep from UDP", "keep from starting a worker"] {
        assert!(said.contains(&format!("{works}: it works, as it must")), "{said}");
    }
}

#[test]
fn a_server_says_what_it_gave_up_and_refuses_to_start_where_it_must_and_cannot() {
    let directory = Directory::new("confine-log");
    let server = Server::dev(&directory);
    let line = server.wait_for_log("confined");
    assert!(line.contains("seccomp=true") && line.contains("no_new_privileges=true"), "{line}");
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    assert!(status.contains("Seccomp:\t2") && status.contains("NoNewPrivs:\t1"), "{status}");
    if line.contains("landlock=true") {
        return;
    }
    let config =
        configuration(&directory, "127.0.0.1:0".parse().unwrap(), "[process]\nconfine = \"required\"\n");
    let output = parvis(&["serve", "--config", &config, "--media-ports", "0", "--tcp-port", "0"]);
    let said = text(&output.stderr);
    assert!(said.contains("process.confine is \"required\"") && said.contains("landlock: "), "{said}");
    assert_eq!(output.status.code(), Some(1));
}

fn lines(output: &std::process::Output) -> Vec<Value> {
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", text(&output.stderr)));
    report["lines"].as_array().unwrap().clone()
}

fn state(lines: &[Value], what: &str) -> String {
    let line =
        lines.iter().find(|line| line["what"] == what).unwrap_or_else(|| panic!("no {what}: {lines:#?}"));
    line["state"].as_str().unwrap().to_owned()
}

/// `parvis peer`, and where it is asked.
fn helping(secret: &str) -> (Running, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_parvis"))
        .args(["peer", "--listen", "127.0.0.1:0", "--secret", secret, "--minutes", "1"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
    let at = said.strip_prefix("answers at ").unwrap().split(' ').next().unwrap().to_owned();
    (Running(child), at)
}

#[test]
fn check_has_a_call_with_a_server_that_runs_and_none_without() {
    let directory = Directory::new("check-call");
    let server = Server::dev(&directory);
    let (data, http) = (directory.path("data"), server.address.to_string());
    let arguments =
        ["check", "--json", "--dev", "--data", &data, "--media-ports", "0", "--tcp-port", "0", "--http"];
    let metrics = server.wait_for_log("metrics=");
    let metrics = metrics.split("metrics=").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    let shown = |state: &str| {
        let name = format!("parvis_check_lines{{state=\"{state}\"}} ");
        let page = get(metrics, "/metrics").unwrap().1;
        page.lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse::<u32>().unwrap()
    };
    assert_eq!(shown("good"), 0, "none was run yet");
    let secret = directory.write("peer.secret", &text(&parvis(&["key", "create"]).stdout));
    let (_peer, peer) = helping(&secret);
    let helped = [http.as_str(), "--peer", peer.as_str(), "--peer-secret", secret.as_str()];
    let output = parvis(&[arguments.as_slice(), &helped].concat());
    let seen = lines(&output);
    assert_eq!(state(&seen, "ports"), "good");
    assert_eq!(state(&seen, "pages"), "good");
    assert_eq!(state(&seen, "call"), "good", "{seen:#?}");
    for (what, expected) in [
        ("clock (past)", "good"),
        ("clock (peer)", "good"),
        ("media (UDP)", "good"),
        ("media (TCP)", "good"),
        ("from outside", "good"),
        ("storage", "skipped"),
    ] {
        assert_eq!(state(&seen, what), expected, "{what}: {seen:#?}");
    }
    // HTTP, and each port of media, by UDP and by TCP.
    let outside = seen.iter().filter(|line| line["what"] == "from outside");
    let tried: Vec<&str> = outside.map(|line| line["tried"].as_str().unwrap()).collect();
    assert!(tried.len() >= 3 && tried.iter().any(|tried| tried.contains("/udp (media)")), "{tried:#?}");
    let counted = |state: &str| seen.iter().filter(|line| line["state"] == state).count() as u32;
    for state in ["good", "poor", "bad", "skipped"] {
        assert_eq!(shown(state), counted(state), "{state}");
    }
    let call = seen.iter().find(|line| line["what"] == "call").unwrap()["seen"].as_str().unwrap();
    assert!(call.contains("packets came") && !call.contains(" 0 were read"), "{call}");
    assert!(output.status.success());
    drop(server);

    let output = parvis(&[arguments.as_slice(), &["127.0.0.1:0"]].concat());
    let seen = lines(&output);
    assert_eq!((state(&seen, "call"), state(&seen, "ports")), ("skipped".to_owned(), "good".to_owned()));
    assert_eq!(state(&seen, "database"), "good");
}

#[test]
fn setup_writes_what_check_takes_and_never_twice() {
    let directory = Directory::new("setup");
    let (config, data, secrets) =
        (directory.path("parvis.toml"), directory.path("data"), directory.path("secrets"));
    let arguments = [
        "setup",
        "meet.example.eu",
        "--behind-proxy",
        "127.0.0.1",
        "--address",
        "127.0.0.1",
        "--no-start",
        "--config",
        &config,
        "--data",
        &data,
        "--secrets",
        &secrets,
    ];
    let said = text(&parvis(&arguments).stdout);
    assert!(said.contains(&format!("wrote {config}")), "{said}");
    assert!(said.contains("systemctl enable --now parvis-media.socket"), "{said}");
    let shown = text(&parvis(&["config", "show", "--config", &config]).stdout);
    assert!(shown.contains("turn.host = \"meet.example.eu\""), "{shown}");
    let before = std::fs::read_to_string(&config).unwrap();
    let again = parvis(&arguments);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("is there already, and stays as it is"), "{}", text(&again.stderr));
    assert_eq!(std::fs::read_to_string(&config).unwrap(), before);
}
