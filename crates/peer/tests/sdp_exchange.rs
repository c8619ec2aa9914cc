// SPDX-License-Identifier: EUPL-1.2
//! Offers and answers between two sessions, and with a client of a few lines: sections come, go, and come again.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "helpers of tests")]

mod sdp_common;

use parvis_peer::sdp::{
    CodecKind::{Av1, H264, Opus, Red, Vp8},
    Direction, DtlsRole, MediaKind, SdpError, SenderId, Session, SignalingState,
};
use parvis_rtp::Extension;
use sdp_common::{answer, attributes, local, m_lines, sender, session};

/// One whole exchange. Returns offer and answer.
fn exchange(offerer: &mut Session, answerer: &mut Session) -> (String, String) {
    let offer = offerer.write_offer(&local(0)).unwrap();
    let answer = answer(answerer, &offer);
    offerer.accept_answer(&answer).unwrap();
    assert_eq!((offerer.state(), answerer.state()), (SignalingState::Stable, SignalingState::Stable));
    (offer, answer)
}

/// A client's offer of receiving sections, `a` for sound and `v` for pictures, upper case for stopped ones.
fn client_offer(sections: &[(&str, char)]) -> String {
    let mids: Vec<_> = sections.iter().filter(|(_, kind)| kind.is_lowercase()).map(|(mid, _)| *mid).collect();
    let mut sdp = format!(
        "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {}\r\na=ice-ufrag:abcd\r\n\
         a=ice-pwd:abcdefghijklmnopqrstuv\r\na=fingerprint:sha-256 {}\r\na=setup:actpass\r\n",
        mids.join(" "),
        ["0F"; 32].join(":"),
    );
    for (mid, kind) in sections {
        let port = if kind.is_lowercase() { 9 } else { 0 };
        sdp += &match kind.to_ascii_lowercase() {
            'a' => format!("m=audio {port} UDP/TLS/RTP/SAVPF 111\r\na=rtpmap:111 opus/48000/2\r\n"),
            'v' => format!("m=video {port} UDP/TLS/RTP/SAVPF 96\r\na=rtpmap:96 VP8/90000\r\n"),
            _ => format!("m=text {port} RTP/SAVPF 98\r\na=rtpmap:98 t140/1000\r\n"),
        };
        sdp +=
            &format!("c=IN IP4 0.0.0.0\r\na=mid:{mid}\r\na=recvonly\r\na=rtcp-mux\r\na=what-is-this:1\r\n");
    }
    sdp
}

#[test]
fn an_offer_has_a_section_for_each_sender_in_exactly_its_codecs() {
    let (mut we, mut they) = (session(), session());
    we.offer_data_channels();
    we.add_sender(sender(1, &[Red, Opus]));
    we.add_sender(sender(2, &[H264]));
    we.add_sender(sender(3, &[Opus]));
    assert!(we.needs_negotiation());
    let (offer, answer) = exchange(&mut we, &mut they);
    assert!(!we.needs_negotiation());
    assert_eq!(
        m_lines(&offer),
        [
            "application 9 UDP/DTLS/SCTP webrtc-datachannel",
            "audio 9 UDP/TLS/RTP/SAVPF 111 63",
            "video 9 UDP/TLS/RTP/SAVPF 108 109 114 115 102 103 104 107 116 117 39 40",
            "audio 9 UDP/TLS/RTP/SAVPF 111",
        ]
    );
    assert_eq!(attributes(&offer, None, "group"), ["BUNDLE 0 1 2 3"]);
    assert_eq!(attributes(&offer, Some(1), "setup"), ["actpass"]);
    assert_eq!(attributes(&answer, Some(1), "setup"), ["passive"]);
    assert_eq!(attributes(&offer, Some(2), "msid"), ["stream-2 track-2"]);
    assert_eq!(attributes(&offer, Some(2), "ssrc-group"), ["FID 1002 2002"]);
    assert_eq!(attributes(&offer, Some(3), "ssrc-group"), [""; 0]);
    let section = &we.sections()[1];
    assert_eq!((section.sender, section.direction), (Some(SenderId(2)), Direction::SendOnly));
    let playout = format!("5 {}", Extension::PlayoutDelay.uri());
    assert!(attributes(&offer, Some(2), "extmap").contains(&playout.as_str()));
    assert_eq!(
        section.extensions.id(Extension::PlayoutDelay),
        None,
        "the other end, being one of us, has no use for it"
    );
    assert_eq!(section.extensions.id(Extension::Rid), None, "we send one layer at a time");
    let theirs = &they.sections()[1];
    assert_eq!(theirs.direction, Direction::RecvOnly);
    assert_eq!(theirs.remote_msid.as_ref().unwrap().track, "track-2");
    assert_eq!(theirs.remote_streams[0].rtx, Some(2002));
}

