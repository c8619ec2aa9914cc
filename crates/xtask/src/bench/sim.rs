// SPDX-License-Identifier: EUPL-1.2
//! How fast conferences are simulated: one long meeting of 50 people, on one core.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::Options;
use super::figures::{self, Figure, Target, rounded};
use crate::sh::{Error, Result, process, root, say, target};
use crate::sim;

const PEOPLE: &str = "50";
/// So many seconds of virtual time in one second.
const SPEED: f64 = 20.0;
/// Runs, and seconds of virtual time in each.
const FULL: (usize, &str) = (7, "60");
const QUICK: (usize, &str) = (2, "20");

/// What the program says of a run.
#[derive(Debug, Clone, Default, PartialEq)]
struct Run {
    /// Virtual seconds in one second.
    speed: f64,
    virtual_seconds: f64,
    /// Sent by the server.
    datagrams: f64,
    /// How often each invariant was looked at.
    checks: String,
}

/// Runs it in a release build and writes the page; with `--quick` fewer and shorter runs, and the page beside the binaries.
pub(super) fn run(options: &Options) -> Result {
    let (count, length) = if options.quick { QUICK } else { FULL };
    let program = sim::build()?;
    let arguments = ["--meeting", PEOPLE, "--length", length];
    let mut runs = Vec::new();
    for run in 0..count {
        say(&format!("run {} of {count}", run + 1));
        let mut lines = Vec::new();
        process(&program, arguments).watch(|line| lines.push(line.to_owned()))?;
        runs.push(read(&lines).ok_or_else(|| Error::new("the simulation said no speed"))?);
    }
    let figures = measure(&runs);
    figures::report(&figures, &BTreeMap::new(), options.json_file()?.as_deref())?;
    let folder = if options.quick { target() } else { root().join("docs/measurements") };
    std::fs::write(folder.join("sim.md"), page(&arguments.join(" "), &runs, &figures))?;
    say(&format!("wrote sim.md in {}", folder.display()));
    Ok(())
}

fn measure(runs: &[Run]) -> Vec<Figure> {
    let values = |read: fn(&Run) -> f64| runs.iter().map(read).collect::<Vec<_>>();
    let speeds = values(|run| run.speed);
    let rates = values(|run| run.datagrams * run.speed / run.virtual_seconds);
    let density = values(|run| run.datagrams / run.virtual_seconds);
    let figures = [
        Figure::of(
            format!("{PEOPLE} people: virtual time in real time"),
            "s/s",
            &speeds,
            Some(Target::AtLeast(SPEED)),
        ),
        Figure::of("datagrams of the server in a second of virtual time", "1/s", &density, None),
        Figure::of("and of real time", "1/s", &rates, None),
    ];
    figures.into_iter().flatten().collect()
}

/// `speed 23.112: 60.0 s of virtual time in 2.6 s, 1200000 datagrams sent`, and a line of checks.
fn read(lines: &[String]) -> Option<Run> {
    let line = lines.iter().find_map(|line| line.strip_prefix("speed "))?;
    let number = |text: &str| text.split_whitespace().next()?.parse::<f64>().ok();
    let (speed, rest) = line.split_once(": ")?;
    let checks = lines.iter().find_map(|line| line.strip_prefix("checked: "))?;
    Some(Run {
        speed: number(speed)?,
        virtual_seconds: number(rest)?,
        datagrams: number(rest.split_once("s, ")?.1)?,
        checks: checks.to_owned(),
    })
}

/// The whole page. Written by the command: what it says about itself belongs here and not there.
fn page(arguments: &str, runs: &[Run], figures: &[Figure]) -> String {
    let speeds: Vec<String> = runs.iter().map(|run| rounded(run.speed)).collect();
    let mut page = format!(
        "# How fast conferences are simulated

Written by `cargo xtask bench sim`. {}; {}; parvis {}.

`parvis-sim {arguments}`, release build, one thread, {} runs one after the other. {PEOPLE} people meet in one room, on lines that
lose 2 of 1,000 datagrams each way and shake by 5 ms. Five of them speak all the time, one shows a camera in three layers, everyone
hears and sees all of it and sends four data messages a second to all others. The server is the real one, from signalling to
SRTP; the clients decrypt, put together and decode all that they get. Every checker looks on, the one of the server's memory
too. The time is that of the whole run, joining and leaving included; virtual time counts while people are there.

{}
The runs, in their order: {}.

What was looked at in each run: {}.
",
        figures::date(),
        figures::machine_line(),
        figures::version(),
        runs.len(),
        figures::table(figures),
        speeds.join(", "),
        runs.first().map_or("nothing", |run| run.checks.as_str()),
    );
    if runs
        .windows(2)
        .any(|pair| (pair[0].datagrams, &pair[0].checks) != (pair[1].datagrams, &pair[1].checks))
    {
        let _ =
            writeln!(page, "\nThe runs were not the same, which they must be: all of them have one seed.");
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(speed: f64) -> Run {
        let lines = [
            "  1.000 s: c1 was told to leave".to_owned(),
            format!("speed {speed}: 60.0 s of virtual time in 2.6 s, 1200000 datagrams sent"),
            "checked: rights 4, nonces 5".to_owned(),
        ];
        read(&lines).unwrap()
    }

    #[test]
    fn reads_what_a_run_says() {
        let expected = Run {
            speed: 23.112,
            virtual_seconds: 60.0,
            datagrams: 1_200_000.0,
            checks: "rights 4, nonces 5".to_owned(),
        };
        assert_eq!(run(23.112), expected);
        assert_eq!(read(&["speed 23.112: 60.0 s".to_owned()]), None);
    }

    #[test]
    fn the_page_has_spread_and_target_and_says_when_runs_differ() {
        let mut runs = vec![run(18.0), run(19.0), run(26.0)];
        let text = page("--meeting 50", &runs, &measure(&runs));
        for part in [
            "`parvis-sim --meeting 50`",
            "| 50 people: virtual time in real time | s/s | 19 | 18 | 26 | 3 | ≥ 20 | NO |",
            "| datagrams of the server in a second of virtual time | 1/s | 20000 | 20000 | 20000 | 3 |",
            "The runs, in their order: 18, 19, 26.",
            "rights 4, nonces 5",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert!(!text.contains("not the same"));
        runs[1].datagrams += 1.0;
        assert!(page("", &runs, &measure(&runs)).contains("not the same"));
    }
}
