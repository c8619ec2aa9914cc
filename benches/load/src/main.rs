// SPDX-License-Identifier: EUPL-1.2
//! `parvis-load`: puts a load on a server and reports what came of it.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command speaks through these")]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use parvis_load::Scenario;

/// Lets publishers and subscribers join a server by the hundred, and reports what reached them, how late, and what it
/// cost the server.
#[derive(Parser)]
#[command(name = "parvis-load", version)]
struct Arguments {
    #[command(flatten)]
    scenario: Scenario,
    /// Writes the report to this file as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// No line of progress each second.
    #[arg(long)]
    quiet: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut progress = |line: &str| {
        if !arguments.quiet {
            eprintln!("{line}");
        }
    };
    let report = match parvis_load::run(&arguments.scenario, &mut progress) {
        Ok(report) => report,
        Err(error) => {
            eprintln!("parvis-load: {error}");
            return ExitCode::FAILURE;
        }
    };
    print!("{}", report.table());
    if let Some(file) = &arguments.json {
        let written = serde_json::to_string_pretty(&report)
            .map_err(std::io::Error::from)
            .and_then(|text| std::fs::write(file, text + "\n"));
        if let Err(error) = written {
            eprintln!("parvis-load: cannot write {}: {error}", file.display());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
