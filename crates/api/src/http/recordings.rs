// SPDX-License-Identifier: EUPL-1.2
//! Recordings of a room: begin, end, list, fetch. What applications' servers do by `livekit.Egress`, a moderator does by these,
//! with a token for his room; a file is then fetched by a link that holds for five minutes (row 51).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Extension, Path, RawQuery, State};
use axum::http::header::{CACHE_CONTROL, LOCATION, RANGE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use livekit_protocol as proto;
use livekit_protocol::EgressInfo;
use livekit_protocol::egress_info::Request;
use parvis_audit::{Act, Event, Who};
use parvis_signal::{Control, ControlError};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Refusal, Shared, door, files, token};
use crate::accept::Client;
use crate::authority::{Authority, Need};
use crate::egress::{
    BadLink, CAPTURE_LAYOUT, EgressError, EngineError, FilmState, LINK_AGE, Linked, redacted,
};
use crate::rooms::ControlFailure;
use crate::token::TokenError;

/// What is to be recorded. At most one of all is named; without, it is the whole room, as it is sent.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Wish {
    /// One participant, by its identity.
    #[schema(example = "ada")]
    participant: Option<String>,
    /// One track, by its sid.
    #[schema(example = "TR_AMbcnYqWyTHxZv")]
    track: Option<String>,
    /// A film of the whole room, which is made when the recording has ended, and lies among its files then. The recording is
    /// `EGRESS_ENDING` until then.
    film: Option<FilmWish>,
    /// A stream of the whole room.
    live: Option<StreamWish>,
}

/// A stream of a whole room, while it goes on.
#[derive(Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct StreamWish {
    /// `grid`, `speaker`, `screen`, `single` or `audio`; `grid` where none is named.
    #[schema(example = "speaker")]
    layout: String,
    /// Where it is pushed to: URLs that begin with `rtmp://`, `rtmps://` or `srt://`.
    #[schema(example = json!(["rtmps://live.example.org/app/KEY"]))]
    targets: Vec<String>,
    /// Whether this server hands it out to viewers: `live.page` then says where. So too where no target is named.
    watched: bool,
    /// Whether the room is recorded meanwhile, and a film is made of it afterwards.
    film: bool,
}

/// How the film of a recording does.
#[derive(Serialize, ToSchema)]
pub(crate) struct Film {
    /// `none`, `being_made` (it may wait for others), `made` or `failed`.
    #[schema(example = "being_made")]
    state: &'static str,
    /// Why it could not be made.
    #[serde(skip_serializing_if = "String::is_empty")]
    error: String,
}

impl Film {
    fn of(state: FilmState) -> Film {
        let (state, error) = match state {
            FilmState::None => ("none", String::new()),
            FilmState::BeingMade => ("being_made", String::new()),
            FilmState::Made => ("made", String::new()),
            FilmState::Failed(why) => ("failed", why),
        };
        Film { state, error }
    }
}

/// What a film shows.
#[derive(Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct FilmWish {
    /// `grid`, `speaker`, `screen`, `single` or `audio`; `grid` where none is named.
    #[schema(example = "speaker")]
    layout: String,
}

/// A recording.
#[derive(Serialize, ToSchema)]
pub(crate) struct Recording {
    /// Its id, as `livekit.Egress` has it.
    id: String,
    /// The room's name.
    room: String,
    /// `EGRESS_STARTING`, `EGRESS_ACTIVE`, `EGRESS_ENDING`, `EGRESS_COMPLETE`, `EGRESS_FAILED`, `EGRESS_ABORTED` or
    /// `EGRESS_LIMIT_REACHED`.
    status: String,
    /// Why it ended, where it did not by itself, or has no film that was asked for.
    #[serde(skip_serializing_if = "String::is_empty")]
    error: String,
    /// How far it is, where its state doesn't say: whether its film waits or is being made.
    #[serde(skip_serializing_if = "String::is_empty")]
    details: String,
    /// When it began, in milliseconds of Unix time.
    started_at: i64,
    /// When it ended; 0 before.
    ended_at: i64,
    /// What it wrote; the film first, if there is one.
    files: Vec<RecordedFile>,
    /// Where it is streamed to, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    live: Option<LiveStream>,
}

