// SPDX-License-Identifier: EUPL-1.2
//! A room over several forwarders: who lives where, and which trunks that takes.
//!
//! The control side knows one room and gives its commands here; out come commands, each for one forwarder. A room
//! begins on one forwarder. When so many peers are there as are allowed, the next ones are made on another one, which
//! has a part of the room from then on; when no other is left, all parts grow alike. The first subscription of a part
//! to a track of another part opens a trunk for it, the end of the last one closes it.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::{Command, Event, ForwarderId, PeerId, RoomId, SubscriptionId, TrackId};

/// When a room spreads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpreadConfig {
    /// Peers of one room on one forwarder before the next ones go elsewhere. 200 that receive ten speakers of
    /// 30 packets a second each are 60,000 packets a second: a third of what a core sends.
    pub peers_per_part: usize,
}

impl Default for SpreadConfig {
    fn default() -> Self {
        SpreadConfig { peers_per_part: 200 }
    }
}

/// One room's peers, tracks and trunks. After every call, take commands until [`Spread::poll_command`] has none left.
#[derive(Debug)]
pub struct Spread {
    room: RoomId,
    config: SpreadConfig,
    parts: Vec<Part>,
    /// There is no other forwarder.
    everywhere: bool,
    peers: BTreeMap<PeerId, Peer>,
    /// Where each track is published, and by whom.
    tracks: BTreeMap<TrackId, (PeerId, usize)>,
    subscriptions: BTreeMap<SubscriptionId, (PeerId, TrackId)>,
    /// Tracks that a subscription was switched away from. They stay at hand until it ends: the next one may come by a
    /// trunk later than the word to switch.
    left: BTreeMap<SubscriptionId, Vec<TrackId>>,
    /// Subscriptions by track and part, for parts that have the track by a trunk.
    trunks: BTreeMap<(TrackId, usize), usize>,
    /// Tracks of other rooms: where they are published, in which room, and by which name.
    adopted: BTreeMap<TrackId, (ForwarderId, RoomId, TrackId)>,
    /// The bridge by which each part has such a track.
    bridges: BTreeMap<(TrackId, usize), ForwarderId>,
    last_bridge: u64,
    commands: VecDeque<(ForwarderId, Command)>,
}

#[derive(Debug)]
struct Part {
    forwarder: ForwarderId,
    peers: usize,
    speakers: Vec<(TrackId, f32)>,
}

#[derive(Debug)]
struct Peer {
    part: usize,
    tracks: BTreeSet<TrackId>,
    subscriptions: BTreeSet<SubscriptionId>,
}

impl Spread {
    /// A room that begins on this forwarder.
    pub fn new(config: SpreadConfig, room: RoomId, home: ForwarderId) -> Spread {
        Spread {
            room,
            config,
            parts: vec![Part { forwarder: home, peers: 0, speakers: Vec::new() }],
            everywhere: false,
            peers: BTreeMap::new(),
            tracks: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            left: BTreeMap::new(),
            trunks: BTreeMap::new(),
            adopted: BTreeMap::new(),
            bridges: BTreeMap::new(),
            last_bridge: 0,
            commands: VecDeque::new(),
        }
    }

    /// Takes a command. `open` names a forwarder that has no part of the room yet, when one is needed and there is one.
    pub fn command(&mut self, command: Command, open: impl FnOnce() -> Option<ForwarderId>) {
        let part = match &command {
            Command::CreatePeer { peer, .. } | Command::CreateOutlet { peer, .. } => self.create(*peer, open),
            Command::ClosePeer { peer } => {
                let part = self.part_of(*peer);
                self.push(part, command.clone());
                self.forget_peer(*peer);
                return;
            }
            Command::RemoteDescription { peer, .. }
            | Command::RestartIce { peer }
            | Command::RemoteCandidate { peer, .. }
            | Command::SendData { peer, .. }
            | Command::HoldData { peer, .. }
            | Command::SetPlayoutDelay { peer, .. }
            | Command::OfferOnly { peer, .. }
            | Command::LimitBandwidth { peer, .. } => self.part_of(*peer),
            Command::Publish { peer, track, .. } => {
                let part = self.part_of(*peer);
                if let Some(entry) = self.peers.get_mut(peer) {
                    entry.tracks.insert(*track);
                    self.tracks.insert(*track, (*peer, part));
                }
                part
            }
            Command::Adopt { track, at, room, of } => {
                self.adopted.insert(*track, (*at, *room, *of));
                return;
            }
            // Its own room says whether it is silent, and when it ends.
            Command::SetMuted { track, .. } if self.adopted.contains_key(track) => return,
            Command::Unpublish { track } if self.adopted.contains_key(track) => {
                self.forget_track(*track);
                return;
            }
            Command::Unpublish { track } => {
                let part = self.home_of(*track);
                self.push(part, command.clone());
                self.forget_track(*track);
                return;
            }
            Command::SetMuted { track, .. } => self.home_of(*track),
            Command::Subscribe { subscription, peer, track, .. } => {
                self.subscribe(*subscription, *peer, *track)
            }
            Command::Unsubscribe { subscription } => {
                let part = self.part_of_subscription(*subscription);
                self.push(part, command.clone());
                self.forget_subscription(*subscription);
                return;
            }
            Command::SwitchTrack { subscription, track } => self.switch(*subscription, *track),
            Command::ConfigureSubscription { subscription, .. }
            | Command::RepairOutlet { subscription, .. } => self.part_of_subscription(*subscription),
            // These are ours to give.
            Command::Export { .. }
            | Command::Unexport { .. }
            | Command::Import { .. }
            | Command::Unimport { .. }
            | Command::OpenBridge { .. }
            | Command::CloseBridge { .. } => return,
        };
        self.push(part, command);
    }

