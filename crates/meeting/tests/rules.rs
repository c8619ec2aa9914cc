// SPDX-License-Identifier: EUPL-1.2
//! The rules of a meeting, each as a sentence, and its invariant under any course of events.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parvis_meeting::{
    Admission, EndReason, Event, Kind, LeaveReason, Limits, MeetingError, ParticipantId, Permissions,
    ProfileUpdate, Room, State, SubscriptionRules, TrackId, TrackRule, TrackSource,
};
use proptest::prelude::*;

fn room_with(limits: Limits) -> (Room, Instant) {
    let now = Instant::now();
    (Room::new(Arc::new(limits), now), now)
}

fn events(room: &mut Room) -> Vec<Event> {
    std::iter::from_fn(|| room.poll_event()).collect()
}

fn enter(room: &mut Room, now: Instant, identity: &str) -> ParticipantId {
    let id = room.admit(now, Admission::of(identity)).unwrap();
    room.set_state(id, State::Active);
    id
}

fn subscribed(room: &Room, id: ParticipantId) -> Vec<TrackId> {
    room.participant(id).unwrap().subscribed().collect()
}

#[test]
fn the_newest_of_an_identity_stays() {
    let (mut room, now) = room_with(Limits { participants: 1, ..Limits::default() });
    let first = enter(&mut room, now, "ada");
    room.publish(first, TrackSource::Camera, false).unwrap();
    events(&mut room);
    let second = enter(&mut room, now, "ada");
    let left = events(&mut room).into_iter().find_map(|event| match event {
        Event::Left { participant, reason } => Some((participant.id, reason)),
        _ => None,
    });
    assert_eq!(left, Some((first, LeaveReason::Replaced)));
    assert_eq!(room.by_identity("ada").unwrap().id, second);
    assert_eq!(room.admit(now, Admission::of("bob")), Err(MeetingError::Full { limit: 1 }));
    assert_eq!((room.stats().replaced, room.stats().refused_full), (1, 1));
}

#[test]
fn a_meeting_ends_when_nobody_comes_when_all_have_left_or_when_it_lasted_too_long() {
    let limits = Limits { max_duration: Some(Duration::from_secs(3600)), ..Limits::default() };
    let ended = |room: &mut Room| {
        events(room).into_iter().find_map(|e| if let Event::Ended(r) = e { Some(r) } else { None })
    };

    let (mut room, start) = room_with(limits.clone());
    assert_eq!(room.poll_timeout(), Some(start + limits.empty_timeout));
    room.handle_timeout(start + limits.empty_timeout - Duration::from_millis(1));
    assert_eq!(ended(&mut room), None);
    room.handle_timeout(start + limits.empty_timeout);
    assert_eq!(ended(&mut room), Some(EndReason::Empty));
    assert_eq!(room.admit(start, Admission::of("ada")), Err(MeetingError::Ended));

    let (mut room, start) = room_with(limits.clone());
    let ada = enter(&mut room, start, "ada");
    let recorder = Admission { kind: Kind::Egress, ..Admission::of("recorder") };
    room.admit(start, recorder).unwrap();
    assert_eq!(room.poll_timeout(), Some(start + Duration::from_secs(3600)));
    let later = start + Duration::from_secs(1000);
    room.leave(later, ada, LeaveReason::Client);
    assert_eq!(room.poll_timeout(), Some(later + limits.departure_timeout));
    let ada = enter(&mut room, later, "ada");
    room.handle_timeout(later + limits.departure_timeout);
    assert_eq!(ended(&mut room), None, "she came back");
    room.handle_timeout(start + Duration::from_secs(3600));
    assert_eq!(ended(&mut room), Some(EndReason::TooLong));
    assert!(room.participant(ada).is_some(), "she is still to be told");
}

