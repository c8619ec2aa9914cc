// SPDX-License-Identifier: EUPL-1.2
//! Films with stand-ins for the composer: what becomes of records and keys, whatever it does.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use livekit_protocol as proto;
use livekit_protocol::egress_info::Request;
use parvis_age::Identity;
use parvis_api::{Api, ApiConfig, EngineError, FilmState, Forwarders, Keys, Metrics};
use parvis_jobs::{JobConfig, Protection, Quota};
use parvis_sfu::{Command, ForwarderId, RoomId};
use parvis_store::{EraseReason, Store};

use super::super::stores::Home;
use super::super::{Keep, RecordingEngine, Requested, Retention, kept};
use super::wish::Bounds;
use super::*;

const PATIENCE: Duration = Duration::from_secs(20);
const BOUNDS: Bounds = Bounds { side: 1_920, rate: 60, kbits: 8_000 };

/// Rooms without media.
pub(crate) struct Nobody;

impl Forwarders for Nobody {
    fn new_room(&self) -> Option<RoomId> {
        None
    }

    fn home(&self, _: RoomId) -> ForwarderId {
        ForwarderId(0)
    }

    fn open_part(&self, _: RoomId) -> Option<ForwarderId> {
        None
    }

    fn room_ended(&self, _: RoomId) {}

    fn command(&self, _: ForwarderId, _: Command) -> Result<(), Box<Command>> {
        Ok(())
    }

    fn is_healthy(&self) -> bool {
        true
    }
}

/// A server's half of recordings, whose composer is a script.
struct Studio {
    home: Home,
    store: Store,
    api: Api,
    settings: RecordingSettings,
    films: Films,
    own: TenantId,
}

