// SPDX-License-Identifier: EUPL-1.2
//! What clients publish.

use std::time::{Duration, Instant};

use livekit_protocol as proto;
use livekit_protocol::request_response::{Reason, Request as Echo};
use livekit_protocol::signal_response::Message as Response;
use livekit_protocol::video_layer::Mode;
use parvis_meeting::{MeetingError, ParticipantId, TrackId, TrackSource, text};
use parvis_peer::sdp::{CodecKind, EncoderPreference, MediaKind};
use parvis_rtp::Mid;
use parvis_sfu::{Command, TrackSpec};

use super::Room;
use super::request::reason;
use crate::{Form, wire};

/// Longest id that a client may give a track, in bytes; browsers give 36.
const MAX_CID_BYTES: usize = 256;
/// Most audio features of one track; the protocol knows seven.
const MAX_FEATURES: usize = 16;
/// A track that is announced is offered within this time after an offer without it. SDKs gather what they offer for 150 ms.
const OFFER_PATIENCE: Duration = Duration::from_millis(500);

/// One published track as the wire sees it, and as the forwarder does.
#[derive(Debug)]
pub(super) struct Publication {
    /// Its description; `muted` is the meeting's to say and is set when it is sent.
    pub(super) info: proto::TrackInfo,
    /// The first codec's stream, and those of its backups.
    pub(super) encodings: Vec<Encoding>,
    /// Someone can't take the first codec, and by the track's policy everyone gets a backup from now on.
    pub(super) regressed: bool,
    /// Whether the publisher was told that someone receives it.
    pub(super) subscribed_told: bool,
    /// Whether the outer world was told of it.
    pub(super) published_told: bool,
    /// Whether its publisher was asked for an offer that has it.
    pub(super) asked_for: bool,
}

#[derive(Debug)]
pub(super) struct Encoding {
    pub(super) cid: String,
    pub(super) track: parvis_sfu::TrackId,
    /// Its place in `info.codecs`.
    pub(super) codec: usize,
    /// Whether its first packet came.
    pub(super) started: bool,
}

impl Room {
    pub(super) fn add_track(&mut self, id: ParticipantId, request: proto::AddTrackRequest) {
        let echo = request.clone();
        let result =
            if request.sid.is_empty() { self.publish(id, request) } else { self.publish_backup(id, request) };
        if let Err((reason, message)) = result {
            self.refuse(id, 0, reason, &message, Some(Echo::AddTrack(echo)));
        }
    }

    pub(super) fn publish(
        &mut self,
        id: ParticipantId,
        mut request: proto::AddTrackRequest,
    ) -> Result<(), (Reason, String)> {
        let meeting_error = |error: MeetingError| (reason(&error), error.to_string());
        check_cid(&request.cid)?;
        let same = self.own_publications(id).find(|publication| publication.has_cid(&request.cid));
        if let Some(response) = same.map(|publication| published(&request.cid, &publication.info)) {
            // The client asks again because it did not hear our answer.
            self.send(id, response);
            return Ok(());
        }
        let source = wire::source(request.source());
        let kind = match (request.r#type(), source) {
            (proto::TrackType::Data, _) => {
                return Err((Reason::UnsupportedType, "not a media track".to_owned()));
            }
            (proto::TrackType::Audio, TrackSource::Camera | TrackSource::ScreenShare)
            | (proto::TrackType::Video, TrackSource::Microphone | TrackSource::ScreenShareAudio) => {
                return Err((Reason::InvalidRequest, "the track's type does not fit its source".to_owned()));
            }
            (proto::TrackType::Audio, _) => MediaKind::Audio,
            (proto::TrackType::Video, _) => MediaKind::Video,
        };
        if self.is_e2ee() && request.encryption() == proto::encryption::Type::None {
            let message = "this room is encrypted from end to end: what is published in it is, too";
            return Err((Reason::NotAllowed, message.to_owned()));
        }
        let silenced = !request.muted && !self.may_unmute(id, source);
        request.muted |= silenced;
        let mut info = describe(&request, kind);
        for codec in &info.codecs {
            self.check_codec(&codec.mime_type, kind)?;
        }
        let name_chars = self.meeting.limits().name_chars;
        info.name = text::clean("the track's name", &request.name, name_chars).map_err(meeting_error)?;
        info.stream = text::clean("the stream's name", &request.stream, name_chars).map_err(meeting_error)?;
        if info.stream.is_empty() {
            info.stream = stream_of(source).to_owned();
        }
        let track = self.meeting.publish(id, source, request.muted).map_err(meeting_error)?;

        info.sid = self.make_sid("TR_");
        let codec = info.codecs.first();
        let layers = codec.map(|codec| wire::layer_specs(&codec.layers)).unwrap_or_default();
        let spec = TrackSpec {
            cid: request.cid.clone(),
            kind,
            screen_share: matches!(source, TrackSource::ScreenShare | TrackSource::ScreenShareAudio),
            muted: request.muted,
            encoder: encoder_preference(&request, kind, codec.map(|codec| codec.mime_type.as_str())),
            layers,
        };
        self.by_track_sid.insert(info.sid.clone(), track);
        info.muted = request.muted;
        let response = published(&request.cid, &info);
        self.publications.insert(
            track,
            Publication {
                info,
                encodings: Vec::new(),
                regressed: false,
                subscribed_told: false,
                published_told: false,
                asked_for: false,
            },
        );
        self.add_encoding(id, track, 0, spec);
        self.send(id, response);
        if silenced {
            self.silence(id, track);
        }
        Ok(())
    }

