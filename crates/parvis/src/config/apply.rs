// SPDX-License-Identifier: EUPL-1.2
//! Turns the configuration into the words of the crates below, and checks what no single value can say.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parvis_api::{ApiConfig, ConnectionLimits, Keys, OfferLimits, TenantId};
use parvis_meeting::Limits;
use parvis_peer::sdp::{CodecKind, MediaKind, SessionConfig};
use parvis_sfu::SpreadConfig;
use parvis_sfu::media::MediaConfig;
use parvis_shard::{ShardConfig, TcpConfig};
use parvis_signal::RoomConfig;

use super::{Config, Key, Rate, Time};

/// The file that a secret is read from has at most so many bytes.
const MAX_SECRET_BYTES: usize = 4_096;
/// Characters of an organisation's name.
const MAX_TENANT_CHARS: usize = 64;

/// A key of the configuration and what is wrong with it.
pub(crate) type Problem = (String, String);

impl Config {
    /// Finds what is wrong beyond single values. Relative paths start at `base`.
    pub(super) fn check(&self, base: &Path) -> Result<(), Problem> {
        let problem = |key: &str, problem: String| Err((key.to_owned(), problem));
        for (key, time) in self.times_that_must_be() {
            if time.limit().is_none() {
                return problem(
                    key,
                    "no time at all would refuse everyone; use a longer one, such as \"10s\"".to_owned(),
                );
            }
        }
        if let Some(wildcard) = self.media.addresses.iter().find(|address| address.is_unspecified()) {
            return problem(
                "media.addresses",
                format!(
                    "{wildcard} is a wildcard; name the addresses that clients reach, or leave the list empty for all"
                ),
            );
        }
        let shards = self.media.shards.size();
        if shards > self.media.udp_ports.count() {
            let ports = self.media.udp_ports;
            return problem(
                "media.udp_ports",
                format!("{ports} are too few for {shards} shards; each needs one"),
            );
        }
        let known = known_codecs();
        let is_known = |codec: &&String| known.iter().any(|known| known.eq_ignore_ascii_case(codec));
        if let Some(unknown) = self.rooms.enabled_codecs.iter().find(|codec| !is_known(codec)) {
            return problem(
                "rooms.enabled_codecs",
                format!("\"{unknown}\" is no codec of this server; use some of {}", known.join(", ")),
            );
        }
        if self.rooms.enabled_codecs.is_empty() {
            return problem(
                "rooms.enabled_codecs",
                "without a codec nobody could publish; name some".to_owned(),
            );
        }
        if tracing_subscriber::EnvFilter::try_new(&self.log.level).is_err() {
            let level = &self.log.level;
            return problem(
                "log.level",
                format!(
                    "\"{level}\" is no level; use error, warn, info, debug or trace, or what RUST_LOG takes"
                ),
            );
        }
        if self.keys.is_empty() {
            return problem(
                "keys",
                "no API key, so nobody could join; add one with `name` and `secret_file`, `parvis key create` makes its secret"
                    .to_owned(),
            );
        }
        self.check_presets()?;
        self.look(base)?;
        self.check_edge()?;
        self.store_config(base)?;
        self.recording(base)?;
        let keys = self.keys(base, false)?;
        self.webhook_config().check(&keys).map_err(|error| (error.key().to_owned(), error.to_string()))
    }

