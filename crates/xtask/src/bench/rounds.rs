// SPDX-License-Identifier: EUPL-1.2
//! Rounds in which both servers have their turn, and what many of them came to.

use std::fmt::Display;
use std::path::Path;
use std::time::Instant;

use super::figures::{Figure, rounded};
use super::server::{Server, Which};
use crate::sh::{Result, say};

pub(super) const BOTH: [Which; 2] = [Which::Parvis, Which::LiveKit];

/// A run, or why it did not come to its end.
pub(super) type Seen<R> = std::result::Result<R, String>;
/// One thing to read from a run; `None` where it has none.
pub(super) type Read<R> = fn(&R) -> Option<f64>;
/// Its name, its unit and where it is read.
pub(super) type Measure<R> = (&'static str, &'static str, Read<R>);

/// Both servers' turns, each with a server of its own.
pub(super) struct Turns<'a> {
    pub(super) livekit: &'a Path,
    pub(super) begun: Instant,
}

impl Turns<'_> {
    /// One round: A B, then B A, so that what slowly changes on the machine hits both alike.
    pub(super) fn pair<R: Display>(
        &self,
        round: usize,
        title: &str,
        run: impl Fn(&Server) -> Result<Seen<R>>,
    ) -> Result<[Seen<R>; 2]> {
        let once = |which: Which| -> Result<Seen<R>> {
            say(&format!("{:4} s  {title}: {}", self.begun.elapsed().as_secs(), which.name()));
            let seen = run(&Server::start(which, self.livekit)?)?;
            match &seen {
                Ok(run) => say(&format!("        {run}")),
                Err(why) => say(&format!("        it did not come to its end: {why}")),
            }
            Ok(seen)
        };
        if round.is_multiple_of(2) {
            let parvis = once(Which::Parvis)?;
            Ok([parvis, once(Which::LiveKit)?])
        } else {
            let livekit = once(Which::LiveKit)?;
            Ok([once(Which::Parvis)?, livekit])
        }
    }
}

/// The runs of one server that came to their end.
pub(super) fn runs<R>(seen: &[[Seen<R>; 2]], which: Which) -> impl Iterator<Item = &R> {
    seen.iter().filter_map(move |pair| pair[place(which)].as_ref().ok())
}

/// Why runs of one server did not.
pub(super) fn failures<R>(seen: &[[Seen<R>; 2]], which: Which) -> Vec<&str> {
    seen.iter().filter_map(|pair| pair[place(which)].as_ref().err()).map(String::as_str).collect()
}

fn place(which: Which) -> usize {
    usize::from(which == Which::LiveKit)
}

/// One server's values.
pub(super) fn values<R>(seen: &[[Seen<R>; 2]], which: Which, read: Read<R>) -> Vec<f64> {
    runs(seen, which).filter_map(read).collect()
}

/// Parvis' value as a share of LiveKit's, for each round that both came through.
pub(super) fn shares<R>(seen: &[[Seen<R>; 2]], read: Read<R>) -> Vec<f64> {
    let of = |[parvis, livekit]: &[Seen<R>; 2]| {
        let (ours, theirs) = (read(parvis.as_ref().ok()?)?, read(livekit.as_ref().ok()?)?);
        (theirs > 0.0).then_some(ours / theirs)
    };
    seen.iter().filter_map(of).collect()
}

/// A row of a page's table: both servers' medians with the least and the most, and the share of one in the other.
pub(super) fn row<R>(seen: &[[Seen<R>; 2]], (what, unit, read): &Measure<R>) -> String {
    let of = |which| spread(&values(seen, which, *read));
    let share = spread(&shares(seen, *read));
    format!("| {what} | {unit} | {} | {} | {share} |\n", of(Which::Parvis), of(Which::LiveKit))
}

/// The head of such a table.
pub(super) const ROWS: &str = "| | unit | Parvis | LiveKit | Parvis / LiveKit |\n|---|---|---|---|---|\n";

/// How many rounds a server did not come through, and why not in one of them.
pub(super) fn failed<R>(seen: &[[Seen<R>; 2]], which: Which) -> Option<String> {
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
        let pair = |ours: f64| [Ok(ours), Ok(10.0 * ours)];
        let seen = vec![pair(100.0), [Ok(9.0), Err("lost".to_owned())], pair(200.0)];
        let read: Read<f64> = |value| Some(*value);
        assert_eq!(shares(&seen, read), [0.1, 0.1]);
        assert_eq!(values(&seen, Which::Parvis, read), [100.0, 9.0, 200.0]);
        assert_eq!(failures(&seen, Which::LiveKit), ["lost"]);
        assert_eq!(
            row(&seen, &("time", "ms", read)),
            "| time | ms | 100 (9–200) | 1500 (1000–2000) | 0.1 |\n"
        );
        let told = failed(&seen, Which::LiveKit);
        assert_eq!(told.as_deref(), Some("LiveKit did not come through 1 of 3 rounds; in one, lost.\n\n"));
        assert_eq!(failed(&seen, Which::Parvis), None);
    }
}
