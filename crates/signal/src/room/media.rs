// SPDX-License-Identifier: EUPL-1.2
//! What the forwarder tells.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use livekit_protocol as proto;
use livekit_protocol::request_response::Reason;
use livekit_protocol::signal_response::Message as Response;
use parvis_meeting::{LeaveReason, ParticipantId, State};
use parvis_peer::FailReason;
use parvis_rtp::Mid;
use parvis_sfu::{
    DataChannel, Description, DescriptionKind, Event, PeerId, PeerRole, QualityReport, SubscriptionId,
};

use super::Room;
use crate::Form;
use crate::session::{Link, Session};

/// Who closes its media connection has said by then that it leaves, or never does.
const CLOSED_PATIENCE: Duration = Duration::from_secs(1);

impl Room {
    pub(super) fn media_event(&mut self, now: Instant, event: Event) {
        match event {
            Event::LocalDescription { peer, description, mids } => {
                self.local_description(now, peer, description, &mids)
            }
            Event::MediaSectionsRequired { peer, audios, videos } => {
                self.sections_required(peer, audios, videos)
            }
            Event::DescriptionRefused { peer, reason } => self.description_refused(now, peer, &reason),
            Event::PeerConnected { peer, report } => {
                tracing::info!(
                    room = %self.sid, ?peer, path = ?report.path.protocol, dtls = %report.dtls_version,
                    cipher = %report.cipher, group = %format_args!("{:#06x}", report.group),
                    srtp = %report.srtp_profile, "a peer connection is up"
                );
                self.peer_up(now, peer);
            }
            Event::PeerResumed { peer } => self.peer_up(now, peer),
            Event::PeerDisconnected { peer } => self.peer_down(now, peer),
            Event::PeerFailed { peer, reason } => {
                tracing::debug!(room = %self.sid, ?peer, ?reason, "a peer connection failed");
                self.peer_failed(now, peer, reason);
            }
            Event::ChannelsOpen { peer } => {
                if let Some((id, link)) = self.link(peer) {
                    link.channels_open = true;
                    self.deliver(id);
                }
            }
            Event::TrackBound { track, mid, codec, simulcast } => self.bound(track, mid, codec, simulcast),
            Event::TrackStarted { track, codec } => self.started(track, codec),
            Event::TrackEnded { track } => self.stream_ended(track),
            Event::CodecUnsupported { subscription, codec } => {
                tracing::debug!(room = %self.sid, ?subscription, ?codec, "a subscriber can't take this codec");
                self.codec_unsupported(subscription);
            }
            Event::SubscriptionStarted { subscription } => self.subscription_started(subscription),
            Event::OutletClock { subscription, rtp_timestamp, at } => {
                self.outlet_clock(subscription, rtp_timestamp, at);
            }
            Event::StreamState { subscription, paused } => self.stream_state(subscription, paused),
            Event::Speakers { room, speakers } if room == self.id => self.speakers(now, &speakers),
            Event::Speakers { .. } => {}
            Event::Quality { peer, report } => self.quality(now, peer, &report),
            Event::Data { peer, channel: DataChannel::DataTrack, payload } => {
                self.track_packet(now, peer, &payload);
            }
            Event::Data { peer, channel, payload } => self.data(now, peer, channel, &payload),
            Event::DataTaken { peer, bytes } => self.data_taken(peer, bytes),
            Event::DataOverflow { peer, channel } => {
                if let Some(id) =
                    self.by_peer.get(&peer).copied().filter(|_| channel == DataChannel::Reliable)
                {
                    self.stats.slow_readers += 1;
                    self.meeting.leave(now, id, LeaveReason::MediaFailed);
                }
            }
            Event::LimitHit { peer, reason } => {
                tracing::info!(room = %self.sid, ?peer, ?reason, "a peer hit a limit");
            }
        }
    }

    /// Gives someone who may receive only now the connection to receive on.
    pub(super) fn ensure_subscriber(&mut self, id: ParticipantId) {
        let Some(links) = self.sessions.get(&id).map(|session| &session.links) else { return };
        if links.form == Form::Single || links.subscriber.is_some() {
            return;
        }
        let peer = PeerId(self.next_id());
        if let Some(session) = self.sessions.get_mut(&id) {
            session.links.subscriber = Some(Link::new(peer));
        }
        self.by_peer.insert(peer, id);
        self.create_peer(peer, PeerRole::Subscriber);
    }

    fn link(&mut self, peer: PeerId) -> Option<(ParticipantId, &mut Link)> {
        let id = self.by_peer.get(&peer).copied()?;
        let link = self.sessions.get_mut(&id)?.links.get_mut(peer)?;
        Some((id, link))
    }

