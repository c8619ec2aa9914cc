// SPDX-License-Identifier: EUPL-1.2
//! A configuration that was written for another server, and a configuration that changes while the server runs.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::os::unix::net::UnixDatagram;
use std::process::{Command, Output};
use std::time::Duration;

use common::{ANY_PORTS, Directory, Server, parvis, text};
use nix::sys::signal::Signal;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const LIVEKIT: &str = "port: 7890\nbind_addresses: [127.0.0.1]\nrtc:\n  udp_port: 7882-7885\n  tcp_port: 7001\n\
                       redis:\n  address: localhost:6379\nkeys:\n  main: 0123456789abcdef0123456789abcdef\n\
                       room:\n  auto_create: false\n  empty_timeout: 120\n  enabled_codecs:\n    - mime: audio/opus\n\
                       \x20   - mime: video/vp8\nlogging:\n  levle: debug\n";

fn with(environment: &[(&str, &str)], arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_parvis"));
    command.args(arguments).env_remove("RUST_LOG").envs(environment.iter().copied()).output().unwrap()
}

/// A value as it is shown, and its origin.
fn shown(output: &Output, key: &str) -> (String, String) {
    let all = text(&output.stdout);
    let line = all.lines().find(|line| line.starts_with(&format!("{key} = ")));
    let line = line.unwrap_or_else(|| panic!("no {key} in {all}\n{}", text(&output.stderr)));
    let (value, origin) = line.split_once(" # ").unwrap();
    (value.split_once(" = ").unwrap().1.trim().to_owned(), origin.to_owned())
}

#[test]
fn a_livekit_file_with_its_variables_and_flags_is_taken_over_and_each_value_says_where_it_is_from() {
    let directory = Directory::new("takeover");
    let file = directory.write("livekit.yaml", LIVEKIT);
    let environment = [("UDP_PORT", "7900-7903"), ("NODE_IP", "203.0.113.7")];
    let arguments = [
        "config",
        "show",
        "--origin",
        "--livekit-config",
        &file,
        "--rtc.tcp_port",
        "7002",
        "--room.empty_timeout=60",
    ];
    let output = with(&environment, &arguments);
    let line = |number| format!("{file}:{number}");
    for (key, value, origin) in [
        ("http.listen", "\"127.0.0.1:7890\"", line(1)),
        ("media.udp_ports", "\"7900-7903\"", "environment UDP_PORT".to_owned()),
        ("media.tcp_port", "7002", "--rtc.tcp_port".to_owned()),
        ("media.node_ip", "[\"203.0.113.7\"]", "environment NODE_IP".to_owned()),
        ("rooms.auto_create", "false", line(11)),
        ("rooms.empty_timeout", "\"1m\"", "--room.empty_timeout".to_owned()),
        ("rooms.enabled_codecs", "[\"audio/opus\", \"video/vp8\"]", line(13)),
        ("keys", "[\"main\"]", line(8)),
        ("rooms.guests", "false", "default".to_owned()),
    ] {
        assert_eq!(shown(&output, key), (value.to_owned(), origin), "{key}");
    }
    let all = text(&output.stdout);
    assert!(!all.contains(SECRET), "{all}");
    for note in [
        format!("# warning: {}: redis: this server shares nothing", line(6)),
        format!("# warning: {}: logging.levle: unknown key", line(17)),
    ] {
        assert_eq!(all.lines().filter(|line| line.starts_with(&note)).count(), 1, "{note} in {all}");
    }
    // By its name alone, and as the text that containers are given.
    let by_name = with(&[], &["config", "show", "--origin", "--config", &file]);
    assert_eq!(shown(&by_name, "media.tcp_port"), ("7001".to_owned(), line(5)));
    let body = with(&[("LIVEKIT_CONFIG", LIVEKIT)], &["config", "show", "--origin"]);
    assert_eq!(
        shown(&body, "media.tcp_port"),
        ("7001".to_owned(), "environment LIVEKIT_CONFIG:5".to_owned())
    );
}

#[test]
fn a_mistake_in_a_livekit_file_is_refused_with_its_place() {
    let directory = Directory::new("takeover-wrong");
    let key = "keys:\n  main: 0123456789abcdef0123456789abcdef\n";
    for (content, expected) in [
        ("rtc:\n  tcp_port: seven\n", ":2: rtc.tcp_port: \"seven\" is no whole number; use one"),
        (
            "rtc:\n  udp_port: 7885-7882\n",
            ":2: media.udp_ports: 7885 comes after 7882; write the lower port first",
        ),
        (
            "room:\n  enabled_codecs: [{mime: video/theora}]\n",
            ":2: rooms.enabled_codecs: \"video/theora\" is no codec",
        ),
        ("rtc: [\n", ":"),
    ] {
        let file = directory.write("livekit.yaml", &format!("{content}{key}"));
        for command in [&["check"][..], &["serve"], &["config", "show"]] {
            let output = parvis(&[command, &["--livekit-config", &file]].concat());
            assert_eq!(output.status.code(), Some(1));
            let said = text(&output.stderr);
            assert!(said.starts_with(&format!("parvis: {file}{expected}")), "{said}");
        }
    }
    let weak = directory.write("livekit.yaml", "keys:\n  main: short\n");
    let said = text(&parvis(&["check", "--livekit-config", &weak]).stderr);
    assert!(said.contains(":1: keys: the secret of API key \"main\" has 5 bytes"), "{said}");
    let said = text(&parvis(&["serve", "--dev", "--config", "parvis.toml"]).stderr);
    assert!(said.contains("--dev: it needs no configuration"), "{said}");
    let said = text(&parvis(&["serve", "--config", "parvis.toml", "--bind", "0.0.0.0"]).stderr);
    assert!(said.contains("exclude each other"), "{said}");
}

