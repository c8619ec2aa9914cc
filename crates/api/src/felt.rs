// SPDX-License-Identifier: EUPL-1.2
//! What people in meetings feel of the server: how long they wait, how their networks do. It is read off the commands and
//! events that pass through a room's task, and bears no name of a room or a person.

use std::collections::BTreeMap;
use std::time::Instant;

use parvis_sfu::{Command, Event, PeerId, QualityReport, SubscriptionId, TrackId};
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

use crate::exemplars::{Exemplar, Timed};
use crate::traces::{Joins, Trace};

/// Bounds of times that people wait, in seconds.
const WAITS: [f64; 12] = [0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 3.0, 6.0, 15.0];
/// Bounds of round trips, in seconds.
const ROUND_TRIPS: [f64; 9] = [0.005, 0.02, 0.05, 0.1, 0.15, 0.25, 0.4, 0.8, 1.6];
/// Bounds of shares of lost packets.
const LOSSES: [f64; 9] = [0.0, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4];
/// Bounds of estimates, in bits per second.
const RATES: [f64; 9] = [1e5, 2.5e5, 5e5, 1e6, 2e6, 4e6, 8e6, 16e6, 50e6];

/// The figures of all rooms.
#[derive(Clone)]
pub(crate) struct FeltMetrics {
    connected: Timed,
    started: Timed,
    /// From asking for a recording or a stream until it goes on.
    pub(crate) recorded: Timed,
    loss: HistogramVec,
    round_trip: Histogram,
    estimate: Histogram,
    reports: IntCounterVec,
    pauses: IntCounterVec,
    connections: IntCounterVec,
}

impl FeltMetrics {
    /// New figures at zero. It fails only if two metrics share a name.
    pub(crate) fn new(registry: &Registry) -> Result<FeltMetrics, prometheus::Error> {
        let options =
            |name: &str, help: &str, bounds: &[f64]| HistogramOpts::new(name, help).buckets(bounds.to_vec());
        let histogram = |name: &str, help: &str, bounds: &[f64]| {
            let histogram = Histogram::with_opts(options(name, help, bounds))?;
            registry.register(Box::new(histogram.clone()))?;
            Ok::<_, prometheus::Error>(histogram)
        };
        let vec = |name: &str, help: &str, label: &str, values: &[&str]| {
            let vec = IntCounterVec::new(Opts::new(name, help), &[label])?;
            registry.register(Box::new(vec.clone()))?;
            // A series that is there from the beginning shows its first event as a rise.
            for value in values {
                vec.with_label_values(&[value]).inc_by(0);
            }
            Ok::<_, prometheus::Error>(vec)
        };
        let loss = HistogramVec::new(
            options(
                "parvis_participant_loss_ratio",
                "Share of a participant's packets that did not arrive, at each report on its network.",
                &LOSSES,
            ),
            &["direction"],
        )?;
        registry.register(Box::new(loss.clone()))?;
        for direction in ["up", "down"] {
            loss.with_label_values(&[direction]);
        }
        Ok(FeltMetrics {
            connected: Timed::new(
                registry,
                "parvis_participant_connect_seconds",
                "From asking for a participant's media connection until media can flow: ICE and DTLS.",
                &WAITS,
            )?,
            started: Timed::new(
                registry,
                "parvis_subscription_start_seconds",
                "From subscribing to a track that flows until its first packet went out; a picture waits for a key frame.",
                &WAITS,
            )?,
            recorded: Timed::new(
                registry,
                "parvis_recording_start_seconds",
                "From asking for a recording or a stream until its worker was at it.",
                &WAITS,
            )?,
            loss,
            round_trip: histogram(
                "parvis_participant_round_trip_seconds",
                "Round trip to a participant, at each report on its network.",
                &ROUND_TRIPS,
            )?,
            estimate: histogram(
                "parvis_participant_estimate_bits_per_second",
                "What a participant is believed to be able to receive, at each report on its network.",
                &RATES,
            )?,
            reports: vec(
                "parvis_participant_reports_total",
                "Reports on participants' networks, by whether less was sent than asked for, for lack of bandwidth.",
                "limited",
                &["no", "yes"],
            )?,
            pauses: vec(
                "parvis_subscription_pauses_total",
                "Pictures paused for lack of bandwidth, and taken up again.",
                "state",
                &["paused", "resumed"],
            )?,
            connections: vec(
                "parvis_participant_connections_total",
                "What happened to participants' media connections.",
                "event",
                &["connected", "disconnected", "resumed", "failed"],
            )?,
        })
    }

