// SPDX-License-Identifier: EUPL-1.2
//! The LiveKit signalling protocol over WebSocket, as far as someone needs it who only sends and receives.
//!
//! A few threads open connections, because that waits for the server; from then on the one thread of the media reads
//! and writes them without waiting.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use livekit_protocol as proto;
use livekit_protocol::signal_request::Message as Request;
use livekit_protocol::signal_response::Message as Response;
use livekit_token::VideoGrants;
use prost::Message as _;
use tungstenite::client::client_with_config;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::stream::MaybeTlsStream;
use tungstenite::{Error, Message, WebSocket};

use crate::{LoadError, Scenario, Target};

/// Connections that are being opened at the same time.
const THREADS: usize = 4;
/// Read at once. As many bytes are cleared for each reading, and kept for each client.
const READ_BYTES: usize = 4 << 10;
/// How long a server may take to answer a request to join.
const PATIENCE: Duration = Duration::from_secs(20);

/// Who joins where.
#[derive(Debug, Clone)]
pub(crate) struct Guest {
    pub(crate) room: String,
    pub(crate) identity: String,
    pub(crate) receives: bool,
}

/// An open connection, and when it was begun.
pub(crate) struct Opened {
    pub(crate) client: usize,
    pub(crate) begun: Instant,
    pub(crate) result: Result<Signalling, LoadError>,
}

/// Opens a connection for each guest, `join_rate` in a second.
pub(crate) fn open_all(scenario: &Scenario, guests: Vec<Guest>) -> mpsc::Receiver<Opened> {
    let (sender, receiver) = mpsc::channel();
    let (guests, next) = (Arc::new(guests), Arc::new(AtomicUsize::new(0)));
    let start = Instant::now();
    for _ in 0..THREADS {
        let (sender, guests, next) = (sender.clone(), guests.clone(), next.clone());
        let scenario = scenario.clone();
        std::thread::spawn(move || {
            loop {
                let client = next.fetch_add(1, Ordering::Relaxed);
                let Some(guest) = guests.get(client) else { return };
                let due = start + Duration::from_secs_f64(client as f64 / f64::from(scenario.join_rate));
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                let begun = Instant::now();
                let opened = Opened { client, begun, result: Signalling::open(&scenario.target, guest) };
                if sender.send(opened).is_err() {
                    return;
                }
            }
        });
    }
    receiver
}

/// One client's connection.
pub(crate) struct Signalling {
    socket: WebSocket<MaybeTlsStream<TcpStream>>,
    unsent: bool,
}

impl Signalling {
    pub(crate) fn open(target: &Target, guest: &Guest) -> Result<Signalling, LoadError> {
        let grants = VideoGrants { room_join: true, room: guest.room.clone(), ..VideoGrants::default() };
        let token = target.token(&guest.identity, grants)?;
        let server = target.server.trim_end_matches('/');
        let url = format!(
            "{server}/rtc?access_token={token}&protocol=16&auto_subscribe={}",
            u8::from(guest.receives)
        );
        let failed = |error: Error| match error {
            Error::Http(answer) => LoadError::Refused {
                server: server.to_owned(),
                status: answer.status().as_u16(),
                answer: answer
                    .body()
                    .as_ref()
                    .map(|body| String::from_utf8_lossy(body).trim().to_owned())
                    .unwrap_or_default(),
            },
            other => LoadError::Connect { server: server.to_owned(), cause: other.to_string() },
        };
        let stream = TcpStream::connect(target.authority()).map_err(|error| failed(Error::Io(error)))?;
        stream
            .set_nodelay(true)
            .and_then(|()| stream.set_read_timeout(Some(PATIENCE)))
            .map_err(|error| failed(Error::Io(error)))?;
        let config = WebSocketConfig::default().read_buffer_size(READ_BYTES);
        let (socket, _) = client_with_config(url, MaybeTlsStream::Plain(stream), Some(config)).map_err(
            |error| match error {
                tungstenite::HandshakeError::Failure(error) => failed(error),
                tungstenite::HandshakeError::Interrupted(_) => LoadError::Connect {
                    server: server.to_owned(),
                    cause: format!("no answer in {} s", PATIENCE.as_secs()),
                },
            },
        )?;
        if let MaybeTlsStream::Plain(stream) = socket.get_ref() {
            stream.set_nonblocking(true).map_err(|error| failed(Error::Io(error)))?;
        }
        Ok(Signalling { socket, unsent: false })
    }

    /// What epoll watches.
    pub(crate) fn socket(&self) -> Option<BorrowedFd<'_>> {
        match self.socket.get_ref() {
            MaybeTlsStream::Plain(stream) => Some(stream.as_fd()),
            _ => None,
        }
    }

    /// The next message, if one is there.
    pub(crate) fn receive(&mut self) -> Result<Option<Response>, String> {
        loop {
            match self.socket.read() {
                Ok(Message::Binary(bytes)) => {
                    let response = proto::SignalResponse::decode(bytes).map_err(|error| error.to_string())?;
                    if let Some(message) = response.message {
                        return Ok(Some(message));
                    }
                }
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    /// Sends a message, now or as soon as there is room.
    pub(crate) fn send(&mut self, message: Request) -> Result<(), String> {
        let request = proto::SignalRequest { message: Some(message) };
        let sent = self.socket.send(Message::Binary(request.encode_to_vec().into()));
        self.settle(sent)
    }

    /// Sends what waits.
    pub(crate) fn flush(&mut self) -> Result<(), String> {
        if !self.unsent {
            return Ok(());
        }
        let sent = self.socket.flush();
        self.settle(sent)
    }

    fn settle(&mut self, sent: Result<(), Error>) -> Result<(), String> {
        match sent {
            Ok(()) => self.unsent = false,
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => self.unsent = true,
            Err(error) => return Err(error.to_string()),
        }
        Ok(())
    }
}
