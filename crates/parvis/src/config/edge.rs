// SPDX-License-Identifier: EUPL-1.2
//! The public port: TLS, the relay, and the addresses that stand for ours.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use parvis_edge::acme::AcmeConfig;
use parvis_edge::{CertificateFiles, CryptoProfile, EdgeConfig, Plain, RelayConfig};
use parvis_turn::TurnConfig;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::apply::Problem;
use super::value::{Bounded, Count, Port, Time};
use super::{Config, count};

/// The file that a secret is read from has at most so many bytes.
const MAX_SECRET_BYTES: usize = 4_096;

/// TLS on the participants' port.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Tls {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) crypto_profile: Profile,
    pub(crate) handshake_timeout: Time,
    pub(crate) acme: Acme,
}

/// Certificates from an authority.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Acme {
    pub(crate) directory: String,
    pub(crate) names: Vec<String>,
    pub(crate) contact: Vec<String>,
    pub(crate) eab_key_id: String,
    pub(crate) eab_key_file: PathBuf,
    pub(crate) root_file: PathBuf,
}

/// The relay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Turn {
    pub(crate) enabled: bool,
    pub(crate) host: String,
    pub(crate) udp_port: Port,
    pub(crate) names: Vec<String>,
    pub(crate) force_relay: bool,
    pub(crate) secret_file: PathBuf,
    pub(crate) credential_age: Time,
    pub(crate) allocation_lifetime: Time,
    pub(crate) first_allocation_timeout: Time,
    pub(crate) max_allocations: Count,
    pub(crate) max_allocations_per_participant: Count,
    pub(crate) max_allocations_per_address: Count,
    pub(crate) max_bitrate_per_participant: Bounded<64_000, 10_000_000_000>,
    pub(crate) max_bitrate: Bounded<1_000_000, 1_000_000_000_000>,
    pub(crate) write_queue_messages: Count,
}

/// A rule book by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Profile(pub(crate) CryptoProfile);

/// What HTTP without TLS gets, where TLS is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PlainHttp {
    Redirect,
    Serve,
}

/// An address that clients are offered, and the one of ours that it stands for: `203.0.113.7` or `203.0.113.7=10.0.0.5`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NodeIp {
    pub(crate) offered: IpAddr,
    pub(crate) bound: Option<IpAddr>,
}

impl Default for Tls {
    fn default() -> Self {
        Tls {
            certificate: PathBuf::new(),
            key: PathBuf::new(),
            crypto_profile: Profile::default(),
            handshake_timeout: Time::secs(5),
            acme: Acme::default(),
        }
    }
}

impl Default for Turn {
    fn default() -> Self {
        let turn = TurnConfig::default();
        let bits = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        Turn {
            enabled: false,
            host: String::new(),
            udp_port: Bounded::of(3_478),
            names: Vec::new(),
            force_relay: false,
            secret_file: PathBuf::new(),
            credential_age: Time::secs(6 * 3_600),
            allocation_lifetime: Time(turn.max_lifetime),
            first_allocation_timeout: Time::secs(10),
            max_allocations: count(turn.max_allocations),
            max_allocations_per_participant: count(turn.max_allocations_per_user),
            max_allocations_per_address: count(turn.max_allocations_per_address),
            max_bitrate_per_participant: Bounded::of(bits(turn.max_bitrate_per_user)),
            max_bitrate: Bounded::of(bits(turn.max_bitrate)),
            write_queue_messages: count(256),
        }
    }
}

impl Tls {
    /// The files of a certificate, if it comes from files.
    pub(crate) fn files(&self, base: &Path) -> Option<CertificateFiles> {
        let given = !self.certificate.as_os_str().is_empty();
        given.then(|| CertificateFiles {
            certificate: base.join(&self.certificate),
            key: base.join(&self.key),
        })
    }

    /// Whether certificates come from elsewhere than there.
    pub(crate) fn source_differs(&self, other: &Tls) -> bool {
        (&self.certificate, &self.key, &self.acme) != (&other.certificate, &other.key, &other.acme)
    }

    /// Whether TLS is spoken at all.
    pub(crate) fn is_spoken(&self) -> bool {
        !self.certificate.as_os_str().is_empty() || !self.acme.directory.is_empty()
    }
}

