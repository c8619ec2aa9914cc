// SPDX-License-Identifier: EUPL-1.2
//! An update: what `systemd-sysupdate` fetches into the other slot, and its signed list.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::folder;
use super::keys::KEYS;
use super::tools::Tools;
use crate::sh::{Error, Result};

/// A partition of a disk's file.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Part {
    /// In sectors.
    pub(super) start: u64,
    pub(super) uuid: String,
    #[serde(default)]
    pub(super) name: String,
}

#[derive(Deserialize)]
struct Listed {
    partitiontable: Table,
}

#[derive(Deserialize)]
struct Table {
    partitions: Vec<Part>,
}

/// The partition of that name, of a disk's file in `target/image`.
pub(super) fn part(tools: &Tools, disk: &Path, name: &str) -> Result<Part> {
    let inside = disk.strip_prefix(folder()).unwrap_or(disk);
    let said = tools.output(&["sfdisk", "--json", &format!("/w/{}", inside.display())])?;
    let listed: Listed = serde_json::from_str(&said)?;
    let found = listed.partitiontable.partitions.into_iter().find(|part| part.name == name);
    found.ok_or_else(|| Error::new(format!("{} has no partition {name}", disk.display())))
}

/// Lays the update of an image out beside it, in `updates`, and gives that folder.
pub(super) fn lay_out(tools: &Tools, image: &Path, version: &str) -> Result<PathBuf> {
    let beside = image.parent().unwrap_or(image);
    let name = beside.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let root = part(tools, image, &format!("parvis_{version}"))?.uuid.to_lowercase();
    let verity = part(tools, image, &format!("parvis_{version}_verity"))?.uuid.to_lowercase();
    std::fs::write(folder().join("make-update"), MAKE)?;
    tools.run(&["bash", "/w/make-update", &name, version, &root, &verity, KEYS])?;
    Ok(beside.join("updates"))
}

/// Partitions go with their identities in their names: by these the kernel's hash finds them.
const MAKE: &str = r#"set -euo pipefail
name=$1 version=$2 root=$3 verity=$4 keys=$5
cd "/w/$name"
rm -rf updates && mkdir updates
gzip -n -1 < "parvis_$version.root.raw" > "updates/parvis_${version}_$root.root.raw.gz"
gzip -n -1 < "parvis_$version.verity.raw" > "updates/parvis_${version}_$verity.verity.raw.gz"
cp "parvis_$version.efi" updates/
cd updates
sha256sum -- * > ../SHA256SUMS && mv ../SHA256SUMS .
gpg --homedir "$keys/gnupg" --batch --passphrase '' --pinentry-mode loopback --detach-sign --output SHA256SUMS.gpg SHA256SUMS
gpgconf --homedir "$keys/gnupg" --kill all
"#;
