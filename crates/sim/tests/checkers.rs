// SPDX-License-Identifier: EUPL-1.2
//! Every checker can fail: each test plants what must not be, and sees it named.

use std::time::Duration;

use parvis_signal::Form;
use parvis_sim::{ClientId, Conference, Fault, LinkModel, Profile, Right, ServerModel};

const NOTHING: [&str; 0] = [];

fn meter(act: &mut dyn FnMut()) -> i64 {
    allocation_counter::measure(act).bytes_current
}

/// Two people in one room and one in another, all on clean lines, after four seconds without a failure.
fn meeting(model: ServerModel) -> (Conference, [ClientId; 3]) {
    let mut conference = Conference::on(51, model);
    conference.measure(meter);
    let rooms = [conference.open_room(), conference.open_room()];
    let line = [LinkModel::default(); 2];
    let people = [(0, Form::Dual), (0, Form::Single), (1, Form::Dual)];
    let people = people.map(|(room, form)| conference.join(rooms[room], Profile::of(form), line));
    conference.run_for(Duration::from_secs(4));
    assert_eq!(conference.failures(), NOTHING);
    (conference, people)
}

/// What is found within `time` after this is planted, and when everyone has gone.
fn found(conference: &mut Conference, fault: Fault, time: Duration) -> Vec<String> {
    conference.plant(fault);
    conference.run_for(time);
    conference.failures().to_vec()
}

fn has(failures: &[String], what: &str) -> bool {
    failures.iter().any(|failure| failure.contains(what))
}

const SOON: Duration = Duration::from_millis(500);

#[test]
fn what_strays_into_another_room_is_found() {
    let (mut conference, [ada, _, other]) = meeting(ServerModel::default());
    let failures = found(&mut conference, Fault::Strays { from: other, to: ada }, SOON);
    assert!(has(&failures, "c1 of RoomId(1) got something of c3 of RoomId(2)"), "{failures:?}");
}

#[test]
fn media_and_messages_without_the_right_to_them_are_found() {
    let rights = [
        (Right::Publish, "c2 got media of c1 without the right to it"),
        (Right::Subscribe, "c1 got media of c2 without the right to it"),
        (Right::SendData, "c2 got messages of c1, who may send none"),
    ];
    for (right, what) in rights {
        let (mut conference, [ada, ..]) = meeting(ServerModel::default());
        let failures = found(&mut conference, Fault::Unpermitted(ada, right), Duration::from_secs(1));
        assert!(has(&failures, what), "{right:?}: {failures:?}");
    }
}

#[test]
fn a_name_of_another_room_and_one_of_nobody_are_found() {
    for name in ["c3", "c4", "somebody"] {
        let (mut conference, [ada, ..]) = meeting(ServerModel::default());
        let failures = found(&mut conference, Fault::Told(ada, name.to_owned()), SOON);
        assert!(has(&failures, &format!("c1 is told of {name}")), "{failures:?}");
    }
}

#[test]
fn a_track_that_leaves_by_a_trunk_from_where_it_is_not_published_is_found() {
    let model = ServerModel { forwarders: 2, peers_per_part: 1, ..ServerModel::default() };
    let (mut conference, _) = meeting(model);
    let failures = found(&mut conference, Fault::Rehomes, SOON);
    assert!(has(&failures, "goes from ForwarderId"), "{failures:?}");
}

#[test]
fn sound_that_is_missing_for_a_fifth_of_a_second_between_two_looks_is_found() {
    let (mut conference, [ada, ..]) = meeting(ServerModel::default());
    // It is looked every 250 ms from the beginning on.
    conference.run_for(Duration::from_millis(10));
    let failures = found(&mut conference, Fault::Withholds(ada, Duration::from_millis(40)), SOON);
    assert_eq!(failures, NOTHING, "two packets are within the bound");
    let failures = found(&mut conference, Fault::Withholds(ada, Duration::from_millis(200)), SOON);
    assert!(has(&failures, "c1 has not heard c2 for 2"), "{failures:?}");
    assert!(
        !has(&failures, "no picture"),
        "a fifth of a second is within the bound of pictures: {failures:?}"
    );
}

#[test]
fn pictures_that_are_missing_are_found() {
    let (mut conference, [ada, ..]) = meeting(ServerModel::default());
    let failures = found(&mut conference, Fault::Withholds(ada, Duration::from_millis(600)), SOON * 2);
    assert!(has(&failures, "c1 has decoded no picture of c2 for"), "{failures:?}");
}

#[test]
fn pictures_that_are_not_sent_for_long_over_a_line_with_room_are_found() {
    let (mut conference, [ada, ..]) = meeting(ServerModel::default());
    let failures = found(&mut conference, Fault::Pauses(ada), Duration::from_secs(3));
    assert_eq!(failures, NOTHING, "an estimate may take so long");
    conference.run_for(Duration::from_secs(2));
    assert!(has(conference.failures(), "c1 is sent no picture of c2 for"), "{:?}", conference.failures());
}

#[test]
fn entries_above_their_bound_and_those_that_are_left_are_found() {
    let (mut conference, _) = meeting(ServerModel::default());
    let failures = found(&mut conference, Fault::Leaks(1), SOON);
    assert_eq!(failures, NOTHING, "one too many is within the bound of all who may be there");
    conference.finish();
    assert!(
        has(conference.failures(), "entries are left after everyone has gone"),
        "{:?}",
        conference.failures()
    );
    let (mut conference, _) = meeting(ServerModel::default());
    let failures = found(&mut conference, Fault::Leaks(200), SOON);
    assert!(has(&failures, "the server's tables hold"), "{failures:?}");
}

#[test]
fn bytes_above_their_bound_and_those_that_are_left_are_found() {
    let (mut conference, _) = meeting(ServerModel::default());
    let failures = found(&mut conference, Fault::Hoards(2 * 1024 * 1024), SOON);
    assert_eq!(failures, NOTHING, "that much is within the bound");
    conference.finish();
    assert!(
        has(conference.failures(), "bytes are left after everyone has gone"),
        "{:?}",
        conference.failures()
    );
    let (mut conference, _) = meeting(ServerModel::default());
    let failures = found(&mut conference, Fault::Hoards(60 * 1024 * 1024), SOON);
    assert!(has(&failures, "are their bound") && has(&failures, "the server holds"), "{failures:?}");
}
