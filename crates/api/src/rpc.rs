// SPDX-License-Identifier: EUPL-1.2
//! Calls of participants' methods by an application's server.

use std::time::Duration;

use parvis_signal::RpcError;
use tokio::sync::oneshot;

use crate::rooms::{Input, Rooms};
use crate::tenant::RoomKey;

/// A call for a room's task.
pub(crate) struct RpcCall {
    pub(crate) destination: String,
    pub(crate) method: String,
    pub(crate) payload: String,
    pub(crate) timeout: Duration,
    pub(crate) reply: oneshot::Sender<Result<String, RpcError>>,
}

/// Why a call gave nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PerformRpcError {
    #[error("there is no room {0:?}")]
    NoRoom(String),
    #[error(transparent)]
    Failed(#[from] RpcError),
}

impl Rooms {
    /// Calls a method of a participant and waits for what it gives, at most `timeout`.
    pub(crate) async fn perform_rpc(
        &self,
        room: &RoomKey,
        destination: &str,
        method: &str,
        payload: String,
        timeout: Duration,
    ) -> Result<String, PerformRpcError> {
        let no_room = || PerformRpcError::NoRoom(room.name.clone());
        let inbox = self.inbox(room).ok_or_else(no_room)?;
        let (reply, answer) = oneshot::channel();
        let (destination, method) = (destination.to_owned(), method.to_owned());
        let call = RpcCall { destination, method, payload, timeout, reply };
        inbox.send(Input::Call(Box::new(call))).await.map_err(|_| no_room())?;
        // A room that ends takes its calls along.
        Ok(answer.await.map_err(|_| no_room())??)
    }
}
