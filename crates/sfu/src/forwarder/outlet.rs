// SPDX-License-Identifier: EUPL-1.2
//! Outlets to media workers ([`crate::OutletSpec`]): subscribers whose transport is there from the beginning.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use parvis_peer::sdp::{CodecKind, Direction, MediaKind, MediaSection, SenderId};
use parvis_peer::{Path, Protocol};
use parvis_rtp::rtcp::{self, Rtcp};
use parvis_rtp::srtp::{Limits, MasterKey, Profile, SrtpContext, SrtpError};
use parvis_rtp::{ExtensionMap, Mid};

use super::Forwarder;
use super::room::{Room, Wish};
use crate::media::RoomMedia;
use crate::{
    Event, OUTLET_CODECS, OUTLET_EXTENSIONS, Outbox, OutletKey, OutletSpec, PeerId, RoomId, SubscriptionId,
    SubscriptionSettings, TrackId,
};

/// Bytes of a master key; its salt follows (RFC 7714 section 12).
const KEY_BYTES: usize = 16;
/// As whom a worker is heard. It sends nothing, so that nobody else has this number.
const WORKER_SSRC: u32 = 0;
/// Lost packets that are asked for at once: each takes at most four bytes of the message.
const MAX_LOST: usize = 256;
const RTCP_BYTES: usize = 12 + 4 * MAX_LOST;

/// One outlet.
pub(super) struct Outlet {
    pub(super) path: Path,
    outbound: SrtpContext,
    /// What it receives.
    pub(super) subscriptions: BTreeMap<SubscriptionId, Received>,
}

/// A track on its way through an outlet.
pub(super) struct Received {
    pub(super) track: TrackId,
    settings: SubscriptionSettings,
    /// What it carries, once the track is bound: then it has a section.
    kind: Option<MediaKind>,
}

impl Outlet {
    fn new(local: SocketAddr, spec: &OutletSpec) -> Result<Outlet, SrtpError> {
        Ok(Outlet {
            path: Path { protocol: Protocol::Udp, local, remote: spec.to },
            outbound: context(&spec.key)?,
            subscriptions: BTreeMap::new(),
        })
    }

    pub(super) fn protect_rtp(&mut self, buffer: &mut [u8], len: usize) -> Option<usize> {
        self.outbound.protect_rtp(buffer, len).ok()
    }

    /// Tells what a compound's sender reports say, in place of sending them.
    pub(super) fn report(&self, now: Instant, compound: &[u8], mut tell: impl FnMut(Event)) {
        for packet in rtcp::packets(compound).map_while(Result::ok) {
            let Rtcp::SenderReport(report) = packet else { continue };
            let mut of_it = self.subscriptions.keys().filter(|id| id.outlet_ssrcs().0 == report.ssrc);
            if let Some(&subscription) = of_it.next() {
                // Reports are of this very moment.
                tell(Event::OutletClock { subscription, rtp_timestamp: report.info.rtp_timestamp, at: now });
            }
        }
    }

    /// What a negotiation would have come to.
    fn sections(&self) -> Vec<MediaSection> {
        let mut extensions = ExtensionMap::default();
        for (id, extension) in OUTLET_EXTENSIONS {
            extensions.insert(id, extension);
        }
        let carried = self.subscriptions.iter().filter_map(|(id, received)| Some((*id, received.kind?)));
        carried
            .enumerate()
            .filter_map(|(index, (subscription, kind))| {
                let of_kind = OUTLET_CODECS.iter().filter(|codec| codec.media_kind() == kind);
                Some(MediaSection {
                    index,
                    mid: Mid::new(&index.to_string())?,
                    kind,
                    direction: Direction::SendOnly,
                    codecs: of_kind.map(|codec| codec.negotiated()).collect(),
                    fec: None,
                    extensions,
                    rids: Vec::new(),
                    remote_streams: Vec::new(),
                    remote_msid: None,
                    sender: Some(SenderId(subscription.0)),
                })
            })
            .collect()
    }

