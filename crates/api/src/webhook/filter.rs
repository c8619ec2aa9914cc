// SPDX-License-Identifier: EUPL-1.2
//! Which events a target is told of.

/// All events that there are, in the protocol's words.
pub(super) const EVENTS: [&str; 14] = [
    "room_started",
    "room_finished",
    "participant_joined",
    "participant_left",
    "participant_connection_aborted",
    "track_published",
    "track_unpublished",
    "egress_started",
    "egress_updated",
    "egress_ended",
    "ingress_started",
    "ingress_ended",
    "agent_job_started",
    "agent_job_ended",
];

/// Whether an event is wanted by these lists (`FilterParams`): those that are included alone, if there are some; else all but
/// those that are excluded.
pub(super) fn is_wanted(include: &[String], exclude: &[String], event: &str) -> bool {
    let names = |list: &[String]| list.iter().any(|name| name == event);
    if include.is_empty() { !names(exclude) } else { names(include) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_included_goes_before_what_is_excluded() {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let (none, left, joined) = (list(&[]), list(&["participant_left"]), list(&["participant_joined"]));
        assert!(is_wanted(&none, &none, "participant_left"));
        assert!(!is_wanted(&none, &left, "participant_left") && is_wanted(&none, &left, "room_started"));
        assert!(
            is_wanted(&left, &left, "participant_left") && !is_wanted(&joined, &none, "participant_left")
        );
    }
}
