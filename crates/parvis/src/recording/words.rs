// SPDX-License-Identifier: EUPL-1.2
//! Moments, lengths of time and sizes as people read them, and tables of them.

use time::OffsetDateTime;

/// A moment in milliseconds since 1970 as `2026-11-27 22:50`, in UTC; `-` for one that nobody knows.
pub(super) fn moment(unix_ms: i64) -> String {
    if unix_ms <= 0 {
        return "-".to_owned();
    }
    let Ok(at) = OffsetDateTime::from_unix_timestamp(unix_ms / 1_000) else { return "-".to_owned() };
    let (year, month, day) = at.to_calendar_date();
    format!("{year:04}-{:02}-{day:02} {:02}:{:02}", u8::from(month), at.hour(), at.minute())
}

/// `1 h 02 m`, `12 m` or `45 s`.
pub(super) fn length(ms: i64) -> String {
    let seconds = ms.max(0) / 1_000;
    match (seconds / 3_600, seconds / 60 % 60) {
        (0, 0) => format!("{seconds} s"),
        (0, minutes) => format!("{minutes} m"),
        (hours, minutes) => format!("{hours} h {minutes:02} m"),
    }
}

/// `1.2 GB`: a thousand of each are one of the next.
pub(super) fn size(bytes: u64) -> String {
    let (mut value, mut units) = (bytes as f64, ["kB", "MB", "GB", "TB"].into_iter());
    let mut unit = "B";
    // What would be printed as 1000.0 is one of the next.
    while value >= 999.95 {
        let Some(larger) = units.next() else { break };
        (value, unit) = (value / 1_000.0, larger);
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") }
}

/// What came from outside, without what would move a terminal's cursor.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

/// At most so many characters; what is longer ends with an ellipsis.
pub(super) fn short(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// Columns under each other, those of these numbers to the right; the first row is the head.
pub(super) fn table(rows: &[Vec<String>], right: &[usize]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let wide = |row: &Vec<String>, at: usize| row.get(at).map_or(0, |cell| cell.chars().count());
    let widths: Vec<usize> =
        (0..columns).map(|at| rows.iter().map(|row| wide(row, at)).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(at, (cell, &width))| {
            if right.contains(&at) { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_lengths_and_sizes_are_written_as_people_read_them() {
        for (seconds, expected) in [
            (951_782_400, "2000-02-29 00:00"),
            (1_735_689_599, "2024-12-31 23:59"),
            (1_795_819_800, "2026-11-27 22:50"),
            (4_107_542_399, "2100-02-28 23:59"),
            (4_107_542_400, "2100-03-01 00:00"),
            (0, "-"),
        ] {
            assert_eq!(moment(seconds * 1_000), expected);
        }
        for (seconds, expected) in
            [(45, "45 s"), (60, "1 m"), (3_599, "59 m"), (3_720, "1 h 02 m"), (-5, "0 s")]
        {
            assert_eq!(length(seconds * 1_000), expected);
        }
        for (bytes, expected) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (999_960, "1.0 MB"),
            (1_234_567_890, "1.2 GB"),
            (u64::MAX, "18446744.1 TB"),
        ] {
            assert_eq!(size(bytes), expected);
        }
    }

    #[test]
    fn a_table_stands_straight_and_nothing_in_it_moves_the_cursor() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let rows = [row(["ROOM", "SIZE", "STATE"]), row(["übung", "1 B", ""]), row(["a", "999 kB", "x"])];
        assert_eq!(table(&rows, &[1]), "ROOM     SIZE  STATE\nübung     1 B\na      999 kB  x\n");
        assert_eq!(plain("a\x1b[2Jb\nc"), "a\u{fffd}[2Jb\u{fffd}c");
        assert_eq!((short("abcd", 4), short("abcde", 4)), ("abcd".to_owned(), "abc…".to_owned()));
    }
}