/// Where a room is streamed to.
#[derive(Serialize, ToSchema)]
pub(crate) struct LiveStream {
    /// The path of the page for viewers, at this server, where there is one. Whoever has it may watch.
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<String>,
    /// The path of the playlist for other players.
    #[serde(skip_serializing_if = "Option::is_none")]
    playlist: Option<String>,
    /// Where it is pushed to.
    targets: Vec<StreamTarget>,
}

/// Where a room is pushed to.
#[derive(Serialize, ToSchema)]
pub(crate) struct StreamTarget {
    /// Its URL, without its key.
    url: String,
    /// `ACTIVE`, `FINISHED` or `FAILED`.
    status: String,
    /// Why it has failed, or is tried again.
    #[serde(skip_serializing_if = "String::is_empty")]
    error: String,
    /// How often it was tried again.
    retries: u32,
}

impl LiveStream {
    fn of(egress: &EgressInfo) -> Option<LiveStream> {
        let playlist = egress.segment_results.first().map(|segments| segments.playlist_location.clone());
        // What is kept lies elsewhere, and has no page.
        let playlist = playlist.filter(|playlist| playlist.starts_with("/live/"));
        let page =
            playlist.as_deref().and_then(|path| path.rsplit_once('/')).map(|(page, _)| page.to_owned());
        let streams = egress.stream_results.iter().map(|stream| StreamTarget {
            url: stream.url.clone(),
            status: stream.status().as_str_name().to_owned(),
            error: stream.error.clone(),
            retries: stream.retries,
        });
        let targets: Vec<StreamTarget> = streams.collect();
        (playlist.is_some() || !targets.is_empty()).then_some(LiveStream { page, playlist, targets })
    }
}

/// A file of a recording.
#[derive(Serialize, ToSchema)]
pub(crate) struct RecordedFile {
    /// Its name.
    name: String,
    /// Its size on disk.
    bytes: i64,
}

/// Recordings, the newest last.
#[derive(Serialize, ToSchema)]
pub(crate) struct Recordings {
    recordings: Vec<Recording>,
}

/// Where files are fetched.
#[derive(Serialize, ToSchema)]
pub(crate) struct FileLinks {
    links: Vec<FileLink>,
    /// For how many seconds from now the links hold.
    seconds: u64,
}

/// Where a file is fetched.
#[derive(Serialize, ToSchema)]
pub(crate) struct FileLink {
    /// The file's name.
    name: String,
    /// Its size on disk.
    bytes: i64,
    /// A path at this server.
    url: String,
}

impl Recording {
    fn of(egress: EgressInfo) -> Recording {
        let millis = |nanos: i64| nanos / 1_000_000;
        let files = egress.file_results.iter().filter(|file| !file.filename.is_empty());
        Recording {
            status: egress.status().as_str_name().to_owned(),
            started_at: millis(egress.started_at),
            ended_at: millis(egress.ended_at),
            live: LiveStream::of(&egress),
            files: files.map(|file| RecordedFile { name: file.filename.clone(), bytes: file.size }).collect(),
            id: egress.egress_id,
            room: egress.room_name,
            error: egress.error,
            details: egress.details,
        }
    }
}

