// SPDX-License-Identifier: EUPL-1.2
//! What people may do: by role, by policy, and by what was decided for one of them.

use std::time::Duration;

use parvis_meeting::assembly::{AssemblyLimits, Output, Policy, Rights, Role, Source};
use serde_json::{Value, json};

use super::Meeting;

const ALL: Rights =
    Rights { camera: true, microphone: true, screen: true, chat: true, files: true, unmute: true };

fn set_policy(meeting: &mut Meeting, policy: Value) {
    meeting.ask("ada", json!({ "do": "policy.set", "policy": policy })).unwrap();
}

fn mute(identity: &str, source: Source) -> Output {
    Output::Mute { identity: identity.to_owned(), source }
}

fn rights(identity: &str, rights: Rights) -> Output {
    Output::Rights { identity: identity.to_owned(), rights }
}

/// Ada owns the meeting, Mia moderates, Bo speaks, Cem looks on.
fn meeting(policy: Policy) -> Meeting {
    let mut meeting = Meeting::of(policy);
    meeting.enter("ada", Role::Owner);
    meeting.enter("mia", Role::Moderator);
    meeting.enter("bo", Role::Speaker);
    meeting.enter("cem", Role::Viewer);
    meeting
}

#[test]
fn each_role_has_its_rights_and_is_told_them() {
    let mut meeting = meeting(Policy::default());
    let viewer = Rights { chat: true, ..Rights::default() };
    for (identity, role, own) in
        [("ada", "owner", ALL), ("mia", "moderator", ALL), ("bo", "speaker", ALL), ("cem", "viewer", viewer)]
    {
        assert_eq!(meeting.assembly.rights(identity), own, "{identity}");
        let you = json!({ "identity": identity, "role": role, "rights": own });
        assert_eq!(meeting.state(identity)["you"], you);
    }
    assert_eq!(meeting.assembly.rights("nobody"), Rights::default());
    let done = meeting.done();
    assert!(done.contains(&rights("bo", ALL)) && done.contains(&rights("cem", viewer)), "{done:?}");
}

#[test]
fn the_policy_gives_and_takes_rights_of_all_at_once() {
    let mut meeting = meeting(Policy::default());
    meeting.done();
    set_policy(&mut meeting, json!({ "chat": "moderators", "share": "moderators", "files": false }));
    let speaker = Rights { screen: false, chat: false, files: false, ..ALL };
    assert!(meeting.done().contains(&rights("bo", speaker)));
    assert_eq!(meeting.assembly.rights("mia"), Rights { files: false, ..ALL });
    assert_eq!(meeting.ask("bo", json!({ "do": "chat.send", "text": "but" })), Err("not_allowed".to_owned()));
    set_policy(&mut meeting, json!({ "chat": "off" }));
    assert!(!meeting.assembly.rights("ada").chat, "off is off for all");
}

#[test]
fn a_moderator_gives_one_person_more_and_another_less_as_far_as_role_and_policy_go() {
    let mut meeting = meeting(Policy::default());
    set_policy(&mut meeting, json!({ "share": "moderators", "chat": "moderators" }));
    let set = |meeting: &mut Meeting, identity: &str, rights: Value| {
        meeting.ask("mia", json!({ "do": "rights.set", "identity": identity, "rights": rights }))
    };
    set(&mut meeting, "bo", json!({ "screen": true, "chat": true, "camera": false })).unwrap();
    assert_eq!(meeting.assembly.rights("bo"), Rights { camera: false, files: true, ..ALL });
    assert_eq!(meeting.state("bo")["you"]["rights"]["camera"], false);
    let refused = Err("not_allowed".to_owned());
    assert_eq!(set(&mut meeting, "cem", json!({ "camera": true })), refused, "a viewer has no camera");
    set_policy(&mut meeting, json!({ "files": false }));
    assert_eq!(set(&mut meeting, "bo", json!({ "files": true })), refused, "nobody has files");
    assert_eq!(set(&mut meeting, "bo", json!({})), Err("bad_value".to_owned()));
    set_policy(&mut meeting, json!({ "chat": "off" }));
    assert!(!meeting.assembly.rights("bo").chat, "what was given does not outdo the policy");
    set_policy(&mut meeting, json!({ "chat": "moderators" }));
    assert!(meeting.assembly.rights("bo").chat, "and is not forgotten for it");
}

