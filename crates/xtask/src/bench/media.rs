// SPDX-License-Identifier: EUPL-1.2
//! What recording costs: a real worker is fed with real media, and beside it a browser on a screen that nobody sees is
//! recorded, as others do it. In turn, so that whatever else the machine does meets both. `meetings` is how many at once, `page` writes it down, `chart` draws it.

mod chart;
mod meetings;
mod page;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use self::meetings::{Step, most};
use super::Options;
use super::figures::{Figure, Target, report};
use crate::setup;
use crate::sh::{Error, Result, process, root, say, target};

const WORKER: &str = "parvis-media";
const FEEDER: &str = "parvis-bench-media";

/// How much is measured.
struct Extent {
    rounds: usize,
    /// Seconds of each run that count.
    seconds: u64,
    /// Of the clapper.
    clapper_seconds: u64,
    kills: usize,
    /// Meetings at once, step by step, how long each step is measured, and how often all of it is.
    meetings: &'static [usize],
    meeting_seconds: u64,
    meeting_rounds: usize,
}

const FULL: Extent = Extent {
    rounds: 5,
    seconds: 20,
    clapper_seconds: 600,
    kills: 100,
    meetings: &[10, 20, 30, 40, 50, 60],
    meeting_seconds: 20,
    meeting_rounds: 3,
};
const QUICK: Extent = Extent {
    rounds: 1,
    seconds: 5,
    clapper_seconds: 20,
    kills: 6,
    meetings: &[1, 2],
    meeting_seconds: 5,
    meeting_rounds: 1,
};

/// Who composes live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Composer {
    Parvis,
    Browser,
}

/// A composer's runs.
#[derive(Debug, Default)]
struct Live {
    cores: Vec<f64>,
    mib: Vec<f64>,
    ssim: Vec<f64>,
}

/// All that one run of the command measured.
#[derive(Default)]
struct Measured {
    capture_cores: Vec<f64>,
    capture_mib: Vec<f64>,
    live: BTreeMap<Composer, Live>,
    /// Pictures that the worker left out in all rounds, and those that it composed.
    dropped: (u64, u64),
    /// Seconds of film in a second of one core.
    deferred: Vec<f64>,
    /// From flash to click, in the capture and in the film made of it; milliseconds.
    skews: [Vec<f64>; 2],
    /// What each kill lost, in milliseconds.
    lost: Vec<f64>,
    /// Meetings captured at once, each time up to where something was missing.
    meetings: Vec<Vec<Step>>,
}

/// Runs it against a release build, and writes the page and its chart; with `--quick` a short round, and the page beside the
/// binaries.
pub(super) fn run(options: &Options) -> Result {
    let extent = if options.quick { QUICK } else { FULL };
    setup::ffmpeg()?;
    setup::browsers()?;
    setup::screen()?;
    let packages = [WORKER, FEEDER, "parvis", "parvis-load"].map(|package| ["--package", package]);
    let packages = packages.into_iter().flatten();
    process("cargo", ["build", "--release", "--locked"].into_iter().chain(packages)).run()?;
    let work = target().join("media");
    let _ = std::fs::remove_dir_all(&work);
    std::fs::create_dir_all(&work)?;
    let mut measured = Measured::default();
    let stage = Stage { meeting: work.join("meeting"), media: work.join("input"), work: work.clone() };
    std::fs::create_dir_all(&stage.media)?;
    stage.feed("meeting", &MEETING, 2 * extent.seconds, &[])?;
    // Ten minutes of a clapper are next to no work, and go on meanwhile.
    let clapper = std::thread::scope(|scope| {
        let clapper = scope.spawn(|| stage.feed("clapper", &CLAPPER, extent.clapper_seconds, &[]));
        for round in 1..=extent.rounds {
            say(&format!("round {round} of {}", extent.rounds));
            measured.round(&extent, &stage, round)?;
        }
        clapper.join().map_err(|_| Error::new("the clapper's thread broke"))?
    });
    clapper?;
    measured.clap(&extent, &work.join("clapper"))?;
    measured.kill(&extent)?;
    for round in 1..=extent.meeting_rounds {
        say(&format!("meetings captured at once, round {round} of {}", extent.meeting_rounds));
        measured.meetings.push(meetings::ascend(&extent, &work)?);
    }
    let figures = measured.figures();
    report(&figures, &BTreeMap::new(), options.json_file()?.as_deref())?;
    let folder = if options.quick { work } else { root().join("docs/measurements") };
    std::fs::write(folder.join("media.md"), page::page(&extent, &measured, &figures))?;
    std::fs::write(folder.join("media.svg"), chart::chart(&measured))?;
    say(&format!("wrote media.md and media.svg in {}", folder.display()));
    Ok(())
}

