// SPDX-License-Identifier: EUPL-1.2
//! Fragments of session descriptions: what trickle ICE and restarts carry over HTTP (RFC 8840 section 9, RFC 9725
//! section 4.3).

/// Lines that are read; a fragment of one section has ten and its candidates.
const MAX_LINES: usize = 256;
/// Candidates that are taken; browsers name five to twenty.
const MAX_CANDIDATES: usize = 64;
/// Characters of ICE credentials (RFC 8839 section 5.4).
const UFRAG_CHARS: std::ops::RangeInclusive<usize> = 4..=256;
const PASSWORD_CHARS: std::ops::RangeInclusive<usize> = 22..=256;

/// What a client's fragment says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Fragment {
    /// Its ICE credentials, user fragment and password.
    pub(super) credentials: Option<(String, String)>,
    /// Its candidates, each as `candidate:…`.
    pub(super) candidates: Vec<String>,
}

impl Fragment {
    /// Reads a fragment. Lines that say nothing about ICE are passed over; the error says what is wrong.
    pub(super) fn parse(text: &str) -> Result<Fragment, String> {
        let (mut ufrag, mut password) = (None, None);
        let mut candidates = Vec::new();
        for (number, line) in text.lines().map(str::trim_end).enumerate() {
            if number >= MAX_LINES {
                return Err(format!("it has more than {MAX_LINES} lines"));
            }
            let wrong = |what: &str| format!("line {}: {what}", number + 1);
            if line.is_empty() {
                continue;
            }
            let Some((kind, value)) = line.split_once('=').filter(|(kind, _)| kind.len() == 1) else {
                return Err(wrong("not of the form a=…"));
            };
            if kind != "a" {
                continue;
            }
            match value.split_once(':') {
                Some(("ice-ufrag", value)) => {
                    ufrag =
                        Some(credential(value, &UFRAG_CHARS).ok_or_else(|| wrong("no ICE user fragment"))?);
                }
                Some(("ice-pwd", value)) => {
                    password =
                        Some(credential(value, &PASSWORD_CHARS).ok_or_else(|| wrong("no ICE password"))?);
                }
                Some(("candidate", _)) if candidates.len() == MAX_CANDIDATES => {
                    return Err(wrong(&format!("more than {MAX_CANDIDATES} candidates")));
                }
                Some(("candidate", _)) => candidates.push(value.to_owned()),
                _ => {}
            }
        }
        let credentials = match (ufrag, password) {
            (Some(ufrag), Some(password)) => Some((ufrag, password)),
            // A trickled candidate may be sent with its user fragment alone (RFC 8838 section 4.3).
            _ => None,
        };
        Ok(Fragment { credentials, candidates })
    }
}

/// The part of our answer that a restart changes: credentials and candidates, in the first section.
pub(super) fn of_answer(sdp: &str) -> String {
    let mut fragment = String::new();
    let mut section: Option<&str> = None;
    let (mut session, mut media) = (Vec::new(), Vec::new());
    for line in sdp.lines() {
        if line.starts_with("m=") {
            if section.is_some() {
                break;
            }
            section = Some(line);
        }
        let ice =
            ["a=ice-", "a=candidate:", "a=end-of-candidates"].iter().any(|start| line.starts_with(start));
        if ice || line.starts_with("a=mid:") {
            if section.is_some() { media.push(line) } else { session.push(line) }
        }
    }
    for line in session.into_iter().chain(section).chain(media) {
        fragment.push_str(line);
        fragment.push_str("\r\n");
    }
    fragment
}

/// Names the ICE session of an answer: its user fragment, as an entity tag (RFC 9110 section 8.8.3).
pub(super) fn entity_tag(sdp: &str) -> Option<String> {
    let ufrag = sdp.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:"))?;
    Some(format!("\"{}\"", ufrag.trim_end()))
}

fn credential(value: &str, chars: &std::ops::RangeInclusive<usize>) -> Option<String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '-' | '_' | '=');
    (chars.contains(&value.len()) && value.chars().all(allowed)).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRICKLE: &str = "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n\
                           a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0\r\n\
                           a=end-of-candidates\r\n";

    #[test]
    fn a_fragment_gives_its_credentials_and_candidates() {
        let fragment = Fragment::parse(TRICKLE).unwrap();
        let (ufrag, password) = fragment.credentials.unwrap();
        assert_eq!((ufrag.as_str(), password.as_str()), ("EsAw", "P2uYro0UCOQ4zxjKXaWCBui1"));
        let candidate = "candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0";
        assert_eq!(fragment.candidates, [candidate]);
        assert_eq!(Fragment::parse("").unwrap(), Fragment::default());
    }

    #[test]
    fn what_is_no_fragment_is_refused_with_its_line() {
        for (text, problem) in [
            ("a=mid:0\r\nhello", "line 2: not of the form a=…"),
            ("a=ice-ufrag:abc", "line 1: no ICE user fragment"),
            ("a=ice-ufrag:ab\u{202e}cd", "line 1: no ICE user fragment"),
            ("a=ice-pwd:short", "line 1: no ICE password"),
            (&"a=x\n".repeat(257), "it has more than 256 lines"),
            (&"a=candidate:1\n".repeat(65), "line 65: more than 64 candidates"),
        ] {
            assert_eq!(Fragment::parse(text), Err(problem.to_owned()));
        }
    }

    #[test]
    fn of_an_answer_the_first_section_is_enough() {
        let answer = "v=0\r\na=ice-lite\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=ice-ufrag:ours\r\na=sendonly\r\n\
                      a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\n";
        let expected = "a=ice-lite\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=ice-ufrag:ours\r\n\
                        a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n";
        assert_eq!(of_answer(answer), expected);
        assert_eq!(entity_tag(answer).as_deref(), Some("\"ours\""));
        assert_eq!(entity_tag("v=0"), None);
    }
}
