// SPDX-License-Identifier: EUPL-1.2
//! What a client says in the URL when it connects: `/rtc` has one query parameter per word ([`query`]), `/rtc/v1` one
//! message in one parameter ([`wrapped`]). Both come to the same [`JoinParams`].

mod query;
mod wrapped;

use std::collections::BTreeMap;

use livekit_protocol as proto;

use crate::wire::SERVER_PROTOCOL;

/// Largest query string, in bytes. A join request is below 16 KiB, an offer in it included; most HTTP servers end at 64.
pub(crate) const MAX_QUERY_BYTES: usize = 256 * 1024;
/// Largest join request after decompression, in bytes (row 28: a kilobyte of gzip can hold a megabyte).
pub(crate) const MAX_JOIN_REQUEST_BYTES: usize = 1024 * 1024;

/// Which form of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// `/rtc`: two peer connections; the client publishes on one, we offer on the other.
    Dual,
    /// `/rtc/v1`: one peer connection, the client always offers.
    Single,
}

/// What a client asks for when it connects.
#[derive(Debug, Clone, PartialEq)]
pub struct JoinParams {
    /// Which form.
    pub form: Form,
    /// What it says of itself.
    pub client: proto::ClientInfo,
    /// Whether it wants every track that it doesn't refuse.
    pub auto_subscribe: bool,
    /// Whether it wants every data track.
    pub auto_data_tracks: bool,
    /// Whether it says itself what it shows of each track.
    pub adaptive_stream: bool,
    /// Metadata in place of the token's.
    pub metadata: Option<String>,
    /// Attributes beyond the token's.
    pub attributes: BTreeMap<String, String>,
    /// Tracks to publish at once.
    pub add_tracks: Vec<proto::AddTrackRequest>,
    /// The first offer.
    pub publisher_offer: Option<proto::SessionDescription>,
    /// The session to be taken up again.
    pub resume: Option<Resume>,
}

impl JoinParams {
    /// Of one that says nothing of itself.
    pub(crate) fn silent() -> JoinParams {
        JoinParams {
            form: Form::Single,
            client: proto::ClientInfo { protocol: SERVER_PROTOCOL, ..Default::default() },
            auto_subscribe: false,
            auto_data_tracks: false,
            adaptive_stream: false,
            metadata: None,
            attributes: BTreeMap::new(),
            add_tracks: Vec::new(),
            publisher_offer: None,
            resume: None,
        }
    }
}

/// What a client says to take its session up again.
#[derive(Debug, Clone, PartialEq)]
pub struct Resume {
    /// The participant that it is.
    pub participant_sid: String,
    /// What it knows, when it says so at once.
    pub sync_state: Option<proto::SyncState>,
}

/// Why the URL is no join request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// Larger than anything honest.
    #[error("{what} is larger than {limit} bytes")]
    TooLarge {
        /// What.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// A parameter that must be there is not.
    #[error("parameter {0} is missing")]
    Missing(&'static str),
    /// A parameter can't be read.
    #[error("parameter {parameter}: {problem}")]
    Invalid {
        /// Which.
        parameter: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}

impl JoinError {
    /// The HTTP status that says so.
    pub fn status(&self) -> u16 {
        match self {
            JoinError::TooLarge { .. } => 413,
            JoinError::Missing(_) | JoinError::Invalid { .. } => 400,
        }
    }
}

impl JoinParams {
    /// Reads the raw query string, still percent-encoded. The token in it is the caller's to find and to check.
    pub fn parse(form: Form, query: &str) -> Result<JoinParams, JoinError> {
        if query.len() > MAX_QUERY_BYTES {
            return Err(JoinError::TooLarge { what: "the query", limit: MAX_QUERY_BYTES });
        }
        match form {
            Form::Dual => query::parse(query),
            Form::Single => wrapped::parse(query),
        }
    }

    /// The signalling protocol's version that the client speaks.
    pub fn protocol(&self) -> i32 {
        self.client.protocol
    }
}

/// The first value of a parameter, percent-decoded.
fn parameter(query: &str, name: &str) -> Option<String> {
    form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}
