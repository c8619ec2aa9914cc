// SPDX-License-Identifier: EUPL-1.2
//! What outlives the server, as its operator meets it: database, backups, webhooks that were not taken.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
/// The scratch server that the store's own tests use.
#[allow(dead_code, unreachable_pub, clippy::expect_used, clippy::print_stderr)]
#[path = "../../store/tests/common/postgres.rs"]
mod postgres;

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use common::{ANY_PORTS, Directory, PATIENCE, Server, parvis, text, until};
use futures_util::StreamExt;
use nix::sys::signal::Signal;
use sqlx::{Connection, Executor, Row};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

type Socket = WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>;

fn token(room: &str, identity: &str, name: &str) -> String {
    let made = ["token", "create", "--dev", "--room", room, "--identity", identity, "--name", name];
    text(&parvis(&made).stdout)
}

async fn join(server: &Server, token: &str) -> Socket {
    let url = format!("ws://{}/rtc?access_token={token}&protocol=16", server.address);
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    assert!(matches!(socket.next().await, Some(Ok(Message::Binary(_)))));
    socket
}

async fn database(directory: &Directory) -> sqlx::SqliteConnection {
    let file = directory.0.join("data/parvis.db");
    sqlx::SqliteConnection::connect(&format!("sqlite://{}", file.display())).await.unwrap()
}

/// Puts a room into a database, as the server's API would.
async fn put_room(directory: &Directory, name: &str) {
    let store = parvis_store::Store::open(parvis_store::StoreConfig::new("", &directory.0.join("data")))
        .await
        .unwrap();
    let room = parvis_store::RoomSettings { name: name.to_owned(), ..Default::default() };
    store.create_room(&parvis_store::TenantId::default(), &room).await.unwrap();
    store.close().await;
}

/// A configuration with one target of webhooks, where nobody listens.
fn with_webhooks(directory: &Directory) -> String {
    directory.write("main.secret", "0123456789abcdef0123456789abcdef");
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let file = format!(
        "[sessions]\nresume_timeout = \"100ms\"\n[data]\ndirectory = \"{}\"\n[webhooks]\nurls = [\"http://{nobody}/hook\"]\n\
         allow_internal = [\"{nobody}\"]\nfirst_retry = \"50ms\"\nlongest_retry = \"100ms\"\ndeadline = \"500ms\"\n\
         [[keys]]\nname = \"main\"\nsecret_file = \"main.secret\"\n",
        directory.path("data")
    );
    directory.write("parvis.toml", &file)
}

fn start(config: &str) -> Server {
    Server::start(
        "",
        "info",
        &[["--config", config, "--metrics", "127.0.0.1:0"].as_slice(), &ANY_PORTS].concat(),
    )
}

#[tokio::test]
async fn row_65_joins_and_calls_go_on_while_the_database_is_locked() {
    let directory = Directory::new("locked");
    let server = Server::dev(&directory);
    let mut ada = join(&server, &token("atelier", "ada", "Ada")).await;
    let mut intruder = database(&directory).await;
    intruder.execute("BEGIN EXCLUSIVE").await.unwrap();
    let begun = Instant::now();
    for number in 0..10 {
        let identity = format!("guest {number}");
        let _socket = join(&server, &token("atelier", &identity, &identity)).await;
    }
    let _elsewhere = join(&server, &token("a new room", "bob", "Bob")).await;
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    assert_eq!(server.get("/livez").unwrap().0, 200);
    assert_eq!(server.get("/readyz").unwrap().0, 200);
    // Ada heard of all of them.
    let mut heard = 0;
    while heard < 10 {
        let message = tokio::time::timeout(Duration::from_secs(5), ada.next()).await.unwrap();
        assert!(matches!(message, Some(Ok(Message::Binary(_)))), "{message:?}");
        heard += 1;
    }
    intruder.execute("ROLLBACK").await.unwrap();
}

