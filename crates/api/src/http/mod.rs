// SPDX-License-Identifier: EUPL-1.2
//! The participants' routes: [`table`] names them, [`router`] makes them. The web client is in [`page`] and its look in
//! [`branding`], signalling in [`join`], joining by link in [`guest`], meetings in [`meeting`], what both pass first in [`door`], recordings in [`recordings`]
//! with their files in [`files`], live streams in [`live`], and what people say to that in [`consent`], health in [`health`]; [`refusal`] is how requests fail. WHIP and WHEP are in [`crate::whip`].

pub(crate) mod branding;
pub(crate) mod consent;
pub(crate) mod door;
mod files;
pub(crate) mod guest;
pub(crate) mod health;
pub(crate) mod join;
pub(crate) mod live;
pub(crate) mod meeting;
pub(crate) mod page;
pub(crate) mod recordings;
mod refusal;
mod table;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_ENCODING};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use tower_http::cors::{AllowHeaders, Any, CorsLayer};

use crate::limit::Throttle;
use crate::rooms::Rooms;
use crate::twirp;
use crate::whip::{self, StreamKeys};

pub(crate) use refusal::Refusal;
use table::Plane;
pub use table::{Access, Content, Route, routes};

/// How long a browser may remember that other origins may ask.
const CORS_MAX_AGE: Duration = Duration::from_secs(86_400);
/// The largest body of a request: `{"name": …}` with 256 characters, escaped.
const MAX_BODY_BYTES: usize = 8 << 10;

/// What handlers share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) rooms: Arc<Rooms>,
    pub(crate) joins: Arc<Throttle>,
    pub(crate) stream_keys: Option<Arc<dyn StreamKeys>>,
}

/// All routes: those of both tables, and the web client's files.
pub(crate) fn router(shared: Shared) -> Router {
    // SDKs run on pages of any origin. The token never is in a cookie, so another site's page gains nothing by asking.
    let cors = CorsLayer::new()
        .allow_origin(Any)
        .allow_methods(Any)
        .allow_headers(AllowHeaders::mirror_request())
        .max_age(CORS_MAX_AGE);
    let plane = |plane: Plane| {
        let rows = table::table().into_iter().filter(|row| row.plane == plane);
        let router = rows.fold(Router::new(), |router, row| router.route(&row.route.path, row.handler));
        router.layer(middleware::from_fn(plain))
    };
    Router::new()
        .merge(plane(Plane::Signalling).merge(twirp::router()).layer(cors.clone()))
        .merge(whip::dressed(plane(Plane::Offers), shared.clone(), cors))
        .merge(plane(Plane::Own))
        .fallback(page::page)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(middleware::from_fn_with_state(shared.clone(), count))
        .with_state(shared)
}

/// Takes bodies as they are: what swells when it is unpacked is not unpacked.
async fn plain(request: Request, next: Next) -> Response {
    let encoding = request.headers().get(CONTENT_ENCODING);
    if encoding.is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        let message = "bodies are not unpacked here: send them without Content-Encoding";
        return Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_encoding", message).into_response();
    }
    next.run(request).await
}

/// Counts every answer by route. Query strings hold tokens: they are neither counted nor logged.
async fn count(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let route = figure(request.extensions().get::<MatchedPath>().map(MatchedPath::as_str)).to_owned();
    let response = next.run(request).await;
    let status = response.status();
    shared.rooms.metrics.requests.with_label_values(&[route.as_str(), status.as_str()]).inc();
    response
}

/// What a route's answers are counted under. Only paths that there are get a figure of their own.
fn figure(matched: Option<&str>) -> &str {
    match matched {
        None => "page",
        Some("/api/rooms/{room}/join") => "/api/rooms/join",
        Some("/api/rooms/{room}") => "/api/rooms/room",
        Some("/api/rooms/{room}/meeting") => "/api/rooms/meeting",
        Some("/api/rooms/{room}/consent") => "/api/rooms/consent",
        Some(path) if path.starts_with("/live/") => "/live",
        Some(path) if path.contains("/recordings") => "/api/recordings",
        Some(path) if path.starts_with("/whip") => "/whip",
        Some(path) if path.starts_with("/whep") => "/whep",
        Some(path) if path.contains('{') => "/twirp",
        Some(path) => path,
    }
}

pub(crate) type Upgrade = Result<WebSocketUpgrade, WebSocketUpgradeRejection>;

/// Whoever asked for something else than a WebSocket, where there is only one.
pub(crate) fn no_websocket(rejection: WebSocketUpgradeRejection) -> Refusal {
    Refusal::new(rejection.into_response().status(), "no_websocket", "a WebSocket is expected here")
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

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn answers_are_counted_by_what_there_is_and_not_by_what_is_asked_for() {
        for route in routes() {
            let figure = figure(Some(&route.path));
            // What stands before the first name, at least.
            let ends = ["/join", "/consent", "/recordings", "/meeting", "/room"];
            let begins = ends.iter().fold(figure, |figure, end| figure.trim_end_matches(end));
            assert!(!figure.contains('{') && route.path.starts_with(begins), "{route:?}");
        }
        assert_eq!(figure(Some("/twirp/{*unknown}")), "/twirp");
        assert_eq!(figure(None), "page");
    }

    #[test]
    fn the_header_goes_before_the_query() {
        let mut headers = HeaderMap::new();
        assert_eq!(token(&headers, "a=1&access_token=from.query"), Some("from.query".to_owned()));
        headers.insert(AUTHORIZATION, HeaderValue::from_static("bearer from.header"));
        assert_eq!(token(&headers, "access_token=from.query"), Some("from.header".to_owned()));
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Basic YTpi"));
        assert_eq!(token(&headers, "sdk=js"), None);
    }
}
