// SPDX-License-Identifier: EUPL-1.2
//! SRTP and SRTCP (RFC 3711, RFC 7714), in place.
//!
//! One [`SrtpContext`] holds one direction of one DTLS association: a sender's or a receiver's, never both.
//! Two promises: a sender never uses a (key, nonce) pair twice, whatever it is asked to send; and a receiver keeps
//! nothing for a stream of which no packet was authenticated.

mod context;
mod keys;
mod profile;
mod replay;

pub use context::{Limits, SrtpContext, Stats};
pub use keys::{KeyingMaterial, MasterKey};
pub use profile::Profile;

/// Why a packet was not protected or not accepted. The call goes on: the packet is dropped and counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SrtpError {
    /// The packet is no RTP or RTCP.
    #[error("not protected by SRTP: {0}")]
    Malformed(#[from] crate::ParseError),
    /// The tag doesn't hold: damaged, forged, or other keys. The buffer's content is lost.
    #[error("the authentication tag does not hold")]
    BadTag,
    /// This packet was accepted before.
    #[error("packet index {index} was seen before")]
    Replayed {
        /// Its index: rollover counter and sequence number, or the SRTCP index.
        index: u64,
    },
    /// Too old to tell whether it was accepted before.
    #[error("packet with sequence number {sequence} is older than the replay window")]
    TooOld {
        /// Its sequence number, or the lower half of its SRTCP index.
        sequence: u16,
    },
    /// As many streams as the limits allow are known.
    #[error("SSRC {ssrc:#010x} would be one stream above the limit of {limit}")]
    TooManyStreams {
        /// The new one.
        ssrc: u32,
        /// [`Limits::max_streams`].
        limit: usize,
    },
    /// The sender was asked to use an index twice, or one too old to tell: it must not, ever.
    #[error("refused to use packet index {sequence} of SSRC {ssrc:#010x} a second time")]
    IndexReused {
        /// The stream.
        ssrc: u32,
        /// The sequence number, or the lower half of the SRTCP index.
        sequence: u16,
    },
    /// The keys are used up (2^48 RTP packets of a stream, 2^31 RTCP packets): a new handshake is needed.
    #[error("the keys are used up; negotiate new ones")]
    KeysExhausted,
    /// SRTCP without encryption (E bit clear). WebRTC always encrypts it (RFC 8827 section 6.5).
    #[error("SRTCP is not encrypted")]
    Unencrypted,
    /// The buffer has no room for the tag.
    #[error("needs room for {need} bytes, has {have}")]
    NoRoom {
        /// Bytes needed.
        need: usize,
        /// Bytes there.
        have: usize,
    },
    /// Keying material of the wrong length for the profile.
    #[error("{profile:?} takes {need} bytes of keying material, not {have}")]
    KeyLength {
        /// The profile.
        profile: Profile,
        /// Bytes that it takes.
        need: usize,
        /// Bytes given.
        have: usize,
    },
    /// The cryptographic library refused.
    #[error("the cryptographic library refused an operation that can't fail")]
    Crypto,
}
