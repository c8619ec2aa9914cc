// SPDX-License-Identifier: EUPL-1.2
//! What clients want to receive, and how.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use livekit_protocol as proto;
use livekit_protocol::signal_response::Message as Response;
use parvis_meeting::{ParticipantId, SubscriptionRules, TrackId, TrackRule};
use parvis_sfu::{Command, Quality, SubscriptionId, SubscriptionSettings};

use super::Room;

impl Room {
    pub(super) fn update_subscription(&mut self, id: ParticipantId, update: proto::UpdateSubscription) {
        let listed = update.participant_tracks.into_iter().flat_map(|tracks| tracks.track_sids);
        let sids: BTreeSet<String> = update.track_sids.into_iter().chain(listed).collect();
        for sid in sids {
            let track = self.by_track_sid.get(&sid).copied();
            let wanted = track.is_some_and(|track| self.meeting.want(id, track, update.subscribe).is_ok());
            if !wanted && update.subscribe {
                let response = proto::SubscriptionResponse {
                    track_sid: sid,
                    err: proto::SubscriptionError::SeTrackNotfound.into(),
                };
                self.send(id, Response::SubscriptionResponse(response));
            }
        }
    }

    pub(super) fn update_settings(&mut self, id: ParticipantId, update: &proto::UpdateTrackSettings) {
        let settings = settings(update);
        for sid in &update.track_sids {
            if let Some(track) = self.by_track_sid.get(sid).copied() {
                self.configure(id, track, settings);
            }
        }
    }

    /// What a client knows of its own session when it resumes. Ours went on without it, so that only its wishes and
    /// the messages that it has count.
    pub(super) fn sync(&mut self, id: ParticipantId, state: proto::SyncState) {
        if let Some(subscription) = state.subscription {
            self.update_subscription(id, subscription);
        }
        for sid in &state.track_sids_disabled {
            if let Some(track) = self.by_track_sid.get(sid).copied() {
                let known = self.sessions.get(&id).and_then(|session| session.settings.get(&track).copied());
                let settings = SubscriptionSettings { enabled: false, ..known.unwrap_or_default() };
                self.configure(id, track, settings);
            }
        }
        if let Some(subscription) = state.data_subscription {
            self.update_data_subscription(id, subscription);
        }
        self.replay(id, &state.datachannel_receive_states);
    }

    /// Whom a publisher lets have its tracks.
    pub(super) fn subscription_permission(
        &mut self,
        id: ParticipantId,
        permission: proto::SubscriptionPermission,
    ) {
        let own: BTreeSet<TrackId> =
            self.meeting.participant(id).into_iter().flat_map(|p| p.tracks()).collect();
        let mut by_identity: BTreeMap<String, TrackRule> = BTreeMap::new();
        for rule in permission.track_permissions {
            let by_sid = self.by_sid.get(rule.participant_sid.as_str());
            let named = by_sid.and_then(|id| self.meeting.participant(*id)).map(|p| p.identity.clone());
            let identity = Some(rule.participant_identity).filter(|identity| !identity.is_empty()).or(named);
            let Some(identity) = identity else { continue };
            // A rule for an identity that is not there yet is kept; so there may be no more of them than places.
            let limits = self.meeting.limits();
            let too_many = by_identity.len() >= limits.participants && !by_identity.contains_key(&identity);
            if too_many || identity.len() > limits.identity_chars * 4 {
                continue;
            }
            let entry = by_identity.entry(identity).or_default();
            entry.all_tracks |= rule.all_tracks;
            let tracks = rule.track_sids.iter().filter_map(|sid| self.by_track_sid.get(sid));
            entry.tracks.extend(tracks.filter(|track| own.contains(track)));
        }
        let rules = SubscriptionRules { everyone: permission.all_participants, by_identity };
        if self.meeting.set_rules(id, rules).is_err() {
            self.stats.requests_refused += 1;
        }
    }

