// SPDX-License-Identifier: EUPL-1.2
//! Time-stamps of an outside authority (RFC 3161): what is asked, what is answered, and whether a stamp holds.
//!
//! A stamp is a signed message (CMS, RFC 5652) over the hash of what was stamped and a time. It holds if the hash is that of the checkpoint,
//! the signature is that of a certificate in it, and a CA that is trusted vouches for that certificate to stamp times. Which of several
//! certificates with one key it was, as ESS has it (RFC 5816), is not looked at: each of them would have to be vouched for.

mod der;
#[cfg(test)]
mod tests;

use std::time::Duration;

use aws_lc_rs::digest::{self, Algorithm, SHA256, SHA384, SHA512};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use der::{Der, FIRST, INTEGER, OCTETS, OID, SEQUENCE, SET, TIME, UTF8};

/// No answer of an authority is longer.
pub const MAX_ANSWER_BYTES: usize = 32 << 10;
/// So many certificates are looked at.
const MAX_CERTIFICATES: usize = 16;
/// Characters of an authority's own words that are passed on.
const MAX_WORDS: usize = 200;

/// Object identifiers, without tag and length.
const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
const TST_INFO: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x01, 0x04];
const CONTENT_TYPE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x03];
const MESSAGE_DIGEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x04];
const TIME_STAMPING: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x08];
const HASHES: [(&[u8], &Algorithm); 3] = [
    (&[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01], &SHA256),
    (&[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02], &SHA384),
    (&[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03], &SHA512),
];

/// Why there is no stamp, or none that holds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StampError {
    /// It can't be read.
    #[error("it is no time-stamp as RFC 3161 has them: {0}")]
    Form(&'static str),
    /// The authority does not want to.
    #[error("the authority refuses: {0}")]
    Refused(String),
    /// It is a stamp of another text.
    #[error("it is the time-stamp of something else")]
    Other,
    /// It was made by other rules.
    #[error("it was made under the policy {found}, not under {wanted}")]
    Policy {
        /// Which the stamp names.
        found: String,
        /// Which it should.
        wanted: String,
    },
    /// The signature is wrong.
    #[error("its signature is of none of the certificates in it")]
    Signature,
    /// Nobody vouches for who signed.
    #[error("no CA that is trusted vouches for its certificate: {0}")]
    Untrusted(String),
    /// What should be trusted can't be read.
    #[error("no certificates in PEM: {0}")]
    Ca(&'static str),
}

/// What a stamp that holds says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// When, in seconds since 1970.
    pub time: i64,
    /// Under which policy: an object identifier.
    pub policy: String,
    /// The number that was asked with, where there is one of 64 bits.
    pub nonce: Option<u64>,
}

/// An authority that is trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    roots: Vec<CertificateDer<'static>>,
    policy: String,
}

/// What an authority is asked: a stamp over the SHA-256 of a text, with its certificate in it. The answer has the number again.
pub fn stamp_request(stamped: &[u8], nonce: u64) -> Vec<u8> {
    // The number is written with eight octets and is positive.
    let nonce = (nonce >> 2) | 1 << 62;
    let mut body = vec![INTEGER, 1, 1, SEQUENCE, 49, SEQUENCE, 13, OID, 9];
    body.extend([0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0, OCTETS, 32]);
    body.extend(digest::digest(&SHA256, stamped).as_ref());
    body.extend([INTEGER, 8]);
    body.extend(nonce.to_be_bytes());
    body.extend([0x01, 1, 0xff]);
    [[SEQUENCE, 67].as_slice(), &body].concat()
}

/// The stamp in an authority's answer to such a request, which names the number again. It is not checked yet.
pub fn stamp_in(answer: &[u8]) -> Result<Vec<u8>, StampError> {
    let mut outer = Der(answer);
    let mut response = Der(outer.take(SEQUENCE, "the answer is no sequence")?);
    outer.end("more follows the answer")?;
    let mut status = Der(response.take(SEQUENCE, "the answer has no status")?);
    let number = status.take(INTEGER, "the status is no number")?;
    if !matches!(number, [0 | 1]) {
        let mut words = format!("status {}", hex::encode(number.get(..4).unwrap_or(number)));
        let mut texts = Der(status.maybe(SEQUENCE).map(|value| value.body).unwrap_or_default());
        while let Some(text) = texts.maybe(UTF8) {
            words.push_str(": ");
            words.extend(String::from_utf8_lossy(text.body).chars().filter(|letter| !letter.is_control()));
        }
        return Err(StampError::Refused(words.chars().take(MAX_WORDS).collect()));
    }
    let token = response.maybe(SEQUENCE).ok_or(StampError::Form("the answer has no stamp"))?;
    response.end("more follows the stamp")?;
    Ok(token.whole.to_vec())
}

