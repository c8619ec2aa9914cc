// SPDX-License-Identifier: EUPL-1.2
//! Recorders: seen by all before anything is kept, subscribed like anyone, and gone without a trace.

use std::time::{Duration, Instant};

use livekit_protocol as proto;
use livekit_protocol::TrackSource;
use livekit_protocol::participant_info::{Kind, State};
use livekit_protocol::signal_request::Message as Request;
use livekit_protocol::signal_response::Message as Response;
use parvis_peer::sdp::CodecKind;
use parvis_sfu::{Command, Event, OUTLET_KEY_BYTES, OutletKey, OutletSpec, TrackId};
use parvis_signal::{
    Actor, CONSENT_TAG, Control, ControlError, OccurrenceKind, RecordError, RecordScope, RecordedTrack,
    Recorder, RecordingNews, Reply, RoomConfig, RoomSettings,
};

use crate::lab::*;

const REC: &str = "EG_1";

fn recorder(scope: RecordScope) -> Recorder {
    Recorder { identity: REC.to_owned(), name: "Recording".to_owned(), scope }
}

fn outlet(number: u8) -> OutletSpec {
    OutletSpec { to: ([127, 0, 0, 1], 9).into(), key: OutletKey([number; OUTLET_KEY_BYTES]) }
}

impl Lab {
    fn announce(&mut self, scope: RecordScope) -> Result<(), RecordError> {
        let answer = self.room.announce_recorder(self.now, recorder(scope));
        self.pump();
        answer
    }

    fn open_outlet(&mut self, number: u8) -> Result<(), RecordError> {
        let answer = self.room.open_outlet(self.now, REC, outlet(number));
        self.pump();
        answer
    }

    /// Publishes, and sends a first packet.
    fn show(
        &mut self,
        connection: parvis_signal::ConnectionId,
        cid: &str,
        source: TrackSource,
    ) -> (String, TrackId) {
        let sid = self.publish(connection, cid, source);
        let of_cid = |(_, (_, spec, _)): &(&TrackId, &(_, parvis_sfu::TrackSpec, bool))| spec.cid == cid;
        let track = *self.forwarder.tracks.iter().find(of_cid).unwrap().0;
        let codec = if source == TrackSource::Microphone { CodecKind::Red } else { CodecKind::Vp8 };
        self.event(Event::TrackStarted { track, codec });
        (sid, track)
    }

    fn sources(&mut self) -> Vec<RecordedTrack> {
        let news = std::mem::take(&mut self.recorded);
        news.into_iter()
            .filter_map(|(_, news)| match news {
                RecordingNews::Source(track) => Some(*track),
                _ => None,
            })
            .collect()
    }

    fn outlets(&self) -> usize {
        self.forwarder
            .commands
            .iter()
            .filter(|command| matches!(command, Command::CreateOutlet { .. }))
            .count()
    }
}

fn recording_of(client: &Client) -> Vec<bool> {
    let updates = client.inbox.iter().filter_map(|message| match message {
        Response::Join(join) => join.room.as_ref(),
        Response::RoomUpdate(update) => update.room.as_ref(),
        _ => None,
    });
    updates.map(|room| room.active_recording).collect()
}

