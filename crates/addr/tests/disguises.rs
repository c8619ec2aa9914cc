// SPDX-License-Identifier: EUPL-1.2
//! No disguise changes what an address is.
#![allow(clippy::unwrap_used)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use parvis_addr::{canonical, is_internal};
use proptest::prelude::*;

/// Every form in which an IPv6 address carries this one.
fn disguises(v4: Ipv4Addr) -> Vec<IpAddr> {
    let [a, b, c, d] = v4.octets();
    let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    let mut forms = vec![
        Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, high, low),
        Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, high, low),
        Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
        Ipv6Addr::new(0x2002, high, low, 1, 2, 3, 4, 5),
        // Through a server of the public Internet, 9.9.9.9.
        Ipv6Addr::new(0x2001, 0, 0x909, 0x909, 0, 0xffff, !high, !low),
        Ipv6Addr::new(0x2600, 1, 2, 3, 0, 0x5efe, high, low),
        Ipv6Addr::new(0x2600, 1, 2, 3, 0x200, 0x5efe, high, low),
    ];
    // `::` and `::1` are addresses of their own.
    if u32::from(v4) > 1 {
        forms.push(Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low));
    }
    forms.into_iter().map(IpAddr::V6).collect()
}

proptest! {
    #[test]
    fn row_14_an_address_is_what_it_carries(number: u32) {
        let v4 = Ipv4Addr::from(number);
        for form in disguises(v4) {
            prop_assert_eq!(is_internal(form), is_internal(IpAddr::V4(v4)), "{} as {}", v4, form);
            prop_assert_eq!(canonical(form), IpAddr::V4(v4), "{} as {}", v4, form);
        }
    }

    #[test]
    fn row_14_every_private_address_is_internal_in_every_form(low in 0..1_u32 << 20) {
        for v4 in [Ipv4Addr::from(0x0a00_0000 | low), Ipv4Addr::from(0xac10_0000 | low), Ipv4Addr::from(0x7f00_0000 | low)] {
            prop_assert!(is_internal(IpAddr::V4(v4)));
            for form in disguises(v4) {
                prop_assert!(is_internal(form), "{} as {}", v4, form);
            }
        }
    }
}

#[test]
fn row_49_what_lies_inside_and_what_does_not() {
    let internal = [
        "0.0.0.0", "10.1.2.3", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.255.254", "169.254.169.254",
        "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.168.1.1", "198.18.0.1", "224.0.0.1", "255.255.255.255", "::",
        "::1", "::7f00:1", "fe80::1", "febf::1", "fec0::1", "fc00::1", "fd12:3456::1", "ff02::1", "2001:db8::1",
        "64:ff9b:1::1", "::ffff:169.254.169.254", "2002:7f00:1::", "2001:0:a00:1:0:ffff:f6f6:f6f6",
    ];
    for text in internal {
        assert!(is_internal(text.parse().unwrap()), "{text}");
    }
    let outside = [
        "1.1.1.1", "9.9.9.9", "11.0.0.1", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.1",
        "169.253.0.1", "172.15.255.255", "172.32.0.0", "192.167.1.1", "193.0.0.1", "198.17.255.255", "198.20.0.0",
        "223.255.255.255", "2600::1", "2a00:1450::1", "64:ff9b::909:909", "2002:909:909::1", "::ffff:9.9.9.9",
    ];
    for text in outside {
        assert!(!is_internal(text.parse().unwrap()), "{text}");
    }
}

#[test]
fn row_14_a_teredo_address_through_an_internal_server_is_internal() {
    // Server 10.0.0.1, client 9.9.9.9: its packets would go to the server.
    assert!(is_internal("2001:0:a00:1:0:ffff:f6f6:f6f6".parse().unwrap()));
}