/// Whether a stamp answers the request with this number.
pub fn is_answer(stamp: &Stamp, nonce: u64) -> bool {
    stamp.nonce == Some((nonce >> 2) | 1 << 62)
}

impl Authority {
    /// Trusts these CAs, in PEM, and this policy, where one is named.
    pub fn from_pem(pem: &[u8], policy: &str) -> Result<Authority, StampError> {
        let roots = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
        let roots = roots.map_err(|_| StampError::Ca("it is damaged"))?;
        if roots.is_empty() {
            return Err(StampError::Ca("there is none"));
        }
        if roots.iter().any(|root| anchor_from_trusted_cert(root).is_err()) {
            return Err(StampError::Ca("one of them is no certificate"));
        }
        Ok(Authority { roots, policy: policy.to_owned() })
    }

    /// What a stamp says of a text, if it holds.
    pub fn check(&self, token: &[u8], stamped: &[u8]) -> Result<Stamp, StampError> {
        let message = Message::read(token)?;
        let (stamp, algorithm, imprint) = info(message.content)?;
        if digest::digest(algorithm, stamped).as_ref() != imprint {
            return Err(StampError::Other);
        }
        if !self.policy.is_empty() && self.policy != stamp.policy {
            return Err(StampError::Policy { found: stamp.policy, wanted: self.policy.clone() });
        }
        self.vouched(&message, stamp.time)?;
        Ok(stamp)
    }

    /// Whether one of the certificates made the signature, and a CA vouched for it at that time.
    fn vouched(&self, message: &Message<'_>, time: i64) -> Result<(), StampError> {
        let seconds = u64::try_from(time).map_err(|_| StampError::Form("its time is before 1970"))?;
        let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let anchors: Vec<_> =
            self.roots.iter().filter_map(|root| anchor_from_trusted_cert(root).ok()).collect();
        let mut problem = StampError::Signature;
        for certificate in &message.certificates {
            let Ok(signer) = EndEntityCert::try_from(certificate) else { continue };
            let Message { attributes, signature, .. } = message;
            let mut known = ALL_VERIFICATION_ALGS.iter();
            if !known.any(|known| signer.verify_signature(*known, attributes, signature).is_ok()) {
                continue;
            }
            let usage = KeyUsage::required(TIME_STAMPING);
            let others = &message.certificates;
            match signer.verify_for_usage(ALL_VERIFICATION_ALGS, &anchors, others, time, usage, None, None) {
                Ok(_) => return Ok(()),
                Err(error) => problem = StampError::Untrusted(error.to_string()),
            }
        }
        Err(problem)
    }
}

/// A signed message around what a stamp says.
struct Message<'a> {
    content: &'a [u8],
    certificates: Vec<CertificateDer<'a>>,
    /// What the signature is over: they hold the hash of the content.
    attributes: Vec<u8>,
    signature: &'a [u8],
}

