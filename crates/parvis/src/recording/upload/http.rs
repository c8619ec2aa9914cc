// SPDX-License-Identifier: EUPL-1.2
//! How `object_store` reaches a storage: HTTP/1.1 over our own TLS. The storage is one that the operator named, but no answer of its
//! leads anywhere else: redirections are not followed.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::client::conn::http1;
use hyper::http::Uri;
use hyper_util::rt::TokioIo;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody,
    HttpService,
};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// How long a storage may take to be reached, …
const CONNECT: Duration = Duration::from_secs(10);
/// … and to answer a request whose body is at most a part of a file.
const ANSWER: Duration = Duration::from_secs(300);

/// See the module's page.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    tls: Arc<ClientConfig>,
}

impl Connector {
    /// Trusts whom the system trusts.
    pub(super) fn new() -> Result<Connector, rustls::Error> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let mut tls = builder.with_root_certificates(roots).with_no_client_auth();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Connector { tls: Arc::new(tls) })
    }

    async fn answer(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let uri = request.uri().clone();
        let host = uri.host().unwrap_or_default().to_owned();
        let encrypted = uri.scheme_str() != Some("http");
        let port = uri.port_u16().unwrap_or(if encrypted { 443 } else { 80 });
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let reach = async {
            let stream = TcpStream::connect((bare.as_str(), port)).await.map_err(connect)?;
            // Small requests are not held back for the next.
            let _ = stream.set_nodelay(true);
            if !encrypted {
                return Ok::<_, HttpError>(Stream::Plain(stream));
            }
            let name = ServerName::try_from(bare.clone()).map_err(connect)?;
            let stream = TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await;
            Ok(Stream::Tls(Box::new(stream.map_err(connect)?)))
        };
        match timeout(CONNECT, reach).await.map_err(connect)?? {
            Stream::Plain(stream) => exchange(stream, request, &uri).await,
            Stream::Tls(stream) => exchange(*stream, request, &uri).await,
        }
    }
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

impl HttpService for Connector {
    fn call<'a, 'b>(
        &'a self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(async move {
            let answer = timeout(ANSWER, self.answer(request)).await;
            answer.unwrap_or_else(|late| Err(HttpError::new(HttpErrorKind::Timeout, late)))
        })
    }
}

/// One request on a connection of its own.
async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    mut request: HttpRequest,
    uri: &Uri,
) -> Result<HttpResponse, HttpError> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    // It ends with the answer's body.
    tokio::spawn(connection);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = path.parse().map_err(|error| HttpError::new(HttpErrorKind::Request, error))?;
    let host = uri.authority().map_or("", |authority| authority.as_str());
    let host = host.parse().map_err(|error| HttpError::new(HttpErrorKind::Request, error))?;
    request.headers_mut().entry(hyper::header::HOST).or_insert(host);
    let answer = sender.send_request(request).await.map_err(failed)?;
    Ok(answer.map(|body| HttpResponseBody::new(body.map_err(failed))))
}

fn connect(error: impl std::error::Error + Send + Sync + 'static) -> HttpError {
    HttpError::new(HttpErrorKind::Connect, error)
}

fn failed(error: hyper::Error) -> HttpError {
    let kind = if error.is_timeout() {
        HttpErrorKind::Timeout
    } else if error.is_closed() || error.is_incomplete_message() || error.is_canceled() {
        HttpErrorKind::Interrupted
    } else {
        HttpErrorKind::Request
    };
    HttpError::new(kind, error)
}
