// SPDX-License-Identifier: EUPL-1.2
//! From descriptions to sections, and from sections to tracks and senders.

use parvis_peer::sdp::{CodecKind, MediaKind, MediaSection, Msid, SenderId, SenderSpec};
use parvis_rtp::Mid;

use super::room::{Context, Published, Subscribed, Wish};
use super::timers::Owner;
use crate::{
    Description, DescriptionKind, Event, PeerRole, SubscriptionId, SubscriptionSettings, TrackId, TrackSpec,
};

/// What a video section may carry besides the codecs that its track is bound with, best known first.
const VIDEO_CODECS: [CodecKind; 4] = [CodecKind::Vp8, CodecKind::H264, CodecKind::Vp9, CodecKind::Av1];

impl Context<'_> {
    pub(super) fn remote_description(&mut self, description: Description) -> bool {
        let now = self.now;
        let Some(entry) = self.room.entries.get_mut(&self.id) else { return false };
        match (description.kind, entry.role) {
            (DescriptionKind::Offer, PeerRole::Publisher | PeerRole::Single) => {
                entry.sections_asked = false;
                match entry.peer.accept_offer(now, &description.sdp) {
                    Ok(sdp) => self.answered(sdp, description.id),
                    Err(error) => self.refuse(error.to_string()),
                }
            }
            (DescriptionKind::Answer, PeerRole::Subscriber) => {
                let Some(offer) = entry.offer_out else {
                    self.refuse("an answer came, and no offer of ours is under way".to_owned());
                    return true;
                };
                // A client that numbers its answers may answer an offer that ours has since replaced.
                if description.id != 0 && description.id != offer {
                    return true;
                }
                entry.offer_out = None;
                match entry.peer.accept_answer(now, &description.sdp) {
                    Ok(()) => self.agreed(),
                    Err(error) => {
                        entry.peer.rollback();
                        self.refuse(error.to_string());
                    }
                }
            }
            (DescriptionKind::Rollback, _) => entry.peer.rollback(),
            (kind, role) => {
                self.refuse(format!("{kind:?} is not the client's to send on a {role:?} connection"));
            }
        }
        true
    }

    pub(super) fn remote_candidate(&mut self, candidate: &str) -> bool {
        let checked = self.entry().map(|entry| entry.peer.add_remote_candidate(candidate));
        if let Some(Err(error)) = checked {
            self.refuse(error.to_string());
        }
        true
    }

    pub(super) fn restart_ice(&mut self) -> bool {
        let Some(entry) = self.entry().filter(|entry| entry.role == PeerRole::Subscriber) else {
            return false;
        };
        entry.restart_wanted = true;
        // An answer to the former offer, if it comes at all, is stale.
        entry.offer_out = None;
        self.want_offer();
        true
    }

    /// Expects a track, and binds it at once when its section is there already.
    pub(super) fn publish(&mut self, track: TrackId, spec: &TrackSpec, limit: usize) -> bool {
        let (now, id) = (self.now, self.id);
        let Some(entry) = self.room.entries.get_mut(&id) else { return false };
        if entry.tracks.len() >= limit || entry.role == PeerRole::Subscriber {
            return false;
        }
        entry.peer.prefer(&spec.cid, spec.encoder);
        entry.tracks.insert(track, Published { cid: spec.cid.clone(), kind: spec.kind, mid: None });
        self.room.media.publish(now, track, id, spec);
        self.bind_tracks();
        true
    }

    pub(super) fn subscribe(
        &mut self,
        subscription: SubscriptionId,
        wish: Wish,
        streams: [u32; 3],
        limit: usize,
    ) -> bool {
        let Some(entry) = self.entry() else { return false };
        if entry.subscriptions.len() >= limit || entry.role == PeerRole::Publisher {
            return false;
        }
        entry.subscriptions.insert(
            subscription,
            Subscribed { wish, streams, sender: false, settings: SubscriptionSettings::default() },
        );
        self.add_senders();
        true
    }

    /// Remembers what the subscriber shows, for the case that the track comes later, and tells the media engine.
    pub(super) fn configure(&mut self, subscription: SubscriptionId, settings: SubscriptionSettings) -> bool {
        let now = self.now;
        let Some(entry) = self.room.entries.get_mut(&self.id) else { return false };
        let Some(subscribed) = entry.subscriptions.get_mut(&subscription) else { return false };
        subscribed.settings = settings;
        if subscribed.sender {
            self.room.media.configure(now, subscription, settings);
        }
        true
    }

    /// Sends another track under a subscription.
    pub(super) fn switch_track(&mut self, subscription: SubscriptionId, track: TrackId) -> bool {
        let now = self.now;
        let Some(entry) = self.room.entries.get_mut(&self.id) else { return false };
        let Some(subscribed) = entry.subscriptions.get_mut(&subscription) else { return false };
        // One that comes by a trunk may not have come yet: then it takes over when it does.
        let known = self.room.codecs.contains_key(&track);
        if subscribed.sender && known && !self.room.media.switch_track(now, subscription, track) {
            return false;
        }
        subscribed.wish.track = track;
        self.add_senders();
        true
    }

    pub(super) fn unsubscribe(&mut self, subscription: SubscriptionId) -> bool {
        self.room.media.unsubscribe(self.now, subscription);
        let Some(entry) = self.entry() else { return false };
        let removed = entry.remove_subscription(subscription);
        if entry.offer_wanted {
            self.want_offer();
        }
        removed
    }

    /// Makes the offer, or the request for sections, that earlier commands asked for.
    pub(super) fn offer_if_wanted(&mut self) {
        let (now, peer) = (self.now, self.id);
        let Some(entry) = self.entry() else { return };
        if !std::mem::take(&mut entry.offer_wanted) {
            return;
        }
        match entry.role {
            PeerRole::Subscriber if entry.offer_out.is_none() => {
                let restart = std::mem::take(&mut entry.restart_wanted);
                if !restart && !entry.peer.needs_negotiation() {
                    return;
                }
                match entry.peer.create_offer(now, restart) {
                    Ok(sdp) => {
                        entry.last_offer += 1;
                        let id = entry.last_offer;
                        entry.offer_out = Some(id);
                        let description = Description { kind: DescriptionKind::Offer, sdp, id };
                        let mids = self.mids();
                        self.tell(Event::LocalDescription { peer, description, mids });
                    }
                    Err(error) => self.refuse(error.to_string()),
                }
            }
            // Before it has our first answer a client can't offer more: libraries of the native family wait for it in vain then,
            // for it comes behind this. Once there is agreement it is wanted again.
            PeerRole::Single if !entry.agreed => {}
            PeerRole::Single if !entry.sections_asked && entry.peer.unplaced_senders() != (0, 0) => {
                // None may be missing: then the client's next offer is all that is wanted.
                let (audios, videos) = entry.peer.sections_wanted();
                entry.sections_asked = true;
                let (audios, videos) = (audios as u32, videos as u32);
                self.tell(Event::MediaSectionsRequired { peer, audios, videos });
            }
            _ => {}
        }
    }

    fn answered(&mut self, sdp: String, id: u32) {
        let peer = self.id;
        let description = Description { kind: DescriptionKind::Answer, sdp, id };
        let mids = self.mids();
        self.tell(Event::LocalDescription { peer, description, mids });
        self.agreed();
    }

    /// Both sides agree: the media engine learns the sections, tracks and senders find theirs.
    fn agreed(&mut self) {
        let (now, id) = (self.now, self.id);
        let Some(entry) = self.room.entries.get_mut(&id) else { return };
        entry.agreed = true;
        self.room.media.set_sections(now, id, entry.peer.sections());
        let more =
            entry.peer.needs_negotiation() || entry.restart_wanted || entry.peer.unplaced_senders() != (0, 0);
        self.end_tracks();
        self.bind_tracks();
        if more {
            self.want_offer();
        }
    }

    /// Tells of each track whose section the client stopped sending in: that is how it takes a track back.
    fn end_tracks(&mut self) {
        let Some(entry) = self.room.entries.get_mut(&self.id) else { return };
        let sections = entry.peer.sections();
        let goes_on =
            |mid: Mid| sections.iter().any(|section| section.mid == mid && section.direction.receives());
        let ended: Vec<TrackId> = entry
            .tracks
            .iter()
            .filter(|(_, published)| published.mid.is_some_and(|mid| !goes_on(mid)))
            .map(|(track, _)| *track)
            .collect();
        for track in ended {
            if let Some(entry) = self.entry() {
                entry.tracks.remove(&track);
            }
            self.tell(Event::TrackEnded { track });
        }
    }

    /// Binds each track of the peer's that has none to the section that carries it: the one whose msid names it, or whose
    /// mid does where it has no msid, or else, when a single track and a single section of the kind are left over, that
    /// one (a section that was used before keeps the track id of its first use).
    fn bind_tracks(&mut self) {
        let id = self.id;
        let Some(entry) = self.room.entries.get_mut(&id) else { return };
        let mut bound = Vec::new();
        for exact in [true, false] {
            for kind in [MediaKind::Audio, MediaKind::Video] {
                let taken: Vec<Mid> = entry.tracks.values().filter_map(|track| track.mid).collect();
                let free: Vec<_> = entry
                    .peer
                    .sections()
                    .iter()
                    .filter(|section| {
                        section.kind == kind && section.direction.receives() && !taken.contains(&section.mid)
                    })
                    .collect();
                let mut waiting: Vec<_> = entry
                    .tracks
                    .iter_mut()
                    .filter(|(_, track)| track.kind == kind && track.mid.is_none())
                    .collect();
                let alone = waiting.len() == 1 && free.len() == 1;
                for (track, published) in &mut waiting {
                    let names = |section: &MediaSection| match &section.remote_msid {
                        Some(msid) => msid.track == published.cid,
                        None => section.mid.to_string() == published.cid,
                    };
                    let found = free.iter().find(|section| if exact { names(section) } else { alone });
                    if let Some(section) = found {
                        published.mid = Some(section.mid);
                        let mut codecs: Vec<CodecKind> = Vec::new();
                        for codec in &section.codecs {
                            if !codecs.contains(&codec.kind) {
                                codecs.push(codec.kind);
                            }
                        }
                        // Redundancy can be made for those who need it, whether or not it comes with it.
                        if codecs.contains(&CodecKind::Opus) && !codecs.contains(&CodecKind::Red) {
                            codecs.push(CodecKind::Red);
                        }
                        bound.push((**track, section.mid, codecs, !section.rids.is_empty()));
                    }
                }
            }
        }
        for (track, mid, codecs, simulcast) in bound {
            self.room.media.bind(self.now, track, mid);
            let first = codecs.iter().copied().find(|kind| *kind != CodecKind::Red);
            let codec = codecs.first().copied().or(first);
            self.room.media.set_codecs(track, &codecs);
            self.room.codecs.insert(track, codecs);
            if let Some(codec) = codec {
                self.tell(Event::TrackBound { track, mid, codec, simulcast });
            }
            self.add_senders_of(track);
        }
    }

    /// Gives each peer that waits for `track` its sender.
    pub(super) fn add_senders_of(&mut self, track: TrackId) {
        let mut peers: Vec<_> = self
            .room
            .entries
            .iter()
            .filter(|(_, entry)| {
                entry.subscriptions.values().any(|subscribed| subscribed.wish.track == track)
            })
            .map(|(id, _)| *id)
            .collect();
        peers.sort_unstable();
        let own = self.id;
        for peer in peers {
            self.id = peer;
            self.take_up_switches(track);
            self.add_senders();
        }
        self.id = own;
        self.room.take_up_in_outlets(self.now, track);
    }

    /// Sends a track under the subscriptions that were switched to it before it was known.
    fn take_up_switches(&mut self, track: TrackId) {
        let now = self.now;
        let Some(entry) = self.room.entries.get(&self.id) else { return };
        for (subscription, subscribed) in &entry.subscriptions {
            if subscribed.sender && subscribed.wish.track == track {
                self.room.media.switch_track(now, *subscription, track);
            }
        }
    }

    /// Gives this peer a sender for each subscription whose track is bound.
    fn add_senders(&mut self) {
        let (now, id) = (self.now, self.id);
        let Some(entry) = self.room.entries.get_mut(&id) else { return };
        let mut added = false;
        for (subscription, subscribed) in &mut entry.subscriptions {
            let Some(codecs) = self.room.codecs.get(&subscribed.wish.track).filter(|_| !subscribed.sender)
            else {
                continue;
            };
            let audio = codecs.iter().any(|codec| matches!(codec, CodecKind::Opus | CodecKind::Red));
            // Every other codec of the kind goes along behind: a backup codec is then only a switch away.
            let mut codecs = codecs.clone();
            let all = if audio { &[][..] } else { &VIDEO_CODECS[..] };
            codecs.extend(all.iter().filter(|codec| !codecs.contains(codec)).collect::<Vec<_>>());
            let [ssrc, rtx, fec] = subscribed.streams;
            let (rtx, fec) = ((!audio).then_some(rtx), (!audio).then_some(fec));
            subscribed.sender = true;
            added = true;
            entry.peer.add_sender(SenderSpec {
                id: SenderId(subscription.0),
                kind: if audio { MediaKind::Audio } else { MediaKind::Video },
                codecs,
                msid: Msid {
                    stream: subscribed.wish.stream_id.clone(),
                    track: subscribed.wish.track_label.clone(),
                },
                ssrc,
                rtx_ssrc: rtx,
                fec_ssrc: fec,
            });
            self.room.media.subscribe(now, *subscription, id, subscribed.wish.track, ssrc, rtx);
            if let Some(fec) = fec {
                self.room.media.set_repair_ssrc(*subscription, fec);
            }
            self.room.media.configure(now, *subscription, subscribed.settings);
        }
        if added {
            self.want_offer();
        }
    }

    /// Has an offer made at the next turn, so that many commands make one offer.
    fn want_offer(&mut self) {
        let (now, id) = (self.now, self.id);
        if let Some(entry) = self.entry() {
            entry.offer_wanted = true;
            self.timers.no_later_than(Owner::Peer(id), now);
        }
    }

    /// Which of our tracks is in which section.
    fn mids(&mut self) -> Vec<(Mid, SubscriptionId)> {
        let Some(entry) = self.entry() else { return Vec::new() };
        let sections = entry.peer.sections().iter();
        sections.filter_map(|section| Some((section.mid, SubscriptionId(section.sender?.0)))).collect()
    }

    fn refuse(&mut self, reason: String) {
        let peer = self.id;
        self.tell(Event::DescriptionRefused { peer, reason });
    }
}
