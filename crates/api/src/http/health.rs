// SPDX-License-Identifier: EUPL-1.2
//! For whoever starts, watches and routes to the server.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::Shared;

/// Whether the process lives
///
/// It says nothing of what it depends on.
#[utoipa::path(get, path = "/livez", tag = "health", responses((status = 200, description = "It does.")))]
pub(crate) async fn alive() -> &'static str {
    "ok\n"
}

/// Whether new meetings may come here
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "health",
    responses(
        (status = 200, description = "They may."),
        (status = 503, description = "The server is about to stop, or no media can be forwarded."),
    )
)]
pub(crate) async fn ready(State(shared): State<Shared>) -> Response {
    let unavailable = |why: &'static str| (StatusCode::SERVICE_UNAVAILABLE, why).into_response();
    if shared.rooms.is_draining() {
        return unavailable("draining\n");
    }
    if !shared.rooms.forwarders.is_healthy() {
        return unavailable("no media can be forwarded\n");
    }
    "ready\n".into_response()
}
