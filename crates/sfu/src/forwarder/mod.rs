// SPDX-License-Identifier: EUPL-1.2
//! The forwarder: peers and rooms behind one set of sockets, as a state machine.
//!
//! Commands and datagrams go in; datagrams ([`Outbox`]), events and the next deadline come out. How its files
//! work together: `demux` finds the peer of a datagram, `doorkeeper` limits what strangers may cost, `room` holds what one room has, `negotiate` turns
//! descriptions into sections, senders and bound tracks, `data` keeps the data channels, `wire` encrypts what
//! the media engine writes, `trunk` speaks with other forwarders, `outlet` feeds media workers, `timers` knows whose deadline is next.

mod data;
mod demux;
mod doorkeeper;
mod negotiate;
mod outlet;
mod room;
mod timers;
mod trunk;
mod wire;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use parvis_peer::{DropReason, Path, Peer, PeerConfig, Protocol, Received};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha20Rng;
use rustc_hash::FxHashMap;

use crate::media::{MediaConfig, MediaStats, RoomMedia};
use crate::trunk::{TrunkLimits, Trunks};
use crate::{Command, Event, Outbox, PeerId, PeerRole, RoomId, SubscriptionId, TrackId};
pub use data::{DATA_OVERHEAD_BYTES, DATA_TAKEN_STEP_BYTES};
use demux::{Demux, Found};
use doorkeeper::Doorkeeper;
use room::{Entry, Room};
use timers::{Owner, Timers};

/// Peers to come of which something is said before. They are for tests of clients, and come at once.
const MAX_PEERS_TO_COME: usize = 1_000;

/// What a forwarder is made with.
#[derive(Debug, Clone)]
pub struct ForwarderConfig {
    /// For each peer connection.
    pub peer: Arc<PeerConfig>,
    /// For each room's media.
    pub media: Arc<MediaConfig>,
    /// Most peer connections held at once. At 300 KiB each, with their buffers and their share of a room of thirty in which two
    /// are seen (`crates/sim/tests/memory.rs`), the default's 4,096 are 1.2 GiB.
    pub max_peers: usize,
    /// Most tracks that one peer publishes.
    pub max_tracks_per_peer: usize,
    /// Most tracks that one peer receives: each is a media section in its SDP.
    pub max_subscriptions_per_peer: usize,
    /// Most tracks that one outlet carries: those of a large room, sound and picture of all.
    pub max_subscriptions_per_outlet: usize,
    /// The addresses that the UDP sockets are bound to: outlets send from them.
    pub bound: Vec<SocketAddr>,
    /// STUN checks from unknown 5-tuples that may fail.
    pub failed_checks: CheckRate,
    /// What may wait for another forwarder.
    pub trunk: TrunkLimits,
}

/// How many STUN checks of one address (one /64 with IPv6) for one peer may fail before its next ones are dropped
/// unread. A client's own checks hold from the first one on: a few that are late by an ICE restart fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckRate {
    /// At once.
    pub burst: u32,
    /// And each second after that.
    pub per_second: u32,
}

impl Default for CheckRate {
    /// At 1.5 µs each, one address costs 75 µs of a second.
    fn default() -> Self {
        CheckRate { burst: 200, per_second: 50 }
    }
}

impl ForwarderConfig {
    /// The defaults, over these peers and this media.
    pub fn new(peer: Arc<PeerConfig>, media: Arc<MediaConfig>) -> ForwarderConfig {
        ForwarderConfig {
            peer,
            media,
            max_peers: 4096,
            max_tracks_per_peer: 32,
            max_subscriptions_per_peer: 250,
            max_subscriptions_per_outlet: 1_000,
            bound: Vec::new(),
            failed_checks: CheckRate::default(),
            trunk: TrunkLimits::default(),
        }
    }
}

