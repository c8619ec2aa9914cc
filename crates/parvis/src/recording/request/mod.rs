// SPDX-License-Identifier: EUPL-1.2
//! What of the ways in which an egress is asked for this server can do: capture of a room, a participant or tracks into files,
//! streams of these, and a film of a room, which is captured for it. For all else it is said what to ask for instead.

use std::collections::BTreeSet;

use livekit_protocol as proto;
use livekit_protocol::EgressInfo;
use livekit_protocol::egress_info::Request;
use parvis_api::{CAPTURE_LAYOUT, EngineError};
use parvis_signal::RecordScope;

use super::film::wish::{Bounds, Encoding, Wish, wish};
use super::live::{self, LiveSettings, LiveWish, Outputs, Subject};
use super::{Requested, StorageSettings};

/// Why something is not streamed.
pub(super) const NO_STREAMS: &str =
    "what is kept as it is sent streams nowhere: ask for a room composite with a layout such as \"grid\"";

const NO_SEGMENTS: &str = "what is kept as it is sent has no segments and no images: ask for a room composite with a layout such as \"grid\"";
const NO_ENCODING: &str = "what is sent is kept as it is sent, and not encoded anew: leave out preset and advanced, and the file type, or ask for a film \
                           of the room by the layout \"grid\"";
const OWN_NAMES: &str = "a recording has several files, which name themselves: leave filepath empty, and take their names from \
                         file_results";

/// What an egress comes to here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    /// What is captured.
    pub(super) scope: RecordScope,
    /// What film is made of it, if any.
    pub(super) film: Option<Wish>,
    /// What is streamed of it, if anything.
    pub(super) live: Option<LiveWish>,
    /// Whether the tracks are kept.
    pub(super) keeps: bool,
}

impl Asked {
    fn capture(scope: RecordScope) -> Asked {
        Asked { scope, film: None, live: None, keeps: true }
    }
}

/// What is to be recorded and composed, if it is something that can be.
pub(super) fn asked(
    egress: &EgressInfo,
    bounds: Bounds,
    live: Option<&LiveSettings>,
) -> Result<Asked, EngineError> {
    use proto::start_egress_request::Source;
    let nothing = || EngineError::Failed("nothing is known of what was asked for".to_owned());
    match egress.request.as_ref().ok_or_else(nothing)? {
        Request::RoomComposite(request) => of_room(request, bounds, live),
        Request::Participant(request) => of_participant(request, bounds, live),
        Request::TrackComposite(request) => of_tracks(request, bounds, live),
        Request::Track(request) => {
            use proto::track_egress_request::Output;
            match &request.output {
                Some(Output::File(file)) if !file.filepath.is_empty() => return Err(unable(OWN_NAMES)),
                Some(Output::File(_)) => {}
                Some(Output::WebsocketUrl(_)) | None => return Err(unable(NO_STREAMS)),
            }
            Ok(Asked::capture(RecordScope::Tracks(BTreeSet::from([request.track_id.clone()]))))
        }
        Request::Egress(request) => match &request.source {
            Some(Source::Template(template)) => of_template(request, template, bounds, live),
            _ => Err(unable(
                "media of several routes is not mixed here yet: ask for a room, a participant or a track",
            )),
        },
        Request::Web(_) | Request::Replay(_) => Err(unable(
            "web pages and replays are not recorded here: ask for a room, a participant or a track",
        )),
    }
}

/// The storage of its own that an egress asks for, where that is allowed.
pub(super) fn storage(
    egress: &EgressInfo,
    requested: &Requested,
) -> Result<Option<StorageSettings>, EngineError> {
    requested.of(egress).map_err(EngineError::Unable)
}