    fn times_that_must_be(&self) -> [(&'static str, Time); 26] {
        let (http, media, sessions) = (&self.http, &self.media, &self.sessions);
        let webhooks = &self.webhooks;
        [
            ("http.request_head_timeout", http.request_head_timeout),
            ("http.request_timeout", http.request_timeout),
            ("http.first_message_timeout", http.first_message_timeout),
            ("http.idle_timeout", http.idle_timeout),
            ("http.write_timeout", http.write_timeout),
            ("media.tcp_first_answer_timeout", media.tcp_first_answer_timeout),
            ("media.tcp_idle_timeout", media.tcp_idle_timeout),
            ("rooms.empty_timeout", self.rooms.empty_timeout),
            ("rooms.longest_timeout", self.rooms.longest_timeout),
            ("meeting.keep", self.meeting.keep),
            ("meeting.waiting_timeout", self.meeting.waiting_timeout),
            ("agents.answer_timeout", self.agents.answer_timeout),
            ("agents.token_age", self.agents.token_age),
            ("sessions.resume_timeout", sessions.resume_timeout),
            ("sessions.join_timeout", sessions.join_timeout),
            ("sessions.slow_reader_interval", sessions.slow_reader_interval),
            ("tls.handshake_timeout", self.tls.handshake_timeout),
            ("turn.credential_age", self.turn.credential_age),
            ("turn.allocation_lifetime", self.turn.allocation_lifetime),
            ("turn.first_allocation_timeout", self.turn.first_allocation_timeout),
            ("tokens.max_age", self.tokens.max_age),
            ("tokens.guest_age", self.tokens.guest_age),
            ("database.timeout", self.database.timeout),
            ("webhooks.request_timeout", webhooks.request_timeout),
            ("webhooks.first_retry", webhooks.first_retry),
            ("webhooks.longest_retry", webhooks.longest_retry),
        ]
    }

    /// The key table, with secrets read from their files.
    pub(crate) fn keys(&self, base: &Path, dev: bool) -> Result<Keys, Problem> {
        let keys = self.keys.iter().map(|key| Ok((key.name.clone(), secret(key, base)?)));
        let keys = keys.collect::<Result<Vec<_>, Problem>>()?;
        let keys = Keys::new(keys, self.tokens.max_age.0, dev);
        let keys = keys.map_err(|error| ("keys".to_owned(), error.to_string()))?;
        let mut named = self.keys.iter().filter_map(|key| Some((key, key.tenant.as_deref()?)));
        named.try_fold(keys, |keys, (key, tenant)| {
            parvis_meeting::text::check_name("tenant", tenant, MAX_TENANT_CHARS)
                .map_err(|error| ("keys".to_owned(), format!("\"{}\": {error}", key.name)))?;
            Ok(keys.assign(&key.name, &TenantId::new(tenant)))
        })
    }

    /// Name and secret of the first key that belongs to no organisation of its own.
    pub(crate) fn first_key(&self, base: &Path) -> Result<(String, String), Problem> {
        let own = self.keys.iter().find(|key| key.tenant.is_none());
        let key = own
            .ok_or_else(|| ("keys".to_owned(), "all belong to organisations; add one without".to_owned()))?;
        Ok((key.name.clone(), secret(key, base)?))
    }

    /// How many shards there will be.
    pub(crate) fn shards(&self) -> usize {
        match self.media.shards.size() {
            0 => {
                let cores = std::thread::available_parallelism().map_or(1, usize::from);
                cores.min(self.media.udp_ports.count())
            }
            shards => shards,
        }
    }

    /// The shards' configuration; `addresses` are what the machine has, for when none are named. Where outer addresses are
    /// named, those of ours that none stands for are not used at all.
    pub(crate) fn shard_config(&self, addresses: Vec<IpAddr>) -> Result<ShardConfig, Problem> {
        let media = &self.media;
        let mut addresses = if media.addresses.is_empty() { addresses } else { media.addresses.clone() };
        let offered = self.offered(&addresses)?;
        if !offered.is_empty() {
            addresses = offered.iter().map(|(bound, _)| *bound).collect();
        }
        let shards = self.shards();
        Ok(ShardConfig {
            shards,
            addresses,
            offered,
            first_udp_port: media.udp_ports.first,
            first_tcp_port: media.tcp.then(|| media.tcp_port.port()),
            pin: media.pin,
            socket_buffer_bytes: media.socket_buffer_bytes.size(),
            command_queue: media.command_queue.size(),
            event_queue: media.event_queue.size(),
            gso: media.gso,
            gro: media.gro,
            tcp: TcpConfig {
                max_connections: (media.max_tcp_connections.size() / shards).max(1),
                max_connections_per_ip: media.max_tcp_connections_per_address.size(),
                first_answer: media.tcp_first_answer_timeout.0,
                idle: media.tcp_idle_timeout.0,
                write_queue_bytes: media.tcp_write_queue_bytes.size(),
            },
            ..ShardConfig::default()
        })
    }

    /// The media engine's configuration.
    pub(crate) fn media_config(&self) -> MediaConfig {
        let media = &self.media;
        let bits = |value: i64| u64::try_from(value).unwrap_or_default();
        MediaConfig {
            max_tracks_per_peer: media.max_tracks_per_peer.size(),
            max_subscriptions_per_peer: media.max_subscriptions_per_peer.size(),
            ingress_bitrate: bits(media.max_track_bitrate.get()),
            ingress_packets_per_second: media.max_track_packets_per_second.to_u32(),
            ingress_bitrate_audio: bits(media.max_sound_bitrate.get()),
            ingress_packets_per_second_audio: media.max_sound_packets_per_second.to_u32(),
            ingress_bitrate_peer: bits(media.max_participant_bitrate.get()),
            ingress_packets_per_second_peer: media.max_participant_packets_per_second.to_u32(),
            start_bitrate: bits(media.start_bitrate.get()),
            max_bitrate: bits(media.max_subscriber_bitrate.get()),
            loudest_tracks: media.loudest_tracks.size(),
            red_loss: [media.red_loss_percent, media.red_twice_loss_percent]
                .map(|percent| percent.get() as f32 / 100.0),
            red_min_bitrate: bits(media.red_min_bitrate.get()),
            fec_loss: [media.fec_loss_percent, media.fec_twice_loss_percent]
                .map(|percent| percent.get() as f32 / 100.0),
            fec_round_trip: Duration::from_millis(bits(media.fec_round_trip_ms.get())),
            fec_share: media.fec_share_percent.get() as f64 / 100.0,
            patience: Duration::from_millis(bits(media.patience_ms.get())),
            ..MediaConfig::default()
        }
    }

    /// The participants' plane's configuration. `max_connections` is what the process's limit of files leaves.
    pub(crate) fn api_config(&self, max_connections: usize) -> ApiConfig {
        let http = &self.http;
        ApiConfig {
            room: Arc::new(self.room_config()),
            spread: SpreadConfig { peers_per_part: self.media.max_room_peers_per_shard.size() },
            auto_create: self.rooms.auto_create,
            presets: self.room_presets(),
            max_rooms: self.rooms.max.size(),
            guests: self.rooms.guests,
            guest_room_chars: self.rooms.guest_room_chars.size(),
            max_meetings: self.meeting.max.size(),
            keep_meetings: self.meeting.keep.0,
            password_tries: rate(self.meeting.password_tries_per_address),
            guest_token: self.tokens.guest_age.0,
            agents: self.agent_limits(),
            whip_url: self.server_api.whip_url.clone(),
            server_api_body_bytes: self.server_api.max_body_bytes.size(),
            trusted_proxies: http.trusted_proxies.clone(),
            frame_ancestors: http.frame_ancestors.clone(),
            connections: ConnectionLimits {
                max: http.max_connections.size().min(max_connections),
                max_per_ip: http.max_connections_per_address.size(),
                reserve: http.reserved_files.size(),
                request_head: http.request_head_timeout.0,
                request: http.request_timeout.0,
                first_message: http.first_message_timeout.0,
                idle: http.idle_timeout.0,
                write: http.write_timeout.0,
                write_queue: http.write_queue_messages.size(),
                write_queue_bytes: http.write_queue_bytes.size(),
                joins: rate(http.joins_per_address),
            },
            offers: OfferLimits {
                max: self.whip.max_sessions.size(),
                max_per_ip: self.whip.max_sessions_per_address.size(),
                max_bytes: self.whip.max_offer_bytes.size(),
            },
            ..ApiConfig::default()
        }
    }

    /// The codecs that may be published, in the words of MIME types as everyone writes them.
    fn enabled_codecs(&self) -> Vec<String> {
        let enabled =
            |known: &String| self.rooms.enabled_codecs.iter().any(|codec| codec.eq_ignore_ascii_case(known));
        known_codecs().into_iter().filter(enabled).collect()
    }

    /// What session descriptions agree to: pictures in the codecs that are enabled, sound in all that are known.
    pub(crate) fn session_config(&self) -> SessionConfig {
        let enabled = self.enabled_codecs();
        let mut config = SessionConfig::default();
        config.codecs.retain(|policy| {
            policy.kind.media() == MediaKind::Audio
                || enabled.iter().any(|mime| mime.rsplit('/').next() == Some(name_of(policy.kind)))
        });
        config
    }

    fn room_config(&self) -> RoomConfig {
        let (rooms, sessions) = (&self.rooms, &self.sessions);
        RoomConfig {
            meeting: Arc::new(Limits {
                participants: rooms.max_participants.size(),
                tracks_per_participant: rooms.max_tracks_per_participant.size(),
                name_chars: rooms.max_name_chars.size(),
                metadata_bytes: rooms.max_metadata_bytes.size(),
                attributes_bytes: rooms.max_attributes_bytes.size(),
                empty_timeout: rooms.empty_timeout.0,
                departure_timeout: rooms.departure_timeout.0,
                max_duration: rooms.max_duration.limit(),
                ..Limits::default()
            }),
            assembly: self.assembly_limits(),
            policy: self.meeting_policy(),
            resume_timeout: sessions.resume_timeout.0,
            join_timeout: sessions.join_timeout.0,
            message_bytes: sessions.max_message_bytes.size(),
            sdp_bytes: sessions.max_sdp_bytes.size(),
            data_bytes: sessions.max_data_bytes.size(),
            requests: rate(sessions.requests),
            reliable_data: rate(sessions.reliable_data),
            lossy_data: rate(sessions.lossy_data),
            track_packets: rate(sessions.track_packets),
            replay_messages: sessions.replay_messages.size(),
            replay_bytes: sessions.replay_bytes.size(),
            slow_reader: (
                sessions.slow_reader_interval.0,
                u64::try_from(sessions.slow_reader_bytes.get()).unwrap_or_default(),
            ),
            roster_limit: rooms.max_roster.size(),
            remote_unmute: rooms.remote_unmute,
            longest_timeout: rooms.longest_timeout.0,
            remembered_identities: rooms.remembered_identities.size(),
            data_tracks_per_participant: rooms.max_data_tracks_per_participant.size(),
            data_subscriptions_per_participant: rooms.max_data_subscriptions_per_participant.size(),
            blob_bytes: rooms.max_blob_bytes.size(),
            blobs_per_participant: rooms.max_blobs_per_participant.size(),
            blobs_per_room: rooms.max_blobs.size(),
            simulate: sessions.simulate,
            publish_codecs: self.enabled_codecs().into_iter().map(|mime| (mime, String::new())).collect(),
            sync_streams: rooms.sync_streams,
            recording_consent: rooms.recording_consent,
            recording_chat: self.recording.chat,
            record: rooms.record.clone(),
            playout_delay: (rooms.min_playout_delay.0, rooms.max_playout_delay.0),
            ..RoomConfig::default()
        }
    }
}

/// The codecs that this server forwards.
fn known_codecs() -> Vec<String> {
    RoomConfig::default().publish_codecs.into_iter().map(|(mime, _)| mime).collect()
}

fn name_of(codec: CodecKind) -> &'static str {
    match codec {
        CodecKind::Opus => "opus",
        CodecKind::Red => "red",
        CodecKind::Vp8 => "VP8",
        CodecKind::Vp9 => "VP9",
        CodecKind::Av1 => "AV1",
        CodecKind::H264 => "H264",
    }
}

fn rate(rate: Rate) -> parvis_signal::Rate {
    parvis_signal::Rate { burst: rate.burst.to_u32(), per_second: rate.per_second.to_u32() }
}

fn secret(key: &Key, base: &Path) -> Result<String, Problem> {
    let problem = |text: String| ("keys".to_owned(), text);
    match (&key.secret, &key.secret_file) {
        (Some(secret), None) => Ok(secret.clone()),
        (None, Some(file)) => {
            let path = base.join(file);
            let secret = fs::read_to_string(&path).map_err(|error| {
                let path = path.display();
                problem(format!(
                    "the secret of \"{}\": {path}: {error}; make it with `parvis key create`",
                    key.name
                ))
            })?;
            if secret.len() > MAX_SECRET_BYTES {
                let path = path.display();
                return Err(problem(format!(
                    "{path} has more than {MAX_SECRET_BYTES} bytes; is it the right file?"
                )));
            }
            Ok(secret.trim().to_owned())
        }
        (None, None) => Err(problem(format!("\"{}\" has no secret; add secret_file or secret", key.name))),
        (Some(_), Some(_)) => {
            Err(problem(format!("\"{}\" has both secret and secret_file; take one out", key.name)))
        }
    }
}
