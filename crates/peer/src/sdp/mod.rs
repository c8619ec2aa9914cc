// SPDX-License-Identifier: EUPL-1.2
//! Session descriptions: from text to what both sides agreed on, and back.
//!
//! [`Session`] keeps the state of offer and answer (RFC 8829) for a peer connection whose sections share one transport
//! (BUNDLE, RFC 9143). Its invariant: what is agreed changes only when an exchange is complete, that is in
//! [`Session::write_answer`] or in [`Session::accept_answer`]; a description that is refused, or an offer that is rolled
//! back, leaves no trace.
//!
//! A peer's text passes through `reader` (lines), `collect` and `remote` (what they say), then `answer` or `offer` (what
//! of it we take), and becomes m-lines (`slot`); `write` makes text of m-lines. `codecs` decides which payload types are
//! the same.
//!
//! ```
//! use std::sync::Arc;
//! use parvis_peer::sdp::{CodecKind, LocalTransport, MediaKind, Msid, SenderId, SenderSpec, Session, SessionConfig};
//!
//! let local = LocalTransport {
//!     ufrag: "ourUfrag".into(),
//!     password: "ourPasswordOf24Characters".into(),
//!     fingerprint: [0xab; 32],
//!     candidates: Vec::new(),
//!     sctp_port: 5000,
//!     max_message_size: 65_536,
//! };
//! let config = Arc::new(SessionConfig::default());
//! let (mut offerer, mut answerer) = (Session::new(config.clone(), 1), Session::new(config, 2));
//! offerer.add_sender(SenderSpec {
//!     id: SenderId(1),
//!     kind: MediaKind::Audio,
//!     codecs: vec![CodecKind::Opus],
//!     msid: Msid { stream: "PA_1".into(), track: "TR_1".into() },
//!     ssrc: 1234,
//!     rtx_ssrc: None,
//!     fec_ssrc: None,
//! });
//! let offer = offerer.write_offer(&local)?;
//! answerer.accept_offer(&offer)?;
//! let answer = answerer.write_answer(&local)?;
//! offerer.accept_answer(&answer)?;
//! assert_eq!(offerer.sections()[0].sender, Some(SenderId(1)));
//! assert!(answerer.sections()[0].direction.receives());
//! # Ok::<(), parvis_peer::sdp::SdpError>(())
//! ```

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

pub use config::{CodecPolicy, EncoderPreference, ExtensionPolicy, LocalTransport, SdpLimits, SessionConfig};
pub use error::SdpError;
pub use session::{SdpStats, Session};
pub use types::{
    Codec, CodecKind, Direction, DtlsRole, Feedback, MediaKind, MediaSection, Msid, RemoteStream,
    RemoteTransport, SenderId, SenderSpec, SignalingState,
};
