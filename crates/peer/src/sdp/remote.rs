// SPDX-License-Identifier: EUPL-1.2
//! What the peer's description says, in the words of WebRTC.

use std::collections::BTreeSet;

use parvis_rtp::{Extension, Mid, Rid};

use super::collect::{Layers, PayloadTypes, Sources};
use super::reader::{Attribute, Text, TextSection};
use super::{Direction, Feedback, MediaKind, Msid, RemoteStream, SdpError, SdpLimits};

/// A peer's description, borrowed from its text.
#[derive(Debug)]
pub(super) struct Remote<'a> {
    /// The names in the first BUNDLE group, if there is one.
    pub(super) bundle: Option<BTreeSet<&'a str>>,
    /// `a=extmap-allow-mixed` for the whole.
    pub(super) allow_mixed: bool,
    pub(super) transport: Transport<'a>,
    pub(super) sections: Vec<RemoteSection<'a>>,
    /// How many lines were passed over for being beyond a limit.
    pub(super) ignored: u64,
}

/// One section of it.
#[derive(Debug)]
pub(super) struct RemoteSection<'a> {
    pub(super) line: usize,
    pub(super) media: &'a str,
    pub(super) protocol: &'a str,
    pub(super) formats: &'a str,
    pub(super) purpose: Purpose,
    /// Port 0 and not `a=bundle-only`: not used, or refused.
    pub(super) rejected: bool,
    pub(super) mid: Option<Mid>,
    /// As the peer sees it.
    pub(super) direction: Direction,
    pub(super) rtcp_mux: bool,
    pub(super) allow_mixed: bool,
    pub(super) transport: Transport<'a>,
    pub(super) codecs: Vec<RemoteCodec<'a>>,
    pub(super) extensions: Vec<RemoteExtension>,
    /// Layers that the peer sends, in its order.
    pub(super) rids: Vec<Rid>,
    pub(super) streams: Vec<RemoteStream>,
    pub(super) msid: Option<Msid>,
    pub(super) max_message_size: Option<u32>,
}

/// What a section is for, by its m-line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Media(MediaKind),
    Data,
    /// Something that we don't do.
    Foreign,
}

/// ICE and DTLS attributes, of a section or of the whole.
#[derive(Debug, Default)]
pub(super) struct Transport<'a> {
    pub(super) ufrag: Option<&'a str>,
    pub(super) password: Option<&'a str>,
    pub(super) fingerprint: Option<[u8; 32]>,
    pub(super) setup: Option<&'a str>,
}

/// One payload type.
#[derive(Debug)]
pub(super) struct RemoteCodec<'a> {
    pub(super) payload_type: u8,
    pub(super) name: &'a str,
    pub(super) clock_rate: u32,
    pub(super) channels: u8,
    pub(super) fmtp: &'a str,
    pub(super) feedback: Feedback,
}

/// One `a=extmap` whose URI we know.
#[derive(Debug, Clone, Copy)]
pub(super) struct RemoteExtension {
    pub(super) id: u8,
    pub(super) extension: Extension,
    /// The suffix of the id, as the peer sees it (RFC 8285 section 7).
    pub(super) direction: Direction,
}

impl<'a> Remote<'a> {
    pub(super) fn read(text: &Text<'a>, limits: &SdpLimits) -> Result<Remote<'a>, SdpError> {
        if text.sections.is_empty() {
            return Err(SdpError::Missing { what: "a media section", mid: String::new() });
        }
        let mut remote = Remote {
            bundle: None,
            allow_mixed: false,
            transport: Transport::default(),
            sections: Vec::with_capacity(text.sections.len()),
            ignored: 0,
        };
        let mut direction = Direction::SendRecv;
        for attribute in &text.attributes {
            match attribute.name {
                "group" if remote.bundle.is_none() => {
                    remote.bundle =
                        attribute.value.strip_prefix("BUNDLE").map(|mids| mids.split_whitespace().collect());
                }
                "extmap-allow-mixed" => remote.allow_mixed = true,
                name => {
                    if let Some(given) = parse_direction(name) {
                        direction = given;
                    } else {
                        remote.transport.read(attribute)?;
                    }
                }
            }
        }
        let mut mids = BTreeSet::new();
        for text in &text.sections {
            let section = RemoteSection::read(text, direction, limits, &mut remote.ignored)?;
            if let Some(mid) = section.mid.filter(|_| !section.rejected)
                && !mids.insert(mid)
            {
                let what = "two sections have this name; each a=mid has to be unique";
                return Err(SdpError::Mismatch { line: section.line, mid: mid.to_string(), what });
            }
            remote.sections.push(section);
        }
        Ok(remote)
    }

    /// Whether the section shares the one transport that we keep (RFC 9143).
    pub(super) fn is_bundled(&self, mid: Mid) -> bool {
        self.bundle.as_ref().is_some_and(|bundle| bundle.contains(mid.as_str()))
    }
}

impl<'a> RemoteSection<'a> {
    fn read(
        text: &TextSection<'a>,
        direction: Direction,
        limits: &SdpLimits,
        ignored: &mut u64,
    ) -> Result<RemoteSection<'a>, SdpError> {
        let mut section = RemoteSection {
            line: text.line,
            media: text.media,
            protocol: text.protocol,
            formats: text.formats,
            purpose: purpose(text),
            rejected: text.port == 0,
            mid: None,
            direction,
            rtcp_mux: false,
            allow_mixed: false,
            transport: Transport::default(),
            codecs: Vec::new(),
            extensions: Vec::new(),
            rids: Vec::new(),
            streams: Vec::new(),
            msid: None,
            max_message_size: None,
        };
        let mut payload_types = PayloadTypes::new(&mut section.codecs, section.purpose, text.formats);
        let mut layers = Layers::default();
        let mut sources = Sources::default();
        let mut candidates = 0;
        for attribute in &text.attributes {
            let value = attribute.value;
            match attribute.name {
                "mid" => section.mid = Mid::new(value),
                "bundle-only" => section.rejected = false,
                "rtcp-mux" => section.rtcp_mux = true,
                "extmap-allow-mixed" => section.allow_mixed = true,
                "rtpmap" => payload_types.map(value),
                "fmtp" => payload_types.parameters(value),
                "rtcp-fb" => payload_types.feedback(value),
                "extmap" => section.extensions.extend(parse_extension(value)),
                "rid" => layers.rid(value),
                "simulcast" => layers.simulcast(value),
                "ssrc" => sources.source(value),
                "ssrc-group" => sources.group(value),
                "msid" => section.msid = section.msid.or_else(|| parse_msid(value)),
                "max-message-size" => section.max_message_size = parse_message_size(value),
                "candidate" => {
                    candidates += 1;
                    if candidates > limits.candidates {
                        let what = "candidates in a section";
                        return Err(SdpError::Limit { what, limit: limits.candidates, line: attribute.line });
                    }
                }
                name => {
                    if let Some(given) = parse_direction(name) {
                        section.direction = given;
                    } else {
                        section.transport.read(attribute)?;
                    }
                }
            }
        }
        payload_types.finish();
        section.rids = layers.finish(limits.rids, ignored);
        section.streams = sources.finish(limits.streams, ignored);
        section.msid = section.msid.or(sources.msid);
        Ok(section)
    }
}

