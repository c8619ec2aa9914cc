// SPDX-License-Identifier: EUPL-1.2
//! The media of one room: plaintext packets of its peers in, plaintext packets for its peers out.
//!
//! [`RoomMedia`] owns every publication and subscription of a room. Nothing that enters one room's engine can leave by
//! another: it knows only the peers that were added to it.

mod config;
mod event;
mod room;
mod stats;

pub use config::MediaConfig;
pub use event::{Egress, MediaEvent};
pub use room::RoomMedia;
pub use stats::MediaStats;
