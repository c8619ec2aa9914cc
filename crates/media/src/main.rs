// SPDX-License-Identifier: EUPL-1.2
//! The media worker's command line.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command speaks through these")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use parvis_jobs::Limits;
use parvis_media::age::Identity;
use parvis_media::capture::Settings;
use parvis_media::compose::{self, Layout};
use parvis_media::confine::{self, Bounds};
use parvis_media::recording::{self, State};
use parvis_media::worker::{self, Options};

#[derive(Parser)]
#[command(
    name = "parvis-media",
    version,
    about = "The media worker: captures rooms, and opens and composes what was captured"
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
        /// As one that composes.
        #[arg(long)]
        composer: bool,
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
    /// Make one film of a recording: MP4 with H.264 and AAC.
    Compose {
        /// The recording's directory.
        directory: PathBuf,
        /// The film, a new file.
        out: PathBuf,
        /// What it shows.
        #[arg(long, value_enum, default_value = "grid")]
        layout: Shown,
        /// Width and height in samples.
        #[arg(long, default_value = "1280x720", value_parser = size)]
        size: (u32, u32),
        /// Pictures a second.
        #[arg(long, default_value_t = 30)]
        rate: u32,
        /// The most that pictures take, in kbit/s.
        #[arg(long, default_value_t = 2500)]
        kbits: u32,
        /// A file with age identities; not needed for a recording in the clear.
        #[arg(long)]
        identity: Option<PathBuf>,
        /// What to do where the kernel can't confine the process.
        #[arg(long, value_enum, default_value = "required")]
        confine: Confine,
        /// Memory that the process may use, in MiB; the stacks of its threads count.
        #[arg(long, default_value_t = 4096)]
        memory_mib: u64,
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

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shown {
    /// Everybody in tiles of one size.
    Grid,
    /// Who shares or speaks large, the others under it.
    Speaker,
    /// Sound only.
    Audio,
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
        Command::ConfineCheck { directory, composer } => confine_check(&directory, composer),
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
        Command::Compose {
            directory,
            out,
            layout,
            size: (width, height),
            rate,
            kbits,
            identity,
            confine,
            memory_mib,
        } => {
            let layout = match layout {
                Shown::Grid => Layout::Grid,
                Shown::Speaker => Layout::Speaker,
                Shown::Audio => Layout::Audio,
            };
            let options = compose::Options { layout, width, height, rate, kbits };
            let identities = identities(identity.as_deref())?;
            confine_composer(&directory, &out, confine, memory_mib)?;
            let film = compose::compose(&directory, &out, &identities, &options)?;
            for note in &film.notes {
                println!("left out from there on: {}: {}", note.file, note.what);
            }
            println!("{:>12} bytes  {:>8.1} s  {}", film.bytes, film.duration as f64 / 1e6, out.display());
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Holds this process to the recording and the film's directory.
fn confine_composer(
    recording: &Path,
    out: &Path,
    confine: Confine,
    memory_mib: u64,
) -> Result<(), Box<dyn std::error::Error>> {
    let films = match out.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return Err(format!("{}: no name of a file", out.display()).into()),
    };
    if let Some(missing) = [recording, films].into_iter().find(|directory| !directory.is_dir()) {
        return Err(format!("{}: no directory", missing.display()).into());
    }
    compose::prepare()?;
    let bounds = Bounds { memory_bytes: memory_mib * 1024 * 1024, ..Bounds::default() };
    let held = confine::confine_composer(recording, films, bounds);
    if confine == Confine::Required && !confine::is_complete(&held) {
        let missing = held.missing.join("; ");
        return Err(format!("{missing}; --confine available goes on without it").into());
    }
    for missing in held.missing {
        eprintln!("parvis-media: missing: {missing}");
    }
    Ok(())
}

fn size(text: &str) -> Result<(u32, u32), String> {
    let sides =
        text.split_once('x').and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
    sides.ok_or_else(|| "a size is two numbers with an x between them, like 1280x720".to_owned())
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

fn confine_check(directory: &Path, composer: bool) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let confinement = if composer {
        compose::prepare()?;
        let bounds = Bounds { memory_bytes: 4 * 1024 * 1024 * 1024, ..Bounds::default() };
        confine::confine_composer(directory, directory, bounds)
    } else {
        confine::confine(directory, Bounds::default())
    };
    for missing in &confinement.missing {
        println!("missing  {missing}");
    }
    let mut held = confine::is_complete(&confinement);
    for attempt in confine::attempts(directory, composer) {
        match attempt.refused {
            Some(how) => println!("held     {}: {how}", attempt.what),
            None => {
                held = false;
                println!("FREE     {}", attempt.what);
            }
        }
    }
    Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
