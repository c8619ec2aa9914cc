// SPDX-License-Identifier: EUPL-1.2
//! Which addresses this machine has.

use std::net::IpAddr;

use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use crate::ShardError;

/// Addresses offered at most: each is a socket per shard and a candidate in every description.
const MAX_ADDRESSES: usize = 16;

/// Every address of every interface that is up, loopback included, sorted, without link-local ones (a browser's
/// candidates never pair with them: they need a zone that no candidate carries).
pub fn local_addresses() -> Result<Vec<IpAddr>, ShardError> {
    let mut addresses: Vec<IpAddr> = getifaddrs()
        .map_err(ShardError::system("list the network interfaces"))?
        .filter(|interface| interface.flags.contains(InterfaceFlags::IFF_UP))
        .filter_map(|interface| {
            let address = interface.address?;
            let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
        })
        .filter(|address| match address {
            IpAddr::V4(v4) => !v4.is_link_local() && !v4.is_unspecified(),
            IpAddr::V6(v6) => !v6.is_unicast_link_local() && !v6.is_unspecified(),
        })
        .collect();
    addresses.sort();
    addresses.dedup();
    addresses.truncate(MAX_ADDRESSES);
    Ok(addresses)
}

/// Leaves out the addresses of a family that this process cannot use: the kernel has none of it, or the service manager keeps
/// it away. A configuration that names addresses of both then still serves those of the other. All other trouble with an
/// address is for its binding to tell.
pub fn of_present_families(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    of_families(addresses, |family| {
        !matches!(
            socket(family, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None),
            Err(Errno::EAFNOSUPPORT | Errno::EPROTONOSUPPORT)
        )
    })
}

fn of_families(addresses: Vec<IpAddr>, has: impl Fn(AddressFamily) -> bool) -> Vec<IpAddr> {
    let [v4, v6] = [AddressFamily::Inet, AddressFamily::Inet6].map(has);
    let (kept, left): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| if address.is_ipv4() { v4 } else { v6 });
    for address in left {
        tracing::warn!(%address, "this system has no addresses of that family: media does without");
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_family_is_missing_the_addresses_of_the_other_are_left() {
        let all: Vec<IpAddr> =
            ["127.0.0.1", "2001:db8::1", "192.0.2.1"].map(|text| text.parse().unwrap()).to_vec();
        assert_eq!(of_families(all.clone(), |_| true), all);
        assert_eq!(of_families(all.clone(), |family| family == AddressFamily::Inet), [all[0], all[2]]);
        assert_eq!(of_families(all.clone(), |family| family == AddressFamily::Inet6), [all[1]]);
        assert!(of_families(all.clone(), |_| false).is_empty());
        assert!(of_present_families(all).len() >= 2, "there is IPv4 wherever this is tested");
    }
}
