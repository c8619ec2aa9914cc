// SPDX-License-Identifier: EUPL-1.2
//! Certificates from an authority, by ACME (RFC 8555), validated on the public port itself (tls-alpn-01, RFC 8737).
//!
//! Account, certificate and key are kept in a folder, and renewed when two thirds of the certificate's time are over. A
//! failure changes nothing: what is shown stays, and the next try comes later and later.

use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeType, ExternalAccountKey, Identifier,
    NewAccount, NewOrder, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

use crate::stats::{EdgeStats, count};
use crate::tls::{Certificate, CertificateError, Tls};

/// The first and the longest pause after a failure. Authorities count failures by the hour.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(6 * 3_600);
/// How long one try may take.
const TRY_TIMEOUT: Duration = Duration::from_secs(300);

/// Which authority, for which names.
#[derive(Clone)]
pub struct AcmeConfig {
    /// The authority's directory.
    pub directory: String,
    /// The names that the certificate is for.
    pub names: Vec<String>,
    /// How the authority reaches the operator, as URLs.
    pub contact: Vec<String>,
    /// Key id and key, in base64url, of an account that was given out beforehand (RFC 8555 section 7.3.4).
    pub external_account: Option<(String, String)>,
    /// The authority's own root certificate, if the system does not trust it.
    pub root: Option<PathBuf>,
    /// Where account and certificate are kept.
    pub folder: PathBuf,
}

impl std::fmt::Debug for AcmeConfig {
    /// The account's key gets into no log.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let AcmeConfig { directory, names, .. } = self;
        formatter
            .debug_struct("AcmeConfig")
            .field("directory", directory)
            .field("names", names)
            .finish_non_exhaustive()
    }
}

/// Why there is no new certificate.
#[derive(Debug, thiserror::Error)]
pub enum AcmeError {
    /// The authority refuses, or can't be reached.
    #[error("the certificate authority: {0}; check tls.acme, and that its directory can be reached")]
    Authority(#[from] instant_acme::Error),
    /// It offers no validation that can be done on this port.
    #[error(
        "the certificate authority offers no tls-alpn-01 for {0}; use another authority, or certificates from files"
    )]
    NoChallenge(String),
    /// It could not validate a name.
    #[error("the certificate authority could not validate {0}; its port 443 must lead to this server")]
    Invalid(String),
    /// It took too long.
    #[error("the certificate authority was not done after {} s", TRY_TIMEOUT.as_secs())]
    TooSlow,
    /// The proof for a name can't be made.
    #[error("the proof for {name}: {reason}; is it a host name?")]
    Proof {
        /// Which.
        name: String,
        /// Why.
        reason: String,
    },
    /// The account's key is not what it should be.
    #[error("tls.acme.eab_key_file: no base64url; take the key as the authority gave it")]
    AccountKey,
    /// What was issued is of no use.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The folder.
    #[error("{}: {source}; the server must be able to write there", path.display())]
    Folder {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Shows the certificate that was issued before, if it is still good.
pub fn show_kept(config: &AcmeConfig, tls: &Tls, stats: &EdgeStats) {
    match kept(config, tls) {
        Some(certificate) => {
            tls.show(&certificate);
            count(&stats.certificates_loaded);
        }
        None => {
            tracing::info!(folder = %config.folder.display(), "no certificate is kept yet; one will be asked for")
        }
    }
}

/// Keeps a certificate in use that is good for these names, until dropped.
pub async fn keep(config: AcmeConfig, tls: Tls, stats: Arc<EdgeStats>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let due = kept(&config, &tls)
            .map_or(Duration::ZERO, |certificate| renewal_in(&certificate, SystemTime::now()));
        // A clock that is set must be noticed: no longer than the longest pause at once.
        if !due.is_zero() {
            tokio::time::sleep(due.min(LONGEST_PAUSE)).await;
            continue;
        }
        match tokio::time::timeout(TRY_TIMEOUT, renew(&config, &tls)).await.unwrap_or(Err(AcmeError::TooSlow))
        {
            Ok(certificate) => {
                tls.show(&certificate);
                count(&stats.certificates_loaded);
                pause = FIRST_PAUSE;
                let days_left = tls.days_left(SystemTime::now());
                tracing::info!(names = config.names.join(", "), days_left, "certificate issued");
            }
            Err(error) => {
                count(&stats.certificates_refused);
                tracing::error!(%error, again_in_seconds = pause.as_secs(), "no new certificate");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
        tls.end_challenges();
    }
}

/// How long until two thirds of its time are over.
fn renewal_in(certificate: &Certificate, now: SystemTime) -> Duration {
    let (begin, end) = (certificate.not_before(), certificate.not_after());
    let at = begin + end.saturating_sub(begin) / 3 * 2;
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    Duration::from_secs(at.saturating_sub(now))
}

/// The certificate that is kept, if it is good and for these names.
fn kept(config: &AcmeConfig, tls: &Tls) -> Option<Certificate> {
    let file = |name: &str| std::fs::read(config.folder.join(name)).ok();
    let names: Vec<String> = serde_json::from_slice(&file(NAMES)?).ok()?;
    if names != config.names {
        return None;
    }
    let places = (CHAIN, KEY);
    Certificate::from_pem(&file(CHAIN)?, &file(KEY)?, places, tls.profile(), SystemTime::now()).ok()
}

/// Asks for a certificate, proves the names, and keeps what is issued.
pub async fn renew(config: &AcmeConfig, tls: &Tls) -> Result<Certificate, AcmeError> {
    let account = account(config).await?;
    let identifiers: Vec<Identifier> = config.names.iter().cloned().map(Identifier::Dns).collect();
    let mut order = account.new_order(&NewOrder::new(&identifiers)).await?;
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        let name = authorization.identifier().to_string();
        match authorization.status {
            AuthorizationStatus::Valid => continue,
            AuthorizationStatus::Pending => {}
            _ => return Err(AcmeError::Invalid(name)),
        }
        let Some(mut challenge) = authorization.challenge(ChallengeType::TlsAlpn01) else {
            return Err(AcmeError::NoChallenge(name));
        };
        let digest = challenge.key_authorization().digest();
        tls.begin_challenge(&name, proof(&name, digest.as_ref(), tls)?);
        challenge.set_ready().await?;
    }
    let patience = RetryPolicy::default();
    if order.poll_ready(&patience).await? != OrderStatus::Ready {
        return Err(AcmeError::Invalid(config.names.join(", ")));
    }
    let key = order.finalize().await?;
    let chain = order.poll_certificate(&patience).await?;
    let places = ("the certificate that was issued", "its key");
    let certificate =
        Certificate::from_pem(chain.as_bytes(), key.as_bytes(), places, tls.profile(), SystemTime::now())?;
    let names = serde_json::to_vec(&config.names).unwrap_or_default();
    for (name, content) in [(KEY, key.as_bytes()), (CHAIN, chain.as_bytes()), (NAMES, &names)] {
        write(&config.folder.join(name), content)?;
    }
    Ok(certificate)
}

/// The account that is kept, or a new one.
async fn account(config: &AcmeConfig) -> Result<Account, AcmeError> {
    let builder = || match &config.root {
        Some(root) => Account::builder_with_root(root),
        None => Account::builder(),
    };
    let path = config.folder.join(ACCOUNT);
    let kept = std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<Kept>(&bytes).ok());
    if let Some(kept) = kept.filter(|kept| kept.directory == config.directory) {
        return Ok(builder()?.from_credentials(kept.credentials).await?);
    }
    let external = match &config.external_account {
        Some((id, key)) => {
            let key = URL_SAFE_NO_PAD.decode(key.trim_end_matches('=')).map_err(|_| AcmeError::AccountKey)?;
            Some(ExternalAccountKey::new(id.clone(), &key))
        }
        None => None,
    };
    let contact: Vec<&str> = config.contact.iter().map(String::as_str).collect();
    let wanted = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
    let (account, credentials) =
        builder()?.create(&wanted, config.directory.clone(), external.as_ref()).await?;
    let kept = Kept { directory: config.directory.clone(), credentials };
    write(&path, &serde_json::to_vec(&kept).unwrap_or_default())?;
    Ok(account)
}

