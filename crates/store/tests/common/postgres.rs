// SPDX-License-Identifier: EUPL-1.2
//! A PostgreSQL server on a scratch directory, reached by a Unix socket only. It runs as a user that is not root, since it
//! refuses root, and ends with the last test that uses it, or with this process however that ends.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Set where these tests must not be left out: `cargo xtask test` has installed PostgreSQL.
const REQUIRE: &str = "PARVIS_REQUIRE_POSTGRES";
const PATIENCE: Duration = Duration::from_secs(60);

static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
static NEXT: AtomicUsize = AtomicUsize::new(0);

pub struct Cluster {
    folder: PathBuf,
    programs: PathBuf,
    user: Option<String>,
    pid: Pid,
    waiter: Option<JoinHandle<()>>,
}

impl Cluster {
    /// The server that runs already, or a new one.
    pub fn shared() -> Option<Arc<Cluster>> {
        let Some(programs) = programs() else {
            assert!(std::env::var_os(REQUIRE).is_none(), "PostgreSQL is not installed, and {REQUIRE} is set");
            eprintln!("left out: PostgreSQL is not installed (`cargo xtask test` does it)");
            return None;
        };
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = shared.upgrade() {
            return Some(running);
        }
        let cluster = Arc::new(Cluster::start(programs));
        *shared = Arc::downgrade(&cluster);
        Some(cluster)
    }

    fn start(programs: PathBuf) -> Cluster {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("parvis-pg-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        // Sockets are made by whoever the server runs as, and used by us.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        let user = (output("id", &["-u"]) == "0").then(|| {
            let known = !output("id", &["-u", "postgres"]).is_empty();
            let user = if known { "postgres" } else { "nobody" };
            let id = |what: &str| output("id", &[what, user]).parse::<u32>().ok();
            chown(&folder, id("-u"), id("-g")).unwrap();
            user.to_owned()
        });
        let data = folder.join("data");
        let (data, socket) = (data.to_str().unwrap(), folder.to_str().unwrap());
        let initdb = ["-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"];
        let made = as_user(user.as_deref(), &programs.join("initdb")).args(initdb).output().unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let settings = ["listen_addresses=", "fsync=off", "max_connections=200", "shared_buffers=32MB"];
        let mut server = as_user(user.as_deref(), &programs.join("postgres"));
        server.args(["-D", data, "-k", socket]).args(settings.iter().flat_map(|setting| ["-c", setting]));
        server.stdout(Stdio::null()).stderr(fs::File::create(folder.join("log")).unwrap());
        // The kernel ends the server with the thread that started it: one that waits for nothing else.
        let (sender, started) = mpsc::channel();
        let waiter = std::thread::spawn(move || {
            let mut child = server.spawn().unwrap();
            sender.send(Pid::from_raw(i32::try_from(child.id()).unwrap())).unwrap();
            let _ = child.wait();
        });
        let pid = started.recv().unwrap();
        let cluster = Cluster { folder, programs, user, pid, waiter: Some(waiter) };
        let begun = Instant::now();
        while cluster.psql("SELECT 1").is_err() {
            let log = fs::read_to_string(cluster.folder.join("log")).unwrap_or_default();
            assert!(begun.elapsed() < PATIENCE, "PostgreSQL does not start: {log}");
            std::thread::sleep(Duration::from_millis(50));
        }
        cluster
    }

    /// Makes a database and gives its URL.
    pub fn new_database(&self) -> String {
        let name = format!("test{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.psql(&format!("CREATE DATABASE {name}")).unwrap();
        format!("postgres://postgres@localhost/{name}?host={}", self.folder.display())
    }

    fn psql(&self, command: &str) -> Result<(), String> {
        let folder = self.folder.to_str().unwrap();
        let arguments =
            ["-h", folder, "-U", "postgres", "-d", "postgres", "-v", "ON_ERROR_STOP=1", "-c", command];
        let output =
            as_user(self.user.as_deref(), &self.programs.join("psql")).args(arguments).output().unwrap();
        if output.status.success() {
            Ok(())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Its fast shutdown.
        let _ = kill(self.pid, Signal::SIGINT);
        if let Some(waiter) = self.waiter.take() {
            let _ = waiter.join();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A program run by a user, and ended with the thread that runs it.
fn as_user(user: Option<&str>, program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    if let Some(user) = user {
        command.args(["--reuid", user, "--regid", user, "--clear-groups"]);
    }
    command.args(["--pdeathsig", "INT"]).arg(program).current_dir("/").stdin(Stdio::null());
    command
}

/// Where Debian puts the newest version's programs.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.flatten().map(|entry| entry.path().join("bin"));
    versions.filter(|programs| programs.join("initdb").exists()).max()
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
