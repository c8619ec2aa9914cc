// SPDX-License-Identifier: EUPL-1.2
//! The page that the measurement leaves.

use std::fmt::Write;

use super::Measured;
use super::outcome::{self, Section};
use crate::bench::figures::{self, Figure};
use crate::bench::rounds::{self, BOTH};
use crate::bench::server::{LOAD_CORE, SERVER_CORE, Which};

/// The whole page. Written by the command: what it says about itself belongs here and not there.
pub(super) fn page(measured: &Measured, figures: &[Figure]) -> String {
    let versions: Vec<String> =
        measured.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
    let targets: Vec<Figure> = figures.iter().filter(|figure| figure.target.is_some()).cloned().collect();
    let mut page = format!(
        "# What signalling costs, beside LiveKit

Written by `cargo xtask bench signal`. {}; {}; {}.

Each server runs alone on core {SERVER_CORE} (LiveKit with `GOMAXPROCS=1`, Parvis with one shard) while `parvis-load` does what
this page tells from core {LOAD_CORE}, over the loopback device. Each run has a server of its own; {} rounds in turn, the order of
the two changing with each. A figure is the median of the rounds, with the least and the most of them.

`parvis-load {}`

- **A join** is a whole one: a TCP connection, the WebSocket, the server’s JoinResponse, its offer and our answer, ICE and
  DTLS. **Welcomed** is when the JoinResponse is there, **connected** when media could flow, both from before the TCP connection is
  opened. Clients join by `/rtc`, whose connection for receiving is made at once; the one for sending comes when somebody
  publishes, and nobody does.
- **Processor time** is the server’s, user and system, of all its threads, from the beginning of the first join or
  request until a second after the end of the last, because both do things after they have answered. It contains what being
  there costs those who are. **Joins and requests for a second of processor time** are their number divided by it: what
  a core could do if nothing else were in the way, whoever’s limit the rate itself was. It is the figure to compare; **in a second**
  is what really came, and the shares of both cores beside it say who had time left.
- **Memory** is what the resident memory grew by, from before the first joined until all had been there for the time that
  the command says, divided by their number. What the kernel keeps for their sockets is not in it: both have one for each WebSocket,
  and one for all media.
- **Requests** are Twirp with protobuf over connections that are kept, one after the other on each; every 64th answer
  is read and checked, the first one included.
- After joining, after changing and after the requests both servers are asked by ListRooms and ListParticipants who is there:
  a run counts only if those are all 1,000, each of them ACTIVE in his room.

The load answers checks and checks back as a browser does, and is a whole client for each participant, with DTLS of its own; its
own turn is in all times. It offers the versions of DTLS and the key exchanges that browsers offer, and AES-128-GCM for media.
What comes of it: {}

Both have their own defaults, but for addresses, ports and keys. Parvis is told besides that one address may join at any rate
(`http.joins_per_address`) and open 10,000 connections (`http.max_connections_per_address`): LiveKit has no such limits. (`media.start_bitrate`
is raised as in [peers.md](peers.md), which changes nothing where nobody sends.)

{}
![Joins, memory, join times and requests of both servers](signal.svg)

",
        figures::date(),
        figures::machine_line(),
        versions.join(", "),
        measured.seen.len(),
        measured.arguments,
        encryption(measured),
        figures::table(&targets),
    );
    for which in BOTH {
        page.push_str(&rounds::failed(&measured.seen, which).unwrap_or_default());
        page.push_str(&limited(measured, which).unwrap_or_default());
    }
    for Section { title, what, measures } in outcome::sections() {
        let _ = write!(page, "## {title}\n\n{what}\n\n{}", rounds::head(&BOTH));
        for measure in &measures {
            page.push_str(&rounds::row(&BOTH, &measured.seen, measure));
        }
        page.push('\n');
    }
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

/// What each took.
fn encryption(measured: &Measured) -> String {
    let of = |which: Which| {
        let run = rounds::runs(&measured.seen, which).next()?;
        Some(format!("{}: {}.", which.name(), run.encryption))
    };
    BOTH.into_iter().filter_map(of).collect::<Vec<_>>().join(" ")
}

/// Whether the load was ever what was slow.
fn limited(measured: &Measured, which: Which) -> Option<String> {
    let limits = || rounds::runs(&measured.seen, which).filter_map(|run| run.limits().next());
    let (name, first, count, all) = (which.name(), limits().next()?, limits().count(), measured.seen.len());
    Some(format!(
        "{name}, {count} of {all} rounds: the load itself was the limit, so that more could come in a second than is told here; \
         in one, {first}.\n\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::super::outcome::tests::round;
    use super::*;

    #[test]
    fn the_page_has_spread_and_failures_and_says_when_the_load_was_the_limit() {
        let mut limited = round(400.0);
        if let Some(Ok(run)) = limited.get_mut(&Which::Parvis) {
            run.filling.work.limit = Some("the load took 95 % of its core".to_owned());
        }
        let mut left = round(300.0);
        left.insert(Which::LiveKit, Err("it left".to_owned()));
        let seen = vec![round(200.0), limited, left];
        let arguments = "crowd --rooms 100".to_owned();
        let measured = Measured { arguments, seen, versions: [].into() };
        let page = page(&measured, &outcome::figures(&measured));
        for part in [
            "| joins for a second of processor time | 1/s | 900 (600–1200) | 300 (200–400) | 3 |",
            "| memory for an idle participant, of LiveKit’s |  | 0.2 | 0.2 | 0.2 | 2 | ≤ 0.5 | yes |",
            "| joins for a second of processor time, of LiveKit’s |  | 3 | 3 | 3 | 2 | ≥ 2 | yes |",
            "LiveKit did not come through 1 of 3 rounds; in one, it left.",
            "Parvis, 1 of 3 rounds: the load itself was the limit",
            "in one, the load took 95 % of its core.",
            "Parvis: DTLSv1.3. LiveKit: DTLSv1.2.",
            "`parvis-load crowd --rooms 100`",
            "| messages that followed each |  | 10 | 10 | 1 |",
        ] {
            assert!(page.contains(part), "{part}\n{page}");
        }
    }
}
