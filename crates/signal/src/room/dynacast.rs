// SPDX-License-Identifier: EUPL-1.2
//! What publishers are told of what is wanted: for each codec of a track the highest layer that anyone shows. More is
//! told at once; less when it has lasted, for people look here and there. Only tracks that have a choice are told of:
//! those with several layers or codecs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use livekit_protocol as proto;
use livekit_protocol::signal_response::Message as Response;
use parvis_meeting::{ParticipantId, TrackId};
use parvis_sfu::{Quality, SubscriptionId};

use super::Room;
use crate::wire;

/// Codecs of one track that are counted: there are no more video codecs.
pub(super) const MAX_CODECS: usize = 4;

/// What one subscription wants of each codec of its track, by place.
pub(super) type Wishes = [Option<Quality>; MAX_CODECS];

/// What is wanted of every track in a room.
#[derive(Debug, Default)]
pub(super) struct Dynacast {
    tracks: BTreeMap<TrackId, Vec<Stream>>,
    wishes: BTreeMap<SubscriptionId, (TrackId, Wishes)>,
    /// Tracks whose counts changed.
    changed: BTreeSet<TrackId>,
    /// Tracks whose publisher has to be told.
    untold: BTreeSet<TrackId>,
    /// Tracks whose publisher is to be told of less if it lasts.
    lowering: BTreeSet<TrackId>,
}

/// One codec of a track.
#[derive(Debug, Clone, Copy, Default)]
struct Stream {
    /// How many subscriptions want each layer at most.
    wanted: [u32; 3],
    /// The highest layer that the publisher was told to send.
    sent: Option<Quality>,
    /// When it is to be told of less.
    lower_at: Option<Instant>,
}

impl Stream {
    fn highest(&self) -> Option<Quality> {
        let by_quality = [Quality::High, Quality::Medium, Quality::Low];
        by_quality.into_iter().find(|quality| self.wanted[*quality as usize] > 0)
    }
}

impl Dynacast {
    /// A track with so many codecs is there. Its publisher sends all layers of the first one.
    pub(super) fn open(&mut self, track: TrackId, codecs: usize) {
        let mut streams = vec![Stream::default(); codecs.clamp(1, MAX_CODECS)];
        streams[0].sent = Some(Quality::High);
        self.tracks.insert(track, streams);
        self.changed.insert(track);
        self.untold.insert(track);
    }

    /// A codec was added to a track.
    pub(super) fn grow(&mut self, track: TrackId, codecs: usize) {
        if let Some(streams) = self.tracks.get_mut(&track) {
            streams.resize(codecs.clamp(streams.len(), MAX_CODECS), Stream::default());
        }
    }

    /// The track is gone.
    pub(super) fn close(&mut self, track: TrackId) {
        self.tracks.remove(&track);
        self.changed.remove(&track);
        self.untold.remove(&track);
        self.lowering.remove(&track);
    }

    /// Says what a subscription wants.
    pub(super) fn want(&mut self, subscription: SubscriptionId, track: TrackId, wishes: Wishes) {
        self.forget(subscription);
        if self.tracks.contains_key(&track) {
            self.count(track, &wishes, 1);
            self.wishes.insert(subscription, (track, wishes));
        }
    }

    /// The subscription is gone.
    pub(super) fn forget(&mut self, subscription: SubscriptionId) {
        if let Some((track, wishes)) = self.wishes.remove(&subscription) {
            self.count(track, &wishes, -1);
        }
    }

    fn count(&mut self, track: TrackId, wishes: &Wishes, by: i32) {
        let Some(streams) = self.tracks.get_mut(&track) else { return };
        for (stream, quality) in streams.iter_mut().zip(wishes) {
            if let Some(quality) = quality {
                let count = &mut stream.wanted[*quality as usize];
                *count = count.saturating_add_signed(by);
            }
        }
        self.changed.insert(track);
    }

    /// The publisher missed what it was told.
    fn repeat(&mut self, track: TrackId) {
        if self.tracks.contains_key(&track) {
            self.untold.insert(track);
        }
    }

    /// Takes up what changed and what is due. The tracks whose publisher has to be told.
    fn settle(&mut self, now: Instant, delay: Duration) -> BTreeSet<TrackId> {
        let mut due = std::mem::take(&mut self.changed);
        let lowering =
            self.lowering.iter().filter(|track| self.lower_at(**track).is_some_and(|at| at <= now));
        due.extend(lowering);
        for track in due {
            for stream in self.tracks.get_mut(&track).into_iter().flatten() {
                let highest = stream.highest();
                if highest < stream.sent {
                    let at = *stream.lower_at.get_or_insert(now + delay);
                    if at > now {
                        continue;
                    }
                }
                stream.lower_at = None;
                if stream.sent != highest {
                    stream.sent = highest;
                    self.untold.insert(track);
                }
            }
            if self.lower_at(track).is_some() {
                self.lowering.insert(track);
            } else {
                self.lowering.remove(&track);
            }
        }
        std::mem::take(&mut self.untold)
    }

    /// When the publisher of a track is to be told of less.
    fn lower_at(&self, track: TrackId) -> Option<Instant> {
        self.tracks.get(&track).into_iter().flatten().filter_map(|stream| stream.lower_at).min()
    }

