// SPDX-License-Identifier: EUPL-1.2
//! Who was there, when, and how long each spoke. It is shown to moderators who ask, and lives as long as the meeting.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::refusal::moderators_only;
use super::{CommandError, Context, Feature};
use crate::assembly::{Bound, Member};

/// The list of all who came.
#[derive(Debug, Default)]
pub struct Attendance {
    pub(super) people: BTreeMap<String, Attendee>,
    /// People of whom nothing is kept any more.
    forgotten: u64,
}

#[derive(Debug)]
pub(super) struct Attendee {
    name: String,
    /// Never empty; at most the last one has no end.
    stays: Vec<Stay>,
    spoke: Duration,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Stay {
    joined_ms: u64,
    left_ms: Option<u64>,
}

/// What is asked of the list.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "do", deny_unknown_fields)]
pub enum AttendanceCommand {
    /// The list, please.
    #[serde(rename = "attendance.get")]
    Get {},
}

#[derive(Serialize)]
struct Row<'a> {
    identity: &'a str,
    name: &'a str,
    joined_ms: u64,
    left_ms: Option<u64>,
    stays: &'a [Stay],
    spoke_ms: u64,
}

impl Attendee {
    fn is_here(&self) -> bool {
        self.stays.last().is_some_and(|stay| stay.left_ms.is_none())
    }

    fn present_ms(&self) -> u64 {
        self.stays.iter().filter_map(|stay| Some(stay.left_ms?.saturating_sub(stay.joined_ms))).sum()
    }

    fn row<'a>(&'a self, identity: &'a str) -> Row<'a> {
        Row {
            identity,
            name: &self.name,
            joined_ms: self.stays.first().map_or(0, |stay| stay.joined_ms),
            left_ms: self.stays.last().and_then(|stay| stay.left_ms),
            stays: &self.stays,
            spoke_ms: u64::try_from(self.spoke.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

impl Attendance {
    /// Makes place: whoever was there shortest and is gone is forgotten first, so that a stranger who comes and goes under
    /// ever new identities pushes out nobody but those.
    fn forget_one(&mut self) {
        let gone = self.people.iter().filter(|(_, attendee)| !attendee.is_here());
        let least = gone.min_by_key(|(_, attendee)| (attendee.spoke, attendee.present_ms()));
        if let Some(identity) = least.map(|(identity, _)| identity.clone()) {
            self.people.remove(&identity);
            self.forgotten += 1;
        }
    }
}

impl Feature for Attendance {
    type Command = AttendanceCommand;
    type View = ();
    const KEY: &'static str = "attendance";

    fn entered(&mut self, context: &mut Context<'_>, member: &Member) {
        let is_new = !self.people.contains_key(&member.identity);
        if is_new && self.people.len() >= context.limits.people_remembered {
            context.hit(Bound::PeopleRemembered);
            self.forget_one();
        }
        let attendee = self.people.entry(member.identity.clone()).or_insert_with(|| Attendee {
            name: String::new(),
            stays: Vec::new(),
            spoke: Duration::ZERO,
        });
        attendee.name.clone_from(&member.name);
        if attendee.is_here() {
            return;
        }
        let full = attendee.stays.len() >= context.limits.stays;
        match attendee.stays.last_mut().filter(|_| full) {
            // Too often to be told apart: the last stay goes on.
            Some(last) => {
                last.left_ms = None;
                context.hit(Bound::Stays);
            }
            None => attendee.stays.push(Stay { joined_ms: context.unix_ms, left_ms: None }),
        }
    }

    fn left(&mut self, context: &mut Context<'_>, identity: &str) {
        let last = self.people.get_mut(identity).and_then(|attendee| attendee.stays.last_mut());
        if let Some(stay) = last {
            stay.left_ms.get_or_insert(context.unix_ms);
        }
    }

    fn altered(&mut self, _: &mut Context<'_>, member: &Member) {
        if let Some(attendee) = self.people.get_mut(&member.identity) {
            attendee.name.clone_from(&member.name);
        }
    }

    fn spoke(&mut self, identity: &str, time: Duration) {
        if let Some(attendee) = self.people.get_mut(identity) {
            attendee.spoke = attendee.spoke.saturating_add(time);
        }
    }

    fn command(
        &mut self,
        _: &mut Context<'_>,
        actor: &Member,
        command: AttendanceCommand,
    ) -> Result<serde_json::Value, CommandError> {
        let AttendanceCommand::Get {} = command;
        moderators_only(actor, "see who was there")?;
        let mut rows: Vec<Row<'_>> =
            self.people.iter().map(|(identity, attendee)| attendee.row(identity)).collect();
        rows.sort_by_key(|row| row.joined_ms);
        Ok(json!({ "people": rows, "forgotten": self.forgotten }))
    }

    fn view(&self, _: &Member) {}
}
