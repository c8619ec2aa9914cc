// SPDX-License-Identifier: EUPL-1.2
//! What the outer world is told of a room, and in which order.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use livekit_protocol as proto;
use livekit_protocol::TrackSource;
use livekit_protocol::signal_request::Message as Request;
use parvis_signal::{Control, Grants, Occurrence, OccurrenceKind as Kind};

use crate::lab::*;

/// `joined ada`, `published ada TR_…`, as a person would write it down.
fn words(occurrence: &Occurrence) -> String {
    let named = |what: &str, participant: &proto::ParticipantInfo| format!("{what} {}", participant.identity);
    match &occurrence.kind {
        Kind::RoomStarted => "started".to_owned(),
        Kind::RoomFinished { reason } => format!("finished {}", reason.as_str_name()),
        Kind::ParticipantJoined { participant } => named("joined", participant),
        Kind::ParticipantLeft { participant } => {
            format!("{} {}", named("left", participant), participant.disconnect_reason().as_str_name())
        }
        Kind::ParticipantConnectionAborted { participant } => named("aborted", participant),
        Kind::TrackPublished { participant, track } => {
            format!("{} {}", named("published", participant), track.sid)
        }
        Kind::TrackUnpublished { participant, track } => {
            format!("{} {}", named("unpublished", participant), track.sid)
        }
    }
}

/// Those who are there, with how many tracks, for whoever knows only what is told.
pub fn those_there(told: &[Occurrence]) -> BTreeMap<String, usize> {
    let mut there: BTreeMap<String, (String, BTreeSet<String>)> = BTreeMap::new();
    let mut begun = false;
    for Occurrence { kind, .. } in told {
        assert!(begun || *kind == Kind::RoomStarted, "before the beginning: {kind:?}");
        match kind {
            Kind::RoomStarted => assert!(!std::mem::replace(&mut begun, true), "it begins twice"),
            Kind::RoomFinished { .. } => {
                assert!(there.is_empty(), "the room is over and these are there: {there:?}")
            }
            Kind::ParticipantJoined { participant } => {
                let entry = (participant.sid.clone(), BTreeSet::new());
                let former = there.insert(participant.identity.clone(), entry);
                assert!(former.is_none(), "{} joins twice", participant.identity);
            }
            Kind::ParticipantLeft { participant } => {
                let (sid, tracks) = there.remove(&participant.identity).expect("whoever leaves had joined");
                assert_eq!((sid, tracks.len()), (participant.sid.clone(), 0), "nothing stays behind");
            }
            Kind::ParticipantConnectionAborted { participant } => {
                assert!(there.get(&participant.identity).is_none_or(|(sid, _)| *sid != participant.sid));
            }
            Kind::TrackPublished { participant, track } => {
                let (_, tracks) = there.get_mut(&participant.identity).expect("whoever publishes had joined");
                assert!(tracks.insert(track.sid.clone()), "published twice");
            }
            Kind::TrackUnpublished { participant, track } => {
                let (_, tracks) = there.get_mut(&participant.identity).expect("its publisher is there still");
                assert!(tracks.remove(&track.sid), "it was never published");
            }
        }
    }
    there.into_iter().map(|(identity, (_, tracks))| (identity, tracks.len())).collect()
}

fn story(lab: &Lab) -> Vec<String> {
    lab.told.iter().map(words).collect()
}

#[test]
fn a_meeting_is_told_from_its_beginning_to_its_end() {
    let mut lab = Lab::new();
    let ada = lab.join("ada");
    let mic = lab.publish(ada, "mic", TrackSource::Microphone);
    let cam = lab.publish(ada, "cam", TrackSource::Camera);
    let bob = lab.join("bob");
    lab.send(bob, Request::Leave(proto::LeaveRequest::default()));
    // Only the second track ends while she is there; the first goes with her.
    lab.offer(ada, &["mic"]);
    let ended = lab.forwarder.tracks.iter().find(|(_, (_, spec, _))| spec.cid == "cam").map(|(id, _)| *id);
    lab.event(parvis_sfu::Event::TrackEnded { track: ended.unwrap() });
    lab.send(ada, Request::Leave(proto::LeaveRequest::default()));
    lab.pass(Duration::from_secs(60));
    assert!(lab.ended);
    assert_eq!(
        story(&lab),
        [
            "started".to_owned(),
            "joined ada".to_owned(),
            format!("published ada {mic}"),
            format!("published ada {cam}"),
            "joined bob".to_owned(),
            "left bob CLIENT_INITIATED".to_owned(),
            format!("unpublished ada {cam}"),
            format!("unpublished ada {mic}"),
            "left ada CLIENT_INITIATED".to_owned(),
            "finished ROOM_END_IDLE_TIMEOUT".to_owned(),
        ]
    );
    let sid = lab.room.sid();
    assert!(
        lab.told.iter().all(|occurrence| occurrence.room.sid == sid && occurrence.room.name == "atelier")
    );
    let joined = lab.told.iter().find_map(|occurrence| match &occurrence.kind {
        Kind::ParticipantJoined { participant } => Some(participant),
        _ => None,
    });
    assert_eq!(joined.unwrap().state(), proto::participant_info::State::Active);
    assert_eq!(joined.unwrap().sid, lab.client(ada).own.as_ref().unwrap().sid);
    assert_eq!(lab.told[4].room.num_participants, 2);
}

