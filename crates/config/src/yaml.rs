// SPDX-License-Identifier: EUPL-1.2
//! YAML, as far as configurations have it, in bounds: a tree of texts with the line of each.
//!
//! What a text means, a number or a word, is for whoever knows what is expected. An alias stands for a copy of what it
//! names, and copies count like what is written out, so that a file of a few lines can't become a tree of millions.

use saphyr_parser::{Event, Parser, ScanError};

/// The largest text read.
pub const MAX_BYTES: usize = 1 << 20;
/// The most values in it, those that aliases repeat included. LiveKit's full example has 200.
pub const MAX_NODES: usize = 10_000;
/// How deep they may lie. LiveKit's lie five deep.
pub const MAX_DEPTH: usize = 32;

/// A value and the line on which it begins, from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The line.
    pub line: usize,
    /// The value.
    pub value: Value,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A text; empty or `~` where nothing is written.
    Scalar(String),
    /// Values one after another.
    Sequence(Vec<Node>),
    /// Values by their name. No name is there twice.
    Mapping(Vec<(Key, Node)>),
}

/// A name in a mapping, and its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The name.
    pub name: String,
    /// The line.
    pub line: usize,
}

/// Why a text is no tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct Error {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong, and what to do.
    pub problem: String,
}

impl Node {
    /// A text that was not in a file.
    pub fn text(text: &str) -> Node {
        Node { line: 0, value: Value::Scalar(text.to_owned()) }
    }

    /// Its text, if it is one that says something.
    pub fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(text) if !matches!(text.as_str(), "" | "~" | "null") => Some(text),
            _ => None,
        }
    }

    /// Whether nothing is written where a value could be.
    pub fn is_empty(&self) -> bool {
        matches!(&self.value, Value::Scalar(_)) && self.as_text().is_none()
    }

    /// Whether no value at all stands in it: a table or a list may be written and empty.
    pub fn holds_nothing(&self) -> bool {
        match &self.value {
            Value::Scalar(_) => self.is_empty(),
            Value::Sequence(items) => items.is_empty(),
            Value::Mapping(entries) => entries.is_empty(),
        }
    }

    /// How many values it is, and how deep the deepest lies.
    fn measure(&self) -> (usize, usize) {
        let inner: Vec<(usize, usize)> = match &self.value {
            Value::Scalar(_) => Vec::new(),
            Value::Sequence(items) => items.iter().map(Node::measure).collect(),
            Value::Mapping(entries) => entries.iter().map(|(_, node)| node.measure()).collect(),
        };
        let depth = inner.iter().map(|(_, depth)| *depth).max().unwrap_or_default();
        (inner.iter().map(|(count, _)| count).sum::<usize>() + 1, depth + 1)
    }
}

/// Reads a text of at most one document. `None` when there is nothing in it.
pub fn read(text: &str) -> Result<Option<Node>, Error> {
    if text.len() > MAX_BYTES {
        let problem =
            format!("it has {} bytes, at most {MAX_BYTES} are read; is it the right file?", text.len());
        return Err(Error { line: 1, problem });
    }
    let mut parser = Parser::new_from_str(text);
    let mut builder = Builder::default();
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| scan_error(&error))?;
        builder.take(event, span.start.line())?;
    }
    Ok(builder.root)
}

fn scan_error(error: &ScanError) -> Error {
    Error { line: error.marker().line(), problem: format!("this is no YAML: {}; correct it", error.info()) }
}

/// A tree on its way, without recursion.
#[derive(Default)]
struct Builder {
    root: Option<Node>,
    open: Vec<Open>,
    nodes: usize,
    anchors: Vec<(usize, Node)>,
}

/// A sequence or mapping that has not ended yet.
struct Open {
    line: usize,
    anchor: usize,
    kind: Kind,
}

enum Kind {
    Sequence(Vec<Node>),
    Mapping(Vec<(Key, Node)>, Option<Key>),
}

impl Builder {
    fn take(&mut self, event: Event<'_>, line: usize) -> Result<(), Error> {
        match event {
            Event::DocumentStart(_) if self.root.is_some() => {
                let problem =
                    "a second document begins here; only one is read, take the others out".to_owned();
                Err(Error { line, problem })
            }
            Event::Scalar(text, _, anchor, _) => {
                let node = Node { line, value: Value::Scalar(text.into_owned()) };
                self.put(node, anchor, 1)
            }
            Event::Alias(anchor) => {
                let named = self.anchors.iter().find(|(id, _)| *id == anchor).map(|(_, node)| node.clone());
                let Some(node) = named else {
                    let problem = "an alias names what has not ended yet; write it out".to_owned();
                    return Err(Error { line, problem });
                };
                let (count, depth) = node.measure();
                if self.open.len() + depth > MAX_DEPTH {
                    return Err(too_deep(line));
                }
                self.put(Node { line, ..node }, 0, count)
            }
            Event::SequenceStart(anchor, ..) => self.open(line, anchor, Kind::Sequence(Vec::new())),
            Event::MappingStart(anchor, ..) => self.open(line, anchor, Kind::Mapping(Vec::new(), None)),
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            _ => Ok(()),
        }
    }

