// SPDX-License-Identifier: EUPL-1.2
//! How large a picture would be once it is unpacked, read from its head and without unpacking anything.

/// The kinds that are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Png,
    Jpeg,
    WebP,
}

/// What a picture of pixels is, by how it begins; nothing where it is none of these.
pub(crate) fn kind(bytes: &[u8]) -> Option<Kind> {
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        Some(Kind::Png)
    } else if bytes.starts_with(b"\xff\xd8\xff") {
        Some(Kind::Jpeg)
    } else if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        Some(Kind::WebP)
    } else {
        None
    }
}

/// Its width and height in pixels, as its head says. Nothing where the head is cut off or says nothing.
pub(crate) fn size(kind: Kind, bytes: &[u8]) -> Option<(u32, u32)> {
    match kind {
        Kind::Png => png(bytes),
        Kind::Jpeg => jpeg(bytes),
        Kind::WebP => webp(bytes),
    }
}

/// The header comes first, width and height in it (ISO/IEC 15948 section 11.2.1).
fn png(bytes: &[u8]) -> Option<(u32, u32)> {
    if bytes.get(12..16)? != b"IHDR" {
        return None;
    }
    let side = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    Some((side(16)?, side(20)?))
}

/// The frame's header stands somewhere among the segments (ITU-T T.81 sections B.1.1 and B.2.2). Each step goes forward.
fn jpeg(bytes: &[u8]) -> Option<(u32, u32)> {
    let short = |at: usize| Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    let mut at = 2;
    loop {
        if *bytes.get(at)? != 0xff {
            return None;
        }
        match *bytes.get(at + 1)? {
            // A marker may have any number of these before it.
            0xff => at += 1,
            // Those without a length.
            0x01 | 0xd0..=0xd8 => at += 2,
            // The picture's data, or its end, and no header before.
            0xd9 | 0xda => return None,
            // Frames; of the same range, tables of codes, an extension and conditions of arithmetic coding are none.
            frame if (0xc0..=0xcf).contains(&frame) && ![0xc4, 0xc8, 0xcc].contains(&frame) => {
                return Some((short(at + 7)?.into(), short(at + 5)?.into()));
            }
            _ => at += 2 + usize::from(short(at + 2)?),
        }
    }
}

/// The first chunk says it, each kind in its own way (RFC 9649 sections 2.5 to 2.7).
fn webp(bytes: &[u8]) -> Option<(u32, u32)> {
    let part = |at: usize, count: usize| {
        let part = bytes.get(at..at + count)?;
        Some(part.iter().rev().fold(0_u32, |value, byte| (value << 8) | u32::from(*byte)))
    };
    match bytes.get(12..16)? {
        b"VP8 " if bytes.get(23..26)? == b"\x9d\x01\x2a" => {
            Some((part(26, 2)? & 0x3fff, part(28, 2)? & 0x3fff))
        }
        b"VP8L" if *bytes.get(20)? == 0x2f => {
            let sides = part(21, 4)?;
            Some(((sides & 0x3fff) + 1, ((sides >> 14) & 0x3fff) + 1))
        }
        b"VP8X" => Some((part(24, 3)? + 1, part(27, 3)? + 1)),
        _ => None,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The head of a PNG picture.
    pub(crate) fn a_png(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
        bytes.extend(width.to_be_bytes().into_iter().chain(height.to_be_bytes()));
        bytes
    }

    /// The head of a JPEG picture, with a text and a table of codes before the frame.
    pub(crate) fn a_jpeg(width: u16, height: u16) -> Vec<u8> {
        let mut bytes = b"\xff\xd8\xff\xfe\0\x04hi\xff\xff\xc4\0\x03x\xff\xc2\0\x0b\x08".to_vec();
        bytes.extend(height.to_be_bytes().into_iter().chain(width.to_be_bytes()));
        bytes
    }

    /// The head of a WebP picture with transparency or movement.
    pub(crate) fn a_webp(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0".to_vec();
        bytes.extend(&(width - 1).to_le_bytes()[..3]);
        bytes.extend(&(height - 1).to_le_bytes()[..3]);
        bytes
    }

    fn sized(bytes: &[u8]) -> Option<(u32, u32)> {
        size(kind(bytes)?, bytes)
    }

    #[test]
    fn each_kind_says_its_size() {
        assert_eq!(sized(&a_png(640, 480)), Some((640, 480)));
        assert_eq!(sized(&a_jpeg(640, 480)), Some((640, 480)));
        assert_eq!(sized(&a_webp(640, 480)), Some((640, 480)));
        let lossy = b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0\0\0\0\x9d\x01\x2a\x80\x02\xe0\x41";
        assert_eq!(sized(lossy), Some((640, 480)), "the highest two bits are a scale");
        // 639 and 479 in 14 bits each.
        let sides = (639_u32 | (479 << 14)).to_le_bytes();
        let lossless = [b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f".as_slice(), &sides].concat();
        assert_eq!(sized(&lossless), Some((640, 480)));
    }

    #[test]
    fn a_head_that_is_cut_off_anywhere_says_nothing() {
        for whole in [a_png(9, 9), a_jpeg(9, 9), a_webp(9, 9)] {
            for end in 0..whole.len() {
                assert_eq!(sized(&whole[..end]), None, "{end} of {whole:?}");
            }
        }
        for odd in [
            &b"\xff\xd8\xff\xd9"[..],
            b"\xff\xd8\xff\xda\0\x02\xff\xc0\0\x0b\x08\0\x09\0\x09",
            b"\xff\xd8\xff\xe0\0\0",
            b"RIFF\0\0\0\0WEBPEXIF\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
            b"\x89PNG\r\n\x1a\n\0\0\0\rPLTE\0\0\0\x09\0\0\0\x09",
        ] {
            assert_eq!(sized(odd), None, "{odd:?}");
        }
    }
}
