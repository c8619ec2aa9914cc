// SPDX-License-Identifier: EUPL-1.2
//! An entry as it stands in the log: one line of JSON whose form is fixed, so that its hash is. Keys come in one order, what is empty is left
//! out, numbers are whole, nothing stands between them. A person stands there as a pseudonym; what is personal is sealed with a key of that
//! person's, which lies elsewhere and can be erased.

use serde::{Deserialize, Serialize};

use crate::{AuditError, Event, Hash, leaf_hash};

/// The version of the form.
pub const VERSION: u64 = 1;
/// Characters of a text that a stranger may have chosen.
const MAX_CHARS: usize = 256;

/// An entry. The order of its fields is the order in its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// [`VERSION`].
    pub v: u64,
    /// Its number; the first one's is 0.
    pub n: u64,
    /// When it happened, in milliseconds since 1970.
    pub time: i64,
    /// Whose it is; empty for the server's own.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tenant: String,
    /// What was done.
    pub act: String,
    /// `done`, `refused` or `failed`.
    pub result: String,
    /// Who: `server`, `operator`, `nobody`, `key:NAME`, or `p:` and a pseudonym.
    pub who: String,
    /// With what: its kind, a colon and its name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub on: String,
    /// With whom: `p:` and a pseudonym.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub about: String,
    /// From where: an address that is sealed with the key of `who`, or `p:` and a pseudonym that stands for the address.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub from: String,
    /// A word more.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// How many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
}

impl Entry {
    /// The entry of an event, with what whoever keeps pseudonyms has for the people in it.
    pub fn of(event: &Event, number: u64, who: String, about: String, from: String) -> Entry {
        let on = event.on.as_ref().map(|on| format!("{}:{}", on.kind, shortened(&on.name)));
        Entry {
            v: VERSION,
            n: number,
            time: event.time_ms,
            tenant: shortened(&event.tenant),
            act: event.act.as_str().to_owned(),
            result: event.outcome.as_str().to_owned(),
            who,
            on: on.unwrap_or_default(),
            about,
            from,
            why: shortened(&event.why),
            count: event.count,
        }
    }

    /// The line that stands in the log, without an end.
    pub fn text(&self) -> Result<String, AuditError> {
        serde_json::to_string(self).map_err(|error| AuditError::Entry(error.to_string()))
    }

    /// Reads a line. One that says the same in another form is none.
    pub fn parse(text: &str) -> Result<Entry, AuditError> {
        let entry: Entry =
            serde_json::from_str(text).map_err(|error| AuditError::Entry(error.to_string()))?;
        if entry.v != VERSION {
            return Err(AuditError::Entry(format!(
                "it is of version {}, this program knows {VERSION}",
                entry.v
            )));
        }
        if entry.text()? != text {
            return Err(AuditError::Entry("it is not in the one form that an entry has".to_owned()));
        }
        Ok(entry)
    }

    /// The leaf of a line.
    pub fn leaf(text: &str) -> Hash {
        leaf_hash(text.as_bytes())
    }
}

/// What a stranger chose stays short.
fn shortened(text: &str) -> String {
    text.chars().take(MAX_CHARS).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;

    use super::*;
    use crate::{Act, Who};

    #[test]
    fn an_entry_has_one_form() {
        let event = Event {
            time_ms: 1_800_000_000_000,
            count: Some(3),
            ..Event::new("default", Act::Ban, Who::person("ada"))
        };
        let event = event.on("room", "atelier \"ü\"\n").about("bo").refused("not_allowed");
        let entry = Entry::of(&event, 17, "p:01".into(), "p:02".into(), "gcm1:AAAA".into());
        let text = entry.text().unwrap();
        assert_eq!(
            text,
            "{\"v\":1,\"n\":17,\"time\":1800000000000,\"tenant\":\"default\",\"act\":\"ban\",\"result\":\"refused\",\
             \"who\":\"p:01\",\"on\":\"room:atelier \\\"ü\\\"\\n\",\"about\":\"p:02\",\"from\":\"gcm1:AAAA\",\
             \"why\":\"not_allowed\",\"count\":3}"
        );
        // So that no version of a library changes it unseen.
        assert_eq!(
            hex::encode(Entry::leaf(
                "{\"v\":1,\"n\":0,\"time\":0,\"act\":\"server.start\",\"result\":\"done\",\"who\":\"server\"}"
            )),
            KNOWN_LEAF
        );
        assert_eq!(Entry::parse(&text).unwrap(), entry);
        let server = Entry::of(
            &Event::new("", Act::ServerStart, Who::Server),
            0,
            "server".into(),
            String::new(),
            String::new(),
        );
        assert_eq!(
            server.text().unwrap(),
            "{\"v\":1,\"n\":0,\"time\":0,\"act\":\"server.start\",\"result\":\"done\",\"who\":\"server\"}"
        );
        for other in [
            text.replace(",\"n\"", ", \"n\""),
            text.replace("\"v\":1,", ""),
            text.replace("\"v\":1", "\"v\":2"),
            format!("{text} "),
            text.replace('ü', "\\u00fc"),
        ] {
            assert!(Entry::parse(&other).is_err(), "{other}");
        }
    }

    const KNOWN_LEAF: &str = "84d8afa6b598dae9969cd7b01f6d5e3608ef2007eb16c3730010fad0fe105811";

    #[test]
    fn what_a_stranger_chose_stays_short_and_words_are_told_apart() {
        let event = Event::new("default", Act::Token, Who::Nobody)
            .on("room", &"x".repeat(10_000))
            .saying(&"y".repeat(10_000));
        let text = Entry::of(&event, 1, "nobody".into(), String::new(), String::new()).text().unwrap();
        assert!(text.len() < 1_000, "{}", text.len());
        let words: BTreeSet<&str> = Act::ALL.iter().map(|act| act.as_str()).collect();
        assert_eq!(words.len(), Act::ALL.len());
    }
}
