// SPDX-License-Identifier: EUPL-1.2
//! A worker's WebSocket at `/agent`.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Extension, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use parvis_signal::Frame;
use tokio::sync::mpsc;

use super::task::Input;
use super::{Agents, WorkerId};
use crate::accept::Client;
use crate::http::door::address;
use crate::http::{Refusal, Shared, Upgrade, no_websocket, token};
use crate::live::Live;
use crate::socket::{self, Receiver};
use crate::token::TokenError;

/// A worker as its socket knows it. Dropping it tells that the worker is gone.
struct Connected {
    worker: WorkerId,
    address: IpAddr,
    agents: Arc<Agents>,
    live: Arc<Live>,
}

/// Lets a worker in whose token has the grant `agent`.
pub(crate) async fn connect(
    State(shared): State<Shared>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
    upgrade: Upgrade,
) -> Result<Response, Refusal> {
    let rooms = &shared.rooms;
    let token = token(&headers, query.as_deref().unwrap_or_default()).ok_or(TokenError::Missing)?;
    let authority = rooms.live().keys.authority(&token)?;
    if !authority.video.agent {
        let message = "permissions denied: the token has not the grant agent";
        return Err(Refusal::new(StatusCode::UNAUTHORIZED, "unauthorized", message));
    }
    let upgrade = upgrade.map_err(no_websocket)?;
    client.permit.keep();
    let live = rooms.live();
    let limits = live.config.connections.clone();
    let (outgoing, outbound) = socket::queue(&limits);
    let worker = rooms.agents.next_worker();
    let address = address(&shared, &client, &headers);
    let connected =
        Connected { worker, address, agents: Arc::clone(&rooms.agents), live: Arc::clone(&rooms.live) };
    let input = Input::Connect(worker, authority.tenant, outgoing);
    if rooms.agents.inbox.send(input).await.is_err() {
        let message = "the server is about to stop";
        return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "draining", message));
    }
    let metrics = rooms.metrics.clone();
    let max = live.config.agents.message_bytes;
    Ok(socket::bounded(upgrade, max).on_upgrade(move |stream| async move {
        let _counted = client.permit;
        socket::serve(stream, connected, outbound, limits, metrics, None).await;
    }))
}

impl Receiver for Connected {
    async fn receive(&self, frame: Frame) -> bool {
        let rate = self.live.get().config.agents.messages;
        self.agents.messages.admit(rate, self.address, Instant::now())
            && self.agents.inbox.send(Input::Message(self.worker, frame)).await.is_ok()
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        let Err(mpsc::error::TrySendError::Full(gone)) = self.agents.inbox.try_send(Input::Gone(self.worker))
        else {
            return;
        };
        // It must be heard, or its jobs would wait for it. Without a runtime all of it is gone too.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let inbox = self.agents.inbox.clone();
            runtime.spawn(async move { inbox.send(gone).await });
        }
    }
}
