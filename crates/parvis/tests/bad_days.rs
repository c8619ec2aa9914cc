// SPDX-License-Identifier: EUPL-1.2
//! What one ill-behaved member of a call costs the others, over the sockets of a running server: nothing. Each test
//! has Ada speak to Bo, first in peace and then while Eve does her worst, and holds both times against each other.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod common;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::member::{Member, PICTURE, SOUND};
use common::{ANY_PORTS, Directory, Server, get, parvis, text, until};
use sqlx::{Connection, Executor, Row, SqliteConnection};

const SOUND_EVERY: Duration = Duration::from_millis(20);
/// 150 packets of sound in peace, and as many under attack.
const PACKETS: u32 = 150;
/// What a delay may be longer by: a scheduler's slice or two of a machine that attacks, serves and listens on few cores.
const SLACK: Duration = Duration::from_millis(40);

struct Scene {
    /// How `parvis` is told the server's keys.
    keys: Vec<String>,
    server: Server,
    directory: Directory,
    metrics: SocketAddr,
    ada: Member,
    bo: Member,
    eve: Member,
}

/// How Ada's sound reached Bo.
#[derive(Debug)]
struct Call {
    came: usize,
    median: Duration,
    late: Duration,
}

impl Scene {
    fn new(name: &str) -> Scene {
        Scene::with(name, [5, 6])
    }

    /// Eve's streams have the SSRCs of her choice.
    fn with(name: &str, eves: [u32; 2]) -> Scene {
        let directory = Directory::new(name);
        let data = directory.path("data");
        let arguments = ["--dev", "--metrics", "127.0.0.1:0", "--data", &data];
        Scene::of(directory, &arguments, eves)
    }

    /// On a server whose configuration says this of media, and in tables after that.
    fn with_media(name: &str, media: &str) -> Scene {
        let directory = Directory::new(name);
        let (file, data) = (directory.path("parvis.toml"), directory.path("data"));
        let keys = "[[keys]]\nname = \"row\"\nsecret = \"not to be told to anyone at all, ever\"\n";
        std::fs::write(&file, format!("[media]\naddresses = [\"127.0.0.1\"]\npin = false\n{media}\n{keys}"))
            .unwrap();
        let arguments = ["--config", &file, "--metrics", "127.0.0.1:0", "--data", &data];
        Scene::of(directory, &arguments, [5, 6])
    }

    fn of(directory: Directory, arguments: &[&str], eves: [u32; 2]) -> Scene {
        let server = Server::start("", "info", &[arguments, &ANY_PORTS].concat());
        let line = server.wait_for_log("metrics=");
        let metrics = line.split("metrics=").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        let keys: Vec<String> = arguments[..if arguments[0] == "--dev" { 1 } else { 2 }]
            .iter()
            .map(|&word| word.to_owned())
            .collect();
        let join = |identity: &str, name, ssrcs| join(&server, &keys, identity, name, ssrcs);
        let (ada, bo, eve) = (join("ada", b'a', [1, 2]), join("bo", b'b', [3, 4]), join("eve", b'e', eves));
        let mut scene = Scene { server, directory, keys, metrics, ada, bo, eve };
        scene.settle();
        scene
    }

    /// Until Bo and Eve both hear and see Ada, and Bo hears Eve.
    fn settle(&mut self) {
        let mut count = 0;
        let mut next = Instant::now();
        until("all hear each other", || {
            for member in [&mut self.ada, &mut self.bo, &mut self.eve] {
                member.signal();
                member.act();
            }
            if next <= Instant::now() {
                next = Instant::now() + SOUND_EVERY;
                count += 1;
                self.ada.say(count);
                self.ada.show(count);
                self.eve.say(count);
            }
            self.bo.streams(true).len() == 2
                && self.bo.streams(false).len() == 1
                && self.eve.streams(true).len() == 1
                && self.eve.streams(false).len() == 1
        });
    }

