// SPDX-License-Identifier: EUPL-1.2
//! Starts the server, serves, and stops it with care.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use parvis_api::{Api, Keys, Metrics};
use parvis_sfu::ForwarderId;
use parvis_shard::{ShardConfig, local_addresses};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::Config;
use crate::media::{self, Media, MediaError, Threads};
use crate::notify;
use crate::reload::Reloading;

/// How long clients have to hear that the server stops, after it has told them.
const FAREWELL: Duration = Duration::from_secs(2);
/// How long the shards have to stop.
const SHARD_STOP: Duration = Duration::from_secs(2);

/// What a start is made from.
pub(crate) struct Settings {
    pub(crate) config: Config,
    pub(crate) keys: Keys,
    pub(crate) dev: bool,
}

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    #[error("cannot listen on {address} for {what}: {source}; is another server running there?")]
    Listen { what: &'static str, address: SocketAddr, source: std::io::Error },
    #[error(transparent)]
    Media(#[from] MediaError),
    #[error("cannot make the data directory {}: {source}; name another one with --data", path.display())]
    Data { path: PathBuf, source: std::io::Error },
    #[error(
        "the limit of open files is {limit}, {needed} are needed at least: raise LimitNOFILE, or lower http.reserved_files"
    )]
    Files { limit: u64, needed: u64 },
    #[error("{what}: {source}")]
    System { what: &'static str, source: std::io::Error },
    #[error("metrics: {0}")]
    Metrics(String),
}

/// Everything that must be free, bound: what `check` tries and `serve` keeps.
pub(crate) struct Bound {
    http: TcpListener,
    metrics: TcpListener,
    media: Media,
    max_connections: usize,
}

/// Binds all ports and starts the media threads, or says which of them is not to be had.
pub(crate) async fn bind(settings: &Settings) -> Result<Bound, ServeError> {
    let Settings { config, dev, .. } = settings;
    make_data_directory(&config.data.directory)?;
    let http = listen("HTTP", config.http.listen).await?;
    let metrics = match listen("metrics", config.metrics.listen).await {
        // Several development servers run side by side; only the first gets the usual port.
        Err(_) if *dev => listen("metrics", SocketAddr::new(config.metrics.listen.ip(), 0)).await?,
        other => other?,
    };
    let mut addresses = local_addresses().map_err(MediaError::from)?;
    if !dev && addresses.iter().any(|address| !address.is_loopback()) {
        addresses.retain(|address| !address.is_loopback());
    }
    let mut shards = config.shard_config(addresses);
    let max_connections = share_files(config, &mut shards)?;
    let media = media::start(config, &shards)?;
    Ok(Bound { http, metrics, media, max_connections })
}

/// Serves until a signal, then drains. SIGHUP reads the configuration anew.
pub(crate) async fn serve(settings: Settings, mut reloading: Reloading) -> Result<(), ServeError> {
    let bound = bind(&settings).await?;
    let Settings { config, keys, dev } = settings;
    let system = |what| move |source| ServeError::System { what, source };
    let mut terminate = signal(SignalKind::terminate()).map_err(system("listen to SIGTERM"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(system("listen to SIGINT"))?;
    let mut hangup = signal(SignalKind::hangup()).map_err(system("listen to SIGHUP"))?;

    let Media { shards, events } = bound.media;
    let shards = Arc::new(shards);
    let handle = shards.handle();
    let metrics = Metrics::new(vec![media::figures(Arc::clone(&shards))])
        .map_err(|error| ServeError::Metrics(error.to_string()))?;
    let forwarders = Arc::new(Threads(handle.clone()));
    let api = Api::new(config.api_config(bound.max_connections), keys, forwarders, metrics);
    for (shard, events) in events.into_iter().enumerate() {
        let from = ForwarderId(shard as u64);
        tokio::spawn(media::carry_events(from, events, api.clone(), handle.clone()));
    }
    let http = bound.http.local_addr().map_err(system("read the HTTP address"))?;
    let metrics_at = bound.metrics.local_addr().map_err(system("read the metrics address"))?;
    let (serving, measuring) = (api.clone(), api.clone());
    tokio::spawn(async move { measuring.serve_metrics(bound.metrics).await });
    let server = tokio::spawn(async move { serving.serve(bound.http).await });

    tracing::info!(%http, metrics = %metrics_at, shards = handle.count(), "serving");
    for shard in 0..handle.count() {
        let candidates = handle.candidates(shard).iter();
        let offered: Vec<String> = candidates.map(|c| format!("{:?} {}", c.protocol, c.address)).collect();
        tracing::info!(shard, offered = offered.join(", "), "media");
    }
    announce(http, dev);
    notify::ready();

    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            // Short files, read while others go on: nothing of the media waits for this thread.
            _ = hangup.recv() => tokio::task::block_in_place(|| reloading.reload(&api, bound.max_connections)),
        }
    }
    notify::stopping();
    let forced = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    tokio::select! {
        () = drain(&api, config.drain.deadline.0) => tracing::info!("stopped"),
        () = forced => tracing::warn!("stopped at the second signal"),
    }
    api.stop();
    server.abort();
    drop(api);
    if let Some(shards) = Arc::into_inner(shards) {
        shards.stop(SHARD_STOP);
    }
    Ok(())
}

/// Lets nobody new in, waits until all have left, and tells those who are there at the deadline.
async fn drain(api: &Api, deadline: Duration) {
    tracing::info!(
        deadline_seconds = deadline.as_secs(),
        "draining: no new joins; a second signal stops at once"
    );
    api.close_doors().await;
    if tokio::time::timeout(deadline, api.emptied()).await.is_err() {
        api.end_rooms().await;
        let _ = tokio::time::timeout(FAREWELL, api.emptied()).await;
        // The last words are on their way through the sockets.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Says on the standard output that the server serves: the one line that scripts wait for, and a link for people.
#[expect(clippy::print_stdout, reason = "this is what the command is for")]
fn announce(http: SocketAddr, dev: bool) {
    println!("ready http://{http}");
    if dev {
        println!("open http://{http}/r/{}", room_name(rand::random()));
    }
}

async fn listen(what: &'static str, address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|source| ServeError::Listen { what, address, source })
}

fn make_data_directory(path: &Path) -> Result<(), ServeError> {
    std::fs::create_dir_all(path).map_err(|source| ServeError::Data { path: path.to_owned(), source })
}

/// Raises the limit of open files as far as it goes, and divides it: the reserve first, then half for HTTP and half for
/// media over TCP. Returns HTTP's share.
fn share_files(config: &Config, shards: &mut ShardConfig) -> Result<usize, ServeError> {
    let system =
        |errno: nix::Error| ServeError::System { what: "read the limit of open files", source: errno.into() };
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(system)?;
    // A container may forbid it; then the soft limit it is.
    let limit = if setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() { hard } else { soft };
    let sockets = shards.shards * shards.addresses.len() * 2;
    let needed = config.http.reserved_files.size() + sockets + 4;
    let free = usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(needed);
    if free < 2 {
        return Err(ServeError::Files { limit, needed: needed as u64 + 2 });
    }
    let half = free / 2;
    let per_shard = (half / shards.shards.max(1)).max(1);
    shards.tcp.max_connections = shards.tcp.max_connections.min(per_shard);
    Ok(half)
}

/// A room's name of 132 bits that nobody guesses, in the alphabet of links.
fn room_name(random: [u8; 22]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    random.iter().map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()])).collect()
}
