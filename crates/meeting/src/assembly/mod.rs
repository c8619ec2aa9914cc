// SPDX-License-Identifier: EUPL-1.2
//! How a meeting is conducted: who may come in, who may do what, and what people do besides sending sound and pictures.
//! `docs/meeting-protocol.md` is what it looks like from outside.
//!
//! An [`Assembly`] stands beside the [`crate::Room`] of the same meeting. It is told who knocks, who is there and what they
//! ask, and says what follows by [`Assembly::poll_output`]; it opens no socket, reads no clock and makes no secret.
//! After each call, outputs are polled until there are none, and [`Assembly::handle_timeout`] is called at
//! [`Assembly::poll_timeout`].
//!
//! **The invariants:** nothing is sent to anybody who is not inside. Nobody's rights are more than the role and the policy
//! can have ([`Rights::most`]), and [`Output::Rights`] has told the caller what they are. The versions of the states that
//! one socket is sent grow by one.
//!
//! `door` and `output` are the words in which it is spoken to; `lobby` and `presence` are about coming and going, `commands`
//! and `conduct` about what is asked, `state` about what is shown, `standing` about what is remembered; `list` names the features.
//!
//! ```
//! use std::{sync::Arc, time::Instant};
//! use parvis_meeting::assembly::{
//!     Assembly, AssemblyLimits, Entry, Founding, Knock, Output, Password, Policy, Presence, Role, WaitReason, WaitingId,
//! };
//!
//! let now = Instant::now();
//! let policy = Policy { lobby: true, ..Policy::default() };
//! let founding = Founding { title: "Council".to_owned(), e2ee: false, owned: true };
//! let mut council = Assembly::new(Arc::new(AssemblyLimits::default()), founding, policy);
//!
//! // Ada made the room, and is in it.
//! let ada = Presence { identity: "ada".into(), name: "Ada".into(), role: Some(Role::Owner), seat: None };
//! council.entered(now, 0, ada);
//! council.attach(now, 0, "ada");
//!
//! // Bo comes by the link, and waits until she lets him in.
//! let secret = WaitingId("6f1c".into());
//! let knock = Knock {
//!     waiting: secret.clone(), identity: "bo".into(), name: "Bo".into(), seat: "seat of bo".into(), address: None,
//!     host: false, password: Password::None, vouched: None,
//! };
//! assert_eq!(council.knock(now, 0, knock), Ok(Entry::Wait { reason: WaitReason::Lobby }));
//! council.waiting_connected(now, &secret);
//! council.message(now, 0, "ada", r#"{ "id": 1, "do": "lobby.admit", "everyone": true }"#);
//!
//! let outputs: Vec<Output> = std::iter::from_fn(|| council.poll_output()).collect();
//! assert!(outputs.contains(&Output::Admitted { waiting: secret, role: Role::Speaker }));
//! ```

mod bounds;
mod commands;
mod conduct;
mod door;
mod limits;
mod list;
mod lobby;
mod member;
mod output;
mod parse;
mod policy;
mod presence;
mod record;
mod role;
mod standing;
mod state;
mod succession;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

pub use bounds::{Bound, BoundStats};
pub use door::{Entry, Knock, Password, Refused, Secret, TurnedAway, WaitReason, WaitingId};
pub use limits::{AssemblyLimits, AssemblyStats};
pub use member::{Member, Presence};
pub use output::{Conducted, Facts, Output};
pub use policy::{ChatPolicy, Policy, PolicyChange, SharePolicy, Successor};
pub use record::{Record, RecordedRole};
pub use role::{Rights, RightsChange, Role, Source};
pub use standing::Ban;

use list::Slot;
use lobby::Lobby;
use member::{Inside, Pace};
use standing::Standings;
use state::Stale;

use crate::features::{Audience, Context, Notice, Want};

/// The conduct of one meeting. See this module's page.
#[derive(Debug)]
pub struct Assembly {
    limits: Arc<AssemblyLimits>,
    founding: Founding,
    policy: Policy,
    /// When something was last told.
    last: Option<At>,
    ended: bool,
    /// The last number that was given to a place in the lobby or to a ban.
    numbers: u64,
    arrivals: u64,
    members: BTreeMap<String, Member>,
    /// Of the same people as `members`, what features need not know.
    inside: BTreeMap<String, Inside>,
    standings: Standings,
    bans: Vec<Ban>,
    lobby: Lobby,
    spotlight: Vec<String>,
    /// Whether anybody ever conducted this meeting.
    conducted: bool,
    /// Since when nobody does whom somebody is to follow.
    leaderless_since: Option<Instant>,
    features: Vec<Slot>,
    reactions: Pace,
    stale: Stale,
    patched_at: Option<Instant>,
    queue: VecDeque<Queued>,
    stats: AssemblyStats,
}

