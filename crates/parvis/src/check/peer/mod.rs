// SPDX-License-Identifier: EUPL-1.2
//! Trying ports from outside: one machine asks ([`ask`]), another one that is elsewhere tries and says what it saw ([`answer`]).
//!
//! **The one invariant: nobody is made to send anything to a third.** Who answers tries only the address that the question came from, over a
//! connection of TCP, and only for who knows a secret that both were given; what is tried is one of three small things
//! ([`super::probe`]). There is no server that does this all the time: it is run by hand, for a while.
//!
//! Words go over the wire as lines of JSON. Who answers greets with a nonce; question and answer carry a MAC over it with the secret, so that
//! neither can be made up, changed or said again.

pub(crate) mod answer;
pub(super) mod ask;

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::probe::Probe;

/// The longest line either takes.
const MAX_LINE_BYTES: u64 = 16 << 10;
/// Ports that are tried for one question.
const MAX_PROBES: usize = 16;
/// Characters of a secret at least: `parvis key create` makes 64.
const MIN_SECRET_CHARS: usize = 32;
/// What a secret may be as a file.
const MAX_SECRET_BYTES: u64 = 4_096;

/// Who answers says this first.
#[derive(Debug, Serialize, Deserialize)]
struct Greeting {
    nonce: String,
    /// From where the other comes: what will be tried.
    seen_as: IpAddr,
}

/// Something that only who knows the secret can have said.
#[derive(Debug, Serialize, Deserialize)]
struct Sealed {
    mac: String,
    body: String,
}

/// What is to be tried.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    probes: Vec<Probe>,
}

/// What came of it, in the order of the question.
#[derive(Debug, Serialize, Deserialize)]
struct Reply {
    /// What the other's clock showed when it had read the question, in milliseconds since 1970.
    time_ms: u64,
    /// As it greeted: what was tried.
    seen_as: IpAddr,
    results: Vec<Outcome>,
}

/// What came of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Outcome {
    good: bool,
    seen: String,
}

/// Whose word it is: neither can be given back as the other's.
#[derive(Debug, Clone, Copy)]
enum Role {
    Asks,
    Answers,
}

/// What both were given.
pub(super) struct Secret(hmac::Key);

impl Secret {
    /// Reads it; the problem says what to do.
    pub(super) fn read(path: &Path) -> Result<Secret, String> {
        let read = || {
            let mut text = String::new();
            io::Read::read_to_string(
                &mut io::Read::take(std::fs::File::open(path)?, MAX_SECRET_BYTES),
                &mut text,
            )?;
            Ok::<_, io::Error>(text)
        };
        let text = read().map_err(|error| format!("{}: cannot be read: {error}", path.display()))?;
        let text = text.trim();
        match text.chars().count() {
            short if short < MIN_SECRET_CHARS => Err(format!(
                "{}: has {short} characters, a secret needs {MIN_SECRET_CHARS}; `parvis key create` makes one",
                path.display()
            )),
            _ => Ok(Secret(hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes()))),
        }
    }

    fn words(role: Role, nonce: &str, body: &str) -> Vec<u8> {
        let role = match role {
            Role::Asks => "parvis peer asks",
            Role::Answers => "parvis peer answers",
        };
        // None of the first two has a line break.
        format!("{role}\n{nonce}\n{body}").into_bytes()
    }

    fn seal(&self, role: Role, nonce: &str, said: &impl Serialize) -> io::Result<Sealed> {
        let body = serde_json::to_string(said)?;
        let mac = hmac::sign(&self.0, &Secret::words(role, nonce, &body));
        Ok(Sealed { mac: hex::encode(mac.as_ref()), body })
    }

    fn open<T: DeserializeOwned>(&self, role: Role, nonce: &str, sealed: &Sealed) -> Option<T> {
        let mac = hex::decode(&sealed.mac).ok()?;
        hmac::verify(&self.0, &Secret::words(role, nonce, &sealed.body), &mac).ok()?;
        serde_json::from_str(&sealed.body).ok()
    }
}

/// What is said of one port may get onto a terminal.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

async fn say(stream: &mut (impl AsyncWrite + Unpin), said: &impl Serialize) -> io::Result<()> {
    let line = serde_json::to_string(said)? + "\n";
    stream.write_all(line.as_bytes()).await
}

async fn hear<T: DeserializeOwned>(stream: &mut (impl AsyncBufRead + Unpin)) -> io::Result<T> {
    let mut line = String::new();
    let count = stream.take(MAX_LINE_BYTES).read_line(&mut line).await?;
    if count == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(serde_json::from_str(&line)?)
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Secret {
        Secret(hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes()))
    }

    #[test]
    fn what_was_said_is_believed_once_and_from_one_side() {
        let secret = of("one that both know");
        let question = Question { probes: vec![Probe::Tcp { port: 443 }] };
        let sealed = secret.seal(Role::Asks, "n1", &question).unwrap();
        let opened: Question = secret.open(Role::Asks, "n1", &sealed).unwrap();
        assert_eq!(opened.probes, question.probes);
        let opened =
            |role, nonce, sealed: &Sealed, by: &Secret| by.open::<Question>(role, nonce, sealed).is_some();
        assert!(!opened(Role::Asks, "n2", &sealed, &secret), "said again");
        assert!(!opened(Role::Answers, "n1", &sealed, &secret), "given back");
        assert!(!opened(Role::Asks, "n1", &sealed, &of("another one")));
        let changed = Sealed { body: sealed.body.replace("443", "444"), mac: sealed.mac };
        assert!(!opened(Role::Asks, "n1", &changed, &secret), "changed");
    }

    #[test]
    fn a_secret_that_is_short_or_not_there_is_told() {
        let path = std::env::temp_dir().join(format!("parvis-secret-{:016x}", rand::random::<u64>()));
        let problem = |path: &Path| Secret::read(path).err().unwrap();
        assert!(problem(&path).contains("cannot be read"));
        std::fs::write(&path, "short\n").unwrap();
        assert!(
            problem(&path).ends_with("has 5 characters, a secret needs 32; `parvis key create` makes one")
        );
        std::fs::write(&path, "0123456789abcdef0123456789abcdef\n").unwrap();
        assert!(Secret::read(&path).is_ok());
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn what_a_peer_says_does_no_harm_to_a_terminal() {
        assert_eq!(plain("open\x1b[2J\r\n"), "open[2J");
        assert_eq!(plain(&"x".repeat(1_000)).len(), 200);
    }
}
