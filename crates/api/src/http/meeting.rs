// SPDX-License-Identifier: EUPL-1.2
//! Meetings: making a room for one, what may be known of it from outside, and the meeting's own socket.

use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket};
use axum::extract::{Extension, Path, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use parvis_audit::{self as audit, Act};
use parvis_meeting::assembly::{Facts, PolicyChange, Record};
use parvis_meeting::text;
use parvis_signal::ConnectError;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::guest::{check_guests, check_link};
use super::{Refusal, Shared, Upgrade, door, no_websocket};
use crate::accept::Client;
use crate::account;
use crate::conduct::{HostKey, Meeting, new_secret, now_ms};
use crate::config::ConnectionLimits;
use crate::rooms::{Hello, JoinRefusal, MeetRefusal};
use crate::socket;
use crate::tenant::{RoomKey, TenantId};

/// The largest frame of the meeting's socket, in bytes.
const MAX_FRAME_BYTES: usize = 64 << 10;
/// How often a quiet socket is pinged: browsers answer by themselves, and what is between us keeps it open.
const PING: Duration = Duration::from_secs(30);

/// A room that is to be made.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Wish {
    /// By what name people know the meeting.
    #[schema(example = "Council, budget")]
    title: Option<String>,
    /// Whether it is encrypted from end to end, for all its life.
    e2ee: bool,
    /// What of the policy is otherwise than the server's configuration has it, as the command `policy.set` says it.
    #[schema(value_type = Object, example = json!({"lobby": true}))]
    policy: PolicyChange,
}

/// A room that was made.
#[derive(Serialize, ToSchema)]
pub(crate) struct Made {
    /// Its name, the secret part of its link.
    room: String,
    /// By what whoever made it comes in as its owner. It is nowhere else, and never part of the link.
    host_key: String,
    /// By what name people know the meeting.
    title: String,
    /// Whether it is encrypted from end to end.
    e2ee: bool,
}

/// What may be known of a room by its link.
#[derive(Serialize, ToSchema)]
pub(crate) struct Outside {
    /// Its title, where that is for those outside.
    title: Option<String>,
    /// Whether it is encrypted from end to end.
    e2ee: bool,
    /// Whether one has to say a password.
    password: bool,
    /// Whether one has to wait to be let in.
    lobby: bool,
    /// Whether nobody comes in any more.
    locked: bool,
    /// How many are there; `null` where something guards the room.
    people: Option<usize>,
    /// Whether it is being recorded.
    recording: bool,
}

