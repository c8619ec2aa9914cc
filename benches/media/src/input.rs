// SPDX-License-Identifier: EUPL-1.2
//! Media that is made on the spot by FFmpeg, and read frame by frame: VP8 in IVF, Opus in Ogg (RFC 3533, RFC 7845).

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Fallible;

/// What is to be made.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Scene {
    /// A still test card on the left half, moving patterns on the right, and a tone. Each person has another tone.
    Call { person: u32 },
    /// Black and silent but for a flash and a click of 100 ms in the middle of each [`CLAP_SECONDS`].
    Clapper,
}

/// Input is made once for so many seconds, and sent again and again.
pub(crate) const INPUT_SECONDS: u64 = 20;
/// Pictures a second.
pub(crate) const RATE: u64 = 30;
/// Milliseconds of a packet of sound.
pub(crate) const SOUND_MS: u64 = 20;
/// By how much Opus's encoder is late, in seconds: its pre-skip (RFC 7845 section 4.2), which RTP has no word for.
pub(crate) const SOUND_DELAY: f64 = 312.0 / 48_000.0;
/// From clap to clap.
pub(crate) const CLAP_SECONDS: u64 = 2;

/// A track's frames, in the order in which they are sent; the first picture is a key frame. They can be sent again and again.
pub(crate) struct Frames {
    pub(crate) pictures: Vec<Vec<u8>>,
    pub(crate) sounds: Vec<Vec<u8>>,
}

/// Makes so many seconds of a scene in `directory`, where it isn't there yet, and reads it.
pub(crate) fn make(
    directory: &Path,
    scene: Scene,
    (width, height): (u32, u32),
    kbits: u32,
    length: u64,
) -> Fallible<Frames> {
    let name = match scene {
        Scene::Call { person } => format!("call-{person}-{width}x{height}"),
        Scene::Clapper => "clapper".to_owned(),
    };
    let (pictures, sounds) = match scene {
        Scene::Call { person } => (call(width, height), format!("sine=frequency={}", 300 + 100 * person)),
        Scene::Clapper => {
            let claps = format!("lt(mod(t+{CLAP_SECONDS}/2,{CLAP_SECONDS}),0.1)");
            (
                format!(
                    "color=black:size={width}x{height}:rate={RATE},drawbox=color=white:t=fill:enable='{claps}'"
                ),
                format!("aevalsrc='if({claps},0.5*sin(2*PI*1000*t),0)':s=48000"),
            )
        }
    };
    let (ivf, ogg) = (directory.join(format!("{name}.ivf")), directory.join(format!("{name}.ogg")));
    let seconds = length.to_string();
    let rate = format!("{kbits}k");
    let keys = (RATE * 2).to_string();
    let video = [
        "-c:v",
        "libvpx",
        "-deadline",
        "realtime",
        "-cpu-used",
        "8",
        "-auto-alt-ref",
        "0",
        "-lag-in-frames",
        "0",
        "-error-resilient",
        "1",
        "-g",
        &keys,
        "-b:v",
        &rate,
        "-maxrate",
        &rate,
        "-bufsize",
        &rate,
        "-pix_fmt",
        "yuv420p",
    ];
    ffmpeg(&pictures, &seconds, &video, &ivf)?;
    // A frame of 20 ms in a page of its own needs no reassembly below.
    let audio =
        ["-c:a", "libopus", "-b:a", "32k", "-frame_duration", "20", "-page_duration", "20000", "-ac", "2"];
    ffmpeg(&sounds, &seconds, &audio, &ogg)?;
    let (mut pictures, mut sounds) = (read_ivf(&std::fs::read(&ivf)?)?, read_ogg(&std::fs::read(&ogg)?)?);
    // Both as long as the other, or they would part when they are sent again.
    pictures.truncate(usize::try_from(length * RATE)?);
    sounds.truncate(usize::try_from(length * 1_000 / SOUND_MS)?);
    Ok(Frames { pictures, sounds })
}