#[test]
fn row_52_everybody_knows_before_a_packet_goes_to_the_worker() {
    let mut lab = Lab::new();
    let (ada, bob) = (lab.join("ada"), lab.join("bob"));
    lab.show(ada, "camera", TrackSource::Camera);
    lab.order.clear();
    lab.announce(RecordScope::Room).unwrap();
    for client in [ada, bob] {
        let info = &lab.client(client).roster[REC];
        assert_eq!((info.kind(), info.name.as_str()), (Kind::Egress, "Recording"));
        assert!(info.permission.as_ref().is_some_and(|permission| permission.recorder && !permission.hidden));
        assert_eq!(recording_of(lab.client(client)).last(), Some(&true));
    }
    assert_eq!(lab.outlets(), 0, "and nothing is recorded yet");
    lab.open_outlet(1).unwrap();
    let place = |what: &str| lab.order.iter().position(|entry| entry == what).unwrap();
    assert!(
        place("recording true") < place("outlet") && place("outlet") < place("subscribe"),
        "{:?}",
        lab.order
    );
    assert_eq!(lab.client(bob).roster[REC].state(), State::Active);

    let late = lab.join("late");
    assert_eq!(recording_of(lab.client(late)).first(), Some(&true), "in the very answer to its join");
    assert_eq!(lab.client(late).roster[REC].kind(), Kind::Egress);

    lab.room.dismiss_recorder(lab.now, REC);
    lab.pump();
    for client in [ada, bob, late] {
        assert!(!lab.client(client).roster.contains_key(REC));
        assert_eq!(recording_of(lab.client(client)).last(), Some(&false));
    }
    let told = |kind: fn(&OccurrenceKind) -> bool| lab.told.iter().filter(|told| kind(&told.kind)).count();
    assert_eq!(
        told(
            |kind| matches!(kind, OccurrenceKind::ParticipantJoined { participant } if participant.identity == REC)
        ),
        1
    );
    assert_eq!(
        told(
            |kind| matches!(kind, OccurrenceKind::ParticipantLeft { participant } if participant.identity == REC)
        ),
        1
    );
}

#[test]
fn a_recorder_gets_every_track_from_its_first_packet_on_and_hears_what_becomes_of_it() {
    let mut lab = Lab::new();
    let ada = lab.join("ada");
    let (camera, _) = lab.show(ada, "camera", TrackSource::Camera);
    lab.announce(RecordScope::Room).unwrap();
    lab.open_outlet(1).unwrap();
    let joined = |(_, news): &(String, RecordingNews)| matches!(news, RecordingNews::Participant(info) if info.identity == "ada");
    assert!(lab.recorded.iter().any(joined));
    let sources = lab.sources();
    assert_eq!(sources.len(), 1);
    assert_eq!(
        (sources[0].info.sid.as_str(), sources[0].info.mime_type.as_str()),
        (camera.as_str(), "video/VP8")
    );
    assert_eq!(sources[0].participant_sid, lab.sid(ada));

    // Announced, and nothing comes yet: whether it will be RED is not known.
    let microphone = lab.publish(ada, "microphone", TrackSource::Microphone);
    assert!(lab.sources().is_empty());
    let track = *lab.forwarder.tracks.iter().find(|(_, (_, spec, _))| spec.cid == "microphone").unwrap().0;
    lab.event(Event::TrackStarted { track, codec: CodecKind::Red });
    let sources = lab.sources();
    assert_eq!(
        (sources[0].info.sid.as_str(), sources[0].info.mime_type.as_str()),
        (microphone.as_str(), "audio/red")
    );
    let subscription = sources[0].subscription;
    let heard = |command: &Command| matches!(command, Command::ConfigureSubscription { subscription: of, settings } if *of == subscription && settings.priority > 0);
    assert!(lab.forwarder.commands.iter().any(heard), "quiet voices too");

    let at = Instant::now();
    lab.event(Event::OutletClock { subscription, rtp_timestamp: 7, at });
    let clock = RecordingNews::Clock { track_sid: microphone.clone(), rtp_timestamp: 7, at };
    assert_eq!(lab.recorded, [(REC.to_owned(), clock)]);
    lab.recorded.clear();
    lab.room.repair_recording(REC, &microphone, vec![3, 4]);
    lab.pump();
    let repaired = Command::RepairOutlet { subscription, lost: vec![3, 4] };
    assert_eq!(lab.forwarder.commands.last(), Some(&repaired));

    lab.send(ada, Request::Mute(proto::MuteTrackRequest { sid: microphone.clone(), muted: true }));
    let muted = |(_, news): &(String, RecordingNews)| match news {
        RecordingNews::Participant(info) => {
            info.tracks.iter().any(|track| track.sid == microphone && track.muted)
        }
        _ => false,
    };
    assert!(lab.recorded.iter().any(muted));
    lab.event(Event::Speakers { room: parvis_sfu::RoomId(5), speakers: vec![(track, 0.5)] });
    let speaks = RecordingNews::Speakers(vec![lab.sid(ada)]);
    assert!(lab.recorded.iter().any(|(_, news)| *news == speaks));

    lab.recorded.clear();
    lab.send(ada, Request::Leave(proto::LeaveRequest::default()));
    let ended =
        lab.recorded.iter().filter(|(_, news)| matches!(news, RecordingNews::SourceEnded { .. })).count();
    assert_eq!(ended, 2);
    assert!(
        lab.recorded
            .iter()
            .any(|(_, news)| matches!(news, RecordingNews::Left(info) if info.identity == "ada"))
    );
}

