// SPDX-License-Identifier: EUPL-1.2
//! What the server may hold in bytes. Its configuration bounds every table, queue and buffer; where what is sent fills less
//! than that, what is sent is the bound.

use std::time::Duration;

use parvis_peer::PeerLimits;
use parvis_peer::sctp::SctpLimits;
use parvis_sfu::TrunkLimits;
use parvis_sfu::media::MediaConfig;
use parvis_signal::RoomConfig;

use crate::media::{LAYERS, packets_per_second};

/// A room, its part on one forwarder, and the tables of both when they are as good as empty.
const ROOM: usize = 64 * 1024;
/// A session with its client's names, and a peer connection with its descriptions, keys and estimates. A description of a
/// section has 2 KB; it is kept as text, as read, and as agreed, by the server for both sides.
const SESSION: usize = 16 * 1024;
const CONNECTION: usize = 48 * 1024;
const SECTION: usize = 8 * 1024;
/// A packet in a ring beside its bytes, one in a log of what was sent, one that waits in a pacer, one that is missing.
const STORED: usize = 192;
const SENT: usize = 104;
const PACED: usize = 48;
const MISSING: usize = 64;
/// The bytes of a packet in a ring: a full one, or 20 ms of sound with what went before.
const PICTURE_SLOT: usize = 1536;
const SOUND_SLOT: usize = 256;
/// Packets whose arrival a peer has yet to tell, of 24 bytes each.
const HISTORY: usize = 8192 * 24;
/// Datagrams that a thawing server finds in its socket's buffer, on top of a second's.
const THAWED: usize = 256;
/// A data message with all that is kept beside it.
const MESSAGE: usize = 384;
/// Data messages of each client in a second.
const MESSAGES_PER_SECOND: usize = 4;
/// Datagrams that leave in one go: a key frame to everyone, of everyone.
const OUTBOX: usize = 4 * 1024 * 1024;

/// What is kept for the next ones after everyone has gone, for each forwarder what left last at once and the room for names in
/// tables, and for each way from one to another batches that were emptied.
pub(crate) fn left(forwarders: usize) -> i64 {
    (forwarders * forwarders * 1024 * 1024) as i64
}

/// Someone who is there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Person {
    /// It sends so many times of what it should.
    pub(crate) greed: u32,
    pub(crate) camera: bool,
    /// Someone in its room floods data channels: buffers are full.
    pub(crate) flooded: bool,
}

/// The most that a server with so many forwarders may hold, in bytes, for these people in each room after `passed`.
pub(crate) fn most(rooms: impl Iterator<Item = Vec<Person>>, forwarders: usize, passed: Duration) -> i64 {
    let trunks = TrunkLimits::default();
    // What fills, what is under way, what comes back, and what is spare.
    let batches = 2 * crate::server::BATCHES + trunks.spare + 1;
    let batch = trunks.bytes + (trunks.packets + trunks.words) * STORED;
    let links = forwarders * (forwarders - 1) * batches * batch;
    let rooms: usize = rooms.map(|people| of_room(&people, forwarders, passed)).sum();
    (OUTBOX + links + rooms) as i64
}

fn of_room(people: &[Person], forwarders: usize, passed: Duration) -> usize {
    let (media, room) = (MediaConfig::default(), RoomConfig::default());
    let others = people.len().saturating_sub(1);
    // One who reads nothing has all of it waiting, and each that was read is kept for those who come back.
    let seconds = passed.as_secs() as usize + 1;
    let said = people.len() * MESSAGES_PER_SECOND * seconds;
    let flooded = people.iter().any(|person| person.flooded);
    let kept = said.min(room.replay_messages) * MESSAGE;
    let kept = if flooded { room.replay_messages * MESSAGE + room.replay_bytes } else { kept };
    let connection = of_connection(&media, if flooded { usize::MAX } else { said * MESSAGE }, others);
    let tracks: usize = people.iter().map(|person| of_tracks(&media, *person) * forwarders).sum();
    // What one sends many times over fills the others' logs as well.
    let subscriptions: usize = people.iter().map(|person| of_subscriptions(&media, *person) * others).sum();
    ROOM * (1 + forwarders)
        + people.len() * (SESSION + kept + others * SESSION / 8 + 2 * connection)
        + tracks
        + subscriptions
}

fn of_connection(media: &MediaConfig, said_bytes: usize, others: usize) -> usize {
    let (sctp, limits) = (SctpLimits::default(), PeerLimits::default());
    let buffers = said_bytes.min(sctp.total_buffer_bytes) + said_bytes.min(sctp.receive_buffer_bytes);
    let sections = (2 + 2 * others) * SECTION;
    CONNECTION + sections + HISTORY + media.pacer_packets * PACED + buffers + limits.early_dtls_bytes
}

/// A microphone, and a camera's layers.
fn of_tracks(media: &MediaConfig, person: Person) -> usize {
    let sound = media.ring_packets_audio * (STORED + SOUND_SLOT);
    let layers = if person.camera { LAYERS.len() } else { 0 };
    let pictures = (0..layers).map(|layer| {
        slots(person, layer).min(media.ring_packets_video) * (STORED + PICTURE_SLOT)
            + media.nack_missing * MISSING
    });
    sound + pictures.sum::<usize>()
}

/// What each other one is sent of it.
fn of_subscriptions(media: &MediaConfig, person: Person) -> usize {
    let pictures = slots(person, LAYERS.len() - 1).min(media.sent_log_video);
    (media.sent_log_audio + if person.camera { pictures } else { 0 }) * SENT
}

/// The slots that a second of a layer takes: a power of two, as a ring's are.
fn slots(person: Person, layer: usize) -> usize {
    (packets_per_second(layer) * person.greed as usize + THAWED).next_power_of_two()
}
