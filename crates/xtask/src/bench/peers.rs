// SPDX-License-Identifier: EUPL-1.2
//! What forwarding costs: Parvis and LiveKit, each alone on one core, under one load from another core, in turn.
//!
//! `load` is what is put on them and what one run came to, `server` how they are started, `outcome` what many runs came
//! to, `page` writes it down, `chart` draws it.

mod chart;
mod load;
mod outcome;
mod page;
mod server;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use self::load::{LOADS, Load, RAMP, Run};
use self::server::{Server, Which};
use super::Options;
use super::figures;
use super::livekit;
use crate::sh::{Error, Result, root, say, target};

const ROUNDS: usize = 5;
/// The servers' core, and the load's.
const SERVER_CORE: usize = 0;
const LOAD_CORE: usize = 1;

/// All that one run of the command measured.
struct Measured {
    rounds: usize,
    /// For each load, and for the ramp at last: what each round gave, from both.
    loads: Vec<(&'static Load, Vec<[Seen; 2]>)>,
    versions: BTreeMap<String, String>,
}

/// A run, or why it did not come to its end.
type Seen = std::result::Result<Run, String>;

/// Measures, and writes the page and its chart; with `--quick` a short round, and the page beside the binaries.
pub(super) fn run(options: &Options) -> Result {
    if std::thread::available_parallelism().is_ok_and(|cores| cores.get() < 2) {
        return Err(Error::new("a server needs one core and the load another: this machine has one"));
    }
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
    let begun = Instant::now();
    for round in 0..rounds {
        for (load, seen) in &mut measured.loads {
            let title = format!("round {} of {rounds}, {}", round + 1, load.title);
            seen.push(pair(round, load, options.quick, &livekit, &title, begun)?);
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

/// One load on both. A B, B A: what slowly changes on the machine hits both alike.
fn pair(
    round: usize,
    load: &Load,
    quick: bool,
    livekit: &Path,
    title: &str,
    begun: Instant,
) -> Result<[Seen; 2]> {
    let once = |which: Which| -> Result<Seen> {
        say(&format!("{:4} s  {title}: {}", begun.elapsed().as_secs(), which.name()));
        let server = Server::start(which, livekit)?;
        let seen = load.run(&server, quick)?;
        match &seen {
            Ok(run) => say(&format!("        {run}")),
            Err(why) => say(&format!("        it did not come to its end: {why}")),
        }
        Ok(seen)
    };
    if round.is_multiple_of(2) {
        let parvis = once(Which::Parvis)?;
        Ok([parvis, once(Which::LiveKit)?])
    } else {
        let livekit = once(Which::LiveKit)?;
        Ok([once(Which::Parvis)?, livekit])
    }
}
