// SPDX-License-Identifier: EUPL-1.2
//! What the server runs with: the file or the development defaults, and what the command line changes.

use std::path::Path;

use parvis_api::{DEV_KEY, Keys};

use crate::cli;
use crate::config::{Config, ConfigError, Loaded, Ports, load};
use crate::serve::Settings;

/// Puts file and command line together.
pub(crate) fn settle(arguments: &cli::Settings) -> Result<(Settings, Loaded), ConfigError> {
    let (mut loaded, base) = match &arguments.config {
        Some(path) => (load(path)?, path.parent().map(Path::to_owned)),
        None => (development(), None),
    };
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
    let keys = config.keys(base.as_deref().unwrap_or(Path::new(".")), arguments.dev);
    let keys = keys.map_err(|(key, problem)| ConfigError::Wrong { place: key, problem })?;
    let base = base.unwrap_or_else(|| Path::new(".").to_owned());
    let store = config.store_config(&base);
    let store = store.map_err(|(key, problem)| ConfigError::Wrong { place: key, problem })?;
    let settings = Settings { config: loaded.config.clone(), keys, store, dev: arguments.dev, base };
    Ok((settings, loaded))
}

/// The keys of a configuration file.
pub(crate) fn keys_of(path: &Path) -> Result<Keys, ConfigError> {
    let base = path.parent().unwrap_or(Path::new("."));
    let keys = load(path)?.config.keys(base, false);
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
    Loaded { config, origins }
}
