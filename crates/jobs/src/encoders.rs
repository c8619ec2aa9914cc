// SPDX-License-Identifier: EUPL-1.2
//! What a worker says of encoders, as lines of what it logs: also before it has a control stream, and where it has none.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What such a line begins with.
const MARK: &str = "encoder: ";
/// The longest line that is read, in bytes, …
const MAX_LINE: usize = 1_024;
/// … and what of a reason is said, in characters: drivers are wordy.
const MAX_WHY: usize = 200;

/// Who does the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EncoderFamily {
    /// NVIDIA's encoder.
    Nvenc,
    /// Intel's and AMD's.
    Vaapi,
    /// The processor.
    Software,
}

impl EncoderFamily {
    /// All of them, in the order in which they are tried.
    pub const ALL: [EncoderFamily; 3] = [EncoderFamily::Nvenc, EncoderFamily::Vaapi, EncoderFamily::Software];

    /// As a configuration, a command line and metrics name it.
    pub fn name(self) -> &'static str {
        match self {
            EncoderFamily::Nvenc => "nvenc",
            EncoderFamily::Vaapi => "vaapi",
            EncoderFamily::Software => "software",
        }
    }
}

/// What became of an encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EncoderFate {
    /// It encodes.
    Chosen,
    /// It is there, and failed its trial.
    Refused,
    /// It failed in the middle of a job, and another one went on.
    Failed,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EncoderNote {
    /// What became of it.
    pub fate: EncoderFate,
    /// Who would do the work.
    pub family: EncoderFamily,
    /// The element.
    pub factory: String,
    /// Why, in words.
    pub why: String,
}

impl EncoderNote {
    /// The line, without its end.
    pub fn line(&self) -> String {
        let short = EncoderNote { why: self.why.chars().take(MAX_WHY).collect(), ..self.clone() };
        // Words and names are always JSON.
        format!("{MARK}{}", serde_json::to_string(&short).unwrap_or_default())
    }

    /// What a line says, if it is one of these.
    pub fn parse(line: &str) -> Option<EncoderNote> {
        let note = line.strip_prefix(MARK).filter(|_| line.len() <= MAX_LINE)?;
        serde_json::from_str(note).ok()
    }
}

impl fmt::Display for EncoderNote {
    /// For people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let EncoderNote { fate, family, factory, why } = self;
        let what = match fate {
            EncoderFate::Chosen => "encodes",
            EncoderFate::Refused => "is passed over",
            EncoderFate::Failed => "failed, and another one goes on",
        };
        write!(f, "{factory} ({}) {what}: {why}", family.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_a_line_for_programs_and_a_sentence_for_people() {
        let note = EncoderNote {
            fate: EncoderFate::Refused,
            family: EncoderFamily::Vaapi,
            factory: "vah264enc".to_owned(),
            why: "it failed its trial: no device".to_owned(),
        };
        assert_eq!(EncoderNote::parse(&note.line()), Some(note.clone()));
        assert_eq!(note.to_string(), "vah264enc (vaapi) is passed over: it failed its trial: no device");
        assert_eq!(EncoderNote::parse(&note.to_string()), None);
    }
}
