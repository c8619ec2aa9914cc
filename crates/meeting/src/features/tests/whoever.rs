// SPDX-License-Identifier: EUPL-1.2
//! Whatever people ask in whatever order: bounds hold, nobody is shown what isn't for them, and whoever's view is another one is
//! among those who are told.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::Hall;
use crate::assembly::{AssemblyLimits, Role};
use crate::features::{Attendance, Breakouts, Chat, Feature, Hands, Notice, Polls, Reactions, Want};

#[derive(Debug, Clone)]
pub(super) enum Step {
    Ask(&'static str, Value),
    Enter(&'static str, Role),
    Leave(&'static str),
    Wait(u64),
    Patched,
    ChatHistory(bool),
}

const PEOPLE: [&str; 6] = ["ada", "bo", "cem", "dora", "eva", "otto"];

/// Small enough that a few dozen steps reach them.
pub(super) fn limits() -> AssemblyLimits {
    AssemblyLimits {
        message_chars: 12,
        messages: 6,
        private_messages: 3,
        messages_bytes: 1_500,
        people_remembered: 5,
        hands: 3,
        hand_kept: Duration::from_millis(1_500),
        reactions: 2,
        reactions_span: Duration::from_millis(1_000),
        polls: 3,
        poll_votes: 3,
        stays: 2,
        breakouts: 3,
        breakout_people: 3,
        broadcasts: 2,
        ..AssemblyLimits::default()
    }
}

fn person() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(&PEOPLE[..])
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![3 => Just("hello".to_owned()), 1 => "\\PC{0,14}", 1 => any::<String>()]
}

fn role() -> impl Strategy<Value = Role> {
    proptest::sample::select(&[Role::Viewer, Role::Speaker, Role::Speaker, Role::Moderator, Role::Owner][..])
}

/// A course of events in which half is asked and half happens.
pub(super) fn steps(command: impl Strategy<Value = Value>) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => (person(), command).prop_map(|(who, command)| Step::Ask(who, command)),
        3 => (person(), role()).prop_map(|(who, role)| Step::Enter(who, role)),
        2 => person().prop_map(Step::Leave),
        2 => (0_u64..2_500).prop_map(Step::Wait),
        1 => Just(Step::Patched),
        1 => any::<bool>().prop_map(Step::ChatHistory),
    ];
    proptest::collection::vec(step, 1..80)
}

/// Goes through the steps; `alike` says of which changes of a view nobody need be told. After each one: what was asked, by whom, and with what answer.
pub(super) fn go<F: Feature + Default>(
    steps: Vec<Step>,
    alike: impl Fn(&Value, &Value) -> bool,
    mut after: impl FnMut(&mut Hall<F>, Option<(&str, &Value, Option<&Value>)>),
) {
    let mut hall = Hall::<F>::with(limits());
    hall.concerned();
    after(&mut hall, None);
    for step in steps {
        let before: BTreeMap<String, Value> =
            hall.members.keys().map(|who| (who.clone(), hall.view(who))).collect();
        match &step {
            Step::Ask(who, command) if hall.members.contains_key(*who) => {
                let answer = hall.ask(who, command.clone());
                if let Err(error) = &answer {
                    assert_eq!(before, hall.members.keys().map(|w| (w.clone(), hall.view(w))).collect());
                    assert!(CODES.contains(&error.code), "{error:?}");
                }
                after(&mut hall, Some((who, command, answer.as_ref().ok())));
            }
            Step::Ask(..) => {}
            Step::Enter(who, role) => hall.enter(who, *role),
            Step::Leave(who) if hall.members.contains_key(*who) => hall.leave(who),
            Step::Leave(_) => {}
            Step::Wait(millis) => hall.wait(Duration::from_millis(*millis)),
            Step::Patched => hall.feature.patched(),
            Step::ChatHistory(shown) => hall.policy.chat_history = *shown,
        }
        of_one_class_are_alike(&hall);
        // Who enters is sent everything anyway.
        let entered = if let Step::Enter(who, _) = step { Some(who) } else { None };
        let told = hall.concerned();
        for (who, view) in before {
            let still_here = hall.members.contains_key(&who) && entered != Some(who.as_str());
            assert!(
                !still_here || told.contains(&who) || alike(&view, &hall.view(&who)),
                "{who} is not told of {step:?}"
            );
        }
        if !matches!(step, Step::Ask(..)) {
            after(&mut hall, None);
        }
    }
}

