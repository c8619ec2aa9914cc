// SPDX-License-Identifier: EUPL-1.2
//! What people wrote to all, in a file of its own, a line each: it is the only one that is written once more in the end, without what was
//! taken back. Until then a line says what was, since a sealed file can't be changed.

use parvis_jobs::{Message, UnixMicros};

use super::file::{Finished, GrowingFile};
use super::store::Store;
use crate::age::AgeError;
use crate::timeline::{Entry, What};

/// See the module's page.
#[derive(Debug)]
pub(super) struct Chat {
    file: GrowingFile,
    /// What is to stay of it, by the messages' numbers.
    kept: Vec<(u64, Vec<u8>)>,
    /// Bytes of all lines in the file.
    written: u64,
    /// A line of the file is of a message that was taken back.
    outdated: bool,
    unsafe_since: Option<UnixMicros>,
}

impl Chat {
    /// Nothing was written yet.
    pub(super) fn begin(store: &Store) -> Result<Chat, AgeError> {
        let file = store.create("chat", ".jsonl")?;
        Ok(Chat { file, kept: Vec::new(), written: 0, outdated: false, unsafe_since: None })
    }

    /// The file's name.
    pub(super) fn name(&self) -> &str {
        self.file.name()
    }

    /// Bytes on disk.
    pub(super) fn bytes_on_disk(&self) -> u64 {
        self.file.bytes_on_disk()
    }

    /// Somebody wrote something; `false` where it would be longer than `most` bytes with it.
    pub(super) fn add(
        &mut self,
        now: UnixMicros,
        started_at: UnixMicros,
        message: Message,
        most: u64,
    ) -> Result<bool, AgeError> {
        let Message { message, participant, identity, name, text, at } = message;
        let what = What::Chat { message, participant, identity, name, text };
        let line = super::line(&Entry { at: at.since(started_at), what });
        if self.written + line.len() as u64 > most {
            return Ok(false);
        }
        let written = self.write(now, &line);
        self.kept.push((message, line));
        written.map(|()| true)
    }

    /// A message was taken back.
    pub(super) fn retract(&mut self, now: UnixMicros, at: i64, message: u64) -> Result<(), AgeError> {
        let Ok(place) = self.kept.binary_search_by_key(&message, |(number, _)| *number) else {
            return Ok(());
        };
        self.kept.remove(place);
        self.outdated = true;
        self.write(now, &super::line(&Entry { at, what: What::ChatRetracted { message } }))
    }

    /// From here on a killed worker loses nothing of what is older than this.
    pub(super) fn secure(&mut self, now: UnixMicros, unsafe_micros: u64) -> Result<(), AgeError> {
        if self.unsafe_since.is_some_and(|since| since.0 + unsafe_micros <= now.0) {
            self.file.sync()?;
            self.unsafe_since = None;
        }
        Ok(())
    }

    /// Ends it: the file that stays. Where something was taken back that is a new one, and the other goes.
    pub(super) fn finish(&mut self, store: &Store) -> Result<Finished, AgeError> {
        if !self.outdated {
            return self.file.finish();
        }
        let mut clean = store.create("chat", ".jsonl")?;
        let written = self.kept.iter().try_for_each(|(_, line)| clean.write(line));
        match written.and_then(|()| clean.finish()) {
            Ok(finished) => {
                store.remove(self.file.name())?;
                (self.file, self.outdated) = (clean, false);
                Ok(finished)
            }
            Err(error) => {
                // The other one stays, and says what is to be left out.
                let _ = store.remove(clean.name());
                Err(error)
            }
        }
    }

    fn write(&mut self, now: UnixMicros, line: &[u8]) -> Result<(), AgeError> {
        self.written += line.len() as u64;
        self.unsafe_since.get_or_insert(now);
        self.file.write(line)
    }
}
