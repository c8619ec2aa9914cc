// SPDX-License-Identifier: EUPL-1.2
//! Links by which a recording's file is fetched: opaque, signed, and over after five minutes at most (row 51).

use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

/// How long a link opens something.
pub(crate) const LINK_AGE: Duration = Duration::from_secs(300);
/// The longest link that is read, in bytes: the names of a tenant, an egress and a file.
const MAX_LINK_BYTES: usize = 2_048;

/// What a link opens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Linked {
    /// Whose it is.
    pub(crate) tenant: String,
    /// Which recording's …
    pub(crate) egress: String,
    /// … file.
    pub(crate) file: String,
    /// Until when, in seconds of Unix time.
    pub(crate) until: u64,
}

/// Signs links. The key is the process's own: no link outlives it.
pub(crate) struct LinkKey(hmac::Key);

/// Why a link opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadLink {
    /// It was not made here.
    Unknown,
    /// Its time is over.
    Over,
}

impl LinkKey {
    pub(crate) fn new(secret: &[u8; 32]) -> LinkKey {
        LinkKey(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    pub(crate) fn sign(&self, linked: &Linked) -> String {
        // Strings and a number are always JSON.
        let payload = URL_SAFE_NO_PAD.encode(serde_json::to_vec(linked).unwrap_or_default());
        let tag = hmac::sign(&self.0, payload.as_bytes());
        format!("{payload}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()))
    }

    /// What a link opens at `now`, in seconds of Unix time.
    pub(crate) fn read(&self, link: &str, now: u64) -> Result<Linked, BadLink> {
        let (payload, tag) =
            link.split_once('.').filter(|_| link.len() <= MAX_LINK_BYTES).ok_or(BadLink::Unknown)?;
        let tag = URL_SAFE_NO_PAD.decode(tag).map_err(|_| BadLink::Unknown)?;
        hmac::verify(&self.0, payload.as_bytes(), &tag).map_err(|_| BadLink::Unknown)?;
        let linked = URL_SAFE_NO_PAD.decode(payload).ok();
        let linked: Option<Linked> = linked.and_then(|linked| serde_json::from_slice(&linked).ok());
        let linked = linked.ok_or(BadLink::Unknown)?;
        if linked.until <= now || linked.until > now + LINK_AGE.as_secs() {
            return Err(BadLink::Over);
        }
        Ok(linked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_51_a_link_opens_one_file_for_five_minutes_and_can_not_be_made_by_others() {
        let key = LinkKey::new(&[1; 32]);
        let file = Linked {
            tenant: "default".into(),
            egress: "EG_1".into(),
            file: "a.mkv.age".into(),
            until: 1_300,
        };
        let link = key.sign(&file);
        assert_eq!(key.read(&link, 1_000), Ok(file.clone()));
        assert_eq!(key.read(&link, 1_299), Ok(file.clone()));
        assert_eq!(key.read(&link, 1_300), Err(BadLink::Over));
        let long = Linked { until: 1_301, ..file.clone() };
        assert_eq!(
            key.read(&key.sign(&long), 1_000),
            Err(BadLink::Over),
            "none lasts longer, whoever signed"
        );
        assert_eq!(LinkKey::new(&[2; 32]).read(&link, 1_000), Err(BadLink::Unknown));
        let other =
            URL_SAFE_NO_PAD.encode(serde_json::to_vec(&Linked { egress: "EG_2".into(), ..file }).unwrap());
        let (_, tag) = link.split_once('.').unwrap();
        for forged in [format!("{other}.{tag}"), other, String::new(), ".".into(), "x".repeat(3_000)] {
            assert_eq!(key.read(&forged, 1_000), Err(BadLink::Unknown), "{forged}");
        }
    }
}
