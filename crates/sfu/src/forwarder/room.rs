// SPDX-License-Identifier: EUPL-1.2
//! What one room has: its media engine, and its peers with what they publish and receive.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use parvis_peer::sdp::{CodecKind, SenderId};
use parvis_peer::{ChannelId, Path, Peer, PeerEvent};
use parvis_rtp::Mid;
use rustc_hash::FxHashMap;

use super::ForwarderStats;
use super::demux::Demux;
use super::outlet::Outlet;
use super::timers::{Owner, Timers};
use crate::media::{MediaEvent, RoomMedia};
use crate::{
    DataChannel, Event, ForwarderId, Outbox, PeerId, PeerRole, RoomId, SubscriptionId, SubscriptionSettings,
    TrackId,
};

/// A peer that keeps hitting its limits is reported so often.
const LIMIT_REPORT_INTERVAL: Duration = Duration::from_secs(10);

pub(super) struct Room {
    pub(super) media: RoomMedia,
    pub(super) entries: FxHashMap<PeerId, Entry>,
    /// What each bound track is sent in, best first.
    pub(super) codecs: BTreeMap<TrackId, Vec<CodecKind>>,
    /// Tracks that come from other forwarders, and from which.
    pub(super) imports: BTreeMap<TrackId, ForwarderId>,
    /// Ways to media workers.
    pub(super) outlets: FxHashMap<PeerId, Outlet>,
}

/// One peer with what the control side knows of it.
pub(super) struct Entry {
    pub(super) peer: Peer,
    pub(super) role: PeerRole,
    /// What it publishes.
    pub(super) tracks: BTreeMap<TrackId, Published>,
    /// What it receives.
    pub(super) subscriptions: BTreeMap<SubscriptionId, Subscribed>,
    /// Its data channels by purpose, once open, in the order of [`DataChannel::ALL`].
    pub(super) channels: [Option<ChannelId>; DataChannel::ALL.len()],
    pub(super) channels_told: bool,
    /// Messages for the reliable channel that came before it was open.
    pub(super) waiting: VecDeque<bytes::Bytes>,
    /// What its reliable channel was given in all, and how much of that it was told to have taken.
    pub(super) data_given: u64,
    pub(super) data_told: u64,
    /// Our offer under way, by number.
    pub(super) offer_out: Option<u32>,
    pub(super) last_offer: u32,
    /// An offer of ours, or a request for sections, is to be made at the next turn.
    pub(super) offer_wanted: bool,
    pub(super) restart_wanted: bool,
    /// More sections were asked for, and the client's offer has not come yet.
    pub(super) sections_asked: bool,
    /// Both sides have agreed at least once.
    pub(super) agreed: bool,
    ufrags: Vec<String>,
    paths: Vec<Path>,
    limit_told: Option<Instant>,
}

/// A track that a peer publishes.
pub(super) struct Published {
    pub(super) cid: String,
    pub(super) kind: parvis_peer::sdp::MediaKind,
    pub(super) mid: Option<Mid>,
}

/// What a subscriber asked for.
pub(super) struct Wish {
    pub(super) track: TrackId,
    pub(super) stream_id: String,
    pub(super) track_label: String,
}

/// A track on its way to a peer.
pub(super) struct Subscribed {
    pub(super) wish: Wish,
    /// SSRCs for media, for retransmissions and for repair packets.
    pub(super) streams: [u32; 3],
    /// Whether the peer has a sender for it: not before the track is bound.
    pub(super) sender: bool,
    /// What the subscriber shows of it.
    pub(super) settings: SubscriptionSettings,
}

impl Room {
    pub(super) fn new(media: RoomMedia) -> Room {
        Room {
            media,
            entries: FxHashMap::default(),
            codecs: BTreeMap::new(),
            imports: BTreeMap::new(),
            outlets: FxHashMap::default(),
        }
    }

    /// Whether nobody is here any more.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.outlets.is_empty()
    }

    /// Takes a track from all that receive it; gives their subscriptions.
    pub(super) fn drop_senders(
        &mut self,
        now: Instant,
        track: TrackId,
        timers: &mut Timers,
    ) -> Vec<SubscriptionId> {
        self.codecs.remove(&track);
        let mut dropped = Vec::new();
        for (id, entry) in &mut self.entries {
            let of_track = |(_, subscribed): &(&SubscriptionId, &Subscribed)| subscribed.wish.track == track;
            let ids: Vec<SubscriptionId> =
                entry.subscriptions.iter().filter(of_track).map(|(id, _)| *id).collect();
            for subscription in ids {
                entry.remove_subscription(subscription);
                dropped.push(subscription);
            }
            if entry.offer_wanted {
                timers.no_later_than(Owner::Peer(*id), now);
            }
        }
        self.drop_from_outlets(track, &mut dropped);
        dropped
    }

    /// Passes on what the media engine has to say.
    pub(super) fn drain_media(&mut self, id: RoomId, events: &mut VecDeque<(RoomId, Event)>) {
        while let Some(event) = self.media.poll_event() {
            let event = match event {
                MediaEvent::TrackStarted { track, codec } => Event::TrackStarted { track, codec },
                MediaEvent::SubscriptionStarted { subscription } => {
                    Event::SubscriptionStarted { subscription }
                }
                MediaEvent::CodecUnsupported { subscription, codec } => {
                    Event::CodecUnsupported { subscription, codec }
                }
                MediaEvent::StreamState { subscription, paused } => {
                    Event::StreamState { subscription, paused }
                }
                MediaEvent::Speakers(mut speakers) => {
                    // Each forwarder tells of its own, and of whom other rooms lend.
                    let lent = |from: &ForwarderId| from.is_bridge();
                    speakers.retain(|(track, _)| self.imports.get(track).is_none_or(lent));
                    Event::Speakers { room: id, speakers }
                }
                MediaEvent::Quality(peer, report) => Event::Quality { peer, report },
                MediaEvent::LimitHit { peer, reason } => Event::LimitHit { peer, reason },
            };
            events.push_back((id, event));
        }
    }
}

