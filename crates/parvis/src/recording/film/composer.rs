// SPDX-License-Identifier: EUPL-1.2
//! One composer: a process of the media worker's program that makes one film at the lowest priority, and whoever watches it. It is
//! ended when it gets nowhere, when the disk is nearly full, when its film is no longer wanted, and with the server.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parvis_jobs::{FILM_PART_DIED, Protection};
use tokio::task::JoinHandle;

use super::place::Place;
use super::wish::Wish;
use crate::recording::worker::{Heard, carry_log};
use crate::recording::{EncoderCounts, RecordingSettings, check_space};

/// How often it is looked at a composer.
const LOOK: Duration = Duration::from_millis(200);
/// A composer that gets nowhere and has taken less of the processors than this, or a tenth of the time, waits for something that doesn't come. One that others
/// leave next to nothing takes more.
const STUCK: Duration = Duration::from_secs(2);
/// How long its last words may be on their way.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Ticks in which the kernel counts what a process takes, in a second (proc(5): USER_HZ).
const TICKS: u64 = 100;
/// What of the server's surroundings a composer is given: where GStreamer and fonts look for what they keep, and whether GStreamer may make
/// code at run time. No secrets.
pub(in crate::recording) const PASSED_ON: [&str; 9] = [
    "PATH",
    "HOME",
    "LANG",
    "XDG_CACHE_HOME",
    "GST_PLUGIN_PATH",
    "GST_PLUGIN_SYSTEM_PATH",
    "GST_REGISTRY",
    "LD_LIBRARY_PATH",
    "ORC_CODE",
];

/// What is to be made of what.
#[derive(Debug)]
pub(super) struct Order<'a> {
    pub(super) settings: &'a RecordingSettings,
    /// Where what it says of encoders is counted.
    pub(super) encoders: &'a Arc<EncoderCounts>,
    pub(super) place: &'a Place,
    /// The recording's folder.
    pub(super) recording: &'a Path,
    pub(super) wish: &'a Wish,
}

/// Why no film came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failed {
    /// It said why it can't be made: it won't be another time.
    Said(String),
    /// It died of something.
    Died(String),
    /// It got nowhere and was ended.
    Hung(String),
    /// The disk is nearly full.
    Space,
    /// Its place is gone: the recording is being erased.
    Erased,
    /// The server stops.
    Closing,
    /// It could not be started, or what it made not be found.
    System(String),
}

impl Failed {
    /// Whether another composer may fare better.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Failed::Died(_) | Failed::Hung(_))
    }
}

/// Makes one film, and gives where it lies: sealed, if the recording is. `closing` says that the server stops.
pub(super) async fn compose(order: &Order<'_>, closing: impl Future<Output = ()>) -> Result<PathBuf, Failed> {
    let Order { settings, place, .. } = order;
    if !place.exists() {
        return Err(Failed::Erased);
    }
    let system = |what: &str, error: std::io::Error| match place.exists() {
        true => Failed::System(format!("{what}: {error}")),
        false => Failed::Erased,
    };
    check_space(settings).map_err(|_| Failed::Space)?;
    let work = place.work().map_err(|error| system("no folder to make it in", error))?;
    let film = work.join(&order.wish.name);
    let child =
        command(order, &film).spawn().map_err(|error| system("the composer can't be started", error))?;
    let mut composer = Composer::new(child, order.encoders);
    let status = composer.watch(order, &work, closing).await;
    let said = composer.last_words().await;
    let status = match status {
        Ok(status) => status,
        Err(Failed::Hung(how)) => return Err(Failed::Hung(format!("{how}; it said {said:?} last"))),
        Err(failed) => return Err(failed),
    };
    match status.code() {
        Some(0) => {}
        _ if !place.exists() => return Err(Failed::Erased),
        Some(code) => {
            let said = said.strip_prefix("parvis-media: ").unwrap_or(&said).to_owned();
            let said = if said.is_empty() { format!("it ended with {status}") } else { said };
            let died = code == i32::from(FILM_PART_DIED);
            return Err(if died { Failed::Died(said) } else { Failed::Said(said) });
        }
        None => return Err(Failed::Died(format!("its process ended: {status}"))),
    }
    let made = match &settings.protection {
        Protection::Age { .. } => work.join(format!("{}.age", order.wish.name)),
        Protection::None => film,
    };
    match made.is_file() {
        true => Ok(made),
        false => Err(system(
            "it says that the film is made",
            std::io::Error::other(format!("{} is not there", made.display())),
        )),
    }
}

