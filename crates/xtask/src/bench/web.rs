// SPDX-License-Identifier: EUPL-1.2
//! What the web client weighs and how quick it is, in a real browser: from the link to the page before the call, from the press of
//! the button to the first picture, and in a room of 49.
//!
//! `benches/web` measures; here its figures are held against what they are to reach. `page` writes them down, `chart` draws.

mod chart;
mod page;

use std::collections::BTreeMap;

use serde::Deserialize;

use super::figures::{self, Figure, Target};
use super::{Options, server};
use crate::sh::{Error, Result, process, root, say, target};
use crate::{e2e, setup, web};

/// What measures, and Lighthouse.
const FOLDER: &str = "benches/web";
/// Bytes until the page before the call can be used, and until the first call goes on.
const FIRST_KB: f64 = 60.0;
const CALL_KB: f64 = 260.0;
/// Of Lighthouse's hundred.
const SCORE: f64 = 95.0;
const USABLE_MS: f64 = 1_000.0;
const PICTURE_MS: f64 = 1_500.0;
/// A task of ours that is longer is felt.
const TASK_MS: f64 = 100.0;
/// What DOM and heap may grow by, of what they were, over all of the comings and goings.
const GROWTH_PERCENT: f64 = 5.0;
/// This share of the time belongs to filling the room's second page: caches and pools fill, and no trend is read from it.
const WARMING: f64 = 0.1;

/// All that one run of the command measured.
#[derive(Debug, Default, Deserialize)]
struct Seen {
    versions: BTreeMap<String, String>,
    weight: Weight,
    lighthouse: Vec<Audit>,
    usable_ms: Vec<f64>,
    usable_far_ms: Vec<f64>,
    first_picture_ms: Vec<f64>,
    steady: Vec<Minute>,
    churn: Churn,
}

#[derive(Debug, Default, Deserialize)]
struct Weight {
    languages: Vec<Language>,
    parts: Vec<Part>,
}

/// Compressed bytes in one language.
#[derive(Debug, Default, Deserialize)]
struct Language {
    language: String,
    first: f64,
    call: f64,
}

/// One file of those that a first call needs.
#[derive(Debug, Default, Deserialize)]
struct Part {
    path: String,
    bytes: f64,
    /// Whether the page before the call waits for it.
    first: bool,
}

/// One of Lighthouse's.
#[derive(Debug, Default, Deserialize)]
struct Audit {
    performance: f64,
    accessibility: f64,
    first_paint_ms: f64,
    largest_paint_ms: f64,
    blocked_ms: f64,
    shift: f64,
    /// What it found to be wrong, by its own names.
    wrong: Vec<String>,
}

/// A minute of a call in which nobody comes or goes.
#[derive(Debug, Default, Deserialize)]
struct Minute {
    seconds: f64,
    /// Tasks above 100 ms, whoever's, and the longest.
    above: f64,
    longest_ms: f64,
    /// Those of our scripts.
    ours: f64,
    ours_longest_ms: f64,
    /// How long scripts of ours ran within frames that took long.
    ours_busy_ms: f64,
    which: BTreeMap<String, u32>,
    /// On each tile.
    pictures_per_second: f64,
}

