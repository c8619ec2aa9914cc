// SPDX-License-Identifier: EUPL-1.2

use serde_json::{Value, json};

use super::{Hall, START_MS};
use crate::assembly::{AssemblyLimits, ChatPolicy, Rights, Role};
use crate::features::{Chat, Feature, Want};

fn say(text: &str) -> Value {
    json!({ "do": "chat.send", "text": text })
}

fn whisper(to: &str, text: &str) -> Value {
    json!({ "do": "chat.send", "text": text, "to": to })
}

fn texts(view: &Value) -> Vec<&str> {
    view["messages"].as_array().unwrap().iter().map(|message| message["text"].as_str().unwrap()).collect()
}

fn ids(view: &Value) -> Vec<u64> {
    view["messages"].as_array().unwrap().iter().map(|message| message["id"].as_u64().unwrap()).collect()
}

#[test]
fn what_is_written_to_all_is_read_by_all_with_who_wrote_it_and_when() {
    let mut hall = Hall::<Chat>::new();
    assert_eq!(hall.get("bo", say("Good morning")), json!({ "id": 1 }));
    assert_eq!(hall.concerned(), ["ada", "bo", "cem", "dora"]);
    let message = json!({ "id": 1, "from": "bo", "name": "Bo", "at_ms": START_MS, "text": "Good morning" });
    for reader in ["ada", "bo", "cem", "dora"] {
        assert_eq!(hall.view(reader), json!({ "messages": [message] }));
    }
}

#[test]
fn row_43_a_private_message_is_for_two_and_no_moderator_reads_it() {
    let mut hall = Hall::<Chat>::new();
    hall.get("bo", whisper("cem", "between us"));
    assert_eq!(hall.concerned(), ["bo", "cem"]);
    for reader in ["bo", "cem"] {
        assert_eq!(texts(&hall.view(reader)), ["between us"]);
        assert_eq!(hall.view(reader)["messages"][0]["to"], "cem");
        assert_eq!(texts(&hall.patch(reader)), ["between us"]);
    }
    for other in ["ada", "dora"] {
        assert_eq!(hall.view(other), json!({ "messages": [] }));
        assert_eq!(hall.patch(other), json!({ "messages": [] }));
    }
    // Nor is there a way to find out that there is one.
    let retract = |id: u64| json!({ "do": "chat.retract", "message": id });
    let (there, not_there) = (hall.refused("ada", retract(1)), hall.refused("ada", retract(2)));
    assert_eq!((there.0, there.1), (not_there.0, not_there.1.replace('2', "1")));
    assert_eq!(hall.refused("ada", json!({ "do": "chat.send", "text": "?", "reply_to": 1 })).0, "not_found");
}

#[test]
fn private_messages_go_as_the_policy_says_and_to_others_who_are_here() {
    let mut hall = Hall::<Chat>::new();
    assert_eq!(hall.refused("bo", whisper("bo", "note to self")).0, "bad_value");
    assert_eq!(hall.refused("bo", whisper("eve", "are you there?")).0, "not_found");
    hall.policy.private_chat = false;
    assert_eq!(hall.refused("bo", whisper("cem", "psst")).0, "not_allowed");
    assert_eq!(hall.refused("ada", whisper("cem", "psst")).0, "not_allowed");
    hall.get("bo", say("aloud"));
}

#[test]
fn who_has_no_right_to_write_does_not() {
    let mut hall = Hall::<Chat>::new();
    hall.policy.chat = ChatPolicy::Moderators;
    for member in hall.members.values_mut() {
        member.rights = Rights::of(member.role, &hall.policy);
    }
    assert_eq!(hall.refused("bo", say("may I?")).0, "not_allowed");
    assert_eq!(hall.refused("bo", whisper("ada", "may I?")).0, "not_allowed");
    hall.get("ada", say("not now"));
}

#[test]
fn a_text_is_a_text_whatever_it_looks_like() {
    let mut hall = Hall::<Chat>::new();
    let html = "<img src=x onerror=alert(1)> [click](javascript:alert(1)) https://example.org/?a=1&b=2 👩‍👩‍👧";
    hall.get("bo", say(html));
    hall.get("bo", say("  line one\r\n\r\nline\u{202E} two\u{0} \n"));
    assert_eq!(texts(&hall.view("cem")), [html, "line one\n\nline two"]);
    for empty in ["", " \n\t ", "\u{202E}\u{2066}\u{0}"] {
        assert_eq!(hall.refused("bo", say(empty)).0, "bad_value");
    }
}

