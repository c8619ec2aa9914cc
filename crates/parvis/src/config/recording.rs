// SPDX-License-Identifier: EUPL-1.2
//! Recordings: whether, where, for whom, and how much.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use parvis_age::Recipient;
use parvis_jobs::{EncoderFamily, JobConfig, Protection, Quota};
use serde::{Deserialize, Serialize};

use super::Config;
use super::apply::Problem;
use super::storage::Storage;
use super::value::{Bounded, Count, Time};
use crate::recording::{FilmBounds, FilmSettings, Keep, RecordingSettings};

/// How long a segment of a film may be, if there are any.
const SEGMENTS: RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_secs(3_600);
/// The worker's file name, where it is not named: it lies beside the server's own.
pub(crate) const WORKER: &str = "parvis-media";
/// Any encoder that works.
const AUTO: &str = "auto";

/// What is kept of meetings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Recording {
    pub(crate) enabled: bool,
    pub(crate) directory: PathBuf,
    pub(crate) recipients: Vec<String>,
    pub(crate) unprotected: bool,
    pub(crate) identity: PathBuf,
    pub(crate) worker: PathBuf,
    pub(crate) allow_unconfined: bool,
    pub(crate) encoder: String,
    pub(crate) name: String,
    pub(crate) max_jobs: Count,
    pub(crate) max_tracks: Count,
    pub(crate) max_bytes: Bounded<0, { i64::MAX }>,
    pub(crate) max_duration: Time,
    pub(crate) chat: bool,
    pub(crate) max_chat_bytes: Bounded<1_024, { 64 << 20 }>,
    pub(crate) min_free_bytes: Bounded<0, { i64::MAX }>,
    pub(crate) start_timeout: Time,
    pub(crate) silence_timeout: Time,
    pub(crate) stop_timeout: Time,
    pub(crate) max_restarts: Bounded<0, 100>,
    pub(crate) max_films: Bounded<0, 64>,
    pub(crate) film_timeout: Time,
    pub(crate) film_segment: Time,
    /// 0: as many as there are processors.
    pub(crate) film_parallel: Bounded<0, 256>,
    pub(crate) max_film_side: Bounded<320, 3_840>,
    pub(crate) max_film_rate: Bounded<1, 60>,
    /// In kbit/s.
    pub(crate) max_film_bitrate: Bounded<50, 100_000>,
    pub(crate) progress_interval: Time,
    /// In days; 0: for good.
    pub(crate) retention: Bounded<0, 36_500>,
    /// In days, by the organisation's name.
    pub(crate) tenant_retention: BTreeMap<String, Bounded<1, 36_500>>,
    pub(crate) storage: Storage,
}

impl Default for Recording {
    fn default() -> Self {
        let job = JobConfig::default();
        Recording {
            enabled: false,
            directory: PathBuf::new(),
            recipients: Vec::new(),
            unprotected: false,
            identity: PathBuf::new(),
            worker: PathBuf::new(),
            allow_unconfined: false,
            encoder: AUTO.to_owned(),
            name: "Recording".to_owned(),
            max_jobs: Bounded::of(50),
            max_tracks: Bounded::of(200),
            max_bytes: Bounded::of(20 << 30),
            max_duration: Time::secs(6 * 3_600),
            chat: false,
            max_chat_bytes: Bounded::of(4 << 20),
            min_free_bytes: Bounded::of(1 << 30),
            start_timeout: Time(job.start_timeout),
            silence_timeout: Time(job.silence_timeout),
            stop_timeout: Time(job.stop_timeout),
            max_restarts: Bounded::of(job.max_restarts.into()),
            max_films: Bounded::of(1),
            film_timeout: Time::secs(600),
            film_segment: Time::secs(60),
            film_parallel: Bounded::of(0),
            max_film_side: Bounded::of(1_920),
            max_film_rate: Bounded::of(60),
            max_film_bitrate: Bounded::of(8_000),
            progress_interval: Time::secs(10),
            retention: Bounded::of(0),
            tenant_retention: BTreeMap::new(),
            storage: Storage::default(),
        }
    }
}

