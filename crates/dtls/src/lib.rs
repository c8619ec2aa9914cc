// SPDX-License-Identifier: EUPL-1.2
//! DTLS over BoringSSL: datagrams in, datagrams out, keys for SRTP; no I/O.
//!
//! An [`Endpoint`] is one end of one DTLS association (RFC 9147, RFC 6347) with the SRTP extension (RFC 5764). It
//! holds no socket and no clock: the caller brings datagrams and the time, and takes datagrams, events and the
//! next deadline. Endpoints come from a [`Factory`]: [`Context`] makes those that run in production, on
//! BoringSSL; [`standin::StandIn`] makes seeded ones for simulation, which protect nothing.
//!
//! **The invariant:** an endpoint says [`Event::Connected`] only after the peer has proved the possession of the
//! key whose certificate has the fingerprint that the endpoint was made with. Once any call returned an error,
//! the endpoint is dead; what [`Endpoint::poll_transmit`] still holds (the alert) is worth sending.
//!
//! Before the keys are there, one forged plaintext alert ends a handshake, and BoringSSL's server has no cookie.
//! So the caller must create an endpoint only after an integrity-checked STUN request, and feed it only datagrams
//! from paths that such a request came from.
//!
//! ```
//! use std::time::{Duration, Instant};
//! use parvis_dtls::{Certificate, Config, Context, Endpoint, Event, Factory, Role};
//!
//! # fn main() -> Result<(), parvis_dtls::Error> {
//! let (one, other) = (Context::new(&Certificate::generate()?, Config::default())?,
//!                     Context::new(&Certificate::generate()?, Config::default())?);
//! let now = Instant::now();
//! let mut server = one.endpoint(Role::Server, other.fingerprint_sha256(), [0; 32], now)?;
//! let mut client = other.endpoint(Role::Client, one.fingerprint_sha256(), [1; 32], now)?;
//! for _ in 0..8 {
//!     while let Some(datagram) = client.poll_transmit() {
//!         server.handle_datagram(now, &datagram)?;
//!     }
//!     while let Some(datagram) = server.poll_transmit() {
//!         client.handle_datagram(now, &datagram)?;
//!     }
//! }
//! let (Some(Event::Connected(here)), Some(Event::Connected(there))) = (server.poll_event(), client.poll_event())
//! else {
//!     panic!("not connected");
//! };
//! assert_eq!(here.keying_material, there.keying_material);
//! assert_eq!(here.group, 0x11ec); // X25519MLKEM768
//! # Ok(())
//! # }
//! ```

mod certificate;
mod context;
mod endpoint;
#[allow(unsafe_code)]
mod ffi;
mod profile;
pub mod standin;

use std::{
    fmt,
    time::{Duration, Instant},
};

pub use certificate::Certificate;
pub use context::{Config, Context, Version};
pub use profile::SrtpProfile;

/// One end of one DTLS association.
///
/// After each call that takes a time, empty [`Endpoint::poll_transmit`] and [`Endpoint::poll_event`], then ask
/// [`Endpoint::poll_timeout`] again. Timers matter after the handshake too (RFC 9147 section 7 acknowledgements).
pub trait Endpoint: Send {
    /// Takes a datagram of the peer's. An error is fatal.
    fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) -> Result<(), Error>;
    /// Does what is due. An error is fatal.
    fn handle_timeout(&mut self, now: Instant) -> Result<(), Error>;
    /// When [`Endpoint::handle_timeout`] is due; `None` when nothing is.
    fn poll_timeout(&self) -> Option<Instant>;
    /// The next datagram to send.
    fn poll_transmit(&mut self) -> Option<Vec<u8>>;
    /// The next thing to know.
    fn poll_event(&mut self) -> Option<Event>;
    /// Sends application data as one record. It fails before [`Event::Connected`].
    fn send(&mut self, now: Instant, data: &[u8]) -> Result<(), Error>;
    /// Tells the peer that the association ends.
    fn close(&mut self, now: Instant);
}

