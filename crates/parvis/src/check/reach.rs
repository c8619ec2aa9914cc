// SPDX-License-Identifier: EUPL-1.2
//! How strangers reach the server: its name, its TLS, its answers, its relay.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parvis_edge::CryptoProfile;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::probe::{ALLOCATE, ALLOCATE_REFUSED, Probe};
use super::{Line, PATIENCE, chain};
use crate::serve::Settings;

/// How long one may take that is on this machine.
const LOCAL_PATIENCE: Duration = Duration::from_secs(2);
/// The largest answer that is read.
const MAX_ANSWER_BYTES: u64 = 65_536;

/// A stream, through TLS or not.
pub(super) trait Both: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Both for T {}

/// The way to the server.
#[derive(Clone)]
pub(super) struct Way {
    /// The name under which it is reached, or an address where it has none.
    pub(super) host: String,
    pub(super) port: u16,
    /// Where it listens.
    listen: SocketAddr,
    pub(super) tls: Option<TlsConnector>,
    /// Whether a proxy before the server speaks it.
    proxied: bool,
    pub(super) udp_relay: Option<u16>,
    /// What this machine has.
    local: Vec<IpAddr>,
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
            proxied: !config.tls.is_spoken() && config.http.public_port.port() == 443,
            udp_relay: config.turn.enabled.then(|| config.turn.udp_port.port()),
            ours: local.iter().copied().chain(offered.into_iter().map(|(_, offered)| offered)).collect(),
            local,
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

    /// Whether an address is one of this machine's own.
    pub(super) fn is_here(&self, address: IpAddr) -> bool {
        self.local.contains(&address)
    }

    /// Whether an address is this machine's, or offered for one of its.
    pub(super) fn is_ours(&self, address: IpAddr) -> bool {
        self.ours.contains(&address)
    }

    /// Connects as a browser does.
    pub(super) async fn connect(&self) -> Result<Box<dyn Both>, String> {
        match &self.tls {
            None => Ok(Box::new(self.tcp().await.map_err(|error| error.to_string())?)),
            Some(tls) => Ok(Box::new(self.shake(tls).await.map_err(|error| error.to_string())?)),
        }
    }

    async fn tcp(&self) -> io::Result<TcpStream> {
        let connected = timeout(PATIENCE, TcpStream::connect((self.host.as_str(), self.port))).await;
        connected.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no answer in 10 s"))?
    }

    /// Shakes hands with who is there.
    pub(super) async fn shake(&self, tls: &TlsConnector) -> io::Result<TlsStream<TcpStream>> {
        let stream = self.tcp().await?;
        let name = ServerName::try_from(self.host.clone()).map_err(io::Error::other)?;
        let shaken = timeout(PATIENCE, tls.connect(name, stream)).await;
        shaken.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no handshake in 10 s"))?
    }

    /// Sends one request on a connection of its own. `head` ends with its last own line.
    pub(super) async fn ask(&self, head: &str, body: &str) -> Result<Answer, String> {
        let mut stream = self.connect().await?;
        let (host, length) = (&self.host, body.len());
        let request =
            format!("{head}Host: {host}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}");
        match timeout(PATIENCE, exchange(&mut stream, &request)).await {
            Err(_) => Err("no answer in 10 s".to_owned()),
            Ok(answer) => answer.map_err(|error| error.to_string()),
        }
    }

    /// What strangers find.
    pub(super) async fn lines(&self, running: bool) -> Vec<Line> {
        let mut lines = vec![self.name().await];
        if !running {
            return lines;
        }
        lines.extend(chain::line(self).await);
        lines.push(self.readiness().await);
        if let Some(port) = self.udp_relay {
            lines.push(self.relay_by_udp(port).await);
            // Where TLS is spoken here, the port takes both; a proxy takes nothing else.
            if !self.proxied {
                lines.push(self.relay_by_stream(None).await);
            }
            if let Some(tls) = &self.tls {
                lines.push(self.relay_by_stream(Some(tls)).await);
            }
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
        let at = match timeout(PATIENCE, lookup_host((self.host.as_str(), port))).await {
            Ok(Ok(mut found)) => found.next(),
            Ok(Err(_)) | Err(_) => None,
        };
        match at {
            Some(at) => relay_line(what, tried, Probe::Relay { port }.at(at.ip()).await),
            None => relay_line(what, tried, Err("its name leads nowhere".to_owned())),
        }
    }

    async fn relay_by_stream(&self, within: Option<&TlsConnector>) -> Line {
        let what = if within.is_some() { "relay (TLS)" } else { "relay (TCP)" };
        let tried = format!("asked {}:{} for an allocation without credentials", self.host, self.port);
        let asked = async {
            let mut stream: Box<dyn Both> = match within {
                Some(tls) => Box::new(self.shake(tls).await?),
                None => Box::new(self.tcp().await?),
            };
            stream.write_all(&ALLOCATE).await?;
            let mut answer = [0; 2];
            stream.read_exact(&mut answer).await?;
            match answer == ALLOCATE_REFUSED {
                true => Ok("it refuses strangers, as it must".to_owned()),
                false => Err(io::Error::other("an answer that no relay gives")),
            }
        };
        let asked = timeout(PATIENCE, asked).await;
        let asked = asked.unwrap_or_else(|_| Err(io::Error::other("no answer in 10 s")));
        match asked.map_err(|error| error.to_string()) {
            Err(problem) if self.proxied => Line::poor(
                what,
                tried,
                format!("{problem}: the proxy hands on HTTP alone"),
                "people for whom nothing but 443/tcp is open get no media by TURN; let Parvis have the port itself, if there are such",
            ),
            asked => relay_line(what, tried, asked),
        }
    }
}

fn relay_line(what: &'static str, tried: String, asked: Result<String, String>) -> Line {
    match asked {
        Ok(seen) => Line::good(what, tried, seen),
        Err(problem) => {
            let remedy = "open the port in the firewall, and see turn.host and turn.udp_port";
            Line::bad(what, tried, problem, remedy)
        }
    }
}

/// What a server answered.
pub(super) struct Answer {
    pub(super) status: u16,
    head: String,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn read(bytes: &[u8]) -> Option<Answer> {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some(Answer { status, head: head.to_owned(), body: body.to_owned() })
    }

