// SPDX-License-Identifier: EUPL-1.2
//! What people do in a meeting besides sending sound and pictures: one module for each feature, all of one shape.
//!
//! A feature holds its own state and knows nothing of the others. It is told who is here ([`Feature::entered`],
//! [`Feature::left`]), takes commands of whoever sits there, says what changed by [`Context::changed`] and what passes by
//! [`Context::tell`], and shows its state to each person as that person may see it ([`Feature::view`]). Who may do what by role is
//! asked of the [`Member`] and the [`Policy`] in the context: an actor is always a member, never a name out of a message.
//!
//! Adding one is a file here, its words in `docs/meeting-protocol.md`, and its line in the list of `assembly`.

mod attendance;
mod breakouts;
mod broadcasts;
mod chat;
mod hands;
mod polls;
mod reactions;
mod refusal;
#[cfg(test)]
mod tests;
mod viewers;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::assembly::{AssemblyLimits, Bound, BoundStats, Member, Policy};

pub use attendance::{Attendance, AttendanceCommand};
pub use breakouts::{BreakoutCommand, BreakoutView, Breakouts, BreakoutsView, NewRoom};
pub use chat::{Chat, ChatCommand, Message, Messages, RetractedBy};
pub use hands::{HandCommand, Hands, Queue, Raised};
pub use polls::{PollCommand, PollView, Polls, PollsView};
pub use reactions::{EMOJI, ReactionCommand, Reactions};
pub(crate) use refusal::over;
pub use viewers::{ViewerCommand, Viewers};

/// One feature of a meeting. All times are the caller's.
pub trait Feature {
    /// What is asked of it: one variant for each command that `docs/meeting-protocol.md` gives it, tagged by `do`.
    type Command: DeserializeOwned;
    /// Its state as one person may see it: the value below its key in a snapshot.
    type View: Serialize;
    /// Its key in snapshots and patches.
    const KEY: &'static str;

    /// Somebody is here; again after a reload or a lost connection.
    fn entered(&mut self, context: &mut Context<'_>, member: &Member) {
        let _ = (context, member);
    }

    /// The meeting's socket of somebody who is here is there; again after each move and each lost connection. What passed meanwhile
    /// has not reached them.
    fn connected(&mut self, context: &mut Context<'_>, member: &Member) {
        let _ = (context, member);
    }

    /// Somebody has gone.
    fn left(&mut self, context: &mut Context<'_>, identity: &str) {
        let _ = (context, identity);
    }

    /// Somebody who is here has another name, another role or other rights. Whose role is another one gets a snapshot
    /// anyway.
    fn altered(&mut self, context: &mut Context<'_>, member: &Member) {
        let _ = (context, member);
    }

    /// Somebody was heard for so long.
    fn spoke(&mut self, identity: &str, time: Duration) {
        let _ = (identity, time);
    }

    /// Does what `actor` asks, or says why not. The answer is what the command's sender is told.
    fn command(
        &mut self,
        context: &mut Context<'_>,
        actor: &Member,
        command: Self::Command,
    ) -> Result<serde_json::Value, CommandError>;

    /// Its state for `viewer`.
    fn view(&self, viewer: &Member) -> Self::View;

    /// Those with the same number have equal views, which are written once for all of them; with `None` one's view is
    /// one's own. The numbers hold for one round of patches.
    fn view_class(&self, viewer: &Member) -> Option<u64> {
        let _ = viewer;
        None
    }

    /// What of the state changed for `viewer` since the last patch, where that is less than all of it.
    fn patch(&self, viewer: &Member) -> Self::View {
        self.view(viewer)
    }

    /// The changes that [`Feature::patch`] gave are on their way to everybody.
    fn patched(&mut self) {}

    /// When [`Feature::handle_timeout`] wants to be called.
    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// Its time has come.
    fn handle_timeout(&mut self, context: &mut Context<'_>) {
        let _ = context;
    }
}

