// SPDX-License-Identifier: EUPL-1.2
//! Who conducts when nobody is there any more who does.

use std::time::Duration;

use parvis_meeting::assembly::{AssemblyLimits, Policy, Role, Successor};
use serde_json::json;

use super::Meeting;

/// Bo came first, then Cem, then Dora, who only looks on; Ada owns the meeting, and Mia was a moderator once.
fn meeting(successor: Successor) -> Meeting {
    let mut meeting = Meeting::of(Policy { successor, ..Policy::default() });
    meeting.enter("dora", Role::Viewer);
    meeting.enter("bo", Role::Speaker);
    meeting.enter("cem", Role::Speaker);
    meeting.enter("ada", Role::Owner);
    meeting.enter("mia", Role::Moderator);
    meeting.ask("ada", json!({ "do": "role.set", "identity": "mia", "role": "speaker" })).unwrap();
    meeting
}

fn long_enough() -> Duration {
    AssemblyLimits::default().succession_after
}

fn who_conducts(meeting: &Meeting) -> Vec<&str> {
    let conduct = meeting.assembly.members().filter(|member| member.is_moderator());
    conduct.map(|member| member.identity.as_str()).collect()
}

#[test]
fn by_default_nobody_follows() {
    let mut meeting = meeting(Policy::default().successor);
    meeting.leave("ada");
    assert_eq!(meeting.assembly.poll_timeout(), None);
    meeting.wait(Duration::from_secs(3600));
    assert!(who_conducts(&meeting).is_empty());
}

#[test]
fn the_speaker_who_is_there_longest_stands_in_until_the_owner_is_back() {
    let mut meeting = meeting(Successor::Longest);
    meeting.leave("ada");
    meeting.wait(long_enough() - Duration::from_millis(1));
    assert!(who_conducts(&meeting).is_empty(), "she may only have loaded the page anew");
    meeting.wait(Duration::from_millis(1));
    assert_eq!(who_conducts(&meeting), ["bo"], "not Dora, who only looks on");
    assert_eq!(meeting.state("bo")["you"]["role"], "moderator");
    assert_eq!(meeting.assembly.stats().handed_over, 1);
    assert!(!meeting.assembly.record().roles.contains_key("bo"), "it is for this time only");
    let raise = json!({ "do": "role.set", "identity": "cem", "role": "moderator" });
    assert_eq!(meeting.ask("bo", raise), Err("not_allowed".to_owned()), "a stand-in makes no moderators");
    meeting.ask("bo", json!({ "do": "mute", "identity": "cem", "source": "microphone" })).unwrap();

    meeting.enter("ada", Role::Owner);
    assert_eq!(who_conducts(&meeting), ["ada"]);
    assert_eq!(meeting.state("bo")["you"]["role"], "speaker");
    assert_eq!(meeting.state("bo").get("lobby"), None);
    meeting.enter("bo", Role::Speaker);
    assert_eq!(who_conducts(&meeting), ["ada"], "nor does he stand in for her beside her");
}

#[test]
fn a_moderator_of_before_follows_where_the_policy_wants_nobody_else() {
    let mut meeting = meeting(Successor::Moderators);
    meeting.leave("ada");
    meeting.wait(long_enough());
    assert_eq!(who_conducts(&meeting), ["mia"]);
    meeting.leave("mia");
    meeting.wait(long_enough());
    assert!(who_conducts(&meeting).is_empty(), "never whoever came first");
}

#[test]
fn nobody_follows_whom_nobody_preceded() {
    let mut meeting = Meeting::of(Policy { successor: Successor::Longest, ..Policy::default() });
    meeting.enter("bo", Role::Speaker);
    meeting.wait(Duration::from_secs(3600));
    assert!(who_conducts(&meeting).is_empty());
}

#[test]
fn a_stand_in_who_leaves_is_followed_by_another_and_comes_back_as_what_they_were() {
    let mut meeting = meeting(Successor::Longest);
    meeting.leave("ada");
    meeting.wait(long_enough());
    meeting.leave("bo");
    meeting.enter("bo", Role::Speaker);
    assert!(who_conducts(&meeting).is_empty());
    meeting.wait(long_enough());
    assert_eq!(who_conducts(&meeting), ["cem"]);
}
