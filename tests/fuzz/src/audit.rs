// SPDX-License-Identifier: EUPL-1.2
//! What a time-stamping authority answers. The seed was made by `openssl ts`; a unit test of `parvis-audit` holds that it is a stamp.

use std::sync::LazyLock;

use parvis_audit::{Authority, stamp_in};

/// What the seed is a stamp of.
const STAMPED: &[u8] = b"seed";

/// A CA whose key nobody has any more.
static AUTHORITY: LazyLock<Authority> = LazyLock::new(|| {
    Authority::from_pem(include_bytes!("time_stamp_ca.pem"), "1.2.3.4.1").expect("a certificate")
});

/// An answer, and the stamp in it. Whatever holds was made under the policy that is asked for, and is whole: cut short it holds no more.
pub fn time_stamp(data: &[u8]) {
    let Ok(token) = stamp_in(data) else { return };
    assert!(data.windows(token.len()).any(|window| window == token), "a stamp that the answer has not got");
    let Ok(stamp) = AUTHORITY.check(&token, STAMPED) else { return };
    assert_eq!(stamp.policy, "1.2.3.4.1");
    assert!(AUTHORITY.check(&token, b"another").is_err());
    assert!(AUTHORITY.check(&token[..token.len() - 1], STAMPED).is_err());
}
