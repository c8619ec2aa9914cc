// SPDX-License-Identifier: EUPL-1.2
//! `cargo xtask dashboards`: writes Grafana's dashboards, `configs/grafana/*.json`, from the tables in [`boards`]. They are
//! kept in the tree, where operators find them; the tests see that they are as written, and that each panel shows something
//! of a real call.

mod boards;
mod json;

use std::path::PathBuf;

use crate::sh::{Result, root};

/// How the values of a panel are shown.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// Lines over time.
    Lines,
    /// One large figure: the last one.
    Figure,
}

/// One thing to see.
pub(crate) struct Panel {
    pub(crate) title: &'static str,
    /// What it says and when to worry, for whoever points at it.
    pub(crate) about: &'static str,
    pub(crate) kind: Kind,
    /// Grafana's name of the unit.
    pub(crate) unit: &'static str,
    /// Expressions, each with the legend of its lines.
    pub(crate) queries: &'static [(&'static str, &'static str)],
}

/// Panels that belong together.
pub(crate) struct Row {
    pub(crate) title: &'static str,
    pub(crate) panels: &'static [Panel],
}

/// One dashboard.
pub(crate) struct Board {
    /// Its file, and the end of its address in Grafana.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) rows: &'static [Row],
}

/// Writes them all.
pub(crate) fn write() -> Result {
    std::fs::create_dir_all(folder())?;
    for board in boards::ALL {
        std::fs::write(file(board), json::text(board)?)?;
    }
    Ok(())
}

fn folder() -> PathBuf {
    root().join("configs/grafana")
}

fn file(board: &Board) -> PathBuf {
    folder().join(format!("{}.json", board.name))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn dashboards_in_the_tree_are_those_of_the_tables() {
        let mut expected = BTreeSet::new();
        for board in boards::ALL {
            let kept = std::fs::read_to_string(file(board)).unwrap_or_default();
            assert!(
                kept == json::text(board).unwrap(),
                "{} is stale: run `cargo xtask dashboards`",
                board.name
            );
            expected.insert(file(board));
        }
        let there = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
        assert_eq!(there.collect::<BTreeSet<_>>(), expected, "files that no table stands for");
    }

    #[test]
    fn every_panel_says_what_it_shows() {
        for panel in boards::ALL.iter().flat_map(|board| board.rows).flat_map(|row| row.panels) {
            assert!(panel.about.ends_with('.') && panel.about.len() > 20, "{}: {}", panel.title, panel.about);
            assert!(!panel.queries.is_empty(), "{}", panel.title);
            for (expression, _) in panel.queries {
                assert!(expression.contains("$instance"), "{}: not of one server: {expression}", panel.title);
            }
        }
    }
}
