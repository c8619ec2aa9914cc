// SPDX-License-Identifier: EUPL-1.2
//! The participants' routes: the web client, signalling, joining by link, health. WHIP and WHEP are in [`crate::whip`].

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Extension, MatchedPath, OriginalUri, Path, RawQuery, Request, State};
use axum::http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HOST, IF_NONE_MATCH,
    LOCATION, VARY,
};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use parvis_meeting::text;
use parvis_signal::{Form, Grants, Join, JoinParams};
use serde::{Deserialize, Serialize};
use tower_http::cors::{AllowHeaders, Any, CorsLayer};
use utoipa::ToSchema;

use crate::accept::{Client, client_ip};
use crate::agents;
use crate::limit::Throttle;
use crate::openapi;
use crate::presets::NoPreset;
use crate::rooms::{JoinRefusal, Opening, Rooms};
use crate::socket;
use crate::tenant::{RoomKey, TenantId};
use crate::token::{TokenError, Verified};
use crate::twirp;
use crate::whip::{self, StreamKeys};

/// How long a browser may remember that other origins may ask.
const CORS_MAX_AGE: Duration = Duration::from_secs(86_400);
/// The largest body of a request: `{"name": …}` with 256 characters, escaped.
const MAX_BODY_BYTES: usize = 8 << 10;
/// Characters of a guest's name.
const MAX_NAME_CHARS: usize = 100;

/// What handlers share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) rooms: Arc<Rooms>,
    pub(crate) joins: Arc<Throttle>,
    pub(crate) stream_keys: Option<Arc<dyn StreamKeys>>,
    pub(crate) page_headers: Arc<[(HeaderName, HeaderValue)]>,
}

/// All routes.
pub(crate) fn router(shared: Shared) -> Router {
    // SDKs run on pages of any origin. The token never is in a cookie, so another site's page gains nothing by asking.
    let cors = CorsLayer::new()
        .allow_origin(Any)
        .allow_methods(Any)
        .allow_headers(AllowHeaders::mirror_request())
        .max_age(CORS_MAX_AGE);
    let signalling = Router::new()
        .route("/rtc", get(dual))
        .route("/rtc/v1", get(single))
        .route("/rtc/validate", get(validate_dual))
        .route("/rtc/v1/validate", get(validate_single))
        .route("/agent", get(agents::connect));
    let server_api = twirp::router();
    Router::new()
        .merge(signalling.merge(server_api).layer(cors.clone()))
        .merge(whip::routes(shared.clone(), cors))
        .route("/api/rooms/{room}/join", post(join_as_guest))
        .route("/api/openapi.json", get(openapi::document))
        .route("/livez", get(alive))
        .route("/readyz", get(ready))
        .fallback(page)
        .layer(axum::extract::DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(middleware::from_fn_with_state(shared.clone(), count))
        .with_state(shared)
}

/// Counts every answer by route. Query strings hold tokens: they are neither counted nor logged.
async fn count(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let route = match request.uri().path() {
        path @ ("/agent" | "/api/openapi.json" | "/rtc" | "/rtc/v1" | "/rtc/validate"
        | "/rtc/v1/validate" | "/livez" | "/readyz") => path.to_owned(),
        path if path.starts_with("/twirp/") => {
            // Only paths that there are get a figure of their own.
            let known = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
            known.filter(|known| !known.contains('{')).unwrap_or("/twirp").to_owned()
        }
        path if path.starts_with("/api/") => "/api/rooms/join".to_owned(),
        path if path.starts_with("/whip") => "/whip".to_owned(),
        path if path.starts_with("/whep") => "/whep".to_owned(),
        _ => "page".to_owned(),
    };
    let response = next.run(request).await;
    let status = response.status();
    shared.rooms.metrics.requests.with_label_values(&[route.as_str(), status.as_str()]).inc();
    response
}

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
            JoinRefusal::NoForwarder | JoinRefusal::Ending => (unavailable, "unavailable"),
            JoinRefusal::Refused(error) => {
                let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
                let code = match status {
                    StatusCode::TOO_MANY_REQUESTS => "room_full",
                    StatusCode::SERVICE_UNAVAILABLE => "draining",
                    StatusCode::UNAUTHORIZED => "removed",
                    _ => "refused",
                };
                (status, code)
            }
        };
        Refusal::new(status, code, refusal)
    }
}

pub(crate) type Upgrade = Result<WebSocketUpgrade, WebSocketUpgradeRejection>;

async fn dual(
    shared: State<Shared>,
    client: Extension<Client>,
    headers: HeaderMap,
    query: RawQuery,
    upgrade: Upgrade,
) -> Result<Response, Refusal> {
    connect(Form::Dual, shared, client, headers, query, upgrade).await
}

async fn single(
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
    Ok(upgrade.max_message_size(max).max_frame_size(max).on_upgrade(move |stream| async move {
        let _counted = client.permit;
        socket::serve(stream, attached, outbound, limits, metrics).await;
    }))
}

