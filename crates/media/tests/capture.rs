// SPDX-License-Identifier: EUPL-1.2
//! What tracks bring is in the files, in order and in time; what is lost, changes or ends is told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod support;

use std::path::Path;

use parvis_jobs::{
    Codec, Failure, FailureKind, Participant, Protection, Quota, StopReason, ToServer, ToWorker,
};
use parvis_media::age::Identity;
use parvis_media::capture::{Capture, Settings};
use parvis_media::manifest::{MANIFEST, Manifest};
use parvis_media::mkv::{Block, Head, Reader, ReaderLimits};
use parvis_media::recording::{self, State};
use parvis_media::timeline::{Entry, What};
use support::{Sender, T0, Temp, at, number, start};

struct Run {
    capture: Capture,
    said: Vec<ToServer>,
}

impl Run {
    fn new(directory: &Path, identity: Option<&Identity>) -> Run {
        Run::with(directory, &start(directory, identity), Settings::default()).unwrap()
    }

    fn with(directory: &Path, start: &parvis_jobs::Start, settings: Settings) -> Result<Run, Failure> {
        let capture = Capture::start(start, directory, "test", settings, at(0))?;
        Ok(Run { capture, said: Vec::new() })
    }

    fn say(&mut self, now: u64, message: ToWorker) {
        self.capture.message(at(now), message);
        self.said.extend(self.capture.outgoing());
    }

    fn add(&mut self, now: u64, sender: &Sender) {
        self.say(now, ToWorker::Source(Box::new(sender.source.clone())));
    }

    fn send(&mut self, now: u64, packets: impl IntoIterator<Item = Vec<u8>>) {
        for mut packet in packets {
            self.capture.datagram(at(now), &mut packet);
        }
        self.tick(now);
    }

    fn tick(&mut self, now: u64) {
        self.capture.tick(at(now));
        self.said.extend(self.capture.outgoing());
    }

    fn stop(mut self, now: u64) -> Vec<ToServer> {
        self.say(now, ToWorker::Stop { reason: StopReason::Requested });
        assert!(self.capture.is_over());
        self.said
    }

    fn report(&mut self, now: u64, sender: &Sender, moment: u64) {
        let (track, rtp_timestamp) = (sender.source.track.clone(), sender.timestamp);
        self.say(now, ToWorker::SenderReport { track, rtp_timestamp, at: at(moment) });
    }
}

/// Every part of a track, read strictly.
fn parts(directory: &Path, identity: Option<&Identity>, track: &str) -> Vec<(Head, Vec<Block>)> {
    let manifest = Manifest::read(directory).unwrap();
    let again: Vec<Identity> =
        identity.iter().map(|identity| identity.to_secret_text().parse().unwrap()).collect();
    let entry = manifest.tracks.iter().find(|entry| entry.track == track).unwrap();
    let read = |part: &parvis_media::manifest::Part| {
        let plain = recording::open(directory, &part.file, &again).unwrap();
        let mut reader = Reader::new(plain, ReaderLimits::default()).unwrap();
        let mut blocks = Vec::new();
        while let Some(cluster) = reader.next_cluster().unwrap() {
            blocks.extend(cluster.blocks);
        }
        assert_eq!(blocks.len() as u64, part.frames);
        assert_eq!(
            (blocks[0].timestamp, blocks[blocks.len() - 1].timestamp),
            (part.first / 1000, part.last / 1000)
        );
        (reader.head().clone(), blocks)
    };
    entry.parts.iter().map(read).collect()
}

fn numbers(codec: Codec, blocks: &[Block]) -> Vec<u64> {
    blocks.iter().map(|block| number(codec, &block.data).expect("a whole frame")).collect()
}

fn timeline(directory: &Path) -> Vec<Entry> {
    let manifest = Manifest::read(directory).unwrap();
    let lines =
        manifest.timelines.iter().map(|file| std::fs::read_to_string(directory.join(&file.name)).unwrap());
    lines
        .flat_map(|text| text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<_>>())
        .collect()
}

