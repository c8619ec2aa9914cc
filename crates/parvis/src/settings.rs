// SPDX-License-Identifier: EUPL-1.2
//! What the server runs with: the file or the development defaults, and what the command line changes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use parvis_api::{DEV_KEY, Keys};

use crate::cli;
use crate::config::{BODY_VARIABLE, Config, ConfigError, Foreign, Loaded, Ports, base, load, take_over};
use crate::serve::Settings;

/// Puts file, environment and command line together.
pub(crate) fn settle(arguments: &cli::Settings) -> Result<(Settings, Loaded), ConfigError> {
    let environment: BTreeMap<String, String> = std::env::vars().collect();
    let (mut loaded, base) = read(arguments, &environment)?;
    let config = &mut loaded.config;
    let mut set = |key: &str, flag: &str| loaded.origins.insert(key.to_owned(), flag.to_owned());
    if let Some(listen) = arguments.http {
        config.http.listen = listen;
        set("http.listen", "--http");
    }
    if let Some(ports) = arguments.media_ports {
        // One port is the first of as many as there are shards.
        let last = if ports.first == ports.last { u16::MAX } else { ports.last };
        config.media.udp_ports = Ports { first: ports.first, last };
        set("media.udp_ports", "--media-ports");
    }
    if let Some(port) = arguments.tcp_port {
        config.set_tcp_port(port);
        set("media.tcp_port", "--tcp-port");
    }
    if let Some(listen) = arguments.metrics {
        config.metrics.listen = listen;
        set("metrics.listen", "--metrics");
    }
    if let Some(directory) = &arguments.data {
        config.data.directory.clone_from(directory);
        set("data.directory", "--data");
    }
    let keys = config.keys(&base, arguments.dev);
    let keys = keys.map_err(|(key, problem)| ConfigError::Wrong { place: key, problem })?;
    let store = config.store_config(&base);
    let store = store.map_err(|(key, problem)| ConfigError::Wrong { place: key, problem })?;
    let look = config.look(&base).map_err(|(key, problem)| ConfigError::Wrong { place: key, problem })?;
    let recording = config.recording(&base);
    let recording = recording.map_err(|(key, problem)| ConfigError::Wrong { place: key, problem })?;
    let audit = config.audit(&base).map_err(|(key, problem)| ConfigError::Wrong { place: key, problem })?;
    let traces = config.traces().map_err(|(key, problem)| ConfigError::Wrong { place: key, problem })?;
    let config = loaded.config.clone();
    let dev = arguments.dev;
    let settings = Settings { config, keys, store, look, recording, audit, traces, dev, base };
    Ok((settings, loaded))
}

/// Reads what the arguments name: our own file, or what was written for LiveKit's server, or nothing in development. Also
/// gives the folder at which relative paths start.
fn read(
    arguments: &cli::Settings,
    environment: &BTreeMap<String, String>,
) -> Result<(Loaded, PathBuf), ConfigError> {
    let wrong = |place: &str, problem: &str| {
        Err(ConfigError::Wrong { place: place.to_owned(), problem: problem.to_owned() })
    };
    let foreign = Foreign {
        file: arguments.livekit_file(),
        body: arguments.config_body.as_deref(),
        flags: &arguments.livekit_flags,
        environment,
    };
    let named = foreign.file.is_some() || foreign.body.is_some() || !foreign.flags.is_empty();
    if let Some(path) = arguments.own_file() {
        if named {
            return wrong(
                "--config",
                "a configuration of ours and one that was written for LiveKit exclude each other",
            );
        }
        if arguments.dev {
            return wrong("--dev", "it needs no configuration and takes none of ours; take --config out");
        }
        return Ok((load(path)?, base(Some(path))));
    }
    let implied = [BODY_VARIABLE, "LIVEKIT_KEYS"].iter().any(|name| environment.contains_key(*name));
    if named || (implied && !arguments.dev) {
        let below = if arguments.dev { development() } else { Loaded::default() };
        return Ok((take_over(&foreign, below, arguments.dev)?, base(foreign.file)));
    }
    if arguments.dev {
        return Ok((development(), base(None)));
    }
    wrong("no configuration", "name one with --config or --livekit-config, or develop with --dev")
}

/// The keys of a configuration file.
pub(crate) fn keys_of(path: &Path) -> Result<Keys, ConfigError> {
    let arguments = cli::Settings { config: Some(path.to_owned()), ..cli::Settings::default() };
    let (loaded, base) = read(&arguments, &BTreeMap::new())?;
    let keys = loaded.config.keys(&base, false);
    keys.map_err(|(key, problem)| ConfigError::Wrong { place: format!("{}: {key}", path.display()), problem })
}

/// What `--dev` starts with: everything on this machine, open to whoever sits at it.
fn development() -> Loaded {
    let mut config = Config::default();
    config.for_development(DEV_KEY);
    let changed = [
        "keys",
        "rooms.guests",
        "rooms.guest_room_chars",
        "media.pin",
        "media.tcp_on_http_port",
        "tokens.max_age",
        "drain.deadline",
    ];
    let origins = changed.iter().map(|key| ((*key).to_owned(), "--dev".to_owned())).collect();
    Loaded { config, origins, notes: Vec::new() }
}
