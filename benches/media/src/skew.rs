// SPDX-License-Identifier: EUPL-1.2
//! How far sound and pictures of a clapper lie apart in a file, as FFmpeg reads it: from each flash to its click.

use std::path::Path;
use std::process::Command;

use crate::Fallible;
use crate::input::CLAP_SECONDS;

/// The first grey, of 255, that is a flash.
const BRIGHT: f64 = 128.0;
/// The first level, in dB of the full scale, that is a click: half of what is sent is 6 dB below it.
const LOUD: f64 = -20.0;
/// The sound is looked at in pieces of 2 ms.
const PIECE_SAMPLES: u32 = 96;

/// From flash to click, in milliseconds, for each flash that has one; and how many have none.
pub(crate) fn skews(pictures: &Path, sound: &Path) -> Fallible<(Vec<f64>, usize)> {
    let flashes = onsets(
        &levels(
            pictures,
            &[
                "-map",
                "0:v:0",
                "-vf",
                "scale=16:16,format=gray,signalstats,metadata=print:key=lavfi.signalstats.YAVG:file=-",
            ],
        )?,
        BRIGHT,
    );
    let filter = format!(
        "aresample=48000,asetnsamples=n={PIECE_SAMPLES}:p=0,astats=metadata=1:reset=1,ametadata=print:key=lavfi.astats.Overall.Peak_level:file=-"
    );
    let clicks = onsets(&levels(sound, &["-map", "0:a:0", "-af", &filter])?, LOUD);
    if flashes.is_empty() || clicks.is_empty() {
        let (seen, heard) = (flashes.len(), clicks.len());
        return Err(format!("{seen} flashes and {heard} clicks were found").into());
    }
    Ok(apart(&flashes, &clicks))
}

/// Pairs what belongs together.
fn apart(flashes: &[f64], clicks: &[f64]) -> (Vec<f64>, usize) {
    let half = CLAP_SECONDS as f64 / 2.0;
    let mut skews = Vec::new();
    for flash in flashes {
        let nearest = clicks.iter().map(|click| click - flash).min_by(|a, b| a.abs().total_cmp(&b.abs()));
        skews.extend(nearest.filter(|skew| skew.abs() < half).map(|skew| skew * 1e3));
    }
    let alone = flashes.len() - skews.len();
    (skews, alone)
}

/// Each moment in seconds, and the level then.
fn levels(file: &Path, filter: &[&str]) -> Fallible<Vec<(f64, f64)>> {
    let mut command = Command::new("ffmpeg");
    // Times as the file has them.
    command.args(["-v", "error", "-copyts", "-i"]).arg(file).args(filter);
    let output = command.args(["-fps_mode", "passthrough", "-f", "null", "-"]).output()?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(format!("ffmpeg can't read {}: {why}", file.display()).into());
    }
    Ok(read(&String::from_utf8_lossy(&output.stdout)))
}

/// Lines in turns: `frame:0 pts:0 pts_time:0`, and `lavfi.….YAVG=16`.
fn read(text: &str) -> Vec<(f64, f64)> {
    let (mut at, mut levels) = (None, Vec::new());
    for line in text.lines() {
        if let Some((_, time)) = line.split_once("pts_time:") {
            at = time.trim().parse::<f64>().ok();
        } else if let (Some(at), Some((_, level))) = (at, line.split_once('=')) {
            // Silence is `-inf`.
            levels.push((at, level.trim().parse().unwrap_or(f64::NEG_INFINITY)));
        }
    }
    levels
}

/// Where the level passes the bound, from below.
fn onsets(levels: &[(f64, f64)], bound: f64) -> Vec<f64> {
    let pairs = levels.windows(2).filter_map(|pair| match pair {
        [(_, before), (at, after)] if *before < bound && *after >= bound => Some(*at),
        _ => None,
    });
    // A click that is damaged has several.
    let mut onsets: Vec<f64> = Vec::new();
    for at in pairs {
        if onsets.last().is_none_or(|last| at - last > 0.5) {
            onsets.push(at);
        }
    }
    onsets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flash_and_its_click_are_a_pair_and_one_alone_is_counted() {
        let text = "frame:0 pts:0 pts_time:0\nlavfi.x=-inf\nframe:1 pts:1 pts_time:2.01\nlavfi.x=-3\nframe:2 pts:2 pts_time:2.02\nlavfi.x=-30\nframe:3 pts:3 pts_time:2.03\nlavfi.x=-3\n";
        let clicks = onsets(&read(text), LOUD);
        assert_eq!(clicks, [2.01], "twice within half a second is once");
        let (skews, alone) = apart(&[2.0, 4.0], &clicks);
        assert_eq!((skews.len(), alone), (1, 1));
        assert!((skews[0] - 10.0).abs() < 1e-6, "{skews:?}");
    }
}
