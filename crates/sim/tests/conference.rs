// SPDX-License-Identifier: EUPL-1.2
//! Whole conferences from one seed, signalling and all.

use std::time::Duration;

use parvis_signal::Form;
use parvis_sim::{ClientId, Conference, Dtls, LinkModel, Pictures, Profile, Right, ServerModel, Sound};

const CLEAN: LinkModel = LinkModel {
    delay: Duration::from_millis(10),
    jitter: Duration::ZERO,
    loss: 0.0,
    bursts: None,
    reorder: 0.0,
    duplication: 0.0,
    rate: None,
    queue: Duration::ZERO,
};
const LOSSY: LinkModel = LinkModel {
    delay: Duration::from_millis(20),
    jitter: Duration::from_millis(15),
    loss: 0.05,
    reorder: 0.05,
    duplication: 0.02,
    ..CLEAN
};
const NOTHING: [&str; 0] = [];

/// One of each form, in turn.
fn people(conference: &mut Conference, count: usize, line: LinkModel) -> Vec<ClientId> {
    let room = conference.open_room();
    let forms = [Form::Dual, Form::Single].into_iter().cycle().take(count);
    forms.map(|form| conference.join(room, Profile::of(form), [line; 2])).collect()
}

/// Three people over a bad network: one moves, one loses its socket, one leaves.
fn run(seed: u64) -> Conference {
    let mut conference = Conference::new(seed);
    let people = people(&mut conference, 3, LOSSY);
    conference.run_for(Duration::from_secs(3));
    conference.rebind(people[1]);
    conference.drop_socket(people[0], Duration::from_secs(1));
    conference.run_for(Duration::from_secs(2));
    conference.leave(people[2]);
    conference.run_for(Duration::from_secs(1));
    conference
}

#[test]
fn the_same_seed_gives_the_same_bytes_at_the_same_times() {
    let (one, again) = (run(42), run(42));
    assert!(one.trace().1 > 1000, "something was sent: {:?}", one.trace());
    assert_eq!(one.trace(), again.trace());
    assert_ne!(one.trace().0, run(43).trace().0);
}

#[test]
fn both_forms_hear_see_and_write_to_each_other_and_leave_nothing_behind() {
    let mut conference = Conference::new(1);
    let people = people(&mut conference, 4, CLEAN);
    let got = |conference: &Conference| {
        let pairs = people.iter().flat_map(|to| people.iter().map(move |from| (*to, *from)));
        let pairs = pairs.filter(|(to, from)| to != from);
        pairs.map(|(to, from)| (to, from, conference.got(to, from))).collect::<Vec<_>>()
    };
    // The estimates begin low, and three cameras share them: the first trials of the lines prove enough for all of them, though
    // the pictures' beginning fills these lines at the same time.
    conference.run_for(Duration::from_secs(4));
    let before = got(&conference);
    conference.run_for(Duration::from_secs(4));
    for ((to, from, now), (_, _, before)) in got(&conference).into_iter().zip(before) {
        let (sounds, pictures, messages) = (now.0 - before.0, now.1 - before.1, now.2 - before.2);
        assert!(before.0 > 150 && before.1 > 60, "{to:?} of {from:?} at first: {before:?}");
        // Of 200, 120 and 15: of sound nothing is lost.
        assert!(
            (199..=201).contains(&sounds) && pictures > 115 && messages > 12,
            "{to:?} of {from:?}: {sounds} {pictures} {messages}"
        );
    }
    assert!(conference.held() > 0);
    conference.finish();
    assert_eq!(conference.failures(), NOTHING);
    assert_eq!(conference.held(), 0);
}

#[test]
fn a_bad_network_costs_no_more_than_its_bound() {
    for seed in 1..=5 {
        let mut conference = Conference::new(seed);
        let people = people(&mut conference, 4, LOSSY);
        conference.run_for(Duration::from_secs(20));
        let (sounds, pictures, _) = conference.got(people[0], people[1]);
        assert!(sounds > 700 && pictures > 200, "seed {seed}: {sounds} {pictures}");
        conference.finish();
        assert_eq!(conference.failures(), NOTHING, "seed {seed}");
    }
}

