// SPDX-License-Identifier: EUPL-1.2
//! What is past its time is erased, on SQLite and on PostgreSQL, by a clock that the test holds.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use livekit_protocol::{EgressInfo, EgressStatus, FileInfo};
use parvis_store::{EraseReason, Store, TenantId};

use super::super::stores::Home;
use super::super::{book, kept};
use super::{EraseError, Keep, Retention, set_days_of_room};

const DAY_MS: i64 = 86_400_000;

fn thirty_days() -> Keep {
    Keep { all: Some(30), ..Keep::default() }
}

/// Writes a recording's record, and three files of 10 bytes each.
async fn record(store: &Store, directory: &Path, tenant: &TenantId, id: &str, status: EgressStatus) {
    let folder = super::super::folder(directory, tenant, id).unwrap();
    fs::create_dir_all(&folder).unwrap();
    for name in ["manifest.json", "TR_1-000.mkv.age", ".reserve"] {
        fs::write(folder.join(name), "0123456789").unwrap();
    }
    let file = FileInfo { filename: "TR_1-000.mkv.age".to_owned(), size: 10, ..FileInfo::default() };
    let egress = EgressInfo {
        egress_id: id.to_owned(),
        room_name: "atelier".to_owned(),
        status: status.into(),
        started_at: 1_800_000_000_000_000_000,
        ended_at: 1_800_000_060_000_000_000,
        file_results: vec![file],
        ..EgressInfo::default()
    };
    store.create_egress(tenant, &egress).await.unwrap();
}

fn now_ms() -> i64 {
    kept::millis(book::unix_nanos())
}

async fn erased(retention: &Retention, after_days: i64) -> Vec<String> {
    let mut swept = retention.sweep(now_ms() + after_days * DAY_MS, &HashSet::new()).await;
    swept.erased.sort();
    assert!(swept.failed.is_empty(), "{:?}", swept.failed);
    swept.erased
}

