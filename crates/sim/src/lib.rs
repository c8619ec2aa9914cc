// SPDX-License-Identifier: EUPL-1.2
//! A whole conference in one thread and virtual time: the real `signal`, `meeting`, `sfu` and `peer`, with simulated
//! lines and clients that share no code of the transport with the server.
//!
//! A [`Conference`] ties them together. Each client (`client`) speaks the signalling protocol on `/rtc` or `/rtc/v1`
//! over a socket that keeps order, writes its own session descriptions (`sdp`), does ICE, DTLS, SRTP and SCTP
//! (`transport`), sends sound and three layers of pictures with three temporal layers each (`publish`, `media`), and
//! asks for what is missing as a browser does until its decoder has it (`receive`, `receiver`). `server` has the rooms and the
//! forwarders that they are spread over, `sleepers` says whose turn it is and `agenda` what arrives. [`scenario`] makes a
//! run from one number: who comes, over which lines, and what happens to them. `deeds` is what may happen to people, and
//! what some do to others; `check`, `bounds`, `nonces` and `memory` hold it all against what must be true: see there.
//! [`assembly`] is how a meeting is conducted, by itself: without a line, and held to what its people must and must not be told.
//! `faults` are what tests plant to see a checker find it.
//!
//! **The one invariant: a run is a function of its seed.** Time is an offset from the run's beginning, all
//! randomness comes from the seed, and whatever the server sends goes into a hash. Two runs of one seed are equal
//! byte for byte (but for those with real DTLS), so a failing seed fails again.
//!
//! ```
//! use std::time::Duration;
//! use parvis_signal::Form;
//! use parvis_sim::{Conference, LinkModel, Profile};
//!
//! let mut conference = Conference::new(7);
//! let room = conference.open_room();
//! let lines = [LinkModel::default(); 2];
//! let ada = conference.join(room, Profile::of(Form::Dual), lines);
//! let bo = conference.join(room, Profile::of(Form::Single), lines);
//! conference.run_for(Duration::from_secs(3));
//! let (sounds, pictures, messages) = conference.got(bo, ada);
//! assert!(sounds > 50 && pictures > 30 && messages > 1, "two seconds of each, at least");
//! conference.finish();
//! assert_eq!(conference.failures(), [""; 0]);
//! ```

mod agenda;
pub mod assembly;
mod bounds;
mod check;
mod client;
mod conference;
mod data;
mod deeds;
mod faults;
mod link;
mod media;
mod memory;
mod nonces;
mod playout;
mod publish;
mod receive;
mod receiver;
pub mod scenario;
mod sdp;
mod server;
mod sleepers;
pub mod stun;
mod svc;
mod transport;

pub use check::Checks;
pub use client::{ClientId, Pictures, Profile, Sound};
pub use conference::{Conference, Dtls, Narrator};
pub use deeds::{Attack, Right};
pub use faults::Fault;
pub use link::{BurstLoss, Link, LinkModel, LinkStats};
pub use server::{Meter, ServerModel};
