// SPDX-License-Identifier: EUPL-1.2
//! A closed TURN server (RFC 8656): it relays between participants of meetings and our own media addresses, and to nothing
//! else; no I/O.
//!
//! A [`Server`] holds no socket, no clock and no randomness of its own: datagrams, the time and the sockets' addresses go
//! in; datagrams and wishes for sockets come out. Over a byte stream, [`stream::Deframer`] cuts what comes into messages.
//!
//! **The invariant:** nothing leaves for an address that is not in [`Peers`], in whatever disguise it was named, and
//! nothing is relayed for anyone but a participant who was [admitted](Server::admit) and not [revoked](Server::revoke).
//! Who has proved nothing is sent no more bytes than came from his address.
//!
//! ```
//! use std::time::Instant;
//! use parvis_peer::stun::{Message, Writer};
//! use parvis_turn::{Client, Clock, Issuer, Outcome, Peers, Server, Transport, TurnConfig};
//!
//! # fn main() -> Result<(), std::net::AddrParseError> {
//! let (now, unix_seconds) = (Instant::now(), 1_800_000_000);
//! let issuer = Issuer::new([7; 32], Clock::new(now, unix_seconds));
//! let media = "192.0.2.1:7882".parse()?;
//! let peers = Peers::new([(media, media)]);
//! let mut server = Server::new(TurnConfig::default(), issuer.clone(), peers, [9; 32]);
//! server.admit("PA_ada");
//!
//! // Whoever asks without credentials over TCP gets a challenge, and no state.
//! let client = Client { transport: Transport::Tcp, local: "192.0.2.1:3478".parse()?, remote: "198.51.100.7:4711".parse()? };
//! let mut request = Writer::new(0x0003, &[1; 12]);
//! request.attribute(0x0019, &[17, 0, 0, 0]);
//! let Outcome::Reply(challenge) = server.handle_client(now, client, &request.finish(None)) else { panic!() };
//! assert_eq!(Message::parse(&challenge).unwrap().kind(), 0x0113);
//! assert_eq!(server.stats().allocations_now, 0);
//! # Ok(())
//! # }
//! ```

mod account;
mod allocation;
mod bucket;
mod config;
mod credentials;
mod peers;
mod server;
mod stats;
pub mod stream;
mod wire;

pub use config::TurnConfig;
pub use credentials::{Clock, Credentials, Issuer, REALM};
pub use peers::Peers;
pub use server::{Client, Family, Outcome, RelayId, Server, Transport};
pub use stats::TurnStats;
