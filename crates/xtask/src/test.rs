// SPDX-License-Identifier: EUPL-1.2
//! `cargo xtask test`: everything that must hold before a change lands, and how many tests said so.

use std::time::Instant;

use clap::Args;

use crate::sh::{Result, print, process, say};
use crate::{bench, compatibility, deb, deny, e2e, fuzz, habits, programs, sbom, setup, sim, web};

/// More failures than these are no starvation.
const RETRIED_AT_MOST: usize = 3;

/// Long enough for each fuzz target to go through its seeds and some thousands of mutations of them.
const FUZZ_SECONDS: u64 = 4;

#[derive(Args)]
pub(crate) struct Options {
    /// Runs only the steps whose name contains this text: format, web, lint, unit, sim, instructions, e2e, package, fuzz,
    /// deny, confinement.
    #[arg(long)]
    only: Option<String>,
}

/// Of what the runners say of failures, so much is said again at the end.
const MAX_REPORT_LINES: usize = 400;

/// How many tests passed and failed, as the runners themselves counted, and what they said of those that failed.
#[derive(Default)]
struct Count {
    passed: u64,
    failed: u64,
    report: Vec<String>,
    /// Within a runner's words about failures.
    is_reporting: bool,
}

/// Runs every step, goes on after a failure so that one run tells all, and closes with the count.
pub(crate) fn run(options: &Options) -> Result {
    setup::build_tools()?;
    let mut count = Count::default();
    let mut failures = Vec::new();
    type Step = (&'static str, fn(&mut Count) -> Result);
    let steps: [Step; 11] = [
        ("format", |count| {
            let formatted = count.check(process("cargo", ["fmt", "--all", "--check"]).run());
            count.check(habits::run()).and(formatted)
        }),
        ("web", web),
        ("lint", |count| {
            let deny = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
            count.check(process("cargo", deny).run())
        }),
        ("unit", |count| {
            setup::networks()?;
            setup::postgres()?;
            setup::ffmpeg()?;
            setup::storage()?;
            let turn_clients = setup::turn_clients()?;
            process("cargo", ["test", "--workspace", "--locked", "--no-fail-fast"])
                .with("PARVIS_REQUIRE_CLIENT", "1")
                .with("PARVIS_REQUIRE_POSTGRES", "1")
                .with("PARVIS_TURN_CLIENTS", turn_clients)
                .watch(|line| count.cargo(line))
        }),
        ("sim", |count| sim::check(|line| count.sim(line))),
        ("instructions", |count| count.check(bench::instructions::run(false))),
        ("e2e", |count| {
            programs::server()?;
            end_to_end(count)
        }),
        ("package", |count| count.check(deb::check_package())),
        ("fuzz", |count| count.check(fuzz::run(&fuzz::Options::all(FUZZ_SECONDS)))),
        ("deny", |count| {
            let denied = count.check(deny::run());
            count.check(sbom::run()).and(denied)
        }),
        ("confinement", |count| count.check(deb::check_units())),
    ];
    let mut times = Vec::new();
    for (name, step) in steps {
        if options.only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
            continue;
        }
        say(&format!("---- {name}"));
        let start = Instant::now();
        let before = count.failed;
        if name == "e2e" && options.only.is_none() {
            // Browsers leave half of the processors idle, and building the fuzz targets takes a third of these tests' time.
            std::thread::spawn(fuzz::build_idly);
        }
        if let Err(error) = step(&mut count) {
            // A step that broke before its runner could count still is a failure.
            count.failed = count.failed.max(before + 1);
            failures.push(format!("{name}: {error}"));
        }
        times.push(format!("{name} {} s", start.elapsed().as_secs()));
    }
    for line in &count.report {
        print(line);
    }
    say(&format!("time: {}", times.join(", ")));
    for failure in &failures {
        say(&format!("failed: {failure}"));
    }
    print(&format!("{} passed, {} failed", count.passed, count.failed));
    if failures.is_empty() {
        Ok(())
    } else {
        Err(crate::sh::Error::new(format!("{} steps failed", failures.len())))
    }
}

