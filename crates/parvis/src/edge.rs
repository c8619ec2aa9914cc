// SPDX-License-Identifier: EUPL-1.2
//! Ties the public port together: TLS with its certificates, the relay, and the door to forwarding threads.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use parvis_api::{ApiConfig, Sample, Source};
use parvis_edge::acme::{self, AcmeConfig};
use parvis_edge::{
    Certificate, CertificateFiles, Edge, EdgeConfig, EdgeStats, IceDoor, Relay, Tls, watch_files,
};
use parvis_peer::Protocol;
use parvis_shard::ShardHandle;
use parvis_signal::RelayOffer;
use parvis_turn::{Clock, Issuer};
use tokio::task::AbortHandle;

use crate::config::{Config, Problem};
use crate::serve::ServeError;

/// The public port, ready to receive.
pub(crate) struct PublicPort {
    edge: Arc<Edge>,
    tls: Option<Tls>,
    source: Option<Certificates>,
    /// What keeps the certificate fresh, once it does.
    keeper: Option<AbortHandle>,
    relay: Option<Relay>,
    offer: Option<RelayOffer>,
    stats: Arc<EdgeStats>,
    /// As they were at the start.
    turn_names: Vec<String>,
}

/// Other certificates, read and not yet shown.
pub(crate) struct Renewal {
    source: Certificates,
    /// Of files, what is in them.
    read: Option<Certificate>,
}

/// Where certificates come from.
#[derive(Clone)]
enum Certificates {
    Files(CertificateFiles),
    Authority(AcmeConfig),
}

impl Certificates {
    /// As a configuration says. Relative paths start at `base`.
    fn of(config: &Config, base: &Path) -> Result<Option<Certificates>, Problem> {
        match config.tls.files(base) {
            Some(files) => Ok(Some(Certificates::Files(files))),
            None => Ok(config.acme_config(base)?.map(Certificates::Authority)),
        }
    }
}

/// The forwarding threads' door for connections that the public port accepted.
#[derive(Clone)]
struct Doors(ShardHandle);

impl std::fmt::Debug for Doors {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Doors").field("shards", &self.0.count()).finish()
    }
}

impl IceDoor for Doors {
    fn adopt(&self, shard: usize, stream: std::net::TcpStream) -> bool {
        self.0.adopt(shard, stream)
    }
}

/// Makes it, with its certificate shown and the relay's sockets bound.
pub(crate) async fn bind(
    config: &Config,
    base: &Path,
    http: SocketAddr,
    addresses: &[IpAddr],
    shards: &ShardHandle,
    max_allocations: usize,
) -> Result<PublicPort, ServeError> {
    let stats = Arc::<EdgeStats>::default();
    let wrong = |(key, problem): (String, String)| ServeError::Config { key, problem };
    let source = Certificates::of(config, base).map_err(wrong)?;
    let tls = match &source {
        None => None,
        Some(source) => Some(shown(config, source, &stats)?),
    };
    let (relay, offer) = if config.turn.enabled {
        let issuer = Issuer::new(config.turn_secret(base).map_err(wrong)?, clock());
        let media = media(shards);
        let offered = media.first().map_or(http.ip(), |(offered, _)| offered.ip());
        let relay_config = config.relay_config(addresses, media, max_allocations);
        let relay = Relay::start(relay_config, issuer.clone(), rand::random()).await?;
        let offer = RelayOffer {
            urls: config.turn_urls(http, &relay.udp_addresses(), offered),
            issuer,
            credential_age: config.turn.credential_age.0,
            force: config.turn.force_relay,
        };
        (Some(relay), Some(offer))
    } else {
        (None, None)
    };
    let ice: Arc<dyn IceDoor> = Arc::new(Doors(shards.clone()));
    let edge = Edge::new(config.edge_config(), tls.clone(), relay.clone(), Some(ice), Arc::clone(&stats));
    Ok(PublicPort {
        edge: Arc::new(edge),
        tls,
        source,
        keeper: None,
        relay,
        offer,
        stats,
        turn_names: config.turn.names.clone(),
    })
}

/// TLS that shows what there is.
fn shown(config: &Config, source: &Certificates, stats: &EdgeStats) -> Result<Tls, ServeError> {
    let tls = Tls::new(config.tls.crypto_profile.0).map_err(|error| ServeError::Config {
        key: "tls.crypto_profile".to_owned(),
        problem: format!("{error}; choose another profile"),
    })?;
    match source {
        Certificates::Files(files) => files.load(&tls, stats)?,
        // What was issued before is shown at once; the rest comes by itself.
        Certificates::Authority(acme) => acme::show_kept(acme, &tls, stats),
    }
    Ok(tls)
}

/// Whole days for which the certificate holds that a server of this configuration would show; `None` where there is none yet.
pub(crate) fn days_left(config: &Config, base: &Path) -> Result<Option<u64>, ServeError> {
    let source =
        Certificates::of(config, base).map_err(|(key, problem)| ServeError::Config { key, problem })?;
    let Some(source) = source else { return Ok(None) };
    Ok(shown(config, &source, &EdgeStats::default())?.days_left(SystemTime::now()))
}

impl PublicPort {
    /// Puts it before the participants' plane.
    pub(crate) fn stand_before(&self, api: &mut ApiConfig) {
        api.front = Some(Arc::clone(&self.edge) as Arc<dyn parvis_api::Front>);
        api.relays = self.relay.clone().map(|relay| Arc::new(relay) as Arc<dyn parvis_api::Relays>);
        Arc::make_mut(&mut api.room).relay.clone_from(&self.offer);
    }