/// What a page held while people came and went.
#[derive(Debug, Default, Deserialize)]
struct Churn {
    listed: u32,
    pictured: u32,
    samples: Vec<Sample>,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
struct Sample {
    seconds: f64,
    nodes: f64,
    listeners: f64,
    heap_mib: f64,
}

/// Something that a page holds.
type Read = fn(&Sample) -> f64;

/// Measures against a release build, and writes the page and its chart; with `--quick` for a short time, and the page beside the
/// binaries.
pub(super) fn run(options: &Options) -> Result {
    setup::browsers()?;
    web::build()?;
    setup::npm(e2e::FOLDER)?;
    setup::npm(FOLDER)?;
    super::build_server()?;
    let work = target().join("web");
    std::fs::create_dir_all(&work)?;
    let out = work.join("seen.json");
    let mut arguments = vec!["web.mjs".to_owned(), "--out".to_owned(), out.to_string_lossy().into_owned()];
    arguments.extend(options.quick.then(|| "--quick".to_owned()));
    process("node", arguments)
        .within(root().join(FOLDER))
        .with("PARVIS_SERVER", target().join("release/parvis"))
        .with("PARVIS_LOAD", target().join("release/parvis-load"))
        .watch(|_| ())?;
    let mut seen: Seen = serde_json::from_slice(&std::fs::read(&out)?)
        .map_err(|error| Error::new(format!("{}: {error}", out.display())))?;
    seen.versions.insert("parvis".to_owned(), server::Program::parvis().version);
    let figures = seen.figures();
    figures::report(&figures, &seen.versions, options.json_file()?.as_deref())?;
    let folder = if options.quick { work } else { root().join("docs/measurements") };
    std::fs::write(folder.join("web.md"), page::page(&seen, &figures))?;
    std::fs::write(folder.join("web.svg"), chart::chart(&seen.churn))?;
    say(&format!("wrote web.md and web.svg in {}", folder.display()));
    Ok(())
}

impl Seen {
    fn figures(&self) -> Vec<Figure> {
        let audits = |read: fn(&Audit) -> f64| self.lighthouse.iter().map(read).collect::<Vec<_>>();
        let minutes = |read: fn(&Minute) -> f64| self.steady.iter().map(read).collect::<Vec<_>>();
        // Every minute has to be free of them, not most: the sum, and the longest of all.
        let tasks: f64 = minutes(|minute| minute.ours).iter().sum();
        let longest = minutes(|minute| minute.ours_longest_ms).into_iter().fold(0.0, f64::max);
        let growth = |read: Read| self.churn.trend(read).map(|trend| trend.percent);
        let figures = [
            heaviest(
                "scripts until the page before the call",
                &self.weight.languages,
                |of| of.first,
                FIRST_KB,
            ),
            heaviest("all that a first call needs", &self.weight.languages, |of| of.call, CALL_KB),
            Figure::of(
                "Lighthouse: performance",
                "of 100",
                &audits(|audit| audit.performance),
                Some(Target::AtLeast(SCORE)),
            ),
            Figure::of(
                "Lighthouse: accessibility",
                "of 100",
                &audits(|audit| audit.accessibility),
                Some(Target::AtLeast(SCORE)),
            ),
            Figure::of(
                "from the link to a page that can be used",
                "ms",
                &self.usable_ms,
                Some(Target::AtMost(USABLE_MS)),
            ),
            Figure::of("the same, from a server 150 ms away", "ms", &self.usable_far_ms, None),
            Figure::of(
                "from the button to the first picture of somebody",
                "ms",
                &self.first_picture_ms,
                Some(Target::AtMost(PICTURE_MS)),
            ),
            Figure::of(
                "25 tiles: tasks of ours above 100 ms, in all",
                "",
                &[tasks],
                Some(Target::AtMost(0.0)),
            ),
            Figure::of("25 tiles: the longest of ours", "ms", &[longest], Some(Target::AtMost(TASK_MS))),
            Figure::of(
                "25 tiles: the longest task, whoever’s",
                "ms",
                &minutes(|minute| minute.longest_ms),
                None,
            ),
            Figure::of(
                "25 tiles: pictures in a second, each",
                "1/s",
                &minutes(|minute| minute.pictures_per_second),
                None,
            ),
            growth(|sample| sample.nodes).and_then(|percent| grown("DOM nodes", percent)),
            growth(|sample| sample.heap_mib).and_then(|percent| grown("heap", percent)),
        ];
        figures.into_iter().flatten().collect()
    }
}

/// The weight in the language that has most of it.
fn heaviest(what: &str, languages: &[Language], read: fn(&Language) -> f64, most: f64) -> Option<Figure> {
    let worst = languages.iter().max_by(|one, other| read(one).total_cmp(&read(other)))?;
    let name = format!("{what} (in {}, the heaviest of {} languages)", worst.language, languages.len());
    Figure::of(name, "kB", &[read(worst) / 1_000.0], Some(Target::AtMost(most)))
}

fn grown(what: &str, percent: f64) -> Option<Figure> {
    let name = format!("comings and goings: {what}, growth by the fitted line");
    Figure::of(name, "%", &[percent], Some(Target::AtMost(GROWTH_PERCENT)))
}

/// A straight line through what was held.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Trend {
    per_minute: f64,
    /// From the line's beginning to its end, of its beginning.
    percent: f64,
}

