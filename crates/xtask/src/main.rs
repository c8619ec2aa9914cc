// SPDX-License-Identifier: EUPL-1.2
//! What a developer runs: `cargo xtask run`, `test`, `e2e`, `bench`, `sim`, `fuzz`, `deb`, `deny`, `web`.
//!
//! Each command installs what it is missing and says so. Each file here is one command, over `sh` (how a
//! process is started and reported) and `setup` (what the machine must have).

mod bench;
mod compatibility;
mod dashboards;
mod deb;
mod deny;
mod e2e;
mod fuzz;
mod habits;
mod image;
mod pages;
mod programs;
mod run;
mod sbom;
mod setup;
mod sh;
mod sim;
mod test;
mod web;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Build, run and test Parvis")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build everything and start a server on this machine; prints a meeting link.
    Run(run::Options),
    /// Every check: format, lints, unit and property tests, browsers and SDKs, fuzz targets, licences, advisories.
    Test(test::Options),
    /// End-to-end tests with real clients.
    E2e(e2e::Options),
    /// Measure something; prints a table and, with --json, a file.
    Bench(bench::Options),
    /// Simulate whole conferences from seeds, in virtual time.
    Sim(sim::Options),
    /// Run fuzz targets.
    Fuzz(fuzz::Options),
    /// Build the Debian package, and try it in Debian systems made for that.
    Deb(deb::Options),
    /// Check licences and known advisories of what is linked.
    Deny,
    /// Write Grafana's dashboards from their tables.
    Dashboards,
    /// Build the system image, and boot it.
    Image(image::Options),
    /// List what is in each program, as CycloneDX.
    Sbom,
    /// Build the web client.
    Web,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Run(options) => run::run(&options),
        Command::Test(options) => test::run(&options),
        Command::E2e(options) => e2e::run(&options),
        Command::Bench(options) => bench::run(&options),
        Command::Sim(options) => sim::run(&options),
        Command::Fuzz(options) => fuzz::run(&options),
        Command::Dashboards => dashboards::write(),
        Command::Deb(options) => deb::run(&options),
        Command::Deny => deny::run(),
        Command::Image(options) => image::run(&options),
        Command::Sbom => sbom::run(),
        Command::Web => web::build(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            sh::say(&format!("failed: {error}"));
            ExitCode::FAILURE
        }
    }
}
