// SPDX-License-Identifier: EUPL-1.2
//! That pages lead somewhere: links to files that are there, and in the tables for auditors rows of the list of security tests
//! that are in it, and paths of the tree that exist.

use std::collections::BTreeSet;
use std::path::Path;

use crate::sh::root;

/// Tables for auditors: each claim has to lead to something.
const COMPLIANCE: &str = "docs/compliance/";
/// Paths that they name begin with one of these.
const PLACES: &[&str] = &["crates/", "configs/", "docs/", "systemd/", "tests/", "benches/"];

/// All that is wrong with the pages among `files`; `list` is the list of security tests.
pub(crate) fn problems(files: &[&str], list: &str) -> Vec<String> {
    let rows: BTreeSet<u32> =
        list.lines().filter_map(|line| line.strip_prefix("| ")?.split(' ').next()?.parse().ok()).collect();
    let mut problems = Vec::new();
    for file in files.iter().filter(|file| file.ends_with(".md")) {
        let Ok(text) = std::fs::read_to_string(root().join(file)) else { continue };
        let folder = Path::new(file).parent().unwrap_or(Path::new(""));
        for link in links(&text) {
            if !root().join(folder).join(link).exists() {
                problems.push(format!("{file}: nothing is at {link}"));
            }
        }
        if file.starts_with(COMPLIANCE) {
            for row in named_rows(&text).filter(|row| !rows.contains(row)) {
                problems.push(format!("{file}: the list of security tests has no row {row}"));
            }
            for path in paths(&text).filter(|path| !root().join(path).exists()) {
                problems.push(format!("{file}: there is no {path}"));
            }
        }
    }
    problems
}

/// Where links lead within the tree, without the place on their page.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| {
        let link = rest.split([')', ' ']).next()?.split('#').next()?;
        (!link.is_empty() && !link.contains(':') && !link.contains('`')).then_some(link)
    })
}

/// The numbers of "row 5", "rows 6, 7, 19 to 29 and 31": the ends of what goes from one to another, too.
fn named_rows(text: &str) -> impl Iterator<Item = u32> {
    text.split(" row").skip(1).chain(text.strip_prefix("row")).flat_map(|rest| {
        let rest = rest.strip_prefix('s').unwrap_or(rest);
        let words = rest.split([' ', ',']).filter(|word| !word.is_empty() && !matches!(*word, "to" | "and"));
        words.map_while(|word| word.trim_end_matches([';', '.', ')']).parse().ok())
    })
}

/// Code that looks like a path of ours.
fn paths(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2).filter(|code| PLACES.iter().any(|place| code.starts_with(place)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_rows_and_paths_are_found() {
        let text = "see [a](b/c.md#there), [b](https://example.eu), ![c](d.png) | rows 6, 7, 19 to 29; row 31 | `crates/a` `x`";
        assert_eq!(links(text).collect::<Vec<_>>(), ["b/c.md", "d.png"]);
        assert_eq!(named_rows(text).collect::<Vec<_>>(), [6, 7, 19, 29, 31]);
        assert_eq!(paths(text).collect::<Vec<_>>(), ["crates/a"]);
    }

    #[test]
    fn a_page_that_leads_nowhere_is_told() {
        // Rows that no list has; the pages themselves are those of the tree.
        let files = ["docs/compliance/asvs-v17.md"];
        assert!(problems(&files, "").iter().any(|problem| problem.contains("no row 1")));
    }
}
