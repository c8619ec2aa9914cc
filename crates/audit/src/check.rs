// SPDX-License-Identifier: EUPL-1.2
//! Reads a log from its beginning to its end, beside what was signed of it, and names the first entry that is not as it was.
//!
//! Three things stand against whoever changes it. An entry says its own number. Beside each stands a hash that hangs on all before it
//! ([`chain_hash`]): who changes one and not all that follow is found at that entry. And who makes all hashes anew has other roots than
//! those that were signed: then what is named is the part between two checkpoints.

use crate::{Act, AuditError, Checkpoint, Entry, Frontier, Hash, chain_hash, leaf_hash};

/// Where a log begins that is not whole any more: what is kept of all before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Beginning {
    /// The subtrees over what is pruned.
    pub frontier: Frontier,
    /// The chain's hash of the last entry that is pruned.
    pub chain: Hash,
}

/// A checkpoint whose signature holds, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// What was signed.
    pub checkpoint: Checkpoint,
    /// The place, for people: a file's name and line.
    pub place: String,
}

/// What is not as it was. Numbers of entries begin at 0.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// An entry is not there.
    #[error("entry {number} is missing{}", next.map(|next| format!(": after it comes {next}")).unwrap_or_default())]
    Missing {
        /// Which.
        number: u64,
        /// The next that is there.
        next: Option<u64>,
    },
    /// Another entry stands at its place.
    #[error("entry {number} is not at its place: the one that was number {says} stands there")]
    Moved {
        /// At which place.
        number: u64,
        /// Which one stands there.
        says: u64,
    },
    /// It is not what was written.
    #[error("entry {number} was changed: it doesn't fit the hash beside it")]
    Changed {
        /// Which.
        number: u64,
    },
    /// It is no entry, though the hashes fit.
    #[error("entry {number} can't be read: {problem}")]
    Unreadable {
        /// Which.
        number: u64,
        /// Why.
        problem: AuditError,
    },
    /// They fit each other, but not what was signed.
    #[error(
        "entries {from} to {to} are not those that were signed ({place}): at least one of them was changed, and all hashes made anew"
    )]
    Rewritten {
        /// The first of which that may be so.
        from: u64,
        /// The last.
        to: u64,
        /// Which checkpoint says so.
        place: String,
    },
    /// The end is gone.
    #[error("entries {from} to {to} are cut off: the log ends before, and they were signed ({place})")]
    Cut {
        /// The first that is gone.
        from: u64,
        /// The last that is known of.
        to: u64,
        /// Which checkpoint says so.
        place: String,
    },
    /// The beginning is gone, and nothing says why.
    #[error("entries 0 to {to} are gone, and no entry says that they were pruned")]
    Unsaid {
        /// The last that is gone.
        to: u64,
    },
    /// What is kept of the beginning is not what was signed.
    #[error("what is kept of entries 0 to {to}, which were pruned, is not what was signed ({place})")]
    Beginning {
        /// The last of them.
        to: u64,
        /// Which checkpoint says so.
        place: String,
    },
    /// There are more than the log knows of.
    #[error("entry {number} is none of the log's, which ends before it")]
    Extra {
        /// The first.
        number: u64,
    },
}

/// What a log was found to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The first entry that is there; those before are pruned.
    pub first: u64,
    /// How many there are, those that are pruned included.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
    /// Checkpoints that fit.
    pub signed: usize,
    /// Checkpoints of a time before the first entry that is there: of those nothing can be said any more.
    pub before: usize,
    /// Entries at the end that no checkpoint covers yet.
    pub unsigned: u64,
}

/// A log that is being read.
#[derive(Debug)]
pub struct Check {
    frontier: Frontier,
    chain: Hash,
    first: u64,
    /// By size.
    signed: Vec<Signed>,
    next: usize,
    before: usize,
    /// The size of the last checkpoint that fitted.
    last: u64,
    /// Up to where an entry says that it was pruned.
    said: u64,
}

impl Check {
    /// Begins a log that begins so, beside what was signed of it.
    pub fn new(beginning: Beginning, mut signed: Vec<Signed>) -> Result<Check, Flaw> {
        let Beginning { frontier, chain } = beginning;
        let first = frontier.size();
        signed.sort_by_key(|signed| signed.checkpoint.size);
        let before = signed.partition_point(|signed| signed.checkpoint.size < first);
        let mut check = Check { frontier, chain, first, signed, next: before, before, last: first, said: 0 };
        if let Err(Flaw::Rewritten { place, .. }) = check.compare() {
            return Err(Flaw::Beginning { to: first.saturating_sub(1), place });
        }
        Ok(check)
    }

