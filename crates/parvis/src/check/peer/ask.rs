// SPDX-License-Identifier: EUPL-1.2
//! Has a peer try our ports, and says what it saw.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::BufReader;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::super::media::Session;
use super::super::probe::Probe;
use super::super::reach::Way;
use super::super::{Line, PATIENCE};
use super::{Greeting, MAX_PROBES, Question, Reply, Role, Secret, hear, now_ms, plain, say};
use crate::cli;

/// How long a peer may take that tries: longer than it gives itself.
const ANSWER_WITHIN: Duration = Duration::from_secs(25);
/// So much may two clocks differ, beside what is the way's.
const APART_MS: u64 = 2_000;
const WHAT: &str = "from outside";
const WHAT_CLOCK: &str = "clock (peer)";

/// Has each tried, by each family of addresses that the peer has.
pub(in crate::check) async fn lines(
    arguments: &cli::Check,
    way: &Way,
    session: Option<&Session>,
) -> Vec<Line> {
    let Some(peer) = &arguments.peer else {
        return vec![Line::skipped(
            WHAT,
            "no peer is named; `parvis peer` on another machine is one, --peer names it here",
        )];
    };
    let tried = || format!("asked {peer} to try our ports");
    let Some(path) = &arguments.peer_secret else {
        return vec![Line::bad(
            WHAT,
            tried(),
            "no secret is named",
            "name with --peer-secret the file that the peer has too",
        )];
    };
    let secret = match Secret::read(path) {
        Ok(secret) => secret,
        Err(problem) => return vec![Line::bad(WHAT, tried(), problem, "give both the same file")],
    };
    let found = match timeout(PATIENCE, lookup_host(peer.as_str())).await {
        Ok(Ok(found)) => found.collect::<Vec<_>>(),
        Ok(Err(error)) => {
            return vec![Line::bad(
                WHAT,
                tried(),
                error.to_string(),
                "name the peer as NAME:PORT or ADDRESS:PORT",
            )];
        }
        Err(_) => {
            return vec![Line::bad(
                WHAT,
                tried(),
                "its name is not found in 10 s",
                "name the peer by its address",
            )];
        }
    };
    let plan = |seen_as: IpAddr| {
        let mut probes = vec![Probe::Tcp { port: way.port }];
        probes.extend(way.udp_relay.map(|port| Probe::Relay { port }));
        probes.extend(session.map(|session| session.probes(seen_as)).unwrap_or_default());
        probes.truncate(MAX_PROBES);
        probes
    };
    let mut lines = Vec::new();
    for family in [SocketAddr::is_ipv4, SocketAddr::is_ipv6] {
        if let Some(at) = found.iter().find(|at| family(at)) {
            lines.extend(of_one(*at, &secret, plan, |address| way.is_ours(address)).await);
        }
    }
    lines
}

/// What one address of the peer says. `plan` is what to try, by the address at which it sees us.
async fn of_one(
    at: SocketAddr,
    secret: &Secret,
    plan: impl Fn(IpAddr) -> Vec<Probe>,
    is_ours: impl Fn(IpAddr) -> bool,
) -> Vec<Line> {
    match timeout(ANSWER_WITHIN, converse(at, secret, plan)).await {
        Ok(Ok(told)) => judge(at, &told, is_ours),
        Ok(Err(error)) => {
            let remedy = match error.kind() {
                io::ErrorKind::UnexpectedEof
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::PermissionDenied => {
                    "see that both were given the same secret, and that the peer is no other program"
                }
                _ => "see that `parvis peer` still runs there, and that its port is open to this machine",
            };
            vec![Line::bad(WHAT, format!("asked {at} to try our ports"), error.to_string(), remedy)]
        }
        Err(_) => {
            let seen = format!("no answer in {} s", ANSWER_WITHIN.as_secs());
            let remedy = "see that `parvis peer` still runs there";
            vec![Line::bad(WHAT, format!("asked {at} to try our ports"), seen, remedy)]
        }
    }
}

/// What was asked, and what came of it.
struct Told {
    probes: Vec<Probe>,
    reply: Reply,
    /// By how much the other's clock is certainly not ours.
    apart_ms: u64,
}

/// Asks, and hears.
async fn converse(at: SocketAddr, secret: &Secret, plan: impl Fn(IpAddr) -> Vec<Probe>) -> io::Result<Told> {
    let connected = timeout(PATIENCE, TcpStream::connect(at)).await;
    let mut stream =
        connected.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no answer in 10 s"))??;
    let (read, mut write) = stream.split();
    let mut read = BufReader::new(read);
    let Greeting { nonce, seen_as } = hear(&mut read).await?;
    // It goes under our MAC: only what a nonce is made of.
    if nonce.len() > 128 || !nonce.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it does not speak as a peer does"));
    }
    let question = Question { probes: plan(seen_as) };
    let before = now_ms();
    say(&mut write, &secret.seal(Role::Asks, &nonce, &question)?).await?;
    let sealed = hear(&mut read).await?;
    let after = now_ms();
    let reply: Reply = secret
        .open(Role::Answers, &nonce, &sealed)
        .filter(|reply: &Reply| reply.seen_as == seen_as && reply.results.len() == question.probes.len())
        .ok_or_else(|| {
            io::Error::new(io::ErrorKind::PermissionDenied, "an answer that the secret does not fit")
        })?;
    let apart_ms = before.saturating_sub(reply.time_ms).max(reply.time_ms.saturating_sub(after));
    Ok(Told { probes: question.probes, reply, apart_ms })
}

