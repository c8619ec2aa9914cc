// SPDX-License-Identifier: EUPL-1.2
//! How many instructions a forwarded packet costs: a fixed load played to a forwarder under callgrind, so that a busy
//! machine changes nothing. Held against the count that is kept in the tree.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::sh::{Error, Result, print, process, root, say, target};
use crate::{programs, setup};

const PACKAGE: &str = "parvis-bench-forward";
/// The load: subscribers, and seconds of 30 frames of eight packets that are counted.
const SUBSCRIBERS: &str = "20";
const SECONDS: &str = "5";
/// More than this over the kept count is a failure, in percent.
const MARGIN: f64 = 3.0;
/// Another compiler writes other code: with one, only what is worse than this is ours for sure, in percent.
const OTHER_COMPILER_MARGIN: f64 = 15.0;

/// The count in the tree.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    instructions_per_packet: f64,
    compiler: String,
    valgrind: String,
}

/// Counts, and compares; with `record`, keeps the new count.
pub(crate) fn run(record: bool) -> Result {
    setup::valgrind()?;
    let counted = count()?;
    let here = Kept {
        instructions_per_packet: (counted * 10.0).round() / 10.0,
        compiler: process("rustc", ["--version"]).output().unwrap_or_default(),
        valgrind: process("valgrind", ["--version"]).output().unwrap_or_default(),
    };
    let file = root().join("benches/forward/instructions.json");
    if record {
        let text = serde_json::to_string_pretty(&here).map_err(std::io::Error::from)?;
        std::fs::write(&file, text + "\n")?;
        say(&format!("{:.1} instructions for a forwarded packet, kept in {}", counted, file.display()));
        return Ok(());
    }
    let kept = std::fs::read(&file)
        .map_err(std::io::Error::other)
        .and_then(|text| serde_json::from_slice(&text).map_err(std::io::Error::from))
        .map_err(|error| Error::new(format!("{}: {error}", file.display())))?;
    print(&verdict(&kept, &here)?);
    Ok(())
}

/// What is to be said of a count, or why it is too high.
fn verdict(kept: &Kept, here: &Kept) -> Result<String> {
    let change = 100.0 * (here.instructions_per_packet / kept.instructions_per_packet - 1.0);
    let same = kept.compiler == here.compiler && kept.valgrind == here.valgrind;
    let margin = if same { MARGIN } else { OTHER_COMPILER_MARGIN };
    let mut text = format!(
        "{:.1} instructions for a forwarded packet, {change:+.1} % of the {:.1} kept in the tree, {margin} % are allowed",
        here.instructions_per_packet, kept.instructions_per_packet
    );
    if !same {
        let [from, to] = [kept, here].map(|count| format!("{}, {}", count.compiler, count.valgrind));
        text.push_str(&format!(" (counted with {from}; here: {to})"));
    }
    if change <= margin {
        return Ok(text);
    }
    text.push_str(": if it must be, `cargo xtask bench instructions --record` keeps the new count");
    Err(Error::new(text))
}

/// Instructions for each media packet that leaves.
fn count() -> Result<f64> {
    let program = programs::optimised(PACKAGE)?;
    let out: PathBuf = target().join("callgrind.out");
    let mut line = String::new();
    process(
        "valgrind",
        [
            "--quiet".to_owned(),
            "--tool=callgrind".to_owned(),
            "--collect-atstart=no".to_owned(),
            "--toggle-collect=*steady_input*".to_owned(),
            format!("--callgrind-out-file={}", out.display()),
            program.display().to_string(),
            "--path=memory".to_owned(),
            format!("--subscribers={SUBSCRIBERS}"),
            format!("--seconds={SECONDS}"),
        ],
    )
    .watch(|text| line = text.to_owned())?;
    let forwarded = serde_json::from_str::<Value>(&line).ok().and_then(|line| line["forwarded"].as_u64());
    let forwarded = forwarded.filter(|forwarded| *forwarded > 0);
    let forwarded = forwarded.ok_or_else(|| Error::new(format!("nothing was forwarded: {line}")))?;
    let total = total(&std::fs::read_to_string(&out)?)
        .ok_or_else(|| Error::new(format!("{}: no instruction was counted", out.display())))?;
    Ok(total as f64 / forwarded as f64)
}

/// The sum in callgrind's output: `totals: 123`.
fn total(text: &str) -> Option<u64> {
    let line = text.lines().rev().find_map(|line| line.strip_prefix("totals: "))?;
    line.trim().parse().ok().filter(|total| *total > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(instructions_per_packet: f64, compiler: &str) -> Kept {
        Kept { instructions_per_packet, compiler: compiler.to_owned(), valgrind: "v".to_owned() }
    }

    #[test]
    fn three_percent_more_is_too_much_and_another_compiler_is_given_more_room() {
        let kept = counted(1000.0, "a");
        assert!(verdict(&kept, &counted(1029.0, "a")).is_ok());
        assert!(verdict(&kept, &counted(900.0, "a")).is_ok());
        let error = verdict(&kept, &counted(1031.0, "a")).unwrap_err().to_string();
        assert!(error.contains("+3.1 %") && error.contains("--record"), "{error}");
        let text = verdict(&kept, &counted(1100.0, "b")).unwrap();
        assert!(text.contains("counted with a, v; here: b, v"), "{text}");
        assert!(verdict(&kept, &counted(1160.0, "b")).is_err());
    }

    #[test]
    fn the_total_is_read_and_nothing_counted_is_no_total() {
        assert_eq!(total("events: Ir\nfn=a\n1 2\ntotals: 123\n"), Some(123));
        assert_eq!(total("totals: 0\n"), None);
        assert_eq!(total(""), None);
    }
}