/// Record a room
///
/// Everybody in the room sees that it is recorded before anything is kept. What is sent is kept as it is sent, sealed for whom
/// the server's configuration names; a film of it is made afterwards, if it is asked for. A stream is composed while the room goes on,
/// and nothing of it is kept where no film is asked for.
#[utoipa::path(
    post,
    path = "/api/rooms/{room}/recordings",
    tag = "recordings",
    params(("room" = String, Path, description = "The room's name.")),
    request_body = Wish,
    responses(
        (status = 201, description = "It begins.", body = Recording),
        (status = 400, description = "The body can't be read, or names more than one.", body = Refusal),
        (status = 401, description = "No token, or one that does not hold.", body = Refusal),
        (status = 403, description = "The token neither has `roomRecord` nor `roomAdmin` for this room.", body = Refusal),
        (status = 404, description = "There is no such room, participant or track.", body = Refusal),
        (status = 409, description = "This server records nothing, or keeps no records.", body = Refusal),
        (status = 413, description = "The body is larger than 8 KiB.", body = Refusal),
        (status = 415, description = "The body is of another type, or compressed.", body = Refusal),
        (status = 422, description = "The body is another object, or names a key twice.", body = Refusal),
        (status = 429, description = "As much is recorded as this server takes.", body = Refusal),
        (status = 501, description = "This server can't do that.", body = Refusal),
    )
)]
pub(crate) async fn start(
    State(shared): State<Shared>,
    Path(room): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Result<Json<Wish>, JsonRejection>,
) -> Result<Response, Refusal> {
    let authority = may_record(&shared, &headers, query, &room).await?;
    let wrong = "the body is JSON as {}, {\"film\": {\"layout\": \"grid\"}}, {\"live\": {\"targets\": []}}, {\"participant\": \"…\"} or {\"track\": \"…\"}";
    let Json(wish) = body.map_err(|error| Refusal::new(error.status(), "bad_request", wrong))?;
    let room_name = room;
    let file_outputs = || vec![proto::EncodedFileOutput::default()];
    let request = match wish {
        Wish { participant: Some(identity), track: None, film: None, live: None } => {
            Request::Participant(proto::ParticipantEgressRequest {
                room_name,
                identity,
                file_outputs: file_outputs(),
                ..Default::default()
            })
        }
        Wish { track: Some(track_id), participant: None, film: None, live: None } => {
            Request::Track(proto::TrackEgressRequest {
                room_name,
                track_id,
                output: Some(proto::track_egress_request::Output::File(proto::DirectFileOutput::default())),
                ..Default::default()
            })
        }
        Wish { live: Some(live), film: None, participant: None, track: None } => {
            let pushed = !live.targets.is_empty();
            let stream = proto::StreamOutput { urls: live.targets, ..Default::default() };
            let segments = (live.watched || !pushed).then(proto::SegmentedFileOutput::default);
            Request::RoomComposite(proto::RoomCompositeEgressRequest {
                room_name,
                layout: live.layout,
                file_outputs: if live.film { file_outputs() } else { Vec::new() },
                stream_outputs: pushed.then_some(stream).into_iter().collect(),
                segment_outputs: segments.into_iter().collect(),
                ..Default::default()
            })
        }
        Wish { film, participant: None, track: None, live: None } => {
            let layout = film.map_or_else(|| CAPTURE_LAYOUT.to_owned(), |film| film.layout);
            Request::RoomComposite(proto::RoomCompositeEgressRequest {
                room_name,
                layout,
                file_outputs: file_outputs(),
                ..Default::default()
            })
        }
        _ => return Err(Refusal::new(StatusCode::BAD_REQUEST, "bad_request", wrong)),
    };
    shared.rooms.refuse_when_unlogged()?;
    let egress = shared.rooms.start_egress(&authority.tenant, request).await?;
    note(&shared, &authority, Act::RecordingStart, &egress.room_name, &egress.egress_id);
    Ok(answer(StatusCode::CREATED, Recording::of(egress)))
}

/// List a room's recordings
#[utoipa::path(
    get,
    path = "/api/rooms/{room}/recordings",
    tag = "recordings",
    params(("room" = String, Path, description = "The room's name.")),
    responses(
        (status = 200, description = "Those that go on and those that ended.", body = Recordings),
        (status = 401, description = "No token, or one that does not hold.", body = Refusal),
        (status = 403, description = "The token neither has `roomRecord` nor `roomAdmin` for this room.", body = Refusal),
        (status = 409, description = "This server keeps no records.", body = Refusal),
    )
)]
pub(crate) async fn list(
    State(shared): State<Shared>,
    Path(room): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let authority = may_record(&shared, &headers, query, &room).await?;
    let store = shared.rooms.egress_store()?;
    let found = store
        .list_egresses(&authority.tenant, Some(room.as_str()), false)
        .await
        .map_err(EgressError::from)?;
    let recordings = found.into_iter().map(redacted).map(Recording::of).collect();
    Ok(answer(StatusCode::OK, Recordings { recordings }))
}

