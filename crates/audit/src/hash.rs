// SPDX-License-Identifier: EUPL-1.2
//! Hashes of the tree (RFC 6962 section 2.1): a leaf can't be taken for a node, nor a node for a leaf.

use aws_lc_rs::digest::{Context, SHA256, digest};

use crate::AuditError;

/// A SHA-256.
pub type Hash = [u8; 32];

/// The hash of an entry, by its text.
pub fn leaf_hash(entry: &[u8]) -> Hash {
    prefixed(0, &[entry])
}

/// The hash of two halves.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    prefixed(1, &[left, right])
}

/// What stands beside each entry: it hangs on all before it, so that the first that was changed can be named.
pub fn chain_hash(before: &Hash, leaf: &Hash) -> Hash {
    prefixed(2, &[before, leaf])
}

/// The root of a tree without leaves.
pub fn empty_root() -> Hash {
    fixed(digest(&SHA256, &[]).as_ref())
}

/// A hash in hexadecimal.
pub fn from_hex(text: &str) -> Result<Hash, AuditError> {
    let bytes = hex::decode(text).map_err(|error| AuditError::Hash(error.to_string()))?;
    bytes.try_into().map_err(|_| AuditError::Hash("it has not 64 hexadecimal digits".to_owned()))
}

fn prefixed(prefix: u8, parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    context.update(&[prefix]);
    for part in parts {
        context.update(part);
    }
    fixed(context.finish().as_ref())
}

/// SHA-256 has 32 bytes.
fn fixed(bytes: &[u8]) -> Hash {
    let mut hash = [0; 32];
    for (to, from) in hash.iter_mut().zip(bytes) {
        *to = *from;
    }
    hash
}
