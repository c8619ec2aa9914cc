// SPDX-License-Identifier: EUPL-1.2
//! Live streams: whether, how many, where to, and what viewers get.

use std::path::Path;

use parvis_api::InternalPlaces;
use serde::{Deserialize, Serialize};

use super::Config;
use super::apply::Problem;
use super::value::{Bounded, Count, Time};
use crate::recording::{Lengths, LiveSettings, PushSettings};

/// How rooms are streamed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Streaming {
    pub(crate) enabled: bool,
    pub(crate) max_jobs: Bounded<1, 64>,
    pub(crate) max_targets: Bounded<0, 16>,
    pub(crate) allow_internal: Vec<String>,
    pub(crate) retries: Bounded<0, 1_000>,
    pub(crate) retry_delay: Time,
    pub(crate) target_timeout: Time,
    pub(crate) ladder: Vec<Bounded<180, 2_160>>,
    pub(crate) segment: Time,
    pub(crate) part: Time,
    pub(crate) segments: Bounded<3, 100>,
    /// Whether segments and images may be kept.
    pub(crate) keep: bool,
    pub(crate) max_waiting: Count,
    pub(crate) linger: Time,
}

impl Default for Streaming {
    fn default() -> Self {
        Streaming {
            enabled: false,
            max_jobs: Bounded::of(1),
            max_targets: Bounded::of(4),
            allow_internal: Vec::new(),
            retries: Bounded::of(10),
            retry_delay: Time::secs(2),
            target_timeout: Time::secs(10),
            ladder: [1_080, 720, 360].map(Bounded::of).to_vec(),
            segment: Time::secs(4),
            part: Time(std::time::Duration::from_millis(500)),
            segments: Bounded::of(6),
            keep: false,
            max_waiting: Bounded::of(10_000),
            linger: Time::secs(300),
        }
    }
}

impl Config {
    /// What streams are made by; `None` where there are none. Relative paths start at `base`.
    pub(crate) fn streaming(&self, base: &Path) -> Result<Option<LiveSettings>, Problem> {
        let streaming = &self.streaming;
        let problem = |key: &str, problem: String| Err((format!("streaming.{key}"), problem));
        let allowed = match InternalPlaces::parse(&streaming.allow_internal) {
            Ok(allowed) => allowed,
            Err(what) => return problem("allow_internal", what),
        };
        let millis = |time: Time| u32::try_from(time.0.as_millis()).unwrap_or(u32::MAX);
        let (segment, part) = (millis(streaming.segment), millis(streaming.part));
        if !(1_000..=10_000).contains(&segment) {
            return problem("segment", "a segment is 1 to 10 seconds long; use \"4s\"".to_owned());
        }
        if !(200..=segment / 2).contains(&part) {
            let what = "a part is 200ms long at least, and half of a segment at most; use \"500ms\"";
            return problem("part", what.to_owned());
        }
        for (key, time) in
            [("retry_delay", streaming.retry_delay), ("target_timeout", streaming.target_timeout)]
        {
            if time.limit().is_none() {
                return problem(key, "no time at all would give up every target; use \"10s\"".to_owned());
            }
        }
        let ladder: Vec<u32> = streaming.ladder.iter().map(|height| height.to_u32()).collect();
        if ladder.is_empty()
            || !ladder.is_sorted_by(|one, next| one > next)
            || ladder.iter().any(|height| height % 2 == 1)
        {
            let what = "name one height at least, even, the greatest first, like [1080, 720, 360]";
            return problem("ladder", what.to_owned());
        }
        if !streaming.enabled {
            return Ok(None);
        }
        if !self.recording.enabled {
            let what = "streams are made by what records: set recording.enabled too, or take this out";
            return problem("enabled", what.to_owned());
        }
        Ok(Some(LiveSettings {
            max_jobs: streaming.max_jobs.size(),
            max_targets: streaming.max_targets.size(),
            push: PushSettings {
                worker: self.media_worker(base),
                unconfined: self.recording.allow_unconfined,
                retries: streaming.retries.to_u32(),
                delay: streaming.retry_delay.0,
                patience: streaming.target_timeout.0,
                allowed,
            },
            ladder,
            lengths: Lengths { segment, part },
            listed: streaming.segments.size(),
            keep: streaming.keep,
            max_waiting: streaming.max_waiting.size(),
            linger: streaming.linger.0,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_made_only_where_they_are_wanted_and_can_be() {
        let with = |change: fn(&mut Config)| {
            let mut config = Config::default();
            (config.streaming.enabled, config.recording.enabled) = (true, true);
            change(&mut config);
            config.streaming(Path::new("/etc/parvis")).map_err(|(key, _)| key)
        };
        assert!(
            Config::default().streaming(Path::new("/")).unwrap().is_none(),
            "nothing is streamed unasked"
        );
        let settings = with(|_| {}).unwrap().unwrap();
        assert_eq!((settings.ladder, settings.lengths.part), (vec![1_080, 720, 360], 500));
        assert!(!settings.keep, "nothing lies in the clear unless somebody says so");
        for (change, key) in [
            ((|config| config.recording.enabled = false) as fn(&mut Config), "streaming.enabled"),
            (|config| config.streaming.segment = Time::secs(20), "streaming.segment"),
            (|config| config.streaming.part = Time::secs(3), "streaming.part"),
            (|config| config.streaming.retry_delay = Time::secs(0), "streaming.retry_delay"),
            (|config| config.streaming.ladder.reverse(), "streaming.ladder"),
            (|config| config.streaming.ladder.clear(), "streaming.ladder"),
            (|config| config.streaming.allow_internal = vec!["localhost".into()], "streaming.allow_internal"),
        ] {
            assert_eq!(with(change).unwrap_err(), key);
        }
    }
}