#[test]
fn rooms_by_the_name_of_their_configuration_are_taken_over_with_their_mistakes() {
    let directory = Directory::new("takeover-presets");
    let content = |extra: &str| {
        format!("keys:\n  main: {SECRET}\nroom:\n  room_configurations:\n    webinar:\n      {extra}\n")
    };
    let file = directory.write("livekit.yaml", &content("max_participants: 30"));
    let shown = text(&parvis(&["config", "show", "--origin", "--livekit-config", &file]).stdout);
    let line = shown.lines().find(|line| line.starts_with("rooms.presets.webinar.max_participants = 30"));
    assert!(line.unwrap_or_else(|| panic!("{shown}")).ends_with(&format!("# {file}:4")), "{shown}");
    let file = directory.write("livekit.yaml", &content("max_playout_delay: 60000"));
    let said = text(&parvis(&["check", "--livekit-config", &file]).stderr);
    let expected = format!("parvis: {file}:4: rooms.presets.webinar.max_playout_delay: 1m is more than");
    assert!(said.starts_with(&expected), "{said}");
}

#[test]
fn a_server_serves_by_a_livekit_file() {
    let directory = Directory::new("takeover-serve");
    let file = directory.write("livekit.yaml", LIVEKIT);
    let data = directory.path("data");
    let arguments =
        [["--config", &file, "--metrics", "127.0.0.1:0", "--data", &data].as_slice(), &ANY_PORTS].concat();
    let checked = parvis(&[["check"].as_slice(), arguments.as_slice()].concat());
    let warning = format!(
        "POOR  configuration: read what was taken over: {file}:6: redis: this server shares nothing with others"
    );
    assert!(text(&checked.stdout).contains(&warning), "{checked:?}");
    let server = Server::start("", "info", &arguments);
    let token = ["token", "create", "--config", &file, "--room", "atelier", "--identity", "ada"];
    let token = text(&parvis(&token).stdout);
    let (status, words) = server.get(&format!("/rtc/validate?access_token={token}")).unwrap();
    assert_eq!(status, 404, "room.auto_create is false there: {words}");
    let line = server.wait_for_log("redis");
    assert!(line.contains("WARN") && line.contains("meetings apart; run one"), "{line}");
}

#[test]
fn sighup_takes_a_good_file_and_leaves_all_as_it_was_for_a_bad_one() {
    let directory = Directory::new("reload");
    let manager = UnixDatagram::bind(directory.0.join("notify")).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let told = || {
        let mut buffer = [0; 4_096];
        let length = manager.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let file = |extra: &str, name: &str, secret: &str| {
        let data = directory.path("data");
        let text = format!(
            "{extra}\n[data]\ndirectory = \"{data}\"\n[[keys]]\nname = \"{name}\"\nsecret = \"{secret}\"\n"
        );
        directory.write("parvis.toml", &text)
    };
    let config = file("", "first", SECRET);
    let token = || {
        text(&parvis(&["token", "create", "--config", &config, "--room", "r", "--identity", "ada"]).stdout)
    };
    let first = token();
    let before = format!("export NOTIFY_SOCKET={};", directory.path("notify"));
    let arguments = [["--config", &config, "--metrics", "127.0.0.1:0"].as_slice(), &ANY_PORTS].concat();
    let server = Server::start(&before, "info", &arguments);
    let status = |token: &str| server.get(&format!("/rtc/validate?access_token={token}")).unwrap().0;
    assert_eq!((told().as_str(), status(&first)), ("READY=1", 200));

    file("[rooms]\nmax = 0\n", "second", SECRET);
    server.signal(Signal::SIGHUP);
    let line = server.wait_for_log("stays as it was");
    assert!(line.contains("rooms.max: 0 is below 1"), "{line}");
    assert!(told().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert!(told().starts_with("READY=1\nSTATUS=the configuration stays as it was: "));
    assert_eq!(status(&first), 200);

    file(
        "[http]\nmax_connections = 77\n[media]\ngso = false\n",
        "second",
        "fedcba9876543210fedcba9876543210",
    );
    let second = token();
    assert_eq!(status(&second), 401);
    server.signal(Signal::SIGHUP);
    let line = server.wait_for_log("was read anew");
    assert!(
        line.contains("waits=\"media.gso\"") && line.contains("changed=\"http.max_connections, keys\""),
        "{line}"
    );
    assert!(!line.contains(SECRET) && !line.contains("fedcba"), "{line}");
    assert!(told().starts_with("RELOADING=1"));
    assert_eq!(told(), "READY=1\nSTATUS=the configuration was read anew; these need a restart: media.gso");
    assert_eq!((status(&first), status(&second)), (401, 200));
}
