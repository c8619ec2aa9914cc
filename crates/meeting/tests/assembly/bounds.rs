// SPDX-License-Identifier: EUPL-1.2
//! Each bound that somebody runs into is counted under its own name, and no other is.

use parvis_meeting::assembly::{AssemblyLimits, Bound, BoundStats, Output, Policy, Rights, Role};
use serde_json::{Value, json};

use super::Meeting;

/// Small enough that a handful of commands reach them.
fn tight() -> AssemblyLimits {
    AssemblyLimits {
        commands_at_once: 200,
        note_chars: 5,
        bans: 1,
        spotlight: 1,
        password_bytes: 4,
        message_chars: 6,
        messages: 2,
        private_messages: 1,
        hands: 1,
        reactions: 1,
        polls: 1,
        poll_question_chars: 9,
        poll_options: 2,
        poll_option_chars: 3,
        poll_votes: 1,
        breakouts: 1,
        breakout_name_chars: 5,
        breakout_minutes: 9,
        breakout_people: 1,
        broadcasts: 1,
        ..AssemblyLimits::default()
    }
}

fn full(limits: AssemblyLimits) -> Meeting {
    let mut meeting = Meeting::within(limits, Policy::default());
    for (identity, role) in
        [("ada", Role::Owner), ("bo", Role::Speaker), ("cem", Role::Speaker), ("dora", Role::Speaker)]
    {
        meeting.enter(identity, role);
    }
    meeting
}

/// The bounds that held since `before`, each as often as it did.
fn held(meeting: &Meeting, before: BoundStats) -> Vec<(&'static str, u64)> {
    let now = meeting.assembly.stats().bounds;
    let pairs: Vec<_> = now.by_name().zip(before.by_name()).collect();
    pairs
        .into_iter()
        .filter(|((_, now), (_, before))| now > before)
        .map(|((name, now), (_, before))| (name, now - before))
        .collect()
}

fn poll(question: &str, options: &[&str]) -> Value {
    json!({ "do": "poll.open", "question": question, "options": options, "secret": false, "multiple": false })
}

fn breakouts(rooms: &[(&str, &[&str])], minutes: Option<u64>) -> Value {
    let rooms: Vec<Value> =
        rooms.iter().map(|(name, members)| json!({ "name": name, "members": members })).collect();
    json!({ "do": "breakout.open", "rooms": rooms, "minutes": minutes })
}

#[test]
fn what_is_refused_by_a_bound_counts_as_that_bounds_and_nothing_else() {
    let mut meeting = full(tight());
    for (who, command) in [
        ("bo", json!({ "do": "hand.raise" })),
        ("bo", json!({ "do": "reaction.send", "emoji": "👍" })),
        ("ada", poll("Roads?", &["yes", "no"])),
        ("bo", json!({ "do": "poll.vote", "poll": 1, "options": [0] })),
        ("ada", json!({ "do": "remove", "identity": "dora", "ban": true })),
    ] {
        meeting.ask(who, command).unwrap();
    }
    for (who, command, bound) in [
        ("cem", json!({ "do": "hand.raise" }), "hands"),
        ("bo", json!({ "do": "reaction.send", "emoji": "👍" }), "reactions"),
        ("ada", poll("Again?", &["yes", "no"]), "polls"),
        ("cem", json!({ "do": "poll.vote", "poll": 1, "options": [0] }), "poll_votes"),
        ("ada", json!({ "do": "remove", "identity": "cem", "ban": true }), "bans"),
        ("bo", json!({ "do": "chat.send", "text": "too long" }), "message_chars"),
        ("ada", json!({ "do": "spotlight.set", "identities": ["bo", "cem"] }), "spotlight"),
        ("ada", json!({ "do": "policy.set", "policy": { "password": "12345" } }), "password_bytes"),
        ("ada", breakouts(&[("a", &[]), ("b", &[])], None), "breakouts"),
        ("ada", breakouts(&[("Roads!", &[])], None), "breakout_name_chars"),
        ("ada", breakouts(&[("Roads", &[])], Some(10)), "breakout_minutes"),
        ("ada", breakouts(&[("Roads", &["bo", "cem"])], None), "breakout_people"),
        ("ada", json!({ "do": "viewers.find", "text": "a".repeat(257) }), "search_chars"),
    ] {
        let before = meeting.assembly.stats().bounds;
        meeting.ask(who, command.clone()).expect_err(bound);
        assert_eq!(held(&meeting, before), [(bound, 1)], "{command}");
    }
    meeting.ask("ada", json!({ "do": "poll.remove", "poll": 1 })).unwrap();
    for (command, bound) in [
        (poll("Which one?", &["yes", "no"]), "poll_question_chars"),
        (poll("Which?", &["yes", "no", "?"]), "poll_options"),
        (poll("Which?", &["yes", "none"]), "poll_option_chars"),
    ] {
        let before = meeting.assembly.stats().bounds;
        meeting.ask("ada", command.clone()).expect_err(bound);
        assert_eq!(held(&meeting, before), [(bound, 1)], "{command}");
    }
    let before = meeting.assembly.stats().bounds;
    for command in [breakouts(&[], None), poll("Which?", &["yes"]), json!({ "do": "mute" })] {
        meeting.ask("ada", command).unwrap_err();
    }
    assert_eq!(held(&meeting, before), [], "too little is no bound's");
}

