// SPDX-License-Identifier: EUPL-1.2
//! What was written to all while a room was recorded. No worker can read what the one before it sealed, so that each is told all of it
//! anew; what was taken back meanwhile is not in it any more.

use std::time::Instant;

use parvis_jobs::{Message, ToWorker};
use parvis_signal::RecordingNews;

use super::present::Clock;

/// What a message takes besides its texts.
const MESSAGE_BYTES: usize = size_of::<Message>();
/// What is told at one time has about so many bytes: a frame has room for several times that, whatever JSON makes of the texts.
const BATCH_BYTES: usize = 16 * 1024;

/// See the module's page.
#[derive(Debug)]
pub(super) struct ChatLog {
    messages: Vec<Message>,
    bytes: usize,
    /// The most that is kept.
    most: usize,
    /// Messages for which there was no place.
    pub(super) left_out: u64,
}

impl ChatLog {
    /// Nothing was written yet; at most so many bytes are kept.
    pub(super) fn new(most: usize) -> ChatLog {
        ChatLog { messages: Vec::new(), bytes: 0, most, left_out: 0 }
    }

    /// Takes what happened at `now`, if it is about the chat: then gives what a worker is to be told of it, if anything.
    pub(super) fn hear(&mut self, now: Instant, clock: &Clock, news: &RecordingNews) -> Option<ToWorker> {
        match news {
            RecordingNews::Chat(written) => {
                let message = Message {
                    message: written.message,
                    participant: written.participant_sid.clone(),
                    identity: written.identity.clone(),
                    name: written.name.clone(),
                    text: written.text.clone(),
                    at: clock.at(now),
                };
                let bytes = bytes(&message);
                if self.bytes + bytes > self.most {
                    self.left_out += 1;
                    return None;
                }
                self.bytes += bytes;
                self.messages.push(message.clone());
                Some(ToWorker::Chat { messages: vec![message] })
            }
            RecordingNews::ChatRetracted { message } => {
                let place = self.messages.binary_search_by_key(message, |kept| kept.message).ok()?;
                self.bytes -= bytes(&self.messages.remove(place));
                Some(ToWorker::ChatRetracted { message: *message, at: clock.at(now) })
            }
            _ => None,
        }
    }

    /// All of it, for a worker that is new.
    pub(super) fn all(&self) -> Vec<ToWorker> {
        let mut batches = Vec::new();
        let (mut messages, mut size) = (Vec::new(), 0);
        for message in &self.messages {
            size += bytes(message);
            messages.push(message.clone());
            if size >= BATCH_BYTES {
                batches.push(ToWorker::Chat { messages: std::mem::take(&mut messages) });
                size = 0;
            }
        }
        if !messages.is_empty() {
            batches.push(ToWorker::Chat { messages });
        }
        batches
    }
}

fn bytes(message: &Message) -> usize {
    let Message { participant, identity, name, text, .. } = message;
    MESSAGE_BYTES + participant.len() + identity.len() + name.len() + text.len()
}

#[cfg(test)]
mod tests {
    use parvis_jobs::Limits;
    use parvis_jobs::frame::encode;
    use parvis_signal::RecordedMessage;

    use super::*;

    fn written(message: u64, text: &str) -> RecordingNews {
        RecordingNews::Chat(Box::new(RecordedMessage {
            message,
            participant_sid: "PA_1".to_owned(),
            identity: "ada".to_owned(),
            name: "Ada".to_owned(),
            text: text.to_owned(),
        }))
    }

    fn numbers(told: &[ToWorker]) -> Vec<u64> {
        let messages = told.iter().flat_map(|told| match told {
            ToWorker::Chat { messages } => messages.clone(),
            other => panic!("{other:?}"),
        });
        messages.map(|message| message.message).collect()
    }

    #[test]
    fn a_new_worker_is_told_all_that_was_not_taken_back() {
        let (mut log, clock, now) = (ChatLog::new(1 << 20), Clock::start(), Instant::now());
        for (number, text) in [(1, "one"), (2, "two"), (5, "five")] {
            let told = log.hear(now, &clock, &written(number, text)).unwrap();
            let ToWorker::Chat { messages } = &told else { panic!("{told:?}") };
            assert_eq!((messages[0].text.as_str(), messages[0].at), (text, clock.at(now)));
        }
        let retracted = log.hear(now, &clock, &RecordingNews::ChatRetracted { message: 2 });
        assert!(matches!(retracted, Some(ToWorker::ChatRetracted { message: 2, .. })));
        assert_eq!(numbers(&log.all()), [1, 5]);
        let unknown = RecordingNews::ChatRetracted { message: 3 };
        assert_eq!(log.hear(now, &clock, &unknown), None, "what was written before is none of the worker's");
        assert_eq!(log.hear(now, &clock, &RecordingNews::Speakers(Vec::new())), None);
    }

    #[test]
    fn what_is_kept_is_bounded_and_what_is_told_fits_into_frames() {
        let (mut log, clock, now) = (ChatLog::new(1 << 20), Clock::start(), Instant::now());
        // What JSON makes longest.
        let text = "\u{1}".repeat(2_000);
        let mut told = 0;
        for number in 0..1_000 {
            told += u64::from(log.hear(now, &clock, &written(number, &text)).is_some());
        }
        assert!((400..600).contains(&told) && log.left_out == 1_000 - told, "{told}");
        assert!(log.bytes <= 1 << 20);
        let all = log.all();
        assert_eq!(numbers(&all), (0..told).collect::<Vec<_>>());
        for message in all {
            encode(&message, Limits::default(), &mut Vec::new()).unwrap();
        }
        for number in 0..told {
            log.hear(now, &clock, &RecordingNews::ChatRetracted { message: number });
        }
        assert_eq!((log.bytes, log.all()), (0, Vec::new()));
    }
}
