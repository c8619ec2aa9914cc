// SPDX-License-Identifier: EUPL-1.2
//! Who is to be seen when, from the manifest and the timelines. No media is touched here.

use std::collections::BTreeMap;

use parvis_jobs::{Kind, Origin};

use super::layout::{Arrangement, MAX_BESIDE, MAX_TILES};
use crate::manifest::{Manifest, Track};
use crate::timeline::{Entry, What};

/// A tile that goes and comes back within this time stays, so that a track that is published anew (in another codec, say)
/// moves nobody. In microseconds.
const BRIDGED: u64 = 1_000_000;

/// A tile, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tile {
    /// Whose.
    pub(super) name: String,
    /// The place in the manifest of the track whose pictures are shown, and the moment before which they are old: it was
    /// muted then. `None` without a picture.
    pub(super) picture: Option<(usize, u64)>,
    /// Is among those who speak.
    pub(super) speaks: bool,
}

/// All moments at which something changes, in microseconds since the recording's start.
#[derive(Debug)]
pub(super) struct Story {
    seats: Vec<Seat>,
    tracks: Vec<Span>,
    names: BTreeMap<String, Vec<(u64, String)>>,
    speakers: Vec<(u64, Vec<String>)>,
    moments: Vec<u64>,
    end: u64,
}

/// One participant's camera and microphone, or his share.
#[derive(Debug)]
struct Seat {
    participant: String,
    screen: bool,
    times: Vec<(u64, u64)>,
}

#[derive(Debug)]
struct Span {
    participant: String,
    screen: bool,
    video: bool,
    from: u64,
    to: u64,
    /// From when on it was muted or not.
    muted: Vec<(u64, bool)>,
}

impl Story {
    pub(super) fn new(manifest: &Manifest, entries: &[Entry]) -> Story {
        let end = end(manifest);
        let mut story = Story {
            seats: Vec::new(),
            tracks: manifest.tracks.iter().map(|track| Span::new(track, end)).collect(),
            names: BTreeMap::new(),
            speakers: Vec::new(),
            moments: vec![0],
            end,
        };
        let places: BTreeMap<&str, usize> =
            manifest.tracks.iter().enumerate().map(|(place, track)| (track.track.as_str(), place)).collect();
        for Entry { at, what } in entries {
            let at = u64::try_from(*at).unwrap_or(0);
            match what {
                What::Joined { participant, name, identity } => {
                    let name = if name.is_empty() { identity } else { name };
                    story.names.entry(participant.clone()).or_default().push((at, name.clone()));
                }
                What::Renamed { participant, name } => {
                    story.names.entry(participant.clone()).or_default().push((at, name.clone()));
                }
                What::Muted { track, muted } => {
                    let place = places.get(track.as_str());
                    if let Some(span) = place.and_then(|place| story.tracks.get_mut(*place)) {
                        span.muted.push((at, *muted));
                    }
                }
                What::Speakers { participants } => story.speakers.push((at, participants.clone())),
                _ => continue,
            }
            story.moments.push(at);
        }
        story.seat_all();
        story.moments.extend(story.tracks.iter().flat_map(|span| [span.from, span.to]));
        story.moments.extend(story.seats.iter().flat_map(|seat| seat.times.iter().map(|(_, to)| *to)));
        story.moments.sort_unstable();
        story.moments.dedup();
        story
    }

    /// When the recording ends.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// The first moment after `at` at which tiles may change.
    pub(super) fn next_change(&self, at: u64) -> Option<u64> {
        self.moments.get(self.moments.partition_point(|moment| *moment <= at)).copied()
    }

    /// The tiles at a moment, in the order of their cells.
    pub(super) fn tiles(&self, arrangement: Arrangement, at: u64) -> Vec<Tile> {
        let mut seats: Vec<&Seat> = self.seats.iter().filter(|seat| seat.is_taken(at)).collect();
        let most = match arrangement {
            Arrangement::Grid => MAX_TILES,
            Arrangement::Speaker => {
                if let Some(first) = self.first(&seats, at) {
                    let seat = seats.remove(first);
                    seats.insert(0, seat);
                }
                1 + MAX_BESIDE
            }
        };
        if seats.len() > most {
            // Whoever shows nothing gives way; the sort keeps the order otherwise.
            let large = usize::from(arrangement == Arrangement::Speaker);
            if let Some(others) = seats.get_mut(large..) {
                others.sort_by_key(|seat| self.picture(seat, at).is_none());
            }
            seats.truncate(most);
        }
        let loud = self.loud(at);
        let tile = |seat: &Seat| Tile {
            name: self.name(seat, at),
            picture: self.picture(seat, at),
            speaks: !seat.screen && loud.contains(&seat.participant),
        };
        seats.into_iter().map(tile).collect()
    }

