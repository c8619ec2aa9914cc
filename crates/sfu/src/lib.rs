// SPDX-License-Identifier: EUPL-1.2
//! Forwarding: publications, subscriptions, layers, bandwidth, pacing, repair, speakers; no I/O.

pub mod bwe;
mod command;
mod event;
mod forwarder;
mod id;
pub mod media;
mod outbox;

pub use command::{
    Command, DataChannel, Description, DescriptionKind, LayerSpec, PeerRole, Quality, SubscriptionSettings,
    TrackSpec,
};
pub use event::{Event, QualityReport};
pub use forwarder::{CheckRate, Forwarder, ForwarderConfig, ForwarderStats};
pub use id::{PeerId, RoomId, SubscriptionId, TrackId};
pub use outbox::{MAX_DATAGRAM_BYTES, Outbox};