#[test]
fn a_new_worker_is_told_everything_anew_and_the_mark_never_goes() {
    let mut lab = Lab::new();
    let (ada, bob) = (lab.join("ada"), lab.join("bob"));
    lab.show(ada, "camera", TrackSource::Camera);
    lab.announce(RecordScope::Room).unwrap();
    lab.open_outlet(1).unwrap();
    let first = lab.sources()[0].subscription;
    lab.clear();
    lab.open_outlet(2).unwrap();
    let again = lab.sources();
    assert_eq!(again.len(), 1);
    assert_ne!(again[0].subscription, first, "numbers are never used twice");
    let closed =
        lab.forwarder.commands.iter().filter(|command| matches!(command, Command::ClosePeer { .. })).count();
    assert_eq!((lab.outlets(), closed), (1, 1), "the former way is closed");
    assert!(lab.client(bob).roster.contains_key(REC));
    assert!(recording_of(lab.client(bob)).iter().all(|recording| *recording));
}

#[test]
fn only_what_is_asked_for_is_recorded() {
    let mut lab = Lab::new();
    let (ada, bob) = (lab.join("ada"), lab.join("bob"));
    let (camera, _) = lab.show(ada, "camera", TrackSource::Camera);
    lab.show(bob, "other", TrackSource::Camera);
    let nobody = RecordScope::Participant("nobody".to_owned());
    assert_eq!(lab.announce(nobody), Err(RecordError::NoParticipant("nobody".to_owned())));
    let nothing = RecordScope::Tracks(["TR_x".to_owned()].into());
    assert_eq!(lab.announce(nothing), Err(RecordError::NoTrack("TR_x".to_owned())));
    assert!(!lab.client(bob).roster.contains_key(REC), "a refusal has no effect");

    lab.announce(RecordScope::Tracks([camera.clone()].into())).unwrap();
    lab.open_outlet(1).unwrap();
    assert_eq!(lab.sources().iter().map(|source| &source.info.sid).collect::<Vec<_>>(), [&camera]);
    lab.show(ada, "screen", TrackSource::ScreenShare);
    assert!(lab.sources().is_empty());
    lab.room.dismiss_recorder(lab.now, REC);
    lab.pump();

    lab.announce(RecordScope::Participant("bob".to_owned())).unwrap();
    lab.open_outlet(2).unwrap();
    let sources = lab.sources();
    assert_eq!(sources.len(), 1);
    assert_eq!(sources[0].participant_sid, lab.sid(bob));
    lab.show(bob, "screen-of-bob", TrackSource::ScreenShare);
    assert_eq!(lab.sources().len(), 1, "what comes later too");
}

#[test]
fn what_is_encrypted_end_to_end_or_kept_from_it_is_not_recorded() {
    let mut lab = Lab::new();
    let ada = lab.join("ada");
    let request = proto::AddTrackRequest {
        encryption: proto::encryption::Type::Gcm.into(),
        ..track("secret", TrackSource::Camera)
    };
    lab.send(ada, Request::AddTrack(request));
    let sid = lab.published_sid(ada, "secret").unwrap();
    lab.offer(ada, &["secret"]);
    let id = *lab.forwarder.tracks.iter().find(|(_, (_, spec, _))| spec.cid == "secret").unwrap().0;
    lab.event(Event::TrackStarted { track: id, codec: CodecKind::Vp8 });
    assert_eq!(lab.announce(RecordScope::Tracks([sid.clone()].into())), Err(RecordError::Encrypted(sid)));
    lab.announce(RecordScope::Room).unwrap();
    lab.open_outlet(1).unwrap();
    assert!(lab.sources().is_empty());
    // A publisher decides who has its tracks, recorders among them.
    lab.send(ada, Request::SubscriptionPermission(proto::SubscriptionPermission::default()));
    lab.show(ada, "camera", TrackSource::Camera);
    assert!(lab.sources().is_empty());
}

