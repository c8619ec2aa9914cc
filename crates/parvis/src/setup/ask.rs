// SPDX-License-Identifier: EUPL-1.2
//! What flags said, what can be found out, and what only people know.

use std::io::{BufRead, IsTerminal, Write};
use std::net::{IpAddr, ToSocketAddrs};
use std::path::PathBuf;

use super::{Answers, Certificate};
use crate::{Problem, cli};

/// A free authority that most browsers trust; any other one that speaks ACME is named by --acme.
const AUTHORITY: &str = "https://acme-v02.api.letsencrypt.org/directory";
/// The longest answer that is read.
const MAX_ANSWER_BYTES: u64 = 4_096;

/// Puts all answers together. `local` are this machine's addresses.
pub(super) fn answers(arguments: &cli::Setup, local: &[IpAddr]) -> Result<Answers, Problem> {
    let stdin = std::io::stdin();
    let mut people = stdin.is_terminal().then(|| stdin.lock());
    let people = people.as_mut().map(|lines| lines as &mut dyn BufRead);
    let resolved = |host: &str| {
        let addresses = (host, 443).to_socket_addrs().map(|found| found.map(|at| at.ip()).collect());
        addresses.unwrap_or_default()
    };
    gather(arguments, local, people, resolved)
}

fn gather(
    arguments: &cli::Setup,
    local: &[IpAddr],
    mut people: Option<&mut dyn BufRead>,
    resolved: impl Fn(&str) -> Vec<IpAddr>,
) -> Result<Answers, Problem> {
    let host = host(&arguments.host)?;
    let certificate = certificate(arguments, &mut people)?;
    let addresses: Vec<IpAddr> = match arguments.address.is_empty() {
        false => arguments.address.clone(),
        true => local.iter().copied().filter(|address| !address.is_loopback()).collect(),
    };
    if let Some(foreign) = addresses.iter().find(|address| !local.contains(address)) {
        return Err(format!("--address: {foreign} is no address of this machine").into());
    }
    let first = *addresses
        .first()
        .ok_or("this machine has no address but its own loopback; name one with --address")?;
    let public = match arguments.public_address {
        Some(public) if local.contains(&public) => None,
        Some(public) => Some((public, same_family(public, &addresses).unwrap_or(first))),
        None if addresses.iter().copied().any(is_public) => None,
        // Nobody outside reaches a private address.
        None => {
            let found = resolved(&host).into_iter().find(|address| is_public(*address));
            let question = "All addresses of this machine are private. Under which public address do people reach it (empty: \
                            only people of this network do)?";
            let said = match &mut people {
                Some(people) => {
                    ask(&mut **people, question, found.map(|found| found.to_string()).as_deref())?
                }
                None => found.map(|found| found.to_string()).unwrap_or_default(),
            };
            match said.as_str() {
                "" => None,
                said => {
                    let public = said.parse().map_err(|_| format!("\"{said}\" is no address"))?;
                    Some((public, same_family(public, &addresses).unwrap_or(first)))
                }
            }
        }
    };
    // Where one address is offered in place of another, the others are told to nobody.
    let addresses = match public {
        Some((_, bound)) => vec![bound],
        None => addresses,
    };
    Ok(Answers {
        host,
        certificate,
        addresses,
        public,
        data: arguments.data.clone(),
        secrets: arguments.secrets.clone(),
        recipients: arguments.record_for.clone(),
    })
}

fn certificate(
    arguments: &cli::Setup,
    people: &mut Option<&mut dyn BufRead>,
) -> Result<Certificate, Problem> {
    let contact = arguments.email.as_ref().map(|address| format!("mailto:{address}"));
    if let Some(proxy) = arguments.behind_proxy {
        return Ok(Certificate::Proxy(proxy));
    }
    if let (Some(certificate), Some(key)) = (&arguments.certificate, &arguments.key) {
        return files(certificate.clone(), key.clone());
    }
    if let Some(directory) = &arguments.acme {
        return Ok(Certificate::Authority { directory: directory.clone(), contact });
    }
    let Some(people) = people else {
        return Err("where does the certificate come from? Say --acme DIRECTORY, or --certificate FILE --key FILE, or \
                    --behind-proxy ADDRESS"
            .into());
    };
    let chain = ask(
        &mut **people,
        "Certificate: the file of your own chain (PEM), or empty for one from an authority by ACME?",
        None,
    )?;
    if !chain.is_empty() {
        let key = ask(&mut **people, "The file of its private key (PEM)?", None)?;
        return files(chain.into(), key.into());
    }
    let directory = ask(&mut **people, "The authority's directory?", Some(AUTHORITY))?;
    Ok(Certificate::Authority { directory, contact })
}