/// The end-to-end tests, and the page that says what they showed. What a failed test makes it say is no failure of its own.
fn end_to_end(count: &mut Count) -> Result {
    compatibility::begin()?;
    let (result, failed) = end_to_end_tests(count);
    let page = compatibility::conclude(&failed, result.is_ok());
    if result.is_ok() { count.check(page) } else { result }
}

/// Gives the names of those that failed, too. Two cores carry three browsers, two SDKs and the server, and at times something
/// starves: suites of which a few tests failed run once more, whole and alone, as a test may count what those before it saw. What
/// failed is named. A test that fails twice has failed.
fn end_to_end_tests(count: &mut Count) -> (Result, Vec<String>) {
    let mut first = Count::default();
    let (mut names, mut suites) = (Vec::new(), Vec::new());
    let result = e2e::watch(e2e::Which::All, |line| {
        first.node(line);
        names.extend(failed_test(line));
        suites.extend(failed_suite(line));
    });
    names.sort();
    names.dedup();
    suites.sort();
    suites.dedup();
    let most = names.len().max(suites.len());
    if result.is_ok() || suites.is_empty() || most > RETRIED_AT_MOST {
        count.add(first);
        return (result, names);
    }
    let mut second = Count::default();
    let mut failed = Vec::new();
    let again = e2e::watch(e2e::Which::Suites(&suites), |line| {
        second.node(line);
        failed.extend(failed_test(line));
    });
    // Those of these suites that passed before have been counted, and so has none that fails now.
    count.passed += first.passed;
    if again.is_ok() && second.passed > first.failed && second.failed == 0 {
        count.passed += first.failed;
        for name in names.iter().chain(&suites) {
            say(&format!("passed only at the second try, alone: {name}"));
        }
        return (Ok(()), Vec::new());
    }
    count.report.append(&mut first.report);
    count.report.append(&mut second.report);
    count.failed += first.failed.max(1);
    (again.and(result), failed)
}

/// The name in a line such as `  ✖ a link is made (22846.760674ms)`: a test within a suite, by its indentation.
pub(crate) fn failed_test(line: &str) -> Option<String> {
    let (name, time) = line.strip_prefix("  ")?.trim_start().strip_prefix("✖ ")?.rsplit_once(" (")?;
    time.ends_with("ms)").then(|| name.to_owned())
}

/// The suite in a line such as `test at suites/data.test.mjs:25:3`, which stands before each failure in the list of them all. A
/// suite whose end failed is in it too.
fn failed_suite(line: &str) -> Option<String> {
    let (suite, place) = line.strip_prefix("test at ")?.split_once(".test.mjs:")?;
    place.starts_with(|first: char| first.is_ascii_digit()).then(|| format!("{suite}.test.mjs"))
}

/// The web client: its types, its unit tests, its build.
fn web(count: &mut Count) -> Result {
    setup::npm(web::CLIENT)?;
    count.check(web::script("check"))?;
    let folder = crate::sh::root().join(web::CLIENT);
    process("npm", ["run", "--silent", "test"])
        .within(folder)
        .with("NO_COLOR", "1")
        .watch(|line| count.vitest(line))?;
    web::script("build")
}

