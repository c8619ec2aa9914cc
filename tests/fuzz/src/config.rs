// SPDX-License-Identifier: EUPL-1.2
//! Configurations.

use parvis_config::livekit::Reader;
use parvis_config::yaml::{self, MAX_DEPTH, MAX_NODES, Node, Value};

/// A file, a variable and a flag, one after another. What is read stays within its bounds, and no key of ours comes twice.
pub fn livekit_config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut parts = text.splitn(3, '\0');
    let (file, variable, flag) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
    if let Ok(Some(root)) = yaml::read(file) {
        let (nodes, depth) = measure(&root);
        assert!(nodes <= MAX_NODES && depth <= MAX_DEPTH + 1, "{nodes} values, {depth} deep");
    }
    let mut reader = Reader::new(false);
    if reader.file("livekit.yaml", file).is_err() {
        return;
    }
    let keys = variable.is_none_or(|keys| reader.variable("LIVEKIT_KEYS", keys).is_ok());
    let flag = flag.and_then(|flag| flag.split_once('='));
    let flag = flag.is_none_or(|(name, value)| reader.flag(name, value).is_ok());
    if keys && flag {
        let mut ours: Vec<&str> = reader.finish().settings.iter().map(|setting| setting.key).collect();
        let all = ours.len();
        ours.dedup();
        assert_eq!(ours.len(), all);
    }
}

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
