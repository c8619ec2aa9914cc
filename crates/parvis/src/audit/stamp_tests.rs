// SPDX-License-Identifier: EUPL-1.2
//! Time-stamps of an authority that is somebody else's program: `openssl ts` answers, and checks what is kept.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use parvis_audit::{Act, Authority, Event, StampError, Who, stamp_in, stamp_request, stamped_in};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::stamp::{StampPlace, StampSettings};
use super::tests::Home;
use super::{Audit, AuditSettings};

const CONFIG: &str = "[req]\ndistinguished_name = dn\nprompt = no\n[dn]\nCN = Times\n\
    [ca]\nbasicConstraints = critical, CA:TRUE\nkeyUsage = critical, keyCertSign\n\
    [stamps]\nbasicConstraints = CA:FALSE\nkeyUsage = critical, digitalSignature\nextendedKeyUsage = critical, timeStamping\n\
    [tsa]\nserial = serial\nsigner_cert = tsa.pem\nsigner_key = tsa.key\ndefault_policy = 1.2.3.4.1\n\
    digests = sha256\nsigner_digest = sha384\naccuracy = secs:1\nordering = yes\ntsa_name = yes\n\
    [unwilling]\nserial = serial\nsigner_cert = tsa.pem\nsigner_key = tsa.key\ndefault_policy = 1.2.3.4.1\n\
    digests = sha512\nsigner_digest = sha256\n";
const EC: [&str; 4] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];

fn openssl(home: &Path, arguments: &[&str]) -> (bool, String) {
    let done = Command::new("openssl").args(arguments).current_dir(home).output().unwrap();
    let said = [done.stdout, done.stderr].concat();
    (done.status.success(), String::from_utf8_lossy(&said).into_owned())
}

/// A CA in `ca.pem`, and an authority that it vouches for.
fn authority(home: &Path, key: &[&str]) {
    let must = |arguments: &[&str]| {
        let (good, said) = openssl(home, arguments);
        assert!(good, "openssl {arguments:?}: {said}");
    };
    std::fs::write(home.join("ts.cnf"), CONFIG).unwrap();
    let ca = ["req", "-config", "ts.cnf", "-x509", "-extensions", "ca", "-nodes", "-days", "2"];
    must(&[&ca, EC.as_slice(), &["-keyout", "ca.key", "-out", "ca.pem"]].concat());
    let asked = ["req", "-config", "ts.cnf", "-nodes", "-subj", "/CN=Stamps", "-keyout", "tsa.key"];
    must(&[&asked, key, &["-out", "tsa.csr"]].concat());
    let signed = ["x509", "-req", "-in", "tsa.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
    let rest = ["-days", "2", "-extfile", "ts.cnf", "-extensions", "stamps", "-out", "tsa.pem"];
    must(&[signed.as_slice(), &rest].concat());
}

/// What the authority answers.
fn reply(home: &Path, section: &str, asked: &[u8]) -> Vec<u8> {
    std::fs::write(home.join("asked"), asked).unwrap();
    let arguments = ["ts", "-reply", "-config", "ts.cnf", "-section", section];
    let (_, said) =
        openssl(home, &[arguments.as_slice(), &["-queryfile", "asked", "-out", "answer"]].concat());
    std::fs::read(home.join("answer")).unwrap_or_else(|_| panic!("{said}"))
}

/// How it behaves.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Manner {
    Good,
    Unwilling,
    Failing,
    Garbled,
    /// More than any stamp is.
    Endless,
    /// Says nothing.
    Slow,
    /// A stamp of another text.
    Other,
    /// The right text, another question.
    Old,
}

/// An authority on loopback, and where it is.
async fn serve(home: PathBuf, manner: Manner) -> StampPlace {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = StampPlace::parse(&format!("http://{}/tsa", listener.local_addr().unwrap())).unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap().to_lowercase();
            assert!(head.starts_with("post /tsa ") && head.contains("application/timestamp-query"), "{head}");
            let mut asked = vec![0; 69];
            stream.read_exact(&mut asked).await.unwrap();
            let (status, body) = match manner {
                Manner::Good => ("200 OK", reply(&home, "tsa", &asked)),
                Manner::Unwilling => ("200 OK", reply(&home, "unwilling", &asked)),
                Manner::Failing => ("503 Busy", Vec::new()),
                Manner::Garbled => ("200 OK", b"<html>".to_vec()),
                Manner::Endless => ("200 OK", vec![0x30; 1 << 20]),
                Manner::Slow => std::future::pending().await,
                Manner::Other => ("200 OK", reply(&home, "tsa", &stamp_request(b"other", 1))),
                Manner::Old => ("200 OK", reply(&home, "tsa", &stamp_request(b"note", 1))),
            };
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
            // Whoever asked may have gone, when it is too much.
            let _ = stream.write_all(&[head.as_bytes(), &body].concat()).await;
        }
    });
    place
}

fn settings(home: &Path, place: StampPlace) -> StampSettings {
    let (interval, timeout) = (Duration::from_millis(50), Duration::from_secs(5));
    StampSettings { place, interval, timeout, ca_file: home.join("ca.pem"), policy: "1.2.3.4.1".to_owned() }
}

