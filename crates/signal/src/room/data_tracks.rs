// SPDX-License-Identifier: EUPL-1.2
//! Data tracks: streams of an application's own frames on the channel `_data_track`. A publisher numbers its tracks, and
//! each packet bears that handle; each subscriber is given handles of its own, which are written over it. Frames may
//! be lost, as pictures may. They pass through the room's task like other messages, so that they need no second way
//! between the forwarders of a large room.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use livekit_protocol as proto;
use livekit_protocol::data_track_subscriber_handles::PublishedDataTrack;
use livekit_protocol::request_response::{Reason, Request as Echo};
use livekit_protocol::signal_response::Message as Response;
use parvis_meeting::{ParticipantId, State};
use parvis_sfu::{Command, DataChannel, PeerId};

use super::Room;
use crate::wire::{self, TrackPacketHead};

/// Longest name of a track or of a schema, in characters; the protocol's.
const NAME_CHARS: usize = 256;
/// Longest name of an encoding that is not one of the well-known ones, in characters; the protocol's.
const ENCODING_CHARS: usize = 32;

/// Subscriptions of one participant, whatever the configuration says: its handles have 16 bits.
const MAX_SUBSCRIPTIONS: usize = 60_000;

/// Every data track of a room.
#[derive(Debug, Default)]
pub(super) struct DataTracks {
    tracks: BTreeMap<Arc<str>, DataTrack>,
    by_handle: BTreeMap<(ParticipantId, u16), Arc<str>>,
    /// What each subscriber receives, by its own handles.
    received: BTreeMap<ParticipantId, BTreeMap<u16, Arc<str>>>,
    /// The last handle that each subscriber was given.
    last_handle: BTreeMap<ParticipantId, u16>,
    /// Subscribers who have to be told of their handles.
    untold: BTreeSet<ParticipantId>,
}

#[derive(Debug)]
struct DataTrack {
    info: proto::DataTrackInfo,
    publisher: ParticipantId,
    subscribers: BTreeMap<ParticipantId, Subscription>,
}

#[derive(Debug)]
struct Subscription {
    handle: u16,
    /// Frames that it wants are at least so far apart.
    interval: Option<Duration>,
    /// When the next frame may begin.
    next_at: Option<Instant>,
    /// The frame that is being passed on.
    frame: Option<u16>,
}

impl Subscription {
    /// Whether a packet is of a frame that is wanted: whole frames are left out, never parts of one.
    fn takes(&mut self, now: Instant, head: TrackPacketHead) -> bool {
        let Some(interval) = self.interval else { return true };
        if head.begins && self.next_at.is_none_or(|at| at <= now) {
            // By the clock of wishes and not of frames, or a rate just below the publisher's would halve it.
            let kept = self.next_at.filter(|at| now.saturating_duration_since(*at) < interval);
            self.next_at = Some(kept.unwrap_or(now) + interval);
            self.frame = Some(head.frame);
        }
        self.frame == Some(head.frame)
    }
}

impl DataTracks {
    /// Whether someone publishes any.
    pub(super) fn publishes(&self, id: ParticipantId) -> bool {
        self.by_handle.range((id, 0)..=(id, u16::MAX)).next().is_some()
    }

    /// What others are told of someone's.
    pub(super) fn infos(&self, id: ParticipantId) -> Vec<proto::DataTrackInfo> {
        self.of(id).filter_map(|sid| self.tracks.get(sid)).map(|track| track.info.clone()).collect()
    }

    fn of(&self, id: ParticipantId) -> impl Iterator<Item = &Arc<str>> + '_ {
        self.by_handle.range((id, 0)..=(id, u16::MAX)).map(|(_, sid)| sid)
    }

    /// Gives a subscriber a handle for a track: the next free one, so that a late packet is not taken for another track's.
    fn hand_out(&mut self, subscriber: ParticipantId, sid: &Arc<str>) -> u16 {
        let handles = self.received.entry(subscriber).or_default();
        let last = self.last_handle.entry(subscriber).or_default();
        loop {
            *last = last.checked_add(1).unwrap_or(1);
            // There are fewer subscriptions than handles.
            if let Entry::Vacant(free) = handles.entry(*last) {
                free.insert(Arc::clone(sid));
                return *last;
            }
        }
    }

    fn unsubscribe(&mut self, subscriber: ParticipantId, sid: &str) {
        let subscription = self.tracks.get_mut(sid).and_then(|track| track.subscribers.remove(&subscriber));
        if let (Some(subscription), Some(handles)) = (subscription, self.received.get_mut(&subscriber)) {
            handles.remove(&subscription.handle);
        }
    }

    fn remove(&mut self, sid: &str) -> Option<DataTrack> {
        let track = self.tracks.remove(sid)?;
        self.by_handle.retain(|_, other| **other != *sid);
        for (subscriber, subscription) in &track.subscribers {
            if let Some(handles) = self.received.get_mut(subscriber) {
                handles.remove(&subscription.handle);
            }
        }
        Some(track)
    }
}

