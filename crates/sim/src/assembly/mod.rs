// SPDX-License-Identifier: EUPL-1.2
//! A meeting as it is conducted: a few people from a seed come, knock, go, come back, and ask for whatever there is to be asked,
//! some of it nonsense. Each keeps the state that it is told (`reader`), and after a while it is held against the whole.
//!
//! **What must hold:** nothing is sent to anybody who isn't inside and connected; versions have no gap; what patches add up to is what a
//! snapshot says; a private message's words are in nothing that others are sent; a secret poll names no voter, and no poll
//! counts before it is closed; each command has its answer; rights stay within role and policy; bounds hold. And
//! two runs of one seed are the same, byte for byte.

mod reader;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parvis_meeting::assembly::{
    Assembly, AssemblyLimits, Entry, Founding, Knock, Output, Password, Policy, Presence, Rights, Role,
    Source, WaitingId,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rustc_hash::FxHasher;

use reader::Reader;

/// What a course came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Course {
    /// All that was told and done, as one number.
    pub trace: u64,
    /// How often somebody's state was held against the whole.
    pub looks: u64,
    /// How often which command was done.
    pub done: BTreeMap<String, u64>,
    /// What broke an invariant.
    pub failures: Vec<String>,
}

/// What a test plants to see it found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slip {
    /// What one person is sent goes to another as well.
    Overheard,
    /// A patch of chat or hands is sent without what it is about.
    Emptied,
    /// What is said to all breakout rooms is told twice.
    Repeated,
}

/// Runs the course of `seed`.
pub fn run(seed: u64, slip: Option<Slip>) -> Course {
    let mut hall = Hall::new(seed, slip);
    let steps = hall.random.random_range(60..240);
    for step in 0..steps {
        hall.step();
        if step % 20 == 19 {
            hall.look();
        }
        if hall.ended || !hall.course.failures.is_empty() {
            break;
        }
    }
    hall.look();
    hall.course.trace = hall.trace.finish();
    hall.course
}

struct Hall {
    random: ChaCha8Rng,
    slip: Option<Slip>,
    limits: Arc<AssemblyLimits>,
    assembly: Assembly,
    now: Instant,
    unix_ms: u64,
    /// Those who have the meeting's socket.
    connected: BTreeMap<String, Reader>,
    /// Those who are in a breakout room.
    away: BTreeSet<String>,
    waiting: BTreeMap<WaitingId, String>,
    /// Words of private messages, and the two whom they are for.
    secrets: Vec<(String, [String; 2])>,
    number: u64,
    ended: bool,
    trace: FxHasher,
    course: Course,
}

const PEOPLE: [&str; 7] = ["ada", "bo", "cem", "dora", "eva", "finn", "gül"];

impl Hall {
    fn new(seed: u64, slip: Option<Slip>) -> Hall {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let limits = Arc::new(if random.random_bool(0.5) { AssemblyLimits::default() } else { tight() });
        let policy = Policy {
            lobby: random.random_bool(0.2),
            chat_history: random.random_bool(0.6),
            self_unmute: random.random_bool(0.7),
            ..Policy::default()
        };
        let founding = Founding { title: "Council".to_owned(), e2ee: false, owned: true };
        let mut hall = Hall {
            assembly: Assembly::new(Arc::clone(&limits), founding, policy),
            random,
            slip,
            limits,
            now: Instant::now(),
            unix_ms: 1_700_000_000_000,
            connected: BTreeMap::new(),
            away: BTreeSet::new(),
            waiting: BTreeMap::new(),
            secrets: Vec::new(),
            number: 0,
            ended: false,
            trace: FxHasher::default(),
            course: Course::default(),
        };
        for (who, role) in [("ada", Role::Owner), ("bo", Role::Speaker), ("cem", Role::Viewer)] {
            hall.enter(who, Some(role));
            hall.attach(who);
        }
        hall
    }

