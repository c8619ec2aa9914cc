// SPDX-License-Identifier: EUPL-1.2
//! What workers and composers say of encoders, counted: which families are taken, refused at their trial, and fail in the middle of a
//! job.

use std::sync::atomic::{AtomicU64, Ordering};

use parvis_api::Sample;
use parvis_jobs::{EncoderFamily, EncoderFate, EncoderNote};

/// The counts of one family.
#[derive(Debug, Default)]
struct OfFamily {
    chosen: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
}

/// See the module's page.
#[derive(Debug, Default)]
pub(crate) struct EncoderCounts([OfFamily; EncoderFamily::ALL.len()]);

impl EncoderCounts {
    /// Counts what was said, and says it in the log.
    pub(super) fn note(&self, note: &EncoderNote) {
        let EncoderNote { fate, family, factory, why } = note;
        let family = family.name();
        match fate {
            EncoderFate::Chosen => tracing::info!(factory, family, why, "an encoder is chosen"),
            EncoderFate::Refused => tracing::warn!(factory, family, why, "an encoder is refused"),
            EncoderFate::Failed => {
                tracing::warn!(factory, family, why, "an encoder failed, and another one went on");
            }
        }
        let place = EncoderFamily::ALL.into_iter().zip(&self.0).find(|(of, _)| *of == note.family);
        let Some((_, counts)) = place else { return };
        let counter = match fate {
            EncoderFate::Chosen => &counts.chosen,
            EncoderFate::Refused => &counts.refused,
            EncoderFate::Failed => &counts.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// For the metrics page.
    pub(super) fn samples(&self) -> Vec<Sample> {
        type Of = fn(&OfFamily) -> &AtomicU64;
        let kinds: [(&str, &'static str, Of); 3] = [
            (
                "parvis_media_encoder_chosen_total",
                "Films and streams for which an encoder of this family was taken.",
                |counts| &counts.chosen,
            ),
            (
                "parvis_media_encoder_refused_total",
                "Encoders of this family that are there and failed their trial.",
                |counts| &counts.refused,
            ),
            (
                "parvis_media_encoder_failed_total",
                "Encoders of this family that failed in the middle of a film or a stream, which another one went on with.",
                |counts| &counts.failed,
            ),
        ];
        let mut samples = Vec::new();
        for (name, help, of) in kinds {
            for (family, counts) in EncoderFamily::ALL.into_iter().zip(&self.0) {
                samples.push(Sample {
                    name: name.to_owned(),
                    help,
                    counter: true,
                    labels: vec![("family", family.name().to_owned())],
                    value: of(counts).load(Ordering::Relaxed) as f64,
                });
            }
        }
        samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_becomes_of_encoders_is_counted_by_family() {
        let counts = EncoderCounts::default();
        let note = |fate, family| {
            counts.note(&EncoderNote { fate, family, factory: "nvh264enc".into(), why: "it is so".into() });
        };
        note(EncoderFate::Refused, EncoderFamily::Nvenc);
        note(EncoderFate::Chosen, EncoderFamily::Software);
        note(EncoderFate::Chosen, EncoderFamily::Software);
        note(EncoderFate::Failed, EncoderFamily::Vaapi);
        let samples = counts.samples();
        let value = |name: &str, family: &str| {
            let labels = vec![("family", family.to_owned())];
            samples.iter().find(|sample| sample.name == name && sample.labels == labels).unwrap().value
        };
        assert_eq!(value("parvis_media_encoder_chosen_total", "software"), 2.0);
        assert_eq!(value("parvis_media_encoder_chosen_total", "nvenc"), 0.0);
        assert_eq!(value("parvis_media_encoder_refused_total", "nvenc"), 1.0);
        assert_eq!(value("parvis_media_encoder_failed_total", "vaapi"), 1.0);
    }
}
