// SPDX-License-Identifier: EUPL-1.2
//! A certificate with its key, from PEM files, checked before anyone sees it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, SubjectPublicKeyInfoDer};
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{SignatureAlgorithm, SignatureScheme};

use super::{CryptoProfile, x509};

/// A file with more is none of these: a chain of ten certificates with RSA keys of 4,096 bits has 30 KB.
const MAX_BYTES: u64 = 1 << 20;

/// A certificate that may be shown.
#[derive(Clone)]
pub struct Certificate {
    pub(super) key: Arc<CertifiedKey>,
    facts: x509::Facts,
}

/// Why a certificate is not shown.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file can't be read.
    #[error("{}: {source}; name a file that the server can read", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file is too large to be one.
    #[error("{}: has {bytes} bytes, at most {MAX_BYTES} are read; is it the right file?", path.display())]
    TooLarge {
        /// Which.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// No certificate in it.
    #[error(
        "{place}: no certificate in PEM form; it begins with -----BEGIN CERTIFICATE-----, the server's own first"
    )]
    NoCertificate {
        /// Which file.
        place: String,
    },
    /// No key in it.
    #[error("{place}: no private key in PEM form; it begins with -----BEGIN PRIVATE KEY-----")]
    NoKey {
        /// Which file.
        place: String,
    },
    /// They don't belong together, or can't be used.
    #[error(
        "{place}: certificate and key can't be used together: {reason}; take the pair that was issued together"
    )]
    Unfit {
        /// Which files.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// Its time is over, or has not come.
    #[error("{place}: the certificate {what}; have it renewed, or set the clock")]
    Time {
        /// Which file.
        place: String,
        /// Which of both.
        what: &'static str,
    },
    /// Too weak for the rule book.
    #[error(
        "{place}: an RSA key of {bits} bits; the crypto profile \"{profile}\" wants {wanted}: have one issued for an ECDSA key"
    )]
    Weak {
        /// Which file.
        place: String,
        /// Its length.
        bits: usize,
        /// What is wanted.
        wanted: usize,
        /// By which rules.
        profile: CryptoProfile,
    },
}

/// Reads a chain and its key from two files.
pub fn read_certificate(
    certificate: &Path,
    key: &Path,
    profile: CryptoProfile,
) -> Result<Certificate, CertificateError> {
    let (chain, secret) = (read(certificate)?, read(key)?);
    let place = (certificate.display().to_string(), key.display().to_string());
    Certificate::from_pem(&chain, &secret, (&place.0, &place.1), profile, SystemTime::now())
}

fn read(path: &Path) -> Result<Vec<u8>, CertificateError> {
    let unreadable = |source| CertificateError::Unreadable { path: path.to_owned(), source };
    let bytes = std::fs::metadata(path).map_err(unreadable)?.len();
    if bytes > MAX_BYTES {
        return Err(CertificateError::TooLarge { path: path.to_owned(), bytes });
    }
    std::fs::read(path).map_err(unreadable)
}

impl Certificate {
    /// From PEM texts. `places` say where chain and key come from, for errors.
    pub fn from_pem(
        chain: &[u8],
        key: &[u8],
        places: (&str, &str),
        profile: CryptoProfile,
        now: SystemTime,
    ) -> Result<Certificate, CertificateError> {
        let place = || places.0.to_owned();
        let chain: Result<Vec<CertificateDer<'static>>, _> = CertificateDer::pem_slice_iter(chain).collect();
        let chain = chain.map_err(|_| CertificateError::NoCertificate { place: place() })?;
        let own = chain.first().ok_or_else(|| CertificateError::NoCertificate { place: place() })?;
        let unfit = |reason: String| CertificateError::Unfit { place: place(), reason };
        let facts = x509::facts(own).ok_or_else(|| unfit("it is no X.509 certificate".to_owned()))?;
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|_| CertificateError::NoKey { place: places.1.to_owned() })?;
        let mut key = CertifiedKey::from_der(chain, key, &profile.provider())
            .map_err(|error| unfit(format!("{error} ({})", places.1)))?;
        key.key = Arc::new(Bound { key: key.key, profile });
        let certificate = Certificate { key: Arc::new(key), facts };
        certificate.check(&place(), profile, now)?;
        Ok(certificate)
    }

    fn check(&self, place: &str, profile: CryptoProfile, now: SystemTime) -> Result<(), CertificateError> {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let time = |what| Err(CertificateError::Time { place: place.to_owned(), what });
        if now > self.facts.not_after {
            return time("has expired");
        }
        if now < self.facts.not_before {
            return time("is not valid yet");
        }
        let wanted = profile.min_rsa_bits();
        match self.facts.rsa_bits {
            Some(bits) if bits < wanted => {
                Err(CertificateError::Weak { place: place.to_owned(), bits, wanted, profile })
            }
            _ => Ok(()),
        }
    }

    /// When its time is over, in seconds since 1970.
    pub fn not_after(&self) -> u64 {
        self.facts.not_after
    }

    /// When its time began, in seconds since 1970.
    pub fn not_before(&self) -> u64 {
        self.facts.not_before
    }
}

