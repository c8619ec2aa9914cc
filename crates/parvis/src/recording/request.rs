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

/// Why something is not streamed.
pub(super) const NO_STREAMS: &str =
    "what is kept as it is sent streams nowhere: ask for a room composite with a layout such as \"grid\"";

const NO_SEGMENTS: &str = "what is kept as it is sent has no segments and no images: ask for a room composite with a layout such as \"grid\"";
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
    check_film(request.video_only)?;
    if request.audio_mixing() != proto::AudioMixing::DefaultMixing {
        return Err(unable("all sound of a film is mixed into both channels: leave audio_mixing out"));
    }
    if file.is_some_and(|file| file.output.is_some()) {
        return Err(unable(NO_UPLOAD));
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
        if output.storage.is_some() {
            return Err(unable(NO_UPLOAD));
        }
        match &output.config {
            Some(Config::File(config)) => file = Some((config.file_type(), config.filepath.as_str())),
            Some(Config::Stream(stream)) => outputs.stream(stream),
            Some(Config::Segments(segments)) => outputs.segments(segments)?,
            Some(Config::Images(images)) => outputs.images(images)?,
            None => {}
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
            (|request| request.image_outputs = vec![proto::ImageOutput::default()], "streams nowhere"),
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

    /// As [`whole`], where streams are made and kept.
    fn streamed(request: Request, keep: bool) -> Result<Asked, String> {
        let mut config = crate::config::Config::default();
        (config.recording.enabled, config.streaming.enabled, config.streaming.keep) = (true, true, keep);
        let live = config.streaming(std::path::Path::new("/")).unwrap();
        let egress = EgressInfo { request: Some(request), ..EgressInfo::default() };
        asked(&egress, BOUNDS, live.as_ref()).map_err(|error| error.to_string())
    }

    #[test]
    fn segments_and_images_are_kept_where_that_is_allowed_and_with_names() {
        let named = proto::SegmentedFileOutput { playlist_name: "monday".into(), ..Default::default() };
        let request = |segments: &[proto::SegmentedFileOutput], images: &[proto::ImageOutput]| {
            Request::RoomComposite(proto::RoomCompositeEgressRequest {
                segment_outputs: segments.to_vec(),
                image_outputs: images.to_vec(),
                ..Default::default()
            })
        };
        let kept = streamed(request(std::slice::from_ref(&named), &[]), true).unwrap();
        let live = kept.live.unwrap();
        assert!(live.lasts.segments.is_some() && !live.watched && !kept.keeps, "segments alone");
        assert_eq!(live.size, (1_920, 1_080), "as large as for viewers");
        let handed = streamed(request(&[proto::SegmentedFileOutput::default()], &[]), false).unwrap();
        let live = handed.live.unwrap();
        assert!(live.lasts.is_empty() && live.watched, "what has no name is handed out, and not kept");
        let image = proto::ImageOutput::default();
        let live = streamed(request(&[], std::slice::from_ref(&image)), true).unwrap().live.unwrap();
        assert!(live.lasts.pictures.is_some() && !live.watched && !live.pushed);
        let refusals = [
            (request(&[named], &[]), false, "streaming.keep"),
            (request(&[], std::slice::from_ref(&image)), false, "streaming.keep"),
            (request(&[], &[image.clone(), image.clone()]), true, "one row of images"),
        ];
        for (request, keep, expected) in refusals {
            let refused = streamed(request, keep).unwrap_err();
            assert!(refused.contains(expected), "{expected}: {refused}");
        }
        let sound = Request::RoomComposite(proto::RoomCompositeEgressRequest {
            audio_only: true,
            image_outputs: vec![image],
            ..Default::default()
        });
        assert!(streamed(sound, true).unwrap_err().contains("no images"));
    }

    #[test]
    fn a_participant_and_tracks_are_streamed_alone() {
        let stream =
            proto::StreamOutput { urls: vec!["rtmp://a.example/live/key".into()], ..Default::default() };
        let participant = proto::ParticipantEgressRequest {
            identity: "ada".into(),
            stream_outputs: vec![stream.clone()],
            ..Default::default()
        };
        let asked = streamed(Request::Participant(participant.clone()), false).unwrap();
        assert_eq!(asked.scope, RecordScope::Participant("ada".into()));
        assert!(asked.film.is_none() && !asked.keeps, "what is streamed is not kept");
        let live = asked.live.unwrap();
        assert_eq!(live.layout, parvis_jobs::LiveLayout::Single);
        assert_eq!((live.subject, live.pushed), (Subject::Participant("ada".into()), true));
        let both = proto::ParticipantEgressRequest {
            file_outputs: vec![proto::EncodedFileOutput::default()],
            ..participant.clone()
        };
        assert!(
            streamed(Request::Participant(both), false).unwrap().keeps,
            "unless a file is asked for, too"
        );
        let share = proto::ParticipantEgressRequest { screen_share: true, ..participant.clone() };
        assert!(streamed(Request::Participant(share), false).unwrap_err().contains("leave screen_share out"));
        assert!(whole(Request::Participant(participant)).unwrap_err().contains("streaming.enabled"));

        let tracks = |sound: &str, pictures: &str| {
            let request = proto::TrackCompositeEgressRequest {
                audio_track_id: sound.into(),
                video_track_id: pictures.into(),
                stream_outputs: vec![stream.clone()],
                ..Default::default()
            };
            let asked = streamed(Request::TrackComposite(request), false).unwrap();
            let live = asked.live.unwrap();
            (asked.scope, live.layout, live.subject)
        };
        let scope = RecordScope::Tracks(BTreeSet::from(["TR_1".into(), "TR_2".into()]));
        let single = (parvis_jobs::LiveLayout::Single, Subject::Track("TR_2".into()));
        assert_eq!(tracks("TR_1", "TR_2"), (scope, single.0, single.1));
        let scope = RecordScope::Tracks(BTreeSet::from(["TR_1".into()]));
        assert_eq!(tracks("TR_1", ""), (scope, parvis_jobs::LiveLayout::Audio, Subject::Anybody));
    }
}
