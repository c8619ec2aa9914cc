// SPDX-License-Identifier: EUPL-1.2
//! `docs/compatibility.md`: what works with which SDK, as the end-to-end tests of one whole run showed it. The rows, the
//! columns, and what an SDK has not got are in `tests/e2e/compatibility.json`; what a test shows stands beside its name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::e2e::FOLDER;
use crate::setup;
use crate::sh::{Error, Result, process, root, say, target};

const PAGE: &str = "docs/compatibility.md";
/// How the line begins that says which browsers, and which GStreamer, the run had. They come with the system and change at
/// any time, so that another version of theirs makes no other page.
const SYSTEM: &str = "From Debian in that run: ";

const HEAD: &str = "\
# What works with which SDK

The end-to-end tests wrote this page: a whole run of `cargo xtask e2e`, or of `cargo xtask test`, writes it anew, and the
latter fails where it was not the same before. Each test names what it shows of which SDK, as it is published, in the version
that stands here; what comes with Debian has that of its line below. A cell is what those tests came to:

- **yes**: every one of them passed, at its second try at the latest.
- **no**: one of them failed.
- *not shown*: the run had none.
- \\-: the SDK has no such thing.
";

/// `tests/e2e/compatibility.json`.
#[derive(Deserialize)]
struct Matrix {
    tables: Vec<Table>,
    absent: Vec<Remark>,
    notes: Vec<Remark>,
}

#[derive(Deserialize)]
struct Table {
    title: String,
    sdks: Vec<Sdk>,
    features: Vec<Feature>,
}

#[derive(Deserialize)]
struct Sdk {
    key: String,
    package: String,
    from: Registry,
    /// Where it runs, if that needs to be said.
    #[serde(rename = "in")]
    place: Option<String>,
}

#[derive(Deserialize, Clone, Copy)]
enum Registry {
    #[serde(rename = "npm")]
    Npm,
    PyPI,
    /// The environment of agents' workers.
    #[serde(rename = "PyPI agents")]
    PyPIAgents,
    Debian,
}

#[derive(Deserialize)]
struct Feature {
    key: String,
    name: String,
}

/// What is to be said of some of an SDK's cells.
#[derive(Deserialize)]
struct Remark {
    sdk: String,
    features: Vec<String>,
    reason: String,
}

/// A line that a test wrote when it began, or when it passed.
#[derive(Deserialize)]
struct Shown {
    suite: String,
    /// With the names of what it is within.
    name: String,
    /// Its own name, as the runner prints it.
    last: String,
    passed: bool,
    pairs: Vec<Pair>,
}

#[derive(Deserialize, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Pair {
    sdk: String,
    feature: String,
}

/// Where tests write what they show.
pub(crate) fn file() -> PathBuf {
    target().join("shown.jsonl")
}

/// A whole run begins.
pub(crate) fn begin() -> Result {
    let file = file();
    if file.exists() {
        std::fs::remove_file(file)?;
    }
    Ok(())
}

/// A whole run is over, in which the tests with these names failed, also at their second try. Writes the page. It is an
/// error that another one was there, unless tests failed: then those are what is wrong.
pub(crate) fn conclude(failed: &[String], passed: bool) -> Result {
    let matrix = std::fs::read_to_string(root().join(FOLDER).join("compatibility.json"))?;
    let matrix: Matrix = serde_json::from_str(&matrix)
        .map_err(|error| Error::new(format!("{FOLDER}/compatibility.json: {error}")))?;
    let lines = std::fs::read_to_string(file()).unwrap_or_default();
    let outcomes = outcomes(&lines, failed)?;
    let python = setup::python()?;
    let agents = setup::agents()?;
    let mut versions = BTreeMap::new();
    for sdk in matrix.tables.iter().flat_map(|table| &table.sdks) {
        if let Some(version) = version(sdk, &python, &agents)? {
            versions.insert(sdk.key.as_str(), version);
        }
    }
    let system = format!(
        "Chromium {}, Firefox ESR {}, GStreamer {}",
        debian("chromium")?,
        debian("firefox-esr")?,
        debian("gstreamer1.0-plugins-bad")?
    );
    let page = page(&matrix, &versions, &outcomes, &system);
    let path = root().join(PAGE);
    let before = std::fs::read_to_string(&path).unwrap_or_default();
    if same(&before, &page) {
        return Ok(());
    }
    std::fs::write(path, page)?;
    if passed {
        Err(Error::new(format!(
            "{PAGE} was not what this run showed, and was written anew: look at it, and commit it"
        )))
    } else {
        say(&format!("{PAGE} says now what failed: don't commit it before the tests pass"));
        Ok(())
    }
}

