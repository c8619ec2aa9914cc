// SPDX-License-Identifier: EUPL-1.2
//! However people come, go and lose their network: when it is quiet, everyone's list of people is the room's.

use std::collections::BTreeMap;
use std::time::Duration;

use livekit_protocol as proto;
use livekit_protocol::TrackSource;
use livekit_protocol::signal_request::Message as Request;
use parvis_meeting::{Permissions, State, TrackId};
use parvis_sfu::{Event, PeerId};
use parvis_signal::{ConnectionId, Form, Grants, JoinParams, RoomConfig};
use proptest::prelude::*;

use crate::happened::those_there;
use crate::lab::*;

#[derive(Debug, Clone)]
enum Step {
    Join { who: usize, single: bool, hidden: bool },
    Up(usize),
    Leave(usize),
    Drop(usize),
    Resume(usize),
    Publish(usize, usize),
    Mute(usize, bool),
    EndTrack(usize),
    Rename(usize, u8),
    Fail(usize),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0..6_usize;
    prop_oneof![
        4 => (who.clone(), any::<bool>(), prop::bool::weighted(0.1))
            .prop_map(|(who, single, hidden)| Step::Join { who, single, hidden }),
        3 => who.clone().prop_map(Step::Up),
        1 => who.clone().prop_map(Step::Leave),
        3 => who.clone().prop_map(Step::Drop),
        3 => who.clone().prop_map(Step::Resume),
        3 => (who.clone(), 0..4_usize).prop_map(|(who, track)| Step::Publish(who, track)),
        2 => (who.clone(), any::<bool>()).prop_map(|(who, muted)| Step::Mute(who, muted)),
        1 => who.clone().prop_map(Step::EndTrack),
        2 => (who.clone(), any::<u8>()).prop_map(|(who, n)| Step::Rename(who, n)),
        1 => who.prop_map(Step::Fail),
        2 => (1..15_u64).prop_map(Step::Pass),
    ]
}

/// One person's latest socket, and whether it is attached as far as it knows.
struct Person {
    connection: ConnectionId,
    attached: bool,
    hidden: bool,
    form: Form,
}

struct World {
    lab: Lab,
    people: BTreeMap<usize, Person>,
}

impl World {
    fn new() -> World {
        // A room that ends would end the story: the last one out would close it.
        let limits = parvis_meeting::Limits {
            empty_timeout: Duration::from_secs(100_000),
            departure_timeout: Duration::from_secs(100_000),
            ..parvis_meeting::Limits::default()
        };
        let idle_timeout = Duration::from_secs(10_000);
        let config = RoomConfig { meeting: limits.into(), idle_timeout, ..RoomConfig::default() };
        World { lab: Lab::with(config), people: BTreeMap::new() }
    }

