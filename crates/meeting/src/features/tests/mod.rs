// SPDX-License-Identifier: EUPL-1.2
//! The features, each by itself: what is asked comes as the JSON that a client sends.

mod attendance;
mod breakouts;
mod broadcasts;
mod chat;
mod hands;
mod polls;
mod reactions;
mod viewers;
mod whoever;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Audience, CommandError, Context, Feature, Notice, Want};
use crate::assembly::{AssemblyLimits, BoundStats, Member, Policy, Rights, Role};

/// A meeting around a single feature.
struct Hall<F> {
    feature: F,
    e2ee: bool,
    policy: Policy,
    limits: AssemblyLimits,
    members: BTreeMap<String, Member>,
    now: Instant,
    unix_ms: u64,
    changes: Vec<Audience>,
    told: Vec<(Audience, Notice)>,
    bounds: BoundStats,
    wanted: Vec<Want>,
}

const START_MS: u64 = 1_700_000_000_000;

impl<F: Feature + Default> Hall<F> {
    /// Ada conducts, Bo and Cem speak, Dora looks on.
    fn new() -> Self {
        let mut hall = Hall::empty();
        for (identity, role) in
            [("ada", Role::Moderator), ("bo", Role::Speaker), ("cem", Role::Speaker), ("dora", Role::Viewer)]
        {
            hall.enter(identity, role);
        }
        hall.changes.clear();
        hall
    }

    fn empty() -> Self {
        Hall {
            feature: F::default(),
            e2ee: false,
            policy: Policy::default(),
            limits: AssemblyLimits::default(),
            members: BTreeMap::new(),
            now: Instant::now(),
            unix_ms: START_MS,
            changes: Vec::new(),
            told: Vec::new(),
            bounds: BoundStats::default(),
            wanted: Vec::new(),
        }
    }

    fn with(limits: AssemblyLimits) -> Self {
        Hall { limits, ..Hall::new() }
    }