#[test]
fn a_hundred_sections_and_more_are_agreed() {
    let (mut we, mut they) = (session(), session());
    we.offer_data_channels();
    for id in 0..160 {
        we.add_sender(sender(id, if id % 2 == 0 { &[Opus] } else { &[Vp8] }));
    }
    exchange(&mut we, &mut they);
    assert_eq!(we.sections().len(), 160);
    assert_eq!(they.sections().len(), 160);
    let senders: Vec<_> = we.sections().iter().map(|section| section.sender.unwrap().0).collect();
    assert_eq!(senders, (0..160).collect::<Vec<_>>());
    assert_eq!(we.unplaced_senders(), (0, 0));
}

#[test]
fn beyond_the_limit_of_sections_senders_wait_without_asking_again() {
    let (mut we, mut they) = (session(), session());
    for id in 0..260 {
        we.add_sender(sender(id, &[Opus]));
    }
    exchange(&mut we, &mut they);
    assert_eq!(we.sections().len(), 256);
    assert_eq!(we.unplaced_senders(), (4, 0));
    assert!(!we.needs_negotiation(), "there is no room to negotiate about");
    we.remove_sender(SenderId(7));
    exchange(&mut we, &mut they);
    assert!(we.needs_negotiation());
    exchange(&mut we, &mut they);
    assert_eq!(we.unplaced_senders(), (3, 0));
}

#[test]
fn in_our_offers_a_section_stops_with_its_sender_and_its_place_serves_another() {
    let (mut we, mut they) = (session(), session());
    we.add_sender(sender(1, &[Vp8]));
    we.add_sender(sender(2, &[Opus]));
    exchange(&mut we, &mut they);
    we.remove_sender(SenderId(1));
    assert_eq!(we.sections()[0].sender, None);
    assert!(we.needs_negotiation());
    we.add_sender(sender(3, &[Opus]));
    let (offer, answer) = exchange(&mut we, &mut they);
    for sdp in [&offer, &answer] {
        assert_eq!(m_lines(sdp)[0], "video 0 UDP/TLS/RTP/SAVPF 0");
        assert_eq!(attributes(sdp, None, "group"), ["BUNDLE 1 2"]);
        assert_eq!(attributes(sdp, Some(1), "candidate").len(), 3, "the first that lives has the candidates");
    }
    assert_eq!(we.sections().iter().map(|section| section.index).collect::<Vec<_>>(), [1, 2]);
    assert!(!we.needs_negotiation());

    we.add_sender(sender(4, &[Opus]));
    let (offer, _) = exchange(&mut we, &mut they);
    assert_eq!(m_lines(&offer).len(), 3, "no m-line more");
    assert_eq!(attributes(&offer, Some(0), "mid"), ["3"], "another section has another name");
    assert_eq!((we.sections()[0].kind, we.sections()[0].sender), (MediaKind::Audio, Some(SenderId(4))));
    assert_eq!(they.sections()[0].remote_msid.as_ref().unwrap().track, "track-4");
}

