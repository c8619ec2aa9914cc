// SPDX-License-Identifier: EUPL-1.2
//! Bech32 (BIP 173), as far as age's keys need it: 32 bytes behind a prefix.

use crate::KEY_BYTES;

const ALPHABET: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
const CHECKSUM_LEN: usize = 6;

/// The key in `text`, which must begin with `prefix` and a 1; all in lower case, or all in upper case.
pub(super) fn decode(prefix: &str, text: &str) -> Result<[u8; KEY_BYTES], &'static str> {
    let lower = text.to_ascii_lowercase();
    if lower != text && text.to_ascii_uppercase() != text {
        return Err("it mixes upper and lower case");
    }
    let data = lower.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('1'));
    let data = data.ok_or("it has another prefix")?;
    let mut values = Vec::with_capacity(data.len());
    for letter in data.bytes() {
        let value =
            ALPHABET.iter().position(|known| *known == letter).ok_or("a letter is not one of Bech32")?;
        values.push(value as u8);
    }
    if checksum(prefix, &values) != 1 {
        return Err("its checksum does not hold: a letter is wrong or missing");
    }
    let values = values.get(..values.len().saturating_sub(CHECKSUM_LEN)).unwrap_or_default();
    let (mut key, mut len, mut held, mut bits) = ([0; KEY_BYTES], 0, 0_u32, 0);
    for value in values {
        held = held << 5 | u32::from(*value);
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            *key.get_mut(len).ok_or("it is too long")? = (held >> bits) as u8;
            len += 1;
            held &= (1 << bits) - 1;
        }
    }
    if len != KEY_BYTES || bits >= 5 || held != 0 {
        return Err("it does not hold 32 bytes");
    }
    Ok(key)
}

/// `key` behind `prefix` and a 1, in lower case.
pub(super) fn encode(prefix: &str, key: &[u8; KEY_BYTES]) -> String {
    let (mut values, mut held, mut bits) = (Vec::new(), 0_u32, 0);
    for byte in key {
        held = held << 8 | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            values.push((held >> bits) as u8 & 31);
        }
        held &= (1 << bits) - 1;
    }
    if bits > 0 {
        values.push((held << (5 - bits)) as u8 & 31);
    }
    let mut checked = values.clone();
    checked.extend([0; CHECKSUM_LEN]);
    let sum = checksum(prefix, &checked) ^ 1;
    values.extend((0..CHECKSUM_LEN).map(|place| (sum >> (5 * (CHECKSUM_LEN - 1 - place))) as u8 & 31));
    let letters = values.iter().filter_map(|value| ALPHABET.get(usize::from(*value)));
    format!("{prefix}1{}", letters.map(|letter| char::from(*letter)).collect::<String>())
}

/// 1 when the last six of `values` are the checksum of the others.
fn checksum(prefix: &str, values: &[u8]) -> u32 {
    const GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    let high = prefix.bytes().map(|byte| byte >> 5);
    let low = prefix.bytes().map(|byte| byte & 31);
    let mut sum = 1_u32;
    for value in high.chain([0]).chain(low).chain(values.iter().copied()) {
        let top = sum >> 25;
        sum = (sum & 0x01ff_ffff) << 5 ^ u32::from(value);
        for (place, generator) in GENERATOR.iter().enumerate() {
            if top >> place & 1 == 1 {
                sum ^= generator;
            }
        }
    }
    sum
}