    /// Another codec for a track that is there.
    fn publish_backup(
        &mut self,
        id: ParticipantId,
        request: proto::AddTrackRequest,
    ) -> Result<(), (Reason, String)> {
        let limit = self.config.encodings_per_track;
        let track = self.own_track(id, &request.sid).ok_or((Reason::NotFound, "no such track".to_owned()))?;
        let Some(simulcast_codec) = request.simulcast_codecs.first() else {
            return Err((Reason::InvalidRequest, "a codec to add is missing".to_owned()));
        };
        let cid = simulcast_codec.cid.clone();
        check_cid(&cid)?;
        self.check_codec(&mime("video", &simulcast_codec.codec), MediaKind::Video)?;
        let Some(publication) = self.publications.get_mut(&track) else { return Ok(()) };
        if publication.has_cid(&cid) {
            let response = published(&cid, &publication.info);
            self.send(id, response);
            return Ok(());
        }
        if publication.encodings.len() >= limit || publication.info.r#type() != proto::TrackType::Video {
            return Err((Reason::LimitExceeded, format!("a video track has at most {limit} codecs")));
        }
        let description = describe_codec(simulcast_codec, &request.layers, (request.width, request.height));
        let layers = wire::layer_specs(&description.layers);
        let encoder = encoder_preference(&request, MediaKind::Video, Some(&description.mime_type));
        let codecs = &mut publication.info.codecs;
        let place =
            codecs.iter().position(|codec| codec.mime_type.eq_ignore_ascii_case(&description.mime_type));
        let place = match place {
            Some(place) if codecs[place].cid.is_empty() => {
                codecs[place] = description;
                place
            }
            Some(_) => return Err((Reason::InvalidRequest, "the track has this codec already".to_owned())),
            None => {
                codecs.push(description);
                codecs.len() - 1
            }
        };
        let count = codecs.len();
        let screen_share = publication.info.source() == proto::TrackSource::ScreenShare;
        let response = published(&cid, &publication.info);
        let muted = self.meeting.track(track).is_some_and(|track| track.muted);
        let spec = TrackSpec { cid, kind: MediaKind::Video, screen_share, muted, encoder, layers };
        self.dynacast.grow(track, count);
        self.add_encoding(id, track, place, spec);
        self.send(id, response);
        Ok(())
    }

    fn add_encoding(&mut self, id: ParticipantId, track: TrackId, codec: usize, spec: TrackSpec) {
        let forwarded = parvis_sfu::TrackId(self.next_id());
        let Some(peer) = self.sessions.get(&id).map(|session| session.links.publisher.peer) else { return };
        let Some(publication) = self.publications.get_mut(&track) else { return };
        publication.encodings.push(Encoding {
            cid: spec.cid.clone(),
            track: forwarded,
            codec,
            started: false,
        });
        self.by_forwarded.insert(forwarded, track);
        self.command(Command::Publish { peer, track: forwarded, spec });
    }

    /// The forwarder found a track's media section. The first codec's makes it known to others.
    pub(super) fn bound(
        &mut self,
        forwarded: parvis_sfu::TrackId,
        mid: Mid,
        codec: CodecKind,
        simulcast: bool,
    ) {
        let Some(track) = self.by_forwarded.get(&forwarded).copied() else { return };
        let Some(publication) = self.publications.get_mut(&track) else { return };
        let Some(encoding) = publication.encodings.iter().position(|encoding| encoding.track == forwarded)
        else {
            return;
        };
        let info = &mut publication.info;
        let place = publication.encodings[encoding].codec;
        if let Some(description) = info.codecs.get_mut(place) {
            description.mid = mid.to_string();
            description.mime_type = wire::codec_mime(codec).to_owned();
        }
        if encoding == 0 {
            info.mid = mid.to_string();
            info.mime_type = wire::codec_mime(codec).to_owned();
            #[allow(deprecated)]
            {
                info.simulcast = simulcast;
            }
            self.meeting.announce(track);
            self.tell_publishing(track);
            self.watch_wishes(track);
            if let Some(publisher) = self.meeting.track(track).map(|track| track.publisher) {
                self.appeared(track, publisher);
            }
        } else {
            self.meeting.touch_track(track);
        }
    }

    /// An offer was answered. Native SDKs offer once a connection is up, and when that happens in the moment in which a track
    /// of theirs is announced, the track is neither in that offer nor in any later one: they take the two for the same. So a
    /// track that an offer left out is asked for, once.
    pub(super) fn await_missing(&mut self, now: Instant, id: ParticipantId) {
        let missing = self.own_publications(id).any(Publication::is_missing);
        let Some(session) = self.sessions.get_mut(&id) else { return };
        // The other form has no word for it.
        if missing && session.links.form == Form::Single && session.resource.is_none() {
            session.offer_due = Some(now + OFFER_PATIENCE);
            self.renew_deadline(id);
        }
    }

    /// Asks for an offer, if one is still due.
    pub(super) fn ask_for_missing(&mut self, id: ParticipantId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.offer_due = None;
        if session.socket.is_none() || session.links.publisher.offer_pending {
            // An answer looks again.
            return;
        }
        let own = self.meeting.participant(id).into_iter().flat_map(|publisher| publisher.tracks());
        let own: Vec<TrackId> = own.collect();
        let mut asks = false;
        for track in own {
            let publication =
                self.publications.get_mut(&track).filter(|publication| publication.is_missing());
            asks |=
                publication.is_some_and(|publication| !std::mem::replace(&mut publication.asked_for, true));
        }
        if asks {
            self.send(id, Response::MediaSectionsRequirement(proto::MediaSectionsRequirement::default()));
        }
    }

    /// The codec that really comes may be another than the one of first choice.
    pub(super) fn started(&mut self, forwarded: parvis_sfu::TrackId, codec: CodecKind) {
        let Some(track) = self.by_forwarded.get(&forwarded).copied() else { return };
        let Some(publication) = self.publications.get_mut(&track) else { return };
        let mime = wire::codec_mime(codec);
        let Some(place) = publication.encodings.iter().position(|encoding| encoding.track == forwarded)
        else {
            return;
        };
        let began = !std::mem::replace(&mut publication.encodings[place].started, true);
        let info = &mut publication.info;
        let description = info.codecs.get_mut(publication.encodings[place].codec);
        let changed = description.is_some_and(|description| {
            let changed = description.mime_type != mime;
            description.mime_type = mime.to_owned();
            changed
        });
        if place == 0 {
            info.mime_type = mime.to_owned();
        }
        if changed {
            self.meeting.touch_track(track);
        }
        if began && place == 0 {
            self.record_new(track);
        }
        if began && place > 0 {
            self.review_choices(track);
            if let Some(publisher) = self.meeting.track(track).map(|track| track.publisher) {
                self.tell_forwards(publisher);
            }
        }
    }

    /// The client's last offer no longer sends this stream: the track is gone when its first codec is.
    pub(super) fn stream_ended(&mut self, forwarded: parvis_sfu::TrackId) {
        let Some(track) = self.by_forwarded.get(&forwarded).copied() else { return };
        let Some(publication) = self.publications.get_mut(&track) else { return };
        if publication.encodings.first().is_some_and(|encoding| encoding.track == forwarded) {
            self.meeting.unpublish(track);
            return;
        }
        let ended = publication.encodings.iter().position(|encoding| encoding.track == forwarded);
        if let Some(ended) = ended.map(|place| publication.encodings.remove(place))
            && let Some(codec) = publication.info.codecs.get_mut(ended.codec)
        {
            // It may be asked for again.
            codec.cid.clear();
            codec.mid.clear();
        }
        self.review_choices(track);
        self.by_forwarded.remove(&forwarded);
        self.command(Command::Unpublish { track: forwarded });
    }

    /// The meeting says that a track is gone.
    pub(super) fn unpublished(&mut self, track: TrackId, publisher: ParticipantId) {
        let Some(publication) = self.publications.remove(&track) else { return };
        self.by_track_sid.remove(&publication.info.sid);
        self.tell_source(publisher, wire::source(publication.info.source()));
        self.dynacast.close(track);
        for encoding in &publication.encodings {
            self.by_forwarded.remove(&encoding.track);
            self.command(Command::Unpublish { track: encoding.track });
        }
        for session in self.sessions.values_mut() {
            session.settings.remove(&track);
        }
        // One who leaves, to come back at once, must not take it for its own track's end: it would not publish it again.
        if self.meeting.participant(publisher).is_some() {
            let response = proto::TrackUnpublishedResponse { track_sid: publication.info.sid.clone() };
            self.send(publisher, Response::TrackUnpublished(response));
        }
        if publication.published_told {
            self.vanished(publisher, publication.info);
        }
    }

    pub(super) fn mute(&mut self, id: ParticipantId, request: proto::MuteTrackRequest) {
        let track = self.own_track(id, &request.sid);
        let source = track.and_then(|track| self.meeting.track(track)).map(|track| track.source);
        if let (Some(track), Some(source)) = (track, source.filter(|_| !request.muted))
            && !self.may_unmute(id, source)
        {
            self.silence(id, track);
            let message = "a moderator lets you turn the microphone on";
            return self.refuse(id, 0, Reason::NotAllowed, message, Some(Echo::Mute(request)));
        }
        match track.map(|track| (track, self.meeting.set_muted(id, track, request.muted))) {
            Some((track, Ok(true))) => {
                self.forward_muted(track, request.muted);
                self.tell_publishing(track);
            }
            Some((_, Ok(false))) => {}
            Some((_, Err(_))) | None => {
                self.refuse(id, 0, Reason::NotFound, "no such track", Some(Echo::Mute(request)));
            }
        }
    }

    pub(super) fn forward_muted(&mut self, track: TrackId, muted: bool) {
        let Some(publication) = self.publications.get(&track) else { return };
        let encodings: Vec<parvis_sfu::TrackId> =
            publication.encodings.iter().map(|encoding| encoding.track).collect();
        for track in encodings {
            self.command(Command::SetMuted { track, muted });
        }
    }

    pub(super) fn update_audio_track(&mut self, id: ParticipantId, mut update: proto::UpdateLocalAudioTrack) {
        let track = self.own_track(id, &update.track_sid);
        let Some(publication) = track.and_then(|track| self.publications.get_mut(&track)) else {
            let echo = Echo::UpdateAudioTrack(update);
            return self.refuse(id, 0, Reason::NotFound, "no such track", Some(echo));
        };
        update.features.truncate(MAX_FEATURES);
        publication.info.audio_features = update.features;
        if let Some(track) = track {
            self.meeting.touch_track(track);
        }
    }

    pub(super) fn update_video_track(&mut self, id: ParticipantId, update: proto::UpdateLocalVideoTrack) {
        let track = self.own_track(id, &update.track_sid);
        let Some(publication) = track.and_then(|track| self.publications.get_mut(&track)) else {
            let echo = Echo::UpdateVideoTrack(update);
            return self.refuse(id, 0, Reason::NotFound, "no such track", Some(echo));
        };
        publication.info.width = update.width;
        publication.info.height = update.height;
        if let Some(track) = track {
            self.meeting.touch_track(track);
        }
    }

    /// Older clients say by their layers how large a video has become.
    pub(super) fn update_layers(&mut self, id: ParticipantId, update: &proto::UpdateVideoLayers) {
        let largest =
            update.layers.iter().max_by_key(|layer| u64::from(layer.width) * u64::from(layer.height));
        let Some(largest) = largest.filter(|layer| layer.width > 0 && layer.height > 0) else { return };
        let track_sid = update.track_sid.clone();
        let update = proto::UpdateLocalVideoTrack { track_sid, width: largest.width, height: largest.height };
        self.update_video_track(id, update);
    }

    /// The actor's own track of that sid.
    pub(super) fn own_track(&self, id: ParticipantId, sid: &str) -> Option<TrackId> {
        let track = self.by_track_sid.get(sid).copied()?;
        self.meeting.track(track).filter(|track| track.publisher == id).map(|track| track.id)
    }

    fn own_publications(&self, id: ParticipantId) -> impl Iterator<Item = &Publication> + '_ {
        let tracks = self.meeting.participant(id).into_iter().flat_map(|participant| participant.tracks());
        tracks.filter_map(|track| self.publications.get(&track))
    }

    fn check_codec(&self, mime: &str, kind: MediaKind) -> Result<(), (Reason, String)> {
        let prefix = kind_name(kind);
        let enabled = self.config.publish_codecs.iter().any(|(codec, _)| codec.eq_ignore_ascii_case(mime));
        if mime.is_empty() || enabled && mime.starts_with(prefix) {
            return Ok(());
        }
        Err((Reason::UnsupportedType, format!("the codec {mime:?} is not enabled here for {prefix}")))
    }
}

