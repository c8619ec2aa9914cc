// SPDX-License-Identifier: EUPL-1.2
//! Recordings in a storage, against a real one: Versity's S3 gateway, whose buckets are folders. `cargo xtask test` installs it
//! below target/go.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use livekit_protocol::{EgressStatus, FileInfo};
use parvis_api::{Api, ApiConfig, Keys, Metrics};
use parvis_store::EraseReason;

use super::super::film::tests::Nobody;
use super::super::kept::{self, EraseError};
use super::super::stores::Home;
use super::remote::PART_BYTES;
use super::*;

const PATIENCE: Duration = Duration::from_secs(60);

/// The storage: a process that a test may kill, and start anew.
struct Gateway {
    root: PathBuf,
    port: u16,
    process: Option<Child>,
}

impl Gateway {
    fn start(home: &Home) -> Gateway {
        let root = home.folder.join("storage");
        fs::create_dir_all(root.join("meetings")).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut gateway = Gateway { root, port, process: None };
        gateway.rise();
        gateway
    }

    fn rise(&mut self) {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/go/bin/versitygw");
        let address = format!("127.0.0.1:{}", self.port);
        let started = Command::new(&program)
            .args(["--port", &address, "--access", "AKIA", "--secret", "hush", "--quiet", "posix"])
            .arg(&self.root)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let why = "has no S3 gateway to test with: `cargo xtask test` installs it";
        self.process = Some(started.unwrap_or_else(|error| panic!("{} {why}: {error}", program.display())));
        let since = Instant::now();
        while TcpStream::connect(&address).is_err() {
            assert!(since.elapsed() < PATIENCE, "the gateway does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn fall(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Where a recording's files lie there.
    fn folder(&self, id: &str) -> PathBuf {
        self.root.join("meetings/kept/default").join(id)
    }

    /// Files of uploads in parts that are not whole.
    fn unfinished(&self) -> usize {
        fn count(folder: &Path) -> usize {
            let entries = fs::read_dir(folder).into_iter().flatten().map(Result::unwrap);
            entries.map(|entry| if entry.path().is_dir() { count(&entry.path()) } else { 1 }).sum()
        }
        count(&self.root.join("meetings/.sgwtmp/multipart"))
    }

    /// Status, and body, of what a URL leads to.
    fn get(&self, url: &str) -> (u16, Vec<u8>) {
        let host = format!("127.0.0.1:{}", self.port);
        let path = url.strip_prefix(&format!("http://{host}")).unwrap();
        let mut stream = TcpStream::connect(&host).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let status = String::from_utf8_lossy(&answer[9..12]).parse().unwrap();
        (status, answer.split_off(end + 4))
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.fall();
    }
}

/// A server's half.
struct Desk {
    directory: PathBuf,
    store: Store,
    api: Api,
    own: TenantId,
    settings: StorageSettings,
}

impl Desk {
    async fn new(home: &Home, gateway: &Gateway) -> Desk {
        let keys = vec![("main".to_owned(), "0123456789abcdef0123456789abcdef".to_owned())];
        let keys = Keys::new(keys, PATIENCE, false).unwrap();
        let metrics = Metrics::new(Vec::new()).unwrap();
        let api = Api::new(ApiConfig::default(), keys, Arc::new(Nobody), metrics);
        let store = home.open().await;
        api.keep(store.clone());
        let settings = StorageSettings {
            endpoint: format!("http://127.0.0.1:{}", gateway.port),
            region: "us-east-1".to_owned(),
            bucket: "meetings".to_owned(),
            prefix: "kept".to_owned(),
            key_id: "AKIA".to_owned(),
            secret: "hush".to_owned(),
            token: String::new(),
            requested: false,
            path_style: true,
            keep_local: true,
            parallel: 2,
        };
        Desk { directory: home.folder.join("recordings"), store, api, own: TenantId::default(), settings }
    }

    /// A recording of these files, as its task leaves it.
    async fn record(&self, id: &str, files: &[(&str, Vec<u8>)]) {
        let folder = self.folder(id);
        fs::create_dir_all(&folder).unwrap();
        for (name, content) in files {
            fs::write(folder.join(name), content).unwrap();
        }
        let file = |(name, content): &(&str, Vec<u8>)| FileInfo {
            filename: (*name).to_owned(),
            location: format!("{id}/{name}"),
            size: content.len() as i64,
            ..FileInfo::default()
        };
        let egress = EgressInfo {
            egress_id: id.to_owned(),
            room_name: "atelier".to_owned(),
            status: EgressStatus::EgressComplete.into(),
            started_at: 1_000_000_000,
            ended_at: 2_000_000_000,
            manifest_location: format!("{id}/manifest.json"),
            file_results: files.iter().map(file).collect(),
            ..EgressInfo::default()
        };
        self.store.create_egress(&self.own, &egress).await.unwrap();
    }

    fn folder(&self, id: &str) -> PathBuf {
        folder(&self.directory, &self.own, id).unwrap()
    }

    fn uploads(&self) -> Uploads {
        self.sending(Some(&self.settings), Requested { parallel: 2, ..Requested::default() })
    }

    fn sending(&self, own: Option<&StorageSettings>, requested: Requested) -> Uploads {
        let remote = own.map(|settings| Remote::new(settings.clone()).unwrap());
        Uploads::new(remote, requested, self.directory.clone(), self.store.clone(), self.api.recorders())
    }

    async fn erase(&self, id: &str, remote: Option<&Remote>) -> Result<u64, EraseError> {
        let which = (&self.own, id);
        let erased =
            kept::erase(&self.store, (&self.directory, remote), which, EraseReason::Asked, 9_000).await;
        erased.map(|erasure| erasure.files)
    }
}

fn figure(uploads: &Uploads, name: &str) -> f64 {
    uploads.figures()().iter().find(|sample| sample.name == name).unwrap().value
}

/// Bytes that differ from part to part.
fn bytes(count: u64) -> Vec<u8> {
    (0..count).map(|at| (at / 251 + at % 251) as u8).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storage_that_dies_in_mid_upload_loses_nothing_and_gets_the_rest() {
    let home = Home::sqlite();
    let mut gateway = Gateway::start(&home);
    let desk = Desk::new(&home, &gateway).await;
    let film = bytes(6 * PART_BYTES + 5);
    desk.record("EG_1", &[("film.mp4", film.clone()), ("manifest.json", b"{}".to_vec())]).await;
    fs::write(desk.folder("EG_1").join(".keep_days"), "7").unwrap();
    let ended_ms = kept::millis(book::unix_nanos());

    let uploads = desk.uploads();
    let sending = tokio::spawn({
        let uploads = uploads.clone();
        async move { uploads.pass().await }
    });
    let since = Instant::now();
    let begun = loop {
        let state = State::read(&desk.folder("EG_1")).ok().flatten().unwrap_or_default();
        if let Some(upload) = state.files.get("film.mp4").filter(|upload| upload.parts.len() >= 2) {
            break upload.clone();
        }
        assert!(since.elapsed() < PATIENCE && !sending.is_finished(), "{state:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    };
    gateway.fall();
    assert_eq!(sending.await.unwrap(), 1, "it is not there");
    assert_eq!(fs::read(desk.folder("EG_1").join("film.mp4")).unwrap(), film, "it stays here");
    assert_eq!(figure(&uploads, "parvis_recording_uploads_failed_total"), 1.0);
    assert_eq!(figure(&uploads, "parvis_recordings_to_upload"), 1.0);
    let left = State::read(&desk.folder("EG_1")).unwrap().unwrap().files["film.mp4"].clone();
    assert!(left.parts.len() >= begun.parts.len() && left.parts.len() < 7 && !left.done, "{left:?}");
    assert_eq!(left.id, begun.id);
    let location = |egress: EgressInfo| egress.file_results[0].location.clone();
    let record = desk.store.egress(&desk.own, "EG_1").await.unwrap().unwrap();
    assert_eq!(location(record), "EG_1/film.mp4", "nobody is sent where it is not");

    // Both start anew.
    gateway.rise();
    let uploads = desk.uploads();
    assert_eq!(uploads.pass().await, 0);
    assert_eq!(fs::read(gateway.folder("EG_1").join("film.mp4")).unwrap(), film);
    assert_eq!(gateway.unfinished(), 0, "the upload that had begun became the file, and no other began");
    let mut there: Vec<_> =
        fs::read_dir(gateway.folder("EG_1")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    there.sort();
    assert_eq!(there, ["film.mp4", "manifest.json"], "and nothing of the server's own");
    let record = desk.store.egress(&desk.own, "EG_1").await.unwrap().unwrap();
    let endpoint = &desk.settings.endpoint;
    assert_eq!(record.manifest_location, format!("{endpoint}/meetings/kept/default/EG_1/manifest.json"));
    assert_eq!(location(record), format!("{endpoint}/meetings/kept/default/EG_1/film.mp4"));
    let ended = desk.store.ended_egresses(ended_ms).await.unwrap();
    assert_eq!(ended.len(), 1, "for how long it is kept counts from its end, not from when it was sent");
    for (name, value) in [
        ("parvis_recordings_uploaded_total", 1.0),
        ("parvis_recording_upload_bytes_total", film.len() as f64 + 2.0),
        ("parvis_recordings_to_upload", 0.0),
    ] {
        assert_eq!(figure(&uploads, name), value, "{name}");
    }
    assert_eq!(uploads.pass().await, 0);
    assert_eq!(figure(&uploads, "parvis_recording_upload_files_total"), 2.0, "once");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_only_there_is_fetched_by_a_link_and_erased_when_the_storage_does_it() {
    let home = Home::sqlite();
    let mut gateway = Gateway::start(&home);
    let mut desk = Desk::new(&home, &gateway).await;
    desk.settings.keep_local = false;
    desk.record("EG_1", &[("manifest.json", b"{}".to_vec()), ("TR_1-000.mkv.age", bytes(100_000))]).await;
    desk.record("EG_2", &[("manifest.json", b"{}".to_vec())]).await;
    let uploads = desk.uploads();
    assert_eq!(uploads.pass().await, 0);
    let here = desk.folder("EG_1");
    assert!(!here.join("manifest.json").exists() && !here.join("TR_1-000.mkv.age").exists());

    let remote = Remote::new(desk.settings.clone()).unwrap();
    let link = async |name: &str| signed(&remote, (&desk.own, "EG_1"), (&here, name)).await;
    let url = link("TR_1-000.mkv.age").await.unwrap();
    assert!(url.contains("X-Amz-Expires=60"), "{url}");
    assert_eq!(gateway.get(&url), (200, bytes(100_000)));
    let (bare, _) = url.split_once('?').unwrap();
    assert_eq!(gateway.get(bare).0, 403, "nobody else");
    assert_eq!(link("other.mkv").await, None);

    // Who has no storage configured, or another one, erases nothing and says so.
    let foreign = desk.erase("EG_1", None).await.unwrap_err().to_string();
    assert!(foreign.starts_with("EG_1: its files lie in http://127.0.0.1:"), "{foreign}");
    gateway.fall();
    assert!(matches!(desk.erase("EG_1", Some(&remote)).await, Err(EraseError::Storage { .. })));
    assert!(desk.store.egress(&desk.own, "EG_1").await.unwrap().is_some(), "its record stays");
    assert!(here.exists() && gateway.folder("EG_1").join("manifest.json").exists());
    gateway.rise();
    assert_eq!(desk.erase("EG_1", Some(&remote)).await.unwrap(), 2);
    assert!(!here.exists() && !gateway.folder("EG_1").join("manifest.json").exists());
    assert!(gateway.folder("EG_2").join("manifest.json").exists(), "another one's stay");
    assert!(desk.store.erasure(&desk.own, "EG_1").await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_erased_while_it_is_sent_leaves_nothing_there() {
    let home = Home::sqlite();
    let gateway = Gateway::start(&home);
    let desk = Desk::new(&home, &gateway).await;
    desk.record("EG_1", &[("film.mp4", bytes(6 * PART_BYTES)), ("manifest.json", b"{}".to_vec())]).await;
    let uploads = desk.uploads();
    let sending = tokio::spawn({
        let uploads = uploads.clone();
        async move { uploads.pass().await }
    });
    let since = Instant::now();
    while gateway.unfinished() == 0 {
        assert!(since.elapsed() < PATIENCE && !sending.is_finished());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let remote = Remote::new(desk.settings.clone()).unwrap();
    desk.erase("EG_1", Some(&remote)).await.unwrap();
    sending.await.unwrap();
    assert!(!desk.folder("EG_1").exists() && !gateway.folder("EG_1").join("film.mp4").exists());
    assert_eq!(gateway.unfinished(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_come_as_they_are_made_and_their_playlist_after_them() {
    let home = Home::sqlite();
    let mut gateway = Gateway::start(&home);
    let mut desk = Desk::new(&home, &gateway).await;
    desk.settings.keep_local = false;
    let (here, there) = (desk.folder("EG_1"), gateway.folder("EG_1"));
    let remote = Remote::new(desk.settings.clone()).unwrap();
    let to = Destination {
        remote: remote.clone(),
        tenant: desk.own.clone(),
        egress: "EG_1".to_owned(),
        folder: here.clone(),
    };
    assert_eq!(to.url("a.m3u8"), format!("{}/meetings/kept/default/EG_1/a.m3u8", desk.settings.endpoint));
    gateway.fall();
    let counts = Arc::new(FlowCounts::default());
    let flow = Flow::start(to, Arc::clone(&counts));
    fs::create_dir_all(&here).unwrap();
    let write = |number: u64| {
        let name = format!("a-360_{number:05}.m4s");
        fs::write(here.join(&name), bytes(1_000 + number)).unwrap();
        name
    };
    let playlist = |last: u64| vec![("a.m3u8".to_owned(), bytes::Bytes::from(format!("#{last}")))];
    for number in 0..70 {
        flow.add(vec![write(number)], playlist(number));
    }
    until("a try that failed", || counts.failed.load(Ordering::Relaxed) > 0).await;
    assert_eq!(counts.waiting.load(Ordering::Relaxed), 70, "all of them stay here");
    assert_eq!(
        State::read(&here).unwrap().unwrap().place,
        remote.place(),
        "whoever erases it knows of the storage"
    );
    gateway.rise();
    until("the playlist", || fs::read(there.join("a.m3u8")).is_ok_and(|text| text == b"#69")).await;
    for number in 0..70 {
        assert_eq!(fs::read(there.join(format!("a-360_{number:05}.m4s"))).unwrap(), bytes(1_000 + number));
    }
    assert_eq!(counts.waiting.load(Ordering::Relaxed), 0);
    assert_eq!(counts.files.load(Ordering::Relaxed), 71, "of the playlist the newest");
    let noted = State::read(&here).unwrap().unwrap();
    assert_eq!(noted.files.len(), 64, "not each is written down, but after so many all are");
    assert!(!here.join("a-360_00000.m4s").exists() && here.join("a-360_00069.m4s").exists());

    let (status, _) =
        gateway.get(&signed(&remote, (&desk.own, "EG_1"), (&here, "a-360_00000.m4s")).await.unwrap());
    assert_eq!(status, 200);
    flow.add(vec!["gone.m4s".to_owned(), write(70)], playlist(70));
    flow.end(PATIENCE).await;
    assert_eq!(fs::read(there.join("a.m3u8")).unwrap(), b"#70", "one that is gone here stops nothing");
    assert_eq!(State::read(&here).unwrap().unwrap().files.len(), 71);

    // What is left then goes as the rest of a recording.
    desk.record("EG_1", &[("a.m3u8", b"#END".to_vec())]).await;
    let uploads = desk.uploads();
    assert_eq!(uploads.pass().await, 0);
    assert_eq!(fs::read(there.join("a.m3u8")).unwrap(), b"#END");
    assert_eq!(
        figure(&uploads, "parvis_recording_upload_files_total"),
        1.0,
        "what lies there is not sent again"
    );
    assert!(!here.join("a-360_00069.m4s").exists() && !here.join("a.m3u8").exists());
    desk.erase("EG_1", Some(&remote)).await.unwrap();
    assert!(fs::read_dir(&there).map_or(true, |mut left| left.next().is_none()), "erased there, too");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storage_that_is_down_keeps_no_stream_from_its_end() {
    let home = Home::sqlite();
    let mut gateway = Gateway::start(&home);
    let desk = Desk::new(&home, &gateway).await;
    gateway.fall();
    let folder = desk.folder("EG_1");
    let remote = Remote::new(desk.settings.clone()).unwrap();
    let to =
        Destination { remote, tenant: desk.own.clone(), egress: "EG_1".to_owned(), folder: folder.clone() };
    let counts = Arc::new(FlowCounts::default());
    let flow = Flow::start(to, Arc::clone(&counts));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("a-360_00000.m4s"), b"segment").unwrap();
    flow.add(
        vec!["a-360_00000.m4s".to_owned()],
        vec![("a.m3u8".to_owned(), bytes::Bytes::from_static(b"#"))],
    );
    let since = Instant::now();
    flow.end(Duration::from_millis(300)).await;
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
    assert_eq!(counts.waiting.load(Ordering::Relaxed), 0, "it is no stream's any more");
    gateway.rise();
    desk.record("EG_1", &[("a-360_00000.m4s", b"segment".to_vec()), ("a.m3u8", b"#END".to_vec())]).await;
    assert_eq!(desk.uploads().pass().await, 0);
    assert_eq!(fs::read(gateway.folder("EG_1").join("a-360_00000.m4s")).unwrap(), b"segment");
}

async fn until(what: &str, so: impl Fn() -> bool) {
    let since = Instant::now();
    while !so() {
        assert!(since.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_check_writes_there_comes_back_and_is_gone_and_a_wrong_key_is_told() {
    let home = Home::sqlite();
    let gateway = Gateway::start(&home);
    let desk = Desk::new(&home, &gateway).await;
    let there = || fs::read_dir(gateway.root.join("meetings/kept")).map_or(0, Iterator::count);
    let before = there();
    Remote::new(desk.settings.clone()).unwrap().rehearse(vec![7; 70_000].into()).await.unwrap();
    assert_eq!(there(), before, "nothing is left");
    let wrong = StorageSettings { secret: "shout".to_owned(), ..desk.settings.clone() };
    let refused = Remote::new(wrong).unwrap().rehearse(vec![7; 10].into()).await.unwrap_err();
    assert!(matches!(refused, RemoteError::Storage(_)), "{refused}");
    assert_eq!(there(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_request_has_sent_elsewhere_lies_there_alone_and_its_key_is_forgotten() {
    use livekit_protocol as proto;

    let home = Home::sqlite();
    let gateway = Gateway::start(&home);
    let theirs = gateway.root.join("theirs");
    fs::create_dir_all(&theirs).unwrap();
    let desk = Desk::new(&home, &gateway).await;
    let endpoint = desk.settings.endpoint.clone();
    let allowed = vec![Allowed { endpoint: endpoint.clone(), bucket: "theirs".to_owned() }];
    let requested = Requested { allowed, keep_local: false, parallel: 2 };
    let film = bytes(PART_BYTES + 5);
    let ask = async |id: &str, secret: &str| {
        desk.record(id, &[("film.mp4", film.clone()), ("manifest.json", b"{}".to_vec())]).await;
        let s3 = proto::S3Upload {
            endpoint: endpoint.clone(),
            bucket: "theirs".into(),
            access_key: "AKIA".into(),
            secret: secret.into(),
            force_path_style: true,
            ..Default::default()
        };
        let file = proto::EncodedFileOutput {
            output: Some(proto::encoded_file_output::Output::S3(s3)),
            ..Default::default()
        };
        let request = proto::RoomCompositeEgressRequest { file_outputs: vec![file], ..Default::default() };
        let mut egress = desk.store.egress(&desk.own, id).await.unwrap().unwrap();
        egress.request = Some(proto::egress_info::Request::RoomComposite(request));
        desk.store.update_egress(&desk.own, &egress).await.unwrap();
    };
    ask("EG_1", "hush").await;
    ask("EG_2", "shout").await;
    desk.record("EG_3", &[("film.mp4", b"own".to_vec())]).await;
    let uploads = desk.sending(Some(&desk.settings), requested.clone());
    assert_eq!(uploads.pass().await, 0, "whose key is wrong keeps nobody else waiting");

    assert_eq!(fs::read(theirs.join("default/EG_1/film.mp4")).unwrap(), film, "whole");
    assert!(!gateway.folder("EG_1").exists(), "and not in the operator's");
    assert!(!desk.folder("EG_1").join("film.mp4").exists(), "nor here any more");
    assert_eq!(fs::read(gateway.folder("EG_3").join("film.mp4")).unwrap(), b"own");
    let record = desk.store.egress(&desk.own, "EG_1").await.unwrap().unwrap();
    assert_eq!(record.file_results[0].location, format!("{endpoint}/theirs/default/EG_1/film.mp4"));
    let text = serde_json::to_string(&record).unwrap();
    assert!(!text.contains("hush") && !text.contains("AKIA") && text.contains("theirs"), "{text}");

    assert!(!theirs.join("default/EG_2/film.mp4").exists());
    assert_eq!(fs::read(desk.folder("EG_2").join("film.mp4")).unwrap(), film, "it stays here");
    assert_eq!(figure(&uploads, "parvis_recording_uploads_failed_total"), 1.0);
    assert_eq!(uploads.pass().await, 0);
    assert_eq!(figure(&uploads, "parvis_recording_uploads_failed_total"), 1.0, "it is tried again later");
    assert_eq!(figure(&uploads, "parvis_recordings_to_upload"), 1.0);

    // A server without a storage of its own, started anew, sends it with the key that the record kept.
    ask("EG_4", "hush").await;
    assert_eq!(desk.sending(None, requested.clone()).pass().await, 0);
    assert_eq!(fs::read(theirs.join("default/EG_4/film.mp4")).unwrap(), film);
    // What came since can't be sent there any more, and goes nowhere else.
    fs::write(desk.folder("EG_1").join("late.mp4"), b"late").unwrap();
    send_again(&desk.folder("EG_1")).unwrap();
    assert_eq!(desk.uploads().pass().await, 0);
    assert!(!gateway.folder("EG_1").exists() && !theirs.join("default/EG_1/late.mp4").exists());
    // It is not this server's to erase.
    let own = Remote::new(desk.settings.clone()).unwrap();
    desk.erase("EG_1", Some(&own)).await.unwrap();
    assert!(!desk.folder("EG_1").exists() && theirs.join("default/EG_1/film.mp4").exists());
    desk.erase("EG_2", None).await.unwrap();
}
