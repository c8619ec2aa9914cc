// SPDX-License-Identifier: EUPL-1.2
//! Data channels: joins SCTP and DTLS.

use std::time::Instant;

use super::Peer;
use crate::{ChannelId, ChannelSpec, SendError};

/// Why a channel could not be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The connection has ended.
    #[error("the connection has ended")]
    Ended,
}

impl Peer {
    /// Opens a data channel; before the connection is up, as soon as it is.
    pub fn open_channel(&mut self, _now: Instant, _spec: ChannelSpec) -> Result<ChannelId, OpenError> {
        self.session.offer_data_channels();
        Err(OpenError::Ended)
    }

    /// Sends one binary message.
    pub fn send(&mut self, _now: Instant, _channel: ChannelId, _payload: &[u8]) -> Result<(), SendError> {
        Err(SendError::NotOpen)
    }

    pub(super) fn handle_sctp(&mut self, _now: Instant, _packet: &[u8]) {}
}
