// SPDX-License-Identifier: EUPL-1.2
//! Stream keys: secrets of an ingress, for encoders that take no token.

use axum::http::StatusCode;
use futures_util::future::BoxFuture;
use livekit_protocol::IngressInfo;
use parvis_signal::Grants;

use crate::http::Refusal;
use crate::tenant::TenantId;
use crate::token::TokenError;

/// Characters of the longest key that is looked up.
const MAX_KEY_CHARS: usize = 256;

/// What an ingress' key stands for.
#[derive(Debug, Clone, PartialEq)]
pub struct Stream {
    /// Whose ingress it is.
    pub tenant: TenantId,
    /// The room that it goes to.
    pub room: String,
    /// As whom, and with which rights.
    pub grants: Grants,
    /// The ingress as it is kept, for whoever is told what comes in by it.
    pub ingress: Option<Box<IngressInfo>>,
}

/// Why a key can't be looked up now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("stream keys can't be looked up now: {0}")]
pub struct StreamKeysError(pub String);

/// Where stream keys are kept. [`crate::Api::with_stream_keys`] takes it.
pub trait StreamKeys: Send + Sync + 'static {
    /// Finds the ingress of a key; `None` when there is none, or it is switched off.
    fn find<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Stream>, StreamKeysError>>;
}

/// What the key of a client stands for, or why it doesn't come in.
pub(super) async fn find(keys: Option<&dyn StreamKeys>, key: &str) -> Result<Stream, Refusal> {
    let (Some(keys), true) = (keys, key.len() <= MAX_KEY_CHARS) else {
        return Err(TokenError::Refused.into());
    };
    match keys.find(key).await {
        Ok(Some(stream)) => Ok(stream),
        Ok(None) => Err(TokenError::Refused.into()),
        Err(error) => Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", error)),
    }
}