#[test]
fn what_was_decided_for_somebody_survives_a_reload() {
    let mut meeting = meeting(Policy::default());
    let less = json!({ "microphone": false, "chat": false });
    meeting.ask("mia", json!({ "do": "rights.set", "identity": "bo", "rights": less })).unwrap();
    meeting.ask("mia", json!({ "do": "role.set", "identity": "cem", "role": "speaker" })).unwrap();
    meeting.leave("bo");
    meeting.leave("cem");
    meeting.wait(Duration::from_secs(3600));
    meeting.enter("bo", Role::Speaker);
    meeting.enter("cem", Role::Viewer);
    let fewer = Rights { microphone: false, unmute: false, chat: false, files: false, ..ALL };
    assert_eq!(meeting.assembly.rights("bo"), fewer);
    assert_eq!(meeting.assembly.role("cem"), Some(Role::Speaker), "not what an old token says");
}

#[test]
fn strangers_push_out_of_memory_what_strangers_did_and_not_what_was_decided() {
    let limits = AssemblyLimits { people: 3, people_remembered: 5, ..AssemblyLimits::default() };
    let mut meeting = Meeting::within(limits, Policy::default());
    meeting.enter("ada", Role::Owner);
    meeting.enter("bo", Role::Speaker);
    let silent = json!({ "chat": false });
    meeting.ask("ada", json!({ "do": "rights.set", "identity": "bo", "rights": silent })).unwrap();
    meeting.leave("bo");
    for stranger in 0..20 {
        let knock = meeting.knock_of(&format!("stranger {stranger}"));
        meeting.knock(knock).unwrap();
    }
    assert_eq!(meeting.assembly.stats().forgotten, 17, "of 22 people 5 are remembered");
    meeting.enter("bo", Role::Speaker);
    assert!(!meeting.assembly.rights("bo").chat, "Bo among them, who came long before");
}

#[test]
fn a_viewer_is_called_on_stage_and_put_back() {
    let mut meeting = meeting(Policy::default());
    meeting.done();
    assert_eq!(meeting.state("bo")["members"]["viewers"], 1);
    meeting.ask("mia", json!({ "do": "role.set", "identity": "cem", "role": "speaker" })).unwrap();
    let role = |role| Output::Role { identity: "cem".to_owned(), role };
    assert_eq!(meeting.done(), [role(Role::Speaker), rights("cem", ALL)]);
    assert_eq!(meeting.state("bo")["members"]["viewers"], 0);
    meeting.ask("mia", json!({ "do": "spotlight.set", "identities": ["cem"] })).unwrap();
    meeting.ask("mia", json!({ "do": "role.set", "identity": "cem", "role": "viewer" })).unwrap();
    let viewer = Rights { chat: true, ..Rights::default() };
    assert_eq!(meeting.done(), [role(Role::Viewer), rights("cem", viewer)]);
    assert_eq!(meeting.state("bo")["members"]["spotlight"], json!([]));
    // The raised hand of a viewer, called, does it too.
    meeting.ask("cem", json!({ "do": "hand.raise" })).unwrap();
    meeting.ask("mia", json!({ "do": "hand.call", "identity": "cem" })).unwrap();
    assert_eq!(meeting.assembly.role("cem"), Some(Role::Speaker));
}

#[test]
fn who_is_muted_unmutes_by_themselves_unless_the_policy_has_them_be_asked() {
    let mut meeting = meeting(Policy::default());
    meeting.assembly.publishing("bo", Source::Microphone, true);
    meeting.done();
    let off = json!({ "do": "mute", "identity": "bo", "source": "microphone" });
    meeting.ask("mia", off.clone()).unwrap();
    assert_eq!(meeting.done(), [mute("bo", Source::Microphone)]);
    assert_eq!(meeting.events("bo"), [json!({ "what": "muted", "source": "microphone", "by": "mia" })]);
    assert!(meeting.assembly.rights("bo").unmute);

    set_policy(&mut meeting, json!({ "self_unmute": false }));
    assert!(!meeting.assembly.rights("bo").unmute && meeting.assembly.rights("mia").unmute);
    meeting.done();
    meeting.assembly.publishing("bo", Source::Microphone, true);
    meeting.drain();
    assert_eq!(
        meeting.done(),
        [mute("bo", Source::Microphone)],
        "what sounds without the right to is turned off"
    );
    meeting.ask("mia", json!({ "do": "unmute.ask", "identity": "bo", "source": "microphone" })).unwrap();
    assert_eq!(
        meeting.events("bo"),
        [json!({ "what": "unmute_asked", "source": "microphone", "by": "mia" })]
    );
    assert_eq!(meeting.done(), [rights("bo", ALL)]);
    meeting.assembly.publishing("bo", Source::Microphone, true);
    meeting.drain();
    assert!(meeting.done().is_empty(), "speaks");
    meeting.ask("mia", off).unwrap();
    assert!(!meeting.assembly.rights("bo").unmute, "until muted again");
}

