// SPDX-License-Identifier: EUPL-1.2
//! Backups: one file of JSON lines that either engine writes and either restores. The first line says what it is, the last
//! how many rows there are and the hash of everything before it. What is sealed in the database is open in a backup, so
//! that it can be restored where the key is another: keep it as you would keep the keys.

use std::io::{self, BufRead, Write};

use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use serde_json::Map;

use crate::database::{Database, Row, Transaction, Value};
use crate::migrate::{SCHEMA, unix_ms};
use crate::seal::Seal;
use crate::tables::{Kind, SHAPES, Shape};
use crate::{Store, StoreError};

/// What the first line calls the file.
const FORMAT: &str = "parvis-backup";
/// Rows read at once.
const PAGE: i64 = 500;
/// The longest line that is read: a record at the largest bound that can be set, and its columns, in JSON.
const MAX_LINE_BYTES: u64 = 16 << 20;

/// What is in a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// When it was made, in milliseconds since 1970.
    pub created_ms: i64,
    /// The schema of the database that it was made of.
    pub schema: i64,
    /// Rows, without those of tables that are empty.
    pub rows: Vec<(&'static str, u64)>,
}

/// Why a backup can't be made, checked or restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file.
    #[error("the backup can't be read or written: {0}")]
    File(#[from] io::Error),
    /// It is no backup, or not a whole one.
    #[error("line {line}: {problem}; the backup is not what was written, use another")]
    Broken {
        /// Where.
        line: u64,
        /// What is wrong there.
        problem: String,
    },
    /// A newer server made it.
    #[error("the backup has schema {found}, this server knows {known}: restore it with the newer server")]
    Newer {
        /// The backup's schema.
        found: i64,
        /// The newest that we know.
        known: i64,
    },
    /// There is something already where it would be restored to.
    #[error("the database holds {0} rows already: restore into an empty one, or say --replace to lose them")]
    NotEmpty(u64),
}

/// A row's columns by their names.
type Fields = Map<String, serde_json::Value>;

#[derive(Serialize, Deserialize)]
struct Head {
    format: String,
    schema: i64,
    engine: String,
    created_ms: i64,
}

#[derive(Serialize, Deserialize)]
struct Line {
    table: String,
    row: Fields,
}

#[derive(Serialize, Deserialize)]
struct End {
    rows: u64,
    sha256: String,
}

impl Store {
    /// Writes everything, as it is at this moment; others go on reading and writing meanwhile.
    pub async fn backup(&self, out: &mut (impl Write + Send)) -> Result<Summary, BackupError> {
        let mut writer = Hashing { out, hash: Context::new(&SHA256) };
        let created_ms = unix_ms();
        let engine = self.engine().to_owned();
        writer.line(&Head { format: FORMAT.to_owned(), schema: SCHEMA, engine, created_ms })?;
        let mut snapshot = self.database().snapshot().await?;
        let mut summary = Summary { created_ms, schema: SCHEMA, rows: Vec::new() };
        for shape in SHAPES {
            let mut rows = 0;
            loop {
                let page = page(&mut snapshot, shape, rows).await?;
                for row in &page {
                    writer.line(&Line {
                        table: shape.name.to_owned(),
                        row: open_row(self.secrets(), shape, row)?,
                    })?;
                }
                rows += page.len() as i64;
                if (page.len() as i64) < PAGE {
                    break;
                }
            }
            if rows > 0 {
                summary.rows.push((shape.name, rows.unsigned_abs()));
            }
        }
        let rows = summary.rows.iter().map(|(_, rows)| rows).sum();
        let sha256 = hex::encode(writer.hash.clone().finish());
        writer.line(&End { rows, sha256 })?;
        writer.out.flush()?;
        Ok(summary)
    }

