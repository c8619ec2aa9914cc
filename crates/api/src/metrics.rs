// SPDX-License-Identifier: EUPL-1.2
//! Counters of the participants' plane, and their page for Prometheus.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::response::IntoResponse;
use axum::routing::get;
use parvis_meeting::assembly::AssemblyStats;
use parvis_signal::RoomStats;
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Encoder, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};

use crate::felt::FeltMetrics;
use crate::jitsi_names::JitsiNames;
use crate::openmetrics;
use crate::room_task::{figures, meeting_figures};

/// A figure that someone else counts, read when the page is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The metric's name.
    pub name: String,
    /// What it says.
    pub help: &'static str,
    /// Whether it only grows.
    pub counter: bool,
    /// Name and value of each label.
    pub labels: Vec<(&'static str, String)>,
    /// The figure.
    pub value: f64,
}

/// Why WebSockets are closed by us.
const CLOSED: [&str; 7] = ["room", "let go", "silent", "not heard", "too large", "malformed", "slow"];

/// Reads figures that are counted elsewhere.
pub type Source = Arc<dyn Fn() -> Vec<Sample> + Send + Sync>;

/// What the participants' plane counts.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    sources: Arc<[Source]>,
    /// Requests, by route and status.
    pub(crate) requests: IntCounterVec,
    /// Joins, by outcome.
    pub(crate) joins: IntCounterVec,
    /// Connections open.
    pub(crate) connections: IntGauge,
    /// WebSockets open.
    pub(crate) sockets: IntGauge,
    /// Participants that came by an offer over HTTP.
    pub(crate) offered: IntGauge,
    /// Connections refused, by the limit that was hit.
    pub(crate) connections_refused: IntCounterVec,
    /// Connections that were nothing yet and made room for others.
    pub(crate) connections_displaced: IntCounter,
    /// Times that accepting rested.
    pub(crate) accept_pauses: IntCounter,
    /// Rooms open.
    pub(crate) rooms: IntGauge,
    /// Participants in all rooms.
    pub(crate) participants: IntGauge,
    /// Rooms that ended otherwise than by their own end, by cause.
    pub(crate) rooms_lost: IntCounterVec,
    /// WebSockets closed by us, by cause.
    pub(crate) sockets_closed: IntCounterVec,
    /// Events of forwarders that found no room, or no place in its queue.
    pub(crate) events_dropped: IntCounter,
    /// What rooms count, by name.
    pub(crate) signal: IntCounterVec,
    /// What came of hellos on meetings' own sockets, by outcome.
    pub(crate) hellos: IntCounterVec,
    /// What meetings count, by name.
    pub(crate) meetings: IntCounterVec,
    /// How often each bound of a meeting held, by name.
    pub(crate) bounds: IntCounterVec,
    /// What happens with agents, by name.
    pub(crate) agents: IntCounterVec,
    /// Workers of agents that are registered.
    pub(crate) agent_workers: IntGauge,
    /// What people feel of all this.
    pub(crate) felt: FeltMetrics,
    /// Whether figures are also told under the names of Jitsi's bridge.
    jitsi: Option<Arc<JitsiNames>>,
}

impl Metrics {
    /// New counters at zero, besides what `sources` count. It fails only if two metrics share a name.
    pub fn new(sources: Vec<Source>) -> Result<Metrics, prometheus::Error> {
        let registry = Registry::new();
        registry.register(Box::new(ProcessCollector::for_self()))?;
        let rooms: Vec<&str> = figures(&RoomStats::default()).into_iter().map(|(what, _)| what).collect();
        let assembly = AssemblyStats::default();
        let bounds: Vec<&str> = assembly.bounds.by_name().map(|(bound, _)| bound).collect();
        let meetings = meeting_figures(&assembly);
        let meetings: Vec<&str> = meetings.into_iter().map(|(what, _)| what).collect();
        let vec = |name: &str, help: &str, label: &str, values: &[&str]| {
            let vec = IntCounterVec::new(Opts::new(name, help), &[label])?;
            registry.register(Box::new(vec.clone()))?;
            // A series that is there from the beginning shows its first event as a rise.
            for value in values {
                vec.with_label_values(&[value]);
            }
            Ok::<_, prometheus::Error>(vec)
        };
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let help = Opts::new("parvis_http_requests_total", "HTTP requests answered.");
        let requests = IntCounterVec::new(help, &["route", "status"])?;
        registry.register(Box::new(requests.clone()))?;
        Ok(Metrics {
            requests,
            joins: vec("parvis_joins_total", "Joins asked for.", "outcome", &["ok"])?,
            connections: gauge("parvis_http_connections", "HTTP connections open, WebSockets among them.")?,
            sockets: gauge("parvis_websockets", "WebSockets open: for signalling, meetings and agents.")?,
            offered: gauge("parvis_offered_sessions", "Participants that publish or watch by WHIP or WHEP.")?,
            connections_refused: vec(
                "parvis_http_connections_refused_total",
                "Connections refused by a limit.",
                "limit",
                &["total", "address"],
            )?,
            connections_displaced: counter(
                "parvis_http_connections_displaced_total",
                "Connections without a meeting that were closed to make room for others.",
            )?,
            accept_pauses: counter(
                "parvis_http_accept_pauses_total",
                "Times that accepting rested for want of file descriptors.",
            )?,
            rooms: gauge("parvis_rooms", "Rooms open.")?,
            participants: gauge("parvis_participants", "Participants in all rooms.")?,
            rooms_lost: vec(
                "parvis_rooms_lost_total",
                "Rooms that a fault ended.",
                "cause",
                &["panic", "stalled", "events"],
            )?,
            sockets_closed: vec(
                "parvis_websockets_closed_total",
                "WebSockets that we closed.",
                "cause",
                &CLOSED,
            )?,
            events_dropped: counter(
                "parvis_events_dropped_total",
                "Events of the media side that no room took.",
            )?,
            signal: vec("parvis_signal_total", "What rooms count.", "what", &rooms)?,
            hellos: vec(
                "parvis_meeting_hellos_total",
                "Hellos on meetings' own sockets.",
                "outcome",
                &["ok"],
            )?,
            meetings: vec("parvis_meeting_total", "What meetings count.", "what", &meetings)?,
            bounds: vec(
                "parvis_meeting_bounds_total",
                "Times that a bound of a meeting was in the way of something.",
                "bound",
                &bounds,
            )?,
            agents: vec("parvis_agents_total", "What happens with agents.", "what", &[])?,
            agent_workers: gauge("parvis_agent_workers", "Workers of agents that are registered.")?,
            felt: FeltMetrics::new(&registry)?,
            jitsi: None,
            registry,
            sources: sources.into(),
        })
    }

