// SPDX-License-Identifier: EUPL-1.2
//! A meeting's sessions in the LiveKit signalling protocol, protocol 9 and up, in both of its forms: `/rtc` with two
//! peer connections and `/rtc/v1` with one. Messages and events in, messages and commands out; no socket, no clock.
//!
//! **The invariant:** who acts is the session that a connection belongs to; ids in a message only ever name targets.
//! After every call, take outputs until [`Room::poll_output`] has none left, and call [`Room::handle_timeout`] at
//! [`Room::poll_timeout`].
//!
//! ```
//! use std::{sync::Arc, time::Instant};
//! use parvis_sfu::RoomId;
//! use parvis_signal::{ConnectionId, Form, Grants, Join, JoinParams, Output, Room, RoomConfig};
//!
//! let now = Instant::now();
//! let mut room = Room::new(Arc::new(RoomConfig::default()), RoomId(1), "atelier", [7; 32], now, 1_800_000_000_000);
//! let params = JoinParams::parse(Form::Dual, "protocol=16&sdk=js&auto_subscribe=1").unwrap();
//! let join = Join { grants: Grants::of("ada"), params, address: "192.0.2.1".to_owned() };
//! room.connect(now, ConnectionId(1), join).unwrap();
//! let first = room.poll_output();
//! assert!(matches!(first, Some(Output::Send { connection: ConnectionId(1), .. })), "the join response comes first");
//! ```

mod bucket;
mod config;
mod grants;
mod join;
mod mailbox;
mod output;
mod relay;
mod room;
mod session;
mod stats;
mod wire;

pub use config::{Rate, RoomConfig};
pub use grants::{Beside, Grants};
pub use join::{Form, JoinError, JoinParams, Resume};
pub use output::{Answer, Frame, Instruction, Occurrence, OccurrenceKind, Output};
pub use relay::RelayOffer;
pub use room::{
    Actor, CONSENT_ASK, CONSENT_TAG, Caller, ClosedError, Conduct, ConnectError, ConnectionId, Control,
    ControlError, ForwardError, ForwardId, ForwardedStream, ForwardedView, Join, NoPlace, Offer, OfferError,
    Purpose, RECORD_NOTHING, RECORD_TAG, RETENTION_TAG, RecordError, RecordScope, RecordedCaption,
    RecordedMessage, RecordedTrack, Recorder, RecordingNews, Reply, Room, RoomSettings, RoomView, RpcError,
    Target, retention_days,
};
pub use stats::RoomStats;
pub use wire::{
    DataPacket, SERVER_PROTOCOL, SERVER_VERSION, WireError, decode_data, decode_request, decode_request_json,
    permissions as permissions_of,
};
