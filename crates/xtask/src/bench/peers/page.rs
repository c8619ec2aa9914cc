// SPDX-License-Identifier: EUPL-1.2
//! The page that the measurement leaves.

use std::fmt::Write;

use super::load::Run;
use super::outcome;
use super::{Load, Measured, RAMP};
use crate::bench::figures::{self, Figure};
use crate::bench::rounds::{self, BOTH, ROWS, Seen};
use crate::bench::server::{LOAD_CORE, SERVER_CORE, Which};

/// The whole page. Written by the command: what it says about itself belongs here and not there.
pub(super) fn page(measured: &Measured, figures: &[Figure]) -> String {
    let versions: Vec<String> =
        measured.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
    let targets: Vec<Figure> = figures.iter().filter(|figure| figure.target.is_some()).cloned().collect();
    let mut page = format!(
        "# What forwarding costs, beside LiveKit

Written by `cargo xtask bench peers`. {}; {}; {}.

Each server runs alone on core {SERVER_CORE} (LiveKit with `GOMAXPROCS=1`, Parvis with one shard) while `parvis-load` joins it
from core {LOAD_CORE} by the LiveKit signalling protocol, sends to it and receives from it over the loopback device. Each run has a
server of its own; {} rounds in turn, the order of the two changing with each. A figure is the median of the rounds,
with the least and the most of them.

- **Processor time for a packet** is the server's, user and system, divided by the packets of media that arrived. What the
  kernel does on the loopback device to deliver a packet counts for its sender, with both alike.
- **Delay** is from just before a packet is encrypted by its publisher until a subscriber has read it, by one clock: it
  contains the load's own turn, which is well below a millisecond unless the page says that the load was the limit.
- **Memory** is what the resident memory grew by, from before the first joined until the end of the measurement, divided
  by those who joined, or by the streams that they received. It is one figure divided in two ways, not two shares.
- **Lost** are packets that never came, although later ones did. **Lost or late** is what had not come of all that the
  publishers sent in the time (which is not known where a server chooses among layers): a server that can't keep up is
  late with ever more.
- **Joined** is from opening the connection for signalling until media can flow both ways.
- **Trouble** is a 99th percentile of the delay above 20 ms, or more than 0.2 % of the packets gone, in two tries of one
  step. **Half load** is the step with the rate nearest to half of the highest that was free of it: half of each server's
  own, so that the slower one is measured under less.

Both have their own defaults, but for addresses, ports and keys. Parvis is told besides that one address may join at any
rate, and that 50 Mbit/s are a good rate to begin with (`media.start_bitrate`): LiveKit begins without a bound. All packets
are encrypted with AES-128-GCM. One in a few receivers decrypts what it gets and reads the stamps in it; the others count
by the headers.

Not compared: Janus and mediasoup. The load generator speaks the LiveKit signalling protocol; Janus has one of its own, and
mediasoup is a library without any, so that each would be measured with another load, or with a server written by us.

{}
![Processor time, memory, delay and joining of both servers](peers.svg)

",
        figures::date(),
        figures::machine_line(),
        versions.join(", "),
        measured.rounds,
        figures::table(&targets),
    );
    for (load, seen) in &measured.loads {
        section(&mut page, load, seen);
    }
    page
}

fn section(page: &mut String, load: &Load, seen: &[[Seen<Run>; 2]]) {
    let mut title = load.title.to_owned();
    if load.title == RAMP.title {
        title = "A load that rises".to_owned();
    } else if let Some(first) = title.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    let _ = write!(page, "## {title}\n\n{}\n\n`{}`\n\n{ROWS}", load.what, load.command());
    for measure in outcome::measures(load.title) {
        page.push_str(&rounds::row(seen, measure));
    }
    page.push('\n');
    for which in BOTH {
        remarks(page, load, seen, which);
    }
}

/// What must be known beside the figures: what failed, what was in trouble, whose fault it was.
fn remarks(page: &mut String, load: &Load, seen: &[[Seen<Run>; 2]], which: Which) {
    let name = which.name();
    page.push_str(&rounds::failed(seen, which).unwrap_or_default());
    let rising = load.title == RAMP.title;
    let mut told = |count: usize, what: &str| {
        if count > 0 {
            let _ = writeln!(page, "{name}, {count} of {} rounds: {what}.\n", seen.len());
        }
    };
    let limited = rounds::runs(seen, which).filter(|run| run.limited()).count();
    told(limited, "the load itself was the limit, so that the server’s own figures are better than these");
    if rising {
        let whole = rounds::runs(seen, which).filter(|run| run.end.is_none()).count();
        told(whole, "the rise ended without trouble, so that the server can do more than this");
        if let Some(end) =
            rounds::runs(seen, which).filter(|run| !run.limited()).find_map(|run| run.end.as_deref())
        {
            let _ = writeln!(page, "{name} was stopped by this, in one of the rounds: {end}.\n");
        }
    } else {
        let mut troubles = rounds::runs(seen, which).filter_map(|run| run.window.trouble.as_deref());
        if let Some(first) = troubles.next() {
            told(1 + troubles.count(), &format!("trouble: {first}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::LOADS;
    use super::super::outcome::tests::round;
    use super::*;

    #[test]
    fn the_page_has_spread_and_failures_and_says_when_the_load_was_the_limit() {
        let mut limited = round(4_000.0);
        if let Ok(run) = &mut limited[0] {
            run.window.limit = Some("its thread took all".to_owned());
        }
        let seen = vec![round(2_000.0), limited, [round(3_000.0)[0].clone(), Err("it left".to_owned())]];
        let loads = vec![(&LOADS[0], seen.clone()), (&RAMP, seen)];
        let measured = Measured { rounds: 3, loads, versions: [].into() };
        let page = page(&measured, &outcome::figures(&measured));
        for part in [
            "## One speaker to 200",
            "## A load that rises",
            "| processor time for a packet | µs | 3 (2–4) | 30 (20–40) | 0.1 |",
            "| one speaker to 200: memory for a stream received, of LiveKit’s |  | 0.2 | 0.2 | 0.2 | 2 | ≤ 0.3333 | yes |",
            "LiveKit did not come through 1 of 3 rounds; in one, it left.",
            "Parvis, 1 of 3 rounds: the load itself was the limit",
            "LiveKit, 2 of 3 rounds: the rise ended without trouble",
            "`parvis-load --publishers 1 --subscribers 200 ",
        ] {
            assert!(page.contains(part), "{part}\n{page}");
        }
    }
}
