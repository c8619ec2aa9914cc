// SPDX-License-Identifier: EUPL-1.2
//! What was found out, for people.

use std::fmt::Write as _;

use super::probe::{Report, Tried};
use super::running::{Refusal, Stage};
use super::trial::{Outcome, Works};

/// Columns of the text before what is said of an encoder.
const INDENT: usize = 41;

/// A line for each encoder, and above them which one is taken. What an encoder did not take of the settings stands under it.
/// Those that aren't there share a line with others of which the same is said.
pub fn text(report: &Report) -> String {
    let Report { codec, chosen, reason, tried } = report;
    let chosen = chosen.as_deref().unwrap_or("no encoder");
    let mut text = format!("{}: {chosen} ({reason})\n", codec.name());
    let mut rest = tried.as_slice();
    // Writing to a string can't fail.
    while let Some((first, more)) = rest.split_first() {
        let same = match absent(first) {
            Some(why) => more.iter().take_while(|tried| absent(tried) == Some(why)).count(),
            None => 0,
        };
        let names: Vec<_> = rest.iter().take(same + 1).map(|tried| tried.factory.as_str()).collect();
        rest = more.get(same..).unwrap_or_default();
        let Tried { family, shape, outcome, .. } = first;
        if let Some(why) = absent(first) {
            let _ = writeln!(text, "  not there   {}\n{:14}{family}: {why}", names.join(", "), "");
            continue;
        }
        let (state, said) = match outcome {
            Outcome::Works(works) => ("works", format!("{shape}: {}", figures(works))),
            Outcome::Refused(Refusal { stage, why }) => (word(*stage), why.clone()),
            Outcome::NotTried => ("not tried", "one before it is taken".to_owned()),
        };
        let _ = writeln!(text, "  {state:<12}{:<17}{:<10}{said}", first.factory, family.name());
        if let Outcome::Works(works) = outcome {
            for deviation in &works.deviations {
                let _ = writeln!(text, "{:INDENT$}! {deviation}", "");
            }
        }
    }
    text
}

/// Why an encoder isn't there, if it isn't.
fn absent(tried: &Tried) -> Option<&str> {
    match &tried.outcome {
        Outcome::Refused(Refusal { stage: Stage::Lookup, why }) => Some(why),
        _ => None,
    }
}

fn word(stage: Stage) -> &'static str {
    match stage {
        Stage::Lookup => "not there",
        Stage::Open => "won't open",
        Stage::Encode => "fails",
        Stage::Check => "wrong",
        Stage::Process => "hangs/dies",
    }
}

fn figures(works: &Works) -> String {
    let Works { pictures, seconds, .. } = works;
    let Some(full) = &works.full else { return format!("{pictures} pictures in {seconds:.2} s") };
    format!(
        "{:.0} pictures a second, {:.1} kB each, colours off by {} of 255; given up in the middle, {} went on",
        works.rate(),
        full.bytes as f64 / 1000.0 / (*pictures).max(1) as f64,
        full.colour_error,
        full.went_on
    )
}
