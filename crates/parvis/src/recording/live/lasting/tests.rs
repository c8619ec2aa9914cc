// SPDX-License-Identifier: EUPL-1.2
//! Segments and pictures that last, without a storage.

use std::fs;
use std::os::unix::fs::symlink;

use livekit_protocol as proto;

use super::*;

/// A recording's folder, with what a worker writes in `live/`.
struct Place(PathBuf);

impl Place {
    fn new() -> Place {
        let folder = std::env::temp_dir().join(format!("EG_{:016x}", rand::random::<u64>()));
        fs::create_dir_all(folder.join("live")).unwrap();
        Place(folder)
    }

    fn live(&self) -> PathBuf {
        self.0.join("live")
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Has the worker write a file and tell of it.
    fn told(&self, rendition: &str, kind: SegmentKind, sequence: u64) -> Segment {
        let suffix = if kind == SegmentKind::Init { "init.mp4" } else { "m4s" };
        let name = format!("{rendition}-{sequence}.{suffix}");
        fs::write(self.live().join(&name), format!("{rendition} {sequence}")).unwrap();
        Segment {
            rendition: rendition.into(),
            kind,
            name,
            bytes: 1,
            sequence,
            part: 0,
            duration_micros: 2_000_000,
            independent: true,
            discontinuity: false,
            at: Some(UnixMicros(1_700_000_000_000_000 + sequence * 2_000_000)),
            codec: (kind == SegmentKind::Init).then(|| "avc1.64001f".into()),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn lasting(place: &Place, lasts: Lasts) -> Lasting {
    let looks = Looks {
        renditions: vec![Rendition { name: "360".into(), width: 640, height: 360, kbits: 800 }],
        rate: 30,
        lengths: Lengths { segment: 2_000, part: 0 },
        listed: 2,
    };
    Lasting::new((lasts, looks), &place.0, None)
}

fn segments() -> Lasts {
    let output = proto::SegmentedFileOutput {
        playlist_name: "monday".into(),
        live_playlist_name: "now".into(),
        ..Default::default()
    };
    Lasts { segments: Segments::of(&output).unwrap(), pictures: None }
}

#[tokio::test]
async fn segments_lie_in_the_recording_and_playlists_name_only_what_is_there() {
    let place = Place::new();
    let mut lasting = lasting(&place, segments());
    for rendition in ["360", "audio"] {
        let init = place.told(rendition, SegmentKind::Init, 0);
        lasting.segment(&place.live(), &init).await.unwrap();
    }
    lasting.segment(&place.live(), &place.told("360", SegmentKind::Segment, 0)).await.unwrap();
    assert_eq!(place.read("monday-360_00000.m4s"), "360 0");
    assert!(place.read("monday-360.m3u8").contains("\nmonday-360_00000.m4s\n"));
    assert!(!place.0.join("monday.m3u8").exists(), "there is no sound yet, so nobody can begin");
    let mut egress = EgressInfo::default();
    lasting.note(&mut egress);
    assert_eq!(egress.segment_results[0].playlist_location, "", "nor is anybody sent there");
    for sequence in 0..4 {
        for rendition in ["audio", "360"] {
            let told = place.told(rendition, SegmentKind::Segment, sequence);
            lasting.segment(&place.live(), &told).await.unwrap();
        }
    }
    let main = place.read("monday.m3u8");
    assert!(main.contains("URI=\"monday-audio.m3u8\"") && main.ends_with("\nmonday-360.m3u8\n"), "{main}");
    assert!(place.read("now.m3u8").ends_with("\nnow-360.m3u8\n"));
    let all = place.read("monday-360.m3u8");
    assert_eq!((all.matches("#EXTINF:2.00000,").count(), all.matches("ENDLIST").count()), (4, 0), "{all}");
    assert!(all.contains("#EXT-X-MAP:URI=\"monday-360_00000.init.m4s\"\n"), "{all}");
    let newest = place.read("now-360.m3u8");
    assert!(newest.contains("#EXT-X-MEDIA-SEQUENCE:2\n") && !newest.contains("_00001"), "{newest}");
    for playlist in [&all, &newest] {
        for name in playlist.lines().filter(|line| !line.starts_with('#')) {
            assert!(place.0.join(name).is_file(), "{name}");
        }
    }

    lasting.end().await.unwrap();
    assert!(place.read("monday-360.m3u8").ends_with("_00003.m4s\n#EXT-X-ENDLIST\n"));
    assert!(place.read("now-audio.m3u8").ends_with("#EXT-X-ENDLIST\n"));
    let late = place.told("360", SegmentKind::Segment, 4);
    lasting.segment(&place.live(), &late).await.unwrap();
    assert!(!place.0.join("monday-360_00004.m4s").exists(), "nothing comes after the end");
    lasting.note(&mut egress);
    let noted = &egress.segment_results[0];
    let own = place.0.file_name().unwrap().to_str().unwrap();
    assert_eq!(noted.playlist_location, format!("{own}/monday.m3u8"));
    assert_eq!(noted.live_playlist_location, format!("{own}/now.m3u8"));
    assert_eq!((noted.segment_count, noted.duration), (8, 8_000_000_000));
    // Each file has its rendition's name, a space, and a digit.
    assert_eq!(noted.size, 5 * (5 + 7), "initialization sections as well");
}

#[tokio::test]
async fn what_a_worker_says_leads_to_nothing_else_and_grows_without_no_bound() {
    let place = Place::new();
    let mut lasting = lasting(&place, segments());
    fs::write(place.0.join("manifest.json"), "secret").unwrap();
    symlink(place.0.join("manifest.json"), place.live().join("360-0.m4s")).unwrap();
    let told = place.told("audio", SegmentKind::Segment, 0);
    let leads = Segment { rendition: "360".into(), name: "360-0.m4s".into(), ..told.clone() };
    assert!(lasting.segment(&place.live(), &leads).await.is_err());
    let above = Segment { name: "../manifest.json".into(), ..told.clone() };
    assert!(lasting.segment(&place.live(), &above).await.is_err());
    let foreign = Segment { rendition: "999".into(), ..told.clone() };
    lasting.segment(&place.live(), &foreign).await.unwrap();
    assert!(place.live().join(&told.name).exists() && place.0.join("manifest.json").exists());
    assert!(!lasting.is_full(0) && !lasting.is_full(1));

    lasting.segment(&place.live(), &told).await.unwrap();
    assert!(lasting.is_full(7) && !lasting.is_full(8) && !lasting.is_full(0), "seven bytes");
    lasting.files = MAX_FILES;
    assert!(lasting.is_full(0));
    let more = place.told("audio", SegmentKind::Segment, 1);
    lasting.segment(&place.live(), &more).await.unwrap();
    assert!(place.live().join(&more.name).exists(), "it is not taken");
}

#[tokio::test]
async fn pictures_are_kept_each_or_the_newest() {
    let place = Place::new();
    let pictures = |suffix: proto::ImageFileSuffix| {
        let output = proto::ImageOutput { filename_suffix: suffix.into(), ..Default::default() };
        Lasts { segments: None, pictures: Some(Pictures::of(&output, (640, 360)).unwrap()) }
    };
    let shoot = |number: u64| {
        let name = format!("image-{number}.jpg");
        fs::write(place.live().join(&name), format!("picture {number}")).unwrap();
        name
    };
    let at = UnixMicros(1_700_000_000_000_000);
    let mut each = lasting(&place, pictures(proto::ImageFileSuffix::ImageSuffixIndex));
    for number in 0..3 {
        each.picture(&place.live(), &shoot(number), (number, at)).await.unwrap();
    }
    assert_eq!(place.read("image_00002.jpeg"), "picture 2");
    let mut egress = EgressInfo::default();
    each.note(&mut egress);
    let noted = &egress.image_results[0];
    assert_eq!((noted.filename_prefix.as_str(), noted.image_count), ("image", 3));
    let mut newest = lasting(&place, pictures(proto::ImageFileSuffix::ImageSuffixNoneOverwrite));
    for number in 3..5 {
        newest.picture(&place.live(), &shoot(number), (number, at)).await.unwrap();
    }
    assert_eq!(place.read("image.jpeg"), "picture 4");
    assert!(newest.picture(&place.live(), "../EG", (5, at)).await.is_err());
    assert_eq!(newest.files, 0, "one file, however many pictures");
}
