// SPDX-License-Identifier: EUPL-1.2
//! What film is asked for: layout, size and rates, in the words of `livekit.Egress`. What the composer can't honour is refused with
//! what to ask for instead, and nothing is passed over.

use livekit_protocol::{AudioCodec, EncodedFileType, EncodingOptions, EncodingOptionsPreset, VideoCodec};
use parvis_api::{CAPTURE_LAYOUT, EngineError};

/// How the layouts that are known begin: as the composer calls them. The rest of a name, like `-dark`, is a matter of looks that films
/// don't have.
const LAYOUTS: [&str; 5] = ["grid", "speaker", "screen", "single", AUDIO];
/// The layout without pictures.
const AUDIO: &str = "audio";
/// What a film is called where nobody says, without what its name ends with.
const STEM: &str = "film";
/// What the names of films end with, with pictures and without. A capture's files never end so.
pub(crate) const SUFFIXES: [&str; 2] = [MP4, OGG];
const MP4: &str = ".mp4";
const OGG: &str = ".ogg";
/// The smallest side of a film, and the greatest height, in samples: the composer's.
const MIN_SIDE: u32 = 180;
const MAX_HEIGHT: u32 = 2_160;
/// The lowest bitrate of pictures in kbit/s: the composer's.
const MIN_KBITS: u32 = 50;
/// Kbit/s of sound in either, samples a second of all films' sound, and the seconds between two key frames at most.
const AAC_KBITS: i32 = 128;
const OPUS_KBITS: i32 = 96;
const AUDIO_HERTZ: i32 = 48_000;
const KEY_FRAME_SECONDS: f64 = 2.0;

/// What bounds films, and how they are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// The longest side in samples.
    pub(crate) side: u32,
    /// Pictures a second.
    pub(crate) rate: u32,
    /// What pictures take at most, in kbit/s.
    pub(crate) kbits: u32,
}

/// A film that the composer can make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wish {
    /// As the composer calls it.
    pub(crate) layout: &'static str,
    /// In samples.
    pub(crate) size: (u32, u32),
    /// Pictures a second.
    pub(crate) rate: u32,
    /// What pictures take at most, in kbit/s.
    pub(crate) kbits: u32,
    /// The film's file.
    pub(crate) name: String,
}

/// How a film is to be encoded, as it was asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Encoding<'a> {
    Default,
    Preset(i32),
    Advanced(&'a EncodingOptions),
}

/// The film that a layout, an encoding and a file say. `audio_only` takes the place of the layout.
pub(crate) fn wish(
    (layout, audio_only): (&str, bool),
    encoding: Encoding<'_>,
    file: Option<(EncodedFileType, &str)>,
    bounds: Bounds,
) -> Result<Wish, EngineError> {
    let layout = if audio_only { AUDIO } else { layout_of(layout)? };
    let (name, suffix) = name_of(layout, file.unwrap_or_default())?;
    let (size, rate, kbits) = match encoding {
        Encoding::Default => defaults(bounds),
        Encoding::Preset(preset) => of_preset(preset)?,
        Encoding::Advanced(options) => of_options(options, suffix, bounds)?,
    };
    let (width, height) = size;
    if width.max(height) > bounds.side || height > MAX_HEIGHT {
        let Bounds { side, .. } = bounds;
        return Err(unable(format!(
            "a film of {width}x{height}: ask for at most {side} samples a side (recording.max_film_side), and at most {MAX_HEIGHT} \
             in height"
        )));
    }
    if width.min(height) < MIN_SIDE || (width | height) % 2 != 0 {
        return Err(unable(format!("a film of {width}x{height}: ask for even numbers from {MIN_SIDE} on")));
    }
    if rate > bounds.rate {
        let most = bounds.rate;
        return Err(unable(format!(
            "{rate} pictures a second: ask for at most {most} (recording.max_film_rate)"
        )));
    }
    if !(MIN_KBITS..=bounds.kbits).contains(&kbits) {
        let most = bounds.kbits;
        return Err(unable(format!(
            "pictures of {kbits} kbit/s: ask for {MIN_KBITS} to {most} (recording.max_film_bitrate)"
        )));
    }
    Ok(Wish { layout, size, rate, kbits, name })
}

