// SPDX-License-Identifier: EUPL-1.2
//! The header extensions that we know (RFC 8285): their negotiated ids, and their values read and written.

mod values;

pub(crate) use values::write;
pub use values::{AbsCaptureTime, AudioLevel, Extensions, PlayoutDelay};

/// A header extension, known by its URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Extension {
    /// Client-to-mixer audio level (RFC 6464).
    AudioLevel,
    /// Media identification (RFC 8843).
    Mid,
    /// RTP stream id (RFC 8852).
    Rid,
    /// Repaired RTP stream id (RFC 8852).
    RepairedRid,
    /// Transport-wide sequence number (draft-holmer-rmcat-transport-wide-cc-extensions-01).
    TransportSequence,
    /// Absolute send time.
    AbsSendTime,
    /// Absolute capture time.
    AbsCaptureTime,
    /// Playout delay.
    PlayoutDelay,
    /// Coordination of video orientation (3GPP TS 26.114).
    VideoOrientation,
    /// AV1 dependency descriptor.
    DependencyDescriptor,
}

impl Extension {
    /// Every extension, in the order of their discriminants.
    pub const ALL: [Extension; 10] = [
        Extension::AudioLevel,
        Extension::Mid,
        Extension::Rid,
        Extension::RepairedRid,
        Extension::TransportSequence,
        Extension::AbsSendTime,
        Extension::AbsCaptureTime,
        Extension::PlayoutDelay,
        Extension::VideoOrientation,
        Extension::DependencyDescriptor,
    ];

    /// The URI by which `a=extmap` names it.
    pub fn uri(self) -> &'static str {
        match self {
            Extension::AudioLevel => "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
            Extension::Mid => "urn:ietf:params:rtp-hdrext:sdes:mid",
            Extension::Rid => "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
            Extension::RepairedRid => "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
            Extension::TransportSequence => {
                "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
            }
            Extension::AbsSendTime => "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
            Extension::AbsCaptureTime => "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time",
            Extension::PlayoutDelay => "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
            Extension::VideoOrientation => "urn:3gpp:video-orientation",
            Extension::DependencyDescriptor => {
                "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
            }
        }
    }

    /// The extension that `uri` names.
    pub fn from_uri(uri: &str) -> Option<Extension> {
        Extension::ALL.into_iter().find(|extension| extension.uri() == uri)
    }
}

/// Which id carries which extension within one BUNDLE group (RFC 8285 section 6: ids 1 to 14 in the one-byte
/// form, 1 to 255 in the two-byte form; 15 is never used).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExtensionMap {
    ids: [u8; Extension::ALL.len()],
}

impl ExtensionMap {
    /// Says that `id` carries `extension`. An id of 0 or 15, or one that is taken, is refused.
    pub fn insert(&mut self, id: u8, extension: Extension) -> bool {
        if id == 0 || id == 15 || self.extension(id).is_some_and(|taken| taken != extension) {
            return false;
        }
        self.ids[extension as usize] = id;
        true
    }

    /// The id that carries `extension`.
    pub fn id(&self, extension: Extension) -> Option<u8> {
        Some(self.ids[extension as usize]).filter(|id| *id != 0)
    }

    /// The extension that `id` carries.
    pub fn extension(&self, id: u8) -> Option<Extension> {
        if id == 0 {
            return None;
        }
        Extension::ALL.into_iter().find(|extension| self.ids[*extension as usize] == id)
    }

    /// All pairs, by extension.
    pub fn iter(&self) -> impl Iterator<Item = (u8, Extension)> + '_ {
        Extension::ALL.into_iter().filter_map(|extension| Some((self.id(extension)?, extension)))
    }
}
