// SPDX-License-Identifier: EUPL-1.2
//! Checkpoints to a system log (RFC 5424): over UDP (RFC 5426), TCP with counted octets (RFC 6587), or TLS (RFC 5425). The message is one line
//! of JSON, `{"note":"…"}`, with a time-stamp `{"note":"…","stamp":"…"}`, which `parvis audit verify --checkpoints` finds again in whatever file it ends up.

use std::sync::Arc;
use std::time::Duration;

#[cfg(test)]
use parvis_audit::stamped_line;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{now_ms, utc};

/// How long one message may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Facility 13, "log audit", severity 5, "notice" (RFC 5424 section 6.2.1).
const PRIORITY: u8 = 13 * 8 + 5;

/// How messages are carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transport {
    Udp,
    Tcp,
    Tls,
}

/// A system log elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SyslogTarget {
    transport: Transport,
    host: String,
    port: u16,
}

impl SyslogTarget {
    /// Reads `udp://HOST:PORT`, `tcp://HOST:PORT` or `tls://HOST:PORT`; without a port the usual one.
    pub(crate) fn parse(text: &str) -> Result<SyslogTarget, String> {
        let form = || {
            format!(
                "\"{text}\" is no system log; use one such as \"tls://logs.example.org:6514\", or udp:// or tcp://"
            )
        };
        let (scheme, rest) = text.split_once("://").ok_or_else(form)?;
        let (transport, usual) = match scheme {
            "udp" => (Transport::Udp, 514),
            "tcp" => (Transport::Tcp, 601),
            "tls" => (Transport::Tls, 6514),
            _ => return Err(form()),
        };
        let (host, port) = match rest.rsplit_once(':') {
            // An address of IPv6 stands in brackets.
            Some((host, port)) if !port.contains(']') => (host, port.parse().map_err(|_| form())?),
            _ => (rest, usual),
        };
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let is_plain = |character: char| character.is_ascii_alphanumeric() || ".-:_".contains(character);
        if host.is_empty() || host.len() > 255 || !host.chars().all(is_plain) || port == 0 {
            return Err(form());
        }
        Ok(SyslogTarget { transport, host: host.to_owned(), port })
    }

    /// Sends a note, trusting what the system trusts.
    #[cfg(test)]
    pub(super) async fn send(&self, note: &str) -> Result<(), String> {
        self.send_line(&stamped_line(note, None)).await
    }

    /// Sends a note as it is written into a line, which may have a time-stamp with it.
    pub(super) async fn send_line(&self, line: &str) -> Result<(), String> {
        let roots = if self.transport == Transport::Tls { trusted() } else { RootCertStore::empty() };
        self.send_line_trusting(line, roots).await
    }

    #[cfg(test)]
    pub(super) async fn send_trusting(&self, note: &str, roots: RootCertStore) -> Result<(), String> {
        self.send_line_trusting(&stamped_line(note, None), roots).await
    }

    async fn send_line_trusting(&self, line: &str, roots: RootCertStore) -> Result<(), String> {
        let place = format!("{}:{}", self.host, self.port);
        let sent = timeout(PATIENCE, self.carry(&message(line), roots)).await;
        let sent = sent.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
        sent.map_err(|error| format!("{place}: {error}"))
    }

    async fn carry(&self, message: &str, roots: RootCertStore) -> Result<(), std::io::Error> {
        let address = (self.host.as_str(), self.port);
        if self.transport == Transport::Udp {
            let target = tokio::net::lookup_host(address).await?.next();
            let target = target.ok_or(std::io::ErrorKind::AddrNotAvailable)?;
            let own = if target.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            UdpSocket::bind(own).await?.send_to(message.as_bytes(), target).await?;
            return Ok(());
        }
        let stream = TcpStream::connect(address).await?;
        let framed = format!("{} {message}", message.len());
        if self.transport == Transport::Tcp {
            return write(stream, &framed).await;
        }
        write(secure(&self.host, stream, roots).await?, &framed).await
    }
}

/// What the system trusts.
pub(super) fn trusted() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

/// Speaks TLS with this host.
pub(super) async fn secure(
    host: &str,
    stream: TcpStream,
    roots: RootCertStore,
) -> Result<TlsStream<TcpStream>, std::io::Error> {
    let invalid = |error: String| std::io::Error::new(std::io::ErrorKind::InvalidInput, error);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| invalid(error.to_string()))?;
    let config = builder.with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(|error| invalid(error.to_string()))?;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

async fn write(mut stream: impl AsyncWrite + Unpin, text: &str) -> Result<(), std::io::Error> {
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}

/// A whole message: priority, version, time, host, program, process, kind, no structured data, and the line.
fn message(line: &str) -> String {
    let stamp = utc(now_ms());
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let is_plain = |host: &&str| !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic());
    let host = Some(host.trim()).filter(is_plain).unwrap_or("-");
    format!("<{PRIORITY}>1 {stamp} {host} parvis {} audit-checkpoint - {line}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_log_is_named_by_transport_host_and_port() {
        let target = |transport, host: &str, port| SyslogTarget { transport, host: host.to_owned(), port };
        for (text, expected) in [
            ("udp://logs.example.org", target(Transport::Udp, "logs.example.org", 514)),
            ("tcp://192.0.2.7:1601", target(Transport::Tcp, "192.0.2.7", 1601)),
            ("tls://[2001:db8::1]:6514", target(Transport::Tls, "2001:db8::1", 6514)),
            ("tls://[2001:db8::1]", target(Transport::Tls, "2001:db8::1", 6514)),
        ] {
            assert_eq!(SyslogTarget::parse(text), Ok(expected));
        }
        for text in [
            "",
            "logs.example.org",
            "http://a",
            "udp://",
            "udp://a:x",
            "udp://a:0",
            "tcp://a b:1",
            "tls://u@h:1",
        ] {
            assert!(SyslogTarget::parse(text).unwrap_err().contains("tls://logs.example.org:6514"), "{text}");
        }
    }

    #[test]
    fn a_message_is_one_line_that_says_what_it_is() {
        let message = message(&stamped_line("a\n1\n", None));
        assert!(message.starts_with("<109>1 20"), "{message}");
        assert!(message.ends_with(" audit-checkpoint - {\"note\":\"a\\n1\\n\"}"), "{message}");
        assert_eq!(message.split(' ').nth(1).unwrap().len(), "2026-11-28T12:00:00.000Z".len());
        assert!(!message.contains('\n'));
    }
}