    fn step(&mut self) {
        let who = PEOPLE[self.random.random_range(0..PEOPLE.len())];
        match self.random.random_range(0..24) {
            0 => self.knock(who),
            1 => {
                let role = [None, None, Some(Role::Speaker), Some(Role::Viewer), Some(Role::Moderator)];
                let role = role[self.random.random_range(0..role.len())];
                self.enter(who, role);
            }
            2 => {
                self.drain();
                self.assembly.left(self.now, self.unix_ms, who);
                self.forget_if_gone(who);
            }
            3 | 4 => self.attach(who),
            5 => {
                // What was on its way went to a socket that was there.
                self.drain();
                self.assembly.detach(who);
                self.connected.remove(who);
            }
            6 => {
                let sources = [Source::Microphone, Source::Camera, Source::Screen];
                let source = sources[self.random.random_range(0..sources.len())];
                self.assembly.publishing(who, source, self.random.random());
                self.assembly.spoke(who, Duration::from_millis(self.random.random_range(0..3_000)));
            }
            7 => self.wait_up_to(20_000),
            _ => {
                // The first of them conducts, as a rule.
                let place = self.random.random_range(0..PEOPLE.len() + 3) % PEOPLE.len();
                let connected = self.connected.keys().nth(place).cloned();
                self.speak(connected.as_deref().unwrap_or(who));
            }
        }
        self.wait_up_to(400);
        // Outputs that are taken late must be the same to everybody.
        if self.random.random_bool(0.8) {
            self.drain();
        }
    }

    fn knock(&mut self, who: &str) {
        self.number += 1;
        let waiting = WaitingId(format!("secret {}", self.number));
        let knock = Knock {
            waiting: waiting.clone(),
            identity: who.to_owned(),
            name: who.to_owned(),
            seat: format!("seat of {who}"),
            address: Some("somewhere".to_owned()),
            host: false,
            password: Password::None,
            vouched: None,
        };
        match self.assembly.knock(self.now, self.unix_ms, knock) {
            Ok(Entry::In { .. }) => self.enter(who, None),
            Ok(Entry::Wait { .. }) => {
                self.waiting.insert(waiting.clone(), who.to_owned());
                self.assembly.waiting_connected(self.now, &waiting);
            }
            Err(_) => {}
        }
    }

    fn enter(&mut self, who: &str, role: Option<Role>) {
        let seat = Some(format!("seat of {who}"));
        let presence = Presence { identity: who.to_owned(), name: who.to_owned(), role, seat };
        self.assembly.entered(self.now, self.unix_ms, presence);
        self.away.remove(who);
        self.drain();
    }

    fn attach(&mut self, who: &str) {
        // What went to the socket of before is on its way to nobody.
        self.drain();
        if self.assembly.attach(self.now, self.unix_ms, who) {
            self.connected.insert(who.to_owned(), Reader::default());
        }
    }

    fn speak(&mut self, who: &str) {
        self.number += 1;
        let id = self.number;
        let mut command = words::command(&mut self.random, id, &PEOPLE);
        command["id"] = id.into();
        if let (Some(to), "chat.send") = (command["to"].as_str(), command["do"].as_str().unwrap_or_default())
        {
            self.secrets.push((words::word(id), [who.to_owned(), to.to_owned()]));
        }
        let mut text = command.to_string();
        let whole = !self.random.random_bool(0.05);
        if !whole {
            let cut = text.floor_char_boundary(self.random.random_range(0..text.len()));
            text.truncate(cut);
        }
        if let Some(reader) = self.connected.get_mut(who).filter(|_| whole) {
            reader.asked(id, command["do"].as_str().unwrap_or_default());
        }
        self.assembly.message(self.now, self.unix_ms, who, &text);
    }

    fn wait_up_to(&mut self, millis: u64) {
        let time = Duration::from_millis(self.random.random_range(0..millis));
        self.wait(time);
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.unix_ms += u64::try_from(time.as_millis()).unwrap_or_default();
        self.assembly.handle_timeout(self.now, self.unix_ms);
    }

    fn forget_if_gone(&mut self, who: &str) {
        if self.assembly.role(who).is_none() {
            self.connected.remove(who);
            self.away.remove(who);
        }
    }

