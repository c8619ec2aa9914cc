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
    /// For a participant with this sid.
    pub(crate) fn ice_servers(&self, now: Instant, sid: &str) -> Vec<proto::IceServer> {
        let credentials = self.issuer.issue(now, sid, self.credential_age);
        vec![proto::IceServer {
            urls: self.urls.clone(),
            username: credentials.username,
            credential: credentials.password,
        }]
    }

    /// What clients are asked to do with it.
    pub(crate) fn client_configuration(&self) -> proto::ClientConfiguration {
        let force_relay =
            if self.force { proto::ClientConfigSetting::Enabled } else { proto::ClientConfigSetting::Unset };
        proto::ClientConfiguration { force_relay: force_relay.into(), ..Default::default() }
    }
}
