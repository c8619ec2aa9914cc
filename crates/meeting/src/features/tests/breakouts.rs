// SPDX-License-Identifier: EUPL-1.2

use std::time::Duration;

use serde_json::{Value, json};

use super::{Hall, START_MS};
use crate::assembly::{AssemblyLimits, Role};
use crate::features::{Audience, Breakouts, Feature, Notice, Want};

pub(super) fn open(rooms: &[(&str, &[&str])], minutes: Option<u64>) -> Value {
    let rooms: Vec<Value> =
        rooms.iter().map(|(name, members)| json!({ "name": name, "members": members })).collect();
    json!({ "do": "breakout.open", "rooms": rooms, "minutes": minutes })
}

pub(super) fn send(identity: &str, room: Option<&str>) -> Value {
    json!({ "do": "breakout.move", "identity": identity, "room": room })
}

fn moved(identity: &str, breakout: Option<&str>) -> Want {
    Want::Move { identity: identity.to_owned(), breakout: breakout.map(str::to_owned) }
}

fn wanted(hall: &mut Hall<Breakouts>) -> Vec<Want> {
    hall.wanted.drain(..).collect()
}

#[test]
fn people_are_sent_to_their_rooms_and_see_where_everybody_is() {
    let mut hall = Hall::<Breakouts>::new();
    assert_eq!(hall.view("ada"), Value::Null);
    hall.get("ada", open(&[("Roads", &["bo"]), ("Schools", &["cem"])], Some(10)));
    assert_eq!(wanted(&mut hall), [moved("bo", Some("b1")), moved("cem", Some("b2"))]);
    assert_eq!(hall.concerned(), ["ada", "bo", "cem", "dora"]);
    let mut view = json!({
        "rooms": [
            { "id": "b1", "name": "Roads", "members": ["bo"], "names": { "bo": "Bo" }, "help": false },
            { "id": "b2", "name": "Schools", "members": ["cem"], "names": { "cem": "Cem" }, "help": false },
        ],
        "ends_ms": START_MS + 600_000, "mine": "b1",
    });
    assert_eq!(hall.view("bo"), view);
    view["mine"] = Value::Null;
    assert_eq!(hall.view("ada"), view);
}

#[test]
fn a_moderator_moves_people_from_room_to_room_and_back() {
    let mut hall = Hall::<Breakouts>::new();
    hall.get("ada", open(&[("Roads", &["bo", "cem"]), ("Schools", &[])], None));
    wanted(&mut hall);
    hall.get("ada", send("bo", Some("b2")));
    hall.get("ada", send("bo", Some("b2")));
    hall.get("ada", send("cem", None));
    hall.get("ada", send("ada", Some("b1")));
    assert_eq!(wanted(&mut hall), [moved("bo", Some("b2")), moved("cem", None), moved("ada", Some("b1"))]);
    let view = hall.view("cem");
    assert_eq!(view["rooms"][0]["members"], json!(["ada"]));
    assert_eq!(view["rooms"][1]["members"], json!(["bo"]));
    assert_eq!((&view["mine"], &view["ends_ms"]), (&Value::Null, &Value::Null));

    assert_eq!(hall.refused("ada", send("cem", Some("b9"))).0, "not_found");
    assert_eq!(hall.refused("ada", send("eve", Some("b1"))).0, "not_found");
    assert_eq!(hall.refused("ada", send("cem", None)).0, "not_found");
    assert_eq!(hall.refused("ada", send("dora", Some("b1"))).0, "bad_value");
    assert_eq!(wanted(&mut hall), []);
}

#[test]
fn only_moderators_have_anything_done() {
    let mut hall = Hall::<Breakouts>::new();
    assert_eq!(hall.refused("bo", open(&[("Mine", &["bo"])], None)).0, "not_allowed");
    hall.get("ada", open(&[("Roads", &["bo"])], None));
    wanted(&mut hall);
    let others = [
        send("bo", None),
        json!({ "do": "breakout.broadcast", "text": "come back" }),
        json!({ "do": "breakout.close" }),
    ];
    for command in others {
        assert_eq!(hall.refused("bo", command).0, "not_allowed");
    }
    assert_eq!((wanted(&mut hall).len(), hall.told.len()), (0, 0));
}

