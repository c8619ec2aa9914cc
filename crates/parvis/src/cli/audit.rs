// SPDX-License-Identifier: EUPL-1.2
//! `parvis audit`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Whose;

#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// Check that the log is as it was written, and name the first entry that is not. The server need not run, nor be there.
    Verify(AuditVerify),
    /// Write an organisation's entries, each with the proof that it is in the log that was signed.
    Export(AuditExport),
    /// Erase a person from the log: who it was isn't known any more, and the log verifies as before.
    Erase(AuditErase),
    /// Print the key that checks the log's signatures. Make it, if there is none yet.
    Key {
        #[command(flatten)]
        whose: Whose,
    },
}

/// Which log, and what it is held against.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true))]
pub(crate) struct AuditVerify {
    /// The log of `serve --dev`.
    #[arg(long, group = "what", conflicts_with = "config")]
    pub(crate) dev: bool,
    /// The log of this configuration, with its key and its file of checkpoints.
    #[arg(long, value_name = "FILE", group = "what")]
    pub(crate) config: Option<PathBuf>,
    /// Directory for what outlives the server.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// A copy of the database: a file of SQLite, or a URL as `database.url` takes it. It is only read.
    #[arg(long, value_name = "FILE", group = "what")]
    pub(crate) database: Option<String>,
    /// What a second place kept: the file of checkpoints, or a file of a system log. May be said several times.
    #[arg(long, value_name = "FILE")]
    pub(crate) checkpoints: Vec<PathBuf>,
    /// The key that checks signatures, as `parvis audit key` prints it, or a file of it. Say all of them if it was changed.
    #[arg(long, value_name = "KEY|FILE")]
    pub(crate) key: Vec<String>,
    /// Whose word on the authority of time-stamps counts: a file of CAs in PEM. Without it, the configuration's.
    #[arg(long, value_name = "FILE")]
    pub(crate) stamp_ca: Option<PathBuf>,
    /// Not a database, but what `parvis audit export` wrote.
    #[arg(long, value_name = "FILE", group = "what", conflicts_with_all = ["database", "checkpoints"])]
    pub(crate) export: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Whose entries, and where to.
#[derive(Debug, Args)]
pub(crate) struct AuditExport {
    /// The organisation; the empty one has what is the server's own.
    #[arg(long, default_value = "default")]
    pub(crate) tenant: String,
    /// The file to write. Without it, the standard output.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Say who stands behind pseudonyms, as far as that is still known.
    #[arg(long)]
    pub(crate) names: bool,
    #[command(flatten)]
    pub(crate) whose: Whose,
}

/// Who is to be erased.
#[derive(Debug, Args)]
pub(crate) struct AuditErase {
    /// The identity, `address:` and an address, or the pseudonym (`p:…`).
    #[arg(long)]
    pub(crate) person: String,
    /// The organisation.
    #[arg(long, default_value = "default")]
    pub(crate) tenant: String,
    #[command(flatten)]
    pub(crate) whose: Whose,
}
