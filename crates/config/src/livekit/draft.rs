// SPDX-License-Identifier: EUPL-1.2
//! What was said so far, and what several of their keys say together.

use std::collections::BTreeMap;

use toml::Value;

use super::Reading;
use super::form::{list, number, switch, text};
use super::keys::Take;
use super::rooms::Delay;
use super::turn::Turn;
use crate::yaml::{self, Node};
use crate::{Note, Setting, Weight, Wrong};

/// Their port for HTTP and signalling.
const PORT: i64 = 7880;
/// Their ports for media, when only one end is said.
const PORT_RANGE: (i64, i64) = (50_000, 60_000);

/// A key of theirs, and where it was said.
#[derive(Debug, Clone, Default)]
pub(super) struct Place {
    pub(super) key: String,
    pub(super) origin: String,
}

impl Place {
    /// The place of a key below this one.
    pub(super) fn below(&self, key: &yaml::Key) -> Place {
        let origin = match self.origin.rsplit_once(':') {
            Some((file, _)) if key.line > 0 => format!("{file}:{}", key.line),
            _ => self.origin.clone(),
        };
        Place { key: format!("{}.{}", self.key, key.name), origin }
    }

    pub(super) fn wrong(&self, problem: &str) -> Wrong {
        Wrong { place: format!("{}: {}", self.origin, self.key), problem: problem.to_owned() }
    }
}

/// Settings and notes on their way.
#[derive(Debug, Default)]
pub(super) struct Draft {
    development: bool,
    settings: BTreeMap<&'static str, (Value, String)>,
    notes: Vec<Note>,
    port: Option<(i64, Place)>,
    bind: Option<(String, Place)>,
    range: (Option<i64>, Option<i64>, Place),
    udp_port: bool,
    external_ip: Option<Place>,
    keys: Option<String>,
    key_file: Option<(String, Place)>,
    pub(super) turn: Turn,
    pub(super) delay: Delay,
}

impl Draft {
    pub(super) fn new(development: bool) -> Draft {
        Draft { development, ..Draft::default() }
    }

    pub(super) fn take(&mut self, take: &Take, node: &Node, place: &Place) -> Result<(), Wrong> {
        take.apply(self, node, place)
    }

    pub(super) fn set(&mut self, key: &'static str, value: Value, place: &Place) {
        self.settings.insert(key, (value, place.origin.clone()));
    }

    /// Says what nobody misses.
    pub(super) fn note(&mut self, place: &Place, text: &str) {
        self.say(Weight::Note, place, text);
    }

    /// Says what somebody misses, and what to set instead.
    pub(super) fn warn(&mut self, place: &Place, text: &str) {
        self.say(Weight::Warning, place, text);
    }

    fn say(&mut self, weight: Weight, place: &Place, text: &str) {
        let Place { key, origin } = place.clone();
        self.notes.push(Note { origin, key, text: text.to_owned(), weight });
    }

    /// The file of keys, as long as no keys were given otherwise.
    pub(super) fn key_file(&self) -> Option<(String, String)> {
        let (file, place) = self.key_file.as_ref().filter(|_| self.keys.is_none())?;
        Some((file.clone(), place.origin.clone()))
    }

    pub(super) fn finish(mut self) -> Reading {
        let key_file = self.key_file();
        self.finish_listen();
        self.finish_range();
        self.finish_external_ip();
        let port = self.port_number();
        std::mem::take(&mut self.turn).finish(&mut self, port);
        for (key, value, place) in std::mem::take(&mut self.delay).settings() {
            self.set(key, value, &place);
        }
        let settings = self.settings.into_iter();
        let settings = settings.map(|(key, (value, origin))| Setting { key, value, origin }).collect();
        Reading { settings, notes: self.notes, key_file }
    }

    /// Their server listens on all addresses when nobody says which.
    fn finish_listen(&mut self) {
        let host = match (&self.bind, self.development) {
            (Some((host, _)), _) => host.clone(),
            (None, true) => "127.0.0.1".to_owned(),
            (None, false) => "0.0.0.0".to_owned(),
        };
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        let port = self.port_number();
        let said = self.port.as_ref().map(|(_, place)| place).or(self.bind.as_ref().map(|(_, place)| place));
        let origin = said.map_or_else(|| "livekit default".to_owned(), |place| place.origin.clone());
        self.settings.insert("http.listen", (Value::String(format!("{host}:{port}")), origin));
    }

    /// Where pages and signalling are.
    fn port_number(&self) -> i64 {
        self.port.as_ref().map_or(PORT, |(port, _)| *port)
    }

    fn finish_external_ip(&mut self) {
        let Some(place) = self.external_ip.take() else { return };
        if self.settings.contains_key("media.node_ip") {
            return self.note(&place, "not needed: rtc.node_ip says which address clients reach");
        }
        let what = "this server asks nobody for its address: clients are offered this machine's own, and behind a NAT, as \
                    in most clouds, nobody outside gets sound or pictures; set rtc.node_ip to the address that \
                    clients reach";
        self.warn(&place, what);
    }

