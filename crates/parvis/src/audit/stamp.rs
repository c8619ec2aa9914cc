// SPDX-License-Identifier: EUPL-1.2
//! Asks an outside authority when a checkpoint was there (RFC 3161 over HTTP, section 3.4). Nobody waits for it: it is asked beside all else,
//! and what it does not answer as it should is counted and asked again.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use parvis_audit::{Authority, MAX_ANSWER_BYTES, Stamp, is_answer, stamp_in, stamp_request};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::key::KeyError;
use super::syslog::{secure, trusted};

/// A file of certificates has at most so many bytes.
const MAX_CA_BYTES: u64 = 1 << 20;

/// Who is asked, how often, and what of the answers is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StampSettings {
    pub(crate) place: StampPlace,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    /// Whose word on the authority's certificate counts.
    pub(crate) ca_file: PathBuf,
    /// Empty: any.
    pub(crate) policy: String,
}

/// Where an authority is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StampPlace {
    tls: bool,
    host: String,
    port: u16,
    authority: String,
    path: String,
}

impl StampPlace {
    /// Reads a URL.
    pub(crate) fn parse(url: &str) -> Result<StampPlace, String> {
        let wrong = |problem: &str| {
            format!(
                "\"{url}\" {problem}; use the URL of an authority such as \"https://time.example.org/tsa\""
            )
        };
        let uri: Uri = url.parse().map_err(|_| wrong("is no URL"))?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wrong("begins neither with https:// nor with http://")),
        };
        let authority = uri.authority().ok_or_else(|| wrong("has no host"))?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() || authority.as_str().contains('@') {
            return Err(wrong("has no host, or a user's name"));
        }
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok(StampPlace { tls, host, port, authority: authority.as_str().to_owned(), path })
    }
}

impl StampSettings {
    /// The authority, with its certificates read.
    pub(super) fn authority(&self) -> Result<Authority, KeyError> {
        let failed = |problem: String| KeyError::Ca { path: self.ca_file.clone(), problem };
        let length = fs::metadata(&self.ca_file).map_err(|error| failed(error.to_string()))?.len();
        if length > MAX_CA_BYTES {
            return Err(failed("it is too long for certificates".to_owned()));
        }
        let pem = fs::read(&self.ca_file).map_err(|error| failed(error.to_string()))?;
        Authority::from_pem(&pem, &self.policy).map_err(|error| failed(error.to_string()))
    }

    /// A stamp over a note, and what it says.
    pub(super) async fn ask(&self, authority: &Authority, note: &str) -> Result<(Vec<u8>, Stamp), String> {
        let nonce = rand::random();
        let asked = stamp_request(note.as_bytes(), nonce);
        let answer = timeout(self.timeout, self.place.exchange(asked)).await;
        let answer = answer.unwrap_or_else(|_| Err(format!("no answer within {:?}", self.timeout)))?;
        let token = stamp_in(&answer).map_err(|error| error.to_string())?;
        let stamp = authority.check(&token, note.as_bytes()).map_err(|error| error.to_string())?;
        if !is_answer(&stamp, nonce) {
            return Err(
                "it answers another question: its stamp has not the number that was asked with".into()
            );
        }
        Ok((token, stamp))
    }
}

impl StampPlace {
    async fn exchange(&self, asked: Vec<u8>) -> Result<Bytes, String> {
        let failed = |error: std::io::Error| format!("{}: {error}", self.authority);
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(failed)?;
        if self.tls {
            self.post(secure(&self.host, stream, trusted()).await.map_err(failed)?, asked).await
        } else {
            self.post(stream, asked).await
        }
    }

    async fn post(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        asked: Vec<u8>,
    ) -> Result<Bytes, String> {
        let failed = |error: hyper::Error| format!("{}: {error}", self.authority);
        let request = Request::post(&self.path)
            .header("host", &self.authority)
            .header("user-agent", concat!("Parvis/", env!("CARGO_PKG_VERSION")))
            .header("content-type", "application/timestamp-query")
            .header("connection", "close")
            .body(Full::new(Bytes::from(asked)))
            .map_err(|error| error.to_string())?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
        let answer = async {
            let response = sender.send_request(request).await.map_err(failed)?;
            if !response.status().is_success() {
                return Err(format!("{} answers {}", self.authority, response.status()));
            }
            let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
            Ok(body.map_err(|error| format!("{}: {error}", self.authority))?.to_bytes())
        };
        tokio::pin!(answer, connection);
        // The connection ends with the answer, or before it.
        tokio::select! {
            answered = &mut answer => answered,
            ended = &mut connection => match ended {
                Ok(()) => answer.await,
                Err(error) => Err(failed(error)),
            },
        }
    }
}
