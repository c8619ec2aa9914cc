// SPDX-License-Identifier: EUPL-1.2
//! What the machine is like: its clock, its kernel's settings, its limits, its disk.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use nix::sys::resource::{Resource, getrlimit};
use nix::sys::statvfs::{FsFlags, statvfs};

use super::Line;
use crate::serve::Settings;

/// What new keys are made from; a kernel since 5.18 always says 256 once it has begun.
const ENTROPY_BITS: u64 = 128;
/// Connections that may wait at the door.
const BACKLOG: u64 = 1_024;
/// Open files below which a crowd finds the door shut.
const FILES: u64 = 16_384;
/// Files of the data directory that are looked at.
const MAX_ENTRIES: usize = 256;
/// By so much a clock may be put back when it is kept right.
const CLOCK_SLACK: Duration = Duration::from_secs(5);
/// What a database and a log need to go on.
const FREE_BYTES: u64 = 1 << 30;

/// All of them.
pub(super) fn lines(settings: &Settings) -> Vec<Line> {
    let config = &settings.config;
    let buffer = config.media.socket_buffer_bytes.size() as u64;
    vec![
        clock(synchronised()),
        set_back(newest(&config.data.directory), SystemTime::now()),
        entropy(number("/proc/sys/kernel/random/entropy_avail")),
        buffers(buffer, number("/proc/sys/net/core/rmem_max"), number("/proc/sys/net/core/wmem_max")),
        backlog(number("/proc/sys/net/core/somaxconn")),
        ports(
            (config.media.udp_ports.first, config.media.udp_ports.last),
            &fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default(),
        ),
        files(getrlimit(Resource::RLIMIT_NOFILE).map(|(_, hard)| hard).unwrap_or_default()),
        disk(&config.data.directory),
    ]
}

/// Whether somebody keeps the clock right; `None` where nobody says.
fn synchronised() -> Option<bool> {
    let output =
        Command::new("timedatectl").args(["show", "--property=NTPSynchronized", "--value"]).output().ok()?;
    match String::from_utf8_lossy(&output.stdout).trim() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

fn clock(synchronised: Option<bool>) -> Line {
    let (what, tried) = ("clock", "asked timedatectl whether the clock is kept right");
    let remedy = "run chrony or systemd-timesyncd: tokens and certificates hold from when to when";
    match synchronised {
        Some(true) => Line::good(what, tried, "it is"),
        Some(false) => Line::poor(what, tried, "it is not", remedy),
        None => Line::poor(what, tried, "nobody says", remedy),
    }
}

/// When anything was last written in the data directory, by the clock as it was then.
fn newest(directory: &Path) -> Option<SystemTime> {
    let entries = fs::read_dir(directory).ok()?.take(MAX_ENTRIES).flatten();
    entries.filter_map(|entry| entry.metadata().ok()?.modified().ok()).max()
}

/// A clock that shows less than it showed before was set back, and tokens of that hour begin later than now.
fn set_back(written: Option<SystemTime>, now: SystemTime) -> Line {
    let (what, tried) = ("clock (past)", "compared the clock with when the server's data was last written");
    let Some(written) = written else { return Line::skipped(what, "there is none yet") };
    match written.duration_since(now) {
        Ok(ahead) if ahead > CLOCK_SLACK => Line::bad(
            what,
            tried,
            format!("that is {} s from now: the clock was set back, or was wrong then", ahead.as_secs()),
            "set it right (timedatectl, chronyc makestep); tokens that were issued meanwhile are refused until it has caught up",
        ),
        Ok(_) | Err(_) => Line::good(what, tried, "it has gone forth since"),
    }
}

fn entropy(bits: Option<u64>) -> Line {
    let (what, tried) = ("entropy", "read kernel.random.entropy_avail");
    match bits {
        Some(bits) if bits >= ENTROPY_BITS => Line::good(what, tried, format!("{bits} bits")),
        Some(bits) => Line::poor(
            what,
            tried,
            format!("{bits} bits"),
            "give the virtual machine a random number device (virtio-rng)",
        ),
        None => Line::skipped(what, "the kernel does not say"),
    }
}

fn buffers(wanted: u64, receive: Option<u64>, send: Option<u64>) -> Line {
    let (what, tried) = ("socket buffers", "read net.core.rmem_max and net.core.wmem_max");
    let (Some(receive), Some(send)) = (receive, send) else {
        return Line::skipped(what, "the kernel does not say");
    };
    let seen = format!("{receive} and {send} bytes, {wanted} are asked for (media.socket_buffer_bytes)");
    match receive.min(send) >= wanted {
        true => Line::good(what, tried, seen),
        false => Line::poor(
            what,
            tried,
            seen,
            format!(
                "sysctl net.core.rmem_max={0} net.core.wmem_max={0}; the package does so in /usr/lib/sysctl.d",
                wanted * 2
            ),
        ),
    }
}

fn backlog(limit: Option<u64>) -> Line {
    let (what, tried) = ("backlog", "read net.core.somaxconn");
    match limit {
        Some(limit) if limit >= BACKLOG => Line::good(what, tried, limit.to_string()),
        Some(limit) => Line::poor(what, tried, limit.to_string(), "sysctl net.core.somaxconn=4096"),
        None => Line::skipped(what, "the kernel does not say"),
    }
}

/// Ports that the kernel gives to whoever asks for any may be taken when the server starts.
fn ports((first, last): (u16, u16), range: &str) -> Line {
    let (what, tried) = ("media ports", "compared media.udp_ports with net.ipv4.ip_local_port_range");
    let mut given = range.split_whitespace().filter_map(|port| port.parse::<u16>().ok());
    let (Some(low), Some(high)) = (given.next(), given.next()) else {
        return Line::skipped(what, "the kernel does not say");
    };
    let seen = format!("{first}-{last} against {low}-{high}");
    match first == 0 || last < low || first > high {
        true => Line::good(what, tried, seen),
        false => Line::poor(
            what,
            tried,
            format!("{seen}: they overlap, and another program may have one first"),
            format!("sysctl net.ipv4.ip_local_reserved_ports={first}-{last}"),
        ),
    }
}

fn files(limit: u64) -> Line {
    let (what, tried) = ("open files", "read the hard limit of this process");
    match limit >= FILES {
        true => Line::good(what, tried, limit.to_string()),
        false => Line::poor(
            what,
            tried,
            limit.to_string(),
            format!("LimitNOFILE={FILES} or more for the server; each participant takes one or two"),
        ),
    }
}

fn disk(directory: &Path) -> Line {
    let (what, tried) = ("disk", format!("looked at {}", directory.display()));
    // What is not there yet is made on the disk of what is above it.
    let there = directory.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("."));
    match statvfs(there) {
        Err(errno) => Line::bad(what, tried, errno.to_string(), "set data.directory to one that is there"),
        Ok(disk) if disk.flags().contains(FsFlags::ST_RDONLY) => Line::bad(
            what,
            tried,
            "it can only be read",
            "set data.directory to a place that can be written to",
        ),
        Ok(disk) => {
            // Both are 64 bits on what we run on, and need not be elsewhere.
            #[allow(clippy::unnecessary_cast, clippy::useless_conversion)]
            let free = disk.blocks_available() as u64 * disk.fragment_size() as u64;
            let seen = format!("{} MiB are free", free >> 20);
            match free >= FREE_BYTES {
                true => Line::good(what, tried, seen),
                false => Line::poor(what, tried, seen, "make room: the database and recordings grow there"),
            }
        }
    }
}

