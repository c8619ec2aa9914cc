// SPDX-License-Identifier: EUPL-1.2
//! What is refused, in which words; and that the example says what is so.

use std::path::Path;

use super::load::parse;
use super::{Config, Loaded, load, show};

const KEY: &str = "[[keys]]\nname = \"main\"\nsecret = \"0123456789abcdef0123456789abcdef\"\n";

fn read(text: &str) -> Result<Loaded, String> {
    parse(text, Path::new("parvis.toml")).map_err(|error| error.to_string())
}

#[test]
fn each_mistake_is_refused_with_its_place_and_a_remedy() {
    let table = [
        (
            "[media]\nudp_ports = 70000\n",
            "parvis.toml:2: media.udp_ports: 70000 is above 65535; use ports from 1 to 65535",
        ),
        (
            "[media]\nudp_ports = \"7890-7880\"\n",
            "parvis.toml:2: media.udp_ports: 7890 comes after 7880; write the lower port first",
        ),
        (
            "[media]\nudp_ports = \"7882-7883\"\nshards = 3\n",
            "parvis.toml:2: media.udp_ports: 7882-7883 are too few for 3 shards; each needs one",
        ),
        (
            "[media]\ntcp_port = -1\n",
            "parvis.toml:2: media.tcp_port: -1 is below 0; use a whole number from 0 to 65535",
        ),
        (
            "[media]\ntcp_port = \"7881\"\n",
            "parvis.toml:2: media.tcp_port: invalid type: string \"7881\", expected a whole number from 0 to 65535; \
             see configs/parvis.toml for its form",
        ),
        (
            "[media]\naddresses = [\"192.0.2.1\", \"0.0.0.0\"]\n",
            "parvis.toml:2: media.addresses: 0.0.0.0 is a wildcard; name the addresses that clients reach, \
             or leave the list empty for all",
        ),
        (
            "[rooms]\nmax = 10\nmax_guests = 5\n",
            "parvis.toml:3: rooms.max_guests: unknown field `max_guests`, expected one of `guests`, \
             `guest_room_chars`, `auto_create`, `enabled_codecs`, `sync_streams`, `min_playout_delay`, `max_playout_delay`, \
             `recording_consent`, `record`, `remote_unmute`, `max`, \
             `max_participants`, `max_roster`, `max_tracks_per_participant`, `max_name_chars`, `max_metadata_bytes`, \
             `max_attributes_bytes`, `max_data_tracks_per_participant`, `max_data_subscriptions_per_participant`, \
             `max_blob_bytes`, `max_blobs_per_participant`, `max_blobs`, `empty_timeout`, `departure_timeout`, \
             `longest_timeout`, `max_duration`, `remembered_identities`, `presets`; correct its spelling or take it out",
        ),
        (
            "[sessions]\nrequests = { burst = 0, per_second = 5 }\n",
            "parvis.toml:2: sessions.requests.burst: 0 is below 1; use a whole number from 1 to 1000000",
        ),
        (
            "\n\n[tokens]\nmax_age = \"6 hours\"\n",
            "parvis.toml:4: tokens.max_age: \"6 hours\" is no length of time; use a number with ms, s, m, h or d, \
             such as \"20s\", at most \"366d\"",
        ),
        (
            "[tokens]\nmax_age = \"0\"\n",
            "parvis.toml:2: tokens.max_age: no time at all would refuse everyone; use a longer one, such as \"10s\"",
        ),
        (
            "[log]\nlevel = \"parvis=loud\"\n",
            "parvis.toml:2: log.level: \"parvis=loud\" is no level; use error, warn, info, debug or trace, \
             or what RUST_LOG takes",
        ),
    ];
    for (text, expected) in table {
        assert_eq!(read(&format!("{text}{KEY}")).unwrap_err(), expected);
    }
}

