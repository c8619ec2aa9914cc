// SPDX-License-Identifier: EUPL-1.2
//! The file of a part: what an encoder wrote, each picture or frame of sound with its time in the film. docs/recording-format.md
//! says how it looks. It is written and read by the same build, and never leaves the machine.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use aws_lc_rs::digest;
use gstreamer as gst;

use crate::compose::ComposeError;

const MAGIC: [u8; 8] = *b"PVPART\x00\x01";
/// Stands where the length of a unit would, behind the last one.
const END: u32 = u32::MAX;
/// The longest form that is read, …
const MAX_CAPS_BYTES: u32 = 64 * 1024;
/// … and the longest unit. A picture of 4K that nothing could be saved on has 12 MiB.
const MAX_UNIT_BYTES: u32 = 64 * 1024 * 1024;
/// Flags, times and duration of a unit.
const HEAD_BYTES: usize = 1 + 8 + 8 + 8;

/// A picture or a frame of sound as it was encoded. Times are nanoseconds since the film's beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unit {
    /// Decoding can begin here.
    pub(super) key: bool,
    /// When it is shown or heard.
    pub(super) pts: i64,
    /// When it is decoded; below 0 where pictures change their order.
    pub(super) dts: i64,
    /// For how long.
    pub(super) duration: u64,
    pub(super) data: Vec<u8>,
}

/// Writes one.
pub(super) struct Writer {
    path: PathBuf,
    file: BufWriter<File>,
    digest: digest::Context,
    bytes: u64,
    count: u64,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

impl Writer {
    /// Writes to a file that is there, and is empty.
    pub(super) fn new(path: &Path) -> Result<Writer, ComposeError> {
        let file = OpenOptions::new().write(true).open(path);
        let file = file.map_err(|error| ComposeError::Io { path: path.to_owned(), error })?;
        let digest = digest::Context::new(&digest::SHA256);
        Ok(Writer { path: path.to_owned(), file: BufWriter::new(file), digest, bytes: 0, count: 0 })
    }

    /// How many bytes there are so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds a unit. All have the form of the first.
    pub(super) fn add(&mut self, caps: &gst::CapsRef, unit: &Unit) -> Result<(), ComposeError> {
        if self.count == 0 {
            self.head(&caps.to_string())?;
        }
        let length = u32::try_from(unit.data.len()).ok().filter(|length| *length <= MAX_UNIT_BYTES);
        let Some(length) = length else {
            let what = format!("an encoder wrote {} bytes at once", unit.data.len());
            return Err(ComposeError::Pipeline(what));
        };
        self.put(&length.to_be_bytes())?;
        self.put(&[u8::from(unit.key)])?;
        self.put(&unit.pts.to_be_bytes())?;
        self.put(&unit.dts.to_be_bytes())?;
        self.put(&unit.duration.to_be_bytes())?;
        self.put(&unit.data)?;
        self.count += 1;
        Ok(())
    }

    /// Ends it. The disk has it then.
    pub(super) fn finish(mut self) -> Result<Written, ComposeError> {
        if self.count == 0 {
            self.head("")?;
        }
        self.put(&END.to_be_bytes())?;
        self.put(&self.count.to_be_bytes())?;
        let ended = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        ended.map_err(|error| ComposeError::Io { path: self.path.clone(), error })?;
        Ok(Written { bytes: self.bytes, sha256: hex::encode(self.digest.finish()) })
    }

    fn head(&mut self, caps: &str) -> Result<(), ComposeError> {
        let length = u32::try_from(caps.len()).ok().filter(|length| *length <= MAX_CAPS_BYTES);
        let Some(length) = length else {
            let what = format!("an encoder tells of itself in {} bytes", caps.len());
            return Err(ComposeError::Pipeline(what));
        };
        self.put(&MAGIC)?;
        self.put(&length.to_be_bytes())?;
        self.put(caps.as_bytes())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), ComposeError> {
        self.digest.update(bytes);
        self.bytes += bytes.len() as u64;
        self.file.write_all(bytes).map_err(|error| ComposeError::Io { path: self.path.clone(), error })
    }
}

/// Reads one from its beginning to its end.
pub(super) struct Reader {
    path: PathBuf,
    file: BufReader<File>,
    caps: Option<gst::Caps>,
    count: u64,
    done: bool,
}

impl Reader {
    /// Opens a file.
    pub(super) fn open(path: &Path) -> Result<Reader, ComposeError> {
        let file = File::open(path).map_err(|error| ComposeError::Io { path: path.to_owned(), error })?;
        let file = BufReader::with_capacity(256 * 1024, file);
        let mut reader = Reader { path: path.to_owned(), file, caps: None, count: 0, done: false };
        if reader.take::<8>()? != MAGIC {
            return Err(reader.wrong("it does not begin as a part of a film does"));
        }
        let length = u32::from_be_bytes(reader.take()?);
        if length > MAX_CAPS_BYTES {
            return Err(reader.wrong("its form is too long"));
        }
        let text =
            String::from_utf8(reader.bytes(length)?).map_err(|_| reader.wrong("its form is no text"))?;
        if !text.is_empty() {
            let caps = gst::Caps::from_str(&text);
            reader.caps = Some(caps.map_err(|_| reader.wrong("its form is none"))?);
        }
        Ok(reader)
    }

