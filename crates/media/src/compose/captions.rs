// SPDX-License-Identifier: EUPL-1.2
//! Captions of a film, of what agents or people's own clients wrote down of what was said: as WebVTT with a voice for each speaker
//! (<https://www.w3.org/TR/webvtt1/>), which players and `<track>` take.

use super::chapters::moment;
use super::story::{Spoken, Story};
use super::text::harmless;

/// The shortest time for which a caption is shown: of one that came all at once it is not known how long it was spoken.
const SHORTEST: u64 = 1_000_000;

/// A WebVTT file; `None` where nothing was written down.
pub(super) fn webvtt(story: &Story) -> Option<String> {
    let mut spoken: Vec<&Spoken> =
        story.captions().iter().filter(|spoken| !line(&spoken.text).is_empty()).collect();
    // Cues stand in the order in which they begin.
    spoken.sort_by_key(|spoken| (spoken.from, spoken.until));
    let cues: Vec<String> = spoken.iter().map(|spoken| cue(story, spoken)).collect();
    (!cues.is_empty()).then(|| format!("WEBVTT\n{}", cues.concat()))
}

fn cue(story: &Story, Spoken { participant, from, until, text }: &Spoken) -> String {
    let until = (*until).max(from.saturating_add(SHORTEST));
    let name = line(story.called(participant, *from));
    let voice = if name.is_empty() { String::new() } else { format!("<v {name}>") };
    format!("\n{} --> {}\n{voice}{}\n", moment(*from), moment(until), line(text))
}

/// Text as it may stand in a cue, and in a voice's name: in one line, since an empty one would end the cue, and without tags.
fn line(text: &str) -> String {
    let text = harmless(text).split_whitespace().collect::<Vec<_>>().join(" ");
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use parvis_jobs::Origin;

    use super::super::story::tests::{joined, story, track};
    use super::*;
    use crate::timeline::What;

    fn says(participant: &str, until: i64, text: &str) -> What {
        let (participant, text) = (participant.to_owned(), text.to_owned());
        What::Caption { participant, track: None, until: until * 1_000_000, text }
    }

    fn meeting(entries: &[(u64, What)]) -> Story {
        story(vec![track("TR_m", "PA_a", Origin::Microphone, 0, None)], entries)
    }

    #[test]
    fn each_caption_has_its_time_and_its_speakers_name_of_then() {
        let renamed = What::Renamed { participant: "PA_a".to_owned(), name: "Ada L.".to_owned() };
        let text = webvtt(&meeting(&[
            (0, joined("PA_a", "Ada")),
            (1, joined("PA_b", "Bo")),
            (2, says("PA_b", 4, "Good morning")),
            (3, says("PA_a", 3, "Hello")),
            (10, renamed),
            (20, says("PA_a", 3_700, "Bye")),
        ]));
        let expected = "WEBVTT\n\n00:00:02.000 --> 00:00:04.000\n<v Bo>Good morning\n\n00:00:03.000 --> \
                        00:00:04.000\n<v Ada>Hello\n\n00:00:20.000 --> 01:01:40.000\n<v Ada L.>Bye\n";
        assert_eq!(text.as_deref(), Some(expected));
        assert_eq!(webvtt(&meeting(&[(0, joined("PA_a", "Ada"))])), None, "no file for nothing");
    }

    #[test]
    fn row_46_nobodys_words_or_name_are_tags_or_end_a_cue() {
        let evil = "a\n\n00:00.000 --> 00:09.000\r<b>&nbsp;</v>\u{202e}\u{0}b";
        let text = webvtt(&meeting(&[
            (0, joined("PA_a", "<v Bo>\n\nNOTE")),
            (2, says("PA_a", 1, evil)),
            (3, says("PA_a", 5, " \n\u{200f} ")),
        ]));
        let expected = "WEBVTT\n\n00:00:02.000 --> 00:00:03.000\n<v &lt;v Bo&gt; NOTE>a 00:00.000 --&gt; 00:09.000 \
                        &lt;b&gt;&amp;nbsp;&lt;/v&gt; b\n";
        assert_eq!(text.as_deref(), Some(expected), "and what can't be seen is no caption");
    }
}
