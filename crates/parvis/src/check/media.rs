// SPDX-License-Identifier: EUPL-1.2
//! Media's own ports. A port of media is silent to strangers, so somebody has to be expected there: a session is begun by WHIP, as a
//! studio's encoder would, and each address that its answer offers is asked as ICE asks, with the session's own password. Nothing is
//! sent, and the session ends with this.

use std::net::IpAddr;

use futures_util::future::join_all;
use parvis_signal::Grants;

use super::probe::Probe;
use super::reach::{Answer, Way};
use super::{Line, PATIENCE};
use crate::serve::Settings;

/// Addresses that are tried, of all that are offered.
const MAX_CANDIDATES: usize = 16;
/// What asks for the room's media is not expected to send any: the fingerprint is nobody's.
const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\na=ice-ufrag:self\r\n\
    a=ice-pwd:self-test-self-test-self\r\na=setup:actpass\r\na=fingerprint:sha-256 \
    00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F\r\n\
    m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=sendonly\r\na=rtcp-mux\r\n\
    a=rtpmap:111 opus/48000/2\r\na=msid:self sound\r\n";

/// An address where media is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Candidate {
    address: IpAddr,
    port: u16,
    tcp: bool,
}

/// Somebody whom media expects.
pub(super) struct Session {
    candidates: Vec<Candidate>,
    username: String,
    password: String,
    /// By what it is ended.
    location: String,
    token: String,
}

impl Session {
    /// Begins one.
    pub(super) async fn begin(settings: &Settings, way: &Way) -> Result<Session, String> {
        let room = format!("self-test-{:016x}", rand::random::<u64>());
        let token = settings
            .keys
            .issue(&room, &Grants::of("self-test"), PATIENCE * 6)
            .map_err(|error| error.to_string())?;
        let head = format!(
            "POST /whip/v1 HTTP/1.1\r\nAuthorization: Bearer {token}\r\nContent-Type: application/sdp\r\n"
        );
        let answer = way.ask(&head, OFFER).await?;
        if answer.status != 201 {
            return Err(format!("status {} for an offer of WHIP: {}", answer.status, answer.body.trim()));
        }
        Session::of(&answer, token).ok_or_else(|| "an answer to WHIP without credentials of ICE".to_owned())
    }

    fn of(answer: &Answer, token: String) -> Option<Session> {
        let line = |name: &str| answer.body.lines().find_map(|line| line.trim_end().strip_prefix(name));
        Some(Session {
            candidates: candidates(&answer.body),
            username: format!("{}:self", line("a=ice-ufrag:")?),
            password: line("a=ice-pwd:")?.to_owned(),
            location: answer.header("location")?.to_owned(),
            token,
        })
    }

    /// Ends it. It would end by itself too, as nobody comes.
    pub(super) async fn end(self, way: &Way) {
        let head = format!("DELETE {} HTTP/1.1\r\nAuthorization: Bearer {}\r\n", self.location, self.token);
        let _ = way.ask(&head, "").await;
    }

    /// What somebody may try who sees us at this address, each port once. Where it is not offered, a router stands for another one, and all
    /// ports may be meant.
    pub(super) fn probes(&self, seen_as: IpAddr) -> Vec<Probe> {
        let offered = self.candidates.iter().any(|candidate| candidate.address == seen_as);
        let meant = self.candidates.iter().filter(|candidate| !offered || candidate.address == seen_as);
        let mut ports: Vec<(bool, u16)> = meant.map(|candidate| (candidate.tcp, candidate.port)).collect();
        ports.sort_unstable();
        ports.dedup();
        ports.into_iter().map(|(tcp, port)| self.probe(port, tcp)).collect()
    }

    fn probe(&self, port: u16, tcp: bool) -> Probe {
        Probe::Media { port, tcp, username: self.username.clone(), password: self.password.clone() }
    }

    /// Tries each from here.
    pub(super) async fn lines(&self, way: &Way) -> Vec<Line> {
        let mut lines = Vec::new();
        for (what, tcp) in [("media (UDP)", false), ("media (TCP)", true)] {
            let offered: Vec<Candidate> =
                self.candidates.iter().copied().filter(|candidate| candidate.tcp == tcp).collect();
            if offered.is_empty() {
                lines.push(Line::skipped(what, "no address of it is offered"));
                continue;
            }
            let answers = join_all(offered.iter().map(|candidate| async move {
                (*candidate, self.probe(candidate.port, tcp).at(candidate.address).await)
            }));
            lines.push(judge(what, &answers.await, |address| way.is_here(address)));
        }
        lines
    }
}

