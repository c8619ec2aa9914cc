// SPDX-License-Identifier: EUPL-1.2
//! A whole run from one number: rooms, people, their forms and lines, and all that happens to them.

use std::time::Duration;

use livekit_protocol as proto;
use parvis_signal::Form;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::assembly;
use crate::check::Checks;
use crate::client::{ClientId, Pictures, Profile, Sound};
use crate::conference::{Conference, Dtls, Narrator};
use crate::deeds::{Attack, Right};
use crate::link::{BurstLoss, LinkModel};
use crate::server::{Meter, ServerModel};

/// One seed in so many runs with BoringSSL.
const REAL_DTLS: u64 = 10;
/// One seed in so many has rooms over several forwarders.
const SPREAD: u64 = 4;

/// What a run came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Its seed.
    pub seed: u64,
    /// How long it lasted in virtual time, until everyone had gone.
    pub virtual_time: Duration,
    /// All that the server sent as one number; `None` with real DTLS, which is never twice the same.
    pub trace: Option<u64>,
    /// Datagrams that the server sent.
    pub packets: u64,
    /// Clients that took part.
    pub clients: usize,
    /// How often each invariant was looked at.
    pub checks: Checks,
    /// What broke an invariant.
    pub failures: Vec<String>,
}

/// What looks on at a run.
#[derive(Default)]
pub struct Watch {
    /// Is told what happens.
    pub narrator: Option<Narrator>,
    /// Measures what the server holds.
    pub meter: Option<Meter>,
}

impl Watch {
    fn look_at(self, conference: &mut Conference) {
        if let Some(narrator) = self.narrator {
            conference.narrate(narrator);
        }
        if let Some(meter) = self.meter {
            conference.measure(meter);
        }
    }
}

/// Runs the scenario of `seed`.
pub fn run(seed: u64, watch: Watch) -> Outcome {
    let dtls = if seed % REAL_DTLS == REAL_DTLS - 1 { Dtls::Real } else { Dtls::StandIn };
    let mut conference = Conference::on(seed, server(seed, dtls));
    watch.look_at(&mut conference);
    let mut random = {
        let seed: u64 = conference.random.random();
        <ChaCha8Rng as rand::SeedableRng>::seed_from_u64(seed)
    };
    let rooms: Vec<_> = (0..random.random_range(1..=3)).map(|_| conference.open_room()).collect();
    // Some runs are all clean: there the bounds are tight.
    let clean = random.random_bool(0.3);
    for room in &rooms {
        let storm = random.random_bool(0.1);
        for _ in 0..if storm { 16 } else { random.random_range(2..=6) } {
            let profile = profile(&mut random, conference.people.len());
            let profile = Profile { camera: !storm && random.random_bool(0.6), ..profile };
            conference.join(*room, profile, line(&mut random, clean));
            let pause = if storm { 5 } else { random.random_range(0..1500) };
            conference.run_for(Duration::from_millis(pause));
        }
    }
    for _ in 0..random.random_range(4..16) {
        happen(&mut conference, &mut random, clean);
        conference.run_for(Duration::from_millis(random.random_range(50..4000)));
        if !conference.failures.is_empty() {
            break;
        }
    }
    conference.run_for(Duration::from_secs(12));
    let mut outcome = end(conference, seed, dtls);
    let course = assembly::run(seed, None);
    outcome.checks.assemblies += course.looks;
    outcome.failures.extend(course.failures);
    outcome
}

/// One meeting of so many people on good lines, as large ones are: everyone sees and hears, one in ten has a microphone that is
/// open, one in ten of those a camera, at least one. How fast it runs says how fast all of this is.
pub fn meeting(seed: u64, people: usize, length: Duration, dtls: Dtls, watch: Watch) -> Outcome {
    let mut conference = Conference::with(seed, dtls);
    watch.look_at(&mut conference);
    let room = conference.open_room();
    let line = LinkModel { jitter: Duration::from_millis(5), loss: 0.002, ..LinkModel::default() };
    for place in 0..people {
        let form = if place % 2 == 0 { Form::Dual } else { Form::Single };
        let id = conference.join(room, Profile { camera: place % 100 == 0, ..Profile::of(form) }, [line; 2]);
        if place % 10 != 0 {
            conference.mute(id, true);
        }
    }
    conference.run_for(length);
    end(conference, seed, dtls)
}

