// SPDX-License-Identifier: EUPL-1.2
//! The Merkle tree over all entries (RFC 6962 section 2.1). [`Frontier`] holds the roots of its whole subtrees, of which there are as many
//! as the size has bits: enough to add a leaf and to say the root. [`Tree`] holds a hash for each node, for proofs, from an entry on before
//! which only a frontier is kept: what was before is pruned, and proofs of all that comes after still are had.

use crate::{AuditError, Hash, empty_root, from_hex, node_hash};

/// The roots of the whole subtrees of a tree, the largest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    nodes: Vec<Hash>,
}

impl Frontier {
    /// How many leaves there are.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf.
    pub fn push(&mut self, leaf: Hash) {
        let mut node = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.nodes.pop() {
                node = node_hash(&left, &node);
            }
        }
        self.nodes.push(node);
        self.size += 1;
    }

    /// The root of the tree.
    pub fn root(&self) -> Hash {
        let joined = self.nodes.iter().rev().copied().reduce(|right, left| node_hash(&left, &right));
        joined.unwrap_or_else(empty_root)
    }

    /// As it is kept: the hashes in hexadecimal, one beside the other.
    pub fn to_text(&self) -> String {
        self.nodes.iter().map(hex::encode).collect::<Vec<_>>().join(" ")
    }

    /// As it was kept, for a tree of that size.
    pub fn parse(size: u64, text: &str) -> Result<Frontier, AuditError> {
        let nodes = text.split_whitespace().map(from_hex).collect::<Result<Vec<_>, _>>()?;
        let needed = size.count_ones();
        if u32::try_from(nodes.len()) != Ok(needed) {
            let found = nodes.len();
            return Err(AuditError::Hash(format!(
                "a tree of {size} leaves has {needed} subtrees, not {found}"
            )));
        }
        Ok(Frontier { size, nodes })
    }
}

/// All nodes from a leaf on, and the frontier before it.
#[derive(Debug, Clone)]
pub struct Tree {
    start: u64,
    size: u64,
    /// Of each height, the number of its first node that is held, and the nodes from there.
    levels: Vec<(u64, Vec<Hash>)>,
}

impl Default for Tree {
    fn default() -> Self {
        Tree::after(&Frontier::default())
    }
}

impl Tree {
    /// A tree of which what is before is only a frontier.
    pub fn after(frontier: &Frontier) -> Tree {
        let (start, mut nodes) = (frontier.size, frontier.nodes.iter().rev());
        let mut levels = Vec::new();
        for height in 0..u64::BITS {
            let above = start.checked_shr(height).unwrap_or_default();
            if above == 0 {
                break;
            }
            // Where the bit is set, the frontier has a node of this height: the one before all that is still to come.
            levels.push(match above & 1 {
                1 => (above - 1, nodes.next().copied().into_iter().collect()),
                _ => (above, Vec::new()),
            });
        }
        Tree { start, size: start, levels }
    }

    /// How many leaves there are.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf.
    pub fn push(&mut self, leaf: Hash) {
        let (mut node, mut number) = (leaf, self.size);
        self.size += 1;
        for height in 0..u64::BITS as usize {
            if self.levels.len() <= height {
                self.levels.push((0, Vec::new()));
            }
            let Some((first, nodes)) = self.levels.get_mut(height) else { return };
            nodes.push(node);
            if number & 1 == 0 {
                return;
            }
            // Its left neighbour is there: it is not before the frontier's last of this height.
            let at = usize::try_from(number - 1 - *first).ok();
            let Some(left) = at.and_then(|at| nodes.get(at)) else { return };
            node = node_hash(left, &node);
            number >>= 1;
        }
    }

    /// The root that the tree had when it had so many leaves.
    pub fn root_at(&self, size: u64) -> Result<Hash, AuditError> {
        self.check(size)?;
        self.range(0, size)
    }

    /// The way from a leaf to the root of the tree of that size (RFC 6962 section 2.1.1).
    pub fn inclusion(&self, leaf: u64, size: u64) -> Result<Vec<Hash>, AuditError> {
        self.check(size)?;
        if leaf >= size || leaf < self.start {
            return Err(AuditError::Place(format!("entry {leaf} of {} to {size}", self.start)));
        }
        let (mut from, mut to, mut path) = (0, size, Vec::new());
        while to - from > 1 {
            let middle = from + split(to - from);
            if leaf < middle {
                path.push(self.range(middle, to)?);
                to = middle;
            } else {
                path.push(self.range(from, middle)?);
                from = middle;
            }
        }
        path.reverse();
        Ok(path)
    }

    /// What shows that the tree of the first size begins the one of the second (RFC 6962 section 2.1.2).
    pub fn consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, AuditError> {
        self.check(new)?;
        if old == 0 || old > new || old < self.start {
            return Err(AuditError::Place(format!("a proof from {old} to {new}")));
        }
        let (mut from, mut to, mut known, mut path) = (0, new, true, Vec::new());
        while to != old {
            let middle = from + split(to - from);
            if old <= middle {
                path.push(self.range(middle, to)?);
                to = middle;
            } else {
                path.push(self.range(from, middle)?);
                (from, known) = (middle, false);
            }
        }
        if !known {
            path.push(self.range(from, to)?);
        }
        path.reverse();
        Ok(path)
    }

    fn check(&self, size: u64) -> Result<(), AuditError> {
        if size > self.size || size < self.start {
            return Err(AuditError::Place(format!(
                "a tree of {size} leaves, of {} to {}",
                self.start, self.size
            )));
        }
        Ok(())
    }

