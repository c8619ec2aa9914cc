// SPDX-License-Identifier: EUPL-1.2
//! The PROXY protocol, version 2, as a proxy sends it before a connection's own bytes (the protocol's specification is part
//! of HAProxy's documentation, `proxy-protocol.txt`, section 2.2). Version 1 is not read: version 2 can't be mistaken for
//! anything else on this port.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What every header begins with.
pub const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The header's fixed part.
pub const HEAD_BYTES: usize = 16;
/// The longest rest that is read: addresses and what proxies add to them, a certificate's name or an id.
pub const MAX_REST_BYTES: usize = 2_048;

/// Why a header can't be followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// Another protocol, or another version.
    #[error("no PROXY protocol of version 2")]
    NotProxy,
    /// Longer than what is read.
    #[error("a PROXY header of {0} bytes, at most {MAX_REST_BYTES} are read")]
    TooLong(usize),
    /// Shorter than its own addresses.
    #[error("a PROXY header that ends within its addresses")]
    Short,
}

/// Bytes that follow the fixed part.
pub fn rest_bytes(head: &[u8; HEAD_BYTES]) -> Result<usize, ProxyError> {
    if head[..12] != SIGNATURE || head[12] >> 4 != 2 {
        return Err(ProxyError::NotProxy);
    }
    let length = usize::from(u16::from_be_bytes([head[14], head[15]]));
    if length > MAX_REST_BYTES { Err(ProxyError::TooLong(length)) } else { Ok(length) }
}

/// Whom the proxy speaks for; `None` when it speaks for itself (a health check), or of something that has no IP address.
pub fn source(head: &[u8; HEAD_BYTES], rest: &[u8]) -> Result<Option<SocketAddr>, ProxyError> {
    rest_bytes(head)?;
    match head[12] & 0x0f {
        0 => return Ok(None),
        1 => {}
        _ => return Err(ProxyError::NotProxy),
    }
    let port = |at: usize| rest.get(at..)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes));
    let source: Option<(IpAddr, u16)> = match head[13] {
        // TCP over IPv4 and over IPv6: source, destination, their ports.
        0x11 => rest.first_chunk::<4>().map(|ip| Ipv4Addr::from(*ip).into()).zip(port(8)),
        0x21 => rest.first_chunk::<16>().map(|ip| Ipv6Addr::from(*ip).into()).zip(port(32)),
        _ => return Ok(None),
    };
    source.map(|source| Some(SocketAddr::from(source))).ok_or(ProxyError::Short)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(command: u8, family: u8, rest: &[u8]) -> ([u8; HEAD_BYTES], Vec<u8>) {
        let mut head = [0; HEAD_BYTES];
        head[..12].copy_from_slice(&SIGNATURE);
        head[12] = 0x20 | command;
        head[13] = family;
        head[14..].copy_from_slice(&(rest.len() as u16).to_be_bytes());
        (head, rest.to_vec())
    }

    #[test]
    fn the_source_is_read_in_both_families_and_a_health_check_has_none() {
        let v4 = [198, 51, 100, 9, 203, 0, 113, 7, 0x12, 0x67, 1, 187, 0x04, 0, 1, 9];
        let (head, rest) = header(1, 0x11, &v4);
        assert_eq!(source(&head, &rest), Ok(Some("198.51.100.9:4711".parse().unwrap())));
        let mut v6 = vec![0; 36];
        v6[..16].copy_from_slice(&"2001:db8::9".parse::<Ipv6Addr>().unwrap().octets());
        v6[32..34].copy_from_slice(&4711_u16.to_be_bytes());
        let (head, rest) = header(1, 0x21, &v6);
        assert_eq!(source(&head, &rest), Ok(Some("[2001:db8::9]:4711".parse().unwrap())));
        let (head, rest) = header(0, 0, &[]);
        assert_eq!(source(&head, &rest), Ok(None));
        let (head, rest) = header(1, 0x31, &[b'/'; 216]);
        assert_eq!(source(&head, &rest), Ok(None), "a socket file");
    }

    #[test]
    fn what_is_none_or_too_long_or_too_short_is_refused() {
        let (mut head, rest) = header(1, 0x11, &[1; 11]);
        assert_eq!(source(&head, &rest[..9]), Err(ProxyError::Short));
        head[12] = 0x11;
        assert_eq!(source(&head, &rest), Err(ProxyError::NotProxy));
        let (head, rest) = header(2, 0x11, &[1; 12]);
        assert_eq!(source(&head, &rest), Err(ProxyError::NotProxy));
        let (mut head, _) = header(1, 0x11, &[]);
        head[14] = 0xff;
        assert_eq!(rest_bytes(&head), Err(ProxyError::TooLong(0xff00)));
        assert_eq!(rest_bytes(b"PROXY TCP4 192.0"), Err(ProxyError::NotProxy));
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(head in any::<[u8; HEAD_BYTES]>(), rest in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = source(&head, &rest);
            let mut signed = head;
            signed[..12].copy_from_slice(&SIGNATURE);
            let _ = source(&signed, &rest);
        }
    }
}
