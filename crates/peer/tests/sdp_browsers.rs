// SPDX-License-Identifier: EUPL-1.2
//! Offers that clients wrote (`tests/sdp/`: Chromium 156, Firefox ESR 153 and the Rust SDK under PyPI `livekit` 1.2.1,
//! addresses replaced), and what we agree to.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "helpers of tests")]

mod sdp_common;

use parvis_peer::sdp::{
    CodecKind::{Av1, H264, Opus, Red, Vp8, Vp9},
    Direction, DtlsRole, EncoderPreference, MediaKind, MediaSection, RemoteStream, Session,
};
use parvis_rtp::Extension;
use sdp_common::{answer, attributes, local, sender, session};

const CHROMIUM: &str = include_str!("sdp/chromium-publisher-simulcast.sdp");
const FIREFOX: &str = include_str!("sdp/firefox-publisher-simulcast.sdp");
/// As OBS offers over WHIP, without layers and with them: written after what `Description::generateSdp` of libdatachannel writes
/// and what OBS's `whip-output.cpp` asks of it (credentials in each section, candidates in the first, one fingerprint at the top).
const OBS: &str = include_str!("sdp/obs-whip.sdp");
const OBS_SIMULCAST: &str = include_str!("sdp/obs-whip-simulcast.sdp");

fn payload_types(section: &MediaSection) -> Vec<(u8, parvis_peer::sdp::CodecKind, Option<u8>)> {
    section.codecs.iter().map(|codec| (codec.payload_type, codec.kind, codec.rtx)).collect()
}

fn extensions(section: &MediaSection) -> Vec<(u8, Extension)> {
    section.extensions.iter().collect()
}

fn rids(section: &MediaSection) -> Vec<&str> {
    section.rids.iter().map(|rid| rid.as_str()).collect()
}

#[test]
fn chromiums_simulcast_is_agreed_with_its_own_numbers_and_order() {
    let mut session = session();
    let transport = session.accept_offer(CHROMIUM).unwrap();
    assert!(transport.data_channels);
    assert_eq!(transport.max_message_size, 262_144);
    assert_eq!(transport.dtls_role, DtlsRole::Server);
    assert_eq!((transport.ufrag.as_str(), transport.password.as_str()), ("cC4Y", "r4LKn1G87oiu2PQLxKVeiDgh"));
    assert_eq!(transport.fingerprint[..3], [0x79, 0x2c, 0x26]);
    assert!(!transport.ice_restarted);
    assert!(session.sections().is_empty(), "nothing is agreed before the answer");

    let sdp = session.write_answer(&local(0)).unwrap();
    let [audio, video] = session.sections() else { panic!("two sections") };
    assert_eq!(
        (audio.kind, audio.direction, audio.mid.as_str()),
        (MediaKind::Audio, Direction::RecvOnly, "0")
    );
    assert_eq!(payload_types(audio), [(111, Opus, None), (63, Red, None)]);
    assert_eq!(audio.codecs[0].fmtp, "minptime=10;useinbandfec=1");
    assert_eq!(audio.remote_streams, [RemoteStream { ssrc: 478_079_550, rtx: None, fec: None }]);
    assert_eq!(audio.remote_msid.as_ref().unwrap().track, "1ea187ee-0530-468a-99ca-96a75db45f4d");
    assert_eq!(
        extensions(audio),
        [
            (1, Extension::AudioLevel),
            (4, Extension::Mid),
            (3, Extension::TransportSequence),
            (2, Extension::AbsSendTime)
        ]
    );

    assert_eq!(
        (video.kind, video.direction, video.mid.as_str()),
        (MediaKind::Video, Direction::RecvOnly, "1")
    );
    let expected = [
        (96, Vp8, Some(97)),
        (102, H264, Some(103)),
        (104, H264, Some(107)),
        (108, H264, Some(109)),
        (114, H264, Some(115)),
        (116, H264, Some(117)),
        (39, H264, Some(40)),
        (45, Av1, Some(46)),
        (98, Vp9, Some(99)),
    ];
    assert_eq!(payload_types(video), expected);
    for codec in &video.codecs {
        let feedback = codec.feedback;
        assert!(feedback.nack && feedback.pli && feedback.fir && feedback.transport_cc && !feedback.remb);
    }
    assert_eq!(rids(video), ["q", "h", "f"]);
    assert_eq!(video.remote_streams, []);
    assert_eq!(video.extensions.id(Extension::Rid), Some(10));
    assert_eq!(video.extensions.id(Extension::RepairedRid), Some(11));
    assert_eq!(video.extensions.id(Extension::DependencyDescriptor), Some(12));
    assert_eq!(video.extensions.id(Extension::VideoOrientation), Some(13));
    assert_eq!(video.extensions.id(Extension::PlayoutDelay), None, "we send nothing here");

    assert_eq!(attributes(&sdp, None, "group"), ["BUNDLE 0 1 2"]);
    assert_eq!(attributes(&sdp, None, "ice-lite"), [""]);
    assert_eq!(attributes(&sdp, None, "ice-options"), ["trickle"]);
    assert_eq!(attributes(&sdp, None, "extmap-allow-mixed"), [""]);
    assert_eq!(attributes(&sdp, Some(1), "rid"), ["q recv", "h recv", "f recv"]);
    assert_eq!(attributes(&sdp, Some(1), "simulcast"), ["recv q;h;f"]);
    assert_eq!(attributes(&sdp, Some(1), "setup"), ["passive"]);
    assert_eq!(attributes(&sdp, Some(1), "candidate").len(), 0);
    assert_eq!(
        attributes(&sdp, Some(0), "candidate"),
        [
            "1 1 udp 2130706431 192.0.2.9 7882 typ host",
            "2 1 udp 2130706175 2001:db8::9 7882 typ host",
            "3 1 tcp 1526726143 192.0.2.9 7881 typ host tcptype passive"
        ]
    );
    assert_eq!(attributes(&sdp, Some(0), "end-of-candidates"), [""]);
    assert!(sdp.contains("m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n"));
    assert_eq!(attributes(&sdp, Some(2), "sctp-port"), ["5000"]);
    assert_eq!(attributes(&sdp, Some(2), "max-message-size"), ["65536"]);
    assert!(!sdp.contains("goog-remb"));
    assert!(!sdp.contains("telephone-event"));
}

