// SPDX-License-Identifier: EUPL-1.2
//! Session descriptions as a browser writes and reads them, independent of the server's own.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use parvis_rtp::{Extension, ExtensionMap};

/// What a section carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Audio,
    Video,
    Data,
}

/// The payload types that a client offers, as Chromium numbers them: media, and its retransmissions.
pub(crate) const OPUS: u8 = 111;
pub(crate) const RED: u8 = 63;
pub(crate) const VP8: u8 = 96;
pub(crate) const VP8_RTX: u8 = 97;
pub(crate) const AV1: u8 = 45;
pub(crate) const AV1_RTX: u8 = 46;

/// Header extensions with the ids by which a client offers them: others than the server's.
const EXTENSIONS: [(u8, Extension, bool, bool); 7] = [
    (2, Extension::AudioLevel, true, false),
    (5, Extension::TransportSequence, true, true),
    (9, Extension::Mid, true, true),
    (6, Extension::Rid, false, true),
    (7, Extension::RepairedRid, false, true),
    (12, Extension::DependencyDescriptor, false, true),
    (13, Extension::PlayoutDelay, false, true),
];

/// One section of an offer of ours.
#[derive(Debug, Clone)]
pub(crate) struct Offered {
    pub(crate) kind: Kind,
    /// The track that we send in it, and the names of its layers; `None` to receive.
    pub(crate) sends: Option<(String, &'static [&'static str])>,
}

impl Offered {
    /// The codecs of pictures, each with its retransmissions: whoever sends layers of their own sends VP8, whoever sends them
    /// in one stream AV1.
    fn codecs(&self) -> &'static [[u8; 2]] {
        match &self.sends {
            None => &[[VP8, VP8_RTX], [AV1, AV1_RTX]],
            Some((_, [])) => &[[AV1, AV1_RTX]],
            Some(_) => &[[VP8, VP8_RTX]],
        }
    }
}

/// Our end of the transport.
#[derive(Debug, Clone)]
pub(crate) struct Local {
    pub(crate) ufrag: String,
    pub(crate) password: String,
    pub(crate) fingerprint: [u8; 32],
}

/// A description of the server's.
#[derive(Debug, Clone, Default)]
pub(crate) struct Remote {
    pub(crate) ufrag: String,
    pub(crate) password: String,
    pub(crate) fingerprint: [u8; 32],
    /// Its first candidate's.
    pub(crate) address: Option<SocketAddr>,
    pub(crate) sections: Vec<RemoteSection>,
}

/// One section of it.
#[derive(Debug, Clone)]
pub(crate) struct RemoteSection {
    line: String,
    pub(crate) kind: Option<Kind>,
    pub(crate) mid: String,
    pub(crate) live: bool,
    pub(crate) sends: bool,
    pub(crate) receives: bool,
    /// SSRC of media and of retransmissions.
    pub(crate) ssrcs: Vec<u32>,
    /// The track's id in its msid.
    pub(crate) track: Option<String>,
    /// Lines that an answer repeats: payload types, extensions.
    copied: Vec<String>,
    pub(crate) extensions: ExtensionMap,
    /// Redundant sound.
    pub(crate) red: Option<u8>,
    /// First payload type but that, and the one of its retransmissions.
    pub(crate) payload_type: Option<u8>,
    pub(crate) rtx: Vec<(u8, u8)>,
}