#[test]
fn whoever_speaks_when_unmuting_is_taken_away_speaks_on() {
    let mut meeting = meeting(Policy::default());
    meeting.enter("dora", Role::Speaker);
    meeting.assembly.publishing("bo", Source::Microphone, true);
    set_policy(&mut meeting, json!({ "self_unmute": false }));
    assert!(meeting.assembly.rights("bo").unmute && !meeting.assembly.rights("dora").unmute);
}

#[test]
fn mute_all_is_for_all_who_do_not_conduct() {
    let mut meeting = meeting(Policy { self_unmute: false, ..Policy::default() });
    meeting.enter("dora", Role::Speaker);
    meeting.done();
    meeting.ask("ada", json!({ "do": "mute", "everyone": true, "source": "camera" })).unwrap();
    assert_eq!(meeting.done(), [mute("bo", Source::Camera), mute("dora", Source::Camera)]);
    for wrong in [
        json!({ "do": "mute", "source": "camera" }),
        json!({ "do": "mute", "source": "camera", "everyone": false }),
        json!({ "do": "mute", "source": "camera", "everyone": true, "identity": "bo" }),
        json!({ "do": "mute", "everyone": true }),
        json!({ "do": "mute", "everyone": true, "source": "piano" }),
    ] {
        assert_eq!(meeting.ask("ada", wrong.clone()), Err("bad_value".to_owned()), "{wrong}");
    }
}

#[test]
fn whoever_comes_as_one_of_many_comes_muted_and_may_then_unmute() {
    let mut meeting = Meeting::of(Policy { mute_above: Some(2), ..Policy::default() });
    meeting.enter("ada", Role::Owner);
    meeting.enter("cem", Role::Viewer);
    meeting.enter("bo", Role::Speaker);
    assert!(
        !meeting.done().contains(&mute("bo", Source::Microphone)),
        "the second who speaks, not the third who looks"
    );
    meeting.enter("dora", Role::Speaker);
    assert!(meeting.done().contains(&mute("dora", Source::Microphone)));
    let publish = |meeting: &mut Meeting| {
        meeting.assembly.publishing("dora", Source::Microphone, true);
        meeting.drain();
        meeting.done()
    };
    assert_eq!(
        publish(&mut meeting),
        [mute("dora", Source::Microphone)],
        "what comes with her is turned off"
    );
    assert!(publish(&mut meeting).is_empty(), "what she turns on then is not");

    meeting.enter("eva", Role::Speaker);
    meeting.done();
    meeting.wait(AssemblyLimits::default().hush);
    meeting.assembly.publishing("eva", Source::Microphone, true);
    meeting.drain();
    assert!(meeting.done().is_empty(), "she did that herself, after a while");
    meeting.enter("otto", Role::Moderator);
    assert!(!meeting.done().contains(&mute("otto", Source::Microphone)));
}

#[test]
fn nobody_is_asked_to_turn_on_what_they_have_no_right_to() {
    let mut meeting = meeting(Policy::default());
    let ask = |meeting: &mut Meeting, identity: &str, source: &str| {
        meeting.ask("mia", json!({ "do": "unmute.ask", "identity": identity, "source": source }))
    };
    ask(&mut meeting, "bo", "camera").unwrap();
    ask(&mut meeting, "ada", "microphone").unwrap();
    assert_eq!(ask(&mut meeting, "cem", "microphone"), Err("not_allowed".to_owned()));
    let none = json!({ "camera": false, "microphone": false });
    meeting.ask("mia", json!({ "do": "rights.set", "identity": "bo", "rights": none })).unwrap();
    for source in ["camera", "microphone"] {
        assert_eq!(ask(&mut meeting, "bo", source), Err("not_allowed".to_owned()), "{source}");
    }
    assert_eq!(meeting.events("bo").len(), 1);
}