impl Room {
    pub(super) fn publish_data_track(&mut self, id: ParticipantId, request: proto::PublishDataTrackRequest) {
        match self.take_data_track(id, &request) {
            Ok(info) => {
                let response = proto::PublishDataTrackResponse { info: Some(info) };
                self.send(id, Response::PublishDataTrackResponse(response));
            }
            Err((reason, message)) => {
                self.refuse(id, 0, reason, &message, Some(Echo::PublishDataTrack(request)));
            }
        }
    }

    fn take_data_track(
        &mut self,
        id: ParticipantId,
        request: &proto::PublishDataTrackRequest,
    ) -> Result<proto::DataTrackInfo, (Reason, String)> {
        let refused = |reason, message: &str| Err((reason, message.to_owned()));
        if !self.meeting.participant(id).is_some_and(|p| p.permissions.can_publish_data) {
            return refused(Reason::NotAllowed, "not allowed to publish data");
        }
        let handle = u16::try_from(request.pub_handle).ok().filter(|handle| *handle > 0);
        let Some(handle) = handle else {
            return refused(Reason::InvalidHandle, "a handle is a number from 1 to 65535");
        };
        if let Err(error) =
            parvis_meeting::text::check_name("the data track's name", &request.name, NAME_CHARS)
        {
            return Err((Reason::InvalidName, error.to_string()));
        }
        check_types(request)?;
        if let Some(track) =
            self.data_tracks.by_handle.get(&(id, handle)).and_then(|sid| self.data_tracks.tracks.get(sid))
        {
            // The client asks again because it did not hear our answer.
            return if track.info.name == request.name {
                Ok(track.info.clone())
            } else {
                refused(Reason::DuplicateHandle, "another data track has this handle")
            };
        }
        let own = self.data_tracks.infos(id);
        if own.iter().any(|info| info.name == request.name) {
            return refused(Reason::DuplicateName, "another data track has this name");
        }
        let limit = self.config.data_tracks_per_participant;
        if own.len() >= limit {
            let message = format!("{limit} data tracks are published already, unpublish one first");
            return Err((Reason::LimitExceeded, message));
        }
        let sid: Arc<str> = self.make_sid("DTR_").into();
        let info = proto::DataTrackInfo {
            pub_handle: request.pub_handle,
            sid: sid.to_string(),
            name: request.name.clone(),
            encryption: request.encryption,
            frame_encoding: request.frame_encoding.clone(),
            schema: request.schema.clone(),
        };
        self.data_tracks.by_handle.insert((id, handle), Arc::clone(&sid));
        let track = DataTrack { info: info.clone(), publisher: id, subscribers: BTreeMap::new() };
        self.data_tracks.tracks.insert(Arc::clone(&sid), track);
        self.meeting.touch(id);
        let automatic: Vec<ParticipantId> = self
            .sessions
            .values()
            .filter(|session| session.auto_data_tracks)
            .map(|session| session.id)
            .collect();
        for subscriber in automatic {
            if self.subscribe_data_track(subscriber, &sid, None) {
                self.data_tracks.untold.insert(subscriber);
            }
        }
        Ok(info)
    }

    pub(super) fn unpublish_data_track(
        &mut self,
        id: ParticipantId,
        request: proto::UnpublishDataTrackRequest,
    ) {
        let handle = u16::try_from(request.pub_handle).unwrap_or_default();
        let Some(sid) = self.data_tracks.by_handle.get(&(id, handle)).cloned() else {
            let message = "no data track has this handle";
            return self.refuse(
                id,
                0,
                Reason::InvalidHandle,
                message,
                Some(Echo::UnpublishDataTrack(request)),
            );
        };
        self.end_data_track(&sid);
    }

