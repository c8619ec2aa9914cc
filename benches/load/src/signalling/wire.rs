// SPDX-License-Identifier: EUPL-1.2
//! A WebSocket that is opened by a thread that waits, and from then on read and written without waiting.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use tungstenite::client::{IntoClientRequest, client_with_config};
use tungstenite::http::HeaderValue;
use tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::stream::MaybeTlsStream;
use tungstenite::{Error, HandshakeError, Message, WebSocket};

use crate::{LoadError, Target};

/// Read at once. As many bytes are cleared for each reading, and kept for each client.
const READ_BYTES: usize = 4 << 10;
/// How long a server may take to answer a request to join.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is asked of a server to open a WebSocket.
#[derive(Debug, Default)]
pub(super) struct Door {
    /// Path and query, with the slash that begins them.
    pub(super) path: String,
    /// The name of the protocol within the WebSocket, where it has one (RFC 6455 section 1.9).
    pub(super) protocol: Option<&'static str>,
}

/// One client's WebSocket.
pub(super) struct Wire {
    socket: WebSocket<MaybeTlsStream<TcpStream>>,
    unsent: bool,
}

impl Wire {
    /// Connects, and waits until the server has agreed.
    pub(super) fn open(target: &Target, door: &Door) -> Result<Wire, LoadError> {
        let server = target.server.trim_end_matches('/');
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
        let mut request = format!("{server}{}", door.path).into_client_request().map_err(failed)?;
        if let Some(protocol) = door.protocol {
            request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
        }
        let stream = TcpStream::connect(target.authority()).map_err(|error| failed(Error::Io(error)))?;
        stream
            .set_nodelay(true)
            .and_then(|()| stream.set_read_timeout(Some(PATIENCE)))
            .map_err(|error| failed(Error::Io(error)))?;
        let config = WebSocketConfig::default().read_buffer_size(READ_BYTES);
        let (socket, _) =
            client_with_config(request, MaybeTlsStream::Plain(stream), Some(config)).map_err(|error| {
                match error {
                    HandshakeError::Failure(error) => failed(error),
                    HandshakeError::Interrupted(_) => LoadError::Connect {
                        server: server.to_owned(),
                        cause: format!("no answer in {} s", PATIENCE.as_secs()),
                    },
                }
            })?;
        if let MaybeTlsStream::Plain(stream) = socket.get_ref() {
            stream.set_nonblocking(true).map_err(|error| failed(Error::Io(error)))?;
        }
        Ok(Wire { socket, unsent: false })
    }

    /// What epoll watches.
    pub(super) fn socket(&self) -> Option<BorrowedFd<'_>> {
        match self.socket.get_ref() {
            MaybeTlsStream::Plain(stream) => Some(stream.as_fd()),
            _ => None,
        }
    }

    /// The next message of text or bytes, if one is there.
    pub(super) fn receive(&mut self) -> Result<Option<Message>, String> {
        loop {
            match self.socket.read() {
                Ok(message @ (Message::Binary(_) | Message::Text(_))) => return Ok(Some(message)),
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    /// Sends a message, now or as soon as there is room.
    pub(super) fn send(&mut self, message: Message) -> Result<(), String> {
        let sent = self.socket.send(message);
        self.settle(sent)
    }

    /// Sends what waits.
    pub(super) fn flush(&mut self) -> Result<(), String> {
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
