// SPDX-License-Identifier: EUPL-1.2
//! TLS by `rustls`: [`profile`] says what cryptography, [`certificate`] reads and checks a certificate with its key,
//! [`x509`] what it says of itself. A certificate may be replaced at any time; connections that there are go on.

mod certificate;
mod profile;
mod x509;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

pub use certificate::{Certificate, CertificateError, read_certificate};
pub use profile::CryptoProfile;

/// When a certificate ends, in seconds since 1970; `None` for what is none. It is not looked at whether anybody should trust it.
pub fn certificate_end(der: &[u8]) -> Option<u64> {
    x509::facts(der).map(|facts| facts.not_after)
}

/// What may be spoken within TLS (RFC 7301, RFC 7443, RFC 8737).
pub(crate) const ALPN_HTTP: &[u8] = b"http/1.1";
pub(crate) const ALPN_TURN: &[u8] = b"stun.turn";
pub(crate) const ALPN_ACME: &[u8] = b"acme-tls/1";

/// TLS as the public port speaks it.
#[derive(Clone)]
pub struct Tls {
    pub(crate) config: Arc<ServerConfig>,
    certificates: Arc<Certificates>,
    profile: CryptoProfile,
}

/// The certificates that are shown.
#[derive(Debug, Default)]
struct Certificates {
    /// For everyone.
    shown: RwLock<Option<Arc<CertifiedKey>>>,
    /// When its time is over, in seconds since 1970.
    not_after: RwLock<Option<u64>>,
    /// To a certificate authority that validates names by RFC 8737: what proves each.
    challenges: Mutex<HashMap<String, Arc<CertifiedKey>>>,
}

impl Tls {
    /// TLS by this rule book, without a certificate yet: until [`Tls::show`], handshakes fail.
    pub fn new(profile: CryptoProfile) -> Result<Tls, rustls::Error> {
        let certificates = Arc::<Certificates>::default();
        let mut config = ServerConfig::builder_with_provider(Arc::new(profile.provider()))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&certificates) as Arc<dyn ResolvesServerCert>);
        config.ignore_client_order = true;
        config.require_ems = profile.requires_extended_master_secret();
        // Ours is the order that counts. Whoever names TURN at all is none of HTTP's clients, even if it names HTTP as well
        // and first, as coturn's do.
        config.alpn_protocols = [ALPN_TURN, ALPN_HTTP, ALPN_ACME].map(<[u8]>::to_vec).to_vec();
        Ok(Tls { config: Arc::new(config), certificates, profile })
    }

    /// What cryptography it takes.
    pub fn profile(&self) -> CryptoProfile {
        self.profile
    }

    /// Shows this certificate from the next handshake on.
    pub fn show(&self, certificate: &Certificate) {
        let key = Some(Arc::clone(&certificate.key));
        *self.certificates.shown.write().unwrap_or_else(PoisonError::into_inner) = key;
        let not_after = Some(certificate.not_after());
        *self.certificates.not_after.write().unwrap_or_else(PoisonError::into_inner) = not_after;
    }

    /// When the certificate that is shown ends, in seconds since 1970; `None` when there is none.
    pub fn not_after(&self) -> Option<u64> {
        *self.certificates.not_after.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whole days for which the certificate that is shown still holds; `None` when there is none.
    pub fn days_left(&self, now: SystemTime) -> Option<u64> {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        self.not_after().map(|not_after| not_after.saturating_sub(now) / 86_400)
    }

    /// Shows this one to a certificate authority that asks for `name` by RFC 8737, until [`Tls::end_challenges`].
    pub(crate) fn begin_challenge(&self, name: &str, key: Arc<CertifiedKey>) {
        self.certificates.challenges().insert(name.to_ascii_lowercase(), key);
    }

    pub(crate) fn end_challenges(&self) {
        self.certificates.challenges().clear();
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Tls").field("profile", &self.profile).finish_non_exhaustive()
    }
}

impl Certificates {
    fn challenges(&self) -> MutexGuard<'_, HashMap<String, Arc<CertifiedKey>>> {
        self.challenges.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if hello.alpn().is_some_and(|mut offered| offered.any(|protocol| protocol == ALPN_ACME)) {
            // A validation offers nothing else, and gets nothing else.
            let name = hello.server_name()?.to_ascii_lowercase();
            return self.challenges().get(&name).cloned();
        }
        self.shown.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
