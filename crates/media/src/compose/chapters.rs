// SPDX-License-Identifier: EUPL-1.2
//! Chapters of a film: shares, and turns in which one person speaks for long; as WebVTT, which players and `<track>` take.

use super::story::Story;
use super::text::harmless;

/// The most that a film has.
pub(super) const MAX_CHAPTERS: usize = 100;

/// How long somebody must have spoken before it is his turn, in microseconds.
const TURN: u64 = 30_000_000;
/// When others spoke for so long, he has to begin anew.
const INTERRUPTED: u64 = 5_000_000;
/// The shortest chapter.
const SHORTEST: u64 = 5_000_000;

/// A stretch of the film.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chapter {
    /// In microseconds since the recording's start.
    pub(super) from: u64,
    pub(super) title: String,
}

/// The chapters, in order, the first one at 0. Where there are more than [`MAX_CHAPTERS`], longer ones are made.
pub(super) fn chapters(story: &Story) -> Vec<Chapter> {
    let mut scale = 1;
    loop {
        let chapters = of_length(story, scale);
        if chapters.len() <= MAX_CHAPTERS {
            return chapters;
        }
        scale *= 2;
    }
}

fn of_length(story: &Story, scale: u64) -> Vec<Chapter> {
    let mut shares: Vec<(u64, u64, String)> = Vec::new();
    for seat in story.shares() {
        let long = seat.times.iter().filter(|(from, to)| to - from >= SHORTEST.saturating_mul(scale));
        shares.extend(long.map(|(from, to)| (*from, *to, story.name(seat, *from))));
    }
    shares.sort();
    let turns = turns(story, TURN.saturating_mul(scale));
    let title = |at: u64| {
        let share = shares.iter().find(|(from, to, _)| (*from..*to).contains(&at));
        let turn = turns.get(..turns.partition_point(|(from, _)| *from <= at)).and_then(<[_]>::last);
        let named = share.map(|(.., name)| name.as_str()).or(turn.map(|(_, name)| name.as_str()));
        let title = harmless(named.unwrap_or(story.room()));
        if title.is_empty() { "–".to_owned() } else { title }
    };
    let mut moments = vec![0];
    moments.extend(shares.iter().flat_map(|(from, to, _)| [*from, *to]));
    moments.extend(turns.iter().map(|(from, _)| *from));
    moments.sort_unstable();
    let mut chapters: Vec<Chapter> = Vec::new();
    for from in moments.into_iter().filter(|from| *from < story.end()) {
        let title = title(from);
        match chapters.last_mut() {
            Some(last) if last.title == title => {}
            // What was too short to be a chapter becomes the next one.
            Some(last) if from - last.from < SHORTEST.saturating_mul(scale) => last.title = title,
            _ => chapters.push(Chapter { from, title }),
        }
    }
    chapters.dedup_by(|next, before| next.title == before.title);
    chapters
}

/// From when on it is whose turn. An interjection ends none, nor does silence.
fn turns(story: &Story, long: u64) -> Vec<(u64, String)> {
    struct Candidate<'a> {
        speaker: &'a str,
        since: u64,
        spoken: u64,
        /// How long others spoke since.
        others: u64,
    }
    let speakers = story.speakers();
    let ends = speakers.iter().skip(1).map(|(at, _)| *at).chain([story.end()]);
    let (mut turns, mut holder) = (Vec::new(), None);
    let mut candidates: Vec<Candidate<'_>> = Vec::new();
    for ((from, loud), to) in speakers.iter().zip(ends) {
        let Some(speaker) = loud.first().map(String::as_str) else { continue };
        let spoken = to.saturating_sub(*from);
        for other in candidates.iter_mut().filter(|other| other.speaker != speaker) {
            other.others += spoken;
        }
        candidates.retain(|candidate| candidate.others < INTERRUPTED);
        if holder == Some(speaker) {
            continue;
        }
        let known = candidates.iter_mut().find(|candidate| candidate.speaker == speaker);
        let (since, so_far) = match known {
            Some(candidate) => {
                (candidate.others, candidate.spoken) = (0, candidate.spoken + spoken);
                (candidate.since, candidate.spoken)
            }
            None => {
                candidates.push(Candidate { speaker, since: *from, spoken, others: 0 });
                (*from, spoken)
            }
        };
        if so_far >= long {
            turns.push((since, story.called(speaker, since).to_owned()));
            holder = Some(speaker);
            candidates.clear();
        }
    }
    turns
}

