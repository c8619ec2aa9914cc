// SPDX-License-Identifier: EUPL-1.2
//! Where a stream is pushed to: read from a URL, and told to the process that pushes. The URL holds a key: it goes by
//! standard input, never by a command line, and nothing that is said of it repeats the key.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// The longest line that is read as an order, in bytes.
pub const MAX_ORDER_BYTES: usize = 8 << 10;
/// What stands in the place of a secret.
const HIDDEN: &str = "{…}";
/// What an SRT URL may say besides its place. All else could open ports, or files.
const SRT_OPTIONS: [&str; 5] = ["mode", "streamid", "passphrase", "pbkeylen", "latency"];

/// The first line of a pusher's standard input, in JSON; the rest is an MPEG transport stream.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushOrder {
    /// Where to.
    pub url: String,
    /// The address that is connected to, in the place of what the host's name stands for. Not with TLS, which proves the name.
    #[serde(default)]
    pub address: Option<IpAddr>,
    /// Whether the stream has pictures. Its sound it has always.
    pub pictures: bool,
    /// For how long the target may take nothing, in milliseconds, before the pusher ends.
    pub patience_millis: u64,
}

/// By what a stream is pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushProtocol {
    /// RTMP.
    Rtmp,
    /// RTMP in TLS.
    Rtmps,
    /// SRT, as the one who calls.
    Srt,
}

/// A URL to push to, taken apart. Its secrets are not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct PushTarget {
    /// By what.
    pub protocol: PushProtocol,
    /// Name or address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// `user:password`, or nothing.
    user: String,
    /// What stands behind host and port, from the `/` or the `?` on.
    rest: String,
}

impl PushProtocol {
    fn scheme(self) -> &'static str {
        match self {
            PushProtocol::Rtmp => "rtmp",
            PushProtocol::Rtmps => "rtmps",
            PushProtocol::Srt => "srt",
        }
    }
}

impl PushTarget {
    /// Reads a URL, or says what is wrong with it, without repeating it.
    pub fn parse(url: &str) -> Result<PushTarget, String> {
        let wrong = |what: &str| {
            Err(format!(
                "the URL of a stream {what}; use one such as \"rtmps://live.example.org/app/KEY\" or \"srt://live.example.org:9000\""
            ))
        };
        if url.len() > MAX_ORDER_BYTES / 2 || url.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            return wrong("is too long, or has spaces in it");
        }
        let Some((scheme, behind)) = url.split_once("://") else { return wrong("has no scheme") };
        let (protocol, default) = match scheme.to_ascii_lowercase().as_str() {
            "rtmp" => (PushProtocol::Rtmp, Some(1935)),
            "rtmps" => (PushProtocol::Rtmps, Some(443)),
            "srt" => (PushProtocol::Srt, None),
            _ => return wrong("begins with none of rtmp://, rtmps:// and srt://"),
        };
        let at = behind.find(['/', '?']).unwrap_or(behind.len());
        let (authority, rest) = behind.split_at(at);
        let (user, place) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (host, port) = match place.strip_prefix('[').and_then(|place| place.split_once(']')) {
            Some((host, port)) if host.parse::<std::net::Ipv6Addr>().is_ok() => {
                (host, port.strip_prefix(':'))
            }
            Some(_) => return wrong("has a host that is none"),
            None => place.rsplit_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
        };
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':');
        if host.is_empty() || !host.bytes().all(is_name) {
            return wrong("has no host, or one that is none");
        }
        let port = match port {
            Some(port) => port.parse::<u16>().ok().filter(|port| *port != 0),
            None => default,
        };
        let Some(port) = port else { return wrong("has no port, or one that is none") };
        let target = PushTarget {
            protocol,
            host: host.to_ascii_lowercase(),
            port,
            user: user.to_owned(),
            rest: rest.to_owned(),
        };
        match protocol {
            PushProtocol::Srt => {
                for (name, value) in target.options() {
                    if !SRT_OPTIONS.contains(&name) {
                        return wrong(
                            "has an option that is none of mode, streamid, passphrase, pbkeylen and latency",
                        );
                    }
                    if name == "mode" && value != "caller" {
                        return wrong("waits for somebody to call, which is not done here");
                    }
                }
                if !user.is_empty() || !matches!(target.path(), "" | "/") {
                    return wrong("has a user or a path, which SRT has not");
                }
            }
            PushProtocol::Rtmp | PushProtocol::Rtmps => {
                if target.path().split('/').filter(|part| !part.is_empty()).count() < 2 {
                    return wrong("names no application and stream");
                }
            }
        }
        Ok(target)
    }

    /// The URL that is connected to: `address` in the place of the host, where there is one.
    pub fn location(&self, address: Option<IpAddr>) -> String {
        let host = address.map_or_else(|| self.host.clone(), |address| address.to_string());
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        let user = if self.user.is_empty() { String::new() } else { format!("{}@", self.user) };
        format!("{}://{user}{host}:{}{}", self.protocol.scheme(), self.port, self.rest)
    }

    /// Where it is, without a secret.
    pub fn place(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        format!("{}://{host}:{}", self.protocol.scheme(), self.port)
    }

    /// A text of somebody else's, without what of the URL is secret.
    pub fn hide(&self, text: &str) -> String {
        let mut secrets: Vec<&str> = self.options().map(|(_, value)| value).collect();
        secrets.extend(self.user.split(':'));
        if self.protocol != PushProtocol::Srt {
            secrets.extend(self.path().trim_end_matches('/').rsplit('/').next());
            secrets.push(&self.rest);
        }
        secrets.retain(|secret| !secret.is_empty());
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.into_iter().fold(text.to_owned(), |text, secret| text.replace(secret, HIDDEN))
    }

    fn path(&self) -> &str {
        self.rest.split_once('?').map_or(self.rest.as_str(), |(path, _)| path)
    }

    fn options(&self) -> impl Iterator<Item = (&str, &str)> {
        let query = self.rest.split_once('?').map_or("", |(_, query)| query);
        query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
    }
}

