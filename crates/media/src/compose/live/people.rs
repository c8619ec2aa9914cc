// SPDX-License-Identifier: EUPL-1.2
//! The story of a room that goes on: as much of it is kept as the next picture may need.

use std::collections::BTreeSet;

use parvis_jobs::UnixMicros;

use crate::compose::story::Story;
use crate::manifest::{FORMAT, Manifest, Track, VERSION};
use crate::timeline::{Entry, What};

/// What is older than this has happened for good: a film is composed less than two seconds behind, and a track that went and
/// came back within one is one. In microseconds.
const SETTLED: u64 = 5_000_000;
/// So many lines are looked through before the next one is added. A line of the timeline is some hundred bytes.
const MAX_LINES: usize = 500;
/// The end of a film whose end is not known.
const OPEN: u64 = u64::MAX / 4;

/// Tracks and lines.
pub(super) struct People {
    manifest: Manifest,
    lines: Vec<Entry>,
}

impl People {
    pub(super) fn new(started_at: UnixMicros) -> People {
        let manifest = Manifest {
            format: FORMAT.to_owned(),
            version: VERSION,
            job: String::new(),
            room_id: String::new(),
            tenant: String::new(),
            started_at,
            ended: Some(OPEN),
            reason: None,
            recipients: Vec::new(),
            runs: Vec::new(),
            lines_left_out: 0,
            timelines: Vec::new(),
            chats: Vec::new(),
            tracks: Vec::new(),
        };
        People { manifest, lines: Vec::new() }
    }

    pub(super) fn add_track(&mut self, track: Track) {
        self.manifest.tracks.push(track);
    }

    /// The track at a place ends.
    pub(super) fn end_track(&mut self, place: usize, at: u64) {
        if let Some(track) = self.manifest.tracks.get_mut(place) {
            track.to = Some(at.max(track.from));
        }
    }

    /// The places of tracks that nobody sees any more at `now`; they are taken out, from the last one on.
    pub(super) fn remove_settled(&mut self, now: u64) -> Vec<usize> {
        let gone = |track: &Track| track.to.is_some_and(|to| to.saturating_add(SETTLED) < now);
        let places: Vec<usize> = (0..self.manifest.tracks.len())
            .rev()
            .filter(|place| self.manifest.tracks.get(*place).is_some_and(gone))
            .collect();
        for place in &places {
            self.manifest.tracks.remove(*place);
        }
        places
    }

    pub(super) fn add_line(&mut self, entry: Entry, now: u64) {
        if self.lines.len() >= MAX_LINES {
            self.settle(now);
        }
        let place = self.lines.partition_point(|line| line.at <= entry.at);
        self.lines.insert(place, entry);
    }

    pub(super) fn story(&self) -> Story {
        Story::new(&self.manifest, &self.lines)
    }

    /// Leaves out what later lines have overtaken.
    fn settle(&mut self, now: u64) {
        let settled = i64::try_from(now.saturating_sub(SETTLED)).unwrap_or(i64::MAX);
        let owners = self.manifest.tracks.iter().map(|track| track.participant.clone());
        let gone = self.lines.iter().filter(|line| line.at < settled).filter_map(|line| match &line.what {
            What::Left { participant } => Some(participant.clone()),
            _ => None,
        });
        let (gone, owners): (BTreeSet<String>, BTreeSet<String>) = (gone.collect(), owners.collect());
        let is_here = |participant: &String| owners.contains(participant) || !gone.contains(participant);
        let open: BTreeSet<&str> = self.manifest.tracks.iter().map(|track| track.track.as_str()).collect();
        let (mut named, mut muted, mut spoke) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let mut kept = Vec::new();
        // From the newest on: of each kind the first that is met is the one that holds.
        for line in self.lines.drain(..).rev() {
            let holds = line.at >= settled
                || match &line.what {
                    What::Room { .. } => true,
                    What::Joined { participant, .. } => is_here(participant),
                    What::Renamed { participant, .. } => is_here(participant) && !named.contains(participant),
                    What::Muted { track, .. } => open.contains(track.as_str()) && !muted.contains(track),
                    What::Speakers { participants } => {
                        spoke.is_empty()
                            || participants.iter().any(|one| is_here(one) && !spoke.contains(one))
                    }
                    _ => false,
                };
            if !holds {
                continue;
            }
            match &line.what {
                What::Renamed { participant, .. } if line.at < settled => {
                    named.insert(participant.clone());
                }
                What::Muted { track, .. } if line.at < settled => {
                    muted.insert(track.clone());
                }
                // An empty line, that nobody speaks, overtakes as well.
                What::Speakers { participants } if line.at < settled => {
                    spoke.insert(String::new());
                    spoke.extend(participants.iter().cloned());
                }
                _ => {}
            }
            kept.push(line);
        }
        kept.reverse();
        self.lines = kept;
    }
}

