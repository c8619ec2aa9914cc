// SPDX-License-Identifier: EUPL-1.2
//! Their relay: it has a port and a certificate for TLS of its own, where ours shares those of pages and signalling.

use toml::Value;

use super::draft::{Done, Draft, Place, port_number};
use super::form::{number, switch, text};
use crate::yaml::Node;

/// What they say of TLS together with the relay.
#[derive(Debug, Default)]
pub(super) struct Turn {
    enabled: bool,
    external_tls: bool,
    tls_port: Option<(i64, Place)>,
    certificate: Option<(String, Place)>,
    key: Option<(String, Place)>,
}

impl Turn {
    /// What all of it comes to, where pages and signalling are on this port. Their certificate is read if the relay is there
    /// and ends TLS itself; what came to the port without TLS before still does.
    pub(super) fn finish(mut self, draft: &mut Draft, port: i64) {
        self.finish_tls_port(draft, port);
        if !self.enabled || self.external_tls || (self.certificate.is_none() && self.key.is_none()) {
            return;
        }
        for (ours, file) in [("tls.certificate", self.certificate), ("tls.key", self.key)] {
            if let Some((file, place)) = file {
                draft.set("http.plain", Value::String("serve".to_owned()), &place);
                draft.set(ours, Value::String(file), &place);
            }
        }
    }

    fn finish_tls_port(&mut self, draft: &mut Draft, port: i64) {
        let Some((tls_port, place)) = self.tls_port.take() else { return };
        if !self.enabled {
            draft.note(&place, "not needed: turn.enabled is not set");
        } else if self.external_tls {
            // What that costs is said of the key that asks for it.
            draft.note(&place, &format!("without effect: nothing listens on {tls_port}"));
        } else if self.certificate.is_none() || self.key.is_none() {
            let what = "there is no certificate, so that TURN over TLS is not offered, and who gets out by TLS alone is not \
                        connected; name one with turn.cert_file and turn.key_file";
            draft.warn(&place, what);
        } else if tls_port == port {
            draft.note(&place, "not needed: the relay takes TLS where pages and signalling are");
        } else {
            let what = format!(
                "nothing listens on {tls_port}: the relay takes TLS where pages and signalling are, on {port}, and clients \
                 are told of that, so that who gets out by {tls_port} alone is not connected; set port to {tls_port}, for \
                 all of it, or open {port}"
            );
            draft.warn(&place, &what);
        }
    }
}

pub(super) fn enabled(draft: &mut Draft, node: &Node, place: &Place) -> Done {
    if node.is_empty() {
        return Ok(());
    }
    draft.turn.enabled = switch(node)?;
    draft.set("turn.enabled", Value::Boolean(draft.turn.enabled), place);
    Ok(())
}

/// 0 is none of theirs; ours has one as long as it is there.
pub(super) fn udp_port(draft: &mut Draft, node: &Node, place: &Place) -> Done {
    match port_number(node)? {
        0 => draft.note(place, "without effect: the relay always listens on UDP as well, on turn.udp_port"),
        port => draft.set("turn.udp_port", Value::Integer(port), place),
    }
    Ok(())
}

/// 0 is none.
pub(super) fn tls_port(draft: &mut Draft, node: &Node, place: &Place) -> Done {
    let port = if node.is_empty() { 0 } else { port_number(node)? };
    draft.turn.tls_port = (port > 0).then(|| (port, place.clone()));
    Ok(())
}

pub(super) fn certificate(draft: &mut Draft, node: &Node, place: &Place) -> Done {
    if !node.is_empty() {
        draft.turn.certificate = Some((text(node)?.to_owned(), place.clone()));
    }
    Ok(())
}

pub(super) fn key(draft: &mut Draft, node: &Node, place: &Place) -> Done {
    if !node.is_empty() {
        draft.turn.key = Some((text(node)?.to_owned(), place.clone()));
    }
    Ok(())
}

pub(super) fn external_tls(draft: &mut Draft, node: &Node, place: &Place) -> Done {
    draft.turn.external_tls = !node.is_empty() && switch(node)?;
    if draft.turn.external_tls {
        let what = "clients are told of TURN over TCP and UDP only, and who gets out by TLS alone is not connected; let TLS \
                    come through to this server, with turn.cert_file and turn.key_file, and leave it out";
        draft.warn(place, what);
    }
    Ok(())
}

/// Seconds; 0 leaves the age to the server.
pub(super) fn ttl(draft: &mut Draft, node: &Node, place: &Place) -> Done {
    if !node.is_empty() && number(node)? > 0 {
        draft.set("turn.credential_age", Value::String(format!("{}s", number(node)?)), place);
    }
    Ok(())
}