#[test]
fn a_changed_address_goes_on_without_a_new_handshake() {
    let mut conference = Conference::new(5);
    let people = people(&mut conference, 2, CLEAN);
    conference.run_for(Duration::from_secs(3));
    for _ in 0..3 {
        conference.rebind(people[0]);
        let before = (conference.got(people[1], people[0]).0, conference.got(people[0], people[1]).0);
        conference.run_for(Duration::from_secs(2));
        assert!(
            conference.got(people[1], people[0]).0 - before.0 > 90,
            "what the moved client sends arrives"
        );
        assert!(conference.got(people[0], people[1]).0 - before.1 > 90, "what it is sent finds it");
    }
    assert_eq!(conference.handshakes(people[0]), vec![1, 1]);
    assert_eq!(conference.handshakes(people[1]), vec![1]);
}

#[test]
fn nothing_of_one_room_reaches_another_nor_anyone_without_the_right_to_it() {
    let mut conference = Conference::new(6);
    let rooms = [conference.open_room(), conference.open_room()];
    let usual = Profile::of(Form::Dual);
    let mut join = |room: usize, profile| conference.join(rooms[room], profile, [CLEAN; 2]);
    let (ada, bo) = (join(0, usual), join(0, Profile::of(Form::Single)));
    let other = join(1, usual);
    let mute = join(0, Profile { may_publish: false, ..usual });
    let deaf = join(0, Profile { may_subscribe: false, ..Profile::of(Form::Single) });
    let silent = join(0, Profile { may_send_data: false, ..usual });
    let hidden = join(0, Profile { hidden: true, may_publish: false, ..usual });
    conference.run_for(Duration::from_secs(5));
    assert!(conference.got(bo, ada).0 > 100 && conference.got(hidden, ada).0 > 100);
    assert_eq!(conference.got(other, ada), (0, 0, 0));
    assert_eq!((conference.got(ada, mute).0, conference.got(deaf, ada).0), (0, 0));
    assert_eq!(conference.got(ada, silent).2, 0);
    assert!(conference.got(ada, deaf).0 > 100, "one who may not receive sends all the same");
    conference.finish();
    assert_eq!(conference.failures(), NOTHING);
}

#[test]
fn a_right_that_is_taken_away_ends_what_it_allowed_and_one_that_is_given_back_begins_it() {
    let mut conference = Conference::new(7);
    let people = people(&mut conference, 4, CLEAN);
    let [ada, bo, cy, di] = people[..] else { panic!("four people") };
    conference.run_for(Duration::from_secs(4));
    conference.permit(ada, Right::Publish, false);
    conference.permit(bo, Right::Subscribe, false);
    conference.permit(cy, Right::SendData, false);
    conference.run_for(Duration::from_millis(100));
    let since = |conference: &mut Conference, seconds| {
        let pairs = || people.iter().flat_map(|to| people.iter().map(move |from| (*to, *from)));
        let got = |conference: &Conference| pairs().map(|(to, from)| conference.got(to, from)).collect();
        let before: Vec<_> = got(conference);
        conference.run_for(Duration::from_secs(seconds));
        let now: Vec<_> = got(conference);
        let gained = pairs().zip(now.into_iter().zip(before));
        gained
            .map(|(pair, (now, before))| (pair, [now.0 - before.0, now.1 - before.1, now.2 - before.2]))
            .collect()
    };
    let gained: Vec<((ClientId, ClientId), [u64; 3])> = since(&mut conference, 4);
    for ((to, from), [sounds, pictures, messages]) in gained.into_iter().filter(|((to, from), _)| to != from)
    {
        let (media, words) = (from != ada && to != bo, from != cy);
        assert_eq!((sounds > 190, pictures > 100), (media, media), "{to:?} of {from:?}: {sounds} {pictures}");
        assert_eq!(sounds + pictures == 0, !media, "{to:?} of {from:?}: {sounds} {pictures}");
        assert_eq!((messages > 12, messages == 0), (words, !words), "{to:?} of {from:?}: {messages}");
    }
    conference.permit(bo, Right::Subscribe, true);
    conference.permit(cy, Right::SendData, true);
    conference.run_for(Duration::from_secs(3));
    let gained: Vec<((ClientId, ClientId), [u64; 3])> = since(&mut conference, 4);
    let of = |pair| gained.iter().find(|(known, _)| *known == pair).map(|(_, gained)| *gained);
    for from in [cy, di] {
        let [sounds, pictures, messages] = of((bo, from)).expect("a pair");
        assert!(sounds > 190 && pictures > 100 && messages > 12, "{from:?}: {sounds} {pictures} {messages}");
    }
    assert_eq!(of((bo, ada)).map(|[sounds, pictures, _]| sounds + pictures), Some(0));
    conference.finish();
    assert_eq!(conference.failures(), NOTHING);
    assert_eq!(conference.held(), 0);
}

