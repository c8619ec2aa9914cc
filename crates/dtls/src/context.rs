// SPDX-License-Identifier: EUPL-1.2
//! What all BoringSSL endpoints of a process have in common.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use boring::{
    error::ErrorStack,
    ex_data::Index,
    hash::MessageDigest,
    memcmp,
    ssl::{
        Ssl, SslAlert, SslContext, SslContextBuilder, SslMethod, SslOptions, SslRef, SslSessionCacheMode,
        SslVerifyError, SslVerifyMode, SslVersion,
    },
};

use crate::{
    Certificate, Endpoint, Error, Factory, Limits, Role, SrtpProfile, endpoint::BoringEndpoint, ffi,
};

/// Settings of a [`Context`]. The defaults are those of production.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The oldest version.
    pub min_version: Version,
    /// The newest version.
    pub max_version: Version,
    /// Key exchange groups, best first, by BoringSSL's names. Set by name because `boring` carries a patch with
    /// draft groups.
    pub groups: String,
    /// Cipher suites of DTLS 1.2 in BoringSSL's language, such as `ECDHE+AESGCM`; its own choice when left out.
    pub ciphers: Option<String>,
    /// Parts of IANA names of cipher suites, such as `CHACHA20`, with which no connection comes up. BoringSSL lets nobody
    /// choose among the three suites of DTLS 1.3, so what was agreed is checked before there are keys for media.
    pub refused_ciphers: Vec<String>,
    /// SRTP protection profiles, best first. A server's order decides.
    pub srtp_profiles: Vec<SrtpProfile>,
    /// The largest datagram to send, in bytes of UDP payload. 1,200 pass everywhere.
    pub mtu: u16,
    /// When a flight is sent again the first time; doubled each time. BoringSSL's server doesn't answer a repeated
    /// ClientHello before its own timer, so this bounds how long a lost flight costs: at 10 % loss, 50 to 100 ms
    /// bring the 95th percentile of joining from 800 to 360 ms.
    pub first_retransmission: Duration,
    /// What is taken from a peer before the handshake's end.
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            min_version: Version::Dtls12,
            max_version: Version::Dtls13,
            groups: "X25519MLKEM768:X25519:P-256".to_owned(),
            ciphers: None,
            refused_ciphers: Vec::new(),
            srtp_profiles: SrtpProfile::PREFERENCE.to_vec(),
            mtu: 1200,
            first_retransmission: Duration::from_millis(50),
            limits: Limits::default(),
        }
    }
}

/// A version of DTLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// RFC 6347.
    Dtls12,
    /// RFC 9147.
    Dtls13,
}

impl Version {
    fn boring(self) -> SslVersion {
        match self {
            Version::Dtls12 => SslVersion::DTLS1_2,
            Version::Dtls13 => SslVersion::DTLS1_3,
        }
    }
}

/// Makes endpoints on BoringSSL; one per process.
pub struct Context {
    ssl: SslContext,
    fingerprint: [u8; 32],
    refused_ciphers: Arc<[String]>,
    config: Config,
}

impl Context {
    /// A context whose endpoints bear `certificate`.
    pub fn new(certificate: &Certificate, config: Config) -> Result<Context, Error> {
        let ssl = build(certificate, &config)
            .map_err(|error| Error::Setup { step: "making the context", reason: error.to_string() })?;
        let refused_ciphers = config.refused_ciphers.clone().into();
        Ok(Context { ssl, fingerprint: certificate.fingerprint_sha256(), refused_ciphers, config })
    }
}

impl Factory for Context {
    fn fingerprint_sha256(&self) -> [u8; 32] {
        self.fingerprint
    }

    fn endpoint(
        &self,
        role: Role,
        peer_fingerprint: [u8; 32],
        _seed: [u8; 32],
        now: Instant,
    ) -> Result<Box<dyn Endpoint>, Error> {
        let connect = || {
            let mut ssl = Ssl::new(&self.ssl)?;
            ssl.set_ex_data(expectation()?, Expectation { fingerprint: peer_fingerprint, failed: false });
            ssl.set_mtu(u32::from(self.config.mtu))?;
            ffi::set_first_retransmission(&mut ssl, self.config.first_retransmission);
            Ok(ssl)
        };
        let ssl = connect().map_err(|error: ErrorStack| Error::Setup {
            step: "making an endpoint",
            reason: error.to_string(),
        })?;
        let refused = self.refused_ciphers.clone();
        Ok(Box::new(BoringEndpoint::new(ssl, role, self.config.limits, refused, now)?))
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Whether the connection's handshake failed because of the fingerprint.
pub(crate) fn fingerprint_failed(ssl: &SslRef) -> bool {
    expectation().is_ok_and(|index| ssl.ex_data(index).is_some_and(|expected| expected.failed))
}

/// Which certificate a connection's peer must show.
struct Expectation {
    fingerprint: [u8; 32],
    failed: bool,
}

/// Where BoringSSL keeps a connection's [`Expectation`].
fn expectation() -> Result<Index<Ssl, Expectation>, ErrorStack> {
    static INDEX: OnceLock<Result<Index<Ssl, Expectation>, ErrorStack>> = OnceLock::new();
    INDEX.get_or_init(Ssl::new_ex_index).clone()
}

fn build(certificate: &Certificate, config: &Config) -> Result<SslContext, ErrorStack> {
    let mut builder = SslContextBuilder::new(SslMethod::dtls())?;
    builder.set_min_proto_version(Some(config.min_version.boring()))?;
    builder.set_max_proto_version(Some(config.max_version.boring()))?;
    builder.set_private_key(&certificate.key)?;
    builder.set_certificate(&certificate.x509)?;
    // No session is ever resumed: each association proves its certificate anew.
    builder.set_session_cache_mode(SslSessionCacheMode::OFF);
    builder
        .set_options(SslOptions::NO_TICKET | SslOptions::NO_QUERY_MTU | SslOptions::CIPHER_SERVER_PREFERENCE);
    builder.set_curves_list(&config.groups)?;
    if let Some(ciphers) = &config.ciphers {
        builder.set_strict_cipher_list(ciphers)?;
    }
    let profiles: Vec<&str> = config.srtp_profiles.iter().map(|profile| profile.boring_name()).collect();
    builder.set_tlsext_use_srtp(&profiles.join(":"))?;
    let index = expectation()?;
    builder
        .set_custom_verify_callback(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT, move |ssl| {
            verify(ssl, index)
        });
    ffi::install_clock(&mut builder);
    Ok(builder.build())
}

/// RFC 8122 section 5: the certificate must be the one that was signalled; nothing else about it matters. Proof of
/// possession of its key is BoringSSL's part of the handshake.
fn verify(ssl: &mut SslRef, index: Index<Ssl, Expectation>) -> Result<(), SslVerifyError> {
    let shown = ssl.peer_certificate().and_then(|leaf| leaf.digest(MessageDigest::sha256()).ok());
    let Some(expected) = ssl.ex_data_mut(index) else {
        return Err(SslVerifyError::Invalid(SslAlert::INTERNAL_ERROR));
    };
    match shown {
        Some(shown) if shown.len() == 32 && memcmp::eq(&shown, &expected.fingerprint) => Ok(()),
        _ => {
            expected.failed = true;
            Err(SslVerifyError::Invalid(SslAlert::BAD_CERTIFICATE))
        }
    }
}