    /// What is remembered of the buckets of a histogram, by its name; nothing of others.
    pub(crate) fn exemplars(&self, name: &str) -> Vec<Option<Exemplar>> {
        let timed = [&self.connected, &self.started, &self.recorded];
        timed.into_iter().find(|timed| timed.name() == name).map(Timed::exemplars).unwrap_or_default()
    }

    fn report(&self, report: &QualityReport, publishes: bool) {
        if publishes {
            self.loss.with_label_values(&["up"]).observe(f64::from(report.uplink_loss));
        }
        if report.round_trip_ms > 0 {
            self.round_trip.observe(f64::from(report.round_trip_ms) / 1_000.0);
        }
        // Without an estimate nothing is sent there.
        if report.estimate > 0 {
            self.loss.with_label_values(&["down"]).observe(f64::from(report.downlink_loss));
            self.estimate.observe(report.estimate as f64);
        }
        self.reports.with_label_values(&[if report.limited { "yes" } else { "no" }]).inc();
    }
}

/// What one room's task watches. Each entry ends with the peer, the subscription or the track that it is of.
pub(crate) struct Felt {
    metrics: FeltMetrics,
    connecting: BTreeMap<PeerId, Instant>,
    starting: BTreeMap<SubscriptionId, Starting>,
    tracks: BTreeMap<TrackId, Published>,
    /// Those of whom there is a trace.
    joins: Joins,
}

struct Published {
    by: PeerId,
    /// Whether packets of it come.
    flows: bool,
}

struct Starting {
    since: Instant,
    peer: PeerId,
    track: TrackId,
}

impl Felt {
    pub(crate) fn new(metrics: &FeltMetrics) -> Felt {
        Felt {
            metrics: metrics.clone(),
            connecting: BTreeMap::new(),
            starting: BTreeMap::new(),
            tracks: BTreeMap::new(),
            joins: Joins::default(),
        }
    }

    /// Takes note of somebody who came in and has a trace, with the peer connections that are made for it.
    pub(crate) fn admitted(&mut self, now: Instant, trace: Trace, peers: Vec<PeerId>) {
        self.joins.admitted(now, trace, peers);
    }

    /// Takes note of what the room asks of its forwarder.
    pub(crate) fn command(&mut self, now: Instant, command: &Command) {
        match command {
            Command::CreatePeer { peer, .. } => {
                self.connecting.insert(*peer, now);
            }
            Command::ClosePeer { peer } => {
                self.joins.over(now, *peer, "left");
                self.forget(*peer);
            }
            Command::RemoteDescription { peer, .. } => self.joins.described(now, *peer),
            Command::Publish { peer, track, .. } => {
                self.tracks.insert(*track, Published { by: *peer, flows: false });
            }
            Command::Subscribe { subscription, peer, track, .. }
                if self.tracks.get(track).is_some_and(|published| published.flows) =>
            {
                self.starting.insert(*subscription, Starting { since: now, peer: *peer, track: *track });
            }
            Command::Unsubscribe { subscription } => {
                self.starting.remove(subscription);
            }
            Command::Unpublish { track } => {
                self.flows(*track, false);
                self.tracks.remove(track);
            }
            Command::SetMuted { track, muted } => self.flows(*track, !muted),
            _ => {}
        }
    }

