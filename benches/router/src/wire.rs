// SPDX-License-Identifier: EUPL-1.2
//! What the router is told and what it answers: a line of JSON each.

use std::time::Duration;

use parvis_sim::{BurstLoss, LinkModel};
use serde::{Deserialize, Serialize};

use crate::way::Counts;

/// A line from whoever runs the router. `{}` asks only what was counted.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Request {
    /// What both directions become, unless one is named below.
    pub(crate) both: Option<Model>,
    /// What the direction from end a to end b becomes.
    pub(crate) a_to_b: Option<Model>,
    /// And the other.
    pub(crate) b_to_a: Option<Model>,
    /// Begins to count anew, after the answer.
    pub(crate) reset: bool,
}

/// A [`LinkModel`] with its units in the names. What is not said is zero, and without a rate the link is as fast as it
/// can be.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Model {
    delay_ms: f64,
    jitter_ms: f64,
    loss: f64,
    bursts: Option<Bursts>,
    reorder: f64,
    duplication: f64,
    rate_kbps: Option<u64>,
    queue_ms: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bursts {
    begin: f64,
    end: f64,
    loss: f64,
}

/// Longer than any link that people talk over: a bound for what is held.
const LONGEST_MS: f64 = 10_000.0;

impl Model {
    /// What it means, or what is wrong with it.
    fn check(&self) -> Result<LinkModel, String> {
        let share = |name: &str, value: f64| match (0.0..=1.0).contains(&value) {
            true => Ok(value),
            false => Err(format!("{name}: {value} is no share between 0 and 1")),
        };
        let time = |name: &str, value: f64| match (0.0..=LONGEST_MS).contains(&value) {
            true => Ok(Duration::from_secs_f64(value / 1_000.0)),
            false => Err(format!("{name}: {value} is not between 0 and {LONGEST_MS}")),
        };
        if self.rate_kbps == Some(0) {
            return Err("rate_kbps: 0 lets nothing through; for that, lose all".to_owned());
        }
        let default = LinkModel::default();
        let bursts = self.bursts.as_ref().map(|bursts| {
            let [begin, end, loss] =
                [("bursts.begin", bursts.begin), ("bursts.end", bursts.end), ("bursts.loss", bursts.loss)]
                    .map(|(name, value)| share(name, value));
            Ok::<_, String>(BurstLoss { begin: begin?, end: end?, loss: loss? })
        });
        Ok(LinkModel {
            delay: time("delay_ms", self.delay_ms)?,
            jitter: time("jitter_ms", self.jitter_ms)?,
            loss: share("loss", self.loss)?,
            bursts: bursts.transpose()?,
            reorder: share("reorder", self.reorder)?,
            duplication: share("duplication", self.duplication)?,
            rate: self.rate_kbps.map(|rate| rate.saturating_mul(1_000)),
            queue: self.queue_ms.map_or(Ok(default.queue), |queue| time("queue_ms", queue))?,
        })
    }
}

impl Request {
    /// What each direction becomes, from a to b and back, where it is to change.
    pub(crate) fn models(&self) -> Result<[Option<LinkModel>; 2], String> {
        let of = |own: &Option<Model>| own.as_ref().or(self.both.as_ref()).map(Model::check).transpose();
        Ok([of(&self.a_to_b)?, of(&self.b_to_a)?])
    }
}

/// Reads a line. What it holds has been checked.
pub(crate) fn parse(line: &str) -> Result<Request, String> {
    let request: Request = serde_json::from_str(line).map_err(|error| error.to_string())?;
    request.models()?;
    Ok(request)
}

/// The answer to a line.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Answer {
    /// What was counted.
    Counts { a_to_b: Counts, b_to_a: Counts },
    /// Why the line was not followed; nothing has changed.
    Error { error: String },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_a_model_for_both_ways_or_one() {
        let line = r#"{"both": {"delay_ms": 75, "loss": 0.1, "rate_kbps": 250}, "b_to_a": {"delay_ms": 5}}"#;
        let [there, back] = parse(line).unwrap().models().unwrap();
        let there = there.unwrap();
        assert_eq!((there.delay, there.loss, there.rate), (Duration::from_millis(75), 0.1, Some(250_000)));
        let back = back.unwrap();
        assert_eq!((back.delay, back.loss, back.rate), (Duration::from_millis(5), 0.0, None));
        assert_eq!(parse("{}").unwrap().models().unwrap(), [None, None]);
    }

    #[test]
    fn a_line_that_makes_no_sense_is_refused_with_its_reason() {
        for (line, part) in [
            (r#"{"both": {"loss": 10}}"#, "loss: 10 is no share"),
            (r#"{"both": {"delay_ms": -1}}"#, "delay_ms: -1"),
            (r#"{"both": {"rate_kbps": 0}}"#, "rate_kbps: 0"),
            (r#"{"both": {"bursts": {"begin": 2, "end": 0.1, "loss": 1}}}"#, "bursts.begin: 2"),
            (r#"{"both": {"delay": 10}}"#, "unknown field `delay`"),
            ("loss", "expected"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains(part), "{line}: {error}");
        }
    }
}
