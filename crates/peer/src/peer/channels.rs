// SPDX-License-Identifier: EUPL-1.2
//! Data channels: joins SCTP and DTLS (RFC 8261: one SCTP packet in one DTLS record).

use std::time::Instant;

use rand_chacha::rand_core::Rng;

use super::Peer;
use crate::{
    ChannelId, ChannelSpec, FailReason, PeerEvent, SendError,
    sctp::{Association, OpenError, SctpConfig, SctpEvent},
    sdp::DtlsRole,
};

impl Peer {
    /// Opens a data channel; before the connection is up, as soon as it is. [`PeerEvent::ChannelOpen`] follows. Our
    /// offers have a section for data channels from then on.
    pub fn open_channel(&mut self, now: Instant, spec: ChannelSpec) -> Result<ChannelId, OpenError> {
        self.session.offer_data_channels();
        let opened = self.association(now).open(spec);
        self.send_sctp(now);
        opened
    }

    /// Sends one binary message.
    pub fn send(&mut self, now: Instant, channel: ChannelId, payload: &[u8]) -> Result<(), SendError> {
        self.with_channel(now, |association| association.send(channel, payload))
    }

    /// Sends one message of text.
    pub fn send_text(&mut self, now: Instant, channel: ChannelId, text: &str) -> Result<(), SendError> {
        self.with_channel(now, |association| association.send_text(channel, text))
    }

    /// Closes a channel after what it holds was sent. [`PeerEvent::ChannelClosed`] follows.
    pub fn close_channel(&mut self, now: Instant, channel: ChannelId) {
        if let Some(association) = &mut self.sctp {
            association.close(channel);
            self.take_sctp_output(now);
        }
    }

    /// Keeps the messages of one channel back, or gives them out again. What is kept closes the window: the client stops
    /// sending and nothing is lost.
    pub fn hold_channel(&mut self, now: Instant, channel: ChannelId, held: bool) {
        if let Some(association) = &mut self.sctp {
            if held {
                association.hold(channel);
            } else {
                association.release(channel);
            }
            self.take_sctp_output(now);
        }
    }

    /// What waits on a channel to be sent or acknowledged, in bytes: payload, and
    /// [`MESSAGE_OVERHEAD_BYTES`](crate::sctp::MESSAGE_OVERHEAD_BYTES) for each message.
    pub fn buffered_bytes(&self, channel: ChannelId) -> usize {
        self.sctp.as_ref().map_or(0, |association| association.buffered_bytes(channel))
    }

    pub(super) fn handle_sctp(&mut self, now: Instant, packet: &[u8]) {
        self.association(now).handle_packet(now, packet);
        self.take_sctp_output(now);
    }

    pub(super) fn handle_sctp_timeout(&mut self, now: Instant) {
        if let Some(association) = self.sctp.as_mut().filter(|_| self.keys.is_some()) {
            association.handle_timeout(now);
            self.take_sctp_output(now);
        }
    }

    /// DTLS is up: what waited can go.
    pub(super) fn start_sctp(&mut self, now: Instant) {
        let Some(remote) = &self.remote else { return };
        let dtls_client = remote.dtls_role == DtlsRole::Client;
        if remote.data_channels {
            let association = self.association(now);
            // It may be older than the answer that made us the client.
            if dtls_client {
                association.initiate(now);
            }
            self.take_sctp_output(now);
        }
    }

    /// The peer said how large a message may be.
    pub(super) fn tell_max_message_size(&mut self) {
        if let (Some(association), Some(remote)) = (&mut self.sctp, &self.remote) {
            association.set_remote_max_message_size(remote.max_message_size);
        }
    }

    fn with_channel(
        &mut self,
        now: Instant,
        act: impl FnOnce(&mut Association) -> Result<(), SendError>,
    ) -> Result<(), SendError> {
        let done = act(self.sctp.as_mut().ok_or(SendError::NotOpen)?);
        self.send_sctp(now);
        done
    }

    /// The association, from its first use on. Before the answer to our offer is there we take ourselves for the DTLS
    /// server, as every browser will have it; the role decides which stream ids are ours (RFC 8832 section 6).
    fn association(&mut self, now: Instant) -> &mut Association {
        let dtls_client = self.remote.as_ref().is_some_and(|remote| remote.dtls_role == DtlsRole::Client);
        let association = self.sctp.get_or_insert_with(|| {
            let mut seed = [0; 32];
            self.random.fill_bytes(&mut seed);
            let config = SctpConfig { dtls_client, initiate: dtls_client, limits: self.config.sctp };
            Association::new(config, seed, now)
        });
        if let Some(remote) = &self.remote {
            association.set_remote_max_message_size(remote.max_message_size);
        }
        association
    }

    fn take_sctp_output(&mut self, now: Instant) {
        self.send_sctp(now);
        while let Some(event) = self.sctp.as_mut().and_then(Association::poll_event) {
            let event = match event {
                SctpEvent::Open(channel, spec) => PeerEvent::ChannelOpen(channel, spec),
                SctpEvent::Message { channel, text, payload } => {
                    PeerEvent::ChannelMessage { channel, text, payload }
                }
                SctpEvent::Writable(channel) => PeerEvent::ChannelWritable(channel),
                SctpEvent::Closed(channel) => PeerEvent::ChannelClosed(channel),
                // Data channels end with their connection only: the peer leaves.
                SctpEvent::Failed(_) => return self.fail(FailReason::Closed),
            };
            self.events.push_back(event);
        }
        // Taking messages opens the window: the peer has to be told.
        self.send_sctp(now);
    }

    fn send_sctp(&mut self, now: Instant) {
        if self.keys.is_none() {
            return;
        }
        while let Some(packet) = self.sctp.as_mut().and_then(|association| association.poll_transmit(now)) {
            let sent = self.dtls.as_mut().map_or(Ok(()), |dtls| dtls.send(now, &packet));
            self.send_dtls();
            if let Err(error) = sent {
                return self.fail(FailReason::Handshake(error.to_string()));
            }
        }
    }
}
