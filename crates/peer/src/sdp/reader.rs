// SPDX-License-Identifier: EUPL-1.2
//! Lines of text to sections of attributes, in one pass and without a copy.
//!
//! Only `m=` lines and attributes matter to us. Whatever else a peer writes, known or not, is passed over: a description
//! is refused for what it lacks or for its size, never for a line that nobody here has heard of.

use super::{SdpError, SdpLimits};

/// A description as text: attributes of the whole, then its sections.
#[derive(Debug, Default)]
pub(super) struct Text<'a> {
    pub(super) attributes: Vec<Attribute<'a>>,
    pub(super) sections: Vec<TextSection<'a>>,
}

/// One `m=` line with the attributes below it.
#[derive(Debug)]
pub(super) struct TextSection<'a> {
    pub(super) line: usize,
    pub(super) media: &'a str,
    pub(super) port: u16,
    pub(super) protocol: &'a str,
    pub(super) formats: &'a str,
    pub(super) attributes: Vec<Attribute<'a>>,
}

/// `a=name` or `a=name:value`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attribute<'a> {
    pub(super) line: usize,
    pub(super) name: &'a str,
    pub(super) value: &'a str,
}

impl<'a> Text<'a> {
    pub(super) fn read(sdp: &'a str, limits: &SdpLimits) -> Result<Text<'a>, SdpError> {
        if sdp.len() > limits.bytes {
            return Err(SdpError::Limit { what: "bytes", limit: limits.bytes, line: 0 });
        }
        let mut text = Text::default();
        for (index, line) in sdp.split('\n').enumerate() {
            let number = index + 1;
            if number > limits.lines {
                return Err(SdpError::Limit { what: "lines", limit: limits.lines, line: number });
            }
            let line = line.strip_suffix('\r').unwrap_or(line);
            if line.len() > limits.line_bytes {
                return Err(SdpError::Limit {
                    what: "bytes in a line",
                    limit: limits.line_bytes,
                    line: number,
                });
            }
            if let Some(rest) = line.strip_prefix("m=") {
                if text.sections.len() == limits.sections {
                    return Err(SdpError::Limit {
                        what: "media sections",
                        limit: limits.sections,
                        line: number,
                    });
                }
                text.sections.push(TextSection::read(rest, number)?);
            } else if let Some(rest) = line.strip_prefix("a=") {
                if rest.bytes().any(|byte| byte.is_ascii_control()) {
                    continue;
                }
                let (name, value) = rest.split_once(':').unwrap_or((rest, ""));
                let attribute = Attribute { line: number, name: name.trim_end(), value: value.trim() };
                match text.sections.last_mut() {
                    Some(section) => section.attributes.push(attribute),
                    None => text.attributes.push(attribute),
                }
            } else if line.starts_with("v=") && line.trim_end() != "v=0" {
                return Err(SdpError::Syntax { line: number, what: "the version of SDP has to be 0" });
            }
        }
        Ok(text)
    }
}

impl<'a> TextSection<'a> {
    /// RFC 8866 section 5.14: `<media> <port>[/<number of ports>] <proto> <fmt> …`. Its words go back to the peer when
    /// we reject the section, so they have to be words.
    fn read(rest: &'a str, line: usize) -> Result<TextSection<'a>, SdpError> {
        let what = "an m-line has to read `m=<media> <port> <proto> <fmt> …`";
        let malformed = SdpError::Syntax { line, what };
        if rest.bytes().any(|byte| byte.is_ascii_control()) {
            return Err(malformed);
        }
        let mut words = rest.trim_end().splitn(4, ' ');
        let (Some(media), Some(port), Some(protocol), Some(formats)) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(malformed);
        };
        let port = port.split_once('/').map_or(port, |(first, _)| first);
        let Ok(port) = port.parse() else { return Err(malformed) };
        let formats = formats.trim_start();
        if media.is_empty() || protocol.is_empty() || formats.is_empty() {
            return Err(malformed);
        }
        Ok(TextSection { line, media, port, protocol, formats, attributes: Vec::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_belong_to_the_section_above_them_and_odd_lines_to_nobody() {
        let sdp = "v=0\r\na=group:BUNDLE 0\r\ny=what\r\n\r\nno equals sign\r\nm=audio 9/2 X/Y 1 2\r\nz=?\r\na=mid:0\n\
                   a=flag\r\na=bro\u{1}ken:1\r\n";
        let text = Text::read(sdp, &SdpLimits::default()).unwrap();
        assert_eq!(text.attributes.len(), 1);
        assert_eq!((text.attributes[0].line, text.attributes[0].name), (2, "group"));
        let section = &text.sections[0];
        assert_eq!((section.line, section.media, section.port), (6, "audio", 9));
        assert_eq!((section.protocol, section.formats), ("X/Y", "1 2"));
        let names: Vec<_> = section.attributes.iter().map(|a| (a.name, a.value)).collect();
        assert_eq!(names, [("mid", "0"), ("flag", "")]);
    }

    #[test]
    fn an_m_line_that_cannot_be_mirrored_is_refused_by_its_number() {
        for line in [
            "m=audio",
            "m=audio x RTP/SAVPF 0",
            "m=audio 9 RTP/SAVPF",
            "m=audio 70000 RTP/SAVPF 0",
            "m=  9 a b",
        ] {
            let error = Text::read(&format!("v=0\r\n{line}\r\n"), &SdpLimits::default()).unwrap_err();
            assert!(matches!(error, SdpError::Syntax { line: 2, .. }), "{line}: {error}");
        }
    }

    #[test]
    fn each_limit_is_named_when_it_is_hit() {
        let limits = SdpLimits { bytes: 100, lines: 5, line_bytes: 20, sections: 1, ..SdpLimits::default() };
        for (sdp, expected) in [
            ("a".repeat(101), "bytes"),
            ("\n".repeat(5), "lines"),
            ("a".repeat(21), "bytes in a line"),
            ("m=a 0 b c\nm=a 0 b c".to_owned(), "media sections"),
        ] {
            match Text::read(&sdp, &limits) {
                Err(SdpError::Limit { what, .. }) => assert_eq!(what, expected),
                other => panic!("{expected}: {other:?}"),
            }
        }
    }
}
