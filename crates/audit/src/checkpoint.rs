// SPDX-License-Identifier: EUPL-1.2
//! What the log was at a time, in the form of C2SP's checkpoints (c2sp.org/tlog-checkpoint): the log's name, its size and its root, one a
//! line, and a line of our own with the time in milliseconds since 1970.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::{AuditError, Hash};

/// What the line with the time begins with.
const TIME: &str = "time ";
/// The longest line of a second place that is read.
const MAX_LINE_BYTES: usize = 64 << 10;

/// What the log was at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log; one line.
    pub origin: String,
    /// How many entries it had.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
    /// When, in milliseconds since 1970; 0 where nobody says.
    pub time_ms: i64,
}

impl Checkpoint {
    /// What is signed.
    pub fn text(&self) -> String {
        let Checkpoint { origin, size, root, time_ms } = self;
        format!("{origin}\n{size}\n{}\n{TIME}{time_ms}\n", STANDARD.encode(root))
    }

    /// Reads what was signed. Lines that others add after the root are passed over.
    pub fn parse(text: &str) -> Result<Checkpoint, AuditError> {
        let mut lines = text.split('\n');
        let origin = lines.next().filter(|origin| !origin.is_empty());
        let origin = origin.ok_or(AuditError::Checkpoint("its first line is no name of a log"))?;
        let number = lines.next().unwrap_or_default();
        let size: u64 = number.parse().map_err(|_| AuditError::Checkpoint("its second line is no size"))?;
        if size.to_string() != number {
            return Err(AuditError::Checkpoint("its size is not written as a number is"));
        }
        let root = STANDARD.decode(lines.next().unwrap_or_default()).ok();
        let root = root.and_then(|root| root.try_into().ok());
        let root = root.ok_or(AuditError::Checkpoint("its third line is no root"))?;
        let time = lines.find_map(|line| line.strip_prefix(TIME)?.parse().ok());
        Ok(Checkpoint { origin: origin.to_owned(), size, root, time_ms: time.unwrap_or_default() })
    }
}

/// The notes in what a second place kept, with the line at which each begins: notes one after the other, as our file has them, or lines of a
/// system log in which one stands as JSON, `{"note":"…"}`. A note that was not written to its end, as when the power goes, is none, nor does it
/// spoil the next; other lines are passed over.
pub fn notes_in(kept: &str) -> Vec<(usize, String)> {
    let (mut notes, mut text, mut begun) = (Vec::new(), String::new(), 1);
    // Whether the line before was a signature of this note, or the empty one before signatures.
    let (mut signed, mut parted) = (false, false);
    for (at, line) in kept.split_inclusive('\n').enumerate() {
        if line.len() > MAX_LINE_BYTES {
            text.clear();
            (signed, parted) = (false, false);
            continue;
        }
        if let Some(logged) = logged(line) {
            notes.push((at + 1, logged.note));
            continue;
        }
        if is_signature(line) {
            if signed || parted {
                text.push_str(line);
                (signed, parted) = (true, false);
            }
            continue;
        }
        if signed {
            notes.push((begun, std::mem::take(&mut text)));
        } else if parted {
            // What is before has no signature.
            text.clear();
        }
        (signed, parted) = (false, line == "\n" && !text.is_empty());
        if line == "\n" && text.is_empty() {
            continue;
        }
        if text.is_empty() {
            begun = at + 1;
        }
        text.push_str(line);
    }
    if signed {
        notes.push((begun, text));
    }
    notes
}

/// Whether a line is a signature, written to its end: a dash, a name and base64. One that was torn is marked by a word more.
fn is_signature(line: &str) -> bool {
    let words = line.strip_prefix("\u{2014} ").and_then(|rest| rest.strip_suffix('\n'));
    words.is_some_and(|words| words.split(' ').count() == 2)
}

/// A note as JSON in one line.
#[derive(Serialize, Deserialize)]
struct Logged {
    note: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stamp: Option<String>,
}

/// The note in a line of a system log.
fn logged(line: &str) -> Option<Logged> {
    let json = line.get(line.find("{\"note\":")?..)?;
    let mut values = serde_json::Deserializer::from_str(json).into_iter::<Logged>();
    values.next()?.ok()
}

