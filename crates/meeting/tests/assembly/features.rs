// SPDX-License-Identifier: EUPL-1.2
//! What people do besides sending sound and pictures, as their clients see it: each feature by itself is tested beside its source.

use std::time::Duration;

use parvis_meeting::assembly::{Output, Policy, Role};
use serde_json::{Value, json};

use super::Meeting;

/// Ada conducts, Bo and Cem speak, Dora looks on.
fn meeting(policy: Policy) -> Meeting {
    let mut meeting = Meeting::of(policy);
    for (identity, role) in
        [("ada", Role::Owner), ("bo", Role::Speaker), ("cem", Role::Speaker), ("dora", Role::Viewer)]
    {
        meeting.enter(identity, role);
    }
    meeting.done();
    meeting
}

fn whats(meeting: &mut Meeting, identity: &str) -> Vec<String> {
    meeting.events(identity).iter().map(|event| event["what"].as_str().unwrap().to_owned()).collect()
}

fn moved(identity: &str, breakout: Option<&str>) -> Output {
    Output::Move { identity: identity.to_owned(), breakout: breakout.map(str::to_owned) }
}

#[test]
fn row_43_the_words_of_a_private_message_are_in_nothing_that_anybody_else_is_sent() {
    let mut meeting = meeting(Policy::default());
    let mut sent: Vec<(String, String)> = Vec::new();
    let commands = [
        ("bo", json!({ "id": 1, "do": "chat.send", "text": "the budget is short", "to": "cem" })),
        ("cem", json!({ "id": 1, "do": "chat.send", "text": "aloud" })),
        (
            "cem",
            json!({ "id": 2, "do": "chat.send", "text": "how short is the budget?", "to": "bo", "reply_to": 1 }),
        ),
        ("ada", json!({ "id": 1, "do": "resync" })),
        ("bo", json!({ "id": 2, "do": "chat.retract", "message": 1 })),
    ];
    for (who, command) in commands {
        meeting.assembly.message(meeting.now, meeting.unix_ms, who, &command.to_string());
        while let Some(output) = meeting.assembly.poll_output() {
            if let Output::Send { identity, message } = output {
                sent.push((identity, message));
            }
        }
    }
    let reads = |who: &str, word: &str| sent.iter().any(|(to, text)| to == who && text.contains(word));
    for who in ["bo", "cem"] {
        assert!(reads(who, "the budget is short") && reads(who, "how short is the budget?"), "{who}");
    }
    for who in ["ada", "dora"] {
        assert!(reads(who, "aloud"), "{who} is told what is for all");
        assert!(!reads(who, "budget"), "{who}");
    }
}