impl Churn {
    /// The line of least squares through all samples but those of the beginning. `None` where there are less than three.
    fn trend(&self, read: Read) -> Option<Trend> {
        let end = self.samples.last()?.seconds;
        let points: Vec<(f64, f64)> = self
            .samples
            .iter()
            .filter(|sample| sample.seconds >= WARMING * end)
            .map(|sample| (sample.seconds, read(sample)))
            .collect();
        if points.len() < 3 {
            return None;
        }
        let count = points.len() as f64;
        let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
        let (time, level) = (mean(|point| point.0), mean(|point| point.1));
        let spread: f64 = points.iter().map(|(at, _)| (at - time).powi(2)).sum();
        let slope = points.iter().map(|(at, value)| (at - time) * (value - level)).sum::<f64>() / spread;
        let first = points.first()?.0;
        let start = level + slope * (first - time);
        Some(Trend { per_minute: slope * 60.0, percent: 100.0 * slope * (end - first) / start })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run in which all is as it should be; memory grows by so much a minute.
    pub(super) fn seen(growth: f64) -> Seen {
        let language = |language: &str, first, call| Language { language: language.to_owned(), first, call };
        let sample = |minute: f64| Sample {
            seconds: minute * 60.0,
            // The first minute is not what the others are.
            nodes: if minute < 1.0 { 100.0 } else { 2_000.0 },
            listeners: 500.0,
            heap_mib: 20.0 + growth * minute,
        };
        let minute = |ours: f64, longest| Minute {
            seconds: 60.0,
            above: 1.0,
            longest_ms: 130.0,
            ours,
            ours_longest_ms: longest,
            ours_busy_ms: 200.0,
            which: [("session-x.js onframe".to_owned(), 1)].into(),
            pictures_per_second: 14.9,
        };
        Seen {
            versions: [("chromium".to_owned(), "Chromium 1".to_owned())].into(),
            weight: Weight {
                languages: vec![language("en", 50_000.0, 240_000.0), language("el", 59_000.0, 261_000.0)],
                parts: vec![
                    Part { path: "/assets/index-a.js".to_owned(), bytes: 42_000.0, first: true },
                    Part { path: "/assets/session-b.js".to_owned(), bytes: 140_000.0, first: false },
                ],
            },
            lighthouse: vec![Audit {
                performance: 99.0,
                accessibility: 100.0,
                first_paint_ms: 900.0,
                largest_paint_ms: 1_200.0,
                wrong: vec!["meta-description".to_owned()],
                ..Audit::default()
            }],
            usable_ms: vec![800.0, 700.0, 900.0],
            usable_far_ms: vec![1_500.0],
            first_picture_ms: vec![400.0, 600.0],
            steady: vec![minute(0.0, 60.0), minute(0.0, 40.0), minute(2.0, 140.0)],
            churn: Churn {
                listed: 600,
                pictured: 60,
                samples: (0..=10).map(|minute| sample(f64::from(minute))).collect(),
            },
        }
    }

    fn figure(of: &Seen, part: &str) -> Figure {
        of.figures().into_iter().find(|figure| figure.name.contains(part)).unwrap()
    }

    #[test]
    fn the_heaviest_language_counts() {
        let seen = seen(0.0);
        let first = figure(&seen, "scripts until");
        assert_eq!((first.median, first.met), (59.0, Some(true)));
        assert!(first.name.contains("in el"), "{}", first.name);
        assert_eq!(figure(&seen, "first call").met, Some(false));
    }

    #[test]
    fn one_minute_with_a_long_task_is_enough_to_miss() {
        let seen = seen(0.0);
        let tasks = figure(&seen, "tasks of ours");
        assert_eq!((tasks.median, tasks.met), (2.0, Some(false)));
        assert_eq!(figure(&seen, "the longest of ours").median, 140.0);
    }

    #[test]
    fn growth_is_that_of_the_line_without_its_beginning() {
        let flat = seen(0.0);
        let trend = flat.churn.trend(|sample| sample.nodes).unwrap();
        assert!(trend.percent.abs() < 1e-9, "the first minute has no part in it: {trend:?}");
        let growing = seen(0.5);
        let trend = growing.churn.trend(|sample| sample.heap_mib).unwrap();
        assert!((trend.per_minute - 0.5).abs() < 1e-9, "{trend:?}");
        // From 20.5 after a minute to 25 after ten.
        assert!((trend.percent - 100.0 * 4.5 / 20.5).abs() < 1e-9, "{trend:?}");
        assert_eq!(figure(&growing, "heap").met, Some(false));
        assert_eq!(figure(&flat, "heap").met, Some(true));
        assert_eq!(Churn::default().trend(|sample| sample.nodes), None);
    }

    #[test]
    fn what_the_browsers_wrote_is_read() {
        let text = r#"{ "quick": true, "versions": { "node": "v20" }, "weight": { "languages": [], "parts": [] },
            "lighthouse": [], "usable_ms": [1], "usable_far_ms": [], "first_picture_ms": [2.5], "steady": [],
            "churn": { "listed": 10, "pictured": 0, "samples": [{ "seconds": 0, "nodes": 1, "listeners": 2, "heap_mib": 3.5 }] } }"#;
        let seen: Seen = serde_json::from_str(text).unwrap();
        assert_eq!((seen.first_picture_ms.as_slice(), seen.churn.listed), (&[2.5][..], 10));
    }
}
