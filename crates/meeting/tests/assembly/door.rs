// SPDX-License-Identifier: EUPL-1.2
//! Who comes in, who waits, and who does not come in.

use std::time::Duration;

use parvis_meeting::assembly::{
    AssemblyLimits, Entry, Knock, Output, Password, Policy, Refused, Role, TurnedAway, WaitReason,
};
use serde_json::json;

use super::Meeting;

const IN: Result<Entry, Refused> = Ok(Entry::In { role: Role::Speaker });

fn waits(reason: WaitReason) -> Result<Entry, Refused> {
    Ok(Entry::Wait { reason })
}

fn lobby() -> Policy {
    Policy { lobby: true, ..Policy::default() }
}

#[test]
fn an_open_room_lets_in_whoever_comes_as_what_its_policy_says() {
    let mut open = Meeting::of(Policy::default());
    let bo = open.knock_of("bo");
    assert_eq!(open.knock(bo), IN);
    let mut webinar = Meeting::of(Policy { default_role: Role::Viewer, ..Policy::default() });
    let bo = webinar.knock_of("bo");
    assert_eq!(webinar.knock(bo), Ok(Entry::In { role: Role::Viewer }));
    webinar.enter_unconnected("bo", None);
    assert_eq!(webinar.assembly.role("bo"), Some(Role::Viewer));
}

#[test]
fn whoever_has_the_host_key_is_the_owner_past_lobby_lock_password_and_a_full_house() {
    let policy =
        Policy { lobby: true, locked: true, password: true, opens_with_host: true, ..Policy::default() };
    let mut meeting = Meeting::within(AssemblyLimits { people: 0, ..AssemblyLimits::default() }, policy);
    let ada = Knock { host: true, ..meeting.knock_of("ada") };
    assert_eq!(meeting.knock(ada), Ok(Entry::In { role: Role::Owner }));
    let mut meeting = Meeting::of(lobby());
    let ada = Knock { host: true, ..meeting.knock_of("ada") };
    meeting.knock(ada).unwrap();
    meeting.enter_unconnected("ada", None);
    assert_eq!(meeting.assembly.role("ada"), Some(Role::Owner));
}

#[test]
fn a_password_is_asked_for_before_anything_else_is_said_and_a_sign_in_needs_none() {
    let mut meeting = Meeting::of(Policy { password: true, lobby: true, ..Policy::default() });
    let with = |meeting: &mut Meeting, password, vouched: Option<Role>| {
        let who = if vouched.is_none() { "bo" } else { "cem" };
        let knock = Knock { password, vouched, ..meeting.knock_of(who) };
        meeting.knock(knock)
    };
    assert_eq!(with(&mut meeting, Password::None, None), Err(Refused::PasswordNeeded));
    assert_eq!(with(&mut meeting, Password::Wrong, None), Err(Refused::PasswordWrong));
    assert_eq!(with(&mut meeting, Password::Wrong, Some(Role::Speaker)), IN);
    assert_eq!(meeting.assembly.stats().refused_password, 2);
    assert_eq!(meeting.assembly.waiting(), 0, "nobody without the password has a place in the lobby");
    assert_eq!(with(&mut meeting, Password::Right, None), waits(WaitReason::Lobby));
}

#[test]
fn a_locked_room_lets_nobody_in_but_who_conducts_and_who_was_inside_a_moment_ago() {
    let mut meeting = Meeting::of(Policy::default());
    meeting.enter("ada", Role::Owner);
    meeting.enter("bo", Role::Speaker);
    meeting.ask("ada", json!({ "do": "policy.set", "policy": { "locked": true } })).unwrap();
    meeting.leave("bo");
    let cem = meeting.knock_of("cem");
    assert_eq!(meeting.knock(cem), Err(Refused::Locked));
    let dora = Knock { vouched: Some(Role::Speaker), ..meeting.knock_of("dora") };
    assert_eq!(meeting.knock(dora), Err(Refused::Locked), "an application's word opens no lock");
    let dora = Knock { vouched: Some(Role::Moderator), ..meeting.knock_of("dora") };
    assert_eq!(meeting.knock(dora), Ok(Entry::In { role: Role::Moderator }));
    let bo = meeting.knock_of("bo");
    assert_eq!(meeting.knock(bo), IN, "the same seat, after a reload");
    let thief = Knock { seat: "another seat".to_owned(), ..meeting.knock_of("bo") };
    assert_eq!(meeting.knock(thief), Err(Refused::Locked), "the identity alone is nobody");
    meeting.wait(AssemblyLimits::default().return_window);
    let bo = meeting.knock_of("bo");
    assert_eq!(meeting.knock(bo), Err(Refused::Locked), "too long ago");
    assert_eq!(meeting.assembly.stats().refused_locked, 4);
}

