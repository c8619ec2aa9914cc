// SPDX-License-Identifier: EUPL-1.2
//! mediasoup, to compare with: the npm package, its worker, and the small server of ours around both.
//!
//! The package comes without its worker, and would have it fetched from elsewhere, or its libraries' sources. Neither is
//! a package's: it is built here with Debian's libraries instead. 3.12.16 is the newest for which that can be done without
//! changing it: its libsrtp (2.5.0), libuv (1.44.2), abseil (20220623) and OpenSSL (3.0) are those of Debian 12; later ones
//! have a fork of libsrtp and a compiler of FlatBuffers that no package has.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::server::{Program, Which};
use crate::setup;
use crate::sh::{Error, Result, process, root, say, target};

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
        None => worker(&package, &version)?,
        Some(named) => {
            let lacks = || Error::new(format!("{VARIABLE} names {}, which is not there", named.display()));
            std::path::absolute(&named).ok().filter(|path| path.is_file()).ok_or_else(lacks)?
        }
    };
    Ok(Program { which: Which::Mediasoup, path, version })
}

/// Builds the worker of this package, unless it is built.
fn worker(package: &Path, version: &str) -> Result<PathBuf> {
    let home = target().join(format!("mediasoup-{version}"));
    let built = home.join("build/mediasoup-worker");
    if built.is_file() {
        return Ok(built);
    }
    let tools = setup::mediasoup()?;
    say(&format!("building mediasoup's worker in {}", home.display()));
    let _ = std::fs::remove_dir_all(&home);
    std::fs::create_dir_all(&home)?;
    let copy = |from: &Path, to: &str| {
        process("cp", ["-r".as_ref(), from.as_os_str(), to.as_ref()]).within(&home).run()
    };
    copy(&package.join("worker"), "worker")?;
    // What says where to fetch sources from goes, and what takes Debian's libraries comes in its place.
    let subprojects = home.join("worker/subprojects");
    std::fs::remove_dir_all(&subprojects)?;
    copy(&root().join(FOLDER).join("libraries"), "worker/subprojects")?;
    let meson = tools.join("meson");
    let run = |arguments: &[&str]| {
        process(&meson.to_string_lossy(), arguments).within(&home).with("NINJA", tools.join("ninja")).run()
    };
    let release = ["--buildtype", "release", "-Db_ndebug=true", "--wrap-mode", "nodownload"];
    run(&[["setup", "build", "worker"].as_slice(), &release].concat())?;
    run(&["compile", "-C", "build", "mediasoup-worker"])?;
    Ok(built)
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
