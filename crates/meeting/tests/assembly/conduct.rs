// SPDX-License-Identifier: EUPL-1.2
//! What those who conduct do, and who can't.

use parvis_meeting::assembly::{
    Assembly, AssemblyLimits, Entry, Founding, Knock, Output, Policy, Record, Refused, Role, TurnedAway,
    WaitReason,
};
use serde_json::{Value, json};
use std::sync::Arc;

use super::Meeting;

fn refused() -> Result<Value, String> {
    Err("not_allowed".to_owned())
}

/// Ada owns the meeting, Mia and Max moderate, Bo speaks, Cem looks on.
fn meeting() -> Meeting {
    let mut meeting = Meeting::of(Policy::default());
    for (identity, role) in [
        ("ada", Role::Owner),
        ("mia", Role::Moderator),
        ("max", Role::Moderator),
        ("bo", Role::Speaker),
        ("cem", Role::Viewer),
    ] {
        meeting.enter(identity, role);
    }
    meeting.done();
    meeting
}

/// Dora, let in at the door, so that her seat and her address are known.
fn with_dora() -> Meeting {
    let mut meeting = meeting();
    let dora = meeting.knock_of("dora");
    meeting.knock(dora).unwrap();
    meeting.enter("dora", Role::Speaker);
    meeting.done();
    meeting
}

fn every_command() -> Vec<Value> {
    vec![
        json!({ "do": "role.set", "identity": "bo", "role": "moderator" }),
        json!({ "do": "rights.set", "identity": "bo", "rights": { "chat": true } }),
        json!({ "do": "mute", "identity": "bo", "source": "microphone" }),
        json!({ "do": "mute", "everyone": true, "source": "microphone" }),
        json!({ "do": "unmute.ask", "identity": "bo", "source": "microphone" }),
        json!({ "do": "spotlight.set", "identities": ["bo"] }),
        json!({ "do": "remove", "identity": "ada", "ban": true }),
        json!({ "do": "unban", "ban": "1" }),
        json!({ "do": "lobby.admit", "everyone": true }),
        json!({ "do": "lobby.refuse", "everyone": true }),
        json!({ "do": "policy.set", "policy": { "locked": true } }),
        json!({ "do": "end" }),
    ]
}

#[test]
fn nobody_conducts_who_is_no_moderator() {
    let mut meeting = meeting();
    let before = meeting.assembly.record();
    for command in every_command() {
        assert_eq!(meeting.ask("bo", command.clone()), refused(), "{command}");
        assert_eq!(meeting.ask("cem", command.clone()), refused(), "{command}");
    }
    assert!(meeting.done().is_empty());
    assert_eq!(meeting.assembly.record(), before);
}