#[test]
fn what_obs_offers_is_agreed() {
    for (offer, layers) in [(OBS, &[][..]), (OBS_SIMULCAST, &["0", "1", "2"])] {
        let mut session = session();
        let transport = session.accept_offer(offer).unwrap();
        assert!(!transport.data_channels);
        assert_eq!(
            (transport.ufrag.as_str(), transport.password.as_str()),
            ("oBsU", "q3Rk0sVw8yZ2bN5cM7fH1j")
        );
        assert_eq!(transport.fingerprint[..3], [0x0b, 0x30, 0x55]);
        assert_eq!(transport.dtls_role, DtlsRole::Server);
        let sdp = session.write_answer(&local(0)).unwrap();
        let [audio, video] = session.sections() else { panic!("two sections") };
        assert_eq!((audio.kind, audio.direction), (MediaKind::Audio, Direction::RecvOnly));
        assert_eq!(payload_types(audio), [(111, Opus, None)]);
        assert_eq!(audio.remote_streams, [RemoteStream { ssrc: 1_893_760_255, rtx: None, fec: None }]);
        assert_eq!(audio.remote_msid.as_ref().unwrap().track, "Wk2uJ9cB4eGs6DnF-audio");
        assert_eq!((video.kind, video.direction), (MediaKind::Video, Direction::RecvOnly));
        assert_eq!(payload_types(video), [(96, H264, None)]);
        let feedback = video.codecs[0].feedback;
        assert!(feedback.nack && feedback.pli && !feedback.transport_cc, "what it knows of, and no more");
        assert_eq!(rids(video), layers);
        // With layers it names no SSRCs: they are learnt by the extensions.
        let told = [RemoteStream { ssrc: 1_893_760_256, rtx: None, fec: None }];
        assert_eq!(video.remote_streams, if layers.is_empty() { &told[..] } else { &[] });
        assert_eq!(video.extensions.id(Extension::Rid), (!layers.is_empty()).then_some(2));
        assert_eq!(attributes(&sdp, None, "group"), ["BUNDLE 0 1"]);
        assert_eq!(attributes(&sdp, Some(1), "simulcast").len(), usize::from(!layers.is_empty()));
        for section in 0..2 {
            assert_eq!(attributes(&sdp, Some(section), "setup"), ["passive"]);
            assert_eq!(attributes(&sdp, Some(section), "recvonly"), [""]);
        }
        assert!(attributes(&sdp, Some(1), "rtpmap").contains(&"96 H264/90000"), "{sdp}");
        assert!(!attributes(&sdp, Some(0), "candidate").is_empty());
    }
}