#[tokio::test]
async fn row_48_a_name_with_a_line_break_makes_no_line_of_the_log() {
    let directory = Directory::new("names");
    let data = directory.path("data");
    let arguments = [["--dev", "--data", &data].as_slice(), &ANY_PORTS].concat();
    let mut server = Server::start("", "trace", &arguments);
    let socket =
        join(&server, &token("atelier", "ada", "Ada\nFORGED ERROR the server is on fire\r\nFORGED")).await;
    // Neither an identity nor a room's name may hold one: such a token is not even made.
    for (room, identity) in [("atelier", "ada\nFORGED"), ("atelier\nFORGED", "ada")] {
        assert_eq!(token(room, identity, ""), "");
    }
    let _ = server.get("/rtc/validate?access_token=%0AFORGED");
    drop(socket);
    server.signal(Signal::SIGTERM);
    server.wait();
    let log = server.logged();
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "the log is on");
    let forged: Vec<&str> = log.lines().filter(|line| line.trim_start().starts_with("FORGED")).collect();
    assert!(forged.is_empty(), "{forged:#?}");
}

#[tokio::test]
async fn a_backup_is_made_while_the_server_runs_and_restored_elsewhere() {
    let [first, second] = [Directory::new("backup"), Directory::new("restore")];
    let [data, other] = [first.path("data"), second.path("data")];
    let server = Server::dev(&first);
    put_room(&first, "atelier").await;
    let file = first.path("backup.jsonl");
    let backup =
        |more: &[&str]| parvis(&[["backup", &file, "--dev", "--data", &data].as_slice(), more].concat());
    let made = backup(&[]);
    // The audit log goes along.
    let said = text(&made.stdout);
    assert!(
        said.starts_with("backed up: ") && said.contains(" of schema 4: rooms 1, audit_"),
        "{said}{}",
        text(&made.stderr)
    );
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    drop(server);

    // Nothing is overwritten that was not named.
    let again = backup(&[]);
    assert!(!again.status.success());
    assert!(text(&again.stderr).ends_with("there is such a file already; name another, or say --replace"));
    let replaced = backup(&["--replace"]);
    assert!(replaced.status.success());
    let held = text(&replaced.stdout);
    let held = held.strip_prefix("backed up: ").unwrap();

    let verified = parvis(&["restore", &file, "--verify"]);
    assert_eq!(text(&verified.stdout), format!("whole: {held}"));
    let restore =
        |more: &[&str]| parvis(&[["restore", &file, "--dev", "--data", &other].as_slice(), more].concat());
    assert_eq!(text(&restore(&[]).stdout), format!("restored: {held}"));
    let refused = restore(&[]);
    let rows = held.split(' ').next().unwrap();
    assert!(
        text(&refused.stderr).contains(&format!("holds {rows} rows already")),
        "{}",
        text(&refused.stderr)
    );
    assert!(restore(&["--replace"]).status.success());
    let row = database(&second).await.fetch_one("SELECT id FROM rooms").await.unwrap();
    assert_eq!(row.get::<String, _>(0), "atelier");

    // One that was cut is told from one that is whole, and changes nothing.
    let bytes = std::fs::read(&file).unwrap();
    let cut = format!("line {}: the line has no end", text(&bytes).lines().count());
    std::fs::write(&file, &bytes[..bytes.len() - 5]).unwrap();
    for output in [parvis(&["restore", &file, "--verify"]), restore(&["--replace"])] {
        assert!(!output.status.success() && output.stdout.is_empty());
        assert!(text(&output.stderr).contains(&cut), "{}", text(&output.stderr));
    }
    assert_eq!(database(&second).await.fetch_all("SELECT id FROM rooms").await.unwrap().len(), 1);
    // Which of them is meant has to be said.
    assert!(!parvis(&["restore", &file]).status.success());
    assert!(!parvis(&["backup", &file]).status.success());
}

/// A target of webhooks that hangs up on everybody until it is opened; then it gives the bodies.
struct Hook {
    address: std::net::SocketAddr,
    is_open: Arc<AtomicBool>,
    bodies: mpsc::Receiver<serde_json::Value>,
}

impl Hook {
    fn closed() -> Hook {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let is_open = Arc::new(AtomicBool::new(false));
        let (sender, bodies) = mpsc::channel();
        let opened = Arc::clone(&is_open);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                if !opened.load(Ordering::SeqCst) {
                    continue;
                }
                let Some(body) = body(&stream) else { continue };
                let _ =
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                if sender.send(body).is_err() {
                    return;
                }
            }
        });
        Hook { address, is_open, bodies }
    }

    fn open(&self) {
        self.is_open.store(true, Ordering::SeqCst);
    }
}

