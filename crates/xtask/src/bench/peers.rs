// SPDX-License-Identifier: EUPL-1.2
//! What forwarding costs: Parvis and its peers, each alone on one core, under one load from another core, in turn.
//!
//! `load` is what is put on them and what one run came to, `outcome` what many runs came to, `page` writes it down, `chart`
//! draws it.

mod chart;
mod load;
mod outcome;
mod page;

use std::time::Instant;

use self::load::{LOADS, Load, RAMP, Run};
use super::rounds::{Round, Turns};
use super::server::{Program, Which};
use super::{Options, figures, janus, livekit, mediasoup, server};
use crate::sh::{Result, root, say, target};

const ROUNDS: usize = 5;
/// Whom Parvis is compared with, where nobody is named.
const PEERS: [Which; 3] = [Which::LiveKit, Which::Janus, Which::Mediasoup];

/// A peer that is not compared, and why.
type Absent = (Which, String);

/// All that one run of the command measured.
struct Measured {
    rounds: usize,
    /// Parvis first.
    programs: Vec<Program>,
    absent: Vec<Absent>,
    /// For each load, and for the ramp at last: what each round gave, from all.
    loads: Vec<(&'static Load, Vec<Round<Run>>)>,
}

impl Measured {
    /// Who was measured, Parvis first.
    fn servers(&self) -> Vec<Which> {
        self.programs.iter().map(|program| program.which).collect()
    }
}

/// Measures, and writes the page and its chart; with `--quick` a short round, and the page beside the binaries.
pub(super) fn run(options: &Options) -> Result {
    server::check_cores()?;
    let folder = target().join("peers");
    std::fs::create_dir_all(&folder)?;
    let (programs, absent) = programs(&options.peers)?;
    super::build_server()?;
    let rounds = if options.quick { 1 } else { ROUNDS };
    let loads = LOADS.iter().chain([&RAMP]).map(|load| (load, Vec::new())).collect();
    let mut measured = Measured { rounds, programs, absent, loads };
    let turns = Turns { programs: &measured.programs, begun: Instant::now() };
    for round in 0..rounds {
        for (load, seen) in &mut measured.loads {
            let title = format!("round {} of {rounds}, {}", round + 1, load.title);
            seen.push(turns.round(round, &title, |server| load.run(server, options.quick))?);
        }
    }
    let figures = outcome::figures(&measured);
    let versions = figures::versions(&measured.programs);
    figures::report(&figures, &versions, options.json_file()?.as_deref())?;
    let folder = if options.quick { folder } else { root().join("docs/measurements") };
    std::fs::write(folder.join("peers.md"), page::page(&measured, &figures))?;
    std::fs::write(folder.join("peers.svg"), chart::chart(&measured))?;
    say(&format!("wrote peers.md and peers.svg in {}", folder.display()));
    Ok(())
}

/// Parvis and those of its peers that are asked for and to be had, and why others are not. What is to be reached is held
/// against LiveKit: where that is asked for and not to be had, nothing is measured.
fn programs(asked: &[Which]) -> Result<(Vec<Program>, Vec<Absent>)> {
    let (mut programs, mut absent) = (vec![Program::parvis()], Vec::new());
    for which in PEERS {
        if !asked.is_empty() && !asked.contains(&which) {
            absent.push((which, "it was not asked for".to_owned()));
            continue;
        }
        let program = match which {
            Which::Parvis => continue,
            Which::LiveKit => Ok(livekit::program()?),
            Which::Janus => janus::program(),
            Which::Mediasoup => mediasoup::program(),
        };
        match program {
            Ok(program) => programs.push(program),
            Err(error) => {
                say(&format!("{} is left out: {error}", which.name()));
                absent.push((which, error.to_string()));
            }
        }
    }
    Ok((programs, absent))
}

/// What the page and its chart are called.
fn title(servers: &[Which]) -> String {
    let others: Vec<&str> = servers.iter().skip(1).map(|which| which.name()).collect();
    match others.split_last() {
        None => "What forwarding costs".to_owned(),
        Some((last, [])) => format!("What forwarding costs, beside {last}"),
        Some((last, first)) => format!("What forwarding costs, beside {} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_a_page_is_about_stands_in_its_title() {
        let with = |others: &[Which]| title(&[&[Which::Parvis], others].concat());
        assert_eq!(with(&[]), "What forwarding costs");
        assert_eq!(with(&[Which::LiveKit]), "What forwarding costs, beside LiveKit");
        assert_eq!(with(&PEERS), "What forwarding costs, beside LiveKit, Janus and mediasoup");
    }

    #[test]
    fn a_peer_that_was_not_asked_for_is_told() {
        let (programs, absent) = programs(&[Which::Parvis]).unwrap();
        assert_eq!(programs.len(), 1);
        assert_eq!(absent.iter().map(|(which, _)| *which).collect::<Vec<_>>(), PEERS);
    }
}