/// What a forwarder counts. All figures only grow.
#[derive(Debug, Clone, Default)]
pub struct ForwarderStats {
    /// Datagrams that came in.
    pub datagrams_in: u64,
    /// RTP packets that were authentic.
    pub rtp_in: u64,
    /// RTP packets sent.
    pub rtp_out: u64,
    /// RTCP packets that were authentic.
    pub rtcp_in: u64,
    /// RTCP packets sent.
    pub rtcp_out: u64,
    /// Datagrams from nobody that we know: no validated path, no STUN for a peer of ours.
    pub strangers: u64,
    /// STUN checks dropped unread, because too many from their address had failed.
    pub throttled: u64,
    /// Datagrams that a peer refused, by reason.
    pub dropped: BTreeMap<DropReason, u64>,
    /// Packets for a peer without path or keys.
    pub unsendable: u64,
    /// Commands for something that is gone, or beyond a limit.
    pub refused_commands: u64,
    /// Data messages dropped for a full or missing channel.
    pub data_dropped: u64,
    /// Packets given to trunks.
    pub trunk_packets_out: u64,
    /// Packets that came by trunks.
    pub trunk_packets_in: u64,
    /// Packets, and other messages, that found a trunk full.
    pub trunk_overflow: u64,
    /// Messages by trunk about nothing that is shared with their sender: it is just over, or not yet begun.
    pub trunk_strays: u64,
    /// Packets sent to media workers, retransmissions among them.
    pub outlet_packets: u64,
    /// Datagrams from the addresses of media workers: nothing comes that way.
    pub outlet_refused: u64,
    /// Outlets to media workers that are there now.
    pub outlets: u64,
    /// Tracks of other forwarders that are there now.
    pub imports: u64,
    /// Peers that are there now, and rooms.
    pub peers: u64,
    /// Rooms that are there now.
    pub rooms: u64,
    /// What the media of all rooms has counted, of those that are gone too.
    pub media: MediaStats,
}

/// See the module's page.
pub struct Forwarder {
    config: ForwarderConfig,
    random: ChaCha20Rng,
    rooms: FxHashMap<RoomId, Room>,
    peers: FxHashMap<PeerId, RoomId>,
    tracks: FxHashMap<TrackId, RoomId>,
    subscriptions: FxHashMap<SubscriptionId, (RoomId, PeerId)>,
    demux: Demux,
    doorkeeper: Doorkeeper,
    timers: Timers,
    events: VecDeque<(RoomId, Event)>,
    trunks: Trunks,
    /// Peers to come whose candidates are to be of one protocol.
    offer_only: FxHashMap<PeerId, Protocol>,
    /// The room that holds packets back.
    held: Option<RoomId>,
    stats: ForwarderStats,
}

impl Forwarder {
    /// An empty forwarder. All its randomness comes from `seed`, which must be secret outside of tests.
    pub fn new(config: ForwarderConfig, seed: [u8; 32]) -> Forwarder {
        let mut random = ChaCha20Rng::from_seed(seed);
        Forwarder {
            doorkeeper: Doorkeeper::new(config.failed_checks, random.random()),
            trunks: Trunks::new(config.trunk),
            config,
            random,
            rooms: FxHashMap::default(),
            peers: FxHashMap::default(),
            tracks: FxHashMap::default(),
            subscriptions: FxHashMap::default(),
            demux: Demux::default(),
            timers: Timers::default(),
            events: VecDeque::new(),
            offer_only: FxHashMap::default(),
            held: None,
            stats: ForwarderStats::default(),
        }
    }

    /// Does what the control side asks.
    pub fn handle_command(&mut self, now: Instant, command: Command, outbox: &mut Outbox) {
        self.forward_all_held(now, outbox);
        self.carry_out(now, command, outbox);
        self.loop_back(now, outbox);
    }

