// SPDX-License-Identifier: EUPL-1.2
//! Figures with their spread: a table for people, JSON for machines.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};

use super::server::{Program, Which};
use crate::sh::{Result, print, process};

/// What a figure is to reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Target {
    /// This or less.
    AtMost(f64),
    /// This or more.
    AtLeast(f64),
}

/// One figure of several runs.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) runs: usize,
    /// Nothing to reach is `null`.
    pub(crate) target: Option<f64>,
    pub(crate) met: Option<bool>,
    #[serde(skip)]
    bound: Option<Target>,
}

impl Figure {
    /// The median and the spread of `values`, held against what it is to reach. `None` without values.
    pub(crate) fn of(
        name: impl Into<String>,
        unit: &'static str,
        values: &[f64],
        bound: Option<Target>,
    ) -> Option<Figure> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median = match sorted.len() {
            0 => return None,
            even if even % 2 == 0 => (sorted[middle - 1] + sorted[middle]) / 2.0,
            _ => sorted[middle],
        };
        let (target, met) = match bound {
            None => (None, None),
            Some(Target::AtMost(most)) => (Some(most), Some(median <= most)),
            Some(Target::AtLeast(least)) => (Some(least), Some(median >= least)),
        };
        let (min, max) = (sorted[0], sorted[sorted.len() - 1]);
        Some(Figure { name: name.into(), unit, median, min, max, runs: sorted.len(), target, met, bound })
    }

    fn row(&self) -> Vec<String> {
        let goal = match self.bound {
            None => String::new(),
            Some(Target::AtMost(most)) => format!("≤ {}", rounded(most)),
            Some(Target::AtLeast(least)) => format!("≥ {}", rounded(least)),
        };
        let met = self.met.map_or("", |met| if met { "yes" } else { "NO" });
        vec![
            self.name.clone(),
            self.unit.to_owned(),
            rounded(self.median),
            rounded(self.min),
            rounded(self.max),
            self.runs.to_string(),
            goal,
            met.to_owned(),
        ]
    }
}

/// Prints the figures as a Markdown table and writes them to `file` where one is named. `versions` says what was
/// measured besides us.
pub(crate) fn report(figures: &[Figure], versions: &BTreeMap<String, String>, file: Option<&Path>) -> Result {
    print(&format!("{}\n\n{}", machine_line(), table(figures)));
    if let Some(file) = file {
        let report = json!({ "machine": machine(), "versions": versions, "figures": figures });
        let text = serde_json::to_string_pretty(&report).map_err(std::io::Error::from)?;
        std::fs::write(file, text + "\n")?;
    }
    Ok(())
}

/// The figures as a Markdown table.
pub(crate) fn table(figures: &[Figure]) -> String {
    let head = ["figure", "unit", "median", "least", "most", "runs", "to reach", "met"];
    let mut rows = vec![head.map(str::to_owned).to_vec(), vec!["---".to_owned(); head.len()]];
    rows.extend(figures.iter().map(Figure::row));
    rows.iter().map(|row| format!("| {} |\n", row.join(" | "))).collect()
}

/// What each of these servers says of itself.
pub(super) fn versions(programs: &[Program]) -> BTreeMap<String, String> {
    let name = |program: &Program| match program.which {
        Which::LiveKit => "livekit-server".to_owned(),
        other => other.name().to_lowercase(),
    };
    programs.iter().map(|program| (name(program), program.version.clone())).collect()
}

/// The version of ours that is measured.
pub(crate) fn version() -> String {
    process("git", ["describe", "--always", "--dirty"]).output().unwrap_or_default()
}

/// Today, for a page.
pub(crate) fn date() -> String {
    process("date", ["-u", "+%-d %B %Y"]).output().unwrap_or_default()
}

/// The machine in one line, for a page.
pub(crate) fn machine_line() -> String {
    let of = |key: &str| machine()[key].as_str().map(str::to_owned).unwrap_or_default();
    format!(
        "{}, {} cores, Linux {}, load average {}",
        of("cpu"),
        machine()["cores"],
        of("kernel"),
        of("load_average")
    )
}

fn machine() -> Value {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let after = |text: &str, key: &str| {
        let line = text.lines().find(|line| line.starts_with(key))?.split(':').nth(1)?.trim().to_owned();
        Some(line)
    };
    let cpu = after(&read("/proc/cpuinfo"), "model name").unwrap_or_default();
    let memory = after(&read("/proc/meminfo"), "MemTotal").unwrap_or_default();
    let kib: f64 = memory.trim_end_matches(" kB").parse().unwrap_or_default();
    let load: Vec<String> = read("/proc/loadavg").split(' ').take(3).map(str::to_owned).collect();
    json!({
        "cpu": cpu,
        "cores": std::thread::available_parallelism().map_or(1, usize::from),
        "memory_gib": (kib / 1_048_576.0).round(),
        "kernel": process("uname", ["-r"]).output().unwrap_or_default(),
        "load_average": load.join(" "),
    })
}

/// Three significant digits, and no more than are there.
pub(crate) fn rounded(value: f64) -> String {
    let places = match value.abs() {
        large if large >= 100.0 => 0,
        middle if middle >= 10.0 => 1,
        small if small >= 1.0 => 2,
        _ => 4,
    };
    let text = format!("{value:.places$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_the_median_of_its_runs_and_met_on_the_right_side() {
        let of = |values: &[f64], bound| Figure::of("a", "ms", values, bound).unwrap();
        let figure = of(&[3.0, 1.0, 2.0], Some(Target::AtMost(2.0)));
        assert_eq!((figure.median, figure.min, figure.max, figure.met), (2.0, 1.0, 3.0, Some(true)));
        let figure = of(&[4.0, 1.0, 2.0, 3.0], Some(Target::AtLeast(2.6)));
        assert_eq!((figure.median, figure.runs, figure.met), (2.5, 4, Some(false)));
        assert!(Figure::of("a", "ms", &[], None).is_none());
    }

    #[test]
    fn numbers_are_as_long_as_they_tell_something() {
        let texts = [123_456.7, 12.34, 1.5, 0.25, 0.0].map(rounded);
        assert_eq!(texts, ["123457", "12.3", "1.5", "0.25", "0"]);
    }
}
