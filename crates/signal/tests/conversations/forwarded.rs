// SPDX-License-Identifier: EUPL-1.2
//! Participants that are seen in another room as well.

use std::sync::Arc;

use livekit_protocol as proto;
use livekit_protocol::TrackSource;
use livekit_protocol::participant_info::KindDetail;
use livekit_protocol::signal_request::Message as Request;
use parvis_meeting::Permissions;
use parvis_sfu::{Command, ForwarderId, RoomId};
use parvis_signal::{
    ConnectionId, ForwardError, ForwardId, ForwardedView, Grants, Join, Output, Room, RoomConfig,
};

use crate::lab::*;

const FORWARD: ForwardId = ForwardId(1);

/// The last that was told of a participant, with where its streams are.
fn told(lab: &Lab) -> ForwardedView {
    let mut view = lab.forwarded.last().unwrap().1.clone().expect("it is there");
    for stream in view.streams.values_mut().flatten() {
        stream.at = Some(ForwarderId(3));
    }
    view
}

/// Another room, in which somebody is, and what it says.
struct Salon {
    room: Room,
    watcher: Option<proto::ParticipantInfo>,
    commands: Vec<Command>,
    gone: Vec<ForwardId>,
}

impl Salon {
    fn new() -> Salon {
        let now = std::time::Instant::now();
        let config = Arc::new(RoomConfig::default());
        let mut room = Room::new(config, RoomId(6), "salon", [3; 32], now, START_UNIX_MS);
        let join = Join { grants: Grants::of("carol"), params: dual(), address: String::new() };
        room.connect(now, ConnectionId(1), join).unwrap();
        let mut salon = Salon { room, watcher: None, commands: Vec::new(), gone: Vec::new() };
        salon.pump();
        salon.commands.clear();
        salon
    }

    fn take(&mut self, lab: &Lab) -> Result<(), ForwardError> {
        let taken = self.room.take_guest(std::time::Instant::now(), FORWARD, told(lab));
        self.pump();
        taken
    }

    /// Takes what the room says; keeps what its client was told last of the guest.
    fn pump(&mut self) {
        use prost::Message;
        while let Some(output) = self.room.poll_output() {
            match output {
                Output::Forward(command) => self.commands.push(command),
                Output::GuestGone { forward } => self.gone.push(forward),
                Output::Send { frame: parvis_signal::Frame::Binary(bytes), .. } => {
                    let response = proto::SignalResponse::decode(bytes).unwrap();
                    if let Some(proto::signal_response::Message::Update(update)) = response.message {
                        let guest = update.participants.into_iter().rfind(|info| info.identity == "ada");
                        self.watcher = guest.or(self.watcher.take());
                    }
                }
                _ => {}
            }
        }
    }

    fn adopted(&self) -> usize {
        self.commands.iter().filter(|command| matches!(command, Command::Adopt { .. })).count()
    }

    fn subscribed(&self) -> usize {
        self.commands.iter().filter(|command| matches!(command, Command::Subscribe { .. })).count()
    }
}

#[test]
fn a_guest_publishes_what_it_publishes_at_home_and_nothing_else() {
    let mut lab = Lab::new();
    let ada = lab.join("ada");
    lab.room.forward(lab.now, "ada", FORWARD).unwrap().unwrap();
    lab.pump();
    let mut salon = Salon::new();
    salon.take(&lab).unwrap();
    let guest = salon.watcher.clone().unwrap();
    assert_eq!((guest.tracks.len(), guest.kind_details.clone()), (0, vec![KindDetail::Forwarded.into()]));

    let cam = lab.publish(ada, "cam", TrackSource::Camera);
    salon.take(&lab).unwrap();
    let guest = salon.watcher.clone().unwrap();
    assert_eq!((guest.tracks.len(), guest.tracks[0].sid.as_str()), (1, cam.as_str()));
    assert_eq!((salon.adopted(), salon.subscribed()), (1, 1));
    let of = *lab.forwarder.tracks.keys().next().unwrap();
    assert!(salon.commands.iter().any(|command| matches!(command,
        Command::Adopt { at: ForwarderId(3), room: RoomId(5), of: known, .. } if *known == of)));

    lab.send(ada, Request::Mute(proto::MuteTrackRequest { sid: cam.clone(), muted: true }));
    salon.take(&lab).unwrap();
    assert!(salon.watcher.clone().unwrap().tracks[0].muted);
    assert_eq!(salon.adopted(), 1, "the same stream");

    lab.event(parvis_sfu::Event::TrackEnded { track: of });
    salon.take(&lab).unwrap();
    assert!(salon.watcher.clone().unwrap().tracks.is_empty());
    assert!(salon.commands.iter().any(|command| matches!(command, Command::Unpublish { .. })));
}

