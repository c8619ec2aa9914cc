// SPDX-License-Identifier: EUPL-1.2
//! How processes are started and what the developer reads.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Where programs are looked for before the machine's own places.
static PREFERRED: OnceLock<PathBuf> = OnceLock::new();

/// Of a process that is quiet until it fails, so many of its last lines are shown.
const SHOWN_LINES: usize = 60;

/// Why a command of ours stopped: one sentence for the developer.
#[derive(Debug)]
pub(crate) struct Error(String);

/// The result of a step.
pub(crate) type Result<T = ()> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn new(text: impl Into<String>) -> Error {
        Error(text.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Error {
        Error(error.to_string())
    }
}

impl From<toml::de::Error> for Error {
    fn from(error: toml::de::Error) -> Error {
        Error(error.to_string())
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Error {
        Error(error.to_string())
    }
}

/// The top of the checkout.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Tells the developer something.
#[expect(clippy::print_stderr, reason = "the developer's terminal is where this tool speaks")]
pub(crate) fn say(text: &str) {
    eprintln!("xtask: {text}");
}

/// Passes a child's line on.
#[expect(clippy::print_stdout, reason = "the developer's terminal is where this tool speaks")]
pub(crate) fn print(line: &str) {
    println!("{line}");
}

/// Looks for programs in `folder` first, in all processes from now on. The first call counts.
pub(crate) fn prefer(folder: &Path) {
    PREFERRED.get_or_init(|| folder.to_path_buf());
}

/// Where programs are looked for.
pub(crate) fn path() -> OsString {
    let own = std::env::var_os("PATH").unwrap_or_default();
    let Some(preferred) = PREFERRED.get() else { return own };
    let mut path = preferred.clone().into_os_string();
    path.push(":");
    path.push(own);
    path
}

/// A process to be run from the top of the checkout.
pub(crate) struct Process {
    command: Command,
    shown: String,
}

/// Prepares `program` with `arguments`.
pub(crate) fn process<S: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = S>) -> Process {
    let mut command = Command::new(program);
    let mut shown = program.to_owned();
    command.current_dir(root());
    command.env("PATH", path());
    for argument in arguments {
        shown.push(' ');
        shown.push_str(&argument.as_ref().to_string_lossy());
        command.arg(argument);
    }
    Process { command, shown }
}

impl Process {
    /// Runs it in `folder`.
    pub(crate) fn within(mut self, folder: impl AsRef<Path>) -> Process {
        self.command.current_dir(folder);
        self
    }

    /// Sets a variable of its environment.
    pub(crate) fn with(mut self, name: &str, value: impl AsRef<OsStr>) -> Process {
        self.command.env(name, value);
        self
    }

    /// Runs it in the developer's terminal; anything but success is an error.
    pub(crate) fn run(mut self) -> Result {
        say(&self.shown);
        let status = self.command.stdin(Stdio::null()).status().map_err(|error| self.cannot_start(&error))?;
        if status.success() { Ok(()) } else { Err(Error(format!("`{}` ended with {status}", self.shown))) }
    }

    /// Runs it and shows the end of what it said only when it fails; anything but success is an error.
    pub(crate) fn run_quietly(mut self) -> Result {
        let output = self.command.stdin(Stdio::null()).output().map_err(|error| self.cannot_start(&error))?;
        if output.status.success() {
            return Ok(());
        }
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        for line in &lines[lines.len().saturating_sub(SHOWN_LINES)..] {
            print(line);
        }
        Err(Error(format!("`{}` ended with {}", self.shown, output.status)))
    }

    /// Runs it and shows each line of its output to `line` after printing it; anything but success is an error.
    pub(crate) fn watch(mut self, mut line: impl FnMut(&str)) -> Result {
        say(&self.shown);
        self.command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = self.command.spawn().map_err(|error| self.cannot_start(&error))?;
        if let Some(output) = child.stdout.take() {
            for text in BufReader::new(output).lines() {
                let text = text?;
                print(&text);
                line(&text);
            }
        }
        let status = child.wait()?;
        if status.success() { Ok(()) } else { Err(Error(format!("`{}` ended with {status}", self.shown))) }
    }

    /// Runs it silently and gives what it printed, or `None` when it can't be started or fails.
    pub(crate) fn output(mut self) -> Option<String> {
        let output = self.command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    fn cannot_start(&self, error: &std::io::Error) -> Error {
        Error(format!("`{}` can't be started: {error}", self.shown))
    }
}
