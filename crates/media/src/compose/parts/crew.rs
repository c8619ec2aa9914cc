// SPDX-License-Identifier: EUPL-1.2
//! The processes that make a film in parts, and whoever has them do it. He opens nothing of the recording but its description, and so
//! can stay outside of the cage in which they are: he must start programs, and they must not.
//!
//! Each says on its standard output what it has made, a line of JSON each, and ends when its standard input does: none outlives him.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::idle::Idle;
use super::ledger::{Entry, Ledger};
use super::{Plan, SOUND, Share, folder, segment};
use crate::compose::{ComposeError, Composed};

/// How often it is looked whether another process may begin.
const LOOK: Duration = Duration::from_secs(1);
/// The longest line that a process may say.
const MAX_LINE: u64 = 1024 * 1024;

/// A line that a process says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "said", rename_all = "snake_case")]
pub enum Said {
    /// A part is made.
    Made(Entry),
    /// The film is.
    Joined {
        /// The film.
        film: Composed,
        /// The files that were sealed.
        sealed: Vec<PathBuf>,
    },
    /// It can't be made.
    Failed {
        /// Why.
        why: String,
    },
}

impl Said {
    /// As a line, without its end.
    pub fn line(&self) -> String {
        // Words and numbers are always JSON.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// What is to be made, and by whom.
pub struct Crew<'a> {
    /// The film.
    pub out: &'a Path,
    /// Its parts.
    pub plan: &'a Plan,
    /// How many processes may work at the same time.
    pub most: usize,
    /// Whether fewer do while others want the processors.
    pub yields: bool,
    /// What all parts together may have.
    pub max_bytes: u64,
    /// Pictures a second.
    pub rate: u32,
    /// How a process is started for a share. Its standard input and output are set here.
    pub start: &'a dyn Fn(&Share) -> Command,
}

/// A film that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// What it is.
    pub film: Composed,
    /// The files that were sealed.
    pub sealed: Vec<PathBuf>,
    /// Parts that were there already, and those that were made now.
    pub parts: (usize, usize),
}

/// Why there is none. The parts that are whole stay.
#[derive(Debug, thiserror::Error)]
pub enum CrewError {
    /// One of them said why.
    #[error("{0}")]
    Said(String),
    /// One of them died. Another one may fare better.
    #[error("a process that made a part of it died: {how} ({share}); what is whole of it stays")]
    Died {
        /// What it was to do.
        share: String,
        /// How.
        how: String,
    },
    /// Nobody could be asked, or nothing written down.
    #[error(transparent)]
    Compose(#[from] ComposeError),
}

/// Makes a film in parts, or goes on with one.
pub fn make(crew: &Crew<'_>) -> Result<Done, CrewError> {
    let folder = folder(crew.out);
    let mut ledger = Ledger::open(&folder, &crew.plan.head())?;
    let there = ledger.entries().count();
    let mut waiting = VecDeque::from(crew.plan.shares(|file| ledger.has(file), crew.most));
    let (sender, events) = mpsc::channel();
    let (mut working, mut idle, mut number) = (BTreeMap::new(), Idle::new(), 0);
    while !(waiting.is_empty() && working.is_empty()) {
        let room = if crew.yields { idle.cores().min(crew.most) } else { crew.most };
        while working.len() < room.max(1)
            && let Some(share) = waiting.pop_front()
        {
            working.insert(number, Worker::start((crew.start)(&share), share, number, &sender)?);
            number += 1;
        }
        match events.recv_timeout(LOOK) {
            Ok((_, Event::Said(Said::Made(entry)))) => {
                sync(&folder)?;
                ledger.add(entry)?;
                crew.check_size(&ledger)?;
            }
            Ok((_, Event::Said(Said::Failed { why }))) => return Err(CrewError::Said(why)),
            Ok((who, Event::Ended)) => {
                if let Some(worker) = working.remove(&who) {
                    worker.ended()?;
                }
            }
            Ok((_, Event::Said(Said::Joined { .. }))) | Err(_) => {}
        }
    }
    let mut files = (0..crew.plan.segments()).map(segment).chain([SOUND.to_owned()]);
    if let Some(share) = files.find(|file| !ledger.has(file)) {
        let how = "it ended without having made all of it".to_owned();
        return Err(CrewError::Died { share, how });
    }
    let parts = (there, ledger.entries().count() - there);
    let (film, sealed) = join(crew)?;
    // The film is there: what is left of its parts harms nobody but the disk.
    drop(ledger);
    fs::remove_dir_all(&folder).map_err(|error| ComposeError::Io { path: folder, error })?;
    Ok(Done { film, sealed, parts })
}

impl Crew<'_> {
    fn check_size(&self, ledger: &Ledger) -> Result<(), CrewError> {
        let bytes: u64 = ledger.entries().map(|entry| entry.bytes).sum();
        if bytes <= self.max_bytes {
            return Ok(());
        }
        let made = ledger.entries().count() as u64;
        let micros =
            (made * self.plan.each).min(self.plan.pictures) * 1_000_000 / u64::from(self.rate.max(1));
        Err(ComposeError::TooLarge { bytes: self.max_bytes, micros }.into())
    }
}

