// SPDX-License-Identifier: EUPL-1.2
//! Ties forwarding threads to the participants' plane.

use std::sync::Arc;

use parvis_api::{Api, Forwarders, Sample, Source};
use parvis_dtls::{Certificate, Context};
use parvis_peer::PeerConfig;
use parvis_sfu::{CheckRate, Command, Forwarder, ForwarderConfig, ForwarderId, RoomId};
use parvis_shard::{EngineSetup, ShardConfig, ShardError, ShardEvent, ShardHandle, Shards};
use tokio::sync::mpsc::Receiver;

use crate::config::Config;

/// The running shards and their event queues.
pub(crate) struct Media {
    pub(crate) shards: Shards<Forwarder>,
    pub(crate) events: Vec<Receiver<ShardEvent>>,
}

/// Why media can't be forwarded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MediaError {
    #[error(transparent)]
    Shard(#[from] ShardError),
    #[error("DTLS can't be set up: {0}")]
    Dtls(#[from] parvis_dtls::Error),
}

/// Binds the sockets and starts the threads.
pub(crate) fn start(config: &Config, shards: &ShardConfig) -> Result<Media, MediaError> {
    let certificate = Certificate::generate()?;
    let dtls = Arc::new(Context::new(&certificate, config.tls.crypto_profile.0.dtls())?);
    let media = Arc::new(config.media_config());
    let sdp = Arc::new(config.session_config());
    let max_peers = config.media.max_peers_per_shard.size();
    let max_tracks_per_peer = config.media.max_tracks_per_peer.size();
    let max_subscriptions_per_peer = config.media.max_subscriptions_per_peer.size();
    let failed_checks = CheckRate {
        burst: config.media.failed_checks_per_address.burst.to_u32(),
        per_second: config.media.failed_checks_per_address.per_second.to_u32(),
    };
    let make = move |setup: EngineSetup| {
        let peer = PeerConfig {
            local_candidates: setup.candidates.into(),
            dtls: Arc::clone(&dtls) as Arc<dyn parvis_dtls::Factory>,
            sdp: Arc::clone(&sdp),
            sctp: parvis_peer::sctp::SctpLimits::default(),
            limits: parvis_peer::PeerLimits::default(),
            ufrag_tag: u16::try_from(setup.shard).ok(),
        };
        let config = ForwarderConfig {
            max_peers,
            max_tracks_per_peer,
            max_subscriptions_per_peer,
            failed_checks,
            bound: setup.bound,
            ..ForwarderConfig::new(Arc::new(peer), Arc::clone(&media))
        };
        Forwarder::new(config, rand::random())
    };
    let (shards, events) = Shards::start(shards, make)?;
    Ok(Media { shards, events })
}

/// The shards as rooms see them.
pub(crate) struct Threads(pub(crate) ShardHandle);

impl Forwarders for Threads {
    fn new_room(&self) -> Option<RoomId> {
        self.0.new_room()
    }

    fn room_ended(&self, room: RoomId) {
        self.0.room_ended(room);
    }

    fn home(&self, room: RoomId) -> ForwarderId {
        self.0.home(room)
    }

    fn open_part(&self, room: RoomId) -> Option<ForwarderId> {
        self.0.open_part(room)
    }

    fn command(&self, to: ForwarderId, command: Command) -> Result<(), Box<Command>> {
        self.0.command(to, command).map_err(|full| full.0)
    }

    fn is_healthy(&self) -> bool {
        self.0.alive() > 0
    }
}

/// Carries one shard's events to their rooms, until the shard is gone.
pub(crate) async fn carry_events(
    from: ForwarderId,
    mut events: Receiver<ShardEvent>,
    api: Api,
    handle: ShardHandle,
) {
    while let Some(event) = events.recv().await {
        match event {
            ShardEvent::Room(room, event) => api.event(from, room, event),
            ShardEvent::RoomLost(lost) => api.lose_rooms("events", |room| room == lost),
            ShardEvent::EngineFailed { shard, .. } => {
                api.lose_rooms("panic", |room| handle.is_on(room, shard));
            }
        }
    }
}

/// The shards' and forwarders' counters for the metrics page.
pub(crate) fn figures(shards: Arc<Shards<Forwarder>>) -> Source {
    Arc::new(move || {
        let handle = shards.handle();
        let mut samples = Vec::new();
        for shard in 0..handle.count() {
            let Some(stats) = handle.stats(shard) else { continue };
            for (name, value) in stats.snapshot().fields() {
                let now = name.strip_suffix("_now");
                let name = now.map_or_else(
                    || format!("parvis_shard_{name}_total"),
                    |name| format!("parvis_shard_{name}"),
                );
                samples.push(sample(name, "What a shard counts.", now.is_none(), shard, value));
            }
        }
        for (shard, stats) in shards.engine_stats().into_iter().enumerate() {
            let counters = [
                ("datagrams_in", stats.datagrams_in),
                ("rtp_in", stats.rtp_in),
                ("rtp_out", stats.rtp_out),
                ("rtcp_in", stats.rtcp_in),
                ("rtcp_out", stats.rtcp_out),
                ("strangers", stats.strangers),
                ("throttled", stats.throttled),
                ("unsendable", stats.unsendable),
                ("refused_commands", stats.refused_commands),
                ("data_dropped", stats.data_dropped),
                ("trunk_packets_in", stats.trunk_packets_in),
                ("trunk_packets_out", stats.trunk_packets_out),
                ("trunk_overflow", stats.trunk_overflow),
                ("trunk_strays", stats.trunk_strays),
                ("outlet_packets", stats.outlet_packets),
                ("outlet_refused", stats.outlet_refused),
            ];
            for (name, value) in counters {
                let name = format!("parvis_forwarder_{name}_total");
                samples.push(sample(name, "What a forwarder counts.", true, shard, value));
            }
            let gauges = [
                ("peers", stats.peers),
                ("rooms", stats.rooms),
                ("imports", stats.imports),
                ("outlets", stats.outlets),
            ];
            for (name, value) in gauges {
                let name = format!("parvis_forwarder_{name}");
                samples.push(sample(name, "What a forwarder holds.", false, shard, value));
            }
            for (name, value) in stats.media.counters() {
                let name = format!("parvis_media_{name}_total");
                samples.push(sample(name, "What the media of all rooms counts.", true, shard, value));
            }
            for (reason, value) in &stats.dropped {
                let name = "parvis_forwarder_dropped_total".to_owned();
                let mut dropped = sample(name, "Datagrams refused by a peer.", true, shard, *value);
                dropped.labels.push(("reason", format!("{reason:?}").to_lowercase()));
                samples.push(dropped);
            }
        }
        samples
    })
}

fn sample(name: String, help: &'static str, counter: bool, shard: usize, value: u64) -> Sample {
    Sample { name, help, counter, labels: vec![("shard", shard.to_string())], value: value as f64 }
}