impl Config {
    /// Finds what is wrong with the public port beyond single values.
    pub(super) fn check_edge(&self) -> Result<(), Problem> {
        let problem = |key: &str, text: &str| Err((key.to_owned(), text.to_owned()));
        let (tls, turn) = (&self.tls, &self.turn);
        let is_set = |path: &Path| !path.as_os_str().is_empty();
        if is_set(&tls.certificate) != is_set(&tls.key) {
            let key = if is_set(&tls.certificate) { "tls.certificate" } else { "tls.key" };
            return problem(key, "certificate and key go together; name both files, or neither");
        }
        let acme = &tls.acme;
        if !acme.directory.is_empty() {
            if is_set(&tls.certificate) {
                return problem("tls.acme.directory", "there is tls.certificate too; use one of both");
            }
            if !acme.directory.starts_with("https://") {
                return problem(
                    "tls.acme.directory",
                    "it is no https:// address; use the authority's directory",
                );
            }
            if acme.names.is_empty() {
                return problem(
                    "tls.acme.names",
                    "there is none; name the hosts that the certificate is for",
                );
            }
            if acme.eab_key_id.is_empty() == is_set(&acme.eab_key_file) {
                return problem("tls.acme.eab_key_id", "key id and key go together; set both, or neither");
            }
        }
        if turn.enabled
            && self.http.listen.port() == 0
            && self.http.public_port.port() == 0
            && !turn.host.is_empty()
        {
            return problem(
                "http.public_port",
                "http.listen has no port of its own; say under which one clients reach it",
            );
        }
        let framed = &self.http.frame_ancestors;
        if framed.len() > parvis_api::MAX_FRAME_ANCESTORS {
            return problem(
                "http.frame_ancestors",
                "there are more than 32; name the domain once instead: \"https://*.example.org\"",
            );
        }
        if let Some(foul) = framed.iter().find(|site| !parvis_api::is_frame_ancestor(site)) {
            return problem(
                "http.frame_ancestors",
                &format!(
                    "{foul:?} names no site; write \"https://intranet.example.org\" or \"https://*.example.org\", \
                     without a path"
                ),
            );
        }
        Ok(())
    }

    /// How the public port receives.
    pub(crate) fn edge_config(&self) -> EdgeConfig {
        EdgeConfig {
            handshake: self.tls.handshake_timeout.0,
            plain: match self.http.plain {
                PlainHttp::Redirect => Plain::Redirect,
                PlainHttp::Serve => Plain::Serve,
            },
            proxy_protocol_from: self.http.proxy_protocol_from.clone(),
            turn_names: self.turn.names.clone(),
        }
    }

    /// Where certificates come from and are kept, if they come from an authority. Relative paths start at `base`.
    pub(crate) fn acme_config(&self, base: &Path) -> Result<Option<AcmeConfig>, Problem> {
        let acme = &self.tls.acme;
        if acme.directory.is_empty() {
            return Ok(None);
        }
        let external_account = match acme.eab_key_id.as_str() {
            "" => None,
            id => {
                Some((id.to_owned(), read_secret("tls.acme.eab_key_file", &base.join(&acme.eab_key_file))?))
            }
        };
        let root = (!acme.root_file.as_os_str().is_empty()).then(|| base.join(&acme.root_file));
        Ok(Some(AcmeConfig {
            directory: acme.directory.clone(),
            names: acme.names.clone(),
            contact: acme.contact.clone(),
            external_account,
            root,
            folder: self.data.directory.join("acme"),
        }))
    }

    /// How the relay is reached at these addresses, and what it relays to: media as it is offered, and as it is bound.
    pub(crate) fn relay_config(
        &self,
        addresses: &[IpAddr],
        media: Vec<(SocketAddr, SocketAddr)>,
        max_allocations: usize,
    ) -> RelayConfig {
        let turn = &self.turn;
        let bits = |value: i64| u64::try_from(value).unwrap_or_default();
        RelayConfig {
            udp: addresses.iter().map(|ip| SocketAddr::new(*ip, turn.udp_port.port())).collect(),
            media,
            turn: TurnConfig {
                max_allocations: turn.max_allocations.size().min(max_allocations),
                max_allocations_per_user: turn.max_allocations_per_participant.size(),
                max_allocations_per_address: turn.max_allocations_per_address.size(),
                max_lifetime: turn.allocation_lifetime.0,
                max_bitrate_per_user: bits(turn.max_bitrate_per_participant.get()),
                max_bitrate: bits(turn.max_bitrate.get()),
            },
            first_allocation: turn.first_allocation_timeout.0,
            write_queue: turn.write_queue_messages.size(),
        }
    }

