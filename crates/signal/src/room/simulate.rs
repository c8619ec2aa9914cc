// SPDX-License-Identifier: EUPL-1.2
//! Trouble on request, so that clients can be tested: a lost server, a slow network, a socket that drops at the wrong
//! moment. Only where [`crate::RoomConfig::simulate`] says so.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use livekit_protocol as proto;
use livekit_protocol::leave_request::Action;
use livekit_protocol::signal_response::Message as Response;
use livekit_protocol::simulate_scenario::Scenario;
use parvis_meeting::{LeaveReason, ParticipantId};
use parvis_peer::Protocol;
use parvis_sfu::Command;

use super::Room;
use super::leave::CLOSE_GOING_AWAY;
use crate::RelayOffer;

/// How long someone may be made to speak.
const MAX_SPEECH: Duration = Duration::from_secs(60);
/// Those of whom it may be remembered how they come.
const MAX_REMEMBERED: usize = 1000;

/// What is under way.
#[derive(Debug, Default)]
pub(super) struct Simulation {
    /// Who falls silent, and when.
    speech: Vec<(Instant, ParticipantId)>,
    /// How the next connections of some identities are to come.
    ways: BTreeMap<String, Way>,
}

/// The only way that a connection is let come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// To candidates of TCP.
    Tcp,
    /// Through the relay, over TLS.
    Relay,
}

/// When a session's next resume is to be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// After the messages of the resume.
    AfterMessages,
    /// Before any.
    BeforeMessages,
}

impl Room {
    pub(super) fn simulate(&mut self, now: Instant, id: ParticipantId, scenario: proto::SimulateScenario) {
        let Some(scenario) = scenario.scenario.filter(|_| self.config.simulate) else {
            self.stats.requests_refused += 1;
            return;
        };
        match scenario {
            Scenario::SpeakerUpdate(seconds) => self.simulate_speech(now, id, seconds),
            Scenario::NodeFailure(_) => {
                // Not a word, and nothing to come back to.
                self.drop_socket_of(now, id, "a server was lost");
                self.meeting.leave(now, id, LeaveReason::Reconnect);
            }
            Scenario::Migration(_) => {
                self.tell_to(id, Action::Resume, proto::DisconnectReason::Migration);
                self.drop_socket_of(now, id, "go on in another connection");
            }
            Scenario::ServerLeave(_) => {
                self.tell_to(id, Action::Disconnect, proto::DisconnectReason::ServerShutdown);
                self.drop_socket_of(now, id, "the server stops");
                self.meeting.leave(now, id, LeaveReason::Shutdown);
            }
            Scenario::LeaveRequestFullReconnect(_) => self.meeting.leave(now, id, LeaveReason::Reconnect),
            Scenario::SwitchCandidateProtocol(protocol) => self.switch_protocol(id, protocol),
            Scenario::SubscriberBandwidth(bits) => {
                let bits_per_second = u64::try_from(bits).ok().filter(|bits| *bits > 0);
                if let Some(peer) = self.sessions.get(&id).and_then(|session| session.links.receiving()) {
                    self.command(Command::LimitBandwidth { peer, bits_per_second });
                }
            }
            Scenario::DisconnectSignalOnResume(_) => self.cut_next_resume(id, Cut::AfterMessages),
            Scenario::DisconnectSignalOnResumeNoMessages(_) => self.cut_next_resume(id, Cut::BeforeMessages),
        }
    }

    /// Has a fresh connection offer what an earlier scenario asked for.
    pub(super) fn apply_simulated_protocol(&mut self, id: ParticipantId) {
        if self.simulated_way(id) != Some(Way::Tcp) {
            return;
        }
        let links = self.sessions.get(&id).into_iter().flat_map(|session| session.links.iter());
        let peers: Vec<_> = links.map(|link| link.peer).collect();
        for peer in peers {
            self.command(Command::OfferOnly { peer, protocol: Protocol::Tcp });
        }
    }

    /// Whether whoever has this sid is to come through the relay, over TLS.
    pub(super) fn simulates_tls(&self, sid: &str) -> bool {
        self.by_sid.get(sid).is_some_and(|id| self.simulated_way(*id) == Some(Way::Relay))
    }

    fn simulated_way(&self, id: ParticipantId) -> Option<Way> {
        let participant = self.meeting.participant(id)?;
        self.simulation.ways.get(participant.identity.as_str()).copied()
    }

    /// When a simulated speaker falls silent.
    pub(super) fn simulation_due(&self) -> Option<Instant> {
        self.simulation.speech.iter().map(|(at, _)| *at).min()
    }

    pub(super) fn settle_simulation(&mut self, now: Instant) {
        let (over, rest): (Vec<_>, Vec<_>) = self.simulation.speech.drain(..).partition(|(at, _)| *at <= now);
        self.simulation.speech = rest;
        for (_, id) in over {
            self.broadcast_speaker(id, false);
        }
    }

    fn simulate_speech(&mut self, now: Instant, id: ParticipantId, seconds: i32) {
        let lasts = Duration::from_secs(u64::try_from(seconds).unwrap_or_default()).min(MAX_SPEECH);
        self.simulation.speech.retain(|(_, other)| *other != id);
        self.simulation.speech.push((now + lasts, id));
        self.broadcast_speaker(id, true);
    }

    fn broadcast_speaker(&mut self, id: ParticipantId, active: bool) {
        let Some(sid) = self.sessions.get(&id).map(|session| session.sid.to_string()) else { return };
        let level = if active { 0.9 } else { 0.0 };
        let speakers = vec![proto::SpeakerInfo { sid, level, active }];
        self.broadcast(Response::SpeakersChanged(proto::SpeakersChanged { speakers }));
    }

    /// Over TLS only the relay is reached. Where there is none, who asks for it gets TCP.
    fn switch_protocol(&mut self, id: ParticipantId, protocol: i32) {
        let Some(identity) = self.meeting.participant(id).map(|participant| participant.identity.clone())
        else {
            return;
        };
        let relayed = self.config.relay.as_ref().is_some_and(RelayOffer::has_tls);
        let way = match proto::CandidateProtocol::try_from(protocol) {
            Ok(proto::CandidateProtocol::Udp) => None,
            Ok(proto::CandidateProtocol::Tls) if relayed => Some(Way::Relay),
            _ => Some(Way::Tcp),
        };
        let ways = &mut self.simulation.ways;
        match way {
            Some(way) if ways.len() < MAX_REMEMBERED || ways.contains_key(&identity) => {
                ways.insert(identity, way);
            }
            Some(_) => self.stats.requests_refused += 1,
            None => {
                ways.remove(&identity);
            }
        }
    }

    fn cut_next_resume(&mut self, id: ParticipantId, cut: Cut) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.cut_resume = Some(cut);
        }
    }

    fn tell_to(&mut self, id: ParticipantId, action: Action, reason: proto::DisconnectReason) {
        let leave = proto::LeaveRequest {
            can_reconnect: action != Action::Disconnect,
            reason: reason.into(),
            action: action.into(),
            regions: None,
        };
        self.send(id, Response::Leave(leave));
    }

    /// Closes someone's socket. The session waits.
    pub(super) fn drop_socket_of(&mut self, now: Instant, id: ParticipantId, reason: &str) {
        if let Some(socket) = self.sessions.get(&id).and_then(|session| session.socket) {
            self.close(socket.id, CLOSE_GOING_AWAY, reason);
            self.detach(now, socket.id);
        }
    }
}