#[test]
fn sound_and_pictures_lie_sealed_in_files_that_tell_what_was_sent() {
    let (temp, identity) = (Temp::new(), Identity::generate().unwrap());
    let mut run = Run::new(&temp.0, Some(&identity));
    let (mut sound, mut picture) = (Sender::new("TR_a", Codec::Opus, 1), Sender::new("TR_v", Codec::Vp8, 2));
    run.add(0, &sound);
    run.add(0, &picture);
    for step in 0..300_u64 {
        let now = 1_000_000 + step * 20_000;
        let packet = sound.sound();
        run.send(now, [packet]);
        sound.step(960);
        if step % 2 == 0 {
            let packets = picture.picture(step % 100 == 0, 640, 360, 2500);
            run.send(now, packets);
            picture.step(3600);
        }
    }
    let said = run.stop(7_100_000);
    let Some(ToServer::Stopped { reason: StopReason::Requested, files }) = said.last() else {
        panic!("{said:?}")
    };
    assert_eq!(
        files.iter().map(|file| &file.name[..]).collect::<Vec<_>>(),
        [MANIFEST, "timeline-000.jsonl.age", "TR_a-000.mkv.age", "TR_v-000.mkv.age"]
    );
    for (track, codec, count) in [("TR_a", Codec::Opus, 300), ("TR_v", Codec::Vp8, 150)] {
        let parts = parts(&temp.0, Some(&identity), track);
        assert_eq!(parts.len(), 1);
        assert_eq!(numbers(codec, &parts[0].1), (0..count).collect::<Vec<_>>());
        assert_eq!(parts[0].0.track.zero.0, T0);
        assert_eq!(parts[0].1[0].timestamp, 1000, "a second after the recording's start");
    }
    let again = [identity];
    let checked = recording::verify(&temp.0, &again).unwrap();
    assert!(checked.iter().all(|file| file.state == State::Whole), "{checked:?}");
    // Nothing but ages and the manifest is left; no frame is readable in any of them.
    for file in std::fs::read_dir(&temp.0).unwrap() {
        let path = file.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        if path.ends_with(MANIFEST) {
            assert!(!String::from_utf8_lossy(&bytes).contains("standup"), "the room's name is sealed");
        } else {
            assert!(bytes.starts_with(b"age-encryption.org/v1\n"), "{}", path.display());
            assert!(!bytes.windows(3).any(|window| window == [0x9d, 0x01, 0x2a]));
        }
    }
    // A changed byte is found without the key, and the file is named.
    let path = temp.0.join("TR_v-000.mkv.age");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[5000] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let checked = recording::verify(&temp.0, &[]).unwrap();
    let damaged: Vec<_> = checked.iter().filter(|file| file.state != State::Whole).collect();
    assert!(matches!(&damaged[..], [file] if file.name == "TR_v-000.mkv.age"), "{checked:?}");
}

#[test]
fn each_of_two_recipients_opens_all_of_it_and_films_beside_it_are_opened_too() {
    let temp = Temp::new();
    let (ours, films) = (Identity::generate().unwrap(), Identity::generate().unwrap());
    let recipients = vec![films.recipient().to_string(), ours.recipient().to_string()];
    let order = parvis_jobs::Start { protection: Protection::Age { recipients }, ..start(&temp.0, None) };
    let mut run = Run::with(&temp.0, &order, Settings::default()).unwrap();
    let mut sound = Sender::new("TR_a", Codec::Opus, 1);
    run.add(0, &sound);
    for step in 0..100_u64 {
        let packet = sound.sound();
        run.send(step * 20_000, [packet]);
        sound.step(960);
    }
    run.stop(2_100_000);
    std::fs::write(temp.0.join("film.mp4"), "moving pictures").unwrap();
    parvis_media::seal::seal(&temp.0.join("film.mp4"), &[ours.recipient()]).unwrap();
    std::fs::write(temp.0.join("notes.txt"), "not ours").unwrap();
    let names = |checked: &[recording::Checked]| {
        checked.iter().map(|file| (file.name.clone(), file.state.name())).collect::<Vec<_>>()
    };
    let all = |film: &'static str| {
        [("timeline-000.jsonl.age", "whole"), ("TR_a-000.mkv.age", "whole"), ("film.mp4.age", film)]
            .map(|(name, state)| (name.to_owned(), state))
    };
    let ours = [ours];
    assert_eq!(names(&recording::verify(&temp.0, &ours).unwrap()), all("whole"));
    // The film is for the organisation alone.
    assert_eq!(names(&recording::verify(&temp.0, &[films]).unwrap()), all("DAMAGED"));
    assert_eq!(
        names(&recording::verify(&temp.0, &[]).unwrap()),
        all("")[..2],
        "without a key nothing is known of it"
    );
    for (out, written) in [
        ("decrypted", recording::decrypt(&temp.0, &temp.below("decrypted"), &ours, false).unwrap()),
        ("exported", recording::export(&temp.0, &temp.below("exported"), &ours).unwrap()),
    ] {
        let written: Vec<_> = written.iter().map(|file| (file.name.as_str(), file.recovered)).collect();
        assert_eq!(
            written,
            [("timeline-000.jsonl", false), ("TR_a-000.mkv", false), ("film.mp4", false)],
            "{out}"
        );
        assert_eq!(std::fs::read(temp.below(out).join("film.mp4")).unwrap(), b"moving pictures");
    }
    // Whoever opened it there made no other film of it.
    std::fs::copy(temp.below("exported").join("film.mp4"), temp.0.join("film.mp4")).unwrap();
    assert_eq!(recording::decrypt(&temp.0, &temp.below("again"), &ours, false).unwrap().len(), 3);
}