    /// What clients are told of the relay. `http` is where the participants' port listens, `udp` where the relay does,
    /// `offered` the address of a media socket, for when no name is set.
    pub(crate) fn turn_urls(&self, http: SocketAddr, udp: &[SocketAddr], offered: IpAddr) -> Vec<String> {
        let host = match (self.turn.host.as_str(), offered) {
            ("", IpAddr::V4(v4)) => v4.to_string(),
            ("", IpAddr::V6(v6)) => format!("[{v6}]"),
            (host, _) => host.to_owned(),
        };
        let port = self.public_port(http);
        let mut urls = Vec::new();
        urls.extend(udp.first().map(|udp| format!("turn:{host}:{}?transport=udp", udp.port())));
        urls.push(format!("turn:{host}:{port}?transport=tcp"));
        if self.tls.is_spoken() {
            let host = self.turn.names.first().unwrap_or(&host);
            urls.push(format!("turns:{host}:{port}?transport=tcp"));
        }
        urls
    }

    /// The port under which clients reach the participants' port.
    pub(crate) fn public_port(&self, http: SocketAddr) -> u16 {
        match self.http.public_port.port() {
            0 => http.port(),
            port => port,
        }
    }

    /// The relay's secret, of the file or made anew.
    pub(crate) fn turn_secret(&self, base: &Path) -> Result<[u8; 32], Problem> {
        if self.turn.secret_file.as_os_str().is_empty() {
            return Ok(rand::random());
        }
        let path = base.join(&self.turn.secret_file);
        let text = read_secret("turn.secret_file", &path)?;
        let secret = hex::decode(&text).ok().and_then(|bytes| bytes.try_into().ok());
        secret.ok_or_else(|| {
            let text =
                format!("{}: not 64 hexadecimal digits; `parvis key create` makes them", path.display());
            ("turn.secret_file".to_owned(), text)
        })
    }

    /// Which of this machine's addresses clients are offered as another: bound, then offered. Those that are not in it are
    /// not used.
    pub(crate) fn offered(&self, addresses: &[IpAddr]) -> Result<Vec<(IpAddr, IpAddr)>, Problem> {
        let mut pairs: Vec<(IpAddr, IpAddr)> = Vec::new();
        for node in &self.media.node_ip {
            let bound = stands_for(*node, addresses).map_err(|text| ("media.node_ip".to_owned(), text))?;
            if pairs.iter().any(|(other, offered)| *other == bound || *offered == node.offered) {
                let text = format!("{} and another stand for one address; name each once", node.offered);
                return Err(("media.node_ip".to_owned(), text));
            }
            pairs.push((bound, node.offered));
        }
        Ok(pairs)
    }
}

/// Which of our addresses a client reaches by the offered one.
fn stands_for(node: NodeIp, addresses: &[IpAddr]) -> Result<IpAddr, String> {
    if let Some(bound) = node.bound {
        return if addresses.contains(&bound) {
            Ok(bound)
        } else {
            Err(format!("{bound} is no address of this machine, or not in media.addresses; name one that is"))
        };
    }
    if addresses.contains(&node.offered) {
        return Ok(node.offered);
    }
    let same_family = |ip: &&IpAddr| ip.is_ipv4() == node.offered.is_ipv4() && !ip.is_loopback();
    let fitting: Vec<IpAddr> = addresses.iter().filter(same_family).copied().collect();
    match fitting.as_slice() {
        [one] => Ok(*one),
        [] => Err(format!(
            "{} has no address of its family to stand for; add one to media.addresses",
            node.offered
        )),
        several => Err(format!(
            "{} may stand for {} or {}; say for which, as \"{}={}\"",
            node.offered, several[0], several[1], node.offered, several[0]
        )),
    }
}

/// A secret from a file that holds nothing else.
pub(super) fn read_secret(key: &str, path: &Path) -> Result<String, Problem> {
    let problem = |text: String| (key.to_owned(), text);
    let secret = std::fs::read_to_string(path).map_err(|error| {
        problem(format!("{}: {error}; name a file that the server can read", path.display()))
    })?;
    if secret.len() > MAX_SECRET_BYTES {
        return Err(problem(format!(
            "{} has more than {MAX_SECRET_BYTES} bytes; is it the right file?",
            path.display()
        )));
    }
    Ok(secret.trim().to_owned())
}

impl Serialize for Profile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.name())
    }
}

impl<'de> Deserialize<'de> for Profile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map(Profile).map_err(de::Error::custom)
    }
}

