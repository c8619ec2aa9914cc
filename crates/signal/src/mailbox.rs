// SPDX-License-Identifier: EUPL-1.2
//! The reliable data messages of one client: those that wait until its channel can take them, and the latest of those
//! that it was sent, for the case that it resumes and misses some.

use std::collections::VecDeque;
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
        Mailbox { letters: VecDeque::new(), sent: 0, bytes: 0, max_letters, max_bytes, keep }
    }

    /// Takes a letter in. What was sent goes first when room is needed, or when it is older than anyone asks for.
    pub(crate) fn push(&mut self, letter: Letter) -> Result<(), Full> {
        let now = letter.at;
        self.bytes += letter.payload.len();
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

    /// The letters that wait, as sent from now on.
    pub(crate) fn take_waiting(&mut self) -> Vec<Bytes> {
        let waiting = self.letters.iter().skip(self.sent).map(|letter| letter.payload.clone()).collect();
        self.sent = self.letters.len();
        waiting
    }

    /// The sent letters that a receiver with these counts doesn't have. One that comes twice after all is known to
    /// it by its count; a letter without a count is not sent twice.
    pub(crate) fn missed(&self, states: &[DataChannelReceiveState]) -> Vec<Bytes> {
        let last = |sid: &str| {
            states
                .iter()
                .filter(|state| state.publisher_sid == sid)
                .map(|state| state.last_seq)
                .max()
                .unwrap_or(0)
        };
        self.letters
            .iter()
            .take(self.sent)
            .filter(|letter| letter.sequence > last(&letter.publisher_sid))
            .map(|letter| letter.payload.clone())
            .collect()
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

    #[test]
    fn what_waits_is_sent_once_and_in_order() {
        let now = Instant::now();
        let mut mailbox = Mailbox::new(8, 1000, Duration::from_secs(30));
        mailbox.push(letter("a", 1, now)).unwrap();
        mailbox.push(letter("b", 1, now)).unwrap();
        assert_eq!(mailbox.take_waiting(), ["a1", "b1"]);
        mailbox.push(letter("a", 2, now)).unwrap();
        assert_eq!(mailbox.take_waiting(), ["a2"]);
        assert!(mailbox.take_waiting().is_empty());
    }

    #[test]
    fn a_resuming_client_gets_what_it_misses_of_each_publisher() {
        let now = Instant::now();
        let mut mailbox = Mailbox::new(8, 1000, Duration::from_secs(30));
        for (sid, sequence) in [("a", 1), ("b", 1), ("a", 2), ("c", 0), ("b", 2)] {
            mailbox.push(letter(sid, sequence, now)).unwrap();
        }
        mailbox.take_waiting();
        mailbox.push(letter("a", 3, now)).unwrap();
        assert_eq!(mailbox.missed(&[state("a", 1), state("b", 2)]), ["a2"]);
        assert_eq!(mailbox.missed(&[state("a", 2)]), ["b1", "b2"]);
    }

    #[test]
    fn it_is_bounded_and_never_forgets_what_was_not_sent() {
        let now = Instant::now();
        let mut mailbox = Mailbox::new(3, 1000, Duration::from_secs(30));
        for sequence in 1..=3 {
            mailbox.push(letter("a", sequence, now)).unwrap();
        }
        mailbox.take_waiting();
        mailbox.push(letter("a", 4, now)).unwrap();
        assert_eq!(mailbox.missed(&[]), ["a2", "a3"]);
        mailbox.push(letter("a", 5, now)).unwrap();
        mailbox.push(letter("a", 6, now)).unwrap();
        assert_eq!(mailbox.push(letter("a", 7, now)), Err(Full));

        let mut mailbox = Mailbox::new(100, 5, Duration::from_secs(30));
        mailbox.push(letter("a", 1, now)).unwrap();
        mailbox.push(letter("a", 2, now)).unwrap();
        assert_eq!(mailbox.push(letter("a", 3, now)), Err(Full));

        let mut mailbox = Mailbox::new(100, 1000, Duration::from_secs(30));
        mailbox.push(letter("a", 1, now)).unwrap();
        mailbox.take_waiting();
        mailbox.push(letter("a", 2, now + Duration::from_secs(31))).unwrap();
        assert!(mailbox.missed(&[]).is_empty());
    }
}
