// SPDX-License-Identifier: EUPL-1.2
//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::Ports;

/// Parvis: video meetings on your own server.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve meetings.
    Serve(Settings),
    /// Say what `serve` would say, and whether its ports are free, without serving.
    Check(Settings),
    /// Access tokens.
    Token {
        #[command(subcommand)]
        command: Token,
    },
    /// API keys.
    Key {
        #[command(subcommand)]
        command: Key,
    },
    /// The configuration.
    Config {
        #[command(subcommand)]
        command: Config,
    },
}

/// Which configuration, and what the command line changes in it.
#[derive(Debug, Clone, Args)]
#[command(group = clap::ArgGroup::new("source").required(true).multiple(false))]
pub(crate) struct Settings {
    /// Develop: no configuration file, the public key `devkey`, guests welcome, loopback only.
    #[arg(long, group = "source")]
    pub(crate) dev: bool,
    /// The configuration file.
    #[arg(long, value_name = "FILE", group = "source")]
    pub(crate) config: Option<PathBuf>,
    /// Address and port for HTTP and signalling.
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) http: Option<SocketAddr>,
    /// UDP ports for media; 0 lets the system choose.
    #[arg(long, value_name = "FIRST[-LAST]")]
    pub(crate) media_ports: Option<Ports>,
    /// First TCP port for media; 0 lets the system choose.
    #[arg(long, value_name = "PORT")]
    pub(crate) tcp_port: Option<u16>,
    /// Address and port for Prometheus.
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) metrics: Option<SocketAddr>,
    /// Directory for what must outlive the server.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Make a token that lets one participant into one room.
    Create(TokenCreate),
}

/// Who may go where, and which key says so.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("signer").required(true).multiple(false))]
pub(crate) struct TokenCreate {
    /// The room.
    #[arg(long)]
    pub(crate) room: String,
    /// The participant's identity, unique in the room.
    #[arg(long)]
    pub(crate) identity: String,
    /// The name that others see.
    #[arg(long, default_value = "")]
    pub(crate) name: String,
    /// How long the token opens the door, in minutes.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=527_040))]
    pub(crate) minutes: u64,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Sign with the development key.
    #[arg(long, group = "signer")]
    pub(crate) dev: bool,
    /// Sign with the first key of this configuration.
    #[arg(long, value_name = "FILE", group = "signer")]
    pub(crate) config: Option<PathBuf>,
    /// Sign with this key …
    #[arg(long, group = "signer", requires = "secret")]
    pub(crate) key: Option<String>,
    /// … and its secret. Other users of the machine see a command line: better use --config.
    #[arg(long, requires = "key")]
    pub(crate) secret: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Print a fresh secret, to be kept in a file that `keys` names as `secret_file`.
    Create,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Print each value in force.
    Show {
        #[command(flatten)]
        settings: Settings,
        /// Say where each value comes from.
        #[arg(long)]
        origin: bool,
    },
}
