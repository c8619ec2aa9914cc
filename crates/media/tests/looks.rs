// SPDX-License-Identifier: EUPL-1.2
//! What films show beyond tiles: other layouts, marks, and what lies over the picture.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod support;

use std::path::Path;

use parvis_media::compose::layout::{Arrangement, Rect, cells};
use parvis_media::compose::{
    Corner, Layout, Logo, Looks, Notice, Options, Place, Subject, Watermark, compose,
};
use parvis_media::manifest::Manifest;
use support::Temp;
use support::film::{
    BLUE, CANVAS, Feed, Film, GREEN, PLACEHOLDER, RED, SIZE, ada, assert_seen, capture, is_near, names,
    options, png, tone,
};

/// A film of a recording with something over it.
fn film_with(temp: &Temp, recording: &Path, name: &str, looks: Looks) -> Film {
    let out = temp.below(name);
    compose(recording, &out, &[], &Options { looks, ..options(Layout::Grid) }).unwrap();
    Film::open(&out, SIZE)
}

/// So many samples differ between films that show the same, as what is encoded elsewhere leaves traces.
const TRACES: usize = 20;

/// How many samples of an area differ between two films.
fn differ(one: &Film, other: &Film, picture: usize, area: Rect) -> usize {
    let places =
        (area.y..area.y + area.height).flat_map(|y| (area.x..area.x + area.width).map(move |x| (x, y)));
    let luma = |film: &Film, (x, y): (u32, u32)| film.colour(picture, x, y)[0];
    places.filter(|place| luma(one, *place).abs_diff(luma(other, *place)) > 25).count()
}

#[test]
fn a_share_is_large_with_the_others_beside_it_and_nothing_flashes() {
    let temp = Temp::new();
    let (recording, out) = (temp.below("recording"), temp.below("film.mp4"));
    let feeds = vec![
        Feed::camera("PA_a", 1, 0, 4000, |_| RED),
        Feed::camera("PA_b", 2, 0, 4000, |_| GREEN),
        Feed::camera("PA_a", 3, 1500, 3000, |_| BLUE).share(),
    ];
    let people = [("PA_a", "Ada", 0, 5000), ("PA_b", "Bob", 0, 5000)];
    capture(&recording, None, 4000, &people, feeds, &[(500, "PA_b")]);
    // As if the share's first picture had been lost on its way: its track comes before it has anything to show.
    let mut manifest = Manifest::read(&recording).unwrap();
    let share = manifest.tracks.iter_mut().find(|track| track.track == "TR_3").unwrap();
    share.from -= 700_000;
    manifest.write(&recording, false).unwrap();
    compose(&recording, &out, &[], &options(Layout::Screen)).unwrap();
    let film = Film::open(&out, SIZE);
    let scenes: [(u64, Arrangement, &[_]); 4] = [
        (0, Arrangement::Speaker, &[RED, GREEN]),
        (500, Arrangement::Speaker, &[GREEN, RED]),
        (1500, Arrangement::Screen, &[BLUE, RED, GREEN]),
        (3000, Arrangement::Speaker, &[GREEN, RED]),
    ];
    assert_seen(&film, &scenes, 100);
}

#[test]
fn a_single_picture_fills_the_film_whoever_it_is() {
    let temp = Temp::new();
    let recording = temp.below("recording");
    let feeds = vec![
        Feed::camera("PA_a", 1, 0, 2000, |_| RED),
        Feed::camera("PA_b", 2, 0, 2000, |_| GREEN),
        Feed::camera("PA_a", 3, 500, 1500, |_| BLUE).share(),
    ];
    let people = [("PA_a", "Ada", 0, 3000), ("PA_b", "Bob", 0, 3000)];
    capture(&recording, None, 2000, &people, feeds, &[(1000, "PA_b")]);
    let edges = |name: &str, subject: Option<Subject>| {
        let out = temp.below(name);
        compose(&recording, &out, &[], &Options { subject, ..options(Layout::Single) }).unwrap();
        let film = Film::open(&out, SIZE);
        let edges =
            move |picture: usize| [(2, 2), (317, 2), (317, 177)].map(|(x, y)| film.colour(picture, x, y));
        move |picture: usize, colour| edges(picture).iter().all(|seen| is_near(*seen, colour))
    };
    let speaks = edges("speaks.mp4", None);
    assert!(speaks(15, RED) && speaks(27, RED) && speaks(33, GREEN) && speaks(58, GREEN));
    let bob = edges("bob.mp4", Some(Subject::Participant("bob".to_owned())));
    assert!(bob(5, GREEN) && bob(30, GREEN) && bob(58, GREEN));
    let share = edges("share.mp4", Some(Subject::Track("TR_3".to_owned())));
    assert!(!share(5, BLUE) && share(20, BLUE) && share(42, BLUE) && !share(50, BLUE));

    let nobody = Some(Subject::Participant("eve".to_owned()));
    let told = compose(
        &recording,
        &temp.below("no.mp4"),
        &[],
        &Options { subject: nobody, ..options(Layout::Single) },
    );
    assert_eq!(
        told.unwrap_err().to_string(),
        "no participant \"eve\" in the recording; there are 2: \"ada\", \"bob\""
    );
    assert_eq!(names(&temp.0).len(), 4);
}

