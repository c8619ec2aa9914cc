// SPDX-License-Identifier: EUPL-1.2
//! The one table of encoders: what each of our settings is called there, in which unit, and which word of its own it takes.
//!
//! Names, units and words are those of GStreamer's documentation (gstreamer.freedesktop.org/documentation: `nvcodec`, `va`,
//! `vaapi`, `svtav1`) and of its sources: `nvcodec` and `va` as of 1.22 and 1.26, `svtav1` as of 1.24. Those that Debian 12 has
//! were read with `gst-inspect-1.0` 1.22.0: `x264enc`, `openh264enc`, `x265enc`, `av1enc`, `vp8enc`, `vp9enc`. A row
//! may give several names, of several versions: the first that the element has is taken.

use super::settings::Speed;
use super::{Family, VideoCodec};

/// An encoder that we know.
#[derive(Debug, PartialEq, Eq)]
pub struct Candidate {
    /// GStreamer's name of the element.
    pub factory: &'static str,
    /// What it writes.
    pub codec: VideoCodec,
    /// Who does the work.
    pub family: Family,
    pub(super) rows: &'static [Row],
}

/// One property.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) names: &'static [&'static str],
    pub(super) value: Value,
}

/// What a property is set to. Words are looked up by the property's type: a number, `true`, or a word of an enumeration, of
/// which several may be given as `new|old`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// The rate: how many of the property's units a kbit/s is.
    Rate(u64),
    /// The same, but not where one quality is kept: the element would take the rate for an order.
    RateUnlessCq(u64),
    /// Pictures from key frame to key frame.
    Gop,
    /// Pictures between key frames.
    GopLessOne,
    /// Threads, if their number was said.
    Threads,
    /// The quantizer, on a scale that ends at this number, where one quality is kept.
    Quantizer(u32),
    /// The word for each way of rate control.
    RateControl { cbr: &'static str, vbr: &'static str, cq: &'static str },
    /// The word for each speed, the fastest first.
    Speed([&'static str; 4]),
    /// This, where nothing may wait. Elements without the property never let anything wait.
    Low(&'static str),
    /// This, if it is there.
    Always(&'static str),
}

impl Value {
    /// What people call the setting behind it.
    pub(super) fn setting(&self) -> &'static str {
        match self {
            Value::Rate(_) | Value::RateUnlessCq(_) => "bitrate",
            Value::Gop | Value::GopLessOne => "key frame interval",
            Value::Threads => "threads",
            Value::Quantizer(_) => "quality",
            Value::RateControl { .. } => "rate control",
            Value::Speed(_) => "speed",
            Value::Low(_) => "latency",
            Value::Always(_) => "fixed",
        }
    }
}

impl Candidate {
    /// The element of this name, if we know it.
    pub fn named(factory: &str) -> Option<&'static Candidate> {
        CANDIDATES.iter().find(|candidate| candidate.factory == factory)
    }

    /// Those for a codec, in the order in which they are tried.
    pub fn of(codec: VideoCodec) -> impl Iterator<Item = &'static Candidate> {
        CANDIDATES.iter().filter(move |candidate| candidate.codec == codec)
    }

    /// The element that puts what it writes in order for files and decoders; none for codecs that need none.
    pub(super) fn parser(&self) -> Option<&'static str> {
        match self.codec {
            VideoCodec::H264 => Some("h264parse"),
            VideoCodec::H265 => Some("h265parse"),
            VideoCodec::Av1 => Some("av1parse"),
            VideoCodec::Vp8 | VideoCodec::Vp9 => None,
        }
    }

    /// What must be there for the element.
    pub(super) fn needs(&self) -> &'static str {
        match (self.family, self.factory) {
            (Family::Nvenc, _) => {
                "needs gstreamer1.0-plugins-bad, and NVIDIA's driver with libcuda and libnvidia-encode"
            }
            (Family::Vaapi, "vaapih264enc") => {
                "needs gstreamer1.0-vaapi, /dev/dri/renderD*, and a VA-API driver"
            }
            (Family::Vaapi, _) => {
                "needs gstreamer1.0-plugins-bad, /dev/dri/renderD*, and a VA-API driver whose GPU encodes it"
            }
            (Family::Software, "x264enc") => "needs gstreamer1.0-plugins-ugly",
            (Family::Software, "vp8enc" | "vp9enc") => "needs gstreamer1.0-plugins-good",
            (Family::Software, "svtav1enc") => "needs GStreamer 1.24 with SVT-AV1",
            (Family::Software, _) => "needs gstreamer1.0-plugins-bad",
        }
    }
}

