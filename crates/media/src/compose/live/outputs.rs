// SPDX-License-Identifier: EUPL-1.2
//! From pictures and samples of the film to all that is made of it: renditions, the stream, and single pictures.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer_video::{VideoConverter, VideoFormat, VideoFrameRef, VideoInfo};
use parvis_jobs::{AUDIO_RENDITION, Hls, Images, LIVE_DIRECTORY, STREAM, ToServer, UnixMicros};

use super::avc::Parameters;
use super::cmaf::Track;
use super::fifo::Fifo;
use super::segments::{Grid, PICTURE, Writer, write_whole};
use super::sound::{Aac, FRAME_SAMPLES, codec_data};
use super::tap::Tap;
use super::ts::Mux;
use crate::compose::canvas::converter;
use crate::compose::layout::Rect;
use crate::compose::thumbnails::Jpeg;
use crate::compose::{ComposeError, SAMPLE_RATE};
use crate::hardware::{Encoder, Encoders, KEY, Latency, RateControl, Settings, Shape, Unit};

/// How long an encoder may take and give nothing before the next one goes on: less than a viewer has in store.
const PATIENCE: Duration = Duration::from_secs(3);
/// Threads of an encoder in software. Each makes a slice of the picture, and more slices are more bits.
const MAX_THREADS: u32 = 4;
/// What one thread of x264 at `veryfast` encodes in a second of a slow core of 2017 is twice as much.
const SAMPLES_OF_A_THREAD: u64 = 40_000_000;
/// From one key frame to the next in a stream that has no segments, in milliseconds.
const KEY_MILLIS: u32 = 2000;
/// Frames of sound from one program map to the next where there are no pictures: half a second.
const TABLE_FRAMES: u64 = 24;

/// Everything that is made.
pub(super) struct Outputs {
    tap: Arc<Tap>,
    rate: u64,
    grid: Grid,
    renditions: Vec<Rendition>,
    sound: Aac,
    /// Frames of sound so far.
    frames: u64,
    sound_writer: Option<Writer>,
    stream: Option<(Mux, Fifo)>,
    images: Option<Shots>,
    /// Pictures so far, those included that were left out.
    end: u64,
}

/// Pictures in one size and rate.
struct Rendition {
    encoder: Encoder,
    /// How many had failed when a segment began last, and of how many the server was told.
    failed: usize,
    told: usize,
    scaler: Option<Scaler>,
    size: (u32, u32),
    /// The numbers of the pictures that are with the encoder.
    numbers: VecDeque<u64>,
    writer: Option<Writer>,
    into_stream: bool,
    /// What the encoder that runs has told, and what the initialization section says.
    parameters: Parameters,
    declared: Option<Parameters>,
}

struct Scaler {
    converter: VideoConverter,
    from: VideoInfo,
    to: VideoInfo,
}

/// Single pictures.
struct Shots {
    jpeg: Jpeg,
    scaler: Option<Scaler>,
    /// In pictures of the film.
    step: u64,
    next: u64,
    directory: PathBuf,
    zero: UnixMicros,
}

