// SPDX-License-Identifier: EUPL-1.2
//! What Linux tells of a process: its time on the processor and its memory. And what we ask for ourselves.

use std::time::Duration;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

use crate::LoadError;

/// Linux counts processor time for its users in hundredths of a second (USER_HZ), whatever its own clock does.
const TICKS_PER_SECOND: f64 = 100.0;

/// What a process has used up.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Usage {
    /// Time on the processor, in user mode and in the kernel, all threads.
    pub(crate) cpu: Duration,
    /// Resident memory in bytes.
    pub(crate) resident_bytes: u64,
}

/// Reads the usage of a process; `None` when it is gone.
pub(crate) fn usage(pid: u32) -> Option<Usage> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    Some(Usage {
        cpu: Duration::from_secs_f64(ticks(&stat)? as f64 / TICKS_PER_SECOND),
        resident_bytes: resident(&status)?,
    })
}

/// User and system time, fields 14 and 15 of `/proc/PID/stat`. The second field is the program's name in parentheses,
/// which may contain anything.
fn ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
}

/// How long this thread has been on a processor.
pub(crate) fn own_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// Keeps this process, with all threads that it starts from now on, on one core.
pub(crate) fn pin(core: usize) -> Result<(), LoadError> {
    let mut only = CpuSet::new();
    only.set(core)
        .and_then(|()| sched_setaffinity(Pid::from_raw(0), &only))
        .map_err(|errno| LoadError::Core { core, source: errno.into() })
}

/// Makes sure that so many files can be open.
pub(crate) fn allow_files(wanted: u64) -> Result<(), LoadError> {
    let system = |errno: nix::Error| LoadError::System("ask for the limit of open files", errno.into());
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(system)?;
    if soft >= wanted {
        return Ok(());
    }
    let granted = setrlimit(Resource::RLIMIT_NOFILE, wanted, hard.max(wanted))
        .or_else(|_| setrlimit(Resource::RLIMIT_NOFILE, wanted.min(hard), hard));
    if granted.is_err() || hard < wanted && getrlimit(Resource::RLIMIT_NOFILE).map_err(system)?.0 < wanted {
        return Err(LoadError::Files { wanted, allowed: hard });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194304 1 2 3 4 250 17 0 0 20 0 9 0 100 5 6";
        assert_eq!(ticks(stat), Some(267));
        assert_eq!(ticks("nonsense"), None);
        assert_eq!(resident("Name:\tx\nVmRSS:\t   2048 kB\n"), Some(2 << 20));
    }

    #[test]
    fn a_process_that_works_uses_time_and_memory() {
        let before = usage(std::process::id()).unwrap();
        let start = own_time();
        let mut sum = 0_u64;
        while own_time() - start < Duration::from_millis(50) {
            sum = std::hint::black_box(sum + 1);
        }
        let after = usage(std::process::id()).unwrap();
        assert!(after.cpu - before.cpu >= Duration::from_millis(30), "{before:?} {after:?}");
        assert!(after.resident_bytes > 1 << 20);
        assert_eq!(usage(u32::MAX), None);
    }
}
