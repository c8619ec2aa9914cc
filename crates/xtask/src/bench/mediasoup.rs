// SPDX-License-Identifier: EUPL-1.2
//! mediasoup, to compare with: the npm package, its worker, and the small server of ours around both.

use std::path::PathBuf;

use serde_json::Value;

use super::server::{Program, Which};
use crate::setup;
use crate::sh::{Error, Result, root};

/// The server, and the packages that it is made of.
const FOLDER: &str = "benches/load/mediasoup";
/// Names a worker of the same version to take instead of building one.
const VARIABLE: &str = "PARVIS_MEDIASOUP_WORKER";

/// The worker: where the variable says, or built.
pub(super) fn program() -> Result<Program> {
    setup::npm(FOLDER)?;
    let package = root().join(FOLDER).join("node_modules/mediasoup");
    let version = version(&std::fs::read_to_string(package.join("package.json"))?)?;
    let path = match std::env::var_os(VARIABLE).map(PathBuf::from) {
        None => setup::mediasoup_worker(&package)?,
        Some(named) => {
            let lacks = || Error::new(format!("{VARIABLE} names {}, which is not there", named.display()));
            std::path::absolute(&named).ok().filter(|path| path.is_file()).ok_or_else(lacks)?
        }
    };
    Ok(Program { which: Which::Mediasoup, path, version })
}

/// The server's script.
pub(super) fn script() -> PathBuf {
    root().join(FOLDER).join("server.mjs")
}

fn version(package: &str) -> Result<String> {
    let package: Value = serde_json::from_str(package)
        .map_err(|error| Error::new(format!("mediasoup's package.json: {error}")))?;
    let lacks = || Error::new("mediasoup's package.json names no version");
    package["version"].as_str().map(str::to_owned).ok_or_else(lacks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_version_is_that_of_the_package() {
        assert_eq!(version(r#"{ "name": "mediasoup", "version": "3.1.2" }"#).unwrap(), "3.1.2");
        assert!(version("{}").unwrap_err().to_string().contains("no version"));
        assert!(version("{").is_err());
    }
}
