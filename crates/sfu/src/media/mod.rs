// SPDX-License-Identifier: EUPL-1.2
//! The media of one room: plaintext packets of its peers in, plaintext packets for its peers out.
//!
//! [`RoomMedia`] owns every publication and subscription of a room. **The one invariant: what leaves under a sequence
//! number is the same packet whenever it leaves**, at first or as a retransmission, because both are written from the
//! ring by what the subscription's log says. And nothing that enters one room leaves by another: the engine knows only
//! the peers that were added to it.
//!
//! A packet's way: `receive` finds its stream (`demux`), reads what forwarding must know of it (`facts`, `dependency`),
//! keeps it once (`layer`, `ring`) and `walk` offers it to each `subscription`, which chooses (`select`), numbers (`munge`) and
//! notes it (`sent`). Then it leaves by `emit`, at once or when the `pacer` lets it. `feedback` and `report` are RTCP in
//! and out; `resend` repeats what was lost, for which `patience` makes time; `audio` is what is done with sound alone, `fec` repair packets both ways; `export` and `import` are the two ends of a trunk to another
//! forwarder; `allocate` shares a peer's bandwidth out; `timers` does what is due.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Instant;
//!
//! use parvis_sfu::media::{Egress, MediaConfig, RoomMedia};
//! use parvis_sfu::PeerId;
//!
//! /// The forwarder's end encrypts and sends; this one only counts.
//! struct Count(usize);
//!
//! impl Egress for Count {
//!     fn rtp(&mut self, _: PeerId, room: usize, write: impl FnOnce(&mut [u8]) -> Option<usize>) -> bool {
//!         self.0 += 1;
//!         write(&mut vec![0; room]).is_some()
//!     }
//!     fn rtcp(&mut self, _: PeerId, _: &[u8]) {}
//! }
//!
//! let now = Instant::now();
//! let mut media = RoomMedia::new(Arc::new(MediaConfig::default()), [0; 32], now);
//! media.add_peer(now, PeerId(1));
//! media.set_connected(now, PeerId(1), true);
//! let mut egress = Count(0);
//! media.handle_rtp(now, PeerId(1), b"not a packet", &mut egress);
//! assert_eq!((media.stats().dropped_malformed, egress.0), (1, 0));
//! assert!(media.poll_timeout().is_some(), "call handle_timeout then");
//! ```

mod allocate;
mod audio;
mod config;
mod deadlines;
mod demux;
mod dependency;
mod emit;
mod estimate;
mod event;
mod export;
mod facts;
mod fec;
mod feedback;
mod import;
mod ingress;
mod keyframe;
mod layer;
mod munge;
mod nack;
mod ntp;
mod pacer;
mod patience;
mod peer;
mod publication;
mod rates;
mod receive;
mod reception;
mod report;
mod resend;
mod ring;
mod room;
mod select;
mod sent;
mod sequence;
mod stats;
mod subscription;
mod timers;
mod walk;

pub use config::MediaConfig;
pub use event::{Egress, MediaEvent};
pub use room::RoomMedia;
pub use stats::MediaStats;
