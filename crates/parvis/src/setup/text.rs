// SPDX-License-Identifier: EUPL-1.2
//! The configuration that `parvis setup` writes: what differs from the defaults, and why.

use std::fmt::Write as _;
use std::path::Path;

use super::{Answers, CREDENTIAL_STORE, Certificate};

/// What signs access tokens.
const MAIN_SECRET: &str = "parvis.main.secret";
/// What the relay's credentials are made from.
const TURN_SECRET: &str = "parvis.turn.secret";
/// The names of all secrets, as the unit loads them.
pub(super) const SECRETS: [&str; 2] = [MAIN_SECRET, TURN_SECRET];
/// What starts workers as units of their own, where the package put it.
const WORKER_BY_UNIT: &str = "/usr/lib/parvis/parvis-media-unit";

/// Writes it.
pub(super) fn configuration(answers: &Answers) -> String {
    let Answers { host, certificate, addresses, public, data, secrets, recipients } = answers;
    let mut text = String::new();
    let mut line = |what: &str| {
        text.push_str(what);
        text.push('\n');
    };
    line("# SPDX-License-Identifier: EUPL-1.2");
    line(&format!(
        "# Parvis for {}, as `parvis setup` wrote it. Every other key has its default:",
        quoted(host)
    ));
    line(
        "# /usr/share/doc/parvis/examples/parvis.toml says which there are. `parvis check --config FILE` before a restart.",
    );
    line("");
    line("[http]");
    match certificate {
        Certificate::Proxy(proxy) => {
            line("# The proxy speaks TLS, and names whom it speaks for.");
            line("listen = \"127.0.0.1:7880\"");
            line("public_port = 443");
            line(&format!("trusted_proxies = [{}]", quoted(&proxy.to_string())));
        }
        _ => {
            line("# The service manager opens it (parvis.socket): both have to say the same.");
            line("listen = \"[::]:443\"");
        }
    }
    line("");
    match certificate {
        Certificate::Authority { directory, contact } => {
            line("[tls.acme]");
            line(&format!("directory = {}", quoted(directory)));
            line(&format!("names = [{}]", quoted(host)));
            if let Some(contact) = contact {
                line(&format!("contact = [{}]", quoted(contact)));
            }
            line("");
        }
        Certificate::Files { certificate, key } => {
            line("[tls]");
            line(&format!("certificate = {}", path(certificate)));
            line(&format!("key = {}", path(key)));
            line("");
        }
        Certificate::Proxy(_) => {}
    }
    line("[turn]");
    line("enabled = true");
    line(&format!("host = {}", quoted(host)));
    line(&format!("secret_file = {}", secret(secrets, TURN_SECRET)));
    line("");
    line("[media]");
    let list: Vec<String> = addresses.iter().map(|address| quoted(&address.to_string())).collect();
    line(&format!("addresses = [{}]", list.join(", ")));
    if let Some((offered, bound)) = public {
        line("# Behind a 1:1 NAT: what clients are offered in place of ours.");
        line(&format!("node_ip = [{}]", quoted(&format!("{offered}={bound}"))));
    }
    line("");
    line("[rooms]");
    line("# Whoever has a meeting's link may join it.");
    line("guests = true");
    line("");
    line("[data]");
    line(&format!("directory = {}", path(data)));
    line("");
    line("[recording]");
    if !recipients.is_empty() {
        line("enabled = true");
        let recipients: Vec<String> = recipients.iter().map(|recipient| quoted(recipient)).collect();
        line(&format!("recipients = [{}]", recipients.join(", ")));
    }
    if Path::new(WORKER_BY_UNIT).exists() {
        line("# Each worker is a unit of its own, with limits of its own.");
        line(&format!("worker = {}", quoted(WORKER_BY_UNIT)));
    }
    line("");
    line("[[keys]]");
    line("name = \"main\"");
    line(&format!("secret_file = {}", secret(secrets, MAIN_SECRET)));
    text
}

/// How the configuration names a secret: the service manager hands those of its store over.
fn secret(folder: &Path, name: &str) -> String {
    match folder == Path::new(CREDENTIAL_STORE) {
        true => quoted(&format!("$CREDENTIALS_DIRECTORY/{name}")),
        false => path(&folder.join(name)),
    }
}

fn path(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            control if control.is_control() => {
                // A String takes all that is written to it.
                let _ = write!(quoted, "\\u{:04X}", u32::from(control));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_answer_gets_out_of_its_quotes() {
        let nasty = "a\"\\\n]\u{7f}b";
        let table: toml::Table = toml::from_str(&format!("key = {}", quoted(nasty))).unwrap();
        assert_eq!(table["key"].as_str(), Some(nasty));
    }

    #[test]
    fn secrets_of_the_store_are_handed_over() {
        assert_eq!(secret(Path::new("/etc/credstore"), "x"), "\"$CREDENTIALS_DIRECTORY/x\"");
        assert_eq!(secret(Path::new("/srv"), "x"), "\"/srv/x\"");
    }
}
