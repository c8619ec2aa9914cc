// SPDX-License-Identifier: EUPL-1.2
//! From the start of `parvis serve` to the line that says that it is ready, and what it takes then, empty.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::Options;
use super::figures::{self, Figure, Target};
use crate::sh::{Error, Result, process, target};

/// What both are to reach.
const MILLISECONDS: f64 = 300.0;
const MIB: f64 = 60.0;
/// Starts; the first one makes its database, the others find it.
const FULL: usize = 20;
const QUICK: usize = 5;
/// What is loaded late is loaded by then.
const SETTLE: Duration = Duration::from_secs(1);

/// Runs it against a release build.
pub(super) fn run(options: &Options) -> Result {
    let packages = ["build", "--release", "--locked", "--package", "parvis"];
    process("cargo", packages).run()?;
    let folder = target().join("bench-start");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    let runs = if options.quick { QUICK } else { FULL };
    let (mut first, mut later, mut resident) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..=runs {
        let (milliseconds, mib) = start(&target().join("release/parvis"), &folder)?;
        if number == 0 { &mut first } else { &mut later }.push(milliseconds);
        resident.push(mib);
    }
    let figures = [
        Figure::of("start to ready, the database is made", "ms", &first, Some(Target::AtMost(MILLISECONDS))),
        Figure::of("start to ready", "ms", &later, Some(Target::AtMost(MILLISECONDS))),
        Figure::of("resident, empty", "MiB", &resident, Some(Target::AtMost(MIB))),
    ];
    let figures: Vec<Figure> = figures.into_iter().flatten().collect();
    figures::report(&figures, &BTreeMap::new(), options.json_file()?.as_deref())
}

/// Starts it once; gives milliseconds until it is ready, and MiB.
fn start(program: &Path, data: &Path) -> Result<(f64, f64)> {
    let begun = Instant::now();
    let mut child = Command::new(program)
        .args(["serve", "--dev", "--http", "127.0.0.1:0", "--metrics", "127.0.0.1:0"])
        .args(["--media-ports", "0", "--tcp-port", "0", "--data"])
        .arg(data)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut line = String::new();
    let output = child.stdout.take().map(BufReader::new);
    let read = output.map(|mut output| output.read_line(&mut line)).transpose();
    let milliseconds = begun.elapsed().as_secs_f64() * 1_000.0;
    std::thread::sleep(SETTLE);
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    child.kill()?;
    child.wait()?;
    read?;
    if !line.starts_with("ready ") {
        return Err(Error::new(format!("{} did not get ready", program.display())));
    }
    let mib = resident(&status).ok_or_else(|| Error::new("the kernel does not say what it takes"))?;
    Ok((milliseconds, mib))
}

/// `VmRSS:     51234 kB` in MiB.
fn resident(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<f64>().ok()? / 1_024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_kernel_says() {
        assert_eq!(resident("Name:\tparvis\nVmRSS:\t   61440 kB\n"), Some(60.0));
        assert_eq!(resident(""), None);
    }
}