    /// Takes note of what the forwarder tells the room.
    pub(crate) fn event(&mut self, now: Instant, event: &Event) {
        let connection = |what: &str| self.metrics.connections.with_label_values(&[what]).inc();
        match event {
            Event::PeerConnected { peer, .. } => {
                connection("connected");
                let trace = self.joins.connected(now, *peer);
                if let Some(since) = self.connecting.remove(peer) {
                    self.metrics.connected.observe(now.saturating_duration_since(since), trace);
                }
            }
            Event::PeerDisconnected { .. } => connection("disconnected"),
            Event::PeerResumed { .. } => connection("resumed"),
            Event::PeerFailed { peer, .. } => {
                connection("failed");
                self.joins.over(now, *peer, "failed");
                self.forget(*peer);
            }
            Event::TrackStarted { track, .. } => self.flows(*track, true),
            Event::TrackEnded { track } => self.flows(*track, false),
            Event::SubscriptionStarted { subscription } => {
                if let Some(starting) = self.starting.remove(subscription) {
                    let waited = now.saturating_duration_since(starting.since);
                    let trace = self.joins.forwarded(starting.since, now, starting.peer);
                    self.metrics.started.observe(waited, trace);
                }
            }
            Event::StreamState { paused, .. } => {
                let state = if *paused { "paused" } else { "resumed" };
                self.metrics.pauses.with_label_values(&[state]).inc();
            }
            Event::Quality { peer, report } => {
                let publishes = self.tracks.values().any(|track| track.by == *peer);
                self.metrics.report(report, publishes);
            }
            _ => {}
        }
    }

    fn flows(&mut self, track: TrackId, flows: bool) {
        if let Some(published) = self.tracks.get_mut(&track) {
            published.flows = flows;
        }
        if !flows {
            self.starting.retain(|_, starting| starting.track != track);
        }
    }

