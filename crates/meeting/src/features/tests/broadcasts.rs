// SPDX-License-Identifier: EUPL-1.2

use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::Hall;
use super::breakouts::{open, send};
use super::whoever::{breakout_command, equal, go, limits, steps};
use crate::assembly::{AssemblyLimits, Role};
use crate::features::{Breakouts, Notice};

fn say(text: &str) -> Value {
    json!({ "do": "breakout.broadcast", "text": text })
}

fn texts(told: &[Notice]) -> Vec<&str> {
    let text = |notice: &'_ Notice| matches!(notice, Notice::Broadcast { .. });
    assert!(told.iter().all(text), "{told:?}");
    told.iter()
        .filter_map(
            |notice| if let Notice::Broadcast { text, .. } = notice { Some(text.as_str()) } else { None },
        )
        .collect()
}

/// Rooms in which Bo and Cem are.
fn two_rooms() -> Hall<Breakouts> {
    let mut hall = Hall::<Breakouts>::new();
    hall.get("ada", open(&[("Roads", &["bo"]), ("Schools", &["cem"])], None));
    hall
}

#[test]
fn who_was_on_the_way_to_a_room_is_told_what_was_said_meanwhile() {
    let mut hall = two_rooms();
    hall.get("ada", say("ten minutes"));
    hall.get("ada", say("five minutes"));
    let live: Vec<Notice> = hall.told.drain(..).map(|(_, notice)| notice).collect();
    assert_eq!(hall.connect("bo"), live, "the same words of the same time");
    hall.wait(Duration::from_secs(1));
    hall.enter("eva", Role::Speaker);
    assert_eq!(hall.connect("eva"), [], "who came later, and has no place in a room");
    hall.get("ada", send("eva", Some("b2")));
    assert_eq!(texts(&hall.connect("eva")), ["ten minutes", "five minutes"], "and who is sent to one");
}

#[test]
fn who_is_on_the_way_back_is_told_too_and_who_spoke_is_not() {
    let mut hall = two_rooms();
    hall.get("ada", send("bo", None));
    hall.get("ada", say("come, all"));
    assert_eq!(texts(&hall.connect("bo")), ["come, all"]);
    hall.get("ada", send("ada", Some("b1")));
    assert_eq!(hall.connect("ada"), [], "she said it herself");
}

#[test]
fn two_broadcasts_of_one_moment_are_two() {
    let mut hall = two_rooms();
    for _ in 0..2 {
        hall.get("ada", say("now"));
    }
    let told = hall.connect("bo");
    assert_eq!(texts(&told), ["now", "now"]);
    assert_ne!(told[0], told[1], "a client that has shown one shows the other");
}

#[test]
fn what_was_said_is_over_with_the_rooms_and_within_its_bound() {
    let limits = AssemblyLimits { broadcasts: 2, ..AssemblyLimits::default() };
    let mut hall = Hall::<Breakouts>::with(limits);
    hall.get("ada", open(&[("Roads", &["bo"])], Some(1)));
    for text in ["one", "two", "three"] {
        hall.get("ada", say(text));
    }
    assert_eq!(texts(&hall.connect("bo")), ["two", "three"]);
    hall.wait(Duration::from_secs(60));
    hall.get("ada", open(&[("Again", &["bo"])], None));
    assert_eq!(hall.connect("bo"), []);
}

proptest! {
    #[test]
    fn whoever_connects_is_told_the_last_of_what_was_said_for_them(steps in steps(breakout_command())) {
        let mut said: Vec<Notice> = Vec::new();
        let mut last_ms = 0;
        go::<Breakouts>(steps, equal, |hall, asked| {
            for (_, notice) in hall.told.drain(..) {
                if let Notice::Broadcast { at_ms, .. } = &notice {
                    assert!(*at_ms > last_ms, "later ones are told from earlier ones");
                    last_ms = *at_ms;
                    said.push(notice);
                }
            }
            let here: Vec<String> = hall.members.keys().cloned().collect();
            let open = here.first().is_some_and(|who| !hall.view(who).is_null());
            // Rooms that are closed and opened again are others.
            let opened = asked.is_some_and(|(_, command, done)| done.is_some() && command["do"] == "breakout.open");
            if opened || (!here.is_empty() && !open) {
                said.clear();
            }
            let kept = &said[said.len().saturating_sub(limits().broadcasts)..];
            for who in here {
                let placed = open && hall.view(&who)["mine"].is_string();
                let joined_ms = hall.members[&who].joined_ms;
                let for_them = |notice: &&Notice| {
                    matches!(notice, Notice::Broadcast { by, at_ms, .. } if *by != who && (placed || joined_ms <= *at_ms))
                };
                let expected: Vec<Notice> = kept.iter().filter(for_them).cloned().collect();
                assert_eq!(hall.connect(&who), expected, "{who}");
            }
        });
    }
}