/// Has all parts joined.
fn join(crew: &Crew<'_>) -> Result<(Composed, Vec<PathBuf>), CrewError> {
    let (sender, events) = mpsc::channel();
    let worker = Worker::start((crew.start)(&Share::Join), Share::Join, 0, &sender)?;
    let mut joined = None;
    loop {
        match events.recv_timeout(LOOK) {
            Ok((_, Event::Said(Said::Joined { film, sealed }))) => joined = Some((film, sealed)),
            Ok((_, Event::Said(Said::Failed { why }))) => return Err(CrewError::Said(why)),
            Ok((_, Event::Ended)) | Err(RecvTimeoutError::Disconnected) => break,
            Ok((_, Event::Said(Said::Made(_)))) | Err(RecvTimeoutError::Timeout) => {}
        }
    }
    worker.ended()?;
    joined.ok_or_else(|| CrewError::Died {
        share: Share::Join.to_string(),
        how: "it ended without a film".to_owned(),
    })
}

/// The disk has the names of all that is in a folder.
fn sync(folder: &Path) -> Result<(), ComposeError> {
    let synced = fs::File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|error| ComposeError::Io { path: folder.to_owned(), error })
}

enum Event {
    Said(Said),
    /// It says nothing more.
    Ended,
}

/// A process. It is ended when this is dropped.
struct Worker {
    share: Share,
    child: Child,
}

impl Worker {
    fn start(
        mut command: Command,
        share: Share,
        number: u64,
        events: &Sender<(u64, Event)>,
    ) -> Result<Worker, ComposeError> {
        let program = PathBuf::from(command.get_program());
        let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let child = started.map_err(|error| ComposeError::Io { path: program.clone(), error })?;
        let mut worker = Worker { share, child };
        if let Some(stdout) = worker.child.stdout.take() {
            let events = events.clone();
            let listen = move || listen(stdout, number, &events);
            let listens = thread::Builder::new().name(format!("part {number}")).spawn(listen);
            listens.map_err(|error| ComposeError::Io { path: program, error })?;
        }
        Ok(worker)
    }

    /// It has said its last word: whether it ended as it should.
    fn ended(mut self) -> Result<(), CrewError> {
        let status = self.child.wait();
        let how = match status {
            Ok(status) if status.success() => return Ok(()),
            Ok(status) => how(status),
            Err(error) => format!("it can't be waited for: {error}"),
        };
        Err(CrewError::Died { share: self.share.to_string(), how })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // One that has ended by itself can't be.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn how(status: ExitStatus) -> String {
    match status.signal() {
        Some(signal) => format!("signal {signal}"),
        None => status.to_string(),
    }
}

/// Passes on what a process says, until it says nothing more.
fn listen(stdout: ChildStdout, number: u64, events: &Sender<(u64, Event)>) {
    let mut reader = BufReader::new(stdout);
    let mut line = String::new();
    loop {
        line.clear();
        match (&mut reader).take(MAX_LINE).read_line(&mut line) {
            Ok(0) | Err(_) => break,
            // What is no such line was said by a library of others.
            Ok(_) => {
                if let Ok(said) = serde_json::from_str(&line)
                    && events.send((number, Event::Said(said))).is_err()
                {
                    return;
                }
            }
        }
    }
    let _ = events.send((number, Event::Ended));
}
