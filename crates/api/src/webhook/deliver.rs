// SPDX-License-Identifier: EUPL-1.2
//! From the outbox to one target: several rooms at one time, each room's events one after the other. An event that was
//! taken goes; one that was not is tried again later and later, and those behind it wait; when its time is over, or its target has
//! refused it often enough, it is dead, and they go on. A target that a request named is served as long as something waits for it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::future::join_all;
use parvis_store::{DueEvent, StoreError};

use super::client::Head;
use super::target::Target;
use super::{NOT_CONFIGURED, Shared, WebhookConfig, give_target_up};

/// Events of one room that are sent before the others are looked at again.
const RUN: usize = 32;
/// How long the outbox is not looked at when nothing was written: what an operator resends is found after that.
const IDLE: Duration = Duration::from_secs(2);
/// How long to wait for a store that can't be read or written.
const STORE_PAUSE: Duration = Duration::from_millis(500);
/// Characters of a problem that are kept.
const MAX_PROBLEM_CHARS: usize = 500;

/// Serves one target until webhooks end, or it is gone from the configuration.
pub(super) async fn serve(shared: Arc<Shared>, target: Target) {
    let mut written = shared.written.subscribe();
    let mut stop = shared.stop.subscribe();
    loop {
        written.mark_unchanged();
        if target.signer.is_some() {
            if shared.is_done(&target).await {
                return;
            }
        } else if !shared.rules().targets.contains(&target) {
            if let Err(error) = give_target_up(&shared.store, &target.id, NOT_CONFIGURED).await {
                tracing::warn!(%error, target = target.id, "webhooks: what waits can't be given up now");
            }
            if shared.may_end(&target) {
                return;
            }
        }
        let round = async {
            match shared.round(&target).await {
                Ok(pause) => pause,
                Err(error) => {
                    tracing::warn!(%error, target = target.id, "webhooks: the outbox can't be read");
                    STORE_PAUSE
                }
            }
        };
        let pause = tokio::select! {
            pause = round => pause,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            changed = written.changed() => if changed.is_err() { return },
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

impl Shared {
    /// Sends what is due, and says how long nothing else will be.
    async fn round(&self, target: &Target) -> Result<Duration, StoreError> {
        let (waiting, dead) = self.store.outbox_counts().await?;
        self.counters.waiting_now.store(waiting, Ordering::Relaxed);
        self.counters.dead_now.store(dead, Ordering::Relaxed);
        let first = self.store.first_events(&target.id, self.rules().config.parallel).await?;
        let now = unix_ms();
        let next_ms = first.iter().map(|event| event.next_ms).min();
        let due = first.into_iter().filter(|event| event.next_ms <= now);
        let lanes: Vec<_> = due.map(|event| self.deliver_lane(target, event)).collect();
        if lanes.is_empty() {
            let wait =
                next_ms.map(|next| Duration::from_millis(u64::try_from(next - now).unwrap_or_default()));
            return Ok(wait.unwrap_or(IDLE).min(IDLE));
        }
        join_all(lanes).await;
        Ok(Duration::ZERO)
    }

    /// Sends the first event of a lane, and those behind it as long as they are taken.
    async fn deliver_lane(&self, target: &Target, first: DueEvent) {
        let mut next = Some(first);
        for _ in 0..RUN {
            let Some(event) = next.take().filter(|event| event.next_ms <= unix_ms()) else { return };
            if !self.deliver(target, &event).await {
                return;
            }
            next = self.store.first_of_lane(&target.id, &event.lane).await.unwrap_or_default();
        }
    }

    /// Sends one event and writes down what came of it; whether it was taken.
    async fn deliver(&self, target: &Target, event: &DueEvent) -> bool {
        let (id, url) = (event.id.as_str(), target.id.as_str());
        let rules = self.rules();
        let signer = target.signer.as_deref().or(rules.config.api_key.as_deref());
        let signed = rules.keys.sign_body(signer, event.body.as_bytes());
        let result = match signed {
            Ok(token) => {
                let head = Head { token: &token, id, created: event.created_ms / 1_000 };
                let body = Bytes::from(event.body.clone());
                let sent = rules.client.send(target, &head, body).await;
                sent.map_err(|error| (error.refuses_event(), error.to_string()))
            }
            Err(error) => Err((false, error.to_string())),
        };
        let Err((refused, problem)) = result else {
            insist(|| self.store.event_delivered(id, url)).await;
            self.counters.delivered.fetch_add(1, Ordering::Relaxed);
            return true;
        };
        let problem: String = problem.chars().take(MAX_PROBLEM_CHARS).collect();
        let retry = back_off(&rules.config, event.attempts, rand::random());
        let next_ms = unix_ms().saturating_add(millis(retry));
        let late = next_ms > event.created_ms.saturating_add(millis(rules.config.deadline));
        if late || refused && event.attempts.saturating_add(1) >= rules.config.refused_tries {
            tracing::warn!(
                id,
                event = event.event,
                target = url,
                problem,
                "a webhook is given up: see `parvis webhooks list`"
            );
            insist(|| self.store.give_event_up(id, url, &problem)).await;
            self.counters.dead.fetch_add(1, Ordering::Relaxed);
        } else {
            tracing::info!(
                id,
                event = event.event,
                target = url,
                problem,
                retry_ms = millis(retry),
                "a webhook was not taken"
            );
            insist(|| self.store.put_event_off(id, url, next_ms, &problem)).await;
            self.counters.retried.fetch_add(1, Ordering::Relaxed);
        }
        false
    }
}

/// How long to wait after so many tries: twice as long each time, up to a bound, and by chance between half and whole of it,
/// so that those who failed together don't come back together.
fn back_off(config: &WebhookConfig, tries_before: u32, chance: f64) -> Duration {
    let doubled = config.first_retry.saturating_mul(2_u32.saturating_pow(tries_before));
    doubled.min(config.longest_retry).mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
}

/// Writes until it is written: what was sent and is not known to be sent would be sent again.
async fn insist<F: Future<Output = Result<(), StoreError>>>(write: impl Fn() -> F) {
    while let Err(error) = write().await {
        tracing::warn!(%error, "webhooks: the outbox can't be written");
        if !error.is_transient() {
            return;
        }
        tokio::time::sleep(STORE_PAUSE).await;
    }
}

fn unix_ms() -> i64 {
    millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_try_waits_twice_as_long_as_the_one_before_with_some_chance() {
        let config = WebhookConfig {
            first_retry: Duration::from_secs(1),
            longest_retry: Duration::from_secs(60),
            ..WebhookConfig::default()
        };
        let seconds = |tries, chance| back_off(&config, tries, chance).as_secs_f64();
        assert_eq!(
            [0, 1, 2, 5, 6, 7, 40].map(|tries| seconds(tries, 1.0)),
            [1.0, 2.0, 4.0, 32.0, 60.0, 60.0, 60.0]
        );
        assert_eq!([0, 1, 40].map(|tries| seconds(tries, 0.0)), [0.5, 1.0, 30.0]);
    }
}
