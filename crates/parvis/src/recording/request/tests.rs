// SPDX-License-Identifier: EUPL-1.2
//! What can be asked for, and what is said of the rest.

use super::*;

const BOUNDS: Bounds = Bounds { side: 1_920, rate: 60, kbits: 8_000 };

fn whole(request: Request) -> Result<Asked, String> {
    let egress = EgressInfo { request: Some(request), ..EgressInfo::default() };
    let stored = storage(&egress, &Requested::default());
    stored.and_then(|_| asked(&egress, BOUNDS, None)).map_err(|error| error.to_string())
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
        request.output =
            Some(Output::File(proto::EncodedFileOutput { filepath: "old.mp4".into(), ..Default::default() }));
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
        (|request| request.segment_outputs = vec![proto::SegmentedFileOutput::default()], "streams nowhere"),
        (|request| request.image_outputs = vec![proto::ImageOutput::default()], "streams nowhere"),
        (|request| request.set_audio_mixing(proto::AudioMixing::DualChannelAgent), "leave audio_mixing out"),
        (
            |request| {
                let s3 = Some(proto::encoded_file_output::Output::S3(proto::S3Upload::default()));
                request.file_outputs = vec![proto::EncodedFileOutput { output: s3, ..Default::default() }];
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
    let stream = proto::StreamOutput { urls: vec!["rtmp://a.example/live/key".into()], ..Default::default() };
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
    assert!(streamed(Request::Participant(both), false).unwrap().keeps, "unless a file is asked for, too");
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