#[test]
fn firefoxs_simulcast_is_agreed_and_its_extension_directions_are_turned() {
    let mut session = session();
    let transport = session.accept_offer(FIREFOX).unwrap();
    assert_eq!(transport.fingerprint[..2], [0x19, 0xd7], "it stands at the top of Firefox's offers");
    assert_eq!(transport.max_message_size, 1_073_741_823);
    let sdp = session.write_answer(&local(0)).unwrap();
    let [audio, video] = session.sections() else { panic!("two sections") };
    assert_eq!(payload_types(audio), [(109, Opus, None)]);
    assert_eq!(audio.codecs[0].fmtp, "maxplaybackrate=48000;stereo=1;useinbandfec=1");
    assert_eq!(audio.remote_msid.as_ref().unwrap().track, "{141ddec0-a496-4fd6-a32f-51fa1026d32c}");
    assert_eq!(payload_types(video), [(120, Vp8, Some(124)), (121, Vp9, Some(125)), (99, Av1, Some(100))]);
    assert_eq!(video.codecs[0].fmtp, "", "max-fs and max-fr would bound what Firefox sends us");
    assert_eq!(rids(video), ["q", "h", "f"]);
    assert_eq!(video.remote_streams, [], "layers are told apart by RID");
    assert_eq!(
        attributes(&sdp, Some(1), "extmap"),
        [
            "3 urn:ietf:params:rtp-hdrext:sdes:mid",
            "4 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
            "7 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
            "8/recvonly https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension",
            "9/recvonly urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
            "10/recvonly urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
        ]
    );
    assert_eq!(attributes(&sdp, Some(1), "extmap-allow-mixed"), [""], "where Firefox has it");
}

#[test]
fn a_preference_for_one_codec_is_kept_and_lines_about_the_others_are_ignored() {
    for (offer, expected, streams) in [
        (include_str!("sdp/chromium-publisher-vp9-svc.sdp"), vec![(98, Vp9, Some(99))], 1),
        (include_str!("sdp/chromium-publisher-av1-svc.sdp"), vec![(45, Av1, Some(46))], 1),
        (include_str!("sdp/chromium-publisher-vp8.sdp"), vec![(96, Vp8, Some(97))], 1),
        (include_str!("sdp/firefox-publisher-vp8.sdp"), vec![(120, Vp8, Some(124))], 1),
        // Firefox leaves `a=rtcp-fb` of 120, 99, 122 and 123 behind.
        (include_str!("sdp/firefox-publisher-vp9-svc.sdp"), vec![(121, Vp9, Some(125))], 1),
        (include_str!("sdp/firefox-publisher-av1-svc.sdp"), vec![(99, Av1, Some(100))], 1),
    ] {
        let mut session = session();
        answer(&mut session, offer);
        let [video] = session.sections() else { panic!("one section") };
        assert_eq!(payload_types(video), expected);
        assert_eq!(rids(video), [""; 0]);
        assert_eq!(video.remote_streams.len(), streams);
        assert!(video.remote_streams[0].rtx.is_some());
    }
}

#[test]
fn h264_is_agreed_by_profile_and_packetization_mode() {
    let mut session = session();
    answer(&mut session, include_str!("sdp/chromium-publisher-h264.sdp"));
    let fmtp: Vec<_> = session.sections()[0].codecs.iter().map(|codec| &codec.fmtp[26..]).collect();
    let expected = ["42001f", "42e01f", "4d001f"]
        .map(|profile| [1, 0].map(|mode| format!("packetization-mode={mode};profile-level-id={profile}")));
    assert_eq!(fmtp, expected.concat());
}