impl Count {
    fn add(&mut self, mut other: Count) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.report.append(&mut other.report);
    }

    /// Keeps `line` when it is in what a runner says of failures, from `begins` to the runner's count.
    fn keep(&mut self, line: &str, begins: &str) {
        self.is_reporting |= line.trim_end() == begins;
        if self.is_reporting && self.report.len() < MAX_REPORT_LINES {
            self.report.push(line.to_owned());
        }
        self.is_reporting &= !line.starts_with("test result: ");
    }

    /// A check that is one test by itself.
    fn check(&mut self, result: Result) -> Result {
        match result {
            Ok(()) => self.passed += 1,
            Err(_) => self.failed += 1,
        }
        result
    }

    /// `test result: ok. 12 passed; 0 failed; …`
    fn cargo(&mut self, line: &str) {
        self.keep(line, "failures:");
        if line.starts_with("test result: ") {
            self.passed += number_before(line, " passed");
            self.failed += number_before(line, " failed");
        }
    }

    /// `48 passed, 0 failed`: a seed is a test.
    fn sim(&mut self, line: &str) {
        // A seed that failed, and below it why.
        if line.starts_with("seed ") || line.starts_with("  ") {
            self.report.push(line.to_owned());
        }
        if line.starts_with(|first: char| first.is_ascii_digit()) && line.contains(" passed, ") {
            self.passed += number_before(line, " passed");
            self.failed += number_before(line, " failed");
        }
    }

    /// `Tests  12 passed (12)` or `Tests  1 failed | 11 passed (12)`
    fn vitest(&mut self, line: &str) {
        if line.trim_start().starts_with("Tests ") {
            self.passed += number_before(line, " passed");
            self.failed += number_before(line, " failed");
        }
    }

    /// `ℹ pass 12`, `ℹ fail 0`, `ℹ cancelled 0`: one that took too long, or whose suite failed before it.
    fn node(&mut self, line: &str) {
        self.keep(line, "✖ failing tests:");
        let mut words = line.trim_start_matches(['ℹ', '#', ' ']).split(' ');
        match (words.next(), words.next().and_then(|word| word.parse::<u64>().ok())) {
            (Some("pass"), Some(passed)) => self.passed += passed,
            (Some("fail" | "cancelled"), Some(failed)) => self.failed += failed,
            _ => {}
        }
    }
}

/// The whole number that stands right before `label`.
fn number_before(line: &str, label: &str) -> u64 {
    let Some(end) = line.find(label) else { return 0 };
    let digits = line[..end].rsplit(|letter: char| !letter.is_ascii_digit()).next();
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_which_tests_failed() {
        let line = "  ✖ /rtc, two: it’s (a) test. (12.5ms)";
        assert_eq!(failed_test(line).as_deref(), Some("/rtc, two: it’s (a) test."));
        assert_eq!(failed_test("✖ a suite (12.5ms)"), None);
        assert_eq!(failed_test("  ✔ fine (12.5ms)"), None);
        assert_eq!(failed_test("✖ failing tests:"), None);
        assert_eq!(
            failed_suite("test at suites/data.test.mjs:25:3").as_deref(),
            Some("suites/data.test.mjs")
        );
        assert_eq!(failed_suite("  test at the door (12.5ms)"), None);
    }

    #[test]
    fn counts_what_each_runner_prints() {
        let mut count = Count::default();
        count.cargo(
            "test result: ok. 12 passed; 1 failed; 0 ignored; 0 measured; 3 filtered out; finished in 0.01s",
        );
        count.vitest("      Tests  2 failed | 30 passed (32)");
        count.node("ℹ pass 400");
        count.node("ℹ fail 4");
        count.node("ℹ cancelled 1");
        count.node("ℹ tests 405");
        count.sim("48 of 48 seeds from 1 on, 1449 s of virtual time in 31 s, 48233 datagrams sent");
        count.sim("46 passed, 2 failed");
        assert_eq!((count.passed, count.failed), (488, 10));
        assert!(count.report.is_empty(), "{:?}", count.report);
    }

    #[test]
    fn says_at_the_end_why_what_failed() {
        let mut count = Count::default();
        let unit = [
            "test a ... FAILED",
            "failures:",
            "---- a stdout ----",
            "    a",
            "test result: FAILED. 0 passed; 1 failed",
            "Running",
        ];
        unit.iter().for_each(|line| count.cargo(line));
        ["seed 7 failed; see it with …", "  a gap", "0 passed, 1 failed"]
            .iter()
            .for_each(|line| count.sim(line));
        ["ℹ fail 1", "✖ failing tests:", "✖ b (1ms)", "  AssertionError"]
            .iter()
            .for_each(|line| count.node(line));
        assert_eq!(count.failed, 3);
        let said = [
            &unit[1..5],
            &["seed 7 failed; see it with …", "  a gap"],
            &["✖ failing tests:", "✖ b (1ms)", "  AssertionError"],
        ]
        .concat();
        assert_eq!(count.report, said);
    }
}