fn number(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn what_is_too_small_is_named_with_its_remedy() {
        assert_eq!(clock(Some(true)).state, State::Good);
        assert_eq!((clock(Some(false)).state, clock(None).state), (State::Poor, State::Poor));
        assert_eq!((entropy(Some(256)).state, entropy(Some(8)).state), (State::Good, State::Poor));
        let small = buffers(4_194_304, Some(212_992), Some(8_388_608));
        assert_eq!(small.state, State::Poor);
        assert!(small.remedy.unwrap().contains("net.core.rmem_max=8388608"));
        assert_eq!(buffers(4_194_304, Some(4_194_304), Some(4_194_304)).state, State::Good);
        assert_eq!((backlog(Some(128)).state, backlog(Some(4_096)).state), (State::Poor, State::Good));
        assert_eq!((files(1_024).state, files(262_144).state), (State::Poor, State::Good));
    }

    #[test]
    fn a_clock_that_was_set_back_is_seen_by_what_was_written_before() {
        let data = std::env::temp_dir().join(format!("parvis-clock-{:016x}", rand::random::<u64>()));
        assert_eq!(set_back(newest(&data), SystemTime::now()).state, State::Skipped);
        fs::create_dir(&data).unwrap();
        fs::write(data.join("old"), "").unwrap();
        let file = fs::File::create(data.join("parvis.db")).unwrap();
        let now = SystemTime::now();
        assert_eq!(set_back(newest(&data), now + Duration::from_secs(1)).state, State::Good);
        file.set_modified(now + Duration::from_secs(3_600)).unwrap();
        let line = set_back(newest(&data), now);
        assert_eq!(line.state, State::Bad);
        assert!(line.seen.starts_with("that is 3600 s from now: the clock was set back"), "{}", line.seen);
        assert!(line.remedy.unwrap().contains("tokens"));
        fs::remove_dir_all(&data).unwrap();
    }

    #[test]
    fn media_ports_that_the_kernel_gives_away_are_told() {
        assert_eq!(ports((7_882, 7_945), "32768\t60999\n").state, State::Good);
        assert_eq!(ports((60_000, 61_000), "32768\t60999\n").state, State::Poor);
        assert_eq!(ports((0, 0), "1024 65535").state, State::Good, "the kernel gives them all");
        assert_eq!(ports((7_882, 7_945), "").state, State::Skipped);
    }

    #[test]
    fn a_disk_is_looked_at_where_the_directory_will_be() {
        let line = disk(Path::new("/dev/shm/not/there/yet"));
        assert!(line.seen.contains("MiB are free"), "{line:?}");
        let line = disk(Path::new("/proc/sys/nowhere"));
        assert!(matches!(line.state, State::Poor | State::Bad), "{line:?}");
    }
}
