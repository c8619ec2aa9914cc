// SPDX-License-Identifier: EUPL-1.2
//! How fast conferences are simulated: one long meeting of 50 people, on one core.

use std::collections::BTreeMap;

use super::Options;
use super::figures::{Figure, Target, report};
use crate::sh::{Error, Result, process, say};
use crate::sim;

const PEOPLE: &str = "50";
/// So many seconds of virtual time in one second.
const SPEED: f64 = 20.0;
/// Runs, and seconds of virtual time in each.
const FULL: (usize, &str) = (5, "60");
const QUICK: (usize, &str) = (2, "20");

/// Runs it against a release build.
pub(super) fn run(options: &Options) -> Result {
    let (runs, length) = if options.quick { QUICK } else { FULL };
    let program = sim::build()?;
    let mut speeds = Vec::new();
    for run in 0..runs {
        say(&format!("run {} of {runs}", run + 1));
        let mut speed = None;
        process(&program, ["--meeting", PEOPLE, "--length", length])
            .watch(|line| speed = speed.or_else(|| read(line)))?;
        speeds.push(speed.ok_or_else(|| Error::new("the simulation said no speed"))?);
    }
    let name = format!("{PEOPLE} people, 5 of them speak, one is seen");
    let figures: Vec<Figure> =
        Figure::of(name, "virtual s/s", &speeds, Some(Target::AtLeast(SPEED))).into_iter().collect();
    report(&figures, &BTreeMap::new(), options.json_file()?.as_deref())
}

/// `speed 23.112: 60.0 s of virtual time in 2.6 s, …`
fn read(line: &str) -> Option<f64> {
    line.strip_prefix("speed ")?.split(':').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn reads_the_speed() {
        assert_eq!(super::read("speed 23.112: 60.0 s of virtual time in 2.6 s"), Some(23.112));
        assert_eq!(super::read("  1.000 s: c1 was told to leave"), None);
    }
}