    /// Puts a backup in: all of it or nothing. What is there stays, and is an error, unless it is to be replaced. The
    /// server must not run meanwhile. Check the file with [`verify`] first: here it is read once, from its beginning.
    pub async fn restore(&self, backup: impl BufRead, replace: bool) -> Result<Summary, BackupError> {
        let database = self.database();
        let held = held_rows(database).await?;
        if held > 0 && !replace {
            return Err(BackupError::NotEmpty(held));
        }
        let mut transaction = database.begin().await?;
        for shape in SHAPES.iter().rev() {
            transaction.execute(&format!("DELETE FROM {}", shape.name), &[]).await?;
        }
        let mut reader = Reader::new(backup)?;
        while let Some((shape, row)) = reader.row()? {
            let line = reader.line;
            put_row(&mut transaction, self.secrets(), shape, &row, line).await?;
        }
        let summary = reader.summary;
        transaction.commit().await?;
        Ok(summary)
    }
}

/// Reads a backup to its end and says what is in it, without any database.
pub fn verify(backup: impl BufRead) -> Result<Summary, BackupError> {
    let mut reader = Reader::new(backup)?;
    while reader.row()?.is_some() {}
    Ok(reader.summary)
}

async fn held_rows(database: &Database) -> Result<u64, StoreError> {
    let mut held = 0;
    for shape in SHAPES {
        held += crate::records::count(database, shape.name).await?.unsigned_abs();
    }
    Ok(held)
}

async fn page(snapshot: &mut Transaction, shape: &Shape, from: i64) -> Result<Vec<Row>, StoreError> {
    let columns: Vec<&str> = shape.columns.iter().map(|(name, _)| *name).collect();
    let (columns, Shape { name, key, .. }) = (columns.join(", "), shape);
    let sql = format!("SELECT {columns} FROM {name} ORDER BY {key} LIMIT $1 OFFSET $2");
    snapshot.rows(&sql, &[PAGE.into(), from.into()]).await
}

/// A row as it stands in a backup.
fn open_row(secrets: &Seal, shape: &Shape, row: &Row) -> Result<Fields, StoreError> {
    let mut fields = Map::new();
    for (at, (column, kind)) in shape.columns.iter().enumerate() {
        let value = if *kind == Kind::Int { row.int(at)?.into() } else { row.text(at)?.into() };
        fields.insert((*column).to_owned(), value);
    }
    if let Some(table) = shape.records {
        let text =
            |column: &str| fields.get(column).and_then(|value| value.as_str()).unwrap_or_default().to_owned();
        let record = table.open(secrets, &text("tenant"), &text("id"), text("record"))?;
        fields.insert("record".to_owned(), record.into());
    }
    Ok(fields)
}

/// Puts a row of a backup into its table.
async fn put_row(
    transaction: &mut Transaction,
    secrets: &Seal,
    shape: &Shape,
    row: &Fields,
    line: u64,
) -> Result<(), BackupError> {
    let text = |column: &str| row.get(column).and_then(|value| value.as_str()).unwrap_or_default();
    let record = match shape.records {
        Some(table) => table.close(secrets, text("tenant"), text("id"), text("record").to_owned())?,
        None => String::new(),
    };
    let mut values = Vec::with_capacity(shape.columns.len());
    for (column, kind) in shape.columns {
        values.push(match (kind, row.get(*column)) {
            (Kind::Record, _) => Value::Text(&record),
            (_, Some(serde_json::Value::String(text))) => Value::Text(text),
            (_, Some(number)) => Value::Int(number.as_i64().unwrap_or_default()),
            (_, None) => return Err(broken(line, format!("a row of {} has no {column}", shape.name))),
        });
    }
    let columns: Vec<&str> = shape.columns.iter().map(|(name, _)| *name).collect();
    let places: Vec<String> = (1..=columns.len()).map(|at| format!("${at}")).collect();
    let (name, columns, places) = (shape.name, columns.join(", "), places.join(", "));
    let sql = format!("INSERT INTO {name} ({columns}) VALUES ({places})");
    transaction.execute(&sql, &values).await?;
    Ok(())
}

/// Writes lines and hashes them.
struct Hashing<W> {
    out: W,
    hash: Context,
}

