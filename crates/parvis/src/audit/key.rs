// SPDX-License-Identifier: EUPL-1.2
//! The key that checkpoints are signed with: a file that only its owner reads.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use parvis_audit::{AuditError, Signer, Verifier};

/// A key's file has at most so many bytes.
const MAX_BYTES: u64 = 4_096;

/// Why there is no key, or nobody whose time-stamps are trusted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    #[error("audit.key_file: {}: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("audit.key_file: {}: {problem}; restore it from where you keep it, or take it away for a new one", path.display())]
    Broken { path: PathBuf, problem: AuditError },
    #[error(
        "audit.key_file: {}: is the key of \"{found}\", and audit.name is \"{name}\": name it so, or another file", path.display()
    )]
    Other { path: PathBuf, found: String, name: String },
    #[error("audit.stamp_ca_file: {}: {problem}; name a file of the authority's CA, in PEM", path.display())]
    Ca { path: PathBuf, problem: String },
}

/// The key in this file, which is made if there is none.
pub(super) fn load(path: &Path, name: &str) -> Result<Signer, KeyError> {
    let failed = |source| KeyError::File { path: path.to_owned(), source };
    let broken = |problem| KeyError::Broken { path: path.to_owned(), problem };
    match read(path) {
        Ok(text) => {
            let signer = Signer::parse(&text).map_err(broken)?;
            if signer.verifier().name() != name {
                let found = signer.verifier().name().to_owned();
                return Err(KeyError::Other { path: path.to_owned(), found, name: name.to_owned() });
            }
            Ok(signer)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let signer = Signer::from_seed(name, &rand::random()).map_err(broken)?;
            let mut options = OpenOptions::new();
            let mut file = options.write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
            writeln!(file, "{}", signer.to_secret_text()).and_then(|()| file.sync_all()).map_err(failed)?;
            Ok(signer)
        }
        Err(error) => Err(failed(error)),
    }
}

/// What checks signatures, as whoever verifies names it: the key itself, or a file that holds it or the private one.
pub(super) fn verifier(named: &str) -> Result<Verifier, String> {
    if let Ok(verifier) = Verifier::parse(named) {
        return Ok(verifier);
    }
    let text =
        read(Path::new(named)).map_err(|error| format!("{named}: no key, and no file of one: {error}"))?;
    let private = Signer::parse(&text).map(|signer| signer.verifier().clone());
    private.or_else(|_| Verifier::parse(&text)).map_err(|error| format!("{named}: {error}"))
}

fn read(path: &Path) -> Result<String, std::io::Error> {
    if fs::metadata(path)?.len() > MAX_BYTES {
        return Err(std::io::Error::new(ErrorKind::InvalidData, "it is too long for a key"));
    }
    fs::read_to_string(path)
}