/// End a recording
///
/// What was written until then is whole.
#[utoipa::path(
    post,
    path = "/api/rooms/{room}/recordings/{recording}/stop",
    tag = "recordings",
    params(
        ("room" = String, Path, description = "The room's name."),
        ("recording" = String, Path, description = "The recording's id."),
    ),
    responses(
        (status = 200, description = "It ends.", body = Recording),
        (status = 401, description = "No token, or one that does not hold.", body = Refusal),
        (status = 403, description = "The token neither has `roomRecord` nor `roomAdmin` for this room.", body = Refusal),
        (status = 404, description = "The room has no such recording.", body = Refusal),
        (status = 409, description = "It has ended.", body = Refusal),
    )
)]
pub(crate) async fn stop(
    State(shared): State<Shared>,
    Path((room, recording)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (authority, _) = recorded(&shared, &headers, query, (&room, &recording)).await?;
    let egress = shared.rooms.stop_egress(&authority.tenant, &recording).await?;
    note(&shared, &authority, Act::RecordingStop, &room, &recording);
    Ok(answer(StatusCode::OK, Recording::of(egress)))
}

/// Links to a recording's files
///
/// Each opens one file, for five minutes, to whoever has it.
#[utoipa::path(
    post,
    path = "/api/rooms/{room}/recordings/{recording}/links",
    tag = "recordings",
    params(
        ("room" = String, Path, description = "The room's name."),
        ("recording" = String, Path, description = "The recording's id."),
    ),
    responses(
        (status = 200, description = "Where its files are fetched.", body = FileLinks),
        (status = 401, description = "No token, or one that does not hold.", body = Refusal),
        (status = 403, description = "The token neither has `roomRecord` nor `roomAdmin` for this room.", body = Refusal),
        (status = 404, description = "The room has no such recording.", body = Refusal),
    )
)]
pub(crate) async fn links(
    State(shared): State<Shared>,
    Path((room, recording)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (authority, egress) = recorded(&shared, &headers, query, (&room, &recording)).await?;
    shared.rooms.refuse_when_unlogged()?;
    note(&shared, &authority, Act::RecordingRead, &room, &recording);
    let until = unix_now().as_secs() + LINK_AGE.as_secs();
    let link = |file: RecordedFile| {
        let linked = Linked {
            tenant: authority.tenant.as_str().to_owned(),
            egress: recording.clone(),
            file: file.name.clone(),
            until,
        };
        let url = format!("/api/recordings/{}", shared.rooms.link_key.sign(&linked));
        FileLink { name: file.name, bytes: file.bytes, url }
    };
    let links = Recording::of(egress).files.into_iter().map(link).collect();
    Ok(answer(StatusCode::OK, FileLinks { links, seconds: LINK_AGE.as_secs() }))
}

/// Have a film made of a recording
///
/// Of one that has ended, and of what was captured: afterwards it lies among its files. This server must be able to open what was
/// captured: it does where recordings lie in the clear, or where its configuration has a key for them (`recording.identity`).
/// Elsewhere `parvis recording compose` makes it, where the key is.
#[utoipa::path(
    post,
    path = "/api/rooms/{room}/recordings/{recording}/film",
    tag = "recordings",
    params(
        ("room" = String, Path, description = "The room's name."),
        ("recording" = String, Path, description = "The recording's id."),
    ),
    request_body = FilmWish,
    responses(
        (status = 200, description = "It is there.", body = Film),
        (status = 202, description = "It is being made, after those that others asked for before.", body = Film),
        (status = 400, description = "The body can't be read.", body = Refusal),
        (status = 401, description = "No token, or one that does not hold.", body = Refusal),
        (status = 403, description = "The token neither has `roomRecord` nor `roomAdmin` for this room.", body = Refusal),
        (status = 404, description = "The room has no such recording.", body = Refusal),
        (status = 409, description = "It has not ended, or this server records nothing.", body = Refusal),
        (status = 413, description = "The body is larger than 8 KiB.", body = Refusal),
        (status = 415, description = "The body is of another type, or compressed.", body = Refusal),
        (status = 422, description = "The body is another object, or names a key twice.", body = Refusal),
        (status = 501, description = "This server can't do that, and what can is said.", body = Refusal),
    )
)]
pub(crate) async fn make_film(
    State(shared): State<Shared>,
    Path((room, recording)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Result<Json<FilmWish>, JsonRejection>,
) -> Result<Response, Refusal> {
    let authority = may_record(&shared, &headers, query, &room).await?;
    let wrong = "the body is JSON as {} or {\"layout\": \"grid\"}";
    let Json(FilmWish { layout }) =
        body.map_err(|error| Refusal::new(error.status(), "bad_request", wrong))?;
    let egress = find(&shared, &authority, &room, &recording).await?;
    let state = shared.rooms.film_egress(&authority.tenant, &egress, &layout).await?;
    let status = if state == FilmState::Made { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok(answer(status, Film::of(state)))
}

/// How a recording's film does
#[utoipa::path(
    get,
    path = "/api/rooms/{room}/recordings/{recording}/film",
    tag = "recordings",
    params(
        ("room" = String, Path, description = "The room's name."),
        ("recording" = String, Path, description = "The recording's id."),
    ),
    responses(
        (status = 200, description = "How it does.", body = Film),
        (status = 401, description = "No token, or one that does not hold.", body = Refusal),
        (status = 403, description = "The token neither has `roomRecord` nor `roomAdmin` for this room.", body = Refusal),
        (status = 404, description = "The room has no such recording.", body = Refusal),
        (status = 409, description = "This server records nothing, or keeps no records.", body = Refusal),
    )
)]
pub(crate) async fn film(
    State(shared): State<Shared>,
    Path((room, recording)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (authority, egress) = recorded(&shared, &headers, query, (&room, &recording)).await?;
    let state = shared.rooms.engine()?.film_of(&authority.tenant, &egress);
    Ok(answer(StatusCode::OK, Film::of(state)))
}

/// Fetch a recording's file
///
/// By a link that was given at most five minutes ago; in parts where `Range` asks for one.
#[utoipa::path(
    get,
    path = "/api/recordings/{link}",
    tag = "recordings",
    params(("link" = String, Path, description = "As it was given.")),
    responses(
        (status = 200, description = "The file.", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 206, description = "The part that was asked for.", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 302, description = "It lies in an object storage, where this address opens it for a minute."),
        (status = 404, description = "It is no link of this server's, or its file is gone.", body = Refusal),
        (status = 410, description = "Its time is over.", body = Refusal),
        (status = 416, description = "The file has no such part."),
    )
)]
pub(crate) async fn fetch(
    State(shared): State<Shared>,
    Extension(client): Extension<Client>,
    Path(link): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let gone = || Refusal::new(StatusCode::NOT_FOUND, "no_file", "there is no such file");
    let linked = shared.rooms.link_key.read(&link, unix_now().as_secs()).map_err(|bad| match bad {
        BadLink::Unknown => gone(),
        BadLink::Over => Refusal::new(StatusCode::GONE, "link_over", "the link is over: ask for a new one"),
    })?;
    let tenant = parvis_store::TenantId::new(linked.tenant);
    let engine = shared.rooms.engine().map_err(|_| gone())?;
    let path = engine.file(&tenant, &linked.egress, &linked.file).ok_or_else(gone)?;
    // A player asks for a film in hundreds of parts: the first says it.
    let range = headers.get(RANGE).and_then(|range| range.to_str().ok());
    if range.is_none_or(|range| range.starts_with("bytes=0-")) {
        let event = Event::new(tenant.as_str(), Act::RecordingRead, Who::Nobody).saying("by a link");
        let address = door::address(&shared, &client, &headers);
        shared.rooms.note(event.on("recording", &linked.egress).from(address));
    }
    if let Some(sent) = files::send(&path, &linked.file, &headers).await {
        return Ok(sent);
    }
    let url = engine.elsewhere(&tenant, &linked.egress, &linked.file).await.ok_or_else(gone)?;
    Ok((StatusCode::FOUND, [(LOCATION, url), (CACHE_CONTROL, "no-store".to_owned())]).into_response())
}