fn judge(at: SocketAddr, told: &Told, is_ours: impl Fn(IpAddr) -> bool) -> Vec<Line> {
    let Told { probes, reply, apart_ms } = told;
    let seen_as = reply.seen_as;
    let mut lines: Vec<Line> = probes
        .iter()
        .zip(&reply.results)
        .map(|(probe, result)| {
            let tried = format!("had {at} try {probe} of {seen_as}");
            match result.good {
                true => Line::good(WHAT, tried, plain(&result.seen)),
                false => Line::bad(
                    WHAT,
                    tried,
                    plain(&result.seen),
                    "open it in every firewall between; behind a NAT forward it to this machine",
                ),
            }
        })
        .collect();
    if !is_ours(seen_as) {
        lines.push(Line::poor(
            WHAT,
            format!("compared {seen_as}, from where {at} sees us come, with what is offered"),
            "it is neither this machine's nor in media.node_ip",
            format!("if people reach this machine at {seen_as}, say so in media.node_ip"),
        ));
    }
    let tried = format!("compared our clock with that of {at}");
    lines.push(match *apart_ms {
        apart if apart <= APART_MS => Line::good(WHAT_CLOCK, tried, "they agree"),
        apart => Line::poor(
            WHAT_CLOCK,
            tried,
            format!("they differ by {} s", apart / 1_000),
            "see on both which one is right (timedatectl, chronyc tracking)",
        ),
    });
    lines
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::net::TcpListener;

    use super::super::super::State;
    use super::super::Outcome;
    use super::super::answer::tests::{peer, secret};
    use super::*;

    async fn asked(at: SocketAddr, probes: &[Probe]) -> Vec<Line> {
        of_one(at, &secret(), |_| probes.to_vec(), |address| address.is_loopback()).await
    }

    #[tokio::test]
    async fn a_peer_tries_each_port_and_an_open_one_is_told_from_a_shut_one() {
        let open = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let shut = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let [open_port, shut_port] = [&open, &shut].map(|listener| listener.local_addr().unwrap().port());
        drop(shut);
        let probes = [Probe::Tcp { port: open_port }, Probe::Tcp { port: shut_port }];
        let lines = asked(peer().await, &probes).await;
        let states: Vec<_> = lines.iter().map(|line| (line.what, line.state)).collect();
        assert_eq!(
            states,
            [(WHAT, State::Good), (WHAT, State::Bad), (WHAT_CLOCK, State::Good)],
            "{lines:#?}"
        );
        assert!(lines[0].tried.ends_with(&format!("try {open_port}/tcp of 127.0.0.1")), "{}", lines[0].tried);
        assert!(lines[1].seen.contains("refused"), "{}", lines[1].seen);
        assert!(lines[1].remedy.as_ref().unwrap().contains("firewall"));
        let (from, _) = open.accept().await.map(|(_, from)| (from.ip(), ())).unwrap();
        assert_eq!(from, IpAddr::from(Ipv4Addr::LOCALHOST), "it was really tried");
    }

    #[tokio::test]
    async fn a_peer_that_is_none_or_was_given_another_secret_is_told() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let at = listener.local_addr().unwrap();
        // It sends back what it is sent: what we said is no answer.
        let echo = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (read, mut write) = stream.split();
            say(&mut write, &Greeting { nonce: "00".repeat(32), seen_as: at.ip() }).await.unwrap();
            let said: super::super::Sealed = hear(&mut BufReader::new(read)).await.unwrap();
            say(&mut write, &said).await.unwrap();
        });
        let lines = asked(at, &[Probe::Tcp { port: 9 }]).await;
        assert_eq!((lines.len(), lines[0].state), (1, State::Bad));
        assert!(lines[0].seen.contains("the secret does not fit"), "{}", lines[0].seen);
        assert!(lines[0].remedy.as_ref().unwrap().contains("same secret"));
        echo.await.unwrap();
        let lines = asked(at, &[]).await;
        assert!(lines[0].remedy.as_ref().unwrap().contains("still runs"), "{lines:?}");
    }

    #[test]
    fn an_address_that_is_not_offered_and_a_clock_that_differs_are_told() {
        let reply = Reply {
            time_ms: 0,
            seen_as: "192.0.2.9".parse().unwrap(),
            results: vec![Outcome { good: true, seen: "it is open\x07".to_owned() }],
        };
        let at = "198.51.100.1:7890".parse().unwrap();
        let told = Told { probes: vec![Probe::Tcp { port: 443 }], reply, apart_ms: 3_600_000 };
        let lines = judge(at, &told, |_| false);
        assert_eq!(
            lines.iter().map(|line| line.state).collect::<Vec<_>>(),
            [State::Good, State::Poor, State::Poor]
        );
        assert_eq!(lines[0].seen, "it is open");
        assert!(lines[1].remedy.as_ref().unwrap().contains("192.0.2.9, say so in media.node_ip"));
        assert_eq!((lines[2].what, lines[2].seen.as_str()), (WHAT_CLOCK, "they differ by 3600 s"));
    }
}
