// SPDX-License-Identifier: EUPL-1.2
//! What can go wrong, by what the caller can do about it.

use std::path::PathBuf;

/// Why the store did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// There is nothing of that id.
    #[error("no such {what}: {id}")]
    NotFound {
        /// What was looked for.
        what: &'static str,
        /// Its id or name.
        id: String,
    },
    /// Something has that id, name or key already.
    #[error("there is such a {what} already: {id}")]
    Exists {
        /// What was to be made.
        what: &'static str,
        /// Its id or name.
        id: String,
    },
    /// The table has as many rows as it may.
    #[error(
        "there are {limit} of {what} already: delete some, or raise database.max_rows or database.max_waiting_events"
    )]
    Full {
        /// The table.
        what: &'static str,
        /// Its bound.
        limit: usize,
    },
    /// The audit log takes as much as it may.
    #[error(
        "the audit log takes {limit} bytes, as many as audit.max_bytes lets it: raise that, or lower audit.keep"
    )]
    AuditFull {
        /// Its bound.
        limit: u64,
    },
    /// One record is larger than it may be.
    #[error("the {what} has {bytes} bytes, at most {limit} are kept")]
    TooLarge {
        /// What was to be kept.
        what: &'static str,
        /// How large it is.
        bytes: usize,
        /// The bound.
        limit: usize,
    },
    /// Someone else holds a lock. Trying again may help.
    #[error("the database is locked: {0}")]
    Busy(String),
    /// The database can't be reached, has no space, or took too long. Trying again may help.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// What is there can't be read.
    #[error("the database holds something that can't be read: {0}; restore a backup with `parvis restore`")]
    Corrupt(String),
    /// A newer server wrote it.
    #[error(
        "the database has schema {found}, this server knows {known}: use the newer server, or restore an older backup"
    )]
    Newer {
        /// The database's schema.
        found: i64,
        /// The newest that we know.
        known: i64,
    },
    /// The address of the database makes no sense.
    #[error("database.url: {0}; use \"postgres://USER@HOST/NAME\", \"sqlite:FILE\", or leave it empty")]
    Url(String),
    /// A file of the store can't be read or made.
    #[error("{}: {problem}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        problem: String,
    },
    /// The database says something that we did not expect: a mistake of ours, or of its administrator's.
    #[error("the database refuses: {0}")]
    Refused(String),
}

impl StoreError {
    /// Whether the same may work in a moment.
    pub fn is_transient(&self) -> bool {
        matches!(self, StoreError::Busy(_) | StoreError::Unavailable(_))
    }

    /// The words of a database for what it can't do, by what the caller can do.
    pub(crate) fn of(error: sqlx::Error) -> StoreError {
        let text = error.to_string();
        match error {
            sqlx::Error::Database(error) => of_code(error.code().as_deref().unwrap_or_default(), text),
            sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } => StoreError::Corrupt(text),
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => StoreError::Unavailable(text),
            sqlx::Error::Configuration(_) => StoreError::Url(text),
            _ => StoreError::Refused(text),
        }
    }
}

/// SQLite's numbers are plain (sqlite.org/rescode.html), PostgreSQL's have five characters (its appendix A).
fn of_code(code: &str, text: String) -> StoreError {
    if code.len() == 5 {
        return match (code.get(..2).unwrap_or_default(), code) {
            (_, "55P03" | "57014") | ("40", _) => StoreError::Busy(text),
            ("08" | "53" | "57" | "58", _) | (_, "25006") => StoreError::Unavailable(text),
            ("XX", _) => StoreError::Corrupt(text),
            _ => StoreError::Refused(text),
        };
    }
    // The low byte is the primary code.
    match code.parse::<i64>().unwrap_or_default() & 0xff {
        5 | 6 => StoreError::Busy(text),
        8 | 10 | 13 | 14 => StoreError::Unavailable(text),
        11 | 26 => StoreError::Corrupt(text),
        _ => StoreError::Refused(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_says_whether_trying_again_may_help() {
        for code in [
            "5", "6", "261", "517", "8", "13", "778", "14", "55P03", "57014", "40001", "08006", "53100",
            "57P01",
        ] {
            assert!(of_code(code, String::new()).is_transient(), "{code}");
        }
        for code in ["1", "2067", "11", "26", "23505", "42P01", "XX001", ""] {
            assert!(!of_code(code, String::new()).is_transient(), "{code}");
        }
        assert!(matches!(of_code("26", String::new()), StoreError::Corrupt(_)));
        assert!(matches!(of_code("XX001", String::new()), StoreError::Corrupt(_)));
    }
}
