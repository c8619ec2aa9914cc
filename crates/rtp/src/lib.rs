// SPDX-License-Identifier: EUPL-1.2
//! RTP and RTCP, header extensions, payload descriptors, SRTP; no I/O.

mod extension;
mod name;

pub use extension::{Extension, ExtensionMap};
pub use name::{MAX_NAME_BYTES, Mid, Name, Rid};
