// SPDX-License-Identifier: EUPL-1.2
//! As much of HTTP/1.1 as calls of one server need, one after the other on one connection.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::TcpStream;
use std::time::Duration;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);
const MAX_HEAD_BYTES: usize = 16 << 10;
const MAX_BODY_BYTES: usize = 64 << 20;
const CHUNK_BYTES: usize = 16 << 10;

/// A connection that is kept.
pub(crate) struct Http {
    stream: TcpStream,
    authority: String,
    request: Vec<u8>,
    answer: Vec<u8>,
}

/// An answer's status, and its body until the next request.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
}

impl Http {
    /// Connects to `host:port`.
    pub(crate) fn connect(authority: &str) -> Result<Http> {
        let stream = TcpStream::connect(authority)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Http { stream, authority: authority.to_owned(), request: Vec::new(), answer: Vec::new() })
    }

    /// Sends a message of protobuf and waits for the answer.
    pub(crate) fn post(&mut self, path: &str, token: &str, body: &[u8]) -> Result<Answer<'_>> {
        self.request.clear();
        write!(
            self.request,
            "POST {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/protobuf\r\nContent-Length: {}\r\n\r\n",
            self.authority,
            body.len()
        )?;
        self.request.extend_from_slice(body);
        self.stream.write_all(&self.request)?;
        self.answer.clear();
        let head = loop {
            if let Some(end) = self.answer.windows(4).position(|window| window == b"\r\n\r\n") {
                break Head::parse(&self.answer[..end], end + 4)?;
            }
            if self.answer.len() > MAX_HEAD_BYTES {
                return Err(invalid("an answer's head without an end"));
            }
            self.read()?;
        };
        let end = head.bytes + head.body_bytes;
        while self.answer.len() < end {
            self.read()?;
        }
        Ok(Answer { status: head.status, body: &self.answer[head.bytes..end] })
    }

    fn read(&mut self) -> Result<()> {
        let filled = self.answer.len();
        self.answer.resize(filled + CHUNK_BYTES, 0);
        let read = self.stream.read(&mut self.answer[filled..])?;
        self.answer.truncate(filled + read);
        if read == 0 { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }
}

/// What an answer's head says.
struct Head {
    status: u16,
    bytes: usize,
    body_bytes: usize,
}

impl Head {
    fn parse(text: &[u8], bytes: usize) -> Result<Head> {
        let text = str::from_utf8(text).map_err(|_| invalid("an answer's head that is no text"))?;
        let mut lines = text.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let length = lines
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .and_then(|(_, value)| value.trim().parse().ok());
        match (status, length) {
            (Some(status), Some(body_bytes)) if body_bytes <= MAX_BODY_BYTES => {
                Ok(Head { status, bytes, body_bytes })
            }
            (None, _) => Err(invalid("an answer without a status")),
            _ => Err(invalid("an answer without a Content-Length of at most 64 MiB")),
        }
    }
}

fn invalid(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// A server of two answers on one connection, the first of them in pieces; it gives what it read.
    fn server(answers: Vec<Vec<String>>) -> (String, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut all = String::new();
            for pieces in answers {
                let mut buf = [0; 4_096];
                let read = stream.read(&mut buf).unwrap();
                all.push_str(str::from_utf8(&buf[..read]).unwrap());
                for piece in pieces {
                    stream.write_all(piece.as_bytes()).unwrap();
                }
            }
            all
        });
        (authority, thread)
    }

    #[test]
    fn one_connection_carries_calls_and_their_answers_in_turn() {
        // More than is read at once.
        let body = "x".repeat(3 * CHUNK_BYTES);
        let length = format!("K\r\ncontent-LENGTH: {}\r\n\r", body.len());
        let first = vec!["HTTP/1.1 200 O".to_owned(), length, format!("\n{body}")];
        let second = vec!["HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned()];
        let (authority, thread) = server(vec![first, second]);
        let mut http = Http::connect(&authority).unwrap();
        assert_eq!(http.post("/a", "t1", b"x").unwrap(), Answer { status: 200, body: body.as_bytes() });
        assert_eq!(http.post("/b", "t2", b"").unwrap(), Answer { status: 404, body: b"" });
        let read = thread.join().unwrap();
        let start = format!("POST /a HTTP/1.1\r\nHost: {authority}\r\nAuthorization: Bearer t1\r\n");
        assert!(
            read.starts_with(&start) && read.contains("\r\nContent-Length: 1\r\n\r\nxPOST /b "),
            "{read}"
        );
    }

    #[test]
    fn an_answer_that_can_not_be_read_is_an_error() {
        for answer in
            ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "nonsense\r\n\r\n", "HTTP/1.1 20"]
        {
            let (authority, _thread) = server(vec![vec![answer.to_owned()]]);
            assert!(Http::connect(&authority).unwrap().post("/", "", b"").is_err(), "{answer}");
        }
    }
}