/// A note with a time-stamp over it, and where they stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StampedNote {
    /// The line.
    pub line: usize,
    /// The note, as it was stamped.
    pub note: String,
    /// The stamp; `None` if it is damaged.
    pub stamp: Option<Vec<u8>>,
}

/// A note as it is written into a line, with or without a time-stamp.
pub fn stamped_line(note: &str, stamp: Option<&[u8]>) -> String {
    let logged = Logged { note: note.to_owned(), stamp: stamp.map(|stamp| STANDARD.encode(stamp)) };
    serde_json::to_string(&logged).unwrap_or_default()
}

/// The notes with time-stamps in what a second place kept. [`notes_in`] finds those notes too.
pub fn stamped_in(kept: &str) -> Vec<StampedNote> {
    let lines = kept.split_inclusive('\n').enumerate().filter(|(_, line)| line.len() <= MAX_LINE_BYTES);
    let read = |(at, line)| {
        let Logged { note, stamp } = logged(line)?;
        Some(StampedNote { line: at + 1, note, stamp: STANDARD.decode(stamp?).ok() })
    };
    lines.filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{Signer, open_note};

    fn checkpoint(size: u64) -> Checkpoint {
        Checkpoint {
            origin: "meet.example.eu/audit".into(),
            size,
            root: [size as u8; 32],
            time_ms: 1_800_000_000_123,
        }
    }

    #[test]
    fn a_checkpoint_is_read_as_it_was_written() {
        let text = checkpoint(17).text();
        assert_eq!(
            text,
            "meet.example.eu/audit\n17\nERERERERERERERERERERERERERERERERERERERERERE=\ntime 1800000000123\n"
        );
        assert_eq!(Checkpoint::parse(&text).unwrap(), checkpoint(17));
        let bare = "example.org/log\n1\nERERERERERERERERERERERERERERERERERERERERERE=\n";
        assert_eq!(Checkpoint::parse(bare).unwrap().time_ms, 0);
        for broken in [
            "",
            "a\n",
            "a\n1\n",
            "a\nx\nERERERERERERERERERERERERERERERERERERERERERE=\n",
            "a\n01\nERERERERERERERERERERERERERERERERERERERERERE=\n",
            "a\n1\nERER\n",
        ] {
            assert!(Checkpoint::parse(broken).is_err(), "{broken:?}");
        }
    }

    #[test]
    fn notes_are_found_in_files_and_in_system_logs() {
        let signer = Signer::from_seed("meet.example.eu/audit", &[3; 32]).unwrap();
        let note = |size| signer.sign(&checkpoint(size).text()).unwrap();
        let two_signatures =
            format!("{}{}", note(2), note(2).lines().last().map(|line| format!("{line}\n")).unwrap());
        let json = serde_json::json!({ "note": note(3) });
        // Torn in its text, and in its signature; the next one is written behind a mark.
        let torn = format!("{} (torn)\n\n", &note(4)[..80]);
        let signature = note(4).len() - 20;
        let torn = format!("{torn}{} (torn)\n\n", &note(4)[..signature]);
        let kept =
            format!("{}\n{two_signatures}\nNov 28 16:00:00 host parvis: {json}\n{torn}{}", note(1), note(5));
        let kept = format!("{kept}\n{}", &note(6)[..80]);
        let found: Vec<(usize, u64)> = notes_in(&kept)
            .into_iter()
            .map(|(line, note)| {
                let text = open_note(&note, &[signer.verifier().clone()]).unwrap();
                (line, Checkpoint::parse(&text).unwrap().size)
            })
            .collect();
        assert_eq!(found, [(1, 1), (8, 2), (16, 3), (29, 5)]);
        assert_eq!(notes_in("").len(), 0);
        // A time-stamp stands beside its note, and is passed over by whoever looks for notes alone.
        let (line, bare) = (stamped_line(&note(7), Some(&[1, 2])), stamped_line(&note(8), None));
        let damaged = line.replace("AQI=", "AQI");
        let kept = format!("{}\n{line}\n\n{bare}\n{damaged}\n{}\n", note(6), &line[..90]);
        assert_eq!(notes_in(&kept).len(), 4);
        let stamps: Vec<_> =
            stamped_in(&kept).into_iter().map(|one| (one.line, one.note, one.stamp)).collect();
        assert_eq!(stamps, [(8, note(7), Some(vec![1, 2])), (11, note(7), None)]);
    }
}
