// SPDX-License-Identifier: EUPL-1.2
//! The film of a room while it is there.
//!
//! The capture hands over each whole frame and each thing that happens (`tap`), and never waits. A thread of its own decodes
//! (`source`), keeps as much of the story as is needed (`people`), and runs the same steps for a picture that a finished
//! capture's film has (`stage`), each at its moment (`run`). `outputs` encodes each picture once a rendition; `segments` makes files
//! of it by `cmaf`, `fifo` passes on what `ts` makes, `avc` and `sound` know the codecs.
//!
//! **The invariant:** whatever a track sends, a reader doesn't take or an encoder breaks, nothing here grows without a bound, the
//! capture doesn't notice, and the other outputs go on.

pub(super) mod avc;
mod cmaf;
mod fifo;
mod outputs;
mod people;
mod run;
mod segments;
mod sound;
mod source;
mod tap;
mod ts;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::thread;

use parvis_jobs::{Failure, FailureKind, Live, ToServer, UnixMicros};

use self::run::Run;
pub use self::tap::Tap;
use super::{ComposeError, prepare};
use crate::hardware::probe::Prober;
use crate::hardware::{Choice, ChoiceError, Encoders, Shape, VideoCodec, Wanted, choose};

/// How far the film is behind the room beyond what a packet may wait for those before it, in microseconds: frames that come
/// last are decoded in this time.
const DECODING: u64 = 200_000;

/// What a live film is made of and with.
#[derive(Debug, Clone)]
pub struct Studio {
    /// Who encodes; those in software without it.
    pub encoders: Option<Encoders>,
    /// For how long a packet may wait for those before it, in microseconds.
    pub wait_micros: u64,
}

/// Begins to compose a room whose recording began at `started_at` into `directory`, where `live/` is. What goes wrong is
/// told by the tap as `LiveFailed`.
pub fn start(
    live: &Live,
    directory: &Path,
    started_at: UnixMicros,
    studio: &Studio,
    clock: impl Fn() -> UnixMicros + Send + 'static,
) -> Arc<Tap> {
    let tap = Arc::new(Tap::new(started_at));
    let (live, directory, studio) = (live.clone(), directory.to_owned(), studio.clone());
    let inner = Arc::clone(&tap);
    let work = move || {
        let composed = catch_unwind(AssertUnwindSafe(|| {
            prepare()?;
            let encoders = studio.encoders.unwrap_or_else(|| Encoders::software(VideoCodec::H264));
            let delay = studio.wait_micros + DECODING;
            Run::new(&live, &directory, &inner, &encoders, Box::new(clock), delay)?.run()
        }));
        let crashed =
            || Err(ComposeError::Pipeline("it crashed; report this with the worker's log".to_owned()));
        if let Err(error) = composed.unwrap_or_else(|_| crashed()) {
            inner.tell(ToServer::LiveFailed(failure(&error)));
        }
        inner.close();
    };
    if let Err(error) = thread::Builder::new().name("live".to_owned()).spawn(work) {
        tap.tell(ToServer::LiveFailed(failure(&ComposeError::Pipeline(format!("no thread: {error}")))));
        tap.close();
    }
    tap
}

/// Says that nothing can be composed, since the worker is held to capturing.
pub fn not_prepared() -> Failure {
    Failure {
        kind: FailureKind::Protocol,
        what: "a live film is asked for, and the worker was started to capture alone".to_owned(),
        place: "control".to_owned(),
        remedy: "report this: the server starts such a worker with --live".to_owned(),
    }
}

/// Tries who can encode, each in a process of its own: before the worker is confined, and so before it knows the size.
pub fn choose_encoders(wanted: &Wanted, prober: &Prober) -> Result<Choice, ChoiceError> {
    let shape = Shape { width: 1280, height: 720, rate: 30 };
    choose(VideoCodec::H264, wanted, &outputs::settings(2500, 60, shape), shape, prober)
}

fn failure(error: &ComposeError) -> Failure {
    let (kind, place, remedy) = match error {
        ComposeError::Io { path, .. } => {
            (FailureKind::Storage, path.display().to_string(), "look after the disk and the directory")
        }
        ComposeError::Options(_) => {
            (FailureKind::Protocol, "the live film".to_owned(), "ask for another one")
        }
        ComposeError::Missing(_) => {
            (FailureKind::Compose, "the live film".to_owned(), "install what is missing")
        }
        _ => (
            FailureKind::Compose,
            "the live film".to_owned(),
            "begin it anew, with fewer or smaller renditions if the machine is too slow",
        ),
    };
    Failure { kind, what: error.to_string(), place, remedy: remedy.to_owned() }
}
