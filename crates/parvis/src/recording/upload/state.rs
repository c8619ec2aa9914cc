// SPDX-License-Identifier: EUPL-1.2
//! How far the files of one recording are on their way into the storage. It lies beside them, so that a server that starts anew goes
//! on where the one before was, and whoever erases the recording knows that it lies elsewhere too.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

/// The file in a recording's folder. It is hidden, and so none of the recording's own.
pub(super) const FILE: &str = ".storage.json";
const DRAFT: &str = ".storage.json.part";

/// See the module's page.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    /// The bucket's address, so that another one that is configured later is not taken for it.
    pub(super) place: String,
    /// Whether it is one that a request named: what lies there is whose it is, and no more this server's.
    #[serde(default)]
    pub(super) requested: bool,
    /// By their names.
    pub(super) files: BTreeMap<String, Upload>,
    /// All of them lie there, and the record says so.
    pub(super) done: bool,
}

/// One file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Upload {
    pub(super) bytes: u64,
    /// In hexadecimal digits, of the whole.
    pub(super) sha256: String,
    /// The storage's name for an upload in parts that has begun, …
    pub(super) id: Option<String>,
    /// … and for each part that it has.
    pub(super) parts: Vec<String>,
    /// It lies there, whole.
    pub(super) done: bool,
}

impl State {
    /// As it lies in a folder; `None` where nothing was ever sent.
    pub(super) fn read(folder: &Path) -> io::Result<Option<State>> {
        match fs::read(folder.join(FILE)) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Has the disk keep it: the old one, or this one, whatever happens.
    pub(super) fn write(&self, folder: &Path) -> io::Result<()> {
        let draft = folder.join(DRAFT);
        let mut file = File::create(&draft)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_all()?;
        fs::rename(draft, folder.join(FILE))?;
        File::open(folder)?.sync_all()
    }
}
