// SPDX-License-Identifier: EUPL-1.2
//! What people ask for.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

/// The words of the message with that number, unlike all others.
pub(super) fn word(number: u64) -> String {
    format!("word {number}.")
}

/// Some command, more often one that is worth something later.
pub(super) fn command(random: &mut ChaCha8Rng, number: u64, people: &[&str]) -> Value {
    let who = people[random.random_range(0..people.len())];
    let other = people[random.random_range(0..people.len())];
    let small = random.random_range(1..4_u64);
    let bit: bool = random.random();
    let room = [Value::Null, json!(format!("b{small}"))][usize::from(bit)].clone();
    let source = ["microphone", "camera", "screen"][random.random_range(0..3)];
    match random.random_range(0..46) {
        0..=5 => json!({ "do": "chat.send", "text": word(number) }),
        6..=9 => json!({ "do": "chat.send", "text": word(number), "to": who }),
        10 => json!({ "do": "chat.send", "text": word(number), "reply_to": small }),
        11 => json!({ "do": "chat.retract", "message": random.random_range(0..20_u64) }),
        12 | 13 => json!({ "do": "hand.raise" }),
        14 => json!({ "do": "hand.lower", "identity": who }),
        15 => json!({ "do": "hand.call", "identity": who }),
        16 => json!({ "do": "reaction.send", "emoji": "👏" }),
        17 | 18 => {
            json!({ "do": "poll.open", "question": "?", "options": ["a", "b", "c"], "secret": bit, "multiple": false })
        }
        19..=21 => json!({ "do": "poll.vote", "poll": small, "options": [random.random_range(0..3_u64)] }),
        22 => json!({ "do": "poll.close", "poll": small }),
        23 => json!({ "do": "poll.remove", "poll": small }),
        24 => {
            json!({ "do": "breakout.open", "rooms": [{ "name": "a", "members": [who] }, { "name": "b", "members": [] }] })
        }
        25 | 26 => json!({ "do": "breakout.move", "identity": who, "room": room }),
        27 => json!({ "do": "breakout.help" }),
        28 => json!({ "do": "breakout.broadcast", "text": "hello" }),
        29 => json!({ "do": "breakout.close" }),
        30 => json!({ "do": "attendance.get" }),
        31 | 32 => {
            let role = ["viewer", "speaker", "speaker", "moderator", "owner"][random.random_range(0..5)];
            json!({ "do": "role.set", "identity": who, "role": role })
        }
        33 => json!({ "do": "rights.set", "identity": who, "rights": { "chat": bit, "unmute": bit } }),
        34 => json!({ "do": "mute", "identity": who, "source": source }),
        35 => json!({ "do": "unmute.ask", "identity": who, "source": source }),
        36 => json!({ "do": "spotlight.set", "identities": [who, other] }),
        37 => json!({ "do": "remove", "identity": who, "ban": bit }),
        38 => json!({ "do": "unban", "ban": small.to_string() }),
        39 if bit => json!({ "do": "lobby.admit", "everyone": true }),
        39 => json!({ "do": "lobby.refuse", "everyone": true }),
        40 => json!({ "do": "resync" }),
        41 | 42 => {
            let key = ["lobby", "chat_history", "private_chat", "reactions", "self_unmute"]
                [random.random_range(0..5)];
            json!({ "do": "policy.set", "policy": { key: bit } })
        }
        43 => json!({ "do": "unban", "ban": small.to_string() }),
        44 => json!({ "do": "breakout.move", "identity": who, "room": room }),
        // The meeting would be over too soon if it weren't for the second die.
        _ if small > 1 || bit => json!({ "do": "chat.send", "from": who, "text": "not me" }),
        _ => json!({ "do": "end" }),
    }
}

/// The same patch without what it says of chat and hands.
pub(super) fn emptied(patch: &str) -> String {
    let Ok(mut message) = serde_json::from_str::<Value>(patch) else { return patch.to_owned() };
    if let Some(state) = message.pointer_mut("/patch/state").and_then(Value::as_object_mut) {
        state.remove("chat");
        state.remove("hands");
    }
    message.to_string()
}
