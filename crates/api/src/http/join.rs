// SPDX-License-Identifier: EUPL-1.2
//! Signalling: a client's WebSocket, and why it would be refused.

use std::net::IpAddr;

use axum::extract::{Extension, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use parvis_signal::{ConnectError, Form, Join, JoinParams};

use super::{Refusal, Shared, Upgrade, address, no_websocket, refuse_when_draining, throttle, token};
use crate::accept::Client;
use crate::rooms::{JoinRefusal, Opening};
use crate::socket;
use crate::tenant::RoomKey;
use crate::token::{TokenError, Verified};

pub(crate) async fn dual(
    shared: State<Shared>,
    client: Extension<Client>,
    headers: HeaderMap,
    query: RawQuery,
    upgrade: Upgrade,
) -> Result<Response, Refusal> {
    connect(Form::Dual, shared, client, headers, query, upgrade).await
}

pub(crate) async fn single(
    shared: State<Shared>,
    client: Extension<Client>,
    headers: HeaderMap,
    query: RawQuery,
    upgrade: Upgrade,
) -> Result<Response, Refusal> {
    connect(Form::Single, shared, client, headers, query, upgrade).await
}

/// A client's WebSocket. It is let into its room before the upgrade, so that a refusal is an HTTP status.
async fn connect(
    form: Form,
    State(shared): State<Shared>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
    upgrade: Upgrade,
) -> Result<Response, Refusal> {
    let rooms = &shared.rooms;
    let outcome = |outcome: &str| rooms.metrics.joins.with_label_values(&[outcome]).inc();
    let query = query.unwrap_or_default();
    let address = address(&shared, &client, &headers);
    let admitted = admit(&shared, form, &headers, &query, address);
    let (verified, params) = admitted.inspect_err(|refusal| outcome(refusal.code))?;
    let Verified { tenant, room, may_create, agents, grants, .. } = verified;
    let upgrade = upgrade.map_err(no_websocket)?;

    client.permit.keep();
    let live = rooms.live();
    let limits = live.config.connections.clone();
    let mut outbound = None;
    let queue = || {
        let (outgoing, end) = socket::queue(&limits);
        outbound = Some(end);
        outgoing
    };
    let join = Join { grants, params, address: address.to_string() };
    let opening = Opening { agents };
    let opening = (live.config.auto_create || may_create).then_some(&opening);
    let attached =
        rooms.join(&RoomKey::new(&tenant, &room), opening, join, queue).await.map_err(|refusal| {
            let refusal = Refusal::from(refusal);
            outcome(refusal.code);
            refusal
        })?;
    let Some(outbound) = outbound else { return Err(JoinRefusal::Ending.into()) };
    outcome("ok");

    let metrics = rooms.metrics.clone();
    // Without permessage-deflate: axum's WebSocket does not offer it, so a message is as large as it was sent (row 28).
    let max = live.config.room.message_bytes;
    Ok(socket::bounded(upgrade, max).on_upgrade(move |stream| async move {
        let _counted = client.permit;
        socket::serve(stream, attached, outbound, limits, metrics).await;
    }))
}

/// Why a client with two peer connections would be refused
///
/// Browsers hide the status of a failed WebSocket upgrade from the page: this says it.
#[utoipa::path(
    get,
    path = "/rtc/validate",
    tag = "signalling",
    params(
        ("access_token" = Option<String>, Query, description = "The token, if there is no header Authorization."),
    ),
    responses(
        (status = 200, description = "It would be let in."),
        (status = 400, description = "A parameter can't be read.", body = Refusal),
        (status = 401, description = "No token, one that does not hold, or one that was revoked.", body = Refusal),
        (status = 404, description = "There is no such room, and rooms don't come to be by themselves.", body = Refusal),
        (status = 429, description = "Too many joins from this address, or the room is full.", body = Refusal),
        (status = 503, description = "The server is about to stop.", body = Refusal),
    )
)]
pub(crate) async fn validate_dual(
    shared: State<Shared>,
    client: Extension<Client>,
    headers: HeaderMap,
    query: RawQuery,
) -> Result<Response, Refusal> {
    validate(Form::Dual, shared, client, headers, query).await
}

/// Why a client with one peer connection would be refused
#[utoipa::path(
    get,
    path = "/rtc/v1/validate",
    tag = "signalling",
    params(
        ("access_token" = Option<String>, Query, description = "The token, if there is no header Authorization."),
        ("join_request" = String, Query, description = "A WrappedJoinRequest in base64url."),
    ),
    responses(
        (status = 200, description = "It would be let in."),
        (status = 400, description = "A parameter can't be read.", body = Refusal),
        (status = 401, description = "No token, one that does not hold, or one that was revoked.", body = Refusal),
        (status = 404, description = "There is no such room, and rooms don't come to be by themselves.", body = Refusal),
        (status = 429, description = "Too many joins from this address, or the room is full.", body = Refusal),
        (status = 503, description = "The server is about to stop.", body = Refusal),
    )
)]
pub(crate) async fn validate_single(
    shared: State<Shared>,
    client: Extension<Client>,
    headers: HeaderMap,
    query: RawQuery,
) -> Result<Response, Refusal> {
    validate(Form::Single, shared, client, headers, query).await
}

/// Says why a WebSocket would be refused: browsers hide the status of a failed upgrade from the page.
async fn validate(
    form: Form,
    State(shared): State<Shared>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let address = address(&shared, &client, &headers);
    let (verified, _) = admit(&shared, form, &headers, &query.unwrap_or_default(), address)?;
    refuse_when_draining(&shared)?;
    let live = shared.rooms.live();
    let limit = live.config.room.meeting.participants;
    let key = RoomKey::new(&verified.tenant, &verified.room);
    let there = shared.rooms.participants(&key);
    let may_come_to_be = live.config.auto_create || verified.may_create || shared.rooms.is_ahead(&key);
    if there.is_none() && !may_come_to_be {
        return Err(JoinRefusal::NoRoom.into());
    }
    let grants = verified.grants;
    if shared.rooms.ask(&key, move |room, _| room.has_revoked(&grants)).await == Some(true) {
        return Err(JoinRefusal::from(ConnectError::Revoked).into());
    }
    if there.is_some_and(|there| there >= limit) {
        return Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, "room_full", "the room is full"));
    }
    Ok("success".into_response())
}

/// Checks all that can be checked without the room: rate, token, parameters.
fn admit(
    shared: &Shared,
    form: Form,
    headers: &HeaderMap,
    query: &str,
    address: IpAddr,
) -> Result<(Verified, JoinParams), Refusal> {
    throttle(shared, address)?;
    let token = token(headers, query).ok_or(TokenError::Missing)?;
    let verified = shared.rooms.live().verify(&token)?;
    // A client that knows the newer form asks for it everywhere; its absence is what makes it fall back.
    let params = JoinParams::parse(form, query)?;
    Ok((verified, params))
}
