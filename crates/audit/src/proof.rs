// SPDX-License-Identifier: EUPL-1.2
//! Proofs, checked without the tree (RFC 9162 sections 2.1.3.2 and 2.1.4.2).

use crate::{AuditError, Hash, node_hash};

/// Whether the leaf of that number is in the tree of that size and root.
pub fn verify_inclusion(
    leaf: &Hash,
    number: u64,
    size: u64,
    path: &[Hash],
    root: &Hash,
) -> Result<(), AuditError> {
    if number >= size {
        return Err(AuditError::Proof);
    }
    let (mut node, mut last, mut hash) = (number, size - 1, *leaf);
    for beside in path {
        if last == 0 {
            return Err(AuditError::Proof);
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(beside, &hash);
            while node & 1 == 0 && node != 0 {
                (node, last) = (node >> 1, last >> 1);
            }
        } else {
            hash = node_hash(&hash, beside);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    if last == 0 && hash == *root { Ok(()) } else { Err(AuditError::Proof) }
}

/// Whether the tree of the first size and root begins the one of the second.
pub fn verify_consistency(
    old: u64,
    new: u64,
    path: &[Hash],
    old_root: &Hash,
    new_root: &Hash,
) -> Result<(), AuditError> {
    if old == 0 || old > new {
        return Err(AuditError::Proof);
    }
    if old == new {
        return if path.is_empty() && old_root == new_root { Ok(()) } else { Err(AuditError::Proof) };
    }
    let mut path = path.iter();
    // A tree that is one whole subtree is its own first step.
    let first = if old.is_power_of_two() { Some(old_root) } else { path.next() };
    let first = *first.ok_or(AuditError::Proof)?;
    let shift = (old - 1).trailing_ones();
    let (mut node, mut last) =
        ((old - 1).checked_shr(shift).unwrap_or(0), (new - 1).checked_shr(shift).unwrap_or(0));
    let (mut from_old, mut from_new) = (first, first);
    for beside in path {
        if last == 0 {
            return Err(AuditError::Proof);
        }
        if node & 1 == 1 || node == last {
            from_old = node_hash(beside, &from_old);
            from_new = node_hash(beside, &from_new);
            while node & 1 == 0 && node != 0 {
                (node, last) = (node >> 1, last >> 1);
            }
        } else {
            from_new = node_hash(&from_new, beside);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    if last == 0 && from_old == *old_root && from_new == *new_root { Ok(()) } else { Err(AuditError::Proof) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{Tree, leaf_hash};

    fn tree(count: u64) -> (Tree, Vec<Hash>) {
        let leaves: Vec<Hash> = (0..count).map(|number| leaf_hash(&number.to_be_bytes())).collect();
        let mut tree = Tree::default();
        leaves.iter().for_each(|leaf| tree.push(*leaf));
        (tree, leaves)
    }

    #[test]
    fn a_proof_of_inclusion_shows_one_leaf_at_one_place() {
        let (tree, leaves) = tree(11);
        let root = tree.root_at(11).unwrap();
        let path = tree.inclusion(6, 11).unwrap();
        verify_inclusion(&leaves[6], 6, 11, &path, &root).unwrap();
        assert!(verify_inclusion(&leaves[7], 6, 11, &path, &root).is_err(), "another leaf");
        assert!(verify_inclusion(&leaves[6], 7, 11, &path, &root).is_err(), "another place");
        assert!(verify_inclusion(&leaves[6], 6, 7, &path, &root).is_err(), "another size");
        assert!(verify_inclusion(&leaves[6], 6, 11, &path, &leaves[0]).is_err(), "another root");
        assert!(verify_inclusion(&leaves[6], 6, 11, &path[1..], &root).is_err(), "a shorter way");
        let longer: Vec<Hash> = path.iter().copied().chain([root]).collect();
        assert!(verify_inclusion(&leaves[6], 6, 11, &longer, &root).is_err(), "a longer way");
        assert!(verify_inclusion(&leaves[6], 11, 11, &path, &root).is_err(), "beyond the end");
    }

    #[test]
    fn a_proof_of_consistency_shows_that_one_tree_begins_the_other() {
        let (whole, _) = tree(11);
        let (old, new) = (whole.root_at(6).unwrap(), whole.root_at(11).unwrap());
        let path = whole.consistency(6, 11).unwrap();
        verify_consistency(6, 11, &path, &old, &new).unwrap();
        assert!(verify_consistency(6, 11, &path, &new, &new).is_err(), "another beginning");
        assert!(verify_consistency(6, 11, &path, &old, &old).is_err(), "another end");
        assert!(verify_consistency(5, 11, &path, &old, &new).is_err(), "another size");
        assert!(verify_consistency(6, 11, &path[1..], &old, &new).is_err(), "a shorter proof");
        assert!(verify_consistency(0, 11, &[], &old, &new).is_err());
        assert!(verify_consistency(11, 11, &path, &new, &new).is_err(), "the same tree needs none");
        verify_consistency(11, 11, &[], &new, &new).unwrap();
    }
}
