// SPDX-License-Identifier: EUPL-1.2
//! `parvis-sim`: runs scenarios by their seeds, and says which failed and how to see one again.
//!
//! `parvis-sim --seeds N [--base B]`, `parvis-sim --seed S` (told as it happens), `parvis-sim --hours H [--base B]`.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use parvis_sim::scenario::{self, Outcome};

#[expect(clippy::print_stdout, reason = "the developer's terminal is where this program speaks")]
fn say(line: &str) {
    println!("{line}");
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| {
        let place = arguments.iter().position(|argument| argument == name)?;
        arguments.get(place + 1)?.parse::<f64>().ok()
    };
    let whole = |name: &str| {
        let place = arguments.iter().position(|argument| argument == name)?;
        arguments.get(place + 1)?.parse::<u64>().ok()
    };
    if let Some(seed) = whole("--seed") {
        let narrator = |at: Duration, what: &str| say(&format!("{:9.3} s  {what}", at.as_secs_f64()));
        let outcome = scenario::run(seed, Some(Box::new(narrator)));
        return end(&[outcome]);
    }
    let (base, begin) = (whole("--base").unwrap_or(1), Instant::now());
    let until = value("--hours").map(|hours| begin + Duration::from_secs_f64(hours * 3600.0));
    let until = value("--seconds").map(|seconds| begin + Duration::from_secs_f64(seconds)).or(until);
    let (seeds, until) = match (whole("--seeds"), until) {
        (None, None) => {
            say("usage: parvis-sim --seeds N | --seed S | --hours H | --seconds S [--base B]");
            return ExitCode::FAILURE;
        }
        (seeds, until) => (seeds.unwrap_or(u64::MAX), until),
    };
    let mut outcomes = Vec::new();
    for seed in (base..).take(usize::try_from(seeds).unwrap_or(usize::MAX)) {
        if until.is_some_and(|until| Instant::now() >= until) {
            break;
        }
        let outcome = scenario::run(seed, None);
        if !outcome.failures.is_empty() {
            tell(&outcome);
        }
        outcomes.push(outcome);
    }
    let virtual_time: Duration = outcomes.iter().map(|outcome| outcome.virtual_time).sum();
    let packets: u64 = outcomes.iter().map(|outcome| outcome.packets).sum();
    let took = begin.elapsed().as_secs_f64();
    say(&format!(
        "{} seeds from {base} on, {:.0} s of virtual time in {took:.0} s, {packets} datagrams sent",
        outcomes.len(),
        virtual_time.as_secs_f64()
    ));
    end(&outcomes)
}

fn tell(outcome: &Outcome) {
    say(&format!("seed {} failed; see it with `cargo xtask sim --seed {}`", outcome.seed, outcome.seed));
    for failure in &outcome.failures {
        say(&format!("  {failure}"));
    }
}

fn end(outcomes: &[Outcome]) -> ExitCode {
    let failed = outcomes.iter().filter(|outcome| !outcome.failures.is_empty()).count();
    if let [outcome] = outcomes {
        let trace =
            outcome.trace.map_or("not the same twice: real DTLS".to_owned(), |trace| format!("{trace:016x}"));
        say(&format!("trace {trace}, {} clients, {} datagrams", outcome.clients, outcome.packets));
        for failure in &outcome.failures {
            say(&format!("  {failure}"));
        }
    }
    say(&format!("{} passed, {failed} failed", outcomes.len() - failed));
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