    /// The hash of a part that begins where a subtree of its size does.
    fn range(&self, from: u64, to: u64) -> Result<Hash, AuditError> {
        let length = to - from;
        if length == 0 {
            return Ok(empty_root());
        }
        if length.is_power_of_two() && from.is_multiple_of(length) {
            let height = length.trailing_zeros();
            return self.node(height, from >> height);
        }
        let middle = from + split(length);
        Ok(node_hash(&self.range(from, middle)?, &self.range(middle, to)?))
    }

    fn node(&self, height: u32, number: u64) -> Result<Hash, AuditError> {
        let level = usize::try_from(height).ok().and_then(|height| self.levels.get(height));
        let found =
            level.and_then(|(first, nodes)| nodes.get(usize::try_from(number.checked_sub(*first)?).ok()?));
        found.copied().ok_or_else(|| AuditError::Place(format!("node {number} of height {height}")))
    }
}

/// The largest power of two that is less than this, which is at least 2.
fn split(length: u64) -> u64 {
    1 << (length - 1).ilog2()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;
    use crate::{leaf_hash, verify_consistency, verify_inclusion};

    /// The leaves with which the reference implementation of certificate transparency tests itself.
    const LEAVES: [&str; 8] =
        ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
    /// The roots of their first one, two, three …
    const ROOTS: [&str; 8] = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    const A: &str = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7";
    const B: &str = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e";
    const C: &str = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4";
    const D: &str = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b";
    const E: &str = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0";
    const F: &str = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a";
    const G: &str = "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f";

    fn leaves() -> Vec<Hash> {
        LEAVES.iter().map(|leaf| leaf_hash(&hex::decode(leaf).unwrap())).collect()
    }

    fn tree_of(leaves: &[Hash]) -> Tree {
        let mut tree = Tree::default();
        leaves.iter().for_each(|leaf| tree.push(*leaf));
        tree
    }

    fn in_hex(path: Vec<Hash>) -> Vec<String> {
        path.iter().map(hex::encode).collect()
    }

    #[test]
    fn roots_are_those_that_were_published() {
        let (mut frontier, tree) = (Frontier::default(), tree_of(&leaves()));
        let nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(hex::encode(frontier.root()), nothing);
        assert_eq!(hex::encode(tree.root_at(0).unwrap()), nothing);
        for (at, leaf) in leaves().into_iter().enumerate() {
            frontier.push(leaf);
            assert_eq!(hex::encode(frontier.root()), ROOTS[at]);
            assert_eq!(hex::encode(tree.root_at(at as u64 + 1).unwrap()), ROOTS[at]);
            assert_eq!(Frontier::parse(frontier.size(), &frontier.to_text()).unwrap(), frontier);
        }
        assert!(Frontier::parse(7, &frontier.to_text()).is_err(), "a frontier of another size");
    }

    #[test]
    fn proofs_are_those_that_were_published() {
        let tree = tree_of(&leaves());
        let inclusion = |leaf, size| in_hex(tree.inclusion(leaf, size).unwrap());
        assert_eq!(inclusion(0, 1), Vec::<String>::new());
        assert_eq!(inclusion(0, 8), [A, B, C]);
        assert_eq!(inclusion(5, 8), [D, E, ROOTS[3]]);
        assert_eq!(inclusion(2, 3), [ROOTS[1]]);
        assert_eq!(inclusion(1, 5), [ROOTS[0], B, D]);
        let consistency = |old, new| in_hex(tree.consistency(old, new).unwrap());
        assert_eq!(consistency(1, 1), Vec::<String>::new());
        assert_eq!(consistency(1, 8), [A, B, C]);
        assert_eq!(consistency(6, 8), [F, E, ROOTS[3]]);
        assert_eq!(consistency(2, 5), [B, D]);
        assert_eq!(consistency(6, 7), [F, G, ROOTS[3]]);
    }

    #[test]
    fn what_is_not_there_has_no_proof() {
        let tree = tree_of(&leaves());
        assert!(tree.inclusion(8, 8).is_err());
        assert!(tree.inclusion(0, 9).is_err());
        assert!(tree.consistency(0, 8).is_err());
        assert!(tree.consistency(5, 4).is_err());
        assert!(tree.root_at(9).is_err());
    }

    proptest! {
        /// Whatever is pruned, roots and proofs of all that comes after are the same, and hold.
        #[test]
        fn a_pruned_tree_says_the_same_of_what_is_left(count in 1u64..70, pruned in 0u64..70) {
            let pruned = pruned.min(count - 1);
            let all: Vec<Hash> = (0..count).map(|number| leaf_hash(&number.to_be_bytes())).collect();
            let whole = tree_of(&all);
            let mut frontier = Frontier::default();
            all.iter().take(pruned as usize).for_each(|leaf| frontier.push(*leaf));
            let mut rest = Tree::after(&frontier);
            all.iter().skip(pruned as usize).for_each(|leaf| rest.push(*leaf));
            for size in pruned.max(1)..=count {
                let root = whole.root_at(size).unwrap();
                prop_assert_eq!(rest.root_at(size).unwrap(), root);
                for leaf in pruned..size {
                    let path = rest.inclusion(leaf, size).unwrap();
                    prop_assert_eq!(&path, &whole.inclusion(leaf, size).unwrap());
                    verify_inclusion(&all[leaf as usize], leaf, size, &path, &root).unwrap();
                }
                for old in pruned.max(1)..=size {
                    let path = rest.consistency(old, size).unwrap();
                    prop_assert_eq!(&path, &whole.consistency(old, size).unwrap());
                    verify_consistency(old, size, &path, &whole.root_at(old).unwrap(), &root).unwrap();
                }
            }
        }
    }
}