#[test]
fn what_two_senders_did_at_once_stands_at_one_time_in_both_files() {
    // Sound comes 30 ms after it was heard, pictures 180; clocks drift by 100 ppm either way; ten minutes.
    let temp = Temp::new();
    let mut run = Run::new(&temp.0, None);
    let (mut sound, mut picture) = (Sender::new("TR_a", Codec::Opus, 1), Sender::new("TR_v", Codec::Vp8, 2));
    run.add(0, &sound);
    run.add(0, &picture);
    // What is to happen, by the moment that it arrives: (arrival, heard or seen at, a picture).
    let mut agenda: Vec<(u64, u64, bool)> = Vec::new();
    for step in 0..30_000_u64 {
        agenda.push((step * 20_000 + 30_000, step * 20_000, false));
        if step % 5 == 0 {
            agenda.push((step * 20_000 + 180_000, step * 20_000, true));
        }
    }
    agenda.sort();
    let (first_sound, first_picture) = (sound.timestamp, picture.timestamp);
    for (arrival, moment, is_picture) in agenda {
        if is_picture {
            picture.timestamp = first_picture.wrapping_add((moment * 9 / 100 * 999_900 / 1_000_000) as u32);
            if moment % 5_000_000 == 2_000_000 {
                run.report(arrival, &picture, moment);
            }
            let packets = picture.picture(moment % 2_000_000 == 0, 64, 36, 40);
            run.send(arrival, packets);
        } else {
            sound.timestamp = first_sound.wrapping_add((moment * 48 / 1000 * 1_000_100 / 1_000_000) as u32);
            if moment % 5_000_000 == 0 {
                run.report(arrival, &sound, moment);
            }
            let packet = sound.sound();
            run.send(arrival, [packet]);
        }
    }
    run.stop(601_000_000);
    let (sounds, pictures) = (parts(&temp.0, None, "TR_a"), parts(&temp.0, None, "TR_v"));
    let (sounds, pictures) = (&sounds[0].1, &pictures[0].1);
    // Picture n was seen when sound 5n was heard. The first ten seconds are those in which reports come in.
    let skews = pictures
        .iter()
        .enumerate()
        .skip(100)
        .map(|(place, block)| block.timestamp.abs_diff(sounds[place * 5].timestamp));
    let worst = skews.max().unwrap();
    assert!(worst <= 20, "{worst} ms");
    assert!(sounds[20_000].timestamp.abs_diff(400_000) <= 20, "and the sound is where it was heard");
}

#[test]
fn a_lost_packet_is_asked_for_and_its_retransmission_leaves_no_gap() {
    let temp = Temp::new();
    let mut run = Run::new(&temp.0, None);
    let mut sender = Sender::new("TR_v", Codec::Vp8, 2);
    run.add(0, &sender);
    let packets = sender.picture(true, 64, 64, 2500);
    run.send(0, packets);
    sender.step(3000);
    let (lost, stamp) = (sender.sequence() + 1, sender.timestamp);
    let mut packets = sender.picture(false, 0, 0, 2500);
    packets.remove(1);
    run.send(33_000, packets);
    sender.step(3000);
    let packets = sender.picture(false, 0, 0, 500);
    run.send(66_000, packets);
    let asked = |said: &[ToServer]| {
        said.iter().any(|message| matches!(message, ToServer::Nack { sequences, .. } if *sequences == [lost]))
    };
    assert!(asked(&run.said), "{:?}", run.said);
    let payload = [&[0x00][..], &support::vp8_frame(false, 0, 0, 1, 2500)[1000..2000]].concat();
    let packet = sender.repair(lost, stamp, false, &payload);
    run.send(120_000, [packet]);
    run.stop(200_000);
    let manifest = Manifest::read(&temp.0).unwrap();
    assert_eq!((manifest.tracks[0].lost, manifest.tracks[0].dropped_frames), (0, 0));
    assert_eq!(numbers(Codec::Vp8, &parts(&temp.0, None, "TR_v")[0].1), [0, 1, 2]);
}

