// SPDX-License-Identifier: EUPL-1.2
//! TURN over a byte stream: each message says its own length (RFC 8656 section 12.5, RFC 8489 section 6.2.2).

use crate::wire::CHANNEL_HEADER_BYTES;

/// Why a byte stream can't be followed any further; its connection has to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// Neither STUN nor a channel message begins here.
    NoMessage,
    /// A message above the limit was announced.
    Oversize,
}

/// Cuts a byte stream, fed in arbitrary pieces, into messages. It holds one message at most.
///
/// ```
/// # use parvis_turn::stream::Deframer;
/// let wire = [0x40, 0x01, 0, 5, b'h', b'e', b'l', b'l', b'o', 0, 0, 0];
/// let mut messages = Vec::new();
/// let mut deframer = Deframer::new(2_048);
/// deframer.feed(&wire[..7], |message| messages.push(message.to_vec())).unwrap();
/// assert!(messages.is_empty());
/// deframer.feed(&wire[7..], |message| messages.push(message.to_vec())).unwrap();
/// assert_eq!(messages, [wire]);
/// ```
#[derive(Debug)]
pub struct Deframer {
    limit: usize,
    partial: Vec<u8>,
    broken: Option<Broken>,
}

impl Deframer {
    /// Takes messages of up to `limit` bytes, headers included.
    pub fn new(limit: usize) -> Deframer {
        Deframer { limit, partial: Vec::new(), broken: None }
    }

    /// Takes the next bytes of the stream and hands each message that they complete to `each`. After an error nothing
    /// more comes out.
    pub fn feed(&mut self, mut bytes: &[u8], mut each: impl FnMut(&[u8])) -> Result<(), Broken> {
        if let Some(broken) = self.broken {
            return Err(broken);
        }
        while !bytes.is_empty() {
            let wanted = match total(&self.partial) {
                Some(Ok(total)) if total <= self.limit => total,
                Some(Ok(_)) => return self.give_up(Broken::Oversize),
                Some(Err(broken)) => return self.give_up(broken),
                None => CHANNEL_HEADER_BYTES,
            };
            let (now, later) = bytes.split_at(wanted.saturating_sub(self.partial.len()).min(bytes.len()));
            self.partial.extend_from_slice(now);
            bytes = later;
            if matches!(total(&self.partial), Some(Ok(total)) if total == self.partial.len() && total <= self.limit)
            {
                each(&self.partial);
                self.partial.clear();
            }
        }
        match total(&self.partial) {
            Some(Err(broken)) => self.give_up(broken),
            Some(Ok(total)) if total > self.limit => self.give_up(Broken::Oversize),
            _ => Ok(()),
        }
    }

    fn give_up(&mut self, broken: Broken) -> Result<(), Broken> {
        self.partial = Vec::new();
        self.broken = Some(broken);
        Err(broken)
    }
}

/// Bytes of the message whose beginning this is; `None` when the beginning is too short to tell.
fn total(beginning: &[u8]) -> Option<Result<usize, Broken>> {
    let [first, _, l0, l1] = *beginning.first_chunk::<CHANNEL_HEADER_BYTES>()?;
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    Some(match first >> 6 {
        // A message's attributes are padded, so its length always is a multiple of four.
        0 if length % 4 == 0 => Ok(parvis_peer::stun::HEADER_BYTES + length),
        1 => Ok(CHANNEL_HEADER_BYTES + length.next_multiple_of(4)),
        _ => Err(Broken::NoMessage),
    })
}

#[cfg(test)]
mod tests {
    use parvis_peer::stun::Writer;
    use proptest::prelude::*;

    use super::*;
    use crate::wire::write_channel;

    fn deframe(deframer: &mut Deframer, bytes: &[u8]) -> Result<Vec<Vec<u8>>, Broken> {
        let mut messages = Vec::new();
        deframer.feed(bytes, |message| messages.push(message.to_vec())).map(|()| messages)
    }

    #[test]
    fn what_is_no_message_or_too_large_ends_the_stream() {
        for (bytes, broken) in [
            (&[0x80, 0, 0, 0][..], Broken::NoMessage),
            (b"GET / HTTP/1.1\r\n", Broken::Oversize),
            (&[0, 1, 0, 3], Broken::NoMessage),
            (&[0, 1, 0xff, 0xfc], Broken::Oversize),
            (&[0x40, 0, 0xff, 0xff], Broken::Oversize),
        ] {
            let mut deframer = Deframer::new(2_048);
            assert_eq!(deframe(&mut deframer, bytes), Err(broken), "{bytes:?}");
            assert_eq!(deframe(&mut deframer, &[0x40, 1, 0, 0]), Err(broken));
        }
    }

    proptest! {
        #[test]
        fn messages_come_out_whole_however_the_stream_is_cut(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..8),
            cuts in prop::collection::vec(1usize..200, 1..40),
        ) {
            let messages: Vec<Vec<u8>> = payloads.iter().enumerate().map(|(number, payload)| {
                if number % 2 == 0 {
                    return write_channel(0x4000, payload, true).unwrap();
                }
                let mut writer = Writer::new(0x0016, &[3; 12]);
                writer.attribute(0x0013, payload);
                writer.finish_bare()
            }).collect();
            let wire = messages.concat();
            let mut deframer = Deframer::new(400);
            let (mut rest, mut found) = (&wire[..], Vec::new());
            for cut in cuts.iter().cycle() {
                let (piece, later) = rest.split_at((*cut).min(rest.len()));
                found.extend(deframe(&mut deframer, piece).unwrap());
                rest = later;
                if rest.is_empty() { break; }
            }
            prop_assert_eq!(found, messages);
        }

        #[test]
        fn no_bytes_make_it_hold_more_than_its_limit(bytes in prop::collection::vec(any::<u8>(), 0..5_000)) {
            let mut deframer = Deframer::new(1_000);
            let _ = deframer.feed(&bytes, |message| assert!(message.len() <= 1_000));
            prop_assert!(deframer.partial.len() <= 1_000);
        }
    }
}
