// SPDX-License-Identifier: EUPL-1.2
//! A thousand people in one room of whom ten speak: do all join, does everyone hear all of them, and what does it take? On one
//! shard, and spread over two by a trunk, in turn.
//!
//! `load` is the crowd and what one run with it came to, `page` writes down what many came to.

mod load;
mod page;

use std::collections::BTreeMap;
use std::time::Instant;

use self::load::Run;
use super::rounds::Seen;
use super::server::{self, Layout, Server};
use super::{Options, figures};
use crate::sh::{Result, root, say, target};

const ROUNDS: usize = 3;

/// A server of its own for each; both have one core.
const LAYOUTS: [(&str, Layout); 2] = [
    (
        "one shard",
        Layout { shards: 1, room_peers_per_shard: 200, participants: load::SPEAKERS + load::LISTENERS },
    ),
    (
        "two shards",
        Layout { shards: 2, room_peers_per_shard: 200, participants: load::SPEAKERS + load::LISTENERS },
    ),
];

/// All that one run of the command measured.
struct Measured {
    /// The load generator's arguments.
    arguments: String,
    /// What each round gave, from both layouts.
    seen: Vec<[Seen<Run>; 2]>,
    version: String,
}

/// Measures, and writes the page; with `--quick` a short round, and the page beside the binaries.
pub(super) fn run(options: &Options) -> Result {
    server::check_cores()?;
    super::build_server()?;
    let rounds = if options.quick { 1 } else { ROUNDS };
    let mut measured =
        Measured { arguments: load::arguments(options.quick), seen: Vec::new(), version: figures::version() };
    let begun = Instant::now();
    for round in 0..rounds {
        let once = |which: usize| -> Result<Seen<Run>> {
            let (name, layout) = LAYOUTS[which];
            say(&format!("{:4} s  round {} of {rounds}: {name}", begun.elapsed().as_secs(), round + 1));
            let seen = load::run(&Server::start_parvis(layout)?, &measured.arguments, layout)?;
            match &seen {
                Ok(run) => say(&format!("        {run}")),
                Err(why) => say(&format!("        it did not come to its end: {why}")),
            }
            Ok(seen)
        };
        // A B, then B A, so that what slowly changes on the machine hits both alike.
        let pair = if round % 2 == 0 {
            let one = once(0)?;
            [one, once(1)?]
        } else {
            let two = once(1)?;
            [once(0)?, two]
        };
        measured.seen.push(pair);
    }
    let figures = page::figures(&measured);
    let versions = BTreeMap::from([("parvis".to_owned(), measured.version.clone())]);
    figures::report(&figures, &versions, options.json_file()?.as_deref())?;
    let folder = if options.quick { target().join("peers") } else { root().join("docs/measurements") };
    std::fs::write(folder.join("crowd.md"), page::page(&measured, &figures))?;
    say(&format!("wrote crowd.md in {}", folder.display()));
    Ok(())
}
