// SPDX-License-Identifier: EUPL-1.2
//! `parvis recording`, as an operator meets it: which recordings there are, that they go when their time is over or somebody says
//! so, and the media worker's commands.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use common::{ANY_PORTS, Directory, Server, parvis, text, until};
use livekit_protocol::{EgressInfo, EgressStatus, FileInfo};
use parvis_store::{Store, StoreConfig, TenantId};
use sqlx::{Connection, Executor};

const KEY: &str = "[[keys]]\nname = \"main\"\nsecret = \"0123456789abcdef0123456789abcdef\"\n";

fn configuration(directory: &Directory, recording: &str) -> String {
    let data = directory.path("data");
    directory
        .write("parvis.toml", &format!("[data]\ndirectory = \"{data}\"\n[recording]\n{recording}\n{KEY}"))
}

/// Records of recordings with their files, as a server leaves them.
async fn fill(directory: &Directory, recordings: &[(&str, &str, EgressStatus)]) {
    let data = directory.0.join("data");
    std::fs::create_dir_all(&data).unwrap();
    let store = Store::open(StoreConfig::new("", &data)).await.unwrap();
    for (tenant, id, status) in recordings {
        put(&store, directory, &TenantId::new(*tenant), id, *status).await;
    }
    store.close().await;
}

async fn put(store: &Store, directory: &Directory, tenant: &TenantId, id: &str, status: EgressStatus) {
    let folder = directory.0.join("data/recordings").join(tenant.as_str()).join(id);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("manifest.json"), "{}").unwrap();
    std::fs::write(folder.join("TR_1-000.mkv.age"), "x".repeat(1_500)).unwrap();
    let file = |name: &str, size| FileInfo { filename: name.to_owned(), size, ..FileInfo::default() };
    let failed = status == EgressStatus::EgressFailed;
    let egress = EgressInfo {
        egress_id: id.to_owned(),
        room_name: "atelier".to_owned(),
        status: status.into(),
        started_at: 1_795_819_800_000_000_000,
        ended_at: if status == EgressStatus::EgressActive { 0 } else { 1_795_823_520_000_000_000 },
        error: if failed { "the media worker died: \u{1b}[31msignal 9".to_owned() } else { String::new() },
        file_results: vec![file("TR_1-000.mkv.age", 1_500), file("manifest.json", 2)],
        ..EgressInfo::default()
    };
    store.create_egress(tenant, &egress).await.unwrap();
}

/// `parvis recording`, by this configuration.
fn recording(arguments: &[&str], config: &str) -> Output {
    parvis(&[["recording"].as_slice(), arguments, ["--config", config].as_slice()].concat())
}

