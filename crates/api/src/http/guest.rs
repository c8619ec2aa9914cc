// SPDX-License-Identifier: EUPL-1.2
//! Joining a room by its link, without a token.

use axum::Json;
use axum::extract::{Extension, Path, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use parvis_meeting::text;
use parvis_signal::Grants;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Refusal, Shared, door};
use crate::accept::Client;
use crate::tenant::{RoomKey, TenantId};

/// Characters of a guest's name.
const MAX_NAME_CHARS: usize = 100;

/// Who wants to join.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GuestJoin {
    /// The name that others see, up to 100 characters.
    #[schema(example = "Ada")]
    name: String,
}

/// What opens the room.
#[derive(Serialize, ToSchema)]
pub(crate) struct Ticket {
    /// An access token for the signalling WebSocket.
    token: String,
    /// The identity that the server chose.
    identity: String,
    /// The room.
    room: String,
}

/// Join a room by its link
///
/// Whoever knows a room's link may join it, where guests are allowed. The server chooses the identity.
#[utoipa::path(
    post,
    path = "/api/rooms/{room}/join",
    tag = "rooms",
    params(("room" = String, Path, description = "The room's name: the secret part of its link.")),
    request_body = GuestJoin,
    responses(
        (status = 200, description = "The way in.", body = Ticket),
        (status = 400, description = "No name, or one that can't be.", body = Refusal),
        (status = 403, description = "Guests may not join here, or not this room.", body = Refusal),
        (status = 413, description = "The body is larger than 8 KiB.", body = Refusal),
        (status = 415, description = "The body is of another type, or compressed.", body = Refusal),
        (status = 422, description = "The body is another object, or names a key twice.", body = Refusal),
        (status = 429, description = "Too many joins from this address, or the room is full.", body = Refusal),
        (status = 503, description = "The server is about to stop.", body = Refusal),
    )
)]
pub(crate) async fn join_as_guest(
    State(shared): State<Shared>,
    Extension(client): Extension<Client>,
    Path(room): Path<String>,
    headers: HeaderMap,
    body: Result<Json<GuestJoin>, axum::extract::rejection::JsonRejection>,
) -> Result<Response, Refusal> {
    let live = shared.rooms.live();
    door::knock_anew(&shared, &client, &headers)?;
    if !live.config.guests {
        let message = "guests may not join here: ask whoever invited you for a sign-in";
        return Err(Refusal::new(StatusCode::FORBIDDEN, "not_allowed", message));
    }
    if !is_guest_room(&room, live.config.guest_room_chars) {
        let message = format!(
            "guests may join rooms whose names nobody can guess: at least {} letters, digits, - or _",
            live.config.guest_room_chars
        );
        return Err(Refusal::new(StatusCode::FORBIDDEN, "not_allowed", message));
    }
    let Json(GuestJoin { name }) = body
        .map_err(|error| Refusal::new(error.status(), "bad_name", "the body is JSON as {\"name\": \"…\"}"))?;
    let bad_name = |why: &dyn ToString| Refusal::new(StatusCode::BAD_REQUEST, "bad_name", why.to_string());
    let name = text::clean("name", name.trim(), MAX_NAME_CHARS).map_err(|error| bad_name(&error))?;
    if name.is_empty() {
        return Err(bad_name(&"a name is needed"));
    }
    door::refuse_when_full(&shared, &RoomKey::new(&TenantId::default(), &room))?;
    let identity = format!("guest-{:032x}", rand::random::<u128>());
    let grants = Grants { name, ..Grants::of(&identity) };
    let token = live.keys.issue(&room, &grants, live.config.guest_token)?;
    Ok(([(CACHE_CONTROL, "no-store")], Json(Ticket { token, identity, room })).into_response())
}

/// Whether a name's form can carry the secret that a link is.
fn is_guest_room(room: &str, min_chars: usize) -> bool {
    let allowed = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_');
    !room.is_empty() && room.len() >= min_chars && room.len() <= 128 && room.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_42_a_guest_room_has_a_name_beyond_guessing() {
        assert!(is_guest_room("b3Vt5nqXb0-2Vw_1cJ8hkQ", 22));
        for name in ["standup", "", "b3Vt5nqXb0-2Vw_1cJ8hk", "b3Vt5nqXb0 2Vw 1cJ8hkQ", &"a".repeat(129)] {
            assert!(!is_guest_room(name, 22), "{name}");
        }
        assert!(is_guest_room("standup", 0), "in development any name will do");
    }
}
