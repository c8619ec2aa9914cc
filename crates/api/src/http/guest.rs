// SPDX-License-Identifier: EUPL-1.2
//! Joining a room by its link, without a token.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::extract::{Extension, Path, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use parvis_meeting::assembly::{Refused, WaitReason};
use parvis_meeting::text;
use parvis_signal::{Beside, ConnectError, Grants, Room};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Refusal, Shared, door};
use crate::accept::Client;
use crate::conduct::{AtDoor, Comer, Seated, seat_of};
use crate::live::InForce;
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
    /// The meeting's password, where it has one.
    #[serde(default)]
    password: Option<String>,
    /// The key of whoever made the room, which makes its bearer the owner.
    #[serde(default)]
    host_key: Option<String>,
    /// The secret of this browser in this room, as the last answer gave it: with it, it is the same person again.
    #[serde(default)]
    seat: Option<String>,
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
    /// The secret of this browser in this room.
    seat: String,
    /// `owner`, `moderator`, `speaker` or `viewer`.
    #[schema(example = "speaker")]
    role: &'static str,
}

/// A place outside.
#[derive(Serialize, ToSchema)]
pub(crate) struct Place {
    /// The secret of the place: what the meeting's socket says hello with.
    waiting: String,
    /// The secret of this browser in this room.
    seat: String,
    /// `lobby`: a moderator lets in; `host`: the meeting has not begun; `banned_address`: somebody from this address was banned.
    #[schema(example = "lobby")]
    reason: &'static str,
}

/// Join a room by its link
///
/// Whoever knows a room's link may join it, where guests are allowed, and as the meeting's rules say. The server chooses the identity.
#[utoipa::path(
    post,
    path = "/api/rooms/{room}/join",
    tag = "rooms",
    params(("room" = String, Path, description = "The room's name: the secret part of its link.")),
    request_body = GuestJoin,
    responses(
        (status = 200, description = "The way in.", body = Ticket),
        (status = 202, description = "To wait outside, by the meeting's socket.", body = Place),
        (status = 400, description = "No name, or one that can't be.", body = Refusal),
        (status = 403, description = "Guests may not join here, or not this room; or the meeting lets nobody in, or not this one.", body = Refusal),
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
    let address = door::knock_anew(&shared, &client, &headers)?;
    check_guests(&live)?;
    check_link(&live, &room)?;
    let Json(GuestJoin { name, password, host_key, seat }) = body
        .map_err(|error| Refusal::new(error.status(), "bad_name", "the body is JSON as {\"name\": \"…\"}"))?;
    let bad_name = |why: &dyn ToString| Refusal::new(StatusCode::BAD_REQUEST, "bad_name", why.to_string());
    let name = text::clean("name", name.trim(), MAX_NAME_CHARS).map_err(|error| bad_name(&error))?;
    if name.is_empty() {
        return Err(bad_name(&"a name is needed"));
    }
    let key = RoomKey::new(&TenantId::default(), &room);
    door::refuse_when_full(&shared, &key)?;
    let seated = seat_of(&key, seat);
    let comer = Comer { name: name.clone(), seated: seated.clone(), address, host_key, password };
    let Seated { seat, identity } = seated;
    past_revocation(&shared, &key, &identity).await;
    let at_door = shared.rooms.knock(&key, comer).await?;
    shared.rooms.note_door(&key, (&identity, &name), address, &at_door);
    let (status, answer) = match at_door {
        AtDoor::In { role } => {
            let beside = Beside { room_admin: role.is_moderator(), ..Beside::default() };
            let grants = Grants { name, beside, ..Grants::of(&identity) };
            let token = live.keys.issue(&room, &grants, live.config.guest_token)?;
            let ticket = Ticket { token, identity, room, seat, role: role.name() };
            (StatusCode::OK, Json(ticket).into_response())
        }
        AtDoor::Wait { waiting, reason } => {
            let place = Place { waiting, seat, reason: reason_name(reason) };
            (StatusCode::ACCEPTED, Json(place).into_response())
        }
        AtDoor::Refused(refused) => return Err(refused.into()),
    };
    Ok((status, [(CACHE_CONTROL, "no-store")], answer).into_response())
}

/// Tokens count by the second, and all of the second in which their bearer was removed are dead (row 44): whoever is to come back in
/// that second is heard when it is over, since what it would be given now opens nothing.
async fn past_revocation(shared: &Shared, key: &RoomKey, identity: &str) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let at = |not_before: u64| Grants { not_before, ..Grants::of(identity) };
    let (this_second, next) = (at(now.as_secs()), at(now.as_secs() + 1));
    let is_over_then = move |room: &mut Room, now: Instant| {
        let is_dead = |grants: &Grants| room.would_refuse(now, grants) == Some(ConnectError::Revoked);
        is_dead(&this_second) && !is_dead(&next)
    };
    if shared.rooms.ask(key, is_over_then).await == Some(true) {
        tokio::time::sleep(Duration::from_secs(1) - Duration::from_nanos(now.subsec_nanos().into())).await;
    }
}

/// Guests may join, or make rooms, where the operator lets them.
pub(super) fn check_guests(live: &InForce) -> Result<(), Refusal> {
    if live.config.guests {
        return Ok(());
    }
    let message = "guests may not join here: ask whoever invited you for a sign-in";
    Err(Refusal::new(StatusCode::FORBIDDEN, "not_allowed", message))
}

/// Guests come to rooms whose names are secrets.
pub(super) fn check_link(live: &InForce, room: &str) -> Result<(), Refusal> {
    if is_guest_room(room, live.config.guest_room_chars) {
        return Ok(());
    }
    let message = format!(
        "guests may join rooms whose names nobody can guess: at least {} letters, digits, - or _",
        live.config.guest_room_chars
    );
    Err(Refusal::new(StatusCode::FORBIDDEN, "not_allowed", message))
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        let (status, code) = match refused {
            Refused::PasswordNeeded => (StatusCode::FORBIDDEN, "password_needed"),
            Refused::PasswordWrong => (StatusCode::FORBIDDEN, "password_wrong"),
            Refused::Locked => (StatusCode::FORBIDDEN, "locked"),
            Refused::Banned => (StatusCode::FORBIDDEN, "banned"),
            Refused::Full => (StatusCode::TOO_MANY_REQUESTS, "room_full"),
            Refused::Ended => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        };
        Refusal::new(status, code, refused)
    }
}

fn reason_name(reason: WaitReason) -> &'static str {
    match reason {
        WaitReason::Lobby => "lobby",
        WaitReason::Host => "host",
        WaitReason::BannedAddress => "banned_address",
    }
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
