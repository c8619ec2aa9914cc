// SPDX-License-Identifier: EUPL-1.2
//! One word of the wire for one of ours.

use std::collections::BTreeSet;

use livekit_protocol as proto;
use livekit_protocol::participant_info::Kind as ProtoKind;
use livekit_protocol::video_layer::Mode;
use parvis_meeting::{EndReason, Kind, LeaveReason, Permissions, TrackSource};
use parvis_peer::sdp::{CodecKind, MediaKind};
use parvis_rtp::Rid;
use parvis_sfu::{LayerSpec, Quality};

/// The RIDs that clients give their layers, lowest first.
const RIDS: [&str; 3] = ["q", "h", "f"];

pub(crate) fn source(source: proto::TrackSource) -> TrackSource {
    match source {
        proto::TrackSource::Unknown => TrackSource::Unknown,
        proto::TrackSource::Camera => TrackSource::Camera,
        proto::TrackSource::Microphone => TrackSource::Microphone,
        proto::TrackSource::ScreenShare => TrackSource::ScreenShare,
        proto::TrackSource::ScreenShareAudio => TrackSource::ScreenShareAudio,
    }
}

fn proto_source(source: TrackSource) -> proto::TrackSource {
    match source {
        TrackSource::Unknown => proto::TrackSource::Unknown,
        TrackSource::Camera => proto::TrackSource::Camera,
        TrackSource::Microphone => proto::TrackSource::Microphone,
        TrackSource::ScreenShare => proto::TrackSource::ScreenShare,
        TrackSource::ScreenShareAudio => proto::TrackSource::ScreenShareAudio,
    }
}

pub(crate) fn kind(kind: Kind) -> ProtoKind {
    match kind {
        Kind::Standard => ProtoKind::Standard,
        Kind::Ingress => ProtoKind::Ingress,
        Kind::Egress => ProtoKind::Egress,
        Kind::Sip => ProtoKind::Sip,
        Kind::Agent => ProtoKind::Agent,
        Kind::Connector => ProtoKind::Connector,
        Kind::Bridge => ProtoKind::Bridge,
    }
}

#[allow(deprecated)]
pub(crate) fn permission(permissions: &Permissions, kind: Kind) -> proto::ParticipantPermission {
    proto::ParticipantPermission {
        can_subscribe: permissions.can_subscribe,
        can_publish: permissions.can_publish,
        can_publish_data: permissions.can_publish_data,
        can_publish_sources: permissions
            .can_publish_sources
            .iter()
            .map(|source| proto_source(*source).into())
            .collect(),
        hidden: permissions.hidden,
        recorder: permissions.recorder,
        can_update_metadata: permissions.can_update_profile,
        can_subscribe_metrics: permissions.can_subscribe_metrics,
        agent: kind == Kind::Agent,
        ..Default::default()
    }
}

/// What the protocol's words allow. A list of sources that names only unknown ones allows none, where an empty one would
/// allow all.
#[allow(deprecated)]
pub fn permissions(permission: &proto::ParticipantPermission) -> Permissions {
    let named = permission.can_publish_sources();
    let sources = named.map(source).filter(|source| *source != TrackSource::Unknown);
    let can_publish_sources: BTreeSet<TrackSource> = sources.collect();
    let listed = !permission.can_publish_sources.is_empty();
    Permissions {
        can_publish: permission.can_publish && !(listed && can_publish_sources.is_empty()),
        can_publish_sources,
        can_subscribe: permission.can_subscribe,
        can_publish_data: permission.can_publish_data,
        can_update_profile: permission.can_update_metadata,
        can_subscribe_metrics: permission.can_subscribe_metrics,
        hidden: permission.hidden,
        recorder: permission.recorder,
    }
}

/// What a client is told of the end of its session, and what it should do next.
pub(crate) fn disconnect_reason(reason: LeaveReason, end: Option<EndReason>) -> proto::DisconnectReason {
    use proto::DisconnectReason as Reason;
    match (reason, end) {
        (LeaveReason::Client, _) => Reason::ClientInitiated,
        (LeaveReason::Replaced, _) => Reason::DuplicateIdentity,
        (LeaveReason::Removed, _) => Reason::ParticipantRemoved,
        (LeaveReason::Ended, Some(EndReason::Deleted)) => Reason::RoomDeleted,
        (LeaveReason::Ended, Some(EndReason::Shutdown)) => Reason::ServerShutdown,
        (LeaveReason::Ended, _) => Reason::RoomClosed,
        (LeaveReason::JoinFailed, _) => Reason::JoinFailure,
        (LeaveReason::ConnectionLost, _) => Reason::ConnectionTimeout,
        (LeaveReason::MediaFailed, _) => Reason::MediaFailure,
        (LeaveReason::Shutdown, _) => Reason::ServerShutdown,
        (LeaveReason::Reconnect, _) => Reason::StateMismatch,
        (LeaveReason::Moved, _) => Reason::Migration,
        (LeaveReason::Violation, _) => Reason::UnknownReason,
    }
}

pub(crate) fn codec_mime(codec: CodecKind) -> &'static str {
    match codec {
        CodecKind::Opus => "audio/opus",
        CodecKind::Red => "audio/red",
        CodecKind::Vp8 => "video/VP8",
        CodecKind::Vp9 => "video/VP9",
        CodecKind::Av1 => "video/AV1",
        CodecKind::H264 => "video/H264",
    }
}

/// The name by which clients compare codecs: without a kind, and in lower case.
pub(crate) fn short_name(mime: &str) -> String {
    mime.rsplit('/').next().unwrap_or_default().to_ascii_lowercase()
}