    fn carry_out(&mut self, now: Instant, command: Command, outbox: &mut Outbox) {
        let known = match command {
            Command::CreatePeer { room, peer, role } => self.create_peer(now, room, peer, role, outbox),
            Command::CreateOutlet { room, peer, outlet } => self.create_outlet(now, room, peer, &outlet),
            Command::RepairOutlet { subscription, lost } => {
                self.repair_outlet(now, subscription, &lost, outbox)
            }
            Command::ClosePeer { peer } => {
                self.say_goodbye(now, peer, outbox);
                self.close_peer(now, peer)
            }
            Command::RemoteDescription { peer, description } => {
                self.with_peer(now, peer, outbox, |context| context.remote_description(description))
            }
            Command::RestartIce { peer } => {
                self.with_peer(now, peer, outbox, |context| context.restart_ice())
            }
            Command::RemoteCandidate { peer, candidate } => {
                self.with_peer(now, peer, outbox, |context| context.remote_candidate(&candidate))
            }
            Command::Publish { peer, track, spec } => {
                let limit = self.config.max_tracks_per_peer;
                let room = self.peers.get(&peer).copied();
                let published =
                    self.with_peer(now, peer, outbox, |context| context.publish(track, &spec, limit));
                if let (true, Some(room)) = (published, room) {
                    self.tracks.insert(track, room);
                }
                published
            }
            Command::Unpublish { track } => self.unpublish(now, track),
            Command::SetMuted { track, muted } => self.with_room_of_track(now, track, |room| {
                room.media.set_muted(now, track, muted);
                true
            }),
            Command::Export { track, to } => self.export(now, track, to),
            Command::Unexport { track, to } => self.unexport(now, track, to),
            Command::Import { room, track, from } => self.import(room, track, from),
            Command::Unimport { track } => self.unimport(now, track),
            Command::OpenBridge { bridge, near, far, at } => self.trunks.open_bridge(bridge, near, far, at),
            Command::CloseBridge { bridge, near } => self.trunks.close_bridge(bridge, near),
            Command::Adopt { .. } => false,
            Command::Subscribe { subscription, peer, track, stream_id, track_label } => {
                let wish = room::Wish { track, stream_id, track_label };
                self.subscribe(now, subscription, peer, wish, outbox)
            }
            Command::Unsubscribe { subscription } => self.unsubscribe(now, subscription, outbox),
            Command::SwitchTrack { subscription, track } => {
                let peer = self.subscriptions.get(&subscription).map(|(_, peer)| *peer);
                peer.is_some_and(|peer| {
                    self.switch_in_outlet(now, peer, subscription, track).unwrap_or_else(|| {
                        self.with_peer(now, peer, outbox, |context| context.switch_track(subscription, track))
                    })
                })
            }
            Command::ConfigureSubscription { subscription, settings } => {
                let peer = self.subscriptions.get(&subscription).map(|(_, peer)| *peer);
                peer.is_some_and(|peer| {
                    self.configure_outlet(now, peer, subscription, settings).unwrap_or_else(|| {
                        self.with_peer(now, peer, outbox, |context| context.configure(subscription, settings))
                    })
                })
            }
            Command::SendData { peer, channel, payload } => {
                self.with_peer(now, peer, outbox, |context| context.send_data(channel, payload))
            }
            Command::HoldData { peer, held } => {
                self.with_peer(now, peer, outbox, |context| context.hold_data(held))
            }
            Command::SetPlayoutDelay { peer, delay } => self.with_peer(now, peer, outbox, |context| {
                context.room.media.set_playout_delay(context.id, delay)
            }),
            Command::OfferOnly { peer, protocol } => self.offer_only(peer, protocol),
            Command::LimitBandwidth { peer, bits_per_second } => {
                self.with_peer(now, peer, outbox, |context| {
                    context.room.media.limit_bandwidth(now, context.id, bits_per_second)
                })
            }
        };
        if !known {
            self.stats.refused_commands += 1;
        }
    }

    /// Takes one datagram (or one deframed packet) from the network. It is decrypted in place.
    pub fn handle_datagram(&mut self, now: Instant, path: Path, datagram: &mut [u8], outbox: &mut Outbox) {
        self.hold_datagram(now, path, datagram, outbox);
        while self.forward_held(now, outbox) {}
    }

    /// The same, but packets of one picture may be held back, to be forwarded together by [`Forwarder::forward_held`]. Any
    /// other input forwards them first.
    pub fn hold_datagram(&mut self, now: Instant, path: Path, datagram: &mut [u8], outbox: &mut Outbox) {
        self.take_datagram(now, path, datagram, outbox);
        self.loop_back(now, outbox);
    }

    /// Forwards what is held back. `true` when the outbox is full before all of it is done: it is to be sent, and this to be
    /// called again.
    pub fn forward_held(&mut self, now: Instant, outbox: &mut Outbox) -> bool {
        let more = self.forward_some_held(now, outbox);
        if !more {
            self.loop_back(now, outbox);
        }
        more
    }

    fn forward_some_held(&mut self, now: Instant, outbox: &mut Outbox) -> bool {
        let Some(room_id) = self.held else { return false };
        if let Some((media, mut wire)) = self.media_of(now, room_id, outbox)
            && media.forward_held(now, &mut wire)
        {
            return true;
        }
        self.held = None;
        self.settle_media(now, room_id);
        false
    }