/// The picture of a call, as a source of FFmpeg's.
pub(crate) fn call(width: u32, height: u32) -> String {
    let half = width / 2;
    format!(
        "smptebars=size={half}x{height}:rate={RATE}[a];testsrc2=size={half}x{height}:rate={RATE}[b];[a][b]hstack"
    )
}

fn ffmpeg(source: &str, seconds: &str, encoding: &[&str], out: &PathBuf) -> Fallible<()> {
    if out.exists() {
        return Ok(());
    }
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-y", "-f", "lavfi", "-i", source, "-t", seconds]).args(encoding).arg(out);
    if command.status()?.success() {
        Ok(())
    } else {
        Err(format!("ffmpeg can't make {}", out.display()).into())
    }
}

/// The frames of an IVF file: a head of 32 bytes, and before each frame its length and its time, 12 bytes.
fn read_ivf(bytes: &[u8]) -> Fallible<Vec<Vec<u8>>> {
    let mut rest = bytes.get(32..).filter(|_| bytes.starts_with(b"DKIF")).ok_or("not an IVF file")?;
    let mut frames = Vec::new();
    while let Some((head, after)) = rest.split_first_chunk::<12>() {
        let [a, b, c, d, ..] = *head;
        let len = usize::try_from(u32::from_le_bytes([a, b, c, d]))?;
        let (frame, after) = after.split_at_checked(len).ok_or("an IVF file ends within a frame")?;
        frames.push(frame.to_vec());
        rest = after;
    }
    Ok(frames)
}

/// The packets of an Ogg file, of which none reaches over a page, without the two heads of Opus.
fn read_ogg(bytes: &[u8]) -> Fallible<Vec<Vec<u8>>> {
    let (mut rest, mut packets) = (bytes, Vec::new());
    while !rest.is_empty() {
        let head = rest.get(..27).filter(|head| head.starts_with(b"OggS")).ok_or("not an Ogg page")?;
        let count = usize::from(*head.last().ok_or("no Ogg page")?);
        let lengths = rest.get(27..27 + count).ok_or("an Ogg page without its lengths")?;
        let mut at = 27 + count;
        let mut packet = Vec::new();
        for length in lengths {
            let end = at + usize::from(*length);
            packet.extend_from_slice(rest.get(at..end).ok_or("an Ogg file ends within a page")?);
            at = end;
            if *length < 255 {
                packets.push(std::mem::take(&mut packet));
            }
        }
        rest = rest.get(at..).unwrap_or_default();
    }
    packets.drain(..2.min(packets.len()));
    Ok(packets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_as_they_were_written() {
        let mut ivf = b"DKIF".to_vec();
        ivf.resize(32, 0);
        for frame in [&b"first"[..], b"second"] {
            ivf.extend(u32::try_from(frame.len()).unwrap_or(0).to_le_bytes());
            ivf.extend([0; 8]);
            ivf.extend(frame);
        }
        assert_eq!(read_ivf(&ivf).ok(), Some(vec![b"first".to_vec(), b"second".to_vec()]));
        assert!(read_ivf(&ivf[..ivf.len() - 1]).is_err());

        let page = |packets: &[&[u8]]| {
            let mut page = b"OggS".to_vec();
            page.resize(26, 0);
            let lengths: Vec<u8> = packets
                .iter()
                .flat_map(|packet| {
                    let mut lacing = vec![255; packet.len() / 255];
                    lacing.push(u8::try_from(packet.len() % 255).unwrap_or(0));
                    lacing
                })
                .collect();
            page.push(u8::try_from(lengths.len()).unwrap_or(0));
            page.extend(lengths);
            packets.iter().for_each(|packet| page.extend(*packet));
            page
        };
        let long = vec![7; 300];
        let ogg = [page(&[b"OpusHead"]), page(&[b"OpusTags"]), page(&[b"one", &long])].concat();
        assert_eq!(read_ogg(&ogg).ok(), Some(vec![b"one".to_vec(), long]));
    }
}
