// SPDX-License-Identifier: EUPL-1.2
//! EBML's elements (RFC 8794 sections 4 to 7), written.

/// A size that says "until whatever comes next to it" (section 6.2).
pub(super) const UNKNOWN_SIZE: [u8; 8] = [0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];

/// An element's id, which has its length in its first bits.
pub(super) fn id(out: &mut Vec<u8>, id: u32) {
    let bytes = id.to_be_bytes();
    let zeros = (id.leading_zeros() / 8) as usize;
    out.extend(bytes.iter().skip(zeros));
}

/// A size in as few bytes as it takes. All ones would mean "unknown".
pub(super) fn size(out: &mut Vec<u8>, size: u64) {
    let length = (1..8).find(|length| size < (1 << (7 * length)) - 1).unwrap_or(8);
    let marked = size | 1 << (7 * length);
    out.extend(marked.to_be_bytes().iter().skip(8 - length as usize));
}

/// A size in eight bytes, to be written over [`UNKNOWN_SIZE`].
pub(super) fn wide_size(size: u64) -> [u8; 8] {
    (size & ((1 << 56) - 1) | 1 << 56).to_be_bytes()
}

/// An element with a body of bytes.
pub(super) fn binary(out: &mut Vec<u8>, which: u32, body: &[u8]) {
    id(out, which);
    size(out, body.len() as u64);
    out.extend_from_slice(body);
}

/// An unsigned integer in as few bytes as it takes, one at least.
pub(super) fn uint(out: &mut Vec<u8>, which: u32, value: u64) {
    let zeros = (value.leading_zeros() / 8).min(7) as usize;
    binary(out, which, value.to_be_bytes().get(zeros..).unwrap_or_default());
}

/// A float of eight bytes.
pub(super) fn float(out: &mut Vec<u8>, which: u32, value: f64) {
    binary(out, which, &value.to_be_bytes());
}

/// An element that holds others.
pub(super) fn master(out: &mut Vec<u8>, which: u32, fill: impl FnOnce(&mut Vec<u8>)) {
    let mut body = Vec::new();
    fill(&mut body);
    binary(out, which, &body);
}
