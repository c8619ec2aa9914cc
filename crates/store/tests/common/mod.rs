// SPDX-License-Identifier: EUPL-1.2
//! Stores to test with: a file of SQLite, or a database of a PostgreSQL server that ends with the tests.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]

mod postgres;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parvis_store::{Store, StoreConfig};
use postgres::Cluster;

static NEXT: AtomicUsize = AtomicUsize::new(0);

/// Where a store is; all of it is gone when this is dropped.
pub struct Home {
    pub folder: PathBuf,
    pub url: String,
    _cluster: Option<Arc<Cluster>>,
}

impl Home {
    /// An empty SQLite database.
    pub fn sqlite() -> Home {
        Home { folder: folder(), url: String::new(), _cluster: None }
    }

    /// An empty PostgreSQL database; `None` where there is no PostgreSQL and none is required.
    pub fn postgres() -> Option<Home> {
        let cluster = Cluster::shared()?;
        let url = cluster.new_database();
        Some(Home { folder: folder(), url, _cluster: Some(cluster) })
    }

    pub fn config(&self) -> StoreConfig {
        StoreConfig::new(&self.url, &self.folder)
    }

    pub async fn open(&self) -> Store {
        Store::open(self.config()).await.unwrap()
    }

    pub fn file(&self) -> PathBuf {
        self.folder.join("parvis.db")
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A folder of this test's own.
fn folder() -> PathBuf {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("parvis-store-{}-{number}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// One test on both engines: `both! { async fn name(home: &Home) { … } }` makes `name::sqlite` and `name::postgres`.
#[macro_export]
macro_rules! both {
    ($(async fn $name:ident($home:ident: &Home) $body:block)*) => {$(
        mod $name {
            use super::*;

            async fn test($home: &Home) $body

            #[tokio::test]
            async fn sqlite() {
                test(&Home::sqlite()).await;
            }

            #[tokio::test]
            async fn postgres() {
                if let Some(home) = Home::postgres() {
                    test(&home).await;
                }
            }
        }
    )*};
}
