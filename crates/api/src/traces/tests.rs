// SPDX-License-Identifier: EUPL-1.2
//! Traces before collectors of several kinds, and what joins and jobs say.

use std::time::Duration;

use axum::Router;
use axum::body::Bytes as Body;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use livekit_protocol::EgressStatus;
use parvis_sfu::PeerId;
use prometheus::Registry;
use prost::Message;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::wire::{AnyValue, Export, Text};
use super::*;
use crate::exemplars::Timed;

const PATIENCE: Duration = Duration::from_secs(10);

fn config(endpoint: String) -> TraceConfig {
    TraceConfig { endpoint, sample_percent: 100, timeout: Duration::from_millis(100), queue: 64 }
}

/// A collector that reads what it gets, and answers so.
async fn collector(answer: StatusCode) -> (String, mpsc::Receiver<Export>) {
    let (sender, exports) = mpsc::channel(16);
    let take = move |headers: HeaderMap, body: Body| async move {
        assert_eq!(headers["content-type"], "application/x-protobuf");
        sender.send(Export::decode(body).unwrap()).await.unwrap();
        (answer, "this is no protobuf")
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, Router::new().route("/v1/traces", post(take))).into_future());
    (format!("http://{at}/v1/traces"), exports)
}

/// A tracer whose spans a test reads.
fn tracer(places: usize) -> (Tracer, mpsc::Receiver<WireSpan>) {
    let (queue, inbox) = Queue::read_by_test(places);
    (Tracer { queue, sample_percent: 100 }, inbox)
}

fn figure(tracer: &Tracer, name: &str) -> f64 {
    let samples = (tracer.figures())();
    let sample = samples.iter().find(|sample| {
        let labels: String = sample.labels.iter().map(|(_, value)| value.as_str()).collect();
        format!("{} {labels}", sample.name).trim_end() == name
    });
    sample.unwrap().value
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "no {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn word(value: &Option<AnyValue>) -> &str {
    let Some(AnyValue { value: Some(Text::String(text)) }) = value else { panic!("{value:?}") };
    text
}

fn said(span: &WireSpan) -> Vec<(&str, &str)> {
    span.attributes.iter().map(|each| (each.key.as_str(), word(&each.value))).collect()
}

fn names(inbox: &mut mpsc::Receiver<WireSpan>) -> Vec<String> {
    std::iter::from_fn(|| inbox.try_recv().ok()).map(|span| span.name).collect()
}

#[tokio::test]
async fn a_collector_gets_whole_traces() {
    let (endpoint, mut exports) = collector(StatusCode::OK).await;
    let tracer = Tracer::start(&config(endpoint)).unwrap();
    let now = Instant::now();
    let trace = tracer.begin(now, "join", &[("parvis.form", "dual")]).unwrap();
    trace.step("token", now + Duration::from_millis(1), now + Duration::from_millis(3));
    trace.end(now + Duration::from_millis(40), "room_full", false);
    trace.end(now + Duration::from_millis(90), "connected", true);
    let export = tokio::time::timeout(PATIENCE, exports.recv()).await.unwrap().unwrap();
    let [of_us] = export.resource_spans.as_slice() else { panic!("{export:?}") };
    let about = &of_us.resource.as_ref().unwrap().attributes;
    assert_eq!(about[0], attribute("service.name", "parvis"));
    let [scope] = of_us.scope_spans.as_slice() else { panic!("{export:?}") };
    let [token, join] = scope.spans.as_slice() else { panic!("{scope:?}") };
    assert_eq!((token.name.as_str(), join.name.as_str()), ("token", "join"));
    assert_eq!(token.parent_span_id, join.span_id);
    assert_eq!((token.span_id.len(), join.parent_span_id.len()), (8, 0));
    for span in [token, join] {
        assert_eq!(span.trace_id, trace.id().0);
    }
    let began = join.start_time_unix_nano;
    assert_eq!(token.start_time_unix_nano - began, 1_000_000);
    assert_eq!((token.end_time_unix_nano - began, join.end_time_unix_nano - began), (3_000_000, 40_000_000));
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    assert!(unix.abs_diff(began.into()) < 60_000_000_000, "{began} is not now");
    assert_eq!(said(join), [("parvis.form", "dual"), ("parvis.outcome", "room_full")]);
    assert_eq!((join.status.clone(), token.status.clone()), (ended(ERROR), ended(OK)));
    until("count of what was sent", || figure(&tracer, "parvis_trace_spans_sent_total") > 1.5).await;
    assert_eq!(figure(&tracer, "parvis_trace_spans_dropped_total collector"), 0.0);
}

