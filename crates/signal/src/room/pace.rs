// SPDX-License-Identifier: EUPL-1.2
//! Reliable messages at the pace of whoever reads them. A receiver is handed no more than its channel holds; the rest waits
//! in its mailbox. When that is half full, those who fill it are held: their reliable messages stay where they are, in
//! the end in their own clients, and nothing is lost. When it has read down to a quarter they go on. A receiver that
//! holds others and takes too little of what it is sent starts over: it is no reader.

use std::collections::BTreeSet;
use std::time::Instant;

use parvis_meeting::{LeaveReason, ParticipantId};
use parvis_sfu::{Command, DATA_OVERHEAD_BYTES, DataChannel};

use super::Room;

/// How full of waiting letters a mailbox is when those are held who have their share of it, when everyone is, and when they go on.
/// Else one who floods a slow reader would have those wait who write a word now and then.
const HOLD_AT: f32 = 0.5;
const HOLD_ALL_AT: f32 = 0.75;
const GO_ON_AT: f32 = 0.25;

/// How one client reads, and whom that holds.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Handed to its channel and not known to be taken, in bytes.
    outstanding: u64,
    /// Taken in all.
    taken: u64,
    /// Whose messages wait until it has read on.
    holding: BTreeSet<ParticipantId>,
    /// For whom its own messages wait.
    held_for: BTreeSet<ParticipantId>,
    /// By when it has to have taken more than this in all, or it starts over.
    due: Option<(Instant, u64)>,
}

impl Pace {
    /// When it is to be seen whether it reads.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due.map(|(at, _)| at)
    }
}

impl Room {
    /// Hands over what waits, as far as the channel takes it.
    pub(super) fn deliver(&mut self, receiver: ParticipantId) {
        let window = self.config.data_window_bytes as u64;
        let Some(session) = self.sessions.get_mut(&receiver).filter(|session| session.can_take_data()) else {
            return;
        };
        let peer = session.links.primary().peer;
        let mut letters = Vec::new();
        while session.pace.outstanding < window
            && let Some(payload) = session.mailbox.take_next()
        {
            session.pace.outstanding += (payload.len() + DATA_OVERHEAD_BYTES) as u64;
            letters.push(payload);
        }
        for payload in letters {
            self.command(Command::SendData { peer, channel: DataChannel::Reliable, payload });
        }
    }

    /// A receiver's channel has taken so much.
    pub(super) fn data_taken(&mut self, peer: parvis_sfu::PeerId, bytes: u64) {
        let Some(receiver) = self.by_peer.get(&peer).copied() else { return };
        let Some(session) = self.sessions.get_mut(&receiver) else { return };
        session.pace.outstanding = session.pace.outstanding.saturating_sub(bytes);
        session.pace.taken += bytes;
        self.deliver(receiver);
        let caught_up =
            self.sessions.get(&receiver).is_some_and(|session| session.mailbox.backlog() <= GO_ON_AT);
        if caught_up {
            self.let_go(receiver);
        }
    }

    /// After a letter of `sender` for `receiver`: holds the sender if too much waits, and enough of that is its own. One whose
    /// network is gone holds nobody: it may never come back.
    pub(super) fn hold_if_behind(
        &mut self,
        now: Instant,
        (sender, sender_sid): (ParticipantId, &str),
        receiver: ParticipantId,
    ) {
        let (interval, bytes) = self.config.slow_reader;
        let Some(session) = self.sessions.get_mut(&receiver).filter(|session| session.can_take_data()) else {
            return;
        };
        let backlog = session.mailbox.backlog();
        if backlog < HOLD_AT || session.pace.holding.contains(&sender) {
            return;
        }
        if backlog < HOLD_ALL_AT && !session.mailbox.has_share(sender_sid) {
            return;
        }
        session.pace.holding.insert(sender);
        let enough = session.pace.taken + bytes;
        session.pace.due.get_or_insert((now + interval, enough));
        self.renew_deadline(receiver);
        let Some(session) = self.sessions.get_mut(&sender) else { return };
        let first = session.pace.held_for.is_empty();
        session.pace.held_for.insert(receiver);
        if first {
            self.stats.senders_held += 1;
            let peer = session.links.publisher.peer;
            self.command(Command::HoldData { peer, held: true });
        }
    }

    /// Lets those go on whom a receiver holds.
    pub(super) fn let_go(&mut self, receiver: ParticipantId) {
        let Some(session) = self.sessions.get_mut(&receiver) else { return };
        session.pace.due = None;
        for sender in std::mem::take(&mut session.pace.holding) {
            let Some(session) = self.sessions.get_mut(&sender) else { continue };
            session.pace.held_for.remove(&receiver);
            if session.pace.held_for.is_empty() {
                let peer = session.links.publisher.peer;
                self.command(Command::HoldData { peer, held: false });
            }
        }
    }

    /// Someone leaves: nobody waits for it, and it waits for nobody.
    pub(super) fn forget_pace(&mut self, id: ParticipantId) {
        self.let_go(id);
        let Some(session) = self.sessions.get_mut(&id) else { return };
        for receiver in std::mem::take(&mut session.pace.held_for) {
            if let Some(session) = self.sessions.get_mut(&receiver) {
                session.pace.holding.remove(&id);
            }
        }
    }

    /// Has those start over who hold others and don't read.
    pub(super) fn check_readers(&mut self, now: Instant) {
        let (interval, bytes) = self.config.slow_reader;
        let mut gone = Vec::new();
        for session in self.sessions.values_mut() {
            let Some((_, enough)) = session.pace.due.filter(|(at, _)| *at <= now) else { continue };
            if session.pace.taken < enough {
                gone.push(session.id);
            } else {
                session.pace.due = Some((now + interval, session.pace.taken + bytes));
            }
        }
        for id in gone {
            self.stats.slow_readers += 1;
            self.meeting.leave(now, id, LeaveReason::MediaFailed);
        }
    }
}
