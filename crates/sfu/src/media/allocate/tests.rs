// SPDX-License-Identifier: EUPL-1.2
//! Tables of many tracks and budgets, and what holds for all of them.

use proptest::prelude::*;

use super::ladder::Ladder;
use super::share::{Class, Demand, Importance, Terms, share_out};

/// A camera with three sizes, in kbit/s.
const CAMERA: &[u64] = &[150, 500, 1700];

fn demand(kilobits: &[u64], importance: Importance) -> Demand {
    let bitrates: Vec<u64> = kilobits.iter().map(|kilobits| kilobits * 1000).collect();
    Demand { slot: 0, importance, ladder: Ladder::of(&bitrates), current: None, paused: false, given: None }
}

fn class(class: Class) -> Importance {
    Importance { own: 0, class }
}

fn pinned(own: u32) -> Importance {
    Importance { own, class: Class::Other }
}

fn sorted(mut demands: Vec<Demand>) -> Vec<Demand> {
    demands.sort_by_key(|demand| std::cmp::Reverse(demand.importance));
    demands
}

/// One turn; whether something went down.
fn turn(demands: &mut [Demand], kilobits: u64, held: bool) -> bool {
    let budget = kilobits * 1000;
    let lowered = share_out(demands, Terms { budget, budget_by_delay: budget, young: false, held });
    for demand in demands {
        demand.paused = demand.given.is_none();
        demand.current = demand.given;
    }
    lowered
}

/// Turns until nothing moves.
fn settle(demands: &mut [Demand], kilobits: u64) {
    for _ in 0..200 {
        let before = given(demands);
        turn(demands, kilobits, false);
        if before == given(demands) {
            return;
        }
    }
    panic!("it never comes to rest: {:?}", given(demands));
}

fn given(demands: &[Demand]) -> Vec<Option<usize>> {
    demands.iter().map(|demand| demand.given).collect()
}

fn spent(demands: &[Demand]) -> u64 {
    demands.iter().filter_map(|demand| Some(demand.ladder.bitrate(demand.given?))).sum()
}

/// What each demand gets, as text: `-` for paused.
fn picture(demands: &[Demand]) -> String {
    demands.iter().map(|demand| demand.given.map_or("-".into(), |given| given.to_string())).collect()
}

#[test]
fn losses_alone_leave_the_most_important_its_lowest_level() {
    let mut demands =
        sorted(vec![demand(CAMERA, Importance::default()), demand(CAMERA, class(Class::Speaker))]);
    settle(&mut demands, 1000);
    assert_eq!(picture(&demands), "10");
    let mut lossy = |budget_by_delay: u64| {
        for _ in 0..5 {
            let terms = Terms { budget: 60_000, budget_by_delay, young: false, held: true };
            share_out(&mut demands, terms);
            for demand in &mut demands {
                demand.paused = demand.given.is_none();
                demand.current = demand.given;
            }
        }
        picture(&demands)
    };
    assert_eq!(lossy(250_000), "0-");
    assert_eq!(lossy(150_000), "0-", "what is in use stays while it fits at all");
    assert_eq!(lossy(140_000), "--", "the path can't carry it");
    assert_eq!(lossy(150_000), "--", "it takes more to come back");
    assert_eq!(lossy(180_000), "0-");
}

#[test]
fn what_losses_leave_is_not_raised_beyond_the_budget() {
    // A step that costs less than the budget, over a level that costs more.
    let mut demands = vec![demand(&[150, 200], Importance::default())];
    let terms = Terms { budget: 60_000, budget_by_delay: 250_000, young: false, held: false };
    share_out(&mut demands, terms);
    assert_eq!(picture(&demands), "0");
}

