// SPDX-License-Identifier: EUPL-1.2
//! Files while they are made: each lies beside its name as `….part`, and all get their names together when all are whole.

use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::ComposeError;

/// What is being made. It goes when this is dropped, unless it was finished.
#[derive(Debug, Default)]
pub(super) struct Work {
    /// What it is to be called, and what it is called meanwhile.
    files: Vec<(PathBuf, PathBuf)>,
    /// What is needed on the way only.
    scratch: Vec<PathBuf>,
}

impl Work {
    /// Makes a new file for nobody else to read, and says where it lies meanwhile. What a run that was killed left goes; a file
    /// that is whole stays, and this is refused.
    pub(super) fn begin(&mut self, path: &Path) -> Result<PathBuf, ComposeError> {
        refuse(path)?;
        let mut name = path.as_os_str().to_owned();
        name.push(".part");
        let part = PathBuf::from(name);
        create(&part)?;
        self.files.push((path.to_owned(), part.clone()));
        Ok(part)
    }

    /// Makes a file that is gone in the end.
    pub(super) fn scratch(&mut self, path: &Path) -> Result<(), ComposeError> {
        create(path)?;
        self.scratch.push(path.to_owned());
        Ok(())
    }

    /// The bytes of all of it.
    pub(super) fn bytes(&self) -> u64 {
        let all = self.files.iter().map(|(_, part)| part).chain(&self.scratch);
        all.filter_map(|path| Some(fs::metadata(path).ok()?.len())).sum()
    }

    /// Gives all files their names, the first one last: where it is, all are. They come in the order in which they were begun.
    pub(super) fn finish(mut self) -> Result<Vec<PathBuf>, ComposeError> {
        for (path, part) in self.files.iter().rev() {
            fs::rename(part, path).map_err(|error| ComposeError::Io { path: path.clone(), error })?;
        }
        Ok(std::mem::take(&mut self.files).into_iter().map(|(path, _)| path).collect())
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        for path in self.files.iter().map(|(_, part)| part).chain(&self.scratch) {
            let _ = fs::remove_file(path);
        }
    }
}

/// Refuses a name that is taken.
pub(super) fn refuse(path: &Path) -> Result<(), ComposeError> {
    if path.exists() {
        let error = io::Error::other("it exists already; take another name or remove it");
        return Err(ComposeError::Io { path: path.to_owned(), error });
    }
    Ok(())
}

fn create(path: &Path) -> Result<(), ComposeError> {
    let _ = fs::remove_file(path);
    let made = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    made.map(drop).map_err(|error| ComposeError::Io { path: path.to_owned(), error })
}
