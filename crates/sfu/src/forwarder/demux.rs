// SPDX-License-Identifier: EUPL-1.2
//! Which peer a datagram is for: by its 5-tuple, which only an integrity-checked STUN request can have
//! registered, or, for STUN itself, by the user name that it bears (RFC 8445 section 7.3).

use parvis_peer::{Path, stun_local_ufrag};
use rustc_hash::FxHashMap;

use crate::PeerId;

#[derive(Debug, Default)]
pub(super) struct Demux {
    paths: FxHashMap<Path, PeerId>,
    ufrags: FxHashMap<String, PeerId>,
}

/// Whose a datagram may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) peer: PeerId,
    /// Whether it came on a path that this peer has proved to be behind. If not, it still has to.
    pub(super) proven: bool,
}

impl Demux {
    /// The peer that a datagram is for. STUN goes by its user name even on a known path: a client that left may
    /// come back from the same port as someone else.
    pub(super) fn peer_of(&self, path: Path, datagram: &[u8]) -> Option<Found> {
        let known = self.paths.get(&path).copied();
        let peer = match stun_local_ufrag(datagram) {
            Some(ufrag) => self.ufrags.get(ufrag).copied().or(known),
            None => known,
        }?;
        Some(Found { peer, proven: known == Some(peer) })
    }

    /// How many paths and user names it knows.
    pub(super) fn len(&self) -> usize {
        self.paths.len() + self.ufrags.len()
    }

    /// The peer proved that it is behind this path.
    pub(super) fn learn(&mut self, path: Path, peer: PeerId) {
        self.paths.insert(path, peer);
    }

    /// This path is nobody's any more; gives whose it was.
    pub(super) fn forget(&mut self, path: Path) -> Option<PeerId> {
        self.paths.remove(&path)
    }

    /// This path is no longer this peer's; if another peer proved to be behind it meanwhile, it stays that one's.
    pub(super) fn forget_of(&mut self, path: Path, peer: PeerId) {
        if self.paths.get(&path) == Some(&peer) {
            self.paths.remove(&path);
        }
    }

    /// The peer is found by this user name from now on.
    pub(super) fn learn_ufrag(&mut self, ufrag: &str, peer: PeerId) {
        self.ufrags.insert(ufrag.to_owned(), peer);
    }

    /// The peer is no longer found by this user name.
    pub(super) fn forget_ufrag(&mut self, ufrag: &str) {
        self.ufrags.remove(ufrag);
    }
}