/// The composer's name of a layout.
pub(crate) fn layout_of(layout: &str) -> Result<&'static str, EngineError> {
    if layout.is_empty() {
        return Ok("grid");
    }
    let fits =
        |known: &str| layout.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    LAYOUTS.into_iter().find(|known| fits(known)).ok_or_else(|| {
        let known: Vec<String> = LAYOUTS.iter().map(|known| format!("{known:?}")).collect();
        unable(format!(
            "films have no layout {layout:?}: ask for {}, or for {CAPTURE_LAYOUT:?}, which keeps every track as it is sent",
            known.join(", ")
        ))
    })
}

/// What a film's file is called, and what that ends with: as was asked for, if that is a plain name; folders there are none.
fn name_of(
    layout: &str,
    (kind, path): (EncodedFileType, &str),
) -> Result<(String, &'static str), EngineError> {
    let sound = layout == AUDIO;
    let suffix = match kind {
        EncodedFileType::Ogg if sound => OGG,
        EncodedFileType::DefaultFiletype if sound && path.ends_with(OGG) => OGG,
        EncodedFileType::DefaultFiletype | EncodedFileType::Mp4 => MP4,
        other => {
            let other = other.as_str_name();
            return Err(unable(format!(
                "a film is MP4, or OGG if it is sound alone, and no {other}: leave the file type out, or ask for audio_only"
            )));
        }
    };
    if path.is_empty() {
        return Ok((format!("{STEM}{suffix}"), suffix));
    }
    if !super::super::is_plain(path) || !path.ends_with(suffix) || path.len() > 100 {
        return Err(unable(format!(
            "a film lies in its recording's folder: as filepath, ask for a name like \"{STEM}{suffix}\" of at most 100 letters, digits, \
             _, - and ., or leave it empty"
        )));
    }
    Ok((path.to_owned(), suffix))
}

type Look = ((u32, u32), u32, u32);

/// 720p30 at 3 Mbit/s, or what of it the bounds leave.
fn defaults(bounds: Bounds) -> Look {
    let size = if bounds.side < 1_280 {
        (bounds.side & !1, (bounds.side * 9 / 16).max(MIN_SIDE) & !1)
    } else {
        (1_280, 720)
    };
    (size, bounds.rate.min(30), bounds.kbits.min(3_000))
}

fn of_preset(preset: i32) -> Result<Look, EngineError> {
    use EncodingOptionsPreset as Preset;
    Ok(match Preset::try_from(preset) {
        Ok(Preset::H264720p30) => ((1_280, 720), 30, 3_000),
        Ok(Preset::H264720p60) => ((1_280, 720), 60, 4_500),
        Ok(Preset::H2641080p30) => ((1_920, 1_080), 30, 4_500),
        Ok(Preset::H2641080p60) => ((1_920, 1_080), 60, 6_000),
        Ok(Preset::PortraitH264720p30) => ((720, 1_280), 30, 3_000),
        Ok(Preset::PortraitH264720p60) => ((720, 1_280), 60, 4_500),
        Ok(Preset::PortraitH2641080p30) => ((1_080, 1_920), 30, 4_500),
        Ok(Preset::PortraitH2641080p60) => ((1_080, 1_920), 60, 6_000),
        Ok(Preset::Passthrough) | Err(_) => {
            return Err(unable(format!(
                "a film is encoded anew: ask for another preset, or for the layout {CAPTURE_LAYOUT:?}, which keeps what is sent as it \
                 is sent"
            )));
        }
    })
}

