// SPDX-License-Identifier: EUPL-1.2
//! How requests of participants fail.

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use parvis_signal::ConnectError;
use serde::Serialize;
use utoipa::ToSchema;

use crate::presets::NoPreset;
use crate::rooms::JoinRefusal;
use crate::token::TokenError;

/// A refusal in words for people and, by its code, for our own client.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Refusal {
    #[serde(skip)]
    status: StatusCode,
    /// A word for programs.
    #[schema(example = "room_full")]
    pub(crate) code: &'static str,
    /// The reason, for people.
    message: String,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl ToString) -> Refusal {
        Refusal { status, code, message: message.to_string() }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, [(CACHE_CONTROL, "no-store")], Json(self)).into_response()
    }
}

impl From<TokenError> for Refusal {
    fn from(error: TokenError) -> Self {
        Refusal::new(StatusCode::UNAUTHORIZED, "unauthorized", error)
    }
}

impl From<NoPreset> for Refusal {
    fn from(error: NoPreset) -> Self {
        Refusal::new(StatusCode::BAD_REQUEST, "bad_request", error)
    }
}

impl From<parvis_signal::JoinError> for Refusal {
    fn from(error: parvis_signal::JoinError) -> Self {
        let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
        Refusal::new(status, "bad_request", error)
    }
}

impl From<JoinRefusal> for Refusal {
    fn from(refusal: JoinRefusal) -> Self {
        let unavailable = StatusCode::SERVICE_UNAVAILABLE;
        let (status, code) = match &refusal {
            JoinRefusal::NoRoom => (StatusCode::NOT_FOUND, "no_room"),
            JoinRefusal::Draining => (unavailable, "draining"),
            JoinRefusal::TooManyRooms => (StatusCode::TOO_MANY_REQUESTS, "too_many_rooms"),
            JoinRefusal::TooManyOffers(_) => (StatusCode::TOO_MANY_REQUESTS, "too_many"),
            JoinRefusal::NoForwarder | JoinRefusal::Ending | JoinRefusal::Unreadable => {
                (unavailable, "unavailable")
            }
            JoinRefusal::Refused(ConnectError::Door) => (StatusCode::UNAUTHORIZED, "door"),
            JoinRefusal::Refused(error) => {
                let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
                let code = match status {
                    StatusCode::TOO_MANY_REQUESTS => "room_full",
                    StatusCode::SERVICE_UNAVAILABLE => "draining",
                    StatusCode::UNAUTHORIZED => "removed",
                    StatusCode::FORBIDDEN => "e2ee_room",
                    _ => "refused",
                };
                (status, code)
            }
        };
        Refusal::new(status, code, refusal)
    }
}