/// What the audit log says of somebody who does something with a recording.
fn note(shared: &Shared, authority: &Authority, act: Act, room: &str, recording: &str) {
    let event = Event::new(authority.tenant.as_str(), act, authority.who());
    shared.rooms.note(event.on("recording", recording).saying(&format!("of {room}")));
}

/// Lets in whoever may record this room: for a moderator's token, if it was not revoked in it.
async fn may_record(
    shared: &Shared,
    headers: &HeaderMap,
    query: Option<String>,
    room: &str,
) -> Result<Authority, Refusal> {
    let token = token(headers, &query.unwrap_or_default()).ok_or(TokenError::Missing)?;
    let authority = shared.rooms.live().keys.authority(&token)?;
    let of_room = authority.video.room.is_empty() || authority.video.room == room;
    let records = authority.allows(&Need::RoomRecord) && of_room;
    if !records && !authority.allows(&Need::RoomAdmin(room.to_owned())) {
        let message = "to record this room takes a token with the grant roomRecord, or roomAdmin for it";
        return Err(Refusal::new(StatusCode::FORBIDDEN, "not_allowed", message));
    }
    let actor = authority.actor();
    if !actor.identity.is_empty() {
        let answer = shared.rooms.control(&authority.room(room), &actor, Control::Describe).await;
        match answer {
            Err(failure @ ControlFailure::Refused(ControlError::Revoked)) => {
                return Err(Refusal::new(StatusCode::UNAUTHORIZED, "removed", failure));
            }
            Err(failure @ ControlFailure::Refused(ControlError::Demoted)) => {
                return Err(Refusal::new(StatusCode::FORBIDDEN, "not_allowed", failure));
            }
            _ => {}
        }
    }
    Ok(authority)
}