    /// Ends a track, whoever decided so.
    fn end_data_track(&mut self, sid: &str) {
        let Some(track) = self.data_tracks.remove(sid) else { return };
        let response = proto::UnpublishDataTrackResponse { info: Some(track.info) };
        self.send(track.publisher, Response::UnpublishDataTrackResponse(response));
        self.meeting.touch(track.publisher);
    }

    pub(super) fn update_data_subscription(
        &mut self,
        id: ParticipantId,
        update: proto::UpdateDataSubscription,
    ) {
        for update in update.updates {
            if !update.subscribe {
                self.data_tracks.unsubscribe(id, &update.track_sid);
            } else if self.subscribe_data_track(id, &update.track_sid, update.options) {
                self.data_tracks.untold.insert(id);
            } else {
                let err = proto::SubscriptionError::SeTrackNotfound.into();
                let response = proto::SubscriptionResponse { track_sid: update.track_sid, err };
                self.send(id, Response::SubscriptionResponse(response));
            }
        }
    }

    /// Subscribes someone who may, or changes how. A hidden publisher's tracks are not for others to know.
    fn subscribe_data_track(
        &mut self,
        id: ParticipantId,
        sid: &str,
        options: Option<proto::DataTrackSubscriptionOptions>,
    ) -> bool {
        let participant = self.meeting.participant(id);
        let may = participant.is_some_and(|p| p.permissions.can_subscribe && p.state != State::Joining);
        let Some((sid, track)) = self.data_tracks.tracks.get_key_value(sid).filter(|_| may) else {
            return false;
        };
        let publisher = self.meeting.participant(track.publisher);
        if track.publisher == id || publisher.is_none_or(|publisher| publisher.permissions.hidden) {
            return false;
        }
        let sid = Arc::clone(sid);
        let known = track.subscribers.get(&id).map(|subscription| subscription.handle);
        let count = self.data_tracks.received.get(&id).map_or(0, BTreeMap::len);
        let limit = self.config.data_subscriptions_per_participant.min(MAX_SUBSCRIPTIONS);
        if known.is_none() && count >= limit {
            self.stats.requests_refused += 1;
            return false;
        }
        let handle = known.unwrap_or_else(|| self.data_tracks.hand_out(id, &sid));
        let fps = options.and_then(|options| options.target_fps).filter(|fps| *fps > 0);
        let interval = fps.map(|fps| Duration::from_secs(1) / fps);
        if let Some(track) = self.data_tracks.tracks.get_mut(&sid) {
            track.subscribers.insert(id, Subscription { handle, interval, next_at: None, frame: None });
        }
        true
    }

    /// One who comes back is told of its handles again.
    pub(super) fn repeat_handles(&mut self, id: ParticipantId) {
        self.data_tracks.untold.insert(id);
    }

    /// Tells subscribers of their new handles, after they were told of the tracks.
    pub(super) fn tell_handles(&mut self) {
        for id in std::mem::take(&mut self.data_tracks.untold) {
            self.send_handles(id);
        }
    }

    /// Tells a subscriber which of its handles stands for what.
    fn send_handles(&mut self, id: ParticipantId) {
        let handles = self.data_tracks.received.get(&id).into_iter().flatten();
        let published = |sid: &Arc<str>| {
            let publisher = self.data_tracks.tracks.get(sid)?.publisher;
            Some(PublishedDataTrack {
                publisher_identity: self.meeting.participant(publisher)?.identity.clone(),
                publisher_sid: self.sessions.get(&publisher)?.sid.to_string(),
                track_sid: sid.to_string(),
            })
        };
        let sub_handles: HashMap<u32, PublishedDataTrack> =
            handles.filter_map(|(handle, sid)| Some((u32::from(*handle), published(sid)?))).collect();
        if !sub_handles.is_empty() {
            let message = proto::DataTrackSubscriberHandles { sub_handles };
            self.send(id, Response::DataTrackSubscriberHandles(message));
        }
    }

