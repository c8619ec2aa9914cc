// SPDX-License-Identifier: EUPL-1.2
//! What workers say of encoders, among other lines of their log.
#![allow(clippy::unwrap_used, reason = "a test")]

use parvis_jobs::{EncoderFamily, EncoderFate, EncoderNote};

#[test]
fn a_note_is_one_line_and_other_lines_are_none() {
    let note = EncoderNote {
        fate: EncoderFate::Refused,
        family: EncoderFamily::Nvenc,
        factory: "nvh264enc".to_owned(),
        why: "no\nsession is free".to_owned(),
    };
    let line = note.line();
    assert!(!line.contains('\n') && line.contains("\"nvenc\""), "{line}");
    assert_eq!(EncoderNote::parse(&line), Some(note.clone()));
    let wordy = EncoderNote { why: "x".repeat(3_000), ..note.clone() };
    assert_eq!(EncoderNote::parse(&wordy.line()).unwrap().why.len(), 200, "drivers are wordy");
    let long = EncoderNote { factory: "x".repeat(3_000), ..note };
    for other in [long.line().as_str(), "encoder: nothing", "parvis-media: encoder: {}", ""] {
        assert_eq!(EncoderNote::parse(other), None, "{other}");
    }
    for family in EncoderFamily::ALL {
        assert_eq!(serde_json::to_string(&family).unwrap(), format!("\"{}\"", family.name()));
    }
}