#[test]
fn what_is_let_go_because_of_a_bound_is_counted_too() {
    let mut meeting = full(tight());
    for text in ["one", "two", "three"] {
        meeting.ask("bo", json!({ "do": "chat.send", "text": text })).unwrap();
    }
    let bounds = meeting.assembly.stats().bounds;
    assert_eq!((bounds.of(Bound::Messages), bounds.of(Bound::PrivateMessages)), (1, 0));
    for text in ["one", "two"] {
        meeting.ask("bo", json!({ "do": "chat.send", "text": text, "to": "cem" })).unwrap();
    }
    let bounds = meeting.assembly.stats().bounds;
    assert_eq!(bounds.of(Bound::PrivateMessages), 1);
    meeting.ask("ada", breakouts(&[("Roads", &[])], None)).unwrap();
    for text in ["one", "two", "three"] {
        meeting.ask("ada", json!({ "do": "breakout.broadcast", "text": text })).unwrap();
    }
    assert_eq!(meeting.assembly.stats().bounds.of(Bound::Broadcasts), 2);

    let mut meeting =
        full(AssemblyLimits { commands_at_once: 1, commands_per_second: 1, people: 4, ..tight() });
    meeting.ask("bo", json!({ "do": "hand.raise" })).unwrap();
    meeting.ask("bo", json!({ "do": "hand.lower" })).unwrap_err();
    meeting.enter_unconnected("eve", None);
    let bounds = meeting.assembly.stats().bounds;
    assert_eq!((bounds.of(Bound::Commands), bounds.of(Bound::People)), (1, 1));
}

#[test]
fn the_lobby_has_its_bounds_counted_and_notes_are_shown_to_moderators_alone() {
    let limits = AssemblyLimits { waiting: 2, waiting_per_address: 1, ..tight() };
    let mut meeting = Meeting::within(limits, Policy { lobby: true, ..Policy::default() });
    meeting.enter("ada", Role::Owner);
    meeting.enter("bo", Role::Speaker);
    let eve = meeting.wait_outside("eve");
    let say = |meeting: &mut Meeting, text: &str| {
        let answer = meeting.assembly.waiting_said(meeting.now, &eve, text);
        meeting.drain();
        answer.map(|answer| serde_json::from_str::<Value>(&answer).unwrap()["answer"].clone())
    };
    let note = |text: &str| json!({ "id": 4, "do": "note", "text": text }).to_string();
    assert_eq!(say(&mut meeting, &note(" Hi\u{202E}\n")), Some(json!({ "id": 4, "ok": {} })));
    assert_eq!(meeting.state("ada")["lobby"]["waiting"][0]["note"], "Hi");
    assert!(meeting.state("bo").get("lobby").is_none());
    let before = meeting.assembly.stats().bounds;
    assert_eq!(say(&mut meeting, &note("longer")).unwrap()["error"]["code"], "bad_value");
    assert_eq!(held(&meeting, before), [("note_chars", 1)]);
    assert_eq!(meeting.state("ada")["lobby"]["waiting"][0]["note"], "Hi", "what is refused changes nothing");
    for text in [
        "{}",
        "note",
        r#"{ "do": "chat.send", "text": "hi" }"#,
        r#"{ "do": "note", "text": "a", "to": "bo" }"#,
    ] {
        assert_eq!(say(&mut meeting, text), None, "{text}");
    }
    // A page that is loaded anew keeps what was said.
    let eve = meeting.wait_outside("eve");
    assert_eq!(meeting.state("ada")["lobby"]["waiting"][0]["note"], "Hi");
    assert!(meeting.assembly.waiting_said(meeting.now, &eve, &note("")).is_some());
    meeting.drain();
    assert_eq!(meeting.state("ada")["lobby"]["waiting"][0].get("note"), None, "an empty one takes it away");

    let before = meeting.assembly.stats().bounds;
    let mut neighbour = meeting.knock_of("max");
    neighbour.address = Some("address of eve".to_owned());
    meeting.knock(neighbour).unwrap_err();
    assert_eq!(held(&meeting, before), [("waiting_per_address", 1)]);
    meeting.wait_outside("otto");
    let before = meeting.assembly.stats().bounds;
    let late = meeting.knock_of("zoe");
    meeting.knock(late).unwrap_err();
    assert_eq!(held(&meeting, before), [("waiting", 1)]);
}

#[test]
fn what_the_meeting_says_holds_in_its_breakout_room_before_and_after_one_comes() {
    let mut room = Meeting::of(Policy::default());
    let silent = Rights { microphone: true, chat: true, ..Rights::default() };
    room.assembly.instruct(room.now, room.unix_ms, "bo", Role::Speaker, silent);
    room.enter_unconnected("bo", None);
    assert_eq!((room.assembly.role("bo"), room.assembly.rights("bo")), (Some(Role::Speaker), silent));
    room.assembly.publishing("bo", parvis_meeting::assembly::Source::Camera, true);
    room.drain();
    let off = Output::Mute { identity: "bo".to_owned(), source: parvis_meeting::assembly::Source::Camera };
    assert!(room.done().contains(&off), "a camera that comes all the same is turned off");

    let more = Rights { camera: true, unmute: true, ..silent };
    room.assembly.instruct(room.now, room.unix_ms, "bo", Role::Speaker, more);
    room.drain();
    assert!(room.done().contains(&Output::Rights { identity: "bo".to_owned(), rights: more }));
    room.assembly.instruct(room.now, room.unix_ms, "bo", Role::Moderator, more);
    assert_eq!(room.assembly.role("bo"), Some(Role::Moderator));
    room.assembly.instruct(room.now, room.unix_ms, "bo", Role::Speaker, more);
    assert_eq!(room.assembly.role("bo"), Some(Role::Speaker), "nor is more kept than the meeting leaves");
}
