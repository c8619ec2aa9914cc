// SPDX-License-Identifier: EUPL-1.2
//! Which addresses this machine has.

use std::net::IpAddr;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;

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
