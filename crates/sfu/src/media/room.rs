// SPDX-License-Identifier: EUPL-1.2
//! The engine's surface: what the forwarder tells it between packets. Packets go through `receive`, `emit` and
//! `feedback`, timers through `timers`; all of them work on this state.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parvis_peer::DropReason;
use parvis_peer::sdp::{MediaKind, MediaSection, SenderId};
use parvis_rtp::{Mid, PlayoutDelay};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use rustc_hash::FxHashMap;
use slab::Slab;

use super::allocate::Demand;
use super::audio::{Hush, Stage};
use super::deadlines::Deadlines;
use super::peer::MediaPeer;
use super::publication::Publication;
use super::subscription::{Outlet, Subscription};
use super::timers::earliest;
use super::walk::Held;
use super::{Egress, MediaConfig, MediaEvent, MediaStats};
use crate::bwe::Carried;
use crate::{PeerId, SubscriptionId, SubscriptionSettings, TrackId, TrackSpec};

/// The media of one room.
#[derive(Debug)]
pub struct RoomMedia {
    pub(super) config: Arc<MediaConfig>,
    random: ChaCha20Rng,
    /// The zero of our NTP clock and of absolute send times.
    pub(super) epoch: Instant,
    pub(super) peers: Slab<MediaPeer>,
    pub(super) publications: Slab<Publication>,
    pub(super) subscriptions: Slab<Subscription>,
    pub(super) peer_places: FxHashMap<PeerId, usize>,
    pub(super) publication_places: FxHashMap<TrackId, usize>,
    pub(super) subscription_places: FxHashMap<SubscriptionId, usize>,
    pub(super) events: VecDeque<MediaEvent>,
    pub(super) stats: MediaStats,
    /// When each peer is next looked at, at the latest; all of them are at a tick.
    pub(super) due_peers: Deadlines,
    /// The same for the layers of each publication.
    pub(super) due_publications: Deadlines,
    pub(super) next_tick: Instant,
    pub(super) next_speakers: Instant,
    pub(super) speakers: Vec<(TrackId, f32)>,
    pub(super) stage: Stage,
    pub(super) hushes: Vec<Hush>,
    pub(super) scratch: Scratch,
    /// Publishers of imported tracks: they are peers of other forwarders.
    pub(super) absent: FxHashMap<PeerId, usize>,
    /// How many publications are imported.
    pub(super) imports: usize,
    /// Something is to be told by a trunk.
    pub(super) trunk_work: bool,
    /// Counts changes of what subscriptions take.
    pub(super) choices: u64,
    /// Packets that are to be forwarded together.
    pub(super) held: Option<Held>,
}

/// Buffers that are used again and again.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub(super) demands: Vec<Demand>,
    /// Places of peers who speak.
    pub(super) speaking: Vec<usize>,
    pub(super) numbers: Vec<u16>,
    /// Places of those who are due.
    pub(super) due: Vec<usize>,
    pub(super) speakers: Vec<(TrackId, f32)>,
    pub(super) recovered: Vec<u8>,
    pub(super) repaired: Vec<u8>,
    /// What packets carried that a peer's feedback told lost.
    pub(super) lost: Vec<Carried>,
}

/// How often rates are measured and bandwidth is shared out anew.
pub(super) const TICK: Duration = Duration::from_millis(100);

impl RoomMedia {
    /// An empty room. `seed` gives the first sequence numbers and timestamps.
    pub fn new(config: Arc<MediaConfig>, seed: [u8; 32], now: Instant) -> Self {
        RoomMedia {
            random: ChaCha20Rng::from_seed(seed),
            epoch: now,
            peers: Slab::new(),
            publications: Slab::new(),
            subscriptions: Slab::new(),
            peer_places: FxHashMap::default(),
            publication_places: FxHashMap::default(),
            subscription_places: FxHashMap::default(),
            events: VecDeque::new(),
            stats: MediaStats::default(),
            due_peers: Deadlines::default(),
            due_publications: Deadlines::default(),
            next_tick: now + TICK,
            next_speakers: now + config.speakers_interval,
            speakers: Vec::new(),
            stage: Stage::new(&config),
            hushes: Vec::new(),
            scratch: Scratch::default(),
            absent: FxHashMap::default(),
            imports: 0,
            trunk_work: false,
            choices: 0,
            held: None,
            config,
        }
    }

