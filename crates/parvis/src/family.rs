// SPDX-License-Identifier: EUPL-1.2
//! Listening where the system has IPv4 alone: `[::]` stands for all addresses of both families there as well.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use nix::errno::Errno;

/// Binds with `open`. Where IPv6 is missing and all addresses are asked for, all of IPv4 are taken; an address of IPv6 that
/// is named stays an error, for nothing else is it.
pub(crate) async fn bind<Listener>(
    address: SocketAddr,
    open: impl AsyncFn(SocketAddr) -> io::Result<Listener>,
) -> io::Result<Listener> {
    match open(address).await {
        Err(error) if address.ip() == IpAddr::V6([0; 8].into()) && is_missing(&error) => {
            let instead = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
            tracing::warn!(%address, %instead, "this system has no IPv6: listening on IPv4 alone");
            open(instead).await
        }
        result => result,
    }
}

/// The kernel has no such family or the service manager keeps it away; or it is switched off, and then there is no such address.
fn is_missing(error: &io::Error) -> bool {
    let missing = [Errno::EAFNOSUPPORT, Errno::EPROTONOSUPPORT, Errno::EADDRNOTAVAIL];
    error.raw_os_error().is_some_and(|raw| missing.contains(&Errno::from_raw(raw)))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// What is tried, and what comes of it, on a system that refuses IPv6 with this error.
    async fn tried(address: &str, refusal: Errno) -> (Vec<String>, Result<String, Option<i32>>) {
        let tried = RefCell::new(Vec::new());
        let open = async |address: SocketAddr| {
            tried.borrow_mut().push(address.to_string());
            if address.is_ipv6() { Err(refusal.into()) } else { Ok(address.to_string()) }
        };
        let result = bind(address.parse().unwrap(), open).await;
        (tried.into_inner(), result.map_err(|error| error.raw_os_error()))
    }

    #[tokio::test]
    async fn without_ipv6_all_addresses_are_those_of_ipv4() {
        for refusal in [Errno::EAFNOSUPPORT, Errno::EADDRNOTAVAIL] {
            let (at, result) = tried("[::]:7880", refusal).await;
            assert_eq!(at, ["[::]:7880", "0.0.0.0:7880"]);
            assert_eq!(result, Ok("0.0.0.0:7880".to_owned()));
        }
    }

    #[tokio::test]
    async fn what_was_named_or_is_in_use_is_refused_as_it_is() {
        let named = tried("[2001:db8::1]:7880", Errno::EAFNOSUPPORT).await;
        assert_eq!(named, (vec!["[2001:db8::1]:7880".to_owned()], Err(Some(Errno::EAFNOSUPPORT as i32))));
        let used = tried("[::]:7880", Errno::EADDRINUSE).await;
        assert_eq!(used, (vec!["[::]:7880".to_owned()], Err(Some(Errno::EADDRINUSE as i32))));
        let v4 = tried("127.0.0.1:7880", Errno::EAFNOSUPPORT).await;
        assert_eq!(v4, (vec!["127.0.0.1:7880".to_owned()], Ok("127.0.0.1:7880".to_owned())));
    }
}
