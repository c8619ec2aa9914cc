// SPDX-License-Identifier: EUPL-1.2

use std::time::Duration;

use serde_json::{Value, json};

use super::{Hall, START_MS};
use crate::assembly::{AssemblyLimits, Role};
use crate::features::{Audience, Feature, Hands, Notice, Want};

fn raise() -> Value {
    json!({ "do": "hand.raise" })
}

fn queue(view: &Value) -> Vec<&str> {
    view["queue"].as_array().unwrap().iter().map(|hand| hand["identity"].as_str().unwrap()).collect()
}

#[test]
fn hands_stand_in_the_order_in_which_they_were_raised() {
    let mut hall = Hall::<Hands>::new();
    hall.get("cem", raise());
    hall.wait(Duration::from_secs(2));
    hall.get("bo", raise());
    hall.get("ada", raise());
    hall.get("cem", raise());
    assert_eq!(hall.concerned(), ["ada", "bo", "cem", "dora"]);
    assert_eq!(
        queue(&hall.view("dora")),
        ["cem", "bo", "ada"],
        "raising it again is no second place, and no later one"
    );
    let first = json!({ "identity": "cem", "name": "Cem", "since_ms": START_MS });
    assert_eq!(hall.view("bo")["queue"][0], first);
    assert_eq!(hall.view("bo")["queue"][1]["since_ms"], START_MS + 2_000);
}

#[test]
fn one_lowers_ones_own_and_a_moderator_lowers_others() {
    let mut hall = Hall::<Hands>::new();
    for who in ["bo", "cem"] {
        hall.get(who, raise());
    }
    assert_eq!(hall.refused("bo", json!({ "do": "hand.lower", "identity": "cem" })).0, "not_allowed");
    assert_eq!(hall.refused("bo", json!({ "do": "hand.raise", "identity": "dora" })).0, "not_allowed");
    hall.get("bo", json!({ "do": "hand.lower", "identity": "bo" }));
    assert_eq!(queue(&hall.view("ada")), ["cem"]);
    hall.get("bo", json!({ "do": "hand.lower" }));
    hall.get("ada", json!({ "do": "hand.lower", "identity": "cem" }));
    assert_eq!(hall.view("ada"), json!({ "queue": [] }));
    assert_eq!(hall.refused("ada", json!({ "do": "hand.lower", "identity": "cem" })).0, "not_found");
}

#[test]
fn who_is_called_is_told_so_and_may_speak() {
    let mut hall = Hall::<Hands>::new();
    for who in ["bo", "cem"] {
        hall.get(who, raise());
    }
    assert_eq!(hall.refused("bo", json!({ "do": "hand.call", "identity": "bo" })).0, "not_allowed");
    assert_eq!(hall.refused("ada", json!({ "do": "hand.call", "identity": "eve" })).0, "not_found");
    assert_eq!((hall.told.len(), hall.wanted.len()), (0, 0));
    hall.get("ada", json!({ "do": "hand.call", "identity": "cem" }));
    assert_eq!(queue(&hall.view("ada")), ["bo"]);
    let called = (Audience::These(vec!["cem".to_owned()]), Notice::Called { by: "ada".to_owned() });
    assert_eq!(hall.told, [called]);
    assert_eq!(hall.wanted, [Want::LetSpeak { identity: "cem".to_owned(), by: "ada".to_owned() }]);
}

#[test]
fn who_comes_back_soon_has_the_place_still() {
    let mut hall = Hall::<Hands>::new();
    for who in ["bo", "cem"] {
        hall.get(who, raise());
    }
    hall.concerned();
    hall.leave("bo");
    assert_eq!(hall.concerned(), ["ada", "cem", "dora"]);
    assert_eq!(queue(&hall.view("ada")), ["cem"]);
    hall.wait(hall.limits.hand_kept - Duration::from_millis(1));
    hall.enter("bo", Role::Speaker);
    assert_eq!(hall.concerned(), ["ada", "bo", "cem", "dora"]);
    assert_eq!(queue(&hall.view("ada")), ["bo", "cem"]);

    hall.leave("bo");
    hall.wait(hall.limits.hand_kept);
    hall.enter("bo", Role::Speaker);
    assert_eq!(queue(&hall.view("ada")), ["cem"]);
    assert_eq!(hall.feature.poll_timeout(), None);
}

#[test]
fn row_43_the_hand_of_a_viewer_is_shown_to_those_who_conduct_and_to_no_other_guest() {
    let mut hall = Hall::<Hands>::new();
    hall.enter("emil", Role::Viewer);
    hall.get("bo", raise());
    hall.concerned();
    hall.get("dora", raise());
    assert_eq!(hall.concerned(), ["ada", "dora"]);
    assert_eq!(queue(&hall.view("ada")), ["bo", "dora"]);
    assert_eq!(hall.view("ada")["queue"][1]["name"], "Dora", "no list of members names her");
    assert_eq!(queue(&hall.view("dora")), ["bo", "dora"]);
    for other in ["bo", "emil"] {
        assert_eq!(queue(&hall.view(other)), ["bo"]);
    }
    hall.alter("dora", |dora| dora.role = Role::Speaker);
    assert_eq!(hall.concerned(), ["ada", "bo", "cem", "dora", "emil"]);
    assert_eq!(queue(&hall.view("emil")), ["bo", "dora"], "on the stage she is one of all");
}

#[test]
fn there_are_no_more_hands_than_the_bound_says() {
    let mut hall = Hall::<Hands>::with(AssemblyLimits { hands: 2, ..AssemblyLimits::default() });
    hall.get("bo", raise());
    hall.get("cem", raise());
    assert_eq!(hall.refused("dora", raise()).0, "too_many");
    hall.get("bo", json!({ "do": "hand.lower" }));
    hall.get("dora", raise());
}
