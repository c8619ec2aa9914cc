// SPDX-License-Identifier: EUPL-1.2
//! Texts that people will read: bounded, and free of what could deceive the reader (control characters forge log
//! lines, direction controls make "exe.txt" of "txt.exe").

use std::collections::BTreeMap;

use crate::MeetingError;

/// Checks a text that names something: an identity, a room. It is not changed, since two names must not become one.
pub fn check_name(what: &'static str, text: &str, limit_chars: usize) -> Result<(), MeetingError> {
    if text.is_empty() {
        return Err(MeetingError::Empty { what });
    }
    check_chars(what, text, limit_chars)?;
    match text.chars().find(|c| is_deceptive(*c)) {
        Some(character) => Err(MeetingError::DeceptiveText { what, character }),
        None => Ok(()),
    }
}

/// Checks the length of a text for display and takes out what could deceive.
pub fn clean(what: &'static str, text: &str, limit_chars: usize) -> Result<String, MeetingError> {
    check_chars(what, text, limit_chars)?;
    Ok(text.chars().filter(|c| !is_deceptive(*c)).collect())
}

/// The same for a text of several lines: their breaks stay, as `\n`, and what is blank around it all goes.
pub fn clean_lines(what: &'static str, text: &str, limit_chars: usize) -> Result<String, MeetingError> {
    check_chars(what, text, limit_chars)?;
    let text: String = text
        .replace("\r\n", "\n")
        .chars()
        .filter(|c| *c == '\n' || *c == '\t' || !is_deceptive(*c))
        .collect();
    Ok(text.trim().to_owned())
}

/// Checks the length of a text that only programs read.
pub fn check_bytes(what: &'static str, bytes: usize, limit: usize) -> Result<(), MeetingError> {
    if bytes > limit {
        return Err(MeetingError::TooLarge { what, actual: bytes, limit, unit: "bytes" });
    }
    Ok(())
}

/// Bytes of keys and values together.
pub fn attributes_bytes(attributes: &BTreeMap<String, String>) -> usize {
    attributes.iter().map(|(key, value)| key.len() + value.len()).sum()
}

fn check_chars(what: &'static str, text: &str, limit: usize) -> Result<(), MeetingError> {
    // A char has at most four bytes: a text that is too long by far is not walked through.
    let actual = if text.len() > limit.saturating_mul(4) { text.len() } else { text.chars().count() };
    if actual > limit {
        return Err(MeetingError::TooLarge { what, actual, limit, unit: "characters" });
    }
    Ok(())
}

fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{061C}' | '\u{200E}' | '\u{200F}' // direction marks
            | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' // embeddings, overrides, isolates
            | '\u{2028}' | '\u{2029}' // line and paragraph separators
            | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}') // byte order mark, interlinear annotations
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_46_direction_and_control_characters_do_not_reach_a_reader() {
        let evil = "Al\u{202E}ice\n\u{2066}\u{0}\u{200F}\u{85}";
        assert_eq!(clean("name", evil, 256).unwrap(), "Alice");
        for c in evil.chars().filter(|c| !c.is_ascii_alphabetic()) {
            let error = check_name("identity", &format!("a{c}b"), 256).unwrap_err();
            assert_eq!(error, MeetingError::DeceptiveText { what: "identity", character: c });
        }
    }

    #[test]
    fn row_46_a_text_of_several_lines_keeps_its_lines_and_nothing_else_that_is_not_seen() {
        let evil = " \n\tgo to\r\n\tinvoice\u{202E}fdp\u{2069}.exe\u{0}\u{2028}\r!\n\n";
        assert_eq!(clean_lines("text", evil, 256).unwrap(), "go to\n\tinvoicefdp.exe!");
        assert_eq!(clean_lines("text", "\u{200F}\r\n\u{7}\t ", 256).unwrap(), "");
        assert!(clean_lines("text", &"\n".repeat(257), 256).is_err(), "counted as they came");
    }

    #[test]
    fn names_of_every_script_and_joined_emoji_stay_as_they_are() {
        for name in ["Ελένη Παπαδοπούλου", "محمد", "Zoë 👩‍👩‍👧", "<b>Bobby</b> \"Tables\""]
        {
            assert_eq!(clean("name", name, 256).unwrap(), name);
            check_name("identity", name, 256).unwrap();
        }
    }

    #[test]
    fn length_is_counted_in_characters() {
        clean("name", &"é".repeat(256), 256).unwrap();
        let error = clean("name", &"é".repeat(257), 256).unwrap_err();
        assert_eq!(error.to_string(), "name has 257 characters, at most 256 are allowed");
        assert!(clean("name", &"a".repeat(10_000_000), 256).is_err());
        assert_eq!(check_name("identity", "", 256), Err(MeetingError::Empty { what: "identity" }));
    }
}