#[test]
fn all_come_back_when_a_moderator_closes_the_rooms() {
    let mut hall = Hall::<Breakouts>::new();
    hall.get("ada", open(&[("Roads", &["bo"]), ("Schools", &["cem"])], Some(10)));
    wanted(&mut hall);
    hall.concerned();
    hall.get("ada", json!({ "do": "breakout.close" }));
    let close = |id: &str| Want::CloseBreakout { breakout: id.to_owned() };
    assert_eq!(wanted(&mut hall), [moved("bo", None), moved("cem", None), close("b1"), close("b2")]);
    assert_eq!(hall.concerned(), ["ada", "bo", "cem", "dora"]);
    assert_eq!(hall.view("bo"), Value::Null);
    assert_eq!(hall.feature.poll_timeout(), None);
    for late in [
        send("bo", None),
        json!({ "do": "breakout.close" }),
        json!({ "do": "breakout.broadcast", "text": "?" }),
    ] {
        assert_eq!(hall.refused("ada", late).0, "closed");
    }
    hall.get("ada", open(&[("Again", &["bo"])], None));
    assert_eq!(wanted(&mut hall), [moved("bo", Some("b3"))], "a room of before is never meant");
}

#[test]
fn all_come_back_when_the_time_is_over() {
    let mut hall = Hall::<Breakouts>::new();
    hall.get("ada", open(&[("Roads", &["bo"])], Some(2)));
    wanted(&mut hall);
    hall.wait(Duration::from_millis(119_999));
    assert_eq!(wanted(&mut hall), []);
    hall.wait(Duration::from_millis(1));
    assert_eq!(wanted(&mut hall), [moved("bo", None), Want::CloseBreakout { breakout: "b1".to_owned() }]);
    assert_eq!(hall.view("bo"), Value::Null);
}

#[test]
fn who_loads_the_page_anew_is_sent_to_the_room_again() {
    let mut hall = Hall::<Breakouts>::new();
    hall.get("ada", open(&[("Roads", &["bo"])], None));
    wanted(&mut hall);
    for who in ["bo", "cem"] {
        hall.leave(who);
        hall.enter(who, Role::Speaker);
    }
    assert_eq!(wanted(&mut hall), [moved("bo", Some("b1"))]);
    hall.get("ada", send("bo", None));
    wanted(&mut hall);
    hall.leave("bo");
    hall.enter("bo", Role::Speaker);
    assert_eq!(wanted(&mut hall), [], "she was fetched back");
}

#[test]
fn who_has_left_is_shown_in_no_room_and_keeps_the_place() {
    let mut hall = Hall::<Breakouts>::new();
    hall.get("ada", open(&[("Roads", &["bo", "cem"])], None));
    hall.concerned();
    hall.leave("bo");
    assert_eq!(hall.concerned(), ["ada", "cem", "dora"]);
    assert_eq!(hall.view("ada")["rooms"][0]["members"], json!(["cem"]));
    hall.enter("bo", Role::Speaker);
    assert_eq!(hall.concerned(), ["ada", "bo", "cem", "dora"]);
    assert_eq!(hall.view("ada")["rooms"][0]["members"], json!(["bo", "cem"]));
}

#[test]
fn who_is_made_a_viewer_comes_back() {
    let mut hall = Hall::<Breakouts>::new();
    hall.get("ada", open(&[("Roads", &["bo", "cem"])], None));
    wanted(&mut hall);
    hall.alter("bo", |bo| bo.name = "Bo Berg".to_owned());
    assert_eq!(wanted(&mut hall), []);
    hall.alter("bo", |bo| bo.role = Role::Viewer);
    assert_eq!(wanted(&mut hall), [moved("bo", None)]);
    assert_eq!(hall.view("bo")["mine"], Value::Null);
    assert_eq!(hall.view("bo")["rooms"][0]["members"], json!(["cem"]));
    hall.leave("cem");
    hall.enter("cem", Role::Viewer);
    assert_eq!(wanted(&mut hall), [moved("cem", None)]);
}

