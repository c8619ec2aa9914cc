// SPDX-License-Identifier: EUPL-1.2
//! One direction of an SRTP session.

use std::collections::hash_map::Entry;
use std::fmt;

use aws_lc_rs::aead::{Aad, Nonce};
use aws_lc_rs::{constant_time, hmac};
use rustc_hash::FxHashMap;

use super::keys::{CmSha1Keys, LABEL_RTCP, LABEL_RTP, MasterKey, SessionKeys, encrypt_ctr};
use super::replay::{ReplayWindow, Verdict};
use super::{Profile, SrtpError};
use crate::error::take;
use crate::packet::header_len;

/// The last RTP index: 32 bits of rollover counter, 16 of sequence number (RFC 3711 section 3.3.1).
const LAST_RTP_INDEX: u64 = (1 << 48) - 1;
/// The last SRTCP index: 31 bits (RFC 3711 section 3.4).
const LAST_RTCP_INDEX: u32 = (1 << 31) - 1;
/// The E bit, before the SRTCP index.
const ENCRYPTED: u32 = 1 << 31;
/// What of an RTCP packet stays in the clear: its first header with the sender's SSRC.
const RTCP_CLEAR_BYTES: usize = 8;
/// E bit and SRTCP index.
const RTCP_TRAILER_BYTES: usize = 4;

/// What a context may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Streams (SSRCs) of RTP, and likewise of RTCP. About 200 bytes each.
    pub max_streams: usize,
}

impl Limits {
    /// For what a client sends us: 100 media sections of 3 simulcast layers, each with RTX, and as much again for
    /// those that come and go in a long session; 205 KB at worst.
    pub const RECEIVE: Limits = Limits { max_streams: 1024 };
    /// For what we send: the SSRCs are ours, two a subscription, and none may be forgotten while the keys live.
    /// 8,192 subscriptions in one session; 3.3 MB at worst.
    pub const SEND: Limits = Limits { max_streams: 16_384 };
}

/// What a context refused so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Packets protected or accepted.
    pub packets: u64,
    /// Tags that did not hold.
    pub bad_tag: u64,
    /// Packets seen before or too old.
    pub replayed: u64,
    /// Packets of streams above the limit.
    pub too_many_streams: u64,
    /// Times that a sender was asked to use an index twice.
    pub index_reused: u64,
    /// All others.
    pub malformed: u64,
}

/// Keys and stream states of one direction.
pub struct SrtpContext {
    profile: Profile,
    rtp: SessionKeys,
    rtcp: SessionKeys,
    limits: Limits,
    /// By SSRC. Whoever sends may choose them so that they collide, and pays for it alone: there are few, and they are its own.
    rtp_streams: FxHashMap<u32, ReplayWindow>,
    rtcp_streams: FxHashMap<u32, ReplayWindow>,
    /// The next SRTCP index to send. One counter for all of our SSRCs: stricter than RFC 3711 asks for, and no map.
    next_rtcp_index: u32,
    stats: Stats,
}

impl SrtpContext {
    /// Derives the session keys. `key` is the sender's write key in both ends' contexts.
    pub fn new(profile: Profile, key: &MasterKey, limits: Limits) -> Result<SrtpContext, SrtpError> {
        if key.profile() != profile {
            let (need, have) = (profile.keying_len() / 2, key.profile().keying_len() / 2);
            return Err(SrtpError::KeyLength { profile, need, have });
        }
        Ok(SrtpContext {
            profile,
            rtp: SessionKeys::derive(key, LABEL_RTP)?,
            rtcp: SessionKeys::derive(key, LABEL_RTCP)?,
            limits,
            rtp_streams: FxHashMap::default(),
            rtcp_streams: FxHashMap::default(),
            next_rtcp_index: 0,
            stats: Stats::default(),
        })
    }

    /// The profile.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// What was refused so far.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// How many streams have state.
    pub fn streams(&self) -> usize {
        self.rtp_streams.len() + self.rtcp_streams.len()
    }

    /// Protects the RTP packet in the first `len` bytes of `buf`, which has room for [`Profile::rtp_overhead`] more.
    /// Returns the new length. Packets may come out of order, but never twice: a repeated index is refused.
    pub fn protect_rtp(&mut self, buf: &mut [u8], len: usize) -> Result<usize, SrtpError> {
        let result = self.protect_rtp_uncounted(buf, len);
        self.count(result)
    }