#[test]
fn who_is_muted_is_marked() {
    let temp = Temp::new();
    let (recording, out) = (temp.below("recording"), temp.below("film.mp4"));
    let mut microphone = Feed::microphone("PA_a", 2, 0, 3000, tone(440.0));
    microphone.muted = Some((1000, 2000));
    let feeds = vec![Feed::camera("PA_a", 1, 0, 3000, |_| GREEN), microphone];
    capture(&recording, None, 3000, &[("PA_a", "Ada", 0, 4000)], feeds, &[]);
    compose(&recording, &out, &[], &options(Layout::Grid)).unwrap();
    let film = Film::open(&out, SIZE);
    let label = cells(Arrangement::Grid, CANVAS, 1)[0].label;
    // Red on the disc's left, at the right end of the strip.
    let red = |picture: usize| {
        let (x, y) = (label.x + label.width - label.height * 3 / 4, label.y + label.height * 3 / 5);
        film.colour(picture, x, y)[2]
    };
    for (picture, muted) in [(3, false), (27, false), (33, true), (57, true), (63, false), (88, false)] {
        assert_eq!(red(picture) > 160, muted, "{picture}: {}", red(picture));
    }
}

#[test]
fn a_title_and_a_clock_stand_above_the_tiles() {
    let temp = Temp::new();
    let recording = ada(&temp, 2500);
    let title = |text: &str| Looks { title: Some(text.to_owned()), ..Looks::default() };
    let clock = |minutes| Looks { clock: Some(minutes), ..Looks::default() };
    let with_title = film_with(&temp, &recording, "title.mp4", title("Stand-up"));
    let other = film_with(&temp, &recording, "other.mp4", title("სტენდაპი"));
    let with_clock = film_with(&temp, &recording, "clock.mp4", clock(0));
    let later = film_with(&temp, &recording, "later.mp4", clock(60));
    let (left, right) =
        (Rect { width: 160, height: 16, ..CANVAS }, Rect { x: 160, y: 0, width: 160, height: 16 });
    let area = Rect { y: 16, height: 164, ..CANVAS };
    assert!(differ(&with_title, &other, 10, left) > 20, "another title is another picture");
    assert!(differ(&with_title, &other, 10, right) < TRACES);
    assert!(
        differ(&with_title, &with_clock, 10, left) > 20 && differ(&with_title, &with_clock, 10, right) > 20
    );
    assert!(differ(&with_title, &with_clock, 10, area) < TRACES, "the tiles lie under the same strip");
    assert!(differ(&with_clock, &later, 10, right) > 5, "an hour later");
    // The clock goes on by the second, which begins with the meeting here.
    let within = |from: usize, to: usize| {
        let seen = |film: &Film, picture| {
            (0..160 * 16).map(|at| film.colour(picture, 160 + at % 160, at / 160)[0]).collect::<Vec<_>>()
        };
        let (from, to) = (seen(&with_clock, from), seen(&with_clock, to));
        from.iter().zip(&to).filter(|(one, other)| one.abs_diff(**other) > 40).count()
    };
    assert_eq!(within(2, 27), 0);
    assert!(within(27, 33) > 2 && within(2, 33) > 2);
    let middle = cells(Arrangement::Grid, area, 1)[0].picture;
    let (x, y) = (middle.x + middle.width / 2, middle.y + middle.height / 2);
    assert!(is_near(with_title.colour(10, x, y), RED));
}

