// SPDX-License-Identifier: EUPL-1.2
//! A tree of Debian 13 with what builds and boots images, made once.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::folder;
use crate::setup;
use crate::sh::{Error, Result, process, root, say};

const RELEASE: &str = "trixie";
/// What is installed in it.
const PACKAGES: &[&str] = &[
    "apt",
    "ca-certificates",
    "cryptsetup-bin",
    "curl",
    "debian-archive-keyring",
    "dosfstools",
    "e2fsprogs",
    "erofs-utils",
    "fdisk",
    "gpg",
    "gpg-agent",
    "libtss2-tcti-device0t64",
    "mkosi",
    "mtools",
    "openssl",
    "ovmf",
    "python3",
    "python3-virt-firmware",
    "qemu-system-x86",
    "qemu-utils",
    "sbsigntool",
    "swtpm",
    "systemd-boot",
    "systemd-boot-efi",
    "systemd-repart",
    "systemd-ukify",
    "zstd",
];

/// The tree.
pub(super) struct Tools(PathBuf);

impl Tools {
    /// Makes it, where it is not there or was made of other packages.
    pub(super) fn ready() -> Result<Tools> {
        let tree = folder().join("tools");
        let (listed, stamp) = (PACKAGES.join(","), tree.join(".packages"));
        if std::fs::read_to_string(&stamp).is_ok_and(|made| made == listed) {
            return Ok(Tools(tree));
        }
        let _ = std::fs::remove_dir_all(&tree);
        setup::debian(&["mmdebstrap", "uidmap"])?;
        say(&format!("making a tree of Debian {RELEASE} with what builds images, in {}", tree.display()));
        std::fs::create_dir_all(folder())?;
        let include = format!("--include={listed}");
        let to = tree.to_string_lossy().into_owned();
        process("mmdebstrap", ["--quiet", "--variant=minbase", &include, RELEASE, &to, &mirror()?]).run()?;
        std::fs::write(stamp, listed)?;
        Ok(Tools(tree))
    }

    /// Runs a command in it; `target/image` is `/w` there.
    pub(super) fn run(&self, command: &[&str]) -> Result {
        process(&root().join("appliance/enter").to_string_lossy(), self.arguments(command)).run()
    }

    /// What a command in it prints.
    pub(super) fn output(&self, command: &[&str]) -> Result<String> {
        process(&root().join("appliance/enter").to_string_lossy(), self.arguments(command))
            .output()
            .ok_or_else(|| Error::new(format!("`{}` fails in {}", command.join(" "), self.0.display())))
    }

    /// Starts one that goes on; it ends with what entered the tree.
    pub(super) fn start(&self, command: &[&str]) -> Result<Child> {
        let started = Command::new(root().join("appliance/enter"))
            .args(self.arguments(command))
            .stdin(Stdio::null())
            .spawn()?;
        Ok(started)
    }

    fn arguments(&self, command: &[&str]) -> Vec<OsString> {
        let mut arguments = vec![self.0.clone().into_os_string(), folder().into_os_string()];
        arguments.extend(command.iter().map(OsString::from));
        arguments
    }
}

/// Where this machine has its own packages from.
pub(super) fn mirror() -> Result<String> {
    let listed =
        process("apt-get", ["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]).output();
    let first = listed
        .as_deref()
        .and_then(|all| all.lines().find(|line| line.contains("debian") && !line.contains("security")));
    first
        .map(str::to_owned)
        .ok_or_else(|| Error::new("apt knows no archive of Debian's: see /etc/apt/sources.list.d"))
}
