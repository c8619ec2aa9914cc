// SPDX-License-Identifier: EUPL-1.2
//! What is asked for when an egress begins: the six ways in which the protocol has it said, in one form, and what is wrong with it.

use livekit_protocol as proto;
use livekit_protocol::egress_info::Request;
use livekit_protocol::{EgressInfo, EgressSourceType, StreamProtocol, stream_info};

use super::EgressError;

/// Places to which one egress writes or streams.
const MAX_OUTPUTS: usize = 16;
/// URLs of one egress.
const MAX_URLS: usize = 16;
/// Characters of a path, a layout's name and an identity.
const MAX_TEXT_CHARS: usize = 1_024;
/// Characters of a URL.
const MAX_URL_CHARS: usize = 2_048;

/// What makes no sense in a request.
type Invalid = EgressError;

/// What all requests have in common.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) room: &'a str,
    pub(crate) source: EgressSourceType,
    pub(crate) webhooks: &'a [proto::WebhookConfig],
    outputs: Vec<Output<'a>>,
}

/// A place to which an egress writes or streams.
#[derive(Debug)]
enum Output<'a> {
    /// One file at this path.
    File(&'a str),
    /// Streams to these URLs.
    Stream(StreamProtocol, &'a [String]),
    /// A playlist and its segments: their prefix, its name, the name of the live one.
    Segments(&'a str, &'a str, &'a str),
    /// Pictures with this prefix.
    Images(&'a str),
}

impl<'a> Wanted<'a> {
    /// Reads a request, and says what is wrong with it.
    pub(crate) fn of(request: &'a Request) -> Result<Wanted<'a>, Invalid> {
        let wanted = match request {
            Request::Egress(request) => of_any(request)?,
            Request::RoomComposite(request) => of_room(request)?,
            Request::Participant(request) => of_participant(request)?,
            Request::TrackComposite(request) => of_tracks(request)?,
            Request::Track(request) => of_track(request)?,
            Request::Web(_) => return Err(EgressError::NeedsBrowser),
            Request::Replay(_) => return Err(invalid("replays are not kept here")),
        };
        wanted.check()?;
        Ok(wanted)
    }

    fn check(&self) -> Result<(), Invalid> {
        if self.room.is_empty() {
            return Err(invalid("room_name: name the room"));
        }
        let count = |kind: fn(&Output<'_>) -> bool| self.outputs.iter().filter(|output| kind(output)).count();
        match self.outputs.len() {
            0 => return Err(invalid("no output: name a file, a stream, segments or images")),
            many if many > MAX_OUTPUTS => {
                return Err(invalid(format!("{many} outputs, at most {MAX_OUTPUTS} may be")));
            }
            _ => {}
        }
        for (what, count) in [
            ("file", count(|output| matches!(output, Output::File(_)))),
            ("stream", count(|output| matches!(output, Output::Stream(..)))),
            ("segments", count(|output| matches!(output, Output::Segments(..)))),
        ] {
            if count > 1 {
                return Err(invalid(format!("{count} outputs of the kind {what}, at most one may be")));
            }
        }
        self.outputs.iter().try_for_each(Output::check)
    }

    /// Each URL as it begins.
    pub(super) fn streams(&self, now: i64) -> Vec<proto::StreamInfo> {
        let urls = self.outputs.iter().flat_map(|output| match output {
            Output::Stream(_, urls) => *urls,
            _ => &[],
        });
        urls.map(|url| stream(url, now)).collect()
    }

    /// Each file as it begins.
    pub(super) fn files(&self) -> Vec<proto::FileInfo> {
        let path = |output: &Output<'_>| {
            if let Output::File(path) = output { Some((*path).to_owned()) } else { None }
        };
        let files = self.outputs.iter().filter_map(path);
        files.map(|filename| proto::FileInfo { filename, ..Default::default() }).collect()
    }

    /// Each playlist as it begins.
    pub(super) fn segments(&self) -> Vec<proto::SegmentsInfo> {
        let playlist = |output: &Output<'_>| match output {
            Output::Segments(_, name, live) => Some(proto::SegmentsInfo {
                playlist_name: (*name).to_owned(),
                live_playlist_name: (*live).to_owned(),
                ..Default::default()
            }),
            _ => None,
        };
        self.outputs.iter().filter_map(playlist).collect()
    }

    /// Each row of pictures as it begins.
    pub(super) fn images(&self) -> Vec<proto::ImagesInfo> {
        let prefix = |output: &Output<'_>| {
            if let Output::Images(prefix) = output { Some((*prefix).to_owned()) } else { None }
        };
        let images = self.outputs.iter().filter_map(prefix);
        images.map(|filename_prefix| proto::ImagesInfo { filename_prefix, ..Default::default() }).collect()
    }
}

impl Output<'_> {
    fn check(&self) -> Result<(), Invalid> {
        match self {
            Output::File(path) => check_path("filepath", path),
            Output::Stream(protocol, urls) => check_urls(*protocol, urls),
            Output::Segments(prefix, name, live) => {
                check_path("filename_prefix", prefix)?;
                check_path("playlist_name", name)?;
                check_path("live_playlist_name", live)
            }
            Output::Images(prefix) => check_path("filename_prefix", prefix),
        }
    }
}

fn of_any(request: &proto::StartEgressRequest) -> Result<Wanted<'_>, Invalid> {
    use proto::output::Config;
    use proto::start_egress_request::Source;
    let source = match &request.source {
        Some(Source::Template(template)) => {
            check_template(&template.custom_base_url, &template.layout)?;
            EgressSourceType::Web
        }
        Some(Source::Media(_)) => EgressSourceType::Sdk,
        Some(Source::Web(_)) => return Err(EgressError::NeedsBrowser),
        None => return Err(invalid("no source: name a template or media")),
    };
    if request.outputs.iter().any(|output| output.config.is_none()) {
        return Err(invalid("an output says nothing: name a file, a stream, segments or images"));
    }
    let outputs =
        request.outputs.iter().filter_map(|output| output.config.as_ref()).map(|config| match config {
            Config::File(file) => Output::File(&file.filepath),
            Config::Stream(stream) => Output::Stream(stream.protocol(), &stream.urls),
            Config::Segments(segments) => segments_of(segments),
            Config::Images(images) => Output::Images(&images.filename_prefix),
        });
    Ok(Wanted { room: &request.room_name, source, webhooks: &request.webhooks, outputs: outputs.collect() })
}

