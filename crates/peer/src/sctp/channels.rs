// SPDX-License-Identifier: EUPL-1.2
//! Data channels on streams (RFC 8831 section 6): opening, sending, closing, and the limits of each.

use super::association::{Association, State};
use super::dcep::{self, Dcep};
use super::receive::Message;
use super::reset::Outcome;
use super::send::{MESSAGE_OVERHEAD_BYTES, Outgoing};
use super::{OpenError, SctpEvent};
use crate::{ChannelId, ChannelSpec, SendError};
use bytes::Bytes;
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(super) struct Channels {
    /// By stream id.
    open: BTreeMap<u16, Channel>,
}

#[derive(Debug)]
struct Channel {
    spec: ChannelSpec,
    state: ChannelState,
    /// [`SendError::Full`] was answered and [`SctpEvent::Writable`] is owed.
    full: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ChannelState {
    /// Our DATA_CHANNEL_OPEN is not acknowledged.
    Opening,
    Open,
    /// No more messages; a direction is reset when its sender has said so, and the id is free when both have.
    Closing {
        told: bool,
        ours_reset: bool,
        theirs_reset: bool,
    },
}

impl Association {
    /// Opens a channel; before the handshake is done, too. [`SctpEvent::Open`] follows when the peer has agreed.
    pub fn open(&mut self, spec: ChannelSpec) -> Result<ChannelId, OpenError> {
        let limits = self.config.limits;
        if self.state == State::Ended {
            return Err(OpenError::Ended);
        }
        if spec.label.len() > limits.label_bytes {
            return Err(OpenError::LabelTooLong { bytes: spec.label.len(), limit: limits.label_bytes });
        }
        let first = u16::from(!self.config.dtls_client);
        let free = |stream: &u16| !self.channels.open.contains_key(stream) && !self.resets.concerns(*stream);
        let stream = (first..self.peer_streams).step_by(2).find(free);
        let Some(stream) = stream.filter(|_| self.channels.open.len() < limits.channels) else {
            return Err(OpenError::TooManyChannels(self.channels.open.len()));
        };
        self.push_dcep(stream, dcep::open(&spec).into());
        self.channels.open.insert(stream, Channel { spec, state: ChannelState::Opening, full: false });
        Ok(ChannelId(stream))
    }

    /// Sends a binary message.
    pub fn send(&mut self, channel: ChannelId, payload: &[u8]) -> Result<(), SendError> {
        self.send_message(channel, if payload.is_empty() { BINARY_EMPTY } else { BINARY }, payload)
    }

    /// Sends a text message.
    pub fn send_text(&mut self, channel: ChannelId, text: &str) -> Result<(), SendError> {
        self.send_message(channel, if text.is_empty() { STRING_EMPTY } else { STRING }, text.as_bytes())
    }

    /// What waits on a channel to be sent or acknowledged: payload and 64 bytes for each message.
    pub fn buffered_bytes(&self, channel: ChannelId) -> usize {
        self.sender.buffered(channel.0)
    }

    /// Closes a channel after what it holds has been sent. [`SctpEvent::Closed`] follows.
    pub fn close(&mut self, channel: ChannelId) {
        if let Some(channel) = self.channels.open.get_mut(&channel.0)
            && !matches!(channel.state, ChannelState::Closing { .. })
        {
            channel.state = ChannelState::Closing { told: false, ours_reset: false, theirs_reset: false };
        }
        self.settle();
    }

    /// Does what an input has made possible: channels that drained are told of, or closed.
    pub(super) fn settle(&mut self) {
        let waits = |channel: &Channel| channel.full || matches!(channel.state, ChannelState::Closing { .. });
        if !self.channels.open.values().any(waits) {
            return;
        }
        let mut events = Vec::new();
        let limits = self.config.limits;
        let crowded = self.sender.queued_bytes > limits.total_buffer_bytes / 4 * 3;
        self.channels.open.retain(|&stream, channel| {
            let buffered = self.sender.buffered(stream);
            if let ChannelState::Closing { told, ours_reset, theirs_reset } = &mut channel.state {
                if !*ours_reset && self.sender.is_drained(stream) && self.state == State::Established {
                    if self.peer_resets {
                        self.resets.want(stream);
                    } else {
                        (*ours_reset, *theirs_reset) = (true, true);
                    }
                }
                if (*ours_reset || *theirs_reset) && !*told {
                    *told = true;
                    events.push(SctpEvent::Closed(ChannelId(stream)));
                }
                return !(*ours_reset && *theirs_reset);
            }
            if channel.full && !crowded && buffered < channel.limit(&limits) / 4 {
                channel.full = false;
                events.push(SctpEvent::Writable(ChannelId(stream)));
            }
            true
        });
        for event in events {
            self.push_event(event);
        }
    }

    pub(super) fn handle_message(&mut self, message: Message) {
        let Message { stream, ppid, payload } = message;
        if ppid == DCEP {
            self.handle_dcep(stream, &payload);
            return;
        }
        let text = match ppid {
            STRING | STRING_EMPTY => true,
            BINARY | BINARY_EMPTY => false,
            _ => {
                self.stats.orphan_messages += 1;
                return;
            }
        };
        // An unordered message may overtake the peer's consent (RFC 8832 section 6).
        self.agree(stream);
        // After our own close a message may still be on its way.
        if self.channels.open.get(&stream).is_none_or(Channel::is_told) {
            self.stats.orphan_messages += 1;
            return;
        }
        let empty = matches!(ppid, STRING_EMPTY | BINARY_EMPTY);
        let payload = if empty { Bytes::new() } else { payload };
        self.push_event(SctpEvent::Message { channel: ChannelId(stream), text, payload });
    }

