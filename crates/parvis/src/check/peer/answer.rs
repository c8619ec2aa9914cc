// SPDX-License-Identifier: EUPL-1.2
//! `parvis peer`: tries ports for whoever asks and knows the secret, at the address that they ask from.

use std::io::{self, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::io::BufReader;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::super::probe::Probe;
use super::{Greeting, MAX_PROBES, Outcome, Question, Reply, Role, Sealed, Secret, hear, now_ms, plain, say};
use crate::{Problem, cli, runtime};

/// How long who connects may take to ask; nobody but who knows the secret is given more.
const ASK_WITHIN: Duration = Duration::from_secs(5);
/// How long all may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// Connections at one time; those beyond are closed at once.
const MAX_CONNECTIONS: usize = 8;
/// A rest after a connection could not be taken.
const REST: Duration = Duration::from_millis(100);

/// Answers until the time is over.
pub(crate) fn run(arguments: &cli::Peer) -> Result<(), Problem> {
    let secret = Arc::new(Secret::read(&arguments.secret)?);
    let patience = Duration::from_secs(u64::from(arguments.minutes) * 60);
    runtime()?.block_on(async {
        let listener = TcpListener::bind(arguments.listen)
            .await
            .map_err(|error| format!("cannot listen on {}: {error}", arguments.listen))?;
        tell(&format!("answers at {} for {} minutes", listener.local_addr()?, arguments.minutes));
        let counts = Arc::<Counts>::default();
        let _ = timeout(patience, serve(&listener, &secret, &counts)).await;
        let (asked, refused) = (counts.asked.load(Ordering::Relaxed), counts.refused.load(Ordering::Relaxed));
        tell(&format!("asked {asked} times; {refused} others were turned away"));
        Ok(())
    })
}

/// Says it to whoever still listens.
fn tell(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// Who came.
#[derive(Debug, Default)]
struct Counts {
    asked: AtomicU64,
    refused: AtomicU64,
}

async fn serve(listener: &TcpListener, secret: &Arc<Secret>, counts: &Arc<Counts>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok((stream, from)) = listener.accept().await else {
            sleep(REST).await;
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            counts.refused.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        let (secret, counts) = (Arc::clone(secret), Arc::clone(counts));
        tokio::spawn(async move {
            match timeout(ANSWER_WITHIN, converse(stream, from, &secret)).await {
                Ok(Ok(said)) => {
                    counts.asked.fetch_add(1, Ordering::Relaxed);
                    tell(&said);
                }
                // A stranger fills no terminal: it is only counted.
                Ok(Err(_)) | Err(_) => {
                    counts.refused.fetch_add(1, Ordering::Relaxed);
                }
            }
            drop(place);
        });
    }
}

/// Hears one question and answers it. Who does not know the secret hears nothing.
async fn converse(mut stream: TcpStream, from: SocketAddr, secret: &Secret) -> io::Result<String> {
    let nonce = hex::encode(rand::random::<[u8; 32]>());
    let (read, mut write) = stream.split();
    let mut read = BufReader::new(read);
    // A socket of both families writes an address of IPv4 as one of IPv6.
    let seen_as = from.ip().to_canonical();
    say(&mut write, &Greeting { nonce: nonce.clone(), seen_as }).await?;
    let sealed: Sealed =
        timeout(ASK_WITHIN, hear(&mut read)).await.map_err(|_| io::ErrorKind::TimedOut)??;
    let time_ms = now_ms();
    let question: Question =
        secret.open(Role::Asks, &nonce, &sealed).ok_or(io::ErrorKind::PermissionDenied)?;
    if question.probes.len() > MAX_PROBES {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let results = join_all(question.probes.iter().map(|probe| tried(probe, seen_as))).await;
    let good = results.iter().filter(|result| result.good).count();
    let said = format!("{seen_as}: {good} of {} answer", results.len());
    let reply = Reply { time_ms, seen_as, results };
    say(&mut write, &secret.seal(Role::Answers, &nonce, &reply)?).await?;
    Ok(said)
}

async fn tried(probe: &Probe, address: IpAddr) -> Outcome {
    match probe.at(address).await {
        Ok(seen) => Outcome { good: true, seen: plain(&seen) },
        Err(seen) => Outcome { good: false, seen: plain(&seen) },
    }
}

#[cfg(test)]
pub(in crate::check) mod tests {
    use std::net::Ipv4Addr;

    use aws_lc_rs::hmac;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    pub(in crate::check) fn secret() -> Arc<Secret> {
        Arc::new(Secret(hmac::Key::new(hmac::HMAC_SHA256, b"what both were given, and nobody else")))
    }

    /// Where one answers, until the test ends.
    pub(crate) async fn peer() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let at = listener.local_addr().unwrap();
        tokio::spawn(async move { serve(&listener, &secret(), &Arc::default()).await });
        at
    }

    #[tokio::test]
    async fn a_stranger_has_nothing_tried_and_hears_nothing() {
        let tried = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = tried.local_addr().unwrap().port();
        let other = Secret(hmac::Key::new(hmac::HMAC_SHA256, b"another one"));
        let mut stream = BufReader::new(TcpStream::connect(peer().await).await.unwrap());
        let Greeting { nonce, .. } = hear(&mut stream).await.unwrap();
        assert_eq!(nonce.len(), 64);
        let question = Question { probes: vec![Probe::Tcp { port }] };
        say(&mut stream, &other.seal(Role::Asks, &nonce, &question).unwrap()).await.unwrap();
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).await.unwrap();
        assert!(heard.is_empty(), "{}", String::from_utf8_lossy(&heard));
        let came = timeout(Duration::from_millis(50), tried.accept()).await;
        assert!(came.is_err(), "nothing was tried for a stranger");
    }

    #[tokio::test]
    async fn more_ports_than_may_be_are_tried_not_at_all() {
        let mut stream = BufReader::new(TcpStream::connect(peer().await).await.unwrap());
        let Greeting { nonce, .. } = hear(&mut stream).await.unwrap();
        let question = Question { probes: vec![Probe::Tcp { port: 9 }; MAX_PROBES + 1] };
        say(&mut stream, &secret().seal(Role::Asks, &nonce, &question).unwrap()).await.unwrap();
        assert!(hear::<Sealed>(&mut stream).await.is_err());
    }

    #[tokio::test]
    async fn strangers_that_stay_take_a_few_places_and_lines_without_an_end_are_not_read() {
        let at = peer().await;
        let mut held = Vec::new();
        for _ in 0..MAX_CONNECTIONS {
            let mut stream = BufReader::new(TcpStream::connect(at).await.unwrap());
            hear::<Greeting>(&mut stream).await.unwrap();
            held.push(stream);
        }
        let mut beyond = BufReader::new(TcpStream::connect(at).await.unwrap());
        assert!(hear::<Greeting>(&mut beyond).await.is_err(), "one more has no place");
        let first = &mut held[0];
        let _ = first.write_all(&vec![b'x'; 32 << 10]).await;
        let mut heard = Vec::new();
        let _ = first.read_to_end(&mut heard).await;
        assert!(heard.is_empty());
        // Its place is free again.
        for _ in 0..100 {
            let mut next = BufReader::new(TcpStream::connect(at).await.unwrap());
            if hear::<Greeting>(&mut next).await.is_ok() {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("the place stays taken");
    }
}
