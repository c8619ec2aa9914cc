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

/// How busy a shard was: Prometheus counts in seconds.
fn busy(shard: usize) -> Sample {
    let help = "Time in which the loop did not wait: a second each second is a full core.";
    sample("parvis_shard_busy_seconds_total".to_owned(), help, true, shard, 0)
}

/// The shards' and forwarders' counters for the metrics page.
pub(crate) fn figures(shards: Arc<Shards<Forwarder>>) -> Source {
    Arc::new(move || {
        let handle = shards.handle();
        let mut samples = Vec::new();
        for shard in 0..handle.count() {
            let Some(stats) = handle.stats(shard) else { continue };
            for (name, help, value) in stats.snapshot().fields() {
                if name == "busy_us" {
                    samples.push(Sample { value: value as f64 / 1e6, ..busy(shard) });
                    continue;
                }
                let now = name.strip_suffix("_now");
                let name = now.map_or_else(
                    || format!("parvis_shard_{name}_total"),
                    |name| format!("parvis_shard_{name}"),
                );
                samples.push(sample(name, help.trim(), now.is_none(), shard, value));
            }
        }
        for (shard, stats) in shards.engine_stats().into_iter().enumerate() {
            let counters = [
                ("datagrams_in", "Datagrams that came in.", stats.datagrams_in),
                ("rtp_in", "RTP packets that were authentic.", stats.rtp_in),
                ("rtp_out", "RTP packets sent.", stats.rtp_out),
                ("rtcp_in", "RTCP packets that were authentic.", stats.rtcp_in),
                ("rtcp_out", "RTCP packets sent.", stats.rtcp_out),
                (
                    "strangers",
                    "Datagrams from nobody that we know: no validated path, no STUN for a peer of ours.",
                    stats.strangers,
                ),
                (
                    "throttled",
                    "STUN checks dropped unread, because too many from their address had failed.",
                    stats.throttled,
                ),
                ("unsendable", "Packets for a peer without path or keys.", stats.unsendable),
                (
                    "refused_commands",
                    "Commands for something that is gone, or beyond a limit.",
                    stats.refused_commands,
                ),
                ("data_dropped", "Data messages dropped for a full or missing channel.", stats.data_dropped),
                ("trunk_packets_in", "Packets that came by trunks.", stats.trunk_packets_in),
                ("trunk_packets_out", "Packets given to trunks.", stats.trunk_packets_out),
                (
                    "trunk_overflow",
                    "Packets, and other messages, that found a trunk full.",
                    stats.trunk_overflow,
                ),
                (
                    "trunk_strays",
                    "Messages by trunk about nothing that is shared with their sender: it is just over, or not yet begun.",
                    stats.trunk_strays,
                ),
                (
                    "outlet_packets",
                    "Packets sent to media workers, retransmissions among them.",
                    stats.outlet_packets,
                ),
                (
                    "outlet_refused",
                    "Datagrams from the addresses of media workers: nothing comes that way.",
                    stats.outlet_refused,
                ),
            ];
            for (name, help, value) in counters {
                let name = format!("parvis_forwarder_{name}_total");
                samples.push(sample(name, help, true, shard, value));
            }
            let gauges = [
                ("peers", "Peers that are there now.", stats.peers),
                ("rooms", "Rooms that are there now.", stats.rooms),
                ("imports", "Tracks of other forwarders that are there now.", stats.imports),
                ("outlets", "Outlets to media workers that are there now.", stats.outlets),
            ];
            for (name, help, value) in gauges {
                let name = format!("parvis_forwarder_{name}");
                samples.push(sample(name, help, false, shard, value));
            }
            for (name, help, value) in stats.media.counters() {
                let name = format!("parvis_media_{name}_total");
                samples.push(sample(name, help.trim(), true, shard, value));
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

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, SocketAddr};
    use std::time::Duration;

    use futures_util::{SinkExt, StreamExt};
    use livekit_protocol as proto;
    use livekit_protocol::leave_request::Action;
    use livekit_protocol::signal_request::Message as Request;
    use livekit_protocol::signal_response::Message as Response;
    use parvis_api::{ApiConfig, Keys, Metrics};
    use parvis_signal::Grants;
    use prost::Message as _;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::mpsc;
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn keys() -> Keys {
        let keys = vec![("main".to_owned(), "0123456789abcdef0123456789abcdef".to_owned())];
        Keys::new(keys, Duration::from_secs(3_600), false).unwrap()
    }

    struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

    impl Client {
        /// Joins, and waits for the first offer: it comes from the room's shard.
        async fn join(server: SocketAddr, room: &str, identity: &str) -> Client {
            let token = keys().issue(room, &Grants::of(identity), Duration::from_secs(60)).unwrap();
            let url = format!("ws://{server}/rtc?access_token={token}&protocol=16&auto_subscribe=1");
            let (socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
            let mut client = Client(socket);
            assert!(matches!(client.hear().await, Some(Response::Join(_))));
            client.hear_of(|said| matches!(said, Response::Offer(_))).await.expect("an offer");
            client
        }

        /// What is said next; `None` when it is over.
        async fn hear(&mut self) -> Option<Response> {
            loop {
                let heard = tokio::time::timeout(PATIENCE, self.0.next()).await.expect("something in time");
                match heard?.ok()? {
                    Message::Binary(bytes) => return proto::SignalResponse::decode(bytes).unwrap().message,
                    Message::Close(_) => return None,
                    _ => {}
                }
            }
        }

        async fn hear_of(&mut self, wanted: impl Fn(&Response) -> bool) -> Option<Response> {
            loop {
                let said = self.hear().await?;
                if wanted(&said) {
                    return Some(said);
                }
            }
        }

        /// Whether it is told that the media is gone and that a new join helps, and then hung up on.
        async fn is_sent_back(&mut self) -> bool {
            let Some(Response::Leave(leave)) = self.hear_of(|said| matches!(said, Response::Leave(_))).await
            else {
                return false;
            };
            let told = (leave.action(), leave.reason(), leave.can_reconnect);
            assert_eq!(told, (Action::Reconnect, proto::DisconnectReason::MediaFailure, true));
            self.hear().await.is_none()
        }

        /// Whether it is in its room still.
        async fn goes_on(&mut self) -> bool {
            let ping = proto::SignalRequest { message: Some(Request::Ping(7)) };
            self.0.send(Message::Binary(ping.encode_to_vec().into())).await.unwrap();
            let said = self.hear_of(|said| matches!(said, Response::Pong(_) | Response::Leave(_))).await;
            matches!(said, Some(Response::Pong(_)))
        }
    }

    #[tokio::test]
    async fn row_07_a_shards_end_sends_those_in_its_rooms_back_and_a_lost_room_its_own() {
        let config = ShardConfig {
            shards: 2,
            addresses: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
            first_udp_port: 0,
            first_tcp_port: None,
            pin: false,
            ..ShardConfig::default()
        };
        let Media { shards, events } = start(&Config::default(), &config).unwrap();
        let handle = shards.handle();
        let metrics = Metrics::new(Vec::new()).unwrap();
        let threads = Arc::new(Threads(handle.clone()));
        let api = Api::new(ApiConfig::default(), keys(), threads, metrics.clone());
        for (shard, events) in events.into_iter().enumerate() {
            let from = ForwarderId(shard as u64);
            tokio::spawn(carry_events(from, events, api.clone(), handle.clone()));
        }
        // What a shard says of its end, said here: a forwarder has no way to be told to fail.
        let (told, from_shard) = mpsc::channel(4);
        let carried = tokio::spawn(carry_events(ForwarderId(0), from_shard, api.clone(), handle.clone()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap();
        let serving = api.clone();
        tokio::spawn(async move { serving.serve(listener).await });

        // Rooms go where the fewest are, the first one first; their numbers say it.
        let mut ada = Client::join(server, "atelier", "ada").await;
        let mut bo = Client::join(server, "bureau", "bo").await;
        let mut cleo = Client::join(server, "cour", "cleo").await;
        let mut dan = Client::join(server, "donjon", "dan").await;
        let [atelier, bureau, cour, donjon] = [2, 5, 6, 9].map(RoomId);
        assert!([atelier, cour].iter().all(|room| handle.is_on(*room, 0)));
        assert!([bureau, donjon].iter().all(|room| handle.is_on(*room, 1)));

        let reason = "out of bounds".to_owned();
        told.send(ShardEvent::EngineFailed { shard: 0, reason, given_up: false }).await.unwrap();
        assert!(ada.is_sent_back().await && cleo.is_sent_back().await);
        assert!(bo.goes_on().await && dan.goes_on().await, "rooms of the other shard");
        assert!(
            metrics.page().contains("parvis_rooms_lost_total{cause=\"panic\"} 2\n"),
            "{}",
            metrics.page()
        );
        // They come back into a new room of the same name.
        let mut ada = Client::join(server, "atelier", "ada").await;
        assert!(ada.goes_on().await);

        told.send(ShardEvent::RoomLost(bureau)).await.unwrap();
        assert!(bo.is_sent_back().await);
        assert!(dan.goes_on().await && ada.goes_on().await, "one on the same shard, and one on the other");
        assert!(
            metrics.page().contains("parvis_rooms_lost_total{cause=\"events\"} 1\n"),
            "{}",
            metrics.page()
        );

        drop(told);
        tokio::time::timeout(PATIENCE, carried).await.expect("it ends with its shard").unwrap();
        assert!(dan.goes_on().await);
        api.stop();
    }
}