/// An offer of these sections, named by their place, with redundant sound or without it.
pub(crate) fn offer(local: &Local, version: u32, sections: &[Offered], red: bool) -> String {
    let mids: Vec<String> = (0..sections.len()).map(|place| place.to_string()).collect();
    let mut out = head(version, &mids);
    for (mid, section) in mids.iter().zip(sections) {
        let _ = match section.kind {
            Kind::Data => write!(out, "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n"),
            Kind::Audio if red => write!(out, "m=audio 9 UDP/TLS/RTP/SAVPF {OPUS} {RED}\r\n"),
            Kind::Audio => write!(out, "m=audio 9 UDP/TLS/RTP/SAVPF {OPUS}\r\n"),
            Kind::Video => {
                let types: Vec<String> = section.codecs().iter().flatten().map(u8::to_string).collect();
                write!(out, "m=video 9 UDP/TLS/RTP/SAVPF {}\r\n", types.join(" "))
            }
        };
        transport(&mut out, local, mid, "actpass");
        if section.kind == Kind::Data {
            out.push_str("a=sctp-port:5000\r\na=max-message-size:262144\r\n");
            continue;
        }
        let audio = section.kind == Kind::Audio;
        for (id, extension, in_audio, in_video) in EXTENSIONS {
            if (audio && in_audio) || (!audio && in_video) {
                let _ = write!(out, "a=extmap:{id} {}\r\n", extension.uri());
            }
        }
        out.push_str("a=rtcp-mux\r\na=rtcp-rsize\r\n");
        if audio {
            let _ = write!(
                out,
                "a=rtpmap:{OPUS} opus/48000/2\r\na=fmtp:{OPUS} minptime=10;useinbandfec=1\r\na=rtcp-fb:{OPUS} transport-cc\r\n"
            );
            if red {
                let _ = write!(out, "a=rtpmap:{RED} red/48000/2\r\na=fmtp:{RED} {OPUS}/{OPUS}\r\n");
            }
        } else {
            for [codec, rtx] in section.codecs() {
                let name = if *codec == AV1 { "AV1" } else { "VP8" };
                let _ = write!(out, "a=rtpmap:{codec} {name}/90000\r\n");
                for feedback in ["transport-cc", "ccm fir", "nack", "nack pli"] {
                    let _ = write!(out, "a=rtcp-fb:{codec} {feedback}\r\n");
                }
                let _ = write!(out, "a=rtpmap:{rtx} rtx/90000\r\na=fmtp:{rtx} apt={codec}\r\n");
            }
        }
        match &section.sends {
            None => out.push_str("a=recvonly\r\n"),
            Some((track, layers)) => {
                let _ = write!(out, "a=sendonly\r\na=msid:- {track}\r\n");
                for layer in *layers {
                    let _ = write!(out, "a=rid:{layer} send\r\n");
                }
                if !layers.is_empty() {
                    let _ = write!(out, "a=simulcast:send {}\r\n", layers.join(";"));
                }
            }
        }
    }
    out
}

/// The answer to an offer of the server's: everything that it sends is taken.
pub(crate) fn answer(local: &Local, version: u32, remote: &Remote) -> String {
    let live = remote.sections.iter().filter(|section| section.live);
    let mut out = head(version, &live.map(|section| section.mid.clone()).collect::<Vec<_>>());
    for section in &remote.sections {
        if !section.live {
            let _ = write!(out, "{}\r\na=mid:{}\r\na=inactive\r\n", section.line, section.mid);
            continue;
        }
        let _ = write!(out, "{}\r\n", section.line);
        transport(&mut out, local, &section.mid, "active");
        for line in &section.copied {
            let _ = write!(out, "{line}\r\n");
        }
        if section.kind == Some(Kind::Data) {
            out.push_str("a=sctp-port:5000\r\na=max-message-size:262144\r\n");
        } else {
            let direction = if section.sends { "recvonly" } else { "inactive" };
            let _ = write!(out, "a=rtcp-mux\r\na=rtcp-rsize\r\na={direction}\r\n");
        }
    }
    out
}

