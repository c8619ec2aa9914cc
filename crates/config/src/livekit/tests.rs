// SPDX-License-Identifier: EUPL-1.2
//! What becomes of a file, of variables and of flags.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::{Reader, Reading, is_flag};
use crate::{Weight, Wrong};

/// LiveKit's own example, with what is commented out there switched on.
const EXAMPLE: &str = "\
port: 7890
bind_addresses:
  - \"192.0.2.5\"
redis:
  address: redis.host:6379
  db: 0
rtc:
  port_range_start: 50000
  port_range_end: 60000
  tcp_port: 7001
  use_external_ip: true
  congestion_control:
    enabled: true
  pli_throttle:
    low_quality: 500ms
  node_ip: 203.0.113.7
keys:
  key1: 0123456789abcdef0123456789abcdef
  key2: fedcba9876543210fedcba9876543210
logging:
  level: warning
  json: true
room:
  auto_create: false
  empty_timeout: 120
  departure_timeout: 30
  max_participants: 0
  enabled_codecs:
    - mime: audio/opus
    - mime: video/vp8
      fmtp_line: x
webhook:
  api_key: key1
  urls:
    - https://example.org/hook
limit:
  num_tracks: -1
  bytes_per_sec: 1_000_000_000
prometheus:
  port: 6789
rooom:
  auto_create: true
";

fn read(text: &str) -> Result<Reading, Wrong> {
    let mut reader = Reader::new(false);
    reader.file("livekit.yaml", text)?;
    Ok(reader.finish())
}

/// What is said of a key, and how loud.
fn noted(reading: &Reading, key: &str) -> (Weight, String) {
    let mut notes = reading.notes.iter().filter(|note| note.key == key);
    let note = notes.next().unwrap_or_else(|| panic!("nothing of {key} in {:?}", reading.notes));
    assert_eq!(notes.next(), None, "it is said once");
    (note.weight, note.text.clone())
}

/// A value as it would stand in our file, and its origin.
fn said(reading: &Reading, key: &str) -> Option<(String, String)> {
    let setting = reading.settings.iter().find(|setting| setting.key == key)?;
    Some((setting.value.to_string(), setting.origin.clone()))
}

#[test]
fn a_file_is_said_in_our_keys_each_with_its_line() {
    let reading = read(EXAMPLE).unwrap();
    let expected = [
        ("http.listen", "\"192.0.2.5:7890\"", "livekit.yaml:1"),
        ("media.udp_ports", "\"50000-60000\"", "livekit.yaml:9"),
        ("media.tcp_port", "7001", "livekit.yaml:10"),
        ("log.level", "\"warn\"", "livekit.yaml:21"),
        ("log.json", "true", "livekit.yaml:22"),
        ("media.node_ip", "[\"203.0.113.7\"]", "livekit.yaml:16"),
        ("rooms.auto_create", "false", "livekit.yaml:24"),
        ("rooms.empty_timeout", "\"120s\"", "livekit.yaml:25"),
        ("rooms.departure_timeout", "\"30s\"", "livekit.yaml:26"),
        ("rooms.enabled_codecs", "[\"audio/opus\", \"video/vp8\"]", "livekit.yaml:28"),
        ("webhooks.api_key", "\"key1\"", "livekit.yaml:33"),
        ("webhooks.urls", "[\"https://example.org/hook\"]", "livekit.yaml:34"),
        ("metrics.listen", "\"127.0.0.1:6789\"", "livekit.yaml:40"),
    ];
    for (key, value, origin) in expected {
        assert_eq!(said(&reading, key), Some((value.to_owned(), origin.to_owned())), "{key}");
    }
    assert_eq!(said(&reading, "rooms.max_participants"), None, "0 is no limit of theirs: ours stays");
    let (keys, origin) = said(&reading, "keys").unwrap();
    assert!(keys.contains("name = \"key1\"") && keys.contains("fedcba98"), "{keys}");
    assert_eq!(origin, "livekit.yaml:17");
    assert_eq!(reading.settings.len(), expected.len() + 1);
}

