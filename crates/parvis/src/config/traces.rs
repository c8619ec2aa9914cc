// SPDX-License-Identifier: EUPL-1.2
//! `[traces]`: which steps of joins and jobs took how long, told to a collector of the operator's.

use parvis_api::TraceConfig;
use serde::{Deserialize, Serialize};

use super::Config;
use super::apply::Problem;
use super::value::{Bounded, Count, Time};

/// Where traces go, and how many.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Traces {
    /// Empty: there are none.
    pub(crate) endpoint: String,
    pub(crate) sample_percent: Bounded<0, 100>,
    pub(crate) timeout: Time,
    pub(crate) queue: Count,
}

impl Default for Traces {
    fn default() -> Self {
        Traces {
            endpoint: String::new(),
            sample_percent: Bounded::of(5),
            timeout: Time::secs(5),
            queue: Bounded::of(2_048),
        }
    }
}

impl Config {
    /// How joins and jobs are traced; `None` where they are not.
    pub(crate) fn traces(&self) -> Result<Option<TraceConfig>, Problem> {
        let traces = &self.traces;
        if traces.endpoint.is_empty() {
            return Ok(None);
        }
        let config = TraceConfig {
            endpoint: traces.endpoint.clone(),
            sample_percent: u8::try_from(traces.sample_percent.get()).unwrap_or(100),
            timeout: traces.timeout.0,
            queue: traces.queue.size(),
        };
        if config.timeout.is_zero() {
            let problem = "no time at all would drop every trace; use a longer one, such as \"5s\"";
            return Err(("traces.timeout".to_owned(), problem.to_owned()));
        }
        config.check().map_err(|error| ("traces.endpoint".to_owned(), error.to_string()))?;
        Ok(Some(config))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_none_but_where_somebody_says_so() {
        let with = |change: fn(&mut Traces)| {
            let mut config = Config::default();
            change(&mut config.traces);
            config.traces()
        };
        assert!(with(|_| {}).unwrap().is_none());
        let usual = with(|traces| traces.endpoint = "http://127.0.0.1:4318/v1/traces".to_owned());
        let usual = usual.unwrap().unwrap();
        assert_eq!((usual.sample_percent, usual.queue), (5, 2_048));
        for (change, key) in [
            ((|traces| traces.endpoint = "127.0.0.1:4318".to_owned()) as fn(&mut Traces), "traces.endpoint"),
            (
                |traces| {
                    traces.endpoint = "http://127.0.0.1:4318/v1/traces".to_owned();
                    traces.timeout = Time::secs(0);
                },
                "traces.timeout",
            ),
        ] {
            assert_eq!(with(change).unwrap_err().0, key);
        }
    }
}
