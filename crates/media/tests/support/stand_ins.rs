// SPDX-License-Identifier: EUPL-1.2
//! Encoders that stand where a GPU's would: bins around one in software, registered under the hardware's names, that fail in
//! the ways in which hardware fails. No machine with a GPU is needed, and none is proven by them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gstreamer as gst;
use gstreamer::glib;
use gstreamer::prelude::*;
use gstreamer::subclass::prelude::*;

/// What a stand-in does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// It can't be opened, as with a session too many.
    Refuses,
    /// Opening it never ends.
    NeverOpens,
    /// It reports an error in the place of the picture of this number.
    FailsAt(u64),
    /// It takes and gives nothing from the picture of this number on.
    HangsAt(u64),
    /// It takes all pictures from this number on and gives none.
    SwallowsFrom(u64),
    /// It ends its output at the picture of this number as if it were the last.
    EndsAt(u64),
    /// It ends the process.
    Dies,
}

/// Registers one that writes H.264 under a name, before all others of the name. Once for each name.
pub(crate) fn register(name: &str, fault: Fault) {
    gst::init().unwrap();
    FAULTS.lock().unwrap().push((name.to_owned(), fault));
    let kind = match name {
        "nvh264enc" => nvh264enc::StandIn::static_type(),
        "nvcudah264enc" => nvcudah264enc::StandIn::static_type(),
        "nvautogpuh264enc" => nvautogpuh264enc::StandIn::static_type(),
        "vah264enc" => vah264enc::StandIn::static_type(),
        "vah264lpenc" => vah264lpenc::StandIn::static_type(),
        "vaapih264enc" => vaapih264enc::StandIn::static_type(),
        other => panic!("no stand-in for {other}"),
    };
    gst::Element::register(None, name, gst::Rank::PRIMARY + 100, kind).unwrap();
}

/// By a word for each, as `nvh264enc=refuses,vah264enc=fails:3`.
pub(crate) fn register_all(words: &str) {
    for word in words.split(',').filter(|word| !word.is_empty()) {
        let (name, fault) = word.split_once('=').unwrap();
        let (fault, number) = fault.split_once(':').unwrap_or((fault, "0"));
        let number = number.parse().unwrap();
        register(
            name,
            match fault {
                "none" => Fault::None,
                "refuses" => Fault::Refuses,
                "never-opens" => Fault::NeverOpens,
                "fails" => Fault::FailsAt(number),
                "hangs" => Fault::HangsAt(number),
                "swallows" => Fault::SwallowsFrom(number),
                "ends" => Fault::EndsAt(number),
                "dies" => Fault::Dies,
                other => panic!("no fault {other}"),
            },
        );
    }
}

static FAULTS: std::sync::Mutex<Vec<(String, Fault)>> = std::sync::Mutex::new(Vec::new());

