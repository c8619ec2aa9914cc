// SPDX-License-Identifier: EUPL-1.2
//! Session descriptions: from text to what both sides agreed on, and back.

mod answer;
mod codecs;
mod collect;
mod config;
mod error;
mod offer;
mod reader;
mod remote;
mod session;
mod slot;
mod types;
mod write;

pub use config::{CodecPolicy, ExtensionPolicy, LocalTransport, OpusPreference, SdpLimits, SessionConfig};
pub use error::SdpError;
pub use session::{SdpStats, Session};
pub use types::{
    Codec, CodecKind, Direction, DtlsRole, Feedback, MediaKind, MediaSection, Msid, RemoteStream,
    RemoteTransport, SenderId, SenderSpec, SignalingState,
};
