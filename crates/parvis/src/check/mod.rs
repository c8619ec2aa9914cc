// SPDX-License-Identifier: EUPL-1.2
//! `parvis check`: is this configuration good, is this machine, and does the server that runs with it carry a call?
//!
//! Each [`Line`] says what was tried, what was seen, and what to do. Without a server that runs, its ports are tried ([`crate::serve::bind`]);
//! with one, it is called as strangers call it: by its public name, through TLS ([`reach`], [`chain`]), at each port of media ([`media`]), from
//! outside where another machine helps ([`peer`]), with two people who see and hear each other ([`call`]). [`host`] looks at the machine,
//! [`recorder`] at what makes recordings, [`storage`] at where they lie, [`audit`] at the audit log. What it came to is kept for the
//! server's metrics ([`outcome`]).

mod audit;
mod call;
mod chain;
mod host;
mod media;
pub(crate) mod outcome;
pub(crate) mod peer;
mod probe;
mod reach;
mod recorder;
mod storage;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::Serialize;

use self::outcome::Outcome;
use crate::edge;
use crate::notify::Handed;
use crate::serve::{self, ServeError, Settings};
use crate::settings::settle;
use crate::{Problem, cli, runtime, stored};

/// Certificates are renewed a month before their end; whoever is later than this needs help.
const FEW_DAYS: u64 = 14;
/// How long one of these may take, but for the call.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a program may take that looks at much: a trial of all encoders, or all of a log.
const TRIALS: Duration = Duration::from_secs(120);
/// How often it is looked whether one has ended.
const LOOK: Duration = Duration::from_millis(20);

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// As it should be.
    Good,
    /// It works, and not as well as it could.
    Poor,
    /// It does not work.
    Bad,
    /// It was not tried.
    Skipped,
}

/// One thing that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Line {
    pub(crate) what: &'static str,
    pub(crate) state: State,
    /// What was tried.
    pub(crate) tried: String,
    /// What was seen.
    pub(crate) seen: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) remedy: Option<String>,
}

impl Line {
    pub(crate) fn good(what: &'static str, tried: impl Into<String>, seen: impl Into<String>) -> Line {
        Line { what, state: State::Good, tried: tried.into(), seen: seen.into(), remedy: None }
    }

