// SPDX-License-Identifier: EUPL-1.2
//! Which encoders work on this machine. Each is tried in a process of its own: a driver may hang in the kernel or bring the
//! process down, and neither can be undone in ours; and what is to be confined afterwards must have no threads yet.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use gstreamer as gst;
use serde::{Deserialize, Serialize};

use super::running::{Refusal, Stage};
use super::settings::{Family, Settings, Shape, VideoCodec};
use super::table::Candidate;
use super::trial::{Outcome, Request};

/// How encoders are tried.
#[derive(Debug, Clone)]
pub struct Prober {
    /// The program that tries one: it does what [`trial::serve`](super::trial::serve) does.
    pub program: PathBuf,
    /// What it is started with.
    pub arguments: Vec<OsString>,
    /// How long an encoder may take to open, and give nothing.
    pub patience: Duration,
    /// How long a process may take altogether before it is ended.
    pub limit: Duration,
}

impl Prober {
    /// By this program itself, even where its file was replaced meanwhile. An encoder has five seconds to open, its process
    /// twenty, which is much on an idle machine and not too much on a busy one.
    pub fn own() -> Prober {
        Prober {
            program: "/proc/self/exe".into(),
            arguments: vec!["trial".into()],
            patience: Duration::from_secs(5),
            limit: Duration::from_secs(20),
        }
    }

    /// Tries one.
    pub fn tries(&self, request: &Request) -> Outcome {
        match self.answer(request) {
            Ok(outcome) => outcome,
            Err(refusal) => Outcome::Refused(refusal),
        }
    }

    fn answer(&self, request: &Request) -> Result<Outcome, Refusal> {
        let failed = |why: String| Refusal::new(Stage::Process, why);
        let unable = |error: io::Error| failed(format!("{}: {error}", self.program.display()));
        let request = serde_json::to_vec(request).map_err(|error| failed(error.to_string()))?;
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // What drivers and GStreamer complain of there is said in the answer.
            .stderr(Stdio::null())
            .spawn()
            .map_err(unable)?;
        let written = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(&request));
        let end = self.wait(&mut child).map_err(unable)?;
        let mut said = Vec::new();
        if let (End::Exited(_) | End::Killed, Some(stdout)) = (&end, child.stdout.take()) {
            stdout.take(MAX_ANSWER_BYTES).read_to_end(&mut said).map_err(unable)?;
        }
        let said = String::from_utf8_lossy(&said);
        if let Some(outcome) = said.lines().rev().find_map(|line| serde_json::from_str(line).ok()) {
            return Ok(outcome);
        }
        written.map_err(unable)?;
        let seconds = self.limit.as_secs();
        Err(failed(match end {
            End::Killed => format!("it gave no answer within {seconds} s, and was ended"),
            End::Stuck => {
                format!("it gave no answer within {seconds} s, and can't be ended: its driver hangs")
            }
            End::Exited(status) => match status.signal() {
                Some(signal) => format!("its process died by signal {signal}"),
                None => format!("its process ended without an answer ({status})"),
            },
        }))
    }

    fn wait(&self, child: &mut Child) -> io::Result<End> {
        if let Some(status) = exited(child, self.limit)? {
            return Ok(End::Exited(status));
        }
        child.kill()?;
        // One that hangs in the kernel can't be killed, and nobody must wait for it.
        Ok(exited(child, FAREWELL)?.map_or(End::Stuck, |_| End::Killed))
    }
}

/// How the process of a trial ended.
enum End {
    Exited(ExitStatus),
    Killed,
    Stuck,
}

/// How long a killed process may take to be gone.
const FAREWELL: Duration = Duration::from_secs(2);

/// How it ended, if it does within this time.
fn exited(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let since = Instant::now();
    loop {
        let status = child.try_wait()?;
        if status.is_some() || since.elapsed() > limit {
            return Ok(status);
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// An answer is one line; what a driver says besides is bounded by this.
const MAX_ANSWER_BYTES: u64 = 1024 * 1024;

/// What became of one encoder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tried {
    /// The element.
    pub factory: String,
    /// Who would do the work.
    pub family: Family,
    /// Of the pictures that it was tried with.
    pub shape: Shape,
    /// What became of it.
    pub outcome: Outcome,
}

/// Which encoder is taken for a codec, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// What is to be written.
    pub codec: VideoCodec,
    /// The element that is taken.
    pub chosen: Option<String>,
    /// Why that one, or why none, in one sentence.
    pub reason: String,
    /// All that were looked at, in order.
    pub tried: Vec<Tried>,
}

/// What is looked for.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What is asked of the encoders.
    pub settings: Settings,
    /// The pictures that they are tried with, in turn; one that fails at the first is not tried with the next.
    pub shapes: Vec<Shape>,
    /// How many pictures of each.
    pub pictures: u64,
    /// Whether trials are full.
    pub full: bool,
    /// Whether those are tried too that come after the one that is taken.
    pub all: bool,
}

impl Plan {
    /// A few small pictures, until one works.
    pub fn quick(settings: Settings, shape: Shape) -> Plan {
        Plan { settings, shapes: vec![shape], pictures: 8, full: false, all: false }
    }
}

/// Tries `candidates` in turn, and takes the first that works.
pub fn probe(
    codec: VideoCodec,
    candidates: impl IntoIterator<Item = &'static Candidate>,
    plan: &Plan,
    prober: &Prober,
) -> Report {
    let mut tried: Vec<Tried> = Vec::new();
    let mut chosen: Option<&Candidate> = None;
    for candidate in candidates {
        for shape in &plan.shapes {
            let outcome = match chosen {
                Some(_) if !plan.all => Outcome::NotTried,
                // For what isn't there no process is needed.
                _ if gst::ElementFactory::find(candidate.factory).is_none() => {
                    Outcome::Refused(Refusal::new(Stage::Lookup, candidate.needs()))
                }
                _ => prober.tries(&Request {
                    factory: candidate.factory.to_owned(),
                    settings: Settings { gop: shape.rate * 2, ..plan.settings.clone() },
                    shape: *shape,
                    pictures: plan.pictures,
                    patience_ms: prober.patience.as_millis().try_into().unwrap_or(u64::MAX),
                    full: plan.full,
                }),
            };
            let works = matches!(outcome, Outcome::Works(_));
            let (factory, family) = (candidate.factory.to_owned(), candidate.family);
            tried.push(Tried { factory, family, shape: *shape, outcome });
            if !works {
                break;
            }
            if chosen.is_none() {
                chosen = Some(candidate);
            }
        }
    }
    let reason = match chosen {
        Some(Candidate { factory, family, .. }) => {
            let before = tried.iter().take_while(|tried| tried.factory != *factory).count();
            match before {
                0 => format!("{family}: the first that is looked at, and it passed its trial"),
                _ => format!("{family}: the first that passed its trial; the {before} before it did not"),
            }
        }
        None if tried.len() == 1 => "it did not pass its trial".to_owned(),
        None => format!("none of the {} that we know passed its trial", tried.len()),
    };
    Report { codec, chosen: chosen.map(|candidate| candidate.factory.to_owned()), reason, tried }
}
