// SPDX-License-Identifier: EUPL-1.2
//! Sharing a budget out. Everything here is arithmetic on ladders of levels: what is in use, what each step costs, who
//! matters more.
//!
//! Steps have one order for all: lower levels first, then by importance; who matters more has a head start of a few
//! levels. Levels are given along this order and taken back against it, so that a little less bandwidth costs one level
//! of one track, and the same bandwidth leads to the same picture whichever way it was come by.

use super::ladder::Ladder;

/// Going up needs this much more than all costs, in percent; staying needs this much less. A budget that wavers by 5 %
/// moves nothing: what was raised at 115 % still stays at 95 % of it.
const RAISE_PERCENT: u64 = 115;
const STAY_PERCENT: u64 = 95;

/// How much a track matters to a subscriber; greater goes first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Importance {
    /// The subscriber's own order; 0 leaves it to us.
    pub(super) own: u32,
    pub(super) class: Class,
}

/// What kind of track it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    #[default]
    Other,
    Speaker,
    Screen,
}

impl Importance {
    /// How many levels it is ahead of others in going up.
    fn head_start(self) -> i32 {
        match self.class {
            _ if self.own > 0 => 3,
            Class::Screen => 2,
            Class::Speaker => 1,
            Class::Other => 0,
        }
    }
}

/// A video subscription that asks for bandwidth.
#[derive(Debug, Clone)]
pub(crate) struct Demand {
    /// Its subscription's place.
    pub(super) slot: usize,
    pub(super) importance: Importance,
    pub(super) ladder: Ladder,
    /// The level in use; `None` when it is paused or new.
    pub(super) current: Option<usize>,
    /// It was paused, which must show to be over before it is taken up again.
    pub(super) paused: bool,
    /// The level given.
    pub(super) given: Option<usize>,
}

impl Demand {
    fn cost(&self, level: Option<usize>) -> u64 {
        level.map_or(0, |level| self.ladder.bitrate(level))
    }

    /// The place of a step to `level` in the order of all steps.
    fn height(&self, level: usize) -> i32 {
        // The lowest level of all comes first, whoever's it is.
        if level == 0 { i32::MIN } else { level as i32 - self.importance.head_start() }
    }
}

/// What holds for one turn of sharing out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// In bits per second.
    pub(super) budget: u64,
    /// The budget if losses were no reason to send less: what the path carries without its queues growing.
    pub(super) budget_by_delay: u64,
    /// The estimate is too young to pause anything.
    pub(super) young: bool,
    /// Something went down a moment ago: nothing goes up.
    pub(super) held: bool,
}

/// Gives levels within the budget; `demands` go by importance, greatest first. Whether one went down or away.
pub(super) fn share_out(demands: &mut [Demand], terms: Terms) -> bool {
    for demand in demands.iter_mut() {
        demand.given = demand.current.and_then(|current| demand.ladder.clamp(current));
    }
    let mut spent: u64 = demands.iter().map(|demand| demand.cost(demand.given)).sum();
    let floor = if terms.young { 1 } else { 0 };
    while spent * STAY_PERCENT / 100 > terms.budget {
        let Some(victim) = last_step(demands, floor, None) else { break };
        spent -= take_step(&mut demands[victim]);
    }
    for at in 0..demands.len() {
        let demand = &demands[at];
        if demand.given.is_none() && !demand.ladder.is_empty() && !(terms.held && demand.paused) {
            spent = give_lowest(demands, at, spent, terms);
        }
    }
    // Nobody is above the lowest level while someone who matters more has none.
    if let Some(first) = demands.iter().position(|demand| demand.given.is_none() && !demand.ladder.is_empty())
    {
        let importance = demands[first].importance;
        for demand in demands.iter_mut().filter(|demand| demand.importance < importance) {
            while demand.given.is_some_and(|given| given > 0) {
                spent -= take_step(demand);
            }
        }
    }
    spent += keep_last(demands, terms.budget_by_delay);
    let lowered = demands.iter().any(|demand| demand.given < demand.current);
    if !lowered && !terms.held {
        raise(demands, spent, terms.budget);
    }
    lowered
}