#[test]
fn what_the_file_says_of_media_reaches_the_engine() {
    let text = "[media]\nmax_sound_bitrate = 96000\nmax_sound_packets_per_second = 60\nloudest_tracks = 7\nred_loss_percent = 4\nred_twice_loss_percent = 12\nred_min_bitrate = 250000\n\
                fec_loss_percent = 5\nfec_twice_loss_percent = 15\nfec_round_trip_ms = 80\nfec_share_percent = 30\npatience_ms = 300\n\
                max_participant_bitrate = 7000000\nmax_participant_packets_per_second = 900\n";
    let media = read(&format!("{text}{KEY}")).unwrap().config.media_config();
    assert_eq!((media.ingress_bitrate_audio, media.ingress_packets_per_second_audio), (96_000, 60));
    assert_eq!((media.ingress_bitrate_peer, media.ingress_packets_per_second_peer), (7_000_000, 900));
    assert_eq!((media.loudest_tracks, media.red_loss, media.red_min_bitrate), (7, [0.04, 0.12], 250_000));
    assert_eq!((media.fec_loss, media.fec_share), ([0.05, 0.15], 0.3));
    assert_eq!(media.fec_round_trip, std::time::Duration::from_millis(80));
    assert_eq!(media.patience, std::time::Duration::from_millis(300));
    for (text, expected) in [
        ("loudest_tracks = -1", "loudest_tracks: -1 is below 0; use a whole number from 0 to 1000"),
        ("red_loss_percent = 0", "red_loss_percent: 0 is below 1; use a whole number from 1 to 100"),
        (
            "red_twice_loss_percent = 101",
            "red_twice_loss_percent: 101 is above 100; use a whole number from 1 to 100",
        ),
        ("fec_loss_percent = 102", "fec_loss_percent: 102 is above 101; use a whole number from 0 to 101"),
        ("patience_ms = 5001", "patience_ms: 5001 is above 5000; use a whole number from 0 to 5000"),
        ("fec_share_percent = 0", "fec_share_percent: 0 is below 1; use a whole number from 1 to 50"),
        ("fec_share_percent = 51", "fec_share_percent: 51 is above 50; use a whole number from 1 to 50"),
    ] {
        let error = read(&format!("[media]\n{text}\n{KEY}")).unwrap_err();
        assert_eq!(error, format!("parvis.toml:2: media.{expected}"));
    }
}

#[test]
fn presets_of_rooms_reach_the_rooms_and_mistakes_in_them_are_named() {
    let text = "[rooms]\nmin_playout_delay = \"100ms\"\n[rooms.presets.webinar]\ndeparture_timeout = \"1m\"\n\
                max_participants = 30\nmax_playout_delay = \"2s\"\nagents = [{ name = \"scribe\" }]\n";
    let loaded = read(&format!("{text}{KEY}")).unwrap();
    let expected = livekit_protocol::RoomConfiguration {
        departure_timeout: 60,
        max_participants: 30,
        max_playout_delay: 2_000,
        agents: vec![livekit_protocol::RoomAgentDispatch {
            agent_name: "scribe".into(),
            ..Default::default()
        }],
        ..Default::default()
    };
    let api = loaded.config.api_config(100);
    assert_eq!(api.presets, parvis_api::RoomPresets::new([("webinar".to_owned(), expected)].into()));
    assert_eq!(api.room.playout_delay.0, std::time::Duration::from_millis(100));
    let shown = show(&loaded, true).unwrap();
    let line = shown.lines().find(|line| line.starts_with("rooms.presets.webinar.max_participants = 30"));
    assert!(line.unwrap().ends_with("# parvis.toml:5"), "{shown}");
    for (text, expected) in [
        (
            "[rooms]\nmax_playout_delay = \"1m\"\n",
            "2: rooms.max_playout_delay: 1m is more than packets can ask for; use at most \"40950ms\"",
        ),
        (
            "[rooms.presets.webinar]\nmin_playout_delay = \"2s\"\nmax_playout_delay = \"1s\"\n",
            "3: rooms.presets.webinar.max_playout_delay: 1s is less than min_playout_delay; use a longer time, or \"0\" for \
             no limit",
        ),
        (
            "[rooms]\nmax_metadata_bytes = 3\n[rooms.presets.webinar]\nmetadata = \"long\"\n",
            "4: rooms.presets.webinar.metadata: it has 4 bytes, rooms.max_metadata_bytes allows 3; shorten it",
        ),
        (
            "[rooms.presets.webinar]\nmax_people = 3\n",
            "2: rooms.presets.webinar.max_people: unknown field `max_people`",
        ),
    ] {
        let error = read(&format!("{text}{KEY}")).unwrap_err();
        assert!(error.starts_with(&format!("parvis.toml:{expected}")), "{error}\nis not\n{expected}");
    }
}