/// What a feature may know while it works, and where it leaves what follows from it.
#[derive(Debug)]
pub struct Context<'a> {
    /// Now.
    pub now: Instant,
    /// The same in milliseconds since 1970.
    pub unix_ms: u64,
    /// Whether the meeting is encrypted from end to end: what people say there is sealed before it comes here.
    pub e2ee: bool,
    /// What holds in this meeting.
    pub policy: &'a Policy,
    /// The bounds.
    pub limits: &'a AssemblyLimits,
    /// Who is here, by identity.
    pub members: &'a BTreeMap<String, Member>,
    /// Whose view changed.
    pub(crate) changes: &'a mut Vec<Audience>,
    /// What passes.
    pub(crate) told: &'a mut Vec<(Audience, Notice)>,
    /// How often each bound held.
    pub(crate) bounds: &'a mut BoundStats,
    /// What is to be done outside of the features.
    pub(crate) wanted: &'a mut Vec<Want>,
}

impl Context<'_> {
    /// The feature's state is another one for these people.
    pub fn changed(&mut self, audience: Audience) {
        self.changes.push(audience);
    }

    /// Tells people something that passes.
    pub fn tell(&mut self, audience: Audience, notice: Notice) {
        self.told.push((audience, notice));
    }

    /// Counts that something was let go because of a bound. What is refused is counted by [`CommandError::at`].
    pub fn hit(&mut self, bound: Bound) {
        self.bounds.hit(bound);
    }

    /// Has something done that lies outside of the features.
    pub fn want(&mut self, want: Want) {
        self.wanted.push(want);
    }
}

/// Whom something concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audience {
    /// All who are in the meeting.
    Everyone,
    /// Owners and moderators.
    Moderators,
    /// These, by identity.
    These(Vec<String>),
}

/// What passes and is not state: an event of `docs/meeting-protocol.md`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
#[allow(missing_docs)] // The fields are those of the page; `identity` and `by` are identities.
pub enum Notice {
    /// Somebody reacts.
    Reaction {
        identity: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        emoji: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        sealed: Option<String>,
    },
    /// A moderator has turned off the receiver's microphone, camera or screen.
    Muted { source: String, by: String },
    /// A moderator asks the receiver to turn it on.
    UnmuteAsked { source: String, by: String },
    /// It is the receiver's turn to speak.
    Called { by: String },
    /// The receiver was removed.
    Removed { banned: bool },
    /// The meeting was ended for all.
    Ended { by: String },
    /// A moderator speaks to all breakout rooms, or did while the receiver could not hear it.
    Broadcast { text: String, by: String, name: String, at_ms: u64 },
    /// The receiver's place is in another room now.
    Breakout { room: String, name: String },
    /// A breakout room asks for a moderator.
    Help { room: String, identity: String },
    /// Somebody waits outside.
    Knock { id: String, name: String },
}

/// What a feature has done by others.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // `identity` and `by` are identities, `breakout` is a room's id.
pub enum Want {
    /// Asks somebody to turn the microphone on, and gives the right to do so.
    LetSpeak { identity: String, by: String },
    /// Moves somebody into a breakout room of this meeting, or back (`None`).
    Move { identity: String, breakout: Option<String> },
    /// Ends a breakout room.
    CloseBreakout { breakout: String },
    /// Has recordings keep what somebody wrote to all.
    KeepMessage { message: u64, identity: String, name: String, text: String },
    /// Has them forget it: it was taken back.
    ForgetMessage { message: u64 },
}

/// Why a command was not done: a code for programs, a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize)]
#[error("{message}")]
pub struct CommandError {
    /// One word of a fixed list: `not_allowed`, `not_found`, `bad_value`, `too_many`, `closed`.
    pub code: &'static str,
    /// What was wrong and what to do.
    pub message: String,
    /// The bound that was in the way, if one was: it is counted, and not said.
    #[serde(skip)]
    pub bound: Option<Bound>,
}