/// Whether a feature was shown, and how that ended. Of each test its last line counts, so that a second try goes before
/// the first.
fn outcomes(lines: &str, failed: &[String]) -> Result<BTreeMap<Pair, bool>> {
    let mut tests = BTreeMap::new();
    for line in lines.lines() {
        let shown: Shown = serde_json::from_str(line)
            .map_err(|error| Error::new(format!("{}: {error}: {line}", file().display())))?;
        tests.insert((shown.suite.clone(), shown.name.clone()), shown);
    }
    let mut outcomes = BTreeMap::new();
    for test in tests.into_values() {
        // The runner has the last word: what is done after a test may fail, too.
        let passed = test.passed && !failed.contains(&test.last);
        for pair in test.pairs {
            *outcomes.entry(pair).or_insert(true) &= passed;
        }
    }
    Ok(outcomes)
}

fn page(
    matrix: &Matrix,
    versions: &BTreeMap<&str, String>,
    outcomes: &BTreeMap<Pair, bool>,
    system: &str,
) -> String {
    let mut page = HEAD.to_owned();
    page.push_str(&format!("\n{SYSTEM}{system}.\n"));
    let mut remarks: Vec<&str> = Vec::new();
    for table in &matrix.tables {
        page.push_str(&format!("\n## {}\n\n| |", table.title));
        for sdk in &table.sdks {
            let place = sdk.place.as_ref().map(|place| format!(" in {place}")).unwrap_or_default();
            let version = versions.get(sdk.key.as_str()).map(|version| format!(" {version}"));
            page.push_str(&format!(" `{}`{}{place} |", sdk.package, version.unwrap_or_default()));
        }
        page.push_str(&format!("\n| --- |{}\n", " --- |".repeat(table.sdks.len())));
        for feature in &table.features {
            page.push_str(&format!("| {} |", feature.name));
            for sdk in &table.sdks {
                let pair = Pair { sdk: sdk.key.clone(), feature: feature.key.clone() };
                page.push_str(&format!(" {} |", cell(matrix, &pair, outcomes, &mut remarks)));
            }
            page.push('\n');
        }
    }
    page.push('\n');
    for (place, remark) in remarks.iter().enumerate() {
        page.push_str(&format!("[^{}]: {remark}\n", place + 1));
    }
    page
}

/// One cell, with the number of what is to be said of it.
fn cell<'m>(
    matrix: &'m Matrix,
    pair: &Pair,
    outcomes: &BTreeMap<Pair, bool>,
    remarks: &mut Vec<&'m str>,
) -> String {
    let of = |list: &'m [Remark]| {
        list.iter().find(|each| each.sdk == pair.sdk && each.features.contains(&pair.feature))
    };
    let absent = of(&matrix.absent);
    let word = match (outcomes.get(pair), absent) {
        (Some(true), _) => "yes",
        (Some(false), _) => "no",
        (None, Some(_)) => "\\-",
        (None, None) => "*not shown*",
    };
    let Some(remark) = absent.or_else(|| of(&matrix.notes)) else { return word.to_owned() };
    let known = remarks.iter().position(|each| *each == remark.reason);
    let number = known.unwrap_or_else(|| {
        remarks.push(&remark.reason);
        remarks.len() - 1
    });
    format!("{word}[^{}]", number + 1)
}

/// Whether two pages say the same of the SDKs.
fn same(one: &str, other: &str) -> bool {
    let said = |page: &str| -> Vec<String> {
        page.lines().filter(|line| !line.starts_with(SYSTEM)).map(str::to_owned).collect()
    };
    said(one) == said(other)
}

/// The version that the run had, as it is installed; none for what comes with the system, which has a line of its own.
fn version(sdk: &Sdk, python: &Path, agents: &Path) -> Result<Option<String>> {
    match sdk.from {
        Registry::Npm => {
            let file = root().join(FOLDER).join("node_modules").join(&sdk.package).join("package.json");
            let text = std::fs::read_to_string(&file)?;
            let package: serde_json::Value = serde_json::from_str(&text)
                .map_err(|error| Error::new(format!("{}: {error}", file.display())))?;
            let version = package.get("version").and_then(serde_json::Value::as_str);
            let version = version.ok_or_else(|| Error::new(format!("{}: no version", file.display())))?;
            Ok(Some(version.to_owned()))
        }
        Registry::PyPI => installed(python, &sdk.package).map(Some),
        Registry::PyPIAgents => installed(agents, &sdk.package).map(Some),
        Registry::Debian => Ok(None),
    }
}

