// SPDX-License-Identifier: EUPL-1.2
//! Where recordings lie: whether what is written there is read as it was, and is gone when it is erased; on the disk, and in the storage
//! that they are sent to.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use tokio::time::timeout;

use super::{Line, PATIENCE};
use crate::recording::{Remote, RemoteError};
use crate::serve::Settings;

/// What is written.
const FILE_BYTES: usize = 1 << 20;
const OBJECT_BYTES: usize = 64 << 10;
/// How long a storage may take for it, with a second try.
const OBJECT_PATIENCE: Duration = Duration::from_secs(30);

/// Both.
pub(super) async fn lines(settings: &Settings) -> Vec<Line> {
    let Some(recording) = &settings.recording else {
        return vec![Line::skipped("storage", "recording.enabled is false")];
    };
    let directory = recording.directory.clone();
    let written = tokio::task::spawn_blocking(move || directory_line(&directory));
    let here = match timeout(PATIENCE, written).await {
        Ok(Ok(line)) => line,
        Ok(Err(_)) | Err(_) => Line::bad(
            "storage",
            "wrote a file of 1 MiB",
            "no end in 10 s",
            "see whether the disk of recording.directory works (journalctl -k)",
        ),
    };
    vec![here, remote_line(settings).await]
}

fn directory_line(directory: &Path) -> Line {
    let what = "storage";
    let tried = format!("wrote a file of 1 MiB in {}, read it, erased it", directory.display());
    if !directory.is_dir() {
        return Line::skipped(
            what,
            format!("{} is not there yet; the server makes it when it starts", directory.display()),
        );
    }
    let start = Instant::now();
    match rehearse(directory) {
        Ok(true) => {
            let seen = format!("it came back as it was, and is gone; {} ms", start.elapsed().as_millis());
            Line::good(what, tried, seen)
        }
        Ok(false) => Line::bad(
            what,
            tried,
            "it came back as something else",
            "record nothing there: the disk or its controller loses data (smartctl, journalctl -k)",
        ),
        Err(error) => {
            let remedy = match error.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                    "make room: `parvis recording list` says what is there, recording.retention has old ones erased"
                }
                ErrorKind::PermissionDenied => {
                    "run this as root or as the server's user; if it is, let that user write to recording.directory"
                }
                ErrorKind::ReadOnlyFilesystem => {
                    "mount it to be written to, or set recording.directory to another one"
                }
                _ => "see whether the disk of recording.directory works (journalctl -k)",
            };
            Line::bad(what, tried, error.to_string(), remedy)
        }
    }
}

/// Whether what was written came back. Nothing is left of it, whatever happens.
fn rehearse(directory: &Path) -> io::Result<bool> {
    let path = directory.join(format!(".parvis-{:016x}", rand::random::<u64>()));
    let mut bytes = vec![0; FILE_BYTES];
    rand::fill(&mut bytes[..]);
    let write = || {
        // Who finds a link here that somebody laid does not follow it.
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        let mut there = Vec::with_capacity(FILE_BYTES);
        File::open(&path)?.take(2 * FILE_BYTES as u64).read_to_end(&mut there)?;
        Ok(Sha256::digest(&there) == Sha256::digest(&bytes))
    };
    let written = write();
    match (written, fs::remove_file(&path)) {
        (Ok(same), Ok(())) => Ok(same && !path.exists()),
        (Ok(_), Err(error)) | (Err(error), _) => Err(error),
    }
}

async fn remote_line(settings: &Settings) -> Line {
    let what = "object storage";
    let storage = match settings.config.storage(&settings.base) {
        Ok(None) => return Line::skipped(what, "recording.storage.endpoint is empty: recordings stay here"),
        Ok(Some(storage)) => storage,
        Err((key, problem)) => {
            return Line::bad(what, "read recording.storage", format!("{key}: {problem}"), "mend that key");
        }
    };
    let tried = format!("wrote an object in {storage:?}, read it, erased it");
    let remedy = "see endpoint, bucket and credentials of recording.storage; the key has to allow PutObject, GetObject and DeleteObject";
    let start = Instant::now();
    let mut bytes = vec![0; OBJECT_BYTES];
    rand::fill(&mut bytes[..]);
    let rehearsed = async { Remote::new(storage)?.rehearse(bytes.into()).await };
    match timeout(OBJECT_PATIENCE, rehearsed).await {
        Err(_) => Line::bad(what, tried, format!("no end in {} s", OBJECT_PATIENCE.as_secs()), remedy),
        Ok(Ok(())) => {
            let seen = format!("it came back as it was, and is gone; {} ms", start.elapsed().as_millis());
            Line::good(what, tried, seen)
        }
        Ok(Err(error @ RemoteError::Settings(_))) => Line::bad(
            what,
            tried,
            error.to_string(),
            "see whether something stands between that changes or keeps objects, such as a cache or a lock on the bucket",
        ),
        Ok(Err(error)) => Line::bad(what, tried, error.to_string(), remedy),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::State;
    use super::*;

    struct Scratch(std::path::PathBuf);

    impl Scratch {
        fn new() -> Scratch {
            let path = std::env::temp_dir().join(format!("parvis-storage-{:016x}", rand::random::<u64>()));
            fs::create_dir(&path).unwrap();
            Scratch(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::set_permissions(&self.0, fs::Permissions::from_mode(0o700));
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_disk_is_written_to_read_and_left_as_it_was() {
        let scratch = Scratch::new();
        let line = directory_line(&scratch.0);
        assert_eq!(line.state, State::Good, "{line:?}");
        assert!(line.seen.starts_with("it came back as it was, and is gone"), "{}", line.seen);
        assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 0, "nothing is left");
        let line = directory_line(&scratch.0.join("later"));
        assert_eq!(line.state, State::Skipped);
        assert!(line.seen.contains("the server makes it") && !scratch.0.join("later").exists());
    }

    #[test]
    fn a_directory_that_takes_no_file_is_bad_with_its_reason() {
        // Where nobody may make a file, not even root.
        let line = directory_line(Path::new("/proc/self"));
        assert_eq!(line.state, State::Bad, "{line:?}");
        assert!(line.remedy.is_some() && line.tried.contains("/proc/self"), "{line:?}");
    }
}
