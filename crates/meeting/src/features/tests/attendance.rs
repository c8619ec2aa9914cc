// SPDX-License-Identifier: EUPL-1.2

use std::time::Duration;

use serde_json::{Value, json};

use super::{Hall, START_MS};
use crate::assembly::{AssemblyLimits, Role};
use crate::features::{Attendance, Feature};

fn list(hall: &mut Hall<Attendance>) -> Value {
    hall.get("ada", json!({ "do": "attendance.get" }))
}

fn row<'a>(list: &'a Value, identity: &str) -> &'a Value {
    list["people"]
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["identity"] == identity)
        .expect("they were there")
}

#[test]
fn who_was_there_is_listed_with_each_stay_and_the_time_they_spoke() {
    let mut hall = Hall::<Attendance>::new();
    hall.wait(Duration::from_secs(10));
    hall.feature.spoke("bo", Duration::from_millis(1_500));
    hall.leave("bo");
    hall.wait(Duration::from_secs(20));
    hall.enter("bo", Role::Speaker);
    hall.feature.spoke("bo", Duration::from_millis(700));
    hall.leave("cem");

    let list = list(&mut hall);
    let (bo_left, bo_back) = (START_MS + 10_000, START_MS + 30_000);
    let stays =
        json!([{ "joined_ms": START_MS, "left_ms": bo_left }, { "joined_ms": bo_back, "left_ms": null }]);
    let bo = json!({
        "identity": "bo", "name": "Bo", "joined_ms": START_MS, "left_ms": null, "stays": stays, "spoke_ms": 2_200,
    });
    assert_eq!(*row(&list, "bo"), bo);
    assert_eq!(row(&list, "cem")["left_ms"], START_MS + 30_000);
    assert_eq!(row(&list, "cem")["spoke_ms"], 0);
    assert_eq!(list["people"].as_array().unwrap().len(), 4);
    assert_eq!(list["forgotten"], 0);
}

#[test]
fn the_list_is_for_moderators() {
    let mut hall = Hall::<Attendance>::new();
    for other in ["bo", "dora"] {
        assert_eq!(hall.refused(other, json!({ "do": "attendance.get" })).0, "not_allowed");
        assert_eq!(hall.view(other), Value::Null);
    }
}

#[test]
fn the_last_name_is_the_one_that_counts_and_entering_twice_is_one_stay() {
    let mut hall = Hall::<Attendance>::new();
    hall.alter("bo", |bo| bo.name = "Bo Berg".to_owned());
    assert_eq!(row(&list(&mut hall), "bo")["name"], "Bo Berg");
    hall.wait(Duration::from_secs(3));
    hall.enter("bo", Role::Speaker);
    let list = list(&mut hall);
    assert_eq!(row(&list, "bo")["stays"], json!([{ "joined_ms": START_MS, "left_ms": null }]));
}

#[test]
fn who_comes_and_goes_without_end_has_as_many_stays_as_the_bound_says() {
    let mut hall = Hall::<Attendance>::with(AssemblyLimits { stays: 3, ..AssemblyLimits::default() });
    for _ in 0..50 {
        hall.leave("bo");
        hall.wait(Duration::from_secs(1));
        hall.enter("bo", Role::Speaker);
        hall.wait(Duration::from_secs(1));
    }
    hall.leave("bo");
    let list = list(&mut hall);
    let stays = row(&list, "bo")["stays"].as_array().unwrap();
    assert_eq!(stays.len(), 3);
    assert_eq!(stays[2]["left_ms"], START_MS + 100_000, "the last one reaches to the end");
}

#[test]
fn a_crowd_that_passes_by_pushes_out_nobody_who_took_part() {
    let mut hall =
        Hall::<Attendance>::with(AssemblyLimits { people_remembered: 6, ..AssemblyLimits::default() });
    hall.feature.spoke("bo", Duration::from_secs(1));
    hall.leave("bo");
    hall.wait(Duration::from_secs(60));
    hall.leave("cem");
    for number in 0..40 {
        let passer = format!("p{number}");
        hall.enter(&passer, Role::Speaker);
        hall.wait(Duration::from_secs(1));
        hall.leave(&passer);
    }
    assert_eq!(hall.feature.people.len(), 6);
    let list = list(&mut hall);
    for who in ["ada", "bo", "cem", "dora"] {
        row(&list, who);
    }
    assert_eq!(list["forgotten"], 38, "and it is said that some are missing");
}