    /// Takes up those subscriptions whose track is bound by now.
    fn take_up(
        &mut self,
        now: Instant,
        id: PeerId,
        media: &mut RoomMedia,
        codecs: &BTreeMap<TrackId, Vec<CodecKind>>,
    ) {
        let mut more = false;
        for (subscription, received) in &mut self.subscriptions {
            let Some(codecs) = codecs.get(&received.track).filter(|_| received.kind.is_none()) else {
                continue;
            };
            let audio = codecs.iter().any(|codec| matches!(codec, CodecKind::Opus | CodecKind::Red));
            received.kind = Some(if audio { MediaKind::Audio } else { MediaKind::Video });
            let (ssrc, rtx) = subscription.outlet_ssrcs();
            media.subscribe(now, *subscription, id, received.track, ssrc, (!audio).then_some(rtx));
            media.configure(now, *subscription, received.settings);
            more = true;
        }
        if more {
            media.set_sections(now, id, &self.sections());
        }
    }
}

impl Room {
    /// Gives each outlet that waits for a track what it waits for.
    pub(super) fn take_up_in_outlets(&mut self, now: Instant, track: TrackId) {
        for (id, outlet) in &mut self.outlets {
            for (subscription, received) in &outlet.subscriptions {
                if received.track == track && received.kind.is_some() {
                    // It was switched to it before it was known.
                    self.media.switch_track(now, *subscription, track);
                }
            }
            outlet.take_up(now, *id, &mut self.media, &self.codecs);
        }
    }

    /// Takes a track from all outlets; gives their subscriptions.
    pub(super) fn drop_from_outlets(&mut self, track: TrackId, dropped: &mut Vec<SubscriptionId>) {
        for outlet in self.outlets.values_mut() {
            outlet.subscriptions.retain(|subscription, received| {
                let goes_on = received.track != track;
                if !goes_on {
                    dropped.push(*subscription);
                }
                goes_on
            });
        }
    }
}

impl Forwarder {
    pub(super) fn create_outlet(
        &mut self,
        now: Instant,
        room_id: RoomId,
        id: PeerId,
        spec: &OutletSpec,
    ) -> bool {
        if self.peers.contains_key(&id) || self.peers.len() >= self.config.max_peers {
            return false;
        }
        let Some(outlet) = self.local_for(spec.to).and_then(|local| Outlet::new(local, spec).ok()) else {
            return false;
        };
        self.demux.learn(outlet.path, id);
        let room = self.room_or_new(now, room_id);
        room.outlets.insert(id, outlet);
        room.media.add_peer(now, id);
        room.media.widen(id);
        room.media.set_connected(now, id, true);
        self.peers.insert(id, room_id);
        self.count_peers();
        self.stats.outlets += 1;
        self.settle_media(now, room_id);
        true
    }

    /// Forgets an outlet; its room may be left with nobody.
    pub(super) fn close_outlet(&mut self, now: Instant, room_id: RoomId, id: PeerId) {
        let Some(room) = self.rooms.get_mut(&room_id) else { return };
        let Some(outlet) = room.outlets.remove(&id) else { return };
        self.demux.forget_of(outlet.path, id);
        room.media.remove_peer(now, id);
        for subscription in outlet.subscriptions.keys() {
            self.subscriptions.remove(subscription);
        }
        self.stats.outlets -= 1;
    }

    /// Lets `act` work on an outlet, with its room's media and what is known of the room's tracks. `None` when `id` is none.
    pub(super) fn with_outlet(
        &mut self,
        now: Instant,
        id: PeerId,
        act: impl FnOnce(&mut Outlet, &mut RoomMedia, &BTreeMap<TrackId, Vec<CodecKind>>) -> bool,
    ) -> Option<bool> {
        let room_id = self.peers.get(&id).copied()?;
        let Room { outlets, media, codecs, .. } = self.rooms.get_mut(&room_id)?;
        let known = act(outlets.get_mut(&id)?, media, codecs);
        self.settle_media(now, room_id);
        Some(known)
    }

