// SPDX-License-Identifier: EUPL-1.2
//! `cargo xtask e2e`: real browsers and published SDKs against a real server on loopback.

use std::time::Duration;

use clap::Args;

use crate::sh::{Result, process, root, target};
use crate::{compatibility, programs, setup, test, web};

/// Where the tests are.
pub(crate) const FOLDER: &str = "tests/e2e";

/// The longest suite takes a third of it on a busy machine. One that is over and does not end, as something of it still runs, would
/// hold up all others for ever.
const SUITE_WITHIN: Duration = Duration::from_mins(15);

#[derive(Args)]
pub(crate) struct Options {
    /// Runs only tests whose name matches this pattern.
    filter: Option<String>,
}

/// Builds the client and the server, and runs the tests. All of them together say what works with which SDK.
pub(crate) fn run(options: &Options) -> Result {
    setup::build_tools()?;
    web::build()?;
    programs::server()?;
    if let Some(pattern) = &options.filter {
        return watch(Which::Named(pattern), |_| ());
    }
    compatibility::begin()?;
    let mut failed = Vec::new();
    let result = watch(Which::All, |line| failed.extend(test::failed_test(line)));
    let page = compatibility::conclude(&failed, result.is_ok());
    result.and(page)
}

/// Which tests are to run.
pub(crate) enum Which<'names> {
    All,
    /// Those whose name matches this pattern.
    Named(&'names str),
    /// These files, whole.
    Suites(&'names [String]),
}

/// Runs the tests against the development build that is already there.
pub(crate) fn watch(which: Which<'_>, line: impl FnMut(&str)) -> Result {
    setup::browsers()?;
    setup::gstreamer()?;
    setup::ffmpeg()?;
    let (nginx, rtmp) = setup::streams()?;
    let storage = setup::storage()?;
    let haproxy = setup::haproxy()?;
    let (prometheus, exporter) = setup::monitoring()?;
    setup::npm(FOLDER)?;
    let python = setup::python()?;
    let agents = setup::agents()?;
    let (pebble, certificates) = setup::pebble()?;
    let mut arguments = vec!["--test".to_owned(), "--test-concurrency=1".to_owned()];
    arguments.push("--test-reporter=spec".to_owned());
    arguments.push(format!("--test-timeout={}", SUITE_WITHIN.as_millis()));
    match which {
        Which::All => arguments.extend(suites()?),
        Which::Named(pattern) => {
            arguments.push(format!("--test-name-pattern={pattern}"));
            arguments.extend(suites()?);
        }
        Which::Suites(suites) => arguments.extend(suites.iter().cloned()),
    }
    process("node", arguments)
        .within(root().join(FOLDER))
        .with("PARVIS_PYTHON", python)
        .with("PARVIS_AGENTS_PYTHON", agents)
        .with("PARVIS_PEBBLE", pebble)
        .with("PARVIS_PEBBLE_CERTIFICATES", certificates)
        .with("PARVIS_STORAGE", storage)
        .with("PARVIS_NGINX", nginx)
        .with("PARVIS_NGINX_RTMP", rtmp)
        .with("PARVIS_HAPROXY", haproxy)
        .with("PARVIS_PROMETHEUS", prometheus)
        .with("PARVIS_NODE_EXPORTER", exporter)
        .with("PARVIS_SERVER", target().join("debug/parvis"))
        .with("PARVIS_MEDIA", target().join("debug/parvis-media"))
        .with("PARVIS_SHOWN", compatibility::file())
        .watch(line)
}

/// The files with tests in them, one by one: Node.js took a folder's name up to version 20 only.
fn suites() -> Result<Vec<String>> {
    let mut suites = Vec::new();
    for entry in std::fs::read_dir(root().join(FOLDER).join("suites"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".test.mjs") {
            suites.push(format!("suites/{name}"));
        }
    }
    suites.sort();
    Ok(suites)
}
