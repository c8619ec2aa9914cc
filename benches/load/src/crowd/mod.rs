// SPDX-License-Identifier: EUPL-1.2
//! A crowd that joins, is there, and is asked about, without any media: what signalling costs a server.
//!
//! A join is a whole one: the WebSocket, the server's JoinResponse, and the peer connection that every client has from then
//! on (ICE and DTLS). Whoever is there publishes nothing, and as nobody does, receives nothing: what remains are signs of life.
//!
//! `engine` is the thread that serves all of them, `door` opens their connections, `calls` asks RoomService, `work` reads
//! the clocks, `report` sums up.

mod calls;
mod door;
mod engine;
mod report;
mod scenario;
mod work;

use std::time::Duration;

use self::calls::{Caller, METHODS};
use self::engine::Engine;
pub use self::report::{Calls, CrowdReport, Idle, Joins, Latency};
pub use self::scenario::CrowdScenario;
use self::work::Meter;
pub use self::work::{ServerWork, Work};
use crate::{LoadError, process};

/// What a server that has just begun to listen may still have to do.
const BEGINNING: Duration = Duration::from_secs(1);

/// Does what the scenario says. `progress` gets a line for each of its parts.
pub fn run(scenario: &CrowdScenario, progress: &mut dyn FnMut(&str)) -> Result<CrowdReport, LoadError> {
    scenario.check()?;
    process::allow_files(scenario.files())?;
    if let Some(core) = scenario.target.core {
        process::pin(core)?;
    }
    std::thread::sleep(BEGINNING);
    let before = scenario.target.usage()?.map(|usage| usage.resident_bytes);
    let mut engine = Engine::new(scenario)?;
    let filling = engine.fill()?;
    progress(&format!("{} joined in {:.2} s", filling.work.count, filling.work.seconds));
    let idle = idle(scenario, &mut engine, before)?;
    progress("all were idle");
    let participants = calls::count(scenario, &mut engine)?;
    let changing = engine.change()?;
    calls::count(scenario, &mut engine)?;
    progress(&format!("{} changed", changing.work.count));
    let caller = Caller::new(scenario, &engine)?;
    let mut calls = Vec::new();
    for method in METHODS {
        let made = caller.measure(method, &mut engine)?;
        progress(&format!("{} of {}", made.work.count, made.method));
        calls.push(made);
    }
    calls::count(scenario, &mut engine)?;
    engine.check_clients()?;
    let encryption = engine.encryption();
    Ok(CrowdReport { scenario: scenario.clone(), participants, encryption, filling, idle, changing, calls })
}

fn idle(scenario: &CrowdScenario, engine: &mut Engine<'_>, before: Option<u64>) -> Result<Idle, LoadError> {
    let meter = Meter::start(&scenario.target)?;
    engine.rest(scenario.idle_time())?;
    let window = meter.stop()?;
    let after = scenario.target.usage()?.map(|usage| usage.resident_bytes);
    let growth = before.zip(after).map(|(before, after)| after as f64 - before as f64);
    Ok(Idle {
        seconds: window.seconds(),
        resident_before_bytes: before,
        resident_bytes: after,
        bytes_per_participant: growth.map(|bytes| bytes / scenario.participants() as f64),
        server_share: window.server_share(),
    })
}
