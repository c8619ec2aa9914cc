// SPDX-License-Identifier: EUPL-1.2
//! One participant sends ten thousand signalling messages a second, and others join.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use livekit_protocol as proto;
use livekit_protocol::signal_request::Message as Request;
use prost::Message as _;
use tokio::net::TcpSocket;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

use crate::common::ANY_PORTS;
use crate::hall::{Hall, percentile};

const PER_SECOND: u64 = 10_000;
/// Sent together, and how often.
const BATCH: u64 = 20;
const EVERY: Duration = Duration::from_millis(2);
const JOINS: usize = 110;
const BOUND: Duration = Duration::from_millis(500);
/// Longer than anyone may take for the test to say by how much.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Default)]
struct Counts {
    sent: AtomicU64,
    answers: AtomicU64,
    /// Times that he joined.
    joins: AtomicU64,
    /// For how long the server read nothing of his, in microseconds.
    held_back_us: AtomicU64,
    over: AtomicBool,
}

/// Whoever floods, at an address of his own so that nobody pays for his joins.
struct Flooder {
    counts: Arc<Counts>,
    begun: Instant,
    thread: JoinHandle<()>,
}

/// What came of it.
#[derive(Debug)]
struct Flood {
    seconds: f64,
    sent: u64,
    answers: u64,
    joins: u64,
    held_back: Duration,
}

/// What a client says most often, and what the server looks most things up for.
fn message(number: u64) -> Message {
    let request = match number % 4 {
        0 => Request::TrackSetting(proto::UpdateTrackSettings {
            track_sids: vec!["TR_nobody".to_owned()],
            ..Default::default()
        }),
        1 => Request::Subscription(proto::UpdateSubscription {
            track_sids: vec!["TR_nobody".to_owned()],
            subscribe: true,
            ..Default::default()
        }),
        _ => Request::PingReq(proto::Ping { timestamp: number as i64, rtt: 1 }),
    };
    Message::Binary(proto::SignalRequest { message: Some(request) }.encode_to_vec().into())
}

impl Flooder {
    /// Joins and floods until it is over, and joins again whenever he is thrown out.
    fn start(server: SocketAddr, token: String) -> Flooder {
        let counts = Arc::<Counts>::default();
        let own = Arc::clone(&counts);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                while !own.over.load(Ordering::Relaxed) {
                    if !flood(server, &token, &own).await {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                }
            });
        });
        Flooder { counts, begun: Instant::now(), thread }
    }

    fn stop(self) -> Flood {
        self.counts.over.store(true, Ordering::Relaxed);
        let seconds = self.begun.elapsed().as_secs_f64();
        self.thread.join().unwrap();
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Flood {
            seconds,
            sent: of(&self.counts.sent),
            answers: of(&self.counts.answers),
            joins: of(&self.counts.joins),
            held_back: Duration::from_micros(of(&self.counts.held_back_us)),
        }
    }
}

/// Floods over one connection until that ends; says whether there was one.
async fn flood(server: SocketAddr, token: &str, counts: &Counts) -> bool {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(IpAddr::from([127, 0, 0, 3]), 0)).unwrap();
    let Ok(stream) = socket.connect(server).await else { return false };
    let url = format!("ws://{server}/rtc?access_token={token}&protocol=16");
    let Ok((socket, _)) = client_async(url, stream).await else { return false };
    counts.joins.fetch_add(1, Ordering::Relaxed);
    let (mut sink, mut stream) = socket.split();
    let listen = async {
        while let Some(Ok(message)) = stream.next().await {
            counts.answers.fetch_add(u64::from(message.is_binary()), Ordering::Relaxed);
        }
    };
    let speak = async {
        let mut ticks = tokio::time::interval(EVERY);
        // Who was held back makes up for it as soon as he can.
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
        while !counts.over.load(Ordering::Relaxed) {
            ticks.tick().await;
            let begun = Instant::now();
            for number in 0..BATCH {
                if sink.feed(message(number)).await.is_err() {
                    return;
                }
            }
            if sink.flush().await.is_err() {
                return;
            }
            counts.sent.fetch_add(BATCH, Ordering::Relaxed);
            counts.held_back_us.fetch_add(begun.elapsed().as_micros() as u64, Ordering::Relaxed);
        }
    };
    tokio::select! {
        () = listen => {}
        () = speak => {}
    }
    true
}

