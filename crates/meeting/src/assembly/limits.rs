// SPDX-License-Identifier: EUPL-1.2
//! Every bound of how a meeting is conducted, in one place.

use std::time::Duration;

use super::BoundStats;

/// What the conduct of one meeting may grow to. A key that a stranger can repeat has a bound here, and a counter in
/// [`AssemblyStats`] that shows it being hit. At the defaults a full meeting takes about
/// 500 people × 4 KB + 100 waiting × 1 KB + 2,000 remembered × 1 KB + 4 MiB of messages = 8.3 MB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssemblyLimits {
    /// Bytes of one command: those of a frame of the socket.
    pub command_bytes: usize,
    /// Commands a second of one person, in the long run. A person clicks 2 or 3 times a second, a client answers with as many.
    pub commands_per_second: u32,
    /// Commands at once after a quiet time: a client that comes back sends a dozen.
    pub commands_at_once: u32,
    /// Reactions a second of the whole meeting. Each goes to all: 40 × 500 people = 20,000 short messages a second.
    pub reactions_per_second: u32,
    /// Time between two patches for each person connected beyond [`AssemblyLimits::patch_free`]: one's own view
    /// of 20 polls takes 36 µs to write and what all see alike 0.6 µs (500 people, unoptimised build, docs/decisions/0057), so that
    /// views never take more than a tenth of a core. 500 people: 0.2 s.
    pub patch_pace: Duration,
    /// How many are patched as often as something changes.
    pub patch_free: u32,

    /// People inside of whom we know. The room has a bound of its own, and this one is not below it.
    pub people: usize,
    /// People in the lobby.
    pub waiting: usize,
    /// Of these, how many of one address: a quarter, so that one household doesn't fill the lobby of all.
    pub waiting_per_address: usize,
    /// Characters of what whoever waits says to those who let people in: a sentence.
    pub note_chars: usize,
    /// How long a place in the lobby is kept after its socket has gone, or before it has come.
    pub waiting_kept: Duration,
    /// How long whoever was in comes back past lobby, lock and password, as after a reload; and how long after having been let
    /// in one may take to come in.
    pub return_window: Duration,
    /// How long somebody in a breakout room belongs to the meeting without its socket: a network that changes takes less.
    pub elsewhere_kept: Duration,
    /// How long a meeting stays without a moderator before another one takes over: longer than a reload.
    pub succession_after: Duration,
    /// How long after somebody came the microphone that comes with them is turned off, where the policy says so.
    pub hush: Duration,

    /// Characters of a name.
    pub name_chars: usize,
    /// Characters of a title.
    pub title_chars: usize,
    /// Bytes of a password: hashing takes as long as the text is.
    pub password_bytes: usize,
    /// Who can be in the spotlight at one time.
    pub spotlight: usize,
    /// Who can be banned at one time. The oldest is never forgotten for want of place: a further one is refused.
    pub bans: usize,
    /// Viewers on one page of a search among them: 50 × 0.3 KB.
    pub viewers_page: usize,
    /// People of whom is known what was decided for them, those inside included; four times as many as can be inside.
    pub people_remembered: usize,

    /// Characters of a chat message.
    pub message_chars: usize,
    /// Chat messages that are kept.
    pub messages: usize,
    /// Of these, how many of one to another.
    pub private_messages: usize,
    /// Bytes of all of them: 1,000 of 4,000 characters of one byte.
    pub messages_bytes: usize,
    /// Hands that are up at one time.
    pub hands: usize,
    /// How long the place of a hand is kept whose owner has gone.
    pub hand_kept: Duration,
    /// Reactions of one person in [`AssemblyLimits::reactions_span`].
    pub reactions: usize,
    /// See [`AssemblyLimits::reactions`].
    pub reactions_span: Duration,
    /// Characters of a reaction that is sealed: a sign takes 83 of them.
    pub sealed_reaction_chars: usize,
    /// Polls, open and closed, at one time.
    pub polls: usize,
    /// Characters of a poll's question: in an encrypted meeting it holds the sealed answers as well. 20 polls × 4 KB = 80 KB.
    pub poll_question_chars: usize,
    /// Answers that a poll may offer.
    pub poll_options: usize,
    /// Characters of one of them.
    pub poll_option_chars: usize,
    /// Votes of one poll: twice as many as people can be inside. 20 polls × 1,000 × 0.2 KB = 4 MB.
    pub poll_votes: usize,
    /// Stays of one person that the list of who was there tells apart: 2,000 people × 16 × 24 bytes = 0.8 MB.
    pub stays: usize,
    /// Breakout rooms at one time.
    pub breakouts: usize,
    /// Characters of the name of one of them.
    pub breakout_name_chars: usize,
    /// The longest time for which they can be opened; a day.
    pub breakout_minutes: u64,
    /// People who belong to one, those included who are gone for now: twice as many as can be inside.
    pub breakout_people: usize,
    /// What was said to all rooms last and is told again to whoever comes to one: as many as stand on a screen at one time. 4 × 16 KB.
    pub broadcasts: usize,
}

