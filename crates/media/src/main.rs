// SPDX-License-Identifier: EUPL-1.2
//! The media worker's command line.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command speaks through these")]

mod arguments;
mod composing;

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use parvis_jobs::{Confinement, Limits, Taken};
use parvis_media::age::Identity;
use parvis_media::capture::Settings;
use parvis_media::compose;
use parvis_media::confine::{self, Bounds};
use parvis_media::door::{self, Kind};
use parvis_media::hardware::probe::Prober;
use parvis_media::hardware::{self, Devices, Encoders, Survey, Wanted};
use parvis_media::push;
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
    /// Start one worker of a kind for the connection that is the standard input: started by the service manager.
    #[command(hide = true)]
    Door {
        /// media, compose or push.
        #[arg(value_parser = kind)]
        kind: Kind,
    },
    /// Write manual pages.
    #[command(hide = true)]
    Man {
        /// A directory that exists.
        to: PathBuf,
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
    Compose(Box<composing::Compose>),
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

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Confine {
    /// Refuse to run.
    Required,
    /// Run with what there is, and say what is missing.
    Available,
}

fn main() -> ExitCode {
    let result = match by_unit() {
        Some(ended) => ended,
        None => run(Cli::parse().command),
    };
    match result {
        Ok(code) => code,
        Err(problem) => {
            eprintln!("parvis-media: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// Has a unit of the service manager's do it, if that is what this program's name says and what is to be done has one.
fn by_unit() -> Option<Result<ExitCode, Box<dyn std::error::Error>>> {
    let mut arguments = std::env::args_os();
    let is_meant = Path::new(&arguments.next()?).file_name().is_some_and(|name| name == door::BY_UNIT);
    let arguments: Vec<OsString> = arguments.collect();
    let kind = Kind::of(&arguments).filter(|_| is_meant)?;
    let socket = std::env::var_os("PARVIS_MEDIA_DOOR").map(PathBuf::from);
    let socket = socket.unwrap_or_else(|| Path::new(door::SOCKETS).join(kind.name()));
    let (input, output, error) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    // A server counts what its composers take, and sees those of its own unit alone.
    let is_counted = kind == Kind::Compose;
    let mut taken = |taken| {
        if is_counted {
            // In one piece: the worker writes there, too. A server that is gone counts nothing.
            let _ = std::io::stderr().write_all(format!("{}\n", Taken(taken).line()).as_bytes());
        }
    };
    let files = [input.as_fd(), output.as_fd(), error.as_fd()];
    let ended = door::ask(&socket, &arguments, files, &mut taken);
    Some(ended.map(|status| ExitCode::from(door::end_as(status))).map_err(Into::into))
}

fn kind(name: &str) -> Result<Kind, String> {
    let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name);
    kind.ok_or_else(|| "it is none of media, compose, push".to_owned())
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
        Command::Door { kind } => door::open(kind).map(|()| ExitCode::SUCCESS).map_err(Into::into),
        Command::Man { to } => {
            clap_mangen::generate_to(Cli::command(), to)?;
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
        Command::Compose(arguments) => composing::run(*arguments),
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
