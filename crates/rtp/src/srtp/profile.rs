// SPDX-License-Identifier: EUPL-1.2
//! The protection profiles that DTLS negotiates (RFC 5764 section 4.1.2, RFC 7714 section 14.2).

/// How packets are protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Profile {
    /// AEAD_AES_128_GCM: the one that we offer first.
    Aead128Gcm,
    /// AEAD_AES_256_GCM.
    Aead256Gcm,
    /// AES_CM_128_HMAC_SHA1_80: four times the cost of GCM, for those who have nothing else.
    CmSha1_80,
}

impl Profile {
    /// Every profile, in the order in which we offer them.
    pub const ALL: [Profile; 3] = [Profile::Aead128Gcm, Profile::Aead256Gcm, Profile::CmSha1_80];

    /// The name in IANA's registry.
    pub fn iana_name(self) -> &'static str {
        match self {
            Profile::Aead128Gcm => "SRTP_AEAD_AES_128_GCM",
            Profile::Aead256Gcm => "SRTP_AEAD_AES_256_GCM",
            Profile::CmSha1_80 => "SRTP_AES128_CM_HMAC_SHA1_80",
        }
    }

    /// The profile of a name: IANA's, or the one that BoringSSL and OpenSSL use.
    pub fn from_name(name: &str) -> Option<Profile> {
        match name {
            "SRTP_AES128_CM_SHA1_80" => Some(Profile::CmSha1_80),
            _ => Profile::ALL.into_iter().find(|profile| profile.iana_name() == name),
        }
    }

    /// The number in IANA's registry, as `use_srtp` carries it.
    pub fn id(self) -> u16 {
        match self {
            Profile::Aead128Gcm => 0x0007,
            Profile::Aead256Gcm => 0x0008,
            Profile::CmSha1_80 => 0x0001,
        }
    }

    /// The profile of a number.
    pub fn from_id(id: u16) -> Option<Profile> {
        Profile::ALL.into_iter().find(|profile| profile.id() == id)
    }

    /// Bytes that DTLS must export: key and salt for both directions (RFC 5764 section 4.2).
    pub fn keying_len(self) -> usize {
        2 * (self.key_len() + self.salt_len())
    }

    /// Master key length in bytes.
    pub fn key_len(self) -> usize {
        match self {
            Profile::Aead128Gcm | Profile::CmSha1_80 => 16,
            Profile::Aead256Gcm => 32,
        }
    }

    /// Master salt length in bytes.
    pub fn salt_len(self) -> usize {
        match self {
            Profile::Aead128Gcm | Profile::Aead256Gcm => 12,
            Profile::CmSha1_80 => 14,
        }
    }

    /// Bytes that a protected RTP packet is longer.
    pub fn rtp_overhead(self) -> usize {
        self.tag_len()
    }

    /// Bytes that a protected RTCP packet is longer: the tag, and E bit with index.
    pub fn rtcp_overhead(self) -> usize {
        self.tag_len() + 4
    }

    pub(super) fn tag_len(self) -> usize {
        match self {
            Profile::Aead128Gcm | Profile::Aead256Gcm => 16,
            Profile::CmSha1_80 => 10,
        }
    }
}