/// Lets people join his room and another one while someone floods, and returns how long each took.
fn joins(hall: &Hall) -> Vec<Duration> {
    let join = |number: usize| {
        let room = ["atelier", "salon"][number % 2];
        let (caller, took, tries) = hall.join(room, &format!("guest-{number}"), PATIENCE);
        assert_eq!(tries, 1, "nobody is turned away");
        caller.leave();
        took
    };
    (0..JOINS).map(join).collect()
}

fn tell(what: &str, flood: &Flood, taken: u64, took: &mut [Duration]) -> Duration {
    let (median, p99) = (percentile(took, 0.5), percentile(took, 0.99));
    eprintln!(
        "{what}: {} messages sent in {:.1} s ({:.0} a second), {taken} taken, {} answers, {} joins of the sender's, \
         {:.1?} spent on sending; {} others joined, median {median:.1?}, p99 {p99:.1?}, most {:.1?}",
        flood.sent,
        flood.seconds,
        flood.sent as f64 / flood.seconds,
        flood.answers,
        flood.joins,
        flood.held_back,
        took.len(),
        took.last().unwrap(),
    );
    p99
}

#[test]
fn row_29_ten_thousand_messages_a_second_that_are_all_taken_delay_nobody() {
    // Fifty times what the server takes by default: here nothing but its speed protects the others.
    let configuration = "[http]\njoins_per_address = { burst = 1000, per_second = 100 }\n\
                         [media]\naddresses = [\"127.0.0.1\"]\npin = false\n\
                         [sessions]\njoin_timeout = \"10m\"\nrequests = { burst = 20000, per_second = 20000 }\n";
    let hall = Hall::open("flood-taken", "", configuration, &ANY_PORTS);
    let flooder = Flooder::start(hall.server.address, hall.token("atelier", "eve"));
    let mut took = joins(&hall);
    let flood = flooder.stop();
    let taken = hall.figure("parvis_signal_total{what=\"requests\"}");
    let p99 = tell("all taken", &flood, taken, &mut took);
    let rate = flood.sent as f64 / flood.seconds;
    // Either the rate was truly sent, or it was the server who did not read faster.
    let held_back = flood.held_back.as_secs_f64() / flood.seconds;
    assert!(rate >= PER_SECOND as f64 * 0.95 || held_back > 0.5, "neither sent nor held back: {flood:?}");
    assert!(taken >= flood.sent * 9 / 10, "{taken} of {} were taken", flood.sent);
    assert!(flood.answers >= flood.sent * 4 / 10, "half of them ask for an answer: {flood:?}");
    assert_eq!(flood.joins, 1, "he was never thrown out");
    assert!(p99 < BOUND, "p99 {p99:?}: {took:?}");
    hall.log_is_short();
}

#[test]
fn row_29_a_flood_beyond_the_limit_ends_its_sender_again_and_again_and_delays_nobody() {
    // The guests come faster from their one address than they may by default.
    let configuration = "[http]\njoins_per_address = { burst = 1000, per_second = 100 }\n\
                         [media]\naddresses = [\"127.0.0.1\"]\npin = false\n";
    let hall = Hall::open("flood", "", configuration, &ANY_PORTS);
    let flooder = Flooder::start(hall.server.address, hall.token("atelier", "eve"));
    let mut took = joins(&hall);
    let flood = flooder.stop();
    let taken = hall.figure("parvis_signal_total{what=\"requests\"}");
    let floods = hall.figure("parvis_signal_total{what=\"floods\"}");
    let p99 = tell("limited", &flood, taken, &mut took);
    assert!(flood.joins >= 2 && floods + 1 >= flood.joins, "{floods} times ended, {} joins", flood.joins);
    // What the others ask for joining and leaving is some ten requests each.
    let most = flood.joins * (1_000 + 200) + 200 * flood.seconds as u64 + 20 * JOINS as u64;
    assert!(taken <= most, "{taken} taken, at most {most} by the limits");
    assert!(p99 < BOUND, "p99 {p99:?}: {took:?}");
    hall.log_is_short();
}
