// SPDX-License-Identifier: EUPL-1.2
//! The configuration: what may be set, and to what it is set when nobody says.
//!
//! [`load()`] reads a file and points at what is wrong in it, [`value`] holds the kinds of values, [`apply`] turns all
//! of it into the words of the crates below, [`stored`] is the same for the database and webhooks, [`applications`] for what
//! applications' servers and agents may ask for, [`presets`] are rooms' configurations by name, [`meeting`] is how meetings are conducted, [`branding`] is how the web
//! client looks, [`recording`] what is kept of meetings, [`streaming`] what is streamed of them, [`traces`] what a collector is told, [`edge`] does both for the public port, [`show()`] prints it with the origin of each value, [`livekit`] takes
//! over what was written for another server.

mod applications;
mod apply;
mod audit;
mod branding;
mod credentials;
mod edge;
mod livekit;
mod load;
mod meeting;
mod presets;
mod process;
mod recording;
mod show;
mod storage;
mod stored;
mod streaming;
#[cfg(test)]
mod tests;
mod traces;
mod value;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub(crate) use apply::Problem;
use edge::{NodeIp, PlainHttp, Tls, Turn};
pub(crate) use livekit::{BODY_VARIABLE, Foreign, base, take_over};
pub(crate) use load::{ConfigError, Loaded, load};
use presets::Preset;
pub(crate) use process::Confine;
pub(crate) use show::{show, values};
pub(crate) use value::Ports;
use value::{Bounded, Bytes, Count, Port, Time};

/// All that may be set. `configs/parvis.toml` says the same with a word for each.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) http: Http,
    pub(crate) tls: Tls,
    pub(crate) turn: Turn,
    pub(crate) metrics: Metrics,
    pub(crate) traces: traces::Traces,
    pub(crate) media: Media,
    pub(crate) rooms: Rooms,
    pub(crate) meeting: meeting::Meeting,
    pub(crate) branding: branding::Branding,
    pub(crate) whip: Whip,
    pub(crate) sessions: Sessions,
    pub(crate) tokens: Tokens,
    pub(crate) drain: Drain,
    pub(crate) process: process::Process,
    pub(crate) log: Log,
    pub(crate) data: Data,
    pub(crate) database: stored::Database,
    pub(crate) audit: audit::Audit,
    pub(crate) webhooks: stored::Webhooks,
    pub(crate) server_api: applications::ServerApi,
    pub(crate) agents: applications::Agents,
    pub(crate) recording: recording::Recording,
    pub(crate) streaming: streaming::Streaming,
    pub(crate) keys: Vec<Key>,
}

/// The participants' HTTP port and its limits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Http {
    pub(crate) listen: SocketAddr,
    pub(crate) public_port: Port,
    pub(crate) plain: PlainHttp,
    pub(crate) trusted_proxies: Vec<IpAddr>,
    pub(crate) frame_ancestors: Vec<String>,
    pub(crate) proxy_protocol_from: Vec<IpAddr>,
    pub(crate) max_connections: Count,
    pub(crate) max_connections_per_address: Count,
    pub(crate) reserved_files: Bounded<16, 100_000>,
    pub(crate) request_head_timeout: Time,
    pub(crate) request_timeout: Time,
    pub(crate) first_message_timeout: Time,
    pub(crate) idle_timeout: Time,
    pub(crate) write_timeout: Time,
    pub(crate) write_queue_messages: Count,
    pub(crate) write_queue_bytes: Bytes,
    pub(crate) joins_per_address: Rate,
}

/// So many at once, so many a second after that.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rate {
    pub(crate) burst: Count,
    pub(crate) per_second: Count,
}

/// Where Prometheus reads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Metrics {
    pub(crate) listen: SocketAddr,
    pub(crate) jitsi_names: bool,
}

