// SPDX-License-Identifier: EUPL-1.2
//! The description of our HTTP endpoints says what is so.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;

use common::start;
use parvis_api::{Access, ApiConfig, Content, Route, openapi, routes};
use serde_json::Value;

#[tokio::test]
async fn every_path_of_the_description_is_there_with_its_method() {
    let server = start(ApiConfig::default()).await;
    let served = server.get("/api/openapi.json").await;
    assert_eq!((served.status, served.body.as_str()), (200, openapi()));
    let document: Value = serde_json::from_str(openapi()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() >= 5);
    for (path, methods) in paths {
        let path = path.replace("{room}", "atelier");
        for method in methods.as_object().unwrap().keys() {
            let answer = server.request(&format!("{} {path} HTTP/1.1", method.to_uppercase()), "{}").await;
            // A link that nobody gave leads nowhere, and its own endpoint says so.
            let no_file = path.contains("{link}") && answer.body.contains("\"no_file\"");
            let no_file = no_file || path.contains("{key}") && answer.body.contains("\"no_stream\"");
            assert!(no_file || ![404, 405].contains(&answer.status), "{method} {path}: {answer:?}");
            let described = &methods[method]["responses"];
            let known = described.get(answer.status.to_string());
            assert!(known.is_some() || answer.status == 415, "{method} {path} answers {}", answer.status);
        }
    }
}

/// What stands elsewhere: the protocol's own calls, and what becomes a WebSocket. And of WHIP and WHEP the answers of those
/// methods that have none.
fn is_ours(route: &Route) -> bool {
    let elsewhere = matches!(route.content, Content::Call | Content::WebSocket);
    let of_offers = route.path.starts_with("/whip") || route.path.starts_with("/whep");
    let nothing = of_offers && route.access == Access::Open;
    !elsewhere && !nothing
}

#[test]
fn every_route_of_our_own_is_described_and_nothing_else() {
    let document: Value = serde_json::from_str(openapi()).unwrap();
    let mut described = BTreeSet::new();
    let mut names = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            described.insert((method.to_uppercase(), path.clone()));
            let name = operation["operationId"].as_str().unwrap();
            assert!(names.insert(name.to_owned()), "two operations are called {name}");
        }
    }
    let ours: BTreeSet<_> =
        routes().into_iter().filter(is_ours).map(|route| (route.method.to_owned(), route.path)).collect();
    assert!(ours.len() > 15, "{ours:?}");
    assert_eq!(described, ours);
}

#[test]
fn the_copy_in_the_documentation_is_the_same() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
    let copy = std::fs::read_to_string(file).unwrap_or_default();
    let how = "cargo run --package parvis-api --example openapi > docs/openapi.json";
    assert_eq!(copy, openapi(), "docs/openapi.json is old; write it anew: {how}");
}