/// What the server of a seed's run is made of: the smaller its parts, the more go by trunks.
fn server(seed: u64, dtls: Dtls) -> ServerModel {
    if !seed.is_multiple_of(SPREAD) {
        return ServerModel { dtls, ..ServerModel::default() };
    }
    let forwarders = [2, 3, 4][(seed / SPREAD % 3) as usize];
    let peers_per_part = 1 + (seed / SPREAD % 5) as usize;
    ServerModel { dtls, forwarders, peers_per_part, ..ServerModel::default() }
}

fn end(mut conference: Conference, seed: u64, dtls: Dtls) -> Outcome {
    conference.finish();
    let (trace, packets) = conference.trace();
    Outcome {
        seed,
        virtual_time: conference.busy(),
        trace: (dtls == Dtls::StandIn).then_some(trace),
        packets,
        clients: conference.people.len(),
        checks: conference.checks(),
        failures: conference.failures.clone(),
    }
}

fn happen(conference: &mut Conference, random: &mut ChaCha8Rng, clean: bool) {
    let ids: Vec<ClientId> = conference.clients.keys().collect();
    let Some(id) = ids.get(random.random_range(0..ids.len().max(1))).copied() else { return };
    let millis = |random: &mut ChaCha8Rng, most: u64| Duration::from_millis(random.random_range(50..most));
    match random.random_range(0..22) {
        0 => conference.leave(id),
        1 | 2 => conference.rebind(id),
        3 => conference.mute(id, true),
        4 => conference.mute(id, false),
        5 => {
            let time = millis(random, 5000);
            conference.freeze(id, time);
        }
        6 => {
            let time = millis(random, 1500);
            conference.freeze_server(time);
        }
        7 | 8 => {
            let away = millis(random, 8000);
            conference.drop_socket(id, away);
        }
        9 => conference.send_garbage(id, random.random_range(10..500)),
        10 if !clean => {
            let line = line(random, false);
            conference.change_link(id, line);
        }
        11 => conference.be_greedy(id, if random.random_bool(0.25) { 100 } else { 20 }),
        15..=17 => {
            let qualities =
                [proto::VideoQuality::Low, proto::VideoQuality::Medium, proto::VideoQuality::High];
            conference.watch(id, qualities[random.random_range(0..qualities.len())]);
        }
        12..=14 => {
            let attack = Attack::ALL[random.random_range(0..Attack::ALL.len())];
            conference.attack(id, attack);
        }
        20 => {
            let rights = [Right::Publish, Right::Subscribe, Right::SendData];
            conference.permit(id, rights[random.random_range(0..rights.len())], false);
        }
        21 => {
            let right = if random.random() { Right::Subscribe } else { Right::SendData };
            conference.permit(id, right, true);
        }
        _ => {
            let room = conference.people.get(id.place()).map(|(room, _)| *room);
            let (profile, line) = (profile(random, conference.people.len()), line(random, clean));
            if let Some(room) = room {
                conference.join(room, profile, line);
            }
        }
    }
}

/// Someone who comes after so many others.
fn profile(random: &mut ChaCha8Rng, others: usize) -> Profile {
    let form = if random.random() { Form::Dual } else { Form::Single };
    let sound = [Sound::Steady, Sound::Redundant, Sound::Discontinuous][others % 3];
    let pictures = if others % 4 == 3 { Pictures::Layers } else { Pictures::Streams };
    let usual = Profile { camera: random.random_bool(0.6), sound, pictures, ..Profile::of(form) };
    match random.random_range(0..12) {
        0 => Profile { may_publish: false, ..usual },
        1 => Profile { may_subscribe: false, ..usual },
        2 => Profile { may_send_data: false, ..usual },
        3 => Profile { hidden: true, may_publish: false, ..usual },
        _ => usual,
    }
}

/// A line up and down: clean, wireless, long, lossy in bursts, or narrow.
fn line(random: &mut ChaCha8Rng, clean: bool) -> [LinkModel; 2] {
    let delay = Duration::from_millis(random.random_range(2..80));
    let still = LinkModel { delay, ..LinkModel::default() };
    if clean {
        return [still; 2];
    }
    let jitter = Duration::from_millis(random.random_range(0..30));
    let one = |random: &mut ChaCha8Rng| match random.random_range(0..6) {
        0 | 1 => still,
        2 => LinkModel { jitter, loss: random.random_range(0.0..0.03), ..still },
        3 => LinkModel {
            jitter,
            loss: random.random_range(0.0..0.1),
            reorder: 0.02,
            duplication: 0.01,
            ..still
        },
        4 => LinkModel { bursts: Some(BurstLoss { begin: 0.002, end: 0.1, loss: 0.8 }), jitter, ..still },
        _ => LinkModel { rate: Some(random.random_range(300_000..6_000_000)), ..still },
    };
    [one(random), one(random)]
}
