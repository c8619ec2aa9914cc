// SPDX-License-Identifier: EUPL-1.2
//! Forwarding threads: UDP and TCP sockets, buffers, batching, segmentation offload.
//!
//! One thread per shard owns its sockets, its buffers and one [`Engine`] (the forwarder). The control side sends
//! [`parvis_sfu::Command`]s through a bounded queue and an eventfd, and hears [`ShardEvent`]s from a bounded queue.
//!
//! **The one invariant: the media thread never waits for anyone.** A full socket drops a packet, a slow TCP reader
//! loses frames, a shard that can't keep up gets no more of another's packets, a control side that does not listen loses what it can do without first; each loss is counted in
//! [`ShardStats`].
//!
//! How it uses the kernel, and what it does where the kernel can't:
//!
//! | feature | use | without it |
//! |---|---|---|
//! | `recvmmsg` | 32 messages a call into one ring of buffers | always there on Linux |
//! | `UDP_GRO` | a train of datagrams arrives as one buffer | one datagram a buffer |
//! | `UDP_SEGMENT` | equal-sized datagrams to one address leave as one train | single datagrams; counted |
//! | `SO_RCVBUFFORCE` | receive buffer above `net.core.rmem_max` | the largest buffer that the system allows |
//! | IPv6, IPv4 | every address that is named | those of the other family ([`of_present_families`]) |
//!
//! ```
//! use parvis_shard::local_addresses;
//!
//! // What a server without a configured address offers: every address of the machine, no wildcard among them.
//! let addresses = local_addresses()?;
//! assert!(addresses.iter().all(|address| !address.is_unspecified()));
//! # Ok::<(), parvis_shard::ShardError>(())
//! ```

mod address;
mod config;
mod engine;
mod handle;
#[doc(hidden)]
pub mod mmsg;
mod stats;
mod tcp;
mod thread;
mod train;
mod trunk;
mod tun;
mod udp;

pub use address::{local_addresses, of_present_families};
pub use config::{ShardConfig, ShardError, TcpConfig};
pub use engine::{Engine, EngineSetup};
pub use handle::{Full, ShardEvent, ShardHandle, Shards};
pub use stats::{ShardStats, StatsSnapshot};
pub use tun::open_tun;
