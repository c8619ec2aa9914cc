// SPDX-License-Identifier: EUPL-1.2
//! What passes between the door and those outside: who knocks, and what they are told.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Role;

/// Somebody at the door.
#[derive(Debug, Clone)]
pub struct Knock {
    /// The secret by which whoever has to wait is known; of the caller's making.
    pub waiting: WaitingId,
    /// Who it will be inside.
    pub identity: String,
    /// By what name.
    pub name: String,
    /// The hash of the secret of this browser in this room; empty for a client that has none.
    pub seat: String,
    /// The hash of the address from which it comes, where there is one.
    pub address: Option<String>,
    /// Whether it has shown the host key.
    pub host: bool,
    /// What became of the password.
    pub password: Password,
    /// What an application says, that has signed it in: such a token is a sign-in, and passes lobby and password.
    pub vouched: Option<Role>,
}

impl Knock {
    pub(super) fn seat(&self) -> Option<&str> {
        Some(self.seat.as_str()).filter(|seat| !seat.is_empty())
    }
}

/// What somebody at the door said for a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Password {
    /// Nothing.
    None,
    /// The right one.
    Right,
    /// Another one.
    Wrong,
}

/// What a knock is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// In.
    In {
        /// As what.
        role: Role,
    },
    /// To wait outside.
    Wait {
        /// For what.
        reason: WaitReason,
    },
}

/// For what somebody waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitReason {
    /// For a moderator to admit them.
    Lobby,
    /// For somebody who conducts to be there.
    Host,
    /// For a moderator: somebody from that address is banned.
    BannedAddress,
}

/// Why somebody is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A password is needed.
    #[error("this meeting has a password; say it to come in")]
    PasswordNeeded,
    /// It was another one.
    #[error("that is not the password of this meeting")]
    PasswordWrong,
    /// Nobody comes in any more.
    #[error("this meeting is locked; ask someone inside to open it")]
    Locked,
    /// Not this one.
    #[error("you were removed from this meeting; a moderator can let you in again")]
    Banned,
    /// No place is left, inside or in the lobby.
    #[error("this meeting is full; try again later")]
    Full,
    /// It is over.
    #[error("this meeting is over")]
    Ended,
}

/// Why somebody waits no longer without having been let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TurnedAway {
    /// A moderator said no.
    Refused,
    /// The meeting is over.
    Ended,
    /// The same seat has knocked again, and waits by another secret.
    Replaced,
    /// Its socket has been gone for too long: nobody is there to be told.
    Expired,
}

/// The secret by which somebody outside is known. It is not written to logs.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WaitingId(pub String);

impl fmt::Debug for WaitingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WaitingId(…)")
    }
}

/// A text that is not written to logs.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The text.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
