// SPDX-License-Identifier: EUPL-1.2
//! Reads the file, and says of what is wrong where it stands and what to do.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use parvis_config::Note;
use toml::de::{DeTable, DeValue};

use super::Config;

/// The largest file read: a hundred times what the example has.
const MAX_BYTES: u64 = 1 << 20;

/// A configuration and where its values come from.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Loaded {
    /// What it says.
    pub(crate) config: Config,
    /// Key, such as `http.listen`, to `parvis.toml:12`. What is not in it is a default.
    pub(crate) origins: BTreeMap<String, String>,
    /// What was said and has no effect, or another than may be expected.
    pub(crate) notes: Vec<Note>,
}

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("{}: cannot be read: {source}; name another file with --config", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{}: has {bytes} bytes, at most {MAX_BYTES} are read; is it the right file?", path.display())]
    TooLarge { path: PathBuf, bytes: u64 },
    /// Something at a place in the file: `parvis.toml:12: media.udp_ports: 70000 is above 65535; use …`.
    #[error("{place}: {problem}")]
    Wrong { place: String, problem: String },
}

/// Reads a file and checks all of it.
pub(crate) fn load(path: &Path) -> Result<Loaded, ConfigError> {
    parse(&read_text(path)?, path)
}

/// Reads a file of a sensible size.
pub(super) fn read_text(path: &Path) -> Result<String, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
    let bytes = fs::metadata(path).map_err(unreadable)?.len();
    if bytes > MAX_BYTES {
        return Err(ConfigError::TooLarge { path: path.to_owned(), bytes });
    }
    fs::read_to_string(path).map_err(unreadable)
}

pub(super) fn parse(text: &str, path: &Path) -> Result<Loaded, ConfigError> {
    let wrong = |error: toml::de::Error| {
        let span = error.span().unwrap_or(0..0);
        let key = DeTable::parse(text).ok().and_then(|table| key_at(table.get_ref(), &span));
        let line = line_of(text, span.start);
        let place = match key {
            Some(key) => format!("{}:{line}: {key}", path.display()),
            None => format!("{}:{line}", path.display()),
        };
        ConfigError::Wrong { place, problem: with_remedy(error.message()) }
    };
    let mut config: Config = toml::from_str(text).map_err(wrong)?;
    let handed_over = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    config.find_credentials(handed_over.as_deref()).map_err(|(key, problem)| ConfigError::Wrong {
        place: format!("{}: {key}", path.display()),
        problem,
    })?;
    let mut origins = BTreeMap::new();
    if let Ok(table) = DeTable::parse(text) {
        collect_origins(table.get_ref(), "", &mut |key, span| {
            origins.insert(key, format!("{}:{}", path.display(), line_of(text, span.start)));
        });
    }
    let loaded = Loaded { config, origins, notes: Vec::new() };
    loaded.check(path.parent().unwrap_or(Path::new(".")), &path.display().to_string())?;
    Ok(loaded)
}

impl Loaded {
    /// Finds what is wrong beyond single values. Relative paths start at `base`; `name` is where a value stands that nobody
    /// said.
    pub(super) fn check(&self, base: &Path, name: &str) -> Result<(), ConfigError> {
        self.config.check(base).map_err(|(key, problem)| self.wrong(&key, problem, name))
    }

    /// What is wrong with the value of a key, and where it stands; `name` is where one stands that nobody said.
    pub(crate) fn wrong(&self, key: &str, problem: String, name: &str) -> ConfigError {
        let origin = self.origin(key).unwrap_or(name);
        ConfigError::Wrong { place: format!("{origin}: {key}"), problem }
    }

    /// Where a key's value was said: on its own, or with all that is in a table above it.
    pub(super) fn origin(&self, key: &str) -> Option<&str> {
        let above = key.rmatch_indices('.').map(|(end, _)| &key[..end]);
        std::iter::once(key).chain(above).find_map(|key| self.origins.get(key)).map(String::as_str)
    }
}

/// The parser's words for an unknown key name the known ones; others get a remedy where they have none.
pub(super) fn with_remedy(message: &str) -> String {
    let message = message.trim_end_matches('.');
    if message.starts_with("unknown field") {
        format!("{message}; correct its spelling or take it out")
    } else if message.contains("; ") {
        message.to_owned()
    } else if message.contains("invalid type") || message.contains("missing field") {
        format!("{message}; see configs/parvis.toml for its form")
    } else {
        format!("{message}; correct it")
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

/// The innermost key whose name or value holds a place in the file.
fn key_at(table: &DeTable<'_>, place: &Range<usize>) -> Option<String> {
    for (key, value) in table.iter() {
        let name = key.get_ref();
        let inner = inner(value.get_ref(), place);
        if let Some(inner) = inner {
            return Some(format!("{name}.{inner}"));
        }
        let holds =
            |span: Range<usize>| span.start <= place.start && place.start < span.end.max(span.start + 1);
        if holds(key.span()) || holds(value.span()) {
            return Some(name.clone().into_owned());
        }
    }
    None
}

fn inner(value: &DeValue<'_>, place: &Range<usize>) -> Option<String> {
    match value {
        DeValue::Table(table) => key_at(table, place),
        DeValue::Array(items) => items.iter().find_map(|item| inner(item.get_ref(), place)),
        _ => None,
    }
}

fn collect_origins(table: &DeTable<'_>, prefix: &str, found: &mut impl FnMut(String, Range<usize>)) {
    for (key, value) in table.iter() {
        let name = format!("{prefix}{}", key.get_ref());
        match value.get_ref() {
            DeValue::Table(inner) => collect_origins(inner, &format!("{name}."), found),
            _ => found(name, key.span()),
        }
    }
}
