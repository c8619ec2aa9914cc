// SPDX-License-Identifier: EUPL-1.2
//! A load that rises step by step: what comes after each, and which was the best.

use crate::Scenario;
use crate::report::Window;

/// What follows a step.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// A step with so many bits per second of pictures.
    Step(u32),
    /// Nothing; if it was too much for someone, why.
    End(Option<String>),
}

/// What follows `steps`. A bad step is tried once more, since a machine may be elsewhere for a moment; a step that is
/// bad twice was too much.
pub(crate) fn next(scenario: &Scenario, steps: &[Window]) -> Next {
    let Some(last) = steps.last() else { return Next::Step(scenario.video_bitrate) };
    let bits = last.video_bitrate;
    match fault(last) {
        None => scenario.step_after(bits).map_or(Next::End(None), Next::Step),
        Some(_) if scenario.ramp_to.is_none() => Next::End(None),
        Some(why) => {
            let tries = steps.iter().rev().take_while(|step| step.video_bitrate == bits).count();
            if tries < 2 { Next::Step(bits) } else { Next::End(Some(why.to_owned())) }
        }
    }
}

/// The last step without fault, or else the first.
pub(crate) fn best(steps: &[Window]) -> Window {
    let good = steps.iter().rev().find(|step| fault(step).is_none());
    good.or(steps.first()).cloned().unwrap_or_default()
}

/// What was wrong with a step: with the load itself, or with what arrived.
fn fault(step: &Window) -> Option<&str> {
    step.own.limit.as_deref().or(step.trouble.as_deref())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        scenario: Scenario,
    }

    #[test]
    fn a_step_that_is_bad_twice_ends_the_ramp_and_the_one_before_was_the_best() {
        let line = "load --talkers 2 --video-bitrate 100 --ramp-to 400 --ramp-factor 2";
        let scenario = Line::parse_from(line.split(' ')).scenario;
        let step = |video_bitrate, trouble: Option<&str>| Window {
            video_bitrate,
            trouble: trouble.map(str::to_owned),
            ..Window::default()
        };
        let mut steps = vec![step(100, None)];
        assert_eq!(next(&scenario, &steps), Next::Step(200));
        steps.push(step(200, Some("late")));
        assert_eq!(next(&scenario, &steps), Next::Step(200), "once more");
        let mut well = steps.clone();
        well.push(step(200, None));
        assert_eq!(next(&scenario, &well), Next::Step(400));
        well.push(step(400, None));
        assert_eq!(next(&scenario, &well), Next::End(None));
        steps.push(step(200, Some("late")));
        assert_eq!(next(&scenario, &steps), Next::End(Some("late".to_owned())));
        assert_eq!(best(&steps).video_bitrate, 100);
        let mut own = step(400, None);
        own.own.limit = Some("the load".to_owned());
        assert_eq!(best(&[step(200, None), own]).video_bitrate, 200, "the load's own limit is no success");
    }
}
