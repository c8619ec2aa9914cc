// SPDX-License-Identifier: EUPL-1.2
//! Pseudonyms. A person is found by a keyed hash of the identity, so that nobody finds out by trying who is in the log; the row has the
//! identity and the key that opens what is sealed in entries. Without the row neither is left, and a person of that identity who comes
//! later is another one. An address of which nobody knows whose it is has a pseudonym of its own.

use std::collections::HashMap;

use aws_lc_rs::hmac;
use parvis_audit::{Act, Event, Who};
use serde::{Deserialize, Serialize};

use super::append::add;
use super::state::Held;
use crate::database::Transaction;
use crate::migrate::unix_ms;
use crate::records::{Table, not_found};
use crate::seal::{Seal, random};
use crate::{Store, StoreError, TenantId};

pub(crate) const PEOPLE: Table =
    Table { name: "audit_people", what: "person in the audit log", columns: &["lookup"], sealed: true };

/// What a person's row takes, about.
pub(super) const PERSON_BYTES: u64 = 600;
/// That somebody is still spoken of is written down once in so long.
const TOUCH_MS: i64 = 86_400_000;
/// What pseudonyms begin with.
const PREFIX: &str = "p:";
/// What the identity of an address begins with.
const ADDRESS: &str = "address:";

/// Who stands behind a pseudonym.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditPerson {
    /// The pseudonym, `p:` included.
    pub pseudonym: String,
    /// The identity, or `address:` and an address.
    pub identity: String,
    /// The name, if one was known.
    pub name: String,
}

#[derive(Serialize, Deserialize)]
struct Record {
    identity: String,
    #[serde(default)]
    name: String,
    key: String,
}

/// Finds pseudonyms within a transaction, and makes them.
pub(super) struct People<'a> {
    store: &'a Store,
    pepper: hmac::Key,
    known: HashMap<String, (String, String)>,
    new: u64,
}

impl<'a> People<'a> {
    pub(super) fn new(store: &'a Store, pepper: hmac::Key) -> People<'a> {
        People { store, pepper, known: HashMap::new(), new: 0 }
    }

    /// How many were made since the last time.
    pub(super) fn take_new(&mut self) -> u64 {
        std::mem::take(&mut self.new)
    }

    /// Who did it and from where, as an entry says it.
    pub(super) async fn who(
        &mut self,
        open: &mut Transaction,
        event: &Event,
    ) -> Result<(String, String), StoreError> {
        let tenant = &event.tenant;
        let who = match &event.who {
            Who::Person { identity, name } => {
                let (id, key) = self.find(open, tenant, identity, name).await?;
                let from = match event.from {
                    Some(address) => seal_of(&key)?.seal(&format!("audit/{id}"), &address.to_string())?,
                    None => String::new(),
                };
                return Ok((format!("{PREFIX}{id}"), from));
            }
            Who::Server => "server".to_owned(),
            Who::Operator => "operator".to_owned(),
            Who::Nobody => "nobody".to_owned(),
            Who::Key(name) => format!("key:{}", name.chars().take(256).collect::<String>()),
        };
        let from = match event.from {
            Some(address) => self.person(open, tenant, &format!("{ADDRESS}{address}"), "").await?,
            None => String::new(),
        };
        Ok((who, from))
    }

    /// The pseudonym of somebody.
    pub(super) async fn person(
        &mut self,
        open: &mut Transaction,
        tenant: &str,
        identity: &str,
        name: &str,
    ) -> Result<String, StoreError> {
        let (id, _) = self.find(open, tenant, identity, name).await?;
        Ok(format!("{PREFIX}{id}"))
    }

    async fn find(
        &mut self,
        open: &mut Transaction,
        tenant: &str,
        identity: &str,
        name: &str,
    ) -> Result<(String, String), StoreError> {
        let lookup = lookup(&self.pepper, tenant, identity);
        if let Some(known) = self.known.get(&lookup) {
            return Ok(known.clone());
        }
        let now = unix_ms();
        let rows = open
            .rows("SELECT id, record, updated_ms FROM audit_people WHERE lookup = $1", &[(&lookup).into()])
            .await?;
        let found = match rows.first() {
            Some(row) => {
                let Record { key, .. } = self.store.record(&PEOPLE, &TenantId::new(tenant), row)?;
                let id = row.text(0)?;
                if row.int(2)? < now - TOUCH_MS {
                    let sql = "UPDATE audit_people SET updated_ms = $2 WHERE lookup = $1";
                    open.execute(sql, &[(&lookup).into(), now.into()]).await?;
                }
                (id, key)
            }
            None => {
                let id = hex::encode(random::<16>().map_err(StoreError::Refused)?);
                let key = hex::encode(random::<32>().map_err(StoreError::Refused)?);
                let short = |text: &str| text.chars().take(256).collect::<String>();
                let record = Record { identity: short(identity), name: short(name), key: key.clone() };
                let text =
                    serde_json::to_string(&record).map_err(|error| StoreError::Refused(error.to_string()))?;
                let record = PEOPLE.close(self.store.secrets(), tenant, &id, text)?;
                let sql = "INSERT INTO audit_people (tenant, id, lookup, record, created_ms, updated_ms) \
                           VALUES ($1, $2, $3, $4, $5, $5)";
                let values = [tenant.into(), (&id).into(), (&lookup).into(), (&record).into(), now.into()];
                open.execute(sql, &values).await?;
                self.new += 1;
                (id, key)
            }
        };
        self.known.insert(lookup, found.clone());
        Ok(found)
    }
}

/// By what a person is found.
fn lookup(pepper: &hmac::Key, tenant: &str, identity: &str) -> String {
    let mut mac = hmac::Context::with_key(pepper);
    for part in [tenant, identity] {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part.as_bytes());
    }
    hex::encode(mac.sign())
}

