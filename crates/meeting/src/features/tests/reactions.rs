// SPDX-License-Identifier: EUPL-1.2

use std::time::Duration;

use serde_json::{Value, json};

use super::Hall;
use crate::assembly::AssemblyLimits;
use crate::features::{Audience, EMOJI, Notice, Reactions};

fn react(emoji: &str) -> Value {
    json!({ "do": "reaction.send", "emoji": emoji })
}

#[test]
fn a_reaction_passes_to_all_and_nothing_of_it_stays() {
    let mut hall = Hall::<Reactions>::new();
    for emoji in EMOJI {
        hall.get("dora", react(emoji));
    }
    let sent: Vec<_> = EMOJI
        .iter()
        .map(|emoji| {
            let notice = Notice::Reaction { identity: "dora".to_owned(), emoji: (*emoji).to_owned() };
            (Audience::Everyone, notice)
        })
        .collect();
    assert_eq!(hall.told, sent);
    assert_eq!(hall.view("ada"), Value::Null);
    assert_eq!(hall.concerned(), [""; 0]);
}

#[test]
fn nothing_else_is_a_reaction() {
    let mut hall = Hall::<Reactions>::new();
    for other in ["", "👍👍", "👍🏿", "❤", "🖕", "hello", "<b>"] {
        assert_eq!(hall.refused("bo", react(other)).0, "bad_value", "{other}");
    }
    assert_eq!(hall.told, []);
}

#[test]
fn the_policy_turns_them_off_for_all() {
    let mut hall = Hall::<Reactions>::new();
    hall.policy.reactions = false;
    assert_eq!(hall.refused("bo", react("👍")).0, "not_allowed");
    assert_eq!(hall.refused("ada", react("👍")).0, "not_allowed");
}

#[test]
fn who_reacts_too_quickly_waits_and_nobody_else_does() {
    let (reactions, reactions_span) = (3, Duration::from_secs(5));
    let mut hall =
        Hall::<Reactions>::with(AssemblyLimits { reactions, reactions_span, ..AssemblyLimits::default() });
    for _ in 0..3 {
        hall.get("bo", react("👏"));
    }
    assert_eq!(hall.refused("bo", react("👏")).0, "too_many");
    hall.get("cem", react("👏"));
    hall.wait(reactions_span - Duration::from_millis(1));
    assert_eq!(hall.refused("bo", react("👏")).0, "too_many");
    hall.wait(Duration::from_millis(1));
    for _ in 0..3 {
        hall.get("bo", react("👏"));
    }
    assert_eq!(hall.refused("bo", react("👏")).0, "too_many");
    assert_eq!(hall.told.len(), 7);
}

#[test]
fn those_who_have_gone_are_forgotten() {
    let mut hall = Hall::<Reactions>::new();
    for who in ["bo", "cem", "dora"] {
        hall.get(who, react("🎉"));
        hall.leave(who);
    }
    assert_eq!(hall.feature.sent.len(), 0);
}