#[test]
fn row_45_a_permission_that_is_taken_away_ends_what_it_allowed_at_once() {
    let (mut room, now) = room_with(Limits::default());
    let (ada, bob) = (enter(&mut room, now, "ada"), enter(&mut room, now, "bob"));
    let camera = room.publish(ada, TrackSource::Camera, false).unwrap();
    let microphone = room.publish(ada, TrackSource::Microphone, false).unwrap();
    room.announce(camera);
    room.announce(microphone);
    assert_eq!(subscribed(&room, bob), [camera, microphone]);
    events(&mut room);

    let only_microphone =
        Permissions { can_publish_sources: [TrackSource::Microphone].into(), ..Permissions::default() };
    room.set_permissions(ada, only_microphone).unwrap();
    assert_eq!(subscribed(&room, bob), [microphone]);
    assert!(room.track(camera).is_none());
    assert!(
        events(&mut room).iter().any(|e| matches!(e, Event::Unpublished { track, .. } if *track == camera))
    );

    let deaf = Permissions { can_subscribe: false, ..Permissions::default() };
    room.set_permissions(bob, deaf).unwrap();
    assert_eq!(subscribed(&room, bob), []);
    room.set_permissions(bob, Permissions::default()).unwrap();
    assert_eq!(subscribed(&room, bob), [microphone], "and back");

    let hidden = Permissions { hidden: true, ..Permissions::default() };
    room.set_permissions(ada, hidden.clone()).unwrap();
    assert!(!room.participant(ada).unwrap().permissions.hidden, "who was seen is seen");
    let ghost = room.admit(now, Admission { permissions: hidden, ..Admission::of("ghost") }).unwrap();
    let secret = room.publish(ghost, TrackSource::Camera, false).unwrap();
    room.announce(secret);
    assert_eq!(room.want(bob, secret, true), Err(MeetingError::NoTrack));
    assert_eq!(subscribed(&room, bob), [microphone], "who hides is not heard");
}

#[test]
fn row_31_nobody_acts_on_the_tracks_of_another() {
    let (mut room, now) = room_with(Limits::default());
    let (ada, bob) = (enter(&mut room, now, "ada"), enter(&mut room, now, "bob"));
    let camera = room.publish(ada, TrackSource::Camera, false).unwrap();
    assert_eq!(room.set_muted(bob, camera, true), Err(MeetingError::NoTrack));
    assert_eq!(room.want(bob, camera, true), Err(MeetingError::NoTrack), "it is not announced yet");
    room.announce(camera);
    assert_eq!(room.want(ada, camera, true), Err(MeetingError::NoTrack), "nobody receives the own track");
    assert_eq!(room.set_muted(ada, camera, true), Ok(true));
    assert_eq!(room.set_muted(ada, camera, true), Ok(false));
}

#[test]
fn who_is_asked_and_does_not_agree_is_in_no_recording() {
    let (mut room, now) = room_with(Limits::default());
    let came = |room: &mut Room, kind: Kind, identity: &str| {
        let id = room.admit(now, Admission { kind, ..Admission::of(identity) }).unwrap();
        room.set_state(id, State::Active);
        let track = room.publish(id, TrackSource::Microphone, false).unwrap();
        room.announce(track);
        (id, track)
    };
    let (ada, voice) = came(&mut room, Kind::Standard, "ada");
    let (_, telephone) = came(&mut room, Kind::Sip, "by telephone");
    let (_, stream) = came(&mut room, Kind::Ingress, "a stream");
    let permissions = Permissions { recorder: true, ..Permissions::default() };
    let recorder = Admission { kind: Kind::Egress, permissions, ..Admission::of("recorder") };
    let recorder = room.admit(now, recorder).unwrap();
    room.set_state(recorder, State::Active);
    let bob = enter(&mut room, now, "bob");
    assert_eq!(subscribed(&room, recorder), [voice, telephone, stream], "nobody is asked here");
    room.ask_consent();
    assert_eq!(subscribed(&room, recorder), [stream], "nobody was asked yet");
    assert_eq!(subscribed(&room, bob), [voice, telephone, stream], "and others hear them all the same");
    assert_eq!(room.answer_consent(now, ada, true), Ok(true));
    assert_eq!(subscribed(&room, recorder), [voice, stream]);
    assert_eq!(room.answer_consent(now, ada, true), Ok(false), "that is no news");
    assert_eq!(room.answer_consent(now, ada, false), Ok(true));
    assert_eq!(subscribed(&room, recorder), [stream]);
    // Whoever comes anew is asked anew.
    room.answer_consent(now, ada, true).unwrap();
    let (_, voice) = came(&mut room, Kind::Standard, "ada");
    assert_eq!(subscribed(&room, recorder), [stream]);
    assert!(room.track(voice).is_some());
}