#[allow(deprecated)]
fn of_options(options: &EncodingOptions, suffix: &str, bounds: Bounds) -> Result<Look, EngineError> {
    let refused = |what: String| Err(unable(what));
    match options.video_codec() {
        // Players of today take whichever of them the encoder chooses.
        VideoCodec::DefaultVc | VideoCodec::H264Main | VideoCodec::H264High => {}
        other => {
            return refused(format!(
                "pictures of films are H264_MAIN or H264_HIGH, and no {}",
                other.as_str_name()
            ));
        }
    }
    let (codec, audio_kbits) =
        if suffix == OGG { (AudioCodec::Opus, OPUS_KBITS) } else { (AudioCodec::Aac, AAC_KBITS) };
    let asked = options.audio_codec();
    if asked != AudioCodec::DefaultAc && asked != codec {
        let (asked, codec) = (asked.as_str_name(), codec.as_str_name());
        return refused(format!("sound of such a film is {codec}, and no {asked}: leave it out"));
    }
    let given = |value: i32| u32::try_from(value).ok().filter(|value| *value > 0);
    for (what, value, only) in [
        ("audio_bitrate", options.audio_bitrate, audio_kbits),
        ("audio_frequency", options.audio_frequency, AUDIO_HERTZ),
        ("depth", options.depth, 24),
        ("audio_quality", options.audio_quality, 0),
        ("video_quality", options.video_quality, 0),
    ] {
        if value != 0 && value != only {
            let instead = if only == 0 { String::new() } else { format!(", or ask for {only}") };
            return refused(format!("{what} {value} is not to be had: leave it out{instead}"));
        }
    }
    let keys = options.key_frame_interval;
    // More of them than were asked for harm nobody.
    if keys != 0.0 && (keys.is_nan() || keys < KEY_FRAME_SECONDS) {
        return refused(format!(
            "a key frame each {keys} s: films have one each {KEY_FRAME_SECONDS} s, leave it out"
        ));
    }
    let (size, rate, kbits) = defaults(bounds);
    let size = match (options.width, options.height) {
        (0, 0) => size,
        (width, height) => match (given(width), given(height)) {
            (Some(width), Some(height)) => (width, height),
            _ => return refused(format!("a film of {width}x{height}: name width and height, or neither")),
        },
    };
    let or = |value: i32, default: u32| if value == 0 { default } else { given(value).unwrap_or(0) };
    let rate = or(options.framerate, rate);
    if rate == 0 {
        return refused("no pictures a second: ask for 1 or more, or for audio_only".to_owned());
    }
    Ok((size, rate, or(options.video_bitrate, kbits)))
}