    /// The sum of a counter over all shards.
    fn counter(&self, name: &str) -> u64 {
        let page = get(self.metrics, "/metrics").unwrap().1;
        let lines = page.lines().filter(|line| line.starts_with(name));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64).sum()
    }

    /// The counters were written after all of it had come: they are copied some times a second.
    fn counts(&self, name: &str, at_least: u64) {
        until(&format!("{name} at {at_least}, now {}", self.counter(name)), || {
            self.counter(name) >= at_least
        });
    }

    /// Ada speaks to Bo, in peace.
    fn call(&mut self) -> Call {
        let still = AtomicBool::new(true);
        call(&mut self.ada, &mut self.bo, &still, 1)
    }

    /// Ada speaks to Bo while Eve does something, again and again.
    fn call_under(&mut self, mut attack: impl FnMut(&mut Member) + Send) -> Call {
        let (ada, bo, eve) = (&mut self.ada, &mut self.bo, &mut self.eve);
        let goes_on = AtomicBool::new(true);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while goes_on.load(Ordering::Relaxed) {
                    attack(eve);
                    eve.act();
                }
            });
            call(ada, bo, &goes_on, 1)
        })
    }

    fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.server.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

fn join(server: &Server, keys: &[String], identity: &str, name: u8, ssrcs: [u32; 2]) -> Member {
    Member::join(server.address, &token(keys, identity), name, ssrcs)
}

/// A token signed by the key that `keys` names to `parvis`.
fn token(keys: &[String], identity: &str) -> String {
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let what = ["--room", "atelier", "--identity", identity];
    text(&parvis(&[&["token", "create"], keys.as_slice(), &what].concat()).stdout)
}

/// Ada's sound to Bo, each packet with its time; all of it must come. So many packets of pictures go with each of sound.
fn call(ada: &mut Member, bo: &mut Member, goes_on: &AtomicBool, pictures: u32) -> Call {
    // Numbers that this call alone uses.
    let first = 1_000_000 + u32::from(rand_number());
    bo.heard.clear();
    let mut sent = Vec::new();
    let mut end = None;
    let begin = Instant::now();
    while end.is_none_or(|end| Instant::now() < end) {
        let count = sent.len() as u32;
        if count < PACKETS && begin + SOUND_EVERY * count <= Instant::now() {
            sent.push(Instant::now());
            ada.say(first + count);
            (0..pictures).for_each(|_| ada.show(first + count));
        }
        ada.act();
        bo.act();
        if count == PACKETS {
            // The last ones have half a second to come.
            end.get_or_insert(Instant::now() + Duration::from_millis(500));
        }
        std::thread::sleep(Duration::from_micros(300));
    }
    goes_on.store(false, Ordering::Relaxed);
    let mut delays: Vec<Duration> = bo
        .heard
        .iter()
        .filter(|heard| heard.payload.starts_with(b"Aa"))
        .filter_map(|heard| {
            let count = u32::from_be_bytes(heard.payload[2..6].try_into().unwrap());
            Some(heard.at - *sent.get(count.checked_sub(first)? as usize)?)
        })
        .collect();
    delays.sort();
    assert!(!delays.is_empty(), "nothing of Ada's came to Bo");
    Call { came: delays.len(), median: delays[delays.len() / 2], late: delays[delays.len() * 95 / 100] }
}

/// Two calls of one test must not be taken for each other; which numbers they use has no meaning.
fn rand_number() -> u16 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_micros() as u16
}

/// Nothing measurable: all came, and not later than before.
fn unharmed(peace: &Call, attack: &Call) {
    eprintln!("in peace {peace:?}, under attack {attack:?}");
    assert_eq!(peace.came, PACKETS as usize, "the call does not even work in peace");
    assert_eq!(attack.came, PACKETS as usize, "sound of Ada's was lost");
    assert!(attack.median <= peace.median + SLACK / 2, "{peace:?}, then {attack:?}");
    assert!(attack.late <= peace.late + SLACK, "{peace:?}, then {attack:?}");
}

/// Calls `act` so often a second, whatever else takes time.
struct Pace {
    begin: Instant,
    per_second: u32,
    done: u32,
}

impl Pace {
    fn new(per_second: u32) -> Pace {
        Pace { begin: Instant::now(), per_second, done: 0 }
    }