#[test]
fn whatever_has_no_effect_is_said_in_one_line_with_its_place() {
    let reading = read(EXAMPLE).unwrap();
    let notes: Vec<String> = reading.notes.iter().map(|note| format!("{}: {note}", note.weight)).collect();
    let starts = [
        "warning: livekit.yaml:4: redis: this server shares nothing with others",
        "note: livekit.yaml:11: rtc.use_external_ip: not needed: rtc.node_ip says",
        "note: livekit.yaml:12: rtc.congestion_control: without effect",
        "note: livekit.yaml:14: rtc.pli_throttle: without effect",
        "note: livekit.yaml:37: limit.num_tracks: without effect",
        "note: livekit.yaml:38: limit.bytes_per_sec: without effect",
        "warning: livekit.yaml:40: prometheus.port: listens on 127.0.0.1:6789 only",
        "warning: livekit.yaml:41: rooom: unknown key",
    ];
    for start in starts {
        let found = notes.iter().filter(|note| note.starts_with(start)).count();
        assert_eq!(found, 1, "{start} in {notes:#?}");
    }
    assert_eq!(notes.len(), starts.len(), "{notes:#?}");
}

#[test]
fn a_relay_and_its_certificate_are_those_of_our_own_port() {
    let turn = "turn:\n  enabled: true\n  domain: turn.example.org\n  udp_port: 3479\n  tls_port: 5349\n\
                \x20 cert_file: turn.crt\n  key_file: turn.key\n  ttl_seconds: 600\n";
    let reading = read(turn).unwrap();
    for (key, value, line) in [
        ("turn.enabled", "true", 2),
        ("turn.host", "\"turn.example.org\"", 3),
        ("turn.udp_port", "3479", 4),
        ("tls.certificate", "\"turn.crt\"", 6),
        ("tls.key", "\"turn.key\"", 7),
        ("http.plain", "\"serve\"", 7),
        ("turn.credential_age", "\"600s\"", 8),
    ] {
        assert_eq!(said(&reading, key), Some((value.to_owned(), format!("livekit.yaml:{line}"))), "{key}");
    }
    // Without the relay, or where something else ends TLS for it, the certificate is not ours to show.
    for other in [turn.replace("enabled: true", "enabled: false"), format!("{turn}  external_tls: true\n")] {
        let reading = read(&other).unwrap();
        assert_eq!(said(&reading, "tls.certificate"), None);
        assert_eq!(said(&reading, "http.plain"), None);
    }
}

#[test]
fn what_somebody_misses_is_a_warning_that_says_who_and_what_to_set_instead() {
    for (text, key, words) in [
        (
            "rtc:\n  use_external_ip: true\n",
            "rtc.use_external_ip",
            ["behind a NAT", "nobody outside gets sound or pictures", "set rtc.node_ip"],
        ),
        (
            "rtc:\n  interfaces:\n    includes: [eth0]\n",
            "rtc.interfaces",
            ["every address of this machine", "inner ones too", "rtc.node_ip"],
        ),
        (
            "rtc:\n  turn_servers:\n    - host: turn.example.org\n",
            "rtc.turn_servers",
            ["no relay of others", "is not connected", "set turn.enabled"],
        ),
        (
            "redis:\n  address: localhost:6379\n",
            "redis",
            ["egress, ingress and SIP wait there", "meetings apart", "[recording] in parvis.toml"],
        ),
        (
            "bind_addresses: [127.0.0.1, 10.0.0.5]\n",
            "bind_addresses",
            ["127.0.0.1", "nobody gets in by 10.0.0.5", "0.0.0.0 stands for all"],
        ),
        (
            "turn:\n  enabled: true\n  external_tls: true\n",
            "turn.external_tls",
            [
                "TURN over TCP and UDP only",
                "by TLS alone is not connected",
                "turn.cert_file and turn.key_file",
            ],
        ),
        (
            "ingress:\n  rtmp_base_url: rtmp://x\n",
            "ingress",
            ["by WHIP alone", "by RTMP none does", "sent to /whip/v1"],
        ),
        ("sip: { enabled: true }\n", "sip", ["no telephony", "calls are refused", "take it out"]),
        (
            "prometheus_port: 6789\n",
            "prometheus_port",
            ["127.0.0.1:6789 only", "a collector elsewhere gets nothing", "metrics.listen"],
        ),
        (
            "prometheus:\n  username: x\n",
            "prometheus.username",
            ["no login", "whoever reaches their address reads them", "keep it from strangers"],
        ),
        (
            "webhook:\n  urls: [http://10.0.0.5/hook]\n",
            "webhook.urls",
            ["http://10.0.0.5/hook", "is told of nothing", "webhooks.allow_internal"],
        ),
    ] {
        let (weight, said) = noted(&read(text).unwrap(), key);
        assert_eq!(weight, Weight::Warning, "{key}: {said}");
        for part in words {
            assert!(said.contains(part), "{key}: {said:?} has no {part:?}");
        }
    }
    // What asks for nothing is missed by nobody.
    let empty = read("redis: {}\nrtc:\n  use_external_ip: false\n  turn_servers: []\n").unwrap();
    assert_eq!(noted(&empty, "redis").0, Weight::Note);
    assert_eq!(noted(&empty, "rtc.turn_servers").0, Weight::Note);
    assert!(empty.notes.iter().all(|note| note.key != "rtc.use_external_ip"), "{:?}", empty.notes);
}

