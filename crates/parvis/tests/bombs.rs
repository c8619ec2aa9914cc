// SPDX-License-Identifier: EUPL-1.2
//! Messages made to break a reader or to fill the memory, against a running server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::io::Write;
use std::net::TcpStream;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use common::{ANY_PORTS, Directory, PATIENCE, Server, parvis, text};
use livekit_protocol as proto;
use livekit_protocol::signal_request::Message as Request;
use livekit_protocol::signal_response::Message as Response;
use prost::Message as _;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::stream::MaybeTlsStream;
use tokio_tungstenite::tungstenite::{Error, Message, WebSocket, connect};

type Socket = WebSocket<MaybeTlsStream<TcpStream>>;

/// What the process may grow by while it is attacked: less than one of the bombs.
const SLACK_KIB: u64 = 24 << 10;

fn token(room: &str, identity: &str) -> String {
    text(&parvis(&["token", "create", "--dev", "--room", room, "--identity", identity]).stdout)
}

fn open(server: &Server, path: &str) -> Result<Socket, u16> {
    match connect(format!("ws://{}{path}", server.address)) {
        Ok((socket, _)) => {
            stream(&socket).set_read_timeout(Some(PATIENCE)).unwrap();
            Ok(socket)
        }
        Err(Error::Http(response)) => Err(response.status().as_u16()),
        Err(other) => panic!("{other}"),
    }
}

fn join(server: &Server, room: &str, identity: &str) -> Socket {
    let path = format!("/rtc?access_token={}&protocol=16", token(room, identity));
    let mut socket = open(server, &path).unwrap();
    assert!(matches!(response(&mut socket), Some(Response::Join(_))));
    socket
}

fn stream(socket: &Socket) -> &TcpStream {
    let MaybeTlsStream::Plain(stream) = socket.get_ref() else { panic!("no TLS here") };
    stream
}

fn response(socket: &mut Socket) -> Option<Response> {
    loop {
        match socket.read().unwrap() {
            Message::Binary(bytes) => return proto::SignalResponse::decode(bytes).unwrap().message,
            Message::Close(_) => return None,
            _ => {}
        }
    }
}

/// Asks and waits for the answer: the room lives, and so does this socket.
fn is_alive(socket: &mut Socket) -> bool {
    let request = proto::SignalRequest { message: Some(Request::Ping(7)) };
    socket.send(Message::Binary(request.encode_to_vec().into())).unwrap();
    loop {
        match response(socket) {
            Some(Response::Pong(_)) => return true,
            Some(_) => {}
            None => return false,
        }
    }
}

fn closed(socket: &mut Socket) -> Option<CloseFrame> {
    loop {
        match socket.read() {
            Ok(Message::Close(frame)) => return frame,
            Ok(_) => {}
            Err(_) => return None,
        }
    }
}

