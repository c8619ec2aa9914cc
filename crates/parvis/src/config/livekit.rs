// SPDX-License-Identifier: EUPL-1.2
//! Takes over what was written for LiveKit's server: its file, its environment variables, its flags.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use parvis_config::livekit::{Reader, VARIABLES};
use parvis_config::{Setting, Wrong};
use serde::Deserialize;

use super::load::read_text;
use super::{Config, ConfigError, Loaded};

/// What holds a whole file.
pub(crate) const BODY_VARIABLE: &str = "LIVEKIT_CONFIG";

/// What was written for the other server.
#[derive(Debug, Clone)]
pub(crate) struct Foreign<'a> {
    /// Its file.
    pub(crate) file: Option<&'a Path>,
    /// What stands in place of a file.
    pub(crate) body: Option<&'a str>,
    /// Its flags, without their dashes, with their values.
    pub(crate) flags: &'a [(String, String)],
    /// The environment.
    pub(crate) environment: &'a BTreeMap<String, String>,
}

impl From<Wrong> for ConfigError {
    fn from(Wrong { place, problem }: Wrong) -> Self {
        ConfigError::Wrong { place, problem }
    }
}

/// Reads all of it, on top of a configuration with its origins.
pub(crate) fn take_over(
    foreign: &Foreign<'_>,
    below: Loaded,
    development: bool,
) -> Result<Loaded, ConfigError> {
    let mut reader = Reader::new(development);
    match (foreign.body, foreign.environment.get(BODY_VARIABLE), foreign.file) {
        (Some(body), _, _) => reader.file("--config-body", body)?,
        (None, _, Some(file)) => reader.file(&file.display().to_string(), &read_text(file)?)?,
        (None, Some(body), None) => reader.file(&format!("environment {BODY_VARIABLE}"), body)?,
        (None, None, None) => {}
    }
    for (name, _) in VARIABLES {
        if let Some(value) = foreign.environment.get(name) {
            reader.variable(name, value)?;
        }
    }
    for (name, value) in foreign.flags {
        reader.flag(name, value)?;
    }
    if let Some((file, origin)) = reader.wants_key_file() {
        let path = base(foreign.file).join(&file);
        let text = read_text(&path).map_err(|error| ConfigError::Wrong {
            place: format!("{origin}: key_file"),
            problem: error.to_string(),
        })?;
        reader.key_file(&path.display().to_string(), &text)?;
    }
    let reading = reader.finish();
    let mut loaded = put(reading.settings, below)?;
    loaded.notes.extend(reading.notes);
    if !development {
        let name = foreign.file.map_or_else(|| BODY_VARIABLE.to_owned(), |file| file.display().to_string());
        loaded.check(&base(foreign.file), &name)?;
    }
    Ok(loaded)
}

/// Where relative paths start.
pub(crate) fn base(file: Option<&Path>) -> PathBuf {
    file.and_then(Path::parent).unwrap_or(Path::new(".")).to_owned()
}

/// Puts settings in the place of what is below, each of them held against what our own file may say.
fn put(settings: Vec<Setting>, below: Loaded) -> Result<Loaded, ConfigError> {
    let Loaded { config, mut origins, notes } = below;
    let unserializable = |error: toml::ser::Error| ConfigError::Wrong {
        place: "the configuration".to_owned(),
        problem: error.to_string(),
    };
    let mut table = match toml::Value::try_from(&config).map_err(unserializable)? {
        toml::Value::Table(table) => table,
        _ => toml::Table::new(),
    };
    for Setting { key, value, origin } in settings {
        let place = || format!("{origin}: {key}");
        let mut alone = toml::Table::new();
        insert(&mut alone, key, value.clone());
        Config::deserialize(toml::Value::Table(alone)).map_err(|error| ConfigError::Wrong {
            place: place(),
            problem: super::load::with_remedy(error.message()),
        })?;
        insert(&mut table, key, value);
        origins.insert(key.to_owned(), origin);
    }
    let config = Config::deserialize(toml::Value::Table(table)).map_err(|error| ConfigError::Wrong {
        place: "the configuration".to_owned(),
        problem: error.message().to_owned(),
    })?;
    Ok(Loaded { config, origins, notes })
}

fn insert(table: &mut toml::Table, key: &str, value: toml::Value) {
    match key.split_once('.') {
        None => {
            table.insert(key.to_owned(), value);
        }
        Some((section, rest)) => {
            let section = table.entry(section).or_insert_with(|| toml::Value::Table(toml::Table::new()));
            if let toml::Value::Table(section) = section {
                insert(section, rest, value);
            }
        }
    }
}