fn command(order: &Order<'_>, film: &Path) -> Command {
    let Order { settings, place, recording, wish, .. } = order;
    let (width, height) = wish.size;
    let mut command = Command::new(&settings.worker);
    command
        .args(["compose", "--job", "--layout", wish.layout, "--size", &format!("{width}x{height}")])
        .args(["--rate", &wish.rate.to_string(), "--kbits", &wish.kbits.to_string()])
        .args(["--confine", if settings.unconfined { "available" } else { "required" }])
        .args(["--encoder", &settings.encoder])
        .args(["--segment", &settings.film.segment.as_secs().to_string()])
        .args(["--parallel", &settings.film.parallel.to_string()])
        .arg("--captions");
    if let Some(key) = place.key().or_else(|| settings.identity.clone()) {
        command.arg("--identity").arg(key);
    }
    if let Protection::Age { recipients } = &settings.protection {
        // For whom it is meant, and not for the key that opened the capture.
        command.args(recipients.iter().flat_map(|recipient| ["--seal", recipient]));
    }
    let kept = PASSED_ON.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    command
        .arg("--")
        .arg(recording)
        .arg(film)
        .env_clear()
        .envs(kept)
        // It ends when this does, and so with the server, however that ends.
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

struct Composer {
    child: Child,
    logs: Vec<JoinHandle<String>>,
    /// What it says that it has taken of the processors, in milliseconds: one in another unit does.
    told: Arc<AtomicU64>,
}

impl Composer {
    fn new(mut child: Child, encoders: &Arc<EncoderCounts>) -> Composer {
        let told = Arc::new(AtomicU64::new(0));
        let heard = Heard { encoders: Some(Arc::clone(encoders)), taken: Some(Arc::clone(&told)) };
        let stdout = child.stdout.take().map(|pipe| carry_log(pipe.into(), Heard::default()));
        let stderr = child.stderr.take().map(|pipe| carry_log(pipe.into(), heard));
        let logs = [stdout, stderr].into_iter().flatten().map(tokio::spawn).collect();
        Composer { child, logs, told }
    }

    /// Until its process has ended, by itself or by force.
    async fn watch(
        &mut self,
        order: &Order<'_>,
        work: &Path,
        closing: impl Future<Output = ()>,
    ) -> Result<std::process::ExitStatus, Failed> {
        let patience = order.settings.film.patience;
        let mut progress = Progress::new(self.child.id(), Arc::clone(&self.told));
        tokio::pin!(closing);
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Ok(status),
                Ok(None) => {}
                Err(error) => return Err(Failed::Died(format!("its process can't be waited for: {error}"))),
            }
            if !order.place.exists() {
                return Err(Failed::Erased);
            }
            if check_space(order.settings).is_err() {
                return Err(Failed::Space);
            }
            if let Some(how) = progress.look(work, patience, order.settings.film.parallel) {
                return Err(Failed::Hung(how));
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = &mut closing => return Err(Failed::Closing),
            }
        }
    }

    /// Ends it, if it has not ended, and gives the last line that it wrote to its standard error, or else to the other.
    async fn last_words(mut self) -> String {
        self.end();
        let mut last = String::new();
        for mut log in self.logs.drain(..) {
            // What it started may hold the pipe still.
            let said = tokio::time::timeout(LAST_WORDS, &mut log).await;
            log.abort();
            if let Ok(Ok(said)) = said
                && !said.is_empty()
            {
                last = said;
            }
        }
        last
    }

    fn end(&mut self) {
        // One that has ended by itself can't be.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Composer {
    fn drop(&mut self) {
        self.end();
    }
}