#[test]
fn a_message_has_a_length_that_is_counted_in_characters() {
    let mut hall = Hall::<Chat>::with(AssemblyLimits { message_chars: 5, ..AssemblyLimits::default() });
    hall.get("bo", say("ééééé"));
    let (code, message) = hall.refused("bo", say("éééééé"));
    assert_eq!((code, message.as_str()), ("bad_value", "text has 6 characters, at most 5 are allowed"));
}

#[test]
fn a_reply_names_what_it_answers_and_is_as_private_as_that() {
    let mut hall = Hall::<Chat>::new();
    let reply =
        |to: Option<&str>, id: u64| json!({ "do": "chat.send", "text": "yes", "to": to, "reply_to": id });
    hall.get("bo", say("who comes?"));
    hall.get("cem", reply(None, 1));
    assert_eq!(hall.view("dora")["messages"][1]["reply_to"], 1);
    hall.get("cem", reply(Some("bo"), 1));

    hall.get("bo", whisper("cem", "you too?"));
    assert_eq!(hall.refused("cem", reply(None, 4)).0, "bad_value");
    assert_eq!(hall.refused("cem", reply(Some("ada"), 4)).0, "bad_value");
    hall.get("cem", reply(Some("bo"), 4));
    hall.get("bo", reply(Some("cem"), 4));
    assert_eq!(hall.refused("cem", reply(None, 99)).0, "not_found");
}

#[test]
fn an_author_takes_a_message_back_and_so_does_a_moderator() {
    let mut hall = Hall::<Chat>::new();
    let retract = |id: u64| json!({ "do": "chat.retract", "message": id });
    hall.get("bo", say("first"));
    hall.get("bo", say("second"));
    hall.get("cem", say("third"));
    hall.feature.patched();

    assert_eq!(hall.refused("cem", retract(1)).0, "not_allowed");
    hall.concerned();
    hall.get("bo", retract(1));
    hall.get("ada", retract(3));
    assert_eq!(hall.concerned(), ["ada", "bo", "cem", "dora"]);
    let patch = hall.patch("dora");
    assert_eq!(
        (ids(&patch), texts(&patch)),
        (vec![1, 3], vec!["", ""]),
        "the words are gone, the place is not"
    );
    assert_eq!(patch["messages"][0]["retracted"], "author");
    assert_eq!(patch["messages"][1]["retracted"], "moderator");
    assert_eq!(texts(&hall.view("cem")), ["", "second", ""]);
    assert_eq!(hall.refused("cem", json!({ "do": "chat.send", "text": "?", "reply_to": 1 })).0, "closed");
    // Twice is once.
    hall.get("ada", retract(1));
    assert_eq!(hall.view("cem")["messages"][0]["retracted"], "author");
}

#[test]
fn a_private_message_is_taken_back_by_its_author_alone() {
    let mut hall = Hall::<Chat>::new();
    hall.get("bo", whisper("ada", "sorry"));
    assert_eq!(hall.refused("ada", json!({ "do": "chat.retract", "message": 1 })).0, "not_allowed");
    hall.get("bo", json!({ "do": "chat.retract", "message": 1 }));
    assert_eq!(texts(&hall.view("ada")), [""]);
}

#[test]
fn a_moderator_does_not_take_back_what_the_owner_wrote() {
    let mut hall = Hall::<Chat>::new();
    hall.enter("olga", Role::Owner);
    hall.enter("otto", Role::Owner);
    hall.get("olga", say("the rules"));
    assert_eq!(hall.refused("ada", json!({ "do": "chat.retract", "message": 1 })).0, "not_allowed");
    hall.get("otto", json!({ "do": "chat.retract", "message": 1 }));
    assert_eq!(hall.view("bo")["messages"][0]["retracted"], "moderator");
}

#[test]
fn a_patch_holds_what_is_new_and_nothing_twice() {
    let mut hall = Hall::<Chat>::new();
    hall.get("bo", say("one"));
    hall.get("cem", say("two"));
    assert_eq!(ids(&hall.patch("dora")), [1, 2]);
    hall.feature.patched();
    assert_eq!(hall.patch("dora"), json!({ "messages": [] }));
    hall.get("bo", say("three"));
    assert_eq!(ids(&hall.patch("dora")), [3]);
    assert_eq!(ids(&hall.view("dora")), [1, 2, 3]);
}

