// SPDX-License-Identifier: EUPL-1.2
//! What opens doors: seats, host keys and passwords. None of them is kept as it is. What nobody can guess is hashed; a password can be
//! guessed, so that its hash takes long (PBKDF2, RFC 8018).

use std::num::NonZeroU32;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::pbkdf2::{self, PBKDF2_HMAC_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::Meetings;

/// OWASP's figure for PBKDF2 with HMAC-SHA-256, of 2023: a quarter of a second of one core.
const ROUNDS: NonZeroU32 = NonZeroU32::new(600_000).unwrap();
const HASH_BYTES: usize = 32;
/// Characters of a secret of 128 bits.
const SECRET_CHARS: usize = 22;

/// 128 bits that nobody can guess, of letters, digits, `-` and `_`.
pub(crate) fn new_secret() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<u128>().to_be_bytes())
}

/// Whether a text has the form of one of our secrets.
pub(super) fn is_secret(text: &str) -> bool {
    let allowed = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_');
    text.len() == SECRET_CHARS && text.chars().all(allowed)
}

/// The key of whoever made a meeting.
#[derive(Debug)]
pub(crate) struct HostKey;

impl HostKey {
    /// As it is kept.
    pub(crate) fn hash(key: &str) -> String {
        hex(digest(&SHA256, key.as_bytes()).as_ref())
    }

    /// Whether it is the one that was kept so.
    pub(crate) fn fits(hash: &str, key: &str) -> bool {
        verify_slices_are_equal(hash.as_bytes(), HostKey::hash(key).as_bytes()).is_ok()
    }
}

/// A password as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PasswordHash {
    salt: String,
    rounds: u32,
    hash: String,
}

impl PasswordHash {
    /// It takes as long as it is meant to: not for a thread that others wait on.
    fn of(password: &str) -> PasswordHash {
        let salt = rand::random::<[u8; 16]>();
        let mut hash = [0; HASH_BYTES];
        pbkdf2::derive(PBKDF2_HMAC_SHA256, ROUNDS, &salt, password.as_bytes(), &mut hash);
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        PasswordHash { salt: encode(&salt), rounds: ROUNDS.get(), hash: encode(&hash) }
    }

    /// As [`PasswordHash::of`] says. What can't be read fits no password.
    fn fits(&self, password: &str) -> bool {
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
        let (Some(salt), Some(hash), Some(rounds)) =
            (decode(&self.salt), decode(&self.hash), NonZeroU32::new(self.rounds))
        else {
            return false;
        };
        pbkdf2::verify(PBKDF2_HMAC_SHA256, rounds, &salt, password.as_bytes(), &hash).is_ok()
    }
}

impl Meetings {
    /// Hashes a password, away from threads that others wait on. `None`: the server is about to stop.
    pub(crate) async fn hash(&self, password: String) -> Option<PasswordHash> {
        self.hash_if(password, || true).await
    }

    /// The same, if it still is to be done when its turn has come.
    pub(super) async fn hash_if(
        &self,
        password: String,
        is_wanted: impl Fn() -> bool,
    ) -> Option<PasswordHash> {
        let _turn = self.hashing.acquire().await.ok()?;
        if !is_wanted() {
            return None;
        }
        tokio::task::spawn_blocking(move || PasswordHash::of(&password)).await.ok()
    }

    /// Whether that is the password. `None`: the server is about to stop.
    pub(super) async fn compare(&self, hash: PasswordHash, password: String) -> Option<bool> {
        let _turn = self.hashing.acquire().await.ok()?;
        tokio::task::spawn_blocking(move || hash.fits(&password)).await.ok()
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_told_from_others_and_is_not_in_its_hash() {
        let hash = PasswordHash::of("Grünkohl");
        assert!(hash.fits("Grünkohl") && !hash.fits("grünkohl") && !hash.fits(""));
        assert_ne!(hash, PasswordHash::of("Grünkohl"), "two meetings with one password don't show it");
        assert!(!format!("{hash:?}").contains("Gr"));
        for broken in [
            PasswordHash { rounds: 0, ..hash.clone() },
            PasswordHash { hash: String::new(), ..hash.clone() },
            PasswordHash { salt: "?".to_owned(), ..hash },
        ] {
            assert!(!broken.fits("Grünkohl") && !broken.fits(""), "{broken:?}");
        }
    }

    #[test]
    fn a_host_key_fits_itself_alone() {
        let (key, other) = (new_secret(), new_secret());
        let hash = HostKey::hash(&key);
        assert!(is_secret(&key) && key != other && !hash.contains(&key));
        assert!(HostKey::fits(&hash, &key));
        for wrong in [other.as_str(), "", &key[1..], &hash] {
            assert!(!HostKey::fits(&hash, wrong), "{wrong}");
        }
        assert!(!HostKey::fits("", &key));
    }
}
