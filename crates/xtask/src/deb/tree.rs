// SPDX-License-Identifier: EUPL-1.2
//! What the package installs, and what it says of itself.
//!
//! Nothing of it lies in `/etc`: the one file there is written by `parvis setup` and belongs to whoever runs the server, so that no upgrade
//! ever asks about it. What the units say is changed by `systemctl edit`.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::sh::{Error, Result, process, root};

/// What is installed: from the checkout, to the system, with which mode.
const FILES: &[(&str, &str, u32)] = &[
    ("systemd/parvis.sysusers", "usr/lib/sysusers.d/parvis.conf", 0o644),
    ("systemd/parvis.tmpfiles", "usr/lib/tmpfiles.d/parvis.conf", 0o644),
    ("systemd/parvis.sysctl", "usr/lib/sysctl.d/60-parvis.conf", 0o644),
    ("systemd/gpu.conf", "usr/share/parvis/gpu.conf", 0o644),
    ("configs/parvis.toml", "usr/share/doc/parvis/examples/parvis.toml", 0o644),
    ("configs/debian/copyright", "usr/share/doc/parvis/copyright", 0o644),
    ("docs/install.md", "usr/share/doc/parvis/install.md", 0o644),
    ("configs/debian/postinst", "DEBIAN/postinst", 0o755),
    ("configs/debian/prerm", "DEBIAN/prerm", 0o755),
    ("configs/debian/postrm", "DEBIAN/postrm", 0o755),
];
/// The same, compressed.
const COMPRESSED: &[(&str, &str)] =
    &[("CHANGELOG.md", "usr/share/doc/parvis/changelog.gz"), ("LICENSE", "usr/share/doc/parvis/LICENSE.gz")];
const PROGRAMS: [&str; 2] = ["parvis", "parvis-media"];
/// The name under which the server starts workers as units.
const BY_UNIT: &str = "usr/lib/parvis/parvis-media-unit";
const UNITS: &str = "usr/lib/systemd/system";
const MANUAL: &str = "usr/share/man/man1";
/// What recordings are composed with, and streams are pushed by. A server that does neither does without.
const RECOMMENDED: &str = "gstreamer1.0-plugins-base, gstreamer1.0-plugins-good, gstreamer1.0-plugins-bad, gstreamer1.0-plugins-ugly, \
                           gstreamer1.0-libav, gstreamer1.0-x, fonts-dejavu-core, glib-networking";

/// Lays it out anew in `folder`, and gives the architecture that it is for.
pub(super) fn lay_out(programs: &Path, folder: &Path, version: &str) -> Result<String> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    for (from, to, mode) in FILES {
        put(&root().join(from), &folder.join(to), *mode)?;
    }
    for (from, to) in COMPRESSED {
        let to = folder.join(to);
        put(&root().join(from), &to.with_extension(""), 0o644)?;
        compress(&to.with_extension(""))?;
    }
    for program in PROGRAMS {
        let to = folder.join("usr/bin").join(program);
        put(&programs.join(program), &to, 0o755)?;
        process("strip", ["--strip-unneeded".as_ref(), to.as_os_str()]).run_quietly()?;
    }
    let by_unit = folder.join(BY_UNIT);
    make_folder(&by_unit)?;
    symlink("../../bin/parvis-media", &by_unit)?;
    for unit in units()? {
        put(&root().join("systemd").join(&unit), &folder.join(UNITS).join(&unit), 0o644)?;
    }
    let manual = folder.join(MANUAL);
    fs::create_dir_all(&manual)?;
    for program in PROGRAMS {
        let program = programs.join(program);
        process(&program.to_string_lossy(), ["man".as_ref(), manual.as_os_str()]).run_quietly()?;
    }
    for page in listed(&manual)? {
        compress(&manual.join(page))?;
    }
    let architecture = process("dpkg", ["--print-architecture"])
        .output()
        .ok_or_else(|| Error::new("dpkg does not say for which architecture it is"))?;
    let control = control(version, &architecture, &depends(folder)?, size(folder)?);
    fs::write(folder.join("DEBIAN/control"), control)?;
    set_modes(folder)?;
    sums(folder)?;
    Ok(architecture)
}

/// Has what was laid out say that it is this version.
pub(super) fn set_version(folder: &Path, version: &str) -> Result {
    let file = folder.join("DEBIAN/control");
    Ok(fs::write(&file, with_version(&fs::read_to_string(&file)?, version))?)
}

fn with_version(control: &str, version: &str) -> String {
    let line = |line: &str| match line.starts_with("Version: ") {
        true => format!("Version: {version}\n"),
        false => format!("{line}\n"),
    };
    control.lines().map(line).collect()
}

/// The units of the checkout, by name.
pub(super) fn units() -> Result<Vec<String>> {
    let kinds = [".service", ".socket", ".slice"];
    let mut units = listed(&root().join("systemd"))?;
    units.retain(|name| kinds.iter().any(|kind| name.ends_with(kind)));
    Ok(units)
}

fn listed(folder: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(folder)?.collect::<std::io::Result<Vec<_>>>()?;
    let mut names: Vec<String> =
        entries.into_iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}

fn make_folder(file: &Path) -> Result {
    Ok(file.parent().map_or(Ok(()), fs::create_dir_all)?)
}

