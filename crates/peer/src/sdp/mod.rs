// SPDX-License-Identifier: EUPL-1.2
//! Session descriptions: from text to what both sides agreed on, and back.

mod config;
mod error;
mod session;
mod types;

pub use config::{CodecPolicy, ExtensionPolicy, LocalTransport, OpusPreference, SdpLimits, SessionConfig};
pub use error::SdpError;
pub use session::Session;
pub use types::{
    Codec, CodecKind, Direction, DtlsRole, Feedback, MediaKind, MediaSection, Msid, RemoteStream,
    RemoteTransport, SenderId, SenderSpec, SignalingState,
};
