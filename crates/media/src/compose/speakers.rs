// SPDX-License-Identifier: EUPL-1.2
//! The sound of each person in a file of its own, on the meeting's time line: silent while they are not there.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use parvis_jobs::Origin;

use super::decode::{Files, Parts, Sound};
use super::options::{Format, Layout, MAX_SPEAKERS, Options, Speakers, SpeakersFormat};
use super::output::Output;
use super::story::Story;
use super::work::{self, Work};
use super::{CHANNELS, ComposeError, Note, SAMPLE_RATE};
use crate::manifest::{Manifest, Track};

/// The longest that a WAV file can tell of: its sizes have 32 bits.
const MAX_WAV_SAMPLES: u64 = (u32::MAX as u64 - WAV_HEAD) / 2;
const WAV_HEAD: u64 = 44;
/// Samples that are mixed at a time.
const BLOCK: u64 = SAMPLE_RATE / 10;

/// Who gets a file: its path and the microphones that belong in it.
pub(super) type Voices<'a> = Vec<(PathBuf, Vec<&'a Track>)>;

/// Everybody with a microphone, by identity: who comes again goes on in the same file. Refuses what can't be written.
pub(super) fn voices<'a>(
    speakers: &Speakers,
    manifest: &'a Manifest,
    story: &Story,
) -> Result<Voices<'a>, ComposeError> {
    let microphones = manifest.tracks.iter().filter(|track| track.origin == Origin::Microphone);
    let mut people: Vec<(&str, Vec<&Track>)> = Vec::new();
    let mut places = BTreeMap::new();
    for track in microphones.filter(|track| !track.parts.is_empty()) {
        let identity = story.identity(&track.participant);
        let place = *places.entry(identity).or_insert(people.len());
        match people.get_mut(place) {
            Some((_, tracks)) => tracks.push(track),
            None => people.push((identity, vec![track])),
        }
    }
    if people.len() > MAX_SPEAKERS {
        let count = people.len();
        return Err(ComposeError::Options(format!(
            "{count} people spoke: a file for each of {MAX_SPEAKERS} is the most"
        )));
    }
    let samples = samples(story);
    if speakers.format == SpeakersFormat::Wav && samples > MAX_WAV_SAMPLES {
        let hours = MAX_WAV_SAMPLES / SAMPLE_RATE / 3600;
        return Err(ComposeError::Options(format!("a WAV file of more than {hours} hours: take opus")));
    }
    let extension = match speakers.format {
        SpeakersFormat::Wav => "wav",
        SpeakersFormat::Opus => "opus",
    };
    let named = people.into_iter().zip(1..).map(|((identity, tracks), number)| {
        let path = speakers.directory.join(format!("{number:03}-{}.{extension}", plain(identity)));
        work::refuse(&path).map(|()| (path, tracks))
    });
    named.collect()
}

/// Writes them, one after the other.
pub(super) fn write(
    voices: Voices<'_>,
    files: Files<'_>,
    story: &Story,
    options: &Options,
    work: &mut Work,
    notes: &mut Vec<Note>,
) -> Result<(), ComposeError> {
    let opus = Options { format: Format::Ogg, layout: Layout::Audio, ..options.clone() };
    for (path, tracks) in voices {
        let part = work.begin(&path)?;
        let mut to = match options.speakers.as_ref().map(|speakers| speakers.format) {
            Some(SpeakersFormat::Opus) => Voice::Opus(Output::new(&part, &opus)?),
            _ => Voice::Wav(Wav::new(&part, samples(story))?),
        };
        let sounds = tracks.into_iter().map(|track| Sound::new(Parts::new(files, track)));
        let mut sounds: Vec<Sound<Parts<'_>>> = sounds.collect();
        let end = samples(story);
        for from in (0..end).step_by(BLOCK as usize) {
            let mut mixed = vec![0.0; ((from + BLOCK).min(end) - from) as usize * CHANNELS as usize];
            for sound in &mut sounds {
                sound.add_to(&mut mixed, from, notes)?;
            }
            mixed.iter_mut().for_each(|sample| *sample = sample.clamp(-1.0, 1.0));
            match &mut to {
                Voice::Wav(wav) => wav.add(&mixed)?,
                Voice::Opus(output) => output.sound(from, &mixed)?,
            }
            if work.bytes() > options.max_bytes {
                return Err(ComposeError::TooLarge {
                    bytes: options.max_bytes,
                    micros: from * 1_000_000 / SAMPLE_RATE,
                });
            }
        }
        match to {
            Voice::Wav(wav) => wav.finish()?,
            Voice::Opus(output) => drop(output.finish()?),
        }
    }
    Ok(())
}