    /// A header's value.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

/// Sends one request, and reads the answer until whoever gives it hangs up.
async fn exchange(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), request: &str) -> io::Result<Answer> {
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    // Whoever hangs up without a word after all was said has said all.
    let read = stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer).await;
    match (Answer::read(&answer), read) {
        (Some(answer), _) => Ok(answer),
        (None, Err(error)) => Err(error),
        (None, Ok(_)) => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Asks for a page, and gives the answer's status.
async fn get(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), path: &str, host: &str) -> io::Result<u16> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    Ok(exchange(stream, &request).await?.status)
}

/// TLS as our profile has it, with the authorities that this machine trusts.
fn connector(settings: &Settings) -> Option<TlsConnector> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    trusting(roots, settings.config.tls.crypto_profile.0)
}

/// TLS that trusts these authorities.
pub(super) fn trusting(roots: RootCertStore, profile: CryptoProfile) -> Option<TlsConnector> {
    let versions = ClientConfig::builder_with_provider(Arc::new(profile.provider()))
        .with_safe_default_protocol_versions()
        .ok()?;
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

#[cfg(test)]
pub(super) mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// A server of this name at this place of the own machine.
    pub(crate) fn way(host: &str, at: SocketAddr, tls: Option<TlsConnector>) -> Way {
        Way {
            host: host.to_owned(),
            port: at.port(),
            listen: at,
            tls,
            proxied: false,
            udp_relay: None,
            local: vec![at.ip()],
            ours: vec![at.ip()],
        }
    }

    #[test]
    fn an_answer_is_parted_into_what_it_says() {
        let answer =
            Answer::read(b"HTTP/1.1 201 Created\r\nLocation:  /a\r\nx: y:z\r\n\r\nbody\r\n\r\nmore").unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (201, "body\r\n\r\nmore"));
        assert_eq!((answer.header("location"), answer.header("X")), (Some("/a"), Some("y:z")));
        assert_eq!(answer.header("etag"), None);
        assert!(Answer::read(b"SSH-2.0-OpenSSH").is_none() && Answer::read(b"").is_none());
    }

    #[test]
    fn a_relay_that_does_not_answer_is_told_with_its_remedy() {
        let line = relay_line("relay (UDP)", "asked".to_owned(), Err("no answer in 5 s".to_owned()));
        assert!(line.remedy.unwrap().contains("turn.udp_port"));
    }

    #[tokio::test]
    async fn a_relay_over_tcp_is_told_from_a_web_server_and_a_proxy_is_no_fault() {
        use super::super::State;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let at = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            for answer in [b"\x01\x13\x00\x00".as_slice(), b"HTTP/1.1 400", b"HTTP/1.1 400"] {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut asked = [0; ALLOCATE.len()];
                stream.read_exact(&mut asked).await.unwrap();
                assert_eq!(asked, ALLOCATE);
                stream.write_all(answer).await.unwrap();
            }
        });
        let mut way = way("127.0.0.1", at, None);
        let line = way.relay_by_stream(None).await;
        assert_eq!((line.what, line.state), ("relay (TCP)", State::Good), "{line:?}");
        let line = way.relay_by_stream(None).await;
        assert_eq!((line.state, line.seen.as_str()), (State::Bad, "an answer that no relay gives"));
        way.proxied = true;
        let line = way.relay_by_stream(None).await;
        assert_eq!(line.state, State::Poor);
        assert!(line.seen.ends_with("the proxy hands on HTTP alone"), "{}", line.seen);
        serving.await.unwrap();
    }

    #[tokio::test]
    async fn a_name_is_looked_up_and_compared_with_this_machine() {
        use super::super::State;
        let at = SocketAddr::from(([127, 0, 0, 1], 443));
        assert_eq!(way("127.0.0.1", at, None).name().await.state, State::Skipped);
        let mut here = way("localhost", at, None);
        here.ours.push("::1".parse().unwrap());
        assert_eq!(here.name().await.state, State::Good);
        here.ours = vec!["192.0.2.7".parse().unwrap()];
        let line = here.name().await;
        assert_eq!(line.state, State::Poor);
        assert!(line.seen.contains("not all are of this machine"), "{}", line.seen);
        // A name that can't be one: no resolver is asked.
        let line = way("a..b", at, None).name().await;
        assert_eq!(line.state, State::Bad);
        assert!(line.remedy.unwrap().contains("A and AAAA records"));
    }
}
