// SPDX-License-Identifier: EUPL-1.2
//! Who is heard in a big room.

use std::collections::HashMap;

use parvis_peer::sdp::MediaKind;
use parvis_rtp::{AudioLevel, Extensions};
use parvis_sfu::media::MediaConfig;
use parvis_sfu::{PeerId, SubscriptionId, SubscriptionSettings, TrackId};

use crate::world::*;

const QUIET: u8 = 90;
const LISTENER: u64 = 100;

/// So many people with a microphone each, and one more who listens to all. Track, subscription and peer have one number.
struct Room {
    world: World,
    people: u64,
    packet: u16,
    heard: HashMap<u64, Vec<Left>>,
}

impl Room {
    fn new(people: u64, config: MediaConfig) -> Room {
        let mut world = World::with(config);
        let sections: Vec<_> =
            (1..=people).map(|id| outbound(&format!("s{id}"), MediaKind::Audio, id)).collect();
        world.peer(LISTENER, &sections);
        for person in 1..=people {
            world.peer(person, &[inbound("a", MediaKind::Audio, &[])]);
            world.publish(person, person, "a", &audio_spec());
            world.subscribe(person, LISTENER, person);
        }
        world.run_ms(0);
        Room { world, people, packet: 0, heard: HashMap::new() }
    }

    /// Everyone sends so many packets of 20 ms; what was heard of each since the last call.
    fn talk(&mut self, packets: u16, level: impl Fn(u64) -> u8) -> HashMap<u64, Vec<Left>> {
        let mut heard: HashMap<u64, Vec<Left>> = HashMap::new();
        for _ in 0..packets {
            for person in 1..=self.people {
                self.say(person, level(person));
            }
            self.packet += 1;
            self.world.run_ms(20);
            for left in self.world.take_rtp(LISTENER) {
                self.heard.entry(u64::from(left.ssrc / 10)).or_default().push(left.clone());
                heard.entry(u64::from(left.ssrc / 10)).or_default().push(left);
            }
        }
        heard
    }

    fn say(&mut self, person: u64, level: u8) {
        let extensions = Extensions { audio_level: Some(AudioLevel { voice: true, level }), ..mid_ext("a") };
        let voice = In {
            payload_type: OPUS,
            ssrc: person as u32,
            sequence: self.packet.wrapping_add(person as u16 * 1000),
            timestamp: u32::from(self.packet) * 960,
            extensions,
            ..In::default()
        };
        self.world.rtp(person, &voice.with(&content(person, self.packet)));
    }

    /// Over all that a listener got of anyone: numbers without a gap, and time that goes on.
    fn assert_seamless(&self) {
        for (person, left) in &self.heard {
            for pair in left.windows(2) {
                let [before, after] = pair else { continue };
                assert_eq!(after.sequence, before.sequence.wrapping_add(1), "of person {person}");
                let advanced = after.timestamp.wrapping_sub(before.timestamp) as i32;
                assert!(advanced > 0 && advanced % 960 == 0, "{advanced} ticks, of person {person}");
            }
        }
    }
}

fn content(person: u64, packet: u16) -> [u8; 20] {
    let mut content = [person as u8; 20];
    content[1..3].copy_from_slice(&packet.to_be_bytes());
    content
}

fn sound(left: &[Left]) -> Vec<&Left> {
    left.iter().filter(|left| left.payload.len() > 3).collect()
}

fn three() -> MediaConfig {
    MediaConfig { loudest_tracks: 3, loudest_tracks_extra: 2, ..config() }
}

#[test]
fn of_thirty_people_a_listener_gets_three_and_whoever_begins_to_speak_from_the_first_packet() {
    let mut room = Room::new(30, three());
    let first = room.talk(50, |_| QUIET);
    assert_eq!(first.len(), 3, "the first three, while nobody speaks");
    let spoken_at = room.packet;
    let heard = room.talk(60, |person| if person == 20 { 25 } else { QUIET });
    let words: Vec<[u8; 20]> =
        sound(&heard[&20]).iter().map(|left| left.payload[..].try_into().unwrap()).collect();
    assert_eq!(words[0], content(20, spoken_at - 2), "with the two packets before: a word begins softly");
    assert_eq!(words.len(), 62);
    assert!(words.iter().zip(spoken_at - 2..).all(|(word, packet)| *word == content(20, packet)));
    let later = room.talk(50, |person| if person == 20 { 25 } else { QUIET });
    assert_eq!(later.len(), 3, "three are heard, one of them the speaker");
    room.assert_seamless();
    let stats = room.world.room.stats();
    assert_eq!((stats.stage_entered, stats.stage_left, stats.stage_refused), (4, 1, 0));
    assert!(stats.stage_withheld > 27 * 150);
}