    /// The place of whom the picture is about: a share, or else whoever spoke last and is still here.
    fn first(&self, seats: &[&Seat], at: u64) -> Option<usize> {
        let share = seats.iter().position(|seat| seat.screen && self.picture(seat, at).is_some());
        let so_far = self.speakers.partition_point(|(moment, _)| *moment <= at);
        let loudest = || {
            let earlier = self.speakers.get(..so_far)?.iter().rev();
            earlier.flat_map(|(_, speakers)| speakers).find_map(|speaker| {
                seats.iter().position(|seat| !seat.screen && seat.participant == *speaker)
            })
        };
        share.or_else(loudest)
    }

    fn loud(&self, at: u64) -> &[String] {
        let so_far = self.speakers.partition_point(|(moment, _)| *moment <= at);
        let last = so_far.checked_sub(1).and_then(|last| self.speakers.get(last));
        last.map_or(&[], |(_, participants)| participants)
    }

    fn picture(&self, seat: &Seat, at: u64) -> Option<(usize, u64)> {
        let mut newest = self.tracks.iter().enumerate().rev();
        newest.find_map(|(place, span)| {
            let fits = span.video && span.screen == seat.screen && span.participant == seat.participant;
            let since = (fits && span.from <= at && at < span.to).then(|| span.unmuted_since(at)).flatten();
            since.map(|since| (place, since))
        })
    }

    fn name(&self, seat: &Seat, at: u64) -> String {
        let names = self.names.get(&seat.participant).map_or(&[][..], Vec::as_slice);
        let known = names.iter().rev().find(|(since, _)| *since <= at).or(names.first());
        let name = known.map_or(seat.participant.as_str(), |(_, name)| name);
        if seat.screen { format!("{name} ▣") } else { name.to_owned() }
    }

    /// A seat for each participant with a track, and one for each who shares, in the order in which they came.
    fn seat_all(&mut self) {
        let mut spans: Vec<&Span> = self.tracks.iter().filter(|span| span.video || !span.screen).collect();
        spans.sort_by_key(|span| span.from);
        for span in spans {
            let taken = |seat: &&mut Seat| seat.participant == span.participant && seat.screen == span.screen;
            let Some(seat) = self.seats.iter_mut().find(taken) else {
                self.seats.push(Seat {
                    participant: span.participant.clone(),
                    screen: span.screen,
                    times: vec![(span.from, span.to)],
                });
                continue;
            };
            match seat.times.last_mut() {
                Some((_, until)) if span.from <= until.saturating_add(BRIDGED) => {
                    *until = span.to.max(*until);
                }
                _ => seat.times.push((span.from, span.to)),
            }
        }
    }
}

impl Seat {
    fn is_taken(&self, at: u64) -> bool {
        self.times.iter().any(|(from, to)| (*from..*to).contains(&at))
    }
}

impl Span {
    fn new(track: &Track, end: u64) -> Span {
        Span {
            participant: track.participant.clone(),
            screen: matches!(track.origin, Origin::ScreenShare | Origin::ScreenShareAudio),
            video: track.kind == Kind::Video,
            from: track.from,
            to: track.to.unwrap_or(end).min(end),
            muted: Vec::new(),
        }
    }

    /// Since when it isn't muted, if it isn't.
    fn unmuted_since(&self, at: u64) -> Option<u64> {
        match self.muted.iter().rev().find(|(since, _)| *since <= at) {
            Some((_, true)) => None,
            Some((since, false)) => Some(*since),
            None => Some(0),
        }
    }
}

