// SPDX-License-Identifier: EUPL-1.2
//! The text of a command, read strictly: what two readers could understand in two ways is understood in none.

use std::fmt;

use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::features::CommandError;

/// A command, read as far as all commands are alike.
#[derive(Debug, PartialEq)]
pub(super) struct Parsed {
    /// By what its sender knows the answer.
    pub(super) id: Option<u64>,
    /// What is to be done.
    pub(super) word: String,
    /// The rest of it, with the word.
    pub(super) command: Value,
}

/// Reads a command; where it is none, says so, with the id of the answer if that could be read.
pub(super) fn parse(text: &str) -> Result<Parsed, (Option<u64>, CommandError)> {
    let bad = |message: String| CommandError::bad_value(shortened(message));
    let Strict(value) = serde_json::from_str(text)
        .map_err(|error| (None, bad(format!("the command is not read: {error}"))))?;
    let Value::Object(mut command) = value else {
        return Err((None, bad("a command is one JSON object".to_owned())));
    };
    let id = match command.remove("id") {
        None => None,
        Some(id) => {
            Some(id.as_u64().ok_or_else(|| (None, bad("id: a whole number from 0 is needed".to_owned())))?)
        }
    };
    match command.get("do") {
        Some(Value::String(word)) => Ok(Parsed { id, word: word.clone(), command: Value::Object(command) }),
        _ => Err((id, bad("do: the word of a command is needed".to_owned()))),
    }
}

/// By what the sender of a command that isn't done knows the answer, if that can be read.
pub(super) fn id_of(text: &str) -> Option<u64> {
    parse(text).map_or_else(|(id, _)| id, |parsed| parsed.id)
}

/// The command as one of those that somebody knows.
pub(super) fn known<T: DeserializeOwned>(command: Value) -> Result<T, CommandError> {
    serde_json::from_value(command).map_err(|error| CommandError::bad_value(shortened(error.to_string())))
}

/// What is said back of a text that somebody sent stays short, and in one line.
fn shortened(message: String) -> String {
    message.chars().filter(|c| !c.is_control()).take(MESSAGE_CHARS).collect()
}

/// The list of what would have been right has some 200 characters.
const MESSAGE_CHARS: usize = 400;

/// A JSON value none of whose objects has a key twice.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(StrictVisitor).map(Strict)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((key, Strict(value))) = entries.next_entry::<String, Strict>()? {
            if map.contains_key(&key) {
                return Err(A::Error::custom(format!("the key `{key}` stands there twice")));
            }
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_one_object_with_a_word_and_no_key_twice() {
        let parsed = parse(r#"{"id":7,"do":"chat.send","text":"Good morning"}"#).unwrap();
        assert_eq!((parsed.id, parsed.word.as_str()), (Some(7), "chat.send"));
        assert_eq!(parsed.command, serde_json::json!({ "do": "chat.send", "text": "Good morning" }));
        for (text, id, said) in [
            ("", None, "not read"),
            ("[1]", None, "one JSON object"),
            (r#"{"id":-1,"do":"end"}"#, None, "id: a whole number"),
            (r#"{"id":3}"#, Some(3), "do: the word"),
            (r#"{"id":3,"do":["end"]}"#, Some(3), "do: the word"),
            (r#"{"do":"end","do":"resync"}"#, None, "`do` stands there twice"),
            (r#"{"do":"rights.set","rights":{"chat":true,"chat":false}}"#, None, "`chat` stands there twice"),
            (r#"{"do":"end"} {"do":"end"}"#, None, "not read"),
        ] {
            let (answered, error) = parse(text).unwrap_err();
            assert_eq!((answered, error.code), (id, "bad_value"), "{text}");
            assert!(error.message.contains(said), "{text}: {}", error.message);
        }
    }

    #[test]
    fn what_is_nested_too_deep_is_refused_and_what_is_long_is_not_said_back_whole() {
        let deep = format!(r#"{{"do":{}1{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
        assert!(parse(&deep).is_err());
        let long = format!(r#"{{"{0}":1,"{0}":2}}"#, "k\\n".repeat(10_000));
        let (_, error) = parse(&long).unwrap_err();
        assert!(error.message.chars().count() <= MESSAGE_CHARS && !error.message.contains('\n'));
    }
}