#[test]
fn a_watermark_lies_over_the_picture_and_lets_it_through() {
    let temp = Temp::new();
    let recording = ada(&temp, 500);
    let with = |name: &str, place| {
        let watermark = Some(Watermark { text: "Vertraulich".to_owned(), place });
        film_with(&temp, &recording, name, Looks { watermark, ..Looks::default() })
    };
    let plain = film_with(&temp, &recording, "plain.mp4", Looks::default());
    let third = |y| Rect { y, height: 60, ..CANVAS };
    let counts = |film: &Film| [0, 60, 120].map(|y| differ(film, &plain, 10, third(y)));
    let diagonal = with("diagonal.mp4", Place::Diagonal);
    assert!(counts(&diagonal).iter().all(|count| *count > 100), "{:?}", counts(&diagonal));
    let [above, between, below] = counts(&with("top.mp4", Place::Top));
    assert!(above > 100 && between < TRACES && below < TRACES, "{above} {between} {below}");
    let [above, between, below] = counts(&with("bottom.mp4", Place::Bottom));
    assert!(above < TRACES && between < TRACES && below > 100, "{above} {between} {below}");
    // From the lower left to the upper right, and not in the other corners.
    for (x, y) in [(20, 20), (300, 120)] {
        let corner = Rect { x: x - 16, y: y - 16, width: 32, height: 32 };
        assert!(differ(&diagonal, &plain, 10, corner) < TRACES, "{x} {y}");
    }
    // Red shines through where shadow and letters lie over it, a quarter each.
    let red = |film: &Film| (40..280).map(|x| u32::from(film.colour(10, x, 80)[2])).min().unwrap();
    assert!((175..225).contains(&red(&diagonal)), "{}", red(&diagonal));
}

#[test]
fn a_notice_is_there_at_first_and_then_gone() {
    let temp = Temp::new();
    let recording = ada(&temp, 2000);
    let plain = film_with(&temp, &recording, "plain.mp4", Looks::default());
    let text = "Everybody agreed to being recorded. यह बैठक रिकॉर्ड की जा रही है।".to_owned();
    let notice = Some(Notice { text, seconds: 1 });
    let told = film_with(&temp, &recording, "told.mp4", Looks { notice, ..Looks::default() });
    let low = Rect { y: 120, height: 60, ..CANVAS };
    assert!(differ(&told, &plain, 5, low) > 3000 && differ(&told, &plain, 28, low) > 3000);
    assert!(differ(&told, &plain, 32, low) < TRACES);
    assert!(differ(&told, &plain, 5, Rect { height: 110, ..CANVAS }) < TRACES);
    let white = (0..320 * 60).filter(|at| told.colour(5, at % 320, 120 + at / 320)[0] > 180).count();
    assert!(white > 60, "{white}");
}

#[test]
fn a_logo_keeps_its_colour_in_its_corner() {
    let temp = Temp::new();
    let (recording, file) = (ada(&temp, 500), temp.below("logo.png"));
    png(&file, "blue@1", "200x200");
    let with = |name: &str, corner| {
        let logo = Some((Logo::read(&file).unwrap(), corner));
        film_with(&temp, &recording, name, Looks { logo, ..Looks::default() })
    };
    // A fifth of the height is the most; four samples from the edges.
    let (right, low) = (320 - 4 - 18, 180 - 4 - 18);
    for (name, corner, x, y) in [
        ("1.mp4", Corner::TopLeft, 22, 22),
        ("2.mp4", Corner::TopRight, right, 22),
        ("3.mp4", Corner::BottomLeft, 22, low),
        ("4.mp4", Corner::BottomRight, right, low),
    ] {
        let film = with(name, corner);
        let places = [(22, 22), (right, 22), (22, low), (right, low)];
        let blue: Vec<_> =
            places.into_iter().filter(|(x, y)| is_near(film.colour(10, *x, *y), BLUE)).collect();
        assert_eq!(blue, [(x, y)], "{corner:?}");
    }
    let clear = temp.below("clear.png");
    png(&clear, "blue@0", "40x40");
    let logo = Some((Logo::read(&clear).unwrap(), Corner::TopLeft));
    let film = film_with(&temp, &recording, "5.mp4", Looks { logo, ..Looks::default() });
    assert!(!is_near(film.colour(10, 22, 22), BLUE), "what is clear is not seen");
}

