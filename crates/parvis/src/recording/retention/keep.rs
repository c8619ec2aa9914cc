// SPDX-License-Identifier: EUPL-1.2
//! For how long each recording is kept. The server, the organisation and whoever made the room may each say so, in whole days after
//! its end; the shortest counts. What the room says lies in the recording's own folder, so that it holds for files of which there is
//! no record any more, and whatever is configured later.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use parvis_store::TenantId;

use super::super::folder;

/// The file in a recording's folder that has the room's days. It is hidden, and so none of the recording's own.
const FILE: &str = ".keep_days";
const DAY_MS: i64 = 86_400_000;

/// What is configured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Keep {
    /// Days for all; `None`: for good.
    pub(crate) all: Option<u32>,
    /// Days for each organisation that has its own, by its name.
    pub(crate) tenants: BTreeMap<String, u32>,
}

impl Keep {
    /// For how many days a recording is kept; `None`: for good.
    pub(super) fn days(&self, directory: &Path, tenant: &TenantId, id: &str) -> Option<u32> {
        let own = self.tenants.get(tenant.as_str()).copied();
        let room = folder(directory, tenant, id).and_then(|folder| days_of_room(&folder));
        [self.all, own, room].into_iter().flatten().min()
    }

    /// Until when one is kept that ended at `ended_ms`, both in milliseconds since 1970; `None`: for good, or it goes on.
    pub(crate) fn until_ms(
        &self,
        directory: &Path,
        (tenant, id): (&TenantId, &str),
        ended_ms: i64,
    ) -> Option<i64> {
        let days = self.days(directory, tenant, id).filter(|_| ended_ms > 0)?;
        Some(ended_ms.saturating_add(millis(days)))
    }

    /// All that is configured, and what rooms say whose folders are these.
    pub(super) fn known(&self, rooms: HashSet<u32>) -> BTreeSet<u32> {
        self.all.into_iter().chain(self.tenants.values().copied()).chain(rooms).collect()
    }
}

/// Days in milliseconds.
pub(super) fn millis(days: u32) -> i64 {
    i64::from(days) * DAY_MS
}

/// What the room said of the recording in this folder.
pub(super) fn days_of_room(folder: &Path) -> Option<u32> {
    fs::read_to_string(folder.join(FILE)).ok()?.trim().parse().ok()
}

/// Writes down what the room says, so that the disk has it before anything else of the recording.
pub(crate) fn set_days_of_room(folder: &Path, days: u32) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
    let mut file = File::create(folder.join(FILE))?;
    writeln!(file, "{days}")?;
    file.sync_all()?;
    File::open(folder)?.sync_all()
}
