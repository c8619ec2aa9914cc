// SPDX-License-Identifier: EUPL-1.2
//! What processes take of the machine, as Linux tells it (proc_pid_stat(5), proc_pid_status(5), proc_pid_smaps(5)).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::Fallible;

/// Of the processes' times (`sysconf(_SC_CLK_TCK)`, which Linux has told as 100 to all programs since 2.6).
const TICKS_PER_SECOND: f64 = 100.0;

/// What a process has taken so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// Processor time in seconds, in user space and in the kernel.
    pub(crate) cpu: f64,
    /// The most memory it ever had, in bytes; of several processes what they have now, with each shared page once.
    pub(crate) bytes: u64,
}

/// Of one process.
pub(crate) fn of(process: u32) -> Fallible<Usage> {
    let place = PathBuf::from(format!("/proc/{process}"));
    let status = fs::read_to_string(place.join("status"))?;
    Ok(Usage { cpu: cpu(&place)?, bytes: kib(&status, "VmHWM:")? << 10 })
}

/// Of these processes and all that they started, and so on.
pub(crate) fn of_all(processes: &[u32]) -> Fallible<Usage> {
    let mut parents = BTreeMap::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(process) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // Some are gone by now.
        if let Ok(fields) = fields(&entry.path()) {
            parents.insert(process, fields.get(1).and_then(|parent| parent.parse::<u32>().ok()).unwrap_or(0));
        }
    }
    let is_ours = |process: &u32| {
        let mut process = *process;
        while process > 1 && !processes.contains(&process) {
            process = parents.get(&process).copied().unwrap_or(0);
        }
        process > 1
    };
    let mut all = Usage::default();
    for process in parents.keys().filter(|process| is_ours(process)) {
        let place = PathBuf::from(format!("/proc/{process}"));
        let memory = fs::read_to_string(place.join("smaps_rollup")).unwrap_or_default();
        all.cpu += cpu(&place).unwrap_or_default();
        all.bytes += kib(&memory, "Pss:").unwrap_or_default() << 10;
    }
    Ok(all)
}

/// From the third on.
fn fields(place: &Path) -> Fallible<Vec<String>> {
    let stat = fs::read_to_string(place.join("stat"))?;
    // The name may have spaces; what follows its closing bracket begins with the third field.
    let (_, after) = stat.rsplit_once(')').ok_or("no line of proc_pid_stat")?;
    Ok(after.split_whitespace().map(str::to_owned).collect())
}

fn cpu(place: &Path) -> Fallible<f64> {
    let ticks = fields(place)?.into_iter().skip(11).take(2).map(|ticks| ticks.parse::<f64>());
    Ok(ticks.sum::<Result<f64, _>>()? / TICKS_PER_SECOND)
}

fn kib(text: &str, key: &str) -> Fallible<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(key)).ok_or_else(|| format!("no {key}"))?;
    Ok(value.trim().trim_end_matches(" kB").parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_takes_something() {
        let usage = of(std::process::id()).expect("Linux tells");
        assert!(usage.bytes > 1 << 20, "{usage:?}");
        let all = of_all(&[std::process::id()]).expect("Linux tells");
        assert!(all.bytes > 1 << 20 && all.cpu < 60.0, "{all:?}");
        assert_eq!(of_all(&[]).expect("Linux tells").bytes, 0);
    }
}
