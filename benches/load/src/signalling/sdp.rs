// SPDX-License-Identifier: EUPL-1.2
//! What dialogues do to our own descriptions.

/// An offer whose pictures are sent in layers that go by these names (RFC 8853 section 5). Their SSRCs go unsaid.
pub(super) fn with_layers(offer: &str, rids: &[&str]) -> String {
    if rids.is_empty() {
        return offer.to_owned();
    }
    let mut text = String::with_capacity(offer.len() + 128);
    let mut in_video = false;
    let finish = |text: &mut String| {
        for rid in rids {
            text.push_str(&format!("a=rid:{rid} send\r\n"));
        }
        text.push_str(&format!("a=simulcast:send {}\r\n", rids.join(";")));
    };
    for line in offer.lines() {
        if line.starts_with("m=") {
            if in_video {
                finish(&mut text);
            }
            in_video = line.starts_with("m=video");
        }
        if in_video && line.starts_with("a=ssrc") {
            continue;
        }
        text.push_str(line);
        text.push_str("\r\n");
    }
    if in_video {
        finish(&mut text);
    }
    text
}

/// One section of a description: its m-line and what follows it.
#[derive(Debug, Clone)]
pub(super) struct Section<'a> {
    lines: Vec<&'a str>,
}

impl<'a> Section<'a> {
    /// All sections, in order.
    pub(super) fn all(sdp: &'a str) -> Vec<Section<'a>> {
        let mut sections: Vec<Section<'a>> = Vec::new();
        for line in sdp.lines() {
            match sections.last_mut() {
                _ if line.starts_with("m=") => sections.push(Section { lines: vec![line] }),
                Some(section) => section.lines.push(line),
                None => {}
            }
        }
        sections
    }

    /// The m-line.
    pub(super) fn head(&self) -> &'a str {
        self.lines.first().copied().unwrap_or_default()
    }

    /// `audio`, `video` or another.
    pub(super) fn kind(&self) -> &'a str {
        self.head().trim_start_matches("m=").split(' ').next().unwrap_or_default()
    }

    /// The values of all attributes of this name, in order.
    pub(super) fn attributes<'b>(&'b self, name: &'b str) -> impl Iterator<Item = &'a str> + 'b {
        self.lines
            .iter()
            .filter_map(move |line| line.strip_prefix("a=")?.strip_prefix(name)?.strip_prefix(':'))
    }

    /// The value of the first one, where there is one.
    pub(super) fn attribute(&self, name: &str) -> Option<&'a str> {
        self.lines.iter().find_map(|line| line.strip_prefix("a=")?.strip_prefix(name)?.strip_prefix(':'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_named_in_the_section_of_pictures_alone() {
        let offer = "v=0\r\nm=audio 9\r\na=ssrc:1 cname:x\r\nm=video 9\r\na=ssrc-group:FID 2 3\r\na=ssrc:2 cname:x\r\n\
                     a=mid:1\r\nm=application 9\r\n";
        assert_eq!(
            with_layers(offer, &["q", "f"]),
            "v=0\r\nm=audio 9\r\na=ssrc:1 cname:x\r\nm=video 9\r\na=mid:1\r\na=rid:q send\r\na=rid:f send\r\n\
             a=simulcast:send q;f\r\nm=application 9\r\n"
        );
        assert_eq!(with_layers(offer, &[]), offer);
    }

    #[test]
    fn sections_are_read_apart() {
        let sdp = "v=0\r\na=mid:none\r\nm=audio 9 A 111\r\na=mid:0\r\nm=video 9 A 96\r\na=mid:1\r\na=ssrc:2 x\r\na=ssrc:3 y\r\n";
        let [sound, picture] = &Section::all(sdp)[..] else { panic!("two sections") };
        assert_eq!((sound.kind(), sound.attribute("mid")), ("audio", Some("0")));
        assert_eq!((picture.head(), picture.attribute("setup")), ("m=video 9 A 96", None));
        assert_eq!(picture.attributes("ssrc").collect::<Vec<_>>(), ["2 x", "3 y"]);
        assert!(Section::all("v=0").is_empty());
    }
}
