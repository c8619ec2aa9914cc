// SPDX-License-Identifier: EUPL-1.2
//! By which rules a meeting is conducted.

use serde::{Deserialize, Deserializer, Serialize};

use super::{AssemblyLimits, Bound, Role, Secret};
use crate::features::{CommandError, over};
use crate::text;

/// The rules of one meeting, as `docs/meeting-protocol.md` lists them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Whoever comes waits until a moderator admits them.
    pub lobby: bool,
    /// Nobody comes in any more.
    pub locked: bool,
    /// Whoever comes says a password. The caller keeps it, and compares.
    pub password: bool,
    /// Everybody waits until somebody is there who conducts.
    pub opens_with_host: bool,
    /// What they are who come: speakers or viewers.
    pub default_role: Role,
    /// How many may be there before whoever comes next comes muted.
    pub mute_above: Option<u32>,
    /// Whether speakers turn their own microphones on. If not, they do when they are asked to.
    pub self_unmute: bool,
    /// Who writes to all.
    pub chat: ChatPolicy,
    /// Whether people write to one alone.
    pub private_chat: bool,
    /// Whether those who come are shown what was written before.
    pub chat_history: bool,
    /// Whether files are sent.
    pub files: bool,
    /// Who shares a screen without being given the right to.
    pub share: SharePolicy,
    /// Whether reactions pass.
    pub reactions: bool,
    /// Whether the title is told to those outside of a guarded room.
    pub title_outside: bool,
    /// Whether clients draw the name of who watches over what is watched.
    pub watermark: bool,
    /// Who conducts when nobody is there any more who does.
    pub successor: Successor,
}

/// Who writes to all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChatPolicy {
    /// All.
    All,
    /// Those who conduct, and whom they give the right to.
    Moderators,
    /// Nobody.
    Off,
}

/// Who shares a screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SharePolicy {
    /// All who speak.
    All,
    /// Those who conduct, and whom they give the right to.
    Moderators,
}

/// Who becomes the owner's stand-in when nobody conducts any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Successor {
    /// Nobody: the meeting waits for the owner.
    Nobody,
    /// The one of those who were moderators before who is there longest.
    Moderators,
    /// The speaker who is there longest.
    Longest,
}

impl Default for Policy {
    /// An open room, as rooms always were.
    fn default() -> Self {
        Policy {
            lobby: false,
            locked: false,
            password: false,
            opens_with_host: false,
            default_role: Role::Speaker,
            mute_above: None,
            self_unmute: true,
            chat: ChatPolicy::All,
            private_chat: true,
            chat_history: true,
            files: true,
            share: SharePolicy::All,
            reactions: true,
            title_outside: false,
            watermark: false,
            successor: Successor::Nobody,
        }
    }
}

/// Some of a policy: what is `None` stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)] // As in `Policy`.
pub struct PolicyChange {
    pub lobby: Option<bool>,
    pub locked: Option<bool>,
    /// The new password, or `Some(None)` for none.
    #[serde(deserialize_with = "said")]
    pub password: Option<Option<Secret>>,
    pub opens_with_host: Option<bool>,
    pub default_role: Option<Role>,
    #[serde(deserialize_with = "said")]
    pub mute_above: Option<Option<u32>>,
    pub self_unmute: Option<bool>,
    pub chat: Option<ChatPolicy>,
    pub private_chat: Option<bool>,
    pub chat_history: Option<bool>,
    pub files: Option<bool>,
    pub share: Option<SharePolicy>,
    pub reactions: Option<bool>,
    pub title_outside: Option<bool>,
    pub watermark: Option<bool>,
    pub successor: Option<Successor>,
}

/// Tells a null from a key that isn't there.
fn said<'de, D: Deserializer<'de>, T: Deserialize<'de>>(value: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(value).map(Some)
}

impl Policy {
    /// This policy with that change, or what is wrong with the change. The password's text is for the caller to keep.
    pub fn with(&self, change: &PolicyChange, limits: &AssemblyLimits) -> Result<Policy, CommandError> {
        if change.default_role.is_some_and(Role::is_moderator) {
            return Err(CommandError::bad_value("policy.default_role: speaker or viewer is needed"));
        }
        if let Some(Some(password)) = &change.password {
            if password.reveal().is_empty() {
                return Err(CommandError::bad_value(
                    "policy.password: it is empty; null takes the password away",
                ));
            }
            text::check_bytes("policy.password", password.reveal().len(), limits.password_bytes)
                .map_err(over(Bound::PasswordBytes))?;
        }
        Ok(Policy {
            lobby: change.lobby.unwrap_or(self.lobby),
            locked: change.locked.unwrap_or(self.locked),
            password: change.password.as_ref().map_or(self.password, Option::is_some),
            opens_with_host: change.opens_with_host.unwrap_or(self.opens_with_host),
            default_role: change.default_role.unwrap_or(self.default_role),
            mute_above: change.mute_above.unwrap_or(self.mute_above),
            self_unmute: change.self_unmute.unwrap_or(self.self_unmute),
            chat: change.chat.unwrap_or(self.chat),
            private_chat: change.private_chat.unwrap_or(self.private_chat),
            chat_history: change.chat_history.unwrap_or(self.chat_history),
            files: change.files.unwrap_or(self.files),
            share: change.share.unwrap_or(self.share),
            reactions: change.reactions.unwrap_or(self.reactions),
            title_outside: change.title_outside.unwrap_or(self.title_outside),
            watermark: change.watermark.unwrap_or(self.watermark),
            successor: change.successor.unwrap_or(self.successor),
        })
    }

    /// Whether something stands between the street and the room, so that it tells nothing of itself.
    pub fn is_guarded(&self) -> bool {
        self.lobby || self.locked || self.password || self.opens_with_host
    }
}
