// SPDX-License-Identifier: EUPL-1.2
//! Checkpoints to a system log (RFC 5424): over UDP (RFC 5426), TCP with counted octets (RFC 6587), or TLS (RFC 5425). The message is one line
//! of JSON, `{"note":"…"}`, which `parvis audit verify --checkpoints` finds again in whatever file it ends up.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use time::OffsetDateTime;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::now_ms;

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
    pub(super) async fn send(&self, note: &str) -> Result<(), String> {
        let mut roots = RootCertStore::empty();
        if self.transport == Transport::Tls {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        self.send_trusting(note, roots).await
    }

    pub(super) async fn send_trusting(&self, note: &str, roots: RootCertStore) -> Result<(), String> {
        let place = format!("{}:{}", self.host, self.port);
        let sent = timeout(PATIENCE, self.carry(&message(note), roots)).await;
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
        let invalid = |error: String| std::io::Error::new(std::io::ErrorKind::InvalidInput, error);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| invalid(error.to_string()))?;
        let config = builder.with_root_certificates(roots).with_no_client_auth();
        let name = ServerName::try_from(self.host.clone()).map_err(|error| invalid(error.to_string()))?;
        write(TlsConnector::from(Arc::new(config)).connect(name, stream).await?, &framed).await
    }
}

async fn write(mut stream: impl AsyncWrite + Unpin, text: &str) -> Result<(), std::io::Error> {
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}

/// A whole message: priority, version, time, host, program, process, kind, no structured data, and the note.
fn message(note: &str) -> String {
    let now = now_ms();
    let (seconds, millis) = (now / 1_000, now % 1_000);
    let now = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (date, time) = (now.date(), now.time());
    let stamp = format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{millis:03}Z",
        date.year(),
        u8::from(date.month()),
        date.day(),
        time.hour(),
        time.minute(),
        time.second()
    );
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let is_plain = |host: &&str| !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic());
    let host = Some(host.trim()).filter(is_plain).unwrap_or("-");
    let note = serde_json::json!({ "note": note });
    format!("<{PRIORITY}>1 {stamp} {host} parvis {} audit-checkpoint - {note}", std::process::id())
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
        let message = message("a\n1\n");
        assert!(message.starts_with("<109>1 20"), "{message}");
        assert!(message.ends_with(" audit-checkpoint - {\"note\":\"a\\n1\\n\"}"), "{message}");
        assert_eq!(message.split(' ').nth(1).unwrap().len(), "2026-11-28T12:00:00.000Z".len());
        assert!(!message.contains('\n'));
    }
}