#[allow(deprecated)]
fn of_room(
    request: &proto::RoomCompositeEgressRequest,
    bounds: Bounds,
    live: Option<&LiveSettings>,
) -> Result<Asked, EngineError> {
    use proto::room_composite_egress_request::{Options, Output};
    let streams = !request.stream_outputs.is_empty() || matches!(request.output, Some(Output::Stream(_)));
    let segments = !request.segment_outputs.is_empty() || !request.image_outputs.is_empty();
    let segments = segments || matches!(request.output, Some(Output::Segments(_)));
    let single = request.output.as_ref().and_then(|output| match output {
        Output::File(file) => Some(file),
        _ => None,
    });
    let file = request.file_outputs.first().or(single);
    if request.layout == CAPTURE_LAYOUT {
        if request.audio_only || request.video_only {
            return Err(unable(
                "a room is kept whole: leave out audio_only and video_only, or ask for tracks one by one",
            ));
        }
        check_outputs(file, streams, segments, request.options.is_some())?;
        return Ok(Asked::capture(RecordScope::Room));
    }
    let encoding = match &request.options {
        None => Encoding::Default,
        Some(Options::Preset(preset)) => Encoding::Preset(*preset),
        Some(Options::Advanced(options)) => Encoding::Advanced(options),
    };
    check_film(request.video_only)?;
    if request.audio_mixing() != proto::AudioMixing::DefaultMixing {
        return Err(unable("all sound of a film is mixed into both channels: leave audio_mixing out"));
    }
    let mut outputs = outputs_of(&request.stream_outputs, &request.segment_outputs, &request.image_outputs)?;
    match &request.output {
        Some(Output::Stream(stream)) => outputs.stream(stream),
        Some(Output::Segments(segments)) => outputs.segments(segments)?,
        Some(Output::File(_)) | None => {}
    }
    let file = file.map(|file| (file.file_type(), file.filepath.as_str()));
    composed((&request.layout, request.audio_only), encoding, (file, outputs), bounds, live)
}

fn of_participant(
    request: &proto::ParticipantEgressRequest,
    bounds: Bounds,
    live: Option<&LiveSettings>,
) -> Result<Asked, EngineError> {
    use proto::participant_egress_request::Options;
    let scope = RecordScope::Participant(request.identity.clone());
    let outputs = outputs_of(&request.stream_outputs, &request.segment_outputs, &request.image_outputs)?;
    if outputs.is_empty() {
        check_outputs(&request.file_outputs, false, false, request.options.is_some())?;
        return Ok(Asked::capture(scope));
    }
    if request.screen_share {
        return Err(unable(
            "a participant's stream shows the camera: leave screen_share out, or ask for a track composite of the share",
        ));
    }
    let encoding = match &request.options {
        None => Encoding::Default,
        Some(Options::Preset(preset)) => Encoding::Preset(*preset),
        Some(Options::Advanced(options)) => Encoding::Advanced(options),
    };
    let subject = Subject::Participant(request.identity.clone());
    alone((scope, subject), "single", encoding, (&request.file_outputs, outputs), bounds, live)
}

#[allow(deprecated)]
fn of_tracks(
    request: &proto::TrackCompositeEgressRequest,
    bounds: Bounds,
    live: Option<&LiveSettings>,
) -> Result<Asked, EngineError> {
    use proto::track_composite_egress_request::{Options, Output};
    let mut outputs = outputs_of(&request.stream_outputs, &request.segment_outputs, &request.image_outputs)?;
    let mut files = request.file_outputs.clone();
    match &request.output {
        None => {}
        Some(Output::File(file)) => files.push(file.clone()),
        Some(Output::Stream(stream)) => outputs.stream(stream),
        Some(Output::Segments(segments)) => outputs.segments(segments)?,
    }
    let (sound, pictures) = (&request.audio_track_id, &request.video_track_id);
    let named = [sound, pictures].into_iter().filter(|track| !track.is_empty()).cloned();
    let scope = RecordScope::Tracks(named.collect());
    if outputs.is_empty() {
        check_outputs(&files, false, false, request.options.is_some())?;
        return Ok(Asked::capture(scope));
    }
    let encoding = match &request.options {
        None => Encoding::Default,
        Some(Options::Preset(preset)) => Encoding::Preset(*preset),
        Some(Options::Advanced(options)) => Encoding::Advanced(options),
    };
    let (layout, subject) = match pictures.is_empty() {
        true => ("audio", Subject::Anybody),
        false => ("single", Subject::Track(pictures.clone())),
    };
    alone((scope, subject), layout, encoding, (&files, outputs), bounds, live)
}

/// What is streamed of a participant or of tracks, which are kept as they are sent where a file is asked for.
fn alone(
    (scope, subject): (RecordScope, Subject),
    layout: &str,
    encoding: Encoding<'_>,
    (files, outputs): (&[proto::EncodedFileOutput], Outputs),
    bounds: Bounds,
    live: Option<&LiveSettings>,
) -> Result<Asked, EngineError> {
    files.iter().try_for_each(check_file)?;
    let look = wish((layout, false), encoding, None, bounds)?;
    let large = matches!(encoding, Encoding::Default).then_some(bounds);
    let live = LiveWish { subject, ..live::wish(&look, outputs, large, live)? };
    Ok(Asked { scope, film: None, live: Some(live), keeps: !files.is_empty() })
}

