// SPDX-License-Identifier: EUPL-1.2
//! What forwarding one packet costs: a shard's thread against a loop that does only what nobody can do without, in turn,
//! so that whatever else the machine does meets both. `page` writes it down, `chart` draws it.

mod chart;
mod page;

use std::collections::BTreeMap;

use serde_json::Value;

use super::Options;
use super::figures::{Figure, Target, report};
use crate::sh::{Error, Result, process, root, say, target};

const PACKAGE: &str = "parvis-bench-forward";
/// A core must forward so many packets in a second, without and with trains.
const PACKETS_PER_SECOND: [f64; 2] = [200_000.0, 400_000.0];
/// Of what the bare path manages, in percent.
const SHARE: f64 = 60.0;
/// Of what should arrive, in percent: below it the figures tell of another load.
const DELIVERED: f64 = 95.0;

/// How much is measured.
struct Extent {
    rounds: usize,
    subscribers: &'static [usize],
    /// Seconds in which the estimates rise.
    warm_up: f64,
    /// Seconds that count.
    seconds: f64,
}

const FULL: Extent = Extent { rounds: 5, subscribers: &[50, 200], warm_up: 12.0, seconds: 8.0 };
const QUICK: Extent = Extent { rounds: 1, subscribers: &[50], warm_up: 8.0, seconds: 2.0 };

/// What the runs of one load gave, a value for each round.
#[derive(Default)]
struct Values {
    nanos: Vec<f64>,
    user_nanos: Vec<f64>,
    bare_nanos: Vec<f64>,
    per_second: Vec<f64>,
    bare_per_second: Vec<f64>,
    share: Vec<f64>,
    delivered: Vec<f64>,
}

/// How many subscribers, and whether trains leave whole.
type Load = (usize, bool);

/// All that one run of the command measured.
struct Measured {
    extent: Extent,
    loads: BTreeMap<Load, Values>,
}

/// Runs it against a release build, and writes the page and its chart; with `--quick` a short round, and the page beside the
/// binaries.
pub(super) fn run(options: &Options) -> Result {
    let extent = if options.quick { QUICK } else { FULL };
    process("cargo", ["build", "--release", "--locked", "--package", PACKAGE]).run()?;
    let mut loads: BTreeMap<Load, Values> = BTreeMap::new();
    for round in 0..extent.rounds {
        for &subscribers in extent.subscribers {
            for gso in [false, true] {
                say(&format!("round {} of {}: {}", round + 1, extent.rounds, named(subscribers, gso)));
                let bare = once("bare", subscribers, gso, 1.0, extent.seconds)?;
                let real = once("real", subscribers, gso, extent.warm_up, extent.seconds)?;
                loads.entry((subscribers, gso)).or_default().add(&bare, &real)?;
            }
        }
    }
    let figures: Vec<Figure> =
        loads.iter().flat_map(|(&(subscribers, gso), values)| values.figures(subscribers, gso)).collect();
    report(&figures, &BTreeMap::new(), options.json_file()?.as_deref())?;
    let folder = if options.quick { target().join("forward") } else { root().join("docs/measurements") };
    std::fs::create_dir_all(&folder)?;
    let measured = Measured { extent, loads };
    std::fs::write(folder.join("forward.md"), page::page(&measured, &figures))?;
    std::fs::write(folder.join("forward.svg"), chart::chart(&measured))?;
    say(&format!("wrote forward.md and forward.svg in {}", folder.display()));
    Ok(())
}

fn named(subscribers: usize, gso: bool) -> String {
    format!("{subscribers} subscribers, {}", if gso { "trains" } else { "single datagrams" })
}

/// One run of one path.
fn once(path: &str, subscribers: usize, gso: bool, warm_up: f64, seconds: f64) -> Result<Value> {
    let program = target().join("release").join(PACKAGE);
    let mut arguments = vec![
        "--path".to_owned(),
        path.to_owned(),
        "--subscribers".to_owned(),
        subscribers.to_string(),
        "--warm-up".to_owned(),
        warm_up.to_string(),
        "--seconds".to_owned(),
        seconds.to_string(),
    ];
    arguments.extend(gso.then(|| "--gso".to_owned()));
    let mut line = String::new();
    process(&program.to_string_lossy(), arguments).watch(|text| line = text.to_owned())?;
    serde_json::from_str(&line).map_err(|error| Error::new(format!("not a line of figures: {error}")))
}

impl Values {
    fn add(&mut self, bare: &Value, real: &Value) -> Result {
        let of = |run: &Value, name: &str| {
            let value = run[name].as_f64().filter(|value| *value > 0.0);
            value.ok_or_else(|| Error::new(format!("a run without {name}: {run}")))
        };
        let (nanos, bare_nanos) = (of(real, "nanos_per_packet")?, of(bare, "nanos_per_packet")?);
        self.nanos.push(nanos);
        self.bare_nanos.push(bare_nanos);
        self.per_second.push(1e9 / nanos);
        self.bare_per_second.push(1e9 / bare_nanos);
        self.share.push(100.0 * bare_nanos / nanos);
        self.user_nanos.extend(real["user_nanos_per_packet"].as_f64());
        self.delivered.push(100.0 * of(real, "forwarded")? / of(real, "expected")?);
        Ok(())
    }

    fn figures(&self, subscribers: usize, gso: bool) -> impl Iterator<Item = Figure> {
        let enough = PACKETS_PER_SECOND[usize::from(gso)];
        let load = named(subscribers, gso);
        [
            ("forwarded by a core", "packets/s", &self.per_second, Some(Target::AtLeast(enough))),
            ("share of the bare path", "%", &self.share, Some(Target::AtLeast(SHARE))),
            ("thread's time for a packet", "ns", &self.nanos, Some(Target::AtMost(1e9 / enough))),
            ("of it in user space", "ns", &self.user_nanos, None),
            ("the bare path’s time", "ns", &self.bare_nanos, None),
            ("arrived", "%", &self.delivered, Some(Target::AtLeast(DELIVERED))),
        ]
        .into_iter()
        .filter_map(move |(what, unit, values, bound)| {
            Figure::of(format!("{load}: {what}"), unit, values, bound)
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pair_of_runs_becomes_rate_share_and_what_arrived() {
        let run = |nanos: f64| json!({ "nanos_per_packet": nanos, "user_nanos_per_packet": nanos / 2.0, "forwarded": 97, "expected": 100 });
        let mut values = Values::default();
        values.add(&run(1_500.0), &run(2_000.0)).unwrap();
        let figures: Vec<Figure> = values.figures(50, true).collect();
        let told: Vec<(f64, Option<bool>)> =
            figures.iter().map(|figure| (figure.median, figure.met)).collect();
        assert_eq!(
            told,
            [
                (500_000.0, Some(true)),
                (75.0, Some(true)),
                (2_000.0, Some(true)),
                (1_000.0, None),
                (1_500.0, None),
                (97.0, Some(true))
            ]
        );
        assert_eq!(figures[0].name, "50 subscribers, trains: forwarded by a core");
        let nothing = json!({ "nanos_per_packet": 0.0, "forwarded": 0, "expected": 0 });
        assert!(values.add(&run(1.0), &nothing).is_err(), "a run that forwarded nothing is no figure");
    }
}