#[test]
fn what_is_said_of_the_address_later_goes_before_what_the_file_says() {
    let with = |flag: &str, value: &str| {
        let mut reader = Reader::new(false);
        reader.file("livekit.yaml", "rtc:\n  use_external_ip: true\n").unwrap();
        assert!(reader.flag(flag, value).unwrap());
        reader.finish()
    };
    assert_eq!(noted(&with("node-ip", "203.0.113.7"), "rtc.use_external_ip").0, Weight::Note);
    assert!(with("rtc.use_external_ip", "false").notes.is_empty());
    assert_eq!(noted(&with("region", "x"), "rtc.use_external_ip").0, Weight::Warning);
}

#[test]
fn where_nothing_listens_on_the_relays_port_for_tls_the_port_that_clients_are_told_is_named() {
    let turn = |port: i64, rest: &str| {
        let text = format!("port: {port}\nturn:\n  enabled: true\n  tls_port: 5349\n{rest}");
        noted(&read(&text).unwrap(), "turn.tls_port")
    };
    let certificate = "  cert_file: turn.crt\n  key_file: turn.key\n";
    let (weight, said) = turn(7890, certificate);
    assert_eq!(weight, Weight::Warning);
    for part in ["nothing listens on 5349", "on 7890", "is not connected", "set port to 5349", "open 7890"] {
        assert!(said.contains(part), "{said}");
    }
    assert_eq!(turn(5349, certificate).0, Weight::Note, "it is that port");
    let (weight, said) = turn(7890, "  cert_file: turn.crt\n");
    assert_eq!(weight, Weight::Warning);
    assert!(said.contains("TURN over TLS is not offered") && said.contains("turn.key_file"), "{said}");
    assert_eq!(turn(7890, "  external_tls: true\n").0, Weight::Note, "that key has the warning");
    let off = read("turn:\n  tls_port: 5349\n").unwrap();
    assert_eq!(
        noted(&off, "turn.tls_port"),
        (Weight::Note, "not needed: turn.enabled is not set".to_owned())
    );
    assert!(read("turn:\n  enabled: true\n  tls_port: 0\n").unwrap().notes.is_empty());
}

#[test]
fn addresses_and_targets_are_taken_in_each_of_their_forms() {
    let both = read("rtc:\n  node_ip:\n    v4: 203.0.113.7\n    v6: 2001:db8::7\n").unwrap();
    assert_eq!(said(&both, "media.node_ip").unwrap().0, "[\"203.0.113.7\", \"2001:db8::7\"]");
    let inside = read("webhook:\n  urls: [http://10.0.0.5/hook]\n").unwrap();
    assert_eq!(said(&inside, "webhooks.urls").unwrap().0, "[\"http://10.0.0.5/hook\"]");
    assert!(inside.notes[0].to_string().contains("webhooks.allow_internal"), "{:?}", inside.notes);
    let blobs = |switch: &str| {
        said(&read(&format!("enable_participant_data_blob: {switch}\n")).unwrap(), "rooms.max_blobs")
    };
    assert_eq!(blobs("false").map(|(value, _)| value).as_deref(), Some("0"));
    assert_eq!(blobs("true"), None, "they are there");
}