/// Media sockets, threads and bounds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Media {
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) node_ip: Vec<NodeIp>,
    pub(crate) udp_ports: Ports,
    pub(crate) tcp: bool,
    pub(crate) tcp_port: Port,
    pub(crate) tcp_on_http_port: bool,
    pub(crate) shards: Bounded<0, 1_024>,
    pub(crate) pin: bool,
    pub(crate) gso: bool,
    pub(crate) gro: bool,
    pub(crate) socket_buffer_bytes: Bytes,
    pub(crate) command_queue: Count,
    pub(crate) event_queue: Count,
    pub(crate) max_tcp_connections: Count,
    pub(crate) max_tcp_connections_per_address: Count,
    pub(crate) tcp_first_answer_timeout: Time,
    pub(crate) tcp_idle_timeout: Time,
    pub(crate) tcp_write_queue_bytes: Bytes,
    pub(crate) max_peers_per_shard: Count,
    pub(crate) max_room_peers_per_shard: Count,
    pub(crate) max_tracks_per_peer: Bounded<1, 1_000>,
    pub(crate) max_subscriptions_per_peer: Count,
    pub(crate) failed_checks_per_address: Rate,
    pub(crate) max_track_bitrate: Bounded<64_000, 1_000_000_000>,
    pub(crate) max_track_packets_per_second: Count,
    pub(crate) max_sound_bitrate: Bounded<64_000, 1_000_000_000>,
    pub(crate) max_sound_packets_per_second: Count,
    pub(crate) max_participant_bitrate: Bounded<64_000, 10_000_000_000>,
    pub(crate) max_participant_packets_per_second: Count,
    pub(crate) start_bitrate: Bounded<30_000, 1_000_000_000>,
    pub(crate) max_subscriber_bitrate: Bounded<100_000, 10_000_000_000>,
    pub(crate) loudest_tracks: Bounded<0, 1_000>,
    pub(crate) red_loss_percent: Bounded<1, 100>,
    pub(crate) red_twice_loss_percent: Bounded<1, 100>,
    pub(crate) red_min_bitrate: Bounded<0, 1_000_000_000>,
    pub(crate) fec_loss_percent: Bounded<0, 101>,
    pub(crate) fec_twice_loss_percent: Bounded<0, 101>,
    pub(crate) fec_round_trip_ms: Bounded<0, 10_000>,
    pub(crate) fec_share_percent: Bounded<1, 50>,
    pub(crate) patience_ms: Bounded<0, 5_000>,
}

/// Which rooms there may be, and what they may grow to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Rooms {
    pub(crate) guests: bool,
    pub(crate) guest_room_chars: Bounded<0, 128>,
    pub(crate) auto_create: bool,
    pub(crate) enabled_codecs: Vec<String>,
    pub(crate) sync_streams: bool,
    pub(crate) min_playout_delay: Time,
    pub(crate) max_playout_delay: Time,
    pub(crate) recording_consent: bool,
    pub(crate) record: String,
    pub(crate) remote_unmute: bool,
    pub(crate) max: Count,
    pub(crate) max_participants: Count,
    pub(crate) max_roster: Count,
    pub(crate) max_tracks_per_participant: Bounded<1, 1_000>,
    pub(crate) max_name_chars: Bounded<1, 4_096>,
    pub(crate) max_metadata_bytes: Bytes,
    pub(crate) max_attributes_bytes: Bytes,
    pub(crate) max_data_tracks_per_participant: Bounded<0, 65_535>,
    pub(crate) max_data_subscriptions_per_participant: Bounded<0, 60_000>,
    pub(crate) max_blob_bytes: Bytes,
    pub(crate) max_blobs_per_participant: Bounded<0, 100_000>,
    pub(crate) max_blobs: Bounded<0, 100_000>,
    pub(crate) empty_timeout: Time,
    pub(crate) departure_timeout: Time,
    pub(crate) longest_timeout: Time,
    pub(crate) max_duration: Time,
    pub(crate) remembered_identities: Count,
    pub(crate) presets: BTreeMap<String, Preset>,
}

/// Publishing and watching by one HTTP request (WHIP, WHEP).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Whip {
    pub(crate) max_sessions: Count,
    pub(crate) max_sessions_per_address: Count,
    pub(crate) max_offer_bytes: Bytes,
}

/// One participant's signalling.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Sessions {
    pub(crate) resume_timeout: Time,
    pub(crate) join_timeout: Time,
    pub(crate) max_message_bytes: Bytes,
    pub(crate) max_sdp_bytes: Bytes,
    pub(crate) max_data_bytes: Bytes,
    pub(crate) requests: Rate,
    pub(crate) reliable_data: Rate,
    pub(crate) lossy_data: Rate,
    pub(crate) track_packets: Rate,
    pub(crate) replay_messages: Count,
    pub(crate) replay_bytes: Bytes,
    pub(crate) slow_reader_interval: Time,
    pub(crate) slow_reader_bytes: Bytes,
    pub(crate) simulate: bool,
}

/// Access tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Tokens {
    pub(crate) max_age: Time,
    pub(crate) guest_age: Time,
}

/// What happens between SIGTERM and the end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Drain {
    pub(crate) deadline: Time,
}

/// The log on the standard error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Log {
    pub(crate) level: String,
    pub(crate) json: bool,
}

/// Where the server keeps what must outlive it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Data {
    pub(crate) directory: PathBuf,
}

/// A name and a secret that sign tokens.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Key {
    pub(crate) name: String,
    /// The organisation that it belongs to; the default one if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tenant: Option<String>,
    /// The secret itself. Better a file that only the server can read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) secret: Option<String>,
    /// A file that holds the secret and nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) secret_file: Option<PathBuf>,
}

impl std::fmt::Debug for Key {
    /// A secret gets into no log.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Key").field("name", &self.name).finish_non_exhaustive()
    }
}

