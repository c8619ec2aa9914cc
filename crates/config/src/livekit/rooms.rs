// SPDX-License-Identifier: EUPL-1.2
//! Rooms by the name of their configuration, and how late their pictures are shown.

use toml::{Table, Value};

use super::draft::{Done, Draft, Place};
use super::form::{Form, number, switch, text};
use crate::yaml::{self, Key, Node};

/// `room.playout_delay`: it counts when it is enabled.
#[derive(Debug, Default)]
pub(super) struct Delay {
    enabled: bool,
    least: Option<(i64, Place)>,
    most: Option<(i64, Place)>,
}

impl Delay {
    /// What it comes to, in our keys.
    pub(super) fn settings(self) -> impl Iterator<Item = (&'static str, Value, Place)> {
        let Delay { enabled, least, most } = self;
        let said = [("rooms.min_playout_delay", least), ("rooms.max_playout_delay", most)];
        said.into_iter().filter(move |_| enabled).filter_map(|(key, said)| {
            let (milliseconds, place) = said?;
            Some((key, time(milliseconds, "ms"), place))
        })
    }
}

pub(super) fn delay_enabled(draft: &mut Draft, node: &Node, _: &Place) -> Done {
    draft.delay.enabled = !node.is_empty() && switch(node)?;
    Ok(())
}

pub(super) fn delay_least(draft: &mut Draft, node: &Node, place: &Place) -> Done {
    draft.delay.least = amount(node)?.map(|milliseconds| (milliseconds, place.clone()));
    Ok(())
}

pub(super) fn delay_most(draft: &mut Draft, node: &Node, place: &Place) -> Done {
    draft.delay.most = amount(node)?.map(|milliseconds| (milliseconds, place.clone()));
    Ok(())
}

/// Configurations by name, each with the fields of the protocol's `RoomConfiguration`, as `empty_timeout` or `emptyTimeout`.
pub(super) fn configurations(draft: &mut Draft, node: &Node, place: &Place) -> Done {
    let mut presets = Table::new();
    for (name, node) in fields(node, "configurations by their names")? {
        let place = place.below(name);
        let mut preset = Table::new();
        for (key, node) in fields(node, "fields of a room's configuration")? {
            let place = place.below(key);
            field(draft, &mut preset, key, node, &place)
                .map_err(|problem| format!("line {}, {}.{}: {problem}", key.line, name.name, key.name))?;
        }
        presets.insert(name.name.clone(), Value::Table(preset));
    }
    draft.set("rooms.presets", Value::Table(presets), place);
    Ok(())
}

fn field(draft: &mut Draft, preset: &mut Table, key: &Key, node: &Node, place: &Place) -> Done {
    let name = snake_case(&key.name);
    let value = match name.as_str() {
        "empty_timeout" | "departure_timeout" => amount(node)?.map(|seconds| time(seconds, "s")),
        "min_playout_delay" | "max_playout_delay" => amount(node)?.map(|millis| time(millis, "ms")),
        "max_participants" => amount(node)?.map(Value::Integer),
        "metadata" => Form::Text.read(node)?,
        "sync_streams" => Form::Switch.read(node)?,
        "agents" => Some(agents(node)?),
        // The name under which it stands is the one that counts.
        "name" => None,
        "egress" => {
            let what = "without effect: this server can't record rooms from their beginning yet, so nothing is kept; start \
                        an egress once somebody is there";
            draft.warn(place, what);
            None
        }
        "tags" => {
            draft.note(place, "without effect: rooms have no tags here");
            None
        }
        _ => {
            draft.warn(place, "unknown key, without effect; correct its spelling or take it out");
            None
        }
    };
    preset.extend(value.map(|value| (name, value)));
    Ok(())
}

/// Programs that are asked for, each with `agent_name` and `metadata`.
fn agents(node: &Node) -> Result<Value, String> {
    let yaml::Value::Sequence(items) = &node.value else {
        return Err("a list is expected: write `- agent_name: NAME`, one on a line".to_owned());
    };
    let agent = |item: &Node| {
        let mut agent = Table::new();
        for (key, node) in fields(item, "fields of an agent's dispatch")? {
            let ours = match snake_case(&key.name).as_str() {
                "agent_name" => "name",
                "metadata" => "metadata",
                _ => return Err(format!("\"{}\" is no field of it; use agent_name, metadata", key.name)),
            };
            agent.insert(ours.to_owned(), Value::String(text(node)?.to_owned()));
        }
        // One without a name is whoever takes any job.
        agent.entry("name").or_insert_with(|| Value::String(String::new()));
        Ok(Value::Table(agent))
    };
    items.iter().map(agent).collect::<Result<_, String>>().map(Value::Array)
}

fn fields<'a>(node: &'a Node, what: &str) -> Result<&'a [(Key, Node)], String> {
    match &node.value {
        yaml::Value::Mapping(entries) => Ok(entries),
        _ if node.is_empty() => Ok(&[]),
        _ => Err(format!("a table of {what} is expected here; indent them below it")),
    }
}

/// A number that is not negative; `None` where nothing is said.
fn amount(node: &Node) -> Result<Option<i64>, String> {
    if node.is_empty() {
        return Ok(None);
    }
    match number(node)? {
        below if below < 0 => Err(format!("{below} is below 0; use a number from 0 on")),
        number => Ok(Some(number)),
    }
}

fn time(number: i64, unit: &str) -> Value {
    Value::String(if number == 0 { "0".to_owned() } else { format!("{number}{unit}") })
}

/// `emptyTimeout` as `empty_timeout`.
fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for character in name.chars() {
        if character.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(character.to_ascii_lowercase());
    }
    snake
}
