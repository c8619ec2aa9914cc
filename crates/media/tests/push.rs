// SPDX-License-Identifier: EUPL-1.2
//! The process that pushes a stream: how it ends, and that it tells no key. That real targets get the stream, tests/e2e shows.

#![allow(clippy::unwrap_used)]

use std::io::Write as _;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use parvis_jobs::PushOrder;

const KEY: &str = "a-very-secret-key";

fn start() -> Child {
    // Kernels of test machines have no landlock.
    Command::new(env!("CARGO_BIN_EXE_parvis-media"))
        .args(["push", "--confine", "available"])
        .envs([
            ("GSETTINGS_BACKEND", "memory"),
            ("GIO_USE_PROXY_RESOLVER", "dummy"),
            ("GIO_USE_VFS", "local"),
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Starts one with this first line, and leaves its input open; gives its status and what it said last.
fn ended(line: &str) -> (Option<i32>, String) {
    let mut child = start();
    let mut input = child.stdin.take().unwrap();
    input.write_all(line.as_bytes()).unwrap();
    let since = Instant::now();
    while child.try_wait().unwrap().is_none() {
        // What is no stream is passed over, and keeps the connection going.
        let _ = input.write_all(&[0xff; 1_880]);
        assert!(since.elapsed() < Duration::from_secs(60), "it ends by itself");
        std::thread::sleep(Duration::from_millis(50));
    }
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!said.contains(KEY) && !said.contains("hush"), "no key is told: {said}");
    (output.status.code(), said.lines().last().unwrap_or_default().to_owned())
}

fn order(url: &str) -> String {
    let order = PushOrder { url: url.to_owned(), address: None, pictures: true, patience_millis: 2_000 };
    format!("{}\n", serde_json::to_string(&order).unwrap())
}

#[test]
fn what_is_no_order_is_refused_and_not_repeated() {
    for (line, expected) in [
        (format!("{{\"url\": \"rtmp://x/{KEY}\n"), "its first line is where to push to, in JSON"),
        (order(&format!("http://live.example.org/{KEY}")), "begins with none of rtmp://"),
        (
            order(&format!("srt://live.example.org:9000?mode=listener&passphrase={KEY}")),
            "waits for somebody to call",
        ),
        (format!("{}\n", "x".repeat(10_000)), "its first line is too long"),
    ] {
        let (code, said) = ended(&line);
        assert!(code == Some(1) && said.contains(expected), "{expected}: {code:?} {said}");
    }
}

#[test]
fn a_target_that_is_not_there_or_says_nothing_ends_it_with_its_place() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    // It is accepted by the kernel, and nobody ever reads.
    let (code, said) = ended(&order(&format!("rtmp://me:hush@127.0.0.1:{port}/live/{KEY}")));
    assert!(code == Some(1) && said.contains(&format!("rtmp://127.0.0.1:{port}: ")), "{code:?} {said}");
    drop(taken);
    let (code, said) = ended(&order(&format!("rtmp://127.0.0.1:{port}/live/{KEY}")));
    assert!(code == Some(1) && said.contains(&format!("rtmp://127.0.0.1:{port}: ")), "{code:?} {said}");
    assert!(said.contains("refused"), "{said}");
}

#[test]
fn the_end_of_the_stream_is_its_end() {
    let mut child = start();
    drop(child.stdin.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("standard input: it ended"));
}