impl Default for AssemblyLimits {
    fn default() -> Self {
        AssemblyLimits {
            command_bytes: 64 * 1024,
            commands_per_second: 10,
            commands_at_once: 40,
            reactions_per_second: 40,
            patch_pace: Duration::from_micros(400),
            patch_free: 20,
            people: 500,
            waiting: 100,
            waiting_per_address: 25,
            note_chars: 200,
            waiting_kept: Duration::from_secs(15),
            return_window: Duration::from_secs(300),
            elsewhere_kept: Duration::from_secs(30),
            succession_after: Duration::from_secs(20),
            hush: Duration::from_secs(5),
            name_chars: 256,
            title_chars: 256,
            password_bytes: 256,
            spotlight: 6,
            bans: 500,
            viewers_page: 50,
            people_remembered: 2_000,
            message_chars: 4_000,
            messages: 1_000,
            private_messages: 500,
            messages_bytes: 4 * 1024 * 1024,
            hands: 500,
            hand_kept: Duration::from_secs(15),
            reactions: 10,
            reactions_span: Duration::from_secs(5),
            sealed_reaction_chars: 128,
            polls: 20,
            poll_question_chars: 4_000,
            poll_options: 10,
            poll_option_chars: 200,
            poll_votes: 1_000,
            stays: 16,
            breakouts: 50,
            breakout_name_chars: 100,
            breakout_minutes: 24 * 60,
            breakout_people: 1_000,
            broadcasts: 4,
        }
    }
}

/// How often a bound or a rule held. Each is a metric.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AssemblyStats {
    /// Knocks at the door.
    pub knocks: u64,
    /// Knocks that had to wait.
    pub told_to_wait: u64,
    /// Knocks without the password, or with a wrong one.
    pub refused_password: u64,
    /// Knocks at a locked door.
    pub refused_locked: u64,
    /// Knocks, and entries without one, of somebody banned.
    pub refused_banned: u64,
    /// Knocks for which there was no place, inside or in the lobby.
    pub refused_full: u64,
    /// Places in the lobby that were given up.
    pub waiting_expired: u64,
    /// Commands that came.
    pub commands: u64,
    /// Commands that were no command.
    pub commands_malformed: u64,
    /// Commands beyond the rate of one person.
    pub commands_too_many: u64,
    /// Commands that were refused for another reason.
    pub commands_refused: u64,
    /// Reactions beyond the rate of the meeting, which nobody saw.
    pub reactions_dropped: u64,
    /// States that were sent whole.
    pub snapshots: u64,
    /// States of which was sent what changed.
    pub patches: u64,
    /// People who were removed.
    pub removed: u64,
    /// People of whom was forgotten what was decided for them, for want of place.
    pub forgotten: u64,
    /// Meetings that were handed over because nobody conducted them any more.
    pub handed_over: u64,
    /// How often each bound held.
    pub bounds: BoundStats,
}
