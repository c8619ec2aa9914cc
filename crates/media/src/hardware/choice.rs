// SPDX-License-Identifier: EUPL-1.2
//! Who encodes, who goes on after that, and what these must be able to reach.

use std::fs;
use std::path::PathBuf;
use std::str::FromStr;

use gstreamer as gst;
use parvis_jobs::{EncoderFate, EncoderNote};

use super::probe::{Plan, Prober, Report, Tried, probe};
use super::running::Stage;
use super::settings::{Family, Settings, Shape, VideoCodec};
use super::table::Candidate;
use super::trial::Outcome;

/// Encoders of one codec, in the order in which they are used: the next one where one fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoders(Vec<&'static Candidate>);

impl Encoders {
    /// Those in software that GStreamer has here.
    pub fn software(codec: VideoCodec) -> Encoders {
        let of = Candidate::of(codec).filter(|candidate| candidate.family == Family::Software);
        Encoders(of.filter(|candidate| gst::ElementFactory::find(candidate.factory).is_some()).collect())
    }

    /// These, in this order.
    pub fn of(candidates: impl IntoIterator<Item = &'static Candidate>) -> Encoders {
        Encoders(candidates.into_iter().collect())
    }

    pub(super) fn only(candidate: &'static Candidate) -> Encoders {
        Encoders::of([candidate])
    }

    pub(super) fn candidates(&self) -> impl Iterator<Item = &'static Candidate> + '_ {
        self.0.iter().copied()
    }

    /// What their elements are called, in this order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.candidates().map(|candidate| candidate.factory)
    }

    /// What the first of them needs open.
    pub fn devices(&self) -> Devices {
        self.0.first().map_or_else(Devices::default, |first| Devices::of(first.family))
    }
}

/// Which encoder somebody wants.
#[derive(Debug, Clone, Default)]
pub enum Wanted {
    /// The first that works.
    #[default]
    Auto,
    /// This one, or none.
    Named(&'static Candidate),
    /// The first of these that works, or none.
    Family(Family),
}

impl Wanted {
    /// Whether an encoder is one that is wanted.
    pub(super) fn is(&self, candidate: &Candidate) -> bool {
        match self {
            Wanted::Auto => true,
            Wanted::Named(named) => *named == candidate,
            Wanted::Family(family) => candidate.family == *family,
        }
    }
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Wanted, String> {
        if text == "auto" {
            return Ok(Wanted::Auto);
        }
        if let Ok(family) = text.parse() {
            return Ok(Wanted::Family(family));
        }
        let named = Candidate::named(text).map(Wanted::Named);
        named.ok_or_else(|| {
            let known: Vec<_> = Candidate::of(VideoCodec::H264).map(|candidate| candidate.factory).collect();
            format!(
                "no encoder that we know; for H.264 there are auto, nvenc, vaapi, software, {}",
                known.join(", ")
            )
        })
    }
}

/// What was chosen.
#[derive(Debug, Clone)]
pub struct Choice {
    /// Who encodes, and who goes on.
    pub encoders: Encoders,
    /// Why.
    pub report: Report,
}

impl Choice {
    /// Encoders of this machine that were passed over, each with its reason, and the one that was taken: those that aren't there are
    /// no news.
    pub fn notes(&self) -> Vec<EncoderNote> {
        let refused = |tried: &Tried| match &tried.outcome {
            Outcome::Refused(refusal) if refusal.stage != Stage::Lookup => Some(EncoderNote {
                fate: EncoderFate::Refused,
                family: tried.family.into(),
                factory: tried.factory.clone(),
                why: format!("it failed its trial: {}", refusal.why),
            }),
            _ => None,
        };
        let chosen = self.encoders.0.first().map(|first| EncoderNote {
            fate: EncoderFate::Chosen,
            family: first.family.into(),
            factory: first.factory.to_owned(),
            why: self.report.reason.clone(),
        });
        self.report.tried.iter().filter_map(refused).chain(chosen).collect()
    }
}

/// Why there is no encoder.
#[derive(Debug, thiserror::Error)]
pub enum ChoiceError {
    /// Another codec's.
    #[error("{factory} writes {}, and {} is wanted", .is.name(), .wanted.name())]
    OtherCodec {
        /// The element.
        factory: &'static str,
        /// What it writes.
        is: VideoCodec,
        /// What was wanted.
        wanted: VideoCodec,
    },
    /// Each was refused.
    #[error("no encoder for {} works here:\n{}", .0.codec.name(), super::text(.0))]
    NoneWorks(Report),
}

/// Tries encoders, and takes the first that works. Behind it stand those in software that GStreamer has: where a GPU fails in
/// the middle of a job, another way to the same GPU is no help. These are also taken where no trial passes, unless one was
/// named: a machine that is too busy for a trial still makes the film, only later.
pub fn choose(
    codec: VideoCodec,
    wanted: &Wanted,
    settings: &Settings,
    shape: Shape,
    prober: &Prober,
) -> Result<Choice, ChoiceError> {
    let candidates: Vec<_> = match wanted {
        Wanted::Auto | Wanted::Family(_) => Candidate::of(codec).filter(|of| wanted.is(of)).collect(),
        Wanted::Named(Candidate { factory, codec: is, .. }) if *is != codec => {
            return Err(ChoiceError::OtherCodec { factory, is: *is, wanted: codec });
        }
        Wanted::Named(candidate) => vec![*candidate],
    };
    let mut report = probe(codec, candidates, &Plan::quick(settings.clone(), shape), prober);
    let software = Encoders::software(codec);
    let first = match (report.chosen.as_deref().and_then(Candidate::named), wanted, software.0.first()) {
        (Some(first), ..) => first,
        (None, Wanted::Auto | Wanted::Family(Family::Software), Some(first)) => {
            report.chosen = Some(first.factory.to_owned());
            report.reason = format!("{}: taken untried, since no trial passed", first.family);
            first
        }
        (None, ..) => return Err(ChoiceError::NoneWorks(report)),
    };
    let next = software.0.into_iter().filter(|candidate| *candidate != first);
    Ok(Choice { encoders: Encoders::of([first].into_iter().chain(next)), report })
}

/// What an encoder needs of the machine besides libraries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Devices {
    /// Devices that it reads, writes and controls.
    pub devices: Vec<PathBuf>,
    /// Directories and files in which it reads what there is.
    pub read: Vec<PathBuf>,
    /// It reserves more addresses than any bound on them allows for.
    pub unbounded_addresses: bool,
}