#[cfg(test)]
mod tests {
    use parvis_jobs::{Codec, Kind, Origin};

    use super::*;
    use crate::compose::options::Layout;

    const SECOND: u64 = 1_000_000;

    fn line(at: u64, what: What) -> Entry {
        Entry { at: at as i64, what }
    }

    fn speakers(at: u64, who: &str) -> Entry {
        line(at, What::Speakers { participants: who.split_whitespace().map(str::to_owned).collect() })
    }

    fn meeting() -> People {
        let mut people = People::new(UnixMicros(0));
        for (place, name) in ["ada", "ben", "cleo"].into_iter().enumerate() {
            let (participant, identity) = (format!("PA_{place}"), name.to_owned());
            let name = name.to_owned();
            people.add_line(line(0, What::Joined { participant: participant.clone(), identity, name }), 0);
            let what = (Kind::Video, Origin::Camera);
            people.add_track(Track::begun(format!("TR_{place}"), participant, what, Codec::Vp8, 0));
        }
        people
    }

    #[test]
    fn eight_hours_of_talk_stay_small_and_the_scene_is_the_same() {
        let (mut pruned, mut whole) = (meeting(), Vec::new());
        for second in 0..8 * 3600_u64 {
            let who = ["PA_1", "PA_0 PA_1", ""][(second % 3) as usize];
            // Somebody spoke once, long ago.
            let who = if second == 7 { "PA_2" } else { who };
            let entry = speakers(second * SECOND, who);
            whole.push(entry.clone());
            pruned.add_line(entry, second * SECOND);
            if second % 600 == 0 {
                let muted = What::Muted { track: "TR_1".to_owned(), muted: second % 1200 == 0 };
                pruned.add_line(line(second * SECOND, muted.clone()), second * SECOND);
                whole.push(line(second * SECOND, muted));
            }
            assert!(pruned.lines.len() <= MAX_LINES, "{}", pruned.lines.len());
        }
        let now = 8 * 3600 * SECOND - 1;
        let mut all = meeting();
        all.lines.extend(whole);
        let scene = |people: &People, layout| people.story().scene(layout, None, now, &|track, _| track != 1);
        for layout in [Layout::Grid, Layout::Speaker, Layout::Screen, Layout::Single] {
            assert_eq!(scene(&pruned, layout), scene(&all, layout));
        }
        assert_eq!(scene(&pruned, Layout::Speaker).tiles[0].name, "ada");
    }

    #[test]
    fn tracks_that_went_are_taken_out_once_nobody_sees_them() {
        let mut people = meeting();
        people.end_track(1, 10 * SECOND);
        assert!(people.remove_settled(14 * SECOND).is_empty());
        assert_eq!(people.remove_settled(16 * SECOND), [1]);
        let names: Vec<_> = people
            .story()
            .scene(Layout::Grid, None, 16 * SECOND, &|_, _| true)
            .tiles
            .into_iter()
            .map(|tile| tile.name)
            .collect();
        assert_eq!(names, ["ada", "cleo"]);
    }
}
