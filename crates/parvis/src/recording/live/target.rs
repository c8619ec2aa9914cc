// SPDX-License-Identifier: EUPL-1.2
//! One target of a stream: a process that pushes to it, and another one when that ends, until it has been tried often enough.
//!
//! **The invariant:** a key goes to the process by its standard input, and nowhere else.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parvis_api::InternalPlaces;
use parvis_jobs::{PushOrder, PushProtocol, PushTarget};
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, watch};

use super::super::task::Input;
use super::super::worker::{Heard, carry_log};
use super::stream::Fan;

/// How often it is looked whether a process has ended.
const LOOK: Duration = Duration::from_millis(50);
/// How long the name of a target may take to be resolved.
const RESOLVE: Duration = Duration::from_secs(10);
/// How long a process has to say goodbye to its target.
const FAREWELL: Duration = Duration::from_secs(10);
/// For how long one must have pushed so that the tries are counted anew.
const STEADY: Duration = Duration::from_secs(60);
/// The longest wait between two tries.
const MAX_DELAY: Duration = Duration::from_secs(60);
/// What a pusher's environment has of ours.
const PASSED_ON: [&str; 7] = [
    "PATH",
    "HOME",
    "XDG_CACHE_HOME",
    "GST_PLUGIN_PATH",
    "GST_PLUGIN_SYSTEM_PATH",
    "GST_REGISTRY",
    "ORC_CODE",
];
/// It has no desktop whose settings and proxies it could ask for.
const OWN: [(&str, &str); 3] =
    [("GSETTINGS_BACKEND", "memory"), ("GIO_USE_PROXY_RESOLVER", "dummy"), ("GIO_USE_VFS", "local")];

/// How targets are pushed to.
#[derive(Debug, Clone)]
pub(crate) struct PushSettings {
    /// What is run.
    pub(crate) worker: PathBuf,
    /// Whether it may run where the kernel can't hold it back.
    pub(crate) unconfined: bool,
    /// How often it is tried again, before the target has failed.
    pub(crate) retries: u32,
    /// The wait before the first time; each is twice as long as the one before.
    pub(crate) delay: Duration,
    /// For how long a target may take nothing.
    pub(crate) patience: Duration,
    /// Which addresses inside the own network may be reached all the same.
    pub(crate) allowed: InternalPlaces,
}

/// How a target does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Push {
    /// It is tried again, after this.
    Again { why: String, retries: u32 },
    /// It is pushed to again.
    Resumed,
    /// The stream is over, or is not to go there any more.
    Finished,
    /// It was tried often enough.
    Failed(String),
}

/// What a target's task needs.
pub(super) struct Pushing {
    pub(super) id: u64,
    pub(super) url: String,
    /// Whether the stream has pictures.
    pub(super) pictures: bool,
    pub(super) settings: PushSettings,
    pub(super) fan: Arc<Fan>,
    /// Turns true when the target is not to be pushed to any more.
    pub(super) over: watch::Receiver<bool>,
    pub(super) inbox: mpsc::Sender<Input>,
    pub(super) egress: String,
}

/// How one process ended.
enum Ended {
    /// The stream was over.
    Over,
    /// It, or what is in its way.
    Fault(String),
    /// What no further try makes better.
    Never(String),
}

impl Pushing {
    /// Pushes until the stream is over or the target has failed.
    pub(super) async fn run(mut self) {
        let mut retries = 0;
        let end = loop {
            let begun = Instant::now();
            let ended = self.once(retries).await;
            self.fan.close(self.id);
            let why = match ended {
                Ended::Over => break Push::Finished,
                Ended::Never(why) => break Push::Failed(why),
                Ended::Fault(why) => why,
            };
            if begun.elapsed() >= STEADY {
                retries = 0;
            }
            if retries >= self.settings.retries {
                break Push::Failed(format!("{why}; it was tried {} times", retries + 1));
            }
            tracing::warn!(
                recording = self.egress,
                target = self.id,
                why,
                "a stream's target is tried again"
            );
            let delay = self.settings.delay.saturating_mul(1 << retries.min(10)).min(MAX_DELAY);
            retries += 1;
            self.say(Push::Again { why, retries }).await;
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = is_over(&mut self.over) => break Push::Finished,
            }
        };
        self.say(end).await;
    }

    async fn say(&self, push: Push) {
        // The recording may be over.
        let _ = self.inbox.send(Input::Target { id: self.id, push }).await;
    }

    /// One process, to its end.
    async fn once(&mut self, retries: u32) -> Ended {
        let target = match PushTarget::parse(&self.url) {
            Ok(target) => target,
            Err(why) => return Ended::Never(why),
        };
        let address = tokio::select! {
            address = resolve(&target, &self.settings.allowed) => match address {
                Ok(address) => address,
                Err(ended) => return ended,
            },
            () = is_over(&mut self.over) => return Ended::Over,
        };
        let mut pusher = match Pusher::start(&self.settings) {
            Ok(pusher) => pusher,
            Err(error) => {
                return Ended::Fault(format!("{} can't be started: {error}", self.settings.worker.display()));
            }
        };
        let order = PushOrder {
            url: self.url.clone(),
            address: Some(address),
            pictures: self.pictures,
            patience_millis: u64::try_from(self.settings.patience.as_millis()).unwrap_or(u64::MAX),
        };
        let order = serde_json::to_vec(&order).map(|mut line| {
            line.push(b'\n');
            Bytes::from(line)
        });
        let Ok(order) = order else { return Ended::Never("where to push to can't be written".to_owned()) };
        let mut queue = self.fan.open(self.id);
        let mut next = Some(order);
        let (mut told, begun) = (retries == 0, Instant::now());
        let status = loop {
            if !told && begun.elapsed() >= self.settings.patience {
                told = true;
                self.say(Push::Resumed).await;
            }
            let Some(bytes) = next.take() else {
                tokio::select! {
                    status = exit(&mut pusher.child) => break status,
                    () = is_over(&mut self.over) => {
                        self.fan.close(self.id);
                        // What stands in the queue still goes out.
                        while let Ok(bytes) = queue.try_recv() {
                            let written = tokio::time::timeout(FAREWELL, pusher.write(&bytes)).await;
                            if !matches!(written, Ok(Ok(()))) { break; }
                        }
                        pusher.farewell().await;
                        return Ended::Over;
                    }
                    bytes = queue.recv() => match bytes {
                        Some(bytes) => next = Some(bytes),
                        None => {
                            pusher.farewell().await;
                            return Ended::Over;
                        }
                    },
                    // Time to say that it goes on.
                    () = tokio::time::sleep(self.settings.patience), if !told => {}
                }
                continue;
            };
            let Pusher { child, input, .. } = &mut pusher;
            tokio::select! {
                status = exit(child) => break status,
                written = write(input, &bytes) => {
                    if written.is_err() {
                        break pusher.exit().await;
                    }
                }
                // It ends by itself when its target takes nothing; this one has stopped as a whole.
                () = tokio::time::sleep(self.settings.patience * 2) => {
                    return Ended::Fault("the process that pushes stands still".to_owned());
                }
            }
        };
        let said = pusher.last_words().await;
        let said = target.hide(said.strip_prefix("parvis-media: ").unwrap_or(&said));
        Ended::Fault(match (said.is_empty(), status) {
            (false, _) => said,
            (true, Ok(status)) => format!("{}: the process that pushes ended: {status}", target.place()),
            (true, Err(error)) => format!("{}: the process that pushes is lost: {error}", target.place()),
        })
    }
}