/// The body of one request.
fn body(stream: &std::net::TcpStream) -> Option<serde_json::Value> {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            if line.trim_end().is_empty() {
                break;
            }
            continue;
        };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    serde_json::from_slice(&body).ok()
}

#[tokio::test]
async fn on_postgresql_a_webhook_outlives_a_killed_server_and_a_backup_is_told_from_a_damaged_one() {
    let Some(cluster) = postgres::Cluster::shared() else { return };
    let [url, elsewhere] = [cluster.new_database(), cluster.new_database()];
    let hook = Hook::closed();
    let [directory, other] = [Directory::new("postgres"), Directory::new("postgres-restored")];
    let configure = |directory: &Directory, url: &str| {
        let file = format!(
            "[data]\ndirectory = \"{}\"\n[database]\nurl = \"{url}\"\n[webhooks]\nurls = [\"http://{}/hook\"]\n\
             allow_internal = [\"{}\"]\nfirst_retry = \"50ms\"\nlongest_retry = \"100ms\"\n\
             [[keys]]\nname = \"main\"\nsecret = \"0123456789abcdef0123456789abcdef\"\n",
            directory.path("data"),
            hook.address,
            hook.address
        );
        directory.write("parvis.toml", &file)
    };
    let config = configure(&directory, &url);
    let run = |arguments: &[&str]| parvis(&[arguments, ["--config", &config].as_slice()].concat());
    let checked = run(&[["check", "--metrics", "127.0.0.1:0"].as_slice(), &ANY_PORTS].concat());
    assert!(checked.status.success(), "{}", text(&checked.stderr));

    let mut server = start(&config);
    let line = server.wait_for_log("serving");
    assert!(line.contains("postgres"), "{line}");
    let made = run(&["token", "create", "--room", "atelier", "--identity", "ada"]);
    let _ada = join(&server, &text(&made.stdout)).await;
    let waiting = || text(&run(&["webhooks", "list", "--waiting"]).stdout);
    until("it was tried", || {
        waiting()
            .lines()
            .any(|line| line.contains("room_started  waits after ") && !line.contains("after 0 "))
    });
    server.signal(Signal::SIGKILL);
    server.wait();
    assert!(hook.bodies.try_recv().is_err(), "nothing was taken so far");
    hook.open();
    let server = start(&config);
    let told = loop {
        let told = hook.bodies.recv_timeout(PATIENCE).expect("a webhook after the restart");
        if told["event"] == "room_started" {
            break told;
        }
    };
    assert_eq!(told["room"]["name"], "atelier");

    let tenant = parvis_store::TenantId::default();
    let open = |directory: &Directory, url: &str| {
        parvis_store::Store::open(parvis_store::StoreConfig::new(url, &directory.0.join("data")))
    };
    let store = open(&directory, &url).await.unwrap();
    let room = parvis_store::RoomSettings { name: "cellar".to_owned(), ..Default::default() };
    store.create_room(&tenant, &room).await.unwrap();
    store.close().await;
    let file = directory.path("backup.jsonl");
    let backup = run(&["backup", &file]);
    let made = text(&backup.stdout);
    let rows = made.strip_prefix("backed up: ").unwrap_or_else(|| panic!("{}", text(&backup.stderr)));
    assert!(rows.contains("rooms 1"), "{rows}");
    drop(server);
    assert_eq!(text(&parvis(&["restore", &file, "--verify"]).stdout), format!("whole: {rows}"));

    // Another database of the same kind has it all afterwards.
    let second = configure(&other, &elsewhere);
    let restored = parvis(&["restore", &file, "--config", &second]);
    assert_eq!(text(&restored.stdout), format!("restored: {rows}"), "{}", text(&restored.stderr));
    let store = open(&other, &elsewhere).await.unwrap();
    assert!(store.room(&tenant, "cellar").await.unwrap().is_some());
    store.close().await;

    let bytes = std::fs::read(&file).unwrap();
    for at in (0..bytes.len()).step_by(bytes.len() / 8) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        std::fs::write(&file, &damaged).unwrap();
        let refused = parvis(&["restore", &file, "--verify"]);
        assert!(!refused.status.success() && refused.stdout.is_empty(), "byte {at} of {}", bytes.len());
        assert!(text(&refused.stderr).contains("line "), "{}", text(&refused.stderr));
    }
}

