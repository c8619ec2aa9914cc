// SPDX-License-Identifier: EUPL-1.2
//! What the last check came to, kept beside the database, where the server reads it for its metrics page. It has numbers only.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use parvis_api::{Sample, Source};
use serde::{Deserialize, Serialize};

use super::{Line, State};

/// In the data directory.
const FILE: &str = "check.json";
/// What is read of it at most.
const MAX_BYTES: u64 = 4_096;

/// How many lines were like what, and when.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Outcome {
    /// In seconds since 1970.
    at: u64,
    good: u32,
    poor: u32,
    bad: u32,
    skipped: u32,
}

impl Outcome {
    /// What these lines come to, now.
    pub(super) fn of(lines: &[Line]) -> Outcome {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut outcome = Outcome { at, ..Outcome::default() };
        for line in lines {
            let count = match line.state {
                State::Good => &mut outcome.good,
                State::Poor => &mut outcome.poor,
                State::Bad => &mut outcome.bad,
                State::Skipped => &mut outcome.skipped,
            };
            *count += 1;
        }
        outcome
    }

    /// Keeps it, in the place of the one before. Where no server ever was there is nothing to keep it for.
    pub(super) fn keep(self, data: &Path) -> io::Result<()> {
        if !data.is_dir() {
            return Ok(());
        }
        // Root may write here among what the server's user could have laid: a new file follows no link, and a rename neither.
        let fresh = data.join(format!(".{FILE}-{:016x}", rand::random::<u64>()));
        let write = || {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&fresh)?;
            file.write_all(&serde_json::to_vec(&self)?)?;
            fs::rename(&fresh, data.join(FILE))
        };
        write().inspect_err(|_| {
            let _ = fs::remove_file(&fresh);
        })
    }

    /// The one that was kept; `None` where there is none that can be read.
    fn kept(data: &Path) -> Option<Outcome> {
        let mut bytes = Vec::new();
        File::open(data.join(FILE)).ok()?.take(MAX_BYTES).read_to_end(&mut bytes).ok()?;
        serde_json::from_slice(&bytes).ok()
    }
}

/// The last one, for the metrics page.
pub(crate) fn figures(data: PathBuf) -> Source {
    Arc::new(move || {
        let Outcome { at, good, poor, bad, skipped } = Outcome::kept(&data).unwrap_or_default();
        let sample = |name: &str, help, labels, value| Sample {
            name: name.to_owned(),
            help,
            counter: false,
            labels,
            value,
        };
        let lines = [("good", good), ("poor", poor), ("bad", bad), ("skipped", skipped)];
        let lines = lines.map(|(state, count)| {
            let help = "What the last `parvis check` of this server came to, in lines.";
            sample("parvis_check_lines", help, vec![("state", state.to_owned())], f64::from(count))
        });
        let help = "When `parvis check` was last run; 0 if it was not yet.";
        let at = sample("parvis_check_timestamp_seconds", help, Vec::new(), at as f64);
        lines.into_iter().chain([at]).collect()
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn values(data: &Path) -> Vec<(String, f64)> {
        let samples = figures(data.to_owned())();
        let name = |sample: &Sample| match sample.labels.first() {
            Some((_, state)) => state.clone(),
            None => sample.name.clone(),
        };
        samples.iter().map(|sample| (name(sample), sample.value)).collect()
    }

    #[test]
    fn the_last_outcome_is_kept_and_shown_and_no_link_is_followed() {
        let data = std::env::temp_dir().join(format!("parvis-outcome-{:016x}", rand::random::<u64>()));
        let lines = [
            Line::good("a", "b", "c"),
            Line::good("a", "b", "c"),
            Line::poor("a", "b", "c", "d"),
            Line::bad("a", "b", "c", "d"),
        ];
        Outcome::of(&lines).keep(&data).unwrap();
        assert!(!data.exists(), "it makes no directory that would be root's");
        assert!(values(&data).iter().all(|(_, value)| *value == 0.0));

        fs::create_dir(&data).unwrap();
        fs::write(data.join("precious"), "gold").unwrap();
        symlink(data.join("precious"), data.join(FILE)).unwrap();
        Outcome::of(&lines).keep(&data).unwrap();
        assert_eq!(fs::read_to_string(data.join("precious")).unwrap(), "gold");
        let mode = fs::metadata(data.join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o644, "the server reads what root wrote");
        let seen = values(&data);
        let expected = [("good", 2.0), ("poor", 1.0), ("bad", 1.0), ("skipped", 0.0)];
        for (seen, (state, count)) in seen.iter().zip(expected) {
            assert_eq!((seen.0.as_str(), seen.1), (state, count));
        }
        assert!(seen[4].0 == "parvis_check_timestamp_seconds" && seen[4].1 > 1.7e9, "{seen:?}");

        Outcome::of(&lines[..1]).keep(&data).unwrap();
        assert_eq!(
            values(&data)[..3],
            [("good", 1.0), ("poor", 0.0), ("bad", 0.0)].map(|(s, v)| (s.to_owned(), v))
        );
        assert_eq!(fs::read_dir(&data).unwrap().count(), 2, "nothing else is left");
        fs::write(data.join(FILE), "{\"at\":1,\"good\":\"many\"}").unwrap();
        assert!(values(&data).iter().all(|(_, value)| *value == 0.0), "what is none counts for nothing");
        fs::remove_dir_all(&data).unwrap();
    }
}