/// Losses alone never take the last picture: a lowest level with holes is repaired and shows something, and a link that
/// loses what little is sent on it loses no less when that is nothing. What it costs.
fn keep_last(demands: &mut [Demand], budget_by_delay: u64) -> u64 {
    if demands.iter().any(|demand| demand.given.is_some()) {
        return 0;
    }
    let fits = |demand: &&mut Demand| {
        let percent = if demand.current.is_some() { STAY_PERCENT } else { RAISE_PERCENT };
        !demand.ladder.is_empty() && demand.cost(Some(0)) * percent / 100 <= budget_by_delay
    };
    let Some(first) = demands.iter_mut().find(fits) else { return 0 };
    first.given = Some(0);
    first.cost(first.given)
}

/// Gives a demand its lowest level, at the cost of others' higher ones and of less important ones if need be. What is
/// spent then.
fn give_lowest(demands: &mut [Demand], at: usize, spent: u64, terms: Terms) -> u64 {
    let wanted = spent + demands[at].cost(Some(0));
    let fits = |spent: u64| spent * RAISE_PERCENT / 100 <= terms.budget;
    let mut after = wanted;
    if !fits(after) {
        // What could be had from others, looked at before anything is taken.
        let importance = demands[at].importance;
        let others = demands.iter().filter(|other| other.given.is_some());
        let least: u64 = others
            .map(|other| if other.importance < importance { 0 } else { other.cost(Some(0)) })
            .sum::<u64>()
            + demands[at].cost(Some(0));
        if fits(least) {
            while !fits(after) {
                let Some(victim) = last_step(demands, 0, Some(importance)) else { break };
                after -= take_step(&mut demands[victim]);
            }
        } else if !terms.young {
            return spent;
        }
    }
    demands[at].given = Some(0);
    after
}

/// Who has the last of all steps above `floor`: whose level goes first when there is less. With `above`, a lowest level
/// is taken from nobody who matters as much as that.
fn last_step(demands: &[Demand], floor: usize, above: Option<Importance>) -> Option<usize> {
    let with_steps = demands.iter().enumerate().filter(|(_, demand)| {
        let spared = above.is_some_and(|importance| demand.importance >= importance);
        demand.given.is_some_and(|given| given >= floor.max(usize::from(spared)))
    });
    with_steps
        .max_by_key(|(at, demand)| {
            let height = demand.height(demand.given.unwrap_or(0));
            (height, std::cmp::Reverse(demand.importance), *at)
        })
        .map(|(at, _)| at)
}

/// Takes a level away. What that saves.
fn take_step(demand: &mut Demand) -> u64 {
    let before = demand.cost(demand.given);
    demand.given = demand.given.and_then(|given| given.checked_sub(1));
    before - demand.cost(demand.given)
}

/// Raises levels along the order of steps as far as they fit, but changes only one track's picture size at a time: each
/// costs a key frame, and shows whether the path bears it.
fn raise(demands: &mut [Demand], mut spent: u64, budget: u64) {
    let mut resized = None;
    let blocked = demands.iter().find(|demand| demand.given.is_none() && !demand.ladder.is_empty());
    let blocked = blocked.map(|demand| demand.importance);
    // Who failed a step, by place; more than 128 tracks of one subscriber wait for the next turn.
    let mut failed: u128 = 0;
    loop {
        let next = demands
            .iter()
            .enumerate()
            .take(128)
            .filter(|(at, demand)| {
                failed >> at & 1 == 0
                    && demand.given.is_some_and(|given| given + 1 < demand.ladder.len())
                    && blocked.is_none_or(|importance| demand.importance >= importance)
            })
            .min_by_key(|(at, demand)| {
                let height = demand.height(demand.given.unwrap_or(0) + 1);
                (height, std::cmp::Reverse(demand.importance), *at)
            })
            .map(|(at, _)| at);
        let Some(at) = next else { return };
        let demand = &mut demands[at];
        let level = demand.given.unwrap_or(0) + 1;
        let more = spent + demand.cost(Some(level)) - demand.cost(demand.given);
        let resizes = demand.ladder.changes_size(level);
        if more * RAISE_PERCENT / 100 > budget {
            failed |= 1 << at;
        } else if resizes && *resized.get_or_insert(at) != at {
            return;
        } else {
            demand.given = Some(level);
            spent = more;
        }
    }
}
