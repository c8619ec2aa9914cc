// SPDX-License-Identifier: EUPL-1.2
//! Whatever stands in a file, it is read within bounds or refused at a line that is there.
#![allow(clippy::unwrap_used)]

use parvis_config::livekit::Reader;
use parvis_config::yaml::{self, MAX_DEPTH, MAX_NODES, Node, Value};
use proptest::prelude::*;

const FILE: &str = "port: 7880\nbind_addresses: [\"0.0.0.0\"]\nrtc:\n  udp_port: 7882-7889\n  use_external_ip: true\n\
                    keys: &keys\n  one: first\nroom:\n  enabled_codecs:\n    - mime: video/vp8\nredis: *keys\nrooom: ~\n";
/// What YAML is made of.
const PIECES: [&str; 24] = [
    "a", "b: ", "- ", ": ", "\n", "  ", "    ", "[", "]", "{", "}", ", ", "&x ", "*x", "*x, ", "'", "\"",
    "|\n", ">\n", "? ", "---\n", "!!str ", "#", "\t",
];

/// How many values there are, and how deep they lie.
fn measure(node: &Node) -> (usize, usize) {
    let inner: Vec<(usize, usize)> = match &node.value {
        Value::Scalar(_) => Vec::new(),
        Value::Sequence(items) => items.iter().map(measure).collect(),
        Value::Mapping(entries) => entries.iter().map(|(_, node)| measure(node)).collect(),
    };
    let depth = inner.iter().map(|(_, depth)| *depth).max().unwrap_or_default();
    (inner.iter().map(|(nodes, _)| nodes).sum::<usize>() + 1, depth + 1)
}

fn check(text: &str) -> Result<(), TestCaseError> {
    match yaml::read(text) {
        Ok(Some(root)) => {
            let (nodes, depth) = measure(&root);
            prop_assert!(nodes <= MAX_NODES && depth <= MAX_DEPTH + 1, "{nodes} values, {depth} deep");
        }
        Ok(None) => {}
        Err(error) => prop_assert!(error.line <= text.lines().count() + 1, "{error:?}"),
    }
    let mut reader = Reader::new(false);
    if reader.file("livekit.yaml", text).is_ok() {
        let keys: Vec<&str> = reader.finish().settings.iter().map(|setting| setting.key).collect();
        prop_assert!(keys.is_sorted() && keys.contains(&"http.listen"));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn pieces_of_yaml_in_any_order(pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..120)) {
        check(&pieces.concat())?;
    }

    #[test]
    fn a_good_file_with_bytes_changed(changes in prop::collection::vec((any::<prop::sample::Index>(), "[ -~\n]?"), 1..12)) {
        let mut text: Vec<char> = FILE.chars().collect();
        for (place, with) in changes {
            let place = place.index(text.len());
            text.splice(place..=place, with.chars());
        }
        check(&text.into_iter().collect::<String>())?;
    }
}
