// SPDX-License-Identifier: EUPL-1.2
//! Messages survive the wire in whatever pieces it brings them; what is no message is refused and bounded.

use parvis_jobs::frame::{Decoder, FrameError, LENGTH_BYTES, encode};
use parvis_jobs::{
    Codec, Confinement, Failure, FailureKind, File, Hello, Hls, Images, Kind, Limits, Live, LiveLayout,
    LiveProgress, Origin, Participant, Profile, Protection, Quota, Rendition, Segment, SegmentKind, Source,
    SrtpKey, Start, StopReason, ToServer, ToWorker, TrackProgress, UnixMicros,
};
use proptest::prelude::*;

fn to_worker() -> impl Strategy<Value = ToWorker> {
    let at = any::<u64>().prop_map(UnixMicros);
    let text = ".{0,40}";
    prop_oneof![
        (any::<u16>(), any::<u16>(), text).prop_map(|(oldest, newest, software)| ToWorker::Hello(Hello {
            oldest,
            newest,
            software
        })),
        (text, text, prop::collection::vec(text, 0..3), any::<[u64; 3]>(), any::<u32>(), at.clone())
            .prop_map(|(room, tenant, recipients, numbers, restart, started_at)| ToWorker::Start(Box::new(
                Start {
                    job: "EG_1".to_owned(),
                    directory: room.clone(),
                    protection: if recipients.is_empty() {
                        Protection::None
                    } else {
                        Protection::Age { recipients }
                    },
                    quota: Quota {
                        bytes: numbers[0],
                        keep_free_bytes: numbers[1],
                        seconds: numbers[2],
                        tracks: restart
                    },
                    room_id: room.clone(),
                    room,
                    tenant,
                    started_at,
                    restart,
                    capture: restart % 2 == 0,
                    live: (restart % 3 != 0).then(|| live(restart)),
                }
            ))),
        (text, any::<[u32; 2]>(), prop::collection::vec(any::<u8>(), 0..60), any::<bool>(), at.clone())
            .prop_map(|(track, numbers, key, muted, at)| ToWorker::Source(Box::new(Source {
                participant: track.clone(),
                name: track.clone(),
                track,
                kind: Kind::Video,
                origin: Origin::ScreenShare,
                codec: Codec::Av1,
                clock_rate: 90_000,
                channels: 1,
                payload_type: 96,
                red_payload_type: muted.then_some(63),
                ssrc: numbers[0],
                rtx: muted.then_some((numbers[1], 97)),
                profile: Profile::Aead128Gcm,
                key: SrtpKey::new(key),
                muted,
                at,
            }))),
        (text, text, at.clone()).prop_map(|(id, name, at)| ToWorker::Joined {
            participant: Participant { id, identity: name.clone(), name },
            at
        }),
        (prop::collection::vec(text, 0..4), at.clone())
            .prop_map(|(participants, at)| ToWorker::Speakers { participants, at }),
        (text, any::<Option<u32>>(), at.clone()).prop_map(|(track, width, at)| ToWorker::LayerChanged {
            track,
            width,
            height: width,
            at
        }),
        (text, any::<u32>(), at).prop_map(|(track, rtp_timestamp, at)| ToWorker::SenderReport {
            track,
            rtp_timestamp,
            at
        }),
        any::<Option<String>>().prop_map(|subject| ToWorker::Layout { layout: LiveLayout::Single, subject }),
        Just(ToWorker::Stop { reason: StopReason::RoomEnded }),
    ]
}

fn live(number: u32) -> Live {
    let size = Rendition { name: "360p".to_owned(), width: number, height: 360, kbits: 700 };
    Live {
        layout: LiveLayout::Speaker,
        subject: None,
        subject_track: None,
        width: 1280,
        height: 720,
        rate: 30,
        kbits: number,
        title: Some("x".repeat(number as usize % 9)),
        clock: true,
        watermark: None,
        hls: Some(Hls { renditions: vec![size], segment_millis: 2000, part_millis: 500, keep_segments: 9 }),
        stream: number.is_multiple_of(2),
        images: Some(Images { every_millis: number, width: 320, height: 180 }),
        first_sequence: u64::from(number) + 1,
        first_image: 7,
    }
}

