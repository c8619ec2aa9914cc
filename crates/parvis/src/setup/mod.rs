// SPDX-License-Identifier: EUPL-1.2
//! `parvis setup HOST`: writes a configuration that works, from as few answers as there can be, and has it checked.
//!
//! [`Answers`] are what flags said and what people were asked ([`ask`]); [`write()`] makes the files of them ([`text`]). Nothing that is
//! there is ever written over, and where something fails half way, what was written is taken away again.

mod ask;
mod text;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::{OpenOptionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use parvis_shard::local_addresses;

use crate::config::load;
use crate::stored::fresh_secret;
use crate::{Problem, cli};

/// Where the service manager looks for secrets, which it hands to the server (`LoadCredential=`).
pub(crate) const CREDENTIAL_STORE: &str = "/etc/credstore";
/// The group that reads the configuration.
const GROUP: &str = "parvis";
/// The units that serve, and the one that opens the public ports; a proxy has these itself.
const UNITS: [&str; 4] =
    ["parvis-media.socket", "parvis-compose.socket", "parvis-push.socket", "parvis.service"];
const PUBLIC_PORTS: &str = "parvis.socket";
/// Units whose workers may use a GPU, and what opens it for them.
const GPU_UNITS: [&str; 2] = ["parvis-media@.service", "parvis-compose@.service"];
const GPU_SETTINGS: &str = "/usr/share/parvis/gpu.conf";

/// Where the certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Certificate {
    /// From an authority, by ACME.
    Authority {
        /// Its directory.
        directory: String,
        /// How it reaches the operator.
        contact: Option<String>,
    },
    /// From files that somebody else keeps fresh.
    Files {
        /// The chain.
        certificate: PathBuf,
        /// The private key.
        key: PathBuf,
    },
    /// A proxy before the server speaks TLS.
    Proxy(IpAddr),
}

/// All that a configuration is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answers {
    /// The name under which people reach it.
    pub(crate) host: String,
    /// Where its certificate comes from.
    pub(crate) certificate: Certificate,
    /// The addresses of this machine that media uses.
    pub(crate) addresses: Vec<IpAddr>,
    /// What clients are offered instead, behind a 1:1 NAT: offered, then the one of ours.
    pub(crate) public: Option<(IpAddr, IpAddr)>,
    /// Where the server keeps what must outlive it.
    pub(crate) data: PathBuf,
    /// Where secrets are written.
    pub(crate) secrets: PathBuf,
    /// Whether meetings may be recorded, and for whom they are sealed then.
    pub(crate) recipients: Vec<String>,
}

/// Does it.
pub(crate) fn run(arguments: &cli::Setup) -> Result<(), Problem> {
    let config = &arguments.config;
    if fs::symlink_metadata(config).is_ok() {
        return Err(format!(
            "{} is there already, and stays as it is; edit it, or name another file with --config",
            config.display()
        )
        .into());
    }
    let answers = ask::answers(arguments, &local_addresses()?)?;
    let written = write(&answers, config)?;
    for path in &written {
        println!("wrote {}", path.display());
    }
    if let Some(hint) = unreadable(&answers) {
        println!("note: {hint}");
    }
    let ports = (!matches!(answers.certificate, Certificate::Proxy(_))).then_some(PUBLIC_PORTS);
    let units: Vec<&str> = ports.into_iter().chain(UNITS).collect();
    let managed = Path::new("/run/systemd/system").exists() && !arguments.no_start;
    if managed {
        open_gpu()?;
        systemctl(&["daemon-reload"])?;
        systemctl(&[["enable", "--now"].as_slice(), &units].concat())?;
    } else {
        println!("start it with: systemctl enable --now {}", units.join(" "));
    }
    let settings = cli::Settings { config: Some(config.clone()), ..cli::Settings::default() };
    crate::check::run(&cli::Check { settings, host: Some(answers.host), ..cli::Check::default() })
}

/// Writes secrets and the configuration, and reads the latter as the server will. Gives the files.
pub(crate) fn write(answers: &Answers, config: &Path) -> Result<Vec<PathBuf>, Problem> {
    let mut written = Vec::new();
    let done = write_all(answers, config, &mut written).and_then(|()| {
        load(config)?;
        Ok(())
    });
    if let Err(problem) = done {
        for path in written {
            let _ = fs::remove_file(path);
        }
        return Err(problem);
    }
    Ok(written)
}

fn write_all(answers: &Answers, config: &Path, written: &mut Vec<PathBuf>) -> Result<(), Problem> {
    for name in text::SECRETS {
        let path = answers.secrets.join(name);
        create(&path, &format!("{}\n", fresh_secret()), 0o600, written)?;
    }
    create(config, &text::configuration(answers), 0o640, written)?;
    // The server reads it, and does not own it.
    if let Some(group) = group(GROUP) {
        chown(config, None, Some(group))?;
    }
    Ok(())
}

/// Writes a file that is not there yet.
fn create(path: &Path, content: &str, mode: u32, written: &mut Vec<PathBuf>) -> Result<(), Problem> {
    let said = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => format!(
            "{}: is there already, and stays as it is; move it away, or name other places with --config and --secrets",
            path.display()
        ),
        _ => format!("{}: can't be written: {error}", path.display()),
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(said)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(said)?;
    written.push(path.to_owned());
    file.write_all(content.as_bytes()).and_then(|()| file.sync_all()).map_err(said)?;
    Ok(())
}

