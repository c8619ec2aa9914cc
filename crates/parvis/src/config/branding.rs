// SPDX-License-Identifier: EUPL-1.2
//! How the web client looks: `[branding]`.

use std::path::{Path, PathBuf};
use std::{fs, io::Read};

use parvis_api::{Branding as Look, Colour, Links, Logo};
use parvis_meeting::text;
use serde::{Deserialize, Serialize};

use super::Config;
use super::apply::Problem;

/// Characters of a name: it stands at the top of a page, and in a browser's tab.
const MAX_NAME_CHARS: usize = 64;
/// Characters of a link.
const MAX_LINK_CHARS: usize = 2_048;
/// The languages of the client: the official ones of the European Union (`crates/web/client/project.inlang/settings.json`).
const LANGUAGES: [&str; 24] = [
    "bg", "cs", "da", "de", "el", "en", "es", "et", "fi", "fr", "ga", "hr", "hu", "it", "lt", "lv", "mt",
    "nl", "pl", "pt", "ro", "sk", "sl", "sv",
];
/// A picture's file is read so far; what is larger is refused by its size.
const MAX_LOGO_READ: u64 = 1 << 20;

/// How the web client looks. What is empty is as it is built.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Branding {
    pub(crate) name: String,
    pub(crate) logo: PathBuf,
    pub(crate) accent: String,
    pub(crate) accent_dark: String,
    pub(crate) imprint: String,
    pub(crate) privacy: String,
    pub(crate) terms: String,
    pub(crate) accessibility: String,
    pub(crate) language: String,
}

impl Config {
    /// The look, checked, with the picture read. A relative path starts at `base`.
    pub(crate) fn look(&self, base: &Path) -> Result<Look, Problem> {
        let Branding { name, logo, accent, accent_dark, imprint, privacy, terms, accessibility, language } =
            &self.branding;
        let name = text::clean("name", name.trim(), MAX_NAME_CHARS)
            .map_err(|error| problem("name", &format!("{error}; choose another")))?;
        let accent = colour("accent", accent, Colour::on_light)?;
        let accent_dark = colour("accent_dark", accent_dark, Colour::on_dark)?;
        Ok(Look {
            name,
            logo: picture(logo, base)?,
            accent,
            accent_dark: accent_dark.or(accent.map(Colour::lightened)),
            links: Links {
                imprint: link("imprint", imprint)?,
                privacy: link("privacy", privacy)?,
                terms: link("terms", terms)?,
                accessibility: link("accessibility", accessibility)?,
            },
            language: known_language(language)?,
        })
    }
}

fn problem(key: &str, text: &str) -> Problem {
    (format!("branding.{key}"), text.to_owned())
}

fn colour<E: ToString>(
    key: &str,
    text: &str,
    fits: fn(Colour) -> Result<Colour, E>,
) -> Result<Option<Colour>, Problem> {
    if text.is_empty() {
        return Ok(None);
    }
    let colour: Colour =
        text.parse().map_err(|error: parvis_api::ColourError| problem(key, &error.to_string()))?;
    fits(colour).map(Some).map_err(|error| problem(key, &error.to_string()))
}

fn picture(path: &Path, base: &Path) -> Result<Option<Logo>, Problem> {
    if path.as_os_str().is_empty() {
        return Ok(None);
    }
    let path = base.join(path);
    let wrong = |text: &str| problem("logo", &format!("{} {text}", path.display()));
    let mut bytes = Vec::new();
    fs::File::open(&path)
        .and_then(|file| file.take(MAX_LOGO_READ).read_to_end(&mut bytes))
        .map_err(|error| wrong(&format!("cannot be read: {error}; name a file that the server can read")))?;
    Logo::new(bytes).map(Some).map_err(|error| wrong(&error.to_string()))
}

fn known_language(code: &str) -> Result<String, Problem> {
    if code.is_empty() || LANGUAGES.contains(&code) {
        return Ok(code.to_owned());
    }
    let all = LANGUAGES.join(", ");
    Err(problem("language", &format!("\"{code}\" is no language of the client; use one of {all}")))
}