    fn next_due(&self) -> Option<Instant> {
        self.lowering.iter().filter_map(|track| self.lower_at(*track)).min()
    }
}

impl Room {
    /// When a publisher is to be told of less.
    pub(super) fn dynacast_due(&self) -> Option<Instant> {
        self.dynacast.next_due()
    }

    /// Tells publishers what changed in what is wanted of them.
    pub(super) fn settle_dynacast(&mut self, now: Instant) {
        for track in self.dynacast.settle(now, self.config.dynacast_delay) {
            self.tell_wanted(track);
        }
    }

    /// A publisher comes back that was not there to hear.
    pub(super) fn repeat_wanted(&mut self, id: ParticipantId) {
        for track in self.announced(id) {
            self.dynacast.repeat(track);
        }
    }

    fn tell_wanted(&mut self, track: TrackId) {
        let publisher = self.meeting.track(track).map(|track| track.publisher);
        let (Some(publisher), Some(publication)) = (publisher, self.publications.get(&track)) else { return };
        let Some(streams) = self.dynacast.tracks.get(&track) else { return };
        let codecs = publication.info.codecs.iter().zip(streams);
        let subscribed_codecs: Vec<proto::SubscribedCodec> = codecs
            .map(|(codec, stream)| proto::SubscribedCodec {
                codec: wire::short_name(&codec.mime_type),
                qualities: qualities(stream.sent),
            })
            .collect();
        let first = subscribed_codecs.first().map(|codec| codec.qualities.clone()).unwrap_or_default();
        #[allow(deprecated)]
        let update = proto::SubscribedQualityUpdate {
            track_sid: publication.info.sid.clone(),
            subscribed_qualities: first,
            subscribed_codecs,
        };
        self.send(publisher, Response::SubscribedQualityUpdate(update));
    }
}

/// Every layer, and whether it is to be sent: layers of one stream build upon those below, and a smaller simulcast layer
/// is what the server falls back on.
fn qualities(highest: Option<Quality>) -> Vec<proto::SubscribedQuality> {
    [
        (Quality::Low, proto::VideoQuality::Low),
        (Quality::Medium, proto::VideoQuality::Medium),
        (Quality::High, proto::VideoQuality::High),
    ]
    .map(|(quality, named)| proto::SubscribedQuality {
        quality: named.into(),
        enabled: Some(quality) <= highest,
    })
    .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELAY: Duration = Duration::from_secs(5);
    const TRACK: TrackId = TrackId(7);

    fn sent(dynacast: &Dynacast) -> Vec<Option<Quality>> {
        dynacast.tracks[&TRACK].iter().map(|stream| stream.sent).collect()
    }

    fn first(quality: Option<Quality>) -> Wishes {
        [quality, None, None, None]
    }

    #[test]
    fn more_is_told_at_once_and_less_when_it_lasts() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut dynacast = Dynacast::default();
        dynacast.open(TRACK, 2);
        assert_eq!(dynacast.settle(start, DELAY), [TRACK].into(), "a first message in any case");
        assert_eq!(sent(&dynacast), [Some(Quality::High), None]);

        dynacast.want(SubscriptionId(1), TRACK, first(Some(Quality::Low)));
        assert!(dynacast.settle(start, DELAY).is_empty());
        assert_eq!(dynacast.next_due(), Some(at(5000)));
        assert!(dynacast.settle(at(4999), DELAY).is_empty());
        // Someone looks closer and away again: the time begins anew.
        dynacast.want(SubscriptionId(2), TRACK, first(Some(Quality::High)));
        assert!(dynacast.settle(at(4999), DELAY).is_empty());
        assert_eq!(dynacast.next_due(), None);
        dynacast.forget(SubscriptionId(2));
        assert!(dynacast.settle(at(5000), DELAY).is_empty());
        assert_eq!(dynacast.settle(at(10_000), DELAY), [TRACK].into());
        assert_eq!(sent(&dynacast), [Some(Quality::Low), None]);

        dynacast.want(SubscriptionId(1), TRACK, first(Some(Quality::Medium)));
        assert_eq!(dynacast.settle(at(10_001), DELAY), [TRACK].into());
        assert_eq!(sent(&dynacast), [Some(Quality::Medium), None]);
        dynacast.want(SubscriptionId(1), TRACK, [None, Some(Quality::High), None, None]);
        assert_eq!(dynacast.settle(at(10_002), DELAY), [TRACK].into());
        assert_eq!(sent(&dynacast), [Some(Quality::Medium), Some(Quality::High)]);
        assert_eq!(dynacast.settle(at(15_002), DELAY), [TRACK].into());
        assert_eq!(sent(&dynacast), [None, Some(Quality::High)], "the codec that nobody takes rests");
    }

    #[test]
    fn what_is_gone_is_forgotten() {
        let mut dynacast = Dynacast::default();
        dynacast.open(TRACK, 1);
        dynacast.want(SubscriptionId(1), TRACK, first(Some(Quality::Low)));
        dynacast.close(TRACK);
        dynacast.forget(SubscriptionId(1));
        assert!(dynacast.settle(Instant::now(), DELAY).is_empty());
        assert!(dynacast.tracks.is_empty() && dynacast.wishes.is_empty() && dynacast.changed.is_empty());
    }
}
