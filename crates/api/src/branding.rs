// SPDX-License-Identifier: EUPL-1.2
//! How the web client looks for whoever runs the server: a name, a mark, a colour and links of their own.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use crate::picture::{self, Kind};

/// The largest mark, in bytes. It is sent with every first visit, and a good one has some thousand.
const MAX_LOGO_BYTES: usize = 256 << 10;
/// The longest side of a mark of pixels; it is shown at 30.
const MAX_LOGO_SIDE: u32 = 4_096;
/// How often parts of a drawn one may be used again. Uses of uses multiply: these many can make some hundred parts, a
/// few dozen would make millions.
const MAX_LOGO_USES: usize = 16;
/// The client's surfaces in daylight and in the dark (`crates/web/client/src/theme.css`).
const LIGHT_SURFACE: Colour = Colour([0xff, 0xff, 0xff]);
const DARK_SURFACE: Colour = Colour([0x1b, 0x1f, 0x28]);
/// What is written on a colour: the one of these that stands out more. One of both always does by 4.5 to 1.
const INKS: [Colour; 2] = [Colour([0xff, 0xff, 0xff]), Colour([0, 0, 0])];
/// How much what is pressed has to stand out from the page (WCAG 2.2, 1.4.11).
const MIN_CONTRAST: f64 = 3.0;

/// How the web client looks. What is not said is as it is built.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Branding {
    /// What it calls itself; empty for its own name.
    pub name: String,
    /// Its mark.
    pub logo: Option<Logo>,
    /// The colour of what is pressed, on a light page.
    pub accent: Option<Colour>,
    /// The same, on a dark page.
    pub accent_dark: Option<Colour>,
    /// Pages of whoever runs the server.
    pub links: Links,
    /// The language of those whose browser asks for none that the client has, as `fr`; empty for English.
    pub language: String,
}

/// Pages that the law or good custom asks for: `https://` URLs, or empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Links {
    /// Who runs the server.
    pub imprint: String,
    /// What becomes of personal data.
    pub privacy: String,
    /// On which terms it may be used.
    pub terms: String,
    /// How accessible it is.
    pub accessibility: String,
}

/// A picture that may be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Logo {
    bytes: bytes::Bytes,
    content_type: &'static str,
    etag: String,
}

/// Why a picture may not be shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogoError {
    /// It is too large.
    #[error("has {0} bytes, at most {MAX_LOGO_BYTES} are served; use a smaller picture")]
    TooLarge(usize),
    /// It has too many pixels, or none.
    #[error("has {0} by {1} pixels; use a picture of at most {MAX_LOGO_SIDE} by {MAX_LOGO_SIDE}")]
    Pixels(u32, u32),
    /// It is none that browsers show everywhere.
    #[error("is no PNG, JPEG, WebP or SVG picture; save it as one of these")]
    Unknown,
    /// It could do more than be looked at.
    #[error("is an SVG picture with {0} in it; save it without")]
    Active(&'static str),
    /// It could be many times what it seems.
    #[error(
        "is an SVG picture with {0} times <use in it, at most {MAX_LOGO_USES} are served; save it without"
    )]
    Uses(usize),
}

/// A colour, written as `#2456c9`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Colour([u8; 3]);

/// Why a colour is none of ours.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ColourError {
    /// It is written otherwise.
    #[error("\"{0}\" is no colour; use one as \"#2456c9\"")]
    Form(String),
    /// Who sees less well would not find what is pressed.
    #[error(
        "{colour} stands out from a {page} page by {contrast:.1} to 1, at least {MIN_CONTRAST} to 1 are needed \
         (WCAG 2.2, 1.4.11); use a {other} one"
    )]
    Faint {
        /// The colour.
        colour: Colour,
        /// Light or dark.
        page: &'static str,
        /// How much it stands out.
        contrast: f64,
        /// What would help.
        other: &'static str,
    },
}

impl Logo {
    /// Takes a picture by what it is, whatever its file was called.
    pub fn new(bytes: Vec<u8>) -> Result<Logo, LogoError> {
        if bytes.len() > MAX_LOGO_BYTES {
            return Err(LogoError::TooLarge(bytes.len()));
        }
        let content_type = content_type(&bytes)?;
        let etag = format!("\"{}\"", hex(&Sha256::digest(&bytes)[..16]));
        Ok(Logo { bytes: bytes.into(), content_type, etag })
    }

    pub(crate) fn bytes(&self) -> bytes::Bytes {
        self.bytes.clone()
    }

    pub(crate) fn content_type(&self) -> &'static str {
        self.content_type
    }

    /// The same for the same bytes (RFC 9110 section 8.8.3).
    pub(crate) fn etag(&self) -> &str {
        &self.etag
    }
}