#[tokio::test]
async fn webhooks_that_nobody_took_are_listed_resent_and_dropped() {
    let directory = Directory::new("webhooks");
    let config = with_webhooks(&directory);
    let server = start(&config);
    let made = ["token", "create", "--config", &config, "--room", "atelier", "--identity", "ada"];
    drop(join(&server, &text(&parvis(&made).stdout)).await);
    let list = |more: &[&str]| {
        text(&parvis(&[["webhooks", "list", "--config", &config].as_slice(), more].concat()).stdout)
    };
    until("both are given up", || list(&[]).lines().count() >= 2);
    let listed = list(&["--json"]);
    let events: Vec<serde_json::Value> =
        listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["room_started", "participant_connection_aborted"]);
    assert!(events[0]["problem"].as_str().unwrap().starts_with("no connection to 127.0.0.1:"), "{listed}");
    let id = events[0]["id"].as_str().unwrap();
    assert!(list(&[]).lines().next().unwrap().starts_with(&format!("{id}  room_started  given up after ")));

    let resent = parvis(&["webhooks", "resend", id, "--config", &config]);
    assert_eq!(text(&resent.stdout), "1 to be sent anew", "{}", text(&resent.stderr));
    until("it is tried and given up again", || list(&[]).lines().count() == 2);
    assert_eq!(text(&parvis(&["webhooks", "drop", id, "--config", &config]).stdout), "1 dropped");
    let unknown = parvis(&["webhooks", "drop", id, "--config", &config]);
    assert!(!unknown.status.success());
    assert!(text(&unknown.stderr).contains(&format!("no such dead event: {id}")));
    assert_eq!(text(&parvis(&["webhooks", "drop", "--all", "--config", &config]).stdout), "1 dropped");
    assert_eq!(list(&[]), "");
    assert!(!parvis(&["webhooks", "drop", "--config", &config]).status.success(), "all of them must be said");
}

