// SPDX-License-Identifier: EUPL-1.2
//! What of the ways in which an egress is asked for this server can do: capture of a room, a participant or tracks into files.
//! For all else it is said what to ask for instead.

use std::collections::BTreeSet;

use livekit_protocol as proto;
use livekit_protocol::EgressInfo;
use livekit_protocol::egress_info::Request;
use parvis_api::{CAPTURE_LAYOUT, EngineError};
use parvis_signal::RecordScope;

/// Why nothing is streamed.
pub(super) const NO_STREAMS: &str =
    "this server streams nowhere yet: ask for a file, which keeps what is sent as it is sent";

const NO_SEGMENTS: &str =
    "this server makes no segments and no images yet: ask for a file, which keeps what is sent as it is sent";
const NO_ENCODING: &str = "what is sent is kept as it is sent, and not encoded anew: leave out preset and advanced, and the file type";
const NO_UPLOAD: &str = "recordings stay on this server's disk: leave out the storage, and fetch the files when the recording has ended";
const OWN_NAMES: &str = "a recording has several files, which name themselves: leave filepath empty, and take their names from \
                         file_results";

/// Why a layout is not to be had.
pub(super) fn no_layout(layout: &str) -> String {
    format!(
        "the layout {layout:?} is not composed here yet: ask for the layout {CAPTURE_LAYOUT:?}, which keeps every track as it is sent, to be \
         composed later"
    )
}

/// What is to be recorded, if it is something that can be.
pub(super) fn scope_of(egress: &EgressInfo) -> Result<RecordScope, EngineError> {
    use proto::start_egress_request::Source;
    let nothing = || EngineError::Failed("nothing is known of what was asked for".to_owned());
    match egress.request.as_ref().ok_or_else(nothing)? {
        Request::RoomComposite(request) => {
            check_layout(&request.layout)?;
            if request.audio_only || request.video_only {
                return Err(unable(
                    "a room is kept whole: leave out audio_only and video_only, or ask for tracks one by one",
                ));
            }
            check_outputs(
                &request.file_outputs,
                !request.stream_outputs.is_empty(),
                !request.segment_outputs.is_empty() || !request.image_outputs.is_empty(),
                request.options.is_some(),
            )?;
            check_single_room(request)?;
            Ok(RecordScope::Room)
        }
        Request::Participant(request) => {
            check_outputs(
                &request.file_outputs,
                !request.stream_outputs.is_empty(),
                !request.segment_outputs.is_empty() || !request.image_outputs.is_empty(),
                request.options.is_some(),
            )?;
            Ok(RecordScope::Participant(request.identity.clone()))
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
            Ok(RecordScope::Tracks(named.collect()))
        }
        Request::Track(request) => {
            use proto::track_egress_request::Output;
            match &request.output {
                Some(Output::File(file)) if file.output.is_some() => return Err(unable(NO_UPLOAD)),
                Some(Output::File(file)) if !file.filepath.is_empty() => return Err(unable(OWN_NAMES)),
                Some(Output::File(_)) => {}
                Some(Output::WebsocketUrl(_)) | None => return Err(unable(NO_STREAMS)),
            }
            Ok(RecordScope::Tracks(BTreeSet::from([request.track_id.clone()])))
        }
        Request::Egress(request) => match &request.source {
            Some(Source::Template(template)) => {
                check_layout(&template.layout)?;
                for output in &request.outputs {
                    match &output.config {
                        Some(proto::output::Config::File(file)) => {
                            check_name(file.file_type(), &file.filepath)?
                        }
                        Some(proto::output::Config::Stream(_)) => return Err(unable(NO_STREAMS)),
                        Some(_) | None => return Err(unable(NO_SEGMENTS)),
                    }
                }
                if request.storage.is_some() {
                    return Err(unable(NO_UPLOAD));
                }
                if request.encoding.is_some() {
                    return Err(unable(NO_ENCODING));
                }
                Ok(RecordScope::Room)
            }
            _ => Err(unable(
                "media of several routes is not mixed here yet: ask for a room, a participant or a track",
            )),
        },
        Request::Web(_) | Request::Replay(_) => Err(unable(
            "web pages and replays are not recorded here: ask for a room, a participant or a track",
        )),
    }
}

fn check_layout(layout: &str) -> Result<(), EngineError> {
    if layout == CAPTURE_LAYOUT { Ok(()) } else { Err(EngineError::Unable(no_layout(layout))) }
}

fn check_outputs(
    files: &[proto::EncodedFileOutput],
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
    files.iter().try_for_each(check_file)
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
fn check_single_room(request: &proto::RoomCompositeEgressRequest) -> Result<(), EngineError> {
    use proto::room_composite_egress_request::Output;
    match &request.output {
        None => Ok(()),
        Some(Output::File(file)) => check_file(file),
        Some(Output::Stream(_)) => Err(unable(NO_STREAMS)),
        Some(Output::Segments(_)) => Err(unable(NO_SEGMENTS)),
    }
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

    fn of(request: Request) -> Result<RecordScope, String> {
        let egress = EgressInfo { request: Some(request), ..EgressInfo::default() };
        scope_of(&egress).map_err(|error| error.to_string())
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
        let grid = of(room("grid", file())).unwrap_err();
        assert!(grid.contains("\"grid\"") && grid.contains("\"capture\""), "{grid}");
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
}