    fn due(&mut self) -> u32 {
        if self.done == 0 {
            self.begin = Instant::now();
        }
        let all = (self.begin.elapsed().as_secs_f64() * f64::from(self.per_second)) as u32 + 1;
        let due = all - self.done;
        self.done = all;
        due
    }

    fn rest() {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The call, and who comes and goes meanwhile, while somebody else has the database to himself for a minute.
#[test]
fn row_65_a_call_goes_on_for_a_minute_in_which_the_event_store_is_locked_and_no_event_is_lost() {
    const LOCKED: Duration = Duration::from_secs(60);
    // What nobody wants to hear of is not kept: here is a target, at which nobody listens.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let webhooks =
        format!("[webhooks]\nurls = [\"http://{nobody}/hook\"]\nallow_internal = [\"{nobody}\"]\n");
    let mut scene = Scene::with_media("row-65", &webhooks);
    let peace = scene.call();
    let file = format!("sqlite://{}", scene.directory.0.join("data/parvis.db").display());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut database = runtime.block_on(SqliteConnection::connect(&file)).unwrap();
    runtime.block_on(database.execute("BEGIN EXCLUSIVE")).unwrap();
    let begun = Instant::now();
    let mut guests = Vec::new();
    while begun.elapsed() < LOCKED {
        let identity = format!("guest {}", guests.len());
        let knocked = Instant::now();
        let mut guest = join(&scene.server, &scene.keys, &identity, b'g', [50, 51]);
        let mut count = 0;
        until("the guest hears Ada", || {
            count += 1;
            scene.ada.say(count);
            for member in [&mut scene.ada, &mut scene.bo, &mut scene.eve, &mut guest] {
                member.signal();
                member.act();
            }
            !guest.heard.is_empty()
        });
        assert!(
            knocked.elapsed() < Duration::from_secs(2),
            "{identity} joined after {:?}",
            knocked.elapsed()
        );
        unharmed(&peace, &scene.call());
        guest.leave();
        guests.push(identity);
    }
    runtime.block_on(database.execute("ROLLBACK")).unwrap();
    let came: Vec<String> =
        guests.iter().map(|guest| format!("participant_joined {guest} participant_left {guest}")).collect();
    let came = came.join(" ");
    let patience = Instant::now() + Duration::from_secs(20);
    let mut seen = String::new();
    while seen != came && Instant::now() < patience {
        std::thread::sleep(Duration::from_millis(200));
        let rows = sqlx::query("SELECT event, body FROM outbox ORDER BY seq").fetch_all(&mut database);
        let rows = runtime.block_on(rows).unwrap();
        let of_guests = rows.iter().filter_map(|row| {
            let (event, body): (String, String) = (row.get(0), row.get(1));
            let body: serde_json::Value = serde_json::from_str(&body).unwrap();
            let identity = body["participant"]["identity"].as_str()?;
            let comes_or_goes = ["participant_joined", "participant_left"].contains(&event.as_str());
            (comes_or_goes && identity.starts_with("guest")).then(|| format!("{event} {identity}"))
        });
        seen = of_guests.collect::<Vec<_>>().join(" ");
    }
    assert_eq!(seen, came);
    assert!(guests.len() >= 5, "{seen}");
    assert_eq!(scene.counter("parvis_webhooks_dropped_total"), 0);
}

#[test]
fn row_19_a_thousand_key_frame_requests_a_second_over_sockets_become_two_and_disturb_nobody() {
    let mut scene = Scene::new("row-19");
    let picture = *scene.eve.streams(false).keys().next().expect("Eve sees Ada");
    let peace = scene.call();
    let (before, asked) = (scene.counter("parvis_media_key_frame_requests_received_total"), scene.ada.asked);
    let (mut pace, begin) = (Pace::new(1_000), Instant::now());
    let attack = scene.call_under(|eve| {
        for _ in 0..pace.due() {
            eve.receiving.send_rtcp(|writer| writer.pli(1, picture).unwrap());
        }
        Pace::rest();
    });
    let seconds = begin.elapsed().as_secs_f64();
    unharmed(&peace, &attack);
    scene.counts("parvis_media_key_frame_requests_received_total", before + 2_000);
    let asked = scene.ada.asked - asked;
    assert!(
        asked >= 1 && f64::from(asked) <= 2.0 * seconds + 2.0,
        "Ada was asked {asked} times in {seconds:.1} s"
    );
}

#[test]
fn row_20_a_nack_storm_over_sockets_brings_eve_no_more_than_the_share_and_disturbs_nobody() {
    let mut scene = Scene::new("row-20");
    let picture = *scene.eve.streams(false).keys().next().expect("Eve sees Ada");
    let peace = scene.call();
    scene.eve.act();
    let media = scene.eve.media_bytes;
    let before = scene.counter("parvis_media_resend_over_budget_total")
        + scene.counter("parvis_media_resend_suppressed_total");
    let (mut pace, begin) = (Pace::new(1_000), Instant::now());
    let attack = scene.call_under(|eve| {
        let last =
            eve.heard.iter().rev().find(|heard| heard.ssrc == picture).map_or(0, |heard| heard.sequence);
        for _ in 0..pace.due() {
            eve.receiving.send_rtcp(|writer| {
                writer.nack(1, picture, (0..100).map(|back| last.wrapping_sub(100 - back))).unwrap()
            });
        }
        Pace::rest();
    });
    let seconds = begin.elapsed().as_secs_f64();
    unharmed(&peace, &attack);
    let came = (scene.eve.media_bytes - media) as f64;
    // What Ada sends to each: 50 packets of sound and 50 of pictures a second.
    let media = seconds * 50.0 * (130.0 + 560.0);
    // A third more for what is sent again, and the floor of 12,500 bytes a second, twice at most at the beginning.
    let most = media * 1.3 + 12_500.0 * (seconds + 1.0) + 20_000.0;
    assert!(came <= most, "{came} bytes came for {media} of media");
    let refused = |scene: &Scene| {
        scene.counter("parvis_media_resend_over_budget_total")
            + scene.counter("parvis_media_resend_suppressed_total")
    };
    until("refusals are counted", || refused(&scene) >= before + 1_000);
}

#[test]
fn row_21_feedback_that_lies_or_never_comes_disturbs_nobody() {
    let mut scene = Scene::new("row-21");
    // Nobody here acknowledges anything unless the test does: that is the one half.
    let peace = scene.call();
    scene.eve.act();
    let media = scene.eve.media_bytes;
    let read = scene.counter("parvis_forwarder_rtcp_in_total");
    let (mut pace, mut number, begin) = (Pace::new(100), 0_u16, Instant::now());
    let attack = scene.call_under(|eve| {
        for _ in 0..pace.due() {
            // All that was ever sent and much that was not has come, all of it in one tick; and the line holds a gigabit.
            let arrivals = [Some(i64::from(number)); 200];
            eve.receiving.send_rtcp(|writer| {
                writer.transport_feedback(1, 1, number as u8, number, &arrivals).unwrap();
            });
            eve.receiving.send_rtcp(|writer| writer.remb(1, 1_000_000_000, &[]).unwrap());
            number = number.wrapping_add(2);
        }
        Pace::rest();
    });
    unharmed(&peace, &attack);
    scene.counts("parvis_forwarder_rtcp_in_total", read + 400);
    let (came, seconds) = (scene.eve.media_bytes - media, begin.elapsed().as_secs_f64());
    // Nobody sends her a gigabit for saying so: Ada's 276 kbit/s, and what probing may add to them.
    let rate = came as f64 * 8.0 / seconds;
    assert!(rate < 3_000_000.0, "{rate:.0} bit/s came to Eve");
}

/// Eve hears and sees, and says nothing of it: no feedback, no report. Ada's pictures are ten times what she begins with.
#[test]
fn row_21_who_never_acknowledges_is_sent_what_one_begins_with_and_disturbs_nobody() {
    let mut scene = Scene::new("row-21-silence");
    let peace = scene.call();
    scene.eve.act();
    let (read, memory) = (scene.counter("parvis_forwarder_rtcp_in_total"), scene.resident_kib());
    let padding = scene.counter("parvis_media_padding_packets_total");
    let (media, published) = (scene.eve.media_bytes, scene.counter("parvis_media_received_bytes_total"));
    let begin = Instant::now();
    for _ in 0..2 {
        let goes_on = AtomicBool::new(true);
        let attack = std::thread::scope(|scope| {
            let eve = &mut scene.eve;
            scope.spawn(|| {
                while goes_on.load(Ordering::Relaxed) {
                    eve.act();
                    Pace::rest();
                }
            });
            call(&mut scene.ada, &mut scene.bo, &goes_on, 14)
        });
        unharmed(&peace, &attack);
    }
    let seconds = begin.elapsed().as_secs_f64();
    std::thread::sleep(Duration::from_millis(600));
    let published = (scene.counter("parvis_media_received_bytes_total") - published) as f64 * 8.0 / seconds;
    assert!(published > 2_000_000.0, "Ada sent {published:.0} bit/s only");
    assert_eq!(scene.counter("parvis_forwarder_rtcp_in_total"), read, "somebody said something");
    assert_eq!(
        scene.counter("parvis_media_padding_packets_total"),
        padding,
        "nothing is tried where nothing is told"
    );
    // What one begins with is 300 kbit/s; a pacer lets two and a half times as much out, and sound goes beside it.
    let rate = (scene.eve.media_bytes - media) as f64 * 8.0 / seconds;
    assert!(rate < 1_200_000.0, "{rate:.0} bit/s came to Eve");
    let grown = scene.resident_kib().saturating_sub(memory);
    assert!(grown < 16 << 10, "{grown} KiB more are kept for her");
}

#[test]
fn row_22_a_hundred_times_the_share_over_sockets_is_cut_to_its_limit_and_disturbs_nobody() {
    let mut scene = Scene::new("row-22");
    let peace = scene.call();
    let before = scene.counter("parvis_media_dropped_ingress_limit_total");
    let (mut pace, mut count) = (Pace::new(5_000), 0);
    let attack = scene.call_under(|eve| {
        for _ in 0..pace.due() {
            count += 1;
            eve.say(count);
        }
        Pace::rest();
    });
    unharmed(&peace, &attack);
    scene.counts("parvis_media_dropped_ingress_limit_total", before + 1_000);
}

#[test]
fn row_23_ten_thousand_streams_over_sockets_leave_the_memory_flat_and_disturb_nobody() {
    let mut scene = Scene::new("row-23");
    let peace = scene.call();
    let before = scene.resident_kib();
    let refused = |scene: &Scene| {
        scene.counter("parvis_media_dropped_unknown_stream_total")
            + scene.counter("parvis_forwarder_dropped_total")
    };
    let (dropped, mut pace, mut ssrc) = (refused(&scene), Pace::new(5_000), 100);
    let attack = scene.call_under(|eve| {
        // As many as our own encryption has places for, and more than the server has.
        for _ in 0..pace.due().min(12_000 - ssrc.min(12_000)) {
            ssrc += 1;
            let packet = eve.packet(PICTURE, &[0x10, 0x11, 0, 0], Some(ssrc)).unwrap();
            eve.sending.send(&packet);
        }
        Pace::rest();
    });
    unharmed(&peace, &attack);
    assert!(ssrc > 10_000, "only {ssrc} streams");
    until("most streams are refused", || refused(&scene) >= dropped + 5_000);
    let grown = scene.resident_kib().saturating_sub(before);
    assert!(grown < 16 << 10, "{grown} KiB more");
}

#[test]
fn row_24_a_stream_number_that_two_use_does_not_mix_over_sockets() {
    // Eve calls her streams what Ada calls hers.
    let mut scene = Scene::with("row-24", [1, 2]);
    let peace = scene.call();
    let (mut pace, mut count) = (Pace::new(50), 0);
    let attack = scene.call_under(|eve| {
        for _ in 0..pace.due() {
            count += 1;
            eve.say(count);
        }
        Pace::rest();
    });
    unharmed(&peace, &attack);
    let mut speakers = std::collections::BTreeMap::new();
    for heard in scene.bo.heard.iter().filter(|heard| heard.payload.first() == Some(&b'A')) {
        speakers.entry(heard.ssrc).or_insert_with(std::collections::BTreeSet::new).insert(heard.payload[1]);
    }
    assert_eq!(speakers.len(), 2, "two streams of sound reach Bo: {speakers:?}");
    assert!(speakers.values().all(|voices| voices.len() == 1), "{speakers:?}");
}

#[test]
fn row_25_a_member_that_stops_reading_disturbs_nobody() {
    let mut scene = Scene::new("row-25");
    let peace = scene.call();
    let before = scene.resident_kib();
    // Eve reads neither media nor signalling any more, and goes on sending.
    let mut count = 0;
    let (ada, bo, eve) = (&mut scene.ada, &mut scene.bo, &mut scene.eve);
    let goes_on = AtomicBool::new(true);
    let attack = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut pace = Pace::new(50);
            while goes_on.load(Ordering::Relaxed) {
                for _ in 0..pace.due() {
                    count += 1;
                    let packet = eve.packet(SOUND, &[b'A', b'e', 0, 0, 0, count as u8], None);
                    eve.sending.send(&packet.unwrap());
                }
                Pace::rest();
            }
        });
        call(ada, bo, &goes_on, 1)
    });
    unharmed(&peace, &attack);
    let grown = scene.resident_kib().saturating_sub(before);
    assert!(grown < 16 << 10, "{grown} KiB more");
}

