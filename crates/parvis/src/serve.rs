// SPDX-License-Identifier: EUPL-1.2
//! Starts the server, serves, and stops it with care.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::Backlog;
use parvis_api::{
    Api, ApiConfig, Branding, IngressKeys, Keys, Metrics, Source, TraceConfig, TraceError, Tracer,
    WebhookError, Webhooks,
};
use parvis_sfu::ForwarderId;
use parvis_shard::{ShardConfig, local_addresses, of_present_families};
use parvis_store::{Store, StoreConfig, StoreError};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::audit::{Audit, AuditSettings, KeyError};
use crate::check;
use crate::config::{Config, Confine};
use crate::confine;
use crate::edge::{self, PublicPort};
use crate::family;
use crate::machine;
use crate::media::{self, Media, MediaError, Threads};
use crate::metrics::MetricsPort;
use crate::notify::{self, Handed};
use crate::recording::{
    self, RecordingEngine, RecordingError, RecordingSettings, Remote, RemoteError, Retention, Uploads,
};
use crate::reload::{Reloading, Running};
use crate::stored;

/// How long clients have to hear that the server stops, after it has told them.
const FAREWELL: Duration = Duration::from_secs(2);
/// How long the last events have to be written.
const LAST_EVENTS: Duration = Duration::from_secs(5);
/// How long recordings have to be written to their ends.
const RECORDINGS_STOP: Duration = Duration::from_secs(30);
/// How long the database has to close.
const STORE_STOP: Duration = Duration::from_secs(5);
/// How long the shards have to stop.
const SHARD_STOP: Duration = Duration::from_secs(2);

/// What a start is made from.
pub(crate) struct Settings {
    pub(crate) config: Config,
    pub(crate) keys: Keys,
    pub(crate) store: StoreConfig,
    pub(crate) look: Branding,
    pub(crate) recording: Option<RecordingSettings>,
    pub(crate) audit: Option<AuditSettings>,
    pub(crate) traces: Option<TraceConfig>,
    pub(crate) dev: bool,
    /// Where relative paths of the configuration start.
    pub(crate) base: PathBuf,
}

