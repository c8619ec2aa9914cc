// SPDX-License-Identifier: EUPL-1.2
//! Whoever harms others costs them nothing: each test holds the bounds on gaps of a clean line over everyone else.

use std::time::Duration;

use parvis_signal::Form;
use parvis_sim::{Attack, ClientId, Conference, LinkModel, Profile};

const NOTHING: [&str; 0] = [];

/// What each of four got of each other, in this order, in eight seconds.
type Flow = Vec<(ClientId, ClientId, [u64; 3])>;

/// Four people on clean lines and one more, with whom `turn` does what it likes after three seconds.
fn run(seed: u64, turn: &impl Fn(&mut Conference, ClientId)) -> (Conference, Flow) {
    let mut conference = Conference::new(seed);
    let room = conference.open_room();
    let line = [LinkModel::default(); 2];
    let forms = [Form::Dual, Form::Single, Form::Dual, Form::Single];
    let people = forms.map(|form| conference.join(room, Profile::of(form), line));
    let attacker = conference.join(room, Profile::of(Form::Dual), line);
    conference.run_for(Duration::from_secs(3));
    let pairs =
        || people.into_iter().flat_map(|to| people.map(|from| (to, from))).filter(|(to, from)| to != from);
    let before: Vec<_> = pairs().map(|(to, from)| conference.got(to, from)).collect();
    turn(&mut conference, attacker);
    conference.run_for(Duration::from_secs(8));
    let flow = pairs().zip(before).map(|((to, from), before)| {
        let got = conference.got(to, from);
        (to, from, [got.0 - before.0, got.1 - before.1, got.2 - before.2])
    });
    let flow = flow.collect();
    (conference, flow)
}

/// Holds a run with an attack against the same one without: of sound and messages nothing is missing, and of pictures,
/// which follow an estimate, a tenth at most.
fn attacked(seed: u64, turn: impl Fn(&mut Conference, ClientId)) -> Conference {
    let (_, peaceful) = run(seed, &|_, _| ());
    let (mut conference, flow) = run(seed, &turn);
    for ((to, from, [sounds, pictures, messages]), (_, _, usual)) in flow.into_iter().zip(peaceful) {
        assert!(
            usual[0] > 390 && usual[1] > 50 && usual[2] > 28,
            "{to:?} usually gets {usual:?} of {from:?}"
        );
        assert!(
            sounds + 5 >= usual[0] && pictures * 10 >= usual[1] * 9 && messages + 2 >= usual[2],
            "{to:?} of {from:?}: {sounds} {pictures} {messages}, {usual:?} without the attack"
        );
    }
    let checks = conference.checks();
    assert!(checks.sounds > 300 && checks.pictures > 100, "the gaps were looked at: {checks:?}");
    conference.finish();
    assert_eq!(conference.failures(), NOTHING);
    assert_eq!(conference.held(), 0);
    conference
}

#[test]
fn one_who_stops_reading_costs_the_others_nothing() {
    attacked(21, |conference, id| conference.attack(id, Attack::StopsReading));
}

#[test]
fn one_who_claims_a_line_without_end_costs_the_others_nothing() {
    attacked(22, |conference, id| {
        let narrow = LinkModel { rate: Some(500_000), ..LinkModel::default() };
        conference.change_link(id, [LinkModel::default(), narrow]);
        conference.attack(id, Attack::ClaimsAll);
    });
}

#[test]
fn one_who_never_acknowledges_costs_the_others_nothing() {
    attacked(23, |conference, id| conference.attack(id, Attack::NeverAcknowledges));
}

#[test]
fn a_thousand_requests_for_key_frames_a_second_cost_the_others_nothing() {
    attacked(24, |conference, id| conference.attack(id, Attack::AsksForKeyFrames));
}

#[test]
fn a_thousand_requests_for_packets_a_second_cost_the_others_nothing() {
    attacked(25, |conference, id| conference.attack(id, Attack::AsksForPackets));
}

#[test]
fn flipped_bits_cost_the_others_nothing() {
    attacked(26, |conference, id| conference.attack(id, Attack::Mutates));
}

#[test]
fn streams_that_nobody_announced_cost_the_others_nothing() {
    let conference = attacked(30, |conference, id| conference.attack(id, Attack::InventsStreams));
    // Of 1,600 three in four belong to no section; SRTP keeps state for 1,024 streams, and takes no packet of a further one.
    let unknown: u64 = conference.stats().map(|stats| stats.media.dropped_unknown_stream).sum();
    assert!((500..800).contains(&unknown), "{unknown}");
}

