// SPDX-License-Identifier: EUPL-1.2
//! `[process]`: what the server's process gives up by itself.

use serde::{Deserialize, Serialize};

/// What it gives up.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Process {
    pub(crate) confine: Confine,
}

/// What to do where the kernel can't confine it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Confine {
    /// Refuse to start.
    Required,
    /// Start with what there is, and say what is missing.
    #[default]
    Available,
    /// Give up nothing.
    Off,
}
