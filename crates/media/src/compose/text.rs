// SPDX-License-Identifier: EUPL-1.2
//! Letters, by Pango, which knows all scripts that the machine has fonts for, and both directions.

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSrc};
use gstreamer_video::{VideoFormat, VideoFrameExt as _, VideoFrameRef, VideoInfo};

use super::stamp::Mask;
use super::{ComposeError, PATIENCE, element, launch};

/// Where a text stands in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Align {
    Left,
    Centre,
    Right,
}

/// How texts are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Style {
    /// The place's width and height in samples, even.
    pub(super) place: (u32, u32),
    /// How high letters are, in samples.
    pub(super) letters: u32,
    pub(super) align: Align,
    /// Goes on in the next line where one is full.
    pub(super) lines: bool,
}

/// Writes texts of one style.
pub(super) struct Scribe {
    style: Style,
    pipeline: gst::Pipeline,
    source: AppSrc,
    sink: AppSink,
    overlay: gst::Element,
    info: VideoInfo,
    written: u64,
}

/// Characters of a text that are looked at: more have no room in a film.
const MAX_CHARS: usize = 600;
/// Black and white in I420.
const BLACK: u8 = 16;
const WHITE: u8 = 235;

impl Scribe {
    pub(super) fn new(style: Style) -> Result<Scribe, ComposeError> {
        let (width, height) = style.place;
        let info =
            VideoInfo::builder(VideoFormat::I420, width, height).fps(gst::Fraction::new(1, 1)).build()?;
        let align = match style.align {
            Align::Left => "left",
            Align::Centre => "center",
            Align::Right => "right",
        };
        // Letters are centred with what hangs below them; most have nothing there.
        let down = style.letters / 8;
        let wrap = if style.lines { "wordchar" } else { "none" };
        let pipeline = launch(&format!(
            "appsrc name=in format=time ! textoverlay name=text halignment={align} line-alignment={align} \
             valignment=center deltay={down} xpad=0 ypad=0 wrap-mode={wrap} auto-resize=false draw-shadow=false draw-outline=false ! \
             appsink name=out sync=false",
        ))?;
        let source: AppSrc = element(&pipeline, "in")?;
        let sink: AppSink = element(&pipeline, "out")?;
        let overlay: gst::Element = element(&pipeline, "text")?;
        source.set_caps(Some(&info.to_caps()?));
        overlay.set_property("font-desc", format!("Sans {}px", style.letters));
        let scribe = Scribe { style, pipeline, source, sink, overlay, info, written: 0 };
        scribe.pipeline.set_state(gst::State::Playing).map_err(|_| undrawn())?;
        Ok(scribe)
    }

    /// The letters of a text; one that has no room ends with an ellipsis.
    pub(super) fn write(&mut self, text: &str) -> Result<Mask, ComposeError> {
        let text: Vec<char> = harmless(text).chars().take(MAX_CHARS).collect();
        if text.is_empty() {
            let (width, height) = self.style.place;
            return Ok(Mask::new(width, height, |_, _| 0));
        }
        let all: String = text.iter().collect();
        let (mask, fits) = self.draw(&all)?;
        if fits {
            return Ok(mask);
        }
        // The longest beginning that has room; one that fits is kept as it was drawn.
        let (mut shorter, mut longer, mut best) = (0, text.len(), None);
        while shorter < longer {
            let half = (shorter + longer).div_ceil(2);
            let beginning: String = text.iter().take(half).collect();
            let (mask, fits) = self.draw(&format!("{}…", beginning.trim_end()))?;
            if fits {
                (shorter, best) = (half, Some(mask));
            } else {
                longer = half - 1;
            }
        }
        match best {
            Some(mask) => Ok(mask),
            None => Ok(self.draw("…")?.0),
        }
    }

    /// How wide and high a text is when it stands in lines as they are broken here, in samples.
    pub(super) fn size(&mut self, text: &str) -> Result<(u32, u32), ComposeError> {
        self.draw(&harmless(text))?;
        Ok(self.drawn())
    }

    fn drawn(&self) -> (u32, u32) {
        let side = |name| self.overlay.property::<u32>(name);
        (side("text-width"), side("text-height"))
    }

    /// Letters, and whether all of them are there.
    fn draw(&mut self, text: &str) -> Result<(Mask, bool), ComposeError> {
        self.overlay.set_property("text", gst::glib::markup_escape_text(text));
        let [luma, blue, red] =
            [0, 1, 2].map(|plane: usize| self.info.offset().get(plane).copied().unwrap_or(0));
        debug_assert!(luma < blue && blue < red);
        let mut bytes = vec![128; self.info.size()];
        bytes.get_mut(..blue).unwrap_or_default().fill(BLACK);
        let mut buffer = gst::Buffer::from_mut_slice(bytes);
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(gst::ClockTime::from_seconds(self.written));
            buffer.set_duration(gst::ClockTime::SECOND);
        }
        self.written += 1;
        self.source.push_buffer(buffer).map_err(|_| undrawn())?;
        let sample = self.sink.try_pull_sample(PATIENCE).ok_or_else(undrawn)?;
        let buffer = sample.buffer().ok_or_else(undrawn)?;
        let frame = VideoFrameRef::from_buffer_ref_readable(buffer, &self.info)?;
        let stride =
            frame.plane_stride().first().and_then(|stride| usize::try_from(*stride).ok()).unwrap_or(1);
        let samples = frame.plane_data(0)?;
        let (width, height) = self.style.place;
        let mask = Mask::new(width, height, |x, y| {
            let value = samples.get(y as usize * stride + x as usize).copied().unwrap_or(BLACK);
            (u32::from(value.saturating_sub(BLACK)) * 255 / u32::from(WHITE - BLACK)).min(255) as u8
        });
        let (wide, high) = self.drawn();
        // One line may be higher than its strip: what sticks out of it is an accent.
        Ok((mask, wide <= width && (high <= height || !self.style.lines)))
    }
}

