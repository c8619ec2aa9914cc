// SPDX-License-Identifier: EUPL-1.2
//! From the parts of a track to decoded pictures and samples.
//!
//! Each part has a small pipeline of its own that decodes as fast as it is asked and holds two buffers at most. It shares no
//! clock and no thread with the others, so none can hold another one up.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSrc, AppSrcCallbacks};
use gstreamer_video::VideoInfo;
use parvis_jobs::Codec;

use super::stretch::stretched;
use super::{CHANNELS, ComposeError, Note, PATIENCE, SAMPLE_RATE, element, first_error, launch};
use crate::age::Identity;
use crate::manifest::{Part, Track};
use crate::mkv::{Block, Cluster, MkvError, Reader, ReaderLimits, TrackHead};
use crate::recording::{self, Plain, RecordingError};

/// Where the recording lies, and what opens it.
#[derive(Clone, Copy)]
pub(super) struct Files<'a> {
    pub(super) directory: &'a Path,
    pub(super) identities: &'a [Identity],
}

/// A decoded picture.
#[derive(Debug, Clone)]
pub(super) struct Picture {
    /// In microseconds since the recording's start.
    pub(super) at: u64,
    pub(super) info: VideoInfo,
    pub(super) buffer: gst::Buffer,
}

/// What decoded buffers of a track come from.
pub(super) trait Feed {
    /// The next decoded buffer; `None` where there is none up to `until`, in microseconds since the recording's start. What
    /// can't be decoded is left out, with a note.
    fn next_buffer(&mut self, until: u64, notes: &mut Vec<Note>)
    -> Result<Option<gst::Sample>, ComposeError>;
}

/// The pictures of a track, in order.
pub(super) struct Pictures<F> {
    pub(super) feed: F,
    next: Option<Picture>,
    shown: Option<Picture>,
}

impl<F: Feed> Pictures<F> {
    pub(super) fn new(feed: F) -> Pictures<F> {
        Pictures { feed, next: None, shown: None }
    }

    /// Goes on to the newest picture up to `until`, in microseconds. Says whether it is another one than before.
    pub(super) fn advance(&mut self, until: u64, notes: &mut Vec<Note>) -> Result<bool, ComposeError> {
        let mut changed = false;
        loop {
            if self.next.is_none() {
                self.next = self.feed.next_buffer(until, notes)?.and_then(|sample| picture(&sample));
            }
            match self.next.take() {
                Some(next) if next.at <= until => {
                    self.shown = Some(next);
                    changed = true;
                }
                next => {
                    self.next = next;
                    return Ok(changed);
                }
            }
        }
    }

    pub(super) fn shown(&self) -> Option<&Picture> {
        self.shown.as_ref()
    }
}

fn picture(sample: &gst::Sample) -> Option<Picture> {
    let info = VideoInfo::from_caps(sample.caps()?).ok()?;
    let buffer = sample.buffer_owned()?;
    Some(Picture { at: buffer.pts()?.useconds(), info, buffer })
}

/// The sound of a track.
pub(super) struct Sound<F> {
    pub(super) feed: F,
    /// Samples that wait: where they begin, in samples per channel since the recording's start, and both channels in turns.
    held: VecDeque<(u64, Vec<f32>)>,
    /// Where the last ones end.
    end: u64,
}

/// Clocks are corrected in small steps: up to this many samples (15 ms), what follows is joined without a seam, and comes to its
/// time by and by.
const JOINED: u64 = SAMPLE_RATE * 15 / 1000;

impl<F: Feed> Sound<F> {
    pub(super) fn new(feed: F) -> Sound<F> {
        Sound { feed, held: VecDeque::new(), end: 0 }
    }

    /// Adds what belongs to the samples from `from` on to `mix`, both channels in turns.
    pub(super) fn add_to(
        &mut self,
        mix: &mut [f32],
        from: u64,
        notes: &mut Vec<Note>,
    ) -> Result<(), ComposeError> {
        let to = from + mix.len() as u64 / CHANNELS;
        while self.held.is_empty() || self.end < to {
            match self.feed.next_buffer(to * 1_000_000 / SAMPLE_RATE, notes)? {
                Some(sample) => self.hold(&sample),
                None => break,
            }
        }
        for (at, samples) in &self.held {
            let (skipped, into) = (from.saturating_sub(*at), at.saturating_sub(from));
            let samples = samples.get((skipped * CHANNELS) as usize..).unwrap_or_default();
            let mixed = mix.get_mut((into * CHANNELS) as usize..).unwrap_or_default();
            for (mixed, sample) in mixed.iter_mut().zip(samples) {
                *mixed += sample;
            }
        }
        self.held.retain(|(at, samples)| at + samples.len() as u64 / CHANNELS > to);
        Ok(())
    }