#[test]
fn a_guest_goes_with_its_participant_and_its_going_is_told_at_home() {
    let mut lab = Lab::new();
    let ada = lab.join("ada");
    lab.publish(ada, "mic", TrackSource::Microphone);
    lab.room.forward(lab.now, "ada", FORWARD).unwrap().unwrap();
    lab.pump();
    let mut salon = Salon::new();
    salon.take(&lab).unwrap();
    lab.send(ada, Request::Leave(proto::LeaveRequest::default()));
    assert_eq!(lab.forwarded.last().unwrap(), &(FORWARD, None));
    salon.room.drop_guest(std::time::Instant::now(), FORWARD);
    salon.pump();
    assert_eq!(salon.watcher.clone().unwrap().state(), proto::participant_info::State::Disconnected);
    assert!(salon.gone.is_empty(), "its own room knows");

    // The other way round: someone comes to the salon by that identity.
    let mut lab = Lab::new();
    lab.join("ada");
    lab.room.forward(lab.now, "ada", FORWARD).unwrap().unwrap();
    lab.pump();
    let mut salon = Salon::new();
    salon.take(&lab).unwrap();
    let join = Join { grants: Grants::of("ada"), params: dual(), address: String::new() };
    salon.room.connect(std::time::Instant::now(), ConnectionId(2), join).unwrap();
    salon.pump();
    assert_eq!(salon.gone, [FORWARD]);
    assert_eq!(salon.take(&lab), Err(ForwardError::Taken), "and it does not come back");
    let told = lab.forwarded.len();
    lab.room.stop_forward(lab.now, FORWARD);
    let ada = lab.connection_of("ada");
    lab.publish(ada, "mic", TrackSource::Microphone);
    assert_eq!(lab.forwarded.len(), told, "nobody listens any more");
}

#[test]
fn who_can_not_be_forwarded_is_refused_and_guests_are_not_forwarded_on() {
    let mut lab = Lab::new();
    assert!(lab.room.forward(lab.now, "nobody", FORWARD).is_none());
    let permissions = Permissions { hidden: true, ..Permissions::default() };
    lab.join_as(Grants { permissions, ..Grants::of("ghost") });
    assert_eq!(lab.room.forward(lab.now, "ghost", FORWARD), Some(Err(ForwardError::Hidden)));
    lab.join("ada");
    lab.room.forward(lab.now, "ada", FORWARD).unwrap().unwrap();
    lab.pump();
    let mut salon = Salon::new();
    salon.take(&lab).unwrap();
    let on = salon.room.forward(std::time::Instant::now(), "ada", ForwardId(2));
    assert_eq!(on, Some(Err(ForwardError::Guest)));
    assert_eq!(salon.room.check_guest("carol"), Err(ForwardError::Taken));
    // Time does not end it, and does not stand still for it.
    let later = std::time::Instant::now() + std::time::Duration::from_secs(400);
    salon.room.handle_timeout(later);
    salon.pump();
    assert!(salon.room.meeting().by_identity("ada").is_some());
    assert!(salon.room.poll_timeout().is_none_or(|next| next > later));
}