    fn local_description(
        &mut self,
        now: Instant,
        peer: PeerId,
        description: Description,
        mids: &[(Mid, SubscriptionId)],
    ) {
        let mid_to_track_id = mids
            .iter()
            .filter_map(|(mid, subscription)| {
                let (_, track) = self.by_subscription.get(subscription)?;
                Some((mid.to_string(), self.publications.get(track)?.info.sid.clone()))
            })
            .collect();
        let Some((id, link)) = self.link(peer) else { return };
        let answer = description.kind == DescriptionKind::Answer;
        if answer {
            link.offer_pending = false;
        }
        if self.sessions.get(&id).is_some_and(|session| session.resource.is_some()) {
            return self.answered(now, id, Ok(description.sdp));
        }
        let message = proto::SessionDescription {
            r#type: if answer { "answer" } else { "offer" }.to_owned(),
            sdp: description.sdp,
            id: description.id,
            mid_to_track_id,
        };
        match description.kind {
            DescriptionKind::Offer => self.send(id, Response::Offer(message)),
            DescriptionKind::Answer => {
                self.send(id, Response::Answer(message));
                self.await_missing(now, id);
            }
            DescriptionKind::Rollback => {}
        }
    }

    fn sections_required(&mut self, peer: PeerId, num_audios: u32, num_videos: u32) {
        let Some(id) = self.by_peer.get(&peer).copied() else { return };
        let requirement = proto::MediaSectionsRequirement { num_audios, num_videos };
        if let Some(session) = self.sessions.get_mut(&id) {
            // One who waits is asked when it is back. What reached it is not asked for twice.
            session.sections = session.socket.is_none().then_some(requirement);
        }
        self.send(id, Response::MediaSectionsRequirement(requirement));
    }

    /// A refused offer leaves a client waiting for an answer that never comes: it starts over, or, when it never was
    /// connected, would only fail again.
    fn description_refused(&mut self, now: Instant, peer: PeerId, reason: &str) {
        tracing::debug!(room = %self.sid, ?peer, reason, "the forwarder refused a description");
        let Some((id, link)) = self.link(peer) else { return };
        let (pending, connected) = (std::mem::take(&mut link.offer_pending), link.connected);
        if self.sessions.get(&id).is_some_and(|session| session.resource.is_some()) {
            self.answered(now, id, Err(reason.to_owned()));
            if connected {
                // It asked for a restart; what it has goes on.
                return;
            }
        }
        self.refuse(id, 0, Reason::InvalidRequest, reason, None);
        if pending {
            let reason = if connected { LeaveReason::Reconnect } else { LeaveReason::JoinFailed };
            self.meeting.leave(now, id, reason);
        }
    }

    fn peer_up(&mut self, now: Instant, peer: PeerId) {
        let Some((id, link)) = self.link(peer) else { return };
        link.connected = true;
        link.up = true;
        if link.quality == Some(proto::ConnectionQuality::Lost) {
            link.quality = None;
            self.quality_changed(now, id);
        }
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if session.links.primary().peer == peer {
            session.join_deadline = None;
            let first = self.meeting.participant(id).is_some_and(|p| p.state != State::Active);
            self.meeting.set_state(id, State::Active);
            if first {
                self.arrived(id);
            }
            self.deliver(id);
        }
    }

    fn peer_down(&mut self, now: Instant, peer: PeerId) {
        let Some((id, link)) = self.link(peer) else { return };
        link.up = false;
        link.quality = Some(proto::ConnectionQuality::Lost);
        self.quality_changed(now, id);
        // Who can't be reached holds nobody.
        if !self.sessions.get(&id).is_some_and(Session::can_take_data) {
            self.let_go(id);
        }
    }

    /// The connection is gone for good. A client that never used it gets a new one; others start over. One that closed it
    /// leaves as a rule, and says so on its socket, which may be read later.
    fn peer_failed(&mut self, now: Instant, peer: PeerId, reason: FailReason) {
        let Some(id) = self.by_peer.remove(&peer) else { return };
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let idle = session.links.form == Form::Dual
            && session.links.publisher.peer == peer
            && !session.links.publisher.offered;
        if !idle {
            let connected = session.links.primary().connected;
            if connected && reason == FailReason::Closed && session.socket.is_some() {
                session.closed_due = Some(now + CLOSED_PATIENCE);
                return self.renew_deadline(id);
            }
            self.stats.media_failures += 1;
            let reason = if connected { LeaveReason::MediaFailed } else { LeaveReason::JoinFailed };
            return self.meeting.leave(now, id, reason);
        }
        self.stats.media_failures += 1;
        let peer = PeerId(self.next_id());
        if let Some(session) = self.sessions.get_mut(&id) {
            session.links.publisher = Link::new(peer);
        }
        self.by_peer.insert(peer, id);
        self.create_peer(peer, PeerRole::Publisher);
    }

