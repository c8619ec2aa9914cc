// SPDX-License-Identifier: EUPL-1.2
//! Secrets that the service manager hands over (systemd.exec(5), `LoadCredential=`): files in memory that no other process of the
//! user reads. `$CREDENTIALS_DIRECTORY/NAME` names one wherever the configuration names a file with a secret.

use std::path::{Path, PathBuf};

use super::Config;
use super::apply::Problem;

/// What the name of such a file begins with.
const PLACE: &str = "$CREDENTIALS_DIRECTORY/";
/// Where the service manager finds them, and an operator whom it handed nothing: root reads there, and nobody else.
const STORE: &str = "/etc/credstore";

impl Config {
    /// Puts the folder in the place of the variable. `folder` is what the variable says, if there is one.
    pub(super) fn find_credentials(&mut self, folder: Option<&Path>) -> Result<(), Problem> {
        let folder = folder.unwrap_or(Path::new(STORE));
        let tls = &mut self.tls;
        let mut files = vec![
            ("tls.certificate", &mut tls.certificate),
            ("tls.key", &mut tls.key),
            ("tls.acme.eab_key_file", &mut tls.acme.eab_key_file),
            ("turn.secret_file", &mut self.turn.secret_file),
            ("recording.storage.credentials_file", &mut self.recording.storage.credentials_file),
        ];
        files.extend(self.database.url_file.as_mut().map(|file| ("database.url_file", file)));
        let keys = self.keys.iter_mut().filter_map(|key| key.secret_file.as_mut());
        files.extend(keys.map(|file| ("keys", file)));
        for (key, file) in files {
            if let Some(found) = found(file, folder).map_err(|problem| (key.to_owned(), problem))? {
                *file = found;
            }
        }
        Ok(())
    }
}

/// Where the credential lies that a path names; `None` for a path that names a file.
fn found(path: &Path, folder: &Path) -> Result<Option<PathBuf>, String> {
    let Some(name) = path.to_str().and_then(|path| path.strip_prefix(PLACE)) else { return Ok(None) };
    if name.is_empty() || name.contains('/') || name.starts_with('.') {
        return Err(format!("\"{}\" names no credential; write {PLACE}NAME", path.display()));
    }
    Ok(Some(folder.join(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(path: &str) -> Result<Option<PathBuf>, String> {
        found(Path::new(path), Path::new("/run/credentials/parvis.service"))
    }

    #[test]
    fn a_credential_is_found_by_its_name_alone() {
        let expected = PathBuf::from("/run/credentials/parvis.service/main");
        assert_eq!(placed("$CREDENTIALS_DIRECTORY/main"), Ok(Some(expected)));
        assert_eq!(placed("main.secret"), Ok(None));
        for wrong in ["$CREDENTIALS_DIRECTORY/", "$CREDENTIALS_DIRECTORY/../x", "$CREDENTIALS_DIRECTORY/a/b"]
        {
            assert!(placed(wrong).unwrap_err().contains("names no credential"), "{wrong}");
        }
    }

    #[test]
    fn every_file_with_a_secret_may_be_one() {
        let text = "[tls]\nkey = \"$CREDENTIALS_DIRECTORY/a\"\n[turn]\nsecret_file = \"$CREDENTIALS_DIRECTORY/b\"\n\
                    [database]\nurl_file = \"$CREDENTIALS_DIRECTORY/c\"\n[[keys]]\nname = \"main\"\n\
                    secret_file = \"$CREDENTIALS_DIRECTORY/d\"\n\
                    [recording.storage]\ncredentials_file = \"$CREDENTIALS_DIRECTORY/e\"\n";
        let mut config: Config = toml::from_str(text).unwrap();
        config.find_credentials(Some(Path::new("/c"))).unwrap();
        assert_eq!(config.tls.key, Path::new("/c/a"));
        assert_eq!(config.turn.secret_file, Path::new("/c/b"));
        assert_eq!(config.database.url_file.as_deref(), Some(Path::new("/c/c")));
        assert_eq!(config.keys[0].secret_file.as_deref(), Some(Path::new("/c/d")));
        assert_eq!(config.recording.storage.credentials_file, Path::new("/c/e"));
        // Without a service manager it is the store.
        let mut config: Config = toml::from_str(text).unwrap();
        config.find_credentials(None).unwrap();
        assert_eq!(config.tls.key, Path::new("/etc/credstore/a"));
    }
}
