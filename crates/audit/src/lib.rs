// SPDX-License-Identifier: EUPL-1.2
//! The audit log: what is written of acts that matter, and how it is shown later that nothing of it was changed; no I/O.
//!
//! An [`Event`] is what happened. Whoever keeps the log makes it an [`Entry`], in which people stand by pseudonyms, and whose text is
//! the same each time ([`Entry::text`]). Entries are the leaves of a Merkle tree (RFC 6962): [`Frontier`] is as much of it as is needed to
//! add one, [`Tree`] as much as proofs take. A [`Checkpoint`] says what the tree was at a time; it is signed by a [`Signer`] in the form of
//! C2SP's signed notes, and goes to a place that whoever can change the log can't; an outside [`Authority`] may say when that was. [`Check`] reads a log and names the first entry
//! that is not as it was. `docs/audit-format.md` is all of it for others who want to check.
//!
//! **The invariant: what was signed can't be explained by another log.** An entry that is changed, moved, taken out or cut off makes another
//! root than the one in a checkpoint, and no proof fits it.
//!
//! ```
//! use parvis_audit::{Checkpoint, Frontier, Signer, leaf_hash, open_note};
//!
//! let mut log = Frontier::default();
//! for entry in ["first", "second", "third"] {
//!     log.push(leaf_hash(entry.as_bytes()));
//! }
//! let signer = Signer::from_seed("meet.example.eu/audit", &[7; 32])?;
//! let checkpoint = Checkpoint { origin: "meet.example.eu/audit".into(), size: log.size(), root: log.root(), time_ms: 1_800_000_000_000 };
//! let note = signer.sign(&checkpoint.text())?;
//!
//! let text = open_note(&note, &[signer.verifier().clone()])?;
//! assert_eq!(Checkpoint::parse(&text)?, checkpoint);
//! # Ok::<(), parvis_audit::AuditError>(())
//! ```

mod check;
mod checkpoint;
mod entry;
mod error;
mod event;
mod hash;
mod note;
mod proof;
mod stamp;
mod tree;

pub use check::{Beginning, Check, Checked, Flaw, Signed};
pub use checkpoint::{Checkpoint, StampedNote, notes_in, stamped_in, stamped_line};
pub use entry::{Entry, VERSION};
pub use error::AuditError;
pub use event::{Act, Event, Outcome, Sink, Subject, Who};
pub use hash::{Hash, chain_hash, empty_root, from_hex, leaf_hash, node_hash};
pub use note::{Signer, Verifier, open_note};
pub use proof::{verify_consistency, verify_inclusion};
pub use stamp::{Authority, MAX_ANSWER_BYTES, Stamp, StampError, is_answer, stamp_in, stamp_request};
pub use tree::{Frontier, Tree};
