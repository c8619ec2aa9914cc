// SPDX-License-Identifier: EUPL-1.2
//! Values that say themselves what they may be: a wrong one is refused with its bound and a remedy.

use std::fmt;
use std::time::Duration;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A whole number between two bounds, both allowed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounded<const MIN: i64, const MAX: i64>(i64);

/// A TCP or UDP port; 0 lets the system choose.
pub(crate) type Port = Bounded<0, 65_535>;
/// A number of things held in memory.
pub(crate) type Count = Bounded<1, 1_000_000>;
/// A number of bytes, up to 1 GiB.
pub(crate) type Bytes = Bounded<1, 1_073_741_824>;

impl<const MIN: i64, const MAX: i64> Bounded<MIN, MAX> {
    /// A value that the code itself names; one out of bounds is moved to the nearest.
    pub(crate) fn of(value: i64) -> Self {
        Bounded(value.clamp(MIN, MAX))
    }

    /// The value.
    pub(crate) fn get(self) -> i64 {
        self.0
    }

    /// The value, for what can't be negative.
    pub(crate) fn size(self) -> usize {
        usize::try_from(self.0).unwrap_or_default()
    }

    /// The value as what it is used as; a bound beyond the type's is that type's limit.
    pub(crate) fn to_u32(self) -> u32 {
        u32::try_from(self.0.max(0)).unwrap_or(u32::MAX)
    }
}

impl Port {
    /// The port.
    pub(crate) fn port(self) -> u16 {
        u16::try_from(self.0).unwrap_or(u16::MAX)
    }
}

impl<const MIN: i64, const MAX: i64> fmt::Debug for Bounded<MIN, MAX> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl<const MIN: i64, const MAX: i64> Serialize for Bounded<MIN, MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.0)
    }
}

impl<'de, const MIN: i64, const MAX: i64> Deserialize<'de> for Bounded<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Whole<const MIN: i64, const MAX: i64>;
        impl<const MIN: i64, const MAX: i64> Visitor<'_> for Whole<MIN, MAX> {
            type Value = i64;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "a whole number from {MIN} to {MAX}")
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<i64, E> {
                let remedy = format!("use a whole number from {MIN} to {MAX}");
                match value {
                    value if value < MIN => Err(E::custom(format!("{value} is below {MIN}; {remedy}"))),
                    value if value > MAX => Err(E::custom(format!("{value} is above {MAX}; {remedy}"))),
                    value => Ok(value),
                }
            }
        }
        deserializer.deserialize_i64(Whole::<MIN, MAX>).map(Bounded)
    }
}

/// A length of time, written as `500ms`, `20s`, `5m`, `6h` or `0`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Time(pub(crate) Duration);

/// The longest time that makes sense anywhere here.
const MAX_TIME: Duration = Duration::from_secs(366 * 86_400);
const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

impl Time {
    /// So many seconds.
    pub(crate) fn secs(seconds: u64) -> Self {
        Time(Duration::from_secs(seconds))
    }

    /// None for no time at all: the words "no limit" of this configuration.
    pub(crate) fn limit(self) -> Option<Duration> {
        (!self.0.is_zero()).then_some(self.0)
    }

    fn parse(text: &str) -> Option<Self> {
        if text == "0" {
            return Some(Time(Duration::ZERO));
        }
        let digits = text.find(|character: char| !character.is_ascii_digit())?;
        let (number, unit) = text.split_at(digits);
        let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit)?;
        let time = Duration::from_millis(number.parse::<u64>().ok()?.checked_mul(*millis)?);
        (time <= MAX_TIME).then_some(Time(time))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if millis == 0 {
            return formatter.write_str("0");
        }
        let unit = UNITS.iter().rev().find(|(_, unit)| millis.is_multiple_of(*unit));
        let (name, unit) = unit.unwrap_or(&UNITS[0]);
        write!(formatter, "{}{name}", millis / unit)
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Time::parse(&text).ok_or_else(|| {
            de::Error::custom(format!(
                "\"{text}\" is no length of time; use a number with ms, s, m, h or d, such as \"20s\", at most \"366d\""
            ))
        })
    }
}

/// UDP ports from the first to the last, written as `7882-7945`, or a single one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ports {
    /// The first shard's.
    pub(crate) first: u16,
    /// The last that may be used.
    pub(crate) last: u16,
}

impl Ports {
    /// Reads the written form; says what is wrong otherwise.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let port = |text: &str| {
            let number: u64 = text.trim().parse().map_err(|_| {
                format!("\"{text}\" is no port; use ports as \"7882-7945\", or one as \"7882\"")
            })?;
            u16::try_from(number).map_err(|_| format!("{number} is above 65535; use ports from 1 to 65535"))
        };
        let (first, last) = (port(first)?, port(last)?);
        if first > last {
            return Err(format!("{first} comes after {last}; write the lower port first"));
        }
        Ok(Ports { first, last })
    }

    /// How many they are; without bound when the system chooses.
    pub(crate) fn count(self) -> usize {
        if self.first == 0 { usize::MAX } else { usize::from(self.last - self.first) + 1 }
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(formatter, "{}", self.first)
        } else {
            write!(formatter, "{}-{}", self.first, self.last)
        }
    }
}

impl std::str::FromStr for Ports {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ports::parse(text)
    }
}

impl Serialize for Ports {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Ports {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;
        impl Visitor<'_> for Written {
            type Value = Ports;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("ports as \"7882-7945\", or one as 7882")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Ports, E> {
                Ports::parse(text).map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Ports, E> {
                Ports::parse(&number.to_string()).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_it_is_read() {
        for text in ["0", "500ms", "20s", "90s", "5m", "6h", "30d"] {
            assert_eq!(Time::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "20", "s", "-1s", "1.5s", "1w", "367d", "99999999999999999999s"] {
            assert_eq!(Time::parse(text), None, "{text}");
        }
    }

    #[test]
    fn ports_are_a_range_or_one() {
        assert_eq!(Ports::parse("7882-7885"), Ok(Ports { first: 7882, last: 7885 }));
        assert_eq!(Ports::parse("0").unwrap().count(), usize::MAX);
        assert_eq!(Ports::parse("7882-7885").unwrap().count(), 4);
        assert_eq!(Ports::parse("5-4").unwrap_err(), "5 comes after 4; write the lower port first");
        assert!(Ports::parse("70000").unwrap_err().starts_with("70000 is above 65535"));
    }
}
