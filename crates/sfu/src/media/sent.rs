// SPDX-License-Identifier: EUPL-1.2
//! What a subscription sent under which sequence number: enough to write the same packet again.
//!
//! Every packet that leaves touches its entry, which is cold by then: an entry is half a cache line, and no entry lies in
//! two.

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
    /// In the ring of this layer, under the number that ends in these 32 bits.
    Stored { layer: u8, number: u32 },
    /// Nowhere: a packet of padding that closes a sequence number.
    Padding,
    /// Nowhere: 20 ms of silence at the end of a sound.
    Silence,
}

/// A time of a log's: microseconds since it was begun, modulo 2^32, which is more than an hour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Moment(u32);

impl Moment {
    /// What passed since an earlier one.
    pub(crate) fn since(self, earlier: Moment) -> Duration {
        Duration::from_micros(self.0.wrapping_sub(earlier.0).into())
    }
}

/// One sent packet.
#[derive(Debug, Clone, Copy)]
#[repr(align(32))]
pub(crate) struct Sent {
    /// The lower half of its number.
    out: u32,
    /// The lower half of its number in the ring.
    number: u32,
    pub(crate) timestamp: u32,
    pub(crate) sent_at: Moment,
    pub(crate) munge: Munge,
    /// One of the constants below, or [`FIRST_LAYER`] and the layer.
    place: u8,
    /// How often it was sent again.
    pub(crate) resends: u8,
    pub(crate) marker: bool,
    /// Whether it was handed to the wire at all: under its number it can be only once.
    pub(crate) left: bool,
}

/// No packet.
const NONE: u8 = 0;
const PADDING: u8 = 1;
const SILENCE: u8 = 2;
const FIRST_LAYER: u8 = 3;

const NOTHING: Sent = Sent {
    out: 0,
    number: 0,
    timestamp: 0,
    sent_at: Moment(0),
    munge: Munge {
        picture_id: 0,
        tl0_index: 0,
        key_index: 0,
        frame_number: 0,
        active_targets: 0,
        redundancy: 0,
    },
    place: NONE,
    resends: 0,
    marker: false,
    left: false,
};

const _: () = assert!(size_of::<Sent>() == 32);

impl Sent {
    /// A packet that is to be sent as `out`.
    pub(crate) fn new(out: u64, content: Content, timestamp: u32, marker: bool, munge: Munge) -> Sent {
        let (place, number) = match content {
            Content::Stored { layer, number } => (FIRST_LAYER + layer, number),
            Content::Padding => (PADDING, 0),
            Content::Silence => (SILENCE, 0),
        };
        Sent { out: out as u32, number, timestamp, munge, place, marker, ..NOTHING }
    }

    /// Where its content is.
    pub(crate) fn content(&self) -> Content {
        match self.place {
            NONE | PADDING => Content::Padding,
            SILENCE => Content::Silence,
            layer => Content::Stored { layer: layer - FIRST_LAYER, number: self.number },
        }
    }

    /// Whether it only closes a number.
    pub(crate) fn is_padding(&self) -> bool {
        self.place == PADDING
    }

    fn is_there(&self) -> bool {
        self.place != NONE
    }

    /// Whether it is of a number before `out`. Numbers of one log are never so far apart that half of them would not do.
    fn is_before(&self, out: u64) -> bool {
        (out as u32).wrapping_sub(self.out) as i32 > 0
    }
}

/// The log of one subscription.
#[derive(Debug)]
pub(crate) struct SentLog {
    entries: Vec<Sent>,
    max_entries: usize,
    epoch: Instant,
    /// The last time that was asked for: packets that leave together are of one.
    last: (Instant, Moment),
}

impl SentLog {
    pub(crate) fn new(max_entries: usize, now: Instant) -> SentLog {
        let max_entries = max_entries.max(FIRST_ENTRIES).next_power_of_two();
        SentLog { entries: Vec::new(), max_entries, epoch: now, last: (now, Moment(0)) }
    }

