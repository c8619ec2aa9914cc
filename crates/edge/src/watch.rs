// SPDX-License-Identifier: EUPL-1.2
//! Certificates from files: taken anew when the files change, without a restart.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::stats::{EdgeStats, count};
use crate::tls::{Certificate, CertificateError, CryptoProfile, Tls, read_certificate};

/// How often the files are looked at. Two small questions to the system; a renewal has days.
const INTERVAL: Duration = Duration::from_secs(10);

/// Where a certificate and its key are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain, the server's own certificate first.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

impl CertificateFiles {
    /// Reads them and shows them; when they are not good, the ones before stay and the error says why.
    pub fn load(&self, tls: &Tls, stats: &EdgeStats) -> Result<(), CertificateError> {
        self.show(&self.read(tls.profile(), stats)?, tls, stats);
        Ok(())
    }

    /// Reads them and checks them, and shows nothing yet.
    pub fn read(&self, profile: CryptoProfile, stats: &EdgeStats) -> Result<Certificate, CertificateError> {
        let read = read_certificate(&self.certificate, &self.key, profile);
        read.inspect_err(|_| count(&stats.certificates_refused))
    }

    /// Shows what was read from them.
    pub fn show(&self, certificate: &Certificate, tls: &Tls, stats: &EdgeStats) {
        tls.show(certificate);
        count(&stats.certificates_loaded);
        let days_left = tls.days_left(SystemTime::now());
        tracing::info!(file = %self.certificate.display(), days_left, "certificate in use");
    }

    /// When they were last written.
    fn written(&self) -> [Option<SystemTime>; 2] {
        let written = |path: &PathBuf| std::fs::metadata(path).and_then(|data| data.modified()).ok();
        [written(&self.certificate), written(&self.key)]
    }
}

/// Loads the files again whenever they change, until dropped. Programs that renew write one file after the other: a pair
/// that does not fit together is tried again when its other half has come.
pub async fn watch_files(files: CertificateFiles, tls: Tls, stats: Arc<EdgeStats>) {
    watch_every(INTERVAL, files, tls, stats).await;
}

pub(crate) async fn watch_every(
    interval: Duration,
    files: CertificateFiles,
    tls: Tls,
    stats: Arc<EdgeStats>,
) {
    let mut written = files.written();
    loop {
        tokio::time::sleep(interval).await;
        let now = files.written();
        if now == written {
            continue;
        }
        written = now;
        if let Err(error) = files.load(&tls, &stats) {
            tracing::error!(%error, "the new certificate is not used; the one before still is");
        }
    }
}