/// A key that signs as the rule book allows, and not otherwise.
#[derive(Debug)]
struct Bound {
    key: Arc<dyn SigningKey>,
    profile: CryptoProfile,
}

impl SigningKey for Bound {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let allowed = offered.iter().copied().filter(|scheme| self.profile.signs_with(*scheme));
        self.key.choose_scheme(&allowed.collect::<Vec<_>>())
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        self.key.public_key()
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.key.algorithm()
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Certificate").field("facts", &self.facts).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn pair(name: &str) -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        parameters.not_before = rcgen::date_time_ymd(2026, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(2026, 4, 1);
        (parameters.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    fn on(days_from_new_year: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_767_225_600 + days_from_new_year * 86_400)
    }

    fn refused(chain: &str, key: &str, at: SystemTime) -> String {
        let places = ("chain.pem", "key.pem");
        let modern = CryptoProfile::Modern;
        Certificate::from_pem(chain.as_bytes(), key.as_bytes(), places, modern, at).unwrap_err().to_string()
    }

    #[test]
    fn a_good_pair_is_taken_and_says_how_long_it_holds() {
        let (chain, key) = pair("meet.example");
        for profile in [CryptoProfile::Modern, CryptoProfile::Anssi, CryptoProfile::Bsi] {
            let taken = Certificate::from_pem(chain.as_bytes(), key.as_bytes(), ("a", "b"), profile, on(10));
            let tls = super::super::Tls::new(profile).unwrap();
            assert_eq!(tls.days_left(on(10)), None);
            tls.show(&taken.unwrap());
            assert_eq!(tls.days_left(on(10)), Some(80));
        }
    }

    #[test]
    fn a_bad_pair_is_refused_with_the_file_and_the_reason() {
        let (chain, key) = pair("meet.example");
        let (_, other) = pair("meet.example");
        for (error, expected) in [
            (refused("nothing", &key, on(10)), "chain.pem: no certificate in PEM form"),
            (refused(&key, &key, on(10)), "chain.pem: no certificate in PEM form"),
            (refused(&chain, &chain, on(10)), "key.pem: no private key in PEM form"),
            (refused(&chain, &other, on(10)), "chain.pem: certificate and key can't be used together"),
            (refused(&chain, &key, on(100)), "chain.pem: the certificate has expired"),
            (
                refused(&chain, &key, on(0) - Duration::from_secs(86_400)),
                "chain.pem: the certificate is not valid yet",
            ),
        ] {
            assert!(error.starts_with(expected), "{error}\nis not\n{expected}");
            assert!(error.contains("; "), "a remedy: {error}");
        }
    }

    #[test]
    fn a_short_rsa_key_is_refused_by_the_strict_profiles() {
        let (chain, key) = pair("meet.example");
        let mut taken =
            Certificate::from_pem(chain.as_bytes(), key.as_bytes(), ("a", "b"), CryptoProfile::Bsi, on(1))
                .unwrap();
        taken.facts.rsa_bits = Some(2_048);
        taken.check("a", CryptoProfile::Modern, on(1)).unwrap();
        for (profile, wanted) in [(CryptoProfile::Anssi, "3072"), (CryptoProfile::Bsi, "3000")] {
            let error = taken.check("a", profile, on(1)).unwrap_err().to_string();
            assert!(error.contains("2048 bits") && error.contains(wanted), "{error}");
        }
    }

    #[test]
    fn with_an_rsa_key_bsi_signs_by_pss_alone() {
        let key =
            rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_3072).unwrap();
        let mut parameters = rcgen::CertificateParams::new(vec!["meet.example".to_owned()]).unwrap();
        parameters.not_before = rcgen::date_time_ymd(2026, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(2026, 4, 1);
        let (chain, key) = (parameters.self_signed(&key).unwrap().pem(), key.serialize_pem());
        for profile in [CryptoProfile::Modern, CryptoProfile::Anssi, CryptoProfile::Bsi] {
            let taken =
                Certificate::from_pem(chain.as_bytes(), key.as_bytes(), ("a", "b"), profile, on(1)).unwrap();
            let chosen = |offered: SignatureScheme| taken.key.key.choose_scheme(&[offered]);
            assert!(chosen(SignatureScheme::RSA_PSS_SHA256).is_some(), "{profile}");
            let pkcs1 = chosen(SignatureScheme::RSA_PKCS1_SHA256);
            assert_eq!(pkcs1.is_some(), profile != CryptoProfile::Bsi, "{profile}");
        }
    }
}