impl Config {
    /// What the recorder is made from; `None` where nothing is recorded. Relative paths start at `base`.
    pub(crate) fn recording(&self, base: &Path) -> Result<Option<RecordingSettings>, Problem> {
        let recording = &self.recording;
        let problem = |key: &str, problem: String| Err((format!("recording.{key}"), problem));
        for (key, time) in [
            ("start_timeout", recording.start_timeout),
            ("silence_timeout", recording.silence_timeout),
            ("stop_timeout", recording.stop_timeout),
            ("progress_interval", recording.progress_interval),
            ("film_timeout", recording.film_timeout),
        ] {
            if time.limit().is_none() {
                return problem(
                    key,
                    "no time at all would end every recording; use a longer one, such as \"10s\"".to_owned(),
                );
            }
        }
        let segment = recording.film_segment.0;
        if !segment.is_zero() && !SEGMENTS.contains(&segment) {
            return problem(
                "film_segment",
                "a segment of a film has five seconds at least and an hour at most; \"0\" makes films in one go".to_owned(),
            );
        }
        if let Err(error) = parvis_meeting::text::check_name("name", &recording.name, 64) {
            return problem("name", error.to_string());
        }
        for recipient in &recording.recipients {
            // Nobody could open what is sealed for a key with a slip in it: its own check tells.
            if let Err(error) = recipient.parse::<Recipient>() {
                return problem(
                    "recipients",
                    format!(
                        "\"{recipient}\" is no age recipient ({error}); `age-keygen` prints one as \"Public key: age1…\""
                    ),
                );
            }
        }
        let families = EncoderFamily::ALL.map(EncoderFamily::name);
        if recording.encoder != AUTO && !families.contains(&recording.encoder.as_str()) {
            return problem(
                "encoder",
                format!(
                    "\"{}\" is no family of encoders; use \"{AUTO}\", \"{}\"",
                    recording.encoder,
                    families.join("\", \"")
                ),
            );
        }
        self.storage(base)?;
        let requested = self.requested_storages()?;
        if !recording.enabled {
            // What is wrong with it is said all the same.
            self.streaming(base)?;
            return Ok(None);
        }
        let protection = match (recording.recipients.is_empty(), recording.unprotected) {
            (false, false) => Protection::Age { recipients: recording.recipients.clone() },
            (true, true) => Protection::None,
            (true, false) => {
                return problem(
                    "recipients",
                    "recordings are sealed, and nobody could open them; name whom they are for, or set \
                     recording.unprotected to keep them in the clear"
                        .to_owned(),
                );
            }
            (false, true) => {
                return problem(
                    "unprotected",
                    "recordings can't both be sealed for recipients and lie in the clear; take one out"
                        .to_owned(),
                );
            }
        };
        let size = |value: i64| u64::try_from(value).unwrap_or_default();
        Ok(Some(RecordingSettings {
            directory: self.recordings_directory(base),
            worker: self.media_worker(base),
            unconfined: recording.allow_unconfined,
            encoder: recording.encoder.clone(),
            ipv4: true,
            protection,
            identity: match recording.identity.as_os_str().is_empty() {
                true => None,
                false => Some(base.join(&recording.identity)),
            },
            name: recording.name.clone(),
            max_jobs: recording.max_jobs.size(),
            quota: Quota {
                bytes: size(recording.max_bytes.get()),
                keep_free_bytes: size(recording.min_free_bytes.get()),
                seconds: recording.max_duration.0.as_secs(),
                tracks: recording.max_tracks.to_u32(),
            },
            chat_bytes: recording.max_chat_bytes.size(),
            job: JobConfig {
                start_timeout: recording.start_timeout.0,
                silence_timeout: recording.silence_timeout.0,
                stop_timeout: recording.stop_timeout.0,
                max_restarts: recording.max_restarts.to_u32(),
                ..JobConfig::default()
            },
            progress: recording.progress_interval.0,
            live: self.streaming(base)?,
            requested,
            film: FilmSettings {
                max: usize::try_from(recording.max_films.to_u32()).unwrap_or_default(),
                patience: recording.film_timeout.0,
                max_restarts: recording.max_restarts.to_u32(),
                segment,
                parallel: match recording.film_parallel.to_u32() {
                    0 => std::thread::available_parallelism().map_or(1, usize::from).min(256),
                    count => count as usize,
                },
                bounds: FilmBounds {
                    side: recording.max_film_side.to_u32(),
                    rate: recording.max_film_rate.to_u32(),
                    kbits: recording.max_film_bitrate.to_u32(),
                },
            },
        }))
    }

    /// Where recordings lie, whether any are made now or not. A relative path starts at `base`.
    pub(crate) fn recordings_directory(&self, base: &Path) -> PathBuf {
        match self.recording.directory.as_os_str().is_empty() {
            true => self.data.directory.join("recordings"),
            false => base.join(&self.recording.directory),
        }
    }

