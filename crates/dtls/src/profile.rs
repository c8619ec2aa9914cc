// SPDX-License-Identifier: EUPL-1.2
//! SRTP protection profiles (RFC 5764 section 4.1.2, RFC 7714 section 14.2).

/// An SRTP protection profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SrtpProfile {
    /// AES-128 in Galois/counter mode.
    AeadAes128Gcm,
    /// AES-256 in Galois/counter mode.
    AeadAes256Gcm,
    /// AES-128 in counter mode with HMAC-SHA1, 80-bit tag.
    Aes128CmSha1_80,
}

impl SrtpProfile {
    /// Best first: GCM costs a quarter of counter mode with SHA-1 here.
    pub const PREFERENCE: [SrtpProfile; 3] =
        [SrtpProfile::AeadAes128Gcm, SrtpProfile::AeadAes256Gcm, SrtpProfile::Aes128CmSha1_80];

    /// Its IANA number.
    pub fn id(self) -> u16 {
        match self {
            SrtpProfile::AeadAes128Gcm => 0x0007,
            SrtpProfile::AeadAes256Gcm => 0x0008,
            SrtpProfile::Aes128CmSha1_80 => 0x0001,
        }
    }

    /// The profile with this IANA number.
    pub fn from_id(id: u16) -> Option<SrtpProfile> {
        SrtpProfile::PREFERENCE.into_iter().find(|profile| profile.id() == id)
    }

    /// Its IANA name.
    pub fn iana_name(self) -> &'static str {
        match self {
            SrtpProfile::AeadAes128Gcm => "SRTP_AEAD_AES_128_GCM",
            SrtpProfile::AeadAes256Gcm => "SRTP_AEAD_AES_256_GCM",
            SrtpProfile::Aes128CmSha1_80 => "SRTP_AES128_CM_HMAC_SHA1_80",
        }
    }

    /// BoringSSL's name for it.
    pub(crate) fn boring_name(self) -> &'static str {
        match self {
            SrtpProfile::Aes128CmSha1_80 => "SRTP_AES128_CM_SHA1_80",
            gcm => gcm.iana_name(),
        }
    }

    /// How many bytes of keying material both directions need: two keys and two salts.
    pub fn keying_len(self) -> usize {
        match self {
            SrtpProfile::AeadAes128Gcm => 2 * (16 + 12),
            SrtpProfile::AeadAes256Gcm => 2 * (32 + 12),
            SrtpProfile::Aes128CmSha1_80 => 2 * (16 + 14),
        }
    }
}
