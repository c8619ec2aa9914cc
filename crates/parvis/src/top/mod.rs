// SPDX-License-Identifier: EUPL-1.2
//! `parvis top`: what a server does, live, in a terminal. It reads the metrics port, as Prometheus does.

mod page;
mod view;

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::Problem;
use crate::cli;
use page::Page;

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// More than this is no page of ours.
const MAX_PAGE_BYTES: usize = 4 << 20;
/// Cursor to the corner, and everything below it away.
const CLEAR: &str = "\x1b[H\x1b[J";

/// Shows it until it is ended, or so many times.
pub(crate) async fn run(arguments: &cli::Top) -> Result<(), Problem> {
    let screen = std::io::stdout().is_terminal();
    let mut before: Option<(Instant, Page)> = None;
    let mut shown = 0;
    loop {
        let page = read(arguments.metrics).await?;
        let now = Instant::now();
        if let Some((then, former)) = &before {
            let picture = view::picture(former, &page, now.saturating_duration_since(*then));
            let mut out = std::io::stdout().lock();
            let written =
                write!(out, "{}{picture}", if screen { CLEAR } else { "" }).and_then(|()| out.flush());
            shown += 1;
            // Whoever read this has gone: that is no fault.
            if written.is_err() || arguments.count.is_some_and(|count| shown >= count) {
                return Ok(());
            }
        }
        before = Some((now, page));
        tokio::time::sleep(Duration::from_secs(arguments.every.max(1))).await;
    }
}

/// Reads the page once.
async fn read(at: SocketAddr) -> Result<Page, Problem> {
    let problem = |what: String| {
        Problem::from(format!(
            "no figures at http://{at}/metrics: {what}; --metrics takes the address that the configuration has as metrics.listen"
        ))
    };
    let page = async {
        let stream = TcpStream::connect(at).await.map_err(|error| problem(error.to_string()))?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| problem(error.to_string()))?;
        tokio::spawn(connection);
        let request = Request::get("/metrics")
            .header(header::HOST, at.to_string())
            .body(Empty::<Bytes>::new())
            .map_err(|error| problem(error.to_string()))?;
        let answer = sender.send_request(request).await.map_err(|error| problem(error.to_string()))?;
        if answer.status() != StatusCode::OK {
            return Err(problem(format!("it answers {}", answer.status())));
        }
        let body = Limited::new(answer.into_body(), MAX_PAGE_BYTES).collect().await;
        let body = body.map_err(|error| problem(error.to_string()))?.to_bytes();
        let page = Page::read(&String::from_utf8_lossy(&body));
        if page.is_ours() { Ok(page) } else { Err(problem("that is no Parvis server".to_owned())) }
    };
    tokio::time::timeout(PATIENCE, page)
        .await
        .unwrap_or_else(|_| Err(problem(format!("no answer within {} s", PATIENCE.as_secs()))))
}