impl Publication {
    fn has_cid(&self, cid: &str) -> bool {
        self.encodings.iter().any(|encoding| encoding.cid == cid)
    }

    /// Whether no offer had it yet, nor was its publisher asked for one.
    fn is_missing(&self) -> bool {
        self.info.mid.is_empty() && !self.asked_for
    }
}

fn published(cid: &str, info: &proto::TrackInfo) -> Response {
    Response::TrackPublished(proto::TrackPublishedResponse { cid: cid.to_owned(), track: Some(info.clone()) })
}

fn check_cid(cid: &str) -> Result<(), (Reason, String)> {
    if cid.is_empty() || cid.len() > MAX_CID_BYTES || cid.contains(|c: char| c.is_control() || c == ' ') {
        return Err((
            Reason::InvalidRequest,
            "the track's client id is empty, too long or no word".to_owned(),
        ));
    }
    Ok(())
}

/// What the request says of the track, without its sid, name and stream.
#[allow(deprecated)]
fn describe(request: &proto::AddTrackRequest, kind: MediaKind) -> proto::TrackInfo {
    let size = (request.width, request.height);
    let mut features = request.audio_features.clone();
    features.truncate(MAX_FEATURES);
    for (feature, old) in [
        (proto::AudioTrackFeature::TfStereo, request.stereo),
        (proto::AudioTrackFeature::TfNoDtx, request.disable_dtx),
    ] {
        if old && !features.contains(&feature.into()) {
            features.push(feature.into());
        }
    }
    let mut codecs: Vec<proto::SimulcastCodecInfo> = match kind {
        MediaKind::Audio => {
            let audio = |codec: &proto::SimulcastCodec| proto::SimulcastCodecInfo {
                mime_type: mime("audio", &codec.codec),
                cid: codec.cid.clone(),
                ..Default::default()
            };
            request.simulcast_codecs.iter().take(2).map(audio).collect()
        }
        MediaKind::Video => {
            let video = |codec| describe_codec(codec, &request.layers, size);
            request.simulcast_codecs.iter().take(3).map(video).collect()
        }
    };
    if codecs.is_empty() {
        let unsaid = proto::SimulcastCodec::default();
        codecs.push(match kind {
            MediaKind::Audio => proto::SimulcastCodecInfo::default(),
            MediaKind::Video => describe_codec(&unsaid, &request.layers, size),
        });
    }
    let mut packet_trailer_features = request.packet_trailer_features.clone();
    packet_trailer_features.truncate(MAX_FEATURES);
    let first = &mut codecs[0];
    if first.cid.is_empty() {
        first.cid = request.cid.clone();
    }
    proto::TrackInfo {
        r#type: request.r#type,
        source: request.source,
        width: size.0,
        height: size.1,
        mime_type: first.mime_type.clone(),
        layers: first.layers.clone(),
        simulcast: first.layers.len() > 1 && first.video_layer_mode() != Mode::MultipleSpatialLayersPerStream,
        codecs,
        disable_dtx: features.contains(&proto::AudioTrackFeature::TfNoDtx.into()),
        stereo: features.contains(&proto::AudioTrackFeature::TfStereo.into()),
        disable_red: request.disable_red,
        encryption: request.encryption,
        audio_features: features,
        backup_codec_policy: request.backup_codec_policy,
        packet_trailer_features,
        ..Default::default()
    }
}