    /// Tells some figures under the names of Jitsi's bridge too, for dashboards that were made for it.
    #[must_use]
    pub fn with_jitsi_names(mut self, wanted: bool) -> Metrics {
        self.jitsi = wanted.then(Arc::default);
        self
    }

    /// All figures in Prometheus' text format.
    pub fn page(&self) -> String {
        let mut page = Vec::new();
        // Writing to memory fails only on a family without metrics; such are left out.
        let _ = TextEncoder::new().encode(&self.families(), &mut page);
        String::from_utf8(page).unwrap_or_default()
    }

    /// The same in OpenMetrics' form, with exemplars.
    pub fn open_page(&self) -> String {
        openmetrics::page(&self.families(), |name| self.felt.exemplars(name))
    }

    fn families(&self) -> Vec<MetricFamily> {
        let mut families = self.registry.gather();
        let mut samples: Vec<Sample> = self.sources.iter().flat_map(|source| source()).collect();
        if let Some(jitsi) = &self.jitsi {
            samples.extend(jitsi.samples(
                Instant::now(),
                self.rooms.get(),
                self.participants.get(),
                &samples,
            ));
        }
        samples.sort_by(|a, b| a.name.cmp(&b.name));
        for same_name in samples.chunk_by(|a, b| a.name == b.name) {
            families.push(family(same_name));
        }
        families
    }

    /// The metrics listener's routes.
    pub fn router(&self) -> Router {
        let metrics = self.clone();
        let page = move |headers: HeaderMap| {
            let mut accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
            let (form, page) = match accepted.any(openmetrics::is_wanted) {
                true => (openmetrics::CONTENT_TYPE, metrics.open_page()),
                false => (prometheus::TEXT_FORMAT, metrics.page()),
            };
            async move { ([(CONTENT_TYPE, form)], page).into_response() }
        };
        Router::new().route("/metrics", get(page))
    }
}

fn family(samples: &[Sample]) -> MetricFamily {
    let mut family = MetricFamily::default();
    if let Some(first) = samples.first() {
        family.set_name(first.name.clone());
        family.set_help(first.help.to_owned());
        family.set_field_type(if first.counter { MetricType::COUNTER } else { MetricType::GAUGE });
    }
    family.set_metric(samples.iter().map(metric).collect());
    family
}

fn metric(sample: &Sample) -> Metric {
    let label = |(name, value): &(&str, String)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value(value.clone());
        pair
    };
    let mut metric = Metric::from_label(sample.labels.iter().map(label).collect());
    if sample.counter {
        let mut counter = Counter::default();
        counter.set_value(sample.value);
        metric.set_counter(counter);
    } else {
        let mut gauge = Gauge::default();
        gauge.set_value(sample.value);
        metric.set_gauge(gauge);
    }
    metric
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_our_own_figures_and_those_of_others() {
        let sample = |shard: &str, value| Sample {
            name: "parvis_media_packets_total".to_owned(),
            help: "Packets.",
            counter: true,
            labels: vec![("shard", shard.to_owned())],
            value,
        };
        let source: Source = Arc::new(move || vec![sample("0", 5.0), sample("1", 7.0)]);
        let metrics = Metrics::new(vec![source]).unwrap();
        metrics.joins.with_label_values(&["ok"]).inc();
        let page = metrics.page();
        for line in [
            "# TYPE parvis_joins_total counter",
            "parvis_joins_total{outcome=\"ok\"} 1",
            "# TYPE parvis_media_packets_total counter",
            "parvis_media_packets_total{shard=\"0\"} 5",
            "parvis_media_packets_total{shard=\"1\"} 7",
            "parvis_rooms 0",
        ] {
            assert!(page.lines().any(|found| found == line), "no line {line:?} in\n{page}");
        }
    }
}
