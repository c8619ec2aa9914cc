// SPDX-License-Identifier: EUPL-1.2
//! `parvis-bench-media`: feeds a media worker as a server does, and tells what that took, in a line of JSON. `cargo xtask bench
//! media` runs it and puts its figures beside those of others.
//!
//! `input` makes the media, `sender` is a track, `meeting` sends all of them in real time, `worker` is the process that is
//! measured, `stream` takes a live film out of it, `usage` is what it takes, `skew` looks at what became of a clapper, `still` at what stands still, and `rival` does what others do instead.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command speaks through these")]

mod input;
mod meeting;
mod rival;
mod sender;
mod skew;
mod still;
mod stream;
mod usage;
mod worker;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode};
use std::time::{Duration, Instant};

use clap::{Args, Parser, Subcommand};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike as _};
use parvis_age::Identity;
use parvis_jobs::{Live, Protection, Quota, Start, StopReason, ToServer, ToWorker};
use serde_json::json;

use crate::input::{INPUT_SECONDS, RATE, Scene};
use crate::meeting::{Meeting, Way, now};
use crate::stream::Stream;
use crate::worker::Worker;

/// What is composed live, by either.
const FILM: (u32, u32) = (1_280, 720);
const FILM_KBITS: u32 = 2_500;

pub(crate) type Fallible<T> = Result<T, Box<dyn Error>>;

#[derive(Parser)]
#[command(name = "parvis-bench-media", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Feeds a worker for a while.
    Feed(Feed),
    /// Has a browser show the same, and FFmpeg record its screen.
    Rival(Rival),
    /// Runs a command, and says what it took of the processors, all that it started included.
    Time {
        /// The command.
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Makes a key, and says for whom what it opens is to be sealed.
    Key {
        /// A new file.
        identity: PathBuf,
    },
    /// How well a film shows what stands still.
    Still {
        /// The film, which is as large as live ones are.
        film: PathBuf,
        /// How many people are in it.
        #[arg(long, default_value_t = 4)]
        people: u32,
        /// The size in which each was sent.
        #[arg(long, default_value = "640x360", value_parser = size)]
        size: (u32, u32),
    },
    /// How far flashes and clicks lie apart.
    Skew {
        /// The file with the pictures.
        pictures: PathBuf,
        /// The one with the sound; it may be the same.
        sound: PathBuf,
    },
}

/// As [`Feed`] has them.
#[derive(Args)]
struct Rival {
    /// A new directory.
    #[arg(long)]
    out: PathBuf,
    #[arg(long)]
    media: Option<PathBuf>,
    #[arg(long, default_value_t = 4)]
    people: u32,
    #[arg(long, default_value = "640x360", value_parser = size)]
    size: (u32, u32),
    #[arg(long, default_value_t = 600)]
    kbits: u32,
    #[arg(long, default_value_t = 5)]
    warm_up: u64,
    #[arg(long, default_value_t = 20)]
    seconds: u64,
}

#[derive(Args)]
struct Feed {
    /// The worker's executable.
    #[arg(long)]
    worker: PathBuf,
    /// A new directory: the recording goes to `recording` below it, the key that opens it to `identity`.
    #[arg(long)]
    out: PathBuf,
    /// Where the media is made that is sent, or was made before; in `out` without it.
    #[arg(long)]
    media: Option<PathBuf>,
    /// How many people send.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=16))]
    people: u32,
    /// The pictures' size.
    #[arg(long, default_value = "1280x720", value_parser = size)]
    size: (u32, u32),
    /// What pictures take, in kbit/s.
    #[arg(long, default_value_t = 1500)]
    kbits: u32,
    /// Seconds before it counts.
    #[arg(long, default_value_t = 3)]
    warm_up: u64,
    /// Seconds that count.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// The share of packets that are lost on the way to the server.
    #[arg(long, default_value_t = 0.0)]
    loss: f64,
    /// Millionths by which the clocks of pictures and sound run apart, each.
    #[arg(long, default_value_t = 0.0, allow_hyphen_values = true)]
    drift: f64,
    /// A flash and a click each two seconds, instead of a call.
    #[arg(long)]
    clapper: bool,
    /// Have it compose live as well, into `live.ts`; tracks are not kept then.
    #[arg(long)]
    live: bool,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Feed(arguments) => feed(&arguments),
        Command::Rival(arguments) => rival(&arguments),
        Command::Time { command } => time(&command),
        Command::Key { identity } => key(&identity),
        Command::Still { film, people, size } => tell_still(&film, people, size),
        Command::Skew { pictures, sound } => tell_skew(&pictures, &sound),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("parvis-bench-media: {error}");
            ExitCode::FAILURE
        }
    }
}