    /// Forwards all that is held back, however full the outbox is.
    fn forward_all_held(&mut self, now: Instant, outbox: &mut Outbox) {
        while self.forward_some_held(now, outbox) {}
    }

    fn take_datagram(&mut self, now: Instant, path: Path, datagram: &mut [u8], outbox: &mut Outbox) {
        self.stats.datagrams_in += 1;
        let Some(Found { peer: id, proven }) = self.demux.peer_of(path, datagram) else {
            self.stats.strangers += 1;
            return;
        };
        if !proven && !self.doorkeeper.admits(now, path, id) {
            self.stats.throttled += 1;
            return;
        }
        let Some(room_id) = self.peers.get(&id).copied() else { return };
        let Some(room) = self.rooms.get_mut(&room_id) else { return };
        let Some(entry) = room.entries.get_mut(&id) else {
            // Workers say what they have to say by the control side.
            self.stats.outlet_refused += 1;
            return;
        };
        let received = entry.peer.handle_datagram(now, path, datagram);
        if !(matches!(received, Received::Rtp { .. }) && self.held == Some(room_id)) {
            self.forward_all_held(now, outbox);
        }
        match received {
            Received::Rtp { len } => {
                self.stats.rtp_in += 1;
                let Some((media, mut wire)) = self.media_of(now, room_id, outbox) else { return };
                media.hold_rtp(now, id, &datagram[..len], &mut wire);
                self.held = media.holds().then_some(room_id);
                if self.held.is_none() {
                    self.settle_media(now, room_id);
                }
            }
            Received::Rtcp { len } => {
                self.stats.rtcp_in += 1;
                let Some((media, mut wire)) = self.media_of(now, room_id, outbox) else { return };
                media.handle_rtcp(now, id, &datagram[..len], &mut wire);
                self.settle_media(now, room_id);
            }
            Received::Handled => self.settle_peer(now, id, outbox),
            Received::Dropped(reason) => {
                *self.stats.dropped.entry(reason).or_default() += 1;
                if !proven {
                    self.doorkeeper.charge(now, path, id);
                }
                let tell = |entry: &mut Entry| reason == DropReason::Limit && entry.may_report_limit(now);
                if self.entry(id).is_some_and(tell) {
                    self.events.push_back((room_id, Event::LimitHit { peer: id, reason }));
                }
                self.settle_peer(now, id, outbox);
            }
        }
    }

    /// A TCP connection is gone.
    pub fn path_closed(&mut self, now: Instant, path: Path, outbox: &mut Outbox) {
        self.forward_all_held(now, outbox);
        let Some(id) = self.demux.forget(path) else { return };
        if let Some(entry) = self.entry(id) {
            entry.peer.path_closed(now, path);
            self.settle_peer(now, id, outbox);
        }
    }

    /// Lets everyone act whose deadline has come.
    pub fn handle_timeout(&mut self, now: Instant, outbox: &mut Outbox) {
        self.forward_all_held(now, outbox);
        while let Some(owner) = self.timers.due(now) {
            match owner {
                Owner::Peer(id) => {
                    if let Some(entry) = self.entry(id) {
                        entry.peer.handle_timeout(now);
                        if entry.offer_wanted {
                            self.with_peer(now, id, outbox, |context| {
                                context.offer_if_wanted();
                                true
                            });
                        }
                        self.settle_peer(now, id, outbox);
                    }
                }
                Owner::Room(id) => {
                    if let Some((media, mut wire)) = self.media_of(now, id, outbox) {
                        media.handle_timeout(now, &mut wire);
                        self.settle_media(now, id);
                    }
                }
            }
        }
        self.loop_back(now, outbox);
    }

    /// When [`Forwarder::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// What happened, oldest first, and in which room.
    pub fn poll_event(&mut self) -> Option<(RoomId, Event)> {
        self.events.pop_front()
    }

    /// How many entries its tables hold: peers, rooms, tracks, subscriptions, paths, user names, deadlines. 0 when all
    /// are gone.
    pub fn held(&self) -> usize {
        let tables = [self.rooms.len(), self.peers.len(), self.tracks.len(), self.subscriptions.len()];
        tables.iter().sum::<usize>() + self.demux.len() + self.timers.len() + self.trunks.bridges()
    }