    pub(super) fn handle_reset(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::OursDone(streams) => {
                for stream in streams {
                    self.sender.reset(stream);
                    if let Some(ChannelState::Closing { ours_reset, .. }) = self.channels.state(stream) {
                        *ours_reset = true;
                    }
                }
            }
            Outcome::PeerReset(streams) => {
                let all = streams.is_empty();
                let closing: Vec<u16> = self
                    .channels
                    .open
                    .keys()
                    .copied()
                    .filter(|stream| all || streams.contains(stream))
                    .collect();
                for stream in closing {
                    let Some(state) = self.channels.state(stream) else { continue };
                    if let ChannelState::Closing { theirs_reset, .. } = state {
                        *theirs_reset = true;
                        continue;
                    }
                    *state = ChannelState::Closing { told: false, ours_reset: false, theirs_reset: true };
                    // Nobody listens any more (RFC 8831 section 6.7).
                    self.sender.hold(stream);
                }
            }
        }
    }

    pub(super) fn close_all_channels(&mut self) {
        for (stream, channel) in std::mem::take(&mut self.channels.open) {
            if !channel.is_told() {
                self.push_event(SctpEvent::Closed(ChannelId(stream)));
            }
        }
    }

    fn send_message(&mut self, id: ChannelId, ppid: u32, payload: &[u8]) -> Result<(), SendError> {
        let limit = self.message_limit();
        let limits = self.config.limits;
        let queued = self.sender.queued_bytes;
        let buffered = self.sender.buffered(id.0);
        let Some(channel) =
            self.channels.open.get_mut(&id.0).filter(|channel| channel.state == ChannelState::Open)
        else {
            return Err(SendError::NotOpen);
        };
        if payload.len() > limit {
            return Err(SendError::TooLarge { bytes: payload.len(), limit });
        }
        let cost = payload.len() + MESSAGE_OVERHEAD_BYTES;
        // One message always fits an empty channel, whatever the arithmetic of the limits.
        let full = buffered > 0 && buffered + cost > channel.limit(&limits);
        if full || queued + cost > limits.total_buffer_bytes {
            channel.full = true;
            self.stats.full_buffers += 1;
            return Err(SendError::Full);
        }
        // SCTP has no empty message: one byte that the identifier makes void (RFC 8831 section 6.6).
        let payload =
            if payload.is_empty() { Bytes::from_static(&[0]) } else { Bytes::copy_from_slice(payload) };
        let unordered = !channel.spec.ordered;
        let max_retransmits = channel.spec.max_retransmits;
        self.sender.push(id.0, Outgoing { ppid, payload, unordered, max_retransmits });
        Ok(())
    }

    fn handle_dcep(&mut self, stream: u16, payload: &[u8]) {
        match dcep::parse(payload, self.config.limits.label_bytes) {
            Some(Dcep::Ack) => self.agree(stream),
            Some(Dcep::Open(spec)) => self.accept(stream, spec),
            None => self.refuse(stream),
        }
    }

    /// The peer knows a channel that we opened.
    fn agree(&mut self, stream: u16) {
        if let Some(channel) = self.channels.open.get_mut(&stream)
            && channel.state == ChannelState::Opening
        {
            channel.state = ChannelState::Open;
            let spec = channel.spec.clone();
            self.push_event(SctpEvent::Open(ChannelId(stream), spec));
        }
    }

    fn accept(&mut self, stream: u16, spec: ChannelSpec) {
        let known = self.channels.open.get(&stream).map(|channel| channel.state);
        match known {
            // The peer knows that both directions are reset; only its answer to us was lost.
            Some(ChannelState::Closing { theirs_reset: true, .. }) => {}
            Some(_) => {
                self.stats.refused_channels += 1;
                return;
            }
            None if self.channels.open.len() >= self.config.limits.channels
                || stream >= self.peer_streams =>
            {
                self.refuse(stream);
                return;
            }
            None => {}
        }
        self.push_dcep(stream, Bytes::from_static(&dcep::ACK_MESSAGE));
        self.channels
            .open
            .insert(stream, Channel { spec: spec.clone(), state: ChannelState::Open, full: false });
        self.push_event(SctpEvent::Open(ChannelId(stream), spec));
    }

    /// Closes what was never open, by resetting its stream; beyond a channel's worth of those, the peer gets no answer.
    fn refuse(&mut self, stream: u16) {
        self.stats.refused_channels += 1;
        if self.peer_resets
            && !self.channels.open.contains_key(&stream)
            && self.resets.waiting() < self.config.limits.channels
        {
            self.resets.want(stream);
        }
    }

    /// DCEP is reliable and ordered, whatever its channel is (RFC 8832 section 6).
    fn push_dcep(&mut self, stream: u16, payload: Bytes) {
        self.sender.push(stream, Outgoing { ppid: DCEP, payload, unordered: false, max_retransmits: None });
    }
}

impl Channels {
    fn state(&mut self, stream: u16) -> Option<&mut ChannelState> {
        self.open.get_mut(&stream).map(|channel| &mut channel.state)
    }
}

impl Channel {
    fn limit(&self, limits: &super::SctpLimits) -> usize {
        if self.spec.max_retransmits.is_some() {
            limits.lossy_buffer_bytes
        } else {
            limits.reliable_buffer_bytes
        }
    }

    fn is_told(&self) -> bool {
        matches!(self.state, ChannelState::Closing { told: true, .. })
    }
}

/// Payload protocol identifiers (RFC 8831 section 8).
const DCEP: u32 = 50;
const STRING: u32 = 51;
const BINARY: u32 = 53;
const STRING_EMPTY: u32 = 56;
const BINARY_EMPTY: u32 = 57;
