// SPDX-License-Identifier: EUPL-1.2
//! Trouble on request.

use std::time::Duration;

use livekit_protocol as proto;
use livekit_protocol::DisconnectReason;
use livekit_protocol::leave_request::Action;
use livekit_protocol::signal_request::Message as Request;
use livekit_protocol::signal_response::Message as Response;
use livekit_protocol::simulate_scenario::Scenario;
use parvis_peer::Protocol;
use parvis_sfu::{Command, PeerId};
use parvis_signal::{ConnectionId, RoomConfig};

use crate::lab::*;

fn lab() -> Lab {
    Lab::with(RoomConfig { simulate: true, ..RoomConfig::default() })
}

fn simulate(lab: &mut Lab, of: ConnectionId, scenario: Scenario) {
    lab.send(of, Request::Simulate(proto::SimulateScenario { scenario: Some(scenario) }));
}

fn all() -> Vec<Scenario> {
    vec![
        Scenario::SpeakerUpdate(3),
        Scenario::NodeFailure(true),
        Scenario::Migration(true),
        Scenario::ServerLeave(true),
        Scenario::SwitchCandidateProtocol(1),
        Scenario::SubscriberBandwidth(100_000),
        Scenario::DisconnectSignalOnResume(true),
        Scenario::DisconnectSignalOnResumeNoMessages(true),
        Scenario::LeaveRequestFullReconnect(true),
    ]
}

#[test]
fn where_it_is_not_allowed_nothing_happens() {
    let mut lab = Lab::new();
    let (ada, bob) = (lab.join("ada"), lab.join("bob"));
    lab.clear();
    for scenario in all() {
        simulate(&mut lab, ada, scenario);
    }
    assert!(lab.client(ada).inbox.is_empty() && lab.client(bob).inbox.is_empty());
    assert_eq!(lab.client(ada).closed, None);
    assert!(lab.forwarder.commands.is_empty());
    assert_eq!(lab.room.stats().requests_refused, 9);
}

#[test]
fn a_speaker_is_heard_of_and_falls_silent() {
    let mut lab = lab();
    let (ada, bob) = (lab.join("ada"), lab.join("bob"));
    lab.clear();
    simulate(&mut lab, ada, Scenario::SpeakerUpdate(3));
    lab.pass(Duration::from_secs(4));
    let told: Vec<bool> = lab
        .client(bob)
        .inbox
        .iter()
        .filter_map(|message| match message {
            Response::SpeakersChanged(changed) => Some(changed.speakers[0].active),
            _ => None,
        })
        .collect();
    assert_eq!(told, [true, false]);
    simulate(&mut lab, ada, Scenario::SpeakerUpdate(-1));
    simulate(&mut lab, ada, Scenario::SpeakerUpdate(i32::MAX));
    lab.pass(Duration::from_secs(100));
    assert_eq!(
        lab.room.sessions(),
        0,
        "clients that fell silent themselves are gone, and nothing else is left"
    );
}

#[test]
fn a_lost_server_says_nothing_and_remembers_nothing() {
    for params in [dual(), single()] {
        let mut lab = lab();
        let (ada, bob) = (lab.join_by("ada", params.clone()), lab.join("bob"));
        let sid = lab.sid(ada);
        simulate(&mut lab, ada, Scenario::NodeFailure(true));
        assert_eq!((lab.client(ada).leave(), lab.client(ada).closed.as_ref().unwrap().0), (None, 1001));
        assert!(!lab.client(bob).roster.contains_key("ada"));
        let again = lab.resume("ada", &sid);
        assert_eq!(lab.client(again).leave().unwrap().action(), Action::Reconnect);
    }
}

#[test]
fn a_migration_resumes_with_everything_as_it_was() {
    let mut lab = lab();
    let (ada, bob) = (lab.join("ada"), lab.join("bob"));
    let cam = lab.publish(ada, "cam", proto::TrackSource::Camera);
    let sid = lab.sid(ada);
    simulate(&mut lab, ada, Scenario::Migration(true));
    let leave = lab.client(ada).leave().unwrap();
    assert_eq!((leave.action(), leave.reason()), (Action::Resume, DisconnectReason::Migration));
    let again = lab.resume("ada", &sid);
    assert_eq!(lab.client(again).kinds()[0], "Reconnect");
    assert_eq!(lab.client(bob).roster["ada"].tracks[0].sid, cam);
}

#[test]
fn a_server_that_stops_sends_away_and_one_that_asks_for_a_fresh_start_sends_back() {
    let mut lab = lab();
    let (ada, bob) = (lab.join("ada"), lab.join("bob"));
    simulate(&mut lab, ada, Scenario::ServerLeave(true));
    let leave = lab.client(ada).leave().unwrap();
    assert_eq!((leave.action(), leave.reason()), (Action::Disconnect, DisconnectReason::ServerShutdown));
    simulate(&mut lab, bob, Scenario::LeaveRequestFullReconnect(true));
    assert_eq!(lab.client(bob).leave().unwrap().action(), Action::Reconnect);
    assert_eq!(lab.room.sessions(), 0);
}

#[test]
fn a_socket_is_cut_on_the_next_resume_and_the_one_after_works() {
    for (scenario, messages) in [
        (Scenario::DisconnectSignalOnResume(true), true),
        (Scenario::DisconnectSignalOnResumeNoMessages(true), false),
    ] {
        let mut lab = lab();
        let ada = lab.join("ada");
        let sid = lab.sid(ada);
        simulate(&mut lab, ada, scenario);
        lab.drop_socket(ada);
        let cut = lab.resume("ada", &sid);
        assert_eq!(lab.client(cut).kinds().first().map(String::as_str) == Some("Reconnect"), messages);
        assert_eq!(lab.client(cut).closed.as_ref().unwrap().0, 1001);
        let again = lab.resume("ada", &sid);
        assert_eq!(
            (lab.client(again).kinds()[0].as_str(), lab.client(again).closed.clone()),
            ("Reconnect", None)
        );
    }
}

#[test]
fn who_asks_for_tcp_is_offered_nothing_else_from_its_next_connection_on() {
    let mut lab = lab();
    let ada = lab.join("ada");
    simulate(&mut lab, ada, Scenario::SwitchCandidateProtocol(1));
    lab.clear();
    let ada = lab.connect(parvis_signal::Grants::of("ada"), dual());
    let only: Vec<PeerId> = lab
        .forwarder
        .commands
        .iter()
        .filter_map(|command| match command {
            Command::OfferOnly { peer, protocol: Protocol::Tcp } => Some(*peer),
            _ => None,
        })
        .collect();
    assert_eq!(only, lab.peers(ada));
    simulate(&mut lab, ada, Scenario::SwitchCandidateProtocol(0));
    lab.clear();
    lab.join("ada");
    assert!(!lab.forwarder.commands.iter().any(|command| matches!(command, Command::OfferOnly { .. })));
}

#[test]
fn a_slow_network_is_that_of_the_receiving_connection() {
    for params in [dual(), single()] {
        let mut lab = lab();
        let ada = lab.join_by("ada", params);
        lab.clear();
        simulate(&mut lab, ada, Scenario::SubscriberBandwidth(100_000));
        simulate(&mut lab, ada, Scenario::SubscriberBandwidth(0));
        let peer = lab.primary(ada);
        let expected =
            [Some(100_000), None].map(|bits_per_second| Command::LimitBandwidth { peer, bits_per_second });
        assert_eq!(lab.forwarder.commands, expected);
    }
}
