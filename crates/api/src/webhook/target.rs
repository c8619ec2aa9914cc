// SPDX-License-Identifier: EUPL-1.2
//! Where webhooks may go.

use std::net::{IpAddr, SocketAddr};

use axum::http::Uri;
use parvis_addr::{canonical, is_internal};

/// What parts a URL from the key that signs for it, where a request named both: no URL has one (RFC 3986 section 2).
const SPACE: char = ' ';

/// A target, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// What it is called in the outbox: its URL, and behind a space the key that signs if a request named it.
    pub(crate) id: String,
    /// The key that signs, if a request named the target.
    pub(super) signer: Option<String>,
    /// Whether it may be inside the own network where the operator allows that.
    pub(super) trusted: bool,
    /// Whether TLS is spoken.
    pub(super) tls: bool,
    /// Name or address, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// What the header `Host` says.
    pub(crate) authority: String,
    pub(crate) path: String,
}

impl Target {
    /// Reads a URL, or says what is wrong with it.
    pub(super) fn parse(url: &str) -> Result<Target, String> {
        Target::read(url).map_err(|problem| {
            format!("\"{url}\" {problem}; use a URL such as \"https://example.org/webhook\"")
        })
    }

    /// Reads a URL, or says what is wrong with it, and no more.
    pub(crate) fn read(url: &str) -> Result<Target, &'static str> {
        let uri: Uri = url.parse().map_err(|_| "is no URL")?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err("begins neither with https:// nor with http://"),
        };
        let authority = uri.authority().ok_or("has no host")?;
        if authority.as_str().contains('@') {
            return Err("holds a user name, which is not sent");
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err("has no host");
        }
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let authority = authority.as_str().to_owned();
        Ok(Target { id: url.to_owned(), signer: None, trusted: true, tls, host, port, authority, path })
    }

    /// One that a request named.
    pub(super) fn further(url: &str, signer: &str, trusted: bool) -> Result<Target, String> {
        let id = further_id(url, signer);
        Ok(Target { id, signer: Some(signer.to_owned()), trusted, ..Target::parse(url)? })
    }
}

/// What a target that a request named is called in the outbox.
pub(super) fn further_id(url: &str, signer: &str) -> String {
    format!("{url}{SPACE}{signer}")
}

/// URL and signer of a target that a request named, by what it is called in the outbox; `None` for one of the configuration.
pub(super) fn of_request(id: &str) -> Option<(&str, &str)> {
    id.split_once(SPACE)
}

/// What inside the own network may be reached all the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InternalPlaces {
    entries: Vec<(String, u16)>,
}

impl InternalPlaces {
    /// Reads entries such as `backend:8000`, `10.1.2.3:443` or `[fd00::1]:443`.
    pub fn parse(entries: &[String]) -> Result<InternalPlaces, String> {
        let entry = |text: &String| {
            let (host, port) = text.rsplit_once(':').ok_or(())?;
            let port = port.parse::<u16>().map_err(drop)?;
            let host = host.trim_start_matches('[').trim_end_matches(']');
            if host.is_empty() || port == 0 { Err(()) } else { Ok((host.to_ascii_lowercase(), port)) }
        };
        let wrong = |text: &String| format!("\"{text}\" is no HOST:PORT; use one such as \"127.0.0.1:8000\"");
        let entries = entries.iter().map(|text| entry(text).map_err(|()| wrong(text)));
        Ok(InternalPlaces { entries: entries.collect::<Result<_, _>>()? })
    }

    /// Whether a connection for `host` may go to `address`.
    pub fn may_connect(&self, host: &str, address: SocketAddr) -> bool {
        !is_internal(address.ip())
            || self.entries.iter().any(|(allowed, port)| {
                let same_address =
                    allowed.parse::<IpAddr>().is_ok_and(|ip| canonical(ip) == canonical(address.ip()));
                *port == address.port() && (same_address || allowed.eq_ignore_ascii_case(host))
            })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn row_49_a_target_is_a_web_address_and_nothing_else() {
        let target = Target::parse("https://example.org/hook?a=1").unwrap();
        assert_eq!(
            (target.host.as_str(), target.port, target.path.as_str(), target.tls),
            ("example.org", 443, "/hook?a=1", true)
        );
        let target = Target::parse("http://[::1]:8000").unwrap();
        assert_eq!((target.host.as_str(), target.port, target.path.as_str()), ("::1", 8000, "/"));
        let further = Target::further("https://example.org/hook", "main", false).unwrap();
        assert_eq!(of_request(&further.id), Some(("https://example.org/hook", "main")));
        assert_eq!((of_request(&target.id), further.path.as_str()), (None, "/hook"));
        for url in [
            "",
            "https://example.org/a b",
            "example.org",
            "/hook",
            "file:///etc/passwd",
            "gopher://example.org/",
            "ftp://example.org/x",
            "https://",
            "https://user:secret@example.org/",
            "unix:/run/socket",
            "http:///x",
        ] {
            let problem = Target::parse(url).unwrap_err();
            assert!(problem.contains("use a URL such as"), "{url}: {problem}");
        }
    }

    #[test]
    fn row_49_only_what_is_named_inside_may_be_reached() {
        let allowed =
            InternalPlaces::parse(&["127.0.0.1:8000".into(), "backend:80".into(), "[fd00::1]:443".into()])
                .unwrap();
        let may = |host: &str, address: &str| allowed.may_connect(host, address.parse().unwrap());
        assert!(may("example.org", "9.9.9.9:443"), "the Internet needs no permission");
        assert!(may("anything", "127.0.0.1:8000"));
        assert!(may("anything", "[::ffff:127.0.0.1]:8000"), "the same address");
        assert!(may("Backend", "10.0.0.7:80"), "a name that the operator trusts");
        assert!(may("x", "[fd00::1]:443"));
        for (host, address) in [
            ("example.org", "127.0.0.1:8001"),
            ("example.org", "127.0.0.2:8000"),
            ("example.org", "10.0.0.7:80"),
            ("backend", "10.0.0.7:8080"),
            ("backend.example.org", "10.0.0.7:80"),
            ("x", "169.254.169.254:80"),
            ("x", "[::ffff:169.254.169.254]:80"),
            ("x", "[64:ff9b::7f00:1]:80"),
            ("x", "[2002:7f00:1::]:80"),
            ("x", "0.0.0.0:80"),
            ("x", "[::1]:8000"),
        ] {
            assert!(!may(host, address), "{host} at {address}");
        }
        for entry in ["127.0.0.1", "backend:", ":80", "backend:http", "backend:0", "backend:70000"] {
            assert!(InternalPlaces::parse(&[entry.to_owned()]).unwrap_err().contains("HOST:PORT"), "{entry}");
        }
    }
}
