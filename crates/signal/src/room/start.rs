// SPDX-License-Identifier: EUPL-1.2
//! What a token says of the room that it opens. It counts for a room that comes to be by it: one that is there already, or
//! that was configured by an application's server, stays as it is. Agents that a token asks for are the owner's to
//! dispatch, who knows first that a room comes to be.

use std::time::Duration;

use livekit_protocol::{EncodedFileOutput, RoomCompositeEgressRequest, RoomConfiguration, RoomEgress};
use parvis_meeting::Kind;
use parvis_rtp::PlayoutDelay;
use parvis_sfu::{Command, PeerId, PeerRole};

use super::{RECORD_NOTHING, Room, RoomSettings};
use crate::{Output, RoomConfig};

/// The largest bound of a playout delay, in its unit of 10 ms (12 bits).
const MAX_DELAY: u16 = 4095;

/// How a room began.
#[derive(Debug, Default)]
pub(super) struct Start {
    /// Somebody came, or an application's server said how it is to be.
    decided: bool,
    sync_streams: bool,
    playout_delay: Option<(Duration, Duration)>,
    /// The layout by which it is recorded by itself, if that was said.
    record: Option<String>,
    /// The first person was there.
    peopled: bool,
    /// Days for which recordings are kept at most.
    recording_retention: Option<u32>,
    /// Recordings keep nothing of the chat.
    withholds_chat: bool,
}

impl Start {
    /// Whether a camera and its microphone share a stream here.
    pub(super) fn syncs_streams(&self, config: &RoomConfig) -> bool {
        config.sync_streams || self.sync_streams
    }

    /// Whether recordings keep nothing of the chat, even where they may.
    pub(super) fn withholds_chat(&self) -> bool {
        self.withholds_chat
    }

    /// Takes what is said of how media is received.
    pub(super) fn take(&mut self, settings: &RoomSettings) {
        self.playout_delay = settings.playout_delay.or(self.playout_delay);
        self.sync_streams |= settings.sync_streams;
        self.withholds_chat |= settings.withholds_chat;
        if let Some(layout) = &settings.record {
            self.record = Some(layout.clone());
        }
        let known = self.recording_retention.into_iter();
        self.recording_retention = known.chain(settings.recording_retention).min();
    }
}

impl Room {
    /// It is decided how the room is to be: what tokens say of it no longer counts.
    pub(super) fn decided(&mut self) {
        self.start.decided = true;
    }

    /// The first one comes, with what its token says of the room. What can't be is left out: it must not keep anyone away.
    pub(super) fn begin_with(&mut self, wanted: Option<Box<RoomConfiguration>>) {
        if std::mem::replace(&mut self.start.decided, true) {
            return;
        }
        let Some(wanted) = wanted else { return };
        let settings = RoomSettings::of(&wanted);
        if let Err(error) = self.configure_room(settings.clone()) {
            tracing::info!(room = %self.sid, %error, "what a token says of its room is left out");
            // Only its text can be too much.
            let _ = self.configure_room(RoomSettings { metadata: None, ..settings });
        }
        if let Some(egress) = wanted.egress {
            self.outputs.push_back(Output::StartEgress(Box::new(egress)));
        }
    }

    /// Has the room recorded when its first person is there, if that is how it is to be. Programs alone are not worth it.
    pub(super) fn record_by_itself(&mut self, kind: Kind) {
        if matches!(kind, Kind::Agent | Kind::Egress) || std::mem::replace(&mut self.start.peopled, true) {
            return;
        }
        let layout = self.start.record.as_ref().unwrap_or(&self.config.record).clone();
        if layout.is_empty() || layout == RECORD_NOTHING {
            return;
        }
        let file_outputs = vec![EncodedFileOutput::default()];
        let room = RoomCompositeEgressRequest { layout, file_outputs, ..Default::default() };
        let egress = RoomEgress { room: Some(room), ..Default::default() };
        self.outputs.push_back(Output::StartEgress(Box::new(egress)));
    }

    /// Days after their end for which recordings of this room are kept at most, if whoever made it said so.
    pub fn recording_retention(&self) -> Option<u32> {
        self.start.recording_retention
    }

    /// Has the forwarder make a peer connection as this room's are.
    pub(super) fn create_peer(&mut self, peer: PeerId, role: PeerRole) {
        self.command(Command::CreatePeer { room: self.id, peer, role });
        let (least, most) = self.start.playout_delay.unwrap_or(self.config.playout_delay);
        if let Some(delay) = playout_delay(least, most).filter(|_| role != PeerRole::Publisher) {
            self.command(Command::SetPlayoutDelay { peer, delay });
        }
    }
}

/// Bounds, no time at all for none, in the words of the header extension.
fn playout_delay(least: Duration, most: Duration) -> Option<PlayoutDelay> {
    let unit = |time: Duration| u16::try_from(time.as_millis() / 10).unwrap_or(MAX_DELAY).min(MAX_DELAY);
    let min = unit(least);
    let max = if most.is_zero() { MAX_DELAY } else { unit(most).max(min) };
    (!least.is_zero() || !most.is_zero()).then_some(PlayoutDelay { min, max })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_of_the_delay_are_in_order_and_in_range() {
        let delay = |least, most| playout_delay(Duration::from_millis(least), Duration::from_millis(most));
        assert_eq!(delay(0, 0), None);
        assert_eq!(delay(200, 1000), Some(PlayoutDelay { min: 20, max: 100 }));
        assert_eq!(delay(500, 0), Some(PlayoutDelay { min: 50, max: 4095 }));
        assert_eq!(delay(900, 100), Some(PlayoutDelay { min: 90, max: 90 }));
        assert_eq!(delay(0, u64::MAX), Some(PlayoutDelay { min: 0, max: 4095 }));
    }
}
