// SPDX-License-Identifier: EUPL-1.2
//! What follows from what was told to an assembly, for its caller to carry out.

use serde::Serialize;

use super::{Rights, Role, Secret, Source, TurnedAway, WaitReason, WaitingId};

/// Something to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Goes to the meeting's socket of somebody inside.
    Send {
        /// Whose.
        identity: String,
        /// A JSON text: a snapshot, a patch, an answer or an event.
        message: String,
    },
    /// Somebody outside may come in.
    Admitted {
        /// Who.
        waiting: WaitingId,
        /// As what.
        role: Role,
    },
    /// Somebody outside waits for something else now.
    Waits {
        /// Who.
        waiting: WaitingId,
        /// For what.
        reason: WaitReason,
    },
    /// Somebody outside waits no longer. The secret is worth nothing from now on.
    Refused {
        /// Who.
        waiting: WaitingId,
        /// Why.
        reason: TurnedAway,
    },
    /// What somebody may do; told when they enter, and whenever it is something else.
    Rights {
        /// Who.
        identity: String,
        /// What.
        rights: Rights,
    },
    /// What somebody is; told when they enter, and whenever it is something else.
    Role {
        /// Who.
        identity: String,
        /// What.
        role: Role,
    },
    /// Tracks of that source are turned off.
    Mute {
        /// Whose.
        identity: String,
        /// Which.
        source: Source,
    },
    /// Somebody is put out, and every token of before is dead.
    Remove {
        /// Who.
        identity: String,
        /// Whether for good.
        banned: bool,
        /// Who did that; nobody when a ban of before did.
        by: Option<String>,
    },
    /// The meeting is over for all.
    End {
        /// Who said so.
        by: String,
    },
    /// Somebody's place is in a breakout room, or in the meeting again.
    Move {
        /// Who.
        identity: String,
        /// Which; `None` for the meeting itself.
        breakout: Option<String>,
    },
    /// A breakout room is over.
    CloseBreakout {
        /// Which.
        breakout: String,
    },
    /// Somebody wrote to all: for recordings that keep that. A private message never comes here.
    KeepMessage {
        /// Its number.
        message: u64,
        /// Who.
        identity: String,
        /// Their name when they did.
        name: String,
        /// What.
        text: String,
    },
    /// It was taken back: recordings forget it.
    ForgetMessage {
        /// Its number.
        message: u64,
    },
    /// The meeting has another password, or none. Until it is kept, nobody comes in by one.
    Password {
        /// Which.
        password: Option<Secret>,
    },
    /// [`super::Assembly::record`] is another one.
    Changed,
    /// Somebody conducted the meeting, or was not let to: for those who keep account of that.
    Conducted(Conducted),
}

/// What somebody did who conducts a meeting, or would have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conducted {
    /// Who.
    pub by: String,
    /// The command's word.
    pub word: &'static str,
    /// With whom, where it is one person who is known.
    pub whom: Option<String>,
    /// Whether for good, where somebody is put out.
    pub ban: bool,
    /// The code of why it was not done.
    pub refused: Option<&'static str>,
}

/// What whoever asks from outside may know of a meeting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// Its title, where that is for those outside.
    pub title: Option<String>,
    /// Whether it is encrypted from end to end.
    pub e2ee: bool,
    /// Whether one has to say a password.
    pub password: bool,
    /// Whether one has to wait.
    pub lobby: bool,
    /// Whether nobody comes in any more.
    pub locked: bool,
    /// How many are there, where nothing guards it.
    pub people: Option<usize>,
}