#[test]
fn budgets_buy_the_lowest_of_all_first_and_then_more_in_turn() {
    let four = || vec![demand(CAMERA, Importance::default()); 4];
    let table = [
        (100, "----"),
        (180, "0---"),
        (520, "000-"),
        (690, "0000"),
        (1100, "1000"),
        (1900, "1110"),
        (2300, "1111"),
        (3680, "2111"),
        (6500, "2221"),
        (7820, "2222"),
    ];
    for (kilobits, expected) in table {
        let mut demands = four();
        settle(&mut demands, kilobits);
        assert_eq!(picture(&demands), expected, "{kilobits} kbit/s");
    }
}

#[test]
fn who_matters_more_goes_first_and_has_a_head_start() {
    let all = || {
        sorted(vec![
            demand(CAMERA, Importance::default()),
            demand(CAMERA, class(Class::Speaker)),
            demand(&[400, 1500], class(Class::Screen)),
            demand(CAMERA, pinned(5)),
        ])
    };
    let order: Vec<Importance> = all().iter().map(|demand| demand.importance).collect();
    assert_eq!(order, [pinned(5), class(Class::Screen), class(Class::Speaker), Importance::default()]);
    // Pinned, screen, speaker, other.
    for (kilobits, expected) in [
        (180, "0---"),
        (640, "00--"),
        (980, "0000"),
        (1400, "1000"),
        (2800, "2000"),
        (4100, "2100"),
        (4500, "2110"),
    ] {
        let mut demands = all();
        settle(&mut demands, kilobits);
        assert_eq!(picture(&demands), expected, "{kilobits} kbit/s");
    }
}

#[test]
fn a_drop_costs_one_level_of_one_track_and_a_deep_one_spares_the_important() {
    let mut demands = sorted(vec![
        demand(CAMERA, class(Class::Screen)),
        demand(CAMERA, Importance::default()),
        demand(CAMERA, Importance::default()),
    ]);
    settle(&mut demands, 6000);
    assert_eq!(picture(&demands), "222");
    assert!(turn(&mut demands, 4500, false));
    assert_eq!(picture(&demands), "221", "the last one gives one level, nobody freezes");
    assert!(turn(&mut demands, 3000, false));
    assert_eq!(picture(&demands), "211");
    assert!(turn(&mut demands, 1000, false));
    assert_eq!(picture(&demands), "100");
    assert!(turn(&mut demands, 200, false));
    assert_eq!(picture(&demands), "0--");
}

#[test]
fn a_newcomer_gets_its_lowest_level_from_those_who_have_more() {
    let mut demands = vec![demand(CAMERA, Importance::default()); 2];
    settle(&mut demands, 1200);
    assert_eq!(picture(&demands), "11");
    demands.push(demand(CAMERA, Importance::default()));
    turn(&mut demands, 1200, true);
    assert_eq!(picture(&demands), "100", "even while nothing goes up: it is new, not recovering");
}

#[test]
fn going_up_changes_one_size_at_a_time() {
    let mut demands = vec![demand(CAMERA, Importance::default()); 3];
    let mut pictures = Vec::new();
    for _ in 0..8 {
        turn(&mut demands, 10_000, false);
        pictures.push(picture(&demands));
    }
    assert_eq!(pictures, ["100", "110", "111", "211", "221", "222", "222", "222"]);
}

#[test]
fn what_was_paused_waits_while_nothing_may_go_up() {
    let mut demands = vec![demand(CAMERA, Importance::default()); 2];
    settle(&mut demands, 400);
    turn(&mut demands, 200, false);
    assert_eq!(picture(&demands), "0-");
    turn(&mut demands, 2000, true);
    assert_eq!(picture(&demands), "0-");
    turn(&mut demands, 2000, false);
    assert_eq!(picture(&demands), "10");
}

#[test]
fn in_its_first_seconds_nobody_is_paused() {
    let mut demands = vec![demand(CAMERA, Importance::default()); 3];
    share_out(&mut demands, Terms { budget: 100_000, budget_by_delay: 100_000, young: true, held: false });
    assert_eq!(picture(&demands), "000");
}

