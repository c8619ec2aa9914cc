// SPDX-License-Identifier: EUPL-1.2
//! Secrets at rest. What must be given back (an API key's secret, which makes HMACs; a trunk's password) is sealed with
//! AES-256-GCM under a key that lies beside the database and not in it; what only has to be found again is hashed.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use crate::StoreError;

/// The key's file in the data directory.
const FILE: &str = "store.key";
const KEY_BYTES: usize = 32;
/// In front of everything sealed: how it was.
const PREFIX: &str = "gcm1:";

/// Seals and opens.
pub(crate) struct Seal {
    key: LessSafeKey,
}

impl Seal {
    /// With the key in the data directory, which is made if there is none.
    pub(crate) fn load(folder: &Path) -> Result<Seal, StoreError> {
        let path = folder.join(FILE);
        let failed = |problem: String| StoreError::File { path: path.clone(), problem };
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let text = hex::encode(random::<KEY_BYTES>().map_err(&failed)?);
                write_new(&path, &text).map_err(|error| failed(error.to_string()))?;
                text
            }
            Err(error) => return Err(failed(error.to_string())),
        };
        let bytes = hex::decode(text.trim()).ok().filter(|bytes| bytes.len() == KEY_BYTES);
        let bytes = bytes.ok_or_else(|| {
            failed("is no key of 64 hexadecimal digits; restore it from where you keep it".to_owned())
        })?;
        Seal::of(&bytes).ok_or_else(|| failed("is no key".to_owned()))
    }

    /// With this key, if it is one.
    pub(crate) fn of(key: &[u8]) -> Option<Seal> {
        Some(Seal { key: LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).ok()?) })
    }

    /// Seals a text so that it opens at its own place only.
    pub(crate) fn seal(&self, place: &str, text: &str) -> Result<String, StoreError> {
        let refused = |problem: &str| StoreError::Refused(format!("sealing: {problem}"));
        let nonce = random::<NONCE_LEN>().map_err(|problem| refused(&problem))?;
        let mut bytes = text.as_bytes().to_vec();
        self.key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(place.as_bytes()),
                &mut bytes,
            )
            .map_err(|_| refused("it is too long"))?;
        Ok(format!("{PREFIX}{}", STANDARD_NO_PAD.encode([nonce.as_slice(), &bytes].concat())))
    }

    /// Opens what was sealed for this place.
    pub(crate) fn open(&self, place: &str, sealed: &str) -> Result<String, StoreError> {
        let corrupt = |problem: &str| StoreError::Corrupt(format!("{place}: {problem}"));
        let bytes = sealed.strip_prefix(PREFIX).and_then(|text| STANDARD_NO_PAD.decode(text).ok());
        let mut bytes =
            bytes.filter(|bytes| bytes.len() > NONCE_LEN).ok_or_else(|| corrupt("it is not sealed"))?;
        let mut text = bytes.split_off(NONCE_LEN);
        let nonce = Nonce::try_assume_unique_for_key(&bytes).map_err(|_| corrupt("its nonce"))?;
        let text = self
            .key
            .open_in_place(nonce, Aad::from(place.as_bytes()), &mut text)
            .map_err(|_| corrupt("it was sealed with another store.key, or changed"))?;
        String::from_utf8(text.to_vec()).map_err(|_| corrupt("it is no text"))
    }
}

/// By what a secret that nobody guesses is found again, in hexadecimal.
pub(crate) fn hash(secret: &str) -> String {
    hex::encode(digest(&SHA256, secret.as_bytes()))
}

/// Makes a file that only its owner reads; fails if there is one.
pub(crate) fn write_new(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

pub(crate) fn random<const N: usize>() -> Result<[u8; N], String> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| "the system gives no randomness".to_owned())?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn seal() -> Seal {
        let key = UnboundKey::new(&AES_256_GCM, &[7; KEY_BYTES]).unwrap();
        Seal { key: LessSafeKey::new(key) }
    }

    #[test]
    fn what_is_sealed_opens_at_its_own_place_only() {
        let seal = seal();
        let sealed = seal.seal("api_keys/default/main", "a secret").unwrap();
        assert!(!sealed.contains("a secret"));
        assert_ne!(sealed, seal.seal("api_keys/default/main", "a secret").unwrap(), "no nonce comes twice");
        assert_eq!(seal.open("api_keys/default/main", &sealed).unwrap(), "a secret");
        assert!(matches!(seal.open("api_keys/default/other", &sealed), Err(StoreError::Corrupt(_))));
        for broken in ["", "gcm1:", "gcm1:AAAA", "a secret", &sealed[..sealed.len() - 2]] {
            assert!(
                matches!(seal.open("api_keys/default/main", broken), Err(StoreError::Corrupt(_))),
                "{broken}"
            );
        }
    }
}
