// SPDX-License-Identifier: EUPL-1.2
//! The command line.

pub(crate) mod audit;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::config::Ports;

/// Parvis: video meetings on your own server.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// Reads the command line. Flags of LiveKit's server, such as `--rtc.udp_port 7882`, are none of ours and are taken out
    /// before ours are read.
    pub(crate) fn read(arguments: impl Iterator<Item = OsString>) -> Result<Cli, clap::Error> {
        let (ours, flags) = split(arguments.collect());
        let mut cli = Cli::try_parse_from(ours)?;
        if let Command::Serve(settings)
        | Command::Check(Check { settings, .. })
        | Command::Config { command: Config::Show { settings, .. } } = &mut cli.command
        {
            settings.livekit_flags = flags;
        }
        Ok(cli)
    }
}

/// Parts our arguments from flags of LiveKit's server, each with its value.
fn split(arguments: Vec<OsString>) -> (Vec<OsString>, Vec<(String, String)>) {
    let takes_settings = arguments
        .get(1)
        .is_some_and(|command| ["serve", "check", "config"].iter().any(|known| command == known));
    let (mut ours, mut flags) = (Vec::new(), Vec::new());
    let mut arguments = arguments.into_iter().peekable();
    while let Some(argument) = arguments.next() {
        let flag = argument.to_str().and_then(|text| text.strip_prefix("--")).filter(|_| takes_settings);
        let (name, value) = match flag.map(|flag| flag.split_once('=').unwrap_or((flag, ""))) {
            Some((name, value)) => (name.to_owned(), value.to_owned()),
            None => {
                ours.push(argument);
                continue;
            }
        };
        match parvis_config::livekit::is_flag(&name) {
            None => ours.push(argument),
            Some(_) if flag.is_some_and(|flag| flag.contains('=')) => flags.push((name, value)),
            Some(needs_no_value) => {
                let next =
                    arguments.next_if(|next| !needs_no_value && !next.to_string_lossy().starts_with("--"));
                let value =
                    next.map_or_else(|| "true".to_owned(), |next| next.to_string_lossy().into_owned());
                flags.push((name, value));
            }
        }
    }
    (ours, flags)
}

impl Settings {
    /// The file that was written for LiveKit's server, by whichever flag.
    pub(crate) fn livekit_file(&self) -> Option<&Path> {
        self.livekit_config.as_deref().or(self.config.as_deref().filter(|path| is_yaml(path)))
    }

    /// Our own file.
    pub(crate) fn own_file(&self) -> Option<&Path> {
        self.config.as_deref().filter(|path| !is_yaml(path))
    }
}

/// Whether a configuration is written as LiveKit's is.
pub(crate) fn is_yaml(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
}

/// What to show of a server, and how often.
#[derive(Debug, Args)]
pub(crate) struct Top {
    /// Where the server's figures are: `metrics.listen` of its configuration.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:7891")]
    pub(crate) metrics: SocketAddr,
    /// Seconds between two looks.
    #[arg(long, value_name = "SECONDS", default_value_t = 2)]
    pub(crate) every: u64,
    /// End after so many pictures.
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u32>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve meetings.
    Serve(Settings),
    /// Write a configuration for this machine, from as few answers as there can be, and check it.
    Setup(Box<Setup>),
    /// Say whether configuration and machine are good, and whether a server that runs carries a call.
    Check(Check),
    /// Help another server's `parvis check`: try its ports from here, for whoever knows the secret, for a while.
    Peer(Peer),
    /// Show what a server does, live.
    Top(Top),
    /// Write manual pages.
    #[command(hide = true)]
    Man {
        /// A directory that exists.
        to: PathBuf,
    },
    /// Confine this process as a server is, try what must fail, and say whether it does.
    #[command(hide = true)]
    ConfineCheck {
        /// A directory that exists.
        directory: PathBuf,
    },
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
    /// Write everything that is stored into one file, while the server runs.
    Backup(Backup),
    /// Put a backup in, or only check it.
    Restore(Restore),
    /// The audit log.
    Audit {
        #[command(subcommand)]
        command: audit::Audit,
    },
    /// Print what happened in rooms, as far as `database.keep_events` has it kept.
    Events(Events),
    /// Webhooks that were not taken.
    Webhooks {
        #[command(subcommand)]
        command: Webhooks,
    },
    /// What was recorded of rooms.
    Recording {
        #[command(subcommand)]
        command: Recording,
    },
    /// What this machine can do with media.
    Media {
        #[command(subcommand)]
        command: Media,
    },
}