#[tokio::test]
async fn only_a_stamp_that_was_asked_for_and_that_is_vouched_for_is_taken() {
    let home = Home::new();
    authority(&home.0, &EC);
    let trusted = settings(&home.0, StampPlace::parse("http://127.0.0.1").unwrap()).authority().unwrap();
    for (manner, expected) in [
        (Manner::Good, None),
        (Manner::Unwilling, Some("the authority refuses: status 02: ")),
        (Manner::Failing, Some("answers 503")),
        (Manner::Garbled, Some("it is no time-stamp as RFC 3161 has them: the answer is no sequence")),
        (Manner::Endless, Some("length limit exceeded")),
        (Manner::Slow, Some("no answer within 200ms")),
        (Manner::Other, Some("it is the time-stamp of something else")),
        (Manner::Old, Some("it answers another question")),
    ] {
        let mut settings = settings(&home.0, serve(home.0.clone(), manner).await);
        if manner == Manner::Slow {
            settings.timeout = Duration::from_millis(200);
        }
        let asked = settings.ask(&trusted, "note").await;
        match (expected, asked) {
            (None, Ok((_, stamp))) => assert_eq!(stamp.policy, "1.2.3.4.1"),
            (Some(expected), Err(problem)) => assert!(problem.contains(expected), "{manner:?}: {problem}"),
            (expected, asked) => panic!("{manner:?}: {asked:?}, not {expected:?}"),
        }
    }
}

#[test]
fn a_stamp_holds_for_its_text_its_policy_and_its_ca_alone() {
    for key in [EC.as_slice(), &["-newkey", "rsa:2048"]] {
        let home = Home::new();
        authority(&home.0, key);
        let pem = std::fs::read(home.0.join("ca.pem")).unwrap();
        let trusted = Authority::from_pem(&pem, "").unwrap();
        let token = stamp_in(&reply(&home.0, "tsa", &stamp_request(b"note", 7))).unwrap();
        let stamp = trusted.check(&token, b"note").unwrap();
        let now = super::now_ms() / 1_000;
        assert!((now - 60..=now).contains(&stamp.time), "{stamp:?}");
        assert_eq!(trusted.check(&token, b"nota"), Err(StampError::Other));
        let strict = Authority::from_pem(&pem, "1.2.3.4.2").unwrap().check(&token, b"note").unwrap_err();
        assert_eq!(strict.to_string(), "it was made under the policy 1.2.3.4.1, not under 1.2.3.4.2");
        // Whatever is changed in it, it never says something else.
        for at in (0..token.len()).step_by(7) {
            let mut changed = token.clone();
            changed[at] ^= 0x04;
            if let Ok(said) = trusted.check(&changed, b"note") {
                assert_eq!(said, stamp, "octet {at}");
            }
        }
        // A CA of the same name, with another key.
        let other = Home::new();
        authority(&other.0, &EC);
        let stranger = Authority::from_pem(&std::fs::read(other.0.join("ca.pem")).unwrap(), "").unwrap();
        assert!(matches!(stranger.check(&token, b"note"), Err(StampError::Untrusted(_))));
    }
    assert_eq!(Authority::from_pem(b"none", ""), Err(StampError::Ca("there is none")));
}

#[tokio::test]
async fn stamps_stand_beside_checkpoints_and_another_program_says_that_they_hold() {
    let home = Home::new();
    authority(&home.0, &EC);
    let store = home.store(parvis_store::StoreLimits::default()).await;
    let stamps = settings(&home.0, serve(home.0.clone(), Manner::Good).await);
    let settings = AuditSettings { stamps: Some(stamps), ..home.settings() };
    let audit = Audit::start(settings.clone(), &store, None).unwrap();
    audit.sink().record(Event::new("", Act::Check, Who::Operator));
    let kept = || std::fs::read_to_string(&settings.checkpoint_file).unwrap_or_default();
    tokio::time::timeout(Duration::from_secs(20), async {
        while stamped_in(&kept()).is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap();
    audit.close(Duration::from_secs(5)).await;
    let first = stamped_in(&kept()).remove(0);
    std::fs::write(home.0.join("note"), &first.note).unwrap();
    std::fs::write(home.0.join("token"), first.stamp.unwrap()).unwrap();
    let verify = ["ts", "-verify", "-data", "note", "-in", "token", "-token_in", "-CAfile", "ca.pem"];
    let (good, said) = openssl(&home.0, &verify);
    assert!(good && said.contains("Verification: OK"), "{said}");
    std::fs::write(home.0.join("note"), "another").unwrap();
    assert!(!openssl(&home.0, &verify).0, "it is over this note alone");
}

#[tokio::test]
async fn an_authority_that_is_away_is_counted_and_holds_nothing_up() {
    let home = Home::new();
    authority(&home.0, &EC);
    let store = home.store(parvis_store::StoreLimits::default()).await;
    let stamps = settings(&home.0, serve(home.0.clone(), Manner::Failing).await);
    let settings = AuditSettings { stamps: Some(stamps), ..home.settings() };
    let audit = Audit::start(settings.clone(), &store, None).unwrap();
    let failures = || {
        let figures = audit.figures()();
        let ours = figures.iter().find(|sample| sample.labels == [("place", "authority".to_owned())]);
        ours.unwrap().value
    };
    tokio::time::timeout(Duration::from_secs(20), async {
        while failures() < 2.0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap();
    audit.close(Duration::from_secs(5)).await;
    let kept = std::fs::read_to_string(&settings.checkpoint_file).unwrap();
    assert!(kept.contains("meet.example.eu/audit\n2\n") && stamped_in(&kept).is_empty(), "{kept}");
    // Without a CA whose word counts, it does not start.
    std::fs::write(home.0.join("ca.pem"), "nothing").unwrap();
    let refused = Audit::start(settings, &store, None).err().unwrap().to_string();
    assert!(refused.starts_with("audit.stamp_ca_file: ") && refused.contains("there is none"), "{refused}");
}