/// Whether a track is heard or seen.
pub(crate) fn media_kind(info: &proto::TrackInfo) -> MediaKind {
    match info.r#type() {
        proto::TrackType::Video => MediaKind::Video,
        proto::TrackType::Audio | proto::TrackType::Data => MediaKind::Audio,
    }
}

/// The codec that a MIME type names.
pub(crate) fn codec_of_mime(mime: &str) -> Option<CodecKind> {
    let all =
        [CodecKind::Opus, CodecKind::Red, CodecKind::Vp8, CodecKind::Vp9, CodecKind::Av1, CodecKind::H264];
    all.into_iter().find(|codec| codec_mime(*codec).eq_ignore_ascii_case(mime))
}

/// How the layers of an encoding travel; older clients leave it to the codec.
pub(crate) fn layer_mode(mode: Mode, mime: &str) -> Mode {
    match mode {
        Mode::Unused if ["vp9", "av1"].iter().any(|svc| mime.to_ascii_lowercase().ends_with(svc)) => {
            Mode::MultipleSpatialLayersPerStream
        }
        Mode::Unused => Mode::OneSpatialLayerPerStream,
        mode => mode,
    }
}

/// The layers of an encoding, lowest first, with their RID and number. SSRCs are the forwarder's secret.
pub(crate) fn encoding_layers(
    layers: &[proto::VideoLayer],
    size: (u32, u32),
    mode: Mode,
) -> Vec<proto::VideoLayer> {
    let mut layers: Vec<proto::VideoLayer> =
        layers.iter().filter(|layer| layer.quality() != proto::VideoQuality::Off).cloned().collect();
    layers.sort_by_key(|layer| layer.quality);
    layers.dedup_by_key(|layer| layer.quality);
    if layers.is_empty() {
        let quality = proto::VideoQuality::High.into();
        layers.push(proto::VideoLayer { quality, width: size.0, height: size.1, ..Default::default() });
    }
    let simulcast = mode != Mode::MultipleSpatialLayersPerStream && layers.len() > 1;
    for (index, (layer, rid)) in layers.iter_mut().zip(RIDS).enumerate() {
        layer.ssrc = 0;
        layer.repair_ssrc = 0;
        layer.spatial_layer = index as i32;
        if !simulcast || Rid::new(&layer.rid).is_none() {
            layer.rid = if simulcast { rid.to_owned() } else { String::new() };
        }
    }
    layers
}

/// The same for the forwarder.
pub(crate) fn layer_specs(layers: &[proto::VideoLayer]) -> Vec<LayerSpec> {
    layers
        .iter()
        .map(|layer| LayerSpec {
            quality: match layer.quality() {
                proto::VideoQuality::Low => Quality::Low,
                proto::VideoQuality::Medium => Quality::Medium,
                proto::VideoQuality::High | proto::VideoQuality::Off => Quality::High,
            },
            rid: Rid::new(&layer.rid),
            width: layer.width,
            height: layer.height,
            bitrate: layer.bitrate,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(quality: proto::VideoQuality, rid: &str) -> proto::VideoLayer {
        proto::VideoLayer { quality: quality.into(), rid: rid.into(), ssrc: 99, ..Default::default() }
    }

    fn rids(layers: &[proto::VideoLayer]) -> Vec<&str> {
        layers.iter().map(|layer| layer.rid.as_str()).collect()
    }

    #[test]
    fn simulcast_layers_get_their_rids_lowest_first() {
        use proto::VideoQuality::*;
        let simulcast = Mode::OneSpatialLayerPerStream;
        let three = [layer(High, ""), layer(Low, ""), layer(Medium, ""), layer(Medium, "")];
        let layers = encoding_layers(&three, (1280, 720), simulcast);
        assert_eq!(rids(&layers), ["q", "h", "f"]);
        assert!(layers.iter().all(|layer| layer.ssrc == 0));
        assert_eq!(layers.iter().map(|layer| layer.spatial_layer).collect::<Vec<_>>(), [0, 1, 2]);
        let named = encoding_layers(&[layer(Low, "2"), layer(High, "not a\nrid")], (0, 0), simulcast);
        assert_eq!(rids(&named), ["2", "h"]);
        assert_eq!(rids(&encoding_layers(&[layer(High, "f")], (0, 0), simulcast)), [""]);
        let svc = encoding_layers(&three, (0, 0), Mode::MultipleSpatialLayersPerStream);
        assert_eq!(rids(&svc), ["", "", ""]);
        assert!(layer_specs(&svc).iter().all(|spec| spec.rid.is_none()));
    }

    #[test]
    fn permissions_are_the_same_there_and_back() {
        let mute = Permissions { can_publish: false, can_update_profile: true, ..Permissions::default() };
        let only =
            Permissions { can_publish_sources: [TrackSource::Camera].into(), ..Permissions::default() };
        for each in [Permissions::default(), mute, only] {
            assert_eq!(permissions(&permission(&each, Kind::Standard)), each);
        }
        let unknown = proto::ParticipantPermission {
            can_publish: true,
            can_publish_sources: vec![99],
            ..Default::default()
        };
        assert!(!permissions(&unknown).can_publish);
    }

    #[test]
    fn a_track_without_layers_has_one_of_its_size() {
        let layers = encoding_layers(&[], (640, 360), Mode::OneSpatialLayerPerStream);
        assert_eq!((layers.len(), layers[0].width, layers[0].quality()), (1, 640, proto::VideoQuality::High));
    }
}