    /// Takes what is to be done, and does it.
    fn drain(&mut self) {
        let (mut goings, mut comings) = (Vec::new(), Vec::new());
        while let Some(output) = self.assembly.poll_output() {
            match output {
                Output::Send { identity, message } => self.send(&identity, message),
                Output::Admitted { waiting, .. } => match self.waiting.remove(&waiting) {
                    Some(who) => comings.push(who),
                    None => self.fail("somebody is admitted who did not wait".to_owned()),
                },
                Output::Refused { waiting, .. } => {
                    self.waiting.remove(&waiting);
                }
                Output::Remove { identity, .. } => {
                    self.connected.remove(&identity);
                    self.away.remove(&identity);
                }
                Output::Move { identity, breakout: Some(_) } => {
                    if self.connected.contains_key(&identity) && self.random.random_bool(0.7) {
                        goings.push(identity);
                    }
                }
                Output::Move { identity, breakout: None } => {
                    if self.away.remove(&identity) {
                        comings.push(identity);
                    }
                }
                Output::End { .. } => self.ended = true,
                other => format!("{other:?}").hash(&mut self.trace),
            }
        }
        for who in goings {
            self.assembly.left(self.now, self.unix_ms, &who);
            self.away.insert(who);
        }
        for who in comings {
            self.enter(&who, None);
        }
    }

    fn send(&mut self, identity: &str, mut message: String) {
        (identity, &message).hash(&mut self.trace);
        if self.slip == Some(Slip::Emptied) && message.contains("\"patch\"") {
            message = words::emptied(&message);
        }
        self.deliver(identity, &message);
        if self.slip == Some(Slip::Repeated) && message.contains("\"broadcast\"") {
            self.deliver(identity, &message);
        }
        if self.slip == Some(Slip::Overheard) && message.contains("\"patch\"") {
            let other = self.connected.keys().find(|other| *other != identity).cloned();
            if let Some(other) = other {
                self.overhear(&other, &message);
            }
        }
    }

    fn deliver(&mut self, identity: &str, message: &str) {
        self.overhear(identity, message);
        let Some(reader) = self.connected.get_mut(identity) else {
            return self.fail(format!("{identity} is not connected and is sent {message}"));
        };
        match reader.hear(message) {
            Ok(done) => done.into_iter().for_each(|done| *self.course.done.entry(done).or_default() += 1),
            Err(wrong) => self.fail(format!("{identity}: {wrong}")),
        }
    }

    fn overhear(&mut self, identity: &str, message: &str) {
        let for_others = |(word, two): &&(String, [String; 2])| {
            message.contains(word.as_str()) && two.iter().all(|one| one != identity)
        };
        if let Some((word, two)) = self.secrets.iter().find(for_others).cloned() {
            self.fail(format!("{identity} is sent {word} of {two:?}: {message}"));
        }
    }

    /// Holds everybody's state against the whole.
    fn look(&mut self) {
        // What is told at its pace has been told by then.
        for _ in 0..8 {
            self.wait(Duration::from_millis(400));
            self.drain();
        }
        let told = std::mem::take(&mut self.connected);
        for (who, before) in told {
            if !self.assembly.attach(self.now, self.unix_ms, &who) {
                self.fail(format!("{who} was not told to be gone"));
                continue;
            }
            self.connected.insert(who.clone(), Reader::default());
            self.drain();
            let whole = self.connected.get(&who);
            let wrong = whole.map_or(Ok(()), |whole| before.holds(whole, &self.limits));
            self.course.looks += 1;
            if let Err(wrong) = wrong {
                self.fail(format!("{who}: {wrong}"));
            }
        }
        let policy = self.assembly.policy();
        let beyond = |rights: Rights, role: Role| !rights.within(Rights::most(role, policy));
        let beyond = self.assembly.members().find(|member| beyond(member.rights, member.role)).cloned();
        if let Some(member) = beyond {
            self.fail(format!("{member:?} has more rights than role and policy allow"));
        }
        if self.assembly.waiting() > self.limits.waiting || self.assembly.members().len() > self.limits.people
        {
            self.fail("there are more people than the bounds say".to_owned());
        }
    }

    fn fail(&mut self, what: String) {
        self.course.failures.push(format!("assembly, after {} commands: {what}", self.number));
    }
}

/// Bounds that some dozen steps reach.
fn tight() -> AssemblyLimits {
    AssemblyLimits {
        people: 6,
        waiting: 2,
        bans: 2,
        people_remembered: 8,
        messages: 5,
        private_messages: 2,
        hands: 2,
        polls: 2,
        poll_votes: 2,
        stays: 2,
        breakouts: 2,
        breakout_people: 2,
        broadcasts: 2,
        commands_per_second: 3,
        commands_at_once: 6,
        ..AssemblyLimits::default()
    }
}
