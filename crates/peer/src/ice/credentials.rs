// SPDX-License-Identifier: EUPL-1.2
//! User fragment and password (RFC 8445 section 5.3).

use std::fmt;

use aws_lc_rs::hmac;
use rand_chacha::{ChaCha20Rng, rand_core::Rng};

/// 16 characters of 6 bits: 96 bits. A peer is found by it, so two must never meet: at 10^6 live peers the chance is
/// below 10^-17. RFC 8445 asks for 4. With 16, an authentic request (80 bytes at least: header 20, USERNAME
/// 4 + 16 + 1 and padding, MESSAGE-INTEGRITY 24, FINGERPRINT 8) is never smaller than our answer (64 bytes over
/// IPv4, 76 over IPv6).
const UFRAG_CHARS: usize = 16;
/// 32 characters of 6 bits: 192 bits. RFC 8445 asks for 22 characters and 128 bits.
const PASSWORD_CHARS: usize = 32;
/// 12 bits: 4,096 forwarders.
const TAG_CHARS: usize = 2;
/// `ice-char` of RFC 8839 section 5.4: 64 of them, so a byte's low six bits choose evenly.
const ICE_CHARS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// What a peer's check must know.
#[derive(Clone)]
pub(crate) struct Credentials {
    pub(crate) ufrag: String,
    pub(crate) password: String,
    pub(super) key: hmac::Key,
}

/// Says whose a check is before anyone has looked for its peer: the number that [`crate::PeerConfig::ufrag_tag`] had,
/// in the first two characters of the user fragment.
pub fn local_ufrag_tag(ufrag: &str) -> Option<u16> {
    let [high, low] = *ufrag.as_bytes().first_chunk::<TAG_CHARS>()?;
    if ufrag.len() != TAG_CHARS + UFRAG_CHARS {
        return None;
    }
    let value = |byte: u8| ICE_CHARS.iter().position(|character| *character == byte);
    u16::try_from(value(high)? * 64 + value(low)?).ok()
}

impl Credentials {
    /// Fresh ones. `tag` stands before the random characters, so that whoever holds a connection for several forwarders
    /// finds the one that it is for; of it 12 bits count.
    pub(crate) fn generate(random: &mut ChaCha20Rng, tag: Option<u16>) -> Credentials {
        let mut bytes = [0; UFRAG_CHARS + PASSWORD_CHARS];
        random.fill_bytes(&mut bytes);
        let text: String = bytes.iter().map(|byte| char::from(ICE_CHARS[usize::from(byte % 64)])).collect();
        let (ufrag, password) = text.split_at(UFRAG_CHARS);
        let tag = tag.map(|tag| [tag >> 6, tag].map(|six| char::from(ICE_CHARS[usize::from(six % 64)])));
        Credentials {
            ufrag: tag.into_iter().flatten().chain(ufrag.chars()).collect(),
            password: password.to_owned(),
            key: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes()),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("ufrag", &self.ufrag).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::rand_core::SeedableRng;
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_tag_is_read_from_the_user_fragment_and_takes_nothing_from_its_chance() {
        let mut random = ChaCha20Rng::from_seed([7; 32]);
        for tag in [0, 1, 63, 64, 1_023, 4_095] {
            let credentials = Credentials::generate(&mut random, Some(tag));
            assert_eq!(local_ufrag_tag(&credentials.ufrag), Some(tag));
            assert_eq!(credentials.ufrag.len(), TAG_CHARS + UFRAG_CHARS);
        }
        let untagged = Credentials::generate(&mut random, None);
        assert_eq!(local_ufrag_tag(&untagged.ufrag), None);
        assert_eq!(local_ufrag_tag("\u{e4}A0123456789abcdef"), None);
    }

    #[test]
    fn row_10_ufrag_and_password_hold_128_bits_and_never_repeat() {
        let mut random = ChaCha20Rng::from_seed([7; 32]);
        let (mut ufrags, mut passwords, mut counts) = (BTreeSet::new(), BTreeSet::new(), [0_u32; 128]);
        let rounds = 2000;
        for _ in 0..rounds {
            let credentials = Credentials::generate(&mut random, None);
            assert!(credentials.ufrag.len() >= 8 && credentials.password.len() >= 24);
            for byte in credentials.ufrag.bytes().chain(credentials.password.bytes()) {
                assert!(byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/');
                counts[usize::from(byte)] += 1;
            }
            ufrags.insert(credentials.ufrag);
            passwords.insert(credentials.password);
        }
        assert_eq!((ufrags.len(), passwords.len()), (rounds, rounds));
        // 96,000 characters over 64 values: 1,500 each, standard deviation 38. Six of those to each side.
        let used: Vec<u32> = counts.into_iter().filter(|count| *count > 0).collect();
        assert_eq!(used.len(), 64);
        assert!(used.iter().all(|count| (1270..1730).contains(count)), "{used:?}");
    }
}