fn any_importance() -> impl Strategy<Value = Importance> {
    let class = prop_oneof![4 => Just(Class::Other), 1 => Just(Class::Speaker), 1 => Just(Class::Screen)];
    (prop_oneof![4 => Just(0u32), 1 => 1u32..4], class).prop_map(|(own, class)| Importance { own, class })
}

fn any_demands() -> impl Strategy<Value = Vec<Demand>> {
    let ladder = prop::collection::vec(20u64..1200, 1..6).prop_map(|steps| {
        let mut sum = 0;
        steps
            .iter()
            .map(|step| {
                sum += step;
                sum
            })
            .collect::<Vec<u64>>()
    });
    let one = (ladder, any_importance()).prop_map(|(ladder, importance)| demand(&ladder, importance));
    prop::collection::vec(one, 1..12).prop_map(sorted)
}

/// Every step in the order in which steps are given, and whether it was.
fn steps(demands: &[Demand]) -> Vec<bool> {
    let mut order = Vec::new();
    for (at, demand) in demands.iter().enumerate() {
        let head_start = match (demand.importance.own, demand.importance.class) {
            (1.., _) => 3,
            (0, Class::Screen) => 2,
            (0, Class::Speaker) => 1,
            (0, Class::Other) => 0,
        };
        for level in 0..demand.ladder.len() {
            let height = if level == 0 { i32::MIN } else { level as i32 - head_start };
            order.push((height, std::cmp::Reverse(demand.importance), at, demand.given >= Some(level)));
        }
    }
    order.sort();
    order.into_iter().map(|(.., given)| given).collect()
}

proptest! {
    /// Whatever was there before: never more than the budget and what is given away before something goes down.
    #[test]
    fn never_over_budget_beyond_hysteresis(mut demands in any_demands(), budgets in prop::collection::vec(20u64..9000, 1..12)) {
        for kilobits in budgets {
            turn(&mut demands, kilobits, false);
            prop_assert!(spent(&demands) * 95 / 100 <= kilobits * 1000, "{} of {kilobits}", spent(&demands));
        }
    }

    /// Nobody who matters less is above its lowest level while someone who matters more has nothing.
    #[test]
    fn none_above_its_minimum_while_a_more_important_one_is_paused(
        mut demands in any_demands(), budgets in prop::collection::vec(20u64..9000, 1..12),
    ) {
        for kilobits in budgets {
            turn(&mut demands, kilobits, false);
            for paused in demands.iter().filter(|demand| demand.given.is_none()) {
                let above = demands.iter().find(|other| other.importance < paused.importance && other.given > Some(0));
                prop_assert!(above.is_none(), "{}", picture(&demands));
            }
        }
    }

    /// With more, the first step that differs is one that was taken and not one that was left out.
    #[test]
    fn more_budget_never_takes_an_earlier_step_away(demands in any_demands(), less in 20u64..8000, more in 0u64..3000) {
        let (mut with_less, mut with_more) = (demands.clone(), demands);
        settle(&mut with_less, less);
        settle(&mut with_more, less + more);
        prop_assert!(steps(&with_less) <= steps(&with_more), "{} and {}", picture(&with_less), picture(&with_more));
    }

    /// An estimate that wavers by 5 % takes nothing away, once its best was seen.
    #[test]
    fn five_percent_of_noise_lowers_nothing(
        mut demands in any_demands(), kilobits in 100u64..8000, noise in prop::collection::vec(950u64..=1050, 20..60),
    ) {
        settle(&mut demands, kilobits * 105 / 100);
        for permille in noise {
            let before = given(&demands);
            let lowered = turn(&mut demands, kilobits * permille / 1000, false);
            prop_assert!(!lowered, "{before:?} became {:?}", given(&demands));
        }
    }

    /// From any state to rest, without going round in circles.
    #[test]
    fn it_comes_to_rest(mut demands in any_demands(), first in 20u64..9000, then in 20u64..9000) {
        settle(&mut demands, first);
        settle(&mut demands, then);
    }
}