#[test]
fn a_loss_that_nobody_repairs_is_marked_and_a_key_frame_asked_for() {
    let temp = Temp::new();
    let mut run = Run::new(&temp.0, None);
    let mut sender = Sender::new("TR_v", Codec::Vp8, 2);
    run.add(0, &sender);
    for frame in 0..90_u64 {
        let key = frame == 0 || frame == 60;
        let mut packets = sender.picture(key, 64, 64, 1500);
        if frame == 20 {
            packets.remove(0);
        }
        run.send(frame * 33_000, packets);
        sender.step(3000);
    }
    let asked = run.said.iter().filter(|message| matches!(message, ToServer::KeyFrameWanted { .. })).count();
    assert!((1..=4).contains(&asked), "{asked}: once a second while it waits");
    run.stop(3_600_000);
    let manifest = Manifest::read(&temp.0).unwrap();
    let track = &manifest.tracks[0];
    assert_eq!((track.lost, track.losses.len(), track.losses[0].packets), (1, 1, 1));
    assert!((660_000..1_300_000).contains(&track.losses[0].at), "{}", track.losses[0].at);
    let expected: Vec<u64> = (0..20).chain(60..90).collect();
    assert_eq!(numbers(Codec::Vp8, &parts(&temp.0, None, "TR_v")[0].1), expected);
    assert_eq!(track.dropped_frames, 40);
}

#[test]
fn a_size_that_changes_is_told_and_stays_in_its_file() {
    let temp = Temp::new();
    let mut run = Run::new(&temp.0, None);
    let mut sender = Sender::new("TR_v", Codec::Vp8, 2);
    run.add(0, &sender);
    for (frame, (width, height)) in [(640, 360), (640, 360), (1280, 720)].into_iter().enumerate() {
        let packets = sender.picture(true, width, height, 100);
        run.send(frame as u64 * 100_000, packets);
        sender.step(9000);
    }
    run.stop(1_000_000);
    let manifest = Manifest::read(&temp.0).unwrap();
    let sizes: Vec<_> =
        manifest.tracks[0].parts[0].sizes.iter().map(|size| (size.at, size.width, size.height)).collect();
    assert_eq!(sizes, [(0, 640, 360), (200_000, 1280, 720)]);
}

#[test]
fn other_parameter_sets_begin_another_file() {
    const PPS: &[u8] = &[0x68, 0xcb, 0x83, 0xcb, 0x20];
    let sps = |level: u8| {
        vec![
            0x67, 0x42, 0xc0, level, 0xd9, 0x00, 0xa0, 0x3d, 0xa1, 0x00, 0x00, 0x03, 0x00, 0x01, 0x00, 0x00,
            0x03, 0x00, 0x32, 0x0f, 0x16, 0x2e, 0x48,
        ]
    };
    let temp = Temp::new();
    let mut run = Run::new(&temp.0, None);
    let mut sender = Sender::new("TR_h", Codec::H264, 3);
    run.add(0, &sender);
    for (frame, level) in [0x1e, 0x1e, 0x1f].into_iter().enumerate() {
        let idr = vec![0x65, 0x88, 1, 2, 3, frame as u8];
        let packets = sender.payloads(&[sps(level), PPS.to_vec(), idr]);
        run.send(frame as u64 * 100_000, packets);
        sender.step(9000);
    }
    run.stop(1_000_000);
    let parts = parts(&temp.0, None, "TR_h");
    assert_eq!(parts.iter().map(|(_, blocks)| blocks.len()).collect::<Vec<_>>(), [2, 1]);
    assert_ne!(parts[0].0.track.private, parts[1].0.track.private);
    assert_eq!(parts[1].1[0].timestamp, 200, "on one clock");
}

