// SPDX-License-Identifier: EUPL-1.2
//! Meetings as they are conducted, from their seeds; and that whatever looks at them sees what is wrong.

use std::collections::BTreeMap;

use parvis_sim::assembly::{self, Slip};

#[test]
fn whatever_people_ask_for_a_meeting_holds() {
    let (mut looks, mut done) = (0, BTreeMap::<String, u64>::new());
    for seed in 0..300 {
        let course = assembly::run(seed, None);
        assert_eq!(course.failures, [""; 0], "seed {seed}");
        looks += course.looks;
        for (command, times) in course.done {
            *done.entry(command).or_default() += times;
        }
    }
    assert!(looks > 3_000, "{looks}");
    // Each command of docs/meeting-protocol.md was asked for by somebody who got it.
    assert_eq!(done.len(), 28, "{done:?}");
    assert!(done.values().sum::<u64>() > 3_000, "{done:?}");
}

#[test]
fn a_course_of_one_seed_is_the_same_twice_and_no_other_seeds() {
    let traces: Vec<u64> = (0..20).map(|seed| assembly::run(seed, None).trace).collect();
    for (seed, trace) in traces.iter().enumerate() {
        assert_eq!(assembly::run(seed as u64, None).trace, *trace, "seed {seed}");
    }
    assert!(traces.windows(2).all(|two| two[0] != two[1]));
}

#[test]
fn what_is_overheard_left_out_or_repeated_is_found() {
    for (slip, said) in
        [(Slip::Overheard, "is sent word"), (Slip::Emptied, "was told"), (Slip::Repeated, "told again")]
    {
        // Rooms to say something to are open in few courses.
        let mut failures = (0..300).flat_map(|seed| assembly::run(seed, Some(slip)).failures);
        assert!(failures.any(|failure| failure.contains(said)), "{slip:?}");
    }
}
