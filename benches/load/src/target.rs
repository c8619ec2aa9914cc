// SPDX-License-Identifier: EUPL-1.2
//! On whom a load is put, and from where.

use clap::Args;
use livekit_token::{AccessToken, VideoGrants};
use serde::Serialize;

use crate::LoadError;
use crate::process::{self, Usage};

/// On whom a load is put, and from where.
#[derive(Debug, Clone, Args, Serialize)]
pub struct Target {
    /// The server's address for signalling.
    #[arg(long, default_value = "ws://127.0.0.1:7880", value_name = "URL")]
    pub server: String,
    /// The API key that signs the tokens.
    #[arg(long, default_value = "devkey")]
    pub key: String,
    /// The key's secret.
    #[arg(long, default_value = "secret")]
    #[serde(skip)]
    pub secret: String,
    /// The server's process, to be watched; on this machine.
    #[arg(long)]
    pub pid: Option<u32>,
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

    /// What the watched server has used up.
    pub(crate) fn usage(&self) -> Result<Option<Usage>, LoadError> {
        self.pid.map(|pid| process::usage(pid).ok_or(LoadError::Gone(pid))).transpose()
    }
}