#[test]
fn a_node_that_is_frozen_for_a_while_goes_on_without_handshakes_or_lost_messages() {
    let model = ServerModel { forwarders: 2, peers_per_part: 3, ..ServerModel::default() };
    for (seed, model) in [(14, ServerModel::default()), (15, model)] {
        let mut conference = Conference::on(seed, model);
        let people = people(&mut conference, 4, CLEAN);
        conference.run_for(Duration::from_secs(4));
        let pairs = || people.iter().flat_map(|to| people.iter().map(move |from| (*to, *from)));
        let pairs = || pairs().filter(|(to, from)| to != from);
        let words = |conference: &Conference| -> Vec<u32> {
            pairs().map(|(to, from)| conference.last_message(to, from)).collect()
        };
        let handshakes = |conference: &Conference| -> Vec<Vec<u32>> {
            people.iter().map(|id| conference.handshakes(*id)).collect()
        };
        let (said, made, sent) = (words(&conference), handshakes(&conference), conference.trace().1);
        conference.freeze_server(Duration::from_millis(1500));
        conference.run_for(Duration::from_millis(1400));
        assert_eq!(conference.trace().1, sent, "it sends nothing meanwhile");
        conference.run_for(Duration::from_millis(2100));
        let before: Vec<_> = pairs().map(|(to, from)| conference.got(to, from)).collect();
        conference.run_for(Duration::from_secs(4));
        for ((to, from), before) in pairs().zip(before) {
            let now = conference.got(to, from);
            let (sounds, pictures) = (now.0 - before.0, now.1 - before.1);
            assert!(
                (199..=201).contains(&sounds) && pictures > 100,
                "{to:?} of {from:?}: {sounds} {pictures}"
            );
        }
        // Two a second, in seven and a half.
        assert!(
            words(&conference).iter().zip(&said).all(|(now, said)| now - said >= 14),
            "no message is lost"
        );
        assert_eq!(handshakes(&conference), made);
        conference.finish();
        assert_eq!(conference.failures(), NOTHING, "seed {seed}");
        assert_eq!(conference.held(), 0);
    }
}

#[test]
fn a_lost_socket_is_taken_up_again_without_a_gap_or_a_lost_message() {
    let mut conference = Conference::new(8);
    let people = people(&mut conference, 2, CLEAN);
    conference.run_for(Duration::from_secs(3));
    for who in people.iter().copied() {
        let other = if who == people[0] { people[1] } else { people[0] };
        let before = conference.got(who, other).0;
        conference.drop_socket(who, Duration::from_secs(4));
        conference.run_for(Duration::from_secs(8));
        assert!(conference.got(who, other).0 - before > 390, "media goes on without a socket");
    }
    conference.finish();
    assert_eq!(conference.failures(), NOTHING);
}

