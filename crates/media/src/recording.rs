// SPDX-License-Identifier: EUPL-1.2
//! What is done with a recording afterwards: checked, opened, exported. Files that a killed worker left open are read as
//! far as they go: their whole chunks, then what their tail has beyond them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use zeroize::Zeroizing;

use crate::age::{AgeError, Identity, Opener};
use crate::capture::file::{SEALED_SUFFIX, TAIL_HEAD_BYTES, TAIL_MAGIC, TAIL_SLOT_BYTES, TAIL_SUFFIX};
use crate::compose;
use crate::manifest::{FileEntry, MANIFEST, Manifest, ManifestError, Part, is_file_name};
use crate::mkv::{self, MkvError, Reader, ReaderLimits};
use crate::timeline::{Entry, What};

/// Why a recording, or a file of it, can't be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// Its description.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A file that can't be opened with the keys at hand, or is damaged.
    #[error("{name}: {error}")]
    Age {
        /// The file.
        name: String,
        /// What is wrong.
        error: AgeError,
    },
    /// A file whose content is not what it should be.
    #[error("{name}: {error}")]
    Content {
        /// The file.
        name: String,
        /// What is wrong.
        error: MkvError,
    },
    /// A file that can't be read or written.
    #[error("{name}: {error}")]
    Io {
        /// The file.
        name: String,
        /// What is wrong.
        error: io::Error,
    },
}

/// How a file was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// As it was written.
    Whole,
    /// Its worker was killed while it wrote it. With a key: all that was there opens.
    Interrupted,
    /// Not as it was written.
    Damaged(String),
}

impl State {
    /// One word for it.
    pub fn name(&self) -> &'static str {
        match self {
            State::Whole => "whole",
            State::Interrupted => "interrupted",
            State::Damaged(_) => "DAMAGED",
        }
    }
}

/// What was found of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Its name.
    pub name: String,
    /// How it was found.
    pub state: State,
    /// Frames in it, where it was opened.
    pub frames: Option<u64>,
}

/// A file that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Its name.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// It was cut off, and is what was there.
    pub recovered: bool,
}

/// What a film's name ends with, before that of a sealed file.
const FILM_SUFFIXES: [&str; 4] = [".mp4", ".ogg", ".webm", ".vtt"];

/// Films that were laid beside a capture, and their captions. Its manifest doesn't know them.
fn films(directory: &Path) -> Result<Vec<FileEntry>, RecordingError> {
    let failed = |error| from_io(&directory.display().to_string(), error);
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        if is_file
            && is_file_name(&name)
            && FILM_SUFFIXES.iter().any(|suffix| clear_name(&name).ends_with(suffix))
        {
            names.push(name);
        }
    }
    names.sort();
    // One that somebody opened there is the same film.
    let sealed = |name: &String| names.contains(&format!("{name}{SEALED_SUFFIX}"));
    let once: Vec<String> = names.iter().filter(|name| !sealed(name)).cloned().collect();
    // They are laid there when they are whole.
    Ok(once.into_iter().map(|name| FileEntry { name, bytes: None, sha256: Some(String::new()) }).collect())
}

/// Checks every file against the manifest: size and hash; with `identities`, also that it opens, and that a strict reader
/// takes it and finds as many frames as the manifest says. Films are opened only.
pub fn verify(directory: &Path, identities: &[Identity]) -> Result<Vec<Checked>, RecordingError> {
    let manifest = Manifest::read(directory)?;
    let opens = !identities.is_empty() || manifest.recipients.is_empty();
    let mut checked = Vec::new();
    let timelines = manifest.timelines.iter().chain(&manifest.chats).map(|file| (file, None));
    let parts =
        manifest.tracks.iter().flat_map(|track| track.parts.iter().map(|part| (&part.file, Some(part))));
    for (file, part) in timelines.chain(parts) {
        let found = check(directory, file, part, identities, opens);
        let (state, frames) = match found {
            Ok(frames) if file.sha256.is_some() => (State::Whole, frames),
            Ok(frames) => (State::Interrupted, frames),
            Err(what) => (State::Damaged(what), None),
        };
        checked.push(Checked { name: file.name.clone(), state, frames });
    }
    for film in films(directory)?.iter().filter(|_| opens) {
        let found = check(directory, film, None, identities, true);
        let state = found.map_or_else(State::Damaged, |_| State::Whole);
        checked.push(Checked { name: film.name.clone(), state, frames: None });
    }
    Ok(checked)
}

