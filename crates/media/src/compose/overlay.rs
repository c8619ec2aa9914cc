// SPDX-License-Identifier: EUPL-1.2
//! What lies over the picture of a film or in the strip above it: title, clock, watermark, logo and notice.

use gstreamer as gst;
use gstreamer_video::VideoInfo;
use parvis_jobs::UnixMicros;

use super::ComposeError;
use super::layout::{Rect, even};
use super::options::{Looks, Notice, Place, Watermark};
use super::stamp::{Colour, Stamp};
use super::text::{Align, Scribe, Style};

/// Letters.
pub(super) const INK: Colour = [235, 128, 128];
/// Their shadow, and what is under a notice.
const SHADE: Colour = [16, 128, 128];
/// Of 255: how much of the picture a watermark covers, and what is under a notice.
const FAINT: u8 = 70;
const DIM: u8 = 190;

pub(super) struct Overlay {
    area: Rect,
    always: Vec<Stamp>,
    /// Until this moment, in microseconds since the recording's start.
    notice: Option<(u64, Vec<Stamp>)>,
    clock: Option<Clock>,
}

impl Overlay {
    /// For pictures of this size, of a recording that began then.
    pub(super) fn new(
        looks: &Looks,
        (width, height): (u32, u32),
        began: UnixMicros,
    ) -> Result<Overlay, ComposeError> {
        let has_strip = looks.title.is_some() || looks.clock.is_some();
        let strip = if has_strip { even(height / 16).clamp(16, 64) } else { 0 };
        let area = Rect { x: 0, y: strip, width, height: height - strip };
        let letters = strip * 6 / 10;
        // The time and how far it is from UTC have some eleven letters' height of room.
        let right = if looks.clock.is_some() { even((letters * 11).min(width / 2)) } else { 0 };
        let mut always = Vec::new();
        if let Some(title) = &looks.title {
            let place = (even(width - right).saturating_sub(2 * margin(letters)), strip);
            let style = Style { place, letters, align: Align::Left, lines: false };
            always.push(Stamp::of(&Scribe::new(style)?.write(title)?, (margin(letters), 0), INK, 255));
        }
        if let Some(watermark) = &looks.watermark {
            always.extend(faint(watermark, area)?);
        }
        if let Some((logo, corner)) = &looks.logo {
            always.push(logo.stamp(area, *corner)?);
        }
        let notice = looks.notice.as_ref().map(|notice| {
            Ok::<_, ComposeError>((u64::from(notice.seconds) * 1_000_000, banner(notice, area)?))
        });
        let clock = looks.clock.map(|minutes| {
            let place = Rect { x: even(width - right - margin(letters)), y: 0, width: right, height: strip };
            Clock::new(place, letters, began, minutes)
        });
        Ok(Overlay { area, always, notice: notice.transpose()?, clock: clock.transpose()? })
    }

    /// What is left for tiles.
    pub(super) fn area(&self) -> Rect {
        self.area
    }

    /// Lays over a picture what belongs to a moment, in microseconds since the recording's start.
    pub(super) fn blend(
        &mut self,
        now: u64,
        buffer: &mut gst::BufferRef,
        info: &VideoInfo,
    ) -> Result<(), ComposeError> {
        for stamp in &self.always {
            stamp.blend(buffer, info)?;
        }
        if let Some((until, stamps)) = &self.notice
            && now < *until
        {
            stamps.iter().try_for_each(|stamp| stamp.blend(buffer, info))?;
        }
        if let Some(clock) = &mut self.clock {
            clock.stamp(now)?.blend(buffer, info)?;
        }
        Ok(())
    }
}

/// Beside a text.
fn margin(letters: u32) -> u32 {
    even(letters / 2).max(2)
}

