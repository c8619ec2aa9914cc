// SPDX-License-Identifier: EUPL-1.2
//! What forwarding costs: Parvis and LiveKit, each alone on one core, under one load from another core, in turn.
//!
//! `load` is what is put on them and what one run came to, `outcome` what many runs came to, `page` writes it down, `chart`
//! draws it.

mod chart;
mod load;
mod outcome;
mod page;

use std::collections::BTreeMap;
use std::time::Instant;

use self::load::{LOADS, Load, RAMP, Run};
use super::rounds::{Seen, Turns};
use super::{Options, figures, livekit, server};
use crate::sh::{Result, root, say, target};

const ROUNDS: usize = 5;

/// All that one run of the command measured.
struct Measured {
    rounds: usize,
    /// For each load, and for the ramp at last: what each round gave, from both.
    loads: Vec<(&'static Load, Vec<[Seen<Run>; 2]>)>,
    versions: BTreeMap<String, String>,
}

/// Measures, and writes the page and its chart; with `--quick` a short round, and the page beside the binaries.
pub(super) fn run(options: &Options) -> Result {
    server::check_cores()?;
    let livekit = livekit::server()?;
    super::build_server()?;
    let folder = target().join("peers");
    std::fs::create_dir_all(&folder)?;
    let rounds = if options.quick { 1 } else { ROUNDS };
    let mut measured = Measured {
        rounds,
        loads: LOADS.iter().chain([&RAMP]).map(|load| (load, Vec::new())).collect(),
        versions: BTreeMap::from([
            ("parvis".to_owned(), figures::version()),
            ("livekit-server".to_owned(), livekit::version(&livekit)),
        ]),
    };
    let turns = Turns { livekit: &livekit, begun: Instant::now() };
    for round in 0..rounds {
        for (load, seen) in &mut measured.loads {
            let title = format!("round {} of {rounds}, {}", round + 1, load.title);
            seen.push(turns.pair(round, &title, |server| load.run(server, options.quick))?);
        }
    }
    let figures = outcome::figures(&measured);
    figures::report(&figures, &measured.versions, options.json_file()?.as_deref())?;
    let folder = if options.quick { folder } else { root().join("docs/measurements") };
    std::fs::write(folder.join("peers.md"), page::page(&measured, &figures))?;
    std::fs::write(folder.join("peers.svg"), chart::chart(&measured))?;
    say(&format!("wrote peers.md and peers.svg in {}", folder.display()));
    Ok(())
}
