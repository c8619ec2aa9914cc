// SPDX-License-Identifier: EUPL-1.2
//! Rooms too large for everyone to be told of everyone.

use std::collections::BTreeSet;
use std::time::Duration;

use livekit_protocol as proto;
use livekit_protocol::TrackSource;
use livekit_protocol::signal_request::Message as Request;
use livekit_protocol::signal_response::Message as Response;
use parvis_meeting::Limits;
use parvis_signal::{ConnectionId, Grants, RoomConfig};

use crate::lab::*;

fn lab(roster_limit: usize, participants: usize) -> Lab {
    let meeting = Limits { participants, ..Limits::default() };
    Lab::with(RoomConfig { meeting: meeting.into(), roster_limit, ..RoomConfig::default() })
}

/// People join, named by their number.
fn crowd(lab: &mut Lab, names: std::ops::Range<usize>) -> Vec<ConnectionId> {
    names.map(|name| lab.join(&format!("p{name}"))).collect()
}

/// Whom a client lists beside itself.
fn listed(lab: &Lab, client: ConnectionId) -> BTreeSet<&str> {
    lab.client(client).roster.keys().map(String::as_str).collect()
}

fn names(names: &[&'static str]) -> BTreeSet<&'static str> {
    names.iter().copied().collect()
}

#[test]
fn beyond_the_limit_one_who_joins_hears_of_those_on_stage_and_of_how_many_there_are() {
    let mut lab = lab(3, 500);
    let first = crowd(&mut lab, 0..3);
    assert_eq!(listed(&lab, first[0]), names(&["p1", "p2"]), "a small room knows itself");
    lab.publish(first[1], "cam", TrackSource::Camera);
    lab.clear();
    let fourth = lab.join("p3");
    assert_eq!(listed(&lab, fourth), names(&["p1"]), "only who is on stage");
    let join = lab.client(fourth).find(|message| match message {
        Response::Join(join) => Some(join.clone()),
        _ => None,
    });
    let room = join.unwrap().room.unwrap();
    assert_eq!((room.num_participants, room.num_publishers), (4, 1));
    assert_eq!(lab.client(fourth).own.as_ref().unwrap().identity, "p3", "and of itself");
    assert_eq!(
        lab.client(fourth).own.as_ref().unwrap().state(),
        proto::participant_info::State::Active,
        "whose state it is told"
    );
    for early in &first {
        assert!(!listed(&lab, *early).contains("p3"));
        assert!(!lab.client(*early).kinds().contains(&"Update".to_owned()), "nobody else is told of it");
    }
    lab.pass(Duration::from_secs(2));
    let numbers = lab.client(first[0]).find(|message| match message {
        Response::RoomUpdate(update) => update.room.clone().map(|room| room.num_participants),
        _ => None,
    });
    assert_eq!(numbers, Some(4), "but the number is told to all");
}

#[test]
fn who_steps_on_the_stage_is_told_of_with_its_tracks_and_off_it_stays_known() {
    let mut lab = lab(2, 500);
    let people = crowd(&mut lab, 0..5);
    assert_eq!(listed(&lab, people[4]), names(&[]));
    let sid = lab.publish(people[3], "cam", TrackSource::Camera);
    for other in [0, 1, 2, 4] {
        let info = &lab.client(people[other]).roster["p3"];
        assert_eq!(info.tracks.iter().map(|track| &track.sid).collect::<Vec<_>>(), [&sid]);
    }
    assert_eq!(lab.forwarder.subscriptions.len(), 4, "and forwarded to everyone");
    let peer = lab.publisher(people[3]);
    let track = *lab.forwarder.tracks.iter().find(|(_, (of, _, _))| *of == peer).unwrap().0;
    lab.event(parvis_sfu::Event::TrackEnded { track });
    assert!(lab.client(people[0]).roster["p3"].tracks.is_empty());
    let late = lab.join("p5");
    assert_eq!(listed(&lab, late), names(&[]), "who comes now does not hear of it");
}

#[test]
fn who_is_not_known_leaves_without_a_word_and_who_is_known_is_taken_off_all_lists() {
    let mut lab = lab(2, 500);
    let people = crowd(&mut lab, 0..5);
    lab.clear();
    lab.send(people[4], Request::Leave(proto::LeaveRequest::default()));
    for other in &people[..4] {
        assert!(!lab.client(*other).kinds().contains(&"Update".to_owned()));
    }
    assert!(listed(&lab, people[1]).contains("p0"));
    lab.send(people[0], Request::Leave(proto::LeaveRequest::default()));
    assert!(!listed(&lab, people[1]).contains("p0"));
}

#[test]
fn a_room_that_has_shrunk_knows_all_of_itself_again() {
    let mut lab = lab(4, 500);
    let people = crowd(&mut lab, 0..6);
    assert!(listed(&lab, people[5]).is_empty());
    lab.send(people[1], Request::Leave(proto::LeaveRequest::default()));
    lab.send(people[2], Request::Leave(proto::LeaveRequest::default()));
    assert!(!listed(&lab, people[0]).contains("p5"), "at the limit it stays as it is");
    lab.send(people[3], Request::Leave(proto::LeaveRequest::default()));
    assert_eq!(listed(&lab, people[0]), names(&["p4", "p5"]));
    assert_eq!(listed(&lab, people[5]), names(&["p0", "p4"]));
}

#[test]
fn one_who_comes_back_to_a_crowd_hears_of_itself_and_the_stage() {
    let mut lab = lab(2, 500);
    let people = crowd(&mut lab, 0..5);
    lab.publish(people[3], "cam", TrackSource::Camera);
    let sid = lab.sid(people[4]);
    lab.drop_socket(people[4]);
    lab.clear();
    let back = lab.resume("p4", &sid);
    let told: BTreeSet<&str> = listed(&lab, back);
    assert!(told.contains("p3"));
    assert_eq!(lab.client(back).own.as_ref().map(|own| own.sid.clone()), Some(sid));
}

#[test]
fn a_thousand_joins_cost_each_of_them_a_few_messages() {
    let mut lab = lab(200, 1100);
    let speakers = crowd(&mut lab, 0..10);
    for speaker in &speakers {
        lab.publish(*speaker, "mic", TrackSource::Microphone);
    }
    crowd(&mut lab, 10..200);
    lab.clear();
    for number in 200..1010 {
        lab.join_as(Grants::of(&format!("p{number}")));
        // A hundred join in a second.
        lab.pass(Duration::from_millis(10));
    }
    lab.pass(Duration::from_secs(2));
    let updates: usize = lab
        .clients
        .values()
        .flat_map(|client| &client.inbox)
        .map(|message| match message {
            Response::Join(join) => join.other_participants.len() + 1,
            Response::Update(update) => update.participants.len(),
            _ => 0,
        })
        .sum();
    // 810 joins of 11 people each, and 3 changes of its own state to each. All of all would be 600,000 at least.
    assert!(updates <= 810 * (11 + 3), "{updates} descriptions of people");
    let last = lab.clients.values().last().unwrap();
    assert_eq!(last.roster.len(), 10);
    let room_updates = last.inbox.iter().filter(|message| matches!(message, Response::RoomUpdate(_))).count();
    assert!((1..=3).contains(&room_updates), "{room_updates} numbers in two seconds");
    assert_eq!(lab.forwarder.subscriptions.len(), 10 * 1009);
}
