// SPDX-License-Identifier: EUPL-1.2
//! What the tables of records have in common: a tenant, an id, columns that are searched, and the record whole, as JSON.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::StoreError;
use crate::database::{Database, Row, Transaction, Value};
use crate::migrate::unix_ms;
use crate::seal::Seal;
use crate::store::{Store, TenantId};

/// A table of records.
#[derive(Debug)]
pub(crate) struct Table {
    /// Its name in the database.
    pub(crate) name: &'static str,
    /// What one of its rows is, in words.
    pub(crate) what: &'static str,
    /// The columns that are searched, beside tenant and id.
    pub(crate) columns: &'static [&'static str],
    /// Whether records hold secrets and are sealed.
    pub(crate) sealed: bool,
}

impl Table {
    fn place(&self, tenant: &str, id: &str) -> String {
        format!("{}/{tenant}/{id}", self.name)
    }

    /// What stands in the column `record`.
    pub(crate) fn close(
        &self,
        seal: &Seal,
        tenant: &str,
        id: &str,
        text: String,
    ) -> Result<String, StoreError> {
        if self.sealed { seal.seal(&self.place(tenant, id), &text) } else { Ok(text) }
    }

    /// What it says.
    pub(crate) fn open(
        &self,
        seal: &Seal,
        tenant: &str,
        id: &str,
        text: String,
    ) -> Result<String, StoreError> {
        if self.sealed { seal.open(&self.place(tenant, id), &text) } else { Ok(text) }
    }

    fn read<T: DeserializeOwned>(
        &self,
        seal: &Seal,
        tenant: &str,
        id: &str,
        text: String,
    ) -> Result<T, StoreError> {
        let text = self.open(seal, tenant, id, text)?;
        serde_json::from_str(&text)
            .map_err(|error| StoreError::Corrupt(format!("{}: {error}", self.place(tenant, id))))
    }
}

/// A record on its way into a table: its columns in the table's order, and its text.
pub(crate) struct Draft<'a> {
    id: &'a str,
    columns: Vec<&'a str>,
    record: String,
}

/// How a record comes into its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Put {
    /// No other has its id.
    New,
    /// The one that has its id gives way.
    Changed,
}

impl Store {
    /// Writes a record down as it will stand in the table.
    pub(crate) fn draft<'a>(
        &self,
        table: &Table,
        tenant: &TenantId,
        id: &'a str,
        columns: &[&'a str],
        record: &impl Serialize,
    ) -> Result<Draft<'a>, StoreError> {
        let text = serde_json::to_string(record).map_err(|error| StoreError::Refused(error.to_string()))?;
        let (bytes, limit) = (text.len(), self.limits().record_bytes);
        if bytes > limit {
            let error = StoreError::TooLarge { what: table.what, bytes, limit };
            self.database().counters().failed(&error);
            return Err(error);
        }
        let record = table.close(self.secrets(), tenant.as_str(), id, text)?;
        Ok(Draft { id, columns: columns.to_vec(), record })
    }

    /// Writes a record into its table.
    pub(crate) async fn put(
        &self,
        how: Put,
        table: &Table,
        tenant: &TenantId,
        draft: &Draft<'_>,
    ) -> Result<(), StoreError> {
        let (database, limit) = (self.database(), self.limits().rows);
        let work = async {
            let (_alone, mut open) = database.write().await?;
            put(&mut open, how, table, limit, tenant, draft).await?;
            open.commit().await
        };
        database.timed(work).await
    }

    /// One record, if it is there.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        table: &Table,
        tenant: &TenantId,
        id: &str,
    ) -> Result<Option<T>, StoreError> {
        let sql = format!("SELECT id, record FROM {} WHERE tenant = $1 AND id = $2", table.name);
        let rows = self.database().rows(&sql, &[tenant.as_str().into(), id.into()]).await?;
        rows.first().map(|row| self.record(table, tenant, row)).transpose()
    }

    /// All records in which these columns have these values, in the order in which they were made.
    pub(crate) async fn list<T: DeserializeOwned>(
        &self,
        table: &Table,
        tenant: &TenantId,
        filter: &[(&str, &str)],
    ) -> Result<Vec<T>, StoreError> {
        let mut sql = format!("SELECT id, record FROM {} WHERE tenant = $1", table.name);
        let mut values: Vec<Value<'_>> = vec![tenant.as_str().into()];
        for (column, value) in filter {
            values.push((*value).into());
            sql.push_str(&format!(" AND {column} = ${}", values.len()));
        }
        sql.push_str(" ORDER BY created_ms, id");
        let rows = self.database().rows(&sql, &values).await?;
        rows.iter().map(|row| self.record(table, tenant, row)).collect()
    }

    /// All records of all tenants in which these columns have these values, in the order in which they were made.
    pub(crate) async fn all<T: DeserializeOwned>(
        &self,
        table: &Table,
        filter: Option<(&str, &str)>,
    ) -> Result<Vec<(TenantId, String, T)>, StoreError> {
        let condition = filter.map(|(column, _)| format!(" WHERE {column} = $1")).unwrap_or_default();
        let sql = format!("SELECT id, record, tenant FROM {}{condition} ORDER BY created_ms, id", table.name);
        let values: Vec<Value<'_>> = filter.map(|(_, value)| value.into()).into_iter().collect();
        let rows = self.database().rows(&sql, &values).await?;
        let read = |row: &Row| {
            let tenant = TenantId::new(row.text(2)?);
            let record = self.record(table, &tenant, row)?;
            Ok((tenant, row.text(0)?, record))
        };
        rows.iter().map(read).collect()
    }

    /// Takes a record out and gives it.
    pub(crate) async fn delete<T: DeserializeOwned>(
        &self,
        table: &Table,
        tenant: &TenantId,
        id: &str,
    ) -> Result<T, StoreError> {
        let sql = format!("DELETE FROM {} WHERE tenant = $1 AND id = $2 RETURNING id, record", table.name);
        let rows = self.database().take(&sql, &[tenant.as_str().into(), id.into()]).await?;
        let row = rows.first().ok_or_else(|| not_found(table, id))?;
        self.record(table, tenant, row)
    }

    /// A row that begins with id and record.
    pub(crate) fn record<T: DeserializeOwned>(
        &self,
        table: &Table,
        tenant: &TenantId,
        row: &Row,
    ) -> Result<T, StoreError> {
        table.read(self.secrets(), tenant.as_str(), &row.text(0)?, row.text(1)?)
    }
}

