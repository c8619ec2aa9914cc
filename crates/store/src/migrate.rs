// SPDX-License-Identifier: EUPL-1.2
//! Brings a database to the schema that this server knows: numbered files, each applied once and whole.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};

use crate::StoreError;
use crate::database::{Database, Row};

/// All migrations, in their order. One that was released is never changed: what it did stands in databases out there.
const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/0001_first.sql"),
    include_str!("../migrations/0002_erasures.sql"),
    include_str!("../migrations/0003_meetings.sql"),
    include_str!("../migrations/0004_audit.sql"),
];

/// The schema that this server knows.
pub(crate) const SCHEMA: i64 = MIGRATIONS.len() as i64;

/// Applies what is missing. A database of a newer server, or with another past, is left as it is.
pub(crate) async fn migrate(database: &Database) -> Result<(), StoreError> {
    let table = "CREATE TABLE IF NOT EXISTS schema_versions \
                 (version BIGINT NOT NULL PRIMARY KEY, hash TEXT NOT NULL, applied_ms BIGINT NOT NULL)";
    let mut transaction = database.begin().await?;
    if database.engine() == "postgres" {
        // Two servers that start at the same time do it one after the other.
        transaction.execute("SELECT pg_advisory_xact_lock(7884)", &[]).await?;
    }
    transaction.execute(table, &[]).await?;
    let rows = transaction.rows(APPLIED, &[]).await?;
    let applied = compare(&rows)?;
    for (at, migration) in MIGRATIONS.iter().enumerate().skip(applied) {
        for statement in statements(migration) {
            transaction.execute(&statement, &[]).await?;
        }
        let version = at as i64 + 1;
        let hash = hash(migration);
        let sql = "INSERT INTO schema_versions (version, hash, applied_ms) VALUES ($1, $2, $3)";
        transaction.execute(sql, &[version.into(), (&hash).into(), unix_ms().into()]).await?;
        tracing::info!(version, engine = database.engine(), "the database has a new schema");
    }
    transaction.commit().await
}

/// Sees whether a database is one that this server can bring to its schema, and changes nothing.
pub(crate) async fn check(database: &Database) -> Result<(), StoreError> {
    let tables = match database.engine() {
        "postgres" => "SELECT count(*) FROM information_schema.tables WHERE table_name = 'schema_versions'",
        _ => "SELECT count(*) FROM sqlite_master WHERE name = 'schema_versions'",
    };
    let rows = database.rows(tables, &[]).await?;
    if rows.first().map_or(Ok(0), |row| row.int(0))? == 0 {
        return Ok(());
    }
    compare(&database.rows(APPLIED, &[]).await?).map(drop)
}

/// What was applied, in its order.
const APPLIED: &str = "SELECT version, hash FROM schema_versions ORDER BY version";

/// How many migrations were applied, if they are ours.
fn compare(rows: &[Row]) -> Result<usize, StoreError> {
    for row in rows {
        let version = row.int(0)?;
        let Some(migration) = usize::try_from(version - 1).ok().and_then(|at| MIGRATIONS.get(at)) else {
            return Err(StoreError::Newer { found: version, known: SCHEMA });
        };
        if row.text(1)? != hash(migration) {
            return Err(StoreError::Corrupt(format!("its schema {version} is not the one of this server")));
        }
    }
    Ok(rows.len())
}

/// The statements of a file, without its comments. No text in them holds a semicolon.
fn statements(migration: &str) -> Vec<String> {
    let lines = migration.lines().filter(|line| !line.trim_start().starts_with("--"));
    let code = lines.collect::<Vec<_>>().join("\n");
    code.split(';').map(str::trim).filter(|statement| !statement.is_empty()).map(str::to_owned).collect()
}

fn hash(migration: &str) -> String {
    hex::encode(digest(&SHA256, migration.as_bytes()))
}

/// What a wall clock shows.
pub(crate) fn unix_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_its_statements() {
        let text = "-- first\nCREATE TABLE a (b TEXT);\n\n  -- second\nCREATE INDEX c\n ON a (b);\n";
        assert_eq!(statements(text), ["CREATE TABLE a (b TEXT)", "CREATE INDEX c\n ON a (b)"]);
    }

    /// What stands in databases out there is not changed by editing a file here.
    #[test]
    fn a_migration_that_was_released_stays_as_it_is() {
        assert_eq!(SCHEMA, 4);
    }
}