fn purpose(text: &TextSection<'_>) -> Purpose {
    // RFC 8829 section 5.1.2: every profile that ends so has to be taken.
    match text.media {
        "audio" if text.protocol.ends_with("RTP/SAVPF") => Purpose::Media(MediaKind::Audio),
        "video" if text.protocol.ends_with("RTP/SAVPF") => Purpose::Media(MediaKind::Video),
        "application"
            if matches!(text.protocol, "UDP/DTLS/SCTP" | "TCP/DTLS/SCTP")
                && text.formats == "webrtc-datachannel" =>
        {
            Purpose::Data
        }
        _ => Purpose::Foreign,
    }
}

impl<'a> Transport<'a> {
    fn read(&mut self, attribute: &Attribute<'a>) -> Result<(), SdpError> {
        let Attribute { line, name, value } = *attribute;
        // RFC 8839 section 5.4 has fewer characters; nobody is served by refusing '-' or '_'.
        let is_ice =
            |min| (min..=256).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_graphic());
        match name {
            "ice-ufrag" if is_ice(4) => self.ufrag = Some(value),
            "ice-pwd" if is_ice(22) => self.password = Some(value),
            "ice-ufrag" => {
                return Err(SdpError::Syntax {
                    line,
                    what: "an ICE user fragment has 4 to 256 visible characters",
                });
            }
            "ice-pwd" => {
                return Err(SdpError::Syntax {
                    line,
                    what: "an ICE password has 22 to 256 visible characters",
                });
            }
            "setup" => self.setup = Some(value),
            "fingerprint" => {
                let Some((hash, digits)) = value.split_once(' ') else {
                    return Err(SdpError::Syntax {
                        line,
                        what: "a fingerprint has to read `sha-256 AB:CD:…`",
                    });
                };
                // Other hashes may stand beside it (RFC 8122 section 5); it is the one that we check.
                if hash.eq_ignore_ascii_case("sha-256") {
                    self.fingerprint = parse_fingerprint(digits.trim());
                    if self.fingerprint.is_none() {
                        let what =
                            "a sha-256 fingerprint has 32 pairs of hexadecimal digits, parted by colons";
                        return Err(SdpError::Syntax { line, what });
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn parse_direction(name: &str) -> Option<Direction> {
    match name {
        "sendrecv" => Some(Direction::SendRecv),
        "sendonly" => Some(Direction::SendOnly),
        "recvonly" => Some(Direction::RecvOnly),
        "inactive" => Some(Direction::Inactive),
        _ => None,
    }
}

/// `<id>[/<direction>] <uri> [<attributes>]` (RFC 8285 section 5).
fn parse_extension(value: &str) -> Option<RemoteExtension> {
    let mut words = value.split_ascii_whitespace();
    let (id, uri) = (words.next()?, words.next()?);
    let (id, direction) = match id.split_once('/') {
        Some((id, direction)) => (id, parse_direction(direction)?),
        None => (id, Direction::SendRecv),
    };
    Some(RemoteExtension { id: id.parse().ok()?, extension: Extension::from_uri(uri)?, direction })
}

/// `<stream id> [<track id>]` (RFC 8830).
pub(super) fn parse_msid(value: &str) -> Option<Msid> {
    let mut words = value.split_ascii_whitespace();
    let stream = words.next()?.to_owned();
    Some(Msid { stream, track: words.next().unwrap_or_default().to_owned() })
}

/// RFC 8841 section 6: 0 is as much as one likes.
fn parse_message_size(value: &str) -> Option<u32> {
    let bytes: u64 = value.parse().ok()?;
    if bytes == 0 { Some(u32::MAX) } else { Some(u32::try_from(bytes).unwrap_or(u32::MAX)) }
}

fn parse_fingerprint(digits: &str) -> Option<[u8; 32]> {
    let mut fingerprint = [0; 32];
    let mut pairs = digits.split(':');
    for byte in &mut fingerprint {
        let is_hex = |pair: &&str| pair.len() == 2 && pair.bytes().all(|digit| digit.is_ascii_hexdigit());
        let pair = pairs.next().filter(is_hex)?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    pairs.next().is_none().then_some(fingerprint)
}
