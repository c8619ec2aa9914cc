// SPDX-License-Identifier: EUPL-1.2
//! How far the units confine what they start, by the service manager's own scale: 0 is held in every way that it knows, 10 in none. A scale
//! rewards directives and tries none of them; [`super::trial`] does that.

use std::path::Path;

use crate::sh::{Error, Result, print, process, root, target};

/// A unit, whether it may use a GPU, and tenths that it may have. The scales of systemd 252 and 257 give the same for these.
const BOUNDS: &[(&str, bool, u32)] = &[
    ("parvis.service", false, 11),
    ("parvis-media@.service", false, 9),
    ("parvis-media@.service", true, 13),
    ("parvis-compose@.service", false, 9),
    ("parvis-compose@.service", true, 13),
    ("parvis-push@.service", false, 11),
];

/// Scores all of them, prints what came of it, and fails for one that is above its bound.
pub(super) fn check() -> Result {
    let said = process("systemd-analyze", ["--version"]).output().unwrap_or_default();
    let version = version(&said).ok_or_else(|| Error::new("systemd-analyze does not say its version"))?;
    let folder = target().join("units");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    let mut above = Vec::new();
    for (unit, gpu, bound) in BOUNDS {
        let file = folder.join(named(unit, *gpu));
        std::fs::write(&file, text(unit, *gpu)?)?;
        let score = score(&file)?;
        print(&format!(
            "{:<32} {score} of 10, at most {}.{} (systemd {version})",
            named(unit, *gpu),
            bound / 10,
            bound % 10
        ));
        if tenths(&score).is_none_or(|tenths| tenths > *bound) {
            above.push(format!("{} has {score}", named(unit, *gpu)));
        }
    }
    match above.is_empty() {
        true => Ok(()),
        false => Err(Error::new(format!("above their bounds: {}", above.join(", ")))),
    }
}

fn named(unit: &str, gpu: bool) -> String {
    let (name, kind) = unit.rsplit_once('.').unwrap_or((unit, "service"));
    format!("{}{}.{kind}", name.trim_end_matches('@'), if gpu { "-gpu" } else { "" })
}

/// The unit as it is, or as it is where there is a GPU: the drop-in's lines come last.
fn text(unit: &str, gpu: bool) -> Result<String> {
    let read = |name: &str| std::fs::read_to_string(root().join("systemd").join(name));
    let text = read(unit)?;
    Ok(match gpu {
        true => format!("{text}\n{}", read("gpu.conf")?),
        false => text,
    })
}

fn score(unit: &Path) -> Result<String> {
    let arguments = ["security", "--offline=yes", "--no-pager"].map(str::to_owned);
    let arguments = arguments.into_iter().chain([unit.to_string_lossy().into_owned()]);
    let said = process("systemd-analyze", arguments).output().unwrap_or_default();
    exposure(&said).ok_or_else(|| Error::new(format!("systemd-analyze has no score for {}", unit.display())))
}

/// The score in a line such as `→ Overall exposure level for parvis.service: 1.1 OK 🙂`.
fn exposure(said: &str) -> Option<String> {
    let line = said.lines().find(|line| line.contains("exposure level"))?;
    line.rsplit_once(": ")?.1.split(' ').next().map(str::to_owned)
}

fn tenths(score: &str) -> Option<u32> {
    let (whole, tenths) = score.split_once('.')?;
    Some(whole.parse::<u32>().ok()? * 10 + tenths.parse::<u32>().ok()?)
}

/// The number in `systemd 252 (252.39-1~deb12u2)`.
fn version(said: &str) -> Option<u32> {
    said.split_whitespace().nth(1)?.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_confine_as_far_as_they_are_meant_to() {
        check().unwrap();
    }

    #[test]
    fn who_may_not_make_code_has_gstreamer_do_without() {
        for (unit, gpu, _) in BOUNDS {
            let text = text(unit, *gpu).unwrap();
            let says = |line: &str| text.lines().any(|has| has == line);
            assert!(
                says("MemoryDenyWriteExecute=yes") && says("Environment=ORC_CODE=backup,emulate"),
                "{unit}"
            );
        }
    }

    #[test]
    fn reads_what_systemd_analyze_says() {
        let said = "✓ a  b\n\n→ Overall exposure level for parvis.service: 1.1 OK 🙂\n";
        assert_eq!(exposure(said).as_deref(), Some("1.1"));
        assert_eq!((tenths("1.1"), tenths("10.0"), tenths("OK")), (Some(11), Some(100), None));
        assert_eq!((version("systemd 252 (252.39)"), version("systemd 257~rc1")), (Some(252), Some(257)));
        assert_eq!(
            (named("parvis-media@.service", true), named("parvis.service", false)),
            ("parvis-media-gpu.service".to_owned(), "parvis.service".to_owned())
        );
    }
}
