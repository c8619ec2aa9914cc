// SPDX-License-Identifier: EUPL-1.2
//! Who is to be seen when, from the manifest and the timelines. No media is touched here.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use parvis_jobs::{Kind, Origin};

use super::ComposeError;
use super::layout::{Arrangement, MAX_BESIDE, MAX_TILES};
use super::options::{Layout, Subject};
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
    /// Can't be heard: has no microphone, or a muted one.
    pub(super) muted: bool,
}

/// What is seen at one moment: tiles in the order of their cells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scene {
    pub(super) arrangement: Arrangement,
    pub(super) tiles: Vec<Tile>,
}

/// Whether the track at a place in the manifest has a picture that is not older than a moment. A share that has none yet is
/// not there yet, so that its place is never seen empty.
pub(super) type Ready<'a> = &'a dyn Fn(usize, u64) -> bool;

/// All moments at which something changes, in microseconds since the recording's start.
#[derive(Debug)]
pub(super) struct Story {
    seats: Vec<Seat>,
    tracks: Vec<Span>,
    room: String,
    people: BTreeMap<String, Person>,
    speakers: Vec<(u64, Vec<String>)>,
    captions: Vec<Spoken>,
    moments: Vec<u64>,
    end: u64,
}

/// What somebody said from one moment to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spoken {
    pub(super) participant: String,
    pub(super) from: u64,
    pub(super) until: u64,
    pub(super) text: String,
}

/// A participant.
#[derive(Debug, Default)]
struct Person {
    identity: String,
    /// From when on.
    names: Vec<(u64, String)>,
    /// When speaking was told.
    spoke: Vec<u64>,
}

/// One participant's camera and microphone, or his share.
#[derive(Debug)]
pub(super) struct Seat {
    participant: String,
    screen: bool,
    /// From when to when somebody sits there.
    pub(super) times: Vec<(u64, u64)>,
}