/// One codec of a video track. Its own layers, or the track's when it has none.
fn describe_codec(
    codec: &proto::SimulcastCodec,
    layers: &[proto::VideoLayer],
    size: (u32, u32),
) -> proto::SimulcastCodecInfo {
    let mime_type = mime("video", &codec.codec);
    let mode = wire::layer_mode(codec.video_layer_mode(), &mime_type);
    let own = if codec.layers.is_empty() { layers } else { &codec.layers };
    proto::SimulcastCodecInfo {
        layers: wire::encoding_layers(own, size, mode),
        video_layer_mode: mode.into(),
        cid: codec.cid.clone(),
        mime_type,
        ..Default::default()
    }
}

/// The MIME type of a codec that is named with or without it.
fn mime(kind: &str, codec: &str) -> String {
    let short = codec.rsplit('/').next().unwrap_or_default();
    let known =
        ["opus", "red", "VP8", "VP9", "AV1", "H264"].into_iter().find(|k| k.eq_ignore_ascii_case(short));
    match known {
        Some(name) => format!("{kind}/{name}"),
        None if short.is_empty() => String::new(),
        None => {
            format!("{kind}/{}", short.chars().filter(|c| c.is_ascii_graphic()).take(32).collect::<String>())
        }
    }
}

fn kind_name(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Audio => "audio",
        MediaKind::Video => "video",
    }
}