enum Voice {
    Wav(Wav),
    Opus(Output),
}

fn samples(story: &Story) -> u64 {
    (u128::from(story.end()) * u128::from(SAMPLE_RATE) / 1_000_000) as u64
}

/// As much of an identity as a file's name can have: letters and digits of ASCII, the rest underlined.
fn plain(identity: &str) -> String {
    let shown = identity.chars().take(40);
    shown.map(|letter| if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '_' }).collect()
}

/// 16 bits, one channel. Silence is skipped, so that the file system need not keep it.
struct Wav {
    path: PathBuf,
    file: BufWriter<File>,
    length: u64,
}

impl Wav {
    fn new(path: &Path, samples: u64) -> Result<Wav, ComposeError> {
        let failed = |error| ComposeError::Io { path: path.to_owned(), error };
        let file = fs::OpenOptions::new().write(true).open(path).map_err(failed)?;
        let mut wav =
            Wav { path: path.to_owned(), file: BufWriter::new(file), length: WAV_HEAD + samples * 2 };
        wav.file.write_all(&head(samples)).map_err(failed)?;
        Ok(wav)
    }

    fn add(&mut self, stereo: &[f32]) -> Result<(), ComposeError> {
        let values = stereo.chunks_exact(CHANNELS as usize).map(|both| {
            let sum: f32 = both.iter().sum();
            (sum / CHANNELS as f32 * f32::from(i16::MAX)).round() as i16
        });
        let values: Vec<i16> = values.collect();
        let added = if values.iter().all(|value| *value == 0) {
            self.file.seek(SeekFrom::Current(2 * values.len() as i64)).map(drop)
        } else {
            let bytes: Vec<u8> = values.into_iter().flat_map(i16::to_le_bytes).collect();
            self.file.write_all(&bytes)
        };
        added.map_err(|error| self.failed(error))
    }

    fn finish(mut self) -> Result<(), ComposeError> {
        let ended = self.file.flush().and_then(|()| self.file.get_ref().set_len(self.length));
        ended.map_err(|error| self.failed(error))
    }

    fn failed(&self, error: io::Error) -> ComposeError {
        ComposeError::Io { path: self.path.clone(), error }
    }
}

/// RIFF, `fmt ` and `data`.
fn head(samples: u64) -> Vec<u8> {
    let (bytes, rate) = ((samples * 2) as u32, SAMPLE_RATE as u32);
    let mut head = b"RIFF".to_vec();
    head.extend((bytes + 36).to_le_bytes());
    head.extend(b"WAVEfmt ");
    head.extend(16_u32.to_le_bytes());
    head.extend([1_u16, 1].into_iter().flat_map(u16::to_le_bytes));
    head.extend([rate, rate * 2].into_iter().flat_map(u32::to_le_bytes));
    head.extend([2_u16, 16].into_iter().flat_map(u16::to_le_bytes));
    head.extend(b"data");
    head.extend(bytes.to_le_bytes());
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_nowhere() {
        assert_eq!(plain("ada.l@example.org"), "ada_l_example_org");
        assert_eq!(plain("../../etc/passwd\0"), "______etc_passwd_");
        assert_eq!(plain(&"é".repeat(100)), "_".repeat(40));
    }

    #[test]
    fn a_head_is_as_long_as_it_is_said() {
        let head = head(48_000);
        assert_eq!(head.len() as u64, WAV_HEAD);
        assert_eq!(head[40..], 96_000_u32.to_le_bytes());
        assert_eq!(head[4..8], 96_036_u32.to_le_bytes());
    }
}
