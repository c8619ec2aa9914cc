// SPDX-License-Identifier: EUPL-1.2
//! RTP and RTCP, header extensions, payload descriptors, SRTP; no I/O.
//!
//! Everything here reads and writes buffers that the caller owns. **The one invariant: no input from outside makes
//! it panic, allocate or keep state**; only [`srtp`] keeps state at all, and only for streams that it has
//! authenticated, up to a limit.
//!
//! ```
//! use parvis_rtp::{Extension, ExtensionMap, Extensions, HeaderFields, Mid, Packet, write_packet};
//!
//! let mut map = ExtensionMap::default();
//! map.insert(3, Extension::Mid);
//! let extensions = Extensions { mid: Mid::new("0"), transport_sequence: Some(7), ..Extensions::default() };
//! let fields = HeaderFields { payload_type: 96, sequence: 1, ssrc: 0x1234, ..HeaderFields::default() };
//!
//! let mut buf = [0; 1200];
//! let len = write_packet(&mut buf, &fields, &map, &extensions, b"payload")?;
//! let packet = Packet::parse(&buf[..len])?;
//! assert_eq!(packet.payload, b"payload");
//! assert_eq!(packet.extensions(&map).mid, Mid::new("0"));
//! assert_eq!(packet.extensions(&map).transport_sequence, None, "no id was agreed for it");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod av1;
mod bits;
pub mod dependency;
mod error;
mod extension;
pub mod flexfec;
pub mod h264;
mod name;
mod packet;
pub mod red;
pub mod rtcp;
pub mod rtx;
pub mod srtp;
pub mod vp8;
pub mod vp9;

pub use error::{ParseError, WriteError};
pub use extension::{AbsCaptureTime, AudioLevel, Extension, ExtensionMap, Extensions, PlayoutDelay};
pub use name::{MAX_NAME_BYTES, Mid, Name, Rid};
pub use packet::{
    Csrcs, FIXED_HEADER_BYTES, HeaderFields, Packet, write_header, write_packet, write_padding,
};