#[test]
fn row_31_a_command_is_its_sockets_and_a_name_that_stands_in_it_is_nobody() {
    let mut meeting = meeting();
    for forged in ["from", "by", "actor", "sender", "as"] {
        let mut command = json!({ "do": "mute", "identity": "mia", "source": "camera" });
        command[forged] = json!("ada");
        assert_eq!(meeting.ask("bo", command.clone()), Err("bad_value".to_owned()), "{command}");
        let mut message = json!({ "do": "chat.send", "text": "the meeting is over" });
        message[forged] = json!("ada");
        assert_eq!(meeting.ask("bo", message), Err("bad_value".to_owned()), "{forged}");
    }
    meeting.say("bo", r#"{"id":1,"do":"remove","do":"end","identity":"ada","ban":true}"#);
    meeting.say("bo", r#"{"id":2,"do":"hand.raise","identity":"ada"}"#);
    assert_eq!(meeting.clients["bo"].answers.len(), 2);
    assert!(meeting.clients["bo"].answers.iter().all(|answer| answer.get("error").is_some()));
    meeting.ask("bo", json!({ "do": "chat.send", "text": "hello" })).unwrap();
    let heard = &meeting.state("mia")["chat"]["messages"];
    assert_eq!((heard.as_array().unwrap().len(), &heard[0]["from"]), (1, &json!("bo")));
    assert_eq!(meeting.state("mia")["hands"]["queue"], json!([]));
    assert!(meeting.done().is_empty() && meeting.events("mia").is_empty());
}

#[test]
fn a_moderator_does_nothing_to_an_owner_and_an_owner_does_everything_to_a_moderator() {
    let mut meeting = meeting();
    for command in [
        json!({ "do": "role.set", "identity": "ada", "role": "speaker" }),
        json!({ "do": "rights.set", "identity": "ada", "rights": { "chat": false } }),
        json!({ "do": "mute", "identity": "ada", "source": "microphone" }),
        json!({ "do": "remove", "identity": "ada", "ban": false }),
    ] {
        assert_eq!(meeting.ask("mia", command.clone()), refused(), "{command}");
    }
    assert_eq!(meeting.assembly.role("ada"), Some(Role::Owner));
    meeting.ask("ada", json!({ "do": "role.set", "identity": "mia", "role": "speaker" })).unwrap();
    meeting.ask("ada", json!({ "do": "remove", "identity": "max", "ban": false })).unwrap();
    assert_eq!((meeting.assembly.role("mia"), meeting.assembly.role("max")), (Some(Role::Speaker), None));
}

#[test]
fn nobody_raises_anybody_above_themselves() {
    let mut meeting = meeting();
    let raise = |meeting: &mut Meeting, by: &str, whom: &str| {
        meeting.ask(by, json!({ "do": "role.set", "identity": whom, "role": "owner" }))
    };
    assert_eq!(raise(&mut meeting, "mia", "mia"), refused());
    assert_eq!(raise(&mut meeting, "mia", "bo"), refused());
    raise(&mut meeting, "ada", "mia").unwrap();
    assert_eq!(
        meeting.state("bo")["members"]["roles"],
        json!({ "ada": "owner", "mia": "owner", "max": "moderator" })
    );
}

#[test]
fn the_last_owner_stays_one_until_there_is_another() {
    let mut meeting = meeting();
    let step_down = json!({ "id": 5, "do": "role.set", "identity": "ada", "role": "moderator" });
    meeting.say("ada", &step_down.to_string());
    let answer = meeting.clients["ada"].answers.last().unwrap();
    assert!(
        answer["error"]["message"].as_str().unwrap().contains("make somebody else an owner first"),
        "{answer}"
    );
    meeting.ask("ada", json!({ "do": "role.set", "identity": "mia", "role": "owner" })).unwrap();
    meeting.ask("ada", step_down).unwrap();
    assert_eq!(meeting.assembly.role("ada"), Some(Role::Moderator));
}

#[test]
fn row_44_who_is_removed_is_out_at_once_and_hears_nothing_more() {
    let mut meeting = with_dora();
    meeting.assembly.message(meeting.now, meeting.unix_ms, "mia", r#"{"do":"chat.send","text":"now"}"#);
    let remove = r#"{"do":"remove","identity":"dora","ban":false}"#;
    meeting.assembly.message(meeting.now, meeting.unix_ms, "mia", remove);
    meeting.assembly.message(
        meeting.now,
        meeting.unix_ms,
        "mia",
        r#"{"do":"chat.send","text":"we are alone"}"#,
    );
    meeting.drain();
    let out = Output::Remove { identity: "dora".to_owned(), banned: false, by: Some("mia".to_owned()) };
    assert_eq!(meeting.done(), [out]);
    assert_eq!(meeting.events("dora"), [json!({ "what": "removed", "banned": false })]);
    assert_eq!(
        meeting.state("dora")["chat"]["messages"],
        json!([]),
        "nor what was said while she was put out"
    );
    meeting.say("dora", r#"{"do":"chat.send","text":"I am still here"}"#);
    assert!(meeting.clients["dora"].answers.is_empty());
    assert_eq!(meeting.state("mia")["chat"]["messages"].as_array().unwrap().len(), 2);
    assert!(!meeting.assembly.attach(meeting.now, meeting.unix_ms, "dora"));
    meeting.leave("dora");
    assert_eq!(meeting.assembly.stats().removed, 1);
}

#[test]
fn the_last_word_is_not_for_whoever_has_gone_already() {
    let mut meeting = with_dora();
    let remove = r#"{"do":"remove","identity":"dora","ban":false}"#;
    meeting.assembly.message(meeting.now, meeting.unix_ms, "mia", remove);
    meeting.assembly.detach("dora");
    meeting.drain();
    assert!(meeting.events("dora").is_empty());
    assert!(matches!(meeting.done()[..], [Output::Remove { .. }]));
}

#[test]
fn row_44_who_is_banned_stays_out_by_seat_by_identity_and_by_an_old_token() {
    let mut meeting = with_dora();
    meeting.ask("mia", json!({ "do": "remove", "identity": "dora", "ban": true })).unwrap();
    let out = Output::Remove { identity: "dora".to_owned(), banned: true, by: Some("mia".to_owned()) };
    assert_eq!(meeting.done(), [out, Output::Changed]);
    let again = meeting.knock_of("dora");
    assert_eq!(meeting.knock(again), Err(Refused::Banned), "the same seat");
    let other_name = Knock { identity: "doris".to_owned(), ..meeting.knock_of("dora") };
    assert_eq!(meeting.knock(other_name), Err(Refused::Banned), "the same seat under another identity");
    let vouched = Knock { seat: String::new(), vouched: Some(Role::Moderator), ..meeting.knock_of("dora") };
    assert_eq!(meeting.knock(vouched), Err(Refused::Banned), "the identity, by whichever token");
    assert!(!meeting.assembly.may_enter(meeting.now, "dora", Some(Role::Moderator)));
    meeting.enter_unconnected("dora", Some(Role::Moderator));
    let out = Output::Remove { identity: "dora".to_owned(), banned: true, by: None };
    assert_eq!(meeting.done(), [out], "whoever let her pass");
    assert_eq!(meeting.assembly.role("dora"), None);

    let moved = Knock { address: Some("address of dora".to_owned()), ..meeting.knock_of("eva") };
    assert_eq!(
        meeting.knock(moved),
        Ok(Entry::Wait { reason: WaitReason::BannedAddress }),
        "a new seat from there"
    );
    let elsewhere = meeting.knock_of("finn");
    assert_eq!(meeting.knock(elsewhere), Ok(Entry::In { role: Role::Speaker }));
    assert_eq!(meeting.assembly.stats().refused_banned, 4);
}

#[test]
fn row_44_who_is_removed_without_a_ban_knocks_like_a_stranger() {
    let mut meeting = with_dora();
    meeting.ask("ada", json!({ "do": "role.set", "identity": "dora", "role": "moderator" })).unwrap();
    meeting.ask("ada", json!({ "do": "policy.set", "policy": { "lobby": true } })).unwrap();
    meeting.ask("ada", json!({ "do": "remove", "identity": "dora", "ban": false })).unwrap();
    let again = meeting.knock_of("dora");
    assert_eq!(meeting.knock(again), Ok(Entry::Wait { reason: WaitReason::Lobby }));
    assert!(!meeting.assembly.may_enter(meeting.now, "dora", None), "nor by the token of before");
    assert!(!meeting.assembly.record().roles.contains_key("dora"));
}

#[test]
fn a_ban_is_seen_by_those_who_conduct_and_lifted_by_them() {
    let mut meeting = with_dora();
    meeting.ask("mia", json!({ "do": "remove", "identity": "dora", "ban": true })).unwrap();
    let banned = meeting.state("max")["members"]["banned"].clone();
    assert_eq!(banned[0]["name"], "Dora");
    assert_eq!(meeting.state("bo")["members"].get("banned"), None);
    meeting.ask("max", json!({ "do": "unban", "ban": banned[0]["id"] })).unwrap();
    assert_eq!(
        meeting.ask("max", json!({ "do": "unban", "ban": banned[0]["id"] })),
        Err("not_found".to_owned())
    );
    assert_eq!(meeting.state("max")["members"]["banned"], json!([]));
    let again = meeting.knock_of("dora");
    assert_eq!(meeting.knock(again), Ok(Entry::In { role: Role::Speaker }));
}

#[test]
fn a_ban_is_never_forgotten_for_want_of_place_and_oneself_is_not_removed() {
    let limits = AssemblyLimits { bans: 1, ..AssemblyLimits::default() };
    let mut meeting = Meeting::within(limits, Policy::default());
    for (identity, role) in [("ada", Role::Owner), ("bo", Role::Speaker), ("cem", Role::Speaker)] {
        meeting.enter(identity, role);
    }
    let ban = |who: &str, ban| json!({ "do": "remove", "identity": who, "ban": ban });
    assert_eq!(meeting.ask("ada", ban("ada", false)), Err("bad_value".to_owned()));
    meeting.ask("ada", ban("bo", true)).unwrap();
    assert_eq!(meeting.ask("ada", ban("cem", true)), Err("too_many".to_owned()));
    assert_eq!(meeting.assembly.role("cem"), Some(Role::Speaker));
    meeting.ask("ada", ban("cem", false)).unwrap();
    let bo = meeting.knock_of("bo");
    assert_eq!(meeting.knock(bo), Err(Refused::Banned));
}

#[test]
fn whose_room_it_is_comes_back_by_the_host_key_even_from_a_ban() {
    let mut meeting = meeting();
    meeting.ask("ada", json!({ "do": "role.set", "identity": "mia", "role": "owner" })).unwrap();
    meeting.ask("mia", json!({ "do": "remove", "identity": "ada", "ban": true })).unwrap();
    let ada = Knock { host: true, ..meeting.knock_of("ada") };
    assert_eq!(meeting.knock(ada), Ok(Entry::In { role: Role::Owner }));
    meeting.enter("ada", Role::Speaker);
    assert_eq!(meeting.assembly.role("ada"), Some(Role::Owner));
}

#[test]
fn what_outlives_a_room_is_its_policy_its_bans_and_who_conducts() {
    let mut meeting = with_dora();
    let policy = json!({ "lobby": true, "password": "open sesame", "mute_above": 9, "successor": "longest" });
    meeting.ask("ada", json!({ "do": "policy.set", "policy": policy })).unwrap();
    meeting.ask("ada", json!({ "do": "remove", "identity": "dora", "ban": true })).unwrap();
    meeting.ask("ada", json!({ "do": "role.set", "identity": "max", "role": "speaker" })).unwrap();
    meeting.ask("ada", json!({ "do": "role.set", "identity": "bo", "role": "moderator" })).unwrap();
    let kept = serde_json::to_string(&meeting.assembly.record()).unwrap();
    assert!(!kept.contains("open sesame"), "the password is the caller's to keep, as a hash");

    let record: Record = serde_json::from_str(&kept).unwrap();
    let founding = Founding { title: "Council".to_owned(), e2ee: false, owned: true };
    let mut again = Meeting::of(Policy::default());
    again.assembly = Assembly::restore(Arc::new(AssemblyLimits::default()), founding, record.clone());
    assert_eq!(again.assembly.record(), record);
    assert_eq!(again.assembly.policy(), meeting.assembly.policy());
    let dora = again.knock_of("dora");
    assert_eq!(again.knock(dora), Err(Refused::Banned));
    let bo = again.knock_of("bo");
    assert_eq!(again.knock(bo), Ok(Entry::In { role: Role::Moderator }), "past lobby and password");
    again.enter("max", Role::Moderator);
    assert_eq!(again.assembly.role("max"), Some(Role::Speaker), "not what an old token says");
    assert!(
        serde_json::from_str::<Record>(r#"{"policy":{"curfew":true}}"#).is_err(),
        "no rule is overlooked"
    );
}

#[test]
fn a_password_is_set_taken_away_and_told_to_the_caller_alone() {
    let mut meeting = meeting();
    meeting.ask("mia", json!({ "do": "policy.set", "policy": { "password": "open sesame" } })).unwrap();
    let done = meeting.done();
    let [Output::Password { password: Some(password) }, Output::Changed] = &done[..] else {
        panic!("{done:?}")
    };
    assert_eq!(password.reveal(), "open sesame");
    assert!(!format!("{done:?}").contains("sesame"), "nor is it in a log");
    assert_eq!(meeting.state("bo")["room"]["policy"]["password"], true);
    let bo = meeting.knock_of("eva");
    assert_eq!(meeting.knock(bo), Err(Refused::PasswordNeeded), "at once, also before the caller keeps it");
    for (password, code) in
        [(json!(""), "bad_value"), (json!("x".repeat(257)), "bad_value"), (json!(7), "bad_value")]
    {
        let set = json!({ "do": "policy.set", "policy": { "password": password } });
        assert_eq!(meeting.ask("mia", set), Err(code.to_owned()));
    }
    meeting.ask("mia", json!({ "do": "policy.set", "policy": { "password": null } })).unwrap();
    assert_eq!(meeting.done(), [Output::Password { password: None }, Output::Changed]);
    assert_eq!(meeting.state("bo")["room"]["policy"]["password"], false);
}

#[test]
fn a_policy_that_says_something_impossible_is_refused_whole() {
    let mut meeting = meeting();
    for policy in [
        json!({ "locked": true, "default_role": "owner" }),
        json!({ "locked": true, "default_role": "moderator" }),
        json!({ "locked": true, "curfew": true }),
        json!({ "locked": true, "mute_above": -1 }),
        json!({ "locked": true, "chat": "sometimes" }),
        json!({ "locked": "yes" }),
    ] {
        let set = json!({ "do": "policy.set", "policy": policy });
        assert_eq!(meeting.ask("mia", set.clone()), Err("bad_value".to_owned()), "{set}");
    }
    let successor = json!({ "do": "policy.set", "policy": { "locked": true, "successor": "longest" } });
    assert_eq!(meeting.ask("mia", successor.clone()), refused(), "only an owner says who follows");
    assert_eq!(meeting.assembly.policy(), &Policy::default());
    meeting.ask("ada", successor).unwrap();
    assert!(meeting.assembly.policy().locked);
}

#[test]
fn the_spotlight_is_for_so_many_who_are_there_and_seen() {
    let mut meeting = meeting();
    let set = |meeting: &mut Meeting, identities: Value| {
        meeting.ask("mia", json!({ "do": "spotlight.set", "identities": identities }))
    };
    set(&mut meeting, json!(["bo", "ada", "bo"])).unwrap();
    assert_eq!(meeting.state("cem")["members"]["spotlight"], json!(["bo", "ada"]));
    assert_eq!(set(&mut meeting, json!(["cem"])), refused());
    assert_eq!(set(&mut meeting, json!(["eva"])), Err("not_found".to_owned()));
    assert_eq!(
        set(&mut meeting, json!(["bo", "bo", "bo", "bo", "bo", "bo", "bo"])),
        Err("bad_value".to_owned())
    );
    meeting.leave("bo");
    assert_eq!(meeting.state("cem")["members"]["spotlight"], json!(["ada"]));
}

#[test]
fn a_moderator_ends_the_meeting_for_all_inside_and_outside() {
    let mut meeting = meeting();
    meeting.ask("ada", json!({ "do": "policy.set", "policy": { "lobby": true } })).unwrap();
    let outside = meeting.wait_outside("dora");
    meeting.done();
    meeting.ask("mia", json!({ "do": "end" })).unwrap();
    assert_eq!(meeting.events("bo"), [json!({ "what": "ended", "by": "mia" })]);
    let ended = Output::Refused { waiting: outside, reason: TurnedAway::Ended };
    assert_eq!(meeting.done(), [ended, Output::End { by: "mia".to_owned() }]);
    let late = meeting.knock_of("eva");
    assert_eq!(meeting.knock(late), Err(Refused::Ended));
    assert_eq!(meeting.ask("ada", json!({ "do": "chat.send", "text": "wait" })), Err("closed".to_owned()));
}