    /// Authenticates and decrypts an RTP packet in place. Returns its length without the tag. After an error the
    /// buffer's content is lost.
    pub fn unprotect_rtp(&mut self, buf: &mut [u8]) -> Result<usize, SrtpError> {
        let result = self.unprotect_rtp_uncounted(buf);
        self.count(result)
    }

    /// Protects the compound RTCP packet in the first `len` bytes of `buf`, which has room for
    /// [`Profile::rtcp_overhead`] more. Returns the new length.
    pub fn protect_rtcp(&mut self, buf: &mut [u8], len: usize) -> Result<usize, SrtpError> {
        let result = self.protect_rtcp_uncounted(buf, len);
        self.count(result)
    }

    /// Authenticates and decrypts a compound RTCP packet in place. Returns its length without index and tag. After
    /// an error the buffer's content is lost.
    pub fn unprotect_rtcp(&mut self, buf: &mut [u8]) -> Result<usize, SrtpError> {
        let result = self.unprotect_rtcp_uncounted(buf);
        self.count(result)
    }

    fn protect_rtp_uncounted(&mut self, buf: &mut [u8], len: usize) -> Result<usize, SrtpError> {
        let total = self.room(buf, len, self.profile.rtp_overhead())?;
        let clear_len = header_len(&buf[..len])?;
        let (sequence, ssrc) = sequence_and_ssrc(buf);
        let full = self.rtp_streams.len() >= self.limits.max_streams;
        let window = match self.rtp_streams.entry(ssrc) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(_) if full => {
                return Err(SrtpError::TooManyStreams { ssrc, limit: self.limits.max_streams });
            }
            Entry::Vacant(entry) => entry.insert(ReplayWindow::default()),
        };
        let index = window.index_of(sequence).ok_or(SrtpError::IndexReused { ssrc, sequence })?;
        if index > LAST_RTP_INDEX {
            return Err(SrtpError::KeysExhausted);
        }
        if window.check(index) != Verdict::Fresh {
            return Err(SrtpError::IndexReused { ssrc, sequence });
        }
        // Marked before the key is used, so that not even a failure below can lead to a second use.
        window.mark(index);
        match &self.rtp {
            SessionKeys::Gcm { key, salt } => {
                let nonce = gcm_nonce(salt, ssrc, index);
                let (header, body) = buf[..total].split_at_mut(clear_len);
                let (plain, tag_out) = body.split_at_mut(len - clear_len);
                let tag = key
                    .seal_in_place_separate_tag(nonce, Aad::from(&*header), plain)
                    .map_err(|_| SrtpError::Crypto)?;
                tag_out.copy_from_slice(tag.as_ref());
            }
            SessionKeys::CmSha1(keys) => {
                let CmSha1Keys { cipher, auth, salt } = &**keys;
                encrypt_ctr(cipher, cm_iv(salt, ssrc, index), &mut buf[clear_len..len])?;
                let tag = rtp_tag(auth, &buf[..len], index);
                buf[len..total].copy_from_slice(&tag.as_ref()[..total - len]);
            }
        }
        Ok(total)
    }

    fn unprotect_rtp_uncounted(&mut self, buf: &mut [u8]) -> Result<usize, SrtpError> {
        let clear_len = header_len(buf)?;
        let len = self.without_overhead(buf, clear_len, self.profile.rtp_overhead())?;
        let (sequence, ssrc) = sequence_and_ssrc(buf);
        let full = self.rtp_streams.len() >= self.limits.max_streams;
        let known = self.rtp_streams.get_mut(&ssrc);
        let index = match &known {
            None if full => {
                return Err(SrtpError::TooManyStreams { ssrc, limit: self.limits.max_streams });
            }
            None => sequence.into(),
            Some(window) => window.index_of(sequence).ok_or(SrtpError::TooOld { sequence })?,
        };
        if let Some(window) = &known {
            accept(window, index)?;
        }
        if index > LAST_RTP_INDEX {
            return Err(SrtpError::KeysExhausted);
        }
        match &self.rtp {
            SessionKeys::Gcm { key, salt } => {
                let (header, body) = buf.split_at_mut(clear_len);
                key.open_in_place(gcm_nonce(salt, ssrc, index), Aad::from(&*header), body)
                    .map_err(|_| SrtpError::BadTag)?;
            }
            SessionKeys::CmSha1(keys) => {
                let CmSha1Keys { cipher, auth, salt } = &**keys;
                verify(&rtp_tag(auth, &buf[..len], index), &buf[len..])?;
                encrypt_ctr(cipher, cm_iv(salt, ssrc, index), &mut buf[clear_len..len])?;
            }
        }
        match known {
            Some(window) => window.mark(index),
            None => self.rtp_streams.entry(ssrc).or_default().mark(index),
        }
        Ok(len)
    }

    fn protect_rtcp_uncounted(&mut self, buf: &mut [u8], len: usize) -> Result<usize, SrtpError> {
        let total = self.room(buf, len, self.profile.rtcp_overhead())?;
        let ssrc = u32::from_be_bytes(take(&buf[..len], 4, "RTCP header")?);
        let index = self.next_rtcp_index;
        if index > LAST_RTCP_INDEX {
            return Err(SrtpError::KeysExhausted);
        }
        self.next_rtcp_index += 1;
        let trailer = (ENCRYPTED | index).to_be_bytes();
        match &self.rtcp {
            SessionKeys::Gcm { key, salt } => {
                let nonce = gcm_nonce(salt, ssrc, index.into());
                let aad = gcm_rtcp_aad(buf, trailer);
                let tag = key
                    .seal_in_place_separate_tag(nonce, Aad::from(aad), &mut buf[RTCP_CLEAR_BYTES..len])
                    .map_err(|_| SrtpError::Crypto)?;
                buf[len..total - RTCP_TRAILER_BYTES].copy_from_slice(tag.as_ref());
                buf[total - RTCP_TRAILER_BYTES..total].copy_from_slice(&trailer);
            }
            SessionKeys::CmSha1(keys) => {
                let CmSha1Keys { cipher, auth, salt } = &**keys;
                encrypt_ctr(cipher, cm_iv(salt, ssrc, index.into()), &mut buf[RTCP_CLEAR_BYTES..len])?;
                let signed = len + RTCP_TRAILER_BYTES;
                buf[len..signed].copy_from_slice(&trailer);
                let tag = hmac::sign(auth, &buf[..signed]);
                buf[signed..total].copy_from_slice(&tag.as_ref()[..total - signed]);
            }
        }
        Ok(total)
    }

    fn unprotect_rtcp_uncounted(&mut self, buf: &mut [u8]) -> Result<usize, SrtpError> {
        let len = self.without_overhead(buf, RTCP_CLEAR_BYTES, self.profile.rtcp_overhead())?;
        let ssrc = u32::from_be_bytes(take(buf, 4, "RTCP header")?);
        // The trailer stands before the tag with HMAC, after it with GCM (RFC 7714 section 9.1).
        let trailer_at = match &self.rtcp {
            SessionKeys::Gcm { .. } => buf.len() - RTCP_TRAILER_BYTES,
            SessionKeys::CmSha1(_) => len,
        };
        let trailer: [u8; RTCP_TRAILER_BYTES] = take(buf, trailer_at, "SRTCP index")?;
        let word = u32::from_be_bytes(trailer);
        if word & ENCRYPTED == 0 {
            return Err(SrtpError::Unencrypted);
        }
        let index = u64::from(word & !ENCRYPTED);
        let full = self.rtcp_streams.len() >= self.limits.max_streams;
        let known = self.rtcp_streams.get_mut(&ssrc);
        match &known {
            None if full => {
                return Err(SrtpError::TooManyStreams { ssrc, limit: self.limits.max_streams });
            }
            None => {}
            Some(window) => accept(window, index)?,
        }
        match &self.rtcp {
            SessionKeys::Gcm { key, salt } => {
                let aad = gcm_rtcp_aad(buf, trailer);
                let body = &mut buf[RTCP_CLEAR_BYTES..trailer_at];
                key.open_in_place(gcm_nonce(salt, ssrc, index), Aad::from(aad), body)
                    .map_err(|_| SrtpError::BadTag)?;
            }
            SessionKeys::CmSha1(keys) => {
                let CmSha1Keys { cipher, auth, salt } = &**keys;
                let signed = len + RTCP_TRAILER_BYTES;
                verify(&hmac::sign(auth, &buf[..signed]), &buf[signed..])?;
                encrypt_ctr(cipher, cm_iv(salt, ssrc, index), &mut buf[RTCP_CLEAR_BYTES..len])?;
            }
        }
        match known {
            Some(window) => window.mark(index),
            None => self.rtcp_streams.entry(ssrc).or_default().mark(index),
        }
        Ok(len)
    }

    /// The length after protection, when `buf` has room for it.
    fn room(&self, buf: &[u8], len: usize, overhead: usize) -> Result<usize, SrtpError> {
        let need = len.saturating_add(overhead);
        if buf.len() < need { Err(SrtpError::NoRoom { need, have: buf.len() }) } else { Ok(need) }
    }

    /// The length without protection, when `buf` holds as much as it needs.
    fn without_overhead(&self, buf: &[u8], clear_len: usize, overhead: usize) -> Result<usize, SrtpError> {
        let need = clear_len + overhead;
        if buf.len() < need {
            return Err(crate::ParseError::TooShort { what: "SRTP tag", need, have: buf.len() }.into());
        }
        Ok(buf.len() - overhead)
    }

    fn count(&mut self, result: Result<usize, SrtpError>) -> Result<usize, SrtpError> {
        let counter = match &result {
            Ok(_) => &mut self.stats.packets,
            Err(SrtpError::BadTag) => &mut self.stats.bad_tag,
            Err(SrtpError::Replayed { .. } | SrtpError::TooOld { .. }) => &mut self.stats.replayed,
            Err(SrtpError::TooManyStreams { .. }) => &mut self.stats.too_many_streams,
            Err(SrtpError::IndexReused { .. }) => &mut self.stats.index_reused,
            Err(_) => &mut self.stats.malformed,
        };
        *counter += 1;
        result
    }
}

