// SPDX-License-Identifier: EUPL-1.2
//! Which parts of a film are made: a line for each, written once the part lies there whole. Whoever goes on with a film believes what
//! stands here, and looks whether it is so.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};

use crate::compose::{ComposeError, Note};
use crate::hardware::Switch;

/// Its name in the folder of a film's parts.
pub const LEDGER: &str = "ledger.jsonl";
/// What its first line says it is.
pub const FORMAT: &str = "parvis-film-parts";
/// The version that this build writes, and the only one that it goes on with.
pub const VERSION: u32 = 1;
/// The longest that is read: ten thousand parts with a hundred notes each.
const MAX_BYTES: u64 = 128 * 1024 * 1024;

/// The first line: which film this is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
    /// SHA-256 of all that the film follows from. A film that would be another one is begun anew.
    pub of: String,
    /// Pictures of the whole film.
    pub pictures: u64,
    /// Pictures of a segment; of the last one fewer.
    pub each: u64,
}

/// A line for a part that is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its file.
    pub file: String,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of it, in hex.
    pub sha256: String,
    /// When it was made, in milliseconds since 1970.
    pub made_at: u64,
    /// What was made with it: pictures for beside the film.
    #[serde(default)]
    pub beside: Vec<String>,
    /// What is missing from it.
    #[serde(default)]
    pub notes: Vec<Note>,
    /// Encoders that failed on the way.
    #[serde(default)]
    pub switches: Vec<Switch>,
}

/// The ledger of a film that is being made, by this process and no other.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    file: File,
    entries: BTreeMap<String, Entry>,
}

impl Ledger {
    /// Opens that of the film `head`, in a folder that is made if it is not there. What is not as it should be is left out, and all
    /// files in the folder that no line tells of are removed. Parts of another film go.
    pub fn open(folder: &Path, head: &Head) -> Result<Ledger, ComposeError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |error| ComposeError::Io { path, error }
        };
        match DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(folder)(error)),
            _ => {}
        }
        let path = folder.join(LEDGER);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(&path).map_err(failed(&path))?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => ComposeError::Part {
                path: path.clone(),
                what: "another process is making this film; wait for it, or end it".to_owned(),
            },
            TryLockError::Error(error) => failed(&path)(error),
        })?;
        let mut text = Vec::new();
        (&mut file).take(MAX_BYTES).read_to_end(&mut text).map_err(failed(&path))?;
        let (goes_on, known) = match read(&text) {
            Some((of, entries)) if of == *head => (true, entries),
            _ => (false, BTreeMap::new()),
        };
        let entries = known.into_iter().filter(|(_, entry)| is_there(folder, entry)).collect();
        tidy(folder, &entries)?;
        let mut ledger = Ledger { path, file, entries };
        let ready = match (goes_on, text.ends_with(b"\n")) {
            (true, true) => Ok(()),
            // Half a line is none.
            (true, false) => ledger.file.write_all(b"\n"),
            (false, _) => ledger.begin(head),
        };
        ready.map_err(failed(&ledger.path))?;
        Ok(ledger)
    }

    /// Whether a part is made.
    pub fn has(&self, file: &str) -> bool {
        self.entries.contains_key(file)
    }

    /// All parts that are made, by their files' names.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// Writes down that a part is made. The disk has it then.
    pub fn add(&mut self, entry: Entry) -> Result<(), ComposeError> {
        let mut line = json(&entry);
        line.push(b'\n');
        let written = self.file.write_all(&line).and_then(|()| self.file.sync_data());
        written.map_err(|error| ComposeError::Io { path: self.path.clone(), error })?;
        self.entries.insert(entry.file.clone(), entry);
        Ok(())
    }

    /// Has it tell of a film of which there is no part yet.
    fn begin(&mut self, head: &Head) -> io::Result<()> {
        let mut line = json(head);
        line.push(b'\n');
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&line)?;
        self.file.sync_all()
    }
}

/// What a folder's ledger says, for whoever does not write to it.
pub(super) fn of_folder(folder: &Path) -> Result<(Head, BTreeMap<String, Entry>), ComposeError> {
    let path = folder.join(LEDGER);
    let text = fs::read(&path).map_err(|error| ComposeError::Io { path: path.clone(), error })?;
    let (head, entries) =
        read(&text).ok_or_else(|| ComposeError::Part { path, what: "it is no ledger of ours".to_owned() })?;
    Ok((head, entries))
}

/// The first line, and what the others say: of a part that was made again, the last one. What is half a line says nothing.
fn read(text: &[u8]) -> Option<(Head, BTreeMap<String, Entry>)> {
    let mut lines = text.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
    let head: Head = serde_json::from_slice(lines.next()?).ok()?;
    let is_ours = head.format == FORMAT && head.version == VERSION;
    let entries = lines.filter_map(|line| serde_json::from_slice::<Entry>(line).ok());
    is_ours.then(|| (head, entries.map(|entry| (entry.file.clone(), entry)).collect()))
}

/// Words and numbers are always JSON.
fn json(line: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(line).unwrap_or_default()
}

/// Whether a part lies there as it was written.
fn is_there(folder: &Path, entry: &Entry) -> bool {
    let is_name = |name: &String| crate::manifest::is_file_name(name);
    is_name(&entry.file)
        && entry.beside.iter().all(|name| is_name(name) && folder.join(name).is_file())
        && hash(&folder.join(&entry.file)).is_ok_and(|found| found == (entry.bytes, entry.sha256.clone()))
}

