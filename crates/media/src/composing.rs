// SPDX-License-Identifier: EUPL-1.2
//! `compose`: a film in one go where it is short, else in parts by several processes, of which each is this command again.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::{Args, ValueEnum};
use parvis_jobs::{EncoderNote, FILM_PART_DIED};
use parvis_media::age::{Identity, Recipient};
use parvis_media::compose::parts::crew::{self, Crew, CrewError, Said};
use parvis_media::compose::parts::{self, Plan, Share};
use parvis_media::compose::{self, Composed, Layout, Options};
use parvis_media::confine::{self, Bounds};
use parvis_media::hardware::probe::Prober;
use parvis_media::hardware::{Candidate, Devices, Encoders, Wanted};
use parvis_media::seal::seal;
use parvis_media::yielding;

use super::{Confine, accept, arguments, identities};

/// What `compose` takes.
#[derive(Args)]
pub(crate) struct Compose {
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
    /// Memory that a process may use, in MiB; the stacks of its threads count.
    #[arg(long, default_value_t = 4096)]
    memory_mib: u64,
    /// Who encodes H.264: auto, a family (nvenc, vaapi, software), or a name that `parvis-media probe` prints.
    #[arg(long, default_value = "auto")]
    encoder: Wanted,
    /// A film that is longer than so many seconds is made in segments of them, which whoever is killed on the way leaves in
    /// OUT.parts; the same command then goes on with them. 0: in one go, and from the beginning.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(0..=3600))]
    segment: u32,
    /// How many of them are made at the same time; as many as there are processors without this.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=256))]
    parallel: Option<u32>,
    #[command(flatten)]
    film: arguments::Film,
    #[command(flatten)]
    service: Service,
    #[command(flatten)]
    part: Part,
}

/// What a server asks of a composer besides.
#[derive(Args)]
struct Service {
    /// Seal the film, and what is made beside it, for these age recipients once it is whole: its name then ends with .age.
    #[arg(long, value_name = "RECIPIENT")]
    seal: Vec<Recipient>,
    /// Let everything else on this machine go first, end when standard input does, and tell of encoders as a program reads it.
    #[arg(long)]
    job: bool,
}

/// What one of several processes does: this command starts itself with these.
#[derive(Args)]
struct Part {
    #[arg(long, hide = true)]
    share: Option<Share>,
    #[arg(long, hide = true, value_parser = candidate)]
    chosen: Vec<&'static Candidate>,
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

/// What is to be made, as the command line says it.
struct Work {
    directory: PathBuf,
    out: PathBuf,
    identity: Option<PathBuf>,
    confine: Confine,
    memory_mib: u64,
    encoder: Wanted,
    segment: u32,
    parallel: usize,
    service: Service,
    options: Options,
}

pub(crate) fn run(arguments: Compose) -> Result<ExitCode, Box<dyn Error>> {
    let Compose { directory, out, size: (width, height), rate, kbits, .. } = arguments;
    if arguments.service.job {
        yielding::yield_to_others()?;
    }
    let layout = match arguments.layout {
        Shown::Grid => Layout::Grid,
        Shown::Speaker => Layout::Speaker,
        Shown::Screen => Layout::Screen,
        Shown::Single => Layout::Single,
        Shown::Audio => Layout::Audio,
    };
    let options = Options { layout, width, height, rate, kbits, ..Options::default() };
    let options = arguments.film.add_to(options, &out)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let parallel = arguments.parallel.map_or(cores, |count| count as usize);
    let work = Work {
        directory,
        out,
        identity: arguments.identity,
        confine: arguments.confine,
        memory_mib: arguments.memory_mib,
        encoder: arguments.encoder,
        segment: arguments.segment,
        parallel,
        service: arguments.service,
        options,
    };
    let Part { share, chosen } = arguments.part;
    match share {
        Some(share) => work.part(&share, chosen),
        None => work.film(),
    }
}

impl Work {
    /// All of it.
    fn film(mut self) -> Result<ExitCode, Box<dyn Error>> {
        let plan = Plan::new(&self.directory, &self.out, &self.options, self.segment)?;
        if plan.is_some() {
            self.options.beside = self.parallel;
        }
        let encoders = self.encoders()?;
        self.options.encoders = encoders;
        let Some(plan) = plan else { return self.in_one_go() };
        let chosen: Vec<&str> = self.options.encoders.iter().flat_map(Encoders::names).collect();
        if self.service.job {
            yielding::end_with_input()?;
        }
        let crew = Crew {
            out: &self.out,
            plan: &plan,
            most: self.parallel,
            yields: self.service.job,
            max_bytes: self.options.max_bytes,
            rate: self.options.rate,
            start: &|share: &Share| again(share, &chosen),
        };
        let done = match crew::make(&crew) {
            Ok(done) => done,
            Err(error @ CrewError::Died { .. }) => {
                eprintln!("parvis-media: {error}; begin it again, and it goes on from there");
                return Ok(ExitCode::from(FILM_PART_DIED));
            }
            Err(error) => return Err(error.into()),
        };
        self.tell(&done.film);
        let (there, made) = done.parts;
        println!("in {} parts, of which {there} were there already", there + made);
        for path in &done.sealed {
            println!("sealed: {}", path.display());
        }
        Ok(ExitCode::SUCCESS)
    }

    fn in_one_go(&self) -> Result<ExitCode, Box<dyn Error>> {
        let identities = identities(self.identity.as_deref())?;
        self.hold(&self.places()?)?;
        if self.service.job {
            yielding::end_with_input()?;
        }
        let film = compose::compose(&self.directory, &self.out, &identities, &self.options)?;
        self.tell(&film);
        for path in self.seal(&film)? {
            println!("sealed: {}", path.display());
        }
        Ok(ExitCode::SUCCESS)
    }

