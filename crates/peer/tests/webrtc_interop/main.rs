// SPDX-License-Identifier: EUPL-1.2
//! Our peer and one of the `webrtc` crate, a whole WebRTC implementation that we did not write, over loopback sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod client;
mod server;

use client::{Client, DtlsRole, Network, Seen};
use parvis_peer::sdp::{CodecKind, MediaKind, Msid, SenderId, SenderSpec};
use parvis_peer::{ChannelSpec, PeerEvent, Protocol, TransportReport};
use parvis_rtp::{ExtensionMap, Packet};
use rtc::rtp_transceiver::rtp_sender::RtpCodecKind;
use server::Server;
use std::sync::Arc;
use std::time::Duration;
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::peer_connection::RTCIceCandidateInit;
use webrtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};

/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(20);

async fn connect_as_answerer(server: &mut Server, client: &mut Client) -> TransportReport {
    let offer = client.offer().await;
    let answer = server.call(move |peer, now| peer.accept_offer(now, &offer)).await.unwrap();
    assert!(answer.contains("a=setup:passive"), "{answer}");
    client.accept(answer).await;
    let report = connected(server).await;
    client.connected().await;
    report
}

async fn connect_as_offerer(server: &mut Server, client: &mut Client) -> TransportReport {
    let offer = server.call(|peer, now| peer.create_offer(now, false)).await.unwrap();
    assert!(offer.contains("a=setup:actpass"), "{offer}");
    let answer = client.answer(offer).await;
    let role = if client.is_dtls_server { "a=setup:passive" } else { "a=setup:active" };
    assert!(answer.contains(role), "{answer}");
    server.call(move |peer, now| peer.accept_answer(now, &answer)).await.unwrap();
    let report = connected(server).await;
    client.connected().await;
    report
}

async fn connected(server: &mut Server) -> TransportReport {
    server
        .wait_event("Connected", |event| match event {
            PeerEvent::Connected(report) => Some((**report).clone()),
            PeerEvent::Failed(reason) => panic!("the peer failed: {reason:?}"),
            _ => None,
        })
        .await
}

/// A payload that a decoder would not like and a comparison does.
fn payload(number: u16) -> Vec<u8> {
    (0..100 + number % 900).map(|at| (at as u8).wrapping_mul(3).wrapping_add(number as u8)).collect()
}

/// Writes packets until the server has seen `count` of this stream, and checks that they are whole.
async fn stream_to_server(
    server: &mut Server,
    track: &Arc<TrackLocalStaticRTP>,
    header: rtc::rtp::Header,
    count: u16,
) {
    for number in 0..count {
        let header = rtc::rtp::Header {
            sequence_number: header.sequence_number + number,
            timestamp: u32::from(number) * 960,
            ..header.clone()
        };
        track.write_rtp(rtc::rtp::Packet { header, payload: payload(number).into() }).await.unwrap();
    }
    for number in 0..count {
        let (ssrc, first) = (header.ssrc, header.sequence_number);
        let got = server
            .wait("an RTP packet", |seen| {
                let server::Seen::Rtp(bytes) = seen else { return None };
                let packet = Packet::parse(bytes).unwrap();
                (packet.ssrc == ssrc && packet.sequence == first + number).then(|| packet.payload.to_vec())
            })
            .await;
        assert_eq!(got, payload(number), "packet {number} of stream {ssrc}");
    }
}

/// Sends packets and checks that the client's track gets them whole.
async fn stream_to_client(
    server: &Server,
    client: &mut Client,
    payload_type: u8,
    ssrc: u32,
    extensions: ExtensionMap,
    mid: parvis_rtp::Mid,
    count: u16,
) {
    let write = move |number: u16| {
        let fields = parvis_rtp::HeaderFields {
            payload_type,
            sequence: 7 + number,
            timestamp: u32::from(number) * 960,
            ssrc,
            ..Default::default()
        };
        let values = parvis_rtp::Extensions { mid: Some(mid), ..Default::default() };
        let mut buffer = vec![0; 1400];
        let len =
            parvis_rtp::write_packet(&mut buffer, &fields, &extensions, &values, &payload(number)).unwrap();
        buffer.truncate(len);
        buffer
    };
    for number in 0..count {
        server.send_rtp(write(number));
    }
    for number in 0..count {
        let got = client
            .wait("an RTP packet", |seen| match seen {
                Seen::Rtp(packet)
                    if packet.header.ssrc == ssrc && packet.header.sequence_number == 7 + number =>
                {
                    Some(packet.payload.to_vec())
                }
                _ => None,
            })
            .await;
        assert_eq!(got, payload(number), "packet {number} of stream {ssrc}");
    }
}

