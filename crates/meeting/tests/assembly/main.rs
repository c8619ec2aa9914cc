// SPDX-License-Identifier: EUPL-1.2
//! How a meeting is conducted, each rule as a sentence, and its invariants under any course of events.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bounds;
mod conduct;
mod door;
mod features;
mod rights;
mod shown;
mod succession;
mod whoever;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parvis_meeting::assembly::{
    Assembly, AssemblyLimits, Entry, Founding, Knock, Output, Password, Policy, Presence, Refused, Role,
    WaitingId,
};
use serde_json::{Value, json};

/// A meeting, what was said to each of those in it, and what was to be done.
struct Meeting {
    assembly: Assembly,
    now: Instant,
    unix_ms: u64,
    secrets: u64,
    clients: BTreeMap<String, Client>,
    done: Vec<Output>,
    /// What was told to recorders and to those who keep account, which changes nothing for anybody.
    noted: Vec<Output>,
}

/// What one client makes of what it is sent.
#[derive(Default)]
struct Client {
    version: u64,
    state: Value,
    /// How many times the state was sent whole, and how many times what changed of it.
    states: (usize, usize),
    answers: Vec<Value>,
    events: Vec<Value>,
}

impl Meeting {
    fn of(policy: Policy) -> Meeting {
        Meeting::within(AssemblyLimits::default(), policy)
    }

    fn within(limits: AssemblyLimits, policy: Policy) -> Meeting {
        let founding = Founding { title: "Council".to_owned(), e2ee: false, owned: true };
        Meeting {
            assembly: Assembly::new(Arc::new(limits), founding, policy),
            now: Instant::now(),
            unix_ms: 1_700_000_000_000,
            secrets: 0,
            clients: BTreeMap::new(),
            done: Vec::new(),
            noted: Vec::new(),
        }
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.unix_ms += u64::try_from(time.as_millis()).unwrap();
        self.assembly.handle_timeout(self.now, self.unix_ms);
        self.drain();
    }

    fn knock_of(&mut self, identity: &str) -> Knock {
        self.secrets += 1;
        Knock {
            waiting: WaitingId(format!("secret {}", self.secrets)),
            identity: identity.to_owned(),
            name: name_of(identity),
            seat: format!("seat of {identity}"),
            address: Some(format!("address of {identity}")),
            host: false,
            password: Password::None,
            vouched: None,
        }
    }

    fn knock(&mut self, knock: Knock) -> Result<Entry, Refused> {
        let entry = self.assembly.knock(self.now, self.unix_ms, knock);
        self.drain();
        entry
    }

    /// Somebody knocks, and waits with a socket. Gives the secret.
    fn wait_outside(&mut self, identity: &str) -> WaitingId {
        let knock = self.knock_of(identity);
        let secret = knock.waiting.clone();
        assert!(matches!(self.knock(knock), Ok(Entry::Wait { .. })), "{identity} waits");
        self.assembly.waiting_connected(self.now, &secret);
        self.drain();
        secret
    }

    /// Somebody is in the room, and has connected the meeting's socket.
    fn enter(&mut self, identity: &str, role: Role) {
        self.enter_unconnected(identity, Some(role));
        self.attach(identity);
    }

    fn enter_unconnected(&mut self, identity: &str, role: Option<Role>) {
        let presence = Presence {
            identity: identity.to_owned(),
            name: name_of(identity),
            role,
            seat: Some(format!("seat of {identity}")),
        };
        self.assembly.entered(self.now, self.unix_ms, presence);
        self.drain();
    }

    fn attach(&mut self, identity: &str) {
        assert!(self.assembly.attach(self.now, self.unix_ms, identity), "{identity} is inside");
        self.clients.insert(identity.to_owned(), Client::default());
        self.drain();
    }

    fn leave(&mut self, identity: &str) {
        self.assembly.left(self.now, self.unix_ms, identity);
        self.drain();
    }

    /// What `identity` is answered.
    fn ask(&mut self, identity: &str, command: Value) -> Result<Value, String> {
        self.say(identity, &command.to_string());
        let answer = self.clients.get_mut(identity).unwrap().answers.pop().expect("an answer");
        match answer.get("error") {
            Some(error) => Err(error["code"].as_str().unwrap().to_owned()),
            None => Ok(answer["ok"].clone()),
        }
    }

    fn say(&mut self, identity: &str, text: &str) {
        self.assembly.message(self.now, self.unix_ms, identity, text);
        self.drain();
    }

    fn state(&self, identity: &str) -> &Value {
        &self.clients[identity].state
    }

    fn events(&mut self, identity: &str) -> Vec<Value> {
        std::mem::take(&mut self.clients.get_mut(identity).unwrap().events)
    }

    /// What was to be done since it was last asked for.
    fn done(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.done)
    }

    fn drain(&mut self) {
        while let Some(output) = self.assembly.poll_output() {
            match output {
                Output::Send { identity, message } => {
                    let client =
                        self.clients.get_mut(&identity).expect("only who connected is told anything");
                    client.hear(&serde_json::from_str(&message).unwrap());
                }
                output @ (Output::Conducted(_)
                | Output::KeepMessage { .. }
                | Output::ForgetMessage { .. }) => {
                    self.noted.push(output);
                }
                output => self.done.push(output),
            }
        }
    }
}

impl Client {
    fn hear(&mut self, message: &Value) {
        if let Some(answer) = message.get("answer") {
            self.answers.push(answer.clone());
        } else if let Some(event) = message.get("event") {
            self.events.push(event.clone());
        } else if let Some(snapshot) = message.get("snapshot") {
            self.follow(snapshot);
            self.state = snapshot["state"].clone();
            self.states.0 += 1;
        } else {
            let patch = &message["patch"];
            self.follow(patch);
            for (key, value) in patch["state"].as_object().unwrap() {
                if key == "chat" {
                    self.merge_chat(value);
                } else {
                    self.state[key] = value.clone();
                }
            }
            self.states.1 += 1;
        }
    }

    fn follow(&mut self, state: &Value) {
        self.version += 1;
        assert_eq!(state["version"], json!(self.version), "versions grow by one");
    }

    fn merge_chat(&mut self, patch: &Value) {
        let messages = self.state["chat"]["messages"].as_array_mut().unwrap();
        for message in patch["messages"].as_array().unwrap() {
            match messages.iter_mut().find(|known| known["id"] == message["id"]) {
                Some(known) => *known = message.clone(),
                None => messages.push(message.clone()),
            }
        }
    }
}

fn name_of(identity: &str) -> String {
    let mut name = identity.to_owned();
    name[..1].make_ascii_uppercase();
    name
}
