// SPDX-License-Identifier: EUPL-1.2
//! Participants that are seen in another room as well, by the word of an application's server. Their rooms' tasks tell each
//! other what changes; this is the register of who has to tell whom.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use parvis_sfu::RoomId;
use parvis_signal::{ForwardId, ForwardedView};

use crate::elsewhere::ElsewhereError;
use crate::rooms::{Input, Rooms};
use crate::tenant::RoomKey;

/// Participants that may be seen elsewhere at one time, in all.
const MAX_FORWARDS: usize = 10_000;

/// Which participants of which rooms are seen in which other rooms.
#[derive(Debug, Default)]
pub(crate) struct Forwards {
    register: Mutex<Register>,
}

#[derive(Debug, Default)]
struct Register {
    last: u64,
    /// From which room, and to which.
    between: BTreeMap<ForwardId, (RoomId, RoomId)>,
}

impl Forwards {
    fn add(&self, from: RoomId, to: RoomId) -> Option<ForwardId> {
        let mut register = self.register();
        if register.between.len() >= MAX_FORWARDS {
            return None;
        }
        register.last += 1;
        let forward = ForwardId(register.last);
        register.between.insert(forward, (from, to));
        Some(forward)
    }

    fn register(&self) -> std::sync::MutexGuard<'_, Register> {
        // Nothing in these short sections panics half way.
        self.register.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rooms {
    /// Has the tracks of whoever bears `identity` in the room `from` seen in the room `to`, which comes to be if need
    /// be, until it leaves or either room ends.
    pub(crate) async fn forward_participant(
        self: &Arc<Self>,
        from: &RoomKey,
        identity: &str,
        to: &RoomKey,
    ) -> Result<(), ElsewhereError> {
        self.traveller(from, identity, to).await?;
        self.destination(to)?;
        let name = identity.to_owned();
        let gone = || ElsewhereError::no_room(to);
        self.ask(to, move |room, _| room.check_guest(&name)).await.ok_or_else(gone)??;

        let no_room = || ElsewhereError::no_room(from);
        let (from_id, to_id) = (self.id_of(from).ok_or_else(no_room)?, self.id_of(to).ok_or_else(gone)?);
        let forward = self.forwards.add(from_id, to_id).ok_or(ElsewhereError::TooMany(MAX_FORWARDS))?;
        let name = identity.to_owned();
        let forwarded = self.ask(from, move |room, now| room.forward(now, &name, forward)).await;
        match forwarded {
            Some(Some(Ok(()))) => Ok(()),
            other => {
                self.forwards.register().between.remove(&forward);
                match other {
                    Some(Some(Err(refused))) => Err(refused.into()),
                    Some(_) => Err(ElsewhereError::no_participant(from, identity)),
                    None => Err(no_room()),
                }
            }
        }
    }

    /// Tells the other room what its guest publishes now, or that it is gone.
    pub(crate) fn tell_guest(self: &Arc<Self>, forward: ForwardId, view: Option<ForwardedView>) {
        let rooms = Arc::clone(self);
        let Some((_, to)) = self.forwards.register().between.get(&forward).copied() else { return };
        if view.is_none() {
            self.forwards.register().between.remove(&forward);
        }
        let told = self.inbox_of(to).is_some_and(|inbox| {
            let act = Input::Act(Box::new(move |room, now| match view {
                Some(view) => {
                    if let Err(error) = room.take_guest(now, forward, view) {
                        tracing::info!(room = room.sid(), %error, "a participant can't be seen here any more");
                        room.drop_guest(now, forward);
                        rooms.stop_forward(forward);
                    }
                }
                None => room.drop_guest(now, forward),
            }));
            inbox.try_send(act).is_ok()
        });
        if !told {
            // A room that misses one word of its guest can't be brought up to date: it does without.
            self.stop_forward(forward);
        }
    }

    /// Somebody's own room need not tell of it any more.
    pub(crate) fn stop_forward(&self, forward: ForwardId) {
        let removed = self.forwards.register().between.remove(&forward);
        if let Some(inbox) = removed.and_then(|(from, _)| self.inbox_of(from)) {
            // One that has no place for the word goes on telling, and nobody listens.
            let _ = inbox.try_send(Input::Act(Box::new(move |room, now| room.stop_forward(now, forward))));
        }
    }

    /// A room is over: its guests go, and who was seen elsewhere is so no more.
    pub(crate) fn end_forwards_of(&self, id: RoomId) {
        let over: Vec<(ForwardId, RoomId, RoomId)> = {
            let mut register = self.forwards.register();
            let over = register.between.iter().filter(|(_, (from, to))| *from == id || *to == id);
            let over: Vec<_> = over.map(|(forward, (from, to))| (*forward, *from, *to)).collect();
            register.between.retain(|_, (from, to)| *from != id && *to != id);
            over
        };
        for (forward, from, to) in over {
            let other = if from == id { to } else { from };
            let Some(inbox) = self.inbox_of(other) else { continue };
            let act: crate::rooms::Act = if from == id {
                Box::new(move |room, now| room.drop_guest(now, forward))
            } else {
                Box::new(move |room, now| room.stop_forward(now, forward))
            };
            let _ = inbox.try_send(Input::Act(act));
        }
    }
}