fn unable(why: String) -> EngineError {
    EngineError::Unable(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { side: 1_920, rate: 60, kbits: 8_000 };

    fn of(layout: &str, encoding: Encoding<'_>, path: &str) -> Result<Wish, String> {
        let file = Some((EncodedFileType::Mp4, path));
        wish((layout, false), encoding, file, BOUNDS).map_err(|error| error.to_string())
    }

    fn advanced(change: impl FnOnce(&mut EncodingOptions)) -> Result<Wish, String> {
        let mut options = EncodingOptions::default();
        change(&mut options);
        of("grid", Encoding::Advanced(&options), "")
    }

    #[test]
    fn layouts_presets_and_names_are_what_the_composer_has() {
        let plain = of("", Encoding::Default, "").unwrap();
        let expected =
            Wish { layout: "grid", size: (1_280, 720), rate: 30, kbits: 3_000, name: "film.mp4".into() };
        assert_eq!(plain, expected);
        for (layout, expected) in [
            ("grid", "grid"),
            ("grid-dark", "grid"),
            ("speaker-light", "speaker"),
            ("single-speaker", "single"),
        ] {
            assert_eq!(of(layout, Encoding::Default, "").unwrap().layout, expected);
        }
        for layout in ["gridlock", "mosaic", "Grid"] {
            let refused = of(layout, Encoding::Default, "").unwrap_err();
            assert!(refused.contains(layout) && refused.contains("\"speaker\", "), "{refused}");
        }
        let sound = wish(("speaker", true), Encoding::Default, None, BOUNDS).unwrap();
        assert_eq!((sound.layout, sound.name.as_str()), ("audio", "film.mp4"));
        let portrait = EncodingOptionsPreset::PortraitH2641080p60.into();
        let portrait = of("grid", Encoding::Preset(portrait), "").unwrap();
        assert_eq!((portrait.size, portrait.rate, portrait.kbits), ((1_080, 1_920), 60, 6_000));
        for preset in [EncodingOptionsPreset::Passthrough.into(), 99] {
            assert!(of("grid", Encoding::Preset(preset), "").unwrap_err().contains("encoded anew"));
        }
        assert_eq!(of("grid", Encoding::Default, "monday.mp4").unwrap().name, "monday.mp4");
        for path in ["a/b.mp4", "../a.mp4", ".mp4", "{room_name}.mp4", "a.mkv", "a.mp4.age", &"a".repeat(101)]
        {
            let refused = of("grid", Encoding::Default, path).unwrap_err();
            assert!(refused.contains("or leave it empty"), "{path}: {refused}");
        }
        let ogg = |audio_only, path| {
            let wished =
                wish(("grid", audio_only), Encoding::Default, Some((EncodedFileType::Ogg, path)), BOUNDS);
            wished.map(|wish| wish.name).map_err(|error| error.to_string())
        };
        assert!(ogg(false, "").unwrap_err().contains("no OGG"));
        assert_eq!((ogg(true, ""), ogg(true, "a.ogg")), (Ok("film.ogg".into()), Ok("a.ogg".into())));
        assert!(ogg(true, "a.mp4").unwrap_err().contains("film.ogg"));
        let named =
            wish(("", true), Encoding::Default, Some((EncodedFileType::DefaultFiletype, "b.ogg")), BOUNDS);
        assert_eq!(named.unwrap().name, "b.ogg");
    }

    #[test]
    fn encodings_are_honoured_within_bounds_and_else_refused_by_name() {
        let honoured = advanced(|options| {
            (options.width, options.height, options.framerate) = (640, 360, 25);
            (options.video_bitrate, options.audio_bitrate, options.key_frame_interval) = (800, 128, 4.0);
            options.set_video_codec(VideoCodec::H264Main);
            options.set_audio_codec(AudioCodec::Aac);
        });
        let honoured = honoured.unwrap();
        let mut opus = EncodingOptions { audio_bitrate: 96, ..Default::default() };
        opus.set_audio_codec(AudioCodec::Opus);
        let sound = |kind| wish(("", true), Encoding::Advanced(&opus), Some((kind, "")), BOUNDS);
        assert_eq!(sound(EncodedFileType::Ogg).unwrap().name, "film.ogg");
        assert!(sound(EncodedFileType::Mp4).unwrap_err().to_string().contains("is AAC, and no OPUS"));
        assert_eq!((honoured.size, honoured.rate, honoured.kbits), ((640, 360), 25, 800));
        type Change = fn(&mut EncodingOptions);
        let refusals: [(Change, &str); 13] = [
            (|options| options.width = 640, "name width and height"),
            (|options| (options.width, options.height) = (-2, 360), "name width and height"),
            (|options| (options.width, options.height) = (2_560, 1_440), "recording.max_film_side"),
            (|options| (options.width, options.height) = (641, 360), "even numbers"),
            (|options| (options.width, options.height) = (640, 90), "even numbers"),
            (|options| options.framerate = 61, "recording.max_film_rate"),
            (|options| options.framerate = -1, "no pictures a second"),
            (|options| options.video_bitrate = 9_000, "recording.max_film_bitrate"),
            (|options| options.video_bitrate = 10, "recording.max_film_bitrate"),
            (|options| options.audio_bitrate = 320, "audio_bitrate 320"),
            (|options| options.audio_frequency = 44_100, "or ask for 48000"),
            (|options| options.key_frame_interval = 0.5, "each 0.5 s"),
            (|options| options.set_video_codec(VideoCodec::Vp8), "no VP8"),
        ];
        for (change, expected) in refusals {
            let refused = advanced(change).unwrap_err();
            assert!(refused.contains(expected), "{expected}: {refused}");
        }
        let small = Bounds { side: 640, rate: 15, kbits: 500 };
        let fits = wish(("grid", false), Encoding::Default, None, small).unwrap();
        assert_eq!(
            (fits.size, fits.rate, fits.kbits),
            ((640, 360), 15, 500),
            "what nobody asked for fits the bounds"
        );
    }
}