    /// Makes a peer known.
    pub fn add_peer(&mut self, now: Instant, peer: PeerId) {
        if !self.peer_places.contains_key(&peer) {
            if self.peers.is_empty() {
                // Nothing was looked at while nobody was there.
                self.next_tick = self.next_tick.max(now + TICK);
            }
            let ssrc = self.random.next_u32();
            let place = self.peers.insert(MediaPeer::new(&self.config, now, peer, ssrc));
            self.peer_places.insert(peer, place);
        }
    }

    /// Forgets a peer with its publications and subscriptions.
    pub fn remove_peer(&mut self, now: Instant, peer: PeerId) {
        let Some(place) = self.peer_places.remove(&peer) else { return };
        for publication in std::mem::take(&mut self.peers[place].publications) {
            let track = self.publications[publication].track;
            self.unpublish(now, track);
        }
        for subscription in std::mem::take(&mut self.peers[place].subscriptions) {
            let id = self.subscriptions[subscription].id;
            self.unsubscribe(now, id);
        }
        self.peers.remove(place);
        self.due_peers.set(place, None);
    }

    /// Says what the peer's negotiation came to: both directions, every section. A subscription's section is the
    /// one whose `sender` is `SenderId(subscription.0)`.
    pub fn set_sections(&mut self, now: Instant, peer: PeerId, sections: &[MediaSection]) {
        let Some(&place) = self.peer_places.get(&peer) else { return };
        self.peers[place].set_sections(sections);
        for at in 0..self.peers[place].publications.len() {
            self.apply_section(now, self.peers[place].publications[at]);
        }
        for at in 0..self.peers[place].subscriptions.len() {
            self.apply_outlet(self.peers[place].subscriptions[at]);
        }
        self.reallocate(now, place);
    }

    /// Sends a peer no more than so many bits per second, or as much as its path carries again. `false`: no such peer.
    pub fn limit_bandwidth(&mut self, now: Instant, peer: PeerId, bits_per_second: Option<u64>) -> bool {
        let Some(&place) = self.peer_places.get(&peer) else { return false };
        self.peers[place].ceiling = bits_per_second;
        let config = self.config.clone();
        self.peers[place].pace(&config, now);
        self.reallocate(now, place);
        true
    }

    /// Says that the way to a peer carries all that may be sent to one at all: it is a media worker of ours, which gives no
    /// feedback on its path.
    pub fn widen(&mut self, peer: PeerId) {
        if let Some(&place) = self.peer_places.get(&peer) {
            self.peers[place].wide = true;
        }
    }

    /// Has a peer's pictures bear these bounds in place of their publishers'. `false`: no such peer.
    pub fn set_playout_delay(&mut self, peer: PeerId, delay: PlayoutDelay) -> bool {
        let Some(&place) = self.peer_places.get(&peer) else { return false };
        self.peers[place].playout_delay = Some(delay);
        true
    }

    /// Says whether packets can reach the peer.
    pub fn set_connected(&mut self, now: Instant, peer: PeerId, connected: bool) {
        let Some(&place) = self.peer_places.get(&peer) else { return };
        let peer = &mut self.peers[place];
        if peer.is_connected() == connected {
            return;
        }
        peer.connected_at = connected.then_some(now);
        peer.pacer.clear();
        peer.probe = None;
        for &subscription in &peer.subscriptions {
            self.subscriptions[subscription].unfollow();
        }
        self.reallocate(now, place);
    }

    /// Expects a track.
    pub fn publish(&mut self, now: Instant, track: TrackId, peer: PeerId, spec: &TrackSpec) {
        let Some(&place) = self.peer_places.get(&peer) else { return };
        if self.publication_places.contains_key(&track) {
            return;
        }
        if self.peers[place].publications.len() >= self.config.max_tracks_per_peer {
            self.limit_hit(now, place);
            return;
        }
        let publication = self.publications.insert(Publication::new(&self.config, now, track, place, spec));
        self.publication_places.insert(track, publication);
        self.peers[place].publications.push(publication);
    }

    /// Says which section carries a track.
    pub fn bind(&mut self, now: Instant, track: TrackId, mid: Mid) {
        let Some(&place) = self.publication_places.get(&track) else { return };
        let publication = &mut self.publications[place];
        publication.mid = Some(mid);
        self.peers[publication.peer].demux.bind(mid, place);
        self.apply_section(now, place);
    }

