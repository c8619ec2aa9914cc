// SPDX-License-Identifier: EUPL-1.2

use std::time::Duration;

use serde_json::{Value, json};

use super::Hall;
use crate::assembly::{AssemblyLimits, Role};
use crate::features::{Feature, Polls};

fn open(secret: bool, multiple: bool) -> Value {
    let options = ["Monday", "Tuesday", "Friday"];
    json!({ "do": "poll.open", "question": "When?", "options": options, "secret": secret, "multiple": multiple })
}

fn vote(options: &[usize]) -> Value {
    json!({ "do": "poll.vote", "poll": 1, "options": options })
}

fn close() -> Value {
    json!({ "do": "poll.close", "poll": 1 })
}

#[test]
fn a_named_poll_tells_who_voted_what_once_it_is_closed_and_no_sooner() {
    let mut hall = Hall::<Polls>::new();
    assert_eq!(hall.get("ada", open(false, false)), json!({ "id": 1 }));
    hall.get("bo", vote(&[1]));
    hall.get("cem", vote(&[2]));
    hall.get("ada", vote(&[2]));
    let mut seen = json!({
        "id": 1, "question": "When?", "options": ["Monday", "Tuesday", "Friday"], "secret": false, "multiple": false,
        "open": true, "counts": null, "votes": null, "names": null, "mine": [1], "voted": 3, "by": "ada",
    });
    assert_eq!(hall.view("bo"), json!({ "polls": [seen] }));
    assert_eq!(hall.view("dora")["polls"][0]["mine"], Value::Null);
    assert_eq!(hall.view("ada")["polls"][0]["counts"], Value::Null, "not for her either");

    hall.concerned();
    hall.leave("cem");
    hall.get("ada", close());
    assert_eq!(hall.concerned(), ["ada", "bo", "dora"]);
    seen["open"] = json!(false);
    seen["counts"] = json!([0, 1, 2]);
    seen["votes"] = json!({ "ada": [2], "bo": [1], "cem": [2] });
    seen["names"] = json!({ "ada": "Ada", "bo": "Bo", "cem": "Cem" });
    assert_eq!(hall.view("bo"), json!({ "polls": [seen] }));
    hall.enter("late", Role::Speaker);
    seen["mine"] = Value::Null;
    assert_eq!(hall.view("late"), json!({ "polls": [seen] }), "who comes late sees what came out");
}

#[test]
fn nobody_learns_who_voted_what_in_a_secret_poll() {
    let mut hall = Hall::<Polls>::new();
    hall.get("ada", open(true, false));
    hall.get("bo", vote(&[1]));
    hall.get("cem", vote(&[1]));
    assert_eq!(hall.view("bo")["polls"][0]["mine"], json!([1]));
    for closed in [false, true] {
        if closed {
            hall.get("ada", close());
        }
        for other in ["ada", "dora"] {
            let view = hall.view(other);
            assert_eq!(view["polls"][0]["voted"], 2);
            assert_eq!(view["polls"][0]["votes"], Value::Null);
            assert!(!view.to_string().contains("\"bo\"") && !view.to_string().contains("\"cem\""), "{view}");
        }
        let logged = format!("{:?}", hall.feature);
        assert!(!logged.contains("bo") && !logged.contains("cem"), "{logged}");
    }
    assert_eq!(hall.view("ada")["polls"][0]["counts"], json!([0, 2, 0]));
    assert_eq!(hall.view("bo")["polls"][0]["mine"], Value::Null, "the ballots are not kept");
}

#[test]
fn a_vote_can_be_changed_until_the_poll_is_closed_and_counts_once() {
    for secret in [false, true] {
        let mut hall = Hall::<Polls>::new();
        hall.get("ada", open(secret, false));
        for choice in [0, 1, 2, 1] {
            hall.get("bo", vote(&[choice]));
        }
        // The page is loaded anew in between.
        hall.leave("bo");
        hall.enter("bo", Role::Speaker);
        assert_eq!(hall.view("bo")["polls"][0]["mine"], json!([1]));
        hall.get("bo", vote(&[2]));
        assert_eq!(hall.view("ada")["polls"][0]["voted"], 1);
        hall.get("ada", close());
        assert_eq!(hall.view("ada")["polls"][0]["counts"], json!([0, 0, 1]));
        assert_eq!(hall.refused("bo", vote(&[0])).0, "closed");
        assert_eq!(hall.refused("ada", close()).0, "closed");
        assert_eq!(hall.view("ada")["polls"][0]["counts"], json!([0, 0, 1]));
    }
}