    /// Lets the feature do something with the context of this moment.
    fn with_context<T>(&mut self, act: impl FnOnce(&mut F, &mut Context<'_>) -> T) -> T {
        let mut context = Context {
            now: self.now,
            unix_ms: self.unix_ms,
            e2ee: self.e2ee,
            policy: &self.policy,
            limits: &self.limits,
            members: &self.members,
            changes: &mut self.changes,
            told: &mut self.told,
            bounds: &mut self.bounds,
            wanted: &mut self.wanted,
        };
        act(&mut self.feature, &mut context)
    }

    fn enter(&mut self, identity: &str, role: Role) {
        let member = Member {
            identity: identity.to_owned(),
            name: name_of(identity),
            role,
            rights: Rights::of(role, &self.policy),
            joined_ms: self.unix_ms,
        };
        self.members.insert(identity.to_owned(), member.clone());
        self.with_context(|feature, context| feature.entered(context, &member));
    }

    /// Somebody's socket is there. Gives what they are told by that.
    fn connect(&mut self, identity: &str) -> Vec<Notice> {
        let member = self.members.get(identity).expect("who connects is here").clone();
        let before = self.told.len();
        self.with_context(|feature, context| feature.connected(context, &member));
        let told = self.told.split_off(before).into_iter().map(|(audience, notice)| {
            assert_eq!(audience, Audience::These(vec![identity.to_owned()]), "nobody else is told");
            notice
        });
        told.collect()
    }

    fn alter(&mut self, identity: &str, alter: impl FnOnce(&mut Member)) {
        let member = self.members.get_mut(identity).expect("who is altered is here");
        alter(member);
        let member = member.clone();
        self.with_context(|feature, context| feature.altered(context, &member));
    }

    fn leave(&mut self, identity: &str) {
        self.members.remove(identity);
        self.with_context(|feature, context| feature.left(context, identity));
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.unix_ms += u64::try_from(time.as_millis()).unwrap();
        if self.feature.poll_timeout().is_some_and(|at| at <= self.now) {
            self.with_context(|feature, context| feature.handle_timeout(context));
        }
    }

    fn ask(&mut self, who: &str, command: Value) -> Result<Value, CommandError> {
        let command = serde_json::from_value(command).expect("a command");
        let actor = self.members.get(who).expect("who asks is here").clone();
        self.with_context(|feature, context| feature.command(context, &actor, command))
    }

    /// Asks, and has to get it.
    fn get(&mut self, who: &str, command: Value) -> Value {
        self.ask(who, command.clone()).unwrap_or_else(|error| panic!("{who} asks {command}: {error}"))
    }

    /// Asks, and has to be refused with that code.
    fn refused(&mut self, who: &str, command: Value) -> (&'static str, String) {
        let before: Vec<Value> = self.views();
        let error = self.ask(who, command.clone()).expect_err(&format!("{who} asks {command}"));
        assert_eq!(before, self.views(), "what is refused changes nothing");
        assert!(error.message.len() > 10, "it says why: {error:?}");
        (error.code, error.message)
    }

    fn view(&self, who: &str) -> Value {
        let viewer = self.members.get(who).expect("who looks is here");
        serde_json::to_value(self.feature.view(viewer)).unwrap()
    }

    fn views(&self) -> Vec<Value> {
        self.members.keys().map(|who| self.view(who)).collect()
    }

    fn patch(&self, who: &str) -> Value {
        let viewer = self.members.get(who).expect("who looks is here");
        serde_json::to_value(self.feature.patch(viewer)).unwrap()
    }

    /// Who is to be shown another state since this was asked last.
    fn concerned(&mut self) -> Vec<String> {
        let concerned = self.changes.drain(..).collect::<Vec<_>>();
        let is_concerned = |member: &&Member| {
            concerned.iter().any(|audience| match audience {
                Audience::Everyone => true,
                Audience::Moderators => member.is_moderator(),
                Audience::These(these) => these.contains(&member.identity),
            })
        };
        self.members.values().filter(is_concerned).map(|member| member.identity.clone()).collect()
    }
}

fn name_of(identity: &str) -> String {
    let mut letters = identity.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}

/// Whether the JSON is no command of that feature.
fn is_malformed<F: Feature>(command: &Value) -> bool {
    serde_json::from_value::<F::Command>(command.clone()).is_err()
}

#[test]
fn what_a_command_does_not_know_is_refused_and_so_is_a_sender() {
    use super::{Attendance, Breakouts, Chat, Hands, Polls, Reactions, Viewers};

    fn check<F: Feature>(commands: &[Value]) {
        for command in commands {
            assert!(!is_malformed::<F>(command), "{command}");
            for key in ["from", "by", "actor", "sender", "id"] {
                let mut forged = command.clone();
                forged[key] = json!("cem");
                assert!(is_malformed::<F>(&forged), "{forged}");
            }
            let twice = command.to_string().replacen('{', "{\"do\":\"chat.send\",", 1);
            assert!(serde_json::from_str::<F::Command>(&twice).is_err(), "{twice}");
        }
    }
    check::<Chat>(&[
        json!({ "do": "chat.send", "text": "hello" }),
        json!({ "do": "chat.send", "text": "hello", "to": "bo", "reply_to": 3 }),
        json!({ "do": "chat.retract", "message": 3 }),
    ]);
    check::<Hands>(&[
        json!({ "do": "hand.raise" }),
        json!({ "do": "hand.lower" }),
        json!({ "do": "hand.lower", "identity": "bo" }),
        json!({ "do": "hand.call", "identity": "bo" }),
    ]);
    check::<Reactions>(&[json!({ "do": "reaction.send", "emoji": "👍" })]);
    check::<Polls>(&[
        json!({ "do": "poll.open", "question": "?", "options": ["a", "b"], "secret": true, "multiple": false }),
        json!({ "do": "poll.vote", "poll": 1, "options": [0] }),
        json!({ "do": "poll.close", "poll": 1 }),
        json!({ "do": "poll.remove", "poll": 1 }),
    ]);
    check::<Attendance>(&[json!({ "do": "attendance.get" })]);
    check::<Viewers>(&[
        json!({ "do": "viewers.find" }),
        json!({ "do": "viewers.find", "text": "bo", "skip": 3 }),
    ]);
    check::<Breakouts>(&[
        json!({ "do": "breakout.open", "rooms": [{ "name": "a", "members": ["bo"] }], "minutes": 5 }),
        json!({ "do": "breakout.move", "identity": "bo", "room": null }),
        json!({ "do": "breakout.broadcast", "text": "hello" }),
        json!({ "do": "breakout.help" }),
        json!({ "do": "breakout.close" }),
    ]);
    assert!(is_malformed::<Breakouts>(&json!({ "do": "breakout.move", "identity": "bo" })), "where to?");
    let inner = json!({ "do": "breakout.open", "rooms": [{ "name": "a", "members": [], "owner": "bo" }] });
    assert!(is_malformed::<Breakouts>(&inner));
    assert!(is_malformed::<Polls>(&json!({ "do": "poll.vote", "poll": 1, "options": [-1] })));
    assert!(is_malformed::<Polls>(&json!({ "do": "poll.vote", "poll": 1, "options": [0.5] })));
    assert!(is_malformed::<Chat>(&json!({ "do": "chat.erase" })));
}
