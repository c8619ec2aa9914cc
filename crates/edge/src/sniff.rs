// SPDX-License-Identifier: EUPL-1.2
//! What a connection's first bytes say of it.
//!
//! | first bytes | protocol |
//! |---|---|
//! | 0x16 | TLS: a handshake record (RFC 8446 section 5.1) |
//! | a capital letter | HTTP: a method (RFC 9110 section 9) |
//! | STUN's magic cookie at byte 4 | TURN over TCP (RFC 8489 section 5) |
//! | the cookie at byte 6 | ICE over TCP: a frame with STUN in it (RFC 4571, RFC 6544) |

use parvis_peer::stun::MAGIC_COOKIE;

/// A protocol that comes to the public port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// TLS, with something within.
    Tls,
    /// HTTP without it.
    Http,
    /// STUN and TURN on a byte stream.
    Turn,
    /// Frames with STUN, DTLS and media.
    Ice,
    /// None of them.
    Unknown,
}

/// Enough bytes to tell.
pub const ENOUGH_BYTES: usize = 10;

/// What these bytes begin; `None` when more are needed.
pub fn protocol(first: &[u8]) -> Option<Protocol> {
    match first.first()? {
        0x16 => return Some(Protocol::Tls),
        b'A'..=b'Z' => return Some(Protocol::Http),
        _ => {}
    }
    let has_cookie = |at: usize| first.get(at..).is_some_and(|rest| rest.starts_with(&MAGIC_COOKIE));
    if first[0] < 0x40 && has_cookie(4) {
        return Some(Protocol::Turn);
    }
    if has_cookie(6) {
        return Some(Protocol::Ice);
    }
    (first.len() >= ENOUGH_BYTES).then_some(Protocol::Unknown)
}

#[cfg(test)]
mod tests {
    use parvis_peer::framing::frame;
    use parvis_peer::stun::{BINDING_REQUEST, Writer};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_protocol_is_known_by_its_first_bytes_and_no_sooner() {
        let stun = Writer::new(BINDING_REQUEST, &[7; 12]).finish(None);
        let mut ice = Vec::new();
        frame(&stun, &mut ice).unwrap();
        for (bytes, expected, needed) in [
            (&[0x16, 3, 1, 2, 0][..], Protocol::Tls, 1),
            (b"GET / HTTP/1.1\r\n", Protocol::Http, 1),
            (&stun, Protocol::Turn, 8),
            (&ice, Protocol::Ice, 10),
            (b"\0\0\0\0\0\0\0\0\0\0\0\0", Protocol::Unknown, 10),
            (b"ssh-2.0-hello", Protocol::Unknown, 10),
        ] {
            assert_eq!(protocol(bytes), Some(expected));
            assert_eq!(protocol(&bytes[..needed]), Some(expected));
            if needed > 1 {
                assert_eq!(protocol(&bytes[..needed - 1]), None, "{expected:?}");
            }
        }
        assert_eq!(protocol(&[]), None);
    }

    proptest! {
        #[test]
        fn ten_bytes_always_tell(bytes in any::<[u8; 10]>()) {
            prop_assert!(protocol(&bytes).is_some());
        }
    }
}
