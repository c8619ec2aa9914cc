// SPDX-License-Identifier: EUPL-1.2
//! A few whole scenarios, and that every invariant was looked at in them.

use parvis_sim::Checks;
use parvis_sim::scenario::{self, Watch};

fn meter(act: &mut dyn FnMut()) -> i64 {
    allocation_counter::measure(act).bytes_current
}

#[test]
fn scenarios_hold_every_invariant_and_each_was_looked_at() {
    let mut made = Checks::default();
    for seed in [4, 12] {
        let outcome = scenario::run(seed, Watch { narrator: None, meter: Some(meter) });
        assert_eq!(outcome.failures, [""; 0], "seed {seed}");
        made.add(&outcome.checks);
    }
    for (name, count) in made.each() {
        assert!(count > 0, "{name} were never looked at: {made:?}");
    }
}
