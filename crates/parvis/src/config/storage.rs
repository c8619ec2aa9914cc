// SPDX-License-Identifier: EUPL-1.2
//! `[recording.storage]`: where recordings lie besides the disk, or instead.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Config;
use super::apply::Problem;
use super::edge::read_secret;
use super::value::Bounded;
use crate::recording::{Allowed, Remote, Requested, StorageSettings};

/// Buckets that requests may name.
const MAX_REQUESTED: usize = 64;

/// A storage that speaks S3.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Storage {
    /// Empty: there is none.
    pub(crate) endpoint: String,
    pub(crate) region: String,
    pub(crate) bucket: String,
    pub(crate) prefix: String,
    /// The key's id in its first line, its secret in the second.
    pub(crate) credentials_file: PathBuf,
    pub(crate) path_style: bool,
    pub(crate) keep_local: bool,
    pub(crate) max_uploads: Bounded<1, 64>,
    /// Buckets that requests may name, as `https://HOST/BUCKET`.
    pub(crate) requested: Vec<String>,
}

impl Default for Storage {
    fn default() -> Self {
        Storage {
            endpoint: String::new(),
            region: "us-east-1".to_owned(),
            bucket: String::new(),
            prefix: String::new(),
            credentials_file: PathBuf::new(),
            path_style: true,
            keep_local: true,
            max_uploads: Bounded::of(2),
            requested: Vec::new(),
        }
    }
}

impl Config {
    /// The storage that recordings are sent to; `None` where they stay here. A relative path starts at `base`.
    pub(crate) fn storage(&self, base: &Path) -> Result<Option<StorageSettings>, Problem> {
        let storage = &self.recording.storage;
        let key = |key: &str| format!("recording.storage.{key}");
        let problem = |name: &str, text: &str| Err((key(name), text.to_owned()));
        let endpoint = storage.endpoint.trim_end_matches('/');
        if endpoint.is_empty() {
            return Ok(None);
        }
        if !is_endpoint(endpoint) {
            return problem(
                "endpoint",
                "is no address of a storage; use one such as \"https://s3.example.org\"",
            );
        }
        if !is_bucket(&storage.bucket) {
            return problem("bucket", "is no bucket's name: 3 to 63 of a-z, 0-9, dots and hyphens");
        }
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'/');
        if !storage.prefix.bytes().all(is_plain) || storage.prefix.len() > 256 {
            return problem(
                "prefix",
                "has others than letters, digits, _, - and /, or more than 256 of them",
            );
        }
        if storage.credentials_file.as_os_str().is_empty() {
            return problem(
                "credentials_file",
                "is missing; name a file with the key's id and, in a second line, its secret",
            );
        }
        let path = base.join(&storage.credentials_file);
        let text = read_secret(&key("credentials_file"), &path)?;
        let mut lines = text.lines().map(|line| line.trim().to_owned());
        let (Some(key_id), Some(secret), None) = (lines.next(), lines.next(), lines.next()) else {
            let text = format!("{}: has not two lines: the key's id, and its secret", path.display());
            return Err((key("credentials_file"), text));
        };
        let settings = StorageSettings {
            endpoint: endpoint.to_owned(),
            region: storage.region.clone(),
            bucket: storage.bucket.clone(),
            prefix: storage.prefix.clone(),
            key_id,
            secret,
            token: String::new(),
            requested: false,
            path_style: storage.path_style,
            keep_local: storage.keep_local,
            parallel: usize::try_from(storage.max_uploads.to_u32()).unwrap_or(1),
        };
        // What else is wrong is found where it is made.
        Remote::new(settings.clone()).map_err(|error| (key("endpoint"), error.to_string()))?;
        Ok(Some(settings))
    }

    /// The storages that requests may name.
    pub(crate) fn requested_storages(&self) -> Result<Requested, Problem> {
        let storage = &self.recording.storage;
        let problem = |text: String| Err(("recording.storage.requested".to_owned(), text));
        if storage.requested.len() > MAX_REQUESTED {
            return problem(format!(
                "has {} buckets, at most {MAX_REQUESTED} may be",
                storage.requested.len()
            ));
        }
        let mut allowed = Vec::new();
        for named in &storage.requested {
            match named
                .rsplit_once('/')
                .filter(|(endpoint, bucket)| is_endpoint(endpoint) && is_bucket(bucket))
            {
                Some((endpoint, bucket)) => {
                    allowed.push(Allowed { endpoint: endpoint.to_owned(), bucket: bucket.to_owned() });
                }
                None => {
                    return problem(format!(
                        "{named:?} is no bucket's address; use one such as \"https://s3.example.org/bucket\""
                    ));
                }
            }
        }
        let parallel = usize::try_from(storage.max_uploads.to_u32()).unwrap_or(1);
        Ok(Requested { allowed, keep_local: storage.keep_local, parallel })
    }
}