#[derive(Debug)]
struct Span {
    track: String,
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
            room: String::new(),
            people: BTreeMap::new(),
            speakers: Vec::new(),
            captions: Vec::new(),
            moments: vec![0],
            end,
        };
        let places: BTreeMap<&str, usize> =
            manifest.tracks.iter().enumerate().map(|(place, track)| (track.track.as_str(), place)).collect();
        for Entry { at, what } in entries {
            let at = u64::try_from(*at).unwrap_or(0);
            match what {
                What::Room { room } => story.room.clone_from(room),
                What::Joined { participant, name, identity } => {
                    let name = if name.is_empty() { identity } else { name };
                    let person = story.people.entry(participant.clone()).or_default();
                    person.identity.clone_from(identity);
                    person.names.push((at, name.clone()));
                }
                What::Renamed { participant, name } => {
                    story.people.entry(participant.clone()).or_default().names.push((at, name.clone()));
                }
                What::Muted { track, muted } => {
                    let place = places.get(track.as_str());
                    if let Some(span) = place.and_then(|place| story.tracks.get_mut(*place)) {
                        span.muted.push((at, *muted));
                    }
                }
                What::Speakers { participants } => {
                    for participant in participants {
                        story.people.entry(participant.clone()).or_default().spoke.push(at);
                    }
                    story.speakers.push((at, participants.clone()));
                }
                What::Caption { participant, until, text, .. } => {
                    let (participant, text) = (participant.clone(), text.clone());
                    let until = u64::try_from(*until).unwrap_or(0);
                    story.captions.push(Spoken { participant, from: at, until, text });
                    continue;
                }
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

    /// The room's name.
    pub(super) fn room(&self) -> &str {
        &self.room
    }

    /// Who speaks from when on, the loudest first.
    pub(super) fn speakers(&self) -> &[(u64, Vec<String>)] {
        &self.speakers
    }

    /// What was said, as far as it was written down.
    pub(super) fn captions(&self) -> &[Spoken] {
        &self.captions
    }

    /// All shares, in the order in which they came.
    pub(super) fn shares(&self) -> impl Iterator<Item = &Seat> {
        self.seats.iter().filter(|seat| seat.screen)
    }

    /// The identity of a participant; its id where that was not told.
    pub(super) fn identity<'a>(&'a self, participant: &'a str) -> &'a str {
        let identity = self.people.get(participant).map(|person| person.identity.as_str());
        identity.filter(|identity| !identity.is_empty()).unwrap_or(participant)
    }

    /// Refuses a subject that never is there, and says who or what is.
    pub(super) fn check(&self, subject: Option<&Subject>) -> Result<(), ComposeError> {
        let (what, wanted, mut there): (_, _, Vec<&str>) = match subject {
            None => return Ok(()),
            Some(Subject::Participant(identity)) => {
                let there = self.seats.iter().map(|seat| self.identity(&seat.participant));
                ("participant", identity, there.collect())
            }
            Some(Subject::Track(track)) => {
                let there = self.tracks.iter().filter(|span| span.video).map(|span| span.track.as_str());
                ("video track", track, there.collect())
            }
        };
        if there.contains(&wanted.as_str()) {
            return Ok(());
        }
        there.sort_unstable();
        there.dedup();
        let (count, shown) = (there.len(), there.iter().take(20).map(|one| format!("{one:?}")));
        let shown = shown.collect::<Vec<_>>().join(", ");
        Err(ComposeError::Options(format!(
            "no {what} {wanted:?} in the recording; there are {count}: {shown}"
        )))
    }

    /// The first moment after `at` at which tiles may change.
    pub(super) fn next_change(&self, at: u64) -> Option<u64> {
        self.moments.get(self.moments.partition_point(|moment| *moment <= at)).copied()
    }

    /// Since when a track that is there isn't muted, if it isn't.
    pub(super) fn since(&self, track: usize, at: u64) -> Option<u64> {
        self.tracks.get(track).filter(|span| span.is_live(at)).and_then(|span| span.unmuted_since(at))
    }

    /// What is seen at a moment.
    pub(super) fn scene(
        &self,
        layout: Layout,
        subject: Option<&Subject>,
        at: u64,
        ready: Ready<'_>,
    ) -> Scene {
        let has_picture = |seat: &Seat| self.picture(seat, at, ready).is_some();
        let seats = self.seats.iter().filter(|seat| seat.is_taken(at));
        let mut seats: Vec<&Seat> = seats.filter(|seat| !seat.screen || has_picture(seat)).collect();
        let tiles = |seats: &[&Seat]| {
            let loud = self.loud(at);
            let tile = |seat: &&Seat| Tile {
                name: self.name(seat, at),
                picture: self.picture(seat, at, ready),
                speaks: !seat.screen && loud.contains(&seat.participant),
                muted: !seat.screen && !self.is_heard(&seat.participant, at),
            };
            seats.iter().map(tile).collect()
        };
        let share = seats.iter().position(|seat| seat.screen);
        let arrangement = match layout {
            Layout::Grid | Layout::Audio => Arrangement::Grid,
            Layout::Screen if share.is_some() => Arrangement::Screen,
            Layout::Speaker | Layout::Screen => Arrangement::Speaker,
            Layout::Single => Arrangement::Single,
        };
        match arrangement {
            Arrangement::Grid => keep(&mut seats, MAX_TILES, |seat| !has_picture(seat)),
            Arrangement::Speaker | Arrangement::Screen => {
                let large = share.or_else(|| self.loudest(&seats, at)).map(|first| seats.remove(first));
                if arrangement == Arrangement::Screen {
                    self.keep_speakers(&mut seats, at, |seat| !has_picture(seat));
                }
                keep(&mut seats, MAX_BESIDE + usize::from(large.is_none()), |seat| !has_picture(seat));
                seats.splice(..0, large);
            }
            Arrangement::Single => {
                if let Some(Subject::Track(track)) = subject {
                    return Scene { arrangement, tiles: self.alone(track, at, ready).into_iter().collect() };
                }
                let one = match subject {
                    Some(Subject::Participant(identity)) => {
                        let theirs = |seat: &&&Seat| self.identity(&seat.participant) == *identity;
                        let shown = seats.iter().filter(theirs).find(|seat| has_picture(seat));
                        shown.or_else(|| seats.iter().find(theirs)).copied()
                    }
                    _ => {
                        let loudest = self.loudest(&seats, at).and_then(|place| seats.get(place));
                        loudest
                            .or_else(|| seats.iter().find(|seat| has_picture(seat)))
                            .or(seats.first())
                            .copied()
                    }
                };
                seats = one.into_iter().collect();
            }
        }
        Scene { arrangement, tiles: tiles(&seats) }
    }

    /// A track, whosever it is.
    fn alone(&self, track: &str, at: u64, ready: Ready<'_>) -> Option<Tile> {
        let is_it = |(_, span): &(usize, &Span)| span.video && span.track == track && span.is_live(at);
        let (place, span) = self.tracks.iter().enumerate().rev().find(is_it)?;
        let seat = self.seats.iter().find(|seat| span.is_of(seat))?;
        let since = span.unmuted_since(at).filter(|since| ready(place, *since));
        Some(Tile {
            name: self.name(seat, at),
            picture: since.map(|since| (place, since)),
            speaks: false,
            muted: !seat.screen && !self.is_heard(&seat.participant, at),
        })
    }

    /// The place of whoever spoke last and is still here.
    fn loudest(&self, seats: &[&Seat], at: u64) -> Option<usize> {
        let so_far = self.speakers.partition_point(|(moment, _)| *moment <= at);
        let earlier = self.speakers.get(..so_far)?.iter().rev();
        earlier
            .flat_map(|(_, speakers)| speakers)
            .find_map(|speaker| seats.iter().position(|seat| !seat.screen && seat.participant == *speaker))
    }

    /// Of more seats than have room beside a share, those who spoke last, in the order that they had.
    fn keep_speakers(&self, seats: &mut Vec<&Seat>, at: u64, gives_way: impl Fn(&Seat) -> bool) {
        if seats.len() <= MAX_BESIDE {
            return;
        }
        let spoke = |seat: &Seat| {
            let spoke = &self.people.get(&seat.participant)?.spoke;
            spoke.get(..spoke.partition_point(|moment| *moment <= at))?.last().copied()
        };
        let mut ranked: Vec<_> = seats.drain(..).enumerate().collect();
        ranked.sort_by_key(|(_, seat)| (Reverse(spoke(seat)), gives_way(seat)));
        ranked.truncate(MAX_BESIDE);
        ranked.sort_unstable_by_key(|(place, _)| *place);
        seats.extend(ranked.into_iter().map(|(_, seat)| seat));
    }

    fn loud(&self, at: u64) -> &[String] {
        let so_far = self.speakers.partition_point(|(moment, _)| *moment <= at);
        let last = so_far.checked_sub(1).and_then(|last| self.speakers.get(last));
        last.map_or(&[], |(_, participants)| participants)
    }

    /// The newest track of a seat that has a picture. Of one that was published anew and has none yet, the last one of before.
    fn picture(&self, seat: &Seat, at: u64, ready: Ready<'_>) -> Option<(usize, u64)> {
        let theirs =
            || self.tracks.iter().enumerate().rev().filter(|(_, span)| span.video && span.is_of(seat));
        let shown = |span: &Span, place: usize, at: u64| {
            span.unmuted_since(at).filter(|since| ready(place, *since)).map(|since| (place, since))
        };
        let live = theirs().filter(|(_, span)| span.is_live(at));
        let live = live.filter_map(|(place, span)| shown(span, place, at)).next();
        live.or_else(|| {
            let (place, before) = theirs().find(|(_, span)| span.to <= at)?;
            let follows = |span: &Span| {
                let soon = before.to..before.to.saturating_add(BRIDGED);
                let is_muted = span.unmuted_since(at.max(span.from)).is_none();
                soon.contains(&span.from) && at < span.to && !is_muted
            };
            let goes_on = theirs().any(|(_, span)| follows(span));
            goes_on.then(|| shown(before, place, before.to)).flatten()
        })
    }

    /// Whether a microphone of theirs is there and not muted.
    fn is_heard(&self, participant: &str, at: u64) -> bool {
        self.tracks.iter().any(|span| {
            let is_theirs = !span.video && !span.screen && span.participant == participant;
            is_theirs && span.is_live(at) && span.unmuted_since(at).is_some()
        })
    }

    /// What is written under a tile.
    pub(super) fn name(&self, seat: &Seat, at: u64) -> String {
        let name = self.called(&seat.participant, at);
        if seat.screen { format!("{name} ▣") } else { name.to_owned() }
    }

    /// What a participant is called at a moment.
    pub(super) fn called<'a>(&'a self, participant: &'a str, at: u64) -> &'a str {
        let names = self.people.get(participant).map_or(&[][..], |person| &person.names);
        let known = names.iter().rev().find(|(since, _)| *since <= at).or(names.first());
        known.map_or(participant, |(_, name)| name)
    }

    /// A seat for each participant with a track, and one for each who shares, in the order in which they came.
    fn seat_all(&mut self) {
        let mut spans: Vec<&Span> = self.tracks.iter().filter(|span| span.video || !span.screen).collect();
        spans.sort_by_key(|span| span.from);
        for span in spans {
            let Some(seat) = self.seats.iter_mut().find(|seat| span.is_of(seat)) else {
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

/// Keeps so many seats; those of which it is so give way. The sort keeps the order otherwise.
fn keep(seats: &mut Vec<&Seat>, most: usize, gives_way: impl Fn(&Seat) -> bool) {
    if seats.len() > most {
        seats.sort_by_key(|seat| gives_way(seat));
        seats.truncate(most);
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
            track: track.track.clone(),
            participant: track.participant.clone(),
            screen: matches!(track.origin, Origin::ScreenShare | Origin::ScreenShareAudio),
            video: track.kind == Kind::Video,
            from: track.from,
            to: track.to.unwrap_or(end).min(end),
            muted: Vec::new(),
        }
    }

    fn is_of(&self, seat: &Seat) -> bool {
        self.screen == seat.screen && self.participant == seat.participant
    }

    fn is_live(&self, at: u64) -> bool {
        (self.from..self.to).contains(&at)
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
pub(super) fn end(manifest: &Manifest) -> u64 {
    let last = manifest.tracks.iter().flat_map(|track| track.parts.iter().map(|part| part.last)).max();
    manifest.ended.or(last).unwrap_or(0)
}

#[cfg(test)]
pub(super) mod tests;