    /// What was counted so far; of media, only in rooms that are gone.
    pub fn stats(&self) -> &ForwarderStats {
        &self.stats
    }

    /// What was counted so far, in all rooms together. It looks at each of them: not for every packet.
    pub fn counted(&self) -> ForwarderStats {
        let mut stats = self.stats.clone();
        for room in self.rooms.values() {
            stats.media.add(&room.media.stats());
        }
        stats
    }

    fn entry(&mut self, id: PeerId) -> Option<&mut Entry> {
        self.rooms.get_mut(self.peers.get(&id)?)?.entries.get_mut(&id)
    }

    fn create_peer(
        &mut self,
        now: Instant,
        room_id: RoomId,
        id: PeerId,
        role: PeerRole,
        outbox: &mut Outbox,
    ) -> bool {
        if self.peers.contains_key(&id) || self.peers.len() >= self.config.max_peers {
            return false;
        }
        let peer = Peer::new(self.config.peer.clone(), self.random.random(), now);
        let mut entry = Entry::new(peer, role);
        if let Some(protocol) = self.offer_only.remove(&id) {
            entry.peer.offer_only(protocol);
        }
        if role == PeerRole::Subscriber {
            entry.open_channels(now);
            // The client waits for this connection to come up before it calls itself connected, tracks or none.
            entry.offer_wanted = true;
        }
        let room = self.room_or_new(now, room_id);
        room.entries.insert(id, entry);
        room.media.add_peer(now, id);
        self.peers.insert(id, room_id);
        self.count_peers();
        self.settle_peer(now, id, outbox);
        true
    }

    /// A room, which comes to be with its first peer.
    fn room_or_new(&mut self, now: Instant, id: RoomId) -> &mut Room {
        let (media, seed) = (&self.config.media, self.random.random());
        self.rooms.entry(id).or_insert_with(|| Room::new(RoomMedia::new(media.clone(), seed, now)))
    }

    fn count_peers(&mut self) {
        self.stats.peers = self.peers.len() as u64;
        self.stats.rooms = self.rooms.len() as u64;
    }

    /// Said before the peer is made, since its first offer may leave at once.
    fn offer_only(&mut self, id: PeerId, protocol: Protocol) -> bool {
        if self.peers.contains_key(&id) || self.offer_only.len() >= MAX_PEERS_TO_COME {
            return false;
        }
        self.offer_only.insert(id, protocol);
        true
    }

    /// Tells the client by a DTLS alert, so that its connection ends at once and not by a time-out.
    fn say_goodbye(&mut self, now: Instant, id: PeerId, outbox: &mut Outbox) {
        let Some(entry) = self.entry(id) else { return };
        entry.peer.close(now);
        while let Some((path, datagram)) = entry.peer.poll_transmit() {
            outbox.push(path, &datagram);
        }
    }

    fn close_peer(&mut self, now: Instant, id: PeerId) -> bool {
        let Some(room_id) = self.peers.remove(&id) else { return false };
        self.timers.remove(Owner::Peer(id));
        self.close_outlet(now, room_id, id);
        if let Some(room) = self.rooms.get_mut(&room_id) {
            for track in room.entries.get(&id).into_iter().flat_map(|entry| entry.tracks.keys()) {
                trunk::tell_end(&mut self.trunks, (room_id, *track), &room.media);
            }
            room.media.remove_peer(now, id);
            if let Some(mut entry) = room.entries.remove(&id) {
                entry.leave(id, &mut self.demux);
                for track in entry.tracks.keys() {
                    self.tracks.remove(track);
                    for subscription in room.drop_senders(now, *track, &mut self.timers) {
                        self.subscriptions.remove(&subscription);
                    }
                }
                for subscription in entry.subscriptions.keys() {
                    self.subscriptions.remove(subscription);
                }
            }
            if room.is_empty() {
                self.forget_imports(room_id);
                if let Some(gone) = self.rooms.remove(&room_id) {
                    self.stats.media.add(&gone.media.stats());
                }
                self.timers.remove(Owner::Room(room_id));
            } else {
                self.settle_media(now, room_id);
            }
        }
        self.count_peers();
        true
    }

