// SPDX-License-Identifier: EUPL-1.2
//! What a room's news come to in the worker's words.

use std::collections::BTreeMap;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use livekit_protocol as proto;
use livekit_protocol::TrackSource;
use parvis_jobs::{Codec, Origin, Participant, Profile, Source, SrtpKey, ToWorker, UnixMicros};
use parvis_peer::sdp::CodecKind;
use parvis_sfu::{OUTLET_CODECS, OutletKey};
use parvis_signal::{RecordedTrack, RecordingNews};

/// What a worker was told of its room.
#[derive(Debug)]
pub(super) struct Present {
    clock: Clock,
    key: OutletKey,
    /// Names by sid.
    participants: BTreeMap<String, String>,
    /// Whether each track that comes is muted, by sid.
    sources: BTreeMap<String, bool>,
}

/// The wall clock as it was at one moment, from which it goes on evenly.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    zero: Instant,
    unix: UnixMicros,
}

impl Clock {
    pub(super) fn start() -> Clock {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let unix = UnixMicros(u64::try_from(unix.as_micros()).unwrap_or(u64::MAX));
        Clock { zero: Instant::now(), unix }
    }

    /// What the wall clock shows at a moment.
    pub(super) fn at(&self, moment: Instant) -> UnixMicros {
        let micros = |time: std::time::Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        match moment.checked_duration_since(self.zero) {
            Some(since) => UnixMicros(self.unix.0.saturating_add(micros(since))),
            None => UnixMicros(self.unix.0.saturating_sub(micros(self.zero.duration_since(moment)))),
        }
    }
}

impl Present {
    /// Nothing was told yet. `key` protects what comes.
    pub(super) fn new(clock: Clock, key: OutletKey) -> Present {
        Present { clock, key, participants: BTreeMap::new(), sources: BTreeMap::new() }
    }

    /// How many tracks come.
    pub(super) fn sources(&self) -> usize {
        self.sources.len()
    }

    /// What a worker is to be told of something that happened at `now`.
    pub(super) fn news(&mut self, now: Instant, news: RecordingNews) -> Vec<ToWorker> {
        let at = self.clock.at(now);
        match news {
            RecordingNews::Participant(info) => self.participant(&info, at),
            RecordingNews::Left(info) => {
                let known = self.participants.remove(&info.sid).is_some();
                known.then_some(ToWorker::Left { participant: info.sid, at }).into_iter().collect()
            }
            RecordingNews::Source(track) => self.source(*track, at),
            RecordingNews::SourceEnded { track_sid } => {
                let known = self.sources.remove(&track_sid).is_some();
                known.then_some(ToWorker::SourceEnded { track: track_sid, at }).into_iter().collect()
            }
            RecordingNews::Clock { track_sid, rtp_timestamp, at } => {
                let at = self.clock.at(at);
                let known = self.sources.contains_key(&track_sid);
                let report = ToWorker::SenderReport { track: track_sid, rtp_timestamp, at };
                known.then_some(report).into_iter().collect()
            }
            RecordingNews::Consent { participant_sid, given, at } => {
                vec![ToWorker::Consent { participant: participant_sid, given, at: self.clock.at(at) }]
            }
            RecordingNews::Speakers(participants) => vec![ToWorker::Speakers { participants, at }],
            RecordingNews::Caption(caption) => vec![ToWorker::Caption {
                participant: caption.participant_sid,
                track: caption.track_sid,
                text: caption.text,
                from: self.clock.at(caption.from),
                at,
            }],
            // The chat has a log of its own.
            RecordingNews::Chat(_) | RecordingNews::ChatRetracted { .. } | RecordingNews::Gone(_) => {
                Vec::new()
            }
        }
    }

    fn participant(&mut self, info: &proto::ParticipantInfo, at: UnixMicros) -> Vec<ToWorker> {
        let mut messages = Vec::new();
        match self.participants.insert(info.sid.clone(), info.name.clone()) {
            None => messages.push(ToWorker::Joined {
                participant: Participant {
                    id: info.sid.clone(),
                    identity: info.identity.clone(),
                    name: info.name.clone(),
                },
                at,
            }),
            Some(former) if former != info.name => messages.push(ToWorker::Renamed {
                participant: info.sid.clone(),
                name: info.name.clone(),
                at,
            }),
            Some(_) => {}
        }
        for track in &info.tracks {
            if let Some(muted) = self.sources.get_mut(&track.sid).filter(|muted| **muted != track.muted) {
                *muted = track.muted;
                messages.push(ToWorker::Muted { track: track.sid.clone(), muted: track.muted, at });
            }
        }
        messages
    }

