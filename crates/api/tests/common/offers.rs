// SPDX-License-Identifier: EUPL-1.2
//! Publishing by an offer, with a forwarder that the test speaks for.

use parvis_sfu::{Command, Description, DescriptionKind, Event, ForwarderId, PeerId, RoomId};

use super::{Answer, Server, until};

pub const ANSWER: &str = "v=0\r\na=ice-lite\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=ice-ufrag:ours\r\n\
                      a=ice-pwd:oursoursoursoursoursours\r\na=candidate:1 1 udp 1 192.0.2.1 7882 typ host\r\n";

pub fn offer(direction: &str) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\na=ice-ufrag:abcd\r\n\
         a=ice-pwd:0123456789012345678901\r\na=setup:actpass\r\na=fingerprint:sha-256 {}\r\n\
         m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na={direction}\r\na=rtcp-mux\r\n\
         a=rtpmap:111 opus/48000/2\r\na=msid:show sound\r\n",
        ["AB"; 32].join(":")
    )
}

/// The offers that the forwarder got, with their peer.
pub fn offers(server: &Server) -> Vec<(RoomId, PeerId, String)> {
    let commands = server.notebook.commands.lock().unwrap();
    let offers = commands.iter().filter_map(|(room, command)| match command {
        Command::RemoteDescription { peer, description } => Some((*room, *peer, description.sdp.clone())),
        _ => None,
    });
    offers.collect()
}

/// Answers the offer number `nth`, from 1, as soon as it is there.
pub async fn answer(server: &Server, nth: usize, sdp: &str) -> (RoomId, PeerId) {
    until("an offer", || offers(server).len() >= nth).await;
    let (room, peer, _) = offers(server)[nth - 1].clone();
    let description = Description { kind: DescriptionKind::Answer, sdp: sdp.to_owned(), id: 0 };
    let event = Event::LocalDescription { peer, description, mids: vec![] };
    server.api.event(ForwarderId(room.0), room, event);
    (room, peer)
}

pub async fn post(server: &Server, path: &str, bearer: &str, body: &str) -> Answer {
    let head =
        format!("POST {path} HTTP/1.1\r\nAuthorization: Bearer {bearer}\r\nContent-Type: application/sdp");
    server.request(&head, body).await
}

/// Publishes and gives the session's URL with the answer.
pub async fn publish(server: &Server, bearer: &str, nth: usize) -> (String, Answer) {
    let sdp = offer("sendonly");
    let (posted, _) = tokio::join!(post(server, "/whip/v1", bearer, &sdp), answer(server, nth, ANSWER));
    assert_eq!(posted.status, 201, "{posted:?}");
    (posted.location.clone(), posted)
}
