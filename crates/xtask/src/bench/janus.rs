// SPDX-License-Identifier: EUPL-1.2
//! Janus, to compare with, from Debian's package, and the configuration that it gets.

use std::path::{Path, PathBuf};

use super::server::{Program, Which};
use crate::setup;
use crate::sh::{Error, Result, process};

/// What of Janus is needed besides itself, by the folder of each: rooms, and a way to be spoken to.
const PARTS: [(&str, &str); 2] =
    [("plugins", "libjanus_videoroom.so"), ("transports", "libjanus_websockets.so")];

/// Its binary, in the folder into which the package was unpacked.
pub(super) fn program() -> Result<Program> {
    setup::networks()?;
    let path = setup::janus()?.join("usr/bin/janus");
    if process("unshare", ["--net", "true"]).output().is_none() {
        return Err(Error::new(
            "it takes no loopback device for media, and a network of its own can only be made by root (`unshare --net`)",
        ));
    }
    let said = process(&path.to_string_lossy(), ["--help"]).output();
    let version = said.as_deref().and_then(version).ok_or_else(|| {
        Error::new(format!("{} was unpacked from Debian's package and does not run", path.display()))
    })?;
    Ok(Program { which: Which::Janus, path, version })
}

/// The version in what it says of itself: `Janus version: 1102 (1.1.2)`.
fn version(said: &str) -> Option<String> {
    let line = said.lines().find_map(|line| line.strip_prefix("Janus version: "))?;
    Some(line.split_once('(')?.1.trim_end_matches(')').to_owned())
}

/// Writes its configuration below `folder`; gives the folder of it.
pub(super) fn configure(binary: &Path, folder: &Path, port: u16, media: (u16, u16)) -> Result<PathBuf> {
    let home = folder.join("janus");
    let library = library(binary)?;
    for (kind, file) in PARTS {
        // Of all that is in the package, these alone are loaded.
        let own = home.join(kind);
        std::fs::create_dir_all(&own)?;
        std::fs::copy(library.join(kind).join(file), own.join(file))?;
    }
    let (first, last) = media;
    let [plugins, transports] = ["plugins", "transports"].map(|kind| home.join(kind));
    std::fs::write(
        home.join("janus.jcfg"),
        format!(
            "general: {{
  configs_folder = \"{}\"
  plugins_folder = \"{}\"
  transports_folder = \"{}\"
  debug_level = 3
  # Sessions stay, though nobody says that he is there.
  session_timeout = 0
}}
media: {{
  rtp_port_range = \"{first}-{last}\"
}}
",
            home.display(),
            plugins.display(),
            transports.display(),
        ),
    )?;
    std::fs::write(
        home.join("janus.plugin.videoroom.jcfg"),
        "general: {\n  # Rooms have names.\n  string_ids = true\n}\n",
    )?;
    std::fs::write(
        home.join("janus.transport.websockets.jcfg"),
        format!(
            "general: {{\n  ws = true\n  ws_port = {port}\n  ws_ip = \"127.0.0.1\"\n  wss = false\n}}\nadmin: {{\n  admin_ws = false\n}}\n"
        ),
    )?;
    Ok(home)
}

/// Where the package has its plugins: below a folder that is named after the machine's architecture.
fn library(binary: &Path) -> Result<PathBuf> {
    let usr = binary.ancestors().nth(2).unwrap_or(binary);
    let folders = std::fs::read_dir(usr.join("lib"))?.flatten().map(|entry| entry.path().join("janus"));
    let with_plugins = |folder: &PathBuf| folder.join("plugins").is_dir();
    let lacks = || Error::new(format!("Debian's package janus has no plugins below {}/lib", usr.display()));
    folders.into_iter().find(with_plugins).ok_or_else(lacks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_version_is_found_in_what_it_says() {
        let said =
            "Janus version: 1102 (1.1.2)\nJanus commit: not-a-git-repo\nCompiled on: today\n\njanus 1.1.2\n";
        assert_eq!(version(said), Some("1.1.2".to_owned()));
        assert_eq!(version("janus"), None);
    }

    #[test]
    fn its_configuration_names_only_what_is_needed() {
        let folder = std::env::temp_dir().join(format!("parvis-bench-janus-{}", std::process::id()));
        let library = folder.join("usr/lib/some-machine/janus");
        for (kind, file) in PARTS {
            std::fs::create_dir_all(library.join(kind)).unwrap();
            std::fs::write(library.join(kind).join(file), "x").unwrap();
        }
        std::fs::write(library.join("plugins/libjanus_sip.so"), "x").unwrap();
        let home = configure(&folder.join("usr/bin/janus"), &folder, 19_880, (21_000, 30_999)).unwrap();
        let read = |name: &str| std::fs::read_to_string(home.join(name)).unwrap();
        assert!(read("janus.jcfg").contains("rtp_port_range = \"21000-30999\""));
        assert!(read("janus.transport.websockets.jcfg").contains("ws_port = 19880\n"));
        let plugins: Vec<_> = std::fs::read_dir(home.join("plugins")).unwrap().flatten().collect();
        assert_eq!(plugins.len(), 1);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