#[test]
fn what_is_said_later_goes_before() {
    let mut reader = Reader::new(false);
    reader
        .file("livekit.yaml", "port: 7000\nrtc:\n  udp_port: 7882\n  port_range_start: 1\nlog_level: debug\n")
        .unwrap();
    assert!(reader.variable("UDP_PORT", "7900-7910").unwrap());
    assert!(reader.variable("REDIS_HOST", "redis:6379").unwrap());
    assert!(
        !reader.variable("LIVEKIT_PORT", "tcp://10.0.0.1:7880").unwrap(),
        "as Kubernetes sets it for a service"
    );
    assert!(reader.flag("rtc.udp_port", "7920-7930").unwrap());
    assert!(reader.flag("bind", "::1").unwrap());
    assert!(reader.flag("redis.address", "redis:6379").unwrap());
    assert!(!reader.flag("verbose", "1").unwrap());
    let reading = reader.finish();
    let origin = |key| said(&reading, key).unwrap();
    assert_eq!(origin("media.udp_ports"), ("\"7920-7930\"".to_owned(), "--rtc.udp_port".to_owned()));
    assert_eq!(origin("http.listen"), ("\"[::1]:7000\"".to_owned(), "livekit.yaml:1".to_owned()));
    let redis =
        reading.notes.iter().filter(|note| note.key == "redis.address").map(|note| note.origin.as_str());
    assert_eq!(redis.collect::<Vec<_>>(), ["environment REDIS_HOST", "--redis.address"]);
}

#[test]
fn an_empty_file_listens_where_theirs_would() {
    let reading = read("").unwrap();
    assert_eq!(said(&reading, "http.listen").unwrap().0, "\"0.0.0.0:7880\"");
    let reading = Reader::new(true).finish();
    assert_eq!(
        said(&reading, "http.listen").unwrap().0,
        "\"127.0.0.1:7880\"",
        "in development it stays on the machine"
    );
}

#[test]
fn keys_come_as_a_table_as_lines_or_from_a_file() {
    let names = |reading: &Reading| {
        let keys = reading.settings.iter().find(|setting| setting.key == "keys").unwrap();
        let keys = keys.value.as_array().unwrap().iter();
        keys.map(|key| format!("{}={}", key["name"].as_str().unwrap(), key["secret"].as_str().unwrap()))
            .collect::<Vec<_>>()
    };
    let mut reader = Reader::new(false);
    reader.file("livekit.yaml", "keys:\n  one: first\nkey_file: keys.yaml\n").unwrap();
    assert_eq!(reader.wants_key_file(), None, "keys that are there go before");
    reader.variable("LIVEKIT_KEYS", "two: second\n three: third").unwrap();
    assert_eq!(names(&reader.finish()), ["two=second", "three=third"]);

    let mut reader = Reader::new(false);
    reader.flag("key-file", "keys.yaml").unwrap();
    assert_eq!(reader.wants_key_file(), Some(("keys.yaml".to_owned(), "--key-file".to_owned())));
    reader.key_file("keys.yaml", "four: fourth\n").unwrap();
    let reading = reader.finish();
    assert_eq!(names(&reading), ["four=fourth"]);
    assert_eq!(reading.settings.iter().find(|setting| setting.key == "keys").unwrap().origin, "keys.yaml");
}

#[test]
fn each_mistake_is_refused_with_its_place_and_a_remedy() {
    for (text, expected) in [
        ("port: seven", "livekit.yaml:1: port: \"seven\" is no whole number; use one"),
        ("port: 70000", "livekit.yaml:1: port: 70000 is no port; use one from 1 to 65535"),
        ("rtc: 5", "livekit.yaml:1: rtc: a table of keys is expected here; indent them below it"),
        ("rtc:\n  tcp_port: [1]", "livekit.yaml:2: rtc.tcp_port: a single value is expected here; write one"),
        (
            "room:\n  auto_create: maybe",
            "livekit.yaml:2: room.auto_create: \"maybe\" is neither true nor false; use one of them",
        ),
        (
            "room:\n  empty_timeout: -1",
            "livekit.yaml:2: room.empty_timeout: -1 is below 0; use a number of seconds",
        ),
        (
            "room:\n  enabled_codecs: vp8",
            "livekit.yaml:2: room.enabled_codecs: a list is expected: write `- mime: video/vp8`, one on a line",
        ),
        (
            "rtc:\n  node_ip: auto",
            "livekit.yaml:2: rtc.node_ip: \"auto\" is no IP address; use the one that clients reach",
        ),
        ("keys:\n  one:\n", "livekit.yaml:1: keys: \"one\" has no secret; write one behind it"),
        (
            "bind_addresses: [localhost]",
            "livekit.yaml:1: bind_addresses: \"localhost\" is no IP address; use one, such as 0.0.0.0",
        ),
        (
            "- port",
            "livekit.yaml:1: a table of keys is expected, such as `port: 7880`; is it the right file?",
        ),
        ("port: 1\nport: 2", "livekit.yaml:2: port is there twice; take one out"),
    ] {
        assert_eq!(read(text).unwrap_err().to_string(), expected);
    }
}