    /// The number of the entry that comes next.
    pub fn next_number(&self) -> u64 {
        self.frontier.size()
    }

    /// The next entry: the number under which it is kept, its line, and the hash beside it.
    pub fn entry(&mut self, number: u64, text: &str, chain: &str) -> Result<(), Flaw> {
        let expected = self.frontier.size();
        if number != expected {
            return Err(Flaw::Missing { number: expected, next: Some(number) });
        }
        let leaf = leaf_hash(text.as_bytes());
        let (linked, entry) = (chain_hash(&self.chain, &leaf), Entry::parse(text));
        if let Ok(Entry { n, .. }) = entry
            && n != number
        {
            return Err(Flaw::Moved { number, says: n });
        }
        if hex::encode(linked) != chain {
            return Err(Flaw::Changed { number });
        }
        let entry = entry.map_err(|problem| Flaw::Unreadable { number, problem })?;
        if entry.act == Act::LogPrune.as_str() {
            self.said = self.said.max(entry.count.unwrap_or_default());
        }
        self.frontier.push(leaf);
        self.chain = linked;
        self.compare()
    }

    /// The log is at its end, which it says to have so many entries.
    pub fn end(self, size: u64) -> Result<Checked, Flaw> {
        let found = self.frontier.size();
        if let Some(signed) = self.signed.get(self.next..).and_then(|left| left.last()) {
            let (to, place) = (signed.checkpoint.size.saturating_sub(1), signed.place.clone());
            return Err(Flaw::Cut { from: found, to, place });
        }
        if found < size {
            return Err(Flaw::Missing { number: found, next: None });
        }
        if found > size {
            return Err(Flaw::Extra { number: size });
        }
        if self.said < self.first {
            return Err(Flaw::Unsaid { to: self.first - 1 });
        }
        Ok(Checked {
            first: self.first,
            size,
            root: self.frontier.root(),
            signed: self.next - self.before,
            before: self.before,
            unsigned: size - self.last,
        })
    }

