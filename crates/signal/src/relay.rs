// SPDX-License-Identifier: EUPL-1.2
//! What clients are told of the TURN server beside the forwarders.

use std::time::{Duration, Instant};

use livekit_protocol as proto;
use parvis_turn::Issuer;

/// Where a client finds the relay, and how its credentials are made. They hold while its participant is in the room, which
/// [`crate::Output::RelayAllowed`] and [`crate::Output::RelayRevoked`] say.
#[derive(Debug, Clone)]
pub struct RelayOffer {
    /// Addresses as RFC 7065 has them, such as `turn:meet.example:3478?transport=udp`.
    pub urls: Vec<String>,
    /// Makes the credentials that the relay takes.
    pub issuer: Issuer,
    /// How long a client may begin to use them. It gets fresh ones when it resumes, and allocations go on beyond.
    pub credential_age: Duration,
    /// Whether clients are to use nothing but the relay.
    pub force: bool,
}

impl RelayOffer {
    /// For a participant with this sid; `tls` leaves out what is not over TLS.
    pub(crate) fn ice_servers(&self, now: Instant, sid: &str, tls: bool) -> Vec<proto::IceServer> {
        let credentials = self.issuer.issue(now, sid, self.credential_age);
        let urls = self.urls.iter().filter(|url| !tls || is_over_tls(url));
        vec![proto::IceServer {
            urls: urls.cloned().collect(),
            username: credentials.username,
            credential: credentials.password,
        }]
    }

    /// Whether it can be reached over TLS.
    pub(crate) fn has_tls(&self) -> bool {
        self.urls.iter().any(|url| is_over_tls(url))
    }

    /// What clients are asked to do with it: one who is told of TLS only is to use nothing else.
    pub(crate) fn client_configuration(&self, tls: bool) -> proto::ClientConfiguration {
        let force_relay = if self.force || tls {
            proto::ClientConfigSetting::Enabled
        } else {
            proto::ClientConfigSetting::Unset
        };
        proto::ClientConfiguration { force_relay: force_relay.into(), ..Default::default() }
    }
}

/// RFC 7065 section 3.
fn is_over_tls(url: &str) -> bool {
    url.starts_with("turns:")
}