#[test]
fn flags_are_known_by_name_and_by_key() {
    for (flag, needs_no_value) in [
        ("bind", Some(false)),
        ("rtc.udp_port", Some(false)),
        ("rtc.use_external_ip", Some(true)),
        ("room.auto_create", Some(true)),
        ("redis.use_tls", Some(false)),
        ("turn-key", Some(false)),
        ("room", None),
        ("json", None),
        ("http", None),
        ("config", None),
        ("", None),
    ] {
        assert_eq!(is_flag(flag), needs_no_value, "{flag}");
    }
}

#[test]
fn configurations_of_rooms_and_delays_of_pictures_are_taken_over() {
    let text = "\
room:
  playout_delay:
    enabled: true
    min: 100
    max: 2_000
  room_configurations:
    webinar:
      empty_timeout: 60
      departureTimeout: 0
      maxParticipants: 30
      min_playout_delay: 200
      sync_streams: true
      metadata: about it
      agents:
        - agent_name: scribe
          metadata: quick
        - agentName: interpreter
      egress:
        tracks: {}
      colour: blue
    empty:
";
    let reading = read(text).unwrap();
    let value = |key: &str| reading.settings.iter().find(|setting| setting.key == key).unwrap().value.clone();
    assert_eq!(value("rooms.min_playout_delay").as_str(), Some("100ms"));
    assert_eq!(value("rooms.max_playout_delay").as_str(), Some("2000ms"));
    let expected: toml::Table = toml::from_str(
        "[webinar]\nempty_timeout = \"60s\"\ndeparture_timeout = \"0\"\nmax_participants = 30\n\
         min_playout_delay = \"200ms\"\nsync_streams = true\nmetadata = \"about it\"\n\
         agents = [{ name = \"scribe\", metadata = \"quick\" }, { name = \"interpreter\" }]\n[empty]\n",
    )
    .unwrap();
    assert_eq!(value("rooms.presets").as_table(), Some(&expected));
    let notes: Vec<String> = reading.notes.iter().map(ToString::to_string).collect();
    let noted = |part: &str| notes.iter().any(|note| note.contains(part));
    assert!(noted("livekit.yaml:18: room.room_configurations.webinar.egress: without effect"), "{notes:?}");
    assert!(noted("livekit.yaml:20: room.room_configurations.webinar.colour: unknown key"), "{notes:?}");

    let off = read("room:\n  playout_delay:\n    min: 100\n").unwrap();
    assert!(off.settings.iter().all(|setting| !setting.key.contains("playout")), "it is not enabled");
    for (text, problem) in [
        ("webinar: 5", "a table of fields of a room's configuration is expected here"),
        (
            "webinar: { empty_timeout: -1 }",
            "line 3, webinar.empty_timeout: -1 is below 0; use a number from 0 on",
        ),
        ("webinar: { agents: scribe }", "webinar.agents: a list is expected"),
        ("webinar: { agents: [ { nme: x } ] }", "\"nme\" is no field of it; use agent_name, metadata"),
    ] {
        let wrong = read(&format!("room:\n  room_configurations:\n    {text}\n")).unwrap_err();
        assert!(wrong.problem.contains(problem), "{wrong:?}");
    }
}

#[test]
fn events_are_filtered_as_they_were() {
    let text =
        "webhook:\n  filter_params:\n    include_events: [room_started]\n    exclude_events: room_finished\n";
    let reading = read(text).unwrap();
    assert_eq!(said(&reading, "webhooks.include_events").unwrap().0, "[\"room_started\"]");
    assert_eq!(said(&reading, "webhooks.exclude_events").unwrap().0, "[\"room_finished\"]");
    assert!(reading.notes.is_empty(), "{:?}", reading.notes);
}