/// A recording of this room's, for whoever may record it; another room's is not there (row 51).
async fn recorded(
    shared: &Shared,
    headers: &HeaderMap,
    query: Option<String>,
    (room, recording): (&str, &str),
) -> Result<(Authority, EgressInfo), Refusal> {
    let authority = may_record(shared, headers, query, room).await?;
    let egress = find(shared, &authority, room, recording).await?;
    Ok((authority, egress))
}

async fn find(
    shared: &Shared,
    authority: &Authority,
    room: &str,
    recording: &str,
) -> Result<EgressInfo, Refusal> {
    let found = shared.rooms.egress_store()?.egress(&authority.tenant, recording).await;
    let found = found.map_err(EgressError::from)?.filter(|egress| egress.room_name == room);
    found
        .ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, "no_recording", "this room has no such recording"))
}

/// What is of now, and nobody keeps.
fn answer(status: StatusCode, body: impl Serialize) -> Response {
    (status, [(CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

fn unix_now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

impl From<EgressError> for Refusal {
    fn from(error: EgressError) -> Self {
        let (status, code) = match &error {
            EgressError::Invalid(_) => (StatusCode::BAD_REQUEST, "bad_request"),
            EgressError::NoRoom(_) => (StatusCode::NOT_FOUND, "no_room"),
            EgressError::Engine(EngineError::NotThere(_)) => (StatusCode::NOT_FOUND, "not_there"),
            EgressError::Store(parvis_store::StoreError::NotFound { .. }) => {
                (StatusCode::NOT_FOUND, "no_recording")
            }
            EgressError::Encrypted => (StatusCode::FORBIDDEN, "e2ee_room"),
            EgressError::NeedsBrowser | EgressError::Engine(EngineError::Unable(_)) => {
                (StatusCode::NOT_IMPLEMENTED, "unable")
            }
            EgressError::Engine(EngineError::Busy(_)) => (StatusCode::TOO_MANY_REQUESTS, "too_many"),
            EgressError::NoEngine
            | EgressError::NoStore
            | EgressError::State { .. }
            | EgressError::Backwards { .. }
            | EgressError::Engine(EngineError::Unknown) => (StatusCode::CONFLICT, "not_now"),
            EgressError::Engine(EngineError::Failed(_)) | EgressError::Store(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "unavailable")
            }
        };
        Refusal::new(status, code, error)
    }
}