impl Devices {
    /// Those that are there.
    fn of(family: Family) -> Devices {
        let paths = |paths: &[&str]| -> Vec<PathBuf> {
            paths.iter().map(PathBuf::from).filter(|path| path.exists()).collect()
        };
        match family {
            Family::Software => Devices::default(),
            Family::Vaapi => Devices {
                devices: named("/dev/dri", "renderD"),
                read: paths(&["/sys/dev/char", "/sys/devices", "/sys/bus/pci", "/etc/drirc"]),
                unbounded_addresses: false,
            },
            Family::Nvenc => Devices {
                devices: named("/dev", "nvidia"),
                read: paths(&[
                    "/proc/driver/nvidia",
                    "/proc/devices",
                    "/proc/modules",
                    "/sys/devices",
                    "/sys/bus/pci",
                ]),
                unbounded_addresses: true,
            },
        }
    }
}

/// What lies in a directory whose name begins like this, directories aside.
fn named(directory: &str, begins: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let found = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(begins));
    let mut paths: Vec<_> = found.map(|entry| entry.path()).filter(|path| !path.is_dir()).collect();
    paths.sort();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoder_is_wanted_by_its_name_or_its_family() {
        let of = |text: &str| -> Vec<&str> {
            let wanted: Wanted = text.parse().unwrap();
            Candidate::of(VideoCodec::H264).filter(|one| wanted.is(one)).map(|one| one.factory).collect()
        };
        assert_eq!(of("auto"), Candidate::of(VideoCodec::H264).map(|one| one.factory).collect::<Vec<_>>());
        assert_eq!(of("x264enc"), ["x264enc"]);
        assert!(of("software").contains(&"x264enc") && !of("software").contains(&"nvh264enc"));
        assert!(of("nvenc").contains(&"nvh264enc") && of("nvenc").len() < of("auto").len());
        let unknown = "quick".parse::<Wanted>().unwrap_err();
        assert!(unknown.contains("nvenc, vaapi, software"), "{unknown}");
    }

    #[test]
    fn devices_are_found_by_how_their_names_begin() {
        let place = std::env::temp_dir().join(format!("parvis-devices-{}", std::process::id()));
        fs::create_dir_all(place.join("renderD-by-path")).unwrap();
        for name in ["renderD129", "renderD128", "card0"] {
            fs::write(place.join(name), b"").unwrap();
        }
        let directory = place.to_str().unwrap();
        assert_eq!(named(directory, "renderD"), [place.join("renderD128"), place.join("renderD129")]);
        assert_eq!(named("/nowhere", "renderD"), Vec::<PathBuf>::new());
        fs::remove_dir_all(&place).unwrap();
        assert_eq!(Devices::of(Family::Software), Devices::default());
        assert!(Devices::of(Family::Nvenc).unbounded_addresses);
        assert!(!Devices::of(Family::Vaapi).unbounded_addresses);
    }
}