#[test]
fn a_call_for_help_reaches_those_who_conduct_once_and_ends_when_one_of_them_comes() {
    let mut hall = Hall::<Breakouts>::new();
    let help = || json!({ "do": "breakout.help" });
    assert_eq!(hall.refused("bo", help()).0, "closed");
    hall.get("ada", open(&[("Roads", &["bo"]), ("Schools", &[])], None));
    assert_eq!(hall.refused("cem", help()).0, "not_allowed");
    for _ in 0..3 {
        hall.get("bo", help());
    }
    let notice = Notice::Help { room: "b1".to_owned(), identity: "bo".to_owned() };
    assert_eq!(hall.told, [(Audience::Moderators, notice)]);
    assert_eq!(hall.view("ada")["rooms"][0]["help"], true);
    hall.get("ada", send("cem", Some("b1")));
    assert_eq!(hall.view("ada")["rooms"][0]["help"], true, "he can't help");
    hall.get("ada", send("ada", Some("b1")));
    assert_eq!(hall.view("ada")["rooms"][0]["help"], false);
    hall.get("bo", help());
    assert_eq!(hall.told.len(), 2);
}

#[test]
fn what_is_said_to_all_rooms_is_a_clean_text() {
    let mut hall = Hall::<Breakouts>::new();
    let say = |text: &str| json!({ "do": "breakout.broadcast", "text": text });
    hall.get("ada", open(&[("Roads", &["bo"])], None));
    hall.get("ada", say(" Two\u{202E} minutes!\n"));
    let (text, by, name) = ("Two minutes!".to_owned(), "ada".to_owned(), "Ada".to_owned());
    let notice = Notice::Broadcast { text, by, name, at_ms: START_MS };
    assert_eq!(hall.told, [(Audience::Everyone, notice)]);
    for bad in ["", "\u{202E}", &"x".repeat(4_001)] {
        assert_eq!(hall.refused("ada", say(bad)).0, "bad_value");
    }
}

#[test]
fn rooms_that_cannot_be_are_not_opened() {
    let limits = AssemblyLimits { breakouts: 3, breakout_people: 3, ..AssemblyLimits::default() };
    let mut hall = Hall::<Breakouts>::with(limits);
    let long = "x".repeat(101);
    for (rooms, minutes, code) in [
        (&[][..], None, "bad_value"),
        (&[("a", &[][..]), ("b", &[]), ("c", &[]), ("d", &[])], None, "bad_value"),
        (&[("\u{202E} ", &[])], None, "bad_value"),
        (&[(long.as_str(), &[])], None, "bad_value"),
        (&[("a", &["bo", "bo"])], None, "bad_value"),
        (&[("a", &["bo"]), ("b", &["bo"])], None, "bad_value"),
        (&[("a", &["dora"])], None, "bad_value"),
        (&[("a", &["eve"])], None, "not_found"),
        (&[("a", &["bo"])], Some(0), "bad_value"),
        (&[("a", &["bo"])], Some(24 * 60 + 1), "bad_value"),
        (&[("a", &["bo"])], Some(u64::MAX), "bad_value"),
    ] {
        assert_eq!(hall.refused("ada", open(rooms, minutes)).0, code, "{rooms:.20?} {minutes:?}");
    }
    assert_eq!(wanted(&mut hall), [], "and nobody is sent anywhere");
    hall.get("ada", open(&[("a", &["ada", "bo", "cem"])], None));
    assert_eq!(hall.refused("ada", open(&[("b", &[])], None)).0, "bad_value");
    hall.enter("eva", Role::Speaker);
    assert_eq!(hall.refused("ada", send("eva", Some("b1"))).0, "too_many");
    hall.get("ada", send("bo", None));
    hall.get("ada", send("eva", Some("b1")));
}