impl fmt::Display for NodeIp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bound {
            Some(bound) => write!(formatter, "{}={bound}", self.offered),
            None => self.offered.fmt(formatter),
        }
    }
}

impl Serialize for NodeIp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for NodeIp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parse = |text: &str| text.trim().parse::<IpAddr>().ok().filter(|ip| !ip.is_unspecified());
        let node = match text.split_once('=') {
            Some((offered, bound)) => parse(offered)
                .zip(parse(bound))
                .filter(|(offered, bound)| offered.is_ipv4() == bound.is_ipv4())
                .map(|(offered, bound)| NodeIp { offered, bound: Some(bound) }),
            None => parse(&text).map(|offered| NodeIp { offered, bound: None }),
        };
        node.ok_or_else(|| {
            de::Error::custom(format!(
                "\"{text}\" is no address; use one as \"203.0.113.7\", or with the one that it stands for as \"203.0.113.7=10.0.0.5\""
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(node_ip: &[&str]) -> Config {
        let mut config = Config::default();
        let read = |text: &&str| serde_json::from_value(serde_json::Value::from(*text)).unwrap();
        config.media.node_ip = node_ip.iter().map(read).collect();
        config
    }

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn an_outer_address_stands_for_the_only_one_of_its_family_or_for_the_one_that_is_named() {
        let machine = ips(&["127.0.0.1", "10.0.0.5", "2001:db8::5"]);
        let offered = config(&["203.0.113.7", "2001:db8::5"]).offered(&machine).unwrap();
        let pair = |bound: &str, offered: &str| (bound.parse().unwrap(), offered.parse().unwrap());
        assert_eq!(offered, [pair("10.0.0.5", "203.0.113.7"), pair("2001:db8::5", "2001:db8::5")]);
        let machine = ips(&["10.0.0.5", "10.0.0.6"]);
        let offered = config(&["203.0.113.7=10.0.0.6"]).offered(&machine).unwrap();
        assert_eq!(offered, [pair("10.0.0.6", "203.0.113.7")]);
    }

    #[test]
    fn an_outer_address_that_could_stand_for_several_or_none_is_refused() {
        let machine = ips(&["10.0.0.5", "10.0.0.6"]);
        let refused = |node_ip: &[&str]| config(node_ip).offered(&machine).unwrap_err().1;
        assert_eq!(
            refused(&["203.0.113.7"]),
            "203.0.113.7 may stand for 10.0.0.5 or 10.0.0.6; say for which, as \"203.0.113.7=10.0.0.5\""
        );
        assert!(refused(&["2001:db8::7"]).starts_with("2001:db8::7 has no address of its family"));
        assert!(refused(&["203.0.113.7=10.0.0.9"]).starts_with("10.0.0.9 is no address of this machine"));
        let twice = ["203.0.113.7=10.0.0.5", "203.0.113.8=10.0.0.5"];
        assert!(refused(&twice).starts_with("203.0.113.8 and another stand for one address"));
        for wrong in ["0.0.0.0", "host", "203.0.113.7=", "203.0.113.7=2001:db8::1"] {
            let read = serde_json::from_value::<NodeIp>(serde_json::Value::from(wrong));
            assert!(read.unwrap_err().to_string().starts_with(&format!("\"{wrong}\" is no address")));
        }
    }

    #[test]
    fn clients_are_told_of_each_way_to_the_relay() {
        let mut config = Config::default();
        let (http, udp) = ("0.0.0.0:443".parse().unwrap(), ["10.0.0.5:3478".parse().unwrap()]);
        let offered = "203.0.113.7".parse().unwrap();
        assert_eq!(
            config.turn_urls(http, &udp, offered),
            ["turn:203.0.113.7:3478?transport=udp", "turn:203.0.113.7:443?transport=tcp"]
        );
        config.tls.certificate = "chain.pem".into();
        config.turn.host = "meet.example".to_owned();
        config.http.public_port = Bounded::of(8_443);
        config.turn.names = vec!["turn.example".to_owned()];
        assert_eq!(
            config.turn_urls(http, &udp, offered),
            [
                "turn:meet.example:3478?transport=udp",
                "turn:meet.example:8443?transport=tcp",
                "turns:turn.example:8443?transport=tcp"
            ]
        );
        assert!(config.turn_urls(http, &udp, "2001:db8::7".parse().unwrap())[0].contains("meet.example"));
    }
}