/// The number of a group of this machine.
fn group(name: &str) -> Option<u32> {
    let groups = fs::read_to_string("/etc/group").ok()?;
    let mut fields = groups.lines().map(|line| line.split(':').collect::<Vec<_>>());
    fields.find(|fields| fields.first() == Some(&name))?.get(2)?.parse().ok()
}

/// What stands in the way of the server's reading a certificate's key: it does not run as root.
fn unreadable(answers: &Answers) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let Certificate::Files { key, .. } = &answers.certificate else { return None };
    let metadata = fs::metadata(key).ok()?;
    let by_group = metadata.mode() & 0o040 != 0 && Some(metadata.gid()) == group(GROUP);
    let by_all = metadata.mode() & 0o004 != 0;
    (!by_group && !by_all).then(|| {
        format!(
            "{} is read by the server as the user {GROUP}: `chgrp {GROUP}` it, with mode 0640, and let it into the folder",
            key.display()
        )
    })
}

/// Lets workers use the GPU, where there is one.
fn open_gpu() -> Result<(), Problem> {
    let has_one = ["/dev/dri", "/dev/nvidia0"].iter().any(|path| Path::new(path).exists());
    if !has_one || !Path::new(GPU_SETTINGS).exists() {
        return Ok(());
    }
    for unit in GPU_UNITS {
        let folder = Path::new("/etc/systemd/system").join(format!("{unit}.d"));
        fs::create_dir_all(&folder)?;
        let link = folder.join("gpu.conf");
        if fs::symlink_metadata(&link).is_err() {
            std::os::unix::fs::symlink(GPU_SETTINGS, &link)?;
            println!("workers may use the GPU: {}", link.display());
        }
    }
    Ok(())
}

fn systemctl(arguments: &[&str]) -> Result<(), Problem> {
    let status = Command::new("systemctl").args(arguments).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => {
            Err(format!("`systemctl {}` failed; `journalctl -u parvis` says why", arguments.join(" ")).into())
        }
        Err(error) => Err(format!("systemctl can't be started: {error}").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(folder: &Path, certificate: Certificate) -> Answers {
        Answers {
            host: "meet.example.eu".to_owned(),
            certificate,
            addresses: vec!["10.0.0.5".parse().unwrap()],
            public: Some(("203.0.113.7".parse().unwrap(), "10.0.0.5".parse().unwrap())),
            data: folder.join("data"),
            secrets: folder.join("secrets"),
            recipients: Vec::new(),
        }
    }

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("parvis-setup-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn what_is_written_is_what_the_server_reads() {
        use std::os::unix::fs::MetadataExt;
        let folder = folder("writes");
        let certificate = Certificate::Authority {
            directory: "https://acme.example.eu/directory".to_owned(),
            contact: Some("mailto:ada@example.eu".to_owned()),
        };
        let config = folder.join("etc/parvis.toml");
        let written = write(&answers(&folder, certificate), &config).unwrap();
        assert_eq!(written.len(), 3, "{written:?}");
        let loaded = load(&config).unwrap().config;
        assert_eq!(loaded.http.listen.to_string(), "[::]:443");
        assert_eq!(loaded.tls.acme.names, ["meet.example.eu"]);
        assert_eq!(loaded.tls.acme.contact, ["mailto:ada@example.eu"]);
        assert!(loaded.turn.enabled && loaded.turn.host == "meet.example.eu");
        assert_eq!(loaded.media.node_ip.len(), 1);
        assert_eq!(loaded.data.directory, folder.join("data"));
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(&config), mode(&written[0]), mode(&written[1])), (0o640, 0o600, 0o600));
        let secrets: Vec<String> =
            written[..2].iter().map(|path| fs::read_to_string(path).unwrap()).collect();
        assert!(secrets[0] != secrets[1] && secrets.iter().all(|secret| secret.trim().len() == 64));
        let _ = fs::remove_dir_all(folder);
    }

    #[test]
    fn nothing_is_written_over_and_half_a_setup_is_none() {
        let folder = folder("refuses");
        let files = Certificate::Files { certificate: folder.join("chain.pem"), key: folder.join("key.pem") };
        let answers = answers(&folder, files);
        let config = folder.join("parvis.toml");
        fs::write(&config, "mine").unwrap();
        let problem = write(&answers, &config).unwrap_err().to_string();
        assert!(problem.contains("is there already"), "{problem}");
        assert_eq!(fs::read_to_string(&config).unwrap(), "mine");
        assert_eq!(fs::read_dir(folder.join("secrets")).unwrap().count(), 0, "secrets of nothing");
        // What the server would refuse is taken away as well.
        fs::remove_file(&config).unwrap();
        let wrong = Answers { host: "meet.example.eu\"".to_owned(), ..answers };
        let wrong = Answers { recipients: vec!["nobody".to_owned()], ..wrong };
        let problem = write(&wrong, &config).unwrap_err().to_string();
        assert!(problem.contains("recipients"), "{problem}");
        // As long as one is, with a slip in its last letter.
        let slip = "age1xd4agy57sq8asy5p2pkmxhgelyq20l0fq7am49l6q9wjt90ztdesx04y4q".to_owned();
        let wrong = Answers { recipients: vec![slip.clone()], ..wrong };
        let problem = write(&wrong, &config).unwrap_err().to_string();
        assert!(problem.contains(&slip) && problem.contains("checksum"), "{problem}");
        assert!(!config.exists() && fs::read_dir(folder.join("secrets")).unwrap().count() == 0);
        let _ = fs::remove_dir_all(folder);
    }
}
