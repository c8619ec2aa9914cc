// SPDX-License-Identifier: EUPL-1.2
//! The audit log as an operator meets it: what a server writes there, and what `parvis audit` says of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;

use common::{ANY_PORTS, Directory, Server, parvis, text, until};
use nix::sys::signal::Signal;
use sqlx::{Connection, Executor};

const ROOM: &str = "b3Vt5nqXb0-2Vw_1cJ8hkQ";

/// A server that lets guests in and signs each second.
fn config(directory: &Directory) -> String {
    directory.write("main.secret", "0123456789abcdef0123456789abcdef");
    let file = format!(
        "[rooms]\nguests = true\n[data]\ndirectory = \"{}\"\n[audit]\nname = \"meet.example.eu/audit\"\n\
         checkpoint_interval = \"1s\"\ncheckpoint_file = \"signed\"\n[[keys]]\nname = \"main\"\nsecret_file = \"main.secret\"\n",
        directory.path("data")
    );
    directory.write("parvis.toml", &file)
}

fn start(config: &str) -> Server {
    let arguments = [["--config", config, "--metrics", "127.0.0.1:0"].as_slice(), &ANY_PORTS].concat();
    Server::start("", "info", &arguments)
}

fn post(server: &Server, path: &str, head: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(server.address).unwrap();
    let length = body.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         Connection: close\r\n{head}\r\n{body}"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// What `parvis audit …` prints, and whether it is content.
fn audit(arguments: &[&str]) -> (bool, String) {
    let done = parvis(&[["audit"].as_slice(), arguments].concat());
    (done.status.success(), format!("{}{}", text(&done.stdout), text(&done.stderr)))
}

fn exported(config: &str, more: &[&str]) -> Vec<serde_json::Value> {
    let (good, out) = audit(&[["export", "--config", config].as_slice(), more].concat());
    assert!(good, "{out}");
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The entries of an export: act, result, who, on.
fn acts(lines: &[serde_json::Value]) -> Vec<(String, String, String, String)> {
    let entries = lines.iter().filter_map(|line| line["entry"].as_str());
    let read = |entry: &str| {
        let entry: serde_json::Value = serde_json::from_str(entry).unwrap();
        let word = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        (word("act"), word("result"), word("who"), word("on"))
    };
    entries.map(read).collect()
}

#[test]
fn what_a_server_does_is_in_the_log_and_verifies() {
    let directory = Directory::new("audit-acts");
    let config = config(&directory);
    let mut server = start(&config);
    let joined = post(&server, &format!("/api/rooms/{ROOM}/join"), "", "{\"name\":\"Ada\"}");
    assert!(joined.starts_with("HTTP/1.1 200"), "{joined}");
    let refused =
        post(&server, "/twirp/livekit.RoomService/CreateRoom", "Authorization: Bearer x.y.z\r\n", "{}");
    assert!(refused.starts_with("HTTP/1.1 401"), "{refused}");
    server.signal(Signal::SIGHUP);
    server.wait_for_log("read anew");
    // While it runs, all that is signed holds.
    until("it is signed", || {
        std::fs::read_to_string(directory.path("signed")).is_ok_and(|signed| signed.contains("time "))
    });
    let (good, said) = audit(&["verify", "--config", &config]);
    assert!(good && said.starts_with("whole: entries 0 to "), "{said}");
    server.signal(Signal::SIGTERM);
    assert!(server.wait().success());

    let added = parvis(&["key", "add", "second", "--config", &config]);
    assert!(added.status.success(), "{}", text(&added.stderr));
    let checked = ["check", "--config", &config, "--metrics", "127.0.0.1:0"];
    let checked = parvis(&[checked.as_slice(), &ANY_PORTS].concat()).status.success();
    let lines = exported(&config, &[]);
    let own = acts(&lines);
    let room = format!("room:{ROOM}");
    assert_eq!((own[0].0.as_str(), own[0].1.as_str(), own[0].3.as_str()), ("token", "done", room.as_str()));
    assert!(own[0].2.starts_with("p:"), "{own:?}");
    assert_eq!((own[1].0.as_str(), own[1].3.as_str()), ("key.add", "key:second"));
    assert_eq!(own[2].0, "log.export");
    let of_server = acts(&exported(&config, &["--tenant", ""]));
    let seen: Vec<(&str, &str)> = of_server.iter().map(|act| (act.0.as_str(), act.1.as_str())).collect();
    let expected = [
        ("server.start", "done"),
        ("call", "refused"),
        ("config.reload", "done"),
        ("server.stop", "done"),
        ("check", if checked { "done" } else { "failed" }),
        ("log.export", "done"),
    ];
    assert_eq!(seen, expected);
    // Nothing that opens anything, and nobody's name, is in it.
    let all = format!("{lines:?}");
    assert!(!all.contains("Ada") && !all.contains("0123456789abcdef") && !all.contains("127.0.0.1"), "{all}");

    // An export is checked by who has the key alone.
    let (_, key) = audit(&["key", "--config", &config]);
    assert!(key.starts_with("meet.example.eu/audit+"), "{key}");
    let out = directory.path("export");
    let (good, said) = audit(&["export", "--config", &config, "--names", "--out", &out]);
    assert!(good, "{said}");
    let (good, said) = audit(&["verify", "--export", &out, "--key", key.trim()]);
    assert!(good && said.starts_with("whole: "), "{said}");
    assert!(std::fs::read_to_string(&out).unwrap().contains("\"name\":\"Ada\""));

    // Whoever is erased is nobody any more, and the log is whole.
    let (good, said) = audit(&["erase", "--config", &config, "--person", &own[0].2]);
    assert!(good, "{said}");
    assert!(!format!("{:?}", exported(&config, &["--names"])).contains("Ada"));
    let (good, said) = audit(&["verify", "--config", &config]);
    assert!(good, "{said}");
    let (good, said) = audit(&["erase", "--config", &config, "--person", &own[0].2]);
    assert!(!good && said.contains("no such person"), "{said}");
}

#[tokio::test]
async fn a_copy_is_verified_apart_from_the_server_and_the_first_bad_entry_is_named() {
    let directory = Directory::new("audit-copy");
    let config = config(&directory);
    let mut server = start(&config);
    for name in ["Ada", "Bo", "Cem"] {
        let joined =
            post(&server, &format!("/api/rooms/{ROOM}/join"), "", &format!("{{\"name\":\"{name}\"}}"));
        assert!(joined.starts_with("HTTP/1.1 200"), "{joined}");
    }
    server.signal(Signal::SIGTERM);
    assert!(server.wait().success());
    let (_, key) = audit(&["key", "--config", &config]);
    let signed = directory.path("signed");
    let copy = directory.path("copy.db");
    let fresh = async |changes: &[&'static str]| {
        std::fs::copy(directory.0.join("data/parvis.db"), &copy).unwrap();
        let mut intruder = sqlx::SqliteConnection::connect(&format!("sqlite://{copy}")).await.unwrap();
        for change in changes {
            intruder.execute(*change).await.unwrap();
        }
        intruder.close().await.unwrap();
        audit(&["verify", "--database", &copy, "--checkpoints", &signed, "--key", key.trim()])
    };
    let (good, said) = fresh(&[]).await;
    assert!(good && said.starts_with("whole: entries 0 to 4; "), "{said}");
    for (changes, expected) in [
        (
            ["UPDATE audit_entries SET entry = replace(entry, 'speaker', 'viewer') WHERE seq = 2", ""],
            "entry 2 was changed",
        ),
        (["DELETE FROM audit_entries WHERE seq = 2", ""], "entry 2 is missing: after it comes 3"),
        (
            [
                "UPDATE audit_entries SET seq = 9 - seq WHERE seq IN (2, 3)",
                "UPDATE audit_entries SET seq = seq - 4 WHERE seq > 5",
            ],
            "entry 2 is not at its place: the one that was number 3 stands there",
        ),
        (
            ["DELETE FROM audit_entries WHERE seq >= 3", "DELETE FROM audit_checkpoints WHERE size > 3"],
            "entries 3 to 4 are cut off",
        ),
    ] {
        let changes: Vec<&str> = changes.into_iter().filter(|change| !change.is_empty()).collect();
        let (good, said) = fresh(&changes).await;
        assert!(!good && said.contains(expected), "{said}: not {expected}");
    }
    // Without the second place a cut is not seen where the log's own word is cut as well, and that is said.
    let (good, said) =
        audit(&["verify", "--database", &directory.path("data/parvis.db"), "--key", key.trim()]);
    assert!(good && said.contains("no checkpoint from a second place was given"), "{said}");
    let (good, said) = audit(&["verify", "--database", &copy]);
    assert!(!good && said.contains("--key"), "{said}");
    let (good, said) = audit(&["verify", "--database", &directory.path("none.db"), "--key", key.trim()]);
    assert!(!good && said.contains("none.db"), "{said}");
}

#[test]
fn a_server_that_is_killed_leaves_a_whole_log_and_goes_on_with_it() {
    let directory = Directory::new("audit-killed");
    let config = config(&directory);
    let mut sizes = Vec::new();
    for round in 0..3 {
        let mut server = start(&config);
        for number in 0..5 + round {
            let joined =
                post(&server, &format!("/api/rooms/{ROOM}/join"), "", &format!("{{\"name\":\"{number}\"}}"));
            assert!(joined.starts_with("HTTP/1.1 200"), "{joined}");
        }
        server.signal(Signal::SIGKILL);
        server.wait();
        let (good, said) = audit(&["verify", "--config", &config, "--json"]);
        assert!(good, "{said}");
        let said: serde_json::Value = serde_json::from_str(&said).unwrap();
        sizes.push(said["size"].as_u64().unwrap());
    }
    assert!(sizes.is_sorted() && sizes[0] > 0 && sizes[2] > sizes[1], "{sizes:?}");
}
