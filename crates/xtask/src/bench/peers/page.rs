// SPDX-License-Identifier: EUPL-1.2
//! The page that the measurement leaves.

use std::fmt::Write;

use super::load::Run;
use super::outcome;
use super::{Load, Measured, RAMP};
use crate::bench::figures::{self, Figure};
use crate::bench::rounds::{self, Round};
use crate::bench::server::{LOAD_CORE, SERVER_CORE, Which};

/// The whole page. Written by the command: what it says about itself belongs here and not there.
pub(super) fn page(measured: &Measured, figures: &[Figure]) -> String {
    let servers = measured.servers();
    let versions: Vec<String> = figures::versions(&measured.programs)
        .iter()
        .map(|(name, version)| format!("{name} {version}"))
        .collect();
    let targets: Vec<Figure> = figures.iter().filter(|figure| figure.target.is_some()).cloned().collect();
    let mut page = format!(
        "# {}

Written by `cargo xtask bench peers`. {}; {}; {}.

Each server runs alone on core {SERVER_CORE} while `parvis-load` joins it from core {LOAD_CORE}, sends to it and receives from it
over the loopback device. Each run has a server of its own; {} rounds, in which all have their turn, and each begins with the
next one. A figure is the median of the rounds, with the least and the most of them.

- **Processor time for a packet** is the server's, user and system, of all its threads and processes, divided by the packets
  of media that arrived. What the kernel does on the loopback device to deliver a packet counts for its sender, with all alike.
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

The load is the same for all: the same frames and sounds, checks, handshakes and feedback, from the same code. All packets are
encrypted with AES-128-GCM. One in a few receivers decrypts what it gets and reads the stamps in it; the others count by the
headers. Only the signalling is each server's own. All servers have their own defaults, but for addresses, ports, keys
and what stands here:

",
        super::title(&servers),
        figures::date(),
        figures::machine_line(),
        versions.join(", "),
        measured.rounds,
    );
    for which in &servers {
        let _ = writeln!(page, "- **{}**: {}", which.name(), terms(*which));
    }
    page.push('\n');
    for (which, why) in &measured.absent {
        let _ = writeln!(page, "{} is not compared: {}.\n", which.name(), why.trim_end_matches('.'));
    }
    let _ = write!(
        page,
        "{}\n![Processor time, memory, delay and joining of all servers](peers.svg)\n\n",
        figures::table(&targets)
    );
    for (load, seen) in &measured.loads {
        section(&mut page, &servers, load, seen);
    }
    page
}

/// How a server is spoken to, what it is told, and what it does not do that the others do.
fn terms(which: Which) -> &'static str {
    match which {
        Which::Parvis => {
            "the LiveKit signalling protocol (`/rtc`); one shard. It is told that one address may join at any rate, and that \
             50 Mbit/s are a good rate to begin with (`media.start_bitrate`). It estimates each receiver's rate, chooses \
             layers by it and paces what it sends."
        }
        Which::LiveKit => {
            "the LiveKit signalling protocol (`/rtc`); `GOMAXPROCS=1`. It begins without a bound of the rate, estimates each \
             receiver's and chooses layers by it."
        }
        Which::Janus => {
            "its own protocol (JSON over WebSocket) with its plugin for video rooms, one connection for sending and one for \
             all that a client receives. It is told to have rooms with names and to keep sessions. It has no \
             congestion control towards receivers and does not pace: it sends on what comes, of layers the highest, whatever the \
             feedback says. It takes no loopback device for media, and so runs with its load in a network namespace that has a \
             second address; what is sent there goes over that namespace's loopback device all the same. Whoever begins to \
             send is told to all, who ask for his streams and get a new offer each."
        }
        Which::Mediasoup => {
            "a library without signalling, in the newest version whose worker can be built from packages alone (with Debian's \
             libraries, of the versions that it asks for; later ones fetch programs or sources from elsewhere). The server \
             around it is ours (`benches/load/mediasoup`, on Node.js): for each room \
             a router, for each client one transport for sending and one for receiving, all on one worker. Processor time and \
             memory are Node's and the worker's together, and how fast one joins is ours and Node's as well. It is told that \
             50 Mbit/s are a good rate to begin with. It chooses layers by each receiver's rate; streams without layers it \
             sends on as they come, and it does not pace."
        }
    }
}

fn section(page: &mut String, servers: &[Which], load: &Load, seen: &[Round<Run>]) {
    let mut title = load.title.to_owned();
    if load.title == RAMP.title {
        title = "A load that rises".to_owned();
    } else if let Some(first) = title.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    let (command, head) = (load.command(), rounds::head(servers));
    let _ = write!(page, "## {title}\n\n{}\n\n`{command}`\n\n{head}", load.what);
    for measure in outcome::measures(load.title) {
        page.push_str(&rounds::row(servers, seen, measure));
    }
    page.push('\n');
    for which in servers {
        remarks(page, load, seen, *which);
    }
}

/// What must be known beside the figures: what failed, what was in trouble, whose fault it was.
fn remarks(page: &mut String, load: &Load, seen: &[Round<Run>], which: Which) {
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
    use super::super::outcome::tests::{measured, round};
    use super::*;

    #[test]
    fn the_page_has_spread_and_failures_and_says_when_the_load_was_the_limit() {
        let mut limited = round(4_000.0);
        if let Some(Ok(run)) = limited.get_mut(&Which::Parvis) {
            run.window.limit = Some("its thread took all".to_owned());
        }
        let mut left = round(3_000.0);
        left.insert(Which::LiveKit, Err("it left".to_owned()));
        let measured = measured(vec![round(2_000.0), limited, left]);
        let page = page(&measured, &outcome::figures(&measured));
        for part in [
            "# What forwarding costs, beside LiveKit and Janus\n",
            "## One speaker to 200",
            "## A load that rises",
            "| | unit | Parvis | LiveKit | Janus | Parvis / LiveKit |",
            "| processor time for a packet | µs | 3 (2–4) | 30 (20–40) | 15 (10–20) | 0.1 |",
            "| one speaker to 200: memory for a stream received, of LiveKit’s |  | 0.2 | 0.2 | 0.2 | 2 | ≤ 0.3333 | yes |",
            "LiveKit did not come through 1 of 3 rounds; in one, it left.",
            "Parvis, 1 of 3 rounds: the load itself was the limit",
            "LiveKit, 2 of 3 rounds: the rise ended without trouble",
            "`parvis-load --publishers 1 --subscribers 200 ",
            "- **Janus**: its own protocol",
            "\nmediasoup is not compared: its worker can’t be built.\n",
        ] {
            assert!(page.contains(part), "{part}\n{page}");
        }
        assert!(!page.contains("- **mediasoup**"), "{page}");
    }
}