/// What came of all: what nobody answers is a fault, unless a router that sends nothing back in may be why.
fn judge(
    what: &'static str,
    answers: &[(Candidate, Result<String, String>)],
    is_here: impl Fn(IpAddr) -> bool,
) -> Line {
    let tried = "asked each address that a session is offered, as ICE does";
    let place = |candidate: &Candidate| std::net::SocketAddr::new(candidate.address, candidate.port);
    let said = answers.iter().map(|(candidate, answer)| match answer {
        Ok(seen) => format!("{}: {seen}", place(candidate)),
        Err(problem) => format!("{}: {problem}", place(candidate)),
    });
    let seen = said.collect::<Vec<_>>().join("; ");
    let mut silent = answers.iter().filter(|(_, answer)| answer.is_err()).map(|(candidate, _)| candidate);
    match (silent.clone().count(), silent.any(|candidate| is_here(candidate.address))) {
        (0, _) => Line::good(what, tried, seen),
        (_, true) => Line::bad(
            what,
            tried,
            seen,
            "let media.udp_ports and media.tcp_port through the machine's own firewall; the log says what else",
        ),
        (_, false) => Line::poor(
            what,
            tried,
            seen,
            "the address is not this machine's: the router may send nothing back in. Have it tried from outside (--peer)",
        ),
    }
}

/// What a description offers, as far as it is an address.
fn candidates(sdp: &str) -> Vec<Candidate> {
    let lines = sdp.lines().filter_map(|line| line.trim_end().strip_prefix("a=candidate:"));
    let read = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        Some(Candidate {
            tcp: words.get(2)?.eq_ignore_ascii_case("tcp"),
            address: words.get(4)?.parse().ok()?,
            port: words.get(5)?.parse().ok()?,
        })
    };
    let mut candidates: Vec<Candidate> = lines.filter_map(read).take(MAX_CANDIDATES).collect();
    candidates.dedup();
    candidates
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    const SDP: &str = "v=0\r\na=ice-ufrag:abcd\r\na=ice-pwd:secret\r\n\
        a=candidate:1 1 udp 2130706431 192.0.2.7 7882 typ host generation 0\r\n\
        a=candidate:2 1 udp 2130706431 2001:db8::7 7882 typ host generation 0\r\n\
        a=candidate:3 1 tcp 1671430143 192.0.2.7 7881 typ host tcptype passive generation 0\r\n\
        a=candidate:4 1 udp 1 hidden.local 9 typ host\r\n";

    #[test]
    fn a_session_is_read_from_the_answer() {
        let head = "HTTP/1.1 201 Created\r\nlocation: /whip/v1/abc\r\n\r\n";
        let answer = Answer::read(format!("{head}{SDP}").as_bytes()).unwrap();
        let session = Session::of(&answer, "token".to_owned()).unwrap();
        assert_eq!(session.location, "/whip/v1/abc");
        assert_eq!(session.candidates.len(), 3, "a name is no address");
        let said = |seen_as: &str| {
            let probes = session.probes(seen_as.parse().unwrap());
            probes.iter().map(Probe::to_string).collect::<Vec<_>>().join(", ")
        };
        assert_eq!(said("192.0.2.7"), "7882/udp (media), 7881/tcp (media)");
        assert_eq!(said("2001:db8::7"), "7882/udp (media)", "that of this address alone");
        assert_eq!(said("198.51.100.1"), "7882/udp (media), 7881/tcp (media)", "each once");
        let Probe::Media { username, password, .. } = session.probe(1, false) else { panic!() };
        assert_eq!((username.as_str(), password.as_str()), ("abcd:self", "secret"));
        let bare = Answer::read(head.as_bytes()).unwrap();
        assert!(Session::of(&bare, String::new()).is_none());
    }

    #[test]
    fn a_port_that_is_silent_is_a_fault_of_this_machine_or_of_a_router() {
        let [first, other, _] = candidates(SDP)[..] else { panic!() };
        let good = [(first, Ok("it answers".to_owned())), (other, Ok("it answers".to_owned()))];
        let line = judge("media (UDP)", &good, |_| true);
        assert_eq!(line.state, State::Good);
        assert_eq!(line.seen, "192.0.2.7:7882: it answers; [2001:db8::7]:7882: it answers");
        let half = [(first, Ok("it answers".to_owned())), (other, Err("no answer in 5 s".to_owned()))];
        let line = judge("media (UDP)", &half, |address| address == other.address);
        assert_eq!(line.state, State::Bad, "it is this machine's");
        assert!(line.remedy.unwrap().contains("firewall"));
        let line = judge("media (UDP)", &half, |address| address == first.address);
        assert_eq!(line.state, State::Poor);
        assert!(line.seen.contains("[2001:db8::7]:7882: no answer in 5 s"), "{}", line.seen);
        assert!(line.remedy.unwrap().contains("--peer"));
    }
}
