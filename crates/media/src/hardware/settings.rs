// SPDX-License-Identifier: EUPL-1.2
//! What is asked of an encoder, in our own words and units, whichever encoder it becomes.

use std::fmt;
use std::str::FromStr;

use parvis_jobs::EncoderFamily;
use serde::{Deserialize, Serialize};

/// What an encoder writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VideoCodec {
    /// H.264, which films are made of.
    H264,
    /// H.265, also called HEVC.
    H265,
    /// AV1.
    Av1,
    /// VP8.
    Vp8,
    /// VP9.
    Vp9,
}

impl VideoCodec {
    /// All of them, the one that is used most first.
    pub const ALL: [VideoCodec; 5] =
        [VideoCodec::H264, VideoCodec::H265, VideoCodec::Av1, VideoCodec::Vp9, VideoCodec::Vp8];

    /// As people write it.
    pub fn name(self) -> &'static str {
        match self {
            VideoCodec::H264 => "H.264",
            VideoCodec::H265 => "H.265",
            VideoCodec::Av1 => "AV1",
            VideoCodec::Vp8 => "VP8",
            VideoCodec::Vp9 => "VP9",
        }
    }
}

/// Who does the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// NVIDIA's encoder, by GStreamer's plugin `nvcodec`.
    Nvenc,
    /// Intel's and AMD's, by the plugin `va`, or the older `vaapi`.
    Vaapi,
    /// The processor.
    Software,
}

impl Family {
    /// As people write it.
    pub fn name(self) -> &'static str {
        match self {
            Family::Nvenc => "NVENC",
            Family::Vaapi => "VA-API",
            Family::Software => "software",
        }
    }
}

impl From<Family> for EncoderFamily {
    fn from(family: Family) -> EncoderFamily {
        match family {
            Family::Nvenc => EncoderFamily::Nvenc,
            Family::Vaapi => EncoderFamily::Vaapi,
            Family::Software => EncoderFamily::Software,
        }
    }
}

impl FromStr for Family {
    type Err = ();

    fn from_str(text: &str) -> Result<Family, ()> {
        let all = [Family::Nvenc, Family::Vaapi, Family::Software];
        all.into_iter().find(|family| EncoderFamily::from(*family).name() == text).ok_or(())
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How the rate follows the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RateControl {
    /// As even as it goes, for lines.
    Cbr,
    /// The rate on average.
    Vbr,
    /// One quality throughout, and the rate is the most that it may take, where the encoder has such a mode.
    Cq {
        /// What H.264 calls the quantizer, 0 to 51, less is better. It is scaled for codecs that count to more.
        quantizer: u32,
    },
}

/// How much may wait in the encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Latency {
    /// As much as helps the picture: it may look ahead.
    Any,
    /// Nothing: each picture comes out before the next goes in.
    Low,
}

/// How much trouble the encoder takes. For x264 these are `ultrafast`, `veryfast`, `medium` and `slow`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Speed {
    /// As little as it can.
    Fastest,
    /// Little: what keeps up with a meeting.
    Fast,
    /// Some.
    Medium,
    /// Much.
    Slow,
}

/// Which tools of the codec may be used; for H.264 and H.265 only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// What every decoder takes: constrained baseline. H.265 has none, and takes main.
    Baseline,
    /// Main.
    Main,
    /// High. H.265 has none, and takes main.
    High,
}

/// All that is asked of an encoder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// In kbit/s, of 1000 bits.
    pub kbits: u32,
    /// Pictures from one key frame to the next, at most.
    pub gop: u32,
    /// How much may wait.
    pub latency: Latency,
    /// How the rate follows the picture.
    pub rate_control: RateControl,
    /// `None` leaves it to the encoder.
    pub profile: Option<Profile>,
    /// How much trouble it takes.
    pub speed: Speed,
    /// Threads of an encoder in software; 0 leaves it to the encoder.
    pub threads: u32,
}

impl Default for Settings {
    /// A film at 30 pictures a second: one quality with at most 2.5 Mbit/s, a key frame each two seconds.
    fn default() -> Settings {
        Settings {
            kbits: 2500,
            gop: 60,
            latency: Latency::Any,
            rate_control: RateControl::Cq { quantizer: 22 },
            profile: None,
            speed: Speed::Fast,
            threads: 0,
        }
    }
}

/// Size and rate of pictures. All of them are I420 with BT.601's colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// In samples, even.
    pub width: u32,
    /// In samples, even.
    pub height: u32,
    /// Pictures a second.
    pub rate: u32,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{} at {}", self.width, self.height, self.rate)
    }
}
