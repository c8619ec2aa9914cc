// SPDX-License-Identifier: EUPL-1.2
//! How much unproven work one address may ask of us.
//!
//! A STUN check from an unknown 5-tuple that names a live user fragment costs an HMAC before we know who sent it. Only
//! checks that *fail* are charged: a whole office that joins at once from one address pays nothing. The account is that
//! of an address *and* a peer, so that nobody empties another's by forging his address.

use std::net::IpAddr;
use std::time::Instant;

use parvis_peer::Path;

use crate::{CheckRate, PeerId};

/// Accounts, 24 bytes each: 96 KiB, allocated once. Some share one by chance, and chance is the forwarder's secret. With
/// all of them spent at 50 checks a second and 1.5 µs each, forgers get a third of one core at the most.
const ACCOUNTS: usize = 4_096;

#[derive(Debug, Clone, Copy)]
struct Account {
    checks: f64,
    filled: Option<Instant>,
}

/// See the module's page.
#[derive(Debug)]
pub(super) struct Doorkeeper {
    rate: CheckRate,
    secret: u64,
    accounts: Box<[Account]>,
}

impl Doorkeeper {
    pub(super) fn new(rate: CheckRate, secret: u64) -> Self {
        let full = Account { checks: f64::from(rate.burst), filled: None };
        Doorkeeper { rate, secret, accounts: vec![full; ACCOUNTS].into() }
    }

    /// Whether a check from here for this peer is looked at.
    pub(super) fn admits(&mut self, now: Instant, path: Path, peer: PeerId) -> bool {
        self.account(now, path, peer).checks >= 1.0
    }

    /// It was looked at, and did not hold.
    pub(super) fn charge(&mut self, now: Instant, path: Path, peer: PeerId) {
        let account = self.account(now, path, peer);
        account.checks = (account.checks - 1.0).max(0.0);
    }

    /// The account, filled up to now.
    fn account(&mut self, now: Instant, path: Path, peer: PeerId) -> &mut Account {
        let place = place(self.secret, path.remote.ip(), peer);
        let account = &mut self.accounts[place];
        if let Some(filled) = account.filled {
            let passed = now.saturating_duration_since(filled).as_secs_f64();
            let checks = account.checks + passed * f64::from(self.rate.per_second);
            account.checks = checks.min(f64::from(self.rate.burst));
        }
        account.filled = Some(now);
        account
    }
}

/// Where an account is kept: a mix (SplitMix64's) that nobody foresees who does not know the secret.
fn place(secret: u64, ip: IpAddr, peer: PeerId) -> usize {
    let address = match ip.to_canonical() {
        IpAddr::V4(v4) => u64::from(u32::from(v4)),
        // What one user has for himself: the upper half.
        IpAddr::V6(v6) => (u128::from(v6) >> 64) as u64,
    };
    let mut mixed = secret;
    for word in [address, peer.0] {
        mixed = (mixed ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
    }
    (mixed % ACCOUNTS as u64) as usize
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use parvis_peer::Protocol;

    use super::*;

    fn from(remote: &str) -> Path {
        let local = "192.0.2.1:7882".parse().unwrap();
        Path { protocol: Protocol::Udp, local, remote: remote.parse().unwrap() }
    }

    #[test]
    fn row_09_failed_checks_have_a_burst_and_a_rate_for_each_address_and_peer() {
        let mut doorkeeper = Doorkeeper::new(CheckRate { burst: 20, per_second: 5 }, 7);
        let now = Instant::now();
        let mut looked_at = |now, remote: String, peer| {
            let mut count = 0;
            for _ in 0..1_000 {
                if doorkeeper.admits(now, from(&remote), PeerId(peer)) {
                    doorkeeper.charge(now, from(&remote), PeerId(peer));
                    count += 1;
                }
            }
            count
        };
        assert_eq!(looked_at(now, "198.51.100.7:50000".into(), 1), 20);
        assert_eq!(looked_at(now, "198.51.100.7:50001".into(), 1), 0, "another port is the same address");
        assert_eq!(looked_at(now + Duration::from_secs(2), "198.51.100.7:50000".into(), 1), 10);
        assert_eq!(looked_at(now, "198.51.100.8:50000".into(), 1), 20, "another address has its own");
        assert_eq!(looked_at(now, "198.51.100.7:50000".into(), 2), 20, "another peer behind it, too");
        assert_eq!(looked_at(now, "[2001:db8::1]:1".into(), 1), 20);
        assert_eq!(looked_at(now, "[2001:db8::2]:1".into(), 1), 0, "a /64 is one user's");
    }

    #[test]
    fn row_09_checks_that_hold_cost_nothing() {
        let mut doorkeeper = Doorkeeper::new(CheckRate { burst: 1, per_second: 1 }, 7);
        let now = Instant::now();
        assert!((0..10_000).all(|_| doorkeeper.admits(now, from("198.51.100.7:50000"), PeerId(1))));
    }

    #[test]
    fn row_09_any_number_of_addresses_takes_no_more_memory_and_few_share_an_account() {
        let mut doorkeeper = Doorkeeper::new(CheckRate { burst: 1, per_second: 1 }, 7);
        let now = Instant::now();
        let spent = |doorkeeper: &Doorkeeper| doorkeeper.accounts.iter().filter(|a| a.checks < 1.0).count();
        for number in 0..1_000_u16 {
            let [high, low] = number.to_be_bytes();
            doorkeeper.charge(now, from(&format!("198.18.{high}.{low}:9")), PeerId(1));
        }
        // 1,000 balls in 4,096 boxes leave 4,096·(1 − e^(−1000/4096)) ≈ 887 of them hit.
        assert!((830..=950).contains(&spent(&doorkeeper)), "{}", spent(&doorkeeper));
        assert_eq!(doorkeeper.accounts.len(), ACCOUNTS);
    }
}