/// Whether it is the address of a storage, and of nothing in it.
fn is_endpoint(text: &str) -> bool {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '@', '?', '#', ' ', '*']))
}

fn is_bucket(text: &str) -> bool {
    let is_plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-');
    (3..=63).contains(&text.len()) && text.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storage_takes_an_address_a_bucket_and_a_key_that_stands_in_no_configuration() {
        let folder = std::env::temp_dir().join(format!("parvis-storage-{:016x}", rand::random::<u64>()));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("key"), "AKIA\n hush \n").unwrap();
        std::fs::write(folder.join("half"), "AKIA\n").unwrap();
        let with = |change: fn(&mut Storage)| {
            let mut config = Config::default();
            config.recording.storage = Storage {
                endpoint: "https://s3.example.org/".into(),
                bucket: "meetings".into(),
                credentials_file: "key".into(),
                ..Storage::default()
            };
            change(&mut config.recording.storage);
            config.storage(&folder).map_err(|(key, _)| key)
        };
        let settings = with(|_| {}).unwrap().unwrap();
        assert_eq!((settings.key_id.as_str(), settings.secret.as_str()), ("AKIA", "hush"));
        assert!(!format!("{settings:?}").contains("hush"), "{settings:?}");
        assert_eq!(with(|storage| storage.endpoint.clear()), Ok(None), "nothing is sent anywhere unasked");
        for (change, key) in [
            ((|storage| storage.endpoint = "s3.example.org".into()) as fn(&mut Storage), "endpoint"),
            (|storage| storage.endpoint = "https://a:b@s3.example.org".into(), "endpoint"),
            (|storage| storage.endpoint = "https://s3.example.org/bucket".into(), "endpoint"),
            (|storage| storage.bucket = "No".into(), "bucket"),
            (|storage| storage.prefix = "../up".into(), "prefix"),
            (|storage| storage.credentials_file = PathBuf::new(), "credentials_file"),
            (|storage| storage.credentials_file = "none".into(), "credentials_file"),
            (|storage| storage.credentials_file = "half".into(), "credentials_file"),
        ] {
            assert_eq!(with(change).unwrap_err(), format!("recording.storage.{key}"));
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn buckets_that_requests_may_name_are_whole_addresses() {
        let with = |named: &[&str]| {
            let mut config = Config::default();
            config.recording.storage.requested = named.iter().map(|&named| named.to_owned()).collect();
            config.requested_storages()
        };
        assert_eq!(with(&[]).unwrap().allowed, [], "nobody may name one unasked");
        let allowed =
            with(&["https://s3.example.org/theirs", "http://127.0.0.1:9000/others"]).unwrap().allowed;
        let of = |allowed: &Allowed| format!("{} {}", allowed.endpoint, allowed.bucket);
        assert_eq!(
            allowed.iter().map(of).collect::<Vec<_>>(),
            ["https://s3.example.org theirs", "http://127.0.0.1:9000 others"]
        );
        for wrong in [
            "https://s3.example.org",
            "https://s3.example.org/",
            "s3.example.org/theirs",
            "https://s3.example.org/a/theirs",
            "https://a:b@s3.example.org/theirs",
            "https:///theirs",
            "https://*/theirs",
            "https://s3.example.org/*",
            "file:///theirs",
        ] {
            let refused = with(&[wrong]).map_err(|(key, text)| format!("{key}: {text}"));
            assert!(
                refused
                    .is_err_and(|text| text.contains("recording.storage.requested") && text.contains(wrong)),
                "{wrong}"
            );
        }
        assert!(with(&["https://s3.example.org/theirs"; MAX_REQUESTED + 1]).is_err());
    }
}