/// Sends messages of all kinds and sizes over the client's channel; the server sends them back.
async fn echo_over(client: &mut Client, channel: &Arc<dyn webrtc::data_channel::DataChannel>) {
    for size in [0, 5, 1000, 60_000] {
        let text = "ü".repeat(size / 2);
        channel.send_text(&text).await.unwrap();
        let (is_text, got) = message(client, &format!("a text of {size} bytes")).await;
        assert!(is_text && got == text.as_bytes(), "a text of {size} bytes came back as {} bytes", got.len());

        let bytes: Vec<u8> = (0..size).map(|at| (at * 7) as u8).collect();
        channel.send(bytes[..].into()).await.unwrap();
        let (is_text, got) = message(client, &format!("a message of {size} bytes")).await;
        assert!(!is_text && got == bytes, "{size} bytes came back as {} bytes", got.len());
    }
}

async fn message(client: &mut Client, what: &str) -> (bool, Vec<u8>) {
    client
        .wait(what, |seen| match seen {
            Seen::Message { text, payload } => Some((*text, payload.clone())),
            _ => None,
        })
        .await
}

fn sender(id: u64, kind: MediaKind) -> SenderSpec {
    let (codecs, rtx_ssrc) = match kind {
        MediaKind::Audio => (vec![CodecKind::Opus], None),
        MediaKind::Video => (vec![CodecKind::Vp8], Some(90_000 + id as u32)),
    };
    let msid = Msid { stream: format!("s{id}"), track: format!("t{id}") };
    SenderSpec { id: SenderId(id), kind, codecs, msid, ssrc: 80_000 + id as u32, rtx_ssrc, fec_ssrc: None }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_offers_and_data_channels_echo_what_they_get() {
    let (mut server, mut client) = (Server::start(), Client::new(Network::Udp, DtlsRole::Client).await);
    let channel = client.pc.create_data_channel("echo", None).await.unwrap();
    client.watch(Arc::clone(&channel));
    let report = connect_as_answerer(&mut server, &mut client).await;
    assert_eq!((report.path.protocol, &*report.dtls_version), (Protocol::Udp, "DTLSv1.2"));
    let spec = server
        .wait_event("ChannelOpen", |event| {
            if let PeerEvent::ChannelOpen(_, spec) = event { Some(spec.clone()) } else { None }
        })
        .await;
    assert_eq!(spec, ChannelSpec { label: "echo".into(), ordered: true, max_retransmits: None });
    client
        .wait("an open channel", |seen| matches!(seen, Seen::Opened(label) if label == "echo").then_some(()))
        .await;
    echo_over(&mut client, &channel).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn we_offer_and_data_channels_echo_what_they_get() {
    let (mut server, mut client) = (Server::start(), Client::new(Network::Udp, DtlsRole::Client).await);
    let spec = ChannelSpec { label: "ours".into(), ordered: false, max_retransmits: Some(3) };
    let opened = server
        .call({
            let spec = spec.clone();
            move |peer, now| peer.open_channel(now, spec)
        })
        .await
        .unwrap();
    connect_as_offerer(&mut server, &mut client).await;
    let id = server
        .wait_event(
            "ChannelOpen",
            |event| if let PeerEvent::ChannelOpen(id, _) = event { Some(*id) } else { None },
        )
        .await;
    assert_eq!(id, opened);
    let channel = client
        .wait(
            "a channel",
            |seen| if let Seen::Channel(channel) = seen { Some(Arc::clone(channel)) } else { None },
        )
        .await;
    assert_eq!(channel.label().await.unwrap(), "ours");
    // The crate doesn't tell the number of retransmissions of a channel that it did not open.
    assert!(!channel.ordered().await.unwrap());
    echo_over(&mut client, &channel).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_dtls_client_too_data_channels_echo_what_they_get() {
    let (mut server, mut client) = (Server::start(), Client::new(Network::Udp, DtlsRole::Server).await);
    let spec = ChannelSpec { label: "ours".into(), ordered: false, max_retransmits: Some(3) };
    let opened = server
        .call({
            let spec = spec.clone();
            move |peer, now| peer.open_channel(now, spec)
        })
        .await
        .unwrap();
    connect_as_offerer(&mut server, &mut client).await;
    let id = server
        .wait_event(
            "ChannelOpen",
            |event| if let PeerEvent::ChannelOpen(id, _) = event { Some(*id) } else { None },
        )
        .await;
    assert_eq!(id, opened);
    let channel = client
        .wait(
            "a channel",
            |seen| if let Seen::Channel(channel) = seen { Some(Arc::clone(channel)) } else { None },
        )
        .await;
    assert_eq!(channel.label().await.unwrap(), "ours");
    // The crate doesn't tell the number of retransmissions of a channel that it did not open.
    assert!(!channel.ordered().await.unwrap());
    echo_over(&mut client, &channel).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_offers_and_sound_and_simulcast_pictures_arrive_byte_for_byte() {
    let (mut server, mut client) = (Server::start(), Client::new(Network::Udp, DtlsRole::Client).await);
    let audio = client::track("audio", RtpCodecKind::Audio, &[("", 111)]);
    let video = client::track("video", RtpCodecKind::Video, &[("q", 1), ("h", 2), ("f", 3)]);
    let audio_sender = client.pc.add_track(Arc::clone(&audio) as Arc<dyn TrackLocal>).await.unwrap();
    let video_sender = client.pc.add_track(Arc::clone(&video) as Arc<dyn TrackLocal>).await.unwrap();
    connect_as_answerer(&mut server, &mut client).await;

    let sections = server.call(|peer, _| peer.sections().to_vec()).await;
    assert_eq!(sections.len(), 2);
    let rids: Vec<&str> = sections[1].rids.iter().map(|rid| rid.as_str()).collect();
    assert_eq!(rids, ["q", "h", "f"]);
    assert_eq!(sections[0].remote_msid.as_ref().map(|msid| &*msid.track), Some("audio"));

    let payload_type = |section: usize, kind| {
        sections[section].codecs.iter().find(|codec| codec.kind == kind).unwrap().payload_type
    };
    drop(audio_sender);
    let header = rtc::rtp::Header {
        version: 2,
        ssrc: 111,
        payload_type: payload_type(0, CodecKind::Opus),
        ..Default::default()
    };
    stream_to_server(&mut server, &audio, header, 50).await;
    let parameters = video_sender.get_parameters().await.unwrap();
    let id = |uri: &str| {
        parameters.rtp_parameters.header_extensions.iter().find(|e| e.uri == uri).unwrap().id as u8
    };
    for (ssrc, rid) in [(1, "q"), (2, "h"), (3, "f")] {
        let mut header = rtc::rtp::Header {
            version: 2,
            ssrc,
            payload_type: payload_type(1, CodecKind::Vp8),
            ..Default::default()
        };
        header.set_extension(id(client::MID), sections[1].mid.as_str().to_owned().into()).unwrap();
        header.set_extension(id(client::RID), rid.to_owned().into()).unwrap();
        stream_to_server(&mut server, &video, header, 30).await;
    }
    // What the extensions say is read by the ids that were negotiated.
    let map = sections[1].extensions;
    let mut header = rtc::rtp::Header {
        version: 2,
        ssrc: 3,
        payload_type: payload_type(1, CodecKind::Vp8),
        sequence_number: 5000,
        ..Default::default()
    };
    header.set_extension(id(client::RID), "f".to_owned().into()).unwrap();
    video.write_rtp(rtc::rtp::Packet { header, payload: vec![1].into() }).await.unwrap();
    let rid = server
        .wait("the last packet", |seen| {
            let server::Seen::Rtp(bytes) = seen else { return None };
            let packet = Packet::parse(bytes).unwrap();
            (packet.sequence == 5000).then(|| packet.extensions(&map).rid)
        })
        .await;
    assert_eq!(rid.unwrap().as_str(), "f");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn we_offer_and_our_sound_and_pictures_arrive_byte_for_byte() {
    let (mut server, mut client) = (Server::start(), Client::new(Network::Udp, DtlsRole::Client).await);
    server
        .call(|peer, _| {
            peer.add_sender(sender(1, MediaKind::Audio));
            peer.add_sender(sender(2, MediaKind::Video));
        })
        .await;
    connect_as_offerer(&mut server, &mut client).await;
    for section in server.call(|peer, _| peer.sections().to_vec()).await {
        let SenderId(id) = section.sender.unwrap();
        stream_to_client(
            &server,
            &mut client,
            section.codecs[0].payload_type,
            80_000 + id as u32,
            section.extensions,
            section.mid,
            30,
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_tcp_only_the_connection_runs_over_framed_tcp() {
    let (mut server, mut client) = (Server::start(), Client::new(Network::TcpOnly, DtlsRole::Client).await);
    let channel = client.pc.create_data_channel("tcp", None).await.unwrap();
    client.watch(Arc::clone(&channel));
    let offer = client.offer().await;
    let answer = server.call(move |peer, now| peer.accept_offer(now, &offer)).await.unwrap();
    client.accept(answer.clone()).await;
    // The crate dials only candidates that are trickled.
    for line in answer.lines().filter_map(|line| line.strip_prefix("a=candidate:")) {
        let candidate = RTCIceCandidateInit { candidate: format!("candidate:{line}"), ..Default::default() };
        client.pc.add_ice_candidate(candidate).await.unwrap();
    }
    let report = connected(&mut server).await;
    assert_eq!(report.path.protocol, Protocol::Tcp);
    client.wait("an open channel", |seen| matches!(seen, Seen::Opened(_)).then_some(())).await;
    echo_over(&mut client, &channel).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ice_restart_by_either_side_goes_on_with_the_same_dtls_and_channels() {
    let (mut server, mut client) = (Server::start(), Client::new(Network::Udp, DtlsRole::Client).await);
    let channel = client.pc.create_data_channel("through", None).await.unwrap();
    client.watch(Arc::clone(&channel));
    connect_as_answerer(&mut server, &mut client).await;
    client.wait("an open channel", |seen| matches!(seen, Seen::Opened(_)).then_some(())).await;
    let ufrag = |sdp: &str| {
        sdp.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:").map(str::to_owned)).unwrap()
    };

    client.pc.restart_ice().await.unwrap();
    let before = server.call(|peer, _| peer.local_ufrags().next().unwrap().to_owned()).await;
    let offer = client.offer().await;
    let answer = server.call(move |peer, now| peer.accept_offer(now, &offer)).await.unwrap();
    assert_ne!(ufrag(&answer), before);
    client.accept(answer).await;
    // The former credentials are forgotten as soon as a check names the new ones.
    only_one_ufrag(&server).await;
    echo_over(&mut client, &channel).await;

    let offer = server.call(|peer, now| peer.create_offer(now, true)).await.unwrap();
    let answer = client.answer(offer).await;
    server.call(move |peer, now| peer.accept_answer(now, &answer)).await.unwrap();
    only_one_ufrag(&server).await;
    echo_over(&mut client, &channel).await;
}

async fn only_one_ufrag(server: &Server) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while server.call(|peer, _| peer.local_ufrags().count()).await > 1 {
        assert!(tokio::time::Instant::now() < deadline, "no check with the new credentials");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tracks_are_added_by_renegotiation_from_both_sides() {
    let (mut server, mut client) = (Server::start(), Client::new(Network::Udp, DtlsRole::Client).await);
    let first = client::track("first", RtpCodecKind::Audio, &[("", 201)]);
    client.pc.add_track(Arc::clone(&first) as Arc<dyn TrackLocal>).await.unwrap();
    connect_as_answerer(&mut server, &mut client).await;
    let opus = |sections: &[parvis_peer::sdp::MediaSection], at: usize| {
        sections[at].codecs.iter().find(|c| c.kind == CodecKind::Opus).unwrap().payload_type
    };
    let sections = server.call(|peer, _| peer.sections().to_vec()).await;
    let header =
        |ssrc, payload_type| rtc::rtp::Header { version: 2, ssrc, payload_type, ..Default::default() };
    stream_to_server(&mut server, &first, header(201, opus(&sections, 0)), 10).await;

    // It adds one, by an offer of its own.
    let second = client::track("second", RtpCodecKind::Audio, &[("", 202)]);
    client.pc.add_track(Arc::clone(&second) as Arc<dyn TrackLocal>).await.unwrap();
    let offer = client.offer().await;
    let answer = server.call(move |peer, now| peer.accept_offer(now, &offer)).await.unwrap();
    client.accept(answer).await;
    let sections = server.call(|peer, _| peer.sections().to_vec()).await;
    assert_eq!(sections.len(), 2);
    stream_to_server(&mut server, &second, header(202, opus(&sections, 1)), 10).await;

    // We add one, by an offer of ours.
    server.call(|peer, _| peer.add_sender(sender(9, MediaKind::Video))).await;
    assert!(server.call(|peer, _| peer.needs_negotiation()).await);
    let offer = server.call(|peer, now| peer.create_offer(now, false)).await.unwrap();
    let answer = client.answer(offer).await;
    server.call(move |peer, now| peer.accept_answer(now, &answer)).await.unwrap();
    let section = server
        .call(|peer, _| peer.sections().iter().find(|s| s.sender == Some(SenderId(9))).cloned())
        .await
        .unwrap();
    stream_to_client(
        &server,
        &mut client,
        section.codecs[0].payload_type,
        80_009,
        section.extensions,
        section.mid,
        10,
    )
    .await;
    let later = rtc::rtp::Header { sequence_number: 100, ..header(201, opus(&sections, 0)) };
    stream_to_server(&mut server, &first, later, 10).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_sections_are_agreed_on_and_the_last_one_carries_media() {
    let (mut server, mut client) = (Server::start(), Client::new(Network::Udp, DtlsRole::Client).await);
    for number in 0..99 {
        let kind = if number % 3 == 0 { RtpCodecKind::Audio } else { RtpCodecKind::Video };
        let init = RTCRtpTransceiverInit {
            direction: RTCRtpTransceiverDirection::Recvonly,
            streams: vec![],
            send_encodings: vec![],
        };
        client.pc.add_transceiver_from_kind(kind, Some(init)).await.unwrap();
    }
    let last = client::track("last", RtpCodecKind::Audio, &[("", 301)]);
    // `add_track` would take one of the transceivers that are there.
    let init = RTCRtpTransceiverInit {
        direction: RTCRtpTransceiverDirection::Sendonly,
        streams: vec![],
        send_encodings: vec![],
    };
    client.pc.add_transceiver_from_track(Arc::clone(&last) as Arc<dyn TrackLocal>, Some(init)).await.unwrap();
    server
        .call(|peer, _| {
            (0..99).for_each(|id| {
                peer.add_sender(sender(id, if id % 3 == 0 { MediaKind::Audio } else { MediaKind::Video }))
            })
        })
        .await;
    connect_as_answerer(&mut server, &mut client).await;
    let sections = server.call(|peer, _| peer.sections().to_vec()).await;
    assert_eq!(sections.len(), 100);
    assert_eq!(sections.iter().filter(|section| section.sender.is_some()).count(), 99);
    for at in [0, 50, 98] {
        let section = sections[at].clone();
        let SenderId(id) = section.sender.unwrap();
        stream_to_client(
            &server,
            &mut client,
            section.codecs[0].payload_type,
            80_000 + id as u32,
            section.extensions,
            section.mid,
            5,
        )
        .await;
    }
    let at = sections.iter().position(|section| section.direction.receives()).unwrap();
    let opus = sections[at].codecs.iter().find(|codec| codec.kind == CodecKind::Opus).unwrap().payload_type;
    stream_to_server(
        &mut server,
        &last,
        rtc::rtp::Header { version: 2, ssrc: 301, payload_type: opus, ..Default::default() },
        5,
    )
    .await;
}
