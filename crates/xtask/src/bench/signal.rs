// SPDX-License-Identifier: EUPL-1.2
//! What signalling costs: Parvis and LiveKit, each alone on one core, with one crowd from another core, in turn.
//!
//! `load` is the crowd and what one run with it came to, `outcome` what many runs came to, `page` writes it down, `chart`
//! draws it.

mod chart;
mod load;
mod outcome;
mod page;

use std::collections::BTreeMap;
use std::time::Instant;

use self::load::Run;
use super::rounds::{Round, Turns};
use super::server::Program;
use super::{Options, figures, livekit, server};
use crate::sh::{Result, root, say, target};

const ROUNDS: usize = 5;

/// All that one run of the command measured.
struct Measured {
    /// The load generator's arguments.
    arguments: String,
    /// What each round gave, from both.
    seen: Vec<Round<Run>>,
    versions: BTreeMap<String, String>,
}

/// Measures, and writes the page and its chart; with `--quick` a short round, and the page beside the binaries.
pub(super) fn run(options: &Options) -> Result {
    server::check_cores()?;
    let programs = [Program::parvis(), livekit::program()?];
    super::build_server()?;
    let folder = target().join("peers");
    std::fs::create_dir_all(&folder)?;
    let rounds = if options.quick { 1 } else { ROUNDS };
    let mut measured = Measured {
        arguments: load::arguments(options.quick),
        seen: Vec::new(),
        versions: figures::versions(&programs),
    };
    let turns = Turns { programs: &programs, begun: Instant::now() };
    for round in 0..rounds {
        let title = format!("round {} of {rounds}", round + 1);
        measured.seen.push(turns.round(round, &title, |server| load::run(server, &measured.arguments))?);
    }
    let figures = outcome::figures(&measured);
    figures::report(&figures, &measured.versions, options.json_file()?.as_deref())?;
    let folder = if options.quick { folder } else { root().join("docs/measurements") };
    std::fs::write(folder.join("signal.md"), page::page(&measured, &figures))?;
    std::fs::write(folder.join("signal.svg"), chart::chart(&measured))?;
    say(&format!("wrote signal.md and signal.svg in {}", folder.display()));
    Ok(())
}
