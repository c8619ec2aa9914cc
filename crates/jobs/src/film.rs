// SPDX-License-Identifier: EUPL-1.2
//! What a server and a composer of films know of each other beyond the command line.

use std::time::Duration;

/// What a composer ends with of which a process that made a part of the film died: another composer goes on from there, and may fare
/// better. One that says why the film can't be made ends with 1.
pub const FILM_PART_DIED: u8 = 71;

/// What a composer has taken of the processors so far, with all that it has started. A server sees that by itself of the processes that it
/// has started, and of those in another unit it does not: there, a line says so from time to time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken(pub Duration);

/// What such a line begins with; milliseconds follow.
const MARK: &str = "parvis-taken-ms: ";

impl Taken {
    /// The line, without its end.
    pub fn line(self) -> String {
        format!("{MARK}{}", self.0.as_millis())
    }

    /// What a line says, if it is one of these.
    pub fn parse(line: &str) -> Option<Taken> {
        Some(Taken(Duration::from_millis(line.strip_prefix(MARK)?.parse().ok()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_is_a_line() {
        let taken = Taken(Duration::from_millis(62_500));
        assert_eq!(Taken::parse(&taken.line()), Some(taken));
        for line in [
            "62500",
            "parvis-taken-ms: ",
            "parvis-taken-ms: -1",
            "parvis-taken-ms: 1 2",
            " parvis-taken-ms: 1",
        ] {
            assert_eq!(Taken::parse(line), None, "{line:?}");
        }
    }
}
