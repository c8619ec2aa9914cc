// SPDX-License-Identifier: EUPL-1.2
//! Long-term credentials (RFC 8489 section 9.2) that last for a time and belong to one participant.
//!
//! The user name is `EXPIRY:SID`, the expiry in seconds since 1970; the password is the base64 form of its HMAC with the
//! server's secret. Nothing is stored to know them again. Nonces are made and known in the same way.

use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use aws_lc_rs::{constant_time, hmac};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use md5::{Digest, Md5};

/// The realm of all our credentials. Short: it is part of every challenge (see [`crate::Server`]).
pub const REALM: &str = "parvis";

/// How long a nonce holds: longer than the refreshes of an allocation lie apart.
const NONCE_AGE: Duration = Duration::from_secs(1_800);
/// Seconds since the start, in 24 bits: 194 days, after which nonces of the first days would hold again.
const NONCE_TIME_BYTES: usize = 3;
/// 48 bits of a tag: to forge a nonce gains nobody anything but a replay of what he recorded himself.
const NONCE_TAG_BYTES: usize = 6;

/// What a wall clock shows at any instant, as far as it runs evenly.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
    unix_seconds: u64,
}

impl Clock {
    /// A clock that shows `unix_seconds` at `start`.
    pub fn new(start: Instant, unix_seconds: u64) -> Clock {
        Clock { start, unix_seconds }
    }

    /// Seconds since 1970.
    pub fn unix_seconds(&self, now: Instant) -> u64 {
        self.unix_seconds + self.since_start(now)
    }

    fn since_start(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.start).as_secs()
    }
}

/// A user name and its password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// USERNAME.
    pub username: String,
    /// What the client's key is made of.
    pub password: String,
}

impl fmt::Debug for Credentials {
    /// A password gets into no log.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

/// Makes credentials and knows its own again.
#[derive(Clone)]
pub struct Issuer {
    passwords: hmac::Key,
    nonces: hmac::Key,
    clock: Clock,
}

impl Issuer {
    /// An issuer with this secret. Two servers that share it take each other's credentials.
    pub fn new(secret: [u8; 32], clock: Clock) -> Issuer {
        let derive = |purpose: &[u8]| {
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), purpose);
            hmac::Key::new(hmac::HMAC_SHA256, tag.as_ref())
        };
        Issuer { passwords: derive(b"password"), nonces: derive(b"nonce"), clock }
    }

    /// Credentials with which `sid` may make allocations until `age` from now.
    pub fn issue(&self, now: Instant, sid: &str, age: Duration) -> Credentials {
        let username = format!("{}:{sid}", self.clock.unix_seconds(now) + age.as_secs());
        let password = self.password(&username);
        Credentials { username, password }
    }

    fn password(&self, username: &str) -> String {
        STANDARD.encode(hmac::sign(&self.passwords, username.as_bytes()))
    }

    /// The key with which a client of this name signs (RFC 8489 section 9.2.2).
    pub(crate) fn key(&self, username: &str) -> hmac::Key {
        let password = self.password(username);
        let key = Md5::digest(format!("{username}:{REALM}:{password}"));
        hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &key)
    }

    /// Whose a user name is, and whether its time is over.
    pub(crate) fn read<'a>(&self, now: Instant, username: &'a str) -> Option<(&'a str, bool)> {
        let (expiry, sid) = username.split_once(':')?;
        let expiry: u64 = expiry.parse().ok()?;
        Some((sid, expiry <= self.clock.unix_seconds(now)))
    }

    /// A nonce for whoever asks from this address.
    pub(crate) fn nonce(&self, now: Instant, from: IpAddr) -> String {
        self.nonce_of(self.clock.since_start(now), from)
    }

    /// Whether a nonce is one of ours for this address, and still fresh.
    pub(crate) fn is_fresh(&self, now: Instant, from: IpAddr, nonce: &[u8]) -> bool {
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(nonce) else { return false };
        let Some([t0, t1, t2]) = bytes.first_chunk::<NONCE_TIME_BYTES>().copied() else { return false };
        let made = u64::from(u32::from_be_bytes([0, t0, t1, t2]));
        let age = self.clock.since_start(now).checked_sub(made);
        age.is_some_and(|age| age <= NONCE_AGE.as_secs())
            && constant_time::verify_slices_are_equal(self.nonce_of(made, from).as_bytes(), nonce).is_ok()
    }

    fn nonce_of(&self, seconds: u64, from: IpAddr) -> String {
        let [.., t0, t1, t2] = seconds.to_be_bytes();
        let mut context = hmac::Context::with_key(&self.nonces);
        context.update(&seconds.to_be_bytes());
        context.update(from.to_canonical().to_string().as_bytes());
        let tag = context.sign();
        let mut bytes = vec![t0, t1, t2];
        bytes.extend(tag.as_ref().iter().take(NONCE_TAG_BYTES));
        URL_SAFE_NO_PAD.encode(bytes)
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Issuer").field("clock", &self.clock).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_holds_for_its_address_and_its_time() {
        let now = Instant::now();
        let issuer = Issuer::new([7; 32], Clock::new(now, 1_800_000_000));
        let (ada, bo): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let nonce = issuer.nonce(now, ada);
        assert_eq!(nonce.len(), 12, "short, so that a challenge is short");
        assert!(issuer.is_fresh(now + NONCE_AGE, ada, nonce.as_bytes()));
        assert!(!issuer.is_fresh(now + NONCE_AGE + Duration::from_secs(1), ada, nonce.as_bytes()));
        assert!(!issuer.is_fresh(now, bo, nonce.as_bytes()));
        let later = issuer.nonce(now + Duration::from_secs(9), ada);
        assert!(!issuer.is_fresh(now, ada, later.as_bytes()), "none comes from the future");
        for forged in ["", "AAAA", "AAAAAAAAAAAA", "no base64 at all!"] {
            assert!(!issuer.is_fresh(now, ada, forged.as_bytes()));
        }
    }

    #[test]
    fn a_password_belongs_to_its_name_and_secret_and_a_name_says_until_when() {
        let now = Instant::now();
        let clock = Clock::new(now, 1_800_000_000);
        let issuer = Issuer::new([7; 32], clock);
        let credentials = issuer.issue(now, "PA_ada", Duration::from_secs(60));
        assert_eq!(credentials.username, "1800000060:PA_ada");
        assert_eq!(issuer.read(now, &credentials.username), Some(("PA_ada", false)));
        assert_eq!(issuer.read(now + Duration::from_secs(60), &credentials.username), Some(("PA_ada", true)));
        assert_eq!(issuer.read(now, "PA_ada"), None);
        let other = Issuer::new([8; 32], clock).issue(now, "PA_ada", Duration::from_secs(60));
        assert_ne!(other.password, credentials.password);
        assert!(!format!("{credentials:?}{issuer:?}").contains(&credentials.password));
    }
}
