// SPDX-License-Identifier: EUPL-1.2
//! Commands of a meeting's socket.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parvis_meeting::assembly::{Assembly, AssemblyLimits, Founding, Output, Policy, Presence, Rights, Role};
use serde_json::Value;

/// Commands of four people, one after another. Each is answered once; nobody is told anything who isn't connected; what is told
/// is JSON; and nobody comes to more rights than role and policy allow.
pub fn command(data: &[u8]) {
    let start = Instant::now();
    let mut meeting = Meeting::new(start);
    let mut passed = Duration::ZERO;
    for piece in crate::pieces(data) {
        let Some((&head, text)) = piece.split_first() else { continue };
        let Ok(text) = std::str::from_utf8(text) else { continue };
        let who = PEOPLE[usize::from(head & 3)].0;
        passed += Duration::from_millis(10 * u64::from(head >> 2));
        meeting.assembly.handle_timeout(start + passed, MILLIS);
        meeting.take();
        let asks = meeting.connected.contains(who);
        meeting.assembly.message(start + passed, MILLIS, who, text);
        let answers = meeting.take();
        let was_removed = asks && !meeting.connected.contains(who);
        assert!(answers == usize::from(asks) || was_removed, "{answers} answers to {text}");
    }
    let policy = meeting.assembly.policy();
    for member in meeting.assembly.members() {
        assert!(member.rights.within(Rights::most(member.role, policy)), "{member:?}");
    }
}

const PEOPLE: [(&str, Role); 4] =
    [("ada", Role::Owner), ("bo", Role::Moderator), ("cem", Role::Speaker), ("dora", Role::Viewer)];
const MILLIS: u64 = 1_700_000_000_000;

struct Meeting {
    assembly: Assembly,
    connected: BTreeSet<String>,
}

impl Meeting {
    fn new(now: Instant) -> Meeting {
        let founding = Founding { title: "Council".to_owned(), e2ee: false, owned: true };
        let assembly = Assembly::new(Arc::new(AssemblyLimits::default()), founding, Policy::default());
        let mut meeting = Meeting { assembly, connected: BTreeSet::new() };
        for (who, role) in PEOPLE {
            let (identity, name) = (who.to_owned(), who.to_owned());
            meeting.assembly.entered(now, MILLIS, Presence { identity, name, role: Some(role), seat: None });
            assert!(meeting.assembly.attach(now, MILLIS, who));
            meeting.connected.insert(who.to_owned());
        }
        meeting.take();
        meeting
    }

    /// Takes what is to be done. Gives how many answers are among it.
    fn take(&mut self) -> usize {
        let mut answers = 0;
        while let Some(output) = self.assembly.poll_output() {
            match output {
                Output::Send { identity, message } => {
                    assert!(self.connected.contains(&identity), "{identity} is sent {message}");
                    let message: Value = serde_json::from_str(&message).expect("what is told is JSON");
                    answers += usize::from(message.get("answer").is_some());
                }
                Output::Remove { identity, .. } => {
                    self.connected.remove(&identity);
                }
                _ => {}
            }
        }
        answers
    }
}
