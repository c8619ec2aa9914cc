// SPDX-License-Identifier: EUPL-1.2
//! The commands that people and scripts call.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::net::{TcpListener, UdpSocket};
use std::time::{Duration, SystemTime};

use common::{ANY_PORTS, Directory, Server, parvis, text};

const KEY: &str = "\n[[keys]]\nname = \"main\"\nsecret_file = \"main.secret\"\n";

/// A configuration with a key of its own and ports that the system chooses.
fn configuration(directory: &Directory, extra: &str) -> String {
    let secret = text(&parvis(&["key", "create"]).stdout);
    assert_eq!(secret.len(), 64);
    directory.write("main.secret", &format!("{secret}\n"));
    let data = directory.path("data");
    let data = format!("[data]\ndirectory = \"{data}\"\n");
    directory.write("parvis.toml", &format!("{extra}\n{data}{KEY}"))
}

#[test]
fn two_servers_run_side_by_side_and_each_prints_its_link() {
    let directory = Directory::new("side-by-side");
    let servers = [Server::dev(&directory), Server::dev(&directory)];
    assert_ne!(servers[0].address, servers[1].address);
    for server in &servers {
        assert_eq!(server.get("/livez").unwrap().0, 200);
        assert_eq!(server.get("/readyz").unwrap().0, 200);
        let link = server.said[1].strip_prefix(&format!("open http://{}", server.address)).unwrap();
        assert!(link.starts_with("/r/") && link.len() == 3 + 22, "{link}");
        assert!(server.get(link).unwrap().1.contains("<html"));
    }
    assert_ne!(servers[0].said[1].rsplit('/').next(), servers[1].said[1].rsplit('/').next());
}

#[test]
fn a_token_made_on_the_command_line_opens_the_door() {
    let directory = Directory::new("token");
    let server = Server::dev(&directory);
    let made = parvis(&["token", "create", "--dev", "--room", "atelier", "--identity", "ada", "--json"]);
    let made: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    assert_eq!((&made["room"], &made["identity"]), (&"atelier".into(), &"ada".into()));
    let path = format!("/rtc/validate?access_token={}", made["token"].as_str().unwrap());
    assert_eq!(server.get(&path), Some((200, "success".to_owned())));

    // One that another key signed does not.
    let config = configuration(&directory, "");
    let other = parvis(&["token", "create", "--config", &config, "--room", "atelier", "--identity", "ada"]);
    let path = format!("/rtc/validate?access_token={}", text(&other.stdout));
    assert_eq!(server.get(&path).unwrap().0, 401);
}

#[test]
fn a_token_that_we_would_refuse_is_not_made() {
    let refused = |arguments: &[&str]| {
        let output = parvis(&[["token", "create"].as_slice(), arguments].concat());
        assert!(!output.status.success() && output.stdout.is_empty());
        text(&output.stderr)
    };
    let weak = ["--room", "r", "--identity", "i", "--key", "main", "--secret", "short"];
    assert!(refused(&weak).contains("has 5 bytes, it needs 32"), "{}", refused(&weak));
    let nobody = ["--dev", "--room", "r", "--identity", ""];
    assert!(refused(&nobody).contains("identity"), "{}", refused(&nobody));
    assert!(refused(&["--room", "r", "--identity", "i"]).contains("--dev"), "one of the keys must be named");
}

#[test]
fn serve_and_check_refuse_a_configuration_in_the_same_words() {
    let directory = Directory::new("refused");
    let config = configuration(&directory, "[media]\nudp_ports = 70000\n");
    let serve = parvis(&["serve", "--config", &config]);
    let check = parvis(&["check", "--config", &config]);
    for output in [&serve, &check] {
        assert_eq!(output.status.code(), Some(1));
        assert!(output.stdout.is_empty());
        let expected =
            format!("parvis: {config}:2: media.udp_ports: 70000 is above 65535; use ports from 1 to 65535");
        assert_eq!(text(&output.stderr), expected);
    }
    let missing = parvis(&["serve", "--config", "/nonexistent.toml"]);
    assert!(text(&missing.stderr).starts_with("parvis: /nonexistent.toml: cannot be read"));
}