/// Writes every file, and films beside them, in the clear to `to`, a new directory; with `only_interrupted`, those that a killed worker left.
pub fn decrypt(
    directory: &Path,
    to: &Path,
    identities: &[Identity],
    only_interrupted: bool,
) -> Result<Vec<Written>, RecordingError> {
    let manifest = Manifest::read(directory)?;
    new_directory(to)?;
    let mut written = Vec::new();
    let films = films(directory)?;
    for file in manifest.files().chain(&films).filter(|file| !only_interrupted || file.sha256.is_none()) {
        let Some(mut plain) = open_if_begun(directory, file, identities)? else { continue };
        let name = clear_name(&file.name);
        let mut out = new_file(to, name)?;
        let failed = |error| from_io(&file.name, error);
        let bytes =
            io::copy(&mut plain, &mut out).and_then(|bytes| out.flush().map(|()| bytes)).map_err(failed)?;
        written.push(Written { name: name.to_owned(), bytes, recovered: plain.was_recovered() });
    }
    if !only_interrupted {
        copy_manifest(directory, to)?;
    }
    Ok(written)
}

/// Writes every track's parts as files with a duration in which players can seek, the timelines, films, what was written in the chat
/// and not taken back (`chat.jsonl`), and captions (`captions.vtt`), to `to`.
pub fn export(directory: &Path, to: &Path, identities: &[Identity]) -> Result<Vec<Written>, RecordingError> {
    let manifest = Manifest::read(directory)?;
    new_directory(to)?;
    let mut written = Vec::new();
    let is_chat = |file: &&FileEntry| manifest.chats.contains(file);
    for file in manifest.files().filter(|file| !is_chat(file)).chain(&films(directory)?) {
        let Some(mut plain) = open_if_begun(directory, file, identities)? else { continue };
        let name = clear_name(&file.name);
        let mut out = new_file(to, name)?;
        let failed = |error| from_io(&file.name, error);
        if name.ends_with(".mkv") {
            let content = |error| from_mkv(&file.name, error);
            let reader = Reader::new(&mut plain, ReaderLimits::default()).map_err(content)?;
            mkv::finish(reader, &mut out).map_err(content)?;
        } else {
            io::copy(&mut plain, &mut out).map_err(failed)?;
        }
        out.flush().map_err(failed)?;
        let bytes = out.get_ref().metadata().map_err(failed)?.len();
        written.push(Written { name: name.to_owned(), bytes, recovered: plain.was_recovered() });
    }
    let chat = chat(directory, &manifest, identities)?;
    let lines = |entry: &Entry| serde_json::to_string(entry).map(|line| line + "\n").unwrap_or_default();
    let chat = (!chat.is_empty()).then(|| chat.iter().map(lines).collect::<String>());
    let captions = compose::captions(directory, &manifest, identities)?;
    for (name, text) in [("chat.jsonl", chat), ("captions.vtt", captions)] {
        let Some(text) = text else { continue };
        let mut out = new_file(to, name)?;
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| from_io(name, error))?;
        written.push(Written { name: name.to_owned(), bytes: text.len() as u64, recovered: false });
    }
    copy_manifest(directory, to)?;
    Ok(written)
}