/// The media stream that tracks of one source share, so that browsers play them in step.
fn stream_of(source: TrackSource) -> &'static str {
    match source {
        TrackSource::Camera | TrackSource::Microphone => "camera",
        TrackSource::ScreenShare | TrackSource::ScreenShareAudio => "screen_share",
        TrackSource::Unknown => "unknown",
    }
}

/// How a client wants its track sent: by the fields of older clients, or by the features of newer ones.
#[allow(deprecated)]
fn encoder_preference(
    request: &proto::AddTrackRequest,
    kind: MediaKind,
    mime: Option<&str>,
) -> EncoderPreference {
    // Redundant audio survives single losses, and whoever can't take it gets the Opus within.
    let codec = match kind {
        // What is encrypted end to end can't be taken apart or put together by us.
        MediaKind::Audio if request.disable_red || request.encryption != 0 => Some(CodecKind::Opus),
        MediaKind::Audio => Some(CodecKind::Red),
        MediaKind::Video => mime.and_then(wire::codec_of_mime),
    };
    let has = |feature: proto::AudioTrackFeature| request.audio_features.contains(&(feature as i32));
    EncoderPreference {
        codec,
        stereo: request.stereo || has(proto::AudioTrackFeature::TfStereo),
        dtx: !request.disable_dtx && !has(proto::AudioTrackFeature::TfNoDtx),
    }
}