fn content_type(bytes: &[u8]) -> Result<&'static str, LogoError> {
    if let Some(kind) = picture::kind(bytes) {
        let (width, height) = picture::size(kind, bytes).ok_or(LogoError::Unknown)?;
        let fits = |side: u32| (1..=MAX_LOGO_SIDE).contains(&side);
        if !fits(width) || !fits(height) {
            return Err(LogoError::Pixels(width, height));
        }
        return Ok(match kind {
            Kind::Png => "image/png",
            Kind::Jpeg => "image/jpeg",
            Kind::WebP => "image/webp",
        });
    }
    let text = std::str::from_utf8(bytes).map_err(|_| LogoError::Unknown)?.trim_start_matches('\u{feff}');
    let lower = text.trim_start().to_ascii_lowercase();
    if !["<svg", "<?xml", "<!--"].iter().any(|start| lower.starts_with(start)) || !lower.contains("<svg") {
        return Err(LogoError::Unknown);
    }
    // Browsers run nothing in a picture, and its answer is sandboxed; a mark needs none of this all the same. A picture within
    // it has a size of its own, which nobody reads here.
    let active = ["<script", "<!doctype", "<!entity", "<foreignobject", "<image", "<feimage"];
    if let Some(word) = active.into_iter().find(|word| lower.contains(word)) {
        return Err(LogoError::Active(word));
    }
    let uses = lower.matches("<use").count();
    if uses > MAX_LOGO_USES {
        return Err(LogoError::Uses(uses));
    }
    Ok("image/svg+xml")
}

impl fmt::Debug for Logo {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Logo { bytes, content_type, .. } = self;
        formatter.debug_tuple("Logo").field(content_type).field(&bytes.len()).finish()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Colour {
    /// This colour for a light page.
    pub fn on_light(self) -> Result<Colour, ColourError> {
        self.stands_out(LIGHT_SURFACE, "light", "darker")
    }

    /// This colour for a dark page.
    pub fn on_dark(self) -> Result<Colour, ColourError> {
        self.stands_out(DARK_SURFACE, "dark", "lighter")
    }

    fn stands_out(
        self,
        surface: Colour,
        page: &'static str,
        other: &'static str,
    ) -> Result<Colour, ColourError> {
        let contrast = self.contrast(surface);
        if contrast < MIN_CONTRAST {
            Err(ColourError::Faint { colour: self, page, contrast, other })
        } else {
            Ok(self)
        }
    }

    /// The same, made light enough for a dark page.
    pub fn lightened(self) -> Colour {
        // White itself stands out from it by 16 to 1.
        let mut steps = (0..=20_u16).map(|step| Colour(self.0.map(|part| lighten(part, step))));
        steps.find(|colour| colour.contrast(DARK_SURFACE) >= 4.5).unwrap_or(INKS[0])
    }

    /// What is written on it.
    pub(crate) fn ink(self) -> Colour {
        if self.contrast(INKS[0]) >= self.contrast(INKS[1]) { INKS[0] } else { INKS[1] }
    }

    /// The contrast ratio of WCAG 2.2: from 1 to 21.
    fn contrast(self, other: Colour) -> f64 {
        let (own, other) = (self.luminance(), other.luminance());
        (own.max(other) + 0.05) / (own.min(other) + 0.05)
    }

    /// The relative luminance of WCAG 2.2: from 0 to 1.
    fn luminance(self) -> f64 {
        let linear = |part: u8| {
            let part = f64::from(part) / 255.0;
            if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        };
        let [red, green, blue] = self.0.map(linear);
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }
}

/// A part of a colour, so many twentieths of the way to white.
fn lighten(part: u8, step: u16) -> u8 {
    let way = u16::from(u8::MAX - part) * step / 20;
    part.saturating_add(u8::try_from(way).unwrap_or(u8::MAX))
}

impl fmt::Display for Colour {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "#{}", hex(&self.0))
    }
}

impl fmt::Debug for Colour {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

impl FromStr for Colour {
    type Err = ColourError;