impl Drop for Scribe {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

fn undrawn() -> ComposeError {
    ComposeError::Pipeline("a text could not be drawn: is a font installed?".to_owned())
}

/// A text in one line, without what is no letter and would turn others round or hide them.
pub(super) fn harmless(text: &str) -> String {
    let shown = text.chars().filter_map(|letter| match letter {
        '\u{2028}' | '\u{2029}' => Some(' '),
        letter if letter.is_control() => Some(' '),
        '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => None,
        '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' => None,
        letter => Some(letter),
    });
    shown.collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scribe(width: u32, align: Align) -> Scribe {
        gst::init().unwrap();
        Scribe::new(Style { place: (width, 24), letters: 14, align, lines: false }).unwrap()
    }

    /// The first and the last column with letters.
    fn ends(mask: &Mask) -> Option<(u32, u32)> {
        let lit = |x: &u32| (0..mask.height).any(|y| mask.at(*x, y) > 60);
        Some(((0..mask.width).find(lit)?, (0..mask.width).rev().find(lit)?))
    }

    #[test]
    fn control_characters_are_shown_harmlessly() {
        assert_eq!(harmless("Ada\nLovelace\t"), "Ada Lovelace");
        assert_eq!(harmless("Al\u{202e}ice\u{2066}\u{e0041}\u{feff}"), "Alice");
        assert_eq!(harmless("\u{0}\u{7f}\u{85}"), "");
        // What joins letters of Persian or emoji stays.
        assert_eq!(harmless("می\u{200c}خواهم"), "می\u{200c}خواهم");
    }

    #[test]
    fn what_has_no_room_ends_with_an_ellipsis_and_stays_in_its_place() {
        let mut scribe = scribe(200, Align::Left);
        let short = ends(&scribe.write("Ada").unwrap()).unwrap();
        assert!(short.0 < 4 && short.1 < 60, "{short:?}");
        for (name, letter) in [("iiiiiiii", "i"), ("WWWWWWWW", "W"), ("Γεωργία ", "Γ"), ("محمد ", "م")]
        {
            let long = scribe.write(&name.repeat(100)).unwrap();
            let (_, last) = ends(&long).unwrap();
            // Nothing is cut off at the edge, and less than a few letters of room is left.
            assert!((170..200).contains(&last), "{letter}: {last}");
        }
        let dots = scribe.write(&"i".repeat(300)).unwrap();
        let whole = scribe.draw(&"i".repeat(300)).unwrap();
        assert!(!whole.1 && whole.0 != dots);
        assert_eq!(ends(&scribe.write("").unwrap()), None);
    }

    #[test]
    fn texts_stand_where_they_are_aligned() {
        let (left, right) =
            (scribe(200, Align::Left).write("Ada").unwrap(), scribe(200, Align::Right).write("Ada").unwrap());
        let ((from, to), (other_from, other_to)) = (ends(&left).unwrap(), ends(&right).unwrap());
        assert!(from < 4 && other_to > 195 && to - from == other_to - other_from, "{to} {other_from}");
        let centre = ends(&scribe(200, Align::Centre).write("Ada").unwrap()).unwrap();
        assert!(centre.0.abs_diff(200 - 1 - centre.1) <= 3, "{centre:?}");
    }

    #[test]
    fn scripts_are_drawn_and_not_boxes() {
        let mut scribe = scribe(200, Align::Left);
        // Nobody has a font for these: each is a box with its number in it.
        let box_of = |scribe: &mut Scribe, text: &str| {
            let boxes: String = text.chars().map(|_| '\u{10fffd}').collect();
            scribe.write(&boxes).unwrap()
        };
        for text in ["Ελένη", "Борис", "გიორგი", "Արամ", "محمد", "שרה", "Zoë"]
        {
            let drawn = scribe.write(text).unwrap();
            let (boxes, (from, to)) = (box_of(&mut scribe, text), ends(&drawn).unwrap());
            assert!(drawn != boxes && to > from + 10, "{text}");
            // Two letters are two pictures; two boxes differ in their number only.
            let letters: Vec<char> = text.chars().collect();
            let (first, last) = (letters[0].to_string(), letters[letters.len() - 1].to_string());
            assert!(scribe.write(&first).unwrap() != scribe.write(&last).unwrap(), "{text}");
        }
    }

    #[test]
    fn arabic_letters_join_and_stand_from_right_to_left() {
        let mut scribe = scribe(200, Align::Left);
        let width = |scribe: &mut Scribe, text: &str| {
            let (from, to) = ends(&scribe.write(text).unwrap()).unwrap();
            to - from
        };
        // Meem is narrower where it joins the next than alone.
        let (joined, alone) = (width(&mut scribe, "ممم"), width(&mut scribe, "م\u{200c}م\u{200c}م"));
        assert!(joined < alone, "{joined} {alone}");
        // Alef is a stroke: the first letter, so the rightmost.
        let mask = scribe.write("ابب").unwrap();
        let (from, to) = ends(&mask).unwrap();
        let high = |x: u32| (0..mask.height).filter(|y| mask.at(x, *y) > 100).count();
        let (left, right) =
            ((from..from + 4).map(high).max().unwrap(), (to - 3..=to).map(high).max().unwrap());
        assert!(right > left, "{left} {right}");
        // What begins from the right has Latin on the left of what came before it.
        assert!(scribe.write("אבג Ada").unwrap() == scribe.write("Ada אבג").unwrap());
    }
}