impl fmt::Debug for PushTarget {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.place())
    }
}

impl fmt::Debug for PushOrder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = PushTarget::parse(&self.url).map_or_else(|_| HIDDEN.to_owned(), |target| target.place());
        formatter.debug_struct("PushOrder").field("url", &place).field("address", &self.address).finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn row_49_a_stream_goes_to_rtmp_or_srt_and_nowhere_else() {
        let target = PushTarget::parse("rtmps://Live.example.org/app/KEY?auth=hush").unwrap();
        assert_eq!(
            (target.protocol, target.host.as_str(), target.port),
            (PushProtocol::Rtmps, "live.example.org", 443)
        );
        assert_eq!(target.location(None), "rtmps://live.example.org:443/app/KEY?auth=hush");
        let target = PushTarget::parse("rtmp://me:hush@[::1]/a/b").unwrap();
        assert_eq!(target.location(None), "rtmp://me:hush@[::1]:1935/a/b");
        assert_eq!(target.location(Some("10.0.0.1".parse().unwrap())), "rtmp://me:hush@10.0.0.1:1935/a/b");
        assert_eq!(target.place(), "rtmp://[::1]:1935");
        let target =
            PushTarget::parse("srt://live.example.org:9000?passphrase=hushhushhush&streamid=x").unwrap();
        assert_eq!(target.location(None), "srt://live.example.org:9000?passphrase=hushhushhush&streamid=x");
        for url in [
            "",
            "live.example.org",
            "http://live.example.org/a/b",
            "file:///etc/passwd",
            "rtmp://",
            "rtmp:///a/b",
            "rtmp://live.example.org",
            "rtmp://live.example.org/key",
            "rtmp://live.example.org:0/a/b",
            "rtmp://live.example.org:x/a/b",
            "rtmp://live example.org/a/b",
            "rtmp://[nonsense]/a/b",
            "rtmp://a!b/a/b",
            "srt://live.example.org",
            "srt://:9000?mode=listener",
            "srt://live.example.org:9000?mode=listener",
            "srt://live.example.org:9000?mode=rendezvous",
            "srt://live.example.org:9000?localport=22",
            "srt://live.example.org:9000/path",
            "srt://me:hush@live.example.org:9000",
            "rtmpt://live.example.org/a/b",
        ] {
            let problem = PushTarget::parse(url).unwrap_err();
            assert!(problem.contains("use one such as") && !problem.contains("hush"), "{url}: {problem}");
        }
    }

    #[test]
    fn no_key_is_repeated_in_what_is_said() {
        let target = PushTarget::parse("rtmp://me:pass@live.example.org/app/verysecret?auth=token").unwrap();
        let said = target.hide("verysecret at live.example.org was refused for me:pass with token");
        assert_eq!(said, "{…} at live.example.org was refused for {…}:{…} with {…}");
        let srt = PushTarget::parse("srt://live.example.org:9000?passphrase=hushhushhush").unwrap();
        assert_eq!(srt.hide("bad hushhushhush"), "bad {…}");
        let order = PushOrder {
            url: "rtmp://live.example.org/app/verysecret".into(),
            address: None,
            pictures: true,
            patience_millis: 1,
        };
        let shown = format!("{target:?} {srt:?} {order:?}");
        assert!(!shown.contains("secret") && !shown.contains("hush"), "{shown}");
        assert!(shown.contains("live.example.org"), "{shown}");
    }
}