#[test]
fn in_our_answers_a_section_rests_for_one_exchange_before_another_sender_takes_it() {
    let mut we = session();
    we.add_sender(sender(1, &[Vp8]));
    let offer = client_offer(&[("0", 'v')]);
    answer(&mut we, &offer);
    we.remove_sender(SenderId(1));
    we.add_sender(sender(2, &[Vp8]));
    assert_eq!(we.sections_wanted(), (0, 1), "the section is not free before the peer has seen it inactive");
    let sdp = answer(&mut we, &offer);
    assert_eq!(attributes(&sdp, Some(0), "inactive"), [""]);
    assert_eq!(attributes(&sdp, Some(0), "msid"), [""; 0]);
    assert_eq!((we.unplaced_senders(), we.sections_wanted()), ((0, 1), (0, 0)));
    assert!(we.needs_negotiation());
    let sdp = answer(&mut we, &offer);
    assert_eq!(attributes(&sdp, Some(0), "msid"), ["stream-2 track-2"]);
    assert!(!we.needs_negotiation());
}

#[test]
fn a_sender_keeps_its_section_whatever_comes_beside_it() {
    let mut we = session();
    we.add_sender(sender(5, &[Vp8]));
    answer(&mut we, &client_offer(&[("0", 'v')]));
    we.add_sender(sender(1, &[Vp8]));
    we.add_sender(sender(9, &[Opus]));
    answer(&mut we, &client_offer(&[("0", 'v'), ("1", 'v'), ("2", 'a')]));
    let placed: Vec<_> = we.sections().iter().map(|section| section.sender.unwrap().0).collect();
    assert_eq!(placed, [5, 1, 9]);
}

#[test]
fn a_stopped_section_frees_its_sender_and_may_become_another() {
    let mut we = session();
    we.add_sender(sender(1, &[Vp8]));
    answer(&mut we, &client_offer(&[("0", 'v'), ("1", 'a')]));
    let sdp = answer(&mut we, &client_offer(&[("0", 'V'), ("1", 'a')]));
    assert_eq!(m_lines(&sdp)[0], "video 0 UDP/TLS/RTP/SAVPF 96");
    assert_eq!(attributes(&sdp, None, "group"), ["BUNDLE 1"]);
    assert_eq!((we.unplaced_senders(), we.sections_wanted()), ((0, 1), (0, 1)));
    let sdp = answer(&mut we, &client_offer(&[("2", 'a'), ("1", 'a'), ("3", 'v')]));
    assert_eq!(attributes(&sdp, None, "group"), ["BUNDLE 2 1 3"]);
    assert_eq!(we.sections()[2].sender, Some(SenderId(1)));
}

#[test]
fn a_sender_whose_codec_the_section_lacks_is_not_placed_there() {
    let mut we = session();
    we.add_sender(sender(1, &[Av1]));
    answer(&mut we, &client_offer(&[("0", 'v')]));
    assert_eq!(we.sections()[0].sender, None);
    assert_eq!(we.unplaced_senders(), (0, 1));
}

#[test]
fn what_we_do_not_know_is_rejected_and_the_rest_goes_on() {
    let mut we = session();
    let offer = client_offer(&[("t", 't'), ("0", 'a'), ("1", 'v')])
        .replace("m=video 9 UDP/TLS/RTP/SAVPF", "m=video 9 RTP/AVP");
    let sdp = answer(&mut we, &offer);
    assert_eq!(m_lines(&sdp), ["text 0 RTP/SAVPF 98", "audio 9 UDP/TLS/RTP/SAVPF 111", "video 0 RTP/AVP 96"]);
    assert_eq!(attributes(&sdp, None, "group"), ["BUNDLE 0"]);
    assert_eq!(we.sections().len(), 1);
}