    fn finish_range(&mut self) {
        let (start, end, place) = self.range.clone();
        if self.udp_port || (start.is_none() && end.is_none()) {
            return;
        }
        let (start, end) = (start.unwrap_or(PORT_RANGE.0), end.unwrap_or(PORT_RANGE.1));
        if start > 0 && end > 0 {
            self.settings.insert("media.udp_ports", (Value::String(format!("{start}-{end}")), place.origin));
        }
    }
}

pub(super) type Done = Result<(), String>;

pub(super) fn port(draft: &mut Draft, node: &Node, place: &Place) -> Done {
    draft.port = Some((port_number(node)?, place.clone()));
    Ok(())
}

pub(super) fn bind_addresses(draft: &mut Draft, node: &Node, place: &Place) -> Done {
    let addresses = list(node)?;
    let Some(first) = addresses.first() else { return Ok(()) };
    if first.parse::<std::net::IpAddr>().is_err() {
        return Err(format!("\"{first}\" is no IP address; use one, such as 0.0.0.0"));
    }
    if addresses.len() > 1 {
        let others = addresses[1..].join(", ");
        let what = format!(
            "one address is listened on, {first}, and nobody gets in by {others}; 0.0.0.0 stands for all"
        );
        draft.warn(place, &what);
    }
    draft.bind = Some((first.clone(), place.clone()));
    Ok(())
}

pub(super) fn port_range_start(draft: &mut Draft, node: &Node, place: &Place) -> Done {
    draft.range.0 = Some(port_number(node)?);
    draft.range.2 = place.clone();
    Ok(())
}

pub(super) fn port_range_end(draft: &mut Draft, node: &Node, place: &Place) -> Done {
    draft.range.1 = Some(port_number(node)?);
    draft.range.2 = place.clone();
    Ok(())
}

/// A port or a range; goes before `port_range_start` and `port_range_end`.
pub(super) fn udp_port(draft: &mut Draft, node: &Node, place: &Place) -> Done {
    if node.is_empty() || text(node)? == "0" {
        return Ok(());
    }
    let ports = text(node)?.to_owned();
    if !ports.contains('-') {
        let what = "one port serves one forwarding thread; open a range, such as 7882-7889, to use more of the processor";
        draft.note(place, what);
    }
    draft.udp_port = true;
    draft.set("media.udp_ports", Value::String(ports), place);
    Ok(())
}

pub(super) fn tcp_port(draft: &mut Draft, node: &Node, place: &Place) -> Done {
    match port_number(node)? {
        0 => draft.set("media.tcp", Value::Boolean(false), place),
        port => draft.set("media.tcp_port", Value::Integer(port), place),
    }
    Ok(())
}

pub(super) fn use_external_ip(draft: &mut Draft, node: &Node, place: &Place) -> Done {
    draft.external_ip = switch(node)?.then(|| place.clone());
    Ok(())
}

pub(super) fn use_ice_lite(draft: &mut Draft, node: &Node, place: &Place) -> Done {
    if !switch(node)? {
        draft.note(place, "without effect: this server always answers as ICE-lite, and never dials");
    }
    Ok(())
}

/// An address, a list of them, or one of each family as `v4` and `v6`.
pub(super) fn node_ip(draft: &mut Draft, node: &Node, place: &Place) -> Done {
    let addresses = match &node.value {
        yaml::Value::Mapping(entries) => {
            let given = entries.iter().filter(|(_, node)| !node.is_empty());
            given.map(|(_, node)| text(node).map(str::to_owned)).collect::<Result<Vec<_>, _>>()?
        }
        _ => list(node)?,
    };
    if let Some(wrong) = addresses.iter().find(|address| address.parse::<std::net::IpAddr>().is_err()) {
        return Err(format!("\"{wrong}\" is no IP address; use the one that clients reach"));
    }
    if !addresses.is_empty() {
        let addresses = addresses.into_iter().map(Value::String).collect();
        draft.set("media.node_ip", Value::Array(addresses), place);
    }
    Ok(())
}

/// Theirs may be anywhere; of ours those inside the own network have to be allowed.
pub(super) fn webhook_urls(draft: &mut Draft, node: &Node, place: &Place) -> Done {
    let urls = list(node)?;
    if let Some(plain) = urls.iter().find(|url| !url.starts_with("https://")) {
        let what = format!(
            "{plain}: a target inside your own network is told of nothing until it stands in webhooks.allow_internal in \
             parvis.toml"
        );
        draft.warn(place, &what);
    }
    draft.set("webhooks.urls", Value::Array(urls.into_iter().map(Value::String).collect()), place);
    Ok(())
}

/// Ours are there unless none may be stored.
pub(super) fn data_blobs(draft: &mut Draft, node: &Node, place: &Place) -> Done {
    if !node.is_empty() && !switch(node)? {
        draft.set("rooms.max_blobs", Value::Integer(0), place);
    }
    Ok(())
}

