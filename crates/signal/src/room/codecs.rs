// SPDX-License-Identifier: EUPL-1.2
//! Which codec of a track each subscriber gets. The first one, until the forwarder says that a subscriber's connection
//! can't take it: then the publisher is asked for a backup, and who needs it is switched over when it comes. By the
//! track's policy all others follow, so that the publisher encodes once.

use livekit_protocol as proto;
use livekit_protocol::BackupCodecPolicy as Policy;
use livekit_protocol::signal_response::Message as Response;
use parvis_meeting::TrackId;
use parvis_sfu::{Command, SubscriptionId, SubscriptionSettings};

use super::Room;
use super::dynacast::{MAX_CODECS, Wishes};
use super::publish::{Encoding, Publication};
use crate::wire;

/// What one subscription gets of a track that comes in several codecs.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Choice {
    /// The place of the codec that it is sent.
    place: usize,
    /// Bit `n`: it can't take the codec at place `n`.
    refused: u8,
}

impl Publication {
    /// The codec that a subscriber should get who can't take those in `refused`.
    fn desired(&self, refused: u8) -> Option<usize> {
        let count = self.info.codecs.len().min(MAX_CODECS);
        let backups = 1..count.max(1);
        let first = match (self.regressed, self.info.backup_codec_policy()) {
            (false, _) => [Some(0), None],
            (true, Policy::Regression) => [None, None],
            (true, _) => [None, Some(0)],
        };
        let mut order = first[0].into_iter().chain(backups).chain(first[1]);
        order.find(|place| refused >> place & 1 == 0)
    }

    /// The stream of the codec at `place`, once it comes. The first codec's is there from the beginning.
    fn stream(&self, place: usize) -> Option<&Encoding> {
        self.encodings.iter().find(|encoding| encoding.codec == place && (encoding.started || place == 0))
    }
}

impl Room {
    /// Chooses the stream with which a new subscription begins.
    pub(super) fn first_choice(
        &mut self,
        subscription: SubscriptionId,
        track: TrackId,
    ) -> Option<parvis_sfu::TrackId> {
        let publication = self.publications.get(&track)?;
        let desired = publication.desired(0).and_then(|place| publication.stream(place));
        let encoding = desired.or(publication.encodings.first())?;
        self.choices.insert(subscription, Choice { place: encoding.codec, refused: 0 });
        Some(encoding.track)
    }

    /// The MIME type of the codec that a subscription gets.
    pub(super) fn chosen_mime(&self, subscription: SubscriptionId, track: TrackId) -> Option<String> {
        let place = self.choices.get(&subscription)?.place;
        let codec = self.publications.get(&track)?.info.codecs.get(place)?;
        Some(codec.mime_type.clone()).filter(|mime| !mime.is_empty())
    }

    /// A subscription is gone.
    pub(super) fn forget_choice(&mut self, subscription: SubscriptionId) {
        self.choices.remove(&subscription);
        self.dynacast.forget(subscription);
    }

    /// The forwarder says that a subscriber can't take the codec that it is sent.
    pub(super) fn codec_unsupported(&mut self, subscription: SubscriptionId) {
        let Some((_, track)) = self.by_subscription.get(&subscription).copied() else { return };
        let Some(choice) = self.choices.get_mut(&subscription) else { return };
        choice.refused |= 1 << choice.place.min(MAX_CODECS - 1);
        let first_refused = choice.refused & 1 != 0;
        let Some(publication) = self.publications.get_mut(&track) else { return };
        let has_backup = publication.info.codecs.len() > 1;
        let policy = publication.info.backup_codec_policy();
        if first_refused && has_backup && policy != Policy::Simulcast && !publication.regressed {
            publication.regressed = true;
            self.review_choices(track);
        } else {
            self.review_choice(subscription);
        }
    }

