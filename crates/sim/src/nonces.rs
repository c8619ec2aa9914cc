// SPDX-License-Identifier: EUPL-1.2
//! No pair of key and nonce twice: with SRTP the nonce is a stream's SSRC and its packet's index, so that each index
//! that leaves under one key is remembered.

use rustc_hash::FxHashMap;

/// How far behind the newest an index may be and still be told from a used one. The server's own window is smaller.
const WINDOW: u64 = 4096;

/// Every index that left.
#[derive(Debug, Default)]
pub(crate) struct Nonces {
    streams: FxHashMap<(u64, u32), Stream>,
    /// The last SRTCP index under each key: one counter serves all of a sender's SSRCs.
    control: FxHashMap<u64, u32>,
}

#[derive(Debug)]
struct Stream {
    highest: u64,
    used: [u64; (WINDOW / 64) as usize],
}

impl Nonces {
    /// A datagram leaves under `key`. What is wrong with it, if something is.
    pub(crate) fn on(&mut self, key: u64, datagram: &[u8]) -> Option<String> {
        let [128..=191, kind, rest @ ..] = datagram else { return None };
        if (192..=223).contains(kind) {
            // AEAD: encryption bit and index stand last (RFC 7714 section 9.2).
            let index = u32::from_be_bytes(*datagram.last_chunk()?) & 0x7fff_ffff;
            let last = self.control.insert(key, index);
            return last
                .filter(|last| index <= *last)
                .map(|last| format!("SRTCP index {index} after {last}"));
        }
        let sequence = u16::from_be_bytes(*rest.first_chunk()?);
        let ssrc = u32::from_be_bytes(*datagram.get(8..12)?.first_chunk()?);
        let first = 0x1_0000 + u64::from(sequence);
        let stream = self.streams.entry((key, ssrc)).or_insert(Stream { highest: first - 1, used: [0; 64] });
        let ahead = sequence.wrapping_sub(stream.highest as u16) as i16;
        let index = stream.highest.wrapping_add_signed(i64::from(ahead));
        if index + WINDOW <= stream.highest {
            return Some(format!(
                "packet {sequence} of SSRC {ssrc:#x} is too old to tell whether it was sent before"
            ));
        }
        for passed in (stream.highest + 1..=index).rev().take(WINDOW as usize) {
            stream.used[(passed % WINDOW / 64) as usize] &= !(1 << (passed % 64));
        }
        stream.highest = stream.highest.max(index);
        let word = &mut stream.used[(index % WINDOW / 64) as usize];
        let twice = *word >> (index % 64) & 1 != 0;
        *word |= 1 << (index % 64);
        twice.then(|| format!("packet {sequence} of SSRC {ssrc:#x} left twice under one key"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rtp(sequence: u16) -> Vec<u8> {
        let [high, low] = sequence.to_be_bytes();
        vec![0x80, 96, high, low, 0, 0, 0, 0, 0, 0, 0, 9, 1, 2]
    }

    #[test]
    fn an_index_is_used_once_and_a_number_that_wraps_is_another_index() {
        let mut nonces = Nonces::default();
        for sequence in 65_000..=65_535_u16 {
            assert_eq!(nonces.on(1, &rtp(sequence)), None);
        }
        for sequence in [0, 1, 3, 2] {
            assert_eq!(nonces.on(1, &rtp(sequence)), None);
        }
        assert!(nonces.on(1, &rtp(2)).is_some_and(|problem| problem.contains("twice")));
        assert!(nonces.on(1, &rtp(65_100)).is_some_and(|problem| problem.contains("twice")));
        assert_eq!(nonces.on(2, &rtp(2)), None, "under another key");
    }

    #[test]
    fn srtcp_indices_only_grow() {
        let mut nonces = Nonces::default();
        let rtcp = |index: u32| [&[0x80, 201, 0, 1][..], &(index | 1 << 31).to_be_bytes()].concat();
        assert_eq!(nonces.on(1, &rtcp(0)), None);
        assert_eq!(nonces.on(1, &rtcp(1)), None);
        assert!(nonces.on(1, &rtcp(1)).is_some());
    }
}