/// A table of names and secrets, in the file or as the text of a variable, a flag or a file of its own.
pub(super) fn keys(draft: &mut Draft, node: &Node, place: &Place) -> Done {
    let parsed;
    let node = match &node.value {
        yaml::Value::Scalar(text) if !node.is_empty() => {
            // One line may hold several, with commas.
            let lines = if text.contains('\n') { text.clone() } else { text.replace(',', "\n") };
            let lines: String = lines.lines().map(|line| format!("{}\n", line.trim())).collect();
            let read = yaml::read(&lines);
            parsed =
                read.map_err(|error| format!("{}; write `name: secret`, one on a line", error.problem))?;
            parsed.as_ref()
        }
        _ => Some(node),
    };
    let Some(node) = node.filter(|node| !node.is_empty()) else { return Ok(()) };
    let yaml::Value::Mapping(entries) = &node.value else {
        return Err("names and secrets are expected: write `name: secret`, one on a line".to_owned());
    };
    let mut keys = Vec::new();
    for (name, secret) in entries {
        let secret =
            text(secret).map_err(|_| format!("\"{}\" has no secret; write one behind it", name.name))?;
        let entry = [("name", name.name.as_str()), ("secret", secret)];
        let table = entry.map(|(key, value)| (key.to_owned(), Value::String(value.to_owned())));
        keys.push(Value::Table(table.into_iter().collect()));
    }
    draft.keys = Some(place.origin.clone());
    draft.set("keys", Value::Array(keys), place);
    Ok(())
}

pub(super) fn key_file(draft: &mut Draft, node: &Node, place: &Place) -> Done {
    if !node.is_empty() {
        draft.key_file = Some((text(node)?.to_owned(), place.clone()));
    }
    Ok(())
}

/// A list of tables with `mime` and, which we negotiate ourselves, `fmtp_line`.
pub(super) fn enabled_codecs(draft: &mut Draft, node: &Node, place: &Place) -> Done {
    let yaml::Value::Sequence(items) = &node.value else {
        return if node.is_empty() {
            Ok(())
        } else {
            Err("a list is expected: write `- mime: video/vp8`, one on a line".to_owned())
        };
    };
    let mut codecs = Vec::new();
    for item in items {
        let mime = match &item.value {
            yaml::Value::Mapping(entries) => {
                entries.iter().find(|(key, _)| key.name == "mime").map(|(_, n)| n)
            }
            yaml::Value::Scalar(_) => Some(item),
            yaml::Value::Sequence(_) => None,
        };
        let mime = mime.ok_or_else(|| format!("the codec on line {} has no mime; write one", item.line))?;
        let mime = text(mime)?;
        // RTX and FEC are no codecs of tracks: they come with whatever needs them.
        if ["video/rtx", "video/flexfec-03", "video/h265"].contains(&mime.to_ascii_lowercase().as_str()) {
            draft.note(place, &format!("{mime} can't be enabled or disabled here"));
            continue;
        }
        codecs.push(Value::String(mime.to_owned()));
    }
    if !codecs.is_empty() {
        draft.set("rooms.enabled_codecs", Value::Array(codecs), place);
    }
    Ok(())
}

pub(super) fn log_level(draft: &mut Draft, node: &Node, place: &Place) -> Done {
    if node.is_empty() {
        return Ok(());
    }
    let level = match text(node)?.to_ascii_lowercase().as_str() {
        "warning" => "warn".to_owned(),
        "panic" | "fatal" | "dpanic" => "error".to_owned(),
        level => level.to_owned(),
    };
    draft.set("log.level", Value::String(level), place);
    Ok(())
}

/// Theirs is open to the network. Ours has no login, and stays on the machine until somebody says otherwise.
pub(super) fn prometheus_port(draft: &mut Draft, node: &Node, place: &Place) -> Done {
    let port = port_number(node)?;
    if port > 0 {
        let what = format!(
            "listens on 127.0.0.1:{port} only, and a collector elsewhere gets nothing; --metrics or metrics.listen in \
             parvis.toml opens it"
        );
        draft.warn(place, &what);
        draft.set("metrics.listen", Value::String(format!("127.0.0.1:{port}")), place);
    }
    Ok(())
}

pub(super) fn prometheus_login(draft: &mut Draft, _: &Node, place: &Place) -> Done {
    draft.warn(
        place,
        "the metrics have no login, and whoever reaches their address reads them; keep it from strangers",
    );
    Ok(())
}

pub(super) fn development(draft: &mut Draft, node: &Node, place: &Place) -> Done {
    if switch(node)? && !draft.development {
        draft.note(place, "without effect: development is switched on by --dev");
    }
    Ok(())
}

pub(super) fn port_number(node: &Node) -> Result<i64, String> {
    let port = number(node)?;
    match port {
        0..=65_535 => Ok(port),
        _ => Err(format!("{port} is no port; use one from 1 to 65535")),
    }
}