fn to_server() -> impl Strategy<Value = ToServer> {
    let text = ".{0,40}";
    prop_oneof![
        (any::<[bool; 3]>(), prop::collection::vec(text, 0..3)).prop_map(|(held, missing)| ToServer::Ready {
            confinement: Confinement {
                seccomp: held[0],
                landlock: held[1],
                no_new_privileges: held[2],
                missing
            }
        }),
        Just(ToServer::Started),
        text.prop_map(|track| ToServer::KeyFrameWanted { track }),
        (text, prop::collection::vec(any::<u16>(), 0..20))
            .prop_map(|(track, sequences)| ToServer::Nack { track, sequences }),
        (any::<[u64; 4]>(), text).prop_map(|(numbers, track)| ToServer::Progress {
            bytes: numbers[0],
            duration_micros: numbers[1],
            strays: numbers[2],
            tracks: vec![TrackProgress { track, packets: numbers[3], ..TrackProgress::default() }],
            live: (numbers[0] % 2 == 0)
                .then(|| LiveProgress { behind_micros: numbers[1], ..LiveProgress::default() }),
        }),
        (text, any::<[u64; 4]>(), any::<u32>()).prop_map(|(name, numbers, part)| ToServer::Segment(
            Segment {
                rendition: name.clone(),
                kind: SegmentKind::Part,
                name,
                bytes: numbers[0],
                sequence: numbers[1],
                part,
                duration_micros: numbers[2],
                independent: part % 2 == 0,
                discontinuity: part % 3 == 0,
                at: (part % 5 == 0).then_some(UnixMicros(numbers[3])),
                codec: (part % 7 == 0).then(|| "avc1.64001f".to_owned()),
            }
        )),
        (text, any::<u64>()).prop_map(|(name, number)| ToServer::Image {
            name,
            number,
            at: UnixMicros(number)
        }),
        (text, any::<u64>()).prop_map(|(name, bytes)| ToServer::Stopped {
            reason: StopReason::DiskFull,
            files: vec![File { name, bytes, sha256: "00".repeat(32) }],
        }),
        (text, text).prop_map(|(what, place)| ToServer::Failed(Failure {
            kind: FailureKind::KeyMissing,
            what,
            remedy: place.clone(),
            place,
        })),
    ]
}

proptest! {
    #[test]
    fn messages_come_out_as_they_went_in_however_the_stream_is_cut(
        down in prop::collection::vec(to_worker(), 1..6),
        up in prop::collection::vec(to_server(), 1..6),
        cut in 1_usize..400,
    ) {
        let limits = Limits::default();
        let mut wire = Vec::new();
        for message in &down {
            encode(message, limits, &mut wire).unwrap();
        }
        prop_assert_eq!(read::<ToWorker>(&wire, cut, limits).unwrap(), down);
        wire.clear();
        for message in &up {
            encode(message, limits, &mut wire).unwrap();
        }
        prop_assert_eq!(read::<ToServer>(&wire, cut, limits).unwrap(), up);
    }

    #[test]
    fn noise_is_refused_or_awaited_and_never_held_beyond_the_bound(
        noise in prop::collection::vec(any::<u8>(), 0..4000),
        cut in 1_usize..300,
    ) {
        let limits = Limits { frame_bytes: 512 };
        let mut decoder = Decoder::new(limits);
        for piece in noise.chunks(cut) {
            if decoder.push(piece).is_err() {
                break;
            }
            while let Ok(Some(_)) = decoder.next::<ToServer>() {}
            prop_assert!(decoder.waiting() <= 2 * (512 + LENGTH_BYTES));
        }
    }

    #[test]
    fn moments_survive_ntp(micros in 0_u64..4_000_000_000_000_000) {
        // Up to 2036, when NTP's era ends.
        let moment = UnixMicros(micros % 2_085_978_496_000_000);
        prop_assert_eq!(UnixMicros::from_ntp(moment.to_ntp()), Some(moment));
    }
}

