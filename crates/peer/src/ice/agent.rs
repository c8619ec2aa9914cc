// SPDX-License-Identifier: EUPL-1.2
//! Which paths are the peer's, and which of them we send on.
//!
//! A path becomes the peer's by an authentic Binding request alone, never by media or DTLS (RFC 8445 section 7.3;
//! "RTP Bleed" is what happens otherwise), and stays the peer's as long as such requests keep coming (RFC 7675: a
//! full agent's own checks are what a lite agent has for consent).
//!
//! What is sent goes to the path that the peer nominated last. Before that, to the newest: Chromium nominates 60 ms
//! after its ClientHello, and would wait as long for our answer. When the nominated path has been silent and another
//! is alive, as after a NAT's rebinding, the other takes its place without waiting for a nomination.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use rand_chacha::ChaCha20Rng;

use super::{
    credentials::Credentials,
    stun::{BINDING_REQUEST, Message},
};
use crate::{DropReason, Path};

/// How long the sending path may say nothing authentic before another path that speaks takes its place, when the peer
/// nominated it only once, as Firefox does. Its checks come every four to five seconds and on one path alone, so that
/// a check from elsewhere means a rebinding; the second is for what was still under way.
const SILENCE: Duration = Duration::from_secs(1);
/// The same for a peer that nominates anew with each check, as Chromium does every 2.7 seconds. It tells where to
/// send, and checks other paths too: two of its checks must be missing before we guess.
const SILENCE_OF_RENOMINATING: Duration = Duration::from_secs(6);

/// RFC 8489 section 14.8.
const UNKNOWN_ATTRIBUTE: u16 = 420;
/// RFC 8445 section 7.3.1.1.
const ROLE_CONFLICT: u16 = 487;

/// Bounds of an [`Agent`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// How many paths a peer may hold; the one that was silent longest makes room.
    pub(crate) max_paths: usize,
    /// How long a path lives without an authentic request.
    pub(crate) consent: Duration,
    /// [`crate::PeerConfig::ufrag_tag`].
    pub(crate) ufrag_tag: Option<u16>,
}

/// What an agent tells its peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AgentEvent {
    /// A path is the peer's.
    Validated(Path),
    /// It no longer is.
    Removed(Path),
    /// The last path went away.
    Disconnected,
    /// The first came back.
    Resumed,
}

/// What an agent counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct AgentStats {
    pub(crate) requests: u64,
    pub(crate) role_conflicts: u64,
    pub(crate) paths_evicted: u64,
}

#[derive(Debug)]
pub(crate) struct Agent {
    settings: Settings,
    current: Credentials,
    /// During a restart: the credentials of before, good until a check with the new ones comes (RFC 8445 section 9).
    former: Option<Credentials>,
    /// Whether an authentic request with `current` has come.
    current_proved: bool,
    paths: Vec<PathState>,
    selected: Option<Path>,
    /// All paths went away, and none has come back.
    disconnected: bool,
    events: VecDeque<AgentEvent>,
    stats: AgentStats,
}

#[derive(Debug)]
struct PathState {
    path: Path,
    /// The last authentic request: consent.
    requested: Instant,
    /// The last authentic packet of any kind.
    heard: Instant,
    /// How often the peer nominated it since it last nominated another.
    nominations: u32,
}

impl Agent {
    pub(crate) fn new(settings: Settings, random: &mut ChaCha20Rng) -> Agent {
        Agent {
            settings,
            current: Credentials::generate(random, settings.ufrag_tag),
            former: None,
            current_proved: false,
            paths: Vec::new(),
            selected: None,
            disconnected: false,
            events: VecDeque::new(),
            stats: AgentStats::default(),
        }
    }

    pub(crate) fn credentials(&self) -> &Credentials {
        &self.current
    }