impl fmt::Debug for SrtpContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SrtpContext")
            .field("profile", &self.profile)
            .field("streams", &self.streams())
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}

fn accept(window: &ReplayWindow, index: u64) -> Result<(), SrtpError> {
    match window.check(index) {
        Verdict::Fresh => Ok(()),
        Verdict::Used => Err(SrtpError::Replayed { index }),
        Verdict::TooOld => Err(SrtpError::TooOld { sequence: index as u16 }),
    }
}

/// Of a buffer that [`header_len`] has found long enough.
fn sequence_and_ssrc(buf: &[u8]) -> (u16, u32) {
    (u16::from_be_bytes([buf[2], buf[3]]), u32::from_be_bytes([buf[8], buf[9], buf[10], buf[11]]))
}

/// 00 00 || SSRC || index in 48 bits, XOR salt: (RFC 7714 section 8.1), where the index is rollover counter and
/// sequence number; and (section 9.1), where it is 00 00 and the SRTCP index.
fn gcm_nonce(salt: &[u8; 12], ssrc: u32, index: u64) -> Nonce {
    let mut nonce = [0; 12];
    nonce[2..6].copy_from_slice(&ssrc.to_be_bytes());
    nonce[6..].copy_from_slice(&index.to_be_bytes()[2..]);
    for (byte, salt) in nonce.iter_mut().zip(salt) {
        *byte ^= salt;
    }
    Nonce::assume_unique_for_key(nonce)
}