    fn source(&mut self, track: RecordedTrack, at: UnixMicros) -> Vec<ToWorker> {
        let RecordedTrack { info, participant_sid, subscription } = track;
        let Some((codec, kind)) = codec_of(&info.mime_type) else {
            tracing::warn!(track = info.sid, mime = info.mime_type, "a track in this codec is not recorded");
            return Vec::new();
        };
        let Some(carried) = OUTLET_CODECS.iter().find(|carried| carried.kind == kind) else {
            return Vec::new();
        };
        let (ssrc, rtx) = subscription.outlet_ssrcs();
        let stereo = info.audio_features.contains(&proto::AudioTrackFeature::TfStereo.into());
        self.sources.insert(info.sid.clone(), info.muted);
        vec![ToWorker::Source(Box::new(Source {
            origin: origin_of(info.source()),
            track: info.sid,
            name: info.name,
            participant: participant_sid,
            kind: codec.kind(),
            codec,
            clock_rate: carried.clock_rate,
            channels: if stereo { 2 } else { 1 },
            payload_type: carried.payload_type,
            red_payload_type: None,
            ssrc,
            rtx: carried.rtx.map(|payload_type| (rtx, payload_type)),
            profile: Profile::Aead128Gcm,
            key: SrtpKey::new(self.key.0.to_vec()),
            muted: info.muted,
            at,
        }))]
    }
}

/// The codec of what comes; redundant sound comes as the Opus within.
fn codec_of(mime: &str) -> Option<(Codec, CodecKind)> {
    let codec =
        if mime.eq_ignore_ascii_case("audio/red") { Some(Codec::Opus) } else { Codec::from_mime(mime) };
    let codec = codec?;
    let kind = match codec {
        Codec::Opus => CodecKind::Opus,
        Codec::Vp8 => CodecKind::Vp8,
        Codec::Vp9 => CodecKind::Vp9,
        Codec::Av1 => CodecKind::Av1,
        Codec::H264 => CodecKind::H264,
    };
    Some((codec, kind))
}

fn origin_of(source: TrackSource) -> Origin {
    match source {
        TrackSource::Unknown => Origin::Unknown,
        TrackSource::Camera => Origin::Camera,
        TrackSource::Microphone => Origin::Microphone,
        TrackSource::ScreenShare => Origin::ScreenShare,
        TrackSource::ScreenShareAudio => Origin::ScreenShareAudio,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use parvis_sfu::{OUTLET_KEY_BYTES, SubscriptionId};
    use parvis_signal::RecordedCaption;

    use super::*;

    fn ada(name: &str, muted: bool) -> RecordingNews {
        RecordingNews::Participant(Box::new(proto::ParticipantInfo {
            sid: "PA_1".into(),
            identity: "ada".into(),
            name: name.into(),
            tracks: vec![proto::TrackInfo { sid: "TR_1".into(), muted, ..Default::default() }],
            ..Default::default()
        }))
    }

    fn source(mime: &str) -> RecordingNews {
        RecordingNews::Source(Box::new(RecordedTrack {
            info: proto::TrackInfo { sid: "TR_1".into(), mime_type: mime.into(), ..Default::default() },
            participant_sid: "PA_1".into(),
            subscription: SubscriptionId((9 << 32) | 3),
        }))
    }

    #[test]
    fn a_worker_is_told_each_thing_once_and_in_its_own_words() {
        let clock = Clock::start();
        let now = Instant::now();
        let mut present = Present::new(clock, OutletKey([7; OUTLET_KEY_BYTES]));
        assert!(matches!(&present.news(now, ada("Ada", false))[..], [ToWorker::Joined { .. }]));
        assert_eq!(present.news(now, ada("Ada", false)), []);
        assert_eq!(present.news(now, source("video/none")), [], "nothing is promised that can't be kept");
        let told = present.news(now, source("audio/red"));
        let [ToWorker::Source(told)] = &told[..] else { panic!("{told:?}") };
        assert_eq!((told.codec, told.payload_type, told.ssrc), (Codec::Opus, 111, 6));
        assert_eq!((told.rtx, told.red_payload_type, told.channels), (None, None, 1));
        assert_eq!(
            told.key.split(Profile::Aead128Gcm).map(|(key, salt)| (key.len(), salt.len())),
            Some((16, 12))
        );
        assert!(matches!(
            &present.news(now, ada("Ada L.", true))[..],
            [ToWorker::Renamed { .. }, ToWorker::Muted { muted: true, .. }]
        ));
        let earlier = now.checked_sub(Duration::from_millis(40)).unwrap();
        let report = RecordingNews::Clock { track_sid: "TR_1".into(), rtp_timestamp: 5, at: earlier };
        let told = present.news(now, report);
        let [ToWorker::SenderReport { at, .. }] = &told[..] else { panic!("{told:?}") };
        // Each is cut to whole microseconds.
        assert!((39_999..=40_001).contains(&clock.at(now).since(*at)), "as of then, not of now");
        let caption = RecordedCaption {
            participant_sid: "PA_1".into(),
            track_sid: Some("TR_1".into()),
            text: "Good morning".into(),
            from: earlier,
        };
        let told = present.news(now, RecordingNews::Caption(Box::new(caption)));
        let [ToWorker::Caption { from, at, text, .. }] = &told[..] else { panic!("{told:?}") };
        assert_eq!((*from, *at, text.as_str()), (clock.at(earlier), clock.at(now), "Good morning"));
        let ended = || RecordingNews::SourceEnded { track_sid: "TR_1".into() };
        assert!(matches!(&present.news(now, ended())[..], [ToWorker::SourceEnded { .. }]));
        assert_eq!(present.news(now, ended()), []);
        let video = present.news(now, source("video/H264"));
        let [ToWorker::Source(video)] = &video[..] else { panic!("{video:?}") };
        assert_eq!((video.rtx, video.payload_type), (Some((7, 109)), 108));
    }
}