/// Whose database.
#[derive(Debug, Clone, Args)]
#[command(group = clap::ArgGroup::new("whose").required(true).multiple(false))]
pub(crate) struct Whose {
    /// That of `serve --dev`.
    #[arg(long, group = "whose")]
    pub(crate) dev: bool,
    /// That of this configuration.
    #[arg(long, value_name = "FILE", group = "whose")]
    pub(crate) config: Option<PathBuf>,
    /// Directory for what must outlive the server.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}

/// What is written where.
#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// The file to write. It holds secrets: only you can read it, and it should stay so.
    pub(crate) file: PathBuf,
    /// Overwrite the file.
    #[arg(long)]
    pub(crate) replace: bool,
    #[command(flatten)]
    pub(crate) whose: Whose,
}

/// What is put where.
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The backup.
    pub(crate) file: PathBuf,
    /// Only read the file and say whether it is whole.
    #[arg(long, group = "whose")]
    pub(crate) verify: bool,
    /// Lose what the database holds.
    #[arg(long, conflicts_with = "verify")]
    pub(crate) replace: bool,
    #[command(flatten)]
    pub(crate) whose: Whose,
}

/// Which events.
#[derive(Debug, Args)]
pub(crate) struct Events {
    /// Of this room only.
    #[arg(long)]
    pub(crate) room: Option<String>,
    /// Of this organisation.
    #[arg(long, default_value = "default")]
    pub(crate) tenant: String,
    /// Those that come after the one of this number.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub(crate) after: i64,
    /// At most so many, the oldest first.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) limit: u32,
    /// Print JSON, one object a line.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) whose: Whose,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Webhooks {
    /// Print those that were given up.
    List {
        /// Those that are still tried too.
        #[arg(long)]
        waiting: bool,
        /// Print JSON, one object a line.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        whose: Whose,
    },
    /// Try given-up ones again, with their whole time before them.
    Resend(Which),
    /// Forget given-up ones.
    Drop(Which),
}

/// One event or all.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("which").required(true).multiple(false))]
pub(crate) struct Which {
    /// The event's id.
    #[arg(group = "which")]
    pub(crate) id: Option<String>,
    /// All that were given up.
    #[arg(long, group = "which")]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) whose: Whose,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Recording {
    /// Print which recordings there are, and which were erased.
    List(Recordings),
    /// Print what is known of one.
    Show(OneRecording),
    /// Erase one that has ended: its files and its record. That it was erased stays written down.
    Erase(OneRecording),
    /// Check that the files of a recording are as they were written.
    #[command(disable_help_flag = true)]
    Verify(MediaTool),
    /// Write the files of a recording in the clear.
    #[command(disable_help_flag = true)]
    Decrypt(MediaTool),
    /// As decrypt, but only what killed workers left unfinished.
    #[command(disable_help_flag = true)]
    Recover(MediaTool),
    /// Write the tracks of a recording as files that players can seek in.
    #[command(disable_help_flag = true)]
    Export(MediaTool),
    /// Make one film of a recording.
    #[command(disable_help_flag = true)]
    Compose(MediaTool),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Media {
    /// Try the encoders that there may be, and say which one films are made with.
    #[command(disable_help_flag = true)]
    Probe(MediaTool),
}

/// Which recordings.
#[derive(Debug, Args)]
pub(crate) struct Recordings {
    /// Of this room only.
    #[arg(long)]
    pub(crate) room: Option<String>,
    /// Of this organisation only.
    #[arg(long)]
    pub(crate) tenant: Option<String>,
    /// Print JSON, one object a line.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) whose: Whose,
}

/// Which recording.
#[derive(Debug, Args)]
pub(crate) struct OneRecording {
    /// Its id, as `parvis recording list` prints it.
    pub(crate) id: String,
    /// The organisation that it belongs to; needed only where several have one of this id.
    #[arg(long)]
    pub(crate) tenant: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) whose: Whose,
}

/// What the media worker's program is started with.
#[derive(Debug, Args)]
pub(crate) struct MediaTool {
    /// The configuration that names the media worker; before all else. Without it the one beside this program is started.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// What `parvis-media` takes for this; --help prints it. With --config, the id of a recording stands for its folder.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) arguments: Vec<OsString>,
}

/// Whom to help, and how long.
#[derive(Debug, Args)]
pub(crate) struct Peer {
    /// Where it is asked.
    #[arg(long, value_name = "ADDR:PORT", default_value = "0.0.0.0:7890")]
    pub(crate) listen: SocketAddr,
    /// A file with what the other one was given too; `parvis key create` makes one.
    #[arg(long, value_name = "FILE")]
    pub(crate) secret: PathBuf,
    /// End after so many minutes.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=1_440))]
    pub(crate) minutes: u32,
}

