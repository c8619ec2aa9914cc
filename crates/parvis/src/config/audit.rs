// SPDX-License-Identifier: EUPL-1.2
//! `[audit]`: what is written of acts that matter, for how long, and where it is signed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Config;
use super::apply::Problem;
use super::value::{Bounded, Count, Time};
use crate::audit::{AuditSettings, StampPlace, StampSettings, SyslogTarget};

/// Entries are kept for at least so long.
const MIN_KEEP: Duration = Duration::from_secs(180 * 86_400);

/// What happens with acts while the log takes none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum WhenFull {
    /// They go on, and it is counted that they are not in the log.
    Continue,
    /// They are refused.
    Refuse,
}

/// The audit log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Audit {
    pub(crate) enabled: bool,
    /// The log's and its key's.
    pub(crate) name: String,
    /// Empty: `audit.key` in the data directory.
    pub(crate) key_file: PathBuf,
    pub(crate) when_full: WhenFull,
    pub(crate) queue: Count,
    pub(crate) max_bytes: Bounded<1_048_576, 1_099_511_627_776>,
    pub(crate) keep: Time,
    pub(crate) checkpoint_interval: Time,
    /// Empty: `audit.checkpoints` in the data directory.
    pub(crate) checkpoint_file: PathBuf,
    /// Empty: none.
    pub(crate) syslog: String,
    /// Whether checkpoints go to the storage of `recording.storage` too.
    pub(crate) storage: bool,
    /// An authority of time-stamps; empty: none.
    pub(crate) stamp_url: String,
    pub(crate) stamp_interval: Time,
    pub(crate) stamp_timeout: Time,
    /// Whose word on the authority's certificate counts.
    pub(crate) stamp_ca_file: PathBuf,
    /// Under which policy stamps are to be made; empty: any.
    pub(crate) stamp_policy: String,
}

impl Default for Audit {
    fn default() -> Self {
        Audit {
            enabled: true,
            name: "parvis/audit".to_owned(),
            key_file: PathBuf::new(),
            when_full: WhenFull::Continue,
            queue: Bounded::of(10_000),
            max_bytes: Bounded::of(1 << 30),
            keep: Time(MIN_KEEP),
            checkpoint_interval: Time::secs(60),
            checkpoint_file: PathBuf::new(),
            syslog: String::new(),
            storage: false,
            stamp_url: String::new(),
            stamp_interval: Time::secs(3_600),
            stamp_timeout: Time::secs(10),
            stamp_ca_file: PathBuf::new(),
            stamp_policy: String::new(),
        }
    }
}

impl Audit {
    /// What the log may take; 0 where there is none.
    pub(crate) fn bytes(&self) -> u64 {
        if self.enabled { u64::try_from(self.max_bytes.get()).unwrap_or_default() } else { 0 }
    }

    /// Who stamps checkpoints.
    fn stamps(&self, base: &Path) -> Result<Option<StampSettings>, (&'static str, String)> {
        if self.stamp_url.is_empty() {
            return Ok(None);
        }
        let place = StampPlace::parse(&self.stamp_url).map_err(|problem| ("stamp_url", problem))?;
        let (interval, timeout) = (self.stamp_interval.0, self.stamp_timeout.0);
        if !(Duration::from_secs(1)..=Duration::from_secs(7 * 86_400)).contains(&interval) {
            return Err(("stamp_interval", "use a time from \"1s\" to \"7d\"".to_owned()));
        }
        if !(Duration::from_secs(1)..=Duration::from_secs(60)).contains(&timeout) {
            return Err(("stamp_timeout", "use a time from \"1s\" to \"1m\"".to_owned()));
        }
        if self.stamp_ca_file.as_os_str().is_empty() {
            let text = "name a file of the authority's CA, in PEM: without it nobody can tell its stamps";
            return Err(("stamp_ca_file", text.to_owned()));
        }
        if !self.stamp_policy.chars().all(|letter| letter.is_ascii_digit() || letter == '.') {
            return Err(("stamp_policy", "use an object identifier such as \"1.2.3.4.1\"".to_owned()));
        }
        let (ca_file, policy) = (base.join(&self.stamp_ca_file), self.stamp_policy.clone());
        Ok(Some(StampSettings { place, interval, timeout, ca_file, policy }))
    }
}