/// When the recording ended; of one whose worker was killed, when the last frame came.
fn end(manifest: &Manifest) -> u64 {
    let last = manifest.tracks.iter().flat_map(|track| track.parts.iter().map(|part| part.last)).max();
    manifest.ended.or(last).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use parvis_jobs::{Codec, UnixMicros};

    use super::*;
    use crate::manifest::{FORMAT, VERSION};

    const SECOND: u64 = 1_000_000;

    fn track(id: &str, who: &str, origin: Origin, from: u64, to: Option<u64>) -> Track {
        let sound = matches!(origin, Origin::Microphone | Origin::ScreenShareAudio);
        let (kind, codec) = if sound { (Kind::Audio, Codec::Opus) } else { (Kind::Video, Codec::Vp8) };
        let begun = Track::begun(id.to_owned(), who.to_owned(), (kind, origin), codec, from * SECOND);
        Track { to: to.map(|to| to * SECOND), ..begun }
    }

    fn story(tracks: Vec<Track>, entries: &[(u64, What)]) -> Story {
        let manifest = Manifest {
            format: FORMAT.to_owned(),
            version: VERSION,
            job: "EG_test".to_owned(),
            room_id: "RM_test".to_owned(),
            tenant: String::new(),
            started_at: UnixMicros(0),
            ended: Some(60 * SECOND),
            reason: None,
            recipients: Vec::new(),
            runs: Vec::new(),
            lines_left_out: 0,
            timelines: Vec::new(),
            tracks,
        };
        let entry = |(at, what): &(u64, What)| Entry { at: (at * SECOND) as i64, what: what.clone() };
        Story::new(&manifest, &entries.iter().map(entry).collect::<Vec<_>>())
    }

    fn joined(who: &str, name: &str) -> What {
        What::Joined {
            participant: who.to_owned(),
            identity: format!("{who}-identity"),
            name: name.to_owned(),
        }
    }

    fn seen(story: &Story, arrangement: Arrangement, second: u64) -> Vec<(String, Option<usize>)> {
        let tiles = story.tiles(arrangement, second * SECOND);
        tiles.into_iter().map(|tile| (tile.name, tile.picture.map(|(track, _)| track))).collect()
    }

    fn is(seen: &[(String, Option<usize>)], expected: &[(&str, Option<usize>)]) -> bool {
        seen.iter().map(|(name, track)| (name.as_str(), *track)).eq(expected.iter().copied())
    }

    #[test]
    fn tiles_are_those_who_have_tracks_by_their_names_of_the_moment() {
        let story = story(
            vec![
                track("TR_1", "PA_a", Origin::Microphone, 0, None),
                track("TR_2", "PA_b", Origin::Camera, 5, Some(20)),
                track("TR_3", "PA_a", Origin::Camera, 10, Some(15)),
            ],
            &[
                (0, joined("PA_a", "Ada")),
                (4, joined("PA_b", "")),
                (12, What::Renamed { participant: "PA_a".to_owned(), name: "Ada L.".to_owned() }),
            ],
        );
        let seen = |second| seen(&story, Arrangement::Grid, second);
        assert!(is(&seen(0), &[("Ada", None)]));
        assert!(is(&seen(5), &[("Ada", None), ("PA_b-identity", Some(1))]));
        assert!(is(&seen(12), &[("Ada L.", Some(2)), ("PA_b-identity", Some(1))]));
        assert!(is(&seen(15), &[("Ada L.", None), ("PA_b-identity", Some(1))]));
        assert!(is(&seen(20), &[("Ada L.", None)]));
        assert_eq!(story.next_change(5 * SECOND), Some(10 * SECOND));
        assert_eq!(story.next_change(60 * SECOND), None);
    }

    #[test]
    fn a_track_in_another_codec_moves_nobody_and_old_pictures_are_not_shown() {
        let muted = |muted| What::Muted { track: "TR_3".to_owned(), muted };
        let mut again = track("TR_3", "PA_a", Origin::Camera, 10, None);
        again.from += SECOND / 2;
        let story = story(
            vec![
                track("TR_1", "PA_a", Origin::Camera, 0, Some(10)),
                track("TR_2", "PA_b", Origin::Camera, 0, None),
                again,
            ],
            &[(20, muted(true)), (30, muted(false))],
        );
        let tiles = |second| story.tiles(Arrangement::Grid, second * SECOND);
        assert!(is(&seen(&story, Arrangement::Grid, 10), &[("PA_a", None), ("PA_b", Some(1))]));
        assert!(is(&seen(&story, Arrangement::Grid, 11), &[("PA_a", Some(2)), ("PA_b", Some(1))]));
        assert_eq!(tiles(25)[0].picture, None);
        assert_eq!(tiles(30)[0].picture, Some((2, 30 * SECOND)));
    }

    #[test]
    fn the_speaker_layout_begins_with_a_share_or_who_spoke_last() {
        let speaks =
            |who: &[&str]| What::Speakers { participants: who.iter().map(ToString::to_string).collect() };
        let story = story(
            vec![
                track("TR_1", "PA_a", Origin::Camera, 0, None),
                track("TR_2", "PA_b", Origin::Camera, 0, None),
                track("TR_3", "PA_a", Origin::ScreenShare, 30, Some(40)),
                track("TR_4", "PA_a", Origin::ScreenShareAudio, 30, Some(50)),
            ],
            &[(5, speaks(&["PA_b", "PA_a"])), (10, speaks(&[])), (20, speaks(&["PA_a"]))],
        );
        let first = |second| seen(&story, Arrangement::Speaker, second)[0].1;
        assert_eq!([0, 5, 15, 20, 30, 40].map(first), [Some(0), Some(1), Some(1), Some(0), Some(2), Some(0)]);
        let loud = |second| {
            let tiles = story.tiles(Arrangement::Grid, second * SECOND);
            tiles.iter().map(|tile| tile.speaks).collect::<Vec<_>>()
        };
        assert_eq!((loud(5), loud(15), loud(31)), (vec![true; 2], vec![false; 2], vec![true, false, false]));
    }

    #[test]
    fn whoever_shows_nothing_gives_way() {
        let silent =
            (0..20).map(|number| track("TR_s", &format!("PA_{number}"), Origin::Microphone, 0, None));
        let shown = (20..40).map(|number| track("TR_v", &format!("PA_{number}"), Origin::Camera, 1, None));
        let story = story(silent.chain(shown).collect(), &[]);
        let seen = seen(&story, Arrangement::Grid, 2);
        assert_eq!(seen.len(), MAX_TILES);
        assert_eq!(seen.iter().filter(|(_, picture)| picture.is_some()).count(), 20);
        assert_eq!(seen[24].0, "PA_4");
    }
}