    /// How long recordings are kept after their end. It holds for those of before too, and when no new ones are made any more.
    pub(crate) fn recording_retention(&self) -> Keep {
        let Recording { retention, tenant_retention, .. } = &self.recording;
        let tenants = tenant_retention.iter().map(|(tenant, days)| (tenant.clone(), days.to_u32()));
        Keep { all: Some(retention.to_u32()).filter(|days| *days > 0), tenants: tenants.collect() }
    }

    /// The media worker's executable. A relative path starts at `base`.
    pub(crate) fn media_worker(&self, base: &Path) -> PathBuf {
        match self.recording.worker.as_os_str().is_empty() {
            true => beside_us().unwrap_or_else(|| PathBuf::from(WORKER)),
            false => base.join(&self.recording.worker),
        }
    }
}

fn beside_us() -> Option<PathBuf> {
    let us = std::env::current_exe().ok()?;
    Some(us.parent()?.join(WORKER))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADA: &str = "age1xd4agy57sq8asy5p2pkmxhgelyq20l0fq7am49l6q9wjt90ztdesx04y4a";

    fn with(change: impl FnOnce(&mut Recording)) -> Result<Option<RecordingSettings>, Problem> {
        let mut config = Config::default();
        config.recording.enabled = true;
        config.recording.recipients = vec![ADA.to_owned()];
        change(&mut config.recording);
        config.recording(Path::new("/etc/parvis"))
    }

    fn refused(change: impl FnOnce(&mut Recording)) -> String {
        with(change).map(|_| ()).unwrap_err().0
    }

    #[test]
    fn recordings_are_sealed_unless_somebody_says_otherwise() {
        assert!(
            Config::default().recording(Path::new("/")).unwrap().is_none(),
            "nothing is recorded unasked"
        );
        assert!(matches!(with(|_| {}).unwrap().unwrap().protection, Protection::Age { .. }));
        assert_eq!(refused(|recording| recording.recipients.clear()), "recording.recipients");
        assert_eq!(refused(|recording| recording.unprotected = true), "recording.unprotected");
        let clear = with(|recording| {
            recording.recipients.clear();
            recording.unprotected = true;
        });
        assert_eq!(clear.unwrap().unwrap().protection, Protection::None);
        let secret = "AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQ";
        assert_eq!(refused(|recording| recording.recipients = vec![secret.into()]), "recording.recipients");
        assert_eq!(refused(|recording| recording.stop_timeout = Time::secs(0)), "recording.stop_timeout");
        assert_eq!(refused(|recording| recording.film_segment = Time::secs(4)), "recording.film_segment");
        assert_eq!(refused(|recording| recording.film_segment = Time::secs(3_601)), "recording.film_segment");
        let whole = with(|recording| recording.film_segment = Time::secs(0)).unwrap().unwrap();
        assert!(whole.film.segment.is_zero() && whole.film.parallel >= 1, "as many as there are processors");
        assert_eq!(refused(|recording| recording.encoder = "x264enc".into()), "recording.encoder");
        let hardware = with(|recording| recording.encoder = "nvenc".into()).unwrap().unwrap();
        assert_eq!(hardware.encoder, "nvenc");
        assert_eq!(refused(|recording| recording.name = "a\u{202e}b".into()), "recording.name");
    }

    #[test]
    fn paths_start_at_the_configuration_and_the_worker_is_beside_us() {
        let settings = with(|recording| recording.directory = "kept".into()).unwrap().unwrap();
        assert_eq!(settings.identity, None, "the server has no key unless it is given one");
        let keyed = with(|recording| recording.identity = "key.txt".into()).unwrap().unwrap();
        assert_eq!(keyed.identity.as_deref(), Some(Path::new("/etc/parvis/key.txt")));
        assert_eq!(settings.directory, Path::new("/etc/parvis/kept"));
        assert_eq!(settings.worker.file_name().unwrap(), WORKER);
        assert!(settings.worker.is_absolute());
        assert_eq!(settings.quota.keep_free_bytes, 1 << 30);
    }

    #[test]
    fn recordings_are_kept_for_good_unless_somebody_says_otherwise() {
        let mut config = Config::default();
        assert_eq!(config.recording_retention(), Keep::default());
        config.recording.retention = Bounded::of(90);
        config.recording.tenant_retention.insert("acme".to_owned(), Bounded::of(7));
        let keep = Keep { all: Some(90), tenants: [("acme".to_owned(), 7)].into() };
        assert_eq!(config.recording_retention(), keep);
        assert!(!config.recording.enabled, "what was recorded before goes all the same");
    }
}