/// The certificate that proves a name (RFC 8737 section 3).
fn proof(name: &str, digest: &[u8], tls: &Tls) -> Result<Arc<CertifiedKey>, AcmeError> {
    let failed = |reason: String| AcmeError::Proof { name: name.to_owned(), reason };
    let made = || -> Result<_, rcgen::Error> {
        let mut parameters = CertificateParams::new(vec![name.to_owned()])?;
        parameters.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
        let key = KeyPair::generate()?;
        Ok((parameters.self_signed(&key)?, key))
    };
    let (certificate, key) = made().map_err(|error| failed(error.to_string()))?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let key = tls.profile().provider().key_provider.load_private_key(key);
    let key = key.map_err(|error| failed(error.to_string()))?;
    // Not `CertifiedKey::from_der`: it refuses critical extensions that it does not know, and RFC 8737 has one.
    Ok(Arc::new(CertifiedKey::new(vec![certificate.der().clone()], key)))
}

/// Writes a file whole or not at all, for nobody but the server to read.
fn write(path: &Path, content: &[u8]) -> Result<(), AcmeError> {
    let failed = |source| AcmeError::Folder { path: path.to_owned(), source };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let fresh = path.with_extension("new");
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&fresh).map_err(failed)?;
    io::Write::write_all(&mut file, content).and_then(|()| file.sync_all()).map_err(failed)?;
    std::fs::rename(&fresh, path).map_err(failed)
}

/// An account and whose it is.
#[derive(serde::Serialize, serde::Deserialize)]
struct Kept {
    directory: String,
    credentials: AccountCredentials,
}

const ACCOUNT: &str = "account.json";
const CHAIN: &str = "certificate.pem";
const KEY: &str = "key.pem";
const NAMES: &str = "names.json";
