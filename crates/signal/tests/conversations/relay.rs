// SPDX-License-Identifier: EUPL-1.2
//! What clients are told of the relay, and for how long its credentials hold.

use std::time::{Duration, Instant};

use livekit_protocol as proto;
use livekit_protocol::signal_request::Message as Request;
use livekit_protocol::signal_response::Message as Response;
use livekit_protocol::simulate_scenario::Scenario;
use parvis_peer::Protocol;
use parvis_sfu::Command;
use parvis_signal::{ConnectionId, Grants, JoinParams, RelayOffer, Resume, RoomConfig};
use parvis_turn::{Clock, Issuer};

use crate::lab::*;

const URLS: [&str; 2] = ["turn:meet.example:3478?transport=udp", "turns:meet.example:443?transport=tcp"];

fn with_relay(force: bool) -> Lab {
    Lab::with(RoomConfig { relay: Some(relay(&URLS, force)), ..RoomConfig::default() })
}

fn relay(urls: &[&str], force: bool) -> RelayOffer {
    let issuer = Issuer::new([7; 32], Clock::new(Instant::now(), 1_800_000_000));
    let urls = urls.iter().map(|url| (*url).to_owned()).collect();
    RelayOffer { urls, issuer, credential_age: Duration::from_secs(3_600), force }
}

/// Servers and whether nothing but the relay may be used, as the last message with them says.
fn told(client: &Client) -> (Vec<proto::IceServer>, i32) {
    let of = |servers: &[proto::IceServer], configuration: &Option<proto::ClientConfiguration>| {
        (servers.to_vec(), configuration.as_ref().unwrap().force_relay)
    };
    let found = client.inbox.iter().rev().find_map(|message| match message {
        Response::Join(join) => Some(of(&join.ice_servers, &join.client_configuration)),
        Response::Reconnect(again) => Some(of(&again.ice_servers, &again.client_configuration)),
        _ => None,
    });
    found.expect("a join response")
}

#[test]
fn a_participant_gets_credentials_of_its_own_when_it_joins_and_when_it_resumes() {
    for params in [dual(), single()] {
        let mut lab = with_relay(false);
        let ada = lab.connect(Grants::of("ada"), params.clone());
        let sid = lab.sid(ada);
        let (servers, force) = told(lab.client(ada));
        assert_eq!(servers.len(), 1);
        assert_eq!(servers[0].urls, URLS);
        assert_eq!(servers[0].username, format!("1800003600:{sid}"));
        assert_eq!(servers[0].credential.len(), 44, "an HMAC in base64");
        assert_eq!(force, proto::ClientConfigSetting::Unset as i32);
        let bo = lab.connect(Grants::of("bo"), params);
        assert_ne!(told(lab.client(bo)).0[0].credential, servers[0].credential);
        assert_eq!(lab.relayed, [(sid.clone(), true), (lab.sid(bo), true)]);
    }
    let mut lab = with_relay(true);
    let ada = lab.join("ada");
    let sid = lab.sid(ada);
    lab.pass(Duration::from_secs(10));
    lab.drop_socket(ada);
    let again = lab.resume("ada", &sid);
    let (servers, force) = told(lab.client(again));
    assert_eq!(servers[0].username, format!("1800003610:{sid}"), "fresh ones, for the same participant");
    assert_eq!(force, proto::ClientConfigSetting::Enabled as i32);
}

#[test]
fn row_16_credentials_hold_until_their_participant_has_left_in_whatever_way() {
    let mut lab = with_relay(false);
    let [ada, bo, carla] = ["ada", "bo", "carla"].map(|identity| lab.join(identity));
    let [ada_sid, bo_sid, carla_sid] = [ada, bo, carla].map(|connection| lab.sid(connection));
    lab.relayed.clear();
    lab.send(ada, Request::Leave(proto::LeaveRequest::default()));
    assert_eq!(lab.relayed, [(ada_sid, false)]);
    lab.drop_socket(bo);
    lab.pass(Duration::from_secs(10));
    assert_eq!(lab.relayed.len(), 1, "it may come back");
    lab.pass(Duration::from_secs(30));
    assert_eq!(lab.relayed.last(), Some(&(bo_sid, false)));
    lab.remove("carla").unwrap();
    assert_eq!(lab.relayed.last(), Some(&(carla_sid, false)));
}

#[test]
fn without_a_relay_nobody_is_told_of_one() {
    let mut lab = Lab::new();
    let ada = lab.join("ada");
    assert_eq!(told(lab.client(ada)), (Vec::new(), proto::ClientConfigSetting::Unset as i32));
    lab.send(ada, Request::Leave(proto::LeaveRequest::default()));
    assert!(lab.relayed.is_empty());
}

#[test]
fn who_asks_to_come_over_tls_is_told_of_the_relay_over_tls_and_of_nothing_else() {
    let ask = |lab: &mut Lab, of: ConnectionId, protocol: proto::CandidateProtocol| {
        let scenario = Some(Scenario::SwitchCandidateProtocol(protocol.into()));
        lab.send(of, Request::Simulate(proto::SimulateScenario { scenario }));
    };
    let by_tcp = |lab: &Lab| {
        let commands = lab.forwarder.commands.iter();
        commands
            .filter(|command| matches!(command, Command::OfferOnly { protocol: Protocol::Tcp, .. }))
            .count()
    };
    for params in [dual(), single()] {
        let relay = Some(relay(&URLS, false));
        let mut lab = Lab::with(RoomConfig { relay, simulate: true, ..RoomConfig::default() });
        let ada = lab.join_by("ada", params.clone());
        ask(&mut lab, ada, proto::CandidateProtocol::Tls);
        lab.clear();
        let bo = lab.connect(Grants::of("bo"), params.clone());
        assert_eq!((told(lab.client(bo)).0[0].urls.len(), told(lab.client(bo)).1), (2, 0), "nobody else is");
        let ada = lab.connect(Grants::of("ada"), params.clone());
        let (servers, force) = told(lab.client(ada));
        assert_eq!((servers.len(), &servers[0].urls[..]), (1, &[URLS[1].to_owned()][..]));
        assert_eq!(force, proto::ClientConfigSetting::Enabled as i32);
        assert_eq!(by_tcp(&lab), 0, "the relay reaches us over UDP");

        let sid = lab.sid(ada);
        lab.drop_socket(ada);
        let resume = Resume { participant_sid: sid, sync_state: None };
        let ada = lab.connect(Grants::of("ada"), JoinParams { resume: Some(resume), ..params.clone() });
        assert_eq!(
            (told(lab.client(ada)).0[0].urls.len(), told(lab.client(ada)).1),
            (1, 2),
            "when it resumes"
        );
        ask(&mut lab, ada, proto::CandidateProtocol::Udp);
        let ada = lab.connect(Grants::of("ada"), params);
        assert_eq!((told(lab.client(ada)).0[0].urls.len(), told(lab.client(ada)).1), (2, 0), "as ever");
    }

    // Where the relay has no TLS it is TCP.
    let relay = Some(relay(&URLS[..1], false));
    let mut lab = Lab::with(RoomConfig { relay, simulate: true, ..RoomConfig::default() });
    let ada = lab.join("ada");
    ask(&mut lab, ada, proto::CandidateProtocol::Tls);
    lab.clear();
    let ada = lab.connect(Grants::of("ada"), dual());
    assert_eq!((told(lab.client(ada)).0[0].urls.len(), told(lab.client(ada)).1), (1, 0));
    assert_eq!(by_tcp(&lab), 2);
}