/// Whoever asked for something else than a WebSocket, where there is only one.
pub(crate) fn no_websocket(rejection: WebSocketUpgradeRejection) -> Refusal {
    Refusal::new(rejection.into_response().status(), "no_websocket", "a WebSocket is expected here")
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
    validate(Form::Dual, shared, client, headers, query)
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
    validate(Form::Single, shared, client, headers, query)
}

/// Says why a WebSocket would be refused: browsers hide the status of a failed upgrade from the page.
fn validate(
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
    let there = shared.rooms.participants(&RoomKey::new(&verified.tenant, &verified.room));
    if there.is_none() && !live.config.auto_create && !verified.may_create {
        return Err(JoinRefusal::NoRoom.into());
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

pub(crate) fn throttle(shared: &Shared, address: IpAddr) -> Result<(), Refusal> {
    let rate = shared.rooms.live().config.connections.joins;
    if shared.joins.admit(rate, address, Instant::now()) {
        return Ok(());
    }
    let message = "too many joins from this address; wait a moment";
    Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too_many", message))
}

pub(crate) fn refuse_when_draining(shared: &Shared) -> Result<(), Refusal> {
    if shared.rooms.is_draining() { Err(JoinRefusal::Draining.into()) } else { Ok(()) }
}

/// The token, from the header or else from the query.
pub(crate) fn token(headers: &HeaderMap, query: &str) -> Option<String> {
    let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let bearer = header.and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
    });
    bearer.or_else(|| {
        // A token's alphabet needs no percent-encoding, and one that was encoded all the same is not worth a decoder.
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.filter(|(name, _)| *name == "access_token").map(|(_, token)| token.to_owned()).next()
    })
}

/// The address that a request counts for.
pub(crate) fn address(shared: &Shared, client: &Client, headers: &HeaderMap) -> IpAddr {
    let forwarded_for = headers.get("x-forwarded-for").and_then(|value| value.to_str().ok());
    client_ip(client.peer.ip(), forwarded_for, &shared.rooms.live().config.trusted_proxies)
}

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
        (status = 413, description = "The body is larger than 8 KiB."),
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
    throttle(&shared, address(&shared, &client, &headers))?;
    refuse_when_draining(&shared)?;
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
    let limit = live.config.room.meeting.participants;
    let key = RoomKey::new(&TenantId::default(), &room);
    if shared.rooms.participants(&key).is_some_and(|there| there >= limit) {
        return Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, "room_full", "the room is full"));
    }
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

/// Sends whoever speaks plain HTTP to the same place behind TLS. A token in the query string was sent in the clear already;
/// it is not repeated.
pub(crate) async fn to_https(OriginalUri(uri): OriginalUri, headers: HeaderMap) -> Response {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let authority = host.and_then(|host| host.parse::<Authority>().ok());
    let Some(authority) = authority else {
        return (StatusCode::BAD_REQUEST, "this port speaks HTTPS\n").into_response();
    };
    let place = format!("https://{authority}{}", uri.path());
    (StatusCode::PERMANENT_REDIRECT, [(LOCATION, place), (CACHE_CONTROL, "no-store".to_owned())])
        .into_response()
}

/// The web client's files.
async fn page(
    State(shared): State<Shared>,
    method: Method,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Response {
    if method != Method::GET && method != Method::HEAD {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let text =
        |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or_default();
    let mut response = match parvis_web::resolve(uri.path()) {
        None => (StatusCode::NOT_FOUND, "not found\n").into_response(),
        Some(asset) => {
            let caching =
                [(ETAG, asset.etag), (CACHE_CONTROL, asset.cache_control()), (VARY, "Accept-Encoding")];
            if asset.matches(text(IF_NONE_MATCH)) {
                (StatusCode::NOT_MODIFIED, caching).into_response()
            } else {
                let (encoding, body) = asset.negotiate(text(ACCEPT_ENCODING));
                let mut response = (caching, [(CONTENT_TYPE, asset.content_type)], body).into_response();
                if let Some(encoding) = encoding {
                    response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
                }
                response
            }
        }
    };
    for (name, value) in shared.page_headers.iter() {
        response.headers_mut().insert(name.clone(), value.clone());
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_goes_before_the_query() {
        let mut headers = HeaderMap::new();
        assert_eq!(token(&headers, "a=1&access_token=from.query"), Some("from.query".to_owned()));
        headers.insert(AUTHORIZATION, HeaderValue::from_static("bearer from.header"));
        assert_eq!(token(&headers, "access_token=from.query"), Some("from.header".to_owned()));
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Basic YTpi"));
        assert_eq!(token(&headers, "sdk=js"), None);
    }

    #[test]
    fn row_42_a_guest_room_has_a_name_beyond_guessing() {
        assert!(is_guest_room("b3Vt5nqXb0-2Vw_1cJ8hkQ", 22));
        for name in ["standup", "", "b3Vt5nqXb0-2Vw_1cJ8hk", "b3Vt5nqXb0 2Vw 1cJ8hkQ", &"a".repeat(129)] {
            assert!(!is_guest_room(name, 22), "{name}");
        }
        assert!(is_guest_room("standup", 0), "in development any name will do");
    }
}