#[allow(deprecated)]
fn of_room(request: &proto::RoomCompositeEgressRequest) -> Result<Wanted<'_>, Invalid> {
    use proto::room_composite_egress_request::Output as Single;
    check_template(&request.custom_base_url, &request.layout)?;
    if request.audio_only && request.video_only {
        return Err(invalid("audio_only and video_only leave nothing: take one out"));
    }
    let mut outputs = listed(
        &request.file_outputs,
        &request.stream_outputs,
        &request.segment_outputs,
        &request.image_outputs,
    );
    outputs.extend(request.output.as_ref().map(|single| match single {
        Single::File(file) => Output::File(&file.filepath),
        Single::Stream(stream) => Output::Stream(stream.protocol(), &stream.urls),
        Single::Segments(segments) => segments_of(segments),
    }));
    let source = EgressSourceType::Web;
    Ok(Wanted { room: &request.room_name, source, webhooks: &request.webhooks, outputs })
}

fn of_participant(request: &proto::ParticipantEgressRequest) -> Result<Wanted<'_>, Invalid> {
    check_name("identity", &request.identity)?;
    let outputs = listed(
        &request.file_outputs,
        &request.stream_outputs,
        &request.segment_outputs,
        &request.image_outputs,
    );
    let source = EgressSourceType::Sdk;
    Ok(Wanted { room: &request.room_name, source, webhooks: &request.webhooks, outputs })
}