/// Waits until a target is not to be pushed to any more.
async fn is_over(over: &mut watch::Receiver<bool>) {
    // Whoever could say so is gone: the same.
    let _ = over.wait_for(|over| *over).await;
}

/// The address to connect to: one that may be reached. What lies in the own network may not, unless it is allowed by name.
async fn resolve(target: &PushTarget, allowed: &InternalPlaces) -> Result<IpAddr, Ended> {
    let place = target.place();
    let looked_up =
        tokio::time::timeout(RESOLVE, tokio::net::lookup_host((target.host.as_str(), target.port)));
    let addresses: Vec<SocketAddr> = match looked_up.await {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(error)) => return Err(Ended::Fault(format!("{place}: its name can't be resolved: {error}"))),
        Err(_) => return Err(Ended::Fault(format!("{place}: its name is not resolved in time"))),
    };
    let may = |address: &&SocketAddr| allowed.may_connect(&target.host, **address);
    // With TLS the process resolves the name itself, to prove it: all that it stands for must be allowed.
    let fits = match target.protocol {
        PushProtocol::Rtmps => addresses.iter().all(|address| may(&address)),
        PushProtocol::Rtmp | PushProtocol::Srt => true,
    };
    addresses.iter().find(may).filter(|_| fits).map(SocketAddr::ip).ok_or_else(|| {
        Ended::Never(format!(
            "{place}: it lies in the server's own network; whoever runs the server may allow it by streaming.allow_internal"
        ))
    })
}

/// One process that pushes. It is ended when this is dropped.
struct Pusher {
    child: Child,
    input: Option<pipe::Sender>,
    log: tokio::task::JoinHandle<String>,
}

impl Pusher {
    fn start(settings: &PushSettings) -> std::io::Result<Pusher> {
        let mut child = command(&settings.worker, settings.unconfined).spawn()?;
        let (input, log) = (child.stdin.take(), child.stderr.take());
        let log = log.map(OwnedFd::from);
        let log = tokio::spawn(async move {
            match log {
                Some(log) => carry_log(log, Heard::default()).await,
                None => String::new(),
            }
        });
        let mut pusher = Pusher { child, input: None, log };
        pusher.input = input.map(|input| pipe::Sender::from_owned_fd(input.into())).transpose()?;
        Ok(pusher)
    }

    async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        write(&mut self.input, bytes).await
    }

    /// Waits for its end, for a while at most: then by force.
    async fn exit(&mut self) -> std::io::Result<ExitStatus> {
        match tokio::time::timeout(FAREWELL, exit(&mut self.child)).await {
            Ok(status) => status,
            Err(_) => {
                self.child.kill()?;
                self.child.wait()
            }
        }
    }

    /// Says that nothing more comes, and gives it the time to pass that on.
    async fn farewell(&mut self) {
        self.input = None;
        let _ = self.exit().await;
    }

    async fn last_words(&mut self) -> String {
        let said = tokio::time::timeout(Duration::from_secs(1), &mut self.log).await;
        said.ok().and_then(Result::ok).unwrap_or_default()
    }
}

impl Drop for Pusher {
    fn drop(&mut self) {
        // One that has ended can't be.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn write(input: &mut Option<pipe::Sender>, bytes: &[u8]) -> std::io::Result<()> {
    match input {
        Some(input) => input.write_all(bytes).await,
        None => Err(std::io::ErrorKind::BrokenPipe.into()),
    }
}

async fn exit(child: &mut Child) -> std::io::Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn command(worker: &Path, unconfined: bool) -> Command {
    let kept = PASSED_ON.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    let mut command = Command::new(worker);
    command
        .args(["push", "--confine", if unconfined { "available" } else { "required" }])
        .env_clear()
        .envs(kept)
        .envs(OWN)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}