#[test]
fn a_logo_that_cannot_be_used_is_told_before_anything_begins() {
    let temp = Temp::new();
    let recording = ada(&temp, 300);
    let told = |name: &str, bytes: &[u8]| {
        let path = temp.below(name);
        std::fs::write(&path, bytes).unwrap();
        let told = Logo::read(&path).unwrap_err().to_string();
        told.strip_prefix(&format!("{}: ", path.display())).unwrap().to_owned()
    };
    assert!(Logo::read(&temp.below("none.png")).unwrap_err().to_string().contains("No such file"));
    assert_eq!(told("a.png", b"GIF89a"), "no PNG: take a file that begins as one");
    assert_eq!(told("b.png", &vec![0; 4 * 1024 * 1024 + 1]), "more than 4 MiB, which is the most");
    let file = temp.below("logo.png");
    png(&file, "blue", "3000x20");
    let large = std::fs::read(&file).unwrap();
    assert_eq!(told("c.png", &large), "3000x20 samples: 2048x2048 are the most; make it smaller");
    std::fs::remove_file(&file).unwrap();
    png(&file, "blue", "64x64");
    let whole = std::fs::read(&file).unwrap();
    assert!(told("d.png", &whole[..whole.len() / 2]).starts_with("a damaged PNG: it ends"));
    // Whole in its form, with a filter that there is none of: only a decoder sees that.
    let path = temp.below("hit.png");
    std::fs::write(&path, strange_png()).unwrap();
    let looks = Looks { logo: Some((Logo::read(&path).unwrap(), Corner::TopLeft)), ..Looks::default() };
    let before = names(&temp.0);
    let error =
        compose(&recording, &temp.below("film.mp4"), &[], &Options { looks, ..options(Layout::Grid) });
    let error = error.unwrap_err().to_string();
    assert!(error.contains("hit.png: a damaged PNG, which can't be decoded"), "{error}");
    assert_eq!(names(&temp.0), before);
}

/// Four samples of grey, whose rows say that they are filtered in a way that there is none of.
fn strange_png() -> Vec<u8> {
    let chunk = |name: &[u8], content: &[u8]| {
        let named = [name, content].concat();
        [&(content.len() as u32).to_be_bytes()[..], &named, &crc32(&named).to_be_bytes()].concat()
    };
    let rows = [200_u8, 1, 2, 200, 3, 4];
    // Stored, not packed (RFC 1950 and 1951), with the sum of Adler.
    let (low, high) = rows.iter().fold((1_u32, 0_u32), |(low, high), row| {
        let low = (low + u32::from(*row)) % 65_521;
        (low, (high + low) % 65_521)
    });
    let data = [&[0x78, 1, 1, 6, 0, 249, 255][..], &rows, &(high << 16 | low).to_be_bytes()].concat();
    let head = [0, 0, 0, 2, 0, 0, 0, 2, 8, 0, 0, 0, 0];
    [&b"\x89PNG\r\n\x1a\n"[..], &chunk(b"IHDR", &head), &chunk(b"IDAT", &data), &chunk(b"IEND", &[])].concat()
}

fn crc32(bytes: &[u8]) -> u32 {
    let shift = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| shift(crc)))
}

#[test]
fn nobody_is_shown_where_nobody_is() {
    let temp = Temp::new();
    let (recording, out) = (temp.below("recording"), temp.below("film.mp4"));
    let feeds =
        vec![Feed::camera("PA_a", 1, 500, 1000, |_| RED), Feed::microphone("PA_b", 2, 0, 1500, tone(440.0))];
    let people = [("PA_a", "Ada", 0, 2000), ("PA_b", "Bob", 0, 2000)];
    capture(&recording, None, 1500, &people, feeds, &[]);
    compose(&recording, &out, &[], &options(Layout::Single)).unwrap();
    let film = Film::open(&out, SIZE);
    let seen = [5, 25, 40].map(|picture| film.colour(picture, 160, 40));
    assert!(
        is_near(seen[0], PLACEHOLDER) && is_near(seen[1], RED) && is_near(seen[2], PLACEHOLDER),
        "{seen:?}"
    );
}