    /// The form of its units; `None`: there are none.
    pub(super) fn caps(&self) -> Option<&gst::Caps> {
        self.caps.as_ref()
    }

    /// The next one; `None` at the end, which is where it should be.
    pub(super) fn next(&mut self) -> Result<Option<Unit>, ComposeError> {
        if self.done {
            return Ok(None);
        }
        let length = u32::from_be_bytes(self.take()?);
        if length == END {
            self.done = true;
            let said = u64::from_be_bytes(self.take()?);
            let behind = self.file.read(&mut [0]).map_err(|error| self.failed(error))?;
            return match said == self.count && behind == 0 {
                true => Ok(None),
                false => Err(self.wrong("its end is not where it should be")),
            };
        }
        if length > MAX_UNIT_BYTES {
            return Err(self.wrong("a unit is too long"));
        }
        let head: [u8; HEAD_BYTES] = self.take()?;
        let [flags, times @ ..] = head;
        let number = |place: usize| {
            let eight = times.get(place * 8..).and_then(|rest| rest.first_chunk::<8>()).copied();
            u64::from_be_bytes(eight.unwrap_or_default())
        };
        let data = self.bytes(length)?;
        self.count += 1;
        Ok(Some(Unit {
            key: flags & 1 != 0,
            pts: number(0).cast_signed(),
            dts: number(1).cast_signed(),
            duration: number(2),
            data,
        }))
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], ComposeError> {
        let mut bytes = [0; N];
        self.file.read_exact(&mut bytes).map_err(|error| self.failed(error))?;
        Ok(bytes)
    }

    fn bytes(&mut self, length: u32) -> Result<Vec<u8>, ComposeError> {
        let mut bytes = vec![0; length as usize];
        self.file.read_exact(&mut bytes).map_err(|error| self.failed(error))?;
        Ok(bytes)
    }

    fn failed(&self, error: io::Error) -> ComposeError {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => self.wrong("it is cut off"),
            _ => ComposeError::Io { path: self.path.clone(), error },
        }
    }

    fn wrong(&self, what: &str) -> ComposeError {
        ComposeError::Part { path: self.path.clone(), what: what.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(number: i64) -> Unit {
        Unit {
            key: number == 0,
            pts: number * 33_333_333,
            dts: (number - 2) * 33_333_333,
            duration: 33_333_333,
            data: vec![number as u8; 10 + number as usize],
        }
    }

    #[test]
    fn what_is_written_is_read_and_what_is_cut_off_or_changed_is_told() {
        gst::init().unwrap();
        let folder = std::env::temp_dir().join(format!("parvis-units-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("segment-00000");
        File::create(&path).unwrap();
        let caps = gst::Caps::builder("video/x-h264")
            .field("stream-format", "avc")
            .field("codec_data", gst::Buffer::from_slice(vec![1, 0x64, 0, 0x1f]))
            .build();
        let mut writer = Writer::new(&path).unwrap();
        (0..5).for_each(|number| writer.add(&caps, &unit(number)).unwrap());
        let written = writer.finish().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!((written.bytes, written.sha256), (bytes.len() as u64, crate::sha256(&bytes)));

        let mut reader = Reader::open(&path).unwrap();
        assert_eq!(reader.caps(), Some(&caps), "what decoders must know first is there too");
        for number in 0..5 {
            assert_eq!(reader.next().unwrap(), Some(unit(number)));
        }
        assert_eq!((reader.next().unwrap(), reader.next().unwrap()), (None, None));

        let all = |path: &Path| {
            let mut reader = Reader::open(path)?;
            while reader.next()?.is_some() {}
            Ok::<_, ComposeError>(())
        };
        for end in 0..bytes.len() {
            std::fs::write(&path, &bytes[..end]).unwrap();
            let said = all(&path).unwrap_err().to_string();
            assert!(said.ends_with("segment-00000: it is cut off"), "{end}: {said}");
        }
        for (at, value, expected) in
            [(0, b'X', "begin"), (8, 0xff, "form is too long"), (bytes.len() - 1, 9, "its end")]
        {
            let mut other = bytes.clone();
            other[at] = value;
            std::fs::write(&path, other).unwrap();
            let said = all(&path).unwrap_err().to_string();
            assert!(said.contains(expected), "{said}");
        }
        std::fs::write(&path, [&bytes[..], b"more"].concat()).unwrap();
        assert!(all(&path).unwrap_err().to_string().contains("its end"));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