/// One person in 720p.
const ONE: [&str; 6] = ["--people", "1", "--size", "1280x720", "--kbits", "1500"];
/// Four in 360p.
const MEETING: [&str; 6] = ["--people", "4", "--size", "640x360", "--kbits", "600"];

/// Flashes and clicks, over a bad way.
const CLAPPER: [&str; 9] =
    ["--clapper", "--size", "320x180", "--kbits", "200", "--loss", "0.05", "--drift", "50"];

/// Where all of it lies.
struct Stage {
    work: PathBuf,
    /// What is sent, made once.
    media: PathBuf,
    /// Of which films are composed.
    meeting: PathBuf,
}

impl Stage {
    /// A worker that is fed; what it keeps goes to this folder.
    fn feed(&self, name: &str, people: &[&str], seconds: u64, more: &[&str]) -> Result<Value> {
        let (worker, seconds) = (program(WORKER), seconds.to_string());
        let arguments = ["feed", "--worker", &worker, "--seconds", &seconds];
        self.told(name, arguments.iter().chain(people).chain(more).copied())
    }

    fn told<'a>(&self, name: &str, arguments: impl Iterator<Item = &'a str>) -> Result<Value> {
        let places =
            ["--out".to_owned(), text(&self.work.join(name)), "--media".to_owned(), text(&self.media)];
        told(arguments.map(str::to_owned).chain(places))
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// The line of figures that the feeder prints.
fn told<S: AsRef<str>>(arguments: impl IntoIterator<Item = S>) -> Result<Value> {
    let mut line = String::new();
    let arguments = arguments.into_iter().map(|argument| argument.as_ref().to_owned());
    process(&program(FEEDER), arguments).watch(|text| line = text.to_owned())?;
    serde_json::from_str(&line).map_err(|error| Error::new(format!("not a line of figures: {error}")))
}

fn program(name: &str) -> String {
    target().join("release").join(name).to_string_lossy().into_owned()
}

fn number(run: &Value, name: &str) -> Result<f64> {
    run[name].as_f64().ok_or_else(|| Error::new(format!("a run without {name}: {run}")))
}

impl Measured {
    fn round(&mut self, extent: &Extent, stage: &Stage, round: usize) -> Result {
        let of = |what: &str| format!("{what}-{round}");
        let one = stage.feed(&of("one"), &ONE, extent.seconds, &[])?;
        if number(&one, "lost")? > 0.0 || number(&one, "frames")? == 0.0 {
            return Err(Error::new(format!("a capture that is not whole is no figure: {one}")));
        }
        self.capture_cores.push(number(&one, "cores")?);
        self.capture_mib.push(number(&one, "peak_mib")?);

        let run = stage.feed(&of("live"), &MEETING, extent.seconds, &["--live"])?;
        let counted = |name| run[name].as_u64().unwrap_or_default();
        self.dropped.0 += counted("dropped_pictures");
        self.dropped.1 += counted("pictures");
        self.live
            .entry(Composer::Parvis)
            .or_default()
            .add(&run, &stage.work.join(of("live")).join("live.ts"))?;
        let seconds = extent.seconds.to_string();
        let run = stage.told(&of("rival"), ["rival", "--seconds", &seconds].into_iter().chain(MEETING))?;
        let film = stage.work.join(of("rival")).join("rival.mp4");
        self.live.entry(Composer::Browser).or_default().add(&run, &film)?;

        let film = stage.work.join(of("film")).with_extension("mp4");
        let time = compose(&feeder_time(), &stage.meeting, &film)?;
        self.deferred.push(length(&film)? / number(&time, "cpu_seconds")?);
        Ok(())
    }

    /// What became of ten minutes of flashes and clicks.
    fn clap(&mut self, extent: &Extent, work: &Path) -> Result {
        let (clear, film) = (work.join("clear"), work.join("film.mp4"));
        let (recording, identity, to) =
            (text(&work.join("recording")), text(&work.join("identity")), text(&clear));
        process(&program(WORKER), ["decrypt", &recording, "--to", &to, "--identity", &identity]).run()?;
        compose(&[], work, &film)?;
        let part = |track: &str| text(&clear.join(format!("TR_{track}-000.mkv")));
        let files = [[part("1"), part("2")], [text(&film), text(&film)]];
        for (skews, [pictures, sound]) in self.skews.iter_mut().zip(files) {
            let run = told(["skew", &pictures, &sound])?;
            let found = run["skews_ms"].as_array().cloned().unwrap_or_default();
            skews.extend(found.iter().filter_map(Value::as_f64));
            if skews.len() as u64 + 2 < extent.clapper_seconds / 2 {
                return Err(Error::new(format!("{} claps were found", skews.len())));
            }
        }
        Ok(())
    }

    /// The test that kills workers, with more of them.
    fn kill(&mut self, extent: &Extent) -> Result {
        let test = ["test", "--release", "--locked", "--package", WORKER, "--test", "worker", "--"];
        let arguments = test.into_iter().chain(["killed_at_any_moment", "--nocapture"]);
        process("cargo", arguments).with("PARVIS_KILLS", extent.kills.to_string()).watch(|line| {
            if let Some((_, lost)) = line.split_once("lost in ms: ") {
                self.lost = lost.split(' ').filter_map(|one| one.parse().ok()).collect();
            }
        })?;
        if self.lost.len() < extent.kills {
            return Err(Error::new(format!("{} kills were told of", self.lost.len())));
        }
        Ok(())
    }

    fn figures(&self) -> Vec<Figure> {
        let worst = |values: &[f64]| values.iter().map(|value| value.abs()).fold(0.0, f64::max);
        let mut figures = vec![
            Figure::of(
                "capture of one person in 720p",
                "cores",
                &self.capture_cores,
                Some(Target::AtMost(0.010)),
            ),
            Figure::of("its memory", "MiB", &self.capture_mib, Some(Target::AtMost(40.0))),
        ];
        if let (Some(ours), Some(theirs)) =
            (self.live.get(&Composer::Parvis), self.live.get(&Composer::Browser))
        {
            let share = |ours: &[f64], theirs: &[f64]| -> Vec<f64> {
                ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect()
            };
            figures.extend([
                Figure::of("4 × 360p composed live to 720p", "cores", &ours.cores, None),
                Figure::of("the same by a browser", "cores", &theirs.cores, None),
                Figure::of(
                    "of the browser’s processor time",
                    "",
                    &share(&ours.cores, &theirs.cores),
                    Some(Target::AtMost(0.7)),
                ),
                Figure::of("memory", "MiB", &ours.mib, None),
                Figure::of("the browser’s memory", "MiB", &theirs.mib, None),
                Figure::of(
                    "of the browser’s memory",
                    "",
                    &share(&ours.mib, &theirs.mib),
                    Some(Target::AtMost(0.2)),
                ),
                Figure::of("likeness of what stands still (SSIM)", "", &ours.ssim, None),
                Figure::of("the browser’s likeness", "", &theirs.ssim, None),
                Figure::of(
                    "of the browser’s likeness",
                    "",
                    &share(&ours.ssim, &theirs.ssim),
                    Some(Target::AtLeast(1.0)),
                ),
            ]);
        }
        figures.extend([
            Figure::of(
                "4 × 360p composed afterwards",
                "× real time per core",
                &self.deferred,
                Some(Target::AtLeast(1.3)),
            ),
            Figure::of(
                "sound and picture apart, in the capture",
                "ms",
                &[worst(&self.skews[0])],
                Some(Target::AtMost(20.0)),
            ),
            Figure::of("the same, in the film", "ms", &[worst(&self.skews[1])], Some(Target::AtMost(20.0))),
            Figure::of("lost by the worst kill", "ms", &[worst(&self.lost)], Some(Target::AtMost(2_000.0))),
        ]);
        let at_once: Vec<f64> = self.meetings.iter().map(|steps| most(steps)).collect();
        figures.push(Figure::of(
            "meetings of 4 captured at once while they are forwarded",
            "",
            &at_once,
            Some(Target::AtLeast(50.0)),
        ));
        figures.into_iter().flatten().collect()
    }
}

impl Live {
    fn add(&mut self, run: &Value, film: &Path) -> Result {
        self.cores.push(number(run, "cores")?);
        self.mib.push(number(run, "pss_mib")?);
        self.ssim.push(number(&told(["still", &text(film)])?, "ssim")?);
        Ok(())
    }
}

/// What measures a command.
fn feeder_time() -> Vec<String> {
    vec![program(FEEDER), "time".to_owned(), "--".to_owned()]
}

/// Composes what was fed into `from`, by x264 at its usual speed; `before` runs the command, if anything does. Gives the figures
/// that were printed last, if any.
fn compose(before: &[String], from: &Path, film: &Path) -> Result<Value> {
    let text = |path: PathBuf| path.to_string_lossy().into_owned();
    let mut words = before.to_vec();
    words.extend([
        program(WORKER),
        "compose".to_owned(),
        text(from.join("recording")),
        text(film.to_owned()),
    ]);
    words.extend(["--identity".to_owned(), text(from.join("identity"))]);
    words.extend(["--encoder".to_owned(), "x264enc".to_owned()]);
    // One process, whose time is measured.
    words.extend(["--segment".to_owned(), "0".to_owned()]);
    let mut line = String::new();
    let (program, arguments) = words.split_first().ok_or_else(|| Error::new("no command"))?;
    process(program, arguments).watch(|text| line = text.to_owned())?;
    Ok(serde_json::from_str(&line).unwrap_or_default())
}

/// A film's length in seconds.
fn length(film: &Path) -> Result<f64> {
    let entries = ["-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0"];
    let film = film.to_string_lossy();
    let told = process("ffprobe", entries.into_iter().chain([&*film])).output();
    let length = told.and_then(|text| text.parse().ok());
    length.ok_or_else(|| Error::new(format!("ffprobe can't say how long {film} is")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_measured_is_held_against_what_is_to_be_reached() {
        let live = |cores, mib, ssim| Live { cores: vec![cores], mib: vec![mib], ssim: vec![ssim] };
        let measured = Measured {
            capture_cores: vec![0.02],
            capture_mib: vec![10.0],
            live: [(Composer::Parvis, live(0.5, 100.0, 0.98)), (Composer::Browser, live(1.0, 400.0, 0.97))]
                .into(),
            deferred: vec![2.0],
            skews: [vec![-3.0, 1.0], vec![21.0]],
            lost: vec![0.0, 1_500.0],
            meetings: vec![vec![meetings::tests::good(40), meetings::tests::good(50)]],
            ..Measured::default()
        };
        let met: Vec<(f64, bool)> =
            measured.figures().iter().filter_map(|figure| Some((figure.median, figure.met?))).collect();
        let expected = [
            (0.02, false),
            (10.0, true),
            (0.5, true),
            (0.25, false),
            (0.98 / 0.97, true),
            (2.0, true),
            (3.0, true),
            (21.0, false),
            (1_500.0, true),
            (50.0, true),
        ];
        assert_eq!(met, expected);
    }
}
