// SPDX-License-Identifier: EUPL-1.2
//! Whether the application sends less than it may: then what arrives says little of the path, and only trying more does.

/// Below this share of the estimate the application is the limit, above the next it no longer is. The estimate itself
/// rises to one and a half times what arrives: the first lies above two thirds, so that this is seen.
const ENTER: f64 = 0.75;
const LEAVE: f64 = 0.85;

/// The state, with its hysteresis.
#[derive(Debug)]
pub(super) struct Limited(bool);

impl Limited {
    /// Nothing was sent yet.
    pub(super) fn new() -> Limited {
        Limited(true)
    }

    /// Takes note of what is sent, in bits per second; `None` while that is not known.
    pub(super) fn update(&mut self, sent: Option<f64>, estimate: f64) -> bool {
        let share = sent.unwrap_or(0.0) / estimate.max(1.0);
        self.0 = share < if self.0 { LEAVE } else { ENTER };
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_little_more_or_less_changes_nothing() {
        let mut limited = Limited::new();
        assert!(limited.update(None, 1e6));
        assert!(limited.update(Some(8e5), 1e6));
        assert!(!limited.update(Some(9e5), 1e6));
        assert!(!limited.update(Some(8e5), 1e6));
        assert!(limited.update(Some(7e5), 1e6));
    }
}
