// SPDX-License-Identifier: EUPL-1.2
//! Stream keys of the ingresses that applications made by the server APIs.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use livekit_protocol::IngressInput;
use parvis_meeting::Kind;
use parvis_signal::Grants;
use parvis_store::{Store, StoreError};

use super::stream_key::{Stream, StreamKeys, StreamKeysError};

/// From when a stream key counts, in seconds of Unix time: it bears no time, so whoever was removed with one stays out.
pub(crate) const COUNTS_FROM: u64 = 1;

/// Finds stream keys among the ingresses of a store.
#[derive(Clone)]
pub struct IngressKeys {
    store: Store,
}

impl IngressKeys {
    /// Looks into this store.
    pub fn new(store: Store) -> IngressKeys {
        IngressKeys { store }
    }

    async fn find(&self, key: &str) -> Result<Option<Stream>, StoreError> {
        let found = self.store.ingress_by_stream_key(key).await?;
        let usable = found.filter(|(_, ingress)| {
            ingress.enabled != Some(false)
                && ingress.input_type() == IngressInput::WhipInput
                && !ingress.room_name.is_empty()
        });
        Ok(usable.map(|(tenant, ingress)| {
            let mut grants = Grants {
                name: ingress.participant_name.clone(),
                metadata: ingress.participant_metadata.clone(),
                kind: Kind::Ingress,
                not_before: COUNTS_FROM,
                ..Grants::of(&ingress.participant_identity)
            };
            grants.permissions.can_subscribe = false;
            grants.permissions.can_publish_data = false;
            Stream { tenant, room: ingress.room_name.clone(), grants, ingress: Some(Box::new(ingress)) }
        }))
    }
}

impl StreamKeys for IngressKeys {
    fn find<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Stream>, StreamKeysError>> {
        let found = IngressKeys::find(self, key);
        found.map(|found| found.map_err(|error| StreamKeysError(error.to_string()))).boxed()
    }
}