#[tokio::test]
async fn what_happened_is_printed_where_it_is_kept() {
    let directory = Directory::new("events");
    directory.write("main.secret", "0123456789abcdef0123456789abcdef");
    let data = directory.path("data");
    let file = format!(
        "[data]\ndirectory = \"{data}\"\n[database]\nkeep_events = 100\n\
         [[keys]]\nname = \"main\"\nsecret_file = \"main.secret\"\n"
    );
    let config = directory.write("parvis.toml", &file);
    let server = start(&config);
    let made = ["token", "create", "--config", &config, "--room", "atelier", "--identity", "ada"];
    let _socket = join(&server, &text(&parvis(&made).stdout)).await;
    let said = |more: &[&str]| {
        let output = parvis(&[["events", "--config", &config].as_slice(), more].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    until("it is written", || said(&[]).contains("room_started  atelier"));
    assert!(said(&["--room", "atelier"]).starts_with("1  "), "{}", said(&[]));
    assert_eq!(
        (said(&["--room", "cellar"]), said(&["--after", "1"]), said(&["--tenant", "other"])),
        Default::default()
    );
    let line: serde_json::Value = serde_json::from_str(&said(&["--json", "--limit", "1"])).unwrap();
    assert_eq!((&line["number"], &line["event"]["room"]["name"]), (&1.into(), &"atelier".into()));
}

#[test]
fn keys_of_the_database_sign_once_the_server_was_told() {
    let directory = Directory::new("stored-keys");
    let config = with_webhooks(&directory);
    let server = start(&config);
    let run = |arguments: &[&str]| parvis(&[arguments, ["--config", &config].as_slice()].concat());
    let added = run(&["key", "add", "app", "--tenant", "acme"]);
    let secret = text(&added.stdout);
    assert!(added.status.success() && secret.len() == 64, "{}", text(&added.stderr));
    let made =
        ["token", "create", "--key", "app", "--secret", &secret, "--room", "atelier", "--identity", "ada"];
    let token = text(&parvis(&made).stdout);
    let status = || server.get(&format!("/rtc/validate?access_token={token}")).unwrap().0;
    assert_eq!(status(), 401);
    server.signal(Signal::SIGHUP);
    until("the key signs", || status() == 200);
    assert_eq!(text(&run(&["key", "list"]).stdout), "app  acme");
    for (arguments, expected) in [
        (["key", "add", "app"], "there is"),
        (["key", "add", "main"], "the configuration has a key \"main\" already"),
        (["key", "remove", "none"], "none"),
    ] {
        let refused = run(&arguments);
        assert!(!refused.status.success() && text(&refused.stderr).contains(expected), "{refused:?}");
    }
    // A start reads them too.
    let again = start(&config);
    assert_eq!(again.get(&format!("/rtc/validate?access_token={token}")).unwrap().0, 200);
    drop(again);
    assert!(run(&["key", "remove", "app"]).status.success());
    server.signal(Signal::SIGHUP);
    until("the key signs no more", || status() == 401);
}

#[test]
fn a_database_that_can_t_be_used_is_said_before_anything_is_served() {
    let directory = Directory::new("no-database");
    std::fs::create_dir_all(directory.path("data")).unwrap();
    directory.write("data/parvis.db", &"this is no database ".repeat(100));
    let data = directory.path("data");
    for command in ["serve", "check"] {
        let output = parvis(&[[command, "--dev", "--data", &data].as_slice(), &ANY_PORTS].concat());
        assert_eq!(output.status.code(), Some(1), "{command}");
        // A check says it in its own list.
        let said = text(if command == "serve" { &output.stderr } else { &output.stdout });
        assert!(said.contains("cannot open the database: ") && said.contains("restore a backup"), "{said}");
        let is_well = |line: &str| line == "ok" || line.starts_with("ready");
        assert!(!text(&output.stdout).lines().any(is_well), "{}", text(&output.stdout));
    }
}

#[test]
fn mistakes_in_database_and_webhooks_are_refused_with_their_place_and_a_remedy() {
    let directory = Directory::new("mistakes");
    directory.write("main.secret", "0123456789abcdef0123456789abcdef");
    let table = [
        (
            "[webhooks]\nurls = [\"ftp://example.org\"]\n",
            "webhooks.urls: \"ftp://example.org\" begins neither with",
        ),
        (
            "[webhooks]\nallow_internal = [\"backend\"]\n",
            "webhooks.allow_internal: \"backend\" is no HOST:PORT",
        ),
        (
            "[webhooks]\nurls = [\"https://example.org\"]\napi_key = \"other\"\n",
            "webhooks.api_key: there is no API key \"other\"",
        ),
        ("[database]\nurl_file = \"nothing\"\n", "database.url_file: "),
        (
            "[database]\nurl = \"x\"\nurl_file = \"main.secret\"\n",
            "database.url: url and url_file are both there",
        ),
        ("[database]\ntimeout = \"0\"\n", "database.timeout: no time at all"),
        ("[database]\nkeep_events = -1\n", "database.keep_events: -1 is below 0"),
    ];
    for (text_of, expected) in table {
        let file = format!("{text_of}[[keys]]\nname = \"main\"\nsecret_file = \"main.secret\"\n");
        let config = directory.write("parvis.toml", &file);
        let said = text(&parvis(&["check", "--config", &config]).stderr);
        assert!(
            said.starts_with(&format!("parvis: {config}:")) && said.contains(expected),
            "{said}\nis not\n{expected}"
        );
    }
    // What is shown has no password in it.
    let file = "[database]\nurl = \"postgres://ada:hidden@db.example.org/parvis\"\n[[keys]]\nname = \"main\"\nsecret_file = \"main.secret\"\n";
    let config = directory.write("parvis.toml", file);
    let shown = text(&parvis(&["config", "show", "--config", &config]).stdout);
    assert!(shown.contains("database.url = \"postgres://…@db.example.org/parvis\""), "{shown}");
    assert!(!shown.contains("hidden"));
}
