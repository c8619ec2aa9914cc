// SPDX-License-Identifier: EUPL-1.2
//! How strangers reach the server: its name, its TLS, its answers, its relay.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::{Line, PATIENCE};
use crate::serve::Settings;

/// How long one may take that is on this machine.
const LOCAL_PATIENCE: Duration = Duration::from_secs(2);
/// When a request to the relay is repeated.
const ASKED_AGAIN: Duration = Duration::from_millis(500);
/// The largest answer that is read.
const MAX_ANSWER_BYTES: u64 = 4_096;
/// An allocation without credentials (RFC 8656): a relay that lives refuses it with 401.
const ALLOCATE: [u8; 28] =
    [0, 3, 0, 8, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0, 0x19, 0, 4, 17, 0, 0, 0];
/// The type of the answer that refuses it.
const ALLOCATE_REFUSED: [u8; 2] = [0x01, 0x13];

/// A stream, through TLS or not.
pub(super) trait Both: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Both for T {}

/// The way to the server.
#[derive(Clone)]
pub(super) struct Way {
    /// The name under which it is reached, or an address where it has none.
    pub(super) host: String,
    port: u16,
    /// Where it listens.
    listen: SocketAddr,
    tls: Option<TlsConnector>,
    udp_relay: Option<u16>,
    /// What the name may lead to.
    ours: Vec<IpAddr>,
}

impl Way {
    /// As the configuration says; `host` goes before it.
    pub(super) fn of(settings: &Settings, host: Option<&str>) -> Way {
        let config = &settings.config;
        let listen = reachable(config.http.listen);
        let named =
            [host, config.tls.acme.names.first().map(String::as_str), Some(config.turn.host.as_str())];
        let host = named.into_iter().flatten().find(|name| !name.is_empty());
        let local = parvis_shard::local_addresses().unwrap_or_default();
        let offered = config.offered(&local).unwrap_or_default();
        Way {
            host: host.map_or_else(|| listen.ip().to_string(), str::to_owned),
            port: config.public_port(config.http.listen),
            listen,
            tls: (config.tls.is_spoken() || config.http.public_port.port() == 443)
                .then(|| connector(settings))
                .flatten(),
            udp_relay: config.turn.enabled.then(|| config.turn.udp_port.port()),
            ours: local.into_iter().chain(offered.into_iter().map(|(_, offered)| offered)).collect(),
        }
    }

    /// Whether what has the port answers as our server does. TLS is not asked for: the server says the same without.
    pub(super) async fn lives_here(&self) -> bool {
        let asked = async {
            let mut stream = TcpStream::connect(self.listen).await.ok()?;
            get(&mut stream, "/livez", &self.host).await.ok()
        };
        // A server that speaks TLS sends whoever does not to where it does.
        matches!(timeout(LOCAL_PATIENCE, asked).await, Ok(Some(200 | 301 | 302 | 307 | 308)))
    }

    /// Connects as a browser does.
    pub(super) async fn connect(&self) -> Result<Box<dyn Both>, String> {
        let connected = timeout(PATIENCE, TcpStream::connect((self.host.as_str(), self.port))).await;
        let stream =
            connected.map_err(|_| "no answer in 10 s".to_owned())?.map_err(|error| error.to_string())?;
        let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
        let name = ServerName::try_from(self.host.clone()).map_err(|error| error.to_string())?;
        let shaken = timeout(PATIENCE, tls.connect(name, stream)).await;
        let stream =
            shaken.map_err(|_| "no handshake in 10 s".to_owned())?.map_err(|error| error.to_string())?;
        Ok(Box::new(stream))
    }

    /// What strangers find.
    pub(super) async fn lines(&self, running: bool) -> Vec<Line> {
        let mut lines = vec![self.name().await];
        if !running {
            return lines;
        }
        lines.push(self.readiness().await);
        if let Some(port) = self.udp_relay {
            lines.push(self.relay_by_udp(port).await);
            lines.push(self.relay_by_tcp().await);
        }
        lines
    }

    async fn name(&self) -> Line {
        let what = "name";
        if self.host.parse::<IpAddr>().is_ok() {
            return Line::skipped(
                what,
                "no name is configured (tls.acme.names, turn.host); give one with --host",
            );
        }
        let tried = format!("looked up {}", self.host);
        let remedy = "have its A and AAAA records lead to this machine";
        match timeout(PATIENCE, lookup_host((self.host.as_str(), self.port))).await {
            Err(_) => Line::bad(what, tried, "no answer in 10 s", remedy),
            Ok(Err(error)) => Line::bad(what, tried, error.to_string(), remedy),
            Ok(Ok(found)) => {
                let found: Vec<IpAddr> = found.map(|at| at.ip()).collect();
                let seen = found.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ");
                match found.iter().all(|address| self.ours.contains(address)) {
                    true => Line::good(what, tried, seen),
                    false => Line::poor(
                        what,
                        tried,
                        format!("{seen}: not all are of this machine or in media.node_ip"),
                        "say which public address stands for ours in media.node_ip, if there is a NAT or a proxy between",
                    ),
                }
            }
        }
    }

