// SPDX-License-Identifier: EUPL-1.2
//! The media of one room: plaintext packets of its peers in, plaintext packets for its peers out.
//!
//! [`RoomMedia`] owns every publication and subscription of a room. Nothing that enters one room's engine can leave by
//! another: it knows only the peers that were added to it.

mod allocate;
mod config;
mod demux;
mod dependency;
mod emit;
mod estimate;
mod event;
mod facts;
mod feedback;
mod keyframe;
mod layer;
mod munge;
mod nack;
mod ntp;
mod pacer;
mod peer;
mod publication;
mod rates;
mod receive;
mod reception;
mod report;
mod ring;
mod room;
mod select;
mod sent;
mod sequence;
mod speakers;
mod stats;
mod subscription;
mod timers;

pub use config::MediaConfig;
pub use event::{Egress, MediaEvent};
pub use room::RoomMedia;
pub use stats::MediaStats;