impl Studio {
    /// `script` is what a composer does, with `$film` for the file that it is to make, `$id` for the recording, and `$log` for what it
    /// has to tell.
    async fn new(script: &str, change: impl FnOnce(&mut RecordingSettings)) -> Studio {
        let home = Home::sqlite();
        let (directory, worker) = (home.folder.join("recordings"), home.folder.join("composer"));
        let log = home.folder.join("log");
        let head = "for film; do :; done\nid=$(basename \"$(dirname \"$(dirname \"$film\")\")\")";
        let script = format!("#!/bin/sh\n{head}\nlog={}\n{script}\n", log.display());
        fs::write(&worker, script).unwrap();
        fs::set_permissions(&worker, fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir_all(&directory).unwrap();
        let film = FilmSettings {
            max: 1,
            patience: Duration::from_secs(60),
            max_restarts: 0,
            segment: Duration::from_secs(60),
            parallel: 2,
            bounds: BOUNDS,
        };
        let mut settings = RecordingSettings {
            directory,
            worker,
            unconfined: true,
            encoder: "auto".to_owned(),
            ipv4: true,
            protection: Protection::None,
            identity: None,
            name: "Recording".to_owned(),
            max_jobs: 1,
            quota: Quota::default(),
            chat_bytes: 1 << 20,
            job: JobConfig::default(),
            progress: Duration::from_secs(1),
            live: None,
            requested: Requested::default(),
            film,
        };
        change(&mut settings);
        let keys = Keys::new(
            vec![("main".to_owned(), "0123456789abcdef0123456789abcdef".to_owned())],
            PATIENCE,
            false,
        );
        let metrics = Metrics::new(Vec::new()).unwrap();
        let api = Api::new(ApiConfig::default(), keys.unwrap(), Arc::new(Nobody), metrics);
        let store = home.open().await;
        api.keep(store.clone());
        let films = Films::new(settings.clone(), api.recorders(), Arc::default());
        Studio { home, store, api, settings, films, own: TenantId::default() }
    }

    fn place(&self, id: &str) -> Place {
        Place::of(&self.settings.directory, &self.own, id).unwrap()
    }

    fn recording(&self, id: &str) -> PathBuf {
        folder(&self.settings.directory, &self.own, id).unwrap()
    }

    /// A recording as its task leaves it of which a film is to be made.
    async fn captured(&self, id: &str, status: EgressStatus) {
        let request = proto::RoomCompositeEgressRequest {
            room_name: "atelier".into(),
            layout: "grid".into(),
            file_outputs: vec![proto::EncodedFileOutput::default()],
            ..Default::default()
        };
        let mut egress = EgressInfo {
            egress_id: id.to_owned(),
            room_name: "atelier".to_owned(),
            status: EgressStatus::EgressEnding.into(),
            started_at: 1_000_000_000,
            request: Some(Request::RoomComposite(request)),
            ..EgressInfo::default()
        };
        self.store.create_egress(&self.own, &egress).await.unwrap();
        fs::create_dir_all(self.recording(id)).unwrap();
        for name in ["manifest.json", "TR_1-000.mkv"] {
            fs::write(self.recording(id).join(name), "0123456789").unwrap();
        }
        let sealed = matches!(self.settings.protection, Protection::Age { .. });
        self.place(id).make(sealed.then(|| Identity::generate().unwrap()).as_ref()).unwrap();
        egress.set_status(status);
        (egress.error, egress.ended_at) = (error_of(status).to_owned(), 5_000_000_000);
        self.place(id).set_captured(&Captured::of(&egress)).unwrap();
    }

    async fn record(&self, id: &str) -> Option<EgressInfo> {
        self.store.egress(&self.own, id).await.unwrap()
    }

    async fn until(&self, what: &str, id: &str, holds: impl Fn(&EgressInfo) -> bool) -> EgressInfo {
        let until = Instant::now() + PATIENCE;
        loop {
            let now = self.record(id).await.unwrap();
            if holds(&now) {
                return now;
            }
            assert!(Instant::now() < until, "{what}: not in time: {now:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The film of a recording that waits for nothing else, and its record at the end.
    async fn made(&self, id: &str) -> EgressInfo {
        self.films.push(self.own.clone(), id.to_owned());
        self.ended(id).await
    }

    /// The record once nothing is to be done for it any more.
    async fn ended(&self, id: &str) -> EgressInfo {
        let ended = self.until("an end", id, book::has_ended).await;
        self.idle().await;
        ended
    }

    async fn idle(&self) {
        let until = Instant::now() + PATIENCE;
        while !self.films.0.known().is_empty() {
            assert!(Instant::now() < until, "films are being made still");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.home.folder.join("log")).unwrap_or_default()
    }

    async fn until_log(&self, holds: impl Fn(&str) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !holds(&self.log()) {
            assert!(Instant::now() < until, "not in time: {}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn figure(&self, name: &str, reason: Option<&str>) -> f64 {
        let of = |sample: &&Sample| {
            sample.name == name && sample.labels.iter().map(|(_, value)| value.as_str()).next() == reason
        };
        self.films.samples().iter().find(of).unwrap().value
    }
}

fn error_of(status: EgressStatus) -> &'static str {
    if status == EgressStatus::EgressComplete { "" } else { "it lasted as long as it may" }
}

fn names(egress: &EgressInfo) -> Vec<&str> {
    egress.file_results.iter().map(|file| file.filename.as_str()).collect()
}

fn is_running(pattern: &Path) -> bool {
    let found = std::process::Command::new("pgrep").arg("-f").arg(pattern).output().unwrap();
    !found.stdout.is_empty()
}

#[tokio::test]
async fn films_are_made_one_after_the_other_and_lie_before_what_was_captured() {
    let script = "echo \"begin $id $*\" >> $log; sleep 0.3; echo film > \"$film\"; echo \"end $id\" >> $log";
    let studio = Studio::new(script, |_| {}).await;
    let ids = ["EG_3", "EG_1", "EG_2"];
    for (id, status) in ids.iter().zip([
        EgressStatus::EgressComplete,
        EgressStatus::EgressLimitReached,
        EgressStatus::EgressComplete,
    ]) {
        studio.captured(id, status).await;
        studio.films.push(studio.own.clone(), (*id).to_owned());
    }
    studio.until("a film", "EG_3", |egress| egress.details == BEING_MADE).await;
    assert_eq!(studio.record("EG_2").await.unwrap().status(), EgressStatus::EgressEnding);
    for (id, expected) in ids.iter().zip(["EGRESS_COMPLETE", "EGRESS_LIMIT_REACHED", "EGRESS_COMPLETE"]) {
        let ended = studio.ended(id).await;
        assert_eq!(ended.status().as_str_name(), expected, "it ends as its capture did");
        assert_eq!(ended.error, error_of(ended.status()));
        assert_eq!(names(&ended), ["film.mp4", "TR_1-000.mkv", "manifest.json"]);
        assert_eq!((ended.file_results[0].size, ended.file_results[0].duration), (5, 4_000_000_000));
        assert!(!studio.place(id).exists(), "nothing stays of what it took");
    }
    let log = studio.log();
    let steps: Vec<String> =
        log.lines().map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(steps, ["begin EG_3", "end EG_3", "begin EG_1", "end EG_1", "begin EG_2", "end EG_2"]);
    let wanted = "compose --job --layout grid --size 1280x720 --rate 30 --kbits 3000 --confine available --encoder auto \
                  --segment 60 --parallel 2 --captions -- ";
    assert!(log.lines().next().unwrap().contains(wanted), "{log}");
    assert_eq!(studio.figure("parvis_recording_films_made_total", None), 3.0);
    assert_eq!(studio.figure("parvis_recording_films_waiting", None), 0.0);
    assert!(studio.figure("parvis_recording_film_seconds_total", None) >= 0.9);
}

#[tokio::test]
async fn captions_that_were_made_with_a_film_lie_behind_it_sealed_as_it_is() {
    let script = "echo WEBVTT > \"${film%.mp4}.vtt\"; echo film > \"$film\"";
    let studio = Studio::new(script, |_| {}).await;
    studio.captured("EG_1", EgressStatus::EgressComplete).await;
    let ended = studio.made("EG_1").await;
    assert_eq!(names(&ended), ["film.mp4", "film.vtt", "TR_1-000.mkv", "manifest.json"]);
    assert_eq!(fs::read_to_string(studio.recording("EG_1").join("film.vtt")).unwrap(), "WEBVTT\n");

    let organisation = Identity::generate().unwrap().recipient().to_string();
    let sealed = Protection::Age { recipients: vec![organisation] };
    let script = "echo sealed > \"${film%.mp4}.vtt.age\"; echo film > \"$film.age\"";
    let studio = Studio::new(script, |settings| settings.protection = sealed).await;
    studio.captured("EG_1", EgressStatus::EgressComplete).await;
    let ended = studio.made("EG_1").await;
    assert_eq!(names(&ended)[..2], ["film.mp4.age", "film.vtt.age"]);
}

#[tokio::test]
async fn a_sealed_film_is_for_whom_the_recording_is_and_its_key_goes() {
    let organisation = Identity::generate().unwrap().recipient().to_string();
    let sealed = Protection::Age { recipients: vec![organisation.clone()] };
    let script = "echo \"$*\" >> $log\nwhile [ $1 != --identity ]; do shift; done; cat \"$2\" >> $log; echo film > \"$film.age\"";
    let studio = Studio::new(script, |settings| settings.protection = sealed).await;
    studio.captured("EG_1", EgressStatus::EgressComplete).await;
    let key = fs::read_to_string(studio.place("EG_1").key().unwrap()).unwrap();
    assert_eq!(names(&studio.made("EG_1").await), ["film.mp4.age", "TR_1-000.mkv", "manifest.json"]);
    let log = studio.log();
    assert!(
        log.contains(&format!("--seal {organisation} -- ")) && log.matches("--seal").count() == 1,
        "{log}"
    );
    assert!(key.starts_with("AGE-SECRET-KEY-1") && log.contains(&key), "it opens the capture by it");
    assert!(!log.lines().next().unwrap().contains("SECRET"), "and nobody reads it in the list of processes");
    let left =
        std::process::Command::new("grep").args(["-r", key.trim()]).arg(&studio.settings.directory).output();
    assert_eq!(String::from_utf8_lossy(&left.unwrap().stdout), "", "it is gone");
}

#[tokio::test]
async fn captures_for_films_are_sealed_for_a_key_of_their_own_whose_place_does_not_tell_it() {
    let organisation = Identity::generate().unwrap().recipient().to_string();
    let sealed = Protection::Age { recipients: vec![organisation.clone()] };
    let studio = Studio::new("", |settings| settings.protection = sealed.clone()).await;
    let engine = RecordingEngine::new(studio.settings.clone(), studio.api.recorders());
    assert_eq!(
        engine.0.prepare(&studio.own, "EG_0", false).unwrap(),
        (None, sealed),
        "without a film, without a key"
    );
    for number in 1..=32 {
        let id = format!("EG_{number}");
        let (place, protection) = engine.0.prepare(&studio.own, &id, true).unwrap();
        let Protection::Age { recipients } = protection else { panic!("{protection:?}") };
        let place = place.unwrap();
        let key = Identity::read_all(&fs::read_to_string(place.key().unwrap()).unwrap()).unwrap();
        let (own, others): (Vec<String>, Vec<String>) =
            recipients.iter().cloned().partition(|recipient| *recipient == key[0].recipient().to_string());
        assert_eq!((own.len(), others), (1, vec![organisation.clone()]));
        assert!(recipients.is_sorted(), "their order says which is greater, and nothing else");
        place.erase().unwrap();
    }
}

#[tokio::test]
async fn a_composer_that_dies_has_a_few_more_tries_and_one_that_says_why_has_none() {
    let script = "echo x >> $log; if [ $id = EG_1 ] && [ $(wc -l < $log) -gt 1 ]; then echo film > \"$film\"; exit 0; fi\n\
                  if [ $id = EG_3 ]; then echo 'parvis-media: no frame was captured' >&2; exit 1; fi\nkill -9 $$";
    let studio = Studio::new(script, |settings| settings.film.max_restarts = 1).await;
    for id in ["EG_1", "EG_2", "EG_3"] {
        studio.captured(id, EgressStatus::EgressComplete).await;
    }
    assert_eq!(studio.made("EG_1").await.status(), EgressStatus::EgressComplete);
    assert_eq!(
        (studio.log().lines().count(), studio.figure("parvis_recording_film_restarts_total", None)),
        (2, 1.0)
    );

    let died = studio.made("EG_2").await;
    assert_eq!(died.status(), EgressStatus::EgressFailed);
    let expected = "its film could not be made: the composer died: its process ended: signal: 9 (SIGKILL); 1 others before it fared no \
                    better; what was captured is there, and `parvis recording compose` makes a film of it";
    assert_eq!(died.error, expected);
    assert_eq!(names(&died), ["TR_1-000.mkv", "manifest.json"], "what was captured is whole");
    assert!(!studio.place("EG_2").exists());

    let before = studio.log().lines().count();
    let said = studio.made("EG_3").await;
    assert!(said.error.starts_with("its film could not be made: no frame was captured; "), "{}", said.error);
    assert_eq!(studio.log().lines().count(), before + 1, "it is asked once");
    assert_eq!(studio.figure("parvis_recording_films_failed_total", Some("died")), 1.0);
    assert_eq!(studio.figure("parvis_recording_films_failed_total", Some("composer")), 1.0);
}

#[tokio::test]
async fn a_composer_that_gets_nowhere_is_ended_and_one_that_is_slow_is_not() {
    let script = "case $id in\n\
                  EG_1) exec sleep 60;;\n\
                  EG_2) while :; do :; done;;\n\
                  EG_4) ms=0; while :; do ms=$((ms + 1000)); echo \"parvis-taken-ms: $ms\" >&2; sleep 0.3; done;;\n\
                  esac\n\
                  for part in 1 2 3 4 5 6; do echo $part >> \"$film.part\"; sleep 0.4; done; mv \"$film.part\" \"$film\"";
    let studio = Studio::new(script, |settings| settings.film.patience = Duration::from_millis(1_200)).await;
    // The last one works in another unit, as it says, where nobody here sees it.
    for (id, expected) in
        [("EG_1", "it waited for 1 s"), ("EG_2", "it worked for 1 s"), ("EG_4", "it worked for 1 s")]
    {
        studio.captured(id, EgressStatus::EgressLimitReached).await;
        let ended = studio.made(id).await;
        assert_eq!(ended.status(), EgressStatus::EgressFailed);
        assert!(
            ended.error.starts_with("it lasted as long as it may; its film could not be made: "),
            "{}",
            ended.error
        );
        assert!(
            ended.error.contains(expected) && ended.error.contains("recording.film_timeout"),
            "{}",
            ended.error
        );
        let film = studio.settings.directory.join(".films/default").join(id);
        assert!(!is_running(&film), "its process is gone");
    }
    assert_eq!(studio.figure("parvis_recording_films_failed_total", Some("hung")), 3.0);
    studio.captured("EG_3", EgressStatus::EgressComplete).await;
    let slow = studio.made("EG_3").await;
    assert_eq!((slow.status(), slow.file_results[0].size), (EgressStatus::EgressComplete, 12), "{slow:?}");
}

#[tokio::test]
async fn films_whose_server_ended_are_begun_anew_at_the_next_start() {
    let script = "echo $id >> $log; if [ $(wc -l < $log) -eq 1 ]; then echo half > \"$film.part\"; exec sleep 60; fi; echo film > \"$film\"";
    let studio = Studio::new(script, |_| {}).await;
    studio.captured("EG_1", EgressStatus::EgressComplete).await;
    studio.captured("EG_2", EgressStatus::EgressComplete).await;
    for id in ["EG_1", "EG_2"] {
        studio.films.push(studio.own.clone(), id.to_owned());
    }
    studio.until_log(|log| log == "EG_1\n").await;
    tokio::time::timeout(PATIENCE, studio.films.close()).await.expect("it ends with the server");
    for id in ["EG_1", "EG_2"] {
        let record = studio.record(id).await.unwrap();
        assert_eq!(record.status(), EgressStatus::EgressEnding, "{record:?}");
        assert!(studio.place(id).captured().is_some());
    }
    assert_eq!(studio.log(), "EG_1\n", "the other was not begun");

    // What was captured when the server was killed, and what had not begun.
    studio.captured("EG_3", EgressStatus::EgressComplete).await;
    fs::remove_file(studio.settings.directory.join(".films/default/EG_3/ended.json")).unwrap();
    studio.captured("EG_4", EgressStatus::EgressComplete).await;
    fs::remove_dir_all(studio.recording("EG_4")).unwrap();
    let engine = RecordingEngine::new(studio.settings.clone(), studio.api.recorders());
    studio.api.record(Arc::new(engine.clone()));
    studio.api.recover().await.unwrap();
    engine.tidy();
    assert!(!studio.place("EG_4").exists(), "its key is not kept for nothing");
    for (id, status, error) in [
        ("EG_1", EgressStatus::EgressComplete, ""),
        ("EG_2", EgressStatus::EgressComplete, ""),
        ("EG_3", EgressStatus::EgressFailed, "the server ended while it went on"),
    ] {
        let ended = studio.ended(id).await;
        assert_eq!((ended.status(), ended.error.as_str()), (status, error), "{id}");
        assert_eq!(names(&ended)[0], "film.mp4", "{id}");
    }
    let given_up = studio.record("EG_4").await.unwrap();
    assert_eq!(given_up.status(), EgressStatus::EgressFailed);
    engine.close(PATIENCE).await;
}

#[tokio::test]
async fn a_recording_that_is_erased_ends_its_film_and_nothing_stays() {
    let script = "echo $id >> $log; while :; do echo more >> \"$film.part\"; sleep 0.1; done";
    let studio = Studio::new(script, |_| {}).await;
    for id in ["EG_1", "EG_2"] {
        studio.captured(id, EgressStatus::EgressComplete).await;
        studio.films.push(studio.own.clone(), id.to_owned());
    }
    studio.until_log(|log| log == "EG_1\n").await;
    for id in ["EG_2", "EG_1"] {
        let which = (&studio.own, id);
        let erasure = kept::erase(
            &studio.store,
            (&studio.settings.directory, None),
            which,
            EraseReason::Asked,
            9_000_000,
        );
        let erasure = erasure.await.unwrap();
        assert_eq!((erasure.files, erasure.room.as_str()), (2, "atelier"));
    }
    studio.idle().await;
    assert_eq!(studio.log(), "EG_1\n", "one that waits is not begun");
    for id in ["EG_1", "EG_2"] {
        assert_eq!(studio.record(id).await, None);
        assert!(!studio.place(id).exists() && !studio.recording(id).exists(), "{id}");
    }
    assert_eq!(studio.figure("parvis_recording_films_failed_total", Some("erased")), 1.0);
    // One that is recorded still is not erased, film or not.
    studio.captured("EG_3", EgressStatus::EgressComplete).await;
    let place = studio.place("EG_3");
    place.erase().unwrap();
    place.make(None).unwrap();
    let which = (&studio.own, "EG_3");
    let refused =
        kept::erase(&studio.store, (&studio.settings.directory, None), which, EraseReason::Asked, 9_000_000)
            .await;
    assert!(matches!(refused, Err(kept::EraseError::GoesOn(_))), "{refused:?}");
}

#[tokio::test]
async fn a_film_is_not_begun_where_the_disk_is_nearly_full() {
    let studio =
        Studio::new("echo film > \"$film\"", |settings| settings.quota.keep_free_bytes = u64::MAX).await;
    studio.captured("EG_1", EgressStatus::EgressComplete).await;
    let ended = studio.made("EG_1").await;
    assert!(ended.error.contains("recording.min_free_bytes"), "{}", ended.error);
    assert_eq!(studio.figure("parvis_recording_films_failed_total", Some("min_free_bytes")), 1.0);
}

#[tokio::test]
async fn a_film_that_waits_keeps_nothing_longer_than_it_may_be_kept() {
    let studio = Studio::new("exec sleep 60", |_| {}).await;
    studio.captured("EG_1", EgressStatus::EgressComplete).await;
    let keep = Keep { all: Some(30), ..Keep::default() };
    let retention = Retention::new(studio.store.clone(), studio.settings.directory.clone(), keep);
    // Five seconds after 1970 it ended.
    let days = |days: i64| days * 86_400_000 + 6_000;
    assert!(retention.sweep(days(29), &HashSet::new()).await.erased.is_empty());
    assert!(studio.place("EG_1").exists());
    let swept = retention.sweep(days(30), &HashSet::new()).await;
    assert_eq!((swept.erased, swept.failed.len()), (vec!["EG_1".to_owned()], 0));
    assert!(!studio.place("EG_1").exists() && !studio.recording("EG_1").exists());
    assert_eq!(studio.record("EG_1").await, None);
    let erasure = studio.store.erasure(&studio.own, "EG_1").await.unwrap().unwrap();
    assert_eq!((erasure.why, erasure.files), (EraseReason::Retention, 2));
}

impl Studio {
    /// A recording that ended without a film, sealed for these.
    async fn without_film(&self, id: &str, recipients: &[String]) -> EgressInfo {
        let egress = EgressInfo {
            egress_id: id.to_owned(),
            room_name: "atelier".to_owned(),
            status: EgressStatus::EgressComplete.into(),
            started_at: 1_000_000_000,
            ended_at: 5_000_000_000,
            file_results: vec![proto::FileInfo { filename: "TR_1-000.mkv".into(), ..Default::default() }],
            ..EgressInfo::default()
        };
        self.store.create_egress(&self.own, &egress).await.unwrap();
        fs::create_dir_all(self.recording(id)).unwrap();
        let manifest = serde_json::json!({ "format": "parvis-recording", "recipients": recipients });
        fs::write(self.recording(id).join("manifest.json"), manifest.to_string()).unwrap();
        fs::write(self.recording(id).join("TR_1-000.mkv"), "0123456789").unwrap();
        egress
    }
}

#[tokio::test]
async fn a_recording_that_ended_without_a_film_gets_one_when_it_is_asked_for() {
    let script = "echo \"$*\" >> $log; sleep 0.2; echo film > \"$film\"";
    let studio = Studio::new(script, |_| {}).await;
    let egress = studio.without_film("EG_1", &[]).await;
    assert_eq!(studio.films.state(&studio.own, &egress), FilmState::None);
    studio.films.ask(&studio.own, &egress, "speaker-dark").unwrap();
    studio.films.ask(&studio.own, &egress, "grid").unwrap();
    assert_eq!(studio.films.state(&studio.own, &egress), FilmState::BeingMade);
    studio.idle().await;
    assert_eq!(studio.log().lines().count(), 1, "who asks again gets the same one");
    assert!(
        studio.log().contains("--layout speaker ") && !studio.log().contains("--identity"),
        "{}",
        studio.log()
    );
    let record = studio.record("EG_1").await.unwrap();
    assert_eq!(record.status(), EgressStatus::EgressComplete);
    assert_eq!(names(&record), ["film.mp4", "TR_1-000.mkv"]);
    assert_eq!(
        (record.file_results[0].size, record.ended_at),
        (5, 5_000_000_000),
        "nothing else has changed"
    );
    assert_eq!(studio.films.state(&studio.own, &record), FilmState::Made);
    assert!(!studio.place("EG_1").exists());
    studio.films.ask(&studio.own, &record, "grid").unwrap();
    studio.idle().await;
    assert_eq!(studio.log().lines().count(), 1, "one that has a film needs none");
}

#[tokio::test]
async fn what_the_server_can_not_open_it_makes_no_film_of_and_says_who_can() {
    let (own, other) = (Identity::generate().unwrap(), Identity::generate().unwrap());
    let to = |identity: &Identity| vec![identity.recipient().to_string()];
    let script = "echo \"$*\" >> $log; echo film > \"$film.age\"";
    let studio = Studio::new(script, |settings| {
        settings.protection = Protection::Age { recipients: to(&own) };
    })
    .await;
    let refused = |films: &Films, egress: &EgressInfo, layout: &str| {
        let error = films.ask(&studio.own, egress, layout).unwrap_err();
        assert!(matches!(error, EngineError::Unable(_)), "{error:?}");
        error.to_string()
    };
    let sealed = studio.without_film("EG_1", &to(&own)).await;
    let told = refused(&studio.films, &sealed, "grid");
    assert!(told.contains("`parvis recording compose --config FILE EG_1 film.mp4 --identity KEY`"), "{told}");
    assert!(refused(&studio.films, &sealed, "mosaic").contains("\"mosaic\""));
    fs::remove_dir_all(studio.recording("EG_1")).unwrap();
    assert!(refused(&studio.films, &sealed, "grid").contains("not on this server's disk"));

    let key = studio.home.folder.join("key.txt");
    fs::write(&key, format!("{}\n", own.to_secret_text())).unwrap();
    let settings = RecordingSettings { identity: Some(key.clone()), ..studio.settings.clone() };
    let films = Films::new(settings, studio.api.recorders(), Arc::default());
    let foreign = studio.without_film("EG_2", &to(&other)).await;
    assert!(refused(&films, &foreign, "grid").contains("sealed for others"));
    let mine = studio.without_film("EG_3", &to(&own)).await;
    films.ask(&studio.own, &mine, "grid").unwrap();
    let until = Instant::now() + PATIENCE;
    while films.knows(&studio.own, "EG_3") {
        assert!(Instant::now() < until, "not in time");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(names(&studio.record("EG_3").await.unwrap())[0], "film.mp4.age");
    assert!(
        studio.log().contains(&format!("--identity {} --seal {} -- ", key.display(), to(&own)[0])),
        "{}",
        studio.log()
    );
    assert!(!studio.place("EG_2").exists() && !studio.place("EG_3").exists());
    let none = Films::new(
        RecordingSettings {
            film: FilmSettings { max: 0, ..studio.settings.film },
            ..studio.settings.clone()
        },
        studio.api.recorders(),
        Arc::default(),
    );
    assert!(refused(&none, &foreign, "grid").contains("recording.max_films"));
}

#[tokio::test]
async fn a_film_that_was_asked_for_afterwards_outlives_the_server_and_why_it_failed_is_told() {
    let script = "echo $id >> $log; if [ $id = EG_2 ]; then echo 'parvis-media: no frame was captured' >&2; exit 1; fi\n\
                  if [ $(wc -l < $log) -eq 1 ]; then exec sleep 60; fi; echo film > \"$film\"";
    let studio = Studio::new(script, |_| {}).await;
    let (first, second) = (studio.without_film("EG_1", &[]).await, studio.without_film("EG_2", &[]).await);
    studio.films.ask(&studio.own, &first, "").unwrap();
    studio.until_log(|log| log == "EG_1\n").await;
    studio.films.ask(&studio.own, &second, "").unwrap();
    tokio::time::timeout(PATIENCE, studio.films.close()).await.expect("it ends with the server");
    assert!(studio.place("EG_1").later().is_some() && studio.place("EG_2").later().is_some());

    let engine = RecordingEngine::new(studio.settings.clone(), studio.api.recorders());
    engine.tidy();
    let films = &engine.0.films;
    let until = Instant::now() + PATIENCE;
    while films.knows(&studio.own, "EG_1") || films.knows(&studio.own, "EG_2") {
        assert!(Instant::now() < until, "not in time");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (first, second) = (studio.record("EG_1").await.unwrap(), studio.record("EG_2").await.unwrap());
    assert_eq!(films.state(&studio.own, &first), FilmState::Made);
    assert_eq!(films.state(&studio.own, &second), FilmState::Failed("no frame was captured".to_owned()));
    assert_eq!((second.status(), names(&second)), (EgressStatus::EgressComplete, vec!["TR_1-000.mkv"]));
    assert!(!studio.place("EG_2").exists(), "nothing stays of what it took");
    engine.close(PATIENCE).await;
}

#[tokio::test]
async fn a_composer_whose_parts_died_is_followed_by_one_that_goes_on_with_them() {
    let script = "parts=\"$film.parts\"; ls \"$parts\" >> $log 2>&1\n\
                  if [ -d \"$parts\" ]; then rm -r \"$parts\"; echo film > \"$film\"; exit 0; fi\n\
                  mkdir \"$parts\"; echo part > \"$parts/sound\"; echo half > \"$film.part\"\n\
                  echo 'parvis-media: a process that made a part of it died: signal 9 (0..4)' >&2; exit 71";
    let studio = Studio::new(script, |settings| settings.film.max_restarts = 1).await;
    studio.captured("EG_1", EgressStatus::EgressComplete).await;
    let made = studio.made("EG_1").await;
    assert_eq!((made.status(), names(&made)[0]), (EgressStatus::EgressComplete, "film.mp4"));
    assert_eq!(studio.log().lines().last(), Some("sound"), "its parts are there still: {}", studio.log());
    assert_eq!(studio.figure("parvis_recording_film_restarts_total", None), 1.0);
}
