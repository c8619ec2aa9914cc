// SPDX-License-Identifier: EUPL-1.2
//! What someone in a room says to being recorded. It speaks for itself alone: who it is comes from its token.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use parvis_signal::{Control, ControlError, Reply};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Refusal, Shared, token};
use crate::rooms::ControlFailure;
use crate::token::TokenError;

/// An answer.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answer {
    /// Whether whoever asks may be recorded.
    recording: bool,
}

/// How it stands.
#[derive(Serialize, ToSchema)]
pub(crate) struct Standing {
    /// Whether nobody's tracks are recorded in this room who has not agreed.
    asked: bool,
    /// The answer; `null` before there is one. It holds for this stay, until another is given.
    recording: Option<bool>,
}

/// Whether a recording takes the participant's consent
///
/// And what it answered, if it did. Whoever is in the room asks this for itself when it hears that a recording begins.
#[utoipa::path(
    get,
    path = "/api/rooms/{room}/consent",
    tag = "recordings",
    params(("room" = String, Path, description = "The room's name.")),
    responses(
        (status = 200, description = "How it stands.", body = Standing),
        (status = 401, description = "No token, or one that does not hold.", body = Refusal),
        (status = 403, description = "The token opens another room, or none.", body = Refusal),
        (status = 404, description = "Whose token it is is not in this room.", body = Refusal),
    )
)]
pub(crate) async fn standing(
    State(shared): State<Shared>,
    Path(room): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    consent(&shared, &headers, query, &room, None).await
}

/// Agree to being recorded, or refuse
///
/// Where the room asks for consent, tracks of those who have not agreed are left out of every recording, and one that goes on ends with
/// their part when they refuse. The answer is kept in each recording, as evidence.
#[utoipa::path(
    post,
    path = "/api/rooms/{room}/consent",
    tag = "recordings",
    params(("room" = String, Path, description = "The room's name.")),
    request_body = Answer,
    responses(
        (status = 200, description = "It is taken.", body = Standing),
        (status = 400, description = "The body can't be read.", body = Refusal),
        (status = 401, description = "No token, or one that does not hold.", body = Refusal),
        (status = 403, description = "The token opens another room, or none.", body = Refusal),
        (status = 404, description = "Whose token it is is not in this room.", body = Refusal),
        (status = 413, description = "The body is larger than 8 KiB.", body = Refusal),
        (status = 415, description = "The body is of another type, or compressed.", body = Refusal),
        (status = 422, description = "The body is another object, or names a key twice.", body = Refusal),
    )
)]
pub(crate) async fn answer(
    State(shared): State<Shared>,
    Path(room): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Result<Json<Answer>, JsonRejection>,
) -> Result<Response, Refusal> {
    let wrong = "the body is JSON as {\"recording\": true} or {\"recording\": false}";
    // Who may not ask hears that first, whatever it sent.
    let given = body.map(|Json(answer)| answer.recording);
    let given = match given {
        Ok(given) => given,
        Err(error) => {
            consent(&shared, &headers, query, &room, None).await?;
            return Err(Refusal::new(error.status(), "bad_request", wrong));
        }
    };
    consent(&shared, &headers, query, &room, Some(given)).await
}

async fn consent(
    shared: &Shared,
    headers: &HeaderMap,
    query: Option<String>,
    room: &str,
    answer: Option<bool>,
) -> Result<Response, Refusal> {
    let token = token(headers, &query.unwrap_or_default()).ok_or(TokenError::Missing)?;
    let authority = shared.rooms.live().keys.authority(&token)?;
    if !authority.video.room_join || authority.video.room != room || authority.identity.is_empty() {
        let message = "an answer for oneself takes the token with which one joined this room";
        return Err(Refusal::new(StatusCode::FORBIDDEN, "not_allowed", message));
    }
    let control = Control::Consent(answer);
    match shared.rooms.control(&authority.room(room), &authority.actor(), control).await {
        Ok(Reply::Consent { asked, given }) => {
            Ok(([(CACHE_CONTROL, "no-store")], Json(Standing { asked, recording: given })).into_response())
        }
        Err(failure @ ControlFailure::Refused(ControlError::Revoked)) => {
            Err(Refusal::new(StatusCode::UNAUTHORIZED, "removed", failure))
        }
        // Whether the room is there is for nobody to know who isn't in it.
        Ok(_) | Err(_) => {
            let message = "you are not in this room: join it first";
            Err(Refusal::new(StatusCode::NOT_FOUND, "not_there", message))
        }
    }
}