impl Config {
    /// How the audit log is kept; `None` where there is none. Relative paths start at `base`.
    pub(crate) fn audit(&self, base: &Path) -> Result<Option<AuditSettings>, Problem> {
        let audit = &self.audit;
        let wrong = |key: &str, text: String| Err((format!("audit.{key}"), text));
        if audit.keep.0 < MIN_KEEP {
            return wrong("keep", format!("{} is less than 180 days; use \"180d\" or more", audit.keep));
        }
        let interval = audit.checkpoint_interval.0;
        if !(Duration::from_secs(1)..=Duration::from_secs(86_400)).contains(&interval) {
            return wrong("checkpoint_interval", "use a time from \"1s\" to \"1d\"".to_owned());
        }
        if let Err(error) = parvis_audit::Signer::from_seed(&audit.name, &[1; 32]) {
            return wrong("name", format!("{error}; use one such as \"meet.example.eu/audit\""));
        }
        let syslog = match audit.syslog.as_str() {
            "" => None,
            text => Some(SyslogTarget::parse(text).map_err(|error| ("audit.syslog".to_owned(), error))?),
        };
        if audit.storage && self.recording.storage.endpoint.is_empty() {
            return wrong("storage", "there is none: name one in recording.storage, or say false".to_owned());
        }
        let stamps = audit.stamps(base).map_err(|(key, text)| (format!("audit.{key}"), text))?;
        if !audit.enabled {
            return Ok(None);
        }
        let place = |path: &PathBuf, usual: &str| match path.as_os_str().is_empty() {
            true => self.data.directory.join(usual),
            false => base.join(path),
        };
        Ok(Some(AuditSettings {
            name: audit.name.clone(),
            key_file: place(&audit.key_file, "audit.key"),
            refuse: audit.when_full == WhenFull::Refuse,
            queue: audit.queue.size(),
            keep: audit.keep.0,
            interval,
            checkpoint_file: place(&audit.checkpoint_file, "audit.checkpoints"),
            syslog,
            storage: audit.storage,
            stamps,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamped(seconds: u64) -> (String, Time) {
        ("https://time.example.org".to_owned(), Time::secs(seconds))
    }

    #[test]
    fn what_can_t_be_is_refused_by_its_key() {
        let with = |change: fn(&mut Audit)| {
            let mut config = Config::default();
            config.data.directory = "/data".into();
            change(&mut config.audit);
            config.audit(Path::new("/etc/parvis"))
        };
        let usual = with(|_| {}).unwrap().unwrap();
        assert_eq!(usual.key_file, Path::new("/data/audit.key"));
        assert_eq!(usual.checkpoint_file, Path::new("/data/audit.checkpoints"));
        assert!(!usual.refuse);
        let moved = with(|audit| {
            audit.checkpoint_file = "signed".into();
            audit.when_full = WhenFull::Refuse;
        });
        let moved = moved.unwrap().unwrap();
        assert_eq!(moved.checkpoint_file, Path::new("/etc/parvis/signed"));
        assert!(moved.refuse);
        assert!(with(|audit| audit.enabled = false).unwrap().is_none());
        for (change, key) in [
            ((|audit| audit.keep = Time::secs(179 * 86_400)) as fn(&mut Audit), "keep"),
            (|audit| audit.checkpoint_interval = Time::secs(0), "checkpoint_interval"),
            (|audit| audit.name = "two words".into(), "name"),
            (|audit| audit.name.clear(), "name"),
            (|audit| audit.syslog = "logs.example.org".into(), "syslog"),
            (|audit| audit.storage = true, "storage"),
            (|audit| audit.stamp_url = "time.example.org".into(), "stamp_url"),
            (|audit| audit.stamp_url = "https://me@time.example.org".into(), "stamp_url"),
            (|audit| audit.stamp_url = "https://time.example.org".into(), "stamp_ca_file"),
            (|audit| (audit.stamp_url, audit.stamp_interval) = stamped(0), "stamp_interval"),
            (|audit| (audit.stamp_url, audit.stamp_timeout) = stamped(61), "stamp_timeout"),
            (
                |audit| {
                    audit.stamp_url = "http://127.0.0.1/tsa".into();
                    audit.stamp_ca_file = "ca.pem".into();
                    audit.stamp_policy = "mine".into();
                },
                "stamp_policy",
            ),
        ] {
            assert_eq!(with(change).unwrap_err().0, format!("audit.{key}"));
        }
    }
}