#[test]
fn a_moderator_admits_one_refuses_another_and_admits_the_rest() {
    let mut meeting = Meeting::of(lobby());
    meeting.enter("ada", Role::Owner);
    let secrets = ["bo", "cem", "dora", "eva"].map(|name| meeting.wait_outside(name));
    let [bo, cem, dora, eva] = secrets;
    let seen = meeting.state("ada")["lobby"]["waiting"].clone();
    assert_eq!(seen[0]["name"], "Bo");
    assert_eq!(seen.as_array().unwrap().len(), 4);
    meeting.done();

    meeting.ask("ada", json!({ "do": "lobby.admit", "waiting": seen[0]["id"] })).unwrap();
    assert_eq!(meeting.done(), [Output::Admitted { waiting: bo, role: Role::Speaker }]);
    meeting.ask("ada", json!({ "do": "lobby.refuse", "waiting": seen[1]["id"] })).unwrap();
    assert_eq!(meeting.done(), [Output::Refused { waiting: cem, reason: TurnedAway::Refused }]);
    let again = meeting.ask("ada", json!({ "do": "lobby.admit", "waiting": seen[1]["id"] }));
    assert_eq!(again, Err("not_found".to_owned()));
    meeting.ask("ada", json!({ "do": "lobby.admit", "everyone": true })).unwrap();
    let admitted = [dora, eva].map(|waiting| Output::Admitted { waiting, role: Role::Speaker });
    assert_eq!(meeting.done(), admitted);
    assert_eq!(meeting.state("ada")["lobby"], json!({ "waiting": [] }));
    let bo = meeting.knock_of("bo");
    assert_eq!(meeting.knock(bo), IN, "whoever was admitted and lost the connection needs no second word");
}

#[test]
fn a_place_in_the_lobby_is_kept_for_fifteen_seconds_and_the_same_seat_has_it_again() {
    let mut meeting = Meeting::of(lobby());
    meeting.enter("ada", Role::Owner);
    let first = meeting.wait_outside("bo");
    meeting.wait_outside("cem");
    let place = meeting.state("ada")["lobby"]["waiting"][0].clone();
    meeting.assembly.waiting_disconnected(meeting.now, &first);
    meeting.wait(Duration::from_secs(14));
    meeting.done();
    let second = meeting.wait_outside("bo");
    assert_eq!(meeting.done(), [Output::Refused { waiting: first, reason: TurnedAway::Replaced }]);
    assert_eq!(meeting.state("ada")["lobby"]["waiting"][0], place, "the same number, since the same time");

    meeting.assembly.waiting_disconnected(meeting.now, &second);
    assert_eq!(meeting.assembly.poll_timeout(), Some(meeting.now + Duration::from_secs(15)));
    meeting.wait(Duration::from_secs(15));
    assert_eq!(meeting.done(), [Output::Refused { waiting: second.clone(), reason: TurnedAway::Expired }]);
    meeting.assembly.waiting_connected(meeting.now, &second);
    assert_eq!((meeting.assembly.waiting(), meeting.assembly.stats().waiting_expired), (1, 1));
}

#[test]
fn a_knock_without_a_socket_is_shown_to_nobody_and_given_up() {
    let mut meeting = Meeting::of(lobby());
    meeting.enter("ada", Role::Owner);
    let bo = meeting.knock_of("bo");
    assert_eq!(meeting.knock(bo), waits(WaitReason::Lobby));
    assert_eq!(meeting.state("ada")["lobby"], json!({ "waiting": [] }));
    assert!(meeting.events("ada").is_empty());
    meeting.wait(Duration::from_secs(15));
    assert_eq!(meeting.assembly.waiting(), 0);
}