impl Speed {
    pub(super) fn place(self) -> usize {
        match self {
            Speed::Fastest => 0,
            Speed::Fast => 1,
            Speed::Medium => 2,
            Speed::Slow => 3,
        }
    }
}

const fn row(names: &'static [&'static str], value: Value) -> Row {
    Row { names, value }
}

const fn nv(factory: &'static str, codec: VideoCodec) -> Candidate {
    Candidate { factory, codec, family: Family::Nvenc, rows: NVENC }
}

const fn va(factory: &'static str, codec: VideoCodec, rows: &'static [Row]) -> Candidate {
    Candidate { factory, codec, family: Family::Vaapi, rows }
}

const fn soft(factory: &'static str, codec: VideoCodec, rows: &'static [Row]) -> Candidate {
    Candidate { factory, codec, family: Family::Software, rows }
}

/// All that we know, for each codec in the order in which they are tried.
pub(super) const CANDIDATES: &[Candidate] = &[
    nv("nvh264enc", VideoCodec::H264),
    nv("nvcudah264enc", VideoCodec::H264),
    nv("nvautogpuh264enc", VideoCodec::H264),
    va("vah264enc", VideoCodec::H264, VA),
    va("vah264lpenc", VideoCodec::H264, VA),
    va("vaapih264enc", VideoCodec::H264, VAAPI),
    soft("x264enc", VideoCodec::H264, X264),
    soft("openh264enc", VideoCodec::H264, OPENH264),
    nv("nvh265enc", VideoCodec::H265),
    nv("nvcudah265enc", VideoCodec::H265),
    nv("nvautogpuh265enc", VideoCodec::H265),
    va("vah265enc", VideoCodec::H265, VA),
    va("vah265lpenc", VideoCodec::H265, VA),
    soft("x265enc", VideoCodec::H265, X265),
    nv("nvav1enc", VideoCodec::Av1),
    nv("nvcudaav1enc", VideoCodec::Av1),
    nv("nvautogpuav1enc", VideoCodec::Av1),
    va("vaav1enc", VideoCodec::Av1, VA_AV1),
    va("vaav1lpenc", VideoCodec::Av1, VA_AV1),
    soft("svtav1enc", VideoCodec::Av1, SVT_AV1),
    soft("av1enc", VideoCodec::Av1, AOM),
    soft("vp9enc", VideoCodec::Vp9, VP9),
    soft("vp8enc", VideoCodec::Vp8, VP8),
];

/// NVENC, both generations of elements: rates are kbit/s. One quality is `vbr` with a target quality and the rate as a ceiling.
/// `p1` to `p7` are the presets of 1.24, `hp` to `hq` those of before.
const NVENC: &[Row] = &[
    row(&["rc-mode", "rate-control"], Value::RateControl { cbr: "cbr", vbr: "vbr", cq: "vbr" }),
    row(&["bitrate"], Value::RateUnlessCq(1)),
    row(&["max-bitrate"], Value::Rate(1)),
    row(&["const-quality"], Value::Quantizer(51)),
    row(&["gop-size"], Value::Gop),
    row(&["preset"], Value::Speed(["p1|hp", "p2|hp", "p4|default", "p6|hq"])),
    row(&["tune"], Value::Low("ultra-low-latency")),
    row(&["zerolatency", "zero-reorder-delay"], Value::Low("true")),
    row(&["rc-lookahead"], Value::Low("0")),
    row(&["bframes", "b-frames"], Value::Low("0")),
];