/// What was written in the chat and not taken back, each message once: whoever is started anew keeps all of it again.
pub fn chat(
    directory: &Path,
    manifest: &Manifest,
    identities: &[Identity],
) -> Result<Vec<Entry>, RecordingError> {
    let mut kept = BTreeMap::new();
    let mut retracted = BTreeSet::new();
    for entry in entries(directory, &manifest.chats, identities)? {
        match entry.what {
            What::Chat { message, .. } => drop(kept.insert(message, entry)),
            What::ChatRetracted { message } => drop(retracted.insert(message)),
            _ => {}
        }
    }
    Ok(kept.into_iter().filter(|(message, _)| !retracted.contains(message)).map(|(_, entry)| entry).collect())
}

/// All lines of such files, in the order of their moments. What a newer version wrote and this one doesn't know is passed over.
pub(crate) fn entries(
    directory: &Path,
    files: &[FileEntry],
    identities: &[Identity],
) -> Result<Vec<Entry>, RecordingError> {
    let mut entries = Vec::new();
    for file in files {
        let Some(plain) = open_if_begun(directory, file, identities)? else { continue };
        for line in BufReader::new(plain).lines() {
            let line = line.map_err(|error| from_io(&file.name, error))?;
            if let Ok(entry) = serde_json::from_str(&line) {
                entries.push(entry);
            } else if serde_json::from_str::<serde::de::IgnoredAny>(&line).is_err() {
                // The last line of a killed worker.
                if file.sha256.is_none() {
                    break;
                }
                return Err(from_io(&file.name, io::Error::other("a line that is no JSON")));
            }
        }
    }
    entries.sort_by_key(|entry: &Entry| entry.at);
    Ok(entries)
}

/// Opens one file of a recording. One that is finished must be whole; of one that isn't, all that is there is read.
pub fn open(directory: &Path, file: &FileEntry, identities: &[Identity]) -> Result<Plain, RecordingError> {
    let path = directory.join(&file.name);
    let handle = File::open(&path).map_err(|error| from_io(&file.name, error))?;
    let reader = BufReader::new(handle);
    if !file.name.ends_with(SEALED_SUFFIX) {
        return Ok(Plain { source: Source::Clear(reader), tail: None, recovered: file.sha256.is_none() });
    }
    let age = |error| RecordingError::Age { name: file.name.clone(), error };
    let opener = Opener::new(reader, identities).map_err(age)?;
    let tail = match file.sha256 {
        Some(_) => None,
        None => read_tail(&directory.join(format!("{}{TAIL_SUFFIX}", file.name)), identities),
    };
    let sealed = Sealed { opener, chunk: Zeroizing::default(), at: 0, offset: 0 };
    // A worker may have been killed between the last chunk and the manifest: then it is finished, and has no tail.
    let tail = tail.or(file.sha256.is_none().then_some((0, Zeroizing::default())));
    Ok(Plain { source: Source::Sealed(Box::new(sealed)), tail, recovered: false })
}

/// A file in the clear.
pub struct Plain {
    source: Source,
    /// What is beyond the last whole chunk, and where that begins; `None` where the file must be whole.
    tail: Option<(u64, Zeroizing<Vec<u8>>)>,
    recovered: bool,
}

enum Source {
    Clear(BufReader<File>),
    Sealed(Box<Sealed>),
    /// The rest of what was recovered.
    Rest(io::Cursor<Zeroizing<Vec<u8>>>),
}

struct Sealed {
    opener: Opener<BufReader<File>>,
    chunk: Zeroizing<Vec<u8>>,
    /// What of the chunk was given.
    at: usize,
    /// Bytes before the end of the chunk.
    offset: u64,
}

impl Plain {
    /// Whether it was cut off, as far as was read: all that is there was given.
    pub fn was_recovered(&self) -> bool {
        self.recovered
    }
}

