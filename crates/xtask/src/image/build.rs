// SPDX-License-Identifier: EUPL-1.2
//! mkosi over `appliance/` and the package.

use std::path::{Path, PathBuf};

use super::keys::{self, KEYS};
use super::tools::{Tools, mirror};
use super::{VERSION, folder};
use crate::deb;
use crate::sh::{Error, Result, process, root};

/// What differs from one image to the other.
pub(super) struct Wanted<'a> {
    /// The folder in `target/image` that it comes into.
    pub(super) name: &'a str,
    pub(super) version: &'a str,
    /// What tests have built, instead of a release.
    pub(super) debug: bool,
    /// With the owner's keys. Two that are signed differ by the time of the signature.
    pub(super) signed: bool,
    /// A server that does not start, for the trial of what goes back.
    pub(super) broken: bool,
}

impl Wanted<'_> {
    /// What is built without anything said.
    pub(super) fn first(debug: bool) -> Wanted<'static> {
        Wanted { name: "out", version: VERSION, debug, signed: true, broken: false }
    }
}

/// Builds it, and gives the file of the whole disk.
pub(super) fn image(tools: &Tools, wanted: &Wanted) -> Result<PathBuf> {
    let Wanted { name, version, .. } = wanted;
    let work = folder().join("work");
    let _ = std::fs::remove_dir_all(&work);
    let extra = work.join("mkosi.extra");
    process("cp", ["-a".as_ref(), root().join("appliance").as_os_str(), work.as_os_str()]).run()?;
    // What the package installs, without dpkg: its database is not on the image, and the list of packages is mkosi's own.
    let installed = work.join("installed");
    deb::lay_out(wanted.debug, &installed)?;
    process("cp", ["-a".as_ref(), installed.join(".").as_os_str(), extra.as_os_str()]).run()?;
    if wanted.broken {
        let drop_in = extra.join("usr/lib/systemd/system/parvis.service.d/90-broken.conf");
        std::fs::write(drop_in, "[Service]\nExecStart=\nExecStart=/bin/false\n")?;
    }
    if wanted.signed {
        keys::ready(tools)?;
        keys::install(&extra)?;
    }
    // A disk that nobody writes to has its modes from the build.
    process("chmod", ["-R".as_ref(), "go-w".as_ref(), extra.as_os_str()]).run()?;
    let sources = work.join("mkosi.sandbox/etc/apt/sources.list.d");
    std::fs::create_dir_all(&sources)?;
    let keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
    let archive =
        format!("Types: deb\nURIs: {}\nSuites: trixie\nComponents: main\nSigned-By: {keyring}\n", mirror()?);
    std::fs::write(sources.join("mkosi.sources"), archive)?;
    std::fs::create_dir_all(folder().join("cache"))?;
    let epoch = deb::epoch()?;
    let mut options = vec![
        format!("--image-version={version}"),
        format!("--output-directory=/w/{name}"),
        format!("--source-date-epoch={epoch}"),
    ];
    if wanted.signed {
        options.push("--secure-boot=yes".to_owned());
        options.push("--secure-boot-auto-enroll=no".to_owned());
        options.push(format!("--secure-boot-key={KEYS}/secure-boot.key"));
        options.push(format!("--secure-boot-certificate={KEYS}/secure-boot.crt"));
    }
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