#[test]
fn row_25_a_flood_of_data_to_one_who_does_not_read_leaves_the_memory_flat_and_disturbs_nobody() {
    let mut scene = Scene::new("row-25-data");
    let mut frank = join(&scene.server, &scene.keys, "frank", b'f', [7, 8]);
    until("Frank's channel is open", || {
        scene.eve.send_data("frank", 10);
        for member in [&mut scene.eve, &mut frank] {
            member.signal();
            member.act();
        }
        frank.receiving.messages > 0
    });
    // From here on Frank reads nothing.
    let peace = scene.call();
    let before = scene.resident_kib();
    let dropped = scene.counter("parvis_forwarder_data_dropped_total");
    let (mut pace, mut taken) = (Pace::new(800), 0_u64);
    let attack = scene.call_under(|eve| {
        for _ in 0..pace.due() {
            taken += u64::from(eve.send_data("frank", 8_000));
            eve.act();
        }
        Pace::rest();
    });
    unharmed(&peace, &attack);
    assert!(taken > 500, "Eve's own channel took {taken} messages only");
    scene.counts("parvis_forwarder_data_dropped_total", dropped + 100);
    let grown = scene.resident_kib().saturating_sub(before);
    eprintln!("{taken} messages, {grown} KiB more");
    assert!(grown < 24 << 10, "{grown} KiB more");
}

