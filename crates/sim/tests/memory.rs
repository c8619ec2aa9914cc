// SPDX-License-Identifier: EUPL-1.2
//! What the server holds in bytes, counted by the allocator.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use parvis_signal::Form;
use parvis_sim::{Attack, Conference, LinkModel, Profile};

const NOTHING: [&str; 0] = [];
/// With what the limit on peer connections reckons for each, see `parvis_sfu::ForwarderConfig::max_peers`, and with what is kept of
/// a quarter of a minute's messages of thirty people.
const PEER: i64 = 300 * 1024;
const WRITING_PEER: i64 = 350 * 1024;

fn meter(act: &mut dyn FnMut()) -> i64 {
    allocation_counter::measure(act).bytes_current
}

/// Thirty people of whom four are heard and two are seen.
fn meeting(seed: u64, may_send_data: bool) -> Conference {
    let mut conference = Conference::new(seed);
    conference.measure(meter);
    let room = conference.open_room();
    for place in 0..30 {
        let form = if place % 2 == 0 { Form::Dual } else { Form::Single };
        let profile = Profile { camera: place < 2, may_send_data, ..Profile::of(form) };
        let id = conference.join(room, profile, [LinkModel::default(); 2]);
        conference.mute(id, place >= 4);
    }
    conference
}

/// What each peer connection of the meeting costs, in bytes, with its share of the room.
fn each(may_send_data: bool) -> i64 {
    let mut conference = meeting(1, may_send_data);
    conference.run_for(Duration::from_secs(15));
    let peers: u64 = conference.stats().map(|stats| stats.peers).sum();
    assert_eq!(peers, 45);
    let each = conference.bytes().unwrap() / peers as i64;
    conference.finish();
    assert_eq!(conference.failures(), NOTHING);
    each
}

#[test]
fn a_peer_connection_costs_no_more_than_their_limit_reckons_with() {
    let (silent, writing) = (each(false), each(true));
    assert!((20 * 1024..PEER).contains(&silent), "{silent} bytes");
    assert!((silent..WRITING_PEER).contains(&writing), "{writing} bytes");
}

#[test]
fn what_an_attack_costs_is_bounded_and_given_back() {
    for attack in Attack::ALL {
        let mut conference = meeting(2, true);
        let room = conference.open_room();
        let attacker = conference.join(room, Profile::of(Form::Dual), [LinkModel::default(); 2]);
        conference.join(room, Profile::of(Form::Single), [LinkModel::default(); 2]);
        conference.run_for(Duration::from_secs(4));
        let before = conference.bytes().unwrap();
        conference.attack(attacker, attack);
        conference.be_greedy(attacker, 100);
        conference.run_for(Duration::from_secs(8));
        let after = conference.bytes().unwrap();
        assert!(before > 1_000_000 && after < before + 25_000_000, "{attack:?}: {before}, then {after}");
        conference.finish();
        assert_eq!(conference.failures(), NOTHING, "{attack:?}");
        assert!(conference.checks().bytes > 40);
    }
}