    /// Those who take every data track get those that were there before them.
    pub(super) fn take_all_data_tracks(&mut self, id: ParticipantId) {
        let sids: Vec<Arc<str>> = self.data_tracks.tracks.keys().cloned().collect();
        for sid in sids {
            if self.subscribe_data_track(id, &sid, None) {
                self.data_tracks.untold.insert(id);
            }
        }
    }

    /// What someone may do has changed: what it may no longer publish or receive ends at once (row 45).
    pub(super) fn review_data_tracks(&mut self, id: ParticipantId) {
        let Some(participant) = self.meeting.participant(id) else { return };
        let (publish, subscribe) =
            (participant.permissions.can_publish_data, participant.permissions.can_subscribe);
        if !publish && self.data_tracks.publishes(id) {
            let own: Vec<Arc<str>> = self.data_tracks.of(id).cloned().collect();
            for sid in own {
                self.end_data_track(&sid);
            }
        }
        if !subscribe && let Some(handles) = self.data_tracks.received.remove(&id) {
            for sid in handles.values() {
                self.data_tracks.unsubscribe(id, sid);
            }
        }
    }

    /// Someone left: its tracks and what it received are gone. Others hear of it with its leaving.
    pub(super) fn forget_data_tracks(&mut self, id: ParticipantId) {
        let own: Vec<Arc<str>> = self.data_tracks.of(id).cloned().collect();
        for sid in own {
            self.data_tracks.remove(&sid);
        }
        for sid in self.data_tracks.received.remove(&id).into_iter().flat_map(BTreeMap::into_values) {
            self.data_tracks.unsubscribe(id, &sid);
        }
        self.data_tracks.last_handle.remove(&id);
        self.data_tracks.untold.remove(&id);
    }

    /// A packet came on the channel for data tracks.
    pub(super) fn track_packet(&mut self, now: Instant, peer: PeerId, packet: &Bytes) {
        if self.pass_on_track_packet(now, peer, packet).is_none() {
            self.stats.data_dropped += 1;
        }
    }

    fn pass_on_track_packet(&mut self, now: Instant, peer: PeerId, packet: &Bytes) -> Option<()> {
        let publisher = self.by_peer.get(&peer).copied()?;
        let session = self.sessions.get_mut(&publisher)?;
        if !session.track_packets.take(now, 1) || packet.len() > self.config.data_bytes {
            return None;
        }
        let head = TrackPacketHead::read(packet)?;
        let sid = self.data_tracks.by_handle.get(&(publisher, head.handle))?;
        let track = self.data_tracks.tracks.get_mut(sid)?;
        let mut commands = Vec::new();
        for (subscriber, subscription) in &mut track.subscribers {
            let Some(session) = self.sessions.get(subscriber).filter(|session| session.can_take_data())
            else {
                continue;
            };
            if subscription.takes(now, head) {
                let peer = session.links.primary().peer;
                let payload = wire::with_handle(packet, subscription.handle);
                commands.push(Command::SendData { peer, channel: DataChannel::DataTrack, payload });
            }
        }
        self.stats.track_packets += 1;
        for command in commands {
            self.command(command);
        }
        Some(())
    }
}

fn check_types(request: &proto::PublishDataTrackRequest) -> Result<(), (Reason, String)> {
    use proto::data_track_frame_encoding::Value as Frames;
    use proto::data_track_schema_encoding::Value as Schemas;
    let invalid = |message: &str| Err((Reason::InvalidRequest, message.to_owned()));
    let fits = |text: &str, limit: usize| !text.is_empty() && text.chars().take(limit + 1).count() <= limit;
    if let Some(Frames::Custom(name)) =
        request.frame_encoding.as_ref().and_then(|encoding| encoding.value.as_ref())
        && !fits(name, ENCODING_CHARS)
    {
        return invalid("the frame encoding's name is empty or longer than 32 characters");
    }
    let Some(schema) = &request.schema else { return Ok(()) };
    if !fits(&schema.name, NAME_CHARS) {
        return invalid("the schema's name is empty or longer than 256 characters");
    }
    match schema.encoding.as_ref().and_then(|encoding| encoding.value.as_ref()) {
        Some(Schemas::Custom(name)) if !fits(name, ENCODING_CHARS) => {
            invalid("the schema encoding's name is empty or longer than 32 characters")
        }
        _ => Ok(()),
    }
}