fn outputs_of(
    streams: &[proto::StreamOutput],
    segments: &[proto::SegmentedFileOutput],
    images: &[proto::ImageOutput],
) -> Result<Outputs, EngineError> {
    let mut outputs = Outputs::default();
    streams.iter().for_each(|stream| outputs.stream(stream));
    segments.iter().try_for_each(|segments| outputs.segments(segments))?;
    images.iter().try_for_each(|images| outputs.images(images))?;
    Ok(outputs)
}

fn of_template(
    request: &proto::StartEgressRequest,
    template: &proto::TemplateSource,
    bounds: Bounds,
    live: Option<&LiveSettings>,
) -> Result<Asked, EngineError> {
    use proto::output::Config;
    use proto::start_egress_request::Encoding as Options;
    let (mut file, mut outputs) = (None, Outputs::default());
    for output in &request.outputs {
        match &output.config {
            Some(Config::File(config)) => file = Some((config.file_type(), config.filepath.as_str())),
            Some(Config::Stream(stream)) => outputs.stream(stream),
            Some(Config::Segments(segments)) => outputs.segments(segments)?,
            Some(Config::Images(images)) => outputs.images(images)?,
            None => {}
        }
    }
    if template.layout == CAPTURE_LAYOUT {
        if template.audio_only || template.video_only {
            return Err(unable(
                "a room is kept whole: leave out audio_only and video_only, or ask for tracks one by one",
            ));
        }
        let (streams, others) = (outputs.pushed, !outputs.is_empty());
        check_outputs(None, streams, others, request.encoding.is_some())?;
        file.map_or(Ok(()), |(kind, path)| check_name(kind, path))?;
        return Ok(Asked::capture(RecordScope::Room));
    }
    check_film(template.video_only)?;
    let encoding = match &request.encoding {
        None => Encoding::Default,
        Some(Options::Preset(preset)) => Encoding::Preset(*preset),
        Some(Options::Advanced(options)) => Encoding::Advanced(options),
    };
    composed((&template.layout, template.audio_only), encoding, (file, outputs), bounds, live)
}

/// What is composed of a room: a film where a file is asked for, and what is streamed meanwhile.
fn composed(
    layout: (&str, bool),
    encoding: Encoding<'_>,
    (file, outputs): (Option<(proto::EncodedFileType, &str)>, Outputs),
    bounds: Bounds,
    live: Option<&LiveSettings>,
) -> Result<Asked, EngineError> {
    let scope = RecordScope::Room;
    let film = wish(layout, encoding, file, bounds)?;
    if outputs.is_empty() {
        return Ok(Asked { scope, film: Some(film), live: None, keeps: true });
    }
    let large = matches!(encoding, Encoding::Default).then_some(bounds);
    let live = live::wish(&film, outputs, large, live)?;
    let keeps = file.is_some();
    Ok(Asked { scope, film: keeps.then_some(film), live: Some(live), keeps })
}

/// What no film has, whatever its layout.
fn check_film(video_only: bool) -> Result<(), EngineError> {
    if video_only {
        return Err(unable("a film has its sound: leave out video_only"));
    }
    Ok(())
}

fn check_outputs<'a>(
    files: impl IntoIterator<Item = &'a proto::EncodedFileOutput>,
    streams: bool,
    others: bool,
    encoding: bool,
) -> Result<(), EngineError> {
    if streams {
        return Err(unable(NO_STREAMS));
    }
    if others {
        return Err(unable(NO_SEGMENTS));
    }
    if encoding {
        return Err(unable(NO_ENCODING));
    }
    files.into_iter().try_for_each(check_file)
}

fn check_file(file: &proto::EncodedFileOutput) -> Result<(), EngineError> {
    check_name(file.file_type(), &file.filepath)
}

fn check_name(kind: proto::EncodedFileType, path: &str) -> Result<(), EngineError> {
    if kind != proto::EncodedFileType::DefaultFiletype {
        return Err(unable(NO_ENCODING));
    }
    if !path.is_empty() {
        return Err(unable(OWN_NAMES));
    }
    Ok(())
}

fn unable(why: &str) -> EngineError {
    EngineError::Unable(why.to_owned())
}

#[cfg(test)]
mod tests;
