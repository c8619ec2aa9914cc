// SPDX-License-Identifier: EUPL-1.2
//! The media worker's command line.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command speaks through these")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use parvis_jobs::Limits;
use parvis_media::age::Identity;
use parvis_media::capture::Settings;
use parvis_media::confine::{self, Bounds};
use parvis_media::recording::{self, State};
use parvis_media::worker::{self, Options};

#[derive(Parser)]
#[command(
    name = "parvis-media",
    version,
    about = "The media worker: captures rooms, and opens what was captured"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Capture a room: started by the server, with its sockets as standard input and output.
    Capture {
        /// The job's directory; the process reaches no other file.
        #[arg(long)]
        directory: PathBuf,
        /// What to do where the kernel can't confine the process.
        #[arg(long, value_enum, default_value = "required")]
        confine: Confine,
        /// Memory that the process may use, in MiB.
        #[arg(long, default_value_t = 512)]
        memory_mib: u64,
        /// How long a packet waits for those before it, in milliseconds.
        #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(0..=1000))]
        wait_ms: u64,
    },
    /// Confine this process as a worker is, try what must fail, and say whether it does.
    ConfineCheck {
        /// A directory that exists.
        #[arg(long)]
        directory: PathBuf,
    },
    /// Check that the files of a recording are as they were written; with a key, what is in them as well.
    Verify {
        /// The recording's directory.
        directory: PathBuf,
        /// A file with age identities, as age-keygen writes it.
        #[arg(long)]
        identity: Option<PathBuf>,
    },
    /// Write the files of a recording in the clear, those that a killed worker left included.
    Decrypt {
        /// The recording's directory.
        directory: PathBuf,
        /// A new directory.
        #[arg(long)]
        to: PathBuf,
        /// A file with age identities; not needed for a recording in the clear.
        #[arg(long)]
        identity: Option<PathBuf>,
    },
    /// As decrypt, but only what killed workers left unfinished.
    Recover {
        /// The recording's directory.
        directory: PathBuf,
        /// A new directory.
        #[arg(long)]
        to: PathBuf,
        /// A file with age identities.
        #[arg(long)]
        identity: Option<PathBuf>,
    },
    /// Write the tracks of a recording as files that players can seek in.
    Export {
        /// The recording's directory.
        directory: PathBuf,
        /// A new directory.
        #[arg(long)]
        to: PathBuf,
        /// A file with age identities; not needed for a recording in the clear.
        #[arg(long)]
        identity: Option<PathBuf>,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Confine {
    /// Refuse to run.
    Required,
    /// Run with what there is, and say what is missing.
    Available,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(problem) => {
            eprintln!("parvis-media: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode, Box<dyn std::error::Error>> {
    match command {
        Command::Capture { directory, confine, memory_mib, wait_ms } => {
            let mut settings = Settings::default();
            settings.jitter.wait_micros = wait_ms * 1000;
            worker::run(&Options {
                directory,
                require_confinement: confine == Confine::Required,
                bounds: Bounds { memory_bytes: memory_mib * 1024 * 1024, ..Bounds::default() },
                settings,
                limits: Limits::default(),
            })?;
            Ok(ExitCode::SUCCESS)
        }
        Command::ConfineCheck { directory } => Ok(confine_check(&directory)),
        Command::Verify { directory, identity } => {
            let report = recording::verify(&directory, &identities(identity.as_deref())?)?;
            for file in &report {
                println!("{:<11} {}", file.state.name(), file.name);
                if let State::Damaged(what) = &file.state {
                    println!("            {what}");
                }
            }
            let whole = report.iter().all(|file| !matches!(file.state, State::Damaged(_)));
            Ok(if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Decrypt { directory, to, identity } => {
            told(&recording::decrypt(&directory, &to, &identities(identity.as_deref())?, false)?)
        }
        Command::Recover { directory, to, identity } => {
            told(&recording::decrypt(&directory, &to, &identities(identity.as_deref())?, true)?)
        }
        Command::Export { directory, to, identity } => {
            told(&recording::export(&directory, &to, &identities(identity.as_deref())?)?)
        }
    }
}

fn told(written: &[recording::Written]) -> Result<ExitCode, Box<dyn std::error::Error>> {
    for file in written {
        let mark = if file.recovered { "recovered" } else { "whole" };
        println!("{:>12} bytes  {mark:<9}  {}", file.bytes, file.name);
    }
    Ok(ExitCode::SUCCESS)
}

fn identities(path: Option<&Path>) -> Result<Vec<Identity>, Box<dyn std::error::Error>> {
    let Some(path) = path else { return Ok(Vec::new()) };
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(Identity::read_all(&text).map_err(|error| format!("{}: {error}", path.display()))?)
}

fn confine_check(directory: &Path) -> ExitCode {
    let confinement = confine::confine(directory, Bounds::default());
    for missing in &confinement.missing {
        println!("missing  {missing}");
    }
    let mut held = confine::is_complete(&confinement);
    for attempt in confine::attempts(directory) {
        match attempt.refused {
            Some(how) => println!("held     {}: {how}", attempt.what),
            None => {
                held = false;
                println!("FREE     {}", attempt.what);
            }
        }
    }
    if held { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