/// Writes a record within a transaction.
pub(crate) async fn put(
    open: &mut Transaction,
    how: Put,
    table: &Table,
    limit: usize,
    tenant: &TenantId,
    draft: &Draft<'_>,
) -> Result<(), StoreError> {
    match how {
        Put::New => insert(open, table, limit, tenant, draft).await,
        Put::Changed => replace(open, table, tenant, draft).await,
    }
}

/// Adds a record within a transaction. One that is there is an error before a full table is.
async fn insert(
    open: &mut Transaction,
    table: &Table,
    limit: usize,
    tenant: &TenantId,
    draft: &Draft<'_>,
) -> Result<(), StoreError> {
    let Table { name, what, columns, .. } = table;
    let extra: String = columns.iter().map(|column| format!(", {column}")).collect();
    let places: String = (0..columns.len()).map(|at| format!(", ${}", at + 5)).collect();
    let sql = format!(
        "INSERT INTO {name} (tenant, id, record, created_ms, updated_ms{extra}) \
         VALUES ($1, $2, $3, $4, $4{places}) ON CONFLICT DO NOTHING"
    );
    let mut values: Vec<Value<'_>> =
        vec![tenant.as_str().into(), draft.id.into(), (&draft.record).into(), unix_ms().into()];
    values.extend(draft.columns.iter().map(|value| Value::Text(value)));
    if open.execute(&sql, &values).await? == 0 {
        return Err(StoreError::Exists { what, id: draft.id.to_owned() });
    }
    let count = format!("SELECT count(*) FROM {name} WHERE tenant = $1");
    let rows = open.rows(&count, &[tenant.as_str().into()]).await?;
    let count = rows.first().map(|row| row.int(0)).transpose()?.unwrap_or_default();
    if count > i64::try_from(limit).unwrap_or(i64::MAX) {
        return Err(StoreError::Full { what: name, limit });
    }
    Ok(())
}

/// Changes a record within a transaction.
async fn replace(
    open: &mut Transaction,
    table: &Table,
    tenant: &TenantId,
    draft: &Draft<'_>,
) -> Result<(), StoreError> {
    let columns: String =
        table.columns.iter().enumerate().map(|(at, column)| format!(", {column} = ${}", at + 5)).collect();
    let sql = format!(
        "UPDATE {} SET record = $3, updated_ms = $4{columns} WHERE tenant = $1 AND id = $2",
        table.name
    );
    let mut values: Vec<Value<'_>> =
        vec![tenant.as_str().into(), draft.id.into(), (&draft.record).into(), unix_ms().into()];
    values.extend(draft.columns.iter().map(|value| Value::Text(value)));
    if open.execute(&sql, &values).await? == 0 { Err(not_found(table, draft.id)) } else { Ok(()) }
}

pub(crate) fn not_found(table: &Table, id: &str) -> StoreError {
    StoreError::NotFound { what: table.what, id: id.to_owned() }
}

/// How many rows a table has, of all tenants.
pub(crate) async fn count(database: &Database, table: &str) -> Result<i64, StoreError> {
    let rows = database.rows(&format!("SELECT count(*) FROM {table}"), &[]).await?;
    rows.first().map_or(Ok(0), |row| row.int(0))
}
