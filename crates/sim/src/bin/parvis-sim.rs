// SPDX-License-Identifier: EUPL-1.2
//! `parvis-sim`: runs scenarios by their seeds, and says which failed and how to see one again.
//!
//! `parvis-sim --seeds N [--base B] [--jobs J] [--seconds S]`, `parvis-sim --hours H [--base B] [--jobs J]`,
//! `parvis-sim --seed S` (told as it happens), `parvis-sim --meeting PEERS --length SECONDS` (how fast one long meeting runs).

use std::collections::BTreeMap;
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parvis_sim::scenario::{self, Outcome, Watch};
use parvis_sim::{Checks, Dtls};

const USAGE: &str = "usage: parvis-sim --seeds N | --hours H | --seed S | --meeting PEERS --length SECONDS \
                     [--base SEED] [--jobs J] [--seconds AT_MOST]";
const NAMES: [&str; 8] =
    ["--seeds", "--hours", "--seed", "--meeting", "--length", "--base", "--jobs", "--seconds"];

#[expect(clippy::print_stdout, reason = "the developer's terminal is where this program speaks")]
fn say(line: &str) {
    println!("{line}");
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            say(&format!("{problem}\n{USAGE}"));
            ExitCode::from(2)
        }
    }
}

/// The values by their names: nothing is guessed.
struct Values<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Values<'a> {
    fn read(arguments: &'a [String]) -> Result<Values<'a>, String> {
        let mut values = BTreeMap::new();
        for pair in arguments.chunks(2) {
            let name = pair[0].as_str();
            let known = NAMES.contains(&name);
            let value = pair.get(1).filter(|_| known).ok_or_else(|| match known {
                true => format!("{name} has no value"),
                false => format!("{name}: there is no such option"),
            })?;
            if values.insert(name, value.as_str()).is_some() {
                return Err(format!("{name} is there twice"));
            }
        }
        Ok(Values(values))
    }

    fn whole(&self, name: &str) -> Result<Option<u64>, String> {
        let value = self.0.get(name);
        let read = value.map(|value| value.parse().map_err(|_| format!("{name} {value}: no whole number")));
        read.transpose()
    }

    /// A whole number that is not 0.
    fn count(&self, name: &str) -> Result<Option<u64>, String> {
        match self.whole(name)? {
            Some(0) => Err(format!("{name} 0: nothing would be run")),
            count => Ok(count),
        }
    }

    fn time(&self, name: &str, unit: Duration) -> Result<Option<Duration>, String> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        let number: f64 = value.parse().map_err(|_| format!("{name} {value}: no number"))?;
        let time = Duration::try_from_secs_f64(number * unit.as_secs_f64());
        time.ok()
            .filter(|time| !time.is_zero())
            .map(Some)
            .ok_or_else(|| format!("{name} {value}: no time to run"))
    }
}

fn run(arguments: &[String]) -> Result<bool, String> {
    let values = Values::read(arguments)?;
    let what = ["--seeds", "--hours", "--seed", "--meeting"];
    if what.iter().filter(|name| values.0.contains_key(*name)).count() != 1 {
        return Err("one of --seeds, --hours, --seed and --meeting says what to run".to_owned());
    }
    if let Some(seed) = values.whole("--seed")? {
        return Ok(one(seed));
    }
    let second = Duration::from_secs(1);
    if let Some(peers) = values.count("--meeting")? {
        let length = values.time("--length", second)?.ok_or("--length says how long the meeting is")?;
        return Ok(meeting(peers as usize, length));
    }
    let most = values.time("--seconds", second)?.or(values.time("--hours", second * 3600)?);
    let seeds = values.count("--seeds")?.unwrap_or(u64::MAX);
    let (base, jobs) = (values.whole("--base")?.unwrap_or(1), values.count("--jobs")?.unwrap_or(1));
    Ok(many(base, seeds, jobs, most))
}

/// One seed, with what happens in it.
fn one(seed: u64) -> bool {
    let narrator = |at: Duration, what: &str| say(&format!("{:9.3} s  {what}", at.as_secs_f64()));
    let watch = Watch { narrator: Some(Box::new(narrator)), meter: Some(meter) };
    let outcome = scenario::run(seed, watch);
    let trace =
        outcome.trace.map_or("not the same twice: real DTLS".to_owned(), |trace| format!("{trace:016x}"));
    say(&format!("trace {trace}, {} clients, {} datagrams", outcome.clients, outcome.packets));
    say(&checks(&outcome.checks));
    let failed = !outcome.failures.is_empty();
    say(&format!("{} passed, {} failed", u8::from(!failed), u8::from(failed)));
    !failed
}

