// SPDX-License-Identifier: EUPL-1.2
//! What of the ways in which an egress is asked for this server can do: capture of a room, a participant or tracks into files, and
//! a film of a room, which is captured for it, and streams of one. For all else it is said what to ask for instead.

use std::collections::BTreeSet;

use livekit_protocol as proto;
use livekit_protocol::EgressInfo;
use livekit_protocol::egress_info::Request;
use parvis_api::{CAPTURE_LAYOUT, EngineError};
use parvis_signal::RecordScope;

use super::film::wish::{Bounds, Encoding, Wish, wish};
use super::live::{self, LiveSettings, LiveWish, Outputs};

/// Why something is not streamed.
pub(super) const NO_STREAMS: &str =
    "what is kept as it is sent streams nowhere: ask for a room composite with a layout such as \"grid\"";

const NO_SEGMENTS: &str = "what is kept as it is sent has no segments and no images: ask for a room composite with a layout such as \"grid\"";
const NO_IMAGES: &str = "this server makes no images: leave image_outputs out";
const NO_ENCODING: &str = "what is sent is kept as it is sent, and not encoded anew: leave out preset and advanced, and the file type, or ask for a film \
                           of the room by the layout \"grid\"";
const NO_UPLOAD: &str = "recordings stay on this server's disk: leave out the storage, and fetch the files when the recording has ended";
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
}

impl Asked {
    fn capture(scope: RecordScope) -> Asked {
        Asked { scope, film: None, live: None }
    }