#[test]
fn a_broken_file_is_refused_at_its_line() {
    let error = read("[http]\nlisten = \n").unwrap_err();
    assert!(error.starts_with("parvis.toml:2"), "{error}");
    let error = read("[http]\nlisten = \"localhost\"\n").unwrap_err();
    assert!(error.starts_with("parvis.toml:2: http.listen: invalid socket address"), "{error}");
    assert!(error.ends_with("; correct it"), "{error}");
}

#[test]
fn row_35_keys_that_can_be_guessed_are_refused() {
    let table = [
        ("", "parvis.toml: keys: no API key, so nobody could join; add one with"),
        (
            "[[keys]]\nname = \"devkey\"\nsecret = \"0123456789abcdef0123456789abcdef\"",
            "parvis.toml:1: keys: API key \"devkey\" with its public secret is for --dev only",
        ),
        (
            "[[keys]]\nname = \"main\"\nsecret = \"secret\"",
            "parvis.toml:1: keys: API key \"devkey\" with its public",
        ),
        (
            "[[keys]]\nname = \"main\"\nsecret = \"0123456789abcdef0123456789abcde\"",
            "parvis.toml:1: keys: the secret of API key \"main\" has 31 bytes, it needs 32",
        ),
        (
            "[[keys]]\nname = \"main\"",
            "parvis.toml:1: keys: \"main\" has no secret; add secret_file or secret",
        ),
        (
            "[[keys]]\nname = \"main\"\nsecret_file = \"/nonexistent/secret\"",
            "parvis.toml:1: keys: the secret of \"main\": /nonexistent/secret: No such file or directory",
        ),
        (&format!("{KEY}{KEY}"), "parvis.toml:1: keys: API key \"main\" is there twice"),
    ];
    for (text, expected) in table {
        let error = read(text).unwrap_err();
        assert!(error.starts_with(expected), "{error}\nis not\n{expected}");
    }
}

#[test]
fn a_file_that_is_not_there_is_refused_by_name() {
    let error = load(Path::new("/nonexistent/parvis.toml")).unwrap_err().to_string();
    assert_eq!(
        error,
        "/nonexistent/parvis.toml: cannot be read: No such file or directory (os error 2); \
         name another file with --config"
    );
}

#[test]
fn the_example_has_every_value_and_each_is_the_default() {
    let example = include_str!("../../../../configs/parvis.toml");
    let loaded = read(&format!("{example}\n{KEY}")).unwrap();
    assert_eq!(Config { keys: Vec::new(), ..loaded.config.clone() }, Config::default());
    // A key that it leaves out would show as a default.
    let shown = show(&loaded, true).unwrap();
    let missing: Vec<&str> = shown.lines().filter(|line| line.ends_with("# default")).collect();
    assert!(missing.is_empty(), "not in configs/parvis.toml: {missing:#?}");
}

#[test]
fn what_is_in_force_is_shown_with_its_origin_and_without_secrets() {
    let loaded = read(&format!("[rooms]\n\nmax = 10\n{KEY}")).unwrap();
    let shown = show(&loaded, true).unwrap();
    let line = |key: &str| shown.lines().find(|line| line.starts_with(key)).unwrap().to_owned();
    assert!(line("rooms.max = 10 ").ends_with("# parvis.toml:3"), "{shown}");
    assert!(line("rooms.guests = false").ends_with("# default"), "{shown}");
    assert!(line("http.listen = \"127.0.0.1:7880\"").ends_with("# default"), "{shown}");
    assert!(line("keys = [\"main\"]").ends_with("# parvis.toml:4"), "{shown}");
    assert!(!shown.contains("0123456789abcdef"), "{shown}");
}
