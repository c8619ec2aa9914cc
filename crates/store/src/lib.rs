// SPDX-License-Identifier: EUPL-1.2
//! What outlives the server: rooms made ahead, API keys, agent dispatches, telephony, records of egress and ingress, what was
//! erased of recordings, meetings that people made a room for, the outbox of webhooks, what happened, and the audit log. SQLite by default, PostgreSQL by its URL; one schema and one set of tests.
//!
//! **The invariant: no call waits for the store.** Every operation ends by [`StoreConfig::timeout`], with an error that
//! says whether trying again may help ([`StoreError::is_transient`]); whoever is on a path that people wait on keeps what
//! it needs in memory. Every table has a bound for each tenant, and everything that signs or opens a door is sealed.
//!
//! ```
//! use livekit_protocol::IngressInfo;
//! use parvis_store::{Store, StoreConfig, TenantId};
//!
//! # let folder = std::env::temp_dir().join(format!("parvis-store-doc-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder).unwrap();
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let store = Store::open(StoreConfig::new("", &folder)).await?;
//! let tenant = TenantId::default();
//! let info = IngressInfo { ingress_id: "IN_1".into(), stream_key: "4f1c…".into(), ..Default::default() };
//! store.create_ingress(&tenant, &info).await?;
//! assert_eq!(store.ingress_by_stream_key("4f1c…").await?, Some((tenant.clone(), info.clone())));
//! assert_eq!(store.delete_ingress(&tenant, "IN_1").await?, info);
//! # store.close().await;
//! # std::fs::remove_dir_all(&folder).unwrap();
//! # Ok::<(), parvis_store::StoreError>(())
//! # }).unwrap();
//! ```

mod backup;
mod config;
mod database;
mod error;
mod migrate;
mod records;
mod seal;
mod stats;
mod store;
mod tables;

pub use backup::{BackupError, Summary, verify};
pub use config::{StoreConfig, StoreLimits};
pub use error::StoreError;
pub use stats::StoreStats;
pub use store::{Store, TenantId};
pub use tables::{
    AuditCopy, AuditPerson, AuditProblem, AuditState, DueEvent, EraseReason, Erasure, HeldEvent, MeetingRow,
    NewEvent, PastEvent, RoomSettings, SipTrunk, StoredKey, StoredMeeting,
};
