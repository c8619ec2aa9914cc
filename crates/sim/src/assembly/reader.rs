// SPDX-License-Identifier: EUPL-1.2
//! What a client makes of what it is sent.

use std::collections::BTreeMap;

use parvis_meeting::assembly::AssemblyLimits;
use serde_json::{Map, Value};

/// One socket's end.
#[derive(Debug, Default)]
pub(super) struct Reader {
    version: u64,
    state: Map<String, Value>,
    /// Messages by their number: patches add to them.
    chat: BTreeMap<u64, Value>,
    /// The commands that are on their way, by their ids.
    unanswered: BTreeMap<u64, String>,
    /// When the last was said that was said to all breakout rooms.
    broadcast_ms: u64,
}

impl Reader {
    /// A command is on its way.
    pub(super) fn asked(&mut self, id: u64, command: &str) {
        self.unanswered.insert(id, command.to_owned());
    }

    /// A message came. Gives the command that was done, if it says that one was.
    pub(super) fn hear(&mut self, text: &str) -> Result<Option<String>, String> {
        let message: Value = serde_json::from_str(text).map_err(|error| format!("{error}: {text}"))?;
        if let Some(answer) = message.get("answer") {
            let Some(id) = answer["id"].as_u64() else { return Ok(None) };
            let command =
                self.unanswered.remove(&id).ok_or_else(|| format!("an answer to nothing: {text}"))?;
            return Ok(answer.get("ok").map(|_| command));
        }
        let (whole, told) = match (message.get("snapshot"), message.get("patch")) {
            (Some(snapshot), None) => (true, snapshot),
            (None, Some(patch)) => (false, patch),
            _ => {
                let event = message.get("event").ok_or_else(|| format!("unknown: {text}"))?;
                return self.heed(event).map(|()| None);
            }
        };
        self.version += 1;
        if told["version"] != self.version || (self.version == 1 && !whole) {
            return Err(format!("a version is missing before {text}"));
        }
        if whole {
            self.state.clear();
            self.chat.clear();
        }
        for (key, value) in told["state"].as_object().into_iter().flatten() {
            if key == "chat" {
                let messages = value["messages"].as_array().into_iter().flatten();
                self.chat
                    .extend(messages.filter_map(|message| Some((message["id"].as_u64()?, message.clone()))));
            } else {
                self.state.insert(key.clone(), value.clone());
            }
        }
        Ok(None)
    }

    /// What is said to all breakout rooms is told once on one socket, and in its order.
    fn heed(&mut self, event: &Value) -> Result<(), String> {
        if event["what"] != "broadcast" {
            return Ok(());
        }
        let at_ms = event["at_ms"].as_u64().unwrap_or_default();
        if at_ms <= self.broadcast_ms {
            return Err(format!("told again, or too late: {event}"));
        }
        self.broadcast_ms = at_ms;
        Ok(())
    }

    /// Whether what was told bit by bit is what the whole says, and that within the bounds.
    pub(super) fn holds(&self, whole: &Reader, limits: &AssemblyLimits) -> Result<(), String> {
        if self.version == 0 {
            return Err("was never told anything".to_owned());
        }
        if !self.unanswered.is_empty() {
            return Err(format!("the commands {:?} were not answered", self.unanswered));
        }
        for (key, value) in &whole.state {
            let own = self.state.get(key);
            if own != Some(value) {
                return Err(format!("{key} is {value}, and was told to be {own:?}"));
            }
        }
        if let Some(more) = self.state.keys().find(|key| !whole.state.contains_key(*key)) {
            return Err(format!("{more} was told, and is nothing to know"));
        }
        // Messages that are forgotten stay on screens.
        for (id, message) in &whole.chat {
            let own = self.chat.get(id);
            if own != Some(message) {
                return Err(format!("message {message} was told as {own:?}"));
            }
        }
        whole.is_within(limits)?;
        whole.polls_keep_their_secrets()
    }

    fn list(&self, key: &str, inner: &str) -> impl Iterator<Item = &Value> {
        self.state.get(key).and_then(|value| value.get(inner)?.as_array()).into_iter().flatten()
    }

    fn is_within(&self, limits: &AssemblyLimits) -> Result<(), String> {
        for (what, number, most) in [
            ("messages", self.chat.len(), limits.messages),
            ("hands", self.list("hands", "queue").count(), limits.hands),
            ("polls", self.list("polls", "polls").count(), limits.polls),
            ("breakout rooms", self.list("breakouts", "rooms").count(), limits.breakouts),
            ("people who wait", self.list("lobby", "waiting").count(), limits.waiting),
        ] {
            if number > most {
                return Err(format!("{number} {what}, and {most} are allowed"));
            }
        }
        Ok(())
    }

    fn polls_keep_their_secrets(&self) -> Result<(), String> {
        for poll in self.list("polls", "polls") {
            let (secret, open) = (poll["secret"] == true, poll["open"] == true);
            let votes = ["votes", "names"].iter().any(|key| !poll[*key].is_null());
            if (votes && (secret || open)) || (open && !poll["counts"].is_null()) {
                return Err(format!("a poll tells too much: {poll}"));
            }
            if secret && !open && !poll["mine"].is_null() {
                return Err(format!("a ballot was kept: {poll}"));
            }
        }
        Ok(())
    }
}
