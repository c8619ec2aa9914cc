// SPDX-License-Identifier: EUPL-1.2
//! Rounds in which all servers have their turn, and what many of them came to.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Instant;

use super::figures::{Figure, rounded};
use super::server::{Program, Server, Which};
use crate::sh::{Result, say};

/// Those that are compared wherever LiveKit's protocol is all that is spoken.
pub(super) const BOTH: [Which; 2] = [Which::Parvis, Which::LiveKit];

/// A run, or why it did not come to its end.
pub(super) type Seen<R> = std::result::Result<R, String>;
/// What each server's turn of a round gave.
pub(super) type Round<R> = BTreeMap<Which, Seen<R>>;
/// One thing to read from a run; `None` where it has none.
pub(super) type Read<R> = fn(&R) -> Option<f64>;
/// Its name, its unit and where it is read.
pub(super) type Measure<R> = (&'static str, &'static str, Read<R>);

/// All servers' turns, each with a server of its own.
pub(super) struct Turns<'a> {
    pub(super) programs: &'a [Program],
    pub(super) begun: Instant,
}

impl Turns<'_> {
    /// One round: A B C, then B C A, so that what slowly changes on the machine hits all alike.
    pub(super) fn round<R: Display>(
        &self,
        round: usize,
        title: &str,
        run: impl Fn(&Server) -> Result<Seen<R>>,
    ) -> Result<Round<R>> {
        let mut order: Vec<&Program> = self.programs.iter().collect();
        let first = round % order.len().max(1);
        order.rotate_left(first);
        let turn = |program: &Program| -> Result<(Which, Seen<R>)> {
            let which = program.which;
            say(&format!("{:4} s  {title}: {}", self.begun.elapsed().as_secs(), which.name()));
            // One that does not even begin must not take the others' turns with it.
            let seen = match Server::start(program) {
                Ok(server) => run(&server)?,
                Err(error) => Err(error.to_string()),
            };
            match &seen {
                Ok(run) => say(&format!("        {run}")),
                Err(why) => say(&format!("        it did not come to its end: {why}")),
            }
            Ok((which, seen))
        };
        order.into_iter().map(turn).collect()
    }
}

/// The runs of one server that came to their end.
pub(super) fn runs<R>(seen: &[Round<R>], which: Which) -> impl Iterator<Item = &R> {
    seen.iter().filter_map(move |round| round.get(&which)?.as_ref().ok())
}

/// Why runs of one server did not.
pub(super) fn failures<R>(seen: &[Round<R>], which: Which) -> Vec<&str> {
    seen.iter().filter_map(|round| round.get(&which)?.as_ref().err()).map(String::as_str).collect()
}

/// One server's values.
pub(super) fn values<R>(seen: &[Round<R>], which: Which, read: Read<R>) -> Vec<f64> {
    runs(seen, which).filter_map(read).collect()
}

/// Parvis' value as a share of LiveKit's, for each round that both came through.
pub(super) fn shares<R>(seen: &[Round<R>], read: Read<R>) -> Vec<f64> {
    let of = |round: &Round<R>| {
        let value = |which| read(round.get(&which)?.as_ref().ok()?);
        let (ours, theirs) = (value(Which::Parvis)?, value(Which::LiveKit)?);
        (theirs > 0.0).then_some(ours / theirs)
    };
    seen.iter().filter_map(of).collect()
}

/// A row of a page's table: these servers' medians with the least and the most, and Parvis' share of LiveKit's.
pub(super) fn row<R>(servers: &[Which], seen: &[Round<R>], (what, unit, read): &Measure<R>) -> String {
    let of = |which: &Which| spread(&values(seen, *which, *read));
    let columns: Vec<String> = servers.iter().map(of).collect();
    format!("| {what} | {unit} | {} | {} |\n", columns.join(" | "), spread(&shares(seen, *read)))
}

/// The head of such a table.
pub(super) fn head(servers: &[Which]) -> String {
    let names: Vec<&str> = servers.iter().map(|which| which.name()).collect();
    let rule = "---|".repeat(servers.len() + 3);
    format!("| | unit | {} | Parvis / LiveKit |\n|{rule}\n", names.join(" | "))
}

/// How many rounds a server did not come through, and why not in one of them.
pub(super) fn failed<R>(seen: &[Round<R>], which: Which) -> Option<String> {
    let failures = failures(seen, which);
    let first = failures.first()?;
    let (name, count, all) = (which.name(), failures.len(), seen.len());
    Some(format!("{name} did not come through {count} of {all} rounds; in one, {first}.\n\n"))
}

/// The median, and the least and the most where they differ.
pub(super) fn spread(values: &[f64]) -> String {
    let Some(figure) = Figure::of("", "", values, None) else { return "–".to_owned() };
    let [median, least, most] = [figure.median, figure.min, figure.max].map(rounded);
    if least == most { median } else { format!("{median} ({least}–{most})") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_one_round_and_a_run_that_failed_takes_no_part() {
        let of = |parvis, livekit| Round::from([(Which::Parvis, parvis), (Which::LiveKit, livekit)]);
        let pair = |ours: f64| of(Ok(ours), Ok(10.0 * ours));
        let mut last = pair(200.0);
        last.insert(Which::Janus, Ok(7.0));
        let seen = vec![pair(100.0), of(Ok(9.0), Err("lost".to_owned())), last];
        let read: Read<f64> = |value| Some(*value);
        assert_eq!(shares(&seen, read), [0.1, 0.1]);
        assert_eq!(values(&seen, Which::Parvis, read), [100.0, 9.0, 200.0]);
        assert_eq!(failures(&seen, Which::LiveKit), ["lost"]);
        assert_eq!(
            row(&BOTH, &seen, &("time", "ms", read)),
            "| time | ms | 100 (9–200) | 1500 (1000–2000) | 0.1 |\n"
        );
        let three = [Which::Parvis, Which::Janus, Which::Mediasoup];
        assert_eq!(row(&three, &seen, &("time", "ms", read)), "| time | ms | 100 (9–200) | 7 | – | 0.1 |\n");
        assert_eq!(
            head(&three),
            "| | unit | Parvis | Janus | mediasoup | Parvis / LiveKit |\n|---|---|---|---|---|---|\n"
        );
        let told = failed(&seen, Which::LiveKit);
        assert_eq!(told.as_deref(), Some("LiveKit did not come through 1 of 3 rounds; in one, lost.\n\n"));
        assert_eq!(failed(&seen, Which::Parvis), None);
    }
}