#[test]
fn mute_leave_and_rejoin_leave_gaps_in_time_and_lines_in_the_timeline() {
    let temp = Temp::new();
    let mut run = Run::new(&temp.0, None);
    let who = |id: &str| Participant { id: id.into(), identity: "ada".into(), name: "Ada".into() };
    run.say(0, ToWorker::Joined { participant: who("PA_1"), at: at(0) });
    let mut first = Sender::new("TR_1", Codec::Opus, 1);
    run.add(0, &first);
    for step in 0..100_u64 {
        // A minute of mute after the fiftieth packet.
        let now = step * 20_000 + if step >= 50 { 60_000_000 } else { 0 };
        if step == 50 {
            first.step(48_000 * 60);
        }
        let packet = first.sound();
        run.send(now, [packet]);
        first.step(960);
    }
    run.say(62_000_000, ToWorker::Muted { track: "TR_1".into(), muted: true, at: at(62_000_000) });
    run.say(63_000_000, ToWorker::SourceEnded { track: "TR_1".into(), at: at(63_000_000) });
    run.say(63_000_000, ToWorker::Left { participant: "PA_1".into(), at: at(63_000_000) });
    run.say(70_000_000, ToWorker::Joined { participant: who("PA_2"), at: at(70_000_000) });
    run.say(70_000_000, ToWorker::Speakers { participants: vec!["PA_2".into()], at: at(70_000_000) });
    let mut second = Sender::new("TR_2", Codec::Opus, 1);
    run.add(70_000_000, &second);
    let packet = second.sound();
    run.send(70_500_000, [packet]);
    run.stop(71_000_000);
    let times: Vec<u64> = parts(&temp.0, None, "TR_1")[0].1.iter().map(|block| block.timestamp).collect();
    assert_eq!((times[49], times[50]), (980, 61_000));
    assert_eq!(parts(&temp.0, None, "TR_2")[0].1[0].timestamp, 70_500);
    let told: Vec<(i64, What)> = timeline(&temp.0).into_iter().map(|entry| (entry.at, entry.what)).collect();
    assert_eq!(told[0], (0, What::Room { room: "standup".into() }));
    assert!(told.contains(&(70_000_000, What::Speakers { participants: vec!["PA_2".into()] })));
    let came = |id: &str| What::Joined { participant: id.into(), identity: "ada".into(), name: "Ada".into() };
    assert!(told.contains(&(0, came("PA_1"))) && told.contains(&(70_000_000, came("PA_2"))));
    let manifest = Manifest::read(&temp.0).unwrap();
    assert_eq!(
        manifest.tracks.iter().map(|track| track.to).collect::<Vec<_>>(),
        [Some(63_000_000), Some(71_000_000)]
    );
}

#[test]
fn frames_that_come_together_and_lie_far_apart_stand_in_clusters_of_a_second() {
    let temp = Temp::new();
    let mut run = Run::new(&temp.0, None);
    let mut sound = Sender::new("TR_a", Codec::Opus, 1);
    run.add(0, &sound);
    for _ in 0..3 {
        let packet = sound.sound();
        run.send(1000, [packet]);
        sound.step(3 * 48_000);
    }
    run.stop(2_000_000);
    // The strict reader takes it.
    let times: Vec<u64> = parts(&temp.0, None, "TR_a")[0].1.iter().map(|block| block.timestamp).collect();
    assert_eq!(times, [1, 3001, 6001]);
}

#[test]
fn what_waits_for_the_disk_is_never_older_than_half_a_second() {
    let (temp, identity) = (Temp::new(), Identity::generate().unwrap());
    let mut run = Run::new(&temp.0, Some(&identity));
    let mut sound = Sender::new("TR_a", Codec::Opus, 1);
    run.add(0, &sound);
    for step in 0..500_u64 {
        let now = step * 20_000;
        let packet = sound.sound();
        run.send(now, [packet]);
        sound.step(960);
        if step % 50 == 49 {
            // As if the worker were killed here: what opens?
            let again = [identity.to_secret_text().parse::<Identity>().unwrap()];
            let manifest = Manifest::read(&temp.0).unwrap();
            let plain = recording::open(&temp.0, &manifest.tracks[0].parts[0].file, &again).unwrap();
            let mut reader = Reader::new(plain, ReaderLimits::default()).unwrap();
            let mut last = 0;
            while let Some(cluster) = reader.next_cluster().unwrap() {
                last = cluster.blocks.last().unwrap().timestamp;
            }
            assert!(now / 1000 - last <= 520, "{last} at {now}");
        }
    }
}