    /// Takes an event of a forwarder's; gives what the control side is to hear of it.
    pub fn event(&mut self, from: ForwarderId, event: Event) -> Option<Event> {
        match event {
            Event::PeerFailed { peer, .. } => {
                // The forwarder has forgotten it already.
                self.forget_peer(peer);
                Some(event)
            }
            Event::Speakers { room, speakers } => {
                // Each part tells of its own; heard are all of them, loudest first.
                self.parts.iter_mut().find(|part| part.forwarder == from)?.speakers = speakers;
                let mut speakers: Vec<_> =
                    self.parts.iter().flat_map(|part| part.speakers.iter().copied()).collect();
                speakers.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
                Some(Event::Speakers { room, speakers })
            }
            other => Some(other),
        }
    }

    /// The next command, and for which forwarder.
    pub fn poll_command(&mut self) -> Option<(ForwarderId, Command)> {
        self.commands.pop_front()
    }

    /// The forwarders that have a part of the room, in the order in which they got it.
    pub fn parts(&self) -> impl ExactSizeIterator<Item = ForwarderId> + '_ {
        self.parts.iter().map(|part| part.forwarder)
    }

    /// Every trunk that is open: the track, from where, and where to.
    pub fn trunks(&self) -> impl Iterator<Item = (TrackId, ForwarderId, ForwarderId)> + '_ {
        let own = self.trunks.keys().filter(|(track, _)| !self.adopted.contains_key(track));
        own.map(|(track, part)| {
            (*track, self.parts[self.home_of(*track)].forwarder, self.parts[*part].forwarder)
        })
    }

    /// Every peer that is there.
    pub fn peers(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.peers.keys().copied()
    }

    fn push(&mut self, part: usize, command: Command) {
        self.commands.push_back((self.parts[part].forwarder, command));
    }

    fn create(&mut self, peer: PeerId, open: impl FnOnce() -> Option<ForwarderId>) -> usize {
        let Entry::Vacant(vacant) = self.peers.entry(peer) else { return self.part_of(peer) };
        let room_left = self.parts.iter().position(|part| part.peers < self.config.peers_per_part);
        let part = room_left.unwrap_or_else(|| {
            if !self.everywhere
                && let Some(forwarder) = open()
            {
                self.parts.push(Part { forwarder, peers: 0, speakers: Vec::new() });
                return self.parts.len() - 1;
            }
            self.everywhere = true;
            let emptiest = self.parts.iter().enumerate().min_by_key(|(_, part)| part.peers);
            emptiest.map_or(0, |(place, _)| place)
        });
        self.parts[part].peers += 1;
        vacant.insert(Peer { part, tracks: BTreeSet::new(), subscriptions: BTreeSet::new() });
        part
    }

    fn subscribe(&mut self, subscription: SubscriptionId, peer: PeerId, track: TrackId) -> usize {
        let part = self.part_of(peer);
        let known = self.tracks.contains_key(&track) || self.adopted.contains_key(&track);
        let Some(entry) = self.peers.get_mut(&peer).filter(|_| known) else { return part };
        if self.subscriptions.contains_key(&subscription) {
            return part;
        }
        entry.subscriptions.insert(subscription);
        self.subscriptions.insert(subscription, (peer, track));
        self.take_track(part, track);
        part
    }

    fn switch(&mut self, subscription: SubscriptionId, track: TrackId) -> usize {
        let part = self.part_of_subscription(subscription);
        if !self.tracks.contains_key(&track) && !self.adopted.contains_key(&track) {
            return part;
        }
        let Some((_, current)) = self.subscriptions.get_mut(&subscription) else { return part };
        let former = std::mem::replace(current, track);
        if former != track {
            let left = self.left.entry(subscription).or_default();
            // Back to one that is still at hand: it changes places with the other.
            match left.iter().position(|other| *other == track) {
                Some(place) => left[place] = former,
                None => {
                    left.push(former);
                    self.take_track(part, track);
                }
            }
        }
        part
    }

    fn forget_peer(&mut self, peer: PeerId) {
        let Some(entry) = self.peers.remove(&peer) else { return };
        self.parts[entry.part].peers -= 1;
        for subscription in entry.subscriptions {
            self.release(entry.part, subscription);
        }
        for track in entry.tracks {
            self.forget_track(track);
        }
    }

    fn forget_track(&mut self, track: TrackId) {
        if !self.tracks.contains_key(&track) && !self.adopted.contains_key(&track) {
            return;
        }
        let parts: Vec<usize> =
            self.trunks.range((track, 0)..=(track, usize::MAX)).map(|((_, part), _)| *part).collect();
        for part in parts {
            self.close(track, part);
        }
        self.adopted.remove(&track);
        if let Some((peer, _)) = self.tracks.remove(&track)
            && let Some(entry) = self.peers.get_mut(&peer)
        {
            entry.tracks.remove(&track);
        }
        // The forwarders end the subscriptions by themselves.
        let peers = &mut self.peers;
        self.subscriptions.retain(|subscription, (subscriber, of)| {
            if *of == track
                && let Some(entry) = peers.get_mut(subscriber)
            {
                entry.subscriptions.remove(subscription);
            }
            *of != track
        });
    }

    fn forget_subscription(&mut self, subscription: SubscriptionId) {
        let Some((peer, _)) = self.subscriptions.get(&subscription) else { return };
        if let Some(entry) = self.peers.get_mut(peer) {
            entry.subscriptions.remove(&subscription);
            let part = entry.part;
            self.release(part, subscription);
        }
    }

    /// A subscription of this part is over.
    fn release(&mut self, part: usize, subscription: SubscriptionId) {
        if let Some((_, track)) = self.subscriptions.remove(&subscription) {
            self.leave_track(part, track);
        }
        for track in self.left.remove(&subscription).into_iter().flatten() {
            self.leave_track(part, track);
        }
    }

    /// One more subscription of a part takes a track: the first one opens a trunk, if it is published elsewhere.
    fn take_track(&mut self, part: usize, track: TrackId) {
        let adopted = self.adopted.get(&track).copied();
        let home = self.home_of(track);
        if adopted.is_none() && part == home {
            return;
        }
        let count = self.trunks.entry((track, part)).or_default();
        *count += 1;
        if *count > 1 {
            return;
        }
        match adopted {
            Some(adopted) => self.build_bridge(part, track, adopted),
            None => {
                let (from, to) = (self.parts[home].forwarder, self.parts[part].forwarder);
                self.push(home, Command::Export { track, to });
                self.push(part, Command::Import { room: self.room, track, from });
            }
        }
    }

    /// Lets a part have a track of another room.
    fn build_bridge(&mut self, part: usize, track: TrackId, (at, room, of): (ForwarderId, RoomId, TrackId)) {
        self.last_bridge += 1;
        let bridge = ForwarderId::of_bridge(self.room, self.last_bridge);
        self.bridges.insert((track, part), bridge);
        let to = self.parts[part].forwarder;
        let (there, here) = ((room, of), (self.room, track));
        let elsewhere = |other: ForwarderId| (at != to).then_some(other);
        let open = |near, far, at| Command::OpenBridge { bridge, near, far, at };
        self.commands.push_back((at, open(there, here, elsewhere(to))));
        self.commands.push_back((to, open(here, there, elsewhere(at))));
        self.commands.push_back((at, Command::Export { track: of, to: bridge }));
        self.commands.push_back((to, Command::Import { room: self.room, track, from: bridge }));
    }

    /// One less does: the last one closes the trunk.
    fn leave_track(&mut self, part: usize, track: TrackId) {
        let Some(count) = self.trunks.get_mut(&(track, part)) else { return };
        *count -= 1;
        if *count == 0 {
            self.close(track, part);
        }
    }

    fn close(&mut self, track: TrackId, part: usize) {
        self.trunks.remove(&(track, part));
        let to = self.parts[part].forwarder;
        self.push(part, Command::Unimport { track });
        let adopted = self.adopted.get(&track).copied();
        let bridge = self.bridges.remove(&(track, part));
        if let (Some((at, room, of)), Some(bridge)) = (adopted, bridge) {
            self.commands.push_back((at, Command::Unexport { track: of, to: bridge }));
            self.commands.push_back((to, Command::CloseBridge { bridge, near: (self.room, track) }));
            self.commands.push_back((at, Command::CloseBridge { bridge, near: (room, of) }));
        } else {
            let home = self.home_of(track);
            self.push(home, Command::Unexport { track, to });
        }
    }

    /// Where a track is published, when it is published in this room.
    pub fn whereabouts(&self, track: TrackId) -> Option<ForwarderId> {
        self.tracks.get(&track).map(|(_, part)| self.parts[*part].forwarder)
    }

    /// A peer's part. What nobody knows goes to the first, where it is refused and counted.
    fn part_of(&self, peer: PeerId) -> usize {
        self.peers.get(&peer).map_or(0, |peer| peer.part)
    }

    fn home_of(&self, track: TrackId) -> usize {
        self.tracks.get(&track).map_or(0, |(_, part)| *part)
    }

    fn part_of_subscription(&self, subscription: SubscriptionId) -> usize {
        self.subscriptions.get(&subscription).map_or(0, |(peer, _)| self.part_of(*peer))
    }
}
