// SPDX-License-Identifier: EUPL-1.2
//! From DTLS's keying material to session keys (RFC 5764 section 4.2, RFC 3711 section 4.3, RFC 7714 section 11).

use std::fmt;

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, LessSafeKey, UnboundKey};
use aws_lc_rs::cipher::{AES_128, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::hmac;
use zeroize::Zeroize;

use super::{Profile, SrtpError};

/// The longest master key (AEAD_AES_256_GCM), in bytes.
const MAX_KEY_BYTES: usize = 32;
/// The longest master salt (AES_CM), in bytes.
const MAX_SALT_BYTES: usize = 14;
/// HMAC-SHA1 key length in bytes (RFC 3711 section 5.2).
const AUTH_KEY_BYTES: usize = 20;

/// What DTLS exports, taken apart.
pub struct KeyingMaterial;

impl KeyingMaterial {
    /// Splits the exporter's output into the client's and the server's write keys. It stands there as client key,
    /// server key, client salt, server salt (RFC 5764 section 4.2).
    pub fn split(profile: Profile, material: &[u8]) -> Result<(MasterKey, MasterKey), SrtpError> {
        let (key_len, salt_len) = (profile.key_len(), profile.salt_len());
        if material.len() != profile.keying_len() {
            return Err(SrtpError::KeyLength { profile, need: profile.keying_len(), have: material.len() });
        }
        let (keys, salts) = material.split_at(2 * key_len);
        let client = MasterKey::new(profile, &keys[..key_len], &salts[..salt_len])?;
        let server = MasterKey::new(profile, &keys[key_len..], &salts[salt_len..])?;
        Ok((client, server))
    }
}

/// Master key and master salt of one direction. Wiped when dropped, never printed.
#[derive(Clone)]
pub struct MasterKey {
    profile: Profile,
    key: [u8; MAX_KEY_BYTES],
    salt: [u8; MAX_SALT_BYTES],
}

impl MasterKey {
    /// Takes key and salt of the lengths that `profile` says.
    pub fn new(profile: Profile, key: &[u8], salt: &[u8]) -> Result<MasterKey, SrtpError> {
        let need = profile.key_len() + profile.salt_len();
        if key.len() != profile.key_len() || salt.len() != profile.salt_len() {
            return Err(SrtpError::KeyLength { profile, need, have: key.len() + salt.len() });
        }
        // A 96-bit salt is padded on the right to the 112 bits that the key derivation takes.
        let mut master = MasterKey { profile, key: [0; MAX_KEY_BYTES], salt: [0; MAX_SALT_BYTES] };
        master.key[..key.len()].copy_from_slice(key);
        master.salt[..salt.len()].copy_from_slice(salt);
        Ok(master)
    }

    /// The profile that it is for.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// Fills `out` for `label` from the pseudo-random function: AES in counter mode over zeros, from
    /// (label || index / rate) XOR salt, with a key derivation rate of 0.
    pub(super) fn derive(&self, label: u8, out: &mut [u8]) -> Result<(), SrtpError> {
        let key = ctr_key(&self.key[..self.profile.key_len()])?;
        let mut iv = [0; 16];
        iv[..MAX_SALT_BYTES].copy_from_slice(&self.salt);
        iv[7] ^= label;
        out.fill(0);
        encrypt_ctr(&key, iv, out)
    }
}

impl Drop for MasterKey {
    fn drop(&mut self) {
        self.key.zeroize();
        self.salt.zeroize();
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MasterKey").field("profile", &self.profile).finish_non_exhaustive()
    }
}

/// The session keys of RTP or of RTCP, their schedules built once.
pub(super) enum SessionKeys {
    Gcm {
        key: LessSafeKey,
        salt: [u8; 12],
    },
    /// In a box: they are so many bytes that what a packet with GCM needs would lie far apart.
    CmSha1(Box<CmSha1Keys>),
}

/// The session keys of AES in counter mode with HMAC.
pub(super) struct CmSha1Keys {
    pub(super) cipher: EncryptingKey,
    pub(super) auth: hmac::Key,
    pub(super) salt: [u8; 14],
}

/// The labels of RFC 3711 section 4.3.1 for encryption; authentication and salt follow them.
pub(super) const LABEL_RTP: u8 = 0x00;
pub(super) const LABEL_RTCP: u8 = 0x03;

impl SessionKeys {
    pub(super) fn derive(master: &MasterKey, first_label: u8) -> Result<SessionKeys, SrtpError> {
        let mut key = [0; MAX_KEY_BYTES];
        let mut salt = [0; MAX_SALT_BYTES];
        let profile = master.profile();
        let key_bytes = &mut key[..profile.key_len()];
        master.derive(first_label, key_bytes)?;
        master.derive(first_label + 2, &mut salt[..profile.salt_len()])?;
        let keys = match profile {
            Profile::Aead128Gcm | Profile::Aead256Gcm => {
                let algorithm = if profile == Profile::Aead128Gcm { &AES_128_GCM } else { &AES_256_GCM };
                let key =
                    LessSafeKey::new(UnboundKey::new(algorithm, key_bytes).map_err(|_| SrtpError::Crypto)?);
                let mut short = [0; 12];
                short.copy_from_slice(&salt[..12]);
                SessionKeys::Gcm { key, salt: short }
            }
            Profile::CmSha1_80 => {
                let mut auth = [0; AUTH_KEY_BYTES];
                master.derive(first_label + 1, &mut auth)?;
                let auth_key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &auth);
                auth.zeroize();
                SessionKeys::CmSha1(Box::new(CmSha1Keys {
                    cipher: ctr_key(key_bytes)?,
                    auth: auth_key,
                    salt,
                }))
            }
        };
        key.zeroize();
        Ok(keys)
    }
}

pub(super) fn ctr_key(key: &[u8]) -> Result<EncryptingKey, SrtpError> {
    let algorithm = if key.len() == 16 { &AES_128 } else { &AES_256 };
    let unbound = UnboundCipherKey::new(algorithm, key).map_err(|_| SrtpError::Crypto)?;
    EncryptingKey::ctr(unbound).map_err(|_| SrtpError::Crypto)
}

/// AES in counter mode; to decrypt is the same.
pub(super) fn encrypt_ctr(key: &EncryptingKey, iv: [u8; 16], data: &mut [u8]) -> Result<(), SrtpError> {
    if data.is_empty() {
        return Ok(());
    }
    key.less_safe_encrypt(data, EncryptionContext::Iv128(iv.into())).map_err(|_| SrtpError::Crypto)?;
    Ok(())
}
