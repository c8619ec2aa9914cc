// SPDX-License-Identifier: EUPL-1.2
//! Repair packets (FlexFEC) in descriptions: agreed where both sides have them, and no trace of them elsewhere.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "helpers of tests")]

mod sdp_common;

use std::sync::Arc;

use parvis_peer::sdp::CodecKind::{Opus, Vp8};
use parvis_peer::sdp::{RemoteStream, SenderId, SenderSpec, Session, SessionConfig};
use sdp_common::{answer, attributes, local, m_lines, sender, session};

fn protected(id: u64) -> SenderSpec {
    SenderSpec { fec_ssrc: Some(3000 + id as u32), ..sender(id, &[Vp8]) }
}

fn without() -> Session {
    Session::new(Arc::new(SessionConfig { fec: None, ..SessionConfig::default() }), 8)
}

fn exchange(offerer: &mut Session, answerer: &mut Session) -> (String, String) {
    let offer = offerer.write_offer(&local(0)).unwrap();
    let answer = answer(answerer, &offer);
    offerer.accept_answer(&answer).unwrap();
    (offer, answer)
}

#[test]
fn an_offer_names_repair_packets_and_their_stream_and_both_sides_have_them() {
    let (mut we, mut they) = (session(), session());
    we.add_sender(protected(1));
    we.add_sender(sender(2, &[Opus]));
    let (offer, answer) = exchange(&mut we, &mut they);
    assert_eq!(m_lines(&offer), ["video 9 UDP/TLS/RTP/SAVPF 96 97 49", "audio 9 UDP/TLS/RTP/SAVPF 111"]);
    assert_eq!(m_lines(&answer), m_lines(&offer));
    for sdp in [&offer, &answer] {
        assert!(attributes(sdp, Some(0), "rtpmap").contains(&"49 flexfec-03/90000"));
        assert!(attributes(sdp, Some(0), "fmtp").contains(&"49 repair-window=10000000"));
        assert!(attributes(sdp, Some(0), "rtcp-fb").contains(&"49 transport-cc"));
    }
    assert_eq!(attributes(&offer, Some(0), "ssrc-group"), ["FID 1001 2001", "FEC-FR 1001 3001"]);
    let ssrcs = attributes(&offer, Some(0), "ssrc");
    assert!(ssrcs.contains(&"3001 cname:stream-1"), "{ssrcs:?}");
    assert_eq!(we.sections().iter().map(|section| section.fec).collect::<Vec<_>>(), [Some(49), None]);
    assert_eq!(they.sections()[0].fec, Some(49));
    let stream = RemoteStream { ssrc: 1001, rtx: Some(2001), fec: Some(3001) };
    assert_eq!(they.sections()[0].remote_streams, [stream]);
    assert_eq!(they.sections()[0].codecs.len(), 1, "it is no codec to choose");
}

#[test]
fn who_does_not_take_them_is_not_offered_them_in_that_section_again() {
    let (mut we, mut they) = (session(), without());
    we.add_sender(protected(1));
    let (_, answer) = exchange(&mut we, &mut they);
    assert!(!answer.contains("flexfec") && !answer.contains("FEC-FR"), "{answer}");
    assert_eq!(we.sections()[0].fec, None);
    we.add_sender(protected(2));
    let offer = we.write_offer(&local(0)).unwrap();
    assert_eq!(m_lines(&offer)[0], "video 9 UDP/TLS/RTP/SAVPF 96 97");
    assert_eq!(attributes(&offer, Some(0), "ssrc-group"), ["FID 1001 2001"]);
    assert_eq!(m_lines(&offer)[1], "video 9 UDP/TLS/RTP/SAVPF 96 97 49");
}

#[test]
fn without_the_policy_nothing_is_offered_nor_accepted() {
    let (mut we, mut they) = (without(), session());
    we.add_sender(protected(1));
    let (offer, answer) = exchange(&mut we, &mut they);
    assert!(!offer.contains("flexfec") && !offer.contains("3001"), "{offer}");
    assert!(!answer.contains("flexfec"), "{answer}");
    let (mut we, mut they) = (session(), without());
    we.add_sender(protected(1));
    assert!(exchange(&mut we, &mut they).0.contains("flexfec"));
    assert_eq!(they.sections()[0].fec, None);
}

#[test]
fn chromium_takes_them_where_it_receives_and_a_publisher_that_does_not_offer_them_sees_nothing() {
    let mut session = session();
    session.add_sender(protected(1));
    session.add_sender(protected(2));
    let answer = answer(&mut session, include_str!("sdp/chromium-single-recvonly.sdp"));
    let with: Vec<_> = session.sections().iter().filter(|section| section.fec == Some(49)).collect();
    assert_eq!(with.len(), 3, "each of its three sections of pictures");
    assert_eq!(
        with.iter().filter_map(|section| section.sender).collect::<Vec<_>>(),
        [SenderId(1), SenderId(2)]
    );
    assert_eq!(answer.matches("a=ssrc-group:FEC-FR ").count(), 2);
    assert!(answer.contains("a=ssrc-group:FEC-FR 1001 3001\r\n"));
    for offer in [
        include_str!("sdp/chromium-publisher-vp8.sdp"),
        include_str!("sdp/chromium-publisher-simulcast.sdp"),
        include_str!("sdp/firefox-publisher-vp8.sdp"),
    ] {
        let mut session = sdp_common::session();
        let answer = sdp_common::answer(&mut session, offer);
        assert!(!answer.contains("flexfec"), "{answer}");
        assert!(session.sections().iter().all(|section| section.fec.is_none()));
    }
}

#[test]
fn layers_told_apart_by_name_have_no_repair_packets() {
    let simulcast = include_str!("sdp/chromium-publisher-simulcast.sdp");
    let line = simulcast.split("\r\n").find(|line| line.starts_with("m=video")).unwrap();
    let offer = simulcast.replace(line, &format!("{line} 51\r\na=rtpmap:51 flexfec-03/90000"));
    let mut session = session();
    let answer = answer(&mut session, &offer);
    assert!(!answer.contains("flexfec"), "{answer}");
}
