// SPDX-License-Identifier: EUPL-1.2
//! What Linux tells of a process: its time on the processor and its memory. And what we ask for ourselves.

use std::ops::Add;
use std::time::Duration;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

use crate::LoadError;

/// What a process has used up.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Usage {
    /// Time on the processor, in user mode and in the kernel, all threads.
    pub(crate) cpu: Duration,
    /// Resident memory in bytes.
    pub(crate) resident_bytes: u64,
}

impl Add for Usage {
    type Output = Usage;

    fn add(self, other: Usage) -> Usage {
        Usage { cpu: self.cpu + other.cpu, resident_bytes: self.resident_bytes + other.resident_bytes }
    }
}

/// Reads the usage of a process; `None` when it is gone.
pub(crate) fn usage(pid: u32) -> Option<Usage> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    // The clock of a process counts in nanoseconds, `/proc/PID/stat` in hundredths of a second.
    let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(i32::try_from(pid).ok()?)).ok()?;
    Some(Usage { cpu: clock_gettime(clock).ok()?.into(), resident_bytes: resident(&status)? })
}

fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
}

/// How long this thread has been on a processor.
pub(crate) fn own_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// How long all threads of this process have been on a processor.
pub(crate) fn own_process_time() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
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
    fn a_process_that_works_uses_time_and_memory() {
        assert_eq!(resident("Name:\tx\nVmRSS:\t   2048 kB\n"), Some(2 << 20));
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