impl Read for Plain {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let sealed = match &mut self.source {
                Source::Clear(reader) => return reader.read(buf),
                Source::Rest(rest) => {
                    let bytes = Read::read(
                        &mut rest.get_ref().get(rest.position() as usize..).unwrap_or_default(),
                        buf,
                    )?;
                    rest.set_position(rest.position() + bytes as u64);
                    return Ok(bytes);
                }
                Source::Sealed(sealed) => sealed,
            };
            let rest = sealed.chunk.get(sealed.at..).unwrap_or_default();
            if !rest.is_empty() {
                let bytes = rest.len().min(buf.len());
                if let (Some(to), Some(from)) = (buf.get_mut(..bytes), rest.get(..bytes)) {
                    to.copy_from_slice(from);
                }
                sealed.at += bytes;
                return Ok(bytes);
            }
            match sealed.opener.next_chunk() {
                Ok(Some(chunk)) => {
                    sealed.offset += chunk.len() as u64;
                    (sealed.chunk, sealed.at) = (chunk, 0);
                }
                Ok(None) => return Ok(0),
                Err(error @ AgeError::Truncated { .. }) => {
                    let Some((offset, bytes)) = self.tail.take() else { return Err(io::Error::other(error)) };
                    let beyond =
                        sealed.offset.checked_sub(offset).and_then(|known| usize::try_from(known).ok());
                    let beyond = beyond.and_then(|known| bytes.get(known..)).unwrap_or_default();
                    self.recovered = true;
                    self.source = Source::Rest(io::Cursor::new(Zeroizing::new(beyond.to_vec())));
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
    }
}

impl std::fmt::Debug for Plain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plain").field("recovered", &self.recovered).finish_non_exhaustive()
    }
}

/// The newer of a tail's two slots that opens: where it begins in the file, and what it holds.
fn read_tail(path: &Path, identities: &[Identity]) -> Option<(u64, Zeroizing<Vec<u8>>)> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(2 * TAIL_SLOT_BYTES).read_to_end(&mut bytes).ok()?;
    let slots = bytes.chunks(TAIL_SLOT_BYTES as usize);
    let newest = slots.filter_map(|slot| read_slot(slot, identities)).max_by_key(|(number, _, _)| *number);
    newest.map(|(_, offset, content)| (offset, content))
}

fn read_slot(slot: &[u8], identities: &[Identity]) -> Option<(u64, u64, Zeroizing<Vec<u8>>)> {
    let (length, rest) = slot.split_first_chunk::<4>()?;
    let sealed = rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    let mut opener = Opener::new(sealed, identities).ok()?;
    let mut content = Zeroizing::new(Vec::new());
    while let Some(chunk) = opener.next_chunk().ok()? {
        content.extend_from_slice(&chunk);
    }
    let (head, bytes) = content.split_at_checked(TAIL_HEAD_BYTES)?;
    let (magic, numbers) =
        head.split_at_checked(TAIL_MAGIC.len()).filter(|(magic, _)| magic == TAIL_MAGIC)?;
    debug_assert_eq!(magic.len(), 8);
    let (number, offset) = numbers.split_first_chunk::<8>()?;
    let (number, offset) = (u64::from_be_bytes(*number), u64::from_be_bytes(*offset.first_chunk()?));
    Some((number, offset, Zeroizing::new(bytes.to_vec())))
}

/// Of one file: `Err` says what is wrong with it.
fn check(
    directory: &Path,
    file: &FileEntry,
    part: Option<&Part>,
    identities: &[Identity],
    opens: bool,
) -> Result<Option<u64>, String> {
    if let (Some(bytes), Some(sha256)) = (file.bytes, &file.sha256) {
        let (found, hash) = hash(&directory.join(&file.name)).map_err(|error| error.to_string())?;
        if found != bytes {
            return Err(format!("{found} bytes; {bytes} were written"));
        }
        if hash != *sha256 {
            return Err("its hash is another than the one that was written".to_owned());
        }
    }
    if !opens {
        return Ok(None);
    }
    let Some(mut plain) = open_if_begun(directory, file, identities).map_err(|error| error.to_string())?
    else {
        return Ok(None);
    };
    let Some(part) = part else {
        io::copy(&mut plain, &mut io::sink()).map_err(|error| error.to_string())?;
        return Ok(None);
    };
    let frames = count(&mut plain).map_err(|error| error.to_string());
    match (frames, &file.sha256) {
        (Ok(frames), Some(_)) if frames != part.frames => {
            Err(format!("{frames} frames; {} were written", part.frames))
        }
        (frames, _) => frames.map(Some),
    }
}