#[test]
fn a_lobby_has_so_many_places_and_one_address_only_some_of_them() {
    let limits = AssemblyLimits { waiting: 3, waiting_per_address: 2, ..AssemblyLimits::default() };
    let mut meeting = Meeting::within(limits, lobby());
    let from = |meeting: &mut Meeting, who: &str, address: &str| {
        let knock = Knock { address: Some(address.to_owned()), ..meeting.knock_of(who) };
        meeting.knock(knock)
    };
    assert_eq!(from(&mut meeting, "bo", "house"), waits(WaitReason::Lobby));
    assert_eq!(from(&mut meeting, "cem", "house"), waits(WaitReason::Lobby));
    assert_eq!(from(&mut meeting, "dora", "house"), Err(Refused::Full));
    assert_eq!(
        from(&mut meeting, "cem", "house"),
        waits(WaitReason::Lobby),
        "who waits already takes no place"
    );
    assert_eq!(from(&mut meeting, "eva", "street"), waits(WaitReason::Lobby));
    assert_eq!(from(&mut meeting, "finn", "square"), Err(Refused::Full));
    assert_eq!((meeting.assembly.waiting(), meeting.assembly.stats().refused_full), (3, 2));
}

#[test]
fn everybody_waits_for_somebody_who_conducts_where_the_policy_says_so() {
    let mut meeting = Meeting::of(Policy { opens_with_host: true, ..Policy::default() });
    let bo = meeting.wait_outside("bo");
    let signed_in = Knock { vouched: Some(Role::Speaker), ..meeting.knock_of("cem") };
    assert_eq!(meeting.knock(signed_in), waits(WaitReason::Host));
    meeting.done();
    meeting.enter("ada", Role::Owner);
    let done = meeting.done();
    assert!(done.contains(&Output::Admitted { waiting: bo, role: Role::Speaker }), "{done:?}");
    assert_eq!(meeting.assembly.waiting(), 0);
    meeting.leave("ada");
    let dora = meeting.knock_of("dora");
    assert_eq!(meeting.knock(dora), waits(WaitReason::Host), "nobody conducts any more");
}

#[test]
fn who_waited_for_the_host_waits_on_for_a_moderators_word_where_there_is_a_lobby_as_well() {
    let mut meeting = Meeting::of(Policy { opens_with_host: true, lobby: true, ..Policy::default() });
    let bo = meeting.wait_outside("bo");
    meeting.done();
    meeting.enter("ada", Role::Owner);
    assert!(meeting.done().contains(&Output::Waits { waiting: bo.clone(), reason: WaitReason::Lobby }));
    meeting.ask("ada", json!({ "do": "policy.set", "policy": { "lobby": false } })).unwrap();
    assert!(
        meeting.done().contains(&Output::Admitted { waiting: bo, role: Role::Speaker }),
        "the lobby is gone"
    );
}

#[test]
fn a_lock_is_not_opened_by_taking_the_lobby_away() {
    let mut meeting = Meeting::of(lobby());
    meeting.enter("ada", Role::Owner);
    meeting.wait_outside("bo");
    meeting.ask("ada", json!({ "do": "policy.set", "policy": { "lobby": false, "locked": true } })).unwrap();
    assert_eq!(meeting.assembly.waiting(), 1);
    meeting.ask("ada", json!({ "do": "lobby.admit", "everyone": true })).unwrap();
    assert_eq!(meeting.assembly.waiting(), 0, "a moderator's word opens it for one");
}