/// A file's length and SHA-256.
fn hash(path: &Path) -> io::Result<(u64, String)> {
    let (mut file, mut context) = (File::open(path)?, digest::Context::new(&digest::SHA256));
    let (mut chunk, mut bytes) = (vec![0; 256 * 1024], 0);
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok((bytes, hex::encode(context.finish()))),
            count => {
                context.update(chunk.get(..count).unwrap_or_default());
                bytes += count as u64;
            }
        }
    }
}

/// Removes what no line tells of.
fn tidy(folder: &Path, entries: &BTreeMap<String, Entry>) -> Result<(), ComposeError> {
    let failed = |error| ComposeError::Io { path: folder.to_owned(), error };
    for file in fs::read_dir(folder).map_err(failed)? {
        let file = file.map_err(failed)?;
        let name = file.file_name().to_string_lossy().into_owned();
        let is_known = name == LEDGER
            || entries.contains_key(&name)
            || entries.values().any(|entry| entry.beside.contains(&name));
        if !is_known {
            fs::remove_file(file.path()).map_err(failed)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(of: &str) -> Head {
        Head { format: FORMAT.to_owned(), version: VERSION, of: of.to_owned(), pictures: 240, each: 60 }
    }

    fn part(folder: &Path, file: &str, content: &str) -> Entry {
        fs::write(folder.join(file), content).unwrap();
        Entry {
            file: file.to_owned(),
            bytes: content.len() as u64,
            sha256: crate::sha256(content.as_bytes()),
            made_at: 7,
            beside: Vec::new(),
            notes: vec![Note { file: "TR_1-000.mkv".to_owned(), what: "byte 9: too long".to_owned() }],
            switches: Vec::new(),
        }
    }

    fn known(ledger: &Ledger) -> Vec<String> {
        ledger.entries().map(|entry| entry.file.clone()).collect()
    }

    #[test]
    fn whoever_goes_on_finds_what_is_whole_and_nothing_else() {
        let folder = std::env::temp_dir().join(format!("parvis-ledger-{}", std::process::id()));
        let mut ledger = Ledger::open(&folder, &head("a")).unwrap();
        assert_eq!(known(&ledger), [""; 0]);
        for file in ["sound", "segment-00002", "segment-00000", "segment-00001"] {
            ledger.add(part(&folder, file, file)).unwrap();
        }
        let second = Ledger::open(&folder, &head("a")).unwrap_err().to_string();
        assert!(second.contains("another process"), "{second}");
        drop(ledger);
        let before = fs::read(folder.join(LEDGER)).unwrap();

        // What was in work, one that is cut off, one that is another, and half a line.
        fs::write(folder.join("segment-00003.part"), "half").unwrap();
        let all = ["segment-00000", "segment-00001", "segment-00002", "sound"];
        assert_eq!(known(&Ledger::open(&folder, &head("a")).unwrap()), all);
        assert!(!folder.join("segment-00003.part").exists());
        assert_eq!(fs::read(folder.join(LEDGER)).unwrap(), before, "it is not written again without need");
        fs::write(folder.join("segment-00000"), "segment-0000").unwrap();
        fs::write(folder.join("segment-00001"), "SEGMENT-00001").unwrap();
        let torn = [&before[..], br#"{"file":"segment-00003","by"#].concat();
        fs::write(folder.join(LEDGER), torn).unwrap();
        let mut ledger = Ledger::open(&folder, &head("a")).unwrap();
        assert_eq!(known(&ledger), ["segment-00002", "sound"]);
        assert!(!folder.join("segment-00000").exists(), "it is made anew");
        ledger.add(part(&folder, "segment-00000", "again")).unwrap();
        drop(ledger);
        let (of, entries) = of_folder(&folder).unwrap();
        // The line of a part that is gone stands until it is made anew: only who opens the ledger looks at the files.
        assert_eq!((of, entries.len()), (head("a"), 4));
        assert_eq!(entries["segment-00000"].notes[0].what, "byte 9: too long");

        // Another film.
        assert_eq!(known(&Ledger::open(&folder, &head("b")).unwrap()), [""; 0]);
        let left: Vec<_> = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().file_name()).collect();
        assert_eq!(left, [LEDGER]);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_line_that_leads_elsewhere_is_not_believed() {
        let folder = std::env::temp_dir().join(format!("parvis-ledger-away-{}", std::process::id()));
        drop(Ledger::open(&folder, &head("a")).unwrap());
        let outside = folder.with_extension("outside");
        fs::write(&outside, "mine").unwrap();
        let mut entry = part(&folder, "sound", "mine");
        entry.file = format!("../{}", outside.file_name().unwrap().to_string_lossy());
        let text = [json(&head("a")), json(&entry)].join(&b'\n');
        fs::write(folder.join(LEDGER), [&text[..], b"\n"].concat()).unwrap();
        assert_eq!(known(&Ledger::open(&folder, &head("a")).unwrap()), [""; 0]);
        assert!(outside.exists());
        fs::remove_file(outside).unwrap();
        fs::remove_dir_all(folder).unwrap();
    }
}