    fn subscription_started(&mut self, subscription: SubscriptionId) {
        let Some((_, track)) = self.by_subscription.get(&subscription).copied() else { return };
        let Some(publisher) = self.meeting.track(track).map(|track| track.publisher) else { return };
        let Some(publication) = self.publications.get_mut(&track) else { return };
        if std::mem::replace(&mut publication.subscribed_told, true) {
            return;
        }
        let track_sid = publication.info.sid.clone();
        self.send(publisher, Response::TrackSubscribed(proto::TrackSubscribed { track_sid }));
    }

    fn stream_state(&mut self, subscription: SubscriptionId, paused: bool) {
        let Some((subscriber, track)) = self.by_subscription.get(&subscription).copied() else { return };
        let publisher = self.meeting.track(track).and_then(|track| self.sessions.get(&track.publisher));
        let (Some(publisher), Some(publication)) = (publisher, self.publications.get(&track)) else { return };
        let state = if paused { proto::StreamState::Paused } else { proto::StreamState::Active };
        let info = proto::StreamStateInfo {
            participant_sid: publisher.sid.to_string(),
            track_sid: publication.info.sid.clone(),
            state: state.into(),
        };
        self.send(
            subscriber,
            Response::StreamStateUpdate(proto::StreamStateUpdate { stream_states: vec![info] }),
        );
    }

    /// Tells everyone who began to speak, speaks louder or softer, or stopped.
    fn speakers(&mut self, now: Instant, speakers: &[(parvis_sfu::TrackId, f32)]) {
        self.note_speech(now);
        let mut speaking: BTreeMap<ParticipantId, f32> = BTreeMap::new();
        for (track, level) in speakers {
            let track = self.by_forwarded.get(track).and_then(|track| self.meeting.track(*track));
            let publisher = track.and_then(|track| self.meeting.participant(track.publisher));
            if let Some(publisher) = publisher.filter(|publisher| !publisher.permissions.hidden) {
                let loudest = speaking.entry(publisher.id).or_default();
                *loudest = loudest.max(level.clamp(0.0, 1.0));
            }
        }
        let stopped =
            self.speaking.keys().filter(|id| !speaking.contains_key(id)).map(|id| (*id, 0.0, false));
        let others = speaking.iter().filter(|(id, level)| self.speaking.get(id) != Some(level));
        let changed: Vec<proto::SpeakerInfo> = stopped
            .chain(others.map(|(id, level)| (*id, *level, true)))
            .filter_map(|(id, level, active)| {
                Some(proto::SpeakerInfo { sid: self.sessions.get(&id)?.sid.to_string(), level, active })
            })
            .collect();
        self.speaking = speaking;
        if !changed.is_empty() {
            self.broadcast(Response::SpeakersChanged(proto::SpeakersChanged { speakers: changed }));
            self.tell_recorders_of_speakers();
        }
        self.follow_speakers();
    }

    /// Tells one who comes back who speaks now.
    pub(super) fn send_speakers(&mut self, id: ParticipantId) {
        let speakers: Vec<proto::SpeakerInfo> = self
            .speaking
            .iter()
            .filter_map(|(id, level)| {
                let sid = self.sessions.get(id)?.sid.to_string();
                Some(proto::SpeakerInfo { sid, level: *level, active: true })
            })
            .collect();
        if !speakers.is_empty() {
            self.send(id, Response::SpeakersChanged(proto::SpeakersChanged { speakers }));
        }
    }

    fn quality(&mut self, now: Instant, peer: PeerId, report: &QualityReport) {
        let Some((id, link)) = self.link(peer) else { return };
        let quality = Some(grade(report));
        if link.up && link.quality != quality {
            link.quality = quality;
            self.quality_changed(now, id);
        }
    }
}

/// What a person would say of such a network. Concealment hides 2 % of loss; beyond 8 % speech suffers.
fn grade(report: &QualityReport) -> proto::ConnectionQuality {
    let loss = report.uplink_loss.max(report.downlink_loss);
    if loss > 0.08 || report.round_trip_ms > 800 {
        proto::ConnectionQuality::Poor
    } else if loss > 0.02 || report.round_trip_ms > 300 || report.limited {
        proto::ConnectionQuality::Good
    } else {
        proto::ConnectionQuality::Excellent
    }
}
