// SPDX-License-Identifier: EUPL-1.2
//! What people are shown, how often, and what becomes of what they send.

use std::time::Duration;

use parvis_meeting::assembly::{AssemblyLimits, Output, Policy, Role};
use serde_json::{Value, json};

use super::Meeting;

fn meeting() -> Meeting {
    let mut meeting = Meeting::of(Policy::default());
    for (identity, role) in [("ada", Role::Owner), ("bo", Role::Speaker), ("cem", Role::Viewer)] {
        meeting.enter(identity, role);
    }
    meeting
}

fn write(text: &str) -> Value {
    json!({ "do": "chat.send", "text": text })
}

#[test]
fn whoever_connects_is_shown_the_whole_and_then_what_changes() {
    let mut meeting = meeting();
    let keys = |state: &Value| state.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let all = ["breakouts", "chat", "hands", "lobby", "members", "polls", "room", "you"];
    assert_eq!(keys(meeting.state("ada")), all);
    assert_eq!(
        keys(meeting.state("bo")),
        all.iter().filter(|key| **key != "lobby").copied().collect::<Vec<_>>()
    );
    let room = &meeting.state("bo")["room"];
    assert_eq!(
        (&room["title"], &room["e2ee"], &room["owner"]),
        (&json!("Council"), &json!(false), &json!(true))
    );
    assert_eq!(room["policy"], serde_json::to_value(Policy::default()).unwrap());
    assert_eq!(
        meeting.state("bo")["members"],
        json!({ "roles": { "ada": "owner" }, "spotlight": [], "viewers": 1 })
    );

    let before = meeting.clients["bo"].states;
    meeting.ask("ada", write("good morning")).unwrap();
    assert_eq!(meeting.clients["bo"].states, (before.0, before.1 + 1));
    assert_eq!(meeting.state("bo")["chat"]["messages"][0]["text"], "good morning");
    meeting.ask("bo", json!({ "id": 4, "do": "resync" })).unwrap();
    assert_eq!(meeting.clients["bo"].states, (before.0 + 1, before.1 + 1));
    assert_eq!(meeting.state("bo")["chat"]["messages"][0]["text"], "good morning");
}

#[test]
fn a_patch_holds_what_changed_and_goes_to_nobody_else() {
    let mut meeting = meeting();
    meeting.enter("dora", Role::Speaker);
    let states = |meeting: &Meeting| ["ada", "bo", "cem", "dora"].map(|who| meeting.clients[who].states.1);
    let before = states(&meeting);
    meeting.ask("ada", json!({ "do": "chat.send", "text": "psst", "to": "bo" })).unwrap();
    assert_eq!(states(&meeting), [before[0] + 1, before[1] + 1, before[2], before[3]]);
    assert_eq!(meeting.state("dora")["chat"]["messages"], json!([]));

    let say = |meeting: &mut Meeting, text: &str| {
        meeting.assembly.message(meeting.now, meeting.unix_ms, "bo", text);
    };
    say(&mut meeting, r#"{"do":"hand.raise"}"#);
    let outputs: Vec<Output> = std::iter::from_fn(|| meeting.assembly.poll_output()).collect();
    let patch = outputs.iter().find_map(|output| match output {
        Output::Send { identity, message } if identity == "cem" => Some(message.as_str()),
        _ => None,
    });
    let patch: Value = serde_json::from_str(patch.unwrap()).unwrap();
    let keys: Vec<&String> = patch["patch"]["state"].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["hands"]);
}

