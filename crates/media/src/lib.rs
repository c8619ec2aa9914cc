// SPDX-License-Identifier: EUPL-1.2
//! The media worker: a process of its own, confined from its first line, that captures the tracks of a room into sealed
//! files. What can be done with these files afterwards stands here as well, for whoever has the key.
//!
//! The server starts `parvis-media capture`, one for each job, with a stream socket in the place of its standard input and
//! a datagram socket in the place of its output ([`worker`]). [`capture`] is what it does, [`confine`] what holds it,
//! [`recording`] checks, opens and exports what it wrote, and [`compose`] makes a film of it, which [`seal`] seals, beside a server's
//! calls where they leave room ([`yielding`]), or of a room that is still there ([`compose::live`]). [`push`] brings a stream to where others watch it. [`door`] starts all of these as units of the service manager's. `docs/recording-format.md` describes the files.
//!
//! **The invariant:** whatever comes from the trunk or the server, nothing is written but to the job's own directory, and what
//! was written two seconds ago survives the end of the process in any way whatsoever.
//!
//! ```
//! use parvis_media::manifest::{Manifest, ManifestError};
//!
//! // What a newer worker wrote is refused rather than read wrongly.
//! let newer = br#"{"format": "parvis-recording", "version": 99}"#;
//! assert!(matches!(Manifest::from_json(newer), Err(ManifestError::Version { version: 99, .. })));
//! ```

pub mod capture;
pub mod codec;
pub mod compose;
pub mod confine;
pub mod door;
pub mod hardware;
pub mod manifest;
pub mod mkv;
pub mod push;
pub mod recording;
pub mod seal;
pub mod timeline;
pub mod worker;
pub mod yielding;

pub use parvis_age as age;

/// What this build calls itself.
pub const SOFTWARE: &str = concat!("parvis-media ", env!("CARGO_PKG_VERSION"));

/// SHA-256 in hex.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes))
}
