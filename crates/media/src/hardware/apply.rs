// SPDX-License-Identifier: EUPL-1.2
//! Settings onto an element, by its row in the table. GStreamer's bindings end the process over a property that isn't there
//! or has another type, so each is looked up before it is set, and read back afterwards.

use std::fmt;

use gstreamer as gst;
use gstreamer::glib;
use gstreamer::prelude::*;
use serde::{Deserialize, Serialize};

use super::VideoCodec;
use super::settings::{Latency, Profile, RateControl, Settings};
use super::table::{Candidate, Row, Value};

/// A setting that an element did not take as it was asked to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deviation {
    /// The setting, as people call it.
    pub setting: String,
    /// The element's property, or all names that were looked for.
    pub property: String,
    /// What it should have been.
    pub wanted: String,
    /// Why it isn't.
    pub why: Why,
}

/// Why a setting is not as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The element has no such property.
    Missing,
    /// Out of what it takes; this was set instead.
    Clamped(String),
    /// It knows none of these words.
    UnknownWord,
    /// It is of a kind that we can't set.
    UnknownType(String),
    /// It can't be written.
    ReadOnly,
    /// It was set, and reads as this afterwards.
    Rejected(String),
}

impl fmt::Display for Deviation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Deviation { setting, property, wanted, why } = self;
        write!(f, "{setting}: ")?;
        match why {
            Why::Missing => write!(f, "it has no property {property}, so {wanted} was not set"),
            Why::Clamped(to) => write!(f, "{property} does not take {wanted}; {to} was set"),
            Why::UnknownWord => write!(f, "{property} knows no {wanted}, and stays as it was"),
            Why::UnknownType(kind) => write!(f, "{property} is of type {kind}, so {wanted} was not set"),
            Why::ReadOnly => write!(f, "{property} can't be written, so {wanted} was not set"),
            Why::Rejected(is) => write!(f, "{property} did not take {wanted}: it is {is}"),
        }
    }
}

impl Candidate {
    /// Sets all that the element has. What it did not take is told, and no reason to leave the element: it may encode very
    /// well nevertheless.
    pub fn apply(&self, settings: &Settings, element: &gst::Element) -> Vec<Deviation> {
        self.rows.iter().filter_map(|row| set(row, settings, element).err()).collect()
    }

    /// What must stand behind the encoder for the profile that is asked for; `None` where there is nothing to ask.
    pub(super) fn profile_caps(&self, profile: Option<Profile>) -> Option<gst::Caps> {
        let profile = profile?;
        let (name, profile) = match (self.codec, profile) {
            (VideoCodec::H264, Profile::Baseline) => ("video/x-h264", "constrained-baseline"),
            (VideoCodec::H264, Profile::Main) => ("video/x-h264", "main"),
            (VideoCodec::H264, Profile::High) => ("video/x-h264", "high"),
            (VideoCodec::H265, _) => ("video/x-h265", "main"),
            (VideoCodec::Av1 | VideoCodec::Vp8 | VideoCodec::Vp9, _) => return None,
        };
        Some(gst::Caps::builder(name).field("profile", profile).build())
    }
}

fn set(row: &Row, settings: &Settings, element: &gst::Element) -> Result<(), Deviation> {
    let Some(wanted) = wanted(&row.value, settings) else { return Ok(()) };
    let told = |property: &str, why| Deviation {
        setting: row.value.setting().to_owned(),
        property: property.to_owned(),
        wanted: wanted.clone(),
        why,
    };
    let found = row.names.iter().find_map(|name| Some((*name, element.find_property(name)?)));
    let Some((name, spec)) = found else {
        // An element that lets nothing wait needs no property to say so.
        let optional = matches!(row.value, Value::Low(_) | Value::Always(_));
        return if optional { Ok(()) } else { Err(told(&row.names.join(" or "), Why::Missing)) };
    };
    let flags = spec.flags();
    if !flags.contains(glib::ParamFlags::WRITABLE) || flags.contains(glib::ParamFlags::CONSTRUCT_ONLY) {
        return Err(told(name, Why::ReadOnly));
    }
    let (value, clamped) = value_for(&spec, &wanted).map_err(|why| told(name, why))?;
    element.set_property_from_value(name, &value);
    if flags.contains(glib::ParamFlags::READABLE) {
        let is = written(&element.property_value(name));
        if is != written(&value) {
            return Err(told(name, Why::Rejected(is)));
        }
    }
    match clamped {
        true => Err(told(name, Why::Clamped(written(&value)))),
        false => Ok(()),
    }
}