/// Views that are written once for all of a class are the same for all of it.
fn of_one_class_are_alike<F: Feature + Default>(hall: &Hall<F>) {
    let mut written: BTreeMap<u64, (Value, Value)> = BTreeMap::new();
    for viewer in hall.members.values() {
        let Some(class) = hall.feature.view_class(viewer) else { continue };
        let own = (hall.view(&viewer.identity), hall.patch(&viewer.identity));
        assert_eq!(*written.entry(class).or_insert_with(|| own.clone()), own, "{viewer:?}");
    }
}

const CODES: [&str; 5] = ["not_allowed", "not_found", "bad_value", "too_many", "closed"];

fn chat_command() -> impl Strategy<Value = Value> {
    let to = proptest::option::weighted(0.4, person());
    let send = (text(), to, proptest::option::weighted(0.3, 0_u64..12)).prop_map(
        |(text, to, reply_to)| json!({ "do": "chat.send", "text": text, "to": to, "reply_to": reply_to }),
    );
    let retract = (0_u64..12).prop_map(|message| json!({ "do": "chat.retract", "message": message }));
    prop_oneof![4 => send, 1 => retract]
}

fn hand_command() -> impl Strategy<Value = Value> {
    prop_oneof![
        3 => Just(json!({ "do": "hand.raise" })),
        1 => Just(json!({ "do": "hand.lower" })),
        1 => person().prop_map(|who| json!({ "do": "hand.lower", "identity": who })),
        1 => person().prop_map(|who| json!({ "do": "hand.call", "identity": who })),
    ]
}

fn poll_command() -> impl Strategy<Value = Value> {
    let id = 0_u64..6;
    let open = (any::<bool>(), any::<bool>(), proptest::collection::vec(text(), 0..4)).prop_map(
        |(secret, multiple, more)| {
            let options: Vec<String> = ["yes".to_owned(), "no".to_owned()].into_iter().chain(more).collect();
            json!({ "do": "poll.open", "question": "?", "options": options, "secret": secret, "multiple": multiple })
        },
    );
    prop_oneof![
        2 => open,
        8 => (id.clone(), proptest::collection::vec(0_usize..4, 0..3))
            .prop_map(|(poll, options)| json!({ "do": "poll.vote", "poll": poll, "options": options })),
        2 => id.clone().prop_map(|poll| json!({ "do": "poll.close", "poll": poll })),
        1 => id.prop_map(|poll| json!({ "do": "poll.remove", "poll": poll })),
    ]
}

pub(super) fn breakout_command() -> impl Strategy<Value = Value> {
    let room = proptest::option::weighted(0.7, (1_u64..8).prop_map(|number| format!("b{number}")));
    let rooms = proptest::collection::vec(proptest::collection::vec(person(), 0..3), 0..4);
    let open = (rooms, proptest::option::of(0_u64..2)).prop_map(|(rooms, minutes)| {
        let rooms: Vec<Value> =
            rooms.iter().map(|members| json!({ "name": "a", "members": members })).collect();
        json!({ "do": "breakout.open", "rooms": rooms, "minutes": minutes })
    });
    prop_oneof![
        4 => open,
        3 => (person(), room)
            .prop_map(|(who, room)| json!({ "do": "breakout.move", "identity": who, "room": room })),
        1 => text().prop_map(|text| json!({ "do": "breakout.broadcast", "text": text })),
        2 => Just(json!({ "do": "breakout.help" })),
        1 => Just(json!({ "do": "breakout.close" })),
    ]
}

/// For most features a view is another one with any change.
pub(super) fn equal(before: &Value, after: &Value) -> bool {
    before == after
}

/// That an old message is forgotten is told to nobody.
fn nothing_new(before: &Value, after: &Value) -> bool {
    list(after, "messages").iter().all(|message| list(before, "messages").contains(message))
}

fn list<'a>(view: &'a Value, key: &str) -> &'a Vec<Value> {
    view[key].as_array().unwrap()
}

