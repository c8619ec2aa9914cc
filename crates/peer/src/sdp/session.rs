// SPDX-License-Identifier: EUPL-1.2
//! The negotiation of one BUNDLEd peer connection.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{
    LocalTransport, MediaSection, OpusPreference, RemoteTransport, SdpError, SenderId, SenderSpec,
    SessionConfig, SignalingState,
};

/// The state of offer and answer (RFC 8829) for one peer connection whose sections all share one transport.
#[derive(Debug, Clone)]
pub struct Session {
    config: Arc<SessionConfig>,
    session_id: u64,
    state: SignalingState,
    sections: Vec<MediaSection>,
    senders: BTreeMap<SenderId, SenderSpec>,
    wants_data: bool,
}

impl Session {
    /// A session without sections. `session_id` goes into `o=`; it should be random.
    pub fn new(config: Arc<SessionConfig>, session_id: u64) -> Session {
        Session {
            config,
            session_id,
            state: SignalingState::Stable,
            sections: Vec::new(),
            senders: BTreeMap::new(),
            wants_data: false,
        }
    }

    /// Reads the peer's offer. [`Session::write_answer`] comes next; nothing is agreed before.
    pub fn accept_offer(&mut self, _sdp: &str) -> Result<RemoteTransport, SdpError> {
        Err(SdpError::State { what: "an offer came", state: self.state })
    }

    /// Answers the offer read last, placing our waiting senders into its free sections.
    pub fn write_answer(&mut self, _local: &LocalTransport) -> Result<String, SdpError> {
        Err(SdpError::State { what: "an answer was asked for", state: self.state })
    }

    /// Offers all that we have and want. A further offer before the answer takes the place of the first.
    pub fn write_offer(&mut self, _local: &LocalTransport) -> Result<String, SdpError> {
        let _ = (&self.config, self.session_id);
        Err(SdpError::State { what: "an offer was asked for", state: self.state })
    }

    /// Reads the answer to our offer; then its sections are agreed.
    pub fn accept_answer(&mut self, _sdp: &str) -> Result<RemoteTransport, SdpError> {
        Err(SdpError::State { what: "an answer came", state: self.state })
    }

    /// Takes back the offer that is under way, whosever it is.
    pub fn rollback(&mut self) {
        self.state = SignalingState::Stable;
    }

    /// Adds a track of ours; it gets a section with the next exchange.
    pub fn add_sender(&mut self, spec: SenderSpec) {
        self.senders.insert(spec.id, spec);
    }

    /// Removes a track of ours. Its section goes inactive with the next exchange and serves a later sender after it.
    pub fn remove_sender(&mut self, id: SenderId) {
        self.senders.remove(&id);
    }

    /// Makes our offers have a section for data channels.
    pub fn offer_data_channels(&mut self) {
        self.wants_data = true;
    }

    /// Says how the peer's track `track` (its id in the peer's msid) wants its Opus; our answers ask for it.
    pub fn prefer_opus(&mut self, _track: &str, _preference: OpusPreference) {}

    /// What is agreed: the sections of sound and pictures, in the order of their m-lines, without dead ones.
    pub fn sections(&self) -> &[MediaSection] {
        &self.sections
    }

    /// Whether something changed that the peer hasn't been told of in the last offer or answer.
    pub fn needs_negotiation(&self) -> bool {
        false
    }

    /// How many senders of sound and of pictures have no section.
    pub fn unplaced_senders(&self) -> (usize, usize) {
        (0, 0)
    }

    /// How many more receiving sections of sound and of pictures the peer must offer so that each sender finds one.
    pub fn sections_wanted(&self) -> (usize, usize) {
        (0, 0)
    }

    /// Where the exchange stands.
    pub fn state(&self) -> SignalingState {
        self.state
    }
}