/// The RTCP header in the clear, then E bit and index (RFC 7714 section 9.2).
fn gcm_rtcp_aad(
    buf: &[u8],
    trailer: [u8; RTCP_TRAILER_BYTES],
) -> [u8; RTCP_CLEAR_BYTES + RTCP_TRAILER_BYTES] {
    let mut aad = [0; RTCP_CLEAR_BYTES + RTCP_TRAILER_BYTES];
    aad[..RTCP_CLEAR_BYTES].copy_from_slice(&buf[..RTCP_CLEAR_BYTES]);
    aad[RTCP_CLEAR_BYTES..].copy_from_slice(&trailer);
    aad
}

/// (salt << 16) XOR (SSRC << 64) XOR (index << 16) (RFC 3711 section 4.1.1).
fn cm_iv(salt: &[u8; 14], ssrc: u32, index: u64) -> [u8; 16] {
    let mut iv = [0; 16];
    iv[4..8].copy_from_slice(&ssrc.to_be_bytes());
    iv[8..14].copy_from_slice(&index.to_be_bytes()[2..]);
    for (byte, salt) in iv.iter_mut().zip(salt) {
        *byte ^= salt;
    }
    iv
}

/// Over the packet and the rollover counter (RFC 3711 section 4.2).
fn rtp_tag(auth: &hmac::Key, packet: &[u8], index: u64) -> hmac::Tag {
    let mut context = hmac::Context::with_key(auth);
    context.update(packet);
    context.update(&((index >> 16) as u32).to_be_bytes());
    context.sign()
}

/// Compares the leftmost bits of `tag` with what the packet brought, in constant time.
fn verify(tag: &hmac::Tag, brought: &[u8]) -> Result<(), SrtpError> {
    let expected = tag.as_ref().get(..brought.len()).ok_or(SrtpError::BadTag)?;
    constant_time::verify_slices_are_equal(expected, brought).map_err(|_| SrtpError::BadTag)
}

#[cfg(test)]
#[path = "vectors.rs"]
mod vectors;