/// Reads a description of the server's.
pub(crate) fn parse(sdp: &str) -> Remote {
    let mut remote = Remote::default();
    for line in sdp.lines() {
        if let Some(rest) = line.strip_prefix("m=") {
            let kind = match rest.split(' ').next() {
                Some("audio") => Some(Kind::Audio),
                Some("video") => Some(Kind::Video),
                Some("application") => Some(Kind::Data),
                _ => None,
            };
            let words: Vec<&str> = rest.split(' ').collect();
            remote.sections.push(RemoteSection {
                line: line.to_owned(),
                kind,
                mid: String::new(),
                live: words.get(1) != Some(&"0"),
                sends: false,
                receives: false,
                ssrcs: Vec::new(),
                track: None,
                copied: Vec::new(),
                extensions: ExtensionMap::default(),
                red: None,
                payload_type: words.get(3).and_then(|word| word.parse().ok()),
                rtx: Vec::new(),
            });
            continue;
        }
        let Some(attribute) = line.strip_prefix("a=") else { continue };
        let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
        match name {
            "ice-ufrag" => remote.ufrag = value.to_owned(),
            "ice-pwd" => remote.password = value.to_owned(),
            "fingerprint" => {
                let digits = value.rsplit(' ').next().unwrap_or_default().split(':');
                for (byte, pair) in remote.fingerprint.iter_mut().zip(digits) {
                    *byte = u8::from_str_radix(pair, 16).unwrap_or_default();
                }
            }
            // Foundation, component, transport, priority, then what we want (RFC 8839 section 5.1).
            "candidate" if remote.address.is_none() => {
                let mut words = value.split(' ').skip(4);
                let ip = words.next().and_then(|ip| ip.parse().ok());
                let port = words.next().and_then(|port| port.parse().ok());
                remote.address = ip.zip(port).map(|(ip, port): (IpAddr, u16)| (ip, port).into());
            }
            _ => {}
        }
        let Some(section) = remote.sections.last_mut() else { continue };
        match name {
            "mid" => section.mid = value.to_owned(),
            "sendonly" => section.sends = true,
            "recvonly" => section.receives = true,
            "sendrecv" => (section.sends, section.receives) = (true, true),
            "msid" => section.track = value.split(' ').nth(1).map(str::to_owned),
            "ssrc" => {
                let ssrc = value.split(' ').next().and_then(|ssrc| ssrc.parse().ok());
                if let Some(ssrc) = ssrc.filter(|ssrc| !section.ssrcs.contains(ssrc)) {
                    section.ssrcs.push(ssrc);
                }
            }
            "extmap" => {
                let mut words = value.split(' ');
                let id = words.next().and_then(|id| id.split('/').next()?.parse().ok());
                let extension = words.next().and_then(Extension::from_uri);
                if let (Some(id), Some(extension)) = (id, extension) {
                    section.extensions.insert(id, extension);
                }
                section.copied.push(line.to_owned());
            }
            "rtpmap" => {
                let (payload_type, name) = value.split_once(' ').unwrap_or_default();
                let payload_type = payload_type.parse().ok();
                match name.split('/').next() {
                    Some("red") => section.red = payload_type,
                    Some("opus") => section.payload_type = payload_type,
                    _ => {}
                }
                section.copied.push(line.to_owned());
            }
            "rtcp-fb" => section.copied.push(line.to_owned()),
            "fmtp" => {
                let (rtx, rest) = value.split_once(' ').unwrap_or_default();
                let media = rest.strip_prefix("apt=").and_then(|media| media.parse().ok());
                if let (Some(media), Ok(rtx)) = (media, rtx.parse()) {
                    section.rtx.push((rtx, media));
                }
                section.copied.push(line.to_owned());
            }
            _ => {}
        }
    }
    remote
}

fn head(version: u32, mids: &[String]) -> String {
    format!(
        "v=0\r\no=- 77 {version} IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {}\r\n",
        mids.join(" ")
    )
}

fn transport(out: &mut String, local: &Local, mid: &str, setup: &str) {
    let _ = write!(
        out,
        "c=IN IP4 0.0.0.0\r\na=mid:{mid}\r\na=ice-ufrag:{}\r\na=ice-pwd:{}\r\na=fingerprint:sha-256 ",
        local.ufrag, local.password
    );
    for (place, byte) in local.fingerprint.iter().enumerate() {
        let colon = if place == 0 { "" } else { ":" };
        let _ = write!(out, "{colon}{byte:02X}");
    }
    let _ = write!(out, "\r\na=setup:{setup}\r\n");
}
