// SPDX-License-Identifier: EUPL-1.2
//! Quality under loss: what a real receiver (libwebrtc, by the published Python SDK) sees and hears behind a lossy, slow,
//! narrow link, from Parvis and from LiveKit, on one grid, in turn.
//!
//! `stage` makes the network namespaces, the router between them, the servers and the publishers. `point` is one place
//! of the grid and what its figures are, `page` writes them down, `chart` draws them.

mod chart;
mod page;
mod point;
mod stage;

use std::collections::BTreeMap;

use self::point::{Halving, Link, Quality, Sample};
use self::stage::{Server, Stage};
use super::Options;
use super::figures::{self, Figure, Target};
use super::livekit;
use crate::sh::{Error, Result, process, root, say};
use crate::{e2e, setup};

/// The grid: loss, each way; round trip; bits per second, each way.
const LOSS: [f64; 6] = [0.0, 0.01, 0.05, 0.10, 0.20, 0.30];
const ROUND_TRIP_MS: [u32; 2] = [20, 150];
const RATE_KBPS: [u32; 3] = [250, 1_000, 5_000];
/// The rate that halves and comes back: enough for the largest picture, and then not.
const HALVING_KBPS: u32 = 3_000;

/// How long a run takes and what of it counts.
#[derive(Clone, Copy)]
struct Times {
    /// After the first picture, until layers and buffers have settled.
    settle: f64,
    /// What is measured.
    measure: f64,
}

const WHOLE: Times = Times { settle: 4.0, measure: 10.0 };
const QUICK: Times = Times { settle: 2.0, measure: 5.0 };

/// When the link halves, after the first picture, and when it is itself again; what is seen until the end.
const HALVES_AT: f64 = 12.0;
const RECOVERS_AT: f64 = 24.0;
const HALVING_ENDS: f64 = 44.0;

/// What was measured at one point, from both.
struct Pair {
    link: Link,
    parvis: Quality,
    livekit: Quality,
}

/// All that one run of the command measured.
struct Measured {
    pairs: Vec<Pair>,
    halving: Option<[Halving; 2]>,
    versions: BTreeMap<String, String>,
    settle: f64,
    measure: f64,
}

/// Measures the grid and writes the page and its chart; with `--quick`, two points only and no page.
pub(super) fn run(options: &Options) -> Result {
    setup::browsers()?;
    setup::networks()?;
    setup::npm(e2e::FOLDER)?;
    let python = setup::python()?;
    let livekit = livekit::server()?;
    super::build_server()?;
    let file = options.json_file()?;
    let times = if options.quick { QUICK } else { WHOLE };
    let mut stage = Stage::open(&python, &livekit)?;
    let mut measured = Measured {
        pairs: Vec::new(),
        halving: None,
        versions: versions(&python, &livekit),
        settle: times.settle,
        measure: times.measure,
    };
    for (number, link) in grid(options.quick).into_iter().enumerate() {
        // A B, B A: what slowly changes on the machine hits both alike.
        let mut order = [Server::Parvis, Server::LiveKit];
        if number % 2 == 1 {
            order.reverse();
        }
        let mut seen = order.iter().map(|server| Ok((*server, measure(&mut stage, *server, link, times)?)));
        let (first, second) = (next(&mut seen)?, next(&mut seen)?);
        let (parvis, livekit) =
            if first.0 == Server::Parvis { (first.1, second.1) } else { (second.1, first.1) };
        say(&format!("{link}\n    Parvis  {parvis}\n    LiveKit {livekit}"));
        measured.pairs.push(Pair { link, parvis, livekit });
    }
    if !options.quick {
        let parvis = halve(&mut stage, Server::Parvis)?;
        let livekit = halve(&mut stage, Server::LiveKit)?;
        measured.halving = Some([parvis, livekit]);
    }
    drop(stage);
    let figures = figures_of(&measured);
    figures::report(&figures, &measured.versions, file.as_deref())?;
    if options.quick {
        return Ok(());
    }
    let folder = root().join("docs/measurements");
    std::fs::write(folder.join("loss.md"), page::page(&measured, &figures))?;
    std::fs::write(folder.join("loss.svg"), chart::chart(&measured.pairs))?;
    say("wrote docs/measurements/loss.md and loss.svg");
    Ok(())
}

fn next<T>(results: &mut impl Iterator<Item = Result<T>>) -> Result<T> {
    results.next().unwrap_or_else(|| Err(Error::new("nothing was measured")))
}

fn grid(quick: bool) -> Vec<Link> {
    if quick {
        return vec![
            Link { loss: 0.10, round_trip_ms: 20, rate_kbps: 1_000 },
            Link { loss: 0.30, round_trip_ms: 150, rate_kbps: 250 },
        ];
    }
    let mut grid = Vec::new();
    for rate_kbps in RATE_KBPS {
        for round_trip_ms in ROUND_TRIP_MS {
            grid.extend(LOSS.map(|loss| Link { loss, round_trip_ms, rate_kbps }));
        }
    }
    grid
}

