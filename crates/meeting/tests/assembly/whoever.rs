// SPDX-License-Identifier: EUPL-1.2
//! The invariants, whoever does whatever in whatever order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parvis_meeting::assembly::{
    Assembly, AssemblyLimits, Entry, Founding, Knock, Output, Password, Policy, Presence, Rights, Role,
    Source, WaitingId,
};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

const PEOPLE: [&str; 6] = ["ada", "bo", "cem", "dora", "eva", "finn"];
const ROLES: [Role; 4] = [Role::Viewer, Role::Speaker, Role::Moderator, Role::Owner];

#[derive(Debug, Clone)]
enum Step {
    Knock {
        who: &'static str,
        host: bool,
        vouched: Option<Role>,
    },
    ConnectOutside(usize),
    DisconnectOutside(usize),
    Enter(&'static str, Option<Role>),
    Leave(&'static str),
    Attach(&'static str),
    Detach(&'static str),
    Publish(&'static str, Source, bool),
    Rename(&'static str),
    Say(&'static str, Value),
    Wait(u64),
    /// Outputs are taken now, and not after each step: that must not matter.
    Poll,
}

fn person() -> impl Strategy<Value = &'static str> {
    select(&PEOPLE[..])
}

fn role() -> impl Strategy<Value = Role> {
    select(&ROLES[..])
}

fn command() -> impl Strategy<Value = Value> {
    let bit = any::<bool>;
    prop_oneof![
        (person(), role()).prop_map(|(identity, role)| json!({ "do": "role.set", "identity": identity, "role": role })),
        (person(), select(vec!["camera", "microphone", "screen", "chat", "files", "unmute"]), bit()).prop_map(
            |(identity, right, on)| json!({ "do": "rights.set", "identity": identity, "rights": { right: on } })
        ),
        person().prop_map(|who| json!({ "do": "mute", "identity": who, "source": "microphone" })),
        Just(json!({ "do": "mute", "everyone": true, "source": "microphone" })),
        person().prop_map(|who| json!({ "do": "unmute.ask", "identity": who, "source": "microphone" })),
        person().prop_map(|who| json!({ "do": "spotlight.set", "identities": [who] })),
        (person(), bit()).prop_map(|(who, ban)| json!({ "do": "remove", "identity": who, "ban": ban })),
        (0..6u8).prop_map(|id| json!({ "do": "unban", "ban": id.to_string() })),
        Just(json!({ "do": "lobby.admit", "everyone": true })),
        (0..6u8).prop_map(|id| json!({ "do": "lobby.refuse", "waiting": id.to_string() })),
        (
            select(vec!["lobby", "locked", "opens_with_host", "self_unmute", "files", "private_chat", "title_outside"]),
            bit()
        )
            .prop_map(|(key, on)| json!({ "do": "policy.set", "policy": { key: on } })),
        select(vec![
            json!({ "chat": "all" }),
            json!({ "chat": "moderators" }),
            json!({ "chat": "off" }),
            json!({ "share": "moderators" }),
            json!({ "default_role": "viewer" }),
            json!({ "mute_above": 1 }),
            json!({ "password": "open sesame" }),
            json!({ "password": null }),
            json!({ "successor": "longest" }),
            json!({ "successor": "moderators" }),
        ])
        .prop_map(|policy| json!({ "do": "policy.set", "policy": policy })),
        Just(json!({ "do": "resync" })),
        Just(json!({ "do": "chat.send", "text": "hello" })),
        person().prop_map(|who| json!({ "do": "chat.send", "text": "psst", "to": who })),
        Just(json!({ "do": "hand.raise" })),
        person().prop_map(|who| json!({ "do": "hand.call", "identity": who })),
        Just(json!({ "do": "reaction.send", "emoji": "👍" })),
        Just(json!({ "do": "poll.open", "question": "?", "options": ["a", "b"], "secret": true, "multiple": false })),
        Just(json!({ "do": "attendance.get" })),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let source = select(vec![Source::Microphone, Source::Camera, Source::Screen]);
    prop_oneof![
        3 => (person(), prop::bool::weighted(0.1), prop::option::weighted(0.1, role()))
            .prop_map(|(who, host, vouched)| Step::Knock { who, host, vouched }),
        2 => (0..6usize).prop_map(Step::ConnectOutside),
        1 => (0..6usize).prop_map(Step::DisconnectOutside),
        3 => (person(), prop::option::of(role())).prop_map(|(who, role)| Step::Enter(who, role)),
        1 => person().prop_map(Step::Leave),
        3 => person().prop_map(Step::Attach),
        1 => person().prop_map(Step::Detach),
        1 => (person(), source, any::<bool>()).prop_map(|(who, source, on)| Step::Publish(who, source, on)),
        1 => person().prop_map(Step::Rename),
        10 => (person(), command()).prop_map(|(who, command)| Step::Say(who, command)),
        1 => (0..30_000u64).prop_map(Step::Wait),
        2 => Just(Step::Poll),
    ]
}

/// Small enough that some dozen steps reach them.
fn limits() -> AssemblyLimits {
    AssemblyLimits {
        people: 5,
        waiting: 3,
        bans: 2,
        people_remembered: 6,
        patch_free: 1,
        ..AssemblyLimits::default()
    }
}

/// What a caller knows who carries out what is to be done.
struct Caller {
    assembly: Assembly,
    now: Instant,
    unix_ms: u64,
    secrets: Vec<WaitingId>,
    /// Whom the room has inside.
    inside: BTreeSet<String>,
    /// Of those connected: the version of the last state.
    connected: BTreeMap<String, u64>,
    rights: BTreeMap<String, Rights>,
    roles: BTreeMap<String, Role>,
    ended: bool,
}

impl Caller {
    fn new() -> Caller {
        let founding = Founding { title: "Council".to_owned(), e2ee: false, owned: true };
        Caller {
            assembly: Assembly::new(Arc::new(limits()), founding, Policy::default()),
            now: Instant::now(),
            unix_ms: 1_700_000_000_000,
            secrets: Vec::new(),
            inside: BTreeSet::new(),
            connected: BTreeMap::new(),
            rights: BTreeMap::new(),
            roles: BTreeMap::new(),
            ended: false,
        }
    }

    fn secret(&self, back: usize) -> WaitingId {
        let secret = self.secrets.iter().rev().nth(back);
        secret.cloned().unwrap_or(WaitingId("never given".to_owned()))
    }

    fn take(&mut self, step: Step) {
        let (now, unix_ms) = (self.now, self.unix_ms);
        match step {
            Step::Knock { who, host, vouched } => self.knock(who, host, vouched),
            Step::ConnectOutside(back) => self.assembly.waiting_connected(now, &self.secret(back)),
            Step::DisconnectOutside(back) => self.assembly.waiting_disconnected(now, &self.secret(back)),
            Step::Enter(who, role) => {
                let presence = Presence {
                    identity: who.to_owned(),
                    name: who.to_owned(),
                    role,
                    seat: Some(who.to_owned()),
                };
                self.assembly.entered(now, unix_ms, presence);
                if self.assembly.role(who).is_some() {
                    self.inside.insert(who.to_owned());
                }
            }
            Step::Leave(who) => {
                self.assembly.left(now, unix_ms, who);
                self.inside.remove(who);
                self.connected.remove(who);
            }
            Step::Attach(who) => {
                let inside = self.assembly.attach(now, unix_ms, who);
                assert_eq!(inside, self.assembly.role(who).is_some());
                if inside {
                    self.connected.insert(who.to_owned(), 0);
                }
            }
            Step::Detach(who) => {
                self.assembly.detach(who);
                self.connected.remove(who);
            }
            Step::Publish(who, source, on) => self.assembly.publishing(who, source, on),
            Step::Rename(who) => self.assembly.renamed(who, "Somebody"),
            Step::Say(who, command) => self.assembly.message(now, unix_ms, who, &command.to_string()),
            Step::Wait(ms) => {
                self.now += Duration::from_millis(ms);
                self.unix_ms += ms;
                self.assembly.handle_timeout(self.now, self.unix_ms);
            }
            Step::Poll => self.poll(),
        }
    }

    fn knock(&mut self, who: &'static str, host: bool, vouched: Option<Role>) {
        let waiting = WaitingId(format!("secret {}", self.secrets.len()));
        self.secrets.push(waiting.clone());
        let knock = Knock {
            waiting,
            identity: who.to_owned(),
            name: who.to_owned(),
            seat: who.to_owned(),
            address: Some("somewhere".to_owned()),
            host,
            password: Password::None,
            vouched,
        };
        let entry = self.assembly.knock(self.now, self.unix_ms, knock);
        if let (Ok(Entry::Wait { .. }), false) = (&entry, self.inside.contains(who)) {
            assert!(self.assembly.waiting() > 0);
        }
    }

    fn poll(&mut self) {
        while let Some(output) = self.assembly.poll_output() {
            match output {
                Output::Send { identity, message } => self.hear(&identity, &message),
                Output::Rights { identity, rights } => {
                    self.rights.insert(identity, rights);
                }
                Output::Role { identity, role } => {
                    self.roles.insert(identity, role);
                }
                Output::Remove { identity, .. } => {
                    self.connected.remove(&identity);
                    if self.inside.remove(&identity) {
                        self.assembly.left(self.now, self.unix_ms, &identity);
                    }
                }
                Output::End { .. } => self.ended = true,
                _ => {}
            }
        }
    }

    fn hear(&mut self, identity: &str, message: &str) {
        assert!(self.inside.contains(identity), "{identity} is not inside and is told {message}");
        let version = self.connected.get_mut(identity).expect("whoever is told something is connected");
        let message: Value = serde_json::from_str(message).unwrap();
        let state = message.get("snapshot").or(message.get("patch"));
        if let Some(state) = state {
            *version += 1;
            assert_eq!(state["version"], json!(*version), "no gap");
            assert!(*version > 1 || message.get("snapshot").is_some(), "the whole comes first");
        }
        let conducts = self.roles.get(identity).is_some_and(|role| role.is_moderator());
        if state.is_some_and(|state| state["state"].get("lobby").is_some()) {
            assert!(conducts, "only those who conduct see who waits");
        }
    }

    fn check(&self) {
        let policy = self.assembly.policy();
        let identities: BTreeSet<String> =
            self.assembly.members().map(|member| member.identity.clone()).collect();
        assert_eq!(identities, self.inside, "both know who is inside");
        for member in self.assembly.members() {
            let told = self.rights[&member.identity];
            assert_eq!(told, member.rights, "the caller was told what {} may do", member.identity);
            assert_eq!(self.roles[&member.identity], member.role);
            assert!(told.within(Rights::most(member.role, policy)), "{member:?} beyond {policy:?}");
            assert_eq!(self.assembly.rights(&member.identity), told);
        }
        let limits = limits();
        assert!(self.assembly.members().len() <= limits.people);
        assert!(self.assembly.waiting() <= limits.waiting);
        assert!(self.assembly.record().bans.len() <= limits.bans);
        assert!(self.assembly.record().roles.len() <= limits.people_remembered);
        for ban in self.assembly.record().bans {
            assert_eq!(self.assembly.role(&ban.identity), None, "nobody is inside who is banned");
        }
        assert!(self.assembly.poll_timeout().is_none_or(|due| due > self.now), "what was due is done");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn row_43_nobody_outside_is_told_anything_versions_have_no_gap_and_rights_never_exceed_role_and_policy(
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut caller = Caller::new();
        for first in [Step::Enter("ada", Some(Role::Owner)), Step::Attach("ada"), Step::Poll] {
            caller.take(first);
        }
        for step in steps {
            let poll = matches!(step, Step::Poll);
            caller.take(step);
            if poll {
                caller.take(Step::Wait(1));
                caller.poll();
                caller.check();
            }
        }
        caller.poll();
    }

    #[test]
    fn no_text_harms_a_meeting(text in "\\PC{0,200}", word in "(chat|poll|mute|policy|role)\\.[a-z]{0,6}") {
        let mut caller = Caller::new();
        for first in [Step::Enter("ada", Some(Role::Owner)), Step::Attach("ada"), Step::Poll] {
            caller.take(first);
        }
        for text in [text.clone(), json!({ "do": word, "text": text }).to_string()] {
            caller.assembly.message(caller.now, caller.unix_ms, "ada", &text);
            let answer = caller.assembly.poll_output();
            let answered = matches!(&answer, Some(Output::Send { message, .. }) if message.contains("\"answer\""));
            prop_assert!(answered, "{answer:?}");
            caller.poll();
        }
        caller.check();
    }
}
