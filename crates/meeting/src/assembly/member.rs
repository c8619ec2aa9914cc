// SPDX-License-Identifier: EUPL-1.2
//! Those inside.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::{AssemblyLimits, Rights, Role, Source};

/// Somebody who is in the meeting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub identity: String,
    /// By what name.
    pub name: String,
    /// As what.
    pub role: Role,
    /// What it may do.
    pub rights: Rights,
    /// Since when, in milliseconds since 1970.
    pub joined_ms: u64,
}

impl Member {
    /// Whether it conducts the meeting.
    pub fn is_moderator(&self) -> bool {
        self.role.is_moderator()
    }
}

/// Somebody of whom the room says that they are there.
#[derive(Debug, Clone, Default)]
pub struct Presence {
    /// Who.
    pub identity: String,
    /// By what name.
    pub name: String,
    /// What its token says that it is, where it says anything.
    pub role: Option<Role>,
    /// The hash of its seat, where it has one.
    pub seat: Option<String>,
}

/// What is known of somebody inside that features need not know.
#[derive(Debug)]
pub(super) struct Inside {
    /// Who came before and who after.
    pub(super) order: u64,
    pub(super) socket: Option<Socket>,
    pub(super) pace: Pace,
    /// What can be seen or heard of them.
    pub(super) sounding: BTreeSet<Source>,
    /// Until when the microphone that comes with them is turned off.
    pub(super) hush_until: Option<Instant>,
    /// Where their place is, if it isn't in the meeting itself.
    pub(super) breakout: Option<String>,
    /// The room has no longer seen them: they are in a breakout room.
    pub(super) elsewhere: bool,
    /// Until when they are kept without a socket meanwhile.
    pub(super) kept_until: Option<Instant>,
}

/// The meeting's socket of somebody inside.
#[derive(Debug)]
pub(super) struct Socket {
    /// Of the last state that was sent.
    pub(super) version: u64,
    /// The next one is the whole.
    pub(super) whole: bool,
    /// How often it asks for the whole.
    pub(super) wholes: Pace,
}

/// So many a second, and some more after a quiet time.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When the last one would have been due, had they come evenly.
    due: Option<Instant>,
}

impl Pace {
    /// Whether one more is within the pace. One that isn't costs nothing.
    pub(super) fn take(&mut self, now: Instant, per_second: u32, at_once: u32) -> bool {
        let Some(gap) = Duration::from_secs(1).checked_div(per_second) else { return false };
        let due = self.due.map_or(now, |due| due.max(now));
        if due.saturating_duration_since(now) >= gap * at_once.max(1) {
            return false;
        }
        self.due = Some(due + gap);
        true
    }
}

impl Inside {
    pub(super) fn new(order: u64) -> Inside {
        Inside {
            order,
            socket: None,
            pace: Pace::default(),
            sounding: BTreeSet::new(),
            hush_until: None,
            breakout: None,
            elsewhere: false,
            kept_until: None,
        }
    }

    pub(super) fn take_command(&mut self, now: Instant, limits: &AssemblyLimits) -> bool {
        self.pace.take(now, limits.commands_per_second, limits.commands_at_once)
    }
}