/// Whether a composer gets anywhere: what it writes grows.
#[derive(Debug)]
struct Progress {
    process: u32,
    /// What it says itself that it has taken of the processors, in milliseconds.
    told: Arc<AtomicU64>,
    bytes: u64,
    since: Instant,
    /// What it had taken of the processors then.
    taken: Duration,
}

impl Progress {
    fn new(process: u32, told: Arc<AtomicU64>) -> Progress {
        Progress { process, told, bytes: 0, since: Instant::now(), taken: Duration::ZERO }
    }

    /// How it hangs, if it does. Whom others leave nothing of the processors does not.
    fn look(&mut self, work: &Path, patience: Duration, parallel: usize) -> Option<String> {
        let told = Duration::from_millis(self.told.load(Ordering::Relaxed));
        let (bytes, taken) = (bytes_in(work), processor_time(self.process).max(told));
        if bytes != self.bytes {
            (self.bytes, self.since, self.taken) = (bytes, Instant::now(), taken);
            return None;
        }
        let (passed, taken) = (self.since.elapsed(), taken.saturating_sub(self.taken));
        let told = |what: &str| {
            format!("it {what} for {} s without a byte of film (recording.film_timeout)", patience.as_secs())
        };
        if passed >= patience && taken < STUCK.min(patience / 10) {
            return Some(told("waited"));
        }
        // So many work at the same time.
        let parallel = u32::try_from(parallel.max(1)).unwrap_or(u32::MAX);
        (taken >= patience.saturating_mul(parallel)).then(|| told("worked"))
    }
}

/// The bytes of all files in a folder, and in those in it.
fn bytes_in(work: &Path) -> u64 {
    let entries = std::fs::read_dir(work).into_iter().flatten().filter_map(Result::ok);
    let found = entries.filter_map(|entry| Some((entry.path(), entry.metadata().ok()?)));
    found.map(|(path, metadata)| if metadata.is_dir() { bytes_in(&path) } else { metadata.len() }).sum()
}

/// What a process has taken of the processors so far, with those that it has started and has now, or has had.
fn processor_time(process: u32) -> Duration {
    own_time(process) + children(process).into_iter().map(processor_time).sum::<Duration>()
}

/// Those that a process has started and that are there still (proc(5), `/proc/PID/task/TID/children`).
fn children(process: u32) -> Vec<u32> {
    let threads =
        std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().filter_map(Result::ok);
    let listed = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    listed
        .flat_map(|list| list.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>())
        .collect()
}

/// Its own, and what those took that it has waited for (proc(5), `/proc/PID/stat`, fields 14 to 17).
fn own_time(process: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // A program's name stands in brackets, and may hold anything.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
    let ticks: u64 = fields.skip(11).take(4).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 1_000 / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_takes_of_the_processors_is_read() {
        let before = processor_time(std::process::id());
        let until = Instant::now() + Duration::from_secs(5);
        let mut sum = 0_u64;
        while processor_time(std::process::id()) < before + Duration::from_millis(50) {
            (0..100_000_u64).for_each(|number| sum = std::hint::black_box(sum.wrapping_add(number)));
            assert!(Instant::now() < until, "nothing is counted");
        }
        assert_eq!(processor_time(0), Duration::ZERO, "of one that is not there");
    }

    #[test]
    fn what_those_take_whom_a_process_started_counts_for_it() {
        let work = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done";
        // The shell waits for the other one, and does nothing itself.
        let mut shell =
            Command::new("sh").args(["-c", &format!("sh -c '{work}; sleep 60' & wait")]).spawn().unwrap();
        let until = Instant::now() + Duration::from_secs(20);
        while processor_time(shell.id()) < Duration::from_millis(50) {
            assert!(Instant::now() < until, "nothing is counted");
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(own_time(shell.id()) < Duration::from_millis(50));
        let started = children(shell.id());
        shell.kill().unwrap();
        shell.wait().unwrap();
        for child in started {
            let _ = Command::new("kill").arg(child.to_string()).status();
        }
    }
}
