// SPDX-License-Identifier: EUPL-1.2
//! Which addresses lie inside a network, in whatever disguise they come: for everything that connects or relays where
//! somebody else says.
//!
//! **The invariant:** an IPv6 address that carries an IPv4 address is judged by what it carries. So no translation
//! (RFC 6052), tunnel (RFC 3056, RFC 4380, RFC 5214) or mapping (RFC 4291) opens what the plain address does not.
//!
//! ```
//! use parvis_addr::{canonical, is_internal};
//!
//! assert!(is_internal("127.0.0.1".parse().unwrap()));
//! assert!(is_internal("::ffff:127.0.0.1".parse().unwrap()));
//! assert!(is_internal("64:ff9b::a00:1".parse().unwrap()), "10.0.0.1 behind NAT64");
//! assert!(!is_internal("9.9.9.9".parse().unwrap()));
//! assert_eq!(canonical("::ffff:9.9.9.9".parse().unwrap()), canonical("9.9.9.9".parse().unwrap()));
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The address that packets to `address` end at: the IPv4 address within an IPv6 one that carries one, else itself.
/// Of a Teredo address it is the client's (RFC 4380 section 4).
pub fn canonical(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => carried(v6).map_or(address, |[v4, _]| IpAddr::V4(v4)),
    }
}

/// Whether an address is no place on the public Internet: loopback, private, link-local, shared, reserved, multicast,
/// for documentation or for tests (the special-purpose registries of RFC 6890), itself or by what it carries.
pub fn is_internal(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_internal_v4(v4),
        IpAddr::V6(v6) => match carried(v6) {
            Some(both) => both.into_iter().any(is_internal_v4),
            None => is_internal_v6(v6),
        },
    }
}

/// The IPv4 addresses that an IPv6 address carries: where its packets end, and through whom they go.
fn carried(address: Ipv6Addr) -> Option<[Ipv4Addr; 2]> {
    let part = address.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    let last = v4(part[6], part[7]);
    match part {
        // `::` and `::1` are themselves; ::a.b.c.d is the IPv4-compatible form (RFC 4291 section 2.5.5.1).
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, ..] => Some([last, last]),
        // IPv4-translated (RFC 2765 section 2.1).
        [0, 0, 0, 0, 0xffff, 0, ..] => Some([last, last]),
        // NAT64's well-known prefix (RFC 6052 section 2.1).
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => Some([last, last]),
        // 6to4 (RFC 3056 section 2).
        [0x2002, high, low, ..] => Some([v4(high, low), v4(high, low)]),
        // Teredo: the server, and the client with its bits turned (RFC 4380 section 4).
        [0x2001, 0, high, low, ..] => Some([v4(!part[6], !part[7]), v4(high, low)]),
        // ISATAP, under any prefix (RFC 5214 section 6.1).
        [_, _, _, _, 0 | 0x200, 0x5efe, ..] => Some([last, last]),
        _ => None,
    }
}

fn is_internal_v4(address: Ipv4Addr) -> bool {
    let number = u32::from(address);
    INTERNAL_V4.iter().any(|(network, bits)| (number ^ u32::from(Ipv4Addr::from(*network))) >> (32 - bits) == 0)
}

fn is_internal_v6(address: Ipv6Addr) -> bool {
    let number = u128::from(address);
    INTERNAL_V6.iter().any(|(network, bits)| (number ^ u128::from(Ipv6Addr::from(*network))) >> (128 - bits) == 0)
}

/// IANA's IPv4 special-purpose address registry, and multicast.
const INTERNAL_V4: [([u8; 4], u32); 16] = [
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 0, 2, 0], 24),
    ([192, 31, 196, 0], 24),
    ([192, 88, 99, 0], 24),
    ([192, 168, 0, 0], 16),
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    ([224, 0, 0, 0], 4),
    ([240, 0, 0, 0], 4),
];

/// IANA's IPv6 special-purpose address registry, the former site-local addresses, and multicast. The NAT64 prefix for
/// networks of their own (RFC 8215) is here whole: where in it the IPv4 address lies is each network's own affair.
const INTERNAL_V6: [([u16; 8], u32); 14] = [
    ([0, 0, 0, 0, 0, 0, 0, 0], 127),
    ([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48),
    ([0x100, 0, 0, 0, 0, 0, 0, 0], 64),
    ([0x100, 0, 0, 1, 0, 0, 0, 0], 64),
    ([0x2001, 2, 0, 0, 0, 0, 0, 0], 48),
    ([0x2001, 0x10, 0, 0, 0, 0, 0, 0], 28),
    ([0x2001, 0x20, 0, 0, 0, 0, 0, 0], 28),
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32),
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20),
    ([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16),
    ([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7),
    ([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10),
    ([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10),
    ([0xff00, 0, 0, 0, 0, 0, 0, 0], 8),
];
