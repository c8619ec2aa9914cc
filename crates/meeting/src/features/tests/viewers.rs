// SPDX-License-Identifier: EUPL-1.2

use serde_json::{Value, json};

use super::Hall;
use crate::assembly::{AssemblyLimits, Bound, Role};
use crate::features::Viewers;

fn find(text: &str, skip: usize) -> Value {
    json!({ "do": "viewers.find", "text": text, "skip": skip })
}

fn names(found: &Value) -> Vec<&str> {
    found["people"].as_array().unwrap().iter().map(|person| person["name"].as_str().unwrap()).collect()
}

#[test]
fn a_moderator_finds_viewers_by_a_part_of_their_name_and_nobody_else() {
    let mut hall = Hall::<Viewers>::new();
    let found = hall.get("ada", find(" DOR ", 0));
    assert_eq!(
        found,
        json!({ "people": [{ "identity": "dora", "name": "Dora" }], "total": 1, "next": null })
    );
    assert_eq!(hall.get("ada", find("bo", 0))["total"], 0, "speakers are in the list already");
    assert_eq!(hall.get("ada", json!({ "do": "viewers.find" }))["total"], 1, "all of them");
    for who in ["bo", "dora"] {
        assert_eq!(hall.refused(who, find("", 0)).0, "not_allowed", "{who}");
    }
    hall.alter("dora", |member| member.role = Role::Speaker);
    assert_eq!(hall.get("ada", find("dora", 0))["total"], 0);
}

#[test]
fn they_come_a_page_at_a_time_in_the_order_of_their_names() {
    let mut hall = Hall::<Viewers>::with(AssemblyLimits { viewers_page: 2, ..AssemblyLimits::default() });
    for who in ["zoe", "eve", "abe", "max"] {
        hall.enter(who, Role::Viewer);
    }
    let first = hall.get("ada", find("", 0));
    assert_eq!((names(&first), &first["total"], &first["next"]), (vec!["Abe", "Dora"], &json!(5), &json!(2)));
    assert_eq!(names(&hall.get("ada", find("", 2))), ["Eve", "Max"]);
    let last = hall.get("ada", find("", 4));
    assert_eq!((names(&last), &last["next"]), (vec!["Zoe"], &Value::Null));
    let beyond = hall.get("ada", find("", usize::MAX));
    assert_eq!((names(&beyond), &beyond["total"], &beyond["next"]), (vec![], &json!(5), &Value::Null));
}

#[test]
fn what_is_looked_for_is_no_longer_than_a_name() {
    let mut hall = Hall::<Viewers>::with(AssemblyLimits { name_chars: 4, ..AssemblyLimits::default() });
    let error = hall.ask("ada", find("Doras", 0)).unwrap_err();
    assert_eq!((error.code, error.bound), ("bad_value", Some(Bound::SearchChars)));
}
