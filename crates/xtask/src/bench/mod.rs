// SPDX-License-Identifier: EUPL-1.2
//! `cargo xtask bench NAME`: measurements, printed as a table and, when asked, as JSON. Each file here is one of them, but
//! for these: `figures` is how they all speak, `svg` how they draw; `livekit`, `janus` and `mediasoup` are whom they are compared
//! with; `server` has one of them run and puts loads on it, `rounds` on all in turn.

mod crowd;
mod figures;
mod forward;
pub(crate) mod instructions;
mod janus;
mod join;
mod livekit;
mod loss;
mod media;
mod mediasoup;
mod peers;
mod rounds;
mod server;
mod signal;
mod sim;
mod start;
mod svg;
mod web;

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::setup;
use crate::sh::{Result, process};

#[derive(Args)]
pub(crate) struct Options {
    /// What to measure.
    name: Name,
    /// Writes the figures to this file as well.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Fewer runs: under a minute.
    #[arg(long)]
    quick: bool,
    /// Keeps the new count in the tree (`instructions` only).
    #[arg(long)]
    record: bool,
    /// Whom to compare with, parted by commas; all that can be had, unless told (`peers` only).
    #[arg(long, value_enum, value_name = "NAMES", value_delimiter = ',')]
    peers: Vec<server::Which>,
}

impl Options {
    /// Where the figures go, from wherever a process runs that writes them.
    fn json_file(&self) -> Result<Option<PathBuf>> {
        let here = std::env::current_dir()?;
        Ok(self.json.as_ref().map(|file| here.join(file)))
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum Name {
    /// A thousand people in one room of whom ten speak, on one shard and spread over two.
    Crowd,
    /// What forwarding one packet costs a shard's thread, against a bare loop in the same run.
    Forward,
    /// Instructions for a forwarded packet, by callgrind, against the count that is kept in the tree.
    Instructions,
    /// From joining to the first decoded remote video frame, for both signalling forms.
    Join,
    /// What a receiver behind a lossy link sees and hears, from Parvis and from LiveKit.
    Loss,
    /// What capturing and composing take, against a browser whose screen is recorded.
    Media,
    /// What joining, being there and RoomService cost, from Parvis and from LiveKit.
    Signal,
    /// How much faster than the clock one long simulated meeting of 50 runs on one core.
    Sim,
    /// What forwarding costs, how late packets are, what memory and joining take, from Parvis and from its peers.
    Peers,
    /// What the web client weighs and how quick it is, in a real browser.
    Web,
    /// How long a server takes to get ready, and how much memory, empty.
    Start,
}

/// Runs one benchmark against a release build.
pub(crate) fn run(options: &Options) -> Result {
    setup::build_tools()?;
    match options.name {
        Name::Crowd => crowd::run(options),
        Name::Forward => forward::run(options),
        Name::Instructions => instructions::run(options.record),
        Name::Join => join::run(options),
        Name::Loss => loss::run(options),
        Name::Media => media::run(options),
        Name::Signal => signal::run(options),
        Name::Sim => sim::run(options),
        Name::Peers => peers::run(options),
        Name::Web => web::run(options),
        Name::Start => start::run(options),
    }
}

/// The server and what measures it from outside, built in one go: so all of them are made from the same dependencies,
/// and none is built anew for the next measurement.
fn build_server() -> Result {
    const PACKAGES: [&str; 3] = ["parvis", "parvis-load", "parvis-router"];
    let packages = PACKAGES.iter().flat_map(|package| ["--package", *package]);
    process("cargo", ["build", "--release", "--locked"].into_iter().chain(packages)).run()
}