/// Makes endpoints that all bear one certificate.
pub trait Factory: Send + Sync + fmt::Debug {
    /// SHA-256 of the certificate in DER: what `a=fingerprint` says (RFC 8122).
    fn fingerprint_sha256(&self) -> [u8; 32];
    /// An endpoint for a peer whose certificate must have `peer_fingerprint` (SHA-256). A client's first flight is
    /// ready at once. `seed` feeds what randomness the implementation lets be seeded (BoringSSL: none of it).
    fn endpoint(
        &self,
        role: Role,
        peer_fingerprint: [u8; 32],
        seed: [u8; 32],
        now: Instant,
    ) -> Result<Box<dyn Endpoint>, Error>;
}

/// Who opens the handshake (RFC 5763 section 5: `a=setup`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The peer sends the ClientHello: `a=setup:passive`.
    Server,
    /// We send the ClientHello: `a=setup:active`.
    Client,
}

/// What an endpoint tells its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The handshake is done, the peer's certificate is the right one.
    Connected(Box<Connected>),
    /// One record of application data.
    Data(Vec<u8>),
    /// The peer ended the association.
    Closed,
}

/// What the handshake came to.
#[derive(Clone, PartialEq, Eq)]
pub struct Connected {
    /// The SRTP protection profile.
    pub srtp_profile: SrtpProfile,
    /// Client key, server key, client salt, server salt (RFC 5764 section 4.2): [`SrtpProfile::keying_len`] bytes.
    pub keying_material: Vec<u8>,
    /// `DTLSv1.3` or `DTLSv1.2`.
    pub version: String,
    /// The cipher suite's IANA name.
    pub cipher: String,
    /// The key exchange group's IANA number; 0 when unknown.
    pub group: u16,
}

impl fmt::Debug for Connected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Keys stay out of logs.
        f.debug_struct("Connected")
            .field("srtp_profile", &self.srtp_profile)
            .field("version", &self.version)
            .field("cipher", &self.cipher)
            .field("group", &format_args!("{:#06x}", self.group))
            .finish_non_exhaustive()
    }
}

/// What an endpoint takes from a peer that hasn't proved who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes received before the handshake ends. A browser's flights are about 1.5 KiB and 1 KiB; 128 KiB let each
    /// be lost 50 times over, and bound BoringSSL's reassembly, whose memory is proportional to what was received.
    pub handshake_bytes: usize,
    /// Datagrams received before the handshake ends: two flights of two or three, 50 times over.
    pub handshake_datagrams: usize,
    /// Time from creation to [`Event::Connected`].
    pub handshake_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            handshake_bytes: 128 * 1024,
            handshake_datagrams: 300,
            handshake_time: Duration::from_secs(30),
        }
    }
}

/// Why an endpoint can't do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// BoringSSL refused a setting; only a wrong [`Config`] or a lack of memory leads here.
    #[error("DTLS setup, {step}: {reason}; check the DTLS configuration")]
    Setup {
        /// What was being set.
        step: &'static str,
        /// BoringSSL's reason.
        reason: String,
    },
    /// The handshake failed.
    #[error("the DTLS handshake failed: {0}; the peer must start a new one with a new description")]
    Handshake(String),
    /// The peer's certificate isn't the one whose fingerprint was signalled.
    #[error("the peer's certificate doesn't match the fingerprint of its session description")]
    Fingerprint,
    /// The handshake took too long.
    #[error("the DTLS handshake wasn't done after {} ms", limit.as_millis())]
    HandshakeTime {
        /// [`Limits::handshake_time`].
        limit: Duration,
    },
    /// The peer sent too much before the handshake's end.
    #[error("the peer sent more than {limit} {unit} before the end of the DTLS handshake")]
    HandshakeSize {
        /// The limit.
        limit: usize,
        /// Of what: `bytes` or `datagrams`.
        unit: &'static str,
    },
    /// The peer offered none of our SRTP protection profiles.
    #[error("the peer offered no SRTP protection profile that we know; it must support RFC 5764")]
    NoSrtpProfile,
    /// The peer leads to a cipher suite that the configuration refuses.
    #[error("the DTLS handshake came to {0}, which the crypto profile refuses; the peer must offer AES-GCM")]
    Cipher(String),
    /// The association broke after the handshake.
    #[error("the DTLS association broke: {0}")]
    Broken(String),
    /// Not connected yet.
    #[error("the DTLS handshake isn't done yet; wait for Event::Connected")]
    NotConnected,
    /// Ended before, by either side or by an error.
    #[error("the DTLS association has ended")]
    Closed,
}