#[test]
fn a_recorder_that_is_sent_out_is_told_once_and_keeps_no_room_open() {
    let mut lab = Lab::with(RoomConfig::default());
    let ada = lab.join("ada");
    lab.announce(RecordScope::Room).unwrap();
    lab.open_outlet(1).unwrap();
    lab.recorded.clear();
    lab.remove(REC).unwrap();
    let gone = RecordingNews::Gone(proto::DisconnectReason::ParticipantRemoved);
    assert_eq!(lab.recorded, [(REC.to_owned(), gone)]);
    assert_eq!(lab.open_outlet(2), Err(RecordError::Gone));
    lab.room.repair_recording(REC, "TR_x", vec![]);
    lab.room.dismiss_recorder(lab.now, REC);
    lab.pump();
    assert_eq!(lab.recorded.len(), 1);

    lab.announce(RecordScope::Room).unwrap();
    lab.send(ada, Request::Leave(proto::LeaveRequest::default()));
    lab.pass(Duration::from_secs(60));
    assert!(lab.ended, "a recording alone is no meeting");
    let ended = RecordingNews::Gone(proto::DisconnectReason::RoomClosed);
    let last = lab.recorded.last().unwrap();
    assert!(matches!(last.1, RecordingNews::Gone(_)), "{last:?}, not {ended:?}");
}

#[test]
fn messages_of_people_do_not_pile_up_for_a_recorder() {
    let mut lab = Lab::new();
    let (ada, _) = (lab.join("ada"), lab.join("bob"));
    lab.announce(RecordScope::Room).unwrap();
    lab.open_outlet(1).unwrap();
    lab.clear();
    for number in 1..=10 {
        lab.data(ada, parvis_sfu::DataChannel::Reliable, &message("hello", number));
    }
    assert_eq!(lab.forwarder.data.len(), 10, "one receiver, not two");
}

/// How somebody answers to being recorded, and what it hears of that.
fn consent(lab: &mut Lab, identity: &str, answer: Option<bool>) -> Result<Reply, ControlError> {
    let actor = Actor { identity: identity.to_owned(), not_before: 1_800_000_000 };
    lab.control_as(&actor, Control::Consent(answer))
}

