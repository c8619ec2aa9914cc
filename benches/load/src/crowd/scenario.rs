// SPDX-License-Identifier: EUPL-1.2
//! How many join, how fast, and what is asked about them.

use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::{LoadError, Protocol, Target};

/// How many join, how fast, and what is asked about them.
#[derive(Debug, Clone, Args, Serialize)]
pub struct CrowdScenario {
    /// On whom.
    #[command(flatten)]
    #[serde(flatten)]
    pub target: Target,
    /// How many rooms.
    #[arg(long, default_value_t = 100)]
    pub rooms: usize,
    /// The one room that all join, where others may be too; nothing of theirs is received. Without it, rooms of this run's own.
    #[arg(long, value_name = "NAME")]
    pub room: Option<String>,
    /// Participants in each.
    #[arg(long, default_value_t = 10)]
    pub each: usize,
    /// Joins that are begun and not at their end, at most. Enough of them keep the server busy.
    #[arg(long, default_value_t = 64, value_name = "N")]
    pub in_flight: usize,
    /// Seconds in which all must have joined.
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    pub join_timeout: u64,
    /// Seconds in which all are there and do nothing.
    #[arg(long, default_value_t = 20.0, value_name = "SECONDS")]
    pub idle: f64,
    /// Once all are there, someone leaves and another joins in his place, so many times.
    #[arg(long, default_value_t = 200, value_name = "N")]
    pub changes: usize,
    /// So many of these in a second.
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub change_rate: u32,
    /// Seconds in which each of RoomService's calls is made.
    #[arg(long, default_value_t = 4.0, value_name = "SECONDS")]
    pub call_seconds: f64,
    /// Connections that make calls, one after the other on each.
    #[arg(long, default_value_t = 16, value_name = "N")]
    pub connections: usize,
}

impl CrowdScenario {
    /// How many there are in all.
    pub fn participants(&self) -> usize {
        self.rooms * self.each
    }

    /// Whether nobody else is in its rooms.
    pub(super) fn is_alone(&self) -> bool {
        self.room.is_none()
    }

    /// Refuses what makes no sense.
    pub fn check(&self) -> Result<(), LoadError> {
        let wrong = |what: &str| Err(LoadError::Scenario(what.to_owned()));
        if self.participants() == 0 || self.participants() > MAX_PARTICIPANTS {
            return wrong("--rooms times --each is 1 to 20000");
        }
        if self.room.is_some() && self.rooms != 1 {
            return wrong("--room names one room: give --rooms 1 with it");
        }
        if !(1..=MAX_IN_FLIGHT).contains(&self.in_flight) {
            return wrong("--in-flight is 1 to 512: each has a thread of its own until it is let in");
        }
        if !(1..=MAX_CONNECTIONS).contains(&self.connections) {
            return wrong("--connections is 1 to 256");
        }
        if self.change_rate == 0 || self.changes > MAX_PARTICIPANTS {
            return wrong("--change-rate is at least 1, --changes at most 20000");
        }
        let times = [self.idle, self.call_seconds];
        if times.iter().any(|seconds| !(*seconds > 0.0 && *seconds <= 3_600.0)) {
            return wrong("--idle and --call-seconds are above 0 and at most an hour");
        }
        if self.target.protocol != Protocol::LiveKit {
            return wrong("--protocol of a crowd is livekit: it is asked about by RoomService");
        }
        self.target.check()
    }

    /// Files that are open at the same time: two sockets for each who is there or comes, one for each connection that
    /// makes calls, and a few of our own.
    pub(super) fn files(&self) -> u64 {
        (2 * (self.participants() + self.in_flight) + self.connections + 64) as u64
    }

    pub(super) fn idle_time(&self) -> Duration {
        Duration::from_secs_f64(self.idle)
    }

    pub(super) fn call_time(&self) -> Duration {
        Duration::from_secs_f64(self.call_seconds)
    }
}

const MAX_PARTICIPANTS: usize = 20_000;
const MAX_IN_FLIGHT: usize = 512;
const MAX_CONNECTIONS: usize = 256;

#[cfg(test)]
pub(super) mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        scenario: CrowdScenario,
    }

    /// The scenario of a command line.
    pub(in crate::crowd) fn of(arguments: &str) -> CrowdScenario {
        Line::parse_from(["crowd"].into_iter().chain(arguments.split_whitespace())).scenario
    }

    #[test]
    fn a_crowd_that_makes_no_sense_says_what_to_do() {
        for (arguments, part) in [
            ("--rooms 0", "--rooms"),
            ("--rooms 2001", "--rooms"),
            ("--room x", "--rooms 1"),
            ("--in-flight 0", "--in-flight"),
            ("--in-flight 513", "--in-flight"),
            ("--connections 0", "--connections"),
            ("--change-rate 0", "--change-rate"),
            ("--idle 0", "--idle"),
            ("--call-seconds 4000", "--call-seconds"),
            ("--server http://x", "ws://"),
            ("--protocol janus", "--protocol"),
        ] {
            let error = of(arguments).check().unwrap_err().to_string();
            assert!(error.contains(part), "{arguments}: {error}");
        }
        let good = of("");
        good.check().unwrap();
        assert_eq!((good.participants(), good.files()), (1_000, 2_208));
    }
}