impl Outputs {
    /// What `live` asks for, in `directory`, of pictures in this form. Picture 0 is shown at `zero`.
    pub(super) fn new(
        live: &parvis_jobs::Live,
        directory: &Path,
        tap: &Arc<Tap>,
        info: Option<&VideoInfo>,
        encoders: &Encoders,
        zero: UnixMicros,
    ) -> Result<Outputs, ComposeError> {
        let directory = directory.join(LIVE_DIRECTORY);
        let none =
            Hls { renditions: Vec::new(), segment_millis: KEY_MILLIS, part_millis: 0, keep_segments: 0 };
        let grid = Grid::new(live.hls.as_ref().unwrap_or(&none), live.rate, live.first_sequence, zero);
        let main = (live.width, live.height, live.kbits);
        let mut renditions = Vec::new();
        let start = |size: (u32, u32, u32), info: &VideoInfo, name: Option<&str>| {
            let writer = name.map(|name| Writer::new(&directory, tap, &grid, name, grid.timescale()));
            Rendition::new(size, live.rate, &grid, info, encoders, writer)
        };
        if let Some(info) = info {
            for rendition in live.hls.iter().flat_map(|hls| &hls.renditions) {
                let size = (rendition.width, rendition.height, rendition.kbits);
                let mut made = start(size, info, Some(&rendition.name))?;
                made.into_stream = live.stream
                    && size == main
                    && renditions.iter().all(|other: &Rendition| !other.into_stream);
                renditions.push(made);
            }
            if live.stream && renditions.iter().all(|rendition| !rendition.into_stream) {
                let mut made = start(main, info, None)?;
                made.into_stream = true;
                renditions.push(made);
            }
        }
        let images = live.images.zip(info);
        let images =
            images.map(|(images, info)| Shots::new(images, live, info, &directory, zero)).transpose()?;
        let sound_writer = live
            .hls
            .is_some()
            .then(|| Writer::new(&directory, tap, &grid, AUDIO_RENDITION, SAMPLE_RATE as u32));
        let stream = live.stream.then(|| (Mux::new(info.is_some()), Fifo::new(directory.join(STREAM))));
        Ok(Outputs {
            tap: Arc::clone(tap),
            rate: u64::from(live.rate),
            grid,
            renditions,
            sound: Aac::new()?,
            frames: 0,
            sound_writer,
            stream,
            images,
            end: 0,
        })
    }

    /// Whether a picture must not be left out: a segment begins with it.
    pub(super) fn needs(&self, number: u64) -> bool {
        self.grid.begins_segment(number)
    }

    /// Adds both channels in turns, from sample `from` of the film on.
    pub(super) fn sound(&mut self, from: u64, samples: &[f32]) -> Result<(), ComposeError> {
        self.sound.push(from, samples)
    }

    /// Says that picture `number` has had its turn, whether there is one or not.
    pub(super) fn passed(&mut self, number: u64) {
        self.end = number + 1;
    }

    /// Adds a picture. Numbers that are left out are shown as the one before.
    pub(super) fn picture(&mut self, number: u64, picture: &gst::Buffer) -> Result<(), ComposeError> {
        if let Some(shots) = &mut self.images {
            shots.see(number, self.rate, picture, &self.tap)?;
        }
        let begins = self.grid.begins_segment(number);
        if begins {
            let mut anew = false;
            for rendition in &mut self.renditions {
                let failed = rendition.encoder.switches().len();
                anew |= failed != rendition.failed;
                rendition.failed = failed;
            }
            if anew {
                self.grid.begin_anew(number);
            }
        }
        for place in 0..self.renditions.len() {
            let Some(rendition) = self.renditions.get_mut(place) else { break };
            let mut scaled = match &mut rendition.scaler {
                Some(scaler) => scaler.scale(picture)?,
                None => picture.clone(),
            };
            if begins {
                scaled.make_mut().set_flags(KEY);
            }
            rendition.numbers.push_back(number);
            let (factory, failed) = (rendition.encoder.factory(), rendition.encoder.switches().len());
            let since = Instant::now();
            rendition.encoder.push(scaled)?;
            // Where one hangs, its device does: the others of it are not waited for as well.
            if rendition.encoder.switches().len() > failed && since.elapsed() >= PATIENCE {
                let same = self.renditions.iter_mut().filter(|other| other.encoder.factory() == factory);
                for other in same {
                    other.encoder.give_up("it hangs in another rendition")?;
                }
            }
        }
        Ok(())
    }

    /// Writes what is done by now.
    pub(super) fn collect(&mut self) -> Result<(), ComposeError> {
        for place in 0..self.renditions.len() {
            let Some(rendition) = self.renditions.get_mut(place) else { break };
            rendition.encoder.poll()?;
            let switches = rendition.encoder.switches();
            for switch in switches.get(rendition.told..).unwrap_or_default() {
                self.tap.tell(ToServer::Encoder(switch.note()));
            }
            rendition.told = switches.len();
            self.write_pictures(place)?;
        }
        let frames = self.sound.frames()?;
        self.write_sound(frames)?;
        let dropped = self.stream.as_mut().map_or(0, |(_, fifo)| fifo.take_dropped());
        let switches: usize =
            self.renditions.iter().map(|rendition| rendition.encoder.switches().len()).sum();
        self.tap.count(|progress| {
            progress.dropped_stream += dropped;
            progress.switches = u32::try_from(switches).unwrap_or(u32::MAX);
        });
        Ok(())
    }

