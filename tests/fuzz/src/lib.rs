// SPDX-License-Identifier: EUPL-1.2
//! What the fuzz targets do with their bytes: one function for each, no more in `fuzz_targets/` than its name.
//!
//! Not to panic is the least that they ask. Where there is something to hold on to, they do: what was read and is
//! written reads the same again, nothing forged is taken, and no bound is exceeded.
//!
//! `cargo xtask fuzz [TARGET] [--seconds N]` runs them; `cargo run --example seeds` writes `corpus/` anew.

pub mod audit;
pub mod capture;
pub mod config;
pub mod edge;
pub mod jobs;
pub mod media;
pub mod meeting;
pub mod sctp;
pub mod session;
pub mod transport;

/// Cuts an input into pieces, each with two bytes of length before it; the last one may be shorter than it says.
pub fn pieces(mut data: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = data.split_first_chunk::<2>()?;
        let length = usize::from(u16::from_be_bytes(*length) % 2048).min(rest.len());
        let (piece, rest) = rest.split_at(length);
        data = rest;
        Some(piece)
    })
}
