// SPDX-License-Identifier: EUPL-1.2
//! mkosi over `appliance/` and the package.

use std::path::{Path, PathBuf};

use super::folder;
use super::tools::{Tools, mirror};
use crate::deb;
use crate::sh::{Error, Result, process, root};

/// Builds the image into `target/image/NAME`, and gives the file of the whole disk.
pub(super) fn image(tools: &Tools, debug: bool, name: &str) -> Result<PathBuf> {
    let work = folder().join("work");
    let _ = std::fs::remove_dir_all(&work);
    let extra = work.join("mkosi.extra");
    process("cp", ["-a".as_ref(), root().join("appliance").as_os_str(), work.as_os_str()]).run()?;
    // What the package installs, without dpkg: its database is not on the image, and the list of packages is mkosi's own.
    let installed = work.join("installed");
    deb::lay_out(debug, &installed)?;
    process("cp", ["-a".as_ref(), installed.join(".").as_os_str(), extra.as_os_str()]).run()?;
    // A disk that nobody writes to has its modes from the build.
    process("chmod", ["-R".as_ref(), "go-w".as_ref(), extra.as_os_str()]).run()?;
    let sources = work.join("mkosi.sandbox/etc/apt/sources.list.d");
    std::fs::create_dir_all(&sources)?;
    let keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
    let archive =
        format!("Types: deb\nURIs: {}\nSuites: trixie\nComponents: main\nSigned-By: {keyring}\n", mirror()?);
    std::fs::write(sources.join("mkosi.sources"), archive)?;
    std::fs::create_dir_all(folder().join("cache"))?;
    let (version, epoch) = (env!("CARGO_PKG_VERSION"), deb::epoch()?);
    let options = [
        format!("--image-version={version}"),
        format!("--output-directory=/w/{name}"),
        format!("--source-date-epoch={epoch}"),
    ];
    let mut command = vec![
        "mkosi",
        "--directory=/w/work",
        "--force",
        "--package-cache-dir=/w/cache",
        "--workspace-dir=/var/tmp",
    ];
    command.extend(options.iter().map(String::as_str));
    command.push("build");
    std::fs::create_dir_all(folder().join(name))?;
    tools.run(&command)?;
    Ok(folder().join(name).join(format!("parvis_{version}.raw")))
}

/// Two images must be the same.
pub(super) fn compare(one: &Path, other: &Path) -> Result {
    let files = [one.as_os_str(), other.as_os_str()];
    process("cmp", files)
        .run()
        .map_err(|_| Error::new(format!("{} and {} differ", one.display(), other.display())))
}