    fn unpublish(&mut self, now: Instant, track: TrackId) -> bool {
        let Some(room_id) = self.tracks.get(&track).copied() else { return false };
        let here = |room: &&mut Room| !room.imports.contains_key(&track);
        let Some(room) = self.rooms.get_mut(&room_id).filter(here) else { return false };
        self.tracks.remove(&track);
        trunk::tell_end(&mut self.trunks, (room_id, track), &room.media);
        for entry in room.entries.values_mut() {
            entry.tracks.remove(&track);
        }
        room.media.unpublish(now, track);
        for subscription in room.drop_senders(now, track, &mut self.timers) {
            self.subscriptions.remove(&subscription);
        }
        self.settle_media(now, room_id);
        true
    }

    fn subscribe(
        &mut self,
        now: Instant,
        id: SubscriptionId,
        peer: PeerId,
        wish: room::Wish,
        outbox: &mut Outbox,
    ) -> bool {
        let room_id = self.peers.get(&peer).copied();
        // A room's media never leaves it: both ends must be of one room.
        if room_id.is_none()
            || room_id != self.tracks.get(&wish.track).copied()
            || self.subscriptions.contains_key(&id)
        {
            return false;
        }
        let limit = self.config.max_subscriptions_per_peer;
        let taken = match self.subscribe_outlet(now, peer, id, &wish) {
            Some(taken) => taken,
            None => {
                let streams = std::array::from_fn(|_| self.random.random());
                self.with_peer(now, peer, outbox, |context| context.subscribe(id, wish, streams, limit))
            }
        };
        if let (true, Some(room_id)) = (taken, room_id) {
            self.subscriptions.insert(id, (room_id, peer));
        }
        taken
    }

    fn unsubscribe(&mut self, now: Instant, id: SubscriptionId, outbox: &mut Outbox) -> bool {
        let Some((_, peer)) = self.subscriptions.remove(&id) else { return false };
        self.unsubscribe_outlet(now, peer, id)
            .unwrap_or_else(|| self.with_peer(now, peer, outbox, |context| context.unsubscribe(id)))
    }

    fn with_room_of_track(
        &mut self,
        now: Instant,
        track: TrackId,
        act: impl FnOnce(&mut Room) -> bool,
    ) -> bool {
        let Some(room_id) = self.tracks.get(&track).copied() else { return false };
        let known = self.rooms.get_mut(&room_id).is_some_and(act);
        self.settle_media(now, room_id);
        known
    }

    /// Lets `act` work on one peer in its room, then passes on what came of it.
    fn with_peer(
        &mut self,
        now: Instant,
        id: PeerId,
        outbox: &mut Outbox,
        act: impl FnOnce(&mut room::Context<'_>) -> bool,
    ) -> bool {
        let Some(room_id) = self.peers.get(&id).copied() else { return false };
        let Some(room) = self.rooms.get_mut(&room_id) else { return false };
        let known = act(&mut room::Context {
            now,
            id,
            room_id,
            room,
            timers: &mut self.timers,
            events: &mut self.events,
            stats: &mut self.stats,
        });
        // The room's media with it.
        self.settle_peer(now, id, outbox);
        known
    }

    /// Passes on what a peer has to say, and renews its deadline.
    fn settle_peer(&mut self, now: Instant, id: PeerId, outbox: &mut Outbox) {
        let Some(room_id) = self.peers.get(&id).copied() else { return };
        let Some(room) = self.rooms.get_mut(&room_id) else { return };
        let mut context = room::Context {
            now,
            id,
            room_id,
            room,
            timers: &mut self.timers,
            events: &mut self.events,
            stats: &mut self.stats,
        };
        let failed = context.settle(&mut self.demux, outbox);
        if failed {
            self.close_peer(now, id);
        } else {
            self.settle_media(now, room_id);
        }
    }

    /// Passes on what a room's media has to say, and renews its deadline.
    fn settle_media(&mut self, now: Instant, id: RoomId) {
        let Some(room) = self.rooms.get_mut(&id) else { return };
        if room.media.has_trunk_work() {
            room.media.settle_trunks(now, |to, track, word| {
                let taken = self.trunks.push(to, (id, track), word, &[], &[]);
                self.stats.trunk_overflow += u64::from(!taken);
                taken
            });
        }
        room.drain_media(id, &mut self.events);
        self.timers.set(Owner::Room(id), room.media.poll_timeout());
    }
}
