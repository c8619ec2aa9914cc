// SPDX-License-Identifier: EUPL-1.2
//! What can be wrong with keys, notes, checkpoints, entries and proofs.

/// Why something is not what it says it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    /// A name that no key can have.
    #[error("\"{0}\" is no name of a key: it takes 1 to 255 letters and marks, without spaces and +")]
    KeyName(String),
    /// A key that can't be read.
    #[error("the key can't be read: {0}")]
    Key(&'static str),
    /// A note that can't be read.
    #[error("it is no signed note: {0}")]
    Note(&'static str),
    /// Nobody signed it whose key is known.
    #[error("it is signed by none of the keys that are known: {0}")]
    Unsigned(String),
    /// The signature is wrong.
    #[error("the signature of {0} is wrong: what was signed is another text")]
    Signature(String),
    /// A checkpoint that can't be read.
    #[error("it is no checkpoint: {0}")]
    Checkpoint(&'static str),
    /// An entry that can't be read.
    #[error("it is no entry of this format: {0}")]
    Entry(String),
    /// A hash or a list of hashes that can't be read.
    #[error("it is no hash: {0}")]
    Hash(String),
    /// There is no such place in the tree, or it is no more.
    #[error("the tree has no such place: {0}")]
    Place(String),
    /// A proof that shows nothing.
    #[error("the proof doesn't lead to the root")]
    Proof,
}