#[test]
fn whoever_never_came_up_is_aborted_and_published_nothing() {
    let mut lab = Lab::new();
    let ada = lab.connect(Grants::of("ada"), dual());
    lab.publish(ada, "cam", TrackSource::Camera);
    lab.pass(Duration::from_secs(61));
    assert_eq!(story(&lab)[..2], ["started", "aborted ada"], "no word of her track");
}

#[test]
fn what_was_published_on_the_way_in_is_told_after_the_joining() {
    let mut lab = Lab::new();
    let ada = lab.connect(Grants::of("ada"), dual());
    let cam = lab.publish(ada, "cam", TrackSource::Camera);
    assert_eq!(story(&lab), ["started"]);
    lab.bring_up(ada);
    assert_eq!(story(&lab)[1..], ["joined ada".to_owned(), format!("published ada {cam}")]);
}

#[test]
fn a_lost_network_is_told_when_the_waiting_is_over_and_a_resume_not_at_all() {
    let mut lab = Lab::new();
    let ada = lab.join("ada");
    let sid = lab.sid(ada);
    lab.drop_socket(ada);
    lab.pass(Duration::from_secs(10));
    let ada = lab.resume("ada", &sid);
    lab.bring_up(ada);
    lab.pass(Duration::from_secs(10));
    assert_eq!(story(&lab), ["started", "joined ada"]);
    lab.drop_socket(ada);
    lab.pass(Duration::from_secs(21));
    assert_eq!(story(&lab)[2..], ["left ada CONNECTION_TIMEOUT"]);
}

#[test]
fn a_second_join_of_one_identity_ends_the_first() {
    let mut lab = Lab::new();
    lab.join("ada");
    let again = lab.join("ada");
    let sid = lab.sid(again);
    assert_eq!(story(&lab), ["started", "joined ada", "left ada DUPLICATE_IDENTITY", "joined ada"]);
    let left = |occurrence: &&Occurrence| matches!(occurrence.kind, Kind::ParticipantLeft { .. });
    let Some(Occurrence { kind: Kind::ParticipantLeft { participant }, .. }) = lab.told.iter().find(left)
    else {
        panic!("somebody left")
    };
    assert_ne!(participant.sid, sid, "the first stay has its own sid");
}

#[test]
fn a_deleted_room_says_so_and_so_does_a_server_that_stops() {
    for (deleted, last) in
        [(true, "finished ROOM_END_API_DELETE"), (false, "finished ROOM_END_SERVER_SHUTDOWN")]
    {
        let mut lab = Lab::new();
        lab.join("ada");
        let now = lab.now;
        if deleted {
            lab.control(Control::Delete).unwrap();
        } else {
            lab.room.drain(now);
        }
        lab.pump();
        assert_eq!(story(&lab).last().unwrap(), last);
        assert!(lab.room.abandoned().is_empty(), "nothing is told twice");
    }
}

#[test]
fn a_room_that_is_lost_leaves_nobody_behind() {
    let mut lab = Lab::new();
    lab.join("ada");
    lab.connect(Grants::of("bob"), dual());
    let rest: Vec<String> = lab.room.abandoned().iter().map(words).collect();
    assert_eq!(rest, ["left ada ROOM_CLOSED", "finished ROOM_END_UNKNOWN"]);
    assert!(Lab::new().room.abandoned().is_empty(), "a room that never began was never told of");
}

#[test]
fn a_room_made_ahead_is_told_once() {
    let mut lab = Lab::new();
    lab.room.begin();
    lab.pump();
    lab.join("ada");
    assert_eq!(story(&lab), ["started", "joined ada"]);
}