fn count(value: usize) -> Count {
    Bounded::of(i64::try_from(value).unwrap_or(i64::MAX))
}

fn bytes(value: usize) -> Bytes {
    Bounded::of(i64::try_from(value).unwrap_or(i64::MAX))
}

fn rate(rate: parvis_signal::Rate) -> Rate {
    Rate { burst: Bounded::of(rate.burst.into()), per_second: Bounded::of(rate.per_second.into()) }
}

impl Default for Http {
    fn default() -> Self {
        let limits = parvis_api::ConnectionLimits::default();
        Http {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 7880)),
            public_port: Bounded::of(0),
            plain: PlainHttp::Redirect,
            trusted_proxies: Vec::new(),
            frame_ancestors: Vec::new(),
            proxy_protocol_from: Vec::new(),
            max_connections: count(limits.max),
            max_connections_per_address: count(limits.max_per_ip),
            reserved_files: Bounded::of(i64::try_from(limits.reserve).unwrap_or(i64::MAX)),
            request_head_timeout: Time(limits.request_head),
            request_timeout: Time(limits.request),
            first_message_timeout: Time(limits.first_message),
            idle_timeout: Time(limits.idle),
            write_timeout: Time(limits.write),
            write_queue_messages: count(limits.write_queue),
            write_queue_bytes: bytes(limits.write_queue_bytes),
            joins_per_address: rate(limits.joins),
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 7891)), jitsi_names: false }
    }
}

impl Default for Media {
    fn default() -> Self {
        let shard = parvis_shard::ShardConfig::default();
        let media = parvis_sfu::media::MediaConfig::default();
        let checks = parvis_sfu::CheckRate::default();
        Media {
            addresses: Vec::new(),
            node_ip: Vec::new(),
            udp_ports: Ports { first: 7882, last: 7945 },
            tcp: true,
            tcp_port: Bounded::of(7881),
            tcp_on_http_port: true,
            shards: Bounded::of(0),
            pin: shard.pin,
            gso: shard.gso,
            gro: shard.gro,
            socket_buffer_bytes: bytes(shard.socket_buffer_bytes),
            command_queue: count(shard.command_queue),
            event_queue: count(shard.event_queue),
            max_tcp_connections: count(shard.tcp.max_connections),
            max_tcp_connections_per_address: count(shard.tcp.max_connections_per_ip),
            tcp_first_answer_timeout: Time(shard.tcp.first_answer),
            tcp_idle_timeout: Time(shard.tcp.idle),
            tcp_write_queue_bytes: bytes(shard.tcp.write_queue_bytes),
            max_peers_per_shard: count(4_096),
            max_room_peers_per_shard: count(parvis_sfu::SpreadConfig::default().peers_per_part),
            max_tracks_per_peer: Bounded::of(32),
            max_subscriptions_per_peer: count(250),
            failed_checks_per_address: Rate {
                burst: Bounded::of(checks.burst.into()),
                per_second: Bounded::of(checks.per_second.into()),
            },
            max_track_bitrate: Bounded::of(i64::try_from(media.ingress_bitrate).unwrap_or(i64::MAX)),
            max_track_packets_per_second: Bounded::of(media.ingress_packets_per_second.into()),
            max_sound_bitrate: Bounded::of(i64::try_from(media.ingress_bitrate_audio).unwrap_or(i64::MAX)),
            max_sound_packets_per_second: Bounded::of(media.ingress_packets_per_second_audio.into()),
            max_participant_bitrate: Bounded::of(
                i64::try_from(media.ingress_bitrate_peer).unwrap_or(i64::MAX),
            ),
            max_participant_packets_per_second: Bounded::of(media.ingress_packets_per_second_peer.into()),
            start_bitrate: Bounded::of(i64::try_from(media.start_bitrate).unwrap_or(i64::MAX)),
            max_subscriber_bitrate: Bounded::of(i64::try_from(media.max_bitrate).unwrap_or(i64::MAX)),
            loudest_tracks: Bounded::of(i64::try_from(media.loudest_tracks).unwrap_or(i64::MAX)),
            red_loss_percent: Bounded::of((media.red_loss[0] * 100.0).round() as i64),
            red_twice_loss_percent: Bounded::of((media.red_loss[1] * 100.0).round() as i64),
            red_min_bitrate: Bounded::of(i64::try_from(media.red_min_bitrate).unwrap_or(i64::MAX)),
            fec_loss_percent: Bounded::of((media.fec_loss[0] * 100.0).round() as i64),
            fec_twice_loss_percent: Bounded::of((media.fec_loss[1] * 100.0).round() as i64),
            fec_round_trip_ms: Bounded::of(media.fec_round_trip.as_millis() as i64),
            fec_share_percent: Bounded::of((media.fec_share * 100.0).round() as i64),
            patience_ms: Bounded::of(media.patience.as_millis() as i64),
        }
    }
}

