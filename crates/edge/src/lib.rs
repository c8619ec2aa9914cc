// SPDX-License-Identifier: EUPL-1.2
//! The public port: TLS and its certificates, what comes to the port besides HTTP, and TURN's sockets.
//!
//! [`Edge`] receives what the participants' plane accepts. It reads the PROXY protocol where a trusted proxy speaks it
//! ([`proxy`]), looks at the first bytes ([`sniff`]), and leads a connection to HTTP, through TLS or not, to the relay
//! ([`Relay`]), or to the forwarding thread whose peer it names. [`Tls`] holds certificates that may be replaced at any
//! time: from files ([`watch_files`]) or from a certificate authority by ACME ([`acme`]).
//!
//! **The one invariant: a connection that does not say what it is within its deadline is closed, and costs until then
//! nothing but its place.** Nothing that a client names is connected to; the relay's own rules are those of
//! [`parvis_turn`].
//!
//! ```
//! use parvis_edge::sniff::{Protocol, protocol};
//!
//! assert_eq!(protocol(b"GET / HTTP/1.1"), Some(Protocol::Http));
//! assert_eq!(protocol(&[0x16, 3, 1]), Some(Protocol::Tls));
//! assert_eq!(protocol(&[0, 1]), None, "STUN on its own or in a frame: more bytes tell");
//! ```

pub mod acme;
mod front;
mod prefixed;
pub mod proxy;
mod relay;
pub mod sniff;
mod stats;
mod tls;
mod watch;

pub use front::{Edge, EdgeConfig, IceDoor, Plain};
pub use relay::{Relay, RelayConfig, RelayError};
pub use stats::EdgeStats;
pub use tls::{Certificate, CertificateError, CryptoProfile, Tls, certificate_end, read_certificate};
pub use watch::{CertificateFiles, watch_files};
