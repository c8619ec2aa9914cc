// SPDX-License-Identifier: EUPL-1.2
//! What a subscription sent under which sequence number: enough to write the same packet again.

use std::time::{Duration, Instant};

/// Entries of a new log; it doubles while young entries would be overwritten.
const FIRST_ENTRIES: usize = 32;
/// An entry younger than this is worth keeping.
const KEEP: Duration = Duration::from_secs(1);

/// The codec's numbers as this subscriber sees them. Which of them count, the stored packet's facts tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Munge {
    /// VP8 or VP9 picture id.
    pub(crate) picture_id: u16,
    /// VP8 or VP9 TL0PICIDX.
    pub(crate) tl0_index: u8,
    /// VP8 KEYIDX.
    pub(crate) key_index: u8,
    /// Frame number in the dependency descriptor.
    pub(crate) frame_number: u16,
    /// Active decode targets to be written into the dependency descriptor; 0 leaves them as they are.
    pub(crate) active_targets: u32,
    /// Which earlier packets go with it as redundancy: bits of a `RedPlan`.
    pub(crate) redundancy: u8,
}

/// Where a sent packet's content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// In the ring of this layer, under this number.
    Stored { layer: u8, number: u64 },
    /// Nowhere: a packet of padding that closes a sequence number.
    Padding,
    /// Nowhere: 20 ms of silence at the end of a sound.
    Silence,
}

/// One sent packet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    pub(crate) out: u64,
    pub(crate) content: Content,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) munge: Munge,
    /// How often it was sent again.
    pub(crate) resends: u8,
    /// Whether it was handed to the wire at all: under its number it can be only once.
    pub(crate) left: bool,
    pub(crate) sent_at: Instant,
}

impl Sent {
    /// Whether it only closes a number.
    pub(crate) fn is_padding(&self) -> bool {
        self.content == Content::Padding
    }
}

/// The log of one subscription.
#[derive(Debug)]
pub(crate) struct SentLog {
    entries: Vec<Option<Sent>>,
    max_entries: usize,
}

impl SentLog {
    pub(crate) fn new(max_entries: usize) -> SentLog {
        SentLog { entries: Vec::new(), max_entries: max_entries.max(FIRST_ENTRIES).next_power_of_two() }
    }

    /// Notes a packet; the oldest makes room. `false` when it is so late that a newer one has its place.
    pub(crate) fn insert(&mut self, sent: Sent) -> bool {
        if self.entries.is_empty() {
            self.entries.resize(FIRST_ENTRIES, None);
        }
        loop {
            let index = self.index(sent.out);
            let young = self.entries[index].is_some_and(|old| {
                old.out != sent.out && sent.sent_at.saturating_duration_since(old.sent_at) < KEEP
            });
            if !young || self.entries.len() >= self.max_entries {
                break;
            }
            let mut entries = vec![None; self.entries.len() * 2];
            for old in self.entries.drain(..).flatten() {
                let index = old.out as usize & (entries.len() - 1);
                entries[index] = Some(old);
            }
            self.entries = entries;
        }
        let index = self.index(sent.out);
        if self.entries[index].is_some_and(|old| old.out > sent.out) {
            return false;
        }
        self.entries[index] = Some(sent);
        true
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        self.entries.fill(None);
    }

    /// The packet sent as `out`.
    pub(crate) fn get_mut(&mut self, out: u64) -> Option<&mut Sent> {
        let index = self.index(out);
        self.entries.get_mut(index)?.as_mut().filter(|sent| sent.out == out)
    }

    /// Whether `out` certainly named no packet so far.
    pub(crate) fn was_never_sent(&self, out: u64) -> bool {
        // A slot holds the highest number it ever held: anything below may have been overwritten.
        self.entries.get(self.index(out)).is_some_and(|slot| slot.is_none_or(|sent| sent.out < out))
    }

    fn index(&self, out: u64) -> usize {
        // The number of entries is a power of two.
        out as usize & self.entries.len().wrapping_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found_until_newer_ones_need_their_room() {
        let now = Instant::now();
        let mut log = SentLog::new(64);
        for out in 0..200u64 {
            assert!(log.insert(Sent {
                out,
                content: Content::Stored { layer: 0, number: out * 2 },
                timestamp: 0,
                marker: false,
                munge: Munge::default(),
                resends: 0,
                left: false,
                sent_at: now,
            }));
        }
        assert_eq!(log.get_mut(199).unwrap().content, Content::Stored { layer: 0, number: 398 });
        assert!(log.get_mut(136).is_some());
        assert!(log.get_mut(135).is_none());
        assert_eq!(log.entries.len(), 64);
    }
}