    fn open(&mut self, line: usize, anchor: usize, kind: Kind) -> Result<(), Error> {
        if self.open.len() >= MAX_DEPTH {
            return Err(too_deep(line));
        }
        self.open.push(Open { line, anchor, kind });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Error> {
        let Some(Open { line, anchor, kind }) = self.open.pop() else { return Ok(()) };
        let value = match kind {
            Kind::Sequence(items) => Value::Sequence(items),
            Kind::Mapping(entries, _) => Value::Mapping(entries),
        };
        self.put(Node { line, value }, anchor, 1)
    }

    /// Puts a value where it belongs. It counts for `count`: what is inside a sequence or mapping was counted when it came,
    /// but not when an alias repeats it.
    fn put(&mut self, node: Node, anchor: usize, count: usize) -> Result<(), Error> {
        let line = node.line;
        self.nodes += count;
        if self.nodes > MAX_NODES {
            let problem =
                format!("there are more than {MAX_NODES} values, with what aliases repeat; take some out");
            return Err(Error { line, problem });
        }
        if anchor != 0 {
            self.anchors.push((anchor, node.clone()));
        }
        match self.open.last_mut().map(|open| &mut open.kind) {
            None => self.root = Some(node),
            Some(Kind::Sequence(items)) => items.push(node),
            Some(Kind::Mapping(entries, key @ None)) => {
                let name = match node.value {
                    Value::Scalar(name) => name,
                    _ => {
                        let problem = "a name is expected here, not a list or a table".to_owned();
                        return Err(Error { line, problem });
                    }
                };
                if entries.iter().any(|(known, _)| known.name == name) {
                    return Err(Error { line, problem: format!("{name} is there twice; take one out") });
                }
                *key = Some(Key { name, line: node.line });
            }
            Some(Kind::Mapping(entries, key)) => {
                if let Some(key) = key.take() {
                    entries.push((key, node));
                }
            }
        }
        Ok(())
    }
}

fn too_deep(line: usize) -> Error {
    Error { line, problem: format!("values lie more than {MAX_DEPTH} deep; take some out") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(node: &Node) -> String {
        match &node.value {
            Value::Scalar(text) => format!("{text}@{}", node.line),
            Value::Sequence(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(" ")),
            Value::Mapping(entries) => {
                let entries =
                    entries.iter().map(|(key, node)| format!("{}@{}={}", key.name, key.line, shown(node)));
                format!("{{{}}}", entries.collect::<Vec<_>>().join(" "))
            }
        }
    }

    #[test]
    fn each_value_knows_its_line() {
        let text =
            "port: 7880 # the port\nrtc:\n  ips: [a, 'b c']\n  list:\n    - mime: \"audio/opus\"\nempty:\n";
        let node = read(text).unwrap().unwrap();
        assert_eq!(
            shown(&node),
            "{port@1=7880@1 rtc@2={ips@3=[a@3 b c@3] list@4=[{mime@5=audio/opus@5}]} empty@6=~@6}"
        );
        assert_eq!(read("# nothing\n").unwrap(), None);
    }

    #[test]
    fn an_alias_is_a_copy_and_copies_are_counted() {
        let node = read("a: &x [1, 2]\nb: *x\n").unwrap().unwrap();
        assert_eq!(shown(&node), "{a@1=[1@1 2@1] b@2=[1@1 2@1]}");
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..10 {
            let before = level - 1;
            bomb += &format!("a{level}: &a{level} [{}]\n", vec![format!("*a{before}"); 9].join(", "));
        }
        let error = read(&bomb).unwrap_err();
        assert!(error.problem.starts_with("there are more than 10000 values"), "{error:?}");
    }

    #[test]
    fn what_is_out_of_bounds_or_no_yaml_is_refused_at_its_line() {
        for (text, line, problem) in [
            ("a: 1\nb: [", 2, "this is no YAML"),
            ("a: 1\na: 2\n", 2, "a is there twice"),
            ("a: 1\n---\nb: 2\n", 2, "a second document"),
            ("? [a, b]\n: 1\n", 1, "a name is expected"),
            (&"[".repeat(40), 1, "values lie more than 32 deep"),
            (&"x".repeat(MAX_BYTES + 1), 1, "it has 1048577 bytes"),
            ("a: *none\n", 1, "this is no YAML"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.problem.starts_with(problem), "{error:?}");
            assert!(error.line.abs_diff(line) <= 1, "{text:.20}: {error:?}");
        }
    }
}
