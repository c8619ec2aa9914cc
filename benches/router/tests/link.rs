// SPDX-License-Identifier: EUPL-1.2
//! The router between two real network namespaces, with real datagrams through it. Makes namespaces, so it must be
//! root; without the right it fails and says so.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{BufRead, BufReader, Write};
use std::net::UdpSocket;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};

const A: &str = "10.78.1.1";
const B: &str = "10.78.1.2";
const MILLISECOND: Duration = Duration::from_millis(1);

struct Link {
    names: [String; 2],
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Link {
    fn new(test: &str, model: &str) -> Link {
        let names = ["a", "b"].map(|end| format!("parvis-router-{}-{test}-{end}", std::process::id()));
        for name in &names {
            assert!(
                ip(&["netns", "add", name]),
                "no network namespace can be made: this test needs root (CAP_SYS_ADMIN and CAP_NET_ADMIN) and iproute2"
            );
        }
        let mut child = Command::new(env!("CARGO_BIN_EXE_parvis-router"))
            .args(["--a", &format!("{}:pv0", names[0]), "--b", &format!("{}:pv0", names[1])])
            .args(["--seed", "7", "--model", model])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        let mut link = Link { names, child, input, output };
        assert_eq!(link.line(), "ready");
        for (name, address) in link.names.iter().zip([A, B]) {
            assert!(ip(&["-n", name, "addr", "add", &format!("{address}/30"), "dev", "pv0"]));
            assert!(ip(&["-n", name, "link", "set", "pv0", "up"]));
        }
        link
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    fn ask(&mut self, line: &str) -> serde_json::Value {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
        serde_json::from_str(&self.line()).unwrap()
    }

    /// A socket in one of the namespaces. A thread of its own enters it; the socket stays there.
    fn socket(&self, end: usize) -> UdpSocket {
        let (name, address) = (self.names[end].clone(), [A, B][end]);
        let made = std::thread::spawn(move || {
            let namespace = std::fs::File::open(format!("/var/run/netns/{name}")).unwrap();
            setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
            UdpSocket::bind((address, 7000)).unwrap()
        });
        let socket = made.join().unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        socket
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // Its end of input is its end.
        drop(self.input.take());
        let ended = self.child.wait();
        for name in &self.names {
            ip(&["netns", "del", name]);
        }
        if !std::thread::panicking() {
            assert!(ended.unwrap().success());
        }
    }
}

fn ip(arguments: &[&str]) -> bool {
    Command::new("ip").args(arguments).status().is_ok_and(|status| status.success())
}

/// Sends numbered datagrams and says how long each that arrived was on its way.
fn send(from: &UdpSocket, to: &UdpSocket, count: u32, bytes: usize, every: Duration) -> Vec<Duration> {
    let there = to.local_addr().unwrap();
    let begin = Instant::now();
    std::thread::scope(|scope| {
        let sent = scope.spawn(move || {
            let mut sent = Vec::new();
            for number in 0..count {
                let mut datagram = vec![0; bytes];
                datagram[..4].copy_from_slice(&number.to_be_bytes());
                std::thread::sleep((begin + every * number).saturating_duration_since(Instant::now()));
                sent.push(Instant::now());
                from.send_to(&datagram, there).unwrap();
            }
            sent
        });
        let mut arrived = Vec::new();
        let mut buffer = [0; 2048];
        while let Ok((length, _)) = to.recv_from(&mut buffer) {
            assert_eq!(length, bytes);
            let number = u32::from_be_bytes(buffer[..4].try_into().unwrap());
            arrived.push((number as usize, Instant::now()));
        }
        let sent = sent.join().unwrap();
        arrived.into_iter().map(|(number, at)| at - sent[number]).collect()
    })
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

#[test]
fn datagrams_meet_the_loss_and_the_delay_that_the_model_says_each_way_its_own() {
    let mut link =
        Link::new("loss", r#"{"a_to_b": {"delay_ms": 40, "loss": 0.2}, "b_to_a": {"delay_ms": 10}}"#);
    let (a, b) = (link.socket(0), link.socket(1));
    let there = send(&a, &b, 1_000, 200, MILLISECOND);
    // Four standard deviations of a fifth of a thousand are 51.
    assert!((749..=851).contains(&there.len()), "{} of 1,000 arrived", there.len());
    assert!(there.iter().all(|time| *time >= 40 * MILLISECOND), "{:?}", there.iter().min());
    let usual = median(there);
    assert!(usual < 60 * MILLISECOND, "{usual:?} for 40 ms: the machine is too busy, or the router too slow");
    let back = send(&b, &a, 500, 200, MILLISECOND);
    assert_eq!(back.len(), 500);
    assert!(back.iter().all(|time| *time >= 10 * MILLISECOND));
    let counts = link.ask("{}");
    assert_eq!(
        counts["b_to_a"]["delivered_bytes"].as_u64().unwrap() / 500,
        228,
        "IP and UDP headers included: {counts}"
    );
    assert_eq!(counts["a_to_b"]["dropped"], 0);
}

#[test]
fn a_link_halves_while_it_runs_and_comes_back() {
    let whole = r#"{"both": {"delay_ms": 5, "rate_kbps": 2000, "queue_ms": 200}}"#;
    let mut link = Link::new("rate", whole);
    let (a, b) = (link.socket(0), link.socket(1));
    // All at once, so that it doesn't matter how busy the machine is: 1,000 bytes each, headers included, of which a queue
    // of 200 ms holds 50 at 2 Mbit/s and 25 at half of that, and one more is on the line. Others find a place as it
    // empties, one each 4 or 8 ms that sending takes.
    let rush = || send(&a, &b, 250, 972, Duration::ZERO).len();
    let before = rush();
    assert!((51..=90).contains(&before), "{before} of 250");
    link.ask(r#"{"both": {"delay_ms": 5, "rate_kbps": 1000, "queue_ms": 200}, "reset": true}"#);
    let halved = rush();
    assert!((26..=45).contains(&halved) && halved < before, "{halved} of 250, {before} before");
    let counts = link.ask(whole);
    assert_eq!(counts["a_to_b"]["overflowed"].as_u64().unwrap() as usize, 250 - halved, "{counts}");
    let after = rush();
    assert!((51..=90).contains(&after), "{after} of 250");
    let refused = link.ask(r#"{"both": {"loss": 7}}"#);
    assert!(refused["error"].as_str().unwrap().contains("loss: 7"), "{refused}");
    assert!(rush() >= 51, "a line that was refused changed the link");
}