#[test]
fn several_are_chosen_where_the_poll_says_so() {
    let mut hall = Hall::<Polls>::new();
    hall.get("ada", open(false, true));
    for bad in [&[][..], &[0, 0], &[3], &[0, 1, 2, 3]] {
        assert_eq!(hall.refused("bo", vote(bad)).0, "bad_value", "{bad:?}");
    }
    hall.get("bo", vote(&[2, 0]));
    hall.get("cem", vote(&[0, 1, 2]));
    hall.get("ada", close());
    assert_eq!(hall.view("cem")["polls"][0]["counts"], json!([2, 1, 2]));
    assert_eq!(hall.view("cem")["polls"][0]["voted"], 2);

    let mut hall = Hall::<Polls>::new();
    hall.get("ada", open(false, false));
    for bad in [&[][..], &[0, 1], &[3], &[usize::MAX]] {
        assert_eq!(hall.refused("bo", vote(bad)).0, "bad_value", "{bad:?}");
    }
}

#[test]
fn moderators_put_questions_and_those_who_take_part_answer_them() {
    let mut hall = Hall::<Polls>::new();
    assert_eq!(hall.refused("bo", open(false, false)).0, "not_allowed");
    hall.get("ada", open(false, false));
    assert_eq!(hall.refused("dora", vote(&[0])).0, "not_allowed");
    assert_eq!(hall.refused("bo", close()).0, "not_allowed");
    assert_eq!(hall.refused("bo", json!({ "do": "poll.remove", "poll": 1 })).0, "not_allowed");
    hall.get("ada", json!({ "do": "poll.remove", "poll": 1 }));
    assert_eq!(hall.view("bo"), json!({ "polls": [] }));
    for gone in [vote(&[0]), json!({ "do": "poll.vote", "poll": 7, "options": [0] })] {
        assert_eq!(hall.refused("bo", gone).0, "not_found");
    }
    assert_eq!(hall.get("ada", open(false, false)), json!({ "id": 2 }), "no number comes twice");
}

#[test]
fn what_is_asked_can_be_read_and_told_apart() {
    let mut hall = Hall::<Polls>::new();
    let ask = |question: &str, options: &[&str]| json!({ "do": "poll.open", "question": question, "options": options, "secret": false, "multiple": false });
    let long = "x".repeat(4_001);
    for (question, options) in [
        (" \u{202E} ", &["a", "b"][..]),
        (&long, &["a", "b"]),
        ("?", &["a"]),
        ("?", &[]),
        ("?", &["a"; 11]),
        ("?", &["a", "a\u{200F} "]),
        ("?", &["a", "\u{0}"]),
        ("?", &["a", &long[..201]]),
    ] {
        assert_eq!(
            hall.refused("ada", ask(question, options)).0,
            "bad_value",
            "{question:.10} {options:.10?}"
        );
    }
    hall.get("ada", ask("<b>Line\u{202E}</b>\nand line", &[" yes\n", "<i>no</i>"]));
    let view = hall.view("bo");
    assert_eq!(view["polls"][0]["question"], "<b>Line</b>\nand line");
    assert_eq!(view["polls"][0]["options"], json!(["yes", "<i>no</i>"]));
}

#[test]
fn there_are_no_more_polls_and_no_more_votes_than_the_bounds_say() {
    let limits = AssemblyLimits { polls: 2, poll_votes: 2, ..AssemblyLimits::default() };
    let mut hall = Hall::<Polls>::with(limits);
    hall.get("ada", open(true, false));
    hall.get("ada", open(true, false));
    assert_eq!(hall.refused("ada", open(true, false)).0, "too_many");
    hall.get("bo", vote(&[0]));
    hall.get("cem", vote(&[0]));
    assert_eq!(hall.refused("ada", vote(&[0])).0, "too_many");
    hall.get("bo", vote(&[1]));
    hall.get("ada", json!({ "do": "poll.remove", "poll": 2 }));
    hall.get("ada", open(true, false));
}

#[test]
fn when_many_vote_at_once_all_are_told_how_many_once_a_second() {
    let mut hall = Hall::<Polls>::new();
    hall.get("ada", open(true, false));
    hall.concerned();
    for who in ["ada", "bo", "cem"] {
        hall.get(who, vote(&[0]));
        assert_eq!(hall.concerned(), [who], "the voter sees it at once");
    }
    hall.wait(Duration::from_millis(999));
    assert_eq!(hall.concerned(), [""; 0]);
    hall.wait(Duration::from_millis(1));
    assert_eq!(hall.concerned(), ["ada", "bo", "cem", "dora"]);
    assert_eq!(hall.feature.poll_timeout(), None, "and then all is quiet");
}