impl Entry {
    pub(super) fn new(peer: Peer, role: PeerRole) -> Entry {
        Entry {
            peer,
            role,
            tracks: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            channels: [None; DataChannel::ALL.len()],
            channels_told: false,
            waiting: VecDeque::new(),
            data_given: 0,
            data_told: 0,
            offer_out: None,
            last_offer: 0,
            offer_wanted: false,
            restart_wanted: false,
            sections_asked: false,
            agreed: false,
            ufrags: Vec::new(),
            paths: Vec::new(),
            limit_told: None,
        }
    }

    /// Whether a limit that was hit is to be told: the first time, and again after a while.
    pub(super) fn may_report_limit(&mut self, now: Instant) -> bool {
        let due = self.limit_told.is_none_or(|last| now.duration_since(last) >= LIMIT_REPORT_INTERVAL);
        if due {
            self.limit_told = Some(now);
        }
        due
    }

    /// Ends one subscription; its section is freed with the next exchange.
    pub(super) fn remove_subscription(&mut self, id: SubscriptionId) -> bool {
        let Some(subscribed) = self.subscriptions.remove(&id) else { return false };
        if subscribed.sender {
            self.peer.remove_sender(SenderId(id.0));
            // In a connection that the client offers, the section goes silent and waits for the client's next offer.
            self.offer_wanted |= self.role == PeerRole::Subscriber;
        }
        true
    }

    /// Takes this peer out of the demultiplexer.
    pub(super) fn leave(&mut self, id: PeerId, demux: &mut Demux) {
        for path in self.paths.drain(..) {
            demux.forget_of(path, id);
        }
        for ufrag in self.ufrags.drain(..) {
            demux.forget_ufrag(&ufrag);
        }
    }

    fn sync_ufrags(&mut self, id: PeerId, demux: &mut Demux) {
        if self.peer.local_ufrags().eq(self.ufrags.iter().map(String::as_str)) {
            return;
        }
        for ufrag in self.ufrags.drain(..) {
            demux.forget_ufrag(&ufrag);
        }
        self.ufrags.extend(self.peer.local_ufrags().map(str::to_owned));
        for ufrag in &self.ufrags {
            demux.learn_ufrag(ufrag, id);
        }
    }
}

/// One peer at work in its room.
pub(super) struct Context<'a> {
    pub(super) now: Instant,
    pub(super) id: PeerId,
    pub(super) room_id: RoomId,
    pub(super) room: &'a mut Room,
    pub(super) timers: &'a mut Timers,
    pub(super) events: &'a mut VecDeque<(RoomId, Event)>,
    pub(super) stats: &'a mut ForwarderStats,
}

impl Context<'_> {
    pub(super) fn tell(&mut self, event: Event) {
        self.events.push_back((self.room_id, event));
    }

    /// Passes on what the peer has to send and to say, and renews its deadline. `true` when the peer is over.
    pub(super) fn settle(&mut self, demux: &mut Demux, outbox: &mut Outbox) -> bool {
        let Some(entry) = self.room.entries.get_mut(&self.id) else { return false };
        entry.sync_ufrags(self.id, demux);
        let mut failed = false;
        while let Some(event) = self.entry().and_then(|entry| entry.peer.poll_event()) {
            failed |= self.peer_event(event, demux);
        }
        self.tell_taken();
        let Some(entry) = self.room.entries.get_mut(&self.id) else { return failed };
        while let Some((path, datagram)) = entry.peer.poll_transmit() {
            outbox.push(path, &datagram);
        }
        let deadline = if entry.offer_wanted { Some(self.now) } else { entry.peer.poll_timeout() };
        self.timers.set(Owner::Peer(self.id), deadline);
        failed
    }

    pub(super) fn entry(&mut self) -> Option<&mut Entry> {
        self.room.entries.get_mut(&self.id)
    }

    fn peer_event(&mut self, event: PeerEvent, demux: &mut Demux) -> bool {
        let (id, now) = (self.id, self.now);
        match event {
            PeerEvent::PathValidated(path) => {
                demux.learn(path, id);
                if let Some(entry) = self.entry()
                    && !entry.paths.contains(&path)
                {
                    entry.paths.push(path);
                }
            }
            PeerEvent::PathRemoved(path) => {
                demux.forget_of(path, id);
                if let Some(entry) = self.entry() {
                    entry.paths.retain(|known| *known != path);
                }
            }
            PeerEvent::Connected(report) => {
                self.room.media.set_connected(now, id, true);
                self.tell(Event::PeerConnected { peer: id, report });
            }
            PeerEvent::Disconnected => {
                self.room.media.set_connected(now, id, false);
                self.tell(Event::PeerDisconnected { peer: id });
            }
            PeerEvent::Resumed => {
                self.room.media.set_connected(now, id, true);
                self.tell(Event::PeerResumed { peer: id });
            }
            PeerEvent::Failed(reason) => {
                self.tell(Event::PeerFailed { peer: id, reason });
                return true;
            }
            PeerEvent::ChannelOpen(channel, spec) => self.channel_open(channel, &spec),
            PeerEvent::ChannelMessage { channel, payload, .. } => self.channel_message(channel, payload),
            PeerEvent::ChannelWritable(_) => {}
            PeerEvent::ChannelClosed(channel) => self.channel_closed(channel),
        }
        false
    }
}
