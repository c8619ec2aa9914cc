// SPDX-License-Identifier: EUPL-1.2
//! The media worker's command line.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command speaks through these")]

mod arguments;

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use parvis_jobs::{Confinement, Limits};
use parvis_media::age::{Identity, Recipient};
use parvis_media::capture::Settings;
use parvis_media::compose::{self, Layout};
use parvis_media::confine::{self, Bounds};
use parvis_media::hardware::probe::Prober;
use parvis_media::hardware::{self, Devices, Encoders, Survey, Wanted};
use parvis_media::push;
use parvis_media::recording::{self, State};
use parvis_media::seal::seal;
use parvis_media::worker::{self, Options};
use parvis_media::yielding;

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
        /// Memory that the process may use, in MiB; 512 without this, and 4096 with --live, where the stacks of its threads and
        /// all libraries count.
        #[arg(long)]
        memory_mib: Option<u64>,
        /// How long a packet waits for those before it, in milliseconds.
        #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(0..=1000))]
        wait_ms: u64,
        /// Be ready to compose the room while it is there, too: with threads, and libraries of others in the process.
        #[arg(long)]
        live: bool,
        /// Who encodes H.264 then: auto, a family (nvenc, vaapi, software), or a name that `parvis-media probe` prints.
        #[arg(long, default_value = "auto", requires = "live")]
        encoder: Wanted,
    },
    /// Confine this process as a worker is, try what must fail, and say whether it does.
    ConfineCheck {
        /// A directory that exists.
        #[arg(long)]
        directory: PathBuf,
        /// As one that composes.
        #[arg(long)]
        composer: bool,
        /// As one whose encoder needs this device: it must open. Several may be given.
        #[arg(long, requires = "composer")]
        device: Vec<PathBuf>,
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
    /// Make one film of a recording: MP4, WebM or Ogg.
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
        /// Who encodes H.264: auto, a family (nvenc, vaapi, software), or a name that `parvis-media probe` prints.
        #[arg(long, default_value = "auto")]
        encoder: Wanted,
        #[command(flatten)]
        film: Box<arguments::Film>,
        #[command(flatten)]
        service: Service,
    },
    /// Try the encoders that this machine may have, and say which one films are made with.
    Probe {
        /// Encode some seconds with each, look at what comes out, and have another go on in the middle.
        #[arg(long)]
        full: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        /// How long one encoder may take before it is ended, in seconds; with --full never less than 240.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3600))]
        timeout: u64,
        /// Say which one would be taken of these for H.264: auto, a family (nvenc, vaapi, software), or a name that this prints.
        #[arg(long, default_value = "auto")]
        encoder: Wanted,
    },
    /// Try one encoder: started by the others of these commands, with what is to be tried as standard input.
    #[command(hide = true)]
    Trial,
    /// Push a transport stream to one target: started by the server. The first line of standard input says where to.
    #[command(hide = true)]
    Push {
        /// What to do where the kernel can't confine the process.
        #[arg(long, value_enum, default_value = "required")]
        confine: Confine,
        /// Memory that the process may use, in MiB; the stacks of its threads count.
        #[arg(long, default_value_t = 1024)]
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

/// What a server asks of a composer besides.
#[derive(Args)]
struct Service {
    /// Seal the film, and what is made beside it, for these age recipients once it is whole: its name then ends with .age.
    #[arg(long, value_name = "RECIPIENT")]
    seal: Vec<Recipient>,
    /// Let everything else on this machine go first, and end when standard input does.
    #[arg(long)]
    job: bool,
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
    /// A share large with the others beside it, and as speaker while nobody shares.
    Screen,
    /// One picture: who speaks, or --participant or --track.
    Single,
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
        Command::Capture { directory, confine, memory_mib, wait_ms, live, encoder } => {
            let mut settings = Settings::default();
            settings.jitter.wait_micros = wait_ms * 1000;
            let live = live.then(|| live_encoders(&encoder)).transpose()?;
            let memory_mib = memory_mib.unwrap_or(if live.is_some() { LIVE_MEMORY_MIB } else { MEMORY_MIB });
            worker::run(&Options {
                directory,
                require_confinement: confine == Confine::Required,
                bounds: Bounds { memory_bytes: memory_mib * 1024 * 1024, ..Bounds::default() },
                settings,
                limits: Limits::default(),
                live,
            })?;
            Ok(ExitCode::SUCCESS)
        }
        Command::ConfineCheck { directory, composer, device } => confine_check(&directory, composer, device),
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
        Command::Push { confine, memory_mib } => {
            push::prepare()?;
            let (order, target) = push::order()?;
            let held = push::confine(&target, memory_mib * 1024 * 1024);
            accept(held, confine)?;
            push::push(&order, &target)?;
            // Libraries of others may still have threads: what they do at an end of their own is of no use here.
            std::process::exit(0)
        }
        Command::Probe { full, json, timeout, encoder } => survey(full, json, timeout, &encoder),
        Command::Trial => hardware::trial::serve().map(|()| ExitCode::SUCCESS),
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
            encoder,
            film,
            service,
        } => {
            if service.job {
                yielding::yield_to_others()?;
            }
            let layout = match layout {
                Shown::Grid => Layout::Grid,
                Shown::Speaker => Layout::Speaker,
                Shown::Screen => Layout::Screen,
                Shown::Single => Layout::Single,
                Shown::Audio => Layout::Audio,
            };
            let options =
                compose::Options { layout, width, height, rate, kbits, ..compose::Options::default() };
            let options = film.add_to(options, &out)?;
            let identities = identities(identity.as_deref())?;
            let encoders = encoders(&options, &encoder)?;
            let devices = encoders.as_ref().map(Encoders::devices).unwrap_or_default();
            let options = compose::Options { encoders, ..options };
            let speakers = options.speakers.as_ref().map(|speakers| speakers.directory.as_path());
            confine_composer(&directory, &out, speakers, &devices, confine, memory_mib)?;
            if service.job {
                yielding::end_with_input()?;
            }
            let film = compose::compose(&directory, &out, &identities, &options)?;
            for note in &film.notes {
                println!("left out from there on: {}: {}", note.file, note.what);
            }
            for switch in &film.switches {
                eprintln!("{}", switch.note().line());
                println!("another encoder went on, and nothing is missing: {switch}");
            }
            println!("{:>12} bytes  {:>8.1} s  {}", film.bytes, film.duration as f64 / 1e6, out.display());
            for file in &film.beside {
                println!("beside it: {}", file.display());
            }
            for file in std::iter::once(&out).chain(&film.beside).filter(|_| !service.seal.is_empty()) {
                println!("sealed: {}", seal(file, &service.seal)?.display());
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Says which encoders there are.
fn survey(
    full: bool,
    json: bool,
    timeout: u64,
    wanted: &Wanted,
) -> Result<ExitCode, Box<dyn std::error::Error>> {
    compose::prepare()?;
    let prober = Prober { limit: Duration::from_secs(timeout), ..Prober::own() };
    let survey = Survey::of(&prober, full, wanted);
    match json {
        true => println!("{}", serde_json::to_string(&survey)?),
        false => print!("{}", survey.text()),
    }
    Ok(if survey.is_enough() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Address space of a worker that captures, in MiB.
const MEMORY_MIB: u64 = 512;
/// And of one that composes as well: GStreamer's plugins, a stack for each thread, and some thirty decoded pictures of 1.4 MB.
const LIVE_MEMORY_MIB: u64 = 4096;

/// Who encodes a live film. That one, and whoever doesn't work here, is named on standard error.
fn live_encoders(wanted: &Wanted) -> Result<Encoders, Box<dyn std::error::Error>> {
    compose::prepare()?;
    let choice = compose::live::choose_encoders(wanted, &Prober::own())?;
    for note in choice.notes() {
        eprintln!("{}", note.line());
    }
    Ok(choice.encoders)
}

/// Who encodes the film. That one, and whoever doesn't work here, is named on standard error.
fn encoders(
    options: &compose::Options,
    wanted: &Wanted,
) -> Result<Option<Encoders>, Box<dyn std::error::Error>> {
    compose::prepare()?;
    let Some(choice) = compose::choose_encoders(options, wanted, &Prober::own())? else { return Ok(None) };
    for note in choice.notes() {
        eprintln!("{}", note.line());
    }
    Ok(Some(choice.encoders))
}

/// Holds this process to the recording, the film's directory and that of the speakers.
fn confine_composer(
    recording: &Path,
    out: &Path,
    speakers: Option<&Path>,
    devices: &Devices,
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
    let written: Vec<&Path> = [films].into_iter().chain(speakers).collect();
    let held = confine::confine_composer(recording, &written, devices, bounds);
    accept(held, confine)
}

/// Takes what holds this process, if that is enough.
fn accept(held: Confinement, confine: Confine) -> Result<(), Box<dyn std::error::Error>> {
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

fn confine_check(
    directory: &Path,
    composer: bool,
    devices: Vec<PathBuf>,
) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let devices = Devices { devices, ..Devices::default() };
    let confinement = if composer {
        compose::prepare()?;
        let bounds = Bounds { memory_bytes: 4 * 1024 * 1024 * 1024, ..Bounds::default() };
        confine::confine_composer(directory, &[directory], &devices, bounds)
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
    for path in &devices.devices {
        match OpenOptions::new().read(true).write(true).open(path) {
            Ok(_) => println!("opens    {}", path.display()),
            Err(error) => {
                held = false;
                println!("SHUT     {}: {error}", path.display());
            }
        }
    }
    Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