impl<'a> Message<'a> {
    fn read(token: &'a [u8]) -> Result<Message<'a>, StampError> {
        if token.len() > MAX_ANSWER_BYTES {
            return Err(StampError::Form("it is too long"));
        }
        let mut outer = Der(token);
        let mut info = Der(outer.take(SEQUENCE, "it is no sequence")?);
        outer.end("more follows it")?;
        if info.take(OID, "it has no kind")? != SIGNED_DATA {
            return Err(StampError::Form("it is no signed message"));
        }
        let mut wrapped = Der(info.take(FIRST, "its message is missing")?);
        let mut data = Der(wrapped.take(SEQUENCE, "its message is no sequence")?);
        data.take(INTEGER, "its message has no version")?;
        data.take(SET, "its message names no hashes")?;
        let mut inner = Der(data.take(SEQUENCE, "its message is empty")?);
        if inner.take(OID, "its message has no kind")? != TST_INFO {
            return Err(StampError::Form("its message is another than a time-stamp's"));
        }
        let content =
            Der(inner.take(FIRST, "its message is empty")?).take(OCTETS, "its message is no octets")?;
        let mut listed = Der(data.maybe(FIRST).map(|value| value.body).unwrap_or_default());
        let mut certificates = Vec::new();
        while let Some(value) = listed.next() {
            // Other kinds than certificates of X.509 have other tags.
            if value.tag == SEQUENCE && certificates.len() < MAX_CERTIFICATES {
                certificates.push(CertificateDer::from(value.whole));
            }
        }
        // Lists of revoked certificates are passed over.
        data.maybe(FIRST + 1);
        let mut signers = Der(data.take(SET, "nobody signed it")?);
        let mut signer = Der(signers.take(SEQUENCE, "nobody signed it")?);
        signers.end("more than one signed it")?;
        signer.take(INTEGER, "its signature has no version")?;
        signer.next().ok_or(StampError::Form("its signature is nobody's"))?;
        let hash = algorithm(signer.take(SEQUENCE, "its signature names no hash")?)?;
        let attributes = signer.maybe(FIRST).ok_or(StampError::Form("its signature has no attributes"))?;
        signer.take(SEQUENCE, "its signature names no kind")?;
        let signature = signer.take(OCTETS, "its signature is missing")?;
        if attribute(attributes.body, CONTENT_TYPE) != Some((OID, TST_INFO)) {
            return Err(StampError::Form("its signature is over another kind of message"));
        }
        let said = digest::digest(hash, content);
        if attribute(attributes.body, MESSAGE_DIGEST) != Some((OCTETS, said.as_ref())) {
            return Err(StampError::Signature);
        }
        // What is signed is them as a set (RFC 5652 section 5.4).
        let mut attributes = attributes.whole.to_vec();
        attributes.iter_mut().take(1).for_each(|tag| *tag = SET);
        Ok(Message { content, certificates, attributes, signature })
    }
}

/// The one value of an attribute.
fn attribute<'a>(attributes: &'a [u8], kind: &[u8]) -> Option<(u8, &'a [u8])> {
    let mut attributes = Der(attributes);
    while let Some(one) = attributes.maybe(SEQUENCE) {
        let mut one = Der(one.body);
        if one.maybe(OID)?.body != kind {
            continue;
        }
        let value = Der(one.maybe(SET)?.body).next()?;
        return Some((value.tag, value.body));
    }
    None
}

/// What a stamp says, by which hash, and of what.
fn info(content: &[u8]) -> Result<(Stamp, &'static Algorithm, &[u8]), StampError> {
    let mut outer = Der(content);
    let mut info = Der(outer.take(SEQUENCE, "what it says is no sequence")?);
    info.take(INTEGER, "what it says has no version")?;
    let policy = der::dotted(info.take(OID, "it names no policy")?);
    let policy = policy.ok_or(StampError::Form("its policy is no object identifier"))?;
    let mut imprint = Der(info.take(SEQUENCE, "it says not of what it is")?);
    let hash = algorithm(imprint.take(SEQUENCE, "it names no hash")?)?;
    let imprint = imprint.take(OCTETS, "it has no hash")?;
    info.take(INTEGER, "it has no number")?;
    let time = der::seconds(info.take(TIME, "it has no time")?);
    let time = time.ok_or(StampError::Form("its time can't be read"))?;
    // How exact the time is, and whether the authority's stamps are in order, are said before the number.
    info.maybe(SEQUENCE);
    info.maybe(0x01);
    let nonce = info.maybe(INTEGER).and_then(|value| Some(u64::from_be_bytes(value.body.try_into().ok()?)));
    Ok((Stamp { time, policy, nonce }, hash, imprint))
}

fn algorithm(named: &[u8]) -> Result<&'static Algorithm, StampError> {
    let oid = Der(named).take(OID, "a hash has no name")?;
    let known = HASHES.iter().find(|(name, _)| *name == oid);
    known
        .map(|(_, hash)| *hash)
        .ok_or(StampError::Form("it uses another hash than SHA-256, SHA-384 or SHA-512"))
}
