// SPDX-License-Identifier: EUPL-1.2
//! Small types that messages are made of.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroize;

/// A moment: microseconds since 1970 by the server's clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixMicros(pub u64);

impl UnixMicros {
    /// Microseconds from `earlier` to this; negative when this is before it.
    pub fn since(self, earlier: UnixMicros) -> i64 {
        (i128::from(self.0) - i128::from(earlier.0)).clamp(i64::MIN.into(), i64::MAX.into()) as i64
    }

    /// From an NTP timestamp (RFC 3550 section 4): 32.32 fixed point seconds since 1900. `None` before 1970.
    pub fn from_ntp(ntp: u64) -> Option<UnixMicros> {
        let seconds = (ntp >> 32).checked_sub(NTP_TO_UNIX_SECONDS)?;
        Some(UnixMicros(seconds * 1_000_000 + (((ntp & 0xffff_ffff) * 1_000_000) >> 32)))
    }

    /// As an NTP timestamp. Wraps in 2036, as NTP's era does.
    pub fn to_ntp(self) -> u64 {
        let seconds = self.0 / 1_000_000 + NTP_TO_UNIX_SECONDS;
        // Rounded up, so that `from_ntp` finds the same microsecond again.
        let fraction = ((self.0 % 1_000_000) << 32).div_ceil(1_000_000);
        (seconds << 32).wrapping_add(fraction)
    }
}

/// Seconds from 1900 to 1970 (RFC 868).
const NTP_TO_UNIX_SECONDS: u64 = 2_208_988_800;

/// What a track is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Sound.
    Audio,
    /// Pictures.
    Video,
}

/// Where a track comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Not said.
    Unknown,
    /// A camera.
    Camera,
    /// A microphone.
    Microphone,
    /// A shared screen.
    ScreenShare,
    /// The sound of a shared screen.
    ScreenShareAudio,
}

/// A codec that can be captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Codec {
    /// Opus (RFC 7587).
    Opus,
    /// VP8 (RFC 7741).
    Vp8,
    /// VP9 (RFC 9628).
    Vp9,
    /// AV1 (RTP Payload Format for AV1).
    Av1,
    /// H.264 (RFC 6184), packetization modes 0 and 1.
    H264,
}

impl Codec {
    /// Every codec.
    pub const ALL: [Codec; 5] = [Codec::Opus, Codec::Vp8, Codec::Vp9, Codec::Av1, Codec::H264];

    /// The MIME type, as a description of a session has it.
    pub fn mime(self) -> &'static str {
        match self {
            Codec::Opus => "audio/opus",
            Codec::Vp8 => "video/VP8",
            Codec::Vp9 => "video/VP9",
            Codec::Av1 => "video/AV1",
            Codec::H264 => "video/H264",
        }
    }

    /// The codec of a MIME type, in whatever case.
    pub fn from_mime(mime: &str) -> Option<Codec> {
        Codec::ALL.into_iter().find(|codec| codec.mime().eq_ignore_ascii_case(mime))
    }

    /// Sound or pictures.
    pub fn kind(self) -> Kind {
        if self == Codec::Opus { Kind::Audio } else { Kind::Video }
    }

    /// The RTP clock, in Hz: each of these codecs has but one.
    pub fn clock_rate(self) -> u32 {
        if self == Codec::Opus { 48_000 } else { 90_000 }
    }
}

/// How the trunk's packets are protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Profile {
    /// AEAD_AES_128_GCM (RFC 7714): 16 bytes of key, 12 of salt.
    #[serde(rename = "SRTP_AEAD_AES_128_GCM")]
    Aead128Gcm,
    /// AEAD_AES_256_GCM (RFC 7714): 32 bytes of key, 12 of salt.
    #[serde(rename = "SRTP_AEAD_AES_256_GCM")]
    Aead256Gcm,
}

impl Profile {
    /// Bytes of master key.
    pub fn key_len(self) -> usize {
        match self {
            Profile::Aead128Gcm => 16,
            Profile::Aead256Gcm => 32,
        }
    }

    /// Bytes of master salt.
    pub fn salt_len(self) -> usize {
        12
    }
}

/// Master key, then master salt, of one source's packets. Never printed; wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct SrtpKey(Vec<u8>);

impl SrtpKey {
    /// Takes key and salt in one piece.
    pub fn new(key_and_salt: Vec<u8>) -> SrtpKey {
        SrtpKey(key_and_salt)
    }

    /// Key and salt, if they have the lengths that `profile` says.
    pub fn split(&self, profile: Profile) -> Option<(&[u8], &[u8])> {
        (self.0.len() == profile.key_len() + profile.salt_len()).then(|| self.0.split_at(profile.key_len()))
    }
}

impl Drop for SrtpKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for SrtpKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SrtpKey({} bytes)", self.0.len())
    }
}

impl Serialize for SrtpKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for SrtpKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<SrtpKey, D::Error> {
        let text = String::deserialize(deserializer)?;
        // What went wrong is said without the key.
        let bytes = STANDARD
            .decode(text.as_bytes())
            .map_err(|_| serde::de::Error::custom("an SRTP key is base64"))?;
        Ok(SrtpKey(bytes))
    }
}