#[test]
fn a_track_that_its_section_no_longer_carries_has_ended() {
    let mut conference = Conference::new(8);
    let people = people(&mut conference, 4, CLEAN);
    conference.run_for(Duration::from_secs(4));
    let (stop, others) = people.split_at(2);
    let count = |conference: &Conference| {
        let pairs = others.iter().flat_map(|to| stop.iter().map(move |from| (*to, *from)));
        pairs.map(|(to, from)| (conference.tracks(to, from), conference.got(to, from))).collect::<Vec<_>>()
    };
    assert!(count(&conference).iter().all(|(tracks, got)| *tracks == 2 && got.1 > 20));
    for who in stop {
        conference.stop_pictures(*who);
    }
    conference.run_for(Duration::from_millis(200));
    let before = count(&conference);
    conference.run_for(Duration::from_secs(2));
    for ((tracks, now), (_, before)) in count(&conference).into_iter().zip(before) {
        assert_eq!(tracks, 1, "the others are told");
        assert!(now.0 - before.0 > 95, "the sound goes on");
        assert_eq!(now.1, before.1, "the pictures don't");
    }
    conference.finish();
    assert_eq!(conference.failures(), NOTHING);
    assert_eq!(conference.held(), 0);
}

#[test]
fn a_room_over_three_forwarders_is_one_room_and_no_trunk_leads_on() {
    // Nine peer connections, three on each.
    let model = ServerModel { forwarders: 3, peers_per_part: 3, ..ServerModel::default() };
    let mut conference = Conference::on(11, model);
    let people = people(&mut conference, 6, CLEAN);
    conference.run_for(Duration::from_secs(12));
    let pairs = || people.iter().flat_map(|to| people.iter().map(move |from| (*to, *from)));
    let got = |conference: &Conference| {
        let pairs = pairs().filter(|(to, from)| to != from);
        pairs.map(|(to, from)| (to, from, conference.got(to, from))).collect::<Vec<_>>()
    };
    let before = got(&conference);
    conference.run_for(Duration::from_secs(4));
    for ((to, from, now), (_, _, before)) in got(&conference).into_iter().zip(before) {
        let (sounds, pictures, messages) = (now.0 - before.0, now.1 - before.1, now.2 - before.2);
        assert!(
            (199..=201).contains(&sounds) && pictures > 55 && messages > 12,
            "{to:?} of {from:?}: {sounds} {pictures} {messages}"
        );
    }
    let parts = conference.stats().filter(|stats| stats.peers == 3 && stats.trunk_packets_in > 1000);
    assert_eq!(parts.count(), 3, "each part has what is published on the others");
    assert!(conference.checks().trunks > 10_000, "{:?}", conference.checks());
    conference.finish();
    assert_eq!(conference.failures(), NOTHING);
    assert_eq!(conference.held(), 0);
}

#[test]
fn real_dtls_carries_a_conference_too() {
    let mut conference = Conference::with(9, Dtls::Real);
    let people = people(&mut conference, 2, CLEAN);
    conference.run_for(Duration::from_secs(4));
    assert!(conference.got(people[0], people[1]).0 > 100 && conference.got(people[1], people[0]).1 > 60);
    conference.finish();
    assert_eq!(conference.failures(), NOTHING);
}

/// Two people who send each kind of sound, the second of them with a camera that sends all its sizes in one stream.
fn of_every_kind(conference: &mut Conference, line: LinkModel) -> Vec<(ClientId, Sound)> {
    let room = conference.open_room();
    let mut people = Vec::new();
    for sound in [Sound::Steady, Sound::Discontinuous, Sound::Redundant] {
        for (form, pictures) in [(Form::Dual, Pictures::Streams), (Form::Single, Pictures::Layers)] {
            let camera = sound != Sound::Redundant;
            let profile = Profile { sound, pictures, camera, ..Profile::of(form) };
            people.push((conference.join(room, profile, [line; 2]), sound));
        }
    }
    people
}