/// A type of its own for each name: an element knows its first factory only.
macro_rules! stand_in {
    ($($name:ident)*) => {$(
        mod $name {
            use super::*;

            mod imp {
            use super::*;

            /// Has NVENC's properties, as far as the tests need them, and x264 within.
            #[derive(Default)]
            pub(crate) struct StandIn {
                bitrate: AtomicU64,
            }

            #[glib::object_subclass]
            impl ObjectSubclass for StandIn {
                const NAME: &'static str = concat!("ParvisStandIn-", stringify!($name));
                type Type = super::StandIn;
                type ParentType = gst::Bin;
            }

            impl ObjectImpl for StandIn {
                fn properties() -> &'static [glib::ParamSpec] {
                    static PROPERTIES: std::sync::OnceLock<Vec<glib::ParamSpec>> = std::sync::OnceLock::new();
                    PROPERTIES.get_or_init(|| {
                        vec![
                            // Takes no more than this, as a small GPU might.
                            glib::ParamSpecUInt::builder("max-bitrate").maximum(2000).build(),
                            // Rejects what it is given.
                            glib::ParamSpecInt::builder("gop-size").minimum(-1).default_value(75).build(),
                            // There, and not ours to set.
                            glib::ParamSpecString::builder("rc-mode").read_only().build(),
                        ]
                    })
                }

                fn set_property(&self, _id: usize, value: &glib::Value, spec: &glib::ParamSpec) {
                    if spec.name() == "max-bitrate" {
                        self.bitrate.store(u64::from(value.get::<u32>().unwrap()), Ordering::Relaxed);
                    }
                }

                fn property(&self, _id: usize, spec: &glib::ParamSpec) -> glib::Value {
                    match spec.name() {
                        "max-bitrate" => (self.bitrate.load(Ordering::Relaxed) as u32).to_value(),
                        "gop-size" => 75_i32.to_value(),
                        _ => "vbr".to_value(),
                    }
                }

                fn constructed(&self) {
                    self.parent_constructed();
                    // With pictures out of order, as good hardware has them.
                    let encoder = gst::ElementFactory::make("x264enc")
                        .property_from_str("speed-preset", "ultrafast")
                        .property("bframes", 2_u32)
                        .property("b-adapt", false)
                        .property("rc-lookahead", 5_i32)
                        .property("threads", 1_u32)
                        .property("quantizer", 18_u32)
                        .property_from_str("pass", "quant")
                        .build()
                        .unwrap();
                    let bin = self.obj();
                    bin.add(&encoder).unwrap();
                    for name in ["sink", "src"] {
                        let pad = encoder.static_pad(name).unwrap();
                        bin.add_pad(&gst::GhostPad::builder_with_target(&pad).unwrap().name(name).build()).unwrap();
                    }
                }
            }

            impl StandIn {
                fn fault(&self) -> Fault {
                    FAULTS.lock().unwrap().iter().find(|(of, _)| of == stringify!($name)).unwrap().1
                }

                /// Counts the pictures that come out, and does wrong at its number.
                fn watch(&self, fault: Fault) {
                    let count = AtomicU64::new(0);
                    let bin = self.obj().downgrade();
                    let pad = self.obj().static_pad("src").unwrap();
                    pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
                        let number = count.fetch_add(1, Ordering::Relaxed);
                        match fault {
                            Fault::FailsAt(at) if number >= at => {
                                let bin = bin.upgrade().unwrap();
                                gst::element_error!(bin, gst::StreamError::Encode, ("the device is lost"));
                                gst::PadProbeReturn::Drop
                            }
                            Fault::HangsAt(at) if number >= at => loop {
                                std::thread::sleep(Duration::from_secs(3600));
                            },
                            Fault::SwallowsFrom(at) if number >= at => gst::PadProbeReturn::Drop,
                            Fault::EndsAt(at) if number >= at => {
                                let bin = bin.upgrade().unwrap();
                                bin.static_pad("src").unwrap().push_event(gst::event::Eos::new());
                                gst::PadProbeReturn::Drop
                            }
                            Fault::Dies => std::process::abort(),
                            _ => gst::PadProbeReturn::Ok,
                        }
                    });
                }
            }

            impl GstObjectImpl for StandIn {}
            impl BinImpl for StandIn {}

            impl ElementImpl for StandIn {
                fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
                    static METADATA: std::sync::OnceLock<gst::subclass::ElementMetadata> = std::sync::OnceLock::new();
                    Some(METADATA.get_or_init(|| {
                        gst::subclass::ElementMetadata::new("Stand-in", "Codec/Encoder/Video", "For tests", "Parvis")
                    }))
                }

                fn pad_templates() -> &'static [gst::PadTemplate] {
                    static TEMPLATES: std::sync::OnceLock<Vec<gst::PadTemplate>> = std::sync::OnceLock::new();
                    TEMPLATES.get_or_init(|| {
                        let template = |name, direction, caps: &str| {
                            let caps = caps.parse::<gst::Caps>().unwrap();
                            gst::PadTemplate::new(name, direction, gst::PadPresence::Always, &caps).unwrap()
                        };
                        vec![
                            template("sink", gst::PadDirection::Sink, "video/x-raw"),
                            template("src", gst::PadDirection::Src, "video/x-h264"),
                        ]
                    })
                }

                fn change_state(
                    &self,
                    transition: gst::StateChange,
                ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
                    if transition == gst::StateChange::NullToReady {
                        match self.fault() {
                            Fault::Refuses => {
                                let bin = self.obj();
                                gst::element_error!(bin, gst::ResourceError::OpenWrite, ("no session is left"));
                                return Err(gst::StateChangeError);
                            }
                            Fault::NeverOpens => loop {
                                std::thread::sleep(Duration::from_secs(3600));
                            },
                            fault => self.watch(fault),
                        }
                    }
                    self.parent_change_state(transition)
                }
            }
            }

            glib::wrapper! {
                /// One of them.
                pub(crate) struct StandIn(ObjectSubclass<imp::StandIn>) @extends gst::Bin, gst::Element, gst::Object;
            }
        }
    )*};
}

stand_in!(nvh264enc nvcudah264enc nvautogpuh264enc vah264enc vah264lpenc vaapih264enc);
