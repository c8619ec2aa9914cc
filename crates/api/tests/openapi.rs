// SPDX-License-Identifier: EUPL-1.2
//! The description of our HTTP endpoints says what is so.

#![allow(clippy::unwrap_used)]

mod common;

use common::start;
use parvis_api::{ApiConfig, openapi};
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
            assert!(no_file || ![404, 405].contains(&answer.status), "{method} {path}: {answer:?}");
            let described = &methods[method]["responses"];
            let known = described.get(answer.status.to_string());
            assert!(known.is_some() || answer.status == 415, "{method} {path} answers {}", answer.status);
        }
    }
}

#[test]
fn the_copy_in_the_documentation_is_the_same() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
    let copy = std::fs::read_to_string(file).unwrap_or_default();
    let how = "cargo run --package parvis-api --example openapi > docs/openapi.json";
    assert_eq!(copy, openapi(), "docs/openapi.json is old; write it anew: {how}");
}
