// SPDX-License-Identifier: EUPL-1.2
//! H.264's parameters and its two ways to mark where a NAL unit begins (ISO/IEC 14496-15, 5.3.3; ITU-T H.264, annex B).

/// An `AVCDecoderConfigurationRecord`, and what is in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::compose) struct Parameters {
    pub(super) record: Vec<u8>,
    /// Sequence and picture parameter sets.
    sets: Vec<Vec<u8>>,
    length_bytes: usize,
}

const START: [u8; 4] = [0, 0, 0, 1];
/// An access unit delimiter that allows for all kinds of slices.
const DELIMITER: [u8; 6] = [0, 0, 0, 1, 0x09, 0xf0];

impl Parameters {
    /// `None` for what is no such record.
    pub(in crate::compose) fn read(record: &[u8]) -> Option<Parameters> {
        let (head, mut rest) = record.split_first_chunk::<5>()?;
        let length_bytes = usize::from(head[4] & 3) + 1;
        let mut sets = Vec::new();
        // The number of sequence parameter sets has three bits before it, that of picture parameter sets none.
        for mask in [0x1f, 0xff] {
            let (count, behind) = rest.split_first()?;
            rest = behind;
            for _ in 0..count & mask {
                let (length, behind) = rest.split_first_chunk::<2>()?;
                let (set, behind) = behind.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
                sets.push(set.to_vec());
                rest = behind;
            }
        }
        Some(Parameters { record: record.to_vec(), sets, length_bytes })
    }

    /// For a playlist (RFC 6381, section 3.3).
    pub(super) fn codec(&self) -> String {
        let three = self.record.get(1..4).unwrap_or_default();
        format!("avc1.{}", hex::encode(three))
    }

    /// Key frames with their parameters in front, as those have it who begin in the middle.
    pub(in crate::compose) fn with_sets(&self, data: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(data.len() + 100);
        for set in &self.sets {
            let length = (set.len() as u32).to_be_bytes();
            out.extend(length.iter().skip(4 - self.length_bytes.min(4)));
            out.extend(set);
        }
        out.extend(data);
        out
    }

    /// As a transport stream has it: with a delimiter, and key frames with their parameters.
    pub(super) fn annex_b(&self, data: &[u8], key: bool) -> Vec<u8> {
        let mut out = Vec::with_capacity(data.len() + 128);
        out.extend(DELIMITER);
        if key {
            for set in &self.sets {
                out.extend(START);
                out.extend(set);
            }
        }
        let mut rest = data;
        while let Some((length, behind)) = rest.split_at_checked(self.length_bytes) {
            let length = length.iter().fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
            let Some((unit, behind)) = behind.split_at_checked(length) else { break };
            // One delimiter is enough.
            if unit.first().is_some_and(|first| first & 0x1f != 9) {
                out.extend(START);
                out.extend(unit);
            }
            rest = behind;
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: [u8; 17] = [1, 0x64, 0, 0x1f, 0xff, 0xe1, 0, 3, 0x67, 1, 2, 1, 0, 3, 0x68, 3, 4];

    #[test]
    fn parameters_come_before_a_key_frame_and_only_there() {
        let parameters = Parameters::read(&RECORD).unwrap();
        assert_eq!(parameters.codec(), "avc1.64001f");
        let frame = [0, 0, 0, 2, 0x65, 9, 0, 0, 0, 2, 0x09, 0xf0, 0, 0, 0, 1, 0x06];
        let expected =
            [&DELIMITER[..], &START, &[0x67, 1, 2], &START, &[0x68, 3, 4], &START, &[0x65, 9], &START, &[6]];
        assert_eq!(parameters.annex_b(&frame, true), expected.concat());
        assert_eq!(
            parameters.annex_b(&frame, false),
            [&DELIMITER[..], &START, &[0x65, 9], &START, &[6]].concat()
        );
        let lengths = [0, 0, 0, 3, 0x67, 1, 2, 0, 0, 0, 3, 0x68, 3, 4, 0, 0, 0, 1, 0x65];
        assert_eq!(parameters.with_sets(&[0, 0, 0, 1, 0x65]), lengths);
    }

    #[test]
    fn what_is_cut_off_leads_nowhere() {
        for end in 0..RECORD.len() {
            assert_eq!(Parameters::read(&RECORD[..end]), None, "{end}");
        }
        let parameters = Parameters::read(&RECORD).unwrap();
        assert_eq!(parameters.annex_b(&[0, 0, 0, 9, 0x65], false), DELIMITER);
    }
}
