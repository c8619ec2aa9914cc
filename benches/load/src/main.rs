// SPDX-License-Identifier: EUPL-1.2
//! `parvis-load`: puts a load on a server and reports what came of it.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command speaks through these")]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use parvis_load::Scenario;
use parvis_load::crowd::{self, CrowdScenario};
use serde::Serialize;

/// Lets publishers and subscribers join a server by the hundred, and reports what reached them, how late, and what it
/// cost the server.
#[derive(Parser)]
#[command(name = "parvis-load", version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    other: Option<Other>,
    #[command(flatten)]
    scenario: Scenario,
    #[command(flatten)]
    output: Output,
}

#[derive(Subcommand)]
enum Other {
    /// Lets a crowd join that sends and receives nothing, changes some of it, and asks about it by RoomService.
    Crowd {
        #[command(flatten)]
        scenario: CrowdScenario,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(clap::Args)]
struct Output {
    /// Writes the report to this file as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// No lines of progress.
    #[arg(long)]
    quiet: bool,
}

impl Output {
    fn progress(&self, line: &str) {
        if !self.quiet {
            eprintln!("{line}");
        }
    }

    fn write(&self, table: &str, report: &impl Serialize) -> Result<(), String> {
        print!("{table}");
        let Some(file) = &self.json else { return Ok(()) };
        serde_json::to_string_pretty(report)
            .map_err(std::io::Error::from)
            .and_then(|text| std::fs::write(file, text + "\n"))
            .map_err(|error| format!("cannot write {}: {error}", file.display()))
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let ended = match &arguments.other {
        None => {
            let output = &arguments.output;
            parvis_load::run(&arguments.scenario, &mut |line| output.progress(line))
                .map_err(|error| error.to_string())
                .and_then(|report| output.write(&report.table(), &report))
        }
        Some(Other::Crowd { scenario, output }) => crowd::run(scenario, &mut |line| output.progress(line))
            .map_err(|error| error.to_string())
            .and_then(|report| output.write(&report.table(), &report)),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("parvis-load: {error}");
            ExitCode::FAILURE
        }
    }
}
