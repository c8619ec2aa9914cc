// SPDX-License-Identifier: EUPL-1.2
//! The server that we compare with: named by the developer, or built with Go.

use std::path::{Path, PathBuf};

use super::server::{Program, Which};
use crate::sh::{Error, Result, process, target};

/// The newest version whose module builds from the Go module proxy alone.
const MODULE: &str = "github.com/livekit/livekit-server/cmd/server@v1.13.5";
/// Names a binary to compare with instead.
const VARIABLE: &str = "PARVIS_LIVEKIT_SERVER";

/// The server to compare with: where the variable says, where it was built before, or where it is built now.
pub(super) fn server() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os(VARIABLE).map(PathBuf::from) {
        let lacks = || Error::new(format!("{VARIABLE} names {}, which is not there", named.display()));
        // Processes start in folders of their own.
        return std::path::absolute(&named).ok().filter(|path| path.is_file()).ok_or_else(lacks);
    }
    let folder = target().join("peers");
    let built = folder.join("livekit-server");
    if built.is_file() {
        return Ok(built);
    }
    if process("go", ["version"]).output().is_none() {
        return Err(Error::new(format!(
            "LiveKit's server, to compare with, is built with Go, and there is no Go here: install Go, or name a server \
             of your own in {VARIABLE}"
        )));
    }
    std::fs::create_dir_all(&folder)?;
    process("go", ["install", MODULE]).within(&folder).with("GOBIN", &folder).run()?;
    // Go calls it as its folder is called.
    std::fs::rename(folder.join("server"), &built)?;
    Ok(built)
}

/// The same, with its version.
pub(super) fn program() -> Result<Program> {
    let path = server()?;
    let version = version(&path);
    Ok(Program { which: Which::LiveKit, path, version })
}

/// What it says of itself.
pub(super) fn version(binary: &Path) -> String {
    let said = process(&binary.to_string_lossy(), ["--version"]).output();
    said.map_or_else(|| "unknown".to_owned(), |said| said.replace("livekit-server version ", ""))
}
