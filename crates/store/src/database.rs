// SPDX-License-Identifier: EUPL-1.2
//! The two engines behind one door. Everything that goes to a database goes through here: with a deadline, counted, its
//! errors told apart. SQL is written once and must mean the same to both: `$1` for values, TEXT and BIGINT for columns.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgRow};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, ConnectOptions, Postgres, Row as _, Sqlite};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::timeout;

use crate::stats::Counters;
use crate::{StoreConfig, StoreError};

/// A value that goes in.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value<'a> {
    Text(&'a str),
    Int(i64),
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Value::Text(text)
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(text: &'a String) -> Self {
        Value::Text(text)
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Value::Int(number)
    }
}

/// A row that comes out.
pub(crate) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl Row {
    pub(crate) fn text(&self, column: usize) -> Result<String, StoreError> {
        match self {
            Row::Sqlite(row) => row.try_get(column),
            Row::Postgres(row) => row.try_get(column),
        }
        .map_err(StoreError::of)
    }

    pub(crate) fn int(&self, column: usize) -> Result<i64, StoreError> {
        match self {
            Row::Sqlite(row) => row.try_get(column),
            Row::Postgres(row) => row.try_get(column),
        }
        .map_err(StoreError::of)
    }
}

/// A database that is open.
pub(crate) struct Database {
    pool: Pool,
    timeout: Duration,
    /// SQLite has one writer at a time; ours queue here instead of polling its lock.
    writer: Mutex<()>,
    counters: Counters,
}

enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// Several operations that all happen or none, on one state of the database. Dropping it undoes them.
pub(crate) enum Transaction {
    Sqlite(sqlx::Transaction<'static, Sqlite>),
    Postgres(sqlx::Transaction<'static, Postgres>),
}

/// Binds values in their order.
macro_rules! bound {
    ($engine:ty, $sql:expr, $values:expr) => {{
        let mut query = sqlx::query::<$engine>(AssertSqlSafe($sql.to_owned()));
        for value in $values {
            query = match value {
                Value::Text(text) => query.bind((*text).to_owned()),
                Value::Int(number) => query.bind(*number),
            };
        }
        query
    }};
}

impl Database {
    /// Opens what the configuration names; makes SQLite's file if there is none.
    pub(crate) async fn open(config: &StoreConfig) -> Result<Database, StoreError> {
        let url = config.url.trim();
        let pool = if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            Pool::Postgres(open_postgres(url, config).await?)
        } else if let Some(path) = sqlite_file(config) {
            Pool::Sqlite(open_sqlite(&path, config).await?)
        } else {
            let scheme = url.split(':').next().unwrap_or_default();
            return Err(StoreError::Url(format!("\"{scheme}\" is no database that is known here")));
        };
        Ok(Database { pool, timeout: config.timeout, writer: Mutex::new(()), counters: Counters::default() })
    }

    /// Opens what is there, to read it and nothing else.
    pub(crate) async fn open_to_read(config: &StoreConfig) -> Result<Database, StoreError> {
        let Some(path) = sqlite_file(config) else { return Database::open(config).await };
        let pool = Pool::Sqlite(open_copy(&path, config).await?);
        Ok(Database { pool, timeout: config.timeout, writer: Mutex::new(()), counters: Counters::default() })
    }

    /// Whether there is a file to open, or a server to ask.
    pub(crate) fn is_there(config: &StoreConfig) -> bool {
        sqlite_file(config).is_none_or(|path| path.exists())
    }

    pub(crate) async fn close(&self) {
        match &self.pool {
            Pool::Sqlite(pool) => pool.close().await,
            Pool::Postgres(pool) => pool.close().await,
        }
    }

    /// `sqlite` or `postgres`.
    pub(crate) fn engine(&self) -> &'static str {
        match self.pool {
            Pool::Sqlite(_) => "sqlite",
            Pool::Postgres(_) => "postgres",
        }
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Changes rows; says how many.
    pub(crate) async fn execute(&self, sql: &str, values: &[Value<'_>]) -> Result<u64, StoreError> {
        self.timed(async {
            match &self.pool {
                Pool::Sqlite(pool) => {
                    let _alone = self.writer.lock().await;
                    Ok(bound!(Sqlite, sql, values)
                        .execute(pool)
                        .await
                        .map_err(StoreError::of)?
                        .rows_affected())
                }
                Pool::Postgres(pool) => Ok(bound!(Postgres, sql, values)
                    .execute(pool)
                    .await
                    .map_err(StoreError::of)?
                    .rows_affected()),
            }
        })
        .await
    }

    /// Changes rows and gives what the statement returns of them.
    pub(crate) async fn take(&self, sql: &str, values: &[Value<'_>]) -> Result<Vec<Row>, StoreError> {
        self.timed(async {
            let _alone = match self.pool {
                Pool::Sqlite(_) => Some(self.writer.lock().await),
                Pool::Postgres(_) => None,
            };
            self.fetch(sql, values).await
        })
        .await
    }

    /// Reads rows.
    pub(crate) async fn rows(&self, sql: &str, values: &[Value<'_>]) -> Result<Vec<Row>, StoreError> {
        self.timed(self.fetch(sql, values)).await
    }

    /// A transaction that writes, to be used within [`Database::timed`]. Keep the guard as long as the transaction.
    pub(crate) async fn write(&self) -> Result<(Option<MutexGuard<'_, ()>>, Transaction), StoreError> {
        let alone = match self.pool {
            Pool::Sqlite(_) => Some(self.writer.lock().await),
            Pool::Postgres(_) => None,
        };
        Ok((alone, self.begin().await?))
    }

    /// One state of the database to read from for as long as it takes: no deadline, and no lock in anyone's way.
    pub(crate) async fn snapshot(&self) -> Result<Transaction, StoreError> {
        let mut transaction = self.begin().await?;
        if matches!(transaction, Transaction::Postgres(_)) {
            transaction.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY", &[]).await?;
        }
        Ok(transaction)
    }

    /// A transaction without a deadline, for a command that has the database to itself.
    pub(crate) async fn begin(&self) -> Result<Transaction, StoreError> {
        Ok(match &self.pool {
            Pool::Sqlite(pool) => Transaction::Sqlite(pool.begin().await.map_err(StoreError::of)?),
            Pool::Postgres(pool) => Transaction::Postgres(pool.begin().await.map_err(StoreError::of)?),
        })
    }

    async fn fetch(&self, sql: &str, values: &[Value<'_>]) -> Result<Vec<Row>, StoreError> {
        match &self.pool {
            Pool::Sqlite(pool) => {
                let rows = bound!(Sqlite, sql, values).fetch_all(pool).await.map_err(StoreError::of)?;
                Ok(rows.into_iter().map(Row::Sqlite).collect())
            }
            Pool::Postgres(pool) => {
                let rows = bound!(Postgres, sql, values).fetch_all(pool).await.map_err(StoreError::of)?;
                Ok(rows.into_iter().map(Row::Postgres).collect())
            }
        }
    }

    /// Gives an operation its deadline, and counts it.
    pub(crate) async fn timed<T>(
        &self,
        operation: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let begun = Instant::now();
        let result = timeout(self.timeout, operation).await.unwrap_or_else(|_| {
            Err(StoreError::Unavailable(format!("nothing came of it within {} ms", self.timeout.as_millis())))
        });
        self.counters.took(begun.elapsed());
        result.inspect_err(|error| self.counters.failed(error))
    }
}

impl Transaction {
    pub(crate) async fn execute(&mut self, sql: &str, values: &[Value<'_>]) -> Result<u64, StoreError> {
        Ok(match self {
            Transaction::Sqlite(open) => bound!(Sqlite, sql, values)
                .execute(&mut **open)
                .await
                .map_err(StoreError::of)?
                .rows_affected(),
            Transaction::Postgres(open) => bound!(Postgres, sql, values)
                .execute(&mut **open)
                .await
                .map_err(StoreError::of)?
                .rows_affected(),
        })
    }

    pub(crate) async fn rows(&mut self, sql: &str, values: &[Value<'_>]) -> Result<Vec<Row>, StoreError> {
        Ok(match self {
            Transaction::Sqlite(open) => {
                let rows =
                    bound!(Sqlite, sql, values).fetch_all(&mut **open).await.map_err(StoreError::of)?;
                rows.into_iter().map(Row::Sqlite).collect()
            }
            Transaction::Postgres(open) => {
                let rows =
                    bound!(Postgres, sql, values).fetch_all(&mut **open).await.map_err(StoreError::of)?;
                rows.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        match self {
            Transaction::Sqlite(open) => open.commit().await,
            Transaction::Postgres(open) => open.commit().await,
        }
        .map_err(StoreError::of)
    }
}

/// SQLite's file, if that is the engine.
fn sqlite_file(config: &StoreConfig) -> Option<PathBuf> {
    match config.url.trim() {
        "" => Some(config.folder.join("parvis.db")),
        url => url.strip_prefix("sqlite:").map(|path| PathBuf::from(path.strip_prefix("//").unwrap_or(path))),
    }
}

async fn open_sqlite(path: &Path, config: &StoreConfig) -> Result<SqlitePool, StoreError> {
    // SQLite gives its journals the mode of the database; who meets whom is nobody else's to read.
    let made = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    made.map_err(|error| StoreError::File { path: path.to_owned(), problem: error.to_string() })?;
    let options = SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        // Each commit reaches the disk: an event that was written is sent, whatever happens to the machine.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        // What is erased is overwritten: a person's key is gone when its row is.
        .pragma("secure_delete", "ON")
        // Before our own deadline, so that the error says what it was.
        .busy_timeout(config.timeout * 2 / 3)
        .disable_statement_logging();
    let pool = SqlitePoolOptions::new().max_connections(config.connections).acquire_timeout(config.timeout);
    let opened = pool.connect_with(options).await.map_err(StoreError::of);
    opened.map_err(|error| match error {
        StoreError::Refused(problem) => StoreError::File { path: path.to_owned(), problem },
        other => other,
    })
}

/// A file that is only read. Without a journal beside it nothing is under way, and it may lie where nothing can be written.
async fn open_copy(path: &Path, config: &StoreConfig) -> Result<SqlitePool, StoreError> {
    let failed = |problem: String| StoreError::File { path: path.to_owned(), problem };
    std::fs::File::open(path).map_err(|error| failed(error.to_string()))?;
    let mut journal = path.as_os_str().to_owned();
    journal.push("-wal");
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .immutable(!Path::new(&journal).exists())
        .busy_timeout(config.timeout * 2 / 3)
        .disable_statement_logging();
    let pool = SqlitePoolOptions::new().max_connections(1).acquire_timeout(config.timeout);
    pool.connect_with(options).await.map_err(StoreError::of)
}

async fn open_postgres(url: &str, config: &StoreConfig) -> Result<PgPool, StoreError> {
    let millis = |time: Duration| time.as_millis().to_string();
    let options = PgConnectOptions::from_str(url)
        .map_err(|error| StoreError::Url(error.to_string()))?
        .application_name("parvis")
        .options([
            ("lock_timeout", millis(config.timeout * 2 / 3)),
            ("idle_in_transaction_session_timeout", "60000".to_owned()),
        ])
        .disable_statement_logging();
    let pool = PgPoolOptions::new().max_connections(config.connections).acquire_timeout(config.timeout);
    pool.connect_with(options).await.map_err(StoreError::of)
}