    /// Whether the tracks are kept.
    pub(super) fn keeps(&self) -> bool {
        self.live.is_none() || self.film.is_some()
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
        Request::Participant(request) => {
            check_outputs(
                &request.file_outputs,
                !request.stream_outputs.is_empty(),
                !request.segment_outputs.is_empty() || !request.image_outputs.is_empty(),
                request.options.is_some(),
            )?;
            Ok(Asked::capture(RecordScope::Participant(request.identity.clone())))
        }
        Request::TrackComposite(request) => {
            check_outputs(
                &request.file_outputs,
                !request.stream_outputs.is_empty(),
                !request.segment_outputs.is_empty() || !request.image_outputs.is_empty(),
                request.options.is_some(),
            )?;
            check_single_tracks(request)?;
            let tracks = [&request.audio_track_id, &request.video_track_id];
            let named = tracks.into_iter().filter(|track| !track.is_empty()).cloned();
            Ok(Asked::capture(RecordScope::Tracks(named.collect())))
        }
        Request::Track(request) => {
            use proto::track_egress_request::Output;
            match &request.output {
                Some(Output::File(file)) if file.output.is_some() => return Err(unable(NO_UPLOAD)),
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
    check_film(request.video_only, !request.image_outputs.is_empty())?;
    if request.audio_mixing() != proto::AudioMixing::DefaultMixing {
        return Err(unable("all sound of a film is mixed into both channels: leave audio_mixing out"));
    }
    if file.is_some_and(|file| file.output.is_some()) {
        return Err(unable(NO_UPLOAD));
    }
    let mut outputs = Outputs::default();
    request.stream_outputs.iter().for_each(|stream| outputs.stream(stream));
    request.segment_outputs.iter().try_for_each(|segments| outputs.segments(segments))?;
    match &request.output {
        Some(Output::Stream(stream)) => outputs.stream(stream),
        Some(Output::Segments(segments)) => outputs.segments(segments)?,
        Some(Output::File(_)) | None => {}
    }
    let file = file.map(|file| (file.file_type(), file.filepath.as_str()));
    composed((&request.layout, request.audio_only), encoding, (file, outputs), bounds, live)
}

fn of_template(
    request: &proto::StartEgressRequest,
    template: &proto::TemplateSource,
    bounds: Bounds,
    live: Option<&LiveSettings>,
) -> Result<Asked, EngineError> {
    use proto::output::Config;
    use proto::start_egress_request::Encoding as Options;
    let (mut file, mut images, mut outputs) = (None, false, Outputs::default());
    for output in &request.outputs {
        if output.storage.is_some() {
            return Err(unable(NO_UPLOAD));
        }
        match &output.config {
            Some(Config::File(config)) => file = Some((config.file_type(), config.filepath.as_str())),
            Some(Config::Stream(stream)) => outputs.stream(stream),
            Some(Config::Segments(segments)) => outputs.segments(segments)?,
            Some(Config::Images(_)) | None => images = true,
        }
    }
    if request.storage.is_some() {
        return Err(unable(NO_UPLOAD));
    }
    if template.layout == CAPTURE_LAYOUT {
        if template.audio_only || template.video_only {
            return Err(unable(
                "a room is kept whole: leave out audio_only and video_only, or ask for tracks one by one",
            ));
        }
        let (streams, segments) = (outputs.pushed, outputs.watched || images);
        check_outputs(None, streams, segments, request.encoding.is_some())?;
        file.map_or(Ok(()), |(kind, path)| check_name(kind, path))?;
        return Ok(Asked::capture(RecordScope::Room));
    }
    check_film(template.video_only, images)?;
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
        return Ok(Asked { scope, film: Some(film), live: None });
    }
    let large = matches!(encoding, Encoding::Default).then_some(bounds);
    let live = live::wish(&film, outputs, large, live)?;
    Ok(Asked { scope, film: file.is_some().then_some(film), live: Some(live) })
}

/// What no film has, whatever its layout.
fn check_film(video_only: bool, images: bool) -> Result<(), EngineError> {
    if images {
        return Err(unable(NO_IMAGES));
    }
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
    if file.output.is_some() {
        return Err(unable(NO_UPLOAD));
    }
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

#[allow(deprecated)]
fn check_single_tracks(request: &proto::TrackCompositeEgressRequest) -> Result<(), EngineError> {
    use proto::track_composite_egress_request::Output;
    match &request.output {
        None => Ok(()),
        Some(Output::File(file)) => check_file(file),
        Some(Output::Stream(_)) => Err(unable(NO_STREAMS)),
        Some(Output::Segments(_)) => Err(unable(NO_SEGMENTS)),
    }
}

fn unable(why: &str) -> EngineError {
    EngineError::Unable(why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { side: 1_920, rate: 60, kbits: 8_000 };

    fn whole(request: Request) -> Result<Asked, String> {
        let egress = EgressInfo { request: Some(request), ..EgressInfo::default() };
        asked(&egress, BOUNDS, None).map_err(|error| error.to_string())
    }

    fn of(request: Request) -> Result<RecordScope, String> {
        let Asked { scope, film, .. } = whole(request)?;
        assert_eq!(film, None, "what is kept as it is sent has no film");
        Ok(scope)
    }

    fn room(layout: &str, file: proto::EncodedFileOutput) -> Request {
        Request::RoomComposite(proto::RoomCompositeEgressRequest {
            room_name: "atelier".into(),
            layout: layout.into(),
            file_outputs: vec![file],
            ..Default::default()
        })
    }

    #[test]
    fn what_can_be_captured_is_and_for_the_rest_it_is_said_what_to_do() {
        let file = proto::EncodedFileOutput::default;
        assert_eq!(of(room("capture", file())), Ok(RecordScope::Room));
        let mosaic = of(room("mosaic", file())).unwrap_err();
        assert!(mosaic.contains("\"mosaic\"") && mosaic.contains("\"capture\""), "{mosaic}");
        let named = proto::EncodedFileOutput { filepath: "a.mp4".into(), ..file() };
        assert!(of(room("capture", named)).unwrap_err().contains("leave filepath empty"));
        let mp4 = proto::EncodedFileOutput { file_type: proto::EncodedFileType::Mp4.into(), ..file() };
        assert!(of(room("capture", mp4)).unwrap_err().contains("not encoded anew"));
        let s3 = proto::EncodedFileOutput {
            output: Some(proto::encoded_file_output::Output::S3(proto::S3Upload::default())),
            ..file()
        };
        assert!(of(room("capture", s3)).unwrap_err().contains("leave out the storage"));

        let participant = Request::Participant(proto::ParticipantEgressRequest {
            identity: "ada".into(),
            file_outputs: vec![file()],
            ..Default::default()
        });
        assert_eq!(of(participant), Ok(RecordScope::Participant("ada".into())));
        let track = |output| {
            of(Request::Track(proto::TrackEgressRequest {
                track_id: "TR_1".into(),
                output: Some(output),
                ..Default::default()
            }))
        };
        let direct = proto::track_egress_request::Output::File(proto::DirectFileOutput::default());
        assert_eq!(track(direct), Ok(RecordScope::Tracks(BTreeSet::from(["TR_1".into()]))));
        let socket = proto::track_egress_request::Output::WebsocketUrl("wss://example.org".into());
        assert_eq!(track(socket), Err(NO_STREAMS.to_owned()));
        let both = Request::TrackComposite(proto::TrackCompositeEgressRequest {
            audio_track_id: "TR_1".into(),
            video_track_id: "TR_2".into(),
            file_outputs: vec![file()],
            ..Default::default()
        });
        assert_eq!(of(both), Ok(RecordScope::Tracks(BTreeSet::from(["TR_1".into(), "TR_2".into()]))));
    }

    #[test]
    fn a_film_of_a_room_is_captured_and_composed_and_what_it_can_not_have_is_said() {
        use proto::room_composite_egress_request::{Options, Output};

        let file = |path: &str| proto::EncodedFileOutput {
            file_type: proto::EncodedFileType::Mp4.into(),
            filepath: path.into(),
            ..Default::default()
        };
        let composite = |change: fn(&mut proto::RoomCompositeEgressRequest)| {
            let mut request =
                proto::RoomCompositeEgressRequest { layout: "speaker".into(), ..Default::default() };
            change(&mut request);
            whole(Request::RoomComposite(request))
        };
        let asked = whole(room("grid-light", file("monday.mp4"))).unwrap();
        assert_eq!(asked.scope, RecordScope::Room);
        let film = asked.film.unwrap();
        assert_eq!((film.layout, film.size, film.name.as_str()), ("grid", (1_280, 720), "monday.mp4"));
        #[allow(deprecated)]
        let legacy = composite(|request| {
            request.output = Some(Output::File(proto::EncodedFileOutput {
                filepath: "old.mp4".into(),
                ..Default::default()
            }));
        });
        assert_eq!(legacy.unwrap().film.unwrap().name, "old.mp4");
        let sound = composite(|request| request.audio_only = true).unwrap().film.unwrap();
        assert_eq!(sound.layout, "audio");
        let preset = composite(|request| {
            request.options = Some(Options::Preset(proto::EncodingOptionsPreset::H2641080p30.into()));
        });
        assert_eq!(preset.unwrap().film.unwrap().size, (1_920, 1_080));

        type Change = fn(&mut proto::RoomCompositeEgressRequest);
        let refusals: [(Change, &str); 6] = [
            (|request| request.video_only = true, "leave out video_only"),
            (|request| request.stream_outputs = vec![proto::StreamOutput::default()], "streams nowhere"),
            (
                |request| request.segment_outputs = vec![proto::SegmentedFileOutput::default()],
                "streams nowhere",
            ),
            (|request| request.image_outputs = vec![proto::ImageOutput::default()], "no images"),
            (
                |request| request.set_audio_mixing(proto::AudioMixing::DualChannelAgent),
                "leave audio_mixing out",
            ),
            (
                |request| {
                    let s3 = Some(proto::encoded_file_output::Output::S3(proto::S3Upload::default()));
                    request.file_outputs =
                        vec![proto::EncodedFileOutput { output: s3, ..Default::default() }];
                },
                "leave out the storage",
            ),
        ];
        for (change, expected) in refusals {
            let refused = composite(change).unwrap_err();
            assert!(refused.contains(expected), "{expected}: {refused}");
        }

        let template = |layout: &str, outputs: Vec<proto::output::Config>| {
            let template = proto::TemplateSource { layout: layout.into(), ..Default::default() };
            let outputs = outputs.into_iter();
            whole(Request::Egress(proto::StartEgressRequest {
                source: Some(proto::start_egress_request::Source::Template(template)),
                outputs: outputs
                    .map(|config| proto::Output { config: Some(config), ..Default::default() })
                    .collect(),
                ..Default::default()
            }))
        };
        let named =
            proto::output::Config::File(proto::FileOutput { filepath: "t.mp4".into(), ..Default::default() });
        assert_eq!(template("grid", vec![named.clone()]).unwrap().film.unwrap().name, "t.mp4");
        assert!(template("capture", vec![named]).unwrap_err().contains("leave filepath empty"));
        let plain = proto::output::Config::File(proto::FileOutput::default());
        assert_eq!(template("capture", vec![plain]).unwrap(), Asked::capture(RecordScope::Room));
        let stream = proto::output::Config::Stream(proto::StreamOutput::default());
        assert!(template("grid", vec![stream]).unwrap_err().contains("streams nowhere"));
    }
}
