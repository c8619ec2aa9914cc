// SPDX-License-Identifier: EUPL-1.2
//! A part is made: some segments of the picture, one after the other, or all of the sound.

use std::ops::Range;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use gstreamer as gst;

use super::coder::{Chain, PictureCoder};
use super::ledger::Entry;
use super::units::Writer;
use super::{Plan, SOUND, segment, still};
use crate::age::Identity;
use crate::compose::decode::Files;
use crate::compose::film::{Mix, Reel, moment, samples};
use crate::compose::options::{Format, Options};
use crate::compose::output::{AAC_PRIMING, timed};
use crate::compose::story::Story;
use crate::compose::thumbnails::Shots;
use crate::compose::work::Work;
use crate::compose::{CHANNELS, ComposeError, Note, SAMPLE_RATE, entries, once, prepare};
use crate::manifest::Manifest;
use crate::recording::RecordingError;

/// Makes these segments of a film in `folder`, and tells of each once it lies there whole.
pub fn pictures(
    directory: &Path,
    folder: &Path,
    identities: &[Identity],
    options: &Options,
    (plan, which): (&Plan, Range<u64>),
    mut made: impl FnMut(Entry),
) -> Result<(), ComposeError> {
    let manifest = Manifest::read(directory).map_err(RecordingError::from)?;
    let story = Story::new(&manifest, &entries(directory, &manifest, identities)?);
    story.check(options.subject.as_ref())?;
    prepare()?;
    let files = Files { directory, identities };
    let mut reel = Reel::new(files, &manifest, &story, options, plan.pictures_of(which.start).start)?;
    let rate = options.rate;
    let mut total = 0;
    for number in which {
        let (mut work, file) = (Work::default(), segment(number));
        let mut writer = Writer::new(&work.begin(&folder.join(&file))?)?;
        let mut coder = PictureCoder::new(options)?;
        let shots = options.thumbnails.map(|which| Shots::new(which, &still(which, folder, number), options));
        let mut shots = shots.transpose()?;
        let all = plan.pictures_of(number);
        for picture in all.clone() {
            if total + writer.bytes() > options.max_bytes {
                let micros = moment(picture, rate);
                return Err(ComposeError::TooLarge { bytes: options.max_bytes, micros });
            }
            let painted = reel.picture(picture)?;
            if let Some(shots) = &mut shots {
                shots.see(picture, reel.shows_somebody(), &painted, &mut work)?;
            }
            coder.picture(painted, (all.start, picture, rate), &mut writer)?;
        }
        let switches = coder.finish((all.start, rate), &mut writer)?;
        let written = writer.finish()?;
        total += written.bytes;
        let beside = work.finish()?.into_iter().skip(1);
        let name = |path: std::path::PathBuf| path.file_name()?.to_str().map(str::to_owned);
        made(Entry {
            file,
            bytes: written.bytes,
            sha256: written.sha256,
            made_at: now(),
            beside: beside.filter_map(name).collect(),
            notes: noted(&mut reel.notes),
            switches,
        });
    }
    Ok(())
}

/// Makes all of the sound of a film in `folder`.
pub fn sound(
    directory: &Path,
    folder: &Path,
    identities: &[Identity],
    options: &Options,
    plan: &Plan,
) -> Result<Entry, ComposeError> {
    let manifest = Manifest::read(directory).map_err(RecordingError::from)?;
    prepare()?;
    let mut mix = Mix::new(Files { directory, identities }, &manifest);
    let mut work = Work::default();
    let mut writer = Writer::new(&work.begin(&folder.join(SOUND))?)?;
    let chain = Chain::of_sound(options.format)?;
    let priming = if options.format == Format::Mp4 { AAC_PRIMING } else { 0 };
    for number in 0..plan.pictures {
        let piece = samples(number, options.rate);
        let mixed = mix.piece(piece)?;
        // As many samples are left out at the beginning as the encoder puts there.
        let early = priming.saturating_sub(piece.0);
        let heard = mixed.get((early * CHANNELS) as usize..).unwrap_or_default();
        if heard.is_empty() {
            continue;
        }
        let bytes: Vec<u8> = heard.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let from = (piece.0 + early).saturating_sub(priming);
        let to = from + heard.len() as u64 / CHANNELS;
        chain.push(timed(gst::Buffer::from_mut_slice(bytes), from, to, SAMPLE_RATE))?;
        chain.hand_on(0, &mut writer)?;
        if writer.bytes() > options.max_bytes {
            let micros = moment(number, options.rate);
            return Err(ComposeError::TooLarge { bytes: options.max_bytes, micros });
        }
    }
    chain.finish(0, &mut writer)?;
    let written = writer.finish()?;
    work.finish()?;
    Ok(Entry {
        file: SOUND.to_owned(),
        bytes: written.bytes,
        sha256: written.sha256,
        made_at: now(),
        beside: Vec::new(),
        notes: noted(&mut mix.notes),
        switches: Vec::new(),
    })
}

/// What was noted since the last time.
fn noted(notes: &mut Vec<Note>) -> Vec<Note> {
    let mut noted = std::mem::take(notes);
    once(&mut noted);
    noted
}

fn now() -> u64 {
    let passed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(passed.as_millis()).unwrap_or(u64::MAX)
}