#[test]
fn a_section_outside_the_bundle_or_without_rtcp_mux_is_rejected() {
    let mut we = session();
    let sdp = answer(&mut we, &client_offer(&[("0", 'a'), ("1", 'v')]).replace("BUNDLE 0 1", "BUNDLE 0"));
    assert!(m_lines(&sdp)[1].starts_with("video 0 "));
    let mut we = session();
    let sdp = answer(&mut we, &client_offer(&[("0", 'a'), ("1", 'v')]).replacen("a=rtcp-mux\r\n", "", 1));
    assert!(m_lines(&sdp)[0].starts_with("audio 0 "));
    let mut we = session();
    let sdp = answer(&mut we, &client_offer(&[("0", 'a'), ("1", 'v')]).replace("a=group:BUNDLE 0 1\r\n", ""));
    assert_eq!(attributes(&sdp, None, "group"), ["BUNDLE 0"], "one transport is one section without a group");
}

#[test]
fn one_id_is_one_extension_in_the_whole_bundle() {
    let mid = "a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\n";
    let offer = client_offer(&[("0", 'a'), ("1", 'v')]);
    let (first, second) = offer.split_once("m=video").unwrap();
    let mut we = session();
    let sdp =
        answer(&mut we, &format!("{first}{mid}m=video{second}a=extmap:4 urn:3gpp:video-orientation\r\n"));
    assert_eq!(attributes(&sdp, Some(0), "extmap").len(), 1);
    assert_eq!(attributes(&sdp, Some(1), "extmap").len(), 0);
    let mut we = session();
    let sdp = answer(&mut we, &format!("{first}{mid}m=video{second}{}", mid.replace(":4", ":5")));
    assert_eq!(attributes(&sdp, Some(1), "extmap").len(), 0);
}

#[test]
fn a_rolled_back_offer_leaves_nothing_behind() {
    let (mut we, mut they) = (session(), session());
    we.add_sender(sender(1, &[Opus]));
    exchange(&mut we, &mut they);
    let before = we.sections().to_vec();
    we.add_sender(sender(2, &[Vp8]));
    we.write_offer(&local(0)).unwrap();
    assert!(!we.needs_negotiation(), "all is in the offer that is out");
    we.rollback();
    assert_eq!(we.state(), SignalingState::Stable);
    assert_eq!(we.sections(), before);
    assert!(we.needs_negotiation());
    they.accept_offer(&client_offer(&[("0", 'a'), ("7", 'v')])).unwrap();
    they.rollback();
    assert_eq!(they.sections().len(), 1);
    exchange(&mut we, &mut they);
    assert_eq!(we.sections().len(), 2);
}

#[test]
fn in_glare_the_peers_offer_is_refused_until_ours_is_taken_back() {
    let mut we = session();
    we.add_sender(sender(1, &[Opus]));
    we.write_offer(&local(0)).unwrap();
    let offer = client_offer(&[("x", 'a')]);
    let error = we.accept_offer(&offer).unwrap_err();
    assert!(matches!(error, SdpError::State { state: SignalingState::HaveLocalOffer, .. }));
    assert_eq!(
        error.to_string(),
        "an offer came while our own offer is out; roll it back first, or wait for its answer"
    );
    we.rollback();
    answer(&mut we, &offer);
    assert_eq!(we.sections()[0].sender, Some(SenderId(1)));
}

#[test]
fn descriptions_out_of_turn_are_refused() {
    let mut we = session();
    assert!(matches!(we.accept_answer(""), Err(SdpError::State { state: SignalingState::Stable, .. })));
    assert!(matches!(we.write_answer(&local(0)), Err(SdpError::State { state: SignalingState::Stable, .. })));
    we.accept_offer(&client_offer(&[("0", 'a')])).unwrap();
    assert!(matches!(
        we.write_offer(&local(0)),
        Err(SdpError::State { state: SignalingState::HaveRemoteOffer, .. })
    ));
    assert!(matches!(
        we.accept_answer(""),
        Err(SdpError::State { state: SignalingState::HaveRemoteOffer, .. })
    ));
    we.write_answer(&local(0)).unwrap();
}