    async fn readiness(&self) -> Line {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let (what, tried) = ("pages", format!("asked {scheme}://{}:{}/readyz", self.host, self.port));
        let remedy = "see that the port is open from here, and that the certificate's chain is complete and for this name";
        match self.connect().await {
            Err(problem) => Line::bad(what, tried, problem, remedy),
            Ok(mut stream) => match timeout(PATIENCE, get(&mut stream, "/readyz", &self.host)).await {
                Ok(Ok(200)) => Line::good(what, tried, "it is ready, and its certificate is trusted here"),
                Ok(Ok(status)) => Line::bad(what, tried, format!("status {status}"), "see the log"),
                Ok(Err(error)) => Line::bad(what, tried, error.to_string(), remedy),
                Err(_) => Line::bad(what, tried, "no answer in 10 s", remedy),
            },
        }
    }

    async fn relay_by_udp(&self, port: u16) -> Line {
        let (what, tried) =
            ("relay (UDP)", format!("asked {}:{port} for an allocation without credentials", self.host));
        let asked = async {
            let at = lookup_host((self.host.as_str(), port)).await?.next();
            let at = at.ok_or(std::io::ErrorKind::AddrNotAvailable)?;
            let any: IpAddr =
                if at.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
            let socket = UdpSocket::bind((any, 0)).await?;
            let mut answer = [0; 512];
            // A stranger gets no more bytes than it sent: clients ask again (RFC 8489 section 6.2.1), and so does this.
            let (count, _) = loop {
                socket.send_to(&ALLOCATE, at).await?;
                if let Ok(received) = timeout(ASKED_AGAIN, socket.recv_from(&mut answer)).await {
                    break received?;
                }
            };
            Ok::<_, std::io::Error>(answer.get(..count.min(2)) == Some(&ALLOCATE_REFUSED[..]))
        };
        relay_line(what, tried, timeout(PATIENCE, asked).await)
    }

    async fn relay_by_tcp(&self) -> Line {
        let by = if self.tls.is_some() { "relay (TLS)" } else { "relay (TCP)" };
        let tried = format!("asked {}:{} for an allocation without credentials", self.host, self.port);
        let asked = async {
            let mut stream = self.connect().await.map_err(std::io::Error::other)?;
            stream.write_all(&ALLOCATE).await?;
            let mut answer = [0; 2];
            stream.read_exact(&mut answer).await?;
            Ok::<_, std::io::Error>(answer == ALLOCATE_REFUSED)
        };
        relay_line(by, tried, timeout(PATIENCE, asked).await)
    }
}

fn relay_line(
    what: &'static str,
    tried: String,
    asked: Result<std::io::Result<bool>, tokio::time::error::Elapsed>,
) -> Line {
    let remedy = "open the port in the firewall, and see turn.host and turn.udp_port";
    match asked {
        Ok(Ok(true)) => Line::good(what, tried, "it refuses strangers, as it must"),
        Ok(Ok(false)) => Line::bad(what, tried, "an answer that no relay gives", remedy),
        Ok(Err(error)) => Line::bad(what, tried, error.to_string(), remedy),
        Err(_) => Line::bad(what, tried, "no answer in 10 s", remedy),
    }
}

/// Sends one request, and gives the answer's status.
async fn get(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    path: &str,
    host: &str,
) -> std::io::Result<u16> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    // Whoever hangs up without a word after all was said has said all.
    let read = stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer).await;
    let status = String::from_utf8_lossy(&answer).split(' ').nth(1).and_then(|status| status.parse().ok());
    match (status, read) {
        (Some(status), _) => Ok(status),
        (None, Err(error)) => Err(error),
        (None, Ok(_)) => Err(std::io::ErrorKind::InvalidData.into()),
    }
}

/// TLS as our profile has it, with the authorities that this machine trusts.
fn connector(settings: &Settings) -> Option<TlsConnector> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(settings.config.tls.crypto_profile.0.provider());
    let versions =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
    Some(TlsConnector::from(Arc::new(versions.with_root_certificates(roots).with_no_client_auth())))
}

/// Where a listener is reached from here.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(all) if all.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        // It listens to both, and a machine without IPv6 has the other one only.
        IpAddr::V6(all) if all.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        one => one,
    };
    SocketAddr::new(ip, listen.port())
}
