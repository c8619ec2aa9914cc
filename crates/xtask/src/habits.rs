// SPDX-License-Identifier: EUPL-1.2
//! What every file of ours opens with, that the list of security tests names tests that exist, and that pages lead somewhere.

use std::collections::BTreeSet;
use std::path::Path;

use crate::pages;
use crate::sh::{Error, Result, process, root, say};

/// Which files say under which licence they are. Others can't (JSON), or are other people's (lock files, recordings).
const SOURCES: &[&str] = &["rs", "ts", "js", "jsx", "mjs", "svelte", "py", "css", "html", "sh", "toml"];
/// Within so many lines: a doctype or an interpreter may come first.
const HEAD: usize = 5;
const TAG: &str = "SPDX-License-Identifier: EUPL-1.2";
/// The list of security tests.
const LIST: &str = "docs/security-tests.md";

/// Checks the whole tree, and tells all that is wrong with it at once.
pub(crate) fn run() -> Result {
    let listed = process("git", ["ls-files"]).output().ok_or_else(|| Error::new("git lists no files"))?;
    let files: Vec<&str> = listed.lines().collect();
    let mut problems = Vec::new();
    let mut names = BTreeSet::new();
    for file in &files {
        let extension = Path::new(file).extension().and_then(|extension| extension.to_str()).unwrap_or("");
        if !SOURCES.contains(&extension) {
            continue;
        }
        // One that git lists may be deleted in the working tree.
        let Ok(text) = std::fs::read_to_string(root().join(file)) else { continue };
        if !text.lines().take(HEAD).any(|line| line.contains(TAG)) {
            problems.push(format!("{file}: no {TAG:?} in its first {HEAD} lines"));
        }
        if file.starts_with("crates/") && file.ends_with("/src/lib.rs") {
            problems.extend(front_page(&text).map(|what| format!("{file}: {what}")));
        }
        if !file.starts_with("crates/xtask/") {
            names.extend(tests_by_row(&text).map(str::to_owned));
        }
    }
    let list = std::fs::read_to_string(root().join(LIST)).unwrap_or_default();
    for missing in names.iter().filter(|name| !list.contains(name.as_str())) {
        // A new test is no fault; it only is not told of yet.
        say(&format!("{LIST} does not name the test {missing} yet"));
    }
    for gone in quoted(&list).filter(|name| !names.contains(*name)) {
        problems.push(format!("{LIST}: there is no test {gone}"));
    }
    problems.extend(pages::problems(&files, &list));
    if problems.is_empty() { Ok(()) } else { Err(Error::new(problems.join("\n"))) }
}

/// A crate opens with what it is, its one invariant, and an example that compiles.
fn front_page(text: &str) -> Option<&'static str> {
    let page: Vec<&str> = text.lines().filter(|line| line.starts_with("//!")).collect();
    if !page.iter().any(|line| line.to_lowercase().contains("invariant")) {
        return Some("its front page states no invariant");
    }
    (!page.contains(&"//! ```")).then_some("its front page has no example")
}

/// The tests of a file that bear a row's number, by their definitions.
fn tests_by_row(text: &str) -> impl Iterator<Item = &str> {
    let definitions = text.split("fn ").skip(1).filter(|rest| rest.starts_with("row_"));
    definitions.map(|rest| rest.split(|letter: char| !is_name(letter)).next().unwrap_or_default())
}

/// The tests that the list names.
fn quoted(list: &str) -> impl Iterator<Item = &str> {
    list.split('`').skip(1).step_by(2).filter(|code| code.starts_with("row_") && code.chars().all(is_name))
}

fn is_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_by_number_are_found_in_code_and_in_the_list() {
        let code = "    async fn row_28_a_bomb() {}\nfn other() {}\nfn row_01_x(a: u8) {}";
        assert_eq!(tests_by_row(code).collect::<Vec<_>>(), ["row_28_a_bomb", "row_01_x"]);
        let list = "| 28 | a bomb | `row_28_a_bomb` (`crates/a/src/b.rs`) |";
        assert_eq!(quoted(list).collect::<Vec<_>>(), ["row_28_a_bomb"]);
    }

    #[test]
    fn a_front_page_without_invariant_or_example_is_told() {
        assert_eq!(front_page("//! A crate.\n"), Some("its front page states no invariant"));
        assert_eq!(front_page("//! The invariant: none.\n"), Some("its front page has no example"));
        assert_eq!(front_page("//! The invariant: none.\n//! ```\n//! ```\n"), None);
    }
}
