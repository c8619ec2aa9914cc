// SPDX-License-Identifier: EUPL-1.2
//! What a session may agree to, and what the transport tells it.

use parvis_rtp::Extension;

use super::{CodecKind, Feedback, MediaKind};
use crate::LocalCandidate;

/// What we offer and accept. Shared by all sessions of a process.
#[derive(Debug, Clone)]
pub struct SessionConfig {
    /// The codecs, in the order in which we offer them. As answerer we accept those whose kind and profile match.
    pub codecs: Vec<CodecPolicy>,
    /// The payload type by which we offer repair packets (FlexFEC) for video; `None` neither offers nor accepts them.
    pub fec: Option<u8>,
    /// The header extensions, with the ids by which we offer them.
    pub extensions: Vec<ExtensionPolicy>,
    /// Whether the peer may have data channels.
    pub data_channels: bool,
    /// How much a description may hold.
    pub limits: SdpLimits,
}

/// One codec with one profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodecPolicy {
    /// Which.
    pub kind: CodecKind,
    /// Its payload type in our offers.
    pub payload_type: u8,
    /// The payload type of its retransmissions in our offers.
    pub rtx: Option<u8>,
    /// Its format parameters in our offers; as answerer, only the profile within them counts.
    pub fmtp: String,
    /// The feedback that we offer and accept.
    pub feedback: Feedback,
}

/// One header extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtensionPolicy {
    /// Which.
    pub extension: Extension,
    /// Its id in our offers.
    pub id: u8,
    /// Whether sections of sound have it.
    pub audio: bool,
    /// Whether sections of pictures have it.
    pub video: bool,
    /// Whether we agree to send it.
    pub send: bool,
    /// Whether we agree to receive it.
    pub receive: bool,
}

impl ExtensionPolicy {
    /// Whether it belongs in a section of `kind`.
    pub fn applies_to(&self, kind: MediaKind) -> bool {
        match kind {
            MediaKind::Audio => self.audio,
            MediaKind::Video => self.video,
        }
    }
}

/// How much one description may hold. Beyond the first five it is refused; beyond the others the rest is ignored and counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SdpLimits {
    /// Bytes in all. Chromium's largest section, receive-only video, has 6.6 KB: 128 of them are 845 KB.
    pub bytes: usize,
    /// Lines in all. The same section has 180 lines: 128 of them are 23,040.
    pub lines: usize,
    /// Bytes in a line: a BUNDLE group of 256 names of 32 bytes has 8.4 KB.
    pub line_bytes: usize,
    /// Media sections, dead ones included.
    pub sections: usize,
    /// ICE candidates in one section.
    pub candidates: usize,
    /// Simulcast layers in one section.
    pub rids: usize,
    /// Streams announced by SSRC in one section.
    pub streams: usize,
}

impl Default for SdpLimits {
    fn default() -> Self {
        SdpLimits {
            bytes: 960 * 1024,
            lines: 32_768,
            line_bytes: 16 * 1024,
            sections: 256,
            candidates: 64,
            rids: 4,
            streams: 8,
        }
    }
}

/// What our descriptions say of our end of the transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalTransport {
    /// ICE user fragment. A new one in an offer asks for an ICE restart.
    pub ufrag: String,
    /// ICE password.
    pub password: String,
    /// SHA-256 of our certificate.
    pub fingerprint: [u8; 32],
    /// Where we can be reached, best first.
    pub candidates: Vec<LocalCandidate>,
    /// The port of our SCTP association; 5000 by custom.
    pub sctp_port: u16,
    /// The largest SCTP message that we take, in bytes.
    pub max_message_size: u32,
}

/// How a published track is to be sent: our answers ask the peer's encoder for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EncoderPreference {
    /// Its codec: put first in the answer, which is what senders go by (RFC 8829 section 5.3.1).
    pub codec: Option<CodecKind>,
    /// Opus in two channels (RFC 7587 section 6.1).
    pub stereo: bool,
    /// Opus: send next to nothing in silence.
    pub dtx: bool,
}

impl Default for SessionConfig {
    fn default() -> Self {
        SessionConfig {
            codecs: default_codecs(),
            fec: Some(49),
            extensions: default_extensions(),
            data_channels: true,
            limits: SdpLimits::default(),
        }
    }
}

/// Payload types as Chromium numbers them: fewest surprises, and nothing to rewrite between most peers.
fn default_codecs() -> Vec<CodecPolicy> {
    let audio = Feedback { transport_cc: true, ..Feedback::default() };
    let video = Feedback { nack: true, pli: true, fir: true, transport_cc: true, remb: false };
    let codec = |kind, payload_type, rtx, fmtp: &str, feedback| CodecPolicy {
        kind,
        payload_type,
        rtx,
        fmtp: fmtp.to_owned(),
        feedback,
    };
    let mut codecs = vec![
        codec(CodecKind::Opus, 111, None, "minptime=10;useinbandfec=1", audio),
        codec(CodecKind::Red, 63, None, "111/111", audio),
        codec(CodecKind::Vp8, 96, Some(97), "", video),
        codec(CodecKind::Vp9, 98, Some(99), "profile-id=0", video),
        codec(CodecKind::Av1, 45, Some(46), "level-idx=5;profile=0;tier=0", video),
    ];
    for (payload_type, rtx, mode, profile) in [
        (108, 109, 1, "42e01f"),
        (114, 115, 0, "42e01f"),
        (102, 103, 1, "42001f"),
        (104, 107, 0, "42001f"),
        (116, 117, 1, "4d001f"),
        (39, 40, 0, "4d001f"),
    ] {
        let fmtp = format!("level-asymmetry-allowed=1;packetization-mode={mode};profile-level-id={profile}");
        codecs.push(codec(CodecKind::H264, payload_type, Some(rtx), &fmtp, video));
    }
    codecs
}

fn default_extensions() -> Vec<ExtensionPolicy> {
    let both = |extension, id| ExtensionPolicy {
        extension,
        id,
        audio: true,
        video: true,
        send: true,
        receive: true,
    };
    let audio = |extension, id| ExtensionPolicy { video: false, ..both(extension, id) };
    let video = |extension, id| ExtensionPolicy { audio: false, ..both(extension, id) };
    vec![
        audio(Extension::AudioLevel, 1),
        both(Extension::AbsSendTime, 2),
        both(Extension::TransportSequence, 3),
        both(Extension::Mid, 4),
        ExtensionPolicy { receive: false, ..video(Extension::PlayoutDelay, 5) },
        video(Extension::VideoOrientation, 6),
        both(Extension::AbsCaptureTime, 7),
        video(Extension::DependencyDescriptor, 8),
        // Layers have names only on their way to us: we forward one stream in each section (RFC 8853).
        ExtensionPolicy { send: false, ..video(Extension::Rid, 10) },
        ExtensionPolicy { send: false, ..video(Extension::RepairedRid, 11) },
    ]
}