#[test]
fn where_history_is_not_shown_one_reads_from_ones_coming_on_and_keeps_it_over_a_reload() {
    let mut hall = Hall::<Chat>::new();
    hall.policy.chat_history = false;
    hall.get("bo", say("before"));
    hall.enter("eva", Role::Speaker);
    hall.enter("otto", Role::Moderator);
    assert_eq!(hall.view("eva"), json!({ "messages": [] }));
    assert_eq!(hall.view("otto"), json!({ "messages": [] }), "it is closed for moderators too");
    hall.get("bo", say("after"));
    assert_eq!(texts(&hall.view("eva")), ["after"]);

    for returning in ["eva", "cem"] {
        hall.leave(returning);
        hall.get("bo", say("meanwhile"));
        hall.enter(returning, Role::Speaker);
    }
    assert_eq!(texts(&hall.view("eva")), ["after", "meanwhile", "meanwhile"]);
    assert_eq!(texts(&hall.view("cem")), ["before", "after", "meanwhile", "meanwhile"], "he had it before");
    // What one can't read, one can't answer.
    assert_eq!(hall.refused("eva", json!({ "do": "chat.send", "text": "?", "reply_to": 1 })).0, "not_found");
}

#[test]
fn of_too_many_messages_the_newest_stay() {
    let limits = AssemblyLimits { messages: 4, private_messages: 2, ..AssemblyLimits::default() };
    let mut hall = Hall::<Chat>::with(limits);
    for number in 1..=6 {
        hall.get("bo", say(&format!("{number}")));
    }
    assert_eq!(texts(&hall.view("cem")), ["3", "4", "5", "6"]);
    assert_eq!(ids(&hall.patch("cem")), [3, 4, 5, 6]);
}

#[test]
fn what_two_write_to_each_other_does_not_push_out_what_all_have_read() {
    let limits = AssemblyLimits { messages: 4, private_messages: 2, ..AssemblyLimits::default() };
    let mut hall = Hall::<Chat>::with(limits);
    hall.get("ada", say("the agenda"));
    hall.get("ada", say("the minutes"));
    for number in 1..=50 {
        hall.get("bo", whisper("cem", &format!("{number}")));
    }
    assert_eq!(texts(&hall.view("dora")), ["the agenda", "the minutes"]);
    assert_eq!(texts(&hall.view("cem")), ["the agenda", "the minutes", "49", "50"]);
}

#[test]
fn all_messages_together_have_a_size() {
    let limits = AssemblyLimits { messages_bytes: 10_000, ..AssemblyLimits::default() };
    let mut hall = Hall::<Chat>::with(limits);
    for _ in 0..100 {
        hall.get("bo", say(&"x".repeat(3_000)));
    }
    assert_eq!(ids(&hall.view("cem")), [98, 99, 100]);
    for id in [98, 99, 100] {
        hall.get("bo", json!({ "do": "chat.retract", "message": id }));
    }
    for _ in 0..20 {
        hall.get("bo", say("short"));
    }
    assert_eq!(
        hall.view("cem")["messages"].as_array().unwrap().len(),
        23,
        "what was taken back takes no more place"
    );
}

#[test]
fn of_those_who_are_gone_as_many_are_remembered_as_the_bound_says() {
    let limits = AssemblyLimits { people_remembered: 8, ..AssemblyLimits::default() };
    let mut hall = Hall::<Chat>::with(limits);
    hall.policy.chat_history = false;
    hall.get("bo", say("before"));
    for number in 0..100 {
        let passer = format!("p{number}");
        hall.enter(&passer, Role::Speaker);
        hall.leave(&passer);
    }
    assert_eq!(hall.feature.since.len(), 8);
    assert_eq!(texts(&hall.view("cem")), ["before"], "nobody who is here is forgotten");
}

#[test]
fn recordings_are_told_of_what_is_for_all_and_never_of_what_is_private() {
    let mut hall = Hall::<Chat>::new();
    hall.get("bo", say("Good morning"));
    let kept = Want::KeepMessage {
        message: 1,
        identity: "bo".to_owned(),
        name: "Bo".to_owned(),
        text: "Good morning".to_owned(),
    };
    assert_eq!(std::mem::take(&mut hall.wanted), [kept]);
    let retract = |id: u64| json!({ "do": "chat.retract", "message": id });
    hall.get("bo", whisper("cem", "between us"));
    hall.get("bo", retract(2));
    assert_eq!(hall.wanted, [], "neither that it was written nor that it was taken back");
    hall.get("ada", retract(1));
    hall.get("ada", retract(1));
    assert_eq!(hall.wanted, [Want::ForgetMessage { message: 1 }], "once");
}
