// SPDX-License-Identifier: EUPL-1.2
//! On whom a load is put, and from where.

use std::net::Ipv4Addr;

use clap::Args;
use livekit_token::{AccessToken, VideoGrants};
use serde::Serialize;

use crate::process::{self, Usage};
use crate::{LoadError, Protocol};

/// On whom a load is put, and from where.
#[derive(Debug, Clone, Args, Serialize)]
pub struct Target {
    /// The server's address for signalling.
    #[arg(long, default_value = "ws://127.0.0.1:7880", value_name = "URL")]
    pub server: String,
    /// What the server is spoken to in.
    #[arg(long, value_enum, default_value_t = Protocol::LiveKit)]
    pub protocol: Protocol,
    /// The API key that signs the tokens.
    #[arg(long, default_value = "devkey")]
    pub key: String,
    /// The key's secret.
    #[arg(long, default_value = "secret")]
    #[serde(skip)]
    pub secret: String,
    /// The server's processes, parted by commas, to be watched together; on this machine.
    #[arg(long = "pid", value_name = "PID", value_delimiter = ',')]
    pub pids: Vec<u32>,
    /// From which address of this machine media is sent.
    #[arg(long, default_value_t = Ipv4Addr::LOCALHOST)]
    pub address: Ipv4Addr,
    /// Keep the load on this core.
    #[arg(long)]
    pub core: Option<usize>,
}

impl Target {
    /// Refuses what makes no sense.
    pub(crate) fn check(&self) -> Result<(), LoadError> {
        if !self.server.starts_with("ws://") {
            return Err(LoadError::Scenario("--server begins with ws://".to_owned()));
        }
        Ok(())
    }

    /// Host and port.
    pub(crate) fn authority(&self) -> &str {
        self.server.trim_start_matches("ws://").split('/').next().unwrap_or_default()
    }

    /// A token that allows `grants` to someone of this name.
    pub(crate) fn token(&self, identity: &str, grants: VideoGrants) -> Result<String, LoadError> {
        AccessToken::with_api_key(&self.key, &self.secret)
            .with_identity(identity)
            .with_grants(grants)
            .to_jwt()
            .map_err(|error| LoadError::Token(error.to_string()))
    }

    /// What the watched server has used up, in all of its processes.
    pub(crate) fn usage(&self) -> Result<Option<Usage>, LoadError> {
        let of_each = self.pids.iter().map(|pid| process::usage(*pid).ok_or(LoadError::Gone(*pid)));
        of_each.reduce(|all, one| Ok(all? + one?)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        target: Target,
    }

    fn of(arguments: &str) -> Target {
        Line::parse_from(["load"].into_iter().chain(arguments.split_whitespace())).target
    }

    #[test]
    fn a_server_of_several_processes_has_used_what_all_of_them_have() {
        let own = std::process::id();
        assert_eq!(of("").usage().unwrap(), None);
        let one = of(&format!("--pid {own}")).usage().unwrap().unwrap();
        let both = of(&format!("--pid {own},{own}")).usage().unwrap().unwrap();
        assert!(both.cpu >= one.cpu * 2, "{one:?} {both:?}");
        assert!(both.resident_bytes > one.resident_bytes * 3 / 2, "{one:?} {both:?}");
        let gone = of(&format!("--pid {own},{}", u32::MAX)).usage().unwrap_err();
        assert!(matches!(gone, LoadError::Gone(u32::MAX)), "{gone}");
        assert_eq!(of("--protocol janus").protocol, Protocol::Janus);
        assert_eq!(of("").protocol, Protocol::LiveKit);
    }
}