proptest! {
    #[test]
    fn row_43_a_private_message_is_in_nobody_elses_view(steps in steps(chat_command())) {
        // What was written to whom, by what the sender was told.
        let mut private: BTreeMap<u64, (String, String)> = BTreeMap::new();
        go::<Chat>(steps, nothing_new, |hall, asked| {
            if let Some((who, command, Some(answer))) = asked && let Some(to) = command["to"].as_str() {
                private.insert(answer["id"].as_u64().unwrap(), (who.to_owned(), to.to_owned()));
            }
            for reader in hall.members.keys() {
                let (view, patch) = (hall.view(reader), hall.patch(reader));
                for message in list(&view, "messages").iter().chain(list(&patch, "messages")) {
                    if let Some((from, to)) = private.get(&message["id"].as_u64().unwrap()) {
                        assert!(reader == from || reader == to, "{reader} reads {message}");
                    }
                }
            }
        });
    }

    #[test]
    fn who_puts_the_patches_together_reads_what_is_there(steps in steps(chat_command())) {
        let mut read: BTreeMap<String, BTreeMap<u64, Value>> = BTreeMap::new();
        let mut peak = 0;
        go::<Chat>(steps, nothing_new, |hall, asked| {
            let here: Vec<String> = hall.members.keys().cloned().collect();
            for reader in here {
                let (patch, view) = (hall.patch(&reader), hall.view(&reader));
                // Whoever is new, or was away, is sent all of it.
                let sent = if asked.is_some() { &patch } else { &view };
                let read = read.entry(reader.clone()).or_default();
                read.extend(list(sent, "messages").iter().map(|m| (m["id"].as_u64().unwrap(), m.clone())));
                for message in list(&view, "messages") {
                    assert_eq!(read.get(&message["id"].as_u64().unwrap()), Some(message));
                }
                assert!(list(&view, "messages").is_sorted_by_key(|message| message["id"].as_u64()));
            }
            peak = peak.max(hall.members.len());
            assert!(hall.feature.since.len() <= limits().people_remembered.max(peak));
        });
    }

    #[test]
    fn the_chat_stays_within_its_bounds(steps in steps(chat_command())) {
        go::<Chat>(steps, nothing_new, |hall, _| {
            let messages = &hall.feature.messages;
            assert!(messages.len() <= limits().messages);
            assert!(messages.iter().filter(|message| message.to.is_some()).count() <= limits().private_messages);
            assert!(hall.feature.bytes <= limits().messages_bytes);
            assert_eq!(hall.feature.bytes, messages.iter().map(|message| message.bytes()).sum::<usize>());
        });
    }

    #[test]
    fn a_queue_is_in_order_of_people_who_are_here(steps in steps(hand_command())) {
        go::<Hands>(steps, equal, |hall, _| {
            for viewer in hall.members.values() {
                let view = hall.view(&viewer.identity);
                let queue = list(&view, "queue");
                assert!(queue.len() <= limits().hands);
                assert!(queue.is_sorted_by_key(|hand| hand["since_ms"].as_u64()));
                for (place, hand) in queue.iter().enumerate() {
                    let raised = hall.members.get(hand["identity"].as_str().unwrap()).expect("they are here");
                    let listed = raised.role != Role::Viewer || viewer.is_moderator();
                    assert!(listed || raised.identity == viewer.identity, "{viewer:?} sees {hand}");
                    assert!(queue[..place].iter().all(|before| before["identity"] != hand["identity"]));
                }
            }
        });
    }

    #[test]
    fn a_secret_poll_never_names_a_voter_and_every_poll_counts_right(steps in steps(poll_command())) {
        // How many have voted is told to all once a second.
        let without_voted = |view: &Value| {
            let mut view = view.clone();
            view["polls"].as_array_mut().unwrap().iter_mut().for_each(|poll| poll["voted"] = Value::Null);
            view
        };
        let mut ballots: BTreeMap<u64, BTreeMap<String, Vec<u64>>> = BTreeMap::new();
        let alike = |before: &Value, after: &Value| without_voted(before) == without_voted(after);
        go::<Polls>(steps, alike, |hall, asked| {
            if let Some((who, command, Some(_))) = asked && command["do"] == "poll.vote" {
                let mut chosen: Vec<u64> = list(command, "options").iter().filter_map(Value::as_u64).collect();
                chosen.sort_unstable();
                ballots.entry(command["poll"].as_u64().unwrap()).or_default().insert(who.to_owned(), chosen);
            }
            for viewer in hall.members.keys() {
                let view = hall.view(viewer);
                assert!(list(&view, "polls").len() <= limits().polls);
                for poll in list(&view, "polls") {
                    let cast = ballots.entry(poll["id"].as_u64().unwrap()).or_default();
                    let (open, secret) = (poll["open"] == true, poll["secret"] == true);
                    assert!(cast.len() <= limits().poll_votes);
                    assert_eq!(poll["voted"], cast.len());
                    let mine = cast.get(viewer).filter(|_| open || !secret);
                    assert_eq!(poll["mine"], json!(mine));
                    let votes = if open || secret { Value::Null } else { json!(cast) };
                    assert_eq!(poll["votes"], votes);
                    assert_eq!(poll["names"].is_null(), open || secret);
                    let count = |place: u64| cast.values().filter(|chosen| chosen.contains(&place)).count();
                    let counts: Vec<usize> = (0..list(poll, "options").len() as u64).map(count).collect();
                    assert_eq!(poll["counts"], if open { Value::Null } else { json!(counts) });
                }
            }
        });
    }

    #[test]
    fn everybody_is_where_the_rooms_say(steps in steps(breakout_command())) {
        let mut place: BTreeMap<String, Option<String>> = BTreeMap::new();
        go::<Breakouts>(steps, equal, |hall, _| {
            for want in hall.wanted.drain(..) {
                if let Want::Move { identity, breakout } = want {
                    place.insert(identity, breakout);
                }
            }
            let mut belongs: BTreeMap<String, String> = BTreeMap::new();
            for viewer in hall.members.keys() {
                let view = hall.view(viewer);
                let mine = view["mine"].as_str().map(str::to_owned);
                assert_eq!(place.get(viewer).cloned().flatten(), mine);
                belongs.clear();
                for room in view["rooms"].as_array().into_iter().flatten() {
                    for member in list(room, "members") {
                        let id = room["id"].as_str().unwrap().to_owned();
                        assert_eq!(belongs.insert(member.as_str().unwrap().to_owned(), id), None, "in two rooms");
                    }
                }
                assert_eq!(belongs.get(viewer), mine.as_ref());
                assert!(belongs.len() <= limits().breakout_people);
                assert!(view["rooms"].as_array().is_none_or(|rooms| rooms.len() <= limits().breakouts));
            }
        });
    }

    #[test]
    fn reactions_come_no_quicker_than_the_bound_says(
        steps in steps(Just(json!({ "do": "reaction.send", "emoji": "👍" })))
    ) {
        let mut passed: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        go::<Reactions>(steps, equal, |hall, _| {
            for (_, notice) in hall.told.drain(..) {
                if let Notice::Reaction { identity, .. } = notice {
                    passed.entry(identity).or_default().push(hall.unix_ms);
                }
            }
            assert!(hall.feature.sent.len() <= hall.members.len());
            passed.retain(|identity, _| hall.members.contains_key(identity));
            for times in passed.values() {
                // A span may end where another one begins: twice the bound is the most.
                let span = u64::try_from(limits().reactions_span.as_millis()).unwrap();
                let most = times.iter().map(|t| times.iter().filter(|o| (*t..t + span).contains(o)).count()).max();
                assert!(most.unwrap_or_default() <= 2 * limits().reactions);
            }
        });
    }

    #[test]
    fn whoever_is_here_is_in_the_list_of_attendance(steps in steps(Just(json!({ "do": "attendance.get" })))) {
        let mut peak = 0;
        go::<Attendance>(steps, equal, |hall, asked| {
            peak = peak.max(hall.members.len());
            assert!(hall.feature.people.len() <= limits().people_remembered.max(peak));
            let Some((_, _, Some(answer))) = asked else { return };
            let people = list(answer, "people");
            for who in hall.members.keys() {
                let row = people.iter().find(|row| row["identity"] == json!(who)).expect("they are listed");
                assert_eq!(row["left_ms"], Value::Null);
            }
            for row in people {
                let stays = list(row, "stays");
                assert!((1..=limits().stays).contains(&stays.len()));
                let times: Vec<u64> = stays
                    .iter()
                    .flat_map(|stay| [stay["joined_ms"].as_u64(), stay["left_ms"].as_u64()])
                    .flatten()
                    .collect();
                assert!(times.is_sorted(), "{row}");
            }
        });
    }
}