    /// Tells who publishes sound in several codecs which of them somebody takes. Everyone takes the first.
    pub(super) fn tell_audio_codecs(&mut self, track: TrackId) {
        let Some(publication) = self.publications.get(&track) else { return };
        if publication.info.r#type() != proto::TrackType::Audio || publication.info.codecs.len() < 2 {
            return;
        }
        let Some(meeting_track) = self.meeting.track(track) else { return };
        let taken = meeting_track.subscribers().len() > 0;
        let codecs = publication.info.codecs.iter().enumerate();
        let subscribed_audio_codecs = codecs.map(|(place, codec)| proto::SubscribedAudioCodec {
            codec: wire::short_name(&codec.mime_type),
            enabled: taken && place == 0,
        });
        let update = proto::SubscribedAudioCodecUpdate {
            track_sid: publication.info.sid.clone(),
            subscribed_audio_codecs: subscribed_audio_codecs.collect(),
        };
        let publisher = meeting_track.publisher;
        self.send(publisher, Response::SubscribedAudioCodecUpdate(update));
    }

    /// Looks anew at what every subscriber of a track gets.
    pub(super) fn review_choices(&mut self, track: TrackId) {
        let all = self.sessions.values().filter_map(|session| session.subscriptions.get(&track).copied());
        let all: Vec<SubscriptionId> = all.collect();
        for subscription in all {
            self.review_choice(subscription);
        }
    }

    /// Switches a subscription to the codec that it should have, once that one comes, and counts what it wants.
    pub(super) fn review_choice(&mut self, subscription: SubscriptionId) {
        let Some((subscriber, track)) = self.by_subscription.get(&subscription).copied() else { return };
        let Some(publication) = self.publications.get(&track) else { return };
        let Some(choice) = self.choices.get_mut(&subscription) else { return };
        if publication.info.r#type() != proto::TrackType::Video {
            return;
        }
        let desired = publication.desired(choice.refused);
        let there = desired.and_then(|place| publication.stream(place));
        // The stream that it got may have ended.
        let fallback =
            || publication.encodings.first().filter(|_| publication.stream(choice.place).is_none());
        let mut switch = None;
        if let Some(encoding) = there.or_else(fallback).filter(|encoding| encoding.codec != choice.place) {
            choice.place = encoding.codec;
            switch = Some(encoding.track);
        }
        let settings = self.sessions.get(&subscriber).and_then(|session| session.settings.get(&track));
        let settings = settings.copied().unwrap_or_default();
        let mut wishes = Wishes::default();
        let current = Some(choice.place).filter(|place| choice.refused >> place & 1 == 0);
        for place in [current, desired].into_iter().flatten().filter(|place| *place < MAX_CODECS) {
            wishes[place] = publication.info.codecs.get(place).and_then(|codec| wanted(codec, &settings));
        }
        if let Some(forwarded) = switch {
            if self.recorders.contains(&subscriber) {
                self.recoded.push((subscriber, track));
            }
            self.command(Command::SwitchTrack { subscription, track: forwarded });
        }
        self.dynacast.want(subscription, track, wishes);
    }

    /// A track was announced: tells its publisher from now on what is wanted of it, if it has a choice.
    pub(super) fn watch_wishes(&mut self, track: TrackId) {
        let Some(publication) = self.publications.get(&track) else { return };
        let info = &publication.info;
        let choice = info.codecs.len() > 1 || info.codecs.iter().any(|codec| codec.layers.len() > 1);
        if choice && info.r#type() == proto::TrackType::Video {
            let codecs = info.codecs.len();
            self.dynacast.open(track, codecs);
            self.review_choices(track);
        }
    }
}

/// The highest layer of a codec that these settings have use for.
fn wanted(codec: &proto::SimulcastCodecInfo, settings: &SubscriptionSettings) -> Option<parvis_sfu::Quality> {
    let layers = wire::layer_specs(&codec.layers);
    settings.highest_layer(&layers).map(|place| layers[place].quality)
}