fn read<T: serde::de::DeserializeOwned>(
    wire: &[u8],
    cut: usize,
    limits: Limits,
) -> Result<Vec<T>, FrameError> {
    let (mut decoder, mut messages) = (Decoder::new(limits), Vec::new());
    for piece in wire.chunks(cut) {
        decoder.push(piece)?;
        while let Some(message) = decoder.next()? {
            messages.push(message);
        }
    }
    assert_eq!(decoder.waiting(), 0);
    Ok(messages)
}

#[test]
fn a_frame_that_is_too_long_is_refused_by_its_head_alone() {
    let mut decoder = Decoder::new(Limits { frame_bytes: 100 });
    decoder.push(&101_u32.to_be_bytes()).unwrap();
    let error = decoder.next::<ToWorker>().unwrap_err();
    assert!(matches!(error, FrameError::Length { length: 101, limit: 100 }), "{error}");
    assert!(error.to_string().contains("101"), "{error}");
    let mut wire = vec![7];
    let (participant, text, at) = ("PA_1".into(), "x".repeat(200), UnixMicros(0));
    let long = ToWorker::Caption { participant, track: None, text, from: at, at };
    assert!(encode(&long, Limits { frame_bytes: 100 }, &mut wire).is_err());
    assert_eq!(wire, [7], "nothing of it was written");
}

#[test]
fn whoever_pushes_without_reading_is_stopped() {
    let mut decoder = Decoder::new(Limits { frame_bytes: 100 });
    decoder.push(&[0; 208]).unwrap();
    assert!(matches!(decoder.push(&[0]), Err(FrameError::Flooded { held: 209, limit: 208 })));
}

#[test]
fn a_message_of_the_other_direction_is_refused() {
    let limits = Limits::default();
    let mut wire = Vec::new();
    encode(&ToServer::Started, limits, &mut wire).unwrap();
    assert!(matches!(read::<ToWorker>(&wire, 9, limits), Err(FrameError::Message(_))));
}

#[test]
fn a_field_of_a_newer_build_is_passed_over() {
    let body = br#"{"type":"stop","reason":"requested","from_2027":true}"#;
    let mut wire = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
    wire.extend_from_slice(body);
    let expected = vec![ToWorker::Stop { reason: StopReason::Requested }];
    assert_eq!(read::<ToWorker>(&wire, 100, Limits::default()).unwrap(), expected);
}

#[test]
fn a_start_of_an_older_server_captures_and_composes_nothing() {
    let Some(ToWorker::Start(start)) = serde_json::from_str(
        r#"{"type":"start","job":"EG_1","directory":"/d","protection":{"with":"none"},
            "quota":{"bytes":0,"keep_free_bytes":0,"seconds":0,"tracks":0},"room":"r","room_id":"RM_1","tenant":"",
            "started_at":1,"restart":0}"#,
    )
    .ok() else {
        panic!("not read")
    };
    assert!(start.capture && start.live.is_none());
}

#[test]
fn versions_agree_on_the_highest_that_both_know() {
    let hello = |oldest, newest| Hello { oldest, newest, software: String::new() };
    assert_eq!(hello(1, 1).agree(), Ok(1));
    assert_eq!(hello(1, 9).agree(), Ok(1));
    let error = hello(2, 9).agree().unwrap_err();
    assert!(error.to_string().contains("2 to 9") && error.to_string().contains("same release"), "{error}");
    assert!(hello(0, 0).agree().is_err());
    assert!(hello(9, 0).agree().is_err(), "a range that is none");
}

#[test]
fn keys_are_neither_printed_nor_told_in_errors() {
    let key = SrtpKey::new(vec![0xab; 28]);
    assert_eq!(format!("{key:?}"), "SrtpKey(28 bytes)");
    assert!(key.split(Profile::Aead128Gcm).is_some_and(|(key, salt)| key.len() == 16 && salt.len() == 12));
    assert!(key.split(Profile::Aead256Gcm).is_none());
    let error = serde_json::from_str::<SrtpKey>("\"c2VjcmV0!\"").unwrap_err();
    assert!(!error.to_string().contains("c2Vjc"), "{error}");
}