    /// The log's time.
    pub(crate) fn moment(&mut self, now: Instant) -> Moment {
        if self.last.0 != now {
            self.last = (now, Moment(now.saturating_duration_since(self.epoch).as_micros() as u32));
        }
        self.last.1
    }

    /// Notes a packet; the oldest makes room. `false` when it is so late that a newer one has its place.
    pub(crate) fn insert(&mut self, now: Instant, sent: Sent) -> bool {
        if self.entries.is_empty() {
            self.entries.resize(FIRST_ENTRIES, NOTHING);
        }
        let sent = Sent { sent_at: self.moment(now), ..sent };
        loop {
            let old = &self.entries[self.index(sent.out)];
            let young = old.is_there() && old.out != sent.out && sent.sent_at.since(old.sent_at) < KEEP;
            if !young || self.entries.len() >= self.max_entries {
                break;
            }
            self.grow();
        }
        let index = self.index(sent.out);
        let old = &mut self.entries[index];
        if old.is_there() && (old.out.wrapping_sub(sent.out) as i32) > 0 {
            return false;
        }
        *old = sent;
        true
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        self.entries.fill(NOTHING);
    }

    /// The packet sent as `out`.
    pub(crate) fn get_mut(&mut self, out: u64) -> Option<&mut Sent> {
        let index = self.index(out as u32);
        self.entries.get_mut(index).filter(|sent| sent.is_there() && sent.out == out as u32)
    }

    /// Whether `out` certainly named no packet so far.
    pub(crate) fn was_never_sent(&self, out: u64) -> bool {
        // A slot holds the highest number it ever held: anything below may have been overwritten.
        self.entries.get(self.index(out as u32)).is_some_and(|sent| !sent.is_there() || sent.is_before(out))
    }

    fn grow(&mut self) {
        let mut entries = vec![NOTHING; self.entries.len() * 2];
        for old in self.entries.drain(..).filter(Sent::is_there) {
            let index = old.out as usize & (entries.len() - 1);
            entries[index] = old;
        }
        self.entries = entries;
    }

    fn index(&self, out: u32) -> usize {
        // The number of entries is a power of two.
        out as usize & self.entries.len().wrapping_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(out: u64) -> Sent {
        let content = Content::Stored { layer: 2, number: (out * 2) as u32 };
        Sent::new(out, content, 90, true, Munge { picture_id: 7, ..Munge::default() })
    }

    #[test]
    fn entries_are_found_until_newer_ones_need_their_room() {
        let now = Instant::now();
        let mut log = SentLog::new(64, now);
        // Over the end of what an entry holds of a number.
        let first = (3 << 32) - 100;
        for out in first..first + 200 {
            assert!(log.was_never_sent(out) == (out > first));
            assert!(log.insert(now, stored(out)));
        }
        let last = log.get_mut(first + 199).unwrap();
        assert_eq!(last.content(), Content::Stored { layer: 2, number: 2 * 99 });
        assert_eq!((last.timestamp, last.marker, last.munge.picture_id), (90, true, 7));
        assert!(log.get_mut(first + 136).is_some());
        assert!(log.get_mut(first + 135).is_none());
        assert!(!log.insert(now, stored(first + 135)), "a newer one has its place");
        assert!(log.was_never_sent(first + 200) && !log.was_never_sent(first + 135));
        assert_eq!(log.entries.len(), 64);
        log.clear();
        assert!(log.get_mut(first + 199).is_none());
    }

    #[test]
    fn a_log_of_few_packets_stays_small_and_knows_when_they_left() {
        let start = Instant::now();
        let mut log = SentLog::new(1024, start);
        let at = |out: u64| start + Duration::from_millis(50 * out);
        for out in 0..1000 {
            assert!(log.insert(at(out), stored(out)));
        }
        assert_eq!(log.entries.len(), FIRST_ENTRIES, "20 a second");
        let sent_at = log.get_mut(999).unwrap().sent_at;
        assert_eq!(log.moment(at(1001)).since(sent_at), Duration::from_millis(100));
    }
}
