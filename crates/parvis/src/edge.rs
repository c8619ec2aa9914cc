// SPDX-License-Identifier: EUPL-1.2
//! Ties the public port together: TLS with its certificates, the relay, and the door to forwarding threads.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use parvis_api::{ApiConfig, Sample, Source};
use parvis_edge::acme::{self, AcmeConfig};
use parvis_edge::{CertificateFiles, Edge, EdgeStats, IceDoor, Relay, Tls, watch_files};
use parvis_peer::Protocol;
use parvis_shard::ShardHandle;
use parvis_signal::RelayOffer;
use parvis_turn::{Clock, Issuer};

use crate::config::Config;
use crate::serve::ServeError;

/// The public port, ready to receive.
pub(crate) struct PublicPort {
    edge: Arc<Edge>,
    tls: Option<Tls>,
    source: Option<Certificates>,
    relay: Option<Relay>,
    offer: Option<RelayOffer>,
    stats: Arc<EdgeStats>,
}

/// Where certificates come from.
#[derive(Clone)]
enum Certificates {
    Files(CertificateFiles),
    Authority(AcmeConfig),
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
    let source = match config.tls.files(base) {
        Some(files) => Some(Certificates::Files(files)),
        None => config.acme_config(base).map_err(wrong)?.map(Certificates::Authority),
    };
    let tls = match &source {
        None => None,
        Some(source) => {
            let tls = Tls::new(config.tls.crypto_profile.0).map_err(|error| ServeError::Config {
                key: "tls.crypto_profile".to_owned(),
                problem: format!("{error}; choose another profile"),
            })?;
            match source {
                Certificates::Files(files) => files.load(&tls, &stats)?,
                // What was issued before is shown at once; the rest comes by itself.
                Certificates::Authority(acme) => acme::show_kept(acme, &tls, &stats),
            }
            Some(tls)
        }
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
    Ok(PublicPort { edge: Arc::new(edge), tls, source, relay, offer, stats })
}

impl PublicPort {
    /// Puts it before the participants' plane.
    pub(crate) fn stand_before(&self, api: &mut ApiConfig) {
        api.front = Some(Arc::clone(&self.edge) as Arc<dyn parvis_api::Front>);
        api.relays = self.relay.clone().map(|relay| Arc::new(relay) as Arc<dyn parvis_api::Relays>);
        Arc::make_mut(&mut api.room).relay.clone_from(&self.offer);
    }

    /// Keeps the certificate fresh from now on.
    pub(crate) fn keep_certificate(&self) {
        let (Some(tls), Some(source)) = (self.tls.clone(), self.source.clone()) else { return };
        let stats = Arc::clone(&self.stats);
        match source {
            Certificates::Files(files) => drop(tokio::spawn(watch_files(files, tls, stats))),
            Certificates::Authority(config) => drop(tokio::spawn(acme::keep(config, tls, stats))),
        }
    }

    /// `https`, or `http` without TLS.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// Its counters for the metrics page.
    pub(crate) fn figures(&self) -> Source {
        let (stats, relay) = (Arc::clone(&self.stats), self.relay.clone());
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
                .map(|(name, value)| {
                    sample(format!("parvis_edge_{name}_total"), "What the public port counts.", true, value)
                })
                .collect();
            let Some(relay) = &relay else { return samples };
            let (turn, dropped) = relay.stats();
            for (name, value) in turn.fields().chain([("dropped_full", dropped)]) {
                samples.push(match name.strip_suffix("_now") {
                    Some(name) => {
                        sample(format!("parvis_turn_{name}"), "What the relay holds.", false, value)
                    }
                    None => {
                        sample(format!("parvis_turn_{name}_total"), "What the relay counts.", true, value)
                    }
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