fn seal_of(key: &str) -> Result<Seal, StoreError> {
    let bytes =
        hex::decode(key).map_err(|_| StoreError::Corrupt("a person's key in the audit log".to_owned()))?;
    Seal::of(&bytes).ok_or_else(|| StoreError::Corrupt("a person's key in the audit log".to_owned()))
}

impl Store {
    /// Who stands behind a pseudonym of a tenant, if that is still known.
    pub async fn audit_person(
        &self,
        tenant: &TenantId,
        pseudonym: &str,
    ) -> Result<Option<AuditPerson>, StoreError> {
        let id = pseudonym.strip_prefix(PREFIX).unwrap_or(pseudonym);
        let record: Option<Record> = self.get(&PEOPLE, tenant, id).await?;
        let known = |Record { identity, name, .. }| AuditPerson {
            pseudonym: format!("{PREFIX}{id}"),
            identity,
            name,
        };
        Ok(record.map(known))
    }

    /// The address that is sealed in an entry of a person's, if the person is still known.
    pub async fn audit_address(
        &self,
        tenant: &TenantId,
        pseudonym: &str,
        sealed: &str,
    ) -> Result<Option<String>, StoreError> {
        let id = pseudonym.strip_prefix(PREFIX).unwrap_or(pseudonym);
        let record: Option<Record> = self.get(&PEOPLE, tenant, id).await?;
        let Some(Record { key, .. }) = record else { return Ok(None) };
        seal_of(&key)?.open(&format!("audit/{id}"), sealed).map(Some)
    }

    /// Erases a person, by the identity or the pseudonym: what entries say of it can't be read any more, and who it was isn't known. That this
    /// was done is an entry. Gives the pseudonym.
    pub async fn audit_erase_person(&self, tenant: &TenantId, whom: &str) -> Result<String, StoreError> {
        let database = self.database();
        let work = async {
            let (_alone, mut open) = database.write().await?;
            let mut held = Held::lock(self, &mut open).await?;
            let lookup = lookup(&held.pepper, tenant.as_str(), whom);
            let id = whom.strip_prefix(PREFIX).unwrap_or_default();
            let sql = "SELECT id FROM audit_people WHERE tenant = $1 AND (lookup = $2 OR id = $3)";
            let rows = open.rows(sql, &[tenant.as_str().into(), (&lookup).into(), id.into()]).await?;
            let id = rows.first().ok_or_else(|| not_found(&PEOPLE, whom))?.text(0)?;
            let sql = "DELETE FROM audit_people WHERE tenant = $1 AND id = $2";
            open.execute(sql, &[tenant.as_str().into(), (&id).into()]).await?;
            held.state.bytes = held.state.bytes.saturating_sub(PERSON_BYTES);
            let pseudonym = format!("{PREFIX}{id}");
            let event = Event::new(tenant.as_str(), Act::PersonErase, Who::Operator).on("person", &pseudonym);
            let event = Event { time_ms: unix_ms(), ..event };
            add(self, &mut open, &mut held, &[event]).await?;
            held.write(&mut open).await?;
            open.commit().await?;
            Ok(pseudonym)
        };
        database.timed(work).await
    }
}

/// Erases people of whom nothing that is left speaks; says how many.
pub(super) async fn forget(open: &mut Transaction, before_ms: i64) -> Result<u64, StoreError> {
    // Whoever was spoken of since is touched at least once a day.
    let sql = "DELETE FROM audit_people WHERE updated_ms < $1";
    open.execute(sql, &[(before_ms - TOUCH_MS).into()]).await
}