/// A page that opens in a browser, over TLS.
fn link(key: &str, text: &str) -> Result<String, Problem> {
    if text.is_empty() {
        return Ok(String::new());
    }
    let wrong = |what: &str| {
        problem(key, &format!("\"{text}\" {what}; use one such as \"https://example.org/legal\""))
    };
    if text.chars().count() > MAX_LINK_CHARS {
        return Err(problem(
            key,
            &format!("it has more than {MAX_LINK_CHARS} characters; use a shorter link"),
        ));
    }
    let rest = text.strip_prefix("https://").ok_or_else(|| wrong("does not begin with https://"))?;
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if host.is_empty() || host.contains('@') {
        return Err(wrong("names no host, or a user"));
    }
    if text.chars().any(|character| {
        character.is_control() || character.is_whitespace() || "\"<>\\^`{|}".contains(character)
    }) {
        return Err(wrong("holds characters that no link has"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(change: impl FnOnce(&mut Branding)) -> Result<Look, Problem> {
        let mut config = Config::default();
        change(&mut config.branding);
        config.look(Path::new("/nonexistent"))
    }

    #[test]
    fn a_look_is_what_the_file_says_and_else_as_it_is_built() {
        assert_eq!(look(|_| {}), Ok(Look::default()));
        let said = look(|branding| {
            branding.name = " Visio ".into();
            branding.accent = "#7a1f3d".into();
            branding.privacy = "https://example.org/privacy?lang=fr".into();
            branding.language = "fr".into();
        });
        let said = said.unwrap();
        assert_eq!(
            (said.name.as_str(), said.links.privacy.as_str()),
            ("Visio", "https://example.org/privacy?lang=fr")
        );
        assert_eq!(said.accent.unwrap().to_string(), "#7a1f3d");
        assert_eq!(said.language, "fr");
        // On a dark page the same colour would not be seen.
        assert_ne!(said.accent_dark, said.accent);
        assert!(said.accent_dark.unwrap().on_dark().is_ok());
    }

    #[test]
    fn what_can_not_be_shown_is_refused_by_its_key() {
        let wrong = |change: fn(&mut Branding)| {
            let (key, problem) = look(change).unwrap_err();
            assert!(problem.contains("; "), "a remedy: {problem}");
            format!("{key}: {problem}")
        };
        for (said, expected) in [
            (wrong(|b| b.name = "x".repeat(65)), "branding.name: "),
            (
                wrong(|b| b.language = "French".into()),
                "branding.language: \"French\" is no language of the client; use one of bg, cs",
            ),
            (wrong(|b| b.logo = "mark.png".into()), "branding.logo: /nonexistent/mark.png cannot be read: "),
            (wrong(|b| b.accent = "blue".into()), "branding.accent: \"blue\" is no colour"),
            (
                wrong(|b| b.accent = "#ffff00".into()),
                "branding.accent: #ffff00 stands out from a light page by 1.1",
            ),
            (
                wrong(|b| b.accent_dark = "#000080".into()),
                "branding.accent_dark: #000080 stands out from a dark page",
            ),
            (
                wrong(|b| b.imprint = "http://example.org".into()),
                "branding.imprint: \"http://example.org\" does not begin",
            ),
            (
                wrong(|b| b.terms = "javascript:alert(1)".into()),
                "branding.terms: \"javascript:alert(1)\" does not begin",
            ),
            (wrong(|b| b.privacy = "https://".into()), "branding.privacy: \"https://\" names no host"),
            (wrong(|b| b.privacy = "https://me:you@example.org".into()), "branding.privacy: "),
            (wrong(|b| b.accessibility = "https://a.example/\"x".into()), "branding.accessibility: "),
            (
                wrong(|b| b.terms = format!("https://a/{}", "x".repeat(2_048))),
                "branding.terms: it has more than 2048",
            ),
        ] {
            assert!(said.starts_with(expected), "{said}\nis not\n{expected}");
        }
    }
}
