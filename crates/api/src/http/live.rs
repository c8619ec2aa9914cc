// SPDX-License-Identifier: EUPL-1.2
//! Live streams, as viewers fetch them: playlists and their media files (RFC 8216), by a key that nobody guesses. The page that
//! plays them is the web client's.

use axum::extract::{Path, RawQuery, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::{Refusal, Shared};
use crate::egress::Watched;

/// Media files never change under their name; those who have one need not ask again.
const LASTING: &str = "public, max-age=31536000, immutable";
/// Playlists do: a cache may give one to several who ask at the same time, and no longer.
const CHANGING: &str = "no-cache";
/// Seconds after which to ask again for what is not there yet.
const AGAIN: &str = "1";

/// Fetch a file of a live stream
///
/// `index.m3u8` names all others. Media playlists take `_HLS_msn` and `_HLS_part`, and are answered when they have that part.
#[utoipa::path(
    get,
    path = "/live/{key}/{file}",
    tag = "recordings",
    operation_id = "watch_live",
    params(
        ("key" = String, Path, description = "The stream's key, as whoever began the stream was given it."),
        ("file" = String, Path, description = "A playlist, or a file that one names."),
        ("_HLS_msn" = Option<u64>, Query, description = "Answer when the playlist has this segment."),
        ("_HLS_part" = Option<u64>, Query, description = "Answer when it has this part of it."),
    ),
    responses(
        (status = 200, description = "The file.", body = Vec<u8>, content_type = "application/vnd.apple.mpegurl"),
        (status = 400, description = "The query says nothing that can be.", body = Refusal),
        (status = 404, description = "There is no such stream or file, or no more.", body = Refusal),
        (status = 503, description = "It is not there yet: ask again.", body = Refusal),
    )
)]
pub(crate) async fn watch(
    State(shared): State<Shared>,
    Path((key, file)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let gone = || Refusal::new(StatusCode::NOT_FOUND, "no_stream", "there is no such stream, or no more");
    let engine = shared.rooms.engine().map_err(|_| gone())?;
    match engine.watch(&key, &file, &query.unwrap_or_default()).await {
        Watched::Found { content_type, lasting, body } => {
            let caching = if lasting { LASTING } else { CHANGING };
            let headers =
                [(CONTENT_TYPE, content_type), (CACHE_CONTROL, caching), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
            Ok((headers, body).into_response())
        }
        Watched::Later => {
            let later = "it is not there yet: ask again";
            let mut response =
                Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "not_yet", later).into_response();
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(AGAIN));
            Ok(response)
        }
        Watched::Gone => Err(gone()),
        Watched::Nonsense => {
            let wrong = "_HLS_msn is at most two segments ahead, and _HLS_part comes with it";
            Err(Refusal::new(StatusCode::BAD_REQUEST, "bad_request", wrong))
        }
    }
}
