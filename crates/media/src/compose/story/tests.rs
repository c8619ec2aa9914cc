// SPDX-License-Identifier: EUPL-1.2
use parvis_jobs::{Codec, UnixMicros};

use super::*;
use crate::manifest::{FORMAT, VERSION};

pub(in super::super) const SECOND: u64 = 1_000_000;

pub(in super::super) fn track(id: &str, who: &str, origin: Origin, from: u64, to: Option<u64>) -> Track {
    let sound = matches!(origin, Origin::Microphone | Origin::ScreenShareAudio);
    let (kind, codec) = if sound { (Kind::Audio, Codec::Opus) } else { (Kind::Video, Codec::Vp8) };
    let begun = Track::begun(id.to_owned(), who.to_owned(), (kind, origin), codec, from * SECOND);
    Track { to: to.map(|to| to * SECOND), ..begun }
}

pub(in super::super) fn story(tracks: Vec<Track>, entries: &[(u64, What)]) -> Story {
    story_of(tracks, entries, 60)
}

/// One that lasts so many seconds.
pub(in super::super) fn story_of(tracks: Vec<Track>, entries: &[(u64, What)], seconds: u64) -> Story {
    let manifest = Manifest {
        format: FORMAT.to_owned(),
        version: VERSION,
        job: "EG_test".to_owned(),
        room_id: "RM_test".to_owned(),
        tenant: String::new(),
        started_at: UnixMicros(0),
        ended: Some(seconds * SECOND),
        reason: None,
        recipients: Vec::new(),
        runs: Vec::new(),
        lines_left_out: 0,
        timelines: Vec::new(),
        chats: Vec::new(),
        tracks,
    };
    let entry = |(at, what): &(u64, What)| Entry { at: (at * SECOND) as i64, what: what.clone() };
    Story::new(&manifest, &entries.iter().map(entry).collect::<Vec<_>>())
}

pub(in super::super) fn joined(who: &str, name: &str) -> What {
    What::Joined { participant: who.to_owned(), identity: format!("{who}-identity"), name: name.to_owned() }
}

pub(in super::super) fn speaks(who: &[&str]) -> What {
    What::Speakers { participants: who.iter().map(ToString::to_string).collect() }
}

fn scene(story: &Story, layout: Layout, second: u64) -> Scene {
    story.scene(layout, None, second * SECOND, &|_, _| true)
}

fn seen(story: &Story, layout: Layout, second: u64) -> Vec<(String, Option<usize>)> {
    scene(story, layout, second)
        .tiles
        .into_iter()
        .map(|tile| (tile.name, tile.picture.map(|(track, _)| track)))
        .collect()
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
    let seen = |second| seen(&story, Layout::Grid, second);
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
    let tiles = |second| scene(&story, Layout::Grid, second).tiles;
    assert!(is(&seen(&story, Layout::Grid, 10), &[("PA_a", Some(0)), ("PA_b", Some(1))]));
    assert!(is(&seen(&story, Layout::Grid, 11), &[("PA_a", Some(2)), ("PA_b", Some(1))]));
    assert_eq!(tiles(25)[0].picture, None);
    assert_eq!(tiles(30)[0].picture, Some((2, 30 * SECOND)));
}

#[test]
fn the_speaker_layout_begins_with_a_share_or_who_spoke_last() {
    let story = story(
        vec![
            track("TR_1", "PA_a", Origin::Camera, 0, None),
            track("TR_2", "PA_b", Origin::Camera, 0, None),
            track("TR_3", "PA_a", Origin::ScreenShare, 30, Some(40)),
            track("TR_4", "PA_a", Origin::ScreenShareAudio, 30, Some(50)),
        ],
        &[(5, speaks(&["PA_b", "PA_a"])), (10, speaks(&[])), (20, speaks(&["PA_a"]))],
    );
    let first = |second| seen(&story, Layout::Speaker, second)[0].1;
    assert_eq!([0, 5, 15, 20, 30, 40].map(first), [Some(0), Some(1), Some(1), Some(0), Some(2), Some(0)]);
    let loud =
        |second| scene(&story, Layout::Grid, second).tiles.iter().map(|tile| tile.speaks).collect::<Vec<_>>();
    assert_eq!((loud(5), loud(15), loud(31)), (vec![true; 2], vec![false; 2], vec![true, false, false]));
}

#[test]
fn whoever_shows_nothing_gives_way() {
    let silent = (0..20).map(|number| track("TR_s", &format!("PA_{number}"), Origin::Microphone, 0, None));
    let shown = (20..40).map(|number| track("TR_v", &format!("PA_{number}"), Origin::Camera, 1, None));
    let story = story(silent.chain(shown).collect(), &[]);
    let seen = seen(&story, Layout::Grid, 2);
    assert_eq!(seen.len(), MAX_TILES);
    assert_eq!(seen.iter().filter(|(_, picture)| picture.is_some()).count(), 20);
    assert_eq!(seen[24].0, "PA_4");
}

