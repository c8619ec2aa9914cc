// SPDX-License-Identifier: EUPL-1.2
//! Candidates that the peer names. We never dial, so they are only checked (RFC 8839 section 5.1).

use std::net::IpAddr;

/// The longest candidate attribute, in bytes. Chromium's longest (server-reflexive, IPv6, network ids) has 250.
const MAX_CANDIDATE_BYTES: usize = 512;

/// Why a candidate was refused. The connection goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CandidateError {
    /// Not a candidate attribute.
    #[error("the candidate's {0} is missing or malformed; send the attribute as the browser gives it")]
    Syntax(&'static str),
    /// Longer than any honest one.
    #[error("the candidate has {bytes} bytes, at most {limit} are taken")]
    TooLong {
        /// Its bytes.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// As many as the limit allows came since the last description.
    #[error("more than {limit} candidates came for one description; send fewer")]
    TooMany {
        /// The limit.
        limit: usize,
    },
}

/// Checks the syntax of `candidate:foundation component transport priority address port typ type …`, with or without
/// `a=` before it. The empty candidate (end of candidates) is fine.
pub(crate) fn check_candidate(text: &str) -> Result<(), CandidateError> {
    if text.len() > MAX_CANDIDATE_BYTES {
        return Err(CandidateError::TooLong { bytes: text.len(), limit: MAX_CANDIDATE_BYTES });
    }
    let text = text.trim_end();
    let text = text.strip_prefix("a=").unwrap_or(text);
    if text.is_empty() || text == "end-of-candidates" {
        return Ok(());
    }
    let rest = text.strip_prefix("candidate:").ok_or(CandidateError::Syntax("prefix \"candidate:\""))?;
    if rest.is_empty() {
        return Ok(());
    }
    let mut words = rest.split(' ');
    let mut next = |what, fits: &dyn Fn(&str) -> bool| match words.next() {
        Some(word) if fits(word) => Ok(()),
        _ => Err(CandidateError::Syntax(what)),
    };
    let visible = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_graphic());
    next("foundation", &|word| visible(word) && word.len() <= 32)?;
    next("component", &|word| word.parse::<u16>().is_ok_and(|component| (1..=256).contains(&component)))?;
    next("transport", &visible)?;
    next("priority", &|word| word.parse::<u32>().is_ok())?;
    // Browsers hide host addresses behind names under `.local` (mDNS).
    next("address", &|word| word.parse::<IpAddr>().is_ok() || is_host_name(word))?;
    next("port", &|word| word.parse::<u16>().is_ok())?;
    next("\"typ\"", &|word| word == "typ")?;
    next("type", &visible)
}

fn is_host_name(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_of_browsers_are_taken() {
        for candidate in [
            "candidate:2 1 udp 2122260223 192.168.1.5 54321 typ host generation 0 ufrag abcd network-id 1",
            "a=candidate:1 1 UDP 2122252543 f3d2c1b0-0000-4000-8000-000000000001.local 61665 typ host",
            "candidate:3 1 tcp 1518280447 2001:db8::7 9 typ host tcptype active",
            "candidate:842163049 1 udp 1677729535 203.0.113.9 40000 typ srflx raddr 0.0.0.0 rport 0",
            "",
            "candidate:",
            "end-of-candidates",
        ] {
            assert_eq!(check_candidate(candidate), Ok(()), "{candidate}");
        }
    }

    #[test]
    fn what_is_no_candidate_is_refused_with_the_part_that_is_wrong() {
        for (candidate, part) in [
            ("hello", "prefix \"candidate:\""),
            ("candidate:1", "component"),
            ("candidate:1 0 udp 1 192.0.2.1 1 typ host", "component"),
            ("candidate:1 1 udp x 192.0.2.1 1 typ host", "priority"),
            ("candidate:1 1 udp 1 192.0.2.1;id 1 typ host", "address"),
            ("candidate:1 1 udp 1 192.0.2.1 70000 typ host", "port"),
            ("candidate:1 1 udp 1 192.0.2.1 7 host", "\"typ\""),
        ] {
            assert_eq!(check_candidate(candidate), Err(CandidateError::Syntax(part)), "{candidate}");
        }
        let long = format!("candidate:{}", "1".repeat(600));
        assert_eq!(check_candidate(&long), Err(CandidateError::TooLong { bytes: 610, limit: 512 }));
    }
}
