// SPDX-License-Identifier: EUPL-1.2
//! A file that is whole is sealed, and its plain form goes. A film is written by others' code, which wants to seek in it, so that
//! it can't be sealed as it grows.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::age::{AgeError, CHUNK_BYTES, Recipient, Sealer};
use crate::capture::file::SEALED_SUFFIX;

/// Why a file can't be sealed. It stays as it is.
#[derive(Debug, thiserror::Error)]
#[error("{}: can't be sealed: {error}", path.display())]
pub struct SealError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub error: AgeError,
}

/// Seals `path` for `recipients` into a new file beside it, whose name ends with `.age`, and removes `path` once the disk has
/// that. Gives the new file. Until it is whole it is called `….age.part`; one that was left there is written over.
pub fn seal(path: &Path, recipients: &[Recipient]) -> Result<PathBuf, SealError> {
    let failed = |error: AgeError| SealError { path: path.to_owned(), error };
    let named = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let (sealed, part) = (named(SEALED_SUFFIX), named(".age.part"));
    if sealed.exists() {
        let there = io::Error::new(io::ErrorKind::AlreadyExists, format!("{} is there", sealed.display()));
        return Err(failed(there.into()));
    }
    let written = write(path, &part, recipients).and_then(|()| Ok(fs::rename(&part, &sealed)?));
    if let Err(error) = written {
        let _ = fs::remove_file(&part);
        return Err(failed(error));
    }
    fs::remove_file(path).map_err(|error| failed(error.into()))?;
    Ok(sealed)
}

fn write(path: &Path, part: &Path, recipients: &[Recipient]) -> Result<(), AgeError> {
    let mut plain = BufReader::with_capacity(CHUNK_BYTES, File::open(path)?);
    let mut out = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(part)?;
    let (mut sealer, head) = Sealer::new(recipients)?;
    out.write_all(&head)?;
    // Whether a chunk is the last one is known when there is nothing behind it.
    let mut chunk = next(&mut plain)?;
    while !sealer.has_ended() {
        let following = next(&mut plain)?;
        let mut sealed = Vec::with_capacity(chunk.len() + 16);
        sealer.seal(&chunk, following.is_empty(), &mut sealed)?;
        out.write_all(&sealed)?;
        chunk = following;
    }
    Ok(out.sync_all()?)
}

/// A chunk's bytes; fewer at the file's end.
fn next(plain: &mut BufReader<File>) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut chunk = Zeroizing::new(Vec::with_capacity(CHUNK_BYTES));
    plain.by_ref().take(CHUNK_BYTES as u64).read_to_end(&mut chunk)?;
    Ok(chunk)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::age::{Identity, Opener};

    #[test]
    fn a_film_of_any_length_is_sealed_for_its_recipients_and_nothing_of_it_stays_in_the_clear() {
        let folder = std::env::temp_dir().join(format!("parvis-seal-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (ours, theirs) = (Identity::generate().unwrap(), Identity::generate().unwrap());
        for len in [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES + 7] {
            let plain: Vec<u8> = (0..len).map(|at| (at * 7 + at / 256) as u8).collect();
            let path = folder.join("film.mp4");
            fs::write(&path, &plain).unwrap();
            let sealed = seal(&path, &[ours.recipient()]).unwrap();
            let left: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
            assert_eq!(left, [folder.join("film.mp4.age")], "{len} bytes");
            let bytes = fs::read(&sealed).unwrap();
            assert!(Opener::new(&bytes[..], std::slice::from_ref(&theirs)).is_err());
            let mut opener = Opener::new(&bytes[..], std::slice::from_ref(&ours)).unwrap();
            let mut opened = Vec::new();
            while let Some(chunk) = opener.next_chunk().unwrap() {
                opened.extend_from_slice(&chunk);
            }
            assert!(opened == plain, "{len} bytes");
            fs::remove_file(sealed).unwrap();
        }
        fs::write(folder.join("film.mp4"), "film").unwrap();
        fs::write(folder.join("film.mp4.age"), "another").unwrap();
        let refused = seal(&folder.join("film.mp4"), &[ours.recipient()]).unwrap_err().to_string();
        assert!(refused.contains("film.mp4.age is there"), "{refused}");
        assert!(folder.join("film.mp4").exists(), "what can't be sealed stays");
        fs::remove_dir_all(folder).unwrap();
    }
}