/// Ada, who shares from 30 to 40, and twenty more.
fn lecture(entries: &[(u64, What)]) -> Story {
    let others = (0..20).map(|number| track("TR_v", &format!("PA_{number}"), Origin::Camera, 0, None));
    let ada = [
        track("TR_a", "PA_a", Origin::Camera, 0, None),
        track("TR_s", "PA_a", Origin::ScreenShare, 30, Some(40)),
    ];
    story(ada.into_iter().chain(others).collect(), entries)
}

#[test]
fn the_screen_layout_is_a_share_with_those_who_spoke_last_and_else_the_speaker_layout() {
    let entries = [(1, speaks(&["PA_3"])), (2, speaks(&["PA_19", "PA_17"])), (25, speaks(&["PA_a"]))];
    let story = lecture(&entries);
    let (before, shared) = (scene(&story, Layout::Screen, 29), scene(&story, Layout::Screen, 30));
    assert_eq!((before.arrangement, shared.arrangement), (Arrangement::Speaker, Arrangement::Screen));
    assert_eq!(before, scene(&story, Layout::Speaker, 29));
    let names: Vec<&str> = shared.tiles.iter().map(|tile| tile.name.as_str()).collect();
    // Those who never spoke fill up what is left.
    assert_eq!(names, ["PA_a ▣", "PA_a", "PA_0", "PA_1", "PA_3", "PA_17", "PA_19"]);
    assert_eq!(scene(&story, Layout::Screen, 40).arrangement, Arrangement::Speaker);
}

#[test]
fn a_share_is_not_there_before_it_has_a_picture() {
    let story = lecture(&[]);
    let waiting: Ready<'_> = &|track, _| track != 1;
    for layout in [Layout::Grid, Layout::Speaker, Layout::Screen] {
        let (before, at) = (scene(&story, layout, 29), story.scene(layout, None, 31 * SECOND, waiting));
        assert_eq!(before, at, "{layout:?}");
        assert_ne!(before, scene(&story, layout, 31), "{layout:?}");
    }
}

#[test]
fn a_single_picture_is_who_speaks_or_who_was_asked_for() {
    let story = lecture(&[(0, joined("PA_a", "Ada")), (5, speaks(&["PA_7"])), (10, speaks(&["PA_a"]))]);
    let one = |second, subject: Option<Subject>| {
        let scene = story.scene(Layout::Single, subject.as_ref(), second * SECOND, &|_, _| true);
        assert!(scene.arrangement == Arrangement::Single && scene.tiles.len() < 2);
        scene.tiles.first().map(|tile| (tile.name.clone(), tile.picture.map(|(track, _)| track)))
    };
    let tile = |name: &str, track| Some((name.to_owned(), Some(track)));
    assert_eq!(
        [0, 6, 20, 35].map(|at| one(at, None)),
        [tile("Ada", 0), tile("PA_7", 9), tile("Ada", 0), tile("Ada", 0)]
    );
    let ada = || Some(Subject::Participant("PA_a-identity".to_owned()));
    assert_eq!([6, 35].map(|at| one(at, ada())), [tile("Ada", 0), tile("Ada", 0)]);
    let share = || Some(Subject::Track("TR_s".to_owned()));
    assert_eq!([29, 30, 40].map(|at| one(at, share())), [None, tile("Ada ▣", 1), None]);
    story.check(ada().as_ref()).unwrap();
    story.check(share().as_ref()).unwrap();
    let wrong = Subject::Participant("eve".to_owned());
    let told = story.check(Some(&wrong)).unwrap_err().to_string();
    assert!(told.starts_with("no participant \"eve\" in the recording; there are 21: \"PA_0\", "), "{told}");
}

#[test]
fn who_cannot_be_heard_is_marked() {
    let muted = |muted| What::Muted { track: "TR_m".to_owned(), muted };
    let story = story(
        vec![
            track("TR_v", "PA_a", Origin::Camera, 0, None),
            track("TR_m", "PA_a", Origin::Microphone, 10, Some(50)),
            track("TR_s", "PA_a", Origin::ScreenShare, 0, None),
        ],
        &[(20, muted(true)), (30, muted(false))],
    );
    let marked =
        |second| scene(&story, Layout::Grid, second).tiles.iter().map(|tile| tile.muted).collect::<Vec<_>>();
    assert_eq!([5, 15, 25, 35, 55].map(|at| marked(at)[0]), [true, false, true, false, true]);
    assert!(!marked(25)[1], "a share is no person");
}