impl<W: Write> Hashing<W> {
    fn line(&mut self, line: &impl Serialize) -> Result<(), BackupError> {
        let mut text = serde_json::to_vec(line).map_err(io::Error::from)?;
        text.push(b'\n');
        self.hash.update(&text);
        self.out.write_all(&text)?;
        Ok(())
    }
}

/// Reads lines, checks them and hashes them.
struct Reader<R> {
    backup: R,
    hash: Context,
    line: u64,
    summary: Summary,
}

impl<R: BufRead> Reader<R> {
    fn new(backup: R) -> Result<Self, BackupError> {
        let summary = Summary { created_ms: 0, schema: 0, rows: Vec::new() };
        let mut reader = Reader { backup, hash: Context::new(&SHA256), line: 0, summary };
        let text = reader.text()?;
        let head: Head = reader.parse(&text, "it does not begin as a backup")?;
        if head.format != FORMAT || head.schema < 1 {
            return Err(broken(1, "it does not begin as a backup".to_owned()));
        }
        if head.schema > SCHEMA {
            return Err(BackupError::Newer { found: head.schema, known: SCHEMA });
        }
        reader.hash.update(&text);
        (reader.summary.created_ms, reader.summary.schema) = (head.created_ms, head.schema);
        Ok(reader)
    }

    /// The next row with its table; `None` at an end that fits what came before.
    fn row(&mut self) -> Result<Option<(&'static Shape, Fields)>, BackupError> {
        let text = self.text()?;
        if let Ok(end) = serde_json::from_slice::<End>(&text) {
            return self.end(&end).map(|()| None);
        }
        let line: Line = self.parse(&text, "no row")?;
        let shape = SHAPES.iter().find(|shape| shape.name == line.table);
        let shape =
            shape.ok_or_else(|| broken(self.line, format!("there is no table \"{}\"", line.table)))?;
        for (column, kind) in shape.columns {
            let fits = match line.row.get(*column) {
                Some(serde_json::Value::String(_)) => *kind != Kind::Int,
                Some(serde_json::Value::Number(number)) => *kind == Kind::Int && number.is_i64(),
                _ => false,
            };
            if !fits {
                return Err(broken(self.line, format!("{} has no {column} that fits", line.table)));
            }
        }
        self.hash.update(&text);
        match self.summary.rows.last_mut() {
            Some((table, rows)) if *table == shape.name => *rows += 1,
            _ => self.summary.rows.push((shape.name, 1)),
        }
        Ok(Some((shape, line.row)))
    }

    fn end(&mut self, end: &End) -> Result<(), BackupError> {
        let rows: u64 = self.summary.rows.iter().map(|(_, rows)| rows).sum();
        if rows != end.rows {
            return Err(broken(self.line, format!("{rows} rows came, {} were written", end.rows)));
        }
        if hex::encode(self.hash.clone().finish()) != end.sha256 {
            return Err(broken(self.line, "the hash is another than that of what was written".to_owned()));
        }
        if !self.backup.fill_buf()?.is_empty() {
            return Err(broken(self.line + 1, "something comes after the end".to_owned()));
        }
        Ok(())
    }

    fn text(&mut self) -> Result<Vec<u8>, BackupError> {
        let mut text = Vec::new();
        self.line += 1;
        io::Read::take(&mut self.backup, MAX_LINE_BYTES).read_until(b'\n', &mut text)?;
        if text.is_empty() {
            return Err(broken(self.line, "it ends before its end".to_owned()));
        }
        if text.last() != Some(&b'\n') {
            return Err(broken(self.line, "the line has no end".to_owned()));
        }
        Ok(text)
    }

    fn parse<'a, T: Deserialize<'a>>(&self, text: &'a [u8], what: &str) -> Result<T, BackupError> {
        serde_json::from_slice(text).map_err(|error| broken(self.line, format!("{what}: {error}")))
    }
}

fn broken(line: u64, problem: String) -> BackupError {
    BackupError::Broken { line, problem }
}