#[test]
fn a_refused_description_changes_nothing() {
    let (mut we, mut they) = (session(), session());
    we.add_sender(sender(1, &[Opus]));
    exchange(&mut we, &mut they);
    let good = client_offer(&[("0", 'a'), ("1", 'v')]);
    let before = format!("{they:?}");
    let cases = [
        (good.replace("a=mid:0", "a=mid:z").replace("BUNDLE 0", "BUNDLE z"), "keep its a=mid"),
        (client_offer(&[("0", 'v')]), "keep its kind"),
        (client_offer(&[("0", 'a'), ("0", 'v')]), "unique"),
        (good.replace("a=ice-ufrag:abcd\r\n", ""), "a=ice-ufrag is missing in section \"0\""),
        (good.replace("a=ice-pwd:abcdefghijklmnopqrstuv", "a=ice-pwd:short"), "line 7: an ICE password"),
        (good.replace("sha-256", "sha-1"), "a=fingerprint with sha-256 is missing"),
        (good.replace("0F:0F", "0F:G"), "32 pairs"),
        ("v=0\r\n".to_owned(), "a media section is missing"),
        ("v=1\r\nm=audio 9 RTP/SAVPF 0\r\n".to_owned(), "line 1: the version"),
    ];
    for (index, (offer, expected)) in cases.iter().enumerate() {
        let error = they.accept_offer(offer).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected:?} is not in {error:?}");
        assert_eq!(they.stats().refused, index as u64 + 1);
        let after = format!("{they:?}").replace(&format!("refused: {}", index + 1), "refused: 0");
        assert_eq!(after, before);
    }
    answer(&mut they, &good);
}

#[test]
fn an_answer_that_does_not_fit_its_offer_is_refused_and_a_better_one_taken() {
    let (mut we, mut they) = (session(), session());
    we.add_sender(sender(1, &[Opus]));
    we.add_sender(sender(2, &[Vp8]));
    let offer = we.write_offer(&local(0)).unwrap();
    let good = answer(&mut they, &offer);
    let cut = good.find("m=video").unwrap();
    let cases = [
        (good[..cut].to_owned(), "as many sections"),
        (good.replace("a=mid:1", "a=mid:9"), "another a=mid"),
        (good.replace("BUNDLE 0 1", "BUNDLE 0"), "BUNDLE"),
        (good.replace("VP8", "VP9"), "no codec"),
        (good.replace("m=video", "m=audio"), "another kind"),
        (good.replace("a=rtcp-mux\r\n", ""), "a=rtcp-mux"),
    ];
    for (answer, expected) in cases {
        let error = we.accept_answer(&answer).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected:?} is not in {error:?}");
        assert_eq!(we.state(), SignalingState::HaveLocalOffer);
        assert!(we.sections().is_empty());
    }
    we.accept_answer(&good).unwrap();
    assert_eq!(we.sections().len(), 2);
}

#[test]
fn a_sender_whose_section_the_peer_rejects_is_not_offered_again() {
    let (mut we, mut they) = (session(), session());
    we.add_sender(sender(1, &[Opus]));
    we.add_sender(sender(2, &[H264]));
    let offer = we.write_offer(&local(0)).unwrap();
    let answer = answer(&mut they, &offer).replace("m=video 9", "m=video 0");
    we.accept_answer(&answer).unwrap();
    assert_eq!(we.refused_senders().collect::<Vec<_>>(), [SenderId(2)]);
    assert_eq!(we.unplaced_senders(), (0, 1));
    assert!(!we.needs_negotiation());
    we.add_sender(sender(3, &[Vp8]));
    let offer = we.write_offer(&local(0)).unwrap();
    assert_eq!(attributes(&offer, Some(1), "msid"), ["stream-3 track-3"]);
}

