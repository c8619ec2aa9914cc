// SPDX-License-Identifier: EUPL-1.2
//! Which payload types two sides have in common.

use super::remote::RemoteCodec;
use super::{Codec, CodecKind, CodecPolicy, EncoderPreference, MediaKind};

/// Repair packets' name in `a=rtpmap`: draft-ietf-payload-flexible-fec-scheme-03, which is not yet RFC 8627.
pub(super) const FLEXFEC: &str = "flexfec-03";

impl CodecKind {
    /// Sound or pictures.
    pub fn media(self) -> MediaKind {
        match self {
            CodecKind::Opus | CodecKind::Red => MediaKind::Audio,
            _ => MediaKind::Video,
        }
    }

    /// Its name in `a=rtpmap`.
    pub fn name(self) -> &'static str {
        match self {
            CodecKind::Opus => "opus",
            CodecKind::Red => "red",
            CodecKind::Vp8 => "VP8",
            CodecKind::Vp9 => "VP9",
            CodecKind::Av1 => "AV1",
            CodecKind::H264 => "H264",
        }
    }

    /// RTP clock rate in Hz.
    pub fn clock_rate(self) -> u32 {
        match self.media() {
            MediaKind::Audio => 48_000,
            MediaKind::Video => 90_000,
        }
    }

    /// Channels as `a=rtpmap` counts them; 0 for pictures.
    pub fn channels(self) -> u8 {
        match self.media() {
            MediaKind::Audio => 2,
            MediaKind::Video => 0,
        }
    }

    fn of(remote: &RemoteCodec<'_>) -> Option<CodecKind> {
        let kinds = [
            CodecKind::Opus,
            CodecKind::Red,
            CodecKind::Vp8,
            CodecKind::Vp9,
            CodecKind::Av1,
            CodecKind::H264,
        ];
        kinds.into_iter().find(|kind| {
            remote.name.eq_ignore_ascii_case(kind.name())
                && remote.clock_rate == kind.clock_rate()
                && (kind.media() == MediaKind::Video || remote.channels == kind.channels())
        })
    }
}