    pub(super) fn subscribe_outlet(
        &mut self,
        now: Instant,
        id: PeerId,
        subscription: SubscriptionId,
        wish: &Wish,
    ) -> Option<bool> {
        let limit = self.config.max_subscriptions_per_outlet;
        self.with_outlet(now, id, |outlet, media, codecs| {
            if outlet.subscriptions.len() >= limit {
                return false;
            }
            let settings = SubscriptionSettings::default();
            outlet.subscriptions.insert(subscription, Received { track: wish.track, settings, kind: None });
            outlet.take_up(now, id, media, codecs);
            true
        })
    }

    pub(super) fn unsubscribe_outlet(
        &mut self,
        now: Instant,
        id: PeerId,
        subscription: SubscriptionId,
    ) -> Option<bool> {
        self.with_outlet(now, id, |outlet, media, _| {
            media.unsubscribe(now, subscription);
            outlet.subscriptions.remove(&subscription).is_some()
        })
    }

    pub(super) fn configure_outlet(
        &mut self,
        now: Instant,
        id: PeerId,
        subscription: SubscriptionId,
        settings: SubscriptionSettings,
    ) -> Option<bool> {
        self.with_outlet(now, id, |outlet, media, _| {
            let Some(received) = outlet.subscriptions.get_mut(&subscription) else { return false };
            received.settings = settings;
            if received.kind.is_some() {
                media.configure(now, subscription, settings);
            }
            true
        })
    }

    pub(super) fn switch_in_outlet(
        &mut self,
        now: Instant,
        id: PeerId,
        subscription: SubscriptionId,
        track: TrackId,
    ) -> Option<bool> {
        self.with_outlet(now, id, |outlet, media, codecs| {
            let Some(received) = outlet.subscriptions.get_mut(&subscription) else { return false };
            let known = codecs.contains_key(&track);
            if received.kind.is_some() && known && !media.switch_track(now, subscription, track) {
                return false;
            }
            received.track = track;
            outlet.take_up(now, id, media, codecs);
            true
        })
    }

    /// A worker lacks something: it is asked for as a subscriber's RTCP would. `false` when there is no such subscription of an
    /// outlet's.
    pub(super) fn repair_outlet(
        &mut self,
        now: Instant,
        subscription: SubscriptionId,
        lost: &[u16],
        outbox: &mut Outbox,
    ) -> bool {
        let Some((room_id, id)) = self.subscriptions.get(&subscription).copied() else { return false };
        let is_outlet = self.rooms.get(&room_id).is_some_and(|room| room.outlets.contains_key(&id));
        let Some((media, mut wire)) = self.media_of(now, room_id, outbox).filter(|_| is_outlet) else {
            return false;
        };
        let (ssrc, _) = subscription.outlet_ssrcs();
        let mut buffer = [0; RTCP_BYTES];
        let mut writer = rtcp::Writer::new(&mut buffer);
        let written = match lost {
            [] => writer.pli(WORKER_SSRC, ssrc),
            // What finds no room in one packet is asked for again.
            lost => writer.nack(WORKER_SSRC, ssrc, lost.iter().copied().take(MAX_LOST)),
        };
        let len = writer.len();
        if written.is_ok() {
            media.handle_rtcp(now, id, &buffer[..len], &mut wire);
        }
        self.settle_media(now, room_id);
        written.is_ok()
    }

    /// The socket from which a worker is reached: the one at its own address where there is one, or else any of the family.
    fn local_for(&self, remote: SocketAddr) -> Option<SocketAddr> {
        let bound = || self.config.bound.iter().copied();
        let same_ip = bound().find(|local| local.ip() == remote.ip());
        same_ip.or_else(|| bound().find(|local| local.is_ipv4() == remote.is_ipv4()))
    }
}

fn context(key: &OutletKey) -> Result<SrtpContext, SrtpError> {
    let profile = Profile::Aead128Gcm;
    let (key, salt) = key.0.split_at(KEY_BYTES);
    SrtpContext::new(profile, &MasterKey::new(profile, key, salt)?, Limits::SEND)
}