    fn alive(&self, who: usize) -> Option<&Person> {
        self.people.get(&who).filter(|p| p.attached && self.lab.client(p.connection).closed.is_none())
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Join { who, single: one, hidden } => {
                let permissions = Permissions { can_update_profile: true, hidden, ..Permissions::default() };
                let params = if one { single() } else { dual() };
                let form = params.form;
                let connection =
                    self.lab.connect(Grants { permissions, ..Grants::of(&format!("p{who}")) }, params);
                self.people.insert(who, Person { connection, attached: true, hidden, form });
            }
            Step::Up(who) => {
                if let Some(connection) = self.alive(who).map(|p| p.connection) {
                    self.lab.bring_up(connection);
                }
            }
            Step::Leave(who) => {
                if let Some(connection) = self.alive(who).map(|p| p.connection) {
                    self.lab.send(connection, Request::Leave(proto::LeaveRequest::default()));
                }
            }
            Step::Drop(who) => {
                if let Some(person) = self.people.get_mut(&who).filter(|p| p.attached) {
                    person.attached = false;
                    let connection = person.connection;
                    self.lab.drop_socket(connection);
                }
            }
            Step::Resume(who) => {
                let Some(person) = self.people.get(&who) else { return };
                let (old, form) = (person.connection, person.form);
                let sid = self.lab.sid(old);
                let roster = self.lab.client(old).roster.clone();
                let resume = Some(parvis_signal::Resume { participant_sid: sid, sync_state: None });
                let params = JoinParams { form, resume, ..dual() };
                let again = self.lab.connect_with_roster(Grants::of(&format!("p{who}")), params, roster);
                if self.lab.client(again).leave().is_none() {
                    let person = self.people.get_mut(&who).unwrap();
                    (person.connection, person.attached) = (again, true);
                }
            }
            Step::Publish(who, n) => {
                if let Some(connection) = self.alive(who).map(|p| p.connection) {
                    let cid = format!("cid{n}");
                    self.lab.send(connection, Request::AddTrack(track(&cid, TrackSource::Camera)));
                    self.lab.offer(connection, &[&cid]);
                }
            }
            Step::Mute(who, muted) => {
                let Some(connection) = self.alive(who).map(|p| p.connection) else { return };
                let tracks = self.lab.client(connection).own.clone().unwrap().tracks;
                if let Some(track) = tracks.first() {
                    self.lab.send(
                        connection,
                        Request::Mute(proto::MuteTrackRequest { sid: track.sid.clone(), muted }),
                    );
                }
            }
            Step::EndTrack(who) => {
                let Some(connection) = self.alive(who).map(|p| p.connection) else { return };
                let peer: PeerId = self.lab.publisher(connection);
                let track = self.lab.forwarder.tracks.iter().find(|(_, (publisher, ..))| *publisher == peer);
                if let Some(track) = track.map(|(track, _)| *track) {
                    self.lab.event(Event::TrackEnded { track });
                }
            }
            Step::Rename(who, n) => {
                if let Some(connection) = self.alive(who).map(|p| p.connection) {
                    let update =
                        proto::UpdateParticipantMetadata { name: format!("n{n}"), ..Default::default() };
                    self.lab.send(connection, Request::UpdateMetadata(update));
                }
            }
            Step::Fail(who) => {
                let Some(connection) = self.alive(who).map(|p| p.connection) else { return };
                let peer = self.lab.primary(connection);
                let reason = parvis_peer::FailReason::Timeout;
                self.lab.event(Event::PeerFailed { peer, reason });
            }
            Step::Pass(seconds) => self.lab.pass(Duration::from_secs(seconds)),
        }
    }

    /// What everyone who is there ought to see of the others.
    fn check(&self) -> Result<(), TestCaseError> {
        let meeting = self.lab.room.meeting();
        for (who, person) in &self.people {
            let Some(person) = self.alive(*who).map(|_| person) else { continue };
            let client = self.lab.client(person.connection);
            let own = format!("p{who}");
            let expected: BTreeMap<String, (u32, String)> = meeting
                .participants()
                .filter(|p| p.identity != own && !p.permissions.hidden)
                .map(|p| (p.identity.clone(), (p.version, p.profile.name.clone())))
                .collect();
            let seen: BTreeMap<String, (u32, String)> =
                client.roster.values().map(|p| (p.identity.clone(), (p.version, p.name.clone()))).collect();
            prop_assert_eq!(&seen, &expected, "as {} sees it", own);
            let known = meeting.by_identity(&own).map(|p| p.version);
            prop_assert_eq!(
                client.own.as_ref().map(|own| own.version),
                known,
                "{} of itself (hidden: {})",
                own,
                person.hidden
            );
            for info in client.roster.values() {
                let other = self.people.values().find(|p| self.lab.sid(p.connection) == info.sid);
                if let Some(other) =
                    other.filter(|p| p.attached && self.lab.client(p.connection).closed.is_none())
                {
                    let truth = self.lab.client(other.connection).own.clone().unwrap();
                    prop_assert_eq!(&info.tracks, &truth.tracks);
                    prop_assert_eq!(info, &truth);
                }
            }
        }
        // The forwarder holds what the meeting holds, and nothing else.
        let tracks: usize = meeting.participants().map(|p| p.tracks().count()).sum();
        prop_assert_eq!(self.lab.forwarder.tracks.len(), tracks);
        let subscriptions: usize = meeting.participants().map(|p| p.subscribed().count()).sum();
        prop_assert_eq!(self.lab.forwarder.subscriptions.len(), subscriptions);
        prop_assert_eq!(self.lab.room.sessions(), meeting.participants().len());
        // Whoever knows only what the outer world is told knows who is there, and with how many tracks.
        let announced = |track: &TrackId| meeting.track(*track).is_some_and(|track| track.announced);
        let active = meeting.participants().filter(|p| p.state == State::Active);
        let truth: BTreeMap<String, usize> =
            active.map(|p| (p.identity.clone(), p.tracks().filter(announced).count())).collect();
        prop_assert_eq!(those_there(&self.lab.told), truth);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn everyones_list_is_the_rooms_after_any_coming_and_going(steps in prop::collection::vec(step(), 1..80)) {
        let mut world = World::new();
        for step in steps {
            world.run(step);
            world.check()?;
        }
    }

    #[test]
    fn the_same_seed_and_the_same_story_give_the_same_outputs(steps in prop::collection::vec(step(), 1..40)) {
        let run = || {
            let mut world = World::new();
            for step in steps.clone() {
                world.run(step);
            }
            let inboxes: Vec<_> = world.lab.clients.into_values().map(|client| client.inbox).collect();
            (inboxes, world.lab.forwarder.commands)
        };
        prop_assert!(run() == run());
    }
}