#[test]
fn many_changes_at_once_are_one_patch_for_each() {
    let mut meeting = meeting();
    let before = meeting.clients["bo"].states;
    for text in ["one", "two", "three"] {
        let message = write(text).to_string();
        meeting.assembly.message(meeting.now, meeting.unix_ms, "ada", &message);
    }
    meeting.assembly.message(meeting.now, meeting.unix_ms, "bo", r#"{"do":"hand.raise"}"#);
    meeting.drain();
    assert_eq!(meeting.clients["bo"].states, (before.0, before.1 + 1));
    let texts = meeting.state("bo")["chat"]["messages"].as_array().unwrap().iter().map(|m| m["text"].clone());
    assert_eq!(texts.collect::<Vec<_>>(), ["one", "two", "three"]);
    assert_eq!(meeting.state("bo")["hands"]["queue"][0]["identity"], "bo");
}

#[test]
fn the_more_there_are_the_longer_it_is_from_patch_to_patch_and_nothing_is_lost() {
    let pace = Duration::from_millis(10);
    let limits = AssemblyLimits { patch_free: 2, patch_pace: pace, ..AssemblyLimits::default() };
    let mut meeting = Meeting::within(limits, Policy::default());
    for identity in ["ada", "bo", "cem", "dora", "eva"] {
        meeting.enter(identity, Role::Speaker);
    }
    meeting.wait(Duration::from_secs(1));
    let before = meeting.assembly.stats().patches;
    meeting.ask("ada", write("one")).unwrap();
    assert_eq!(meeting.assembly.stats().patches, before + 5, "after a quiet time at once");
    meeting.ask("ada", write("two")).unwrap();
    meeting.ask("bo", write("three")).unwrap();
    assert_eq!(meeting.assembly.stats().patches, before + 5);
    assert_eq!(meeting.assembly.poll_timeout(), Some(meeting.now + pace * 3));
    meeting.wait(pace * 3);
    assert_eq!(meeting.assembly.stats().patches, before + 10);
    assert_eq!(meeting.state("eva")["chat"]["messages"].as_array().unwrap().len(), 3);
    assert_eq!(meeting.assembly.poll_timeout(), None);
}

#[test]
fn five_hundred_viewers_are_told_in_one_round_and_counted_not_listed() {
    let mut meeting = Meeting::of(Policy::default());
    meeting.enter("ada", Role::Owner);
    for viewer in 0..499 {
        meeting.enter_unconnected(&format!("v{viewer}"), Some(Role::Viewer));
        assert!(meeting.assembly.attach(meeting.now, meeting.unix_ms, &format!("v{viewer}")));
        meeting.clients.insert(format!("v{viewer}"), super::Client::default());
    }
    meeting.wait(Duration::from_secs(1));
    let before = meeting.assembly.stats();
    for _ in 0..20 {
        meeting.assembly.message(meeting.now, meeting.unix_ms, "ada", &write("all of you").to_string());
    }
    meeting.drain();
    meeting.wait(Duration::from_secs(1));
    assert_eq!(meeting.assembly.stats().patches, before.patches + 500);
    let members = &meeting.state("v7")["members"];
    assert_eq!(members, &json!({ "roles": { "ada": "owner" }, "spotlight": [], "viewers": 499 }));
}

#[test]
fn whoever_connects_anew_begins_anew_and_hears_no_answer_of_before() {
    let mut meeting = meeting();
    meeting.assembly.message(meeting.now, meeting.unix_ms, "bo", r#"{"id":1,"do":"hand.raise"}"#);
    meeting.attach("bo");
    let client = &meeting.clients["bo"];
    assert_eq!((client.version, client.states, client.answers.len()), (1, (1, 0), 0));
    assert_eq!(client.state["hands"]["queue"][0]["identity"], "bo", "what was asked was done");
    meeting.assembly.detach("bo");
    meeting.say("bo", r#"{"id":2,"do":"hand.lower"}"#);
    assert_eq!(meeting.state("ada")["hands"]["queue"][0]["identity"], "bo", "nobody speaks without a socket");
}

#[test]
fn what_is_no_command_is_answered_in_words_and_disturbs_nobody() {
    let mut meeting = meeting();
    let long = format!(r#"{{"id":8,"do":"chat.send","text":"{}"}}"#, "x".repeat(64 * 1024));
    for (text, id, said) in [
        ("", json!(null), "not read"),
        ("\u{0}", json!(null), "not read"),
        ("[]", json!(null), "one JSON object"),
        (r#"{"id":1}"#, json!(1), "do: the word of a command is needed"),
        (r#"{"id":2,"do":"dance"}"#, json!(2), "unknown variant `dance`"),
        (r#"{"id":3,"do":"chat.sing"}"#, json!(3), "unknown variant `chat.sing`"),
        (r#"{"id":4,"do":"chat.send"}"#, json!(4), "missing field `text`"),
        (r#"{"id":5,"do":"chat.send","text":"a","colour":"red"}"#, json!(5), "unknown field `colour`"),
        (r#"{"id":6,"do":"end","why":"bored"}"#, json!(6), "unknown field `why`"),
        (r#"{"id":7,"do":"chat.send","text":"a","text":"b"}"#, json!(null), "`text` stands there twice"),
        (long.as_str(), json!(null), "at most 65536 are allowed"),
    ] {
        let before = meeting.clients["ada"].states;
        meeting.say("ada", text);
        let answer = meeting.clients.get_mut("ada").unwrap().answers.pop().unwrap();
        assert_eq!((&answer["id"], &answer["error"]["code"]), (&id, &json!("bad_value")), "{answer}");
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.contains(said), "{message}");
        assert_eq!(meeting.clients["ada"].states, before);
    }
    assert!(meeting.done().iter().all(|output| !matches!(output, Output::End { .. })));
    assert_eq!(meeting.assembly.stats().commands_malformed, 6);
    assert_eq!(meeting.assembly.stats().commands_refused, 5);
}

#[test]
fn commands_beyond_the_rate_are_refused_and_count_for_their_sender_alone() {
    let limits = AssemblyLimits { commands_per_second: 2, commands_at_once: 3, ..AssemblyLimits::default() };
    let mut meeting = Meeting::within(limits, Policy::default());
    meeting.enter("ada", Role::Speaker);
    meeting.enter("bo", Role::Speaker);
    let raise = |meeting: &mut Meeting, who: &str| meeting.ask(who, json!({ "id": 9, "do": "hand.raise" }));
    for _ in 0..3 {
        raise(&mut meeting, "bo").unwrap();
    }
    assert_eq!(raise(&mut meeting, "bo"), Err("too_many".to_owned()));
    meeting.say("bo", r#"{"id":9,"do":"hand.raise"}"#);
    assert_eq!(meeting.clients["bo"].answers.last().unwrap()["id"], 9, "it knows which");
    meeting.say("bo", "what is no command counts as well");
    assert_eq!(meeting.assembly.stats().commands_too_many, 3);
    raise(&mut meeting, "ada").unwrap();
    meeting.wait(Duration::from_millis(500));
    raise(&mut meeting, "bo").unwrap();
    assert_eq!(raise(&mut meeting, "bo"), Err("too_many".to_owned()));
    // A reload gives nobody a new measure… of what it was, within the same stay.
    meeting.attach("bo");
    assert_eq!(raise(&mut meeting, "bo"), Err("too_many".to_owned()));
}

#[test]
fn the_whole_state_is_not_to_be_had_as_often_as_one_likes() {
    let mut meeting = meeting();
    let resync = |meeting: &mut Meeting| meeting.ask("bo", json!({ "do": "resync" }));
    for _ in 0..3 {
        resync(&mut meeting).unwrap();
    }
    assert_eq!(resync(&mut meeting), Err("too_many".to_owned()));
    meeting.wait(Duration::from_secs(1));
    resync(&mut meeting).unwrap();
}

#[test]
fn reactions_of_all_together_have_a_bound() {
    let limits = AssemblyLimits { reactions_per_second: 3, ..AssemblyLimits::default() };
    let mut meeting = Meeting::within(limits, Policy::default());
    for identity in ["ada", "bo", "cem", "dora", "eva"] {
        meeting.enter(identity, Role::Speaker);
        meeting.ask(identity, json!({ "do": "reaction.send", "emoji": "🎉" })).unwrap();
    }
    assert_eq!(meeting.events("ada").len(), 3);
    assert_eq!(meeting.assembly.stats().reactions_dropped, 2);
}

#[test]
fn a_name_is_shown_without_what_deceives_and_not_longer_than_that() {
    let limits = AssemblyLimits { name_chars: 5, ..AssemblyLimits::default() };
    let mut meeting = Meeting::within(limits, Policy { lobby: true, ..Policy::default() });
    meeting.enter("ada", Role::Owner);
    let mut bo = meeting.knock_of("bo");
    bo.name = "B\u{202E}o\nthe builder".to_owned();
    let secret = bo.waiting.clone();
    meeting.knock(bo).unwrap();
    meeting.assembly.waiting_connected(meeting.now, &secret);
    meeting.drain();
    assert_eq!(meeting.state("ada")["lobby"]["waiting"][0]["name"], "Bothe");
    meeting.assembly.renamed("ada", "Ada\u{2066} Lovelace");
    meeting.ask("ada", write("hello")).unwrap();
    assert_eq!(meeting.state("ada")["chat"]["messages"][0]["name"], "Ada L");
}

#[test]
fn who_is_in_a_breakout_room_still_belongs_to_the_meeting_while_their_socket_does() {
    let mut meeting = meeting();
    let open = json!({ "do": "breakout.open", "rooms": [{ "name": "North", "members": ["bo"] }] });
    meeting.ask("ada", open).unwrap();
    let moved = meeting.done().into_iter().find_map(|output| match output {
        Output::Move { identity, breakout } => Some((identity, breakout.is_some())),
        _ => None,
    });
    assert_eq!(moved, Some(("bo".to_owned(), true)));
    meeting.leave("bo");
    assert_eq!(meeting.assembly.role("bo"), Some(Role::Speaker));
    meeting.ask("bo", json!({ "do": "breakout.help" })).unwrap();
    assert_eq!(meeting.events("ada")[0]["what"], "help");
    // The network changes: the socket is gone for a moment.
    meeting.assembly.detach("bo");
    meeting.wait(Duration::from_secs(29));
    meeting.attach("bo");
    meeting.wait(Duration::from_secs(60));
    assert_eq!(meeting.assembly.role("bo"), Some(Role::Speaker));
    meeting.assembly.detach("bo");
    meeting.wait(AssemblyLimits::default().elsewhere_kept);
    assert_eq!(meeting.assembly.role("bo"), None);
}

#[test]
fn the_same_course_of_events_gives_the_same_bytes() {
    let start = std::time::Instant::now();
    let run = || {
        let mut meeting = meeting();
        meeting.now = start;
        meeting.ask("ada", write("good morning")).unwrap();
        meeting.ask("bo", json!({ "do": "hand.raise" })).unwrap();
        meeting.assembly.message(meeting.now, meeting.unix_ms, "cem", r#"{"do":"resync"}"#);
        std::iter::from_fn(|| meeting.assembly.poll_output()).collect::<Vec<_>>()
    };
    assert_eq!(run(), run());
}