fn lines(output: &Output) -> Vec<serde_json::Value> {
    text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn recordings_are_listed_shown_and_erased() {
    let directory = Directory::new("recordings");
    let config = configuration(&directory, "retention = 90");
    let run = |arguments: &[&str]| recording(arguments, &config);
    assert_eq!(text(&run(&["list"]).stdout), "no recordings");
    fill(
        &directory,
        &[
            ("default", "EG_1", EgressStatus::EgressComplete),
            ("default", "EG_2", EgressStatus::EgressActive),
            ("default", "EG_3", EgressStatus::EgressFailed),
        ],
    )
    .await;
    let listed = run(&["list"]);
    assert!(listed.stderr.is_empty(), "{}", text(&listed.stderr));
    let expected = "RECORDING  ROOM     STARTED (UTC)       LENGTH  FILES    SIZE  STATE\n\
                    EG_1       atelier  2026-11-27 22:50  1 h 02 m      2  1.5 kB  complete\n\
                    EG_2       atelier  2026-11-27 22:50         -      2  1.5 kB  active\n\
                    EG_3       atelier  2026-11-27 22:50  1 h 02 m      2  1.5 kB  failed: the media worker died: \u{fffd}[31msignal 9";
    assert_eq!(text(&listed.stdout), expected);
    assert_eq!(text(&run(&["list", "--room", "cellar"]).stdout), "no recordings");
    let listed = lines(&run(&["list", "--json", "--tenant", "default"]));
    let until: Vec<_> = listed.iter().map(|line| line["kept_until_ms"].as_i64()).collect();
    assert_eq!(until, [Some(1_803_599_520_000), None, Some(1_803_599_520_000)]);

    let shown = text(&run(&["show", "EG_1"]).stdout);
    let folder = directory.path("data/recordings/default/EG_1");
    for line in [
        "state         complete",
        "ended         2026-11-27 23:52 UTC",
        "files         2, 1.5 kB",
        "kept until    2027-02-25 23:52 UTC",
        &format!("directory     {folder}"),
        "      1.5 kB  TR_1-000.mkv.age",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "no {line:?} in\n{shown}");
    }

    let refused = run(&["erase", "EG_2"]);
    assert_eq!((refused.status.code(), text(&refused.stdout).as_str()), (Some(1), ""));
    assert!(text(&refused.stderr).contains("EG_2 goes on: stop it first"), "{}", text(&refused.stderr));
    assert_eq!(text(&run(&["erase", "EG_1"]).stdout), "EG_1 erased: 2 files, 1.5 kB");
    assert!(!directory.0.join("data/recordings/default/EG_1").exists());
    assert!(directory.0.join("data/recordings/default/EG_2/manifest.json").exists());
    let log = text(&parvis(&["audit", "export", "--config", &config]).stdout);
    let said = log.lines().find(|line| line.contains("recording.erase")).unwrap_or_else(|| panic!("{log}"));
    assert!(said.contains("recording:EG_1") && said.contains("operator"), "{said}");
    let again = text(&run(&["erase", "EG_1"]).stderr);
    assert!(again.starts_with("parvis: EG_1 was erased already: ") && again.ends_with("(asked)"), "{again}");
    let erased = &lines(&run(&["show", "EG_1", "--json"]))[0];
    assert_eq!((&erased["state"], &erased["why"]), (&"erased".into(), &"asked".into()));
    assert_eq!((&erased["ended_ms"], &erased["bytes"]), (&1_795_823_520_000_i64.into(), &1_502.into()));
    assert!(
        text(&run(&["list"]).stdout).lines().any(|line| line.contains("EG_1") && line.ends_with("(asked)"))
    );
    for id in ["EG_9", "../EG_2", ""] {
        for command in ["show", "erase"] {
            let unknown = run(&[command, id]);
            assert!(!unknown.status.success(), "{command} {id}");
            let said = text(&unknown.stderr);
            assert!(said.contains("there is no recording") && said.contains("recording list"), "{said}");
        }
    }
}

#[tokio::test]
async fn an_id_of_two_organisations_is_not_guessed_at() {
    let directory = Directory::new("recordings-tenants");
    let config = configuration(&directory, "");
    let run = |arguments: &[&str]| recording(arguments, &config);
    let complete = EgressStatus::EgressComplete;
    fill(&directory, &[("acme", "EG_1", complete), ("default", "EG_1", complete)]).await;
    let refused = text(&run(&["erase", "EG_1"]).stderr);
    assert!(refused.ends_with("have a recording EG_1: acme, default; say --tenant"), "{refused}");
    let head = "RECORDING  ROOM     STARTED (UTC)       LENGTH  FILES    SIZE  STATE     ORGANISATION";
    assert!(text(&run(&["list"]).stdout).starts_with(head), "{}", text(&run(&["list"]).stdout));
    assert!(run(&["erase", "EG_1", "--tenant", "acme"]).status.success());
    assert!(!directory.0.join("data/recordings/acme/EG_1").exists());
    assert!(directory.0.join("data/recordings/default/EG_1").exists());
    assert!(text(&run(&["show", "EG_1", "--tenant", "default"]).stdout).contains("state         complete"));
}

