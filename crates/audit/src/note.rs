// SPDX-License-Identifier: EUPL-1.2
//! Signed notes as C2SP has them (c2sp.org/signed-note): a text, an empty line, and a line for each signature. Keys are Ed25519's; a key's
//! id is the beginning of a hash over its name and itself, so that no line is taken for another key's.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::AuditError;

/// What a signature's line begins with: an em dash and a space.
const DASH: &str = "\u{2014} ";
/// What a private key in its written form begins with.
const PRIVATE: &str = "PRIVATE+KEY+";
/// The number of Ed25519 in keys and key ids.
const ALGORITHM: u8 = 1;
const SEED_BYTES: usize = 32;
const PUBLIC_BYTES: usize = 32;
const ID_BYTES: usize = 4;
/// Bounds of what is read: a checkpoint has some 200 bytes, and a witness or two.
const MAX_NOTE_BYTES: usize = 64 << 10;
const MAX_SIGNATURES: usize = 100;
const MAX_NAME_BYTES: usize = 255;

/// Signs notes.
pub struct Signer {
    seed: [u8; SEED_BYTES],
    pair: Ed25519KeyPair,
    verifier: Verifier,
}

impl fmt::Debug for Signer {
    /// A private key gets into no log.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Signer").field("verifier", &self.verifier).finish_non_exhaustive()
    }
}

impl Signer {
    /// The key of this name that this secret makes.
    pub fn from_seed(name: &str, seed: &[u8; SEED_BYTES]) -> Result<Signer, AuditError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed)
            .map_err(|_| AuditError::Key("its secret makes no key of Ed25519"))?;
        let public = pair.public_key().as_ref();
        let public = public.try_into().map_err(|_| AuditError::Key("its public half has another length"))?;
        Ok(Signer { seed: *seed, verifier: Verifier::new(name, public)?, pair })
    }

    /// As it is written: `PRIVATE+KEY+NAME+ID+SECRET`.
    pub fn parse(text: &str) -> Result<Signer, AuditError> {
        let rest = text.trim().strip_prefix(PRIVATE);
        let rest = rest.ok_or(AuditError::Key("a private key begins with PRIVATE+KEY+"))?;
        let (name, id, seed) = parts::<SEED_BYTES>(rest)?;
        let signer = Signer::from_seed(name, &seed)?;
        if signer.verifier.id == id { Ok(signer) } else { Err(OTHER_ID) }
    }

    /// The written form. Whoever has it signs in our name.
    pub fn to_secret_text(&self) -> String {
        format!("{PRIVATE}{}", self.verifier.with(&self.seed))
    }

    /// What checks its signatures.
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// Signs a text that ends with its last line's end.
    pub fn sign(&self, text: &str) -> Result<String, AuditError> {
        check_text(text)?;
        let signature = self.pair.sign(text.as_bytes());
        let signature = STANDARD.encode([self.verifier.id.as_slice(), signature.as_ref()].concat());
        Ok(format!("{text}\n{DASH}{} {signature}\n", self.verifier.name))
    }
}

/// Checks signatures of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verifier {
    name: String,
    id: [u8; ID_BYTES],
    public: [u8; PUBLIC_BYTES],
}

impl Verifier {
    fn new(name: &str, public: [u8; PUBLIC_BYTES]) -> Result<Verifier, AuditError> {
        let is_plain =
            |character: char| !character.is_whitespace() && !character.is_control() && character != '+';
        if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.chars().all(is_plain) {
            return Err(AuditError::KeyName(name.chars().take(MAX_NAME_BYTES).collect()));
        }
        let mut hash = Context::new(&SHA256);
        for part in [name.as_bytes(), b"\n", &[ALGORITHM], &public] {
            hash.update(part);
        }
        let mut id = [0; ID_BYTES];
        for (to, from) in id.iter_mut().zip(hash.finish().as_ref()) {
            *to = *from;
        }
        Ok(Verifier { name: name.to_owned(), id, public })
    }

    /// As it is written: `NAME+ID+KEY`.
    pub fn parse(text: &str) -> Result<Verifier, AuditError> {
        let (name, id, public) = parts::<PUBLIC_BYTES>(text.trim())?;
        let verifier = Verifier::new(name, public)?;
        if verifier.id == id { Ok(verifier) } else { Err(OTHER_ID) }
    }

    /// The key's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn with(&self, key: &[u8]) -> String {
        let key = STANDARD.encode([&[ALGORITHM], key].concat());
        format!("{}+{}+{key}", self.name, hex::encode(self.id))
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.with(&self.public))
    }
}