/// VA-API by the plugin `va`: rates are kbit/s, a group has 1024 pictures at most, `target-usage` is 1 (best) to 7 (fastest).
const VA: &[Row] = &[
    row(&["rate-control"], Value::RateControl { cbr: "cbr", vbr: "vbr", cq: "qvbr|vbr" }),
    row(&["bitrate"], Value::Rate(1)),
    row(&["qpi", "qp-i"], Value::Quantizer(51)),
    row(&["key-int-max"], Value::Gop),
    row(&["target-usage"], Value::Speed(["7", "6", "4", "2"])),
    row(&["b-frames"], Value::Low("0")),
];

/// The same for AV1, whose quantizer goes up to 255.
const VA_AV1: &[Row] = &[
    row(&["rate-control"], Value::RateControl { cbr: "cbr", vbr: "vbr", cq: "vbr" }),
    row(&["bitrate"], Value::Rate(1)),
    row(&["qp"], Value::Quantizer(255)),
    row(&["key-int-max"], Value::Gop),
    row(&["target-usage"], Value::Speed(["7", "6", "4", "2"])),
    row(&["gf-group-size"], Value::Low("1")),
];

/// The older plugin `vaapi`: `quality-level` is 1 (best) to 7 (fastest).
const VAAPI: &[Row] = &[
    row(&["rate-control"], Value::RateControl { cbr: "cbr", vbr: "vbr", cq: "qvbr|vbr" }),
    row(&["bitrate"], Value::Rate(1)),
    row(&["init-qp"], Value::Quantizer(51)),
    row(&["keyframe-period"], Value::Gop),
    row(&["quality-level"], Value::Speed(["7", "6", "4", "2"])),
    row(&["max-bframes"], Value::Low("0")),
];

/// `pass=cbr` is the rate on average within the buffer (`vbv-buf-capacity`, in milliseconds), `qual` is one quality with the
/// rate as a ceiling over two seconds.
const X264: &[Row] = &[
    row(&["pass"], Value::RateControl { cbr: "cbr", vbr: "cbr", cq: "qual" }),
    row(&["vbv-buf-capacity"], Value::RateControl { cbr: "600", vbr: "4000", cq: "2000" }),
    row(&["bitrate"], Value::Rate(1)),
    row(&["quantizer"], Value::Quantizer(51)),
    row(&["key-int-max"], Value::Gop),
    row(&["speed-preset"], Value::Speed(["ultrafast", "veryfast", "medium", "slow"])),
    row(&["tune"], Value::Low("zerolatency")),
    row(&["threads"], Value::Threads),
];

/// Rates are bit/s. It has no quality to keep: `quality` is the rate with a care for the picture. It never looks ahead.
const OPENH264: &[Row] = &[
    row(&["rate-control"], Value::RateControl { cbr: "bitrate", vbr: "quality", cq: "quality" }),
    row(&["bitrate"], Value::Rate(1000)),
    row(&["gop-size"], Value::Gop),
    row(&["complexity"], Value::Speed(["low", "low", "medium", "high"])),
    row(&["multi-thread"], Value::Threads),
    // Pictures that are left out would be missing from the film.
    row(&["enable-frame-skip"], Value::Always("false")),
];

/// No choice of rate control: `qp` is one quantizer whatever it costs, so that only the rate is used.
const X265: &[Row] = &[
    row(&["bitrate"], Value::Rate(1)),
    row(&["key-int-max"], Value::Gop),
    row(&["speed-preset"], Value::Speed(["ultrafast", "superfast", "medium", "slow"])),
    row(&["tune"], Value::Low("zerolatency")),
];

/// `target-bitrate` (kbit/s) switches from one quality to a rate, `max-bitrate` is the ceiling of either.
const SVT_AV1: &[Row] = &[
    row(&["target-bitrate"], Value::RateUnlessCq(1)),
    row(&["max-bitrate"], Value::Rate(1)),
    row(&["crf"], Value::Quantizer(63)),
    row(&["intra-period-length"], Value::GopLessOne),
    row(&["preset"], Value::Speed(["12", "10", "8", "5"])),
    row(&["parameters-string"], Value::Low("pred-struct=1")),
    row(&["logical-processors"], Value::Threads),
];

