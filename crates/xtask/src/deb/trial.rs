// SPDX-License-Identifier: EUPL-1.2
//! Debian systems in which the package is installed, upgraded, downgraded and purged, and one that boots with it.
//!
//! `mmdebstrap` makes each, once, and a copy is used and thrown away. In a namespace of its own it has its own processes, its own network (loopback
//! alone) and its own service manager; nothing of this machine is reached from there but the files that were copied.

use std::fs;
use std::path::{Path, PathBuf};

use crate::setup;
use crate::sh::{Error, Result, process, say, target};

/// The releases that the package is for.
const SUITES: [&str; 2] = ["bookworm", "trixie"];
/// What makes and enters a system.
const TOOLS: &[&str] = &["mmdebstrap", "util-linux"];
/// What a small server has. The rest is what the package depends on.
const INCLUDED: &str = "systemd,systemd-sysv,dbus,procps,ca-certificates";
/// Where the packages and scripts lie within.
const WITHIN: &str = "srv/trial";
/// How long a boot with all that is tried may take.
const BOOT_SECONDS: &str = "600";

/// Tries it in all of them, or in one.
pub(super) fn run(old: &Path, new: &Path, only: Option<&str>) -> Result {
    setup::debian(TOOLS)?;
    for suite in SUITES.iter().filter(|suite| only.is_none_or(|only| only == **suite)) {
        let system = system(suite, old, new)?;
        say(&format!("---- {suite}: install, upgrade, downgrade, remove, purge"));
        inside(&system, &format!("exec /bin/bash /{WITHIN}/trial.sh /{WITHIN} fetch"), true)?;
        say(&format!("---- {suite}: boot"));
        boot(&system)?;
        fs::remove_dir_all(&system)?;
    }
    Ok(())
}

/// A copy of a system of this release, with the packages in it.
fn system(suite: &str, old: &Path, new: &Path) -> Result<PathBuf> {
    let kept = target().join(format!("deb/{suite}.tar"));
    if !kept.is_file() {
        let made = kept.with_extension("part.tar");
        let include = format!("--include={INCLUDED}");
        let options = ["--variant=minbase", include.as_str(), suite];
        let made_at = made.to_string_lossy().into_owned();
        process("mmdebstrap", options.into_iter().chain([made_at.as_str()])).run()?;
        fs::rename(&made, &kept)?;
    }
    let system = target().join(format!("deb/{suite}"));
    if system.exists() {
        fs::remove_dir_all(&system)?;
    }
    fs::create_dir_all(&system)?;
    let places = [kept.to_string_lossy().into_owned(), system.to_string_lossy().into_owned()];
    process("tar", ["--extract", "--numeric-owner", "--file", &places[0], "--directory", &places[1]])
        .run_quietly()?;
    let within = system.join(WITHIN);
    fs::create_dir_all(&within)?;
    fs::copy(old, within.join("old.deb"))?;
    fs::copy(new, within.join("new.deb"))?;
    for script in ["trial.sh", "booted.sh"] {
        fs::copy(crate::sh::root().join("configs/debian").join(script), within.join(script))?;
    }
    fs::copy("/etc/resolv.conf", system.join("etc/resolv.conf"))?;
    Ok(system)
}

/// Runs a script within, in namespaces of its own; with this machine's network, if packages have to be fetched.
fn inside(system: &Path, script: &str, network: bool) -> Result {
    let mut arguments = vec!["--mount", "--pid", "--fork", "--ipc", "--uts", "--kill-child"];
    if !network {
        arguments.push("--net");
    }
    let enter = format!(
        "set -e; cd '{0}'; mount --bind . .; cd '{0}'; mount -t proc proc proc; mount -t sysfs sysfs sys; \
         mount -t tmpfs tmpfs run; mount --rbind /dev dev; exec chroot . /bin/sh -c '{script}'",
        system.display()
    );
    arguments.extend(["/bin/sh", "-c", &enter]);
    process("unshare", arguments).run()
}

/// Boots it with a service manager of its own, which runs `booted.sh` and ends.
fn boot(system: &Path) -> Result {
    let said = system.join(WITHIN).join("said");
    let unit = format!(
        "[Unit]\nDescription=Trial\nAfter=multi-user.target\nSuccessAction=exit-force\nFailureAction=exit-force\n\n\
         [Service]\nType=oneshot\nExecStart=/bin/bash /{WITHIN}/booted.sh\nStandardOutput=file:/{WITHIN}/said\n\
         StandardError=inherit\nTimeoutStartSec={BOOT_SECONDS}\n"
    );
    let units = system.join("etc/systemd/system");
    fs::create_dir_all(units.join("multi-user.target.wants"))?;
    fs::write(units.join("trial.service"), unit)?;
    std::os::unix::fs::symlink("../trial.service", units.join("multi-user.target.wants/trial.service"))?;
    inside(system, &format!("dpkg --install /{WITHIN}/old.deb"), false)?;
    // The service manager is the first process, as on a machine: it has the namespace's processes, its own network with loopback, and a
    // hierarchy of control groups of its own. Its mounts are shared, as it makes them where it is not in a container: it mounts a unit's
    // credentials in a namespace beside that of the units, and only so do they come through.
    let enter = format!(
        "set -e; ip link set lo up; cd '{0}'; mount --bind . .; cd '{0}'; mount -t proc proc proc; mount -t sysfs sysfs sys; \
         mount -t cgroup2 cgroup2 sys/fs/cgroup; mount -t tmpfs -o mode=755 tmpfs run; mount -t tmpfs -o mode=755 tmpfs dev; \
         for node in null zero full random urandom tty; do touch dev/$node; mount --bind /dev/$node dev/$node; done; \
         mkdir -p dev/pts dev/shm; mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts dev/pts; ln -s pts/ptmx dev/ptmx; \
         ln -s /proc/self/fd dev/fd; \
         pivot_root . mnt; exec env -i container=trial PATH=/usr/sbin:/usr/bin:/sbin:/bin /bin/sh -c 'umount -l /mnt; \
         mount --make-rshared /; exec /lib/systemd/systemd --system --unit=multi-user.target --log-target=console --show-status=no'",
        system.display()
    );
    let namespaces = [
        "--mount",
        "--pid",
        "--fork",
        "--ipc",
        "--uts",
        "--net",
        "--cgroup",
        "--kill-child",
        "/bin/sh",
        "-c",
    ];
    let booted =
        process("timeout", [BOOT_SECONDS, "unshare"].into_iter().chain(namespaces).chain([enter.as_str()]))
            .run_quietly();
    let said = fs::read_to_string(&said).unwrap_or_default();
    for line in said.lines() {
        crate::sh::print(line);
    }
    match said.lines().last() {
        Some(line) if line.ends_with(" passed, 0 failed") => Ok(()),
        Some(line) => Err(Error::new(format!("in the booted system: {line}"))),
        None => booted.and(Err(Error::new("the system did not boot"))),
    }
}
