// SPDX-License-Identifier: EUPL-1.2
//! The owner's keys: the one that firmware starts images by, and the one that updates are signed with.
//!
//! They lie in `target/image/keys`: whoever has some puts them there, and whoever has none gets some made.

use std::path::Path;

use super::folder;
use super::tools::Tools;
use crate::sh::{Result, say};

/// Where `secure-boot.key`, `secure-boot.crt` and the keyring `gnupg` are, as seen in the tree of tools.
pub(super) const KEYS: &str = "/w/keys";
/// Whom firmware's variables say they belong to.
const OWNER: &str = "d5a4ee1c-7d0e-4d3c-8f0d-6a2f0f8b9c11";

/// Makes what is not there.
pub(super) fn ready(tools: &Tools) -> Result {
    let keys = folder().join("keys");
    if keys.join("updates.gpg").exists() {
        return Ok(());
    }
    say(&format!("no keys in {}: some are made", keys.display()));
    std::fs::create_dir_all(&keys)?;
    std::fs::write(folder().join("make-keys"), MAKE)?;
    tools.run(&["bash", "/w/make-keys"])
}

/// Writes firmware's variables that have the owner's key in them, and Secure Boot on.
pub(super) fn firmware(tools: &Tools, to: &str) -> Result {
    let certificate = format!("{KEYS}/secure-boot.crt");
    tools.run(&[
        "virt-fw-vars",
        "--input=/usr/share/OVMF/OVMF_VARS_4M.fd",
        &format!("--output={to}"),
        "--set-pk",
        OWNER,
        &certificate,
        "--add-kek",
        OWNER,
        &certificate,
        "--add-db",
        OWNER,
        &certificate,
        "--sb",
    ])
}

/// The public half of the key of updates, into the image.
pub(super) fn install(extra: &Path) -> Result {
    let to = extra.join("usr/lib/systemd");
    std::fs::create_dir_all(&to)?;
    std::fs::copy(folder().join("keys/updates.gpg"), to.join("import-pubring.gpg"))?;
    Ok(())
}

/// The last file is written last: before it is there, nothing of them is taken for whole.
const MAKE: &str = r#"set -euo pipefail
umask 077
cd /w/keys
openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj "/CN=Parvis image/" -keyout secure-boot.key -out secure-boot.crt
mkdir -p gnupg
gpg --homedir gnupg --batch --passphrase '' --quick-generate-key 'Parvis updates' ed25519 sign never
gpg --homedir gnupg --batch --export > updates.new
mv updates.new updates.gpg
"#;
