// SPDX-License-Identifier: EUPL-1.2
//! What the server holds in bytes, counted by the allocator.

use std::time::Duration;

use parvis_signal::Form;
use parvis_sim::{Attack, Conference, LinkModel, Profile};

const NOTHING: [&str; 0] = [];
/// With what the limit on peer connections reckons for each: see `parvis_sfu::ForwarderConfig::max_peers`.
const PEER: i64 = 200 * 1024;

fn meter(act: &mut dyn FnMut()) -> i64 {
    allocation_counter::measure(act).bytes_current
}

/// Thirty people of whom four are heard and two are seen.
fn meeting(seed: u64) -> Conference {
    let mut conference = Conference::new(seed);
    conference.measure(meter);
    let room = conference.open_room();
    for place in 0..30 {
        let form = if place % 2 == 0 { Form::Dual } else { Form::Single };
        let profile = Profile { camera: place < 2, ..Profile::of(form) };
        let id = conference.join(room, profile, [LinkModel::default(); 2]);
        conference.mute(id, place >= 4);
    }
    conference
}

#[test]
fn a_peer_connection_costs_no_more_than_their_limit_reckons_with() {
    let mut conference = meeting(1);
    conference.run_for(Duration::from_secs(15));
    let peers: u64 = conference.stats().map(|stats| stats.peers).sum();
    assert_eq!(peers, 45);
    let each = conference.bytes().unwrap() / peers as i64;
    assert!((20 * 1024..PEER).contains(&each), "{each} bytes");
    conference.finish();
    assert_eq!(conference.failures(), NOTHING);
}

#[test]
fn what_an_attack_costs_is_bounded_and_given_back() {
    for attack in Attack::ALL {
        let mut conference = meeting(2);
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