#[tokio::test]
async fn a_server_erases_what_is_past_its_time_and_says_so() {
    let directory = Directory::new("recordings-retention");
    let config = configuration(&directory, "retention = 30");
    let complete = EgressStatus::EgressComplete;
    fill(&directory, &[("default", "EG_1", complete), ("default", "EG_2", complete)]).await;
    let file = format!("sqlite://{}", directory.path("data/parvis.db"));
    let mut database = sqlx::SqliteConnection::connect(&file).await.unwrap();
    database.execute("UPDATE egresses SET updated_ms = 1 WHERE id = 'EG_1'").await.unwrap();
    database.close().await.unwrap();

    let metrics = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let listen = metrics.to_string();
    let arguments = ["--config", &config, "--metrics", &listen];
    let server = Server::start("", "info", &[arguments.as_slice(), &ANY_PORTS].concat());
    let line = server.wait_for_log("past its time and was erased");
    assert!(line.contains("EG_1"), "{line}");
    assert!(!directory.0.join("data/recordings/default/EG_1").exists());
    assert!(directory.0.join("data/recordings/default/EG_2/manifest.json").exists());
    let list = || lines(&parvis(&["recording", "list", "--json", "--config", &config]));
    let states: Vec<(String, String)> =
        list().iter().map(|line| (line["id"].to_string(), line["why"].to_string())).collect();
    let pair = |id: &str, why: &str| (id.to_owned(), why.to_owned());
    assert_eq!(states, [pair("\"EG_1\"", "\"retention\""), pair("\"EG_2\"", "null")]);
    until("the metrics say so", || {
        let page = common::get(metrics, "/metrics").map(|(_, page)| page).unwrap_or_default();
        page.lines().any(|line| line == "parvis_recordings_erased_total 1")
    });
    drop(server);

    let config = configuration(&directory, "retention = \"30d\"");
    let refused = text(&parvis(&["recording", "list", "--config", &config]).stderr);
    assert!(refused.contains("recording.retention: ") && refused.contains("from 0 to 36500"), "{refused}");
}

#[test]
fn the_media_worker_s_commands_find_a_recording_by_its_id() {
    let directory = Directory::new("recordings-by-id");
    let worker = directory.write("worker", "#!/bin/sh\nprintf '[%s]' \"$@\"\n");
    std::fs::set_permissions(&worker, PermissionsExt::from_mode(0o755)).unwrap();
    let config = configuration(&directory, &format!("worker = \"{worker}\""));
    for folder in ["acme/EG_1", "acme/EG_2", "default/EG_2"] {
        std::fs::create_dir_all(directory.0.join("data/recordings").join(folder)).unwrap();
    }
    let run = |arguments: &[&str]| {
        parvis(&[["recording", "compose", "--config", &config].as_slice(), arguments].concat())
    };
    let of = |id: &str| text(&run(&["--identity", "key.txt", id, "EG_1"]).stdout);
    let folder = directory.path("data/recordings/acme/EG_1");
    assert_eq!(of("EG_1"), format!("[compose][--identity][key.txt][{folder}][EG_1]"), "the first only");
    assert_eq!(of("EG_9"), "[compose][--identity][key.txt][EG_9][EG_1]", "it says that there is none");
    let several = run(&["EG_2"]);
    let said = text(&several.stderr);
    assert!(
        !several.status.success() && said.contains("several organisations have a recording EG_2"),
        "{said}"
    );
    assert!(said.contains("recordings/acme/EG_2") && said.contains("recordings/default/EG_2"), "{said}");
}

#[test]
fn the_media_worker_s_commands_are_started_with_the_same_arguments() {
    let directory = Directory::new("recordings-worker");
    let worker = directory.write("worker", "#!/bin/sh\nprintf '[%s]' \"$@\"\nexit 3\n");
    let config = configuration(&directory, &format!("worker = \"{worker}\""));
    let refused = parvis(&["recording", "verify", "--config", &config, "kept"]);
    assert_eq!(refused.status.code(), Some(1));
    let said = text(&refused.stderr);
    assert!(
        said.starts_with(&format!("parvis: recording.worker: {worker} is no file that can be run: ")),
        "{said}"
    );

    std::fs::set_permissions(&worker, PermissionsExt::from_mode(0o755)).unwrap();
    let of_recordings =
        ["verify", "decrypt", "recover", "export", "compose"].map(|command| ("recording", command));
    for (group, command) in of_recordings.into_iter().chain([("media", "probe")]) {
        let run = |arguments: &[&str]| {
            let output = parvis(&[[group, command, "--config", &config].as_slice(), arguments].concat());
            assert_eq!(output.status.code(), Some(3), "its own status: {}", text(&output.stderr));
            text(&output.stdout)
        };
        // A probe tries what the configuration has composers take.
        let own = if command == "probe" { "[--encoder][auto]" } else { "" };
        let told = run(&["a b", "--identity", "key.txt", "--to", "", "--config"]);
        assert_eq!(told, format!("[{command}][a b][--identity][key.txt][--to][][--config]{own}"));
        assert_eq!(
            run(&["--identity", "key.txt", "kept"]),
            format!("[{command}][--identity][key.txt][kept]{own}")
        );
        assert_eq!(run(&["--help"]), format!("[{command}][--help]{own}"));
        assert_eq!(run(&["-h"]), format!("[{command}][-h]{own}"));
    }
}