/// libaom: `target-bitrate` is kbit/s. Its constrained quality can't be given a level by the element.
const AOM: &[Row] = &[
    row(&["end-usage"], Value::RateControl { cbr: "cbr", vbr: "vbr", cq: "vbr" }),
    row(&["target-bitrate"], Value::Rate(1)),
    row(&["keyframe-max-dist"], Value::Gop),
    row(&["cpu-used"], Value::Speed(["10", "8", "6", "4"])),
    row(&["usage-profile"], Value::Speed(["realtime", "realtime", "good-quality", "good-quality"])),
    row(&["lag-in-frames"], Value::Low("0")),
    row(&["threads"], Value::Threads),
];

/// libvpx: `target-bitrate` is bit/s, `deadline` microseconds for a picture, 1 being as fast as possible.
const VP8: &[Row] = &[
    row(&["end-usage"], Value::RateControl { cbr: "cbr", vbr: "vbr", cq: "cq" }),
    row(&["target-bitrate"], Value::Rate(1000)),
    row(&["cq-level"], Value::Quantizer(63)),
    row(&["keyframe-max-dist"], Value::Gop),
    row(&["deadline"], Value::Speed(["1", "1", "1000000", "1000000"])),
    row(&["cpu-used"], Value::Speed(["12", "8", "4", "1"])),
    row(&["lag-in-frames"], Value::Low("0")),
    row(&["threads"], Value::Threads),
];

/// As VP8; its `cpu-used` ends at 8, and rows of a picture may be shared among threads.
const VP9: &[Row] = &[
    row(&["end-usage"], Value::RateControl { cbr: "cbr", vbr: "vbr", cq: "cq" }),
    row(&["target-bitrate"], Value::Rate(1000)),
    row(&["cq-level"], Value::Quantizer(63)),
    row(&["keyframe-max-dist"], Value::Gop),
    row(&["deadline"], Value::Speed(["1", "1", "1000000", "1000000"])),
    row(&["cpu-used"], Value::Speed(["8", "7", "4", "1"])),
    row(&["row-mt"], Value::Always("true")),
    row(&["lag-in-frames"], Value::Low("0")),
    row(&["threads"], Value::Threads),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_encoder_stands_once_and_each_codec_has_one_in_software() {
        for (place, candidate) in CANDIDATES.iter().enumerate() {
            assert_eq!(CANDIDATES.iter().position(|other| other.factory == candidate.factory), Some(place));
            let sets = |setting: &str| candidate.rows.iter().any(|row| row.value.setting() == setting);
            assert!(sets("bitrate") && sets("key frame interval") && sets("speed"), "{}", candidate.factory);
        }
        for codec in VideoCodec::ALL {
            let last = Candidate::of(codec).last().unwrap();
            assert_eq!(last.family, Family::Software, "{}", last.factory);
        }
    }

    /// As GStreamer's documentation has them; no element of these is here.
    #[test]
    fn names_of_hardware_are_those_of_its_documentation() {
        let names = |factory: &str, setting: &str| {
            let rows = Candidate::named(factory).unwrap().rows.iter();
            let rows = rows.filter(|row| row.value.setting() == setting);
            rows.flat_map(|row| row.names.iter().copied()).collect::<Vec<_>>()
        };
        assert_eq!(names("nvh264enc", "bitrate"), ["bitrate", "max-bitrate"]);
        assert_eq!(names("nvcudah265enc", "rate control"), ["rc-mode", "rate-control"]);
        assert_eq!(names("nvav1enc", "key frame interval"), ["gop-size"]);
        assert_eq!(names("vah264lpenc", "key frame interval"), ["key-int-max"]);
        assert_eq!(names("vaav1enc", "speed"), ["target-usage"]);
        assert_eq!(names("vaapih264enc", "key frame interval"), ["keyframe-period"]);
        assert_eq!(names("svtav1enc", "bitrate"), ["target-bitrate", "max-bitrate"]);
    }
}