    pub(crate) fn poor(
        what: &'static str,
        tried: impl Into<String>,
        seen: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Line {
        Line { state: State::Poor, remedy: Some(remedy.into()), ..Line::good(what, tried, seen) }
    }

    pub(crate) fn bad(
        what: &'static str,
        tried: impl Into<String>,
        seen: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Line {
        Line { state: State::Bad, ..Line::poor(what, tried, seen, remedy) }
    }

    pub(crate) fn skipped(what: &'static str, why: impl Into<String>) -> Line {
        Line { state: State::Skipped, ..Line::good(what, "not tried", why) }
    }

    fn in_words(&self) -> String {
        let state = match self.state {
            State::Good => "good",
            State::Poor => "POOR",
            State::Bad => "BAD",
            State::Skipped => "-",
        };
        let Line { what, tried, seen, remedy, .. } = self;
        let remedy = remedy.as_ref().map(|remedy| format!("\n      do: {remedy}")).unwrap_or_default();
        format!("{state:<4}  {what}: {tried}: {seen}{remedy}")
    }
}

/// What all came to.
#[derive(Debug, Default, Serialize)]
struct Report {
    good: bool,
    lines: Vec<Line>,
    /// What the public port is like.
    port: Vec<String>,
}

/// Does it, prints it, and fails where something does not work.
pub(crate) fn run(arguments: &cli::Check) -> Result<(), Problem> {
    let (settings, loaded) = settle(&arguments.settings)?;
    let mut report = Report::default();
    let file = arguments
        .settings
        .config
        .as_ref()
        .map_or("the defaults".to_owned(), |file| file.display().to_string());
    report.lines.push(Line::good("configuration", format!("read {file}"), "each value is one that may be"));
    for note in &loaded.notes {
        let line = Line::poor(
            "configuration",
            "read what was taken over",
            note.to_string(),
            "see docs/decisions/0040-configuration.md",
        );
        report.lines.push(line);
    }
    // What can't be bound was always said like this, for whoever reads standard error alone.
    let failed = runtime()?.block_on(examine(&settings, arguments, &mut report)).err();
    if let Err(error) = Outcome::of(&report.lines).keep(&settings.config.data.directory) {
        // Somebody who only looks need not be who may write there.
        report.lines.push(Line::skipped("result", format!("not kept for the server's metrics: {error}")));
    }
    let bad = report.lines.iter().filter(|line| line.state == State::Bad).count();
    let failures = bad.max(usize::from(failed.is_some()));
    report.lines.extend(runtime()?.block_on(audit::write(&settings, failures)));
    report.good = bad == 0 && failed.is_none();
    if arguments.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        report.port.iter().for_each(|line| println!("{line}"));
        report.lines.iter().for_each(|line| println!("{}", line.in_words()));
        if report.good {
            println!("ok");
        }
    }
    match failed {
        Some(error) => Err(error.into()),
        None if bad > 0 => Err(format!("{bad} of {} checks failed", report.lines.len()).into()),
        None => Ok(()),
    }
}

async fn examine(settings: &Settings, arguments: &cli::Check, report: &mut Report) -> Result<(), ServeError> {
    report.lines.extend(host::lines(settings));
    let way = reach::Way::of(settings, arguments.host.as_deref());
    let bound = serve::bind(settings, Handed::default()).await;
    let tried = "bound each port as the server does";
    let running = match &bound {
        Ok(_) => false,
        Err(ServeError::Listen { .. }) => way.lives_here().await,
        Err(_) => false,
    };
    match bound {
        Ok(bound) => {
            report.port = bound.describe(settings);
            report.lines.push(Line::good(
                "ports",
                tried,
                "all are free; no server of this configuration runs",
            ));
        }
        Err(error) if running => {
            let seen = format!("{error}: it is the server itself, which answers /livez");
            report.lines.push(Line::good("ports", tried, seen));
        }
        Err(error) => {
            let remedy =
                "stop what is there, or set other ports; ports below 1024 are opened by parvis.socket";
            report.lines.push(Line::bad("ports", tried, error.to_string(), remedy));
            report.lines.push(database(settings).await);
            return Err(error);
        }
    }
    report.lines.push(certificate(settings));
    report.lines.push(database(settings).await);
    report.lines.push(audit::line(&arguments.settings, settings).await);
    report.lines.extend(recorder::lines(settings).await);
    report.lines.extend(storage::lines(settings).await);
    report.lines.extend(way.lines(running).await);
    if !running {
        let why = "no server of this configuration runs; start it, and check again";
        report.lines.extend(["media", "from outside", "call"].map(|what| Line::skipped(what, why)));
        return Ok(());
    }
    let session = match settings.config.rooms.auto_create {
        true => Some(media::Session::begin(settings, &way).await),
        false => None,
    };
    match &session {
        None => report.lines.push(Line::skipped("media", call::NO_ROOM)),
        Some(Err(problem)) => report.lines.push(Line::bad(
            "media",
            "began a session by WHIP",
            problem.clone(),
            "see the lines above, and the log of the server",
        )),
        Some(Ok(session)) => report.lines.extend(session.lines(&way).await),
    }
    let session = session.and_then(Result::ok);
    report.lines.extend(peer::ask::lines(arguments, &way, session.as_ref()).await);
    if let Some(session) = session {
        session.end(&way).await;
    }
    report.lines.push(call::line(settings, &way).await);
    Ok(())
}

async fn database(settings: &Settings) -> Line {
    let tried = "opened the database, and left it as it is";
    match tokio::time::timeout(PATIENCE, stored::probe(settings)).await {
        Ok(Ok(())) => Line::good("database", tried, "it can be used"),
        Ok(Err(error)) => {
            Line::bad("database", tried, error.to_string(), "see [database] in the configuration")
        }
        Err(_) => {
            Line::bad("database", tried, "no answer in 10 s", "see whether it runs and is reached from here")
        }
    }
}

fn certificate(settings: &Settings) -> Line {
    match settings.config.tls.is_spoken() {
        true => days_left(edge::days_left(&settings.config, &settings.base)),
        false => Line::skipped("certificate", "TLS is not spoken here; a proxy does it"),
    }
}

fn days_left(read: Result<Option<u64>, ServeError>) -> Line {
    let (what, tried) = ("certificate", "read the one that is shown next");
    match read {
        Ok(None) => Line::poor(
            what,
            tried,
            "there is none yet",
            "the server asks the authority for one when it starts; port 443 has to be reached from outside",
        ),
        Ok(Some(0)) => {
            Line::bad(what, tried, "it is over, or ends today", "renew it; the log says why that failed")
        }
        Ok(Some(days)) if days < FEW_DAYS => Line::poor(
            what,
            tried,
            format!("it holds for {days} days"),
            "renew it; the log says why that failed",
        ),
        Ok(Some(days)) => Line::good(what, tried, format!("it holds for {days} days")),
        Err(error) => Line::bad(what, tried, error.to_string(), "see [tls] in the configuration"),
    }
}

/// The first line that a program says, if it ends well and in time.
async fn first_line(program: &Path, arguments: &[&str], patience: Duration) -> Result<String, String> {
    let start = Instant::now();
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let status = loop {
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(status) => break status,
            None if start.elapsed() < patience => tokio::time::sleep(LOOK).await,
            None => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("no answer in {} s", patience.as_secs()));
            }
        }
    };
    // It says less than what a pipe holds.
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    if status.success() {
        let text = String::from_utf8_lossy(&output.stdout);
        return Ok(text.lines().next().unwrap_or_default().trim().to_owned());
    }
    let last = |said: &[u8]| {
        let text = String::from_utf8_lossy(said);
        text.lines().rfind(|line| !line.trim().is_empty()).map(|line| line.trim().to_owned())
    };
    // Some say what is wrong where they say what is right.
    Err(match last(&output.stderr).or_else(|| last(&output.stdout)) {
        Some(last) => format!("it ended with {status}, and said: {last}"),
        None => format!("it ended with {status}, and said nothing"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_was_tried_what_was_seen_and_what_to_do() {
        let line = Line::bad("disk", "asked for free bytes", "there are none", "make room");
        assert_eq!(line.in_words(), "BAD   disk: asked for free bytes: there are none\n      do: make room");
        let json = serde_json::to_value(Line::good("disk", "a", "b")).unwrap();
        assert_eq!(json, serde_json::json!({"what": "disk", "state": "good", "tried": "a", "seen": "b"}));
    }

    #[test]
    fn a_certificate_is_good_poor_or_bad_by_its_days() {
        for (days, state, remedy) in [
            (Some(FEW_DAYS), State::Good, None),
            (Some(FEW_DAYS - 1), State::Poor, Some("renew it")),
            (Some(0), State::Bad, Some("renew it")),
            (None, State::Poor, Some("port 443")),
        ] {
            let line = days_left(Ok(days));
            assert_eq!(line.state, state, "{days:?}");
            let said = line.remedy.unwrap_or_default();
            assert!(remedy.map_or(said.is_empty(), |remedy| said.contains(remedy)), "{days:?}: {said}");
        }
        let (key, problem) = ("tls.key".to_owned(), "k.pem: cannot be read".to_owned());
        let line = days_left(Err(ServeError::Config { key, problem }));
        assert!(line.state == State::Bad && line.seen.contains("k.pem: cannot be read"), "{line:?}");
    }

    async fn said(script: &str, patience: Duration) -> Result<String, String> {
        first_line(Path::new("/bin/sh"), &["-c", script], patience).await
    }

    #[tokio::test]
    async fn a_program_is_heard_or_given_up() {
        assert_eq!(said("echo one; echo two", PATIENCE).await, Ok("one".to_owned()));
        assert!(
            said("echo why >&2; exit 3", PATIENCE)
                .await
                .unwrap_err()
                .ends_with("exit status: 3, and said: why")
        );
        assert!(
            said("echo none works; exit 1", PATIENCE)
                .await
                .unwrap_err()
                .ends_with("exit status: 1, and said: none works")
        );
        assert!(said("echo; exit 1", PATIENCE).await.unwrap_err().ends_with("and said nothing"));
        assert_eq!(said("sleep 60", Duration::from_millis(50)).await, Err("no answer in 0 s".to_owned()));
        assert!(first_line(Path::new("/nowhere"), &[], PATIENCE).await.is_err());
    }
}
