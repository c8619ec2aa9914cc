// SPDX-License-Identifier: EUPL-1.2
//! Who has proved nothing is sent no more than came from his address, so that nobody is flooded through us by forging it.
//!
//! A challenge is larger than the smallest request: header, error, realm and nonce have 56 bytes, a browser's first
//! request 28. So the first request over UDP earns nothing but credit, and its repetition, a quarter of a second later,
//! the challenge. Over TCP an address can't be forged and none of this applies.

use std::net::IpAddr;

/// Accounts, 2 bytes each. Some addresses share one by chance, and chance is our secret: what one sent may then be
/// answered to another, and the sum of what leaves stays below the sum of what came.
const ACCOUNTS: usize = 16_384;
/// Nobody saves up for a flood: a few repetitions of a whole join.
const MOST: u16 = 1_500;

#[derive(Debug)]
pub(crate) struct Accounts {
    secret: u64,
    bytes: Box<[u16]>,
}

impl Accounts {
    pub(crate) fn new(secret: u64) -> Accounts {
        Accounts { secret, bytes: vec![0; ACCOUNTS].into() }
    }

    /// So many bytes came from here.
    pub(crate) fn earn(&mut self, from: IpAddr, bytes: usize) {
        let account = self.account(from);
        *account = account.saturating_add(u16::try_from(bytes).unwrap_or(MOST)).min(MOST);
    }

    /// Whether so many bytes may go there; they are taken.
    pub(crate) fn spend(&mut self, to: IpAddr, bytes: usize) -> bool {
        let account = self.account(to);
        let rest = u16::try_from(bytes).ok().and_then(|bytes| account.checked_sub(bytes));
        if let Some(rest) = rest {
            *account = rest;
        }
        rest.is_some()
    }

    /// The place is a mix (SplitMix64's) that nobody foresees who does not know the secret.
    fn account(&mut self, ip: IpAddr) -> &mut u16 {
        let words = match ip.to_canonical() {
            IpAddr::V4(v4) => [0, u64::from(u32::from(v4))],
            IpAddr::V6(v6) => [(u128::from(v6) >> 64) as u64, u128::from(v6) as u64],
        };
        let mut mixed = self.secret;
        for word in words {
            mixed = (mixed ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^= mixed >> 31;
        }
        &mut self.bytes[(mixed % ACCOUNTS as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_17_no_address_gets_more_than_came_from_it() {
        let mut accounts = Accounts::new(7);
        let (one, other): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap());
        assert!(!accounts.spend(one, 1), "nothing came yet");
        accounts.earn(one, 28);
        assert!(!accounts.spend(one, 56) && !accounts.spend(other, 28));
        accounts.earn(one, 28);
        assert!(accounts.spend(one, 56) && !accounts.spend(one, 1));
        for _ in 0..1_000 {
            accounts.earn(one, 1_000);
        }
        assert_eq!((0..1_000).filter(|_| accounts.spend(one, 56)).count(), usize::from(MOST) / 56);
    }
}