    /// The meeting says that a track is to be forwarded.
    pub(super) fn subscribed(&mut self, subscriber: ParticipantId, track: TrackId) {
        if self.sessions.get(&subscriber).is_some_and(|session| session.subscriptions.contains_key(&track)) {
            // One who watches was switched over to it already.
            return;
        }
        let subscription = SubscriptionId(self.next_id());
        self.ensure_subscriber(subscriber);
        let Some(publication) = self.publications.get(&track) else { return };
        let publisher = self.meeting.track(track).and_then(|track| self.sessions.get(&track.publisher));
        let Some(publisher_sid) = publisher.map(|publisher| publisher.sid.clone()) else { return };
        let Some(session) = self.sessions.get(&subscriber) else { return };
        let Some(peer) = session.links.receiving() else { return };
        let stream = if self.start.syncs_streams(&self.config) && session.can_sync_streams() {
            publication.info.stream.as_str()
        } else {
            publication.info.sid.as_str()
        };
        let (stream_id, track_label) = (format!("{publisher_sid}|{stream}"), publication.info.sid.clone());
        let Some(forwarded) = self.first_choice(subscription, track) else { return };
        let command = Command::Subscribe { subscription, peer, track: forwarded, stream_id, track_label };
        let Some(session) = self.sessions.get_mut(&subscriber) else { return };
        session.subscriptions.insert(track, subscription);
        let settings = session.settings.get(&track).copied();
        self.by_subscription.insert(subscription, (subscriber, track));
        self.command(command);
        if let Some(settings) = settings {
            self.command(Command::ConfigureSubscription { subscription, settings });
        }
        self.review_choice(subscription);
        self.tell_audio_codecs(track);
        self.source_began(subscriber, track, subscription);
    }

    /// The meeting says that it is no longer.
    pub(super) fn unsubscribed(&mut self, now: Instant, subscriber: ParticipantId, track: TrackId) {
        if self.watch_another(subscriber, track) {
            return;
        }
        let session = self.sessions.get_mut(&subscriber);
        if let Some(subscription) = session.and_then(|session| session.subscriptions.remove(&track)) {
            self.by_subscription.remove(&subscription);
            self.forget_choice(subscription);
            self.command(Command::Unsubscribe { subscription });
            self.tell_audio_codecs(track);
            self.source_ended(subscriber, track);
        }
        self.stop_watching_nothing(now, subscriber);
    }

    /// A publisher lets someone have a track, or keeps it from one who wants it.
    pub(super) fn subscription_allowed(&mut self, subscriber: ParticipantId, track: TrackId, allowed: bool) {
        let Some(publication) = self.publications.get(&track) else { return };
        let publisher = self.meeting.track(track).and_then(|track| self.meeting.participant(track.publisher));
        let Some(publisher) = publisher.filter(|publisher| !publisher.permissions.hidden) else { return };
        let Some(session) = self.sessions.get(&publisher.id) else { return };
        let update = proto::SubscriptionPermissionUpdate {
            participant_sid: session.sid.to_string(),
            track_sid: publication.info.sid.clone(),
            allowed,
        };
        self.news.allowed.push((subscriber, update));
    }

    /// Notes what a client shows of a track that it could receive, and tells the forwarder if it does.
    fn configure(&mut self, id: ParticipantId, track: TrackId, settings: SubscriptionSettings) {
        let announced =
            self.meeting.track(track).is_some_and(|track| track.announced && track.publisher != id);
        let Some(session) = self.sessions.get_mut(&id).filter(|_| announced) else { return };
        session.settings.insert(track, settings);
        if let Some(subscription) = session.subscriptions.get(&track).copied() {
            self.command(Command::ConfigureSubscription { subscription, settings });
            self.review_choice(subscription);
        }
    }
}

fn settings(update: &proto::UpdateTrackSettings) -> SubscriptionSettings {
    let size = (update.width > 0 && update.height > 0).then_some((update.width, update.height));
    let quality = match update.quality() {
        proto::VideoQuality::Low => Quality::Low,
        proto::VideoQuality::Medium => Quality::Medium,
        proto::VideoQuality::High | proto::VideoQuality::Off => Quality::High,
    };
    SubscriptionSettings {
        enabled: !update.disabled && update.quality() != proto::VideoQuality::Off,
        size,
        // A size says more than the quality beside it, which is then the default, low.
        quality: size.is_none().then_some(quality),
        fps: (update.fps > 0).then_some(update.fps),
        // On the wire 1 is the most important and 0 is unset; here the highest is, and 0 is unset.
        priority: if update.priority == 0 { 0 } else { u32::MAX - update.priority + 1 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_say_the_same_in_the_forwarders_words() {
        let by_size = proto::UpdateTrackSettings { width: 640, height: 360, fps: 15, ..Default::default() };
        let expected = SubscriptionSettings { size: Some((640, 360)), fps: Some(15), ..Default::default() };
        assert_eq!(settings(&by_size), expected);
        let by_quality = proto::UpdateTrackSettings { quality: 1, ..Default::default() };
        assert_eq!(settings(&by_quality).quality, Some(Quality::Medium));
        assert!(!settings(&proto::UpdateTrackSettings { disabled: true, ..Default::default() }).enabled);
        assert!(!settings(&proto::UpdateTrackSettings { quality: 3, ..Default::default() }).enabled);
        let priority =
            |priority| settings(&proto::UpdateTrackSettings { priority, ..Default::default() }).priority;
        assert!(
            priority(1) > priority(2) && priority(2) > priority(u32::MAX) && priority(u32::MAX) > priority(0)
        );
    }
}