#[test]
fn who_leaves_ends_in_silence_and_comes_back_without_a_seam() {
    let mut room = Room::new(10, three());
    room.talk(50, |person| if person <= 3 { 25 } else { QUIET });
    room.talk(100, |person| if (4..=6).contains(&person) { 25 } else { QUIET });
    for person in 1..=3 {
        let tail: Vec<_> = room.heard[&person].iter().rev().take(5).collect();
        assert!(tail.iter().all(|left| left.payload == [0xf8, 0xff, 0xfe]), "five frames of silence");
        assert!(tail.iter().all(|left| left.payload_type == OPUS + SUB_SHIFT));
    }
    let back = room.talk(100, |person| if person == 2 { 25 } else { QUIET });
    assert!(sound(&back[&2]).len() >= 100);
    room.assert_seamless();
    assert_eq!(room.world.room.stats().dropped_too_late, 0);
}

#[test]
fn a_crowd_that_speaks_does_not_flap() {
    let mut room = Room::new(12, three());
    // Everyone speaks, each two dB below the one before, with the small swings that voices have.
    let level = |packet: u16| {
        move |person: u64| 10 + 2 * person as u8 + ((u64::from(packet) * 7 + person * 13) % 5) as u8
    };
    for packet in 0..150 {
        room.talk(1, level(packet));
    }
    let settled = room.world.room.stats();
    for packet in 0..1500 {
        room.talk(1, level(packet));
    }
    let after = room.world.room.stats();
    assert_eq!(after.stage_entered - settled.stage_entered, 0, "in thirty seconds");
    let heard = room.talk(10, level(0));
    assert_eq!(heard.len(), 3);
    assert!(settled.stage_refused > 0, "some found no place, and it was counted");
    room.assert_seamless();
}

#[test]
fn a_small_room_hears_everyone_and_so_does_one_without_a_limit() {
    for (people, config) in [(3, three()), (30, config())] {
        let mut room = Room::new(people, config);
        let heard = room.talk(100, |_| QUIET);
        assert_eq!(heard.len() as u64, people);
        assert!(heard.values().all(|left| left.len() == 100));
        room.assert_seamless();
    }
}

#[test]
fn what_a_listener_pinned_is_heard_and_a_screen_too() {
    let mut room = Room::new(10, three());
    let pinned = SubscriptionSettings { priority: 1, ..SubscriptionSettings::default() };
    room.world.room.configure(room.world.now, SubscriptionId(9), pinned);
    room.world.peer(50, &[inbound("a", MediaKind::Audio, &[])]);
    let screen = parvis_sfu::TrackSpec { screen_share: true, ..audio_spec() };
    room.world.publish(50, 50, "a", &screen);
    let mut sections: Vec<_> = (1..=10).map(|id| outbound(&format!("s{id}"), MediaKind::Audio, id)).collect();
    sections.push(outbound("screen", MediaKind::Audio, 50));
    room.world.room.set_sections(room.world.now, PeerId(LISTENER), &sections);
    room.world.subscribe(50, LISTENER, 50);
    room.world.run_ms(0);
    let mut screen_packets = 0;
    for _ in 0..100 {
        room.say(50, QUIET);
        let heard = room.talk(1, |person| if person <= 3 { 25 } else { QUIET });
        screen_packets += heard.get(&50).map_or(0, Vec::len);
        let mut who: Vec<u64> = heard.into_keys().collect();
        who.sort_unstable();
        assert_eq!(who, [1, 2, 3, 9, 50]);
    }
    assert_eq!(screen_packets, 100);
    // Let go again, it isn't heard any more.
    room.world.room.configure(room.world.now, SubscriptionId(9), SubscriptionSettings::default());
    let heard = room.talk(50, |person| if person <= 3 { 25 } else { QUIET });
    assert!(!heard.contains_key(&9));
    room.assert_seamless();
}

#[test]
fn a_click_gets_no_more_than_a_moment() {
    let mut room = Room::new(10, three());
    room.talk(50, |person| if person <= 3 { 25 } else { QUIET });
    room.talk(1, |person| if person <= 3 || person == 7 { 10 } else { QUIET });
    let heard = room.talk(100, |person| if person <= 3 { 25 } else { QUIET });
    assert!(sound(&heard[&7]).len() <= 50, "a second at most");
    assert!((1..=3).all(|person| sound(&heard[&person]).len() == 100), "and costs no speaker anything");
}

#[test]
fn what_came_while_muted_is_never_heard() {
    let mut room = Room::new(5, three());
    room.talk(50, |person| if person == 5 { 25 } else { QUIET });
    room.world.room.set_muted(room.world.now, TrackId(5), true);
    let (muted_from, heard) = (room.packet, room.talk(50, |person| if person == 5 { 25 } else { QUIET }));
    assert!(sound(heard.get(&5).map_or(&[], Vec::as_slice)).is_empty());
    room.world.room.set_muted(room.world.now, TrackId(5), false);
    let unmuted_at = room.packet;
    let heard = room.talk(50, |person| if person == 5 { 25 } else { QUIET });
    let words = sound(&heard[&5]);
    assert_eq!(words.len(), 50, "from the first packet on");
    for word in words {
        let packet = u16::from_be_bytes([word.payload[1], word.payload[2]]);
        assert!(packet >= unmuted_at, "packet {packet} came between {muted_from} and {unmuted_at}");
    }
    room.assert_seamless();
}
