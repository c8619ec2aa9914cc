// SPDX-License-Identifier: EUPL-1.2
//! Reads what was written to configure LiveKit's server, and says the same in the keys of our own configuration.
//!
//! **The one invariant: nothing is passed over in silence.** Each key of the file, each variable and each flag becomes a
//! [`Setting`], a [`Note`] that says why it has no effect and warns where somebody misses it, or an error that names its
//! place. No file is opened and no variable read here: texts go in.
//!
//! ```
//! use parvis_config::livekit::Reader;
//!
//! let mut reader = Reader::new(false);
//! reader.file("livekit.yaml", "rtc:\n  tcp_port: 7001\nredis:\n  address: localhost:6379\n")?;
//! let reading = reader.finish();
//! let port = reading.settings.iter().find(|setting| setting.key == "media.tcp_port").unwrap();
//! assert_eq!((port.value.as_integer(), port.origin.as_str()), (Some(7001), "livekit.yaml:2"));
//! assert!(reading.notes[0].to_string().starts_with("livekit.yaml:3: redis: "));
//! # Ok::<(), parvis_config::Wrong>(())
//! ```

pub mod livekit;
pub mod yaml;

/// One value for our own configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// Our key, such as `media.tcp_port`.
    pub key: &'static str,
    /// Its value, as it would stand in our own file.
    pub value: toml::Value,
    /// Where it was said: `livekit.yaml:3`, `NODE_IP`, `--rtc.tcp_port`.
    pub origin: String,
}

/// Something that was said and has no effect, or another than its author may expect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Where it was said.
    pub origin: String,
    /// The key, as it was written.
    pub key: String,
    /// What becomes of it; of a warning also what it costs, and what to set instead.
    pub text: String,
    /// Whether anybody misses it.
    pub weight: Weight,
}

/// How much a note matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// Nobody misses what has no effect.
    Note,
    /// Somebody does: who is not connected, not heard, or not told.
    Warning,
}

impl std::fmt::Display for Weight {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Weight::Note => "note",
            Weight::Warning => "warning",
        })
    }
}

impl std::fmt::Display for Note {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}: {}: {}", self.origin, self.key, self.text)
    }
}

/// What can't be read, where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct Wrong {
    /// Where, and the key if it has one.
    pub place: String,
    /// What is wrong, and what to do.
    pub problem: String,
}