/// What is settled when a room is made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Founding {
    /// By what name people know the meeting; empty for none.
    pub title: String,
    /// Whether it is encrypted from end to end.
    pub e2ee: bool,
    /// Whether somebody has a host key.
    pub owned: bool,
}

/// The caller's time.
#[derive(Debug, Clone, Copy)]
struct At {
    now: Instant,
    unix_ms: u64,
}

/// What waits to be polled.
#[derive(Debug)]
enum Queued {
    /// Goes to somebody's socket if they are still inside when it is polled.
    Told { identity: String, message: String },
    /// The last word to somebody who is put out.
    LastWord { identity: String, message: String },
    /// To be done, whoever is there.
    Done(Output),
}

impl Assembly {
    /// A meeting in which nobody is yet.
    pub fn new(limits: Arc<AssemblyLimits>, founding: Founding, policy: Policy) -> Assembly {
        let title = presence::displayed(&founding.title, limits.title_chars);
        // Nobody conducts for having come, whatever the caller's configuration says.
        let default_role = policy.default_role.min(Role::Speaker);
        let features = list::features();
        Assembly {
            limits,
            founding: Founding { title, ..founding },
            policy: Policy { default_role, ..policy },
            last: None,
            ended: false,
            numbers: 0,
            arrivals: 0,
            members: BTreeMap::new(),
            inside: BTreeMap::new(),
            standings: Standings::default(),
            bans: Vec::new(),
            lobby: Lobby::default(),
            spotlight: Vec::new(),
            conducted: false,
            leaderless_since: None,
            stale: Stale::of(&features),
            features,
            reactions: Pace::default(),
            patched_at: None,
            queue: VecDeque::new(),
            stats: AssemblyStats::default(),
        }
    }

    /// Puts other bounds in force. Whoever is in stays, also beyond a lower number.
    pub fn set_limits(&mut self, limits: Arc<AssemblyLimits>) {
        self.limits = limits;
    }

    /// What is to be done next. A state whose parts changed several times since it was last polled is one patch.
    pub fn poll_output(&mut self) -> Option<Output> {
        loop {
            match self.queue.pop_front() {
                Some(Queued::Done(output)) => return Some(output),
                Some(Queued::LastWord { identity, message }) => {
                    return Some(Output::Send { identity, message });
                }
                Some(Queued::Told { identity, message }) if self.is_connected(&identity) => {
                    return Some(Output::Send { identity, message });
                }
                Some(Queued::Told { .. }) => {}
                None if self.write_states() => {}
                None => return None,
            }
        }
    }

