// SPDX-License-Identifier: EUPL-1.2
//! What a token says of the room that it opens. It counts for a room that comes to be by it: one that is there already, or
//! that was configured by an application's server, stays as it is. Agents that a token asks for are the owner's to
//! dispatch, who knows first that a room comes to be.

use std::time::Duration;

use livekit_protocol::RoomConfiguration;
use parvis_rtp::PlayoutDelay;
use parvis_sfu::{Command, PeerId, PeerRole};

use super::{Room, RoomSettings};
use crate::{Output, RoomConfig};

/// The largest bound of a playout delay, in its unit of 10 ms (12 bits).
const MAX_DELAY: u32 = 4095;

/// How a room began.
#[derive(Debug, Default)]
pub(super) struct Start {
    /// Somebody came, or an application's server said how it is to be.
    decided: bool,
    sync_streams: bool,
    playout_delay: Option<PlayoutDelay>,
}

impl Start {
    /// Whether a camera and its microphone share a stream here.
    pub(super) fn syncs_streams(&self, config: &RoomConfig) -> bool {
        config.sync_streams || self.sync_streams
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
        let seconds = |seconds: u32| (seconds > 0).then(|| Duration::from_secs(seconds.into()));
        let settings = RoomSettings {
            empty_timeout: seconds(wanted.empty_timeout),
            departure_timeout: seconds(wanted.departure_timeout),
            max_participants: usize::try_from(wanted.max_participants).ok().filter(|count| *count > 0),
            metadata: Some(wanted.metadata).filter(|metadata| !metadata.is_empty()),
        };
        if let Err(error) = self.configure_room(settings) {
            tracing::info!(room = %self.sid, %error, "what a token says of its room is left out");
        }
        self.start.sync_streams = wanted.sync_streams;
        self.start.playout_delay = playout_delay(wanted.min_playout_delay, wanted.max_playout_delay);
        if let Some(egress) = wanted.egress {
            self.outputs.push_back(Output::StartEgress(Box::new(egress)));
        }
    }

    /// Has the forwarder make a peer connection as this room's are.
    pub(super) fn create_peer(&mut self, peer: PeerId, role: PeerRole) {
        self.command(Command::CreatePeer { room: self.id, peer, role });
        if let Some(delay) = self.start.playout_delay.filter(|_| role != PeerRole::Publisher) {
            self.command(Command::SetPlayoutDelay { peer, delay });
        }
    }
}

/// Bounds in milliseconds, 0 for none, in the words of the header extension.
fn playout_delay(min_ms: u32, max_ms: u32) -> Option<PlayoutDelay> {
    let (min, max) = ((min_ms / 10).min(MAX_DELAY), (max_ms / 10).min(MAX_DELAY));
    let unit = |value: u32| u16::try_from(value).unwrap_or(u16::MAX);
    let max = if max == 0 { MAX_DELAY } else { max.max(min) };
    (min_ms > 0 || max_ms > 0).then(|| PlayoutDelay { min: unit(min), max: unit(max) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_of_the_delay_are_in_order_and_in_range() {
        assert_eq!(playout_delay(0, 0), None);
        assert_eq!(playout_delay(200, 1000), Some(PlayoutDelay { min: 20, max: 100 }));
        assert_eq!(playout_delay(500, 0), Some(PlayoutDelay { min: 50, max: 4095 }));
        assert_eq!(playout_delay(900, 100), Some(PlayoutDelay { min: 90, max: 90 }));
        assert_eq!(playout_delay(0, u32::MAX), Some(PlayoutDelay { min: 0, max: 4095 }));
    }
}
