// SPDX-License-Identifier: EUPL-1.2
//! How one room behaves otherwise than all others.

use std::sync::Arc;
use std::time::Duration;

use livekit_protocol as proto;
use livekit_protocol::signal_response::Message as Response;
use parvis_meeting::{Limits, text};

use super::{ControlError, Reply, Room};

/// What whoever makes a room says of it. What is not said stays as it is, at first as the server is configured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoomSettings {
    /// How long the room waits for its first participant; at most [`crate::RoomConfig::longest_timeout`].
    pub empty_timeout: Option<Duration>,
    /// How long it waits after its last participant left; at most the same.
    pub departure_timeout: Option<Duration>,
    /// Places for people; never more than the server's own limit.
    pub max_participants: Option<usize>,
    /// The application's own text about the room.
    pub metadata: Option<String>,
    /// How late receivers show pictures, at least and at most, for whoever connects from then on; no time at all is no bound.
    pub playout_delay: Option<(Duration, Duration)>,
    /// Whether a camera and its microphone share a media stream, even where rooms are not configured so.
    pub sync_streams: bool,
    /// Whether people are asked before recorders have their tracks, even where rooms are not configured so. It can't be taken
    /// back.
    pub recording_consent: bool,
    /// The layout by which the room is recorded from its first person on; empty: it isn't, even where rooms are configured so.
    pub record: Option<String>,
    /// Days after their end that recordings of the room are kept at most. The shortest that was said counts.
    pub recording_retention: Option<u32>,
    /// Whether recordings keep nothing of the chat, even where they do of others. It can't be taken back.
    pub withholds_chat: bool,
}

/// The tag of a room by which whoever makes it asks for [`RoomSettings::recording_consent`], …
pub const CONSENT_TAG: &str = "parvis.recording_consent";
/// … and its value. Another one counts as this: a slip must not record anybody.
pub const CONSENT_ASK: &str = "ask";
/// The one that says that nobody is asked.
const CONSENT_INFORM: &str = "inform";

/// The tag of a room by which whoever makes it asks for [`RoomSettings::record`], by the layout or by [`RECORD_NOTHING`].
pub const RECORD_TAG: &str = "parvis.record";
/// The word of the tag that says that the room is not recorded by itself.
pub const RECORD_NOTHING: &str = "none";
/// The tag of a room by which whoever makes it asks for [`RoomSettings::recording_retention`].
pub const RETENTION_TAG: &str = "parvis.recording_retention";
/// The tag of a room by which whoever makes it says whether recordings keep the chat, where the server lets them, …
const RECORDED_CHAT_TAG: &str = "parvis.recording_chat";
/// … by this word, which is as good as none. Another one counts as a no: a slip must not keep anything.
const KEEP_CHAT: &str = "keep";
/// The longest that can be asked for, in days.
const MAX_RETENTION_DAYS: u32 = 36_500;

/// The days that a value of [`RETENTION_TAG`] stands for; `None` if it is none.
pub fn retention_days(value: &str) -> Option<u32> {
    value.parse().ok().filter(|days| (1..=MAX_RETENTION_DAYS).contains(days))
}

impl RoomSettings {
    /// What is wanted of a room. In it 0 and empty texts stand for what is not said. Its name, its agents and its egress are
    /// not the room's own business.
    pub fn of(wanted: &proto::RoomConfiguration) -> RoomSettings {
        let seconds = |seconds: u32| (seconds > 0).then(|| Duration::from_secs(seconds.into()));
        let delay = [wanted.min_playout_delay, wanted.max_playout_delay];
        let [least, most] = delay.map(|milliseconds| Duration::from_millis(milliseconds.into()));
        RoomSettings {
            empty_timeout: seconds(wanted.empty_timeout),
            departure_timeout: seconds(wanted.departure_timeout),
            max_participants: usize::try_from(wanted.max_participants).ok().filter(|count| *count > 0),
            metadata: Some(wanted.metadata.clone()).filter(|metadata| !metadata.is_empty()),
            playout_delay: (delay != [0, 0]).then_some((least, most)),
            sync_streams: wanted.sync_streams,
            recording_consent: wanted.tags.get(CONSENT_TAG).is_some_and(|value| value != CONSENT_INFORM),
            record: match wanted.tags.get(RECORD_TAG) {
                Some(layout) if layout == RECORD_NOTHING => Some(String::new()),
                Some(layout) => Some(layout.clone()),
                // Whoever says how it is recorded needs no other recording.
                None => wanted.egress.as_ref().is_some_and(|egress| egress.room.is_some()).then(String::new),
            },
            recording_retention: wanted.tags.get(RETENTION_TAG).and_then(|days| retention_days(days)),
            withholds_chat: wanted.tags.get(RECORDED_CHAT_TAG).is_some_and(|word| word != KEEP_CHAT),
        }
    }
}

impl Room {
    pub(in crate::room) fn configure_room(&mut self, settings: RoomSettings) -> Result<Reply, ControlError> {
        let before = self.meeting.limits();
        if let Some(metadata) = &settings.metadata {
            text::check_bytes("metadata", metadata.len(), before.metadata_bytes)?;
        }
        let longest = self.config.longest_timeout;
        let limits = Limits {
            empty_timeout: settings.empty_timeout.map_or(before.empty_timeout, |time| time.min(longest)),
            departure_timeout: settings
                .departure_timeout
                .map_or(before.departure_timeout, |time| time.min(longest)),
            seats: settings.max_participants.map(|seats| seats.min(before.participants)).or(before.seats),
            ..before.clone()
        };
        self.meeting.set_limits(Arc::new(limits));
        self.start.take(&settings);
        if settings.recording_consent {
            self.meeting.ask_consent();
        }
        if let Some(metadata) = settings.metadata.filter(|metadata| *metadata != self.metadata) {
            self.metadata = metadata;
            let room = self.room_info();
            self.broadcast(Response::RoomUpdate(proto::RoomUpdate { room: Some(room) }));
        }
        Ok(self.described())
    }
}