fn put(from: &Path, to: &Path, mode: u32) -> Result {
    make_folder(to)?;
    fs::copy(from, to).map_err(|error| Error::new(format!("{}: {error}", from.display())))?;
    Ok(fs::set_permissions(to, Permissions::from_mode(mode))?)
}

/// Without a name and a time in it.
fn compress(file: &Path) -> Result {
    process("gzip", ["--best".as_ref(), "--no-name".as_ref(), "--force".as_ref(), file.as_os_str()])
        .run_quietly()
}

/// The libraries that both programs are linked with, as packages of this system.
fn depends(folder: &Path) -> Result<String> {
    // The tool wants to stand in a source package.
    let source = folder.with_extension("source");
    fs::create_dir_all(source.join("debian"))?;
    fs::write(source.join("debian/control"), "Source: parvis\n\nPackage: parvis\nArchitecture: any\n")?;
    let programs =
        PROGRAMS.iter().map(|program| folder.join("usr/bin").join(program).to_string_lossy().into_owned());
    let said =
        process("dpkg-shlibdeps", ["-O".to_owned()].into_iter().chain(programs)).within(&source).output();
    let said =
        said.ok_or_else(|| Error::new("dpkg-shlibdeps finds no package for a library of the programs"))?;
    let line = said.lines().find_map(|line| line.strip_prefix("shlibs:Depends="));
    line.map(str::to_owned).ok_or_else(|| Error::new("dpkg-shlibdeps says nothing of dependencies"))
}

/// What it takes installed, in KiB.
fn size(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    walk(folder, &mut |path| {
        bytes += fs::symlink_metadata(path)?.len().div_ceil(1_024);
        Ok(())
    })?;
    Ok(bytes)
}

/// Folders and files as root has them, whatever this user's mask is.
fn set_modes(folder: &Path) -> Result {
    walk(folder, &mut |path| {
        let metadata = fs::symlink_metadata(path)?;
        let mode = match (metadata.is_dir(), metadata.permissions().mode() & 0o100 != 0) {
            _ if metadata.is_symlink() => return Ok(()),
            (true, _) | (false, true) => 0o755,
            (false, false) => 0o644,
        };
        Ok(fs::set_permissions(path, Permissions::from_mode(mode))?)
    })
}

/// The sums by which `dpkg --verify` sees what was changed.
fn sums(folder: &Path) -> Result {
    let mut files = Vec::new();
    walk(folder, &mut |path| {
        let inside = path.strip_prefix(folder).unwrap_or(path);
        if fs::symlink_metadata(path)?.is_file() && !inside.starts_with("DEBIAN") {
            files.push(inside.to_string_lossy().into_owned());
        }
        Ok(())
    })?;
    files.sort();
    let sums = process("md5sum", &files).within(folder).output();
    let sums = sums.ok_or_else(|| Error::new("md5sum can't read what was laid out"))?;
    Ok(fs::write(folder.join("DEBIAN/md5sums"), format!("{sums}\n"))?)
}

fn walk(path: &Path, see: &mut dyn FnMut(&Path) -> Result) -> Result {
    see(path)?;
    if fs::symlink_metadata(path)?.is_dir() {
        for name in listed(path)? {
            walk(&path.join(name), see)?;
        }
    }
    Ok(())
}

fn control(version: &str, architecture: &str, depends: &str, kib: u64) -> String {
    format!(
        "Package: parvis\n\
         Version: {version}\n\
         Architecture: {architecture}\n\
         Maintainer: The Parvis contributors <parvis@localhost>\n\
         Installed-Size: {kib}\n\
         Depends: {depends}, ca-certificates, systemd (>= 252)\n\
         Recommends: {RECOMMENDED}\n\
         Section: net\n\
         Priority: optional\n\
         Description: video meetings on a server of your own\n \
         A meeting in the browser, with no account and nothing fetched from anybody else. Applications\n \
         that use the LiveKit client SDKs connect unchanged. Recordings are sealed as they are written.\n \
         .\n \
         `parvis setup meet.example.eu` writes the configuration and starts the server.\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_file_has_a_line_for_each_thing() {
        let text = control("1.2.3", "amd64", "libc6 (>= 2.36)", 77);
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(&format!("{key}: "))).unwrap();
        assert_eq!(
            (value("Version"), value("Architecture"), value("Installed-Size")),
            ("1.2.3", "amd64", "77")
        );
        assert_eq!(value("Depends"), "libc6 (>= 2.36), ca-certificates, systemd (>= 252)");
        assert_eq!(with_version(&text, "1.2.3+1"), control("1.2.3+1", "amd64", "libc6 (>= 2.36)", 77));
        // Lines of a description begin with one blank, an empty one has a dot.
        let description: Vec<&str> =
            text.lines().skip_while(|line| !line.starts_with("Description")).skip(1).collect();
        assert_eq!(description.len(), 4);
        assert!(
            description.iter().all(|line| line.starts_with(' ') && !line.starts_with("  ")),
            "{description:?}"
        );
    }

    #[test]
    fn every_file_of_the_package_is_in_the_checkout() {
        for from in FILES.iter().map(|(from, ..)| from).chain(COMPRESSED.iter().map(|(from, _)| from)) {
            assert!(root().join(from).is_file(), "{from}");
        }
        let units = units().unwrap();
        assert!(
            units.contains(&"parvis.service".to_owned())
                && units.contains(&"parvis-media@.service".to_owned())
        );
    }
}