#[test]
fn row_41_texts_have_bounds() {
    let (mut room, now) = room_with(Limits { attributes_bytes: 10, metadata_bytes: 10, ..Limits::default() });
    let may = Permissions { can_update_profile: true, ..Permissions::default() };
    let ada = room.admit(now, Admission { permissions: may, ..Admission::of("ada") }).unwrap();
    let attribute = |key: &str, value: &str| ProfileUpdate {
        attributes: [(key.to_owned(), value.to_owned())].into(),
        ..ProfileUpdate::default()
    };
    room.update_profile(ada, attribute("aaaaa", "12345")).unwrap();
    let error = room.update_profile(ada, attribute("b", "1")).unwrap_err();
    assert_eq!(error.to_string(), "attributes has 12 bytes, at most 10 are allowed");
    room.update_profile(ada, attribute("aaaaa", "")).unwrap();
    room.update_profile(ada, attribute("b", "1")).unwrap();
    let metadata = ProfileUpdate { metadata: Some("x".repeat(11)), ..ProfileUpdate::default() };
    assert!(room.update_profile(ada, metadata).is_err());
    let bob = enter(&mut room, now, "bob");
    assert_eq!(room.update_profile(bob, attribute("a", "1")), Err(MeetingError::MayNotUpdateProfile));
}

#[derive(Debug, Clone)]
enum Step {
    Enter(usize, bool, bool),
    Leave(usize),
    Publish(usize),
    Announce(usize),
    Unpublish(usize),
    Want(usize, usize, bool),
    Rules(usize, bool, usize),
    Permit(usize, bool, bool),
    Record(usize, bool),
    Ask,
    Answer(usize, bool),
}

fn step() -> impl Strategy<Value = Step> {
    let n = 0..5_usize;
    prop_oneof![
        3 => (n.clone(), any::<bool>(), prop::bool::weighted(0.2))
            .prop_map(|(who, auto, hidden)| Step::Enter(who, auto, hidden)),
        1 => n.clone().prop_map(Step::Leave),
        3 => n.clone().prop_map(Step::Publish),
        3 => (0..20_usize).prop_map(Step::Announce),
        1 => (0..20_usize).prop_map(Step::Unpublish),
        3 => (n.clone(), 0..20_usize, any::<bool>()).prop_map(|(who, track, wanted)| Step::Want(who, track, wanted)),
        2 => (n.clone(), any::<bool>(), n.clone()).prop_map(|(who, all, whom)| Step::Rules(who, all, whom)),
        2 => (n.clone(), any::<bool>(), any::<bool>())
            .prop_map(|(who, publish, subscribe)| Step::Permit(who, publish, subscribe)),
        2 => (n.clone(), any::<bool>()).prop_map(|(who, recorder)| Step::Record(who, recorder)),
        1 => Just(Step::Ask),
        2 => (n, any::<bool>()).prop_map(|(who, given)| Step::Answer(who, given)),
    ]
}

