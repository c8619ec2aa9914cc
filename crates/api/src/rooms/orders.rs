// SPDX-License-Identifier: EUPL-1.2
//! What applications' servers have rooms do, and what is asked of rooms.

use std::sync::Arc;
use std::time::Instant;

use livekit_protocol as proto;
use parvis_signal::{Actor, Control, ControlError, Reply, Room, RoomSettings};
use tokio::sync::{mpsc, oneshot};

use super::enter::JOIN_TRIES;
use super::{Act, ControlFailure, CreateFailure, Input, JoinRefusal, Opening, Rooms};
use crate::tenant::{RoomKey, TenantId};

impl Rooms {
    /// Makes a room, or changes the settings of one that is there.
    pub(crate) async fn create(
        self: &Arc<Self>,
        key: &RoomKey,
        actor: &Actor,
        settings: RoomSettings,
        opening: Opening,
    ) -> Result<proto::Room, CreateFailure> {
        for _ in 0..JOIN_TRIES {
            self.room(key, &opening)?;
            match self.control(key, actor, Control::Configure(settings.clone())).await {
                Ok(Reply::Room(room)) => return Ok(*room),
                Ok(_) | Err(ControlFailure::NoRoom(_) | ControlFailure::Refused(ControlError::Ended)) => {}
                Err(failure) => return Err(failure.into()),
            }
        }
        Err(JoinRefusal::Ending.into())
    }

    /// Ends a room, and waits until it is gone.
    pub(crate) async fn delete(&self, key: &RoomKey, actor: &Actor) -> Result<(), ControlFailure> {
        let inbox = self.inbox(key).ok_or_else(|| ControlFailure::NoRoom(key.name.clone()))?;
        self.control(key, actor, Control::Delete).await?;
        inbox.closed().await;
        Ok(())
    }

    /// A tenant's rooms: those of these names, or all.
    pub(crate) async fn list(&self, tenant: &TenantId, names: &[String]) -> Vec<proto::Room> {
        let inboxes: Vec<mpsc::Sender<Input>> = {
            let register = self.register();
            let own = register.by_id.values().filter(|entry| entry.key.tenant == *tenant);
            let wanted = own.filter(|entry| names.is_empty() || names.contains(&entry.key.name));
            wanted.map(|entry| entry.inbox.clone()).collect()
        };
        // All are asked before the first one's answer is waited for.
        let mut answers = Vec::with_capacity(inboxes.len());
        for inbox in inboxes {
            answers.push(ask(&inbox, &Actor::default(), Control::Describe).await);
        }
        let mut rooms = Vec::with_capacity(answers.len());
        for answer in answers.into_iter().flatten() {
            if let Ok(Ok(Reply::Room(room))) = answer.await {
                rooms.push(*room);
            }
        }
        rooms.sort_by(|a, b| (a.creation_time_ms, &a.name).cmp(&(b.creation_time_ms, &b.name)));
        rooms
    }

    /// Has a room do something.
    pub(crate) async fn control(
        &self,
        key: &RoomKey,
        actor: &Actor,
        control: Control,
    ) -> Result<Reply, ControlFailure> {
        let no_room = || ControlFailure::NoRoom(key.name.clone());
        let inbox = self.inbox(key).ok_or_else(no_room)?;
        let answer = ask(&inbox, actor, control).await.ok_or_else(no_room)?;
        Ok(answer.await.map_err(|_| no_room())??)
    }

    /// Has something done in a room's task, and gives what came of it. `None` when it isn't there, or ends meanwhile.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        key: &RoomKey,
        act: impl FnOnce(&mut Room, Instant) -> T + Send + 'static,
    ) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        let act: Act = Box::new(move |room, now| {
            // Whoever asked may have gone.
            let _ = reply.send(act(room, now));
        });
        self.inbox(key)?.send(Input::Act(act)).await.ok()?;
        answer.await.ok()
    }
}

/// Puts a question to a room. `None`: it is gone.
async fn ask(
    inbox: &mpsc::Sender<Input>,
    actor: &Actor,
    control: Control,
) -> Option<oneshot::Receiver<Result<Reply, ControlError>>> {
    let (reply, answer) = oneshot::channel();
    inbox.send(Input::Control { actor: actor.clone(), control: Box::new(control), reply }).await.ok()?;
    Some(answer)
}