#[test]
fn every_kind_of_sound_and_pictures_reaches_everyone() {
    let mut conference = Conference::new(12);
    let people = of_every_kind(&mut conference, CLEAN);
    conference.run_for(Duration::from_secs(12));
    let pairs = || people.iter().flat_map(|(to, _)| people.iter().map(move |from| (*to, *from)));
    let pairs = || pairs().filter(|(to, (from, _))| to != from);
    let before: Vec<_> = pairs().map(|(to, (from, _))| conference.got(to, from)).collect();
    conference.run_for(Duration::from_secs(4));
    for ((to, (from, sound)), before) in pairs().zip(before) {
        let now = conference.got(to, from);
        let (sounds, pictures) = (now.0 - before.0, now.1 - before.1);
        // Half of the time speaks, and the other half has five packets in two seconds.
        let expected = if sound == Sound::Discontinuous { 103..=107 } else { 199..=201 };
        assert!(expected.contains(&sounds), "{to:?} of {from:?}, {sound:?}: {sounds}");
        assert_eq!(pictures > 55, sound != Sound::Redundant, "{to:?} of {from:?}: {pictures}");
    }
    conference.finish();
    assert_eq!(conference.failures(), NOTHING);
    assert_eq!(conference.held(), 0);
}

#[test]
fn redundant_sound_survives_what_a_bad_network_loses() {
    let mut conference = Conference::new(13);
    let people = of_every_kind(&mut conference, LinkModel { reorder: 0.0, ..LOSSY });
    conference.run_for(Duration::from_secs(8));
    let heard = |conference: &Conference, from: usize| conference.got(people[5].0, people[from].0).0;
    let before = [0, 4].map(|from| heard(&conference, from));
    conference.run_for(Duration::from_secs(20));
    let after = [0, 4].map(|from| heard(&conference, from));
    // Two lines lose a tenth together. Of what one sends twice a hundredth is lost on each, and the receiver takes it twice, too.
    let [steady, redundant] = [after[0] - before[0], after[1] - before[1]];
    assert!(steady < 980 && redundant > 985, "{steady} and {redundant} of 1000");
    conference.finish();
    assert_eq!(conference.failures(), NOTHING);
}

/// Three on lines that jitter, in a room whose pictures are to be held so long at least.
fn held(least: u64, most: u64) -> (Conference, Vec<ClientId>) {
    let playout_delay = (Duration::from_millis(least), Duration::from_millis(most));
    let mut conference = Conference::on(77, ServerModel { playout_delay, ..ServerModel::default() });
    let line = LinkModel { jitter: Duration::from_millis(60), ..CLEAN };
    let people = people(&mut conference, 3, line);
    conference.run_for(Duration::from_secs(10));
    (conference, people)
}

#[test]
fn a_rooms_playout_delay_is_in_each_packet_of_pictures_and_no_other_rooms_is_held() {
    let (mut conference, all) = held(300, 1_000);
    for to in &all {
        let told = conference.told_delays(*to);
        assert_eq!(told, [Some((Duration::from_millis(300), Duration::from_millis(1_000)))], "{to:?}");
        for from in all.iter().filter(|from| *from != to) {
            let (shown, _) = conference.shown(*to, *from);
            assert!(shown > 60, "{shown} pictures of {from:?} were shown to {to:?}");
        }
    }
    conference.finish();
    assert_eq!(conference.failures(), NOTHING);

    // Where nothing is said of it and nothing is lost, nothing is held.
    let (mut conference, all) = held(0, 0);
    for to in &all {
        assert_eq!(conference.told_delays(*to), [None], "{to:?}");
    }
    conference.finish();
    assert_eq!(conference.failures(), NOTHING);
}