#[test]
fn the_dtls_role_is_settled_once() {
    let (mut we, mut they) = (session(), session());
    we.add_sender(sender(1, &[Opus]));
    let offer = we.write_offer(&local(0)).unwrap();
    let answer_sdp = answer(&mut they, &offer);
    assert_eq!(we.accept_answer(&answer_sdp).unwrap().dtls_role, DtlsRole::Client, "they insist on waiting");
    let offer = we.write_offer(&local(0)).unwrap();
    let answer_sdp = answer(&mut they, &offer).replace("a=setup:passive", "a=setup:active");
    assert_eq!(we.accept_answer(&answer_sdp).unwrap().dtls_role, DtlsRole::Client);

    let mut waiting = session();
    let offer = client_offer(&[("0", 'a')]).replace("actpass", "passive");
    assert_eq!(waiting.accept_offer(&offer).unwrap().dtls_role, DtlsRole::Client);
    assert_eq!(attributes(&waiting.write_answer(&local(0)).unwrap(), Some(0), "setup"), ["active"]);
    let sdp = answer(&mut waiting, &client_offer(&[("0", 'a')]));
    assert_eq!(
        attributes(&sdp, Some(0), "setup"),
        ["active"],
        "as agreed, though the peer would now take either"
    );
}

#[test]
fn an_ice_restart_of_ours_is_seen_by_the_peer() {
    let (mut we, mut they) = (session(), session());
    we.add_sender(sender(1, &[Opus]));
    exchange(&mut we, &mut they);
    let offer = we.write_offer(&local(1)).unwrap();
    assert!(they.accept_offer(&offer).unwrap().ice_restarted);
    let answer = they.write_answer(&local(1)).unwrap();
    assert!(we.accept_answer(&answer).unwrap().ice_restarted);
    assert_eq!(we.sections().len(), 1);
}

#[test]
fn when_we_come_to_offer_where_the_peer_offered_first_its_numbers_stay() {
    let (mut we, mut they) = (session(), session());
    let offer = client_offer(&[("a", 'a'), ("b", 'v')])
        .replace("RTP/SAVPF 96", "RTP/SAVPF 111")
        .replace(":96 VP8", ":111 VP8");
    let offer = offer.replace("RTP/SAVPF 111\r\na=rtpmap:111 opus", "RTP/SAVPF 96\r\na=rtpmap:96 opus");
    let offer =
        offer.replace("a=recvonly\r\n", "a=recvonly\r\na=extmap:2 urn:ietf:params:rtp-hdrext:sdes:mid\r\n");
    answer(&mut we, &offer);
    we.add_sender(sender(1, &[Opus]));
    we.add_sender(sender(2, &[Opus]));
    we.add_sender(sender(3, &[Vp8]));
    they.accept_offer(&we.write_offer(&local(0)).unwrap()).unwrap();
    let sdp = they.write_answer(&local(0)).unwrap();
    we.accept_answer(&sdp).unwrap();
    let numbers: Vec<_> = we
        .sections()
        .iter()
        .map(|section| (section.mid.to_string(), section.codecs[0].payload_type))
        .collect();
    assert_eq!(numbers, [("a".into(), 96), ("b".into(), 111), ("0".into(), 96)]);
    for section in we.sections() {
        assert_eq!(section.extensions.id(Extension::Mid), Some(2));
        assert_ne!(section.extensions.id(Extension::AbsSendTime), Some(2), "2 is taken in this group");
    }
}

#[test]
fn a_name_that_somebody_chose_writes_no_line_of_its_own() {
    let mut we = session();
    let mut spec = sender(1, &[Opus]);
    spec.msid.stream = "PA_1|x\r\na=evil:1 ü".to_owned();
    spec.msid.track = String::new();
    we.add_sender(spec);
    let offer = we.write_offer(&local(0)).unwrap();
    assert!(!offer.contains("\na=evil"));
    assert_eq!(attributes(&offer, Some(0), "msid"), ["PA_1|x__a_evil_1__ -"]);
}