/// Frames of a file. That it ends within a cluster is no fault where it was cut off.
fn count(plain: &mut Plain) -> Result<u64, MkvError> {
    let mut frames = 0;
    let mut reader = match Reader::new(&mut *plain, ReaderLimits::default()) {
        Ok(reader) => reader,
        Err(MkvError::Truncated { .. }) => {
            return if plain.recovered { Ok(0) } else { Err(MkvError::Truncated { at: 0 }) };
        }
        Err(error) => return Err(error),
    };
    let cut = loop {
        match reader.next_cluster() {
            Ok(Some(cluster)) => frames += cluster.blocks.len() as u64,
            Ok(None) => return Ok(frames),
            Err(error @ MkvError::Truncated { .. }) => break error,
            Err(error) => return Err(error),
        }
    };
    drop(reader);
    if plain.recovered { Ok(frames) } else { Err(cut) }
}

/// `None` for a file of which a killed worker wrote nothing that opens.
pub(crate) fn open_if_begun(
    directory: &Path,
    file: &FileEntry,
    identities: &[Identity],
) -> Result<Option<Plain>, RecordingError> {
    match open(directory, file, identities) {
        Ok(mut plain) => {
            if let (None, Source::Clear(reader)) = (&file.sha256, &mut plain.source)
                && reader.fill_buf().map_err(|error| from_io(&file.name, error))?.is_empty()
            {
                return Ok(None);
            }
            Ok(Some(plain))
        }
        Err(RecordingError::Age { error: AgeError::Header(_) | AgeError::Truncated { .. }, .. })
            if file.sha256.is_none() =>
        {
            Ok(None)
        }
        Err(RecordingError::Io { error, .. })
            if file.sha256.is_none() && error.kind() == io::ErrorKind::NotFound =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn hash(path: &Path) -> io::Result<(u64, String)> {
    let (mut file, mut context) = (File::open(path)?, digest::Context::new(&digest::SHA256));
    let (mut buf, mut bytes) = (vec![0; 256 * 1024], 0);
    loop {
        let read = file.read(&mut buf)?;
        if read == 0 {
            return Ok((bytes, hex::encode(context.finish())));
        }
        bytes += read as u64;
        context.update(buf.get(..read).unwrap_or_default());
    }
}

fn clear_name(name: &str) -> &str {
    name.strip_suffix(SEALED_SUFFIX).unwrap_or(name)
}

fn copy_manifest(directory: &Path, to: &Path) -> Result<(), RecordingError> {
    let copied = fs::copy(directory.join(MANIFEST), to.join(MANIFEST));
    copied.map(drop).map_err(|error| from_io(MANIFEST, error))
}

fn new_directory(to: &Path) -> Result<(), RecordingError> {
    fs::create_dir(to).map_err(|error| from_io(&to.display().to_string(), error))
}

fn new_file(to: &Path, name: &str) -> Result<BufWriter<File>, RecordingError> {
    let path: PathBuf = to.join(name);
    let file = fs::OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path);
    file.map(BufWriter::new).map_err(|error| from_io(&path.display().to_string(), error))
}

fn from_io(name: &str, error: io::Error) -> RecordingError {
    RecordingError::Io { name: name.to_owned(), error }
}

fn from_mkv(name: &str, error: MkvError) -> RecordingError {
    RecordingError::Content { name: name.to_owned(), error }
}
