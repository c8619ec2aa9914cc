// SPDX-License-Identifier: EUPL-1.2
//! Session descriptions: from text to what both sides agreed on, and back.

mod types;

pub use types::{
    Codec, CodecKind, Direction, Feedback, MediaKind, MediaSection, Msid, RemoteStream, RemoteTransport,
    SenderId, SenderSpec,
};