#[test]
fn waiting_senders_find_places_in_receive_only_sections() {
    for offer in [
        include_str!("sdp/chromium-single-recvonly.sdp"),
        include_str!("sdp/firefox-single-recvonly.sdp"),
        include_str!("sdp/rust-sdk-single-recvonly.sdp"),
    ] {
        let mut session = session();
        for id in 0..4 {
            session.add_sender(sender(id, &[Opus]));
            session.add_sender(sender(10 + id, &[if id == 1 { Av1 } else { Vp8 }]));
        }
        assert_eq!(session.unplaced_senders(), (4, 4));
        let sdp = answer(&mut session, offer);
        assert_eq!(session.unplaced_senders(), (1, 1));
        assert_eq!(session.sections_wanted(), (1, 1));
        assert!(session.needs_negotiation());
        let placed: Vec<_> = session.sections().iter().map(|section| section.sender.unwrap().0).collect();
        assert_eq!(placed, [0, 1, 2, 10, 11, 12]);
        for section in session.sections() {
            assert_eq!(section.direction, Direction::SendOnly);
            let wanted = if section.kind == MediaKind::Audio { Opus } else { Vp8 };
            let wanted = if section.sender.unwrap().0 == 11 { Av1 } else { wanted };
            assert!(section.codecs.iter().all(|codec| codec.kind == wanted), "{section:?}");
            assert!(section.extensions.id(Extension::Rid).is_none_or(|_| section.kind == MediaKind::Video));
        }
        assert_eq!(
            session.sections()[3].extensions.id(Extension::PlayoutDelay).is_some(),
            offer.contains("playout")
        );
        assert_eq!(attributes(&sdp, Some(4), "msid"), ["stream-11 track-11"]);
        assert_eq!(attributes(&sdp, Some(4), "ssrc-group"), ["FID 1011 2011"]);
        assert_eq!(
            attributes(&sdp, Some(4), "ssrc"),
            [
                "1011 cname:stream-11",
                "1011 msid:stream-11 track-11",
                "2011 cname:stream-11",
                "2011 msid:stream-11 track-11"
            ]
        );
    }
}

#[test]
fn a_section_both_ways_keeps_the_codecs_of_both() {
    let mut session = session();
    session.add_sender(sender(1, &[Vp9]));
    session.add_sender(sender(2, &[Red, Opus]));
    let sdp = answer(&mut session, include_str!("sdp/chromium-sendrecv.sdp"));
    let [audio, video] = session.sections() else { panic!("two sections") };
    assert_eq!((audio.direction, video.direction), (Direction::SendRecv, Direction::SendRecv));
    assert_eq!(payload_types(audio), [(111, Opus, None), (63, Red, None)]);
    assert!(video.codecs.len() > 3, "the peer may send others than our sender's VP9");
    assert_eq!(attributes(&sdp, Some(1), "msid"), ["stream-1 track-1"]);
}

#[test]
fn an_answer_asks_for_stereo_and_dtx_where_the_track_wants_them() {
    let mut session = session();
    session.prefer(
        "1ea187ee-0530-468a-99ca-96a75db45f4d",
        EncoderPreference { stereo: true, dtx: true, ..EncoderPreference::default() },
    );
    let sdp = answer(&mut session, CHROMIUM);
    assert_eq!(
        attributes(&sdp, Some(0), "fmtp"),
        ["111 minptime=10;useinbandfec=1;stereo=1;usedtx=1", "63 111/111"]
    );
}

#[test]
fn an_ice_restart_is_seen_in_the_next_offer_only() {
    let mut session = session();
    answer(&mut session, CHROMIUM);
    assert!(!session.accept_offer(CHROMIUM).unwrap().ice_restarted);
    session.write_answer(&local(0)).unwrap();
    let again = CHROMIUM.replace("cC4Y", "n3wU");
    assert!(session.accept_offer(&again).unwrap().ice_restarted);
    let sdp = session.write_answer(&local(1)).unwrap();
    assert_eq!(attributes(&sdp, Some(0), "ice-ufrag"), ["ufrag-1"]);
    assert!(!session.accept_offer(&again).unwrap().ice_restarted);
}

#[test]
fn all_browsers_offers_agree_twice_alike() {
    for offer in sdp_common::FIXTURES {
        let mut session = session();
        let first = answer(&mut session, offer);
        let agreed = session.sections().to_vec();
        let second = answer(&mut session, offer);
        assert_eq!(session.sections(), agreed);
        assert_eq!(first.replace("- 7 1 IN", "- 7 2 IN"), second);
        let mut other: Session = sdp_common::session();
        assert_eq!(answer(&mut other, offer), first, "same input, same bytes");
    }
}