/// What a row is to be set to, as text; `None` where these settings say nothing of it.
fn wanted(value: &Value, settings: &Settings) -> Option<String> {
    let Settings { kbits, gop, latency, rate_control, speed, threads, .. } = settings;
    let rate = |unit: &u64| Some((u64::from(*kbits) * unit).to_string());
    match value {
        Value::Rate(unit) => rate(unit),
        Value::RateUnlessCq(unit) => match rate_control {
            RateControl::Cq { .. } => None,
            RateControl::Cbr | RateControl::Vbr => rate(unit),
        },
        Value::Gop => Some(gop.to_string()),
        Value::GopLessOne => Some(gop.saturating_sub(1).to_string()),
        Value::Threads => (*threads > 0).then(|| threads.to_string()),
        Value::Quantizer(end) => match rate_control {
            RateControl::Cq { quantizer } => Some((quantizer * end / MAX_QUANTIZER).to_string()),
            RateControl::Cbr | RateControl::Vbr => None,
        },
        Value::RateControl { cbr, vbr, cq } => Some(
            match rate_control {
                RateControl::Cbr => *cbr,
                RateControl::Vbr => *vbr,
                RateControl::Cq { .. } => *cq,
            }
            .to_owned(),
        ),
        Value::Speed(words) => words.get(speed.place()).map(|word| (*word).to_owned()),
        Value::Low(word) => (*latency == Latency::Low).then(|| (*word).to_owned()),
        Value::Always(word) => Some((*word).to_owned()),
    }
}

/// Where H.264's scale of quantizers ends, which our settings use.
const MAX_QUANTIZER: u32 = 51;

/// A value of the property's type, and whether it had to be brought into its range.
fn value_for(spec: &glib::ParamSpec, wanted: &str) -> Result<(glib::Value, bool), Why> {
    macro_rules! number {
        ($spec:ty, $number:ty) => {
            if let Some(spec) = spec.downcast_ref::<$spec>() {
                let number: f64 = wanted.parse().map_err(|_| Why::UnknownWord)?;
                // Through the widest number, so that what doesn't fit the type is clamped too.
                let fits = number.clamp(spec.minimum() as f64, spec.maximum() as f64);
                return Ok(((fits as $number).to_value(), fits != number));
            }
        };
    }
    number!(glib::ParamSpecInt, i32);
    number!(glib::ParamSpecUInt, u32);
    number!(glib::ParamSpecInt64, i64);
    number!(glib::ParamSpecUInt64, u64);
    number!(glib::ParamSpecFloat, f32);
    number!(glib::ParamSpecDouble, f64);
    let by_word = |value: &dyn Fn(&str) -> Option<glib::Value>| {
        wanted.split('|').find_map(value).map(|value| (value, false)).ok_or(Why::UnknownWord)
    };
    if let Some(spec) = spec.downcast_ref::<glib::ParamSpecEnum>() {
        return by_word(&|word| spec.enum_class().to_value_by_nick(word));
    }
    if let Some(spec) = spec.downcast_ref::<glib::ParamSpecFlags>() {
        return by_word(&|word| spec.flags_class().to_value_by_nick(word));
    }
    if spec.is::<glib::ParamSpecBoolean>() {
        return by_word(&|word| Some(word.parse::<bool>().ok()?.to_value()));
    }
    if spec.is::<glib::ParamSpecString>() {
        return Ok((wanted.to_value(), false));
    }
    Err(Why::UnknownType(spec.value_type().name().to_owned()))
}

/// A value for people to read.
fn written(value: &glib::Value) -> String {
    match value.serialize() {
        Ok(text) => text.to_string(),
        Err(_) => format!("{value:?}"),
    }
}
