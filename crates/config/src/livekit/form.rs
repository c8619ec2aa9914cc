// SPDX-License-Identifier: EUPL-1.2
//! From their written values to ours.

use toml::Value;

use crate::yaml::{self, Node};

/// How a value of theirs is written, and how ours is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A whole number; 0 or less is no limit, and ours stays.
    Limit,
    /// Seconds; ours is a length of time.
    Seconds,
    /// `true` or `false`.
    Switch,
    /// A text.
    Text,
    /// A list of texts.
    Texts,
}

impl Form {
    /// Our value; `None` leaves ours as it is. The error says what is wrong and what to do.
    pub(super) fn read(self, node: &Node) -> Result<Option<Value>, String> {
        if node.is_empty() {
            return Ok(None);
        }
        Ok(match self {
            Form::Limit => Some(number(node)?).filter(|number| *number > 0).map(Value::Integer),
            Form::Seconds => {
                let seconds = number(node)?;
                if seconds < 0 {
                    return Err(format!("{seconds} is below 0; use a number of seconds"));
                }
                Some(Value::String(if seconds == 0 { "0".to_owned() } else { format!("{seconds}s") }))
            }
            Form::Switch => Some(Value::Boolean(switch(node)?)),
            Form::Text => Some(Value::String(text(node)?.to_owned())),
            Form::Texts => Some(Value::Array(list(node)?.into_iter().map(Value::String).collect())),
        })
    }
}

/// A whole number, with underscores between its digits or without.
pub(super) fn number(node: &Node) -> Result<i64, String> {
    let text = text(node)?;
    let plain = text.replace('_', "");
    plain.parse().map_err(|_| format!("\"{text}\" is no whole number; use one"))
}

/// As YAML's older and newer versions write it.
pub(super) fn switch(node: &Node) -> Result<bool, String> {
    let text = text(node)?;
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "y" | "1" => Ok(true),
        "false" | "no" | "off" | "n" | "0" => Ok(false),
        _ => Err(format!("\"{text}\" is neither true nor false; use one of them")),
    }
}

/// A single text.
pub(super) fn text(node: &Node) -> Result<&str, String> {
    node.as_text().map(str::trim).ok_or_else(|| "a single value is expected here; write one".to_owned())
}

/// Texts: a list, or one text with commas.
pub(super) fn list(node: &Node) -> Result<Vec<String>, String> {
    match &node.value {
        yaml::Value::Sequence(items) => items.iter().map(|item| text(item).map(str::to_owned)).collect(),
        _ if node.is_empty() => Ok(Vec::new()),
        _ => Ok(text(node)?
            .split(',')
            .map(|item| item.trim().to_owned())
            .filter(|item| !item.is_empty())
            .collect()),
    }
}
