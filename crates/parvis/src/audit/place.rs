// SPDX-License-Identifier: EUPL-1.2
//! Where signed checkpoints go besides the database. Whoever can change the log should not be able to change what is there.

use std::fs::OpenOptions;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use parvis_audit::stamped_line;

use super::syslog::SyslogTarget;
use crate::recording::Remote;

/// What is kept there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    /// How many entries the checkpoint is over.
    pub(super) size: u64,
    pub(super) note: String,
    /// An outside authority's word on when that was.
    pub(super) stamp: Option<Vec<u8>>,
}

/// A second place.
pub(super) enum Place {
    /// A file, to the end of which each is written.
    File(PathBuf),
    /// A system log.
    Syslog(SyslogTarget),
    /// The storage of recordings.
    Storage(Remote),
}

impl Place {
    /// Its word in metrics.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Place::File(_) => "file",
            Place::Syslog(_) => "syslog",
            Place::Storage(_) => "storage",
        }
    }

    /// Brings a checkpoint there, or a time-stamp over one.
    pub(super) async fn put(&self, kept: &Kept) -> Result<(), String> {
        let Kept { size, note, stamp } = kept;
        let line = stamped_line(note, stamp.as_deref());
        match self {
            Place::File(path) => {
                let text = if stamp.is_some() { format!("{line}\n") } else { note.clone() };
                let path = path.clone();
                let written = tokio::task::spawn_blocking(move || append(&path, &text)).await;
                written.map_err(|error| error.to_string())?
            }
            Place::Syslog(target) => target.send_line(&line).await,
            Place::Storage(remote) => {
                let (name, text) = match stamp {
                    None => (format!("audit/checkpoint-{size:020}.txt"), note.clone()),
                    Some(_) => (format!("audit/stamp-{size:020}.json"), line),
                };
                remote.put_beside(&name, text.into()).await.map_err(|error| error.to_string())
            }
        }
    }
}

/// Writes a note to the end of the file, and to the disk. One before that was not written to its end, since the power went, is marked.
fn append(path: &Path, note: &str) -> Result<(), String> {
    let mut options = OpenOptions::new();
    let opened = options.create(true).read(true).append(true).mode(0o640).open(path);
    let written = opened.and_then(|mut file| {
        let mut last = [b'\n'];
        if file.seek(SeekFrom::End(-1)).is_ok() {
            file.read_exact(&mut last)?;
        }
        let before = if last == [b'\n'] { "\n" } else { " (torn)\n\n" };
        file.write_all(format!("{before}{note}").as_bytes())?;
        file.sync_all()
    });
    written.map_err(|error| format!("{}: {error}", path.display()))
}