/// A WebVTT file.
pub(super) fn webvtt(chapters: &[Chapter], end: u64) -> String {
    let ends = chapters.iter().skip(1).map(|chapter| chapter.from).chain([end]);
    let cues = chapters.iter().zip(ends).enumerate().map(|(number, (Chapter { from, title }, to))| {
        let title = title.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        format!("\n{}\n{} --> {}\n{title}\n", number + 1, moment(*from), moment(to))
    });
    format!("WEBVTT\n{}", cues.collect::<String>())
}

/// A moment as WebVTT writes it.
pub(super) fn moment(micros: u64) -> String {
    let ms = micros / 1000;
    format!("{:02}:{:02}:{:02}.{:03}", ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000)
}

#[cfg(test)]
mod tests {
    use parvis_jobs::Origin;

    use super::super::story::tests::{SECOND, joined, speaks, story, track};
    use super::*;
    use crate::timeline::What;

    fn meeting(shares: &[(u64, u64)], spoken: &[(u64, &[&str])]) -> Story {
        let mut tracks: Vec<_> =
            ["PA_a", "PA_b"].iter().map(|who| track("TR_m", who, Origin::Microphone, 0, None)).collect();
        tracks.extend(
            shares.iter().map(|(from, to)| track("TR_s", "PA_b", Origin::ScreenShare, *from, Some(*to))),
        );
        let mut entries = vec![
            (0, What::Room { room: "Stand-up".to_owned() }),
            (0, joined("PA_a", "Ada")),
            (0, joined("PA_b", "Bob")),
        ];
        entries.extend(spoken.iter().map(|(at, who)| (*at, speaks(who))));
        story(tracks, &entries)
    }

    fn told(chapters: &[Chapter]) -> Vec<(u64, &str)> {
        chapters.iter().map(|chapter| (chapter.from / SECOND, chapter.title.as_str())).collect()
    }

    #[test]
    fn a_share_and_a_long_turn_are_chapters_and_an_interjection_is_none() {
        // The meeting of these tests lasts a minute.
        let spoken: [(u64, &[&str]); 5] =
            [(2, &["PA_a"]), (12, &["PA_b", "PA_a"]), (14, &["PA_a"]), (40, &[]), (45, &["PA_b"])];
        assert_eq!(told(&chapters(&meeting(&[], &spoken))), [(0, "Ada")]);
        let shared = chapters(&meeting(&[(20, 35)], &spoken));
        assert_eq!(told(&shared), [(0, "Ada"), (20, "Bob ▣"), (35, "Ada")]);
        assert_eq!(told(&chapters(&meeting(&[(20, 24)], &[]))), [(0, "Stand-up")], "too short");
        let turn: [(u64, &[&str]); 3] = [(10, &["PA_a"]), (15, &[]), (16, &["PA_a"])];
        assert_eq!(told(&chapters(&meeting(&[], &turn))), [(0, "Stand-up"), (10, "Ada")]);
    }

    #[test]
    fn who_speaks_longer_between_keeps_his_turn() {
        let kept: [(u64, &[&str]); 4] = [(0, &["PA_a"]), (30, &["PA_b"]), (45, &["PA_a"]), (50, &["PA_b"])];
        assert_eq!(told(&chapters(&meeting(&[], &kept))), [(0, "Ada")]);
        let lost: [(u64, &[&str]); 4] = [(0, &["PA_a"]), (25, &[]), (26, &["PA_a"]), (30, &["PA_b"])];
        assert_eq!(
            told(&chapters(&meeting(&[], &lost))),
            [(0, "Stand-up"), (30, "Bob")],
            "29 seconds are no turn yet"
        );
    }

    #[test]
    fn there_are_never_too_many() {
        let shares: Vec<(u64, u64)> = (0..500).map(|number| (number * 12, number * 12 + 6)).collect();
        let mut tracks = vec![track("TR_m", "PA_a", Origin::Microphone, 0, None)];
        tracks.extend(
            shares.iter().map(|(from, to)| track("TR_s", "PA_b", Origin::ScreenShare, *from, Some(*to))),
        );
        let story = super::super::story::tests::story_of(tracks, &[], 6000);
        assert!(of_length(&story, 1).len() > MAX_CHAPTERS);
        let chapters = chapters(&story);
        assert!((1..=MAX_CHAPTERS).contains(&chapters.len()), "{}", chapters.len());
    }

    #[test]
    fn webvtt_says_when_and_what() {
        let of = |from, title: &str| Chapter { from, title: title.to_owned() };
        let text = webvtt(&[of(0, "A & B"), of(61_500_000, "<b> --> c")], 3_700_250_000);
        assert_eq!(
            text,
            "WEBVTT\n\n1\n00:00:00.000 --> 00:01:01.500\nA &amp; B\n\n2\n00:01:01.500 --> 01:01:40.250\n&lt;b&gt; --&gt; c\n"
        );
    }
}