impl Default for Rooms {
    fn default() -> Self {
        let api = parvis_api::ApiConfig::default();
        let limits = parvis_meeting::Limits::default();
        let room = parvis_signal::RoomConfig::default();
        Rooms {
            guests: api.guests,
            guest_room_chars: Bounded::of(i64::try_from(api.guest_room_chars).unwrap_or(i64::MAX)),
            auto_create: api.auto_create,
            enabled_codecs: room.publish_codecs.into_iter().map(|(mime, _)| mime).collect(),
            sync_streams: room.sync_streams,
            min_playout_delay: Time(room.playout_delay.0),
            max_playout_delay: Time(room.playout_delay.1),
            recording_consent: room.recording_consent,
            record: room.record,
            remote_unmute: room.remote_unmute,
            max: count(api.max_rooms),
            max_participants: count(limits.participants),
            max_roster: count(room.roster_limit),
            max_tracks_per_participant: Bounded::of(limits.tracks_per_participant as i64),
            max_name_chars: Bounded::of(limits.name_chars as i64),
            max_metadata_bytes: bytes(limits.metadata_bytes),
            max_attributes_bytes: bytes(limits.attributes_bytes),
            max_data_tracks_per_participant: Bounded::of(room.data_tracks_per_participant as i64),
            max_data_subscriptions_per_participant: Bounded::of(
                room.data_subscriptions_per_participant as i64,
            ),
            max_blob_bytes: bytes(room.blob_bytes),
            max_blobs_per_participant: Bounded::of(room.blobs_per_participant as i64),
            max_blobs: Bounded::of(room.blobs_per_room as i64),
            empty_timeout: Time(limits.empty_timeout),
            departure_timeout: Time(limits.departure_timeout),
            longest_timeout: Time(room.longest_timeout),
            max_duration: Time(limits.max_duration.unwrap_or_default()),
            remembered_identities: count(room.remembered_identities),
            presets: BTreeMap::new(),
        }
    }
}

impl Default for Whip {
    fn default() -> Self {
        let limits = parvis_api::OfferLimits::default();
        Whip {
            max_sessions: count(limits.max),
            max_sessions_per_address: count(limits.max_per_ip),
            max_offer_bytes: bytes(limits.max_bytes),
        }
    }
}

impl Default for Sessions {
    fn default() -> Self {
        let room = parvis_signal::RoomConfig::default();
        Sessions {
            resume_timeout: Time(room.resume_timeout),
            join_timeout: Time(room.join_timeout),
            max_message_bytes: bytes(room.message_bytes),
            max_sdp_bytes: bytes(room.sdp_bytes),
            max_data_bytes: bytes(room.data_bytes),
            requests: rate(room.requests),
            reliable_data: rate(room.reliable_data),
            lossy_data: rate(room.lossy_data),
            track_packets: rate(room.track_packets),
            replay_messages: count(room.replay_messages),
            replay_bytes: bytes(room.replay_bytes),
            slow_reader_interval: Time(room.slow_reader.0),
            slow_reader_bytes: Bounded::of(i64::try_from(room.slow_reader.1).unwrap_or(i64::MAX)),
            simulate: room.simulate,
        }
    }
}

impl Default for Tokens {
    fn default() -> Self {
        // Six hours is what the SDKs' token makers give when nobody says.
        Tokens { max_age: Time::secs(6 * 3_600), guest_age: Time::secs(600) }
    }
}

impl Default for Drain {
    fn default() -> Self {
        Drain { deadline: Time::secs(600) }
    }
}

impl Default for Log {
    fn default() -> Self {
        Log { level: "info".to_owned(), json: false }
    }
}

impl Default for Data {
    fn default() -> Self {
        Data { directory: PathBuf::from("parvis-data") }
    }
}

impl Config {
    /// Changes the defaults to those of `--dev`: the key that every example knows, guests in any room, no waiting at the
    /// end. Addresses stay on loopback.
    pub(crate) fn for_development(&mut self, (name, secret): (&str, &str)) {
        self.keys = vec![Key {
            name: name.to_owned(),
            tenant: None,
            secret: Some(secret.to_owned()),
            secret_file: None,
        }];
        self.rooms.guests = true;
        self.rooms.guest_room_chars = Bounded::of(1);
        // Clients are tested against it.
        self.sessions.simulate = true;
        // Several may share the machine with each other and a browser.
        self.media.pin = false;
        self.media.tcp_on_http_port = false;
        // Other people's tests make tokens that last for days.
        self.tokens.max_age = Time::secs(31 * 86_400);
        self.drain.deadline = Time::secs(0);
    }

    /// Sets the first TCP port for media.
    pub(crate) fn set_tcp_port(&mut self, port: u16) {
        self.media.tcp_port = Bounded::of(port.into());
    }
}