/// What has to be equal for two payload types of one codec to be the same; the rest of `a=fmtp` is taste.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Profile {
    Only,
    /// `profile-id` (RFC 9628) or `profile` (AV1's payload format): 0 when absent.
    Number(u32),
    /// `packetization-mode` and the profile in `profile-level-id` (RFC 6184 section 8.1), without its level.
    H264 {
        mode: u32,
        profile: H264Profile,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum H264Profile {
    Baseline,
    ConstrainedBaseline,
    Main,
    /// `profile_idc` and `profile-iop`.
    Other(u16),
}

impl Profile {
    /// `None` when the parameters make no sense.
    pub(super) fn of(kind: CodecKind, fmtp: &str) -> Option<Profile> {
        let number = |name| parameter(fmtp, name).map_or(Some(0), |value| value.parse().ok());
        Some(match kind {
            CodecKind::Opus | CodecKind::Red | CodecKind::Vp8 => Profile::Only,
            CodecKind::Vp9 => Profile::Number(number("profile-id")?),
            CodecKind::Av1 => Profile::Number(number("profile")?),
            CodecKind::H264 => Profile::H264 {
                mode: number("packetization-mode")?,
                profile: parameter(fmtp, "profile-level-id")
                    .map_or(Some(H264Profile::Baseline), H264Profile::parse)?,
            },
        })
    }
}

impl H264Profile {
    fn parse(profile_level_id: &str) -> Option<H264Profile> {
        if profile_level_id.len() != 6 {
            return None;
        }
        let bits = u32::from_str_radix(profile_level_id, 16).ok()?;
        let (idc, constraints) = ((bits >> 16) as u8, (bits >> 8) as u8);
        Some(match idc {
            // RFC 6184 table 5: constraint_set1 makes Baseline the constrained one.
            0x42 if constraints & 0x40 != 0 => H264Profile::ConstrainedBaseline,
            0x42 => H264Profile::Baseline,
            0x4d => H264Profile::Main,
            _ => H264Profile::Other((bits >> 8) as u16),
        })
    }
}

/// The value of one `name=value` in `a=fmtp`.
pub(super) fn parameter<'a>(fmtp: &'a str, name: &str) -> Option<&'a str> {
    fmtp.split(';').find_map(|part| {
        let (key, value) = part.split_once('=')?;
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// The peer's payload types that the policy accepts, under the peer's numbers and in its order of preference.
pub(super) fn accept(policies: &[CodecPolicy], media: MediaKind, offered: &[RemoteCodec<'_>]) -> Vec<Codec> {
    let rtx = Retransmissions::of_all(offered);
    let mut accepted = Vec::new();
    for remote in offered {
        let Some(kind) = CodecKind::of(remote).filter(|kind| kind.media() == media) else { continue };
        let Some(profile) = Profile::of(kind, remote.fmtp) else { continue };
        let Some(policy) = policies
            .iter()
            .find(|policy| policy.kind == kind && Profile::of(kind, &policy.fmtp) == Some(profile))
        else {
            continue;
        };
        accepted.push(Codec {
            payload_type: remote.payload_type,
            kind,
            clock_rate: remote.clock_rate,
            channels: kind.channels(),
            fmtp: answered_parameters(kind, remote.fmtp),
            rtx: rtx.of(remote.payload_type).filter(|_| policy.rtx.is_some()),
            feedback: remote.feedback.and(policy.feedback),
        });
    }
    drop_red_without_opus(&mut accepted);
    accepted
}

/// The payload type of repair packets among the peer's, in a section of pictures.
pub(super) fn repair_type(media: MediaKind, codecs: &[RemoteCodec<'_>]) -> Option<u8> {
    let is_fec =
        |codec: &&RemoteCodec<'_>| codec.name.eq_ignore_ascii_case(FLEXFEC) && codec.clock_rate == 90_000;
    codecs.iter().filter(|_| media == MediaKind::Video).find(is_fec).map(|codec| codec.payload_type)
}

/// What is left of our offered payload types, by the peer's answer and in its order.
pub(super) fn intersect(offered: &[Codec], answered: &[RemoteCodec<'_>]) -> Vec<Codec> {
    let rtx = Retransmissions::of_all(answered);
    let mut agreed = Vec::new();
    for remote in answered {
        let same = |codec: &&Codec| {
            codec.payload_type == remote.payload_type
                && CodecKind::of(remote) == Some(codec.kind)
                && (remote.fmtp.is_empty()
                    || Profile::of(codec.kind, remote.fmtp) == Profile::of(codec.kind, &codec.fmtp))
        };
        let Some(codec) = offered.iter().find(same) else { continue };
        agreed.push(Codec {
            fmtp: if remote.fmtp.is_empty() { codec.fmtp.clone() } else { remote.fmtp.to_owned() },
            rtx: codec.rtx.filter(|repair| rtx.of(codec.payload_type) == Some(*repair)),
            feedback: codec.feedback.and(remote.feedback),
            ..codec.clone()
        });
    }
    drop_red_without_opus(&mut agreed);
    agreed
}

/// What a sender may be sent in: `wanted`, and Opus beneath RED.
pub(super) fn restricted(codecs: &[Codec], wanted: &[CodecKind]) -> Vec<Codec> {
    let is_wanted = |codec: &&Codec| {
        wanted.contains(&codec.kind) || (codec.kind == CodecKind::Opus && wanted.contains(&CodecKind::Red))
    };
    codecs.iter().filter(is_wanted).cloned().collect()
}

/// Writes what we wish of the peer's encoder into our answer's parameters.
pub(super) fn prefer(codecs: &mut [Codec], preference: EncoderPreference) {
    if let Some(kind) = preference.codec {
        // A stable sort: among the rest, and among the profiles of one codec, the peer's own order stays.
        codecs.sort_by_key(|codec| codec.kind != kind);
    }
    for codec in codecs.iter_mut().filter(|codec| codec.kind == CodecKind::Opus) {
        for (wished, name) in [(preference.stereo, "stereo"), (preference.dtx, "usedtx")] {
            if wished && parameter(&codec.fmtp, name) != Some("1") {
                let mut kept: Vec<_> = codec.fmtp.split(';').filter(|part| !part.is_empty()).collect();
                kept.retain(|part| part.split('=').next().is_none_or(|key| key.trim() != name));
                let one = format!("{name}=1");
                kept.push(&one);
                codec.fmtp = kept.join(";");
            }
        }
    }
}

/// By payload type of media: the payload type of its retransmissions (RFC 4588 section 8.1).
struct Retransmissions([Option<u8>; 128]);

impl Retransmissions {
    fn of_all(codecs: &[RemoteCodec<'_>]) -> Retransmissions {
        let mut table = [None; 128];
        for codec in codecs.iter().filter(|codec| codec.name.eq_ignore_ascii_case("rtx")) {
            let apt: Option<usize> = parameter(codec.fmtp, "apt").and_then(|apt| apt.parse().ok());
            if let Some(place) = apt.and_then(|apt| table.get_mut(apt)).filter(|place| place.is_none()) {
                *place = Some(codec.payload_type);
            }
        }
        Retransmissions(table)
    }

    fn of(&self, payload_type: u8) -> Option<u8> {
        self.0.get(usize::from(payload_type)).copied().flatten()
    }
}

/// RED stays only over an Opus that is agreed on too (RFC 2198: its parameters name the payload types within).
fn drop_red_without_opus(codecs: &mut Vec<Codec>) {
    let mut is_opus = [false; 256];
    for codec in codecs.iter().filter(|codec| codec.kind == CodecKind::Opus) {
        is_opus[usize::from(codec.payload_type)] = true;
    }
    let names_opus = |word: &str| word.trim().parse::<u8>().is_ok_and(|inner| is_opus[usize::from(inner)]);
    codecs.retain(|codec| codec.kind != CodecKind::Red || codec.fmtp.split('/').all(names_opus));
}

/// The peer's parameters, sent back. Those by which VP8 and VP9 name the receiver's limits would be the peer's limits in
/// our name, and keep it from sending a large screen.
fn answered_parameters(kind: CodecKind, fmtp: &str) -> String {
    match kind {
        CodecKind::Vp8 | CodecKind::Vp9 => {
            let keep = |part: &&str| {
                let key = part.split('=').next().unwrap_or_default().trim();
                !key.is_empty() && key != "max-fs" && key != "max-fr"
            };
            fmtp.split(';').filter(keep).collect::<Vec<_>>().join(";")
        }
        _ => fmtp.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sdp::{Feedback, SessionConfig};

    fn remote<'a>(payload_type: u8, map: &'a str, fmtp: &'a str) -> RemoteCodec<'a> {
        let mut parts = map.split('/');
        RemoteCodec {
            payload_type,
            name: parts.next().unwrap(),
            clock_rate: parts.next().unwrap().parse().unwrap(),
            channels: parts.next().map_or(1, |channels| channels.parse().unwrap()),
            fmtp,
            feedback: Feedback { nack: true, pli: true, remb: true, ..Feedback::default() },
        }
    }

    fn accepted(media: MediaKind, offered: &[RemoteCodec<'_>]) -> Vec<(u8, CodecKind, Option<u8>)> {
        let codecs = accept(&SessionConfig::default().codecs, media, offered);
        codecs.iter().map(|codec| (codec.payload_type, codec.kind, codec.rtx)).collect()
    }

    #[test]
    fn a_payload_type_is_accepted_by_its_profile_and_not_by_its_level() {
        let video = [
            remote(35, "VP9/90000", "profile-id=2"),
            remote(36, "vp9/90000", ""),
            remote(37, "rtx/90000", "apt=36"),
            remote(38, "H264/90000", "profile-level-id=42C02A;packetization-mode=1"),
            remote(39, "H264/90000", "profile-level-id=640c1f;packetization-mode=1"),
            remote(40, "H264/90000", ""),
            remote(41, "AV1/90000", "profile=1"),
            remote(42, "AV1/90000", "level-idx=19"),
            remote(43, "H264/90000", "profile-level-id=+2e01f"),
            remote(44, "H265/90000", ""),
        ];
        let expected = [
            (36, CodecKind::Vp9, Some(37)),
            (38, CodecKind::H264, None),
            (40, CodecKind::H264, None),
            (42, CodecKind::Av1, None),
        ];
        assert_eq!(accepted(MediaKind::Video, &video), expected);
    }

    #[test]
    fn red_needs_its_opus() {
        let opus = || remote(111, "opus/48000/2", "minptime=10");
        let red = |fmtp| remote(63, "red/48000/2", fmtp);
        assert_eq!(accepted(MediaKind::Audio, &[red("111/111"), opus()]).len(), 2);
        assert_eq!(accepted(MediaKind::Audio, &[red("0/0"), opus()]).len(), 1);
        assert_eq!(accepted(MediaKind::Audio, &[red(""), opus()]).len(), 1);
        assert_eq!(accepted(MediaKind::Audio, &[red("111/111")]).len(), 0);
        assert_eq!(
            accepted(MediaKind::Audio, &[remote(111, "opus/48000", "")]).len(),
            0,
            "Opus has two channels in SDP"
        );
    }

    #[test]
    fn feedback_is_what_both_have() {
        let codecs = accept(
            &SessionConfig::default().codecs,
            MediaKind::Video,
            &[remote(96, "VP8/90000", "max-fs=9")],
        );
        assert_eq!(codecs[0].feedback, Feedback { nack: true, pli: true, ..Feedback::default() });
        assert_eq!(codecs[0].fmtp, "");
    }

    #[test]
    fn the_wished_codec_comes_first_and_the_others_keep_their_order() {
        let offered = [
            remote(96, "VP8/90000", ""),
            remote(98, "VP9/90000", "profile-id=0"),
            remote(45, "AV1/90000", ""),
        ];
        let codecs = &mut accept(&SessionConfig::default().codecs, MediaKind::Video, &offered);
        prefer(codecs, EncoderPreference { codec: Some(CodecKind::Av1), ..EncoderPreference::default() });
        assert_eq!(codecs.iter().map(|codec| codec.payload_type).collect::<Vec<_>>(), [45, 96, 98]);
        prefer(codecs, EncoderPreference { codec: Some(CodecKind::H264), ..EncoderPreference::default() });
        assert_eq!(
            codecs.iter().map(|codec| codec.payload_type).collect::<Vec<_>>(),
            [45, 96, 98],
            "not there"
        );
    }

    #[test]
    fn opus_wishes_are_added_once() {
        let codecs = &mut accept(
            &SessionConfig::default().codecs,
            MediaKind::Audio,
            &[remote(111, "opus/48000/2", "minptime=10;stereo=0")],
        );
        for _ in 0..2 {
            prefer(codecs, EncoderPreference { stereo: true, dtx: true, ..EncoderPreference::default() });
            assert_eq!(codecs[0].fmtp, "minptime=10;stereo=1;usedtx=1");
        }
    }
}