#[test]
fn row_25_a_subscriber_over_tcp_that_stops_reading_loses_its_own_share_and_disturbs_nobody() {
    // Sound goes past all pacers, so that it fills a line soonest; as much of it as this is not let in by default.
    let mut scene =
        Scene::with_media("row-25-tcp", "max_sound_bitrate = 30000000\nmax_sound_packets_per_second = 3125");
    let mut frank = Member::join_by(scene.server.address, &token(&scene.keys, "frank"), b'f', [7, 8], true);
    let mut count = 0;
    until("Frank hears Ada over TCP", || {
        count += 1;
        scene.ada.say(count);
        for member in [&mut scene.ada, &mut scene.bo, &mut scene.eve, &mut frank] {
            member.signal();
            member.act();
        }
        !frank.heard.is_empty()
    });
    let peace = scene.call();
    let (before, dropped) = (scene.resident_kib(), scene.counter("parvis_shard_tcp_dropped_full_total"));
    // From here on Frank reads nothing. 20 Mbit/s of sound, which no pacer holds back, fill what the kernel and the server
    // keep for him.
    let mut pace = Pace::new(2_500);
    let attack = scene.call_under(|eve| {
        for _ in 0..pace.due() {
            let packet = eve.packet(SOUND, &[&b"Ae"[..], &[0; 1_000]].concat(), None).unwrap();
            eve.sending.send(&packet);
        }
        Pace::rest();
    });
    unharmed(&peace, &attack);
    scene.counts("parvis_shard_tcp_dropped_full_total", dropped + 100);
    let grown = scene.resident_kib().saturating_sub(before);
    assert!(grown < 16 << 10, "{grown} KiB more");
}
