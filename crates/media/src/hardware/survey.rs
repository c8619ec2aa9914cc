// SPDX-License-Identifier: EUPL-1.2
//! All encoders of a machine, for whoever wants to know what it can.

use std::time::Duration;

use gstreamer as gst;
use serde::{Deserialize, Serialize};

use super::choice::Wanted;
use super::probe::{Plan, Prober, Report, Tried, probe};
use super::settings::{Settings, Shape, VideoCodec};
use super::table::Candidate;
use super::trial::Outcome;

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
    ///
    /// The one that is taken for H.264 is the first of those that are `wanted`.
    pub fn of(prober: &Prober, full: bool, wanted: &Wanted) -> Survey {
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
        let report = |codec| {
            let report = probe(codec, Candidate::of(codec), &plan, prober);
            if codec == VideoCodec::H264 { narrowed(report, wanted) } else { report }
        };
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

/// What a report comes to where not all encoders are wanted.
fn narrowed(mut report: Report, wanted: &Wanted) -> Report {
    if matches!(wanted, Wanted::Auto) {
        return report;
    }
    let is_wanted = |tried: &&Tried| Candidate::named(&tried.factory).is_some_and(|of| wanted.is(of));
    let works = |tried: &&Tried| matches!(tried.outcome, Outcome::Works(_));
    let first = report.tried.iter().filter(is_wanted).find(works);
    report.reason = match first {
        Some(Tried { family, .. }) => format!("{family}: the first of those asked for that passed its trial"),
        None => "none of those asked for passed its trial".to_owned(),
    };
    report.chosen = first.map(|tried| tried.factory.clone());
    report
}

/// How long an encoder in software may give nothing on a busy machine.
const FULL_PATIENCE: Duration = Duration::from_secs(30);
/// Three seconds of 1080p, encoded, decoded and begun anew, by AV1 in software on a busy machine.
const FULL_LIMIT: Duration = Duration::from_secs(240);