    /// The user fragments by which checks may find this agent: the current one, and during a restart the former.
    pub(crate) fn ufrags(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.current).chain(&self.former).map(|credentials| credentials.ufrag.as_str())
    }

    /// Where to send.
    pub(crate) fn send_path(&self) -> Option<Path> {
        self.selected
    }

    pub(crate) fn stats(&self) -> AgentStats {
        self.stats
    }

    pub(crate) fn poll_event(&mut self) -> Option<AgentEvent> {
        self.events.pop_front()
    }

    /// Takes fresh credentials. The paths stay, and the former credentials hold until the new ones were used.
    pub(crate) fn restart(&mut self, random: &mut ChaCha20Rng) {
        let before =
            std::mem::replace(&mut self.current, Credentials::generate(random, self.settings.ufrag_tag));
        if self.current_proved {
            self.former = Some(before);
            self.current_proved = false;
        } else if self.former.is_none() {
            // Nothing was proved yet; a check with them may still be on its way.
            self.former = Some(before);
        }
    }

    /// Takes a restart back that the peer didn't go along with.
    pub(crate) fn undo_restart(&mut self) {
        if let Some(former) = self.former.take() {
            self.current = former;
            self.current_proved = !self.paths.is_empty();
        }
    }

    /// Takes a STUN message that came on `path`. Returns the answer for its source, which is never larger.
    pub(crate) fn handle(
        &mut self,
        now: Instant,
        path: Path,
        datagram: &[u8],
    ) -> Result<Option<Vec<u8>>, DropReason> {
        let message = Message::parse(datagram).ok_or(DropReason::Malformed)?;
        // Responses answer nothing, for we ask nothing; indications (keep-alives) need no answer and prove nothing.
        if message.kind != BINDING_REQUEST || !message.has_fingerprint {
            return Err(DropReason::Unauthenticated);
        }
        let ufrag = message.local_ufrag().ok_or(DropReason::Unauthenticated)?;
        let is_current = ufrag == self.current.ufrag;
        let credentials = match &self.former {
            _ if is_current => &self.current,
            Some(former) if ufrag == former.ufrag => former,
            _ => return Err(DropReason::Unauthenticated),
        };
        if !message.is_authentic(&credentials.key) {
            return Err(DropReason::Unauthenticated);
        }
        self.stats.requests += 1;
        let answer = if !message.unknown().is_empty() {
            message.error(UNKNOWN_ATTRIBUTE, &credentials.key)
        } else if message.controlled {
            // A lite agent can't control: the peer must.
            self.stats.role_conflicts += 1;
            message.error(ROLE_CONFLICT, &credentials.key)
        } else {
            let answer = message.success(path.remote, &credentials.key);
            if is_current && !self.current_proved {
                self.current_proved = true;
                self.former = None;
            }
            self.validate(now, path, message.use_candidate);
            answer
        };
        Ok((answer.len() <= datagram.len()).then_some(answer))
    }

    /// Whether `path` is the peer's.
    pub(crate) fn is_valid(&self, path: Path) -> bool {
        self.paths.iter().any(|state| state.path == path)
    }

    /// Notes that something authentic other than STUN came on `path`.
    pub(crate) fn heard(&mut self, now: Instant, path: Path) {
        if let Some(state) = self.paths.iter_mut().find(|state| state.path == path) {
            state.heard = now;
        }
    }

    /// Forgets `path`: its connection is closed.
    pub(crate) fn path_closed(&mut self, path: Path) {
        if let Some(index) = self.paths.iter().position(|state| state.path == path) {
            self.remove(index);
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        while let Some(index) =
            self.paths.iter().position(|state| state.requested + self.settings.consent <= now)
        {
            self.remove(index);
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.paths.iter().map(|state| state.requested + self.settings.consent).min()
    }

    fn validate(&mut self, now: Instant, path: Path, nominate: bool) {
        let index = match self.paths.iter().position(|state| state.path == path) {
            Some(index) => index,
            None => {
                self.make_room();
                self.paths.push(PathState { path, requested: now, heard: now, nominations: 0 });
                self.events.push_back(AgentEvent::Validated(path));
                if std::mem::take(&mut self.disconnected) {
                    self.events.push_back(AgentEvent::Resumed);
                }
                self.paths.len() - 1
            }
        };
        if nominate {
            let before = self.paths[index].nominations;
            for state in &mut self.paths {
                state.nominations = 0;
            }
            self.paths[index].nominations = before.saturating_add(1);
        }
        self.paths[index].requested = now;
        self.paths[index].heard = now;
        if nominate || self.selected_gives_way(now) {
            self.selected = Some(path);
        }
    }

    /// Whether a path that was just heard takes the place of the selected one without a nomination.
    fn selected_gives_way(&self, now: Instant) -> bool {
        let Some(selected) = self.paths.iter().find(|state| Some(state.path) == self.selected) else {
            return true;
        };
        match selected.nominations {
            0 => true,
            1 => now >= selected.heard + SILENCE,
            _ => now >= selected.heard + SILENCE_OF_RENOMINATING,
        }
    }

    fn make_room(&mut self) {
        while self.paths.len() >= self.settings.max_paths.max(1) {
            let quietest = (0..self.paths.len())
                .filter(|index| self.paths.len() == 1 || Some(self.paths[*index].path) != self.selected)
                .min_by_key(|index| self.paths[*index].heard);
            let Some(index) = quietest else { return };
            self.stats.paths_evicted += 1;
            let removed = self.paths.remove(index).path;
            self.events.push_back(AgentEvent::Removed(removed));
        }
    }

    fn remove(&mut self, index: usize) {
        let removed = self.paths.remove(index).path;
        self.events.push_back(AgentEvent::Removed(removed));
        if self.selected == Some(removed) {
            self.selected = self.paths.iter().max_by_key(|state| state.heard).map(|state| state.path);
        }
        if self.paths.is_empty() {
            self.disconnected = true;
            self.events.push_back(AgentEvent::Disconnected);
        }
    }
}