    /// Forgets a track and its subscriptions.
    pub fn unpublish(&mut self, now: Instant, track: TrackId) {
        let Some(place) = self.publication_places.remove(&track) else { return };
        self.held.take_if(|held| held.is_of(place));
        for subscription in std::mem::take(&mut self.publications[place].subscribers) {
            let id = self.subscriptions[subscription].id;
            self.unsubscribe(now, id);
        }
        self.leave_stage(place);
        let publication = self.publications.remove(place);
        self.due_publications.set(place, None);
        let peer = &mut self.peers[publication.peer];
        peer.demux.unbind(place);
        peer.publications.retain(|other| *other != place);
    }

    /// Stops or resumes forwarding a track, at once.
    pub fn set_muted(&mut self, now: Instant, track: TrackId, muted: bool) {
        let Some(&place) = self.publication_places.get(&track) else { return };
        let publication = &mut self.publications[place];
        if std::mem::replace(&mut publication.muted, muted) == muted {
            return;
        }
        publication.loudness.silence();
        publication.heard_from = publication.layers[0].highest().map_or(0, |highest| highest + 1);
        self.leave_stage(place);
        self.state_changed(place);
        for at in 0..self.publications[place].subscribers.len() {
            let subscription = &mut self.subscriptions[self.publications[place].subscribers[at]];
            subscription.unfollow();
            let peer = subscription.peer;
            self.reallocate(now, peer);
        }
        if muted && self.publications[place].kind == MediaKind::Audio {
            self.hush(now, place);
        }
    }

    /// Forwards a track to a peer from `ssrc`.
    pub fn subscribe(
        &mut self,
        now: Instant,
        subscription: SubscriptionId,
        peer: PeerId,
        track: TrackId,
        ssrc: u32,
        rtx_ssrc: Option<u32>,
    ) {
        let (Some(&peer), Some(&publication)) =
            (self.peer_places.get(&peer), self.publication_places.get(&track))
        else {
            return;
        };
        if self.subscription_places.contains_key(&subscription) {
            return;
        }
        if self.peers[peer].subscriptions.len() >= self.config.max_subscriptions_per_peer {
            self.limit_hit(now, peer);
            return;
        }
        let kind = self.publications[publication].kind;
        let random = self.random.next_u64();
        let new = Subscription::new(
            &self.config,
            now,
            subscription,
            peer,
            publication,
            kind,
            (ssrc, rtx_ssrc),
            random,
        );
        let place = self.subscriptions.insert(new);
        self.subscription_places.insert(subscription, place);
        self.publications[publication].subscribers.push(place);
        self.peers[peer].subscriptions.push(place);
        for ssrc in [Some(ssrc), rtx_ssrc].into_iter().flatten() {
            self.peers[peer].outgoing.insert(ssrc, place);
        }
        self.apply_outlet(place);
        self.reallocate(now, peer);
    }

    /// Says from which SSRC a subscription's repair packets are sent, where the peer takes them.
    pub fn set_repair_ssrc(&mut self, subscription: SubscriptionId, ssrc: u32) {
        if let Some(&place) = self.subscription_places.get(&subscription) {
            self.subscriptions[place].fec_ssrc = Some(ssrc);
        }
    }

    /// Ends a subscription.
    pub fn unsubscribe(&mut self, now: Instant, subscription: SubscriptionId) {
        let Some(place) = self.subscription_places.remove(&subscription) else { return };
        let old = self.subscriptions.remove(place);
        self.publications[old.publication].pinned -= usize::from(old.is_pinned());
        self.publications[old.publication].subscribers.retain(|other| *other != place);
        let peer = &mut self.peers[old.peer];
        peer.subscriptions.retain(|other| *other != place);
        peer.outgoing.retain(|_, other| *other != place);
        self.reallocate(now, old.peer);
    }

    /// Sends another track under a subscription, from its next key frame on. Whether both are there and of one kind.
    pub fn switch_track(&mut self, now: Instant, subscription: SubscriptionId, track: TrackId) -> bool {
        let (Some(&place), Some(&publication)) =
            (self.subscription_places.get(&subscription), self.publication_places.get(&track))
        else {
            return false;
        };
        let former = self.subscriptions[place].publication;
        if self.publications[publication].kind != self.subscriptions[place].kind {
            return false;
        }
        if former != publication {
            self.choices += 1;
            self.publications[former].subscribers.retain(|other| *other != place);
            self.publications[publication].subscribers.push(place);
            let subscription = &mut self.subscriptions[place];
            subscription.change_source(publication, &self.publications[former].layers);
            subscription.resolve_types(self.publications[publication].fmtp());
            let peer = subscription.peer;
            self.check_codec(place);
            self.reallocate(now, peer);
        }
        true
    }

