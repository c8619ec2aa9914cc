// SPDX-License-Identifier: EUPL-1.2
//! Every bound and every choice of a room's sessions, in one place.

use std::sync::Arc;
use std::time::Duration;

use parvis_meeting::Limits;
use parvis_meeting::assembly::{AssemblyLimits, Policy};

use crate::RelayOffer;

/// How rooms behave; shared by all of them.
#[derive(Debug, Clone)]
pub struct RoomConfig {
    /// What a meeting may grow to, and how long it lasts.
    pub meeting: Arc<Limits>,
    /// What the conduct of a meeting may grow to.
    pub assembly: Arc<AssemblyLimits>,
    /// By which rules meetings are conducted of which nobody says otherwise.
    pub policy: Policy,
    /// How long a session waits for its client after the socket dropped.
    pub resume_timeout: Duration,
    /// How long a client may take until its media connection is up.
    pub join_timeout: Duration,
    /// How long a socket may be silent. Clients ping every [`RoomConfig::ping_interval`].
    pub idle_timeout: Duration,
    /// How often clients ping, as we ask them.
    pub ping_interval: Duration,
    /// After how long without an answer a client gives its socket up, as we ask it.
    pub ping_timeout: Duration,
    /// How often a client gets a fresh token.
    pub token_refresh: Duration,
    /// Largest message on the socket, in bytes. The largest honest one is an offer with 100 media sections: 300 KB.
    pub message_bytes: usize,
    /// Largest session description, in bytes.
    pub sdp_bytes: usize,
    /// Largest message on a data channel, in bytes. Clients split streams at 15,000.
    pub data_bytes: usize,
    /// Requests on the socket: a busy join has about 100, a change of layout in a large room as many.
    pub requests: Rate,
    /// Reliable data messages: a byte stream at 100 Mbit/s has 830 a second. Beyond, the session ends.
    pub reliable_data: Rate,
    /// Lossy data messages. Beyond, they are dropped.
    pub lossy_data: Rate,
    /// Reliable data messages kept for one client until it has them, and for a resume, in number …
    pub replay_messages: usize,
    /// … and in bytes. A message for many is held once: a room's sum is that of its distinct messages.
    pub replay_bytes: usize,
    /// What one client's reliable channel is handed before it has taken some of it, in bytes: half of what the channel
    /// holds, so that it never overflows.
    pub data_window_bytes: usize,
    /// A reader for whom others are made to wait has to take so many bytes in each interval, or it starts over.
    pub slow_reader: (Duration, u64),
    /// Departures that a waiting client is told of when it is back; after more it has to start over.
    pub missed_departures: usize,
    /// How many people a room may have for all of them to be told of each other. In a larger one clients hear of those on
    /// stage, who publish something, and how many the others are: 1,000 people who hear of each other are a million
    /// descriptions of 500 bytes.
    pub roster_limit: usize,
    /// Data tracks that one participant publishes.
    pub data_tracks_per_participant: usize,
    /// Data tracks that one participant receives, below 60,000: their handles have 16 bits.
    pub data_subscriptions_per_participant: usize,
    /// Packets of all data tracks of one participant. Beyond, they are dropped.
    pub track_packets: Rate,
    /// Largest data blob, in bytes: the protocol's 50 KB.
    pub blob_bytes: usize,
    /// Data blobs of one participant …
    pub blobs_per_participant: usize,
    /// … and of one room: at 50 KB each 256 are 13 MB.
    pub blobs_per_room: usize,
    /// Whether clients may ask for trouble (simulate a lost node, a slow network and the like): for tests of clients.
    pub simulate: bool,
    /// How many encodings one track may have: a first codec and its backups.
    pub encodings_per_track: usize,
    /// How often numbers of the room and qualities of connections are told, at most.
    pub digest_interval: Duration,
    /// How long a layer must have been of no use to anyone before its publisher is told. Pages are turned in a second or
    /// two, and a layer that stopped comes back with a key frame.
    pub dynacast_delay: Duration,
    /// Codecs that clients may publish in: MIME type and format parameters.
    pub publish_codecs: Vec<(String, String)>,
    /// Whether a camera and its microphone share a media stream, so that browsers keep them in step.
    pub sync_streams: bool,
    /// Whether people are asked before recorders have their tracks, in rooms that don't say it themselves.
    pub recording_consent: bool,
    /// Whether recordings keep what is written to all, in rooms that don't refuse it.
    pub recording_chat: bool,
    /// The layout by which rooms are recorded from their first person on that don't say it themselves; empty: they aren't.
    pub record: String,
    /// How late receivers show pictures, at least and at most, in rooms that don't say it themselves. No time at all is no
    /// bound.
    pub playout_delay: (Duration, Duration),
    /// Whether an application's server may let a muted track sound again: it would listen without the person's doing.
    pub remote_unmute: bool,
    /// The longest time that one room may be told to wait for participants.
    pub longest_timeout: Duration,
    /// For how many identities a room remembers that they were removed, or what was permitted to them.
    pub remembered_identities: usize,
    /// The application's own text about every room.
    pub room_metadata: String,
    /// Our name and version, for people who debug.
    pub server_name: String,
    /// The name of this server among others.
    pub node_id: String,
    /// The relay for those whose network lets nothing else through.
    pub relay: Option<RelayOffer>,
}

/// A token bucket: so many at once, so many a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// So many at once.
    pub burst: u32,
    /// So many a second.
    pub per_second: u32,
}

impl Default for RoomConfig {
    fn default() -> Self {
        let codec = |mime: &str| (mime.to_owned(), String::new());
        RoomConfig {
            meeting: Arc::new(Limits::default()),
            assembly: Arc::new(AssemblyLimits::default()),
            policy: Policy::default(),
            resume_timeout: Duration::from_secs(20),
            join_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(60),
            ping_interval: Duration::from_secs(5),
            ping_timeout: Duration::from_secs(15),
            token_refresh: Duration::from_secs(300),
            message_bytes: 2 * 1024 * 1024,
            sdp_bytes: 1024 * 1024,
            data_bytes: 256 * 1024,
            requests: Rate { burst: 1000, per_second: 200 },
            reliable_data: Rate { burst: 10_000, per_second: 2000 },
            lossy_data: Rate { burst: 1000, per_second: 500 },
            replay_messages: 2048,
            replay_bytes: 4 * 1024 * 1024,
            data_window_bytes: 512 * 1024,
            slow_reader: (Duration::from_secs(10), 320 * 1024),
            missed_departures: 1000,
            roster_limit: 200,
            data_tracks_per_participant: 32,
            data_subscriptions_per_participant: 1000,
            track_packets: Rate { burst: 2000, per_second: 2000 },
            blob_bytes: 50 * 1024,
            blobs_per_participant: 32,
            blobs_per_room: 256,
            simulate: false,
            encodings_per_track: 3,
            digest_interval: Duration::from_secs(1),
            dynacast_delay: Duration::from_secs(5),
            publish_codecs: ["audio/opus", "audio/red", "video/VP8", "video/VP9", "video/AV1", "video/H264"]
                .map(codec)
                .to_vec(),
            sync_streams: true,
            recording_consent: false,
            recording_chat: false,
            record: String::new(),
            playout_delay: (Duration::ZERO, Duration::ZERO),
            remote_unmute: false,
            longest_timeout: Duration::from_secs(86_400),
            remembered_identities: 10_000,
            room_metadata: String::new(),
            server_name: concat!("Parvis ", env!("CARGO_PKG_VERSION")).to_owned(),
            node_id: "ND_parvis".to_owned(),
            relay: None,
        }
    }
}
