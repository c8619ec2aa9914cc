// SPDX-License-Identifier: EUPL-1.2
//! The port that Prometheus reads. It may move while the server runs.

use std::net::SocketAddr;

use parvis_api::Api;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

/// The port that is served now.
pub(crate) struct MetricsPort {
    task: AbortHandle,
}

impl MetricsPort {
    /// Serves the metrics page until it moves, or the server ends.
    pub(crate) fn serve(api: &Api, listener: TcpListener) -> MetricsPort {
        let api = api.clone();
        let task = tokio::spawn(async move { api.serve_metrics(listener).await });
        MetricsPort { task: task.abort_handle() }
    }

    /// Opens another place, where nobody is served yet.
    pub(crate) fn open(address: SocketAddr) -> Result<TcpListener, std::io::Error> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    }

    /// Serves there from now on, and no more where it was. Answers that are under way are given.
    pub(crate) fn move_to(&mut self, api: &Api, listener: TcpListener) {
        let former = std::mem::replace(self, MetricsPort::serve(api, listener));
        former.task.abort();
    }
}
