// SPDX-License-Identifier: EUPL-1.2
//! The server's certificate.

use boring::{
    asn1::Asn1Time,
    bn::{BigNum, MsbOption},
    ec::{EcGroup, EcKey},
    error::ErrorStack,
    hash::MessageDigest,
    nid::Nid,
    pkey::{PKey, Private},
    x509::{X509, X509NameBuilder},
};

use crate::Error;

/// A self-signed certificate over a fresh P-256 key, one for the life of the process. Peers compare its
/// fingerprint with the one in the session description (RFC 8827 section 6.5); its names and dates mean nothing.
#[derive(Clone)]
pub struct Certificate {
    pub(crate) key: PKey<Private>,
    pub(crate) x509: X509,
    fingerprint: [u8; 32],
}

impl Certificate {
    /// Makes one.
    pub fn generate() -> Result<Certificate, Error> {
        Certificate::build()
            .map_err(|error| Error::Setup { step: "making the certificate", reason: error.to_string() })
    }

    /// SHA-256 of its DER form: what `a=fingerprint` says (RFC 8122).
    pub fn fingerprint_sha256(&self) -> [u8; 32] {
        self.fingerprint
    }

    fn build() -> Result<Certificate, ErrorStack> {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
        let key = PKey::from_ec_key(EcKey::generate(&group)?)?;
        let mut name = X509NameBuilder::new()?;
        name.append_entry_by_text("CN", "WebRTC")?;
        let name = name.build();
        let mut serial = BigNum::new()?;
        serial.rand(64, MsbOption::MAYBE_ZERO, false)?;
        let serial = serial.to_asn1_integer()?;
        let mut builder = X509::builder()?;
        builder.set_version(2)?; // X.509 v3
        builder.set_serial_number(&serial)?;
        builder.set_subject_name(&name)?;
        builder.set_issuer_name(&name)?;
        builder.set_not_before(Asn1Time::days_from_now(0)?.as_ref())?;
        // Longer than any process lives: some stacks look at the date although nothing hangs on it.
        builder.set_not_after(Asn1Time::days_from_now(3650)?.as_ref())?;
        builder.set_pubkey(&key)?;
        builder.sign(&key, MessageDigest::sha256())?;
        let x509 = builder.build();
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(&x509.digest(MessageDigest::sha256())?);
        Ok(Certificate { key, x509, fingerprint })
    }
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}