#[allow(deprecated)]
fn of_tracks(request: &proto::TrackCompositeEgressRequest) -> Result<Wanted<'_>, Invalid> {
    use proto::track_composite_egress_request::Output as Single;
    if request.audio_track_id.is_empty() && request.video_track_id.is_empty() {
        return Err(invalid("no track: name audio_track_id, video_track_id, or both"));
    }
    let mut outputs = listed(
        &request.file_outputs,
        &request.stream_outputs,
        &request.segment_outputs,
        &request.image_outputs,
    );
    outputs.extend(request.output.as_ref().map(|single| match single {
        Single::File(file) => Output::File(&file.filepath),
        Single::Stream(stream) => Output::Stream(stream.protocol(), &stream.urls),
        Single::Segments(segments) => segments_of(segments),
    }));
    let source = EgressSourceType::Sdk;
    Ok(Wanted { room: &request.room_name, source, webhooks: &request.webhooks, outputs })
}

fn of_track(request: &proto::TrackEgressRequest) -> Result<Wanted<'_>, Invalid> {
    use proto::track_egress_request::Output as Single;
    check_name("track_id", &request.track_id)?;
    let output = match &request.output {
        Some(Single::File(file)) => Output::File(&file.filepath),
        Some(Single::WebsocketUrl(url)) => {
            Output::Stream(StreamProtocol::Websocket, std::slice::from_ref(url))
        }
        None => return Err(invalid("no output: name a file or websocket_url")),
    };
    let source = EgressSourceType::Sdk;
    Ok(Wanted { room: &request.room_name, source, webhooks: &request.webhooks, outputs: vec![output] })
}

fn listed<'a>(
    files: &'a [proto::EncodedFileOutput],
    streams: &'a [proto::StreamOutput],
    segments: &'a [proto::SegmentedFileOutput],
    images: &'a [proto::ImageOutput],
) -> Vec<Output<'a>> {
    let files = files.iter().map(|file| Output::File(&file.filepath));
    let streams = streams.iter().map(|stream| Output::Stream(stream.protocol(), &stream.urls));
    let images = images.iter().map(|images| Output::Images(&images.filename_prefix));
    files.chain(streams).chain(segments.iter().map(segments_of)).chain(images).collect()
}

fn segments_of(segments: &proto::SegmentedFileOutput) -> Output<'_> {
    Output::Segments(&segments.filename_prefix, &segments.playlist_name, &segments.live_playlist_name)
}

/// Where the layout of one that composes a room stands.
pub(super) fn layout_of(egress: &mut EgressInfo) -> Option<&mut String> {
    match egress.request.as_mut()? {
        Request::RoomComposite(request) => Some(&mut request.layout),
        Request::Egress(request) => match request.source.as_mut()? {
            proto::start_egress_request::Source::Template(template) => Some(&mut template.layout),
            _ => None,
        },
        _ => None,
    }
}

/// Begins streams and ends others, all or none.
pub(super) fn change_streams(
    egress: &mut EgressInfo,
    add: &[String],
    remove: &[String],
    now: i64,
) -> Result<(), Invalid> {
    let request = egress.request.as_ref().ok_or_else(|| invalid("nothing is known of what was asked for"))?;
    let protocol = Wanted::of(request)?.outputs.iter().find_map(|output| match output {
        Output::Stream(protocol, _) => Some(*protocol),
        _ => None,
    });
    let protocol = protocol
        .ok_or_else(|| invalid("it streams nowhere: only one that was begun with a stream can be changed"))?;
    let is_active = |stream: &proto::StreamInfo| stream.status() == stream_info::Status::Active;
    let known = |streams: &[proto::StreamInfo], url: &String| {
        streams.iter().any(|stream| is_active(stream) && stream.url == *url)
    };
    for url in remove {
        if !known(&egress.stream_results, url) {
            return Err(invalid("remove_output_urls: it does not stream to one of them"));
        }
    }
    if !add.is_empty() {
        check_urls(protocol, add)?;
    }
    if add.iter().any(|url| known(&egress.stream_results, url)) {
        return Err(invalid("add_output_urls: it streams to one of them already"));
    }
    if egress.stream_results.len() + add.len() > MAX_URLS {
        return Err(invalid(format!("one egress streams to at most {MAX_URLS} URLs in its time")));
    }
    for stream in
        egress.stream_results.iter_mut().filter(|stream| is_active(stream) && remove.contains(&stream.url))
    {
        stream.set_status(stream_info::Status::Finished);
        stream.ended_at = now;
        stream.duration = now.saturating_sub(stream.started_at);
    }
    egress.stream_results.extend(add.iter().map(|url| stream(url, now)));
    Ok(())
}