/// Seeds from `base` on, on so many threads: each run is one thread's alone.
fn many(base: u64, seeds: u64, jobs: u64, most: Option<Duration>) -> bool {
    let begin = Instant::now();
    let until = most.map(|most| begin + most);
    let next = AtomicU64::new(0);
    let outcomes = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while until.is_none_or(|until| Instant::now() < until) {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    if place >= seeds {
                        break;
                    }
                    let watch = Watch { narrator: None, meter: Some(meter) };
                    let seed = base.wrapping_add(place);
                    let outcome = kept(seed, || scenario::run(seed, watch));
                    if let Ok(mut outcomes) = outcomes.lock() {
                        if !outcome.failures.is_empty() {
                            tell(&outcome);
                        }
                        outcomes.push(outcome);
                    }
                }
            });
        }
    });
    let outcomes = outcomes.into_inner().unwrap_or_default();
    let virtual_time: Duration = outcomes.iter().map(|outcome| outcome.virtual_time).sum();
    let packets: u64 = outcomes.iter().map(|outcome| outcome.packets).sum();
    let mut made = Checks::default();
    outcomes.iter().for_each(|outcome| made.add(&outcome.checks));
    let took = begin.elapsed().as_secs_f64();
    let asked = if seeds == u64::MAX { String::new() } else { format!(" of {seeds}") };
    say(&format!(
        "{}{asked} seeds from {base} on, {:.0} s of virtual time in {took:.0} s, {packets} datagrams sent",
        outcomes.len(),
        virtual_time.as_secs_f64()
    ));
    say(&checks(&made));
    let failed = outcomes.iter().filter(|outcome| !outcome.failures.is_empty()).count();
    say(&format!("{} passed, {failed} failed", outcomes.len() - failed));
    failed == 0 && !outcomes.is_empty()
}

/// What a run came to, also where it panicked: its seed is what must not be lost.
fn kept(seed: u64, run: impl FnOnce() -> Outcome) -> Outcome {
    panic::catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|what| {
        let text = what.downcast_ref::<String>().map(String::as_str);
        let text = text.or(what.downcast_ref::<&str>().copied()).unwrap_or("without a word");
        Outcome { seed, failures: vec![format!("panicked: {text}")], ..Outcome::default() }
    })
}

/// One long meeting, and how much faster than the clock it ran.
fn meeting(peers: usize, length: Duration) -> bool {
    let begin = Instant::now();
    let watch = Watch { narrator: None, meter: Some(meter) };
    let outcome = scenario::meeting(1, peers, length, Dtls::StandIn, watch);
    let took = begin.elapsed().as_secs_f64();
    let virtual_time = outcome.virtual_time.as_secs_f64();
    outcome.failures.iter().for_each(|failure| say(&format!("  {failure}")));
    say(&format!(
        "speed {:.3}: {virtual_time:.1} s of virtual time in {took:.1} s, {} datagrams sent",
        virtual_time / took,
        outcome.packets
    ));
    say(&checks(&outcome.checks));
    outcome.failures.is_empty()
}

/// This program's allocator counts, for each thread by itself.
fn meter(act: &mut dyn FnMut()) -> i64 {
    allocation_counter::measure(act).bytes_current
}

fn tell(outcome: &Outcome) {
    say(&format!("seed {} failed; see it with `cargo xtask sim --seed {}`", outcome.seed, outcome.seed));
    for failure in &outcome.failures {
        say(&format!("  {failure}"));
    }
}

fn checks(checks: &Checks) -> String {
    let each: Vec<String> = checks.each().iter().map(|(name, count)| format!("{name} {count}")).collect();
    format!("checked: {}", each.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(line: &str) -> String {
        let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        run(&arguments).err().unwrap_or_default()
    }

    #[test]
    fn a_seed_that_panics_is_a_failure_that_bears_its_number() {
        let outcome = kept(77, || panic!("at {} s", 3));
        assert_eq!((outcome.seed, outcome.failures), (77, vec!["panicked: at 3 s".to_owned()]));
        let outcome = kept(78, || Outcome { seed: 78, clients: 2, ..Outcome::default() });
        assert_eq!((outcome.clients, outcome.failures.len()), (2, 0));
    }

    #[test]
    fn what_would_run_nothing_or_cannot_be_read_is_refused() {
        assert!(refused("--seeds 0").contains("--seeds 0"));
        assert!(refused("--hours 0").contains("--hours 0"));
        assert!(refused("--hours -1").contains("--hours -1"));
        assert!(refused("--seeds many").contains("many"));
        assert!(refused("--seed").contains("no value"));
        assert!(refused("--seeds 1 --jobs 0").contains("--jobs 0"));
        assert!(refused("--seeds 1 --base -7").contains("-7"));
        assert!(refused("--seed 1 --seeds 2").contains("one of"));
        assert!(refused("--sed 1").contains("no such option"));
        assert!(refused("").contains("one of"));
    }
}
