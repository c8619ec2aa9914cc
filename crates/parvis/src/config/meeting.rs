// SPDX-License-Identifier: EUPL-1.2
//! How meetings are conducted of which nobody says otherwise, and what their conduct may grow to: `[meeting]`.

use std::sync::Arc;

use parvis_meeting::assembly::{AssemblyLimits, ChatPolicy, Policy, Role, SharePolicy, Successor};
use serde::{Deserialize, Serialize};

use super::value::{Bounded, Bytes, Count, Time};
use super::{Config, Rate, bytes, count, rate};

/// The rules of a meeting, as `docs/meeting-protocol.md` explains them, and its bounds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Meeting {
    pub(crate) lobby: bool,
    pub(crate) opens_with_host: bool,
    pub(crate) default_role: NewcomerRole,
    /// 0: nobody comes muted.
    pub(crate) mute_above: Bounded<0, 1_000_000>,
    pub(crate) self_unmute: bool,
    pub(crate) chat: ChatPolicy,
    pub(crate) private_chat: bool,
    pub(crate) chat_history: bool,
    pub(crate) files: bool,
    pub(crate) share: SharePolicy,
    pub(crate) reactions: bool,
    pub(crate) title_outside: bool,
    pub(crate) watermark: bool,
    pub(crate) successor: Successor,

    pub(crate) max: Count,
    pub(crate) keep: Time,
    pub(crate) password_tries_per_address: Rate,
    pub(crate) max_waiting: Count,
    pub(crate) max_waiting_per_address: Count,
    pub(crate) waiting_timeout: Time,
    pub(crate) max_note_chars: Bounded<1, 4_096>,
    pub(crate) return_window: Time,
    pub(crate) succession_after: Time,
    pub(crate) max_bans: Count,
    pub(crate) remembered_people: Count,
    pub(crate) max_found_viewers: Bounded<1, 500>,
    pub(crate) commands: Rate,
    pub(crate) max_reactions_per_second: Bounded<1, 10_000>,
    pub(crate) max_title_chars: Bounded<1, 4_096>,
    pub(crate) max_message_chars: Bounded<1, 16_000>,
    pub(crate) max_messages: Count,
    pub(crate) max_private_messages: Count,
    pub(crate) max_messages_bytes: Bytes,
    pub(crate) max_hands: Count,
    pub(crate) max_polls: Bounded<1, 1_000>,
    pub(crate) max_poll_options: Bounded<2, 100>,
    pub(crate) max_poll_votes: Count,
    pub(crate) max_spotlight: Bounded<1, 100>,
    pub(crate) max_breakouts: Bounded<1, 1_000>,
}

/// What they are who come: whoever conducts is one by key, by token or by a moderator's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum NewcomerRole {
    Speaker,
    Viewer,
}

impl Default for Meeting {
    fn default() -> Self {
        let (api, limits, policy) =
            (parvis_api::ApiConfig::default(), AssemblyLimits::default(), Policy::default());
        Meeting {
            lobby: policy.lobby,
            opens_with_host: policy.opens_with_host,
            default_role: NewcomerRole::Speaker,
            mute_above: Bounded::of(policy.mute_above.unwrap_or_default().into()),
            self_unmute: policy.self_unmute,
            chat: policy.chat,
            private_chat: policy.private_chat,
            chat_history: policy.chat_history,
            files: policy.files,
            share: policy.share,
            reactions: policy.reactions,
            title_outside: policy.title_outside,
            watermark: policy.watermark,
            successor: policy.successor,
            max: count(api.max_meetings),
            keep: Time(api.keep_meetings),
            password_tries_per_address: rate(api.password_tries),
            max_waiting: count(limits.waiting),
            max_waiting_per_address: count(limits.waiting_per_address),
            waiting_timeout: Time(limits.waiting_kept),
            max_note_chars: Bounded::of(limits.note_chars as i64),
            return_window: Time(limits.return_window),
            succession_after: Time(limits.succession_after),
            max_bans: count(limits.bans),
            remembered_people: count(limits.people_remembered),
            max_found_viewers: Bounded::of(limits.viewers_page as i64),
            commands: Rate {
                burst: Bounded::of(limits.commands_at_once.into()),
                per_second: Bounded::of(limits.commands_per_second.into()),
            },
            max_reactions_per_second: Bounded::of(limits.reactions_per_second.into()),
            max_title_chars: Bounded::of(limits.title_chars as i64),
            max_message_chars: Bounded::of(limits.message_chars as i64),
            max_messages: count(limits.messages),
            max_private_messages: count(limits.private_messages),
            max_messages_bytes: bytes(limits.messages_bytes),
            max_hands: count(limits.hands),
            max_polls: Bounded::of(limits.polls as i64),
            max_poll_options: Bounded::of(limits.poll_options as i64),
            max_poll_votes: count(limits.poll_votes),
            max_spotlight: Bounded::of(limits.spotlight as i64),
            max_breakouts: Bounded::of(limits.breakouts as i64),
        }
    }
}

