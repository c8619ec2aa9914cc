// SPDX-License-Identifier: EUPL-1.2

use std::time::Duration;

use serde_json::{Value, json};

use super::Hall;
use crate::assembly::{AssemblyLimits, Bound};
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
            let emoji = Some((*emoji).to_owned());
            let notice = Notice::Reaction { identity: "dora".to_owned(), emoji, sealed: None };
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
fn in_an_encrypted_meeting_they_pass_sealed_and_no_other_way() {
    let seal = |sealed: &str| json!({ "do": "reaction.send", "sealed": sealed });
    let mut hall = Hall::<Reactions>::new();
    hall.get("bo", seal("e1.c2VhbGVk"));
    hall.told.clear();
    let both = json!({ "do": "reaction.send", "emoji": "👍", "sealed": "e1.c2VhbGVk" });
    assert_eq!(hall.refused("bo", both).0, "bad_value");
    hall.e2ee = true;
    hall.get("bo", seal("e1.c2VhbGVk-_"));
    let (_, told) = hall.told.pop().unwrap();
    assert_eq!(
        serde_json::to_value(&told).unwrap(),
        json!({ "what": "reaction", "identity": "bo", "sealed": "e1.c2VhbGVk-_" })
    );
    assert_eq!(hall.refused("bo", react("👍")).0, "bad_value", "nothing of it is told in the clear");
    let both = json!({ "do": "reaction.send", "emoji": "👍", "sealed": "e1.c2VhbGVk" });
    assert_eq!(hall.refused("bo", both).0, "bad_value");
    for other in ["", "e1.", "hello", "e1.hello there", "e1.<b>", "e2.c2VhbGVk"] {
        assert_eq!(hall.refused("bo", seal(other)).0, "bad_value", "{other}");
    }
    let long = hall.ask("bo", seal(&format!("e1.{}", "a".repeat(126)))).unwrap_err();
    assert_eq!((long.code, long.bound), ("bad_value", Some(Bound::SealedReactionChars)));
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
