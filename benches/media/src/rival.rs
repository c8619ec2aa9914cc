// SPDX-License-Identifier: EUPL-1.2
//! The other way to a film of a meeting: a browser that shows it on a screen which nobody sees, and FFmpeg that records this
//! screen. Here the browser plays files and decodes no calls, and there is no sound: it is let off lightly.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use parvis_media::compose::layout::Rect;
use serde_json::{Value, json};

use crate::Fallible;
use crate::input::{self, INPUT_SECONDS, RATE, Scene};
use crate::still;
use crate::usage::{self, Usage};

/// How long a screen and a browser may take to be there.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often memory is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// What is to be recorded.
pub(crate) struct Order<'a> {
    pub(crate) out: &'a Path,
    /// Where the media is that is shown.
    pub(crate) media: &'a Path,
    pub(crate) people: u32,
    /// Of each person's picture.
    pub(crate) size: (u32, u32),
    pub(crate) input_kbits: u32,
    pub(crate) screen: (u32, u32),
    pub(crate) kbits: u32,
    pub(crate) warm_up: u64,
    pub(crate) seconds: u64,
}

/// A process that goes with us.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Records, and says what that took. The film is `rival.mp4`.
pub(crate) fn run(order: &Order<'_>) -> Fallible<Value> {
    let (width, height) = order.screen;
    let page = page(order)?;
    let quiet = |program: &str| {
        let mut command = Command::new(program);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let display = order.out.join("display");
    let shown = fs::File::create(&display)?;
    let screen = format!("{width}x{height}x24");
    // It takes a number that is free, and says which.
    let arguments = ["-displayfd", "1", "-screen", "0", &screen, "-nolisten", "tcp"];
    let screens = Running(quiet("Xvfb").args(arguments).stdout(shown).spawn()?);
    let number = wait_for(|| {
        let text = fs::read_to_string(&display).unwrap_or_default();
        text.ends_with('\n').then(|| text.trim().to_owned())
    })?;
    let number = format!(":{number}");
    let profile = format!("--user-data-dir={}", order.out.join("profile").display());
    let window = format!("--window-size={width},{height}");
    let browser = Running(
        quiet("chromium")
            .env("DISPLAY", &number)
            .args(["--no-sandbox", "--kiosk", "--no-first-run", "--disable-gpu", "--window-position=0,0"])
            .args(["--autoplay-policy=no-user-gesture-required", "--allow-file-access-from-files"])
            .args([profile, window, format!("file://{}", page.display())])
            .spawn()?,
    );
    let warm = Duration::from_secs(order.warm_up);
    // What FFmpeg records from the beginning on is a page that plays.
    std::thread::sleep(warm);
    let film = order.out.join("rival.mp4");
    let _ = fs::remove_file(&film);
    let (rate, size, kbits) = (RATE.to_string(), format!("{width}x{height}"), format!("{}k", order.kbits));
    let (keys, buffer) = ((RATE * 2).to_string(), format!("{}k", order.kbits * 2));
    let mut recorder = quiet("ffmpeg");
    recorder.args([
        "-f",
        "x11grab",
        "-draw_mouse",
        "0",
        "-framerate",
        &rate,
        "-video_size",
        &size,
        "-i",
        &number,
    ]);
    recorder.args(["-c:v", "libx264", "-preset", "veryfast", "-tune", "zerolatency", "-pix_fmt", "yuv420p"]);
    recorder.args(["-b:v", &kbits, "-maxrate", &kbits, "-bufsize", &buffer, "-g", &keys]);
    let mut recorder = Running(recorder.arg(&film).stdin(Stdio::piped()).spawn()?);
    std::thread::sleep(warm);
    let all = [screens.0.id(), browser.0.id(), recorder.0.id()];
    let before = usage::of_all(&all)?;
    let begun = Instant::now();
    let (mut peak, mut after) = (0, before);
    while begun.elapsed() < Duration::from_secs(order.seconds) {
        std::thread::sleep(LOOK);
        after = usage::of_all(&all)?;
        peak = peak.max(after.bytes);
    }
    let took = begun.elapsed().as_secs_f64();
    // It ends its file in order.
    if let Some(mut input) = recorder.0.stdin.take() {
        input.write_all(b"q")?;
    }
    recorder.0.wait()?;
    let Usage { cpu, .. } = after;
    Ok(
        json!({ "cores": (cpu - before.cpu) / took, "pss_mib": peak as f64 / f64::from(1 << 20), "seconds": order.seconds }),
    )
}

/// A page on which all play, each where a film of ours has it.
fn page(order: &Order<'_>) -> Fallible<PathBuf> {
    let out = fs::canonicalize(order.out)?;
    let mut tiles = String::new();
    let cells = still::tiles(order.people, order.screen)?;
    for (person, cell) in (0..order.people).zip(cells) {
        input::make(order.media, Scene::Call { person }, order.size, order.input_kbits, INPUT_SECONDS)?;
        let (width, height) = order.size;
        let ivf = order.media.join(format!("call-{person}-{width}x{height}.ivf"));
        let webm = out.join(format!("call-{person}.webm"));
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "error", "-y", "-i"]).arg(&ivf).args(["-c", "copy"]).arg(&webm);
        if !command.status()?.success() {
            return Err(format!("ffmpeg can't make {}", webm.display()).into());
        }
        let place = |Rect { x, y, width, height }: Rect| {
            format!("left:{x}px;top:{y}px;width:{width}px;height:{height}px")
        };
        let (picture, label) = (place(cell.picture), place(cell.label));
        tiles += &format!(
            "<video src=\"call-{person}.webm\" style=\"{picture}\" autoplay loop muted></video><p style=\"{label}\">Person {person}</p>"
        );
    }
    let page = out.join("rival.html");
    let style = "body{margin:0;background:#05080d;overflow:hidden}video,p{position:absolute;margin:0}\
                 p{background:#20252a;color:#fff;font:18px sans-serif;text-indent:10px}";
    fs::write(&page, format!("<!doctype html><meta charset=\"utf-8\"><style>{style}</style>{tiles}"))?;
    Ok(page)
}

fn wait_for<T>(look: impl Fn() -> Option<T>) -> Fallible<T> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if let Some(found) = look() {
            return Ok(found);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Err("the screen was not there in time".into())
}