/// Light letters with a dark shadow, so that they are seen on everything.
fn faint(watermark: &Watermark, area: Rect) -> Result<[Stamp; 2], ComposeError> {
    // Drawn once to see how wide it is, and again as large as there is room.
    const TRIAL: u32 = 32;
    let diagonal = f64::from(area.width).hypot(f64::from(area.height));
    let angle = f64::from(area.height).atan2(f64::from(area.width));
    let (length, thickness) = match watermark.place {
        Place::Diagonal => (diagonal * 0.75, f64::from(area.height) * 0.3),
        Place::Top | Place::Bottom => (f64::from(area.width) * 0.9, f64::from(area.height) * 0.12),
    };
    let style = |letters: u32, width: u32| Style {
        place: (even(width).max(2), even(letters * 2).max(2)),
        letters,
        align: Align::Centre,
        lines: false,
    };
    let (wide, _) = Scribe::new(style(TRIAL, TRIAL * 8))?.size(&watermark.text)?;
    let letters = (length / f64::from(wide.max(1)) * f64::from(TRIAL)).min(thickness / 1.5).max(8.0) as u32;
    let drawn = Scribe::new(style(letters, length as u32))?.write(&watermark.text)?;
    let (mask, x, y) = match watermark.place {
        Place::Diagonal => (drawn.turned(angle, area.width, area.height), area.x, area.y),
        Place::Top => {
            let x = area.x + even((area.width - drawn.width) / 2);
            (drawn, x, area.y)
        }
        Place::Bottom => {
            let (x, y) = (area.x + even((area.width - drawn.width) / 2), area.y + area.height - drawn.height);
            (drawn, x, even(y))
        }
    };
    let off = 2;
    Ok([Stamp::of(&mask, (x + off, y + off), SHADE, FAINT), Stamp::of(&mask, (x, y), INK, FAINT)])
}

/// Up to three lines on a dark strip along the lower edge.
fn banner(notice: &Notice, area: Rect) -> Result<Vec<Stamp>, ComposeError> {
    let letters = (area.height / 24).max(10);
    let room = (even(area.width - 2 * margin(letters)), even(letters * 9 / 2));
    let style = Style { place: room, letters, align: Align::Centre, lines: true };
    let mut scribe = Scribe::new(style)?;
    let mask = scribe.write(&notice.text)?;
    let (x, height) = (area.x + margin(letters), mask.height + 2 * margin(letters));
    let y = even(area.y + area.height - height);
    let strip = Rect { y, height, ..area };
    let text = Stamp::of(&mask, (x, y + margin(letters)), INK, 255);
    Ok(vec![Stamp::area(strip, SHADE, DIM), text])
}

/// The time of day in the meeting.
struct Clock {
    scribe: Scribe,
    at: (u32, u32),
    /// In microseconds since 1970, moved by how far the clock is from UTC.
    began: i64,
    zone: String,
    shown: Option<(i64, Stamp)>,
}

impl Clock {
    fn new(place: Rect, letters: u32, began: UnixMicros, minutes: i32) -> Result<Clock, ComposeError> {
        let style = Style { place: (place.width, place.height), letters, align: Align::Right, lines: false };
        let began = i64::try_from(began.0).unwrap_or(i64::MAX / 2) + i64::from(minutes) * 60_000_000;
        Ok(Clock {
            scribe: Scribe::new(style)?,
            at: (place.x, place.y),
            began,
            zone: zone(minutes),
            shown: None,
        })
    }

    fn stamp(&mut self, now: u64) -> Result<&Stamp, ComposeError> {
        let second = (self.began + i64::try_from(now).unwrap_or(0)).div_euclid(1_000_000);
        let shown = match self.shown.take().filter(|(shown, _)| *shown == second) {
            Some(shown) => shown,
            None => {
                let mask = self.scribe.write(&format!("{} {}", time_of_day(second), self.zone))?;
                (second, Stamp::of(&mask, self.at, INK, 255))
            }
        };
        Ok(&self.shown.insert(shown).1)
    }
}

fn time_of_day(second: i64) -> String {
    let second = second.rem_euclid(24 * 3600);
    format!("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
}

/// `UTC`, or how far from it.
fn zone(minutes: i32) -> String {
    if minutes == 0 {
        return "UTC".to_owned();
    }
    let sign = if minutes < 0 { '−' } else { '+' };
    format!("{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_says_the_time_of_day_and_where() {
        assert_eq!(time_of_day(1_800_000_000), "08:00:00");
        assert_eq!(time_of_day(-1), "23:59:59");
        assert_eq!((zone(0).as_str(), zone(330).as_str(), zone(-210).as_str()), ("UTC", "+05:30", "−03:30"));
    }
}