proptest! {
    #[test]
    fn subscriptions_are_exactly_those_that_are_due_and_the_events_tell_them(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let (mut room, now) = room_with(Limits::default());
        let mut tracks: Vec<TrackId> = Vec::new();
        let mut wishes: std::collections::BTreeMap<(ParticipantId, TrackId), bool> = Default::default();
        let mut rules: std::collections::BTreeMap<ParticipantId, SubscriptionRules> = Default::default();
        let mut told: BTreeSet<(ParticipantId, TrackId)> = BTreeSet::new();
        let mut asks = false;
        let mut answers: std::collections::BTreeMap<ParticipantId, bool> = Default::default();
        let id = |room: &Room, who: usize| room.by_identity(&who.to_string()).map(|p| p.id);
        for step in steps {
            match step {
                Step::Enter(who, auto_subscribe, hidden) => {
                    let permissions = Permissions { hidden, ..Permissions::default() };
                    let admission = Admission { auto_subscribe, permissions, ..Admission::of(&who.to_string()) };
                    let id = room.admit(now, admission).unwrap();
                    room.set_state(id, State::Joined);
                }
                Step::Leave(who) => {
                    if let Some(id) = id(&room, who) {
                        room.leave(now, id, LeaveReason::Client);
                    }
                }
                Step::Publish(who) => {
                    if let Some(id) = id(&room, who) {
                        tracks.extend(room.publish(id, TrackSource::Camera, false));
                    }
                }
                Step::Announce(n) => {
                    if let Some(track) = tracks.get(n) {
                        room.announce(*track);
                    }
                }
                Step::Unpublish(n) => {
                    if let Some(track) = tracks.get(n) {
                        room.unpublish(*track);
                    }
                }
                Step::Want(who, n, wanted) => {
                    if let (Some(id), Some(track)) = (id(&room, who), tracks.get(n))
                        && room.want(id, *track, wanted).is_ok()
                    {
                        wishes.insert((id, *track), wanted);
                    }
                }
                Step::Rules(who, everyone, whom) => {
                    if let Some(id) = id(&room, who) {
                        let rule = TrackRule { all_tracks: true, ..TrackRule::default() };
                        let new = SubscriptionRules { everyone, by_identity: [(whom.to_string(), rule)].into() };
                        room.set_rules(id, new.clone()).unwrap();
                        rules.insert(id, new);
                    }
                }
                Step::Permit(who, can_publish, can_subscribe) => {
                    if let Some(id) = id(&room, who) {
                        let permissions = Permissions { can_publish, can_subscribe, ..Permissions::default() };
                        room.set_permissions(id, permissions).unwrap();
                    }
                }
                Step::Record(who, recorder) => {
                    if let Some(id) = id(&room, who) {
                        room.set_permissions(id, Permissions { recorder, ..Permissions::default() }).unwrap();
                    }
                }
                Step::Ask => {
                    room.ask_consent();
                    asks = true;
                }
                Step::Answer(who, given) => {
                    if let Some(id) = id(&room, who) {
                        let changed = room.answer_consent(now, id, given).unwrap();
                        prop_assert_eq!(changed, answers.insert(id, given) != Some(given));
                    }
                }
            }
            for event in events(&mut room) {
                match event {
                    Event::Subscribed { subscriber, track } => prop_assert!(told.insert((subscriber, track))),
                    Event::Unsubscribed { subscriber, track } => prop_assert!(told.remove(&(subscriber, track))),
                    _ => {}
                }
            }
            let mut due = BTreeSet::new();
            for track in tracks.iter().filter_map(|track| room.track(*track)).filter(|track| track.announced) {
                let publisher = room.participant(track.publisher).unwrap();
                for p in room.participants().filter(|p| p.id != publisher.id && p.permissions.can_subscribe) {
                    let wanted = wishes.get(&(p.id, track.id)).copied().unwrap_or(p.auto_subscribe);
                    let allowed = rules.get(&publisher.id).is_none_or(|rules| rules.allow(&p.identity, track.id));
                    let agreed = !asks || !p.permissions.recorder || answers.get(&publisher.id) == Some(&true);
                    if wanted && allowed && agreed && !publisher.permissions.hidden {
                        due.insert((p.id, track.id));
                    }
                }
            }
            prop_assert_eq!(&told, &due);
            let held: BTreeSet<_> = room.participants().flat_map(|p| p.subscribed().map(|t| (p.id, t))).collect();
            prop_assert_eq!(&held, &due);
        }
    }
}