#[test]
fn a_full_meeting_lets_nobody_in_from_the_street_and_nobody_from_the_lobby() {
    let mut meeting = Meeting::within(AssemblyLimits { people: 2, ..AssemblyLimits::default() }, lobby());
    meeting.enter("ada", Role::Owner);
    let bo = meeting.wait_outside("bo");
    meeting.enter("cem", Role::Speaker);
    let dora = meeting.knock_of("dora");
    assert_eq!(meeting.knock(dora), Err(Refused::Full));
    let admit = json!({ "do": "lobby.admit", "everyone": true });
    assert_eq!(meeting.ask("ada", admit.clone()), Err("too_many".to_owned()));
    assert_eq!(meeting.assembly.waiting(), 1, "and who waits waits on");
    meeting.enter_unconnected("eva", Some(Role::Speaker));
    assert_eq!(meeting.assembly.role("eva"), None, "who came past the door has no place either");
    meeting.leave("cem");
    meeting.ask("ada", admit).unwrap();
    assert!(meeting.done().contains(&Output::Admitted { waiting: bo, role: Role::Speaker }));
}

#[test]
fn row_43_a_guarded_room_tells_those_outside_nothing_of_itself() {
    let mut meeting = Meeting::of(Policy::default());
    meeting.enter("ada", Role::Owner);
    let facts = meeting.assembly.facts();
    assert_eq!((facts.title.as_deref(), facts.people), (Some("Council"), Some(1)));
    for change in [
        json!({ "lobby": true }),
        json!({ "lobby": false, "locked": true }),
        json!({ "locked": false, "password": "open sesame" }),
        json!({ "password": null, "opens_with_host": true }),
    ] {
        meeting.ask("ada", json!({ "do": "policy.set", "policy": change.clone() })).unwrap();
        let facts = meeting.assembly.facts();
        assert_eq!((facts.title, facts.people), (None, None), "{change}");
    }
    meeting.ask("ada", json!({ "do": "policy.set", "policy": { "title_outside": true } })).unwrap();
    let facts = meeting.assembly.facts();
    assert_eq!((facts.title.as_deref(), facts.people), (Some("Council"), None));
}

#[test]
fn row_43_those_in_the_lobby_can_ask_for_nothing_and_are_told_nothing() {
    let mut meeting = Meeting::of(lobby());
    meeting.enter("ada", Role::Owner);
    let secret = meeting.wait_outside("bo");
    meeting.done();
    assert!(
        !meeting.assembly.attach(meeting.now, meeting.unix_ms, "bo"),
        "there is no socket of the inside for them"
    );
    assert!(!meeting.assembly.attach(meeting.now, meeting.unix_ms, &secret.0));
    // The meeting goes on; a word to anybody but Ada fails in the harness.
    meeting.say("bo", r#"{"do":"chat.send","text":"let me in"}"#);
    meeting.say(&secret.0, r#"{"do":"resync"}"#);
    meeting.ask("ada", json!({ "do": "chat.send", "text": "who is that?" })).unwrap();
    let to = meeting.ask("ada", json!({ "do": "chat.send", "text": "psst", "to": "bo" }));
    assert_eq!(to, Err("not_found".to_owned()));
    meeting.ask("ada", json!({ "do": "reaction.send", "emoji": "👍" })).unwrap();
    assert!(meeting.done().is_empty(), "nothing is to be done for them either");
    let kept: Vec<&str> = meeting
        .noted
        .iter()
        .map(|noted| match noted {
            Output::KeepMessage { text, .. } => text.as_str(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(kept, ["who is that?"]);
    assert_eq!(meeting.state("ada")["chat"]["messages"].as_array().unwrap().len(), 1);
}

#[test]
fn row_43_only_those_who_conduct_see_who_waits() {
    let mut meeting = Meeting::of(lobby());
    meeting.enter("ada", Role::Owner);
    meeting.enter("bo", Role::Speaker);
    meeting.wait_outside("cem");
    assert_eq!(meeting.events("ada")[0]["name"], "Cem");
    assert!(meeting.events("bo").is_empty());
    assert_eq!(meeting.state("bo").get("lobby"), None);
    meeting.ask("ada", json!({ "do": "role.set", "identity": "bo", "role": "moderator" })).unwrap();
    assert_eq!(meeting.state("bo")["lobby"]["waiting"][0]["name"], "Cem");
    meeting.ask("ada", json!({ "do": "role.set", "identity": "bo", "role": "speaker" })).unwrap();
    assert_eq!(meeting.state("bo").get("lobby"), None, "and no longer than they conduct");
}
