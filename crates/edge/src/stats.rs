// SPDX-License-Identifier: EUPL-1.2
//! What the public port counts.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! stats {
    ($($(#[doc = $doc:literal])+ $name:ident),* $(,)?) => {
        /// The public port's counters. Each only grows.
        #[derive(Debug, Default)]
        pub struct EdgeStats {
            $($(#[doc = $doc])+ pub $name: AtomicU64,)*
        }

        impl EdgeStats {
            /// Name, meaning and value of each, in the order of their declaration.
            pub fn fields(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
                [$((stringify!($name), concat!($($doc),+), self.$name.load(Ordering::Relaxed)),)*].into_iter()
            }
        }
    };
}

stats! {
    /// TLS handshakes that came to their end.
    tls_handshakes,
    /// TLS handshakes that failed.
    tls_failed,
    /// Connections with HTTP within TLS.
    https,
    /// Connections with HTTP in the clear.
    http,
    /// Connections to the relay.
    turn,
    /// Connections handed to a forwarding thread.
    ice,
    /// Connections for a forwarding thread that there is not, or that took no more.
    ice_refused,
    /// Connections closed because they did not say in time what they are.
    silent,
    /// Connections closed because they are none of the protocols spoken here.
    unknown,
    /// Connections of trusted proxies whose header is none.
    proxy_malformed,
    /// Connections of trusted proxies for an address that has enough of them.
    proxy_refused,
    /// Certificates taken into use.
    certificates_loaded,
    /// Certificates refused; the one before is still shown.
    certificates_refused,
}

/// Adds one.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
