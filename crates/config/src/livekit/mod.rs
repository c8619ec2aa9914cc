// SPDX-License-Identifier: EUPL-1.2
//! LiveKit's `livekit.yaml`, its environment variables and its flags, in the keys of our own configuration.
//!
//! [`keys`] is the table: a line for each key of theirs, with what becomes of it. [`draft`] gathers what several of their
//! keys say together. What comes later goes before what came earlier: give the file first, then variables, then flags.

mod draft;
mod form;
mod keys;
mod rooms;
mod turn;

use crate::yaml::{self, Node, Value};
use crate::{Note, Setting, Wrong};

use draft::{Draft, Place};
use keys::Take;

/// What was read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reading {
    /// Values for our own configuration; no key is there twice.
    pub settings: Vec<Setting>,
    /// What has no effect, or another than may be expected: in the order in which it was said, and then what several keys
    /// come to.
    pub notes: Vec<Note>,
    /// The file that holds keys (`key_file`), and where it was named. [`Reader::key_file`] takes its text.
    pub key_file: Option<(String, String)>,
}

/// Their environment variables, and the key that each sets. `LIVEKIT_CONFIG` holds a whole file instead.
pub const VARIABLES: [(&str, &str); 8] = [
    ("LIVEKIT_KEYS", "keys"),
    ("LIVEKIT_REGION", "region"),
    ("NODE_IP", "rtc.node_ip"),
    ("UDP_PORT", "rtc.udp_port"),
    ("REDIS_HOST", "redis.address"),
    ("REDIS_PASSWORD", "redis.password"),
    ("LIVEKIT_TURN_CERT", "turn.cert_file"),
    ("LIVEKIT_TURN_KEY", "turn.key_file"),
];

/// Their flags with a name of their own, and the key that each sets. Every other key is a flag as well: `--rtc.tcp_port`.
const FLAGS: [(&str, &str); 10] = [
    ("bind", "bind_addresses"),
    ("key-file", "key_file"),
    ("keys", "keys"),
    ("region", "region"),
    ("node-ip", "rtc.node_ip"),
    ("udp-port", "rtc.udp_port"),
    ("redis-host", "redis.address"),
    ("redis-password", "redis.password"),
    ("turn-cert", "turn.cert_file"),
    ("turn-key", "turn.key_file"),
];

/// Puts file, variables and flags together.
#[derive(Debug, Default)]
pub struct Reader {
    draft: Draft,
}

impl Reader {
    /// Nothing said yet. In development nothing listens beyond the machine when nobody says so.
    pub fn new(development: bool) -> Reader {
        Reader { draft: Draft::new(development) }
    }

    /// Reads a whole file. `name` is what messages call it.
    pub fn file(&mut self, name: &str, text: &str) -> Result<(), Wrong> {
        let root = yaml::read(text)
            .map_err(|error| Wrong { place: format!("{name}:{}", error.line), problem: error.problem })?;
        let Some(root) = root.filter(|root| !root.is_empty()) else { return Ok(()) };
        let Value::Mapping(entries) = &root.value else {
            let problem =
                "a table of keys is expected, such as `port: 7880`; is it the right file?".to_owned();
            return Err(Wrong { place: format!("{name}:{}", root.line), problem });
        };
        for (key, node) in entries {
            self.entry(&key.name, node, key.line, name)?;
        }
        Ok(())
    }

    /// Takes one of [`VARIABLES`]; `false` when it is none of them.
    pub fn variable(&mut self, name: &str, value: &str) -> Result<bool, Wrong> {
        match VARIABLES.iter().find(|(variable, _)| *variable == name) {
            Some((_, key)) => self.single(key, value, &format!("environment {name}")).map(|()| true),
            None => Ok(false),
        }
    }

    /// Takes a flag, without its dashes; `false` when it is none of theirs.
    pub fn flag(&mut self, name: &str, value: &str) -> Result<bool, Wrong> {
        match key_of_flag(name) {
            Some(key) => self.single(key, value, &format!("--{name}")).map(|()| true),
            None => Ok(false),
        }
    }

    /// Takes what the file of [`Reading::key_file`] holds.
    pub fn key_file(&mut self, name: &str, text: &str) -> Result<(), Wrong> {
        self.single("keys", text, name)
    }

    /// What was said so far names this file for keys, there.
    pub fn wants_key_file(&self) -> Option<(String, String)> {
        self.draft.key_file()
    }

    /// All of it in our own keys.
    pub fn finish(self) -> Reading {
        self.draft.finish()
    }

    fn single(&mut self, key: &str, value: &str, origin: &str) -> Result<(), Wrong> {
        let place = Place { key: key.to_owned(), origin: origin.to_owned() };
        match keys::find(key) {
            Some(take) => self.draft.take(take, &Node::text(value), &place),
            None => Ok(()),
        }
    }

    /// Follows the table from a key to those that it knows.
    fn entry(&mut self, key: &str, node: &Node, line: usize, file: &str) -> Result<(), Wrong> {
        let place = Place { key: key.to_owned(), origin: format!("{file}:{line}") };
        if let Some(take) = keys::find(key) {
            return self.draft.take(take, node, &place);
        }
        match &node.value {
            Value::Mapping(entries) if keys::has_below(key) => {
                for (inner, node) in entries {
                    self.entry(&format!("{key}.{}", inner.name), node, inner.line, file)?;
                }
                Ok(())
            }
            Value::Scalar(_) if keys::has_below(key) && node.is_empty() => Ok(()),
            _ if keys::has_below(key) => {
                Err(place.wrong("a table of keys is expected here; indent them below it"))
            }
            _ => {
                self.draft.warn(&place, "unknown key, without effect; correct its spelling or take it out");
                Ok(())
            }
        }
    }
}

/// Whether a flag, without its dashes, is one of theirs; and then, whether it needs no value.
pub fn is_flag(name: &str) -> Option<bool> {
    keys::find(key_of_flag(name)?).map(Take::is_switch)
}

/// Our own keys that theirs set as they are.
pub fn our_keys() -> impl Iterator<Item = &'static str> {
    keys::ours()
}

fn key_of_flag(name: &str) -> Option<&str> {
    let own = FLAGS.iter().find(|(flag, _)| *flag == name).map(|(_, key)| *key);
    own.or_else(|| keys::find(name).map(|_| name))
}

#[cfg(test)]
mod tests;