    fn forget(&mut self, peer: PeerId) {
        self.connecting.remove(&peer);
        self.starting.retain(|_, starting| starting.peer != peer);
        self.tracks.retain(|_, track| track.by != peer);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use parvis_peer::sdp::CodecKind;
    use parvis_peer::{Path, Protocol, TransportReport};

    use super::*;
    use crate::traces::Tracer;

    fn felt() -> (Felt, FeltMetrics) {
        let metrics = FeltMetrics::new(&Registry::new()).unwrap();
        (Felt::new(&metrics), metrics)
    }

    fn subscribe(subscription: u64, track: u64) -> Command {
        Command::Subscribe {
            subscription: SubscriptionId(subscription),
            peer: PeerId(2),
            track: TrackId(track),
            stream_id: String::new(),
            track_label: String::new(),
        }
    }

    #[test]
    fn a_first_packet_is_timed_from_subscribing_to_a_track_that_flows() {
        let (mut felt, metrics) = felt();
        let start = Instant::now();
        let (one, two) = (TrackId(1), TrackId(2));
        for track in [one, two] {
            felt.tracks.insert(track, Published { by: PeerId(1), flows: false });
        }
        felt.event(start, &Event::TrackStarted { track: one, codec: CodecKind::Vp8 });
        felt.command(start, &subscribe(11, 1));
        // Of the second nothing comes yet: how long its first packet takes says nothing of us.
        felt.command(start, &subscribe(12, 2));
        let later = start + Duration::from_millis(250);
        for subscription in [11, 12] {
            felt.event(later, &Event::SubscriptionStarted { subscription: SubscriptionId(subscription) });
        }
        assert_eq!(metrics.started.histogram.get_sample_count(), 1);
        assert!((metrics.started.histogram.get_sample_sum() - 0.25).abs() < 1e-9);
    }

    #[test]
    fn who_waits_for_a_muted_track_is_not_timed() {
        let (mut felt, metrics) = felt();
        let (start, track) = (Instant::now(), TrackId(1));
        felt.tracks.insert(track, Published { by: PeerId(1), flows: true });
        felt.command(start, &subscribe(11, 1));
        felt.command(start, &Command::SetMuted { track, muted: true });
        felt.event(start, &Event::SubscriptionStarted { subscription: SubscriptionId(11) });
        assert_eq!(metrics.started.histogram.get_sample_count(), 0);
    }

    #[test]
    fn losses_are_those_of_the_direction_in_which_something_is_sent() {
        let (mut felt, metrics) = felt();
        felt.tracks.insert(TrackId(1), Published { by: PeerId(1), flows: true });
        let now = Instant::now();
        let up = QualityReport { uplink_loss: 0.1, ..QualityReport::default() };
        felt.event(now, &Event::Quality { peer: PeerId(1), report: up });
        let down = QualityReport {
            downlink_loss: 0.2,
            round_trip_ms: 40,
            estimate: 1_000_000,
            limited: true,
            ..QualityReport::default()
        };
        felt.event(now, &Event::Quality { peer: PeerId(2), report: down });
        for (direction, sum) in [("up", 0.1), ("down", 0.2)] {
            let histogram = metrics.loss.with_label_values(&[direction]);
            assert_eq!(histogram.get_sample_count(), 1, "{direction}");
            assert!((histogram.get_sample_sum() - sum).abs() < 1e-6, "{direction}");
        }
        assert!((metrics.round_trip.get_sample_sum() - 0.04).abs() < 1e-9);
        assert!((metrics.estimate.get_sample_sum() - 1e6).abs() < 1e-3);
        assert_eq!(metrics.reports.with_label_values(&["yes"]).get(), 1);
    }

    #[test]
    fn a_join_that_is_traced_is_the_exemplar_of_what_it_waited_for() {
        let (mut felt, metrics) = felt();
        let (start, track) = (Instant::now(), TrackId(1));
        let trace = Tracer::unread().begin(start, "join", &[]).unwrap();
        let id = trace.id();
        felt.connecting.insert(PeerId(2), start);
        felt.admitted(start, trace, vec![PeerId(2)]);
        let path = Path {
            protocol: Protocol::Udp,
            local: "127.0.0.1:1".parse().unwrap(),
            remote: "127.0.0.1:2".parse().unwrap(),
        };
        let text = String::new;
        let (cipher, srtp_profile) = (text(), text());
        let report = TransportReport { path, dtls_version: text(), cipher, group: 0, srtp_profile };
        let up = Event::PeerConnected { peer: PeerId(2), report: Box::new(report) };
        felt.event(start + Duration::from_millis(300), &up);
        felt.tracks.insert(track, Published { by: PeerId(1), flows: true });
        felt.command(start, &subscribe(11, 1));
        let started = Event::SubscriptionStarted { subscription: SubscriptionId(11) };
        felt.event(start + Duration::from_millis(400), &started);
        for (name, seconds) in
            [("parvis_participant_connect_seconds", 0.3), ("parvis_subscription_start_seconds", 0.4)]
        {
            let found: Vec<_> = metrics.exemplars(name).into_iter().flatten().collect();
            let [exemplar] = found.as_slice() else { panic!("{name}: {found:?}") };
            assert_eq!(exemplar.trace, id, "{name}");
            assert!((exemplar.seconds - seconds).abs() < 1e-9, "{name}: {exemplar:?}");
        }
        assert!(metrics.exemplars("parvis_participant_round_trip_seconds").is_empty());
        assert_eq!(felt.joins.followed(), 0);
    }

    #[test]
    fn nothing_is_kept_of_who_left() {
        let (mut felt, _) = felt();
        let now = Instant::now();
        felt.tracks.insert(TrackId(1), Published { by: PeerId(1), flows: true });
        felt.connecting.insert(PeerId(2), now);
        felt.command(now, &subscribe(11, 1));
        for peer in [1, 2] {
            felt.command(now, &Command::ClosePeer { peer: PeerId(peer) });
        }
        assert!(felt.tracks.is_empty() && felt.connecting.is_empty() && felt.starting.is_empty());
    }
}
