// SPDX-License-Identifier: EUPL-1.2
//! The data channels: which of a peer's channels serves which purpose, and messages to and from them.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;
use parvis_peer::{ChannelId, ChannelSpec, SendError};

use super::room::{Context, Entry};
use crate::{DataChannel, Event};

/// Messages kept for a reliable channel that is not open yet. A client opens it within a second of connecting;
/// until then a busy room sends it some dozens of messages.
const WAITING_MESSAGES: usize = 128;
/// And their bytes in all.
const WAITING_BYTES: usize = 512 * 1024;
/// What a message on a data channel costs beside its payload, in bytes.
pub const DATA_OVERHEAD_BYTES: usize = parvis_peer::sctp::MESSAGE_OVERHEAD_BYTES;
/// How much a reader takes until that is told: an eighth of what a reliable channel holds, so that whoever feeds it knows
/// in time, and a chat makes no events at all.
pub const DATA_TAKEN_STEP_BYTES: u64 = 128 * 1024;

impl Entry {
    /// Opens the channels on which a client of `/rtc` receives.
    pub(super) fn open_channels(&mut self, now: Instant) {
        for purpose in DataChannel::ALL {
            let reliable = purpose == DataChannel::Reliable;
            let spec = ChannelSpec {
                label: purpose.label().to_owned(),
                ordered: reliable,
                max_retransmits: (!reliable).then_some(0),
            };
            // Refused only beyond the peer's limit of channels, which is far above three.
            let _ = self.peer.open_channel(now, spec);
        }
    }
}

impl Context<'_> {
    /// Sends a message, or says that it could not be sent.
    pub(super) fn send_data(&mut self, purpose: DataChannel, payload: Bytes) -> bool {
        let now = self.now;
        let Some(entry) = self.entry() else { return false };
        let reliable = purpose == DataChannel::Reliable;
        let sent = match entry.channels[purpose as usize] {
            Some(channel) => entry.peer.send(now, channel, &payload),
            None if reliable && entry.has_room_for(payload.len()) => {
                entry.waiting.push_back(payload);
                return true;
            }
            None => Err(SendError::NotOpen),
        };
        if sent.is_ok() && reliable {
            entry.data_given += (payload.len() + DATA_OVERHEAD_BYTES) as u64;
        }
        if sent.is_err() {
            self.stats.data_dropped += 1;
            if purpose == DataChannel::Reliable {
                let peer = self.id;
                self.tell(Event::DataOverflow { peer, channel: purpose });
            }
        }
        true
    }

    /// Takes no more of the client's reliable messages, or takes them again. Without a channel there are none.
    pub(super) fn hold_data(&mut self, held: bool) -> bool {
        let now = self.now;
        let Some(entry) = self.entry() else { return false };
        if let Some(channel) = entry.channels[DataChannel::Reliable as usize] {
            entry.peer.hold_channel(now, channel, held);
        }
        true
    }

    /// Tells how the reliable channel drained, when it is worth a word.
    pub(super) fn tell_taken(&mut self) {
        let peer = self.id;
        let Some(entry) = self.entry().filter(|entry| entry.data_given > entry.data_told) else { return };
        let Some(channel) = entry.channels[DataChannel::Reliable as usize] else { return };
        let left = entry.peer.buffered_bytes(channel) as u64;
        let bytes = entry.data_given.saturating_sub(left).saturating_sub(entry.data_told);
        if bytes >= DATA_TAKEN_STEP_BYTES {
            entry.data_told += bytes;
            self.tell(Event::DataTaken { peer, bytes });
        }
    }

    pub(super) fn channel_open(&mut self, channel: ChannelId, spec: &ChannelSpec) {
        let purpose = DataChannel::ALL.into_iter().find(|purpose| purpose.label() == spec.label);
        let (Some(purpose), Some(entry)) = (purpose, self.entry()) else { return };
        entry.channels[purpose as usize] = Some(channel);
        // Data tracks came late to the protocol: older clients open only the first two.
        let open = entry.channels[..2].iter().all(Option::is_some);
        let first = open && !entry.channels_told;
        entry.channels_told |= open;
        let mut waiting = VecDeque::new();
        if purpose == DataChannel::Reliable {
            std::mem::swap(&mut waiting, &mut entry.waiting);
        }
        if first {
            let peer = self.id;
            self.tell(Event::ChannelsOpen { peer });
        }
        for payload in waiting {
            self.send_data(purpose, payload);
        }
    }

    pub(super) fn channel_message(&mut self, channel: ChannelId, payload: Bytes) {
        let Some(entry) = self.entry() else { return };
        let place = entry.channels.iter().position(|known| *known == Some(channel));
        // A channel by another name is none that the protocol knows.
        let Some(purpose) = place.map(|place| DataChannel::ALL[place]) else { return };
        let peer = self.id;
        self.tell(Event::Data { peer, channel: purpose, payload });
    }

    pub(super) fn channel_closed(&mut self, channel: ChannelId) {
        let Some(entry) = self.entry() else { return };
        for known in &mut entry.channels {
            if *known == Some(channel) {
                *known = None;
            }
        }
    }
}

impl Entry {
    fn has_room_for(&self, bytes: usize) -> bool {
        let held: usize = self.waiting.iter().map(Bytes::len).sum();
        self.waiting.len() < WAITING_MESSAGES && held + bytes <= WAITING_BYTES
    }
}