    /// A share of it, of which whoever started this is told.
    fn part(mut self, share: &Share, chosen: Vec<&'static Candidate>) -> Result<ExitCode, Box<dyn Error>> {
        self.options.beside = self.parallel;
        self.options.encoders =
            Some(Encoders::of(chosen)).filter(|encoders| encoders.names().next().is_some());
        match self.do_part(share) {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(error) => {
                say(&Said::Failed { why: error.to_string() });
                Ok(ExitCode::FAILURE)
            }
        }
    }

    fn do_part(&self, share: &Share) -> Result<(), Box<dyn Error>> {
        let (directory, out, options) = (&self.directory, &self.out, &self.options);
        let folder = parts::folder(out);
        let plan =
            Plan::new(directory, out, options, self.segment)?.ok_or("there are no parts of this film")?;
        let identities: Vec<Identity> = identities(self.identity.as_deref())?;
        match share {
            Share::Join => self.hold(&self.places()?)?,
            Share::Sound | Share::Pictures(_) => self.hold(&[&folder])?,
        }
        yielding::end_with_input()?;
        match share {
            Share::Sound => {
                say(&Said::Made(parts::sound(directory, &folder, &identities, options, &plan)?));
            }
            Share::Pictures(which) => {
                let which = (&plan, which.clone());
                parts::pictures(directory, &folder, &identities, options, which, |entry| {
                    say(&Said::Made(entry));
                })?;
            }
            Share::Join => {
                let film = parts::join(directory, out, &folder, &identities, options, &plan)?;
                let sealed = self.seal(&film)?;
                say(&Said::Joined { film, sealed });
            }
        }
        Ok(())
    }

    /// Who encodes the film. That one, and whoever doesn't work here, is named on standard error.
    fn encoders(&self) -> Result<Option<Encoders>, Box<dyn Error>> {
        compose::prepare()?;
        let Some(choice) = compose::choose_encoders(&self.options, &self.encoder, &Prober::own())? else {
            return Ok(None);
        };
        for note in choice.notes() {
            self.note(&note);
        }
        Ok(Some(choice.encoders))
    }

    /// Says what becomes of an encoder: to a server as it reads it, to people in words.
    fn note(&self, note: &EncoderNote) {
        match self.service.job {
            true => eprintln!("{}", note.line()),
            false => eprintln!("{note}"),
        }
    }

    /// Says what was made.
    fn tell(&self, film: &Composed) {
        for note in &film.notes {
            println!("left out from there on: {}: {}", note.file, note.what);
        }
        for switch in &film.switches {
            self.note(&switch.note());
            println!("another encoder went on, and nothing is missing: {switch}");
        }
        println!("{:>12} bytes  {:>8.1} s  {}", film.bytes, film.duration as f64 / 1e6, self.out.display());
        for file in &film.beside {
            println!("beside it: {}", file.display());
        }
    }

    fn seal(&self, film: &Composed) -> Result<Vec<PathBuf>, Box<dyn Error>> {
        let recipients = &self.service.seal;
        let files = std::iter::once(&self.out).chain(&film.beside).filter(|_| !recipients.is_empty());
        files.map(|file| Ok(seal(file, recipients)?)).collect()
    }

    /// Where a film is written, and what is made beside it.
    fn places(&self) -> Result<Vec<&Path>, Box<dyn Error>> {
        let films = match self.out.parent() {
            Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
            Some(parent) => parent,
            None => return Err(format!("{}: no name of a file", self.out.display()).into()),
        };
        let speakers = self.options.speakers.as_ref().map(|speakers| speakers.directory.as_path());
        Ok([films].into_iter().chain(speakers).collect())
    }

    /// Holds this process to the recording, and to where it writes.
    fn hold(&self, written: &[impl AsRef<Path>]) -> Result<(), Box<dyn Error>> {
        let written: Vec<&Path> = written.iter().map(AsRef::as_ref).collect();
        let mut all = std::iter::once(self.directory.as_path()).chain(written.iter().copied());
        if let Some(missing) = all.find(|directory| !directory.is_dir()) {
            return Err(format!("{}: no directory", missing.display()).into());
        }
        compose::prepare()?;
        let devices: Devices = self.options.encoders.as_ref().map(Encoders::devices).unwrap_or_default();
        let bounds = Bounds { memory_bytes: self.memory_mib * 1024 * 1024, ..Bounds::default() };
        let held = confine::confine_composer(&self.directory, &written, &devices, bounds);
        accept(held, self.confine)
    }
}

/// This program again, for a share of what it was started for.
fn again(share: &Share, chosen: &[&str]) -> Command {
    // Itself, even where its file was replaced meanwhile: parts are of one build.
    let mut command = Command::new("/proc/self/exe");
    let rest = std::env::args_os().skip(2);
    command.args(["compose", "--share", &share.to_string()]);
    command.args(chosen.iter().flat_map(|name| ["--chosen", name])).args(rest);
    command
}

fn say(said: &Said) {
    println!("{}", said.line());
}

fn candidate(name: &str) -> Result<&'static Candidate, String> {
    Candidate::named(name).ok_or_else(|| "no encoder that we know".to_owned())
}

fn size(text: &str) -> Result<(u32, u32), String> {
    let sides =
        text.split_once('x').and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
    sides.ok_or_else(|| "a size is two numbers with an x between them, like 1280x720".to_owned())
}