    fn hold(&mut self, sample: &gst::Sample) {
        let Some((at, buffer)) = sample.buffer().and_then(|buffer| Some((buffer.pts()?.useconds(), buffer)))
        else {
            return;
        };
        let Ok(bytes) = buffer.map_readable() else { return };
        let values = bytes.chunks_exact(4).filter_map(|four| Some(f32::from_le_bytes(*four.first_chunk()?)));
        let mut samples: Vec<f32> = values.collect();
        let mut at = at * SAMPLE_RATE / 1_000_000;
        if self.end > 0 && at.abs_diff(self.end) <= JOINED {
            samples = stretched(samples, at.cast_signed() - self.end.cast_signed());
            at = self.end;
        } else if at < self.end {
            let twice = ((self.end - at) * CHANNELS) as usize;
            samples.drain(..twice.min(samples.len()));
            at = self.end;
        }
        self.end = at + samples.len() as u64 / CHANNELS;
        self.held.push_back((at, samples));
    }
}

/// The parts of a track, of which one is open at a time, and only once its time has come.
pub(super) struct Parts<'a> {
    files: Files<'a>,
    codec: Codec,
    left: std::slice::Iter<'a, Part>,
    /// What is shown then is the first that is wanted, in microseconds.
    from: u64,
    open: Option<Decoder>,
}

impl<'a> Parts<'a> {
    pub(super) fn new(files: Files<'a>, track: &'a Track) -> Parts<'a> {
        Parts::since(files, track, 0)
    }

    /// As [`Parts::new`], without what nobody needs who begins at the moment `from`, in microseconds since the recording's start: he
    /// needs what is shown then, and so what has come since the key frame before.
    pub(super) fn since(files: Files<'a>, track: &'a Track, from: u64) -> Parts<'a> {
        let begun = track.parts.iter().rposition(|part| part.first <= from);
        let first = begun.filter(|_| from > 0).unwrap_or(0);
        let left = track.parts.get(first..).unwrap_or_default().iter();
        Parts { files, codec: track.codec, left, from, open: None }
    }
}

impl Feed for Parts<'_> {
    /// The next part is opened when its time has come. One that is damaged ends where it is.
    fn next_buffer(
        &mut self,
        until: u64,
        notes: &mut Vec<Note>,
    ) -> Result<Option<gst::Sample>, ComposeError> {
        loop {
            let Some(decoder) = &mut self.open else {
                let Some(part) = self.left.as_slice().first().filter(|part| part.first <= until) else {
                    return Ok(None);
                };
                self.left.next();
                match Decoder::open(self.files, part, self.codec, self.from) {
                    Ok(decoder) => self.open = decoder,
                    Err(ComposeError::Recording(RecordingError::Content { name, error })) => {
                        notes.push(Note { file: name, what: error.to_string() });
                    }
                    Err(error) => return Err(error),
                }
                continue;
            };
            if let Some(sample) = decoder.next_buffer() {
                return Ok(Some(sample));
            }
            if let Some(what) = decoder.trouble() {
                notes.push(Note { file: decoder.name.clone(), what });
            }
            self.open = None;
        }
    }
}

/// A part that is being decoded.
struct Decoder {
    name: String,
    pipeline: gst::Pipeline,
    sink: AppSink,
    /// What is wrong with the file.
    unreadable: Arc<Mutex<Option<String>>>,
}

impl Decoder {
    /// `None` for a part of which a killed worker wrote nothing. It begins at the last key frame up to the moment `from`.
    fn open(files: Files<'_>, part: &Part, codec: Codec, from: u64) -> Result<Option<Decoder>, ComposeError> {
        let name = part.file.name.clone();
        let Some((mut frames, head)) = Frames::open(files, part)? else { return Ok(None) };
        // Read twice: what lies between two key frames may be too much to hold.
        let passed_over = match part.first < from {
            true => Frames::open(files, part)?.map_or(0, |(frames, _)| frames.before_key(from / 1_000)),
            false => 0,
        };
        frames.pass_over(passed_over);
        let pipeline = launch(&chain(codec, 2))?;
        let source: AppSrc = element(&pipeline, "in")?;
        let sink: AppSink = element(&pipeline, "out")?;
        source.set_caps(Some(&caps(head.codec, head.channels, &head.private)));
        let unreadable = Arc::new(Mutex::new(None));
        let told = Arc::clone(&unreadable);
        let feed = move |source: &AppSrc, _wanted: u32| match frames.next_frame() {
            Ok(Some(block)) => {
                let at = gst::ClockTime::from_mseconds(block.timestamp);
                let _ = source.push_buffer(coded(block.data, at, block.key));
            }
            Ok(None) => drop(source.end_of_stream()),
            Err(error) => {
                *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
                let _ = source.end_of_stream();
            }
        };
        source.set_callbacks(AppSrcCallbacks::builder().need_data(feed).build());
        let decoder = Decoder { name, pipeline, sink, unreadable };
        decoder.pipeline.set_state(gst::State::Playing).map_err(|_| decoder.refused())?;
        Ok(Some(decoder))
    }

    /// `None` at the end, or where it goes no further.
    fn next_buffer(&mut self) -> Option<gst::Sample> {
        self.sink.try_pull_sample(PATIENCE)
    }

    /// Why it ended, if not by its end.
    fn trouble(&self) -> Option<String> {
        let unreadable = self.unreadable.lock().unwrap_or_else(PoisonError::into_inner).take();
        unreadable.or_else(|| first_error(&self.pipeline)).or_else(|| {
            let stuck = !self.sink.is_eos();
            stuck.then(|| format!("the decoder gave nothing for {} s", PATIENCE.seconds()))
        })
    }