fn feed(arguments: &Feed) -> Fallible<()> {
    let recording = arguments.out.join("recording");
    fs::create_dir_all(&recording)?;
    let scene = |person| if arguments.clapper { Scene::Clapper } else { Scene::Call { person } };
    let media = arguments.media.as_ref().unwrap_or(&arguments.out);
    let mut people = Vec::new();
    for person in 0..arguments.people {
        let (size, kbits) = (arguments.size, arguments.kbits);
        people.push(input::make(media, scene(person), size, kbits, INPUT_SECONDS)?);
    }
    let live = arguments.live.then(|| stream::live(FILM, RATE as u32, FILM_KBITS));
    let film = arguments.out.join("live.ts");
    let stream = live.as_ref().map(|_| Stream::new(&recording, &film)).transpose()?;
    let more: &[&str] = if arguments.live { &["--live"] } else { &[] };
    let start = start(&arguments.out, &recording, live)?;
    let mut worker = Worker::start(&arguments.worker, &start, more)?;
    let way = Way { loss: arguments.loss, drift: arguments.drift };
    let mut meeting = Meeting::begin(&mut worker, people, way)?;
    let warm = Duration::from_secs(arguments.warm_up);
    meeting.go_on(&mut worker, warm)?;
    let before = worker.usage()?;
    meeting.go_on(&mut worker, warm + Duration::from_secs(arguments.seconds))?;
    let (after, now) = (worker.usage()?, worker.usage_now()?);
    worker.say(&ToWorker::Stop { reason: StopReason::Requested })?;
    worker.until(|message| matches!(message, ToServer::Stopped { .. }))?;
    stream.map_or(Ok(()), |stream| stream.end(&recording))?;
    let counted = &meeting.counted;
    let Some(ToServer::Progress { tracks, live, .. }) = &counted.progress else {
        return Err("the worker never told how it goes".into());
    };
    let told = json!({
        "cores": (after.cpu - before.cpu) / arguments.seconds as f64,
        "pss_mib": now.bytes as f64 / f64::from(1 << 20),
        "peak_mib": after.bytes as f64 / f64::from(1 << 20),
        "seconds": arguments.seconds,
        "packets": counted.packets,
        "lost_on_the_way": counted.lost,
        "repaired": counted.repaired,
        "lost": tracks.iter().map(|track| track.lost).sum::<u64>(),
        "frames": tracks.iter().map(|track| track.frames).sum::<u64>(),
        "dropped_frames": tracks.iter().map(|track| track.dropped_frames).sum::<u64>(),
        "latest_ms": counted.latest_ms,
        "pictures": live.map(|live| live.pictures),
        "dropped_pictures": live.map(|live| live.dropped_pictures),
    });
    println!("{told}");
    Ok(())
}

fn rival(arguments: &Rival) -> Fallible<()> {
    fs::create_dir_all(&arguments.out)?;
    let Rival { out, media, people, size, kbits, warm_up, seconds } = arguments;
    let order = rival::Order {
        out,
        media: media.as_ref().unwrap_or(out),
        people: *people,
        size: *size,
        input_kbits: *kbits,
        screen: FILM,
        kbits: FILM_KBITS,
        warm_up: *warm_up,
        seconds: *seconds,
    };
    println!("{}", rival::run(&order)?);
    Ok(())
}

fn key(path: &Path) -> Fallible<()> {
    let identity = Identity::generate()?;
    fs::write(path, identity.to_secret_text() + "\n")?;
    println!("{}", json!({ "recipient": identity.recipient().to_string() }));
    Ok(())
}

fn time(command: &[String]) -> Fallible<()> {
    let (program, arguments) = command.split_first().ok_or("no command")?;
    let begun = Instant::now();
    let status = process::Command::new(program).args(arguments).stdout(process::Stdio::null()).status()?;
    if !status.success() {
        return Err(format!("{program}: {status}").into());
    }
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let seconds = |time: TimeVal| time.num_microseconds() as f64 / 1e6;
    let cpu = seconds(usage.user_time()) + seconds(usage.system_time());
    let peak_mib = usage.max_rss() as f64 / 1024.0;
    println!(
        "{}",
        json!({ "cpu_seconds": cpu, "seconds": begun.elapsed().as_secs_f64(), "peak_mib": peak_mib })
    );
    Ok(())
}

fn tell_still(film: &Path, people: u32, size: (u32, u32)) -> Fallible<()> {
    let tiles = still::tiles(people, FILM)?;
    let tile = tiles.first().ok_or("a film without tiles")?.picture;
    println!("{}", json!({ "ssim": still::ssim(film, tile, size)? }));
    Ok(())
}

fn tell_skew(pictures: &Path, sound: &Path) -> Fallible<()> {
    let (skews, alone) = skew::skews(pictures, sound)?;
    println!("{}", json!({ "skews_ms": skews, "flashes_alone": alone }));
    Ok(())
}

fn start(out: &Path, directory: &Path, live: Option<Live>) -> Fallible<Start> {
    let identity = Identity::generate()?;
    fs::write(out.join("identity"), identity.to_secret_text() + "\n")?;
    Ok(Start {
        job: "EG_bench".to_owned(),
        directory: directory.display().to_string(),
        protection: Protection::Age { recipients: vec![identity.recipient().to_string()] },
        quota: Quota::default(),
        room: "bench".to_owned(),
        room_id: "RM_bench".to_owned(),
        tenant: String::new(),
        started_at: now(),
        restart: 0,
        capture: live.is_none(),
        live,
    })
}

fn size(text: &str) -> Result<(u32, u32), String> {
    let sides =
        text.split_once('x').and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
    sides.ok_or_else(|| format!("{text:?} is no size: write WIDTHxHEIGHT, as 1280x720"))
}
