// SPDX-License-Identifier: EUPL-1.2
//! The reliable data messages of one client: those that wait until its channel can take them, and the latest of those
//! that it was sent, for the case that it resumes and misses some.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use livekit_protocol::DataChannelReceiveState;

#[derive(Debug)]
pub(crate) struct Mailbox {
    letters: VecDeque<Letter>,
    /// How many of the letters, from the front, were handed to the forwarder.
    sent: usize,
    bytes: usize,
    /// Of those that were not.
    waiting_bytes: usize,
    max_letters: usize,
    max_bytes: usize,
    keep: Duration,
}

#[derive(Debug, Clone)]
pub(crate) struct Letter {
    /// Whose message; the receiver counts by this.
    pub(crate) publisher_sid: Arc<str>,
    /// The publisher's count; 0 when it doesn't count.
    pub(crate) sequence: u32,
    pub(crate) payload: Bytes,
    pub(crate) at: Instant,
}

/// A letter that was not sent would have to be thrown away.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Mailbox {
    pub(crate) fn new(max_letters: usize, max_bytes: usize, keep: Duration) -> Mailbox {
        Mailbox {
            letters: VecDeque::new(),
            sent: 0,
            bytes: 0,
            waiting_bytes: 0,
            max_letters,
            max_bytes,
            keep,
        }
    }

    /// Takes a letter in. What was sent goes first when room is needed, or when it is older than anyone asks for.
    pub(crate) fn push(&mut self, letter: Letter) -> Result<(), Full> {
        let now = letter.at;
        self.bytes += letter.payload.len();
        self.waiting_bytes += letter.payload.len();
        self.letters.push_back(letter);
        while self.sent > 0 && self.letters.front().is_some_and(|first| now >= first.at + self.keep) {
            self.drop_first();
        }
        while self.letters.len() > self.max_letters || self.bytes > self.max_bytes {
            if self.sent == 0 {
                return Err(Full);
            }
            self.drop_first();
        }
        Ok(())
    }

    /// The next of the letters that wait, as sent from now on.
    pub(crate) fn take_next(&mut self) -> Option<Bytes> {
        let payload = self.letters.get(self.sent)?.payload.clone();
        self.sent += 1;
        self.waiting_bytes -= payload.len();
        Some(payload)
    }

    /// How full it is of letters that wait: 1 is as many as it takes.
    pub(crate) fn backlog(&self) -> f32 {
        let waiting = self.letters.len() - self.sent;
        let letters = waiting as f32 / self.max_letters.max(1) as f32;
        letters.max(self.waiting_bytes as f32 / self.max_bytes.max(1) as f32)
    }

    /// Whether a publisher has at least an equal share of what waits. A letter counts by its bytes, and by its place among as many
    /// as there may be.
    pub(crate) fn has_share(&self, publisher_sid: &str) -> bool {
        let place = self.max_bytes / self.max_letters.max(1);
        let (mut own, mut all, mut publishers) = (0, 0, BTreeSet::new());
        for letter in self.letters.iter().skip(self.sent) {
            let weight = letter.payload.len() + place;
            all += weight;
            own += if *letter.publisher_sid == *publisher_sid { weight } else { 0 };
            publishers.insert(&*letter.publisher_sid);
        }
        own * publishers.len() >= all
    }

    /// Has the sent letters wait again that a receiver with these counts doesn't have, before all others. One that comes
    /// twice after all is known to it by its count; a letter without a count is not sent twice.
    pub(crate) fn resend_missed(&mut self, states: &[DataChannelReceiveState]) {
        let last = |sid: &str| {
            let of_publisher = states.iter().filter(|state| state.publisher_sid == sid);
            of_publisher.map(|state| state.last_seq).max().unwrap_or(0)
        };
        let waiting = self.letters.split_off(self.sent);
        let sent = std::mem::take(&mut self.letters);
        let (missed, known): (VecDeque<Letter>, VecDeque<Letter>) =
            sent.into_iter().partition(|letter| letter.sequence > last(&letter.publisher_sid));
        self.sent = known.len();
        self.waiting_bytes += missed.iter().map(|letter| letter.payload.len()).sum::<usize>();
        self.letters = known;
        self.letters.extend(missed);
        self.letters.extend(waiting);
    }

    fn drop_first(&mut self) {
        if let Some(letter) = self.letters.pop_front() {
            self.bytes -= letter.payload.len();
            self.sent = self.sent.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(sid: &str, sequence: u32, at: Instant) -> Letter {
        Letter { publisher_sid: sid.into(), sequence, payload: Bytes::from(format!("{sid}{sequence}")), at }
    }

    fn state(sid: &str, last_seq: u32) -> DataChannelReceiveState {
        DataChannelReceiveState { publisher_sid: sid.into(), last_seq }
    }

    fn take_all(mailbox: &mut Mailbox) -> Vec<Bytes> {
        std::iter::from_fn(|| mailbox.take_next()).collect()
    }

    #[test]
    fn what_waits_is_sent_once_and_in_order() {
        let now = Instant::now();
        let mut mailbox = Mailbox::new(8, 1000, Duration::from_secs(30));
        mailbox.push(letter("a", 1, now)).unwrap();
        mailbox.push(letter("b", 1, now)).unwrap();
        assert_eq!(take_all(&mut mailbox), ["a1", "b1"]);
        mailbox.push(letter("a", 2, now)).unwrap();
        assert_eq!(take_all(&mut mailbox), ["a2"]);
        assert!(take_all(&mut mailbox).is_empty());
    }

    #[test]
    fn a_resuming_client_gets_what_it_misses_of_each_publisher_before_what_is_new() {
        let now = Instant::now();
        let mut mailbox = Mailbox::new(8, 1000, Duration::from_secs(30));
        for (sid, sequence) in [("a", 1), ("b", 1), ("a", 2), ("c", 0), ("b", 2)] {
            mailbox.push(letter(sid, sequence, now)).unwrap();
        }
        take_all(&mut mailbox);
        mailbox.push(letter("a", 3, now)).unwrap();
        mailbox.resend_missed(&[state("a", 1), state("b", 2)]);
        assert_eq!(take_all(&mut mailbox), ["a2", "a3"]);
        mailbox.resend_missed(&[state("a", 3)]);
        assert_eq!(take_all(&mut mailbox), ["b1", "b2"]);
    }

    #[test]
    fn who_has_an_equal_share_of_what_waits_is_known() {
        let now = Instant::now();
        let mut mailbox = Mailbox::new(100, 1000, Duration::from_secs(30));
        for (sid, sequence) in [("c", 1), ("a", 1), ("a", 2), ("a", 3), ("b", 1)] {
            mailbox.push(letter(sid, sequence, now)).unwrap();
        }
        mailbox.take_next();
        assert_eq!(["a", "b", "c"].map(|sid| mailbox.has_share(sid)), [true, false, false]);
        (2..=3).for_each(|sequence| mailbox.push(letter("b", sequence, now)).unwrap());
        assert_eq!(["a", "b", "c"].map(|sid| mailbox.has_share(sid)), [true, true, false]);
    }

    #[test]
    fn it_is_bounded_and_never_forgets_what_was_not_sent() {
        let now = Instant::now();
        let mut mailbox = Mailbox::new(3, 1000, Duration::from_secs(30));
        for sequence in 1..=3 {
            mailbox.push(letter("a", sequence, now)).unwrap();
        }
        take_all(&mut mailbox);
        mailbox.push(letter("a", 4, now)).unwrap();
        mailbox.push(letter("a", 5, now)).unwrap();
        mailbox.push(letter("a", 6, now)).unwrap();
        assert_eq!(mailbox.push(letter("a", 7, now)), Err(Full));

        let mut mailbox = Mailbox::new(100, 5, Duration::from_secs(30));
        mailbox.push(letter("a", 1, now)).unwrap();
        mailbox.push(letter("a", 2, now)).unwrap();
        assert_eq!(mailbox.push(letter("a", 3, now)), Err(Full));

        let mut mailbox = Mailbox::new(100, 1000, Duration::from_secs(30));
        mailbox.push(letter("a", 1, now)).unwrap();
        take_all(&mut mailbox);
        mailbox.push(letter("a", 2, now + Duration::from_secs(31))).unwrap();
        mailbox.resend_missed(&[]);
        assert_eq!(take_all(&mut mailbox), ["a2"]);
    }

    #[test]
    fn its_backlog_is_what_waits_by_number_or_by_bytes() {
        let now = Instant::now();
        let mut mailbox = Mailbox::new(4, 1000, Duration::from_secs(30));
        mailbox.push(letter("a", 1, now)).unwrap();
        assert_eq!(mailbox.backlog(), 0.25);
        take_all(&mut mailbox);
        assert_eq!(mailbox.backlog(), 0.0);
        let mut mailbox = Mailbox::new(100, 4, Duration::from_secs(30));
        mailbox.push(letter("a", 1, now)).unwrap();
        assert_eq!(mailbox.backlog(), 0.5);
        take_all(&mut mailbox);
        mailbox.resend_missed(&[]);
        assert_eq!(mailbox.backlog(), 0.5);
    }
}