fn installed(interpreter: &Path, package: &str) -> Result<String> {
    let program = "import importlib.metadata, sys; print(importlib.metadata.version(sys.argv[1]))";
    process(&interpreter.to_string_lossy(), ["-c", program, package])
        .output()
        .ok_or_else(|| Error::new(format!("{} has no {package}", interpreter.display())))
}

/// The version of a Debian package, without Debian's own part.
fn debian(package: &str) -> Result<String> {
    let version = process("dpkg-query", ["-W", "-f=${Version}", package]).output();
    let version = version.ok_or_else(|| Error::new(format!("the package {package} is not installed")))?;
    let upstream = version.rsplit_once('-').map_or(version.as_str(), |(upstream, _)| upstream);
    Ok(upstream.trim_end_matches("esr").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MATRIX: &str = r#"{
        "tables": [{
            "title": "Clients",
            "sdks": [
                { "key": "one", "package": "client-one", "from": "npm", "in": "Chromium" },
                { "key": "two", "package": "client-two", "from": "PyPI" }
            ],
            "features": [{ "key": "join", "name": "Join" }, { "key": "svc", "name": "SVC" }]
        }],
        "absent": [{ "sdk": "two", "features": ["svc"], "reason": "It has no layers." }],
        "notes": []
    }"#;

    fn line(test: &str, passed: bool, pairs: &[(&str, &str)]) -> String {
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(sdk, feature)| serde_json::json!({ "sdk": sdk, "feature": feature }))
            .collect();
        let name = format!("a suite > {test}");
        let line = serde_json::json!(
            { "suite": "x", "name": name, "last": test, "passed": passed, "pairs": pairs }
        );
        format!("{line}\n")
    }

    fn rows(lines: &str, failed: &[&str]) -> Vec<String> {
        let matrix: Matrix = serde_json::from_str(MATRIX).unwrap();
        let failed: Vec<String> = failed.iter().map(|name| (*name).to_owned()).collect();
        let versions = BTreeMap::from([("one", "1.2".to_owned()), ("two", "3.4".to_owned())]);
        let page = page(&matrix, &versions, &outcomes(lines, &failed).unwrap(), "a browser");
        page.lines()
            .filter(|line| line.starts_with("| ") || line.starts_with("[^"))
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn a_cell_says_what_the_tests_came_to() {
        let lines = line("joins", false, &[("one", "join"), ("two", "join")])
            + &line("joins", true, &[("one", "join"), ("two", "join")])
            + &line("joins again", false, &[("two", "join")]);
        assert_eq!(
            rows(&lines, &[]),
            [
                "| | `client-one` 1.2 in Chromium | `client-two` 3.4 |",
                "| --- | --- | --- |",
                "| Join | yes | no |",
                "| SVC | *not shown* | \\-[^1] |",
                "[^1]: It has no layers.",
            ]
        );
    }

    #[test]
    fn the_second_try_goes_before_the_first_and_the_runner_before_both() {
        let first = line("joins", false, &[("one", "join")]);
        let second = first.clone() + &line("joins", true, &[("one", "join")]);
        assert!(rows(&first, &[])[2].starts_with("| Join | no |"));
        assert!(rows(&second, &[])[2].starts_with("| Join | yes |"));
        assert!(rows(&second, &["joins"])[2].starts_with("| Join | no |"));
        assert!(rows(&(second + &first), &[])[2].starts_with("| Join | no |"));
    }

    #[test]
    fn a_column_without_a_version_has_no_gap_in_its_head() {
        let matrix: Matrix = serde_json::from_str(MATRIX).unwrap();
        let page = page(&matrix, &BTreeMap::new(), &BTreeMap::new(), "a browser");
        assert!(page.contains("| | `client-one` in Chromium | `client-two` |\n"), "{page}");
    }

    #[test]
    fn what_comes_with_the_system_in_another_version_makes_no_other_page() {
        let page = |system: &str, rest: &str| format!("head\n{SYSTEM}{system}\n{rest}\n");
        assert!(same(&page("Chromium 1", "yes"), &page("Chromium 2", "yes")));
        assert!(!same(&page("Chromium 1", "yes"), &page("Chromium 1", "no")));
    }

    #[test]
    fn the_rows_and_columns_can_be_read_and_name_nothing_unknown() {
        let text = std::fs::read_to_string(root().join(FOLDER).join("compatibility.json")).unwrap();
        let matrix: Matrix = serde_json::from_str(&text).unwrap();
        for remark in matrix.absent.iter().chain(&matrix.notes) {
            for feature in &remark.features {
                let known = matrix.tables.iter().any(|table| {
                    table.sdks.iter().any(|sdk| sdk.key == remark.sdk)
                        && table.features.iter().any(|each| each.key == *feature)
                });
                assert!(known, "{} of {}", feature, remark.sdk);
            }
        }
    }
}