/// The text of a note that one of these keys signed. A wrong signature of a known key refuses the note, whatever else stands there; those of
/// other keys are passed over.
pub fn open_note(note: &str, keys: &[Verifier]) -> Result<String, AuditError> {
    if note.len() > MAX_NOTE_BYTES {
        return Err(AuditError::Note("it is longer than 64 KiB"));
    }
    let end = note.rfind("\n\n").ok_or(AuditError::Note("no empty line parts text and signatures"))?;
    let (text, signatures) = (note.get(..=end).unwrap_or_default(), note.get(end + 2..).unwrap_or_default());
    check_text(text)?;
    let signatures = signatures.strip_suffix('\n').ok_or(AuditError::Note("its last line has no end"))?;
    let (mut signed, mut others) = (false, Vec::new());
    for (at, line) in signatures.split('\n').enumerate() {
        if at >= MAX_SIGNATURES {
            return Err(AuditError::Note("it has more than 100 signatures"));
        }
        const MALFORMED: AuditError = AuditError::Note("a line of a signature is none");
        let (name, signature) =
            line.strip_prefix(DASH).and_then(|line| line.split_once(' ')).ok_or(MALFORMED)?;
        let bytes = STANDARD.decode(signature).map_err(|_| MALFORMED)?;
        let (id, signature) = bytes.split_at_checked(ID_BYTES).ok_or(MALFORMED)?;
        match keys.iter().find(|key| key.name == name && key.id == *id) {
            None => others.push(name),
            Some(key) => {
                let public = UnparsedPublicKey::new(&ED25519, key.public);
                let holds = public.verify(text.as_bytes(), signature).is_ok();
                if !holds {
                    return Err(AuditError::Signature(name.to_owned()));
                }
                signed = true;
            }
        }
    }
    if signed { Ok(text.to_owned()) } else { Err(AuditError::Unsigned(others.join(", "))) }
}

const OTHER_ID: AuditError = AuditError::Key("its id is another than that of its name and key");

/// Name, id and key of a written key. The key's own form may hold further `+`.
fn parts<const N: usize>(text: &str) -> Result<(&str, [u8; ID_BYTES], [u8; N]), AuditError> {
    const FORM: AuditError = AuditError::Key("it is written as NAME+ID+KEY");
    let mut parts = text.splitn(3, '+');
    let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(FORM);
    };
    let id = hex::decode(id).ok().and_then(|id| id.try_into().ok()).ok_or(FORM)?;
    let bytes = STANDARD.decode(key).map_err(|_| FORM)?;
    match bytes.split_first() {
        Some((&ALGORITHM, key)) => {
            Ok((name, id, key.try_into().map_err(|_| AuditError::Key("it has another length"))?))
        }
        _ => Err(AuditError::Key("it is of another kind than Ed25519")),
    }
}

fn check_text(text: &str) -> Result<(), AuditError> {
    if text.len() > MAX_NOTE_BYTES || !text.ends_with('\n') {
        return Err(AuditError::Note("its text is too long, or its last line has no end"));
    }
    if text.chars().any(|character| character < ' ' && character != '\n') {
        return Err(AuditError::Note("its text holds control characters"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    // The example that the format's first implementation is documented with.
    const SECRET: &str = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
    const PUBLIC: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const TEXT: &str = "If you think cryptography is the answer to your problem,\n\
                        then you don't know what your problem is.\n";
    const NOTE: &str = "If you think cryptography is the answer to your problem,\n\
                        then you don't know what your problem is.\n\n\
                        \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
    /// The example of the specification.
    const OTHER: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    const OTHER_NOTE: &str = "This is an example message.\n\n\
                              \u{2014} example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

    #[test]
    fn the_published_note_is_the_one_that_its_key_makes() {
        let signer = Signer::parse(SECRET).unwrap();
        assert_eq!(signer.verifier().to_string(), PUBLIC);
        assert_eq!(signer.to_secret_text(), SECRET);
        assert_eq!(signer.sign(TEXT).unwrap(), NOTE);
        assert!(!format!("{signer:?}").contains("AYEKFALV"));
        let keys = [Verifier::parse(PUBLIC).unwrap(), Verifier::parse(OTHER).unwrap()];
        assert_eq!(open_note(NOTE, &keys).unwrap(), TEXT);
        assert_eq!(open_note(OTHER_NOTE, &keys).unwrap(), "This is an example message.\n");
    }

    #[test]
    fn a_note_that_was_changed_or_that_nobody_known_signed_is_refused() {
        let keys = [Verifier::parse(PUBLIC).unwrap()];
        let changed = NOTE.replace("your problem is", "your problem was");
        assert_eq!(open_note(&changed, &keys), Err(AuditError::Signature("PeterNeumann".to_owned())));
        assert_eq!(open_note(NOTE, &[]), Err(AuditError::Unsigned("PeterNeumann".to_owned())));
        // A wrong line of a known key spoils the note, though another one is right.
        let line = NOTE.lines().last().unwrap();
        let twice = format!("{NOTE}{}\n", line.replace("x08go/ZJ", "x08go/YJ"));
        assert_eq!(open_note(&twice, &keys), Err(AuditError::Signature("PeterNeumann".to_owned())));
        // Somebody else's line doesn't.
        let more = format!("{NOTE}{}\n", OTHER_NOTE.lines().last().unwrap());
        assert_eq!(open_note(&more, &keys).unwrap(), TEXT);
        for broken in [
            "",
            "\n",
            TEXT,
            &NOTE[..NOTE.len() - 1],
            &NOTE.replace('\u{2014}', "-"),
            &format!("a\tb\n\n{line}\n"),
        ] {
            assert!(matches!(open_note(broken, &keys), Err(AuditError::Note(_))), "{broken:?}");
        }
    }

    #[test]
    fn a_key_that_is_not_what_it_says_is_refused() {
        let broken = [
            "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "Peter Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "PeterNeumann+c74f20a3+Ahpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10Q=",
            "PeterNeumann+c74f20a3",
            "",
            SECRET,
        ];
        for text in broken {
            assert!(Verifier::parse(text).is_err(), "{text}");
        }
        assert!(Signer::parse(PUBLIC).is_err());
        assert!(Signer::from_seed("two words", &[1; 32]).is_err());
    }
}