impl Config {
    /// By which rules meetings begin.
    pub(super) fn meeting_policy(&self) -> Policy {
        let meeting = &self.meeting;
        Policy {
            lobby: meeting.lobby,
            opens_with_host: meeting.opens_with_host,
            default_role: match meeting.default_role {
                NewcomerRole::Speaker => Role::Speaker,
                NewcomerRole::Viewer => Role::Viewer,
            },
            mute_above: Some(meeting.mute_above.to_u32()).filter(|count| *count > 0),
            self_unmute: meeting.self_unmute,
            chat: meeting.chat,
            private_chat: meeting.private_chat,
            chat_history: meeting.chat_history,
            files: meeting.files,
            share: meeting.share,
            reactions: meeting.reactions,
            title_outside: meeting.title_outside,
            watermark: meeting.watermark,
            successor: meeting.successor,
            // Nobody could open what is locked, or say a password that nobody chose.
            locked: false,
            password: false,
        }
    }

    /// What the conduct of one meeting may grow to.
    pub(super) fn assembly_limits(&self) -> Arc<AssemblyLimits> {
        let (meeting, people) = (&self.meeting, self.rooms.max_participants.size());
        Arc::new(AssemblyLimits {
            // Whoever the room takes is known here, too.
            people,
            breakout_people: people * 2,
            people_remembered: meeting.remembered_people.size().max(people),
            viewers_page: meeting.max_found_viewers.size(),
            name_chars: self.rooms.max_name_chars.size(),
            waiting: meeting.max_waiting.size(),
            waiting_per_address: meeting.max_waiting_per_address.size(),
            waiting_kept: meeting.waiting_timeout.0,
            note_chars: meeting.max_note_chars.size(),
            return_window: meeting.return_window.0,
            succession_after: meeting.succession_after.0,
            bans: meeting.max_bans.size(),
            commands_per_second: meeting.commands.per_second.to_u32(),
            commands_at_once: meeting.commands.burst.to_u32(),
            reactions_per_second: meeting.max_reactions_per_second.to_u32(),
            title_chars: meeting.max_title_chars.size(),
            message_chars: meeting.max_message_chars.size(),
            messages: meeting.max_messages.size(),
            private_messages: meeting.max_private_messages.size(),
            messages_bytes: meeting.max_messages_bytes.size(),
            hands: meeting.max_hands.size(),
            polls: meeting.max_polls.size(),
            poll_options: meeting.max_poll_options.size(),
            poll_votes: meeting.max_poll_votes.size(),
            spotlight: meeting.max_spotlight.size(),
            breakouts: meeting.max_breakouts.size(),
            ..AssemblyLimits::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_sets_is_as_the_crate_below_has_it() {
        let config = Config::default();
        assert_eq!(config.meeting_policy(), Policy::default());
        assert_eq!(*config.assembly_limits(), AssemblyLimits::default());
    }

    #[test]
    fn what_is_set_reaches_the_meeting() {
        let mut config = Config::default();
        config.meeting.lobby = true;
        config.meeting.default_role = NewcomerRole::Viewer;
        config.meeting.mute_above = Bounded::of(7);
        config.meeting.chat = ChatPolicy::Moderators;
        config.rooms.max_participants = count(3_000);
        let policy = config.meeting_policy();
        let expected = Policy {
            lobby: true,
            default_role: Role::Viewer,
            mute_above: Some(7),
            chat: ChatPolicy::Moderators,
            ..Policy::default()
        };
        assert_eq!(policy, expected);
        let limits = config.assembly_limits();
        assert_eq!((limits.people, limits.people_remembered), (3_000, 3_000));
    }
}
