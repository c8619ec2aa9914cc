// SPDX-License-Identifier: EUPL-1.2
//! Whole conferences from one seed.

use std::time::Duration;

use parvis_sim::{Conference, LinkModel};

const LOSSY: LinkModel = LinkModel {
    delay: Duration::from_millis(20),
    jitter: Duration::from_millis(15),
    loss: 0.05,
    bursts: None,
    reorder: 0.05,
    duplication: 0.02,
    rate: None,
    queue: Duration::ZERO,
};

/// Three people, one of whom moves and one of whom leaves, over a bad network.
fn run(seed: u64) -> Conference {
    let mut conference = Conference::new(seed, LOSSY);
    let room = conference.open_room();
    let people: Vec<_> = (0..3).map(|_| conference.join(room)).collect();
    conference.run_for(Duration::from_secs(3));
    conference.rebind(people[1]);
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
}

#[test]
fn another_seed_gives_other_bytes() {
    assert_ne!(run(1).trace().0, run(2).trace().0);
}

#[test]
fn everyone_hears_and_sees_everyone_over_a_bad_network() {
    let mut conference = Conference::new(3, LOSSY);
    let room = conference.open_room();
    let people: Vec<_> = (0..4).map(|_| conference.join(room)).collect();
    conference.run_for(Duration::from_secs(8));
    for to in &people {
        for from in people.iter().filter(|from| *from != to) {
            let (heard, seen) = (conference.heard(*to, *from), conference.seen(*to, *from));
            // 8 s of 50 packets, less two lossy hops and the joining.
            assert!(heard > 250, "{to:?} heard {heard} packets of {from:?}");
            assert!(seen > 100, "{to:?} saw {seen} packets of {from:?}");
        }
    }
    assert_eq!(conference.failures(), Vec::<String>::new());
}

#[test]
fn on_a_clean_link_no_sound_is_lost_or_out_of_order() {
    let mut conference = Conference::new(4, LinkModel::default());
    let room = conference.open_room();
    let (ada, bo) = (conference.join(room), conference.join(room));
    conference.run_for(Duration::from_secs(2));
    let before = conference.heard(bo, ada);
    conference.run_for(Duration::from_secs(10));
    let heard = conference.heard(bo, ada) - before;
    assert!((499..=501).contains(&heard), "10 s of 50 packets: {heard}");
    assert_eq!(conference.failures(), Vec::<String>::new());
}

#[test]
fn a_changed_address_goes_on_without_a_new_handshake() {
    let mut conference = Conference::new(5, LinkModel::default());
    let room = conference.open_room();
    let (ada, bo) = (conference.join(room), conference.join(room));
    conference.run_for(Duration::from_secs(3));
    for _ in 0..3 {
        conference.rebind(ada);
        let before = (conference.heard(bo, ada), conference.heard(ada, bo));
        conference.run_for(Duration::from_secs(2));
        assert!(conference.heard(bo, ada) - before.0 > 90, "what the moved client sends arrives");
        assert!(conference.heard(ada, bo) - before.1 > 90, "what it is sent finds it");
    }
    assert_eq!(conference.handshakes(ada), vec![1, 1]);
}

#[test]
fn nothing_of_one_room_reaches_another() {
    let mut conference = Conference::new(6, LOSSY);
    let (one, other) = (conference.open_room(), conference.open_room());
    let people: Vec<_> = [one, other, one, other].into_iter().map(|room| conference.join(room)).collect();
    conference.run_for(Duration::from_secs(4));
    assert!(conference.heard(people[0], people[2]) > 0 && conference.heard(people[1], people[3]) > 0);
    for (to, from) in [(0, 1), (0, 3), (2, 1), (1, 0), (3, 2)] {
        assert_eq!(conference.heard(people[to], people[from]) + conference.seen(people[to], people[from]), 0);
    }
    assert_eq!(conference.failures(), Vec::<String>::new());
}

#[test]
fn after_the_last_has_left_nothing_is_kept() {
    let mut conference = Conference::new(7, LinkModel::default());
    let room = conference.open_room();
    let people: Vec<_> = (0..5).map(|_| conference.join(room)).collect();
    conference.run_for(Duration::from_secs(2));
    assert_eq!((conference.stats().peers, conference.stats().rooms), (10, 1));
    for id in people {
        conference.leave(id);
        conference.run_for(Duration::from_millis(100));
    }
    assert_eq!((conference.stats().peers, conference.stats().rooms), (0, 0));
}

#[test]
fn a_track_that_its_section_no_longer_carries_has_ended() {
    let mut conference = Conference::new(8, LinkModel::default());
    let room = conference.open_room();
    let (ada, bo) = (conference.join(room), conference.join(room));
    conference.run_for(Duration::from_secs(2));
    assert_eq!(conference.ended(ada), Some([false, false]));
    conference.stop_pictures(ada);
    conference.run_for(Duration::from_millis(200));
    assert_eq!(conference.ended(ada), Some([false, true]));
    let (heard, seen) = (conference.heard(bo, ada), conference.seen(bo, ada));
    conference.run_for(Duration::from_secs(1));
    assert!(conference.heard(bo, ada) > heard + 40, "the sound goes on");
    assert_eq!(conference.seen(bo, ada), seen, "the pictures don't");
    assert_eq!(conference.failures(), Vec::<String>::new());
}