    /// Writes all that is left.
    pub(super) fn finish(mut self) -> Result<(), ComposeError> {
        for place in 0..self.renditions.len() {
            let Some(rendition) = self.renditions.get_mut(place) else { break };
            rendition.encoder.finish()?;
            self.write_pictures(place)?;
            let end = self.end * PICTURE;
            let writer = self.renditions.get_mut(place).and_then(|rendition| rendition.writer.as_mut());
            writer.map_or(Ok(()), |writer| writer.flush(end))?;
        }
        let frames = self.sound.finish()?;
        self.write_sound(frames)?;
        let end = self.frames * FRAME_SAMPLES;
        self.sound_writer.as_mut().map_or(Ok(()), |writer| writer.flush(end))
    }

    fn write_pictures(&mut self, place: usize) -> Result<(), ComposeError> {
        let Some(rendition) = self.renditions.get_mut(place) else { return Ok(()) };
        let units: Vec<Unit> = rendition.encoder.units().collect();
        for unit in units {
            let (number, data) = rendition.take(unit, &self.grid)?;
            let Some((mux, fifo)) = self.stream.as_mut().filter(|_| rendition.into_stream) else { continue };
            let Written { key, bytes } = data;
            let picture = rendition.parameters.annex_b(&bytes, key);
            fifo.add(&mux.picture(number * 90_000 / self.rate, key, &picture), key);
        }
        Ok(())
    }

    fn write_sound(&mut self, frames: Vec<Vec<u8>>) -> Result<(), ComposeError> {
        let has_pictures = !self.renditions.is_empty();
        for frame in frames {
            let sample = self.frames * FRAME_SAMPLES;
            if let Some((mux, fifo)) = &mut self.stream {
                let starts = !has_pictures && self.frames.is_multiple_of(TABLE_FRAMES);
                fifo.add(&mux.sound(sample * 90_000 / SAMPLE_RATE, starts, &frame), starts);
            }
            if let Some(writer) = &mut self.sound_writer {
                if self.frames == 0 {
                    let config = self.sound.config().unwrap_or_default().to_vec();
                    let first = self.grid.place(0).0;
                    writer.begin(&Track::Sound { config }, "mp4a.40.2".to_owned(), first, 0)?;
                }
                writer.add(self.grid.place_of_sound(sample), sample, true, frame)?;
            }
            self.frames += 1;
        }
        Ok(())
    }
}

/// A picture as the encoder wrote it.
struct Written {
    key: bool,
    bytes: Vec<u8>,
}

impl Rendition {
    fn new(
        (width, height, kbits): (u32, u32, u32),
        rate: u32,
        grid: &Grid,
        info: &VideoInfo,
        encoders: &Encoders,
        writer: Option<Writer>,
    ) -> Result<Rendition, ComposeError> {
        let gop = u32::try_from(grid.segment).unwrap_or(u32::MAX);
        let shape = Shape { width, height, rate };
        let mut encoder = Encoder::start(encoders, &settings(kbits, gop, shape), shape, PATIENCE)?;
        encoder.keep_parameters_apart();
        Ok(Rendition {
            failed: encoder.switches().len(),
            told: 0,
            encoder,
            scaler: Scaler::new(info, (width, height))?,
            size: (width, height),
            numbers: VecDeque::new(),
            writer,
            into_stream: false,
            parameters: Parameters::default(),
            declared: None,
        })
    }