#[test]
fn check_says_ok_or_which_port_is_taken() {
    let directory = Directory::new("check");
    let config = configuration(&directory, "");
    let arguments =
        [["check", "--config", &config, "--metrics", "127.0.0.1:0"].as_slice(), &ANY_PORTS].concat();
    let output = parvis(&arguments);
    let said = text(&output.stdout);
    assert_eq!((said.lines().last(), text(&output.stderr).as_str()), (Some("ok"), ""));
    assert!(said.starts_with("crypto profile: modern\n"), "{said}");

    let http = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = http.local_addr().unwrap().to_string();
    let mut arguments = arguments.clone();
    arguments.extend(["--http", &taken]);
    let arguments: Vec<&str> =
        arguments.iter().enumerate().filter(|(at, _)| ![5, 6].contains(at)).map(|(_, word)| *word).collect();
    let output = parvis(&arguments);
    let expected = format!("parvis: cannot listen on {taken} for HTTP: ");
    assert!(text(&output.stderr).starts_with(&expected), "{}", text(&output.stderr));

    let media = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = media.local_addr().unwrap().port().to_string();
    let data = directory.path("data");
    let output = parvis(&[
        "check",
        "--dev",
        "--data",
        &data,
        "--http",
        "127.0.0.1:0",
        "--media-ports",
        &port,
        "--tcp-port",
        "0",
    ]);
    let expected = format!("parvis: cannot bind UDP 127.0.0.1:{port} for media: ");
    assert!(text(&output.stderr).starts_with(&expected), "{}", text(&output.stderr));
}

#[test]
fn check_names_each_fault_with_its_remedy() {
    let directory = Directory::new("check-faults");
    std::fs::create_dir_all(directory.path("data/recordings")).unwrap();
    let database = directory.write("data/parvis.db", &"this is no database. ".repeat(500));
    let in_an_hour = SystemTime::now() + Duration::from_secs(3_600);
    std::fs::File::options().write(true).open(database).unwrap().set_modified(in_an_hour).unwrap();
    // It is a program that says its version, and knows nothing of encoders.
    let recording = "[recording]\nenabled = true\nunprotected = true\nworker = \"/bin/cat\"\n";
    let config = configuration(&directory, recording);
    let arguments =
        [["check", "--json", "--config", &config, "--metrics", "127.0.0.1:0"].as_slice(), &ANY_PORTS]
            .concat();
    let output = parvis(&arguments);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let line = |what: &str| {
        let mut lines = report["lines"].as_array().unwrap().iter();
        let line = lines.find(|line| line["what"] == what).unwrap_or_else(|| panic!("no {what}: {report:#}"));
        let word = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        (word("state"), word("seen"), word("remedy"))
    };
    for (what, seen, remedy) in [
        ("database", "", "[database]"),
        ("clock (past)", "the clock was set back", "set it right"),
        ("encoders", ", and said: ", "parvis media probe"),
    ] {
        let (state, was_seen, was_remedy) = line(what);
        assert_eq!(state, "bad", "{what}: {was_seen}");
        assert!(was_seen.contains(seen) && was_remedy.contains(remedy), "{what}: {was_seen}: {was_remedy}");
    }
    for what in ["configuration", "ports", "recorder", "storage"] {
        assert_eq!(line(what).0, "good", "{what}: {}", line(what).1);
    }
    assert_eq!(line("object storage").0, "skipped");
    assert_eq!((output.status.code(), &report["good"]), (Some(1), &false.into()));
    let bad = report["lines"].as_array().unwrap().iter().filter(|line| line["state"] == "bad").count();
    assert!(text(&output.stderr).starts_with(&format!("parvis: {bad} of ")), "{}", text(&output.stderr));
    let kept = std::fs::read_to_string(directory.path("data/check.json")).unwrap();
    assert!(kept.contains(&format!("\"bad\":{bad},")), "{kept}");
}

#[test]
fn what_is_in_force_is_shown_with_its_origin() {
    let directory = Directory::new("show");
    let config = configuration(&directory, "[rooms]\nmax = 7\n");
    let output = parvis(&["config", "show", "--origin", "--config", &config, "--tcp-port", "9000"]);
    let shown = text(&output.stdout);
    let origin = |key: &str| {
        let line =
            shown.lines().find(|line| line.starts_with(key)).unwrap_or_else(|| panic!("no {key} in {shown}"));
        line.split_once(" # ").unwrap().1.to_owned()
    };
    assert_eq!(origin("rooms.max = 7"), format!("{config}:2"));
    assert_eq!(origin("media.tcp_port = 9000"), "--tcp-port");
    assert_eq!(origin("rooms.guests = false"), "default");
}

#[test]
fn row_35_the_development_key_works_in_development_only() {
    let directory = Directory::new("devkey");
    let file = "[[keys]]\nname = \"devkey\"\nsecret = \"secret\"\n";
    let config = directory.write("parvis.toml", file);
    let output = parvis(&["serve", "--config", &config]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("is for --dev only"), "{}", text(&output.stderr));
    // Nor does anything start without saying which of the two it is.
    assert!(!parvis(&["serve"]).status.success());
}
