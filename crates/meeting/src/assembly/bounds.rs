// SPDX-License-Identifier: EUPL-1.2
//! The bounds of a meeting's conduct by name, and how often each of them held.

/// A bound of [`super::AssemblyLimits`]. What is refused, left out or let go because of one is counted under its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // Each is what the limit of that name says.
pub enum Bound {
    CommandBytes,
    Commands,
    Resyncs,
    Reactions,
    MeetingReactions,
    SealedReactionChars,
    People,
    Waiting,
    WaitingPerAddress,
    PeopleRemembered,
    NoteChars,
    Notes,
    SearchChars,
    Bans,
    Spotlight,
    PasswordBytes,
    MessageChars,
    Messages,
    PrivateMessages,
    MessagesBytes,
    Hands,
    Polls,
    PollQuestionChars,
    PollOptions,
    PollOptionChars,
    PollVotes,
    Stays,
    Breakouts,
    BreakoutNameChars,
    BreakoutMinutes,
    BreakoutPeople,
    Broadcasts,
    Sockets,
}

/// Every bound, in the order of their variants.
const ALL: [(Bound, &str); 33] = [
    (Bound::CommandBytes, "command_bytes"),
    (Bound::Commands, "commands"),
    (Bound::Resyncs, "resyncs"),
    (Bound::Reactions, "reactions"),
    (Bound::MeetingReactions, "meeting_reactions"),
    (Bound::SealedReactionChars, "sealed_reaction_chars"),
    (Bound::People, "people"),
    (Bound::Waiting, "waiting"),
    (Bound::WaitingPerAddress, "waiting_per_address"),
    (Bound::PeopleRemembered, "people_remembered"),
    (Bound::NoteChars, "note_chars"),
    (Bound::Notes, "notes"),
    (Bound::SearchChars, "search_chars"),
    (Bound::Bans, "bans"),
    (Bound::Spotlight, "spotlight"),
    (Bound::PasswordBytes, "password_bytes"),
    (Bound::MessageChars, "message_chars"),
    (Bound::Messages, "messages"),
    (Bound::PrivateMessages, "private_messages"),
    (Bound::MessagesBytes, "messages_bytes"),
    (Bound::Hands, "hands"),
    (Bound::Polls, "polls"),
    (Bound::PollQuestionChars, "poll_question_chars"),
    (Bound::PollOptions, "poll_options"),
    (Bound::PollOptionChars, "poll_option_chars"),
    (Bound::PollVotes, "poll_votes"),
    (Bound::Stays, "stays"),
    (Bound::Breakouts, "breakouts"),
    (Bound::BreakoutNameChars, "breakout_name_chars"),
    (Bound::BreakoutMinutes, "breakout_minutes"),
    (Bound::BreakoutPeople, "breakout_people"),
    (Bound::Broadcasts, "broadcasts"),
    (Bound::Sockets, "sockets"),
];

/// How often each bound held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BoundStats([u64; ALL.len()]);

impl Default for BoundStats {
    fn default() -> Self {
        BoundStats([0; ALL.len()])
    }
}

impl BoundStats {
    /// It held once more.
    pub fn hit(&mut self, bound: Bound) {
        self.add(bound, 1);
    }

    /// It held so many times more.
    pub(super) fn add(&mut self, bound: Bound, times: u64) {
        if let Some(count) = self.0.get_mut(bound as usize) {
            *count += times;
        }
    }

    /// How often one of them held.
    pub fn of(&self, bound: Bound) -> u64 {
        self.0.get(bound as usize).copied().unwrap_or_default()
    }

    /// Each by its name.
    pub fn by_name(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        ALL.iter().map(|(bound, name)| (*name, self.of(*bound)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_bound_has_a_name_and_a_count_of_its_own() {
        let names: BTreeSet<&str> = ALL.iter().map(|(_, name)| *name).collect();
        assert_eq!(names.len(), ALL.len());
        for (place, (bound, name)) in ALL.iter().enumerate() {
            assert_eq!(*bound as usize, place, "{name} stands where its variant does");
            let mut stats = BoundStats::default();
            stats.hit(*bound);
            let counted: Vec<(&str, u64)> = stats.by_name().filter(|(_, count)| *count > 0).collect();
            assert_eq!(counted, [(*name, 1)]);
        }
    }
}
