// SPDX-License-Identifier: EUPL-1.2
//! The Parvis server: configuration, wiring of threads and tasks, command line.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command speaks through these")]

mod audit;
mod check;
mod cli;
mod config;
mod confine;
mod edge;
mod family;
mod log;
mod machine;
mod media;
mod metrics;
mod notify;
mod recording;
mod reload;
mod serve;
mod settings;
mod setup;
mod stored;
mod top;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::CommandFactory;
use parvis_api::{DEV_KEY, Keys};
use parvis_signal::Grants;

use cli::{Cli, Command, TokenCreate};
use reload::Reloading;

fn main() -> ExitCode {
    let cli = Cli::read(std::env::args_os()).unwrap_or_else(|error| error.exit());
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("parvis: {problem}");
            ExitCode::FAILURE
        }
    }
}

pub(crate) type Problem = Box<dyn std::error::Error>;

fn run(command: Command) -> Result<(), Problem> {
    match command {
        Command::Serve(arguments) => {
            let (settings, loaded) = settings::settle(&arguments)?;
            let level = log::to_stderr(&settings.config.log.level, settings.config.log.json);
            loaded.notes.iter().for_each(log::note);
            let handed = notify::Handed::take()?;
            let held = serve::confine_files(&settings)?;
            let reloading = Reloading { arguments, started: loaded.clone(), current: loaded, level };
            runtime()?.block_on(serve::serve(settings, reloading, handed, held)).map_err(Into::into)
        }
        Command::Setup(arguments) => setup::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Peer(arguments) => check::peer::answer::run(&arguments),
        Command::Man { to } => Ok(clap_mangen::generate_to(Cli::command(), to)?),
        Command::ConfineCheck { directory } => confine_check(&directory),
        Command::Top(arguments) => runtime()?.block_on(top::run(&arguments)),
        Command::Token { command: cli::Token::Create(arguments) } => create_token(&arguments),
        Command::Key { command: cli::Key::Create } => {
            // 256 bits, as HS256 wants them.
            println!("{}", stored::fresh_secret());
            Ok(())
        }
        Command::Key { command } => runtime()?.block_on(stored::keys(&command)),
        Command::Audit { command } => runtime()?.block_on(audit::command::run(&command)),
        Command::Backup(arguments) => runtime()?.block_on(stored::backup(&arguments)),
        Command::Restore(arguments) => runtime()?.block_on(stored::restore(&arguments)),
        Command::Events(arguments) => runtime()?.block_on(stored::events(&arguments)),
        Command::Webhooks { command } => runtime()?.block_on(stored::webhooks(&command)),
        Command::Recording { command } => recording::command::run(&command),
        Command::Media { command: cli::Media::Probe(tool) } => recording::command::start("probe", &tool),
        Command::Config { command: cli::Config::Show { settings, origin } } => {
            let (_, loaded) = settings::settle(&settings)?;
            println!("{}", config::show(&loaded, origin)?);
            Ok(())
        }
    }
}

/// Says of each thing that a confined server must not be able to do whether it was held from it.
fn confine_check(directory: &Path) -> Result<(), Problem> {
    let (held, attempts) = confine::attempts(directory);
    for missing in &held.missing {
        println!("missing: {missing}");
    }
    for (what, refused) in &attempts {
        println!("{what}: {}", refused.as_deref().unwrap_or("NOT REFUSED"));
    }
    // Files are landlock's, which not every kernel has.
    let is_file = |what: &str| what.contains("write a file beside");
    match attempts.iter().find(|(what, refused)| refused.is_none() && (held.landlock || !is_file(what))) {
        Some((what, _)) => Err(format!("a server could {what}").into()),
        None => Ok(()),
    }
}

fn create_token(arguments: &TokenCreate) -> Result<(), Problem> {
    let lifetime = Duration::from_secs(arguments.minutes * 60);
    let keys = match (&arguments.config, &arguments.key, &arguments.secret) {
        (Some(path), _, _) => settings::keys_of(path)?,
        (_, Some(key), Some(secret)) => {
            let dev = (key.as_str(), secret.as_str()) == DEV_KEY;
            Keys::new(vec![(key.clone(), secret.clone())], lifetime, dev)?
        }
        _ => Keys::new(vec![(DEV_KEY.0.to_owned(), DEV_KEY.1.to_owned())], lifetime, true)?,
    };
    let grants = Grants { name: arguments.name.clone(), ..Grants::of(&arguments.identity) };
    let token = keys.issue(&arguments.room, &grants, lifetime)?;
    // What we would refuse ourselves is of no use to anyone.
    keys.verify(&token)?;
    if arguments.json {
        let said = serde_json::json!({
            "token": token, "room": arguments.room, "identity": arguments.identity, "minutes": arguments.minutes,
        });
        println!("{said}");
    } else {
        println!("{token}");
    }
    Ok(())
}

fn runtime() -> Result<tokio::runtime::Runtime, std::io::Error> {
    tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("control").build()
}