/// Make a room for a meeting
///
/// Nobody can guess its name. Whoever shows the host key is its owner, at any time.
#[utoipa::path(
    post,
    path = "/api/rooms",
    tag = "rooms",
    request_body = Wish,
    responses(
        (status = 200, description = "It is made.", body = Made),
        (status = 400, description = "A title or a rule that can't be.", body = Refusal),
        (status = 403, description = "Guests make no rooms here.", body = Refusal),
        (status = 413, description = "The body is larger than 8 KiB.", body = Refusal),
        (status = 415, description = "The body is of another type, or compressed.", body = Refusal),
        (status = 422, description = "The body is another object, or names a key twice.", body = Refusal),
        (status = 429, description = "Too many from this address, or the server keeps as many as it takes.", body = Refusal),
        (status = 503, description = "The server is about to stop.", body = Refusal),
    )
)]
pub(crate) async fn make_room(
    State(shared): State<Shared>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    body: Result<Json<Wish>, JsonRejection>,
) -> Result<Response, Refusal> {
    let live = shared.rooms.live();
    let address = door::knock_anew(&shared, &client, &headers)?;
    check_guests(&live)?;
    if !live.config.auto_create {
        let message = "rooms are made by applications here: ask whoever invited you for a link";
        return Err(Refusal::new(StatusCode::FORBIDDEN, "not_allowed", message));
    }
    let Json(Wish { title, e2ee, policy: change }) = body.map_err(|error| {
        let message = format!(
            "the body is JSON as {{\"title\": \"…\", \"e2ee\": false, \"policy\": {{…}}}}: {}",
            shown(&error)
        );
        Refusal::new(error.status(), "bad_request", message)
    })?;
    let bad = |why: String| Refusal::new(StatusCode::BAD_REQUEST, "bad_request", why);
    let limits = &live.config.room.assembly;
    let title = title.unwrap_or_default();
    let title =
        text::clean("title", title.trim(), limits.title_chars).map_err(|error| bad(error.to_string()))?;
    let policy = live.config.room.policy.with(&change, limits).map_err(|error| bad(error.message))?;
    let password = match change.password.flatten() {
        Some(password) => {
            let rate = live.config.password_tries;
            if !shared.rooms.meetings.tries.admit(rate, address, Instant::now()) {
                let message = "too many passwords came from this address; wait a moment";
                return Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too_many", message));
            }
            let hash = shared.rooms.meetings.hash(password.reveal().to_owned()).await;
            Some(hash.ok_or(JoinRefusal::Draining)?)
        }
        None => None,
    };
    let (room, host_key) = (new_secret(), new_secret());
    let meeting = Meeting {
        title: title.clone(),
        e2ee,
        host: HostKey::hash(&host_key),
        salt: new_secret(),
        password,
        record: Record { policy, ..Record::default() },
        created_ms: now_ms(),
        used_ms: 0,
    };
    let key = RoomKey::new(&TenantId::default(), &room);
    shared
        .rooms
        .meetings
        .add(&key, meeting, live.config.max_meetings)
        .map_err(|error| Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too_many_rooms", error))?;
    shared.rooms.note(account::of(&key, Act::RoomMake, audit::Who::Nobody).from(address));
    Ok(([(CACHE_CONTROL, "no-store")], Json(Made { room, host_key, title, e2ee })).into_response())
}

/// What is wrong with a body, without what stands in it.
fn shown(error: &JsonRejection) -> String {
    error.body_text().chars().filter(|character| !character.is_control()).take(200).collect()
}

/// What may be known of a room before joining it
#[utoipa::path(
    get,
    path = "/api/rooms/{room}",
    tag = "rooms",
    params(("room" = String, Path, description = "The room's name: the secret part of its link.")),
    responses(
        (status = 200, description = "How it stands.", body = Outside),
        (status = 403, description = "Guests may not join here, or not this room.", body = Refusal),
        (status = 429, description = "Too many from this address.", body = Refusal),
        (status = 503, description = "The meeting's record can't be read.", body = Refusal),
    )
)]
pub(crate) async fn look_at_room(
    State(shared): State<Shared>,
    Extension(client): Extension<Client>,
    Path(room): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    door::knock(&shared, &client, &headers)?;
    let live = shared.rooms.live();
    check_guests(&live)?;
    check_link(&live, &room)?;
    let (facts, recording) = shared.rooms.facts(&RoomKey::new(&TenantId::default(), &room)).await?;
    let Facts { title, e2ee, password, lobby, locked, people } = facts;
    let outside = Outside { title, e2ee, password, lobby, locked, people, recording };
    Ok(([(CACHE_CONTROL, "no-store")], Json(outside)).into_response())
}

/// The meeting's own socket. Who it is is said by its first message, so that no token is in a URL.
pub(crate) async fn meet(
    State(shared): State<Shared>,
    Extension(client): Extension<Client>,
    Path(room): Path<String>,
    headers: HeaderMap,
    upgrade: Upgrade,
) -> Result<Response, Refusal> {
    door::knock(&shared, &client, &headers)?;
    let upgrade = upgrade.map_err(no_websocket)?;
    Ok(socket::bounded(upgrade, MAX_FRAME_BYTES).on_upgrade(move |mut stream| async move {
        let limits = shared.rooms.live().config.connections.clone();
        match greet(&shared, &room, &limits, &mut stream).await {
            Ok((attached, outbound)) => {
                client.permit.keep();
                count(&shared, "ok");
                let limits = ConnectionLimits { first_message: limits.idle, ..limits };
                let metrics = shared.rooms.metrics.clone();
                socket::serve(stream, attached, outbound, limits, metrics, Some(PING)).await;
            }
            Err(Some(refused)) => {
                count(&shared, refused.outcome());
                let frame = CloseFrame { code: refused.code(), reason: refused.to_string().into() };
                let bye = stream.send(Message::Close(Some(frame)));
                let _ = tokio::time::timeout(limits.write, bye).await;
            }
            Err(None) => count(&shared, "gone"),
        }
    }))
}