/// One receiver at one point.
fn measure(stage: &mut Stage, server: Server, link: Link, times: Times) -> Result<Quality> {
    stage.link(link)?;
    let (samples, machine) = stage.receive(server, times.settle + times.measure, |_, _| Ok(()))?;
    Ok(Quality::of(&samples, times.settle, times.settle + times.measure, machine))
}

/// A link that loses half its rate and gets it back.
fn halve(stage: &mut Stage, server: Server) -> Result<Halving> {
    let whole = Link { loss: 0.0, round_trip_ms: 50, rate_kbps: HALVING_KBPS };
    let half = Link { rate_kbps: HALVING_KBPS / 2, ..whole };
    stage.link(whole)?;
    let mut changes = vec![(RECOVERS_AT, whole), (HALVES_AT, half)];
    let (samples, _) = stage.receive(server, HALVING_ENDS, |sample: &Sample, stage| {
        if let Some((_, link)) = changes.pop_if(|(at, _)| sample.at >= *at) {
            stage.link(link)?;
        }
        Ok(())
    })?;
    Ok(Halving::of(&samples, HALVES_AT, RECOVERS_AT))
}

/// The figures that have something to reach, and then every point's.
fn figures_of(measured: &Measured) -> Vec<Figure> {
    let pairs = &measured.pairs;
    let at = |loss: f64| pairs.iter().filter(move |pair| pair.link.loss == loss);
    let least = |values: Vec<f64>| values.into_iter().reduce(f64::min).into_iter().collect::<Vec<_>>();
    let most = |values: Vec<f64>| values.into_iter().reduce(f64::max).into_iter().collect::<Vec<_>>();
    let ours = |loss: f64, of: fn(&Quality) -> f64| at(loss).map(|pair| of(&pair.parvis)).collect::<Vec<_>>();
    let worse = pairs.iter().filter(|pair| !pair.parvis.worse_than(&pair.livekit).is_empty()).count();
    let limited = pairs.iter().filter(|pair| pair.parvis.limited || pair.livekit.limited).count();
    // The halving has figures of its own; a join that never showed a picture counts as the whole time waited.
    let join = |quality: &Quality| quality.join_ms.unwrap_or(stage::PATIENCE.as_secs_f64() * 1_000.0);
    let mut figures = vec![
        Figure::of(
            "points at which Parvis is worse than LiveKit",
            "points",
            &[worse as f64],
            Some(Target::AtMost(0.0)),
        ),
        Figure::of(
            "10 % loss: frames per second, worst link",
            "1/s",
            &least(ours(0.10, |q| q.fps)),
            Some(Target::AtLeast(24.0)),
        ),
        Figure::of(
            "10 % loss: time frozen, worst link",
            "%",
            &most(ours(0.10, |q| 100.0 * q.frozen)),
            Some(Target::AtMost(1.0)),
        ),
        Figure::of(
            "30 % loss: sound concealed, worst link",
            "%",
            &most(ours(0.30, |q| 100.0 * q.concealed)),
            Some(Target::AtMost(10.0)),
        ),
        Figure::of(
            "10 % loss: joining, worst link",
            "ms",
            &most(ours(0.10, join)),
            Some(Target::AtMost(3_000.0)),
        ),
        Figure::of("points at which the machine was the limit", "points", &[limited as f64], None),
    ];
    for (name, halving) in ["Parvis", "LiveKit"].iter().zip(measured.halving.iter().flatten()) {
        figures.extend(halving.figures(name).into_iter().map(Some));
    }
    for pair in pairs {
        for (name, quality) in [("Parvis", &pair.parvis), ("LiveKit", &pair.livekit)] {
            let figure = |what: &str, unit, value: f64| {
                Figure::of(format!("{name}, {}: {what}", pair.link), unit, &[value], None)
            };
            figures.extend([
                figure("frames per second", "1/s", quality.fps),
                figure("time frozen", "%", 100.0 * quality.frozen),
                figure("height", "lines", quality.height),
                figure("sound concealed", "%", 100.0 * quality.concealed),
                figure("joining", "ms", join(quality)),
            ]);
        }
    }
    figures.into_iter().flatten().collect()
}

fn versions(python: &std::path::Path, livekit: &std::path::Path) -> BTreeMap<String, String> {
    let of = |program: &std::path::Path, arguments: &[&str]| {
        process(&program.to_string_lossy(), arguments).output().unwrap_or_else(|| "unknown".to_owned())
    };
    let sdk = "import importlib.metadata as m; print(m.version('livekit'))";
    BTreeMap::from([
        ("parvis".to_owned(), figures::version()),
        ("livekit-server".to_owned(), livekit::version(livekit)),
        (
            "chromium".to_owned(),
            of(std::path::Path::new("chromium"), &["--version"]).replace("Chromium ", ""),
        ),
        ("livekit (PyPI)".to_owned(), of(python, &["-c", sdk])),
    ])
}