/// Memory in use: the most that it ever was, so that no peak is missed.
fn peak_kib(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn server(directory: &Directory) -> Server {
    let data = directory.path("data");
    Server::start("", "info", &[["--dev", "--data", &data].as_slice(), &ANY_PORTS].concat())
}

#[test]
fn row_28_bombs_close_their_sockets_and_leave_the_memory_flat() {
    let directory = Directory::new("row-28");
    let server = server(&directory);
    let mut bob = join(&server, "atelier", "bob");
    let before = peak_kib(&server);

    // Each of 30 requests would swell from 32 KiB to 32 MiB: 960 MiB, if anyone inflated them to the end.
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&vec![0; 32 << 20]).unwrap();
    let compression = proto::wrapped_join_request::Compression::Gzip.into();
    let wrapped = proto::WrappedJoinRequest { compression, join_request: gzip.finish().unwrap() };
    let wrapped = URL_SAFE.encode(wrapped.encode_to_vec());
    assert!(wrapped.len() < 48 << 10);
    let path = format!("/rtc/v1?access_token={}&join_request={wrapped}", token("atelier", "eve"));
    for _ in 0..30 {
        assert_eq!(open(&server, &path).err(), Some(413));
    }

    // A frame that claims a gibibyte, before its first byte is there (RFC 6455 section 5.2: 127 is "64 bits follow").
    for number in 0..10 {
        let mut eve = join(&server, "atelier", &format!("eve-{number}"));
        let head = [&[0x82, 0x80 | 127], (1_u64 << 30).to_be_bytes().as_slice(), &[0; 4 + 100]].concat();
        stream(&eve).write_all(&head).unwrap();
        let frame = closed(&mut eve).expect("a close frame");
        assert_eq!(u16::from(frame.code), 1009, "{frame:?}");
    }

    // Many small fragments of one message that never ends: the sum is bounded, too.
    let mut eve = join(&server, "atelier", "eve");
    let piece = [&[0x00, 0x80 | 126], 60_000_u16.to_be_bytes().as_slice(), &[0; 4 + 60_000]].concat();
    let first = [&[0x02], &piece[1..]].concat();
    // The server stops reading at its limit, and what is written after that fails.
    let written = std::iter::once(&first).chain(std::iter::repeat_n(&piece, 2_000));
    let written = written.take_while(|piece| stream(&eve).write_all(piece).is_ok()).count();
    assert!(written < 2_000, "120 MB of one message were taken");
    drop(closed(&mut eve));

    assert!(is_alive(&mut bob), "nobody else noticed");
    let grown = peak_kib(&server) - before;
    eprintln!("grown by {grown} KiB");
    assert!(grown < SLACK_KIB, "{grown} KiB more");
}

#[test]
fn row_30_broken_messages_of_sixty_clients_disturb_neither_their_room_nor_another() {
    let directory = Directory::new("row-30");
    let server = server(&directory);
    let (mut bob, mut cleo) = (join(&server, "atelier", "bob"), join(&server, "elsewhere", "cleo"));
    let mut random = ChaCha20Rng::seed_from_u64(30);
    let offer = proto::SessionDescription {
        r#type: "offer".to_owned(),
        sdp: "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"
            .to_owned(),
        ..Default::default()
    };
    let seeds: [Vec<u8>; 3] = [
        Request::Offer(offer),
        Request::AddTrack(proto::AddTrackRequest { cid: "mic".to_owned(), ..Default::default() }),
        Request::Subscription(proto::UpdateSubscription {
            track_sids: vec!["TR_x".to_owned()],
            ..Default::default()
        }),
    ]
    .map(|message| proto::SignalRequest { message: Some(message) }.encode_to_vec());
    let mut ended = 0;
    for number in 0..60 {
        let mut eve = join(&server, "atelier", &format!("eve-{number}"));
        for _ in 0..10 {
            let mut message = seeds[random.next_u32() as usize % seeds.len()].clone();
            for _ in 0..1 + random.next_u32() % 4 {
                let place = random.next_u32() as usize % message.len();
                message[place] = random.next_u32() as u8;
            }
            message.truncate(1 + random.next_u32() as usize % message.len());
            let message = match random.next_u32() % 4 {
                0 => Message::Text(String::from_utf8_lossy(&message).into_owned().into()),
                _ => Message::Binary(message.into()),
            };
            if eve.send(message).is_err() {
                break;
            }
        }
        // Only after it has been dealt with does the next one come.
        let request = proto::SignalRequest { message: Some(Request::Ping(7)) };
        let asked = eve.send(Message::Binary(request.encode_to_vec().into()));
        ended += u32::from(asked.is_err() || was_closed(&mut eve));
        assert!(is_alive(&mut bob) && is_alive(&mut cleo), "after client {number}");
    }
    assert!(ended >= 20, "only {ended} of 60 said something that ended their sockets: the test has no teeth");
}

/// Whether the socket was closed rather than its ping answered.
fn was_closed(socket: &mut Socket) -> bool {
    loop {
        match socket.read() {
            Ok(Message::Binary(bytes)) => {
                let message = proto::SignalResponse::decode(bytes).unwrap().message;
                if matches!(message, Some(Response::Pong(_))) {
                    return false;
                }
            }
            Ok(Message::Close(_)) | Err(_) => return true,
            Ok(_) => {}
        }
    }
}