#[test]
fn who_is_called_may_speak_and_a_viewer_is_on_the_stage_by_that() {
    let mut meeting = meeting(Policy { self_unmute: false, ..Policy::default() });
    meeting.ask("bo", json!({ "do": "hand.raise" })).unwrap();
    meeting.ask("dora", json!({ "do": "hand.raise" })).unwrap();
    let hands = |meeting: &Meeting, who: &str| {
        let queue = meeting.state(who)["hands"]["queue"].as_array().unwrap().clone();
        queue.iter().map(|hand| hand["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(
        (hands(&meeting, "ada"), hands(&meeting, "cem")),
        (vec!["Bo".into(), "Dora".into()], vec!["Bo".into()])
    );
    assert_eq!(meeting.state("bo")["you"]["rights"]["unmute"], false);

    for who in ["bo", "dora"] {
        meeting.ask("ada", json!({ "do": "hand.call", "identity": who })).unwrap();
        let told = whats(&mut meeting, who);
        assert!(told.contains(&"called".to_owned()) && told.contains(&"unmute_asked".to_owned()), "{told:?}");
        assert_eq!(meeting.state(who)["you"]["rights"]["unmute"], true, "{who}");
    }
    assert_eq!(meeting.state("dora")["you"]["role"], "speaker");
    assert_eq!(hands(&meeting, "ada"), [""; 0]);
    assert_eq!(whats(&mut meeting, "cem"), [""; 0], "nobody else is told");
}

#[test]
fn a_poll_is_shown_to_all_counted_once_a_second_and_its_result_to_who_comes_late() {
    let mut meeting = meeting(Policy::default());
    let open = json!({ "do": "poll.open", "question": "Now?", "options": ["yes", "no"], "secret": true, "multiple": false });
    assert_eq!(meeting.ask("ada", open).unwrap(), json!({ "id": 1 }));
    let vote = |option: u64| json!({ "do": "poll.vote", "poll": 1, "options": [option] });
    meeting.ask("bo", vote(0)).unwrap();
    meeting.ask("cem", vote(1)).unwrap();
    assert_eq!(meeting.ask("dora", vote(1)), Err("not_allowed".to_owned()));
    let poll = |meeting: &Meeting, who: &str| meeting.state(who)["polls"]["polls"][0].clone();
    assert_eq!((&poll(&meeting, "bo")["mine"], &poll(&meeting, "dora")["voted"]), (&json!([0]), &json!(0)));
    let due = meeting.assembly.poll_timeout().expect("all are to be told");
    meeting.wait(due - meeting.now);
    assert_eq!(poll(&meeting, "dora")["voted"], 2);

    meeting.ask("ada", json!({ "do": "poll.close", "poll": 1 })).unwrap();
    meeting.enter("eva", Role::Speaker);
    for who in ["ada", "bo", "dora", "eva"] {
        let poll = poll(&meeting, who);
        assert_eq!(
            (&poll["counts"], &poll["votes"], &poll["mine"]),
            (&json!([1, 1]), &Value::Null, &Value::Null)
        );
    }
}

#[test]
fn breakout_rooms_are_opened_asked_from_spoken_to_and_closed() {
    let mut meeting = meeting(Policy::default());
    let rooms = json!([{ "name": "Roads", "members": ["bo"] }, { "name": "Schools", "members": ["cem"] }]);
    meeting.ask("ada", json!({ "do": "breakout.open", "rooms": rooms, "minutes": 5 })).unwrap();
    let moves = |meeting: &mut Meeting| {
        let done = meeting.done().into_iter();
        done.filter(|output| matches!(output, Output::Move { .. } | Output::CloseBreakout { .. }))
            .collect::<Vec<_>>()
    };
    assert_eq!(moves(&mut meeting), [moved("bo", Some("b1")), moved("cem", Some("b2"))]);
    for who in ["bo", "cem"] {
        meeting.leave(who);
    }
    assert_eq!(meeting.state("bo")["breakouts"]["mine"], "b1", "their sockets still belong to the meeting");

    meeting.ask("bo", json!({ "do": "breakout.help" })).unwrap();
    let help = json!({ "what": "help", "room": "b1", "identity": "bo" });
    assert_eq!(meeting.events("ada"), [help]);
    assert_eq!(meeting.state("ada")["breakouts"]["rooms"][0]["help"], true);
    meeting.events("bo");
    meeting.ask("ada", json!({ "do": "breakout.broadcast", "text": "two minutes" })).unwrap();
    for who in ["bo", "cem", "dora"] {
        assert_eq!(whats(&mut meeting, who).last().map(String::as_str), Some("broadcast"), "{who}");
    }
    meeting.ask("cem", json!({ "do": "chat.send", "text": "from the other room" })).unwrap();
    assert_eq!(meeting.state("ada")["chat"]["messages"][0]["text"], "from the other room");

    meeting.wait(Duration::from_secs(5 * 60));
    let closed = |id: &str| Output::CloseBreakout { breakout: id.to_owned() };
    assert_eq!(moves(&mut meeting), [moved("bo", None), moved("cem", None), closed("b1"), closed("b2")]);
    assert_eq!(meeting.state("dora")["breakouts"], Value::Null);
}

#[test]
fn what_is_said_to_all_rooms_reaches_whoever_is_just_on_the_way_to_one_of_them() {
    let mut meeting = meeting(Policy::default());
    let rooms = json!([{ "name": "Roads", "members": ["bo"] }]);
    meeting.ask("ada", json!({ "do": "breakout.open", "rooms": rooms })).unwrap();
    // Told where to go, the client closes its socket and leaves; then it is told, and there is nobody to be told.
    meeting.assembly.detach("bo");
    meeting.leave("bo");
    meeting.ask("ada", json!({ "do": "breakout.broadcast", "text": "two minutes" })).unwrap();
    meeting.attach("bo");
    let at_ms = meeting.unix_ms;
    let told =
        json!({ "what": "broadcast", "text": "two minutes", "by": "ada", "name": "Ada", "at_ms": at_ms });
    for who in ["bo", "cem"] {
        assert_eq!(meeting.events(who), std::slice::from_ref(&told), "{who} hears it once");
    }
    meeting.ask("ada", json!({ "do": "breakout.close" })).unwrap();
    meeting.enter("bo", Role::Speaker);
    assert_eq!(whats(&mut meeting, "bo"), [""; 0], "it is over with the rooms");
}

#[test]
fn a_moderator_asks_who_was_there_and_for_how_long_each_spoke() {
    let mut meeting = meeting(Policy::default());
    meeting.assembly.spoke("bo", Duration::from_secs(7));
    meeting.assembly.renamed("bo", "Bo Berg");
    meeting.wait(Duration::from_secs(60));
    let left_ms = meeting.unix_ms;
    meeting.leave("bo");
    let list = meeting.ask("ada", json!({ "do": "attendance.get" })).unwrap();
    let bo = list["people"].as_array().unwrap().iter().find(|row| row["identity"] == "bo").unwrap();
    let stays = json!([{ "joined_ms": left_ms - 60_000, "left_ms": left_ms }]);
    assert_eq!((&bo["name"], &bo["spoke_ms"], &bo["stays"]), (&json!("Bo Berg"), &json!(7_000), &stays));
    assert_eq!(meeting.ask("cem", json!({ "do": "attendance.get" })), Err("not_allowed".to_owned()));
}