impl Settings {
    /// The participants' plane's configuration. `max_connections` is what the process's limit of files leaves.
    pub(crate) fn api_config(&self, max_connections: usize) -> ApiConfig {
        ApiConfig { branding: Arc::new(self.look.clone()), ..self.config.api_config(max_connections) }
    }
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
    #[error("cannot open the database: {0}")]
    Store(#[from] StoreError),
    #[error("{}: {source}", source.key())]
    Webhooks {
        #[from]
        source: WebhookError,
    },
    #[error(
        "the service manager opened {opened} for us, and http.listen is {listen}: have both say the same (`systemctl edit \
         parvis.socket`), or disable parvis.socket"
    )]
    Handed { opened: String, listen: SocketAddr },
    #[error("process.confine is \"required\", and the kernel can't: {0}")]
    Confinement(String),
    #[error("metrics: {0}")]
    Metrics(String),
    #[error("{key}: {problem}")]
    Config { key: String, problem: String },
    #[error(transparent)]
    Certificate(#[from] parvis_edge::CertificateError),
    #[error(transparent)]
    Relay(#[from] parvis_edge::RelayError),
    #[error(transparent)]
    Recording(#[from] RecordingError),
    #[error(transparent)]
    Storage(#[from] RemoteError),
    #[error(transparent)]
    Audit(#[from] KeyError),
    #[error("traces.endpoint: {0}")]
    Traces(#[from] TraceError),
}

/// Everything that must be free, bound: what `check` tries and `serve` keeps.
pub(crate) struct Bound {
    http: TcpListener,
    /// Others that the service manager opened for the same.
    further: Vec<TcpListener>,
    metrics: TcpListener,
    media: Media,
    public: PublicPort,
    max_connections: usize,
}

impl Bound {
    /// What `check` says.
    pub(crate) fn describe(&self, settings: &Settings) -> Vec<String> {
        self.public.describe(&settings.config)
    }
}

/// Binds all ports and starts the media threads, or says which of them is not to be had.
pub(crate) async fn bind(settings: &Settings, mut handed: Handed) -> Result<Bound, ServeError> {
    let Settings { config, dev, .. } = settings;
    make_data_directory(&config.data.directory)?;
    if let Some(recording) = &settings.recording {
        recording::check(recording)?;
    }
    let http = match handed.claim(config.http.listen) {
        Some(given) => from_std(given)?,
        None => {
            let opened = handed.addresses();
            if !opened.is_empty() {
                let opened = opened.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(", ");
                return Err(ServeError::Handed { opened, listen: config.http.listen });
            }
            listen("HTTP", config.http.listen).await?
        }
    };
    let further = handed.rest().into_iter().map(from_std).collect::<Result<_, _>>()?;
    let metrics = match listen("metrics", config.metrics.listen).await {
        // Several development servers run side by side; only the first gets the usual port.
        Err(_) if *dev => listen("metrics", SocketAddr::new(config.metrics.listen.ip(), 0)).await?,
        other => other?,
    };
    // Nobody asks for the list who needs none: a confined server may not have it.
    let mut addresses = match config.media.addresses.is_empty() {
        true => local_addresses().map_err(MediaError::from)?,
        false => Vec::new(),
    };
    if !dev && addresses.iter().any(|address| !address.is_loopback()) {
        addresses.retain(|address| !address.is_loopback());
    }
    let mut shards =
        config.shard_config(addresses).map_err(|(key, problem)| ServeError::Config { key, problem })?;
    shards.addresses = of_present_families(std::mem::take(&mut shards.addresses));
    let listens =
        http.local_addr().map_err(|source| ServeError::System { what: "read the HTTP address", source })?;
    if config.media.tcp_on_http_port && shards.addresses.iter().all(|ip| covers(listens, *ip)) {
        shards.shared_tcp_port = Some(config.public_port(listens));
    }
    let share = share_files(config, &mut shards)?;
    let media = media::start(config, &shards)?;
    let handle = media.shards.handle();
    let public =
        edge::bind(config, &settings.base, listens, &shards.addresses, &handle, share.allocations).await?;
    Ok(Bound { http, further, metrics, media, public, max_connections: share.connections })
}

/// Serves until a signal, then drains. SIGHUP reads the configuration anew.
pub(crate) async fn serve(
    settings: Settings,
    mut reloading: Reloading,
    handed: Handed,
    held: Option<confine::Files>,
) -> Result<(), ServeError> {
    let bound = bind(&settings, handed).await?;
    let mut api_config = settings.api_config(bound.max_connections);
    let Settings { config, keys, store, dev, recording, audit, traces, base, .. } = settings;
    let mut public = bound.public;
    let system = |what| move |source| ServeError::System { what, source };
    let mut terminate = signal(SignalKind::terminate()).map_err(system("listen to SIGTERM"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(system("listen to SIGINT"))?;
    let mut hangup = signal(SignalKind::hangup()).map_err(system("listen to SIGHUP"))?;

    let store = Store::open(store).await?;
    let keys = stored::all_keys(keys, &store).await?;
    let webhooks = Webhooks::start(config.webhook_config(), keys.clone(), store.clone()).await?;
    let Media { shards, events } = bound.media;
    let shards = Arc::new(shards);
    let handle = shards.handle();
    let recordings = Arc::<OnceLock<Source>>::default();
    let late = Arc::clone(&recordings);
    let kept = config.recordings_directory(&base);
    let keep = config.recording_retention();
    let storage = |(key, problem)| ServeError::Config { key, problem };
    let remote = config.storage(&base).map_err(storage)?.map(Remote::new).transpose()?;
    let requested = config.requested_storages().map_err(storage)?;
    let audit = audit.map(|settings| Audit::start(settings, &store, remote.as_ref())).transpose()?;
    let retention = Retention::new(store.clone(), kept.clone(), keep).with_storage(remote.clone());
    let mut sources = vec![
        // The engine is made with what counts.
        Arc::new(move || late.get().map(|figures| figures()).unwrap_or_default()) as Source,
        media::figures(Arc::clone(&shards)),
        stored::figures(store.clone()),
        webhooks.figures(),
        public.figures(),
        machine::figures([("data", config.data.directory.clone()), ("recordings", kept.clone())].into()),
    ];
    sources.push(check::outcome::figures(config.data.directory.clone()));
    sources.push(retention.figures());
    sources.extend(audit.as_ref().map(Audit::figures));
    let tracer = traces.as_ref().map(Tracer::start).transpose()?;
    sources.extend(tracer.as_ref().map(Tracer::figures));
    let uploads = Arc::<OnceLock<Source>>::default();
    let late = Arc::clone(&uploads);
    sources.push(Arc::new(move || late.get().map(|figures| figures()).unwrap_or_default()));
    let metrics = Metrics::new(sources).map_err(|error| ServeError::Metrics(error.to_string()))?;
    let metrics = metrics.with_jitsi_names(config.metrics.jitsi_names);
    let forwarders = Arc::new(Threads(handle.clone()));
    public.stand_before(&mut api_config);
    public.keep_certificate();
    let stream_keys = Arc::new(IngressKeys::new(store.clone()));
    let api = Api::new(api_config, keys, forwarders, metrics).with_stream_keys(stream_keys);
    api.tell(webhooks.clone());
    api.keep(store.clone());
    if let Some(audit) = &audit {
        api.log(audit.sink());
    }
    if let Some(tracer) = tracer {
        api.trace(tracer);
    }
    let ipv4 = (0..handle.count()).flat_map(|shard| handle.bound(shard)).any(|bound| bound.is_ipv4());
    let recording = recording.map(|settings| RecordingSettings { ipv4, ..settings });
    let engine = recording.map(|settings| RecordingEngine::new(settings, api.recorders()));
    if let Some(engine) = &engine {
        api.record(Arc::new(engine.clone()));
        let _ = recordings.set(engine.figures());
    }
    // Without the rules that people made for their meetings nobody may be let in.
    api.recover_meetings().await?;
    match api.recover().await {
        Ok(()) => match &engine {
            Some(engine) => engine.tidy(),
            None => recording::tidy(&kept),
        },
        Err(error) => tracing::warn!(%error, "what had begun before the start can't be taken up"),
    }
    let retention = tokio::spawn(retention.run(engine.clone()));
    if let (Some(engine), Some(remote)) = (&engine, &remote) {
        engine.set_storage(remote.clone());
    }
    let sends = remote.is_some() || !requested.allowed.is_empty();
    let sending = sends.then(|| {
        let sending = Uploads::new(remote, requested, kept.clone(), store.clone(), api.recorders());
        let _ = uploads.set(sending.figures());
        tokio::spawn(sending.run())
    });
    for (shard, events) in events.into_iter().enumerate() {
        let from = ForwarderId(shard as u64);
        tokio::spawn(media::carry_events(from, events, api.clone(), handle.clone()));
    }
    let http = bound.http.local_addr().map_err(system("read the HTTP address"))?;
    let metrics_at = bound.metrics.local_addr().map_err(system("read the metrics address"))?;
    let metrics_port = MetricsPort::serve(&api, bound.metrics);
    // All is bound and read, and no stranger was heard yet.
    if let Some(held) = held {
        let held = confine::calls(held);
        confine::log(&held);
        if reloading.current.config.process.confine == Confine::Required && !confine::is_complete(&held) {
            return Err(ServeError::Confinement(held.missing.join("; ")));
        }
    }
    for listener in bound.further {
        let serving = api.clone();
        tokio::spawn(async move { serving.serve(listener).await });
    }
    let serving = api.clone();
    let server = tokio::spawn(async move { serving.serve(bound.http).await });

    tracing::info!(%http, metrics = %metrics_at, shards = handle.count(), database = store.engine(), "serving");
    for shard in 0..handle.count() {
        let candidates = handle.candidates(shard).iter();
        let offered: Vec<String> = candidates.map(|c| format!("{:?} {}", c.protocol, c.address)).collect();
        tracing::info!(shard, offered = offered.join(", "), "media");
    }
    announce(public.scheme(), http, dev);
    notify::ready();
    let watch = notify::watchdog().map(|period| tokio::spawn(notify::watch(handle.clone(), period)));

    let mut running = Running {
        api: api.clone(),
        webhooks: webhooks.clone(),
        store: store.clone(),
        audit: audit.as_ref().map(Audit::sink),
        public,
        metrics: metrics_port,
        max_connections: bound.max_connections,
    };
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            // Short files, read while others go on: nothing of the media waits for this thread.
            _ = hangup.recv() => tokio::task::block_in_place(|| reloading.reload(&mut running)),
        }
    }
    notify::stopping();
    drop(running);
    let deadline = reloading.current.config.drain.deadline.0;
    let forced = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    tokio::select! {
        () = drain(&api, deadline) => tracing::info!("stopped"),
        () = forced => tracing::warn!("stopped at the second signal"),
    }
    // What it is at is done again at the next start.
    retention.abort();
    if let Some(sending) = sending {
        // It goes on at the next start where it was.
        sending.abort();
    }
    if let Some(engine) = engine {
        engine.close(RECORDINGS_STOP).await;
    }
    api.meetings_written(STORE_STOP).await;
    api.stop();
    server.abort();
    drop(api);
    if !webhooks.close(LAST_EVENTS).await {
        tracing::error!("the last webhooks could not be written: the store takes none");
    }
    if let Some(audit) = audit {
        audit.close(LAST_EVENTS).await;
    }
    let _ = tokio::time::timeout(STORE_STOP, store.close()).await;
    if let Some(watch) = watch {
        watch.abort();
    }
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
fn announce(scheme: &str, http: SocketAddr, dev: bool) {
    println!("ready {scheme}://{http}");
    if dev {
        println!("open {scheme}://{http}/r/{}", room_name(rand::random()));
    }
}

/// Gives up what `process.confine` says, as far as it has to be before the first thread; `None`: nothing.
pub(crate) fn confine_files(settings: &Settings) -> Result<Option<confine::Files>, ServeError> {
    if settings.config.process.confine == Confine::Off {
        return Ok(None);
    }
    // What is not there can't be left to us.
    make_data_directory(&settings.config.data.directory)?;
    if let Some(recording) = &settings.recording {
        recording::check(recording)?;
    }
    Ok(Some(confine::files(settings)))
}

fn from_std(listener: std::net::TcpListener) -> Result<TcpListener, ServeError> {
    TcpListener::from_std(listener)
        .map_err(|source| ServeError::System { what: "take a socket of the service manager's", source })
}

async fn listen(what: &'static str, address: SocketAddr) -> Result<TcpListener, ServeError> {
    let failed = |source| ServeError::Listen { what, address, source };
    let listener = family::bind(address, TcpListener::bind).await.map_err(failed)?;
    // The library has 128 wait to be accepted, which a crowd is in 50 ms; for whoever finds no place there the system drops the
    // first packet, and he tries again a second later. So many as the system allows (net.core.somaxconn, 4,096 as a rule)
    // cost a few hundred bytes of the kernel's each.
    nix::sys::socket::listen(&listener, Backlog::MAXALLOWABLE).map_err(|errno| failed(errno.into()))?;
    Ok(listener)
}

fn make_data_directory(path: &Path) -> Result<(), ServeError> {
    std::fs::create_dir_all(path).map_err(|source| ServeError::Data { path: path.to_owned(), source })
}

/// Whether a listener at `listens` is reached by an address of ours.
fn covers(listens: SocketAddr, ip: IpAddr) -> bool {
    match listens.ip() {
        IpAddr::V4(all) if all.is_unspecified() => ip.is_ipv4(),
        IpAddr::V6(all) if all.is_unspecified() => true,
        one => one == ip,
    }
}

/// File descriptors by purpose.
struct Share {
    connections: usize,
    allocations: usize,
}

/// Raises the limit of open files as far as it goes, and divides it: the reserve first, at most a quarter for the relay's
/// sockets, then half of the rest for HTTP and half for media over TCP.
fn share_files(config: &Config, shards: &mut ShardConfig) -> Result<Share, ServeError> {
    let system =
        |errno: nix::Error| ServeError::System { what: "read the limit of open files", source: errno.into() };
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(system)?;
    // A container may forbid it; then the soft limit it is.
    let limit = if setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() { hard } else { soft };
    let sockets = (shards.shards * 2 + 1) * shards.addresses.len();
    let needed = config.http.reserved_files.size() + sockets + 4;
    let free = usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(needed);
    if free < 2 {
        return Err(ServeError::Files { limit, needed: needed as u64 + 2 });
    }
    let wanted = if config.turn.enabled { config.turn.max_allocations.size() } else { 0 };
    let allocations = wanted.min(free / 4);
    let half = (free - allocations) / 2;
    let per_shard = (half / shards.shards.max(1)).max(1);
    shards.tcp.max_connections = shards.tcp.max_connections.min(per_shard);
    Ok(Share { connections: half, allocations })
}

/// A room's name of 132 bits that nobody guesses, in the alphabet of links.
fn room_name(random: [u8; 22]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    random.iter().map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()])).collect()
}