#[test]
fn one_who_sends_under_anothers_ssrcs_costs_the_others_nothing() {
    let turn = |conference: &mut Conference, id| conference.attack(id, Attack::TakesSsrcs);
    attacked(31, turn);
    let (peaceful, taken) = (run(31, &|_, _| ()).0, run(31, &turn).0);
    assert_ne!(peaceful.trace().0, taken.trace().0, "the server's feedback is on other SSRCs");
}

#[test]
fn a_flood_of_messages_costs_the_others_nothing() {
    let turn = |conference: &mut Conference, id| conference.attack(id, Attack::FloodsData);
    attacked(32, turn);
    let [peaceful, flooded] = [run(32, &|_, _| ()).0, run(32, &turn).0]
        .map(|conference| conference.stats().map(|stats| stats.datagrams_in).sum::<u64>());
    assert!(flooded > peaceful + 10_000, "{flooded} datagrams instead of {peaceful}");
}

/// A reader of a megabit and a flood of thirteen: what it can't take waits with who sends it.
#[test]
fn a_slow_reader_has_who_floods_it_wait_and_costs_the_others_nothing() {
    let mut conference = Conference::new(33);
    let room = conference.open_room();
    let line = [LinkModel::default(); 2];
    let forms = [Form::Dual, Form::Single];
    let people = forms.map(|form| conference.join(room, Profile::of(form), line));
    let writer = conference.join(room, Profile { camera: false, ..Profile::of(Form::Dual) }, line);
    let slow = LinkModel { rate: Some(1_000_000), ..LinkModel::default() };
    let reader = conference.join(room, Profile::of(Form::Single), [LinkModel::default(), slow]);
    conference.run_for(Duration::from_secs(4));
    let got =
        |conference: &Conference| [(0, 1), (1, 0)].map(|(to, from)| conference.got(people[to], people[from]));
    let before = got(&conference);
    conference.attack(writer, Attack::FloodsData);
    conference.run_for(Duration::from_secs(20));
    for (now, before) in got(&conference).into_iter().zip(before) {
        let (sounds, pictures, messages) = (now.0 - before.0, now.1 - before.1, now.2 - before.2);
        assert!(sounds > 990 && pictures > 500 && messages > 76, "{sounds} {pictures} {messages}");
    }
    let [fast, slow] = [people[0], reader].map(|to| conference.last_message(to, writer));
    // 800 a second were 16,000: of these a mailbox holds 2,048, and all wait for who has it half full.
    assert!(
        fast < 8000 && slow > 300 && slow < fast && fast < slow + 3000,
        "{fast}, and {slow} by the slow one"
    );
    conference.leave(writer);
    conference.run_for(Duration::from_secs(36));
    // Two a second for a minute: in the end each has all of them.
    let said = [(people[0], people[1]), (people[1], people[0]), (reader, people[0])];
    let said = said.map(|(to, from)| conference.last_message(to, from));
    assert!(said.iter().all(|last| (112..=120).contains(last)), "{said:?}");
    conference.finish();
    assert_eq!(conference.failures(), NOTHING);
    assert_eq!(conference.held(), 0);
}

#[test]
fn garbage_costs_the_others_nothing() {
    attacked(27, |conference, id| conference.send_garbage(id, 5000));
}

#[test]
fn one_who_publishes_a_hundred_times_its_share_costs_the_others_nothing() {
    attacked(28, |conference, id| conference.be_greedy(id, 100));
}

#[test]
fn fifty_who_join_in_a_quarter_of_a_second_all_hear_each_other() {
    let mut conference = Conference::new(29);
    let room = conference.open_room();
    let mut people = Vec::new();
    for place in 0..50 {
        let form = if place % 2 == 0 { Form::Dual } else { Form::Single };
        let profile = Profile { camera: false, ..Profile::of(form) };
        let id = conference.join(room, profile, [LinkModel::default(); 2]);
        if place >= 5 {
            conference.mute(id, true);
        }
        people.push(id);
        conference.run_for(Duration::from_millis(5));
    }
    conference.run_for(Duration::from_secs(4));
    for to in &people {
        for from in people.iter().take(5).filter(|from| *from != to) {
            assert!(
                conference.got(*to, *from).0 > 50,
                "{to:?} of {from:?}: {:?}",
                conference.got(*to, *from)
            );
        }
    }
    conference.finish();
    assert_eq!(conference.failures(), NOTHING);
    assert_eq!(conference.held(), 0);
}
