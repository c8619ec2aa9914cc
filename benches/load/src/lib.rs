// SPDX-License-Identifier: EUPL-1.2
//! The load generator: publishers and subscribers by the hundred in one process.
//!
//! Clients speak WebRTC over real sockets, and the signalling that their server does (the LiveKit protocol, Janus', or that
//! of a small server around mediasoup), so that one load can be put on different servers. They send VP8 and Opus packets with nothing in them but a stamp: whose, which,
//! and when. What arrives is counted, and its delay is the difference of two readings of one clock.
//!
//! **The one invariant: it accuses itself first.** Each report says how busy the load's own thread was and how many of
//! its packets left late; when that was too much, the report says that the figures are the load's and not the
//! server's.
//!
//! One thread does all of it: `engine` waits in `epoll` for the sockets of all clients; `client` is one of them, with
//! `signalling`, the one seam that knows whose server it is, and two `connection`s; `source` makes packets, `track` and `tally` count them, `report` sums up.
//!
//! [`crowd`] is another load with the same clients: they join, are there, and are asked about, without any media.
//!
//! ```
//! use clap::Parser;
//! use parvis_load::Scenario;
//!
//! #[derive(Parser)]
//! struct Line {
//!     #[command(flatten)]
//!     scenario: Scenario,
//! }
//!
//! let line = Line::parse_from(["load", "--rooms", "10", "--talkers", "6"]);
//! assert_eq!(line.scenario.clients(), 60);
//! // `parvis_load::run(&line.scenario, &mut |line| eprintln!("{line}"))` would now need a server.
//! assert!(line.scenario.check().is_ok());
//! ```

mod client;
mod connection;
pub mod crowd;
mod engine;
mod error;
mod histogram;
mod http;
mod process;
mod ramp;
mod report;
mod scenario;
mod signalling;
mod source;
mod stamp;
mod tally;
mod target;
mod track;
mod window;

pub use engine::run;
pub use error::LoadError;
pub use report::{Bounds, Delay, Joining, Own, Packets, Pictures, Report, Server, Totals, Window};
pub use scenario::Scenario;
pub use signalling::Protocol;
pub use target::Target;
