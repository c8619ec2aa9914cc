// SPDX-License-Identifier: EUPL-1.2
//! A session that is there: candidates, another ICE session, its end.

use axum::extract::{Path, RawQuery, State};
use axum::http::header::{CONTENT_TYPE, ETAG, IF_MATCH};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use tokio::sync::oneshot;

use super::fragment::{self, Fragment};
use super::{Body, FRAGMENT, Resource, insert, no_session, not_allowed, register, text};
use crate::http::{Refusal, Shared, token};
use crate::rooms::Input;
use crate::tenant::RoomKey;
use crate::token::{TokenError, Verified};

/// Send candidates or restart ICE (RFC 9725 section 4.3)
///
/// A session that watches is changed at `/whep/v1/{session}`.
#[utoipa::path(
    patch,
    path = "/whip/v1/{session}",
    tag = "offers",
    params(
        ("session" = String, Path, description = "The session, as Location named it."),
        ("If-Match" = String, Header, description = "The ETag of the ICE session, or * to start it anew."),
    ),
    request_body(content = String, content_type = "application/trickle-ice-sdpfrag"),
    responses(
        (status = 200, description = "Our credentials and candidates after a restart.", body = String, content_type = "application/trickle-ice-sdpfrag"),
        (status = 204, description = "The candidates were taken."),
        (status = 400, description = "The fragment can't be read.", body = Refusal),
        (status = 401, description = "No token or stream key, or one that does not hold.", body = Refusal),
        (status = 403, description = "The token is not that of this session.", body = Refusal),
        (status = 404, description = "There is no such session.", body = Refusal),
        (status = 409, description = "An earlier request is not answered yet.", body = Refusal),
        (status = 412, description = "Another ICE session is meant than the one that runs.", body = Refusal),
        (status = 413, description = "The fragment is too large.", body = Refusal),
        (status = 415, description = "The body is of another type.", body = Refusal),
        (status = 428, description = "If-Match is missing.", body = Refusal),
    )
)]
pub(crate) async fn change(
    State(shared): State<Shared>,
    Path(session): Path<String>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
    body: Body,
) -> Result<Response, Refusal> {
    let resource = owned(&shared, &session, &headers, query)?;
    let body = text(&headers, FRAGMENT, body)?;
    let wanted = headers.get(IF_MATCH).and_then(|value| value.to_str().ok()).map(str::trim);
    let Some(wanted) = wanted else {
        let message = "If-Match is missing: send the ETag of the ICE session, or \"*\" to start it anew";
        return Err(Refusal::new(StatusCode::PRECONDITION_REQUIRED, "no_if_match", message));
    };
    let fragment = Fragment::parse(&body).map_err(|problem| {
        Refusal::new(
            StatusCode::BAD_REQUEST,
            "bad_fragment",
            format!("the fragment can't be read: {problem}"),
        )
    })?;
    if wanted == "*" {
        return restart(&shared, &session, resource, fragment).await;
    }
    let known = resource.entity_tag.as_deref();
    if known.is_none_or(|known| wanted.trim_matches('"') != known.trim_matches('"')) {
        let message = "If-Match names another ICE session than the one that runs";
        return Err(Refusal::new(StatusCode::PRECONDITION_FAILED, "other_ice_session", message));
    }
    let input = Input::Candidates(resource.connection, fragment.candidates);
    if resource.inbox.send(input).await.is_err() {
        return Err(no_session());
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn restart(
    shared: &Shared,
    session: &str,
    resource: Resource,
    fragment: Fragment,
) -> Result<Response, Refusal> {
    let Some((ufrag, password)) = fragment.credentials else {
        let message = "to start ICE anew the fragment needs a=ice-ufrag and a=ice-pwd";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "bad_fragment", message));
    };
    let (reply, answer) = oneshot::channel();
    let input = Input::Restart { connection: resource.connection, ufrag, password, reply };
    if resource.inbox.send(input).await.is_err() {
        return Err(no_session());
    }
    let answered = answer.await.map_err(|_| no_session())?.map_err(Refusal::from)?;
    if resource.inbox.send(Input::Candidates(resource.connection, fragment.candidates)).await.is_err() {
        return Err(no_session());
    }
    let sdp = &answered.answer.sdp;
    let entity_tag = fragment::entity_tag(sdp);
    shared.rooms.resources.set_entity_tag(session, entity_tag.clone());
    let mut response = ([(CONTENT_TYPE, FRAGMENT)], fragment::of_answer(sdp)).into_response();
    insert(&mut response, ETAG, entity_tag);
    Ok(response)
}

/// End a session
///
/// A session that watches is ended at `/whep/v1/{session}`.
#[utoipa::path(
    delete,
    path = "/whip/v1/{session}",
    tag = "offers",
    params(("session" = String, Path, description = "The session, as Location named it.")),
    responses(
        (status = 200, description = "It has ended."),
        (status = 401, description = "No token or stream key, or one that does not hold.", body = Refusal),
        (status = 403, description = "The token is not that of this session.", body = Refusal),
        (status = 404, description = "There is no such session.", body = Refusal),
    )
)]
pub(crate) async fn end(
    State(shared): State<Shared>,
    Path(session): Path<String>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let resource = owned(&shared, &session, &headers, query)?;
    if resource.inbox.send(Input::HangUp(resource.connection)).await.is_err() {
        return Err(no_session());
    }
    Ok(StatusCode::OK.into_response())
}

/// The session of this name, for whoever brought what it was opened with, or a token of the same identity and room.
fn owned(
    shared: &Shared,
    session: &str,
    headers: &HeaderMap,
    query: Option<String>,
) -> Result<Resource, Refusal> {
    let bearer = token(headers, &query.unwrap_or_default()).ok_or(TokenError::Missing)?;
    let resource = shared.rooms.resources.find(session);
    let same = |resource: &Resource| resource.bearer == register::hash(&bearer);
    if let Some(resource) = resource.as_ref().filter(|resource| same(resource)) {
        return Ok(resource.clone());
    }
    let Verified { tenant, room, grants, .. } = shared.rooms.live().keys.verify(&bearer)?;
    let resource = resource.ok_or_else(no_session)?;
    if resource.room != RoomKey::new(&tenant, &room) || resource.identity != grants.identity {
        return Err(not_allowed("the token is not that of this session"));
    }
    Ok(resource)
}
