// SPDX-License-Identifier: EUPL-1.2
//! What a worker and its server tell each other.

use parvis_jobs::frame::{Decoder, LENGTH_BYTES, encode};
use parvis_jobs::{Limits, ToServer, ToWorker};

/// Bytes of the stream, in both directions: what was read and is written reads the same again, and no more is held than
/// the bound.
pub fn message(data: &[u8]) {
    let limits = Limits { frame_bytes: 4096 };
    let (mut down, mut up) = (Decoder::new(limits), Decoder::new(limits));
    for piece in data.chunks(97) {
        let (Ok(()), Ok(())) = (down.push(piece), up.push(piece)) else { return };
        while let Ok(Some(message)) = down.next::<ToWorker>() {
            again(&message);
        }
        while let Ok(Some(message)) = up.next::<ToServer>() {
            again(&message);
        }
        assert!(down.waiting() <= 2 * (limits.frame_bytes + LENGTH_BYTES));
    }
}

fn again<T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug>(message: &T) {
    let limits = Limits::default();
    let mut wire = Vec::new();
    encode(message, limits, &mut wire).expect("what was read is written");
    let mut decoder = Decoder::new(limits);
    decoder.push(&wire).expect("it is within the bounds");
    assert_eq!(decoder.next::<T>().expect("it reads again").as_ref(), Some(message));
}