    fn refused(&self) -> ComposeError {
        let why = first_error(&self.pipeline).unwrap_or_else(|| "the decoder does not start".to_owned());
        ComposeError::Pipeline(format!("{}: {why}", self.name))
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// The frames of a file, one after the other.
struct Frames {
    reader: Option<Reader<Plain>>,
    waiting: VecDeque<Block>,
    /// May end within a cluster.
    interrupted: bool,
}

impl Frames {
    /// Those of a part, and what stands before them; `None` for a part of which a killed worker wrote nothing.
    fn open(files: Files<'_>, part: &Part) -> Result<Option<(Frames, TrackHead)>, ComposeError> {
        let Some(plain) = recording::open_if_begun(files.directory, &part.file, files.identities)? else {
            return Ok(None);
        };
        let interrupted = part.file.sha256.is_none();
        let reader = match Reader::new(plain, ReaderLimits::default()) {
            Ok(reader) => reader,
            Err(MkvError::Truncated { .. }) if interrupted => return Ok(None),
            Err(error) => {
                return Err(RecordingError::Content { name: part.file.name.clone(), error }.into());
            }
        };
        let head = reader.head().track.clone();
        Ok(Some((Frames { reader: Some(reader), waiting: VecDeque::new(), interrupted }, head)))
    }

    /// How many frames come before the last key frame up to a moment, in milliseconds. What is wrong with the file is for
    /// whoever decodes it.
    fn before_key(mut self, until: u64) -> u64 {
        let (mut count, mut before) = (0, 0);
        while let Ok(Some(block)) = self.next_frame()
            && block.timestamp <= until
        {
            if block.key {
                before = count;
            }
            count += 1;
        }
        before
    }

    /// Leaves out so many frames, which are known to be whole.
    fn pass_over(&mut self, count: u64) {
        for _ in 0..count {
            let _ = self.next_frame();
        }
    }

    fn next_frame(&mut self) -> Result<Option<Block>, MkvError> {
        loop {
            if let Some(block) = self.waiting.pop_front() {
                return Ok(Some(block));
            }
            let Some(reader) = &mut self.reader else { return Ok(None) };
            match reader.next_cluster() {
                Ok(Some(Cluster { blocks, .. })) => self.waiting.extend(blocks),
                Ok(None) => self.reader = None,
                Err(MkvError::Truncated { .. }) if self.interrupted => self.reader = None,
                Err(error) => {
                    self.reader = None;
                    return Err(error);
                }
            }
        }
    }
}

/// A frame for a decoder.
pub(super) fn coded(data: Vec<u8>, at: gst::ClockTime, key: bool) -> gst::Buffer {
    let mut buffer = gst::Buffer::from_mut_slice(data);
    if let Some(buffer) = buffer.get_mut() {
        buffer.set_pts(at);
        if !key {
            buffer.set_flags(gst::BufferFlags::DELTA_UNIT);
        }
    }
    buffer
}

/// From `in` to `out`, where `held` decoded buffers wait at most. A decoder goes on behind a frame that it can't take, however
/// many there are: one bad second is no reason to lose the rest.
pub(super) fn chain(codec: Codec, held: u32) -> String {
    let decoder = match codec {
        Codec::Opus => {
            "opusdec max-errors=-1 ! audioconvert ! audio/x-raw,format=F32LE,rate=48000,channels=2,layout=interleaved"
        }
        Codec::Vp8 => "vp8dec max-errors=-1 threads=1",
        Codec::Vp9 => "vp9dec max-errors=-1 threads=1",
        Codec::Av1 => "av1dec max-errors=-1",
        Codec::H264 => "h264parse ! avdec_h264 max-errors=-1 max-threads=1",
    };
    format!(
        "appsrc name=in format=time max-buffers=4 max-bytes=0 ! {decoder} ! \
         appsink name=out sync=false max-buffers={held} wait-on-eos=false"
    )
}

/// The form of a track's frames; `private` is Matroska's `CodecPrivate`.
pub(super) fn caps(codec: Codec, channels: u8, private: &[u8]) -> gst::Caps {
    let caps = match codec {
        Codec::Opus => gst::Caps::builder("audio/x-opus")
            .field("channel-mapping-family", 0)
            .field("channels", i32::from(channels))
            .field("rate", SAMPLE_RATE as i32),
        Codec::Vp8 => gst::Caps::builder("video/x-vp8"),
        Codec::Vp9 => gst::Caps::builder("video/x-vp9"),
        Codec::Av1 => {
            gst::Caps::builder("video/x-av1").field("stream-format", "obu-stream").field("alignment", "tu")
        }
        Codec::H264 => {
            gst::Caps::builder("video/x-h264").field("stream-format", "avc").field("alignment", "au")
        }
    };
    // What the file has of Opus says what the caps say already.
    let private =
        (codec != Codec::Opus && !private.is_empty()).then(|| gst::Buffer::from_slice(private.to_vec()));
    caps.field_if_some("codec_data", private).build()
}