#[tokio::test]
async fn without_samples_nothing_is_sent() {
    let (endpoint, mut exports) = collector(StatusCode::OK).await;
    let tracer = Tracer::start(&TraceConfig { sample_percent: 0, ..config(endpoint) }).unwrap();
    for _ in 0..1_000 {
        assert!(tracer.begin(Instant::now(), "join", &[]).is_none());
    }
    drop(tracer);
    assert!(tokio::time::timeout(Duration::from_millis(50), exports.recv()).await.is_err());
}

#[tokio::test]
async fn a_collector_that_fails_costs_a_count_and_nothing_else() {
    // One that refuses, one that is not there, one that never answers, one that answers with anything.
    let (refusing, _exports) = collector(StatusCode::SERVICE_UNAVAILABLE).await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let garbling = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let garbles = format!("http://{}/v1/traces", garbling.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = garbling.accept().await {
            let _ = stream.write_all(&[0xff; 4_096]).await;
        }
    });
    let silent_at = format!("http://{}/v1/traces", silent.local_addr().unwrap());
    let mut tracers = Vec::new();
    for endpoint in [refusing, format!("http://{closed}/v1/traces"), silent_at, garbles] {
        let tracer = Tracer::start(&TraceConfig { queue: 4, ..config(endpoint.clone()) }).unwrap();
        let begun = Instant::now();
        for _ in 0..10 {
            tracer.begin(begun, "join", &[]).unwrap().end(begun, "connected", true);
        }
        // Nothing else runs on this thread meanwhile: had anything been waited for, it would wait for ever.
        assert_eq!(figure(&tracer, "parvis_trace_spans_dropped_total queue"), 6.0, "{endpoint}");
        tracers.push((endpoint, tracer));
    }
    for (endpoint, tracer) in tracers {
        until("count", || figure(&tracer, "parvis_trace_spans_dropped_total collector") > 3.5).await;
        assert_eq!(figure(&tracer, "parvis_trace_spans_sent_total"), 0.0, "{endpoint}");
    }
    drop(silent);
}

#[test]
fn an_endpoint_that_can_t_be_is_refused() {
    for (endpoint, problem) in [
        ("", "is no URL"),
        ("127.0.0.1:4318", "begins neither with https:// nor with http://"),
        ("https://collector.example.org", "names no path"),
        ("https://key@collector.example.org/v1/traces", "holds a user name"),
        ("grpc://collector.example.org:4317", "begins neither with https:// nor with http://"),
        ("http://127.0.0.1:0/v1/traces", "has no port that can be"),
    ] {
        let error = config(endpoint.to_owned()).check().unwrap_err().to_string();
        assert!(error.contains(problem) && error.contains("/v1/traces"), "{endpoint}: {error}");
    }
    assert!(config("http://[::1]:4318/v1/traces".to_owned()).check().is_ok());
}