    /// Tells, once, when the peer of a subscription can't take what the track is sent in.
    pub(super) fn check_codec(&mut self, place: usize) {
        let subscription = &mut self.subscriptions[place];
        let Some(format) = &self.publications[subscription.publication].codec else { return };
        let codec = format.kind;
        let missing = subscription.outlet.is_some() && subscription.outgoing_type(codec).is_none();
        if missing && subscription.unsupported != Some(codec) {
            let subscription = subscription.id;
            self.events.push_back(MediaEvent::CodecUnsupported { subscription, codec });
        }
        self.subscriptions[place].unsupported = missing.then_some(codec);
    }

    /// Says what the subscriber shows.
    pub fn configure(&mut self, now: Instant, subscription: SubscriptionId, settings: SubscriptionSettings) {
        let Some(&place) = self.subscription_places.get(&subscription) else { return };
        let subscription = &mut self.subscriptions[place];
        let more = settings.enabled && (settings != subscription.settings);
        let was_pinned = subscription.is_pinned();
        subscription.settings = settings;
        let (peer, pinned) = (subscription.peer, subscription.is_pinned());
        let publication = &mut self.publications[subscription.publication];
        publication.pinned = publication.pinned + usize::from(pinned) - usize::from(was_pinned);
        if more {
            publication.raised_at = Some(now);
        }
        if publication.withheld && !pinned {
            subscription.unfollow();
        }
        self.reallocate(now, peer);
    }

    /// Does what is due: paced packets, feedback, reports, NACKs, allocation, speakers.
    pub fn handle_timeout(&mut self, now: Instant, egress: &mut impl Egress) {
        if self.poll_timeout().is_some_and(|wake| wake <= now) {
            self.run_timers(now, egress);
        }
    }

    /// When [`RoomMedia::handle_timeout`] is next due. It may be early, never late.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let everyone = (!self.peers.is_empty()).then(|| self.next_tick.min(self.next_speakers));
        earliest(everyone, earliest(self.due_peers.next(), self.due_publications.next()))
    }

    /// What happened, oldest first.
    pub fn poll_event(&mut self) -> Option<MediaEvent> {
        self.events.pop_front()
    }

    /// What was counted.
    pub fn stats(&self) -> MediaStats {
        let known_ssrcs = self.peers.iter().map(|(_, peer)| peer.demux.len()).sum();
        MediaStats { known_ssrcs, ..self.stats }
    }

    /// Bandwidth is to be shared out anew among a peer's subscriptions.
    pub(super) fn reallocate(&mut self, now: Instant, peer: usize) {
        self.peers[peer].reallocate = true;
        self.due_peers.no_later_than(peer, Some(now));
    }

    /// Counts a refusal and tells it.
    pub(super) fn limit_hit(&mut self, now: Instant, peer: usize) {
        self.stats.refused_limit += 1;
        let peer = &mut self.peers[peer];
        if peer.tell_limit(now) {
            self.events.push_back(MediaEvent::LimitHit { peer: peer.id, reason: DropReason::Limit });
        }
    }

    fn apply_section(&mut self, now: Instant, place: usize) {
        let publication = &mut self.publications[place];
        let demux = &self.peers[publication.peer].demux;
        if let Some(section) = publication.mid.and_then(|mid| demux.section(mid)) {
            publication.set_section(&self.config, now, section);
            self.state_changed(place);
        }
    }

    fn apply_outlet(&mut self, place: usize) {
        self.choices += 1;
        let subscription = &mut self.subscriptions[place];
        let sender = SenderId(subscription.id.0);
        let sections = &self.peers[subscription.peer].sections;
        let outlet = sections.iter().find(|section| section.sender == Some(sender)).and_then(Outlet::new);
        if outlet.is_none() && subscription.kind == MediaKind::Video {
            subscription.unfollow();
        }
        subscription.set_outlet(outlet, self.publications[subscription.publication].fmtp());
        self.check_codec(place);
    }
}