#[test]
fn a_restarted_worker_goes_on_beside_what_was_left() {
    let temp = Temp::new();
    let mut run = Run::new(&temp.0, None);
    let mut sender = Sender::new("TR_a", Codec::Opus, 1);
    run.add(0, &sender);
    for step in 0..100_u64 {
        let packet = sender.sound();
        run.send(step * 20_000, [packet]);
        sender.step(960);
    }
    // Killed: nothing of it is ended.
    std::mem::forget(run);
    let mut again = start(&temp.0, None);
    again.restart = 1;
    let capture = Capture::start(&again, &temp.0, "test", Settings::default(), at(5_000_000)).unwrap();
    let mut run = Run { capture, said: Vec::new() };
    sender.renew();
    run.add(5_000_000, &sender);
    sender.step(48_000 * 3);
    for step in 0..10_u64 {
        let packet = sender.sound();
        run.send(5_000_000 + step * 20_000, [packet]);
        sender.step(960);
    }
    run.stop(6_000_000);
    let manifest = Manifest::read(&temp.0).unwrap();
    assert_eq!(manifest.runs.iter().map(|run| run.from).collect::<Vec<_>>(), [0, 5_000_000]);
    let files: Vec<_> = manifest.tracks[0]
        .parts
        .iter()
        .map(|part| (&part.file.name[..], part.file.sha256.is_some()))
        .collect();
    assert_eq!(files, [("TR_a-000.mkv", false), ("TR_a-001.mkv", true)]);
    let states: Vec<_> =
        recording::verify(&temp.0, &[]).unwrap().into_iter().map(|file| file.state).collect();
    assert_eq!(states, [State::Interrupted, State::Whole, State::Interrupted, State::Whole]);
    assert_eq!(parts_of_second(&temp.0), 5000);
    // Another job is not let in.
    again.job = "EG_other".to_owned();
    let refused = Capture::start(&again, &temp.0, "test", Settings::default(), at(0)).unwrap_err();
    assert!(refused.what.contains("EG_test") && refused.remedy.contains("directory of its own"), "{refused}");
}

fn parts_of_second(directory: &Path) -> u64 {
    Manifest::read(directory).unwrap().tracks[0].parts[1].first / 1000
}

#[test]
fn limits_end_a_recording_with_their_names_and_what_was_written_is_whole() {
    let cases = [
        (Quota { seconds: 3, ..Quota::default() }, StopReason::DurationReached),
        (Quota { bytes: 1_600_000, tracks: 1, ..Quota::default() }, StopReason::QuotaReached),
        (Quota { keep_free_bytes: u64::MAX, ..Quota::default() }, StopReason::DiskFull),
    ];
    for (quota, expected) in cases {
        let temp = Temp::new();
        let mut start = start(&temp.0, None);
        start.quota = quota;
        let mut run = Run::with(&temp.0, &start, Settings::default()).unwrap();
        let mut sender = Sender::new("TR_v", Codec::Vp8, 1);
        run.add(0, &sender);
        let mut frame = 0_u64;
        while !run.capture.is_over() && frame < 1000 {
            let packets = sender.picture(frame == 0, 64, 64, 9000);
            run.send(frame * 33_000, packets);
            sender.step(3000);
            frame += 1;
        }
        let Some(ToServer::Stopped { reason, .. }) = run.said.last() else { panic!("{:?}", run.said.last()) };
        assert_eq!(*reason, expected);
        assert_eq!(Manifest::read(&temp.0).unwrap().reason, Some(expected));
        assert!(recording::verify(&temp.0, &[]).unwrap().iter().all(|file| file.state == State::Whole));
    }
}

#[test]
fn without_a_key_nothing_begins() {
    let temp = Temp::new();
    for recipients in [vec![], vec!["age1nonsense".to_owned()], vec![String::new(); 17]] {
        let mut start = start(&temp.0, None);
        start.protection = Protection::Age { recipients };
        let failure = Run::with(&temp.0, &start, Settings::default()).err().unwrap();
        assert_eq!(failure.kind, FailureKind::KeyMissing);
        assert!(failure.remedy.contains("age-keygen"));
        assert_eq!(std::fs::read_dir(&temp.0).unwrap().count(), 0, "and nothing is written");
    }
}

