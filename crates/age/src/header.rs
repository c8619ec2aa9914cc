// SPDX-License-Identifier: EUPL-1.2
//! The header: the file's key, wrapped for each recipient, and a MAC over all of it.

use std::io::BufRead;

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use aws_lc_rs::{hkdf, hmac};
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use crate::{AgeError, Identity, KEY_BYTES, MAX_RECIPIENTS, Recipient};

const VERSION_LINE: &str = "age-encryption.org/v1";
const X25519_LABEL: &[u8] = b"age-encryption.org/v1/X25519";
const FILE_KEY_BYTES: usize = 16;
const WRAPPED_BYTES: usize = FILE_KEY_BYTES + 16;
/// A header that we read. Ours with 16 recipients has 1.7 KB; others may have other kinds of recipients.
const MAX_HEADER_BYTES: usize = 64 * 1024;

/// Base64 without padding, and canonical, as the format demands.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

pub(super) type FileKey = Zeroizing<[u8; FILE_KEY_BYTES]>;

/// Writes the header that wraps `key` for each of `recipients`.
pub(super) fn write(key: &FileKey, recipients: &[Recipient]) -> Result<Vec<u8>, AgeError> {
    if recipients.is_empty() || recipients.len() > MAX_RECIPIENTS {
        return Err(AgeError::Recipients { have: recipients.len() });
    }
    let mut text = format!("{VERSION_LINE}\n");
    for recipient in recipients {
        let ephemeral = PrivateKey::generate(&X25519)?;
        let share = ephemeral.compute_public_key()?;
        let wrapping = wrapping_key(&ephemeral, &recipient.0, share.as_ref(), &recipient.0)?;
        let mut wrapped = key.to_vec();
        // A key that is used once: the nonce is zero.
        let nonce = Nonce::assume_unique_for_key([0; 12]);
        wrapping.seal_in_place_append_tag(nonce, Aad::empty(), &mut wrapped)?;
        text.push_str(&format!("-> X25519 {}\n{}\n", BASE64.encode(share.as_ref()), BASE64.encode(wrapped)));
    }
    text.push_str("---");
    let mac = hmac::sign(&mac_key(key)?, text.as_bytes());
    text.push_str(&format!(" {}\n", BASE64.encode(mac.as_ref())));
    Ok(text.into_bytes())
}

/// Reads a header and unwraps the file's key.
pub(super) fn read(reader: &mut impl BufRead, identities: &[Identity]) -> Result<FileKey, AgeError> {
    let mut header = Vec::new();
    if line(reader, &mut header)? != VERSION_LINE.as_bytes() {
        return Err(AgeError::Header("it does not begin with age-encryption.org/v1"));
    }
    let mut next = line(reader, &mut header)?;
    let mut found = None;
    loop {
        if let Some(mac) = next.strip_prefix(b"--- ") {
            let mac = BASE64.decode(mac).map_err(|_| AgeError::Header("its MAC is not base64"))?;
            let key: FileKey = found.ok_or(AgeError::NoMatch { tried: identities.len() })?;
            let covered = header.len() - next.len() - 1 + b"---".len();
            let covered = header.get(..covered).unwrap_or_default();
            hmac::verify(&mac_key(&key)?, covered, &mac)
                .map_err(|_| AgeError::Header("its MAC does not hold"))?;
            return Ok(key);
        }
        let arguments =
            next.strip_prefix(b"-> ").ok_or(AgeError::Header("a recipient does not begin with an arrow"))?;
        let arguments: Vec<Vec<u8>> = arguments.split(|byte| *byte == b' ').map(<[u8]>::to_vec).collect();
        let mut body = Vec::new();
        loop {
            next = line(reader, &mut header)?;
            body.extend(
                BASE64.decode(&next).map_err(|_| AgeError::Header("a recipient's body is not base64"))?,
            );
            // Lines are of 64 letters; a shorter one, if need be an empty one, ends the body.
            if next.len() > 64 {
                return Err(AgeError::Header("a recipient's body has a line that is too long"));
            }
            if next.len() < 64 {
                break;
            }
        }
        if found.is_none()
            && let [kind, share] = &arguments[..]
            && kind == b"X25519"
        {
            found = unwrap(share, &body, identities)?;
        }
        next = line(reader, &mut header)?;
    }
}

/// The payload's key (section "Payload").
pub(super) fn payload_key(key: &FileKey, nonce: &[u8]) -> Result<LessSafeKey, AgeError> {
    let derived = derive(&key[..], nonce, b"payload")?;
    aead(&derived)
}

fn unwrap(share: &[u8], body: &[u8], identities: &[Identity]) -> Result<Option<FileKey>, AgeError> {
    let share = BASE64.decode(share).map_err(|_| AgeError::Header("a recipient's share is not base64"))?;
    let wrapped: [u8; WRAPPED_BYTES] =
        body.try_into().map_err(|_| AgeError::Header("a recipient's body is not 32 bytes long"))?;
    if share.len() != KEY_BYTES {
        return Err(AgeError::Header("a recipient's share is not 32 bytes long"));
    }
    for identity in identities {
        let own = PrivateKey::from_private_key(&X25519, &identity.key).map_err(|_| AgeError::Crypto)?;
        // A share that brings the secret to zero is refused here.
        let Ok(wrapping) = wrapping_key(&own, &share, &share, &identity.public) else { continue };
        let mut plain = Zeroizing::new(wrapped);
        let nonce = Nonce::assume_unique_for_key([0; 12]);
        if let Ok(key) = wrapping.open_in_place(nonce, Aad::empty(), &mut plain[..]) {
            return Ok(key.first_chunk().copied().map(Zeroizing::new));
        }
    }
    Ok(None)
}

/// HKDF over the agreed secret, with the share and the recipient as salt (section "The X25519 recipient type").
fn wrapping_key(
    own: &PrivateKey,
    peer: &[u8],
    share: &[u8],
    recipient: &[u8],
) -> Result<LessSafeKey, AgeError> {
    let salt: Vec<u8> = share.iter().chain(recipient).copied().collect();
    let peer = UnparsedPublicKey::new(&X25519, peer);
    agree(own, peer, AgeError::Crypto, |secret| {
        let derived = derive(secret, &salt, X25519_LABEL)?;
        aead(&derived)
    })
}

fn mac_key(key: &FileKey) -> Result<hmac::Key, AgeError> {
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &derive(&key[..], &[], b"header")?[..]))
}

fn derive(secret: &[u8], salt: &[u8], info: &[u8]) -> Result<Zeroizing<[u8; 32]>, AgeError> {
    let mut out = Zeroizing::new([0; 32]);
    let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, salt);
    salt.extract(secret).expand(&[info], hkdf::HKDF_SHA256)?.fill(&mut out[..])?;
    Ok(out)
}

fn aead(key: &[u8; 32]) -> Result<LessSafeKey, AgeError> {
    Ok(LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key)?))
}

/// The next line without its end; all of it is added to `header`.
fn line(reader: &mut impl BufRead, header: &mut Vec<u8>) -> Result<Vec<u8>, AgeError> {
    let mut line = Vec::new();
    let room = MAX_HEADER_BYTES.saturating_sub(header.len());
    std::io::Read::take(&mut *reader, room as u64).read_until(b'\n', &mut line)?;
    header.extend_from_slice(&line);
    match line.pop() {
        Some(b'\n') => Ok(line),
        _ => Err(AgeError::Header("its header does not end")),
    }
}