    /// Keeps the certificate fresh from now on.
    pub(crate) fn keep_certificate(&mut self) {
        let (Some(tls), Some(source)) = (self.tls.clone(), self.source.clone()) else { return };
        let stats = Arc::clone(&self.stats);
        let keeper = match source {
            Certificates::Files(files) => tokio::spawn(watch_files(files, tls, stats)),
            Certificates::Authority(config) => tokio::spawn(acme::keep(config, tls, stats)),
        };
        if let Some(former) = self.keeper.replace(keeper.abort_handle()) {
            former.abort();
        }
    }

    /// Reads the certificate that a configuration names, and shows nothing yet. `None` where TLS is off now.
    pub(crate) fn renewal(&self, config: &Config, base: &Path) -> Result<Option<Renewal>, Problem> {
        let Some(source) = Certificates::of(config, base)? else { return Ok(None) };
        let profile = self.tls.as_ref().map_or(config.tls.crypto_profile.0, Tls::profile);
        let read = match &source {
            Certificates::Files(files) => {
                let read = files.read(profile, &self.stats);
                Some(read.map_err(|error| ("tls.certificate".to_owned(), error.to_string()))?)
            }
            Certificates::Authority(_) => None,
        };
        Ok(Some(Renewal { source, read }))
    }

    /// Puts other settings in force, for whoever connects from now on; only a restart switches TLS on or off. `source_changed` says whether certificates come from
    /// elsewhere now; what has been issued for another source is shown until the new one has its own.
    pub(crate) fn reload(&mut self, config: &Config, renewal: Option<Renewal>, source_changed: bool) {
        // Names of the relay stand in what participants were told as well: they wait for a restart.
        let turn_names = self.turn_names.clone();
        self.edge.reconfigure(EdgeConfig { turn_names, ..config.edge_config() });
        let (Some(tls), Some(Renewal { source, read })) = (&self.tls, renewal) else { return };
        match (&source, &read) {
            (Certificates::Files(files), Some(certificate)) => files.show(certificate, tls, &self.stats),
            (Certificates::Authority(acme), _) if source_changed => acme::show_kept(acme, tls, &self.stats),
            _ => {}
        }
        if source_changed {
            self.source = Some(source);
            self.keep_certificate();
        }
    }

    /// `https`, or `http` without TLS.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// Its counters for the metrics page.
    pub(crate) fn figures(&self) -> Source {
        let (stats, relay, tls) = (Arc::clone(&self.stats), self.relay.clone(), self.tls.clone());
        Arc::new(move || {
            let sample = |name: String, help: &'static str, counter: bool, value: u64| Sample {
                name,
                help,
                counter,
                labels: Vec::new(),
                value: value as f64,
            };
            let mut samples: Vec<Sample> = stats
                .fields()
                .map(|(name, help, value)| {
                    sample(format!("parvis_edge_{name}_total"), help.trim(), true, value)
                })
                .collect();
            if let Some(end) = tls.as_ref().and_then(Tls::not_after) {
                let name = "parvis_edge_certificate_not_after_timestamp_seconds".to_owned();
                samples.push(sample(name, "When the certificate that is shown ends.", false, end));
            }
            let Some(relay) = &relay else { return samples };
            let (turn, dropped) = relay.stats();
            let full = ("dropped_full", "Datagrams dropped because a socket of the relay was full.", dropped);
            for (name, help, value) in turn.fields().chain([full]) {
                samples.push(match name.strip_suffix("_now") {
                    Some(name) => sample(format!("parvis_turn_{name}"), help.trim(), false, value),
                    None => sample(format!("parvis_turn_{name}_total"), help.trim(), true, value),
                });
            }
            samples
        })
    }

    /// What `parvis check` says of it, line by line.
    pub(crate) fn describe(&self, config: &Config) -> Vec<String> {
        let profile = config.tls.crypto_profile.0;
        let mut lines = vec![format!("crypto profile: {profile}")];
        lines.extend(profile.describe().into_iter().map(|line| format!("  {line}")));
        match &self.source {
            None => lines.push("TLS: none; a reverse proxy has to speak it".to_owned()),
            Some(Certificates::Files(files)) => {
                lines.push(format!("TLS: certificate {}", files.certificate.display()));
            }
            Some(Certificates::Authority(acme)) => {
                lines.push(format!("TLS: certificate for {} by {}", acme.names.join(", "), acme.directory));
            }
        }
        if let Some(left) = self.tls.as_ref().and_then(|tls| tls.days_left(SystemTime::now())) {
            lines.push(format!("TLS: the certificate holds for {left} days more"));
        }
        match &self.offer {
            None => lines.push("TURN: off".to_owned()),
            Some(offer) => lines.extend(offer.urls.iter().map(|url| format!("TURN: {url}"))),
        }
        lines
    }
}

/// The media sockets over UDP of all shards: as they are offered, and as they are bound.
fn media(shards: &ShardHandle) -> Vec<(SocketAddr, SocketAddr)> {
    let of = |shard| {
        let offered = shards.candidates(shard).iter().filter(|candidate| candidate.protocol == Protocol::Udp);
        offered.map(|candidate| candidate.address).zip(shards.bound(shard).to_vec())
    };
    (0..shards.count()).flat_map(of).collect()
}

fn clock() -> Clock {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Clock::new(Instant::now(), unix.as_secs())
}