crate::both! {
    async fn what_is_past_its_time_is_erased_and_written_down(home: &Home) {
        let (own, other) = (TenantId::default(), TenantId::new("a b"));
        let (store, directory) = (home.open().await, home.folder.join("recordings"));
        let retention = Retention::new(store.clone(), directory.clone(), thirty_days());
        assert_eq!(erased(&retention, 31).await, [""; 0], "nothing was ever recorded");
        for (tenant, id, status) in [
            (&own, "EG_1", EgressStatus::EgressComplete),
            (&own, "EG_2", EgressStatus::EgressActive),
            (&other, "EG_3", EgressStatus::EgressFailed),
        ] {
            record(&store, &directory, tenant, id, status).await;
        }
        fs::create_dir_all(directory.join("default/films")).unwrap();
        assert_eq!(erased(&retention, 29).await, [""; 0]);
        assert!(directory.join("default/EG_1/manifest.json").exists());

        let before = now_ms();
        assert_eq!(erased(&retention, 31).await, ["EG_1", "EG_3"]);
        assert!(!directory.join("default/EG_1").exists() && !directory.join("=612062/EG_3").exists());
        assert!(directory.join("default/EG_2/manifest.json").exists(), "what goes on stays");
        assert!(directory.join("default/films").exists(), "what is not ours stays");
        assert_eq!(store.egress(&own, "EG_1").await.unwrap(), None);
        assert!(store.egress(&own, "EG_2").await.unwrap().is_some());
        let erasure = store.erasure(&own, "EG_1").await.unwrap().unwrap();
        assert_eq!((erasure.room.as_str(), erasure.why), ("atelier", EraseReason::Retention));
        assert_eq!((erasure.started_ms, erasure.ended_ms), (1_800_000_000_000, 1_800_000_060_000));
        assert_eq!((erasure.files, erasure.bytes), (3, 30));
        assert!(erasure.erased_ms >= before + 31 * DAY_MS, "{erasure:?}");
        assert!(store.erasure(&other, "EG_3").await.unwrap().is_some());
        assert_eq!(erased(&retention, 31).await, [""; 0], "once");
    }

    async fn the_shortest_of_what_server_organisation_and_room_say_counts(home: &Home) {
        let (own, other) = (TenantId::default(), TenantId::new("acme"));
        let (store, directory) = (home.open().await, home.folder.join("recordings"));
        let keep = Keep { all: Some(30), tenants: [("acme".to_owned(), 7), ("default".to_owned(), 90)].into() };
        let retention = Retention::new(store.clone(), directory.clone(), keep.clone());
        for (tenant, id, days) in [
            (&own, "EG_1", None),
            (&own, "EG_2", Some(3)),
            (&own, "EG_3", Some(60)),
            (&other, "EG_4", None),
            (&other, "EG_5", Some(2)),
            (&other, "EG_6", Some(20)),
        ] {
            record(&store, &directory, tenant, id, EgressStatus::EgressComplete).await;
            if let Some(days) = days {
                set_days_of_room(&super::super::folder(&directory, tenant, id).unwrap(), days).unwrap();
            }
        }
        // One of which there is no record any more obeys its room too.
        store.delete_egress(&own, "EG_2").await.unwrap();
        assert_eq!(erased(&retention, 1).await, [""; 0]);
        assert_eq!(erased(&retention, 2).await, ["EG_5"]);
        assert_eq!(erased(&retention, 3).await, ["EG_2"]);
        assert_eq!(erased(&retention, 6).await, [""; 0]);
        assert_eq!(erased(&retention, 7).await, ["EG_4", "EG_6"]);
        assert_eq!(erased(&retention, 29).await, [""; 0]);
        assert_eq!(keep.until_ms(&directory, (&own, "EG_1"), 1_000), Some(1_000 + 30 * DAY_MS));
        assert_eq!(keep.until_ms(&directory, (&own, "EG_1"), 0), None, "it goes on");
        assert_eq!(erased(&retention, 30).await, ["EG_1", "EG_3"]);
    }

    async fn only_what_has_a_bound_is_erased(home: &Home) {
        let (own, directory) = (TenantId::default(), home.folder.join("recordings"));
        let store = home.open().await;
        for id in ["EG_1", "EG_2"] {
            record(&store, &directory, &own, id, EgressStatus::EgressComplete).await;
        }
        set_days_of_room(&directory.join("default/EG_2"), 1).unwrap();
        let retention = Retention::new(store, directory.clone(), Keep::default());
        assert_eq!(erased(&retention, 10_000).await, ["EG_2"]);
        assert!(directory.join("default/EG_1/manifest.json").exists());
    }

    async fn what_runs_stays_whatever_its_record_says(home: &Home) {
        let (own, directory) = (TenantId::default(), home.folder.join("recordings"));
        let store = home.open().await;
        record(&store, &directory, &own, "EG_1", EgressStatus::EgressFailed).await;
        let retention = Retention::new(store, directory.clone(), thirty_days());
        let running = HashSet::from(["EG_1".to_owned()]);
        let swept = retention.sweep(now_ms() + 31 * DAY_MS, &running).await;
        assert!(swept.erased.is_empty() && swept.failed.is_empty(), "{swept:?}");
        assert!(directory.join("default/EG_1/manifest.json").exists());
        assert_eq!(erased(&retention, 31).await, ["EG_1"]);
    }

    async fn files_whose_record_had_to_give_way_are_erased_too(home: &Home) {
        let (own, directory) = (TenantId::default(), home.folder.join("recordings"));
        let store = home.open().await;
        record(&store, &directory, &own, "EG_1", EgressStatus::EgressComplete).await;
        store.delete_egress(&own, "EG_1").await.unwrap();
        let retention = Retention::new(store.clone(), directory.clone(), thirty_days());
        assert_eq!(erased(&retention, 29).await, [""; 0]);
        assert_eq!(erased(&retention, 31).await, ["EG_1"]);
        assert!(!directory.join("default/EG_1").exists());
        let erasure = store.erasure(&own, "EG_1").await.unwrap().unwrap();
        assert_eq!((erasure.room.as_str(), erasure.started_ms, erasure.files), ("", 0, 3));
        assert!((now_ms() - erasure.ended_ms).abs() < DAY_MS, "by its youngest file: {erasure:?}");
    }

    async fn what_can_t_be_erased_is_told_and_tried_again_and_the_others_go(home: &Home) {
        let (own, directory) = (TenantId::default(), home.folder.join("recordings"));
        let store = home.open().await;
        for id in ["EG_1", "EG_2", "EG_3"] {
            record(&store, &directory, &own, id, EgressStatus::EgressComplete).await;
        }
        // Moved to another disk by hand: removing the link would erase nothing.
        let (link, moved) = (directory.join("default/EG_1"), home.folder.join("moved"));
        fs::rename(&link, &moved).unwrap();
        symlink(&moved, &link).unwrap();
        let retention = Retention::new(store.clone(), directory.clone(), thirty_days());
        let later = now_ms() + 31 * DAY_MS;
        let swept = retention.sweep(later, &HashSet::new()).await;
        assert_eq!(swept.erased, ["EG_2", "EG_3"]);
        assert!(matches!(&swept.failed[..], [EraseError::Elsewhere(path)] if *path == link), "{swept:?}");
        assert!(moved.join("manifest.json").exists() && link.is_symlink());
        assert!(store.egress(&own, "EG_1").await.unwrap().is_some(), "its record stays");
        assert_eq!(store.erasure(&own, "EG_1").await.unwrap(), None);
        let figure = |name: &str| {
            let samples = retention.figures()();
            samples.iter().find(|sample| sample.name == name).unwrap().value
        };
        assert_eq!((figure("parvis_recordings_overdue"), figure("parvis_recordings_erased_total")), (1.0, 2.0));

        fs::remove_file(&link).unwrap();
        fs::rename(&moved, &link).unwrap();
        assert_eq!(erased(&retention, 31).await, ["EG_1"]);
        let failed = figure("parvis_recording_erasures_failed_total");
        assert_eq!((figure("parvis_recordings_overdue"), failed), (0.0, 1.0));
    }

    async fn a_disk_that_is_not_there_is_no_proof_that_files_are_gone(home: &Home) {
        let (own, directory) = (TenantId::default(), home.folder.join("recordings"));
        let store = home.open().await;
        record(&store, &directory, &own, "EG_1", EgressStatus::EgressComplete).await;
        let away = home.folder.join("away");
        fs::rename(&directory, &away).unwrap();
        fs::create_dir(&directory).unwrap();
        let retention = Retention::new(store.clone(), directory.clone(), thirty_days());
        let swept = retention.sweep(now_ms() + 31 * DAY_MS, &HashSet::new()).await;
        assert!(swept.erased.is_empty(), "{swept:?}");
        assert!(matches!(&swept.failed[..], [EraseError::NotThere(path)] if path.ends_with("default")), "{swept:?}");
        assert!(swept.failed[0].to_string().contains("is its disk mounted?"), "{swept:?}");
        assert!(store.egress(&own, "EG_1").await.unwrap().is_some());
        fs::remove_dir(&directory).unwrap();
        fs::rename(&away, &directory).unwrap();
        assert_eq!(erased(&retention, 31).await, ["EG_1"]);
    }
}