/// What is checked.
#[derive(Debug, Default, Args)]
pub(crate) struct Check {
    #[command(flatten)]
    pub(crate) settings: Settings,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// The name under which people reach the server, if not the first of tls.acme.names, or else turn.host.
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Option<String>,
    /// Where `parvis peer` runs on another machine: it tries our ports from outside.
    #[arg(long, value_name = "HOST:PORT", requires = "peer_secret")]
    pub(crate) peer: Option<String>,
    /// The file with the secret that it was given.
    #[arg(long, value_name = "FILE", requires = "peer")]
    pub(crate) peer_secret: Option<PathBuf>,
}

/// What a configuration is made from. What is not said is found out, or asked for.
#[derive(Debug, Args)]
pub(crate) struct Setup {
    /// The name under which people reach the server, such as meet.example.eu.
    pub(crate) host: String,
    /// Certificates from an authority by ACME: the address of its directory.
    #[arg(long, value_name = "URL", conflicts_with_all = ["certificate", "behind_proxy"])]
    pub(crate) acme: Option<String>,
    /// How the authority reaches you.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) email: Option<String>,
    /// A certificate of your own: its chain, a PEM file.
    #[arg(long, value_name = "FILE", requires = "key", conflicts_with = "behind_proxy")]
    pub(crate) certificate: Option<PathBuf>,
    /// Its private key, a PEM file.
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub(crate) key: Option<PathBuf>,
    /// A proxy before the server speaks TLS: the address that it connects from.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) behind_proxy: Option<std::net::IpAddr>,
    /// Behind a NAT: the address under which people reach this machine.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) public_address: Option<std::net::IpAddr>,
    /// An address of this machine that media uses; all but loopback without this. Several may be given.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) address: Vec<std::net::IpAddr>,
    /// Meetings may be recorded, sealed for this public key of age (`age-keygen`). Several may be given.
    #[arg(long, value_name = "RECIPIENT")]
    pub(crate) record_for: Vec<String>,
    /// The file to write.
    #[arg(long, value_name = "FILE", default_value = "/etc/parvis/parvis.toml")]
    pub(crate) config: PathBuf,
    /// Directory for what must outlive the server.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/parvis")]
    pub(crate) data: PathBuf,
    /// Directory for secrets; the service manager hands those of this one to the server.
    #[arg(long, value_name = "DIR", default_value = crate::setup::CREDENTIAL_STORE)]
    pub(crate) secrets: PathBuf,
    /// Start nothing.
    #[arg(long)]
    pub(crate) no_start: bool,
}

/// Which configuration, and what the command line changes in it.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Settings {
    /// Develop: no configuration file is needed, the public key `devkey`, guests welcome, loopback only.
    #[arg(long)]
    pub(crate) dev: bool,
    /// The configuration file. One that ends in .yaml or .yml is read as with --livekit-config.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// A configuration that was written for LiveKit's server, with its environment variables and flags.
    #[arg(long, value_name = "FILE")]
    pub(crate) livekit_config: Option<PathBuf>,
    /// What would stand in such a file.
    #[arg(long, value_name = "YAML")]
    pub(crate) config_body: Option<String>,
    /// Flags of LiveKit's server, as they were written.
    #[arg(skip)]
    pub(crate) livekit_flags: Vec<(String, String)>,
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
    /// Keep a new key in the database and print its secret, once. A running server takes it with SIGHUP.
    Add {
        /// What tokens name as their issuer.
        name: String,
        /// The organisation that it belongs to.
        #[arg(long, default_value = "default")]
        tenant: String,
        #[command(flatten)]
        whose: Whose,
    },
    /// Print the names of the keys in the database, with their organisations.
    List {
        #[command(flatten)]
        whose: Whose,
    },
    /// Forget a key of the database. What it signed opens nothing once a running server had SIGHUP.
    Remove {
        /// Its name.
        name: String,
        #[command(flatten)]
        whose: Whose,
    },
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parted(line: &str) -> (String, Vec<(String, String)>) {
        let (ours, flags) = split(line.split(' ').map(OsString::from).collect());
        let ours: Vec<String> = ours.into_iter().map(|word| word.into_string().unwrap()).collect();
        (ours.join(" "), flags)
    }

    #[test]
    fn flags_of_the_other_server_are_parted_from_ours() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let line = "parvis serve --dev --bind 0.0.0.0 --config livekit.yaml --rtc.udp_port=7882-7883 \
                    --rtc.use_external_ip --node-ip 192.0.2.1";
        let (ours, flags) = parted(line);
        assert_eq!(ours, "parvis serve --dev --config livekit.yaml");
        let expected = [
            pair("bind", "0.0.0.0"),
            pair("rtc.udp_port", "7882-7883"),
            pair("rtc.use_external_ip", "true"),
            pair("node-ip", "192.0.2.1"),
        ];
        assert_eq!(flags, expected);
        // Commands that have no settings have no such flags either.
        assert_eq!(parted("parvis token create --keys x").1, []);
        assert_eq!(parted("parvis serve --verbose").0, "parvis serve --verbose");
    }
}