    /// Holds the tree against all that was signed of this size.
    fn compare(&mut self) -> Result<(), Flaw> {
        let size = self.frontier.size();
        while let Some(signed) = self.signed.get(self.next).filter(|signed| signed.checkpoint.size == size) {
            if signed.checkpoint.root != self.frontier.root() {
                let (from, to) = (self.last.min(size.saturating_sub(1)), size.saturating_sub(1));
                return Err(Flaw::Rewritten { from, to, place: signed.place.clone() });
            }
            self.next += 1;
            self.last = size;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{Event, Who};

    /// A row as a database has it.
    #[derive(Debug, Clone)]
    struct Row(u64, String, String);

    fn text(number: u64, act: Act, count: Option<u64>) -> String {
        let event = Event { time_ms: 1_800_000_000_000, count, ..Event::new("default", act, Who::Server) };
        Entry::of(&event, number, "server".into(), String::new(), String::new()).text().unwrap()
    }

    /// Rows that fit each other.
    fn chained(texts: impl IntoIterator<Item = String>) -> Vec<Row> {
        let mut chain = Hash::default();
        let link = |(number, text): (usize, String)| {
            chain = chain_hash(&chain, &Entry::leaf(&text));
            Row(number as u64, text, hex::encode(chain))
        };
        texts.into_iter().enumerate().map(link).collect()
    }

    fn log(count: u64) -> Vec<Row> {
        chained((0..count).map(|number| text(number, Act::Call, None)))
    }

    fn signed(rows: &[Row], size: u64) -> Signed {
        let mut frontier = Frontier::default();
        rows.iter().take(size as usize).for_each(|row| frontier.push(Entry::leaf(&row.1)));
        let checkpoint = Checkpoint { origin: "a".into(), size, root: frontier.root(), time_ms: 0 };
        Signed { checkpoint, place: format!("at {size}") }
    }

    fn check(rows: &[Row], size: u64, signed: Vec<Signed>) -> Result<Checked, Flaw> {
        let mut check = Check::new(Beginning::default(), signed)?;
        for Row(number, text, chain) in rows {
            check.entry(*number, text, chain)?;
        }
        check.end(size)
    }

    #[test]
    fn a_whole_log_is_found_whole() {
        let rows = log(10);
        let checked = check(&rows, 10, vec![signed(&rows, 7), signed(&rows, 4), signed(&rows, 7)]).unwrap();
        assert_eq!((checked.first, checked.size, checked.signed, checked.unsigned), (0, 10, 3, 3));
        assert_eq!(checked.root, signed(&rows, 10).checkpoint.root);
        assert_eq!(check(&[], 0, Vec::new()).unwrap().size, 0);
    }

    #[test]
    fn the_first_entry_that_is_not_as_it_was_is_named() {
        let rows = log(10);
        let signed = vec![signed(&rows, 4), signed(&rows, 8)];
        let found = |rows: &[Row], size| check(rows, size, signed.clone()).unwrap_err();
        // Changed: its text, or the hash beside it.
        let mut changed = rows.clone();
        changed[5].1 = changed[5].1.replace("call", "ban");
        assert_eq!(found(&changed, 10), Flaw::Changed { number: 5 });
        let mut changed = rows.clone();
        changed[5].2 = changed[4].2.clone();
        assert_eq!(found(&changed, 10), Flaw::Changed { number: 5 });
        // Taken out, and with the rest moved up.
        let mut without = rows.clone();
        without.remove(5);
        assert_eq!(found(&without, 10), Flaw::Missing { number: 5, next: Some(6) });
        without.iter_mut().enumerate().for_each(|(at, row)| row.0 = at as u64);
        assert_eq!(found(&without, 9), Flaw::Moved { number: 5, says: 6 });
        // Two in each other's place.
        let mut moved = rows.clone();
        moved.swap(2, 3);
        (moved[2].0, moved[3].0) = (2, 3);
        assert_eq!(found(&moved, 10), Flaw::Moved { number: 2, says: 3 });
        // All hashes made anew by whoever can't sign.
        let texts = rows.iter().map(|row| if row.0 == 5 { text(5, Act::Ban, None) } else { row.1.clone() });
        let rewritten = chained(texts);
        assert_eq!(found(&rewritten, 10), Flaw::Rewritten { from: 4, to: 7, place: "at 8".into() });
        // The end cut off, whatever the log says of its size.
        let cut = Flaw::Cut { from: 6, to: 7, place: "at 8".into() };
        assert_eq!(found(&rows[..6], 6), cut);
        assert_eq!(found(&rows[..6], 10), cut);
        // What no checkpoint covers is missed only by the log's own word.
        assert_eq!(found(&rows[..9], 10), Flaw::Missing { number: 9, next: None });
        assert_eq!(found(&rows, 9), Flaw::Extra { number: 9 });
        // What is no entry, by whoever made the hashes anew.
        let texts = rows.iter().map(|row| if row.0 == 9 { "{}".to_owned() } else { row.1.clone() });
        assert!(matches!(found(&chained(texts), 10), Flaw::Unreadable { number: 9, .. }));
    }

    #[test]
    fn a_beginning_that_is_gone_must_be_said_and_signed() {
        let texts = (0..10).map(|number| match number {
            8 => text(8, Act::LogPrune, Some(6)),
            _ => text(number, Act::Call, None),
        });
        let rows = chained(texts);
        let after = |pruned: usize, signed: Vec<Signed>, rows: &[Row]| {
            let mut frontier = Frontier::default();
            rows.iter().take(pruned).for_each(|row| frontier.push(Entry::leaf(&row.1)));
            let chain = crate::from_hex(&rows[pruned - 1].2).unwrap();
            let mut check = Check::new(Beginning { frontier, chain }, signed)?;
            for Row(number, text, chain) in rows.iter().skip(pruned) {
                check.entry(*number, text, chain)?;
            }
            check.end(10)
        };
        let all = || vec![signed(&rows, 3), signed(&rows, 6), signed(&rows, 9)];
        let checked = after(6, all(), &rows).unwrap();
        assert_eq!(
            (checked.first, checked.size, checked.signed, checked.before, checked.unsigned),
            (6, 10, 2, 1, 1)
        );
        assert_eq!(after(7, all(), &rows).unwrap_err(), Flaw::Unsaid { to: 6 }, "more is gone than was said");
        let other = log(10);
        let flaw = after(6, vec![signed(&other, 6)], &rows);
        assert!(flaw.is_ok(), "the first six are the same");
        let forged = Signed { place: "at 6".into(), ..signed(&rows, 5) };
        let forged = Signed { checkpoint: Checkpoint { size: 6, ..forged.checkpoint.clone() }, ..forged };
        assert_eq!(
            after(6, vec![forged], &rows).unwrap_err(),
            Flaw::Beginning { to: 5, place: "at 6".into() }
        );
    }
}