fn count(shared: &Shared, outcome: &str) {
    shared.rooms.metrics.hellos.with_label_values(&[outcome]).inc();
}

/// What comes first on the socket.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct First {
    hello: Who,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Who {
    Token(String),
    Waiting(String),
}

/// Why a socket is closed before it is anything.
#[derive(Debug, thiserror::Error)]
enum NoHello {
    #[error("no hello came in time")]
    Late,
    #[error("the first message is JSON as {{\"hello\": {{\"token\": \"…\"}}}}")]
    Malformed,
    #[error("{0}")]
    Token(String),
    #[error("the token is for another room")]
    OtherRoom,
    #[error(transparent)]
    Refused(#[from] MeetRefusal),
}

impl NoHello {
    /// The close code: 4003 where the same hello would be refused again (docs/meeting-protocol.md).
    fn code(&self) -> u16 {
        const TRY_AGAIN: u16 = 1013;
        const POLICY: u16 = 1008;
        const REFUSED: u16 = 4003;
        match self {
            NoHello::Late | NoHello::Malformed => POLICY,
            NoHello::Refused(MeetRefusal::NotThere | MeetRefusal::Refused(ConnectError::Draining)) => {
                TRY_AGAIN
            }
            NoHello::Token(_) | NoHello::OtherRoom | NoHello::Refused(_) => REFUSED,
        }
    }

    fn outcome(&self) -> &'static str {
        match self {
            NoHello::Late => "late",
            NoHello::Malformed => "malformed",
            NoHello::Token(_) => "unauthorized",
            NoHello::OtherRoom => "other_room",
            NoHello::Refused(MeetRefusal::NotThere) => "not_there",
            NoHello::Refused(MeetRefusal::NoPlace(_)) => "no_place",
            NoHello::Refused(MeetRefusal::Refused(_)) => "removed",
        }
    }
}

/// Hears who it is, and brings the socket to the room. `None`: it has gone.
async fn greet(
    shared: &Shared,
    room: &str,
    limits: &ConnectionLimits,
    stream: &mut WebSocket,
) -> Result<(crate::rooms::Attached, socket::Outbound), Option<NoHello>> {
    let first = tokio::time::timeout(limits.first_message, first_text(stream)).await;
    let first = first.map_err(|_| Some(NoHello::Late))?.ok_or(None)?;
    let first: First = serde_json::from_str(&first).map_err(|_| Some(NoHello::Malformed))?;
    let (tenant, hello) = match first.hello {
        Who::Waiting(waiting) => (TenantId::default(), Hello::Outside { waiting }),
        Who::Token(token) => {
            let verified = shared.rooms.live().keys.verify(&token);
            let verified = verified.map_err(|error| Some(NoHello::Token(error.to_string())))?;
            if verified.room != room {
                return Err(Some(NoHello::OtherRoom));
            }
            let (identity, not_before) = (verified.grants.identity, verified.grants.not_before);
            (verified.tenant, Hello::Inside { identity, not_before })
        }
    };
    let (outgoing, outbound) = socket::queue(limits);
    let key = RoomKey::new(&tenant, room);
    let key = shared.rooms.meetings.meeting_of(&key).unwrap_or(key);
    let attached = shared.rooms.meet(&key, hello, outgoing).await;
    Ok((attached.map_err(|refused| Some(refused.into()))?, outbound))
}

/// The first message; `None` when there is none, and none comes.
async fn first_text(stream: &mut WebSocket) -> Option<String> {
    loop {
        match stream.next().await? {
            Ok(Message::Text(text)) => return Some(text.as_str().to_owned()),
            Ok(Message::Ping(_) | Message::Pong(_)) => {}
            // What is no text can't be a hello.
            Ok(Message::Binary(_)) => return Some(String::new()),
            Ok(Message::Close(_)) | Err(_) => return None,
        }
    }
}