    fn from_str(text: &str) -> Result<Self, ColourError> {
        let digits = text
            .strip_prefix('#')
            .filter(|digits| digits.len() == 6 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let number = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let number = number.ok_or_else(|| ColourError::Form(text.to_owned()))?;
        let [_, red, green, blue] = number.to_be_bytes();
        Ok(Colour([red, green, blue]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::tests::{a_jpeg, a_png, a_webp};

    #[test]
    fn a_picture_is_told_by_what_it_is() {
        for (bytes, expected) in [
            (a_png(64, 64), "image/png"),
            (a_jpeg(64, 64), "image/jpeg"),
            (a_webp(64, 64), "image/webp"),
            (b"<svg xmlns='http://www.w3.org/2000/svg'/>".to_vec(), "image/svg+xml"),
            ("\u{feff}<?xml version='1.0'?>\n<!-- mark --><SVG/>".into(), "image/svg+xml"),
        ] {
            let logo = Logo::new(bytes.clone()).unwrap();
            assert_eq!(logo.content_type(), expected);
            assert_eq!(logo.etag(), Logo::new(bytes).unwrap().etag());
        }
        assert_ne!(Logo::new(a_png(1, 1)).unwrap().etag(), Logo::new(a_png(1, 2)).unwrap().etag());
    }

    #[test]
    fn what_is_no_picture_or_more_than_one_is_refused() {
        for bytes in [
            &b""[..],
            b"GIF89a",
            b"<html><svg/></html>",
            b"<?xml version='1.0'?><html/>",
            b"\x89PNG\r\n\x1a\n",
            b"\xff\xd8\xff\xe0",
            b"RIFF\x04\0\0\0WEBPVP8 ",
        ] {
            assert_eq!(Logo::new(bytes.to_vec()), Err(LogoError::Unknown), "{bytes:?}");
        }
        assert_eq!(Logo::new(a_png(0, 9)), Err(LogoError::Pixels(0, 9)));
        assert_eq!(Logo::new(a_png(9, 5_000)), Err(LogoError::Pixels(9, 5_000)));
        assert_eq!(Logo::new(vec![b' '; MAX_LOGO_BYTES + 1]), Err(LogoError::TooLarge(MAX_LOGO_BYTES + 1)));
        for foul in
            ["<svg><SCRIPT>x</SCRIPT></svg>", "<?xml?><!DOCTYPE svg><svg/>", "<svg><foreignObject/></svg>"]
        {
            assert!(matches!(Logo::new(foul.into()), Err(LogoError::Active(_))), "{foul}");
        }
    }

    #[test]
    fn row_62_a_mark_that_unpacks_to_more_than_it_is_worth_is_refused() {
        // Some dozen bytes that ask a browser for gigabytes.
        for (bytes, width, height) in [
            (a_png(65_535, 65_535), 65_535, 65_535),
            (a_png(u32::MAX, u32::MAX), u32::MAX, u32::MAX),
            (a_jpeg(65_500, 65_500), 65_500, 65_500),
            (a_webp(16_777_216, 16_777_216), 16_777_216, 16_777_216),
            // Its height comes after its data: nobody knows it before.
            (a_jpeg(9, 0), 9, 0),
        ] {
            assert_eq!(Logo::new(bytes), Err(LogoError::Pixels(width, height)));
        }
        let laughs: String = (0..10)
            .map(|level| {
                let uses = format!("<use href='#a{level}'/>").repeat(10);
                format!("<g id='a{}'>{uses}</g>", level + 1)
            })
            .collect();
        let drawn = |within: &str| Logo::new(format!("<svg><g id='a0'/>{within}</svg>").into_bytes());
        assert_eq!(drawn(&laughs), Err(LogoError::Uses(100)));
        assert!(drawn(&"<use href='#a0'/>".repeat(16)).is_ok(), "a mark of a few parts is served");
        assert_eq!(drawn("<image href='data:image/png;base64,AAAA'/>"), Err(LogoError::Active("<image")));
        let entities = "<?xml version='1.0'?><!DOCTYPE svg [<!ENTITY a 'ha'>]><svg>&a;</svg>";
        assert_eq!(Logo::new(entities.into()), Err(LogoError::Active("<!doctype")));
    }

    #[test]
    fn a_colour_is_six_digits_and_can_be_seen() {
        for wrong in ["", "#fff", "2456c9", "#2456c", "#2456cg", "#2456c9ff", "red", "# 2456c", "#+2456c"] {
            assert!(matches!(wrong.parse::<Colour>(), Err(ColourError::Form(_))), "{wrong}");
        }
        let colour = |text: &str| text.parse::<Colour>().unwrap();
        assert_eq!(colour("#2456C9").to_string(), "#2456c9");
        assert_eq!(colour("#2456c9").on_light(), Ok(colour("#2456c9")));
        let faint = colour("#ffe08a").on_light().unwrap_err().to_string();
        assert!(
            faint.starts_with("#ffe08a stands out from a light page by 1.3 to 1")
                && faint.ends_with("darker one"),
            "{faint}"
        );
        let faint = colour("#101010").on_dark().unwrap_err().to_string();
        assert!(faint.contains("a dark page") && faint.ends_with("use a lighter one"), "{faint}");
    }

    #[test]
    fn what_is_written_on_a_colour_can_be_read() {
        for text in [
            "#000000", "#2456c9", "#767676", "#777777", "#86aaff", "#ffe08a", "#ffffff", "#00ff00", "#c22b36",
        ] {
            let colour: Colour = text.parse().unwrap();
            assert!(colour.contrast(colour.ink()) >= 4.5, "{text}");
            let light = colour.lightened();
            assert!(light.on_dark().is_ok() && light.contrast(DARK_SURFACE) >= 4.5, "{text}: {light}");
        }
        // By the formula of WCAG 2.2: black on white is 21 to 1.
        assert!((INKS[0].contrast(INKS[1]) - 21.0).abs() < 1e-9);
    }
}
