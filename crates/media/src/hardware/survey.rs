// SPDX-License-Identifier: EUPL-1.2
//! All encoders of a machine, for whoever wants to know what it can.

use std::time::Duration;

use gstreamer as gst;
use serde::{Deserialize, Serialize};

use super::probe::{Plan, Prober, Report, probe};
use super::settings::{Settings, Shape, VideoCodec};
use super::table::Candidate;

/// What a machine can.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Survey {
    /// GStreamer's version.
    pub gstreamer: String,
    /// One for each codec, H.264 first.
    pub reports: Vec<Report>,
}

impl Survey {
    /// Tries all encoders that we know. A full survey encodes three seconds in two sizes with each, looks at what comes out,
    /// and gives each up in the middle once.
    pub fn of(prober: &Prober, full: bool) -> Survey {
        let shape = |width, height| Shape { width, height, rate: 30 };
        let plan = match full {
            true => Plan {
                settings: Settings::default(),
                shapes: vec![shape(1280, 720), shape(1920, 1080)],
                pictures: 90,
                full,
                all: true,
            },
            false => Plan { all: true, ..Plan::quick(Settings::default(), shape(640, 360)) },
        };
        let prober = match full {
            true => {
                &Prober { patience: FULL_PATIENCE, limit: prober.limit.max(FULL_LIMIT), ..prober.clone() }
            }
            false => prober,
        };
        let report = |codec| probe(codec, Candidate::of(codec), &plan, prober);
        let reports = VideoCodec::ALL.into_iter().map(report).collect();
        Survey { gstreamer: gst::version_string().to_string(), reports }
    }

    /// Whether films can be made.
    pub fn is_enough(&self) -> bool {
        self.reports.iter().any(|report| report.codec == VideoCodec::H264 && report.chosen.is_some())
    }

    /// For people.
    pub fn text(&self) -> String {
        let reports: Vec<_> = self.reports.iter().map(super::text).collect();
        let end = match self.is_enough() {
            true => "Films can be made.",
            false => "No films can be made: there is no encoder for H.264.",
        };
        format!("{}\n\n{}\n{end}\n", self.gstreamer, reports.join("\n"))
    }
}

/// How long an encoder in software may give nothing on a busy machine.
const FULL_PATIENCE: Duration = Duration::from_secs(30);
/// Three seconds of 1080p, encoded, decoded and begun anew, by AV1 in software on a busy machine.
const FULL_LIMIT: Duration = Duration::from_secs(240);