fn files(certificate: PathBuf, key: PathBuf) -> Result<Certificate, Problem> {
    for path in [&certificate, &key] {
        std::fs::metadata(path).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    // The configuration lies elsewhere.
    Ok(Certificate::Files { certificate: certificate.canonicalize()?, key: key.canonicalize()? })
}

/// A name of the DNS, in lower case.
fn host(said: &str) -> Result<String, Problem> {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let labels: Vec<&str> = said.split('.').collect();
    let numeric = labels.last().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    if said.len() > 253 || labels.len() < 2 || numeric || !labels.into_iter().all(is_label) {
        return Err(format!("\"{said}\" is no host's name; use one such as meet.example.eu").into());
    }
    Ok(said.to_ascii_lowercase())
}

/// Whether others on the Internet may reach an address.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let shared = v4.octets()[0] == 100 && (64..128).contains(&v4.octets()[1]);
            !(v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_unspecified() || shared)
        }
        IpAddr::V6(v6) => {
            let unique_local = v6.segments()[0] & 0xfe00 == 0xfc00;
            !(unique_local || v6.is_loopback() || v6.is_unspecified() || v6.is_unicast_link_local())
        }
    }
}

fn same_family(public: IpAddr, addresses: &[IpAddr]) -> Option<IpAddr> {
    addresses.iter().copied().find(|address| address.is_ipv4() == public.is_ipv4())
}

/// Asks a question; an empty answer is what is proposed.
fn ask(people: &mut dyn BufRead, question: &str, proposed: Option<&str>) -> Result<String, Problem> {
    match proposed {
        Some(proposed) => print!("{question} [{proposed}] "),
        None => print!("{question} "),
    }
    std::io::stdout().flush()?;
    let mut answer = String::new();
    std::io::Read::take(people, MAX_ANSWER_BYTES).read_line(&mut answer)?;
    let answer = answer.trim();
    Ok(if answer.is_empty() { proposed.unwrap_or_default().to_owned() } else { answer.to_owned() })
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use clap::Parser;

    use super::*;

    fn arguments(line: &str) -> cli::Setup {
        let words = ["parvis", "setup"].into_iter().chain(line.split_whitespace());
        match cli::Cli::try_parse_from(words).unwrap().command {
            cli::Command::Setup(setup) => *setup,
            other => panic!("{other:?}"),
        }
    }

    fn local(addresses: &[&str]) -> Vec<IpAddr> {
        addresses.iter().map(|address| address.parse().unwrap()).collect()
    }

    fn nobody(line: &str, addresses: &[&str]) -> Result<Answers, String> {
        gather(&arguments(line), &local(addresses), None, |_| Vec::new())
            .map_err(|problem| problem.to_string())
    }

    #[test]
    fn a_public_machine_asks_for_nothing_but_the_certificate() {
        let answers =
            nobody("Meet.Example.eu --acme https://a.example/d", &["127.0.0.1", "192.0.2.7"]).unwrap();
        assert_eq!(answers.host, "meet.example.eu");
        assert_eq!((answers.addresses, answers.public), (local(&["192.0.2.7"]), None));
        let refused = nobody("meet.example.eu", &["192.0.2.7"]).unwrap_err();
        assert!(refused.contains("--acme") && refused.contains("--behind-proxy"), "{refused}");
    }

    #[test]
    fn behind_a_nat_the_name_says_which_address_is_offered() {
        let setup = arguments("meet.example.eu --acme https://a.example/d");
        let machine = local(&["10.0.0.5", "10.0.1.5"]);
        let answers = gather(&setup, &machine, None, |_| local(&["10.0.0.5", "203.0.113.7"])).unwrap();
        assert_eq!(answers.public, Some(("203.0.113.7".parse().unwrap(), machine[0])));
        assert_eq!(answers.addresses, [machine[0]]);
        // Who is asked says something else.
        let mut said = Cursor::new("203.0.113.9\n");
        let answers = gather(&setup, &machine, Some(&mut said), |_| local(&["203.0.113.7"])).unwrap();
        assert_eq!(answers.public.unwrap().0.to_string(), "203.0.113.9");
        let answers = nobody("meet.example.eu --acme https://a.example/d", &["10.0.0.5"]).unwrap();
        assert_eq!(answers.public, None, "a network of one's own");
    }

    #[test]
    fn people_choose_an_authority_by_saying_nothing() {
        let mut said = Cursor::new("\n\n");
        let setup = arguments("meet.example.eu --email ada@example.eu");
        let answers = gather(&setup, &local(&["192.0.2.7"]), Some(&mut said), |_| Vec::new()).unwrap();
        let expected = Certificate::Authority {
            directory: AUTHORITY.to_owned(),
            contact: Some("mailto:ada@example.eu".to_owned()),
        };
        assert_eq!(answers.certificate, expected);
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_to_do() {
        for (line, part) in [
            ("localhost --acme https://a.example/d", "no host's name"),
            ("192.0.2.7 --acme https://a.example/d", "no host's name"),
            ("a..b --acme https://a.example/d", "no host's name"),
            ("meet.example.eu --certificate /nowhere.pem --key /nowhere.key", "/nowhere.pem"),
            ("meet.example.eu --acme https://a.example/d --address 192.0.2.99", "no address of this machine"),
        ] {
            let refused = nobody(line, &["192.0.2.7"]).unwrap_err();
            assert!(refused.contains(part), "{line}: {refused}");
        }
        assert!(nobody("meet.example.eu --acme https://a.example/d", &["127.0.0.1"]).is_err());
    }
}