fn stream(url: &str, now: i64) -> proto::StreamInfo {
    proto::StreamInfo { url: url.to_owned(), started_at: now, ..Default::default() }
}

pub(super) fn check_layout(layout: &str) -> Result<(), Invalid> {
    check_text("layout", layout)
}

fn check_template(base_url: &str, layout: &str) -> Result<(), Invalid> {
    if !base_url.is_empty() {
        return Err(EgressError::NeedsBrowser);
    }
    check_layout(layout)
}

fn check_name(what: &str, text: &str) -> Result<(), Invalid> {
    if text.is_empty() {
        return Err(invalid(format!("{what} is missing")));
    }
    check_text(what, text)
}

fn check_text(what: &str, text: &str) -> Result<(), Invalid> {
    if text.chars().count() > MAX_TEXT_CHARS {
        return Err(invalid(format!("{what} has more than {MAX_TEXT_CHARS} characters")));
    }
    if text.chars().any(char::is_control) {
        return Err(invalid(format!("{what} holds a control character")));
    }
    Ok(())
}

/// A path below where recordings lie; it may be empty, and then has a name of its own choice.
fn check_path(what: &str, path: &str) -> Result<(), Invalid> {
    check_text(what, path)?;
    if path.split(['/', '\\']).any(|part| part == "..") {
        return Err(invalid(format!("{what} leads out of where recordings lie: take .. out")));
    }
    Ok(())
}

fn check_urls(protocol: StreamProtocol, urls: &[String]) -> Result<(), Invalid> {
    if urls.is_empty() || urls.len() > MAX_URLS {
        return Err(invalid(format!("a stream goes to at least one URL and to at most {MAX_URLS}")));
    }
    let schemes: &[&str] = match protocol {
        StreamProtocol::DefaultProtocol => &["rtmp", "rtmps", "srt"],
        StreamProtocol::Rtmp => &["rtmp", "rtmps"],
        StreamProtocol::Srt => &["srt"],
        StreamProtocol::Websocket => &["ws", "wss"],
    };
    for (at, url) in urls.iter().enumerate() {
        let scheme = url.split_once("://").map(|(scheme, rest)| (scheme.to_ascii_lowercase(), rest));
        let fits =
            scheme.is_some_and(|(scheme, rest)| schemes.contains(&scheme.as_str()) && !rest.is_empty());
        // A URL may hold a stream key: it is not said.
        if !fits || url.chars().any(|character| character.is_control() || character.is_whitespace()) {
            return Err(invalid(format!(
                "URL {} is none for a stream; begin it with {}://",
                at + 1,
                schemes.join(":// or ")
            )));
        }
        if url.chars().count() > MAX_URL_CHARS {
            return Err(invalid(format!("URL {} has more than {MAX_URL_CHARS} characters", at + 1)));
        }
        if urls[..at].contains(url) {
            return Err(invalid(format!("URL {} is there twice", at + 1)));
        }
    }
    Ok(())
}

fn invalid(text: impl Into<String>) -> Invalid {
    EgressError::Invalid(text.into())
}
