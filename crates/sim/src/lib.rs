// SPDX-License-Identifier: EUPL-1.2
//! A conference in one thread and virtual time: the real `peer` and `sfu`, simulated links and clients.
//!
//! **The one invariant: a run is a function of its seed.** Time is an offset from the run's beginning, all
//! randomness comes from the seed, and whatever the forwarder sends goes into a hash. Two runs of one seed are equal
//! byte for byte, so a failing seed fails again.
//!
//! ```
//! use std::time::Duration;
//! use parvis_sim::{Conference, LinkModel};
//!
//! let mut conference = Conference::new(7, LinkModel::default());
//! let room = conference.open_room();
//! let (ada, bo) = (conference.join(room), conference.join(room));
//! conference.run_for(Duration::from_secs(3));
//! assert!(conference.heard(bo, ada) > 50, "two seconds of audio in packets of 20 ms, at least");
//! ```

mod client;
mod conference;
mod link;
mod media;
pub mod stun;

pub use client::ClientId;
pub use conference::Conference;
pub use link::{BurstLoss, Link, LinkModel, LinkStats};
