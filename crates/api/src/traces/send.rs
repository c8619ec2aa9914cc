// SPDX-License-Identifier: EUPL-1.2
//! From a bounded queue to the collector. Whoever ends a span never waits: what finds no place, and what the collector doesn't take
//! in time or at all, is counted and gone. Nothing is tried twice, and no answer's body is read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::header::{CONNECTION, CONTENT_TYPE, HOST, USER_AGENT};
use axum::http::{Error, Request};
use bytes::Bytes;
use http_body_util::Full;
use prost::Message;
use tokio::sync::mpsc;

use super::Tracer;
use super::wire::{Export, Resource, ResourceSpans, Scope, ScopeSpans, WireSpan, attribute};
use crate::metrics::{Sample, Source};
use crate::webhook::{Client, InternalPlaces, Target};

/// Spans that are sent at one time: some 150 bytes each.
const BATCH: usize = 512;
/// How long spans are gathered.
const GATHER: Duration = Duration::from_millis(200);
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Where traces go, and how many.
#[derive(Debug, Clone)]
pub struct TraceConfig {
    /// The collector's address for traces: `http://` or `https://`, with a path.
    pub endpoint: String,
    /// How many of a hundred joins and jobs are traced.
    pub sample_percent: u8,
    /// How long the collector may take.
    pub timeout: Duration,
    /// Spans that may wait for it.
    pub queue: usize,
}

/// Why there are no traces.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The address makes no sense.
    #[error(
        "\"{url}\" {problem}; use the collector's address for traces, such as \"http://127.0.0.1:4318/v1/traces\""
    )]
    Endpoint {
        /// The address.
        url: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// There is no TLS to be had.
    #[error("TLS can't be set up: {0}")]
    Tls(#[from] rustls::Error),
}

impl TraceConfig {
    /// Finds what is wrong in it, without a network.
    pub fn check(&self) -> Result<(), TraceError> {
        self.target().map(drop)
    }

    fn target(&self) -> Result<(Target, InternalPlaces), TraceError> {
        let wrong = |problem| TraceError::Endpoint { url: self.endpoint.clone(), problem };
        let target = Target::read(&self.endpoint).map_err(wrong)?;
        if target.path == "/" {
            return Err(wrong("names no path"));
        }
        // It is the operator's own word where it goes: within a network it may be as well, there alone.
        let place = format!("{}:{}", target.host, target.port);
        let places = InternalPlaces::parse(&[place]).map_err(|_| wrong("has no port that can be"))?;
        Ok((target, places))
    }
}

impl Tracer {
    /// Sends traces from now on. It must be called on a Tokio runtime.
    pub fn start(config: &TraceConfig) -> Result<Tracer, TraceError> {
        let (target, places) = config.target()?;
        let client = Client::new(places, config.timeout)?;
        let (sender, inbox) = mpsc::channel(config.queue.max(1));
        let counts = Arc::<Counts>::default();
        let instance = format!("{:016x}", rand::random::<u64>());
        tokio::spawn(run(inbox, target, client, instance, Arc::clone(&counts)));
        Ok(Tracer { queue: Queue { sender, counts }, sample_percent: config.sample_percent })
    }

    /// For the metrics page.
    pub fn figures(&self) -> Source {
        let counts = Arc::clone(&self.queue.counts);
        Arc::new(move || counts.samples())
    }
}

/// Where spans wait.
#[derive(Clone)]
pub(super) struct Queue {
    sender: mpsc::Sender<WireSpan>,
    counts: Arc<Counts>,
}

impl Queue {
    /// Hands a span over, without waiting.
    pub(super) fn send(&self, span: WireSpan) {
        if self.sender.try_send(span).is_err() {
            self.counts.no_place.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// One that is read by a test.
    #[cfg(test)]
    pub(super) fn read_by_test(places: usize) -> (Queue, mpsc::Receiver<WireSpan>) {
        let (sender, inbox) = mpsc::channel(places);
        (Queue { sender, counts: Arc::default() }, inbox)
    }
}

/// What became of spans.
#[derive(Debug, Default)]
struct Counts {
    sent: AtomicU64,
    no_place: AtomicU64,
    not_taken: AtomicU64,
}

impl Counts {
    fn samples(&self) -> Vec<Sample> {
        let sample = |name: &str, help, labels, counter: &AtomicU64| Sample {
            name: name.to_owned(),
            help,
            counter: true,
            labels,
            value: counter.load(Ordering::Relaxed) as f64,
        };
        let dropped = |cause: &str, counter| {
            let help = "Spans of traces that never reached the collector.";
            sample("parvis_trace_spans_dropped_total", help, vec![("cause", cause.to_owned())], counter)
        };
        let help = "Spans of traces that the collector took.";
        vec![
            sample("parvis_trace_spans_sent_total", help, Vec::new(), &self.sent),
            dropped("queue", &self.no_place),
            dropped("collector", &self.not_taken),
        ]
    }
}

/// Sends what comes until nobody can send any more.
async fn run(
    mut inbox: mpsc::Receiver<WireSpan>,
    target: Target,
    client: Client,
    instance: String,
    counts: Arc<Counts>,
) {
    let mut spans = Vec::new();
    let mut fails = false;
    while inbox.recv_many(&mut spans, BATCH).await > 0 {
        if spans.len() < BATCH {
            tokio::time::sleep(GATHER).await;
            while spans.len() < BATCH {
                let Ok(span) = inbox.try_recv() else { break };
                spans.push(span);
            }
        }
        let sent = spans.len() as u64;
        let body = export(&instance, std::mem::take(&mut spans)).encode_to_vec();
        let result = match request(&target, body) {
            Ok(request) => client.exchange(&target, request).await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match result {
            Ok(()) => {
                counts.sent.fetch_add(sent, Ordering::Relaxed);
                fails = false;
            }
            Err(error) => {
                counts.not_taken.fetch_add(sent, Ordering::Relaxed);
                // One line for one outage.
                if !std::mem::replace(&mut fails, true) {
                    tracing::warn!(
                        target = target.id,
                        error,
                        "the collector takes no traces: they are dropped"
                    );
                }
            }
        }
    }
}

fn export(instance: &str, spans: Vec<WireSpan>) -> Export {
    let attributes = vec![
        attribute("service.name", "parvis"),
        attribute("service.version", VERSION),
        // Tells this run of the server from the others, and says nothing of the machine.
        attribute("service.instance.id", instance),
    ];
    let scope = Scope { name: "parvis".to_owned(), version: VERSION.to_owned() };
    Export {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource { attributes }),
            scope_spans: vec![ScopeSpans { scope: Some(scope), spans }],
        }],
    }
}

fn request(target: &Target, body: Vec<u8>) -> Result<Request<Full<Bytes>>, Error> {
    Request::post(&target.path)
        .header(HOST, &target.authority)
        .header(USER_AGENT, concat!("Parvis/", env!("CARGO_PKG_VERSION")))
        .header(CONNECTION, "close")
        .header(CONTENT_TYPE, "application/x-protobuf")
        .body(Full::new(Bytes::from(body)))
}