#[test]
fn sources_that_cannot_be_are_refused_and_the_others_go_on() {
    let temp = Temp::new();
    let mut start = start(&temp.0, None);
    start.quota.tracks = 2;
    let mut run = Run::with(&temp.0, &start, Settings::default()).unwrap();
    let good = Sender::new("TR_1", Codec::Opus, 1);
    run.add(0, &good);
    let refused = |run: &mut Run, source: parvis_jobs::Source| {
        run.say(0, ToWorker::Source(Box::new(source)));
        match run.said.last() {
            Some(ToServer::SourceRefused { why, .. }) => why.clone(),
            other => panic!("{other:?}"),
        }
    };
    let bad = |change: &dyn Fn(&mut parvis_jobs::Source)| {
        let mut source = Sender::new("TR_x", Codec::Vp8, 9).source;
        change(&mut source);
        source
    };
    assert!(refused(&mut run, bad(&|source| source.track = "../TR".into())).contains("name for a file"));
    assert!(refused(&mut run, bad(&|source| source.ssrc = 1)).contains("0x00000001"));
    assert!(refused(&mut run, bad(&|source| source.clock_rate = 48_000)).contains("90000 Hz"));
    assert!(
        refused(&mut run, bad(&|source| source.key = parvis_jobs::SrtpKey::new(vec![1]))).contains("length")
    );
    run.add(0, &Sender::new("TR_2", Codec::Opus, 2));
    assert!(refused(&mut run, bad(&|_| {})).contains("2 tracks"));
    assert_eq!(Manifest::read(&temp.0).unwrap().tracks.len(), 0);
    run.stop(1_000_000);
    assert_eq!(Manifest::read(&temp.0).unwrap().tracks.len(), 2);
}

#[test]
fn forged_replayed_and_foreign_packets_are_counted_and_change_nothing() {
    let temp = Temp::new();
    let mut run = Run::new(&temp.0, None);
    let mut sender = Sender::new("TR_a", Codec::Opus, 1);
    run.add(0, &sender);
    let good = sender.sound();
    run.send(0, [good.clone()]);
    sender.step(960);
    let mut forged = sender.sound();
    forged[20] ^= 1;
    let foreign = Sender::new("TR_b", Codec::Opus, 77).sound();
    run.send(20_000, [good, forged, foreign, vec![], vec![0; 5], vec![0xff; 1400]]);
    run.tick(1_100_000);
    let strays = run.said.iter().rev().find_map(|message| match message {
        ToServer::Progress { strays, .. } => Some(*strays),
        _ => None,
    });
    assert_eq!(strays, Some(6));
    run.stop(2_000_000);
    assert_eq!(numbers(Codec::Opus, &parts(&temp.0, None, "TR_a")[0].1), [0]);
}

#[test]
fn exported_files_have_a_duration_and_the_same_frames() {
    let (temp, identity) = (Temp::new(), Identity::generate().unwrap());
    let directory = temp.below("recording");
    std::fs::create_dir(&directory).unwrap();
    let mut run = Run::new(&directory, Some(&identity));
    let mut sender = Sender::new("TR_v", Codec::Vp8, 2);
    run.add(0, &sender);
    for frame in 0..60_u64 {
        let packets = sender.picture(frame % 20 == 0, 64, 64, 3000);
        run.send(frame * 50_000, packets);
        sender.step(4500);
    }
    run.stop(3_100_000);
    let to = temp.below("out");
    let written = recording::export(&directory, &to, std::slice::from_ref(&identity)).unwrap();
    assert!(written.iter().all(|file| !file.recovered), "{written:?}");
    let bytes = std::fs::read(to.join("TR_v-000.mkv")).unwrap();
    let mut reader = Reader::new(&bytes[..], ReaderLimits::default()).unwrap();
    assert_eq!(reader.head().duration, Some(3000.0));
    let mut blocks = Vec::new();
    while let Some(cluster) = reader.next_cluster().unwrap() {
        blocks.extend(cluster.blocks);
    }
    assert_eq!(blocks, parts(&directory, Some(&identity), "TR_v")[0].1);
    assert!(std::fs::read_to_string(to.join("timeline-000.jsonl")).unwrap().contains("standup"));
    let other = Identity::generate().unwrap();
    let refused = recording::export(&directory, &temp.below("no"), &[other]).unwrap_err().to_string();
    assert!(refused.contains("sealed for other recipients"), "{refused}");
}