#[test]
fn a_join_says_what_its_steps_took() {
    let (tracer, mut inbox) = tracer(64);
    let (start, mut joins) = (Instant::now(), Joins::default());
    let at = |millis| start + Duration::from_millis(millis);
    let trace = tracer.begin(start, "join", &[]).unwrap();
    joins.admitted(at(10), trace.clone(), vec![PeerId(1), PeerId(2)]);
    joins.described(at(30), PeerId(2));
    joins.described(at(35), PeerId(1));
    assert_eq!(
        joins.forwarded(at(30), at(36), PeerId(2)),
        None,
        "nothing is forwarded before there is a connection"
    );
    assert_eq!(joins.connected(at(60), PeerId(2)), Some(trace.id()));
    assert_eq!(joins.connected(at(90), PeerId(1)), None, "the join is over by then");
    assert_eq!(joins.forwarded(at(70), at(95), PeerId(3)), None, "of somebody else");
    assert_eq!(joins.forwarded(at(70), at(95), PeerId(2)), Some(trace.id()));
    assert_eq!(joins.forwarded(at(70), at(99), PeerId(2)), None, "not the first any more");
    assert_eq!(joins.followed(), 0);
    let spans: Vec<_> = std::iter::from_fn(|| inbox.try_recv().ok()).collect();
    let began = spans.iter().find(|span| span.name == "join").unwrap().start_time_unix_nano;
    let millis = |nanos: u64| (nanos - began) / 1_000_000;
    let spans: Vec<_> = spans
        .iter()
        .map(|span| (span.name.as_str(), millis(span.start_time_unix_nano), millis(span.end_time_unix_nano)))
        .collect();
    let expected =
        [("signalling", 10, 30), ("connection", 30, 60), ("join", 0, 60), ("first packet", 70, 95)];
    assert_eq!(spans, expected);
}

#[test]
fn joins_that_come_to_nothing_end_and_are_forgotten() {
    let (tracer, mut inbox) = tracer(1_024);
    let (start, mut joins) = (Instant::now(), Joins::default());
    let begin = || tracer.begin(start, "join", &[]).unwrap();
    joins.admitted(start, begin(), vec![PeerId(1)]);
    joins.over(start, PeerId(1), "failed");
    assert_eq!(said(&inbox.try_recv().unwrap()), [("parvis.outcome", "failed")]);
    drop(begin());
    assert_eq!(said(&inbox.try_recv().unwrap()), [("parvis.outcome", "gone")]);
    for peer in 0..300 {
        joins.admitted(start, begin(), vec![PeerId(peer)]);
    }
    assert_eq!(joins.followed(), 256);
    assert_eq!(names(&mut inbox).len(), 300 - 256, "those that are not followed end at once");
    joins.admitted(start + Duration::from_secs(61), begin(), vec![PeerId(400)]);
    assert_eq!(joins.followed(), 1);
    assert_eq!(names(&mut inbox).len(), 256);
}

#[test]
fn a_job_says_when_it_began_and_why_it_ended() {
    let (tracer, mut inbox) = tracer(64);
    let starts = Timed::new(&Registry::new(), "start_seconds", "Starts.", &[1.0]).unwrap();
    let (jobs, asked) = (Jobs::default(), Instant::now());
    let trace = tracer.begin(asked, "job", &[("parvis.kind", "room")]);
    let id = trace.as_ref().unwrap().id();
    jobs.begin("EG_1", asked, trace);
    jobs.begin("EG_2", asked, None);
    for _ in 0..2 {
        jobs.reached("EG_1", JobStep::Worker);
        jobs.is("EG_1", EgressStatus::EgressActive, &starts);
        jobs.reached("EG_1", JobStep::FirstBytes);
    }
    jobs.is("EG_2", EgressStatus::EgressActive, &starts);
    jobs.reached("EG_1", JobStep::Reason("disk full"));
    assert_eq!(names(&mut inbox), ["worker", "start", "first bytes"]);
    jobs.is("EG_1", EgressStatus::EgressLimitReached, &starts);
    let end = inbox.try_recv().unwrap();
    assert_eq!(said(&end), [("parvis.kind", "room"), ("parvis.outcome", "disk full")]);
    assert_eq!(end.status, ended(ERROR));
    jobs.is("EG_1", EgressStatus::EgressActive, &starts);
    assert_eq!(starts.histogram.get_sample_count(), 2, "each is timed once, traced or not");
    assert_eq!(starts.exemplars()[0].map(|exemplar| exemplar.trace), Some(id));
    assert!(inbox.try_recv().is_err());
}

/// How a span ended.
fn ended(code: i32) -> Option<Status> {
    Some(Status { code })
}