#[test]
fn where_the_room_asks_only_those_who_agreed_are_recorded_and_each_answer_is_evidence() {
    let mut lab = Lab::with(RoomConfig { recording_consent: true, ..RoomConfig::default() });
    let (ada, bob) = (lab.join("ada"), lab.join("bob"));
    lab.show(ada, "camera", TrackSource::Camera);
    lab.show(bob, "other", TrackSource::Camera);
    // Ada agrees ahead; that is told to whoever records later, with its own time.
    let before = lab.now;
    let standing = |asked, given| Ok(Reply::Consent { asked, given });
    assert_eq!(consent(&mut lab, "ada", None), standing(true, None));
    assert_eq!(consent(&mut lab, "ada", Some(true)), standing(true, Some(true)));
    lab.pass(Duration::from_secs(1));
    lab.announce(RecordScope::Room).unwrap();
    lab.open_outlet(1).unwrap();
    let news = |lab: &Lab, participant_sid: &str, given: bool, at: Instant| {
        let news = RecordingNews::Consent { participant_sid: participant_sid.to_owned(), given, at };
        lab.recorded.iter().filter(|(_, told)| *told == news).count()
    };
    let (of_ada, of_bob) = (lab.sid(ada), lab.sid(bob));
    assert_eq!(news(&lab, &of_ada, true, before), 1);
    let sources = lab.sources();
    assert_eq!(sources.iter().map(|source| &source.participant_sid).collect::<Vec<_>>(), [&of_ada]);

    assert_eq!(consent(&mut lab, "bob", Some(false)), standing(true, Some(false)));
    assert_eq!(news(&lab, &of_bob, false, lab.now), 1);
    assert!(lab.sources().is_empty());
    assert_eq!(consent(&mut lab, "bob", Some(true)), standing(true, Some(true)));
    assert_eq!(news(&lab, &of_bob, true, lab.now), 1);
    assert_eq!(lab.sources().len(), 1, "from now on");
    // The same again is no news.
    consent(&mut lab, "bob", Some(true)).unwrap();
    assert!(lab.recorded.is_empty(), "{:?}", lab.recorded);

    consent(&mut lab, "ada", Some(false)).unwrap();
    let ended = |(_, news): &(String, RecordingNews)| matches!(news, RecordingNews::SourceEnded { .. });
    assert_eq!(lab.recorded.iter().filter(|told| ended(told)).count(), 1, "what goes on ends");
    // Another worker of the same recording is told of all answers, and of nobody's tracks who refused.
    lab.recorded.clear();
    lab.open_outlet(2).unwrap();
    assert_eq!(news(&lab, &of_ada, false, lab.now), 1);
    assert_eq!(lab.sources().iter().map(|source| &source.participant_sid).collect::<Vec<_>>(), [&of_bob]);
    let nobody = consent(&mut lab, "nobody", Some(true));
    assert_eq!(nobody, Err(ControlError::NoParticipant("nobody".to_owned())));
}

#[test]
fn whoever_changes_its_mind_without_end_leaves_and_the_recording_has_few_of_its_files() {
    let mut lab = Lab::with(RoomConfig { recording_consent: true, ..RoomConfig::default() });
    let (ada, _) = (lab.join("ada"), lab.join("bob"));
    lab.show(ada, "camera", TrackSource::Camera);
    lab.announce(RecordScope::Room).unwrap();
    lab.open_outlet(1).unwrap();
    let answered = (0..1000).take_while(|turn| consent(&mut lab, "ada", Some(turn % 2 == 0)).is_ok()).count();
    assert!((1..=20).contains(&answered), "{answered} answers at once");
    assert_eq!(lab.room.stats().floods, 1);
    assert!(lab.room.meeting().by_identity("ada").is_none());
    assert!(lab.sources().len() <= 10);
    assert_eq!(consent(&mut lab, "bob", Some(true)), Ok(Reply::Consent { asked: true, given: Some(true) }));
}

#[test]
fn a_room_asks_when_whoever_makes_it_says_so_and_never_stops_asking() {
    let settings = |value: &str| {
        let tags = [(CONSENT_TAG.to_owned(), value.to_owned())].into();
        RoomSettings::of(&proto::RoomConfiguration { tags, ..Default::default() })
    };
    let mut lab = Lab::new();
    let ada = lab.join("ada");
    lab.show(ada, "camera", TrackSource::Camera);
    lab.announce(RecordScope::Room).unwrap();
    lab.open_outlet(1).unwrap();
    assert_eq!(lab.sources().len(), 1, "nobody is asked here");
    lab.control(Control::Configure(settings("inform"))).unwrap();
    assert_eq!(consent(&mut lab, "ada", None), Ok(Reply::Consent { asked: false, given: None }));
    // A word that we don't know: rather too careful.
    lab.control(Control::Configure(settings("Ask!"))).unwrap();
    let ended = |(_, news): &(String, RecordingNews)| matches!(news, RecordingNews::SourceEnded { .. });
    assert!(lab.recorded.iter().any(ended));
    lab.control(Control::Configure(settings("inform"))).unwrap();
    assert_eq!(consent(&mut lab, "ada", None), Ok(Reply::Consent { asked: true, given: None }));
}