    /// Takes a picture from the encoder, and says which one it is.
    fn take(&mut self, unit: Unit, grid: &Grid) -> Result<(u64, Written), ComposeError> {
        let failed = |why: &str| ComposeError::Pipeline(format!("{}: {why}", self.encoder.factory()));
        let number = self.numbers.pop_front().ok_or_else(|| failed("it gave a picture too many"))?;
        if unit.dts > unit.pts {
            return Err(failed("it changes the order of pictures, which nobody can wait for here"));
        }
        let record = unit.caps.as_ref().and_then(|caps| codec_data(caps)).unwrap_or_default();
        if record != self.parameters.record {
            self.parameters =
                Parameters::read(&record).ok_or_else(|| failed("it does not tell its parameters"))?;
        }
        let bytes = unit.buffer.map_readable().map_err(|_| failed("a picture can't be read"))?.to_vec();
        if let Some(writer) = &mut self.writer {
            let (place, time) = (grid.place(number), number * PICTURE);
            let anew = grid.begins_segment(number) && grid.is_break(place.0);
            if self.declared.is_none() || anew && self.declared.as_ref() != Some(&self.parameters) {
                let (width, height) = self.size;
                let track = Track::Pictures { width, height, record };
                writer.begin(&track, self.parameters.codec(), place.0, time)?;
                self.declared = Some(self.parameters.clone());
            }
            // Another encoder went on in the middle of a segment: until that ends its parameters stand with its key frames.
            let is_declared = self.declared.as_ref() == Some(&self.parameters);
            let data =
                if unit.key && !is_declared { self.parameters.with_sets(&bytes) } else { bytes.clone() };
            writer.add(place, time, unit.key, data)?;
        }
        Ok((number, Written { key: unit.key, bytes }))
    }
}

/// What a live film asks of its encoder. As few threads as are in time: each has a slice of every picture, which costs time and
/// bits.
pub(super) fn settings(kbits: u32, gop: u32, shape: Shape) -> Settings {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let Shape { width, height, rate } = shape;
    let samples = u64::from(width) * u64::from(height) * u64::from(rate);
    let threads = samples.div_ceil(SAMPLES_OF_A_THREAD).min(cores as u64);
    Settings {
        kbits,
        gop,
        latency: Latency::Low,
        rate_control: RateControl::Cbr,
        threads: u32::try_from(threads).unwrap_or(MAX_THREADS).clamp(1, MAX_THREADS),
        ..Settings::default()
    }
}

impl Scaler {
    /// `None` where nothing is to be done.
    fn new(from: &VideoInfo, (width, height): (u32, u32)) -> Result<Option<Scaler>, ComposeError> {
        if (from.width(), from.height()) == (width, height) {
            return Ok(None);
        }
        let to = VideoInfo::builder(VideoFormat::I420, width, height).build()?;
        let converter = converter(from, &to, Rect { x: 0, y: 0, width, height })?;
        Ok(Some(Scaler { converter, from: from.clone(), to }))
    }

    fn scale(&mut self, picture: &gst::Buffer) -> Result<gst::Buffer, ComposeError> {
        let mut scaled = gst::Buffer::with_size(self.to.size())?;
        let from = VideoFrameRef::from_buffer_ref_readable(picture, &self.from)?;
        let mut to = VideoFrameRef::from_buffer_ref_writable(scaled.make_mut(), &self.to)?;
        self.converter.frame_ref(&from, &mut to);
        drop(to);
        Ok(scaled)
    }
}

impl Shots {
    fn new(
        images: Images,
        live: &parvis_jobs::Live,
        info: &VideoInfo,
        directory: &Path,
        zero: UnixMicros,
    ) -> Result<Shots, ComposeError> {
        let size = (images.width, images.height);
        Ok(Shots {
            jpeg: Jpeg::new(size)?,
            scaler: Scaler::new(info, size)?,
            step: (u64::from(images.every_millis) * u64::from(live.rate) / 1000).max(1),
            next: live.first_image,
            directory: directory.to_owned(),
            zero,
        })
    }

    fn see(&mut self, number: u64, rate: u64, picture: &gst::Buffer, tap: &Tap) -> Result<(), ComposeError> {
        if !number.is_multiple_of(self.step) {
            return Ok(());
        }
        let jpeg = match &mut self.scaler {
            Some(scaler) => self.jpeg.of(&scaler.scale(picture)?)?,
            None => self.jpeg.of(picture)?,
        };
        let name = format!("image-{}.jpg", self.next);
        write_whole(&self.directory, &name, &jpeg)?;
        let at = UnixMicros(self.zero.0 + number * 1_000_000 / rate);
        tap.tell(ToServer::Image { name, number: self.next, at });
        self.next += 1;
        Ok(())
    }
}