    /// When [`Assembly::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let features = self.features.iter().filter_map(|slot| slot.feature.poll_timeout());
        let people = [self.next_gone(), self.next_unhush(), self.lobby.next_expiry()];
        let rest = people.into_iter().chain([self.succession_due(), self.patches_due()]);
        features.chain(rest.flatten()).min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant, unix_ms: u64) {
        let at = self.at(now, unix_ms);
        self.expire_waiting(at);
        self.unhush(at);
        self.end_kept(at);
        if self.succession_due().is_some_and(|due| due <= now) {
            self.hand_over(at);
        }
        self.with_features(at, |slot, context| {
            if slot.feature.poll_timeout().is_some_and(|due| due <= context.now) {
                slot.feature.handle_timeout(context);
            }
        });
    }

    /// What those outside may know.
    pub fn facts(&self) -> Facts {
        let open = !self.policy.is_guarded();
        let title = (open || self.policy.title_outside).then(|| self.founding.title.clone());
        Facts {
            title: title.filter(|title| !title.is_empty()),
            e2ee: self.founding.e2ee,
            password: self.policy.password,
            lobby: self.policy.lobby || self.policy.opens_with_host,
            locked: self.policy.locked,
            people: open.then_some(self.members.len()),
        }
    }

    /// What was settled when the room was made.
    pub fn founding(&self) -> &Founding {
        &self.founding
    }

    /// The rules.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Those inside.
    pub fn members(&self) -> impl ExactSizeIterator<Item = &Member> + '_ {
        self.members.values()
    }

    /// What somebody may do; nothing for whoever isn't inside.
    pub fn rights(&self, identity: &str) -> Rights {
        self.members.get(identity).map(|member| member.rights).unwrap_or_default()
    }

    /// What somebody inside is.
    pub fn role(&self, identity: &str) -> Option<Role> {
        self.members.get(identity).map(|member| member.role)
    }

    /// What somebody inside is shown of a feature, by its key.
    pub fn shown(&self, identity: &str, key: &str) -> Option<serde_json::Value> {
        let member = self.members.get(identity)?;
        let slot = self.features.iter().find(|slot| slot.key == Some(key))?;
        serde_json::from_str(&slot.feature.view(member, true)).ok()
    }

    /// In which breakout room somebody's place is, if it is in one.
    pub fn breakout_of(&self, identity: &str) -> Option<&str> {
        self.inside.get(identity)?.breakout.as_deref()
    }

    /// How many wait outside.
    pub fn waiting(&self) -> usize {
        self.lobby.len()
    }

    /// A bound held that whoever calls this keeps.
    pub fn note_bound(&mut self, bound: Bound) {
        self.stats.bounds.hit(bound);
    }

    /// How often bounds and rules held.
    pub fn stats(&self) -> AssemblyStats {
        self.stats
    }

    fn at(&mut self, now: Instant, unix_ms: u64) -> At {
        let at = At { now, unix_ms };
        self.last = Some(at);
        at
    }

    /// The same of an event of which nobody is told when it was.
    fn at_now(&mut self, now: Instant) -> At {
        let unix_ms = self.last.map(|last| {
            let since = now.saturating_duration_since(last.now).as_millis();
            last.unix_ms.saturating_add(u64::try_from(since).unwrap_or(u64::MAX))
        });
        self.at(now, unix_ms.unwrap_or_default())
    }

    fn next_number(&mut self) -> String {
        self.numbers += 1;
        self.numbers.to_string()
    }

    fn push(&mut self, output: Output) {
        self.queue.push_back(Queued::Done(output));
    }

    fn is_connected(&self, identity: &str) -> bool {
        is_connected(&self.inside, identity)
    }

    /// Lets each feature do something, and does what follows from it.
    fn with_features(&mut self, at: At, mut act: impl FnMut(&mut Slot, &mut Context<'_>)) {
        let (mut told, mut wanted) = (Vec::new(), Vec::new());
        for (place, slot) in self.features.iter_mut().enumerate() {
            let mut changes = Vec::new();
            let mut context = Context {
                now: at.now,
                unix_ms: at.unix_ms,
                e2ee: self.founding.e2ee,
                policy: &self.policy,
                limits: &self.limits,
                members: &self.members,
                changes: &mut changes,
                told: &mut told,
                bounds: &mut self.stats.bounds,
                wanted: &mut wanted,
            };
            act(slot, &mut context);
            self.stale.feature(place, changes);
        }
        for (audience, notice) in told {
            self.tell(at, &audience, &notice);
        }
        for want in wanted {
            self.carry_out(at, want);
        }
    }

    fn carry_out(&mut self, at: At, want: Want) {
        match want {
            Want::LetSpeak { identity, by } => self.let_speak(at, &identity, &by),
            Want::Move { identity, breakout } => {
                if let Some(inside) = self.inside.get_mut(&identity) {
                    inside.breakout.clone_from(&breakout);
                    self.push(Output::Move { identity, breakout });
                }
            }
            Want::CloseBreakout { breakout } => self.push(Output::CloseBreakout { breakout }),
            Want::KeepMessage { message, identity, name, text } => {
                self.push(Output::KeepMessage { message, identity, name, text });
            }
            Want::ForgetMessage { message } => self.push(Output::ForgetMessage { message }),
        }
    }

    /// Says something that passes to those of an audience who are connected.
    fn tell(&mut self, at: At, audience: &Audience, notice: &Notice) {
        if matches!(notice, Notice::Reaction { .. }) {
            let pace = self.limits.reactions_per_second;
            if !self.reactions.take(at.now, pace, pace) {
                self.stats.reactions_dropped += 1;
                self.stats.bounds.hit(Bound::MeetingReactions);
                return;
            }
        }
        let message = state::event(notice);
        let told: Vec<&String> = match audience {
            Audience::These(identities) => identities.iter().collect(),
            Audience::Everyone => self.members.keys().collect(),
            Audience::Moderators => {
                let conduct = self.members.values().filter(|member| member.is_moderator());
                conduct.map(|member| &member.identity).collect()
            }
        };
        for identity in told.into_iter().filter(|identity| is_connected(&self.inside, identity)) {
            let told = Queued::Told { identity: identity.clone(), message: message.clone() };
            self.queue.push_back(told);
        }
    }

    fn tell_one(&mut self, at: At, identity: &str, notice: &Notice) {
        self.tell(at, &Audience::These(vec![identity.to_owned()]), notice);
    }
}

fn is_connected(inside: &BTreeMap<String, Inside>, identity: &str) -> bool {
    inside.get(identity).is_some_and(|inside| inside.socket.is_some())
}
